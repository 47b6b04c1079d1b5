/* SPDX-License-Identifier: Apache-2.0
 * Two standard normal numbers from two random words by Box-Muller, the scheme of src/ops/augment.h. Logarithm,
 * sine and cosine are computed here, because what devices offer differs by up to 2^-11. */
#ifndef COMMON_NORMAL_H
#define COMMON_NORMAL_H

/* ln u by 2 artanh((m - 1) / (m + 1)) for the mantissa m in [sqrt 1/2, sqrt 2); sine and cosine by Taylor series
 * within an eighth of a turn: relative errors below 2e-7. */
#define NORMAL_BODY(F, I, TO_F, TO_I, AS_F, AS_I) \
    const F u = (TO_F(r >> 8) + 1.0f) * 0x1p-24f; \
    const I bits = AS_I(u); \
    F m = AS_F((bits & 0x7fffff) | 0x3f800000), e = TO_F((bits >> 23) - 127); \
    const I big = m > 1.41421356f; \
    m = select(m, m * 0.5f, big); \
    e = select(e, e + 1.0f, big); \
    const F q = (m - 1.0f) / (m + 1.0f), qq = q * q; \
    const F ln = e * 0.693147181f + \
                 2.0f * q * (1.0f + qq * (0.333333333f + qq * (0.2f + qq * (0.142857143f + qq * 0.111111111f)))); \
    const F radius = sqrt(-2.0f * ln); \
    const I v = TO_I(s >> 8), quarter = (v + 0x200000) >> 22; \
    const F x = TO_F(v - (quarter << 22)) * (1.57079633f * 0x1p-22f), xx = x * x; \
    const F sn = x * (1.0f + xx * (-1.66666667e-1f + xx * (8.33333333e-3f + xx * (-1.98412698e-4f + \
                                                                                 xx * 2.75573192e-6f)))); \
    const F cs = 1.0f + xx * (-0.5f + xx * (4.16666667e-2f + xx * (-1.38888889e-3f + xx * 2.48015873e-5f))); \
    const I odd = (quarter & 1) != 0, turn = (quarter & 2) != 0, back = ((quarter + 1) & 2) != 0; \
    const F c1 = select(cs, sn, odd), s1 = select(sn, cs, odd); \
    *a = radius * select(c1, -c1, back); \
    *b = radius * select(s1, -s1, turn);

void normal2(uint r, uint s, float *a, float *b);
void normal2(uint r, uint s, float *a, float *b)
{
    NORMAL_BODY(float, int, convert_float, convert_int, as_float, as_int)
}

#ifdef PV_FAT
void normal2x16(uint16 r, uint16 s, float16 *a, float16 *b);
void normal2x16(uint16 r, uint16 s, float16 *a, float16 *b)
{
    NORMAL_BODY(float16, int16, convert_float16, convert_int16, as_float16, as_int16)
}
#endif

#endif
