/* SPDX-License-Identifier: Apache-2.0
 * References of the Dice losses. */
#include "ops/dice_impl.h"

static double target(const double *g, int s, int k, int64_t i, int c, int64_t v, const struct dice_aux *q)
{
    return q->soft ? g[((int64_t)s * c + k) * v + i] : g[s * v + i] == k;
}

double ref_dice(const double *p, const double *g, const double *m, double *coef, int n, int c, int64_t v,
                const struct dice_aux *q)
{
    double loss = 0;
    int counted = 0;
    for (int k = 0; k < c; k++)
        counted += q->classes >> k & 1;
    const double weight = 1.0 / counted / (q->per_sample ? n : 1);
    for (int k = 0; k < c; k++)
        for (int s0 = 0; s0 < n; s0 += q->per_sample ? 1 : n) {
            int s1 = q->per_sample ? s0 + 1 : n;
            double inter = 0, sum = 0, c0 = 0, c1 = 0;
            for (int s = s0; s < s1; s++)
                for (int64_t i = 0; i < v; i++) {
                    double w = m ? m[s * v + i] : 1, pv = p[((int64_t)s * c + k) * v + i];
                    double gv = target(g, s, k, i, c, v, q);
                    inter += w * pv * gv;
                    sum += w * (q->square ? pv * pv + gv * gv : pv + gv);
                }
            double d = sum + (double)q->eps;
            if (q->classes >> k & 1 && d > 0) {
                loss += weight * (1 - (2 * inter + (double)q->eps) / d);
                c0 = -2 * weight / d;
                c1 = weight * (q->square ? 2 : 1) * (2 * inter + (double)q->eps) / (d * d);
            }
            for (int s = s0; s < s1; s++) {
                coef[((int64_t)s * c + k) * 2] = c0;
                coef[((int64_t)s * c + k) * 2 + 1] = c1;
            }
        }
    return loss;
}

void ref_dice_grad(const double *p, const double *g, const double *m, const double *coef, double dy, double *dp,
                   int n, int c, int64_t v, const struct dice_aux *q, bool accum)
{
    for (int s = 0; s < n; s++)
        for (int k = 0; k < c; k++)
            for (int64_t i = 0; i < v; i++) {
                int64_t row = (int64_t)s * c + k, at = row * v + i;
                double d = coef[row * 2] * target(g, s, k, i, c, v, q) +
                           coef[row * 2 + 1] * (q->square ? p[at] : 1);
                d *= dy * (m ? m[s * v + i] : 1);
                dp[at] = accum ? dp[at] + d : d;
            }
}
