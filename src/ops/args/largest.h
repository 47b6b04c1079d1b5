/* SPDX-License-Identifier: Apache-2.0
 * Arguments of largest.cl / largest.comp. */
#ifndef ARGS_LARGEST_H
#define ARGS_LARGEST_H

#include "ops/args/types.h"

/* A launch covers `n` samples of `v` = sx * sy * sz voxels; `best` and `first` are those of sample n0 on. */
struct a_largest {
    KU32 off[5];
    KI32 n, v, n0;
    KI32 sx, sy, sz;
    KI32 classes;
};

#endif
