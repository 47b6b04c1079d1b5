/* SPDX-License-Identifier: Apache-2.0
 * Launches of wino.cl: which layers may take Winograd's algorithm, which gain by it, and tiles by shape. What does not
 * fit a binding sample by sample stays with the direct kernels. */
#include "ops/args/wino.h"
#include "ops/conv_impl.h"

static const char *const spec_conv[] = {"T", "NB", NULL};
static const char *const spec_wgrad[] = {"CC", "NB", NULL};

static const struct pv_kernel k_weights = {"conv_aux", "wino_weights", "rw", sizeof(struct a_wino_w), {1, 1, 1},
                                           NULL};
static const struct pv_kernel k_conv = {"wino", "wino_conv", "rrxrw", sizeof(struct a_wino), {1, 1, 1}, spec_conv};
static const struct pv_kernel k_wgrad = {"wino_wgrad", "wino_wgrad", "rrwrw", sizeof(struct a_wino_g), {1, 1, 1},
                                         spec_wgrad};
static const struct pv_kernel k_wsum = {"conv_aux", "wino_wsum", "rxrx", sizeof(struct a_wino_s), {1, 1, 1}, NULL};

struct tiling { int t, nb, run, rows, kg; };

static bool refuse(const char *why)
{
    pv_debug("ops", "conv: no Winograd: %s", why);
    return false;
}

/* Output blocks, rounded up to the two of a register tile. */
static int even_blocks(int c) { return c <= 16 ? 1 : (pv_blocks(c) + 1) / 2 * 2; }

/* Tile rows and runs of one work-item: about `want` tiles, evenly cut, within the scratch; `freqs`
 * frequencies along z are buffered at once. */
static bool cut(struct tiling *p, int cb, int kb, int ty, int tz, int want, int freqs)
{
    for (; want > 0; want--) {
        p->run = pv_ceil_div(tz, pv_ceil_div(tz, want));
        p->rows = pv_max(1, pv_min(ty, want / p->run));
        p->rows = pv_ceil_div(ty, pv_ceil_div(ty, p->rows));
        int cols = 2 * p->run + 2, nt = pv_ceil_div(p->rows * p->run, p->t) * p->t;
        if (((cb * p->rows * cols) | 1) * 256 <= WINO_TMP && kb * 512 * (nt | 1) <= WINO_OUT &&
            cb * nt * 16 * freqs <= WINO_BUF && kb * nt * 16 * freqs <= WINO_BUF)
            return true;
    }
    return false;
}

/* The register tile that wastes least of the last one, the largest of equals. */
static void register_tile(struct tiling *p, int kb, int tiles)
{
    static const int one[] = {10, 12, 8, 6, 4, 1, 0}, two[] = {5, 6, 4, 3, 1, 0};
    const int *list = kb == 1 ? one : two;
    int best = 1 << 30;
    p->nb = kb == 1 ? 1 : 2;
    for (int i = 0; list[i]; i++) {
        int cost = pv_ceil_div(tiles, list[i]) * (list[i] * 10 + 12);
        if (cost < best) {
            best = cost;
            p->t = list[i];
        }
    }
}

static bool plan(struct tiling *p, const pv_tensor *src, const pv_tensor *dst)
{
    int cb = pv_blocks(src->h.c), kb = even_blocks(dst->h.c);
    int ty = pv_ceil_div(dst->h.s[1], 2), tz = pv_ceil_div(dst->h.s[2], 2), want = 20;
    p->t = 1;
    p->kg = kb;
    if (!cut(p, cb, kb, ty, tz, want, 4))
        return false;
    register_tile(p, kb, p->rows * p->run);
    return cut(p, cb, kb, ty, tz, pv_max(p->t, want), 4);
}


static bool fits(const pv_tensor *t, int64_t elements)
{
    uint64_t bytes = (uint64_t)elements * 4;
    return bytes <= pv_dev_get_info(t->dev)->limits.max_binding && bytes <= pv_buf_segment(t->buf);
}

bool wino_kind(const pv_tensor *src, const struct conv_desc *d)
{
    return pv_class(src) == PV_FAT && d->dims == 3 && d->stride == 1 && d->k[0] == 3 && d->pad[0] == 1;
}

bool wino_can(const pv_tensor *src, const pv_tensor *dst)
{
    struct tiling p;
    if (!plan(&p, src, dst))
        return refuse("too many channels for the scratch of a work-item");
    uint64_t most = pv_dev_get_info(src->dev)->limits.max_binding;
    uint64_t kbs = (uint64_t)even_blocks(dst->h.c);
    if (256 * WINO_STEP(kbs, (uint64_t)pv_blocks(src->h.c)) + 64 * kbs > most || !fits(src, pv_shape_sample(&src->h)) ||
        !fits(dst, pv_shape_sample(&dst->h)))
        return refuse("a sample or the weights exceed a binding");
    return true;
}

