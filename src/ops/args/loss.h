/* SPDX-License-Identifier: Apache-2.0
 * Arguments of loss.cl / loss.comp. */
#ifndef ARGS_LOSS_H
#define ARGS_LOSS_H

#include "ops/args/plain.h"

struct a_ce {
    KU32 off[6];                /* z, target, mask, out | z, target, mask, dy, coef, dz */
    PLAIN_ARGS
    KI32 c, cs;                 /* channels, stored elements between them */
    KI32 masked, map, tc;       /* map: one value per voxel; else parts with tc chunks in a row */
    KI32 ignore, kl, accum;
};

struct a_kl {
    KU32 off[4];                /* p, q, out | p, q, dy, dp */
    PLAIN_ARGS
    KI32 c, cs, accum;
    KF32 eps;
};

#endif
