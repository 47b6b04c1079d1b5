/* SPDX-License-Identifier: Apache-2.0
 * Percentiles: the passes of a radix selection. Nothing is read back: rank and fraction live in a small state
 * tensor. */
#include <math.h>

#include "ops/args/percentile.h"
#include "ops/op.h"
#include "ops/reduce.h"
#include "ops/reduce_impl.h"

PLAIN_KERNEL(k_hist, "percentile", "pct_hist", "rrrw", a_pct);
PLAIN_KERNEL(k_pick, "percentile", "pct_pick", "rx", a_pct);
PLAIN_KERNEL(k_next, "percentile", "pct_next", "rrrw", a_pct);
static const struct pv_kernel k_end = {"percentile", "pct_end", "rrw", sizeof(struct a_pct), {1, 1, 1}, NULL};

enum { BINS = 256, GROUPS = 256, CHUNK = 4096 };   /* bins of a pass; groups at most; elements of one at least */

/* A pass over all elements. */
static void walk(const struct pv_kernel *k, struct a_pct a, int64_t count, pv_tensor *x, pv_tensor *mask,
                 pv_tensor *state, pv_tensor *parts)
{
    struct pv_launch l = {.k = plain_kernel(k, x->dev), .label = "percentile", .args = &a};
    pv_tensor *both[] = {x, mask};
    const int64_t unit[] = {a.chunk, a.chunk};
    for (int g = 0; g < a.groups && !pv_dev_failed(x->dev);) {
        int m = pv_units_per_launch(x->dev, 2, both, unit, NULL, g, a.groups - g);
        int64_t first = (int64_t)g * a.chunk, left = count - first, all = (int64_t)m * a.chunk;
        a.g0 = g;
        a.count = (int)(all < left ? all : left);
        pv_bind_range(&l, 0, x, first, a.count);
        pv_bind_range(&l, 1, mask ? mask : x, first, a.count);
        pv_bind(&l, 2, state);
        pv_bind(&l, 3, parts);
        pv_groups(x->dev, &l, (uint64_t)m);
        pv_run(x->dev, &l);
        g += m;
    }
}

static void percentile(pv_tensor *x, double q, pv_tensor *mask, pv_tensor *y)
{
    const int64_t count = pv_shape_count(&x->h);
    int64_t chunk = (int64_t)pv_round_up((uint64_t)(count + GROUPS - 1) / GROUPS, 64);
    chunk = chunk < CHUNK ? CHUNK : chunk;
    struct a_pct a = {.chunk = (int)chunk, .masked = mask != NULL, .groups = (int)((count + chunk - 1) / chunk),
                      .qhi = UINT32_MAX, .qlo = UINT32_MAX};
    if (q < 100) {
        double f = ldexp(q / 100, 32);
        a.qhi = (uint32_t)f;
        a.qlo = (uint32_t)ldexp(f - a.qhi, 32);
    }
    pv_tensor *state = pv_tensor_new(x->dev, pv_flat(PCT_STATE), PV_I32);
    pv_tensor *parts = pv_tensor_new(x->dev, pv_flat(a.groups * BINS), PV_I32);
    for (int shift = 24; state && parts && shift >= 0; shift -= 8) {
        a.shift = shift;
        walk(k_hist, a, count, x, mask, state, parts);
        struct pv_launch l = {.k = plain_kernel(k_pick, x->dev), .label = "percentile", .args = &a,
                              .groups = {1, 1, 1}};
        pv_bind(&l, 0, parts);
        pv_bind(&l, 1, state);
        pv_run(x->dev, &l);
    }
    if (state && parts) {
        walk(k_next, a, count, x, mask, state, parts);
        struct pv_launch l = {.k = &k_end, .label = "percentile", .args = &a, .groups = {1, 1, 1}};
        pv_bind(&l, 0, parts);
        pv_bind(&l, 1, state);
        pv_bind(&l, 2, y);
        pv_run(x->dev, &l);
    }
    pv_tensor_put(&state);
    pv_tensor_put(&parts);
}

pv_tensor *pv_percentile_of(pv_tape *t, pv_tensor *x, double q, pv_tensor *mask)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout == PV_BLOCKED || x->type != PV_F32 || !(q >= 0 && q <= 100) ||
        pv_shape_count(&x->h) > 1 << 30)
        return pv_op_bad("percentile", "takes PLAIN or FLAT F32 tensors and 0 <= q <= 100 (q is %g)", q);
    if (mask && (mask->type != PV_F32 || !pv_shape_eq(&x->h, &mask->h)))
        return pv_op_bad("percentile", "the mask must be F32 and shaped like the tensor");
    pv_tensor *y = pv_tensor_new(t->dev, pv_flat(1), PV_F32), *both[] = {x, mask};
    if (y && pv_pin_all(2, both)) {
        if (pv_is_ref(x))
            *pv_ref_data(y) = ref_percentile(pv_ref_data(x), mask ? pv_ref_data(mask) : NULL,
                                             pv_shape_count(&x->h), q);
        else
            percentile(x, q, mask, y);
        pv_unpin_all(2, both);
    }
    return y;
}
