/* SPDX-License-Identifier: Apache-2.0
 * Terms of the dual network of paper 003. Thresholds, masks and which classes have prototypes stay on the device. */
#include "method/cce.h"

#include "ops/loss.h"
#include "ops/map.h"
#include "ops/proto.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

static const struct pv_reduction mean = {PV_RED_MEAN};

bool cce_sides(pv_tape *t, struct pv_scope *s, struct cce_side side[2], double percent)
{
    bool recording = t->recording, ok = true;
    t->recording = false;
    for (int i = 0; i < 2; i++) {
        pv_tensor *p = pv_softmax(t, side[i].z);
        side[i].label = pv_keep(s, pv_argmax(t, side[i].z));
        side[i].entropy = pv_keep(s, pv_entropy(t, p, PV_ENTROPY_BITS, 0));
        side[i].tau = pv_keep(s, pv_percentile_of(t, side[i].entropy, percent, NULL));
        ok = ok && side[i].label && side[i].tau;
        pv_tensor_put(&p);
    }
    t->recording = recording;
    return ok;
}

/* *sum += x; an empty sum becomes x. */
static void plus(pv_tape *t, pv_tensor **sum, pv_tensor *x)
{
    pv_tensor *y = *sum ? pv_binary(t, PV_ADD, *sum, x) : pv_tensor_ref(x);
    pv_tensor_put(sum);
    *sum = y;
}

pv_tensor *cce_sum(pv_tape *t, struct pv_scope *s, pv_tensor *a, pv_tensor *b)
{
    return pv_keep(s, pv_scalar_sum(t, 2, (pv_tensor *[]){a, b}, NULL, NULL));
}

/* ---- cross pseudo supervision, entropy-filtered supervision ---- */

pv_tensor *cce_cps(pv_tape *t, struct pv_scope *s, const struct cce_side side[2])
{
    struct pv_scope k = {0};
    pv_tensor *a = pv_keep(&k, pv_ce_hard(t, side[0].z, side[1].label, NULL, PV_NO_IGNORE, mean));
    pv_tensor *b = pv_keep(&k, pv_ce_hard(t, side[1].z, side[0].label, NULL, PV_NO_IGNORE, mean));
    pv_tensor *loss = cce_sum(t, s, a, b);
    pv_scope_end(&k);
    return loss;
}

/* A's label where it is not background, else B's. */
static pv_tensor *union_label(pv_tape *t, struct pv_scope *k, const struct cce_side side[2])
{
    pv_tensor *a = pv_keep(k, pv_to_f32(t, side[0].label)), *b = pv_keep(k, pv_to_f32(t, side[1].label));
    return pv_keep(k, pv_to_i32(t, pv_keep(k, pv_select(t, a, a, b))));
}

pv_tensor *cce_efs(pv_tape *t, struct pv_scope *s, const struct cce_side side[2], enum cce_label label, bool both,
                   pv_tensor **kept_out)
{
    struct pv_scope k = {0};
    pv_tensor *high[2], *y[2], *ce[2];
    for (int i = 0; i < 2; i++)
        high[i] = pv_keep(&k, pv_binary(t, PV_GREATER, side[i].entropy, side[i].tau));
    pv_tensor *ignore = pv_keep(&k, pv_binary(t, both ? PV_AND : PV_OR, high[0], high[1]));
    pv_tensor *kept = pv_keep(s, pv_unary(t, PV_SCALE, ignore, -1, 1));
    pv_tensor *joint = label == CCE_UNION ? union_label(t, &k, side) : NULL;
    for (int i = 0; i < 2; i++) {
        y[i] = label == CCE_UNION ? joint : label == CCE_OWN ? side[i].label : side[1 - i].label;
        ce[i] = pv_keep(&k, pv_ce_hard(t, side[i].z, y[i], kept, PV_NO_IGNORE, mean));
    }
    pv_tensor *loss = cce_sum(t, s, ce[0], ce[1]);
    if (kept_out)
        *kept_out = kept;
    pv_scope_end(&k);
    return loss;
}

/* ---- uncertainty ---- */

