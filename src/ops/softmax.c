/* SPDX-License-Identifier: Apache-2.0
 * Softmax and its relatives: shapes, tape, launches. */
#include "ops/softmax.h"

#include <math.h>

#include "ops/args/softmax.h"
#include "ops/softmax_impl.h"

PLAIN_KERNEL(k_softmax, "softmax", "softmax_fwd", "rw", a_softmax);
PLAIN_KERNEL(k_softmax_bwd, "softmax", "softmax_bwd", "rrx", a_softmax);
PLAIN_KERNEL(k_argmax, "softmax", "argmax", "rw", a_softmax);
PLAIN_KERNEL(k_max, "softmax", "max_prob", "rw", a_softmax);
PLAIN_KERNEL(k_onehot, "softmax", "onehot", "rw", a_softmax);
PLAIN_KERNEL(k_entropy, "softmax", "entropy_fwd", "rw", a_softmax);
PLAIN_KERNEL(k_entropy_bwd, "softmax", "entropy_bwd", "rrx", a_softmax);

/* Runs k over the voxels of x's grid; a holds c and options. */
static void run(const struct pv_kernel *k, const char *label, struct a_softmax a, pv_tensor *x, pv_tensor *y,
                pv_tensor *z)
{
    struct plain_walk w = {.dev = x->dev, .n = x->h.n, .v = pv_voxels(&x->h), .num = z ? 3 : 2,
                           .view = {plain_all(x), plain_all(y), plain_all(z)}};
    struct pv_launch l = {.k = plain_kernel(k, x->dev), .label = label, .args = &a};
    a.cs = (int)w.v;
    while (y && plain_next(&w)) {
        PLAIN_SET(a, w);
        plain_bind(&w, &l);
        plain_run_voxels(&w, &l, w.nn);
    }
}

static bool usable(const char *op, pv_tape *t, pv_tensor *x, enum pv_dtype type)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return false;
    if (x->h.layout != PV_PLAIN || x->type != type || x->h.c > PV_CLASSES)
        return pv_op_bad(op, "takes PLAIN %s tensors of 1 to %d channels", type == PV_F32 ? "F32" : "I32",
                         PV_CLASSES) != NULL;
    return true;
}

static pv_tensor *like(const pv_tensor *x, int c, enum pv_dtype type)
{
    return pv_tensor_new(x->dev, pv_plain(x->h.dims, x->h.n, c, x->h.s), type);
}

static void softmax_backward(pv_tape *t, struct pv_node *n)
{
    const int logs = *(int *)n->aux;
    pv_tensor *y = n->out[0], *dy = pv_out_grad(n, 0);
    bool accum;
    pv_tensor *dz = pv_grad_slot(t, n->in[0], &accum);
    if (!dz)
        return;
    if (pv_is_ref(y))
        ref_softmax_bwd(pv_ref_data(y), pv_ref_data(dy), pv_ref_data(dz), y->h.n, y->h.c, pv_voxels(&y->h), logs,
                        accum);
    else
        run(k_softmax_bwd, "softmax bwd", (struct a_softmax){.c = y->h.c, .logs = logs, .accum = accum}, y, dy, dz);
}

static pv_tensor *softmax(pv_tape *t, const char *op, pv_tensor *z, int logs)
{
    if (!usable(op, t, z, PV_F32))
        return NULL;
    pv_tensor *y = like(z, z->h.c, PV_F32);
    if (y && pv_tensor_pin(z)) {
        if (pv_is_ref(z))
            ref_softmax(pv_ref_data(z), pv_ref_data(y), z->h.n, z->h.c, pv_voxels(&z->h), logs);
        else
            run(k_softmax, op, (struct a_softmax){.c = z->h.c, .logs = logs}, z, y, NULL);
        pv_tensor_unpin(z);
    }
    if (y && pv_tape_wants(t, 1, &z))
        pv_tape_record(t, op, softmax_backward, 1, &z, 1, &y, &logs, sizeof logs);
    return y;
}

