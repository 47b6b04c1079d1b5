/* SPDX-License-Identifier: Apache-2.0
 * Mixed precision: rounding to half, convolutions on rounded operands, loss scaling. Every kernel rounds by the same
 * rule as the reference, and products of halves are exact in fp32: tolerances of sums are those of conv.c. */
#include <math.h>

#include "check/check.h"
#include "ops/conv.h"
#include "ops/half.h"
#include "ops/norm.h"
#include "optim/loss_scale.h"

/* Values around every border of the rule: ties, the largest half, the subnormal ones, infinity; random ones. */
static void half(struct pv_check *k)
{
    static const double border[] = {0, 1, 1 + 0x1p-11, 1 + 0x1p-10 + 0x1p-11, 1 + 0x1p-11 + 0x1p-23, 65504, 65519.99f,
        65520, 65536, 1e30, 0x1p-14, 0x1p-14 - 0x1p-25, 0x1p-24, 0x1p-25, 0x1p-25 + 0x1p-40, 0x1p-26, 0x1.8p-24,
        0x1.4p-23, 1e-30, -1 - 0x1p-11, -0x1.8p-24, -65520, -1e-9};
    int c = pv_ck_case(k), s[3], n = c == 0 ? (int)PV_COUNT(border) + 2 : pv_ck_int(k, 1, pv_ck_most(k, 40000, 300));
    pv_tensor *x;
    if (c % 3) {
        int dims = c % 4 == 1 ? 2 : 3;
        pv_ck_sides(k, dims, 9, s);
        s[1] = c == 4 ? 1 : s[1];
        x = pv_ck_input(k, pv_blocked(dims, 1 + c % 2, c == 2 ? 19 : pv_ck_int(k, 1, 20), s), -1, 1, 0);
    } else {
        double *v = pv_array(double, n);
        for (int i = 0; i < n; i++)     /* 2^-28 to 2^18 */
            v[i] = (float)(pv_ck_uniform(k, -2, 2) * exp2(pv_ck_int(k, -28, 17)));
        for (size_t i = 0; c == 0 && i < PV_COUNT(border); i++)
            v[i] = (float)border[i];
        if (c == 0) {
            v[n - 2] = INFINITY;
            v[n - 1] = -INFINITY;
        }
        x = pv_ck_values(k, pv_flat(n), PV_F32, v, 0);
        pv_free(v);
    }
    pv_ck_output(k, "-y", pv_half_round(x), PV_CK_NO_DY);
}

static void conv(struct pv_check *k, int ks, int stride, bool up)
{
    /* a size for every tiled kernel first, every fourth a 2D map */
    int c = pv_ck_case(k), dims = pv_ck_conv_dims(k), s[3], ci = 16, co = 32, n = 1 + c % 2;
    pv_ck_sides(k, dims, up ? 5 : 9, s);
    if (pv_ck_small(k)) {
        pv_ck_small_conv(k, up, s, &n, &ci, &co);
        if (ks == 1)
            pv_ck_small_one(k, (const int[3][2]){{3, 8}, {5, 4}, {3, 3}}, stride, s, &n, &co);
    } else if (c > 0) {
        ci = pv_ck_int(k, 1, 36);
        co = pv_ck_int(k, 1, 36);
    }
    if (c == 5 && !pv_ck_small(k)) {    /* pieces of rows */
        s[0] = s[1] = up ? 2 : 4;
        s[2] = up ? 17 : 35;
    }
    if (c == 6 && !up && !pv_ck_small(k)) {    /* slabs of several planes, across samples */
        ci = co = 36;
        n = 2;
        s[0] = 150;
        s[1] = s[2] = 2;
    }
    for (int i = 0; i < 3 && ks == 2 && !up; i++)
        if (s[i] < 2 && !(dims == 2 && i == 0))
            s[i] = 2;
    pv_tape *t = pv_ck_tape(k);
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, ci, s), -1, 1, PV_CK_GRAD);
    pv_tensor *w = pv_ck_input(k, pv_flat(pv_conv_weights(dims, ci, co, ks)), -1, 1, PV_CK_GRAD);
    pv_tensor *b = c % 3 == 1 ? NULL : pv_ck_input(k, pv_flat(co), -1, 1, PV_CK_GRAD);
    t->mixed = true;
    pv_ck_output(k, "y", up ? pv_conv_up(t, x, w, b, co, ks) : pv_conv(t, x, w, b, co, ks, stride, ks == 3), 0);
    t->mixed = false;           /* nodes keep what they were made with */
}

static void conv3(struct pv_check *k) { conv(k, 3, 1, false); }
static void conv3s2(struct pv_check *k) { conv(k, 3, 2, false); }
static void conv2s2(struct pv_check *k) { conv(k, 2, 2, false); }
static void conv1(struct pv_check *k) { conv(k, 1, 1, false); }
static void conv1s2(struct pv_check *k) { conv(k, 1, 2, false); }
static void up2(struct pv_check *k) { conv(k, 2, 2, true); }
static void up3(struct pv_check *k) { conv(k, 3, 2, true); }

