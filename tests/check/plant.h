/* SPDX-License-Identifier: Apache-2.0
 * Arguments and planted faults of plant.cl / plant.comp. */
#ifndef CHECK_PLANT_H
#define CHECK_PLANT_H

#include "ops/args/types.h"

#define FAULT_NONE 0
#define FAULT_TAP 1             /* reads the voxel before instead of the one behind */
#define FAULT_BORDER 2          /* writes one voxel of the border */
#define FAULT_LANES 3           /* writes a spare lane */
#define FAULT_BEHIND 4          /* writes one element behind the buffer */
#define FAULT_BEFORE 5          /* writes one element in front of it */
#define FAULT_UNWRITTEN 6       /* leaves one element as it was */
#define FAULT_INPUT 7           /* changes its input */
#define FAULT_ACCUM 8           /* writes gradients that should be added to */
#define FAULT_ADD 9             /* adds gradients that should be written */
#define FAULT_GRAD_TAP 10       /* gradient by the wrong voxel */
#define FAULT_INEXACT 11        /* every value off by 1e-5 of it, as half precision would be and worse */
#define FAULT_ELEMENT 12        /* a single element is wrong */
#define FAULT_BITS 13           /* the last bit depends on which run it is */
#define FAULT_RACE 14           /* no barrier between writing and reading local memory */
#define FAULT_UNINIT 15         /* reads local memory that nobody wrote */
#define FAULT_BOUNDS 16         /* reads behind the buffer, and does not use it */

/* Maps are BLOCKED [n][blocks][x + 2 bx][y + 2 by][z + 2 bz][16] with c channels. */
struct a_plant {
    KU32 off[2];
    KI32 n, blocks, c, x, y, z, bx, by, bz;
    KI32 count;                 /* plant_sum: stored elements */
    KI32 accum, fault, run;
};

#endif
