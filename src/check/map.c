/* SPDX-License-Identifier: Apache-2.0
 * Cases of ops/map.h: every function on every kind of operand. Tolerances: one fp32 operation, exp or log (Vulkan
 * allows exp(x) 3 + 2 |x| units in the last place); sums over what an operand was repeated over. */
#include "ops/map.h"

#include <math.h>

#include "check/plain.h"

enum { UNARY = PV_TANH + 1, BINARY = PV_XOR + 1 };

/* The gradient of a scalar operand adds tens of thousands of terms of both signs: it may be a hundred times smaller
 * than what its rounding errors are relative to. */
static const double SIGNED_SUM = 10;

/* PLAIN, FLAT, and BLOCKED where `blocked`. */
static struct pv_shape some_shape(const struct ck_size *z, int which, bool blocked)
{
    struct pv_shape h = ck_shape(z, z->c);
    if (which == 1)
        return pv_flat((int)pv_shape_count(&h));
    return which == 2 && blocked ? pv_blocked(z->dims, z->n, z->c, z->s) : h;
}

/* BLOCKED has borders: sizes that keep one sample below 64 KiB in all cases but the large fixed ones. */
static struct ck_size size_of(struct pv_check *k, int number, int which)
{
    struct ck_size z = ck_plain_size(k, number);
    if (which == 2 && number >= CK_PLAIN_FIXED)
        z = (struct ck_size){z.dims, 2, number % 3 ? z.c : 17, {z.dims == 2 ? 1 : 2, pv_ck_most(k, 7, 2), 5}};
    return z;
}

static void unary_op(struct pv_check *k)
{
    static const struct { double lo, hi; float a, b; } with[] = {
        [PV_NEG] = {-1, 1, 0, 0}, [PV_ABS] = {-1, 1, 0, 0}, [PV_EXP] = {-3, 2, 0, 0}, [PV_LOG] = {0.01, 2, 0.1f, 0},
        [PV_SQRT] = {0.01, 2, 0, 0}, [PV_SQUARE] = {-2, 2, 0, 0}, [PV_POW] = {0.1, 1.3, 10, 0},
        [PV_SIGMOID] = {-6, 6, 0, 0}, [PV_CLAMP] = {-1, 1, -0.3f, 0.6f}, [PV_SCALE] = {-1, 1, -2.5f, 0.7f},
        [PV_GT] = {-1, 1, 0.2f, 0}, [PV_GE] = {-1, 1, -0.2f, 0}, [PV_FINITE] = {-1, 1, 0, 0},
        [PV_GELU] = {-5, 4, 0, 0}, [PV_TANH] = {-4, 4, 0, 0},
    };
    const int number = pv_ck_case(k), op = number % UNARY, which = number / UNARY % 3;
    const bool blocked = op == PV_NEG || op == PV_ABS || op == PV_SQRT || op == PV_SQUARE || op == PV_SCALE ||
                         op == PV_GELU;
    const bool smooth = op < PV_GT || op >= PV_GELU;
    struct ck_size z = size_of(k, number / UNARY ? number : number % CK_PLAIN_FIXED, blocked ? which : 0);
    struct pv_shape h = some_shape(&z, which, blocked);
    pv_tensor *x = NULL;
    if (op == PV_FINITE) {
        static const double kinds[] = {0, 1, INFINITY, -INFINITY, NAN, 3e38};
        const int64_t count = pv_shape_count(&h);
        double *v = pv_array(double, count);
        for (int64_t i = 0; i < count; i++)
            v[i] = kinds[pv_ck_int(k, 0, 5)];
        x = pv_ck_values(k, h, PV_F32, v, 0);
        pv_free(v);
    } else {
        x = pv_ck_input(k, h, with[op].lo, with[op].hi, smooth ? PV_CK_GRAD : 0);
    }
    float b = h.layout == PV_BLOCKED ? 0 : with[op].b;
    pv_ck_output(k, "y", pv_unary(pv_ck_tape(k), (enum pv_unary)op, x, with[op].a, b), 0);
}

/* Exponents, and where functions have corners or ends. */
static void unary_ends(struct pv_check *k)
{
    struct ck_size z = ck_plain_size(k, pv_ck_case(k));
    pv_tape *t = pv_ck_tape(k);
    pv_tensor *x = ck_whole(k, ck_shape(&z, z.c), 0, 2, 0);
    pv_ck_output(k, "x^2", pv_unary(t, PV_POW, x, 2, 0), 0);
    pv_ck_output(k, "x^0.5", pv_unary(t, PV_POW, x, 0.5f, 0), 0);
    pv_ck_output(k, "sqrt", pv_unary(t, PV_SQRT, x, 0, 0), 0);
    pv_ck_output(k, "log", pv_unary(t, PV_LOG, x, 1e-6f, 0), 0);
    pv_ck_output(k, "x > 1", pv_unary(t, PV_GT, x, 1, 0), 0);
    pv_ck_output(k, "x >= 1", pv_unary(t, PV_GE, x, 1, 0), 0);
    pv_ck_output(k, "clamp", pv_unary(t, PV_CLAMP, x, 1, 1.5f), 0);
}

/* Shapes of operands: kind 0 as the result, 1 [n][1], 2 a scalar, 3 one number per sample. */
static struct pv_shape operand_shape(const struct ck_size *z, struct pv_shape whole, int kind)
{
    return kind == 0 ? whole : kind == 1 ? ck_shape(z, 1) : pv_flat(kind == 2 ? 1 : z->n);
}

