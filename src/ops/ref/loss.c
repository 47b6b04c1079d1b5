/* SPDX-License-Identifier: Apache-2.0
 * References of cross-entropy and divergence. */
#include "ops/loss_impl.h"

#include <math.h>

/* Log probabilities of one voxel (channels v apart). */
static void log_probs(const double *z, double *lp, int c, int64_t v)
{
    double mx = -INFINITY, sum = 0;
    for (int k = 0; k < c; k++)
        mx = fmax(mx, z[k * v]);
    for (int k = 0; k < c; k++)
        sum += exp(z[k * v] - mx);
    for (int k = 0; k < c; k++)
        lp[k] = z[k * v] - mx - log(sum);
}

/* Target of channel k at voxel i of sample s. */
static double target(const struct ref_target *q, int s, int k, int64_t i, int c, int64_t v)
{
    return q->hard ? q->y[s * v + i] == k : q->y[((int64_t)s * c + k) * v + i];
}

static double weight(const struct ref_target *q, int s, int64_t i, int c, int64_t v)
{
    double w = q->mask ? q->mask[s * v + i] : 1, label = q->hard ? q->y[s * v + i] : 0;
    return q->hard && (label < 0 || label >= c || label == q->ignore) ? 0 : w;
}

void ref_ce(const double *z, const struct ref_target *q, double *map, double *sums, int n, int c, int64_t v)
{
    double lp[64];
    for (int s = 0; s < n; s++) {
        double sum = 0, kept = 0;
        for (int64_t i = 0; i < v; i++) {
            double l = 0, w = weight(q, s, i, c, v);
            log_probs(z + (int64_t)s * c * v + i, lp, c, v);
            for (int k = 0; k < c; k++) {
                double y = target(q, s, k, i, c, v);
                if (y != 0)
                    l += y * ((q->kl ? log(y) : 0) - lp[k]);
            }
            if (map)
                map[s * v + i] = w * l;
            sum += w * l;
            kept += w;
        }
        if (sums) {
            sums[s * 2] = sum;
            sums[s * 2 + 1] = kept;
        }
    }
}

void ref_ce_bwd(const double *z, const struct ref_target *q, const double *dy, const double *coef, double *dz,
                int n, int c, int64_t v, bool accum)
{
    double lp[64];
    for (int s = 0; s < n; s++)
        for (int64_t i = 0; i < v; i++) {
            double g = weight(q, s, i, c, v) * (coef ? dy[0] * coef[s] : dy[s * v + i]), all = 0;
            log_probs(z + (int64_t)s * c * v + i, lp, c, v);
            for (int k = 0; k < c; k++)
                all += target(q, s, k, i, c, v);
            for (int k = 0; k < c; k++) {
                int64_t at = ((int64_t)s * c + k) * v + i;
                double d = g * (exp(lp[k]) * all - target(q, s, k, i, c, v));
                dz[at] = accum ? dz[at] + d : d;
            }
        }
}

void ref_kl(const double *p, const double *q, double *d, int n, int c, int64_t v, double eps)
{
    for (int s = 0; s < n; s++)
        for (int64_t i = 0; i < v; i++) {
            double sum = 0;
            for (int k = 0; k < c; k++) {
                int64_t at = ((int64_t)s * c + k) * v + i;
                sum += q[at] == 0 ? 0 : q[at] * log((q[at] + eps) / (p[at] + eps));
            }
            d[s * v + i] = sum;
        }
}

void ref_kl_bwd(const double *p, const double *q, const double *dd, double *dp, int n, int c, int64_t v,
                double eps, bool accum)
{
    for (int s = 0; s < n; s++)
        for (int k = 0; k < c; k++)
            for (int64_t i = 0; i < v; i++) {
                int64_t at = ((int64_t)s * c + k) * v + i;
                double d = q[at] == 0 ? 0 : -dd[s * v + i] * q[at] / (p[at] + eps);
                dp[at] = accum ? dp[at] + d : d;
            }
}
