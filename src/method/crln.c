/* SPDX-License-Identifier: Apache-2.0
 * CRLN (paper 002, Wang and others; methods.md 4): a student and its moving average with prototypes, dynamic
 * interaction (a map M from image features and prototypes) and a representation head (net/crln.c). The student learns M
 * on labelled images; from some iteration on the teacher's M corrects its pseudo labels, z + (1 - a) M, where the one
 * scalar a has its own loss and step (op). Pseudo labels of weak views train strong views; contrast pulls uncertain
 * voxels to positives made of class means and the teacher's prototypes. The teacher, rectified, is evaluated. */
#include "method/crln.h"

#include <string.h>

#include "ops/scalar.h"
#include "ops/softmax.h"

enum { PASS_TEACHER = 1, PASS_LABELED, PASS_STRONG, PASS_OP, PASS_VIEW, PASS_DRAW };
enum { SUP, MAP, UNSUP, CPS, TERMS };
static const char *const log_names[TERMS] = {"loss_sup", "loss_map", "loss_unsup", "loss_cps"};
static const char *const weight_names[TERMS] = {NULL, "w_map", "w_unsup", "w_cps"};

struct crln {
    pv_net *student, *teacher;
    pv_tensor *prototypes;      /* the teacher's, [1][C][R][d] */
    struct crln_opts o;
    struct crln_aug aug;
    bool rectify;
    float w[TERMS];
    struct { pv_tensor *image, *label; } seen[PV_MOST_PARTS];  /* of this step's parts so far, for the scalar's step */
};

static const struct pv_method_opt opts[] = {
    {"w_map", 1, NULL, false, "weight of CE + Dice of the map M on labelled images; 0 leaves a term out"},
    {"w_unsup", 0.5, NULL, false, "weight of the consistency of strong views with pseudo labels, Eq. 1"},
    {"w_cps", 0.5, NULL, false, "weight of the contrast, Eq. 14 (public code: 1 for Pancreas with 6 cases)"},
    {"rectify", 0, "learned", false, "pseudo labels and predictions: learned (Eq. 8), or none",
     .words = "learned, none"},
    {"rectify_from", 800, NULL, true, "S: iterations before pseudo labels are rectified"},
    {"unsup", 0, "share", false, "share: every voxel, weighted by its image's share above tau (public code); "
     "filter: voxels above tau, Eq. 2", .words = "share, filter"},
    {"tau", 0.97, NULL, false, "confidence of pseudo labels; anchors are below it"},
    {"tau_weak", 0.7, NULL, false, "confidence from which pseudo labels take part in the contrast"},
    {"queries", 256, NULL, false, "anchors of a class", .lo = 1, .hi = 4096},
    {"negatives", 512, NULL, false, "negatives of an anchor", .lo = 1, .hi = 4096},
    {"temperature", 0.5, NULL, false, "t of Eq. 14, and of the choice of negative classes", .lo = 0.01, .hi = 100},
    {"positive", 0, "both", false, "positives: both (Eq. 13), mean of the class, or prototype (the teacher's)",
     .words = "both, mean, prototype"},
    {"positive_from", 800, NULL, true, "iterations in which positives are class means alone"},
    {"xi", 0.6, NULL, false, "share of the prototypes in positives, Eq. 13; by data set in the public code"},
    {"xi_mode", 0, "fixed", false, "fixed (public code), or uniform: drawn from U(0, 1) each step, as the paper",
     .words = "fixed, uniform"},
    {"cps_reduction", 0, "mean", false, "mean over classes and anchors (public code), or sum, Eq. 14",
     .words = "mean, sum"},
    {"op_lr", 1, NULL, false, "learning rate of the scalar a, times the others'"},
    {"ema", 0.99, NULL, false, "alpha of the teacher's moving average, min(1 - 1/(iter + 1), alpha)"},
    CRLN_OPTS_VIEWS,
    {0}};

static void read_options(struct pv_run *r)
{
    struct crln *s = r->state;
    s->rectify = pv_run_opt_is(r, "rectify", "learned");
    s->o = (struct crln_opts){.filter = pv_run_opt_is(r, "unsup", "filter"), .tau = (float)pv_run_opt(r, "tau"),
        .tau_weak = (float)pv_run_opt(r, "tau_weak"), .queries = (int)pv_run_opt(r, "queries"),
        .negatives = (int)pv_run_opt(r, "negatives"), .temperature = (float)pv_run_opt(r, "temperature"),
        .xi = (float)pv_run_opt(r, "xi"), .sum = pv_run_opt_is(r, "cps_reduction", "sum"),
        .positive = pv_run_opt_is(r, "positive", "mean") ? CRLN_MEAN
                    : pv_run_opt_is(r, "positive", "prototype") ? CRLN_PROTOTYPE : CRLN_BOTH};
    s->aug = crln_read_views(r);
    s->w[SUP] = 1;
    for (int i = SUP + 1; i < TERMS; i++)
        s->w[i] = (float)pv_run_opt(r, weight_names[i]);
}

