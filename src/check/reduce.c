/* SPDX-License-Identifier: Apache-2.0
 * Cases of ops/reduce.h and ops/scalar.h. Tolerances: fp32 sums of up to tens of thousands of terms, added per
 * chunk and then over chunks. Counts and order statistics are exact up to the last rounding. */
#include "ops/reduce.h"

#include <math.h>

#include "check/plain.h"
#include "ops/scalar.h"

static const struct pv_reduction reductions[] = {
    {PV_RED_MEAN_ALL, 0, true}, {PV_RED_MASKED_EPS, 1e-16f, true}, {PV_RED_MASKED_EPS, 1e-16f, false},
    {PV_RED_MEAN, 0, false}, {PV_RED_SAMPLE_MEAN, 0, true}, {PV_RED_SAMPLE_MEAN_KEPT, 0, false},
    {PV_RED_SUM, 0, false},
};
enum { REDUCTIONS = sizeof reductions / sizeof *reductions };

/* PLAIN, or every eighth time FLAT of as many elements. */
static struct pv_shape some_shape(const struct ck_size *z, int number)
{
    struct pv_shape h = ck_shape(z, z->c);
    return number % 8 == 3 ? pv_flat((int)pv_shape_count(&h)) : h;
}

static pv_tensor *some_mask(struct pv_check *k, const struct ck_size *z, int number)
{
    if (number % 2 == 0)
        return NULL;
    struct pv_shape h = number % 8 == 3 ? some_shape(z, number) : ck_shape(z, 1);
    return ck_mask(k, h, number % 3 == 0, number % 5 == 0 ? 0 : -1);
}

static void sum(struct pv_check *k)
{
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    pv_tensor *mask = some_mask(k, &z, number), *x[3];
    pv_tape *t = pv_ck_tape(k);
    for (int i = 0; i < 3; i++)     /* an input each: in one, three gradients might cancel */
        x[i] = pv_ck_input(k, some_shape(&z, number), 0, 1, PV_CK_GRAD);
    pv_ck_output(k, "sum", pv_sum(t, x[0], mask), 0);
    pv_ck_output(k, "mean", pv_mean_of(t, x[1], mask), 0);
    pv_ck_output(k, "reduce", pv_reduce(t, x[2], mask, reductions[number % REDUCTIONS]), 0);
}

static void sum_parts(struct pv_check *k)
{
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    pv_tensor *x = pv_ck_input(k, ck_shape(&z, z.c), 0, 1, PV_CK_GRAD);
    pv_tensor *mask = number % 2 ? ck_mask(k, ck_shape(&z, 1), true, -1) : NULL;
    pv_ck_output(k, "samples", pv_sum_samples(pv_ck_tape(k), x, mask), 0);
    pv_ck_output(k, "classes", pv_sum_classes(pv_ck_tape(k), x, mask), 0);
}

static void count(struct pv_check *k)
{
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    pv_tensor *x = ck_whole(k, some_shape(&z, number), -1, 1, 0);
    pv_ck_output(k, "count", pv_count_nonzero(pv_ck_tape(k), x, some_mask(k, &z, number == 3 ? 11 : number)), 0);
}

static void diff_case(struct pv_check *k, bool square)
{
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    const int second = number % 3 == 2 ? 0 : PV_CK_GRAD;
    struct pv_shape h = some_shape(&z, number);
    pv_tensor *a, *b;
    if (number % 5 == 4) {      /* ties */
        a = ck_whole(k, h, 0, 1, PV_CK_GRAD);
        b = ck_whole(k, h, 0, 1, second);
    } else {
        a = pv_ck_input(k, h, -1, 1, PV_CK_GRAD);
        b = pv_ck_input(k, h, -1, 1, second);
    }
    pv_ck_output(k, "loss", (square ? pv_mse : pv_mae)(pv_ck_tape(k), a, b, some_mask(k, &z, number),
                                                       reductions[number % REDUCTIONS]), 0);
}

static void mse(struct pv_check *k) { diff_case(k, true); }
static void mae(struct pv_check *k) { diff_case(k, false); }

