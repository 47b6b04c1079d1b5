/* SPDX-License-Identifier: Apache-2.0
 * Between step_kernels.c and step_pipes.c. */
#ifndef STEP_KERNELS_H
#define STEP_KERNELS_H

#include "dev/dev_impl.h"

/* Compiles k's Vulkan pipeline with the first driver and prints its statistics; an exit status (77: no driver). */
int step_pipe(const struct pv_kernel *k, const int32_t *spec);

#endif
