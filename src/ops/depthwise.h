/* SPDX-License-Identifier: Apache-2.0
 * Depthwise convolution: every channel has its own 3x3x3 (2D: 3x3) kernel. */
#ifndef OPS_DEPTHWISE_H
#define OPS_DEPTHWISE_H

#include "tape/tape.h"

/* y_c = w_c * x_c, stride 1, padding 1, no bias: torch conv3d with groups = channels. x BLOCKED F32, w FLAT [c][1][3]
 * [3][3] (2D: [c][1][3][3]). Gradients: x and w. A new reference; NULL inputs give NULL. */
pv_tensor *pv_depthwise(pv_tape *t, pv_tensor *x, pv_tensor *w);

#endif
