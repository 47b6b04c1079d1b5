/* SPDX-License-Identifier: Apache-2.0
 * Arguments of the kernels around a library's matrix product. A row of a matrix is a voxel of the grid x, y, z: row r
 * of a launch is voxel first + r of its samples. Strides and origins are floats. */
#ifndef ARGS_CONV_BLAS_H
#define ARGS_CONV_BLAS_H

#include "ops/args/types.h"

/* blas_rows: rows from a map; blas_map: a map from rows. */
struct a_blas {
    KU32 off[3];                /* blas_rows: map, rows; blas_map: rows, weights with biases, map */
    KI32 rows, first;
    KI32 x, y, z;
    KI32 nb;                    /* blocks of the map */
    KI32 kx, ky, kz, stride;    /* voxel (x, y, z), tap k meets voxel (x, y, z) * stride + k of the map */
    KI32 sn, sb, sp, sr, s0;    /* map: strides, where voxel 0, tap 0 is */
    KI32 fx, fy, fz;            /* blas_map: voxels of the map */
    KI32 bias, accum;           /* blas_map: where biases are, -1: none; add to the map */
};

/* blas_weights: a matrix from packed weights (conv_pack). */
struct a_blas_w {
    KU32 off[2];                /* packed, matrix */
    KI32 kb, cb, taps, up;      /* blocks of output and input channels; up: rows are input channels alone */
};

/* blas_grads: dw from a matrix. */
struct a_blas_g {
    KU32 off[2];                /* matrix, dw */
    KI32 nv, nb, taps, accum;   /* channels of the coarse and the fine side */
};

#endif
