// SPDX-License-Identifier: Apache-2.0
// What convolutions need besides; formulas, shapes and work-items as in kernels_cl/conv_aux.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/group.glsl"
#include "ops/args/conv.h"

#if defined(ENTRY_conv_wsum) || defined(ENTRY_chan_join)
WG256
#else
WG64
#endif

#ifdef ENTRY_conv_pack
BUF_R(0, w)
BUF_R(1, bias)
BUF_W(2, dst)
ARGS(a_pack)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    int kbs = (a.nout + 15) / 16, cbs = (a.nin + 15) / 16, lead = a.bare != 0 ? 0 : 16;
    int wb = lead + cbs * a.taps * 256;
    if (i >= kbs * wb)
        return;
    int j = i % wb - lead, k = i / wb * 16 + i % 16;
    float v = 0.0;
    if (j < 0) {
        if (a.has_bias != 0 && k < a.nout)
            v = bias[OFF(1) + k];
    } else {
        int c = j / (a.taps * 256) * 16 + j / 16 % 16, tap = j / 256 % a.taps;
        if (k < a.nout && c < a.nin)
            v = w[OFF(0) + k * a.so + c * a.si + (a.flip != 0 ? a.taps - 1 - tap : tap)];
    }
    dst[OFF(2) + i] = v;
}
#endif

#ifdef ENTRY_conv_wsum
BUF_R4(0, part)
BUF_X(1, dw)
ARGS(a_wsum)
shared vec4 sums[256];

void main()
{
    int l = LOCAL(), group = GROUP(), tap = group % a.taps, bb = group / a.taps % a.bb, vb = group / a.taps / a.bb;
    int step = a.vb * a.bb * a.taps * 64;
    vec4 sum = vec4(0);
    if (group < a.vb * a.bb * a.taps)
        for (int s = l / 64; s < a.slabs; s += 4)
            sum += part[OFF4(0) + s * step + group * 64 + l % 64];
    sums[l] = sum;
    barrier();
    int b = bb * 16 + l / 4, v = vb * 16 + l % 4 * 4;
    if (l >= 64 || b >= a.nb || group >= a.vb * a.bb * a.taps)
        return;
    sum = (sums[l] + sums[l + 64]) + (sums[l + 128] + sums[l + 192]);
    int d = OFF(1) + (v * a.row + a.b0 + b) * a.taps + tap, next = a.row * a.taps;
    for (int i = 0; i < 4; i++)
        if (v + i < a.nv)
            dw[d + i * next] = a.accum != 0 ? dw[d + i * next] + sum[i] : sum[i];
}
#endif

#ifdef ENTRY_chan_sum
BUF_R(0, src)
BUF_W(1, part)
ARGS(a_chan)
shared float sums[64];
void main()
{
    int p = GROUP(), l = LOCAL();
    int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz;
    float sum = 0.0;
    if (p < a.planes) {
        int s = OFF(0) + (((p / a.x) * xp + p % a.x + a.bx) * yp + a.by) * zp * 16 + a.bz * 16;
        for (int v = l / 16; v < a.y * a.z; v += 4)
            sum += src[s + (v / a.z * zp + v % a.z) * 16 + l % 16];
    }
    sums[l] = sum;
    barrier();
    if (l < 16 && p < a.planes)
        part[OFF(1) + p * 16 + l] = sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
}
#endif

#ifdef ENTRY_chan_total
BUF_R(0, part)
BUF_X(1, dst)
ARGS(a_chan)
void main()
{
    int c = GROUP() * 64 + LOCAL();
    if (c >= a.c)
        return;
    float sum = 0.0;
    int n = a.planes / (a.nblk * a.x);
    for (int i = 0; i < n; i++) {
        int p = OFF(0) + ((i * a.nblk + c / 16) * a.x) * 16 + c % 16;
        for (int x = 0; x < a.x; x++)
            sum += part[p + x * 16];
    }
    int d = OFF(1) + c;
    dst[d] = a.accum != 0 ? dst[d] + sum : sum;
}
#endif

#ifdef ENTRY_chan_join
BUF_R4(0, part)
BUF_X(1, dst)
ARGS(a_chan)
shared vec4 sums[256];
void main()
{
    int b = int(gl_WorkGroupID.x), l = LOCAL(), num = a.planes / a.nblk, p = OFF4(0) + l % 4;
    vec4 s = vec4(0);
    for (int i = l / 4; i < num; i += 64)
        s += part[p + ((i / a.x * a.nblk + b) * a.x + i % a.x) * 4];
    sums[l] = s;
    for (int h = 128; h >= 4; h /= 2) {
        barrier();
        if (l < h)
            sums[l] += sums[l + h];
    }
    barrier();
    if (l < 16 && b * 16 + l < a.c) {
        int d = OFF(1) + b * 16 + l;
        float sum = sums[l / 4][l % 4];
        dst[d] = a.accum != 0 ? dst[d] + sum : sum;
    }
}
#endif

