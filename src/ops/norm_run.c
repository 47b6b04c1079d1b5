/* SPDX-License-Identifier: Apache-2.0
 * Launches of norm.cl. A launch covers a run of stored x-planes that fits a binding, so large maps need no other
 * splitting. A plane's rows are worked on in units whose size depends on the shape alone. */
#include "ops/args/norm.h"
#include "ops/norm_impl.h"

#define KERNEL(name, bind, args, wg) {"norm", name, bind, sizeof(struct args), {wg, 1, 1}, NULL}
static const struct pv_kernel fat_table = KERNEL("norm_table", "rrrwxx", a_norm_table, 1);
static const struct pv_kernel simt_table = KERNEL("norm_table", "rrrwxx", a_norm_table, 256);
static const struct pv_kernel k_eval = KERNEL("norm_table_eval", "rrrrw", a_norm_table, 64);
static const struct pv_kernel fat_grad_table = KERNEL("norm_grad_table", "rrwxx", a_norm_table, 1);
static const struct pv_kernel simt_grad_table = KERNEL("norm_grad_table", "rrwxx", a_norm_table, 256);
static const struct pv_kernel fat_stat = KERNEL("norm_stat", "rw", a_norm, 1);
static const struct pv_kernel simt_stat = KERNEL("norm_stat", "rw", a_norm, 64);
static const struct pv_kernel k_fold = KERNEL("norm_fold", "rw", a_norm_fold, 64);
static const struct pv_kernel fat_apply = KERNEL("norm_apply", "rrrrrw", a_norm, 1);
static const struct pv_kernel simt_apply = KERNEL("norm_apply", "rrrrrw", a_norm, 64);
static const struct pv_kernel fat_grad_sum = KERNEL("norm_grad_sum", "rrrrw", a_norm, 1);
static const struct pv_kernel simt_grad_sum = KERNEL("norm_grad_sum", "rrrrw", a_norm, 64);
static const struct pv_kernel fat_grad_apply = KERNEL("norm_grad_apply", "rrrrrxx", a_norm, 1);
static const struct pv_kernel simt_grad_apply = KERNEL("norm_grad_apply", "rrrrrxxw", a_norm, 64);

/* Units of at least 512 voxels where planes have as many, and about 512 of them in a large map. */
static int unit_rows(const struct pv_shape *h)
{
    int64_t voxels = pv_voxels(h) / 512 > 512 ? pv_voxels(h) / 512 : 512;
    int64_t rows = voxels / h->s[2];
    return rows < 1 ? 1 : rows < h->s[1] ? (int)rows : h->s[1];
}

static struct a_norm map_args(const pv_tensor *x, const struct norm_desc *d)
{
    const struct pv_shape *h = &x->h;
    int rows = unit_rows(h);
    struct a_norm a = {.x = h->s[0], .y = h->s[1], .z = h->s[2], .bx = h->b[0], .by = h->b[1], .bz = h->b[2],
                       .blocks = pv_blocks(h->c), .rows = rows, .units = pv_ceil_div(h->s[1], rows),
                       .row = d->kind == PV_NORM_INSTANCE, .slope = d->slope, .keep = d->keep,
                       .keep_scale = d->keep_scale, .key0 = d->key[0], .key1 = d->key[1], .step = d->step,
                       .stream = d->stream, .sample0 = d->sample, .quads = (h->c + 3) / 4};
    a.flags = (d->kind != PV_NORM_NONE ? NORM_SCALE : 0) | (d->batch_stats ? NORM_BATCH_STATS : 0) |
              (d->drop == PV_DROP_CHANNEL ? NORM_DROP_CHANNEL : 0) |
              (d->drop == PV_DROP_ELEMENT ? NORM_DROP_ELEMENT : 0);
    return a;
}

static struct a_norm_table table_args(const pv_tensor *x, const struct norm_desc *d)
{
    const struct pv_shape *h = &x->h;
    int rows = unit_rows(h), table_rows = norm_rows(d, h);
    return (struct a_norm_table){.table_rows = table_rows, .samples = h->n / table_rows, .blocks = pv_blocks(h->c),
                                 .c = h->c, .x = h->s[0], .y = h->s[1], .z = h->s[2], .ux = 1, .uy = rows,
                                 .uz = h->s[2], .ny = pv_ceil_div(h->s[1], rows), .nz = 1, .eps = d->eps,
                                 .momentum = d->momentum};
}

/* Room for two blocks of 16 from every unit of the map. */
static pv_tensor *new_part(const pv_tensor *x)
{
    const struct pv_shape *h = &x->h;
    int units = pv_ceil_div(h->s[1], unit_rows(h));
    return pv_tensor_new(x->dev, pv_flat(h->n * pv_blocks(h->c) * h->s[0] * units * 32), PV_F32);
}

