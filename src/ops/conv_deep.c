/* SPDX-License-Identifier: Apache-2.0
 * Launches of wino_deep.cl: Winograd's algorithm for many channels at few voxels, from weights as they are. All samples
 * at once; what does not fit a binding is left to other kernels. */
#include "ops/args/wino.h"
#include "ops/conv_impl.h"

static const char *const spec[] = {"T", "NB", "CC", NULL};
static const struct pv_kernel k_in = {"wino_deep", "deep_in", "rwr", sizeof(struct a_deep), {1, 1, 1}, spec};
static const struct pv_kernel k_conv = {"wino_deep", "deep_conv", "rrxrw", sizeof(struct a_deep), {1, 1, 1}, spec};
static const struct pv_kernel k_wgrad = {"wino_deep", "deep_wgrad", "rrxx", sizeof(struct a_deep), {1, 1, 1}, spec};

struct plan { int nb, t, cc; struct a_deep a; int64_t v; };

static bool refuse(const char *why)
{
    pv_debug("ops", "conv: no Winograd of few voxels: %s", why);
    return false;
}

static bool fits(const pv_tensor *t, int64_t elements)
{
    uint64_t bytes = (uint64_t)elements * 4;
    return bytes <= pv_dev_get_info(t->dev)->limits.max_binding && bytes <= pv_buf_segment(t->buf);
}

static int64_t tiles_of(const struct pv_shape *h)
{
    return (int64_t)h->n * pv_ceil_div(h->s[0], 2) * pv_ceil_div(h->s[1], 2) * pv_ceil_div(h->s[2], 2);
}

bool deep_kind(const pv_tensor *src, const struct conv_desc *d)
{
    return wino_kind(src, d) && d->ci % 16 == 0 && d->co % 16 == 0;
}

bool deep_gains(const pv_tensor *src, const pv_tensor *dst, bool grads)
{
    /* few work-items: no more processors than these keep busy. Else by measurement on two. */
    int c = pv_min(src->h.c, dst->h.c);
    int64_t tiles = tiles_of(&dst->h), most = grads ? pv_min(c, 128) : c < 128 ? 96 : INT64_MAX;
    return c >= 64 && tiles <= most && (int)pv_dev_get_info(src->dev)->limits.compute_units <= pv_blocks(dst->h.c) / 2;
}

/* x: what is transformed; y: the other map, of output channels. */
static bool plan(struct plan *p, const pv_tensor *x, const pv_tensor *y, bool grads)
{
    static const int one[] = {12, 10, 8, 6, 4, 2, 1, 0}, two[] = {6, 5, 4, 3, 2, 1, 0};
    const int *s = x->h.s;
    struct a_deep a = {.n = x->h.n, .cb = pv_blocks(x->h.c), .kb = pv_blocks(y->h.c), .x = s[0], .y = s[1], .z = s[2],
                       .tx = pv_ceil_div(s[0], 2), .ty = pv_ceil_div(s[1], 2), .tz = pv_ceil_div(s[2], 2)};
    int plane = a.ty * a.tz, best = 1 << 30;
    if (plane > 64)
        return refuse("too many tiles of a plane");
    a.groups = pv_ceil_div(a.tx, pv_min(a.tx, 64 / plane));
    a.planes = pv_ceil_div(a.tx, a.groups);
    a.groups = pv_ceil_div(a.tx, a.planes);
    a.num = a.planes * plane;
    a.kg = a.kb % 2 == 0 && (!grads || 2 * a.n * a.groups * a.num <= 256) ? 2 : 1;
    p->nb = a.kg > 1 ? 2 : 1;
    p->cc = p->nb == 2 ? 8 : 16;
    p->t = 1;
    const int *list = p->nb == 2 ? two : one;
    for (int i = 0; list[i] && !grads; i++) {
        int cost = pv_ceil_div(a.num, list[i]) * (list[i] * 10 + 6);
        if (cost < best) {
            best = cost;
            p->t = list[i];
        }
    }
    a.nt = pv_ceil_div(a.num, p->t) * p->t;
    int sums = 32 * (a.nt | 1) * 16;
    /* some of the input blocks at a time, then the sums of all tiles must have room */
    for (a.cs = a.cb; !grads && a.cs * a.kg > DEEP_MOST && a.cs % 2 == 0;)
        a.cs /= 2;
    if (grads ? a.n * a.groups * a.num > 256
              : a.cs * a.kg > DEEP_MOST || (a.cs < a.cb && (int64_t)a.kg * a.n * a.groups * sums > DEEP_OUT))
        return refuse("too much for the scratch of a work-item");
    /* pieces of T tiles, all blocks of one after another; or each block's frequencies. Powers of two would share cache
     * sets. */
    a.tt = grads ? a.nt : p->t;
    a.vc = grads ? 64 * a.nt * 16 + 16 : a.tt * 16;
    a.vt = grads ? 0 : a.cb * a.tt * 16;
    a.vf = grads ? a.nt * 16 : a.cb * a.nt * 16 + 16;
    a.vg = grads ? a.cb * a.vc : 64 * a.vf;
    p->v = (int64_t)a.n * a.groups * a.vg;
    struct pv_strides ss = pv_strides_of(x), ds = pv_strides_of(y);
    a.sn = ss.n, a.sb = ss.b, a.sp = ss.p, a.sr = ss.r;
    a.dn = ds.n, a.db = ds.b, a.dp = ds.p, a.dr = ds.r, a.dst0 = ds.first;
    p->a = a;
    return true;
}

