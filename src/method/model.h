/* SPDX-License-Identifier: Apache-2.0
 * What methods with a student and its moving average do alike: passes, weights, the end of a step, prediction. Results
 * are kept in the scope; NULL after a failure. */
#ifndef METHOD_MODEL_H
#define METHOD_MODEL_H

#include "method/losses.h"

struct model { pv_net *student, *teacher; };

/* Rows of options. `length`: of the ramp, in iterations at reference length. */
#define MODEL_OPT_EMA \
    {"ema", 0.99, NULL, false, "alpha of the teacher's moving average, min(1 - 1/(iter + 1), alpha)"}
#define MODEL_OPTS_WEIGHT(weight, length) \
    {"consistency", weight, NULL, false, "largest weight of the loss on unlabelled images; 0 leaves it out"}, \
    {"rampup", length, NULL, true, "iterations until that weight is reached (Gaussian ramp)"}, \
    {"ramp_unit", 150, NULL, true, "the ramp moves every so many iterations"}
#define MODEL_OPTS_NOISE \
    {"noise", 0.1, NULL, false, "standard deviation of the teacher's input noise"}, \
    {"noise_clip", 0.2, NULL, false, "noise is clipped to this"}
#define MODEL_OPT_DICE(form) \
    {"dice", 0, form, false, "Dice loss of labelled images: sq (foreground, UA-MT), mc (all classes, SSL4MIS), " \
                             "lin, mask", .words = "sq, mc, lin, mask"}

/* Networks "student", trained, and "teacher"; `change` as in pv_run_add_net. */
bool model_init(struct pv_run *r, struct model *m, void (*change)(struct pv_net_config *c));

/* False after a fault if a batch has fewer unlabelled images than that (training only). */
bool model_needs(const struct pv_run *r, int unlabeled);

/* consistency * ramp((iter / ramp_unit), rampup / ramp_unit) of MODEL_OPTS_WEIGHT; logged as consistency_weight. */
double model_weight(struct pv_run *r);
/* The form of option "dice"; false after a fault if it is none. */
bool model_dice(struct pv_run *r, enum pv_dice_form *form);

enum { MODEL_TRAIN = PV_NET_TRAIN | PV_NET_DROPOUT };

/* x plus the noise of MODEL_OPTS_NOISE, drawn as pass `pass` or given as `name`. */
pv_tensor *model_noisy(struct pv_run *r, struct pv_scope *s, const char *name, pv_tensor *x, uint32_t pass);
/* The teacher's softmax of x in training mode (its own batch statistics, dropout), not recorded. */
pv_tensor *model_teach(struct pv_run *r, struct pv_scope *s, const struct model *m, pv_tensor *x, uint32_t pass);

/* The student's pass over x, whose first `nl` samples are labelled: all logits, those of labelled and of other samples,
 * labels. Features stay in `o` until model_forget. */
struct model_pass {
    struct pv_net_out o;
    pv_tensor *z, *zl, *zu, *labels;    /* kept in the scope */
};
bool model_student(struct pv_run *r, struct pv_scope *s, const struct model *m, pv_tensor *x, pv_tensor *label, int nl,
                   uint32_t pass, unsigned want, struct model_pass *p);
void model_forget(struct model_pass *p);

/* share[i] a[i] + (1 - share[i]) b[i] of every sample i; a, b PLAIN F32 of one shape, up to 64 samples. A constant. */
pv_tensor *model_mix(struct pv_run *r, struct pv_scope *s, pv_tensor *a, pv_tensor *b, const double *share);

/* After the walk back: steps the student, moves the teacher by option "ema". */
void model_move(struct pv_run *r, const struct model *m);
/* The end of a step: logs sum w l as "loss", drops results of the pass, walks back, steps, moves the teacher if there
 * is one, ends the scope. */
void model_end(struct pv_run *r, struct pv_scope *s, const struct model *m, struct model_pass *p, int n,
               pv_tensor *const *l, const float *w);
/* `predict` of methods whose state begins with a struct model: the student's. */
pv_tensor *model_predict(struct pv_run *r, pv_tensor *image);
/* Softmax of a network in evaluation mode; a new reference. */
pv_tensor *model_probabilities(struct pv_run *r, pv_net *net, pv_tensor *image);

#endif
