/* SPDX-License-Identifier: Apache-2.0
 * Launches of the tiled simt kernels: which of conv_tile and conv_gemm takes a walk, the split of long sums into slabs
 * that are added in order, the same products on matrix units, and the weight gradients of conv_tile_wgrad. Choices
 * depend on the shape alone. */
#include "dev/matrix.h"
#include "ops/args/conv.h"
#include "ops/args/conv_tile.h"
#include "ops/conv.h"
#include "ops/conv_impl.h"

static const char *const spec_tile[] = {"NB", "WG", "TZ", NULL};
static const char *const spec_wgrad[] = {"S", "KZ", "KG", "WG", NULL};
static const char *const spec_gemm[] = {"NB", "S", "UP", NULL};
static const char *const spec_coop[] = {"NB", "S", "UP", "M", "N", "K", "SUBGROUPS", NULL};
static const char *const spec_mma[] = {"NB", "S", "UP", "UNIT", NULL};

static const struct pv_kernel k_tile[2] = {
    {"conv_tile", "conv_tile", "rrxwr", sizeof(struct a_tile), {128, 1, 1}, spec_tile},
    {"conv_tile", "conv_tile", "rrxwr", sizeof(struct a_tile), {256, 1, 1}, spec_tile},
};
#define GEMM(file, entry, items, spec) {file, entry, "rrxwr", sizeof(struct a_tile), {items, 1, 1}, spec}
static const struct pv_kernel k_gemm = GEMM("conv_gemm", "conv_gemm", 128, spec_gemm);
static const struct pv_kernel k_gemm_sum = GEMM("conv_gemm", "gemm_sum", 64, spec_gemm);
static const struct pv_kernel k_coop = GEMM("conv_coop", "conv_coop", 128, spec_coop);
static const struct pv_kernel k_mma = GEMM("conv_mma", "conv_mma", 128, spec_mma);

#define WGRAD(items) {"conv_tile_wgrad", "tile_wgrad", "rrwr", sizeof(struct a_wgrad), {items, 1, 1}, spec_wgrad}
/* by the number of taps along x and y */
static const struct pv_kernel k_wgrad[] = {[1] = WGRAD(16), [2] = WGRAD(32), [3] = WGRAD(48), [4] = WGRAD(64),
                                           [9] = WGRAD(144)};

/* Work-groups that fill a large GPU. */
enum { ENOUGH = 512, MOST_SLABS = 16, LEAST_STEPS = 8 };

bool pv_conv_has(const pv_dev *dev, const char *impl)
{
    enum pv_dev_class c = pv_dev_get_info(dev)->cls;
    if (pv_streq(impl, "direct"))
        return true;
    if (pv_streq(impl, "coop") || pv_streq(impl, "mma")) {
        const char *name = coop_name(dev, true);
        return name && pv_streq(impl, name);
    }
    if (pv_streq(impl, "clblast"))
        return blas_there(dev);
    return c == (pv_streq(impl, "tile") || pv_streq(impl, "gemm") || pv_streq(impl, "winog") ? PV_SIMT : PV_FAT);
}

static struct a_tile tile_args(const struct a_conv *a)
{
    return (struct a_tile){.n = a->n, .cb = a->cb, .kb = a->kb, .x = a->x, .y = a->y, .z = a->z, .kx = a->kx,
        .ky = a->ky, .kz = a->kz, .sn = a->sn, .sb = a->sb, .sp = a->sp, .sr = a->sr, .dn = a->dn, .db = a->db,
        .dp = a->dp, .dr = a->dr, .so = a->so, .dst0 = a->dst0, .wb = a->wb,
        .flags = (a->accum ? TILE_ACCUM : 0) | (a->bias >= 0 ? TILE_BIAS : 0) | (a->w0 ? TILE_BEHIND : 0),
        .fx = a->fx, .fy = a->fy, .fz = a->fz};
}

