/* SPDX-License-Identifier: Apache-2.0
 * What convolutions need besides: packing weights, summing weight-gradient slabs, channel sums, the
 * one-channel stem, the head to logits, and borders for images. One work-item per result; the fat class has
 * its own loops where the tensor is a full-size map. */
#include "common/base.h"
#include "ops/args/conv.h"
#ifdef PV_SIMT
#include "common/conv_simt.h"
#endif

/* conv_pack: out[kb] = 16 biases (unless bare), then at ((cb * taps + tap) * 16 + c) * 16 + k:
 * w[(16 kb + k) * so + (16 cb + c) * si + tap'], tap' = taps - 1 - tap if flip; 0 beyond nout, nin. One element
 * each. */
__kernel WG64 void conv_pack(GC(float) w, GC(float) bias, G(float) out, struct a_pack a)
{
    const int i = GROUP() * 64 + LOCAL();
    const int kbs = (a.nout + 15) / 16, cbs = (a.nin + 15) / 16, lead = a.bare ? 0 : 16;
    const int wb = lead + cbs * a.taps * 256;
    if (i >= kbs * wb)
        return;
    const int j = i % wb - lead, k = i / wb * 16 + i % 16;
    float v = 0;
    if (j < 0) {
        v = a.has_bias && k < a.nout ? bias[a.off[1] + k] : 0.0f;
    } else {
        const int c = j / (a.taps * 256) * 16 + j / 16 % 16, tap = j / 256 % a.taps;
        if (k < a.nout && c < a.nin)
            v = w[a.off[0] + k * a.so + c * a.si + (a.flip ? a.taps - 1 - tap : tap)];
    }
    out[a.off[2] + i] = v;
}

/* conv_wsum: dw[(v * row + b0 + b) * taps + tap] (+)= sum_s part[s][v/16][b/16][tap][b%16][v%16]. One each. */
__kernel WG64 void conv_wsum(GC(float) part, G(float) dw, struct a_wsum a)
{
    const int i = GROUP() * 64 + LOCAL();
    if (i >= a.nv * a.nb * a.taps)
        return;
    const int tap = i % a.taps, b = i / a.taps % a.nb, v = i / a.taps / a.nb;
    const int at = (((v / 16) * a.bb + b / 16) * a.taps + tap) * 256 + b % 16 * 16 + v % 16;
    const long step = (long)a.vb * a.bb * a.taps * 256;
    float sum = 0;
    for (int s = 0; s < a.slabs; s++)
        sum += part[a.off[0] + at + s * step];
    G(float) d = dw + a.off[1] + (v * a.row + a.b0 + b) * a.taps + tap;
    *d = a.accum ? *d + sum : sum;
}

/* chan_sum: part[plane][16] = sum over the plane (plane = (n * blocks + block) * x + p) of BLOCKED src. */
#ifdef PV_FAT
__kernel WG1 void chan_sum(GC(float) src, G(float) part, struct a_chan a)
{
    const int p = GROUP();
    if (p >= a.planes)
        return;
    const int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz;
    GC(float) s = src + a.off[0] + (((long)(p / a.x) * xp + p % a.x + a.bx) * yp + a.by) * zp * 16 + a.bz * 16;
    float16 sum = (float16)(0.0f);
    for (int y = 0; y < a.y; y++)
        for (int z = 0; z < a.z; z++)
            sum += LD16(s + ((long)y * zp + z) * 16);
    ST16(part + a.off[1] + p * 16) = sum;
}
#else
/* Groups: planes; 64 work-items: lane l % 16, quarter l / 16 of the plane's voxels. */
__kernel WG64 void chan_sum(GC(float) src, G(float) part, struct a_chan a)
{
    __local float sums[64];
    const int p = GROUP(), l = LOCAL();
    const int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz;
    float sum = 0;
    if (p < a.planes) {
        GC(float) s = src + a.off[0] + (((p / a.x) * xp + p % a.x + a.bx) * yp + a.by) * zp * 16 + a.bz * 16;
        for (int v = l / 16; v < a.y * a.z; v += 4)
            sum += s[(v / a.z * zp + v % a.z) * 16 + l % 16];
    }
    sums[l] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l < 16 && p < a.planes)
        part[a.off[1] + p * 16 + l] = sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
}
#endif

