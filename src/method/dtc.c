/* SPDX-License-Identifier: Apache-2.0
 * DTC, dual-task consistency (Luo and others, AAAI 2021; methods.md 9.5). One network with two outputs per foreground
 * class from the same last map: a segmentation logit z, and a level set s = tanh of another. With p = sigmoid(z), D the
 * signed distance map of the labels (ops/edt.h, dtc_sdf) and k = 1500:
 *     L = Dice(p, labels) + beta mean (s - D)^2                      labelled images
 *         + w(t) mean (sigmoid(-k s) - p)^2                          all images; both sides have gradients.
 * The two outputs are the channels [s_1.. s_{C-1}, z_1.. z_{C-1}] of one output convolution, which is the same as two
 * convolutions. There is no teacher. Predicted is softmax(0, z_1, ..): for two classes p and 1 - p. */
#include "method/model.h"
#include "method/named.h"
#include "ops/edt.h"
#include "ops/loss.h"
#include "ops/map.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

struct dtc { struct model m; };

static const struct pv_method_opt opts[] = {
    MODEL_OPTS_WEIGHT(1, 6000),
    {"beta", 0.3, NULL, false, "weight of the distance maps of labelled images; 0 leaves them out"},
    {"steepness", 1500, NULL, false, "k: sigmoid(-k s) turns a level set into a mask"},
    {0}};

static void two_outputs(struct pv_net_config *c) { c->classes = 2 * (c->classes - 1); }

static bool init(struct pv_run *r)
{
    struct dtc *s = r->state;
    if (!(pv_run_opt(r, "steepness") > 0))
        return pv_fail(PV_FAULT_USAGE, "method_options.steepness of dtc must be above 0");
    s->m.student = pv_run_add_net(r, "student", true, two_outputs);
    return s->m.student != NULL;
}

/* ---- terms ---- */

/* What the network gives: s and p, [n][C - 1] each. */
struct tasks { pv_tensor *level, *prob; };

static struct tasks split(pv_tape *t, struct pv_scope *s, pv_tensor *z)
{
    int f = z ? z->h.c / 2 : 0;
    pv_tensor *level = pv_keep(s, pv_slice_channels(t, z, 0, f)), *seg = pv_keep(s, pv_slice_channels(t, z, f, f));
    return (struct tasks){pv_keep(s, pv_unary(t, PV_TANH, level, 0, 0)),
                          pv_keep(s, pv_unary(t, PV_SIGMOID, seg, 0, 0))};
}

/* Foreground classes as 0/1 maps [n][C - 1]. */
static pv_tensor *objects(pv_tape *t, struct pv_scope *s, pv_tensor *labels, int foreground)
{
    pv_tensor *hot = pv_keep(s, pv_onehot(t, labels, foreground + 1));
    return pv_keep(s, pv_slice_channels(t, hot, 1, foreground));
}

/* FLAT [n]: the largest value of every sample of x [n][1]. */
static pv_tensor *largest_of(pv_tape *t, struct pv_scope *s, pv_tensor *x)
{
    struct pv_scope k = {0};
    pv_tensor *all = NULL;
    for (int i = 0; x && i < x->h.n; i++) {
        pv_tensor *one = pv_keep(&k, pv_tensor_samples(x, i, 1));
        pv_tensor *top = pv_keep(&k, pv_percentile_of(t, one, 100, NULL));
        pv_tensor *voxel = top ? pv_keep(&k, pv_reshape(t, top, pv_plain(3, 1, 1, (int[]){1, 1, 1}))) : NULL;
        all = all ? pv_keep(&k, pv_concat_samples(t, 2, (pv_tensor *[]){all, voxel})) : voxel;
    }
    pv_tensor *y = all ? pv_keep(s, pv_reshape(t, all, pv_flat(x->h.n))) : NULL;
    pv_scope_end(&k);
    return y;
}

