/* SPDX-License-Identifier: Apache-2.0
 * Version, errors, context, devices of the library. */
#include "api/api.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "data/phantom.h"
#include "pv_config.h"

const char *pv_version(void) { return PV_VERSION; }

/* ---- errors ---- */

static _Thread_local struct { enum pv_error_kind kind; char text[2048]; } error;
static atomic_bool log_is_set;

void pv_api_begin(void)
{
    if (!atomic_exchange(&log_is_set, true))
        pv_log_level_set(PV_LOG_NONE);
    pv_fault_clear();
}

bool pv_api_end(bool ok)
{
    if (ok)
        return true;
    const char *text;
    enum pv_fault kind = pv_fault_mine(&text);
    if (kind == PV_FAULT_NONE) {        /* raised by a thread that read volumes for this call */
        kind = pv_fault_kind();
        text = pv_fault_text();
    }
    error.kind = kind == PV_FAULT_NONE ? PV_ERROR_INTERNAL : (enum pv_error_kind)kind;
    snprintf(error.text, sizeof error.text, "%s",
             *text ? text : "the call failed; if the device has failed before, open it anew");
    return false;
}

const char *pv_error(void) { return error.text; }
enum pv_error_kind pv_error_code(void) { return error.kind; }
void pv_string_free(char *text) { pv_free(text); }

/* ---- configuration ---- */

pv_json *pv_api_config(const char *json, const char *what, const char *const *keys)
{
    pv_json *c = pv_json_parse(json ? json : "{}", what);
    if (!c)
        return NULL;
    if (!pv_json_is_object(c)) {
        pv_fail(PV_FAULT_USAGE, "%s: the configuration is a JSON object such as {\"%s\": ...}", what, keys[0]);
        goto error;
    }
    size_t n = 0;
    while (keys[n])
        n++;
    for (const pv_json *m = pv_json_at(c, 0); m; m = pv_json_next(m)) {
        const char *key = pv_json_key(m), *near;
        size_t i = 0;
        while (i < n && !pv_streq(keys[i], key))
            i++;
        if (i < n)
            continue;
        near = pv_nearest(key, keys, n);
        pv_fail(PV_FAULT_USAGE, "%s: there is no setting '%s'%s%s%s", what, key, near ? "; did you mean " : "",
                near ? near : "", near ? "?" : "");
        goto error;
    }
    return c;
error:
    pv_json_free(c);
    return NULL;
}

bool pv_api_shape(const pv_json *c, const char *key, int out[3])
{
    const pv_json *a = pv_json_get(c, key);
    for (int i = 0; i < 3; i++)
        out[i] = 0;
    bool ok = !a || (pv_json_is_array(a) && pv_json_count(a) == 3);
    for (int i = 0; a && ok && i < 3; i++) {
        double v = pv_json_number_value(pv_json_at(a, (size_t)i));
        ok = v >= 1 && v <= 4096 && v == floor(v);
        out[i] = ok ? (int)v : 0;
    }
    return ok || pv_fail(PV_FAULT_USAGE, "%s is three sizes from 1 to 4096 along x, y, z, such as [112, 112, 80]", key);
}

/* ---- context ---- */

static void hear(void *user, enum pv_log_level level, const char *line)
{
    const pv_context *c = user;
    c->log(c->user, (int)level, line);
}

pv_context *pv_context_new(const char *json, pv_log_function log, void *user)
{
    static const char *const keys[] = {"log", NULL};
    static const char *const names[] = {"none", "error", "warning", "info"};
    pv_api_begin();
    pv_json *j = pv_api_config(json, "context", keys);
    const char *word = j ? pv_json_str(j, "log", pv_json_get(j, "log") ? "" : "none") : "";
    pv_context *c = NULL;
    int level = -2;
    for (int i = 0; j && i < (int)PV_COUNT(names); i++)
        if (pv_streq(word, names[i]))
            level = i - 1;
    if (j && level == -2)
        pv_fail(PV_FAULT_USAGE, "context: log is none, error, warning or info");
    if (level > -2) {
        c = pv_new(pv_context);
        *c = (pv_context){log, user};
        pv_log_level_set((enum pv_log_level)level);
        if (log)
            pv_log_sink(hear, c);
    }
    pv_json_free(j);
    pv_api_end(c != NULL);
    return c;
}