bool wino_gains(const pv_tensor *src, const pv_tensor *dst)
{
    /* few tiles do not pay for reading 64 / 27 of the weights; few channels not for the transforms */
    int64_t tiles = (int64_t)dst->h.n * pv_ceil_div(dst->h.s[0], 2) * pv_ceil_div(dst->h.s[1], 2) *
                    pv_ceil_div(dst->h.s[2], 2);
    return src->h.c >= 12 && dst->h.c >= 12 && tiles >= 96;
}

pv_tensor *wino_new_weights(pv_tensor *w, const struct conv_desc *d, bool dgrad)
{
    int cb = pv_blocks(dgrad ? d->co : d->ci), kbs = even_blocks(dgrad ? d->ci : d->co);
    return pv_tensor_new(w->dev, pv_flat(64 * WINO_STEP(kbs, cb) + kbs * 16), PV_F32);
}

void wino_weights(pv_tensor *packed, pv_tensor *u, const struct conv_desc *d, bool dgrad)
{
    int cb = pv_blocks(dgrad ? d->co : d->ci), kb = pv_blocks(dgrad ? d->ci : d->co);
    struct a_wino_w a = {.kb = kb, .cb = cb, .kbp = even_blocks(dgrad ? d->ci : d->co)};
    struct pv_launch l = {.k = &k_weights, .label = "pack weights", .args = &a,
                          .groups = {(uint32_t)cb * 16, (uint32_t)a.kbp, 1}};
    pv_bind(&l, 0, packed);
    pv_bind(&l, 1, u);
    pv_run(u->dev, &l);
}

void wino_run(const char *label, const struct conv_in *in, pv_tensor *u, pv_tensor *dst, bool bias, bool accum,
              bool fresh)
{
    struct tiling p;
    pv_tensor *src = in->t;
    if (!src || !u || !dst || !plan(&p, src, dst))
        return;
    struct pv_strides ss = pv_strides_of(src), ds = pv_strides_of(dst);
    const int *s = dst->h.s;
    int cb = pv_blocks(src->h.c), kb = pv_blocks(dst->h.c), kbs = even_blocks(dst->h.c);
    struct a_wino a = {.cb = cb, .kb = kb, .x = s[0], .y = s[1], .z = s[2],
        .tx = pv_ceil_div(s[0], 2), .ty = pv_ceil_div(s[1], 2), .tz = pv_ceil_div(s[2], 2), .rows = p.rows,
        .run = p.run, .runs = pv_ceil_div(s[2], 2 * p.run), .kg = p.kg, .sn = ss.n, .sb = ss.b, .sp = ss.p,
        .sr = ss.r, .dn = ds.n, .db = ds.b, .dp = ds.p, .dr = ds.r, .dst0 = ds.first,
        .bias = bias ? 64 * WINO_STEP(kbs, cb) : -1, .accum = accum, .norm = in->norm.table != NULL,
        .row = in->norm.rows > 1 ? cb * 64 : 0, .slope = in->norm.slope, .stats = fresh};
    struct pv_launch l = {.k = &k_conv, .label = label, .args = &a, .spec = {p.t, p.nb},
        .groups = {(uint32_t)(a.runs * pv_ceil_div(kb, p.kg)), (uint32_t)pv_ceil_div(a.ty, p.rows), 0}};
    int64_t units = (int64_t)a.tx * a.runs * l.groups[1] * kb * 32;
    pv_tensor *stats = fresh ? pv_tensor_new(src->dev, pv_flat((int)units * src->h.n), PV_F32) : NULL;
    conv_launch_samples(&l, in, u, dst, a.row, stats, units, a.tx);
    if (stats)
        pv_tensor_set_stats(dst, &(struct pv_stats){stats, dst->h.n, {s[0], s[1], s[2]}, {2, 2 * p.rows, 2 * p.run}});
}

/* ---- weight gradients ---- */

struct slabs { struct tiling p; int kg, units, per, num; };

