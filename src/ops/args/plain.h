/* SPDX-License-Identifier: Apache-2.0
 * What all kernels over PLAIN tensors share. A launch covers `n` samples from sample `n0` of the tensors and `v`
 * voxels from chunk `ch0`; bindings start at the first of them. */
#ifndef ARGS_PLAIN_H
#define ARGS_PLAIN_H

#include "ops/args/types.h"

#define PLAIN_CHUNK 2048        /* voxels of one partial sum, and of one fat work-item */
#define PLAIN_ARGS KI32 n, v, n0, ch0;

#endif
