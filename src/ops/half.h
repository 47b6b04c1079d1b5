/* SPDX-License-Identifier: Apache-2.0
 * Operands of mixed precision (docs/precision.md). */
#ifndef OPS_HALF_H
#define OPS_HALF_H

#include "tensor/tensor.h"

/* A new tensor of x's shape in fp32 whose values are those of x rounded to IEEE half precision: nearest, ties to even,
 * beyond 65504 to infinity, below 2^-14 to multiples of 2^-24. x: F32, any layout; pinned for the call. Not recorded.
 * NULL gives NULL, and so does a device that failed. */
pv_tensor *pv_half_round(pv_tensor *x);

#endif
