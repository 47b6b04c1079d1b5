/* SPDX-License-Identifier: Apache-2.0
 * Resizing: shapes, the tape, launches. A share of a launch is a run of walked x-planes and the planes of the other
 * grid that they touch. */
#include "ops/resize.h"

#include "ops/args/resize.h"
#include "ops/resize_impl.h"
#include "ops/span.h"

enum { MAX_SIDE = 16384 };      /* keeps RS_NUM within 32 bits */

#define KERNELS(name, bind, wg) \
    {{"resize", name, bind, sizeof(struct a_resize), {wg, 1, 1}, NULL}, \
     {"resize", name "_p", bind, sizeof(struct a_resize), {wg, 1, 1}, NULL}}
/* [fat][linear][backward][plain] */
static const struct pv_kernel kernels[2][2][2][2] = {
    {{KERNELS("near_fwd", "rw", 64), KERNELS("near_bwd", "rx", 64)},
     {KERNELS("lin_fwd", "rw", 64), KERNELS("lin_bwd", "rx", 64)}},
    {{KERNELS("near_fwd", "rw", 1), KERNELS("near_bwd", "rx", 1)},
     {KERNELS("lin_fwd", "rw", 1), KERNELS("lin_bwd", "rx", 1)}}};

struct plan { int ni, no, align, near, back; };     /* along x */

/* Planes of src (side 0) that walked planes [x0, x0 + nx) touch. */
static void need(const struct span *s, int k, int x0, int nx, int *first, int *count)
{
    const struct plan *p = s->ctx;
    int last = x0 + nx - 1, lo, hi;
    if (k == 1)
        return;
    if (p->near && !p->back) {
        lo = RS_NEAR(x0, p->ni, p->no);
        hi = RS_NEAR(last, p->ni, p->no) + 1;
    } else if (p->near) {
        lo = RS_NLO(x0, p->ni, p->no);
        hi = RS_NLO(last + 1, p->ni, p->no);
    } else if (!p->back) {
        int den = RS_DEN(p->no, p->align);
        lo = RS_NUM(x0, p->ni, p->no, p->align) / den;
        hi = pv_min(RS_NUM(last, p->ni, p->no, p->align) / den + 2, p->ni);
    } else {
        lo = RS_LO(x0, p->ni, p->no, p->align);
        hi = RS_HI(last, p->ni, p->no, p->align);
    }
    *first = pv_min(lo, s->t[0]->h.s[0] - 1);
    *count = pv_max(hi - *first, 1);
}

/* dst (+)= resized src; back: dst is a gradient on the input grid `in`, src one on the output grid `out`. */
static void run(pv_tensor *src, pv_tensor *dst, const int in[3], const int out[3], enum pv_resize mode, bool back,
                bool accum)
{
    bool fat = pv_class(dst) == PV_FAT, plain = dst->h.layout == PV_PLAIN, near = mode == PV_NEAREST;
    struct plan p = {in[0], out[0], mode == PV_LINEAR_CORNERS, near, back};
    struct span s = {.num = 2, .t = {src, dst}, .planes = dst->h.s[0], .need = need, .ctx = &p};
    struct pv_strides ss = pv_strides_of(src), ds = pv_strides_of(dst);
    while (span_next(&s)) {
        struct a_resize a = {.units = s.nu, .x = s.nx, .y = dst->h.s[1], .z = dst->h.s[2], .x0 = s.x0,
            .s0 = s.first[0], .ix = in[0], .iy = in[1], .iz = in[2], .ox = out[0], .oy = out[1], .oz = out[2],
            .su = ss.b, .sp = ss.p, .sr = ss.r, .du = ds.b, .dp = ds.p, .dr = ds.r, .align = p.align,
            .accum = accum};
        struct pv_launch l = {.k = &kernels[fat][!near][back][plain], .label = back ? "resize bwd" : "resize fwd",
                              .args = &a};
        a.so = span_bind(&s, &l, 0, 0);
        a.dd = span_bind(&s, &l, 1, 1);
        uint64_t rows = (uint64_t)s.nu * (uint64_t)s.nx * (uint64_t)a.y;
        pv_run_items(dst->dev, &l, fat ? rows : rows * (uint64_t)a.z * (plain ? 1 : 4));
    }
}

static void resize_backward(pv_tape *t, struct pv_node *n)
{
    enum pv_resize mode = *(enum pv_resize *)(void *)n->aux;
    pv_tensor *dy = pv_out_grad(n, 0);
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, n->in[0], &accum);
    if (dx && pv_is_ref(dx))
        ref_resize_back(pv_ref_data(dy), pv_ref_data(dx), dx->h.n * dx->h.c, dx->h.s, dy->h.s, mode, accum);
    else if (dx)
        run(dy, dx, dx->h.s, dy->h.s, mode, true, accum);
}

static pv_tensor *resize(pv_tape *t, pv_tensor *x, const int s[3], enum pv_resize mode, bool record)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    bool ok = x->h.layout != PV_FLAT && (x->type == PV_F32 || (x->type == PV_I32 && mode == PV_NEAREST));
    for (int i = 0; i < 3; i++)
        ok = ok && s[i] >= 1 && s[i] <= MAX_SIDE && x->h.s[i] <= MAX_SIDE;
    if (!ok || (x->h.dims == 2 && s[0] != 1)) {
        char text[80];
        return pv_op_bad("resize", "%s to %dx%dx%d", pv_shape_text(&x->h, text), s[0], s[1], s[2]);
    }
    struct pv_shape h = x->h;
    for (int i = 0; i < 3; i++)
        h.s[i] = s[i];
    if (pv_shape_eq(&h, &x->h) && (record || !x->needs_grad))
        return pv_tensor_ref(x);
    pv_tensor *y = pv_tensor_new(t->dev, h, x->type);
    if (!y)
        return NULL;
    if (pv_tensor_pin(x)) {
        if (pv_is_ref(x))
            ref_resize(pv_ref_data(x), pv_ref_data(y), h.n * h.c, x->h.s, s, mode);
        else
            run(x, y, x->h.s, s, mode, false, false);
        pv_tensor_unpin(x);
    }
    if (record && pv_tape_wants(t, 1, &x))
        pv_tape_record(t, "resize", resize_backward, 1, &x, 1, &y, &mode, sizeof mode);
    return y;
}

pv_tensor *pv_resize(pv_tape *t, pv_tensor *x, const int s[3], enum pv_resize mode)
{
    return resize(t, x, s, mode, true);
}

pv_tensor *pv_resize_const(pv_tape *t, pv_tensor *x, const int s[3], enum pv_resize mode)
{
    return resize(t, x, s, mode, false);
}

pv_tensor *pv_resize_up(pv_tape *t, pv_tensor *x, enum pv_resize mode)
{
    if (!x)
        return NULL;
    int s[] = {x->h.s[0] * (x->h.dims == 2 ? 1 : 2), x->h.s[1] * 2, x->h.s[2] * 2};
    return pv_resize(t, x, s, mode);
}
