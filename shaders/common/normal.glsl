// SPDX-License-Identifier: Apache-2.0
// Two standard normal numbers from two random words, as in kernels_cl/common/normal.h.
#ifndef COMMON_NORMAL_GLSL
#define COMMON_NORMAL_GLSL

vec2 normal2(uint r, uint s)
{
    float u = (float(r >> 8) + 1.0) * (1.0 / 16777216.0);
    int bits = floatBitsToInt(u);
    float m = intBitsToFloat((bits & 0x7fffff) | 0x3f800000), e = float((bits >> 23) - 127);
    if (m > 1.41421356) {
        m *= 0.5;
        e += 1.0;
    }
    float q = (m - 1.0) / (m + 1.0), qq = q * q;
    float ln = e * 0.693147181 +
               2.0 * q * (1.0 + qq * (0.333333333 + qq * (0.2 + qq * (0.142857143 + qq * 0.111111111))));
    float radius = sqrt(-2.0 * ln);
    int v = int(s >> 8), quarter = (v + 0x200000) >> 22;
    float x = float(v - (quarter << 22)) * (1.57079633 / 4194304.0), xx = x * x;
    float sn = x * (1.0 + xx * (-1.66666667e-1 +
                                xx * (8.33333333e-3 + xx * (-1.98412698e-4 + xx * 2.75573192e-6))));
    float cs = 1.0 + xx * (-0.5 + xx * (4.16666667e-2 + xx * (-1.38888889e-3 + xx * 2.48015873e-5)));
    vec2 g = (quarter & 1) != 0 ? vec2(sn, cs) : vec2(cs, sn);
    if (((quarter + 1) & 2) != 0)
        g.x = -g.x;
    if ((quarter & 2) != 0)
        g.y = -g.y;
    return radius * g;
}

#endif
