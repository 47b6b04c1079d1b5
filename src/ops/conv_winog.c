/* SPDX-License-Identifier: Apache-2.0
 * Winograd's algorithm for class simt: a piece of the tiles at a time is transformed to 64 frequencies in scratch
 * memory, multiplied by the transformed weights, frequency by frequency, and transformed back. Pieces are small enough
 * for a large cache and depend on the shape and the device's limits alone. What does not fit a binding sample by sample
 * stays with other kernels. No rule takes it: no GPU has measured it. */
#include "ops/args/winog.h"
#include "ops/conv_impl.h"

enum {
    ROOM = 16 << 20,            /* bytes of each of both scratch matrices: about 512 work-groups of winog_gemm */
    ENOUGH = 512,               /* work-groups of winog_wgemm that fill a large GPU */
};

static const char *const spec_gemm[] = {"NB", NULL};
static const struct pv_kernel k_in = {"winog", "winog_in", "rw", sizeof(struct a_winog), {64, 1, 1}, NULL};
static const struct pv_kernel k_out = {"winog", "winog_out", "rrx", sizeof(struct a_winog), {64, 1, 1}, NULL};
static const struct pv_kernel k_weights = {"winog", "winog_weights", "rw", sizeof(struct a_winog_w), {64, 1, 1}, NULL};
static const struct pv_kernel k_gemm = {"winog_gemm", "winog_gemm", "rrw", sizeof(struct a_winog_g), {128, 1, 1},
                                        spec_gemm};

static const char *const spec_wgemm[] = {"NB", NULL};
static const struct pv_kernel k_dy = {"winog", "winog_dy", "rw", sizeof(struct a_winog), {64, 1, 1}, NULL};
static const struct pv_kernel k_dw = {"winog", "winog_dw", "rx", sizeof(struct a_winog_s), {64, 1, 1}, NULL};
static const struct pv_kernel k_wgemm = {"winog_wgrad", "winog_wgemm", "rrx", sizeof(struct a_winog_p), {64, 1, 1},
                                         spec_wgemm};

static bool refuse(const char *why)
{
    pv_debug("ops", "conv: no winog: %s", why);
    return false;
}

static uint64_t most_groups(const pv_dev *dev)
{
    uint64_t m = pv_dev_get_info(dev)->limits.max_groups;
    return m * m;
}

static bool fits(const pv_tensor *t, int64_t elements)
{
    uint64_t bytes = (uint64_t)elements * 4;
    return bytes <= pv_dev_get_info(t->dev)->limits.max_binding && bytes <= pv_buf_segment(t->buf);
}

/* ---- pieces ---- */

static int group_blocks(int kb) { return kb >= 3 ? 4 : kb; }
static int group_tiles(int nb) { return nb == 4 ? 128 : nb == 2 ? 192 : 256; }

/* Tiles of a piece: all of `total` in equal pieces of whole work-groups; 0: not even one fits. */
static int piece_tiles(const pv_dev *dev, int64_t total, int cb, int kb)
{
    const int whole = group_tiles(group_blocks(kb)), wide = pv_max(cb, kb);
    const uint64_t binding = pv_dev_get_info(dev)->limits.max_binding, groups = most_groups(dev);
    int64_t most = (int64_t)(binding < ROOM ? binding : ROOM) / (wide * 4096);
    if (groups < (uint64_t)(most * wide / 4) + 4)       /* of winog_in, which has most */
        most = groups > 4 ? (int64_t)(groups - 4) * 4 / wide : 0;
    if (most > whole)
        most = most / whole * whole;
    if (most < 1 || total <= most)
        return most < 1 ? 0 : (int)total;
    int64_t pieces = (total + most - 1) / most, even = (total + pieces - 1) / pieces;
    return (int)(even > whole ? (even + whole - 1) / whole * whole : even);
}