pv_tensor *cce_une(pv_tape *t, struct pv_scope *s, pv_tensor *z, pv_tensor *zq, struct cce_une o)
{
    struct pv_scope k = {0};
    bool recording = t->recording;
    t->recording = false;
    pv_tensor *q = pv_keep(&k, pv_softmax(t, zq)), *target;
    if (o.hard)
        target = pv_keep(&k, pv_argmax(t, zq));
    else
        target = pv_keep(&k, pv_softmax(t, pv_keep(&k, pv_unary(t, PV_SCALE, zq, (float)(1 / o.temperature), 0))));
    t->recording = recording;
    pv_tensor *d = pv_keep(&k, pv_kl_soft_map(t, z, q, NULL));
    pv_tensor *ce = pv_keep(&k, o.hard ? pv_ce_hard_map(t, z, target, NULL, PV_NO_IGNORE)
                                       : pv_ce_soft_map(t, z, target, NULL));
    t->recording = recording && !o.detach;
    pv_tensor *w = pv_keep(&k, pv_unary(t, PV_EXP, pv_keep(&k, pv_unary(t, PV_NEG, d, 0, 0)), 0, 0));
    t->recording = recording;
    pv_tensor *wce = pv_keep(&k, pv_binary(t, PV_MUL, ce, w));
    pv_tensor *loss = pv_keep(s, pv_mean_of(t, pv_keep(&k, pv_binary(t, PV_ADD, wce, d)), NULL));
    pv_scope_end(&k);
    return loss;
}

/* ---- prototypes ---- */

/* 1 where both networks agree and both entropies are below their thresholds. Eq. 16. */
static pv_tensor *reliable(pv_tape *t, struct pv_scope *k, const struct cce_side side[2])
{
    pv_tensor *a = pv_keep(k, pv_to_f32(t, side[0].label)), *b = pv_keep(k, pv_to_f32(t, side[1].label));
    pv_tensor *low[2];
    for (int i = 0; i < 2; i++)
        low[i] = pv_keep(k, pv_unary(t, PV_SCALE, pv_keep(k, pv_binary(t, PV_GREATER_EQUAL, side[i].entropy,
                                                                      side[i].tau)), -1, 1));
    pv_tensor *same = pv_keep(k, pv_binary(t, PV_EQUAL, a, b));
    return pv_keep(k, pv_binary(t, PV_AND, same, pv_keep(k, pv_binary(t, PV_AND, low[0], low[1]))));
}

/* x / |x|, FLAT. */
static pv_tensor *unit(pv_tape *t, struct pv_scope *k, pv_tensor *x)
{
    pv_tensor *sum = pv_keep(k, pv_sum(t, pv_keep(k, pv_unary(t, PV_SQUARE, x, 0, 0)), NULL));
    pv_tensor *least = pv_keep(k, pv_unary(t, PV_CLAMP, sum, 1e-24f, 3e38f));
    return pv_keep(k, pv_binary(t, PV_MUL, x, pv_keep(k, pv_unary(t, PV_POW, least, -0.5f, 0))));
}

/* Prototype of class c, FLAT [d]; *there: FLAT [1], the number of its voxels. */
static pv_tensor *prototype(pv_tape *t, struct pv_scope *k, pv_tensor *f, pv_tensor *label, pv_tensor *reliable_mask,
                            int c, bool normalise, pv_tensor **there)
{
    pv_tensor *is = pv_keep(k, pv_label_equal(t, label, c));
    pv_tensor *w = pv_keep(k, pv_binary(t, PV_AND, is, reliable_mask));
    pv_tensor *p = pv_keep(k, pv_masked_pool(t, f, w, 0, true, there));
    pv_keep(k, *there);
    return normalise ? unit(t, k, p) : p;
}

/* Mean distance of the prototypes of all pairs of classes that are there. */
static pv_tensor *separation(pv_tape *t, struct pv_scope *s, pv_tensor *const *p, pv_tensor *const *there, int classes)
{
    struct pv_scope k = {0};
    pv_tensor *total = NULL, *pairs = NULL;
    for (int a = 0; a < classes; a++) {
        for (int b = a + 1; b < classes; b++) {
            struct pv_scope in = {0};
            pv_tensor *d2 = pv_keep(&in, pv_proto_dist2(t, p[a], p[b], false, there[a], there[b], NULL));
            pv_tensor *d = pv_keep(&in, pv_unary(t, PV_SQRT, d2, 0, 0));
            pv_tensor *both = pv_keep(&in, pv_binary(t, PV_AND, there[a], there[b]));
            plus(t, &total, d);
            plus(t, &pairs, both);
            pv_scope_end(&in);
        }
    }
    pv_keep(&k, total);
    pv_keep(&k, pairs);
    pv_tensor *least = pv_keep(&k, pv_unary(t, PV_CLAMP, pairs, 1, 3e38f));
    pv_tensor *inv = pv_keep(&k, pv_unary(t, PV_POW, least, -1, 0));
    pv_tensor *result = pv_keep(s, pv_scalar_sum(t, 1, &total, NULL, &inv));
    pv_scope_end(&k);
    return result;
}

