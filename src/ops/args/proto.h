/* SPDX-License-Identifier: Apache-2.0
 * Arguments of the prototype kernels. BLOCKED tensors of one launch share their strides; PLAIN tensors are bound
 * from the launch's first channel and first x-plane on. "Packed" prototypes are rows of 16 * blocks floats with
 * zero spare lanes. */
#ifndef ARGS_PROTO_H
#define ARGS_PROTO_H

#include "ops/args/types.h"

/* flags */
#define PF_FIRST 1              /* the first channel blocks: sums start at 0 */
#define PF_LAST 2               /* the last: sums are finished */
#define PF_NORM 4               /* lengths matter: proto_dots cosine, proto_dist normalised */
#define PF_ACCUM 8              /* add to the result */
#define PF_MAP 16               /* proto_apply: alpha is given */
#define PF_FEATURE 32           /* proto_apply: f is read */
#define PF_COSINE 64            /* proto_apply: gradient of a cosine */
#define PF_SELECT 128           /* rows are chosen per voxel */
#define PF_SUM 256              /* l2_bwd: first half; proto_dist: lengths here */
#define PF_APPLY 512            /* l2_bwd: second half */

/* Kernels on maps: n samples, x planes, y rows of z voxels, nb channel blocks. */
struct a_proto {
    KU32 off[7];
    KI32 n, x, y, z, nb;
    KI32 sn, sb, sp, sr, s0;    /* BLOCKED: sample, block, plane, row, first voxel */
    KI32 pn, pc;                /* PLAIN of several channels: sample, channel */
    KI32 mn;                    /* one-channel maps: sample */
    KI32 k, kk;                 /* channels of this launch; prototypes per class (0: channels are prototypes) */
    KI32 qn, qk, q0;            /* packed prototypes: sample, row, first element of this launch */
    KI32 flags;
    KF32 scale, eps, inv;       /* inv = 1 / eps */
};

/* proto_pool, proto_assign: part[n][x][parts][k + 1][16], the last row holds the k sums of weights. */
struct a_pool {
    KU32 off[5];
    KI32 n, x, y, z;
    KI32 sn, sp, sr, s0;
    KI32 pn, pc, mn;
    KI32 k, kk, j0;             /* rows of this launch; prototypes per class; first row (in the bound classes) */
    KI32 rows, parts;           /* rows of y per part, parts per plane */
    KI32 flags;
};

/* proto_total: sums over a set's parts, one block of channels. */
struct a_total {
    KU32 off[3];
    KI32 sets, k, parts;        /* parts of one set */
    KI32 lanes;                 /* channels of this block */
    KI32 on, ok, o0;            /* out: set, row, first element */
    KI32 wn, w0;                /* sums of weights: set, first */
    KI32 mean, has_w;
    KF32 eps;
};

/* Small kernels on prototypes [sets][k][d]. */
struct a_rows {
    KU32 off[5];
    KI32 rows, d, nb;           /* sets * k */
    KI32 mode, accum;
    KF32 scale, eps, inv;
};
#define PR_COPY 0
#define PR_UNIT 1               /* divided by its length */
#define PR_MEAN 2               /* gradient of a weighted mean */

/* Distance maps: parts of `run` voxels, `parts` per plane. */
struct a_dist {
    KU32 off[8];
    KI32 n, x, plane, mn;       /* plane: voxels of one */
    KI32 run, parts, j;
    KI32 per, norm;
    KF32 inv;
};

/* FLAT tensors of `count` elements. */
struct a_flat {
    KU32 off[6];
    KI32 count, sets;
    KI32 np, nq;                /* entries of the two sums of weights, 0: none */
    KI32 accum;
    KF32 g, h;
};

#endif
