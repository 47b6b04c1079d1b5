/* SPDX-License-Identifier: Apache-2.0
 * Launches of conv.cl: tiles for the fat class, and splitting where a tensor exceeds what one binding may
 * span: first by samples, then one input block and one output block at a time with sums carried in the
 * output, then by x-slabs with halo. Tiles and slabs depend on the shape alone. */
#include <string.h>

#include "ops/args/conv.h"
#include "ops/conv_impl.h"
#include "ops/half.h"

static const char *const spec_fwd[] = {"T", "R", "NB", "S", NULL};
static const char *const spec_up[] = {"T", NULL};
static const char *const spec_wgrad[] = {"S", "KZ", "CC", "NB", NULL};
static const char *const spec_s[] = {"S", NULL};

static const struct pv_kernel fat_fwd = {"conv", "conv_fwd", "rrx", sizeof(struct a_conv), {1, 1, 1}, spec_fwd};
static const struct pv_kernel fat_up = {"conv_up", "conv_up", "rrx", sizeof(struct a_conv), {1, 1, 1}, spec_up};
static const struct pv_kernel fat_wgrad = {"conv_wgrad", "conv_wgrad", "rrw", sizeof(struct a_wgrad), {1, 1, 1},
                                           spec_wgrad};
static const struct pv_kernel simt_fwd = {"conv", "conv_fwd", "rrx", sizeof(struct a_conv), {64, 1, 1}, spec_s};
static const struct pv_kernel simt_up = {"conv_up", "conv_up", "rrx", sizeof(struct a_conv), {64, 1, 1}, NULL};
static const struct pv_kernel simt_wgrad = {"conv_wgrad", "conv_wgrad", "rrw", sizeof(struct a_wgrad),
                                            {64, 1, 1}, spec_s};
static const struct pv_kernel fat_wsum = {"conv_aux", "conv_wsum", "rx", sizeof(struct a_wsum), {1, 1, 1}, NULL};
static const struct pv_kernel simt_wsum = {"conv_aux", "conv_wsum", "rx", sizeof(struct a_wsum), {256, 1, 1}, NULL};
static const struct pv_kernel fat_pack = {"conv_aux", "conv_pack", "rrw", sizeof(struct a_pack), {1, 1, 1}, NULL};
static const struct pv_kernel simt_pack = {"conv_aux", "conv_pack", "rrw", sizeof(struct a_pack), {64, 1, 1}, NULL};
static const struct pv_kernel k_stem_pack = {"conv_aux", "stem_pack", "rrw", sizeof(struct a_pack), {64, 1, 1},
                                             NULL};
static const struct pv_kernel fat_chan = {"conv_aux", "chan_sum", "rw", sizeof(struct a_chan), {1, 1, 1}, NULL};
static const struct pv_kernel simt_chan = {"conv_aux", "chan_sum", "rw", sizeof(struct a_chan), {64, 1, 1}, NULL};
static const struct pv_kernel k_join = {"conv_aux", "chan_join", "rx", sizeof(struct a_chan), {256, 1, 1}, NULL};
static const struct pv_kernel k_total = {"conv_aux", "chan_total", "rx", sizeof(struct a_chan), {64, 1, 1}, NULL};

static bool fits(const pv_tensor *t, int64_t elements)
{
    uint64_t bytes = (uint64_t)elements * 4;
    return bytes <= pv_dev_get_info(t->dev)->limits.max_binding && bytes <= pv_buf_segment(t->buf);
}

/* ---- packed weights ---- */

enum { PACK_HALF = 16 };        /* added to the kind */

static void run_pack(struct pv_launch *l, pv_tensor *w, int blocks_in, int blocks_out, int64_t count)
{
    if (l->k == &fat_pack) {
        l->groups[0] = (uint32_t)blocks_in;
        l->groups[1] = (uint32_t)blocks_out;
        l->groups[2] = 1;
        pv_run(w->dev, l);
    } else {
        pv_run_items(w->dev, l, (uint64_t)count);
    }
}

