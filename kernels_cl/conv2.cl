/* SPDX-License-Identifier: Apache-2.0
 * Convolutions of side 2 and stride 2 and their transposes, where the fine map has exactly twice the coarse one's
 * sides: no two outputs share an input, so each is a matrix product per voxel. Fat class only. Inputs may be normalised
 * when they are read (common/read.h), outputs leave statistics. Constant: T voxels in registers for two blocks or
 * taps. */
#include "common/base.h"
#include "common/read.h"
#include "ops/args/conv2.h"

#define WHERE \
    const int z0 = get_global_id(0) * a.run, y0 = get_global_id(1) * a.rows; \
    const int x = get_global_id(2) % a.x, n = get_global_id(2) / a.x; \
    const int run = min(a.run, a.z - z0), rows = min(a.rows, a.y - y0), num = rows * run, nt = (num + T - 1) / T * T; \
    const long unit = ((long)x * get_num_groups(1) + get_group_id(1)) * get_num_groups(0) + get_group_id(0); \
    const long units = (long)a.x * get_num_groups(1) * get_num_groups(0);

/* v[b][t] += sum_c w[b][c] from[t][c], two blocks of weights `step` floats apart. */
#define PRODUCT(from, w, step) \
    UNROLL for (int i = 0; i < 16; i++) { \
        const float16 w0_ = LD16((w) + i * 16), w1_ = LD16((w) + (step) + i * 16); \
        UNROLL for (int t = 0; t < T; t++) { \
            const float16 u_ = (float16)((from)[t * 16 + i]); \
            v[0][t] = fma(u_, w0_, v[0][t]); \
            v[1][t] = fma(u_, w1_, v[1][t]); \
        } \
    }

/* conv2_down: coarse[k][o] (+)= b[k] + sum_{c, tap} w[tap][c][k] fine[c][2 o + tap]. Weights
 * [kb]{[16 bias], [cb][taps][16 c][16 k]}; taps 2x2x2, or 1x2x2 in 2D (kx). Work-item (i, j, m): voxels i*run.. of rows
 * j*rows.. of coarse plane m % x of sample m / x, all outputs. */
__kernel WG1 void conv2_down(GC(float) fine, GC(float) w, G(float) coarse, GC(float) table, G(float) stats,
                             struct a_conv2 a)
{
    float buf[CONV2_BUF] __attribute__((aligned(64)));      /* [cb][tap][nt][16] */
    WHERE
    const int taps = a.kx * 4, wb = 16 + a.cb * taps * 256;
    fine += a.off[0] + a.fine0 + (long)n * a.fn + (long)x * a.kx * a.fp + z0 * 32;
    coarse += a.off[2] + a.coarse0 + (long)n * a.cn + (long)x * a.cp + (long)y0 * a.cr + z0 * 16;
    w += a.off[1];
    for (int c = 0; c < a.cb; c++) {
        const struct read_norm m = read_table(table + a.off[3] + (long)n * a.row + c * 64, a.norm, a.slope);
        for (int tap = 0; tap < taps; tap++) {
            float *to = buf + (c * taps + tap) * nt * 16;
            for (int r = 0; r < rows; r++)
                read_row(fine + (long)c * a.fb + (tap / 4) * a.fp + (2 * (y0 + r) + tap / 2 % 2) * a.fr + tap % 2 * 16,
                         32, run, a.norm, m, to + r * run * 16);
            for (int t = num; t < nt; t++)
                PST(to + t * 16) = (float16)(0.0f);
        }
    }
    for (int k = 0; k < a.kb; k += 2) {
        const int next = k + 1 < a.kb ? wb : 0;             /* an odd last block is computed twice */
        GC(float) wk = w + (long)k * wb;
        struct spread s0, s1;
        for (int t0 = 0; t0 < nt; t0 += T) {
            float16 v[2][T];
            UNROLL for (int t = 0; t < T; t++) {
                v[0][t] = a.bias ? LD16(wk) : (float16)(0.0f);
                v[1][t] = a.bias ? LD16(wk + next) : (float16)(0.0f);
            }
            NOUNROLL for (int c = 0; c < a.cb * taps; c++) {
                const float *from = buf + (c * nt + t0) * 16;
                GC(float) wc = wk + 16 + c * 256;
                PRODUCT(from, wc, next)
            }
            if (t0 == 0) {
                s0.first = v[0][0];
                s1.first = v[1][0];
                s0.sum = s0.squares = s1.sum = s1.squares = (float16)(0.0f);
            }
            UNROLL for (int t = 0; t < T; t++)
                if (t0 + t < num) {
                    G(float) o = coarse + (long)k * a.cbs + (t0 + t) / run * a.cr + (t0 + t) % run * 16;
                    ST16(o) = a.accum ? LD16(o) + v[0][t] : v[0][t];
                    SPREAD_ADD(s0, v[0][t])
                    if (next) {
                        o += a.cbs;
                        ST16(o) = a.accum ? LD16(o) + v[1][t] : v[1][t];
                        SPREAD_ADD(s1, v[1][t])
                    }
                }
        }
        if (a.stats) {
            G(float) o = stats + a.off[4] + (((long)n * a.kb + k) * units + unit) * 32;
            spread_put(s0, num, o);
            if (next)
                spread_put(s1, num, o + units * 32);
        }
    }
}

