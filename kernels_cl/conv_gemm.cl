/* SPDX-License-Identifier: Apache-2.0
 * Convolutions as implicit matrix products (simt): many channels, few voxels, strides, single taps, and transposed
 * convolutions of side 2. Constants: NB output blocks of a work-group (1, 2 or 4), S stride, UP. */
#include "common/group.h"
#include "common/stats.h"
#include "ops/args/conv_tile.h"

#ifdef PV_SIMT

#define MV (256 / NB)           /* voxels of a work-group */
#define COLS (4 * NB)           /* quarters of output blocks */
#define STEP (32 / NB)          /* a work-item takes every STEP-th voxel */
#define ROW (MV + 2)            /* 2: writes of the four quarters of 2 voxels meet different banks */
#define NA (8 / NB)             /* what a work-item brings of the input */
#define NW ((NB + 1) / 2)       /* and of the weights */
#define NORMS (UP || S == 2)    /* may read each element once, and then normalise it */
#define WG128 __attribute__((reqd_work_group_size(128, 1, 1)))

/* conv_gemm, UP 0: y[k][o] = b[k] + sum_{c, tap} w[tap][c][k] x[c][o * S + tap]; steps are (c block, tap).
 * UP 1: y[k][2 i + tap] = b[k] + sum_c w[tap][c][k] x[c][i]; steps are c blocks, columns (k block, tap).
 * src [n][cb][..][16], wt [kb]{[16 bias], [cb][tap][16 c][16 k]}, dst [slab][n][kb][..][16].
 * Groups: (voxels of all samples / MV over two dimensions, slabs of steps * (columns / NB)). A work-item sums 4
 * channels of 8 voxels. One step (16 input channels) is in local memory, the next in registers: 16.1, 9.1 or 8.1 KiB
 * for NB 1, 2 or 4. At the end it serves the sums of statistics (as conv_tile's), a unit per work-group and block,
 * with UP per work-group. */
