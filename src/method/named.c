/* SPDX-License-Identifier: Apache-2.0
 * Evaluating named losses on tensors of safetensors files. */
#include "method/named.h"

#include <stdio.h>
#include <string.h>

#include "ops/shape.h"

extern const struct pv_named_loss *const pv_named_common[];
extern const struct pv_named_loss *const pv_named_ducisc[];
extern const struct pv_named_loss *const pv_named_mfcons[];
extern const struct pv_named_loss *const pv_named_cce[];
extern const struct pv_named_loss *const pv_named_mcf[];
extern const struct pv_named_loss *const pv_named_uamt[];
extern const struct pv_named_loss *const pv_named_cps[];
extern const struct pv_named_loss *const pv_named_ict[];
extern const struct pv_named_loss *const pv_named_cpcl[];
extern const struct pv_named_loss *const pv_named_dtc[];
extern const struct pv_named_loss *const pv_named_acmt[];
extern const struct pv_named_loss *const pv_named_bcp[];
extern const struct pv_named_loss *const pv_named_crln[];
extern const struct pv_named_loss *const pv_named_mper[];

const struct pv_named_loss *const *const pv_named_lists[] = {
    pv_named_common,
    pv_named_ducisc,
    pv_named_mfcons,
    pv_named_cce,
    pv_named_mcf,
    pv_named_uamt,
    pv_named_cps,
    pv_named_ict,
    pv_named_cpcl,
    pv_named_dtc,
    pv_named_acmt,
    pv_named_bcp,
    pv_named_crln,
    pv_named_mper,
    NULL,
};

