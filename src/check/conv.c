/* SPDX-License-Identifier: Apache-2.0
 * Cases of the convolution ops. Tolerances: fp32 sums of up to a few thousand products against double. */
#include "check/check.h"
#include "ops/conv.h"
#include "ops/norm.h"

static void sizes(struct pv_check *k, int dims, int most, int s[3], int *n, int *ci, int *co)
{
    if (pv_ck_small(k)) {
        pv_ck_small_conv(k, false, s, n, ci, co);
        return;
    }
    pv_ck_sides(k, dims, most, s);
    *n = pv_ck_int(k, 1, 3);
    *ci = pv_ck_int(k, 1, 36);      /* 16 rows of a 3x3x3 weight must fit a binding of 64 KiB */
    *co = pv_ck_int(k, 1, 36);
}

static void conv_case(struct pv_check *k, int ks, int stride, int pad)
{
    /* V-Net's channel counts at small sizes first, every fourth a random 2D map, then random. One takes more
     * than the 36 work-groups to which a run lowers the limit. */
    static const int fixed[][6] = {{2, 8, 8, 1, 1, 1}, {1, 3, 17, 3, 2, 3}, {1, 16, 16, 5, 6, 20}, {0},
                                   {1, 16, 32, 3, 8, 7}, {2, 19, 5, 1, 7, 1}, {3, 16, 17, 14, 14, 13}, {0},
                                   {2, 32, 32, 4, 3, 10}, {1, 16, 17, 3, 9, 18}};
    int n, ci, co, s[3], c = pv_ck_case(k), dims = 3;
    if (c < (int)PV_COUNT(fixed) && fixed[c][0] && !pv_ck_small(k)) {
        n = fixed[c][0], ci = fixed[c][1], co = fixed[c][2];
        for (int i = 0; i < 3; i++)
            s[i] = fixed[c][3 + i];
    } else {
        dims = pv_ck_conv_dims(k);
        sizes(k, dims, 11, s, &n, &ci, &co);
        if (ks == 1 && pv_ck_small(k))
            pv_ck_small_one(k, (const int[3][2]){{7, 14}, {7, 3}, {7, 4}}, stride, s, &n, &co);
    }
    for (int i = 0; i < 3 && ks == 2; i++)
        if (s[i] < 2 && !(dims == 2 && i == 0))
            s[i] = 2;
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, ci, s), -1, 1, PV_CK_GRAD);
    pv_tensor *w = pv_ck_input(k, pv_flat(pv_conv_weights(dims, ci, co, ks)), -1, 1, PV_CK_GRAD);
    pv_tensor *b = c % 3 == 1 ? NULL : pv_ck_input(k, pv_flat(co), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_conv(pv_ck_tape(k), x, w, b, co, ks, stride, pad), 0);
}

static void conv3(struct pv_check *k) { conv_case(k, 3, 1, 1); }

/* Channels of several work-groups of matrix products; rows of weights as short as in sizes(), and weights that fit the
 * work-groups to which a run lowers the limit. */
static void conv_wide(struct pv_check *k)
{
    int n, ci, co, s[3], c = pv_ck_case(k);
    sizes(k, 3, 6, s, &n, &ci, &co);
    if (!pv_ck_small(k)) {
        ci = c % 2 ? pv_ck_int(k, 33, 36) : pv_ck_int(k, 17, 32);
        co = c % 2 ? pv_ck_int(k, 33, 48) : pv_ck_int(k, 65, 80);
    }
    if (c % 4 == 2 && !pv_ck_small(k))      /* whole blocks */
        ci = 32, co = 64 + 16 * pv_ck_int(k, 0, 1);
    pv_tensor *x = pv_ck_input(k, pv_blocked(3, n, ci, s), -1, 1, PV_CK_GRAD);
    pv_tensor *w = pv_ck_input(k, pv_flat(pv_conv_weights(3, ci, co, 3)), -1, 1, PV_CK_GRAD);
    pv_tensor *b = c % 3 == 1 ? NULL : pv_ck_input(k, pv_flat(co), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_conv(pv_ck_tape(k), x, w, b, co, 3, 1, 1), 0);
}

