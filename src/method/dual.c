/* SPDX-License-Identifier: Apache-2.0
 * Two networks side by side: passes, supervised terms, prediction. */
#include "method/dual.h"

#include <stdio.h>
#include <string.h>

#include "method/model.h"
#include "ops/loss.h"
#include "ops/map.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

bool dual_init(struct pv_run *r, struct dual *d, const enum pv_init_scheme init[2])
{
    static const char *const names[] = {"a", "b"}, *const options[] = {"net_a", "net_b"};
    char before[sizeof r->net.name];
    enum pv_init_scheme scheme = r->net.init;
    memcpy(before, r->net.name, sizeof before);
    for (int i = 0; i < 2; i++) {
        r->net.init = init ? init[i] : scheme;
        snprintf(r->net.name, sizeof r->net.name, "%s", pv_run_opt_text(r, options[i]));
        d->net[i] = pv_run_add_net(r, names[i], true, NULL);
    }
    r->net.init = scheme;
    memcpy(r->net.name, before, sizeof before);
    return d->net[0] && d->net[1];
}

bool dual_forward(struct pv_run *r, struct pv_scope *s, struct dual *d, const struct pv_patches *b, unsigned want)
{
    bool ok = true;
    d->labels = pv_keep(s, pv_tensor_samples(b->label, 0, b->num_labeled));
    for (int i = 0; i < 2; i++) {
        ok = pv_run_forward(r, d->net[i], b->image, (uint32_t)i + 1, PV_NET_TRAIN | PV_NET_DROPOUT, want, &d->out[i]) &&
             ok;
        d->zl[i] = pv_keep(s, pv_slice_samples(r->tape, d->out[i].logits, 0, b->num_labeled));
        d->zu[i] = pv_keep(s, pv_slice_samples(r->tape, d->out[i].logits, b->num_labeled, b->num_unlabeled));
    }
    return ok;
}

void dual_end(struct dual *d)
{
    for (int i = 0; i < 2; i++) {
        pv_net_out_free(&d->out[i]);
        d->zl[i] = d->zu[i] = NULL;
    }
    d->labels = NULL;
}

pv_tensor *dual_predict(struct pv_run *r, struct dual *d, pv_tensor *image)
{
    struct pv_scope k = {0};
    pv_tensor *p[2] = {0};
    for (int i = 0; i < 2; i++)
        p[i] = pv_keep(&k, model_probabilities(r, d->net[i], image));
    pv_tensor *sum = pv_keep(&k, pv_binary(r->tape, PV_ADD, p[0], p[1]));
    pv_tensor *mean = pv_unary(r->tape, PV_SCALE, sum, 0.5f, 0);
    pv_scope_end(&k);
    return mean;
}

pv_tensor *dual_supervised(struct pv_run *r, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels,
                           pv_tensor **dice)
{
    pv_tensor *half = pv_loss_supervised(r, s, logits, labels, PV_DICE_SQ, NULL, dice);
    return pv_keep(s, pv_scalar_sum(r->tape, 1, &half, (float[]){2}, NULL));
}

pv_tensor *dual_cross(pv_tape *t, struct pv_scope *s, pv_tensor *const z[2])
{
    pv_tensor *ce[2];
    for (int i = 0; i < 2; i++) {
        pv_tensor *label = pv_keep(s, pv_argmax(t, z[1 - i]));
        ce[i] = pv_keep(s, pv_ce_hard(t, z[i], label, NULL, PV_NO_IGNORE, (struct pv_reduction){PV_RED_MEAN}));
    }
    return pv_keep(s, pv_scalar_sum(t, 2, ce, NULL, NULL));
}

/* 1 where class k is predicted with probability `sure` or more. */
static pv_tensor *sure_of(pv_tape *t, struct pv_scope *k, pv_tensor *prob, pv_tensor *label, int c, double sure)
{
    pv_tensor *p = pv_keep(k, pv_slice_channels(t, prob, c, 1));
    pv_tensor *high = pv_keep(k, pv_unary(t, PV_GE, p, (float)sure, 0));
    pv_tensor *is = pv_keep(k, pv_label_equal(t, label, c));
    return pv_keep(k, pv_binary(t, PV_AND, high, is));
}

pv_tensor *dual_disagree(pv_tape *t, struct pv_scope *s, pv_tensor *za, pv_tensor *zb, pv_tensor *labels, double sure,
                         bool any)
{
    if (!za || !zb || !labels)
        return NULL;
    bool recording = t->recording;
    t->recording = false;
    struct pv_scope k = {0};
    pv_tensor *p[2], *y[2], *z[2] = {za, zb}, *mask = NULL;
    for (int i = 0; i < 2; i++) {
        p[i] = pv_keep(&k, pv_softmax(t, z[i]));
        y[i] = pv_keep(&k, pv_argmax(t, z[i]));
    }
    for (int c = 1; c < za->h.c; c++) {
        struct pv_scope in = {0};
        pv_tensor *a = sure_of(t, &in, p[0], y[0], c, sure), *b = sure_of(t, &in, p[1], y[1], c, sure);
        pv_tensor *one = pv_keep(&in, pv_binary(t, any ? PV_OR : PV_XOR, a, b));
        mask = pv_keep(&k, mask ? pv_concat(t, mask, one) : pv_tensor_ref(one));
        pv_scope_end(&in);
    }
    pv_tensor *known = pv_keep(&k, pv_label_known(t, labels, PV_IGNORE));
    mask = pv_keep(s, pv_binary(t, PV_MUL, mask, known));
    pv_scope_end(&k);
    t->recording = recording;
    return mask;
}

pv_tensor *dual_rectify(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels, pv_tensor *disagree)
{
    if (!logits || !labels || !disagree)
        return NULL;
    struct pv_scope k = {0};
    int c = logits->h.c;
    pv_tensor *all = pv_keep(&k, pv_softmax(t, logits)), *hot = pv_keep(&k, pv_onehot(t, labels, c));
    pv_tensor *p = pv_keep(&k, pv_slice_channels(t, all, 1, c - 1));
    pv_tensor *y = pv_keep(&k, pv_slice_channels(t, hot, 1, c - 1));
    pv_tensor *pm = pv_keep(&k, pv_binary(t, PV_MUL, p, disagree));
    pv_tensor *ym = pv_keep(&k, pv_binary(t, PV_MUL, y, disagree));
    pv_tensor *square = pv_keep(&k, pv_mse(t, pm, ym, NULL, (struct pv_reduction){PV_RED_SUM}));
    pv_tensor *count = pv_keep(&k, pv_sum(t, disagree, NULL));
    pv_tensor *least = pv_keep(&k, pv_unary(t, PV_SCALE, count, 1, 1e-16f));
    pv_tensor *inv = pv_keep(&k, pv_unary(t, PV_POW, least, -1, 0));
    pv_tensor *loss = pv_keep(s, pv_scalar_sum(t, 1, &square, NULL, &inv));
    pv_scope_end(&k);
    return loss;
}
