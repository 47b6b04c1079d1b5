/* SPDX-License-Identifier: Apache-2.0
 * Cases of the prototype ops. Tolerances: fp32 sums over the voxels of a map, and one square root and division per
 * vector, against double. Case 0 of every body is a handful of voxels, for slow checkers. */
#include <math.h>

#include "check/check.h"
#include "ops/proto.h"

struct sizes { int dims, n, d, s[3]; };

enum { TINY, VNET, BIG_BLOCKS, BIG_SAMPLES, FIXED };

/* The fixed cases: a handful of voxels; V-Net's channels; with bindings of 64 KiB single blocks that must be split
 * into planes; samples that must be split into blocks. Then random: one to three blocks, 2D, sides of 1. */
static struct sizes draw(struct pv_check *k)
{
    static const struct sizes fixed[FIXED] = {{3, 2, 5, {2, 2, 3}}, {3, 2, 16, {5, 6, 20}}, {3, 2, 20, {9, 10, 11}},
                                              {3, 2, 33, {5, 6, 7}}};
    int c = pv_ck_case(k);
    struct sizes z = fixed[TINY];
    if (c < FIXED && (c == TINY || !pv_ck_small(k))) {
        z = fixed[c];
    } else {
        z.dims = c % 4 == 3 ? 2 : 3;
        pv_ck_sides(k, z.dims, z.dims == 2 ? 30 : 11, z.s);
        if (c == 5)
            z.s[1] = 1;
        z.n = pv_ck_int(k, 1, 3);
        z.d = c % 3 == 0 ? 16 : pv_ck_int(k, 1, pv_ck_most(k, 40, 18));
    }
    return z;
}

static pv_tensor *features(struct pv_check *k, const struct sizes *z, int flags)
{
    return pv_ck_input(k, pv_blocked(z->dims, z->n, z->d, z->s), -1, 1, flags);
}

static pv_tensor *indices(struct pv_check *k, const struct sizes *z, int j)
{
    return pv_ck_labels(k, pv_plain(z->dims, z->n, 1, z->s), -1, j - 1);
}

static int voxels(const struct sizes *z) { return z->s[0] * z->s[1] * z->s[2]; }

/* ---- weighted means ---- */

/* From case 2 on the last class is absent in the first sample, in every third case in all of them. Where a class is
 * absent the weights have no gradient: there is no derivative. */
static void masked_pool(struct pv_check *k)
{
    struct sizes z = draw(k);
    int c = pv_ck_case(k), num = c == 0 ? 2 : pv_ck_int(k, 1, 6), V = voxels(&z);
    bool pooled = pv_ck_int(k, 0, 1);
    pv_tensor *f = features(k, &z, c % 5 == 4 ? 0 : PV_CK_GRAD);
    double *v = pv_array(double, z.n * num * V);
    for (int i = 0; i < z.n * num * V; i++) {
        bool absent = c >= 2 && i / V % num == num - 1 && (i / V / num == 0 || c % 3 == 0);
        double drawn = (float)pv_ck_uniform(k, 0.01, 1);
        v[i] = absent ? 0 : drawn;
    }
    pv_tensor *w = pv_ck_values(k, pv_plain(z.dims, z.n, num, z.s), PV_F32, v, c >= 2 ? 0 : PV_CK_GRAD), *sums;
    pv_free(v);
    pv_ck_output(k, "prototypes", pv_masked_pool(pv_ck_tape(k), f, w, 0.25f, pooled, &sums), 0);
    pv_ck_output(k, "-W", sums, PV_CK_NO_DY);
}

/* Gradient of the weights in larger cases too; there all classes are present. */
static void masked_pool_w(struct pv_check *k)
{
    struct sizes z = draw(k);
    int num = pv_ck_int(k, 1, 5);
    bool pooled = pv_ck_int(k, 0, 1);
    if (voxels(&z) < 4)         /* the mean of one voxel is the voxel, and its gradient by w rounding alone */
        z.s[2] = 4;
    pv_tensor *f = features(k, &z, 0);
    pv_tensor *w = pv_ck_input(k, pv_plain(z.dims, z.n, num, z.s), 0.01, 1, PV_CK_GRAD);
    float eps = pv_ck_case(k) % 2 ? 0.1f : 0;
    pv_ck_output(k, "prototypes", pv_masked_pool(pv_ck_tape(k), f, w, eps, pooled, NULL), 0);
}