/* Into `to`, made with pack_count elements. */
static void pack(pv_tensor *w, pv_tensor *b, const struct conv_desc *d, enum conv_pack_kind kind, pv_tensor *to)
{
    int taps = conv_taps(d);
    int nout = kind == PACK_DGRAD ? d->ci : d->co, nin = kind == PACK_DGRAD ? d->co : d->ci;
    /* w is [coarse][fine][tap]; coarse is co for conv, ci for conv_up */
    bool out_is_coarse = (kind == PACK_DGRAD) == (d->up != 0);
    int fine = d->up ? d->co : d->ci;
    struct a_pack a = {.nout = nout, .nin = nin, .taps = taps, .flip = kind == PACK_DGRAD && d->stride == 1,
                       .so = out_is_coarse ? fine * taps : taps, .si = out_is_coarse ? taps : fine * taps,
                       .has_bias = b != NULL};
    int64_t count = to->h.n;
    struct pv_launch l = {.label = "pack weights", .args = &a};
    l.k = kind == PACK_STEM ? &k_stem_pack : pv_class(w) == PV_FAT ? &fat_pack : &simt_pack;
    pv_bind(&l, 1, b ? b : w);
    if (kind == PACK_STEM || (fits(w, w->h.n) && fits(to, count))) {
        pv_bind(&l, 0, w);
        pv_bind(&l, 2, to);
        run_pack(&l, w, pv_blocks(nin), pv_blocks(nout), count);
        return;
    }
    int wb = 16 + pv_blocks(nin) * taps * 256;      /* one pair of blocks at a time */
    for (int kb = 0; kb < pv_blocks(nout); kb++)
        for (int cb = 0; cb < pv_blocks(nin); cb++) {
            a.nout = pv_min(16, nout - kb * 16);
            a.nin = pv_min(16, nin - cb * 16);
            a.bare = cb > 0;
            int size = (cb ? 0 : 16) + taps * 256;
            pv_bind_range(&l, 0, w, (int64_t)kb * 16 * a.so + (int64_t)cb * 16 * a.si,
                          (int64_t)(a.nout - 1) * a.so + (int64_t)(a.nin - 1) * a.si + taps);
            if (b)
                pv_bind_range(&l, 1, b, kb * 16, a.nout);
            else
                pv_bind_range(&l, 1, w, 0, 1);
            pv_bind_range(&l, 2, to, (int64_t)kb * wb + (cb ? 16 + (int64_t)cb * taps * 256 : 0), size);
            run_pack(&l, w, 1, 1, size);
        }
}

static pv_tensor *new_pack(pv_tensor *w, const struct conv_desc *d, enum conv_pack_kind kind)
{
    int taps = conv_taps(d), nout = kind == PACK_DGRAD ? d->ci : d->co, nin = kind == PACK_DGRAD ? d->co : d->ci;
    int64_t count = kind == PACK_STEM ? (int64_t)pv_blocks(nout) * 16 * (nin * taps + 1)
                                      : (int64_t)pv_blocks(nout) * (16 + pv_blocks(nin) * taps * 256);
    return pv_tensor_new(w->dev, pv_flat((int)count), PV_F32);
}

pv_tensor *conv_packed(pv_tensor *w, pv_tensor *b, const struct conv_desc *d, enum conv_pack_kind kind)
{
    struct pv_packed *p = w->packed;
    const int key = (int)kind + (d->half ? PACK_HALF : 0);
    while (p && p->kind != key)
        p = p->next;
    bool same = p && w->version && p->version == *w->version;
    if (same && p->data)
        return p->data;
    if (same)
        p->many = true;
    if (!p) {
        p = pv_new(struct pv_packed);
        p->kind = key;
        p->next = w->packed;
        w->packed = p;
    }
    p->version = w->version ? *w->version : 0;
    bool wino = kind == PACK_WINO_FWD || kind == PACK_WINO_DGRAD;
    bool blas = kind == PACK_BLAS_FWD || kind == PACK_BLAS_DGRAD;
    bool winog = kind == PACK_WINOG_FWD || kind == PACK_WINOG_DGRAD;
    bool dgrad = kind == PACK_WINO_DGRAD || kind == PACK_BLAS_DGRAD || kind == PACK_WINOG_DGRAD;
    enum conv_pack_kind base = wino || blas || winog ? (dgrad ? PACK_DGRAD : PACK_FWD) : kind;
    if (!p->data)
        p->data = wino ? wino_new_weights(w, d, dgrad) : blas ? blas_new_weights(w, d, dgrad)
                  : winog ? winog_new_weights(w, d) : new_pack(w, d, kind);
    pv_tensor *plain = base != kind ? new_pack(w, d, base) : pv_tensor_ref(p->data);
    pv_tensor *from = d->half ? pv_half_round(w) : pv_tensor_ref(w);
    if (p->data && plain && from) {
        pack(from, b, d, base, plain);
        if (wino)
            wino_weights(plain, p->data, d, dgrad);
        if (blas)
            blas_weights(plain, p->data, d, dgrad);
        if (winog)
            winog_weights(plain, p->data, d, dgrad);
    }
    pv_tensor_put(&from);
    pv_tensor_put(&plain);
    return p->data;
}

