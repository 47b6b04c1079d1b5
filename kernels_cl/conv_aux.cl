/* SPDX-License-Identifier: Apache-2.0
 * What convolutions need besides: packing weights, summing weight-gradient slabs, channel sums, the
 * one-channel stem, the head to logits, and borders for images. One work-item per result; the fat class has
 * its own loops where the tensor is a full-size map. */
#include "common/group.h"
#include "common/stats.h"
#include "common/transpose.h"
#include "common/wino_g.h"
#include "ops/args/conv.h"
#include "ops/args/wino.h"
#ifdef PV_SIMT
#include "common/conv_simt.h"
#endif

/* conv_pack: out[kb] = 16 biases (unless bare), then at ((cb * taps + tap) * 16 + c) * 16 + k:
 * w[(16 kb + k) * so + (16 cb + c) * si + tap'], tap' = taps - 1 - tap if flip; 0 beyond nout, nin. */
#ifdef PV_FAT
/* Work-item: a pair of blocks. Groups: (cb, kb). */
__kernel WG1 void conv_pack(GC(float) w, GC(float) bias, G(float) out, struct a_pack a)
{
    const int cb = get_group_id(0), kb = get_group_id(1), lead = a.bare ? 0 : 16;
    const int nk = min(16, a.nout - kb * 16), nc = min(16, a.nin - cb * 16);
    out += a.off[2] + (long)kb * (lead + get_num_groups(0) * a.taps * 256);
    w += a.off[0] + (long)kb * 16 * a.so + (long)cb * 16 * a.si;
    if (cb == 0)
        for (int k = 0; k < lead; k++)
            out[k] = a.has_bias && k < nk ? bias[a.off[1] + kb * 16 + k] : 0.0f;
    out += lead + (long)cb * a.taps * 256;
    if (nk == 16 && nc == 16 && a.taps >= 16) {
        for (int c = 0; c < 16; c++)
            for (int t0 = 0; t0 < a.taps; t0 += 16) {
                const int t1 = min(t0, a.taps - 16);
                float16 v[16];
                UNROLL for (int k = 0; k < 16; k++)
                    v[k] = vload16(0, w + (long)k * a.so + (long)c * a.si + t1);
                transpose16(v);
                UNROLL for (int t = 0; t < 16; t++)
                    ST16(out + (a.flip ? a.taps - 1 - t1 - t : t1 + t) * 256 + c * 16) = v[t];
            }
    } else if (nk == 16 && nc == 16 && a.si == a.taps) {
        for (int m = 0; m < 16 * a.taps; m += 16) {     /* (c, tap) pairs, 16 at a time */
            float16 v[16];
            UNROLL for (int k = 0; k < 16; k++)
                v[k] = vload16(0, w + (long)k * a.so + m);
            transpose16(v);
            UNROLL for (int i = 0; i < 16; i++) {
                const int c = (m + i) / a.taps, t = (m + i) % a.taps;
                ST16(out + (a.flip ? a.taps - 1 - t : t) * 256 + c * 16) = v[i];
            }
        }
    } else {
        for (int t = 0; t < a.taps; t++)
            for (int c = 0; c < 16; c++) {
                G(float) o = out + (a.flip ? a.taps - 1 - t : t) * 256 + c * 16;
                for (int k = 0; k < 16; k++)
                    o[k] = k < nk && c < nc ? w[(long)k * a.so + (long)c * a.si + t] : 0.0f;
            }
    }
}

/* conv_wsum: dw[(v * row + b0 + b) * taps + tap] (+)= sum_s part[s][v/16][b/16][tap][b%16][v%16]; at most 27 taps.
 * Work-item: a pair of blocks. Groups: (bb, vb). */
