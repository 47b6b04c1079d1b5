/* SPDX-License-Identifier: Apache-2.0
 * Arguments of resize.cl / resize.comp, and where an output voxel reads, in integers so that every device, the
 * reference and the host agree. */
#ifndef ARGS_RESIZE_H
#define ARGS_RESIZE_H

#include "ops/args/types.h"

/* Along one axis output o of `no` reads the input of `ni` at RS_NUM / RS_DEN >= 0: between voxels i = floor and
 * min(i + 1, ni - 1). align 0: max(0, (o + 1/2) ni / no - 1/2); align 1: o (ni - 1) / (no - 1), 0 if no is 1. */
#define RS_RAW(o, ni, no, align) ((align) != 0 ? (o) * ((ni) - 1) : (2 * (o) + 1) * (ni) - (no))
#define RS_NUM(o, ni, no, align) ((no) == 1 && (align) != 0 ? 0 : RS_RAW(o, ni, no, align) < 0 ? 0 : \
                                  RS_RAW(o, ni, no, align))
#define RS_DEN(no, align) ((align) == 0 ? 2 * (no) : (no) > 1 ? (no) - 1 : 1)
/* What RS_NUM grows by from one output to the next, where it is not 0. */
#define RS_STEP(ni, align) ((align) != 0 ? (ni) - 1 : 2 * (ni))

#define RS_CEIL(p, q) ((p) > 0 ? ((p) + (q) - 1) / (q) : 0)
/* Outputs that touch input i are among [RS_LO, RS_HI). */
#define RS_ALL(ni, no, align) ((align) != 0 && ((ni) == 1 || (no) == 1))
#define RS_AT(i, ni, no, align) ((align) != 0 ? RS_CEIL((i) * ((no) - 1), (ni) - 1) : \
                                 RS_CEIL((2 * (i) + 1) * (no) - (ni), 2 * (ni)))
#define RS_LO(i, ni, no, align) (RS_ALL(ni, no, align) || (i) == 0 ? 0 : RS_AT((i) - 1, ni, no, align))
#define RS_HI(i, ni, no, align) (RS_ALL(ni, no, align) || RS_AT((i) + 1, ni, no, align) > (no) ? (no) : \
                                 RS_AT((i) + 1, ni, no, align))

/* Nearest: output o reads RS_NEAR; input i is read by outputs [RS_NLO(i), RS_NLO(i + 1)). */
#define RS_NEAR(o, ni, no) ((o) * (ni) / (no))
#define RS_NLO(i, ni, no) RS_CEIL((i) * (no), ni)

/* Forward walks output voxels, backward walks input voxels (src is then the gradient of the output). */
struct a_resize {
    KU32 off[2];                /* src, dst */
    KI32 units, x, y, z;        /* walked voxels of this launch */
    KI32 x0, s0;                /* first walked x-plane; first bound plane of src */
    KI32 ix, iy, iz, ox, oy, oz;    /* both grids whole */
    KI32 su, sp, sr, so;        /* src: unit, x-plane, row, voxel (0, 0, 0), in floats */
    KI32 du, dp, dr, dd;        /* dst */
    KI32 align, accum;
};

#endif
