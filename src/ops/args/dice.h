/* SPDX-License-Identifier: Apache-2.0
 * Arguments of dice.cl / dice.comp. */
#ifndef ARGS_DICE_H
#define ARGS_DICE_H

#include "ops/args/plain.h"

/* dice_sum, dice_grad */
struct a_dice {
    KU32 off[6];                /* p, g, mask, part | p, g, mask, dy, coef, dp */
    PLAIN_ARGS
    KI32 c, cs;                 /* channels, stored elements between them */
    KI32 masked, soft, square;  /* soft: g is F32 [n][c], else I32 [n][1] */
    KI32 tc, accum;
    KU32 classes;               /* bit k: class k counts */
};

/* dice_finish: sums [n][c][3] of m p g, m p or m p^2, m g or m g^2. */
struct a_dice_end {
    KU32 off[3];                /* sums, loss, coef */
    KI32 n, c, square, per_sample;
    KU32 classes;
    KF32 eps;
};

#endif
