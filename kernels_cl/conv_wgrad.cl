/* SPDX-License-Identifier: Apache-2.0
 * Weight gradients by ordered slabs. Constants: S stride; fat: KZ taps along z, CC channels of big and NB blocks of
 * small per work-item. */
#include "common/base.h"
#include "ops/args/conv.h"

#ifdef PV_FAT

/* conv_wgrad: see a_wgrad. Work-item (s, b, v): slab s, block b of big, blocks v*NB.. of small; accumulators
 * for KZ taps x CC channels of big, kept in `part` between rows. NB divides vb, CC divides 16. */
__kernel WG1 void conv_wgrad(GC(float) big, GC(float) small, G(float) part, struct a_wgrad a)
{
    const int s = get_global_id(0), b = get_global_id(1), v = get_global_id(2) * NB;
    big += a.off[0] + a.bo + (long)b * a.bbs;
    small += a.off[1] + a.so + (long)v * a.sbs;
    const int taps = a.kx * a.ky * KZ;
    part += a.off[2] + (((long)s * a.pvb + v) * a.pbb + b) * taps * 256;
    const long pv = (long)a.pbb * taps * 256;
    const int p1 = min((s + 1) * a.slab, a.planes);
    for (int p = s * a.slab; p < p1; p++) {
        const int n = p / a.x, x = p % a.x;
        GC(float) bg = big + (long)n * a.bn + (long)x * S * a.bp;
        GC(float) sm = small + (long)n * a.sn + (long)x * a.sp;
        for (int y0 = 0; y0 < a.y; y0 += 8) {
            const int y1 = min(y0 + 8, a.y), first = p == s * a.slab && y0 == 0;
            for (int kx = 0; kx < a.kx; kx++)
                for (int ky = 0; ky < a.ky; ky++)
                    for (int c0 = 0; c0 < 16; c0 += CC) {
                        G(float) out = part + (kx * a.ky + ky) * KZ * 256 + c0 * 16;
                        float16 acc[NB][KZ][CC];
                        if (first) {
                            UNROLL for (int i = 0; i < NB; i++)
                                UNROLL for (int k = 0; k < KZ; k++)
                                    UNROLL for (int c = 0; c < CC; c++)
                                        acc[i][k][c] = (float16)(0.0f);
                        } else {
                            UNROLL for (int i = 0; i < NB; i++)
                                UNROLL for (int k = 0; k < KZ; k++)
                                    UNROLL for (int c = 0; c < CC; c++)
                                        acc[i][k][c] = LD16(out + i * pv + k * 256 + c * 16);
                        }
                        for (int y = y0; y < y1; y++) {
                            GC(float) xr = bg + (long)kx * a.bp + (long)(y * S + ky) * a.br + c0;
                            GC(float) g = sm + (long)y * a.sr;
                            NOUNROLL for (int z = 0; z < a.z; z++) {
                                float16 gv[NB];
                                UNROLL for (int i = 0; i < NB; i++)
                                    gv[i] = LD16(g + (long)i * a.sbs + z * 16);
                                UNROLL for (int k = 0; k < KZ; k++)
                                    UNROLL for (int c = 0; c < CC; c++) {
                                        const float16 u = (float16)(xr[(z * S + k) * 16 + c]);
                                        UNROLL for (int i = 0; i < NB; i++)
                                            acc[i][k][c] = fma(u, gv[i], acc[i][k][c]);
                                    }
                            }
                        }
                        UNROLL for (int i = 0; i < NB; i++)
                            UNROLL for (int k = 0; k < KZ; k++)
                                UNROLL for (int c = 0; c < CC; c++)
                                    ST16(out + i * pv + k * 256 + c * 16) = acc[i][k][c];
                    }
        }
    }
}

#else

/* conv_wgrad: see a_wgrad. Groups: (slabs * taps over two dimensions, vb * bb); a work-item sums 4 channels of big
 * (l / 16) for one lane of small (l % 16). */
__kernel WG64 void conv_wgrad(GC(float) big, GC(float) small, G(float) part, struct a_wgrad a)
{
    const int taps = a.kx * a.ky * a.kz;
    const int s = GROUP() / taps, tap = GROUP() % taps, b = get_group_id(2) % a.bb, v = get_group_id(2) / a.bb;
    const int l = LOCAL(), lane = l % 16, c0 = l / 16 * 4;
    if (s * a.slab >= a.planes)
        return;
    const int kz = tap % a.kz, ky = tap / a.kz % a.ky, kx = tap / a.kz / a.ky;
    big += a.off[0] + a.bo + b * a.bbs + kx * a.bp + ky * a.br + kz * 16 + c0;
    small += a.off[1] + a.so + v * a.sbs + lane;
    float4 acc = (float4)(0.0f);
    const int p1 = min((s + 1) * a.slab, a.planes);
    for (int p = s * a.slab; p < p1; p++) {
        const int n = p / a.x, x = p % a.x;
        for (int y = 0; y < a.y; y++) {
            GC(float) xr = big + n * a.bn + x * S * a.bp + y * S * a.br;
            GC(float) g = small + n * a.sn + x * a.sp + y * a.sr;
            for (int z = 0; z < a.z; z++)
                acc = fma(LD4(xr + z * S * 16), (float4)(g[z * 16]), acc);
        }
    }
    part += a.off[2] + (((s * a.pvb + v) * a.pbb + b) * taps + tap) * 256 + c0 * 16 + lane;
    part[0] = acc.x;
    part[16] = acc.y;
    part[32] = acc.z;
    part[48] = acc.w;
}

#endif
