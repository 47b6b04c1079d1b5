/* SPDX-License-Identifier: Apache-2.0
 * Weight gradients in mixed precision on matrix units of NVIDIA's GPUs: the sums of conv_wgrad, whose formula,
 * arguments and ordered slabs these are, operands rounded to half on the way to local memory, sums in fp32. Constants:
 * NB blocks of small of a work-group (1, 2, 4), S stride, UNIT. No shader beside it: Vulkan has conv_coop_wgrad. */
#include "common/base.h"
#include "ops/args/conv.h"

#ifdef PV_SIMT

#include "common/mma_tile.h"

#define ROUND_INPUT(j, k) (uint4)(half_pair(u[0].j, u[1].j), half_pair(u[0].k, u[1].k), \
                                  half_pair(u[2].j, u[3].j), half_pair(u[2].k, u[3].k))

#define BRING_FIRST { \
        const int2 from_ = bigs[here][t * 2]; \
        u[0] = LD4(big + from_.x); \
        u[1] = LD4(big + from_.y); \
    }
#define BRING_REST { \
        const int2 from_ = bigs[here][t * 2 + 1]; \
        u[2] = LD4(big + from_.x); \
        u[3] = LD4(big + from_.y); \
        if (MMA_BRINGS) { \
            const int2 small_ = smalls[here][g]; \
            w0 = small_.x < 0 ? (float4)(0.0f) : LD4(small + small_.x); \
            w1 = small_.y < 0 ? (float4)(0.0f) : LD4(small + small_.y); \
        } \
    }

/* What a slab covers: `count` voxels of planes from p0 and, of each, nr rows from y0. */
struct mma_slab { int p0, y0, nr, count; };

/* big.x, small.y: where number v of a slab's voxels is. Behind the last: big of the last, small -1. */
int2 voxel_at(int v, const struct mma_slab *s, const struct a_wgrad *a);
int2 voxel_at(int v, const struct mma_slab *s, const struct a_wgrad *a)
{
    const uint w = min(v, s->count - 1), r = w / (uint)a->z, p = r / (uint)s->nr + s->p0, n = p / (uint)a->x;
    const int z = w - r * a->z, y = r % (uint)s->nr + s->y0, x = p - n * a->x;
    return (int2)(n * a->bn + x * S * a->bp + y * S * a->br + z * S * 16,
                  v < s->count ? n * a->sn + x * a->sp + y * a->sr + z * 16 : -1);
}

/* mma_wgrad: see a_wgrad, slabs as of tile_wgrad. Groups: (slabs of planes * parts of rows over two dimensions,
 * (pairs of taps and blocks of big / 8) * (blocks of small / NB)). Rows are 8 pairs of 16 channels of big, columns
 * channels of small; a step is 16 of a slab's voxels, whose places 16 work-items find out a step ahead. While one step
 * is multiplied the next is on its way to registers (half of it after half of the products: 128 registers do), then to
 * the other half of the local memory: 9.25, 10.25 or 12.25 KiB for NB 1, 2, 4. Row g + 8 h of a pair is channel
 * 4 (g % 4) + 2 (g / 4) + h. */
__kernel __attribute__((reqd_work_group_size(128, 1, 1)))
void mma_wgrad(GC(float) big, GC(float) small, G(float) part, struct a_wgrad a)
{
    __local uint4 xs[2][256];           /* [pair][lane] */
    __local uint4 ws[2][NB * 32];       /* [block of small][lane] */
    __local int2 bigs[2][8];            /* places of a step's voxels */
    __local int2 smalls[2][8];
    MMA_ROOM
    MMA_PLACE
    MMA_B_PLACE
    const int ys = (a.y + a.rows - 1) / a.rows, slab = GROUP(), taps = a.kx * a.ky * a.kz, pairs = a.bb * taps;
    const int us = (pairs + 7) / 8, m0 = (int)get_group_id(2) % us * 8, j0 = (int)get_group_id(2) / us * NB;
    struct mma_slab s = {slab / ys * a.slab, slab % ys * a.rows, 0, 0};
    if (s.p0 >= a.planes)
        return;
    s.nr = min(a.rows, a.y - s.y0);
    s.count = min(a.slab, a.planes - s.p0) * s.nr * a.z;
    const int pair = min(m0 + l / 16, pairs - 1), tap = pair % taps, wj = min(j0 + l / 32 % NB, a.vb - 1);
    big += a.off[0] + a.bo + pair / taps * a.bbs + tap / a.kz / a.ky * a.bp + tap / a.kz % a.ky * a.br +
           tap % a.kz * 16 + l / 4 % 4 * 4;
    small += a.off[1] + a.so + wj * a.sbs + t * 4;
    MMA_SUMS(acc)
    float4 u[4], w0 = (float4)(0.0f), w1 = w0;
    for (int k = -1; k * 16 < s.count; k++) {
        const int here = k & 1;
        if (k >= 0) {
            xs[here][l / 16 * 32 + l % 16] = ROUND_INPUT(x, y);
            xs[here][l / 16 * 32 + l % 16 + 16] = ROUND_INPUT(z, w);
            MMA_PUT_B(ws[here], w0, w1)
        }
        if (l < 16) {
            const int2 v = voxel_at(k * 16 + 16 + l, &s, &a);
            ((__local int *)bigs[here])[l] = v.x;
            ((__local int *)smalls[here])[l] = v.y;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        BRING_FIRST
        if (k < 0) {
            BRING_REST
        } else {
            MMA_STEP(acc, xs[here], ws[here], BRING_REST)
        }
    }
    part += a.off[2];
    UNROLL for (int i = 0; i < 2 * MT; i++)
        UNROLL for (int b = 0; b < NP; b++) {
            const int m = m0 + wm * MT + i / 2, v = j0 + wn * NP + b, c = g % 4 * 4 + g / 4 * 2 + i % 2;
            if (m < pairs && v < a.vb)
                ST4(part + (((slab * a.pvb + v) * a.pbb + m / taps) * taps + m % taps) * 256 + c * 16 +
                    t * 4) = MMA_ROW(acc, i, b);
        }
}

#endif