/* Distances of squared ones [n][1] over their largest, and where that is not PV_EDT_FAR, FLAT [n]. */
static pv_tensor *normal_distance(pv_tape *t, struct pv_scope *s, pv_tensor *squared, pv_tensor **exists)
{
    pv_tensor *top = largest_of(t, s, squared);
    pv_tensor *none = pv_keep(s, pv_unary(t, PV_GE, top, (float)(PV_EDT_FAR / 2), 0));
    *exists = pv_keep(s, pv_unary(t, PV_SCALE, none, -1, 1));
    pv_tensor *scale = pv_keep(s, pv_unary(t, PV_POW, pv_keep(s, pv_unary(t, PV_CLAMP, top, 1, 2e9f)), -0.5f, 0));
    return pv_keep(s, pv_binary(t, PV_MUL, pv_keep(s, pv_unary(t, PV_SQRT, squared, 0, 0)), scale));
}

/* Signed distance maps [n][C - 1] of 0/1 maps, for each sample and class
 *     D = d(to the object) / max - d(to what is around it) / max, 0 on the object's voxels that touch its surroundings,
 * thus in [-1, 1] and negative inside; 0 everywhere if the object is absent or fills the crop. A constant. */
static pv_tensor *signed_distance(pv_tape *t, struct pv_scope *s, pv_tensor *object)
{
    if (!object)
        return NULL;
    struct pv_scope k = {0};
    bool recording = t->recording;
    t->recording = false;
    struct pv_shape h = object->h, single = pv_plain(h.dims, h.n * h.c, 1, h.s);
    pv_tensor *in = pv_keep(&k, pv_reshape(t, object, single)), *there, *around;
    pv_tensor *out = pv_keep(&k, pv_unary(t, PV_SCALE, in, -1, 1));
    pv_tensor *inside = pv_keep(&k, pv_edt2(t, in)), *outside = pv_keep(&k, pv_edt2(t, out));
    pv_tensor *deep = pv_keep(&k, pv_unary(t, PV_GT, inside, 1, 0));
    pv_tensor *d_in = normal_distance(t, &k, inside, &around), *d_out = normal_distance(t, &k, outside, &there);
    pv_tensor *d = pv_keep(&k, pv_binary(t, PV_SUB, d_out, pv_keep(&k, pv_binary(t, PV_MUL, d_in, deep))));
    d = pv_keep(&k, pv_binary(t, PV_MUL, d, there));
    d = pv_keep(&k, pv_binary(t, PV_MUL, d, around));
    pv_tensor *y = d ? pv_keep(s, pv_reshape(t, d, h)) : NULL;
    pv_scope_end(&k);
    t->recording = recording;
    return y;
}

static pv_tensor *dice(pv_tape *t, struct pv_scope *s, pv_tensor *prob, pv_tensor *object, pv_tensor *known)
{
    uint32_t all = prob ? (uint32_t)((UINT64_C(1) << prob->h.c) - 1) : 1;
    return pv_keep(s, pv_dice(t, prob, object, known, (struct pv_dice_opts){.form = PV_DICE_SQ, .classes = all}));
}

static pv_tensor *distance_mse(pv_tape *t, struct pv_scope *s, pv_tensor *level, pv_tensor *sdf, pv_tensor *known)
{
    return pv_keep(s, pv_mse(t, level, sdf, known, (struct pv_reduction){PV_RED_MEAN, .per_channel = true}));
}

static pv_tensor *task_mse(pv_tape *t, struct pv_scope *s, const struct tasks *k, double steepness)
{
    pv_tensor *steep = pv_keep(s, pv_unary(t, PV_SCALE, k->level, (float)-steepness, 0));
    pv_tensor *mask = pv_keep(s, pv_unary(t, PV_SIGMOID, steep, 0, 0));
    return pv_keep(s, pv_mse(t, mask, k->prob, NULL, (struct pv_reduction){PV_RED_MEAN_ALL, .per_channel = true}));
}

/* ---- step ---- */

