/* SPDX-License-Identifier: Apache-2.0
 * Between dice.c and ref/dice.c. */
#ifndef OPS_DICE_IMPL_H
#define OPS_DICE_IMPL_H

#include "ops/dice.h"
#include "ops/plain.h"

/* What a form means, and which classes count. */
struct dice_aux { int square, per_sample, soft; uint32_t classes; float eps; };

/* Dense doubles: p [n][c][v], g [n][c][v] (soft) or labels [n][v], m [n][v] or NULL; coef [n][c][2] with
 * dp = m (coef0 g + coef1 (square: p, else 1)). */
double ref_dice(const double *p, const double *g, const double *m, double *coef, int n, int c, int64_t v,
                const struct dice_aux *q);
void ref_dice_grad(const double *p, const double *g, const double *m, const double *coef, double dy, double *dp,
                   int n, int c, int64_t v, const struct dice_aux *q, bool accum);

#endif
