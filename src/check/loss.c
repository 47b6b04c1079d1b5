/* SPDX-License-Identifier: Apache-2.0
 * Cases of ops/loss.h and ops/dice.h. Tolerances: exp, log and fp32 sums of up to tens of thousands of terms, added
 * per chunk and then over chunks. Cases go through every reduction, with and without mask, and include samples and
 * batches in which nothing is kept. */
#include "ops/loss.h"

#include "check/plain.h"
#include "ops/dice.h"

static const struct pv_reduction reductions[] = {
    {PV_RED_MEAN, 0, false}, {PV_RED_SAMPLE_MEAN, 0, false}, {PV_RED_SAMPLE_MEAN_KEPT, 0, false},
    {PV_RED_SUM, 0, false}, {PV_RED_MEAN_ALL, 0, false}, {PV_RED_MASKED_EPS, 0.5f, false},
    {PV_RED_MEAN, 0, true}, {PV_RED_MASKED_EPS, 1e-16f, true},
};
enum { REDUCTIONS = sizeof reductions / sizeof *reductions };

/* A target map: numbers in [0, 1), a third of them 0. */
static pv_tensor *soft_target(struct pv_check *k, const struct ck_size *z)
{
    struct pv_shape h = ck_shape(z, z->c);
    const int64_t count = pv_shape_count(&h);
    double *v = pv_array(double, count);
    for (int64_t i = 0; i < count; i++)
        v[i] = pv_ck_int(k, 0, 2) ? (float)pv_ck_uniform(k, 0, 1) : 0;
    pv_tensor *t = pv_ck_values(k, h, PV_F32, v, 0);
    pv_free(v);
    return t;
}

/* Mask of a case: none, zeros and ones, or weights with an empty last sample. */
static pv_tensor *some_mask(struct pv_check *k, const struct ck_size *z, int number)
{
    if (number % 3 == 0)
        return NULL;
    return ck_mask(k, ck_shape(z, 1), number % 3 == 2, number % 3 == 2 && z->n > 1 ? z->n - 1 : -1);
}

static void hard_case(struct pv_check *k, bool map)
{
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    /* in a few voxels all might be classified surely: then every loss is a small difference of large numbers */
    const double range = z.n * z.s[0] * z.s[1] * z.s[2] < 32 ? 1 : 5;
    pv_tensor *x = pv_ck_input(k, ck_shape(&z, z.c), -range, range, PV_CK_GRAD);
    /* -1 and c are no classes; number 7: only the ignored label exists */
    pv_tensor *labels = pv_ck_labels(k, ck_shape(&z, 1), number == 7 ? 0 : -1, number == 7 ? 0 : z.c);
    pv_tensor *mask = some_mask(k, &z, number);
    const int ignore = number % 3 == 1 ? 0 : PV_NO_IGNORE;
    pv_ck_output(k, map ? "map" : "loss",
                 map ? pv_ce_hard_map(pv_ck_tape(k), x, labels, mask, ignore)
                     : pv_ce_hard(pv_ck_tape(k), x, labels, mask, ignore, reductions[number % REDUCTIONS]), 0);
}

static void ce_hard(struct pv_check *k) { hard_case(k, false); }
static void ce_hard_map(struct pv_check *k) { hard_case(k, true); }

static void soft_case(struct pv_check *k, bool kl, bool map)
{
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    pv_tensor *x = pv_ck_input(k, ck_shape(&z, z.c), -5, 5, PV_CK_GRAD), *y = soft_target(k, &z);
    pv_tensor *mask = some_mask(k, &z, number);
    const struct pv_reduction red = reductions[(number + 3) % REDUCTIONS];
    pv_tape *t = pv_ck_tape(k);
    if (map)
        pv_ck_output(k, "map", (kl ? pv_kl_soft_map : pv_ce_soft_map)(t, x, y, mask), 0);
    else
        pv_ck_output(k, "loss", (kl ? pv_kl_soft : pv_ce_soft)(t, x, y, mask, red), 0);
}

static void ce_soft(struct pv_check *k) { soft_case(k, false, false); }
static void ce_soft_map(struct pv_check *k) { soft_case(k, false, true); }
static void kl_soft(struct pv_check *k) { soft_case(k, true, false); }
static void kl_soft_map(struct pv_check *k) { soft_case(k, true, true); }

static void kl_map(struct pv_check *k)
{
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    pv_tensor *p = pv_ck_input(k, ck_shape(&z, z.c), 0.05, 1, PV_CK_GRAD), *q = soft_target(k, &z);
    pv_ck_output(k, "d", pv_kl_map(pv_ck_tape(k), p, q, number % 2 ? 1e-6f : 0), 0);
}

static void dice(struct pv_check *k)
{
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    pv_tensor *p = pv_ck_input(k, ck_shape(&z, z.c), 0, 1, PV_CK_GRAD);
    struct pv_dice_opts o = {.form = number % 4};
    if (number % 5 == 4)
        o.classes = (uint32_t)pv_ck_int(k, 1, z.c < 20 ? (1 << z.c) - 1 : 1 << 20);
    pv_tensor *g = number % 3 == 2 ? soft_target(k, &z) : pv_ck_labels(k, ck_shape(&z, 1), -1, z.c);
    /* in a tiny volume no class may be present, and gradients have the size of eps: only the fixed sizes use the
     * form's own */
    o.eps = number < CK_PLAIN_FIXED ? 0 : number % 2 ? 0.5f : 0.01f;
    pv_ck_output(k, "loss", pv_dice(pv_ck_tape(k), p, g, some_mask(k, &z, number), o), 0);
}

static const struct pv_check_op
    op_hard = {"ce_hard", ce_hard, 8, 4e-6, 4e-6, NULL},
    op_hard_map = {"ce_hard_map", ce_hard_map, CK_PLAIN_FIXED, 2e-6, 4e-6, NULL},
    op_soft = {"ce_soft", ce_soft, 8, 4e-6, 4e-6, NULL},
    op_soft_map = {"ce_soft_map", ce_soft_map, CK_PLAIN_FIXED, 2e-6, 4e-6, NULL},
    op_kl = {"kl_soft", kl_soft, 8, 4e-6, 4e-6, NULL},
    op_kl_soft_map = {"kl_soft_map", kl_soft_map, CK_PLAIN_FIXED, 2e-6, 4e-6, NULL},
    op_kl_map = {"kl_map", kl_map, CK_PLAIN_FIXED, 4e-6, 4e-6, NULL},
    op_dice = {"dice", dice, 8, 4e-6, 4e-6, NULL};

const struct pv_check_op *const pv_check_loss[] = {
    &op_hard, &op_hard_map, &op_soft, &op_soft_map, &op_kl, &op_kl_soft_map, &op_kl_map, &op_dice, NULL,
};
