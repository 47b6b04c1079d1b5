/* SPDX-License-Identifier: Apache-2.0
 * OpenCL devices: listing, one in-order queue, transfers through staging copies, launches, event timers. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "dev/ocl/ocl.h"
#include "platform/platform.h"
#include "pv_config.h"

enum { MAX_PLATFORMS = 16, MAX_IDS = 64, FLUSH_EVERY = 16 };     /* launches */

/* CPU runtimes that turn explicit float16 code into full vectors, by part of the platform's name. */
static const char *const fat_platforms[] = {"Portable Computing Language", "Intel(R) OpenCL"};

static void text_of(const struct ocl_api *cl, cl_device_id id, cl_device_info what, char *out, size_t n)
{
    char all[1024] = "";
    cl->clGetDeviceInfo(id, what, sizeof all - 1, all, NULL);
    snprintf(out, n, "%s", all);
}

static uint64_t number_of(const struct ocl_api *cl, cl_device_id id, cl_device_info what)
{
    uint64_t v = 0;             /* little-endian hosts only: 4- and 8-byte answers both land right */
    cl->clGetDeviceInfo(id, what, sizeof v, &v, NULL);
    return v;
}

char *ocl_extensions(const struct ocl_api *cl, cl_device_id id)
{
    size_t n = 0;
    cl->clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &n);
    char *ext = pv_zalloc(n + 1);
    cl->clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, n, ext, NULL);
    return ext;
}

/* Size of sub-groups where the driver has one for all kernels, by extensions of makers; else 0. */
static uint32_t subgroup_of(const struct ocl_api *cl, cl_device_id id, const char *ext)
{
    enum { WARP_SIZE_NV = 0x4003, WAVEFRONT_WIDTH_AMD = 0x4043 };
    if (strstr(ext, "cl_nv_device_attribute_query"))
        return (uint32_t)number_of(cl, id, WARP_SIZE_NV);
    return strstr(ext, "cl_amd_device_attribute_query") ? (uint32_t)number_of(cl, id, WAVEFRONT_WIDTH_AMD) : 0;
}

static void describe(const struct ocl_api *cl, cl_device_id id, const char *platform, struct pv_dev_info *o)
{
    memset(o, 0, sizeof *o);
    text_of(cl, id, CL_DEVICE_NAME, o->name, sizeof o->name);
    text_of(cl, id, CL_DEVICE_VENDOR, o->vendor, sizeof o->vendor);
    text_of(cl, id, CL_DEVICE_VERSION, o->api, sizeof o->api);
    char driver[128];
    text_of(cl, id, CL_DRIVER_VERSION, driver, sizeof driver);
    snprintf(o->driver, sizeof o->driver, "%s %s", platform, driver);
    cl_device_type type = number_of(cl, id, CL_DEVICE_TYPE);
    o->type = type & CL_DEVICE_TYPE_GPU ? PV_DEV_GPU : type & CL_DEVICE_TYPE_CPU ? PV_DEV_CPU : PV_DEV_OTHER;
    o->cls = PV_SIMT;
    for (size_t i = 0; i < PV_COUNT(fat_platforms); i++)
        if (o->type == PV_DEV_CPU && strstr(platform, fat_platforms[i]))
            o->cls = PV_FAT;
    char *ext = ocl_extensions(cl, id);
    o->limits = (struct pv_limits){
        .memory = number_of(cl, id, CL_DEVICE_GLOBAL_MEM_SIZE),
        .max_alloc = number_of(cl, id, CL_DEVICE_MAX_MEM_ALLOC_SIZE),
        .max_wg = (uint32_t)number_of(cl, id, CL_DEVICE_MAX_WORK_GROUP_SIZE),
        .local_bytes = (uint32_t)number_of(cl, id, CL_DEVICE_LOCAL_MEM_SIZE),
        .bind_align = 16, .max_groups = 0x7fffffff, .subgroup = subgroup_of(cl, id, ext),
        .compute_units = (uint32_t)number_of(cl, id, CL_DEVICE_MAX_COMPUTE_UNITS),
        .fp16 = strstr(ext, "cl_khr_fp16") != NULL, .fp64 = strstr(ext, "cl_khr_fp64") != NULL};
    pv_free(ext);
    /* kernels count elements in 32 bits */
    if (o->limits.max_alloc > (uint64_t)4 << 30)
        o->limits.max_alloc = (uint64_t)4 << 30;
    o->limits.max_binding = o->limits.max_alloc;
}

