/* SPDX-License-Identifier: Apache-2.0
 * Launches at the network's edges: the stem (few-channel image to BLOCKED) and the head (BLOCKED to few logits).
 * What exceeds one binding is split by samples, then by one block and a few x-planes of the BLOCKED side. */
#include "ops/args/conv.h"
#include "ops/conv_impl.h"
#include "ops/span.h"

static const struct pv_kernel fat_pad = {"conv_aux", "pad_plain", "rw", sizeof(struct a_pad), {1, 1, 1}, NULL};
static const struct pv_kernel simt_pad = {"conv_aux", "pad_plain", "rw", sizeof(struct a_pad), {64, 1, 1}, NULL};
static const struct pv_kernel fat_stem = {"conv_aux", "stem_fwd", "rrw", sizeof(struct a_stem), {1, 1, 1}, NULL};
static const struct pv_kernel simt_stem = {"conv_aux", "stem_fwd", "rrww", sizeof(struct a_stem), {64, 1, 1}, NULL};
static const struct pv_kernel fat_stem_w = {"conv_aux", "stem_wgrad", "rrw", sizeof(struct a_stem), {1, 1, 1},
                                            NULL};
static const struct pv_kernel simt_stem_w = {"conv_aux", "stem_wgrad", "rrw", sizeof(struct a_stem), {64, 1, 1},
                                             NULL};
static const struct pv_kernel k_stem_sum = {"conv_aux", "stem_wsum", "rx", sizeof(struct a_wsum), {64, 1, 1},
                                            NULL};
static const struct pv_kernel fat_head = {"conv_aux", "head_fwd", "rrrx", sizeof(struct a_head), {1, 1, 1}, NULL};
static const struct pv_kernel simt_head = {"conv_aux", "head_fwd", "rrrx", sizeof(struct a_head), {64, 1, 1}, NULL};
static const struct pv_kernel fat_head_d = {"conv_aux", "head_dgrad", "rrx", sizeof(struct a_head), {1, 1, 1}, NULL};
static const struct pv_kernel simt_head_d = {"conv_aux", "head_dgrad", "rrx", sizeof(struct a_head), {64, 1, 1},
                                             NULL};
static const struct pv_kernel fat_head_w = {"conv_aux", "head_wgrad", "rrw", sizeof(struct a_head), {1, 1, 1}, NULL};
static const struct pv_kernel simt_head_w = {"conv_aux", "head_wgrad", "rrw", sizeof(struct a_head), {64, 1, 1},
                                             NULL};
static const struct pv_kernel k_head_sum = {"conv_aux", "head_wsum", "rx", sizeof(struct a_wsum), {64, 1, 1},
                                            NULL};

/* ---- stem ---- */

pv_tensor *stem_pad(pv_tensor *x, const struct conv_desc *d)
{
    struct pv_shape h = x->h;
    for (int i = 0; i < 3; i++)
        h.b[i] = d->pad[i];
    pv_tensor *p = pv_tensor_new(x->dev, h, PV_F32);
    if (!p)
        return NULL;
    struct a_pad a = {.x = h.s[0], .y = h.s[1], .z = h.s[2], .bx = h.b[0], .by = h.b[1], .bz = h.b[2]};
    bool fat = pv_class(p) == PV_FAT;
    struct pv_launch l = {.k = fat ? &fat_pad : &simt_pad, .label = "pad image", .args = &a};
    pv_tensor *both[] = {x, p};
    int64_t unit[] = {pv_shape_block(&x->h), pv_shape_block(&h)};
    for (int u = 0, left = x->h.n * x->h.c; left > 0;) {
        int m = pv_units_per_launch(x->dev, 2, both, unit, NULL, u, left);
        a.planes = m;
        pv_bind_range(&l, 0, x, u * unit[0], m * unit[0]);
        pv_bind_range(&l, 1, p, u * unit[1], m * unit[1]);
        pv_run_items(x->dev, &l, fat ? (uint64_t)m * (uint64_t)(h.s[0] + 2 * h.b[0]) : (uint64_t)(m * unit[1]));
        u += m;
        left -= m;
    }
    return p;
}

static struct a_stem stem_args(const pv_tensor *padded, const pv_tensor *y, const struct conv_desc *d)
{
    struct pv_strides ps = pv_strides_of(padded), ys = pv_strides_of(y);
    return (struct a_stem){.ci = d->ci, .y = y->h.s[1], .z = y->h.s[2], .k = d->k[2], .kx = d->k[0], .sn = ps.n,
                           .sc = ps.b, .sp = ps.p, .sr = ps.r, .dn = ys.n, .db = ys.b, .dp = ys.p, .dr = ys.r};
}

