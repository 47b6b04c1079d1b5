/* SPDX-License-Identifier: Apache-2.0
 * pace.h. */
#include "train/pace.h"

double pv_pace_ended(struct pv_pace *p, int64_t iter, int n, uint64_t now_ns)
{
    enum { WARM_UP = 2, WINDOW = 50 };  /* the first two of a session compile kernels */
    double seconds = (double)(now_ns - p->last_ns) / 1e9 / n;
    int64_t before = p->steps;
    p->last_ns = now_ns;
    p->steps += n;
    if (p->steps < WARM_UP)
        return seconds;
    if (before < WARM_UP || iter - p->mark[1].iter >= WINDOW) {
        p->mark[0] = p->mark[1];
        p->mark[1].iter = iter;
        p->mark[1].ns = now_ns;
    }
    if (before < WARM_UP)
        p->mark[0] = p->mark[1];
    if (iter > p->mark[0].iter)
        p->per_step = (double)(now_ns - p->mark[0].ns) / 1e9 / (double)(iter - p->mark[0].iter);
    return seconds;
}

int pv_pace_ahead(const struct pv_pace *p, int parts, int most)
{
    double n = p->per_step > 0 ? parts / p->per_step : 2;
    return n < 2 ? 2 : n < most ? (int)n : most;
}
