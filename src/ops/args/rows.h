/* SPDX-License-Identifier: Apache-2.0
 * Arguments of rows.cl / rows.comp. A row is one (sample, channel) of a PLAIN tensor: PLAIN_ARGS count rows as
 * samples, n0 is the launch's first row. */
#ifndef ARGS_ROWS_H
#define ARGS_ROWS_H

#include "ops/args/plain.h"

struct a_row {
    KU32 off[7];
    PLAIN_ARGS
    KI32 rows, per;             /* rows in all; rows of a sample */
    KI32 tc;                    /* chunks of a whole row */
    KI32 factors;               /* samples if factors are given, else 0 */
    KI32 mode, accum;
    KF32 eps;
};

/* rows_mm: out[i * os + j] (+)= bias[j] + sum_k x[i * xi + k * xk] * (ones ? 1 : w[j * wj + k * wk]). */
struct a_rowmm {
    KU32 off[4];                /* x, w, bias, out */
    KI32 ni, nj, nk;
    KI32 xi, xk, wj, wk, os;
    KI32 has_bias, ones, accum;
};

/* row_swap: dst[n][j][i] (+)= src[n][i][j], rows of v elements, i < ni, j < nj. */
struct a_rowswap {
    KU32 off[2];
    KI32 n, ni, nj, v, accum;
};

#endif
