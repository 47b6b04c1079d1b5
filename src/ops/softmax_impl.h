/* SPDX-License-Identifier: Apache-2.0
 * Between softmax.c and ref/softmax.c: references on dense doubles [n][c][v]. */
#ifndef OPS_SOFTMAX_IMPL_H
#define OPS_SOFTMAX_IMPL_H

#include "ops/plain.h"
#include "ops/softmax.h"

void ref_softmax(const double *z, double *y, int n, int c, int64_t v, bool logs);
void ref_softmax_bwd(const double *y, const double *dy, double *dz, int n, int c, int64_t v, bool logs,
                     bool accum);
void ref_argmax(const double *z, double *label, double *value, int n, int c, int64_t v);   /* either may be NULL */
void ref_onehot(const double *labels, double *y, int n, int c, int64_t v);
void ref_entropy(const double *p, double *h, int n, int c, int64_t v, double scale, double eps);
void ref_entropy_bwd(const double *p, const double *dh, double *dp, int n, int c, int64_t v, double scale,
                     double eps, bool accum);

#endif