bool conv_stats_room(struct pv_launch *l, const pv_tensor *fresh, struct pv_stats *s)
{
    int64_t units = s->samples;
    l->bind[3] = l->bind[2];
    for (int i = 0; i < 3; i++)
        units *= pv_ceil_div(s->grid[i], s->unit[i]);
    if (!fresh || (uint64_t)units * (uint64_t)pv_blocks(fresh->h.c) * 128 >
                      pv_dev_get_info(fresh->dev)->limits.max_binding)
        return false;
    s->part = pv_tensor_new(fresh->dev, pv_flat((int)units * pv_blocks(fresh->h.c) * 32), PV_F32);
    if (s->part && (uint64_t)s->part->h.n * 4 > pv_buf_segment(s->part->buf))
        pv_tensor_put(&s->part);
    pv_bind(l, 3, s->part);
    return s->part != NULL;
}

/* Share of the voxels of tiles that exist, in per cent. */
static int fill(int x, int y, int z, int tz)
{
    int ty = 128 / tz;
    int64_t covered = (int64_t)pv_ceil_div(x, 4) * 4 * pv_ceil_div(y, ty) * ty * pv_ceil_div(z, tz) * tz;
    return (int)((int64_t)x * y * z * 100 / covered);
}

bool tile_kind(const struct conv_desc *d) { return d->dims == 3 && d->stride == 1 && d->k[2] == 3; }

bool gemm_kind(const struct conv_desc *d, bool upward) { return d->stride == 1 || !upward || d->k[2] == 2; }

bool conv_may_normalise(const struct conv_desc *d, bool upward, int rows)
{
    /* conv_gemm: what it reads once, without a border, whatever sample it is of */
    bool once = upward || (d->stride == 2 && d->k[2] == 2);
    return d->how == CONV_TILE || (d->how == CONV_GEMM && once && rows == 1);
}

bool conv_grads_may_normalise(const struct conv_desc *d)
{
    return d->how == CONV_TILE && (d->stride == 1 || d->k[2] == 2);     /* elsewhere a border's place is not known */
}

bool coop_kind(const pv_dev *dev, const struct conv_desc *d, bool upward)
{
    return d->half && gemm_kind(d, upward) && pv_dev_matrix(dev, &(struct pv_matrix){0});
}

const char *coop_name(const pv_dev *dev, bool forced)
{
    struct pv_matrix unit;
    return pv_dev_matrix(dev, &unit) && (forced || !unit.imitated) ? unit.impl : NULL;
}

bool tile_gains(const pv_tensor *src, const pv_tensor *dst)
{
    /* a tile serves few channels on maps that it fits; the product's tiles are of voxels in any arrangement */
    const int *s = dst->h.s;
    return pv_min(src->h.c, dst->h.c) <= 32 && pv_max(fill(s[0], s[1], s[2], 8), fill(s[0], s[1], s[2], 16)) >= 60;
}

/* Binds buffer 4: the table that normalises what is read, if there is one (rows of samples n0 on). */
static void bind_table(struct pv_launch *l, struct a_tile *a, const struct conv_in *in, int n0)
{
    pv_tensor *table = in->norm.table;
    l->bind[4] = l->bind[1];
    if (!table)
        return;
    int row = table->h.n / in->norm.rows;
    pv_bind(l, 4, table);
    if (in->norm.rows > 1)
        pv_bind_range(l, 4, table, (int64_t)n0 * row, (int64_t)a->n * row);
    a->flags |= TILE_NORM | (in->norm.rows > 1 ? TILE_ROWS : 0);
    a->slope = in->norm.slope;
}

