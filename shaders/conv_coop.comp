// SPDX-License-Identifier: Apache-2.0
// Convolutions in mixed precision on matrix units (VK_KHR_cooperative_matrix): the products of conv_gemm, whose
// formulas, arguments and slabs these are, with operands rounded to half on the way to shared memory and sums in fp32.
// Constants: 0 output blocks NB of a work-group (1, 2, 4), 1 stride, 2 transposed; 3 to 5 the unit's m, n, k, which
// divide 64, 16, 16; 6 sub-groups of a work-group, which divide the (64 / m) * (NB * 16 / n) results of a work-group.
// Groups as of conv_gemm, 64 voxels each. A step is 16 input channels of one tap.
// Shared memory: 3 + NB * (4.5 + 0.5) KiB at most.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_cooperative_matrix : require
#include "common/base.glsl"
#include "common/half.glsl"
#include "ops/args/conv_tile.h"

layout(constant_id = 0) const int NB = 1;
layout(constant_id = 1) const int S = 1;
layout(constant_id = 2) const int UP = 0;
layout(constant_id = 3) const int TM = 16;
layout(constant_id = 4) const int TN = 16;
layout(constant_id = 5) const int TK = 16;
layout(constant_id = 6) const int SUBGROUPS = 4;
layout(local_size_x = 128) in;
BUF_R4(0, src)
BUF_R4(1, wt)
BUF_X4(2, dst)
BUF_W4(3, stats)
BUF_R4(4, table)                // not read
ARGS(a_tile)

const int MV = 64, COLS = 16 * NB, NW = (NB + 1) / 2;
const int ROW_A = 24, ROW_B = COLS + 8;         // 8: rows start at different banks
const int PER = MV / TM * (COLS / TN) / SUBGROUPS;
shared float16_t xs[MV * ROW_A];                // [voxel][channel]
shared float16_t ws[16 * ROW_B];                // [channel][column]
shared float ys[MV * COLS];                     // [voxel][column]

