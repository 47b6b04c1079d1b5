/* SPDX-License-Identifier: Apache-2.0
 * Arguments of reduce.cl / reduce.comp, and the kinds that host and kernels share. */
#ifndef ARGS_REDUCE_H
#define ARGS_REDUCE_H

#include "ops/args/plain.h"

/* terms of red_sum */
#define RED_X 0                 /* a */
#define RED_ABS 1               /* |a - b| */
#define RED_SQ 2                /* (a - b)^2 */
#define RED_NONZERO 3           /* 1 where a != 0 */

/* enum pv_red_kind of ops/reduce.h */
#define RED_MEAN 0
#define RED_SAMPLE_MEAN 1
#define RED_SAMPLE_MEAN_KEPT 2
#define RED_SUM 3
#define RED_MEAN_ALL 4
#define RED_MASKED_EPS 5

/* row_sum: out[r] (+)= scale * sum_j part[r * rs + (j / inner) * so + j % inner]. */
struct a_rows {
    KU32 off[2];                /* part, out */
    KI32 rows, cols, inner, so, rs, accum;
    KF32 scale;
};

/* red_finish: loss and coef from sums [n][rows]. */
struct a_finish {
    KU32 off[3];                /* sums, loss, coef */
    KI32 n, rows, c, masked, kind;
    KF32 count, eps, div;
};

/* red_sum: part; red_grad: gradient of its a. */
struct a_red {
    KU32 off[6];                /* a, b, mask, part | a, b, mask, dy, coef, da */
    PLAIN_ARGS
    KI32 c, cs;                 /* channels, stored elements between them */
    KI32 masked, form;
    KI32 rows, tc;              /* rows of part per sample, chunks of a row */
    KI32 dys, dyk;              /* dy index: sample * dys + channel * dyk */
    KI32 has_coef, accum;
};

#endif