pv_tensor *pv_softmax(pv_tape *t, pv_tensor *z) { return softmax(t, "softmax", z, 0); }
pv_tensor *pv_log_softmax(pv_tape *t, pv_tensor *z) { return softmax(t, "log_softmax", z, 1); }

static pv_tensor *best(pv_tape *t, const char *op, pv_tensor *z, bool label)
{
    if (!usable(op, t, z, PV_F32))
        return NULL;
    pv_tensor *y = like(z, 1, label ? PV_I32 : PV_F32);
    if (y && pv_tensor_pin(z)) {
        if (pv_is_ref(z))
            ref_argmax(pv_ref_data(z), label ? pv_ref_data(y) : NULL, label ? NULL : pv_ref_data(y), z->h.n,
                       z->h.c, pv_voxels(&z->h));
        else
            run(label ? k_argmax : k_max, op, (struct a_softmax){.c = z->h.c}, z, y, NULL);
        pv_tensor_unpin(z);
    }
    return y;
}

pv_tensor *pv_argmax(pv_tape *t, pv_tensor *z) { return best(t, "argmax", z, true); }
pv_tensor *pv_max_prob(pv_tape *t, pv_tensor *p) { return best(t, "max_prob", p, false); }

pv_tensor *pv_onehot(pv_tape *t, pv_tensor *labels, int c)
{
    if (!usable("onehot", t, labels, PV_I32))
        return NULL;
    if (labels->h.c != 1 || c < 1 || c > PV_CLASSES)
        return pv_op_bad("onehot", "%d classes from labels of %d channels", c, labels->h.c);
    pv_tensor *y = like(labels, c, PV_F32);
    if (y && pv_is_ref(y))
        ref_onehot(pv_ref_data(labels), pv_ref_data(y), y->h.n, c, pv_voxels(&y->h));
    else
        run(k_onehot, "onehot", (struct a_softmax){.c = c}, labels, y, NULL);
    return y;
}

struct entropy_aux { double scale; float eps; };

static void entropy_backward(pv_tape *t, struct pv_node *n)
{
    const struct entropy_aux *q = (const struct entropy_aux *)n->aux;
    pv_tensor *p = n->in[0], *dh = pv_out_grad(n, 0);
    bool accum;
    pv_tensor *dp = pv_grad_slot(t, p, &accum);
    if (!dp || !pv_tensor_pin(p))
        return;
    if (pv_is_ref(p))
        ref_entropy_bwd(pv_ref_data(p), pv_ref_data(dh), pv_ref_data(dp), p->h.n, p->h.c, pv_voxels(&p->h),
                        q->scale, (double)q->eps, accum);
    else
        run(k_entropy_bwd, "entropy bwd",
            (struct a_softmax){.c = p->h.c, .scale = (float)q->scale, .eps = q->eps, .accum = accum}, p, dh, dp);
    pv_tensor_unpin(p);
}

pv_tensor *pv_entropy(pv_tape *t, pv_tensor *p, enum pv_entropy_base base, float eps)
{
    if (!usable("entropy", t, p, PV_F32))
        return NULL;
    if (base == PV_ENTROPY_NORMALISED && p->h.c < 2)
        return pv_op_bad("entropy", "one channel cannot be normalised");
    const double unit = base == PV_ENTROPY_NAT ? 1 : log(base == PV_ENTROPY_BITS ? 2 : p->h.c);
    struct entropy_aux q = {.scale = 1 / unit, .eps = eps};
    pv_tensor *h = like(p, 1, PV_F32);
    if (h && pv_tensor_pin(p)) {
        if (pv_is_ref(p))
            ref_entropy(pv_ref_data(p), pv_ref_data(h), p->h.n, p->h.c, pv_voxels(&p->h), q.scale,
                        (double)eps);
        else
            run(k_entropy, "entropy", (struct a_softmax){.c = p->h.c, .scale = (float)q.scale, .eps = eps}, p, h,
                NULL);
        pv_tensor_unpin(p);
    }
    if (h && pv_tape_wants(t, 1, &p))
        pv_tape_record(t, "entropy", entropy_backward, 1, &p, 1, &h, &q, sizeof q);
    return h;
}
