/* SPDX-License-Identifier: Apache-2.0
 * Weight gradients of 3x3x3 convolutions by Winograd's F(2x2x2, 3x3x3): see wino.cl. Fat class only. Constants: CC
 * channels of x and NB output blocks in registers. */
#include "common/base.h"
#include "common/transpose.h"
#include "common/wino.h"
#include "ops/args/wino.h"

/* wino_wgrad: part[slab][(i, j)][kb][cb][16 c][16 k] = sum over the slab's tiles of (B x)[c] (A dy)[k], where A is the
 * transpose of the inverse transform: A g = g0, g0 + g1, g0 - g1, -g1 along each axis.
 * Work-item (s, m): batches s*per.. of tiles, output blocks m*kg.. in steps of NB; NB * CC sums in registers. */
__kernel WG1 void wino_wgrad(GC(float) src, GC(float) dy, G(float) part, struct a_wino_g a)
{
    float tmp[WINO_TMP] __attribute__((aligned(64)));
    float gtmp[WINO_OUT] __attribute__((aligned(64)));
    float buf[WINO_BUF] __attribute__((aligned(64)));
    float gbuf[WINO_BUF] __attribute__((aligned(64)));
    const int k0 = get_global_id(1) * a.kg, kn = min(a.kg, a.kb - k0);
    const int runs = (a.tz + a.run - 1) / a.run, groups = (a.ty + a.rows - 1) / a.rows;
    const int first = get_global_id(0) * a.per, last = min(first + a.per, a.units);
    src += a.off[0];
    dy += a.off[1] + a.dst0 + (long)k0 * a.db;
    part += a.off[2] + ((long)get_global_id(0) * 64 * a.kb + k0) * a.cb * 256;
    for (int unit = first; unit < last; unit++) {
        const int t0 = unit % runs * a.run, r0 = unit / runs % groups * a.rows;
        const int px = unit / runs / groups % a.tx * 2, n = unit / runs / groups / a.tx;
        const int run = min(a.run, a.tz - t0), rows = min(a.rows, a.ty - r0), cols = 2 * run + 2, nt = rows * run;
        const int slice = (a.cb * rows * cols | 1) * 16, gslice = (kn * nt * 2 | 1) * 16;
        GC(float) sn = src + (long)n * a.sn + t0 * 32;
        GC(float) dn = dy + (long)n * a.dn + (long)px * a.dp + t0 * 32;
        for (int c = 0; c < a.cb; c++)
            for (int r = 0; r < rows; r++) {
                GC(float) s = sn + (long)c * a.sb;
                const int py = (r0 + r) * 2;
                const int ro[4] = {py * a.sr, (py + 1) * a.sr, (py + 2) * a.sr, min(py + 3, a.y + 1) * a.sr};
                in_xy(s + (long)px * a.sp, s + (long)(px + 1) * a.sp, s + (long)(px + 2) * a.sp,
                      s + (long)min(px + 3, a.x + 1) * a.sp, ro, min(cols, a.z + 2 - 2 * t0), cols,
                      tmp + (c * rows + r) * cols * 16, slice);
            }
        for (int k = 0; k < kn; k++)
            for (int r = 0; r < rows; r++) {
                GC(float) g = dn + (long)k * a.db + (long)(r0 + r) * 2 * a.dr;
                float *to = gtmp + (k * nt + r * run) * 32;
                const int have = min(2 * run, a.z + 1 - 2 * t0);
                NOUNROLL for (int i = 0; i < 2 * run; i++) {
                    float16 g0 = (float16)(0.0f), g1 = g0, g2 = g0, g3 = g0;    /* (x, y) = 00, 01, 10, 11 */
                    if (i < have) {
                        g0 = LD16(g + i * 16);
                        g1 = LD16(g + a.dr + i * 16);
                        g2 = LD16(g + a.dp + i * 16);
                        g3 = LD16(g + a.dp + a.dr + i * 16);
                    }
                    const float16 p[8] = {g0, g1, g0 + g2, g1 + g3, g0 - g2, g1 - g3, -g2, -g3};
                    UNROLL for (int x = 0; x < 4; x++) {
                        float *o = to + i * 16 + x * 4 * gslice;
                        PST(o) = p[2 * x];
                        PST(o + gslice) = p[2 * x] + p[2 * x + 1];
                        PST(o + 2 * gslice) = p[2 * x] - p[2 * x + 1];
                        PST(o + 3 * gslice) = -p[2 * x + 1];
                    }
                }
            }
        for (int f = 0; f < 16; f++) {
            for (int c = 0; c < a.cb; c++)
                for (int r = 0; r < rows; r++)
                    in_z(tmp + f * slice + (c * rows + r) * cols * 16, run, buf + (c * nt + r * run) * 16,
                         a.cb * nt * 16);
            for (int t = 0; t < kn * nt; t++) {
                const float16 g0 = PLD(gtmp + f * gslice + t * 32), g1 = PLD(gtmp + f * gslice + t * 32 + 16);
                float *o = gbuf + t * 16;
                PST(o) = g0;
                PST(o + kn * nt * 16) = g0 + g1;
                PST(o + 2 * kn * nt * 16) = g0 - g1;
                PST(o + 3 * kn * nt * 16) = -g1;
            }
            for (int j = 0; j < 4; j++)
                for (int k = 0; k < kn; k += NB)
                    for (int c = 0; c < a.cb; c++)
                        for (int c0 = 0; c0 < 16; c0 += CC) {
                            G(float) o = part + ((long)(f * 4 + j) * a.kb + k) * a.cb * 256 + c * 256 + c0 * 16;
                            const float *xb = buf + (j * a.cb + c) * nt * 16 + c0;
                            const float *gb = gbuf + (j * kn + k) * nt * 16;
                            float16 acc[NB][CC];
                            if (unit == first) {
                                UNROLL for (int b = 0; b < NB; b++)
                                    UNROLL for (int i = 0; i < CC; i++)
                                        acc[b][i] = (float16)(0.0f);
                            } else {
                                UNROLL for (int b = 0; b < NB; b++)
                                    UNROLL for (int i = 0; i < CC; i++)
                                        acc[b][i] = LD16(o + b * a.cb * 256 + i * 16);
                            }
                            NOUNROLL for (int t = 0; t < nt; t++) {
                                float16 g[NB];
                                UNROLL for (int b = 0; b < NB; b++)
                                    g[b] = PLD(gb + (b * nt + t) * 16);
                                UNROLL for (int i = 0; i < CC; i++) {
                                    const float16 x = (float16)(xb[t * 16 + i]);
                                    UNROLL for (int b = 0; b < NB; b++)
                                        acc[b][i] = fma(x, g[b], acc[b][i]);
                                }
                            }
                            UNROLL for (int b = 0; b < NB; b++)
                                UNROLL for (int i = 0; i < CC; i++)
                                    ST16(o + b * a.cb * 256 + i * 16) = acc[b][i];
                        }
        }
    }
}

