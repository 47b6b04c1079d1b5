/* SPDX-License-Identifier: Apache-2.0
 * 3x3x3 convolution of stride 1 and pad 1 by Winograd's F(2x2x2, 3x3x3) on BLOCKED maps: 64 products per tile of 8
 * outputs instead of 216. Along each axis, with d four inputs, g three weights, m = (B d)(G g):
 *   B d = d0 - d2, d1 + d2, d2 - d1, d1 - d3;  G g = g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2;
 *   y0 = m0 + m1 + m2, y1 = m1 - m2 - m3
 * (Lavin and Gray 2016, arXiv 1509.09308, nested over x, y, z). One work-item makes all output channels of up to
 * `rows` x `run` tiles, so nothing transformed leaves the caches. Odd sides: tiles reach one voxel beyond the map;
 * those inputs are taken from the border, which is zero, and those outputs are not stored.
 * Fat class only. Constants: T tiles and NB output blocks in registers. */
#include "common/base.h"
#include "common/wino.h"
#include "ops/args/wino.h"

#define PRODUCTS(va, vb, ua, ub) WINO_PRODUCTS(a.cb, const float *, nt * 16, GC(float), LD16, va, vb, ua, ub)

/* wino_conv: y (+)= conv(x) + b. src [n][cb][..][16], u as above with kb rounded up to NB, dst [n][kb][..][16].
 * Work-item (i, j, m): tiles i % runs * run.. of rows j*rows.. of tile plane m % tx of sample m / tx, output blocks
 * i / runs * kg.. (kg a multiple of NB unless it is all). `rows` * `run` tiles, rounded up to T, fit the scratch.
 * stats [n][kb][units][mean, sum of squared deviations][16] of what is stored. */
