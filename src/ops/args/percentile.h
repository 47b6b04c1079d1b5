/* SPDX-License-Identifier: Apache-2.0
 * Arguments of percentile.cl / percentile.comp. */
#ifndef ARGS_PERCENTILE_H
#define ARGS_PERCENTILE_H

#include "ops/args/types.h"

/* state: what the selection knows so far */
#define PCT_KEY 0               /* high bits of the key of the lower neighbour */
#define PCT_RANK 1              /* its rank among the elements that share them */
#define PCT_COUNT 2             /* elements in all */
#define PCT_FRAC 3              /* weight of the upper neighbour * 2^32 */
#define PCT_SAME 4              /* 1: the upper neighbour has the same key */
#define PCT_STATE 8

struct a_pct {
    KU32 off[4];                /* x, mask, state, parts | parts, state, (out) */
    KI32 count, chunk;          /* elements of this launch, elements of a group */
    KI32 masked, shift;         /* shift: of the 8 bits looked at, 24, 16, 8, 0 */
    KI32 g0, groups;            /* first group of this launch, groups of parts */
    KU32 qhi, qlo;              /* q / 100 * 2^64 */
};

#endif
