/* SPDX-License-Identifier: Apache-2.0
 * Whether reductions with sub-groups give the bits of those in local memory: dev/ocl/subgroup.c builds and runs this.
 * Constant PV_SHUFFLE of common/group.h. */
#include "common/group.h"

#ifdef PV_SIMT
GROUP_FOLD(probe_sum, float, JOIN_ADD, 1)
GROUP_FOLD(probe_quads, float4, JOIN_ADD, 4)

/* sub_probe: out[item][5]: the sum of x over the item's group; of x, x + 1, x + 2, x + 3 over items l % 4. */
__kernel WG64 void sub_probe(GC(float) x, G(float) out)
{
    __local float t[64];
    __local float4 t4[64];
    const int item = GROUP() * 64 + LOCAL();
    const float sum = probe_sum(x[item], t);
    const float4 quads = probe_quads(x[item] + (float4)(0.0f, 1.0f, 2.0f, 3.0f), t4);
    out += item * 5;
    out[0] = sum;
    out[1] = quads.x;
    out[2] = quads.y;
    out[3] = quads.z;
    out[4] = quads.w;
}
#endif
