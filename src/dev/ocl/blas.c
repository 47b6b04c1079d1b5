/* SPDX-License-Identifier: Apache-2.0
 * Matrix products on OpenCL devices by CLBlast's C interface, whose few types and functions are declared here: the
 * library is opened at run time. */
#include <stdio.h>
#include <stdlib.h>

#include "dev/ocl/ocl.h"
#include "platform/platform.h"

enum { ROW_MAJOR = 101, AS_IT_IS = 111, TURNED = 112 };

/* Sizes and offsets in elements. */
struct blas_api {
    /* op(a) op(b) alpha + c beta; room NULL: the library allocates what it needs */
    int (*gemm)(int layout, int turn_a, int turn_b, size_t m, size_t n, size_t k, float alpha, cl_mem a, size_t a_off,
                size_t a_ld, cl_mem b, size_t b_off, size_t b_ld, float beta, cl_mem c, size_t c_off, size_t c_ld,
                cl_command_queue *queue, cl_event *event, cl_mem room);
    /* bytes of `room` */
    int (*room)(int layout, int turn_a, int turn_b, size_t m, size_t n, size_t k, size_t a_off, size_t a_ld,
                size_t b_off, size_t b_ld, size_t c_off, size_t c_ld, cl_command_queue *queue, size_t *bytes);
    int (*clear)(void);
};
static struct blas_api api;

/* The library would hand our objects to another OpenCL than ours. Where only its own symbols can be asked for
 * (Windows), ours is another one if the user names it. */
static bool other_opencl(pv_dynlib *lib)
{
    const struct ocl_api *cl = ocl_load(NULL);
    void *theirs = pv_dynlib_sym(lib, "clEnqueueNDRangeKernel");
    if (!cl)
        return true;
    return theirs ? (uintptr_t)theirs != (uintptr_t)cl->clEnqueueNDRangeKernel : pv_env("PV_OPENCL_LIB") != NULL;
}

static bool find_functions(pv_dynlib *lib)
{
    api.gemm = (__typeof__(api.gemm))(uintptr_t)pv_dynlib_sym(lib, "CLBlastSgemmWithTempBuffer");
    api.room = (__typeof__(api.room))(uintptr_t)pv_dynlib_sym(lib, "CLBlastSGemmTempBufferSize");
    api.clear = (__typeof__(api.clear))(uintptr_t)pv_dynlib_sym(lib, "CLBlastClearCache");
    return api.gemm && api.room && api.clear;
}

const char *ocl_gemm_library(struct pv_str *why)
{
    static pv_mutex_slot lock;
    static bool tried;
    static char *path, *absent;         /* kept */
    pv_mutex *m = pv_mutex_of(&lock);
    pv_mutex_lock(m);
    if (!tried) {
        tried = true;
        pv_dynlib *lib = pv_dev_loader("PV_CLBLAST_LIB", pv_clblast_names, &absent);
        if (!lib && !absent)
            absent = pv_asprintf("CLBlast is not installed (Debian: apt-get install libclblast1)");
        else if (lib && !find_functions(lib))
            absent = pv_asprintf("CLBlast lacks functions; version 1.5 or newer is needed");
        else if (lib && other_opencl(lib))
            absent = pv_asprintf("CLBlast uses another OpenCL library than this program (PV_OPENCL_LIB)");
        if (lib && !absent) {
            path = pv_dynlib_path((void *)(uintptr_t)api.gemm);
            path = path ? path : pv_asprintf("%s", pv_clblast_names[0]);
        } else {
            pv_dynlib_close(&lib);
        }
    }
    pv_mutex_unlock(m);
    if (why && !path)
        pv_str_add(why, absent);
    return path;
}

