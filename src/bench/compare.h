/* SPDX-License-Identifier: Apache-2.0
 * Results side by side. A file (docs/bench.md) holds one side, or several ("peers step", "peers ops"); a side is a
 * list of measurements, and those of the same name are compared: same op, channels, kernel, stride, input size, batch
 * and phase; same step, network, filters, classes, patch and batch. */
#ifndef BENCH_COMPARE_H
#define BENCH_COMPARE_H

#include "base/json.h"

/* lo and hi: the quartiles, or the least and the greatest where a file has no others; all three are positive. */
struct pv_measure {
    char *name;                 /* also what identifies it */
    const char *unit;           /* "ms", "MiB" */
    double lo, mid, hi;
};

struct pv_side {
    char *name;                 /* unique among the sides of a comparison */
    char *about;                /* device, driver, program, date; NULL: unknown */
    char *skipped;              /* why nothing was measured; NULL: something was */
    struct pv_measure *v;
    size_t n;
};

struct pv_sides { struct pv_side *v; size_t n; };       /* start with {0} */

/* Adds the sides of a result that was read from `path` (for messages, and for names that come twice). `name` (may be
 * NULL) is what the user calls it. PV_FAULT_INPUT in one line for a file that is no such result; of several
 * measurements of one name (implementations) the fastest stays. */
bool pv_sides_read(struct pv_sides *s, const char *path, const char *name);
bool pv_sides_add(struct pv_sides *s, const pv_json *result, const char *path, const char *name);
void pv_sides_free(struct pv_sides *s);

/* Ratios to the first side that was measured, spread lo / base hi .. hi / base lo. An object of kind "comparison"
 * (docs/bench.md); NULL with PV_FAULT_INPUT if there are less than two sides, or no side has anything in common with
 * the first. */
pv_json *pv_compare(const struct pv_sides *s);
void pv_compare_print(const pv_json *comparison);
bool pv_compare_svg(const pv_json *comparison, const char *path);
bool pv_compare_markdown(const pv_json *comparison, const char *path);

#endif
