/* SPDX-License-Identifier: Apache-2.0
 * Inside the OpenCL backend. The loader is opened at run time; only OpenCL 1.2 entry points are used. */
#ifndef DEV_OCL_H
#define DEV_OCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "dev/dev_impl.h"

#define OCL_FUNCTIONS(X) \
    X(clGetPlatformIDs) X(clGetPlatformInfo) X(clGetDeviceIDs) X(clGetDeviceInfo) X(clCreateContext) \
    X(clReleaseContext) X(clCreateCommandQueue) X(clReleaseCommandQueue) X(clCreateBuffer) \
    X(clReleaseMemObject) X(clEnqueueReadBuffer) X(clEnqueueWriteBuffer) X(clEnqueueFillBuffer) \
    X(clEnqueueCopyBuffer) X(clEnqueueMapBuffer) X(clEnqueueUnmapMemObject) \
    X(clCreateProgramWithSource) X(clCreateProgramWithBinary) X(clBuildProgram) \
    X(clGetProgramBuildInfo) X(clGetProgramInfo) X(clReleaseProgram) X(clCreateKernel) X(clReleaseKernel) \
    X(clSetKernelArg) X(clEnqueueNDRangeKernel) X(clFlush) X(clFinish) X(clReleaseEvent) \
    X(clGetEventInfo) X(clWaitForEvents) X(clGetEventProfilingInfo)

struct ocl_api {
#define X(f) __typeof__(&f) f;
    OCL_FUNCTIONS(X)
#undef X
};
/* NULL with the reason in `why` (may be NULL) if there is no loader. The library stays open. */
const struct ocl_api *ocl_load(struct pv_str *why);

struct ocl_program {
    char *key;                  /* file and options */
    uint64_t hash;
    cl_program prog;
    bool dirty;                 /* holds code that the disk cache does not */
    struct ocl_program *next;
};

struct ocl_kernel {
    const struct pv_kernel *k;
    int32_t spec[PV_MAX_SPEC];
    cl_kernel kern;
    struct ocl_kernel *next;
};

/* Pinned host memory, mapped; mem NULL: plain memory. event: of the last copy from or to it. */
struct ocl_stage { cl_mem mem; void *map; size_t bytes, used; cl_event event; struct ocl_stage *next; };
/* follows: several kernels, of which `event` is the last; they began when the work before them ended. */
struct ocl_timed { cl_event event; const char *label, *kernel; bool follows; };

enum { OCL_SUBGROUP_OPTIONS = 64 };
struct ocl_dev {
    const struct ocl_api *cl;
    cl_device_id id;
    cl_context ctx;
    cl_command_queue queue;
    uint64_t driver_hash;
    struct ocl_program *programs;
    struct ocl_kernel *kernels[256];
    cl_command_queue mapping;           /* maps staging memory */
    struct ocl_stage *staging, *late;   /* of uploads, the one in use first; free ones for late reads */
    struct ocl_timed *timed;
    int num_timed, cap_timed;
    cl_mem gemm_room;                   /* CLBlast's scratch, as large as any product needed so far */
    size_t gemm_room_bytes;
    bool gemm_used;
    int unflushed;                      /* launches since the last clFlush */
    struct pv_matrix matrix;            /* m 0: none; known once it was asked for */
    bool matrix_asked;
    char subgroup_options[OCL_SUBGROUP_OPTIONS];
    bool subgroup_asked;
    bool sync;
    /* PoCL keeps what it compiles on disk itself; asked for a binary, it first compiles every kernel of the program
     * once more, for work-groups of any size. */
    bool keeps_programs;
    /* Oclgrind 21.10: fills, copies and writes of parts leave memory marked as uninitialised, and the
     * freeze instructions that optimisation makes cannot be interpreted. */
    bool oclgrind;
};

/* A kernel `name` of name.cl on buffers alone, all filled from the host. */
enum { OCL_PROBE_BUFFERS = 4 };
struct ocl_probe {
    const char *name, *options;         /* further ones of the compiler */
    int num;
    const void *from[OCL_PROBE_BUFFERS];
    size_t bytes[OCL_PROBE_BUFFERS];
    size_t items, groups;
};
/* Builds and runs it; out receives its last buffer. False: it does not, `why` says why (else it is empty). Waits. */
bool ocl_probe(const pv_dev *dev, const struct ocl_probe *p, void *out, char *why, size_t size);

const char *ocl_standard(const char *options);      /* option of the language, where `options` have none */
char *ocl_extensions(const struct ocl_api *cl, cl_device_id id);        /* names with spaces; pv_free it */
const char *ocl_error_name(cl_int e);
/* Raises the device's sticky failure when e is not CL_SUCCESS; true if it is. */
bool ocl_ok(pv_dev *dev, cl_int e, const char *call);
cl_kernel ocl_get_kernel(pv_dev *dev, const struct pv_resolved *r);     /* NULL after a failure */
void ocl_time(pv_dev *dev, struct ocl_timed t);         /* takes over t.event; NULL: nothing to do */
const char *ocl_gemm_library(struct pv_str *why);
bool ocl_gemm(pv_dev *dev, const struct pv_gemm *g, const struct pv_gemm_side side[3], char why[128]);
bool ocl_matrix(const pv_dev *dev, struct pv_matrix *out);
/* Compiler options of programs with reductions, empty if these do without sub-groups; sets dev->subgroup. The first
 * call finds out and waits. */
const char *ocl_subgroup_options(pv_dev *dev);
void ocl_gemm_close(pv_dev *dev);
void ocl_upload(pv_dev *dev, cl_mem to, uint64_t off, const void *src, size_t bytes);    /* src is free on return */
bool ocl_read_begin(pv_dev *dev, struct pv_mem *m, uint64_t off, struct pv_ticket *t);
bool ocl_read_ready(pv_dev *dev, struct pv_ticket *t);
void ocl_read_end(pv_dev *dev, struct pv_ticket *t, void *dst);
void ocl_staging_close(struct ocl_dev *d);              /* the device is idle */
void ocl_programs_save(pv_dev *dev);
void ocl_programs_free(struct ocl_dev *d);

#endif
