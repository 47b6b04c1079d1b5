/* SPDX-License-Identifier: Apache-2.0
 * Weights in and out. */
#include "train/weights.h"

#include <string.h>

#include "platform/platform.h"
#include "pv_config.h"
#include "train/ckpt.h"

static struct pv_run_net *find_net(struct pv_run *r, const char *name)
{
    struct pv_str known = {0};
    for (int i = 0; i < r->num_nets; i++) {
        if (!name || pv_streq(name, r->nets[i].name)) {
            pv_str_free(&known);
            return &r->nets[i];
        }
        pv_str_addf(&known, "%s%s", i ? ", " : "", r->nets[i].name);
    }
    pv_fail(PV_FAULT_USAGE, "method %s has no network '%s'; it has %s", r->method->name, name ? name : "",
            known.text ? known.text : "none");
    pv_str_free(&known);
    return NULL;
}

bool pv_weights_write(struct pv_run *r, const char *name, const char *path)
{
    struct pv_run_net *e = find_net(r, name);
    if (!e)
        return false;
    pv_st_writer *w = pv_st_writer_new();
    void *keep = NULL;
    pv_st_meta_set(w, "format", "pt");      /* what the readers of PyTorch's side expect */
    pv_st_meta_set(w, "network", e->net->kind->name);
    bool ok = pv_params_put(e->net->p, w, "", true, &keep) && pv_st_write(w, path);
    pv_st_writer_free(&w);
    pv_free(keep);
    return ok;
}

/* Prefix of the tensors for network `name`: "" of a state dict; pv_free it. */
static char *prefix_in(const pv_st_file *f, const char *name)
{
    char *own = pv_asprintf("net.%s.", name), *other = NULL;
    bool found = false;
    for (size_t i = 0; i < pv_st_count(f) && !found; i++) {
        const char *key = pv_st_at(f, i)->name, *dot = pv_starts(key, "net.") ? strchr(key + 4, '.') : NULL;
        found = pv_starts(key, own);
        if (dot && !other)
            other = pv_asprintf("%.*s", (int)(dot + 1 - key), key);
    }
    if (found) {
        pv_free(other);
        return own;
    }
    pv_free(own);
    return other ? other : pv_strdup("");
}

/* Networks of the configuration's own kind; a method may have smaller helpers beside them. */
static bool is_main(const struct pv_run *r, const pv_net *n)
{
    return pv_streq(n->c.name, r->net.name) && n->c.channels == r->net.channels && n->c.classes == r->net.classes &&
           n->c.filters == r->net.filters && n->c.dims == r->net.dims;
}

bool pv_weights_read(struct pv_run *r, const char *path)
{
    pv_st_file *f = pv_st_open(path);
    bool ok = f != NULL;
    for (int i = 0; ok && i < r->num_nets; i++) {
        struct pv_run_net *e = &r->nets[i];
        if (!is_main(r, e->net)) {
            pv_info("network %s is not of the kind in %s and keeps its initialisation", e->name, path);
            continue;
        }
        char *prefix = prefix_in(f, e->name);
        ok = pv_params_get(e->net->p, f, prefix);
        pv_free(prefix);
    }
    pv_st_close(&f);
    return ok;
}

/* Numbers that no width of a network is, so that the parameters that depend on them can be told. */
enum { PROBE_CHANNELS = 7, PROBE_CLASSES = 31, PROBE_FILTERS = 16 };

bool pv_weights_fit(pv_dev *dev, pv_json *config, const char *path)
{
    pv_json *net = pv_json_get(config, "net");
    const struct pv_net_kind *kind = pv_net_find(pv_json_str(net, "name", ""));
    if (kind && kind->dims)
        pv_json_set_num(net, "dims", kind->dims);
    struct pv_net_config c = {.dims = (int)pv_json_num(net, "dims", 3), .channels = PROBE_CHANNELS,
                              .classes = PROBE_CLASSES, .filters = PROBE_FILTERS};
    strncpy(c.name, pv_json_str(net, "name", ""), sizeof c.name - 1);
    for (int i = 0; i < 3; i++)
        c.patch[i] = (int)pv_json_number_value(pv_json_at(pv_json_path(config, "train.patch"), (size_t)i));
    pv_net *n = pv_net_new(dev, &c);
    pv_st_file *f = n ? pv_st_open(path) : NULL;
    bool ok = f != NULL;
    char *prefix = ok ? prefix_in(f, "") : NULL;
    for (int i = 0; ok && i < n->p->num; i++) {
        const struct pv_param *q = &n->p->v[i];
        bool in = q->ndim > 1 && q->shape[1] == PROBE_CHANNELS, out = q->ndim > 1 && q->shape[0] == PROBE_CLASSES;
        const struct pv_st_tensor *t = in || out ? pv_params_find(f, prefix, q->name) : NULL;
        if (!t || t->ndim != q->ndim)
            continue;           /* importing says what is wrong */
        if (in) {
            pv_json_set_num(net, "channels", (double)t->shape[1]);
            pv_json_set_num(net, "filters", (double)(t->shape[0] * PROBE_FILTERS / q->shape[0]));
        }
        if (out)
            pv_json_set_num(net, "classes", (double)t->shape[0]);
    }
    pv_free(prefix);
    pv_st_close(&f);
    pv_net_free(&n);
    return ok;
}

bool pv_weights_to_run(pv_dev *dev, pv_json *config, const char *path, const char *out, bool overwrite)
{
    static const char *const files[] = {"latest", "final", "best"};
    char *name[PV_COUNT(files)], *json = pv_path_join(out, "config.json");
    bool there = false;
    for (size_t i = 0; i < PV_COUNT(files); i++) {
        name[i] = pv_asprintf("%s/%s.safetensors", out, files[i]);
        there = there || pv_file_exists(name[i]);
    }
    struct pv_run *r = NULL;
    bool ok = !there || overwrite ||
              pv_fail(PV_FAULT_USAGE, "%s already holds a run; replace it with --overwrite, or name another --out",
                      out);
    ok = ok && (r = pv_run_new(dev, config, true)) != NULL && pv_weights_read(r, path);
    ok = ok && pv_make_folder(out, "--out");
    for (size_t i = 0; ok && i < PV_COUNT(files); i++)
        if (pv_file_exists(name[i]))
            pv_remove(name[i]);
    pv_json_set_str(config, "version", PV_VERSION);
    ok = ok && pv_json_write(json, config) && pv_ckpt_save(r, name[1], &(struct pv_ckpt_info){.best = -1});
    pv_run_free(&r);
    for (size_t i = 0; i < PV_COUNT(files); i++)
        pv_free(name[i]);
    pv_free(json);
    return ok;
}
