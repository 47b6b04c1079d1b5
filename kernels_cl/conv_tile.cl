/* SPDX-License-Identifier: Apache-2.0
 * 3x3x3 convolutions of stride 1 for few channels (simt): a tile of the input with its halo is brought to local memory
 * once for all 27 taps. Constants: NB output blocks of a work-group (1 or 2), WG = 128 * NB, TZ voxels of a tile along
 * z (8 or 16). */
#include "common/base.h"
#include "common/stats.h"
#include "ops/args/conv_tile.h"

#ifdef PV_SIMT

/* A hint for AMD's wavefronts of 32: 8 of them on a SIMD, 128 registers each, of which they would take up to 160. */
#if defined(__AMDGCN__) && __AMDGCN_WAVEFRONT_SIZE == 32
#define EIGHT_WAVES __attribute__((amdgpu_waves_per_eu(8)))
#else
#define EIGHT_WAVES
#endif
#define TX 4                            /* a work-item sums a column of TX voxels */
#define TY (128 / TZ)
#define HY (TY + 2)
#define HZ (TZ + 2)
#define CELLS ((TX + 2) * HY * HZ)      /* 1080 for both TZ */

/* conv_tile: y[k][o] = b[k] + sum_{c, tap} w[tap][c][k] x[c][o + tap].
 * src [n][cb][..][16], wt [kb]{[16 bias], [cb][27][16 c][16 k]}, dst [n][kb][..][16].
 * Groups: (tiles of z * tiles of y, tiles of x, n * kb / NB). A work-item sums 16 channels of TX voxels along x. Local
 * memory holds a quarter of a block: 4 channels of the tile's voxels and of the weights; 17 KiB + NB * 6.75 KiB. At
 * the end it serves the sums of statistics, a unit per tile: of deviations from the tile's first voxel and of their
 * squares, a quad of channels per column of 128 work-items. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) EIGHT_WAVES
void conv_tile(GC(float) src, GC(float) wt, G(float) dst, G(float) stats, GC(float) table,
               struct a_tile a)
{
    __local float4 in[CELLS];           /* [x][y][z] of 4 channels */
    __local float4 wl[NB * 27 * 16];    /* [block][tap][4 c][4 quarters of k] */
    const int l = LOCAL(), b = l / 128, ly = l % 128 / TZ, lz = l % TZ;
    const int nz = (a.z + TZ - 1) / TZ, g = get_group_id(0), m = get_group_id(2), kg = a.kb / NB;
    const int z0 = g % nz * TZ, y0 = g / nz * TY, x0 = get_group_id(1) * TX;
    const int n = m / kg, kb = m % kg * NB, y = y0 + ly, z = z0 + lz;
    const bool mine = y < a.y && z < a.z;
    src += a.off[0] + a.so + n * a.sn + x0 * a.sp + y0 * a.sr + z0 * 16;
    wt += a.off[1];
    float4 acc[TX][4];
    UNROLL for (int v = 0; v < TX; v++)
        UNROLL for (int k = 0; k < 4; k++)
            acc[v][k] = (float4)(0.0f);
    /* what is normalised ends where the border, zero, begins; unsigned: other comparisons take 40 registers on sm_75 */
    const int edge = a.flags & TILE_NORM ? 1 : 0, room = 2 - 2 * edge;
    for (int q = 0; q < a.cb * 4; q++) {
        GC(float) s = src + q / 4 * a.sb + q % 4 * 4;
        GC(float) w = wt + (a.flags & TILE_BEHIND ? 16 : 0) + kb * a.wb + q / 4 * 27 * 256 + q % 4 * 64;
        GC(float) t = table + a.off[4] + ((a.flags & TILE_ROWS ? n * a.cb : 0) + q / 4) * 64 + q % 4 * 4;
        barrier(CLK_LOCAL_MEM_FENCE);
        NOUNROLL for (int i = l; i < CELLS; i += WG) {
            const int hx = i / (HY * HZ), hy = i / HZ % HY, hz = i % HZ;
            const bool there = ((uint)(x0 + hx - edge) < (uint)(a.x + room)) &
                               ((uint)(y0 + hy - edge) < (uint)(a.y + room)) &
                               ((uint)(z0 + hz - edge) < (uint)(a.z + room));
            float4 v = there ? LD4(s + hx * a.sp + hy * a.sr + hz * 16) : (float4)(0.0f);
            if (edge & there) {
                v = fma(v - LD4(t + 32), LD4(t), LD4(t + 16));
                v = select(v * a.slope, v, v > (float4)(0.0f));
            }
            in[i] = v;
        }
        NOUNROLL for (int i = l; i < NB * 27 * 16; i += WG)
            wl[i] = LD4(w + i / (27 * 16) * a.wb + i / 16 % 27 * 256 + i % 16 * 4);
        barrier(CLK_LOCAL_MEM_FENCE);
        NOUNROLL for (int ky = 0; mine && ky < 3; ky++)
            NOUNROLL for (int kz = 0; kz < 3; kz++) {
                NOUNROLL for (int kx = 0; kx < 3; kx++) {
                    const int at = (b * 27 + kx * 9 + ky * 3 + kz) * 16;
                    float4 u[TX];
                    UNROLL for (int v = 0; v < TX; v++)
                        u[v] = in[((kx + v) * HY + ly + ky) * HZ + lz + kz];
                    UNROLL for (int k = 0; k < 4; k++) {
                        const float4 v0 = wl[at + k], v1 = wl[at + 4 + k], v2 = wl[at + 8 + k], v3 = wl[at + 12 + k];
                        UNROLL for (int v = 0; v < TX; v++) {
                            float4 t = fma((float4)(u[v].x), v0, acc[v][k]);
                            t = fma((float4)(u[v].y), v1, t);
                            t = fma((float4)(u[v].z), v2, t);
                            acc[v][k] = fma((float4)(u[v].w), v3, t);
                        }
                    }
                }
            }
    }
    const int nx = mine ? min(TX, a.x - x0) : 0;
    dst += a.off[2] + a.dst0 + n * a.dn + (kb + b) * a.db + y * a.dr + z * 16;
    if (a.flags & TILE_BIAS)
        UNROLL for (int k = 0; k < 4; k++) {
            const float4 bias = LD4(wt + (kb + b) * a.wb + k * 4);
            UNROLL for (int v = 0; v < TX; v++)
                acc[v][k] += bias;
        }
    UNROLL for (int v = 0; v < TX; v++)
        if (v < nx) {
            G(float) d = dst + (x0 + v) * a.dp;
            UNROLL for (int k = 0; k < 4; k++)
                ST4(d + k * 4) = a.flags & TILE_ACCUM ? LD4(d + k * 4) + acc[v][k] : acc[v][k];
        }
    if (!(a.flags & TILE_STATS))
        return;
    __local float4 *first = in + 1024 + b * 4, *column = in + l / 32 * 128 + l % 32;
    float4 sum = (float4)(0.0f);
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l % 128 == 0)
        UNROLL for (int k = 0; k < 4; k++)
            first[k] = acc[0][k];
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int v = 0; v < TX; v++)
        UNROLL for (int k = 0; k < 4; k++)
            acc[v][k] = v < nx ? acc[v][k] - first[k] : (float4)(0.0f);
    NOUNROLL for (int squares = 0; squares < 2; squares++) {
        UNROLL for (int k = 0; k < 4; k++) {
            float4 s = (float4)(0.0f);
            UNROLL for (int v = 0; v < TX; v++)
                s += squares ? acc[v][k] * acc[v][k] : acc[v][k];
            in[(b * 4 + k) * 128 + l % 128] = s;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        NOUNROLL for (int s = 32; s >= 2; s /= 4) {
            if (l % 32 < s)
                column[0] = (column[0] + column[s]) + (column[2 * s] + column[3 * s]);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        const float4 t = column[0] + column[1];         /* of use to l % 32 = 0 */
        if (squares && l % 32 == 0) {
            const int units = get_num_groups(0) * ((a.x + TX - 1) / TX), count = min(TX, a.x - x0) * min(TY, a.y - y0) *
                              min(TZ, a.z - z0), unit = get_group_id(1) * get_num_groups(0) + g;
            G(float) to = stats + a.off[3] + ((n * a.kb + kb + l / 128) * units + unit) * 32 + l / 32 % 4 * 4;
            PUT_STATS(to, in[1024 + l / 32], sum, t, count)
        }
        sum = t;
        barrier(CLK_LOCAL_MEM_FENCE);
    }
}

#endif
