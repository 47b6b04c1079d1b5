/* SPDX-License-Identifier: Apache-2.0
 * Depthwise 3^3 convolution of BLOCKED maps, whose zero border stands for what lies outside. Weights are packed
 * [block][taps][16]. A unit is one block of one sample. */
#include "common/base.h"
#include "ops/args/depthwise.h"

/* dw_conv: y[v] (+)= sum_tap w[tap] x[v + tap - 1]; flip: w in reverse order (data gradient). */
#ifdef PV_FAT
/* Work-item: a row of z. Groups: units * x * y. */
__kernel WG1 void dw_conv(GC(float) src, GC(float) w, G(float) dst, struct a_dw a)
{
    const int g = GROUP(), y = g % a.y, x = g / a.y % a.x, u = g / a.y / a.x;
    if (u >= a.units)
        return;
    const int taps = a.kx * 9;
    src += a.off[0] + a.s0 + (long)u * a.sb + (long)x * a.sp + (long)y * a.sr;
    dst += a.off[2] + a.d0 + (long)u * a.db + (long)x * a.sp + (long)y * a.sr;
    w += a.off[1] + (long)((a.u0 + u) % a.blocks) * taps * 16;
    for (int z = 0; z < a.z; z++) {
        float16 sum = a.accum ? LD16(dst + z * 16) : (float16)(0.0f);
        for (int r = 0; r < a.kx * 3; r++) {
            GC(float) s = src + (long)(r / 3) * a.sp + (r % 3) * a.sr + z * 16;
            UNROLL for (int k = 0; k < 3; k++) {
                const int tap = r * 3 + k;
                sum = fma(LD16(s + k * 16), LD16(w + (a.flip ? taps - 1 - tap : tap) * 16), sum);
            }
        }
        ST16(dst + z * 16) = sum;
    }
}

/* dw_grad: part[p0 + u * px + x][tap][16] = sum over the plane of x[v + tap - 1] dy[v]. Groups: units * x. */
__kernel WG1 void dw_grad(GC(float) src, GC(float) dy, G(float) part, struct a_dw a)
{
    const int g = GROUP(), x = g % a.x, u = g / a.x, taps = a.kx * 9;
    if (u >= a.units)
        return;
    src += a.off[0] + a.s0 + (long)u * a.sb + (long)x * a.sp;
    dy += a.off[1] + a.d0 + (long)u * a.db + (long)x * a.sp;
    part += a.off[2] + (long)(a.p0 + u * a.px + x) * taps * 16;
    for (int r = 0; r < a.kx * 3; r++) {
        float16 s0 = (float16)(0.0f), s1 = s0, s2 = s0;
        for (int y = 0; y < a.y; y++) {
            GC(float) s = src + (long)(r / 3) * a.sp + (long)(y + r % 3) * a.sr;
            for (int z = 0; z < a.z; z++) {
                const float16 d = LD16(dy + (long)y * a.sr + z * 16);
                s0 = fma(LD16(s + z * 16), d, s0);
                s1 = fma(LD16(s + z * 16 + 16), d, s1);
                s2 = fma(LD16(s + z * 16 + 32), d, s2);
            }
        }
        ST16(part + r * 48) = s0;
        ST16(part + r * 48 + 16) = s1;
        ST16(part + r * 48 + 32) = s2;
    }
}
#else
/* Work-item: a voxel's four channels. Groups: units * x * y * z * 4 / 64. */
__kernel WG64 void dw_conv(GC(float) src, GC(float) w, G(float) dst, struct a_dw a)
{
    const int i = GROUP() * 64 + LOCAL(), q = i % 4, v = i / 4 % (a.x * a.y * a.z), u = i / 4 / (a.x * a.y * a.z);
    if (u >= a.units)
        return;
    const int taps = a.kx * 9, at = v / a.z / a.y * a.sp + v / a.z % a.y * a.sr + v % a.z * 16 + q * 4;
    src += a.off[0] + a.s0 + u * a.sb + at;
    dst += a.off[2] + a.d0 + u * a.db + at;
    w += a.off[1] + (a.u0 + u) % a.blocks * taps * 16 + q * 4;
    float4 sum = (float4)(0.0f);
    if (a.accum)
        sum = LD4(dst);
    for (int tap = 0; tap < taps; tap++)
        sum = fma(LD4(src + tap / 9 * a.sp + tap / 3 % 3 * a.sr + tap % 3 * 16),
                  LD4(w + (a.flip ? taps - 1 - tap : tap) * 16), sum);
    ST4(dst) = sum;
}

/* Groups: (units * x) * taps; 64 work-items: lane l % 16, quarter l / 16 of the plane's voxels. */
__kernel WG64 void dw_grad(GC(float) src, GC(float) dy, G(float) part, struct a_dw a)
{
    __local float sums[64];
    const int taps = a.kx * 9, g = GROUP(), tap = g % taps, x = g / taps % a.x, u = g / taps / a.x, l = LOCAL();
    float sum = 0;
    if (u < a.units) {
        const int s = a.off[0] + a.s0 + u * a.sb + (x + tap / 9) * a.sp + tap / 3 % 3 * a.sr + tap % 3 * 16 + l % 16;
        const int d = a.off[1] + a.d0 + u * a.db + x * a.sp + l % 16;
        for (int v = l / 16; v < a.y * a.z; v += 4) {
            const int at = v / a.z * a.sr + v % a.z * 16;
            sum = fma(src[s + at], dy[d + at], sum);
        }
    }
    sums[l] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l < 16 && u < a.units)
        part[a.off[2] + ((a.p0 + u * a.px + x) * taps + tap) * 16 + l] =
            sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
}
#endif

/* dw_total: dw[c][tap] (+)= sum over samples and planes of part[(n * blocks + c / 16) * px + x][tap][c % 16]. One
 * each. */
__kernel WG64 void dw_total(GC(float) part, G(float) dw, struct a_dw a)
{
    const int i = GROUP() * 64 + LOCAL(), taps = a.kx * 9, c = i / taps, tap = i % taps;
    if (c >= a.c)
        return;
    float sum = 0;
    for (int n = 0; n < a.n; n++) {
        GC(float) p = part + a.off[0] + (((n * a.blocks + c / 16) * a.px) * taps + tap) * 16 + c % 16;
        for (int x = 0; x < a.px; x++)
            sum += p[x * taps * 16];
    }
    G(float) d = dw + a.off[1] + i;
    *d = a.accum ? *d + sum : sum;
}
