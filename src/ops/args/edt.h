/* SPDX-License-Identifier: Apache-2.0
 * Arguments of edt.cl / edt.comp. */
#ifndef ARGS_EDT_H
#define ARGS_EDT_H

#include "ops/args/types.h"

#define EDT_FAR 1.0e9f          /* PV_EDT_FAR */

/* A launch covers `n` voxels (edt_row: rows of `len` voxels along z) of whole channels; `step` elements lie between
 * neighbours on a line of `len` voxels. */
struct a_edt {
    KU32 off[2];                /* x, y */
    KI32 n, len, step;
};

#endif
