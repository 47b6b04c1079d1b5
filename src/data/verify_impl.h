/* SPDX-License-Identifier: Apache-2.0
 * Between verify.c (the data set as a whole) and verify_case.c (one case). */
#ifndef DATA_VERIFY_IMPL_H
#define DATA_VERIFY_IMPL_H

#include "base/base.h"
#include "data/verify.h"

/* Adds a finding; what and todo are copied. */
void verify_add(struct pv_verification *r, enum pv_grade grade, const char *check, const char *id, const char *todo,
                const char *what, ...) PV_PRINTF(6, 7);
/* Reads and checks the files of case `index`. */
void verify_case(struct pv_verification *r, int index, const struct pv_read *how);

#endif
