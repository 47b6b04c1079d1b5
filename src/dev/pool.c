/* SPDX-License-Identifier: Apache-2.0
 * Buffers and the pool they come from.
 *
 * A released allocation is kept and given to the next request that it fits; since all work of a device runs
 * in order, nobody waits. First choice: same size and same signature (steady-state training asks for the
 * same sequence every step, so nothing is cleared then). Second: the smallest that is at most a quarter
 * larger. Third: new memory. When the driver has none left, one at most twice as large is taken, which costs no wait;
 * else everything unused is given back and the request tried once more. */
#include <string.h>

#include "dev/dev_impl.h"

static const uint32_t guard_word = 0xdeadc0deu;
enum { SIG_ZERO = 1 };          /* fresh memory: all zero, good for any layout */

static uint64_t rounded(const pv_dev *dev, uint64_t bytes)
{
    if (dev->exact)
        return pv_round_up(bytes ? bytes : 1, 4);
    return pv_round_up(bytes ? bytes : 1, bytes > (1u << 20) ? 65536 : 4096);
}

static struct pv_mem *take(pv_dev *dev, uint64_t bytes, uint64_t sig, uint64_t most)
{
    struct pv_mem **best = NULL;
    for (struct pv_mem **p = &dev->free_list; *p; p = &(*p)->next) {
        struct pv_mem *m = *p;
        if (m->bytes < bytes || m->bytes > most)
            continue;
        if (m->bytes == bytes && m->sig == sig) {
            best = p;
            break;
        }
        if (!best || m->bytes < (*best)->bytes)
            best = p;
    }
    if (!best)
        return NULL;
    struct pv_mem *m = *best;
    *best = m->next;
    m->next = NULL;
    return m;
}

static void release(pv_dev *dev, struct pv_mem *m)
{
    dev->be->free(dev, m);
    dev->stats.reserved -= m->bytes;
    pv_free(m);
}

void pv_dev_trim(pv_dev *dev)
{
    dev->be->finish(dev);
    while (dev->free_list) {
        struct pv_mem *m = dev->free_list;
        dev->free_list = m->next;
        release(dev, m);
    }
}

static struct pv_mem *fresh(pv_dev *dev, uint64_t bytes)
{
    if (dev->stats.reserved + bytes > dev->info.limits.memory)
        return NULL;
    struct pv_mem *m = pv_new(struct pv_mem);
    if (!dev->be->alloc(dev, m, bytes)) {
        pv_free(m);
        return NULL;
    }
    m->bytes = bytes;
    m->sig = SIG_ZERO;
    dev->stats.reserved += bytes;
    dev->stats.allocs++;
    return m;
}

static struct pv_mem *acquire(pv_dev *dev, uint64_t bytes, uint64_t sig)
{
    bytes = rounded(dev, bytes);
    struct pv_mem *m = take(dev, bytes, sig, dev->exact ? bytes : bytes + bytes / 4);
    if (!m)
        m = fresh(dev, bytes);
    if (!m)
        m = take(dev, bytes, sig, 2 * bytes);
    if (!m) {
        pv_dev_trim(dev);
        m = fresh(dev, bytes);
    }
    if (!m && !dev->failed) {
        dev->oom = true;
        pv_dev_fail(dev, "out of device memory: %.1f MiB more are needed, %.1f MiB are in use, "
                    "the device has %.1f MiB", (double)bytes / 1048576, (double)dev->stats.used / 1048576,
                    (double)dev->info.limits.memory / 1048576);
    }
    return m;
}

static void fill_guards(pv_buf *b, int i)
{
    pv_dev *dev = b->dev;
    uint64_t last = (i + 1 < b->num_mem ? b->segment : b->bytes - b->segment * (size_t)i);
    uint64_t end = pv_round_up(b->base + last, 4);
    uint64_t stop = end + b->base < b->mem[i]->bytes ? end + b->base : b->mem[i]->bytes & ~3ull;
    dev->be->fill(dev, b->mem[i], 0, b->base, guard_word);
    dev->be->fill(dev, b->mem[i], end, stop - end, guard_word);
}

/* The last user of this memory may have had the same layout but fewer samples. */
static void clear_borders(pv_dev *dev, struct pv_mem *m, uint64_t sig, uint64_t base, uint64_t part)
{
    const uint64_t clean = m->sig == SIG_ZERO ? part : m->sig == sig ? m->clean : 0;
    if (sig && clean < part)
        dev->be->fill(dev, m, base + clean, part - clean, 0);
    m->clean = sig == m->sig && clean > part && !base ? clean : part;   /* guards are written behind part */
    m->sig = sig;
}

