/* SPDX-License-Identifier: Apache-2.0
 * Arguments of conv2.cl (fat class only): convolutions of side 2, stride 2. Sizes are coarse voxels, strides floats. */
#ifndef ARGS_CONV2_H
#define ARGS_CONV2_H

#include "ops/args/types.h"

#define CONV2_BUF 65536         /* floats of a work-item's copy of its input */

struct a_conv2 {                /* conv2_down, conv2_up */
    KU32 off[5];                /* input, weights, output, table, statistics */
    KI32 cb, kb;                /* input and output blocks */
    KI32 x, y, z, kx;           /* coarse voxels; taps along x */
    KI32 rows, run;             /* of a work-item */
    KI32 fn, fb, fp, fr, fine0; /* fine strides: sample, block, plane, row; voxel (0, 0, 0) */
    KI32 cn, cbs, cp, cr, coarse0;
    KI32 bias, accum;
    KI32 norm, row;             /* normalise the input; floats between the tables of samples */
    KF32 slope;
    KI32 stats;
};

struct a_conv2_g {              /* conv2_wgrad */
    KU32 off[5];                /* fine, coarse, part, table, bias_part */
    KI32 cb, kb, kg;            /* fine blocks, coarse blocks, coarse blocks of a work-item */
    KI32 x, y, z, kx;
    KI32 rows, run;
    KI32 batches, per;          /* batches of rows * run voxels; of a slab */
    KI32 fn, fb, fp, fr, fine0;
    KI32 cn, cbs, cp, cr, coarse0;
    KI32 bias;                  /* 1: sum the coarse map, 2: the fine map, 0: none */
    KI32 norm, row;             /* 1: normalise the fine map, 2: the coarse one */
    KF32 slope;
};

#endif
