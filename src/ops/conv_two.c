/* SPDX-License-Identifier: Apache-2.0
 * Launches of conv2.cl: convolutions of side 2 and stride 2 and their transposes on CPU devices, where the fine map has
 * twice the coarse one's sides and both fit a binding sample by sample. */
#include "ops/args/conv.h"
#include "ops/args/conv2.h"
#include "ops/conv_impl.h"

static const char *const spec[] = {"T", NULL};
static const struct pv_kernel k_down = {"conv2", "conv2_down", "rrxrw", sizeof(struct a_conv2), {1, 1, 1}, spec};
static const struct pv_kernel k_up = {"conv2", "conv2_up", "rrxrw", sizeof(struct a_conv2), {1, 1, 1}, spec};
static const struct pv_kernel k_wgrad = {"conv2", "conv2_wgrad", "rrwrw", sizeof(struct a_conv2_g), {1, 1, 1}, spec};

struct cut { int t, rows, run; };

static bool refuse(const char *why)
{
    pv_debug("ops", "conv: no kernel of side 2: %s", why);
    return false;
}

static bool fits(const pv_tensor *t, int64_t elements)
{
    uint64_t bytes = (uint64_t)elements * 4;
    return bytes <= pv_dev_get_info(t->dev)->limits.max_binding && bytes <= pv_buf_segment(t->buf);
}

/* Evenly cut rows of z and groups of rows, about `want` voxels; `blocks` blocks of each must fit the scratch. */
static bool cut(struct cut *p, int y, int z, int want, int blocks)
{
    static const int tiles[] = {10, 12, 8, 6, 5, 4, 2, 1};
    for (; want > 0; want--) {
        p->run = pv_ceil_div(z, pv_ceil_div(z, want));
        p->rows = pv_max(1, pv_min(y, want / p->run));
        p->rows = pv_ceil_div(y, pv_ceil_div(y, p->rows));
        int num = p->rows * p->run, best = 1 << 30, cost[PV_COUNT(tiles)];
        for (size_t i = 0; i < PV_COUNT(tiles); i++) {
            cost[i] = pv_ceil_div(num, tiles[i]) * (tiles[i] * 10 + 12);
            best = pv_min(best, cost[i]);
        }
        size_t i = 0;           /* the first that is nearly best: few different programs */
        while (cost[i] * 6 > best * 7)
            i++;
        p->t = tiles[i];
        if (blocks * pv_ceil_div(num, p->t) * p->t * 16 <= CONV2_BUF)
            return true;
    }
    return false;
}

bool two_kind(const pv_tensor *fine, const pv_tensor *coarse, const struct conv_desc *d)
{
    for (int i = 0; i < 3; i++)
        if (fine->h.s[i] != coarse->h.s[i] * d->k[i])
            return false;
    return pv_class(fine) == PV_FAT && d->stride == 2 && d->k[2] == 2 && d->pad[2] == 0;
}

static bool can_walk(struct cut *p, const pv_tensor *src, const pv_tensor *dst, const pv_tensor *packed,
                     const pv_tensor *coarse, int blocks)
{
    if (!cut(p, coarse->h.s[1], coarse->h.s[2], 40, blocks))
        return refuse("too many channels for the scratch of a work-item");
    if (!fits(src, pv_shape_sample(&src->h)) || !fits(dst, pv_shape_sample(&dst->h)) || !fits(packed, packed->h.n))
        return refuse("a sample or the weights exceed a binding");
    return true;
}

bool two_run(const char *label, const struct conv_in *in, pv_tensor *packed, pv_tensor *dst, const struct conv_desc *d,
             bool upward, bool bias, bool accum, bool fresh)
{
    pv_tensor *src = in->t, *fine = upward ? dst : src, *coarse = upward ? src : dst;
    int cb = pv_blocks(src->h.c), kb = pv_blocks(dst->h.c);
    const int *s = coarse->h.s;
    struct cut p;
    if (!packed || !can_walk(&p, src, dst, packed, coarse, upward ? cb : cb * conv_taps(d)))
        return false;
    struct pv_strides fs = pv_strides_of(fine), cs = pv_strides_of(coarse);
    struct a_conv2 a = {.cb = cb, .kb = kb, .x = s[0], .y = s[1], .z = s[2], .kx = d->k[0], .rows = p.rows,
        .run = p.run,
        .fn = fs.n, .fb = fs.b, .fp = fs.p, .fr = fs.r, .fine0 = fs.first, .cn = cs.n, .cbs = cs.b, .cp = cs.p,
        .cr = cs.r, .coarse0 = cs.first, .bias = bias, .accum = accum, .norm = in->norm.table != NULL,
        .row = in->norm.rows > 1 ? cb * 64 : 0, .slope = in->norm.slope, .stats = fresh};
    struct pv_launch l = {.k = upward ? &k_up : &k_down, .label = label, .args = &a, .spec = {p.t},
        .groups = {(uint32_t)pv_ceil_div(s[2], p.run), (uint32_t)pv_ceil_div(s[1], p.rows), 0}};
    int64_t units = (int64_t)s[0] * l.groups[0] * l.groups[1] * kb * 32;
    pv_tensor *stats = fresh ? pv_tensor_new(src->dev, pv_flat((int)units * src->h.n), PV_F32) : NULL;
    conv_launch_samples(&l, in, packed, dst, a.row, stats, units, s[0]);
    if (stats) {
        int side = upward ? 2 : 1;
        const int *to = dst->h.s;
        pv_tensor_set_stats(dst, &(struct pv_stats){stats, dst->h.n, {to[0], to[1], to[2]},
                                                    {upward ? d->k[0] : 1, p.rows * side, p.run * side}});
    }
    return true;
}

