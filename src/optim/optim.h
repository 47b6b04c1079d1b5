/* SPDX-License-Identifier: Apache-2.0
 * Optimiser steps on FLAT fp32 tensors, in place, on the device; any contiguous range (a view) of a network's flat
 * buffers. Parameters without a gradient are left out by the caller's choice of ranges, as PyTorch does. Whoever
 * owns the parameters tells their packed copies (pv_params_changed). Tensors of one call have one length. NULL
 * tensors, where they are not allowed to be, make a call do nothing. */
#ifndef OPTIM_OPTIM_H
#define OPTIM_OPTIM_H

#include "tensor/tensor.h"

/* torch.optim.SGD (dampening 0): d = scale g + weight_decay w; v = momentum v + d, in the first step v = d;
 * w <- w - lr (nesterov ? d + momentum v : v). */
struct pv_sgd {
    float lr, momentum, weight_decay;
    bool nesterov;
    bool first;                 /* the momentum buffer holds nothing yet */
};
/* m: momentum buffer, NULL if momentum is 0. scale: FLAT [1], multiplies g (loss scale, clipping), NULL: 1. skip:
 * FLAT [1], NULL or: if it is not 0 the step is left out (a first one still sets m to 0). */
void pv_sgd_step(pv_tensor *w, pv_tensor *g, pv_tensor *m, const struct pv_sgd *o, pv_tensor *scale,
                 pv_tensor *skip);

/* torch.optim.Adam, weight decay as L2: d = scale g + weight_decay w; m = beta1 m + (1 - beta1) d; v = beta2 v +
 * (1 - beta2) d^2; w <- w - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps). */
struct pv_adam {
    float lr, beta1, beta2, eps, weight_decay;
    int64_t step;               /* t, from 1: m and v of step 1 start from 0 whatever they hold */
};
/* scale and skip as above; a skipped step counts in t all the same. */
void pv_adam_step(pv_tensor *w, pv_tensor *g, pv_tensor *m, pv_tensor *v, const struct pv_adam *o,
                  pv_tensor *scale, pv_tensor *skip);

/* teacher <- alpha teacher + (1 - alpha) student; alpha 0 copies. Mean teacher (Tarvainen and Valpola, 2017). */
void pv_ema_update(pv_tensor *teacher, pv_tensor *student, float alpha);

#endif