#ifdef ENTRY_pad_plain
BUF_R(0, src)
BUF_W(1, dst)
ARGS(a_pad)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz;
    if (i >= a.planes * xp * yp * zp)
        return;
    int z = i % zp - a.bz, y = i / zp % yp - a.by, x = i / zp / yp % xp - a.bx, p = i / zp / yp / xp;
    float v = 0.0;
    if (z >= 0 && z < a.z && y >= 0 && y < a.y && x >= 0 && x < a.x)
        v = src[OFF(0) + ((p * a.x + x) * a.y + y) * a.z + z];
    dst[OFF(1) + i] = v;
}
#endif

#ifdef ENTRY_stem_fwd
shared vec4 values[256];
GROUP_FOLD(quads, vec4, JOIN_ADD, 4, sums, quad_sums)
BUF_R(0, src)
BUF_R4(1, wt)
BUF_W4(2, dst)
BUF_W4(3, stats)
ARGS(a_stem)
void main()
{
    int l = LOCAL(), v0 = GROUP() * 64, voxels = a.x * a.y * a.z, v = min(v0 + l, voxels - 1);
    int kb = int(gl_WorkGroupID.z) % a.kb, n = int(gl_WorkGroupID.z) / a.kb;
    int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y, taps = a.kx * a.k * a.k;
    int s = OFF(0) + a.so + n * a.sn + x * a.sp + y * a.sr + z;
    int d = OFF4(2) + (a.dst0 + n * a.dn + kb * a.db + x * a.dp + y * a.dr) / 4 + z * 4;
    int w = OFF4(1) + kb * a.ci * taps * 4;
    vec4 acc0 = vec4(0), acc1 = acc0, acc2 = acc0, acc3 = acc0;
    if (a.bias >= 0) {
        int b = OFF4(1) + a.bias / 4 + kb * 4;
        acc0 = wt[b]; acc1 = wt[b + 1]; acc2 = wt[b + 2]; acc3 = wt[b + 3];
    }
    for (int c = 0; c < a.ci; c++)
        for (int kx = 0; kx < a.kx; kx++)
            for (int ky = 0; ky < a.k; ky++)
                for (int kz = 0; kz < a.k; kz++, w += 4) {
                    float u = src[s + c * a.sc + kx * a.sp + ky * a.sr + kz];
                    acc0 += u * wt[w]; acc1 += u * wt[w + 1]; acc2 += u * wt[w + 2]; acc3 += u * wt[w + 3];
                }
    if (v0 + l < voxels) {
        dst[d] = acc0; dst[d + 1] = acc1; dst[d + 2] = acc2; dst[d + 3] = acc3;
    }
    if (a.stats == 0)
        return;
    values[l * 4] = acc0; values[l * 4 + 1] = acc1; values[l * 4 + 2] = acc2; values[l * 4 + 3] = acc3;
    barrier();
    int here = min(64, voxels - v0), units = (voxels + 63) / 64;
    vec4 first = values[l % 4], ss = vec4(0), sq = ss;
    for (int i = l / 4; i < here; i += 16) {
        vec4 f = values[i * 4 + l % 4] - first;
        ss += f;
        sq += f * f;
    }
    ss = quads(ss);
    sq = quads(sq);
    if (l < 4 && here > 0) {
        vec4 mean = ss / float(here);
        int to = OFF4(3) + ((n * a.kb + kb) * units + GROUP()) * 8 + l;
        stats[to] = first + mean;
        stats[to + 4] = max(sq - ss * mean, vec4(0));
    }
}
#endif

#ifdef ENTRY_stem_wgrad
BUF_R(0, src)
BUF_R(1, dy)
BUF_W(2, part)
ARGS(a_stem)
shared float sums[64];
void main()
{
    int s = int(gl_WorkGroupID.z) / a.kb, kb = int(gl_WorkGroupID.z) % a.kb, g = GROUP(), l = LOCAL();
    int kz = g % a.k, ky = g / a.k % a.k, kx = g / a.k / a.k % a.kx, c = g / a.k / a.k / a.kx;
    if (c >= a.ci)
        return;
    int taps = a.kx * a.k * a.k, p1 = min((s + 1) * a.slab, a.planes);
    float acc = 0.0;
    for (int p = s * a.slab; p < p1; p++) {
        int n = p / a.x, x = p % a.x;
        for (int y = l / 16; y < a.y; y += 4) {
            int xr = OFF(0) + a.so + n * a.sn + c * a.sc + (x + kx) * a.sp + (y + ky) * a.sr + kz;
            int gr = OFF(1) + a.dst0 + n * a.dn + kb * a.db + x * a.dp + y * a.dr + l % 16;
            for (int z = 0; z < a.z; z++)
                acc += src[xr + z] * dy[gr + z * 16];
        }
    }
    sums[l] = acc;
    barrier();
    if (l < 16)
        part[OFF(2) + ((s * a.kb + kb) * a.ci * taps + g) * 16 + l] =
            sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
}
#endif

