// SPDX-License-Identifier: Apache-2.0
// What the device can do at most; work-items and buffers as in kernels_cl/bench.cl, simt class.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/bench.h"

WG64

#ifdef ENTRY_peak_fma
BUF_W4(0, dst)
ARGS(a_peak)
void main()
{
    vec4 x0 = vec4(0.0), x1 = vec4(a.c), x2 = vec4(2.0 * a.c), x3 = vec4(3.0 * a.c);
    vec4 b = vec4(a.b), c = vec4(a.c);
    for (int k = 0; k < a.steps; k++) {
        x0 = fma(x0, b, c);
        x1 = fma(x1, b, c);
        x2 = fma(x2, b, c);
        x3 = fma(x3, b, c);
    }
    dst[OFF4(0) + int(gl_GlobalInvocationID.x)] = (x0 + x1) + (x2 + x3);
}
#endif

#ifdef ENTRY_mem_read
BUF_R4(0, src)
BUF_W4(1, dst)
ARGS(a_mem)
void main()
{
    int from = OFF4(0) + int(gl_WorkGroupID.x) * (a.span / 4);
    vec4 s0 = vec4(0.0), s1 = s0, s2 = s0, s3 = s0;
    for (int i = LOCAL(); i < a.span / 4; i += 256) {
        s0 += src[from + i];
        s1 += src[from + i + 64];
        s2 += src[from + i + 128];
        s3 += src[from + i + 192];
    }
    dst[OFF4(1) + int(gl_GlobalInvocationID.x)] = (s0 + s1) + (s2 + s3);
}
#endif

#ifdef ENTRY_mem_copy
BUF_R4(0, src)
BUF_W4(1, dst)
ARGS(a_mem)
void main()
{
    int at = int(gl_WorkGroupID.x) * (a.span / 4);
    for (int i = LOCAL(); i < a.span / 4; i += 64)
        dst[OFF4(1) + at + i] = src[OFF4(0) + at + i];
}
#endif
