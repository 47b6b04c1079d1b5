/* SPDX-License-Identifier: Apache-2.0
 * Prototype references, straight from the formulas in ops/proto.h. */
#include <math.h>
#include <string.h>

#include "ops/proto_impl.h"

static double dot(const double *a, int64_t step_a, const double *b, int64_t step_b, int d)
{
    double s = 0;
    for (int c = 0; c < d; c++)
        s += a[c * step_a] * b[c * step_b];
    return s;
}

/* 1 / max(|a|, eps); *is_short tells whether eps decided. */
static double inverse_length(const double *a, int64_t step, int d, float eps, bool *is_short)
{
    double len = sqrt(dot(a, step, a, step, d));
    *is_short = !(len > eps);
    return 1 / (*is_short ? (double)eps : len);
}

static void start(double *out, size_t count, bool accum)
{
    if (out && !accum)
        memset(out, 0, sizeof *out * count);
}

static const double *rows_of(const double *p, int n, const struct proto_desc *s)
{
    return p + (s->sets > 1 ? (int64_t)n * proto_rows(s) * s->d : 0);
}

/* ---- weighted means ---- */

void ref_proto_pool(const double *f, const double *w, double *p, double *wsum, const struct proto_desc *s)
{
    int sets = s->pooled ? 1 : s->n;
    start(p, (size_t)sets * (size_t)s->k * (size_t)s->d, false);
    start(wsum, (size_t)sets * (size_t)s->k, false);
    for (int n = 0; n < s->n; n++)
        for (int k = 0; k < s->k; k++) {
            int row = (s->pooled ? 0 : n) * s->k + k;
            const double *wk = w + ((int64_t)n * s->k + k) * s->voxels;
            for (int64_t v = 0; v < s->voxels; v++)
                wsum[row] += wk[v];
            for (int c = 0; c < s->d; c++)
                p[row * s->d + c] += dot(wk, 1, f + ((int64_t)n * s->d + c) * s->voxels, 1, (int)s->voxels);
        }
    for (int row = 0; row < sets * s->k; row++)
        for (int c = 0; c < s->d; c++)
            p[row * s->d + c] = wsum[row] > 0 ? p[row * s->d + c] / (wsum[row] + s->eps) : 0;
}

void ref_proto_pool_bwd(const double *f, const double *w, const double *p, const double *wsum, const double *dp,
                        double *df, bool af, double *dw, bool aw, const struct proto_desc *s)
{
    start(df, (size_t)s->n * (size_t)s->d * (size_t)s->voxels, af);
    start(dw, (size_t)s->n * (size_t)s->k * (size_t)s->voxels, aw);
    for (int n = 0; n < s->n; n++)
        for (int k = 0; k < s->k; k++) {
            int row = (s->pooled ? 0 : n) * s->k + k;
            if (!(wsum[row] > 0))
                continue;
            int64_t at = ((int64_t)n * s->k + k) * s->voxels;
            for (int c = 0; c < s->d; c++) {
                double g = dp[row * s->d + c] / (wsum[row] + s->eps), m = p[row * s->d + c];
                int64_t fc = ((int64_t)n * s->d + c) * s->voxels;
                for (int64_t v = 0; v < s->voxels; v++) {
                    if (df)
                        df[fc + v] += w[at + v] * g;
                    if (dw)
                        dw[at + v] += g * (f[fc + v] - m);
                }
            }
        }
}

void ref_proto_assign(const double *f, const double *idx, double *sums, double *counts, const struct proto_desc *s)
{
    start(sums, (size_t)s->k * (size_t)s->d, false);
    start(counts, (size_t)s->k, false);
    for (int n = 0; n < s->n; n++)
        for (int64_t v = 0; v < s->voxels; v++) {
            int j = (int)idx[n * s->voxels + v];
            if (j < 0 || j >= s->k)
                continue;
            counts[j] += 1;
            for (int c = 0; c < s->d; c++)
                sums[j * s->d + c] += f[((int64_t)n * s->d + c) * s->voxels + v];
        }
}

/* ---- inner products ---- */

