// SPDX-License-Identifier: Apache-2.0
// Squared Euclidean distance to the nearest zero; formulas and work-items as in kernels_cl/edt.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/edt.h"

WG64
BUF_R(0, x)

#ifdef ENTRY_edt_row
BUF_X(1, y)
ARGS(a_edt)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    if (i >= a.n)
        return;
    int from = OFF(0) + i * a.len, to = OFF(1) + i * a.len, last = -1;
    for (int z = 0; z < a.len; z++) {
        if (x[from + z] == 0.0)
            last = z;
        float d = float(z - last);
        y[to + z] = last < 0 ? EDT_FAR : d * d;
    }
    last = -1;
    for (int z = a.len - 1; z >= 0; z--) {
        if (x[from + z] == 0.0)
            last = z;
        float d = float(last - z);
        if (last >= 0)
            y[to + z] = min(y[to + z], d * d);
    }
}
#endif

#ifdef ENTRY_edt_line
BUF_W(1, y)
ARGS(a_edt)
void main()
{
    int v = GROUP() * 64 + LOCAL();
    if (v >= a.n)
        return;
    int from = OFF(0) + v, at = v / a.step % a.len, ends = max(at, a.len - 1 - at);
    float best = x[from];
    for (int d = 1; d <= ends && float(d * d) < best; d++) {
        float square = float(d * d);
        if (d <= at)
            best = min(best, x[from - d * a.step] + square);
        if (d < a.len - at)
            best = min(best, x[from + d * a.step] + square);
    }
    y[OFF(1) + v] = best;
}
#endif
