/* SPDX-License-Identifier: Apache-2.0
 * FNV-1a (Fowler, Noll, Vo): h = (h xor byte) * 0x100000001b3. */
#include "base/hash.h"

#include <string.h>

uint64_t pv_hash(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3ull;
    return h;
}

uint64_t pv_hash_str(uint64_t h, const char *s)
{
    return pv_hash(h, s, strlen(s) + 1);
}

uint64_t pv_hash_u64(uint64_t h, uint64_t v)
{
    unsigned char b[8];     /* the same on every byte order */
    for (int i = 0; i < 8; i++)
        b[i] = (unsigned char)(v >> 8 * i);
    return pv_hash(h, b, sizeof b);
}
