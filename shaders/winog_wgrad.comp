// SPDX-License-Identifier: Apache-2.0
// The 64 matrix products of Winograd's weight gradients; formulas, shapes and work-items as in
// kernels_cl/winog_wgrad.cl. Constant: 0 blocks of a work-group each way.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common/base.glsl"
#include "ops/args/winog.h"

BUF_R4(0, d)
BUF_R4(1, v)
BUF_X4(2, part)
ARGS(a_winog_p)
layout(constant_id = 0) const int NB = 2;
WG64

const int R = NB / 2, STEP = 8, PITCH = 4 * NB + 2, NL = NB / 2;
shared vec4 dl[STEP * PITCH];       // [tile][quarter of a block]
shared vec4 vl[STEP * PITCH];

void main()
{
    int l = LOCAL(), col = l % 8, row = l / 8, g = GROUP();
    int jc = (a.cb + NB - 1) / NB, jk = (a.kb + NB - 1) / NB;
    int c0 = g % jc * NB, k0 = g / jc % jk * NB, f = g / jc / jk % 64, slab = g / jc / jk / 64;
    if (slab >= a.slabs)
        return;
    int first = slab * a.per, last = min(first + a.per, a.count), tile = first + l / 2 % STEP;
    int from_d[NL], from_v[NL];
    [[unroll]] for (int i = 0; i < NL; i++) {
        int h = l / 16 + i * 4;                     // halves of blocks
        from_d[i] = OFF4(0) + f * a.kb * a.count * 4 + (min(k0 * 2 + h, a.kb * 2 - 1) * a.count + tile) * 2 + l % 2;
        from_v[i] = OFF4(1) + f * a.cb * a.count * 4 + (min(c0 * 2 + h, a.cb * 2 - 1) * a.count + tile) * 2 + l % 2;
    }
    vec4 acc[4 * R * R], x[NL], y[NL];
    [[unroll]] for (int i = 0; i < 4 * R * R; i++)
        acc[i] = vec4(0);
    for (int t = first, at = 0; t < last + STEP; t += STEP, at += STEP * 2) {
        if (t > first) {
            barrier();
            [[unroll]] for (int i = 0; i < NL; i++) {
                int to = l / 2 % STEP * PITCH + (l / 16 + i * 4) * 2 + l % 2;
                dl[to] = x[i];
                vl[to] = y[i];
            }
            barrier();
        }
        [[unroll]] for (int i = 0; i < NL; i++) {
            x[i] = y[i] = vec4(0);
            if (t + l / 2 % STEP < last) {
                x[i] = d[from_d[i] + at];
                y[i] = v[from_v[i] + at];
            }
        }
        if (t > first)
            [[dont_unroll]] for (int s = 0; s < STEP; s++) {
                vec4 c[R];
                [[unroll]] for (int j = 0; j < R; j++)
                    c[j] = vl[s * PITCH + col + j * 8];
                [[unroll]] for (int i = 0; i < R; i++) {
                    vec4 k = dl[s * PITCH + row + i * 8];
                    [[unroll]] for (int j = 0; j < R; j++) {
                        acc[(i * 4) * R + j] = fma(vec4(k.x), c[j], acc[(i * 4) * R + j]);
                        acc[(i * 4 + 1) * R + j] = fma(vec4(k.y), c[j], acc[(i * 4 + 1) * R + j]);
                        acc[(i * 4 + 2) * R + j] = fma(vec4(k.z), c[j], acc[(i * 4 + 2) * R + j]);
                        acc[(i * 4 + 3) * R + j] = fma(vec4(k.w), c[j], acc[(i * 4 + 3) * R + j]);
                    }
                }
            }
    }
    int to = OFF4(2) + (slab * 64 + f) * a.kb * a.cb * 64;
    [[unroll]] for (int i = 0; i < 4 * R; i++)
        [[unroll]] for (int j = 0; j < R; j++) {
            int k = k0 * 16 + (row + i / 4 * 8) * 4 + i % 4, c = c0 * 4 + col + j * 8;
            if (k < a.kb * 16 && c < a.cb * 4) {
                int at = to + k * a.cb * 4 + c;
                part[at] = a.accum != 0 ? part[at] + acc[i * R + j] : acc[i * R + j];
            }
        }
}
