/* SPDX-License-Identifier: Apache-2.0
 * Dice losses on probabilities p, PLAIN F32 [n][c][...], 1 <= c <= 32. */
#ifndef OPS_DICE_H
#define OPS_DICE_H

#include "tape/tape.h"

/* With I = sum m p g and S per class, eps added to both:
 * PV_DICE_SQ    mean over classes of 1 - (2 I + eps) / (S + eps), S = sum m (p^2 + g^2) over the batch
 *               (eps 1e-5, foreground: UA-MT, DTC, MCF, AIPMLab, CRLN)
 * PV_DICE_LIN   the same with S = sum m (p + g)                  (eps 1e-8, foreground: DuCiSC, MC-Net)
 * PV_DICE_MASK  1 - mean over samples and classes of (2 I + eps) / (S + eps), S = sum m (p + g) per sample
 *               (eps 1e-5, all classes: BCP and MPER on LA)
 * PV_DICE_MC    PV_DICE_SQ over all classes                      (eps 1e-10: SSL4MIS, AC-MT, BCP and MPER on ACDC)
 * S + eps = 0 counts as a loss of 0. */
enum pv_dice_form { PV_DICE_SQ, PV_DICE_LIN, PV_DICE_MASK, PV_DICE_MC };

struct pv_dice_opts {
    enum pv_dice_form form;
    float eps;                  /* 0: the form's own; below 0: none */
    uint32_t classes;           /* bit k: class k counts. 0: the form's own: all but class 0 (if c > 1), or all */
};

/* The target g is I32 labels [n][1][...] (one-hot; a label outside [0, c) is 0 everywhere) or a soft map F32
 * [n][c][...]; mask m F32 [n][1][...] or NULL. A 1-element FLAT tensor. Gradient to p only:
 * dp = m (-2 g / (S + eps) + q (2 I + eps) / (S + eps)^2) * weight of the class, q = 2 p for squared S, else 1.
 * A new reference; NULL p or g gives NULL. */
pv_tensor *pv_dice(pv_tape *t, pv_tensor *p, pv_tensor *g, pv_tensor *mask, struct pv_dice_opts o);

#endif
