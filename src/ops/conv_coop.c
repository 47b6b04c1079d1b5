/* SPDX-License-Identifier: Apache-2.0
 * Weight gradients on matrix units: blocks of a work-group, its tile of a plane, slabs. Choices depend on the shape
 * alone. */
#include "dev/matrix.h"
#include "ops/args/conv.h"
#include "ops/conv_impl.h"

static const char *const spec_coop[] = {"S", "TAPS", "BB", "VB", "M", "N", "K", "SUBGROUPS", NULL};
static const struct pv_kernel k_coop = {"conv_coop_wgrad", "coop_wgrad", "rrw", sizeof(struct a_wgrad), {128, 1, 1},
                                        spec_coop};
static const char *const spec_mma[] = {"NB", "S", "UNIT", NULL};
static const struct pv_kernel k_mma = {"conv_mma_wgrad", "mma_wgrad", "rrw", sizeof(struct a_wgrad), {128, 1, 1},
                                       spec_mma};

/* Work-groups that fill a large GPU; products of 16x16 that 32 work-items sum at most, so that registers hold them. */
enum { ENOUGH = 512, MOST_SUMS = 14 };

/* Blocks of big and of small that a work-group takes. */
struct share { int b, v; };

bool coop_grads_kind(const pv_dev *dev, const struct conv_desc *d)
{
    struct pv_matrix u;
    if (!d->half || !pv_dev_matrix(dev, &u))
        return false;
    return pv_streq(u.impl, "mma") || (16 % u.m == 0 && u.m % 4 == 0 && u.n % 4 == 0);
}

static int at_most(int blocks, int most) { return pv_min(most, blocks > 2 ? 4 : blocks); }

static struct share share_of(const struct a_wgrad *a)
{
    int taps = a->kx * a->ky * a->kz;
    struct share w = {.b = at_most(a->bb, taps >= 8 ? 1 : taps >= 4 ? 2 : 4), .v = at_most(a->vb, 4)};
    while (pv_ceil_div(taps * w.b, 4) * w.v > MOST_SUMS)
        w.v /= 2;
    return w;
}

/* What a plane costs in tiles of ty x tz of `rows` rows, in products of 16 x 16 x 1; a number loaded and rounded counts
 * half a one, a tile's waiting 2048: estimates, not measured. -1: shared memory does not hold the tile. */
static int64_t cost(const struct a_wgrad *a, int s, struct share w, int rows, int ty, int tz)
{
    int hy = ty + (a->ky - 1) / s, hz = tz + (a->kz - 1) / s, plane = pv_min(s, a->ky) * pv_min(s, a->kz) * hy * hz;
    int num = ((ty - 1) * hz + tz + 15) / 16 * 16, row_b = w.b * 4 + 2, row_v = w.v * 4 + 2;
    /* 15: surplus voxels of the last product are read from behind the last plane */
    if (a->kx * plane * row_b + num * row_v > COOP_FOURS || (a->kx * plane + 15) * row_b > COOP_FOURS)
        return -1;
    int loads = pv_min(s, a->kx) * plane * w.b + num * w.v;
    return (int64_t)pv_ceil_div(rows, ty) * pv_ceil_div(a->z, tz) *
           ((int64_t)num * a->kx * a->ky * a->kz * w.b * w.v + 8 * loads + 2048);
}

static void choose_tile(struct a_wgrad *a, int s, struct share w, int rows)
{
    int64_t least = -1;
    for (int pieces = 1, last = 0; pieces <= a->z; pieces++) {
        int tz = pv_ceil_div(a->z, pieces);
        for (int ty = 1; tz != last && ty <= rows; ty++) {
            int64_t c = cost(a, s, w, rows, ty, tz);
            if (c < 0)
                break;
            if (least < 0 || c < least) {
                least = c;
                a->ty = ty;
                a->tz = tz;
            }
        }
        last = tz;
    }
}

/* "mma": 8 pairs of a tap and a block of big by `nb` blocks of small. */
static int mma_blocks(const struct a_wgrad *a) { return a->vb >= 3 ? 4 : a->vb; }

static int mma_groups(const struct a_wgrad *a)
{
    return pv_ceil_div(a->bb * a->kx * a->ky * a->kz, 8) * pv_ceil_div(a->vb, mma_blocks(a));
}

int coop_slabs(const pv_dev *dev, struct a_wgrad *a, const struct conv_desc *d, int planes)
{
    struct pv_matrix u;
    if (pv_dev_matrix(dev, &u) && pv_streq(u.impl, "mma"))
        return conv_tile_slabs(a, planes, mma_groups(a));
    struct share w = share_of(a);
    int want = pv_max(1, ENOUGH / (pv_ceil_div(a->bb, w.b) * pv_ceil_div(a->vb, w.v)));
    choose_tile(a, d->stride, w, a->y);
    /* tiles of a plane first: along planes, one is read once for all its taps */
    int parts = pv_min(want, pv_ceil_div(a->y, a->ty));
    a->rows = pv_ceil_div(a->y, parts);
    return pv_min(planes, pv_max(1, want / pv_ceil_div(a->y, a->rows)));
}

void coop_wgrad(pv_dev *dev, struct pv_launch *l, struct a_wgrad *a, const struct conv_desc *d, int slabs)
{
    struct share w = share_of(a);
    struct pv_matrix u;
    l->args = a;
    pv_dev_matrix(dev, &u);
    if (pv_streq(u.impl, "mma")) {
        l->k = &k_mma;
        l->spec[0] = mma_blocks(a);
        l->spec[1] = d->stride;
        l->spec[2] = u.imitated ? 0 : u.k;
        pv_groups(dev, l, (uint64_t)slabs);
        l->groups[2] = (uint32_t)mma_groups(a);
        pv_run(dev, l);
        return;
    }
    choose_tile(a, d->stride, w, a->rows);
    l->k = &k_coop;
    const int spec[] = {d->stride, a->kx * a->ky * a->kz, w.b, w.v, u.m, u.n, u.k, 128 / u.subgroup};
    for (int i = 0; i < (int)PV_COUNT(spec); i++)
        l->spec[i] = spec[i];
    pv_groups(dev, l, (uint64_t)slabs);
    l->groups[2] = (uint32_t)(pv_ceil_div(a->bb, w.b) * pv_ceil_div(a->vb, w.v));
    pv_run(dev, l);
}
