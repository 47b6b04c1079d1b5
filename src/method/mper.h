/* SPDX-License-Identifier: Apache-2.0
 * Terms of MPER (paper 004; methods.md 6.2), used by its step and by its named losses. Prototypes are FLAT
 * [classes][each][d]. Results are kept in the scope; NULL after a failure. */
#ifndef METHOD_MPER_H
#define METHOD_MPER_H

#include "method/copypaste.h"

/* Eq. 1: max_k cos(z, p_c^k) / tau, PLAIN [n][classes]; f BLOCKED [n][d]. Gradient: f. */
pv_tensor *mper_scores(pv_tape *t, struct pv_scope *s, pv_tensor *f, pv_tensor *p, int classes, int each, double tau);

/* Cosines to all prototypes / tau, PLAIN [n][classes * each]. Gradient: f. *nearest: the index c * each + k of the
 * largest, I32 [n][1]. */
pv_tensor *mper_cosines(pv_tape *t, struct pv_scope *s, pv_tensor *f, pv_tensor *p, double tau, pv_tensor **nearest);
/* Eq. 5: cross-entropy of those with the nearest prototype as the target, mean over voxels; with ignore0 over those
 * whose nearest is not prototype 0 of class 0 (public code). */
pv_tensor *mper_contrast(pv_tape *t, struct pv_scope *s, pv_tensor *cosines, pv_tensor *nearest, bool ignore0);

struct mper_update {
    int each;
    double eta, alpha;
    bool labeled, pseudo;       /* which parts of a mixture move prototypes */
    bool background;            /* prototypes of class 0 move too */
};
/* Eq. 2, in place on p: means of the features whose nearest prototype is of the class that the mixed label gives, on
 * the pseudo-labelled part only where the teacher's largest probability `sure` is above alpha; first that part, then
 * the labelled one. label I32, known, pseudo, sure F32 [n][1]. */
void mper_move(pv_tape *t, pv_tensor *p, pv_tensor *f, pv_tensor *nearest, pv_tensor *label, pv_tensor *known,
               pv_tensor *pseudo, pv_tensor *sure, const struct mper_update *o);

#endif
