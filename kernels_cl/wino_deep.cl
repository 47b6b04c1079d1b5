/* SPDX-License-Identifier: Apache-2.0
 * Winograd's F(2x2x2, 3x3x3) as in wino.cl for many channels and few voxels, where weights are most of the work: a
 * work-item transforms the weights of its own output blocks once, straight from [co][ci][27], keeps them in its cache
 * and meets all voxels with them; weight gradients are transformed back by the work-item that sums them. Channels are
 * multiples of 16. Fat class only. Constants: T tiles and NB output blocks in registers, CC channels of x for weight
 * gradients.
 * Tiles are numbered sample, group of `planes` tile planes, plane, row, column; a group has `num`, stored as `nt`. */
#include "common/base.h"
#include "common/transpose.h"
#include "common/wino.h"
#include "common/wino_dy.h"
#include "common/wino_g.h"
#include "ops/args/wino.h"

/* deep_in: v = input transform of src [n][cb][..][16]; frequency f of tile t of block c of a group is at f * vf +
 * c * vc + t / tt * vt + t % tt * 16, groups vg apart; zeros for t beyond the group's tiles. Work-item: an input block
 * of a group. Groups: (cb, groups a sample, n). */
__kernel WG1 void deep_in(GC(float) src, G(float) v, GC(float) table, struct a_deep a)
{
    float tmp[DEEP_ROW] __attribute__((aligned(64)));
    const int c = get_global_id(0), g = get_global_id(1), n = get_global_id(2);
    const int p0 = g * a.planes, planes = min(a.planes, a.tx - p0), cols = 2 * a.tz + 2, slice = (cols | 1) * 16;
    const struct read_norm m = read_table(table + a.off[2] + (long)n * a.row + c * 64, a.norm, a.slope);
    src += a.off[0] + (long)n * a.sn + (long)c * a.sb;
    v += a.off[1] + ((long)n * a.groups + g) * a.vg + (long)c * a.vc;
    for (int p = 0; p < planes; p++)
        for (int r = 0; r < a.ty; r++) {
            in_xy(src, (p0 + p) * 2, r * 2, 0, cols, a.x, a.y, a.z, a.sp, a.sr, a.norm, m, tmp, slice);
            for (int i = 0; i < a.tz; i++) {
                const int t = (p * a.ty + r) * a.tz + i;
                G(float) to = v + t / a.tt * a.vt + t % a.tt * 16;
                NOUNROLL for (int f = 0; f < 16; f++) {
                    const float *from = tmp + f * slice + i * 32;
                    const float16 i0 = PLD(from), i1 = PLD(from + 16), i2 = PLD(from + 32), i3 = PLD(from + 48);
                    G(float) o = to + (long)f * 4 * a.vf;
                    ST16(o) = i0 - i2;
                    ST16(o + a.vf) = i1 + i2;
                    ST16(o + 2 * a.vf) = i2 - i1;
                    ST16(o + 3 * a.vf) = i1 - i3;
                }
            }
        }
    for (int t = planes * a.ty * a.tz; t < a.nt; t++)
        for (int f = 0; f < 64; f++)
            ST16(v + (long)f * a.vf + t / a.tt * a.vt + t % a.tt * 16) = (float16)(0.0f);
}

/* Frequencies u[f][16 c][16 k], `us` floats apart, of w[k * so + c * si + tap], taps reversed if `flip`. */
void deep_weights(GCP w, int so, int si, int flip, float *u, int us);
void deep_weights(GCP w, int so, int si, int flip, float *u, int us)
{
    float taps[27 * 16] __attribute__((aligned(64)));
    NOUNROLL for (int c = 0; c < 16; c++, u += 16) {
        NOUNROLL for (int t0 = 0; t0 < 22; t0 += 11) {
            float16 v[16];
            UNROLL for (int k = 0; k < 16; k++)
                v[k] = vload16(0, w + k * so + c * si + t0);
            transpose16(v);
            UNROLL for (int t = 0; t < 16; t++)
                PST(taps + (flip ? 26 - t0 - t : t0 + t) * 16) = v[t];
        }
#define TAP(i) PLD(taps + (i) * 16)
#define PUT(f, v) PST(u + (f) * us) = v
        WINO_G(TAP, PUT)
#undef TAP
#undef PUT
    }
}

