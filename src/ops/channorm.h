/* SPDX-License-Identifier: Apache-2.0
 * Layer norm over the channels of every voxel: torch.nn.LayerNorm over the last axis of tokens [n][voxels][c]. */
#ifndef OPS_CHANNORM_H
#define OPS_CHANNORM_H

#include "tape/tape.h"

/* y_c = gamma_c (x_c - m) / sqrt(var + 1e-5) + beta_c, m and biased var over the c channels of the voxel. x BLOCKED
 * F32, gamma and beta FLAT [c]. Gradients: all three. The result can be made again from x, so that its memory is given
 * up between forward and backward. A new reference; NULL inputs give NULL. */
pv_tensor *pv_channel_norm(pv_tape *t, pv_tensor *x, pv_tensor *gamma, pv_tensor *beta);

#endif
