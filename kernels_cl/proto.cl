/* SPDX-License-Identifier: Apache-2.0
 * Prototypes on BLOCKED feature maps f: weighted means, cosines, distances, and their gradients.
 * Maps of one channel (r, D, ...) are PLAIN [n][1][x][y][z], q are packed prototypes [set][row][nb * 16].
 * Fat: a work-item walks a row of z (sums: the rows of one part); simt: one voxel each (sums: 16 lanes times 4
 * voxels). */
#include "common/base.h"
#include "ops/args/proto.h"

#define DOT16(a0, a1, a2, a3, p) (dot(a0, LD4(p)) + dot(a1, LD4((p) + 4)) + dot(a2, LD4((p) + 8)) + \
                                  dot(a3, LD4((p) + 12)))
#define HAS(flag) ((a.flags & (flag)) != 0)

/* 1 / max(sqrt(s), eps) */
float inverse_length(float s, struct a_proto a);
float inverse_length(float s, struct a_proto a) { return s > a.eps * a.eps ? 1.0f / sqrt(s) : a.inv; }

#ifdef PV_FAT
/* The row of this work-group: n, x, y; v: its first voxel in a channel; at: the same in a BLOCKED tensor. */
#define ROW() \
    const int g = GROUP(); \
    if (g >= a.n * a.x * a.y) \
        return; \
    const int n = g / (a.x * a.y); \
    const long v = (long)(g % (a.x * a.y)) * a.z; \
    const long at = a.s0 + (long)n * a.sn + (long)(g / a.y % a.x) * a.sp + (long)(g % a.y) * a.sr;
#else
/* The voxel of this work-item, likewise. */
#define VOXEL() \
    const int i = GROUP() * 64 + LOCAL(); \
    if (i >= a.n * a.x * a.y * a.z) \
        return; \
    const int n = i / (a.x * a.y * a.z), v = i % (a.x * a.y * a.z); \
    const int at = a.s0 + n * a.sn + v / a.z / a.y * a.sp + v / a.z % a.y * a.sr + v % a.z * 16;
#endif

/* proto_dots: out[k](v) (+)= sum_c f_c q_kc over this launch's blocks. With PF_NORM r(v) collects |f|^2; after the
 * last block r = 1 / max(|f|, eps) and out *= scale * r. Without, r holds constants [n][mn] that the first
 * block adds. PF_ACCUM: out held something before the first block. k may be 0. */
#ifdef PV_FAT
__kernel WG1 void proto_dots(GC(float) f, GC(float) q, G(float) r, G(float) out, struct a_proto a)
{
    ROW()
    const bool first = HAS(PF_FIRST), keep = !first || HAS(PF_ACCUM), last = HAS(PF_LAST), norm = HAS(PF_NORM);
    f += a.off[0] + at;
    q += a.off[1] + a.q0 + n * a.qn;
    r += a.off[2] + (long)n * a.mn + (norm ? v : 0);
    out += a.off[3] + (long)n * a.pn + v;
    for (int z = 0; z < a.z; z++, f += 16) {
        float mul = 1.0f;
        if (norm) {
            float16 ss = (float16)(0.0f);
            for (int b = 0; b < a.nb; b++) {
                const float16 u = LD16(f + (long)b * a.sb);
                ss = fma(u, u, ss);
            }
            float s = sum16(ss);
            if (!first)
                s += r[z];
            if (last) {
                s = inverse_length(s, a);
                mul = a.scale * s;
            }
            r[z] = s;
        }
        for (int k = 0; k < a.k; k++) {
            GC(float) p = q + (long)k * a.qk;
            float16 acc = (float16)(0.0f);
            for (int b = 0; b < a.nb; b++)
                acc = fma(LD16(f + (long)b * a.sb), LD16(p + b * 16), acc);
            float s = sum16(acc);
            G(float) o = out + (long)k * a.pc + z;
            if (keep)
                s += *o;
            if (!norm && first)
                s += r[k];
            *o = s * mul;
        }
    }
}
#else
/* At most 16 channels a launch. */
__kernel WG64 void proto_dots(GC(float) f, GC(float) q, G(float) r, G(float) out, struct a_proto a)
{
    VOXEL()
    const bool first = HAS(PF_FIRST), keep = !first || HAS(PF_ACCUM), last = HAS(PF_LAST), norm = HAS(PF_NORM);
    f += a.off[0] + at;
    q += a.off[1] + a.q0 + n * a.qn;
    r += a.off[2] + n * a.mn + (norm ? v : 0);
    out += a.off[3] + n * a.pn + v;
    float acc[16], ss = 0.0f, mul = 1.0f;
    UNROLL for (int k = 0; k < 16; k++)
        acc[k] = 0.0f;
    for (int b = 0; b < a.nb; b++, f += a.sb, q += 16) {
        const float4 u0 = LD4(f), u1 = LD4(f + 4), u2 = LD4(f + 8), u3 = LD4(f + 12);
        ss += dot(u0, u0) + dot(u1, u1) + dot(u2, u2) + dot(u3, u3);
        UNROLL for (int k = 0; k < 16; k++)
            if (k < a.k)
                acc[k] += DOT16(u0, u1, u2, u3, q + k * a.qk);
    }
    if (norm) {
        if (!first)
            ss += *r;
        if (last) {
            ss = inverse_length(ss, a);
            mul = a.scale * ss;
        }
        *r = ss;
    }
    UNROLL for (int k = 0; k < 16; k++)
        if (k < a.k) {
            float s = acc[k];
            if (keep)
                s += out[k * a.pc];
            if (!norm && first)
                s += r[k];
            out[k * a.pc] = s * mul;
        }
}
#endif