__kernel WG1 void conv_wsum(GC(float) part, G(float) dw, struct a_wsum a)
{
    float rows[16 * 27 * 16] __attribute__((aligned(64)));      /* [b * taps + tap][v] */
    const int b = get_group_id(0), v = get_group_id(1);
    const long step = (long)a.vb * a.bb * a.taps * 256;
    part += a.off[0] + ((long)v * a.bb + b) * a.taps * 256;
    for (int c = 0; c < 16; c++)
        for (int t = 0; t < a.taps; t++) {
            GC(float) p = part + t * 256 + c * 16;
            float16 sum = LD16(p);
            for (int s = 1; s < a.slabs; s++)
                sum += LD16(p + s * step);
            *(float16 *)(rows + (c * a.taps + t) * 16) = sum;
        }
    put_rows(rows, dw + a.off[1] + ((long)v * 16 * a.row + a.b0 + b * 16) * a.taps, (long)a.row * a.taps,
             min(16, a.nv - v * 16), min(16, a.nb - b * 16) * a.taps, a.accum);
}
/* wino_weights: frequency weights (wino.cl) U[(i, j)][kbp][cb][16 c][16 k] from packed weights
 * w [kb]{[16 bias], [cb][27][16 c][16 k]}; i = (x, y) frequency, j = z frequency; j = 3 is negated: y1 subtracts m3.
 * Blocks beyond kb are zero. Biases follow, as [kbp][16]. Work-item: one input channel of a pair of blocks.
 * Groups: (16 * cb, kbp). */
__kernel WG1 void wino_weights(GC(float) w, G(float) u, struct a_wino_w a)
{
    const int c = get_group_id(0) % 16, cb = get_group_id(0) / 16, kb = get_group_id(1);
    const long step = WINO_STEP(a.kbp, a.cb);
    w += a.off[0] + (long)kb * (16 + a.cb * 27 * 256);
    u += a.off[1];
    if (cb == 0 && c == 0)
        ST16(u + 64 * step + kb * 16) = kb < a.kb ? LD16(w) : (float16)(0.0f);
    u += ((long)kb * a.cb + cb) * 256 + c * 16;
    if (kb >= a.kb) {
        for (int f = 0; f < 64; f++)
            ST16(u + f * step) = (float16)(0.0f);
        return;
    }
    w += 16 + (long)cb * 27 * 256 + c * 16;
#define TAP(i) LD16(w + (i) * 256)
#define PUT(f, v) ST16(u + (long)(f) * step) = v
    WINO_G(TAP, PUT)
#undef TAP
#undef PUT
}

/* wino_wsum: dw[k][c][27] (+)= G' (sum of slabs), with G' u = u0 + (u1 + u2) / 2, (u1 - u2) / 2, (u1 + u2) / 2 + u3
 * along each axis; db[k] likewise from the slabs' sums of dy. Work-item: a pair of blocks. Groups: (cb, kb). */
__kernel WG1 void wino_wsum(GC(float) part, G(float) dw, GC(float) bias_part, G(float) db, struct a_wino_s a)
{
    float rows[16 * 27 * 16] __attribute__((aligned(64)));      /* [c * 27 + tap][k] */
    const int cb = get_group_id(0), kb = get_group_id(1);
    const long step = WINO_STEP(a.kb, a.cb);
    part += a.off[0] + ((long)kb * a.cb + cb) * 256;
    for (int c = 0; c < 16; c++) {
        float16 p[48], q[4];
        NOUNROLL for (int i = 0; i < 16; i++) {     /* along z */
            UNROLL for (int j = 0; j < 4; j++)
                q[j] = LD16(part + (long)(i * 4 + j) * step + c * 16);
            for (int s = 1; s < a.slabs; s++)
                UNROLL for (int j = 0; j < 4; j++)
                    q[j] += LD16(part + ((long)s * 64 + i * 4 + j) * step + c * 16);
            G_BACK(q[0], q[1], q[2], q[3], p[i * 3], p[i * 3 + 1], p[i * 3 + 2])
        }
        g_back_xy(p, rows + c * 27 * 16, 16);
    }
    if (cb == 0 && a.bias) {
        float16 sum = LD16(bias_part + a.off[2] + kb * 16);
        for (int s = 1; s < a.slabs; s++)
            sum += LD16(bias_part + a.off[2] + ((long)s * a.kb + kb) * 16);
        float one[16];
        vstore16(sum, 0, one);
        for (int k = 0; k < 16 && kb * 16 + k < a.nk; k++) {
            G(float) d = db + a.off[3] + kb * 16 + k;
            *d = a.bias == 2 ? *d + one[k] : one[k];
        }
    }
    const int nk = min(16, a.nk - kb * 16), nc = min(16, a.nc - cb * 16);
    dw += a.off[1] + ((long)kb * 16 * a.nc + cb * 16) * 27;
    put_rows(rows, dw, (long)a.nc * 27, nk, nc * 27, a.accum);
}
#else
/* One element each. */
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

