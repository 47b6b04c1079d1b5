/* SPDX-License-Identifier: Apache-2.0
 * 64-bit FNV-1a for cache keys and signatures. Not for security. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define PV_HASH_START 0xcbf29ce484222325ull
uint64_t pv_hash(uint64_t h, const void *data, size_t n);
uint64_t pv_hash_str(uint64_t h, const char *s);        /* including the terminator */
uint64_t pv_hash_u64(uint64_t h, uint64_t v);

#endif
