// SPDX-License-Identifier: Apache-2.0
// Rows of PLAIN tensors; formulas, buffers, work-items as in kernels_cl/rows.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#if defined(ENTRY_row_moment) || defined(ENTRY_row_norm_sum) || defined(ENTRY_row_peak) || defined(ENTRY_row_soft_sum)
#define GROUP_SUMS
#endif
#include "common/plain.glsl"
#include "ops/args/rows.h"

WG64

#ifdef ENTRY_rows_mm
ARGS(a_rowmm)
#elif defined(ENTRY_row_swap)
ARGS(a_rowswap)
#else
ARGS(a_row)
#endif

#define BEFORE(row) (a.factors != 0 ? f[OFF(F_AT) + (a.n0 + (row)) / a.per] : 1.0)
#define BEHIND(row) (a.factors != 0 ? f[OFF(F_AT) + a.factors + (a.n0 + (row)) / a.per] : 1.0)
#define MEAN(row) stats[OFF(S_AT) + a.n0 + (row)]
#define RSTD(row) (1.0 / sqrt(stats[OFF(S_AT) + a.rows + a.n0 + (row)] + a.eps))
#define ROW_CHUNK() int g = GROUP(), ch = g % CHUNKS(a.v), row = g / CHUNKS(a.v); \
    if (row >= a.n) \
        return;

#ifdef ENTRY_row_moment
#define F_AT 1
#define S_AT 2
BUF_R(0, x)
BUF_R(1, f)
BUF_R(2, stats)
BUF_W(3, part)
void main()
{
    ROW_CHUNK()
    float mul = BEFORE(row), mean = 0.0, sum = 0.0;
    if (a.mode != 0)
        mean = MEAN(row);
    FOR_CHUNK(ch, a.v) {
        float u = mul * x[OFF(0) + row * a.v + v] - mean;
        sum += a.mode != 0 ? u * u : u;
    }
    float all = group_sum(sum);
    if (LOCAL() == 0)
        part[OFF(3) + (a.n0 + row) * a.tc + a.ch0 + ch] = all;
}
#endif

#ifdef ENTRY_row_norm_fwd
#define F_AT 1
#define S_AT 2
BUF_R(0, x)
BUF_R(1, f)
BUF_R(2, stats)
BUF_R(3, gamma)
BUF_R(4, beta)
BUF_W(5, y)
void main()
{
    FOR_VOXELS(a.n) {
        float u = BEFORE(row) * x[OFF(0) + row * a.v + v];
        float l = (u - MEAN(row)) * RSTD(row) * gamma[OFF(3) + v] + beta[OFF(4) + v];
        y[OFF(5) + row * a.v + v] = a.factors != 0 ? u + BEHIND(row) * l : l;
    }
}
#endif

#ifdef ENTRY_row_norm_sum
#define F_AT 2
#define S_AT 3
BUF_R(0, x)
BUF_R(1, dy)
BUF_R(2, f)
BUF_R(3, stats)
BUF_R(4, gamma)
BUF_W(5, part)
void main()
{
    ROW_CHUNK()
    float before = BEFORE(row), b = BEHIND(row), mean = MEAN(row), rstd = RSTD(row), sum = 0.0, sum_hat = 0.0;
    FOR_CHUNK(ch, a.v) {
        float gv = b * dy[OFF(1) + row * a.v + v] * gamma[OFF(4) + v];
        sum += gv;
        sum_hat += gv * ((before * x[OFF(0) + row * a.v + v] - mean) * rstd);
    }
    float all = group_sum(sum), all_hat = group_sum(sum_hat);
    if (LOCAL() == 0) {
        part[OFF(5) + (a.n0 + row) * a.tc + a.ch0 + ch] = all;
        part[OFF(5) + (a.rows + a.n0 + row) * a.tc + a.ch0 + ch] = all_hat;
    }
}
#endif

#ifdef ENTRY_row_norm_bwd
#define F_AT 2
#define S_AT 3
BUF_R(0, x)
BUF_R(1, dy)
BUF_R(2, f)
BUF_R(3, stats)
BUF_R(4, gamma)
BUF_R(5, means)
BUF_X(6, dx)
void main()
{
    FOR_VOXELS(a.n) {
        float before = BEFORE(row), rstd = RSTD(row), d = dy[OFF(1) + row * a.v + v];
        float m0 = means[OFF(5) + a.n0 + row], m1 = means[OFF(5) + a.rows + a.n0 + row];
        float hat = (before * x[OFF(0) + row * a.v + v] - MEAN(row)) * rstd;
        float du = rstd * (BEHIND(row) * d * gamma[OFF(4) + v] - m0 - hat * m1);
        if (a.factors != 0)
            du += d;
        PUT(dx, OFF(6) + row * a.v + v, before * du, a.accum);
    }
}
#endif

