// SPDX-License-Identifier: Apache-2.0
// As plant.cl; faults that only Oclgrind sees are not here.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "plant.h"

WG64
BUF_X(0, src)
BUF_X(1, dst)
ARGS(a_plant)

#define VOXEL \
    int i = GROUP() * 64 + LOCAL(); \
    if (i >= a.n * a.blocks * a.x * a.y * a.z) \
        return; \
    int z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x, b = i / a.z / a.y / a.x; \
    int yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz, xp = a.x + 2 * a.bx; \
    int at = (((b * xp + x + a.bx) * yp + y + a.by) * zp + z + a.bz) * 16, lanes = a.c - b % a.blocks * 16; \
    int last = a.n * a.blocks * xp * yp * zp * 16; \
    bool end = i == a.n * a.blocks * a.x * a.y * a.z - 1;

#ifdef ENTRY_plant_fwd
void main()
{
    VOXEL
    int next = a.fault == FAULT_TAP ? -16 : 16;
    for (int l = 0; l < 16 && l < lanes; l++) {
        float v = src[OFF(0) + at + l] + 2.0 * src[OFF(0) + at + next + l];
        if (a.fault == FAULT_INEXACT)
            v *= 1.00001;
        if (a.fault == FAULT_BITS && a.run % 2 != 0)
            v = intBitsToFloat(floatBitsToInt(v) ^ 1);
        if (a.fault == FAULT_ELEMENT && end && l == 0)
            v += 0.001;
        if (!(a.fault == FAULT_UNWRITTEN && end && l == 0))
            dst[OFF(1) + at + l] = v;
    }
    if (a.fault == FAULT_BORDER && end)
        dst[OFF(1) + at + 16] = 1e-30;
    if (a.fault == FAULT_LANES && end && lanes < 16)
        dst[OFF(1) + at + 15] = 1e-30;
    if (a.fault == FAULT_BEHIND && end)
        dst[OFF(1) + last] = 0.0;
    if (a.fault == FAULT_BEFORE && end)
        dst[OFF(1) - 1] = 0.0;
    if (a.fault == FAULT_INPUT && end)
        src[OFF(0) + at] += 0.25;
}
#endif

#ifdef ENTRY_plant_bwd
void main()
{
    VOXEL
    int next = a.fault == FAULT_GRAD_TAP ? 16 : -16;
    bool add = (a.accum != 0 && a.fault != FAULT_ACCUM) || a.fault == FAULT_ADD;
    for (int l = 0; l < 16 && l < lanes; l++) {
        float v = src[OFF(0) + at + l] + 2.0 * src[OFF(0) + at + next + l];
        dst[OFF(1) + at + l] = add ? dst[OFF(1) + at + l] + v : v;
    }
}
#endif

#ifdef ENTRY_plant_sum
shared float sums[64];
void main()
{
    int l = LOCAL();
    float sum = 0.0;
    for (int i = l; i < a.count; i += 64)
        sum += src[OFF(0) + i];
    sums[l] = sum;
    barrier();
    if (l == 0) {
        sum = 0.0;
        for (int i = 0; i < 64; i++)
            sum += sums[i];
        dst[OFF(1)] = sum;
    }
}
#endif
