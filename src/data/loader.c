/* SPDX-License-Identifier: Apache-2.0
 * Batches made ahead (loader.h). Work is cut into samples, numbered from the first step on; threads take
 * the next number as long as its slot of the ring is free. A slot holds the batch of one step and is free
 * again when the caller asks for the batch after it. */
#include "data/loader.h"

#include <string.h>

#include "base/base.h"
#include "data/sampler.h"
#include "platform/platform.h"

struct slot {
    float *image;
    int32_t *label;
    struct pv_sample *samples;
    int missing;                /* samples that are not made yet */
};

struct pv_loader {
    struct pv_loader_params p;
    struct pv_sampler sampler;
    int *labeled, *unlabeled, *labeled_slices, *unlabeled_slices, n, num_slots, num_threads;
    size_t voxels, image_len;   /* of a sample: voxels, and voxels times channels */
    struct slot *slots;
    pv_thread **threads;
    pv_mutex *m;
    pv_cond *changed;
    uint64_t next_sample;       /* to be taken: (step - first_step) * n + place in the batch */
    uint64_t given;             /* batches handed out; the last one's slot is in use */
    struct pv_fault_kept fault; /* of the threads */
    atomic_bool stop;           /* asked for, or a thread failed; also cancels reads */
    struct pv_batch batch;
};

static struct slot *slot_of(struct pv_loader *l, uint64_t batch)
{
    return &l->slots[batch % (uint64_t)l->num_slots];
}

/* Item of the store for one place of the batch, its slice (-1: all), and whether its label is shown. */
static int choose(const struct pv_loader *l, uint64_t number, int place, bool *show, int *slice)
{
    int *chosen = pv_array(int, l->n), item;
    pv_sampler_batch(&l->sampler, number, chosen, chosen + l->p.labeled_bs);
    bool labeled = place < l->p.labeled_bs;
    item = labeled ? l->labeled[chosen[place]] : l->unlabeled[chosen[place]];
    const int *slices = labeled ? l->labeled_slices : l->unlabeled_slices;
    *slice = slices ? slices[chosen[place]] : -1;
    *show = labeled || l->p.reveal;
    pv_free(chosen);
    return item;
}

/* What a sample shows of its volume: a patch, or a slice. */
static void cut_image(const struct pv_loader *l, const struct pv_sample *m, const struct pv_volume *v, float *out)
{
    const size_t slice = (size_t)v->size[1] * (size_t)v->size[2];
    for (int c = 0; c < v->channels; c++, out += l->voxels) {
        const float *image = v->image + (size_t)c * pv_volume_voxels(v);
        if (m->slice < 0)
            pv_aug_f32(&m->aug, v->size, image, 0, out);
        else
            pv_slice_f32(&m->turned, v->size + 1, image + (size_t)m->slice * slice, 0, out);
    }
}

static void cut_label(const struct pv_loader *l, const struct pv_sample *m, const struct pv_volume *v, int32_t *out)
{
    const size_t slice = (size_t)v->size[1] * (size_t)v->size[2];
    if (m->slice < 0)
        pv_aug_label(&m->aug, v->size, v->label, l->p.pad_label, out);
    else
        pv_slice_label(&m->turned, v->size + 1, v->label + (size_t)m->slice * slice, l->p.pad_label, out);
}

static bool make_sample(struct pv_loader *l, struct slot *slot, uint64_t step, int place)
{
    uint64_t rank = (uint64_t)l->p.rank, ranks = (uint64_t)l->p.ranks;
    bool show;
    struct pv_sample m = {0};
    m.item = choose(l, step * ranks + rank, place, &show, &m.slice);
    const struct pv_volume *v = pv_store_get(l->p.store, m.item, &l->stop);
    if (!v)
        return false;
    uint64_t global = rank * (uint64_t)l->n + (uint64_t)place;
    if (m.slice < 0)
        m.aug = pv_aug_draw(&l->p.aug, v->size, l->p.seed, step, global);
    else
        m.turned = pv_slice_draw(&l->p.flat, l->p.seed, step, global);
    int32_t *label = slot->label + (size_t)place * l->voxels;
    bool ok = true;
    if (m.slice >= v->size[0])
        ok = pv_fail(PV_FAULT_INTERNAL, "a stack of %d slices was asked for slice %d", v->size[0], m.slice);
    else if (show && !v->label)
        ok = pv_fail(PV_FAULT_INTERNAL, "the store was not asked for the label of a labelled volume");
    if (ok)
        cut_image(l, &m, v, slot->image + (size_t)place * l->image_len);
    if (ok && show)
        cut_label(l, &m, v, label);
    for (size_t i = 0; !show && i < l->voxels; i++)
        label[i] = PV_LABEL_IGNORE;
    pv_store_put(l->p.store, m.item);
    slot->samples[place] = m;
    return ok;
}

static void work(void *arg)
{
    struct pv_loader *l = arg;
    pv_mutex_lock(l->m);
    while (!atomic_load(&l->stop)) {
        uint64_t batch = l->next_sample / (uint64_t)l->n;
        uint64_t kept = l->given > 0 ? l->given - 1 : 0;    /* oldest batch whose slot is in use */
        if (batch >= kept + (uint64_t)l->num_slots) {
            pv_cond_wait(l->changed, l->m);
            continue;
        }
        int place = (int)(l->next_sample++ % (uint64_t)l->n);
        struct slot *slot = slot_of(l, batch);
        if (place == 0)
            slot->missing = l->n;
        pv_mutex_unlock(l->m);
        bool quiet = pv_fail_quiet(true);
        bool ok = make_sample(l, slot, l->p.first_step + batch, place);
        pv_fail_quiet(quiet);
        pv_mutex_lock(l->m);
        if (!ok) {
            pv_fault_keep(&l->fault, batch * (uint64_t)l->n + (uint64_t)place);
            atomic_store(&l->stop, true);
        }
        if (!ok || --slot->missing == 0)
            pv_cond_broadcast(l->changed);
    }
    pv_mutex_unlock(l->m);
    pv_store_wake(l->p.store);      /* others of us may wait there */
}

