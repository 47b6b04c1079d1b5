/* SPDX-License-Identifier: Apache-2.0
 * Ops on rows: shapes, the tape, launches. Sums over a row are made of chunks whose size is fixed. */
#include "ops/rows.h"

#include <string.h>

#include "base/rng.h"
#include "ops/args/rows.h"
#include "ops/plain.h"
#include "ops/rows_impl.h"

PLAIN_KERNEL(k_moment, "rows", "row_moment", "rrrw", a_row);
PLAIN_KERNEL(k_norm_fwd, "rows", "row_norm_fwd", "rrrrrw", a_row);
PLAIN_KERNEL(k_norm_sum, "rows", "row_norm_sum", "rrrrrw", a_row);
PLAIN_KERNEL(k_norm_bwd, "rows", "row_norm_bwd", "rrrrrrx", a_row);
PLAIN_KERNEL(k_norm_param, "rows", "row_norm_param", "rrrrx", a_row);
PLAIN_KERNEL(k_peak, "rows", "row_peak", "rw", a_row);
PLAIN_KERNEL(k_soft_fwd, "rows", "row_soft_fwd", "rrw", a_row);
PLAIN_KERNEL(k_soft_sum, "rows", "row_soft_sum", "rrw", a_row);
PLAIN_KERNEL(k_soft_bwd, "rows", "row_soft_bwd", "rrrx", a_row);
static const struct pv_kernel k_peak_end = {"rows", "row_peak_end", "rw", sizeof(struct a_row), {64, 1, 1}, NULL};
static const struct pv_kernel k_swap = {"rows", "row_swap", "rx", sizeof(struct a_rowswap), {64, 1, 1}, NULL};
static const struct pv_kernel k_mm = {"rows", "rows_mm", "rrrx", sizeof(struct a_rowmm), {64, 1, 1}, NULL};

static const float row_eps = 1e-5f;

static struct row_desc describe(const pv_tensor *x)
{
    return (struct row_desc){x->h.n * x->h.c, x->h.c, pv_voxels(&x->h)};
}

static double *data(const pv_tensor *t) { return t ? pv_ref_data(t) : NULL; }
static pv_tensor *new_flat(pv_dev *dev, int n) { return pv_tensor_new(dev, pv_flat(n), PV_F32); }

/* ---- launches ---- */

/* A row of PLAIN x as a sample of one channel; a FLAT vector as long as a row stands still from row to row. */
static struct plain_view rows_of(pv_tensor *x)
{
    int64_t v = pv_voxels(&x->h);
    return (struct plain_view){.t = x, .ss = v, .vs = 1, .c = 1};
}

static struct plain_view still(pv_tensor *x) { return (struct plain_view){.t = x, .vs = 1, .c = 1}; }

/* Runs a kernel over rows: chunks if `sums`, else voxels (of `one` row if set). */
static void run(const char *label, const struct pv_kernel *k, struct plain_walk *w, struct a_row *a, bool sums,
                bool one)
{
    struct pv_launch l = {.k = plain_kernel(k, w->dev), .label = label, .args = a};
    bool accum = a->accum;
    while (plain_next(w)) {
        PLAIN_SET(*a, *w);
        a->accum = accum || (one && w->n0 > 0);
        plain_bind(w, &l);
        if (sums)
            plain_run_chunks(w, &l, w->nn);
        else
            plain_run_voxels(w, &l, one ? 1 : w->nn);
    }
}

static struct a_row args_of(const struct row_desc *d, const pv_tensor *factors)
{
    return (struct a_row){.rows = d->rows, .per = d->per, .tc = plain_chunks(d->v),
                          .factors = factors ? d->rows / d->per : 0, .eps = row_eps};
}

/* out[row] = scale * sum of the row's parts. */
static void totals(const char *label, pv_tensor *part, pv_tensor *out, int rows, int tc, double scale)
{
    plain_row_sum(label, part, out, (struct plain_rows){.rows = rows, .cols = tc, .inner = tc, .rs = tc,
                                                        .scale = (float)scale});
}

/* ---- layer norm ---- */

