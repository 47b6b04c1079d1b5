// SPDX-License-Identifier: Apache-2.0
// Dice losses on PLAIN probabilities; formulas, shapes and groups as in kernels_cl/dice.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef ENTRY_dice_sum
#define GROUP_SUMS
#endif
#include "common/plain.glsl"
#include "ops/args/dice.h"

#ifdef ENTRY_dice_finish
layout(local_size_x = 1) in;
BUF_R(0, sums)
BUF_W(1, loss)
BUF_W(2, coef)
ARGS(a_dice_end)
void main()
{
    float total = 0.0, terms = 0.0;
    int step = a.per_sample != 0 ? 1 : a.n;
    for (int k = 0; k < a.c; k++)
        terms += (a.classes >> k & 1u) != 0u ? float(a.n / step) : 0.0;
    for (int k = 0; k < a.c; k++)
        for (int s0 = 0; s0 < a.n; s0 += step) {
            float i2 = 0.0, sum = 0.0, c0 = 0.0, c1 = 0.0;
            if ((a.classes >> k & 1u) != 0u) {
                for (int s = s0; s < s0 + step; s++) {
                    int q = OFF(0) + (s * a.c + k) * 3;
                    i2 += 2.0 * sums[q];
                    sum += sums[q + 1] + sums[q + 2];
                }
                if (sum + a.eps > 0.0) {
                    float d = 1.0 / (sum + a.eps);
                    total += (sum - i2) * d / terms;
                    c0 = -2.0 * d / terms;
                    c1 = (a.square != 0 ? 2.0 : 1.0) * (i2 + a.eps) * d * d / terms;
                }
            }
            for (int s = s0; s < s0 + step; s++) {
                coef[OFF(2) + (s * a.c + k) * 2] = c0;
                coef[OFF(2) + (s * a.c + k) * 2 + 1] = c1;
            }
        }
    loss[OFF(1)] = total;
}

#else
WG64
BUF_R(0, p)
BUF_RI(1, g)
BUF_R(2, mask)
#ifdef ENTRY_dice_sum
BUF_W(3, part)
#else
BUF_R(3, dy)
BUF_R(4, coef)
BUF_X(5, dp)
#endif
ARGS(a_dice)

// Target of class k at voxel v of sample s.
float target(int s, int k, int v)
{
    float t;
    if (a.soft != 0)
        t = intBitsToFloat(g[OFF(1) + (s * a.c + k) * a.cs + v]);
    else
        t = ONE_IF(g[OFF(1) + s * a.cs + v] == k);
    return t;
}

#ifdef ENTRY_dice_sum
void main()
{
    int id = GROUP(), ch = id % CHUNKS(a.v), row = id / CHUNKS(a.v), s = row / a.c, k = row % a.c;
    if (s >= a.n || (a.classes >> k & 1u) == 0u)
        return;
    float si = 0.0, sp = 0.0, sg = 0.0;
    FOR_CHUNK(ch, a.v) {
        float pv = p[OFF(0) + row * a.cs + v], gv = target(s, k, v), w = 1.0;
        if (a.masked != 0)
            w = mask[OFF(2) + s * a.cs + v];
        si += w * pv * gv;
        sp += w * (a.square != 0 ? pv * pv : pv);
        sg += w * (a.square != 0 ? gv * gv : gv);
    }
    float i = group_sum(si), q = group_sum(sp), r = group_sum(sg);
    if (LOCAL() == 0) {
        int to = OFF(3) + ((a.n0 + s) * a.c + k) * 3 * a.tc + a.ch0 + ch;
        part[to] = i;
        part[to + a.tc] = q;
        part[to + 2 * a.tc] = r;
    }
}

#else
void main()
{
    FOR_VOXELS(a.n * a.c) {
        int s = row / a.c, k = row % a.c, at = OFF(4) + ((a.n0 + s) * a.c + k) * 2;
        float up = dy[OFF(3)], d = up * coef[at + 1];
        if (a.square != 0)
            d *= p[OFF(0) + row * a.cs + v];
        d += up * coef[at] * target(s, k, v);
        if (a.masked != 0)
            d *= mask[OFF(2) + s * a.cs + v];
        PUT(dp, OFF(5) + row * a.cs + v, d, a.accum);
    }
}
#endif
#endif