__kernel WG1 void wino_conv(GC(float) src, GC(float) u, G(float) dst, GC(float) table, G(float) stats, struct a_wino a)
{
    float tmp[WINO_TMP] __attribute__((aligned(64)));
    float out[WINO_OUT] __attribute__((aligned(64)));
    float buf[WINO_BUF] __attribute__((aligned(64)));
    const int t0 = get_global_id(0) % a.runs * a.run, r0 = get_global_id(1) * a.rows;
    const int k0 = get_global_id(0) / a.runs * a.kg;
    const int px = get_global_id(2) % a.tx * 2, n = get_global_id(2) / a.tx;
    const int run = min(a.run, a.tz - t0), rows = min(a.rows, a.ty - r0), cols = 2 * run + 2;
    const int nt = (rows * run + T - 1) / T * T, kbs = (a.kb + NB - 1) / NB * NB, kn = min(a.kg, a.kb - k0);
    const int slice = (a.cb * rows * cols | 1) * 16, lane = (nt | 1) * 16;
    src += a.off[0] + (long)n * a.sn;
    u += a.off[1];
    dst += a.off[2] + a.dst0 + (long)n * a.dn + (long)px * a.dp + t0 * 32;
    for (int i = 0; i < 4 * a.cb; i++)
        for (int t = rows * run; t < nt; t++)
            PST(buf + (i * nt + t) * 16) = (float16)(0.0f);

    for (int c = 0; c < a.cb; c++) {
        const struct read_norm m = read_table(table + a.off[3] + (long)n * a.row + c * 64, a.norm, a.slope);
        for (int r = 0; r < rows; r++)
            in_xy(src + (long)c * a.sb, px, (r0 + r) * 2, t0 * 2, cols, a.x, a.y, a.z, a.sp, a.sr, a.norm, m,
                  tmp + (c * rows + r) * cols * 16, slice);
    }

    for (int f = 0; f < 16; f++) {
        for (int c = 0; c < a.cb; c++)
            for (int r = 0; r < rows; r++)
                in_z(tmp + f * slice + (c * rows + r) * cols * 16, run, buf + (c * nt + r * run) * 16, a.cb * nt * 16);
        if (a.kb <= 2)          /* what is stored in the end; that of more blocks is still in a cache */
            for (int k = f; k < kn * 2 * rows; k += 16) {
                G(float) o = dst + (long)(k0 + k / 2 / rows) * a.db + (long)(r0 * 2 + k % (2 * rows)) * a.dr;
                for (int i = 0; i < 2 * run; i++) {
                    FETCH_TO_WRITE(o + i * 16);
                    FETCH_TO_WRITE(o + a.dp + i * 16);
                }
            }
        const int vs = a.cb * nt * 16;
        const long us = WINO_STEP(kbs, a.cb);
        for (int k = 0; k < kn; k += NB) {
            GC(float) uf = u + (long)f * 4 * us + (long)(k0 + k) * a.cb * 256;
            for (int t = 0; t < nt; t += T) {
                float16 s[NB][T], d[NB][T];
                UNROLL for (int b = 0; b < NB; b++)
                    UNROLL for (int i = 0; i < T; i++)
                        s[b][i] = d[b][i] = (float16)(0.0f);
                PRODUCTS(buf + vs + t * 16, buf + 2 * vs + t * 16, uf + us, uf + 2 * us)
                UNROLL for (int b = 0; b < NB; b++)
                    UNROLL for (int i = 0; i < T; i++) {
                        const float16 m = s[b][i];
                        s[b][i] = m + d[b][i];
                        d[b][i] = m - d[b][i];
                    }
                PRODUCTS(buf + t * 16, buf + 3 * vs + t * 16, uf, uf + 3 * us)
                UNROLL for (int b = 0; b < NB; b++)
                    UNROLL for (int i = 0; i < T; i++) {
                        float *o = out + (((k + b) * 16 + f) * 2) * lane + (t + i) * 16;
                        PST(o) = s[b][i];
                        PST(o + lane) = d[b][i];
                    }
            }
        }
    }

    for (int k = 0; k < kn; k++) {
        const float16 bias = a.bias < 0 ? (float16)(0.0f) : LD16(u + a.bias + (k0 + k) * 16);
        struct spread sp = {(float16)(0.0f), (float16)(0.0f), (float16)(0.0f)};
        for (int r = 0; r < rows; r++) {
            const int py = (r0 + r) * 2;
            G(float) to = dst + (long)(k0 + k) * a.db + (long)py * a.dr;
            NOUNROLL for (int t = 0; t < run; t++)
                UNROLL for (int w = 0; w < 2; w++) {
                    const float *m = out + (k * 32 + w) * lane + (r * run + t) * 16;
                    float16 p[8];
                    UNROLL for (int x = 0; x < 4; x++) {
                        const float16 m0 = PLD(m + (x * 4) * 2 * lane), m1 = PLD(m + (x * 4 + 1) * 2 * lane),
                                      m2 = PLD(m + (x * 4 + 2) * 2 * lane), m3 = PLD(m + (x * 4 + 3) * 2 * lane);
                        p[x] = (m0 + m1) + m2;
                        p[4 + x] = (m1 - m2) - m3;
                    }
                    if ((t0 + t) * 2 + w >= a.z)
                        continue;
                    if (r == 0 && t == 0 && w == 0)
                        sp.first = (p[0] + p[1]) + (p[2] + bias);
                    UNROLL for (int y = 0; y < 2; y++) {
                        const float16 v0 = (p[y * 4] + p[y * 4 + 1]) + (p[y * 4 + 2] + bias);
                        const float16 v1 = (p[y * 4 + 1] - p[y * 4 + 2]) - (p[y * 4 + 3] - bias);
                        G(float) o = to + y * a.dr + (2 * t + w) * 16;
                        if (py + y < a.y) {
                            ST16(o) = a.accum ? LD16(o) + v0 : v0;
                            SPREAD_ADD(sp, v0)
                            if (px + 1 < a.x) {
                                ST16(o + a.dp) = a.accum ? LD16(o + a.dp) + v1 : v1;
                                SPREAD_ADD(sp, v1)
                            }
                        }
                    }
                }
        }
        if (a.stats) {
            const int nx = min(2, a.x - px), ny = min(2 * rows, a.y - 2 * r0), nz = min(2 * run, a.z - 2 * t0);
            const long unit = ((long)(get_global_id(2) % a.tx) * get_num_groups(1) + get_group_id(1)) * a.runs +
                              get_global_id(0) % a.runs;
            const long units = (long)a.tx * get_num_groups(1) * a.runs;
            spread_put(sp, nx * ny * nz, stats + a.off[4] + (((long)n * a.kb + k0 + k) * units + unit) * 32);
        }
    }
}
