/* SPDX-License-Identifier: Apache-2.0
 * MPER (paper 004, Bi and others; methods.md 6): BCP with a second classifier. Each class has K prototypes in the space
 * of the last features; a voxel's class is that of its nearest prototype by cosine. Both classifiers are trained
 * against the mixed label, a contrast sharpens the assignment to prototypes, and prototypes are moving means of the
 * features that both the classifier and the label give to them. They begin as k-means centres of the pre-trained
 * network's features of labelled images. The student's linear classifier is evaluated. */
#include "method/mper.h"

#include "base/rng.h"
#include "method/kmeans.h"
#include "ops/scalar.h"
#include "ops/softmax.h"

enum { PASS_STUDENT = 4, PASS_INIT = 6, MOST_POINTS = 200000, ROUNDS = 100 };

/* Features of labelled voxels of one class, for k-means. */
struct points { float *x; int64_t n, cap; };

struct mper {
    struct cp c;
    pv_tensor *prototypes;      /* FLAT [classes][each][filters] */
    int each;
    struct mper_update update;
    struct points points[PV_CLASSES];
};

static const struct pv_method_opt opts[] = {
    CP_OPTS,
    {"prototypes", 3, NULL, false, "K: prototypes per class"},
    {"lambda", 1, NULL, false, "largest weight of the prototypes' losses, Eq. 6"},
    {"rampup", 6000, NULL, true, "iterations of self-training until it is reached (Gaussian ramp)"},
    {"ramp_unit", 150, NULL, true, "the ramp moves every so many iterations"},
    {"w_proto", 1, NULL, false, "1: the prototype classifier is trained, Eq. 4; 0 leaves it out"},
    {"gamma", 0.02, NULL, false, "weight of the contrast in Eq. 6; 0 leaves it out"},
    {"tau1", 0.1, NULL, false, "temperature of the prototype classifier, Eq. 1"},
    {"tau2", 0.1, NULL, false, "temperature of the contrast, Eq. 5"},
    {"ignore0", 1, NULL, false, "1: the contrast leaves out voxels next to prototype 0 of class 0 (public code)"},
    {"eta", 0.99, NULL, false, "momentum of the prototypes, Eq. 2 (0.99: public code; paper: 0.999)"},
    {"alpha", 0.9, NULL, false, "pseudo-labelled voxels count where the teacher is surer than this"},
    {"update", 0, "both", false, "parts that move prototypes: both, labeled, unlabeled, none",
     .words = "both, labeled, unlabeled, none"},
    {"update_background", 0, NULL, false, "1: prototypes of the background move too (public code: they stay)"},
    {0}};

static bool read_options(struct pv_run *r)
{
    struct mper *s = r->state;
    const bool both = pv_run_opt_is(r, "update", "both");
    const double k = pv_run_opt(r, "prototypes");
    s->update = (struct mper_update){.eta = pv_run_opt(r, "eta"), .alpha = pv_run_opt(r, "alpha"),
        .labeled = both || pv_run_opt_is(r, "update", "labeled"),
        .pseudo = both || pv_run_opt_is(r, "update", "unlabeled"),
        .background = pv_run_opt(r, "update_background") > 0};
    if (!(k >= 1 && k == (int)k && k * r->classes <= PV_CLASSES))
        return pv_fail(PV_FAULT_USAGE, "method_options.prototypes of mper is %g; it must be a whole number from 1, and "
                       "at most %d prototypes in all %d classes", k, PV_CLASSES, r->classes);
    if (!(pv_run_opt(r, "tau1") > 0) || !(pv_run_opt(r, "tau2") > 0))
        return pv_fail(PV_FAULT_USAGE, "method_options.tau1 and tau2 of mper must be above 0");
    s->each = s->update.each = (int)k;
    return true;
}

static bool init(struct pv_run *r)
{
    struct mper *s = r->state;
    if (!read_options(r) || !cp_init(r, &s->c))
        return false;
    s->prototypes = pv_run_add_state(r, "prototypes", r->classes * s->each * r->net.filters, 0, PV_COMBINE_MEAN);
    return s->prototypes != NULL;
}

/* ---- prototypes at the beginning of self-training ---- */

