/* SPDX-License-Identifier: Apache-2.0
 * Devices by name, the sticky failure, and the checked front of every call; backends assume valid input. */
#include "dev/dev_impl.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "platform/platform.h"
#include "pv_config.h"

enum { MAX_DEVICES = 64 };
/* Operations of a launch: a fifth of a second on a slow GPU (80 GFLOP/s reached). A device for computing alone would
 * not need it, and loses little: a piece still fills it. */
static const uint64_t MOST_WORK = 16000000000;

pv_dynlib *pv_dev_loader(const char *env, const char *const *names, char **why)
{
    pv_dynlib *lib = NULL;
    const char *own = pv_env(env);
    *why = NULL;
    if (own && !(lib = pv_dynlib_open(own)))
        *why = pv_asprintf("%s names %s, which cannot be opened (%s)", env, own, pv_os_error());
    for (int i = 0; !own && names[i] && !lib; i++)
        lib = pv_dynlib_open(names[i]);
    return lib;
}

/* Lines for the interfaces that were left out when the program was built. */
static void not_built(struct pv_str *missing)
{
    if (missing && !PV_HAVE_OPENCL)
        pv_str_add(missing, "OpenCL: this program was built without it. Build it again with -Dopencl=enabled; it needs "
                   "the headers, on Debian: apt-get install opencl-c-headers\n");
    if (missing && !PV_HAVE_VULKAN)
        pv_str_add(missing, "Vulkan: this program was built without it. Build it again with -Dvulkan=enabled; it needs "
                   "the headers and glslc, on Debian: apt-get install libvulkan-dev glslc\n");
}

void pv_dev_cap_memory(struct pv_dev_info *d, uint64_t ram)
{
    if (d->type == PV_DEV_CPU && ram && ram < d->limits.memory)
        d->limits.memory = ram;
}

struct pv_dev_info *pv_dev_list(int *count, struct pv_str *missing)
{
    uint64_t ram = pv_ram_bytes();
    struct pv_dev_info *list = pv_array(struct pv_dev_info, MAX_DEVICES);
    int n = 0;
    for (int b = 0; pv_backends[b]; b++) {
        int got = pv_backends[b]->list(list + n, MAX_DEVICES - n, missing);
        for (int i = 0; i < got; i++) {
            snprintf(list[n + i].id, sizeof list->id, "%s:%d", pv_backends[b]->name, i);
            pv_dev_cap_memory(&list[n + i], ram);
        }
        n += got;
    }
    not_built(missing);
    *count = n;
    return list;
}

static bool contains_nocase(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && text[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == n)
            return true;
    }
    return n == 0;
}

/* Index in list, or -1 after pv_fail. */
static int choose(const char *name, const struct pv_dev_info *list, int n, const char *missing)
{
    if (pv_streq(name, "auto")) {
        int best = -1;
        for (int pass = 0; pass < 2 && best < 0; pass++)
            for (int i = 0; i < n && best < 0; i++)
                if (list[i].cls != PV_REF && (list[i].type == PV_DEV_GPU) == (pass == 0))
                    best = i;
        if (best < 0)
            pv_fail(PV_FAULT_DEVICE, "no OpenCL or Vulkan device found.\n%s", missing ? missing : "");
        return best;
    }
    for (int i = 0; i < n; i++)
        if (pv_streq(name, list[i].id))
            return i;
    int found = -1, hits = 0;
    for (int i = 0; i < n; i++)
        if (contains_nocase(list[i].name, name)) {
            hits++;
            if (found < 0)
                found = i;
        }
    struct pv_str known = {0};
    for (int i = 0; i < n; i++)
        pv_str_addf(&known, "\n  %-10s %s", list[i].id, list[i].name);
    if (missing && *missing)
        pv_str_addf(&known, "\n%s", missing);
    if (hits > 1) {
        pv_fail(PV_FAULT_USAGE, "device '%s' fits several devices; use one of these names:%s", name,
                known.text);
        found = -1;
    } else if (hits == 0) {
        bool kind = pv_starts(name, "opencl:") || pv_starts(name, "vulkan:");
        pv_fail(kind ? PV_FAULT_DEVICE : PV_FAULT_USAGE, "there is no device '%s'; known are:%s", name,
                known.text ? known.text : " none");
    }
    pv_str_free(&known);
    return found;
}

