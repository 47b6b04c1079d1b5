/* SPDX-License-Identifier: Apache-2.0
 * Finds out whether a device builds and runs a small kernel: what a driver promises is not always so. */
#include <stdio.h>
#include <string.h>

#include "dev/ocl/ocl.h"

static cl_kernel build(const pv_dev *dev, const struct ocl_probe *p, cl_program *prog, char *why, size_t size)
{
    struct ocl_dev *d = dev->impl;
    const void *text;
    size_t bytes;
    bool owned;
    cl_int e;
    if (!pv_kernel_source("cl", p->name, &text, &bytes, &owned)) {
        snprintf(why, size, "%s.cl is missing", p->name);
        return NULL;
    }
    const char *src = text;
    char options[160];
    snprintf(options, sizeof options, "%s-DPV_SIMT=1 %s%s", ocl_standard(p->options), p->options,
             d->oclgrind ? " -cl-opt-disable" : "");
    *prog = d->cl->clCreateProgramWithSource(d->ctx, 1, &src, &bytes, &e);
    if (e == CL_SUCCESS)
        e = d->cl->clBuildProgram(*prog, 1, &d->id, options, NULL, NULL);
    cl_kernel kern = e == CL_SUCCESS ? d->cl->clCreateKernel(*prog, p->name, &e) : NULL;
    if (e != CL_SUCCESS) {
        size_t n = (size_t)snprintf(why, size, "%s: ", ocl_error_name(e));
        if (*prog)
            d->cl->clGetProgramBuildInfo(*prog, d->id, CL_PROGRAM_BUILD_LOG, size - n - 1, why + n, NULL);
    }
    if (owned)
        pv_free((void *)(uintptr_t)text);
    return e == CL_SUCCESS ? kern : NULL;
}

static cl_int run(struct ocl_dev *d, cl_kernel kern, const struct ocl_probe *p, void *out)
{
    const size_t items = p->items, all = p->items * p->groups;
    cl_mem mem[OCL_PROBE_BUFFERS] = {0};
    cl_int e = CL_SUCCESS;
    for (int i = 0; i < p->num && e == CL_SUCCESS; i++) {
        mem[i] = d->cl->clCreateBuffer(d->ctx, CL_MEM_READ_WRITE, p->bytes[i], NULL, &e);
        if (e == CL_SUCCESS)
            e = d->cl->clEnqueueWriteBuffer(d->queue, mem[i], CL_TRUE, 0, p->bytes[i], p->from[i], 0, NULL, NULL);
        if (e == CL_SUCCESS)
            e = d->cl->clSetKernelArg(kern, (cl_uint)i, sizeof mem[i], &mem[i]);
    }
    if (e == CL_SUCCESS)
        e = d->cl->clEnqueueNDRangeKernel(d->queue, kern, 1, NULL, &all, &items, 0, NULL, NULL);
    if (e == CL_SUCCESS)
        e = d->cl->clEnqueueReadBuffer(d->queue, mem[p->num - 1], CL_TRUE, 0, p->bytes[p->num - 1], out, 0, NULL, NULL);
    for (int i = 0; i < p->num; i++)
        if (mem[i])
            d->cl->clReleaseMemObject(mem[i]);
    return e;
}

const char *ocl_standard(const char *options) { return strstr(options, "-cl-std=") ? "" : "-cl-std=CL1.2 "; }

bool ocl_probe(const pv_dev *dev, const struct ocl_probe *p, void *out, char *why, size_t size)
{
    struct ocl_dev *d = dev->impl;
    cl_program prog = NULL;
    why[0] = 0;
    cl_kernel kern = build(dev, p, &prog, why, size);
    if (kern) {
        cl_int e = run(d, kern, p, out);
        if (e != CL_SUCCESS)
            snprintf(why, size, "%s", ocl_error_name(e));
        d->cl->clReleaseKernel(kern);
    }
    if (prog)
        d->cl->clReleaseProgram(prog);
    return !why[0];
}
