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

/* ---- where all channels of a voxel meet ---- */

/* A piece of a BLOCKED tensor: whole samples, or x-planes of one block of one sample. */
enum { PIECE_SIDES = 6 };
struct piece { int n0, nn, b0, nb, x0, nx; bool whole, started; };
/* Steps through t[0]; start with all 0. The other tensors (PIECE_SIDES in all at most) are BLOCKED and of its shape, or
 * PLAIN on its samples. x-planes change fastest, then blocks, then samples. */
bool piece_next(struct piece *p, int num, pv_tensor *const *t);
/* Binds the piece of BLOCKED t as buffer i; returns where voxel (0, 0, 0) of its first plane is. */
int piece_bind(struct pv_launch *l, int i, pv_tensor *t, const struct piece *p);
/* Binds PLAIN t from the piece's first sample and plane on (one channel: the planes; else all that follows). */
void piece_bind_plain(struct pv_launch *l, int i, pv_tensor *t, const struct piece *p);

/* Whether `elements` of t can be bound at once. */
bool span_fits(const pv_tensor *t, int64_t elements);
/* How many of `left` samples, from sample `first` of t, can be bound at once; at least 1. */
int span_samples(pv_tensor *t, int first, int left);

#endif