void stem_run_fwd(const char *label, pv_tensor *padded, pv_tensor *packed, pv_tensor *y,
                  const struct conv_desc *d, bool bias)
{
    if (!packed || pv_dev_failed(y->dev))
        return;
    int inner = d->ci * conv_taps(d), all = pv_blocks(d->co) * inner * 16;
    for (struct piece p = {0}; piece_next(&p, 2, (pv_tensor *[]){y, padded});) {
        struct a_stem a = stem_args(padded, y, d);
        struct pv_launch l = {.k = pv_class(y) == PV_FAT ? &fat_stem : &simt_stem, .label = label, .args = &a};
        a.n = p.nn;
        a.kb = p.nb;
        a.x = p.nx;
        a.so = p.x0 * a.sp;
        a.bias = bias ? all - p.b0 * inner * 16 + p.b0 * 16 : -1;
        pv_bind_samples(&l, 0, padded, p.n0, p.nn);
        pv_bind_range(&l, 1, packed, (int64_t)p.b0 * inner * 16, pv_shape_stored(&packed->h) -
                      (int64_t)p.b0 * inner * 16);
        a.dst0 = piece_bind(&l, 2, y, &p);
        l.flops = 32.0 * a.n * a.kb * inner * a.x * a.y * a.z;
        if (l.k == &fat_stem) {
            pv_groups(y->dev, &l, (uint64_t)a.n * (uint64_t)a.kb * (uint64_t)a.x * (uint64_t)a.y);
            pv_run(y->dev, &l);
            continue;
        }
        pv_groups(y->dev, &l, (uint64_t)pv_ceil_div(a.x * a.y * a.z, 64));
        l.groups[2] = (uint32_t)(a.n * a.kb);
        struct pv_stats s = {NULL, a.n, {1, 1, a.x * a.y * a.z}, {1, 1, 64}};
        a.stats = conv_stats_room(&l, p.whole && p.nn == y->h.n ? y : NULL, &s);
        pv_run(y->dev, &l);
        if (s.part)
            pv_tensor_set_stats(y, &s);
    }
}

void stem_run_wgrad(const char *label, pv_tensor *padded, pv_tensor *dy, pv_tensor *dw,
                    const struct conv_desc *d, bool accum)
{
    pv_dev *dev = dw->dev;
    int taps = conv_taps(d), inner = d->ci * taps;
    bool fat = pv_class(dy) == PV_FAT;
    for (struct piece p = {0}; piece_next(&p, 2, (pv_tensor *[]){dy, padded}) && !pv_dev_failed(dev);) {
        struct a_stem a = stem_args(padded, dy, d);
        a.n = p.nn;
        a.kb = p.nb;
        a.x = p.nx;
        a.so = p.x0 * a.sp;
        a.planes = p.nn * a.x;
        uint64_t most = pv_dev_get_info(dev)->limits.max_binding / ((uint64_t)p.nb * (uint64_t)inner * 64);
        int slabs = pv_min(a.planes, most < 1 ? 1 : most < 16 ? (int)most : 16);
        a.slab = pv_ceil_div(a.planes, slabs);
        slabs = pv_ceil_div(a.planes, a.slab);
        pv_tensor *part = pv_tensor_new(dev, pv_flat(slabs * p.nb * inner * 16), PV_F32);
        if (!part)
            return;
        int parts = !fat ? inner : inner / (taps == 27 ? 27 : d->k[2]);     /* of one block's weights */
        struct pv_launch l = {.k = fat ? &fat_stem_w : &simt_stem_w, .label = label, .args = &a,
                              .groups = {(uint32_t)slabs, (uint32_t)p.nb, (uint32_t)parts}};
        l.flops = 32.0 * p.nb * inner * a.planes * a.y * a.z;
        if (!fat) {
            pv_groups(dev, &l, (uint64_t)parts);
            l.groups[2] = (uint32_t)(slabs * p.nb);
        }
        pv_bind_samples(&l, 0, padded, p.n0, p.nn);
        a.dst0 = piece_bind(&l, 1, dy, &p);
        pv_bind(&l, 2, part);
        pv_run(dev, &l);
        struct a_wsum ws = {.slabs = slabs, .vb = p.nb, .taps = taps, .nb = d->ci,
                            .nv = pv_min(p.nb * 16, d->co - p.b0 * 16),
                            .accum = accum || p.n0 > 0 || p.x0 > 0};
        struct pv_launch s = {.k = &k_stem_sum, .label = label, .args = &ws};
        pv_bind(&s, 0, part);
        pv_bind_range(&s, 1, dw, (int64_t)p.b0 * 16 * inner, (int64_t)ws.nv * inner);
        pv_run_items(dev, &s, (uint64_t)(ws.nv * inner));
        pv_tensor_put(&part);
    }
}

