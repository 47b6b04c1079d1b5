/* SPDX-License-Identifier: Apache-2.0
 * Arguments of the Winograd kernels (fat class only). Tiles are 2x2x2 outputs; a tile row is a run of tiles along z. */
#ifndef ARGS_WINO_H
#define ARGS_WINO_H

#include "ops/args/types.h"

/* Scratch of a work-item, floats: after the transform over x and y; before the inverse one over them; of one of its
 * 16 frequencies after the transform over z. */
#define WINO_TMP 180224
#define WINO_OUT 102400
#define WINO_BUF 12288
/* Floats between two frequencies of weights or of their gradients: powers of two would share cache sets. */
#define WINO_STEP(kb, cb) ((kb) * (cb) * 256 + 16)

/* Inputs may be normalised when they are read (a.norm): act((x - mean) * scale + bias) with the table of norm.cl. */
struct a_wino {                 /* wino_conv */
    KU32 off[5];                /* src, transformed weights, dst, table, statistics */
    KI32 cb, kb;                /* input blocks; output blocks */
    KI32 x, y, z;               /* voxels */
    KI32 tx, ty, tz;            /* tiles */
    KI32 rows, run, runs;       /* tile rows, and tiles of a row, of one work-item; runs of a row */
    KI32 kg;                    /* output blocks of a work-item */
    KI32 sn, sb, sp, sr;        /* src strides: sample, block, plane, row; voxel (-1, -1, -1) is at 0 */
    KI32 dn, db, dp, dr, dst0;  /* dst; voxel (0, 0, 0) is at dst0 */
    KI32 bias;                  /* where the biases are in the weights; -1: none */
    KI32 accum;                 /* add to dst */
    KI32 norm, row;             /* row: floats between the tables of samples, 0 if they share one */
    KF32 slope;
    KI32 stats;                 /* write statistics of dst, a unit per work-item */
};

/* wino_weights */
struct a_wino_w {
    KU32 off[2];
    KI32 kb, cb;                /* blocks of packed weights */
    KI32 kbp;                   /* output blocks in the result, zeros beyond kb */
};

/* wino_wgrad; strides as above, s: x, d: dy */
struct a_wino_g {
    KU32 off[5];                /* x, dy, part, table, bias_part [slab][kb][16] */
    KI32 cb, kb;
    KI32 x, y, z, tx, ty, tz;
    KI32 rows, run;
    KI32 units, per;            /* batches of tiles (sample, plane, row group, run), batches per slab */
    KI32 kg;                    /* output blocks of a work-item */
    KI32 sn, sb, sp, sr;
    KI32 dn, db, dp, dr, dst0;
    KI32 norm, row;
    KF32 slope;
};

/* Scratch of wino_deep.cl, floats: frequency weights of DEEP_MOST pairs of blocks; sums of all tiles before the inverse
 * transform over x and y; one tile row after the transform over x and y; transformed dy; gradients' frequencies. */
#define DEEP_MOST 16            /* input blocks at a time times output blocks of a work-item */
#define DEEP_BLOCKS 2           /* output blocks of a work-item */
#define DEEP_TILES 80           /* of a group, as stored */
#define DEEP_U (64 * (DEEP_MOST * 256 + 16))
#define DEEP_OUT 212992
#define DEEP_ROW (16 * (2 * DEEP_TILES + 3) * 16)
#define DEEP_G (64 * (256 * 16 + 16))
#define DEEP_DU (64 * (DEEP_BLOCKS * 256 + 16))

struct a_deep {                 /* wino_deep.cl */
    KU32 off[5];                /* in: src, v, table; conv: v, w, dst, bias, stats; wgrad: v, dy, dw, db */
    KI32 n, cb, kb;             /* samples, input and output blocks */
    KI32 x, y, z, tx, ty, tz;   /* voxels, tiles */
    KI32 planes, groups;        /* tile planes of a group, groups of a sample */
    KI32 num, nt;               /* tiles of a group, and as stored */
    KI32 tt, vg, vf, vc, vt;    /* tiles of a piece of v; strides: group, frequency, block, piece */
    KI32 kg, cs;                /* output blocks of a work-item, input blocks of weights at a time */
    KI32 sn, sb, sp, sr;        /* src; voxel (-1, -1, -1) is at 0 */
    KI32 dn, db, dp, dr, dst0;  /* dst or dy; voxel (0, 0, 0) is at dst0 */
    KI32 so, si, flip;          /* w: floats between output and input channels; reverse taps */
    KI32 bias;                  /* deep_conv: add it; deep_wgrad: 0 none, 1 write db, 2 add to it */
    KI32 accum;
    KI32 norm, row;
    KF32 slope;
    KI32 stats;
};

/* wino_wsum (conv_aux.cl): dw (+)= inverse transform of the sum of slabs */
struct a_wino_s {
    KU32 off[4];                /* part, dw, bias_part, db */
    KI32 slabs, kb, cb;
    KI32 nk, nc;                /* channels */
    KI32 accum, bias;           /* bias: 0 none, 1 write db, 2 add to it */
};

#endif
