/* SPDX-License-Identifier: Apache-2.0
 * A folder of predictions says in its predict.json whose they are: weights by the hash of their files, device, date,
 * and of every file that predict wrote what it comes from: bytes and hash of the image files (64-bit FNV-1a, so voxels
 * and geometry) and the settings that change the result. So labels of several networks do not mix, and what is there
 * passes for a result only where it is the one that was asked for. Device, driver and batch are not compared: they
 * change rounding only. */
#ifndef TRAIN_PREDICT_DIR_H
#define TRAIN_PREDICT_DIR_H

#include "train/infer.h"

/* What labels of a case follow from apart from the weights: {"inputs": [{"file", "bytes", "hash"}], "settings": {...}};
 * every channel's file is read. NULL with PV_FAULT_INPUT where one cannot be. */
pv_json *pv_predict_origin(struct pv_model *const *m, int num, const char *input, const struct pv_infer_opts *o);

struct pv_predict_dir;
/* Before the first file is written; `dir` exists. Where predictions of other weights lie there, PV_FAULT_USAGE; with
 * `overwrite` those are removed, but nothing else, and no file with the name of one of `inputs` (paths).
 * PV_FAULT_INPUT where predict.json cannot be read or written. dir and m are borrowed. */
struct pv_predict_dir *pv_predict_dir_open(const char *dir, struct pv_model *const *m, int num, bool overwrite,
                                           const struct pv_strs *inputs);
void pv_predict_dir_free(struct pv_predict_dir **d);

/* Files of a case: labels and probabilities. */
enum pv_predicted { PV_PREDICTED_LABELS, PV_PREDICTED_PROBABILITIES };
/* *there: the file is there and is what `origin` gives. False with PV_FAULT_USAGE, unless the folder was opened with
 * `overwrite`, where it is there but follows from something else or nothing says from what. */
bool pv_predict_dir_check(const struct pv_predict_dir *d, const char *name, enum pv_predicted what,
                          const pv_json *origin, bool *there);
/* The same for probabilities that are not asked for but that predict left beside the labels; with `overwrite` those of
 * another origin are removed. Nothing happens to a file that predict did not write. */
bool pv_predict_dir_check_unasked(struct pv_predict_dir *d, const char *name, const pv_json *origin);
/* Around the writing of a file, so that no moment leaves a file with a wrong origin. origin is copied; what is written
 * down already is not forgotten. */
bool pv_predict_dir_forget(struct pv_predict_dir *d, const char *name, enum pv_predicted what, const pv_json *origin);
bool pv_predict_dir_keep(struct pv_predict_dir *d, const char *name, enum pv_predicted what, const pv_json *origin);

#endif
