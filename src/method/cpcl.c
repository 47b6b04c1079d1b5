/* SPDX-License-Identifier: Apache-2.0
 * CPCL, cyclic prototype consistency (Xu and others, IEEE JBHI 2022; methods.md 2.3, 9.5). Features F of the block
 * before the last (32 channels at half resolution), brought to full resolution: the student's of labelled images, the
 * teacher's of unlabelled ones. With labels Y (argmax for unlabelled images) and probabilities P, prototypes are
 *     c^k = sum_v [Y = k] P^k F / (sum_v [Y = k] P^k + 1e-5),
 * and a map is predicted by softmax_k(scale cos(F, c^k)):
 *     L_l2u = mean |labelled prototypes on unlabelled features - teacher's P|^2   (forward)
 *     L_u2l = CE(unlabelled prototypes on labelled features, labels)              (backward)
 *     L_sta = mean |teacher's logits of X + noise - student's logits of X|^2      (all images)
 *     L = half (CE + Dice) + w(t) (w_l2u L_l2u + w_sta L_sta + w_u2l L_u2l).
 * The public code detaches features and prototypes, so that L_l2u and L_u2l train nothing: prototypes = fixed. Here
 * they train the student's features by default, L_l2u through its prototypes. */
#include "method/model.h"
#include "method/named.h"
#include "ops/loss.h"
#include "ops/map.h"
#include "ops/proto.h"
#include "ops/reduce.h"
#include "ops/resize.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

struct cpcl { struct model m; enum pv_dice_form dice; };

static const struct pv_method_opt opts[] = {
    MODEL_OPT_EMA,
    MODEL_OPTS_WEIGHT(0.1, 6000),
    MODEL_OPTS_NOISE,
    MODEL_OPT_DICE("mc"),
    {"w_l2u", 1, NULL, false, "weight of labelled prototypes on unlabelled images; 0 leaves a term out"},
    {"w_u2l", 10, NULL, false, "weight of unlabelled prototypes on labelled images"},
    {"w_sta", 1, NULL, false, "weight of the squared difference of logits of student and noisy teacher"},
    {"prototypes", 0, "trained", false, "trained: the student's features learn from both prototype terms; fixed: "
                                        "neither has a gradient (public code)", .words = "trained, fixed"},
    {"u2l", 0, "ce", false, "ce: cross-entropy; twice: of a second softmax of the prediction (public code)",
     .words = "ce, twice"},
    {"pairing", 0, "image", false, "prototypes of image i for image i (image), or over the batch (pooled)",
     .words = "image, pooled"},
    {"scale", 20, NULL, false, "factor of the cosines in the prototypes' softmax"},
    {0}};

static bool init(struct pv_run *r)
{
    struct cpcl *s = r->state;
    if (!model_dice(r, &s->dice) || !model_needs(r, 1))
        return false;
    const pv_json *train = pv_json_get(r->config, "train");
    double nl = pv_json_num(train, "labeled_batch", 2), nu = pv_json_num(train, "unlabeled_batch", 2);
    bool needed = pv_run_opt(r, "w_l2u") > 0 || pv_run_opt(r, "w_u2l") > 0;
    if (!r->inference && needed && nl != nu && pv_run_opt_is(r, "pairing", "image"))
        return pv_fail(PV_FAULT_USAGE, "cpcl pairs labelled with unlabelled images, but a batch has %g and %g: make "
                       "them equal or set method_options.pairing=pooled", nl, nu);
    return model_init(r, &s->m, NULL);
}

/* ---- terms ---- */

/* Features BLOCKED [n][d] and logits PLAIN [n][c] of labelled images (student) and of unlabelled ones (teacher);
 * labels I32 [n][1], PV_IGNORE: in no prototype. Gradient to feat_l only, unless `fixed`. */
struct cycle {
    pv_tensor *feat_l, *logits_l, *labels, *feat_u, *logits_u;
    double scale;
    bool pooled, fixed, twice;
};

/* The weights [Y = k] P^k, a constant. labels NULL: argmax. */
static pv_tensor *proto_weights(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels)
{
    bool recording = t->recording;
    t->recording = false;
    if (!labels)
        labels = pv_keep(s, pv_argmax(t, logits));
    pv_tensor *hot = pv_keep(s, pv_onehot(t, labels, logits ? logits->h.c : 0));
    pv_tensor *w = pv_keep(s, pv_binary(t, PV_MUL, hot, pv_keep(s, pv_softmax(t, logits))));
    t->recording = recording;
    return w;
}