void conv_forget_packed(pv_tensor *w)
{
    for (struct pv_packed *p = w->packed; p; p = p->next)
        p->version = UINT64_MAX;
}

/* ---- forward in both directions ---- */

/* What one launch covers; the same loop serves conv_fwd (x, y, z at dst) and conv_up (fx at dst). */
struct part { int n0, nn, cb0, ncb, kb0, nkb, x0, nx; };

static const int tile_sizes[] = {20, 16, 10, 8, 5, 4, 2, 1};

/* Splits `len` voxels into tiles of the closed list with at most `most` each, cheapest sum of (T + 2). Writes
 * runs (T, count), largest T first; returns how many. */
static int tile_runs(int len, int most, int run_t[8], int run_n[8])
{
    int num = 0, best_first = 0, best_cost = 1 << 30;
    for (int first = 0; first < (int)PV_COUNT(tile_sizes); first++) {
        if (tile_sizes[first] > most || tile_sizes[first] > len)
            continue;
        int left = len, cost = 0;
        for (int i = first; i < (int)PV_COUNT(tile_sizes); i++) {
            cost += left / tile_sizes[i] * (tile_sizes[i] + 2) + (left >= tile_sizes[i]);
            left %= tile_sizes[i];
        }
        if (cost < best_cost) {
            best_cost = cost;
            best_first = first;
        }
    }
    for (int i = best_first, left = len; left > 0; i++)
        if (left / tile_sizes[i] > 0) {
            run_t[num] = tile_sizes[i];
            run_n[num++] = left / tile_sizes[i];
            left %= tile_sizes[i];
        }
    return num;
}

static void launch_fat_down(pv_dev *dev, struct pv_launch *l, const struct a_conv *base, int stride)
{
    int nb = base->kb % 2 == 0 && base->z <= 64 ? 2 : 1, most = nb == 2 ? 10 : 20;
    int t[8], c[8], runs = tile_runs(base->z, most, t, c), z0 = 0;
    for (int i = 0; i < runs; z0 += t[i] * c[i], i++) {
        int rmax = most / t[i] >= 4 ? 4 : most / t[i] >= 2 ? 2 : 1;
        int y0 = 0;
        for (int r = rmax; r >= 1; r /= 2) {
            int rows = (base->y - y0) / r;
            if (rows == 0)
                continue;
            struct a_conv a = *base;
            a.so += y0 * stride * a.sr + z0 * stride * 16;
            a.dst0 += y0 * a.dr + z0 * 16;
            l->args = &a;
            l->spec[0] = t[i];
            l->spec[1] = r;
            l->spec[2] = nb;
            l->spec[3] = stride;
            l->groups[0] = (uint32_t)c[i];
            l->groups[1] = (uint32_t)rows;
            l->groups[2] = (uint32_t)(base->x * base->n * (base->kb / nb));
            pv_run(dev, l);
            y0 += rows * r;
        }
    }
}

static void launch_fat_up(pv_dev *dev, struct pv_launch *l, const struct a_conv *base)
{
    int t[8], c[8], coarse = (base->fz + 1) / 2, runs = tile_runs(coarse, 16, t, c), z0 = 0;
    for (int i = 0; i < runs; z0 += t[i] * c[i], i++) {
        struct a_conv a = *base;
        a.so += z0 * 16;
        a.dst0 += z0 * 32;
        a.fz = base->fz - 2 * z0;
        a.z = t[i] * c[i];
        l->args = &a;
        l->spec[0] = t[i];
        l->groups[0] = (uint32_t)c[i];
        l->groups[1] = (uint32_t)base->fy;
        l->groups[2] = (uint32_t)(base->fx * base->kb * base->n);
        pv_run(dev, l);
    }
}

