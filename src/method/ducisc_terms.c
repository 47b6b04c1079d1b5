/* SPDX-License-Identifier: Apache-2.0
 * Terms of DuCiSC: losses over four scales, self-aware thresholds, prototypes. Everything that depends on the data
 * (what is kept, which classes are there) is decided on the device. */
#include "method/ducisc.h"

#include "ops/dice.h"
#include "ops/loss.h"
#include "ops/map.h"
#include "ops/proto.h"
#include "ops/reduce.h"
#include "ops/resize.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

static const struct pv_reduction mean = {PV_RED_MEAN};
static const struct pv_reduction mean_classes = {PV_RED_MEAN, .per_channel = true};
static const struct pv_dice_opts dice_opts = {.form = PV_DICE_LIN};

/* ---- pseudo labels ---- */

/* Channel c of constant [n][C]. */
static pv_tensor *channel(pv_tape *t, struct pv_scope *k, pv_tensor *x, int c)
{
    return pv_keep(k, pv_slice_channels(t, x, c, 1));
}

static pv_tensor *keep_mask(pv_tape *t, const struct ducisc_opts *o, pv_tensor *prob, pv_tensor *thresholds)
{
    struct pv_scope k = {0};
    pv_tensor *any = NULL;
    if (o->thresholds == DUCISC_FIXED) {
        pv_tensor *most = pv_keep(&k, pv_max_prob(t, prob));
        any = pv_unary(t, PV_GT, most, o->fixed, 0);
    } else {
        for (int c = 0; prob && thresholds && c < prob->h.c; c++) {
            pv_tensor *th = pv_keep(&k, pv_tensor_view(thresholds, (size_t)c, 1));
            pv_tensor *over = pv_binary(t, PV_GREATER, channel(t, &k, prob, c), th);
            pv_keep(&k, any);
            pv_keep(&k, c ? over : NULL);
            any = c ? pv_binary(t, PV_OR, any, over) : over;
        }
    }
    pv_scope_end(&k);
    return any;
}

bool ducisc_pseudo(pv_tape *t, struct pv_scope *s, const struct ducisc_opts *o, pv_tensor *logits,
                   pv_tensor *thresholds, struct ducisc_pseudo *out)
{
    *out = (struct ducisc_pseudo){0};
    if (!logits)
        return false;
    bool recording = t->recording;
    t->recording = false;
    pv_tensor *prob = pv_softmax(t, logits);
    out->label = pv_keep(s, pv_argmax(t, logits));
    out->onehot = pv_keep(s, pv_onehot(t, out->label, logits->h.c));
    if (o->thresholds != DUCISC_NONE)
        out->kept = pv_keep(s, keep_mask(t, o, prob, thresholds));
    pv_tensor_put(&prob);
    t->recording = recording;
    return out->onehot && (out->kept || o->thresholds == DUCISC_NONE);
}

/* ---- losses over the scales ---- */

/* The mean over the scales of half (ce + dice). valid (may be NULL, or hold NULLs): the whole is 0 unless all of
 * them are 1. */
static pv_tensor *over_scales(pv_tape *t, struct pv_scope *s, pv_tensor *const *ce, pv_tensor *const *dice,
                              pv_tensor *const *valid)
{
    pv_tensor *term[2 * DUCISC_SCALES], *ok = NULL, *sum;
    float w[2 * DUCISC_SCALES];
    struct pv_scope k = {0};
    for (int i = 0; i < DUCISC_SCALES; i++) {
        term[2 * i] = ce[i];
        term[2 * i + 1] = dice[i];
        w[2 * i] = w[2 * i + 1] = 0.5f / DUCISC_SCALES;
        if (valid && valid[i])
            ok = ok ? pv_keep(&k, pv_binary(t, PV_AND, ok, valid[i])) : valid[i];
    }
    sum = pv_scalar_sum(t, 2 * DUCISC_SCALES, term, w, NULL);
    if (ok) {
        pv_keep(&k, sum);
        sum = pv_scalar_sum(t, 1, &sum, NULL, &ok);
    }
    pv_scope_end(&k);
    return pv_keep(s, sum);
}