#define PRODUCTS(va, vb, ua, ub) WINO_PRODUCTS(a.cs, GC(float), T * 16, const float *, PLD, va, vb, ua, ub)

/* to[b][(x, y) frequency][2][lane] (+)= products of a group's v (from an input block on) with u, z transformed back. */
void deep_products(GCP v, const float *u, float *to, int add, struct a_deep a);
void deep_products(GCP v, const float *u, float *to, int add, struct a_deep a)
{
    const int us = a.kg * a.cs * 256 + 16, lane = (a.nt | 1) * 16;
    for (int f = 0; f < 16; f++)
        for (int k = 0; k < a.kg; k += NB) {
            const float *uf = u + f * 4 * us + k * a.cs * 256;
            float *of = to + (k * 16 + f) * 2 * lane;
            /* two frequencies of weights for all tiles, then the other two: so many stay in the nearest cache */
            for (int t = 0; t < a.nt; t += T) {
                GCP vf = v + (long)f * 4 * a.vf + t / T * a.vt;
                float16 s[NB][T], d[NB][T];
                UNROLL for (int b = 0; b < NB; b++)
                    UNROLL for (int i = 0; i < T; i++)
                        s[b][i] = d[b][i] = (float16)(0.0f);
                PRODUCTS(vf + a.vf, vf + 2 * a.vf, uf + us, uf + 2 * us)
                UNROLL for (int b = 0; b < NB; b++)
                    UNROLL for (int i = 0; i < T; i++) {
                        float *o = of + b * 32 * lane + (t + i) * 16;
                        const float16 m = s[b][i] + d[b][i], e = s[b][i] - d[b][i];
                        PST(o) = add ? PLD(o) + m : m;
                        PST(o + lane) = add ? PLD(o + lane) + e : e;
                    }
            }
            for (int t = 0; t < a.nt; t += T) {
                GCP vf = v + (long)f * 4 * a.vf + t / T * a.vt;
                float16 s[NB][T], d[NB][T];
                UNROLL for (int b = 0; b < NB; b++)
                    UNROLL for (int i = 0; i < T; i++) {
                        const float *o = of + b * 32 * lane + (t + i) * 16;
                        s[b][i] = PLD(o);
                        d[b][i] = PLD(o + lane);
                    }
                PRODUCTS(vf, vf + 3 * a.vf, uf, uf + 3 * us)
                UNROLL for (int b = 0; b < NB; b++)
                    UNROLL for (int i = 0; i < T; i++) {
                        float *o = of + b * 32 * lane + (t + i) * 16;
                        PST(o) = s[b][i];
                        PST(o + lane) = d[b][i];
                    }
            }
        }
}

/* The rest of the way back for one output block of `num` tiles from plane px on: dst at that plane. */
void deep_out(const float *from, __global float *dst, float16 bias, int num, int px, struct spread *s, struct a_deep a);
void deep_out(const float *from, __global float *dst, float16 bias, int num, int px, struct spread *s, struct a_deep a)
{
    const int lane = (a.nt | 1) * 16;
    NOUNROLL for (int t = 0; t < num; t++) {
        const int z = t % a.tz * 2, y = t / a.tz % a.ty * 2, x = t / a.tz / a.ty * 2;
        UNROLL for (int j = 0; j < 2; j++) {
            const float *m = from + j * lane + t * 16;
            float16 p[8];
            UNROLL for (int i = 0; i < 4; i++) {
                const float16 m0 = PLD(m + (i * 4) * 2 * lane), m1 = PLD(m + (i * 4 + 1) * 2 * lane),
                              m2 = PLD(m + (i * 4 + 2) * 2 * lane), m3 = PLD(m + (i * 4 + 3) * 2 * lane);
                p[i] = (m0 + m1) + m2;
                p[4 + i] = (m1 - m2) - m3;
            }
            if (z + j >= a.z)
                continue;
            if (px == 0 && t == 0 && j == 0) {
                s->first = (p[0] + p[1]) + (p[2] + bias);
                s->sum = s->squares = (float16)(0.0f);
            }
            UNROLL for (int i = 0; i < 2; i++) {
                const float16 v0 = (p[i * 4] + p[i * 4 + 1]) + (p[i * 4 + 2] + bias);
                const float16 v1 = (p[i * 4 + 1] - p[i * 4 + 2]) - (p[i * 4 + 3] - bias);
                __global float *o = dst + (long)x * a.dp + (long)(y + i) * a.dr + (z + j) * 16;
                if (y + i < a.y) {
                    ST16(o) = a.accum ? LD16(o) + v0 : v0;
                    SPREAD_ADD(*s, v0)
                    if (px + x + 1 < a.x) {
                        ST16(o + a.dp) = a.accum ? LD16(o + a.dp) + v1 : v1;
                        SPREAD_ADD(*s, v1)
                    }
                }
            }
        }
    }
}