const struct pv_named_loss *pv_named_find(const char *name)
{
    const char *names[256];
    size_t n = 0;
    for (int l = 0; pv_named_lists[l]; l++)
        for (int i = 0; pv_named_lists[l][i]; i++) {
            if (pv_streq(pv_named_lists[l][i]->name, name))
                return pv_named_lists[l][i];
            if (n < PV_COUNT(names))
                names[n++] = pv_named_lists[l][i]->name;
        }
    const char *near = pv_nearest(name, names, n);
    return pv_fail_null(PV_FAULT_USAGE, "there is no loss '%s'%s%s%s; protovox loss --list shows them", name,
                        near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

enum { MAX_IN = 24, MAX_OUT = 24 };

struct pv_named_data {
    pv_dev *dev;
    pv_st_file *f;
    const char *prefix;
    const struct pv_strs *sets;
    /* leaf: as in the file (gradients are read from it); t: what eval sees */
    struct { const struct pv_named_arg *arg; pv_tensor *leaf, *t; int ndim; int64_t shape[5]; } in[MAX_IN];
    int num_in;
    struct { const char *name; pv_tensor *t; } out[MAX_OUT];
    int num_out;
    bool failed;
};

/* ---- inputs ---- */

static bool shape_of(const struct pv_st_tensor *s, enum pv_arg_kind kind, struct pv_shape *h)
{
    int64_t total = pv_st_len(s);
    if (total < 1 || total > INT32_MAX)
        return false;
    if (kind == PV_ARG_FLAT) {
        *h = pv_flat((int)total);
        return true;
    }
    if (s->ndim != 4 && s->ndim != 5)
        return false;
    int dims = s->ndim - 2, sides[3] = {1, 1, 1};
    for (int i = 0; i < dims; i++)
        sides[3 - dims + i] = (int)s->shape[2 + i];
    *h = pv_plain(dims, (int)s->shape[0], (int)s->shape[1], sides);
    return kind != PV_ARG_LABEL || h->c == 1;
}

static bool load_arg(struct pv_named_call *c, const struct pv_named_arg *a)
{
    struct pv_named_data *d = c->data;
    char *key = pv_asprintf("%sin.%s", d->prefix, a->name);
    const struct pv_st_tensor *s = pv_st_find(d->f, key);
    bool ok = true;
    struct pv_shape h;
    if (!s) {
        ok = a->optional || pv_fail(PV_FAULT_INPUT, "%s: there is no '%s'; %s needs it with shape %s", pv_st_path(d->f),
                                    key, c->loss->name, a->shape);
    } else if (!shape_of(s, a->kind, &h)) {
        ok = pv_fail(PV_FAULT_INPUT, "%s: '%s' has %d axes; %s needs shape %s", pv_st_path(d->f), key, s->ndim,
                     c->loss->name, a->shape);
    } else {
        double *v = pv_array(double, pv_st_len(s));
        pv_tensor *leaf = NULL, *t = NULL;
        ok = pv_st_read_f64(d->f, s, v) &&
             (leaf = pv_tensor_new(d->dev, h, a->kind == PV_ARG_LABEL ? PV_I32 : PV_F32)) != NULL;
        if (ok && a->kind == PV_ARG_LABEL) {
            int32_t *l = pv_array(int32_t, pv_st_len(s));
            ok = pv_st_read_i32(d->f, s, l);
            pv_tensor_write_i32(leaf, l);
            pv_free(l);
        } else if (ok) {
            pv_tensor_write_f64(leaf, v);
            leaf->needs_grad = a->grad;
        }
        t = leaf && a->kind == PV_ARG_MAP ? pv_to_blocked(c->tape, leaf) : pv_tensor_ref(leaf);
        d->in[d->num_in].arg = a;
        d->in[d->num_in].leaf = leaf;
        d->in[d->num_in].t = t;
        d->in[d->num_in].ndim = s->ndim > 5 ? 5 : s->ndim;
        memcpy(d->in[d->num_in].shape, s->shape, sizeof d->in[0].shape);
        d->num_in++;
        ok = ok && t;
        pv_free(v);
    }
    pv_free(key);
    return ok;
}

pv_tensor *pv_named_in(struct pv_named_call *c, const char *name)
{
    struct pv_named_data *d = c->data;
    for (int i = 0; i < d->num_in; i++)
        if (pv_streq(d->in[i].arg->name, name))
            return d->in[i].t;
    return NULL;
}

/* ---- options ---- */

static const char *option_text(const struct pv_named_call *c, const char *name)
{
    const struct pv_named_data *d = c->data;
    size_t len = strlen(name);
    for (size_t i = 0; d->sets && i < d->sets->n; i++)
        if (pv_starts(d->sets->v[i], name) && d->sets->v[i][len] == '=')
            return d->sets->v[i] + len + 1;
    char *key = pv_asprintf("%s%s", d->prefix, name);
    const char *text = pv_st_meta(d->f, key);
    pv_free(key);
    return text;
}

static const struct pv_named_opt *find_option(const struct pv_named_call *c, const char *name)
{
    for (const struct pv_named_opt *o = c->loss->opts; o && o->name; o++)
        if (pv_streq(o->name, name))
            return o;
    pv_fail(PV_FAULT_INTERNAL, "loss %s has no option %s", c->loss->name, name);
    return NULL;
}

double pv_named_num(const struct pv_named_call *c, const char *name)
{
    const struct pv_named_opt *o = find_option(c, name);
    const char *text = option_text(c, name);
    double v = o ? o->def : 0;
    if (text && !pv_parse_f64(text, &v)) {
        pv_fail(PV_FAULT_USAGE, "option %s of %s is a number, not '%s'", name, c->loss->name, text);
        c->data->failed = true;
    }
    return v;
}

bool pv_named_is(const struct pv_named_call *c, const char *name, const char *word)
{
    const struct pv_named_opt *o = find_option(c, name);
    const char *text = option_text(c, name);
    return o && pv_streq(text ? text : o->text_def, word);
}

static bool check_sets(const struct pv_named_call *c)
{
    const struct pv_strs *s = c->data->sets;
    for (size_t i = 0; s && i < s->n; i++) {
        const char *eq = strchr(s->v[i], '=');
        bool known = false;
        for (const struct pv_named_opt *o = c->loss->opts; eq && o && o->name; o++)
            known = known || (strlen(o->name) == (size_t)(eq - s->v[i]) && pv_starts(s->v[i], o->name));
        if (!known)
            return pv_fail(PV_FAULT_USAGE, "loss %s has no option '%s' (OPTION=VALUE; protovox loss %s --list)",
                           c->loss->name, s->v[i], c->loss->name);
    }
    return true;
}

/* ---- results ---- */

void pv_named_out(struct pv_named_call *c, const char *name, pv_tensor *t)
{
    struct pv_named_data *d = c->data;
    if (!t || d->num_out == MAX_OUT) {
        d->failed = true;
        return;
    }
    d->out[d->num_out].name = name;
    d->out[d->num_out++].t = t;
}

static bool add_value(struct pv_named_result *r, const char *kind, const char *name, pv_tensor *t, int ndim,
                      const int64_t *shape)
{
    if (r->n == (int)PV_COUNT(r->v))
        return true;
    struct pv_named_value *v = &r->v[r->n++];
    snprintf(v->name, sizeof v->name, "%s.%s", kind, name);
    int64_t n = pv_shape_count(&t->h);
    v->v = pv_array(double, n);
    if (shape) {
        v->ndim = ndim;
        memcpy(v->shape, shape, sizeof v->shape);
    } else if (t->h.layout == PV_FLAT) {
        v->ndim = 1;
        v->shape[0] = n;
    } else {
        v->ndim = 2 + t->h.dims;
        v->shape[0] = t->h.n;
        v->shape[1] = t->h.c;
        for (int i = 0; i < t->h.dims; i++)
            v->shape[2 + i] = t->h.s[3 - t->h.dims + i];
    }
    if (t->type != PV_I32)
        return pv_tensor_read_f64(t, v->v);
    int32_t *l = pv_array(int32_t, n);
    bool ok = pv_tensor_read_i32(t, l);
    for (int64_t i = 0; i < n; i++)
        v->v[i] = l[i];
    pv_free(l);
    return ok;
}

void pv_named_result_free(struct pv_named_result *r)
{
    for (int i = 0; i < r->n; i++)
        pv_free(r->v[i].v);
    r->n = 0;
}

static bool read_back(struct pv_named_data *d, pv_tape *tape, struct pv_named_result *out)
{
    pv_tensor *loss = NULL;
    bool ok = true;
    for (int i = 0; ok && i < d->num_out; i++) {
        ok = add_value(out, "out", d->out[i].name, d->out[i].t, 0, NULL);
        if (pv_streq(d->out[i].name, "loss"))
            loss = d->out[i].t;
    }
    if (ok && loss)
        pv_backward(tape, loss, NULL);
    for (int i = 0; ok && loss && i < d->num_in; i++) {
        pv_tensor *leaf = d->in[i].leaf, *zero = NULL;
        if (!d->in[i].arg->grad)
            continue;
        if (!leaf->grad_valid)          /* nothing flows there: the gradient is zero */
            zero = pv_tensor_zeros(d->dev, leaf->h, PV_F32);
        ok = (zero || leaf->grad) &&
             add_value(out, "grad", d->in[i].arg->name, zero ? zero : leaf->grad, d->in[i].ndim, d->in[i].shape);
        pv_tensor_put(&zero);
    }
    return ok;
}

bool pv_named_run(pv_dev *dev, const struct pv_named_loss *l, pv_st_file *f, const char *prefix,
                  const struct pv_strs *sets, struct pv_named_result *out)
{
    struct pv_named_data d = {.dev = dev, .f = f, .prefix = prefix, .sets = sets};
    struct pv_named_call c = {.loss = l, .tape = pv_tape_new(dev), .data = &d};
    out->n = 0;
    c.tape->recording = true;
    bool ok = check_sets(&c);
    for (const struct pv_named_arg *a = l->args; ok && a->name; a++)
        ok = load_arg(&c, a);
    if (ok)
        l->eval(&c);
    ok = ok && !d.failed && pv_dev_finish(dev) && read_back(&d, c.tape, out);
    if (!ok && pv_fault_kind() == PV_FAULT_NONE && !pv_dev_failed(dev))
        pv_fail(PV_FAULT_INPUT, "%s: %s could not be evaluated on %s*: the inputs' shapes do not fit each other",
                pv_st_path(f), l->name, prefix);
    pv_tape_clear(c.tape);
    pv_scope_end(&c.scope);
    for (int i = 0; i < d.num_in; i++) {
        pv_tensor_put(&d.in[i].t);
        pv_tensor_put(&d.in[i].leaf);
    }
    pv_tape_free(&c.tape);
    if (!ok)
        pv_named_result_free(out);
    return ok;
}

void pv_named_cases(pv_st_file *f, struct pv_strs *prefixes)
{
    for (size_t i = 0; i < pv_st_count(f); i++) {
        const char *name = pv_st_at(f, i)->name, *at = strstr(name, "in.");
        while (at && at != name && at[-1] != '.')
            at = strstr(at + 1, "in.");
        if (!at)
            continue;
        char *p = pv_asprintf("%.*s", (int)(at - name), name);
        if (pv_strs_find(prefixes, p) < 0)
            pv_strs_add(prefixes, p);
        pv_free(p);
    }
}
