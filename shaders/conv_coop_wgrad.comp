// SPDX-License-Identifier: Apache-2.0
// Weight gradients in mixed precision on matrix units (VK_KHR_cooperative_matrix): the sums of conv_wgrad, whose
// formula, arguments and slabs these are, operands rounded to half on the way to shared memory, sums in fp32.
// Constants: 0 stride, 1 taps, 2 and 3 blocks BB of big and VB of small of a work-group, 4 to 6 the unit's m, n, k,
// which divide 16, m and n multiples of 4; 7 sub-groups of a work-group of 128.
// A work-group: one slab, BB x VB pairs of blocks. It walks along the planes of its slab with ty x tz voxels of each.
// Big lies in shared memory as kx planes (the next plane takes the place of the one not needed any more); a plane of
// stride 2 as up to four grids, of even and of odd rows and columns, each `hz` wide. Small lies on rows as long as
// those, zeros in the surplus. So at every tap the voxels that meet are consecutive cells of both: one matrix product
// [small channel][voxel] x [voxel][big channel] per tap and block of big ("unit"), which one sub-group sums.
// Surplus cells of big times zeros of small are zeros unless big is infinite or no number; then the sum is neither
// way finite. Shared memory: 30 KiB, halves; zeroed first, since surplus cells may be read before they are written.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_cooperative_matrix : require
#include "common/base.glsl"
#include "common/half.glsl"
#include "ops/args/conv.h"

layout(constant_id = 0) const int S = 1;
layout(constant_id = 1) const int TAPS = 1;
layout(constant_id = 2) const int BB = 1;
layout(constant_id = 3) const int VB = 1;
layout(constant_id = 4) const int TM = 16;
layout(constant_id = 5) const int TN = 16;
layout(constant_id = 6) const int TK = 16;
layout(constant_id = 7) const int SUBGROUPS = 4;
layout(local_size_x = 128) in;
BUF_R4(0, big)
BUF_R4(1, small)
BUF_X(2, part)
ARGS(a_wgrad)

const int ROW_B = BB * 4 + 2, ROW_V = VB * 4 + 2;       // in fours; 2: rows start at different banks
const int UNITS = TAPS * BB, PER = (UNITS + SUBGROUPS - 1) / SUBGROUPS, NT = 16 / TN, VT = VB * 16 / TM;
shared f16vec4 cell[COOP_FOURS];

f16vec4 halves(vec4 u) { return f16vec4(vec4(half_of(u.x), half_of(u.y), half_of(u.z), half_of(u.w))); }

