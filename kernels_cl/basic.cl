/* SPDX-License-Identifier: Apache-2.0
 * Elementwise on stored elements. */
#include "common/base.h"
#include "ops/args/basic.h"

/* add_to: dst[i] += src[i]. One work-item, 16 elements. */
__kernel WG64 void add_to(GC(float) src, G(float) dst, struct a_add_to a)
{
    const uint i = (uint)(GROUP() * 64 + LOCAL()) * 16;
    src += a.off[0];
    dst += a.off[1];
    for (uint j = i; j < min(i + 16, a.count); j++)
        dst[j] += src[j];
}
