/* SPDX-License-Identifier: Apache-2.0
 * Matrix units: what a device multiplies by itself, per sub-group. */
#ifndef DEV_MATRIX_H
#define DEV_MATRIX_H

#include "dev/dev.h"

/* Results m x n from halves m x k and k x n, summed in fp32, by a sub-group of `subgroup` work-items. */
struct pv_matrix {
    int m, n, k, subgroup;
    const char *impl;           /* name of the implementation that uses them */
    bool imitated;              /* the same kernels without them: to be checked, never to be chosen */
};

/* Whether the device has them and the program the kernels. Why not is said once under PV_DEBUG=ops.
 * Vulkan, found out when the device is opened: VK_KHR_cooperative_matrix, shaders/conv_coop.comp, which needs a newer
 * glslc than Debian 12's. The product m n k, of several, is the largest whose m divides 64 and whose n and k divide 16.
 * OpenCL, found out at the first call, which waits: NVIDIA's of sm_75 and newer, kernels_cl/conv_mma.cl. Environment
 * variable PV_MMA=off: not used; PV_MMA=imitate: class simt of any device gets the kernels with the units' products
 * written in OpenCL C. */
bool pv_dev_matrix(const pv_dev *dev, struct pv_matrix *out);

#endif