static void lower(uint64_t *limit, uint64_t to)
{
    if (to && to < *limit)
        *limit = to;
}

static void lower32(uint32_t *limit, uint32_t to)
{
    if (to && to < *limit)
        *limit = to;
}

pv_dev *pv_dev_open(const char *name, const struct pv_dev_opts *o)
{
    int n;
    struct pv_str missing = {0};
    struct pv_dev_info *list = pv_dev_list(&n, &missing);
    pv_dev *dev = NULL;
    int at = choose(name, list, n, missing.text);
    if (at < 0)
        goto done;

    dev = pv_new(pv_dev);
    dev->info = list[at];
    if (o)
        dev->opts = *o;
    dev->live.prev = dev->live.next = &dev->live;
    dev->guard_bytes = dev->opts.guard ? 4096 : 0;
    if (dev->opts.force_class && dev->info.cls != PV_REF) {
        if (pv_streq(dev->opts.force_class, "simt")) {
            dev->info.cls = PV_SIMT;
        } else if (pv_streq(dev->opts.force_class, "fat") && pv_starts(dev->info.id, "opencl")) {
            dev->info.cls = PV_FAT;
        } else {
            pv_fail(PV_FAULT_USAGE, "device class '%s' is not offered by %s (fat: OpenCL only; simt)",
                    dev->opts.force_class, dev->info.id);
            goto error;
        }
    }
    const struct pv_limits *to = &dev->opts.lower;
    lower(&dev->info.limits.memory, to->memory);
    lower(&dev->info.limits.max_alloc, to->max_alloc);
    lower(&dev->info.limits.max_binding, to->max_binding);
    if (dev->info.type != PV_DEV_CPU)
        dev->info.limits.max_work = MOST_WORK;
    if (to->max_work)
        dev->info.limits.max_work = to->max_work;
    lower32(&dev->info.limits.max_wg, to->max_wg);
    lower32(&dev->info.limits.local_bytes, to->local_bytes);
    lower32(&dev->info.limits.max_groups, to->max_groups);
    lower32(&dev->info.limits.subgroup, to->subgroup);
    if (to->max_alloc)      /* as everywhere else: what can be allocated can be bound */
        lower(&dev->info.limits.max_binding, dev->info.limits.max_alloc - 2 * dev->guard_bytes);

    int index = 0;
    sscanf(strchr(dev->info.id, ':') + 1, "%d", &index);
    for (int b = 0; pv_backends[b]; b++)
        if (pv_starts(dev->info.id, pv_backends[b]->name))
            dev->be = pv_backends[b];
    if (!dev->be->open(dev, index))
        goto error;
    if (dev->exact)         /* guard zones would hide from it what is behind a buffer */
        dev->guard_bytes = 0;
    goto done;

error:
    pv_free(dev);
    dev = NULL;
done:
    pv_free(list);
    pv_str_free(&missing);
    return dev;
}

void pv_dev_close(pv_dev **devp)
{
    pv_dev *dev = *devp;
    if (!dev)
        return;
    dev->be->finish(dev);
    if (!dev->failed)
        dev->be->cache_save(dev);
    pv_pool_close(dev);
    dev->be->close(dev);
    pv_free(dev->prof);
    pv_free(dev);
    *devp = NULL;
}

const struct pv_dev_info *pv_dev_get_info(const pv_dev *dev) { return &dev->info; }
const struct pv_dev_opts *pv_dev_get_opts(const pv_dev *dev) { return &dev->opts; }
bool pv_dev_matrix(const pv_dev *dev, struct pv_matrix *out)
{
    return dev->be->matrix && dev->be->matrix(dev, out);
}

