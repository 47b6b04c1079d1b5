/* SPDX-License-Identifier: Apache-2.0
 * What drawing a plot as SVG and on a canvas have in common. */
#ifndef REPORT_CURVES_IMPL_H
#define REPORT_CURVES_IMPL_H

#include "report/axis.h"
#include "report/curves.h"

struct line {
    double *x, *y;          /* 0..1 of the plot area, y upwards; NaN: gap */
    size_t n;
};

struct chart {
    struct pv_axis x, y;
    size_t num;
    struct line *raw, *mean;        /* [num]; n = 0 where there is none */
    double *last;                   /* [num]: last finite value (of the mean if there is one), else NaN */
    size_t points;                  /* finite points in all */
};

/* `columns`: how many points beside each other the place can show. */
void pv_chart_make(struct chart *c, const struct pv_plot *p, int columns, int most_x, int most_y);
void pv_chart_free(struct chart *c);

#endif
