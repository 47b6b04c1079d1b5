/* SPDX-License-Identifier: Apache-2.0
 * Between resize.c and ref/resize.c. */
#ifndef OPS_RESIZE_IMPL_H
#define OPS_RESIZE_IMPL_H

#include "ops/op.h"
#include "ops/resize.h"

/* Dense arrays of double, `units` grids of si voxels in, so out. */
void ref_resize(const double *x, double *y, int units, const int si[3], const int so[3], enum pv_resize mode);
void ref_resize_back(const double *dy, double *dx, int units, const int si[3], const int so[3], enum pv_resize mode,
                     bool accum);

#endif
