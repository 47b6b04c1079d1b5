/* SPDX-License-Identifier: Apache-2.0
 * Single voxels of maps: drawing them from masks, reading their features. A voxel has a number: sample * (x y z) +
 * its place in the volume, (x * sy + y) * sz + z. Results are new references; NULL inputs give NULL. */
#ifndef OPS_VOXELS_H
#define OPS_VOXELS_H

#include "tape/tape.h"

enum { PV_VOXEL_MAPS = 4 };

/* FLAT I32 [num]: numbers of voxels drawn with replacement, all alike, from mask, PLAIN F32 [n][c][...] (a voxel is in
 * if it is not 0). Draw i takes random words r, s: channel k is the first with r' W < w_0 + ... + w_k, r' = (r / 2^8) /
 * 2^24, W = sum w, of those with w_k > 0. weights w: FLAT [c], at least 0, on the device, or NULL: 1. Then
 * words given (2 num I32 in any shape): the voxel that is number s count_k / 2^32 of the channel's, in the order of
 *     their numbers (whole-number divisions).
 * words NULL: of up to 60 more random words q the first whose voxel q n x y z / 2^32 is in; if none is, as above. So a
 *     voxel more or less in the mask, which rounding can decide, changes the draws that meet it and no others.
 *     Words are outputs of Philox4x32-10 with the key of ops/augment.h: r, s = 0, 1 of index i, q those of i + num, i +
 *     2 num, ...; such a call is a layer.
 * -1 where W is 0 or the channel is empty. No gradient. Source: anchors and negatives of CRLN eq. 9 to 12. */
pv_tensor *pv_voxel_draw(pv_tape *t, pv_tensor *mask, pv_tensor *weights, int num, pv_tensor *words);

/* FLAT [num][d]: features of the voxels idx (FLAT I32 [num]) of BLOCKED F32 maps f[0], f[1], ... of d channels on one
 * grid whose samples are numbered on from map to map; a number outside gives zeros. Gradient: the maps, sums over
 * equal numbers in the order of idx (num^2 comparisons: for up to some thousands). */
pv_tensor *pv_voxel_rows(pv_tape *t, int num_maps, pv_tensor *const *f, pv_tensor *idx);

#endif