static pv_tensor *norm_stats(pv_tensor *x, pv_tensor *factors, const struct row_desc *d)
{
    pv_tensor *stats = new_flat(x->dev, 2 * d->rows), *part = plain_parts(x->dev, d->rows, d->v);
    for (int mode = 0; stats && part && mode < 2; mode++) {
        struct a_row a = args_of(d, factors);
        a.mode = mode;
        struct plain_walk w = {.dev = x->dev, .n = d->rows, .v = d->v, .num = 4,
            .view = {rows_of(x), plain_whole(factors), plain_whole(stats), plain_whole(part)}};
        run("row norm", k_moment, &w, &a, true, false);
        pv_tensor *out = pv_tensor_view(stats, (size_t)(mode * d->rows), d->rows);
        totals("row norm", part, out, d->rows, a.tc, 1 / (double)d->v);
        pv_tensor_put(&out);
    }
    pv_tensor_put(&part);
    return stats;
}

static void norm_apply(pv_tensor *x, pv_tensor *factors, pv_tensor *stats, pv_tensor *gamma, pv_tensor *beta,
                       pv_tensor *y)
{
    struct row_desc d = describe(x);
    if (pv_is_ref(x)) {
        ref_row_norm(data(x), data(gamma), data(beta), data(factors), data(y), &d);
        return;
    }
    struct a_row a = args_of(&d, factors);
    struct plain_walk w = {.dev = x->dev, .n = d.rows, .v = d.v, .num = 6, .view = {rows_of(x), plain_whole(factors),
        plain_whole(stats), still(gamma), still(beta), rows_of(y)}};
    if (stats)
        run("row norm", k_norm_fwd, &w, &a, false, false);
}

static void norm_grads(pv_tape *t, struct pv_node *n, pv_tensor *x, pv_tensor *dy)
{
    struct row_desc d = describe(x);
    pv_tensor *gamma = n->in[1], *factors = n->saved[0], *stats = n->saved[1];
    pv_tensor *params[] = {gamma, n->in[2]};
    for (int mode = 0; mode < 2; mode++) {
        bool accum;
        pv_tensor *out = pv_grad_slot(t, params[mode], &accum);
        struct a_row a = args_of(&d, factors);
        a.mode = mode;
        a.accum = accum;
        struct plain_walk w = {.dev = t->dev, .n = d.rows, .v = d.v, .num = 5, .view = {rows_of(x), rows_of(dy),
            plain_whole(factors), plain_whole(stats), still(out)}};
        if (out)
            run("row norm bwd", k_norm_param, &w, &a, false, true);
    }
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, x, &accum);
    if (!dx)
        return;
    pv_tensor *part = plain_parts(t->dev, 2 * d.rows, d.v), *means = new_flat(t->dev, 2 * d.rows);
    if (part && means) {
        struct a_row a = args_of(&d, factors);
        struct plain_walk w = {.dev = t->dev, .n = d.rows, .v = d.v, .num = 6, .view = {rows_of(x), rows_of(dy),
            plain_whole(factors), plain_whole(stats), still(gamma), plain_whole(part)}};
        run("row norm bwd", k_norm_sum, &w, &a, true, false);
        totals("row norm bwd", part, means, 2 * d.rows, a.tc, 1 / (double)d.v);
        struct plain_walk u = {.dev = t->dev, .n = d.rows, .v = d.v, .num = 7, .view = {rows_of(x), rows_of(dy),
            plain_whole(factors), plain_whole(stats), still(gamma), plain_whole(means), rows_of(dx)}};
        a.accum = accum;
        run("row norm bwd", k_norm_bwd, &u, &a, false, false);
    }
    pv_tensor_put(&part);
    pv_tensor_put(&means);
}

static void norm_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *x = n->in[0], *dy = pv_out_grad(n, 0);
    if (!pv_tensor_pin(x))
        return;
    if (pv_is_ref(x)) {
        struct row_desc d = describe(x);
        struct ref_row_grads g = {0};
        g.dx = data(pv_grad_slot(t, x, &g.ax));
        g.dgamma = data(pv_grad_slot(t, n->in[1], &g.ag));
        g.dbeta = data(pv_grad_slot(t, n->in[2], &g.ab));
        ref_row_norm_bwd(data(x), data(dy), data(n->in[1]), data(n->saved[0]), &g, &d);
    } else {
        norm_grads(t, n, x, dy);
    }
    pv_tensor_unpin(x);
}

