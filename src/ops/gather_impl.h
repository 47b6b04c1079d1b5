/* SPDX-License-Identifier: Apache-2.0
 * Between gather.c, augment.c and ref/gather.c. */
#ifndef OPS_GATHER_IMPL_H
#define OPS_GATHER_IMPL_H

#include "ops/augment.h"
#include "ops/gather.h"
#include "ops/op.h"

/* Rotation and resize about the centres in 1 / 2^16 (xx xy yx yy), from the scaled grid to the input's. */
void gather_matrix(const struct pv_gather_params *p, const int in[3], int m[4]);

/* References: dense arrays of double. */
void ref_gather(const double *x, double *y, int num, int c, const int in[3], const int out[3],
                const struct pv_gather_params *p, enum pv_gather_mode mode, enum pv_gather_border border,
                float fill);
void ref_box_mix(const double *a, const double *b, double *y, int n, int c, const int s[3],
                 const struct pv_box *boxes);
void ref_box_mask(double *y, int n, const int s[3], const struct pv_box *boxes, float inside, float outside);

/* Key and counter words of one call; the sample's is added to `sample0`. */
struct augment_key { uint32_t key[2], step, stream, sample0; };
void ref_cube_mask(const double *x, double *y, int n, int c, const int s[3], int size, uint32_t below, float fill,
                   const struct augment_key *key);
void ref_noise(const double *x, double *y, int n, int64_t len, float sigma, float clip,
               const struct augment_key *key);

#endif
