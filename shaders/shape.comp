// SPDX-License-Identifier: Apache-2.0
// Copies between places and layouts, max pooling; formulas, shapes and work-items as in kernels_cl/shape.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/shape.h"

WG64

#ifdef ENTRY_move_to
BUF_RI(0, src)
BUF_WI(1, dst)
ARGS(a_move)
void main()
{
    int g = GROUP(), row = g / a.chunks, from = g % a.chunks * 256;
    if (row >= a.rows)
        return;
    int s = OFF(0) + row * a.sn, d = OFF(1) + row * a.dn;
    for (int i = from + LOCAL(); i < min(from + 256, a.len); i += 64)
        dst[d + i] = src[s + i];
}
#endif

#ifdef ENTRY_move_add
BUF_R(0, src)
BUF_X(1, dst)
ARGS(a_move)
void main()
{
    int g = GROUP(), row = g / a.chunks, from = g % a.chunks * 256;
    if (row >= a.rows)
        return;
    int s = OFF(0) + row * a.sn, d = OFF(1) + row * a.dn;
    for (int i = from + LOCAL(); i < min(from + 256, a.len); i += 64)
        dst[d + i] += src[s + i];
}
#endif

#ifdef ENTRY_lanes_to
BUF_R(0, src)
BUF_X(1, dst)
ARGS(a_lanes)
void main()
{
    int i = GROUP() * 64 + LOCAL();
    int l = i % 16, z = i / 16 % a.z, y = i / 16 / a.z % a.y, x = i / 16 / a.z / a.y % a.x;
    int b = i / 16 / a.z / a.y / a.x, k = b * 16 + l, q = k + a.shift;
    if (b >= a.blocks || k < a.k0 || k >= a.k1)
        return;
    float v = src[OFF(0) + a.so + q / 16 * a.sb + x * a.sp + y * a.sr + z * 16 + q % 16];
    int d = OFF(1) + a.dd + b * a.db + x * a.dp + y * a.dr + z * 16 + l;
    if (a.accum != 0)
        v += dst[d];
    dst[d] = v;
}
#endif

#if defined(ENTRY_to_plain) || defined(ENTRY_to_blocked)
BUF_R(0, src)
BUF_X(1, dst)
ARGS(a_layout)
void main()
{
    int i = GROUP() * 64 + LOCAL(), z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x;
    int nb = (a.l0 + a.c + 15) / 16, b = i / a.z / a.y / a.x % nb, n = i / a.z / a.y / a.x / nb;
    if (n >= a.n)
        return;
    int l1 = min(16, a.l0 + a.c - b * 16);
    for (int l = b != 0 ? 0 : a.l0; l < l1; l++) {
        int at = n * a.bn + b * a.bb + x * a.bp + y * a.br + a.bo + z * 16 + l;
        int pt = n * a.pn + (b * 16 + l - a.l0) * a.pc + (x * a.y + y) * a.z + z;
#ifdef ENTRY_to_plain
        int s = OFF(0) + at, d = OFF(1) + pt;
#else
        int s = OFF(0) + pt, d = OFF(1) + at;
#endif
        float v = src[s];
        if (a.accum != 0)
            v += dst[d];
        dst[d] = v;
    }
}
#endif

#if defined(ENTRY_pool_fwd) || defined(ENTRY_pool_bwd)
BUF_R4(0, src)
#ifdef ENTRY_pool_fwd
BUF_W4(1, dst)
#else
BUF_R4(1, dy)
BUF_X4(2, dx)
#endif
ARGS(a_pool)

void main()
{
    int i = GROUP() * 64 + LOCAL(), q = i % 4, z = i / 4 % a.z, y = i / 4 / a.z % a.y;
    int x = i / 4 / a.z / a.y % a.x, u = i / 4 / a.z / a.y / a.x;
    if (u >= a.units)
        return;
    int at = (u * a.su + x * a.kx * a.sp + 2 * y * a.sr) / 4 + z * 8 + q;
    int o = OFF4(1) + (a.dd + u * a.du + x * a.dp + y * a.dr) / 4 + z * 4 + q;
    int s = OFF4(0) + a.so / 4 + at;
    vec4 m = vec4(0);
    ivec4 best = ivec4(0);
    bool there = x < a.ox && y < a.oy && z < a.oz;
    if (there) {
        m = src[s];
        for (int k = 1; k < 4 * a.kx; k++) {
            vec4 v = src[s + ((k >> 2) * a.sp + (k >> 1 & 1) * a.sr) / 4 + (k & 1) * 4];
            for (int j = 0; j < 4; j++)
                if (v[j] > m[j] || isnan(v[j])) {
                    m[j] = v[j];
                    best[j] = k;
                }
        }
    }
#ifdef ENTRY_pool_fwd
    dst[o] = m;
#else
    vec4 g = vec4(0);
    if (there)
        g = dy[o];
    for (int k = 0; k < 4 * a.kx; k++) {
        if (x * a.kx + (k >> 2) >= a.ix || 2 * y + (k >> 1 & 1) >= a.iy || 2 * z + (k & 1) >= a.iz)
            continue;
        int d = OFF4(2) + a.go / 4 + at + ((k >> 2) * a.sp + (k >> 1 & 1) * a.sr) / 4 + (k & 1) * 4;
        vec4 v = mix(vec4(0), g, equal(best, ivec4(k)));
        if (a.accum != 0)
            v += dx[d];
        dx[d] = v;
    }
#endif
}
#endif
