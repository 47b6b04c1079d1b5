/* SPDX-License-Identifier: Apache-2.0
 * Launches over PLAIN tensors, partial sums and the scalar at their end. */
#include "ops/plain.h"

#include "ops/args/reduce.h"

PLAIN_KERNEL(k_row_sum, "reduce", "row_sum", "rx", a_rows);
static const struct pv_kernel k_finish = {"reduce", "red_finish", "rww", sizeof(struct a_finish), {1, 1, 1}, NULL};

struct plain_view plain_all(pv_tensor *x)
{
    if (!x)
        return (struct plain_view){.c = 1};
    if (x->h.layout == PV_FLAT)
        return (struct plain_view){.t = x, .ks = x->h.n, .vs = 1, .c = 1};
    int64_t v = pv_voxels(&x->h);
    return (struct plain_view){.t = x, .ss = x->h.c * v, .ks = v, .vs = 1, .c = x->h.c};
}

struct plain_view plain_whole(pv_tensor *x) { return (struct plain_view){.t = x, .whole = true, .c = 1}; }

bool plain_is(const pv_tensor *t, const pv_tensor *grid, int c, enum pv_dtype type)
{
    return t->h.layout == PV_PLAIN && t->type == type && pv_same_grid(&t->h, &grid->h) && (!c || t->h.c == c);
}

static int64_t first_of(const struct plain_walk *w, const struct plain_view *x)
{
    return x->base + w->n0 * x->ss + w->v0 * x->vs;
}

static int64_t span(const struct plain_view *x, int nn, int64_t nv)
{
    return (nn - 1) * x->ss + (x->c - 1) * x->ks + (nv - 1) * x->vs + 1;
}

static bool fits(const struct plain_walk *w, int nn, int64_t nv)
{
    const uint64_t most = pv_dev_get_info(w->dev)->limits.max_binding;
    if (nn * nv > 1 << 30)
        return false;
    for (int i = 0; i < w->num; i++) {
        const struct plain_view *x = &w->view[i];
        if (!x->t || x->whole)
            continue;
        int64_t count = span(x, nn, nv);
        uint64_t at = ((uint64_t)x->t->off + (uint64_t)first_of(w, x)) * 4, bytes = (uint64_t)count * 4;
        uint64_t seg = pv_buf_segment(x->t->buf);
        if (count > 1 << 30 || bytes > most || at / seg != (at + bytes - 1) / seg)
            return false;
    }
    return true;
}

bool plain_next(struct plain_walk *w)
{
    if (w->nn) {
        w->v0 += w->nv;
        if (w->v0 >= w->v) {
            w->v0 = 0;
            w->n0 += w->nn;
        }
    }
    if (w->n0 >= w->n || w->v < 1 || pv_dev_failed(w->dev))
        return false;
    if (w->v0 == 0)
        for (int nn = w->n - w->n0; nn > 0; nn--)
            if (fits(w, nn, w->v)) {
                w->nn = nn;
                w->nv = (int)w->v;
                return true;
            }
    w->nn = 1;
    int64_t left = w->v - w->v0, lo = 1, hi = plain_chunks(left);   /* in chunks */
    while (lo < hi) {
        int64_t mid = (lo + hi + 1) / 2, nv = mid * PLAIN_CHUNK;
        if (fits(w, 1, nv < left ? nv : left))
            lo = mid;
        else
            hi = mid - 1;
    }
    w->nv = (int)(lo * PLAIN_CHUNK < left ? lo * PLAIN_CHUNK : left);
    return true;
}

void plain_bind(const struct plain_walk *w, struct pv_launch *l)
{
    for (int i = 0; i < w->num; i++) {
        const struct plain_view *x = w->view[i].t ? &w->view[i] : &w->view[0];
        if (x->whole)
            pv_bind(l, i, x->t);
        else
            pv_bind_range(l, i, x->t, first_of(w, x), span(x, w->nn, w->nv));
    }
}

void plain_run_voxels(const struct plain_walk *w, struct pv_launch *l, int rows)
{
    if (pv_dev_get_info(w->dev)->cls == PV_FAT)
        pv_groups(w->dev, l, (uint64_t)rows * (uint64_t)plain_chunks(w->nv));
    else
        pv_groups(w->dev, l, ((uint64_t)rows * (uint64_t)w->nv + 63) / 64);
    pv_run(w->dev, l);
}

void plain_run_chunks(const struct plain_walk *w, struct pv_launch *l, int rows)
{
    pv_groups(w->dev, l, (uint64_t)rows * (uint64_t)plain_chunks(w->nv));
    pv_run(w->dev, l);
}

/* ---- sums ---- */

pv_tensor *plain_parts(pv_dev *dev, int rows, int64_t v)
{
    return pv_tensor_new(dev, pv_flat(rows * plain_chunks(v)), PV_F32);
}

void plain_row_sum(const char *label, pv_tensor *part, pv_tensor *out, struct plain_rows r)
{
    if (!part || !out)
        return;
    struct a_rows a = {.rows = r.rows, .cols = r.cols, .inner = r.inner, .so = r.so, .rs = r.rs,
                       .scale = r.scale, .accum = r.accum};
    struct pv_launch l = {.k = plain_kernel(k_row_sum, part->dev), .label = label, .args = &a};
    pv_bind(&l, 0, part);
    pv_bind(&l, 1, out);
    pv_groups(part->dev, &l, (uint64_t)r.rows);
    pv_run(part->dev, &l);
}

pv_tensor *plain_finish(const char *label, pv_tensor *part, int64_t v, struct plain_red r, pv_tensor **coef)
{
    if (!part)
        return NULL;
    const int rows = r.n * r.rows, chunks = plain_chunks(v);
    pv_tensor *sums = pv_tensor_new(part->dev, pv_flat(rows), PV_F32);
    pv_tensor *loss = pv_tensor_new(part->dev, pv_flat(1), PV_F32);
    *coef = pv_tensor_new(part->dev, pv_flat(r.n), PV_F32);
    if (sums && loss && *coef) {
        plain_row_sum(label, part, sums, (struct plain_rows){.rows = rows, .cols = chunks, .inner = chunks,
                                                             .rs = chunks, .scale = 1});
        struct a_finish a = {.n = r.n, .rows = r.rows, .c = r.c, .masked = r.masked, .count = (float)r.count,
                             .kind = (int)r.red.kind, .eps = r.red.eps,
                             .div = r.red.per_channel ? (float)r.channels : 1.0f};
        struct pv_launch l = {.k = &k_finish, .label = label, .args = &a, .groups = {1, 1, 1}};
        pv_bind(&l, 0, sums);
        pv_bind(&l, 1, loss);
        pv_bind(&l, 2, *coef);
        pv_run(part->dev, &l);
    }
    pv_tensor_put(&sums);
    return loss;
}
