/* SPDX-License-Identifier: Apache-2.0
 * The store of prepared volumes (store.h). A reader first reserves what the volume needs at most while
 * it is read and prepared, from the headers; then it drops what others hold longest unused until that
 * fits. So the sum never exceeds the budget, and whoever cannot have room waits. */
#include "data/store.h"

#include "base/base.h"
#include "platform/platform.h"

enum state { ABSENT, LOADING, READY };

struct item {
    struct pv_store_item what;
    struct pv_volume v;
    struct pv_prep_map map;
    uint64_t bytes, need;       /* held when READY; reserved while LOADING */
    uint64_t last_use;
    enum state state;
    int holders;
    bool loaded_once;
};

struct pv_store {
    const pv_dataset *ds;
    const struct pv_prep *prep;
    struct pv_store_params p;
    struct item *items;
    int n, loading;
    pv_mutex *m;
    pv_cond *changed;
    struct pv_store_stats stats;
    uint64_t clock;
    /* loading at the beginning */
    int next, done;
    bool full;
    atomic_bool failed;
    struct pv_fault_kept fault; /* of the threads that load at the beginning */
};

static uint64_t voxels_of(const int size[3])
{
    return (uint64_t)size[0] * (uint64_t)size[1] * (uint64_t)size[2];
}

/* What the volume takes while it is read and prepared: itself, a second channel file, a label in
 * HDF5's wide form or values to sort, the planes that are turned at a time, and the prepared copy. */
static bool plan(struct pv_store *s, struct item *it)
{
    struct pv_volume v;
    if (!pv_case_info(s->ds, it->what.index, &s->p.load, &v))
        return false;
    uint64_t per_voxel = 4u * (uint64_t)v.channels + it->what.label;
    uint64_t extra = it->what.label || s->ds->cases[it->what.index].num_images > 1 || s->prep->lo_part > 0 ||
                     s->prep->hi_part > 0 || s->prep->norm == PV_SCALING_BY_NAME ? 4 : 0;
    int out[3];
    pv_prep_size(s->prep, v.size, v.spacing, out);
    uint64_t n = voxels_of(v.size), prepared = voxels_of(out);
    uint64_t planes = (uint64_t)v.geo.file_size[0] * (uint64_t)v.geo.file_size[1];
    bool copies = s->p.load.read.zyx || s->prep->half || s->prep->slices || s->prep->spacing > 0 ||
                  s->prep->crop != PV_CROP_NONE;
    uint64_t largest = prepared > n ? prepared : n;
    it->need = largest * (per_voxel + extra) + 16 * 16 * planes + (copies ? largest * per_voxel : 0);
    if (it->need > s->stats.budget)
        return pv_fail(PV_FAULT_INPUT,
                       "%s: reading and preparing it takes %llu MB, but volumes may take only %llu MB: allow more "
                       "(setting data.memory_mb)",
                       s->ds->cases[it->what.index].images[0], (unsigned long long)(it->need >> 20) + 1,
                       (unsigned long long)(s->stats.budget >> 20));
    return true;
}

/* The following four run under the lock. */
static void drop(struct pv_store *s, struct item *it)
{
    pv_volume_free(&it->v);
    it->state = ABSENT;
    s->stats.used -= it->bytes;
    s->stats.resident--;
    it->bytes = 0;
}

/* Makes room by dropping what nobody holds; false if that is not enough. */
static bool make_room(struct pv_store *s, uint64_t need)
{
    while (s->stats.used + need > s->stats.budget) {
        struct item *oldest = NULL;
        for (int i = 0; i < s->n; i++) {
            struct item *it = &s->items[i];
            if (it->state == READY && it->holders == 0 && (!oldest || it->last_use < oldest->last_use))
                oldest = it;
        }
        if (!oldest)
            return false;
        drop(s, oldest);
        s->stats.evictions++;
    }
    return true;
}

static void reserve(struct pv_store *s, struct item *it)
{
    it->state = LOADING;
    s->loading++;
    s->stats.reads++;
    s->stats.used += it->need;
    if (s->stats.used > s->stats.peak)
        s->stats.peak = s->stats.used;
}

static void finish(struct pv_store *s, struct item *it, bool ok)
{
    s->stats.used -= it->need;
    s->loading--;
    it->state = ok ? READY : ABSENT;
    if (ok) {
        it->bytes = voxels_of(it->v.size) * (4u * (uint64_t)it->v.channels + (it->v.label ? 1 : 0));
        it->last_use = ++s->clock;
        it->loaded_once = true;
        s->stats.used += it->bytes;
        s->stats.resident++;
    }
    pv_cond_broadcast(s->changed);
}

/* Without the lock; the item is LOADING, so nobody else touches it. */
static bool load(struct pv_store *s, struct item *it, const atomic_bool *cancel)
{
    struct pv_load how = s->p.load;
    const struct pv_case *c = &s->ds->cases[it->what.index];
    how.read.cancel = cancel;
    if (!pv_case_load(s->ds, it->what.index, PV_IMAGE | (it->what.label ? PV_LABEL : 0), &how, &it->v))
        return false;
    bool ok = pv_prep_place(s->prep, c->images[0], &it->v, &it->map);
    if (ok && s->p.edit)
        s->p.edit(s->p.user, it->what.index, &it->v);
    if (!ok || !pv_prep_finish(s->prep, c->images[0], s->ds->channel_names, &it->v, &it->map)) {
        pv_volume_free(&it->v);
        return false;
    }
    return true;
}

