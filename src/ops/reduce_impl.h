/* SPDX-License-Identifier: Apache-2.0
 * Between reduce.c and ref/reduce.c. */
#ifndef OPS_REDUCE_IMPL_H
#define OPS_REDUCE_IMPL_H

#include "ops/args/reduce.h"
#include "ops/plain.h"

/* References on dense doubles; b, m, coef may be NULL. sums [n][c + (m ? 1 : 0)]: terms per channel, then the
 * mask. */
void ref_red_sum(int form, const double *a, const double *b, const double *m, double *sums, int n, int c,
                 int64_t v);
/* da (+)= dy[s * dys + k * dyk] * coef[s] * m * d term / da. */
void ref_red_grad(int form, const double *a, const double *b, const double *m, const double *dy, int dys,
                  int dyk, const double *coef, double *da, int n, int c, int64_t v, bool accum);
/* Of elements with m != 0 (m NULL: all), numpy's linear percentile; +inf if there are none. */
double ref_percentile(const double *x, const double *m, int64_t count, double q);

#endif
