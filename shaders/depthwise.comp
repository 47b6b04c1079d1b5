// SPDX-License-Identifier: Apache-2.0
// Depthwise 3^3 convolution of BLOCKED maps; formulas, buffers, work-items as in kernels_cl/depthwise.cl (simt).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/depthwise.h"

WG64
ARGS(a_dw)

#ifdef ENTRY_dw_conv
BUF_R4(0, src)
BUF_R4(1, w)
BUF_X4(2, dst)
void main()
{
    int i = GROUP() * 64 + LOCAL(), q = i % 4, v = i / 4 % (a.x * a.y * a.z), u = i / 4 / (a.x * a.y * a.z);
    if (u >= a.units)
        return;
    int taps = a.kx * 9, at = (v / a.z / a.y * a.sp + v / a.z % a.y * a.sr) / 4 + v % a.z * 4 + q;
    int s = OFF4(0) + (a.s0 + u * a.sb) / 4 + at, d = OFF4(2) + (a.d0 + u * a.db) / 4 + at;
    int wa = OFF4(1) + (a.u0 + u) % a.blocks * taps * 4 + q;
    vec4 sum = vec4(0.0);
    if (a.accum != 0)
        sum = dst[d];
    for (int tap = 0; tap < taps; tap++)
        sum = fma(src[s + (tap / 9 * a.sp + tap / 3 % 3 * a.sr) / 4 + tap % 3 * 4],
                  w[wa + (a.flip != 0 ? taps - 1 - tap : tap) * 4], sum);
    dst[d] = sum;
}
#endif

#ifdef ENTRY_dw_grad
BUF_R(0, src)
BUF_R(1, dy)
BUF_W(2, part)
shared float sums[64];
void main()
{
    int taps = a.kx * 9, g = GROUP(), tap = g % taps, x = g / taps % a.x, u = g / taps / a.x, l = LOCAL();
    float sum = 0.0;
    if (u < a.units) {
        int s = OFF(0) + a.s0 + u * a.sb + (x + tap / 9) * a.sp + tap / 3 % 3 * a.sr + tap % 3 * 16 + l % 16;
        int d = OFF(1) + a.d0 + u * a.db + x * a.sp + l % 16;
        for (int v = l / 16; v < a.y * a.z; v += 4) {
            int at = v / a.z * a.sr + v % a.z * 16;
            sum = fma(src[s + at], dy[d + at], sum);
        }
    }
    sums[l] = sum;
    barrier();
    if (l < 16 && u < a.units)
        part[OFF(2) + ((a.p0 + u * a.px + x) * taps + tap) * 16 + l] =
            sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
}
#endif

#ifdef ENTRY_dw_total
BUF_R(0, part)
BUF_X(1, dw)
void main()
{
    int i = GROUP() * 64 + LOCAL(), taps = a.kx * 9, c = i / taps, tap = i % taps;
    if (c >= a.c)
        return;
    float sum = 0.0;
    for (int n = 0; n < a.n; n++) {
        int p = OFF(0) + (((n * a.blocks + c / 16) * a.px) * taps + tap) * 16 + c % 16;
        for (int x = 0; x < a.px; x++)
            sum += part[p + x * taps * 16];
    }
    int d = OFF(1) + i;
    dw[d] = a.accum != 0 ? dw[d] + sum : sum;
}
#endif