static void launch_part(const char *label, const struct conv_in *in, pv_tensor *packed, pv_tensor *dst,
                        const struct conv_desc *d, bool upward, bool whole, const struct part *p, bool bias,
                        bool accum, bool fresh)
{
    pv_tensor *src = in->t;
    pv_dev *dev = src->dev;
    struct pv_strides ss = pv_strides_of(src), ds = pv_strides_of(dst);
    int taps = conv_taps(d), nin = pv_blocks(src->h.c), wb = 16 + nin * taps * 256;
    int stx = d->dims == 2 ? 1 : d->stride;
    struct a_conv a = {.n = p->nn, .cb = p->ncb, .kb = p->nkb, .x = p->nx, .y = dst->h.s[1], .z = dst->h.s[2],
        .kx = d->k[0], .ky = d->k[1], .kz = d->k[2], .sn = ss.n, .sb = ss.b, .sp = ss.p, .sr = ss.r,
        .dn = ds.n, .db = ds.b, .dp = ds.p, .dr = ds.r, .wb = wb, .accum = accum,
        .px = d->pad[0], .py = d->pad[1], .pz = d->pad[2], .fx = p->nx, .fy = dst->h.s[1], .fz = dst->h.s[2]};
    struct pv_launch l = {.label = label, .args = &a};
    l.flops = 512.0 * a.n * a.cb * a.kb * taps * a.x * a.y * a.z / (upward && d->stride == 2 ? 1 << d->dims : 1);
    /* src: first needed plane, from the first stored one */
    int plane = upward ? src->h.b[0] : p->x0 * stx + src->h.b[0] - d->pad[0];
    int row = upward ? src->h.b[1] * ss.r + src->h.b[2] * 16
                     : (src->h.b[1] - d->pad[1]) * ss.r + (src->h.b[2] - d->pad[2]) * 16;
    if (whole) {
        pv_bind_samples(&l, 0, src, p->n0, p->nn);
        pv_bind_samples(&l, 2, dst, p->n0, p->nn);
        pv_bind(&l, 1, packed);
        a.so = plane * ss.p + row;
        a.dst0 = ds.first + p->x0 * ds.p;
        a.w0 = 16;
        a.bias = bias ? 0 : -1;
    } else {
        /* one sample, one input block, one output block, planes [x0, x0 + nx) */
        int first, count;
        if (upward) {
            /* fx .. fx + nx need coarse planes from (x0 + pad - (k - 1)) / 2 to (x0 + nx - 1 + pad) / 2 */
            int lo = p->x0 + d->pad[0] - (d->k[0] - 1);
            lo = d->dims == 2 ? 0 : lo < 0 ? 0 : lo / 2;
            int hi = d->dims == 2 ? 0 : (p->x0 + p->nx - 1 + d->pad[0]) / 2;
            first = lo + src->h.b[0];
            count = hi - lo + 1;
            /* the kernel numbers fine planes from x0: shift by whole coarse planes, x0 is even */
            a.so = (p->x0 / 2 + src->h.b[0] - first) * ss.p + row;
        } else {
            first = plane;
            count = (p->nx - 1) * stx + d->k[0];
            a.so = row;
        }
        pv_bind_range(&l, 0, src, (int64_t)p->n0 * ss.n + (int64_t)p->cb0 * ss.b + (int64_t)first * ss.p,
                      (int64_t)count * ss.p);
        int64_t at = (int64_t)p->n0 * ds.n + (int64_t)p->kb0 * ds.b + (int64_t)(p->x0 + dst->h.b[0]) * ds.p;
        pv_bind_range(&l, 2, dst, at, (int64_t)p->nx * ds.p);
        a.dst0 = ds.first - dst->h.b[0] * ds.p;
        bool with_bias = bias && p->cb0 == 0;
        int64_t w = (int64_t)p->kb0 * wb + (p->cb0 ? 16 + (int64_t)p->cb0 * taps * 256 : 0);
        pv_bind_range(&l, 1, packed, w, (int64_t)taps * 256 + (p->cb0 ? 0 : 16));
        a.w0 = p->cb0 ? 0 : 16;
        a.bias = with_bias ? 0 : -1;
        a.accum = accum || p->cb0 > 0;
    }
    bool fat = pv_class(src) == PV_FAT;
    if (fat && upward) {
        l.k = &fat_up;
        launch_fat_up(dev, &l, &a);
    } else if (fat) {
        l.k = &fat_fwd;
        launch_fat_down(dev, &l, &a, d->stride);
    } else if (!conv_tile_run(dev, &l, &a, d, upward, in, p->n0, fresh && whole && p->nn == dst->h.n ? dst : NULL)) {
        l.k = upward ? &simt_up : &simt_fwd;
        l.spec[0] = d->stride;
        pv_groups(dev, &l, (uint64_t)pv_ceil_div(p->nx * dst->h.s[1] * dst->h.s[2], 64));
        l.groups[2] = (uint32_t)(p->nkb * p->nn);
        pv_run(dev, &l);
    }
}

