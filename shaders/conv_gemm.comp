// SPDX-License-Identifier: Apache-2.0
// Convolutions as implicit matrix products; formulas, shapes and work-items as in kernels_cl/conv_gemm.cl. Constants:
// 0 output blocks of a work-group, 1 stride, 2 transposed.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common/group.glsl"
#include "ops/args/conv_tile.h"

BUF_R4(0, src)
BUF_R4(1, wt)
BUF_X4(2, dst)
BUF_W4(3, stats)
BUF_R4(4, table)
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
    int s0 = OFF4(0) + a.so / 4, w0 = OFF4(1) + ((a.flags & TILE_BEHIND) != 0 ? 4 : 0);
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
            if ((UP != 0 || S == 2) && (a.flags & TILE_NORM) != 0) {
                int t = OFF4(4) + (UP != 0 ? s - 1 : (s - 1) / taps) * 16 + l % 4;
                [[unroll]] for (int i = 0; i < NA; i++) {
                    u[i] = (u[i] - table[t + 8]) * table[t] + table[t + 4];
                    u[i] = mix(u[i] * a.slope, u[i], greaterThan(u[i], vec4(0)));
                }
            }
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
    int d0 = OFF4(2) + (a.dst0 + slab * a.ds + kb * a.db) / 4 + col % 4;
    vec4 bias = vec4(0);
    if ((a.flags & TILE_BIAS) != 0 && mine)
        bias = wt[OFF4(1) + kb * (a.wb / 4) + col % 4];
    [[unroll]] for (int i = 0; i < 8; i++) {
        int v = v0 + vg + i * STRIDE;
        int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x, n = v / a.z / a.y / a.x;
        bool inside = mine && v < voxels;
        if (UP != 0) {
            x = x * 2 + kx;
            y = y * 2 + ky;
            z = z * 2 + kz;
            inside = inside && x < a.fx && y < a.fy && z < a.fz;
        }
        int d = d0 + (n * a.dn + x * a.dp + y * a.dr) / 4 + z * 4;
        if (inside) {
            acc[i] += (a.flags & TILE_ACCUM) != 0 ? dst[d] : bias;
            dst[d] = acc[i];
        }
    }
    if ((a.flags & TILE_STATS) == 0)
        return;
    barrier();
    if (l < COLS)
        wl[l] = acc[0];
    barrier();
    vec4 one = wl[UP != 0 ? col % 4 : col], ss = vec4(0), sq = ss;
    [[unroll]] for (int i = 0; i < 8; i++)
        if (mine && v0 + vg + i * STRIDE < voxels) {
            vec4 f = acc[i] - one;
            ss += f;
            sq += f * f;
        }
    rows[l] = ss;
    rows[128 + l] = sq;
    barrier();
    if (l < 2 * COLS) {
        vec4 t = rows[l / COLS * 128 + l % COLS];
        for (int i = 1; i < STRIDE; i++)
            t += rows[l / COLS * 128 + i * COLS + l % COLS];
        wl[COLS + l] = t;
    }
    barrier();
    int here = min(MV, voxels - v0), units = (voxels + MV - 1) / MV;
    if (here <= 0 || j0 + col / 4 >= blocks || l >= (UP != 0 ? 4 : COLS))
        return;
    ss = wl[COLS + l];
    sq = wl[2 * COLS + l];
    if (UP != 0)
        for (int i = 1; i < NB; i++) {
            ss += wl[COLS + i * 4 + l];
            sq += wl[2 * COLS + i * 4 + l];
        }
    vec4 mean = ss / float(UP != 0 ? here * NB : here);
    int to = OFF4(3) + ((UP != 0 ? j / NB : j) * units + GROUP()) * 8 + l % 4;
    stats[to] = one + mean;
    stats[to + 4] = max(sq - ss * mean, vec4(0));
}
#endif

#ifdef ENTRY_gemm_sum
WG64
GROUP_FOLD(quads, vec4, JOIN_ADD, 4, sums, quad_sums)
void main()
{
    int l = LOCAL(), voxels = a.x * a.y * a.z, runs = (voxels + GEMM_SUM_RUN - 1) / GEMM_SUM_RUN;
    int kb = GROUP() / runs % a.kb, n = GROUP() / runs / a.kb, v0 = GROUP() % runs * GEMM_SUM_RUN;
    int here = n < a.n ? min(GEMM_SUM_RUN, voxels - v0) : 0;
    int d0 = OFF4(2) + (a.dst0 + n * a.dn + kb * a.db) / 4 + l % 4;
    int p0 = OFF4(0) + ((n * a.kb + kb) * voxels + v0) * 4 + l % 4;
    vec4 r[2];
    [[unroll]] for (int i = 0; i < 2; i++) {
        int at = l / 4 + i * 16, v = v0 + at, z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y;
        r[i] = vec4(0);
        if (at >= here)
            continue;
        int d = d0 + (x * a.dp + y * a.dr) / 4 + z * 4;
        if ((a.flags & TILE_ACCUM) != 0)
            r[i] = dst[d];
        else if ((a.flags & TILE_BIAS) != 0)
            r[i] = wt[OFF4(1) + kb * (a.wb / 4) + l % 4];
        for (int s = 0; s < a.per; s++)
            r[i] += src[p0 + s * (a.ds / 4) + at * 4];
        dst[d] = r[i];
    }
    if ((a.flags & TILE_STATS) == 0)
        return;
    sums[l] = r[0];
    barrier();
    vec4 first = sums[l % 4], d0s = r[0] - first, d1s = r[1] - first, ss = vec4(0), sq = ss;
    barrier();
    if (l / 4 < here) {
        ss = d0s;
        sq = d0s * d0s;
    }
    if (l / 4 + 16 < here) {
        ss += d1s;
        sq += d1s * d1s;
    }
    ss = quads(ss);
    sq = quads(sq);
    if (l < 4 && here > 0) {
        vec4 mean = ss / float(here);
        int to = OFF4(3) + GROUP() * 8 + l;
        stats[to] = first + mean;
        stats[to + 4] = max(sq - ss * mean, vec4(0));
    }
}
#endif
