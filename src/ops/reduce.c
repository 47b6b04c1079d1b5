/* SPDX-License-Identifier: Apache-2.0
 * Sums, means and differences: term sums per sample, channel and chunk, added up in fixed order; the gradient is
 * one pointwise pass. */
#include "ops/reduce.h"

#include "ops/reduce_impl.h"

_Static_assert(PV_RED_MEAN == RED_MEAN && PV_RED_SAMPLE_MEAN == RED_SAMPLE_MEAN &&
               PV_RED_SAMPLE_MEAN_KEPT == RED_SAMPLE_MEAN_KEPT && PV_RED_SUM == RED_SUM &&
               PV_RED_MEAN_ALL == RED_MEAN_ALL && PV_RED_MASKED_EPS == RED_MASKED_EPS, "kinds of the kernel");

PLAIN_KERNEL(k_sum, "reduce", "red_sum", "rrrw", a_red);
PLAIN_KERNEL(k_grad, "reduce", "red_grad", "rrrrrx", a_red);

/* What the gradient needs besides a, b, mask and coef. */
struct red_aux { int form, dys, dyk, has_b, has_mask; };

static int channels(const pv_tensor *x) { return x->h.layout == PV_FLAT ? 1 : x->h.c; }

/* Partial sums [n][c + masked][chunks]. */
static pv_tensor *run_sum(const char *label, int form, pv_tensor *a, pv_tensor *b, pv_tensor *mask)
{
    struct plain_walk w = {.dev = a->dev, .n = plain_n(a), .v = plain_v(a), .num = 4,
                           .view = {plain_all(a), plain_all(b), plain_all(mask)}};
    struct a_red args = {.c = channels(a), .cs = (int)plain_v(a), .masked = mask != NULL, .form = form,
                         .rows = channels(a) + (mask != NULL), .tc = plain_chunks(plain_v(a))};
    pv_tensor *part = plain_parts(a->dev, w.n * args.rows, w.v);
    w.view[3] = plain_whole(part);
    struct pv_launch l = {.k = plain_kernel(k_sum, a->dev), .label = label, .args = &args};
    while (part && plain_next(&w)) {
        PLAIN_SET(args, w);
        plain_bind(&w, &l);
        plain_run_chunks(&w, &l, w.nn * args.rows);
    }
    return part;
}

/* dx (+)= dy * coef * mask * slope(x, other). */
static void run_grad(const char *label, const struct red_aux *q, pv_tensor *x, pv_tensor *other, pv_tensor *mask,
                     pv_tensor *dy, pv_tensor *coef, pv_tensor *dx, bool accum)
{
    if (pv_is_ref(x)) {
        ref_red_grad(q->form, pv_ref_data(x), other ? pv_ref_data(other) : NULL,
                     mask ? pv_ref_data(mask) : NULL, pv_ref_data(dy), q->dys, q->dyk,
                     coef ? pv_ref_data(coef) : NULL, pv_ref_data(dx), plain_n(x), channels(x), plain_v(x),
                     accum);
        return;
    }
    struct plain_walk w = {.dev = x->dev, .n = plain_n(x), .v = plain_v(x), .num = 6,
                           .view = {plain_all(x), plain_all(other), plain_all(mask), plain_whole(dy),
                                    plain_whole(coef ? coef : dy), plain_all(dx)}};
    struct a_red args = {.c = channels(x), .cs = (int)plain_v(x), .masked = mask != NULL, .form = q->form,
                         .dys = q->dys, .dyk = q->dyk, .has_coef = coef != NULL, .accum = accum};
    struct pv_launch l = {.k = plain_kernel(k_grad, x->dev), .label = label, .args = &args};
    while (plain_next(&w)) {
        PLAIN_SET(args, w);
        plain_bind(&w, &l);
        plain_run_voxels(&w, &l, w.nn * args.c);
    }
}

/* saved: mask, coef; either may be NULL */
static void backward(pv_tape *t, struct pv_node *n)
{
    const struct red_aux *q = (const struct red_aux *)n->aux;
    pv_tensor *a = n->in[0], *b = q->has_b ? n->in[1] : NULL, *mask = n->saved[0], *coef = n->saved[1];
    pv_tensor *all[] = {a, b, mask};
    if (pv_pin_all(3, all)) {
        bool accum;
        pv_tensor *da = pv_grad_slot(t, a, &accum);
        if (da)
            run_grad("sum bwd", q, a, b, mask, pv_out_grad(n, 0), coef, da, accum);
        pv_tensor *db = b ? pv_grad_slot(t, b, &accum) : NULL;
        if (db)     /* the terms are symmetric */
            run_grad("sum bwd", q, b, a, mask, pv_out_grad(n, 0), coef, db, accum);
    }
    pv_unpin_all(3, all);
}

static void record(pv_tape *t, const char *op, pv_tensor *a, pv_tensor *b, pv_tensor *mask, pv_tensor *coef,
                   pv_tensor *y, struct red_aux q)
{
    pv_tensor *in[] = {a, b};
    if (!y || !pv_tape_wants(t, 2, in))
        return;
    q.has_b = b != NULL;
    struct pv_node *n = pv_tape_record(t, op, backward, b ? 2 : 1, in, 1, &y, &q, sizeof q);
    pv_node_save(n, mask);
    pv_node_save(n, coef);
}

static bool usable(const char *op, pv_tape *t, pv_tensor *a, pv_tensor *b, pv_tensor *mask)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &a) || (b && !pv_op_ready(t, 1, &b)))
        return false;
    bool flat = a->h.layout == PV_FLAT;
    if (a->type != PV_F32 || a->h.layout == PV_BLOCKED || (b && (b->type != PV_F32 || !pv_shape_eq(&a->h, &b->h))))
        return pv_op_bad(op, "takes F32 PLAIN or FLAT tensors of one shape") != NULL;
    if (mask && (flat ? mask->type != PV_F32 || !pv_shape_eq(&a->h, &mask->h) : !plain_is(mask, a, 1, PV_F32)))
        return pv_op_bad(op, "the mask must be F32 [n][1] on the same grid") != NULL;
    return true;
}

