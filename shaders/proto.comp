// SPDX-License-Identifier: Apache-2.0
// Prototypes on BLOCKED feature maps; formulas, buffers and work-items as in kernels_cl/proto.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/proto.h"

WG64

#define HAS(flag) ((a.flags & (flag)) != 0)
// The voxel of this work-item; at: its first float4 in a BLOCKED tensor.
#define VOXEL() \
    int i = GROUP() * 64 + LOCAL(); \
    if (i >= a.n * a.x * a.y * a.z) \
        return; \
    int n = i / (a.x * a.y * a.z), v = i % (a.x * a.y * a.z); \
    int at = (a.s0 + n * a.sn + v / a.z / a.y * a.sp + v / a.z % a.y * a.sr) / 4 + v % a.z * 4;
#define INVERSE_LENGTH(s) if (s > a.eps * a.eps) s = 1.0 / sqrt(s); else s = a.inv;

#ifdef ENTRY_proto_dots
BUF_R4(0, f)
BUF_R4(1, q)
BUF_X(2, r)
BUF_X(3, dst)
ARGS(a_proto)
void main()
{
    VOXEL()
    bool first = HAS(PF_FIRST), keep = !first || HAS(PF_ACCUM), last = HAS(PF_LAST), norm = HAS(PF_NORM);
    int fa = OFF4(0) + at, qa = OFF4(1) + (a.q0 + n * a.qn) / 4, sb = a.sb / 4, qk = a.qk / 4;
    int ra = OFF(2) + n * a.mn, oa = OFF(3) + n * a.pn + v;
    float acc[16], ss = 0.0, mul = 1.0;
    for (int k = 0; k < 16; k++)
        acc[k] = 0.0;
    for (int b = 0; b < a.nb; b++, fa += sb, qa += 4) {
        vec4 u0 = f[fa], u1 = f[fa + 1], u2 = f[fa + 2], u3 = f[fa + 3];
        ss += dot(u0, u0) + dot(u1, u1) + dot(u2, u2) + dot(u3, u3);
        for (int k = 0; k < 16; k++)
            if (k < a.k) {
                int p = qa + k * qk;
                acc[k] += dot(u0, q[p]) + dot(u1, q[p + 1]) + dot(u2, q[p + 2]) + dot(u3, q[p + 3]);
            }
    }
    if (norm) {
        if (!first)
            ss += r[ra + v];
        if (last) {
            INVERSE_LENGTH(ss)
            mul = a.scale * ss;
        }
        r[ra + v] = ss;
    }
    for (int k = 0; k < 16; k++)
        if (k < a.k) {
            float s = acc[k];
            if (keep)
                s += dst[oa + k * a.pc];
            if (!norm && first)
                s += r[ra + k];
            dst[oa + k * a.pc] = s * mul;
        }
}
#endif

#ifdef ENTRY_proto_cosmax
BUF_R4(0, f)
BUF_R4(1, q)
BUF_W(2, r)
BUF_W(3, dst)
BUF_WI(4, win)
ARGS(a_proto)
void main()
{
    VOXEL()
    int fa = OFF4(0) + at, qa = OFF4(1) + (a.q0 + n * a.qn) / 4, sb = a.sb / 4, qk = a.qk / 4;
    vec4 u0 = f[fa], u1 = f[fa + 1], u2 = f[fa + 2], u3 = f[fa + 3];
    float s = dot(u0, u0) + dot(u1, u1) + dot(u2, u2) + dot(u3, u3);
    for (int b = 1; b < a.nb; b++)
        for (int h = 0; h < 4; h++)
            s += dot(f[fa + b * sb + h], f[fa + b * sb + h]);
    INVERSE_LENGTH(s)
    r[OFF(2) + n * a.mn + v] = s;
    for (int c = 0; c < a.k; c++) {
        float best = 0.0;
        int at_best = 0;
        for (int j = 0; j < a.kk; j++) {
            int p = qa + (c * a.kk + j) * qk;
            float d = dot(u0, q[p]) + dot(u1, q[p + 1]) + dot(u2, q[p + 2]) + dot(u3, q[p + 3]);
            for (int b = 1; b < a.nb; b++) {
                int fb = fa + b * sb, pb = p + b * 4;
                d += dot(f[fb], q[pb]) + dot(f[fb + 1], q[pb + 1]) + dot(f[fb + 2], q[pb + 2]) +
                     dot(f[fb + 3], q[pb + 3]);
            }
            if (j == 0 || d > best) {
                best = d;
                at_best = j;
            }
        }
        dst[OFF(3) + n * a.pn + c * a.pc + v] = a.scale * s * best;
        win[OFF(4) + n * a.pn + c * a.pc + v] = at_best;
    }
}
#endif