/* 1 if the mask keeps a voxel. */
static pv_tensor *any_kept(pv_tape *t, struct pv_scope *k, pv_tensor *mask)
{
    pv_tensor *count = pv_keep(k, pv_sum(t, mask, NULL));
    return pv_keep(k, pv_unary(t, PV_GT, count, 0, 0));
}

pv_tensor *ducisc_sup(pv_tape *t, struct pv_scope *s, pv_tensor *const z[DUCISC_SCALES], pv_tensor *labels)
{
    struct pv_scope k = {0};
    pv_tensor *ce[DUCISC_SCALES], *dice[DUCISC_SCALES];
    for (int i = 0; i < DUCISC_SCALES; i++) {
        if (!z[i])
            goto error;
        pv_tensor *y = pv_keep(&k, pv_resize_const(t, labels, z[i]->h.s, PV_NEAREST));
        pv_tensor *known = pv_keep(&k, pv_label_known(t, y, PV_IGNORE));
        pv_tensor *p = pv_keep(&k, pv_softmax(t, z[i]));
        ce[i] = pv_keep(&k, pv_ce_hard(t, z[i], y, NULL, PV_IGNORE, mean));
        dice[i] = pv_keep(&k, pv_dice(t, p, y, known, dice_opts));
    }
    pv_tensor *loss = over_scales(t, s, ce, dice, NULL);
    pv_scope_end(&k);
    return loss;
error:
    pv_scope_end(&k);
    return NULL;
}

pv_tensor *ducisc_cs_ulb(pv_tape *t, struct pv_scope *s, pv_tensor *const z[DUCISC_SCALES],
                         const struct ducisc_pseudo p[DUCISC_SCALES])
{
    struct pv_scope k = {0};
    pv_tensor *ce[DUCISC_SCALES], *dice[DUCISC_SCALES], *valid[DUCISC_SCALES] = {0};
    for (int i = 0; i < DUCISC_SCALES; i++) {
        pv_tensor *prob = pv_keep(&k, pv_softmax(t, z[i]));
        ce[i] = pv_keep(&k, pv_ce_hard(t, z[i], p[i].label, p[i].kept, PV_NO_IGNORE, mean));
        dice[i] = pv_keep(&k, pv_dice(t, prob, p[i].label, p[i].kept, dice_opts));
        if (p[i].kept)
            valid[i] = any_kept(t, &k, p[i].kept);
    }
    pv_tensor *loss = over_scales(t, s, ce, dice, valid);
    pv_scope_end(&k);
    return loss;
}

/* ---- mixed images ---- */

pv_tensor *ducisc_mix_target(pv_tape *t, struct pv_scope *s, pv_tensor *labels, pv_tensor *pseudo, pv_tensor *sigma,
                             pv_tensor *rest)
{
    struct pv_scope k = {0};
    if (!labels || !pseudo)
        return NULL;
    pv_tensor *gt = pv_keep(&k, pv_onehot(t, labels, pseudo->h.c));
    pv_tensor *a = pv_keep(&k, pv_binary(t, PV_MUL, gt, sigma));
    pv_tensor *b = pv_keep(&k, pv_binary(t, PV_MUL, pseudo, rest));
    pv_tensor *both = pv_keep(&k, pv_binary(t, PV_ADD, a, b));
    pv_tensor *known = pv_keep(&k, pv_label_known(t, labels, PV_IGNORE));
    pv_tensor *y = pv_keep(s, pv_binary(t, PV_MUL, both, known));
    pv_scope_end(&k);
    return y;
}

