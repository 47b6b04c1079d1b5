/* SPDX-License-Identifier: Apache-2.0
 * Arguments of depthwise.cl / depthwise.comp: source and result have one shape and border. */
#ifndef ARGS_DEPTHWISE_H
#define ARGS_DEPTHWISE_H

#include "ops/args/types.h"

struct a_dw {
    KU32 off[3];
    KI32 units, u0, blocks;     /* (sample, block) pairs of this launch, the first, blocks of a sample */
    KI32 x, y, z;               /* planes of this launch, rows, voxels */
    KI32 kx;                    /* taps along x: 1 in 2D, else 3 */
    KI32 sb, db;                /* units apart: source (dw_grad: x), result (dy) */
    KI32 sp, sr;                /* plane, row: the same for both */
    KI32 s0, d0;                /* tap (0, 0, 0) of voxel 0 in the source, voxel 0 in the result */
    KI32 flip, accum;
    KI32 p0, px;                /* dw_grad: first part; parts of a unit (x-planes in all) */
    KI32 n, c;                  /* dw_total: samples, channels */
};

#endif
