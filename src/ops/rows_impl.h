/* SPDX-License-Identifier: Apache-2.0
 * Between rows.c and ref/rows.c: dense arrays of double, `rows` rows of v, `per` of them a sample. factors [2][rows /
 * per] or NULL. */
#ifndef OPS_ROWS_IMPL_H
#define OPS_ROWS_IMPL_H

#include <stdbool.h>
#include <stdint.h>

struct row_desc { int rows, per; int64_t v; };

void ref_row_norm(const double *x, const double *gamma, const double *beta, const double *factors, double *y,
                  const struct row_desc *d);
struct ref_row_grads { double *dx, *dgamma, *dbeta; bool ax, ag, ab; };
void ref_row_norm_bwd(const double *x, const double *dy, const double *gamma, const double *factors,
                      const struct ref_row_grads *g, const struct row_desc *d);
void ref_row_softmax(const double *x, double *y, const struct row_desc *d);
void ref_row_softmax_bwd(const double *y, const double *dy, double *dx, bool accum, const struct row_desc *d);
/* out[s][j][i] (+)= x[s][i][j], rows of v. */
void ref_row_swap(const double *x, double *out, int n, int ni, int nj, int64_t v, bool accum);
/* out[i * os + j] (+)= bias[j] + sum_k x[i * xi + k * xk] w[j * wj + k * wk]; bias, w may be NULL (w: 1). */
struct row_mm { int ni, nj, nk, xi, xk, wj, wk, os; };
void ref_row_mm(const double *x, const double *w, const double *bias, double *out, const struct row_mm *m, bool accum);

#endif
