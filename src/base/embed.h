/* SPDX-License-Identifier: Apache-2.0
 * A file that was compiled into the program by platform/embed.py. */
#ifndef BASE_EMBED_H
#define BASE_EMBED_H

#include <stddef.h>

/* Tables end with a row whose name is NULL. */
struct pv_embedded {
    const char *name;       /* file name without folder and ending */
    const void *data;       /* text with a NUL behind it, or SPIR-V words aligned to 4 bytes */
    size_t size;            /* bytes, without the NUL */
};

#endif