pv_tensor *ducisc_cs_mix(pv_tape *t, struct pv_scope *s, const struct ducisc_opts *o,
                         pv_tensor *const z[DUCISC_SCALES], pv_tensor *y, pv_tensor *labels,
                         const struct ducisc_pseudo p[DUCISC_SCALES])
{
    struct pv_scope k = {0};
    pv_tensor *ce[DUCISC_SCALES], *dice[DUCISC_SCALES], *valid[DUCISC_SCALES];
    for (int i = 0; i < DUCISC_SCALES; i++) {
        if (!z[i])
            goto error;
        pv_tensor *target = pv_keep(&k, pv_resize_const(t, y, z[i]->h.s, PV_LINEAR));
        pv_tensor *l = pv_keep(&k, pv_resize_const(t, labels, z[i]->h.s, PV_NEAREST));
        pv_tensor *mask = pv_keep(&k, pv_label_known(t, l, PV_IGNORE));
        if (p[i].kept) {
            pv_tensor *kept = pv_keep(&k, pv_tensor_samples(p[i].kept, 0, z[i]->h.n));
            mask = pv_keep(&k, pv_binary(t, PV_MUL, kept, mask));
        }
        pv_tensor *prob = pv_keep(&k, pv_softmax(t, z[i]));
        ce[i] = pv_keep(&k, o->mix_ce ? pv_ce_soft(t, z[i], target, mask, mean)
                                      : pv_kl_soft(t, z[i], target, mask, mean_classes));
        dice[i] = pv_keep(&k, pv_dice(t, prob, target, mask, dice_opts));
        valid[i] = any_kept(t, &k, mask);
    }
    pv_tensor *loss = over_scales(t, s, ce, dice, valid);
    pv_scope_end(&k);
    return loss;
error:
    pv_scope_end(&k);
    return NULL;
}

/* ---- prototypes ---- */

bool ducisc_label_weights(pv_tape *t, struct pv_scope *s, pv_tensor *labels, int classes,
                          pv_tensor *const f[DUCISC_SCALES], pv_tensor *w[DUCISC_SCALES])
{
    bool ok = true;
    for (int i = 0; i < DUCISC_SCALES; i++) {
        pv_tensor *y = f[i] ? pv_resize_const(t, labels, f[i]->h.s, PV_NEAREST) : NULL;
        w[i] = pv_keep(s, pv_onehot(t, y, classes));
        pv_tensor_put(&y);
        ok = ok && w[i];
    }
    return ok;
}

bool ducisc_soft_weights(pv_tape *t, struct pv_scope *s, pv_tensor *y, pv_tensor *const f[DUCISC_SCALES],
                         pv_tensor *w[DUCISC_SCALES])
{
    bool ok = true;
    for (int i = 0; i < DUCISC_SCALES; i++) {
        w[i] = pv_keep(s, f[i] ? pv_resize_const(t, y, f[i]->h.s, PV_LINEAR) : NULL);
        ok = ok && w[i];
    }
    return ok;
}

/* a + b where a may be absent. */
static pv_tensor *plus(pv_tape *t, struct pv_scope *k, pv_tensor *a, pv_tensor *b)
{
    return a && b ? pv_keep(k, pv_scalar_sum(t, 2, (pv_tensor *[]){a, b}, NULL, NULL)) : b;
}

/* 1 / max(x, 1) of a count. */
static pv_tensor *inverse(pv_tape *t, struct pv_scope *k, pv_tensor *x)
{
    pv_tensor *least = pv_keep(k, pv_unary(t, PV_CLAMP, x, 1, 3e38f));
    return pv_keep(k, pv_unary(t, PV_POW, least, -1, 0));
}

/* What one scale contributes: a distance and whether it counts (FLAT [1] each). */
struct distance { pv_tensor *value, *valid; };

