/* SPDX-License-Identifier: Apache-2.0
 * How fast steps end on a device that the host runs ahead of: seconds of each, the pace, and how far ahead to be. */
#ifndef TRAIN_PACE_H
#define TRAIN_PACE_H

#include <stdint.h>

struct pv_pace {
    uint64_t last_ns;           /* when steps were last found to have ended; set by the user when the clock starts */
    int64_t steps;              /* that have ended */
    double per_step;            /* seconds, without the first two, over the last 50 to 100; 0: not known yet */
    struct { int64_t iter; uint64_t ns; } mark[2];
};

/* `n` steps, the last of number `iter`, are found to have ended at `now_ns`. Returns seconds of each: they share the
 * time since the last that were found. The pace is known once some are found after the first two. */
double pv_pace_ended(struct pv_pace *p, int64_t iter, int n, uint64_t now_ns);

/* Batches that may wait for the device, where a step has `parts` of them: about a second of work, so that a signal is
 * obeyed soon, at least two, so that the device always has work, at most `most`. */
int pv_pace_ahead(const struct pv_pace *p, int parts, int most);

#endif