/* Frequencies of one launch of winog_gemm, 0: not even one. */
static int launch_frequencies(const pv_dev *dev, int cb, int kb, int tiles)
{
    const int nb = group_blocks(kb);
    uint64_t groups = (uint64_t)pv_ceil_div(tiles, group_tiles(nb)) * (uint64_t)pv_ceil_div(kb, nb);
    uint64_t by_groups = most_groups(dev) / groups;
    uint64_t by_binding = pv_dev_get_info(dev)->limits.max_binding / ((uint64_t)cb * (uint64_t)kb * 1024);
    uint64_t most = by_groups < by_binding ? by_groups : by_binding;
    return most < 64 ? (int)most : 64;
}

static int64_t weight_floats(int cb, int kb)
{
    return pv_max(cb, kb) * 16 + (int64_t)64 * cb * kb * 256;
}

bool winog_kind(const pv_tensor *src, const struct conv_desc *d)
{
    return pv_class(src) == PV_SIMT && !d->half && d->dims == 3 && d->stride == 1 && d->k[0] == 3 && d->pad[0] == 1;
}

bool winog_can(const pv_tensor *src, const pv_tensor *dst)
{
    const int cb = pv_blocks(src->h.c), kb = pv_blocks(dst->h.c);
    const uint64_t most = pv_dev_get_info(src->dev)->limits.max_binding;
    if (!fits(src, pv_shape_sample(&src->h)) || !fits(dst, pv_shape_sample(&dst->h)))
        return refuse("a sample exceeds a binding");
    /* as packed; a launch of winog_weights writes 16 for 27 of them at least */
    if ((uint64_t)kb * (64 + (uint64_t)cb * 27 * 1024) > most || (uint64_t)cb * (uint64_t)kb > most_groups(src->dev))
        return refuse("the weights exceed a binding");
    const uint64_t alloc = pv_dev_get_info(src->dev)->limits.max_alloc, guards = 8192;
    if ((uint64_t)weight_floats(cb, kb) * 4 + guards > alloc)
        return refuse("the weights exceed an allocation");
    const int tiles = piece_tiles(src->dev, 1, cb, kb);
    if (tiles < 1 || launch_frequencies(src->dev, cb, kb, tiles) < 1)
        return refuse("the frequencies of one tile exceed a binding");
    return true;
}

/* ---- weights ---- */

pv_tensor *winog_new_weights(pv_tensor *w, const struct conv_desc *d)
{
    return pv_tensor_new(w->dev, pv_flat((int)weight_floats(pv_blocks(d->ci), pv_blocks(d->co))), PV_F32);
}

void winog_weights(pv_tensor *packed, pv_tensor *u, const struct conv_desc *d, bool dgrad)
{
    struct a_winog_w a = {.kb = pv_blocks(dgrad ? d->ci : d->co), .cb = pv_blocks(dgrad ? d->co : d->ci)};
    struct pv_launch l = {.k = &k_weights, .label = "pack weights", .args = &a};
    const int64_t one = 16 * 256 * (int64_t)a.kb * a.cb, biases = a.kb * 16;
    const uint64_t most = pv_dev_get_info(u->dev)->limits.max_binding / 4;
    a.nx = (uint64_t)(biases + 4 * one) <= most && 4 * (uint64_t)(a.kb * a.cb) <= most_groups(u->dev) ? 4 : 1;
    for (; a.x0 < 4; a.x0 += a.nx) {
        int64_t from = a.x0 ? biases + a.x0 * one : 0;
        pv_bind(&l, 0, packed);
        pv_bind_range(&l, 1, u, from, a.nx * one + (a.x0 ? 0 : biases));
        pv_run_items(u->dev, &l, (uint64_t)(a.nx * one / 64));
    }
}

/* ---- the walk ---- */

static struct a_winog side(const pv_tensor *map, int nb)
{
    struct pv_strides s = pv_strides_of(map);
    const int *v = map->h.s, ty = pv_ceil_div(v[1], 2), tz = pv_ceil_div(v[2], 2);
    return (struct a_winog){.x = v[0], .y = v[1], .z = v[2], .ty = ty, .tz = tz,
                            .tiles = pv_ceil_div(v[0], 2) * ty * tz, .nb = nb, .sn = s.n, .sb = s.b, .sp = s.p,
                            .sr = s.r, .s0 = s.first};
}

