/* SPDX-License-Identifier: Apache-2.0
 * Batches as functions of (seed, step) (sampler.h). */
#include "data/sampler.h"

#include "base/base.h"
#include "base/rng.h"

bool pv_sampler_check(const struct pv_sampler *s)
{
    if (s->labeled_bs < 0 || s->unlabeled_bs < 0 || s->labeled_bs + s->unlabeled_bs < 1)
        return pv_fail(PV_FAULT_USAGE, "a batch needs at least one volume");
    if (s->labeled_bs > 0 && (s->replacement ? 1 : s->labeled_bs) > s->num_labeled)
        return pv_fail(PV_FAULT_USAGE,
                       "%d labelled volumes cannot fill a batch with %d (train.labeled_batch): take a smaller "
                       "--batch, more of --labeled, or --set data.replacement=true",
                       s->num_labeled, s->labeled_bs);
    if (s->unlabeled_bs > 0 && s->num_unlabeled < 1)
        return pv_fail(PV_FAULT_USAGE, "the batch has %d unlabelled volumes (train.unlabeled_batch), but all volumes "
                       "are labelled: take fewer of --labeled",
                       s->unlabeled_bs);
    return true;
}

/* The shuffled numbers 0 .. n - 1 of one pass. */
static void permutation(const struct pv_sampler *s, const char *stream, uint64_t pass, int *v, int n)
{
    struct pv_rng r = pv_rng_make(s->seed, pv_stream(stream, pass, 0));
    for (int i = 0; i < n; i++)
        v[i] = i;
    pv_rng_shuffle(&r, v, n);
}

static void draw(const struct pv_sampler *s, const char *stream, uint64_t step, int *out, int bs, int n)
{
    struct pv_rng r = pv_rng_make(s->seed, pv_stream(stream, step, 1));
    for (int i = 0; i < bs; i++)
        out[i] = (int)pv_rng_below(&r, (uint32_t)n);
}

void pv_sampler_batch(const struct pv_sampler *s, uint64_t step, int *labeled, int *unlabeled)
{
    if (s->replacement) {
        draw(s, "labeled", step, labeled, s->labeled_bs, s->num_labeled);
        draw(s, "unlabeled", step, unlabeled, s->unlabeled_bs, s->num_unlabeled);
        return;
    }
    int *order = pv_array(int, pv_max(s->num_labeled, s->num_unlabeled) + 1);
    if (s->labeled_bs > 0) {
        uint64_t chunks = (uint64_t)(s->num_labeled / s->labeled_bs), chunk = step % chunks;
        permutation(s, "labeled", step / chunks, order, s->num_labeled);
        for (int i = 0; i < s->labeled_bs; i++)
            labeled[i] = order[(int)chunk * s->labeled_bs + i];
    }
    uint64_t made = UINT64_MAX, n = (uint64_t)s->num_unlabeled;
    for (int i = 0; i < s->unlabeled_bs; i++) {
        uint64_t at = step * (uint64_t)s->unlabeled_bs + (uint64_t)i;
        if (at / n != made) {
            made = at / n;
            permutation(s, "unlabeled", made, order, s->num_unlabeled);
        }
        unlabeled[i] = order[at % n];
    }
    pv_free(order);
}

uint64_t pv_sampler_epoch_steps(const struct pv_sampler *s)
{
    int n = s->labeled_bs > 0 ? s->num_labeled : s->num_unlabeled;
    int bs = s->labeled_bs > 0 ? s->labeled_bs : s->unlabeled_bs;
    return (uint64_t)pv_max(n / pv_max(bs, 1), 1);
}