static bool run_tile(pv_dev *dev, struct pv_launch *l, const struct a_conv *c, const struct conv_in *in, int n0,
                     pv_tensor *fresh)
{
    int nb = c->kb % 2 == 0 ? 2 : 1, tz = fill(c->x, c->y, c->z, 8) > fill(c->x, c->y, c->z, 16) ? 8 : 16;
    struct a_tile a = tile_args(c);
    int groups[3] = {pv_ceil_div(a.z, tz) * pv_ceil_div(a.y, 128 / tz), pv_ceil_div(a.x, 4), a.n * (a.kb / nb)};
    for (int i = 0; i < 3; i++)
        if ((uint32_t)groups[i] > pv_dev_get_info(dev)->limits.max_groups) {
            pv_debug("ops", "conv: no tiles: more work-groups than the device takes along one dimension");
            return false;
        }
    l->k = &k_tile[nb - 1];
    l->args = &a;
    l->spec[0] = nb;
    l->spec[1] = 128 * nb;
    l->spec[2] = tz;
    for (int i = 0; i < 3; i++)
        l->groups[i] = (uint32_t)groups[i];
    struct pv_stats s = {NULL, a.n, {a.x, a.y, a.z}, {4, 128 / tz, tz}};
    bind_table(l, &a, in, n0);
    a.flags |= conv_stats_room(l, fresh, &s) ? TILE_STATS : 0;
    pv_run(dev, l);
    if (s.part)
        pv_tensor_set_stats(fresh, &s);
    return true;
}

/* unit: NULL, or the matrix unit that multiplies. */
static void run_gemm(pv_dev *dev, struct pv_launch *l, const struct a_conv *c, int stride, bool upward,
                     const struct pv_matrix *unit, const struct conv_in *in, pv_tensor *fresh)
{
    struct a_tile a = tile_args(c), sum = a;
    int taps = a.kx * a.ky * a.kz;
    if (upward) {
        a.x = pv_ceil_div(a.fx, 2);
        a.y = pv_ceil_div(a.fy, 2);
        a.z = pv_ceil_div(a.fz, 2);
    }
    int voxels = a.x * a.y * a.z, blocks = upward ? a.kb * taps : a.kb, steps = upward ? a.cb : a.cb * taps;
    bool mma = unit && pv_streq(unit->impl, "mma");
    int nb = blocks >= 3 ? 4 : blocks, rows = mma ? 128 : unit ? 64 : 256 / nb;
    int groups = pv_ceil_div(a.n * voxels, rows) * pv_ceil_div(blocks, nb);
    int64_t most = (int64_t)(pv_dev_get_info(dev)->limits.max_binding / 64) / ((int64_t)a.n * a.kb * voxels);
    int slabs = pv_min(pv_ceil_div(ENOUGH, groups), steps / LEAST_STEPS);
    slabs = pv_min(slabs, most < MOST_SLABS ? (int)most : MOST_SLABS);
    slabs = !upward && slabs > 1 ? slabs : 1;
    a.per = pv_ceil_div(steps, slabs);
    slabs = pv_ceil_div(steps, a.per);
    l->k = mma ? &k_mma : unit ? &k_coop : &k_gemm;
    l->args = &a;
    l->spec[0] = nb;
    l->spec[1] = upward ? 1 : stride;
    l->spec[2] = upward;
    if (mma) {
        l->spec[3] = unit->imitated ? 0 : unit->k;
    } else if (unit) {
        l->spec[3] = unit->m;
        l->spec[4] = unit->n;
        l->spec[5] = unit->k;
        l->spec[6] = 128 / unit->subgroup;
    }
    pv_groups(dev, l, (uint64_t)pv_ceil_div(a.n * voxels, rows));
    l->groups[2] = (uint32_t)(slabs * pv_ceil_div(blocks, nb));
    bind_table(l, &a, in, 0);
    if (slabs == 1) {
        /* units are runs of voxels of all samples, upward of input voxels by `nb` taps: each has nb output voxels */
        struct pv_stats s = {NULL, 1, {1, upward ? taps : 1, a.n * voxels}, {1, upward ? nb : 1, rows}};
        bool whole = !upward || (a.fx * a.fy * a.fz == taps * voxels && taps % nb == 0);
        a.flags |= conv_stats_room(l, whole ? fresh : NULL, &s) ? TILE_STATS : 0;
        pv_run(dev, l);
        if (s.part)
            pv_tensor_set_stats(fresh, &s);
        return;
    }
    /* partial sums [slab][n][kb][voxel][16], then their sum in order */
    pv_tensor *part = pv_tensor_new(dev, pv_flat(slabs * a.n * a.kb * voxels * 16), PV_F32);
    if (!part)
        return;
    struct pv_launch s = *l;
    s.bind[4] = l->bind[1];
    s.k = &k_gemm_sum;
    s.flops = 0;
    s.args = &sum;
    sum.per = slabs;
    sum.ds = a.ds = a.n * a.kb * voxels * 16;
    pv_bind(&s, 0, part);
    pv_bind(l, 2, part);
    a.dn = a.kb * voxels * 16;
    a.db = voxels * 16;
    a.dp = a.y * a.z * 16;
    a.dr = a.z * 16;
    a.dst0 = 0;
    a.flags &= ~(TILE_ACCUM | TILE_BIAS);
    l->bind[3] = l->bind[2];
    pv_run(dev, l);
    struct pv_stats units = {NULL, a.n, {1, 1, voxels}, {1, 1, GEMM_SUM_RUN}};
    sum.flags |= conv_stats_room(&s, fresh, &units) ? TILE_STATS : 0;
    pv_groups(dev, &s, (uint64_t)a.n * (uint64_t)a.kb * (uint64_t)pv_ceil_div(voxels, GEMM_SUM_RUN));
    s.groups[2] = 1;
    pv_run(dev, &s);
    if (units.part)
        pv_tensor_set_stats(fresh, &units);
    pv_tensor_put(&part);
}