void ref_proto_dots(const double *f, const double *p, double *y, const struct proto_desc *s)
{
    for (int n = 0; n < s->n; n++)
        for (int k = 0; k < s->k; k++)
            for (int64_t v = 0; v < s->voxels; v++)
                y[((int64_t)n * s->k + k) * s->voxels + v] =
                    dot(f + (int64_t)n * s->d * s->voxels + v, s->voxels, rows_of(p, n, s) + k * s->d, 1, s->d);
}

void ref_proto_dots_bwd(const double *f, const double *p, const double *dy, double *df, bool af, double *dp, bool ap,
                        const struct proto_desc *s)
{
    start(df, (size_t)s->n * (size_t)s->d * (size_t)s->voxels, af);
    start(dp, (size_t)s->sets * (size_t)s->k * (size_t)s->d, ap);
    for (int n = 0; n < s->n; n++)
        for (int k = 0; k < s->k; k++) {
            const double *g = dy + ((int64_t)n * s->k + k) * s->voxels, *row = rows_of(p, n, s) + k * s->d;
            for (int c = 0; c < s->d; c++) {
                int64_t at = ((int64_t)n * s->d + c) * s->voxels;
                if (dp)
                    dp[(row - p) + c] += dot(g, 1, f + at, 1, (int)s->voxels);
                for (int64_t v = 0; df && v < s->voxels; v++)
                    df[at + v] += g[v] * row[c];
            }
        }
}

/* ---- lengths and cosines ---- */

void ref_proto_l2(const double *f, double *y, const struct proto_desc *s)
{
    for (int n = 0; n < s->n; n++)
        for (int64_t v = 0; v < s->voxels; v++) {
            int64_t at = (int64_t)n * s->d * s->voxels + v;
            bool is_short;
            double r = inverse_length(f + at, s->voxels, s->d, s->eps, &is_short);
            for (int c = 0; c < s->d; c++)
                y[at + c * s->voxels] = r * f[at + c * s->voxels];
        }
}

void ref_proto_l2_bwd(const double *f, const double *dy, double *df, bool accum, const struct proto_desc *s)
{
    start(df, (size_t)s->n * (size_t)s->d * (size_t)s->voxels, accum);
    for (int n = 0; n < s->n; n++)
        for (int64_t v = 0; v < s->voxels; v++) {
            int64_t at = (int64_t)n * s->d * s->voxels + v;
            bool is_short;
            double r = inverse_length(f + at, s->voxels, s->d, s->eps, &is_short);
            double along = r * dot(f + at, s->voxels, dy + at, s->voxels, s->d);    /* <dy, unit f> */
            for (int c = 0; c < s->d && !is_short; c++) {
                int64_t i = at + c * s->voxels;
                df[i] += r * (dy[i] - along * r * f[i]);
            }
        }
}

void ref_proto_cosine(const double *f, const double *p, double *y, double *win, const struct proto_desc *s)
{
    int each = s->kk ? s->kk : 1;
    bool is_short;
    for (int n = 0; n < s->n; n++)
        for (int64_t v = 0; v < s->voxels; v++) {
            const double *fv = f + (int64_t)n * s->d * s->voxels + v, *rows = rows_of(p, n, s);
            double r = inverse_length(fv, s->voxels, s->d, s->eps, &is_short);
            for (int k = 0; k < s->k; k++) {
                double best = 0;
                int at = 0;
                for (int j = 0; j < each; j++) {
                    const double *row = rows + (k * each + j) * s->d;
                    double cosine = r * inverse_length(row, 1, s->d, s->eps, &is_short) *
                                    dot(fv, s->voxels, row, 1, s->d);
                    if (j == 0 || cosine > best) {
                        best = cosine;
                        at = j;
                    }
                }
                y[((int64_t)n * s->k + k) * s->voxels + v] = s->scale * best;
                if (win)
                    win[((int64_t)n * s->k + k) * s->voxels + v] = at;
            }
        }
}

