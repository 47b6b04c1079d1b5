/* SPDX-License-Identifier: Apache-2.0
 * Curves of a run as SVG text and on a canvas, with the same scales, colours and thinning. */
#ifndef REPORT_CURVES_H
#define REPORT_CURVES_H

#include "report/canvas.h"

/* A curve; the arrays stay the caller's. x or y that is not finite makes a gap. */
struct pv_series {
    const char *name;
    size_t n;
    const double *x, *y;
};

struct pv_plot {
    const char *title;                      /* NULL: none */
    const char *x_label, *y_label;          /* NULL: none */
    bool log_y;                             /* values <= 0 become gaps; linear if there are no others */
    bool whole_x;                           /* x counts something */
    int smooth;                             /* > 1: a mean over so many points is drawn over pale values */
    double x_lo, x_hi, y_lo, y_hi;          /* lo < hi: fixed range, else from the values */
    const struct pv_series *series;
    size_t num;
};

enum { PV_SERIES_COLORS = 8 };
/* Told apart by readers with any kind of colour vision; [1]: for dark ground. From the ninth series on
 * the colours come again with dashes. */
extern const uint32_t pv_series_color[2][PV_SERIES_COLORS];

/* Appends one <svg> element for a page: it takes the width of what it stands in, its text takes the CSS
 * variables --fg, --muted and --grid, and its lines --s0 to --s7, where the page sets them. It is well-formed
 * XML; every text is escaped. Thousands of points are thinned to what the width can show; the lowest and
 * the highest stay. */
void pv_curves_svg(struct pv_str *out, const struct pv_plot *p);

/* One plot in a rectangle of an RGB image, dark on white. */
void pv_curves_draw(struct pv_image *im, int x, int y, int w, int h, const struct pv_plot *p);

/* The plots below each other, written as a PNG of 1200 pixels width. */
bool pv_curves_png(const char *path, const struct pv_plot *plots, size_t num);

#endif
