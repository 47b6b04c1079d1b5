/* SPDX-License-Identifier: Apache-2.0
 * Sums, means and percentiles that stay on the device. x is PLAIN [n][c][...] or FLAT (counted as one sample of
 * one channel), F32. A mask is F32 PLAIN [n][1][...] on x's grid with weights >= 0 (usually 0 or 1), or NULL for
 * 1 everywhere; masks get no gradient. Scalars are 1-element FLAT tensors. Every sum has an order fixed by the
 * shape. Results are new references; NULL inputs give NULL. */
#ifndef OPS_REDUCE_H
#define OPS_REDUCE_H

#include "tape/tape.h"

/* From the terms l(v) of all voxels (summed over channels) and weights m(v) to one number: */
enum pv_red_kind {
    PV_RED_MEAN,                /* sum m l / sum m over the batch; 0 if nothing is kept */
    PV_RED_SAMPLE_MEAN,         /* mean over samples of sum m l / sum m; a sample without voxels counts as 0 */
    PV_RED_SAMPLE_MEAN_KEPT,    /* the same over those samples that have voxels; 0 if none has */
    PV_RED_SUM,                 /* sum m l */
    PV_RED_MEAN_ALL,            /* sum m l / (n * voxels) */
    PV_RED_MASKED_EPS,          /* sum m l / (sum m + eps) */
};
struct pv_reduction {
    enum pv_red_kind kind;
    float eps;                  /* PV_RED_MASKED_EPS */
    bool per_channel;           /* divides by the number of channels too: means over n * c * voxels, and
                                   sum m l / (c * sum m + eps) */
};

/* sum_{n,c,v} m x. Gradient to x: m. torch.sum. */
pv_tensor *pv_sum(pv_tape *t, pv_tensor *x, pv_tensor *mask);
/* sum m x / (c * sum m), 0 if the mask is empty; without mask torch.mean. Gradient to x. */
pv_tensor *pv_mean_of(pv_tape *t, pv_tensor *x, pv_tensor *mask);
/* The terms sum_c x of every voxel under any reduction. Gradient to x. */
pv_tensor *pv_reduce(pv_tape *t, pv_tensor *x, pv_tensor *mask, struct pv_reduction red);
/* FLAT [n]: sum_{c,v} m x per sample; PLAIN x. Gradient to x. */
pv_tensor *pv_sum_samples(pv_tape *t, pv_tensor *x, pv_tensor *mask);
/* FLAT [c]: sum_{n,v} m x per channel; PLAIN x. Gradient to x. */
pv_tensor *pv_sum_classes(pv_tape *t, pv_tensor *x, pv_tensor *mask);
/* sum m [x != 0]; exact below 2^24. No gradient. torch.count_nonzero. */
pv_tensor *pv_count_nonzero(pv_tape *t, pv_tensor *x, pv_tensor *mask);

/* Mean squared and mean absolute difference: terms sum_c (a - b)^2 or sum_c |a - b| of equally shaped a and b
 * under the reduction. {PV_RED_MEAN_ALL, .per_channel = true} is torch's mse_loss and l1_loss;
 * {PV_RED_MASKED_EPS, 1e-16f, ...} the masked consistency of UA-MT and MCF. Gradient to a and to b, whichever
 * needs one; sign(0) = 0. */
pv_tensor *pv_mse(pv_tape *t, pv_tensor *a, pv_tensor *b, pv_tensor *mask, struct pv_reduction red);
pv_tensor *pv_mae(pv_tape *t, pv_tensor *a, pv_tensor *b, pv_tensor *mask, struct pv_reduction red);

/* The q-th percentile, 0 <= q <= 100, of all elements of x, or of those where the mask (shaped like x) is not 0:
 * sorted x at position q / 100 * (N - 1), linear between neighbours (numpy.percentile's default). Exact order
 * statistics by radix selection. +inf if the mask is empty. x must not hold NaN, at most 2^30 elements. No
 * gradient. */
pv_tensor *pv_percentile_of(pv_tape *t, pv_tensor *x, double q, pv_tensor *mask);

#endif