static void norm_remake(pv_tensor *y, struct pv_remake *r)
{
    norm_apply(r->in[0], r->in[1], r->in[2], r->in[3], r->in[4], y);
}

static void set_remake(pv_tensor *y, void (*fn)(pv_tensor *, struct pv_remake *), int num, pv_tensor *const *in)
{
    struct pv_remake *r = pv_new(struct pv_remake);
    r->fn = fn;
    r->num_in = num;
    for (int i = 0; i < num; i++)
        r->in[i] = pv_tensor_ref(in[i]);
    pv_tensor_set_remake(y, r);
}

static bool is_flat(const pv_tensor *t, int64_t n)
{
    return t->h.layout == PV_FLAT && t->type == PV_F32 && t->h.n == n;
}

pv_tensor *pv_row_norm(pv_tape *t, pv_tensor *x, pv_tensor *gamma, pv_tensor *beta, pv_tensor *factors)
{
    pv_ops_init();
    pv_tensor *in[] = {x, gamma, beta};
    if (!pv_op_ready(t, 3, in))
        return NULL;
    int64_t v = pv_voxels(&x->h);
    if (x->h.layout != PV_PLAIN || x->type != PV_F32 || !is_flat(gamma, v) || !is_flat(beta, v) ||
        (factors && !is_flat(factors, 2 * x->h.n)))
        return pv_op_bad("row_norm", "takes PLAIN rows of %d voxels, as many weights, two factors per sample",
                         gamma->h.n);
    struct row_desc d = describe(x);
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32), *stats = NULL;
    if (y && pv_tensor_pin(x)) {
        stats = pv_is_ref(x) ? NULL : norm_stats(x, factors, &d);
        norm_apply(x, factors, stats, gamma, beta, y);
        pv_tensor_unpin(x);
    }
    if (y && pv_tape_wants(t, 3, in)) {
        struct pv_node *n = pv_tape_record(t, "row_norm", norm_backward, 3, in, 1, &y, NULL, 0);
        pv_node_save(n, factors);
        pv_node_save(n, stats);
        set_remake(y, norm_remake, 5, (pv_tensor *[]){x, factors, stats, gamma, beta});
    }
    pv_tensor_put(&stats);
    return y;
}

/* ---- softmax ---- */

static void soft_apply(pv_tensor *x, pv_tensor *stats, pv_tensor *y)
{
    struct row_desc d = describe(x);
    if (pv_is_ref(x)) {
        ref_row_softmax(data(x), data(y), &d);
        return;
    }
    struct a_row a = args_of(&d, NULL);
    struct plain_walk w = {.dev = x->dev, .n = d.rows, .v = d.v, .num = 3,
                           .view = {rows_of(x), plain_whole(stats), rows_of(y)}};
    if (stats)
        run("row softmax", k_soft_fwd, &w, &a, false, false);
}

static pv_tensor *soft_stats(pv_tensor *x, const struct row_desc *d)
{
    struct a_row a = args_of(d, NULL);
    pv_tensor *stats = new_flat(x->dev, 2 * d->rows), *part = new_flat(x->dev, 2 * d->rows * a.tc);
    if (stats && part) {
        struct plain_walk w = {.dev = x->dev, .n = d->rows, .v = d->v, .num = 2,
                               .view = {rows_of(x), plain_whole(part)}};
        run("row softmax", k_peak, &w, &a, true, false);
        struct pv_launch l = {.k = &k_peak_end, .label = "row softmax", .args = &a};
        pv_bind(&l, 0, part);
        pv_bind(&l, 1, stats);
        pv_run_items(x->dev, &l, (uint64_t)d->rows);
    }
    pv_tensor_put(&part);
    return stats;
}

