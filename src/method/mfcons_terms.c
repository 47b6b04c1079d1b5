/* SPDX-License-Identifier: Apache-2.0
 * Terms of MF-ConS and their named losses. */
#include "method/mfcons.h"
#include "method/named.h"
#include "ops/augment.h"
#include "ops/loss.h"
#include "ops/map.h"
#include "ops/proto.h"
#include "ops/resize.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

pv_tensor *mfcons_supervised(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels, const char *how)
{
    enum pv_red_kind kind = pv_streq(how, "pooled") ? PV_RED_MEAN
                            : pv_streq(how, "kept") ? PV_RED_SAMPLE_MEAN_KEPT : PV_RED_SAMPLE_MEAN;
    return pv_keep(s, pv_ce_hard(t, logits, labels, NULL, PV_IGNORE, (struct pv_reduction){kind}));
}

pv_tensor *mfcons_mae(pv_tape *t, struct pv_scope *s, pv_tensor *a, pv_tensor *b)
{
    return pv_keep(s, pv_mae(t, a, b, NULL, (struct pv_reduction){PV_RED_MEAN_ALL, .per_channel = true}));
}

pv_tensor *mfcons_niop(pv_tape *t, struct pv_scope *s, pv_tensor *student, pv_tensor *teacher, double beta)
{
    bool recording = t->recording;
    t->recording = false;
    pv_tensor *sharp = pv_keep(s, pv_unary(t, PV_SCALE, teacher, (float)(1 / beta), 0));
    pv_tensor *target = pv_keep(s, pv_softmax(t, sharp));
    t->recording = recording;
    pv_tensor *p = pv_keep(s, pv_softmax(t, student));
    return mfcons_mae(t, s, p, target);
}

/* The smallest value of every sample, repeated over its voxels. */
static pv_tensor *darkest(pv_tape *t, struct pv_scope *s, pv_tensor *x)
{
    pv_tensor *all[PV_NODE_IN], *zero = pv_keep(s, pv_unary(t, PV_SCALE, x, 0, 0)), *y = NULL;
    for (int first = 0; x && first < x->h.n; first += PV_NODE_IN) {
        int n = pv_min(x->h.n - first, PV_NODE_IN);
        for (int i = 0; i < n; i++) {
            pv_tensor *one = pv_keep(s, pv_tensor_samples(x, first + i, 1));
            pv_tensor *flat = pv_keep(s, pv_tensor_samples(zero, first + i, 1));
            all[i] = pv_keep(s, pv_binary(t, PV_ADD, flat, pv_keep(s, pv_percentile_of(t, one, 0, NULL))));
        }
        pv_tensor *part = pv_keep(s, pv_concat_samples(t, n, all));
        y = y ? pv_keep(s, pv_concat_samples(t, 2, (pv_tensor *[]){y, part})) : part;
    }
    return y;
}

pv_tensor *mfcons_mask(pv_tape *t, struct pv_scope *s, pv_tensor *x, pv_tensor *keep, int cube, double probability,
                       enum mfcons_fill fill)
{
    bool recording = t->recording;
    pv_tensor *y;
    t->recording = false;
    if (!keep && fill == MFCONS_ZERO) {
        y = pv_keep(s, pv_cube_mask(t, x, cube, (float)probability, 0));
    } else {
        pv_tensor *zero = pv_keep(s, pv_unary(t, PV_SCALE, x, 0, 0));
        if (!keep) {
            pv_tensor *one = pv_keep(s, pv_unary(t, PV_SCALE, zero, 1, 1));
            keep = pv_keep(s, pv_cube_mask(t, one, cube, (float)probability, 0));
        }
        pv_tensor *in = fill == MFCONS_MIN ? darkest(t, s, x)
                        : fill == MFCONS_NOISE ? pv_keep(s, pv_noise(t, zero, 1, 1e9f)) : zero;
        y = pv_keep(s, pv_select(t, keep, x, in));
    }
    t->recording = recording;
    return y;
}

/* One-hot labels and the weights of voxels in prototypes. */
struct soft { pv_tensor *p, *onehot, *weight; };