static void conv3s2(struct pv_check *k) { conv_case(k, 3, 2, 1); }
static void conv2s2(struct pv_check *k) { conv_case(k, 2, 2, 0); }
static void conv1(struct pv_check *k) { conv_case(k, 1, 1, 0); }
static void conv1s2(struct pv_check *k) { conv_case(k, 1, 2, 0); }

/* Between normalisations: CPU kernels normalise what they read and leave statistics of what they write. */
static void norm_case(struct pv_check *k, int ks, bool up)
{
    static const int small[3][2][3] = {{{4, 1, 2}, {1, 2, 4}}, {{4, 4, 4}, {1, 6, 8}}, {{4, 1, 2}, {1, 3, 3}}};
    int n, ci, co, s[3], c = pv_ck_case(k), dims = pv_ck_conv_dims(k);
    sizes(k, dims, up ? 5 : 9, s, &n, &ci, &co);
    if (pv_ck_small(k)) {
        for (int i = 0; i < 3; i++)
            s[i] = small[up ? 0 : ks - 1][dims == 2][i];
        n = 2;
    } else {
        ci = 8 + ci % 29;           /* a single channel's scale is cancelled by the second normalisation */
        if (c == 0)
            n = 2, ci = 16, co = 32, s[0] = 4, s[1] = 6, s[2] = 10;
        if (c == 1 && ks == 3)      /* more tiles of x than samples and blocks: a launch may be cut along x */
            n = 2, ci = 16, co = 16, s[0] = 17;
        for (int i = dims == 2; i < 3 && ks == 2 && !up; i++)   /* few coarse voxels have an ill-conditioned variance */
            s[i] = c % 2 ? s[i] + 4 : (s[i] + 5) / 2 * 2;
        if (s[0] * s[1] * s[2] < 8)
            s[2] += 7;
    }
    struct pv_norm_params p = {.kind = c % 3 == 1 ? PV_NORM_INSTANCE : PV_NORM_BATCH, .train = true,
                               .slope = c % 2 ? 0.01f : 0};
    pv_tape *t = pv_ck_tape(k);
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, ci, s), -1, 1, PV_CK_GRAD);
    pv_tensor *w = pv_ck_input(k, pv_flat(pv_conv_weights(dims, ci, co, ks)), -1, 1, PV_CK_GRAD);
    pv_tensor *b = pv_ck_input(k, pv_flat(co), -1, 1, 0);      /* the second normalisation cancels its gradient */
    p.gamma = pv_ck_input(k, pv_flat(ci), 0.5, 1.5, PV_CK_GRAD);
    p.beta = pv_ck_input(k, pv_flat(ci), -1, 1, PV_CK_GRAD);
    pv_tensor *h = pv_ck_keep(k, pv_norm_act(t, x, &p)), *y;
    if (up)
        y = pv_conv_up(t, h, w, b, co, ks);
    else
        y = pv_conv(t, h, w, b, co, ks, ks == 2 ? 2 : 1, ks == 2 ? 0 : 1);
    p.gamma = p.beta = NULL;
    pv_ck_output(k, "y", pv_norm_act(t, pv_ck_keep(k, y), &p), 0);
}

/* A bias's gradient behind a normalisation that does not cancel it: kernels sum it where they write the gradient it is
 * the sum of, which holds until another gradient is added to that (uses of y before and after). */
static void conv3_bias(struct pv_check *k)
{
    int n, ci, co, s[3], c = pv_ck_case(k), dims = c % 4 == 3 ? 2 : 3, uses = c % 4;
    sizes(k, dims, 9, s, &n, &ci, &co);
    ci = 1 + ci % 8;
    if (c == 2 && !pv_ck_small(k))
        ci = 17, co = 18;
    if (c == 3 && !pv_ck_small(k))      /* several units of a plane, which fits a binding of 64 KiB */
        s[1] = 26, s[2] = 31;
    pv_tape *t = pv_ck_tape(k);
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, ci, s), -1, 1, 0);
    pv_tensor *w = pv_ck_input(k, pv_flat(pv_conv_weights(dims, ci, co, 3)), -1, 1, PV_CK_GRAD);
    pv_tensor *b = pv_ck_input(k, pv_flat(co), -1, 1, PV_CK_GRAD);
    struct pv_norm_params p = {.kind = c % 3 == 2 ? PV_NORM_NONE : PV_NORM_BATCH, .slope = 1, .drop = PV_DROP_ELEMENT,
                               .drop_p = c % 5 ? 0.25f : 0};
    p.running_mean = pv_ck_input(k, pv_flat(co), -1, 1, 0);
    p.running_var = pv_ck_input(k, pv_flat(co), 0.5, 2, 0);
    pv_tensor *y = pv_ck_keep(k, pv_conv(t, x, w, b, co, 3, 1, 1));
    pv_tensor *before = uses & 1 ? pv_ck_keep(k, pv_add(t, y, y)) : NULL;
    p.skip = uses & 2 ? y : before;
    pv_tensor *z = pv_norm_act(t, y, &p);
    pv_ck_output(k, "y", uses == 3 ? pv_add(t, pv_ck_keep(k, z), before) : z, 0);
}

