/* SPDX-License-Identifier: Apache-2.0
 * Losses of CRLN. Which voxels count, which classes are there and which voxels are drawn is decided on the device. */
#include "method/crln.h"

#include "ops/dice.h"
#include "ops/loss.h"
#include "ops/map.h"
#include "ops/proto.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "ops/voxels.h"

static const float large = 3e38f;

pv_tensor *crln_segment(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels)
{
    struct pv_scope k = {0};
    pv_tensor *known = pv_keep(&k, pv_label_known(t, labels, PV_IGNORE)), *p = pv_keep(&k, pv_softmax(t, logits));
    pv_tensor *part[2];
    part[0] = pv_keep(&k, pv_ce_hard(t, logits, labels, NULL, PV_IGNORE, (struct pv_reduction){PV_RED_MEAN}));
    part[1] = pv_keep(&k, pv_dice(t, p, labels, known, (struct pv_dice_opts){.form = PV_DICE_SQ}));
    pv_tensor *loss = pv_keep(s, pv_scalar_sum(t, 2, part, (float[]){0.5f, 0.5f}, NULL));
    pv_scope_end(&k);
    return loss;
}

bool crln_pseudo(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor **label, pv_tensor **conf)
{
    bool recording = t->recording;
    t->recording = false;
    pv_tensor *p = pv_softmax(t, logits);
    *label = pv_keep(s, pv_argmax(t, logits));
    *conf = pv_keep(s, pv_max_prob(t, p));
    pv_tensor_put(&p);
    t->recording = recording;
    return *label && *conf;
}

/* 1 / max(x, 1). */
static pv_tensor *inverse(pv_tape *t, struct pv_scope *k, pv_tensor *x)
{
    pv_tensor *least = pv_keep(k, pv_unary(t, PV_CLAMP, x, 1, large));
    return pv_keep(k, pv_unary(t, PV_POW, least, -1, 0));
}

pv_tensor *crln_unsup(pv_tape *t, struct pv_scope *s, const struct crln_opts *o, pv_tensor *logits, pv_tensor *label,
                      pv_tensor *conf, pv_tensor **kept)
{
    struct pv_scope k = {0};
    bool recording = t->recording;
    t->recording = false;
    pv_tensor *sure = pv_keep(&k, pv_unary(t, PV_GE, conf, o->tau, 0));
    pv_tensor *known = pv_keep(&k, pv_label_known(t, label, PV_IGNORE));
    if (kept)
        *kept = pv_keep(s, pv_mean_of(t, sure, known));
    t->recording = recording;
    pv_tensor *loss = NULL;
    if (o->filter) {
        loss = pv_keep(s, pv_ce_hard(t, logits, label, sure, PV_IGNORE, (struct pv_reduction){PV_RED_MEAN_ALL}));
    } else {
        pv_tensor *ce = pv_keep(&k, pv_ce_hard_map(t, logits, label, NULL, PV_IGNORE));
        t->recording = false;
        pv_tensor *num = pv_keep(&k, pv_sum_samples(t, sure, known));
        pv_tensor *all = inverse(t, &k, pv_keep(&k, pv_sum_samples(t, known, NULL)));
        pv_tensor *share = pv_keep(&k, pv_binary(t, PV_MUL, num, all));
        pv_tensor *above = pv_keep(&k, pv_unary(t, PV_GT, ce, 0, 0));
        pv_tensor *inv = inverse(t, &k, pv_keep(&k, pv_sum(t, above, NULL)));
        t->recording = recording;
        pv_tensor *weighted = pv_keep(&k, pv_binary(t, PV_MUL, ce, share));
        pv_tensor *sum = pv_keep(&k, pv_sum(t, weighted, NULL));
        loss = pv_keep(s, pv_scalar_sum(t, 1, &sum, NULL, &inv));
    }
    pv_scope_end(&k);
    return loss;
}

/* ---- contrast ---- */