/* Random ones, until the pass over labelled images replaces them. */
static bool stage_begin(struct pv_run *r, int stage)
{
    struct mper *s = r->state;
    if (!cp_stage_begin(r, &s->c, stage))
        return false;
    if (stage == CP_SELFTRAIN && r->stage_iter == 0) {
        const int n = s->prototypes->h.n;
        double *v = pv_array(double, n);
        pv_run_uniforms(r, "prototypes", n, -1, 1, v);
        pv_tensor_write_f64(s->prototypes, v);
        pv_free(v);
    }
    return true;
}

/* At most `most` of the voxels of class c, evenly spaced in scan order; f [d][voxels]. */
static void add_points(struct points *p, const float *f, const int32_t *label, int64_t voxels, int d, int c,
                       int64_t most)
{
    int64_t all = 0, seen = 0, taken = 0;
    for (int64_t v = 0; v < voxels; v++)
        all += label[v] == c;
    const int64_t want = all < most ? all : most;
    if (p->n + want > p->cap) {
        p->cap = 2 * (p->n + want);
        p->x = pv_realloc(p->x, (size_t)(p->cap * d) * sizeof *p->x);
    }
    for (int64_t v = 0; v < voxels && taken < want; v++) {
        if (label[v] != c)
            continue;
        if (seen++ == taken * all / want) {
            for (int k = 0; k < d; k++)
                p->x[(p->n + taken) * d + k] = f[k * voxels + v];
            taken++;
        }
    }
    p->n += taken;
}

/* Features of sample i in evaluation mode. Waits. */
static bool collect(struct pv_run *r, const struct pv_patches *b, int i, int64_t most)
{
    struct mper *s = r->state;
    struct pv_net_out o = {0};
    pv_tensor *image = pv_tensor_samples(b->image, i, 1), *label = pv_tensor_samples(b->label, i, 1);
    const bool recording = r->tape->recording;
    r->tape->recording = false;
    pv_run_forward(r, s->c.student, image, PASS_INIT, 0, PV_WANT(PV_FEAT_DEC4), &o);
    r->tape->recording = recording;
    pv_tensor *f = o.feat[PV_FEAT_DEC4];
    bool ok = f && label && f->h.c == r->net.filters;
    if (ok) {
        const int64_t voxels = pv_voxels(&f->h);
        float *x = pv_array(float, voxels * f->h.c);
        int32_t *y = pv_array(int32_t, voxels);
        ok = pv_tensor_read(f, x) && pv_tensor_read_i32(label, y);
        for (int c = 0; ok && c < r->classes; c++)
            add_points(&s->points[c], x, y, voxels, f->h.c, c, most);
        pv_free(x);
        pv_free(y);
    }
    pv_net_out_free(&o);
    pv_tensor_put(&image);
    pv_tensor_put(&label);
    return ok;
}

static void free_points(struct pv_run *r)
{
    struct mper *s = r->state;
    for (int c = 0; c < PV_CLASSES; c++) {
        pv_free(s->points[c].x);
        s->points[c] = (struct points){0};
    }
}

/* K-means of each class; a class without voxels keeps its random prototypes. */
static void cluster(struct pv_run *r)
{
    struct mper *s = r->state;
    const int d = r->net.filters, one = s->each * d;
    double *centres = pv_array(double, one);
    for (int c = 0; c < r->classes; c++) {
        struct pv_rng rng = pv_rng_make(r->seed, pv_stream("kmeans", (uint64_t)c, 0));
        if (!pv_kmeans(s->points[c].x, s->points[c].n, d, s->each, ROUNDS, &rng, centres)) {
            pv_warn("no labelled voxel of class %d was seen: its prototypes begin at random", c);
            continue;
        }
        pv_tensor *view = pv_tensor_view(s->prototypes, (size_t)(c * one), one);
        pv_tensor_write_f64(view, centres);
        pv_tensor_put(&view);
    }
    pv_free(centres);
    free_points(r);
}

static bool prepare(struct pv_run *r, const struct pv_patches *b, int number, int count)
{
    const int64_t most = pv_max(1, MOST_POINTS / (count * b->num_labeled));
    for (int i = 0; i < b->num_labeled; i++)
        if (!collect(r, b, i, most))
            return false;
    if (number == count - 1)
        cluster(r);
    return !pv_dev_failed(r->dev);
}

/* ---- a step ---- */

/* Losses of both mixtures; NULL: not computed. */
struct losses { pv_tensor *linear[2], *proto[2], *contrast[2]; };

