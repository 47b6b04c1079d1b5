/* SPDX-License-Identifier: Apache-2.0
 * Optimiser steps: launches, and the same in plain C in double for the reference device. */
#include "optim/optim.h"

#include <math.h>

#include "ops/args/optim.h"
#include "ops/op.h"

/* [0] simt, [1] fat */
static const struct pv_kernel k_sgd[2] = {{"optim", "sgd", "xrxrr", sizeof(struct a_sgd), {64, 1, 1}, NULL},
                                          {"optim", "sgd", "xrxrr", sizeof(struct a_sgd), {1, 1, 1}, NULL}};
static const struct pv_kernel k_adam[2] = {{"optim", "adam", "xrxxrr", sizeof(struct a_adam), {64, 1, 1}, NULL},
                                           {"optim", "adam", "xrxxrr", sizeof(struct a_adam), {1, 1, 1}, NULL}};
static const struct pv_kernel k_ema[2] = {{"optim", "ema", "rx", sizeof(struct a_ema), {64, 1, 1}, NULL},
                                          {"optim", "ema", "rx", sizeof(struct a_ema), {1, 1, 1}, NULL}};

enum { MOST = 6, GRAIN = 256 };

/* Launches over the first `num` tensors in runs that fit a binding; `count` is the args' member. The rest is bound
 * by the caller. */
static void run(struct pv_launch *l, const struct pv_kernel k[2], int num, pv_tensor *const *x, KI32 *count)
{
    pv_dev *dev = x[0]->dev;
    bool fat = pv_class(x[0]) == PV_FAT;
    int64_t unit[MOST], all = x[0]->h.n;
    for (int i = 0; i < num; i++)
        unit[i] = GRAIN;
    l->k = &k[fat];
    for (int64_t at = 0; at < all && !pv_dev_failed(dev);) {
        int units = (int)((all - at + GRAIN - 1) / GRAIN);
        int64_t m = (int64_t)GRAIN * pv_units_per_launch(dev, num, x, unit, NULL, at / GRAIN, units);
        m = m < all - at ? m : all - at;
        *count = (KI32)m;
        for (int i = 0; i < num; i++)
            pv_bind_range(l, i, x[i], at, m);
        pv_groups(dev, l, (uint64_t)(m + (fat ? 1023 : 255)) / (fat ? 1024 : 256));
        pv_run(dev, l);
        at += m;
    }
}

static bool same_length(const char *op, int num, pv_tensor *const *x)
{
    for (int i = 0; i < num; i++)
        if (!x[i] || pv_dev_failed(x[i]->dev))
            return false;
    for (int i = 0; i < num; i++)
        if (x[i]->h.layout != PV_FLAT || x[i]->type != PV_F32 || x[i]->h.n != x[0]->h.n) {
            pv_op_bad(op, "takes FLAT fp32 tensors of one length, not %d and %d", x[0]->h.n, x[i]->h.n);
            return false;
        }
    return true;
}

static double scalar(const pv_tensor *t, double otherwise) { return t ? *pv_ref_data(t) : otherwise; }

/* ---- SGD ---- */

static void ref_sgd(double *w, const double *g, double *m, int n, const struct pv_sgd *o, double scale, bool skip)
{
    double mu = o->momentum;
    for (int i = 0; i < n; i++) {
        if (skip) {
            if (m && o->first)
                m[i] = 0;
            continue;
        }
        double d = scale * g[i] + (double)o->weight_decay * w[i];
        if (m) {
            m[i] = o->first ? d : mu * m[i] + d;
            d = o->nesterov ? d + mu * m[i] : m[i];
        }
        w[i] -= (double)o->lr * d;
    }
}