/* What the classes have in common. Constants. */
struct contrast {
    int num, classes, d;
    pv_tensor *rep[PV_VOXEL_MAPS];
    pv_tensor *valid, *hard;    /* [n][C]: voxels of a class; those of them below tau */
    pv_tensor *present, *scale; /* FLAT [C], [1]: 1 where there are voxels; factor of every class's loss */
    pv_tensor *mean, *positive; /* FLAT [C][d] */
    pv_tensor *odds;            /* FLAT [C][C]: row c, weights of the classes of its negatives */
};

static bool voxel_masks(pv_tape *t, struct pv_scope *k, const struct crln_opts *o, const struct crln_side *side,
                        struct contrast *q)
{
    pv_tensor *valid[PV_VOXEL_MAPS], *hard[PV_VOXEL_MAPS];
    for (int i = 0; i < q->num; i++) {
        valid[i] = pv_keep(k, pv_onehot(t, side[i].label, q->classes));
        if (side[i].conf) {
            pv_tensor *sure = pv_keep(k, pv_unary(t, PV_GE, side[i].conf, o->tau_weak, 0));
            valid[i] = pv_keep(k, pv_binary(t, PV_MUL, valid[i], sure));
        }
        pv_tensor *p = pv_keep(k, pv_softmax(t, side[i].z));
        pv_tensor *easy = pv_keep(k, pv_unary(t, PV_GE, p, o->tau, 0));
        pv_tensor *rest = pv_keep(k, pv_unary(t, PV_SCALE, easy, -1, 1));
        hard[i] = pv_keep(k, pv_binary(t, PV_MUL, valid[i], rest));
    }
    q->valid = pv_keep(k, pv_concat_samples(t, q->num, valid));
    q->hard = pv_keep(k, pv_concat_samples(t, q->num, hard));
    return q->valid && q->hard;
}

/* q->mean over all sides, q->present, q->scale. */
static bool class_means(pv_tape *t, struct pv_scope *k, const struct crln_opts *o, struct contrast *q)
{
    const struct pv_shape rows = pv_plain(3, q->classes, q->d, (int[]){1, 1, 1});
    pv_tensor *sum = NULL, *count = NULL;
    for (int i = 0, n = 0; i < q->num; n += q->rep[i++]->h.n) {
        pv_tensor *w = pv_keep(k, pv_tensor_samples(q->valid, n, q->rep[i]->h.n)), *num;
        pv_tensor *m = pv_keep(k, pv_masked_pool(t, q->rep[i], w, 0, true, &num));
        pv_keep(k, num);
        m = pv_keep(k, pv_tensor_reshaped(m, rows));
        m = pv_keep(k, pv_binary(t, PV_MUL, m, num));
        sum = i ? pv_keep(k, pv_binary(t, PV_ADD, sum, m)) : m;
        count = i ? pv_keep(k, pv_binary(t, PV_ADD, count, num)) : num;
    }
    sum = pv_keep(k, pv_binary(t, PV_MUL, sum, inverse(t, k, count)));
    q->mean = pv_keep(k, pv_tensor_reshaped(sum, pv_flat(q->classes * q->d)));
    q->present = pv_keep(k, pv_unary(t, PV_GT, count, 0, 0));
    pv_tensor *many = pv_keep(k, pv_sum(t, q->present, NULL));
    q->scale = pv_keep(k, pv_unary(t, PV_GE, many, 2, 0));
    if (!o->sum)
        q->scale = pv_keep(k, pv_binary(t, PV_MUL, q->scale, inverse(t, k, many)));
    return q->mean && q->scale;
}

/* Eq. 13. A prototype of d numbers becomes one number, their mean, so that R of them fit a representation of R
 * channels (public code; the paper's mean over the prototypes has as many numbers as the deeper map has channels). */
