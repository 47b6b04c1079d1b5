/* SPDX-License-Identifier: Apache-2.0
 * Arguments of the tiled convolution kernels (conv_tile, conv_gemm, gemm_sum). As struct a_conv: sizes are voxels,
 * strides and origins floats. */
#ifndef ARGS_CONV_TILE_H
#define ARGS_CONV_TILE_H

#include "ops/args/types.h"

#define TILE_ACCUM 1            /* add to dst */
#define TILE_BIAS 2             /* biases are where the weights begin */
#define TILE_BEHIND 4           /* the first tap is behind 16 biases */
#define TILE_STATS 8            /* leave statistics of dst: [..units of dst..][mean, sum of squared deviations][16] */

#define TILE_NORM 16            /* src is normalised and activated when it is read: act((x - mean) * scale + bias) */
#define TILE_ROWS 32            /* by a row of the table per sample (conv_tile alone) */
#define GEMM_SUM_RUN 32         /* voxels of a work-group of gemm_sum */

struct a_tile {                 /* 128 bytes at most: what Vulkan guarantees */
    KU32 off[5];                /* src (gemm_sum: partial sums), weights, dst, statistics, table of norm.cl */
    KI32 n, cb, kb;             /* samples, input blocks, output blocks of this launch */
    KI32 x, y, z;               /* output voxels of this launch; upward: input voxels that reach them */
    KI32 kx, ky, kz;            /* taps */
    KI32 sn, sb, sp, sr;        /* src strides: sample, block, x-plane, row */
    KI32 dn, db, dp, dr;        /* dst strides */
    KI32 so, dst0;              /* src of voxel 0, tap 0; dst of voxel 0 */
    KI32 wb;                    /* weights: floats between output blocks */
    KI32 flags;
    KI32 per, ds;               /* conv_gemm: steps of a slab, floats between slabs of dst; gemm_sum: slabs, the same */
    KI32 fx, fy, fz;            /* upward: output voxels of this launch */
    KF32 slope;                 /* of the activation */
};

#endif