/* ---- runs of planes ---- */

struct walk { int first, count; };

static bool next_planes(struct walk *w, const pv_tensor *x, int num, pv_tensor *const *maps)
{
    int64_t plane = pv_shape_plane(&x->h), unit[] = {plane, plane, plane, plane, plane};
    int total = x->h.n * pv_blocks(x->h.c) * (x->h.s[0] + 2 * x->h.b[0]);
    w->first += w->count;
    if (w->first >= total || pv_dev_failed(x->dev))
        return false;
    int64_t most = (1ll << 30) / plane + 1;         /* kernels count elements in int */
    int left = total - w->first;
    w->count = pv_units_per_launch(x->dev, num, maps, unit, NULL, w->first, most < left ? (int)most : left);
    return true;
}

/* A map's planes of this launch; where there is no map, those of `instead`. */
static void bind_planes(struct pv_launch *l, int i, pv_tensor *t, pv_tensor *instead, const struct walk *w)
{
    int64_t plane = pv_shape_plane(&instead->h);
    pv_bind_range(l, i, t ? t : instead, w->first * plane, w->count * plane);
}

/* Work-groups: units in the fat class and where work-groups reduce, else four channels of a voxel per item. */
static void run_planes(pv_dev *dev, struct pv_launch *l, struct a_norm *a, const struct walk *w, bool reduces)
{
    a->planes = w->count;
    a->p0 = w->first;
    if (reduces || l->k->wg[0] == 1) {
        pv_groups(dev, l, (uint64_t)w->count * (uint64_t)a->units);
        pv_run(dev, l);
    } else {
        pv_run_items(dev, l, (uint64_t)w->count * (uint64_t)a->y * (uint64_t)a->z * 4);
    }
}

/* ---- passes ---- */

static void run_eval(const pv_tensor *x, pv_tensor *table, const struct norm_stats *s, const struct norm_desc *d)
{
    struct a_norm_table a = table_args(x, d);
    struct pv_launch l = {.k = &k_eval, .label = "norm statistics", .args = &a};
    a.flags = (s->gamma ? NORM_GAMMA : 0) | (s->beta ? NORM_BETA : 0);
    pv_bind(&l, 0, s->running_mean);
    pv_bind(&l, 1, s->running_var);
    pv_bind(&l, 2, s->gamma ? s->gamma : s->running_mean);
    pv_bind(&l, 3, s->beta ? s->beta : s->running_mean);
    pv_bind(&l, 4, table);
    pv_run_items(x->dev, &l, (uint64_t)a.blocks * 16);
}

/* Units of a row of the table that norm_table takes at once: its work-group of a block adds them up alone. */
enum { MOST_UNITS = 256 };

/* Statistics that the op which made x left, in few enough units (a new reference), with what the table's arguments say
 * of them. NULL: there are none for a table of this many rows. */
static pv_tensor *stats_of(pv_tensor *x, struct a_norm_table *a)
{
    const struct pv_stats *s = x->stats;
    if (!s || (s->samples != x->h.n && a->table_rows > 1))
        return NULL;
    const int num[] = {pv_ceil_div(s->grid[0], s->unit[0]), pv_ceil_div(s->grid[1], s->unit[1]),
                       pv_ceil_div(s->grid[2], s->unit[2])};
    a->samples = s->samples / a->table_rows;
    a->x = s->grid[0], a->y = s->grid[1], a->z = s->grid[2];
    a->ux = s->unit[0], a->uy = s->unit[1], a->uz = s->unit[2];
    a->ny = num[1], a->nz = num[2];
    int join = pv_ceil_div(a->samples * num[0] * num[1] * num[2], MOST_UNITS);
    if (join <= 1 || pv_class(x) == PV_FAT)
        return pv_tensor_ref(s->part);
    struct a_norm_fold f = {.samples = s->samples, .blocks = a->blocks, .x = a->x, .y = a->y, .z = a->z, .ux = a->ux,
                            .uy = a->uy, .uz = a->uz, .fy = 1, .fz = pv_min(join, num[2])};
    if (f.fz == num[2])
        f.fy = pv_min(num[1], pv_ceil_div(join, num[2]));
    a->uy *= f.fy;
    a->uz *= f.fz;
    a->ny = pv_ceil_div(num[1], f.fy);
    a->nz = pv_ceil_div(num[2], f.fz);
    int groups = s->samples * a->blocks * num[0] * a->ny * a->nz;
    pv_tensor *few = pv_tensor_new(x->dev, pv_flat(groups * 32), PV_F32);
    struct pv_launch l = {.k = &k_fold, .label = "norm statistics", .args = &f};
    pv_bind(&l, 0, s->part);
    pv_bind(&l, 1, few);
    pv_groups(x->dev, &l, (uint64_t)groups);
    l.groups[2] = 1;
    if (few)
        pv_run(x->dev, &l);
    return few;
}

