/* SPDX-License-Identifier: Apache-2.0
 * Between map.c and ref/map.c. */
#ifndef OPS_MAP_IMPL_H
#define OPS_MAP_IMPL_H

#include "ops/args/map.h"
#include "ops/map.h"
#include "ops/plain.h"

/* How an operand relates to the result: the same shape, or repeated over channels, over channels and voxels, or
 * over everything. */
enum map_kind { MAP_FULL, MAP_CHAN, MAP_SAMPLE, MAP_SCALAR };

/* out (+)= f of the operands, summed over what `to` says that out lacks. */
struct map_plan {
    pv_dev *dev;
    int n, c;
    int64_t v;
    int op, num;
    float p, q;
    struct plain_view view[4];  /* operands, then [3] out */
    enum map_kind to;
    bool accum;
};

/* The whole plan on dense doubles. */
void ref_map(const struct map_plan *m);
void ref_cast(const double *x, double *y, int64_t count, int kind, int value);

#endif
