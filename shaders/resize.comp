// SPDX-License-Identifier: Apache-2.0
// Resizing along x, y, z; formulas, shapes and work-items as in kernels_cl/resize.cl. Entries ending in _p are for
// PLAIN tensors: one float at a time, the others do a quarter of a block.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/resize.h"

WG64
#if defined(ENTRY_lin_fwd) || defined(ENTRY_lin_bwd)
#define T vec4
BUF_R4(0, src)
BUF_X4(1, dst)
#elif defined(ENTRY_lin_fwd_p) || defined(ENTRY_lin_bwd_p) || defined(ENTRY_near_bwd_p)
#define T float
BUF_R(0, src)
BUF_X(1, dst)
#elif defined(ENTRY_near_bwd)
#define T vec4
BUF_R4(0, src)
BUF_X4(1, dst)
#elif defined(ENTRY_near_fwd)
layout(std430, set = 0, binding = 0) readonly buffer Buf0 { ivec4 src[]; };
layout(std430, set = 0, binding = 1) writeonly buffer Buf1 { ivec4 dst[]; };
#elif defined(ENTRY_near_fwd_p)
BUF_RI(0, src)
BUF_WI(1, dst)
#endif
ARGS(a_resize)

// W: elements of a voxel, E: floats of an element.
#if defined(ENTRY_lin_fwd) || defined(ENTRY_lin_bwd) || defined(ENTRY_near_fwd) || defined(ENTRY_near_bwd)
#define W 4
#define E 4
#else
#define W 1
#define E 1
#endif

float weight(int o, int i, int ni, int no)
{
    int num = RS_NUM(o, ni, no, a.align), den = RS_DEN(no, a.align), j = num / den;
    float f = j + 1 < ni ? float(num % den) / float(den) : 0.0;
    return j == i ? 1.0 - f : j + 1 == i ? f : 0.0;
}

void main()
{
    int i = GROUP() * 64 + LOCAL(), v = i / W, z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y % a.x;
    int u = v / a.z / a.y / a.x;
    if (u >= a.units)
        return;
    int s = (OFF(0) + a.so + u * a.su) / E + i % W;
    int d = (OFF(1) + a.dd + u * a.du + x * a.dp + y * a.dr) / E + z * W + i % W;
    int sp = a.sp / E, sr = a.sr / E, gx = a.x0 + x;

#if defined(ENTRY_lin_fwd) || defined(ENTRY_lin_fwd_p)
    int nx = RS_NUM(gx, a.ix, a.ox, a.align), dx = RS_DEN(a.ox, a.align);
    int ny = RS_NUM(y, a.iy, a.oy, a.align), dy = RS_DEN(a.oy, a.align);
    int nz = RS_NUM(z, a.iz, a.oz, a.align), dz = RS_DEN(a.oz, a.align);
    int x0 = nx / dx, y0 = ny / dy, z0 = nz / dz;
    int xs = x0 + 1 < a.ix ? sp : 0, ys = y0 + 1 < a.iy ? sr : 0, zs = z0 + 1 < a.iz ? W : 0;
    float fx = float(nx % dx) / float(dx), fy = float(ny % dy) / float(dy), fz = float(nz % dz) / float(dz);
    s += (x0 - a.s0) * sp + y0 * sr + z0 * W;
    T sum = T(0);
    for (int k = 0; k < 8; k++) {
        float w = ((k & 4) != 0 ? fx : 1.0 - fx) * ((k & 2) != 0 ? fy : 1.0 - fy) * ((k & 1) != 0 ? fz : 1.0 - fz);
        sum += w * src[s + (k >> 2) * xs + (k >> 1 & 1) * ys + (k & 1) * zs];
    }
    dst[d] = sum;
#elif defined(ENTRY_lin_bwd) || defined(ENTRY_lin_bwd_p)
    int lx = RS_LO(gx, a.ix, a.ox, a.align), hx = RS_HI(gx, a.ix, a.ox, a.align);
    int ly = RS_LO(y, a.iy, a.oy, a.align), hy = RS_HI(y, a.iy, a.oy, a.align);
    int lz = RS_LO(z, a.iz, a.oz, a.align), hz = RS_HI(z, a.iz, a.oz, a.align);
    T sum = T(0);
    for (int ox = lx; ox < hx; ox++) {
        float wx = weight(ox, gx, a.ix, a.ox);
        for (int oy = ly; oy < hy; oy++) {
            float wy = wx * weight(oy, y, a.iy, a.oy);
            for (int oz = lz; oz < hz; oz++)
                sum += wy * weight(oz, z, a.iz, a.oz) * src[s + (ox - a.s0) * sp + oy * sr + oz * W];
        }
    }
    if (a.accum != 0)
        sum += dst[d];
    dst[d] = sum;
#elif defined(ENTRY_near_fwd) || defined(ENTRY_near_fwd_p)
    s += (RS_NEAR(gx, a.ix, a.ox) - a.s0) * sp + RS_NEAR(y, a.iy, a.oy) * sr + RS_NEAR(z, a.iz, a.oz) * W;
    dst[d] = src[s];
#else
    T sum = T(0);
    for (int ox = RS_NLO(gx, a.ix, a.ox); ox < RS_NLO(gx + 1, a.ix, a.ox); ox++)
        for (int oy = RS_NLO(y, a.iy, a.oy); oy < RS_NLO(y + 1, a.iy, a.oy); oy++)
            for (int oz = RS_NLO(z, a.iz, a.oz); oz < RS_NLO(z + 1, a.iz, a.oz); oz++)
                sum += src[s + (ox - a.s0) * sp + oy * sr + oz * W];
    if (a.accum != 0)
        sum += dst[d];
    dst[d] = sum;
#endif
}
