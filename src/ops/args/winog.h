/* SPDX-License-Identifier: Apache-2.0
 * Arguments of the Winograd kernels of class simt (winog.cl, winog_gemm.cl). A tile is 2x2x2 outputs; tiles of the
 * samples of a launch are numbered along z, y, x and samples. Strides and origins are floats. */
#ifndef ARGS_WINOG_H
#define ARGS_WINOG_H

#include "ops/args/types.h"

/* winog_in, winog_dy: tiles of a map to 64 frequencies; winog_out: back. */
struct a_winog {
    KU32 off[3];                /* winog_in, winog_dy: map, v; winog_out: m, biases, map */
    KI32 first, count;          /* tiles of this launch */
    KI32 x, y, z;               /* voxels of the map */
    KI32 ty, tz, tiles;         /* tiles along y and z; of a sample */
    KI32 nb;                    /* blocks of the map */
    KI32 sn, sb, sp, sr, s0;    /* map: strides of samples, blocks, planes, rows; where the first tile begins */
    KI32 bias, accum;           /* winog_out: add biases; add to the map */
};

/* winog_gemm */
struct a_winog_g {
    KU32 off[3];                /* v, weights, m */
    KI32 cb, kb, count;         /* input blocks, output blocks, tiles */
    KI32 f0, nf;                /* frequencies of this launch; weights begin with the first of them */
};

/* winog_weights */
struct a_winog_w {
    KU32 off[2];                /* packed, weights */
    KI32 kb, cb;                /* output blocks, input blocks */
    KI32 x0, nx;                /* frequencies along x of this launch */
};

/* winog_wgemm */
struct a_winog_p {
    KU32 off[3];                /* d, v, part */
    KI32 kb, cb, count;         /* blocks of d and v, tiles */
    KI32 per, slabs;            /* tiles of a slab, slabs */
    KI32 accum;                 /* add to part */
};

/* winog_dw */
struct a_winog_s {
    KU32 off[2];                /* part, dw */
    KI32 kb, cb, slabs;
    KI32 nk, nc, accum;         /* channels; add to dw */
};

#endif