static bool run_gather(const char *label, const struct conv_in *in, pv_tensor *packed, pv_tensor *dst,
                       const struct conv_desc *d, bool upward, bool bias, bool accum, bool fresh)
{
    pv_tensor *src = in->t;
    if (!src || !packed || !dst || pv_dev_failed(src->dev))
        return true;
    int64_t us = pv_shape_sample(&src->h), ud = pv_shape_sample(&dst->h);
    int nin = pv_blocks(src->h.c), nout = pv_blocks(dst->h.c);
    bool whole = fits(src, us) && fits(dst, ud) && fits(packed, pv_shape_stored(&packed->h));
    pv_tensor *both[] = {src, dst};
    int64_t unit[] = {us, ud};
    if (!whole && in->norm.table)
        return false;
    for (int n = 0; n < src->h.n;) {
        struct part p = {.n0 = n, .nn = 1, .ncb = nin, .nkb = nout, .nx = dst->h.s[0]};
        if (whole) {
            p.nn = pv_units_per_launch(src->dev, 2, both, unit, NULL, n, src->h.n - n);
            launch_part(label, in, packed, dst, d, upward, true, &p, bias, accum, fresh);
        } else {
            p.ncb = p.nkb = 1;
            /* planes of one launch: halve (even numbers for conv_up) until both sides fit */
            int nx = dst->h.s[0], least = upward ? 2 : 1;
            while (nx > least && !(fits(dst, nx * pv_shape_plane(&dst->h)) &&
                   fits(src, (upward ? nx / 2 + 2 : (nx - 1) * d->stride + d->k[0]) * pv_shape_plane(&src->h))))
                nx = upward ? (nx + 3) / 4 * 2 : (nx + 1) / 2;
            for (p.kb0 = 0; p.kb0 < nout; p.kb0++)
                for (p.cb0 = 0; p.cb0 < nin; p.cb0++)
                    for (p.x0 = 0; p.x0 < dst->h.s[0]; p.x0 += nx) {
                        p.nx = pv_min(nx, dst->h.s[0] - p.x0);
                        launch_part(label, in, packed, dst, d, upward, false, &p, bias, accum, fresh);
                    }
        }
        n += p.nn;
    }
    return true;
}

bool conv_run_down(const char *label, const struct conv_in *fine, pv_tensor *packed, pv_tensor *coarse,
                   const struct conv_desc *d, bool bias, bool accum, bool fresh)
{
    return run_gather(label, fine, packed, coarse, d, false, bias, accum, fresh);
}

bool conv_run_up(const char *label, const struct conv_in *coarse, pv_tensor *packed, pv_tensor *fine,
                 const struct conv_desc *d, bool bias, bool accum, bool fresh)
{
    return run_gather(label, coarse, packed, fine, d, true, bias, accum, fresh);
}

/* ---- weight gradients ---- */

static void run_wsum(const char *label, pv_tensor *part, pv_tensor *dw, struct a_wsum a, int v0)
{
    bool fat = pv_class(dw) == PV_FAT;
    struct pv_launch l = {.k = fat ? &fat_wsum : &simt_wsum, .label = label, .args = &a,
                          .groups = {(uint32_t)pv_blocks(a.nb), (uint32_t)pv_blocks(a.nv), 1}};
    int64_t row = (int64_t)a.row * a.taps;
    pv_bind(&l, 0, part);
    pv_bind_range(&l, 1, dw, v0 * row, a.nv * row);
    if (!fits(dw, a.nv * row)) {    /* from the first to the last element of this pair of blocks */
        pv_bind_range(&l, 1, dw, v0 * row + a.b0 * a.taps, (a.nv - 1) * row + a.nb * a.taps);
        a.b0 = 0;
    }
    if (fat)
        pv_run(dw->dev, &l);
    else
        pv_run_items(dw->dev, &l, (uint64_t)a.vb * (uint64_t)a.bb * (uint64_t)a.taps * 256);
}

