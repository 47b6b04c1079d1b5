/* SPDX-License-Identifier: Apache-2.0
 * The data side of training: data set, store, loader by the configuration, and the way of a batch to the device. */
#ifndef TRAIN_BATCH_H
#define TRAIN_BATCH_H

#include "data/loader.h"
#include "method/method.h"

/* How labels are made sparse while volumes are read, and what is shown meanwhile. */
struct pv_feed_edit { bool cross, quiet; int slices; };

struct pv_feed {
    pv_dataset *ds;
    pv_store *store;            /* labelled training cases first, then unlabelled */
    int num_labeled, num_unlabeled;
    int *labeled, *unlabeled;   /* store indices, in the order in which they are sampled */
    int *slices;                /* of each item of the store, where a 2D network sees them one by one; else NULL */
    struct pv_feed_edit *edit;
    pv_loader *loader;
    int stage;                  /* the loader's */
};

/* Opens the data set and resolves what the configuration leaves to it: classes, channels, the ids of labelled and
 * unlabelled cases ("cases"; on resume they are taken from there), for preset auto patch and stride. unlabeled: the
 * method uses unlabelled cases. */
pv_dataset *pv_feed_resolve(pv_json *config, const char *data, const char *lists, bool unlabeled);
/* Reads the volumes; the loader starts with the first step. Takes ds over. Labels of training cases become sparse as
 * data.annotation says (cross: data.slices slices per axis stay, data/cross.h); evaluation reads its own, dense. */
bool pv_feed_open(struct pv_feed *f, pv_dataset *ds, const pv_json *config, bool quiet);
/* Moves cases (a list of ids) from the unlabelled to the labelled ones; the next step gets a new loader. */
bool pv_feed_reveal(struct pv_feed *f, const pv_json *ids);
/* The loader for the run's stage, from its current step. */
bool pv_feed_stage(struct pv_feed *f, const struct pv_run *r);
/* Where the run's method asks for a pass over the labelled samples before this step (method.h: prepare), gives it. */
bool pv_feed_prepare(struct pv_feed *f, struct pv_run *r);
/* The batch of the next step on the device; references owned by the caller. */
bool pv_feed_next(struct pv_feed *f, struct pv_run *r, struct pv_patches *out);
void pv_feed_close(struct pv_feed *f);

struct pv_dataset_params pv_config_dataset(const pv_json *config, const char *lists);
struct pv_load pv_config_load(const pv_json *config);

#endif
