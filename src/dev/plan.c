/* SPDX-License-Identifier: Apache-2.0
 * A device that only counts: it takes any work and does none, so that what a training needs is known before it begins.
 * Everything that is read from it is zero. */
#include <string.h>

#include "dev/dev_impl.h"

static int list(struct pv_dev_info *out, int max, struct pv_str *missing) { return 0; }
static bool plan_open(pv_dev *dev, int index) { return true; }
static bool plan_alloc(pv_dev *dev, struct pv_mem *m, uint64_t bytes) { return true; }
static void plan_free(pv_dev *dev, struct pv_mem *m) {}
static void plan_write(pv_dev *dev, struct pv_mem *m, uint64_t off, const void *src, size_t bytes) {}
static void plan_read(pv_dev *dev, struct pv_mem *m, uint64_t off, void *dst, size_t bytes) { memset(dst, 0, bytes); }
static void plan_fill(pv_dev *dev, struct pv_mem *m, uint64_t off, uint64_t bytes, uint32_t word) {}
static void plan_copy(pv_dev *dev, struct pv_mem *d, uint64_t doff, struct pv_mem *s, uint64_t soff, uint64_t bytes) {}
static bool plan_read_begin(pv_dev *dev, struct pv_mem *m, uint64_t off, struct pv_ticket *t) { return true; }
static bool plan_read_ready(pv_dev *dev, struct pv_ticket *t) { return true; }
static void plan_run(pv_dev *dev, const struct pv_resolved *r) {}
static void nothing(pv_dev *dev) {}

static void plan_read_end(pv_dev *dev, struct pv_ticket *t, void *dst)
{
    if (dst)
        memset(dst, 0, t->bytes);
}

static const struct pv_backend plan = {
    .name = "plan", .list = list, .open = plan_open, .close = nothing, .alloc = plan_alloc, .free = plan_free,
    .write = plan_write, .read = plan_read, .fill = plan_fill, .copy = plan_copy, .read_begin = plan_read_begin,
    .read_ready = plan_read_ready, .read_end = plan_read_end, .run = plan_run, .flush = nothing, .finish = nothing,
    .cache_save = nothing, .profile = nothing,
};

pv_dev *pv_dev_plan(const struct pv_dev_info *like, uint64_t memory)
{
    if (like->cls == PV_REF)        /* works on host memory, without kernels */
        return NULL;
    pv_dev *dev = pv_new(pv_dev);
    dev->be = &plan;
    dev->info = *like;
    dev->info.limits.memory = memory;
    dev->live.prev = dev->live.next = &dev->live;
    return dev;
}

bool pv_dev_is_plan(const pv_dev *dev) { return dev->be == &plan; }
