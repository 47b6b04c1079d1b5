/* SPDX-License-Identifier: Apache-2.0
 * Arguments of the tiled convolution kernels (conv_tile, conv_gemm, gemm_sum). As struct a_conv: sizes are voxels,
 * strides and origins floats. */
#ifndef ARGS_CONV_TILE_H
#define ARGS_CONV_TILE_H

#include "ops/args/types.h"

struct a_tile {
    KU32 off[3];                /* src (gemm_sum: partial sums), weights, dst */
    KI32 n, cb, kb;             /* samples, input blocks, output blocks of this launch */
    KI32 x, y, z;               /* output voxels of this launch; upward: input voxels that reach them */
    KI32 kx, ky, kz;            /* taps */
    KI32 sn, sb, sp, sr;        /* src strides: sample, block, x-plane, row */
    KI32 dn, db, dp, dr;        /* dst strides */
    KI32 so, dst0;              /* src of voxel 0, tap 0; dst of voxel 0 */
    KI32 wb;                    /* weights: floats between output blocks */
    KI32 w0, bias;              /* weights: where the first tap and the first bias are; bias -1: none */
    KI32 accum;                 /* add to dst */
    KI32 per, ds;               /* conv_gemm: steps of a slab, floats between slabs of dst; gemm_sum: slabs, the same */
    KI32 fx, fy, fz;            /* upward: output voxels of this launch */
};

#endif