/* Statistics that convolutions leave. Forward alone: gradients that differ by a bit would round to different halves. */
static void norm_case(struct pv_check *k, int ks, int stride, bool up)
{
    int c = pv_ck_case(k), dims = c % 4 == 3 ? 2 : 3, s[3], n = 1 + c % 3, ci, co;
    pv_ck_sides(k, dims, up ? 5 : 8, s);
    for (int i = dims == 2; i < 3; i++)
        s[i] = pv_max(s[i], up ? 2 : 4);
    ci = pv_ck_int(k, 1, pv_ck_most(k, 36, 17));
    co = pv_ck_int(k, 1, pv_ck_most(k, c == 2 ? 70 : 36, 17));
    pv_tape *t = pv_ck_tape(k);
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, ci, s), -1, 1, 0);
    pv_tensor *w = pv_ck_input(k, pv_flat(pv_conv_weights(dims, ci, co, ks)), -1, 1, 0);
    pv_tensor *b = c % 2 ? NULL : pv_ck_input(k, pv_flat(co), -1, 1, 0);
    struct pv_norm_params p = {.kind = c % 3 == 1 ? PV_NORM_INSTANCE : PV_NORM_BATCH, .train = true, .slope = 1};
    t->mixed = true;
    pv_tensor *y = up ? pv_conv_up(t, x, w, b, co, ks) : pv_conv(t, x, w, b, co, ks, stride, ks == 3);
    t->mixed = false;
    pv_ck_output(k, "y", pv_norm_act(t, pv_ck_keep(k, y), &p), PV_CK_NO_DY);
}

static void conv3_norm(struct pv_check *k) { norm_case(k, 3, 1, false); }
static void conv2_norm(struct pv_check *k) { norm_case(k, 2, 2, false); }
static void up2_norm(struct pv_check *k) { norm_case(k, 2, 2, true); }

/* Iterations of one or two steps with and without a value that is not finite, at any place. */
static void loss_scale(struct pv_check *k)
{
    int c = pv_ck_case(k), n = c == 0 ? 5 : pv_ck_int(k, 1, pv_ck_most(k, 70000, 600)), ranges = 3;
    pv_tensor *state = pv_ck_keep(k, pv_tensor_new(pv_ck_tape(k)->dev, pv_flat(LOSS_SCALE_SIZE), PV_F32));
    pv_loss_scale_init(state, c % 3 == 2 ? 1 : 1024);
    double *v = pv_array(double, n);
    for (int iter = 0; iter < 6; iter++) {
        pv_loss_scale_next(state, c % 2 ? 2 : 1);
        for (int step = 0; step < 1 + iter % 2; step++) {
            for (int i = 0; i < n; i++)
                v[i] = i % 7 - 3;
            if (pv_ck_int(k, 0, 2) == 0)
                v[pv_ck_int(k, 0, n - 1)] = pv_ck_int(k, 0, 1) ? NAN : -INFINITY;
            pv_tensor *g = pv_ck_values(k, pv_flat(n), PV_F32, v, 0);
            struct pv_judge j;
            pv_judge_begin(&j, state, n, ranges);
            for (int i = 0; i < ranges; i++) {
                int first = (int)((int64_t)n * i / ranges), end = (int)((int64_t)n * (i + 1) / ranges);
                pv_tensor *part = g && end > first ? pv_tensor_view(g, (size_t)first, end - first) : NULL;
                pv_judge_add(&j, part);
                pv_tensor_put(&part);
            }
            pv_judge_end(&j);
        }
    }
    pv_free(v);
    pv_ck_output(k, "-seed", pv_loss_scale_seed(state), PV_CK_NO_DY);
    pv_ck_output(k, "-state", pv_tensor_ref(state), PV_CK_NO_DY);
}

static const char *const impls3[] = {"direct", "tile", "gemm", "clblast", "coop", "mma", NULL},
    *const impls2[] = {"direct", "two", "gemm", "clblast", "coop", "mma", NULL},
    *const impls[] = {"direct", "gemm", "clblast", "coop", "mma", NULL},
    *const impls_up3[] = {"direct", "coop", "mma", NULL};

#define OP(name, impls) {"mixed_" #name, name, 1, 2e-6, 4e-6, impls, pv_conv_has, true}
/* as conv3_norm */
static const char *const norm3[] = {"tile", "gemm", "coop", "mma", NULL},
    *const norm2[] = {"gemm", "coop", "mma", NULL};
#define NORM(name, body, impls) {name, body, 1, 4e-6, 1.2e-5, impls, pv_conv_has, true}
static const struct pv_check_op op_half = {"half_round", half, 1, 0, 0},    /* a rule, not an approximation */
    op_conv3 = OP(conv3, impls3), op_conv3s2 = OP(conv3s2, impls), op_conv2s2 = OP(conv2s2, impls2),
    op_conv1 = OP(conv1, impls), op_conv1s2 = OP(conv1s2, impls), op_up2 = OP(up2, impls2),
    op_up3 = OP(up3, impls_up3),
    op_norm3 = NORM("mixed_conv3_norm", conv3_norm, norm3), op_norm2 = NORM("mixed_conv2s2_norm", conv2_norm, norm2),
    op_norm_up = NORM("mixed_up2_norm", up2_norm, norm2),
    op_scale = {"loss_scale", loss_scale, 1, 0, 0};

const struct pv_check_op *const pv_check_precision[] = {
    &op_half, &op_conv3, &op_conv3s2, &op_conv2s2, &op_conv1, &op_conv1s2, &op_up2, &op_up3, &op_norm3,
    &op_norm2, &op_norm_up, &op_scale, NULL,
};
