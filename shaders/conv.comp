// SPDX-License-Identifier: Apache-2.0
// Convolution forward; formula, shapes and work-items as in kernels_cl/conv.cl. Constant 0: stride.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/conv.h"

layout(constant_id = 0) const int S = 1;
WG64
BUF_R4(0, src)
BUF_R4(1, wt)
BUF_X4(2, dst)
ARGS(a_conv)
#include "common/conv.glsl"

void main()
{
    int v = GROUP() * 64 + LOCAL(), kb = int(gl_WorkGroupID.z) % a.kb, n = int(gl_WorkGroupID.z) / a.kb;
    ivec3 size = ivec3(a.x, a.y, a.z);
    if (v >= size.x * size.y * size.z)
        return;
    int z = v % size.z, y = v / size.z % size.y, x = v / size.z / size.y;
    int d = OFF4(2) + (a.dst0 + n * a.dn + kb * a.db + x * a.dp + y * a.dr) / 4 + z * 4;
    vec4 acc0 = vec4(0), acc1 = acc0, acc2 = acc0, acc3 = acc0;
    if (a.accum != 0) {
        acc0 = dst[d]; acc1 = dst[d + 1]; acc2 = dst[d + 2]; acc3 = dst[d + 3];
    } else if (a.bias >= 0) {
        int b = OFF4(1) + (a.bias + kb * a.wb) / 4;
        acc0 = wt[b]; acc1 = wt[b + 1]; acc2 = wt[b + 2]; acc3 = wt[b + 3];
    }
    int s0 = OFF4(0) + (a.so + n * a.sn) / 4, w0 = OFF4(1) + (a.w0 + kb * a.wb) / 4;
    int sb = a.sb / 4, sp = a.sp / 4, sr = a.sr / 4;
    s0 += x * S * sp + y * S * sr + z * S * 4;
    for (int c = 0; c < a.cb; c++)
        for (int kx = 0; kx < a.kx; kx++)
            for (int ky = 0; ky < a.ky; ky++)
                for (int kz = 0; kz < a.kz; kz++) {
                    int s = s0 + c * sb + kx * sp + ky * sr + kz * 4;
                    int w = w0 + (((c * a.kx + kx) * a.ky + ky) * a.kz + kz) * 64;
                    TAP16(s, w)
                }
    dst[d] = acc0; dst[d + 1] = acc1; dst[d + 2] = acc2; dst[d + 3] = acc3;
}
