/* SPDX-License-Identifier: Apache-2.0
 * Weight gradients of 3x3x3 convolutions by Winograd's F(2x2x2, 3x3x3): see wino.cl. Fat class only. Constants: CC
 * channels of x and NB output blocks in registers. */
#include "common/base.h"
#include "common/wino.h"
#include "common/wino_dy.h"
#include "ops/args/wino.h"

/* Frequency j along z of `num` tiles of the input, from 2 num + 2 columns. */
void in_z_of(int j, const float *from, int num, float *to);
void in_z_of(int j, const float *from, int num, float *to)
{
    const float *p = from + (j == 2 ? 32 : j == 0 ? 0 : 16), *q = from + (j == 2 ? 16 : j == 3 ? 48 : 32);
    if (j == 1)
        NOUNROLL for (int t = 0; t < num; t++)
            PST(to + t * 16) = PLD(p + t * 32) + PLD(q + t * 32);
    else
        NOUNROLL for (int t = 0; t < num; t++)
            PST(to + t * 16) = PLD(p + t * 32) - PLD(q + t * 32);
}

/* out[b][c] (+)= sum_t x[t][c] g[b][t] for CC channels of x and NB blocks. */
void sums(const float *x, const float *g, int num, int gstep, G(float) out, long ostep, int add);
void sums(const float *x, const float *g, int num, int gstep, G(float) out, long ostep, int add)
{
    float16 acc[NB][CC];
    UNROLL for (int b = 0; b < NB; b++)
        UNROLL for (int i = 0; i < CC; i++)
            acc[b][i] = add ? LD16(out + b * ostep + i * 16) : (float16)(0.0f);
    NOUNROLL for (int t = 0; t < num; t++, x += 16, g += 16) {
        float16 v[NB];
        UNROLL for (int b = 0; b < NB; b++)
            v[b] = PLD(g + b * gstep);
        UNROLL for (int i = 0; i < CC; i++) {
            const float16 u = (float16)(x[i]);
            UNROLL for (int b = 0; b < NB; b++)
                acc[b][i] = fma(u, v[b], acc[b][i]);
        }
    }
    UNROLL for (int b = 0; b < NB; b++)
        UNROLL for (int i = 0; i < CC; i++)
            ST16(out + b * ostep + i * 16) = acc[b][i];
}

/* wino_wgrad: part[slab][(i, j)][kb][cb][16 c][16 k] = sum over the slab's tiles of (B x)[c] (A dy)[k]; bias_part
 * [slab][kb][16] = sum of dy. Work-item (s, m): batches s*per.. of tiles, output blocks m*kg.. in steps of NB. */
__kernel WG1 void wino_wgrad(GC(float) src, GC(float) dy, G(float) part, GC(float) table, G(float) bias_part,
                             struct a_wino_g a)
{
    float tmp[WINO_TMP] __attribute__((aligned(64)));
    float gtmp[WINO_OUT] __attribute__((aligned(64)));
    float buf[WINO_BUF] __attribute__((aligned(64)));
    float gbuf[WINO_BUF] __attribute__((aligned(64)));
    const int k0 = get_global_id(1) * a.kg, kn = min(a.kg, a.kb - k0);
    const int runs = (a.tz + a.run - 1) / a.run, groups = (a.ty + a.rows - 1) / a.rows;
    const int first = get_global_id(0) * a.per, last = min(first + a.per, a.units);
    const long step = WINO_STEP(a.kb, a.cb);
    src += a.off[0];
    dy += a.off[1] + a.dst0 + (long)k0 * a.db;
    bias_part += a.off[4] + ((long)get_global_id(0) * a.kb + k0) * 16;
    part += a.off[2] + (long)get_global_id(0) * 64 * step + (long)k0 * a.cb * 256;
    for (int unit = first; unit < last; unit++) {
        const int t0 = unit % runs * a.run, r0 = unit / runs % groups * a.rows;
        const int px = unit / runs / groups % a.tx * 2, n = unit / runs / groups / a.tx;
        const int run = min(a.run, a.tz - t0), rows = min(a.rows, a.ty - r0), cols = 2 * run + 2, nt = rows * run;
        const int slice = (a.cb * rows * cols | 1) * 16, gslice = (kn * nt * 2 | 1) * 16;
        for (int c = 0; c < a.cb; c++) {
            const struct read_norm m = read_table(table + a.off[3] + (long)n * a.row + c * 64, a.norm, a.slope);
            for (int r = 0; r < rows; r++)
                in_xy(src + (long)n * a.sn + (long)c * a.sb, px, (r0 + r) * 2, t0 * 2, cols, a.x, a.y, a.z, a.sp, a.sr,
                      a.norm, m, tmp + (c * rows + r) * cols * 16, slice);
        }
        for (int k = 0; k < kn; k++) {
            GC(float) g = dy + (long)n * a.dn + (long)px * a.dp + t0 * 32 + (long)k * a.db;
            float16 sum = unit == first ? (float16)(0.0f) : LD16(bias_part + k * 16);
            for (int r = 0; r < rows; r++)
                sum += out_xy(g + (long)(r0 + r) * 2 * a.dr, a.dp, a.dr, min(2 * run, a.z - 2 * t0), 2 * run,
                              gtmp + (k * nt + r * run) * 32, gslice);
            ST16(bias_part + k * 16) = sum;
        }
        for (int f = 0; f < 64; f++) {
            for (int c = 0; c < a.cb; c++)
                for (int r = 0; r < rows; r++)
                    in_z_of(f % 4, tmp + f / 4 * slice + (c * rows + r) * cols * 16, run,
                            buf + (c * nt + r * run) * 16);
            out_z_of(f % 4, gtmp + f / 4 * gslice, kn * nt, gbuf);
            for (int k = 0; k < kn; k += NB)
                for (int c = 0; c < a.cb * 16; c += CC)
                    sums(buf + c / 16 * nt * 16 + c % 16, gbuf + k * nt * 16, nt, nt * 16,
                         part + f * step + (long)k * a.cb * 256 + c * 16, a.cb * 256, unit != first);
        }
    }
}
