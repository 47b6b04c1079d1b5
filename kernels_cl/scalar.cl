/* SPDX-License-Identifier: Apache-2.0
 * Weighted sums of 1-element tensors. One work-item each. */
#include "common/base.h"
#include "ops/args/scalar.h"

#define DEAD(l) ((l) == 0.0f || (as_uint(l) & 0x7f800000u) == 0x7f800000u)

/* scalar_add: out (+)= w * dev_w * l; normalise: (+)= w, or nothing where l is 0 or not finite. */
__kernel WG1 void scalar_add(GC(float) l, GC(float) dev_w, G(float) out, struct a_scalar a)
{
    const float x = l[a.off[0]];
    float y = a.w;
    if (a.normalise)
        y = DEAD(x) ? 0.0f : y;
    else
        y *= (a.has_w ? dev_w[a.off[1]] : 1.0f) * x;
    G(float) d = out + a.off[2];
    *d = a.accum ? *d + y : y;
}

/* scalar_grad: dl (+)= dy * w * dev_w; normalise: dy * w / l, or 0. */
__kernel WG1 void scalar_grad(GC(float) l, GC(float) dev_w, GC(float) dy, G(float) dl, struct a_scalar a)
{
    const float x = l[a.off[0]];
    float g = a.w * dy[a.off[2]];
    if (a.normalise)
        g = DEAD(x) ? 0.0f : g / x;
    else if (a.has_w)
        g *= dev_w[a.off[1]];
    G(float) d = dl + a.off[3];
    *d = a.accum ? *d + g : g;
}