/* Scratch for one product at a time, which follow each other. The old one lives on until queued work is done. */
static bool make_room(pv_dev *dev, size_t bytes)
{
    struct ocl_dev *d = dev->impl;
    if (bytes <= d->gemm_room_bytes)
        return true;
    if (d->gemm_room)
        d->cl->clReleaseMemObject(d->gemm_room);
    dev->stats.reserved -= d->gemm_room_bytes;
    dev->stats.used -= d->gemm_room_bytes;
    d->gemm_room = NULL;
    d->gemm_room_bytes = 0;
    cl_int e = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    for (int again = 0; again < 2 && !d->gemm_room; again++) {
        if (again)
            pv_dev_trim(dev);
        if (dev->stats.reserved + bytes <= dev->info.limits.memory)
            d->gemm_room = d->cl->clCreateBuffer(d->ctx, CL_MEM_READ_WRITE, bytes, NULL, &e);
        d->gemm_room = e == CL_SUCCESS ? d->gemm_room : NULL;
    }
    if (!d->gemm_room)
        return false;
    const uint32_t nan = 0x7fffffff;
    if (dev->opts.poison && !ocl_ok(dev, d->cl->clEnqueueFillBuffer(d->queue, d->gemm_room, &nan, sizeof nan, 0,
                                                                    bytes & ~(size_t)3, 0, NULL, NULL), "poison"))
        return false;
    d->gemm_room_bytes = bytes;
    pv_debug("mem", "CLBlast's scratch: %.2f MiB", (double)bytes / 1048576);
    dev->stats.allocs++;
    dev->stats.reserved += bytes;
    dev->stats.used += bytes;
    if (dev->stats.used > dev->stats.peak)
        dev->stats.peak = dev->stats.used;
    return true;
}

bool ocl_gemm(pv_dev *dev, const struct pv_gemm *g, const struct pv_gemm_side side[3], char why[128])
{
    struct ocl_dev *d = dev->impl;
    const int ta = g->turn_a ? TURNED : AS_IT_IS, tb = g->turn_b ? TURNED : AS_IT_IS;
    const size_t m = (size_t)g->m, n = (size_t)g->n, k = (size_t)g->k, lda = (size_t)g->a.ld, ldb = (size_t)g->b.ld,
                 ldc = (size_t)g->c.ld, a = side[0].off / 4, b = side[1].off / 4, c = side[2].off / 4;
    size_t bytes = 0;
    cl_event ev = NULL;
    d->gemm_used = true;
    int e = api.room(ROW_MAJOR, ta, tb, m, n, k, a, lda, b, ldb, c, ldc, &d->queue, &bytes);
    if (e == CL_SUCCESS && !make_room(dev, bytes)) {
        dev->oom = true;
        snprintf(why, 128, "no memory for its scratch of %.1f MiB", (double)bytes / 1048576);
        return false;
    }
    if (e == CL_SUCCESS)
        e = api.gemm(ROW_MAJOR, ta, tb, m, n, k, 1, side[0].mem->handle, a, lda, side[1].mem->handle, b, ldb,
                     g->accum ? 1 : 0, side[2].mem->handle, c, ldc, &d->queue, dev->opts.profile ? &ev : NULL,
                     bytes ? d->gemm_room : NULL);
    if (e == CL_SUCCESS && d->sync)
        e = d->cl->clFinish(d->queue);
    if (e != CL_SUCCESS) {
        dev->oom = e == CL_MEM_OBJECT_ALLOCATION_FAILURE || e == CL_OUT_OF_RESOURCES;
        if (e > -1000)          /* below: CLBlast's own numbers */
            snprintf(why, 128, "%s (%d)", ocl_error_name(e), e);
        else
            snprintf(why, 128, "CLBlast's status %d", e);
        return false;
    }
    ocl_time(dev, (struct ocl_timed){ev, g->label, "CLBlastSgemm", true});
    return true;
}

/* Its programs hold on to the context. */
void ocl_gemm_close(pv_dev *dev)
{
    struct ocl_dev *d = dev->impl;
    if (d->gemm_room)
        d->cl->clReleaseMemObject(d->gemm_room);
    if (d->gemm_used)
        api.clear();
}
