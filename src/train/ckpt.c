/* SPDX-License-Identifier: Apache-2.0
 * Writing and reading checkpoints. */
#include "train/ckpt.h"

#include <stdio.h>
#include <string.h>

#include "base/safetensors.h"
#include "platform/platform.h"
#include "pv_config.h"

enum { MAX_KEEP = PV_MAX_NETS * 2 + PV_MAX_STATES };

static void meta_num(pv_st_writer *w, const char *key, double v)
{
    char text[40];
    pv_digits_text(text, v, 17);
    pv_st_meta_set(w, key, text);
}

static bool put_flat(pv_st_writer *w, const char *kind, const char *name, const char *what, pv_tensor *t, void **keep)
{
    int64_t n = t->h.n;
    float *v = pv_array(float, n);
    *keep = v;
    if (!pv_tensor_read(t, v))
        return false;
    char *key = pv_asprintf("%s.%s%s", kind, name, what);
    pv_st_put(w, key, PV_ST_F32, 1, &n, v);
    pv_free(key);
    return true;
}

bool pv_ckpt_save(struct pv_run *r, const char *path, const struct pv_ckpt_info *info)
{
    pv_st_writer *w = pv_st_writer_new();
    void *keep[MAX_KEEP] = {NULL};
    int n = 0;
    bool ok = pv_dev_finish(r->dev);
    pv_st_meta_set(w, "format", "protovox checkpoint 1");
    pv_st_meta_set(w, "version", PV_VERSION);
    pv_st_meta_set(w, "method", r->method->name);
    pv_st_meta_set(w, "device", pv_dev_get_info(r->dev)->name);
    meta_num(w, "steps", (double)info->steps);
    meta_num(w, "volume_passes", (double)info->volume_passes);
    meta_num(w, "seconds", info->seconds);
    meta_num(w, "best", info->best);
    meta_num(w, "pending", info->pending);
    for (int i = 0; ok && i < r->num_nets; i++) {
        struct pv_run_net *e = &r->nets[i];
        char *prefix = pv_asprintf("net.%s.", e->name);
        ok = pv_params_put(e->net->p, w, prefix, false, &keep[n++]);
        pv_free(prefix);
        if (ok && e->momentum && !e->first)
            ok = put_flat(w, "optim", e->name, ".momentum", e->momentum, &keep[n++]);
    }
    for (int i = 0; ok && i < r->num_states; i++)
        ok = put_flat(w, "state", r->states[i].name, "", r->states[i].t, &keep[n++]);
    if (ok)
        pv_st_checksum(w);
    ok = ok && pv_st_write(w, path);
    pv_st_writer_free(&w);
    for (int i = 0; i < n; i++)
        pv_free(keep[i]);
    return ok;
}

/* Bytes of a file as pv_ckpt_save() writes it; its header is guessed. */
static uint64_t file_bytes(const struct pv_run *r)
{
    uint64_t n = 1024, values = 0;
    for (int i = 0; i < r->num_nets; i++) {
        const struct pv_run_net *e = &r->nets[i];
        n += 128 * (uint64_t)e->net->p->num;
        values += (uint64_t)(e->net->p->len + e->net->p->stats_len);
        values += e->momentum ? (uint64_t)e->momentum->h.n : 0;
    }
    for (int i = 0; i < r->num_states; i++)
        values += (uint64_t)r->states[i].t->h.n;
    return n + 4 * values;
}

bool pv_ckpt_room(const struct pv_run *r, const char *dir, bool replaced)
{
    static const char *const names[] = {"latest.safetensors", "final.safetensors", "best.safetensors"};
    const uint64_t one = file_bytes(r), spare = pv_disk_free(dir);
    uint64_t there = 0;
    for (size_t i = 0; i < PV_COUNT(names); i++) {
        char *path = pv_path_join(dir, names[i]);
        int64_t size = pv_file_exists(path) ? pv_file_size(path) : 0;
        there += size > 0 ? (uint64_t)size : 0;
        pv_free(path);
    }
    /* the last one stays until the next is whole; best.safetensors beside them */
    const int most = pv_json_num(pv_json_get(r->config, "eval"), "every", 0) > 0 ? 3 : 2;
    char need[32], left[32];
    if (spare == UINT64_MAX)
        return true;
    pv_size_text(left, spare + (replaced ? there : 0));
    if (spare + (replaced ? there : 0) < one) {
        pv_size_text(need, one);
        return pv_fail(PV_FAULT_INPUT, "%s: a checkpoint of this training needs %s, at most %s are free: make room on "
                       "that disk%s", dir, need, left, replaced ? " or name another --out" : "");
    }
    pv_size_text(need, most * one);
    if (spare + there < most * one)
        pv_warn("%s: up to %s are needed for checkpoints, at most %s are free: training ends where one cannot be "
                "written", dir, need, left);
    return true;
}

