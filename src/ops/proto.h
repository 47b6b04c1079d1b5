/* SPDX-License-Identifier: Apache-2.0
 * Prototypes and similarity on feature maps. f is BLOCKED fp32 [n][d][x][y][z], v a voxel of it. Prototypes are
 * FLAT [sets][k][d] (d fastest): sets is 1, shared by all samples, or n, one set per sample; a function that takes
 * both tells them apart by the length. Results are new references; NULL inputs give NULL. Nothing is read back:
 * counts, losses and validity are device tensors. */
#ifndef OPS_PROTO_H
#define OPS_PROTO_H

#include "tape/tape.h"

/* Weighted mean of features: p_k = sum_v w_k(v) f(v) / (W_k + eps), W_k = sum_v w_k(v); w PLAIN fp32
 * [n][k][x][y][z], not negative. A class with W_k = 0 has p_k = 0 and passes no gradient on. Result FLAT
 * [n][k][d]; with `pooled` FLAT [1][k][d], sums over the batch. Gradients: f (w_k / (W_k + eps) dp_k) and w
 * (<dp_k, f - p_k> / (W_k + eps)). *sums (may be NULL) receives W, FLAT [sets][k], without gradient.
 * Source: MF-ConS eq. 2 (w = label times confidence, eps 1e-5), DuCiSC eq. 2, 3, 6 (w = labels, eps 0). */
pv_tensor *pv_masked_pool(pv_tape *t, pv_tensor *f, pv_tensor *w, float eps, bool pooled, pv_tensor **sums);

/* f / max(|f|, eps) over channels, as torch.nn.functional.normalize(f, dim=1, eps). Gradient: f; where
 * |f| <= eps it is 0 (PyTorch has dy / eps there). */
pv_tensor *pv_l2norm(pv_tape *t, pv_tensor *f, float eps);

/* scale * cos(f(v), p_k), the lengths at least 1e-8: torch.nn.functional.cosine_similarity. Result PLAIN
 * [n][k][x][y][z], k from p's length. Gradients: f and p; a vector shorter than 1e-8 gets none (PyTorch divides by
 * 1e-8 there), a zero vector has cosine 0.
 * Source: MF-ConS section 2 (scale 20), MPER eq. 1 and 5. */
pv_tensor *pv_cosine(pv_tape *t, pv_tensor *f, pv_tensor *p, int k, float scale);

/* <f(v), p_k>: PLAIN [n][k][x][y][z], k from p's length. Gradients: f and p. Source: scores of attention, CRLN's
 * pairwise interaction. */
pv_tensor *pv_dots(pv_tape *t, pv_tensor *f, pv_tensor *p, int k);

/* scale * max_j cos(f(v), p_{c,j}), p FLAT [sets][classes][each][d], scale > 0. Result PLAIN [n][classes][x][y][z].
 * Gradients: f and, if it wants one, p, through the winning prototype. *win (may be NULL) receives the winner j,
 * I32 PLAIN [n][classes][x][y][z], the first on ties. Source: MPER eq. 1 (scale 1 / 0.1). */
pv_tensor *pv_cosine_max(pv_tape *t, pv_tensor *f, pv_tensor *p, int classes, int each, float scale,
                         pv_tensor **win);

/* sum_i (p_i - q_i)^2, with `mean` divided by their number; FLAT [1]. Gradients: p and q. wp, wq (FLAT, may be
 * NULL): sums of weights of the prototypes; if any of them is 0 a class was absent: value and gradients are 0.
 * *valid (may be NULL) receives 1, or 0 in that case, FLAT [1]. Source: DuCiSC eq. 4, 7 (sum; its code takes the
 * mean and drops scales with an absent class). */
pv_tensor *pv_proto_dist2(pv_tape *t, pv_tensor *p, pv_tensor *q, bool mean, pv_tensor *wp, pv_tensor *wq,
                          pv_tensor **valid);

/* g * p + (1 - g) * q, FLAT of one length. Gradients: p and q. Source: MF-ConS section 2, fused prototypes. */
pv_tensor *pv_proto_mix(pv_tape *t, pv_tensor *p, pv_tensor *q, float g);

/* Mean over sets: FLAT [sets][m] to FLAT [m]. Gradient: p. Source: DuCiSC's code, prototypes averaged over the
 * images of a batch. */
pv_tensor *pv_proto_mean(pv_tape *t, pv_tensor *p, int sets);

/* Sums and counts of the features assigned to each of j prototypes over the whole batch: idx I32 PLAIN
 * [n][1][x][y][z] in [0, j), anything else is left out. *sums FLAT [j][d], *counts FLAT [j]. No gradient. False if
 * something failed (both are NULL then). Source: MPER eq. 2. */
bool pv_proto_assign_sums(pv_tape *t, pv_tensor *f, pv_tensor *idx, int j, pv_tensor **sums, pv_tensor **counts);

/* p_j <- eta p_j + (1 - eta) sums_j / counts_j where counts_j > 0; others stay. In place, no gradient. p, sums FLAT
 * [j][d], counts FLAT [j]. Source: MPER eq. 2. */
void pv_proto_ema(pv_tensor *p, pv_tensor *sums, pv_tensor *counts, float eta);

/* Mean Euclidean distance |u(v) - p_{idx(v)}| over the voxels with 0 <= idx(v) < k, u = f / max(|f|, 1e-12) with
 * `normalise`, else f; idx I32 PLAIN [n][1][x][y][z], p FLAT [sets][k][d], k <= 64. With `per` the sum over j of
 * the means over the voxels with idx = j. 0 where there are none. Result FLAT [1]. Gradient: f only; 0 at
 * distance 0 (torch.cdist) and where |f| <= 1e-12. Source: AIPMLab eq. 16-20, its mean form. */
pv_tensor *pv_proto_distance(pv_tape *t, pv_tensor *f, pv_tensor *p, pv_tensor *idx, int k, bool normalise,
                             bool per);

#endif
