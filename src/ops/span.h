/* SPDX-License-Identifier: Apache-2.0
 * Launching in shares, for ops whose tensors are seen as [units][x][y][z]: a unit is one channel (PLAIN) or one
 * block of 16 (BLOCKED) of one sample, and unit u of every tensor belongs together. A share is as many whole
 * units as a binding takes; where one unit is too large, a run of x-planes of it. Not for use above ops/. */
#ifndef OPS_SPAN_H
#define OPS_SPAN_H

#include "ops/op.h"

enum { SPAN_SIDES = 4 };

struct span {
    /* ---- by the caller; everything else starts as 0 ---- */
    int num;
    pv_tensor *t[SPAN_SIDES];       /* equal numbers of units */
    int planes;                     /* x-planes of the grid that is walked; a share is [x0, x0 + nx) of them */
    /* Planes of side k that planes [x0, x0 + nx) of the walked grid need. NULL: the same. */
    void (*need)(const struct span *s, int k, int x0, int nx, int *first, int *count);
    const void *ctx;
    /* ---- the share ---- */
    int u0, nu, x0, nx;
    bool whole;                     /* whole units */
    int first[SPAN_SIDES], count[SPAN_SIDES];   /* bound planes per side */
};

int span_units(const pv_tensor *t);
/* Steps to the next share; false: done. Every share of one unit covers other planes of the walked grid. */
bool span_next(struct span *s);
/* Binds side k as buffer i; returns where voxel (first[k], 0, 0) of unit u0 is. */
int span_bind(const struct span *s, struct pv_launch *l, int i, int k);

/* Whether `elements` of t can be bound at once. */
bool span_fits(const pv_tensor *t, int64_t elements);
/* How many of `left` samples, from sample `first` of t, can be bound at once; at least 1. */
int span_samples(pv_tensor *t, int first, int left);

#endif