void norm_run_table(pv_tensor *x, pv_tensor *table, const struct norm_stats *s, const struct norm_desc *d)
{
    if (!d->batch_stats) {
        run_eval(x, table, s, d);
        return;
    }
    struct a_norm_table a = table_args(x, d);
    pv_tensor *part = stats_of(x, &a);
    bool known = part != NULL;
    if (!known)
        part = new_part(x);
    for (struct walk w = {0}; part && !known && next_planes(&w, x, 1, &x);) {
        struct a_norm m = map_args(x, d);
        struct pv_launch l = {.k = pv_class(x) == PV_FAT ? &fat_stat : &simt_stat, .label = "norm statistics",
                              .args = &m};
        bind_planes(&l, 0, x, x, &w);
        pv_bind(&l, 1, part);
        run_planes(x->dev, &l, &m, &w, true);
    }
    if (!part)
        return;
    struct pv_launch l = {.k = pv_class(x) == PV_FAT ? &fat_table : &simt_table, .label = "norm statistics",
                          .args = &a,
                          .groups = {(uint32_t)a.blocks, 1, 1}};
    a.flags = (s->gamma ? NORM_GAMMA : 0) | (s->beta ? NORM_BETA : 0) | (s->running_mean ? NORM_RUN_MEAN : 0);
    pv_bind(&l, 0, part);
    pv_bind(&l, 1, s->gamma ? s->gamma : part);
    pv_bind(&l, 2, s->beta ? s->beta : part);
    pv_bind(&l, 3, table);
    pv_bind(&l, 4, s->running_mean ? s->running_mean : table);
    pv_bind(&l, 5, s->running_var ? s->running_var : table);
    pv_run(x->dev, &l);
    pv_tensor_put(&part);
}

void norm_run_apply(pv_tensor *x, pv_tensor *table, pv_tensor *res, pv_tensor *skip, pv_tensor *y,
                    const struct norm_desc *d)
{
    struct norm_pending p = {.x = skip};
    bool pending = norm_is_pending(skip, &p);
    if (!pv_tensor_pin(pending ? p.table : x) || (skip && !pv_tensor_pin(p.x)))
        return;
    pv_tensor *maps[] = {x, res, p.x, y};
    bool large = pv_tensor_bytes(y) >= 32u << 20;
    for (struct walk w = {0}; next_planes(&w, x, 4, maps);) {
        struct a_norm a = map_args(x, d);
        struct pv_launch l = {.k = pv_class(x) == PV_FAT ? &fat_apply : &simt_apply, .label = "norm fwd",
                              .args = &a};
        a.flags |= (res ? NORM_RES : 0) | (skip ? NORM_SKIP : 0) | (large ? NORM_STREAM : 0) |
                   (pending ? NORM_SKIP_SCALE : 0);
        a.skip_row = p.rows > 1;
        a.skip_slope = pending ? p.slope : 1;
        bind_planes(&l, 0, x, x, &w);
        bind_planes(&l, 1, x, x, &w);
        if (table)
            pv_bind(&l, 1, table);
        bind_planes(&l, 2, res, x, &w);
        bind_planes(&l, 3, p.x, x, &w);
        bind_planes(&l, 4, x, x, &w);
        if (pending)
            pv_bind(&l, 4, p.table);
        bind_planes(&l, 5, y, x, &w);
        run_planes(x->dev, &l, &a, &w, false);
    }
    pv_tensor_unpin(pending ? p.table : x);
    pv_tensor_unpin(p.x);
}

