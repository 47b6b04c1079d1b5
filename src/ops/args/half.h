/* SPDX-License-Identifier: Apache-2.0
 * Arguments of half.cl / half.comp. */
#ifndef ARGS_HALF_H
#define ARGS_HALF_H

#include "ops/args/types.h"

/* half_round: dst = src rounded, `count` stored elements. */
struct a_half {
    KU32 off[2];
    KU32 count;
};

#endif
