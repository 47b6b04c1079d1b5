/* SPDX-License-Identifier: Apache-2.0
 * Largest connected components of label maps, on the device: pseudo labels are cleaned within a step. */
#ifndef OPS_LARGEST_H
#define OPS_LARGEST_H

#include "tape/tape.h"

enum { PV_LARGEST_CLASSES = 32 };

/* Keeps, in each sample and for each class 1 .. classes - 1 by itself, the largest component of its voxels; the others
 * become 0, and so do labels outside [0, classes). Voxels that share a face, an edge or a corner are connected (26
 * neighbours in 3D, 8 in 2D); of equally large components the one with the first voxel in scan order stays.
 * labels I32 PLAIN [n][1][...], 1 <= classes <= 32; the result likewise, a new reference. No gradient. One sample must
 * fit a binding. NULL gives NULL. (skimage.measure.label and the largest of its bins, as in BCP's public code.) */
pv_tensor *pv_largest_components(pv_tape *t, pv_tensor *labels, int classes);

/* The reference: label and out [n][sx][sy][sz]. */
void ref_largest(const double *label, double *out, int n, const int s[3], int classes);

#endif
