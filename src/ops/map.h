/* SPDX-License-Identifier: Apache-2.0
 * Pointwise ops on F32 tensors. Results are new references; NULL inputs give NULL.
 *
 * Shapes: PLAIN [n][c][...] or FLAT. An operand of pv_binary or pv_select may also be smaller than the result:
 *   PLAIN [n][1][...]   repeated over channels
 *   FLAT [1]            a device scalar, repeated over everything
 *   FLAT [n]            one number per sample (n > 1, result PLAIN)
 * BLOCKED tensors are taken where f(0) = 0, so that borders stay zero: the unary ops NEG, ABS, SQRT, SQUARE,
 * GELU and SCALE without offset, and ADD, SUB, MUL (also by a scalar), MIN, MAX of two of one shape.
 * Gradients of repeated operands are summed over what they were repeated over. Ops marked "no gradient" give
 * results that carry none. 0/1 results are exact. */
#ifndef OPS_MAP_H
#define OPS_MAP_H

#include "tape/tape.h"

enum pv_unary {
    PV_NEG, PV_ABS,             /* gradient of |x|: sign(x), 0 at 0 */
    PV_EXP,
    PV_LOG,                     /* ln max(x, a); gradient 0 below a */
    PV_SQRT,                    /* gradient 0 at 0 */
    PV_SQUARE,
    PV_POW,                     /* x^a for x >= 0; at 0: 0 for a > 0 */
    PV_SIGMOID,
    PV_CLAMP,                   /* to [a, b]; gradient 1 inside and at the ends, as torch.clamp */
    PV_SCALE,                   /* a x + b */
    PV_GT, PV_GE,               /* x > a, x >= a: 0 or 1. No gradient */
    PV_FINITE,                  /* 1 unless x is infinite or NaN. No gradient */
    PV_GELU,                    /* x P(x), P the normal distribution function: torch gelu without approximation */
    PV_TANH,
};
/* a and b: the constants named above. */
pv_tensor *pv_unary(pv_tape *t, enum pv_unary op, pv_tensor *x, float a, float b);

enum pv_binary {
    PV_ADD, PV_SUB, PV_MUL, PV_DIV,
    PV_MIN, PV_MAX,             /* gradient to the smaller (larger) one, halves where equal, as torch.minimum */
    PV_GREATER, PV_GREATER_EQUAL, PV_EQUAL,     /* 0 or 1. No gradient */
    PV_AND, PV_OR, PV_XOR,      /* of x != 0 and y != 0: 0 or 1. No gradient */
};
pv_tensor *pv_binary(pv_tape *t, enum pv_binary op, pv_tensor *x, pv_tensor *y);

/* cond != 0 ? x : y. cond gets no gradient; x and y get theirs where they were taken. torch.where. */
pv_tensor *pv_select(pv_tape *t, pv_tensor *cond, pv_tensor *x, pv_tensor *y);

/* PLAIN or FLAT, no gradient: I32 to F32, F32 to I32 (towards zero), and 0/1 masks F32 of where an I32 tensor is
 * `value`, or is not `ignore`. */
pv_tensor *pv_to_f32(pv_tape *t, pv_tensor *x);
pv_tensor *pv_to_i32(pv_tape *t, pv_tensor *x);
pv_tensor *pv_label_equal(pv_tape *t, pv_tensor *labels, int value);
pv_tensor *pv_label_known(pv_tape *t, pv_tensor *labels, int ignore);

#endif
