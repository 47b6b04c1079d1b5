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
BUF_W4(3, stats)
BUF_R4(4, table)
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
    int s0 = OFF4(0) + (a.so + n * a.sn) / 4 + x0 * sp + y0 * sr + z0 * 4, w0 = OFF4(1) + kb * wb;
    if ((a.flags & TILE_BEHIND) != 0)
        w0 += 4;
    vec4 acc[4][4];
    [[unroll]] for (int v = 0; v < 4; v++)
        [[unroll]] for (int k = 0; k < 4; k++)
            acc[v][k] = vec4(0);
    for (int q = 0; q < a.cb * 4; q++) {
        int s = s0 + q / 4 * (a.sb / 4) + q % 4, w = w0 + q / 4 * 27 * 64 + q % 4 * 16;
        barrier();
        int t = OFF4(4) + (((a.flags & TILE_ROWS) != 0 ? n * a.cb : 0) + q / 4) * 16 + q % 4;
        vec4 scale = vec4(1), bias = vec4(0), mean = bias;
        if ((a.flags & TILE_NORM) != 0) {
            scale = table[t];
            bias = table[t + 4];
            mean = table[t + 8];
        }
        for (int i = l; i < CELLS && (a.flags & TILE_NORM) != 0; i += WG) {     // the border stays zero
            int hx = i / (HY * HZ), hy = i / HZ % HY, hz = i % HZ, x = x0 + hx - 1, yy = y0 + hy - 1, zz = z0 + hz - 1;
            vec4 f = vec4(0);
            if (x >= 0 && x < a.x && yy >= 0 && yy < a.y && zz >= 0 && zz < a.z) {
                f = (src[s + hx * sp + hy * sr + hz * 4] - mean) * scale + bias;
                f = mix(f * a.slope, f, greaterThan(f, vec4(0)));
            }
            halo[i] = f;
        }
        for (int i = l; i < CELLS && (a.flags & TILE_NORM) == 0; i += WG) {
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
    int nx = mine ? min(TX, a.x - x0) : 0;
    int d0 = OFF4(2) + (a.dst0 + n * a.dn + (kb + b) * a.db + y * a.dr) / 4 + z * 4;
    int bias = OFF4(1) + (kb + b) * wb;
    [[unroll]] for (int v = 0; v < 4; v++)
        if (v < nx) {
            int d = d0 + (x0 + v) * (a.dp / 4);
            [[unroll]] for (int k = 0; k < 4; k++) {
                if ((a.flags & TILE_ACCUM) != 0)
                    acc[v][k] += dst[d + k];
                else if ((a.flags & TILE_BIAS) != 0)
                    acc[v][k] += wt[bias + k];
                dst[d + k] = acc[v][k];
            }
        }
    if ((a.flags & TILE_STATS) == 0)
        return;
    int first = 1024 + b * 4, column = l / 32 * 128 + l % 32;
    vec4 sum = vec4(0);
    barrier();
    if (l % 128 == 0)
        [[unroll]] for (int k = 0; k < 4; k++)
            halo[first + k] = acc[0][k];
    barrier();
    [[unroll]] for (int v = 0; v < 4; v++)
        [[unroll]] for (int k = 0; k < 4; k++)
            acc[v][k] = v < nx ? acc[v][k] - halo[first + k] : vec4(0);
    [[dont_unroll]] for (int squares = 0; squares < 2; squares++) {
        [[unroll]] for (int k = 0; k < 4; k++) {
            vec4 s = vec4(0);
            [[unroll]] for (int v = 0; v < 4; v++)
                s += squares != 0 ? acc[v][k] * acc[v][k] : acc[v][k];
            halo[(b * 4 + k) * 128 + l % 128] = s;
        }
        barrier();
        [[dont_unroll]] for (int s = 32; s >= 2; s /= 4) {
            if (l % 32 < s)
                halo[column] = (halo[column] + halo[column + s]) + (halo[column + 2 * s] + halo[column + 3 * s]);
            barrier();
        }
        vec4 t = halo[column] + halo[column + 1];
        if (squares != 0 && l % 32 == 0) {
            int units = int(gl_NumWorkGroups.x) * ((a.x + TX - 1) / TX);     /* of pieces of a launch, too */
            int unit = int(gl_WorkGroupID.y * gl_NumWorkGroups.x) + g;
            int count = min(TX, a.x - x0) * min(TY, a.y - y0) * min(TZ, a.z - z0);
            int to = OFF4(3) + ((n * a.kb + kb + l / 128) * units + unit) * 8 + l / 32 % 4;
            vec4 mean = sum / float(count);
            stats[to] = halo[1024 + l / 32] + mean;
            stats[to + 4] = max(t - sum * mean, vec4(0));
        }
        sum = t;
        barrier();
    }
}
