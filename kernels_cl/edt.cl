/* SPDX-License-Identifier: Apache-2.0
 * Squared Euclidean distance to the nearest zero, axis by axis: y(i) = min_j x(j) + (i - j)^2 along lines. All numbers
 * are whole, and exact below 2^24. */
#include "common/base.h"
#include "ops/args/edt.h"

/* edt_row: y = squared distance to the nearest zero of x along z, EDT_FAR if the row has none. One work-item per row of
 * a.len contiguous voxels: the last zero seen upwards, then downwards. */
__kernel WG64 void edt_row(GC(float) x, G(float) y, struct a_edt a)
{
    const int i = GROUP() * 64 + LOCAL();
    if (i >= a.n)
        return;
    x += a.off[0] + i * a.len;
    y += a.off[1] + i * a.len;
    int last = -1;
    for (int z = 0; z < a.len; z++) {
        if (x[z] == 0.0f)
            last = z;
        const float d = (float)(z - last);
        y[z] = last < 0 ? EDT_FAR : d * d;
    }
    last = -1;
    for (int z = a.len - 1; z >= 0; z--) {
        if (x[z] == 0.0f)
            last = z;
        const float d = (float)(last - z);
        if (last >= 0)
            y[z] = fmin(y[z], d * d);
    }
}

/* edt_line: the minimum along lines with a.step elements between neighbours. One work-item per voxel, outwards until
 * nothing nearer can come. */
__kernel WG64 void edt_line(GC(float) x, G(float) y, struct a_edt a)
{
    const int v = GROUP() * 64 + LOCAL();
    if (v >= a.n)
        return;
    x += a.off[0] + v;
    const int at = v / a.step % a.len, ends = max(at, a.len - 1 - at);
    float best = x[0];
    for (int d = 1; d <= ends && (float)(d * d) < best; d++) {
        const float square = (float)(d * d);
        if (d <= at)
            best = fmin(best, x[-d * a.step] + square);
        if (d < a.len - at)
            best = fmin(best, x[d * a.step] + square);
    }
    y[a.off[1] + v] = best;
}