static double get_num(pv_st_file *f, const char *key, double def)
{
    double v;
    const char *text = pv_st_meta(f, key);
    return text && pv_parse_f64(text, &v) ? v : def;
}

static bool get_flat(pv_st_file *f, const char *key, pv_tensor *t, bool needed)
{
    const struct pv_st_tensor *s = pv_st_find(f, key);
    if (!s)
        return !needed || pv_fail(PV_FAULT_INPUT, "%s: there is no '%s'; the checkpoint is of another method or "
                                  "version", pv_st_path(f), key);
    if (pv_st_len(s) != t->h.n)
        return pv_fail(PV_FAULT_INPUT, "%s: '%s' has %lld elements, %d are needed; the checkpoint is of another "
                       "network", pv_st_path(f), key, (long long)pv_st_len(s), t->h.n);
    float *v = pv_array(float, t->h.n);
    bool ok = pv_st_read_f32(f, s, v);
    if (ok)
        pv_tensor_write(t, v);
    pv_free(v);
    return ok;
}

static bool is_checkpoint(pv_st_file *f)
{
    return (pv_st_meta(f, "steps") && pv_st_meta(f, "method")) ||
           pv_fail(PV_FAULT_INPUT, "%s is not a checkpoint of protovox (weights alone come in with protovox convert)",
                   pv_st_path(f));
}

static void get_info(pv_st_file *f, struct pv_ckpt_info *info)
{
    const char *method = pv_st_meta(f, "method"), *device = pv_st_meta(f, "device");
    const char *version = pv_st_meta(f, "version");
    *info = (struct pv_ckpt_info){.steps = (int64_t)get_num(f, "steps", 0),
        .volume_passes = (int64_t)get_num(f, "volume_passes", 0), .seconds = get_num(f, "seconds", 0),
        .best = get_num(f, "best", -1), .pending = get_num(f, "pending", 0) != 0};
    snprintf(info->method, sizeof info->method, "%s", method);
    snprintf(info->device, sizeof info->device, "%s", device ? device : "");
    snprintf(info->version, sizeof info->version, "%s", version ? version : "");
}

bool pv_ckpt_peek(const char *path, struct pv_ckpt_info *info)
{
    pv_st_file *f = pv_st_open(path);
    bool ok = f && is_checkpoint(f);
    if (ok)
        get_info(f, info);
    pv_st_close(&f);
    return ok;
}

bool pv_ckpt_load(struct pv_run *r, const char *path, struct pv_ckpt_info *info)
{
    pv_st_file *f = pv_st_open(path);
    if (!f)
        return false;
    const char *method = pv_st_meta(f, "method");
    bool ok = is_checkpoint(f);
    if (ok && !pv_streq(method, r->method->name))
        ok = pv_fail(PV_FAULT_INPUT, "%s is a checkpoint of method %s, this run is %s", path, method,
                     r->method->name);
    ok = ok && pv_st_verify(f);
    for (int i = 0; ok && i < r->num_nets; i++) {
        struct pv_run_net *e = &r->nets[i];
        char *prefix = pv_asprintf("net.%s.", e->name), *key = pv_asprintf("optim.%s.momentum", e->name);
        ok = pv_params_get(e->net->p, f, prefix);
        if (ok && e->momentum) {
            e->first = pv_st_find(f, key) == NULL;
            ok = get_flat(f, key, e->momentum, false);
        }
        pv_free(prefix);
        pv_free(key);
    }
    for (int i = 0; ok && i < r->num_states; i++) {
        char *key = pv_asprintf("state.%s", r->states[i].name);
        ok = get_flat(f, key, r->states[i].t, true);
        pv_free(key);
    }
    if (ok) {
        get_info(f, info);
        r->volume_passes = info->volume_passes;
    }
    pv_st_close(&f);
    return ok && !pv_dev_failed(r->dev);
}