/* All classes at once; the scale counts if every class is in every image. */
static struct distance whole_scale(pv_tape *t, struct pv_scope *k, const struct ducisc_opts *o, pv_tensor *f,
                                   pv_tensor *wf, pv_tensor *g, pv_tensor *wg)
{
    struct distance d = {0};
    if (!f || !wf || !g || !wg)
        return d;
    pv_tensor *sf, *sg;
    pv_tensor *p = pv_keep(k, pv_masked_pool(t, f, wf, 0, false, &sf)), *q;
    q = pv_keep(k, pv_masked_pool(t, g, wg, 0, false, &sg));
    pv_keep(k, sf);
    pv_keep(k, sg);
    if (!o->by_image) {
        p = pv_keep(k, pv_proto_mean(t, p, f->h.n));
        q = pv_keep(k, pv_proto_mean(t, q, g->h.n));
    }
    pv_tensor *dist = pv_keep(k, pv_proto_dist2(t, p, q, !o->sum, sf, sg, &d.valid));
    pv_keep(k, d.valid);
    int images = o->by_image ? f->h.n : 1;
    float w = o->sum ? 1.0f / (float)(wf->h.c * images) : 1;
    d.value = pv_keep(k, pv_scalar_sum(t, 1, &dist, &w, NULL));
    return d;
}

/* FLAT [n]: whether an image has the class with weights w [n][1]. */
static pv_tensor *has_class(pv_tape *t, struct pv_scope *k, pv_tensor *w)
{
    pv_tensor *sum = pv_keep(k, pv_sum_samples(t, w, NULL));
    return pv_keep(k, pv_unary(t, PV_GT, sum, 0, 0));
}

/* FLAT [d]: the prototype of one class, mean over the `count` images that have it (those without give 0). */
static pv_tensor *mean_present(pv_tape *t, struct pv_scope *k, pv_tensor *f, pv_tensor *w, pv_tensor *count)
{
    pv_tensor *p = pv_keep(k, pv_masked_pool(t, f, w, 0, false, NULL));
    pv_tensor *m = pv_keep(k, pv_proto_mean(t, p, f->h.n));
    pv_tensor *up = pv_keep(k, pv_unary(t, PV_SCALE, inverse(t, k, count), (float)f->h.n, 0));
    return pv_keep(k, pv_binary(t, PV_MUL, m, up));
}

/* Squared distance of one class and *count, how many distances that is: over the pairs of images that both have it
 * (by_image), or one for the batch if both sides have it. */
static pv_tensor *class_distance(pv_tape *t, struct pv_scope *s, bool by_image, pv_tensor *f, pv_tensor *a,
                                 pv_tensor *g, pv_tensor *b, pv_tensor **count)
{
    struct pv_scope k = {0};
    pv_tensor *ha = has_class(t, &k, a), *hb = has_class(t, &k, b), *dist;
    if (by_image) {             /* weights of the other images are emptied: prototypes 0 on both sides */
        pv_tensor *both = pv_keep(&k, pv_binary(t, PV_AND, ha, hb));
        pv_tensor *wa = pv_keep(&k, pv_binary(t, PV_MUL, a, both)), *wb = pv_keep(&k, pv_binary(t, PV_MUL, b, both));
        pv_tensor *p = pv_keep(&k, pv_masked_pool(t, f, wa, 0, false, NULL));
        pv_tensor *q = pv_keep(&k, pv_masked_pool(t, g, wb, 0, false, NULL));
        *count = pv_keep(s, pv_sum(t, both, NULL));
        dist = pv_proto_dist2(t, p, q, false, NULL, NULL, NULL);
    } else {
        pv_tensor *na = pv_keep(&k, pv_sum(t, ha, NULL)), *nb = pv_keep(&k, pv_sum(t, hb, NULL));
        pv_tensor *p = mean_present(t, &k, f, a, na), *q = mean_present(t, &k, g, b, nb);
        *count = pv_keep(s, pv_binary(t, PV_AND, na, nb));
        dist = pv_proto_dist2(t, p, q, false, na, nb, NULL);
    }
    pv_scope_end(&k);
    return pv_keep(s, dist);
}

