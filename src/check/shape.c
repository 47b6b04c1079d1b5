/* SPDX-License-Identifier: Apache-2.0
 * Cases of concatenation, slices, layouts and max pooling. Tolerances: copies and maxima are exact in fp32; a
 * gradient that is added to takes one rounding. Case 0 is tiny (for slow checkers of races and bounds). */
#include "check/check.h"
#include "ops/shape.h"

/* Sides: tiny for case 0; up to 14 in every fourth case, so that a block exceeds 64 KiB; else up to 8. */
static int draw(struct pv_check *k, int s[3])
{
    int c = pv_ck_case(k), dims = c % 4 == 3 ? 2 : 3;
    pv_ck_sides(k, dims, c == 0 ? 2 : c % 4 == 2 ? 14 : 8, s);
    return dims;
}

static int channels(struct pv_check *k, int most)
{
    int c = pv_ck_case(k);
    return c == 0 ? 3 : c == 4 ? 17 : pv_ck_int(k, 1, pv_ck_most(k, most, 18));
}

static void concat(struct pv_check *k)
{
    static const int fixed[][2] = {{3, 2}, {16, 16}, {32, 5}, {5, 32}, {17, 30}, {15, 1}, {31, 2}};
    int s[3], c = pv_ck_case(k), dims = draw(k, s), n = pv_ck_int(k, 1, 3);
    int ca = pv_ck_int(k, 1, 36), cb = pv_ck_int(k, 1, 36);
    if (c < (int)PV_COUNT(fixed) && (c < 3 || !pv_ck_small(k))) {
        ca = fixed[c][0];
        cb = fixed[c][1];
    } else if (c % 3 == 0) {
        ca = 16 * pv_ck_int(k, 1, 2);
    }
    int side = c == 0 ? 0 : c % 3;      /* which gradients are wanted: both, a's, b's */
    pv_tensor *a = pv_ck_input(k, pv_blocked(dims, n, ca, s), -1, 1, side == 2 ? 0 : PV_CK_GRAD);
    pv_tensor *b = pv_ck_input(k, pv_blocked(dims, n, cb, s), -1, 1, side == 1 ? 0 : PV_CK_GRAD);
    pv_ck_output(k, "y", pv_concat(pv_ck_tape(k), a, b), 0);
}

static void concat_plain(struct pv_check *k)
{
    int s[3], dims = draw(k, s), n = pv_ck_int(k, 1, 3);
    pv_tensor *a = pv_ck_input(k, pv_plain(dims, n, channels(k, 20), s), -1, 1, PV_CK_GRAD);
    pv_tensor *b = pv_ck_input(k, pv_plain(dims, n, channels(k, 20), s), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_concat(pv_ck_tape(k), a, b), 0);
}

static void to_plain(struct pv_check *k)
{
    int s[3], dims = draw(k, s), n = pv_ck_int(k, 1, 3);
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, channels(k, 36), s), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_to_plain(pv_ck_tape(k), x), 0);
}

static void to_blocked(struct pv_check *k)
{
    int s[3], dims = draw(k, s), n = pv_ck_int(k, 1, 3);
    pv_tensor *x = pv_ck_input(k, pv_plain(dims, n, channels(k, 36), s), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_to_blocked(pv_ck_tape(k), x), 0);
}

static struct pv_shape either(struct pv_check *k, int dims, int n, int c, const int s[3])
{
    return pv_ck_case(k) % 2 ? pv_plain(dims, n, c, s) : pv_blocked(dims, n, c, s);
}

/* Overlapping slices: the second one's gradient is added to the first's. */
static void slice_samples(struct pv_check *k)
{
    int s[3], dims = draw(k, s), n = pv_ck_int(k, 1, 4), c = channels(k, 20);
    int first = pv_ck_int(k, 0, n - 1), m = pv_ck_int(k, 1, n - first);
    pv_tensor *x = pv_ck_input(k, either(k, dims, n, c, s), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_slice_samples(pv_ck_tape(k), x, first, m), 0);
    if (pv_ck_case(k) % 3 == 1)
        pv_ck_output(k, "all", pv_slice_samples(pv_ck_tape(k), x, 0, n), 0);
    pv_tensor *labels = pv_ck_labels(k, pv_plain(dims, n, 1, s), -1, 3);
    pv_ck_output(k, "labels", pv_slice_samples(pv_ck_tape(k), labels, first, m), 0);
}

static void concat_samples(struct pv_check *k)
{
    int s[3], dims = draw(k, s), num = pv_ck_int(k, 1, 4), c = channels(k, 20);
    pv_tensor *xs[4], *labels[4];
    for (int i = 0; i < num; i++) {
        int n = pv_ck_int(k, 1, 3);
        xs[i] = pv_ck_input(k, either(k, dims, n, c, s), -1, 1, i == 1 ? 0 : PV_CK_GRAD);
        labels[i] = pv_ck_labels(k, pv_plain(dims, n, 1, s), -1, 3);
    }
    pv_ck_output(k, "y", pv_concat_samples(pv_ck_tape(k), num, xs), 0);
    pv_ck_output(k, "labels", pv_concat_samples(pv_ck_tape(k), num, labels), 0);
}

