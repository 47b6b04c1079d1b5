/* SPDX-License-Identifier: Apache-2.0
 * bench/cuda's kernels for the processor. */
#include "emulate.h"

#include "../../bench/cuda/kernels.cu"
