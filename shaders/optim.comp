// SPDX-License-Identifier: Apache-2.0
// Optimiser steps; formulas, buffers and work-items as in kernels_cl/optim.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/optim.h"

WG64

#define HAS(flag) ((a.flags & (flag)) != 0)
#define ELEMENTS for (int i = GROUP() * 256 + LOCAL(), j = 0; j < 4 && i < a.count; j++, i += 64)

#ifdef ENTRY_sgd
BUF_X(0, w)
BUF_R(1, g)
BUF_X(2, m)
BUF_R(3, scale_)
BUF_R(4, skip)
ARGS(a_sgd)
void main()
{
    float scale = 1.0;
    bool skipped = false;
    if (HAS(OF_SCALE))
        scale = scale_[OFF(3)];
    if (HAS(OF_SKIP))
        skipped = skip[OFF(4)] != 0.0;
    ELEMENTS {
        if (skipped) {
            if (HAS(OF_FIRST) && HAS(OF_MOMENTUM))
                m[OFF(2) + i] = 0.0;
            continue;
        }
        float w0 = w[OFF(0) + i], d = a.weight_decay * w0 + scale * g[OFF(1) + i];
        if (HAS(OF_MOMENTUM)) {
            float v = d;
            if (!HAS(OF_FIRST))
                v += a.momentum * m[OFF(2) + i];
            m[OFF(2) + i] = v;
            d = HAS(OF_NESTEROV) ? d + a.momentum * v : v;
        }
        w[OFF(0) + i] = w0 - a.lr * d;
    }
}
#endif

#ifdef ENTRY_adam
BUF_X(0, w)
BUF_R(1, g)
BUF_X(2, m)
BUF_X(3, v)
BUF_R(4, scale_)
BUF_R(5, skip)
ARGS(a_adam)
void main()
{
    float scale = 1.0;
    bool skipped = false;
    if (HAS(OF_SCALE))
        scale = scale_[OFF(4)];
    if (HAS(OF_SKIP))
        skipped = skip[OFF(5)] != 0.0;
    ELEMENTS {
        if (skipped) {
            if (HAS(OF_FIRST)) {
                m[OFF(2) + i] = 0.0;
                v[OFF(3) + i] = 0.0;
            }
            continue;
        }
        float w0 = w[OFF(0) + i], d = a.weight_decay * w0 + scale * g[OFF(1) + i];
        float m1 = a.rest1 * d, v1 = a.rest2 * d * d;
        if (!HAS(OF_FIRST)) {
            m1 += a.beta1 * m[OFF(2) + i];
            v1 += a.beta2 * v[OFF(3) + i];
        }
        m[OFF(2) + i] = m1;
        v[OFF(3) + i] = v1;
        w[OFF(0) + i] = w0 - a.step * m1 / (a.root * sqrt(v1) + a.eps);
    }
}
#endif

#ifdef ENTRY_ema
BUF_R(0, s)
BUF_X(1, t)
ARGS(a_ema)
void main()
{
    ELEMENTS {
        float u = s[OFF(0) + i];
        if (a.alpha != 0.0)
            u = a.alpha * t[OFF(1) + i] + a.rest * u;
        t[OFF(1) + i] = u;
    }
}
#endif
