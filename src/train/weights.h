/* SPDX-License-Identifier: Apache-2.0
 * Weights alone, as flat safetensors files with the state-dict names of the public PyTorch code. */
#ifndef TRAIN_WEIGHTS_H
#define TRAIN_WEIGHTS_H

#include "method/method.h"

/* Writes network `name` of the run (NULL: its first) with its statistics and PyTorch's num_batches_tracked (0). False
 * after a fault that lists the run's networks, or that the file cannot be written. */
bool pv_weights_write(struct pv_run *r, const char *name, const char *path);

/* Starts every network of the run that is of the configuration's kind and shape from the file: state dicts with flat,
 * encoder./decoder. or module. names, or a checkpoint of ours (its network of the same name, else its first).
 * Networks that a method made otherwise keep their initialisation, which is said. Optimisers are not touched. */
bool pv_weights_read(struct pv_run *r, const char *path);

/* Sets net.channels, net.classes, net.filters of the configuration to what the file holds for its network, and net.dims
 * to what that network is for. What does not fit is left for pv_weights_read to name. */
bool pv_weights_fit(pv_dev *dev, pv_json *config, const char *path);

/* A run folder (config.json, final.safetensors with 0 steps) that predict and evaluate take. config: resolved, stays
 * the caller's. Fault: `out` already holds a run and `overwrite` is not set, or what pv_weights_read says. */
bool pv_weights_to_run(pv_dev *dev, pv_json *config, const char *path, const char *out, bool overwrite);

#endif