bool pv_dev_failed(const pv_dev *dev) { return dev->failed; }
bool pv_dev_out_of_memory(const pv_dev *dev) { return dev->oom; }

void pv_dev_fail(pv_dev *dev, const char *fmt, ...)
{
    if (dev->failed)
        return;
    dev->failed = true;
    va_list ap;
    va_start(ap, fmt);
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pv_fail(PV_FAULT_DEVICE, "%s (%s): %s", dev->info.id, dev->info.name, text);
}

void pv_dev_flush(pv_dev *dev)
{
    if (!dev->failed)
        dev->be->flush(dev);
}

bool pv_dev_finish(pv_dev *dev)
{
    if (!dev->failed)
        dev->be->finish(dev);
    return !dev->failed;
}

void pv_dev_cache_save(pv_dev *dev)
{
    if (pv_dev_finish(dev))
        dev->be->cache_save(dev);
}

/* ---- transfers: split at segments ---- */

struct pv_mem *pv_buf_locate(const pv_buf *b, size_t off, uint64_t *at, size_t *left)
{
    size_t i = off / b->segment, in = off % b->segment;
    *at = b->base + in;
    *left = b->segment - in;
    return b->mem[i];
}

static bool in_range(pv_buf *b, size_t off, size_t bytes, const char *what)
{
    if (off <= b->bytes && bytes <= b->bytes - off)
        return true;
    pv_dev_fail(b->dev, "internal: %s of %zu bytes at %zu in a buffer of %zu", what, bytes, off, b->bytes);
    return false;
}

void pv_buf_write(pv_buf *b, size_t off, const void *src, size_t bytes)
{
    if (!b || b->dev->failed || !in_range(b, off, bytes, "write"))
        return;
    while (bytes) {
        uint64_t at;
        size_t part;
        struct pv_mem *m = pv_buf_locate(b, off, &at, &part);
        part = part < bytes ? part : bytes;
        b->dev->be->write(b->dev, m, at, src, part);
        off += part;
        src = (const char *)src + part;
        bytes -= part;
    }
}

bool pv_buf_read(pv_buf *b, size_t off, void *dst, size_t bytes)
{
    if (!b || b->dev->failed || !in_range(b, off, bytes, "read"))
        return false;
    while (bytes) {
        uint64_t at;
        size_t part;
        struct pv_mem *m = pv_buf_locate(b, off, &at, &part);
        part = part < bytes ? part : bytes;
        b->dev->be->read(b->dev, m, at, dst, part);
        off += part;
        dst = (char *)dst + part;
        bytes -= part;
    }
    return !b->dev->failed;
}

void pv_buf_fill(pv_buf *b, size_t off, size_t bytes, uint32_t word)
{
    if (!b || b->dev->failed || !in_range(b, off, bytes, "fill"))
        return;
    while (bytes) {
        uint64_t at;
        size_t part;
        struct pv_mem *m = pv_buf_locate(b, off, &at, &part);
        part = part < bytes ? part : bytes;
        b->dev->be->fill(b->dev, m, at, part, word);
        off += part;
        bytes -= part;
    }
}

void pv_buf_copy(pv_buf *d, size_t doff, pv_buf *s, size_t soff, size_t bytes)
{
    if (!d || !s || d->dev->failed || !in_range(d, doff, bytes, "copy") ||
        !in_range(s, soff, bytes, "copy"))
        return;
    while (bytes) {
        uint64_t dat, sat;
        size_t dpart, spart;
        struct pv_mem *dm = pv_buf_locate(d, doff, &dat, &dpart);
        struct pv_mem *sm = pv_buf_locate(s, soff, &sat, &spart);
        size_t part = dpart < spart ? dpart : spart;
        part = part < bytes ? part : bytes;
        d->dev->be->copy(d->dev, dm, dat, sm, sat, part);
        doff += part;
        soff += part;
        bytes -= part;
    }
}

