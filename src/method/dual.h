/* SPDX-License-Identifier: Apache-2.0
 * What methods with two networks that teach each other share (MCF; the dual network of paper 003, methods.md 5). A is
 * the ResNet34-style V-Net of both papers, B the V-Net. Results are kept in the scope; NULL after a failure. */
#ifndef METHOD_DUAL_H
#define METHOD_DUAL_H

#include "method/method.h"

struct dual {
    pv_net *net[2];                     /* A, B */
    struct pv_net_out out[2];           /* of this step: both networks on all samples */
    pv_tensor *zl[2], *zu[2];           /* logits of the labelled and of the unlabelled samples */
    pv_tensor *labels;
};

/* Rows of the options that every such method has. */
#define DUAL_OPTS \
    {"net_a", 0, "resvnet", false, "network A"}, \
    {"net_b", 0, "vnet", false, "network B"}

/* Registers networks "a" and "b", both trained, by the options net_a and net_b; init (may be NULL): how each starts,
 * else by the configuration. */
bool dual_init(struct pv_run *r, struct dual *d, const enum pv_init_scheme init[2]);
/* One pass of each network over the whole batch in training mode (passes 1 and 2); slices. */
bool dual_forward(struct pv_run *r, struct pv_scope *s, struct dual *d, const struct pv_patches *b, unsigned want);
void dual_end(struct dual *d);          /* frees what dual_forward left in `out` */
/* The mean of the two softmax maps. */
pv_tensor *dual_predict(struct pv_run *r, struct dual *d, pv_tensor *image);

/* CE(z[0], argmax z[1]) + CE(z[1], argmax z[0]), means over samples and voxels; no gradient through the labels. Cross
 * pseudo supervision (Chen and others, CVPR 2021); Eq. 7, 8 of paper 003. */
pv_tensor *dual_cross(pv_tape *t, struct pv_scope *s, pv_tensor *const z[2]);

/* CE (mean over known voxels) + Dice (squared denominators, foreground) of logits against I32 labels [n][1]; *dice
 * (may be NULL) receives the latter. Eq. 2 of paper 003 without its last term. */
pv_tensor *dual_supervised(struct pv_run *r, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels,
                           pv_tensor **dice);

/* Where one network, but not the other, is sure of a foreground class: F32 [n][C - 1], 1 for class k where exactly one
 * (any: at least one) predicts k with a probability of at least `sure`; 0 where the label is PV_IGNORE. A constant.
 * Eq. 5 of paper 003; MCF with sure 0. */
pv_tensor *dual_disagree(pv_tape *t, struct pv_scope *s, pv_tensor *za, pv_tensor *zb, pv_tensor *labels, double sure,
                         bool any);
/* sum M (p - y)^2 / (sum M + 1e-16) over samples, foreground classes and voxels. Eq. 6; M of dual_disagree. */
pv_tensor *dual_rectify(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels, pv_tensor *disagree);

#endif