/* wino_wsum: dw[k][c][27] (+)= G' (sum of slabs), with G' u = u0 + (u1 + u2) / 2, (u1 - u2) / 2, (u1 + u2) / 2 + u3
 * along each axis. One pair of blocks each. Groups: (cb, kb). */
__kernel WG1 void wino_wsum(GC(float) part, G(float) dw, struct a_wino_s a)
{
    float rows[16 * 27 * 16] __attribute__((aligned(64)));      /* [c * 27 + tap][k] */
    const int cb = get_group_id(0), kb = get_group_id(1);
    const long step = (long)a.kb * a.cb * 256;
    part += a.off[0] + ((long)kb * a.cb + cb) * 256;
    for (int c = 0; c < 16; c++) {
        float16 p[48], q[4];
        NOUNROLL for (int i = 0; i < 16; i++) {     /* along z */
            UNROLL for (int j = 0; j < 4; j++)
                q[j] = LD16(part + (long)(i * 4 + j) * step + c * 16);
            for (int s = 1; s < a.slabs; s++)
                UNROLL for (int j = 0; j < 4; j++)
                    q[j] += LD16(part + ((long)s * 64 + i * 4 + j) * step + c * 16);
            const float16 m = 0.5f * (q[1] + q[2]);
            p[i * 3] = q[0] + m;
            p[i * 3 + 1] = 0.5f * (q[1] - q[2]);
            p[i * 3 + 2] = m + q[3];
        }
        UNROLL for (int x = 0; x < 4; x++)          /* along y */
            UNROLL for (int w = 0; w < 3; w++) {
                float16 *v = p + x * 12 + w;
                const float16 m = 0.5f * (v[3] + v[6]), e = 0.5f * (v[3] - v[6]);
                v[0] += m;
                v[3] = e;
                v[6] = m + v[9];
            }
        UNROLL for (int i = 0; i < 9; i++) {
            const float16 m = 0.5f * (p[12 + i] + p[24 + i]), e = 0.5f * (p[12 + i] - p[24 + i]);
            PST(rows + (c * 27 + i) * 16) = p[i] + m;
            PST(rows + (c * 27 + 9 + i) * 16) = e;
            PST(rows + (c * 27 + 18 + i) * 16) = m + p[36 + i];
        }
    }
    const int nk = min(16, a.nk - kb * 16), nc = min(16, a.nc - cb * 16);
    dw += a.off[1] + ((long)kb * 16 * a.nc + cb * 16) * 27;
    put_rows(rows, dw, (long)a.nc * 27, nk, nc * 27, a.accum);
}
