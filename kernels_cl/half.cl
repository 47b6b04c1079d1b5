/* SPDX-License-Identifier: Apache-2.0
 * Operands of mixed precision on stored elements. */
#include "common/base.h"
#include "common/half.h"
#include "ops/args/half.h"

#ifdef PV_FAT
#define WG WG1
#define EACH 1024               /* elements of a work-item */
#else
#define WG WG64
#define EACH 16
#endif

/* half_round: dst[i] = src[i] rounded to half precision. Groups of 1024 elements. */
__kernel WG void half_round(GC(float) src, G(float) dst, struct a_half a)
{
    const uint group = (uint)GROUP() * 1024, end = min(group + 1024, a.count);
    src += a.off[0];
    dst += a.off[1];
    for (uint i = group + LOCAL(), k = 0; k < EACH && i < end; k++, i += 1024 / EACH)
        dst[i] = half_of(src[i]);
}