static void conv3_norm(struct pv_check *k) { norm_case(k, 3, false); }
static void conv2_norm(struct pv_check *k) { norm_case(k, 2, false); }
static void up2_norm(struct pv_check *k) { norm_case(k, 2, true); }

static void up_case(struct pv_check *k, int ks)
{
    int n, ci, co, s[3], c = pv_ck_case(k), dims = pv_ck_conv_dims(k);
    if (c == 0 && !pv_ck_small(k)) {
        n = 1, ci = 32, co = 16, s[0] = 3, s[1] = ks == 3 ? 3 : 4, s[2] = ks == 3 ? 8 : 10;
    } else if (c == 4 && !pv_ck_small(k)) {     /* many work-groups */
        n = 4, ci = 3, co = 5, s[0] = 13, s[1] = 6, s[2] = 8;
    } else {        /* three planes of the fine side must fit a binding of 64 KiB */
        sizes(k, dims, ks == 3 ? 5 : 6, s, &n, &ci, &co);
        if (pv_ck_small(k))
            pv_ck_small_conv(k, true, s, &n, &ci, &co);
    }
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, ci, s), -1, 1, PV_CK_GRAD);
    pv_tensor *w = pv_ck_input(k, pv_flat(pv_conv_weights(dims, ci, co, ks)), -1, 1, PV_CK_GRAD);
    pv_tensor *b = c % 3 == 1 ? NULL : pv_ck_input(k, pv_flat(co), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_conv_up(pv_ck_tape(k), x, w, b, co, ks), 0);
}

static void up2(struct pv_check *k) { up_case(k, 2); }
static void up3(struct pv_check *k) { up_case(k, 3); }

static void stem_case(struct pv_check *k, int ks)
{
    int n, ci, co, s[3], c = pv_ck_case(k), dims = pv_ck_conv_dims(k);
    sizes(k, dims, 13, s, &n, &ci, &co);
    if (c == 4 && !pv_ck_small(k))  /* many work-groups */
        co = pv_min(co, 32), s[0] = 20, s[1] = s[2] = 11;
    if (pv_ck_small(k) && ks == 7)
        n = 1, s[2] = pv_min(s[2], 3);
    ci = c == 0 ? 1 : 1 + ci % (ks == 7 && dims == 3 ? 2 : 4);
    if (ks == 7 && dims == 3)       /* packed weights must fit 64 KiB */
        co = pv_min(co, 32 / ci);
    pv_tensor *x = pv_ck_input(k, pv_plain(dims, n, ci, s), -1, 1, 0);
    pv_tensor *w = pv_ck_input(k, pv_flat(pv_conv_weights(dims, ci, co, ks)), -1, 1, PV_CK_GRAD);
    pv_tensor *b = c % 3 == 1 ? NULL : pv_ck_input(k, pv_flat(co), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_conv(pv_ck_tape(k), x, w, b, co, ks, 1, (ks - 1) / 2), 0);
}

static void stem3(struct pv_check *k) { stem_case(k, 3); }
static void stem7(struct pv_check *k) { stem_case(k, 7); }

