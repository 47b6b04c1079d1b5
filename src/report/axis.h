/* SPDX-License-Identifier: Apache-2.0
 * A scale of a chart: range, ticks at round numbers, and labels that are as long as they must be. */
#ifndef REPORT_AXIS_H
#define REPORT_AXIS_H

#include <stdbool.h>

enum { PV_AXIS_LOG = 1, PV_AXIS_EXTEND = 2, PV_AXIS_WHOLE = 4 };
enum { PV_AXIS_TICKS = 24, PV_AXIS_LABEL = 32 };

struct pv_axis {
    double lo, hi;              /* lo < hi; both positive on a logarithmic scale */
    bool log;
    int num;                    /* ticks, ascending, all in lo..hi */
    double tick[PV_AXIS_TICKS];
    char label[PV_AXIS_TICKS][PV_AXIS_LABEL];
};

/* `most` (1..10): about how many steps between ticks are wanted. LOG falls back to a linear scale unless
 * lo > 0; EXTEND moves lo and hi outwards to round numbers; WHOLE puts ticks at whole numbers only (for
 * iterations). A range that is empty, reversed or not finite is replaced by one around it. Values count up
 * to 1e300. */
void pv_axis_make(struct pv_axis *a, double lo, double hi, unsigned flags, int most);
/* Where v stands: 0 at lo, 1 at hi; NaN for what has no place (NaN, not positive on a log scale). Not
 * clamped. */
double pv_axis_at(const struct pv_axis *a, double v);

#endif
