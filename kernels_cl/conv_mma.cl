/* SPDX-License-Identifier: Apache-2.0
 * Convolutions in mixed precision on matrix units of NVIDIA's GPUs (common/mma.h): the products of conv_gemm, whose
 * formulas, arguments and slabs these are, with operands rounded to half on the way to local memory and sums in fp32.
 * Constants: NB output blocks of a work-group (1, 2, 4), S stride, UP, UNIT. No shader beside it: Vulkan has
 * conv_coop.comp. */
#include "common/base.h"
#include "common/stats.h"
#include "ops/args/conv_tile.h"

#ifdef PV_SIMT

#include "common/mma_tile.h"

#define ROWS 128                /* voxels of a work-group */
#define NA 4                    /* float4 of the input that a work-item brings */

/* To the next tap, counted up because divisions would take as long as the products: *at is kx * 256 + ky * 16 + kz.
 * Returns by how much the input moves. */
int next_tap(int *at, int kx, int ky, int kz, int sb, int sp, int sr);
int next_tap(int *at, int kx, int ky, int kz, int sb, int sp, int sr)
{
    int move = 16;
    if ((++*at & 15) == kz) {
        *at += 16 - kz;
        move += sr - kz * 16;
        if ((*at >> 4 & 15) == ky) {
            *at += 256 - ky * 16;
            move += sp - ky * sr;
            if (*at >> 8 == kx) {
                *at = 0;
                move += sb - kx * sp;
            }
        }
    }
    return move;
}

#define BRING_INPUT UNROLL for (int i_ = 0; i_ < NA; i_++) u[i_] = LD4(src + (in0 + from[i_]));
#define BRING_WEIGHTS if (MMA_BRINGS) { w0 = LD4(wt + wfrom); w1 = LD4(wt + (wfrom + 16)); }

/* conv_mma: groups as of conv_gemm, ROWS voxels each. A step is 16 input channels of one tap; while one is multiplied
 * the next is on its way to registers (weights after half of the products: 128 registers suffice), then to the other
 * half of the local memory: 9, 10 or 12 KiB for NB 1, 2, 4. UP has one slab. Rows g and g + 8 of a unit are voxels 2 g
 * and 2 g + 1. */
