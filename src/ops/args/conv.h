/* SPDX-License-Identifier: Apache-2.0
 * Arguments of the convolution kernels. Sizes are voxels, strides and origins are floats. "fine" and
 * "coarse" name the two grids of a stride-2 relation; with stride 1 they are equal. */
#ifndef ARGS_CONV_H
#define ARGS_CONV_H

#include "ops/args/types.h"

/* conv_fwd: coarse output from fine input; conv_up: fine output from coarse input. */
struct a_conv {
    KU32 off[3];                /* src, weights, dst */
    KI32 n, cb, kb;             /* samples, input blocks, output blocks of this launch */
    KI32 x, y, z;               /* output (conv_up: coarse) voxels of this launch */
    KI32 kx, ky, kz;            /* taps */
    KI32 sn, sb, sp, sr;        /* src strides: sample, block, x-plane, row */
    KI32 dn, db, dp, dr;        /* dst strides */
    KI32 so, dst0;              /* src of output voxel 0, tap 0; dst of output voxel 0 */
    KI32 wb;                    /* weights: floats between output blocks */
    KI32 w0, bias;              /* weights: where the first tap and the first bias are; bias -1: none */
    KI32 accum;                 /* add to dst */
    KI32 px, py, pz;            /* conv_up: padding */
    KI32 fx, fy, fz;            /* conv_up: fine voxels of this launch */
};

/* conv_wgrad: part[slab][vb][bb][tap][16 b][16 v] = sum over the slab's voxels o of big[o * s + tap - p][b] *
 * small[o][v]. */
struct a_wgrad {                /* 128 bytes at most: what Vulkan guarantees */
    KU32 off[4];                /* big, small, part; tile_wgrad: table of norm.cl */
    KI32 planes, slab;          /* n * x planes in all, planes per slab */
    KI32 x, y, z;               /* small grid */
    KI32 bb, vb;                /* blocks of big and small in this launch */
    KI32 kx, ky, kz;
    KI32 bn, bbs, bp, br;       /* big strides: sample, block, plane, row */
    KI32 sn, sbs, sp, sr;       /* small strides */
    KI32 bo, so;                /* big at voxel 0, tap 0; small at voxel 0 */
    KI32 pbb, pvb;              /* blocks of big and small in part */
    KI32 rows, ty, tz;          /* tile_wgrad, coop_wgrad: rows of a part of a plane; rows and voxels in local memory */
    KI32 norm;                  /* tile_wgrad: WGRAD_* */
    KF32 slope;
};
#define WGRAD_BIG 1             /* big is normalised and activated when it is read, as by conv_tile */
#define WGRAD_SMALL 2
#define WGRAD_ROWS 4            /* by a row of the table per sample */
#define TILE_CELLS 448          /* blocks of 16 channels in local memory */
#define COOP_FOURS 3840         /* coop_wgrad: fours of halves in shared memory */

/* conv_wsum: dw[v][b0 + b][tap] (+)= sum over slabs of part; rows of dw hold `row` channels. */
struct a_wsum {
    KU32 off[2];                /* part, dw */
    KI32 slabs, vb, bb, taps, nv, nb, accum, row, b0;
};

/* conv_pack: out[kb] = 16 biases, then [cb][tap][16 c][16 k]. */
struct a_pack {
    KU32 off[3];                /* w, bias, out */
    KI32 nout, nin, taps, flip; /* flip: tap order reversed */
    KI32 so, si;                /* floats between output channels, input channels, in w */
    KI32 has_bias, bare;        /* bare: out has no room for biases */
};

/* stem_fwd, stem_wgrad: few-channel PLAIN input with border, BLOCKED output. */
struct a_stem {
    KU32 off[4];                /* the fourth: stem_fwd of class simt, statistics */
    KI32 n, ci, kb, x, y, z, k; /* k taps per axis (kx = 1 when dims is 2) */
    KI32 kx;
    KI32 sn, sc, sp, sr;        /* src strides */
    KI32 dn, db, dp, dr, dst0;
    KI32 so;
    KI32 bias, accum;
    KI32 planes, slab;
    KI32 stats;                 /* leave statistics of dst, [n][kb][64 voxels][mean, sum of squared deviations][16] */
};

/* head: 1x1x1 from BLOCKED to PLAIN with few outputs, its gradients. */
struct a_head {
    KU32 off[4];
    KI32 n, ci, co, x, y, z;
    KI32 sn, sb, sp, sr, s0;    /* BLOCKED strides and first voxel */
    KI32 dn, dc;                /* PLAIN strides: sample, channel */
    KI32 accum, has_bias;
    KI32 planes, slab;
    KI32 row, c0;               /* weights of one output; first input channel of this launch */
};

/* pad_plain: PLAIN with border from PLAIN. */
struct a_pad {
    KU32 off[2];
    KI32 planes, x, y, z, bx, by, bz;
};

/* chan_sum: per-plane partial channel sums of a BLOCKED tensor, then their total. */
struct a_chan {
    KU32 off[2];
    KI32 planes, x, y, z, bx, by, bz, c, nblk, accum;
};

#endif