static pv_tensor *reduce(pv_tape *t, const char *op, int form, pv_tensor *a, pv_tensor *b, pv_tensor *mask,
                         struct pv_reduction red)
{
    if (!usable(op, t, a, b, mask))
        return NULL;
    struct plain_red r = {.n = plain_n(a), .rows = channels(a) + (mask != NULL), .c = channels(a),
                          .masked = mask != NULL, .count = plain_v(a), .channels = channels(a), .red = red};
    pv_tensor *y = NULL, *coef = NULL, *all[] = {a, b, mask};
    if (pv_pin_all(3, all) && pv_is_ref(a)) {
        double *sums = pv_array(double, r.n * r.rows);
        y = pv_tensor_new(t->dev, pv_flat(1), PV_F32);
        coef = pv_tensor_new(t->dev, pv_flat(r.n), PV_F32);
        if (y && coef) {
            ref_red_sum(form, pv_ref_data(a), b ? pv_ref_data(b) : NULL, mask ? pv_ref_data(mask) : NULL, sums,
                        r.n, r.c, r.count);
            *pv_ref_data(y) = plain_ref_finish(sums, pv_ref_data(coef), r);
        }
        pv_free(sums);
    } else if (!pv_dev_failed(t->dev)) {
        pv_tensor *part = run_sum(op, form, a, b, mask);
        y = plain_finish(op, part, r.count, r, &coef);
        pv_tensor_put(&part);
    }
    pv_unpin_all(3, all);
    if (form != RED_NONZERO)
        record(t, op, a, b, mask, coef, y, (struct red_aux){.form = form});
    pv_tensor_put(&coef);
    return y;
}

pv_tensor *pv_reduce(pv_tape *t, pv_tensor *x, pv_tensor *mask, struct pv_reduction red)
{
    return reduce(t, "reduce", RED_X, x, NULL, mask, red);
}

pv_tensor *pv_sum(pv_tape *t, pv_tensor *x, pv_tensor *mask)
{
    return reduce(t, "sum", RED_X, x, NULL, mask, (struct pv_reduction){.kind = PV_RED_SUM});
}

pv_tensor *pv_mean_of(pv_tape *t, pv_tensor *x, pv_tensor *mask)
{
    return reduce(t, "mean", RED_X, x, NULL, mask, (struct pv_reduction){.kind = PV_RED_MEAN, .per_channel = true});
}

pv_tensor *pv_count_nonzero(pv_tape *t, pv_tensor *x, pv_tensor *mask)
{
    return reduce(t, "count", RED_NONZERO, x, NULL, mask, (struct pv_reduction){.kind = PV_RED_SUM});
}

pv_tensor *pv_mse(pv_tape *t, pv_tensor *a, pv_tensor *b, pv_tensor *mask, struct pv_reduction red)
{
    return a && b ? reduce(t, "mse", RED_SQ, a, b, mask, red) : NULL;
}

pv_tensor *pv_mae(pv_tape *t, pv_tensor *a, pv_tensor *b, pv_tensor *mask, struct pv_reduction red)
{
    return a && b ? reduce(t, "mae", RED_ABS, a, b, mask, red) : NULL;
}

/* Sums per sample (by_class false) or per channel. */
static pv_tensor *sums(pv_tape *t, const char *op, pv_tensor *x, pv_tensor *mask, bool by_class)
{
    if (!usable(op, t, x, NULL, mask))
        return NULL;
    if (x->h.layout == PV_FLAT)
        return pv_op_bad(op, "takes a PLAIN tensor");
    const int n = x->h.n, c = x->h.c, rows = c + (mask != NULL), chunks = plain_chunks(pv_voxels(&x->h));
    pv_tensor *y = pv_tensor_new(t->dev, pv_flat(by_class ? c : n), PV_F32), *all[] = {x, mask};
    if (pv_pin_all(2, all) && y && pv_is_ref(x)) {
        double *part = pv_array(double, n * rows), *out = pv_ref_data(y);
        ref_red_sum(RED_X, pv_ref_data(x), NULL, mask ? pv_ref_data(mask) : NULL, part, n, c, pv_voxels(&x->h));
        for (int i = 0; i < y->h.n; i++)
            out[i] = 0;
        for (int s = 0; s < n; s++)
            for (int k = 0; k < c; k++)
                out[by_class ? k : s] += part[s * rows + k];
        pv_free(part);
    } else if (y) {
        pv_tensor *part = run_sum(op, RED_X, x, NULL, mask);
        struct plain_rows r = {.rows = n, .cols = c * chunks, .inner = c * chunks, .rs = rows * chunks, .scale = 1};
        if (by_class)
            r = (struct plain_rows){.rows = c, .cols = n * chunks, .inner = chunks, .so = rows * chunks,
                                    .rs = chunks, .scale = 1};
        plain_row_sum(op, part, y, r);
        pv_tensor_put(&part);
    }
    pv_unpin_all(2, all);
    record(t, op, x, NULL, mask, NULL, y, (struct red_aux){.form = RED_X, .dys = !by_class, .dyk = by_class});
    return y;
}

pv_tensor *pv_sum_samples(pv_tape *t, pv_tensor *x, pv_tensor *mask)
{
    return sums(t, "sum_samples", x, mask, false);
}

pv_tensor *pv_sum_classes(pv_tape *t, pv_tensor *x, pv_tensor *mask)
{
    return sums(t, "sum_classes", x, mask, true);
}
