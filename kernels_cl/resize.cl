/* SPDX-License-Identifier: Apache-2.0
 * Resizing along x, y, z: linear and nearest, forward and gradient; names ending in _p are for PLAIN tensors. The
 * bodies stand in common/resize.h, which comes once per layout. */
#include "common/base.h"
#include "ops/args/resize.h"

/* Weight of input i in output o along one axis. */
float rs_weight(int o, int i, int ni, int no, int align);
float rs_weight(int o, int i, int ni, int no, int align)
{
    const int num = RS_NUM(o, ni, no, align), den = RS_DEN(no, align), j = num / den;
    const float f = j + 1 < ni ? (float)(num % den) / (float)den : 0.0f;
    return j == i ? 1.0f - f : j + 1 == i ? f : 0.0f;
}

/* W: stored floats of a voxel; TF, TI: what a work-item handles at once, E floats. */
#define W 16
#define NAME(f) f
#ifdef PV_FAT
#define TF float16
#define TI int16
#define E 16
#else
#define TF float4
#define TI int4
#define E 4
#endif
#include "common/resize.h"

#undef W
#undef NAME
#undef TF
#undef TI
#undef E
#define W 1
#define NAME(f) f##_p
#define TF float
#define TI int
#define E 1
#include "common/resize.h"
