// SPDX-License-Identifier: Apache-2.0
// Elementwise on stored elements; formulas and work-items as in kernels_cl/basic.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/basic.h"

WG64
BUF_R(0, src)
BUF_X(1, dst)
ARGS(a_add_to)

void main()
{
    uint i = uint(GROUP() * 64 + LOCAL()) * 16u;
    for (uint j = i; j < min(i + 16u, a.count); j++)
        dst[a.off[1] + j] += src[a.off[0] + j];
}