/* Usable devices of all platforms; ids and info may be NULL. */
static int find(const struct ocl_api *cl, cl_device_id *ids, struct pv_dev_info *info, int max)
{
    cl_platform_id plat[MAX_PLATFORMS];
    cl_uint np = 0;
    if (cl->clGetPlatformIDs(MAX_PLATFORMS, plat, &np) != CL_SUCCESS)
        return 0;
    int n = 0;
    for (cl_uint p = 0; p < np && p < MAX_PLATFORMS; p++) {
        cl_device_id dev[MAX_IDS];
        cl_uint nd = 0;
        char platform[128] = "";
        cl->clGetPlatformInfo(plat[p], CL_PLATFORM_NAME, sizeof platform - 1, platform, NULL);
        if (cl->clGetDeviceIDs(plat[p], CL_DEVICE_TYPE_ALL, MAX_IDS, dev, &nd) != CL_SUCCESS)
            continue;
        for (cl_uint i = 0; i < nd && i < MAX_IDS && n < max; i++) {
            if (!(number_of(cl, dev[i], CL_DEVICE_AVAILABLE) & 1) ||
                !(number_of(cl, dev[i], CL_DEVICE_COMPILER_AVAILABLE) & 1) ||
                !(number_of(cl, dev[i], CL_DEVICE_ENDIAN_LITTLE) & 1))
                continue;
            if (ids)
                ids[n] = dev[i];
            if (info)
                describe(cl, dev[i], platform, &info[n]);
            n++;
        }
    }
    return n;
}

static int ocl_list(struct pv_dev_info *out, int max, struct pv_str *missing)
{
    const struct ocl_api *cl = ocl_load(missing);
    if (!cl)
        return 0;
    int n = find(cl, NULL, out, max < MAX_IDS ? max : MAX_IDS);
    if (n == 0 && missing)
        pv_str_addf(missing, "OpenCL: the loader is there, but no driver offers a device. Install your GPU's "
                    "driver, or for the CPU on Debian: apt-get install pocl-opencl-icd\n");
    return n;
}

static bool ocl_open(pv_dev *dev, int index)
{
    const struct ocl_api *cl = ocl_load(NULL);
    cl_device_id ids[MAX_IDS];
    if (!cl || find(cl, ids, NULL, MAX_IDS) <= index)
        return pv_fail(PV_FAULT_DEVICE, "%s is gone", dev->info.id);
    struct ocl_dev *d = pv_new(struct ocl_dev);
    d->cl = cl;
    d->id = ids[index];
    d->sync = pv_env("PV_SYNC") != NULL;
    d->oclgrind = strstr(dev->info.driver, "Oclgrind") != NULL;
    d->keeps_programs = strstr(dev->info.driver, "Portable Computing Language") != NULL;
    if (d->oclgrind) {          /* it checks bounds itself, if buffers are no larger than asked for */
        dev->exact = true;
        dev->guard_bytes = 0;
    }
    cl_int e;
    d->ctx = cl->clCreateContext(NULL, 1, &d->id, NULL, NULL, &e);
    if (e == CL_SUCCESS)
        d->queue = cl->clCreateCommandQueue(d->ctx, d->id, dev->opts.profile ? CL_QUEUE_PROFILING_ENABLE : 0,
                                            &e);
    if (e != CL_SUCCESS) {
        pv_fail(PV_FAULT_DEVICE, "%s (%s): no OpenCL queue: %s", dev->info.id, dev->info.name,
                ocl_error_name(e));
        if (d->ctx)
            cl->clReleaseContext(d->ctx);
        pv_free(d);
        return false;
    }
    d->driver_hash = pv_hash_str(PV_HASH_START, PV_VERSION);
    d->driver_hash = pv_hash_str(d->driver_hash, dev->info.name);
    d->driver_hash = pv_hash_str(d->driver_hash, dev->info.driver);
    d->driver_hash = pv_hash_str(d->driver_hash, dev->info.api);
    dev->impl = d;
    return true;
}

static void ocl_finish(pv_dev *dev)
{
    struct ocl_dev *d = dev->impl;
    ocl_ok(dev, d->cl->clFinish(d->queue), "clFinish");
}

static void ocl_close(pv_dev *dev)
{
    struct ocl_dev *d = dev->impl;
    for (int i = 0; i < d->num_timed; i++)
        d->cl->clReleaseEvent(d->timed[i].event);
    pv_free(d->timed);
    ocl_programs_free(d);
    ocl_gemm_close(dev);
    ocl_staging_close(d);
    d->cl->clReleaseCommandQueue(d->queue);
    d->cl->clReleaseContext(d->ctx);
    pv_free(d);
}