pv_ticket *pv_read_begin(pv_buf *b, size_t off, size_t bytes)
{
    if (!b || b->dev->failed || !in_range(b, off, bytes, "read"))
        return NULL;
    uint64_t at;
    size_t left;
    struct pv_mem *m = pv_buf_locate(b, off, &at, &left);
    if (bytes > left || bytes > 65536) {
        pv_dev_fail(b->dev, "internal: late read of %zu bytes", bytes);
        return NULL;
    }
    pv_ticket *t = pv_new(pv_ticket);
    t->dev = b->dev;
    t->bytes = bytes;
    if (!b->dev->be->read_begin(b->dev, m, at, t)) {
        pv_free(t);
        return NULL;
    }
    return t;
}

bool pv_read_ready(pv_ticket *t)
{
    return !t || t->dev->failed || t->dev->be->read_ready(t->dev, t);
}

bool pv_read_end(pv_ticket **tp, void *dst)
{
    pv_ticket *t = *tp;
    if (!t)
        return false;
    bool ok = !t->dev->failed;
    t->dev->be->read_end(t->dev, t, ok ? dst : NULL);
    ok = ok && !t->dev->failed;
    pv_free(t);
    *tp = NULL;
    return ok;
}

/* ---- launches ---- */

/* In how many pieces a launch of so many operations goes to the device. */
static uint64_t pieces(const pv_dev *dev, double flops)
{
    const uint64_t most = dev->info.limits.max_work;
    return dev->info.cls == PV_SIMT && most && flops > (double)most ? (uint64_t)(flops / (double)most) + 1 : 1;
}

/* Work-groups that a piece should have at least, to fill the device. */
static uint64_t enough_groups(const pv_dev *dev)
{
    if (dev->opts.lower.max_work)
        return 1;
    return dev->info.limits.compute_units ? 4 * (uint64_t)dev->info.limits.compute_units : 256;
}

void pv_groups(const pv_dev *dev, struct pv_launch *l, uint64_t total)
{
    uint64_t x = total < 32768 ? total : 32768;
    if (dev->info.limits.max_groups && x > dev->info.limits.max_groups)
        x = dev->info.limits.max_groups;
    uint64_t rows = x ? (total + x - 1) / x : 0, n = pieces(dev, l->flops), least = total / 16;
    n = n < least ? n : least;          /* or the surplus grows */
    rows = rows && rows < n ? n : rows;
    l->groups[0] = (uint32_t)(rows ? (total + rows - 1) / rows : 1);     /* even rows: little surplus */
    l->groups[1] = (uint32_t)rows;
    l->groups[2] = 1;
}

static bool within_limits(pv_dev *dev, const struct pv_launch *l, const char *label)
{
    const struct pv_limits *m = &dev->info.limits;
    const uint32_t *wg = l->k->wg, *g = l->groups;
    const uint64_t items = (uint64_t)(wg[0] ? wg[0] : 1) * (wg[1] ? wg[1] : 1) * (wg[2] ? wg[2] : 1);
    if (items > m->max_wg)
        pv_dev_fail(dev, "%s (%s): needs a work-group of %llu work-items, but this device allows %u", label,
                    l->k->entry, (unsigned long long)items, m->max_wg);
    else if (m->max_groups && (g[0] > m->max_groups || g[1] > m->max_groups || g[2] > m->max_groups))
        pv_dev_fail(dev, "%s (%s): %u x %u x %u work-groups are more than this device takes along one dimension (%u); "
                    "use a smaller --patch", label, l->k->entry, g[0], g[1], g[2], m->max_groups);
    return !dev->failed;
}

