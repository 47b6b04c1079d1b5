/* SPDX-License-Identifier: Apache-2.0
 * What a backend fills in, and what dev.c and pool.c share with it. Arguments are already checked. */
#ifndef DEV_IMPL_H
#define DEV_IMPL_H

#include "dev/dev.h"
#include "dev/matrix.h"

/* One driver allocation. */
struct pv_mem {
    void *handle;               /* backend's */
    uint64_t bytes;
    uint64_t sig;               /* of the last user */
    uint64_t clean;             /* bytes of content, from the first, whose borders and spare lanes are zero for sig */
    struct pv_mem *next;        /* free list */
    /* Vulkan: which barrier epoch last read and wrote it */
    uint64_t read_epoch, write_epoch;
};

struct pv_buf {
    pv_dev *dev;
    int refs;
    size_t bytes, segment;
    size_t base;                /* bytes before the content in every segment: the front guard */
    int num_mem;
    struct pv_mem **mem;
    struct pv_buf *prev, *next; /* live list, for guard checks */
};

/* A launch as backends see it: every buffer resolved to one allocation. */
struct pv_bound { struct pv_mem *mem; uint64_t off, bytes; bool write, read; };
struct pv_resolved {
    const struct pv_kernel *k;
    const char *label;
    int num_bind;
    struct pv_bound bind[PV_MAX_BIND];
    int num_spec;
    const int32_t *spec;
    void *args;                 /* offsets not yet filled in: the backend does */
    const uint32_t *groups;
    uint32_t base[3];           /* number of the first work-group */
    bool follows;               /* a later piece of the same launch: need not wait for the one before */
};

struct pv_ticket { pv_dev *dev; size_t bytes; void *impl; };

/* Matrices of a struct pv_gemm, each resolved to one allocation; off in bytes. */
struct pv_gemm_side { struct pv_mem *mem; uint64_t off; };

struct pv_backend {
    const char *name;
    /* Number of devices; fills up to max. 0 is no error: the reason goes to `missing` (may be NULL). */
    int (*list)(struct pv_dev_info *out, int max, struct pv_str *missing);
    bool (*open)(pv_dev *dev, int index);       /* sets dev->impl; info is filled */
    void (*close)(pv_dev *dev);
    /* Memory filled with zeros; false: out of memory, not logged. */
    bool (*alloc)(pv_dev *dev, struct pv_mem *m, uint64_t bytes);
    void (*free)(pv_dev *dev, struct pv_mem *m);                    /* device is idle */
    void (*write)(pv_dev *dev, struct pv_mem *m, uint64_t off, const void *src, size_t bytes);
    void (*read)(pv_dev *dev, struct pv_mem *m, uint64_t off, void *dst, size_t bytes);
    void (*fill)(pv_dev *dev, struct pv_mem *m, uint64_t off, uint64_t bytes, uint32_t word);
    void (*copy)(pv_dev *dev, struct pv_mem *d, uint64_t doff, struct pv_mem *s, uint64_t soff,
                 uint64_t bytes);
    bool (*read_begin)(pv_dev *dev, struct pv_mem *m, uint64_t off, struct pv_ticket *t);
    bool (*read_ready)(pv_dev *dev, struct pv_ticket *t);
    void (*read_end)(pv_dev *dev, struct pv_ticket *t, void *dst);  /* dst NULL: just free */
    void (*run)(pv_dev *dev, const struct pv_resolved *r);
    void (*flush)(pv_dev *dev);
    void (*finish)(pv_dev *dev);
    void (*cache_save)(pv_dev *dev);
    void (*profile)(pv_dev *dev);               /* adds finished times with pv_prof_add */
    bool (*matrix)(const pv_dev *dev, struct pv_matrix *out);       /* NULL: has no matrix units */
    /* Matrix products by a library; both NULL: there is none for this interface. gemm: sides a, b, c; false and
     * why: it was not queued. */
    const char *(*gemm_library)(struct pv_str *why);
    bool (*gemm)(pv_dev *dev, const struct pv_gemm *g, const struct pv_gemm_side side[3], char why[128]);
};
extern const struct pv_backend pv_backend_ocl, pv_backend_vk, pv_backend_ref;
extern const struct pv_backend *const pv_backends[];    /* backends.c, NULL-terminated */

struct pv_dev {
    const struct pv_backend *be;
    void *impl;
    struct pv_dev_info info;
    struct pv_dev_opts opts;
    bool failed, oom;
    bool exact;                 /* allocations are not rounded up (checkers of bounds) */
    struct pv_mem *free_list;
    struct pv_buf live;         /* list head */
    struct pv_mem_stats stats;
    struct pv_prof *prof;
    int num_prof, cap_prof;
    uint64_t guard_bytes;
    int subgroup;               /* of reductions (common/group): size, -1: the compiler chooses it, 0: without */
    int gemm_state;             /* pv_gemm_begin: 0 not called, 1 works, -1 does not */
    double gemm_seconds;
};

/* The allocation that holds content byte `off`; *at receives the byte inside it, *left what follows in it. */
struct pv_mem *pv_buf_locate(const pv_buf *b, size_t off, uint64_t *at, size_t *left);

void pv_prof_add(pv_dev *dev, const char *label, const char *kernel, uint64_t ns);
/* Work of one mem must be ordered with earlier uses; the pool calls these. */
void pv_pool_close(pv_dev *dev);

/* A CPU's memory is the program's own: drivers name all of the machine's, also where a container has less. */
void pv_dev_cap_memory(struct pv_dev_info *d, uint64_t ram);

/* Disk cache: key -> bytes. Files are written whole and renamed; a damaged or foreign one is ignored. */
bool pv_cache_load(uint64_t key, const char *suffix, void **data, size_t *bytes);   /* pv_free data */
void pv_cache_store(uint64_t key, const char *suffix, const void *data, size_t bytes);

/* Kernel sources: the embedded text or words of FILE[__ENTRY], or the file of that name under PV_KERN_DIR. */
bool pv_kernel_source(const char *table, const char *name, const void **data, size_t *bytes, bool *owned);
bool pv_kernel_there(const char *table, const char *name);

/* The library that environment variable `env` names, else the first of `names` that can be opened. NULL: *why says what
 * the variable named and why that cannot be opened, or is NULL if it is not set; pv_free it. */
struct pv_dynlib *pv_dev_loader(const char *env, const char *const *names, char **why);

#endif
