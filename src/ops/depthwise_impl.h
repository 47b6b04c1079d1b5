/* SPDX-License-Identifier: Apache-2.0
 * Between depthwise.c and ref/depthwise.c: dense arrays of double, [n][c][x][y][z]; kx is 3, or 1 in 2D. */
#ifndef OPS_DEPTHWISE_IMPL_H
#define OPS_DEPTHWISE_IMPL_H

#include <stdbool.h>

struct dw_desc { int n, c, s[3], kx; };

/* y (+)= w * x; flip: the transposed walk, dx from dy. */
void ref_depthwise(const double *x, const double *w, double *y, const struct dw_desc *d, bool flip, bool accum);
void ref_depthwise_wgrad(const double *x, const double *dy, double *dw, const struct dw_desc *d, bool accum);

#endif
