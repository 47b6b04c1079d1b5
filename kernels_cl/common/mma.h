/* SPDX-License-Identifier: Apache-2.0
 * Products of halves summed in fp32 on the matrix units of NVIDIA's GPUs, by warps of 32 work-items that follow each
 * other. Constant UNIT: 16 mma.m16n8k16 (sm_80 and newer), 8 two of mma.m16n8k8 (sm_75), 0 the same product in OpenCL C
 * for devices without, to check kernels by. Whoever includes this defines MMA_ITEMS, the items of a work-group.
 *
 * D = A B + C, A [16][16], B [16][8], C and D [16][8], spread over a warp as the PTX ISA lays down for m16n8k16. For
 * lane l, g = l / 4, t = l % 4, element i of what it holds:
 *     A  i < 8   row g + 8 (i / 2 % 2)   column 2 t + i % 2 + 8 (i / 4)
 *     B  i < 4   row 2 t + i % 2 + 8 (i / 2)   column g
 *     C  i < 4   row g + 8 (i / 2)   column 2 t + i % 2
 * Two elements of A or B are a word, the first below. */
#ifndef COMMON_MMA_H
#define COMMON_MMA_H

#include "common/half.h"

#if UNIT

/* c: float[4] of C and D; a: uint[4]; b: uint[2]. Every work-item of a warp must come by. */
#if UNIT == 16
#define MMA(c, a, b) \
    __asm__ volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 " \
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
                     : "+f"((c)[0]), "+f"((c)[1]), "+f"((c)[2]), "+f"((c)[3]) \
                     : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"((b)[0]), "r"((b)[1]))
#else
#define MMA_8(c, a0, a1, b0) \
    __asm__ volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 " \
                     "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};" \
                     : "+f"((c)[0]), "+f"((c)[1]), "+f"((c)[2]), "+f"((c)[3]) : "r"(a0), "r"(a1), "r"(b0))
#define MMA(c, a, b) { MMA_8(c, (a)[0], (a)[1], (b)[0]); MMA_8(c, (a)[2], (a)[3], (b)[1]); }
#endif
#define MMA_ROOM
#define MMA_LOOP UNROLL

/* Rounded to half, to the nearest, ties to even. */
uint half_pair(float first, float second);
uint half_pair(float first, float second)
{
    uint word;
    __asm__("{ .reg .b16 lo, hi; cvt.rn.f16.f32 lo, %1; cvt.rn.f16.f32 hi, %2; mov.b32 %0, {lo, hi}; }"
            : "=r"(word) : "f"(first), "f"(second));
    return word;
}

#else

uint half_bits(float x);
uint half_bits(float x)
{
    const uint u = as_uint(half_of(x)), size = u & 0x7fffffffu;
    const uint small = (uint)(as_float(size) * 16777216.0f);    /* multiples of 2^-24 */
    const uint large = size > 0x7f800000u ? 0x7e00u : size == 0x7f800000u ? 0x7c00u : (size - 0x38000000u) >> 13;
    return (size < 0x38800000u ? small : large) | (u >> 16 & 0x8000u);
}

float half_value(uint h);
float half_value(uint h)
{
    const uint e = h >> 10 & 31, m = h & 1023;
    const float size = e == 0 ? (float)m * (1.0f / 16777216.0f)
                              : as_float((e == 31 ? 255u : e + 112) << 23 | m << 13);
    return h & 0x8000u ? -size : size;
}

uint half_pair(float first, float second);
uint half_pair(float first, float second)
{
    return half_bits(first) | half_bits(second) << 16;
}

/* Every lane shows the others what it holds, then sums its four results. */
#define MMA_HELD 12             /* elements of A, then of B */
#define MMA_ROOM __local float mma_room[MMA_ITEMS * MMA_HELD];
#define MMA_LOOP NOUNROLL
#define MMA(c, a, b) mma_imitated(c, a, b, mma_room)
void mma_imitated(float *c, const uint *a, const uint *b, __local float *room);
void mma_imitated(float *c, const uint *a, const uint *b, __local float *room)
{
    const int lane = LOCAL() % 32;
    __local float *warp = room + (LOCAL() - lane) * MMA_HELD;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < 8; i++)
        warp[lane * MMA_HELD + i] = half_value(a[i / 2] >> i % 2 * 16 & 0xffffu);
    for (int i = 0; i < 4; i++)
        warp[lane * MMA_HELD + 8 + i] = half_value(b[i / 2] >> i % 2 * 16 & 0xffffu);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i / 2 * 8, col = lane % 4 * 2 + i % 2;
        float sum = c[i];
        for (int k = 0; k < 16; k++) {
            const int holds_a = row % 8 * 4 + k % 8 / 2, holds_b = col * 4 + k % 8 / 2;
            sum = fma(warp[holds_a * MMA_HELD + k % 2 + row / 8 * 2 + k / 8 * 4],
                      warp[holds_b * MMA_HELD + 8 + k % 2 + k / 8 * 2], sum);
        }
        c[i] = sum;
    }
}

#endif

#endif
