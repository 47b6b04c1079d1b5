/* SPDX-License-Identifier: Apache-2.0
 * Statistics over cases. NaN stands for a value that does not exist (a distance to nothing): any NaN among
 * the input makes the result NaN, as in numpy; leave such cases out beforehand with pv_drop_nan() or
 * pv_drop_nan_pairs() and say how many there were. No values at all give NaN too. */
#ifndef EVAL_STATS_H
#define EVAL_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t pv_drop_nan(double *v, size_t n);                        /* in place, order kept; how many stay */
size_t pv_drop_nan_pairs(double *a, double *b, size_t n);       /* pairs of which either is NaN */

double pv_mean(const double *v, size_t n);
/* ddof 0: of these values (numpy's default); 1: estimate for what they are a sample of. NaN if n <= ddof. */
double pv_std(const double *v, size_t n, int ddof);
double pv_median(const double *v, size_t n);
/* q in [0, 100]; linear between neighbours (numpy's default). Sorts a copy. */
double pv_percentile(const double *v, size_t n, double q);

/* Bootstrap of the mean over cases (CRLN: 100 resamples of the test cases): `resamples` times n cases are
 * drawn with replacement. Mean and standard deviation (ddof 0) of the means, and their percentile interval
 * that holds `level` (0.95) of them. Resample b depends on (seed, b, n) alone: equally many cases of two
 * methods in the same order are resampled alike. */
struct pv_bootstrap { double mean, std, low, high; };
struct pv_bootstrap pv_bootstrap_mean(const double *v, size_t n, int resamples, uint64_t seed, double level);

/* Paired Student's t-test on a - b. `p_greater` is the probability of such a t or a larger one if the means
 * are equal (alternative: a is larger), `p_less` of such or a smaller one. All differences equal: t is
 * infinite, or NaN with NaN probabilities if they are zero. NaN for fewer than two pairs. */
struct pv_ttest { double t, df, mean, p_two, p_greater, p_less; };
struct pv_ttest pv_ttest_paired(const double *a, const double *b, size_t n);

/* Wilcoxon's signed-rank test on a - b; zero differences are dropped, equal ones get mean ranks. Exact for
 * at most 25 remaining without ties, else the normal approximation with corrections for ties and
 * continuity; `z` is NaN where exact, else with the two-sided correction. All zero: p = 1. No pairs: NaN. */
struct pv_wilcoxon { double w_plus, w_minus, z, p_two, p_greater, p_less; size_t n; bool exact; };
struct pv_wilcoxon pv_wilcoxon_paired(const double *a, const double *b, size_t n);

/* Regularised incomplete beta function I_x(a, b); a, b > 0, x in [0, 1]. NIST DLMF 8.17.22. */
double pv_beta_inc(double a, double b, double x);

#endif