/* deep_conv: dst (+)= conv(src) + bias from v of deep_in (tt = T). w as deep_weights takes it, dst [n][kb][..][16],
 * stats [n][kb][mean, sum of squared deviations][16] of what is stored. Work-item: output blocks i*kg.., `cs` input
 * blocks of their weights at a time; if that is not all, the sums of all groups are kept. Groups: kb / kg. */
__kernel WG1 void deep_conv(GC(float) v, GC(float) w, G(float) dst, GC(float) bias, G(float) stats, struct a_deep a)
{
    float u[DEEP_U] __attribute__((aligned(64)));           /* [f][kg][cs][16 c][16 k] */
    float out[DEEP_OUT] __attribute__((aligned(64)));
    struct spread sp[DEEP_BLOCKS];
    const int k0 = get_global_id(0) * a.kg, us = a.kg * a.cs * 256 + 16, lane = (a.nt | 1) * 16;
    for (int c0 = 0; c0 < a.cb; c0 += a.cs) {
        for (int k = 0; k < a.kg; k++)
            for (int c = 0; c < a.cs; c++)
                deep_weights(w + a.off[1] + (long)(k0 + k) * 16 * a.so + (long)(c0 + c) * 16 * a.si, a.so, a.si, a.flip,
                             u + (k * a.cs + c) * 256, us);
        for (int ng = 0; ng < a.n * a.groups; ng++) {
            float *sums = out + (a.cs < a.cb ? ng * a.kg * 32 * lane : 0);
            const int n = ng / a.groups, p0 = ng % a.groups * a.planes, planes = min(a.planes, a.tx - p0);
            deep_products(v + a.off[0] + (long)ng * a.vg + (long)c0 * a.vc, u, sums, c0 > 0, a);
            for (int k = 0; k < a.kg && c0 + a.cs == a.cb; k++) {
                const float16 add = a.bias ? vload16(0, bias + a.off[3] + (k0 + k) * 16) : (float16)(0.0f);
                deep_out(sums + k * 32 * lane, dst + a.off[2] + a.dst0 + (long)n * a.dn + (long)(k0 + k) * a.db +
                         (long)p0 * 2 * a.dp, add, planes * a.ty * a.tz, p0 * 2, sp + k, a);
                if (a.stats && p0 + planes == a.tx)
                    spread_put(sp[k], a.x * a.y * a.z, stats + a.off[4] + ((long)n * a.kb + k0 + k) * 32);
            }
        }
    }
}

/* deep_wgrad: dw[k][c][27] (+)= sum over all tiles of x[c] dy[k], v of deep_in (tt = nt), dy [n][kb][..][16]; db[k]
 * (+)= sum of dy. Work-item: output blocks i*kg.. in steps of NB. Groups: kb / kg. */
