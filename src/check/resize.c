/* SPDX-License-Identifier: Apache-2.0
 * Cases of resizing. Tolerances: an output is a sum of 8 products in fp32, a gradient one of 8 times the ratio of
 * the sizes (positions are exact fractions on every device); a result of few voxels may cancel to a tenth. */
#include "check/check.h"
#include "ops/resize.h"

static pv_tensor *resized(struct pv_check *k, pv_tensor *x, int dims, const int most[3], enum pv_resize mode)
{
    int s[3], c = pv_ck_case(k);
    if (c % 3 == 2)
        return pv_resize_up(pv_ck_tape(k), x, mode);
    for (int i = 0; i < 3; i++)
        s[i] = i == 0 && dims == 2 ? 1 : pv_ck_int(k, 1, most[i]);
    if (c % 5 == 4 && x)        /* one axis stays */
        s[2] = x->h.s[2];
    return pv_resize(pv_ck_tape(k), x, s, mode);
}

/* Every fourth case exceeds 64 KiB per block, but the planes that one plane takes from do not. */
static void run(struct pv_check *k, enum pv_resize mode, bool plain)
{
    int s[3], c = pv_ck_case(k), dims = c % 4 == 3 ? 2 : 3, most = c == 0 ? 3 : c % 4 != 2 ? 8 : plain ? 13 : 6;
    bool slabs = !plain && c % 4 == 2 && !pv_ck_small(k);
    pv_ck_sides(k, dims, !plain && c % 3 == 2 ? pv_min(most, 6) : most, s);
    if (slabs) {
        s[0] = 15;
        s[1] = s[2] = 6;
    }
    int n = pv_ck_int(k, 1, 2), ch = c == 0 ? 2 : pv_ck_int(k, 1, plain ? 4 : 20);
    if (slabs)                  /* one sample fits the smallest allocation that tests set, two do not */
        ch = pv_min(ch, 16);
    if (plain && c == 6 && !pv_ck_small(k)) {      /* more than 64 KiB per channel */
        n = ch = 1;
        s[0] = 30, s[1] = 25, s[2] = 24;
        most = 31;
    }
    struct pv_shape h = plain ? pv_plain(dims, n, ch, s) : pv_blocked(dims, n, ch, s);
    pv_tensor *x = pv_ck_input(k, h, -1, 1, PV_CK_GRAD);
    const int to = c == 0 ? 4 : most, sides[3] = {slabs ? 15 : to, to, to};
    pv_tensor *y = resized(k, x, dims, sides, mode);
    pv_ck_output(k, "y", y, 0);
}

static void linear(struct pv_check *k) { run(k, PV_LINEAR, false); }
static void linear_plain(struct pv_check *k) { run(k, PV_LINEAR, true); }
static void corners(struct pv_check *k) { run(k, PV_LINEAR_CORNERS, false); }
static void corners_plain(struct pv_check *k) { run(k, PV_LINEAR_CORNERS, true); }
static void nearest(struct pv_check *k) { run(k, PV_NEAREST, false); }

static void nearest_plain(struct pv_check *k)
{
    run(k, PV_NEAREST, true);
    int s[3], to[3], dims = pv_ck_case(k) % 2 ? 2 : 3;
    pv_ck_sides(k, dims, 9, s);
    pv_ck_sides(k, dims, 9, to);
    pv_tensor *labels = pv_ck_labels(k, pv_plain(dims, 2, 1, s), -1, 5);
    pv_ck_output(k, "labels", pv_resize(pv_ck_tape(k), labels, to, PV_NEAREST), 0);
}

/* Nothing is recorded, not even where x itself would do. */
static void resize_const(struct pv_check *k)
{
    int s[3], to[3], c = pv_ck_case(k), dims = c % 2 ? 2 : 3;
    pv_ck_sides(k, dims, 9, s);
    pv_ck_sides(k, dims, 9, to);
    pv_tensor *x = pv_ck_input(k, pv_plain(dims, 2, 2, s), 0, 1, 0);
    if (x)
        x->needs_grad = true;
    pv_tensor *y = pv_resize_const(pv_ck_tape(k), x, c % 3 == 2 ? s : to, c % 5 ? PV_LINEAR : PV_NEAREST);
    if (y && (y->needs_grad || pv_ck_tape(k)->num_nodes))
        pv_tensor_put(&y);
    pv_ck_output(k, "y", y, 0);
}

static const struct pv_check_op
    op_linear = {"resize_linear", linear, 1, 3e-6, 6e-6, NULL},
    op_linear_p = {"resize_linear_plain", linear_plain, 1, 3e-6, 6e-6, NULL},
    op_corners = {"resize_corners", corners, 1, 3e-6, 6e-6, NULL},
    op_corners_p = {"resize_corners_plain", corners_plain, 1, 3e-6, 6e-6, NULL},
    op_nearest = {"resize_nearest", nearest, 1, 0, 6e-6, NULL},
    op_nearest_p = {"resize_nearest_plain", nearest_plain, 1, 0, 6e-6, NULL},
    op_const = {"resize_const", resize_const, 0, 3e-6, 0, NULL};

const struct pv_check_op *const pv_check_resize[] = {
    &op_linear, &op_linear_p, &op_corners, &op_corners_p, &op_nearest, &op_nearest_p, &op_const, NULL,
};
