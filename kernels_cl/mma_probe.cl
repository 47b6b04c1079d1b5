/* SPDX-License-Identifier: Apache-2.0
 * Whether a device has NVIDIA's matrix units, and they multiply as common/mma.h says: dev/ocl/matrix.c builds and runs
 * this. Constant UNIT of common/mma.h. */
#include "common/base.h"

#ifdef PV_SIMT

#define MMA_ITEMS 32
#include "common/mma.h"

/* mma_probe: d[16][8] += a[16][16] b[16][8]. One group. */
__kernel __attribute__((reqd_work_group_size(32, 1, 1)))
void mma_probe(GC(float) a, GC(float) b, G(float) d)
{
    MMA_ROOM
    const int g = LOCAL() / 4, t = LOCAL() % 4 * 2;
    uint x[4], y[2];
    float sum[4];
    for (int i = 0; i < 4; i++) {
        const int row = g + i % 2 * 8, col = t + i / 2 * 8;
        x[i] = half_pair(a[row * 16 + col], a[row * 16 + col + 1]);
    }
    for (int i = 0; i < 2; i++)
        y[i] = half_pair(b[(t + i * 8) * 8 + g], b[(t + i * 8 + 1) * 8 + g]);
    for (int i = 0; i < 4; i++)
        sum[i] = d[(g + i / 2 * 8) * 8 + t + i % 2];
    MMA(sum, x, y);
    for (int i = 0; i < 4; i++)
        d[(g + i / 2 * 8) * 8 + t + i % 2] = sum[i];
}

#endif
