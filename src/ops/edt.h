/* SPDX-License-Identifier: Apache-2.0
 * Euclidean distance transform on the device: signed distance maps are made of the labels of a step's crops. */
#ifndef OPS_EDT_H
#define OPS_EDT_H

#include "tape/tape.h"

#define PV_EDT_FAR 1e9

/* The squared distance, in voxels, from each voxel to the nearest one of its sample and channel where x is 0; 0 there,
 * PV_EDT_FAR everywhere in a channel without such a voxel. F32 PLAIN [n][c][...], the result likewise, a new reference.
 * Exact below 2^24. No gradient. One channel must fit a binding. NULL gives NULL.
 * (scipy.ndimage.distance_transform_edt, squared.) */
pv_tensor *pv_edt2(pv_tape *t, pv_tensor *x);

/* The reference: x and y [rows][s0][s1][s2]. */
void ref_edt2(const double *x, double *y, int rows, const int s[3]);

#endif
