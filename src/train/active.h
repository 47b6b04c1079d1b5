/* SPDX-License-Identifier: Apache-2.0
 * Active cross-annotation (MF-ConS section 2.1): in rounds, the unlabelled training cases on whose prediction the
 * network is least sure are chosen, a person paints three orthogonal slices of each, and training goes on with them.
 *
 * Settings "active": rounds (0: off), initial (cases labelled at the start), add (cases per round), first (random or
 * list: which cases are the initial ones), warmup and every (rounds come before iterations warmup + i every, counted
 * at reference length), strategy (entropy or random), simulate (labels that the data set has play the person).
 * initial and add of 0 share data.labeled, the final number, evenly: add = labeled / (rounds + 1), initial = what is
 * left. Without simulate the run starts with the cases that have a label and stops at each round until the chosen ones
 * are painted.
 *
 * What is labelled when stands in config.json: "cases" holds the initial "labeled" and "unlabeled" ids, and "rounds",
 * a list of {"iteration", "labeled"}: before that iteration these ids joined. A run that resumes at an earlier
 * iteration forgets later rounds and comes to the same choice again. */
#ifndef TRAIN_ACTIVE_H
#define TRAIN_ACTIVE_H

#include "data/cross.h"
#include "train/batch.h"
#include "train/infer.h"

struct pv_active {
    int rounds, initial, add;
    double warmup, every;
    bool random, simulate;
};
struct pv_active pv_active_of(const pv_json *config);
/* Divides the training cases of a new run and writes initial and add to the configuration. labeled, unlabeled: room
 * for all training cases. PV_FAULT_USAGE or _INPUT naming the setting: budget too large, too small, no labels. */
bool pv_active_start(pv_json *config, const pv_dataset *ds, int *labeled, int *num_labeled, int *unlabeled,
                     int *num_unlabeled);
/* Iteration before which round (0 .. rounds - 1) comes, -1 if there is no such round. */
int64_t pv_active_iteration(const struct pv_run *r, int round);
/* False with PV_FAULT_USAGE if the last round comes too late to matter. */
bool pv_active_check(const struct pv_run *r);

/* ---- ranking ---- */

/* A case, how unsure the prediction is, and which slices of it to paint. */
struct pv_candidate {
    int index, item;            /* case of the data set; the caller's */
    double score;
    bool chosen, object;        /* object: the prediction holds one */
    struct pv_cross slices;     /* of the chosen ones: voxel indices along the axes of the file */
};

/* Mean over all voxels of the normalised entropy -sum_c p_c ln(p_c + 1e-6) / ln C of prob [classes][n]. */
double pv_active_entropy(const float *prob, int classes, size_t n);
/* Predicts a prepared volume and sets score and object of c, and lo, hi: the predicted object's box (or all of the
 * volume) on the volume's grid. False after a fault. */
bool pv_active_score(struct pv_model *const *m, int num, const char *what, const struct pv_volume *v,
                     const struct pv_infer_opts *o, struct pv_candidate *c, int lo[3], int hi[3]);
/* k slices per axis through a box of the prepared grid, as indices along the axes of the file that `file` (sizes and
 * geometry as read) lies in. */
void pv_active_slices(const int lo[3], const int hi[3], int k, const struct pv_prep_map *map,
                      const struct pv_volume *file, struct pv_cross *out);
/* Random scores by (seed, round). */
void pv_active_random(uint64_t seed, int round, struct pv_candidate *c, int n);
/* Sorts by falling score, equal ones by case, and marks the first `budget` chosen. */
void pv_active_choose(struct pv_candidate *c, int n, int budget);
/* {"format", "strategy", "chosen": [{"id", "score", "object", "slices": {"i", "j", "k"}}], "ranking": [...]}; slices
 * are voxel indices from 0 along the axes of the file. */
pv_json *pv_active_manifest(const pv_dataset *ds, const struct pv_candidate *c, int n, const char *strategy);

/* ---- during training ---- */

/* Is a round due after `done` steps? */
bool pv_active_due(const struct pv_run *r, int64_t done);
/* Does the round that is due: ranks what the feed holds as unlabelled, writes active-ROUND.json into the folder and the
 * choice into the configuration, and shows the chosen labels to the feed. *wait is set where a person has to paint
 * first. */
bool pv_active_round(struct pv_feed *f, struct pv_run *r, int64_t done, const char *folder, bool quiet, bool *wait);
/* On resume: forgets rounds after `done` iterations and shows the others' labels to the feed. */
bool pv_active_resume(struct pv_feed *f, pv_json *config, int64_t done);

#endif
