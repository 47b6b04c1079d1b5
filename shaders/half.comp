// SPDX-License-Identifier: Apache-2.0
// Operands of mixed precision; formulas and work-items as in kernels_cl/half.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "common/half.glsl"
#include "ops/args/half.h"

WG64
BUF_R(0, src)
BUF_W(1, dst)
ARGS(a_half)

void main()
{
    uint group = uint(GROUP()) * 1024u, end = min(group + 1024u, a.count), i = group + uint(LOCAL());
    for (uint k = 0u; k < 16u && i < end; k++, i += 64u)
        dst[OFF(1) + i] = half_of(src[OFF(0) + i]);
}
