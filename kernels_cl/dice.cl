/* SPDX-License-Identifier: Apache-2.0
 * Dice losses on PLAIN probabilities [n][c][v]: three sums per sample and class, then the loss and two numbers per
 * sample and class from which the gradient follows pointwise. */
#include "common/plain.h"
#include "ops/args/dice.h"

/* Target of class k at a voxel: g points at the voxel of channel 0 of sample s (soft) or at its label. */
VF target(GC(int) g, int k, struct a_dice a, int m);
VF target(GC(int) g, int k, struct a_dice a, int m)
{
    if (a.soft)
        return ldv((GC(float))g + k * a.cs, m);
    return ONE_IF(ldvi(g, m) == (VI)(k));
}

/* dice_sum: part[((n0 + s) * c + k) * 3 + q][ch0 + ch] = chunk sums of m p g, m p, m g (square: m p^2, m g^2).
 * Groups: n * c * chunks. */
__kernel WGP void dice_sum(GC(float) p, GC(int) g, GC(float) mask, G(float) part, struct a_dice a)
{
    GROUP_SUMS
    const int id = GROUP(), ch = id % CHUNKS(a.v), row = id / CHUNKS(a.v), s = row / a.c, k = row % a.c;
    if (s >= a.n || !(a.classes >> k & 1))
        return;
    VF si = 0, sp = 0, sg = 0;
    FOR_CHUNK(ch, a.v) {
        const VF pv = ldv(p + a.off[0] + row * a.cs + v, m);
        const VF gv = target(g + a.off[1] + s * (a.soft ? a.c : 1) * a.cs + v, k, a, m);
        const VF w = only(a.masked ? ldv(mask + a.off[2] + s * a.cs + v, m) : (VF)(1.0f), m);
        si += w * pv * gv;
        sp += w * (a.square ? pv * pv : pv);
        sg += w * (a.square ? gv * gv : gv);
    }
    const float i = group_sum(si), q = group_sum(sp), r = group_sum(sg);
    if (LOCAL() == 0) {
        part += a.off[3] + ((a.n0 + s) * a.c + k) * 3 * a.tc + a.ch0 + ch;
        part[0] = i;
        part[a.tc] = q;
        part[2 * a.tc] = r;
    }
}

/* dice_finish: loss, and coef[n][c][2] with d loss / dp = m * (coef0 * g + coef1 * (square: p, else 1)); 0 for
 * classes that do not count. One work-item. */
__kernel WG1 void dice_finish(GC(float) sums, G(float) loss, G(float) coef, struct a_dice_end a)
{
    sums += a.off[0];
    coef += a.off[2];
    float total = 0, terms = 0;
    for (int k = 0; k < a.c; k++)
        terms += a.classes >> k & 1 ? (a.per_sample ? a.n : 1) : 0;
    for (int k = 0; k < a.c; k++)
        for (int s0 = 0; s0 < a.n; s0 += a.per_sample ? 1 : a.n) {
            const int s1 = a.per_sample ? s0 + 1 : a.n;
            float i2 = 0, sum = 0, c0 = 0, c1 = 0;
            if (a.classes >> k & 1) {
                for (int s = s0; s < s1; s++) {
                    GC(float) q = sums + (s * a.c + k) * 3;
                    i2 += 2.0f * q[0];
                    sum += q[1] + q[2];
                }
                if (sum + a.eps > 0) {
                    const float d = 1.0f / (sum + a.eps);
                    total += (sum - i2) * d / terms;
                    c0 = -2.0f * d / terms;
                    c1 = (a.square ? 2.0f : 1.0f) * (i2 + a.eps) * d * d / terms;
                }
            }
            for (int s = s0; s < s1; s++) {
                coef[(s * a.c + k) * 2] = c0;
                coef[(s * a.c + k) * 2 + 1] = c1;
            }
        }
    loss[a.off[1]] = total;
}

/* dice_grad: dp (+)= dy[0] * m * (coef0 * g + coef1 * (square: p, else 1)). Rows: n * c. */
__kernel WGP void dice_grad(GC(float) p, GC(int) g, GC(float) mask, GC(float) dy, GC(float) coef, G(float) dp,
                            struct a_dice a)
{
    FOR_VOXELS(a.n * a.c) {
        const int s = row / a.c, k = row % a.c;
        const float up = dy[a.off[3]];
        const int at = a.off[4] + ((a.n0 + s) * a.c + k) * 2;
        const VF gv = target(g + a.off[1] + s * (a.soft ? a.c : 1) * a.cs + v, k, a, m);
        VF d = up * coef[at + 1];
        if (a.square)
            d *= ldv(p + a.off[0] + row * a.cs + v, m);
        d += up * coef[at] * gv;
        if (a.masked)
            d *= ldv(mask + a.off[2] + s * a.cs + v, m);
        PUT(dp + a.off[5] + row * a.cs + v, d, m, a.accum);
    }
}
