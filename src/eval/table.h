/* SPDX-License-Identifier: Apache-2.0
 * Tables of cases and classes, their means, and the files that people and scripts read.
 *
 * Values that are missing (NaN) stay out of means and standard deviations and are counted. The mean of all
 * classes is the mean of the classes' means over cases (as nnU-Net's foreground_mean, which is NaN where a
 * class never occurs; here that class is left out); its standard deviation is over cases of each case's mean
 * over classes. */
#ifndef EVAL_TABLE_H
#define EVAL_TABLE_H

#include "base/json.h"
#include "eval/metrics.h"

struct pv_table {
    struct pv_eval_params params;       /* of every case; `regions` is NULL here */
    int num_scored;
    char **keys;                        /* [num_scored] "1", "(1, 2)" */
    char **titles;                      /* [num_scored] "left atrium"; the key where no name was given */
    struct pv_case_metrics *cases;      /* in the order added */
    size_t num_cases, cap;
    int ddof;                           /* of every standard deviation; 0 after pv_table_init */
};

enum { PV_ALL_CLASSES = -1 };

/* `titles`: [num_scored] names of the classes, NULL or with NULLs: their keys. Copies all it needs. */
void pv_table_init(struct pv_table *t, const struct pv_eval_params *p, const char *const *titles);
void pv_table_add(struct pv_table *t, struct pv_case_metrics *c);    /* takes over the content; leaves zeros */
void pv_table_free(struct pv_table *t);                              /* leaves zeros; NULL safe */

/* One value per case, in order; v [num_cases]. PV_ALL_CLASSES: mean over the classes that have one. */
void pv_table_values(const struct pv_table *t, int cls, enum pv_metric_id metric, double *v);
/* n: cases with a value. All NaN if there is none. */
struct pv_summary { double mean, std, median, min, max; size_t n, num_missing; };
struct pv_summary pv_table_summary(const struct pv_table *t, int cls, enum pv_metric_id metric);
/* Cases whose prediction (or reference) of a class, or of any class, is empty. */
size_t pv_table_empty_predictions(const struct pv_table *t, int cls);
size_t pv_table_empty_references(const struct pv_table *t, int cls);
/* Values of the cases that both tables have by name and neither lacks, in a's order, for paired tests.
 * *va and *vb are pv_free'd by the caller. */
size_t pv_table_pairs(const struct pv_table *a, const struct pv_table *b, int cls, enum pv_metric_id metric,
                      double **va, double **vb);

/* ---- writers (table_write.c) ---- */

/* case, class, the wanted metrics (shares as fractions), tp, fp, fn, tn, n_pred, n_ref: a row per case and
 * class, then "mean" and "std" per class and, with several classes, of "all". Missing values are "nan". */
bool pv_table_write_csv(const struct pv_table *t, const char *path);

struct pv_table_json {
    bool nan_literal;       /* missing values as NaN (Python's json, nnU-Net), else null (all others) */
    int resamples;          /* bootstrap of the mean of each metric over cases; 0: none */
    uint64_t seed;
    double level;           /* of its interval; 0: 0.95 */
    const pv_json *about;   /* how the predictions were made, for the key "about"; NULL: none. Borrowed */
};
/* nnU-Net's summary.json, keys sorted: foreground_mean, mean per class, metric_per_case with reference_file,
 * prediction_file, metrics; per class Dice, IoU, HD95, ... TP, FP, FN, TN, n_pred, n_ref. Added: case, std,
 * empty_predictions, settings, bootstrap. `opts` may be NULL. */
bool pv_table_write_json(const struct pv_table *t, const char *path, const struct pv_table_json *opts);

/* For a terminal: mean +- std per class (and of all), shares in percent; a row per case and class before
 * them if `each_case`; below, what the reader must know: units, empty predictions, missing values.
 * `metrics`: which, in order; NULL: dice, jaccard, hd95, asd. pv_free it. */
char *pv_table_text(const struct pv_table *t, const enum pv_metric_id *metrics, int num_metrics, bool each_case);

#endif
