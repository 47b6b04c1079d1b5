/* SPDX-License-Identifier: Apache-2.0
 * Arguments of augment.cl / augment.comp. A unit is one channel of one sample of a PLAIN tensor. */
#ifndef ARGS_AUGMENT_H
#define ARGS_AUGMENT_H

#include "ops/args/types.h"

/* Floats per box in the buffer of boxes: sample of b, lo x y z, hi x y z. */
#define BOX_SIZE 7

/* box_mix: a, b, boxes, dst. box_mask: boxes, dst. */
struct a_box {
    KU32 off[4];
    KI32 units, c, u0;          /* units of this launch, channels, number of the first unit */
    KI32 x0, x, y, z;           /* first x-plane; voxels of this launch */
    KI32 us;                    /* elements of a unit in a and dst */
    KI32 bn, bc;                /* elements of a sample and a channel of b; 0 if only what is needed is bound */
    KF32 inside, outside;       /* box_mask */
};

/* cube_mask */
struct a_cube {
    KU32 off[2];                /* src, dst */
    KI32 units, c, u0, x0, x, y, z, us;
    KI32 size, cy, cz;          /* voxels of a cube's side, cubes along y and z */
    KU32 below;                 /* masked if the random number's upper 24 bits are below */
    KF32 fill;
    KU32 key0, key1, step, stream, sample0;
};

/* noise: e0 (a multiple of 64) is the number of the first element within its sample, for every sample of this
 * launch; a work-item does one counter (simt) or 1024 elements (fat), `items` per sample. */
struct a_noise {
    KU32 off[2];                /* src, dst */
    KI32 n, len, sn, e0, items;
    KU32 key0, key1, step, stream, sample0;
    KF32 sigma, clip;
};

#endif