/* proto_cosmax: out[c](v) = scale * max_j cos(f(v), q_{c * kk + j}), win[c](v) the first such j; r as above. All
 * blocks at once. */
#ifdef PV_FAT
__kernel WG1 void proto_cosmax(GC(float) f, GC(float) q, G(float) r, G(float) out, G(int) win, struct a_proto a)
{
    ROW()
    f += a.off[0] + at;
    q += a.off[1] + a.q0 + n * a.qn;
    r += a.off[2] + (long)n * a.mn + v;
    out += a.off[3] + (long)n * a.pn + v;
    win += a.off[4] + (long)n * a.pn + v;
    for (int z = 0; z < a.z; z++, f += 16) {
        float16 ss = (float16)(0.0f);
        for (int b = 0; b < a.nb; b++) {
            const float16 u = LD16(f + (long)b * a.sb);
            ss = fma(u, u, ss);
        }
        const float s = inverse_length(sum16(ss), a);
        r[z] = s;
        for (int c = 0; c < a.k; c++) {
            float best = 0.0f;
            int at_best = 0;
            for (int j = 0; j < a.kk; j++) {
                GC(float) p = q + (long)(c * a.kk + j) * a.qk;
                float16 acc = (float16)(0.0f);
                for (int b = 0; b < a.nb; b++)
                    acc = fma(LD16(f + (long)b * a.sb), LD16(p + b * 16), acc);
                const float d = sum16(acc);
                if (j == 0 || d > best) {
                    best = d;
                    at_best = j;
                }
            }
            out[(long)c * a.pc + z] = a.scale * s * best;
            win[(long)c * a.pc + z] = at_best;
        }
    }
}
#else
__kernel WG64 void proto_cosmax(GC(float) f, GC(float) q, G(float) r, G(float) out, G(int) win, struct a_proto a)
{
    VOXEL()
    f += a.off[0] + at;
    q += a.off[1] + a.q0 + n * a.qn;
    const float4 u0 = LD4(f), u1 = LD4(f + 4), u2 = LD4(f + 8), u3 = LD4(f + 12);
    float s = dot(u0, u0) + dot(u1, u1) + dot(u2, u2) + dot(u3, u3);
    for (int b = 1; b < a.nb; b++) {
        GC(float) fb = f + b * a.sb;
        UNROLL for (int h = 0; h < 16; h += 4)
            s += dot(LD4(fb + h), LD4(fb + h));
    }
    s = inverse_length(s, a);
    r[a.off[2] + n * a.mn + v] = s;
    for (int c = 0; c < a.k; c++) {
        float best = 0.0f;
        int at_best = 0;
        for (int j = 0; j < a.kk; j++) {
            GC(float) p = q + (c * a.kk + j) * a.qk;
            float d = DOT16(u0, u1, u2, u3, p);
            for (int b = 1; b < a.nb; b++) {
                GC(float) fb = f + b * a.sb;
                d += DOT16(LD4(fb), LD4(fb + 4), LD4(fb + 8), LD4(fb + 12), p + b * 16);
            }
            if (j == 0 || d > best) {
                best = d;
                at_best = j;
            }
        }
        out[a.off[3] + n * a.pn + c * a.pc + v] = a.scale * s * best;
        win[a.off[4] + n * a.pn + c * a.pc + v] = at_best;
    }
}
#endif

