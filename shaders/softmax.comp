// SPDX-License-Identifier: Apache-2.0
// Over the channels of PLAIN tensors; formulas and shapes as in kernels_cl/softmax.cl, one voxel each.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/plain.glsl"
#include "ops/args/softmax.h"

WG64

#ifdef ENTRY_softmax_fwd
BUF_R(0, z)
BUF_W(1, y)
ARGS(a_softmax)
#include "common/channels.glsl"
void main()
{
    FOR_VOXELS(a.n) {
        int at = OFF(0) + row * a.c * a.cs + v, to = OFF(1) + row * a.c * a.cs + v;
        float mx = chan_max(at), sum = chan_exp(at, mx);
        if (a.logs != 0) {
            float ls = log(sum);
            for (int k = 0; k < a.c; k++)
                y[to + k * a.cs] = z[at + k * a.cs] - mx - ls;
        } else {
            for (int k = 0; k < a.c; k++)
                y[to + k * a.cs] = exp(z[at + k * a.cs] - mx) / sum;
        }
    }
}
#endif

#ifdef ENTRY_softmax_bwd
BUF_R(0, y)
BUF_R(1, dy)
BUF_X(2, dz)
ARGS(a_softmax)
void main()
{
    FOR_VOXELS(a.n) {
        int at = row * a.c * a.cs + v;
        float dot_ = 0.0;
        for (int k = 0; k < a.c; k++) {
            float g = dy[OFF(1) + at + k * a.cs];
            if (a.logs == 0)
                g *= y[OFF(0) + at + k * a.cs];
            dot_ += g;
        }
        for (int k = 0; k < a.c; k++) {
            float p = y[OFF(0) + at + k * a.cs], d = dy[OFF(1) + at + k * a.cs];
            if (a.logs != 0)
                d -= exp(p) * dot_;
            else
                d = p * (d - dot_);
            PUT(dz, OFF(2) + at + k * a.cs, d, a.accum);
        }
    }
}
#endif

#ifdef ENTRY_argmax
BUF_R(0, z)
BUF_WI(1, y)
ARGS(a_softmax)
void main()
{
    FOR_VOXELS(a.n) {
        int from = OFF(0) + row * a.c * a.cs + v, best_k = 0;
        float best = z[from];
        for (int k = 1; k < a.c; k++) {
            float x = z[from + k * a.cs];
            if (x > best) {
                best = x;
                best_k = k;
            }
        }
        y[OFF(1) + row * a.cs + v] = best_k;
    }
}
#endif

#ifdef ENTRY_max_prob
BUF_R(0, z)
BUF_W(1, y)
ARGS(a_softmax)
#include "common/channels.glsl"
void main()
{
    FOR_VOXELS(a.n)
        y[OFF(1) + row * a.cs + v] = chan_max(OFF(0) + row * a.c * a.cs + v);
}
#endif

#ifdef ENTRY_onehot
BUF_RI(0, labels)
BUF_W(1, y)
ARGS(a_softmax)
void main()
{
    FOR_VOXELS(a.n) {
        int label = labels[OFF(0) + row * a.cs + v];
        for (int k = 0; k < a.c; k++)
            y[OFF(1) + (row * a.c + k) * a.cs + v] = ONE_IF(label == k);
    }
}
#endif

#ifdef ENTRY_entropy_fwd
BUF_R(0, p)
BUF_W(1, h)
ARGS(a_softmax)
void main()
{
    FOR_VOXELS(a.n) {
        float sum = 0.0;
        for (int k = 0; k < a.c; k++) {
            float x = p[OFF(0) + (row * a.c + k) * a.cs + v];
            sum += x * log(x + a.eps + ONE_IF(x == 0.0));
        }
        h[OFF(1) + row * a.cs + v] = -a.scale * sum;
    }
}
#endif

#ifdef ENTRY_entropy_bwd
BUF_R(0, p)
BUF_R(1, dh)
BUF_X(2, dp)
ARGS(a_softmax)
void main()
{
    FOR_VOXELS(a.n) {
        float g = -a.scale * dh[OFF(1) + row * a.cs + v];
        for (int k = 0; k < a.c; k++) {
            int at = (row * a.c + k) * a.cs + v;
            float x = p[OFF(0) + at], e = x + a.eps, none = ONE_IF(e == 0.0);
            float d = g * (log(e + none) + x / (e + none));
            PUT(dp, OFF(2) + at, d, a.accum);
        }
    }
}
#endif
