/* SPDX-License-Identifier: Apache-2.0
 * One interface to OpenCL, Vulkan and the reference device.
 *
 * Work is queued and runs in order; only the calls marked "waits" block. Nothing here returns an error for
 * queued work: the first failure is remembered (pv_dev_failed), later calls do nothing. A device and its
 * objects belong to one thread. */
#ifndef DEV_H
#define DEV_H

#include "base/base.h"

typedef struct pv_dev pv_dev;
typedef struct pv_buf pv_buf;

enum pv_dev_type { PV_DEV_CPU, PV_DEV_GPU, PV_DEV_OTHER };
/* Which kernels a device gets: fat = one work-item does a float16 tile (CPU runtimes that vectorise
 * explicit vectors), simt = many small work-items (GPUs, and CPU runtimes that imitate one),
 * ref = the plain C references in double. */
enum pv_dev_class { PV_FAT = 1, PV_SIMT = 2, PV_REF = 4 };

struct pv_limits {
    uint64_t memory;            /* bytes of device memory */
    uint64_t max_alloc;         /* bytes of one allocation */
    uint64_t max_binding;       /* bytes that one kernel argument may span */
    uint32_t max_wg;            /* work-items of a work-group */
    uint32_t local_bytes;       /* local (shared) memory of a work-group */
    uint32_t bind_align;        /* bytes; offsets of bindings are multiples of it */
    uint32_t max_groups;        /* work-groups along one dimension */
    uint32_t subgroup;          /* sub-group size, 0 if unknown; lowered to 1: neither sub-groups nor matrix units */
    uint32_t compute_units;
    uint64_t max_work;          /* operations of one piece of a launch (pv_launch.flops); 0: launches are never split */
    bool fp16, fp64;
};

struct pv_dev_info {
    char id[24];                /* "opencl:0", "vulkan:1", "ref:0" */
    char name[256], vendor[96], driver[640], api[64];
    enum pv_dev_type type;
    enum pv_dev_class cls;      /* chosen from the table of drivers */
    struct pv_limits limits;
};

/* All devices of all backends, OpenCL first, ref:0 last; pv_free the array. When a loader or driver is
 * missing, `missing` (may be NULL) receives one line per backend saying what is missing and how to get it. */
struct pv_dev_info *pv_dev_list(int *count, struct pv_str *missing);

struct pv_dev_opts {
    const char *force_class;    /* "fat", "simt" or NULL */
    struct pv_limits lower;     /* non-zero fields lower the device's limits (tests of splitting paths) */
    bool profile;               /* time every kernel (pv_dev_profile) */
    bool guard;                 /* guard zones around every buffer (pv_dev_guard_check) */
    bool poison;                /* new tensors start as NaN */
    bool no_cache;              /* no program cache on disk */
};
/* `name`: "opencl:0", "auto", or part of a device's name (case does not matter, must be unique). On auto:
 * the first GPU of OpenCL, then of Vulkan, then CPUs in the same order. `o` may be NULL. NULL with
 * PV_FAULT_USAGE (unknown name, lists the known ones) or PV_FAULT_DEVICE. */
pv_dev *pv_dev_open(const char *name, const struct pv_dev_opts *o);
/* A device of the same class and limits, but with `memory` bytes, that counts what it is asked for and does no work: to
 * know beforehand what fits. Reads give zeros. NULL for the reference device. */
pv_dev *pv_dev_plan(const struct pv_dev_info *like, uint64_t memory);
bool pv_dev_is_plan(const pv_dev *dev);
void pv_dev_close(pv_dev **dev);                /* waits */
const struct pv_dev_info *pv_dev_get_info(const pv_dev *dev);
const struct pv_dev_opts *pv_dev_get_opts(const pv_dev *dev);
static inline bool pv_dev_is_ref(const pv_dev *dev) { return pv_dev_get_info(dev)->cls == PV_REF; }

bool pv_dev_failed(const pv_dev *dev);
bool pv_dev_out_of_memory(const pv_dev *dev);   /* the failure was lack of device memory */
void pv_dev_fail(pv_dev *dev, const char *fmt, ...) PV_PRINTF(2, 3);
void pv_dev_flush(pv_dev *dev);                 /* start queued work */
bool pv_dev_finish(pv_dev *dev);                /* waits for all work; false if the device has failed */
void pv_dev_cache_save(pv_dev *dev);            /* writes newly built programs to the disk cache; waits */

/* A small text kept on disk beside the programs by device, driver, class, limits, version and kernels. Load: pv_free
 * it; NULL: there is none. Failing to store warns. */
char *pv_dev_notes_load(const pv_dev *dev, const char *name);
void pv_dev_notes_store(const pv_dev *dev, const char *name, const char *text);

/* ---- memory ----
 * Buffers come from a pool: a released buffer is reused without waiting, because work runs in order.
 * `sig` identifies how the content is laid out: a buffer whose last user had another non-zero sig is
 * cleared to zero first, so that borders and spare lanes of feature maps are zero although no kernel
 * writes them. sig 0: content undefined. `unit`: when `bytes` exceeds one allocation, the buffer is made of
 * segments, each a multiple of `unit` bytes (a sample), and no binding may cross a segment. */