static bool positives(pv_tape *t, struct pv_scope *k, const struct crln_opts *o, pv_tensor *prototypes,
                      struct contrast *q)
{
    q->positive = q->mean;
    if (!prototypes || o->positive == CRLN_MEAN)
        return true;
    int rows = q->classes * q->d, len = prototypes->h.n / rows;
    if (len < 1 || len * rows != prototypes->h.n)
        return false;
    pv_tensor *p = pv_keep(k, pv_tensor_reshaped(prototypes, pv_plain(3, rows, 1, (int[]){1, 1, len})));
    pv_tensor *sum = pv_keep(k, pv_sum_samples(t, p, NULL));
    float xi = o->xi;
    if (o->positive == CRLN_PROTOTYPE) {
        q->positive = pv_keep(k, pv_unary(t, PV_SCALE, sum, 1.0f / (float)len, 0));
        return q->positive != NULL;
    }
    pv_tensor *own = pv_keep(k, pv_unary(t, PV_SCALE, sum, xi / ((1 + xi) * (float)len), 0));
    pv_tensor *mean = pv_keep(k, pv_unary(t, PV_SCALE, q->mean, 1 / (1 + xi), 0));
    q->positive = pv_keep(k, pv_binary(t, PV_ADD, own, mean));
    return q->positive != NULL;
}

/* Weights exp(cos(m_c, m_k) / temperature) of the classes k /= c: a softmax when divided by their sum. */
static bool odds(pv_tape *t, struct pv_scope *k, const struct crln_opts *o, struct contrast *q)
{
    int c = q->classes;
    float *other = pv_array(float, c * c);
    for (int i = 0; i < c * c; i++)
        other[i] = i / c != i % c;
    pv_tensor *off = pv_keep(k, pv_tensor_new(t->dev, pv_flat(c * c), PV_F32));
    pv_tensor_write(off, other);
    pv_free(other);
    pv_tensor *rows = pv_keep(k, pv_tensor_reshaped(q->mean, pv_plain(3, c, q->d, (int[]){1, 1, 1})));
    pv_tensor *f = pv_keep(k, pv_to_blocked(t, rows));
    pv_tensor *cosine = pv_keep(k, pv_cosine(t, f, q->mean, c, 1 / o->temperature));
    pv_tensor *e = pv_keep(k, pv_unary(t, PV_EXP, cosine, 0, 0));
    e = pv_keep(k, pv_tensor_reshaped(e, pv_flat(c * c)));
    q->odds = pv_keep(k, pv_binary(t, PV_MUL, e, off));
    return q->odds != NULL;
}

/* Part c of I32 numbers handed in, n each. */
static pv_tensor *part(struct pv_scope *k, pv_tensor *x, int c, int n)
{
    bool fits = x && x->type == PV_I32 && pv_shape_count(&x->h) >= (int64_t)(c + 1) * n;
    return pv_keep(k, fits ? pv_tensor_view(x, (size_t)c * (size_t)n, n) : NULL);
}

/* Numbers of the anchors and of the negatives of class c. */
static bool draw_voxels(pv_tape *t, struct pv_scope *k, const struct crln_opts *o, const struct contrast *q,
                        const struct crln_draws *g, int c, pv_tensor **anchors, pv_tensor **negatives)
{
    int num = o->queries * o->negatives;
    pv_tensor *mask = pv_keep(k, pv_slice_channels(t, q->hard, c, 1));
    pv_tensor *weights = pv_keep(k, pv_tensor_view(q->odds, (size_t)(c * q->classes), q->classes));
    weights = pv_keep(k, pv_binary(t, PV_MUL, weights, q->present));
    *anchors = g->anchors ? part(k, g->anchors, c, o->queries)
                          : pv_keep(k, pv_voxel_draw(t, mask, NULL, o->queries,
                                                     part(k, g->anchor_words, c, 2 * o->queries)));
    *negatives = g->negatives ? part(k, g->negatives, c, num)
                              : pv_keep(k, pv_voxel_draw(t, q->valid, weights, num,
                                                         part(k, g->negative_words, c, 2 * num)));
    return *anchors && *negatives;
}

