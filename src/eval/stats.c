/* SPDX-License-Identifier: Apache-2.0
 * stats.h in double precision. */
#include "eval/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"

enum { MOST_EXACT = 25 };

/* ---- moments and order ---- */

size_t pv_drop_nan(double *v, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(v[i]))
            v[k++] = v[i];
    return k;
}

size_t pv_drop_nan_pairs(double *a, double *b, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(a[i]) || isnan(b[i]))
            continue;
        a[k] = a[i];
        b[k++] = b[i];
    }
    return k;
}

/* Kahan's: millions of distances, or of 1e9 + small, lose nothing. */
static double sum(const double *v, size_t n)
{
    double s = 0, lost = 0;
    for (size_t i = 0; i < n; i++) {
        double t = v[i] - lost, next = s + t;
        lost = isfinite(next) ? next - s - t : 0;
        s = next;
    }
    return s;
}

double pv_mean(const double *v, size_t n)
{
    return n ? sum(v, n) / (double)n : NAN;
}

double pv_std(const double *v, size_t n, int ddof)
{
    if (n == 0 || n <= (size_t)ddof)
        return NAN;
    double mean = pv_mean(v, n), s = 0;
    for (size_t i = 0; i < n; i++)
        s += (v[i] - mean) * (v[i] - mean);
    return sqrt(s / (double)(n - (size_t)ddof));
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* pv_free it; NULL if there are no values or a NaN among them. */
static double *sorted_copy(const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(v[i]))
            return NULL;
    if (n == 0)
        return NULL;
    double *c = pv_alloc(n * sizeof *c);
    memcpy(c, v, n * sizeof *c);
    qsort(c, n, sizeof *c, ascending);
    return c;
}

double pv_percentile(const double *v, size_t n, double q)
{
    double *c = sorted_copy(v, n);
    if (!c)
        return NAN;
    double at = fmin(fmax(q / 100, 0), 1) * (double)(n - 1);
    size_t i = (size_t)at;
    double t = at - (double)i, a = c[i], b = c[i + 1 < n ? i + 1 : i];
    pv_free(c);
    /* from the nearer end: exact at both, and monotone */
    return t <= 0 || a == b ? a : t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

double pv_median(const double *v, size_t n)
{
    return pv_percentile(v, n, 50);
}

struct pv_bootstrap pv_bootstrap_mean(const double *v, size_t n, int resamples, uint64_t seed, double level)
{
    struct pv_bootstrap r = {NAN, NAN, NAN, NAN};
    if (n == 0 || n > UINT32_MAX || resamples < 1)
        return r;
    double *means = pv_array(double, resamples), *drawn = pv_array(double, n);
    for (int b = 0; b < resamples; b++) {
        struct pv_rng rng = pv_rng_make(seed, pv_stream("bootstrap", (uint64_t)b, n));
        for (size_t i = 0; i < n; i++)
            drawn[i] = v[pv_rng_below(&rng, (uint32_t)n)];
        means[b] = pv_mean(drawn, n);
    }
    r.mean = pv_mean(means, (size_t)resamples);
    r.std = pv_std(means, (size_t)resamples, 0);
    r.low = pv_percentile(means, (size_t)resamples, 50 * (1 - level));
    r.high = pv_percentile(means, (size_t)resamples, 50 * (1 + level));
    pv_free(means);
    pv_free(drawn);
    return r;
}

/* ---- Student's t ---- */

/* The continued fraction 1 / (1 + d1 / (1 + d2 / ...)) by Lentz's method; converges fast for
 * x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double f = 1, c = 1, d = 0;
    for (int i = 1; i < 10000; i++) {
        double m = i / 2, k = i % 2 ? -(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1))
                                    : m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + k * x * d;
        c = 1 + k * x / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        f *= c * d;
        if (fabs(c * d - 1) < 1e-16)
            break;
    }
    return 1 / f;
}

double pv_beta_inc(double a, double b, double x)
{
    if (!(a > 0 && b > 0 && x >= 0 && x <= 1))
        return NAN;
    if (x == 0 || x == 1)
        return x;
    bool mirror = x > (a + 1) / (a + b + 2);
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return mirror ? 1 - front * beta_fraction(b, a, 1 - x) / b : front * beta_fraction(a, b, x) / a;
}

struct pv_ttest pv_ttest_paired(const double *a, const double *b, size_t n)
{
    struct pv_ttest r = {NAN, n > 0 ? (double)(n - 1) : NAN, NAN, NAN, NAN, NAN};
    double *d = pv_array(double, n + 1);
    for (size_t i = 0; i < n; i++)
        d[i] = a[i] - b[i];
    r.mean = pv_mean(d, n);
    double error = pv_std(d, n, 1) / sqrt((double)n);
    pv_free(d);
    if (n < 2)
        return r;
    r.t = r.mean / error;
    if (isnan(r.t))
        return r;
    /* I_x and 1 - I_x each from the side where it is small, so that nothing cancels */
    double t2 = r.t * r.t, tail;
    if (isinf(r.t))
        tail = 0;
    else if (t2 < r.df)
        tail = 0.5 * (1 - pv_beta_inc(0.5, 0.5 * r.df, t2 / (r.df + t2)));
    else
        tail = 0.5 * pv_beta_inc(0.5 * r.df, 0.5, r.df / (r.df + t2));
    r.p_two = 2 * tail;
    r.p_greater = r.t > 0 ? tail : 1 - tail;
    r.p_less = r.t > 0 ? 1 - tail : tail;
    return r;
}