/* chan_total: out[c] (+)= sum over samples and planes of part; one channel each, groups: c / 64. */
__kernel WG64 void chan_total(GC(float) part, G(float) out, struct a_chan a)
{
    const int c = GROUP() * 64 + LOCAL();
    if (c >= a.c)
        return;
    float sum = 0;
    const int n = a.planes / (a.nblk * a.x);
    for (int i = 0; i < n; i++) {
        GC(float) p = part + a.off[0] + ((i * a.nblk + c / 16) * a.x) * 16 + c % 16;
        for (int x = 0; x < a.x; x++)
            sum += p[x * 16];
    }
    G(float) d = out + a.off[1] + c;
    *d = a.accum ? *d + sum : sum;
}

/* pad_plain: dst [planes][x + 2bx][y + 2by][z + 2bz] = src with a border of zeros. One element each. */
__kernel WG64 void pad_plain(GC(float) src, G(float) dst, struct a_pad a)
{
    const int i = GROUP() * 64 + LOCAL();
    const int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz;
    if (i >= a.planes * xp * yp * zp)
        return;
    const int z = i % zp - a.bz, y = i / zp % yp - a.by, x = i / zp / yp % xp - a.bx, p = i / zp / yp / xp;
    const bool in = z >= 0 && z < a.z && y >= 0 && y < a.y && x >= 0 && x < a.x;
    dst[a.off[1] + i] = in ? src[a.off[0] + ((p * a.x + x) * a.y + y) * a.z + z] : 0.0f;
}

/* stem_fwd: y[k][v] = b[k] + sum_{c, tap} w[c][tap][k] x[c][v + tap]; x PLAIN with border (k - 1) / 2.
 * wt [kb][ci * taps][16], bias behind; dst BLOCKED. stem_wgrad: part[slab][kb][ci * taps][16]. */
#ifdef PV_FAT
#define TS 8
/* Work-item: a row of z in pieces of TS. Groups: n * kb * x * y. */
__kernel WG1 void stem_fwd(GC(float) src, GC(float) wt, G(float) dst, struct a_stem a)
{
    const int g = GROUP();
    if (g >= a.n * a.kb * a.x * a.y)
        return;
    const int y = g % a.y, x = g / a.y % a.x, kb = g / a.y / a.x % a.kb, n = g / a.y / a.x / a.kb;
    const int taps = a.kx * a.k * a.k;
    src += a.off[0] + a.so + (long)n * a.sn + (long)x * a.sp + (long)y * a.sr;
    dst += a.off[2] + a.dst0 + (long)n * a.dn + (long)kb * a.db + (long)x * a.dp + (long)y * a.dr;
    const float16 bias = a.bias < 0 ? (float16)(0.0f) : LD16(wt + a.off[1] + a.bias + kb * 16);
    wt += a.off[1] + (long)kb * a.ci * taps * 16;
    int z0 = 0;
    for (; z0 + TS <= a.z; z0 += TS) {
        float16 acc[TS];
        UNROLL for (int t = 0; t < TS; t++)
            acc[t] = bias;
        GC(float) w = wt;
        for (int c = 0; c < a.ci; c++)
            for (int kx = 0; kx < a.kx; kx++)
                for (int ky = 0; ky < a.k; ky++)
                    for (int kz = 0; kz < a.k; kz++, w += 16) {
                        GC(float) s = src + (long)c * a.sc + (long)kx * a.sp + ky * a.sr + z0 + kz;
                        const float16 v = LD16(w);
                        UNROLL for (int t = 0; t < TS; t++)
                            acc[t] = fma((float16)(s[t]), v, acc[t]);
                    }
        UNROLL for (int t = 0; t < TS; t++)
            ST16(dst + (z0 + t) * 16) = acc[t];
    }
    for (; z0 < a.z; z0++) {
        float16 acc = bias;
        GC(float) w = wt;
        for (int c = 0; c < a.ci; c++)
            for (int kx = 0; kx < a.kx; kx++)
                for (int ky = 0; ky < a.k; ky++)
                    for (int kz = 0; kz < a.k; kz++, w += 16)
                        acc = fma((float16)(src[(long)c * a.sc + (long)kx * a.sp + ky * a.sr + z0 + kz]), LD16(w),
                                  acc);
        ST16(dst + z0 * 16) = acc;
    }
}

