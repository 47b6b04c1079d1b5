/* SPDX-License-Identifier: Apache-2.0
 * Layer norm over the channels of BLOCKED voxels. table [n][v][2]: mean and 1 / standard deviation of each voxel,
 * collected block by block. Fat: a work-item walks a row of z; simt: one voxel each. */
#include "common/base.h"
#include "ops/args/channorm.h"

#define HAS(flag) ((a.flags & (flag)) != 0)

#ifdef PV_FAT
#define WGC WG1
#define VOXELS() \
    const int g = GROUP(); \
    if (g >= a.n * a.x * a.y) \
        return; \
    const int n = g / (a.x * a.y), row = g % (a.x * a.y); \
    const long at0 = a.s0 + (long)n * a.sn + (long)(row / a.y) * a.sp + (long)(row % a.y) * a.sr; \
    const long tab0 = (long)n * a.tn + (long)row * a.z * 2; \
    for (int z = 0; z < a.z; z++)
#define AT (at0 + z * 16)
#define TAB (tab0 + z * 2)

typedef float16 LANES;
#define ZERO (float16)(0.0f)
/* x in the channels that exist from `left` on, else 0. */
LANES real(LANES x, int left);
LANES real(LANES x, int left)
{
    if (left >= 16)
        return x;
    const int16 lane = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return select(ZERO, x, lane < (int16)(left));
}
/* Parameters of a block, 0 beyond the last. */
LANES params(GC(float) p, int left);
LANES params(GC(float) p, int left)
{
    if (left >= 16)
        return vload16(0, p);
    float t[16];
    for (int i = 0; i < 16; i++)
        t[i] = i < left ? p[i] : 0.0f;
    return vload16(0, t);
}
#define FOR_LANES(left)
#define LD(p) LD16(p)
#define ST(p, v) ST16(p) = (v)
#define SUM(v) sum16(v)
#else
#define WGC WG64
#define VOXELS() \
    const int i_ = GROUP() * 64 + LOCAL(); \
    if (i_ >= a.n * a.x * a.y * a.z) \
        return; \
    const int n = i_ / (a.x * a.y * a.z), v_ = i_ % (a.x * a.y * a.z); \
    const int AT0 = a.s0 + n * a.sn + v_ / a.z / a.y * a.sp + v_ / a.z % a.y * a.sr + v_ % a.z * 16; \
    const int TAB = n * a.tn + v_ * 2;
#define AT (AT0 + lane)
typedef float LANES;
#define ZERO 0.0f
#define real(x, left) (x)
#define params(p, left) ((p)[lane])
#define FOR_LANES(left) for (int lane = 0; lane < min(16, (left)); lane++)
#define LD(p) (*(p))
#define ST(p, v) (*(p) = (v))
#define SUM(v) (v)
#endif

/* cn_stat: table = means (CN_MEAN), then 1 / sqrt(mean of (x - mean)^2 + eps) (CN_VAR), over this launch's blocks
 * added to what earlier ones left. */
__kernel WGC void cn_stat(GC(float) x, G(float) table, struct a_cn a)
{
    VOXELS() {
        G(float) t = table + a.off[1] + TAB;
        if (HAS(CN_MEAN)) {
            float sum = HAS(CN_FIRST) ? 0.0f : t[0];
            for (int b = 0; b < a.nb; b++)
                FOR_LANES(a.c - a.c0 - b * 16)
                    sum += SUM(LD(x + a.off[0] + AT + b * a.sb));
            t[0] = HAS(CN_LAST) ? sum / a.c : sum;
        }
        if (HAS(CN_VAR)) {
            const float mean = t[0];
            float sum = HAS(CN_FIRST) ? 0.0f : t[1];
            for (int b = 0; b < a.nb; b++)
                FOR_LANES(a.c - a.c0 - b * 16) {
                    const LANES e = real(LD(x + a.off[0] + AT + b * a.sb) - mean, a.c - a.c0 - b * 16);
                    sum += SUM(e * e);
                }
            t[1] = HAS(CN_LAST) ? 1.0f / sqrt(sum / a.c + a.eps) : sum;
        }
    }
}

/* cn_fwd: y = (x - mean) rstd gamma + beta; spare lanes are 0. */
__kernel WGC void cn_fwd(GC(float) x, GC(float) table, GC(float) gamma, GC(float) beta, G(float) y, struct a_cn a)
{
    VOXELS() {
        const float mean = table[a.off[1] + TAB], rstd = table[a.off[1] + TAB + 1];
        for (int b = 0; b < a.nb; b++) {
            const int left = a.c - a.c0 - b * 16;
            FOR_LANES(left) {
                const LANES g_ = params(gamma + a.off[2] + a.c0 + b * 16, left);
                const LANES s = params(beta + a.off[3] + a.c0 + b * 16, left);
                ST(y + a.off[4] + AT + b * a.sb, (LD(x + a.off[0] + AT + b * a.sb) - mean) * rstd * g_ + s);
            }
        }
    }
}