#ifdef ENTRY_row_norm_param
#define F_AT 2
#define S_AT 3
BUF_R(0, x)
BUF_R(1, dy)
BUF_R(2, f)
BUF_R(3, stats)
BUF_X(4, dst)
void main()
{
    FOR_VOXELS(1) {
        float sum = 0.0;
        for (int r = 0; r < a.n; r++) {
            float h = BEHIND(r) * dy[OFF(1) + r * a.v + v];
            if (a.mode == 0)
                h *= (BEFORE(r) * x[OFF(0) + r * a.v + v] - MEAN(r)) * RSTD(r);
            sum += h;
        }
        PUT(dst, OFF(4) + v, sum, a.accum);
    }
}
#endif

#ifdef ENTRY_row_peak
BUF_R(0, x)
BUF_W(1, part)
GROUP_FOLD(group_max, float, max, 1, max_tmp, max_out)
void main()
{
    ROW_CHUNK()
    float top = -3e38, sum = 0.0;
    FOR_CHUNK(ch, a.v)
        top = max(top, x[OFF(0) + row * a.v + v]);
    float most = group_max(top);
    FOR_CHUNK(ch, a.v)
        sum += exp(x[OFF(0) + row * a.v + v] - most);
    float all = group_sum(sum);
    if (LOCAL() == 0) {
        int p = OFF(1) + ((a.n0 + row) * a.tc + a.ch0 + ch) * 2;
        part[p] = most;
        part[p + 1] = all;
    }
}
#endif

#ifdef ENTRY_row_peak_end
BUF_R(0, part)
BUF_W(1, stats)
void main()
{
    int row = GROUP() * 64 + LOCAL();
    if (row >= a.rows)
        return;
    int p = OFF(0) + row * a.tc * 2;
    float most = part[p], sum = 0.0;
    for (int i = 1; i < a.tc; i++)
        most = max(most, part[p + i * 2]);
    for (int i = 0; i < a.tc; i++)
        sum += part[p + i * 2 + 1] * exp(part[p + i * 2] - most);
    stats[OFF(1) + row * 2] = most;
    stats[OFF(1) + row * 2 + 1] = 1.0 / sum;
}
#endif

#ifdef ENTRY_row_soft_fwd
BUF_R(0, x)
BUF_R(1, stats)
BUF_W(2, y)
void main()
{
    FOR_VOXELS(a.n) {
        int s = OFF(1) + (a.n0 + row) * 2;
        y[OFF(2) + row * a.v + v] = exp(x[OFF(0) + row * a.v + v] - stats[s]) * stats[s + 1];
    }
}
#endif

#ifdef ENTRY_row_soft_sum
BUF_R(0, y)
BUF_R(1, dy)
BUF_W(2, part)
void main()
{
    ROW_CHUNK()
    float sum = 0.0;
    FOR_CHUNK(ch, a.v)
        sum += y[OFF(0) + row * a.v + v] * dy[OFF(1) + row * a.v + v];
    float all = group_sum(sum);
    if (LOCAL() == 0)
        part[OFF(2) + (a.n0 + row) * a.tc + a.ch0 + ch] = all;
}
#endif

#ifdef ENTRY_row_soft_bwd
BUF_R(0, y)
BUF_R(1, dy)
BUF_R(2, sums)
BUF_X(3, dx)
void main()
{
    FOR_VOXELS(a.n) {
        float d = y[OFF(0) + row * a.v + v] * (dy[OFF(1) + row * a.v + v] - sums[OFF(2) + a.n0 + row]);
        PUT(dx, OFF(3) + row * a.v + v, d, a.accum);
    }
}
#endif

#ifdef ENTRY_rows_mm
BUF_R(0, x)
BUF_R(1, w)
BUF_R(2, bias)
BUF_X(3, dst)
void main()
{
    int e = GROUP() * 64 + LOCAL(), i = e / a.nj, j = e % a.nj;
    if (i >= a.ni)
        return;
    float sum = 0.0;
    if (a.has_bias != 0)
        sum = bias[OFF(2) + j];
    for (int k = 0; k < a.nk; k++)
        sum = fma(x[OFF(0) + i * a.xi + k * a.xk], a.ones != 0 ? 1.0 : w[OFF(1) + j * a.wj + k * a.wk], sum);
    PUT(dst, OFF(3) + i * a.os + j, sum, a.accum);
}
#endif

#ifdef ENTRY_row_swap
BUF_R(0, src)
BUF_X(1, dst)
void main()
{
    int e = GROUP() * 64 + LOCAL(), v = e % a.v, i = e / a.v % a.ni, j = e / a.v / a.ni % a.nj;
    int n = e / a.v / a.ni / a.nj;
    if (n >= a.n)
        return;
    float x = src[OFF(0) + ((n * a.ni + i) * a.nj + j) * a.v + v];
    PUT(dst, OFF(1) + e, x, a.accum);
}
#endif
