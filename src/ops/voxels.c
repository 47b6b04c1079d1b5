/* SPDX-License-Identifier: Apache-2.0
 * Drawing voxels and reading their features: shapes, the tape, launches. Masks are cut at channels, maps into any runs
 * of stored rows; counts of voxels, rows and results must fit a binding each. */
#include "ops/voxels.h"

#include "ops/args/voxels.h"
#include "ops/op.h"
#include "ops/voxels_impl.h"

static const struct pv_kernel
    k_words = {"voxels", "voxel_words", "rw", sizeof(struct a_vxword), {64, 1, 1}, NULL},
    k_scan = {"voxels", "voxel_scan", "rww", sizeof(struct a_vxscan), {64, 1, 1}, NULL},
    k_total = {"voxels", "voxel_total", "x", sizeof(struct a_vxscan), {64, 1, 1}, NULL},
    k_draw = {"voxels", "voxel_draw", "rrrrrw", sizeof(struct a_vxdraw), {64, 1, 1}, NULL},
    k_rows = {"voxels", "voxel_rows", "rrx", sizeof(struct a_vxrows), {64, 1, 1}, NULL},
    k_rows_bwd = {"voxels", "voxel_rows_bwd", "rrx", sizeof(struct a_vxrows), {64, 1, 1}, NULL};

static double *data(const pv_tensor *t) { return t ? pv_ref_data(t) : NULL; }
static pv_tensor *new_ints(pv_dev *dev, int64_t n) { return pv_tensor_new(dev, pv_flat((int)n), PV_I32); }

/* ---- drawing ---- */

static void make_words(pv_tensor *mask, pv_tensor *words, int wv)
{
    int v = (int)pv_voxels(&mask->h), n = mask->h.n, c = mask->h.c;
    for (int k = 0; k < c; k++)
        for (int s = 0; s < n; s++)
            for (int v0 = 0, fit; v0 < v; v0 += fit) {
                int64_t at = ((int64_t)s * c + k) * v + v0;
                fit = pv_units_per_launch(mask->dev, 1, &mask, (int64_t[]){1}, NULL, at, v - v0);
                if (fit < v - v0)
                    fit = pv_max(32, fit / 32 * 32);
                struct a_vxword a = {.v = fit, .num = pv_ceil_div(fit, 32), .w0 = (k * n + s) * wv + v0 / 32};
                struct pv_launch l = {.k = &k_words, .label = "voxel draw", .args = &a};
                pv_bind_range(&l, 0, mask, at, fit);
                pv_bind(&l, 1, words);
                pv_run_items(mask->dev, &l, (uint64_t)a.num);
            }
}

static void draw(pv_tensor *mask, pv_tensor *weights, pv_tensor *given, const struct voxel_key *key, pv_tensor *out)
{
    pv_dev *dev = mask->dev;
    int v = (int)pv_voxels(&mask->h), wv = pv_ceil_div(v, 32), wc = mask->h.n * wv, c = mask->h.c;
    struct a_vxscan s = {.c = c, .wc = wc, .sc = pv_ceil_div(wc, VX_SEGMENT)};
    pv_tensor *words = new_ints(dev, (int64_t)c * wc), *counts = new_ints(dev, (int64_t)c * wc);
    pv_tensor *segments = new_ints(dev, c * s.sc);
    if (words && counts && segments) {
        make_words(mask, words, wv);
        struct pv_launch scan = {.k = &k_scan, .label = "voxel draw", .args = &s};
        pv_bind(&scan, 0, words);
        pv_bind(&scan, 1, counts);
        pv_bind(&scan, 2, segments);
        pv_run_items(dev, &scan, (uint64_t)c * (uint64_t)s.sc);
        struct pv_launch total = {.k = &k_total, .label = "voxel draw", .args = &s};
        pv_bind(&total, 0, segments);
        pv_run_items(dev, &total, (uint64_t)c);
        struct a_vxdraw a = {.num = out->h.n, .c = c, .wc = wc, .sc = s.sc, .wv = wv, .v = v,
            .weighted = weights != NULL, .given = given != NULL, .key0 = key->key[0], .key1 = key->key[1],
            .step = key->step, .stream = key->stream, .sample0 = key->sample0};
        struct pv_launch l = {.k = &k_draw, .label = "voxel draw", .args = &a};
        pv_bind(&l, 0, words);
        pv_bind(&l, 1, counts);
        pv_bind(&l, 2, segments);
        pv_bind(&l, 3, weights ? weights : words);
        pv_bind(&l, 4, given ? given : words);
        pv_bind(&l, 5, out);
        pv_run_items(dev, &l, (uint64_t)a.num);
    }
    pv_tensor_put(&words);
    pv_tensor_put(&counts);
    pv_tensor_put(&segments);
}

