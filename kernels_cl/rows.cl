/* SPDX-License-Identifier: Apache-2.0
 * Rows of PLAIN tensors: layer norm and softmax over their voxels, small matrix products. stats [2][rows]: mean and
 * variance of u = a x. */
#include "common/plain.h"
#include "ops/args/rows.h"

/* Factors of the launch's row: a before, b behind the normalisation. */
#define BEFORE(row) (a.factors ? f[a.off[F_AT] + (a.n0 + (row)) / a.per] : 1.0f)
#define BEHIND(row) (a.factors ? f[a.off[F_AT] + a.factors + (a.n0 + (row)) / a.per] : 1.0f)
#define MEAN(row) stats[a.off[S_AT] + a.n0 + (row)]
#define RSTD(row) (1.0f / sqrt(stats[a.off[S_AT] + a.rows + a.n0 + (row)] + a.eps))
/* The chunk of this work-group; row beyond a.n: none. */
#define ROW_CHUNK() const int g = GROUP(), ch = g % CHUNKS(a.v), row = g / CHUNKS(a.v); \
    if (row >= a.n) \
        return;

/* row_moment: part[row * tc + ch] = sum over the chunk of u (mode 0), of (u - mean)^2 (mode 1). Groups: rows *
 * chunks. */
#define F_AT 1
#define S_AT 2
__kernel WGP void row_moment(GC(float) x, GC(float) f, GC(float) stats, G(float) part, struct a_row a)
{
    GROUP_SUMS
    ROW_CHUNK()
    const float mul = BEFORE(row), mean = a.mode ? MEAN(row) : 0.0f;
    VF sum = 0;
    FOR_CHUNK(ch, a.v) {
        const VF u = mul * ldv(x + a.off[0] + row * a.v + v, m) - mean;
        sum += only(a.mode ? u * u : u, m);
    }
    const float all = group_sum(sum);
    if (LOCAL() == 0)
        part[a.off[3] + (a.n0 + row) * a.tc + a.ch0 + ch] = all;
}

/* row_norm_fwd: y = (with factors: u) + b (gamma (u - mean) rstd + beta). */
__kernel WGP void row_norm_fwd(GC(float) x, GC(float) f, GC(float) stats, GC(float) gamma, GC(float) beta, G(float) y,
                               struct a_row a)
{
    FOR_VOXELS(a.n) {
        const VF u = BEFORE(row) * ldv(x + a.off[0] + row * a.v + v, m);
        const VF l = (u - MEAN(row)) * RSTD(row) * ldv(gamma + a.off[3] + v, m) + ldv(beta + a.off[4] + v, m);
        stv(y + a.off[5] + row * a.v + v, a.factors ? u + BEHIND(row) * l : l, m);
    }
}
#undef F_AT
#undef S_AT

/* row_norm_sum: of g = b dy gamma: part[row * tc + ch] = sum g, part[(rows + row) * tc + ch] = sum g hat, hat =
 * (u - mean) rstd. Groups: rows * chunks. */
#define F_AT 2
#define S_AT 3
__kernel WGP void row_norm_sum(GC(float) x, GC(float) dy, GC(float) f, GC(float) stats, GC(float) gamma,
                               G(float) part, struct a_row a)
{
    GROUP_SUMS
    ROW_CHUNK()
    const float before = BEFORE(row), b = BEHIND(row), mean = MEAN(row), rstd = RSTD(row);
    VF sum = 0, sum_hat = 0;
    FOR_CHUNK(ch, a.v) {
        const VF g_ = only(b * ldv(dy + a.off[1] + row * a.v + v, m) * ldv(gamma + a.off[4] + v, m), m);
        sum += g_;
        sum_hat += g_ * ((before * ldv(x + a.off[0] + row * a.v + v, m) - mean) * rstd);
    }
    const float all = group_sum(sum), all_hat = group_sum(sum_hat);
    if (LOCAL() == 0) {
        part[a.off[5] + (a.n0 + row) * a.tc + a.ch0 + ch] = all;
        part[a.off[5] + (a.rows + a.n0 + row) * a.tc + a.ch0 + ch] = all_hat;
    }
}

/* row_norm_bwd: dx (+)= a ((with factors: dy) + rstd (g - means[row] - hat means[rows + row])). */
__kernel WGP void row_norm_bwd(GC(float) x, GC(float) dy, GC(float) f, GC(float) stats, GC(float) gamma,
                               GC(float) means, G(float) dx, struct a_row a)
{
    FOR_VOXELS(a.n) {
        const float before = BEFORE(row), rstd = RSTD(row);
        const float m0 = means[a.off[5] + a.n0 + row], m1 = means[a.off[5] + a.rows + a.n0 + row];
        const VF d = ldv(dy + a.off[1] + row * a.v + v, m);
        const VF hat = (before * ldv(x + a.off[0] + row * a.v + v, m) - MEAN(row)) * rstd;
        VF du = rstd * (BEHIND(row) * d * ldv(gamma + a.off[4] + v, m) - m0 - hat * m1);
        if (a.factors)
            du += d;
        PUT(dx + a.off[6] + row * a.v + v, before * du, m, a.accum);
    }
}