void pv_sgd_step(pv_tensor *w, pv_tensor *g, pv_tensor *m, const struct pv_sgd *o, pv_tensor *scale,
                 pv_tensor *skip)
{
    bool momentum = o->momentum != 0;
    pv_tensor *x[] = {w, g, momentum ? m : w};
    if (!same_length("sgd", 3, x))
        return;
    if (pv_is_ref(w)) {
        ref_sgd(pv_ref_data(w), pv_ref_data(g), momentum ? pv_ref_data(m) : NULL, w->h.n, o, scalar(scale, 1),
                scalar(skip, 0) != 0);
        return;
    }
    struct a_sgd a = {.lr = o->lr, .momentum = o->momentum, .weight_decay = o->weight_decay,
        .flags = (o->first ? OF_FIRST : 0) | (o->nesterov ? OF_NESTEROV : 0) | (momentum ? OF_MOMENTUM : 0) |
                 (scale ? OF_SCALE : 0) | (skip ? OF_SKIP : 0)};
    struct pv_launch l = {.label = "sgd", .args = &a};
    pv_bind_range(&l, 3, scale ? scale : g, 0, 1);
    pv_bind_range(&l, 4, skip ? skip : g, 0, 1);
    run(&l, k_sgd, 3, x, &a.count);
}

/* ---- Adam ---- */

static void ref_adam(double *w, const double *g, double *m, double *v, int n, const struct pv_adam *o,
                     double scale, bool skip)
{
    double b1 = o->beta1, b2 = o->beta2, t = (double)o->step;
    double step = o->lr / (1 - pow(b1, t)), root = 1 / sqrt(1 - pow(b2, t));
    for (int i = 0; i < n; i++) {
        if (o->step == 1)
            m[i] = v[i] = 0;
        if (skip)
            continue;
        double d = scale * g[i] + (double)o->weight_decay * w[i];
        m[i] = b1 * m[i] + (1 - b1) * d;
        v[i] = b2 * v[i] + (1 - b2) * d * d;
        w[i] -= step * m[i] / (root * sqrt(v[i]) + (double)o->eps);
    }
}

void pv_adam_step(pv_tensor *w, pv_tensor *g, pv_tensor *m, pv_tensor *v, const struct pv_adam *o,
                  pv_tensor *scale, pv_tensor *skip)
{
    pv_tensor *x[] = {w, g, m, v};
    if (!same_length("adam", 4, x))
        return;
    if (o->step < 1) {
        pv_op_bad("adam", "steps count from 1, not %lld", (long long)o->step);
        return;
    }
    if (pv_is_ref(w)) {
        ref_adam(pv_ref_data(w), pv_ref_data(g), pv_ref_data(m), pv_ref_data(v), w->h.n, o, scalar(scale, 1),
                 scalar(skip, 0) != 0);
        return;
    }
    double b1 = o->beta1, b2 = o->beta2, t = (double)o->step;
    struct a_adam a = {.beta1 = o->beta1, .beta2 = o->beta2, .rest1 = (float)(1 - b1), .rest2 = (float)(1 - b2),
        .eps = o->eps, .weight_decay = o->weight_decay, .step = (float)(o->lr / (1 - pow(b1, t))),
        .root = (float)(1 / sqrt(1 - pow(b2, t))),
        .flags = (o->step == 1 ? OF_FIRST : 0) | (scale ? OF_SCALE : 0) | (skip ? OF_SKIP : 0)};
    struct pv_launch l = {.label = "adam", .args = &a};
    pv_bind_range(&l, 4, scale ? scale : g, 0, 1);
    pv_bind_range(&l, 5, skip ? skip : g, 0, 1);
    run(&l, k_adam, 4, x, &a.count);
}

/* ---- teachers ---- */

void pv_ema_update(pv_tensor *teacher, pv_tensor *student, float alpha)
{
    pv_tensor *x[] = {student, teacher};
    if (!same_length("ema", 2, x))
        return;
    if (pv_is_ref(teacher)) {
        double *t = pv_ref_data(teacher), *s = pv_ref_data(student), al = alpha;
        for (int i = 0; i < teacher->h.n; i++)
            t[i] = al == 0 ? s[i] : al * t[i] + (1 - al) * s[i];
        return;
    }
    struct a_ema a = {.alpha = alpha, .rest = (float)(1 - (double)alpha)};
    struct pv_launch l = {.label = "ema", .args = &a};
    run(&l, k_ema, 2, x, &a.count);
}