pv_tensor *norm_run_grad_table(pv_tensor *dy, pv_tensor *x, pv_tensor *table, pv_tensor *res,
                               const struct norm_grads *g, const struct norm_desc *d)
{
    pv_tensor *part = new_part(x), *maps[] = {dy, x, res};
    pv_tensor *back = pv_tensor_new(x->dev, pv_flat(norm_table_size(d, &x->h) / 2), PV_F32);
    for (struct walk w = {0}; part && back && next_planes(&w, x, 3, maps);) {
        struct a_norm a = map_args(x, d);
        struct pv_launch l = {.k = pv_class(x) == PV_FAT ? &fat_grad_sum : &simt_grad_sum, .label = "norm bwd sums",
                              .args = &a};
        a.flags |= res ? NORM_RES : 0;
        bind_planes(&l, 0, dy, x, &w);
        pv_bind(&l, 1, table);
        bind_planes(&l, 2, x, x, &w);
        bind_planes(&l, 3, res, x, &w);
        pv_bind(&l, 4, part);
        run_planes(x->dev, &l, &a, &w, true);
    }
    if (part && back) {
        struct a_norm_table a = table_args(x, d);
        struct pv_launch l = {.k = pv_class(x) == PV_FAT ? &fat_grad_table : &simt_grad_table,
                              .label = "norm bwd sums", .args = &a,
                              .groups = {(uint32_t)a.blocks, 1, 1}};
        a.flags = (g->dgamma ? NORM_DGAMMA : 0) | (g->add_gamma ? NORM_DGAMMA_ADD : 0) |
                  (g->dbeta ? NORM_DBETA : 0) | (g->add_beta ? NORM_DBETA_ADD : 0);
        pv_bind(&l, 0, part);
        pv_bind(&l, 1, table);
        pv_bind(&l, 2, back);
        pv_bind(&l, 3, g->dgamma ? g->dgamma : back);
        pv_bind(&l, 4, g->dbeta ? g->dbeta : back);
        pv_run(x->dev, &l);
    }
    pv_tensor_put(&part);
    return back;
}

/* Units of at least 768 voxels where planes have as many: enough of them to keep a GPU's memory busy. */
static int grad_rows(const struct pv_shape *h) { return pv_max(1, pv_min(h->s[1], pv_ceil_div(768, h->s[2]))); }

/* Room for the sums of dx (a new reference), which a bias's gradient is made of (conv_run_chan_sum). NULL: without. */
static pv_tensor *new_sums(const pv_tensor *dx)
{
    const struct pv_shape *h = &dx->h;
    int64_t count = (int64_t)h->n * pv_blocks(h->c) * h->s[0] * pv_ceil_div(h->s[1], grad_rows(h)) * 16;
    if (pv_class(dx) == PV_FAT || (uint64_t)count * 4 > pv_dev_get_info(dx->dev)->limits.max_binding)
        return NULL;
    pv_tensor *t = pv_tensor_new(dx->dev, pv_flat((int)count), PV_F32);
    if (t && (uint64_t)count * 4 > pv_buf_segment(t->buf))
        pv_tensor_put(&t);
    return t;
}

void norm_run_grad_apply(pv_tensor *dy, pv_tensor *x, pv_tensor *table, pv_tensor *res, pv_tensor *back,
                         const struct norm_grads *g, const struct norm_desc *d)
{
    pv_tensor *maps[] = {g->in_place ? NULL : dy, x, res, g->dx, g->dres}, *some = g->dx ? g->dx : g->dres;
    pv_tensor *sums = g->dx ? new_sums(g->dx) : NULL;
    for (struct walk w = {0}; some && next_planes(&w, some, 5, maps);) {
        struct a_norm a = map_args(some, d);
        struct pv_launch l = {.k = pv_class(some) == PV_FAT ? &fat_grad_apply : &simt_grad_apply,
                              .label = "norm bwd", .args = &a};
        a.flags |= (res ? NORM_RES : 0) | (x ? NORM_X : 0) | (g->in_place ? NORM_IN_PLACE : 0) |
                   (g->dx ? NORM_DX : 0) | (g->add_x ? NORM_DX_ADD : 0) | (g->dres ? NORM_DRES : 0) |
                   (g->add_res ? NORM_DRES_ADD : 0);
        a.flags &= back && g->dx ? ~0 : ~NORM_BATCH_STATS;
        a.flags |= sums ? NORM_SUMS : 0;
        if (pv_class(some) != PV_FAT) {
            a.rows = grad_rows(&some->h);
            a.units = pv_ceil_div(a.y, a.rows);
        }
        bind_planes(&l, 0, g->in_place ? x : dy, some, &w);
        if (table)
            pv_bind(&l, 1, table);
        else
            bind_planes(&l, 1, x, some, &w);
        bind_planes(&l, 2, x, some, &w);
        bind_planes(&l, 3, res, some, &w);
        if (back)
            pv_bind(&l, 4, back);
        else
            bind_planes(&l, 4, x, some, &w);
        bind_planes(&l, 5, g->dx, some, &w);
        bind_planes(&l, 6, g->dres, some, &w);
        if (sums)
            pv_bind(&l, 7, sums);
        else
            bind_planes(&l, 7, g->dx, some, &w);
        run_planes(some->dev, &l, &a, &w, true);
    }
    if (g->dx) {
        pv_tensor_put(&g->dx->sums);
        g->dx->sums = sums;
    }
}
