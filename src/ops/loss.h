/* SPDX-License-Identifier: Apache-2.0
 * Cross-entropy and its relatives on PLAIN F32 logits z [n][c][...], 1 <= c <= 32, log p = log_softmax(z). Losses
 * are 1-element FLAT tensors, maps F32 [n][1][...]; both have gradients to z. Targets and masks get none. A mask is
 * F32 [n][1][...] with weights m >= 0, or NULL for 1. How terms become a loss, `red`: reduce.h. Results are new
 * references; NULL inputs give NULL. */
#ifndef OPS_LOSS_H
#define OPS_LOSS_H

#include <limits.h>

#include "ops/reduce.h"

enum { PV_NO_IGNORE = INT_MIN };

/* Terms l = -log p[label], labels I32 [n][1][...]. Voxels whose label is `ignore` or outside [0, c) are skipped:
 * their m counts as 0. Gradient: dz_k = m (p_k - [k = label]) * d loss / d l. PV_RED_MEAN without mask is
 * torch.nn.functional.cross_entropy(z, labels, ignore_index), but 0 where that is NaN (nothing kept). */
pv_tensor *pv_ce_hard(pv_tape *t, pv_tensor *z, pv_tensor *labels, pv_tensor *mask, int ignore,
                      struct pv_reduction red);
/* m l of every voxel, 0 where skipped. */
pv_tensor *pv_ce_hard_map(pv_tape *t, pv_tensor *z, pv_tensor *labels, pv_tensor *mask, int ignore);

/* Terms l = -sum_c y_c log p_c with target y F32 [n][c][...].
 * Gradient: dz_k = m (p_k sum y - y_k) * d loss / d l. */
pv_tensor *pv_ce_soft(pv_tape *t, pv_tensor *z, pv_tensor *y, pv_tensor *mask, struct pv_reduction red);
pv_tensor *pv_ce_soft_map(pv_tape *t, pv_tensor *z, pv_tensor *y, pv_tensor *mask);
/* Terms l = sum_c y_c (log y_c - log p_c), 0 log 0 = 0: torch's kl_div(log p, y). Same gradient. {PV_RED_MEAN,
 * .per_channel = true} is the mixed consistency of DuCiSC's public code (mean over kept voxels and channels). */
pv_tensor *pv_kl_soft(pv_tape *t, pv_tensor *z, pv_tensor *y, pv_tensor *mask, struct pv_reduction red);
pv_tensor *pv_kl_soft_map(pv_tape *t, pv_tensor *z, pv_tensor *y, pv_tensor *mask);

/* D = sum_c q_c ln((q_c + eps) / (p_c + eps)) of probabilities p and q F32 [n][c][...], 0 where q_c = 0. Gradient
 * to p: dp_c = -dD q_c / (p_c + eps); none to q. (Uncertainty of the dual network, Eq 14 of paper 003.) */
pv_tensor *pv_kl_map(pv_tape *t, pv_tensor *p, pv_tensor *q, float eps);

#endif
