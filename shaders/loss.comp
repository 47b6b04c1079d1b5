// SPDX-License-Identifier: Apache-2.0
// Cross-entropy on PLAIN logits and the divergence of probability maps; formulas, shapes and groups as in
// kernels_cl/loss.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#if defined(ENTRY_ce_hard_fwd) || defined(ENTRY_ce_soft_fwd)
#define GROUP_SUMS
#define FORWARD
#endif
#include "common/plain.glsl"
#include "ops/args/loss.h"

WG64

#if defined(ENTRY_kl_fwd) || defined(ENTRY_kl_bwd)
BUF_R(0, p)
BUF_R(1, q)
#ifdef ENTRY_kl_fwd
BUF_W(2, dst)
#else
BUF_R(2, dy)
BUF_X(3, dp)
#endif
ARGS(a_kl)

void main()
{
    FOR_VOXELS(a.n) {
#ifdef ENTRY_kl_fwd
        float sum = 0.0;
        for (int k = 0; k < a.c; k++) {
            int at = (row * a.c + k) * a.cs + v;
            float qv = q[OFF(1) + at], pv = p[OFF(0) + at];
            if (qv != 0.0)
                sum += qv * (log(qv + a.eps) - log(pv + a.eps));
        }
        dst[OFF(2) + row * a.cs + v] = sum;
#else
        float g = dy[OFF(2) + row * a.cs + v];
        for (int k = 0; k < a.c; k++) {
            int at = (row * a.c + k) * a.cs + v;
            float qv = q[OFF(1) + at];
            float d = -g * qv / (p[OFF(0) + at] + a.eps + ONE_IF(qv == 0.0));
            PUT(dp, OFF(3) + at, d, a.accum);
        }
#endif
    }
}

#else
BUF_R(0, z)
#if defined(ENTRY_ce_hard_fwd) || defined(ENTRY_ce_hard_bwd)
#define HARD
BUF_RI(1, target)
#else
BUF_R(1, target)
#endif
BUF_R(2, mask)
#ifdef FORWARD
BUF_W(3, dst)
#else
BUF_R(3, dy)
BUF_R(4, coef)
BUF_X(5, dz)
#endif
ARGS(a_ce)
#include "common/channels.glsl"

// Weight of voxel v of sample s; label only for hard targets.
float weight(int s, int v, int label)
{
    float w = 1.0;
#ifdef HARD
    w = ONE_IF(label >= 0 && label < a.c && label != a.ignore);
#endif
    if (a.masked != 0)
        w *= mask[OFF(2) + s * a.cs + v];
    return w;
}

#ifdef FORWARD
void main()
{
    int g = GROUP(), ch = g % CHUNKS(a.v), s = g / CHUNKS(a.v);
    if (s >= a.n)
        return;
    float sum = 0.0, kept = 0.0;
    FOR_CHUNK(ch, a.v) {
        int at = OFF(0) + s * a.c * a.cs + v, label = 0;
        float mx = chan_max(at), lse = log(chan_exp(at, mx)), l = 0.0;
#ifdef HARD
        label = target[OFF(1) + s * a.cs + v];
        if (label >= 0 && label < a.c)
            l = mx - z[at + label * a.cs] + lse;
#else
        for (int k = 0; k < a.c; k++) {
            float t = target[OFF(1) + (s * a.c + k) * a.cs + v], d = mx - z[at + k * a.cs] + lse;
            if (a.kl != 0)
                d += log(t + ONE_IF(t == 0.0));
            l += t * d;
        }
#endif
        float w = weight(s, v, label);
        l *= w;
        if (a.map != 0)
            dst[OFF(3) + s * a.cs + v] = l;
        sum += l;
        kept += w;
    }
    float sums = group_sum(sum), keeps = group_sum(kept);
    if (LOCAL() == 0 && a.map == 0) {
        int to = OFF(3) + (a.n0 + s) * 2 * a.tc + a.ch0 + ch;
        dst[to] = sums;
        dst[to + a.tc] = keeps;
    }
}

#else
void main()
{
    FOR_VOXELS(a.n) {
        int at = row * a.c * a.cs + v, label = 0;
        float all = 1.0;
#ifdef HARD
        label = target[OFF(1) + row * a.cs + v];
#else
        all = 0.0;
        for (int k = 0; k < a.c; k++)
            all += target[OFF(1) + at + k * a.cs];
#endif
        float g = weight(row, v, label);
        if (a.map != 0)
            g *= dy[OFF(3) + row * a.cs + v];
        else
            g *= dy[OFF(3)] * coef[OFF(4) + a.n0 + row];
        float mx = chan_max(OFF(0) + at), sum = chan_exp(OFF(0) + at, mx);
        for (int k = 0; k < a.c; k++) {
#ifdef HARD
            float y = ONE_IF(label == k);
#else
            float y = target[OFF(1) + at + k * a.cs];
#endif
            float d = g * (exp(z[OFF(0) + at + k * a.cs] - mx) / sum * all - y);
            PUT(dz, OFF(5) + at + k * a.cs, d, a.accum);
        }
    }
}
#endif
#endif
