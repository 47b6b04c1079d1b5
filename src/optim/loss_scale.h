/* SPDX-License-Identifier: Apache-2.0
 * Dynamic loss scaling (Micikevicius et al., Mixed Precision Training, 2018, section 3.2), entirely on the device.
 * Gradients are computed times a scale, so that halves hold them, and divided by it in the optimiser step. A step whose
 * gradients are not all finite is left out. The scale is one for a whole iteration; the next one's is half of it if a
 * step was left out, twice as much after `growth` iterations without.
 *
 * The state is a FLAT F32 tensor of LOSS_SCALE_SIZE elements; the caller owns it and keeps it in checkpoints. */
#ifndef OPTIM_LOSS_SCALE_H
#define OPTIM_LOSS_SCALE_H

#include "tensor/tensor.h"

enum { LOSS_SCALE_SIZE = 8 };

void pv_loss_scale_init(pv_tensor *state, double scale);
/* Before the first backward pass of an iteration. The scale stays within 1 and 2^32. */
void pv_loss_scale_next(pv_tensor *state, double growth);
/* FLAT [1], new references: a copy of the scale, to seed a backward pass; views of what pv_sgd_step and pv_adam_step
 * take: the inverse, and whether the judged step is left out; how many iterations had a step left out. */
pv_tensor *pv_loss_scale_seed(pv_tensor *state);
pv_tensor *pv_loss_scale_inverse(pv_tensor *state);
pv_tensor *pv_loss_scale_skip(pv_tensor *state);
pv_tensor *pv_loss_scale_skipped(pv_tensor *state);

/* Judges the gradients of one optimiser step: add every range (FLAT F32), then end, before the step. */
struct pv_judge { pv_tensor *state, *part; int n; bool bad; };
/* most: elements in all, ranges: how many there are at most. */
void pv_judge_begin(struct pv_judge *j, pv_tensor *state, int64_t most, int ranges);
void pv_judge_add(struct pv_judge *j, pv_tensor *g);
void pv_judge_end(struct pv_judge *j);

#endif