static struct distance by_class(pv_tape *t, struct pv_scope *s, const struct ducisc_opts *o, pv_tensor *f,
                                pv_tensor *wf, pv_tensor *g, pv_tensor *wg)
{
    struct distance d = {0};
    if (!f || !wf || !g || !wg)
        return d;
    struct pv_scope k = {0};
    pv_tensor *total = NULL, *count = NULL, *here = NULL;
    for (int c = 0; c < wf->h.c; c++) {
        pv_tensor *a = channel(t, &k, wf, c), *b = channel(t, &k, wg, c);
        total = plus(t, &k, total, class_distance(t, &k, o->by_image, f, a, g, b, &here));
        count = plus(t, &k, count, here);
    }
    d.valid = pv_keep(s, pv_unary(t, PV_GT, count, 0, 0));
    float w = o->sum ? 1.0f / (float)(wf->h.c * (o->by_image ? f->h.n : 1)) : 1.0f / (float)f->h.c;
    pv_tensor *inv = o->sum ? NULL : inverse(t, &k, count);
    d.value = pv_keep(s, pv_scalar_sum(t, 1, &total, &w, &inv));
    pv_scope_end(&k);
    return d;
}

pv_tensor *ducisc_proto(pv_tape *t, struct pv_scope *s, const struct ducisc_opts *o,
                        pv_tensor *const f[DUCISC_SCALES], pv_tensor *const wf[DUCISC_SCALES],
                        pv_tensor *const g[DUCISC_SCALES], pv_tensor *const wg[DUCISC_SCALES])
{
    struct pv_scope k = {0};
    pv_tensor *value[DUCISC_SCALES], *valid[DUCISC_SCALES];
    for (int i = 0; i < DUCISC_SCALES; i++) {
        struct distance d = (o->by_class ? by_class : whole_scale)(t, &k, o, f[i], wf[i], g[i], wg[i]);
        value[i] = d.value;
        valid[i] = d.valid;
    }
    pv_tensor *sum = pv_scalar_sum(t, DUCISC_SCALES, value, NULL, NULL);
    if (!o->sum) {              /* mean over the scales that count */
        pv_tensor *inv = inverse(t, &k, pv_keep(&k, pv_scalar_sum(t, DUCISC_SCALES, valid, NULL, NULL)));
        pv_keep(&k, sum);
        sum = pv_scalar_sum(t, 1, &sum, NULL, &inv);
    }
    pv_scope_end(&k);
    return pv_keep(s, sum);
}

/* ---- thresholds ---- */

pv_tensor *ducisc_threshold(pv_tape *t, struct pv_scope *s, pv_tensor *thresholds, pv_tensor *student_logits,
                            pv_tensor *onehot, double beta, double lo, double hi)
{
    bool recording = t->recording;
    struct pv_scope k = {0};
    t->recording = false;
    pv_tensor *prob = pv_keep(&k, pv_softmax(t, student_logits));
    pv_tensor *own = pv_keep(&k, pv_binary(t, PV_MUL, prob, onehot));
    pv_tensor *sum = pv_keep(&k, pv_sum_classes(t, own, NULL)), *count = pv_keep(&k, pv_sum_classes(t, onehot, NULL));
    pv_tensor *least = pv_keep(&k, pv_unary(t, PV_CLAMP, count, 1, 3e38f));
    pv_tensor *avg = pv_keep(&k, pv_binary(t, PV_DIV, sum, least));
    pv_tensor *new = pv_keep(&k, pv_unary(t, PV_SCALE, avg, (float)(1 - beta), 0));
    pv_tensor *old = pv_keep(&k, pv_unary(t, PV_SCALE, thresholds, (float)beta, 0));
    pv_tensor *moved = pv_keep(&k, pv_binary(t, PV_ADD, old, new));
    pv_tensor *clipped = pv_keep(&k, pv_unary(t, PV_CLAMP, moved, (float)lo, (float)hi));
    pv_tensor *result = pv_keep(s, pv_select(t, count, clipped, thresholds));
    pv_scope_end(&k);
    t->recording = recording;
    return result;
}

pv_tensor *ducisc_total(pv_tape *t, struct pv_scope *s, int num, pv_tensor *const *l, const float *w, bool normalised)
{
    return pv_keep(s, normalised ? pv_self_normalised(t, num, l, w) : pv_scalar_sum(t, num, l, w, NULL));
}
