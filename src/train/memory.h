/* SPDX-License-Identifier: Apache-2.0
 * What a training takes of a device's memory, before it begins. */
#ifndef TRAIN_MEMORY_H
#define TRAIN_MEMORY_H

#include "method/method.h"

/* Bytes that live buffers take at most in a training with the resolved configuration (data set included): networks,
 * optimiser, and steps at the beginning, in the middle and at the end of every stage, executed on a device that does no
 * work (pv_dev_plan). The pool's choices are the real device's. `memory`: what the device has; UINT64_MAX: any. False
 * if that does not suffice, or the method cannot run at all; nothing is logged, *why (may be NULL) is the reason,
 * to be freed. The reference device: true and 0. */
bool pv_train_memory(const struct pv_dev_info *dev, const pv_json *config, uint64_t memory, uint64_t *peak,
                     char **why);

/* Logs what is needed. If the device does not have it: PV_FAULT_DEVICE with what would fit (tried likewise), and
 * false. */
bool pv_train_memory_check(const struct pv_dev_info *dev, const pv_json *config);

#endif