pv_buf *pv_buf_get(pv_dev *dev, size_t bytes, size_t unit, uint64_t sig)
{
    if (dev->failed)
        return NULL;
    if (sig == SIG_ZERO)
        sig = 2;
    pv_buf *b = pv_new(pv_buf);
    b->dev = dev;
    b->refs = 1;
    b->bytes = bytes;
    b->base = dev->guard_bytes;
    uint64_t most = dev->info.limits.max_alloc - 2 * b->base;
    b->segment = bytes ? bytes : 1;
    if (bytes > most) {
        if (unit == 0 || unit > most) {
            dev->oom = true;
            pv_dev_fail(dev, "one piece of %.1f MiB is needed, but this device allocates at most %.1f MiB "
                        "at once", (double)(unit ? unit : bytes) / 1048576, (double)most / 1048576);
            pv_free(b);
            return NULL;
        }
        b->segment = most / unit * unit;
    }
    b->num_mem = (int)((b->bytes + b->segment - 1) / b->segment);
    b->num_mem = b->num_mem ? b->num_mem : 1;
    b->mem = pv_array(struct pv_mem *, b->num_mem);
    b->next = &dev->live;
    b->prev = dev->live.prev;
    b->prev->next = b->next->prev = b;
    for (int i = 0; i < b->num_mem; i++) {
        size_t part = bytes - b->segment * (size_t)i;
        part = part < b->segment ? part : b->segment;
        struct pv_mem *m = acquire(dev, part + 2 * b->base, sig);
        if (!m) {
            pv_buf_put(&b);
            return NULL;
        }
        b->mem[i] = m;
        clear_borders(dev, m, sig, b->base, pv_round_up(part, 4));
        dev->stats.used += m->bytes;
        if (b->base)
            fill_guards(b, i);
    }
    if (dev->stats.used > dev->stats.peak)
        dev->stats.peak = dev->stats.used;
    return b;
}

pv_buf *pv_buf_ref(pv_buf *b)
{
    if (b)
        b->refs++;
    return b;
}

static bool check_guards(pv_buf *b)
{
    pv_dev *dev = b->dev;
    bool ok = true;
    uint32_t *host = pv_alloc(b->base);
    for (int i = 0; i < b->num_mem && ok; i++) {
        uint64_t last = (i + 1 < b->num_mem ? b->segment : b->bytes - b->segment * (size_t)i);
        uint64_t end = pv_round_up(b->base + last, 4);
        for (int side = 0; side < 2 && ok; side++) {
            uint64_t at = side ? end : 0;
            uint64_t n = side ? (b->mem[i]->bytes - end < b->base ? b->mem[i]->bytes - end : b->base) : b->base;
            dev->be->read(dev, b->mem[i], at, host, n & ~3ull);
            for (uint64_t w = 0; w < n / 4 && ok; w++)
                if (host[w] != guard_word && !dev->failed) {
                    ok = false;
                    pv_fail(PV_FAULT_DEVICE, "%s: a kernel wrote %s a buffer of %zu bytes (word %llu of the "
                            "guard zone is %08x)", dev->info.id, side ? "behind" : "in front of", b->bytes,
                            (unsigned long long)w, host[w]);
                }
        }
    }
    pv_free(host);
    return ok;
}

bool pv_dev_guard_check(pv_dev *dev)
{
    bool ok = true;
    if (dev->guard_bytes && !dev->failed)
        for (pv_buf *b = dev->live.next; b != &dev->live; b = b->next)
            ok = check_guards(b) && ok;
    return ok;
}

void pv_buf_put(pv_buf **bp)
{
    pv_buf *b = *bp;
    *bp = NULL;
    if (!b || --b->refs > 0)
        return;
    pv_dev *dev = b->dev;
    if (dev->guard_bytes && !dev->failed && b->mem[b->num_mem - 1] && !check_guards(b))
        dev->failed = true;
    b->prev->next = b->next;
    b->next->prev = b->prev;
    for (int i = 0; i < b->num_mem; i++) {
        struct pv_mem *m = b->mem[i];
        if (!m)
            continue;
        dev->stats.used -= m->bytes;
        m->next = dev->free_list;
        dev->free_list = m;
    }
    pv_free(b->mem);
    pv_free(b);
}

pv_dev *pv_buf_dev(const pv_buf *b) { return b->dev; }
size_t pv_buf_bytes(const pv_buf *b) { return b->bytes; }
size_t pv_buf_segment(const pv_buf *b) { return b->segment; }

void *pv_buf_host(pv_buf *b)
{
    if (!b || !pv_dev_is_ref(b->dev))
        return NULL;
    return (char *)b->mem[0]->handle + b->base;
}

struct pv_mem_stats pv_dev_mem(const pv_dev *dev) { return dev->stats; }
void pv_dev_mem_reset_peak(pv_dev *dev) { dev->stats.peak = dev->stats.used; }

void pv_pool_close(pv_dev *dev)
{
    int left = 0;
    pv_debug("mem", "%s: at most %.1f MiB in use, %.1f MiB held at the end", dev->info.id,
             (double)dev->stats.peak / 1048576, (double)dev->stats.reserved / 1048576);
    for (pv_buf *b = dev->live.next; b != &dev->live; b = b->next)
        left++;
    if (left && !dev->failed)
        pv_debug("mem", "%s: %d buffers still in use when the device closes", dev->info.id, left);
    while (dev->live.next != &dev->live) {
        pv_buf *b = dev->live.next;
        b->refs = 1;
        pv_buf_put(&b);
    }
    pv_dev_trim(dev);
}
