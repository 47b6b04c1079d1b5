/* SPDX-License-Identifier: Apache-2.0
 * References of ops on rows, straight from the formulas in ops/rows.h. */
#include "ops/rows_impl.h"

#include <math.h>

static const double row_eps = 1e-5;

struct moments { double mean, rstd; };

static struct moments moments_of(const double *x, double a, int64_t v)
{
    double mean = 0, var = 0;
    for (int64_t i = 0; i < v; i++)
        mean += a * x[i] / (double)v;
    for (int64_t i = 0; i < v; i++)
        var += (a * x[i] - mean) * (a * x[i] - mean) / (double)v;
    return (struct moments){mean, 1 / sqrt(var + row_eps)};
}

static double before(const double *factors, int r, const struct row_desc *d)
{
    return factors ? factors[r / d->per] : 1;
}

static double behind(const double *factors, int r, const struct row_desc *d)
{
    return factors ? factors[d->rows / d->per + r / d->per] : 1;
}

void ref_row_norm(const double *x, const double *gamma, const double *beta, const double *factors, double *y,
                  const struct row_desc *d)
{
    for (int r = 0; r < d->rows; r++, x += d->v, y += d->v) {
        double a = before(factors, r, d), b = behind(factors, r, d);
        struct moments m = moments_of(x, a, d->v);
        for (int64_t i = 0; i < d->v; i++)
            y[i] = (factors ? a * x[i] : 0) + b * ((a * x[i] - m.mean) * m.rstd * gamma[i] + beta[i]);
    }
}

void ref_row_norm_bwd(const double *x, const double *dy, const double *gamma, const double *factors,
                      const struct ref_row_grads *g, const struct row_desc *d)
{
    for (int64_t i = 0; i < d->v; i++) {
        if (g->dgamma && !g->ag)
            g->dgamma[i] = 0;
        if (g->dbeta && !g->ab)
            g->dbeta[i] = 0;
    }
    for (int r = 0; r < d->rows; r++, x += d->v, dy += d->v) {
        double a = before(factors, r, d), b = behind(factors, r, d), s = 0, sx = 0;
        struct moments m = moments_of(x, a, d->v);
        for (int64_t i = 0; i < d->v; i++) {
            double hat = (a * x[i] - m.mean) * m.rstd;
            if (g->dgamma)
                g->dgamma[i] += b * dy[i] * hat;
            if (g->dbeta)
                g->dbeta[i] += b * dy[i];
            s += b * dy[i] * gamma[i] / (double)d->v;
            sx += b * dy[i] * gamma[i] * hat / (double)d->v;
        }
        for (int64_t i = 0; g->dx && i < d->v; i++) {
            double hat = (a * x[i] - m.mean) * m.rstd;
            double du = (factors ? dy[i] : 0) + m.rstd * (b * dy[i] * gamma[i] - s - hat * sx);
            double *out = g->dx + r * d->v + i;
            *out = (g->ax ? *out : 0) + a * du;
        }
    }
}

void ref_row_softmax(const double *x, double *y, const struct row_desc *d)
{
    for (int r = 0; r < d->rows; r++, x += d->v, y += d->v) {
        double most = x[0], sum = 0;
        for (int64_t i = 1; i < d->v; i++)
            most = x[i] > most ? x[i] : most;
        for (int64_t i = 0; i < d->v; i++)
            sum += y[i] = exp(x[i] - most);
        for (int64_t i = 0; i < d->v; i++)
            y[i] /= sum;
    }
}

void ref_row_softmax_bwd(const double *y, const double *dy, double *dx, bool accum, const struct row_desc *d)
{
    for (int r = 0; r < d->rows; r++, y += d->v, dy += d->v, dx += d->v) {
        double sum = 0;
        for (int64_t i = 0; i < d->v; i++)
            sum += y[i] * dy[i];
        for (int64_t i = 0; i < d->v; i++)
            dx[i] = (accum ? dx[i] : 0) + y[i] * (dy[i] - sum);
    }
}

void ref_row_mm(const double *x, const double *w, const double *bias, double *out, const struct row_mm *m, bool accum)
{
    for (int i = 0; i < m->ni; i++)
        for (int j = 0; j < m->nj; j++) {
            double s = bias ? bias[j] : 0;
            for (int k = 0; k < m->nk; k++)
                s += x[i * m->xi + k * m->xk] * (w ? w[j * m->wj + k * m->wk] : 1);
            double *o = out + i * m->os + j;
            *o = (accum ? *o : 0) + s;
        }
}

void ref_row_swap(const double *x, double *out, int n, int ni, int nj, int64_t v, bool accum)
{
    for (int s = 0; s < n; s++)
        for (int i = 0; i < ni; i++)
            for (int j = 0; j < nj; j++)
                for (int64_t e = 0; e < v; e++) {
                    double *o = &out[((int64_t)s * ni * nj + j * ni + i) * v + e];
                    *o = (accum ? *o : 0) + x[((int64_t)s * ni * nj + i * nj + j) * v + e];
                }
}
