// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10 as in src/base/rng.h: four random numbers of counter c under key k.
#ifndef COMMON_PHILOX_GLSL
#define COMMON_PHILOX_GLSL

uvec4 philox(uvec4 c, uvec2 k)
{
    for (int i = 0; i < 10; i++) {
        uint h0, l0, h1, l1;
        umulExtended(0xD2511F53u, c.x, h0, l0);
        umulExtended(0xCD9E8D57u, c.z, h1, l1);
        c = uvec4(h1 ^ c.y ^ k.x, l1, h0 ^ c.w ^ k.y, l0);
        k += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

#endif
