/* SPDX-License-Identifier: Apache-2.0
 * report.html: one file that needs nothing else. No network (a content security policy forbids it), pictures
 * inside, readable without JavaScript (which only turns the film of slices into a slider and adds keys), light
 * and dark, printable. It is HTML 5 and well-formed XML at once. Every string is escaped; none may contain
 * markup. Sections whose data are missing are left out. */
#ifndef REPORT_HTML_H
#define REPORT_HTML_H

#include "report/curves.h"
#include "report/overlay.h"

struct pv_report_row { const char *key, *value; };

struct pv_report_metric {
    const char *name, *unit;    /* "Dice", "95HD"; unit NULL or "" if it has none */
    bool higher_is_better;
    int decimals;
};

struct pv_report_case {
    const char *id;
    const double *values;       /* [num_metrics]; NaN: not defined, and counted as worst */
    const struct pv_layers *mosaic, *strip;     /* or NULL */
    const char *note;           /* beside the id above the pictures; NULL: none */
};

struct pv_report_grid {         /* a table of texts */
    const char *title;          /* or NULL */
    size_t rows, cols;
    const char *const *head;    /* [cols] */
    const char *const *cells;   /* [rows][cols]; NULL: empty */
};

struct pv_report_bars {         /* horizontal bars from 0 */
    const char *title, *unit;
    size_t num;
    const char *const *labels;  /* [num] */
    const double *values;       /* [num]; negative and undefined ones have no bar */
};

struct pv_report_tile { const char *value, *spread, *label; };      /* "87.3 %", "\u00b1 4.1" or NULL, "Dice of mt" */

struct pv_report_picture { const char *caption, *alt; const struct pv_image *image; };

/* A section of its own: annotation (selected slices, Dice against budget), benchmarks, comparisons. */
struct pv_report_panel {
    const char *title, *note;
    bool early;                 /* stands before results, curves and pictures */
    const struct pv_report_grid *grids;
    size_t num_grids;
    const struct pv_plot *plots;
    size_t num_plots;
    const struct pv_report_bars *bars;
    size_t num_bars;
    const struct pv_report_picture *pictures;
    size_t num_pictures;
    const char *json;           /* shown as text below; NULL: none */
};

/* Nothing is owned; zeros leave parts out. */
struct pv_report {
    const char *title, *subtitle;
    const struct pv_report_tile *tiles;         /* large numbers on top; none: a mean per metric */
    size_t num_tiles;
    const struct pv_report_row *header;         /* method, data set, cases, device, driver, seed, time */
    size_t num_header;
    const struct pv_report_metric *metrics;     /* the first decides what is worst */
    size_t num_metrics;
    const struct pv_report_case *cases;
    size_t num_cases;
    const char *cases_note;                     /* which split, which tool; NULL: none */
    const struct pv_plot *plots;
    size_t num_plots;
    const struct pv_report_panel *panels;
    size_t num_panels;
    const char *command, *config;               /* as typed; JSON */
    const struct pv_report_row *environment;    /* versions, hashes of lists */
    size_t num_environment;
    const char *intended_use, *limits;          /* NULL: a general text for research software */
    const struct pv_report_row *card;           /* further rows of the model card */
    size_t num_card;
    const char *footer;                         /* "protovox 0.1.0, 2026-01-31" */

    /* Case names become "case-001" (cases in their order, then private_ids) wherever they stand in a text, in
     * any mixture of large and small letters; of paths only the last part stays. Pictures that the caller
     * made are not looked at: pv_overlay_flat() writes the id into the picture. */
    bool anonymous_ids;
    const char *const *private_ids;             /* further names to hide: training cases */
    size_t num_private_ids;
    bool no_images;                             /* leaves out every picture of a volume; curves stay */
};

bool pv_report_text(const struct pv_report *r, struct pv_str *out);     /* appends; false: a picture failed */
bool pv_report_write(const struct pv_report *r, const char *path);      /* appears whole or not at all */

#endif
