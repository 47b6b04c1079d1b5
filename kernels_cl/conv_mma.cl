/* SPDX-License-Identifier: Apache-2.0
 * Convolutions in mixed precision on matrix units of NVIDIA's GPUs (common/mma.h): the products of conv_gemm, whose
 * formulas, arguments and slabs these are, with operands rounded to half on the way to local memory and sums in fp32.
 * Constants: NB output blocks of a work-group (1, 2, 4), S stride, UP, UNIT. No shader beside it: Vulkan has
 * conv_coop.comp. */
#include "common/base.h"
#include "ops/args/conv_tile.h"

#ifdef PV_SIMT

#define MMA_ITEMS 128
#include "common/mma.h"

#define ROWS 128                /* voxels of a work-group */
#define WM (NB == 4 ? 2 : 4)    /* of its 4 warps those along voxels, each with other ones */
#define MT (8 / WM)             /* 16 voxels each: of a warp */
#define NP (NB * WM / 4)        /* output blocks of a warp */
#define NA 4                    /* float4 of the input that a work-item brings */

/* conv_mma: groups as of conv_gemm, ROWS voxels each. A step is 16 input channels of one tap; while one is multiplied
 * the next is on its way to registers, then to the other half of the local memory: 9, 10 or 12 KiB for NB 1, 2, 4.
 *
 * The order of a unit's 16 inner indices and 8 columns is free, so both are chosen for wide accesses. Inner indices: lane
 * t of a row holds channels 4 t to 4 t + 3, which are its indices 2 t, 2 t + 1, 2 t + 8, 2 t + 9. Columns: of the two
 * units that make an output block, unit p has channel 4 t + 2 p + e in column 2 t + e, and a lane stores channels 4 t to
 * 4 t + 3. */
__kernel __attribute__((reqd_work_group_size(128, 1, 1)))
void conv_mma(GC(float) src, GC(float) wt, G(float) dst, struct a_tile a)
{
    __local uint2 xs[2][ROWS * 4];      /* [voxel][quarter]: halves of 4 channels */
    __local uint2 ws[2][NB * 64];       /* [block][unit][column][quarter]: halves of 4 input channels */
    MMA_ROOM
    const int l = LOCAL(), g = l % 32 / 4, t = l % 4, wm = l / 32 % WM, wn = l / 32 / WM;
    const int voxels = a.n * a.x * a.y * a.z, v0 = GROUP() * ROWS, taps = a.kx * a.ky * a.kz;
    const int blocks = UP ? a.kb * taps : a.kb, js = (blocks + NB - 1) / NB, m = get_group_id(2);
    const int j0 = m % js * NB, slab = m / js;
    const int steps = UP ? a.cb : a.cb * taps, first = slab * a.per, last = min(first + a.per, steps);
    src += a.off[0] + a.so;
    wt += a.off[1];
    int from[NA];
    UNROLL for (int i = 0; i < NA; i++) {
        const int v = min(v0 + l / 4 + i * 32, voxels - 1);
        const int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x, n = v / a.z / a.y / a.x;
        from[i] = n * a.sn + x * S * a.sp + y * S * a.sr + z * S * 16 + t * 4;
    }
    /* weights: two input channels, 2 g and 2 g + 1, by 4 output channels of one block */
    const int wj = min(j0 + l / 32 % NB, blocks - 1);
    const int wfrom = a.w0 + g * 32 + t * 4 + (UP ? wj / taps * a.wb + wj % taps * 256 : wj * a.wb);
    float acc[MT][2 * NP][4];
    UNROLL for (int i = 0; i < MT; i++)
        UNROLL for (int p = 0; p < 2 * NP; p++)
            UNROLL for (int q = 0; q < 4; q++)
                acc[i][p][q] = 0.0f;
    float4 u[NA], w0 = (float4)(0.0f), w1 = w0;
    for (int s = first; s <= last; s++) {
        if (s > first) {
            __local uint2 *x = xs[s % 2];
            __local uint *w = (__local uint *)(ws[s % 2] + l / 32 * 64);
            UNROLL for (int i = 0; i < NA; i++)
                x[l + i * 128] = (uint2)(half_pair(u[i].x, u[i].y), half_pair(u[i].z, u[i].w));
            if (l < 32 * NB) {
                w[(t * 2) * 8 + g] = half_pair(w0.x, w1.x);
                w[(t * 2 + 1) * 8 + g] = half_pair(w0.y, w1.y);
                w[(t * 2 + 8) * 8 + g] = half_pair(w0.z, w1.z);
                w[(t * 2 + 9) * 8 + g] = half_pair(w0.w, w1.w);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        if (s < last) {
            const int c = UP ? s : s / taps, tap = UP ? 0 : s % taps;
            const int kz = tap % a.kz, ky = tap / a.kz % a.ky, kx = tap / a.kz / a.ky;
            GC(float) in0 = src + c * a.sb + kx * a.sp + ky * a.sr + kz * 16;
            GC(float) wt0 = wt + (c * taps + tap) * 256 + wfrom;
            UNROLL for (int i = 0; i < NA; i++)
                u[i] = LD4(in0 + from[i]);
            if (l < 32 * NB) {
                w0 = LD4(wt0);
                w1 = LD4(wt0 + 16);
            }
        }
        if (s > first) {
            __local const uint2 *x = xs[s % 2] + (wm * MT * 16 + g) * 4 + t;
            __local const uint2 *w = ws[s % 2] + (wn * NP * 16 + g) * 4 + t;
            uint wv[2 * NP][2];
            UNROLL for (int p = 0; p < 2 * NP; p++) {
                wv[p][0] = w[p * 32].x;
                wv[p][1] = w[p * 32].y;
            }
            MMA_LOOP for (int i = 0; i < MT; i++) {
                const uint2 x0 = x[i * 64], x1 = x[i * 64 + 32];
                const uint xv[4] = {x0.x, x1.x, x0.y, x1.y};
                MMA_LOOP for (int p = 0; p < 2 * NP; p++)
                    MMA(acc[i][p], xv, wv[p]);
            }
        }
    }
    dst += a.off[2] + a.dst0 + slab * a.ds + t * 4;
    UNROLL for (int i = 0; i < 2 * MT; i++)
        UNROLL for (int b = 0; b < NP; b++) {
            const int v = v0 + wm * MT * 16 + i * 8 + g, j = j0 + wn * NP + b;
            const int kb = UP ? j / taps : j, tap = UP ? j % taps : 0;
            int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x;
            bool inside = v < voxels && j < blocks;
            if (UP) {
                x = x * 2 + tap / a.kz / a.ky;
                y = y * 2 + tap / a.kz % a.ky;
                z = z * 2 + tap % a.kz;
                inside = inside && x < a.fx && y < a.fy && z < a.fz;
            }
            if (inside) {
                const float *e = acc[i / 2][2 * b] + i % 2 * 2, *o = acc[i / 2][2 * b + 1] + i % 2 * 2;
                G(float) d = dst + kb * a.db + v / a.z / a.y / a.x * a.dn + x * a.dp + y * a.dr + z * 16;
                float4 sum = (float4)(e[0], e[1], o[0], o[1]);
                if (a.accum)
                    sum += LD4(d);
                else if (a.bias >= 0)
                    sum += LD4(wt + a.bias + kb * a.wb + t * 4);
                ST4(d) = sum;
            }
        }
}

#endif
