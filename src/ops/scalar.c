/* SPDX-License-Identifier: Apache-2.0
 * Weighted sums of device scalars: one tiny launch per term, in the order given. */
#include "ops/scalar.h"

#include <math.h>
#include <string.h>

#include "ops/args/scalar.h"
#include "ops/op.h"

static const struct pv_kernel k_add = {"scalar", "scalar_add", "rrx", sizeof(struct a_scalar), {1, 1, 1}, NULL};
static const struct pv_kernel k_grad = {"scalar", "scalar_grad", "rrrx", sizeof(struct a_scalar), {1, 1, 1}, NULL};

struct scalar_aux { int normalise; float w[PV_SCALARS]; };

static bool dead(double l) { return l == 0 || !isfinite(l); }

static void add(pv_tensor *l, pv_tensor *dev_w, pv_tensor *y, float w, bool normalise, bool accum)
{
    if (pv_is_ref(y)) {
        double x = *pv_ref_data(l), *out = pv_ref_data(y);
        double v = normalise ? (dead(x) ? 0 : w) : w * (dev_w ? *pv_ref_data(dev_w) : 1) * x;
        *out = accum ? *out + v : v;
        return;
    }
    struct a_scalar a = {.normalise = normalise, .has_w = dev_w != NULL, .accum = accum, .w = w};
    struct pv_launch p = {.k = &k_add, .label = "scalar sum", .args = &a, .groups = {1, 1, 1}};
    pv_bind(&p, 0, l);
    pv_bind(&p, 1, dev_w ? dev_w : l);
    pv_bind(&p, 2, y);
    pv_run(y->dev, &p);
}

static void add_grad(pv_tensor *l, pv_tensor *dev_w, pv_tensor *dy, pv_tensor *dl, float w, bool normalise,
                     bool accum)
{
    if (pv_is_ref(dl)) {
        double x = *pv_ref_data(l), *out = pv_ref_data(dl), g = w * *pv_ref_data(dy);
        if (normalise)
            g = dead(x) ? 0 : g / x;
        else if (dev_w)
            g *= *pv_ref_data(dev_w);
        *out = accum ? *out + g : g;
        return;
    }
    struct a_scalar a = {.normalise = normalise, .has_w = dev_w != NULL, .accum = accum, .w = w};
    struct pv_launch p = {.k = &k_grad, .label = "scalar sum bwd", .args = &a, .groups = {1, 1, 1}};
    pv_bind(&p, 0, l);
    pv_bind(&p, 1, dev_w ? dev_w : l);
    pv_bind(&p, 2, dy);
    pv_bind(&p, 3, dl);
    pv_run(dl->dev, &p);
}

/* saved: dev_w of each term (NULL: none) */
static void backward(pv_tape *t, struct pv_node *n)
{
    const struct scalar_aux *q = (const struct scalar_aux *)n->aux;
    for (int i = 0; i < n->num_in; i++) {
        bool accum;
        pv_tensor *dl = pv_grad_slot(t, n->in[i], &accum);
        if (dl)
            add_grad(n->in[i], n->saved[i], pv_out_grad(n, 0), dl, q->w[i], q->normalise, accum);
    }
}

static pv_tensor *sum(pv_tape *t, const char *op, int num, pv_tensor *const *l, const float *w,
                      pv_tensor *const *dev_w, bool normalise)
{
    pv_ops_init();
    if (num < 1 || num > PV_SCALARS)
        return pv_op_bad(op, "%d terms, at most %d", num, PV_SCALARS);
    if (!pv_op_ready(t, num, l))
        return NULL;
    struct scalar_aux q = {.normalise = normalise};
    for (int i = 0; i < num; i++) {
        if (pv_shape_count(&l[i]->h) != 1 || (dev_w && dev_w[i] && pv_shape_count(&dev_w[i]->h) != 1))
            return pv_op_bad(op, "term %d is not a scalar", i);
        q.w[i] = w ? w[i] : 1;
    }
    pv_tensor *y = pv_tensor_new(t->dev, pv_flat(1), PV_F32);
    for (int i = 0; y && i < num; i++)
        add(l[i], dev_w ? dev_w[i] : NULL, y, q.w[i], normalise, i > 0);
    if (y && pv_tape_wants(t, num, l)) {
        struct pv_node *n = pv_tape_record(t, op, backward, num, l, 1, &y, &q, sizeof q);
        for (int i = 0; i < num; i++)
            pv_node_save(n, dev_w ? dev_w[i] : NULL);
    }
    return y;
}

pv_tensor *pv_scalar_sum(pv_tape *t, int num, pv_tensor *const *l, const float *w, pv_tensor *const *dev_w)
{
    return sum(t, "scalar_sum", num, l, w, dev_w, false);
}

pv_tensor *pv_self_normalised(pv_tape *t, int num, pv_tensor *const *l, const float *w)
{
    return sum(t, "self_normalised", num, l, w, NULL, true);
}
