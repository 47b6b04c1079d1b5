/* SPDX-License-Identifier: Apache-2.0
 * Batches of augmented patches, made ahead by threads. The batch of a step depends on (seed, step) and
 * the store's volumes only: not on threads, on how far they are ahead, or on the step one began with. */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "data/augment.h"
#include "data/slices.h"
#include "data/store.h"

struct pv_loader_params {
    pv_store *store;                    /* kept; must outlive the loader */
    const int *labeled, *unlabeled;     /* items of the store; copied */
    /* Slices in 2D: sample i of each kind is slice labeled_slices[i] of item labeled[i], and `flat` is used in place of
     * aug. Copied; NULL: volumes. */
    const int *labeled_slices, *unlabeled_slices;
    struct pv_slice_params flat;
    int num_labeled, num_unlabeled;
    int labeled_bs, unlabeled_bs;
    bool replacement;
    bool reveal;                        /* labels of unlabelled volumes too, for diagnosis: else 255. The
                                           store must hold them */
    int32_t pad_label;                  /* label of voxels beyond the volume: 0, or PV_LABEL_IGNORE where
                                           annotation is sparse */
    struct pv_aug_params aug;
    uint64_t seed, first_step;
    int rank, ranks;                    /* batch of step s is number s * ranks + rank of the sequence; 0, 0: one
                                           process */
    int threads;                        /* 0: one per processor */
    int depth;                          /* batches made ahead; 0: 3 */
};

struct pv_sample {
    int item;                           /* of the store */
    struct pv_aug aug;                  /* what was drawn: turn, mirror, place */
    int slice;                          /* -1: the item is not a stack of slices */
    struct pv_slice_aug turned;         /* of a slice */
};

/* Samples 0 .. n_labeled - 1 are labelled, the n_unlabeled others not. */
struct pv_batch {
    uint64_t step;
    int n_labeled, n_unlabeled, channels, patch[3];
    const float *image;                 /* [n][channels][x][y][z] */
    const int32_t *label;               /* [n][x][y][z], 255: not annotated */
    const struct pv_sample *samples;    /* [n] */
};

typedef struct pv_loader pv_loader;

/* NULL with PV_FAULT_USAGE (a batch cannot be made) or PV_FAULT_INPUT (memory). */
pv_loader *pv_loader_start(const struct pv_loader_params *p);
/* The batch of the next step, waiting for it; it stays until the next call. NULL once a thread failed, with
 * that fault, or after pv_loader_stop. */
const struct pv_batch *pv_loader_next(pv_loader *l);
/* Ends the threads, also amid a read, and frees everything. */
void pv_loader_stop(pv_loader **l);

#endif
