/* SPDX-License-Identifier: Apache-2.0
 * The parameter store. */
#include "nn/params.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"

pv_params *pv_params_new(pv_dev *dev)
{
    pv_params *p = pv_new(pv_params);
    p->dev = dev;
    p->version = 1;
    return p;
}

void pv_params_free(pv_params **pp)
{
    pv_params *p = *pp;
    if (!p)
        return;
    for (int i = 0; i < p->num; i++) {
        pv_tensor_put(&p->v[i].t);
        pv_free(p->v[i].name);
    }
    pv_tensor_put(&p->flat);
    pv_tensor_put(&p->grad);
    pv_tensor_put(&p->stats);
    pv_free(p->v);
    pv_free(p);
    *pp = NULL;
}

static struct pv_param *append(pv_params *p, const char *name, int ndim, const int *shape)
{
    if (p->num == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 64;
        p->v = pv_realloc(p->v, sizeof *p->v * (size_t)p->cap);
    }
    struct pv_param *q = &p->v[p->num++];
    *q = (struct pv_param){.name = pv_strdup(name), .ndim = ndim, .len = 1};
    for (int i = 0; i < ndim; i++) {
        q->shape[i] = shape[i];
        q->len *= shape[i];
    }
    return q;
}

int pv_param_add(pv_params *p, const char *name, int ndim, const int *shape, struct pv_init init)
{
    struct pv_param *q = append(p, name, ndim, shape);
    q->first = p->len;
    q->init = init;
    p->len += (size_t)q->len;
    return p->num - 1;
}

int pv_stat_add(pv_params *p, const char *name, int len, double value)
{
    struct pv_param *q = append(p, name, 1, &len);
    q->first = p->stats_len;
    q->buffer = true;
    q->init = (struct pv_init){PV_INIT_CONST, value, 0};
    p->stats_len += (size_t)len;
    return p->num - 1;
}

static void initial(const struct pv_param *q, float *v, uint64_t seed, const char *net, int index)
{
    struct pv_rng r = pv_rng_make(seed, pv_stream(net, (uint64_t)index, 0));
    double bound = q->init.fan_in ? 1 / sqrt(q->init.fan_in) : 0;
    double sigma = q->init.kind == PV_INIT_NORMAL ? q->init.value
                   : q->init.fan_in ? sqrt(2.0 / q->init.fan_in) : 0;
    for (int i = 0; i < q->len; i++)
        v[i] = (float)(q->init.kind == PV_INIT_CONST ? q->init.value
                     : q->init.kind == PV_INIT_FAN_IN ? bound * (2 * pv_rng_uniform(&r) - 1)
                     : sigma * pv_rng_normal(&r));
}

bool pv_params_finish(pv_params *p, uint64_t seed, const char *net)
{
    p->flat = pv_tensor_new(p->dev, pv_flat((int)p->len), PV_F32);
    p->stats = pv_tensor_new(p->dev, pv_flat((int)(p->stats_len ? p->stats_len : 1)), PV_F32);
    if (!p->flat || !p->stats)
        return false;
    float *v = pv_array(float, p->len), *s = pv_array(float, p->stats_len + 1);
    for (int i = 0; i < p->num; i++) {
        struct pv_param *q = &p->v[i];
        if (!pv_dev_is_plan(p->dev))
            initial(q, (q->buffer ? s : v) + q->first, seed, net, i);
        q->t = pv_tensor_view(q->buffer ? p->stats : p->flat, q->first, q->len);
        if (!q->buffer)
            q->t->version = &p->version;
    }
    pv_tensor_write(p->flat, v);
    pv_tensor_write(p->stats, s);
    pv_free(v);
    pv_free(s);
    p->ready = true;
    return !pv_dev_failed(p->dev);
}

bool pv_params_want_grad(pv_params *p)
{
    if (p->grad)
        return true;
    p->grad = pv_tensor_zeros(p->dev, pv_flat((int)p->len), PV_F32);
    for (int i = 0; p->grad && i < p->num; i++)
        if (!p->v[i].buffer) {
            p->v[i].t->needs_grad = true;
            p->v[i].t->grad = pv_tensor_view(p->grad, p->v[i].first, p->v[i].len);
        }
    return p->grad != NULL;
}

void pv_params_zero_grad(pv_params *p)
{
    for (int i = 0; i < p->num; i++)
        p->v[i].t->grad_valid = false;
}

void pv_params_changed(pv_params *p) { p->version++; }

void pv_params_grad_runs(pv_params *p, void (*fn)(void *user, size_t first, int n), void *user)
{
    size_t first = 0, end = 0;
    for (int i = 0; i < p->num; i++) {
        const struct pv_param *q = &p->v[i];
        if (q->buffer || !q->t->grad_valid)
            continue;
        if (q->first != end) {
            if (end > first)
                fn(user, first, (int)(end - first));
            first = q->first;
        }
        end = q->first + (size_t)q->len;
    }
    if (end > first)
        fn(user, first, (int)(end - first));
}

