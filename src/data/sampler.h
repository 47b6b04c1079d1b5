/* SPDX-License-Identifier: Apache-2.0
 * Which volumes make up the batch of a step: a part labelled, a part not (the TwoStreamBatchSampler of the
 * public code, without its state). A batch is a function of (seed, step).
 *
 * Labelled: epochs are passes over the shuffled volumes in chunks of labeled_bs; an incomplete chunk at
 * the end is dropped. Unlabelled: one endless sequence of shuffled passes, cut into pieces of
 * unlabeled_bs. With replacement each one is drawn on its own. */
#ifndef DATA_SAMPLER_H
#define DATA_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

struct pv_sampler {
    int num_labeled, num_unlabeled;     /* volumes there are */
    int labeled_bs, unlabeled_bs;       /* volumes in a batch; one may be 0 */
    bool replacement;
    uint64_t seed;
};

/* PV_FAULT_USAGE with the remedy if no batch can be made. */
bool pv_sampler_check(const struct pv_sampler *s);
/* labeled[labeled_bs] in 0 .. num_labeled - 1, unlabeled[unlabeled_bs] in 0 .. num_unlabeled - 1. */
void pv_sampler_batch(const struct pv_sampler *s, uint64_t step, int *labeled, int *unlabeled);
/* Steps of one pass over the labelled volumes (over the others if labeled_bs is 0); at least 1. */
uint64_t pv_sampler_epoch_steps(const struct pv_sampler *s);

#endif