/* cn_sum: of g = dy gamma: sums[0] = mean of g, sums[1] = mean of g hat over the channels, hat = (x - mean) rstd. */
__kernel WGC void cn_sum(GC(float) x, GC(float) dy, GC(float) table, GC(float) gamma, G(float) sums, struct a_cn a)
{
    VOXELS() {
        const float mean = table[a.off[2] + TAB], rstd = table[a.off[2] + TAB + 1];
        G(float) t = sums + a.off[4] + TAB;
        float s0 = HAS(CN_FIRST) ? 0.0f : t[0], s1 = HAS(CN_FIRST) ? 0.0f : t[1];
        for (int b = 0; b < a.nb; b++) {
            const int left = a.c - a.c0 - b * 16;
            FOR_LANES(left) {
                const LANES g_ = LD(dy + a.off[1] + AT + b * a.sb) *
                                 params(gamma + a.off[3] + a.c0 + b * 16, left);
                s0 += SUM(g_);
                s1 += SUM(g_ * (LD(x + a.off[0] + AT + b * a.sb) - mean)) * rstd;
            }
        }
        t[0] = HAS(CN_LAST) ? s0 / a.c : s0;
        t[1] = HAS(CN_LAST) ? s1 / a.c : s1;
    }
}

/* cn_bwd: dx (+)= rstd (dy gamma - sums[0] - hat sums[1]). */
__kernel WGC void cn_bwd(GC(float) x, GC(float) dy, GC(float) table, GC(float) gamma, GC(float) sums, G(float) dx,
                         struct a_cn a)
{
    VOXELS() {
        const float mean = table[a.off[2] + TAB], rstd = table[a.off[2] + TAB + 1];
        const float s0 = sums[a.off[4] + TAB], s1 = sums[a.off[4] + TAB + 1];
        for (int b = 0; b < a.nb; b++) {
            const int left = a.c - a.c0 - b * 16;
            FOR_LANES(left) {
                const LANES hat = (LD(x + a.off[0] + AT + b * a.sb) - mean) * rstd;
                const LANES up = LD(dy + a.off[1] + AT + b * a.sb) * params(gamma + a.off[3] + a.c0 + b * 16, left);
                LANES d = real(rstd * (up - s0 - hat * s1), left);
                if (HAS(CN_ACCUM))
                    d += LD(dx + a.off[5] + AT + b * a.sb);
                ST(dx + a.off[5] + AT + b * a.sb, d);
            }
        }
    }
}

/* cn_param: part[p0 + n * pn + b * pb + x][16] = sum over the plane of dy hat. Groups: n * nb * x. */
#ifdef PV_FAT
__kernel WG1 void cn_param(GC(float) x, GC(float) dy, GC(float) table, G(float) part, struct a_cn a)
{
    const int g = GROUP(), p = g % a.x, b = g / a.x % a.nb, n = g / a.x / a.nb;
    if (n >= a.n)
        return;
    float16 sum = (float16)(0.0f);
    for (int y = 0; y < a.y; y++) {
        const long at = a.s0 + (long)n * a.sn + (long)b * a.sb + (long)p * a.sp + (long)y * a.sr;
        GC(float) t = table + a.off[2] + (long)n * a.tn + (long)(p * a.y + y) * a.z * 2;
        for (int z = 0; z < a.z; z++) {
            const float16 hat = (LD16(x + a.off[0] + at + z * 16) - t[z * 2]) * t[z * 2 + 1];
            sum = fma(LD16(dy + a.off[1] + at + z * 16), hat, sum);
        }
    }
    ST16(part + a.off[3] + (a.p0 + n * a.pn + b * a.pb + p) * 16) = sum;
}
#else
/* 64 work-items: lane l % 16, quarter l / 16 of the plane's voxels. */
__kernel WG64 void cn_param(GC(float) x, GC(float) dy, GC(float) table, G(float) part, struct a_cn a)
{
    __local float sums[64];
    const int g = GROUP(), p = g % a.x, b = g / a.x % a.nb, n = g / a.x / a.nb, l = LOCAL();
    float sum = 0;
    if (n < a.n) {
        const int at = a.s0 + n * a.sn + b * a.sb + p * a.sp + l % 16;
        GC(float) t = table + a.off[2] + n * a.tn + p * a.y * a.z * 2;
        for (int v = l / 16; v < a.y * a.z; v += 4) {
            const int e = at + v / a.z * a.sr + v % a.z * 16;
            sum = fma(dy[a.off[1] + e], (x[a.off[0] + e] - t[v * 2]) * t[v * 2 + 1], sum);
        }
    }
    sums[l] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l < 16 && n < a.n)
        part[a.off[3] + (a.p0 + n * a.pn + b * a.pb + p) * 16 + l] =
            sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
}
#endif