pv_buf *pv_buf_get(pv_dev *dev, size_t bytes, size_t unit, uint64_t sig);   /* NULL: device failed */
pv_buf *pv_buf_ref(pv_buf *buf);
void pv_buf_put(pv_buf **buf);                  /* gives up one reference; NULL safe */
pv_dev *pv_buf_dev(const pv_buf *buf);
size_t pv_buf_bytes(const pv_buf *buf);
size_t pv_buf_segment(const pv_buf *buf);       /* bytes of a segment; >= pv_buf_bytes if there is one */
void *pv_buf_host(pv_buf *buf);                 /* reference device only: its memory */
void pv_buf_write(pv_buf *buf, size_t off, const void *src, size_t bytes);  /* src is free on return */
bool pv_buf_read(pv_buf *buf, size_t off, void *dst, size_t bytes);         /* waits */
void pv_buf_fill(pv_buf *buf, size_t off, size_t bytes, uint32_t word);     /* multiples of 4 */
void pv_buf_copy(pv_buf *dst, size_t doff, pv_buf *src, size_t soff, size_t bytes);

/* Reading without waiting: the copy is queued now and fetched some steps later. */
typedef struct pv_ticket pv_ticket;
pv_ticket *pv_read_begin(pv_buf *buf, size_t off, size_t bytes);            /* at most 64 KiB */
bool pv_read_ready(pv_ticket *t);
bool pv_read_end(pv_ticket **t, void *dst);     /* waits if not ready; frees; false if the device failed */

struct pv_mem_stats {
    uint64_t used, peak;        /* bytes held by live buffers now, and at most since the last reset */
    uint64_t reserved;          /* bytes taken from the driver */
    uint64_t allocs, launches;  /* driver allocations and kernel launches so far */
};
struct pv_mem_stats pv_dev_mem(const pv_dev *dev);
void pv_dev_mem_reset_peak(pv_dev *dev);
void pv_dev_trim(pv_dev *dev);                  /* gives unused memory back to the driver; waits */
/* With opts.guard: true if no guard zone was written to since the buffers were made; logs the first. */
bool pv_dev_guard_check(pv_dev *dev);

/* ---- kernels ---- */
enum { PV_MAX_BIND = 12, PV_MAX_SPEC = 8, PV_MAX_ARGS = 128 };

/* One entry point, a static const object beside the op that uses it. In OpenCL: kernel `entry` of
 * kernels_cl/FILE.cl, compiled with -DPV_FAT or -DPV_SIMT and -DNAME=value for each constant. In Vulkan:
 * shaders/FILE.comp compiled with -DENTRY_<entry>, constants by specialisation id (their index). */
struct pv_kernel {
    const char *file, *entry;
    const char *bind;           /* per buffer: 'r' read, 'w' written, 'x' both */
    uint32_t args_bytes;        /* <= PV_MAX_ARGS; starts with one uint32 offset per buffer */
    uint32_t wg[3];             /* work-group size */
    const char *const *spec;    /* names of constants, NULL-terminated; NULL if none */
};

/* One launch. `args` points to the kernel's argument struct; its leading offsets are filled in here (in
 * 4-byte elements, from the start of what is bound). */
struct pv_launch {
    const struct pv_kernel *k;
    const char *label;          /* op name, for profiles and messages */
    struct { pv_buf *buf; size_t off, bytes; } bind[PV_MAX_BIND];
    int32_t spec[PV_MAX_SPEC];
    void *args;
    uint32_t groups[3];         /* work-groups; pv_groups() splits one large count */
    double flops;               /* floating-point operations, about; 0: a short launch. To be set before pv_groups() */
};
/* A launch of more than limits.max_work goes to the device in pieces along y or z, as far as each has enough
 * work-groups to fill it: a desktop's driver resets a device that a launch keeps busy for some seconds. Class simt,
 * whose kernels know their work-group by get_group_id() or gl_WorkGroupID alone and never ask how many there are along
 * y or z. */
void pv_run(pv_dev *dev, struct pv_launch *l);
/* Spreads `total` work-groups over x and y; kernels number them by x + y * num_groups(x) and must ignore
 * the surplus. */
void pv_groups(const pv_dev *dev, struct pv_launch *l, uint64_t total);

/* ---- matrix products by a library ----
 * OpenCL devices: CLBlast, opened at run time if it is there (PV_CLBLAST_LIB names another file). Products are queued
 * in order with everything else. Its kernels are compiled at the first one. */

/* Path of its file (or another text if that is unknown), lives on; NULL: it cannot be used, `why` (may be NULL) says
 * why and how to get it. */
const char *pv_gemm_library(struct pv_str *why);
bool pv_gemm_there(const pv_dev *dev, struct pv_str *why);      /* for this device; nothing is compiled */
/* The first product, on a few numbers: compiles the kernels and waits. False: it does not work on this device, which
 * the first call warns of. *seconds (may be NULL): what the first call took. */
bool pv_gemm_begin(pv_dev *dev, double *seconds);

struct pv_gemm_rows { pv_buf *buf; size_t off; int ld; };       /* off: bytes; ld: elements from row to row */
/* c [m][n] = a [m][k] b [k][n], rows one after another, fp32. turn_a: a is stored as [k][m]; turn_b: b as [n][k];
 * accum: added to what c holds. Each lies within one segment; a and b do not overlap c. */
struct pv_gemm { const char *label; struct pv_gemm_rows a, b, c; int m, n, k; bool turn_a, turn_b, accum; };
void pv_gemm_run(pv_dev *dev, const struct pv_gemm *g);         /* after pv_gemm_begin */

struct pv_prof { const char *label, *kernel; uint64_t ns, count; };
/* With opts.profile: time by label and kernel since the last call; pv_free the array. Waits. */
struct pv_prof *pv_dev_profile(pv_dev *dev, int *count);

#endif
