/* SPDX-License-Identifier: Apache-2.0
 * The 64 matrix products of Winograd's algorithm (simt), between the transforms of winog.cl. Constant: NB output blocks
 * of a work-group (1, 2 or 4). */
#include "common/base.h"
#include "ops/args/winog.h"

#ifdef PV_SIMT

#define COLS (2 * NB)           /* work-items side by side, each with 8 output channels: two float4, COLS apart */
#define ROWS (128 / COLS)
#define T (NB == 1 ? 4 : NB == 2 ? 6 : 8)   /* tiles of a work-item, ROWS apart; 6: for 128 registers on NVIDIA */
#define MT (ROWS * T)
#define PITCH (MT + 4)          /* 4: writes of the two halves of 8 tiles meet different banks */
#define NA (MT / 64)            /* float4 that a work-item brings of the input */
#define WG128 __attribute__((reqd_work_group_size(128, 1, 1)))

/* winog_gemm: m[f][kb][tile][16 k] = sum_c v[f][c / 8][tile][c % 8] u[f - f0][kb][cb][16 c][16 k], over c in order.
 * Groups: (tiles / MT) * (kb / NB) * nf in one row. A work-item sums 8 channels of T tiles. 8 input channels are in
 * local memory, the next 8 in registers: 8832, 7296 or 6272 bytes for NB 1, 2 or 4. */
__kernel WG128 void winog_gemm(GC(float) v, GC(float) u, G(float) m, struct a_winog_g a)
{
    __local float2 in[4 * PITCH];       /* [pair of channels][tile] */
    __local float4 wl[8 * 4 * NB];      /* [channel][quarter of a block] */
    const int l = LOCAL(), col = l % COLS, row = l / COLS, g = GROUP();
    const int ts = (a.count + MT - 1) / MT, js = (a.kb + NB - 1) / NB;
    const int t0 = g % ts * MT, j0 = g / ts % js * NB, f = g / ts / js, steps = 2 * a.cb;
    if (f >= a.nf)
        return;
    const bool mine = t0 + row < a.count && j0 + col / 4 < a.kb;
    const int left = a.count - t0 - l / 2;              /* tiles from the first that this work-item brings */
    v += a.off[0] + ((long)(a.f0 + f) * steps * a.count + t0) * 8 + l * 4;
    u += a.off[1] + ((long)f * a.kb + min(j0 + l / 32, a.kb - 1)) * a.cb * 256 + l % 32 * 4;
    float4 acc[2 * T], d[NA], w = (float4)(0.0f);
    UNROLL for (int i = 0; i < NA; i++)
        d[i] = (float4)(0.0f);
    UNROLL for (int i = 0; i < 2 * T; i++)
        acc[i] = (float4)(0.0f);
    for (int s = 0; s <= steps; s++) {
        if (s > 0) {
            barrier(CLK_LOCAL_MEM_FENCE);
            UNROLL for (int i = 0; i < NA; i++) {
                in[l % 2 * 2 * PITCH + l / 2 + i * 64] = d[i].xy;
                in[(l % 2 * 2 + 1) * PITCH + l / 2 + i * 64] = d[i].zw;
            }
            if (l < 32 * NB)
                wl[l % 32 / 4 * 4 * NB + l / 32 * 4 + l % 4] = w;
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        if (s < steps) {
            UNROLL for (int i = 0; i < NA; i++)
                if (left > i * 64)
                    d[i] = LD4(v + i * 512);
            if (l < 32 * NB)
                w = LD4(u);
            v += a.count * 8;
            u += 128;
        }
        if (s > 0 && mine)
            NOUNROLL for (int p = 0; p < 4; p++) {
                const float4 w0 = wl[p * 8 * NB + col], w1 = wl[p * 8 * NB + col + COLS];
                const float4 w2 = wl[(p * 2 + 1) * 4 * NB + col], w3 = wl[(p * 2 + 1) * 4 * NB + col + COLS];
                UNROLL for (int i = 0; i < T; i++) {
                    const float2 x = in[p * PITCH + row + i * ROWS];
                    acc[2 * i] = fma((float4)(x.y), w2, fma((float4)(x.x), w0, acc[2 * i]));
                    acc[2 * i + 1] = fma((float4)(x.y), w3, fma((float4)(x.x), w1, acc[2 * i + 1]));
                }
            }
    }
    if (!mine)
        return;
    UNROLL for (int h = 0; h < 2; h++) {
        const int k = j0 * 4 + col + h * COLS;          /* quarters of output blocks */
        G(float) to = m + a.off[2] + ((long)(a.f0 + f) * a.kb + k / 4) * a.count * 16 + k % 4 * 4;
        UNROLL for (int i = 0; i < T; i++) {
            const int t = t0 + row + i * ROWS;
            if (t < a.count && k / 4 < a.kb)
                ST4(to + t * 16) = acc[2 * i + h];
        }
    }
}

#endif