#ifdef ENTRY_proto_apply
BUF_R4(0, f)
BUF_R(1, w)
BUF_R(2, y)
BUF_R(3, r)
BUF_RI(4, sel)
BUF_R4(5, q)
BUF_X4(6, dst)
ARGS(a_proto)
void main()
{
    VOXEL()
    bool feature = HAS(PF_FEATURE), select = HAS(PF_SELECT), add = HAS(PF_ACCUM);
    int wa = OFF(1) + n * a.pn + v, sa = OFF(4) + n * a.pn + v, qa = OFF4(5) + (a.q0 + n * a.qn) / 4;
    int sb = a.sb / 4, qk = a.qk / 4;
    float alpha = 0.0, mul = 1.0;
    if (HAS(PF_COSINE)) {
        float rv = r[OFF(3) + n * a.mn + v];
        int ya = OFF(2) + n * a.pn + v;
        for (int k = 0; k < a.k; k++)
            alpha += w[wa + k * a.pc] * y[ya + k * a.pc];
        alpha = rv < a.inv ? -alpha * rv * rv : 0.0;
        mul = rv < a.inv ? a.scale * rv : 0.0;
    } else if (HAS(PF_MAP)) {
        alpha = y[OFF(2) + n * a.mn + v];
    }
    for (int b = 0; b < a.nb; b++) {
        int o = OFF4(6) + at + b * sb, u = OFF4(0) + at + b * sb;
        vec4 s0 = vec4(0), s1 = s0, s2 = s0, s3 = s0;
        if (add) {
            s0 = dst[o]; s1 = dst[o + 1]; s2 = dst[o + 2]; s3 = dst[o + 3];
        }
        if (feature) {
            s0 += alpha * f[u]; s1 += alpha * f[u + 1]; s2 += alpha * f[u + 2]; s3 += alpha * f[u + 3];
        }
        for (int k = 0; k < a.k; k++) {
            int row = 0;
            if (select)
                row = sel[sa + k * a.pc];
            if (!select || (row >= 0 && row < a.kk)) {
                int p = qa + (select ? k * a.kk + row : k) * qk + b * 4;
                float wk = mul * w[wa + k * a.pc];
                s0 += wk * q[p]; s1 += wk * q[p + 1]; s2 += wk * q[p + 2]; s3 += wk * q[p + 3];
            }
        }
        dst[o] = s0; dst[o + 1] = s1; dst[o + 2] = s2; dst[o + 3] = s3;
    }
}
#endif

#ifdef ENTRY_proto_pool
BUF_R(0, f)
BUF_R(1, w)
BUF_R(2, r)
BUF_RI(3, sel)
BUF_W(4, part)
ARGS(a_pool)
shared float sums[64];
void main()
{
    int g = GROUP(), l = LOCAL(), j = g % a.parts, x = g / a.parts % a.x, n = g / a.parts / a.x;
    if (g >= a.n * a.x * a.parts)
        return;
    bool select = HAS(PF_SELECT), norm = HAS(PF_NORM);
    int y0 = j * a.rows, count = (min(y0 + a.rows, a.y) - y0) * a.z;
    int v0 = (x * a.y + y0) * a.z, at = OFF(0) + a.s0 + n * a.sn + x * a.sp + y0 * a.sr + l % 16;
    float sum[4], total[4];
    int ch[4], is[4];
    for (int k = 0; k < 4; k++) {
        int row = a.j0 + min(k, a.k - 1);
        sum[k] = 0.0;
        total[k] = 0.0;
        ch[k] = n * a.pn + row * a.pc + v0;
        is[k] = 0;
        if (select) {
            ch[k] = n * a.pn + row / a.kk * a.pc + v0;
            is[k] = row % a.kk;
        }
    }
    for (int v = l / 16; v < count; v += 4) {
        float u = f[at + v / a.z * a.sr + v % a.z * 16], mul = 1.0;
        if (norm)
            mul = r[OFF(2) + n * a.mn + v0 + v];
        for (int k = 0; k < 4; k++) {
            float wk = mul * w[OFF(1) + ch[k] + v];
            if (select) {
                if (sel[OFF(3) + ch[k] + v] != is[k])
                    wk = 0.0;
            }
            sum[k] += wk * u;
            total[k] += wk;
        }
    }
    int pa = OFF(4) + g * (a.k + 1) * 16;
    for (int h = 0; h < 8; h++) {
        sums[l] = h < 4 ? sum[h % 4] : total[h % 4];
        barrier();
        if (l < 16 && h % 4 < a.k) {
            float s = sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
            if (h < 4)
                part[pa + h * 16 + l] = s;
            else if (l == 0)
                part[pa + a.k * 16 + h % 4] = s;
        }
        barrier();
    }
}
#endif

