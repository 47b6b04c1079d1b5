/* SPDX-License-Identifier: Apache-2.0
 * Arguments of basic.cl / basic.comp. */
#ifndef ARGS_BASIC_H
#define ARGS_BASIC_H

#include "ops/args/types.h"

/* add_to: dst += src, `count` stored elements. */
struct a_add_to {
    KU32 off[2];
    KU32 count;
};

#endif