static bool plan_wgrad(struct slabs *w, const pv_tensor *x, const pv_tensor *dy)
{
    int cb = pv_blocks(x->h.c), kb = pv_blocks(dy->h.c);
    int tx = pv_ceil_div(x->h.s[0], 2), ty = pv_ceil_div(x->h.s[1], 2), tz = pv_ceil_div(x->h.s[2], 2);
    w->p = (struct tiling){.t = 1, .nb = kb % 2 == 0 ? 2 : 1};
    /* sums of about 1 MiB stay in a core's cache */
    w->kg = kb;
    while (w->kg > 2 && w->kg % 4 == 0 && w->kg * cb > 16)
        w->kg /= 2;
    if (!cut(&w->p, cb, w->kg, ty, tz, 40, 1))
        return false;
    w->units = x->h.n * tx * pv_ceil_div(ty, w->p.rows) * pv_ceil_div(tz, w->p.run);
    int want = pv_max(1, 16 / pv_ceil_div(kb, w->kg)), most = pv_max(1, 128 / (cb * kb));
    want = pv_min(pv_min(want, most), w->units);
    w->per = pv_ceil_div(w->units, want);
    w->num = pv_ceil_div(w->units, w->per);
    return true;
}

bool wino_can_wgrad(const pv_tensor *x, const pv_tensor *dy, const pv_tensor *dw)
{
    struct slabs w;
    if (!plan_wgrad(&w, x, dy))
        return refuse("too many channels for the scratch of a work-item");
    uint64_t part = (uint64_t)w.num * 256 * WINO_STEP((uint64_t)pv_blocks(x->h.c), (uint64_t)pv_blocks(dy->h.c));
    if (part > pv_dev_get_info(x->dev)->limits.max_binding || !fits(x, pv_shape_stored(&x->h)) ||
        !fits(dy, pv_shape_stored(&dy->h)) || !fits(dw, dw->h.n))
        return refuse("a batch or the partial sums exceed a binding");
    return true;
}

void wino_run_wgrad(const char *label, const struct conv_in *in, pv_tensor *dy, pv_tensor *dw, bool accum,
                    pv_tensor *db, bool accum_bias)
{
    struct slabs w;
    pv_tensor *x = in->t;
    if (!x || !dy || !dw || pv_dev_failed(dw->dev) || !plan_wgrad(&w, x, dy))
        return;
    struct pv_strides ss = pv_strides_of(x), ds = pv_strides_of(dy);
    const int *s = x->h.s;
    int cb = pv_blocks(x->h.c), kb = pv_blocks(dy->h.c);
    pv_tensor *part = pv_tensor_new(dw->dev, pv_flat(w.num * 64 * WINO_STEP(kb, cb)), PV_F32);
    pv_tensor *bias_part = pv_tensor_new(dw->dev, pv_flat(w.num * kb * 16), PV_F32);
    struct a_wino_g a = {.cb = cb, .kb = kb, .x = s[0], .y = s[1], .z = s[2], .tx = pv_ceil_div(s[0], 2),
        .ty = pv_ceil_div(s[1], 2), .tz = pv_ceil_div(s[2], 2), .rows = w.p.rows, .run = w.p.run, .units = w.units,
        .per = w.per, .kg = w.kg, .sn = ss.n, .sb = ss.b, .sp = ss.p, .sr = ss.r, .dn = ds.n, .db = ds.b, .dp = ds.p,
        .dr = ds.r, .dst0 = ds.first, .norm = in->norm.table != NULL, .row = in->norm.rows > 1 ? cb * 64 : 0,
        .slope = in->norm.slope};
    struct pv_launch l = {.k = &k_wgrad, .label = label, .args = &a, .spec = {w.p.nb == 2 ? 8 : 16, w.p.nb},
                          .groups = {(uint32_t)w.num, (uint32_t)pv_ceil_div(kb, w.kg), 1}};
    struct a_wino_s as = {.slabs = w.num, .kb = kb, .cb = cb, .nk = dy->h.c, .nc = x->h.c, .accum = accum,
                          .bias = !db ? 0 : accum_bias ? 2 : 1};
    struct pv_launch sum = {.k = &k_wsum, .label = label, .args = &as,
                            .groups = {(uint32_t)cb, (uint32_t)kb, 1}};
    if (part && bias_part) {
        pv_bind(&l, 0, x);
        pv_bind(&l, 1, dy);
        pv_bind(&l, 2, part);
        pv_bind(&l, 3, a.norm ? in->norm.table : x);
        pv_bind(&l, 4, bias_part);
        pv_run(dw->dev, &l);
        pv_bind(&sum, 0, part);
        pv_bind(&sum, 1, dw);
        pv_bind(&sum, 2, bias_part);
        pv_bind(&sum, 3, db ? db : dw);
        pv_run(dw->dev, &sum);
    }
    pv_tensor_put(&part);
    pv_tensor_put(&bias_part);
}
