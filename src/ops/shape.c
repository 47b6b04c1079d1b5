/* SPDX-License-Identifier: Apache-2.0
 * Concatenation, slices, layouts, max pooling: shapes, the tape, and the choice between kernels and references. A
 * gradient of a part starts from a zeroed tensor. */
#include "ops/shape.h"

#include "ops/shape_impl.h"

static void copy(const char *label, struct shape_part d, struct shape_part s, int n, int c, bool accum)
{
    if (pv_is_ref(d.t))
        ref_copy(pv_ref_data(d.t), d.t->h.c, d.n0, d.c0, pv_ref_data(s.t), s.t->h.c, s.n0, s.c0, n, c,
                 pv_voxels(&d.t->h), accum);
    else
        shape_run_copy(label, d, s, n, c, accum);
}

/* Gradient of x, whose part (n0, c0) became all of y: samples and channels of y. */
static void part_backward(pv_tape *t, pv_tensor *x, int n0, int c0, pv_tensor *dy, const char *label)
{
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, x, &accum);
    if (!dx)
        return;
    if (!accum && (dy->h.n != dx->h.n || dy->h.c != dx->h.c))
        pv_tensor_zero(dx);
    copy(label, (struct shape_part){dx, n0, c0}, (struct shape_part){dy, 0, 0}, dy->h.n, dy->h.c, accum);
}

/* ---- concatenation of channels ---- */

static void concat_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *dy = pv_out_grad(n, 0);
    int c0 = 0;
    for (int i = 0; i < n->num_in; i++) {
        pv_tensor *x = n->in[i];
        bool accum;
        pv_tensor *dx = pv_grad_slot(t, x, &accum);
        if (dx)
            copy("concat bwd", (struct shape_part){dx, 0, 0}, (struct shape_part){dy, 0, c0}, x->h.n, x->h.c,
                 accum);
        c0 += x->h.c;
    }
}

pv_tensor *pv_concat(pv_tape *t, pv_tensor *a, pv_tensor *b)
{
    pv_ops_init();
    pv_tensor *in[] = {a, b};
    if (!pv_op_ready(t, 2, in))
        return NULL;
    if (!pv_same_grid(&a->h, &b->h) || a->h.layout != b->h.layout || a->h.layout == PV_FLAT || a->type != b->type ||
        a->type == PV_F16) {
        char ta[80], tb[80];
        return pv_op_bad("concat", "%s and %s", pv_shape_text(&a->h, ta), pv_shape_text(&b->h, tb));
    }
    struct pv_shape h = a->h;
    h.c = a->h.c + b->h.c;
    pv_tensor *y = pv_tensor_new(t->dev, h, a->type);
    if (!y)
        return NULL;
    for (int i = 0, c0 = 0; i < 2; c0 += in[i++]->h.c)
        if (pv_tensor_pin(in[i])) {
            copy("concat fwd", (struct shape_part){y, 0, c0}, (struct shape_part){in[i], 0, 0}, h.n, in[i]->h.c,
                 false);
            pv_tensor_unpin(in[i]);
        }
    if (pv_tape_wants(t, 2, in))
        pv_tape_record(t, "concat", concat_backward, 2, in, 1, &y, NULL, 0);
    return y;
}

/* ---- samples ---- */

static void slice_backward(pv_tape *t, struct pv_node *n)
{
    const int *first = (const int *)(const void *)n->aux;
    part_backward(t, n->in[0], first[0], first[1], pv_out_grad(n, 0), "slice bwd");
}

static pv_tensor *slice(pv_tape *t, pv_tensor *x, int n0, int n, int c0, int c)
{
    struct pv_shape h = x->h;
    h.n = n;
    h.c = c;
    pv_tensor *y = pv_tensor_new(t->dev, h, x->type);
    if (!y)
        return NULL;
    if (pv_tensor_pin(x)) {
        copy("slice fwd", (struct shape_part){y, 0, 0}, (struct shape_part){x, n0, c0}, n, c, false);
        pv_tensor_unpin(x);
    }
    int first[] = {n0, c0};
    if (pv_tape_wants(t, 1, &x))
        pv_tape_record(t, "slice", slice_backward, 1, &x, 1, &y, first, sizeof first);
    return y;
}

pv_tensor *pv_slice_samples(pv_tape *t, pv_tensor *x, int first, int n)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout == PV_FLAT || x->type == PV_F16 || first < 0 || n < 1 || first > x->h.n - n)
        return pv_op_bad("slice_samples", "samples %d to %d of %d", first, first + n - 1, x->h.n);
    return slice(t, x, first, n, 0, x->h.c);
}

