/* SPDX-License-Identifier: Apache-2.0
 * Dynamic loss scaling: launches, and the same in plain C for the reference device. */
#include "optim/loss_scale.h"

#include <math.h>

#include "ops/args/loss_scale.h"
#include "ops/op.h"

_Static_assert(LS_SIZE == LOSS_SCALE_SIZE, "one layout");

/* [0] simt, [1] fat */
static const struct pv_kernel k_bad[2] = {
    {"loss_scale", "grad_bad", "rw", sizeof(struct a_grad_bad), {64, 1, 1}, NULL},
    {"loss_scale", "grad_bad", "rw", sizeof(struct a_grad_bad), {1, 1, 1}, NULL}};
static const struct pv_kernel k_judge[2] = {
    {"loss_scale", "scale_judge", "rx", sizeof(struct a_scale_judge), {64, 1, 1}, NULL},
    {"loss_scale", "scale_judge", "rx", sizeof(struct a_scale_judge), {1, 1, 1}, NULL}};
static const struct pv_kernel k_next = {"loss_scale", "scale_next", "x", sizeof(struct a_scale_next), {1, 1, 1}, NULL};

enum { GRAIN = 1024 };
static const float least = 1, most_scale = 4294967296.0f;

void pv_loss_scale_init(pv_tensor *state, double scale)
{
    float v[LS_SIZE] = {[LS_SCALE] = (float)scale, [LS_INVERSE] = (float)(1 / scale)};
    if (state)
        pv_tensor_write(state, v);
}

static void ref_next(double *s, double growth)
{
    if (s[LS_BAD] != 0) {
        s[LS_SCALE] = fmax(s[LS_SCALE] * 0.5, least);
        s[LS_GOOD] = 0;
        s[LS_SKIPPED]++;
    } else if (s[LS_TRIED] != 0 && ++s[LS_GOOD] >= growth) {
        s[LS_SCALE] = fmin(s[LS_SCALE] * 2, most_scale);
        s[LS_GOOD] = 0;
    }
    s[LS_INVERSE] = 1 / s[LS_SCALE];
    s[LS_BAD] = s[LS_TRIED] = s[LS_SKIP] = 0;
}

void pv_loss_scale_next(pv_tensor *state, double growth)
{
    if (!state || pv_dev_failed(state->dev))
        return;
    if (pv_is_ref(state)) {
        ref_next(pv_ref_data(state), growth);
        return;
    }
    struct a_scale_next a = {.growth = (float)growth, .least = least, .most = most_scale};
    struct pv_launch l = {.k = &k_next, .label = "loss scale", .args = &a, .groups = {1, 1, 1}};
    pv_bind(&l, 0, state);
    pv_run(state->dev, &l);
}

pv_tensor *pv_loss_scale_seed(pv_tensor *state)
{
    pv_tensor *seed = state ? pv_tensor_new(state->dev, pv_flat(1), PV_F32) : NULL;
    pv_tensor *v = seed ? pv_tensor_view(state, LS_SCALE, 1) : NULL;
    if (v)
        pv_tensor_copy(seed, v);
    pv_tensor_put(&v);
    return seed;
}

pv_tensor *pv_loss_scale_inverse(pv_tensor *state) { return state ? pv_tensor_view(state, LS_INVERSE, 1) : NULL; }
pv_tensor *pv_loss_scale_skip(pv_tensor *state) { return state ? pv_tensor_view(state, LS_SKIP, 1) : NULL; }
pv_tensor *pv_loss_scale_skipped(pv_tensor *state) { return state ? pv_tensor_view(state, LS_SKIPPED, 1) : NULL; }

/* ---- judging ---- */

static int chunks(int64_t n) { return (int)((n + LS_CHUNK - 1) / LS_CHUNK); }

void pv_judge_begin(struct pv_judge *j, pv_tensor *state, int64_t most, int ranges)
{
    *j = (struct pv_judge){.state = state};
    if (state && !pv_is_ref(state))     /* every launch may end within a chunk: twice for ranges that are split */
        j->part = pv_tensor_new(state->dev, pv_flat(2 * (chunks(most) + ranges)), PV_F32);
}

void pv_judge_add(struct pv_judge *j, pv_tensor *g)
{
    if (!j->state || !g || pv_dev_failed(g->dev))
        return;
    if (pv_is_ref(g)) {
        const double *v = pv_ref_data(g);
        for (int i = 0; i < g->h.n; i++)
            j->bad = j->bad || !isfinite(v[i]);
        return;
    }
    const int64_t unit[] = {GRAIN};
    for (int64_t at = 0, m; j->part && at < g->h.n && !pv_dev_failed(g->dev); at += m) {
        int units = (int)((g->h.n - at + GRAIN - 1) / GRAIN);
        m = (int64_t)GRAIN * pv_units_per_launch(g->dev, 1, &g, unit, NULL, at / GRAIN, units);
        m = m < g->h.n - at ? m : g->h.n - at;
        struct a_grad_bad a = {.count = (KI32)m};
        struct pv_launch l = {.k = &k_bad[pv_class(g) == PV_FAT], .label = "finite", .args = &a};
        if (j->n + chunks(m) > j->part->h.n) {
            pv_op_bad("judge", "more gradients than were announced");
            return;
        }
        pv_bind_range(&l, 0, g, at, m);
        pv_bind_range(&l, 1, j->part, j->n, chunks(m));
        pv_groups(g->dev, &l, (uint64_t)chunks(m));
        pv_run(g->dev, &l);
        j->n += chunks(m);
    }
}

void pv_judge_end(struct pv_judge *j)
{
    if (j->state && pv_is_ref(j->state)) {
        double *s = pv_ref_data(j->state);
        s[LS_SKIP] = j->bad;
        s[LS_TRIED] = 1;
        s[LS_BAD] = s[LS_BAD] != 0 || j->bad;
    } else if (j->part && !pv_dev_failed(j->part->dev)) {
        struct a_scale_judge a = {.count = j->n};
        struct pv_launch l = {.k = &k_judge[pv_class(j->part) == PV_FAT], .label = "finite", .args = &a,
                              .groups = {1, 1, 1}};
        pv_bind(&l, 0, j->part);
        pv_bind(&l, 1, j->state);
        pv_run(j->part->dev, &l);
    }
    pv_tensor_put(&j->part);
}
