/* SPDX-License-Identifier: Apache-2.0
 * Optimiser steps in place on FLAT tensors of any alignment. Fat: a work-item walks 1024 elements; simt: a group
 * 256, element l, l + 64, ... each. */
#include "common/base.h"
#include "ops/args/optim.h"

#define GET1(p, i) (p)[i]
#define PUT1(v, p, i) (p)[i] = (v)
#define GET16(p, i) vload16(0, (p) + (i))
#define PUT16(v, p, i) vstore16(v, 0, (p) + (i))
#define HAS(flag) ((a.flags & (flag)) != 0)

/* Runs BODY(type, get, put) for every element i of this work-item. */
#ifdef PV_FAT
#define WG WG1
#define ELEMENTS(BODY) \
    int i = GROUP() * 1024; \
    const int end = min(i + 1024, a.count); \
    for (; i + 16 <= end; i += 16) \
        BODY(float16, GET16, PUT16) \
    for (; i < end; i++) \
        BODY(float, GET1, PUT1)
#else
#define WG WG64
#define ELEMENTS(BODY) \
    for (int i = GROUP() * 256 + LOCAL(), j_ = 0; j_ < 4 && i < a.count; j_++, i += 64) \
        BODY(float, GET1, PUT1)
#endif

/* sgd: d = scale g + weight_decay w; v = momentum v + d (first: d); w -= lr * (nesterov ? d + momentum v : v).
 * Without momentum w -= lr d. Skipped: only a first v becomes 0. */
#define SGD(T, GET, PUT) { \
        const T w0 = GET(w, i); \
        T d = fma((T)(a.weight_decay), w0, scale * GET(g, i)); \
        if (HAS(OF_MOMENTUM)) { \
            T v = d; \
            if (!HAS(OF_FIRST)) \
                v = fma((T)(a.momentum), GET(m, i), d); \
            PUT(v, m, i); \
            d = HAS(OF_NESTEROV) ? fma((T)(a.momentum), v, d) : v; \
        } \
        PUT(fma((T)(-a.lr), d, w0), w, i); \
    }
#define FORGET(T, GET, PUT) PUT((T)(0.0f), m, i);

__kernel WG void sgd(G(float) w, GC(float) g, G(float) m, GC(float) scale_, GC(float) skip, struct a_sgd a)
{
    w += a.off[0];
    g += a.off[1];
    m += a.off[2];
    const float scale = HAS(OF_SCALE) ? scale_[a.off[3]] : 1.0f;
    if (HAS(OF_SKIP) && skip[a.off[4]] != 0.0f) {
        if (HAS(OF_FIRST) && HAS(OF_MOMENTUM)) {
            ELEMENTS(FORGET)
        }
        return;
    }
    ELEMENTS(SGD)
}

/* adam: d = scale g + weight_decay w; m = beta1 m + (1 - beta1) d; v = beta2 v + (1 - beta2) d^2; (first: from 0)
 * w -= step * m / (root sqrt(v) + eps). */
#define ADAM(T, GET, PUT) { \
        const T w0 = GET(w, i); \
        const T d = fma((T)(a.weight_decay), w0, scale * GET(g, i)); \
        T m1 = a.rest1 * d, v1 = a.rest2 * d * d; \
        if (!HAS(OF_FIRST)) { \
            m1 = fma((T)(a.beta1), GET(m, i), m1); \
            v1 = fma((T)(a.beta2), GET(v, i), v1); \
        } \
        PUT(m1, m, i); \
        PUT(v1, v, i); \
        PUT(w0 - a.step * m1 / fma((T)(a.root), sqrt(v1), (T)(a.eps)), w, i); \
    }
#define FORGET2(T, GET, PUT) { \
        PUT((T)(0.0f), m, i); \
        PUT((T)(0.0f), v, i); \
    }

__kernel WG void adam(G(float) w, GC(float) g, G(float) m, G(float) v, GC(float) scale_, GC(float) skip,
                      struct a_adam a)
{
    w += a.off[0];
    g += a.off[1];
    m += a.off[2];
    v += a.off[3];
    const float scale = HAS(OF_SCALE) ? scale_[a.off[4]] : 1.0f;
    if (HAS(OF_SKIP) && skip[a.off[5]] != 0.0f) {
        if (HAS(OF_FIRST)) {
            ELEMENTS(FORGET2)
        }
        return;
    }
    ELEMENTS(ADAM)
}

/* ema: t = alpha t + (1 - alpha) s; alpha 0 copies whatever t held. */
#define EMA(T, GET, PUT) { \
        T u = GET(s, i); \
        if (a.alpha != 0.0f) \
            u = fma((T)(a.alpha), GET(t, i), a.rest * u); \
        PUT(u, t, i); \
    }

__kernel WG void ema(GC(float) s, G(float) t, struct a_ema a)
{
    s += a.off[0];
    t += a.off[1];
    ELEMENTS(EMA)
}
