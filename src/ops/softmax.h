/* SPDX-License-Identifier: Apache-2.0
 * From logits to probabilities, labels and uncertainty, over the channels of PLAIN F32 [n][c][...], 1 <= c <= 32.
 * z are logits, p probabilities, sums run over the channels of one voxel. Results are new references; NULL inputs
 * give NULL. */
#ifndef OPS_SOFTMAX_H
#define OPS_SOFTMAX_H

#include "tape/tape.h"

enum { PV_CLASSES = 32 };       /* channels at most */

/* p_c = exp(z_c - max z) / sum_k exp(z_k - max z). Gradient: dz_c = p_c (dp_c - sum_k dp_k p_k).
 * torch.softmax(z, 1). */
pv_tensor *pv_softmax(pv_tape *t, pv_tensor *z);
/* y_c = z_c - log sum_k exp z_k, stable. Gradient: dz_c = dy_c - p_c sum_k dy_k. torch.log_softmax(z, 1). */
pv_tensor *pv_log_softmax(pv_tape *t, pv_tensor *z);

/* I32 [n][1][...]: the first channel that has the largest value. No gradient. torch.argmax(z, 1). */
pv_tensor *pv_argmax(pv_tape *t, pv_tensor *z);
/* F32 [n][1][...]: the largest value over channels (of p: the confidence). No gradient. */
pv_tensor *pv_max_prob(pv_tape *t, pv_tensor *p);
/* F32 [n][c][...] from I32 labels [n][1][...]: 1 where label = channel, else 0; a label outside [0, c) is 0 in
 * every channel. No gradient. */
pv_tensor *pv_onehot(pv_tape *t, pv_tensor *labels, int c);

/* F32 [n][1][...]: H = -s sum_c p_c ln(p_c + eps), 0 ln 0 = 0, with s by base: 1, 1 / ln 2, or 1 / ln c (values in
 * [0, 1]; needs c >= 2). eps as in the public codes (1e-6 in UA-MT and GM-ABS), or 0. Gradient:
 * dp_c = -s dH (ln(p_c + eps) + p_c / (p_c + eps)), where p_c + eps = 0: 0. */
enum pv_entropy_base { PV_ENTROPY_NAT, PV_ENTROPY_BITS, PV_ENTROPY_NORMALISED };
pv_tensor *pv_entropy(pv_tape *t, pv_tensor *p, enum pv_entropy_base base, float eps);

#endif
