/* SPDX-License-Identifier: Apache-2.0
 * Arguments of the normalisation kernels. Maps are BLOCKED; their stored x-planes are numbered
 * (n * blocks + b) * (x + 2 bx) + plane, and a launch covers a run of them. A plane's rows are worked on in
 * units of `rows`; interior unit (n, b, x, u) has number ((n * blocks + b) * x_size + x) * units + u. */
#ifndef ARGS_NORM_H
#define ARGS_NORM_H

#include "ops/args/types.h"

#define NORM_SCALE 1            /* v = (x - mean) * scale + bias */
#define NORM_RES 2              /* v += residual */
#define NORM_SKIP 4             /* y += skip */
#define NORM_DROP_CHANNEL 8
#define NORM_DROP_ELEMENT 16
#define NORM_BATCH_STATS 32     /* the statistics depend on x */
#define NORM_IN_PLACE 64        /* dy stands where dx (or the residual's gradient) will */
#define NORM_DX 128
#define NORM_DX_ADD 256
#define NORM_DRES 512
#define NORM_DRES_ADD 1024
#define NORM_STREAM 2048        /* large map: store past the caches */
#define NORM_X 4096             /* backward reads x */
#define NORM_SUMS 16384         /* leave the sums of dx of every unit */
#define NORM_SKIP_SCALE 8192    /* skip = act((skip - mean) * scale + bias) by its own table */

/* norm_stat, norm_apply, norm_grad_sum, norm_grad_apply */
struct a_norm {
    KU32 off[8];
    KI32 planes, p0;            /* stored planes of this launch, the first one's number */
    KI32 x, y, z, bx, by, bz;   /* voxels, border */
    KI32 blocks, rows, units;
    KI32 row;                   /* 1: the table of statistics has a row per sample, 0: one row */
    KI32 flags;
    KF32 slope;
    KU32 keep;                  /* random numbers below it survive */
    KF32 keep_scale;
    KU32 key0, key1, step, stream, sample0; /* global number of the first sample */
    KI32 quads;                 /* ceil(c / 4) */
    KI32 skip_row;              /* as row, of the skip's table */
    KF32 skip_slope;
};

/* norm_fold: units of part are boxes of ux x uy x uz of x, y, z voxels */
struct a_norm_fold {
    KU32 off[2];
    KI32 samples, blocks, x, y, z, ux, uy, uz;
    KI32 fy, fz;                /* units that become one, along y and z */
};

#define NORM_GAMMA 1
#define NORM_BETA 2
#define NORM_RUN_MEAN 4         /* update the running statistics */
#define NORM_DGAMMA 8
#define NORM_DGAMMA_ADD 16
#define NORM_DBETA 32
#define NORM_DBETA_ADD 64

/* norm_table, norm_table_eval, norm_grad_table */
struct a_norm_table {
    KU32 off[6];
    KI32 table_rows, samples;   /* rows of the table, samples that share one */
    KI32 blocks, c, x, y, z;
    KI32 ux, uy, uz, ny, nz;    /* voxels of a unit along each axis; units of a sample along y and z */
    KI32 flags;
    KF32 eps, momentum;
};

#endif
