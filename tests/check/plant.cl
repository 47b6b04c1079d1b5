/* SPDX-License-Identifier: Apache-2.0
 * A small op with faults to switch on (plant.h): the checker has to find them. */
#include "common/base.h"
#include "plant.h"

/* Voxel and block of work-item i. */
#define VOXEL \
    const int i = GROUP() * 64 + LOCAL(); \
    if (i >= a.n * a.blocks * a.x * a.y * a.z) \
        return; \
    const int z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x, b = i / a.z / a.y / a.x; \
    const int yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz, xp = a.x + 2 * a.bx; \
    const int at = (((b * xp + x + a.bx) * yp + y + a.by) * zp + z + a.bz) * 16, lanes = a.c - b % a.blocks * 16; \
    const int last = a.n * a.blocks * xp * yp * zp * 16; \
    const bool end = i == a.n * a.blocks * a.x * a.y * a.z - 1;

/* dst[z] = src[z] + 2 src[z + 1]; behind the last voxel the border's zeros are read. */
__kernel WG64 void plant_fwd(G(float) src, G(float) dst, struct a_plant a)
{
    VOXEL
    src += a.off[0];
    dst += a.off[1];
    const int next = a.fault == FAULT_TAP ? -16 : 16;
    for (int l = 0; l < 16 && l < lanes; l++) {
        float v = src[at + l] + 2.0f * src[at + next + l];
        if (a.fault == FAULT_INEXACT)
            v *= 1.00001f;
        if (a.fault == FAULT_BITS && a.run % 2 != 0)
            v = as_float(as_int(v) ^ 1);
        if (a.fault == FAULT_ELEMENT && end && l == 0)
            v += 0.001f;
        if (!(a.fault == FAULT_UNWRITTEN && end && l == 0))
            dst[at + l] = v;
    }
    if (a.fault == FAULT_BORDER && end)
        dst[at + 16] = 1e-30f;
    if (a.fault == FAULT_LANES && end && lanes < 16)
        dst[at + 15] = 1e-30f;
    if (a.fault == FAULT_BEHIND && end)
        dst[last] = 0.0f;
    if (a.fault == FAULT_BEFORE && end)
        dst[-1] = 0.0f;
    if (a.fault == FAULT_INPUT && end)
        src[at] += 0.25f;
    if (a.fault == FAULT_BOUNDS && end && src[last] == 1.25f)
        dst[at] = 0.0f;
}

/* dst[z] (+)= src[z] + 2 src[z - 1] */
__kernel WG64 void plant_bwd(GC(float) src, G(float) dst, struct a_plant a)
{
    VOXEL
    src += a.off[0];
    dst += a.off[1];
    const int next = a.fault == FAULT_GRAD_TAP ? 16 : -16;
    const bool add = (a.accum != 0 && a.fault != FAULT_ACCUM) || a.fault == FAULT_ADD;
    for (int l = 0; l < 16 && l < lanes; l++) {
        float v = src[at + l] + 2.0f * src[at + next + l];
        dst[at + l] = add ? dst[at + l] + v : v;
    }
}

/* dst[0] = sum of all stored elements of src. One group. */
__kernel WG64 void plant_sum(GC(float) src, G(float) dst, struct a_plant a)
{
    __local float sums[64];
    const int l = LOCAL();
    float sum = 0.0f;
    for (int i = l; i < a.count; i += 64)
        sum += src[a.off[0] + i];
    if (!(a.fault == FAULT_UNINIT && l == 63))
        sums[l] = sum;
    if (a.fault != FAULT_RACE)
        barrier(CLK_LOCAL_MEM_FENCE);
    if (l == 0) {
        sum = 0.0f;
        for (int i = 0; i < 64; i++)
            sum += sums[i];
        dst[a.off[1]] = sum;
    }
}