static bool make_slots(struct pv_loader *l)
{
    l->slots = pv_array(struct slot, l->num_slots);
    for (int i = 0; i < l->num_slots; i++) {
        struct slot *s = &l->slots[i];
        s->image = pv_alloc_big((size_t)l->n * l->image_len * sizeof *s->image, "batches made ahead");
        s->samples = pv_array(struct pv_sample, l->n);
        s->missing = l->n;
        if (!s->image)
            return false;
        s->label = pv_alloc_big((size_t)l->n * l->voxels * sizeof *s->label, "batches made ahead");
        if (!s->label)
            return false;
    }
    return true;
}

static int *copy_ints(const int *v, int n)
{
    int *out = pv_array(int, n + 1);
    if (n > 0)
        memcpy(out, v, (size_t)n * sizeof *out);
    return out;
}

pv_loader *pv_loader_start(const struct pv_loader_params *p)
{
    struct pv_loader *l = pv_new(struct pv_loader);
    l->p = *p;
    l->p.ranks = pv_max(p->ranks, 1);
    l->labeled = copy_ints(p->labeled, p->num_labeled);
    l->unlabeled = copy_ints(p->unlabeled, p->num_unlabeled);
    l->labeled_slices = p->labeled_slices ? copy_ints(p->labeled_slices, p->num_labeled) : NULL;
    l->unlabeled_slices = p->unlabeled_slices ? copy_ints(p->unlabeled_slices, p->num_unlabeled) : NULL;
    l->n = p->labeled_bs + p->unlabeled_bs;
    l->num_slots = (p->depth > 0 ? p->depth : 3) + 1;
    l->num_threads = p->threads > 0 ? p->threads : pv_cpu_count();
    l->sampler = (struct pv_sampler){.num_labeled = p->num_labeled, .num_unlabeled = p->num_unlabeled,
                                     .labeled_bs = p->labeled_bs, .unlabeled_bs = p->unlabeled_bs,
                                     .replacement = p->replacement, .seed = p->seed};
    l->m = pv_mutex_new();
    l->changed = pv_cond_new();
    if (!l->m || !l->changed) {
        pv_fail(PV_FAULT_INTERNAL, "no memory for a lock");
        goto error;
    }
    if (!pv_sampler_check(&l->sampler))
        goto error;
    l->voxels = 1;
    for (int a = 0; a < 3; a++) {
        if (p->aug.patch[a] < 1 || l->voxels > (size_t)1 << 31) {
            pv_fail(PV_FAULT_USAGE, "a patch of %d x %d x %d voxels cannot be made", p->aug.patch[0],
                    p->aug.patch[1], p->aug.patch[2]);
            goto error;
        }
        l->voxels *= (size_t)p->aug.patch[a];
    }
    l->image_len = l->voxels * (size_t)pv_store_channels(p->store);
    if (!make_slots(l))
        goto error;
    l->threads = pv_array(pv_thread *, l->num_threads);
    for (int i = 0; i < l->num_threads; i++) {
        l->threads[i] = pv_thread_start(work, l);
        if (!l->threads[i] && i == 0) {
            pv_fail(PV_FAULT_INTERNAL, "cannot start a thread: %s", pv_os_error());
            goto error;
        }
    }
    return l;
error:
    pv_loader_stop(&l);
    return NULL;
}

const struct pv_batch *pv_loader_next(pv_loader *l)
{
    pv_mutex_lock(l->m);
    uint64_t number = l->given;
    l->given++;                     /* the slot of the batch before is free from here on */
    pv_cond_broadcast(l->changed);
    struct slot *s = slot_of(l, number);
    while (!atomic_load(&l->stop) && (l->next_sample < (number + 1) * (uint64_t)l->n || s->missing > 0))
        pv_cond_wait(l->changed, l->m);
    bool ok = !atomic_load(&l->stop) || pv_fault_raise(&l->fault);
    pv_mutex_unlock(l->m);
    if (!ok)
        return NULL;
    l->batch = (struct pv_batch){
        .step = l->p.first_step + number, .n_labeled = l->p.labeled_bs, .n_unlabeled = l->p.unlabeled_bs,
        .channels = pv_store_channels(l->p.store), .image = s->image, .label = s->label, .samples = s->samples};
    memcpy(l->batch.patch, l->p.aug.patch, sizeof l->batch.patch);
    return &l->batch;
}

void pv_loader_stop(pv_loader **out)
{
    struct pv_loader *l = *out;
    if (!l)
        return;
    atomic_store(&l->stop, true);
    if (l->threads) {
        pv_mutex_lock(l->m);
        pv_cond_broadcast(l->changed);
        pv_mutex_unlock(l->m);
        pv_store_wake(l->p.store);
        for (int i = 0; i < l->num_threads; i++)
            pv_thread_join(&l->threads[i]);
    }
    for (int i = 0; l->slots && i < l->num_slots; i++) {
        pv_free_big(l->slots[i].image);
        pv_free_big(l->slots[i].label);
        pv_free(l->slots[i].samples);
    }
    pv_free(l->slots);
    pv_fault_drop(&l->fault);
    pv_free(l->threads);
    pv_free(l->labeled);
    pv_free(l->unlabeled);
    pv_free(l->labeled_slices);
    pv_free(l->unlabeled_slices);
    pv_cond_free(&l->changed);
    pv_mutex_free(&l->m);
    pv_free(l);
    *out = NULL;
}
