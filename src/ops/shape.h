/* SPDX-License-Identifier: Apache-2.0
 * Ops that put data elsewhere: concatenation, slices, changes of layout and shape, max pooling. Results are new
 * references; NULL inputs give NULL. Unless stated otherwise every floating-point input gets gradients; I32
 * tensors pass where it says so and carry none. */
#ifndef OPS_SHAPE_H
#define OPS_SHAPE_H

#include "tape/tape.h"

/* y[n] = channels of a[n], then those of b[n] (torch.cat, dim 1). a, b: both BLOCKED or both PLAIN, same grid.
 * Whole blocks are copied where a's channels are a multiple of 16, lanes are shifted otherwise. */
pv_tensor *pv_concat(pv_tape *t, pv_tensor *a, pv_tensor *b);

/* The same values in the other layout. */
pv_tensor *pv_to_plain(pv_tape *t, pv_tensor *x);       /* BLOCKED -> PLAIN */
pv_tensor *pv_to_blocked(pv_tape *t, pv_tensor *x);     /* PLAIN -> BLOCKED */

/* Samples [first, first + n) of PLAIN or BLOCKED x, a copy (x[first:first + n]); the gradient of the other
 * samples is 0. PLAIN may be I32. */
pv_tensor *pv_slice_samples(pv_tape *t, pv_tensor *x, int first, int n);

/* Samples of xs[0], then of xs[1], ... (torch.cat, dim 0); 1 to PV_NODE_IN tensors of equal layout, type,
 * channels and grid. PLAIN may be I32. */
pv_tensor *pv_concat_samples(pv_tape *t, int num, pv_tensor *const *xs);

/* Channels [first, first + n) of PLAIN x (x[:, first:first + n]); the gradient of the other channels is 0. May be
 * I32. */
pv_tensor *pv_slice_channels(pv_tape *t, pv_tensor *x, int first, int n);

/* The same elements in the same order in another shape, PLAIN or FLAT to PLAIN or FLAT; shares x's memory
 * (torch.reshape). */
pv_tensor *pv_reshape(pv_tape *t, pv_tensor *x, struct pv_shape h);

/* Elements [first, first + n) of FLAT x; shares x's memory. The gradient of the other elements is 0. */
pv_tensor *pv_slice_flat(pv_tape *t, pv_tensor *x, int first, int n);

/* Maximum over windows of 2x2x2 (2D: 2x2 in y and z), stride 2, of BLOCKED x; sizes floor(s / 2), at least 1.
 * The gradient goes to the first maximum in the order x, y, z (torch.nn.functional.max_pool3d, max_pool2d),
 * found again from x, which is kept. A NaN in a window is its maximum. */
pv_tensor *pv_max_pool(pv_tape *t, pv_tensor *x);

#endif