void main()
{
    int l = LOCAL(), taps = a.kx * a.ky * a.kz;
    int voxels = a.n * a.x * a.y * a.z, v0 = GROUP() * MV;
    int blocks = UP != 0 ? a.kb * taps : a.kb, js = (blocks + NB - 1) / NB, m = int(gl_WorkGroupID.z);
    int j0 = m % js * NB, slab = m / js;
    int steps = UP != 0 ? a.cb : a.cb * taps, first = slab * a.per, last = min(first + a.per, steps);
    int from[2], wfrom[NW];
    [[unroll]] for (int i = 0; i < 2; i++) {
        int at = l + i * 128, v = min(v0 + at / 4, voxels - 1);
        int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x, n = v / a.z / a.y / a.x;
        from[i] = OFF4(0) + (a.so + n * a.sn + x * S * a.sp + y * S * a.sr) / 4 + z * S * 4 + at % 4;
    }
    [[unroll]] for (int i = 0; i < NW; i++) {
        int at = (l + i * 128) % (64 * NB), j = min(j0 + at / 64, blocks - 1);
        wfrom[i] = OFF4(1) + ((a.flags & TILE_BEHIND) != 0 ? 4 : 0) + at % 64 +
                   (UP != 0 ? j / taps * (a.wb / 4) + j % taps * 64 : j * (a.wb / 4));
    }
    coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> acc[PER];
    [[unroll]] for (int p = 0; p < PER; p++)
        acc[p] = coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);
    for (int s = first; s < last; s++) {
        int c = UP != 0 ? s : s / taps, tap = UP != 0 ? 0 : s % taps;
        int kz = tap % a.kz, ky = tap / a.kz % a.ky, kx = tap / a.kz / a.ky;
        int in0 = (c * a.sb + kx * a.sp + ky * a.sr) / 4 + kz * 4, w0 = (c * taps + tap) * 64;
        barrier();
        [[unroll]] for (int i = 0; i < 2; i++) {
            int at = l + i * 128, to = at / 4 * ROW_A + at % 4 * 4;
            vec4 u = src[in0 + from[i]];
            [[unroll]] for (int q = 0; q < 4; q++)
                xs[to + q] = float16_t(half_of(u[q]));
        }
        [[unroll]] for (int i = 0; i < NW; i++) {
            int at = l + i * 128, to = at % 64 / 4 * ROW_B + at / 64 * 16 + at % 4 * 4;
            if (at < 64 * NB) {
                vec4 u = wt[w0 + wfrom[i]];     // rounded already
                [[unroll]] for (int q = 0; q < 4; q++)
                    ws[to + q] = float16_t(u[q]);
            }
        }
        barrier();
        [[unroll]] for (int k = 0; k < 16; k += TK)
            [[unroll]] for (int p = 0; p < PER; p++) {
                int t = int(gl_SubgroupID) * PER + p, row = t / (COLS / TN) * TM, col = t % (COLS / TN) * TN;
                coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> x;
                coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> w;
                coopMatLoad(x, xs, row * ROW_A + k, ROW_A, gl_CooperativeMatrixLayoutRowMajor);
                coopMatLoad(w, ws, k * ROW_B + col, ROW_B, gl_CooperativeMatrixLayoutRowMajor);
                acc[p] = coopMatMulAdd(x, w, acc[p]);
            }
    }
    [[unroll]] for (int p = 0; p < PER; p++) {
        int t = int(gl_SubgroupID) * PER + p, row = t / (COLS / TN) * TM, col = t % (COLS / TN) * TN;
        coopMatStore(acc[p], ys, row * COLS + col, COLS, gl_CooperativeMatrixLayoutRowMajor);
    }
    barrier();
    // 128 is a multiple of COLS / 4: a work-item stays in its column. Statistics as conv_gemm's
    int col = l % (COLS / 4);
    vec4 one = vec4(0), ss = one, sq = one;
    if ((a.flags & TILE_STATS) != 0) {
        int c = UP != 0 ? col % 4 : col;
        one = vec4(ys[c * 4], ys[c * 4 + 1], ys[c * 4 + 2], ys[c * 4 + 3]);
    }
    for (int i = l; i < MV * COLS / 4; i += 128) {
        int r = i / (COLS / 4), q = i % (COLS / 4), v = v0 + r, j = j0 + q / 4;
        int kb = UP != 0 ? j / taps : j, tap = UP != 0 ? j % taps : 0;
        int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x, n = v / a.z / a.y / a.x;
        bool inside = v < voxels && j < blocks;
        if (UP != 0) {
            x = x * 2 + tap / a.kz / a.ky;
            y = y * 2 + tap / a.kz % a.ky;
            z = z * 2 + tap % a.kz;
            inside = inside && x < a.fx && y < a.fy && z < a.fz;
        }
        if (!inside)
            continue;
        int d = OFF4(2) + (a.dst0 + slab * a.ds + kb * a.db + n * a.dn + x * a.dp + y * a.dr) / 4 + z * 4 + q % 4;
        vec4 sum = vec4(ys[i * 4], ys[i * 4 + 1], ys[i * 4 + 2], ys[i * 4 + 3]);
        vec4 dev = sum - one;
        ss += dev;
        sq += dev * dev;
        if ((a.flags & TILE_ACCUM) != 0)
            sum += dst[d];
        else if ((a.flags & TILE_BIAS) != 0)
            sum += wt[OFF4(1) + kb * (a.wb / 4) + q % 4];
        dst[d] = sum;
    }
    if ((a.flags & TILE_STATS) == 0)
        return;
    barrier();
    [[unroll]] for (int i = 0; i < 4; i++) {
        ys[l * 4 + i] = ss[i];
        ys[512 + l * 4 + i] = sq[i];
    }
    barrier();
    int here = min(MV, voxels - v0), units = (voxels + MV - 1) / MV;
    if (here <= 0 || l >= (UP != 0 ? 4 : COLS / 4) || j0 + col / 4 >= blocks)
        return;
    int j = j0 + col / 4, step = UP != 0 ? 4 : COLS / 4;
    ss = sq = vec4(0);
    for (int i = l; i < 128; i += step) {
        ss += vec4(ys[i * 4], ys[i * 4 + 1], ys[i * 4 + 2], ys[i * 4 + 3]);
        sq += vec4(ys[512 + i * 4], ys[512 + i * 4 + 1], ys[512 + i * 4 + 2], ys[512 + i * 4 + 3]);
    }
    vec4 mean = ss / float(UP != 0 ? here * NB : here), bias = vec4(0);
    if ((a.flags & TILE_BIAS) != 0)
        bias = wt[OFF4(1) + (UP != 0 ? j / taps : j) * (a.wb / 4) + l % 4];
    int to = OFF4(3) + ((UP != 0 ? j / NB : j) * units + GROUP()) * 8 + l % 4;
    stats[to] = one + bias + mean;
    stats[to + 4] = max(sq - ss * mean, vec4(0));
}
