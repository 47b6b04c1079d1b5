// SPDX-License-Identifier: Apache-2.0
// Weight gradients; formula, shapes and work-items as in kernels_cl/conv_wgrad.cl. Constant 0: stride.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/conv.h"

layout(constant_id = 0) const int S = 1;
WG64
BUF_R4(0, big)
BUF_R(1, small)
BUF_W(2, part)
ARGS(a_wgrad)

void main()
{
    int taps = a.kx * a.ky * a.kz;
    int s = GROUP() / taps, tap = GROUP() % taps, b = int(gl_WorkGroupID.z) % a.bb, v = int(gl_WorkGroupID.z) / a.bb;
    int l = LOCAL(), lane = l % 16, c0 = l / 16 * 4;
    if (s * a.slab >= a.planes)
        return;
    int kz = tap % a.kz, ky = tap / a.kz % a.ky, kx = tap / a.kz / a.ky;
    int b0 = OFF4(0) + (a.bo + b * a.bbs + kx * a.bp + ky * a.br + kz * 16 + c0) / 4;
    int s0 = OFF(1) + a.so + v * a.sbs + lane;
    vec4 acc = vec4(0);
    int p1 = min((s + 1) * a.slab, a.planes);
    for (int p = s * a.slab; p < p1; p++) {
        int n = p / a.x, x = p % a.x;
        for (int y = 0; y < a.y; y++) {
            int bq = b0 + (n * a.bn + x * S * a.bp + y * S * a.br) / 4;
            int sq = s0 + n * a.sn + x * a.sp + y * a.sr;
            for (int z = 0; z < a.z; z++)
                acc += big[bq + z * S * 4] * small[sq + z * 16];
        }
    }
    int o = OFF(2) + (((s * a.pvb + v) * a.pbb + b) * taps + tap) * 256 + c0 * 16 + lane;
    part[o] = acc.x;
    part[o + 16] = acc.y;
    part[o + 32] = acc.z;
    part[o + 48] = acc.w;
}