static struct soft labels_of(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels, bool one)
{
    struct soft r = {.p = pv_keep(s, pv_softmax(t, logits))};
    int c = logits ? logits->h.c : 0;
    r.onehot = pv_keep(s, pv_onehot(t, pv_keep(s, pv_argmax(t, logits)), c));
    pv_tensor *sure = r.p;
    if (labels) {
        pv_tensor *known = pv_keep(s, pv_label_known(t, labels, PV_IGNORE));
        r.onehot = pv_keep(s, pv_select(t, known, pv_keep(s, pv_onehot(t, labels, c)), r.onehot));
        if (one)
            sure = pv_keep(s, pv_binary(t, PV_MAX, r.p, known));
    }
    r.weight = pv_keep(s, pv_binary(t, PV_MUL, r.onehot, sure));
    return r;
}

static pv_tensor *by_prototypes(pv_tape *t, struct pv_scope *s, pv_tensor *f, pv_tensor *c, int classes, double scale)
{
    return pv_keep(s, pv_softmax(t, pv_keep(s, pv_cosine(t, f, c, classes, (float)scale))));
}

pv_tensor *mfcons_fpm(pv_tape *t, struct pv_scope *s, struct mfcons_fpm *f)
{
    if (!f->feat_l || !f->feat_u || !f->logits_l || !f->logits_u)
        return NULL;
    bool recording = t->recording;
    const int *size = f->logits_l->h.s, c = f->logits_l->h.c;
    pv_tensor *fl = pv_keep(s, pv_resize(t, f->feat_l, size, PV_LINEAR));
    t->recording = false;
    pv_tensor *fu = pv_keep(s, pv_resize(t, f->feat_u, size, PV_LINEAR));
    struct soft l = labels_of(t, s, f->logits_l, f->labels, f->annotated_one);
    struct soft u = labels_of(t, s, f->logits_u, NULL, false);
    pv_tensor *cu = pv_keep(s, pv_masked_pool(t, fu, u.weight, 1e-5f, f->pooled, NULL));
    t->recording = recording && !f->fixed;
    pv_tensor *cl = pv_keep(s, pv_masked_pool(t, fl, l.weight, 1e-5f, f->pooled, NULL));
    f->fused = pv_keep(s, pv_proto_mix(t, cl, cu, (float)f->gamma));
    t->recording = recording;
    f->loss_l = mfcons_mae(t, s, by_prototypes(t, s, fl, f->fused, c, f->scale), l.onehot);
    f->loss_u = mfcons_mae(t, s, by_prototypes(t, s, fu, f->fused, c, f->scale), u.p);
    return pv_keep(s, pv_scalar_sum(t, 2, (pv_tensor *[]){f->loss_l, f->loss_u}, NULL, NULL));
}

/* ---- named losses ---- */

static const struct pv_named_arg sup_args[] = {
    {"logits", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "student's logits of the annotated images"},
    {"labels", PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, "class numbers; 255 is not annotated"},
    {0}};
static const struct pv_named_opt sup_opts[] = {
    {"supervised", 0, "image", "image, kept or pooled"},
    {0}};

static void eval_sup(struct pv_named_call *c)
{
    const char *how = pv_named_is(c, "supervised", "pooled") ? "pooled"
                      : pv_named_is(c, "supervised", "kept") ? "kept" : "image";
    pv_named_out(c, "loss", mfcons_supervised(c->tape, &c->scope, pv_named_in(c, "logits"), pv_named_in(c, "labels"),
                                              how));
}

static const struct pv_named_arg pair_args[] = {
    {"student", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "student's logits"},
    {"teacher", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "teacher's logits"},
    {0}};
static const struct pv_named_opt niop_opts[] = {
    {"beta", 0.1, NULL, "sharpening temperature"},
    {0}};

static void eval_niop(struct pv_named_call *c)
{
    pv_named_out(c, "loss", mfcons_niop(c->tape, &c->scope, pv_named_in(c, "student"), pv_named_in(c, "teacher"),
                                        pv_named_num(c, "beta")));
}

