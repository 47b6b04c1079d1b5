/* SPDX-License-Identifier: Apache-2.0
 * Reference of resizing: per axis, every output is a weighted sum of at most two inputs; the gradient spreads it
 * back with the same weights. */
#include <math.h>

#include "ops/resize_impl.h"

struct tap { int at[2]; double w[2]; };

static struct tap tap_of(int o, int ni, int no, enum pv_resize mode)
{
    if (mode == PV_NEAREST)
        return (struct tap){{(int)((int64_t)o * ni / no), 0}, {1, 0}};
    double p = 0;
    if (mode == PV_LINEAR)
        p = fmax(0, (o + 0.5) * ni / no - 0.5);
    else if (no > 1)
        p = (double)o * (ni - 1) / (no - 1);
    int i = (int)p;
    double f = p - i;
    return (struct tap){{i, i + 1 < ni ? i + 1 : i}, {1 - f, f}};
}

static void walk(const double *from, double *to, int units, const int si[3], const int so[3], enum pv_resize mode,
                 bool back)
{
    int64_t vi = (int64_t)si[0] * si[1] * si[2], vo = (int64_t)so[0] * so[1] * so[2];
    for (int u = 0; u < units; u++)
        for (int64_t o = 0; o < vo; o++) {
            struct tap x = tap_of((int)(o / so[2] / so[1]), si[0], so[0], mode);
            struct tap y = tap_of((int)(o / so[2] % so[1]), si[1], so[1], mode);
            struct tap z = tap_of((int)(o % so[2]), si[2], so[2], mode);
            double sum = 0;
            for (int k = 0; k < 8; k++) {
                int a = k >> 2, b = k >> 1 & 1, c = k & 1;
                double w = x.w[a] * y.w[b] * z.w[c];
                int64_t i = u * vi + ((int64_t)x.at[a] * si[1] + y.at[b]) * si[2] + z.at[c];
                if (w != 0 && back)
                    to[i] += w * from[u * vo + o];
                else if (w != 0)
                    sum += w * from[i];
            }
            if (!back)
                to[u * vo + o] = sum;
        }
}

void ref_resize(const double *x, double *y, int units, const int si[3], const int so[3], enum pv_resize mode)
{
    walk(x, y, units, si, so, mode, false);
}

void ref_resize_back(const double *dy, double *dx, int units, const int si[3], const int so[3], enum pv_resize mode,
                     bool accum)
{
    for (int64_t i = 0; i < (int64_t)units * si[0] * si[1] * si[2] && !accum; i++)
        dx[i] = 0;
    walk(dy, dx, units, si, so, mode, true);
}