/* Work-item: one slab, one block of outputs, one (c, kx, ky) of the taps. Groups: (slabs, kb, ci * kx * k). */
__kernel WG1 void stem_wgrad(GC(float) src, GC(float) dy, G(float) part, struct a_stem a)
{
    const int s = get_group_id(0), kb = get_group_id(1), g = get_group_id(2);
    const int ky = g % a.k, kx = g / a.k % a.kx, c = g / a.k / a.kx;
    const int taps = a.kx * a.k * a.k, p1 = min((s + 1) * a.slab, a.planes);
    part += a.off[2] + (((long)s * a.kb + kb) * a.ci * taps + (long)g * a.k) * 16;
    float16 acc[7];
    UNROLL for (int i = 0; i < 7; i++)
        acc[i] = (float16)(0.0f);
    for (int p = s * a.slab; p < p1; p++) {
        const int n = p / a.x, x = p % a.x;
        for (int y = 0; y < a.y; y++) {
            GC(float) xr = src + a.off[0] + a.so + (long)n * a.sn + c * (long)a.sc + (long)(x + kx) * a.sp +
                           (long)(y + ky) * a.sr;
            GC(float) gr = dy + a.off[1] + a.dst0 + (long)n * a.dn + (long)kb * a.db + (long)x * a.dp +
                           (long)y * a.dr;
            if (a.k == 3)
                for (int z = 0; z < a.z; z++) {
                    const float16 gv = LD16(gr + z * 16);
                    UNROLL for (int i = 0; i < 3; i++)
                        acc[i] = fma((float16)(xr[z + i]), gv, acc[i]);
                }
            else
                for (int z = 0; z < a.z; z++) {
                    const float16 gv = LD16(gr + z * 16);
                    for (int i = 0; i < a.k; i++)
                        acc[i] = fma((float16)(xr[z + i]), gv, acc[i]);
                }
        }
    }
    for (int i = 0; i < a.k; i++)
        ST16(part + i * 16) = acc[i];
}
#else
/* One voxel and 16 outputs each. Groups: (ceil(x*y*z / 64), kb, n). */
__kernel WG64 void stem_fwd(GC(float) src, GC(float) wt, G(float) dst, struct a_stem a)
{
    const int v = get_global_id(0), kb = get_group_id(1), n = get_group_id(2);
    if (v >= a.x * a.y * a.z)
        return;
    const int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y, taps = a.kx * a.k * a.k;
    src += a.off[0] + a.so + n * a.sn + x * a.sp + y * a.sr + z;
    dst += a.off[2] + a.dst0 + n * a.dn + kb * a.db + x * a.dp + y * a.dr + z * 16;
    GC(float) w = wt + a.off[1] + kb * a.ci * taps * 16;
    float4 acc0 = (float4)(0.0f), acc1 = acc0, acc2 = acc0, acc3 = acc0;
    if (a.bias >= 0) {
        GC(float) bias = wt + a.off[1] + a.bias + kb * 16;
        acc0 = LD4(bias); acc1 = LD4(bias + 4); acc2 = LD4(bias + 8); acc3 = LD4(bias + 12);
    }
    for (int c = 0; c < a.ci; c++)
        for (int kx = 0; kx < a.kx; kx++)
            for (int ky = 0; ky < a.k; ky++)
                for (int kz = 0; kz < a.k; kz++, w += 16) {
                    FMA16(src[c * a.sc + kx * a.sp + ky * a.sr + kz], w)
                }
    STORE16(dst)
}

