// SPDX-License-Identifier: Apache-2.0
// Weight gradients with tiles in shared memory; formulas, shapes and work-items as in kernels_cl/conv_tile_wgrad.cl.
// Constants: 0 stride, 1 taps along z, 2 pairs of taps along x and y, 3 work-items.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common/base.glsl"
#include "ops/args/conv.h"

layout(constant_id = 0) const int S = 1;
layout(constant_id = 1) const int KZ = 1;
layout(constant_id = 2) const int KG = 1;
layout(local_size_x_id = 3) in;
BUF_R4(0, big)
BUF_R4(1, small)
BUF_W4(2, part)
BUF_R4(3, table)
ARGS(a_wgrad)

const int WG = KG * 16;
shared vec4 cell[TILE_CELLS * 4];

// By the table at t.
vec4 normalise(vec4 u, int t)
{
    u = (u - table[t + 8]) * table[t] + table[t + 4];
    return mix(u * a.slope, u, greaterThan(u, vec4(0)));
}

void main()
{
    int l = LOCAL(), ys = (a.y + a.rows - 1) / a.rows, slab = GROUP(), s = slab / ys, ypart = slab % ys;
    int b = int(gl_WorkGroupID.z) % a.bb, v = int(gl_WorkGroupID.z) / a.bb;
    int c4 = l / 4 % 4, k4 = l % 4, kx = l / 16 / a.ky, ky = l / 16 % a.ky;
    int b0 = OFF4(0) + (a.bo + b * a.bbs) / 4, s0 = OFF4(1) + (a.so + v * a.sbs) / 4;
    if (s * a.slab >= a.planes)
        return;
    vec4 acc[KZ][4];
    [[unroll]] for (int k = 0; k < KZ; k++)
        [[unroll]] for (int c = 0; c < 4; c++)
            acc[k][c] = vec4(0);
    int p1 = min((s + 1) * a.slab, a.planes), y1 = min((ypart + 1) * a.rows, a.y);
    for (int p = s * a.slab; p < p1; p++)
        for (int y0 = ypart * a.rows; y0 < y1; y0 += a.ty)
            for (int z0 = 0; z0 < a.z; z0 += a.tz) {
                int ny = min(a.ty, y1 - y0), nz = min(a.tz, a.z - z0);
                int hy = (ny - 1) * S + a.ky, hz = (nz - 1) * S + KZ, cells = a.kx * hy * hz, g = cells * 4;
                int bg = b0 + (p / a.x * a.bn + p % a.x * S * a.bp + y0 * S * a.br) / 4 + z0 * S * 4;
                int sm = s0 + (p / a.x * a.sn + p % a.x * a.sp + y0 * a.sr) / 4 + z0 * 4;
                bool norms_big = (a.norm & WGRAD_BIG) != 0, norms_small = (a.norm & WGRAD_SMALL) != 0;
                int row = ((a.norm & WGRAD_ROWS) != 0 ? p / a.x : 0) * (norms_big ? a.bb : a.vb);
                int t = OFF4(3) + (row + (norms_big ? b : v)) * 16 + l % 4;
                barrier();
                for (int i = l; i < cells * 4; i += WG) {
                    int j = i / 4, x = j / (hy * hz), y = j / hz % hy, z = j % hz;
                    vec4 u = big[bg + (x * a.bp + y * a.br) / 4 + z * 4 + i % 4];
                    if (norms_big) {
                        int bx = p % a.x + x - a.kx / 2, by = y0 + y - a.ky / 2, bz = z0 + z - KZ / 2;
                        u = normalise(u, t);
                        if (S == 1 && (bx < 0 || bx >= a.x || by < 0 || by >= a.y || bz < 0 || bz >= a.z))
                            u = vec4(0);                // the border stays zero
                    }
                    cell[i] = u;
                }
                for (int i = l; i < ny * nz * 4; i += WG) {
                    vec4 u = small[sm + i / 4 / nz * (a.sr / 4) + i / 4 % nz * 4 + i % 4];
                    if (norms_small)
                        u = normalise(u, t);
                    cell[g + i] = u;
                }
                barrier();
                for (int y = 0; y < ny; y++) {
                    int at = ((kx * hy + y * S + ky) * hz) * 4 + c4;
                    for (int z = 0; z < nz; z++) {
                        vec4 d = cell[g + (y * nz + z) * 4 + k4];
                        [[unroll]] for (int k = 0; k < KZ; k++) {
                            vec4 u = cell[at + (z * S + k) * 4];
                            acc[k][0] = fma(vec4(u.x), d, acc[k][0]);
                            acc[k][1] = fma(vec4(u.y), d, acc[k][1]);
                            acc[k][2] = fma(vec4(u.z), d, acc[k][2]);
                            acc[k][3] = fma(vec4(u.w), d, acc[k][3]);
                        }
                    }
                }
            }
    int o = OFF4(2) + (((slab * a.pvb + v) * a.pbb + b) * (KG * KZ) + l / 16 * KZ) * 64;
    [[unroll]] for (int k = 0; k < KZ; k++)
        [[unroll]] for (int c = 0; c < 4; c++)
            part[o + k * 64 + (c4 * 4 + c) * 4 + k4] = acc[k][c];
}
