/* SPDX-License-Identifier: Apache-2.0
 * Reference of layer norm over channels. */
#include "ops/channorm_impl.h"

#include <math.h>

struct moments { double mean, rstd; };

/* Of the voxel whose channel 0 is x; channels are v elements apart. */
static struct moments moments_of(const double *x, const struct channorm_desc *d)
{
    double mean = 0, var = 0;
    for (int c = 0; c < d->c; c++)
        mean += x[c * d->v] / d->c;
    for (int c = 0; c < d->c; c++)
        var += (x[c * d->v] - mean) * (x[c * d->v] - mean) / d->c;
    return (struct moments){mean, 1 / sqrt(var + 1e-5)};
}

void ref_channorm(const double *x, const double *gamma, const double *beta, double *y, const struct channorm_desc *d)
{
    for (int n = 0; n < d->n; n++)
        for (int64_t v = 0; v < d->v; v++) {
            int64_t at = n * d->c * d->v + v;
            struct moments m = moments_of(x + at, d);
            for (int c = 0; c < d->c; c++)
                y[at + c * d->v] = gamma[c] * (x[at + c * d->v] - m.mean) * m.rstd + beta[c];
        }
}

void ref_channorm_bwd(const double *x, const double *dy, const double *gamma, const struct ref_channorm_grads *g,
                      const struct channorm_desc *d)
{
    for (int c = 0; c < d->c; c++) {
        if (g->dgamma && !g->ag)
            g->dgamma[c] = 0;
        if (g->dbeta && !g->ab)
            g->dbeta[c] = 0;
    }
    for (int n = 0; n < d->n; n++)
        for (int64_t v = 0; v < d->v; v++) {
            int64_t at = n * d->c * d->v + v;
            struct moments m = moments_of(x + at, d);
            double sum = 0, sum_hat = 0;
            for (int c = 0; c < d->c; c++) {
                double hat = (x[at + c * d->v] - m.mean) * m.rstd, up = dy[at + c * d->v];
                sum += up * gamma[c] / d->c;
                sum_hat += up * gamma[c] * hat / d->c;
                if (g->dgamma)
                    g->dgamma[c] += up * hat;
                if (g->dbeta)
                    g->dbeta[c] += up;
            }
            for (int c = 0; g->dx && c < d->c; c++) {
                double hat = (x[at + c * d->v] - m.mean) * m.rstd, *o = &g->dx[at + c * d->v];
                *o = (g->ax ? *o : 0) + m.rstd * (dy[at + c * d->v] * gamma[c] - sum - hat * sum_hat);
            }
        }
}
