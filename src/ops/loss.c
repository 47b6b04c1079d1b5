/* SPDX-License-Identifier: Apache-2.0
 * Cross-entropy with hard and soft targets, as a loss or per voxel: shapes, tape, launches. The softmax is computed
 * again in the backward pass, so nothing of its size is kept. */
#include "ops/loss.h"

#include "ops/args/loss.h"
#include "ops/loss_impl.h"
#include "ops/softmax.h"

PLAIN_KERNEL(k_hard, "loss", "ce_hard_fwd", "rrrw", a_ce);
PLAIN_KERNEL(k_hard_bwd, "loss", "ce_hard_bwd", "rrrrrx", a_ce);
PLAIN_KERNEL(k_soft, "loss", "ce_soft_fwd", "rrrw", a_ce);
PLAIN_KERNEL(k_soft_bwd, "loss", "ce_soft_bwd", "rrrrrx", a_ce);
PLAIN_KERNEL(k_kl, "loss", "kl_fwd", "rrw", a_kl);
PLAIN_KERNEL(k_kl_bwd, "loss", "kl_bwd", "rrrx", a_kl);

struct ce_aux { int hard, kl, ignore, map; };

static struct a_ce arguments(const struct ce_aux *q, const pv_tensor *z, const pv_tensor *mask)
{
    return (struct a_ce){.c = z->h.c, .cs = (int)pv_voxels(&z->h), .masked = mask != NULL, .map = q->map,
                         .tc = plain_chunks(pv_voxels(&z->h)), .ignore = q->ignore, .kl = q->kl};
}

static struct ref_target reference(const struct ce_aux *q, const pv_tensor *y, const pv_tensor *mask)
{
    return (struct ref_target){.y = pv_ref_data(y), .mask = mask ? pv_ref_data(mask) : NULL, .hard = q->hard,
                               .kl = q->kl, .ignore = q->ignore};
}

/* saved: target, mask, coef (NULL for a map) */
static void ce_backward(pv_tape *t, struct pv_node *n)
{
    const struct ce_aux *q = (const struct ce_aux *)n->aux;
    pv_tensor *z = n->in[0], *y = n->saved[0], *mask = n->saved[1], *coef = n->saved[2], *dy = pv_out_grad(n, 0);
    pv_tensor *all[] = {z, y, mask};
    bool accum;
    pv_tensor *dz = pv_grad_slot(t, z, &accum);
    if (dz && pv_pin_all(3, all) && pv_is_ref(z)) {
        struct ref_target r = reference(q, y, mask);
        ref_ce_bwd(pv_ref_data(z), &r, pv_ref_data(dy), coef ? pv_ref_data(coef) : NULL, pv_ref_data(dz), z->h.n,
                   z->h.c, pv_voxels(&z->h), accum);
        pv_unpin_all(3, all);
    } else if (dz) {
        struct plain_walk w = {.dev = z->dev, .n = z->h.n, .v = pv_voxels(&z->h), .num = 6,
                               .view = {plain_all(z), plain_all(y), plain_all(mask),
                                        q->map ? plain_all(dy) : plain_whole(dy), plain_whole(coef),
                                        plain_all(dz)}};
        struct a_ce a = arguments(q, z, mask);
        struct pv_launch l = {.k = plain_kernel(q->hard ? k_hard_bwd : k_soft_bwd, z->dev), .label = "ce bwd",
                              .args = &a};
        a.accum = accum;
        while (plain_next(&w)) {
            PLAIN_SET(a, w);
            plain_bind(&w, &l);
            plain_run_voxels(&w, &l, w.nn);
        }
        pv_unpin_all(3, all);
    }
}