__kernel __attribute__((reqd_work_group_size(128, 1, 1)))
void conv_mma(GC(float) src, GC(float) wt, G(float) dst, G(float) stats, GC(float) table, struct a_tile a)
{
    __local uint4 xs[2][ROWS * 2];      /* [16 voxels][lane] */
    __local uint4 ws[2][NB * 32];       /* [block][lane] */
    MMA_ROOM
    MMA_PLACE
    MMA_B_PLACE
    const int voxels = a.n * a.x * a.y * a.z, v0 = GROUP() * ROWS, taps = a.kx * a.ky * a.kz;
    const int blocks = UP ? a.kb * taps : a.kb, js = (blocks + NB - 1) / NB, m = get_group_id(2);
    const int j0 = m % js * NB, slab = m / js, steps = UP ? a.cb : a.cb * taps, first = UP ? 0 : slab * a.per;
    src += a.off[0] + a.so;
    wt += a.off[1];
    int from[NA];
    UNROLL for (int i = 0; i < NA; i++) {
        const int v = min(v0 + l / 4 * 2 + i / 2 * 64 + i % 2, voxels - 1);
        const int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x, n = v / a.z / a.y / a.x;
        from[i] = n * a.sn + x * S * a.sp + y * S * a.sr + z * S * 16 + t * 4;
    }
    const int tap = UP ? 0 : first % taps, kz = tap % a.kz, ky = tap / a.kz % a.ky, kx = tap / a.kz / a.ky;
    int in0 = (UP ? 0 : first / taps) * a.sb + kx * a.sp + ky * a.sr + kz * 16, at = kx * 256 + ky * 16 + kz;
    const int wj = min(j0 + l / 32 % NB, blocks - 1);
    int wfrom = (a.flags & TILE_BEHIND ? 16 : 0) + first * 256 + g * 32 + t * 4 +
                (UP ? wj / taps * a.wb + wj % taps * 256 : wj * a.wb);
    MMA_SUMS(acc)
    float4 u[NA], w0 = (float4)(0.0f), w1 = w0;
    int here = 0;
    BRING_INPUT
    BRING_WEIGHTS
    for (int left = UP ? steps : min(a.per, steps - first); left > 0; left--, here ^= 1) {
        UNROLL for (int i = 0; i < NA; i += 2)
            xs[here][l + i * 64] = (uint4)(half_pair(u[i].x, u[i].y), half_pair(u[i + 1].x, u[i + 1].y),
                                           half_pair(u[i].z, u[i].w), half_pair(u[i + 1].z, u[i + 1].w));
        MMA_PUT_B(ws[here], w0, w1)
        barrier(CLK_LOCAL_MEM_FENCE);
        if (left > 1) {
            wfrom += UP ? taps * 256 : 256;
            in0 += UP ? a.sb : next_tap(&at, a.kx, a.ky, a.kz, a.sb, a.sp, a.sr);
            BRING_INPUT
        } else {                        /* the old ones need not be kept */
            UNROLL for (int i = 0; i < NA; i++)
                u[i] = (float4)(0.0f);
        }
        MMA_STEP(acc, xs[here], ws[here], if (left > 1) { BRING_WEIGHTS } else { w0 = w1 = (float4)(0.0f); })
    }
    dst += a.off[2] + a.dst0 + slab * a.ds + t * 4;
    UNROLL for (int i = 0; i < 2 * MT; i++)
        UNROLL for (int b = 0; b < NP; b++) {
            const int v = v0 + (wm * MT + i / 2) * 16 + g * 2 + i % 2, j = j0 + wn * NP + b;
            const int kb = UP ? j / taps : j, up = UP ? j % taps : 0;
            int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x;
            bool inside = v < voxels && j < blocks;
            if (UP) {
                x = x * 2 + up / a.kz / a.ky;
                y = y * 2 + up / a.kz % a.ky;
                z = z * 2 + up % a.kz;
                inside = inside && x < a.fx && y < a.fy && z < a.fz;
            }
            if (inside) {
                G(float) d = dst + kb * a.db + v / a.z / a.y / a.x * a.dn + x * a.dp + y * a.dr + z * 16;
                float4 sum = MMA_ROW(acc, i, b);
                if (a.flags & TILE_ACCUM)
                    sum += LD4(d);
                else if (a.flags & TILE_BIAS)
                    sum += LD4(wt + kb * a.wb + t * 4);
                ST4(d) = sum;
            }
        }
    if (!(a.flags & TILE_STATS))
        return;
    /* as conv_gemm's, biases left out: columns [quad of channels][WM * 8 work-items], of s and then of q */
    __local float4 *sums = (__local float4 *)xs, *one = (__local float4 *)ws;
    const int left = voxels - v0 - wm * MT * 16 - g * 2;        /* row i is voxel i / 2 * 16 + i % 2 from there */
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int b = 0; b < NP; b++)
        if (wm == 0 && g == 0)
            one[(wn * NP + b) * 4 + t] = MMA_ROW(acc, 0, b);
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int b = 0; b < NP; b++) {
        const int col = (wn * NP + b) * 4 + t;
        const float4 pivot = one[UP ? t : col];
        float4 s = (float4)(0.0f), q = s;
        UNROLL for (int i = 0; i < 2 * MT; i++)
            if (i / 2 * 16 + i % 2 < left) {
                const float4 d = MMA_ROW(acc, i, b) - pivot;
                s += d;
                q += d * d;
            }
        sums[col * 8 * WM + wm * 8 + g] = s;
        sums[256 + col * 8 * WM + wm * 8 + g] = q;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const int there = min(ROWS, voxels - v0), units = (voxels + ROWS - 1) / ROWS, mine_j = j0 + l / 4;
    float4 s = (float4)(0.0f), q = s;
    if (l < 4 * NB)
        NOUNROLL for (int i = 0; i < 8 * WM; i++) {
            s += sums[l * 8 * WM + i];
            q += sums[256 + l * 8 * WM + i];
        }
    if (UP) {
        barrier(CLK_LOCAL_MEM_FENCE);
        sums[l] = s;
        sums[128 + l] = q;
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = 1; i < NB; i++) {
            s += sums[l % 4 + i * 4];
            q += sums[128 + l % 4 + i * 4];
        }
    }
    if (there <= 0 || l >= (UP ? 4 : 4 * NB) || mine_j >= blocks)
        return;
    float4 pivot = one[l];
    if (a.flags & TILE_BIAS)
        pivot += LD4(wt + (UP ? mine_j / taps : mine_j) * a.wb + l % 4 * 4);
    stats += a.off[3] + ((UP ? mine_j / NB : mine_j) * units + GROUP()) * 32 + l % 4 * 4;
    PUT_STATS(stats, pivot, s, q, UP ? there * NB : there)
}

#endif
