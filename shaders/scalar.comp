// SPDX-License-Identifier: Apache-2.0
// Weighted sums of 1-element tensors; formulas as in kernels_cl/scalar.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/plain.glsl"
#include "ops/args/scalar.h"

layout(local_size_x = 1) in;
BUF_R(0, l)
BUF_R(1, dev_w)
#ifdef ENTRY_scalar_grad
BUF_R(2, dy)
BUF_X(3, dst)
#else
BUF_X(2, dst)
#endif
ARGS(a_scalar)

void main()
{
    float x = l[OFF(0)], y = a.w;
    bool dead = x == 0.0 || (floatBitsToUint(x) & 0x7f800000u) == 0x7f800000u;
    if (a.normalise == 0 && a.has_w != 0)
        y *= dev_w[OFF(1)];
#ifdef ENTRY_scalar_grad
    y *= dy[OFF(2)];
    if (a.normalise != 0)
        y = dead ? 0.0 : y / x;
    PUT(dst, OFF(3), y, a.accum);
#else
    if (a.normalise != 0)
        y = dead ? 0.0 : y;
    else
        y *= x;
    PUT(dst, OFF(2), y, a.accum);
#endif
}