/* conv2_up: fine[k][2 o + tap] (+)= b[k] + sum_c w[tap][c][k] coarse[c][o]. Work-items as above; two taps along z at a
 * time. */
__kernel WG1 void conv2_up(GC(float) coarse, GC(float) w, G(float) fine, GC(float) table, G(float) stats,
                           struct a_conv2 a)
{
    float buf[CONV2_BUF] __attribute__((aligned(64)));      /* [cb][nt][16] */
    WHERE
    const int taps = a.kx * 4, wb = 16 + a.cb * taps * 256;
    fine += a.off[2] + a.fine0 + (long)n * a.fn + (long)x * a.kx * a.fp + (long)y0 * 2 * a.fr + z0 * 32;
    coarse += a.off[0] + a.coarse0 + (long)n * a.cn + (long)x * a.cp + (long)y0 * a.cr + z0 * 16;
    w += a.off[1];
    for (int c = 0; c < a.cb; c++) {
        const struct read_norm m = read_table(table + a.off[3] + (long)n * a.row + c * 64, a.norm, a.slope);
        float *to = buf + c * nt * 16;
        for (int r = 0; r < rows; r++)
            read_row(coarse + (long)c * a.cbs + (long)r * a.cr, 16, run, a.norm, m, to + r * run * 16);
        for (int t = num; t < nt; t++)
            PST(to + t * 16) = (float16)(0.0f);
    }
    for (int k = 0; k < a.kb; k++) {
        GC(float) wk = w + (long)k * wb;
        struct spread s;
        for (int tap = 0; tap < taps; tap += 2)
            for (int t0 = 0; t0 < nt; t0 += T) {
                float16 v[2][T];
                UNROLL for (int t = 0; t < T; t++)
                    v[0][t] = v[1][t] = a.bias ? LD16(wk) : (float16)(0.0f);
                NOUNROLL for (int c = 0; c < a.cb; c++) {
                    const float *from = buf + (c * nt + t0) * 16;
                    GC(float) wc = wk + 16 + (c * taps + tap) * 256;
                    PRODUCT(from, wc, 256)
                }
                if (tap == 0 && t0 == 0) {
                    s.first = v[0][0];
                    s.sum = s.squares = (float16)(0.0f);
                }
                G(float) to = fine + (long)k * a.fb + (long)(tap / 4) * a.fp + (tap / 2 % 2) * a.fr;
                UNROLL for (int t = 0; t < T; t++)
                    if (t0 + t < num) {
                        G(float) o = to + (t0 + t) / run * 2 * a.fr + (t0 + t) % run * 32;
                        ST16(o) = a.accum ? LD16(o) + v[0][t] : v[0][t];
                        ST16(o + 16) = a.accum ? LD16(o + 16) + v[1][t] : v[1][t];
                        SPREAD_ADD(s, v[0][t])
                        SPREAD_ADD(s, v[1][t])
                    }
            }
        if (a.stats)
            spread_put(s, num * taps, stats + a.off[4] + (((long)n * a.kb + k) * units + unit) * 32);
    }
}

/* conv2_wgrad: part[slab][kb][cb][tap][16 c][16 k] = sum over the slab's coarse voxels o of fine[c][2 o + tap] *
 * coarse[k][o], and bias_part [slab][blocks][16] = sum of the coarse (a.bias 1) or the fine map (a.bias 2). One of the
 * two may be normalised: the fine one (a.norm 1) or the coarse one (2). Work-item (s, m): batches of rows s*per..,
 * coarse blocks m*kg... */