static void assign(struct pv_check *k)
{
    struct sizes z = draw(k);
    int j = pv_ck_case(k) == 0 ? 3 : pv_ck_int(k, 1, pv_ck_most(k, 40, 9));
    pv_tensor *f = features(k, &z, 0), *idx = indices(k, &z, j), *sums, *counts;
    pv_tensor *p = pv_ck_input(k, pv_flat(j * z.d), -1, 1, 0), *moved = pv_tensor_new(p->dev, p->h, PV_F32);
    pv_proto_assign_sums(pv_ck_tape(k), f, idx, j, &sums, &counts);
    pv_tensor_copy(moved, p);
    pv_proto_ema(moved, sums, counts, 0.75f);
    pv_ck_output(k, "-sums", sums, PV_CK_NO_DY);
    pv_ck_output(k, "-counts", counts, PV_CK_NO_DY);
    pv_ck_output(k, "-moved", moved, PV_CK_NO_DY);
}

/* ---- lengths and cosines ---- */

/* With one channel directions are constant and gradients rounding: two at least. */
static struct sizes draw_directions(struct pv_check *k, int least)
{
    struct sizes z = draw(k);
    z.d = z.d < least ? least : z.d;
    return z;
}

static void l2norm(struct pv_check *k)
{
    struct sizes z = draw_directions(k, 2);
    pv_ck_output(k, "y", pv_l2norm(pv_ck_tape(k), features(k, &z, PV_CK_GRAD), 1e-12f), 0);
}

/* Prototype 0 of every second random case is zero; then prototypes have no gradient. */
static void cosine(struct pv_check *k)
{
    struct sizes z = draw_directions(k, 2);
    int c = pv_ck_case(k), num = c == TINY ? 2 : c == VNET ? 4 : c == BIG_BLOCKS ? 20 : pv_ck_int(k, 1, 20);
    int sets = c == BIG_BLOCKS || pv_ck_int(k, 0, 1) ? z.n : 1, len = sets * num * z.d;
    bool zero = c >= FIXED && c % 2 == 0;
    pv_tensor *f = features(k, &z, c % 5 == 3 ? 0 : PV_CK_GRAD);
    double *v = pv_array(double, len);
    for (int i = 0; i < len; i++)
        v[i] = (float)pv_ck_uniform(k, -1, 1);
    for (int i = 0; i < z.d && zero; i++)
        v[i] = 0;
    pv_tensor *p = pv_ck_values(k, pv_flat(len), PV_F32, v, zero ? 0 : PV_CK_GRAD);
    pv_free(v);
    pv_ck_output(k, "cosines", pv_cosine(pv_ck_tape(k), f, p, num, 20), 0);
}

static void dots(struct pv_check *k)
{
    struct sizes z = draw(k);
    int c = pv_ck_case(k), num = c == TINY ? 2 : c == BIG_BLOCKS ? 33 : pv_ck_int(k, 1, 20);
    int sets = c == BIG_BLOCKS || pv_ck_int(k, 0, 1) ? z.n : 1;
    pv_tensor *f = features(k, &z, c % 5 == 3 ? 0 : PV_CK_GRAD);
    pv_tensor *p = pv_ck_input(k, pv_flat(sets * num * z.d), -1, 1, c % 5 == 4 ? 0 : PV_CK_GRAD);
    pv_ck_output(k, "products", pv_dots(pv_ck_tape(k), f, p, num), 0);
}

static double cosine_of(const double *f, int step, const double *p, int d)
{
    double fp = 0, ff = 0, pp = 0;
    for (int c = 0; c < d; c++) {
        fp += f[c * step] * p[c];
        ff += f[c * step] * f[c * step];
        pp += p[c] * p[c];
    }
    return fp / sqrt(ff * pp);
}

/* Whether the best two rows of a class are so close that rounding may exchange them. */
static bool close_call(const double *f, int step, const double *rows, int classes, int each, int d, bool tie)
{
    for (int c = 0; c < classes; c++) {
        double best = -2, second = -2;
        for (int j = 0; j < each; j++) {
            double v = cosine_of(f, step, rows + (c * each + j) * d, d);
            if (tie && c == 0 && j == 1)
                continue;
            second = v > best ? best : v > second ? v : second;
            best = v > best ? v : best;
        }
        if (best - second < 1e-4)
            return true;
    }
    return false;
}

/* In every second case rows 0 and 1 of class 0 are equal: row 0 must win, row 1 never. A tie has no derivative:
 * then prototypes have no gradient. */