static void step(struct pv_run *r, const struct pv_patches *b)
{
    const struct dtc *s = r->state;
    struct pv_scope k = {0};
    struct model_pass p;
    pv_tape *t = r->tape;
    pv_tensor *l[3];
    float w[3] = {1};
    int n = 1;
    model_student(r, &k, &s->m, b->image, b->label, b->num_labeled, 1, 0, &p);
    struct tasks labeled = split(t, &k, p.zl);
    pv_tensor *object = objects(t, &k, p.labels, r->classes - 1);
    pv_tensor *known = pv_keep(&k, pv_label_known(t, p.labels, PV_IGNORE));
    l[0] = dice(t, &k, labeled.prob, object, known);
    pv_run_log(r, "loss_dice", l[0]);
    if (pv_run_opt(r, "beta") > 0) {
        w[n] = (float)pv_run_opt(r, "beta");
        l[n] = distance_mse(t, &k, labeled.level, signed_distance(t, &k, object), known);
        pv_run_log(r, "loss_sdf", l[n++]);
    }
    if (pv_run_opt(r, "consistency") > 0) {
        struct tasks all = split(t, &k, p.z);
        w[n] = (float)model_weight(r);
        l[n] = task_mse(t, &k, &all, pv_run_opt(r, "steepness"));
        pv_run_log(r, "loss_consistency", l[n++]);
    }
    model_end(r, &k, &s->m, &p, n, l, w);
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    struct pv_net_out o;
    struct pv_scope k = {0};
    int f = r->classes - 1;
    if (!pv_run_forward(r, ((struct dtc *)r->state)->m.student, image, 0, 0, 0, &o))
        return NULL;
    pv_tensor *z = pv_keep(&k, pv_slice_channels(r->tape, o.logits, f, f));
    pv_tensor *zero = pv_keep(&k, pv_unary(r->tape, PV_SCALE, pv_keep(&k, pv_slice_channels(r->tape, z, 0, 1)), 0, 0));
    pv_tensor *p = pv_softmax(r->tape, pv_keep(&k, pv_concat(r->tape, zero, z)));
    pv_net_out_free(&o);
    pv_scope_end(&k);
    return p;
}

const struct pv_method pv_method_dtc = {
    .name = "dtc", .summary = "dual-task consistency: segmentation and signed distances of one network", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct dtc), .init = init, .step = step, .predict = predict,
};

/* ---- named losses ---- */

static const struct pv_named_arg sup_args[] = {
    {"logits", PV_ARG_PLAIN, "[n, 2 (classes - 1), x, y, z]", true, false, "level sets before tanh, then segmentation"},
    {"labels", PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, "class numbers; 255 is ignored"},
    {0}};
static const struct pv_named_opt sup_opts[] = {{"beta", 0.3, NULL, "weight of the distance maps"}, {0}};
static const struct pv_named_arg task_args[] = {
    {"logits", PV_ARG_PLAIN, "[n, 2 (classes - 1), x, y, z]", true, false, "as above, of any images"}, {0}};
static const struct pv_named_opt task_opts[] = {{"steepness", 1500, NULL, "k"}, {0}};

static void eval_sup(struct pv_named_call *c)
{
    pv_tape *t = c->tape;
    struct pv_scope *s = &c->scope;
    pv_tensor *z = pv_named_in(c, "logits"), *y = pv_named_in(c, "labels");
    struct tasks k = split(t, s, z);
    pv_tensor *object = objects(t, s, y, z ? z->h.c / 2 : 0), *sdf = signed_distance(t, s, object);
    pv_tensor *known = pv_keep(s, pv_label_known(t, y, PV_IGNORE));
    pv_tensor *l[] = {dice(t, s, k.prob, object, known), distance_mse(t, s, k.level, sdf, known)};
    float w[] = {1, (float)pv_named_num(c, "beta")};
    pv_named_out(c, "loss", pv_keep(s, pv_scalar_sum(t, 2, l, w, NULL)));
    pv_named_out(c, "dice", l[0]);
    pv_named_out(c, "distance", l[1]);
    pv_named_out(c, "sdf", sdf);
}

static void eval_task(struct pv_named_call *c)
{
    struct tasks k = split(c->tape, &c->scope, pv_named_in(c, "logits"));
    pv_named_out(c, "loss", task_mse(c->tape, &c->scope, &k, pv_named_num(c, "steepness")));
}

static const struct pv_named_loss
    loss_sup = {"dtc.sup", "Dice + beta (level set - signed distance)^2 (DTC)", sup_args, sup_opts, eval_sup},
    loss_task = {"dtc.consistency", "(sigmoid(-k level set) - probability)^2 (DTC)", task_args, task_opts,
                 eval_task};

const struct pv_named_loss *const pv_named_dtc[] = {&loss_sup, &loss_task, NULL};
