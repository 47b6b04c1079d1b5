/* SPDX-License-Identifier: Apache-2.0
 * A folder of predictions says in its predict.json whose they are: weights by the hash of their files, device, date,
 * and the names of the files that predict wrote or was about to write. So labels of several networks do not mix. */
#ifndef TRAIN_PREDICT_DIR_H
#define TRAIN_PREDICT_DIR_H

#include "train/infer.h"

/* Before the first file is written. names: files of `dir` that these models are to make. Where predictions of other
 * weights lie there, PV_FAULT_USAGE; with `overwrite` those are removed, but nothing else, and no file with the name of
 * one of `inputs` (paths). known receives the names that earlier calls with these weights wrote; start with {0}, the
 * caller's. PV_FAULT_INPUT where the file cannot be read or written. */
bool pv_predict_claim(const char *dir, struct pv_model *const *m, int num, const struct pv_strs *names, bool overwrite,
                      const struct pv_strs *inputs, struct pv_strs *known);

#endif