/* Oclgrind marks memory as initialised only by writes from offset 0, and forgets what is behind them (see ocl.h):
 * bytes of src, or of the repeated word, go in by rewriting the whole buffer. */
static void oclgrind_set(pv_dev *dev, struct pv_mem *m, uint64_t off, const void *src, uint64_t bytes,
                         uint32_t word)
{
    struct ocl_dev *d = dev->impl;
    char *all = pv_zalloc(m->bytes);
    cl_int e = CL_SUCCESS;
    if (bytes < m->bytes)
        e = d->cl->clEnqueueReadBuffer(d->queue, m->handle, CL_TRUE, 0, m->bytes, all, 0, NULL, NULL);
    if (src)
        memcpy(all + off, src, bytes);
    else
        for (uint64_t i = 0; i + 4 <= bytes; i += 4)
            memcpy(all + off + i, &word, 4);
    if (e == CL_SUCCESS)
        e = d->cl->clEnqueueWriteBuffer(d->queue, m->handle, CL_TRUE, 0, m->bytes, all, 0, NULL, NULL);
    ocl_ok(dev, e, "clEnqueueWriteBuffer");
    pv_free(all);
}

static bool ocl_alloc(pv_dev *dev, struct pv_mem *m, uint64_t bytes)
{
    struct ocl_dev *d = dev->impl;
    cl_int e;
    cl_mem mem = d->cl->clCreateBuffer(d->ctx, CL_MEM_READ_WRITE, bytes, NULL, &e);
    if (e != CL_SUCCESS)
        return false;
    /* Many drivers allocate on first use: touch it now, so that lack of memory shows here. */
    const uint32_t zero = 0;
    if (d->oclgrind)
        return (m->handle = mem, m->bytes = bytes, oclgrind_set(dev, m, 0, NULL, bytes, 0), !dev->failed);
    e = d->cl->clEnqueueFillBuffer(d->queue, mem, &zero, sizeof zero, 0, bytes & ~3ull, 0, NULL, NULL);
    if (e != CL_SUCCESS) {
        d->cl->clReleaseMemObject(mem);
        return false;
    }
    m->handle = mem;
    return true;
}

static void ocl_free(pv_dev *dev, struct pv_mem *m)
{
    struct ocl_dev *d = dev->impl;
    d->cl->clReleaseMemObject(m->handle);
}

static void ocl_write(pv_dev *dev, struct pv_mem *m, uint64_t off, const void *src, size_t bytes)
{
    struct ocl_dev *d = dev->impl;
    if (d->oclgrind) {
        oclgrind_set(dev, m, off, src, bytes, 0);
        return;
    }
    ocl_upload(dev, m->handle, off, src, bytes);
}

static void ocl_read(pv_dev *dev, struct pv_mem *m, uint64_t off, void *dst, size_t bytes)
{
    struct ocl_dev *d = dev->impl;
    ocl_ok(dev, d->cl->clEnqueueReadBuffer(d->queue, m->handle, CL_TRUE, off, bytes, dst, 0, NULL, NULL),
           "clEnqueueReadBuffer");
}

static void ocl_fill(pv_dev *dev, struct pv_mem *m, uint64_t off, uint64_t bytes, uint32_t word)
{
    struct ocl_dev *d = dev->impl;
    if (d->oclgrind)
        oclgrind_set(dev, m, off, NULL, bytes, word);
    else if (bytes)
        ocl_ok(dev, d->cl->clEnqueueFillBuffer(d->queue, m->handle, &word, sizeof word, off, bytes, 0, NULL,
                                               NULL), "clEnqueueFillBuffer");
}

static void ocl_copy(pv_dev *dev, struct pv_mem *dm, uint64_t doff, struct pv_mem *sm, uint64_t soff,
                     uint64_t bytes)
{
    struct ocl_dev *d = dev->impl;
    if (d->oclgrind) {
        char *tmp = pv_alloc(bytes);
        ocl_read(dev, sm, soff, tmp, bytes);
        oclgrind_set(dev, dm, doff, tmp, bytes, 0);
        pv_free(tmp);
    } else if (bytes)
        ocl_ok(dev, d->cl->clEnqueueCopyBuffer(d->queue, sm->handle, dm->handle, soff, doff, bytes, 0, NULL,
                                               NULL), "clEnqueueCopyBuffer");
}

