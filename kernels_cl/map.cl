/* SPDX-License-Identifier: Apache-2.0
 * Pointwise functions of up to three operands over samples, channels and voxels; an operand may stand still along
 * any of them. The function is an argument: one program serves all. */
#include "common/plain.h"
#include "ops/args/map.h"

VF one_finite(VF x);
VF one_finite(VF x)
{
#ifdef PV_FAT
    return ONE_IF((as_int16(x) & (VI)(0x7f800000)) != (VI)(0x7f800000));
#else
    return ONE_IF((as_int(x) & 0x7f800000) != 0x7f800000);
#endif
}

/* The normal distribution function. */
VF normal(VF x);
VF normal(VF x)
{
    const VF u = fmin(fabs(x), (VF)(15.0f)) * 0.70710678f, t = 1.0f / (1.0f + 0.5f * u);
    const VF tail = 0.5f * t * exp(MAP_ERFC_G(t) - u * u);
    return select(tail, 1.0f - tail, x >= (VF)(0.0f));
}

VF apply(int op, VF x, VF y, VF z, float p, float q);
VF apply(int op, VF x, VF y, VF z, float p, float q)
{
    const VF zero = 0, one = 1;
    switch (op) {
    case MAP_COPY: return x;
    case MAP_NEG: return -x;
    case MAP_ABS: return fabs(x);
    case MAP_EXP: return exp(x);
    case MAP_LOG: return log(fmax(x, (VF)(p)));
    case MAP_SQRT: return sqrt(x);
    case MAP_SQUARE: return x * x;
    case MAP_POW: return pow(x, (VF)(p));
    case MAP_SIGMOID: return one / (one + exp(-x));
    case MAP_CLAMP: return fmin(fmax(x, (VF)(p)), (VF)(q));
    case MAP_SCALE: return p * x + q;
    case MAP_GT: return ONE_IF(x > (VF)(p));
    case MAP_GE: return ONE_IF(x >= (VF)(p));
    case MAP_FINITE: return one_finite(x);
    case MAP_D_ABS: return x * (ONE_IF(y > zero) - ONE_IF(y < zero));
    case MAP_D_EXP: return x * exp(y);
    case MAP_D_LOG: return select(zero, x / y, y >= (VF)(p));
    case MAP_D_SQRT: return select(zero, 0.5f * x / sqrt(y), y > zero);
    case MAP_D_SQUARE: return 2.0f * x * y;
    case MAP_D_POW: return select(zero, x * p * pow(y, (VF)(p - 1.0f)), y > zero);
    case MAP_D_SIGMOID: { const VF e = exp(-fabs(y)); return x * e / ((one + e) * (one + e)); }
    case MAP_D_CLAMP: return select(zero, x, (y >= (VF)(p)) & (y <= (VF)(q)));
    case MAP_ADD: return x + y;
    case MAP_SUB: return x - y;
    case MAP_MUL: return x * y;
    case MAP_DIV: return x / y;
    case MAP_MIN: return fmin(x, y);
    case MAP_MAX: return fmax(x, y);
    case MAP_GREATER: return ONE_IF(x > y);
    case MAP_GREATER_EQUAL: return ONE_IF(x >= y);
    case MAP_EQUAL: return ONE_IF(x == y);
    case MAP_AND: return ONE_IF((x != zero) & (y != zero));
    case MAP_OR: return ONE_IF((x != zero) | (y != zero));
    case MAP_XOR: return ONE_IF((x != zero) ^ (y != zero));
    case MAP_KEEP: return select(zero, x, y != zero);
    case MAP_DROP: return select(x, zero, y != zero);
    case MAP_D_DIV: return -x * y / (z * z);
    case MAP_D_MIN: return x * (ONE_IF(y < z) + 0.5f * ONE_IF(y == z));
    case MAP_GELU: return x * normal(x);
    case MAP_D_GELU: return x * (normal(y) + 0.39894228f * y * exp(-0.5f * y * y));
    case MAP_TANH: return tanh(x);
    case MAP_D_TANH: { const VF e = exp(-2.0f * fabs(y)); return 4.0f * x * e / ((one + e) * (one + e)); }
    case MAP_D_MAX: return x * (ONE_IF(y > z) + 0.5f * ONE_IF(y == z));
    default: return select(z, y, x != zero);
    }
}

VF operand(GC(float) p, int step, int v, int m);
VF operand(GC(float) p, int step, int v, int m)
{
    return step ? ldv(p + v, m) : (VF)(*p);
}

/* f at sample s, channel k, voxel v. */
#define VALUE(s, k) \
    apply(a.op, operand(x + a.off[0] + (s) * a.sx + (k) * a.kx, a.vx, v, m), \
          a.num > 1 ? operand(y + a.off[1] + (s) * a.sy + (k) * a.ky, a.vy, v, m) : (VF)(0.0f), \
          a.num > 2 ? operand(z + a.off[2] + (s) * a.sz + (k) * a.kz, a.vz, v, m) : (VF)(0.0f), a.p, a.q)

/* map_full: out (+)= f. Rows: n * c. */
__kernel WGP void map_full(GC(float) x, GC(float) y, GC(float) z, G(float) out, struct a_map a)
{
    FOR_VOXELS(a.n * a.c) {
        const int s = row / a.c, k = row % a.c;
        const VF f = VALUE(s, k);
        PUT(out + a.off[3] + s * a.os + k * a.ok + v, f, m, a.accum);
    }
}

/* map_chan: out (+)= sum over channels of f. Rows: n. */
__kernel WGP void map_chan(GC(float) x, GC(float) y, GC(float) z, G(float) out, struct a_map a)
{
    FOR_VOXELS(a.n) {
        VF sum = 0;
        for (int k = 0; k < a.c; k++)
            sum += VALUE(row, k);
        PUT(out + a.off[3] + row * a.os + v, sum, m, a.accum);
    }
}

/* map_part: part[((n0 + s) * c + k) * tc + ch0 + ch] = sum of f over the chunk. Groups: n * c * chunks. */
__kernel WGP void map_part(GC(float) x, GC(float) y, GC(float) z, G(float) part, struct a_map a)
{
    GROUP_SUMS
    const int g = GROUP(), ch = g % CHUNKS(a.v), row = g / CHUNKS(a.v), s = row / a.c, k = row % a.c;
    if (s >= a.n)
        return;
    VF sum = 0;
    FOR_CHUNK(ch, a.v)
        sum += only(VALUE(s, k), m);
    const float all = group_sum(sum);
    if (LOCAL() == 0)
        part[a.off[3] + (a.n0 * a.c + row) * a.tc + a.ch0 + ch] = all;
}

/* map_cast: y[i] = (float)x[i], (int)x[i], (float)(x[i] == value) or (float)(x[i] != value), by kind; 16 elements
 * each. */
__kernel WG64 void map_cast(GC(int) x, G(int) y, struct a_cast a)
{
    const int i = (GROUP() * 64 + LOCAL()) * 16;
    x += a.off[0];
    y += a.off[1];
    for (int j = i; j < min(i + 16, a.count); j++)
        if (a.kind == 0)
            y[j] = as_int((float)x[j]);
        else if (a.kind == 1)
            y[j] = (int)as_float(x[j]);
        else
            y[j] = as_int((x[j] == a.value) == (a.kind == 2) ? 1.0f : 0.0f);
}
