/* SPDX-License-Identifier: Apache-2.0
 * The 64 matrix products of Winograd's weight gradients (simt), between the transforms of winog.cl. Constant: NB blocks
 * of a work-group each way (2 or 4). */
#include "common/base.h"
#include "ops/args/winog.h"

#ifdef PV_SIMT

#define R (NB / 2)              /* float4 of channels of a work-item each way, 8 apart */
#define STEP 8                  /* tiles in local memory */
#define PITCH (4 * NB + 2)      /* 2: writes of 4 tiles meet different banks */
#define NL (NB / 2)             /* float4 that a work-item brings of each side */

/* winog_wgemm: part[slab][f][k][c] (+)= sum over the slab's tiles, in order, of d[f][k / 8][tile][k % 8]
 * v[f][c / 8][tile][c % 8], channels rounded up to blocks. Groups: (kb / NB) * (cb / NB) * 64 * slabs in one row. A
 * work-item sums 4R by 4R pairs of channels. 8 tiles are in local memory, the next 8 in registers: 2560 or 4608 bytes
 * for NB 2 or 4. */
__kernel WG64 void winog_wgemm(GC(float) d, GC(float) v, G(float) part, struct a_winog_p a)
{
    __local float4 dl[STEP * PITCH];    /* [tile][quarter of a block] */
    __local float4 vl[STEP * PITCH];
    const int l = LOCAL(), col = l % 8, row = l / 8, g = GROUP();
    const int jc = (a.cb + NB - 1) / NB, jk = (a.kb + NB - 1) / NB;
    const int c0 = g % jc * NB, k0 = g / jc % jk * NB, f = g / jc / jk % 64, slab = g / jc / jk / 64;
    if (slab >= a.slabs)
        return;
    const int first = slab * a.per, last = min(first + a.per, a.count), tile = first + l / 2 % STEP;
    int from_d[NL], from_v[NL];
    UNROLL for (int i = 0; i < NL; i++) {
        const int h = l / 16 + i * 4;                   /* halves of blocks */
        from_d[i] = (min(k0 * 2 + h, a.kb * 2 - 1) * a.count + tile) * 8 + l % 2 * 4;
        from_v[i] = (min(c0 * 2 + h, a.cb * 2 - 1) * a.count + tile) * 8 + l % 2 * 4;
    }
    d += a.off[0] + (long)f * a.kb * a.count * 16;
    v += a.off[1] + (long)f * a.cb * a.count * 16;
    float4 acc[4 * R * R], x[NL], y[NL];
    UNROLL for (int i = 0; i < 4 * R * R; i++)
        acc[i] = (float4)(0.0f);
    for (int t = first; t < last + STEP; t += STEP) {
        if (t > first) {
            barrier(CLK_LOCAL_MEM_FENCE);
            UNROLL for (int i = 0; i < NL; i++) {
                const int at = l / 2 % STEP * PITCH + (l / 16 + i * 4) * 2 + l % 2;
                dl[at] = x[i];
                vl[at] = y[i];
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        UNROLL for (int i = 0; i < NL; i++) {
            x[i] = y[i] = (float4)(0.0f);
            if (t + l / 2 % STEP < last) {
                x[i] = LD4(d + from_d[i]);
                y[i] = LD4(v + from_v[i]);
            }
        }
        d += STEP * 8;
        v += STEP * 8;
        if (t > first)
            NOUNROLL for (int s = 0; s < STEP; s++) {
                float4 c[R];
                UNROLL for (int j = 0; j < R; j++)
                    c[j] = vl[s * PITCH + col + j * 8];
                UNROLL for (int i = 0; i < R; i++) {
                    const float4 k = dl[s * PITCH + row + i * 8];
                    UNROLL for (int j = 0; j < R; j++) {
                        acc[(i * 4) * R + j] = fma((float4)(k.x), c[j], acc[(i * 4) * R + j]);
                        acc[(i * 4 + 1) * R + j] = fma((float4)(k.y), c[j], acc[(i * 4 + 1) * R + j]);
                        acc[(i * 4 + 2) * R + j] = fma((float4)(k.z), c[j], acc[(i * 4 + 2) * R + j]);
                        acc[(i * 4 + 3) * R + j] = fma((float4)(k.w), c[j], acc[(i * 4 + 3) * R + j]);
                    }
                }
            }
    }
    part += a.off[2] + (long)(slab * 64 + f) * a.kb * a.cb * 256;
    UNROLL for (int i = 0; i < 4 * R; i++)
        UNROLL for (int j = 0; j < R; j++) {
            const int k = k0 * 16 + (row + i / 4 * 8) * 4 + i % 4, c = c0 * 16 + (col + j * 8) * 4;
            G(float) to = part + (long)k * a.cb * 16 + c;
            if (k < a.kb * 16 && c < a.cb * 16)
                ST4(to) = a.accum ? LD4(to) + acc[i * R + j] : acc[i * R + j];
        }
}

#endif
