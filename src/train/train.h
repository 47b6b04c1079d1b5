/* SPDX-License-Identifier: Apache-2.0
 * Training a method on a data set into a run folder: config.json, log.txt, metrics.csv, TensorBoard events,
 * latest.safetensors, final.safetensors, training.json (what it cost) and, with a validation list,
 * best.safetensors; progress.png with every checkpoint, report.html when training ends or is stopped. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "data/dataset.h"
#include "data/store.h"
#include "eval/table.h"
#include "method/method.h"

struct pv_train_args {
    const char *data, *out;     /* data set; run folder (made; must not hold a run unless resume) */
    const char *lists;          /* folder of the lists, NULL: in the data set */
    pv_json *config;            /* resolved; taken over. NULL with resume: config.json of the folder */
    pv_dev *dev;                /* borrowed */
    bool resume;
    bool overwrite;             /* a run that is there is replaced */
    bool quiet;
    int64_t stop_after;         /* steps in all after which to stop with a checkpoint; 0: at the end */
    const char *command;        /* as typed, for config.json; may be NULL. With resume the first one stays */
    const char *shorter;        /* what to do where it takes long; NULL: fewer iterations */
    const char *lines;          /* of log.txt, from before this call (pv_log_keep); may be NULL */
    /* Called after every step; false stops with a checkpoint. May be NULL. */
    bool (*on_step)(void *user, int64_t done, int64_t total);
    void *user;
};

typedef struct pv_trainer pv_trainer;
enum pv_train_state { PV_TRAIN_MORE, PV_TRAIN_DONE, PV_TRAIN_STOPPED, PV_TRAIN_FAILED };

pv_trainer *pv_trainer_open(const struct pv_train_args *a);     /* NULL after a fault */
/* One step, with what is due around it (round of active learning, checkpoint, validation, logs). DONE once
 * final.safetensors is written, or where a round waits for labels. */
enum pv_train_state pv_trainer_step(pv_trainer *t);
struct pv_run *pv_trainer_run(pv_trainer *t);
int64_t pv_trainer_done(const pv_trainer *t);
/* The newest logged value of a column of metrics.csv and its iteration (from 1); false if there is none yet. */
bool pv_trainer_value(const pv_trainer *t, const char *name, double *value, int64_t *iter);
void pv_trainer_close(pv_trainer **t);

/* Opens, steps to the end, closes. */
enum pv_train_state pv_train(const struct pv_train_args *a);

#endif