static void slice_channels(struct pv_check *k)
{
    int s[3], dims = draw(k, s), n = pv_ck_int(k, 1, 3), c = channels(k, 30);
    int first = pv_ck_int(k, 0, c - 1), m = pv_ck_int(k, 1, c - first);
    pv_tensor *x = pv_ck_input(k, pv_plain(dims, n, c, s), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_slice_channels(pv_ck_tape(k), x, first, m), 0);
    if (pv_ck_case(k) % 3 == 1)
        pv_ck_output(k, "first", pv_slice_channels(pv_ck_tape(k), x, 0, 1), 0);
}

/* Two shapes of one tensor, whose gradients add up; of one result twice, so that a gradient is not its own. */
static void reshape(struct pv_check *k)
{
    int s[3], dims = draw(k, s), n = pv_ck_int(k, 1, 3), c = channels(k, 6), V = s[0] * s[1] * s[2];
    pv_tape *t = pv_ck_tape(k);
    pv_tensor *x = pv_ck_input(k, pv_plain(dims, n, c, s), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "rows", pv_reshape(t, x, pv_plain(3, 1, n * c, (int[]){1, 1, V})), 0);
    pv_tensor *flat = pv_reshape(t, x, pv_flat(n * c * V));
    if (pv_ck_case(k) % 2)
        pv_ck_output(k, "twice", pv_reshape(t, flat, pv_plain(2, V, 1, (int[]){1, c, n})), 0);
    pv_ck_output(k, "flat", flat, 0);
}

/* Overlapping parts. */
static void slice_flat(struct pv_check *k)
{
    int all = pv_ck_case(k) == 0 ? 5 : pv_ck_int(k, 1, 30000), first = pv_ck_int(k, 0, all - 1);
    pv_tensor *x = pv_ck_input(k, pv_flat(all), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_slice_flat(pv_ck_tape(k), x, first, pv_ck_int(k, 1, all - first)), 0);
    if (pv_ck_case(k) % 2)
        pv_ck_output(k, "front", pv_slice_flat(pv_ck_tape(k), x, 0, pv_ck_int(k, 1, all)), 0);
}

static struct pv_shape pool_shape(struct pv_check *k)
{
    int s[3], dims = draw(k, s), n = pv_ck_int(k, 1, 3), c = channels(k, 36);
    for (int i = dims == 2; i < 3; i++)
        s[i] = s[i] < 2 ? 2 : s[i];
    return pv_blocked(dims, n, c, s);
}

static void max_pool(struct pv_check *k)
{
    pv_tensor *x = pv_ck_input(k, pool_shape(k), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_max_pool(pv_ck_tape(k), x), 0);
}

/* Few different values, so that maxima tie: the gradient goes to the first. Walked back inside the body, because
 * central differences see a kink there. */
static void max_pool_ties(struct pv_check *k)
{
    struct pv_shape h = pool_shape(k);
    int64_t num = pv_shape_count(&h);
    double *v = pv_array(double, num);
    for (int64_t i = 0; i < num; i++)
        v[i] = pv_ck_int(k, -1, 1);
    pv_tensor *x = pv_ck_values(k, h, PV_F32, v, 0);
    pv_free(v);
    for (int i = 0; i < 3; i++)
        h.s[i] = i == 0 && h.dims == 2 ? 1 : h.s[i] / 2;
    pv_tensor *dy = pv_ck_input(k, h, -1, 1, PV_CK_IS_DY);
    pv_tape *own = pv_tape_new(pv_ck_tape(k)->dev);
    if (x)
        x->needs_grad = true;
    pv_tensor *y = pv_max_pool(own, x);
    pv_backward_from(own, 1, &y, &dy);
    pv_tape_free(&own);
    pv_ck_output(k, "y", y, PV_CK_NO_DY);
    pv_ck_output(k, "dx", x ? pv_tensor_ref(x->grad) : NULL, PV_CK_NO_DY);
}

static const struct pv_check_op
    op_concat = {"concat", concat, 7, 0, 2e-7, NULL},
    op_concat_plain = {"concat_plain", concat_plain, 0, 0, 2e-7, NULL},
    op_to_plain = {"to_plain", to_plain, 0, 0, 2e-7, NULL},
    op_to_blocked = {"to_blocked", to_blocked, 0, 0, 2e-7, NULL},
    op_slice_samples = {"slice_samples", slice_samples, 0, 0, 2e-7, NULL},
    op_concat_samples = {"concat_samples", concat_samples, 0, 0, 2e-7, NULL},
    op_slice_channels = {"slice_channels", slice_channels, 0, 0, 2e-7, NULL},
    op_reshape = {"reshape", reshape, 0, 0, 2e-7, NULL},
    op_slice_flat = {"slice_flat", slice_flat, 0, 0, 2e-7, NULL},
    op_max_pool = {"max_pool", max_pool, 0, 0, 2e-7, NULL},
    op_max_pool_ties = {"max_pool_ties", max_pool_ties, 0, 0, 2e-7, NULL};

const struct pv_check_op *const pv_check_shape[] = {
    &op_concat, &op_concat_plain, &op_to_plain, &op_to_blocked, &op_slice_samples, &op_concat_samples,
    &op_slice_channels, &op_reshape, &op_slice_flat, &op_max_pool, &op_max_pool_ties, NULL,
};
