/* SPDX-License-Identifier: Apache-2.0
 * Between channorm.c and ref/channorm.c: dense arrays of double, [n][c][v]. */
#ifndef OPS_CHANNORM_IMPL_H
#define OPS_CHANNORM_IMPL_H

#include <stdbool.h>
#include <stdint.h>

struct channorm_desc { int n, c; int64_t v; };
struct ref_channorm_grads { double *dx, *dgamma, *dbeta; bool ax, ag, ab; };

void ref_channorm(const double *x, const double *gamma, const double *beta, double *y, const struct channorm_desc *d);
void ref_channorm_bwd(const double *x, const double *dy, const double *gamma, const struct ref_channorm_grads *g,
                      const struct channorm_desc *d);

#endif