static bool init(struct pv_run *r)
{
    struct crln *s = r->state;
    if (r->net.prototypes < 1)
        return pv_fail(PV_FAULT_USAGE, "method crln needs prototypes; set net.prototypes (16 in its presets)");
    read_options(r);
    s->student = pv_run_add_net(r, "student", true, NULL);
    s->teacher = pv_run_add_net(r, "teacher", false, NULL);
    if (!s->student || !s->teacher || !pv_params_copy(s->teacher->p, s->student->p, true))
        return false;
    for (int i = 0; i < s->teacher->p->num; i++)
        if (pv_streq(s->teacher->p->v[i].name, "dynamic.class_prototype"))
            s->prototypes = s->teacher->p->v[i].t;
    return s->prototypes != NULL;
}

/* ---- parts of a step ---- */

struct parts {
    pv_tensor *image_l, *labels;
    struct crln_view u;             /* strong views of the unlabelled images */
    struct pv_net_out l, s;         /* student: labelled, strong */
    pv_tensor *term[TERMS], *kept;
    float w[TERMS];
};

/* The student (`train`) or teacher on x; nothing is recorded unless the student trains. */
static void forward(struct pv_run *r, pv_net *net, pv_tensor *x, uint32_t pass, bool recording, int flags,
                    unsigned want, struct pv_net_out *out)
{
    bool before = r->tape->recording;
    r->tape->recording = recording;
    memset(out, 0, sizeof *out);
    pv_run_forward(r, net, x, pass, flags, want, out);
    r->tape->recording = before;
}

/* Pseudo labels of the weak view, carried over to the strong one. */
static bool make_view(struct pv_run *r, struct pv_scope *k, pv_tensor *weak, struct crln_view *v)
{
    struct crln *s = r->state;
    struct pv_net_out o;
    bool rectify = s->rectify && (double)r->iter >= pv_run_opt(r, "rectify_from"), before = r->tape->recording;
    forward(r, s->teacher, weak, PASS_TEACHER, false, PV_NET_TRAIN | PV_NET_DROPOUT,
            rectify ? PV_WANT(PV_FEAT_CUE) : 0, &o);
    r->tape->recording = false;
    pv_tensor *z = o.logits;
    if (rectify && z)
        z = pv_keep(k, pv_net_rectify(s->student, r->tape, z, o.feat[PV_FEAT_CUE]));
    r->tape->recording = before;
    v->image = weak;
    bool ok = crln_pseudo(r->tape, k, z, &v->label, &v->conf);
    pv_net_out_free(&o);
    pv_tape_pass(r->tape, PASS_VIEW);
    return ok && crln_strong(r, k, &s->aug, v);
}

static pv_tensor *contrast(struct pv_run *r, struct pv_scope *k, const struct parts *q)
{
    struct crln *s = r->state;
    struct crln_opts o = s->o;
    const struct crln_side side[2] = {
        {q->l.logits, q->l.feat[PV_FEAT_REP], q->labels, NULL},
        {q->s.logits, q->s.feat[PV_FEAT_REP], q->u.label, q->u.conf}};
    const struct crln_draws given = {.anchors = pv_run_given(r, "anchors"), .negatives = pv_run_given(r, "negatives")};
    double xi;
    if (pv_run_opt_is(r, "xi_mode", "uniform")) {
        pv_run_uniforms(r, "xi", 1, 0, 1, &xi);
        o.xi = (float)xi;
    }
    bool learned = (double)r->iter >= pv_run_opt(r, "positive_from");
    pv_tape_pass(r->tape, PASS_DRAW);
    return crln_cps(r->tape, k, &o, 2, side, learned ? s->prototypes : NULL, &given, NULL);
}

/* Passes and terms on unlabelled images. */
static void unlabeled(struct pv_run *r, struct pv_scope *k, pv_tensor *weak, struct parts *q)
{
    struct crln *s = r->state;
    if ((s->w[UNSUP] == 0 && s->w[CPS] == 0) || !weak || !make_view(r, k, weak, &q->u))
        return;
    forward(r, s->student, q->u.image, PASS_STRONG, true, PV_NET_TRAIN | PV_NET_DROPOUT,
            s->w[CPS] > 0 ? PV_WANT(PV_FEAT_REP) : 0, &q->s);
    if (s->w[UNSUP] > 0)
        q->term[UNSUP] = crln_unsup(r->tape, k, &s->o, q->s.logits, q->u.label, q->u.conf, &q->kept);
    if (s->w[CPS] > 0)
        q->term[CPS] = contrast(r, k, q);
}

static void forget(struct pv_run *r)
{
    struct crln *s = r->state;
    for (int i = 0; i < PV_MOST_PARTS; i++) {
        pv_tensor_put(&s->seen[i].image);
        pv_tensor_put(&s->seen[i].label);
    }
}

static void remember(struct pv_run *r, const struct parts *q)
{
    struct crln *s = r->state;
    if (r->part == 0)
        forget(r);
    s->seen[r->part].image = pv_tensor_ref(q->image_l);
    s->seen[r->part].label = pv_tensor_ref(q->labels);
}

