/* SPDX-License-Identifier: Apache-2.0
 * What a run leaves while it goes: metrics.csv (report/runlog.h reads it), TensorBoard events, log.txt, and the line
 * on the terminal. Rows come in order of iteration. */
#ifndef TRAIN_RUNLOG_H
#define TRAIN_RUNLOG_H

#include "base/base.h"

typedef struct pv_train_log pv_train_log;

enum { PV_LOG_COLS = 32 };
struct pv_log_row {
    int64_t iter;               /* steps done when it was logged, from 1 */
    int n;
    const char *name[PV_LOG_COLS];
    double value[PV_LOG_COLS];
};

/* Lines with their times as they stand in log.txt are added to `lines` from now on, until pv_log_keep_end(). For what
 * is logged before the run folder is known. */
void pv_log_keep(struct pv_str *lines);
void pv_log_keep_end(struct pv_str *lines);

/* Keeps what is logged until it is opened; `lines` (may be NULL) stand before that. */
pv_train_log *pv_train_log_new(const char *lines);
/* steps: rows beyond are cut away (resuming); 0 begins anew. more: log.txt is continued. quiet: no lines on the
 * terminal. False after a fault. */
bool pv_train_log_open(pv_train_log *l, const char *dir, int64_t steps, bool more, bool quiet);
/* An opened one only, as the next three. */
bool pv_train_log_row(pv_train_log *l, const struct pv_log_row *r);
/* Shows how far the run is: iteration, pace, time left, losses. On a terminal one line that is rewritten and cut to its
 * width; else a line each 15 s, later each minute and each five. seconds_per_step 0: not known yet. */
void pv_train_log_progress(pv_train_log *l, int64_t done, int64_t total, const struct pv_log_row *last,
                           double seconds_per_step);
bool pv_train_log_flush(pv_train_log *l);
bool pv_train_log_close(pv_train_log **l);      /* false if something could not be written; NULL safe */

#endif