static void run_pieces(pv_dev *dev, const struct pv_resolved *r, double flops)
{
    const uint32_t *all = r->groups;
    const int along = all[2] > all[1] ? 2 : 1;
    const uint64_t groups = (uint64_t)all[0] * all[1] * all[2], most = groups / enough_groups(dev);
    uint64_t n = pieces(dev, flops);
    n = n < most ? n : most;
    n = n < all[along] ? n : all[along];
    if (n <= 1 || r->k->wg[along] > 1) {
        dev->be->run(dev, r);
        return;
    }
    uint32_t part[3] = {all[0], all[1], all[2]};
    struct pv_resolved p = *r;
    p.groups = part;
    for (uint64_t i = 0; i < n && !dev->failed; i++) {
        p.base[along] = (uint32_t)(all[along] * i / n);
        part[along] = (uint32_t)(all[along] * (i + 1) / n) - p.base[along];
        p.follows = i > 0;
        dev->be->run(dev, &p);
    }
}

void pv_run(pv_dev *dev, struct pv_launch *l)
{
    if (dev->failed)
        return;
    const struct pv_kernel *k = l->k;
    struct pv_resolved r = {.k = k, .label = l->label ? l->label : k->entry, .spec = l->spec,
                            .args = l->args, .groups = l->groups};
    while (k->spec && k->spec[r.num_spec])
        r.num_spec++;
    r.num_bind = (int)strlen(k->bind);
    if (l->groups[0] == 0 || l->groups[1] == 0 || l->groups[2] == 0 || !within_limits(dev, l, r.label))
        return;
    for (int i = 0; i < r.num_bind; i++) {
        pv_buf *b = l->bind[i].buf;
        if (!b) {
            pv_dev_fail(dev, "internal: %s: buffer %d is missing", r.label, i);
            return;
        }
        size_t off = l->bind[i].off, bytes = l->bind[i].bytes, left;
        if (!in_range(b, off, bytes, r.label))
            return;
        struct pv_bound *d = &r.bind[i];
        d->mem = pv_buf_locate(b, off, &d->off, &left);
        d->bytes = bytes;
        d->read = k->bind[i] != 'w';
        d->write = k->bind[i] != 'r';
        if (bytes > left || bytes > dev->info.limits.max_binding) {
            pv_dev_fail(dev, "%s (%s): buffer %d spans %zu bytes, more than this device can bind at once "
                        "(%llu); use a smaller --patch", r.label, k->entry, i, bytes,
                        (unsigned long long)dev->info.limits.max_binding);
            return;
        }
    }
    if (pv_debug_on("kern"))
        pv_debug("kern", "%s %s groups %ux%ux%u", r.label, k->entry, l->groups[0], l->groups[1],
                 l->groups[2]);
    dev->stats.launches++;
    run_pieces(dev, &r, l->flops);
}

void pv_prof_add(pv_dev *dev, const char *label, const char *kernel, uint64_t ns)
{
    struct pv_prof *p = NULL;
    for (int i = 0; i < dev->num_prof && !p; i++)
        if (pv_streq(dev->prof[i].label, label) && pv_streq(dev->prof[i].kernel, kernel))
            p = &dev->prof[i];
    if (!p) {
        if (dev->num_prof == dev->cap_prof) {
            dev->cap_prof = dev->cap_prof ? 2 * dev->cap_prof : 64;
            dev->prof = pv_realloc(dev->prof, sizeof *dev->prof * (size_t)dev->cap_prof);
        }
        p = &dev->prof[dev->num_prof++];
        *p = (struct pv_prof){.label = label, .kernel = kernel};
    }
    p->ns += ns;
    p->count++;
}

struct pv_prof *pv_dev_profile(pv_dev *dev, int *count)
{
    pv_dev_finish(dev);
    if (!dev->failed)
        dev->be->profile(dev);
    struct pv_prof *out = dev->prof;
    *count = dev->num_prof;
    dev->prof = NULL;
    dev->num_prof = dev->cap_prof = 0;
    return out;
}
