/* SPDX-License-Identifier: Apache-2.0
 * Philox4x32-10 as in src/base/rng.h: four random numbers of counter c under the key (k0, k1). */
#ifndef COMMON_PHILOX_H
#define COMMON_PHILOX_H

uint4 philox(uint4 c, uint k0, uint k1);
uint4 philox(uint4 c, uint k0, uint k1)
{
    for (int i = 0; i < 10; i++) {
        const uint h0 = mul_hi(0xD2511F53u, c.x), l0 = 0xD2511F53u * c.x;
        const uint h1 = mul_hi(0xCD9E8D57u, c.z), l1 = 0xCD9E8D57u * c.z;
        c = (uint4)(h1 ^ c.y ^ k0, l1, h0 ^ c.w ^ k1, l0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

#ifdef PV_FAT
/* *hi, *lo: halves of v * by. Products of even and odd elements, 64 bits wide, are what CPUs have. */
void mul_wide(uint16 *hi, uint16 *lo, uint16 v, ulong by);
void mul_wide(uint16 *hi, uint16 *lo, uint16 v, ulong by)
{
    const ulong8 low = (ulong8)(0xffffffffUL), w = as_ulong8(v), even = (w & low) * by, odd = (w >> 32) * by;
    *hi = as_uint16((even >> 32) | (odd & ~low));
    *lo = as_uint16((even & low) | (odd << 32));
}

/* Sixteen counters (c.x, c.y, c.z, last[i]) at once; out[k] is number k of each. */
void philox16(uint16 *out, uint4 c, uint16 last, uint k0, uint k1);
void philox16(uint16 *out, uint4 c, uint16 last, uint k0, uint k1)
{
    uint16 c0 = (uint16)(c.x), c1 = (uint16)(c.y), c2 = (uint16)(c.z), c3 = last, h0, l0, h1, l1;
    for (int i = 0; i < 10; i++) {
        mul_wide(&h0, &l0, c0, 0xD2511F53UL);
        mul_wide(&h1, &l1, c2, 0xCD9E8D57UL);
        c0 = h1 ^ c1 ^ (uint16)(k0);
        c1 = l1;
        c2 = h0 ^ c3 ^ (uint16)(k1);
        c3 = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}
#endif

#endif
