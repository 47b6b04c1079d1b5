/* SPDX-License-Identifier: Apache-2.0
 * Losses that several methods share. */
#include "method/losses.h"

#include "ops/loss.h"
#include "ops/map.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/softmax.h"

pv_tensor *pv_loss_supervised(struct pv_run *r, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels,
                              enum pv_dice_form form, pv_tensor **ce_out, pv_tensor **dice_out)
{
    pv_tape *t = r->tape;
    pv_tensor *ce = pv_keep(s, pv_ce_hard(t, logits, labels, NULL, PV_IGNORE, (struct pv_reduction){PV_RED_MEAN}));
    pv_tensor *p = pv_keep(s, pv_softmax(t, logits));
    pv_tensor *known = pv_keep(s, pv_label_known(t, labels, PV_IGNORE));
    pv_tensor *dice = pv_keep(s, pv_dice(t, p, labels, known, (struct pv_dice_opts){.form = form}));
    if (ce_out)
        *ce_out = ce;
    if (dice_out)
        *dice_out = dice;
    return pv_keep(s, pv_scalar_sum(t, 2, (pv_tensor *[]){ce, dice}, (float[]){0.5f, 0.5f}, NULL));
}

pv_tensor *pv_loss_prob_mse(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *target)
{
    pv_tensor *p = pv_keep(s, pv_softmax(t, logits));
    return pv_keep(s, pv_mse(t, p, target, NULL, (struct pv_reduction){PV_RED_MEAN_ALL, .per_channel = true}));
}

pv_tensor *pv_loss_prob_mse_kept(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *target, pv_tensor *m)
{
    pv_tensor *p = pv_keep(s, pv_softmax(t, logits));
    struct pv_reduction red = {PV_RED_MASKED_EPS, .eps = 1e-16f, .per_channel = true};
    return m ? pv_keep(s, pv_mse(t, p, target, m, red)) : NULL;
}