static pv_tensor *operand(struct pv_check *k, struct pv_shape h, int op, bool second, int flags)
{
    if (op >= PV_MIN)           /* ties and exact comparisons */
        return ck_whole(k, h, op >= PV_AND ? 0 : -1, 1, flags);
    return pv_ck_input(k, h, second ? 0.5 : -1, second ? 1.5 : 1, flags);
}

static void binary_op(struct pv_check *k)
{
    static const int kinds[][2] = {{0, 0}, {0, 1}, {1, 0}, {0, 2}, {2, 0}, {0, 3}, {3, 0}};
    const int number = pv_ck_case(k), op = number % BINARY, pair = (number / BINARY + op) % (int)PV_COUNT(kinds);
    struct ck_size z = ck_plain_size(k, number < BINARY * 2 ? number % CK_PLAIN_FIXED : number);
    struct pv_shape whole = ck_shape(&z, z.c);
    const int flags = op < PV_GREATER ? PV_CK_GRAD : 0;
    if (kinds[pair][0] > 1 || kinds[pair][1] > 1)
        pv_ck_loosen(k, SIGNED_SUM);
    pv_tensor *x = operand(k, operand_shape(&z, whole, kinds[pair][0]), op, false, flags);
    pv_tensor *y = operand(k, operand_shape(&z, whole, kinds[pair][1]), op, true, flags);
    pv_ck_output(k, "y", pv_binary(pv_ck_tape(k), (enum pv_binary)op, x, y), 0);
}

static void binary_blocked(struct pv_check *k)
{
    static const enum pv_binary ops[] = {PV_ADD, PV_SUB, PV_MUL, PV_MIN, PV_MAX, PV_MUL};
    const int number = pv_ck_case(k), op = ops[number % 6];
    struct pv_shape h = pv_blocked(3, 2, 1 + 7 * (number % 4), (int[]){3, number == 1 ? 20 : 6, 9});
    if (number == 0 || pv_ck_small(k))
        h = pv_blocked(3, 1, 1 + 7 * (number % 4), (int[]){1, 2, 1});
    if (number % 4 == 3)
        h = pv_blocked(2, 2, 19, (int[]){1, pv_ck_most(k, 13, 3), 7});
    if (number % 6 == 5)
        pv_ck_loosen(k, SIGNED_SUM);
    pv_tensor *x = operand(k, h, op, false, PV_CK_GRAD);
    pv_tensor *y = operand(k, number % 6 == 5 ? pv_flat(1) : h, op, true, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_binary(pv_ck_tape(k), (enum pv_binary)op, x, y), 0);
}

static void select_op(struct pv_check *k)
{
    static const int kinds[][3] = {{0, 0, 0}, {1, 0, 0}, {1, 0, 1}, {0, 2, 0}, {1, 0, 2}, {3, 1, 0}, {2, 0, 3}};
    const int number = pv_ck_case(k), *kind = kinds[number % (int)PV_COUNT(kinds)];
    struct ck_size z = ck_plain_size(k, number);
    struct pv_shape whole = ck_shape(&z, z.c);
    if (kind[1] > 1 || kind[2] > 1)
        pv_ck_loosen(k, SIGNED_SUM);
    pv_tensor *cond = ck_whole(k, operand_shape(&z, whole, kind[0]), 0, 1, 0);
    pv_tensor *x = pv_ck_input(k, operand_shape(&z, whole, kind[1]), 0, 1, PV_CK_GRAD);
    pv_tensor *y = pv_ck_input(k, operand_shape(&z, whole, kind[2]), 0, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_select(pv_ck_tape(k), cond, x, y), 0);
}

/* x * x: both gradients go to one tensor. */
static void twice(struct pv_check *k)
{
    struct ck_size z = ck_plain_size(k, pv_ck_case(k));
    pv_tensor *x = pv_ck_input(k, ck_shape(&z, z.c), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_binary(pv_ck_tape(k), PV_MUL, x, x), 0);
}

static void casts(struct pv_check *k)
{
    struct ck_size z = ck_plain_size(k, pv_ck_case(k));
    pv_tape *t = pv_ck_tape(k);
    struct pv_shape h = ck_shape(&z, pv_ck_case(k) % 2 ? 1 : z.c);
    pv_tensor *labels = pv_ck_labels(k, h, -2, 3), *x = pv_ck_input(k, h, -9, 9, 0);
    pv_ck_output(k, "to_f32", pv_to_f32(t, labels), 0);
    pv_ck_output(k, "to_i32", pv_to_i32(t, x), 0);
    pv_ck_output(k, "equal", pv_label_equal(t, labels, 2), 0);
    pv_ck_output(k, "known", pv_label_known(t, labels, -1), 0);
}

static const struct pv_check_op
    op_unary = {"unary", unary_op, 3 * UNARY, 4e-6, 4e-6, NULL},
    op_ends = {"unary_ends", unary_ends, CK_PLAIN_FIXED, 2e-6, 0, NULL},
    op_binary = {"binary", binary_op, 3 * BINARY, 2e-6, 4e-6, NULL},
    op_blocked = {"binary_blocked", binary_blocked, 6, 2e-6, 4e-6, NULL},
    op_select = {"select", select_op, 7, 0, 4e-6, NULL},
    op_twice = {"binary_twice", twice, 3, 1e-6, 1e-6, NULL},
    op_casts = {"casts", casts, CK_PLAIN_FIXED, 0, 0, NULL};

const struct pv_check_op *const pv_check_map[] = {
    &op_unary, &op_ends, &op_binary, &op_blocked, &op_select, &op_twice, &op_casts, NULL,
};