__kernel WG128 void conv_gemm(GC(float) src, GC(float) wt, G(float) dst, G(float) stats, GC(float) table,
                              struct a_tile a)
{
    __local float4 in[4 * ROW];         /* [quarter][voxel] */
    __local float4 wl[16 * COLS];       /* [channel][column] */
    const int l = LOCAL(), col = l % COLS, vg = l / COLS, taps = a.kx * a.ky * a.kz;
    const int voxels = a.n * a.x * a.y * a.z, v0 = GROUP() * MV;
    const int blocks = UP ? a.kb * taps : a.kb, js = (blocks + NB - 1) / NB, m = get_group_id(2);
    const int j0 = m % js * NB, slab = m / js;
    const int steps = UP ? a.cb : a.cb * taps, first = slab * a.per, last = min(first + a.per, steps);
    const bool mine = v0 + vg < voxels && j0 + col / 4 < blocks;
    src += a.off[0] + a.so;
    wt += a.off[1];
    int from[NA], wfrom[NW];
    UNROLL for (int i = 0; i < NA; i++) {
        const int at = l + i * 128, v = min(v0 + at / 4, voxels - 1);
        const int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x, n = v / a.z / a.y / a.x;
        from[i] = n * a.sn + x * S * a.sp + y * S * a.sr + z * S * 16 + at % 4 * 4;
    }
    UNROLL for (int i = 0; i < NW; i++) {
        const int at = (l + i * 128) % (64 * NB), j = min(j0 + at / 64, blocks - 1);
        wfrom[i] = (a.flags & TILE_BEHIND ? 16 : 0) + at % 64 * 4 + (UP ? j / taps * a.wb + j % taps * 256 : j * a.wb);
    }
    float4 acc[8], u[NA], w[NW];
    UNROLL for (int v = 0; v < 8; v++)
        acc[v] = (float4)(0.0f);
    for (int s = first; s <= last; s++) {
        if (s > first) {
            barrier(CLK_LOCAL_MEM_FENCE);
            if (NORMS && a.flags & TILE_NORM) {
                GC(float) t = table + a.off[4] + (UP ? s - 1 : (s - 1) / taps) * 64 + l % 4 * 4;
                UNROLL for (int i = 0; i < NA; i++) {
                    u[i] = fma(u[i] - LD4(t + 32), LD4(t), LD4(t + 16));
                    u[i] = select(u[i] * a.slope, u[i], u[i] > (float4)(0.0f));
                }
            }
            UNROLL for (int i = 0; i < NA; i++)
                in[l % 4 * ROW + l / 4 + i * 32] = u[i];
            UNROLL for (int i = 0; i < NW; i++) {
                const int at = l + i * 128;
                if (at < 64 * NB)
                    wl[at % 64 / 4 * COLS + at / 64 * 4 + at % 4] = w[i];
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        if (s < last) {
            const int c = UP ? s : s / taps, tap = UP ? 0 : s % taps;
            const int kz = tap % a.kz, ky = tap / a.kz % a.ky, kx = tap / a.kz / a.ky;
            GC(float) in0 = src + c * a.sb + kx * a.sp + ky * a.sr + kz * 16;
            GC(float) w0 = wt + (c * taps + tap) * 256;
            UNROLL for (int i = 0; i < NA; i++)
                u[i] = LD4(in0 + from[i]);
            UNROLL for (int i = 0; i < NW; i++)
                w[i] = LD4(w0 + wfrom[i]);
        }
        if (s > first && mine)
            NOUNROLL for (int q = 0; q < 4; q++) {
                const float4 w0 = wl[q * 4 * COLS + col], w1 = wl[(q * 4 + 1) * COLS + col];
                const float4 w2 = wl[(q * 4 + 2) * COLS + col], w3 = wl[(q * 4 + 3) * COLS + col];
                UNROLL for (int v = 0; v < 8; v++) {
                    const float4 x = in[q * ROW + vg + v * STEP];
                    float4 t = fma((float4)(x.x), w0, acc[v]);
                    t = fma((float4)(x.y), w1, t);
                    t = fma((float4)(x.z), w2, t);
                    acc[v] = fma((float4)(x.w), w3, t);
                }
            }
    }
    const int j = j0 + col / 4, kb = UP ? j / taps : j, tap = UP ? j % taps : 0;
    const int kz = tap % a.kz, ky = tap / a.kz % a.ky, kx = tap / a.kz / a.ky;
    dst += a.off[2] + a.dst0 + slab * a.ds + kb * a.db + col % 4 * 4;
    float4 bias = (float4)(0.0f);
    if (a.flags & TILE_BIAS && mine)
        bias = LD4(wt + kb * a.wb + col % 4 * 4);
    UNROLL for (int i = 0; i < 8; i++) {
        const int v = v0 + vg + i * STEP;
        int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x;
        bool inside = mine && v < voxels;
        if (UP) {
            x = x * 2 + kx;
            y = y * 2 + ky;
            z = z * 2 + kz;
            inside = inside && x < a.fx && y < a.fy && z < a.fz;
        }
        G(float) d = dst + v / a.z / a.y / a.x * a.dn + x * a.dp + y * a.dr + z * 16;
        if (inside) {
            acc[i] += a.flags & TILE_ACCUM ? LD4(d) : bias;
            ST4(d) = acc[i];
        }
    }
    if (!(a.flags & TILE_STATS))
        return;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l < COLS)
        wl[l] = acc[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    const float4 one = wl[UP ? col % 4 : col];
    float4 s = (float4)(0.0f), q = s;
    UNROLL for (int i = 0; i < 8; i++)
        if (mine && v0 + vg + i * STEP < voxels) {
            const float4 d = acc[i] - one;
            s += d;
            q += d * d;
        }
    in[l] = s;
    in[128 + l] = q;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l < 2 * COLS) {
        float4 t = in[l / COLS * 128 + l % COLS];
        NOUNROLL for (int i = 1; i < STEP; i++)
            t += in[l / COLS * 128 + i * COLS + l % COLS];
        wl[COLS + l] = t;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const int here = min(MV, voxels - v0), units = (voxels + MV - 1) / MV;
    if (here <= 0 || j0 + col / 4 >= blocks || l >= (UP ? 4 : COLS))
        return;
    s = wl[COLS + l];
    q = wl[2 * COLS + l];
    if (UP)
        for (int i = 1; i < NB; i++) {
            s += wl[COLS + i * 4 + l];
            q += wl[2 * COLS + i * 4 + l];
        }
    stats += a.off[3] + ((UP ? j / NB : j) * units + GROUP()) * 32 + l % 4 * 4;
    PUT_STATS(stats, one, s, q, UP ? here * NB : here)
}

/* Sum over the 16 strands l / 4 of a work-group of 64, for each quad l % 4. */
GROUP_FOLD(quads, float4, JOIN_ADD, 4)

/* gemm_sum: dst[n][k][v] (+)= b[k] + sum over slabs, in order, of part [slab][n][kb][v][16]; ds floats between slabs,
 * `per` slabs. Work-group: GEMM_SUM_RUN voxels of a block of a sample, a unit of statistics; work-item: quad l % 4,
 * voxels l / 4 and l / 4 + 16. */
__kernel WG64 void gemm_sum(GC(float) part, GC(float) wt, G(float) dst, G(float) stats, GC(float) table,
                            struct a_tile a)
{
    __local float4 sums[64];
    const int l = LOCAL(), voxels = a.x * a.y * a.z, runs = (voxels + GEMM_SUM_RUN - 1) / GEMM_SUM_RUN;
    const int kb = GROUP() / runs % a.kb, n = GROUP() / runs / a.kb, v0 = GROUP() % runs * GEMM_SUM_RUN;
    const int here = n < a.n ? min(GEMM_SUM_RUN, voxels - v0) : 0;
    float4 r[2];
    dst += a.off[2] + a.dst0 + n * a.dn + kb * a.db + l % 4 * 4;
    part += a.off[0] + ((n * a.kb + kb) * voxels + v0) * 16 + l % 4 * 4;
    UNROLL for (int i = 0; i < 2; i++) {
        const int at = l / 4 + i * 16, v = v0 + at, z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y;
        r[i] = (float4)(0.0f);
        if (at >= here)
            continue;
        G(float) d = dst + x * a.dp + y * a.dr + z * 16;
        if (a.flags & TILE_ACCUM)
            r[i] = LD4(d);
        else if (a.flags & TILE_BIAS)
            r[i] = LD4(wt + a.off[1] + kb * a.wb + l % 4 * 4);
        for (int s = 0; s < a.per; s++)
            r[i] += LD4(part + s * a.ds + at * 16);
        ST4(d) = r[i];
    }
    if (!(a.flags & TILE_STATS))
        return;
    sums[l] = r[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    const float4 first = sums[l % 4], d0 = r[0] - first, d1 = r[1] - first;
    barrier(CLK_LOCAL_MEM_FENCE);
    float4 s = (float4)(0.0f), q = s;
    if (l / 4 < here) {
        s = d0;
        q = d0 * d0;
    }
    if (l / 4 + 16 < here) {
        s += d1;
        q += d1 * d1;
    }
    s = quads(s, sums);
    q = quads(q, sums);
    if (l < 4 && here > 0)
        PUT_STATS(stats + a.off[3] + GROUP() * 32 + l * 4, first, s, q, here)
}

#endif