#define SUMS(NB, CC) \
    for (int c0 = 0; c0 < 16; c0 += CC) { \
        float16 acc[NB][CC]; \
        UNROLL for (int b = 0; b < NB; b++) \
            UNROLL for (int i = 0; i < CC; i++) \
                acc[b][i] = batch == first ? (float16)(0.0f) : LD16(o + (long)b * kstep + (c0 + i) * 16); \
        NOUNROLL for (int t = 0; t < num; t++) { \
            float16 g[NB]; \
            UNROLL for (int b = 0; b < NB; b++) \
                g[b] = PLD(cbuf + ((k + b) * num + t) * 16); \
            UNROLL for (int i = 0; i < CC; i++) { \
                const float16 u = (float16)(fb[t * 16 + c0 + i]); \
                UNROLL for (int b = 0; b < NB; b++) \
                    acc[b][i] = fma(u, g[b], acc[b][i]); \
            } \
        } \
        UNROLL for (int b = 0; b < NB; b++) \
            UNROLL for (int i = 0; i < CC; i++) \
                ST16(o + (long)b * kstep + (c0 + i) * 16) = acc[b][i]; \
    }

__kernel WG1 void conv2_wgrad(GC(float) fine, GC(float) coarse, G(float) part, GC(float) table, G(float) bias_part,
                              struct a_conv2_g a)
{
    float fbuf[CONV2_BUF] __attribute__((aligned(64)));     /* [cb][tap][num][16] */
    float cbuf[CONV2_BUF] __attribute__((aligned(64)));     /* [kg][num][16] */
    const int slab = get_global_id(0), k0 = get_global_id(1) * a.kg, kn = min(a.kg, a.kb - k0), taps = a.kx * 4;
    const int groups = (a.y + a.rows - 1) / a.rows, runs = (a.z + a.run - 1) / a.run;
    const int first = slab * a.per, last = min(first + a.per, a.batches);
    const long kstep = (long)a.cb * taps * 256;
    part += a.off[2] + ((long)slab * a.kb + k0) * kstep;
    bias_part += a.off[4] + (long)slab * (a.bias == 1 ? a.kb : a.cb) * 16;
    for (int batch = first; batch < last; batch++) {
        const int z0 = batch % runs * a.run, y0 = batch / runs % groups * a.rows;
        const int x = batch / runs / groups % a.x, n = batch / runs / groups / a.x;
        const int run = min(a.run, a.z - z0), rows = min(a.rows, a.y - y0), num = rows * run;
        GC(float) f = fine + a.off[0] + a.fine0 + (long)n * a.fn + (long)x * a.kx * a.fp + z0 * 32;
        GC(float) g = coarse + a.off[1] + a.coarse0 + (long)n * a.cn + (long)x * a.cp + (long)y0 * a.cr + z0 * 16;
        for (int c = 0; c < a.cb; c++) {
            const struct read_norm m = read_table(table + a.off[3] + (long)n * a.row + c * 64, a.norm == 1, a.slope);
            float16 sum = (float16)(0.0f);
            for (int tap = 0; tap < taps; tap++)
                for (int r = 0; r < rows; r++) {
                    float *to = fbuf + ((c * taps + tap) * num + r * run) * 16;
                    read_row(f + (long)c * a.fb + (tap / 4) * a.fp + (2 * (y0 + r) + tap / 2 % 2) * a.fr + tap % 2 * 16,
                             32, run, a.norm == 1, m, to);
                    if (a.bias == 2 && k0 == 0)
                        for (int t = 0; t < run; t++)
                            sum += PLD(to + t * 16);
                }
            if (a.bias == 2 && k0 == 0)
                ST16(bias_part + c * 16) = batch == first ? sum : LD16(bias_part + c * 16) + sum;
        }
        for (int k = 0; k < kn; k++) {
            const struct read_norm m = read_table(table + a.off[3] + (long)n * a.row + (k0 + k) * 64, a.norm == 2,
                                                  a.slope);
            float16 sum = (float16)(0.0f);
            for (int r = 0; r < rows; r++)
                read_row(g + (long)(k0 + k) * a.cbs + (long)r * a.cr, 16, run, a.norm == 2, m,
                         cbuf + (k * num + r * run) * 16);
            if (a.bias == 1) {
                for (int t = 0; t < num; t++)
                    sum += PLD(cbuf + (k * num + t) * 16);
                ST16(bias_part + (k0 + k) * 16) = batch == first ? sum : LD16(bias_part + (k0 + k) * 16) + sum;
            }
        }
        for (int c = 0; c < a.cb * taps; c++) {
            const float *fb = fbuf + c * num * 16;
            int k = 0;
            for (; k + 2 <= kn; k += 2) {
                G(float) o = part + (long)k * kstep + c * 256;
                SUMS(2, 8)
            }
            if (k < kn) {
                G(float) o = part + (long)k * kstep + c * 256;
                SUMS(1, 16)
            }
        }
    }
}
