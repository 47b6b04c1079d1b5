// SPDX-License-Identifier: Apache-2.0
// 3x3x3 convolutions of stride 1 with tiles in shared memory; formula, shapes and work-items as in
// kernels_cl/conv_tile.cl. Constants: 0 output blocks, 1 work-items (128 * blocks), 2 voxels of a tile along z.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common/base.glsl"
#include "ops/args/conv_tile.h"

layout(constant_id = 0) const int NB = 1;
layout(constant_id = 2) const int TZ = 16;
layout(local_size_x_id = 1) in;
BUF_R4(0, src)
BUF_R4(1, wt)
BUF_X4(2, dst)
ARGS(a_tile)

const int TX = 4, WG = NB * 128, TY = 128 / TZ, HY = TY + 2, HZ = TZ + 2, CELLS = 1080;
shared vec4 halo[1080];             // CELLS
shared vec4 wl[NB * 432];

void main()
{
    int l = LOCAL(), b = l / 128, ly = l % 128 / TZ, lz = l % TZ;
    int nz = (a.z + TZ - 1) / TZ, g = int(gl_WorkGroupID.x), m = int(gl_WorkGroupID.z), kg = a.kb / NB;
    int z0 = g % nz * TZ, y0 = g / nz * TY, x0 = int(gl_WorkGroupID.y) * TX;
    int n = m / kg, kb = m % kg * NB, y = y0 + ly, z = z0 + lz;
    bool mine = y < a.y && z < a.z;
    int sp = a.sp / 4, sr = a.sr / 4, wb = a.wb / 4;
    int s0 = OFF4(0) + (a.so + n * a.sn) / 4 + x0 * sp + y0 * sr + z0 * 4, w0 = OFF4(1) + a.w0 / 4 + kb * wb;
    vec4 acc[4][4];
    [[unroll]] for (int v = 0; v < 4; v++)
        [[unroll]] for (int k = 0; k < 4; k++)
            acc[v][k] = vec4(0);
    for (int q = 0; q < a.cb * 4; q++) {
        int s = s0 + q / 4 * (a.sb / 4) + q % 4, w = w0 + q / 4 * 27 * 64 + q % 4 * 16;
        barrier();
        for (int i = l; i < CELLS; i += WG) {
            int hx = i / (HY * HZ), hy = i / HZ % HY, hz = i % HZ;
            bool stored = x0 + hx < a.x + 2 && y0 + hy < a.y + 2 && z0 + hz < a.z + 2;
            vec4 f = vec4(0);
            if (stored)
                f = src[s + hx * sp + hy * sr + hz * 4];
            halo[i] = f;
        }
        for (int i = l; i < NB * 432; i += WG)
            wl[i] = wt[w + i / 432 * wb + i / 16 % 27 * 64 + i % 16];
        barrier();
        for (int ky = 0; mine && ky < 3; ky++)
            [[dont_unroll]] for (int kz = 0; kz < 3; kz++) {
                [[dont_unroll]] for (int kx = 0; kx < 3; kx++) {
                    int at = (b * 27 + kx * 9 + ky * 3 + kz) * 16;
                    vec4 u[4];
                    [[unroll]] for (int v = 0; v < 4; v++)
                        u[v] = halo[((kx + v) * HY + ly + ky) * HZ + lz + kz];
                    [[unroll]] for (int k = 0; k < 4; k++) {
                        vec4 v0 = wl[at + k], v1 = wl[at + 4 + k], v2 = wl[at + 8 + k], v3 = wl[at + 12 + k];
                        [[unroll]] for (int v = 0; v < 4; v++) {
                            vec4 f = u[v];
                            acc[v][k] = fma(vec4(f.w), v3, fma(vec4(f.z), v2, fma(vec4(f.y), v1, fma(vec4(f.x), v0,
                                            acc[v][k]))));
                        }
                    }
                }
            }
    }
    if (!mine)
        return;
    int d0 = OFF4(2) + (a.dst0 + n * a.dn + (kb + b) * a.db + y * a.dr) / 4 + z * 4;
    int bias = OFF4(1) + a.bias / 4 + (kb + b) * wb;
    [[unroll]] for (int v = 0; v < 4; v++)
        if (x0 + v < a.x) {
            int d = d0 + (x0 + v) * (a.dp / 4);
            [[unroll]] for (int k = 0; k < 4; k++) {
                vec4 f = acc[v][k];
                if (a.accum != 0)
                    f += dst[d + k];
                else if (a.bias >= 0)
                    f += wt[bias + k];
                dst[d + k] = f;
            }
        }
}
