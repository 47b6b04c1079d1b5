/* SPDX-License-Identifier: Apache-2.0
 * Terms of MF-ConS, used by its step and by its named losses. Results are kept in the scope; NULL after a failure. */
#ifndef METHOD_MFCONS_H
#define METHOD_MFCONS_H

#include "method/losses.h"

/* Partial cross-entropy of logits [n, c, ...] on annotated voxels (labels I32 [n, 1, ...], PV_IGNORE: not annotated).
 * how: "image", the mean over images of each one's mean, 0 for an image without annotated voxels; "kept", over those
 * that have some; "pooled", over all annotated voxels. Always 0 where nothing is annotated. (Eq. 3) */
pv_tensor *mfcons_supervised(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels, const char *how);

/* Mean over samples, classes, voxels of |softmax(student) - softmax(teacher / beta)|: the sharpened probability
 * p^(1/beta) / sum p^(1/beta), without overflow. No gradient to the teacher. (Eq. 1) */
pv_tensor *mfcons_niop(pv_tape *t, struct pv_scope *s, pv_tensor *student, pv_tensor *teacher, double beta);

/* Mean over samples, classes, voxels of |a - b|; of logits it is the stability constraint. No gradient to b. */
pv_tensor *mfcons_mae(pv_tape *t, struct pv_scope *s, pv_tensor *a, pv_tensor *b);

/* x [n, channels, ...] with each cube masked, in all channels, with the given probability. keep: PLAIN F32 [n, 1, ...],
 * 0 where masked, instead of drawn cubes; or NULL. No gradient. MFCONS_MIN is the smallest value of the sample. */
enum mfcons_fill { MFCONS_ZERO, MFCONS_MIN, MFCONS_NOISE };
pv_tensor *mfcons_mask(pv_tape *t, struct pv_scope *s, pv_tensor *x, pv_tensor *keep, int cube, double probability,
                       enum mfcons_fill fill);

/* Equation 2. F is brought to the grid of the logits; P = softmax of the logits, without gradient here:
 *   Y_l^mix = the annotation, elsewhere argmax P_l; Y_u = argmax P_u
 *   c^k = sum_v Y^k P^k F / (sum_v Y^k P^k + 1e-5); 0 if the class is absent
 *   c_f = gamma c_l + (1 - gamma) c_u
 *   P^pro = softmax_k(scale cos(F, c_f^k))
 *   loss = mean |P_l^pro - Y_l^mix| + mean |P_u^pro - P_u|, means over samples, classes, voxels.
 * Gradient to feat_l, through c_f too unless `fixed`. */
struct mfcons_fpm {
    pv_tensor *feat_l, *feat_u;         /* BLOCKED [nl, d, ...], [nu, d, ...]: student's, teacher's */
    pv_tensor *logits_l, *logits_u;     /* PLAIN [nl, c, ...], [nu, c, ...]: student's, teacher's */
    pv_tensor *labels;                  /* PLAIN I32 [nl, 1, ...] */
    double gamma, scale;
    bool pooled;                        /* prototypes over the batch; else image i with image i, nl = nu */
    bool annotated_one;                 /* annotated voxels weigh 1 instead of P */
    bool fixed;
    pv_tensor *fused, *loss_l, *loss_u; /* out: c_f FLAT [sets][c][d], the two terms; kept in the scope */
};
pv_tensor *mfcons_fpm(pv_tape *t, struct pv_scope *s, struct mfcons_fpm *f);

#endif