__kernel WG1 void deep_wgrad(GC(float) v, GC(float) dy, G(float) dw, G(float) db, struct a_deep a)
{
    float tmp[DEEP_ROW] __attribute__((aligned(64)));
    float g[DEEP_G] __attribute__((aligned(64)));           /* [f][kg][tile][16] */
    float du[DEEP_DU] __attribute__((aligned(64)));         /* [f][kg][16 c][16 k] */
    float rows[16 * 27 * 16] __attribute__((aligned(64)));
    const int k0 = get_global_id(0) * a.kg, tiles = a.n * a.groups * a.num, gf = a.kg * tiles * 16 + 16;
    const int us = a.kg * 256 + 16, slice = (2 * a.tz | 1) * 16;
    v += a.off[0];
    for (int b = 0; b < a.kg; b++) {
        float16 sum = (float16)(0.0f);
        for (int n = 0; n < a.n; n++)
            for (int i = 0; i < a.tx * a.ty; i++) {
                const int p = i / a.ty, r = i % a.ty;
                float *to = g + (b * tiles + n * a.groups * a.num + i * a.tz) * 16;
                sum += out_xy(dy + a.off[1] + a.dst0 + (long)n * a.dn + (long)(k0 + b) * a.db + (long)p * 2 * a.dp +
                              (long)r * 2 * a.dr, a.dp, a.dr, min(2 * a.tz, a.z), 2 * a.tz, tmp, slice);
                for (int f = 0; f < 64; f++)
                    out_z_of(f % 4, tmp + f / 4 * slice, a.tz, to + f * gf);
            }
        if (a.bias) {
            G(float) d = db + a.off[3] + (k0 + b) * 16;
            vstore16(a.bias == 2 ? vload16(0, d) + sum : sum, 0, d);
        }
    }
    for (int c = 0; c < a.cb; c++) {
        for (int f = 0; f < 64; f++)
            for (int k = 0; k < a.kg; k += NB)
                for (int c0 = 0; c0 < 16; c0 += CC) {
                    float16 acc[NB][CC];
                    UNROLL for (int b = 0; b < NB; b++)
                        UNROLL for (int i = 0; i < CC; i++)
                            acc[b][i] = (float16)(0.0f);
                    for (int ng = 0; ng < a.n * a.groups; ng++) {
                        const int num = min(a.planes, a.tx - ng % a.groups * a.planes) * a.ty * a.tz;
                        GC(float) x = v + (long)ng * a.vg + (long)c * a.vc + (long)f * a.vf + c0;
                        const float *gt = g + f * gf + (k * tiles + ng * a.num) * 16;
                        NOUNROLL for (int t = 0; t < num; t++, x += 16, gt += 16) {
                            float16 y[NB];
                            UNROLL for (int b = 0; b < NB; b++)
                                y[b] = PLD(gt + b * tiles * 16);
                            UNROLL for (int i = 0; i < CC; i++) {
                                const float16 s = (float16)(x[i]);
                                UNROLL for (int b = 0; b < NB; b++)
                                    acc[b][i] = fma(s, y[b], acc[b][i]);
                            }
                        }
                    }
                    UNROLL for (int b = 0; b < NB; b++)
                        UNROLL for (int i = 0; i < CC; i++)
                            PST(du + f * us + (k + b) * 256 + (c0 + i) * 16) = acc[b][i];
                }
        for (int b = 0; b < a.kg; b++) {
            NOUNROLL for (int i = 0; i < 16; i++) {
                const float *from = du + b * 256 + i * 16;
                float16 p[48];
                NOUNROLL for (int f = 0; f < 16; f++)
                    G_BACK(PLD(from + f * 4 * us), PLD(from + (f * 4 + 1) * us), PLD(from + (f * 4 + 2) * us),
                           PLD(from + (f * 4 + 3) * us), p[f * 3], p[f * 3 + 1], p[f * 3 + 2])
                g_back_xy(p, rows + i * 27 * 16, 16);
            }
            put_rows(rows, dw + a.off[2] + ((long)(k0 + b) * 16 * a.cb + c) * 16 * 27, (long)a.cb * 16 * 27, 16,
                     16 * 27, a.accum);
        }
    }
}
