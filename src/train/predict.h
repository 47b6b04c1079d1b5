/* SPDX-License-Identifier: Apache-2.0
 * Predicting image files: labels with the input's geometry and name. */
#ifndef TRAIN_PREDICT_H
#define TRAIN_PREDICT_H

#include "train/infer.h"

/* Length of the case's name in the last part of a path: "dir/CASE_0000.nii.gz" -> 4 and *channel 0; "CASE_0001.nii.gz"
 * -> 4 and 1 if the file of channel 0 lies beside it; other names, also those of channels from `channels` on
 * (scan_2023), the whole stem, *channel -1. */
size_t pv_case_name(const char *path, int channels, int *channel);

/* The files that pv_case_read() may open: the path itself, or of a case in channels those that are there, in order. */
void pv_case_files(const char *path, int channels, struct pv_strs *files);

/* Reads all channels of a case: of CASE_0000.nii.gz with its neighbours _0001 ... where the file has fewer channels
 * than wanted; any of them names the case. A file that is a channel of a case without channel 0, or one that the
 * network does not take, is refused; where names count scans (one beside it goes beyond _0007) it is none. False after
 * a fault; v is then empty. */
bool pv_case_read(const char *path, int channels, const struct pv_read *how, struct pv_volume *v);

/* Labels of an image on its own grid. prob (may be NULL) receives [classes][voxels], pv_alloc_big, the caller's, as
 * label [voxels] is. vol's image is prepared in place. `what` names the volume in messages. */
bool pv_predict_volume(struct pv_model *const *m, int num, const char *what, struct pv_volume *vol,
                       const struct pv_infer_opts *o, uint8_t **label, float **prob);

/* Reads `input`, writes the labels to `out` and, if prob_out is not NULL, the class probabilities. */
bool pv_predict_case(struct pv_model *const *m, int num, const char *input, const char *out, const char *prob_out,
                     const struct pv_infer_opts *o);

#endif
