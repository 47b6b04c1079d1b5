/* SPDX-License-Identifier: Apache-2.0
 * Ops on the rows of PLAIN F32 tensors [n][c][x][y][z]: row (n, c) holds all voxels of one channel. Queries of an
 * attention are [n][queries][1][1][d], its score maps [n][queries][x][y][z]. Results are new references; NULL inputs
 * give NULL. */
#ifndef OPS_ROWS_H
#define OPS_ROWS_H

#include "tape/tape.h"

/* Layer norm of every row: l = gamma (u - m) / sqrt(var + 1e-5) + beta, mean and biased variance over the row;
 * gamma, beta FLAT [x * y * z] (torch.nn.LayerNorm over the last axis). Without factors u = x, y = l. With factors,
 * FLAT [2][n], a = factors[n], b = factors[n of the batch + n]: u = a x, y = u + b l (CRLN: S <- S + DP(S), then
 * S <- S + DP(LN(S))). Gradients: x, gamma, beta. The result can be made again from x. */
pv_tensor *pv_row_norm(pv_tape *t, pv_tensor *x, pv_tensor *gamma, pv_tensor *beta, pv_tensor *factors);

/* exp(x - max) / sum exp(x - max) over every row. Gradient: y (dy - sum y dy). Can be made again from x. */
pv_tensor *pv_row_softmax(pv_tape *t, pv_tensor *x);

/* y[r][o] = b[o] + sum_i w[o][i] x[r][i]: torch.nn.functional.linear on rows, w FLAT [out][in], b FLAT [out] or NULL.
 * Result PLAIN [n][c][1][1][out]. For few, short rows. */
pv_tensor *pv_row_linear(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, int out);

/* Rows of each sample seen as [a][b] become [b][a]: y[n][j * a + i] = x[n][i * b + j]. For few, short rows. */
pv_tensor *pv_row_swap(pv_tape *t, pv_tensor *x, int a, int b);

/* The factors of `num` drop paths (stochastic depth) for n samples, FLAT [num][n]: base[i] plus 0 with probability p,
 * else 1 / (1 - p). Keyed as dropout (ops/norm.h), every i is a layer, sample n has index 0. Drawn on the host. */
pv_tensor *pv_drop_path(pv_tape *t, int n, int num, const float *base, float p);

#endif