/* Samples n .. n + num of a map to frequencies. */
static void transform(const struct pv_kernel *k, const char *label, pv_tensor *map, int n, int num, struct a_winog *a,
                      pv_tensor *v)
{
    struct pv_launch l = {.k = k, .label = label, .args = a};
    pv_bind_samples(&l, 0, map, n, num);
    pv_bind_range(&l, 1, v, 0, (int64_t)a->count * a->nb * 1024);
    pv_groups(v->dev, &l, 4 * (((uint64_t)a->count * (uint64_t)a->nb + 15) / 16));
    pv_run(v->dev, &l);
}

static void multiply(const char *label, pv_tensor *v, pv_tensor *u, pv_tensor *m, int cb, int kb, int tiles)
{
    pv_dev *dev = v->dev;
    const int nb = group_blocks(kb), most = launch_frequencies(dev, cb, kb, tiles);
    const int64_t one = (int64_t)cb * kb * 256;
    struct a_winog_g a = {.cb = cb, .kb = kb, .count = tiles};
    struct pv_launch l = {.k = &k_gemm, .label = label, .args = &a, .spec = {nb}};
    pv_bind_range(&l, 0, v, 0, (int64_t)tiles * cb * 1024);
    pv_bind_range(&l, 2, m, 0, (int64_t)tiles * kb * 1024);
    for (; a.f0 < 64 && most > 0; a.f0 += a.nf) {
        a.nf = pv_min(most, 64 - a.f0);
        pv_bind_range(&l, 1, u, kb * 16 + a.f0 * one, a.nf * one);
        pv_groups(dev, &l, (uint64_t)pv_ceil_div(tiles, group_tiles(nb)) * (uint64_t)(pv_ceil_div(kb, nb) * a.nf));
        pv_run(dev, &l);
    }
}

void winog_run(const char *label, pv_tensor *src, pv_tensor *u, pv_tensor *dst, bool bias, bool accum)
{
    if (!src || !u || !dst || pv_dev_failed(dst->dev))
        return;
    pv_dev *dev = dst->dev;
    const int cb = pv_blocks(src->h.c), kb = pv_blocks(dst->h.c);
    struct a_winog in = side(src, cb), out = side(dst, kb);
    in.s0 -= in.sp + in.sr + 16;
    out.bias = bias;
    out.accum = accum;
    const int most = piece_tiles(dev, (int64_t)in.tiles * src->h.n, cb, kb);
    pv_tensor *v = pv_tensor_new(dev, pv_flat(most * cb * 1024), PV_F32);
    pv_tensor *m = pv_tensor_new(dev, pv_flat(most * kb * 1024), PV_F32), *both[] = {src, dst};
    const int64_t unit[] = {pv_shape_sample(&src->h), pv_shape_sample(&dst->h)};
    for (int n = 0, num; v && m && n < src->h.n; n += num) {
        num = pv_units_per_launch(dev, 2, both, unit, NULL, n, src->h.n - n);
        for (int first = 0; first < num * in.tiles; first += most) {
            in.first = out.first = first;
            in.count = out.count = pv_min(most, num * in.tiles - first);
            transform(&k_in, label, src, n, num, &in, v);
            multiply(label, v, u, m, cb, kb, in.count);
            struct pv_launch lo = {.k = &k_out, .label = label, .args = &out};
            pv_bind_range(&lo, 0, m, 0, (int64_t)out.count * kb * 1024);
            pv_bind_range(&lo, 1, u, 0, kb * 16);
            pv_bind_samples(&lo, 2, dst, n, num);
            pv_run_items(dev, &lo, (uint64_t)out.count * (uint64_t)kb * 4);
        }
    }
    pv_tensor_put(&v);
    pv_tensor_put(&m);
}

/* ---- weight gradients ---- */

