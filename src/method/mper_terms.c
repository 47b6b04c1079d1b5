/* SPDX-License-Identifier: Apache-2.0
 * Terms of MPER. Which voxels move which prototype is decided on the device. */
#include "method/mper.h"

#include "ops/loss.h"
#include "ops/map.h"
#include "ops/proto.h"
#include "ops/softmax.h"

pv_tensor *mper_scores(pv_tape *t, struct pv_scope *s, pv_tensor *f, pv_tensor *p, int classes, int each, double tau)
{
    return pv_keep(s, pv_cosine_max(t, f, p, classes, each, (float)(1 / tau), NULL));
}

pv_tensor *mper_cosines(pv_tape *t, struct pv_scope *s, pv_tensor *f, pv_tensor *p, double tau, pv_tensor **nearest)
{
    pv_tensor *all = pv_keep(s, f && p ? pv_cosine(t, f, p, p->h.n / f->h.c, (float)(1 / tau)) : NULL);
    *nearest = pv_keep(s, pv_argmax(t, all));
    return all;
}

pv_tensor *mper_contrast(pv_tape *t, struct pv_scope *s, pv_tensor *cosines, pv_tensor *nearest, bool ignore0)
{
    return pv_keep(s, pv_ce_hard(t, cosines, nearest, NULL, ignore0 ? 0 : PV_NO_IGNORE,
                                 (struct pv_reduction){PV_RED_MEAN}));
}

/* 1 where the nearest prototype is one of the label's class: 0 <= nearest - each * label < each. An ignored label (255)
 * is no class. */
static pv_tensor *agreeing(pv_tape *t, struct pv_scope *k, pv_tensor *nearest, pv_tensor *label, int each,
                           bool background)
{
    pv_tensor *y = pv_keep(k, pv_to_f32(t, label));
    pv_tensor *first = pv_keep(k, pv_unary(t, PV_SCALE, y, (float)each, 0));
    pv_tensor *rank = pv_keep(k, pv_binary(t, PV_SUB, nearest, first));
    pv_tensor *from = pv_keep(k, pv_unary(t, PV_GE, rank, -0.5f, 0));
    pv_tensor *beyond = pv_keep(k, pv_unary(t, PV_GE, rank, (float)each - 0.5f, 0));
    pv_tensor *in = pv_keep(k, pv_binary(t, PV_SUB, from, beyond));
    return background ? in : pv_keep(k, pv_binary(t, PV_MUL, in, pv_keep(k, pv_unary(t, PV_GT, y, 0.5f, 0))));
}

/* Eq. 2 with the voxels of `mask`. */
static void move(pv_tape *t, pv_tensor *p, pv_tensor *f, pv_tensor *nearest, pv_tensor *mask, double eta)
{
    struct pv_scope k = {0};
    pv_tensor *number = pv_keep(&k, pv_unary(t, PV_SCALE, nearest, 1, 1)), *sums, *counts;
    pv_tensor *kept = pv_keep(&k, pv_binary(t, PV_MUL, number, mask));
    pv_tensor *index = pv_keep(&k, pv_to_i32(t, pv_keep(&k, pv_unary(t, PV_SCALE, kept, 1, -1))));
    if (f && pv_proto_assign_sums(t, f, index, p->h.n / f->h.c, &sums, &counts)) {
        pv_proto_ema(p, sums, counts, (float)eta);
        pv_tensor_put(&sums);
        pv_tensor_put(&counts);
    }
    pv_scope_end(&k);
}

void mper_move(pv_tape *t, pv_tensor *p, pv_tensor *f, pv_tensor *nearest, pv_tensor *label, pv_tensor *known,
               pv_tensor *pseudo, pv_tensor *sure, const struct mper_update *o)
{
    struct pv_scope k = {0};
    const bool recording = t->recording;
    t->recording = false;
    pv_tensor *number = pv_keep(&k, pv_to_f32(t, nearest));
    pv_tensor *in = agreeing(t, &k, number, label, o->each, o->background);
    if (o->pseudo) {
        pv_tensor *confident = pv_keep(&k, pv_unary(t, PV_GT, sure, (float)o->alpha, 0));
        pv_tensor *part = pv_keep(&k, pv_binary(t, PV_MUL, in, pseudo));
        move(t, p, f, number, pv_keep(&k, pv_binary(t, PV_MUL, part, confident)), o->eta);
    }
    if (o->labeled)
        move(t, p, f, number, pv_keep(&k, pv_binary(t, PV_MUL, in, known)), o->eta);
    t->recording = recording;
    pv_scope_end(&k);
}