#ifdef ENTRY_proto_assign
BUF_R(0, f)
BUF_RI(1, idx)
BUF_W(2, part)
ARGS(a_pool)
shared float sums[4 * 16 * 17];     // voxel phase, row, channels and count
void main()
{
    int g = GROUP(), l = LOCAL(), j = g % a.parts, x = g / a.parts % a.x, n = g / a.parts / a.x;
    if (g >= a.n * a.x * a.parts)
        return;
    int y0 = j * a.rows, count = (min(y0 + a.rows, a.y) - y0) * a.z, h = l / 16, c = l % 16;
    int v0 = (x * a.y + y0) * a.z, at = OFF(0) + a.s0 + n * a.sn + x * a.sp + y0 * a.sr + c;
    for (int k = 0; k < a.k; k++) {
        sums[(h * 16 + k) * 17 + c] = 0.0;
        if (c == 0)
            sums[(h * 16 + k) * 17 + 16] = 0.0;
    }
    for (int v = h; v < count; v += 4) {
        int k = idx[OFF(1) + n * a.mn + v0 + v] - a.j0;
        if (k >= 0 && k < a.k) {
            sums[(h * 16 + k) * 17 + c] += f[at + v / a.z * a.sr + v % a.z * 16];
            if (c == 0)
                sums[(h * 16 + k) * 17 + 16] += 1.0;
        }
    }
    barrier();
    int pa = OFF(2) + g * (a.k + 1) * 16;
    for (int i = l; i < a.k * 17; i += 64) {
        int k = i / 17, e = i % 17;
        part[pa + (e < 16 ? k * 16 + e : a.k * 16 + k)] =
            sums[i] + sums[i + 16 * 17] + sums[i + 32 * 17] + sums[i + 48 * 17];
    }
}
#endif

#ifdef ENTRY_proto_l2
BUF_R4(0, f)
BUF_W(1, r)
BUF_W4(2, dst)
ARGS(a_proto)
void main()
{
    VOXEL()
    int fa = OFF4(0) + at, oa = OFF4(2) + at, sb = a.sb / 4;
    float s = 0.0;
    for (int b = 0; b < a.nb; b++)
        for (int h = 0; h < 4; h++)
            s += dot(f[fa + b * sb + h], f[fa + b * sb + h]);
    INVERSE_LENGTH(s)
    r[OFF(1) + n * a.mn + v] = s;
    for (int b = 0; b < a.nb; b++)
        for (int h = 0; h < 4; h++)
            dst[oa + b * sb + h] = s * f[fa + b * sb + h];
}
#endif

#ifdef ENTRY_proto_l2_bwd
BUF_R4(0, f)
BUF_R4(1, g)
BUF_R(2, r)
BUF_X(3, s)
BUF_X4(4, df)
ARGS(a_proto)
void main()
{
    VOXEL()
    int fa = OFF4(0) + at, ga = OFF4(1) + at, sa = OFF(3) + n * a.mn + v, da = OFF4(4) + at, sb = a.sb / 4;
    float fg = 0.0;
    if (!HAS(PF_FIRST))
        fg = s[sa];
    if (HAS(PF_SUM)) {
        for (int b = 0; b < a.nb; b++)
            for (int h = 0; h < 4; h++)
                fg += dot(f[fa + b * sb + h], g[ga + b * sb + h]);
        s[sa] = fg;
    }
    if (!HAS(PF_APPLY))
        return;
    float rv = r[OFF(2) + n * a.mn + v];
    rv = rv < a.inv ? rv : 0.0;
    float k = -rv * rv * rv * fg;
    for (int b = 0; b < a.nb; b++)
        for (int h = 0; h < 4; h++) {
            vec4 u = rv * g[ga + b * sb + h] + k * f[fa + b * sb + h];
            if (HAS(PF_ACCUM))
                u += df[da + b * sb + h];
            df[da + b * sb + h] = u;
        }
}
#endif

#ifdef ENTRY_proto_dist
BUF_R4(0, f)
BUF_R4(1, q)
BUF_RI(2, idx)
BUF_X(3, r)
BUF_X(4, dd)
BUF_X(5, tt)
ARGS(a_proto)
void main()
{
    VOXEL()
    int fa = OFF4(0) + at, m = n * a.mn + v, row = idx[OFF(2) + m], sb = a.sb / 4;
    float mul = 1.0;
    if (HAS(PF_SUM)) {
        float s = 0.0;
        for (int b = 0; b < a.nb; b++)
            for (int h = 0; h < 4; h++)
                s += dot(f[fa + b * sb + h], f[fa + b * sb + h]);
        INVERSE_LENGTH(s)
        mul = s;
        r[OFF(3) + m] = mul;
    } else if (HAS(PF_NORM)) {
        mul = r[OFF(3) + m];
    }
    float d = 0.0, t = 0.0;
    if (row >= 0 && row < a.kk) {
        int qa = OFF4(1) + (a.q0 + n * a.qn + row * a.qk) / 4;
        for (int b = 0; b < a.nb; b++)
            for (int h = 0; h < 4; h++) {
                vec4 u = mul * f[fa + b * sb + h], e = u - q[qa + b * 4 + h];
                d += dot(e, e);
                t += dot(u, e);
            }
    }
    if (!HAS(PF_FIRST)) {
        d += dd[OFF(4) + m];
        t += tt[OFF(5) + m];
    }
    if (HAS(PF_LAST))
        d = sqrt(d);
    dd[OFF(4) + m] = d;
    tt[OFF(5) + m] = t;
}
#endif
