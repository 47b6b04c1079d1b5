/* SPDX-License-Identifier: Apache-2.0
 * Checkpoints: one safetensors file with every network (net.NAME.KEY), optimiser (optim.NAME.momentum) and state
 * (state.NAME) that the method registered, and in its metadata the number of steps done and what else a run needs to
 * go on with the same bits. Written whole, synced and renamed; a kill at any moment leaves the old or the new one. */
#ifndef TRAIN_CKPT_H
#define TRAIN_CKPT_H

#include "method/method.h"

struct pv_ckpt_info {
    int64_t steps;              /* done */
    int64_t volume_passes;
    double seconds;             /* of training so far */
    double best;                /* validation Dice of best.safetensors, -1: none */
    bool pending;               /* the validation behind that step was interrupted and is still to be done */
    char method[24], device[256];
    char version[32];           /* of protovox, "" if it does not say */
};

/* False after a fault that names file and remedy (disk full); the old file is untouched. Waits for the device. */
bool pv_ckpt_save(struct pv_run *r, const char *path, const struct pv_ckpt_info *info);
/* Whether the disk of the run folder has room: PV_FAULT_INPUT with file and remedy if not for one checkpoint, a warning
 * if not for all that are there at once. replaced: those of an older run there are going to be removed. */
bool pv_ckpt_room(const struct pv_run *r, const char *dir, bool replaced);
/* Restores a run made from the same configuration. Faults: not a checkpoint, damaged (by its checksum), of another
 * method or network. */
bool pv_ckpt_load(struct pv_run *r, const char *path, struct pv_ckpt_info *info);
/* What a checkpoint says about itself; reads the header only. */
bool pv_ckpt_peek(const char *path, struct pv_ckpt_info *info);

#endif
