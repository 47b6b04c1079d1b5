/* SPDX-License-Identifier: Apache-2.0
 * Arguments of shape.cl / shape.comp. Strides and origins are floats: sample n, unit u or block b, x-plane p,
 * row r, voxel (0, 0, 0) o. */
#ifndef ARGS_SHAPE_H
#define ARGS_SHAPE_H

#include "ops/args/types.h"

/* move_to, move_add: dst[row * dn + i] (+)= src[row * sn + i], i < len. Work-items are numbered row * chunks +
 * chunk. */
struct a_move {
    KU32 off[2];                /* src, dst */
    KI32 rows, len, sn, dn, chunks;
};

/* lanes_to: channel k of dst (+)= channel k + shift of src, k0 <= k < k1, in `blocks` blocks of one sample. */
struct a_lanes {
    KU32 off[2];                /* src, dst */
    KI32 blocks, x, y, z;
    KI32 k0, k1, shift, accum;
    KI32 sb, sp, sr, so;
    KI32 db, dp, dr, dd;        /* dd: voxel (0, 0, 0) of dst */
};

/* to_plain, to_blocked: channel k of PLAIN is lane (l0 + k) % 16 of block (l0 + k) / 16. */
struct a_layout {
    KU32 off[2];                /* src, dst */
    KI32 n, c, l0, x, y, z;
    KI32 bn, bb, bp, br, bo;    /* BLOCKED */
    KI32 pn, pc;                /* PLAIN: sample, channel */
    KI32 accum;
};

/* pool_fwd: src, dst. pool_bwd: src, gradient of the output, gradient of the input (strides of src). Windows
 * of kx x 2 x 2 voxels; x, y, z windows are walked; ix, iy, iz voxels of src and ox, oy, oz outputs are there. */
struct a_pool {
    KU32 off[3];
    KI32 units, x, y, z, kx;
    KI32 ix, iy, iz, ox, oy, oz;
    KI32 su, sp, sr, so, go;    /* src; go: voxel (0, 0, 0) of the gradient of src */
    KI32 du, dp, dr, dd;        /* output */
    KI32 accum;
};

#endif