bool two_run_wgrad(const char *label, const struct conv_in *fine_in, const struct conv_in *coarse_in, pv_tensor *dw,
                   const struct conv_desc *d, bool accum, pv_tensor *db, bool accum_bias)
{
    pv_tensor *fine = fine_in->t, *coarse = coarse_in->t;
    const struct norm_pending *norm = coarse_in->norm.table ? &coarse_in->norm : &fine_in->norm;
    int taps = conv_taps(d), cb = pv_blocks(fine->h.c), kb = pv_blocks(coarse->h.c), kg = kb;
    const int *s = coarse->h.s;
    while (kg % 4 == 0 && kg * cb * taps > 512)     /* sums of half a MiB stay in a core's cache */
        kg /= 2;
    struct cut p;
    if (!cut(&p, s[1], s[2], 80, pv_max(cb * taps, kg)))
        return refuse("too many channels for the scratch of a work-item");
    int batches = coarse->h.n * s[0] * pv_ceil_div(s[1], p.rows) * pv_ceil_div(s[2], p.run);
    int want = pv_max(1, 16 / pv_ceil_div(kb, kg)), most = pv_max(1, 4096 / (cb * kb * taps));
    int per = pv_ceil_div(batches, pv_min(pv_min(want, most), batches)), slabs = pv_ceil_div(batches, per);
    int64_t count = (int64_t)slabs * kb * cb * taps * 256;
    if ((uint64_t)count * 4 > pv_dev_get_info(dw->dev)->limits.max_binding || !fits(fine, pv_shape_stored(&fine->h)) ||
        !fits(coarse, pv_shape_stored(&coarse->h)) || !fits(dw, dw->h.n))
        return refuse("a batch or the partial sums exceed a binding");
    int nb = d->up ? cb : kb;                       /* blocks of the map whose sum is the bias's gradient */
    pv_tensor *part = pv_tensor_new(dw->dev, pv_flat((int)count), PV_F32);
    pv_tensor *bias_part = pv_tensor_new(dw->dev, pv_flat(slabs * nb * 16), PV_F32);
    struct pv_strides fs = pv_strides_of(fine), cs = pv_strides_of(coarse);
    struct a_conv2_g a = {.cb = cb, .kb = kb, .kg = kg, .x = s[0], .y = s[1], .z = s[2], .kx = d->k[0], .rows = p.rows,
        .run = p.run, .batches = batches, .per = per, .fn = fs.n, .fb = fs.b, .fp = fs.p, .fr = fs.r,
        .fine0 = fs.first, .cn = cs.n, .cbs = cs.b, .cp = cs.p, .cr = cs.r, .coarse0 = cs.first,
        .bias = !db ? 0 : d->up ? 2 : 1, .norm = coarse_in->norm.table ? 2 : fine_in->norm.table ? 1 : 0,
        .row = norm->rows > 1 ? pv_blocks(norm == &coarse_in->norm ? coarse->h.c : fine->h.c) * 64 : 0,
        .slope = norm->slope};
    struct pv_launch l = {.k = &k_wgrad, .label = label, .args = &a, .spec = {p.t},
                          .groups = {(uint32_t)slabs, (uint32_t)pv_ceil_div(kb, kg), 1}};
    if (part && bias_part) {
        pv_bind(&l, 0, fine);
        pv_bind(&l, 1, coarse);
        pv_bind(&l, 2, part);
        pv_bind(&l, 3, norm->table ? norm->table : fine);
        pv_bind(&l, 4, bias_part);
        pv_run(dw->dev, &l);
        conv_sum_slabs(label, part, slabs, dw, fine->h.c, coarse->h.c, taps, accum);
        if (db)
            conv_sum_channels(label, bias_part, slabs, db, accum_bias);
    }
    pv_tensor_put(&part);
    pv_tensor_put(&bias_part);
    return true;
}