static void soft_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *x = n->in[0], *y = n->out[0], *dy = pv_out_grad(n, 0);
    struct row_desc d = describe(x);
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, x, &accum);
    if (!dx || !pv_tensor_pin(y))
        return;
    if (pv_is_ref(x)) {
        ref_row_softmax_bwd(data(y), data(dy), data(dx), accum, &d);
    } else {
        struct a_row a = args_of(&d, NULL);
        pv_tensor *part = plain_parts(t->dev, d.rows, d.v), *sums = new_flat(t->dev, d.rows);
        if (part && sums) {
            struct plain_walk w = {.dev = t->dev, .n = d.rows, .v = d.v, .num = 3,
                                   .view = {rows_of(y), rows_of(dy), plain_whole(part)}};
            run("row softmax bwd", k_soft_sum, &w, &a, true, false);
            totals("row softmax bwd", part, sums, d.rows, a.tc, 1);
            struct plain_walk u = {.dev = t->dev, .n = d.rows, .v = d.v, .num = 4,
                                   .view = {rows_of(y), rows_of(dy), plain_whole(sums), rows_of(dx)}};
            a.accum = accum;
            run("row softmax bwd", k_soft_bwd, &u, &a, false, false);
        }
        pv_tensor_put(&part);
        pv_tensor_put(&sums);
    }
    pv_tensor_unpin(y);
}

static void soft_remake(pv_tensor *y, struct pv_remake *r) { soft_apply(r->in[0], r->in[1], y); }

pv_tensor *pv_row_softmax(pv_tape *t, pv_tensor *x)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_PLAIN || x->type != PV_F32)
        return pv_op_bad("row_softmax", "takes PLAIN F32 tensors");
    struct row_desc d = describe(x);
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32), *stats = NULL;
    if (y && pv_tensor_pin(x)) {
        stats = pv_is_ref(x) ? NULL : soft_stats(x, &d);
        soft_apply(x, stats, y);
        pv_tensor_unpin(x);
    }
    if (y && pv_tape_wants(t, 1, &x)) {
        pv_tape_record(t, "row_softmax", soft_backward, 1, &x, 1, &y, NULL, 0);
        set_remake(y, soft_remake, 2, (pv_tensor *[]){x, stats});
    }
    pv_tensor_put(&stats);
    return y;
}

/* ---- linear layers ---- */

static void product(const char *label, pv_tensor *x, pv_tensor *w, pv_tensor *bias, pv_tensor *out, struct row_mm m,
                    bool accum)
{
    if (!x || !out)
        return;
    if (pv_is_ref(x)) {
        ref_row_mm(data(x), data(w), data(bias), data(out), &m, accum);
        return;
    }
    struct a_rowmm a = {.ni = m.ni, .nj = m.nj, .nk = m.nk, .xi = m.xi, .xk = m.xk, .wj = m.wj, .wk = m.wk,
                        .os = m.os, .has_bias = bias != NULL, .ones = !w, .accum = accum};
    struct pv_launch l = {.k = &k_mm, .label = label, .args = &a};
    pv_bind(&l, 0, x);
    pv_bind(&l, 1, w ? w : x);
    pv_bind(&l, 2, bias ? bias : x);
    pv_bind(&l, 3, out);
    pv_run_items(x->dev, &l, (uint64_t)m.ni * (uint64_t)m.nj);
}

static void linear_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *x = n->in[0], *w = n->in[1], *dy = pv_out_grad(n, 0);
    int rows = x->h.n * x->h.c, in = (int)pv_voxels(&x->h), out = (int)pv_voxels(&dy->h);
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, x, &accum);
    product("linear bwd", dy, w, NULL, dx, (struct row_mm){rows, in, out, out, 1, 1, in, in}, accum);
    if (!pv_tensor_pin(x))
        return;
    pv_tensor *dw = pv_grad_slot(t, w, &accum);
    product("linear bwd", dy, x, NULL, dw, (struct row_mm){out, in, rows, 1, out, 1, in, in}, accum);
    pv_tensor *db = n->num_in > 2 ? pv_grad_slot(t, n->in[2], &accum) : NULL;
    product("linear bwd", dy, NULL, NULL, db, (struct row_mm){out, 1, rows, 1, out, 0, 0, 1}, accum);
    pv_tensor_unpin(x);
}

