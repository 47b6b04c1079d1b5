/* SPDX-License-Identifier: Apache-2.0
 * Between shape.c (shapes, tape), shape_run.c (launches) and ref/shape.c (plain C). */
#ifndef OPS_SHAPE_IMPL_H
#define OPS_SHAPE_IMPL_H

#include "ops/op.h"

/* Channels of x in whole blocks, as far as copies of stored elements are concerned. */
static inline int shape_width(const pv_tensor *x)
{
    return x->h.layout == PV_BLOCKED ? pv_blocks(x->h.c) : x->h.c;
}

/* A part of a tensor: samples [n0, n0 + n), channels [c0, c0 + c). */
struct shape_part { pv_tensor *t; int n0, c0; };

/* dst (+)= src for n samples, c channels from the given ones on; same layout, grid and type. */
void shape_run_copy(const char *label, struct shape_part dst, struct shape_part src, int n, int c, bool accum);
/* plain (+)= blocked or, with `back`, blocked (+)= plain. */
void shape_run_layout(const char *label, pv_tensor *plain, pv_tensor *blocked, bool back, bool accum);
void shape_run_pool(pv_tensor *x, pv_tensor *y);
void shape_run_pool_back(pv_tensor *x, pv_tensor *dy, pv_tensor *dx, bool accum);

/* References: dense arrays of double. */
void ref_copy(double *dst, int dst_c, int dn0, int dc0, const double *src, int src_c, int sn0, int sc0, int n,
              int c, int64_t voxels, bool accum);
void ref_pool(const double *x, double *y, int units, const int si[3], const int so[3], int kx);
void ref_pool_back(const double *x, const double *dy, double *dx, int units, const int si[3], const int so[3],
                   int kx, bool accum);

#endif