/* conv_wsum: dw[(v * row + b0 + b) * taps + tap] (+)= sum_s part[s][v/16][b/16][tap][b%16][v%16].
 * Groups: vb * bb * taps. Work-item l sums four lanes (l % 64) over every fourth slab from l / 64 on. */
__kernel WG256 void conv_wsum(GC(float) part, G(float) dw, struct a_wsum a)
{
    __local float4 sums[256];
    const int l = LOCAL(), group = GROUP();
    const int tap = group % a.taps, bb = group / a.taps % a.bb, vb = group / a.taps / a.bb;
    const int step = a.vb * a.bb * a.taps * 256;
    float4 sum = (float4)(0.0f);
    if (group < a.vb * a.bb * a.taps)
        for (int s = l / 64; s < a.slabs; s += 4)
            sum += LD4(part + a.off[0] + (long)s * step + group * 256 + l % 64 * 4);
    sums[l] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    const int b = bb * 16 + l / 4, v = vb * 16 + l % 4 * 4;
    if (l >= 64 || b >= a.nb || group >= a.vb * a.bb * a.taps)
        return;
    sum = (sums[l] + sums[l + 64]) + (sums[l + 128] + sums[l + 192]);
    G(float) d = dw + a.off[1] + (v * a.row + a.b0 + b) * a.taps + tap;
    const int next = a.row * a.taps;
    const float add[4] = {sum.x, sum.y, sum.z, sum.w};
    UNROLL for (int i = 0; i < 4; i++)
        if (v + i < a.nv)
            d[i * next] = a.accum ? d[i * next] + add[i] : add[i];
}
#endif

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

#ifdef PV_SIMT
/* chan_join: chan_total of many parts. Work-group: a block; strands of four channels take parts in turn. */
__kernel WG256 void chan_join(GC(float) part, G(float) out, struct a_chan a)
{
    __local float4 sums[256];
    const int b = get_group_id(0), l = LOCAL(), num = a.planes / a.nblk;
    float4 s = (float4)(0.0f);
    part += a.off[0] + l % 4 * 4;
    for (int i = l / 4; i < num; i += 64)
        s += LD4(part + ((i / a.x * a.nblk + b) * a.x + i % a.x) * 16);
    sums[l] = s;
    for (int h = 128; h >= 4; h /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (l < h)
            sums[l] += sums[l + h];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l < 16 && b * 16 + l < a.c) {
        G(float) d = out + a.off[1] + b * 16 + l;
        const float sum = ((__local float *)sums)[l];
        *d = a.accum ? *d + sum : sum;
    }
}
#endif

/* pad_plain: dst [planes][x + 2bx][y + 2by][z + 2bz] = src with a border of zeros. */
#ifdef PV_FAT
/* Work-item: a stored x-plane. Groups: planes * (x + 2bx). */
__kernel WG1 void pad_plain(GC(float) src, G(float) dst, struct a_pad a)
{
    const int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz, g = GROUP();
    if (g >= a.planes * xp)
        return;
    const int x = g % xp - a.bx, p = g / xp;
    dst += a.off[1] + (long)g * yp * zp;
    for (int y = 0; y < yp; y++, dst += zp) {
        const bool in = x >= 0 && x < a.x && y >= a.by && y < a.y + a.by;
        if (!in) {
            for (int z = 0; z < zp; z++)
                dst[z] = 0.0f;
            continue;
        }
        GC(float) s = src + a.off[0] + (((long)p * a.x + x) * a.y + y - a.by) * a.z;
        for (int z = 0; z < a.bz; z++)
            dst[z] = dst[zp - 1 - z] = 0.0f;
        int z = 0;
        for (; z + 16 <= a.z; z += 16)
            vstore16(vload16(0, s + z), 0, dst + a.bz + z);
        for (; z < a.z; z++)
            dst[a.bz + z] = s[z];
    }
}
#else
/* One element each. */
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
#endif

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