static void cosine_max(struct pv_check *k)
{
    struct sizes z = draw_directions(k, 4);
    int cs = pv_ck_case(k), classes = cs == TINY ? 2 : cs == BIG_BLOCKS ? 4 : pv_ck_int(k, 1, 4);
    int each = cs == TINY ? 2 : cs == BIG_BLOCKS ? 5 : pv_ck_int(k, 1, 4), sets = pv_ck_int(k, 0, 3) ? 1 : z.n;
    int V = voxels(&z), one = classes * each * z.d;
    bool tie = cs % 2 == 0 && cs != BIG_BLOCKS && each > 1;
    double *rows = pv_array(double, sets * one), *v = pv_array(double, z.n * z.d * V);
    for (int i = 0; i < sets * one; i++)
        rows[i] = (float)pv_ck_uniform(k, -1, 1);
    for (int i = 0; i < sets * z.d && tie; i++)
        rows[i / z.d * one + z.d + i % z.d] = rows[i / z.d * one + i % z.d];
    for (int i = 0; i < z.n * V; i++) {
        double *f = v + i / V * z.d * V + i % V, *set = rows + (sets > 1 ? i / V * one : 0);
        do
            for (int c = 0; c < z.d; c++)
                f[c * V] = (float)pv_ck_uniform(k, -1, 1);
        while (close_call(f, V, set, classes, each, z.d, tie));
    }
    pv_tensor *f = pv_ck_values(k, pv_blocked(z.dims, z.n, z.d, z.s), PV_F32, v, PV_CK_GRAD), *win;
    pv_tensor *p = pv_ck_values(k, pv_flat(sets * one), PV_F32, rows, tie ? 0 : PV_CK_GRAD);
    pv_free(rows);
    pv_free(v);
    pv_ck_output(k, "maxima", pv_cosine_max(pv_ck_tape(k), f, p, classes, each, 10, &win), 0);
    pv_ck_output(k, "-winners", win, PV_CK_NO_DY);
}

/* ---- distances ---- */

static void distance(struct pv_check *k)
{
    struct sizes z = draw_directions(k, 2);
    int c = pv_ck_case(k), num = c == 0 ? 2 : pv_ck_int(k, 1, c % 4 == 1 ? 64 : 4);
    int sets = pv_ck_int(k, 0, 1) ? z.n : 1;
    bool normalise = c < FIXED || pv_ck_int(k, 0, 1), per = pv_ck_int(k, 0, 1);
    pv_tensor *f = features(k, &z, PV_CK_GRAD), *idx = indices(k, &z, num);
    pv_tensor *p = pv_ck_input(k, pv_flat(sets * num * z.d), -1, 1, 0);
    pv_ck_output(k, "loss", pv_proto_distance(pv_ck_tape(k), f, p, idx, num, normalise, per), 0);
}

/* Two sets averaged, mixed and compared, as methods do; an absent class in wp, wq in every fourth case each. */
static void flat(struct pv_check *k)
{
    int c = pv_ck_case(k), sets = pv_ck_int(k, 1, 3), num = pv_ck_int(k, 2, 6);
    int m = num * pv_ck_int(k, 1, pv_ck_most(k, 40, 9));
    pv_tensor *p = pv_ck_input(k, pv_flat(sets * m), -1, 1, PV_CK_GRAD);
    pv_tensor *q = pv_ck_input(k, pv_flat(m), -1, 1, c % 5 == 3 ? 0 : PV_CK_GRAD);
    double vp[6] = {1, c % 4 == 2 ? 0 : 0.5, 3, 4, 5, 6}, vq[6] = {1, c % 4 == 3 ? 0 : 0.5, 3, 4, 5, 6};
    pv_tensor *wp = c % 3 ? pv_ck_values(k, pv_flat(num), PV_F32, vp, 0) : NULL;
    pv_tensor *wq = c % 2 ? pv_ck_values(k, pv_flat(num), PV_F32, vq, 0) : NULL, *valid;
    pv_tape *t = pv_ck_tape(k);
    pv_tensor *mean = pv_ck_keep(k, pv_proto_mean(t, p, sets));
    pv_tensor *mix = pv_proto_mix(t, mean, q, 0.75f);
    pv_ck_output(k, "distance", pv_proto_dist2(t, mean, q, c % 2, wp, wq, &valid), 0);
    pv_ck_output(k, "mix", mix, 0);
    pv_ck_output(k, "-valid", valid, PV_CK_NO_DY);
}