/* What the prototypes say about one mixture; then they move. Losses take them as they were before. */
static void by_prototypes(struct pv_run *r, struct pv_scope *k, const struct cp_batch *q, int i, pv_tensor *f,
                          struct losses *l)
{
    struct mper *s = r->state;
    const struct cp_mixture *m = &q->mix[i];
    const bool moves = s->update.labeled || s->update.pseudo, contrast = pv_run_opt(r, "gamma") > 0;
    pv_tape *t = r->tape;
    pv_tensor *p = f ? pv_keep(k, pv_tensor_new(r->dev, s->prototypes->h, PV_F32)) : NULL, *nearest;
    if (!p)
        return;
    pv_tensor_copy(p, s->prototypes);
    if (pv_run_opt(r, "w_proto") > 0) {
        pv_tensor *z = mper_scores(t, k, f, p, r->classes, s->each, pv_run_opt(r, "tau1"));
        l->proto[i] = cp_mix_loss(t, k, z, m->outer, m->inner, q->mask, q->rest, m->w_outer, m->w_inner, s->c.form);
    }
    if (!contrast && !moves)
        return;
    const bool recording = t->recording;
    t->recording = recording && contrast;
    pv_tensor *cosines = mper_cosines(t, k, f, p, pv_run_opt(r, "tau2"), &nearest);
    if (contrast)
        l->contrast[i] = mper_contrast(t, k, cosines, nearest, pv_run_opt(r, "ignore0") > 0);
    t->recording = recording;
    if (moves)
        mper_move(t, s->prototypes, f, nearest, m->label, m->known, m->pseudo, m->sure, &s->update);
}

/* Sum over the mixtures into the total, and a log. */
static void add(struct pv_run *r, struct pv_scope *k, const char *name, pv_tensor *const two[2], double weight,
                int *n, pv_tensor **l, float *w)
{
    if (!two[0])
        return;
    l[*n] = pv_keep(k, pv_scalar_sum(r->tape, 2, two, NULL, NULL));
    w[*n] = (float)weight;
    pv_run_log(r, name, l[(*n)++]);
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    struct mper *s = r->state;
    struct cp *c = &s->c;
    if (r->stage == CP_PRETRAIN) {
        cp_pretrain_step(r, c, b);
        return;
    }
    struct pv_scope k = {0};
    struct cp_batch q = {0};
    struct losses a = {0};
    const double unit = pv_run_opt(r, "ramp_unit");
    const double lambda = pv_run_opt(r, "lambda") * pv_ramp_gauss_steps(r->stage_iter, pv_run_opt(r, "rampup") / unit,
                                                                        unit);
    cp_mix_batch(r, &k, c, b, &q);
    for (int i = 0; i < 2; i++) {
        const struct cp_mixture *m = &q.mix[i];
        struct pv_net_out o = {0};
        pv_run_forward(r, c->student, m->image, (uint32_t)(PASS_STUDENT + i), PV_NET_TRAIN | PV_NET_DROPOUT,
                       PV_WANT(PV_FEAT_DEC4), &o);
        a.linear[i] = cp_mix_loss(r->tape, &k, o.logits, m->outer, m->inner, q.mask, q.rest, m->w_outer, m->w_inner,
                                  c->form);
        if (lambda > 0)
            by_prototypes(r, &k, &q, i, o.feat[PV_FEAT_DEC4], &a);
        pv_net_out_free(&o);
    }
    pv_tensor *l[3] = {NULL};
    float w[3] = {1};
    int n = 0;
    add(r, &k, "loss_linear", a.linear, 1, &n, l, w);
    add(r, &k, "loss_proto", a.proto, lambda * pv_run_opt(r, "w_proto"), &n, l, w);
    add(r, &k, "loss_contrast", a.contrast, lambda * pv_run_opt(r, "gamma"), &n, l, w);
    pv_tensor *loss = n ? pv_keep(&k, pv_scalar_sum(r->tape, n, l, w, NULL)) : NULL;
    pv_run_log(r, "loss", loss);
    pv_run_log_value(r, "lambda", lambda);
    pv_run_backward_end(r, &k, loss);
    pv_run_step(r, c->student);
    cp_teach(r, c);
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    return cp_predict(r, &((struct mper *)r->state)->c, image);
}

const struct pv_method pv_method_mper = {
    .name = "mper", .summary = "copy-paste with several prototypes per class as a second classifier", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct mper), .init = init, .stages = cp_stages,
    .stage_begin = stage_begin, .prepare_stage = CP_SELFTRAIN, .prepare = prepare, .step = step, .predict = predict,
    .free = free_points,
};