/* Slabs of a piece of `tiles`, each with its sums, 0: one is too much. */
static int slabs_of(const pv_dev *dev, int kb, int cb, int tiles)
{
    const int nb = pv_min(kb, cb) >= 3 ? 4 : 2, groups = 64 * pv_ceil_div(kb, nb) * pv_ceil_div(cb, nb);
    const uint64_t one = (uint64_t)kb * (uint64_t)cb * 65536, binding = pv_dev_get_info(dev)->limits.max_binding;
    uint64_t most = (binding < 2 * ROOM ? binding : 2 * ROOM) / one, by_groups = most_groups(dev) / (uint64_t)groups;
    if (one > 2 * ROOM && one <= binding)
        most = 1;
    most = by_groups < most ? by_groups : most;
    int want = pv_max(1, pv_min(ENOUGH / groups, tiles / 64));
    return most < (uint64_t)want ? (int)most : want;
}

bool winog_can_wgrad(const pv_tensor *x, const pv_tensor *dy, const pv_tensor *dw)
{
    const int cb = pv_blocks(x->h.c), kb = pv_blocks(dy->h.c);
    if (!fits(x, pv_shape_sample(&x->h)) || !fits(dy, pv_shape_sample(&dy->h)) || !fits(dw, dw->h.n))
        return refuse("a sample or the weights exceed a binding");
    if (piece_tiles(x->dev, 1, cb, kb) < 1)
        return refuse("the frequencies of one tile exceed a binding");
    return slabs_of(x->dev, kb, cb, 1) > 0 || refuse("the sums exceed a binding");
}

void winog_run_wgrad(const char *label, pv_tensor *x, pv_tensor *dy, pv_tensor *dw, bool accum)
{
    if (!x || !dy || !dw || pv_dev_failed(dw->dev))
        return;
    pv_dev *dev = dw->dev;
    const int cb = pv_blocks(x->h.c), kb = pv_blocks(dy->h.c), nb = pv_min(kb, cb) >= 3 ? 4 : 2;
    struct a_winog in = side(x, cb), out = side(dy, kb);
    in.s0 -= in.sp + in.sr + 16;
    const int most = piece_tiles(dev, (int64_t)in.tiles * x->h.n, cb, kb), slabs = slabs_of(dev, kb, cb, most);
    struct a_winog_p a = {.kb = kb, .cb = cb, .per = pv_ceil_div(most, slabs), .slabs = slabs};
    pv_tensor *v = pv_tensor_new(dev, pv_flat(most * cb * 1024), PV_F32);
    pv_tensor *d = pv_tensor_new(dev, pv_flat(most * kb * 1024), PV_F32), *both[] = {x, dy};
    pv_tensor *part = pv_tensor_new(dev, pv_flat(slabs * kb * cb * 16384), PV_F32);
    const int64_t unit[] = {pv_shape_sample(&x->h), pv_shape_sample(&dy->h)};
    bool ok = v && d && part;
    for (int n = 0, num; ok && n < x->h.n; n += num) {
        num = pv_units_per_launch(dev, 2, both, unit, NULL, n, x->h.n - n);
        for (int first = 0; first < num * in.tiles; first += most) {
            in.first = out.first = first;
            in.count = out.count = a.count = pv_min(most, num * in.tiles - first);
            transform(&k_in, label, x, n, num, &in, v);
            transform(&k_dy, label, dy, n, num, &out, d);
            a.accum = n > 0 || first > 0;
            struct pv_launch l = {.k = &k_wgemm, .label = label, .args = &a, .spec = {nb}};
            pv_bind_range(&l, 0, d, 0, (int64_t)a.count * kb * 1024);
            pv_bind_range(&l, 1, v, 0, (int64_t)a.count * cb * 1024);
            pv_bind(&l, 2, part);
            pv_groups(dev, &l, 64 * (uint64_t)(pv_ceil_div(kb, nb) * pv_ceil_div(cb, nb) * slabs));
            pv_run(dev, &l);
        }
    }
    if (ok) {
        struct a_winog_s s = {.kb = kb, .cb = cb, .slabs = slabs, .nk = dy->h.c, .nc = x->h.c, .accum = accum};
        struct pv_launch l = {.k = &k_dw, .label = label, .args = &s};
        pv_bind(&l, 0, part);
        pv_bind(&l, 1, dw);
        pv_run_items(dev, &l, (uint64_t)s.nk * (uint64_t)s.nc);
    }
    pv_tensor_put(&v);
    pv_tensor_put(&d);
    pv_tensor_put(&part);
}
