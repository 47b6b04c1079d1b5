/* SPDX-License-Identifier: Apache-2.0
 * Arguments of scalar.cl / scalar.comp. */
#ifndef ARGS_SCALAR_H
#define ARGS_SCALAR_H

#include "ops/args/types.h"

struct a_scalar {
    KU32 off[4];                /* l, dev_w, (dy,) out */
    KI32 normalise, has_w, accum;
    KF32 w;
};

#endif