/* Mean (or sum) over the anchors f of -log(e^+ / (e^+ + sum e^-)), e = exp(cos / temperature). */
static pv_tensor *info_nce(pv_tape *t, struct pv_scope *k, const struct crln_opts *o, pv_tensor *f, pv_tensor *positive,
                           pv_tensor *negatives)
{
    pv_tensor *plus = pv_keep(k, pv_cosine(t, f, positive, 1, 1 / o->temperature));
    pv_tensor *minus = pv_keep(k, pv_cosine(t, f, negatives, o->negatives, 1 / o->temperature));
    pv_tensor *a = pv_keep(k, pv_unary(t, PV_EXP, plus, 0, 0)), *b = pv_keep(k, pv_unary(t, PV_EXP, minus, 0, 0));
    a = pv_keep(k, pv_sum_samples(t, a, NULL));
    b = pv_keep(k, pv_sum_samples(t, b, NULL));
    pv_tensor *sum = pv_keep(k, pv_binary(t, PV_ADD, a, b));
    pv_tensor *term[2] = {pv_keep(k, pv_unary(t, PV_LOG, sum, 1e-30f, 0)), plus};
    for (int i = 0; i < 2; i++)
        term[i] = pv_keep(k, pv_mean_of(t, term[i], NULL));
    float w = o->sum ? (float)o->queries : 1;
    return pv_keep(k, pv_scalar_sum(t, 2, term, (float[]){w, -w}, NULL));
}

/* The loss of class c; 0 if it has no anchor or is alone. */
static pv_tensor *class_loss(pv_tape *t, struct pv_scope *s, const struct crln_opts *o, const struct contrast *q,
                             const struct crln_draws *g, int c, pv_tensor **drawn)
{
    struct pv_scope k = {0};
    bool recording = t->recording;
    pv_tensor *anchors, *negatives, *loss = NULL;
    t->recording = false;
    if (draw_voxels(t, &k, o, q, g, c, &anchors, &negatives)) {
        if (drawn)
            drawn[c] = pv_keep(s, pv_tensor_ref(anchors));
        pv_tensor *rows = pv_keep(&k, pv_voxel_rows(t, q->num, q->rep, negatives));
        pv_tensor *mask = pv_keep(&k, pv_slice_channels(t, q->hard, c, 1));
        pv_tensor *any = pv_keep(&k, pv_sum(t, mask, NULL));
        any = pv_keep(&k, pv_unary(t, PV_GT, any, 0, 0));
        pv_tensor *w = pv_keep(&k, pv_binary(t, PV_MUL, any, q->scale));
        pv_tensor *positive = pv_keep(&k, pv_tensor_view(q->positive, (size_t)(c * q->d), q->d));
        t->recording = recording;
        pv_tensor *f = pv_keep(&k, pv_voxel_rows(t, q->num, q->rep, anchors));
        f = pv_keep(&k, f ? pv_reshape(t, f, pv_plain(3, o->queries, q->d, (int[]){1, 1, 1})) : NULL);
        f = pv_keep(&k, pv_to_blocked(t, f));
        pv_tensor *nce = info_nce(t, &k, o, f, positive, rows);
        loss = pv_keep(s, pv_scalar_sum(t, 1, &nce, NULL, &w));
    }
    t->recording = recording;
    pv_scope_end(&k);
    return loss;
}

pv_tensor *crln_cps(pv_tape *t, struct pv_scope *s, const struct crln_opts *o, int num, const struct crln_side *side,
                    pv_tensor *prototypes, const struct crln_draws *draws, pv_tensor **drawn)
{
    struct pv_scope k = {0};
    struct contrast q = {.num = num};
    bool recording = t->recording, ok = num <= PV_VOXEL_MAPS;
    pv_tensor *total = NULL;
    for (int i = 0; ok && i < num; i++) {
        q.rep[i] = side[i].rep;
        ok = side[i].rep && side[i].z;
    }
    if (ok) {
        q.classes = side[0].z->h.c;
        q.d = side[0].rep->h.c;
    }
    t->recording = false;
    ok = ok && voxel_masks(t, &k, o, side, &q) && class_means(t, &k, o, &q) &&
         positives(t, &k, o, prototypes, &q) && odds(t, &k, o, &q);
    t->recording = recording;
    for (int c = 0; ok && c < q.classes; c++) {
        pv_tensor *l = class_loss(t, &k, o, &q, draws, c, drawn);
        total = c ? pv_keep(&k, pv_scalar_sum(t, 2, (pv_tensor *[]){total, l}, NULL, NULL)) : l;
    }
    pv_tensor *kept = pv_keep(s, pv_tensor_ref(total));
    for (int c = 0; drawn && ok && c < q.classes; c++)
        pv_keep(s, pv_tensor_ref(drawn[c]));
    pv_scope_end(&k);
    return kept;
}