/* One of the threads that load at the beginning. */
static void preload(void *arg)
{
    struct pv_store *s = arg;
    pv_mutex_lock(s->m);
    while (s->next < s->n && !s->full && !atomic_load(&s->failed)) {
        struct item *it = &s->items[s->next];
        if (pv_stop_requested()) {
            atomic_store(&s->failed, true);
            break;
        }
        if (s->stats.used + it->need > s->stats.budget) {
            if (s->loading == 0)
                s->full = true;
            else
                pv_cond_wait_ms(s->changed, s->m, 100);
            continue;
        }
        s->next++;
        reserve(s, it);
        pv_mutex_unlock(s->m);
        bool quiet = pv_fail_quiet(true);
        bool ok = load(s, it, &s->failed);
        pv_fail_quiet(quiet);
        pv_mutex_lock(s->m);
        finish(s, it, ok);
        if (!ok) {
            pv_fault_keep(&s->fault, (uint64_t)(it - s->items));
            atomic_store(&s->failed, true);
        }
        else if (s->p.progress)
            s->p.progress(s->p.user, ++s->done, s->n);
    }
    pv_cond_broadcast(s->changed);
    pv_mutex_unlock(s->m);
}

static bool load_first(struct pv_store *s)
{
    int num = s->p.threads > 0 ? s->p.threads : pv_cpu_count(), started = 0;
    num = pv_max(1, pv_min(num, s->n));
    pv_thread **t = pv_array(pv_thread *, num);
    for (int i = 0; i + 1 < num && (t[i] = pv_thread_start(preload, s)); i++)
        started++;
    preload(s);         /* this thread is one of them: without threads it works too */
    for (int i = 0; i < started; i++)
        pv_thread_join(&t[i]);
    pv_free(t);
    if (!atomic_load(&s->failed)) {
        if (s->full)
            pv_info("%d of %d volumes fit into %llu MB; the others are read when they are needed",
                    s->stats.resident, s->n, (unsigned long long)(s->stats.budget >> 20));
        return true;
    }
    if (pv_stop_requested())
        return pv_fail(PV_FAULT_STOPPED, "stopped while volumes were loaded");
    return pv_fault_raise(&s->fault);
}

pv_store *pv_store_open(const pv_dataset *ds, const struct pv_store_item *items, int n,
                        const struct pv_store_params *params)
{
    struct pv_store *s = pv_new(struct pv_store);
    s->ds = ds;
    s->p = params ? *params : (struct pv_store_params){0};
    s->prep = s->p.prep ? s->p.prep : pv_prep_find("none");
    s->n = n;
    s->items = pv_array(struct item, n + 1);
    s->m = pv_mutex_new();
    s->changed = pv_cond_new();
    s->stats.budget = s->p.budget ? s->p.budget : pv_ram_bytes() / 2;
    if (s->stats.budget == 0)
        s->stats.budget = (uint64_t)4 << 30;
    if (!s->m || !s->changed) {
        pv_fail(PV_FAULT_INTERNAL, "no memory for a lock");
        goto error;
    }
    for (int i = 0; i < n; i++) {
        s->items[i].what = items[i];
        if (!plan(s, &s->items[i]))
            goto error;
    }
    if (!load_first(s))
        goto error;
    return s;
error:
    pv_store_close(&s);
    return NULL;
}

void pv_store_close(pv_store **out)
{
    struct pv_store *s = *out;
    if (!s)
        return;
    for (int i = 0; i < s->n; i++)
        pv_volume_free(&s->items[i].v);
    pv_free(s->items);
    pv_fault_drop(&s->fault);
    pv_cond_free(&s->changed);
    pv_mutex_free(&s->m);
    pv_free(s);
    *out = NULL;
}

int pv_store_count(const pv_store *s)
{
    return s->n;
}

int pv_store_case(const pv_store *s, int i)
{
    return s->items[i].what.index;
}

int pv_store_channels(const pv_store *s)
{
    return s->ds->channels;
}

const struct pv_volume *pv_store_get(pv_store *s, int i, const atomic_bool *cancel)
{
    struct item *it = &s->items[i];
    const struct pv_volume *v = NULL;
    pv_mutex_lock(s->m);
    while (!(cancel && atomic_load(cancel))) {
        if (it->state == READY) {
            it->holders++;
            it->last_use = ++s->clock;
            v = &it->v;
            break;
        }
        if (it->state == LOADING || !make_room(s, it->need)) {
            pv_cond_wait(s->changed, s->m);
            continue;
        }
        reserve(s, it);
        pv_mutex_unlock(s->m);
        bool ok = load(s, it, cancel);
        pv_mutex_lock(s->m);
        finish(s, it, ok);
        if (!ok)
            break;
    }
    pv_mutex_unlock(s->m);
    return v;
}

void pv_store_put(pv_store *s, int i)
{
    pv_mutex_lock(s->m);
    s->items[i].holders--;
    pv_cond_broadcast(s->changed);
    pv_mutex_unlock(s->m);
}

void pv_store_wake(pv_store *s)
{
    pv_mutex_lock(s->m);
    pv_cond_broadcast(s->changed);
    pv_mutex_unlock(s->m);
}

bool pv_store_map(pv_store *s, int i, struct pv_prep_map *map)
{
    pv_mutex_lock(s->m);
    bool known = s->items[i].loaded_once;
    if (known)
        *map = s->items[i].map;
    pv_mutex_unlock(s->m);
    return known;
}

struct pv_store_stats pv_store_stats(pv_store *s)
{
    pv_mutex_lock(s->m);
    struct pv_store_stats stats = s->stats;
    pv_mutex_unlock(s->m);
    return stats;
}
