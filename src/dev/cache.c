/* SPDX-License-Identifier: Apache-2.0
 * Kernel sources (embedded at build, replaceable by PV_KERN_DIR) and the disk cache of built programs. The
 * cache folder is PV_CACHE, else the user's; PV_CACHE=off turns it off. A file starts with a magic word, the
 * key, the length and a hash, so that a cut or foreign file is ignored. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/hash.h"
#include "dev/dev_impl.h"
#include "platform/platform.h"
#include "pv_config.h"

#if PV_HAVE_OPENCL
extern const struct pv_embedded pv_embedded_cl[];
#endif
#if PV_HAVE_VULKAN
extern const struct pv_embedded pv_embedded_spv[];
#endif

struct head { uint64_t magic, key, bytes, hash; };
static const uint64_t magic = 0x3130656863615670ull;

static char *cache_path(uint64_t key, const char *suffix)
{
    const char *set = pv_env("PV_CACHE");
    if (set && pv_streq(set, "off"))
        return NULL;
    char *dir = set ? pv_strdup(set) : NULL, *os = NULL;
    if (!set) {
        os = pv_cache_dir();
        if (!os)
            return NULL;
        dir = pv_strdup(os);
        free(os);
    }
    char *path = pv_mkdirs(dir) ? pv_asprintf("%s/%016llx.%s", dir, (unsigned long long)key, suffix) : NULL;
    pv_free(dir);
    return path;
}

bool pv_cache_load(uint64_t key, const char *suffix, void **data, size_t *bytes)
{
    char *path = cache_path(key, suffix);
    *data = NULL;
    FILE *f = path ? pv_fopen(path, "rb") : NULL;
    struct head h;
    if (f && fread(&h, sizeof h, 1, f) == 1 && h.magic == magic && h.key == key &&
        h.bytes < (1ull << 31) && (int64_t)(h.bytes + sizeof h) == pv_file_size(path)) {
        *data = pv_alloc(h.bytes + 1);
        if (fread(*data, 1, h.bytes, f) != h.bytes || pv_hash(PV_HASH_START, *data, h.bytes) != h.hash) {
            pv_free(*data);
            *data = NULL;
        }
        *bytes = h.bytes;
    }
    if (f)
        fclose(f);
    pv_debug("kern", "cache %s: %s", path ? path : "(none)", *data ? "found" : "not found");
    pv_free(path);
    return *data != NULL;
}

void pv_cache_store(uint64_t key, const char *suffix, const void *data, size_t bytes)
{
    char *path = cache_path(key, suffix);
    if (!path)
        return;
    struct head h = {magic, key, bytes, pv_hash(PV_HASH_START, data, bytes)};
    char *all = pv_alloc(sizeof h + bytes);
    memcpy(all, &h, sizeof h);
    memcpy(all + sizeof h, data, bytes);
    pv_fail_quiet(true);
    bool ok = pv_write_file(path, all, sizeof h + bytes);
    pv_fail_quiet(false);
    if (!ok) {
        pv_warn("kernels could not be cached in %s (%s); the next start will be slower", path,
                pv_os_error());
        pv_fault_clear();
    }
    pv_free(all);
    pv_free(path);
}

static const struct pv_embedded *embedded(const char *table, const char *name)
{
    const struct pv_embedded *t = NULL;
#if PV_HAVE_OPENCL
    if (pv_streq(table, "cl"))
        t = pv_embedded_cl;
#endif
#if PV_HAVE_VULKAN
    if (pv_streq(table, "spv"))
        t = pv_embedded_spv;
#endif
    while (t && t->name && !pv_streq(t->name, name))
        t++;
    return t && t->name ? t : NULL;
}

bool pv_kernel_there(const char *table, const char *name) { return embedded(table, name) != NULL; }

bool pv_kernel_source(const char *table, const char *name, const void **data, size_t *bytes, bool *owned)
{
    const char *dir = pv_env("PV_KERN_DIR");
    if (dir) {
        char *path = pv_asprintf("%s/%s.%s", dir, name, table);
        if (pv_file_exists(path)) {
            char *text;
            bool ok = pv_read_file(path, &text, bytes);
            pv_free(path);
            *data = text;
            *owned = true;
            return ok;
        }
        pv_free(path);
    }
    const struct pv_embedded *t = embedded(table, name);
    *owned = false;
    if (t) {
        *data = t->data;
        *bytes = t->size;
        return true;
    }
    return pv_fail(PV_FAULT_INTERNAL, "kernel %s.%s is not part of this build", name, table);
}

/* ---- notes ---- */

static uint64_t hash_of_kernels(const struct pv_embedded *t, uint64_t h)
{
    for (; t && t->name; t++)
        h = pv_hash(pv_hash_str(h, t->name), t->data, t->size);
    return h;
}

static uint64_t notes_key(const pv_dev *dev, const char *name)
{
    const struct pv_dev_info *i = &dev->info;
    uint64_t h = pv_hash_str(PV_HASH_START, PV_VERSION);
    h = pv_hash_str(pv_hash_str(pv_hash_str(h, i->name), i->driver), i->api);
    h = pv_hash_u64(pv_hash_u64(pv_hash_u64(h, i->cls), i->limits.max_binding), i->limits.max_alloc);
#if PV_HAVE_OPENCL
    h = hash_of_kernels(pv_embedded_cl, h);
#endif
#if PV_HAVE_VULKAN
    h = hash_of_kernels(pv_embedded_spv, h);
#endif
    return pv_hash_str(h, name);
}

char *pv_dev_notes_load(const pv_dev *dev, const char *name)
{
    void *data;
    size_t bytes;
    if (dev->opts.no_cache || !pv_cache_load(notes_key(dev, name), name, &data, &bytes))
        return NULL;
    ((char *)data)[bytes] = 0;          /* there is room for it */
    return data;
}

void pv_dev_notes_store(const pv_dev *dev, const char *name, const char *text)
{
    if (!dev->opts.no_cache)
        pv_cache_store(notes_key(dev, name), name, text, strlen(text));
}
