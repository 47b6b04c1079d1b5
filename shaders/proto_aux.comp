// SPDX-License-Identifier: Apache-2.0
// Prototypes, the small side; formulas, buffers and work-items as in kernels_cl/proto_aux.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/group.glsl"
#include "ops/args/proto.h"

WG64

#if defined(ENTRY_proto_dist_part) || defined(ENTRY_proto_dist2)
GROUP_FOLD(group_sum, float, JOIN_ADD, 1, group_tmp, group_out)
#else
shared float t[64], u[64];
#endif

#ifdef ENTRY_proto_maxof
BUF_R(0, cosines)
BUF_W(1, dst)
BUF_WI(2, win)
ARGS(a_proto)
void main()
{
    int i = GROUP() * 64 + LOCAL(), voxels = a.x * a.y * a.z;
    if (i >= a.n * voxels)
        return;
    int n = i / voxels, v = i % voxels;
    for (int c = 0; c < a.k; c++) {
        int s = OFF(0) + n * a.pn + c * a.kk * a.pc + v;
        float best = cosines[s];
        int at_best = 0;
        for (int j = 1; j < a.kk; j++) {
            float d = cosines[s + j * a.pc];
            if (d > best) {
                best = d;
                at_best = j;
            }
        }
        dst[OFF(1) + n * a.mn + c * a.pc + v] = best;
        win[OFF(2) + n * a.mn + c * a.pc + v] = at_best;
    }
}
#endif

#ifdef ENTRY_proto_total
BUF_R(0, part)
BUF_W(1, wsum)
BUF_W(2, dst)
ARGS(a_total)
void main()
{
    int g = GROUP(), l = LOCAL(), k = g % a.k, set_ = g / a.k;
    if (g >= a.sets * a.k)
        return;
    float s = 0.0, w = 0.0;
    for (int i = l / 16; i < a.parts; i += 4) {
        int p = OFF(0) + (set_ * a.parts + i) * (a.k + 1) * 16;
        s += part[p + k * 16 + l % 16];
        w += part[p + a.k * 16 + k];
    }
    t[l] = s;
    u[l] = w;
    barrier();
    if (l >= 16)
        return;
    s = t[l] + t[l + 16] + t[l + 32] + t[l + 48];
    w = u[l] + u[l + 16] + u[l + 32] + u[l + 48];
    if (a.mean != 0)
        s = w > 0.0 ? s / (w + a.eps) : 0.0;
    if (l < a.lanes)
        dst[OFF(2) + set_ * a.on + k * a.ok + a.o0 + l] = s;
    if (l == 0 && a.has_w != 0)
        wsum[OFF(1) + set_ * a.wn + a.w0 + k] = w;
}
#endif

#ifdef ENTRY_proto_pack
BUF_R(0, p)
BUF_R(1, m)
BUF_R(2, wsum)
BUF_W(3, q)
BUF_W(4, c)
ARGS(a_rows)
void main()
{
    int row = GROUP(), l = LOCAL();
    if (row >= a.rows)
        return;
    int pa = OFF(0) + row * a.d, qa = OFF(3) + row * a.nb * 16;
    float s = 1.0, sum = 0.0;
    if (a.mode == PR_MEAN) {
        float w = wsum[OFF(2) + row];
        s = w > 0.0 ? 1.0 / (w + a.eps) : 0.0;
        for (int i = 0; i < a.d; i++)
            sum -= s * p[pa + i] * m[OFF(1) + row * a.d + i];
    } else if (a.mode == PR_UNIT) {
        for (int i = 0; i < a.d; i++)
            sum += p[pa + i] * p[pa + i];
        sum = sum > a.eps * a.eps ? 1.0 / sqrt(sum) : a.inv;
        s = sum;
    }
    for (int i = l; i < a.nb * 16; i += 64) {
        float v = 0.0;
        if (i < a.d)
            v = s * p[pa + i];
        q[qa + i] = v;
    }
    if (l == 0)
        c[OFF(4) + row] = sum;
}
#endif

#ifdef ENTRY_proto_dcos
BUF_R(0, h)
BUF_R(1, p)
BUF_R(2, c)
BUF_X(3, dp)
ARGS(a_rows)
void main()
{
    int row = GROUP(), l = LOCAL();
    if (row >= a.rows)
        return;
    int ha = OFF(0) + row * a.d, pa = OFF(1) + row * a.d, da = OFF(3) + row * a.d;
    float s = c[OFF(2) + row], mul = s < a.inv ? a.scale * s : 0.0, sum = 0.0;
    for (int i = 0; i < a.d; i++)
        sum += s * p[pa + i] * h[ha + i];
    for (int i = l; i < a.d; i += 64) {
        float v = 0.0;
        if (mul > 0.0)
            v = mul * (h[ha + i] - sum * s * p[pa + i]);
        if (a.accum != 0)
            v += dp[da + i];
        dp[da + i] = v;
    }
}
#endif

#ifdef ENTRY_proto_dist_part
BUF_R(0, dd)
BUF_RI(1, idx)
BUF_W(2, part)
ARGS(a_dist)
void main()
{
    int i = GROUP(), l = LOCAL(), j = i % a.j, g = i / a.j;
    int h = g % a.parts, x = g / a.parts % a.x, n = g / a.parts / a.x;
    if (g >= a.n * a.x * a.parts)
        return;
    int at = n * a.mn + x * a.plane + h * a.run, count = min(a.run, a.plane - h * a.run);
    float sum = 0.0, num = 0.0;
    for (int v = l; v < count; v += 64)
        if (idx[OFF(1) + at + v] == j) {
            sum += dd[OFF(0) + at + v];
            num += 1.0;
        }
    sum = group_sum(sum);
    num = group_sum(num);
    if (l == 0) {
        part[OFF(2) + i * 2] = sum;
        part[OFF(2) + i * 2 + 1] = num;
    }
}
#endif

