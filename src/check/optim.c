/* SPDX-License-Identifier: Apache-2.0
 * Cases of the optimiser steps. They change tensors in place: bodies work on copies, and on a range inside them, so
 * that a write beside the range shows. Tolerance: a few roundings in fp32 per element and step, three steps. */
#include "check/check.h"
#include "optim/optim.h"

enum { STEPS = 3 };

struct state { int all, first, n; pv_tensor *w, *g[STEPS], *m, *v, *scale, *skip; };

static pv_tensor *copy(pv_tensor *src)
{
    pv_tensor *t = src ? pv_tensor_new(src->dev, src->h, src->type) : NULL;
    pv_tensor_copy(t, src);
    return t;
}

/* Case 0 is tiny; some cases exceed 64 KiB; every third has a scale, every fourth a skipped step. */
static struct state draw(struct pv_check *k)
{
    int c = pv_ck_case(k);
    struct state s = {.all = c == 0 ? 37 : pv_ck_int(k, 1, pv_ck_most(k, c % 3 == 2 ? 40000 : 3000, 700))};
    s.first = pv_ck_int(k, 0, s.all - 1);
    s.n = pv_ck_int(k, 1, s.all - s.first);
    s.w = copy(pv_ck_input(k, pv_flat(s.all), -1, 1, 0));
    s.m = copy(pv_ck_input(k, pv_flat(s.all), -1, 1, 0));
    s.v = copy(pv_ck_input(k, pv_flat(s.all), 0, 1, 0));
    for (int i = 0; i < STEPS; i++)
        s.g[i] = pv_ck_input(k, pv_flat(s.all), -1, 1, 0);
    double skip[] = {c % 4 == 1};
    s.scale = c % 3 == 1 ? pv_ck_input(k, pv_flat(1), 0.25, 2, 0) : NULL;
    s.skip = c % 4 < 2 ? pv_ck_values(k, pv_flat(1), PV_F32, skip, 0) : NULL;
    return s;
}

static void finish(struct pv_check *k, struct state *s)
{
    pv_ck_output(k, "-w", s->w, PV_CK_NO_DY);
    pv_ck_output(k, "-m", s->m, PV_CK_NO_DY);
    pv_ck_output(k, "-v", s->v, PV_CK_NO_DY);
}

/* The last step may be the skipped one, so that both ways are taken in a case. */
static pv_tensor *skip_at(const struct state *s, int step, int last) { return step == last ? s->skip : NULL; }

static void sgd(struct pv_check *k)
{
    struct state s = draw(k);
    int c = pv_ck_case(k), at = pv_ck_int(k, 0, 1) ? 0 : STEPS - 1;
    struct pv_sgd o = {.lr = 0.05f, .momentum = c % 5 == 4 ? 0 : 0.9f, .weight_decay = c % 2 ? 0.01f : 0,
                       .nesterov = c % 3 == 0, .first = c % 4 != 2};
    for (int i = 0; i < STEPS; i++) {
        pv_tensor *w = pv_tensor_view(s.w, (size_t)s.first, s.n), *m = pv_tensor_view(s.m, (size_t)s.first, s.n);
        pv_tensor *g = pv_tensor_view(s.g[i], (size_t)s.first, s.n);
        pv_sgd_step(w, g, o.momentum != 0 ? m : NULL, &o, s.scale, skip_at(&s, i, at));
        o.first = false;
        pv_tensor_put(&w);
        pv_tensor_put(&m);
        pv_tensor_put(&g);
    }
    finish(k, &s);
}

static void adam(struct pv_check *k)
{
    struct state s = draw(k);
    int c = pv_ck_case(k), at = pv_ck_int(k, 0, 1) ? 0 : STEPS - 1;
    struct pv_adam o = {.lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-4f,
                        .weight_decay = c % 2 ? 0.01f : 0, .step = c % 4 == 2 ? 5 : 1};
    for (int i = 0; i < STEPS; i++, o.step++) {
        pv_tensor *w = pv_tensor_view(s.w, (size_t)s.first, s.n), *m = pv_tensor_view(s.m, (size_t)s.first, s.n);
        pv_tensor *g = pv_tensor_view(s.g[i], (size_t)s.first, s.n), *v = pv_tensor_view(s.v, (size_t)s.first, s.n);
        pv_adam_step(w, g, m, v, &o, s.scale, skip_at(&s, i, at));
        pv_tensor_put(&w);
        pv_tensor_put(&m);
        pv_tensor_put(&g);
        pv_tensor_put(&v);
    }
    finish(k, &s);
}

/* alpha 0 must copy even where the teacher holds NaN, as a fresh one does with the poison option. */
static void ema(struct pv_check *k)
{
    int c = pv_ck_case(k), n = c == 0 ? 21 : pv_ck_int(k, 1, pv_ck_most(k, c % 3 == 2 ? 40000 : 3000, 700));
    pv_tensor *s = pv_ck_input(k, pv_flat(n), -1, 1, 0);
    pv_tensor *t = c % 2 ? pv_tensor_new(s->dev, s->h, PV_F32) : copy(pv_ck_input(k, pv_flat(n), -1, 1, 0));
    if (c % 2)
        pv_ema_update(t, s, 0);
    pv_ema_update(t, pv_ck_input(k, pv_flat(n), -1, 1, 0), 0.99f);
    pv_ck_output(k, "-teacher", t, PV_CK_NO_DY);
}

static const struct pv_check_op op_sgd = {"sgd", sgd, 5, 1e-6, 1e-6, NULL},
                                op_adam = {"adam", adam, 4, 2e-6, 2e-6, NULL},
                                op_ema = {"ema_update", ema, 3, 1e-6, 1e-6, NULL};

const struct pv_check_op *const pv_check_optim[] = {&op_sgd, &op_adam, &op_ema, NULL};