/* Where derivatives do not exist or explode: features that are zero or shorter than eps, zero prototypes,
 * distance 0. What backward gives there is fixed (0), so the body walks back itself and gradients are results;
 * central differences have nothing to say. */
static void zeros(struct pv_check *k)
{
    struct sizes z = draw_directions(k, 2);
    if (voxels(&z) < 12)        /* all kinds, twice */
        z.s[2] = 12;
    int V = voxels(&z), num = 3;
    pv_tape *t = pv_ck_tape(k);
    double *v = pv_array(double, z.n * z.d * V), *pv = pv_array(double, num * z.d), *at = pv_array(double, z.n * V);
    for (int i = 0; i < num * z.d; i++)
        pv[i] = i < z.d ? 0 : (float)pv_ck_uniform(k, -1, 1);
    for (int i = 0; i < z.n * z.d * V; i++) {   /* voxels: 0, a prototype, random, tiny, a prototype, random, ... */
        double random = (float)pv_ck_uniform(k, -1, 1);
        int at6 = i % V % 6;
        v[i] = at6 == 0 ? 0 : at6 % 3 == 1 ? pv[z.d + i / V % z.d] : at6 == 3 ? 1e-10f * random : random;
    }
    for (int i = 0; i < z.n * V; i++)
        at[i] = i % V % 3 == 1 ? 1 : pv_ck_int(k, 0, num - 1);
    pv_tensor *x = pv_ck_values(k, pv_blocked(z.dims, z.n, z.d, z.s), PV_F32, v, 0);
    pv_tensor *row = pv_ck_values(k, pv_flat(num * z.d), PV_F32, pv, 0);
    pv_tensor *idx = pv_ck_values(k, pv_plain(z.dims, z.n, 1, z.s), PV_I32, at, 0);
    pv_tensor *dy = pv_ck_input(k, pv_plain(z.dims, z.n, num, z.s), -1, 1, 0);
    pv_tensor *db = pv_ck_input(k, x->h, -1, 1, PV_CK_IS_DY), *dl = pv_ck_input(k, pv_flat(1), 0.5, 1, 0);
    pv_free(v);
    pv_free(pv);
    pv_free(at);
    x->needs_grad = row->needs_grad = true;
    pv_tensor *out[3] = {pv_cosine(t, x, row, num, 1), pv_l2norm(t, x, 1e-8f),
                         pv_proto_distance(t, x, row, idx, num, false, true)};
    pv_backward_from(t, 3, out, (pv_tensor *[]){dy, db, dl});
    pv_ck_output(k, "-cosines", out[0], PV_CK_NO_DY);
    pv_ck_output(k, "-unit", out[1], PV_CK_NO_DY);
    pv_ck_output(k, "-distance", out[2], PV_CK_NO_DY);
    pv_ck_output(k, "-df", pv_tensor_ref(x->grad), PV_CK_NO_DY);
    pv_ck_output(k, "-dp", pv_tensor_ref(row->grad), PV_CK_NO_DY);
}

/* Length and division round a few times each: gradients of directions are looser. */
static const struct pv_check_op
    op_pool = {"masked_pool", masked_pool, FIXED, 2e-6, 4e-6, NULL},
    op_pool_w = {"masked_pool_w", masked_pool_w, FIXED, 2e-6, 4e-6, NULL},
    op_assign = {"proto_assign", assign, FIXED, 2e-6, 4e-6, NULL},
    op_dots = {"dots", dots, FIXED, 2e-6, 4e-6, NULL},
    op_l2 = {"l2norm", l2norm, FIXED, 2e-6, 4e-6, NULL},
    op_cosine = {"cosine", cosine, FIXED, 2e-6, 6e-6, NULL},
    op_cosine_max = {"cosine_max", cosine_max, FIXED, 2e-6, 6e-6, NULL},
    op_distance = {"proto_distance", distance, FIXED, 2e-6, 6e-6, NULL},
    op_flat = {"proto_flat", flat, 4, 2e-6, 4e-6, NULL}, op_zeros = {"proto_zeros", zeros, FIXED, 6e-6, 6e-6, NULL};

const struct pv_check_op *const pv_check_proto[] = {
    &op_pool, &op_pool_w, &op_assign, &op_dots, &op_l2, &op_cosine,
    &op_cosine_max, &op_distance, &op_flat, &op_zeros, NULL,
};