void ref_proto_cosine_bwd(const double *f, const double *p, const double *win, const double *dy, double *df,
                          bool af, double *dp, bool ap, const struct proto_desc *s)
{
    int each = s->kk ? s->kk : 1;
    start(df, (size_t)s->n * (size_t)s->d * (size_t)s->voxels, af);
    start(dp, (size_t)s->sets * (size_t)proto_rows(s) * (size_t)s->d, ap);
    for (int n = 0; n < s->n; n++)
        for (int64_t v = 0; v < s->voxels; v++) {
            int64_t at = (int64_t)n * s->d * s->voxels + v;
            bool f_short, p_short;
            double r = inverse_length(f + at, s->voxels, s->d, s->eps, &f_short);
            for (int k = 0; k < s->k; k++) {
                int64_t o = ((int64_t)n * s->k + k) * s->voxels + v;
                const double *row = rows_of(p, n, s) + (k * each + (win ? (int)win[o] : 0)) * s->d;
                double q = inverse_length(row, 1, s->d, s->eps, &p_short), g = s->scale * dy[o];
                double cosine = r * q * dot(f + at, s->voxels, row, 1, s->d);
                for (int c = 0; c < s->d; c++) {
                    double uf = r * f[at + c * s->voxels], up = q * row[c];
                    if (df && !f_short)
                        df[at + c * s->voxels] += g * r * (up - cosine * uf);
                    if (dp && !p_short)
                        dp[row + c - p] += g * q * (uf - cosine * up);
                }
            }
        }
}

/* ---- distances ---- */

/* u - p of voxel v of sample n; returns its length. *r: 1 / |f| if normalised, else 1. */
static double difference(const double *f, const double *row, const struct proto_desc *s, double *e, double *r,
                         bool *is_short)
{
    *r = 1;
    *is_short = false;
    if (s->norm)
        *r = inverse_length(f, s->voxels, s->d, s->eps, is_short);
    for (int c = 0; c < s->d; c++)
        e[c] = *r * f[c * s->voxels] - row[c];
    return sqrt(dot(e, 1, e, 1, s->d));
}

void ref_proto_dist(const double *f, const double *p, const double *idx, double *loss, double *coef,
                    const struct proto_desc *s)
{
    double *e = pv_array(double, s->d), *sum = pv_array(double, s->k), all = 0, r;
    bool is_short;
    start(coef, (size_t)s->k, false);
    for (int n = 0; n < s->n; n++)
        for (int64_t v = 0; v < s->voxels; v++) {
            int j = (int)idx[n * s->voxels + v];
            if (j < 0 || j >= s->k)
                continue;
            coef[j] += 1;
            all += 1;
            sum[j] += difference(f + (int64_t)n * s->d * s->voxels + v, rows_of(p, n, s) + j * s->d, s, e, &r,
                                 &is_short);
        }
    *loss = 0;
    for (int j = 0; j < s->k; j++) {
        double num = s->per ? coef[j] : all;
        coef[j] = num > 0 ? 1 / num : 0;
        *loss += coef[j] * sum[j];
    }
    pv_free(e);
    pv_free(sum);
}

void ref_proto_dist_bwd(const double *f, const double *p, const double *idx, const double *coef, double dl,
                        double *df, bool accum, const struct proto_desc *s)
{
    start(df, (size_t)s->n * (size_t)s->d * (size_t)s->voxels, accum);
    double *e = pv_array(double, s->d), r;
    bool is_short;
    for (int n = 0; n < s->n; n++)
        for (int64_t v = 0; v < s->voxels; v++) {
            int j = (int)idx[n * s->voxels + v];
            if (j < 0 || j >= s->k)
                continue;
            int64_t at = (int64_t)n * s->d * s->voxels + v;
            double len = difference(f + at, rows_of(p, n, s) + j * s->d, s, e, &r, &is_short);
            if (!(len > 0) || is_short)
                continue;
            double g = dl * coef[j] / len, along = 0;   /* along: <g e, unit f> */
            if (s->norm)
                along = g * r * dot(e, 1, f + at, s->voxels, s->d);
            for (int c = 0; c < s->d; c++)
                df[at + c * s->voxels] += r * (g * e[c] - along * r * f[at + c * s->voxels]);
        }
    pv_free(e);
}