/* scale cos(F, c) with the prototypes of f_from under weights w_from. */
static pv_tensor *proto_logits(pv_tape *t, struct pv_scope *s, const struct cycle *c, pv_tensor *f_from, pv_tensor *w,
                               pv_tensor *f)
{
    pv_tensor *p = pv_keep(s, pv_masked_pool(t, f_from, w, 1e-5f, c->pooled, NULL));
    return w ? pv_keep(s, pv_cosine(t, f, p, w->h.c, (float)c->scale)) : NULL;
}

static pv_tensor *l2u(pv_tape *t, struct pv_scope *s, const struct cycle *c)
{
    if (!c->logits_u || !c->feat_l || !c->feat_u)
        return NULL;
    bool recording = t->recording;
    t->recording = recording && !c->fixed;
    pv_tensor *fl = pv_keep(s, pv_resize(t, c->feat_l, c->logits_u->h.s, PV_LINEAR));
    pv_tensor *fu = pv_keep(s, pv_resize_const(t, c->feat_u, c->logits_u->h.s, PV_LINEAR));
    pv_tensor *z = proto_logits(t, s, c, fl, proto_weights(t, s, c->logits_l, c->labels), fu);
    t->recording = false;
    pv_tensor *target = pv_keep(s, pv_softmax(t, c->logits_u));
    t->recording = recording && !c->fixed;
    pv_tensor *loss = pv_loss_prob_mse(t, s, z, target);
    t->recording = recording;
    return loss;
}

static pv_tensor *u2l(pv_tape *t, struct pv_scope *s, const struct cycle *c)
{
    if (!c->logits_l || !c->feat_l || !c->feat_u)
        return NULL;
    bool recording = t->recording;
    t->recording = recording && !c->fixed;
    pv_tensor *fl = pv_keep(s, pv_resize(t, c->feat_l, c->logits_l->h.s, PV_LINEAR));
    pv_tensor *fu = pv_keep(s, pv_resize_const(t, c->feat_u, c->logits_l->h.s, PV_LINEAR));
    pv_tensor *z = proto_logits(t, s, c, fu, proto_weights(t, s, c->logits_u, NULL), fl);
    if (c->twice)
        z = pv_keep(s, pv_softmax(t, z));
    pv_tensor *loss = pv_keep(s, pv_ce_hard(t, z, c->labels, NULL, PV_IGNORE, (struct pv_reduction){PV_RED_MEAN}));
    t->recording = recording;
    return loss;
}

static pv_tensor *stability(pv_tape *t, struct pv_scope *s, pv_tensor *student, pv_tensor *teacher)
{
    return pv_keep(s, pv_mse(t, student, teacher, NULL, (struct pv_reduction){PV_RED_MEAN_ALL, .per_channel = true}));
}

/* ---- step ---- */

struct parts { pv_tensor *l[4]; float w[4]; int n; double weight; };

static void term(struct pv_run *r, struct parts *q, const char *log, const char *weight, pv_tensor *loss)
{
    q->w[q->n] = (float)(q->weight * pv_run_opt(r, weight));
    q->l[q->n++] = loss;
    pv_run_log(r, log, loss);
}

