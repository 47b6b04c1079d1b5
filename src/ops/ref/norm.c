/* SPDX-License-Identifier: Apache-2.0
 * Normalisation reference: two passes for the statistics (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1;
 * Ulyanov et al., arXiv 1607.08022), gradients by the chain rule through mean and variance. */
#include <math.h>

#include "base/rng.h"
#include "ops/norm_impl.h"

static double *cell(const double *table, const struct norm_desc *d, const struct pv_shape *h, int n, int c, int k)
{
    int row = d->kind == PV_NORM_INSTANCE ? n : 0;
    return (double *)(uintptr_t)table + (row * pv_blocks(h->c) + c / 16) * 64 + k * 16 + c % 16;
}

enum { SCALE, BIAS, MEAN, RSTD };

static double factor(const struct norm_desc *d, const struct pv_shape *h, int n, int c, int64_t v)
{
    if (d->drop == PV_DROP_NONE)
        return 1;
    int64_t quads = (h->c + 3) / 4, first = d->drop == PV_DROP_ELEMENT ? v : 0;
    const uint32_t ctr[] = {d->step, d->stream, d->sample + (uint32_t)n, (uint32_t)(first * quads + c / 4)};
    uint32_t r[4];
    pv_philox(r, ctr, d->key);
    return r[c % 4] < d->keep ? (double)d->keep_scale : 0;
}

void ref_norm_table(const double *x, double *table, const double *gamma, const double *beta, double *running_mean,
                    double *running_var, const struct pv_shape *h, const struct norm_desc *d)
{
    int64_t voxels = pv_voxels(h);
    int rows = norm_rows(d, h), samples = h->n / rows;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < h->c; c++) {
            double mean = 0, var = 0, count = (double)voxels * samples;
            if (!d->batch_stats) {
                mean = running_mean[c];
                var = running_var[c];
            } else {
                for (int n = r; n < r + samples; n++)
                    for (int64_t v = 0; v < voxels; v++)
                        mean += x[((int64_t)n * h->c + c) * voxels + v];
                mean /= count;
                for (int n = r; n < r + samples; n++)
                    for (int64_t v = 0; v < voxels; v++) {
                        double e = x[((int64_t)n * h->c + c) * voxels + v] - mean;
                        var += e * e;
                    }
                if (running_mean) {
                    double m = (double)d->momentum;
                    running_mean[c] = (1 - m) * running_mean[c] + m * mean;
                    running_var[c] = (1 - m) * running_var[c] + m * (var / (count > 1 ? count - 1 : 1));
                }
                var /= count;
            }
            double rstd = 1 / sqrt(var + (double)d->eps), scale = (gamma ? gamma[c] : 1) * rstd;
            *cell(table, d, h, r, c, SCALE) = scale;
            *cell(table, d, h, r, c, BIAS) = beta ? beta[c] : 0;
            *cell(table, d, h, r, c, MEAN) = mean;
            *cell(table, d, h, r, c, RSTD) = rstd;
        }
}

/* What the activation sees at element i of (n, c). */
static double before(const double *x, const double *table, const double *res, const struct pv_shape *h,
                     const struct norm_desc *d, int n, int c, int64_t i)
{
    double v = x[i];
    if (d->kind != PV_NORM_NONE)
        v = (v - *cell(table, d, h, n, c, MEAN)) * *cell(table, d, h, n, c, SCALE) + *cell(table, d, h, n, c, BIAS);
    return res ? v + res[i] : v;
}

void ref_norm_apply(const double *x, const double *table, const double *res, const double *skip, double *y,
                    const struct pv_shape *h, const struct norm_desc *d)
{
    int64_t voxels = pv_voxels(h), i = 0;
    for (int n = 0; n < h->n; n++)
        for (int c = 0; c < h->c; c++)
            for (int64_t v = 0; v < voxels; v++, i++) {
                double u = before(x, table, res, h, d, n, c, i);
                y[i] = (u > 0 ? u : u * (double)d->slope) * factor(d, h, n, c, v) + (skip ? skip[i] : 0);
            }
}

/* Gradient that arrives at norm(x) + residual. */
static double arriving(const double *dy, const double *x, const double *table, const double *res,
                       const struct pv_shape *h, const struct norm_desc *d, int n, int c, int64_t v)
{
    int64_t i = ((int64_t)n * h->c + c) * pv_voxels(h) + v;
    double g = dy[i] * factor(d, h, n, c, v);
    if (d->slope == 1)
        return g;
    return before(x, table, res, h, d, n, c, i) > 0 ? g : g * (double)d->slope;
}

static void put(double *to, int64_t i, bool add, double v) { to[i] = add ? to[i] + v : v; }

void ref_norm_grad(const double *dy, const double *x, const double *table, const double *res,
                   const struct ref_norm_grads *out, const struct norm_grads *want, const struct pv_shape *h,
                   const struct norm_desc *d)
{
    int64_t voxels = pv_voxels(h);
    int rows = norm_rows(d, h), samples = h->n / rows;
    bool through_stats = d->batch_stats && out->dx, sums = through_stats || out->dgamma || out->dbeta;
    for (int c = 0; c < h->c; c++) {
        double all_g = 0, all_h = 0;
        for (int r = 0; r < rows; r++) {
            double sum_g = 0, sum_h = 0, scale = 1, mean = 0, rstd = 0, count = (double)voxels * samples;
            if (d->kind != PV_NORM_NONE) {
                scale = *cell(table, d, h, r, c, SCALE);
                mean = *cell(table, d, h, r, c, MEAN);
                rstd = *cell(table, d, h, r, c, RSTD);
            }
            for (int n = r; sums && n < r + samples; n++)
                for (int64_t v = 0; v < voxels; v++) {
                    double g = arriving(dy, x, table, res, h, d, n, c, v);
                    sum_g += g;
                    sum_h += g * (x[((int64_t)n * h->c + c) * voxels + v] - mean) * rstd;
                }
            all_g += sum_g;
            all_h += sum_h;
            for (int n = r; n < r + samples; n++)
                for (int64_t v = 0; v < voxels; v++) {
                    int64_t i = ((int64_t)n * h->c + c) * voxels + v;
                    double g = arriving(dy, x, table, res, h, d, n, c, v), dx = g * scale;
                    if (through_stats)
                        dx = scale * (g - sum_g / count - (x[i] - mean) * rstd * (sum_h / count));
                    if (out->dres)
                        put(out->dres, i, want->add_res, g);
                    if (out->dx)
                        put(out->dx, i, want->add_x, dx);
                }
        }
        if (out->dgamma)
            put(out->dgamma, c, want->add_gamma, all_h);
        if (out->dbeta)
            put(out->dbeta, c, want->add_beta, all_g);
    }
}
