/* SPDX-License-Identifier: Apache-2.0
 * Normalisation fused with what stands around it:
 *
 *     y = drop(act(norm(x) + residual)) + skip          every part optional
 *
 * norm   BATCH: v = gamma (x - m) / sqrt(var + eps) + beta with mean and biased variance over n, x, y, z of each
 *        channel (training) or the running ones (evaluation): PyTorch BatchNorm2d/3d. INSTANCE: the same with
 *        statistics of each (n, c), no running ones: InstanceNorm2d/3d. NONE: v = x.
 * act    v > 0 ? v : slope v. Slope 0 is ReLU, 1 no activation: PyTorch leaky_relu, gradient at 0 is slope.
 * drop   each element (ELEMENT, Dropout) or each map (n, c) (CHANNEL, Dropout2d/3d) is zero with probability
 *        drop_p, survivors are divided by 1 - drop_p. Maps over BLOCKED tensors x, residual, skip, y of one shape.
 *
 * Random numbers: Philox4x32-10 with key (seed low, seed high) and counter (step, pass << 16 | layer,
 * first_sample + n, index), taken from the tape when the op is called; every call with dropout is a layer.
 * Channel c of voxel v (counted x, y, z) has index v * ceil(C / 4) + c / 4, v = 0 for CHANNEL, and output c % 4;
 * it survives if that output < (1 - drop_p) 2^32. Masks depend on nothing else and are drawn again in backward.
 *
 * Gradients go to x, residual, skip (BLOCKED), gamma, beta (FLAT [c]). With batch statistics, x's includes the
 * path through mean and variance. One value per channel: y = act(beta), no gradient, the running variance takes
 * 0 (PyTorch refuses this case).
 *
 * The result can be computed again from x (a remake), so its memory is given up between forward and backward. */
#ifndef OPS_NORM_H
#define OPS_NORM_H

#include "tape/tape.h"

enum pv_norm_kind { PV_NORM_NONE, PV_NORM_BATCH, PV_NORM_INSTANCE };
enum pv_drop_kind { PV_DROP_NONE, PV_DROP_CHANNEL, PV_DROP_ELEMENT };

/* All zero: ReLU. Tensors are borrowed. */
struct pv_norm_params {
    enum pv_norm_kind kind;
    bool train;                 /* BATCH: batch statistics; false: running ones (batch if running_mean is NULL) */
    bool keep_running;          /* train: leave the running statistics alone */
    pv_tensor *gamma, *beta;    /* FLAT [c]; NULL: 1 and 0 */
    /* FLAT [c], both or none; train changes them: r = (1 - momentum) r + momentum * batch, unbiased variance. */
    pv_tensor *running_mean, *running_var;
    float eps, momentum;        /* 0: 1e-5 and 0.1 */
    float slope;
    pv_tensor *residual;        /* BLOCKED like x; added before the activation */
    pv_tensor *skip;            /* BLOCKED like x; added at the end */
    enum pv_drop_kind drop;
    float drop_p;               /* [0, 1] */
};
pv_tensor *pv_norm_act(pv_tape *t, pv_tensor *x, const struct pv_norm_params *p);

/* Parts of the same; BLOCKED x, a, b. With p = 0 dropout returns x itself (a new reference). */
pv_tensor *pv_relu(pv_tape *t, pv_tensor *x);
pv_tensor *pv_leaky_relu(pv_tape *t, pv_tensor *x, float slope);
pv_tensor *pv_add(pv_tape *t, pv_tensor *a, pv_tensor *b);
pv_tensor *pv_dropout_channel(pv_tape *t, pv_tensor *x, float p);
pv_tensor *pv_dropout_element(pv_tape *t, pv_tensor *x, float p);

#endif
