/* SPDX-License-Identifier: Apache-2.0
 * References of sums, means and differences. Tensors are dense [n][c][v]. */
#include "ops/reduce_impl.h"

#include <math.h>
#include <stdlib.h>

static double term(int form, double a, double b)
{
    switch (form) {
    case RED_X: return a;
    case RED_ABS: return fabs(a - b);
    case RED_SQ: return (a - b) * (a - b);
    default: return a != 0;
    }
}

static double slope(int form, double a, double b)
{
    switch (form) {
    case RED_X: return 1;
    case RED_ABS: return (a > b) - (a < b);
    default: return 2 * (a - b);
    }
}

void ref_red_sum(int form, const double *a, const double *b, const double *m, double *sums, int n, int c,
                 int64_t v)
{
    const int rows = c + (m != NULL);
    for (int s = 0; s < n; s++)
        for (int k = 0; k < rows; k++) {
            double sum = 0;
            for (int64_t i = 0; i < v; i++) {
                int64_t at = ((int64_t)s * c + k) * v + i;
                sum += k == c ? m[s * v + i] : term(form, a[at], b ? b[at] : 0) * (m ? m[s * v + i] : 1);
            }
            sums[s * rows + k] = sum;
        }
}

void ref_red_grad(int form, const double *a, const double *b, const double *m, const double *dy, int dys,
                  int dyk, const double *coef, double *da, int n, int c, int64_t v, bool accum)
{
    for (int s = 0; s < n; s++)
        for (int k = 0; k < c; k++)
            for (int64_t i = 0; i < v; i++) {
                int64_t at = ((int64_t)s * c + k) * v + i;
                double d = slope(form, a[at], b ? b[at] : 0) * dy[s * dys + k * dyk] *
                           (coef ? coef[s] : 1) * (m ? m[s * v + i] : 1);
                da[at] = accum ? da[at] + d : d;
            }
}

double plain_ref_finish(const double *sums, double *coef, struct plain_red r)
{
    const double div = r.red.per_channel ? r.channels : 1;
    double all = 0, loss = 0;
    int kept = 0;
    for (int s = 0; s < r.n; s++) {
        double k = r.masked ? sums[s * r.rows + r.c] : (double)r.count;
        all += k;
        kept += k > 0;
    }
    for (int s = 0; s < r.n; s++) {
        double k = r.masked ? sums[s * r.rows + r.c] : (double)r.count, d = 0, terms = 0;
        switch (r.red.kind) {
        case PV_RED_MEAN: d = div * all; break;
        case PV_RED_SAMPLE_MEAN: d = div * k * r.n; break;
        case PV_RED_SAMPLE_MEAN_KEPT: d = div * k * kept; break;
        case PV_RED_SUM: d = div; break;
        case PV_RED_MEAN_ALL: d = div * r.n * (double)r.count; break;
        case PV_RED_MASKED_EPS: d = div * all + r.red.eps; break;
        }
        coef[s] = d > 0 ? 1 / d : 0;
        for (int i = 0; i < r.c; i++)
            terms += sums[s * r.rows + i];
        loss += coef[s] * terms;
    }
    return loss;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ref_percentile(const double *x, const double *m, int64_t count, double q)
{
    double *v = pv_array(double, count);
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        if (!m || m[i] != 0)
            v[n++] = x[i];
    qsort(v, (size_t)n, sizeof *v, ascending);
    double y = INFINITY;
    if (n > 0) {
        double at = q / 100 * (double)(n - 1), lo = floor(at);
        int64_t i = (int64_t)lo, j = i + 1 < n ? i + 1 : i;
        y = v[i] == v[j] ? v[i] : v[i] + (v[j] - v[i]) * (at - lo);
    }
    pv_free(v);
    return y;
}