#ifdef ENTRY_proto_dist_total
BUF_R(0, part)
BUF_W(1, dst)
BUF_W(2, coef)
ARGS(a_dist)
void main()
{
    int l = LOCAL();
    float s = 0.0, c = 0.0;
    if (l < a.j)
        for (int i = 0; i < a.n; i++) {
            s += part[OFF(0) + (i * a.j + l) * 2];
            c += part[OFF(0) + (i * a.j + l) * 2 + 1];
        }
    t[l] = s;
    u[l] = c;
    barrier();
    if (GROUP() > 0)
        return;
    float value = 0.0, all_ = 0.0;
    for (int j = 0; j < a.j; j++) {
        all_ += u[j];
        if (a.per == 0)
            value += t[j];
        else if (u[j] > 0.0)
            value += t[j] / u[j];
    }
    float num = a.per != 0 ? c : all_;
    if (l < a.j)
        coef[OFF(2) + l] = num > 0.0 ? 1.0 / num : 0.0;
    if (l == 0) {
        if (a.per == 0)
            value = all_ > 0.0 ? value / all_ : 0.0;
        dst[OFF(1)] = value;
    }
}
#endif

#ifdef ENTRY_proto_dist_coef
BUF_R(0, dd)
BUF_R(1, tt)
BUF_R(2, r)
BUF_RI(3, idx)
BUF_R(4, coef)
BUF_R(5, dl)
BUF_W(6, alpha)
BUF_W(7, beta)
ARGS(a_dist)
void main()
{
    int i = GROUP() * 64 + LOCAL(), voxels = a.x * a.plane;
    if (i >= a.n * voxels)
        return;
    int v = i / voxels * a.mn + i % voxels, j = idx[OFF(3) + v];
    float d = dd[OFF(0) + v], al = 0.0, be = 0.0;
    if (j >= 0 && j < a.j && d > 0.0) {
        float w = dl[OFF(5)] * coef[OFF(4) + j] / d;
        al = w;
        be = -w;
        if (a.norm != 0) {
            float rv = r[OFF(2) + v];
            al = rv < a.inv ? rv * rv * w * (1.0 - tt[OFF(1) + v]) : 0.0;
            be = rv < a.inv ? -rv * w : 0.0;
        }
    }
    alpha[OFF(6) + v] = al;
    beta[OFF(7) + v] = be;
}
#endif

#ifdef ENTRY_proto_dist2
BUF_R(0, p)
BUF_R(1, q)
BUF_R(2, wp)
BUF_R(3, wq)
BUF_W(4, dst)
BUF_W(5, valid)
ARGS(a_flat)
void main()
{
    int l = LOCAL();
    if (GROUP() > 0)
        return;
    float s = 0.0, bad = 0.0;
    for (int i = l; i < a.count; i += 64) {
        float d = p[OFF(0) + i] - q[OFF(1) + i];
        s += d * d;
    }
    for (int i = l; i < a.np; i += 64)
        bad += wp[OFF(2) + i] > 0.0 ? 0.0 : 1.0;
    for (int i = l; i < a.nq; i += 64)
        bad += wq[OFF(3) + i] > 0.0 ? 0.0 : 1.0;
    s = group_sum(s);
    bad = group_sum(bad);
    if (l == 0) {
        dst[OFF(4)] = bad == 0.0 ? a.g * s : 0.0;
        valid[OFF(5)] = bad == 0.0 ? 1.0 : 0.0;
    }
}
#endif

#ifdef ENTRY_proto_dist2_bwd
BUF_R(0, p)
BUF_R(1, q)
BUF_R(2, dl)
BUF_R(3, valid)
BUF_X(4, dp)
ARGS(a_flat)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    if (i >= a.count)
        return;
    float mul = valid[OFF(3)] > 0.0 ? 2.0 * a.g * dl[OFF(2)] : 0.0, v = 0.0;
    if (mul != 0.0)
        v = mul * (p[OFF(0) + i] - q[OFF(1) + i]);
    if (a.accum != 0)
        v += dp[OFF(4) + i];
    dp[OFF(4) + i] = v;
}
#endif

#ifdef ENTRY_proto_lin
BUF_R(0, p)
BUF_R(1, q)
BUF_X(2, dst)
ARGS(a_flat)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    if (i >= a.count)
        return;
    float v = a.g * p[OFF(0) + i % a.sets];
    if (a.h != 0.0)
        v += a.h * q[OFF(1) + i];
    if (a.accum != 0)
        v += dst[OFF(2) + i];
    dst[OFF(2) + i] = v;
}
#endif

#ifdef ENTRY_proto_mean
BUF_R(0, p)
BUF_W(1, dst)
ARGS(a_flat)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    if (i >= a.count)
        return;
    float s = 0.0;
    for (int j = 0; j < a.sets; j++)
        s += p[OFF(0) + j * a.count + i];
    dst[OFF(1) + i] = a.g * s;
}
#endif

#ifdef ENTRY_proto_ema
BUF_R(0, sums)
BUF_R(1, counts)
BUF_X(2, p)
ARGS(a_flat)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    if (i >= a.count)
        return;
    float c = counts[OFF(1) + i / a.sets];
    if (c > 0.0)
        p[OFF(2) + i] = a.g * p[OFF(2) + i] + a.h * (sums[OFF(0) + i] / c);
}
#endif