void conv_sum_slabs(const char *label, pv_tensor *part, int slabs, pv_tensor *dw, int fine, int coarse, int taps,
                    bool accum)
{
    run_wsum(label, part, dw, (struct a_wsum){.slabs = slabs, .vb = pv_blocks(coarse), .bb = pv_blocks(fine),
                                              .taps = taps, .nv = coarse, .nb = fine, .row = fine, .accum = accum}, 0);
}

void conv_sum_channels(const char *label, pv_tensor *part, int slabs, pv_tensor *db, bool accum)
{
    int blocks = pv_blocks(db->h.n);
    struct a_chan a = {.x = 1, .planes = slabs * blocks, .c = db->h.n, .nblk = blocks, .accum = accum};
    struct pv_launch l = {.k = &k_total, .label = label, .args = &a};
    pv_bind(&l, 0, part);
    pv_bind(&l, 1, db);
    pv_run_items(db->dev, &l, (uint64_t)db->h.n);
}

static void launch_wgrad(pv_dev *dev, struct pv_launch *l, struct a_wgrad *a, const struct conv_desc *d, int slabs)
{
    l->flops = 512.0 * a->bb * a->vb * a->kx * a->ky * a->kz * a->planes * a->y * a->z;
    if (conv_tile_wgrad(dev, l, a, d, slabs))
        return;
    int stride = d->stride, taps = a->kx * a->ky * a->kz;
    if (l->k == &fat_wgrad) {
        int nb = a->vb % 2 == 0 && a->kz > 1 ? 2 : 1;
        l->spec[0] = stride;
        l->spec[1] = a->kz;
        l->spec[2] = a->kz == 1 ? 16 : nb == 2 ? 4 : 8;
        l->spec[3] = nb;
        l->groups[0] = (uint32_t)slabs;
        l->groups[1] = (uint32_t)a->bb;
        l->groups[2] = (uint32_t)(a->vb / nb);
    } else {
        l->spec[0] = stride;
        pv_groups(dev, l, (uint64_t)(slabs * taps));
        l->groups[2] = (uint32_t)(a->vb * a->bb);
    }
    l->args = a;
    pv_run(dev, l);
}

/* Binds buffer 3 of tile_wgrad: the table that normalises one of the maps. */
static void normalise(struct pv_launch *l, struct a_wgrad *a, const struct conv_in *fine, const struct conv_in *coarse)
{
    const struct norm_pending *n = coarse->norm.table ? &coarse->norm : &fine->norm;
    l->bind[3] = l->bind[0];
    if (!n->table)
        return;
    pv_bind(l, 3, n->table);
    a->norm = (n == &fine->norm ? WGRAD_BIG : WGRAD_SMALL) | (n->rows > 1 ? WGRAD_ROWS : 0);
    a->slope = n->slope;
}

