/* SPDX-License-Identifier: Apache-2.0
 * Terms of CRLN (paper 002; methods.md 4), used by its step and by its named losses. Results are kept in the scope that
 * is passed; NULL after a failure. C is the number of classes, R of prototypes of a class. */
#ifndef METHOD_CRLN_H
#define METHOD_CRLN_H

#include "method/method.h"

enum crln_positive { CRLN_BOTH, CRLN_MEAN, CRLN_PROTOTYPE };

struct crln_opts {
    bool filter;                /* consistency on voxels above tau (Eq. 2), else weighted by their share */
    float tau, tau_weak;        /* confidence of pseudo labels for consistency; for contrast */
    int queries, negatives;     /* anchors of a class; negatives of an anchor */
    float temperature;
    enum crln_positive positive;
    float xi;                   /* share of the prototypes in positives, Eq. 13 */
    bool sum;                   /* contrast: sums over classes and anchors (Eq. 14), else means */
};

/* ---- losses ---- */

/* (CE + Dice) / 2 of logits against labels I32 [n][1], PV_IGNORE left out; Dice with squared denominators over the
 * foreground. l_s of Eq. 1, 15, 16. */
pv_tensor *crln_segment(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels);

/* label = argmax, confidence = largest probability of the teacher's (rectified) logits. Constants. */
bool crln_pseudo(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor **label, pv_tensor **conf);

/* l_u against pseudo labels I32 [n][1] with confidences F32 [n][1]: sum w_n CE / number of voxels with CE > 0, w_n =
 * voxels with conf >= tau / voxels with a label, of image n (public code); or with o->filter Eq. 2: sum [conf >= tau]
 * CE / voxels. *kept (may be NULL): the share of voxels with conf >= tau among those with a label, FLAT [1]. */
pv_tensor *crln_unsup(pv_tape *t, struct pv_scope *s, const struct crln_opts *o, pv_tensor *logits, pv_tensor *label,
                      pv_tensor *conf, pv_tensor **kept);

/* Images of one pass: logits, representation (BLOCKED [n][R]), labels, confidences (NULL: all count). */
struct crln_side { pv_tensor *z, *rep, *label, *conf; };
/* Random choices of the contrast that are handed in, NULL or I32 of any shape: words of pv_voxel_draw, [C][queries][2]
 * and [C][queries * negatives][2]; or numbers of voxels, [C][queries] and [C][queries][negatives]. */
struct crln_draws { pv_tensor *anchor_words, *negative_words, *anchors, *negatives; };
/* l_cp, Eq. 9 to 14, on the voxels of all sides (numbered side after side). prototypes FLAT [C][R][d], or NULL:
 * positives are means. drawn[c] (may be NULL): numbers of the anchors of class c, -1 without. Gradients: rep. */
pv_tensor *crln_cps(pv_tape *t, struct pv_scope *s, const struct crln_opts *o, int num, const struct crln_side *side,
                    pv_tensor *prototypes, const struct crln_draws *draws, pv_tensor **drawn);

/* ---- views (crln_view.c) ---- */

struct crln_aug {
    float weak;                         /* weak brightness: factors 1 - weak to 1 + weak; 0: none */
    double low, high;                   /* in-plane scaling; 1, 1: none */
    bool cutmix, minmax;
    double p_intensity, intensity, p_noise, p_turn;
};
/* Rows of options, and what they say. */
#define CRLN_OPTS_VIEWS \
    {"weak_brightness", 0.25, NULL, false, "weak views: intensities times 1 - this to 1 + this; 0: as they are", \
     .lo = 0, .hi = 1}, \
    {"scale_low", 0.5, NULL, false, "strong views: in-plane scaling from this", .lo = 0.1, .hi = 1}, \
    {"scale_high", 1.5, NULL, false, "to this; 1 and 1: none", .lo = 1, .hi = 8}, \
    {"cutmix", 1, NULL, false, "strong views: 1: a box over the whole depth comes from another image"}, \
    {"p_intensity", 0.8, NULL, false, "strong views: probability of another brightness"}, \
    {"intensity", 0.25, NULL, false, "which is 1 - this to 1 + this times the first"}, \
    {"p_noise", 0.5, NULL, false, "strong views: probability of noise (0.1 g, at most 0.2)"}, \
    {"p_turn", 0.5, NULL, false, "strong views: probability of quarter turns and a flip, labels with them"}, \
    {"minmax", 1, NULL, false, "1: strong views are scaled to [0, 1]"}
struct crln_aug crln_read_views(const struct pv_run *r);
/* x (image in [0, 1]) times a factor per sample, clipped to [0, 1]. */
pv_tensor *crln_weak(struct pv_run *r, struct pv_scope *s, const struct crln_aug *a, pv_tensor *x);
/* An unlabelled batch: image, label I32 [n][1], confidence [n][1]. */
struct crln_view { pv_tensor *image, *label, *conf; };
/* Turns a weak view into a strong one; false after a failure. methods.md 4.4. */
bool crln_strong(struct pv_run *r, struct pv_scope *s, const struct crln_aug *a, struct crln_view *v);

#endif
