/* SPDX-License-Identifier: Apache-2.0
 * Predicting whole volumes with trained runs, and scoring them. */
#ifndef TRAIN_INFER_H
#define TRAIN_INFER_H

#include "data/dataset.h"
#include "eval/slide.h"
#include "eval/table.h"
#include "method/method.h"

/* A run whose networks are loaded for prediction. */
struct pv_model {
    pv_json *config;
    struct pv_run *run;
    char *folder, *weights;     /* weights: the file that was read */
    int64_t steps;
};
/* which: "best", "final", "latest" (anything else is PV_FAULT_USAGE), or NULL for the first of these that exists. */
struct pv_model *pv_model_open(pv_dev *dev, const char *folder, const char *which);
/* "fp32", "mixed" (docs/precision.md), or NULL for what it was trained with. PV_FAULT_USAGE for another word. */
bool pv_model_set_precision(struct pv_model *m, const char *word);
void pv_model_free(struct pv_model **m);
/* Whether they can form an ensemble: same channels, classes, dimensions, preparation and patch. PV_FAULT_USAGE. */
bool pv_models_agree(struct pv_model *const *m, int num);

struct pv_infer_opts {
    int stride[3];              /* [0] == 0: the configuration's */
    int batch;                  /* 0: the configuration's */
    int gaussian;               /* -1: the configuration's */
    const char *mirror;         /* axes "xyz" (pv_config_mirror); NULL: the configuration's */
    int largest;                /* -1: the configuration's */
    bool quiet;
    const char *what;           /* for the progress line; may be NULL */
    bool (*progress)(void *user, int64_t done, int64_t total);  /* windows; false stops; may be NULL */
    void *user;
};

/* Mean probabilities of an ensemble for a prepared volume, on its own grid: [classes][size], pv_alloc_big, the
 * caller's. False after a fault or an interruption. */
bool pv_infer_prepared(struct pv_model *const *m, int num, const char *what, const struct pv_volume *vol,
                       const struct pv_infer_opts *o, float **prob);
/* Mean probabilities of an ensemble on the grid of the volume as it was read. vol is prepared in place (image only).
 * prob: [classes][file size], pv_alloc_big, the caller's. False after a fault or an interruption. */
bool pv_infer_volume(struct pv_model *const *m, int num, const char *what, struct pv_volume *vol,
                     const struct pv_infer_opts *o, float **prob, int file_size[3]);
/* The labels of that: the class of largest probability, without probabilities of the whole volume where it is no stack
 * of slices. label: [file size], pv_alloc_big, the caller's. */
bool pv_infer_labels(struct pv_model *const *m, int num, const char *what, struct pv_volume *vol,
                     const struct pv_infer_opts *o, uint8_t **label, int file_size[3]);

/* Predicts a split of a data set with a run and scores it as the configuration says; adds a row per case to table.
 * done (may be NULL) receives every case: arrays are valid during the call. */
struct pv_infer_case {
    const char *id;
    const struct pv_volume *volume;     /* as read: image and label */
    const uint8_t *label;               /* predicted, on the file's grid */
    const float *prob;                  /* [classes][file grid] */
    const struct pv_case_metrics *metrics;
};
bool pv_infer_split(struct pv_model *const *m, int num, const pv_dataset *ds, enum pv_split split,
                    const struct pv_infer_opts *o, const struct pv_eval_params *ep, struct pv_table *table,
                    void (*done)(void *user, const struct pv_infer_case *c), void *user);
/* Scoring parameters by the configuration. False after a fault (an unknown metric). */
bool pv_config_eval(const pv_json *config, int classes, struct pv_eval_params *out);

#endif
