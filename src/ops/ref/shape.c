/* SPDX-License-Identifier: Apache-2.0
 * References of copies and max pooling. */
#include <math.h>

#include "ops/shape_impl.h"

void ref_copy(double *dst, int dst_c, int dn0, int dc0, const double *src, int src_c, int sn0, int sc0, int n,
              int c, int64_t voxels, bool accum)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < c; k++) {
            double *d = dst + ((int64_t)(dn0 + i) * dst_c + dc0 + k) * voxels;
            const double *s = src + ((int64_t)(sn0 + i) * src_c + sc0 + k) * voxels;
            for (int64_t v = 0; v < voxels; v++)
                d[v] = accum ? d[v] + s[v] : s[v];
        }
}

/* Where the maximum of window (x, y, z) of a grid `s` is. */
static int64_t find_max(const double *in, const int s[3], int x, int y, int z, int kx)
{
    int64_t best = -1;
    for (int i = 0; i < kx; i++)
        for (int j = 0; j < 2; j++)
            for (int k = 0; k < 2; k++) {
                int64_t at = ((int64_t)(x * kx + i) * s[1] + 2 * y + j) * s[2] + 2 * z + k;
                if (best < 0 || in[at] > in[best] || isnan(in[at]))
                    best = at;
            }
    return best;
}

static void pool(const double *x, const double *from, double *to, int units, const int si[3], const int so[3],
                 int kx, bool back)
{
    int64_t vi = (int64_t)si[0] * si[1] * si[2], o = 0;
    for (int u = 0; u < units; u++)
        for (int i = 0; i < so[0]; i++)
            for (int j = 0; j < so[1]; j++)
                for (int k = 0; k < so[2]; k++, o++) {
                    int64_t at = u * vi + find_max(x + u * vi, si, i, j, k, kx);
                    if (back)
                        to[at] += from[o];
                    else
                        to[o] = x[at];
                }
}

void ref_pool(const double *x, double *y, int units, const int si[3], const int so[3], int kx)
{
    pool(x, NULL, y, units, si, so, kx, false);
}

void ref_pool_back(const double *x, const double *dy, double *dx, int units, const int si[3], const int so[3],
                   int kx, bool accum)
{
    for (int64_t i = 0; i < (int64_t)units * si[0] * si[1] * si[2] && !accum; i++)
        dx[i] = 0;
    pool(x, dy, dx, units, si, so, kx, true);
}