void main()
{
    int l = LOCAL(), sg = int(gl_SubgroupID), ys = (a.y + a.rows - 1) / a.rows, slab = GROUP();
    int s = slab / ys, ypart = slab % ys, bs = (a.bb + BB - 1) / BB;
    int b0 = int(gl_WorkGroupID.z) % bs * BB, v0 = int(gl_WorkGroupID.z) / bs * VB;
    if (s * a.slab >= a.planes)
        return;
    int hy = a.ty + (a.ky - 1) / S, hz = a.tz + (a.kz - 1) / S, grid = hy * hz;
    int cy = min(S, a.ky), cz = min(S, a.kz), plane = cy * cz * grid, sm = a.kx * plane * ROW_B;
    int at[PER], ux[PER];       // of a unit: cell of its first voxel in a plane, in fours; tap along x
    [[unroll]] for (int i = 0; i < PER; i++) {
        int u = min(sg + i * SUBGROUPS, UNITS - 1), tap = u / BB;
        int kz = tap % a.kz, ky = tap / a.kz % a.ky;
        ux[i] = tap / a.kz / a.ky;
        at[i] = ((ky % S * cz + kz % S) * grid + ky / S * hz + kz / S) * ROW_B + u % BB * 4;
    }
    coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator> acc[PER * NT * VT];
    [[unroll]] for (int i = 0; i < PER * NT * VT; i++)
        acc[i] = coopmat<float, gl_ScopeSubgroup, TM, TN, gl_MatrixUseAccumulator>(0.0);
    for (int i = l; i < COOP_FOURS; i += 128)
        cell[i] = f16vec4(0);
    int p0 = s * a.slab, p1 = min(p0 + a.slab, a.planes), y1 = min((ypart + 1) * a.rows, a.y);
    for (int y0 = ypart * a.rows; y0 < y1; y0 += a.ty)
        for (int z0 = 0; z0 < a.z; z0 += a.tz) {
            int ny = min(a.ty, y1 - y0), nz = min(a.tz, a.z - z0);
            int rows = (ny - 1) * S + a.ky, cols = (nz - 1) * S + a.kz;
            int num = (ny - 1) * hz + nz, num16 = (num + 15) / 16 * 16;
            for (int p = p0; p < p1; p++) {
                int n = p / a.x, x = p % a.x;
                int f0 = p == p0 || x == 0 ? x * S : max(x * S, (x - 1) * S + a.kx), f1 = x * S + a.kx;
                int bg = OFF4(0) + (a.bo + n * a.bn + y0 * S * a.br) / 4 + z0 * S * 4;
                int sg4 = OFF4(1) + (a.so + n * a.sn + x * a.sp + y0 * a.sr) / 4 + z0 * 4;
                barrier();
                for (int i = l; i < (f1 - f0) * plane * BB * 4; i += 128) {
                    int q = i % (BB * 4), j = i / (BB * 4), f = f0 + j / plane, g = j % plane;
                    int y = g % grid / hz * S + g / grid / cz, z = g % hz * S + g / grid % cz, b = b0 + q / 4;
                    vec4 u = vec4(0);
                    if (y < rows && z < cols && b < a.bb)
                        u = big[bg + (b * a.bbs + f * a.bp + y * a.br) / 4 + z * 4 + q % 4];
                    cell[(f % a.kx * plane + g) * ROW_B + q] = halves(u);
                }
                for (int i = l; i < num16 * VB * 4; i += 128) {
                    int q = i % (VB * 4), j = i / (VB * 4), y = j / hz, z = j % hz, v = v0 + q / 4;
                    vec4 u = vec4(0);
                    if (y < ny && z < nz && v < a.vb)
                        u = small[sg4 + (v * a.sbs + y * a.sr) / 4 + z * 4 + q % 4];
                    cell[sm + j * ROW_V + q] = halves(u);
                }
                barrier();
                int from[PER];
                [[unroll]] for (int i = 0; i < PER; i++)
                    from[i] = (x * S + ux[i]) % a.kx * plane * ROW_B + at[i];
                for (int k = 0; k < num && sg < UNITS; k += TK) {
                    coopmat<float16_t, gl_ScopeSubgroup, TM, TK, gl_MatrixUseA> d[VT];
                    [[unroll]] for (int v = 0; v < VT; v++)
                        coopMatLoad(d[v], cell, sm + k * ROW_V + v * (TM / 4), ROW_V,
                                    gl_CooperativeMatrixLayoutColumnMajor);
                    [[unroll]] for (int i = 0; i < PER * NT; i++) {
                        coopmat<float16_t, gl_ScopeSubgroup, TK, TN, gl_MatrixUseB> u;
                        coopMatLoad(u, cell, from[i / NT] + k * ROW_B + i % NT * (TN / 4), ROW_B,
                                    gl_CooperativeMatrixLayoutRowMajor);
                        [[unroll]] for (int v = 0; v < VT; v++)
                            acc[i * VT + v] = coopMatMulAdd(d[v], u, acc[i * VT + v]);
                    }
                }
            }
        }
    [[unroll]] for (int i = 0; i < PER * NT * VT; i++) {
        int u = sg + i / VT / NT * SUBGROUPS, n = i / VT % NT * TN, m = i % VT * TM, b = b0 + u % BB, v = v0 + m / 16;
        int o = OFF(2) + (((slab * a.pvb + v) * a.pbb + b) * TAPS + u / BB) * 256 + n * 16 + m % 16;
        if (u < UNITS && b < a.bb && v < a.vb)
            coopMatStore(acc[i], part, o, 16, gl_CooperativeMatrixLayoutColumnMajor);
    }
}
