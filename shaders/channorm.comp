// SPDX-License-Identifier: Apache-2.0
// Layer norm over the channels of BLOCKED voxels; formulas, buffers, work-items as in kernels_cl/channorm.cl (simt).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/channorm.h"

WG64
ARGS(a_cn)

#define HAS(flag) ((a.flags & (flag)) != 0)
#define VOXEL() \
    int i = GROUP() * 64 + LOCAL(); \
    if (i >= a.n * a.x * a.y * a.z) \
        return; \
    int n = i / (a.x * a.y * a.z), v = i % (a.x * a.y * a.z); \
    int at = a.s0 + n * a.sn + v / a.z / a.y * a.sp + v / a.z % a.y * a.sr + v % a.z * 16; \
    int tab = n * a.tn + v * 2;
// All channels of this launch: b, lane.
#define FOR_CHANNELS() \
    for (int b = 0; b < a.nb; b++) \
        for (int lane = 0; lane < min(16, a.c - a.c0 - b * 16); lane++)
#define E (at + b * a.sb + lane)
#define C (a.c0 + b * 16 + lane)

#ifdef ENTRY_cn_stat
BUF_R(0, x)
BUF_X(1, table)
void main()
{
    VOXEL()
    int t = OFF(1) + tab;
    float mean = 0.0;
    if (HAS(CN_MEAN)) {
        float sum = 0.0;
        if (!HAS(CN_FIRST))
            sum = table[t];
        FOR_CHANNELS()
            sum += x[OFF(0) + E];
        mean = HAS(CN_LAST) ? sum / float(a.c) : sum;
        table[t] = mean;
    } else {
        mean = table[t];
    }
    if (HAS(CN_VAR)) {
        float sum = 0.0;
        if (!HAS(CN_FIRST))
            sum = table[t + 1];
        FOR_CHANNELS() {
            float e = x[OFF(0) + E] - mean;
            sum += e * e;
        }
        table[t + 1] = HAS(CN_LAST) ? 1.0 / sqrt(sum / float(a.c) + a.eps) : sum;
    }
}
#endif

#ifdef ENTRY_cn_fwd
BUF_R(0, x)
BUF_R(1, table)
BUF_R(2, gamma)
BUF_R(3, beta)
BUF_W(4, y)
void main()
{
    VOXEL()
    float mean = table[OFF(1) + tab], rstd = table[OFF(1) + tab + 1];
    FOR_CHANNELS()
        y[OFF(4) + E] = (x[OFF(0) + E] - mean) * rstd * gamma[OFF(2) + C] + beta[OFF(3) + C];
}
#endif

#ifdef ENTRY_cn_sum
BUF_R(0, x)
BUF_R(1, dy)
BUF_R(2, table)
BUF_R(3, gamma)
BUF_X(4, sums)
void main()
{
    VOXEL()
    float mean = table[OFF(2) + tab], rstd = table[OFF(2) + tab + 1], s0 = 0.0, s1 = 0.0;
    int t = OFF(4) + tab;
    if (!HAS(CN_FIRST)) {
        s0 = sums[t];
        s1 = sums[t + 1];
    }
    FOR_CHANNELS() {
        float g = dy[OFF(1) + E] * gamma[OFF(3) + C];
        s0 += g;
        s1 += g * (x[OFF(0) + E] - mean) * rstd;
    }
    sums[t] = HAS(CN_LAST) ? s0 / float(a.c) : s0;
    sums[t + 1] = HAS(CN_LAST) ? s1 / float(a.c) : s1;
}
#endif

#ifdef ENTRY_cn_bwd
BUF_R(0, x)
BUF_R(1, dy)
BUF_R(2, table)
BUF_R(3, gamma)
BUF_R(4, sums)
BUF_X(5, dx)
void main()
{
    VOXEL()
    float mean = table[OFF(2) + tab], rstd = table[OFF(2) + tab + 1];
    float s0 = sums[OFF(4) + tab], s1 = sums[OFF(4) + tab + 1];
    FOR_CHANNELS() {
        float hat = (x[OFF(0) + E] - mean) * rstd;
        float d = rstd * (dy[OFF(1) + E] * gamma[OFF(3) + C] - s0 - hat * s1);
        if (HAS(CN_ACCUM))
            d += dx[OFF(5) + E];
        dx[OFF(5) + E] = d;
    }
}
#endif

#ifdef ENTRY_cn_param
BUF_R(0, x)
BUF_R(1, dy)
BUF_R(2, table)
BUF_W(3, part)
shared float sums[64];
void main()
{
    int g = GROUP(), p = g % a.x, b = g / a.x % a.nb, n = g / a.x / a.nb, l = LOCAL();
    float sum = 0.0;
    if (n < a.n) {
        int at = a.s0 + n * a.sn + b * a.sb + p * a.sp + l % 16, t = OFF(2) + n * a.tn + p * a.y * a.z * 2;
        for (int v = l / 16; v < a.y * a.z; v += 4) {
            int e = at + v / a.z * a.sr + v % a.z * 16;
            sum += dy[OFF(1) + e] * ((x[OFF(0) + e] - table[t + v * 2]) * table[t + v * 2 + 1]);
        }
    }
    sums[l] = sum;
    barrier();
    if (l < 16 && n < a.n)
        part[OFF(3) + (a.p0 + n * a.pn + b * a.pb + p) * 16 + l] =
            sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
}
#endif
