/* SPDX-License-Identifier: Apache-2.0
 * Bidirectional copy-paste (BCP; Bai and others, CVPR 2023; methods.md 6.1), shared by the methods bcp and mper: a
 * student pre-trained on labelled images pasted into each other, then a student and its moving average trained on
 * labelled and unlabelled images pasted into each other. Results are kept in the scope; NULL after a failure. */
#ifndef METHOD_COPYPASTE_H
#define METHOD_COPYPASTE_H

#include "method/method.h"
#include "ops/dice.h"

/* How the two terms of the mix loss are formed. */
struct cp_form {
    enum pv_dice_form dice;     /* PV_DICE_MASK or PV_DICE_MC */
    bool background_free;       /* the Dice of class 0 has no mask (public code of MPER on ACDC) */
};

struct cp {
    pv_net *student, *teacher;
    struct cp_form form;
    bool joint;                 /* pre-training with one loss over the mixed label, not the mix loss */
};

/* Rows of the options that both methods have. */
#define CP_OPTS \
    {"pretrain", 2000, NULL, true, "iterations of pre-training, of all that there are"}, \
    {"pretrain_loss", 0, "joint", false, "joint: (CE + Dice) / 2 of the mixed label (LA); parts: mix loss (ACDC)", \
     .words = "joint, parts"}, \
    {"box", 2.0 / 3, NULL, false, "side of the pasted box as a share of the patch's"}, \
    {"u_weight", 0.5, NULL, false, "weight of the part of a mixture that has a pseudo label"}, \
    {"dice", 0, "mask", false, "Dice: mask: per sample and class (LA); mc: squared, over the batch (ACDC)", \
     .words = "mask, mc"}, \
    {"mask_background", 1, NULL, false, "0: the Dice of class 0 ignores the mask (public code of MPER on ACDC)"}, \
    {"largest", 1, NULL, false, "1: pseudo labels keep the largest component of each class only"}, \
    {"ema", 0.99, NULL, false, "alpha of the teacher's moving average, without warm-up"}, \
    {"ema_stats", 0, NULL, false, "1: running statistics of batch norm are averaged too (ACDC)"}

/* Networks "student" and "teacher", options. */
bool cp_init(struct pv_run *r, struct cp *c);
/* "pretrain" with labelled images only, "selftrain" with both. */
int cp_stages(struct pv_run *r, struct pv_stage s[PV_MAX_STAGES]);
enum { CP_PRETRAIN, CP_SELFTRAIN };
/* The teacher becomes a copy of the student where self-training begins. */
bool cp_stage_begin(struct pv_run *r, struct cp *c, int stage);
/* A step of pre-training, whole. */
void cp_pretrain_step(struct pv_run *r, struct cp *c, const struct pv_patches *b);
/* After the student's step. */
void cp_teach(struct pv_run *r, struct cp *c);
/* Softmax of the student's logits. */
pv_tensor *cp_predict(struct pv_run *r, struct cp *c, pv_tensor *image);

/* Two mixtures of a step: `image` [n/2] is one image outside the box and another inside. */
struct cp_mixture {
    pv_tensor *image;
    pv_tensor *outer, *inner;           /* labels of the whole images, I32 [n/2][1] */
    pv_tensor *label;                   /* the mixed label */
    float w_outer, w_inner;             /* 1 or u_weight */
    pv_tensor *known, *pseudo;          /* masks F32 [n/2][1]: the labelled part; the pseudo-labelled part */
    pv_tensor *sure;                    /* the teacher's largest probability on the whole unlabelled image */
};
struct cp_batch {
    struct cp_mixture mix[2];           /* unlabelled inside the box; labelled inside the box */
    pv_tensor *mask, *rest;             /* F32 [n/2][1]: 1 outside the box; 1 inside */
};
/* Draws the box ("box": its lower corner), lets the teacher label the unlabelled images (passes 1 and 2), mixes. */
bool cp_mix_batch(struct pv_run *r, struct pv_scope *s, struct cp *c, const struct pv_patches *b,
                  struct cp_batch *out);

/* Pseudo labels I32 [n][1] of logits: argmax, of which the largest component of each class stays. */
pv_tensor *cp_pseudo(pv_tape *t, struct pv_scope *s, pv_tensor *logits, bool largest);
/* (1/2) sum over both parts of w [Dice(softmax z, y; m) + sum CE m / (sum m + 1e-16)] with labels y I32 [n][1], masks m
 * and 1 - m F32 [n][1], voxels with PV_IGNORE left out. (methods.md 6.1) */
pv_tensor *cp_mix_loss(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *outer, pv_tensor *inner,
                       pv_tensor *mask, pv_tensor *rest, float w_outer, float w_inner, struct cp_form f);
/* (CE + Dice) / 2 of one label, without mask: pre-training on LA. */
pv_tensor *cp_joint_loss(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels, struct cp_form f);

#endif
