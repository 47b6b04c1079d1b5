/* SPDX-License-Identifier: Apache-2.0
 * A chart of ratios with their spread: a row per thing, a dot with a whisker per series, on a logarithmic scale. */
#ifndef REPORT_RATIOS_H
#define REPORT_RATIOS_H

#include "base/base.h"

struct pv_ratio { double lo, mid, hi; };        /* mid <= 0 or NaN: none */

struct pv_ratio_chart {
    const char *title, *base;                   /* what has the ratio 1, for the legend */
    const char *x_label;                        /* NULL: none */
    size_t rows, num;                           /* series */
    const char *const *row_names;               /* [rows]; "" makes a gap */
    const char *const *names;                   /* [num] */
    const struct pv_ratio *v;                   /* [rows][num] */
};

/* A whole SVG document, well-formed XML; colours and their order are those of pv_curves_svg. */
void pv_ratios_svg(struct pv_str *out, const struct pv_ratio_chart *c);

#endif