/* Groups: (slabs, kb, ci * taps); 64 work-items: lane l % 16, rows l / 16, +4, ... of the slab. */
__kernel WG64 void stem_wgrad(GC(float) src, GC(float) dy, G(float) part, struct a_stem a)
{
    __local float sums[64];
    const int s = get_group_id(0), kb = get_group_id(1), g = get_group_id(2), l = LOCAL();
    const int kz = g % a.k, ky = g / a.k % a.k, kx = g / a.k / a.k % a.kx, c = g / a.k / a.k / a.kx;
    const int taps = a.kx * a.k * a.k, p1 = min((s + 1) * a.slab, a.planes);
    float acc = 0;
    for (int p = s * a.slab; p < p1; p++) {
        const int n = p / a.x, x = p % a.x;
        for (int y = l / 16; y < a.y; y += 4) {
            GC(float) xr = src + a.off[0] + a.so + n * a.sn + c * a.sc + (x + kx) * a.sp + (y + ky) * a.sr + kz;
            GC(float) gr = dy + a.off[1] + a.dst0 + n * a.dn + kb * a.db + x * a.dp + y * a.dr + l % 16;
            for (int z = 0; z < a.z; z++)
                acc = fma(xr[z], gr[z * 16], acc);
        }
    }
    sums[l] = acc;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l < 16)
        part[a.off[2] + ((s * a.kb + kb) * a.ci * taps + g) * 16 + l] =
            sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
}
#endif

/* stem_pack: out[kb][ci * taps][16] from w[co][ci][taps], bias behind. One element each. */
__kernel WG64 void stem_pack(GC(float) w, GC(float) bias, G(float) out, struct a_pack a)
{
    const int i = GROUP() * 64 + LOCAL(), inner = a.nin * a.taps;
    const int all = (a.nout + 15) / 16 * inner * 16;
    if (i < all) {
        const int k = i / (inner * 16) * 16 + i % 16, t = i / 16 % inner;
        out[a.off[2] + i] = k < a.nout ? w[a.off[0] + k * inner + t] : 0.0f;
    } else if (i < all + (a.nout + 15) / 16 * 16) {
        out[a.off[2] + i] = a.has_bias && i - all < a.nout ? bias[a.off[1] + i - all] : 0.0f;
    }
}

/* stem_wsum: dw[k][t] (+)= sum_s part[s][k / 16][t][k % 16], t over ci * taps. One result each. */
__kernel WG64 void stem_wsum(GC(float) part, G(float) dw, struct a_wsum a)
{
    const int i = GROUP() * 64 + LOCAL(), inner = a.nb * a.taps;
    if (i >= a.nv * inner)
        return;
    const int k = i / inner, t = i % inner;
    float sum = 0;
    for (int s = 0; s < a.slabs; s++)
        sum += part[a.off[0] + ((s * a.vb + k / 16) * inner + t) * 16 + k % 16];
    G(float) d = dw + a.off[1] + i;
    *d = a.accum ? *d + sum : sum;
}

/* head_fwd: y[k][v] = b[k] + sum_c w[k][c] x[c][v]; x BLOCKED, y PLAIN [n][co][x][y][z].
 * One voxel each; groups: n * x * y * z / 64. */