/* All 27 taps of channel c of the image in registers. */
void stem_wgrad27(GC(float) src, GC(float) dy, G(float) part, int p0, int p1, struct a_stem a);
void stem_wgrad27(GC(float) src, GC(float) dy, G(float) part, int p0, int p1, struct a_stem a)
{
    float16 acc[27];
    UNROLL for (int i = 0; i < 27; i++)
        acc[i] = (float16)(0.0f);
    for (int p = p0; p < p1; p++)
        for (int y = 0; y < a.y; y++) {
            GC(float) xr = src + (long)(p / a.x) * a.sn + (long)(p % a.x) * a.sp + (long)y * a.sr;
            GC(float) gr = dy + (long)(p / a.x) * a.dn + (long)(p % a.x) * a.dp + (long)y * a.dr;
            NOUNROLL for (int z = 0; z < a.z; z++) {
                const float16 g = LD16(gr + z * 16);
                FETCH(gr + (z + 48) * 16);      /* about as far as memory takes to answer */
                UNROLL for (int i = 0; i < 27; i++)
                    acc[i] = fma((float16)(xr[(long)(i / 9) * a.sp + i / 3 % 3 * a.sr + i % 3 + z]), g, acc[i]);
            }
        }
    UNROLL for (int i = 0; i < 27; i++)
        ST16(part + i * 16) = acc[i];
}

/* Work-item: one slab, one block of outputs, and one channel of the image if it has 3x3x3 taps, else one (c, kx, ky).
 * Groups: (slabs, kb, ci) or (slabs, kb, ci * kx * k). */
