/* SPDX-License-Identifier: Apache-2.0
 * Terms of the dual network with cross consistency enhancement (paper 003; methods.md 5), used by its step and by its
 * named losses. Sides are A and B: index 0 and 1. Results are kept in the scope; NULL after a failure. */
#ifndef METHOD_CCE_H
#define METHOD_CCE_H

#include "method/method.h"

/* What the terms on unlabelled images need of each network; constants but for z and f. */
struct cce_side {
    pv_tensor *z;               /* logits, PLAIN [n][C] */
    pv_tensor *f;               /* feature map before the output convolution, BLOCKED; NULL where not needed */
    pv_tensor *label;           /* I32 [n][1]: argmax */
    pv_tensor *entropy;         /* [n][1], bits. Eq. 9 */
    pv_tensor *tau;             /* FLAT [1]: their percentile over the batch */
};
/* Fills the constants of both sides from z; percent: gamma. */
bool cce_sides(pv_tape *t, struct pv_scope *s, struct cce_side side[2], double percent);

/* a + b of device scalars. */
pv_tensor *cce_sum(pv_tape *t, struct pv_scope *s, pv_tensor *a, pv_tensor *b);

/* CE(z_B, label_A) + CE(z_A, label_B), means over all voxels. Eq. 7, 8. */
pv_tensor *cce_cps(pv_tape *t, struct pv_scope *s, const struct cce_side side[2]);

/* Which labels of EFS: the other network's, the own ones (as Eq. 10 is written), or A's where they are foreground and
 * else B's (public code). */
enum cce_label { CCE_CROSS, CCE_OWN, CCE_UNION };
/* Sum over both networks of the mean CE over the voxels whose entropy is at most tau in both networks (both: in at
 * least one, so that a voxel is ignored where both are high). Eq. 9 to 11. *kept (may be NULL): these voxels. */
pv_tensor *cce_efs(pv_tape *t, struct pv_scope *s, const struct cce_side side[2], enum cce_label label, bool both,
                   pv_tensor **kept);

/* mean of exp(-D) CE(z, y) + D with D = sum_c q_c log(q_c / p_c), p of z, q of zq (a constant), y = softmax(zq /
 * temperature), or argmax of zq if `hard`. The weight exp(-D) carries gradients unless `detach`. Eq. 13 to 15. */
struct cce_une { double temperature; bool hard, detach; };
pv_tensor *cce_une(pv_tape *t, struct pv_scope *s, pv_tensor *z, pv_tensor *zq, struct cce_une o);

/* Prototype-guided contrast of one network, side[i]. Reliable voxels: equal labels, both entropies below tau. Prototype
 * of a class: mean feature of its reliable voxels, unit length if `normalise`, no gradient. The loss: sum over classes
 * of the mean distance of uncertain voxels (by the network's own label; of unit features if `normalise`) to their
 * prototype, plus separation * mean over pairs of classes of the distance of their prototypes, which carries gradients
 * only if `live`. Classes without reliable voxels are left out. Eq. 16 to 20 in mean form. */
struct cce_pgl { bool normalise, live; double separation; };
pv_tensor *cce_pgl(pv_tape *t, struct pv_scope *s, const struct cce_side side[2], int i, struct cce_pgl o);

/* mean over voxels of 1 - cos of the two probability vectors; gradients to both. Only in the public code. */
pv_tensor *cce_cosine(pv_tape *t, struct pv_scope *s, pv_tensor *za, pv_tensor *zb);

#endif
