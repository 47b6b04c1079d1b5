/* SPDX-License-Identifier: Apache-2.0
 * Resizing maps (BLOCKED) and images, logits, labels, masks (PLAIN) to another grid, as
 * torch.nn.functional.interpolate. Results are new references; NULL inputs give NULL. */
#ifndef OPS_RESIZE_H
#define OPS_RESIZE_H

#include "tape/tape.h"

enum pv_resize {
    PV_NEAREST,         /* voxel floor(i * in / out); mode "nearest" */
    PV_LINEAR,          /* "trilinear" ("bilinear" in 2D), align_corners False: max(0, (i + 1/2) in / out - 1/2) */
    PV_LINEAR_CORNERS,  /* the same, align_corners True: i (in - 1) / (out - 1), 0 if out is 1 */
};

/* x [n, c, ...] -> [n, c, s[0], s[1], s[2]] in x's layout; 2D: s[0] is 1. Gradient for floating-point x (each input
 * voxel sums the outputs that read it, in a fixed order). I32 PLAIN x: PV_NEAREST only. Positions are exact
 * fractions; PyTorch rounds in / out to fp32 first, so that its nearest index can be one lower where i * in / out
 * is whole and in / out is not a short binary fraction (2 -> 98, i = 49). Sides up to 16384. If nothing changes,
 * the result is x itself.
 * The planes along x of one channel (BLOCKED: 16 channels) that a plane takes from must fit a binding: 2 of x, and on
 * the way back as many of the result as its size is larger, twice, and 2. */
pv_tensor *pv_resize(pv_tape *t, pv_tensor *x, const int s[3], enum pv_resize mode);

/* To twice the size along x, y, z (2D: y, z). */
pv_tensor *pv_resize_up(pv_tape *t, pv_tensor *x, enum pv_resize mode);

/* pv_resize that records nothing: for masks, targets and teacher outputs. */
pv_tensor *pv_resize_const(pv_tape *t, pv_tensor *x, const int s[3], enum pv_resize mode);

#endif
