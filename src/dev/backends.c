/* SPDX-License-Identifier: Apache-2.0
 * The list of backends, in order of preference. */
#include "dev/dev_impl.h"
#include "pv_config.h"

const struct pv_backend *const pv_backends[] = {
#if PV_HAVE_OPENCL
    &pv_backend_ocl,
#endif
#if PV_HAVE_VULKAN
    &pv_backend_vk,
#endif
    &pv_backend_ref,
    NULL,
};