/* proto_apply: out_b(v) (+)= alpha f_b(v) + mul * sum_k w_k(v) q[row_k(v)]_b, per block b.
 *   row_k = k, with PF_SELECT kk * k + sel_k(v) (none unless 0 <= sel < kk);
 *   PF_COSINE: alpha = -r^2 sum_k w_k y_k, mul = scale * r, both 0 where r = inv (f shorter than eps);
 *   PF_MAP: alpha = y(v), one channel; otherwise mul = 1 and alpha = 0. f is read with PF_FEATURE only. */
#ifdef PV_FAT
__kernel WG1 void proto_apply(GC(float) f, GC(float) w, GC(float) y, GC(float) r, GC(int) sel, GC(float) q,
                              G(float) out, struct a_proto a)
{
    ROW()
    const bool feature = HAS(PF_FEATURE), select = HAS(PF_SELECT), add = HAS(PF_ACCUM);
    f += a.off[0] + (feature ? at : 0);
    w += a.off[1] + (long)n * a.pn + v;
    y += a.off[2] + (HAS(PF_MAP) ? (long)n * a.mn : (long)n * a.pn) + v;
    r += a.off[3] + (long)n * a.mn + v;
    sel += a.off[4] + (long)n * a.pn + v;
    q += a.off[5] + a.q0 + n * a.qn;
    out += a.off[6] + at;
    for (int z = 0; z < a.z; z++) {
        float alpha = 0.0f, mul = 1.0f;
        if (HAS(PF_COSINE)) {
            const float rv = r[z];
            mul = rv < a.inv ? a.scale * rv : 0.0f;
            for (int k = 0; k < a.k; k++)
                alpha += w[(long)k * a.pc + z] * y[(long)k * a.pc + z];
            alpha = rv < a.inv ? -alpha * rv * rv : 0.0f;
        } else if (HAS(PF_MAP)) {
            alpha = y[z];
        }
        for (int b = 0; b < a.nb; b++) {
            const long o = (long)b * a.sb + z * 16;
            float16 s = add ? LD16(out + o) : (float16)(0.0f);
            if (feature)
                s = fma((float16)(alpha), LD16(f + o), s);
            for (int k = 0; k < a.k; k++) {
                const int row = select ? sel[(long)k * a.pc + z] : 0;
                if (!select || (row >= 0 && row < a.kk))
                    s = fma((float16)(mul * w[(long)k * a.pc + z]),
                            LD16(q + (long)(select ? k * a.kk + row : k) * a.qk + b * 16), s);
            }
            ST16(out + o) = s;
        }
    }
}
#else
__kernel WG64 void proto_apply(GC(float) f, GC(float) w, GC(float) y, GC(float) r, GC(int) sel, GC(float) q,
                               G(float) out, struct a_proto a)
{
    VOXEL()
    const bool feature = HAS(PF_FEATURE), select = HAS(PF_SELECT), add = HAS(PF_ACCUM);
    w += a.off[1] + n * a.pn + v;
    sel += a.off[4] + n * a.pn + v;
    q += a.off[5] + a.q0 + n * a.qn;
    float alpha = 0.0f, mul = 1.0f;
    if (HAS(PF_COSINE)) {
        const float rv = r[a.off[3] + n * a.mn + v];
        y += a.off[2] + n * a.pn + v;
        mul = rv < a.inv ? a.scale * rv : 0.0f;
        for (int k = 0; k < a.k; k++)
            alpha += w[k * a.pc] * y[k * a.pc];
        alpha = rv < a.inv ? -alpha * rv * rv : 0.0f;
    } else if (HAS(PF_MAP)) {
        alpha = y[a.off[2] + n * a.mn + v];
    }
    for (int b = 0; b < a.nb; b++) {
        G(float) o = out + a.off[6] + at + b * a.sb;
        float4 s0 = (float4)(0.0f), s1 = s0, s2 = s0, s3 = s0;
        if (add) {
            s0 = LD4(o); s1 = LD4(o + 4); s2 = LD4(o + 8); s3 = LD4(o + 12);
        }
        if (feature) {
            GC(float) u = f + a.off[0] + at + b * a.sb;
            s0 += alpha * LD4(u); s1 += alpha * LD4(u + 4); s2 += alpha * LD4(u + 8); s3 += alpha * LD4(u + 12);
        }
        for (int k = 0; k < a.k; k++) {
            const int row = select ? sel[k * a.pc] : 0;
            if (!select || (row >= 0 && row < a.kk)) {
                GC(float) p = q + (select ? k * a.kk + row : k) * a.qk + b * 16;
                const float wk = mul * w[k * a.pc];
                s0 += wk * LD4(p); s1 += wk * LD4(p + 4); s2 += wk * LD4(p + 8); s3 += wk * LD4(p + 12);
            }
        }
        ST4(o) = s0; ST4(o + 4) = s1; ST4(o + 8) = s2; ST4(o + 12) = s3;
    }
}
#endif

