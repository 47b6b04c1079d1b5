/* SPDX-License-Identifier: Apache-2.0
 * Terms of DuCiSC (paper 001; methods.md 3), used by its step and by its named losses. Scales are s = 0: 1/8, 1: 1/4,
 * 2: 1/2, 3: full. Results are kept in the scope that is passed; NULL after a failure. C is the number of classes. */
#ifndef METHOD_DUCISC_H
#define METHOD_DUCISC_H

#include "method/method.h"

enum { DUCISC_SCALES = 4 };

struct ducisc_opts {
    bool sum;                   /* prototypes: sum form of Eq. 4 and 7, else means */
    bool by_image;              /* prototypes: compare images i and i, else the means over the batch */
    bool by_class;              /* prototypes: only an absent class is left out, else the whole scale */
    bool mix_ce;                /* mixed images: soft cross-entropy, else KL with the mean over classes too */
    enum { DUCISC_ADAPTIVE, DUCISC_FIXED, DUCISC_NONE } thresholds;
    float fixed;                /* DUCISC_FIXED: the threshold of every class */
};

/* What the teacher says about the unlabelled images at one scale; constants. */
struct ducisc_pseudo {
    pv_tensor *label;           /* I32 [n][1]: argmax */
    pv_tensor *onehot;          /* [n][C] */
    pv_tensor *kept;            /* [n][1]: 1 where some class's probability exceeds its threshold; NULL: all kept */
};
/* logits: the teacher's at that scale; thresholds FLAT [C]. Eq. 8, 10. */
bool ducisc_pseudo(pv_tape *t, struct pv_scope *s, const struct ducisc_opts *o, pv_tensor *logits,
                   pv_tensor *thresholds, struct ducisc_pseudo *out);

/* Mean over the scales of half (CE + Dice) against labels I32 [n][1] at full resolution, resized by nearest voxel;
 * PV_IGNORE is left out. z[s]: logits. */
pv_tensor *ducisc_sup(pv_tape *t, struct pv_scope *s, pv_tensor *const z[DUCISC_SCALES], pv_tensor *labels);
/* The same against pseudo labels on kept voxels; 0, without gradient, if a scale keeps none. Eq. 10. */
pv_tensor *ducisc_cs_ulb(pv_tape *t, struct pv_scope *s, pv_tensor *const z[DUCISC_SCALES],
                         const struct ducisc_pseudo p[DUCISC_SCALES]);

/* The target of mixed images, Eq. 5: y = sigma onehot(labels) + (1 - sigma) pseudo, F32 [n][C] at full resolution;
 * 0 in every class where the label is PV_IGNORE. sigma, rest: FLAT [n], sigma and 1 - sigma. */
pv_tensor *ducisc_mix_target(pv_tape *t, struct pv_scope *s, pv_tensor *labels, pv_tensor *pseudo, pv_tensor *sigma,
                             pv_tensor *rest);
/* Mean over the scales of half (KL or CE + Dice) of mixed images against y, resized trilinearly, on the voxels that
 * the unlabelled image keeps and whose label is known; 0 if a scale keeps none. Eq. 10. */
pv_tensor *ducisc_cs_mix(pv_tape *t, struct pv_scope *s, const struct ducisc_opts *o,
                         pv_tensor *const z[DUCISC_SCALES], pv_tensor *y, pv_tensor *labels,
                         const struct ducisc_pseudo p[DUCISC_SCALES]);

/* Distance of class prototypes of two groups of images over the scales: f maps, w weights F32 [n][C] on their grids
 * (resized labels, pseudo labels, mixed targets). 0 if no scale counts. Gradients to f and g. Eq. 2-4, 6, 7. */
pv_tensor *ducisc_proto(pv_tape *t, struct pv_scope *s, const struct ducisc_opts *o,
                        pv_tensor *const f[DUCISC_SCALES], pv_tensor *const wf[DUCISC_SCALES],
                        pv_tensor *const g[DUCISC_SCALES], pv_tensor *const wg[DUCISC_SCALES]);
/* w[s] for labels: one-hot of the labels resized by nearest voxel to the grid of f[s]. */
bool ducisc_label_weights(pv_tape *t, struct pv_scope *s, pv_tensor *labels, int classes,
                          pv_tensor *const f[DUCISC_SCALES], pv_tensor *w[DUCISC_SCALES]);
/* The same for a mixed target, resized trilinearly. */
bool ducisc_soft_weights(pv_tape *t, struct pv_scope *s, pv_tensor *y, pv_tensor *const f[DUCISC_SCALES],
                         pv_tensor *w[DUCISC_SCALES]);

/* Eq. 8, 9 at one scale: T <- clip(beta T + (1 - beta) P, lo, hi) with P the mean of the student's probability of a
 * class over the voxels that the teacher gives to it; T stays for a class that has none. FLAT [C]. */
pv_tensor *ducisc_threshold(pv_tape *t, struct pv_scope *s, pv_tensor *thresholds, pv_tensor *student_logits,
                            pv_tensor *onehot, double beta, double lo, double hi);

/* Eq. 11: sum of w L, or normalised: sum of w L / sg(L) over the terms that are not 0. */
pv_tensor *ducisc_total(pv_tape *t, struct pv_scope *s, int num, pv_tensor *const *l, const float *w, bool normalised);

#endif
