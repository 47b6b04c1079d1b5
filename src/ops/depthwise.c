/* SPDX-License-Identifier: Apache-2.0
 * Depthwise convolution: shapes, the tape, launches over blocks or, where one exceeds a binding, over x-planes with
 * their neighbours. The data gradient is the same kernel with reversed taps. */
#include "ops/depthwise.h"

#include "ops/args/depthwise.h"
#include "ops/conv_impl.h"
#include "ops/depthwise_impl.h"
#include "ops/span.h"

#define BOTH(name, bind) \
    static const struct pv_kernel k_##name[2] = { \
        {"depthwise", "dw_" #name, bind, sizeof(struct a_dw), {64, 1, 1}, NULL}, \
        {"depthwise", "dw_" #name, bind, sizeof(struct a_dw), {1, 1, 1}, NULL}}
BOTH(conv, "rrx");
BOTH(grad, "rrw");
static const struct pv_kernel k_total = {"depthwise", "dw_total", "rx", sizeof(struct a_dw), {64, 1, 1}, NULL};

static struct dw_desc describe(const pv_tensor *x)
{
    return (struct dw_desc){x->h.n, x->h.c, {x->h.s[0], x->h.s[1], x->h.s[2]}, x->h.dims == 2 ? 1 : 3};
}

/* Side 0 needs one plane more on either side (3D: the border is there). Planes count from -border on. */
static void need(const struct span *s, int k, int x0, int nx, int *first, int *count)
{
    int halo = k == 0 ? s->t[0]->h.b[0] : 0;
    *first = x0 - halo;
    *count = nx + 2 * halo;
}

static struct a_dw args_of(const struct span *s, const pv_tensor *x)
{
    struct pv_strides st = pv_strides_of(x);
    return (struct a_dw){.units = s->nu, .u0 = s->u0, .blocks = pv_blocks(x->h.c), .x = s->nx, .y = x->h.s[1],
        .z = x->h.s[2], .kx = x->h.dims == 2 ? 1 : 3, .sb = st.b, .db = st.b, .sp = st.p, .sr = st.r,
        .px = x->h.s[0], .p0 = s->u0 * x->h.s[0] + s->x0, .n = x->h.n, .c = x->h.c};
}

/* Tap (0, 0, 0) of voxel (x0, 0, 0), from where span_bind says voxel (first, 0, 0) is. */
static int first_tap(const struct span *s, const pv_tensor *x, int at)
{
    struct pv_strides st = pv_strides_of(x);
    int halo = x->h.b[0];
    return at - st.r - 16 - (s->whole ? halo * st.p : 0);
}

static void run_conv(const char *label, pv_tensor *src, pv_tensor *w, pv_tensor *dst, bool flip, bool accum)
{
    struct conv_desc d = {.dims = src->h.dims, .ci = 1, .co = src->h.c, .k = {src->h.dims == 2 ? 1 : 3, 3, 3},
                          .stride = 1};
    pv_tensor *packed = conv_packed(w, NULL, &d, PACK_STEM);
    int fat = pv_class(src) == PV_FAT;
    struct span s = {.num = 2, .t = {src, dst}, .planes = dst->h.s[0], .need = need};
    while (packed && span_next(&s)) {
        struct a_dw a = args_of(&s, src);
        struct pv_launch l = {.k = &k_conv[fat], .label = label, .args = &a};
        a.flip = flip;
        a.accum = accum;
        a.s0 = first_tap(&s, src, span_bind(&s, &l, 0, 0));
        pv_bind(&l, 1, packed);
        a.d0 = span_bind(&s, &l, 2, 1);
        uint64_t rows = (uint64_t)a.units * (uint64_t)a.x * (uint64_t)a.y;
        pv_run_items(src->dev, &l, fat ? rows : rows * (uint64_t)a.z * 4);
    }
}

/* All parts at once, or those of one block of one sample after the other. */
static void total(const char *label, pv_tensor *x, pv_tensor *part, pv_tensor *dw, int taps, bool accum)
{
    int blocks = pv_blocks(x->h.c);
    int64_t unit = (int64_t)x->h.s[0] * taps * 16;
    bool whole = span_fits(part, part->h.n);
    struct a_dw a = {.kx = taps / 9, .px = x->h.s[0], .n = x->h.n, .c = x->h.c, .blocks = blocks, .accum = accum};
    struct pv_launch l = {.k = &k_total, .label = label, .args = &a};
    for (int u = 0; u < (whole ? 1 : span_units(x)); u++) {
        int c0 = u % blocks * 16;
        if (!whole) {
            a.n = a.blocks = 1;
            a.c = pv_min(16, x->h.c - c0);
            a.accum = accum || u >= blocks;
        }
        pv_bind_range(&l, 0, part, u * unit, whole ? part->h.n : unit);
        pv_bind_range(&l, 1, dw, c0 * taps, a.c * taps);
        pv_run_items(x->dev, &l, (uint64_t)(a.c * taps));
    }
}

static void run_wgrad(const char *label, pv_tensor *x, pv_tensor *dy, pv_tensor *dw, bool accum)
{
    int fat = pv_class(x) == PV_FAT, taps = x->h.dims == 2 ? 9 : 27;
    pv_tensor *part = pv_tensor_new(x->dev, pv_flat(span_units(x) * x->h.s[0] * taps * 16), PV_F32);
    struct span s = {.num = 2, .t = {x, dy}, .planes = x->h.s[0], .need = need};
    while (part && span_next(&s)) {
        struct a_dw a = args_of(&s, x);
        struct pv_launch l = {.k = &k_grad[fat], .label = label, .args = &a};
        a.s0 = first_tap(&s, x, span_bind(&s, &l, 0, 0));
        a.d0 = span_bind(&s, &l, 1, 1);
        int64_t first = (int64_t)a.p0 * taps * 16;      /* parts of this launch only: they may exceed a binding */
        a.p0 = 0;
        pv_bind_range(&l, 2, part, first, (int64_t)((a.units - 1) * a.px + a.x) * taps * 16);
        pv_groups(x->dev, &l, (uint64_t)a.units * (uint64_t)a.x * (uint64_t)(fat ? 1 : taps));
        pv_run(x->dev, &l);
    }
    if (part)
        total(label, x, part, dw, taps, accum);
    pv_tensor_put(&part);
}

static void backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *x = n->in[0], *w = n->in[1], *dy = pv_out_grad(n, 0);
    struct dw_desc d = describe(x);
    bool ax, aw;
    pv_tensor *dx = pv_grad_slot(t, x, &ax), *dw = pv_grad_slot(t, w, &aw);
    if (pv_is_ref(x) && dx)
        ref_depthwise(pv_ref_data(dy), pv_ref_data(w), pv_ref_data(dx), &d, true, ax);
    else if (dx)
        run_conv("depthwise bwd data", dy, w, dx, true, ax);
    if (!dw || !pv_tensor_pin(x))
        return;
    if (pv_is_ref(x))
        ref_depthwise_wgrad(pv_ref_data(x), pv_ref_data(dy), pv_ref_data(dw), &d, aw);
    else
        run_wgrad("depthwise bwd weight", x, dy, dw, aw);
    pv_tensor_unpin(x);
}

pv_tensor *pv_depthwise(pv_tape *t, pv_tensor *x, pv_tensor *w)
{
    pv_ops_init();
    pv_tensor *in[] = {x, w};
    if (!pv_op_ready(t, 2, in))
        return NULL;
    struct dw_desc d = describe(x);
    if (x->h.layout != PV_BLOCKED || x->type != PV_F32 || w->h.layout != PV_FLAT || w->h.n != d.c * d.kx * 9)
        return pv_op_bad("depthwise", "%d weights for a map of %d channels", w->h.n, d.c);
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32);
    if (y && pv_tensor_pin(x)) {
        if (pv_is_ref(x))
            ref_depthwise(pv_ref_data(x), pv_ref_data(w), pv_ref_data(y), &d, false, false);
        else
            run_conv("depthwise", x, w, y, false, false);
        pv_tensor_unpin(x);
    }
    if (y && pv_tape_wants(t, 2, in))
        pv_tape_record(t, "depthwise", backward, 2, in, 1, &y, NULL, 0);
    return y;
}
