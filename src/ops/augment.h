/* SPDX-License-Identifier: Apache-2.0
 * Boxes, masks and noise on PLAIN tensors. Random numbers are Philox4x32-10 with key (seed low, seed high) and
 * counter (step, pass << 16 | layer, first_sample + n, index), taken from the tape when the op is called; every
 * call is a layer. Results are new references; NULL inputs give NULL. */
#ifndef OPS_AUGMENT_H
#define OPS_AUGMENT_H

#include "tape/tape.h"

/* Voxels lo <= v < hi; may reach past the volume. */
struct pv_box {
    int from;               /* sample of b (pv_box_mix only) */
    int lo[3], hi[3];
};

/* y[n] = b[boxes[n].from] inside boxes[n], a[n] outside; all channels (CutMix, copy-paste: CRLN, BCP). a, b, y of
 * equal channels, grid and type, F32 or I32; b may have any number of samples. A constant: no gradient. */
pv_tensor *pv_box_mix(pv_tape *t, pv_tensor *a, pv_tensor *b, const struct pv_box *boxes);

/* The mask of boxes: [n, 1, s] with `inside` inside boxes[n] and `outside` elsewhere. */
pv_tensor *pv_box_mask(pv_tape *t, int dims, int n, const int s[3], const struct pv_box *boxes, float inside,
                       float outside);

/* Cubes of size^3 voxels (2D: size^2), those at the upper ends cut off, are set to `fill` in all channels, each
 * with probability p (MF-ConS, masked prediction). Cube (i, j, k) of a grid of cubes has index (i cy + j) cz + k;
 * it is masked if output 0 of its counter, without its 8 lowest bits, is below p 2^24. F32 x; a constant: no
 * gradient. */
pv_tensor *pv_cube_mask(pv_tape *t, pv_tensor *x, int size, float p, float fill);

/* y = x + clamp(sigma g, -clip, clip), g standard normal, per element (UA-MT and AC-MT: sigma 0.1, clip 0.2).
 * Element e of a sample (counted c, x, y, z) takes number e / 16 % 4 of counter index e / 64 * 16 + e % 16; the
 * four numbers are Box-Muller of outputs (0, 1), cosine and sine, then of (2, 3): radius sqrt(-2 ln u) with u =
 * (r / 2^8 + 1) / 2^24, angle 2 pi (s / 2^8) / 2^24, whole-number divisions; so |g| < 5.77. F32 x; the gradient
 * passes. */
pv_tensor *pv_noise(pv_tape *t, pv_tensor *x, float sigma, float clip);

#endif
