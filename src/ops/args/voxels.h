/* SPDX-License-Identifier: Apache-2.0
 * Arguments of voxels.cl / voxels.comp. Masks become words of 32 voxels, [c][n][words of a volume]; running counts of
 * set bits start again at every segment of VX_SEGMENT words of a channel, and so do those of segments per channel. */
#ifndef ARGS_VOXELS_H
#define ARGS_VOXELS_H

#include "ops/args/types.h"

#define VX_SEGMENT 256
#define VX_TRIES 60              /* a multiple of 4 */

struct a_vxword {
    KU32 off[2];                /* mask (from the launch's first voxel), words */
    KI32 v, num, w0;            /* voxels and words of this launch; where its first word goes */
};

struct a_vxscan {
    KU32 off[3];                /* words, counts, segments */
    KI32 c, wc, sc;             /* channels; words and segments of one */
};

struct a_vxdraw {
    KU32 off[6];                /* words, counts, segments, weights, random words, out */
    KI32 num, c, wc, sc;
    KI32 wv, v;                 /* words and voxels of a volume */
    KI32 weighted, given;
    KU32 key0, key1, step, stream, sample0;
};

/* voxel_rows, voxel_rows_bwd: one block b of 16 channels of one map, bound rows [lo, hi) of 16 lanes; rows of a sample,
 * block, plane and row of z; the first voxel's. */
struct a_vxrows {
    KU32 off[3];                /* map, idx, rows; bwd: rows' gradient, idx, map's gradient */
    KI32 num, d, b;
    KI32 first, end;            /* numbers of the map's voxels */
    KI32 x, y, z, sn, sb, sp, sr, s0;
    KI32 lo, hi;
    KI32 clear;                 /* numbers outside of all maps, [0, all), give zeros */
    KI32 all;
};

#endif