pv_tensor *pv_voxel_draw(pv_tape *t, pv_tensor *mask, pv_tensor *weights, int num, pv_tensor *words)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &mask))
        return NULL;
    int64_t v = pv_voxels(&mask->h), bits = (v + 31) / 32 * mask->h.n * mask->h.c;
    if (mask->h.layout != PV_PLAIN || mask->type != PV_F32 || num < 1 || mask->h.n * v > INT32_MAX ||
        bits > INT32_MAX || (weights && (weights->type != PV_F32 || pv_shape_count(&weights->h) != mask->h.c)) ||
        (words && (words->type != PV_I32 || pv_shape_count(&words->h) != 2 * (int64_t)num)))
        return pv_op_bad("voxel_draw", "takes a PLAIN mask, as many weights as channels (%d), 2 words for %d draws",
                         mask->h.c, num);
    pv_tensor *out = new_ints(t->dev, num);
    struct voxel_key key = {.key = {(uint32_t)t->seed, (uint32_t)(t->seed >> 32)}, .step = (uint32_t)t->step,
                            .stream = t->pass << 16 | (t->layer & 0xffff), .sample0 = (uint32_t)t->first_sample};
    t->layer += words == NULL;
    if (out && pv_tensor_pin(mask)) {
        if (pv_is_ref(mask))
            ref_voxel_draw(data(mask), mask->h.n, mask->h.c, v, data(weights), data(words), &key, num, data(out));
        else
            draw(mask, weights, words, &key, out);
        pv_tensor_unpin(mask);
    }
    return out;
}

/* ---- features ---- */

/* Runs the kernel on every run of rows of the map (back: of its gradient) that a binding takes, for every block. */
static void run_rows(const struct pv_kernel *k, pv_tensor *map, pv_tensor *idx, pv_tensor *rows, bool back,
                     int64_t first, int64_t all, bool clear)
{
    const struct pv_shape *h = &map->h;
    struct pv_strides s = pv_strides_of(map);
    int64_t v = pv_voxels(h), total = pv_shape_stored(h) / PV_LANES;
    for (int64_t lo = 0, fit; lo < total; lo += fit) {
        fit = pv_units_per_launch(map->dev, 1, &map, (int64_t[]){PV_LANES}, NULL, lo, (int)(total - lo));
        for (int b = 0; b < pv_blocks(h->c); b++) {
            struct a_vxrows a = {.num = idx->h.n, .d = h->c, .b = b, .first = (int)first,
                .end = (int)(first + h->n * v), .x = h->s[0], .y = h->s[1], .z = h->s[2], .sn = s.n / PV_LANES,
                .sb = s.b / PV_LANES, .sp = s.p / PV_LANES, .sr = s.r / PV_LANES, .s0 = s.first / PV_LANES,
                .lo = (int)lo, .hi = (int)(lo + fit), .clear = clear && lo == 0, .all = (int)all};
            struct pv_launch l = {.k = k, .label = back ? "voxel rows bwd" : "voxel rows", .args = &a};
            pv_bind_range(&l, back ? 2 : 0, map, lo * PV_LANES, fit * PV_LANES);
            pv_bind(&l, 1, idx);
            pv_bind(&l, back ? 0 : 2, rows);
            pv_run_items(map->dev, &l, (uint64_t)a.num * (back ? PV_LANES : 1));
        }
    }
}

static void rows_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *idx = n->saved[0], *dy = pv_out_grad(n, 0);
    int64_t first = 0;
    for (int i = 0; i < n->num_in; i++) {
        pv_tensor *f = n->in[i];
        int64_t v = pv_voxels(&f->h);
        bool accum;
        pv_tensor *df = pv_grad_slot(t, f, &accum);
        if (df && !accum)
            pv_tensor_zero(df);
        if (df && pv_is_ref(f))
            ref_voxel_rows_bwd(data(dy), f->h.n, f->h.c, v, first, data(idx), idx->h.n, data(df));
        else if (df)
            run_rows(&k_rows_bwd, df, idx, dy, true, first, 0, false);
        first += f->h.n * v;
    }
}

pv_tensor *pv_voxel_rows(pv_tape *t, int num_maps, pv_tensor *const *f, pv_tensor *idx)
{
    pv_ops_init();
    if (num_maps < 1 || num_maps > PV_VOXEL_MAPS)
        return pv_op_bad("voxel_rows", "takes 1 to %d maps", PV_VOXEL_MAPS);
    if (!idx || !pv_op_ready(t, num_maps, f))
        return NULL;
    int64_t all = 0, first = 0;
    bool ok = idx->type == PV_I32 && idx->h.layout == PV_FLAT;
    for (int i = 0; i < num_maps; i++) {
        const struct pv_shape *h = &f[i]->h;
        ok = ok && h->layout == PV_BLOCKED && f[i]->type == PV_F32 && h->c == f[0]->h.c && h->dims == f[0]->h.dims;
        for (int k = 0; k < 3; k++)
            ok = ok && h->s[k] == f[0]->h.s[k];
        all += h->n * pv_voxels(h);
    }
    if (!ok || all > INT32_MAX || (int64_t)idx->h.n * f[0]->h.c > INT32_MAX)
        return pv_op_bad("voxel_rows", "takes BLOCKED maps of equal grids and channels, FLAT I32 numbers");
    pv_tensor *y = pv_tensor_new(t->dev, pv_flat(idx->h.n * f[0]->h.c), PV_F32);
    if (y && pv_is_ref(y))
        pv_tensor_zero(y);
    if (y && pv_pin_all(num_maps, f)) {
        for (int i = 0; i < num_maps; i++) {
            int64_t v = pv_voxels(&f[i]->h);
            if (pv_is_ref(y))
                ref_voxel_rows(data(f[i]), f[i]->h.n, f[i]->h.c, v, first, data(idx), idx->h.n, data(y));
            else
                run_rows(&k_rows, f[i], idx, y, false, first, all, i == 0);
            first += f[i]->h.n * v;
        }
        pv_unpin_all(num_maps, f);
    }
    if (y && pv_tape_wants(t, num_maps, f))
        pv_node_save(pv_tape_record(t, "voxel_rows", rows_backward, num_maps, f, 1, &y, NULL, 0), idx);
    return y;
}
