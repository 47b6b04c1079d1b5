/* SPDX-License-Identifier: Apache-2.0
 * Between loss.c and ref/loss.c: references on dense doubles [n][c][v]. */
#ifndef OPS_LOSS_IMPL_H
#define OPS_LOSS_IMPL_H

#include "ops/loss.h"
#include "ops/plain.h"

/* A target: hard labels [n][1][v], or soft [n][c][v] (kl: with y log y). mask may be NULL. */
struct ref_target { const double *y, *mask; bool hard, kl; int ignore; };

/* map [n][v] = w l and sums [n][2] = sum w l, sum w; either may be NULL. */
void ref_ce(const double *z, const struct ref_target *q, double *map, double *sums, int n, int c, int64_t v);
/* dy per voxel, or with coef one value, times coef[n]. */
void ref_ce_bwd(const double *z, const struct ref_target *q, const double *dy, const double *coef, double *dz,
                int n, int c, int64_t v, bool accum);
void ref_kl(const double *p, const double *q, double *d, int n, int c, int64_t v, double eps);
void ref_kl_bwd(const double *p, const double *q, const double *dd, double *dp, int n, int c, int64_t v,
                double eps, bool accum);

#endif
