/* SPDX-License-Identifier: Apache-2.0
 * What the papers show of a trained run on its training cases: how good the pseudo labels are that a confidence
 * threshold keeps (CRLN, figure 1), the semantic matching score of labelled and unlabelled cases (DuCiSC, equation 12),
 * and features for density plots (DuCiSC). */
#ifndef TRAIN_ANALYSIS_H
#define TRAIN_ANALYSIS_H

#include "train/infer.h"

struct pv_analysis_opts {
    bool reference_masks;       /* prototypes of unlabelled cases by their reference; false: by the prediction */
    int features;               /* voxels to write of the labelled and of the unlabelled cases each; 0: no file */
    bool quiet;
};

/* Writes `out`/analysis.json and, with features, `out`/features_train.safetensors; prints nothing. Cases that the run
 * was trained on with a label are labelled, all other training cases that have a reference unlabelled. Prototypes and
 * features are those of the last decoder step's input (PV_FEAT_UP4) of the run's first network, dropout off, in windows
 * of the training patch that do not overlap (but at the border); quality is the mean over cases, on the prepared grid.
 * *result is the JSON, the caller's. False after a fault: no labelled or no unlabelled case with a reference. */
bool pv_analyse(struct pv_model *m, const pv_dataset *ds, const char *out, const struct pv_analysis_opts *o,
                pv_json **result);
/* For a terminal; pv_free it. */
char *pv_analysis_text(const pv_json *result);

#endif