static void percentile(struct pv_check *k)
{
    static const double qs[] = {0, 100, 50, 30, 70, 80, 95, 100.0 / 3, 99.9};
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    struct pv_shape h = some_shape(&z, number);
    pv_tensor *x = number % 3 == 2 ? ck_whole(k, h, -3, 3, 0) : pv_ck_input(k, h, -1, 2, 0), *mask = NULL;
    if (number % 2)
        mask = ck_mask(k, h, number % 3 == 0, number == 5 && h.n == 1 ? 0 : -1);
    pv_tape *t = pv_ck_tape(k);
    for (int i = 0; i < 3; i++)
        pv_ck_output(k, "percentile", pv_percentile_of(t, x, qs[(number + 3 * i) % (int)PV_COUNT(qs)], mask), 0);
    /* 0.8 * 10 is whole: the product of fixed-point numbers carries into its whole part */
    pv_ck_output(k, "whole", pv_percentile_of(t, pv_ck_input(k, pv_flat(11), 0, 1, 0), 80, NULL), 0);
    /* an empty mask gives +inf: one over it is 0, which can be compared */
    pv_tensor *none = ck_mask(k, pv_flat(5), false, 0);
    pv_tensor *p = pv_ck_keep(k, pv_percentile_of(t, pv_ck_input(k, pv_flat(5), 0, 1, 0), 50, none));
    pv_ck_output(k, "empty", pv_self_normalised(t, 1, &p, (float[]){3}), 0);
}

static void scalar_sum(struct pv_check *k)
{
    const int num = 1 + pv_ck_case(k) % PV_SCALARS;
    pv_tensor *l[PV_SCALARS], *dev_w[PV_SCALARS];
    pv_tensor *weight = pv_ck_input(k, pv_flat(1), 0.5, 2, 0);
    float w[PV_SCALARS];
    for (int i = 0; i < num; i++) {
        l[i] = i == 3 ? l[0] : pv_ck_input(k, pv_flat(1), 0.5, 2, PV_CK_GRAD);      /* one comes twice */
        dev_w[i] = i % 2 ? weight : NULL;
        w[i] = (float)pv_ck_uniform(k, 0.1, 1);
    }
    pv_ck_output(k, "y", pv_scalar_sum(pv_ck_tape(k), num, l, num == 2 ? NULL : w, num == 3 ? NULL : dev_w), 0);
}

/* The value does not follow the terms (they are divided by themselves), so the body walks back itself and shows the
 * gradients as results. */
static void self_normalised(struct pv_check *k)
{
    static const double dead[] = {0, INFINITY, NAN, -INFINITY};
    pv_tape *t = pv_ck_tape(k);
    const int number = pv_ck_case(k);
    pv_tensor *l[4];
    const float w[] = {1, 0.3f, 0.25f, 0.1f};
    for (int i = 0; i < 3; i++)
        l[i] = pv_ck_input(k, pv_flat(1), 0.5, 2, 0);
    if (number % 5)
        l[1] = pv_ck_values(k, pv_flat(1), PV_F32, &dead[number % 5 - 1], 0);
    for (int i = 0; i < 3; i++)
        l[i]->needs_grad = true;
    l[3] = l[0];
    pv_tensor *y = pv_ck_keep(k, pv_self_normalised(t, 4, l, w));
    pv_tensor *seed = pv_ck_input(k, pv_flat(1), 0.5, 2, 0);
    pv_ck_output(k, "y", pv_tensor_ref(y), PV_CK_NO_DY);
    if (t->recording && y) {
        pv_backward(t, y, seed);
        for (int i = 0; i < 3; i++)
            pv_ck_output(k, "dl", pv_tensor_ref(l[i]->grad), PV_CK_NO_DY);
    }
}

static const struct pv_check_op
    op_sum = {"sum", sum, CK_PLAIN_FIXED, 4e-6, 4e-6, NULL},
    op_parts = {"sum_parts", sum_parts, CK_PLAIN_FIXED, 4e-6, 4e-6, NULL},
    op_count = {"count_nonzero", count, CK_PLAIN_FIXED, 4e-6, 0, NULL},
    op_mse = {"mse", mse, 7, 4e-6, 4e-6, NULL}, op_mae = {"mae", mae, 7, 4e-6, 4e-6, NULL},
    op_percentile = {"percentile", percentile, 6, 1e-6, 0, NULL},
    /* one number, added to a random one of either sign: the sum may be a hundred times smaller */
    op_scalar = {"scalar_sum", scalar_sum, 10, 1e-6, 1e-5, NULL},
    op_self = {"self_normalised", self_normalised, 5, 1e-6, 1e-6, NULL};

const struct pv_check_op *const pv_check_reduce[] = {
    &op_sum, &op_parts, &op_count, &op_mse, &op_mae, &op_percentile, &op_scalar, &op_self, NULL,
};
