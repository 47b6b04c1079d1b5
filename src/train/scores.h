/* SPDX-License-Identifier: Apache-2.0
 * What `protovox evaluate` left behind, in memory: a value per case and metric, and comparisons of several. */
#ifndef TRAIN_SCORES_H
#define TRAIN_SCORES_H

#include "base/json.h"
#include "eval/metrics.h"
#include "eval/stats.h"
#include "report/html.h"

struct pv_scores {
    pv_json *eval;                      /* evaluation_SPLIT.json */
    const char *split;                  /* "test"; NULL if it was no split; a constant */
    unsigned wanted;                    /* metrics to look at, 1 << pv_metric_id; 0: all that are there */
    int num_metrics;                    /* shares and distances; not ratios and volumes */
    enum pv_metric_id metric[PV_NUM_METRICS];
    struct pv_report_metric shown[PV_NUM_METRICS];
    size_t num_cases;
    const char **ids;                   /* [num_cases] the JSON's */
    double *values;                     /* [num_cases][num_metrics], mean over the classes; shares in percent */
};

/* Path of evaluation_SPLIT.json in a folder (split NULL: test, val, train, the first there is), or of evaluation.json
 * (split NULL only), or `where` itself if it is a file. NULL if there is none: no fault. pv_free it. */
char *pv_scores_find(const char *where, const char *split, const char **found);
/* Where pv_scores_find() found none: PV_FAULT_INPUT that says what there is instead. Always false. */
bool pv_scores_none(const char *where, const char *split);
bool pv_scores_read(struct pv_scores *s, const char *path);     /* keeps split and wanted; no free after a fault */
void pv_scores_free(struct pv_scores *s);
void pv_scores_metrics(struct pv_scores *s);    /* num_metrics, metric and shown, from eval and wanted alone */
/* Mean and standard deviation (ddof 0, as the papers' code; NaN for a single one) over the n cases that have a value of
 * metric k. */
struct pv_scores_mean { double mean, sd; size_t n; };
struct pv_scores_mean pv_scores_mean(const struct pv_scores *s, int k);
/* Bootstrap of that mean, 95 %, seed 1: so many resamples that the interval's ends stand still. CRLN's 100 are in
 * evaluation_*.json. */
enum { PV_SCORES_RESAMPLES = 2000 };
struct pv_bootstrap pv_scores_bootstrap(const struct pv_scores *s, int k);
/* Of one class (its key in the JSON): mean of the cases that have a value, and the bootstrap's interval; shares in
 * percent. */
struct pv_scores_class { double mean, low, high; };
struct pv_scores_class pv_scores_class(const struct pv_scores *s, const char *class, int k);
int pv_scores_metric(const struct pv_scores *s, enum pv_metric_id id);         /* place in metric[], -1 */

double pv_scores_value(const struct pv_scores *s, const char *id, int k);        /* NaN: no such case or no value */

/* Paired comparison of metric `id` on the cases that both have: differences a - b. NaN probabilities where fewer than
 * two pairs exist. The one-sided probabilities are those of such a result if a were not better than b. */
struct pv_scores_pair {
    size_t n, better;                   /* pairs; those in which a is better */
    double difference, p_t, p_wilcoxon;             /* mean of a - b; one-sided */
    double p_t_two, p_wilcoxon_two;
};
struct pv_scores_pair pv_scores_compare(const struct pv_scores *a, const struct pv_scores *b, enum pv_metric_id id);

/* ---- texts and JSON of several (compare.c) ---- */

/* "0.0438 / 0.0876": one-sided and two-sided. pv_free it. */
char *pv_scores_p_text(double one_sided, double two_sided);
/* A table of means and standard deviations with the bootstrap's interval of the first metric; then every one but the
 * first against the first, metric by metric, with both probabilities. n >= 1. pv_free it. */
char *pv_scores_text(const struct pv_scores *s, const char *const *names, int n);
/* The same for programs: {"runs": [{"name", "cases", metric: {"mean", "sd", "n"}}], "against": NAME,
 * "pairs": [{"run", "metric", "n", "better", "difference", "p_t", "p_wilcoxon", "p_t_two", "p_wilcoxon_two"}]}. */
pv_json *pv_scores_json(const struct pv_scores *s, const char *const *names, int n);
/* Runs that differ in their seed: each one's means, below their mean and standard deviation (ddof 1) over the runs. */
char *pv_scores_seeds_text(const struct pv_scores *s, const int64_t *seeds, int n);
pv_json *pv_scores_seeds_json(const struct pv_scores *s, const int64_t *seeds, int n);

#endif