static bool can(struct plan *p, const pv_tensor *x, const pv_tensor *y, const pv_tensor *w, bool grads)
{
    if (!plan(p, x, y, grads))
        return false;
    if (!fits(x, pv_shape_stored(&x->h)) || !fits(y, pv_shape_stored(&y->h)) || !fits(w, w->h.n) ||
        (uint64_t)p->v * 4 > pv_dev_get_info(x->dev)->limits.max_binding)
        return refuse("a map, its transform or the weights exceed a binding");
    return true;
}

/* A new reference; NULL: the device failed. */
static pv_tensor *transformed(const char *label, const struct conv_in *in, struct plan *p)
{
    pv_tensor *v = pv_tensor_new(in->t->dev, pv_flat((int)p->v), PV_F32);
    if (!v)
        return NULL;
    p->a.norm = in->norm.table != NULL;
    p->a.row = in->norm.rows > 1 ? p->a.cb * 64 : 0;
    p->a.slope = in->norm.slope;
    struct pv_launch l = {.k = &k_in, .label = label, .args = &p->a, .spec = {p->t, p->nb, p->cc},
                          .groups = {(uint32_t)p->a.cb, (uint32_t)p->a.groups, (uint32_t)p->a.n}};
    pv_bind(&l, 0, in->t);
    pv_bind(&l, 1, v);
    pv_bind(&l, 2, in->norm.table ? in->norm.table : in->t);
    pv_run(v->dev, &l);
    return v;
}

bool deep_run(const char *label, const struct conv_in *in, pv_tensor *w, pv_tensor *b, pv_tensor *dst,
              const struct conv_desc *d, bool dgrad, bool accum, bool fresh)
{
    struct plan p;
    if (!can(&p, in->t, dst, w, false))
        return false;
    pv_tensor *v = transformed(label, in, &p);
    pv_tensor *stats = fresh ? pv_tensor_new(w->dev, pv_flat(p.a.n * p.a.kb * 32), PV_F32) : NULL;
    p.a.so = dgrad ? 27 : d->ci * 27;
    p.a.si = dgrad ? d->ci * 27 : 27;
    p.a.flip = dgrad;
    p.a.bias = b != NULL;
    p.a.accum = accum;
    p.a.stats = stats != NULL;
    struct pv_launch l = {.k = &k_conv, .label = label, .args = &p.a, .spec = {p.t, p.nb, p.cc},
                          .groups = {(uint32_t)(p.a.kb / p.a.kg), 1, 1}};
    if (v) {
        pv_bind(&l, 0, v);
        pv_bind(&l, 1, w);
        pv_bind(&l, 2, dst);
        pv_bind(&l, 3, b ? b : w);
        pv_bind(&l, 4, stats ? stats : v);
        pv_run(w->dev, &l);
    }
    if (stats)
        pv_tensor_set_stats(dst, &(struct pv_stats){stats, dst->h.n, {dst->h.s[0], dst->h.s[1], dst->h.s[2]},
                                                    {dst->h.s[0], dst->h.s[1], dst->h.s[2]}});
    pv_tensor_put(&v);
    return true;
}

bool deep_run_wgrad(const char *label, const struct conv_in *in, pv_tensor *dy, pv_tensor *dw, bool accum,
                    pv_tensor *db, bool accum_bias)
{
    struct plan p;
    if (!can(&p, in->t, dy, dw, true))
        return false;
    pv_tensor *v = transformed(label, in, &p);
    p.a.accum = accum;
    p.a.bias = !db ? 0 : accum_bias ? 2 : 1;
    struct pv_launch l = {.k = &k_wgrad, .label = label, .args = &p.a, .spec = {p.t, p.nb, p.cc},
                          .groups = {(uint32_t)(p.a.kb / p.a.kg), 1, 1}};
    if (v) {
        pv_bind(&l, 0, v);
        pv_bind(&l, 1, dy);
        pv_bind(&l, 2, dw);
        pv_bind(&l, 3, db ? db : dw);
        pv_run(dw->dev, &l);
    }
    pv_tensor_put(&v);
    return true;
}
