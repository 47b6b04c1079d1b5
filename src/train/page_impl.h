/* SPDX-License-Identifier: Apache-2.0
 * What the files that make report.html of runs share. */
#ifndef TRAIN_PAGE_IMPL_H
#define TRAIN_PAGE_IMPL_H

#include "base/json.h"
#include "eval/metrics.h"
#include "report/html.h"
#include "report/pictures.h"
#include "report/runlog.h"
#include "train/page.h"
#include "train/scores.h"

/* A run folder in memory. */
struct page_run {
    const char *folder;
    char *name;                         /* the folder's last part; the whole path where two runs share it */
    const char *brief;                  /* the same for headings; the page's */
    pv_json *config;
    struct pv_scores s;                 /* zero before an evaluation */
    struct pv_runlog log;
    struct pv_runlog_plots plots;
    struct pv_pictures pictures;
    int64_t steps;                      /* done, by the weights; -1: there are none */
    double seconds;                     /* of training */
};
bool page_run_read(struct page_run *r, const char *folder, bool maybe_empty);
void page_run_free(struct page_run *r);
/* For an anonymous page (page_hide.c): the run is called A, B, ... by its number; the name of its data set and the
 * paths of its command go. */
void page_run_hide(struct page_run *r, int number);

/* "87.31" as the page shows metric k. */
void page_number(const struct page_run *r, int k, double v, char out[32]);

/* Texts that live as long as the page. */
struct page_texts { char **v; size_t n, cap; };
const char *page_keep(struct page_texts *t, char *owned);
void page_texts_free(struct page_texts *t);

/* Rows about a run: method, data, device, ... Room for PAGE_MOST_ROWS; returns how many. */
enum { PAGE_MOST_ROWS = 20 };
size_t page_rows(const struct page_run *r, struct page_texts *t, struct pv_report_row *row);

#endif
