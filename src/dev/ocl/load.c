/* SPDX-License-Identifier: Apache-2.0
 * Opens the OpenCL loader and finds its functions. */
#include "dev/ocl/ocl.h"
#include "platform/platform.h"

static struct ocl_api api;

const struct ocl_api *ocl_load(struct pv_str *why)
{
    static pv_mutex_slot lock;
    static bool tried, good;
    static const char *absent;
    static char *named;
    pv_mutex *m = pv_mutex_of(&lock);
    pv_mutex_lock(m);
    if (!tried) {
        tried = true;
        pv_dynlib *lib = pv_dev_loader("PV_OPENCL_LIB", pv_opencl_names, &named);
        good = lib != NULL;
        absent = NULL;
        if (lib) {
#define X(f) if (!(api.f = (__typeof__(&f))(uintptr_t)pv_dynlib_sym(lib, #f))) { good = false; absent = #f; }
            OCL_FUNCTIONS(X)
#undef X
        }
    }
    pv_mutex_unlock(m);
    if (good)
        return &api;
    if (why && absent)
        pv_str_addf(why, "OpenCL: the loader has no %s; install a newer one (Debian: ocl-icd-libopencl1).\n",
                    absent);
    else if (why && named)
        pv_str_addf(why, "OpenCL: %s. Unset it, or name the loader's file (libOpenCL).\n", named);
    else if (why)
        pv_str_addf(why, "OpenCL: no loader (libOpenCL) found. Install one and a driver, on Debian for the "
                    "CPU: apt-get install ocl-icd-libopencl1 pocl-opencl-icd\n");
    return NULL;
}

const char *ocl_error_name(cl_int e)
{
    static const struct { cl_int e; const char *name; } names[] = {
        {0, "CL_SUCCESS"}, {-1, "CL_DEVICE_NOT_FOUND"}, {-2, "CL_DEVICE_NOT_AVAILABLE"},
        {-3, "CL_COMPILER_NOT_AVAILABLE"}, {-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
        {-5, "CL_OUT_OF_RESOURCES"}, {-6, "CL_OUT_OF_HOST_MEMORY"}, {-11, "CL_BUILD_PROGRAM_FAILURE"},
        {-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"}, {-30, "CL_INVALID_VALUE"},
        {-33, "CL_INVALID_DEVICE"}, {-36, "CL_INVALID_COMMAND_QUEUE"}, {-38, "CL_INVALID_MEM_OBJECT"},
        {-42, "CL_INVALID_BINARY"}, {-43, "CL_INVALID_BUILD_OPTIONS"}, {-44, "CL_INVALID_PROGRAM"},
        {-45, "CL_INVALID_PROGRAM_EXECUTABLE"}, {-46, "CL_INVALID_KERNEL_NAME"},
        {-48, "CL_INVALID_KERNEL"}, {-49, "CL_INVALID_ARG_INDEX"}, {-50, "CL_INVALID_ARG_VALUE"},
        {-51, "CL_INVALID_ARG_SIZE"}, {-52, "CL_INVALID_KERNEL_ARGS"}, {-54, "CL_INVALID_WORK_GROUP_SIZE"},
        {-55, "CL_INVALID_WORK_ITEM_SIZE"}, {-61, "CL_INVALID_BUFFER_SIZE"},
        {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
    };
    for (size_t i = 0; i < PV_COUNT(names); i++)
        if (names[i].e == e)
            return names[i].name;
    return "unknown error";
}

bool ocl_ok(pv_dev *dev, cl_int e, const char *call)
{
    if (e != CL_SUCCESS)
        pv_dev_fail(dev, "%s failed with %s (%d)", call, ocl_error_name(e), e);
    return e == CL_SUCCESS;
}
