/* SPDX-License-Identifier: Apache-2.0
 * Clustering of points on the host. */
#ifndef METHOD_KMEANS_H
#define METHOD_KMEANS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

/* k centres [k][d] of n points x [n][d] by squared distance: k-means++ (Arthur and Vassilvitskii 2007), then Lloyd's
 * steps until no point changes its centre, at most `rounds`. A centre that loses all its points moves to the point that
 * is farthest from its own. With fewer than k distinct points some centres are equal. False, and centres untouched,
 * without points. Depends on x, k and rng only. */
bool pv_kmeans(const float *x, int64_t n, int d, int k, int rounds, struct pv_rng *rng, double *centres);

#endif
