/* SPDX-License-Identifier: Apache-2.0
 * Memory of base.h. pv_alloc relies on malloc's 16 bytes of alignment, which all 64-bit systems
 * give. Large arrays carry malloc's pointer just below their 64-byte boundary, because
 * aligned_alloc is not everywhere. */
#include "base/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BIG_ALIGN = 64 };

_Noreturn void pv_out_of_memory(size_t bytes)
{
    fprintf(stderr, "error: the system has no memory left (%zu bytes were asked for)\n", bytes);
    fflush(stderr);
    _Exit(PV_FAULT_INTERNAL);
}

void *pv_alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p)
        pv_out_of_memory(bytes);
    return p;
}

void *pv_zalloc(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        pv_out_of_memory(bytes);
    return p;
}

void *pv_realloc(void *p, size_t bytes)
{
    void *q = realloc(p, bytes ? bytes : 1);
    if (!q)
        pv_out_of_memory(bytes);
    return q;
}

void pv_free(void *p)
{
    free(p);
}

void *pv_alloc_big(size_t bytes, const char *what)
{
    const size_t extra = BIG_ALIGN + sizeof(void *);
    char *raw = bytes <= PTRDIFF_MAX - extra ? malloc(bytes + extra) : NULL;
    if (!raw) {
        const double gb = 1024.0 * 1024 * 1024;
        pv_fail(PV_FAULT_INPUT,
                "%s needs %.2f GB of memory, which this machine (%.1f GB) does not have "
                "to spare: close other programs or use smaller data",
                what, (double)bytes / gb, (double)pv_ram_bytes() / gb);
        return NULL;
    }
    char *p = raw + sizeof(void *);
    p += (BIG_ALIGN - (uintptr_t)p % BIG_ALIGN) % BIG_ALIGN;
    memcpy(p - sizeof(void *), &raw, sizeof raw);
    return p;
}

void pv_free_big(void *p)
{
    void *raw = NULL;
    if (p)
        memcpy(&raw, (char *)p - sizeof(void *), sizeof raw);
    free(raw);
}
