/* SPDX-License-Identifier: Apache-2.0
 * What the files of base share among themselves. */
#ifndef BASE_INTERNAL_H
#define BASE_INTERNAL_H

#include <stdatomic.h>

#include "base/base.h"
#include "platform/platform.h"

/* Says that memory ran out and ends the process. */
_Noreturn void pv_out_of_memory(size_t bytes);

void pv_str_addv(struct pv_str *s, const char *fmt, va_list args) PV_PRINTF(2, 0);

/* Shortest decimal text that reads back as `v` (finite), with a point whatever the locale says. */
void pv_number_text(char out[32], double v);
/* strtod with a point whatever the locale says; *end points behind what was read. */
double pv_number_read(const char *s, const char **end);

#endif
