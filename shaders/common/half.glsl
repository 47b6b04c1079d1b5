// SPDX-License-Identifier: Apache-2.0
// Rounding to the values of IEEE half precision, as kernels_cl/common/half.h. (packHalf2x16 may round as it likes.)
#ifndef COMMON_HALF_GLSL
#define COMMON_HALF_GLSL

float half_of(float x)
{
    uint u = floatBitsToUint(x), size = u & 0x7fffffffu;
    uint r = (size + 0xfffu + ((size >> 13) & 1u)) & ~0x1fffu, v = r;
    if (size >= 0x7f800000u)
        v = size;
    else if (size < 0x38800000u)
        v = floatBitsToUint(roundEven(uintBitsToFloat(size) * 16777216.0) * (1.0 / 16777216.0));
    else if (r >= 0x47800000u)
        v = 0x7f800000u;
    return uintBitsToFloat(v | (u & 0x80000000u));
}

#endif