void pv_context_free(pv_context **cp)
{
    if (!*cp)
        return;
    pv_log_sink(NULL, *cp);
    pv_log_level_set(PV_LOG_NONE);
    pv_free(*cp);
    *cp = NULL;
}

/* ---- devices ---- */

const char *pv_device_kernels(enum pv_dev_class c)
{
    return c == PV_FAT ? "fat kernels: float16 tiles in registers, one work-item each"
         : c == PV_SIMT ? "simt kernels: many small work-items" : "no kernels: plain C references in double";
}

pv_json *pv_device_json(const struct pv_dev_info *d)
{
    static const char *const types[] = {"CPU", "GPU", "other"};
    pv_json *o = pv_json_object(), *l = pv_json_object();
    pv_json_set_str(o, "id", d->id);
    pv_json_set_str(o, "name", d->name);
    pv_json_set_str(o, "vendor", d->vendor);
    pv_json_set_str(o, "driver", d->driver);
    pv_json_set_str(o, "api", d->api);
    pv_json_set_str(o, "type", types[d->type]);
    pv_json_set_str(o, "class", d->cls == PV_FAT ? "fat" : d->cls == PV_SIMT ? "simt" : "ref");
    pv_json_set_str(o, "kernels", pv_device_kernels(d->cls));
    pv_json_set_num(l, "memory", (double)d->limits.memory);
    pv_json_set_num(l, "max_alloc", (double)d->limits.max_alloc);
    pv_json_set_num(l, "max_binding", (double)d->limits.max_binding);
    pv_json_set_num(l, "max_work_group", d->limits.max_wg);
    pv_json_set_num(l, "local_bytes", d->limits.local_bytes);
    pv_json_set_num(l, "subgroup", d->limits.subgroup);
    pv_json_set_num(l, "compute_units", d->limits.compute_units);
    pv_json_set_bool(l, "fp16", d->limits.fp16);
    pv_json_set_bool(l, "fp64", d->limits.fp64);
    pv_json_set(o, "limits", l);
    if (pv_starts(d->id, "opencl:")) {
        const char *library = pv_gemm_library(NULL);
        pv_json_set_str(o, "clblast", library ? library : "");
    }
    return o;
}

char *pv_devices(pv_context *c)
{
    pv_api_begin();
    int n;
    struct pv_str missing = {0};
    struct pv_dev_info *d = pv_dev_list(&n, &missing);
    pv_json *o = pv_json_object(), *all = pv_json_array();
    for (int i = 0; i < n; i++)
        pv_json_add(all, pv_device_json(&d[i]));
    pv_json_set(o, "devices", all);
    pv_json_set_str(o, "missing", missing.text ? missing.text : "");
    char *text = pv_json_text(o, true);
    pv_json_free(o);
    pv_str_free(&missing);
    pv_free(d);
    return text;
}

pv_device *pv_device_open(pv_context *c, const char *name)
{
    pv_api_begin();
    pv_dev *dev = pv_dev_open(name ? name : "auto", NULL);
    pv_device *d = NULL;
    if (dev) {
        d = pv_new(pv_device);
        d->dev = dev;
    }
    pv_api_end(d != NULL);
    return d;
}

const char *pv_device_id(const pv_device *d) { return pv_dev_get_info(d->dev)->id; }

void pv_device_close(pv_device **d)
{
    if (!*d)
        return;
    pv_dev_close(&(*d)->dev);
    pv_free(*d);
    *d = NULL;
}

/* ---- made-up data ---- */

bool pv_phantoms_make(const char *dir, int train, int test, const int size[3], uint64_t seed)
{
    pv_api_begin();
    bool ok = (train >= 1 && test >= 0 && train + test <= 1000) ||
              pv_fail(PV_FAULT_USAGE, "phantoms: 1 to 1000 cases, at least one for training; not %d and %d", train,
                      test);
    return pv_api_end(ok && pv_phantom_write(dir, train, test, size, seed));
}