bool conv_run_wgrad(const char *label, const struct conv_in *fine_in, const struct conv_in *coarse_in, pv_tensor *dw,
                    const struct conv_desc *d, bool accum)
{
    pv_tensor *fine = fine_in->t, *coarse = coarse_in->t;
    if (!fine || !coarse || !dw || pv_dev_failed(dw->dev))
        return true;
    pv_dev *dev = dw->dev;
    struct pv_strides fs = pv_strides_of(fine), cs = pv_strides_of(coarse);
    int taps = conv_taps(d), bb = pv_blocks(fine->h.c), vb = pv_blocks(coarse->h.c), n = coarse->h.n;
    int stx = d->dims == 2 ? 1 : d->stride, X = coarse->h.s[0];
    struct a_wgrad a = {.x = X, .y = coarse->h.s[1], .z = coarse->h.s[2], .kx = d->k[0], .ky = d->k[1],
        .kz = d->k[2], .bn = fs.n, .bbs = fs.b, .bp = fs.p, .br = fs.r, .sn = cs.n, .sbs = cs.b, .sp = cs.p,
        .sr = cs.r};
    int row = (fine->h.b[1] - d->pad[1]) * fs.r + (fine->h.b[2] - d->pad[2]) * 16;
    struct pv_launch l = {.k = pv_class(dw) == PV_FAT ? &fat_wgrad : &simt_wgrad, .label = label};
    struct a_wsum ws = {.taps = taps, .row = fine->h.c};
    int planes = n * X, want = pv_max(1, 32 / (bb * pv_max(1, vb / 2))), slabs = pv_min(planes, want);
    a.rows = a.y;
    a.bb = bb;
    a.vb = vb;
    if (d->how == CONV_COOP)
        slabs = coop_slabs(dev, &a, d, planes);
    else if (d->how != CONV_DIRECT)
        slabs = conv_tile_slabs(&a, planes, bb * vb);
    int per = pv_ceil_div(planes, slabs);
    slabs = pv_ceil_div(planes, per) * pv_ceil_div(a.y, a.rows);
    int64_t part_count = (int64_t)slabs * vb * bb * taps * 256;
    if (fits(fine, pv_shape_stored(&fine->h)) && fits(coarse, pv_shape_stored(&coarse->h)) &&
        (uint64_t)part_count * 4 <= pv_dev_get_info(dev)->limits.max_binding &&
        fits(dw, pv_shape_stored(&dw->h))) {
        pv_tensor *part = pv_tensor_new(dev, pv_flat((int)part_count), PV_F32);
        if (!part)
            return true;
        a.planes = planes;
        a.slab = per;
        a.pbb = bb;
        a.pvb = vb;
        a.bo = (fine->h.b[0] - d->pad[0]) * fs.p + row;
        a.so = cs.first;
        pv_bind(&l, 0, fine);
        pv_bind(&l, 1, coarse);
        pv_bind(&l, 2, part);
        normalise(&l, &a, fine_in, coarse_in);
        launch_wgrad(dev, &l, &a, d, slabs);
        conv_sum_slabs(label, part, slabs, dw, fine->h.c, coarse->h.c, taps, accum);
        pv_tensor_put(&part);
        return true;
    }
    if (fine_in->norm.table || coarse_in->norm.table)
        return false;
    /* split: one pair of blocks and a few planes of one sample at a time, summed into dw after each */
    int nx = X;
    while (nx > 1 && !(fits(coarse, nx * (int64_t)cs.p) && fits(fine, ((nx - 1) * stx + d->k[0]) * (int64_t)fs.p)))
        nx = (nx + 1) / 2;
    pv_tensor *part = pv_tensor_new(dev, pv_flat(taps * 256), PV_F32);
    a.bb = a.pbb = a.vb = a.pvb = 1;
    a.rows = a.y;
    ws.slabs = ws.vb = ws.bb = 1;
    for (int v = 0; part && v < vb; v++)
        for (int b = 0; b < bb; b++)
            for (int s = 0; s < n; s++)
                for (int x0 = 0; x0 < X; x0 += nx) {
                    int m = pv_min(nx, X - x0);
                    a.planes = a.slab = m;
                    a.bo = row;
                    a.so = cs.first - coarse->h.b[0] * cs.p;
                    int plane = x0 * stx + fine->h.b[0] - d->pad[0];
                    pv_bind_range(&l, 0, fine, (int64_t)s * fs.n + (int64_t)b * fs.b + (int64_t)plane * fs.p,
                                  (int64_t)((m - 1) * stx + d->k[0]) * fs.p);
                    pv_bind_range(&l, 1, coarse, (int64_t)s * cs.n + (int64_t)v * cs.b +
                                  (int64_t)(x0 + coarse->h.b[0]) * cs.p, (int64_t)m * cs.p);
                    pv_bind(&l, 2, part);
                    l.bind[3] = l.bind[0];
                    launch_wgrad(dev, &l, &a, d, 1);
                    ws.nv = pv_min(16, coarse->h.c - v * 16);
                    ws.nb = pv_min(16, fine->h.c - b * 16);
                    ws.b0 = b * 16;
                    ws.accum = accum || s > 0 || x0 > 0;
                    run_wsum(label, part, dw, ws, v * 16);
                }
    pv_tensor_put(&part);
    return true;
}

/* ---- channel sums ---- */