/* Statistics that the stem leaves: of few units, and of so many that they are joined first. */
static void stem3_norm(struct pv_check *k)
{
    int n, ci, co, s[3], c = pv_ck_case(k), dims = c % 4 == 3 ? 2 : 3;
    sizes(k, dims, 9, s, &n, &ci, &co);
    ci = 1 + ci % 2;
    co = 2 + co % 17;
    n = pv_ck_small(k) ? 1 + n % 2 : n;
    if (c == 1 && !pv_ck_small(k))
        n = 3, ci = 1, co = 9, s[0] = 15, s[1] = 18, s[2] = 21;
    if (s[0] * s[1] * s[2] < 16)
        s[2] += 15;
    pv_tensor *x = pv_ck_input(k, pv_plain(dims, n, ci, s), -1, 1, 0);
    pv_tensor *w = pv_ck_input(k, pv_flat(pv_conv_weights(dims, ci, co, 3)), -1, 1, PV_CK_GRAD);
    pv_tensor *b = pv_ck_input(k, pv_flat(co), -1, 1, 0);      /* the normalisation cancels its gradient */
    struct pv_norm_params p = {.kind = c % 3 == 2 ? PV_NORM_INSTANCE : PV_NORM_BATCH, .train = true, .slope = 1};
    pv_tape *t = pv_ck_tape(k);
    pv_ck_output(k, "y", pv_norm_act(t, pv_ck_keep(k, pv_conv(t, x, w, b, co, 3, 1, 1)), &p), 0);
}

static void head(struct pv_check *k)
{
    int n, ci, co, s[3], c = pv_ck_case(k), dims = pv_ck_conv_dims(k);
    sizes(k, dims, 12, s, &n, &ci, &co);
    co = 1 + co % 5;
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, ci, s), -1, 1, PV_CK_GRAD);
    pv_tensor *w = pv_ck_input(k, pv_flat(ci * co), -1, 1, PV_CK_GRAD);
    pv_tensor *b = c % 3 == 1 ? NULL : pv_ck_input(k, pv_flat(co), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_head(pv_ck_tape(k), x, w, b, co), 0);
}

static const char *const impls3[] = {"direct", "wino", "deep", "winog", "tile", "gemm", "clblast", NULL},
    *const impls2[] = {"direct", "two", "gemm", "clblast", NULL}, *const impls[] = {"direct", "gemm", "clblast", NULL},
    *const wide3[] = {"gemm", "winog", "deep", NULL}, *const norm3[] = {"direct", "wino", "deep", "tile", "gemm", NULL},
    *const norm2[] = {"direct", "two", "gemm", NULL};

/* _norm: two convolutions' worth of rounding through two normalisations */
#define OP(name, impls) {#name, name, 8, 2e-6, 4e-6, impls, pv_conv_has}
#define NORM(name, body, impls) {name, body, 1, 4e-6, 1.2e-5, impls, pv_conv_has}
static const struct pv_check_op
    op_conv3 = OP(conv3, impls3), op_conv_wide = {"conv_wide", conv_wide, 0, 2e-6, 4e-6, wide3, pv_conv_has},
    op_conv3s2 = OP(conv3s2, impls), op_conv2s2 = OP(conv2s2, impls2),
    op_conv1 = OP(conv1, impls), op_conv1s2 = OP(conv1s2, impls),
    op_up2 = {"conv_up2", up2, 1, 2e-6, 4e-6, impls2, pv_conv_has}, op_up3 = {"conv_up3", up3, 1, 2e-6, 4e-6},
    op_norm3 = NORM("conv3_norm", conv3_norm, norm3), op_norm2 = NORM("conv2s2_norm", conv2_norm, norm2),
    op_norm_up = NORM("conv_up2_norm", up2_norm, norm2),
    op_bias = {"conv3_bias", conv3_bias, 4, 2e-6, 4e-6},
    op_norm_stem = {"stem3_norm", stem3_norm, 1, 4e-6, 1.2e-5},
    op_stem3 = {"stem3", stem3, 1, 2e-6, 4e-6}, op_stem7 = {"stem7", stem7, 1, 2e-6, 4e-6},
    op_head = {"head", head, 0, 2e-6, 4e-6};

const struct pv_check_op *const pv_check_conv[] = {
    &op_conv3, &op_conv_wide, &op_conv3s2, &op_conv2s2, &op_conv1, &op_conv1s2, &op_up2, &op_up3, &op_stem3, &op_stem7,
    &op_head, &op_norm3, &op_norm2, &op_norm_up, &op_norm_stem, &op_bias, NULL,
};