/* ---- Wilcoxon's signed ranks ---- */

struct diff { double size; bool positive; };

static int by_size(const void *a, const void *b)
{
    double x = ((const struct diff *)a)->size, y = ((const struct diff *)b)->size;
    return (x > y) - (x < y);
}

/* P(W+ >= w) if each of the ranks 1 .. n is positive with probability 1/2. */
static double exact_tail(int n, int w)
{
    enum { MOST_SUM = MOST_EXACT * (MOST_EXACT + 1) / 2 };
    double ways[MOST_SUM + 1] = {1};            /* at most 2^25, exact */
    int most = n * (n + 1) / 2;
    for (int rank = 1; rank <= n; rank++)
        for (int s = most; s >= rank; s--)
            ways[s] += ways[s - rank];
    double count = 0;
    for (int s = pv_max(w, 0); s <= most; s++)
        count += ways[s];
    return ldexp(count, -n);
}

static double normal_tail(double z)
{
    return 0.5 * erfc(z / sqrt(2));
}

struct pv_wilcoxon pv_wilcoxon_paired(const double *a, const double *b, size_t n)
{
    struct pv_wilcoxon r = {NAN, NAN, NAN, NAN, NAN, NAN, 0, false};
    struct diff *d = pv_array(struct diff, n + 1);
    bool valid = n > 0, ties = false;
    for (size_t i = 0; i < n; i++) {
        double v = a[i] - b[i];
        valid = valid && !isnan(v);
        if (v != 0)
            d[r.n++] = (struct diff){fabs(v), v > 0};
    }
    if (!valid)
        goto done;
    qsort(d, r.n, sizeof *d, by_size);
    r.w_plus = r.w_minus = 0;
    double tied = 0, num = (double)r.n;         /* sum of t^3 - t over groups of t equal ones */
    for (size_t i = 0, end; i < r.n; i = end) {
        for (end = i + 1; end < r.n && d[end].size == d[i].size;)
            end++;
        double rank = 0.5 * (double)(i + 1 + end), t = (double)(end - i);
        ties = ties || t > 1;
        tied += t * t * t - t;
        for (size_t k = i; k < end; k++)
            *(d[k].positive ? &r.w_plus : &r.w_minus) += rank;
    }
    r.exact = r.n <= MOST_EXACT && !ties;
    if (r.exact) {
        r.p_greater = exact_tail((int)r.n, (int)r.w_plus);
        r.p_less = exact_tail((int)r.n, (int)r.w_minus);        /* the distribution is symmetric */
        r.p_two = fmin(1, 2 * fmin(r.p_greater, r.p_less));
    } else {
        double excess = r.w_plus - num * (num + 1) / 4;
        double sigma = sqrt((num * (num + 1) * (2 * num + 1) - tied / 2) / 24);
        r.z = (excess - (excess > 0 ? 0.5 : excess < 0 ? -0.5 : 0)) / sigma;
        r.p_greater = normal_tail((excess - 0.5) / sigma);
        r.p_less = normal_tail(-(excess + 0.5) / sigma);
        r.p_two = 2 * normal_tail(fabs(r.z));
    }
done:
    pv_free(d);
    return r;
}