static void harvest(pv_dev *dev)
{
    struct ocl_dev *d = dev->impl;
    cl_ulong t0 = 0, t1 = 0, before;
    for (int i = 0; i < d->num_timed; i++) {
        before = t1;
        d->cl->clWaitForEvents(1, &d->timed[i].event);
        d->cl->clGetEventProfilingInfo(d->timed[i].event, CL_PROFILING_COMMAND_START, sizeof t0, &t0, NULL);
        d->cl->clGetEventProfilingInfo(d->timed[i].event, CL_PROFILING_COMMAND_END, sizeof t1, &t1, NULL);
        d->cl->clReleaseEvent(d->timed[i].event);
        if (d->timed[i].follows && before && before < t0)
            t0 = before;
        pv_prof_add(dev, d->timed[i].label, d->timed[i].kernel, t1 > t0 ? t1 - t0 : 0);
    }
    d->num_timed = 0;
}

void ocl_time(pv_dev *dev, struct ocl_timed t)
{
    struct ocl_dev *d = dev->impl;
    if (!t.event)
        return;
    if (d->num_timed == d->cap_timed) {
        d->cap_timed = d->cap_timed ? 2 * d->cap_timed : 1024;
        d->timed = pv_realloc(d->timed, sizeof *d->timed * (size_t)d->cap_timed);
    }
    d->timed[d->num_timed++] = t;
}

static void ocl_flush(pv_dev *dev);

static void ocl_run(pv_dev *dev, const struct pv_resolved *r)
{
    struct ocl_dev *d = dev->impl;
    cl_kernel kern = ocl_get_kernel(dev, r);
    if (!kern)
        return;
    uint32_t *off = r->args;
    cl_int e = CL_SUCCESS;
    for (int i = 0; i < r->num_bind && e == CL_SUCCESS; i++) {
        cl_mem mem = r->bind[i].mem->handle;
        off[i] = (uint32_t)(r->bind[i].off / 4);
        e = d->cl->clSetKernelArg(kern, (cl_uint)i, sizeof mem, &mem);
    }
    if (e == CL_SUCCESS)
        e = d->cl->clSetKernelArg(kern, (cl_uint)r->num_bind, r->k->args_bytes, r->args);
    if (e != CL_SUCCESS) {
        pv_dev_fail(dev, "%s (%s): kernel arguments: %s", r->label, r->k->entry, ocl_error_name(e));
        return;
    }
    size_t global[3], local[3], from[3];        /* get_group_id() of kernels_cl/common/base.h adds `from` */
    for (int i = 0; i < 3; i++) {
        local[i] = r->k->wg[i] ? r->k->wg[i] : 1;
        global[i] = local[i] * r->groups[i];
        from[i] = local[i] * r->base[i];
    }
    cl_event ev = NULL;
    e = d->cl->clEnqueueNDRangeKernel(d->queue, kern, 3, from[1] | from[2] ? from : NULL, global, local, 0, NULL,
                                      dev->opts.profile ? &ev : NULL);
    if (e == CL_SUCCESS && d->sync)
        e = d->cl->clFinish(d->queue);
    if (e != CL_SUCCESS) {
        dev->oom = e == CL_MEM_OBJECT_ALLOCATION_FAILURE || e == CL_OUT_OF_RESOURCES;
        pv_dev_fail(dev, "%s (%s): launch failed with %s (%d)", r->label, r->k->entry, ocl_error_name(e), e);
        return;
    }
    ocl_time(dev, (struct ocl_timed){ev, r->label, r->k->entry, false});
    if (dev->info.type != PV_DEV_CPU && ++d->unflushed >= FLUSH_EVERY)
        ocl_flush(dev);
}

static void ocl_flush(pv_dev *dev)
{
    struct ocl_dev *d = dev->impl;
    d->unflushed = 0;
    ocl_ok(dev, d->cl->clFlush(d->queue), "clFlush");
}

const struct pv_backend pv_backend_ocl = {
    .name = "opencl", .list = ocl_list, .open = ocl_open, .close = ocl_close, .alloc = ocl_alloc,
    .free = ocl_free, .write = ocl_write, .read = ocl_read, .fill = ocl_fill, .copy = ocl_copy,
    .read_begin = ocl_read_begin, .read_ready = ocl_read_ready, .read_end = ocl_read_end, .run = ocl_run,
    .flush = ocl_flush, .finish = ocl_finish, .cache_save = ocl_programs_save, .profile = harvest,
    .matrix = ocl_matrix, .gemm_library = ocl_gemm_library, .gemm = ocl_gemm,
};
