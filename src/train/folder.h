/* SPDX-License-Identifier: Apache-2.0
 * The folder of a run while it is trained: made, locked, cleared of what an older run left. */
#ifndef TRAIN_FOLDER_H
#define TRAIN_FOLDER_H

#include <stdbool.h>

#include "platform/platform.h"

struct pv_folder {
    const char *path;           /* the caller's */
    pv_filelock *lock;          /* NULL: not taken, or a drive without locks */
    int made;                   /* folders above and with `path` that were not there before */
};

/* False after a fault: no run to resume, a run that neither resume nor overwrite may touch, a folder that cannot be
 * made or that another training uses. f: zeroed. */
bool pv_folder_take(struct pv_folder *f, const char *path, bool resume, bool overwrite);
/* Removes what killed writers left and, to overwrite, the results of the run that was there. */
void pv_folder_clear(const struct pv_folder *f, bool overwrite);
/* Of a run that did not begin nothing stays: lock file and empty folders that were made for it. */
void pv_folder_undo(struct pv_folder *f);
void pv_folder_drop(struct pv_folder *f);       /* unlocks */

#endif
