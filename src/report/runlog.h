/* SPDX-License-Identifier: Apache-2.0
 * metrics.csv of a run: its format, its reader, and which columns are drawn together.
 *
 * The first line names the columns, separated by commas, the first is "iter" (whole numbers). Then a line
 * per logged iteration, or several; an empty cell was not logged there, "nan" and "inf" are values. Columns
 * belong together by their names:
 *   loss... ..._loss                                     losses
 *   lr... weight... w_... ema... ..._lr ..._weight       learning rate and weights
 *   sec... time...                                       seconds
 *   val... dice... ..._dice                              validation (0 to 1)
 *   anything else                                        further values
 */
#ifndef REPORT_RUNLOG_H
#define REPORT_RUNLOG_H

#include "report/curves.h"

struct pv_runlog {
    size_t num_rows, num_cols;      /* columns without "iter" */
    char **names;                   /* [num_cols] */
    double *iter;                   /* [num_rows], ascending */
    double *values;                 /* [num_cols][num_rows]; NaN also where nothing was logged */
    uint8_t *logged;                /* [num_cols][num_rows]: 1 if the cell held a value */
};

/* A last line without its line end, or with too few cells, was cut by a crash and is left out. Lines of the
 * same iteration make one row. Where the iteration falls, a run was resumed: later rows are dropped. False
 * with PV_FAULT_INPUT (file, line, what is wrong) for anything else. */
bool pv_runlog_read(const char *path, struct pv_runlog *log);
void pv_runlog_free(struct pv_runlog *log);             /* leaves zeros; NULL safe */
int  pv_runlog_find(const struct pv_runlog *log, const char *name);     /* column or -1 */

/* One plot for each group of columns that has values, in the order above; only the logged rows of a
 * column make its curve. The strings in the plots stay the log's: free the plots first. */
struct pv_runlog_plots { struct pv_plot *plots; size_t num; };
void pv_runlog_plots(const struct pv_runlog *log, struct pv_runlog_plots *out);
void pv_runlog_plots_free(struct pv_runlog_plots *p);   /* leaves zeros; NULL safe */

/* progress.png: these plots below each other. */
bool pv_runlog_png(const struct pv_runlog *log, const char *path);

#endif