static void eval_sta(struct pv_named_call *c)
{
    pv_named_out(c, "loss", mfcons_mae(c->tape, &c->scope, pv_named_in(c, "student"), pv_named_in(c, "teacher")));
}

static const struct pv_named_arg mask_args[] = {
    {"image", PV_ARG_PLAIN, "[n, channels, x, y, z]", false, false, "image"},
    {"keep", PV_ARG_PLAIN, "[n, 1, x, y, z]", false, false, "0 where masked"},
    {0}};
static const struct pv_named_opt mask_opts[] = {
    {"mask_fill", 0, "zero", "zero or min"},
    {0}};

static void eval_mask(struct pv_named_call *c)
{
    enum mfcons_fill fill = pv_named_is(c, "mask_fill", "min") ? MFCONS_MIN : MFCONS_ZERO;
    pv_named_out(c, "masked", mfcons_mask(c->tape, &c->scope, pv_named_in(c, "image"), pv_named_in(c, "keep"), 8, 0,
                                          fill));
}

static const struct pv_named_arg fpm_args[] = {
    {"feat_l", PV_ARG_MAP, "[nl, d, x/2, y/2, z/2]", true, false, "student's features of the annotated images"},
    {"logits_l", PV_ARG_PLAIN, "[nl, classes, x, y, z]", true, false, "student's logits of them"},
    {"labels", PV_ARG_LABEL, "[nl, 1, x, y, z]", false, false, "class numbers; 255 is not annotated"},
    {"feat_u", PV_ARG_MAP, "[nu, d, x/2, y/2, z/2]", false, false, "teacher's features of the unlabelled images"},
    {"logits_u", PV_ARG_PLAIN, "[nu, classes, x, y, z]", false, false, "teacher's logits of them"},
    {0}};
static const struct pv_named_opt fpm_opts[] = {
    {"gamma", 0.5, NULL, "share of the annotated images in the fused prototypes"},
    {"scale", 20, NULL, "factor of the cosines"},
    {"pairing", 0, "image", "image or pooled"},
    {"annotated", 0, "confidence", "confidence or one"},
    {"prototypes", 0, "trained", "trained or fixed"},
    {0}};

static void eval_fpm(struct pv_named_call *c)
{
    struct mfcons_fpm f = {.feat_l = pv_named_in(c, "feat_l"), .feat_u = pv_named_in(c, "feat_u"),
        .logits_l = pv_named_in(c, "logits_l"), .logits_u = pv_named_in(c, "logits_u"),
        .labels = pv_named_in(c, "labels"), .gamma = pv_named_num(c, "gamma"), .scale = pv_named_num(c, "scale"),
        .pooled = pv_named_is(c, "pairing", "pooled"), .annotated_one = pv_named_is(c, "annotated", "one"),
        .fixed = pv_named_is(c, "prototypes", "fixed")};
    pv_named_out(c, "loss", mfcons_fpm(c->tape, &c->scope, &f));
    pv_named_out(c, "labeled", f.loss_l);
    pv_named_out(c, "unlabeled", f.loss_u);
    pv_named_out(c, "fused", f.fused);
}

static const struct pv_named_loss
    loss_sup = {"mfcons.sup", "cross-entropy on annotated voxels (MF-ConS eq. 3)", sup_args, sup_opts, eval_sup},
    loss_niop = {"mfcons.niop", "|softmax(student on masked X) - sharpened teacher| (MF-ConS eq. 1)", pair_args,
                 niop_opts, eval_niop},
    loss_mask = {"mfcons.mask", "masked image (MF-ConS section 2.2)", mask_args, mask_opts, eval_mask},
    loss_fpm = {"mfcons.fpm", "prototype-driven consistency (MF-ConS eq. 2)", fpm_args, fpm_opts, eval_fpm},
    loss_sta = {"mfcons.sta", "mean |student's - teacher's logits| (MF-ConS section 2.2)", pair_args, NULL, eval_sta};

const struct pv_named_loss *const pv_named_mfcons[] = {&loss_sup, &loss_niop, &loss_mask, &loss_fpm, &loss_sta, NULL};
