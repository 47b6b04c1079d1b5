/* SPDX-License-Identifier: Apache-2.0
 * Making, running and freeing networks. */
#include "net/net.h"

#include <string.h>

#include "ops/map.h"

const struct pv_net_kind *pv_net_find(const char *name)
{
    const char *names[32];
    size_t n = 0;
    for (; pv_net_kinds[n]; n++) {
        names[n] = pv_net_kinds[n]->name;
        if (pv_streq(name, names[n]))
            return pv_net_kinds[n];
    }
    struct pv_str known = {0};
    for (size_t i = 0; i < n; i++)
        pv_str_addf(&known, "%s%s", i ? ", " : "", names[i]);
    const char *near = pv_nearest(name, names, n);
    pv_fail(PV_FAULT_USAGE, "there is no network '%s'%s%s%s; known are %s", name, near ? " (did you mean " : "",
            near ? near : "", near ? "?)" : "", known.text);
    pv_str_free(&known);
    return NULL;
}

pv_net *pv_net_new(pv_dev *dev, const struct pv_net_config *c)
{
    const struct pv_net_kind *kind = pv_net_find(c->name);
    if (!kind)
        return NULL;
    if (c->classes < 2 || c->channels < 1 || c->channels > 8 || c->filters < 1)
        return pv_fail_null(PV_FAULT_USAGE, "a network needs 1 to 8 image channels, 2 or more classes and filters; "
                            "got %d, %d, %d", c->channels, c->classes, c->filters);
    if (kind->dims && c->dims != kind->dims)
        return pv_fail_null(PV_FAULT_USAGE, "%s is a network for %dD data, not %dD (net.dims)", kind->name, kind->dims,
                            c->dims);
    for (int i = 3 - c->dims; i < 3; i++)
        if (c->patch[i] % kind->divisor[i])
            return pv_fail_null(PV_FAULT_USAGE, "%s needs patch sides that are multiples of %d, not %dx%dx%d (--patch)",
                                kind->name, kind->divisor[i], c->patch[0], c->patch[1], c->patch[2]);
    if (c->prototypes < 0 || c->prototypes > 64 || (c->prototypes && !kind->crln))
        return pv_fail_null(PV_FAULT_USAGE, "%s cannot have %d prototypes per class (net.prototypes: up to 64 for "
                            "vnet, unet3d, unet3d_deconv)", kind->name, c->prototypes);
    pv_net *n = pv_new(pv_net);
    n->kind = kind;
    n->c = *c;
    n->p = pv_params_new(dev);
    n->layers = pv_zalloc(kind->layers_size);
    if (!kind->build(n) || !pv_params_finish(n->p, c->seed, c->label))
        pv_net_free(&n);
    return n;
}

void pv_net_free(pv_net **np)
{
    pv_net *n = *np;
    if (!n)
        return;
    pv_params_free(&n->p);
    pv_free(n->layers);
    pv_free(n);
    *np = NULL;
}

void pv_net_out_free(struct pv_net_out *o)
{
    pv_tensor_put(&o->logits);
    for (int i = 0; i < PV_FEATS; i++)
        pv_tensor_put(&o->feat[i]);
    for (int i = 0; i < 3; i++)
        pv_tensor_put(&o->heads[i]);
}

bool pv_net_forward(pv_net *n, pv_tape *t, pv_tensor *x, int flags, unsigned want, struct pv_net_out *out)
{
    memset(out, 0, sizeof *out);
    if (!x)
        return false;
    if (x->h.c != n->c.channels || x->h.dims != n->c.dims)
        return pv_fail(PV_FAULT_INTERNAL, "%s takes %d channels in %dD, got %d in %dD", n->kind->name,
                       n->c.channels, n->c.dims, x->h.c, x->h.dims);
    for (int i = 3 - n->c.dims; i < 3; i++)
        if (x->h.s[i] % n->kind->divisor[i])
            return pv_fail(PV_FAULT_USAGE, "%s needs patch sides that are multiples of %d; got %dx%dx%d",
                           n->kind->name, n->kind->divisor[i], x->h.s[0], x->h.s[1], x->h.s[2]);
    bool cue = n->c.prototypes && want & PV_WANT(PV_FEAT_CUE);
    for (int i = 0; i < 3 && cue; i++)
        if (x->h.s[i] != n->c.patch[i])
            return pv_fail(PV_FAULT_USAGE, "this network was made for patches of %dx%dx%d: its dynamic interaction has "
                           "weights for every voxel; got %dx%dx%d", n->c.patch[0], n->c.patch[1], n->c.patch[2],
                           x->h.s[0], x->h.s[1], x->h.s[2]);
    if (!n->kind->forward(n, t, x, flags, want, out) || !out->logits) {
        pv_net_out_free(out);
        return false;
    }
    return true;
}

pv_tensor *pv_rectify(pv_tape *t, pv_tensor *logits, pv_tensor *cue, pv_tensor *a)
{
    pv_tensor *rest = pv_unary(t, PV_SCALE, a, -1, 1);
    pv_tensor *scaled = pv_binary(t, PV_MUL, cue, rest);
    pv_tensor *y = pv_binary(t, PV_ADD, logits, scaled);
    pv_tensor_put(&rest);
    pv_tensor_put(&scaled);
    return y;
}

pv_tensor *pv_net_rectify(const pv_net *n, pv_tape *t, pv_tensor *logits, pv_tensor *cue)
{
    pv_tensor *a = NULL;
    for (int i = n->p->num - 1; i >= 0 && !a; i--)
        if (pv_streq(n->p->v[i].name, "op.a"))
            a = n->p->v[i].t;
    if (!a)
        return pv_fail_null(PV_FAULT_INTERNAL, "%s has no rectifier", n->kind->name);
    return pv_rectify(t, logits, cue, a);
}

size_t pv_net_count(const pv_net *n) { return n->p->len; }
