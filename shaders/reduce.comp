// SPDX-License-Identifier: Apache-2.0
// Sums over PLAIN tensors; formulas, shapes and groups as in kernels_cl/reduce.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#if defined(ENTRY_row_sum) || defined(ENTRY_red_sum)
#define GROUP_SUMS
#endif
#include "common/plain.glsl"
#include "ops/args/reduce.h"

#ifdef ENTRY_row_sum
WG64
BUF_R(0, part)
BUF_X(1, dst)
ARGS(a_rows)
void main()
{
    int r = GROUP();
    if (r >= a.rows)
        return;
    int p = OFF(0) + r * a.rs;
    float mine = 0.0;
    for (int j = LOCAL(); j < a.cols; j += 64)
        mine += part[p + j / a.inner * a.so + j % a.inner];
    float sum = group_sum(mine) * a.scale;
    if (LOCAL() == 0)
        PUT(dst, OFF(1) + r, sum, a.accum);
}
#endif

#ifdef ENTRY_red_finish
layout(local_size_x = 1) in;
BUF_R(0, sums)
BUF_W(1, loss)
BUF_W(2, coef)
ARGS(a_finish)

float voxels(int s)
{
    if (a.masked != 0)
        return sums[OFF(0) + s * a.rows + a.c];
    return a.count;
}

void main()
{
    float all = 0.0, kept = 0.0, total = 0.0;
    for (int s = 0; s < a.n; s++) {
        float k = voxels(s);
        all += k;
        kept += ONE_IF(k > 0.0);
    }
    for (int s = 0; s < a.n; s++) {
        float k = voxels(s), d = a.div, terms = 0.0;
        switch (a.kind) {
        case RED_MEAN: d *= all; break;
        case RED_SAMPLE_MEAN: d *= k * float(a.n); break;
        case RED_SAMPLE_MEAN_KEPT: d *= k * kept; break;
        case RED_MEAN_ALL: d *= float(a.n) * a.count; break;
        case RED_MASKED_EPS: d = d * all + a.eps; break;
        }
        float w = d > 0.0 ? 1.0 / d : 0.0;
        for (int i = 0; i < a.c; i++)
            terms += sums[OFF(0) + s * a.rows + i];
        coef[OFF(2) + s] = w;
        total += w * terms;
    }
    loss[OFF(1)] = total;
}
#endif

#ifdef ENTRY_red_sum
WG64
BUF_R(0, x)
BUF_R(1, y)
BUF_R(2, mask)
BUF_W(3, part)
ARGS(a_red)
void main()
{
    int g = GROUP(), ch = g % CHUNKS(a.v), row = g / CHUNKS(a.v), s = row / a.rows, k = row % a.rows;
    if (s >= a.n)
        return;
    int at = (s * a.c + k) * a.cs;
    float sum = 0.0;
    FOR_CHUNK(ch, a.v) {
        float d = 1.0;
        if (k < a.c) {
            d = x[OFF(0) + at + v];
            if (a.form == RED_NONZERO) {
                d = ONE_IF(d != 0.0);
            } else if (a.form != RED_X) {
                d -= y[OFF(1) + at + v];
                d = a.form == RED_SQ ? d * d : abs(d);
            }
        }
        if (a.masked != 0)
            d *= mask[OFF(2) + s * a.cs + v];
        sum += d;
    }
    float all = group_sum(sum);
    if (LOCAL() == 0)
        part[OFF(3) + ((a.n0 + s) * a.rows + k) * a.tc + a.ch0 + ch] = all;
}
#endif

#ifdef ENTRY_red_grad
WG64
BUF_R(0, x)
BUF_R(1, y)
BUF_R(2, mask)
BUF_R(3, dy)
BUF_R(4, coef)
BUF_X(5, dx)
ARGS(a_red)
void main()
{
    FOR_VOXELS(a.n * a.c) {
        int s = row / a.c, at = row * a.cs + v;
        float d = dy[OFF(3) + (a.n0 + s) * a.dys + row % a.c * a.dyk];
        if (a.has_coef != 0)
            d *= coef[OFF(4) + a.n0 + s];
        if (a.form != RED_X) {
            float e = x[OFF(0) + at] - y[OFF(1) + at];
            d *= a.form == RED_SQ ? 2.0 * e : sign(e);
        }
        if (a.masked != 0)
            d *= mask[OFF(2) + s * a.cs + v];
        PUT(dx, OFF(5) + at, d, a.accum);
    }
}
#endif