__kernel WG1 void stem_wgrad(GC(float) src, GC(float) dy, G(float) part, struct a_stem a)
{
    const int s = get_group_id(0), kb = get_group_id(1), g = get_group_id(2);
    const int taps = a.kx * a.k * a.k, p1 = min((s + 1) * a.slab, a.planes);
    if (taps == 27) {
        stem_wgrad27(src + a.off[0] + a.so + (long)g * a.sc, dy + a.off[1] + a.dst0 + (long)kb * a.db,
                     part + a.off[2] + (((long)s * a.kb + kb) * a.ci + g) * 27 * 16, s * a.slab, p1, a);
        return;
    }
    const int ky = g % a.k, kx = g / a.k % a.kx, c = g / a.k / a.kx;
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
/* Sum over the 16 strands l / 4 of a work-group of 64, for each quad l % 4. */
GROUP_FOLD(quads, float4, JOIN_ADD, 4)

/* One voxel and 16 outputs each. Groups: (ceil(x*y*z / 64) over two dimensions, n * kb), units of statistics. */
__kernel WG64 void stem_fwd(GC(float) src, GC(float) wt, G(float) dst, G(float) stats, struct a_stem a)
{
    __local float4 sums[256];           /* [voxel][quad of channels] */
    const int l = LOCAL(), v0 = GROUP() * 64, voxels = a.x * a.y * a.z, v = min(v0 + l, voxels - 1);
    const int kb = get_group_id(2) % a.kb, n = get_group_id(2) / a.kb;
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
    if (v0 + l < voxels) {
        STORE16(dst)
    }
    if (!a.stats)
        return;
    sums[l * 4] = acc0;
    sums[l * 4 + 1] = acc1;
    sums[l * 4 + 2] = acc2;
    sums[l * 4 + 3] = acc3;
    barrier(CLK_LOCAL_MEM_FENCE);
    const int here = min(64, voxels - v0), units = (voxels + 63) / 64;
    const float4 first = sums[l % 4];
    float4 s = (float4)(0.0f), q = s;
    for (int i = l / 4; i < here; i += 16) {
        const float4 d = sums[i * 4 + l % 4] - first;
        s += d;
        q += d * d;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    s = quads(s, sums);
    q = quads(q, sums);
    if (l < 4 && here > 0)
        PUT_STATS(stats + a.off[3] + ((n * a.kb + kb) * units + GROUP()) * 32 + l * 4, first, s, q, here)
}

/* Groups: (ci * taps over two dimensions, slabs * kb); 64 work-items: lane l % 16, rows l / 16, +4, ... of the slab. */
__kernel WG64 void stem_wgrad(GC(float) src, GC(float) dy, G(float) part, struct a_stem a)
{
    __local float sums[64];
    const int s = get_group_id(2) / a.kb, kb = get_group_id(2) % a.kb, g = GROUP(), l = LOCAL();
    const int kz = g % a.k, ky = g / a.k % a.k, kx = g / a.k / a.k % a.kx, c = g / a.k / a.k / a.kx;
    if (c >= a.ci)
        return;
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

/* head_fwd: y[k][v] = b[k] + sum_c w[k][c] x[c][v]; x BLOCKED, y PLAIN [n][co][x][y][z], co <= 32.
 * head_dgrad: dx[c][v] (+)= sum_k w[k][c] dy[k][v]; spare lanes become 0.
 * head_wgrad: part[slab][k][ci + 1] = sum over the slab's planes of dy[k][v] * (x[c][v], 1 for the bias). */
#ifdef PV_FAT
#define HEAD_ROW \
    const int g = GROUP(); \
    if (g >= a.n * a.x * a.y) \
        return; \
    const int y = g % a.y, x = g / a.y % a.x, n = g / a.y / a.x; \
    const long blocked = a.s0 + (long)n * a.sn + (long)x * a.sp + (long)y * a.sr; \
    const long plain = (long)n * a.dn + ((long)x * a.y + y) * a.z;

/* Work-item: a row of z, 16 voxels at a time, turned so that lanes are voxels. Groups: n * x * y. */
__kernel WG1 void head_fwd(GC(float) src, GC(float) w, GC(float) bias, G(float) dst, struct a_head a)
{
    HEAD_ROW
    src += a.off[0] + blocked;
    dst += a.off[3] + plain;
    for (int z0 = 0; z0 < a.z; z0 += 16) {
        const int num = min(16, a.z - z0);
        float16 sum[32];
        for (int k = 0; k < a.co; k++) {
            sum[k] = (float16)(a.accum || !a.has_bias ? 0.0f : bias[a.off[2] + k]);
            if (a.accum && num == 16)
                sum[k] = vload16(0, dst + k * a.dc + z0);
        }
        for (int c0 = 0; c0 < a.ci; c0 += 16) {
            float16 v[16];
            GC(float) s = src + (long)(c0 / 16) * a.sb + z0 * 16;
            UNROLL for (int t = 0; t < 16; t++)
                v[t] = t < num ? LD16(s + t * 16) : (float16)(0.0f);
            transpose16(v);
            for (int k = 0; k < a.co; k++) {
                GC(float) wk = w + a.off[1] + k * a.row + a.c0 + c0;
                float16 e = sum[k], o = (float16)(0.0f);
                if (c0 + 16 <= a.ci) {
                    UNROLL for (int c = 0; c < 16; c += 2) {
                        e = fma(v[c], (float16)(wk[c]), e);
                        o = fma(v[c + 1], (float16)(wk[c + 1]), o);
                    }
                } else {
                    UNROLL for (int c = 0; c < 16; c++)
                        if (c0 + c < a.ci)
                            e = fma(v[c], (float16)(wk[c]), e);
                }
                sum[k] = e + o;
            }
        }
        for (int k = 0; k < a.co; k++) {
            G(float) d = dst + k * a.dc + z0;
            if (num == 16) {
                vstore16(sum[k], 0, d);
            } else {
                float one[16];
                vstore16(sum[k], 0, one);
                for (int t = 0; t < num; t++)
                    d[t] = a.accum ? d[t] + one[t] : one[t];
            }
        }
    }
}

/* Work-item: a row of z. Groups: n * x * y. */
__kernel WG1 void head_dgrad(GC(float) dy, GC(float) w, G(float) dx, struct a_head a)
{
    HEAD_ROW
    dx += a.off[2] + blocked;
    dy += a.off[0] + plain;
    for (int c0 = 0; c0 < a.ci; c0 += 16) {
        float16 wk[32];
        for (int k = 0; k < a.co; k++) {
            GC(float) from = w + a.off[1] + k * a.row + a.c0 + c0;
            float one[16];
            if (c0 + 16 <= a.ci) {
                wk[k] = vload16(0, from);
                continue;
            }
            for (int c = 0; c < 16; c++)
                one[c] = c0 + c < a.ci ? from[c] : 0.0f;
            wk[k] = vload16(0, one);
        }
        G(float) d = dx + (long)(c0 / 16) * a.sb;
        int z = 0;
        for (; z + 4 <= a.z; z += 4) {
            float16 acc[4];
            UNROLL for (int t = 0; t < 4; t++)
                acc[t] = a.accum ? LD16(d + (z + t) * 16) : (float16)(0.0f);
            for (int k = 0; k < a.co; k++)
                UNROLL for (int t = 0; t < 4; t++)
                    acc[t] = fma((float16)(dy[k * a.dc + z + t]), wk[k], acc[t]);
            UNROLL for (int t = 0; t < 4; t++)
                STORE_PAST(d + (z + t) * 16, acc[t]);
        }
        for (; z < a.z; z++) {
            float16 acc = a.accum ? LD16(d + z * 16) : (float16)(0.0f);
            for (int k = 0; k < a.co; k++)
                acc = fma((float16)(dy[k * a.dc + z]), wk[k], acc);
            ST16(d + z * 16) = acc;
        }
    }
}

/* Work-item: a slab and a block of channels. Groups: (slabs, ceil(ci / 16)). */
__kernel WG1 void head_wgrad(GC(float) src, GC(float) dy, G(float) part, struct a_head a)
{
    const int s = get_group_id(0), b = get_group_id(1), p1 = min((s + 1) * a.slab, a.planes);
    float16 sum[32];
    float ones[32];
    for (int k = 0; k < a.co; k++) {
        sum[k] = (float16)(0.0f);
        ones[k] = 0.0f;
    }
    for (int p = s * a.slab; p < p1; p++)
        for (int y = 0; y < a.y; y++) {
            GC(float) sr = src + a.off[0] + a.s0 + (long)(p / a.x) * a.sn + (long)b * a.sb + (long)(p % a.x) * a.sp +
                           (long)y * a.sr;
            for (int k = 0; k < a.co; k++) {
                GC(float) g = dy + a.off[1] + (long)(p / a.x) * a.dn + (long)k * a.dc +
                              ((long)(p % a.x) * a.y + y) * a.z;
                float16 acc[4];
                float one[4] = {0, 0, 0, 0};
                UNROLL for (int t = 0; t < 4; t++)
                    acc[t] = (float16)(0.0f);
                int z = 0;
                for (; z + 4 <= a.z; z += 4)
                    UNROLL for (int t = 0; t < 4; t++) {
                        acc[t] = fma((float16)(g[z + t]), LD16(sr + (z + t) * 16), acc[t]);
                        one[t] += g[z + t];
                    }
                for (; z < a.z; z++) {
                    acc[0] = fma((float16)(g[z]), LD16(sr + z * 16), acc[0]);
                    one[0] += g[z];
                }
                sum[k] += (acc[0] + acc[1]) + (acc[2] + acc[3]);
                ones[k] += (one[0] + one[1]) + (one[2] + one[3]);
            }
        }
    part += a.off[2] + (long)s * a.co * (a.ci + 1);
    for (int k = 0; k < a.co; k++) {
        float one[16];
        vstore16(sum[k], 0, one);
        for (int c = 0; c < 16 && b * 16 + c < a.ci; c++)
            part[k * (a.ci + 1) + b * 16 + c] = one[c];
        if (b == 0)
            part[k * (a.ci + 1) + a.ci] = ones[k];
    }
}
#else
/* One voxel each; groups: n * x * y * z / 64. */
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

/* Groups: (slabs, co); one (k, c) each, c in steps of 64. */
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
#endif

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
