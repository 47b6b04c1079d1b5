/* SPDX-License-Identifier: Apache-2.0
 * References of softmax, argmax, one-hot and entropy. */
#include "ops/softmax_impl.h"

#include <math.h>

void ref_softmax(const double *z, double *y, int n, int c, int64_t v, bool logs)
{
    for (int s = 0; s < n; s++)
        for (int64_t i = 0; i < v; i++) {
            const double *zi = z + s * c * v + i;
            double *yi = y + s * c * v + i, mx = -INFINITY, sum = 0;
            for (int k = 0; k < c; k++)
                mx = fmax(mx, zi[k * v]);
            for (int k = 0; k < c; k++)
                sum += exp(zi[k * v] - mx);
            for (int k = 0; k < c; k++)
                yi[k * v] = logs ? zi[k * v] - mx - log(sum) : exp(zi[k * v] - mx) / sum;
        }
}

void ref_softmax_bwd(const double *y, const double *dy, double *dz, int n, int c, int64_t v, bool logs,
                     bool accum)
{
    for (int s = 0; s < n; s++)
        for (int64_t i = 0; i < v; i++) {
            int64_t at = s * c * v + i;
            double sum = 0;
            for (int k = 0; k < c; k++)
                sum += dy[at + k * v] * (logs ? 1 : y[at + k * v]);
            for (int k = 0; k < c; k++) {
                double g = dy[at + k * v], p = y[at + k * v], d = logs ? g - exp(p) * sum : p * (g - sum);
                dz[at + k * v] = accum ? dz[at + k * v] + d : d;
            }
        }
}

void ref_argmax(const double *z, double *label, double *value, int n, int c, int64_t v)
{
    for (int s = 0; s < n; s++)
        for (int64_t i = 0; i < v; i++) {
            const double *zi = z + s * c * v + i;
            int best = 0;
            for (int k = 1; k < c; k++)
                if (zi[k * v] > zi[best * v])
                    best = k;
            if (label)
                label[s * v + i] = best;
            if (value)
                value[s * v + i] = zi[best * v];
        }
}

void ref_onehot(const double *labels, double *y, int n, int c, int64_t v)
{
    for (int s = 0; s < n; s++)
        for (int k = 0; k < c; k++)
            for (int64_t i = 0; i < v; i++)
                y[(s * c + k) * v + i] = labels[s * v + i] == k;
}

void ref_entropy(const double *p, double *h, int n, int c, int64_t v, double scale, double eps)
{
    for (int s = 0; s < n; s++)
        for (int64_t i = 0; i < v; i++) {
            double sum = 0;
            for (int k = 0; k < c; k++) {
                double x = p[(s * c + k) * v + i];
                sum += x == 0 ? 0 : x * log(x + eps);
            }
            h[s * v + i] = -scale * sum;
        }
}

void ref_entropy_bwd(const double *p, const double *dh, double *dp, int n, int c, int64_t v, double scale,
                     double eps, bool accum)
{
    for (int s = 0; s < n; s++)
        for (int k = 0; k < c; k++)
            for (int64_t i = 0; i < v; i++) {
                int64_t at = (s * c + k) * v + i;
                double e = p[at] + eps, d = e == 0 ? 0 : -scale * dh[s * v + i] * (log(e) + p[at] / e);
                dp[at] = accum ? dp[at] + d : d;
            }
}