/* proto_pool: part[n][x][part][k][16] = sum over the part's voxels of w_k f, one block; row k, element i: sum of
 * w_i. w_k is channel j0 + k; with PF_SELECT (j0 + k) / kk where sel = (j0 + k) % kk, else 0; with PF_NORM times
 * r. At most 4 rows. */
#ifdef PV_FAT
__kernel WG1 void proto_pool(GC(float) f, GC(float) w, GC(float) r, GC(int) sel, G(float) part, struct a_pool a)
{
    const int g = GROUP(), j = g % a.parts, x = g / a.parts % a.x, n = g / a.parts / a.x;
    if (g >= a.n * a.x * a.parts)
        return;
    const bool select = HAS(PF_SELECT), norm = HAS(PF_NORM);
    const int y1 = min((j + 1) * a.rows, a.y);
    float16 sum[4];
    float total[4];
    long ch[4];
    int is[4];
    UNROLL for (int k = 0; k < 4; k++) {
        const int row = a.j0 + min(k, a.k - 1);
        sum[k] = (float16)(0.0f);
        total[k] = 0.0f;
        ch[k] = (long)n * a.pn + (long)(select ? row / a.kk : row) * a.pc;
        is[k] = select ? row % a.kk : 0;
    }
    for (int y = j * a.rows; y < y1; y++) {
        GC(float) fr = f + a.off[0] + a.s0 + (long)n * a.sn + (long)x * a.sp + (long)y * a.sr;
        const long v = (long)(x * a.y + y) * a.z;
        for (int z = 0; z < a.z; z++) {
            const float16 u = LD16(fr + z * 16);
            const float mul = norm ? r[a.off[2] + (long)n * a.mn + v + z] : 1.0f;
            UNROLL for (int k = 0; k < 4; k++) {
                float wk = mul * w[a.off[1] + ch[k] + v + z];
                if (select)
                    wk = sel[a.off[3] + ch[k] + v + z] == is[k] ? wk : 0.0f;
                sum[k] = fma((float16)(wk), u, sum[k]);
                total[k] += wk;
            }
        }
    }
    part += a.off[4] + (long)g * (a.k + 1) * 16;
    UNROLL for (int k = 0; k < 4; k++)
        if (k < a.k) {
            ST16(part + k * 16) = sum[k];
            part[a.k * 16 + k] = total[k];
        }
}
#else
__kernel WG64 void proto_pool(GC(float) f, GC(float) w, GC(float) r, GC(int) sel, G(float) part, struct a_pool a)
{
    __local float sums[64];
    const int g = GROUP(), l = LOCAL(), j = g % a.parts, x = g / a.parts % a.x, n = g / a.parts / a.x;
    const bool in = g < a.n * a.x * a.parts, select = HAS(PF_SELECT), norm = HAS(PF_NORM);
    const int y0 = j * a.rows, count = in ? (min(y0 + a.rows, a.y) - y0) * a.z : 0;
    const int v0 = (x * a.y + y0) * a.z, at = a.s0 + n * a.sn + x * a.sp + y0 * a.sr + l % 16;
    float sum[4], total[4];
    int ch[4], is[4];
    UNROLL for (int k = 0; k < 4; k++) {
        const int row = a.j0 + min(k, a.k - 1);
        sum[k] = total[k] = 0.0f;
        ch[k] = n * a.pn + (select ? row / a.kk : row) * a.pc + v0;
        is[k] = select ? row % a.kk : 0;
    }
    for (int v = l / 16; v < count; v += 4) {
        const float u = f[a.off[0] + at + v / a.z * a.sr + v % a.z * 16];
        const float mul = norm ? r[a.off[2] + n * a.mn + v0 + v] : 1.0f;
        UNROLL for (int k = 0; k < 4; k++) {
            float wk = mul * w[a.off[1] + ch[k] + v];
            if (select)
                wk = sel[a.off[3] + ch[k] + v] == is[k] ? wk : 0.0f;
            sum[k] = fma(wk, u, sum[k]);
            total[k] += wk;
        }
    }
    part += a.off[4] + g * (a.k + 1) * 16;
    UNROLL for (int h = 0; h < 8; h++) {
        sums[l] = h < 4 ? sum[h % 4] : total[h % 4];
        barrier(CLK_LOCAL_MEM_FENCE);
        if (in && l < 16 && h % 4 < a.k) {
            const float s = sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
            if (h < 4)
                part[h * 16 + l] = s;
            else if (l == 0)
                part[a.k * 16 + h % 4] = s;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
}
#endif

/* proto_assign: the same layout with w_k(v) = 1 where idx(v) = j0 + k; at most 16 rows. */
#ifdef PV_FAT
__kernel WG1 void proto_assign(GC(float) f, GC(int) idx, G(float) part, struct a_pool a)
{
    const int g = GROUP(), j = g % a.parts, x = g / a.parts % a.x, n = g / a.parts / a.x;
    if (g >= a.n * a.x * a.parts)
        return;
    const int y1 = min((j + 1) * a.rows, a.y);
    float16 sum[16];
    int count[16];
    for (int k = 0; k < 16; k++) {
        sum[k] = (float16)(0.0f);
        count[k] = 0;
    }
    for (int y = j * a.rows; y < y1; y++) {
        GC(float) fr = f + a.off[0] + a.s0 + (long)n * a.sn + (long)x * a.sp + (long)y * a.sr;
        GC(int) ir = idx + a.off[1] + (long)n * a.mn + (long)(x * a.y + y) * a.z;
        for (int z = 0; z < a.z; z++) {
            const int k = ir[z] - a.j0;
            if (k >= 0 && k < a.k) {
                sum[k] += LD16(fr + z * 16);
                count[k]++;
            }
        }
    }
    part += a.off[2] + (long)g * (a.k + 1) * 16;
    for (int k = 0; k < a.k; k++) {
        ST16(part + k * 16) = sum[k];
        part[a.k * 16 + k] = count[k];
    }
}
#else
__kernel WG64 void proto_assign(GC(float) f, GC(int) idx, G(float) part, struct a_pool a)
{
    __local float sums[4][16][17];      /* voxel phase, row, channels and count */
    const int g = GROUP(), l = LOCAL(), j = g % a.parts, x = g / a.parts % a.x, n = g / a.parts / a.x;
    const bool in = g < a.n * a.x * a.parts;
    const int y0 = j * a.rows, count = in ? (min(y0 + a.rows, a.y) - y0) * a.z : 0, h = l / 16, c = l % 16;
    const int v0 = (x * a.y + y0) * a.z, at = a.s0 + n * a.sn + x * a.sp + y0 * a.sr + c;
    for (int k = 0; k < a.k; k++) {
        sums[h][k][c] = 0.0f;
        if (c == 0)
            sums[h][k][16] = 0.0f;
    }
    for (int v = h; v < count; v += 4) {
        const int k = idx[a.off[1] + n * a.mn + v0 + v] - a.j0;
        if (k >= 0 && k < a.k) {
            sums[h][k][c] += f[a.off[0] + at + v / a.z * a.sr + v % a.z * 16];
            if (c == 0)
                sums[h][k][16] += 1.0f;
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    part += a.off[2] + g * (a.k + 1) * 16;
    for (int i = l; i < a.k * 17 && in; i += 64) {
        const int k = i / 17, e = i % 17;
        part[e < 16 ? k * 16 + e : a.k * 16 + k] = sums[0][k][e] + sums[1][k][e] + sums[2][k][e] + sums[3][k][e];
    }
}
#endif

/* proto_l2: y = r f, r = 1 / max(|f|, eps). proto_l2_bwd: PF_SUM: s(v) (+)= sum_c f g over this launch's blocks;
 * PF_APPLY: df (+)= r g - r^3 s f, 0 where r = inv. */
#ifdef PV_FAT
__kernel WG1 void proto_l2(GC(float) f, G(float) r, G(float) out, struct a_proto a)
{
    ROW()
    f += a.off[0] + at;
    r += a.off[1] + (long)n * a.mn + v;
    out += a.off[2] + at;
    for (int z = 0; z < a.z; z++, f += 16, out += 16) {
        float16 ss = (float16)(0.0f);
        for (int b = 0; b < a.nb; b++) {
            const float16 u = LD16(f + (long)b * a.sb);
            ss = fma(u, u, ss);
        }
        const float s = inverse_length(sum16(ss), a);
        r[z] = s;
        for (int b = 0; b < a.nb; b++)
            ST16(out + (long)b * a.sb) = s * LD16(f + (long)b * a.sb);
    }
}

__kernel WG1 void proto_l2_bwd(GC(float) f, GC(float) g_, GC(float) r, G(float) s, G(float) df,
                               struct a_proto a)
{
    ROW()
    const bool first = HAS(PF_FIRST), add = HAS(PF_ACCUM);
    f += a.off[0] + at;
    g_ += a.off[1] + at;
    r += a.off[2] + (long)n * a.mn + v;
    s += a.off[3] + (long)n * a.mn + v;
    df += a.off[4] + at;
    for (int z = 0; z < a.z; z++) {
        float fg = first ? 0.0f : s[z];
        if (HAS(PF_SUM)) {
            float16 sum = (float16)(0.0f);
            for (int b = 0; b < a.nb; b++)
                sum = fma(LD16(f + (long)b * a.sb + z * 16), LD16(g_ + (long)b * a.sb + z * 16), sum);
            fg += sum16(sum);
            s[z] = fg;
        }
        if (HAS(PF_APPLY)) {
            const float rv = r[z] < a.inv ? r[z] : 0.0f, k = -rv * rv * rv * fg;
            for (int b = 0; b < a.nb; b++) {
                const long o = (long)b * a.sb + z * 16;
                float16 u = rv * LD16(g_ + o) + k * LD16(f + o);
                if (add)
                    u += LD16(df + o);
                ST16(df + o) = u;
            }
        }
    }
}
#else
__kernel WG64 void proto_l2(GC(float) f, G(float) r, G(float) out, struct a_proto a)
{
    VOXEL()
    f += a.off[0] + at;
    out += a.off[2] + at;
    float s = 0.0f;
    for (int b = 0; b < a.nb; b++)
        for (int h = 0; h < 16; h += 4)
            s += dot(LD4(f + b * a.sb + h), LD4(f + b * a.sb + h));
    s = inverse_length(s, a);
    r[a.off[1] + n * a.mn + v] = s;
    for (int b = 0; b < a.nb; b++)
        for (int h = 0; h < 16; h += 4)
            ST4(out + b * a.sb + h) = s * LD4(f + b * a.sb + h);
}

__kernel WG64 void proto_l2_bwd(GC(float) f, GC(float) g, GC(float) r, G(float) s, G(float) df, struct a_proto a)
{
    VOXEL()
    f += a.off[0] + at;
    g += a.off[1] + at;
    s += a.off[3] + n * a.mn + v;
    df += a.off[4] + at;
    float fg = 0.0f;
    if (!HAS(PF_FIRST))
        fg = *s;
    if (HAS(PF_SUM)) {
        for (int b = 0; b < a.nb; b++)
            for (int h = 0; h < 16; h += 4)
                fg += dot(LD4(f + b * a.sb + h), LD4(g + b * a.sb + h));
        *s = fg;
    }
    if (!HAS(PF_APPLY))
        return;
    float rv = r[a.off[2] + n * a.mn + v];
    rv = rv < a.inv ? rv : 0.0f;
    const float k = -rv * rv * rv * fg;
    for (int b = 0; b < a.nb; b++)
        for (int h = 0; h < 16; h += 4) {
            float4 u = rv * LD4(g + b * a.sb + h) + k * LD4(f + b * a.sb + h);
            if (HAS(PF_ACCUM))
                u += LD4(df + b * a.sb + h);
            ST4(df + b * a.sb + h) = u;
        }
}
#endif

/* proto_dist: u = r f with PF_NORM, else f; e = u - q[idx]; over this launch's blocks dd(v) (+)= |e|^2,
 * tt(v) (+)= <u, e>; after the last block dd = |e|; both 0 unless 0 <= idx < kk. PF_SUM: r is made here (all
 * blocks at once), else it is read. */
#ifdef PV_FAT
__kernel WG1 void proto_dist(GC(float) f, GC(float) q, GC(int) idx, G(float) r, G(float) dd, G(float) tt,
                             struct a_proto a)
{
    ROW()
    f += a.off[0] + at;
    q += a.off[1] + a.q0 + n * a.qn;
    idx += a.off[2] + (long)n * a.mn + v;
    r += a.off[3] + (long)n * a.mn + v;
    dd += a.off[4] + (long)n * a.mn + v;
    tt += a.off[5] + (long)n * a.mn + v;
    for (int z = 0; z < a.z; z++, f += 16) {
        const int row = idx[z];
        const bool in = row >= 0 && row < a.kk;
        float mul = 1.0f;
        if (HAS(PF_SUM)) {
            float16 ss = (float16)(0.0f);
            for (int b = 0; b < a.nb; b++) {
                const float16 u = LD16(f + (long)b * a.sb);
                ss = fma(u, u, ss);
            }
            r[z] = inverse_length(sum16(ss), a);
        }
        if (HAS(PF_NORM))
            mul = r[z];
        float16 d = (float16)(0.0f), t = d;
        if (in)
            for (int b = 0; b < a.nb; b++) {
                const float16 u = mul * LD16(f + (long)b * a.sb), e = u - LD16(q + (long)row * a.qk + b * 16);
                d = fma(e, e, d);
                t = fma(u, e, t);
            }
        float ds = sum16(d), ts = sum16(t);
        if (!HAS(PF_FIRST)) {
            ds += dd[z];
            ts += tt[z];
        }
        dd[z] = HAS(PF_LAST) ? sqrt(ds) : ds;
        tt[z] = ts;
    }
}
#else
__kernel WG64 void proto_dist(GC(float) f, GC(float) q, GC(int) idx, G(float) r, G(float) dd, G(float) tt,
                              struct a_proto a)
{
    VOXEL()
    f += a.off[0] + at;
    const int m = n * a.mn + v, row = idx[a.off[2] + m];
    float mul = 1.0f;
    if (HAS(PF_SUM)) {
        float s = 0.0f;
        for (int b = 0; b < a.nb; b++)
            for (int h = 0; h < 16; h += 4)
                s += dot(LD4(f + b * a.sb + h), LD4(f + b * a.sb + h));
        mul = inverse_length(s, a);
        r[a.off[3] + m] = mul;
    } else if (HAS(PF_NORM)) {
        mul = r[a.off[3] + m];
    }
    float d = 0.0f, t = 0.0f;
    if (row >= 0 && row < a.kk) {
        q += a.off[1] + a.q0 + n * a.qn + row * a.qk;
        for (int b = 0; b < a.nb; b++)
            for (int h = 0; h < 16; h += 4) {
                const float4 u = mul * LD4(f + b * a.sb + h), e = u - LD4(q + b * 16 + h);
                d += dot(e, e);
                t += dot(u, e);
            }
    }
    if (!HAS(PF_FIRST)) {
        d += dd[a.off[4] + m];
        t += tt[a.off[5] + m];
    }
    dd[a.off[4] + m] = HAS(PF_LAST) ? sqrt(d) : d;
    tt[a.off[5] + m] = t;
}
#endif
