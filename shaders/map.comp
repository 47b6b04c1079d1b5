// SPDX-License-Identifier: Apache-2.0
// Pointwise functions of up to three operands; formulas, shapes and groups as in kernels_cl/map.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#ifdef ENTRY_map_part
#define GROUP_SUMS
#endif
#include "common/plain.glsl"
#include "ops/args/map.h"

WG64

#ifdef ENTRY_map_cast
BUF_RI(0, x)
BUF_WI(1, y)
ARGS(a_cast)
void main()
{
    int i = (GROUP() * 64 + LOCAL()) * 16;
    for (int j = i; j < min(i + 16, a.count); j++) {
        int u = x[OFF(0) + j];
        if (a.kind == 0)
            u = floatBitsToInt(float(u));
        else if (a.kind == 1)
            u = int(intBitsToFloat(u));
        else
            u = floatBitsToInt((u == a.value) == (a.kind == 2) ? 1.0 : 0.0);
        y[OFF(1) + j] = u;
    }
}

#else
BUF_R(0, x)
BUF_R(1, y)
BUF_R(2, z)
#ifdef ENTRY_map_part
BUF_W(3, dst)
#else
BUF_X(3, dst)
#endif
ARGS(a_map)

// The normal distribution function.
float normal(float x)
{
    float u = min(abs(x), 15.0) * 0.70710678, t = 1.0 / (1.0 + 0.5 * u);
    float tail = 0.5 * t * exp(MAP_ERFC_G(t) - u * u);
    return x >= 0.0 ? 1.0 - tail : tail;
}

// GLSL's own has no relative accuracy near 0; Lambert's continued fraction has.
float hyperbolic_tangent(float x)
{
    float u = abs(x), q = x * x;
    float small = x / (1.0 + q / (3.0 + q / (5.0 + q / (7.0 + q / 9.0))));
    float large = sign(x) * (1.0 - 2.0 / (exp(2.0 * min(u, 20.0)) + 1.0));
    return u < 0.6 ? small : large;
}

float apply(float u, float w, float t)
{
    switch (a.op) {
    case MAP_COPY: return u;
    case MAP_NEG: return -u;
    case MAP_ABS: return abs(u);
    case MAP_EXP: return exp(u);
    case MAP_LOG: return log(max(u, a.p));
    case MAP_SQRT: return sqrt(u);
    case MAP_SQUARE: return u * u;
    case MAP_POW: return u > 0.0 ? pow(u, a.p) : 0.0;
    case MAP_SIGMOID: return 1.0 / (1.0 + exp(-u));
    case MAP_CLAMP: return min(max(u, a.p), a.q);
    case MAP_SCALE: return a.p * u + a.q;
    case MAP_GT: return ONE_IF(u > a.p);
    case MAP_GE: return ONE_IF(u >= a.p);
    case MAP_FINITE: return ONE_IF((floatBitsToUint(u) & 0x7f800000u) != 0x7f800000u);
    case MAP_D_ABS: return u * sign(w);
    case MAP_D_EXP: return u * exp(w);
    case MAP_D_LOG: return w >= a.p ? u / w : 0.0;
    case MAP_D_SQRT: return w > 0.0 ? 0.5 * u / sqrt(w) : 0.0;
    case MAP_D_SQUARE: return 2.0 * u * w;
    case MAP_D_POW: return w > 0.0 ? u * a.p * pow(w, a.p - 1.0) : 0.0;
    case MAP_D_SIGMOID: {
        float e = exp(-abs(w));
        return u * e / ((1.0 + e) * (1.0 + e));
    }
    case MAP_D_CLAMP: return w >= a.p && w <= a.q ? u : 0.0;
    case MAP_ADD: return u + w;
    case MAP_SUB: return u - w;
    case MAP_MUL: return u * w;
    case MAP_DIV: return u / w;
    case MAP_MIN: return min(u, w);
    case MAP_MAX: return max(u, w);
    case MAP_GREATER: return ONE_IF(u > w);
    case MAP_GREATER_EQUAL: return ONE_IF(u >= w);
    case MAP_EQUAL: return ONE_IF(u == w);
    case MAP_AND: return ONE_IF(u != 0.0 && w != 0.0);
    case MAP_OR: return ONE_IF(u != 0.0 || w != 0.0);
    case MAP_XOR: return ONE_IF((u != 0.0) != (w != 0.0));
    case MAP_KEEP: return w != 0.0 ? u : 0.0;
    case MAP_DROP: return w != 0.0 ? 0.0 : u;
    case MAP_D_DIV: return -u * w / (t * t);
    case MAP_D_MIN: return u * (w < t ? 1.0 : w == t ? 0.5 : 0.0);
    case MAP_GELU: return u * normal(u);
    case MAP_D_GELU: return u * (normal(w) + 0.39894228 * w * exp(-0.5 * w * w));
    case MAP_TANH: return hyperbolic_tangent(u);
    case MAP_D_TANH: {
        float e = exp(-2.0 * abs(w));
        return 4.0 * u * e / ((1.0 + e) * (1.0 + e));
    }
    case MAP_D_MAX: return u * (w > t ? 1.0 : w == t ? 0.5 : 0.0);
    default: return u != 0.0 ? w : t;
    }
}

// f at sample s, channel k, voxel v
float value(int s, int k, int v)
{
    float w = 0.0, t = 0.0;
    if (a.num > 1)
        w = y[OFF(1) + s * a.sy + k * a.ky + v * a.vy];
    if (a.num > 2)
        t = z[OFF(2) + s * a.sz + k * a.kz + v * a.vz];
    return apply(x[OFF(0) + s * a.sx + k * a.kx + v * a.vx], w, t);
}

#ifdef ENTRY_map_full
void main()
{
    FOR_VOXELS(a.n * a.c) {
        int s = row / a.c, k = row % a.c;
        float f = value(s, k, v);
        PUT(dst, OFF(3) + s * a.os + k * a.ok + v, f, a.accum);
    }
}
#endif

#ifdef ENTRY_map_chan
void main()
{
    FOR_VOXELS(a.n) {
        float sum = 0.0;
        for (int k = 0; k < a.c; k++)
            sum += value(row, k, v);
        PUT(dst, OFF(3) + row * a.os + v, sum, a.accum);
    }
}
#endif

#ifdef ENTRY_map_part
void main()
{
    int g = GROUP(), ch = g % CHUNKS(a.v), row = g / CHUNKS(a.v), s = row / a.c, k = row % a.c;
    if (s >= a.n)
        return;
    float sum = 0.0;
    FOR_CHUNK(ch, a.v)
        sum += value(s, k, v);
    float all = group_sum(sum);
    if (LOCAL() == 0)
        dst[OFF(3) + (a.n0 * a.c + row) * a.tc + a.ch0 + ch] = all;
}
#endif
#endif