static void consistency(struct pv_run *r, struct pv_scope *k, const struct pv_patches *b, const struct model_pass *p,
                        struct parts *q)
{
    const struct cpcl *s = r->state;
    pv_tape *t = r->tape;
    bool forth = pv_run_opt(r, "w_l2u") > 0, back = pv_run_opt(r, "w_u2l") > 0;
    struct pv_net_out clean = {0}, noisy = {0};
    q->weight = model_weight(r);
    t->recording = false;
    if (pv_run_opt(r, "w_sta") > 0)
        pv_run_forward(r, s->m.teacher, model_noisy(r, k, "noise", b->image, 1), 2, MODEL_TRAIN, 0, &noisy);
    if (forth || back) {
        pv_tensor *x = pv_keep(k, pv_tensor_samples(b->image, b->num_labeled, b->num_unlabeled));
        pv_run_forward(r, s->m.teacher, x, 4, MODEL_TRAIN, PV_WANT(PV_FEAT_DEC3), &clean);
    }
    t->recording = true;
    if (pv_run_opt(r, "w_sta") > 0)
        term(r, q, "loss_sta", "w_sta", stability(t, k, p->z, noisy.logits));
    struct cycle c = {.logits_l = p->zl, .labels = p->labels, .scale = pv_run_opt(r, "scale"),
        .feat_u = pv_keep(k, pv_tensor_ref(clean.feat[PV_FEAT_DEC3])),
        .logits_u = pv_keep(k, pv_tensor_ref(clean.logits)), .pooled = pv_run_opt_is(r, "pairing", "pooled"),
        .fixed = pv_run_opt_is(r, "prototypes", "fixed"), .twice = pv_run_opt_is(r, "u2l", "twice")};
    if (forth || back)
        c.feat_l = pv_keep(k, pv_slice_samples(t, p->o.feat[PV_FEAT_DEC3], 0, b->num_labeled));
    if (forth)
        term(r, q, "loss_l2u", "w_l2u", l2u(t, k, &c));
    if (back)
        term(r, q, "loss_u2l", "w_u2l", u2l(t, k, &c));
    pv_net_out_free(&clean);
    pv_net_out_free(&noisy);
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    const struct cpcl *s = r->state;
    struct pv_scope k = {0};
    struct model_pass p;
    struct parts q = {.w = {1}, .n = 1};
    model_student(r, &k, &s->m, b->image, b->label, b->num_labeled, 3, PV_WANT(PV_FEAT_DEC3), &p);
    q.l[0] = pv_loss_supervised(r, &k, p.zl, p.labels, s->dice, NULL, NULL);
    pv_run_log(r, "loss_sup", q.l[0]);
    if (pv_run_opt(r, "consistency") > 0)
        consistency(r, &k, b, &p, &q);
    model_end(r, &k, &s->m, &p, q.n, q.l, q.w);
}

const struct pv_method pv_method_cpcl = {
    .name = "cpcl", .summary = "cyclic prototype consistency between labelled and unlabelled images", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct cpcl), .init = init, .step = step, .predict = model_predict,
};

/* ---- named losses ---- */

static const struct pv_named_arg cycle_args[] = {
    {"feat_l", PV_ARG_MAP, "[n, d, x/2, y/2, z/2]", true, false, "student's features of labelled images"},
    {"logits_l", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "student's logits of them"},
    {"labels", PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, "class numbers; 255 is ignored"},
    {"feat_u", PV_ARG_MAP, "[n, d, x/2, y/2, z/2]", false, false, "teacher's features of unlabelled images"},
    {"logits_u", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "teacher's logits of them"},
    {0}};
static const struct pv_named_opt cycle_opts[] = {
    {"scale", 20, NULL, "factor of the cosines"}, {"pairing", 0, "image", "image or pooled"},
    {"prototypes", 0, "trained", "trained or fixed"}, {"u2l", 0, "ce", "ce or twice"}, {0}};
static const struct pv_named_arg pair_args[] = {
    {"student", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "student's logits"},
    {"teacher", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "teacher's logits"},
    {0}};

static struct cycle read_cycle(struct pv_named_call *c)
{
    return (struct cycle){.feat_l = pv_named_in(c, "feat_l"), .logits_l = pv_named_in(c, "logits_l"),
        .labels = pv_named_in(c, "labels"), .feat_u = pv_named_in(c, "feat_u"), .logits_u = pv_named_in(c, "logits_u"),
        .scale = pv_named_num(c, "scale"), .pooled = pv_named_is(c, "pairing", "pooled"),
        .fixed = pv_named_is(c, "prototypes", "fixed"), .twice = pv_named_is(c, "u2l", "twice")};
}

static void eval_l2u(struct pv_named_call *c)
{
    struct cycle y = read_cycle(c);
    pv_named_out(c, "loss", l2u(c->tape, &c->scope, &y));
}

static void eval_u2l(struct pv_named_call *c)
{
    struct cycle y = read_cycle(c);
    pv_named_out(c, "loss", u2l(c->tape, &c->scope, &y));
}

static void eval_sta(struct pv_named_call *c)
{
    pv_named_out(c, "loss", stability(c->tape, &c->scope, pv_named_in(c, "student"), pv_named_in(c, "teacher")));
}

static const struct pv_named_loss
    loss_l2u = {"cpcl.l2u", "labelled prototypes on unlabelled features against the teacher (CPCL, forward)",
                cycle_args, cycle_opts, eval_l2u},
    loss_u2l = {"cpcl.u2l", "unlabelled prototypes on labelled features against labels (CPCL, backward)", cycle_args,
                cycle_opts, eval_u2l},
    loss_sta = {"cpcl.sta", "mean squared difference of logits (CPCL, stability)", pair_args, NULL, eval_sta};

const struct pv_named_loss *const pv_named_cpcl[] = {&loss_l2u, &loss_u2l, &loss_sta, NULL};
