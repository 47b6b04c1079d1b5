/* SPDX-License-Identifier: Apache-2.0
 * Over the c channels of PLAIN voxels, cs elements apart. */
#ifndef COMMON_CHANNELS_H
#define COMMON_CHANNELS_H

#include "common/plain.h"

VF chan_max(GC(float) z, int c, int cs, int m);
VF chan_max(GC(float) z, int c, int cs, int m)
{
    VF mx = ldv(z, m);
    for (int k = 1; k < c; k++)
        mx = fmax(mx, ldv(z + k * cs, m));
    return mx;
}

/* sum_k exp(z_k - mx). */
VF chan_exp(GC(float) z, VF mx, int c, int cs, int m);
VF chan_exp(GC(float) z, VF mx, int c, int cs, int m)
{
    VF sum = 0;
    for (int k = 0; k < c; k++)
        sum += exp(ldv(z + k * cs, m) - mx);
    return sum;
}

#endif