pv_tensor *pv_slice_channels(pv_tape *t, pv_tensor *x, int first, int n)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_PLAIN || x->type == PV_F16 || first < 0 || n < 1 || first > x->h.c - n)
        return pv_op_bad("slice_channels", "channels %d to %d of %d, PLAIN only", first, first + n - 1, x->h.c);
    return slice(t, x, 0, x->h.n, first, n);
}

static void samples_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *dy = pv_out_grad(n, 0);
    int n0 = 0;
    for (int i = 0; i < n->num_in; i++) {
        pv_tensor *x = n->in[i];
        bool accum;
        pv_tensor *dx = pv_grad_slot(t, x, &accum);
        if (dx)
            copy("concat samples bwd", (struct shape_part){dx, 0, 0}, (struct shape_part){dy, n0, 0}, x->h.n,
                 x->h.c, accum);
        n0 += x->h.n;
    }
}

pv_tensor *pv_concat_samples(pv_tape *t, int num, pv_tensor *const *xs)
{
    pv_ops_init();
    if (!pv_op_ready(t, num, xs))
        return NULL;
    if (num < 1 || num > PV_NODE_IN)
        return pv_op_bad("concat_samples", "%d tensors, 1 to %d are possible", num, PV_NODE_IN);
    struct pv_shape h = xs[0]->h;
    for (int i = 1; i < num; i++) {
        struct pv_shape other = xs[i]->h;
        int n = other.n;
        other.n = xs[0]->h.n;
        if (!pv_shape_eq(&other, &xs[0]->h) || xs[i]->type != xs[0]->type)
            return pv_op_bad("concat_samples", "tensor %d has another shape or type than the first", i);
        h.n += n;
    }
    if (h.layout == PV_FLAT || xs[0]->type == PV_F16)
        return pv_op_bad("concat_samples", "PLAIN or BLOCKED only");
    pv_tensor *y = pv_tensor_new(t->dev, h, xs[0]->type);
    if (!y)
        return NULL;
    for (int i = 0, n0 = 0; i < num; n0 += xs[i++]->h.n)
        if (pv_tensor_pin(xs[i])) {
            copy("concat samples fwd", (struct shape_part){y, n0, 0}, (struct shape_part){xs[i], 0, 0}, xs[i]->h.n,
                 h.c, false);
            pv_tensor_unpin(xs[i]);
        }
    if (pv_tape_wants(t, num, xs))
        pv_tape_record(t, "concat_samples", samples_backward, num, xs, 1, &y, NULL, 0);
    return y;
}

/* ---- layouts ---- */

static void relayout(const char *label, pv_tensor *dst, pv_tensor *src, bool accum)
{
    bool back = dst->h.layout == PV_BLOCKED;
    if (pv_is_ref(dst))
        ref_copy(pv_ref_data(dst), dst->h.c, 0, 0, pv_ref_data(src), src->h.c, 0, 0, dst->h.n, dst->h.c,
                 pv_voxels(&dst->h), accum);
    else
        shape_run_layout(label, back ? src : dst, back ? dst : src, back, accum);
}

static void layout_backward(pv_tape *t, struct pv_node *n)
{
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, n->in[0], &accum);
    if (dx)
        relayout("layout bwd", dx, pv_out_grad(n, 0), accum);
}

static pv_tensor *change_layout(pv_tape *t, pv_tensor *x, struct pv_shape h, const char *op)
{
    pv_tensor *y = pv_tensor_new(t->dev, h, PV_F32);
    if (!y)
        return NULL;
    if (pv_tensor_pin(x)) {
        relayout("layout fwd", y, x, false);
        pv_tensor_unpin(x);
    }
    if (pv_tape_wants(t, 1, &x))
        pv_tape_record(t, op, layout_backward, 1, &x, 1, &y, NULL, 0);
    return y;
}

pv_tensor *pv_to_plain(pv_tape *t, pv_tensor *x)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_BLOCKED || x->type != PV_F32)
        return pv_op_bad("to_plain", "takes a BLOCKED map");
    return change_layout(t, x, pv_plain(x->h.dims, x->h.n, x->h.c, x->h.s), "to_plain");
}

