/* SPDX-License-Identifier: Apache-2.0
 * Arguments of gather.cl / gather.comp and the layout of the parameters that travel in a buffer. */
#ifndef ARGS_GATHER_H
#define ARGS_GATHER_H

#include "ops/args/types.h"

/* One plan per output sample: GP_SIZE floats that hold whole numbers. Output voxel o is voxel p = o + first of the
 * turned volume of `size` voxels (outside: border), that is voxel (i, j, k) of the scaled volume: i = ip . (p.x,
 * p.y, 1), j = jp . (p.x, p.y, 1), k = kp . (p.z, 1). With `angle` 0 it reads the input at (i + 1/2) w / scaled -
 * 1/2, nearest floor(i w / scaled); with `angle` 1 at ((w - 1) 2^16 + matrix . (2 (i, j) + 1 - scaled)) / 2^17. */
#define GP_SAMPLE 0
#define GP_DIM 1        /* 3: size */
#define GP_FIRST 4      /* 3 */
#define GP_IP 7         /* 3 */
#define GP_JP 10        /* 3 */
#define GP_KP 13        /* 2 */
#define GP_SCALED 15    /* 2 */
#define GP_ANGLE 17
#define GP_MATRIX 18    /* 4: xx xy yx yy, in 1 / 2^16 */
#define GP_SIZE 24

#define GP_BORDER_VALUE 0
#define GP_BORDER_REFLECT 1
#define GP_BORDER_REPLICATE 2

/* gather_copy (nearest, words), gather_mix (linear: taps 2, cubic: taps 4). */
struct a_gather {
    KU32 off[3];                /* src, plans, dst */
    KI32 n, c, p0;              /* output samples, channels; plan of the first */
    KI32 x0, x, y, z;           /* first output x-plane; output voxels of this launch */
    KI32 w, h, d;               /* input voxels */
    KI32 sn, sc, dn, dc;        /* sample and channel of src and dst, in elements */
    KI32 border, taps;
    KI32 fill;                  /* bits of the value outside */
};

#endif