/* row_norm_param: out (+)= sum over the launch's rows of b dy hat (mode 0: gamma), of b dy (mode 1: beta). */
__kernel WGP void row_norm_param(GC(float) x, GC(float) dy, GC(float) f, GC(float) stats, G(float) out,
                                 struct a_row a)
{
    FOR_VOXELS(1) {
        VF sum = 0;
        for (int r = row; r < a.n; r++) {
            const VF h = BEHIND(r) * ldv(dy + a.off[1] + r * a.v + v, m);
            sum += a.mode ? h : h * ((BEFORE(r) * ldv(x + a.off[0] + r * a.v + v, m) - MEAN(r)) * RSTD(r));
        }
        PUT(out + a.off[4] + v, sum, m, a.accum);
    }
}

/* row_peak: of the chunk: part[(row * tc + ch) * 2] = its maximum, behind it sum exp(x - maximum). */
__kernel WGP void row_peak(GC(float) x, G(float) part, struct a_row a)
{
    GROUP_SUMS
    ROW_CHUNK()
    VF top = -3e38f;
    FOR_CHUNK(ch, a.v)
        top = fmax(top, ldv(x + a.off[0] + row * a.v + v, m));
#ifdef PV_FAT
    const float8 t8 = fmax(LO16(top), HI16(top));
    const float4 t4 = fmax(LO8(t8), HI8(t8));
    const float most = fmax(fmax(t4.x, t4.y), fmax(t4.z, t4.w));
#else
    const float most = group_max(top);
#endif
    VF sum = 0;
    FOR_CHUNK(ch, a.v)
        sum += only(exp(ldv(x + a.off[0] + row * a.v + v, m) - most), m);
    const float all = group_sum(sum);
    if (LOCAL() == 0) {
        G(float) p = part + a.off[1] + ((a.n0 + row) * a.tc + a.ch0 + ch) * 2;
        p[0] = most;
        p[1] = all;
    }
}

/* row_peak_end: stats[row * 2] = maximum of the row, stats[row * 2 + 1] = 1 / sum exp(x - maximum). One row each. */
__kernel WG64 void row_peak_end(GC(float) part, G(float) stats, struct a_row a)
{
    const int row = GROUP() * 64 + LOCAL();
    if (row >= a.rows)
        return;
    GC(float) p = part + a.off[0] + row * a.tc * 2;
    float most = p[0], sum = 0;
    for (int i = 1; i < a.tc; i++)
        most = fmax(most, p[i * 2]);
    for (int i = 0; i < a.tc; i++)
        sum += p[i * 2 + 1] * exp(p[i * 2] - most);
    stats[a.off[1] + row * 2] = most;
    stats[a.off[1] + row * 2 + 1] = 1.0f / sum;
}

/* row_soft_fwd: y = exp(x - stats[row * 2]) stats[row * 2 + 1]. */
__kernel WGP void row_soft_fwd(GC(float) x, GC(float) stats, G(float) y, struct a_row a)
{
    FOR_VOXELS(a.n) {
        GC(float) s = stats + a.off[1] + (a.n0 + row) * 2;
        stv(y + a.off[2] + row * a.v + v, exp(ldv(x + a.off[0] + row * a.v + v, m) - s[0]) * s[1], m);
    }
}

/* row_soft_sum: part[row * tc + ch] = sum y dy. Groups: rows * chunks. */
__kernel WGP void row_soft_sum(GC(float) y, GC(float) dy, G(float) part, struct a_row a)
{
    GROUP_SUMS
    ROW_CHUNK()
    VF sum = 0;
    FOR_CHUNK(ch, a.v)
        sum += only(ldv(y + a.off[0] + row * a.v + v, m) * ldv(dy + a.off[1] + row * a.v + v, m), m);
    const float all = group_sum(sum);
    if (LOCAL() == 0)
        part[a.off[2] + (a.n0 + row) * a.tc + a.ch0 + ch] = all;
}

/* row_soft_bwd: dx (+)= y (dy - sums[row]). */
__kernel WGP void row_soft_bwd(GC(float) y, GC(float) dy, GC(float) sums, G(float) dx, struct a_row a)
{
    FOR_VOXELS(a.n) {
        const VF d = ldv(y + a.off[0] + row * a.v + v, m) *
                     (ldv(dy + a.off[1] + row * a.v + v, m) - sums[a.off[2] + a.n0 + row]);
        PUT(dx + a.off[3] + row * a.v + v, d, m, a.accum);
    }
}

/* rows_mm: see args/rows.h. One (i, j) each. */
__kernel WG64 void rows_mm(GC(float) x, GC(float) w, GC(float) bias, G(float) out, struct a_rowmm a)
{
    const int e = GROUP() * 64 + LOCAL(), i = e / a.nj, j = e % a.nj;
    if (i >= a.ni)
        return;
    float sum = a.has_bias ? bias[a.off[2] + j] : 0.0f;
    for (int k = 0; k < a.nk; k++)
        sum = fma(x[a.off[0] + i * a.xi + k * a.xk], a.ones ? 1.0f : w[a.off[1] + j * a.wj + k * a.wk], sum);
    G(float) o = out + a.off[3] + i * a.os + j;
    *o = a.accum ? *o + sum : sum;
}

/* row_swap: see args/rows.h. One element of dst each. */
__kernel WG64 void row_swap(GC(float) src, G(float) dst, struct a_rowswap a)
{
    const int e = GROUP() * 64 + LOCAL(), v = e % a.v, i = e / a.v % a.ni, j = e / a.v / a.ni % a.nj;
    const int n = e / a.v / a.ni / a.nj;
    if (n >= a.n)
        return;
    const float x = src[a.off[0] + ((n * a.ni + i) * a.nj + j) * a.v + v];
    dst[a.off[1] + e] = a.accum ? dst[a.off[1] + e] + x : x;
}
