// SPDX-License-Identifier: Apache-2.0
// Convolutions as implicit matrix products; formulas, shapes and work-items as in kernels_cl/conv_gemm.cl. Constants:
// 0 output blocks of a work-group, 1 stride, 2 transposed.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common/base.glsl"
#include "ops/args/conv_tile.h"

BUF_R4(0, src)
BUF_R4(1, wt)
BUF_X4(2, dst)
ARGS(a_tile)

#ifdef ENTRY_conv_gemm
layout(constant_id = 0) const int NB = 1;
layout(constant_id = 1) const int S = 1;
layout(constant_id = 2) const int UP = 0;
layout(local_size_x = 128) in;

const int MV = 256 / NB, COLS = 4 * NB, STRIDE = 32 / NB, ROW = MV + 2;
const int NA = 8 / NB, NW = (NB + 1) / 2;
shared vec4 rows[4 * ROW];
shared vec4 wl[16 * COLS];

void main()
{
    int l = LOCAL(), col = l % COLS, vg = l / COLS, taps = a.kx * a.ky * a.kz;
    int voxels = a.n * a.x * a.y * a.z, v0 = GROUP() * MV;
    int blocks = UP != 0 ? a.kb * taps : a.kb, js = (blocks + NB - 1) / NB, m = int(gl_WorkGroupID.z);
    int j0 = m % js * NB, slab = m / js;
    int steps = UP != 0 ? a.cb : a.cb * taps, first = slab * a.per, last = min(first + a.per, steps);
    bool mine = v0 + vg < voxels && j0 + col / 4 < blocks;
    int s0 = OFF4(0) + a.so / 4, w0 = OFF4(1) + a.w0 / 4;
    int from[NA], wfrom[NW];
    [[unroll]] for (int i = 0; i < NA; i++) {
        int at = l + i * 128, v = min(v0 + at / 4, voxels - 1);
        int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x, n = v / a.z / a.y / a.x;
        from[i] = s0 + (n * a.sn + x * S * a.sp + y * S * a.sr) / 4 + z * S * 4 + at % 4;
    }
    [[unroll]] for (int i = 0; i < NW; i++) {
        int at = (l + i * 128) % (64 * NB), j = min(j0 + at / 64, blocks - 1);
        wfrom[i] = w0 + at % 64 + (UP != 0 ? j / taps * (a.wb / 4) + j % taps * 64 : j * (a.wb / 4));
    }
    vec4 acc[8], u[NA], w[NW];
    [[unroll]] for (int v = 0; v < 8; v++)
        acc[v] = vec4(0);
    for (int s = first; s <= last; s++) {
        if (s > first) {
            barrier();
            [[unroll]] for (int i = 0; i < NA; i++)
                rows[l % 4 * ROW + l / 4 + i * 32] = u[i];
            [[unroll]] for (int i = 0; i < NW; i++) {
                int at = l + i * 128;
                if (at < 64 * NB)
                    wl[at % 64 / 4 * COLS + at / 64 * 4 + at % 4] = w[i];
            }
            barrier();
        }
        if (s < last) {
            int c = UP != 0 ? s : s / taps, tap = UP != 0 ? 0 : s % taps;
            int kz = tap % a.kz, ky = tap / a.kz % a.ky, kx = tap / a.kz / a.ky;
            int in0 = (c * a.sb + kx * a.sp + ky * a.sr) / 4 + kz * 4, w0 = (c * taps + tap) * 64;
            [[unroll]] for (int i = 0; i < NA; i++)
                u[i] = src[in0 + from[i]];
            [[unroll]] for (int i = 0; i < NW; i++)
                w[i] = wt[w0 + wfrom[i]];
        }
        if (s > first && mine)
            [[dont_unroll]] for (int q = 0; q < 4; q++) {
                vec4 w0 = wl[q * 4 * COLS + col], w1 = wl[(q * 4 + 1) * COLS + col];
                vec4 w2 = wl[(q * 4 + 2) * COLS + col], w3 = wl[(q * 4 + 3) * COLS + col];
                [[unroll]] for (int v = 0; v < 8; v++) {
                    vec4 f = rows[q * ROW + vg + v * STRIDE];
                    acc[v] = fma(vec4(f.w), w3, fma(vec4(f.z), w2, fma(vec4(f.y), w1, fma(vec4(f.x), w0, acc[v]))));
                }
            }
    }
    int j = j0 + col / 4, kb = UP != 0 ? j / taps : j, tap = UP != 0 ? j % taps : 0;
    int kz = tap % a.kz, ky = tap / a.kz % a.ky, kx = tap / a.kz / a.ky;
    if (!mine)
        return;
    int d0 = OFF4(2) + (a.dst0 + slab * a.ds + kb * a.db) / 4 + col % 4;
    vec4 bias = vec4(0);
    if (a.bias >= 0)
        bias = wt[OFF4(1) + (a.bias + kb * a.wb) / 4 + col % 4];
    [[unroll]] for (int i = 0; i < 8; i++) {
        int v = v0 + vg + i * STRIDE;
        int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x, n = v / a.z / a.y / a.x;
        bool inside = v < voxels;
        if (UP != 0) {
            x = x * 2 + kx;
            y = y * 2 + ky;
            z = z * 2 + kz;
            inside = inside && x < a.fx && y < a.fy && z < a.fz;
        }
        int d = d0 + (n * a.dn + x * a.dp + y * a.dr) / 4 + z * 4;
        if (inside)
            dst[d] = acc[i] + (a.accum != 0 ? dst[d] : bias);
    }
}
#endif

#ifdef ENTRY_gemm_sum
WG64
void main()
{
    int i = GROUP() * 64 + LOCAL(), voxels = a.x * a.y * a.z;
    if (i >= a.n * a.kb * voxels * 4)
        return;
    int v = i / 4 % voxels, kb = i / 4 / voxels % a.kb, n = i / 4 / voxels / a.kb;
    int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y;
    int d = OFF4(2) + (a.dst0 + n * a.dn + kb * a.db + x * a.dp + y * a.dr) / 4 + z * 4 + i % 4;
    vec4 sum = vec4(0);
    if (a.accum != 0)
        sum = dst[d];
    else if (a.bias >= 0)
        sum = wt[OFF4(1) + (a.bias + kb * a.wb) / 4 + i % 4];
    for (int s = 0; s < a.per; s++)
        sum += src[OFF4(0) + i + s * (a.ds / 4)];
    dst[d] = sum;
}
#endif
