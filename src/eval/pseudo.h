/* SPDX-License-Identifier: Apache-2.0
 * How good the pseudo labels are that a confidence threshold keeps (CRLN, figure 1): the share of voxels kept,
 * and Dice and accuracy of the prediction among them. */
#ifndef EVAL_PSEUDO_H
#define EVAL_PSEUDO_H

#include <stddef.h>
#include <stdint.h>

struct pv_pseudo {
    uint64_t num_voxels, num_kept;      /* without ignored ones */
    double kept;                        /* num_kept / num_voxels; NaN if there are none */
    double accuracy;                    /* share of the kept ones whose label is right; NaN if none is kept */
    double dice[256];                   /* per class among the kept; NaN where neither volume has the class */
    double mean_dice;                   /* over classes 1 .. that have one; NaN if none has */
};

/* n voxels: confidence, predicted and reference label. A voxel is kept if its confidence exceeds `threshold`
 * (NaN never does). Reference label `ignore` (-1: none) counts nowhere. num_classes in [2, 256]. */
struct pv_pseudo pv_pseudo_quality(const float *confidence, double threshold, const uint8_t *pred,
                                   const uint8_t *ref, size_t n, int num_classes, int ignore);

#endif
