/* SPDX-License-Identifier: Apache-2.0
 * Weight gradients with tiles in local memory (simt): no atomics, slabs in order. Constants: S stride, KZ taps along z
 * (1 to 3), KG pairs of taps along x and y, WG = 16 * KG. */
#include "common/base.h"
#include "ops/args/conv.h"

#ifdef PV_SIMT

/* By the table at t; i % 4 and l % 4 are the same quad of channels. */
#define NORMALISE(u) \
    u = fma(u - LD4(t + 32), LD4(t), LD4(t + 16)); \
    u = select(u * a.slope, u, u > (float4)(0.0f));

/* tile_wgrad: see a_wgrad; slab (s, p) of part covers planes [s * slab, ..) and rows [p * rows, ..) of each.
 * Groups: (slabs of planes * parts of rows over two dimensions, vb * bb). A work-item sums 4 x 4 channels for the KZ
 * taps of one (kx, ky). Local memory holds pieces of `ty` rows of `tz` voxels of small and what they meet of big: at
 * most TILE_CELLS blocks of 16 channels, 28 KiB. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void tile_wgrad(GC(float) big, GC(float) small, G(float) part, GC(float) table, struct a_wgrad a)
{
    __local float4 cell[TILE_CELLS * 4];
    const int l = LOCAL(), ys = (a.y + a.rows - 1) / a.rows;
    const int slab = GROUP(), s = slab / ys, ypart = slab % ys;
    const int b = get_group_id(2) % a.bb, v = get_group_id(2) / a.bb;
    const int c4 = l / 4 % 4, k4 = l % 4, kx = l / 16 / a.ky, ky = l / 16 % a.ky;
    big += a.off[0] + a.bo + b * a.bbs;
    small += a.off[1] + a.so + v * a.sbs;
    if (s * a.slab >= a.planes)
        return;
    float4 acc[KZ][4];
    UNROLL for (int k = 0; k < KZ; k++)
        UNROLL for (int c = 0; c < 4; c++)
            acc[k][c] = (float4)(0.0f);
    const int p1 = min((s + 1) * a.slab, a.planes), y1 = min((ypart + 1) * a.rows, a.y);
    for (int p = s * a.slab; p < p1; p++)
        for (int y0 = ypart * a.rows; y0 < y1; y0 += a.ty)
            for (int z0 = 0; z0 < a.z; z0 += a.tz) {
                const int ny = min(a.ty, y1 - y0), nz = min(a.tz, a.z - z0);
                const int hy = (ny - 1) * S + a.ky, hz = (nz - 1) * S + KZ, cells = a.kx * hy * hz;
                GC(float) bg = big + p / a.x * a.bn + p % a.x * S * a.bp + y0 * S * a.br + z0 * S * 16;
                GC(float) sm = small + p / a.x * a.sn + p % a.x * a.sp + y0 * a.sr + z0 * 16;
                __local float4 *g = cell + cells * 4;
                const int row = (a.norm & WGRAD_ROWS ? p / a.x : 0) * (a.norm & WGRAD_BIG ? a.bb : a.vb);
                GC(float) t = table + a.off[3] + (row + (a.norm & WGRAD_BIG ? b : v)) * 64 + l % 4 * 4;
                barrier(CLK_LOCAL_MEM_FENCE);
                for (int i = l; i < cells * 4; i += WG) {
                    const int j = i / 4, x = j / (hy * hz), y = j / hz % hy, z = j % hz;
                    float4 u = LD4(bg + x * a.bp + y * a.br + z * 16 + i % 4 * 4);
                    if (a.norm & WGRAD_BIG) {
                        const int bx = p % a.x + x - a.kx / 2, by = y0 + y - a.ky / 2, bz = z0 + z - KZ / 2;
                        NORMALISE(u)
                        if (S == 1 && (bx < 0 || bx >= a.x || by < 0 || by >= a.y || bz < 0 || bz >= a.z))
                            u = (float4)(0.0f);         /* the border stays zero */
                    }
                    cell[i] = u;
                }
                for (int i = l; i < ny * nz * 4; i += WG) {
                    float4 u = LD4(sm + i / 4 / nz * a.sr + i / 4 % nz * 16 + i % 4 * 4);
                    if (a.norm & WGRAD_SMALL) {
                        NORMALISE(u)
                    }
                    g[i] = u;
                }
                barrier(CLK_LOCAL_MEM_FENCE);
                for (int y = 0; y < ny; y++) {
                    const int at = ((kx * hy + y * S + ky) * hz) * 4 + c4;
                    for (int z = 0; z < nz; z++) {
                        const float4 d = g[(y * nz + z) * 4 + k4];
                        UNROLL for (int k = 0; k < KZ; k++) {
                            const float4 u = cell[at + (z * S + k) * 4];
                            acc[k][0] = fma((float4)(u.x), d, acc[k][0]);
                            acc[k][1] = fma((float4)(u.y), d, acc[k][1]);
                            acc[k][2] = fma((float4)(u.z), d, acc[k][2]);
                            acc[k][3] = fma((float4)(u.w), d, acc[k][3]);
                        }
                    }
                }
            }
    part += a.off[2] + (((slab * a.pvb + v) * a.pbb + b) * (KG * KZ) + l / 16 * KZ) * 256;
    UNROLL for (int k = 0; k < KZ; k++)
        UNROLL for (int c = 0; c < 4; c++)
            ST4(part + k * 256 + (c4 * 4 + c) * 16 + k4 * 4) = acc[k][c];
}

#endif
