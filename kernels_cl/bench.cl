/* SPDX-License-Identifier: Apache-2.0
 * What the device can do at most: fused multiply-adds per second and bytes per second. */
#include "common/base.h"
#include "ops/args/bench.h"

#ifdef PV_FAT
#define WG_OF WG1
#define WIDE float16
#define CHAINS 12
#else
#define WG_OF WG64
#define WIDE float4
#define CHAINS 4
#endif
#define AT(p, i) (((__global WIDE *)(p))[i])
#define CAT(p, i) (((__global const WIDE *)(p))[i])

/* peak_fma: CHAINS independent chains x = x b + c per work-item, `steps` long; their sum is stored so that nothing
 * can be left out. out [work-items of all groups][1 vector]. */
__kernel WG_OF void peak_fma(G(float) out, struct a_peak a)
{
    WIDE x[CHAINS];
    UNROLL for (int i = 0; i < CHAINS; i++)
        x[i] = (WIDE)((float)i * a.c);
    const WIDE b = (WIDE)(a.b), c = (WIDE)(a.c);
    for (int k = 0; k < a.steps; k++)
        UNROLL for (int i = 0; i < CHAINS; i++)
            x[i] = fma(x[i], b, c);
    WIDE sum = x[0];
    UNROLL for (int i = 1; i < CHAINS; i++)
        sum += x[i];
    AT(out + a.off[0], get_global_id(0)) = sum;
}

/* mem_read: dst[group] (one vector per work-item) = sum of the group's span of src. */
__kernel WG_OF void mem_read(GC(float) src, G(float) dst, struct a_mem a)
{
    const int wide = (int)(sizeof(WIDE) / sizeof(float)), step = (int)get_local_size(0);
    src += a.off[0] + (long)get_group_id(0) * a.span;
    WIDE s0 = (WIDE)(0.0f), s1 = s0, s2 = s0, s3 = s0;
    for (int i = LOCAL(); i < a.span / wide; i += 4 * step) {
        s0 += CAT(src, i);
        s1 += CAT(src, i + step);
        s2 += CAT(src, i + 2 * step);
        s3 += CAT(src, i + 3 * step);
    }
    AT(dst + a.off[1], get_global_id(0)) = (s0 + s1) + (s2 + s3);
}

/* mem_copy: dst = src, one span per group; CPUs store past the caches. */
__kernel WG_OF void mem_copy(GC(float) src, G(float) dst, struct a_mem a)
{
    const int wide = (int)(sizeof(WIDE) / sizeof(float)), step = (int)get_local_size(0);
    src += a.off[0] + (long)get_group_id(0) * a.span;
    dst += a.off[1] + (long)get_group_id(0) * a.span;
#ifdef PV_FAT
    for (int i = 0; i < a.span; i += 16 * step)
        STORE_PAST(dst + i, LD16(src + i));
    (void)wide;
#else
    for (int i = LOCAL(); i < a.span / wide; i += step)
        AT(dst, i) = CAT(src, i);
#endif
}
