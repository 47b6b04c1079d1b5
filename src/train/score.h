/* SPDX-License-Identifier: Apache-2.0
 * Scoring trained runs on a split of a data set, with the files that evaluation leaves behind. */
#ifndef TRAIN_SCORE_H
#define TRAIN_SCORE_H

#include "train/infer.h"

struct pv_score {
    struct pv_model *const *models;     /* [num]; several form an ensemble */
    int num;
    const pv_dataset *ds;
    enum pv_split split;
    const struct pv_infer_opts *infer;
    const struct pv_eval_params *params;
    const char *out;            /* evaluation_SPLIT.csv and .json go there; made */
    const char *predictions;    /* folder for ID.nii.gz of every case; NULL: not written */
    bool report;                /* `out` is a run: pictures_SPLIT.safetensors and report.html too */
};

/* Fills `table` (pv_table_init is done here; the caller frees it whatever is returned). False after a fault: no case
 * with a label, disk full, interrupted. */
bool pv_score_split(const struct pv_score *s, struct pv_table *table);

/* The whole of it for one run folder with its own settings and the first weights there are; files go to the folder.
 * num_train (may be NULL): training cases of the data set. `table` as above. */
bool pv_score_run(pv_dev *dev, const char *run, const char *data, const char *lists, enum pv_split split, bool quiet,
                  struct pv_table *table, int *num_train);

#endif
