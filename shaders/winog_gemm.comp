// SPDX-License-Identifier: Apache-2.0
// The 64 matrix products of Winograd's algorithm; formulas, shapes and work-items as in kernels_cl/winog_gemm.cl.
// Constant: 0 output blocks of a work-group.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common/base.glsl"
#include "ops/args/winog.h"

BUF_R4(0, v)
BUF_R4(1, u)
BUF_W4(2, m)
ARGS(a_winog_g)
layout(constant_id = 0) const int NB = 1;
layout(local_size_x = 128) in;

const int COLS = 2 * NB, ROWS = 128 / COLS, T = NB == 1 ? 4 : NB == 2 ? 6 : 8;
const int MT = ROWS * T, PITCH = MT + 4, NA = MT / 64;
shared vec2 xs[4 * PITCH];          // [pair of channels][tile]
shared vec4 wl[8 * 4 * NB];         // [channel][quarter of a block]

void main()
{
    int l = LOCAL(), col = l % COLS, row = l / COLS, g = GROUP();
    int ts = (a.count + MT - 1) / MT, js = (a.kb + NB - 1) / NB;
    int t0 = g % ts * MT, j0 = g / ts % js * NB, f = g / ts / js, steps = 2 * a.cb;
    if (f >= a.nf)
        return;
    bool mine = t0 + row < a.count && j0 + col / 4 < a.kb;
    int left = a.count - t0 - l / 2;        // tiles from the first that this work-item brings
    int v0 = OFF4(0) + ((a.f0 + f) * steps * a.count + t0) * 2 + l;
    int u0 = OFF4(1) + (f * a.kb + min(j0 + l / 32, a.kb - 1)) * a.cb * 64 + l % 32;
    vec4 acc[2 * T], d[NA], w = vec4(0);
    [[unroll]] for (int i = 0; i < NA; i++)
        d[i] = vec4(0);
    [[unroll]] for (int i = 0; i < 2 * T; i++)
        acc[i] = vec4(0);
    for (int s = 0; s <= steps; s++) {
        if (s > 0) {
            barrier();
            [[unroll]] for (int i = 0; i < NA; i++) {
                xs[l % 2 * 2 * PITCH + l / 2 + i * 64] = d[i].xy;
                xs[(l % 2 * 2 + 1) * PITCH + l / 2 + i * 64] = d[i].zw;
            }
            if (l < 32 * NB)
                wl[l % 32 / 4 * 4 * NB + l / 32 * 4 + l % 4] = w;
            barrier();
        }
        if (s < steps) {
            [[unroll]] for (int i = 0; i < NA; i++)
                if (left > i * 64)
                    d[i] = v[v0 + i * 128];
            if (l < 32 * NB)
                w = u[u0];
            v0 += a.count * 2;
            u0 += 32;
        }
        if (s > 0 && mine)
            [[dont_unroll]] for (int p = 0; p < 4; p++) {
                vec4 w0 = wl[p * 8 * NB + col], w1 = wl[p * 8 * NB + col + COLS];
                vec4 w2 = wl[(p * 2 + 1) * 4 * NB + col], w3 = wl[(p * 2 + 1) * 4 * NB + col + COLS];
                [[unroll]] for (int i = 0; i < T; i++) {
                    vec2 x = xs[p * PITCH + row + i * ROWS];
                    acc[2 * i] = fma(vec4(x.y), w2, fma(vec4(x.x), w0, acc[2 * i]));
                    acc[2 * i + 1] = fma(vec4(x.y), w3, fma(vec4(x.x), w1, acc[2 * i + 1]));
                }
            }
    }
    if (!mine)
        return;
    [[unroll]] for (int h = 0; h < 2; h++) {
        int k = j0 * 4 + col + h * COLS;            // quarters of output blocks
        int to = OFF4(2) + ((a.f0 + f) * a.kb + k / 4) * a.count * 4 + k % 4;
        [[unroll]] for (int i = 0; i < T; i++) {
            int t = t0 + row + i * ROWS;
            if (t < a.count && k / 4 < a.kb)
                m[to + t * 4] = acc[2 * i + h];
        }
    }
}
