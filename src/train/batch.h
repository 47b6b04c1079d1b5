/* SPDX-License-Identifier: Apache-2.0
 * The data side of training: data set, store, loader by the configuration, and the way of a batch to the device. */
#ifndef TRAIN_BATCH_H
#define TRAIN_BATCH_H

#include "data/loader.h"
#include "method/method.h"

struct pv_feed {
    pv_dataset *ds;
    pv_store *store;            /* labelled training cases first, then unlabelled */
    int num_labeled, num_unlabeled;
    int *items;                 /* store indices 0 .. n - 1 */
    pv_loader *loader;
    int stage;                  /* the loader's */
};

/* Opens the data set and resolves what the configuration leaves to it: classes, channels, the ids of labelled and
 * unlabelled cases ("cases"; on resume they are taken from there), for preset auto patch and stride. */
pv_dataset *pv_feed_resolve(pv_json *config, const char *data, const char *lists, bool unlabeled);
/* Reads the volumes; the loader starts with the first step. Takes ds over. */
bool pv_feed_open(struct pv_feed *f, pv_dataset *ds, const pv_json *config, bool quiet);
/* The loader for the run's stage, from its current step. */
bool pv_feed_stage(struct pv_feed *f, const struct pv_run *r);
/* The batch of the next step on the device; references owned by the caller. */
bool pv_feed_next(struct pv_feed *f, struct pv_run *r, struct pv_patches *out);
void pv_feed_close(struct pv_feed *f);

struct pv_dataset_params pv_config_dataset(const pv_json *config, const char *lists);
struct pv_load pv_config_load(const pv_json *config);

#endif