/* Eq. 16: the student, after its step, in evaluation mode on the labelled images of all parts; a step of the scalar
 * alone. */
static void op_step(struct pv_run *r)
{
    struct crln *s = r->state;
    const float share[2] = {1 / (float)r->parts, 1};
    pv_tensor *sum = NULL;
    for (int i = 0; i < r->parts; i++) {
        struct pv_scope k = {0};
        struct pv_net_out o;
        forward(r, s->student, s->seen[i].image, PASS_OP, false, 0, PV_WANT(PV_FEAT_CUE), &o);
        pv_tensor *z = pv_keep(&k, o.logits ? pv_net_rectify(s->student, r->tape, o.logits, o.feat[PV_FEAT_CUE])
                                            : NULL);
        pv_tensor *loss = crln_segment(r->tape, &k, z, s->seen[i].label), *terms[2] = {loss, sum};
        pv_net_out_free(&o);
        r->tape->recording = false;
        pv_tensor *more = pv_scalar_sum(r->tape, sum ? 2 : 1, terms, share, NULL);
        r->tape->recording = true;
        pv_tensor_put(&sum);
        sum = more;
        pv_run_backward_end(r, &k, loss);
    }
    pv_run_log(r, "loss_op", sum);
    pv_tensor_put(&sum);
    forget(r);
    for (int i = 0; i < r->num_nets; i++)
        if (r->nets[i].net == s->student) {
            double before = r->nets[i].lr_scale;
            r->nets[i].lr_scale = before * pv_run_opt(r, "op_lr");
            pv_run_step(r, s->student);
            r->nets[i].lr_scale = before;
        }
}

/* The scalar a after its step. */
static void log_scalar(struct pv_run *r)
{
    const struct crln *s = r->state;
    const pv_params *p = s->student->p;
    for (int i = 0; i < p->num; i++)
        if (pv_streq(p->v[i].name, "op.a"))
            pv_run_log(r, "a", p->v[i].t);
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    struct crln *s = r->state;
    struct pv_scope k = {0};
    struct parts q = {.labels = pv_keep(&k, pv_tensor_samples(b->label, 0, b->num_labeled))};
    pv_tensor *weak = crln_weak(r, &k, &s->aug, b->image);
    q.image_l = pv_keep(&k, pv_tensor_samples(weak, 0, b->num_labeled));
    pv_tensor *image_u = b->num_unlabeled
                             ? pv_keep(&k, pv_tensor_samples(weak, b->num_labeled, b->num_unlabeled)) : NULL;
    unsigned want = (s->w[MAP] > 0 ? PV_WANT(PV_FEAT_CUE) : 0) | (s->w[CPS] > 0 ? PV_WANT(PV_FEAT_REP) : 0);
    forward(r, s->student, q.image_l, PASS_LABELED, true, PV_NET_TRAIN | PV_NET_DROPOUT, want, &q.l);
    q.term[SUP] = crln_segment(r->tape, &k, q.l.logits, q.labels);
    if (s->w[MAP] > 0)
        q.term[MAP] = crln_segment(r->tape, &k, q.l.feat[PV_FEAT_CUE], q.labels);
    unlabeled(r, &k, image_u, &q);

    pv_tensor *term[TERMS];
    float w[TERMS];
    int n = 0;
    for (int i = 0; i < TERMS; i++)
        if (s->w[i] > 0) {
            w[n] = s->w[i];
            term[n++] = q.term[i];
            pv_run_log(r, log_names[i], q.term[i]);
        }
    pv_tensor *loss = pv_keep(&k, pv_scalar_sum(r->tape, n, term, w, NULL));
    pv_run_log(r, "loss", loss);
    pv_run_log(r, "kept", q.kept);
    pv_net_out_free(&q.l);
    pv_net_out_free(&q.s);
    if (s->rectify)
        remember(r, &q);
    pv_run_backward_end(r, &k, loss);
    pv_run_step(r, s->student);
    pv_run_ema(r, s->teacher, s->student, pv_ema_alpha(r->iter, pv_run_opt(r, "ema")));
    if (s->rectify && pv_run_last_part(r)) {
        op_step(r);
        log_scalar(r);
    }
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    struct crln *s = r->state;
    struct pv_net_out o;
    if (!pv_run_forward(r, s->teacher, image, 0, 0, s->rectify ? PV_WANT(PV_FEAT_CUE) : 0, &o))
        return NULL;
    pv_tensor *z = s->rectify ? pv_net_rectify(s->student, r->tape, o.logits, o.feat[PV_FEAT_CUE])
                              : pv_tensor_ref(o.logits);
    pv_tensor *p = pv_softmax(r->tape, z);
    pv_tensor_put(&z);
    pv_net_out_free(&o);
    return p;
}

const struct pv_method pv_method_crln = {
    .name = "crln", .summary = "learned prototypes rectify pseudo labels; contrast of uncertain voxels",
    .opts = opts, .unlabeled = true, .state_size = sizeof(struct crln), .init = init, .step = step,
    .predict = predict, .free = forget,
};