/* out[c] (+)= sum of the sums that the op which wrote x left. */
static void join_sums(const char *label, pv_tensor *x, pv_tensor *out, bool accum)
{
    int nblk = pv_blocks(x->h.c);
    struct a_chan a = {.x = x->sums->h.n / (x->h.n * nblk * 16), .planes = x->sums->h.n / 16, .c = x->h.c, .nblk = nblk,
                       .accum = accum};
    struct pv_launch l = {.k = &k_join, .label = label, .args = &a, .groups = {(uint32_t)nblk, 1, 1}};
    pv_bind(&l, 0, x->sums);
    pv_bind(&l, 1, out);
    pv_run(x->dev, &l);
}

void conv_run_chan_sum(const char *label, pv_tensor *x, pv_tensor *out, bool accum)
{
    if (!x || !out || pv_dev_failed(x->dev))
        return;
    if (x->sums) {
        join_sums(label, x, out, accum);
        return;
    }
    const struct pv_shape *h = &x->h;
    int nblk = pv_blocks(h->c), units = h->n * nblk;
    pv_tensor *part = pv_tensor_new(x->dev, pv_flat(units * h->s[0] * 16), PV_F32);
    if (!part)
        return;
    int64_t block = pv_shape_block(h), unit[] = {block, (int64_t)h->s[0] * 16};
    pv_tensor *both[] = {x, part};
    struct a_chan a = {.x = h->s[0], .y = h->s[1], .z = h->s[2], .bx = h->b[0], .by = h->b[1], .bz = h->b[2],
                       .c = h->c, .nblk = nblk, .accum = accum};
    struct pv_launch l = {.k = pv_class(x) == PV_FAT ? &fat_chan : &simt_chan, .label = label, .args = &a};
    if (fits(x, block)) {
        for (int u = 0; u < units;) {
            int m = pv_units_per_launch(x->dev, 2, both, unit, NULL, u, units - u);
            a.planes = m * h->s[0];
            pv_bind_range(&l, 0, x, u * block, m * block);
            pv_bind_range(&l, 1, part, u * unit[1], m * unit[1]);
            pv_groups(x->dev, &l, (uint64_t)a.planes);
            pv_run(x->dev, &l);
            u += m;
        }
    } else {
        /* a block does not fit: plane by plane, x counted as 1 without border */
        a.x = a.planes = 1;
        a.bx = 0;
        int64_t plane = pv_shape_plane(h);
        for (int u = 0; u < units; u++)
            for (int p = 0; p < h->s[0]; p++) {
                pv_bind_range(&l, 0, x, u * block + (p + h->b[0]) * plane, plane);
                pv_bind_range(&l, 1, part, ((int64_t)u * h->s[0] + p) * 16, 16);
                pv_groups(x->dev, &l, 1);
                pv_run(x->dev, &l);
            }
    }
    a.x = h->s[0];
    a.planes = units * h->s[0];
    struct pv_launch lt = {.k = &k_total, .label = label, .args = &a};
    pv_bind(&lt, 0, part);
    pv_bind(&lt, 1, out);
    pv_run_items(x->dev, &lt, (uint64_t)h->c);
    pv_tensor_put(&part);
}

void conv_launch_samples(struct pv_launch *l, const struct conv_in *in, pv_tensor *packed, pv_tensor *dst, int64_t row,
                         pv_tensor *stats, int64_t units, int planes)
{
    pv_tensor *src = in->t, *both[] = {src, dst};
    const int64_t unit[] = {pv_shape_sample(&src->h), pv_shape_sample(&dst->h)};
    for (int n = 0, m; n < src->h.n; n += m) {
        m = pv_units_per_launch(src->dev, 2, both, unit, NULL, n, src->h.n - n);
        pv_bind_samples(l, 0, src, n, m);
        pv_bind(l, 1, packed);
        pv_bind_samples(l, 2, dst, n, m);
        pv_bind(l, 3, in->norm.table ? in->norm.table : packed);
        if (row)
            pv_bind_range(l, 3, in->norm.table, n * row, m * row);
        pv_bind_samples(l, 4, dst, n, m);
        if (stats)
            pv_bind_range(l, 4, stats, n * units, m * units);
        l->groups[2] = (uint32_t)(planes * m);
        pv_run(src->dev, l);
    }
}
