/* SPDX-License-Identifier: Apache-2.0
 * Between voxels.c and ref/voxels.c. */
#ifndef OPS_VOXELS_IMPL_H
#define OPS_VOXELS_IMPL_H

#include <stdbool.h>
#include <stdint.h>

/* Key and counter words of one call. */
struct voxel_key { uint32_t key[2], step, stream, sample0; };

/* mask [n][c][v], weights [c] or NULL, words [num][2] or NULL. */
void ref_voxel_draw(const double *mask, int n, int c, int64_t v, const double *weights, const double *words,
                    const struct voxel_key *key, int num, double *out);
/* Of one map f [n][d][v] whose first voxel has the number `first`; other numbers are left out. */
void ref_voxel_rows(const double *f, int n, int d, int64_t v, int64_t first, const double *idx, int num, double *rows);
void ref_voxel_rows_bwd(const double *drows, int n, int d, int64_t v, int64_t first, const double *idx, int num,
                        double *df);

#endif
