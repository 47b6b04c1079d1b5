/* SPDX-License-Identifier: Apache-2.0
 * Arguments of optim.cl / optim.comp: `count` elements from the start of what is bound. */
#ifndef ARGS_OPTIM_H
#define ARGS_OPTIM_H

#include "ops/args/types.h"

#define OF_FIRST 1              /* no momentum yet: v = d */
#define OF_NESTEROV 2
#define OF_MOMENTUM 4           /* there is a momentum buffer */
#define OF_SCALE 8              /* gradients are multiplied by scale[0] */
#define OF_SKIP 16              /* nothing happens if skip[0] is not 0 */

struct a_sgd {
    KU32 off[5];
    KI32 count, flags;
    KF32 lr, momentum, weight_decay;
};

struct a_adam {
    KU32 off[6];
    KI32 count, flags;
    KF32 beta1, beta2, rest1, rest2, eps, weight_decay;     /* rest = 1 - beta */
    KF32 step, root;            /* lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t) */
};

struct a_ema {
    KU32 off[2];
    KI32 count;
    KF32 alpha, rest;           /* rest = 1 - alpha */
};

#endif