__kernel WG64 void head_fwd(GC(float) src, GC(float) w, GC(float) bias, G(float) dst, struct a_head a)
{
    const int i = GROUP() * 64 + LOCAL();
    if (i >= a.n * a.x * a.y * a.z)
        return;
    const int z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x, n = i / a.z / a.y / a.x;
    GC(float) s = src + a.off[0] + a.s0 + n * a.sn + x * a.sp + y * a.sr + z * 16;
    G(float) d = dst + a.off[3] + n * a.dn + (x * a.y + y) * a.z + z;
    for (int k = 0; k < a.co; k++) {
        GC(float) wk = w + a.off[1] + k * a.row + a.c0;
        float sum = a.accum ? d[k * a.dc] : a.has_bias ? bias[a.off[2] + k] : 0.0f;
        for (int c = 0; c < a.ci; c++)
            sum = fma(wk[c], s[c / 16 * a.sb + c % 16], sum);
        d[k * a.dc] = sum;
    }
}

/* head_dgrad: dx[c][v] (+)= sum_k w[k][c] dy[k][v]. One voxel each; spare lanes become 0. */
__kernel WG64 void head_dgrad(GC(float) dy, GC(float) w, G(float) dx, struct a_head a)
{
    const int i = GROUP() * 64 + LOCAL();
    if (i >= a.n * a.x * a.y * a.z)
        return;
    const int z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x, n = i / a.z / a.y / a.x;
    G(float) d = dx + a.off[2] + a.s0 + n * a.sn + x * a.sp + y * a.sr + z * 16;
    GC(float) g = dy + a.off[0] + n * a.dn + (x * a.y + y) * a.z + z;
    for (int c = 0; c < a.ci; c++) {
        float sum = 0;
        for (int k = 0; k < a.co; k++)
            sum = fma(w[a.off[1] + k * a.row + a.c0 + c], g[k * a.dc], sum);
        G(float) q = d + c / 16 * a.sb + c % 16;
        *q = a.accum ? *q + sum : sum;
    }
}

/* head_wgrad: part[slab][k][ci + 1] = sum over the slab's planes of dy[k][v] * (x[c][v], 1 for the bias).
 * Groups: (slabs, co); one (k, c) each, c in steps of 64. */
__kernel WG64 void head_wgrad(GC(float) src, GC(float) dy, G(float) part, struct a_head a)
{
    const int s = get_group_id(0), k = get_group_id(1), p1 = min((s + 1) * a.slab, a.planes);
    for (int c = LOCAL(); c <= a.ci; c += 64) {
        float acc = 0;
        for (int p = s * a.slab; p < p1; p++) {
            const int n = p / a.x, x = p % a.x;
            for (int y = 0; y < a.y; y++) {
                GC(float) sr = src + a.off[0] + a.s0 + n * a.sn + (c < a.ci ? c / 16 * a.sb + c % 16 : 0) +
                               x * a.sp + y * a.sr;
                GC(float) g = dy + a.off[1] + n * a.dn + k * a.dc + (x * a.y + y) * a.z;
                for (int z = 0; z < a.z; z++)
                    acc = fma(c < a.ci ? sr[z * 16] : 1.0f, g[z], acc);
            }
        }
        part[a.off[2] + (s * a.co + k) * (a.ci + 1) + c] = acc;
    }
}

/* head_wsum: sums slabs into dw[k * row + b0 + c], or with taps 1 into db[k]. One result each. */
__kernel WG64 void head_wsum(GC(float) part, G(float) out, struct a_wsum a)
{
    const int i = GROUP() * 64 + LOCAL(), in = a.nb + 1;
    if (i >= (a.taps ? a.nv : a.nv * a.nb))
        return;
    const int at = a.taps ? i * in + a.nb : i / a.nb * in + i % a.nb;
    float sum = 0;
    for (int s = 0; s < a.slabs; s++)
        sum += part[a.off[0] + s * a.nv * in + at];
    G(float) d = out + a.off[1] + (a.taps ? i : i / a.nb * a.row + a.b0 + i % a.nb);
    *d = a.accum ? *d + sum : sum;
}