#ifdef ENTRY_stem_pack
BUF_R(0, w)
BUF_R(1, bias)
BUF_W(2, dst)
ARGS(a_pack)
void main()
{
    int i = GROUP() * 64 + LOCAL(), inner = a.nin * a.taps;
    int all = (a.nout + 15) / 16 * inner * 16;
    if (i < all) {
        int k = i / (inner * 16) * 16 + i % 16, t = i / 16 % inner;
        float v = 0.0;
        if (k < a.nout)
            v = w[OFF(0) + k * inner + t];
        dst[OFF(2) + i] = v;
    } else if (i < all + (a.nout + 15) / 16 * 16) {
        float v = 0.0;
        if (a.has_bias != 0 && i - all < a.nout)
            v = bias[OFF(1) + i - all];
        dst[OFF(2) + i] = v;
    }
}
#endif

#ifdef ENTRY_stem_wsum
BUF_R(0, part)
BUF_X(1, dw)
ARGS(a_wsum)
void main()
{
    int i = GROUP() * 64 + LOCAL(), inner = a.nb * a.taps;
    if (i >= a.nv * inner)
        return;
    int k = i / inner, t = i % inner;
    float sum = 0.0;
    for (int s = 0; s < a.slabs; s++)
        sum += part[OFF(0) + ((s * a.vb + k / 16) * inner + t) * 16 + k % 16];
    int d = OFF(1) + i;
    dw[d] = a.accum != 0 ? dw[d] + sum : sum;
}
#endif

#ifdef ENTRY_head_fwd
BUF_R(0, src)
BUF_R(1, w)
BUF_R(2, bias)
BUF_X(3, dst)
ARGS(a_head)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    if (i >= a.n * a.x * a.y * a.z)
        return;
    int z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x, n = i / a.z / a.y / a.x;
    int s = OFF(0) + a.s0 + n * a.sn + x * a.sp + y * a.sr + z * 16;
    int d = OFF(3) + n * a.dn + (x * a.y + y) * a.z + z;
    for (int k = 0; k < a.co; k++) {
        int wk = OFF(1) + k * a.row + a.c0;
        float sum = 0.0;
        if (a.accum != 0)
            sum = dst[d + k * a.dc];
        else if (a.has_bias != 0)
            sum = bias[OFF(2) + k];
        for (int c = 0; c < a.ci; c++)
            sum += w[wk + c] * src[s + c / 16 * a.sb + c % 16];
        dst[d + k * a.dc] = sum;
    }
}
#endif

#ifdef ENTRY_head_dgrad
BUF_R(0, dy)
BUF_R(1, w)
BUF_X(2, dx)
ARGS(a_head)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    if (i >= a.n * a.x * a.y * a.z)
        return;
    int z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x, n = i / a.z / a.y / a.x;
    int d = OFF(2) + a.s0 + n * a.sn + x * a.sp + y * a.sr + z * 16;
    int g = OFF(0) + n * a.dn + (x * a.y + y) * a.z + z;
    for (int c = 0; c < a.ci; c++) {
        float sum = 0.0;
        for (int k = 0; k < a.co; k++)
            sum += w[OFF(1) + k * a.row + a.c0 + c] * dy[g + k * a.dc];
        int q = d + c / 16 * a.sb + c % 16;
        dx[q] = a.accum != 0 ? dx[q] + sum : sum;
    }
}
#endif

#ifdef ENTRY_head_wgrad
BUF_R(0, src)
BUF_R(1, dy)
BUF_W(2, part)
ARGS(a_head)
void main()
{
    int s = int(gl_WorkGroupID.x), k = int(gl_WorkGroupID.y), p1 = min((s + 1) * a.slab, a.planes);
    for (int c = LOCAL(); c <= a.ci; c += 64) {
        float acc = 0.0;
        for (int p = s * a.slab; p < p1; p++) {
            int n = p / a.x, x = p % a.x;
            for (int y = 0; y < a.y; y++) {
                int sr = OFF(0) + a.s0 + n * a.sn + (c < a.ci ? c / 16 * a.sb + c % 16 : 0) + x * a.sp + y * a.sr;
                int g = OFF(1) + n * a.dn + k * a.dc + (x * a.y + y) * a.z;
                for (int z = 0; z < a.z; z++)
                    acc += (c < a.ci ? src[sr + z * 16] : 1.0) * dy[g + z];
            }
        }
        part[OFF(2) + (s * a.co + k) * (a.ci + 1) + c] = acc;
    }
}
#endif

#ifdef ENTRY_head_wsum
BUF_R(0, part)
BUF_X(1, dst)
ARGS(a_wsum)
void main()
{
    int i = GROUP() * 64 + LOCAL(), inner = a.nb + 1;
    if (i >= (a.taps != 0 ? a.nv : a.nv * a.nb))
        return;
    int at = OFF(0) + (a.taps != 0 ? i * inner + a.nb : i / a.nb * inner + i % a.nb);
    float sum = 0.0;
    for (int s = 0; s < a.slabs; s++)
        sum += part[at + s * a.nv * inner];
    int d = OFF(1) + (a.taps != 0 ? i : i / a.nb * a.row + a.b0 + i % a.nb);
    dst[d] = a.accum != 0 ? dst[d] + sum : sum;
}
#endif