/* The map, or partial sums [n][2][chunks]. */
static void run_fwd(const struct ce_aux *q, pv_tensor *z, pv_tensor *y, pv_tensor *mask, pv_tensor *out)
{
    struct plain_walk w = {.dev = z->dev, .n = z->h.n, .v = pv_voxels(&z->h), .num = 4,
                           .view = {plain_all(z), plain_all(y), plain_all(mask),
                                    q->map ? plain_all(out) : plain_whole(out)}};
    struct a_ce a = arguments(q, z, mask);
    struct pv_launch l = {.k = plain_kernel(q->hard ? k_hard : k_soft, z->dev), .label = "ce", .args = &a};
    while (out && plain_next(&w)) {
        PLAIN_SET(a, w);
        plain_bind(&w, &l);
        plain_run_chunks(&w, &l, w.nn);
    }
}

static bool usable(const char *op, pv_tape *t, pv_tensor *z, pv_tensor *y, pv_tensor *mask, bool hard)
{
    pv_ops_init();
    if (!pv_op_ready(t, 2, (pv_tensor *[]){z, y}))
        return false;
    if (z->h.layout != PV_PLAIN || z->type != PV_F32 || z->h.c > PV_CLASSES)
        return pv_op_bad(op, "takes PLAIN F32 tensors of 1 to %d channels", PV_CLASSES) != NULL;
    if (!plain_is(y, z, hard ? 1 : z->h.c, hard ? PV_I32 : PV_F32))
        return pv_op_bad(op, "the second tensor must be %s on the same grid",
                         hard ? "I32 labels [n][1]" : "F32 of as many channels") != NULL;
    if (mask && !plain_is(mask, z, 1, PV_F32))
        return pv_op_bad(op, "the mask must be F32 [n][1] on the same grid") != NULL;
    return true;
}

static pv_tensor *ce(pv_tape *t, const char *op, pv_tensor *z, pv_tensor *y, pv_tensor *mask, struct ce_aux q,
                     struct pv_reduction red)
{
    if (!usable(op, t, z, y, mask, q.hard))
        return NULL;
    const int64_t v = pv_voxels(&z->h);
    struct plain_red r = {.n = z->h.n, .rows = 2, .c = 1, .masked = true, .count = v, .channels = z->h.c,
                          .red = red};
    pv_tensor *out = NULL, *coef = NULL, *all[] = {z, y, mask};
    if (q.map)
        out = pv_tensor_new(t->dev, pv_plain(z->h.dims, z->h.n, 1, z->h.s), PV_F32);
    if (pv_pin_all(3, all) && pv_is_ref(z)) {
        struct ref_target target = reference(&q, y, mask);
        double *sums = pv_array(double, r.n * r.rows);
        if (!q.map) {
            out = pv_tensor_new(t->dev, pv_flat(1), PV_F32);
            coef = pv_tensor_new(t->dev, pv_flat(r.n), PV_F32);
        }
        if (out)
            ref_ce(pv_ref_data(z), &target, q.map ? pv_ref_data(out) : NULL, sums, r.n, z->h.c, v);
        if (out && coef)
            *pv_ref_data(out) = plain_ref_finish(sums, pv_ref_data(coef), r);
        pv_free(sums);
    } else if (q.map && out) {
        run_fwd(&q, z, y, mask, out);
    } else if (!pv_dev_failed(t->dev)) {
        pv_tensor *part = plain_parts(t->dev, r.n * r.rows, v);
        run_fwd(&q, z, y, mask, part);
        out = plain_finish(op, part, v, r, &coef);
        pv_tensor_put(&part);
    }
    pv_unpin_all(3, all);
    if (out && pv_tape_wants(t, 1, &z)) {
        struct pv_node *n = pv_tape_record(t, op, ce_backward, 1, &z, 1, &out, &q, sizeof q);
        pv_node_save(n, y);
        pv_node_save(n, mask);
        pv_node_save(n, coef);
    }
    pv_tensor_put(&coef);
    return out;
}

static const struct pv_reduction none = {.kind = PV_RED_MEAN};

pv_tensor *pv_ce_hard(pv_tape *t, pv_tensor *z, pv_tensor *labels, pv_tensor *mask, int ignore,
                      struct pv_reduction red)
{
    return ce(t, "ce_hard", z, labels, mask, (struct ce_aux){.hard = 1, .ignore = ignore}, red);
}