bool pv_params_copy(pv_params *dst, const pv_params *src, bool stats)
{
    if (dst->len != src->len || dst->stats_len != src->stats_len)
        return pv_fail(PV_FAULT_INTERNAL, "parameters of different networks cannot be copied");
    pv_tensor_copy(dst->flat, src->flat);
    if (stats)
        pv_tensor_copy(dst->stats, src->stats);
    pv_params_changed(dst);
    return !pv_dev_failed(dst->dev);
}

bool pv_param_read(const pv_params *p, int i, float *dst) { return pv_tensor_read(p->v[i].t, dst); }

void pv_param_write(pv_params *p, int i, const float *src)
{
    pv_tensor_write(p->v[i].t, src);
    pv_params_changed(p);
}

/* ---- files ---- */

bool pv_params_put(const pv_params *p, pv_st_writer *w, const char *prefix, bool torch, void **keep)
{
    static const int64_t zero;
    float *v = pv_array(float, p->len + p->stats_len + 1);
    *keep = v;
    if (!pv_tensor_read(p->flat, v) || (p->stats_len && !pv_tensor_read(p->stats, v + p->len)))
        return false;
    for (int i = 0; i < p->num; i++) {
        const struct pv_param *q = &p->v[i];
        int64_t shape[5];
        for (int d = 0; d < q->ndim; d++)
            shape[d] = q->shape[d];
        char *name = pv_asprintf("%s%s", prefix, q->name);
        pv_st_put(w, name, PV_ST_F32, q->ndim, shape, v + (q->buffer ? p->len : 0) + q->first);
        pv_free(name);
        const char *var = ".running_var";
        if (torch && pv_ends(q->name, var)) {
            int stem = (int)(strlen(q->name) - strlen(var));
            name = pv_asprintf("%s%.*s.num_batches_tracked", prefix, stem, q->name);
            pv_st_put(w, name, PV_ST_I64, 0, NULL, &zero);
            pv_free(name);
        }
    }
    return true;
}

const struct pv_st_tensor *pv_params_find(const pv_st_file *f, const char *prefix, const char *name)
{
    const char *const before[] = {prefix, "", "encoder.", "decoder.", "module.", "module.encoder.",
                                  "module.decoder.", "model.", "student."};
    for (size_t i = 0; i < PV_COUNT(before); i++) {
        char *key = pv_asprintf("%s%s", before[i], name);
        const struct pv_st_tensor *t = pv_st_find(f, key);
        pv_free(key);
        if (t)
            return t;
    }
    return NULL;
}

static void shape_text(int ndim, const int64_t *shape, struct pv_str *s)
{
    pv_str_add(s, "[");
    for (int i = 0; i < ndim; i++)
        pv_str_addf(s, "%s%lld", i ? ", " : "", (long long)shape[i]);
    pv_str_add(s, "]");
}

bool pv_params_get(pv_params *p, pv_st_file *f, const char *prefix)
{
    float *v = pv_array(float, p->len), *s = pv_array(float, p->stats_len + 1);
    bool ok = true;
    for (int i = 0; ok && i < p->num; i++) {
        const struct pv_param *q = &p->v[i];
        const struct pv_st_tensor *t = pv_params_find(f, prefix, q->name);
        if (!t) {
            ok = pv_fail(PV_FAULT_INPUT, "%s: there is no tensor '%s'; the file holds another network (check --net "
                         "and its options)", pv_st_path(f), q->name);
            break;
        }
        bool same = t->ndim == q->ndim;
        for (int d = 0; same && d < q->ndim; d++)
            same = t->shape[d] == q->shape[d];
        if (!same) {
            struct pv_str a = {0}, b = {0};
            int64_t mine[5];
            for (int d = 0; d < q->ndim; d++)
                mine[d] = q->shape[d];
            shape_text(t->ndim, t->shape, &a);
            shape_text(q->ndim, mine, &b);
            ok = pv_fail(PV_FAULT_INPUT, "%s: tensor '%s' has shape %s, this network needs %s; the file holds another "
                         "network (check --net and its options)", pv_st_path(f), q->name, a.text, b.text);
            pv_str_free(&a);
            pv_str_free(&b);
            break;
        }
        ok = pv_st_read_f32(f, t, (q->buffer ? s : v) + q->first);
    }
    if (ok) {
        pv_tensor_write(p->flat, v);
        pv_tensor_write(p->stats, s);
        pv_params_changed(p);
    }
    pv_free(v);
    pv_free(s);
    return ok && !pv_dev_failed(p->dev);
}