/* I32 [n][1]: the label of uncertain voxels whose class has a prototype, -1 elsewhere. */
static pv_tensor *uncertain_index(pv_tape *t, struct pv_scope *s, pv_tensor *label, pv_tensor *reliable_mask,
                                  pv_tensor *const *there, int classes)
{
    struct pv_scope k = {0};
    pv_tensor *open = pv_keep(&k, pv_unary(t, PV_SCALE, reliable_mask, -1, 1)), *sum = NULL;
    for (int c = 0; c < classes; c++) {
        struct pv_scope in = {0};
        pv_tensor *is = pv_keep(&in, pv_label_equal(t, label, c));
        pv_tensor *here = pv_keep(&in, pv_binary(t, PV_AND, is, open));
        pv_tensor *valid = pv_keep(&in, pv_binary(t, PV_AND, here, there[c]));
        pv_tensor *number = pv_keep(&in, pv_unary(t, PV_SCALE, valid, (float)(c + 1), 0));
        plus(t, &sum, number);
        pv_scope_end(&in);
    }
    pv_keep(&k, sum);
    pv_tensor *index = pv_keep(s, pv_to_i32(t, pv_keep(&k, pv_unary(t, PV_SCALE, sum, 1, -1))));
    pv_scope_end(&k);
    return index;
}

pv_tensor *cce_pgl(pv_tape *t, struct pv_scope *s, const struct cce_side side[2], int i, struct cce_pgl o)
{
    const struct cce_side *me = &side[i];
    if (!me->z || !me->f)
        return NULL;
    struct pv_scope k = {0};
    bool recording = t->recording;
    int classes = me->z->h.c, d = me->f->h.c;
    pv_tensor *p[PV_CLASSES], *there[PV_CLASSES];
    t->recording = false;
    pv_tensor *sure = reliable(t, &k, side);
    pv_tensor *all = pv_keep(&k, pv_tensor_new(t->dev, pv_flat(classes * d), PV_F32));
    for (int c = 0; c < classes; c++) {
        struct pv_scope in = {0};
        t->recording = recording && o.live && o.separation != 0;
        p[c] = pv_keep(&k, pv_tensor_ref(prototype(t, &in, me->f, side[0].label, sure, c, o.normalise, &there[c])));
        t->recording = false;
        pv_keep(&k, pv_tensor_ref(there[c]));
        pv_tensor *row = pv_keep(&in, pv_tensor_view(all, (size_t)(c * d), d));
        pv_tensor_copy(row, p[c]);
        pv_scope_end(&in);
    }
    pv_tensor *index = uncertain_index(t, &k, me->label, sure, there, classes);
    t->recording = recording;
    pv_tensor *pull = pv_keep(&k, pv_proto_distance(t, me->f, all, index, classes, o.normalise, true));
    pv_tensor *loss;
    if (o.separation == 0) {
        loss = pv_keep(s, pv_tensor_ref(pull));
    } else {
        pv_tensor *apart = separation(t, &k, p, there, classes);
        loss = pv_keep(s, pv_scalar_sum(t, 2, (pv_tensor *[]){pull, apart}, (float[]){1, (float)o.separation}, NULL));
    }
    pv_scope_end(&k);
    return loss;
}

/* ---- cosine ---- */

/* Sum over channels, [n][1]. */
static pv_tensor *sum_channels(pv_tape *t, struct pv_scope *s, pv_tensor *x)
{
    pv_tensor *sum = NULL;
    for (int c = 0; x && c < x->h.c; c++) {
        pv_tensor *one = pv_slice_channels(t, x, c, 1);
        plus(t, &sum, one);
        pv_tensor_put(&one);
    }
    return pv_keep(s, sum);
}

pv_tensor *cce_cosine(pv_tape *t, struct pv_scope *s, pv_tensor *za, pv_tensor *zb)
{
    struct pv_scope k = {0};
    pv_tensor *p = pv_keep(&k, pv_softmax(t, za)), *q = pv_keep(&k, pv_softmax(t, zb));
    pv_tensor *pq = sum_channels(t, &k, pv_keep(&k, pv_binary(t, PV_MUL, p, q)));
    pv_tensor *pp = sum_channels(t, &k, pv_keep(&k, pv_unary(t, PV_SQUARE, p, 0, 0)));
    pv_tensor *qq = sum_channels(t, &k, pv_keep(&k, pv_unary(t, PV_SQUARE, q, 0, 0)));
    pv_tensor *lengths = pv_keep(&k, pv_unary(t, PV_SQRT, pv_keep(&k, pv_binary(t, PV_MUL, pp, qq)), 0, 0));
    pv_tensor *cosine = pv_keep(&k, pv_binary(t, PV_DIV, pq, lengths));
    pv_tensor *loss = pv_keep(s, pv_mean_of(t, pv_keep(&k, pv_unary(t, PV_SCALE, cosine, -1, 1)), NULL));
    pv_scope_end(&k);
    return loss;
}
