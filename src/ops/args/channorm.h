/* SPDX-License-Identifier: Apache-2.0
 * Arguments of channorm.cl / channorm.comp. All BLOCKED tensors of a launch have one shape. */
#ifndef ARGS_CHANNORM_H
#define ARGS_CHANNORM_H

#include "ops/args/types.h"

#define CN_FIRST 1              /* the first blocks: sums start at 0 */
#define CN_LAST 2               /* the last: sums become means */
#define CN_MEAN 4               /* cn_stat: makes means */
#define CN_VAR 8                /* cn_stat: makes 1 / standard deviation from means */
#define CN_ACCUM 16

struct a_cn {
    KU32 off[6];
    KI32 n, x, y, z, nb;        /* of this launch: samples, planes, rows, voxels, blocks */
    KI32 sn, sb, sp, sr, s0;    /* BLOCKED strides, first voxel */
    KI32 tn;                    /* table: elements of a sample */
    KI32 c, c0;                 /* channels in all, first of this launch */
    KI32 p0, pn, pb;            /* cn_param: first part, parts of a sample, of a block */
    KI32 flags;
    KF32 eps;
};

#endif