pv_tensor *pv_row_linear(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, int out)
{
    pv_ops_init();
    pv_tensor *in[] = {x, w, b};
    if (!pv_op_ready(t, 2, in))
        return NULL;
    int rows = x->h.n * x->h.c, width = (int)pv_voxels(&x->h);
    if (x->h.layout != PV_PLAIN || x->type != PV_F32 || !is_flat(w, (int64_t)width * out) || (b && !is_flat(b, out)))
        return pv_op_bad("row_linear", "%d weights for rows of %d to %d", w->h.n, width, out);
    pv_tensor *y = pv_tensor_new(t->dev, pv_plain(3, x->h.n, x->h.c, (int[]){1, 1, out}), PV_F32);
    if (y && pv_tensor_pin(x)) {
        product("linear", x, w, b, y, (struct row_mm){rows, out, width, width, 1, width, 1, out}, false);
        pv_tensor_unpin(x);
    }
    if (y && pv_tape_wants(t, 3, in))
        pv_tape_record(t, "row_linear", linear_backward, b ? 3 : 2, in, 1, &y, NULL, 0);
    return y;
}

/* ---- order ---- */

struct swap_aux { int a, b; };

static void swap(pv_tensor *x, pv_tensor *y, int ni, int nj, bool accum)
{
    if (pv_is_ref(x)) {
        ref_row_swap(data(x), data(y), x->h.n, ni, nj, pv_voxels(&x->h), accum);
        return;
    }
    struct a_rowswap a = {.n = x->h.n, .ni = ni, .nj = nj, .v = (int)pv_voxels(&x->h), .accum = accum};
    struct pv_launch l = {.k = &k_swap, .label = "row swap", .args = &a};
    pv_bind(&l, 0, x);
    pv_bind(&l, 1, y);
    pv_run_items(x->dev, &l, (uint64_t)pv_shape_count(&x->h));
}

static void swap_backward(pv_tape *t, struct pv_node *n)
{
    const struct swap_aux *q = (const struct swap_aux *)n->aux;
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, n->in[0], &accum);
    if (dx)
        swap(pv_out_grad(n, 0), dx, q->b, q->a, accum);
}

pv_tensor *pv_row_swap(pv_tape *t, pv_tensor *x, int a, int b)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_PLAIN || x->type != PV_F32 || a < 1 || b < 1 || a * b != x->h.c)
        return pv_op_bad("row_swap", "%d rows as %d times %d", x->h.c, a, b);
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32);
    if (y && pv_tensor_pin(x)) {
        swap(x, y, a, b, false);
        pv_tensor_unpin(x);
    }
    struct swap_aux q = {a, b};
    if (y && pv_tape_wants(t, 1, &x))
        pv_tape_record(t, "row_swap", swap_backward, 1, &x, 1, &y, &q, sizeof q);
    return y;
}

/* ---- drop path ---- */

pv_tensor *pv_drop_path(pv_tape *t, int n, int num, const float *base, float p)
{
    if (pv_dev_failed(t->dev) || n < 1 || num < 1)
        return NULL;
    double keep = 1 - (double)p, number = keep * 4294967296.0;
    float *v = pv_array(float, n * num);
    for (int i = 0; i < num; i++) {
        uint32_t layer = p > 0 ? t->pass << 16 | (t->layer++ & 0xffff) : 0;
        for (int s = 0; s < n; s++) {
            uint32_t ctr[4] = {(uint32_t)t->step, layer, (uint32_t)(t->first_sample + s), 0}, out[4];
            uint32_t key[2] = {(uint32_t)t->seed, (uint32_t)(t->seed >> 32)};
            pv_philox(out, ctr, key);
            bool kept = p <= 0 || (double)out[0] < number;
            v[i * n + s] = base[i] + (kept ? (float)(1 / keep) : 0);
        }
    }
    pv_tensor *f = new_flat(t->dev, n * num);
    pv_tensor_write(f, v);
    pv_free(v);
    return f;
}
