/* SPDX-License-Identifier: Apache-2.0
 * Sums over PLAIN tensors [n][c][v] in two steps: terms per (sample, channel, chunk of voxels), then rows of those
 * in ascending order. */
#include "common/plain.h"
#include "ops/args/reduce.h"

/* row_sum: out[r] (+)= scale * sum_{j < cols} part[r * rs + (j / inner) * so + j % inner]. One row each group. */
__kernel WGP void row_sum(GC(float) part, G(float) out, struct a_rows a)
{
    const int r = GROUP();
    if (r >= a.rows)
        return;
    part += a.off[0] + r * a.rs;
#ifdef PV_FAT
    float sum = 0;
    for (int j0 = 0; j0 < a.cols; j0 += 64) {
        float some = 0;
        for (int j = j0; j < min(j0 + 64, a.cols); j++)
            some += part[j / a.inner * a.so + j % a.inner];
        sum += some;
    }
#else
    GROUP_SUMS
    float mine = 0;
    for (int j = LOCAL(); j < a.cols; j += 64)
        mine += part[j / a.inner * a.so + j % a.inner];
    const float sum = group_sum(mine);
#endif
    if (LOCAL() == 0) {
        G(float) d = out + a.off[1] + r;
        *d = a.accum ? *d + a.scale * sum : a.scale * sum;
    }
}

/* red_finish: from sums [n][rows] (c sums of terms; masked: then the sum of the mask, else `count` voxels):
 * coef[s] = 1 / D_s with D by kind (0 where D_s is 0), loss = sum_s coef[s] * sum of terms. One work-item. */
__kernel WG1 void red_finish(GC(float) sums, G(float) loss, G(float) coef, struct a_finish a)
{
    float all = 0, kept = 0, total = 0;
    sums += a.off[0];
    for (int s = 0; s < a.n; s++) {
        const float k = a.masked ? sums[s * a.rows + a.c] : a.count;
        all += k;
        kept += k > 0 ? 1.0f : 0.0f;
    }
    for (int s = 0; s < a.n; s++) {
        const float k = a.masked ? sums[s * a.rows + a.c] : a.count;
        float d = a.div, terms = 0;
        switch (a.kind) {
        case RED_MEAN: d *= all; break;
        case RED_SAMPLE_MEAN: d *= k * a.n; break;
        case RED_SAMPLE_MEAN_KEPT: d *= k * kept; break;
        case RED_MEAN_ALL: d *= a.n * a.count; break;
        case RED_MASKED_EPS: d = d * all + a.eps; break;
        }
        const float w = d > 0 ? 1.0f / d : 0.0f;
        for (int i = 0; i < a.c; i++)
            terms += sums[s * a.rows + i];
        coef[a.off[2] + s] = w;
        total += w * terms;
    }
    loss[a.off[1]] = total;
}

VF term(int form, VF x, VF y);
VF term(int form, VF x, VF y)
{
    switch (form) {
    case RED_X: return x;
    case RED_ABS: return fabs(x - y);
    case RED_SQ: return (x - y) * (x - y);
    default: return ONE_IF(x != (VF)(0.0f));
    }
}

/* red_sum: part[(n0 + s) * rows + k][ch0 + ch] = sum over the chunk of m * term(x, y), row k = c: of m.
 * x, y [n][c][v], mask [n][1][v]. Groups: n * rows * chunks. */
__kernel WGP void red_sum(GC(float) x, GC(float) y, GC(float) mask, G(float) part, struct a_red a)
{
    GROUP_SUMS
    const int g = GROUP(), ch = g % CHUNKS(a.v), row = g / CHUNKS(a.v), s = row / a.rows, k = row % a.rows;
    if (s >= a.n)
        return;
    const int at = (s * a.c + k) * a.cs;
    VF sum = 0;
    FOR_CHUNK(ch, a.v) {
        VF d = 1;
        if (k < a.c) {
            const VF xv = ldv(x + a.off[0] + at + v, m);
            d = term(a.form, xv, a.form == RED_ABS || a.form == RED_SQ ? ldv(y + a.off[1] + at + v, m) : xv);
        }
        if (a.masked)
            d *= ldv(mask + a.off[2] + s * a.cs + v, m);
        sum += only(d, m);
    }
    const float all = group_sum(sum);
    if (LOCAL() == 0)
        part[a.off[3] + ((a.n0 + s) * a.rows + k) * a.tc + a.ch0 + ch] = all;
}

/* red_grad: dx (+)= dy[(n0 + s) * dys + k * dyk] * coef[n0 + s] * mask * d term / dx. Rows: n * c. */
__kernel WGP void red_grad(GC(float) x, GC(float) y, GC(float) mask, GC(float) dy, GC(float) coef, G(float) dx,
                           struct a_red a)
{
    FOR_VOXELS(a.n * a.c) {
        const int s = row / a.c, at = row * a.cs + v;
        const float g = dy[a.off[3] + (a.n0 + s) * a.dys + row % a.c * a.dyk] *
                        (a.has_coef ? coef[a.off[4] + a.n0 + s] : 1.0f);
        VF d = g;
        if (a.form != RED_X) {
            const VF e = ldv(x + a.off[0] + at, m) - ldv(y + a.off[1] + at, m);
            d *= a.form == RED_SQ ? 2.0f * e : ONE_IF(e > (VF)(0.0f)) - ONE_IF(e < (VF)(0.0f));
        }
        if (a.masked)
            d *= ldv(mask + a.off[2] + s * a.cs + v, m);
        PUT(dx + a.off[5] + at, d, m, a.accum);
    }
}
