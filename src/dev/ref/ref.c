/* SPDX-License-Identifier: Apache-2.0
 * The reference device: host memory, no queue, no kernels. Ops see its class and call their references in
 * double. It exists on every machine and is the oracle of every check. */
#include <stdio.h>
#include <string.h>

#include "dev/dev_impl.h"
#include "platform/platform.h"

static int list(struct pv_dev_info *out, int max, struct pv_str *missing)
{
    if (max < 1)
        return 0;
    uint64_t ram = pv_ram_bytes();
    *out = (struct pv_dev_info){.type = PV_DEV_CPU, .cls = PV_REF,
        .limits = {.memory = ram ? ram : 1ull << 32, .max_alloc = UINT64_MAX / 2,
                   .max_binding = UINT64_MAX / 2, .max_wg = 1, .bind_align = 16, .fp64 = true,
                   .compute_units = 1}};
    snprintf(out->name, sizeof out->name, "plain C reference (double, one thread, slow)");
    snprintf(out->vendor, sizeof out->vendor, "protovox");
    snprintf(out->driver, sizeof out->driver, "built in");
    snprintf(out->api, sizeof out->api, "C11");
    return 1;
}

static bool ref_open(pv_dev *dev, int index) { return true; }
static void ref_close(pv_dev *dev) {}

static bool ref_alloc(pv_dev *dev, struct pv_mem *m, uint64_t bytes)
{
    m->handle = pv_alloc_big(bytes, "reference device memory");
    if (m->handle)
        memset(m->handle, 0, bytes);
    return m->handle != NULL;
}

static void ref_free(pv_dev *dev, struct pv_mem *m) { pv_free_big(m->handle); }

static void ref_write(pv_dev *dev, struct pv_mem *m, uint64_t off, const void *src, size_t bytes)
{
    memcpy((char *)m->handle + off, src, bytes);
}

static void ref_read(pv_dev *dev, struct pv_mem *m, uint64_t off, void *dst, size_t bytes)
{
    memcpy(dst, (char *)m->handle + off, bytes);
}

static void ref_fill(pv_dev *dev, struct pv_mem *m, uint64_t off, uint64_t bytes, uint32_t word)
{
    uint32_t *p = (uint32_t *)((char *)m->handle + off);
    for (uint64_t i = 0; i < bytes / 4; i++)
        p[i] = word;
}

static void ref_copy(pv_dev *dev, struct pv_mem *d, uint64_t doff, struct pv_mem *s, uint64_t soff,
                     uint64_t bytes)
{
    memmove((char *)d->handle + doff, (char *)s->handle + soff, bytes);
}

static bool ref_read_begin(pv_dev *dev, struct pv_mem *m, uint64_t off, struct pv_ticket *t)
{
    t->impl = pv_alloc(t->bytes);
    memcpy(t->impl, (char *)m->handle + off, t->bytes);
    return true;
}

static bool ref_read_ready(pv_dev *dev, struct pv_ticket *t) { return true; }

static void ref_read_end(pv_dev *dev, struct pv_ticket *t, void *dst)
{
    if (dst)
        memcpy(dst, t->impl, t->bytes);
    pv_free(t->impl);
}

static void ref_run(pv_dev *dev, const struct pv_resolved *r)
{
    pv_dev_fail(dev, "internal: kernel %s was launched on the reference device", r->k->entry);
}

static void nothing(pv_dev *dev) {}

const struct pv_backend pv_backend_ref = {
    .name = "ref", .list = list, .open = ref_open, .close = ref_close, .alloc = ref_alloc,
    .free = ref_free, .write = ref_write, .read = ref_read, .fill = ref_fill, .copy = ref_copy,
    .read_begin = ref_read_begin, .read_ready = ref_read_ready, .read_end = ref_read_end, .run = ref_run,
    .flush = nothing, .finish = nothing, .cache_save = nothing, .profile = nothing,
};
