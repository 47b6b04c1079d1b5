/* SPDX-License-Identifier: Apache-2.0
 * Losses that several methods share. Results are kept in the scope; NULL after a failure. */
#ifndef METHOD_LOSSES_H
#define METHOD_LOSSES_H

#include "method/method.h"
#include "ops/dice.h"

/* half (cross-entropy + Dice) of logits against I32 labels: mean cross-entropy over voxels whose label is not
 * PV_IGNORE, Dice of `form` on the softmax with ignored voxels masked out. *ce and *dice (may be NULL) receive the
 * parts. (methods.md 0, 9.5) */
pv_tensor *pv_loss_supervised(struct pv_run *r, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels,
                              enum pv_dice_form form, pv_tensor **ce, pv_tensor **dice);

/* Mean squared difference between the softmax of logits and target probabilities, over samples, classes, voxels. */
pv_tensor *pv_loss_prob_mse(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *target);
/* The same over the voxels of mask m [n][1]: sum m (p - target)^2 / (C sum m + 1e-16). (UA-MT, AC-MT) */
pv_tensor *pv_loss_prob_mse_kept(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *target, pv_tensor *m);

#endif