pv_tensor *pv_ce_hard_map(pv_tape *t, pv_tensor *z, pv_tensor *labels, pv_tensor *mask, int ignore)
{
    return ce(t, "ce_hard_map", z, labels, mask, (struct ce_aux){.hard = 1, .ignore = ignore, .map = 1}, none);
}

pv_tensor *pv_ce_soft(pv_tape *t, pv_tensor *z, pv_tensor *y, pv_tensor *mask, struct pv_reduction red)
{
    return ce(t, "ce_soft", z, y, mask, (struct ce_aux){0}, red);
}

pv_tensor *pv_ce_soft_map(pv_tape *t, pv_tensor *z, pv_tensor *y, pv_tensor *mask)
{
    return ce(t, "ce_soft_map", z, y, mask, (struct ce_aux){.map = 1}, none);
}

pv_tensor *pv_kl_soft(pv_tape *t, pv_tensor *z, pv_tensor *y, pv_tensor *mask, struct pv_reduction red)
{
    return ce(t, "kl_soft", z, y, mask, (struct ce_aux){.kl = 1}, red);
}

pv_tensor *pv_kl_soft_map(pv_tape *t, pv_tensor *z, pv_tensor *y, pv_tensor *mask)
{
    return ce(t, "kl_soft_map", z, y, mask, (struct ce_aux){.kl = 1, .map = 1}, none);
}

/* ---- divergence of two probability maps ---- */

static void run_kl(const struct pv_kernel *k, const char *label, pv_tensor *p, pv_tensor *q, pv_tensor *a2,
                   pv_tensor *a3, float eps, bool accum)
{
    struct plain_walk w = {.dev = p->dev, .n = p->h.n, .v = pv_voxels(&p->h), .num = a3 ? 4 : 3,
                           .view = {plain_all(p), plain_all(q), plain_all(a2), plain_all(a3)}};
    struct a_kl a = {.c = p->h.c, .cs = (int)w.v, .accum = accum, .eps = eps};
    struct pv_launch l = {.k = plain_kernel(k, p->dev), .label = label, .args = &a};
    while (plain_next(&w)) {
        PLAIN_SET(a, w);
        plain_bind(&w, &l);
        plain_run_voxels(&w, &l, w.nn);
    }
}

static void kl_backward(pv_tape *t, struct pv_node *n)
{
    const float eps = *(float *)n->aux;
    pv_tensor *p = n->in[0], *q = n->saved[0], *dd = pv_out_grad(n, 0), *both[] = {p, q};
    bool accum;
    pv_tensor *dp = pv_grad_slot(t, p, &accum);
    if (!dp || !pv_pin_all(2, both))
        return;
    if (pv_is_ref(p))
        ref_kl_bwd(pv_ref_data(p), pv_ref_data(q), pv_ref_data(dd), pv_ref_data(dp), p->h.n, p->h.c,
                   pv_voxels(&p->h), (double)eps, accum);
    else
        run_kl(k_kl_bwd, "kl_map bwd", p, q, dd, dp, eps, accum);
    pv_unpin_all(2, both);
}

pv_tensor *pv_kl_map(pv_tape *t, pv_tensor *p, pv_tensor *q, float eps)
{
    if (!usable("kl_map", t, p, q, NULL, false))
        return NULL;
    pv_tensor *d = pv_tensor_new(t->dev, pv_plain(p->h.dims, p->h.n, 1, p->h.s), PV_F32), *both[] = {p, q};
    if (d && pv_pin_all(2, both)) {
        if (pv_is_ref(p))
            ref_kl(pv_ref_data(p), pv_ref_data(q), pv_ref_data(d), p->h.n, p->h.c, pv_voxels(&p->h), (double)eps);
        else
            run_kl(k_kl, "kl_map", p, q, d, NULL, eps, false);
        pv_unpin_all(2, both);
    }
    if (d && pv_tape_wants(t, 1, &p)) {
        struct pv_node *n = pv_tape_record(t, "kl_map", kl_backward, 1, &p, 1, &d, &eps, sizeof eps);
        pv_node_save(n, q);
    }
    return d;
}
