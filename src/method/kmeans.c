/* SPDX-License-Identifier: Apache-2.0
 * K-means: k-means++ and Lloyd's steps. */
#include "method/kmeans.h"

#include <math.h>

#include "base/base.h"

static double distance2(const float *x, const double *c, int d)
{
    double sum = 0;
    for (int i = 0; i < d; i++)
        sum += (x[i] - c[i]) * (x[i] - c[i]);
    return sum;
}

static void take(const float *x, int d, double *c)
{
    for (int i = 0; i < d; i++)
        c[i] = x[i];
}

/* Each next centre is a point, drawn by its squared distance to the nearest centre so far. */
static void seed_centres(const float *x, int64_t n, int d, int k, struct pv_rng *rng, double *c, double *near)
{
    take(x + (int64_t)pv_rng_below(rng, (uint32_t)n) * d, d, c);
    for (int64_t i = 0; i < n; i++)
        near[i] = HUGE_VAL;
    for (int j = 1; j < k; j++) {
        double total = 0;
        for (int64_t i = 0; i < n; i++) {
            near[i] = fmin(near[i], distance2(x + i * d, c + (j - 1) * d, d));
            total += near[i];
        }
        double left = pv_rng_uniform(rng) * total;
        int64_t at = 0;
        while (at < n - 1 && (left -= near[at]) >= 0)
            at++;
        take(x + at * d, d, c + j * d);
    }
}

bool pv_kmeans(const float *x, int64_t n, int d, int k, int rounds, struct pv_rng *rng, double *centres)
{
    if (n < 1)
        return false;
    double *near = pv_array(double, n), *sum = pv_array(double, k * d);
    int64_t *count = pv_array(int64_t, k);
    int *own = pv_array(int, n);
    seed_centres(x, n, d, k, rng, centres, near);
    for (int64_t i = 0; i < n; i++)
        own[i] = -1;
    bool changed = true;
    for (int round = 0; round < rounds && changed; round++) {
        changed = false;
        for (int i = 0; i < k * d; i++)
            sum[i] = 0;
        for (int j = 0; j < k; j++)
            count[j] = 0;
        for (int64_t i = 0; i < n; i++) {
            int best = 0;
            near[i] = HUGE_VAL;
            for (int j = 0; j < k; j++) {
                const double q = distance2(x + i * d, centres + j * d, d);
                if (q < near[i]) {
                    near[i] = q;
                    best = j;
                }
            }
            changed = changed || own[i] != best;
            own[i] = best;
            count[best]++;
            for (int a = 0; a < d; a++)
                sum[best * d + a] += x[i * d + a];
        }
        for (int j = 0; j < k; j++) {
            int64_t far = 0;
            if (count[j]) {
                for (int a = 0; a < d; a++)
                    centres[j * d + a] = sum[j * d + a] / (double)count[j];
                continue;
            }
            for (int64_t i = 1; i < n; i++)
                if (near[i] > near[far])
                    far = i;
            if (near[far] > 0) {
                take(x + far * d, d, centres + j * d);
                near[far] = 0;
                changed = true;
            }
        }
    }
    pv_free(near);
    pv_free(sum);
    pv_free(count);
    pv_free(own);
    return true;
}
