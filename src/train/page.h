/* SPDX-License-Identifier: Apache-2.0
 * report.html and progress.png of runs, made from what lies in their folders: config.json, metrics.csv, the newest
 * weights' metadata, evaluation_SPLIT.json and pictures_SPLIT.safetensors (test before val before train). No device. */
#ifndef TRAIN_PAGE_H
#define TRAIN_PAGE_H

#include "base/base.h"

struct pv_page {
    const char *const *runs;    /* folders; one: its report, several: a comparison, the first against each other */
    int num_runs;
    const char *title, *note;   /* NULL: from the configuration; none */
    bool anonymous;             /* names of cases, runs, the data set and paths are hidden */
    bool no_images;
    bool maybe_empty;           /* metrics.csv may be missing: a run that just begins or was resumed at its end */
};

enum { PV_PAGE_MOST_RUNS = 8 };

/* Writes the page whole or not at all. False with PV_FAULT_INPUT naming the file: no run, no metrics, something
 * damaged. */
bool pv_page_write(const struct pv_page *p, const char *path);
/* RUN/progress.png: the curves of metrics.csv. Nothing happens while there are no rows. */
bool pv_page_progress(const char *run);

#endif
