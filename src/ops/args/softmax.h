/* SPDX-License-Identifier: Apache-2.0
 * Arguments of softmax.cl / softmax.comp. */
#ifndef ARGS_SOFTMAX_H
#define ARGS_SOFTMAX_H

#include "ops/args/plain.h"

struct a_softmax {
    KU32 off[3];
    PLAIN_ARGS
    KI32 c, cs;                 /* channels, stored elements between them */
    KI32 logs, accum;           /* logs: log_softmax */
    KF32 scale, eps;            /* of the entropy */
};

#endif
