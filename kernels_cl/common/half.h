/* SPDX-License-Identifier: Apache-2.0
 * Rounding to the values of IEEE half precision, in fp32. */
#ifndef COMMON_HALF_H
#define COMMON_HALF_H

/* Nearest, ties to even; beyond 65504 by the same rule infinity; multiples of 2^-24 below 2^-14. Whole-number
 * arithmetic, so that no device needs cl_khr_fp16 and none rounds otherwise. */
float half_of(float x);
float half_of(float x)
{
    const uint u = as_uint(x), size = u & 0x7fffffffu;
    const uint r = (size + 0xfffu + ((size >> 13) & 1u)) & ~0x1fffu;
    const float small = rint(as_float(size) * 16777216.0f) * (1.0f / 16777216.0f);
    const uint large = size >= 0x7f800000u ? size : r >= 0x47800000u ? 0x7f800000u : r;
    const uint v = size < 0x38800000u ? as_uint(small) : large;
    return as_float(v | (u & 0x80000000u));
}

#endif