pv_tensor *pv_to_blocked(pv_tape *t, pv_tensor *x)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_PLAIN || x->type != PV_F32)
        return pv_op_bad("to_blocked", "takes a PLAIN tensor of floats");
    return change_layout(t, x, pv_blocked(x->h.dims, x->h.n, x->h.c, x->h.s), "to_blocked");
}

/* ---- other views of the same memory ---- */

static void reshape_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *x = n->in[0], *dy = pv_out_grad(n, 0), *g = NULL;
    if (pv_grad_is_own(n, 0)) {
        g = pv_tensor_reshaped(dy, x->h);
    } else {        /* somebody else's too: what x adds to it must not reach them */
        g = pv_tensor_new(t->dev, x->h, x->type);
        pv_tensor_copy(g, dy);
    }
    pv_grad_give(t, x, g);
}

static bool is_dense(const struct pv_shape *h)
{
    return h->layout == PV_FLAT || (h->layout == PV_PLAIN && h->b[0] + h->b[1] + h->b[2] == 0);
}

pv_tensor *pv_reshape(pv_tape *t, pv_tensor *x, struct pv_shape h)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    char a[80], b[80];
    if (!is_dense(&x->h) || !is_dense(&h) || pv_shape_count(&x->h) != pv_shape_count(&h))
        return pv_op_bad("reshape", "%s to %s", pv_shape_text(&x->h, a), pv_shape_text(&h, b));
    pv_tensor *y = pv_tensor_reshaped(x, h);
    if (y && x->type != PV_I32 && pv_tape_wants(t, 1, &x))
        pv_tape_record(t, "reshape", reshape_backward, 1, &x, 1, &y, NULL, 0);
    return y;
}

static void slice_flat_backward(pv_tape *t, struct pv_node *n)
{
    const int *first = (const int *)(const void *)n->aux;
    pv_tensor *dy = pv_out_grad(n, 0);
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, n->in[0], &accum);
    if (!dx)
        return;
    if (!accum)
        pv_tensor_zero(dx);
    pv_tensor *part = pv_tensor_view(dx, (size_t)*first, dy->h.n);
    if (part)
        pv_tape_add(part, dy);
    pv_tensor_put(&part);
}

pv_tensor *pv_slice_flat(pv_tape *t, pv_tensor *x, int first, int n)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_FLAT || first < 0 || n < 1 || first > x->h.n - n || !x->buf)
        return pv_op_bad("slice_flat", "elements %d to %d of %d", first, first + n - 1, x->h.n);
    pv_tensor *y = pv_tensor_view(x, (size_t)first, n);
    if (y && x->type != PV_I32 && pv_tape_wants(t, 1, &x))
        pv_tape_record(t, "slice_flat", slice_flat_backward, 1, &x, 1, &y, &first, sizeof first);
    return y;
}

/* ---- pooling ---- */

static void pool_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *x = n->in[0], *dy = pv_out_grad(n, 0);
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, x, &accum);
    if (!dx || !pv_tensor_pin(x))
        return;
    if (pv_is_ref(x))
        ref_pool_back(pv_ref_data(x), pv_ref_data(dy), pv_ref_data(dx), x->h.n * x->h.c, x->h.s, dy->h.s,
                      x->h.dims == 2 ? 1 : 2, accum);
    else
        shape_run_pool_back(x, dy, dx, accum);
    pv_tensor_unpin(x);
}

pv_tensor *pv_max_pool(pv_tape *t, pv_tensor *x)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    int flat = x->h.dims == 2, s[3] = {flat ? 1 : x->h.s[0] / 2, x->h.s[1] / 2, x->h.s[2] / 2};
    if (x->h.layout != PV_BLOCKED || x->type != PV_F32 || s[0] < 1 || s[1] < 1 || s[2] < 1) {
        char text[80];
        return pv_op_bad("max_pool", "takes BLOCKED maps with sides of at least 2, not %s",
                         pv_shape_text(&x->h, text));
    }
    pv_tensor *y = pv_tensor_new(t->dev, pv_blocked(x->h.dims, x->h.n, x->h.c, s), PV_F32);
    if (!y)
        return NULL;
    if (pv_tensor_pin(x)) {
        if (pv_is_ref(x))
            ref_pool(pv_ref_data(x), pv_ref_data(y), x->h.n * x->h.c, x->h.s, s, flat ? 1 : 2);
        else
            shape_run_pool(x, y);
        pv_tensor_unpin(x);
    }
    if (pv_tape_wants(t, 1, &x))
        pv_tape_record(t, "max_pool", pool_backward, 1, &x, 1, &y, NULL, 0);
    return y;
}
