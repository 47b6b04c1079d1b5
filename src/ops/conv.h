/* SPDX-License-Identifier: Apache-2.0
 * Convolutions. Weights and biases are FLAT in PyTorch's order: conv [co][ci][kx][ky][kz], transposed
 * [ci][co][kx][ky][kz], head [co][ci]; bias may be NULL. In 2D (dims 2) kx is 1. Results are new references;
 * NULL inputs give NULL. */
#ifndef OPS_CONV_H
#define OPS_CONV_H

#include "tape/tape.h"

/* BLOCKED x: k 3 (pad 1), 2 (pad 0) or 1 (pad 0), stride 1 or 2 (k 2: stride 2 only).
 * PLAIN x of at most 8 channels (an image): k 3 or 7, pad (k - 1) / 2, stride 1; no gradient for x.
 * Result BLOCKED with co channels, spatial size floor((s + 2 pad - k) / stride) + 1. */
pv_tensor *pv_conv(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, int co, int k, int stride, int pad);

/* Transposed convolution of stride 2: k 2 (pad 0) or k 3 (pad 1, output padding 1); doubles every spatial side
 * (y and z only in 2D). */
pv_tensor *pv_conv_up(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, int co, int k);

/* 1x1x1 convolution of BLOCKED x to PLAIN logits of at most 32 channels. */
pv_tensor *pv_head(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, int co);

/* Whether devices of dev's class have kernels of the implementation `impl` ("direct"; fat: "wino",
 * "two"; simt: "tile", "gemm", "winog", on matrix units "coop" (Vulkan) or "mma" (OpenCL), on OpenCL with CLBlast
 * "clblast"). */
bool pv_conv_has(const pv_dev *dev, const char *impl);

/* Number of weights. */
int pv_conv_weights(int dims, int ci, int co, int k);

#endif