/* ---- head ---- */

static struct a_head head_args(const pv_tensor *x, const pv_tensor *y, const struct piece *p)
{
    struct pv_strides xs = pv_strides_of(x), ys = pv_strides_of(y);
    return (struct a_head){.n = p->nn, .ci = pv_min(p->nb * 16, x->h.c - p->b0 * 16), .co = y->h.c,
        .x = p->nx, .y = x->h.s[1], .z = x->h.s[2], .sn = xs.n, .sb = xs.b, .sp = xs.p, .sr = xs.r,
        .dn = ys.n, .dc = ys.b, .row = x->h.c, .c0 = p->b0 * 16};
}

/* Rows in the fat class, else voxels. */
static void run_head(pv_dev *dev, struct pv_launch *l, const struct a_head *a)
{
    pv_run_items(dev, l, (uint64_t)a->n * (uint64_t)a->x * (uint64_t)a->y * (uint64_t)(l->k->wg[0] == 1 ? 1 : a->z));
}

void head_run_fwd(pv_tensor *x, pv_tensor *w, pv_tensor *b, pv_tensor *y)
{
    for (struct piece p = {0}; piece_next(&p, 2, (pv_tensor *[]){x, y});) {
        struct a_head a = head_args(x, y, &p);
        struct pv_launch l = {.k = pv_class(x) == PV_FAT ? &fat_head : &simt_head, .label = "head fwd", .args = &a};
        a.has_bias = b != NULL;
        a.accum = p.b0 > 0;
        a.s0 = piece_bind(&l, 0, x, &p);
        pv_bind(&l, 1, w);
        pv_bind(&l, 2, b ? b : w);
        piece_bind_plain(&l, 3, y, &p);
        run_head(x->dev, &l, &a);
    }
}

void head_run_dgrad(pv_tensor *dy, pv_tensor *w, pv_tensor *dx, bool accum)
{
    for (struct piece p = {0}; piece_next(&p, 2, (pv_tensor *[]){dx, dy});) {
        struct a_head a = head_args(dx, dy, &p);
        struct pv_launch l = {.k = pv_class(dx) == PV_FAT ? &fat_head_d : &simt_head_d, .label = "head bwd data",
                              .args = &a};
        a.accum = accum;
        piece_bind_plain(&l, 0, dy, &p);
        pv_bind(&l, 1, w);
        a.s0 = piece_bind(&l, 2, dx, &p);
        run_head(dx->dev, &l, &a);
    }
}

void head_run_wgrad(pv_tensor *x, pv_tensor *dy, pv_tensor *dw, bool accum_w, pv_tensor *db, bool accum_b)
{
    pv_dev *dev = x->dev;
    for (struct piece p = {0}; piece_next(&p, 2, (pv_tensor *[]){x, dy}) && !pv_dev_failed(dev);) {
        struct a_head a = head_args(x, dy, &p);
        a.planes = a.n * a.x;
        int slabs = pv_min(a.planes, 64);
        a.slab = pv_ceil_div(a.planes, slabs);
        slabs = pv_ceil_div(a.planes, a.slab);
        pv_tensor *part = pv_tensor_new(dev, pv_flat(slabs * a.co * (a.ci + 1)), PV_F32);
        if (!part)
            return;
        bool fat = pv_class(x) == PV_FAT;
        struct pv_launch l = {.k = fat ? &fat_head_w : &simt_head_w, .label = "head bwd weight", .args = &a,
                              .groups = {(uint32_t)slabs, (uint32_t)(fat ? pv_blocks(a.ci) : a.co), 1}};
        a.s0 = piece_bind(&l, 0, x, &p);
        piece_bind_plain(&l, 1, dy, &p);
        pv_bind(&l, 2, part);
        pv_run(dev, &l);
        struct a_wsum ws = {.slabs = slabs, .nv = a.co, .nb = a.ci, .row = a.row, .b0 = a.c0};
        struct pv_launch s = {.k = &k_head_sum, .label = "head bwd weight", .args = &ws};
        pv_bind(&s, 0, part);
        if (dw) {
            ws.accum = accum_w || p.n0 > 0 || p.x0 > 0;
            pv_bind(&s, 1, dw);
            pv_run_items(dev, &s, (uint64_t)(a.co * a.ci));
        }
        if (db && p.b0 == 0) {      /* every block would add the same sum: the first does */
            ws.taps = 1;
            ws.accum = accum_b || p.n0 > 0 || p.x0 > 0;
            pv_bind(&s, 1, db);
            pv_run_items(dev, &s, (uint64_t)a.co);
        }
        pv_tensor_put(&part);
    }
}