bool conv_tile_run(pv_dev *dev, struct pv_launch *l, const struct a_conv *a, const struct conv_desc *d, bool upward,
                   const struct conv_in *in, int n0, pv_tensor *fresh)
{
    if (d->how == CONV_TILE)
        return run_tile(dev, l, a, in, n0, fresh);
    struct pv_matrix unit;
    bool coop = d->how == CONV_COOP && pv_dev_matrix(dev, &unit);
    if (d->how == CONV_GEMM || coop)
        run_gemm(dev, l, a, d->stride, upward, coop ? &unit : NULL, in, fresh);
    return d->how == CONV_GEMM || coop;
}

/* ---- weight gradients ---- */

int conv_tile_slabs(struct a_wgrad *a, int planes, int pairs)
{
    int want = pv_max(1, ENOUGH / pairs), slabs = pv_min(planes, want);
    /* parts of a plane of at least 8 rows, where whole planes are too few */
    int parts = pv_max(1, pv_min(want / slabs, a->y / 8));
    a->rows = pv_ceil_div(a->y, parts);
    return slabs;
}

bool conv_tile_wgrad(pv_dev *dev, struct pv_launch *l, struct a_wgrad *a, const struct conv_desc *d, int slabs)
{
    int group = a->kx * a->ky;
    if (d->how == CONV_COOP) {
        coop_wgrad(dev, l, a, d, slabs);
        return true;
    }
    if (d->how == CONV_DIRECT || group >= (int)PV_COUNT(k_wgrad) || !k_wgrad[group].file)
        return false;
    /* voxels along z in even pieces, then as many rows as the local memory holds */
    int s = d->stride;
    a->tz = pv_ceil_div(a->z, pv_ceil_div(a->z, s == 1 ? 16 : 8));
    int row = a->kx * ((a->tz - 1) * s + a->kz), room = TILE_CELLS - row * (a->ky - s);
    a->ty = pv_min(a->rows, pv_max(1, room / (row * s + a->tz)));
    a->ty = pv_ceil_div(a->rows, pv_ceil_div(a->rows, a->ty));
    l->k = &k_wgrad[group];
    l->args = a;
    l->spec[0] = s;
    l->spec[1] = a->kz;
    l->spec[2] = group;
    l->spec[3] = group * 16;
    pv_groups(dev, l, (uint64_t)slabs);
    l->groups[2] = (uint32_t)(a->vb * a->bb);
    pv_run(dev, l);
    return true;
}
