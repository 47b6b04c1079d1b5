/* SPDX-License-Identifier: Apache-2.0
 * References of depthwise convolution. */
#include "ops/depthwise_impl.h"

#include <stddef.h>
#include <stdint.h>

static int64_t volume(const struct dw_desc *d) { return (int64_t)d->s[0] * d->s[1] * d->s[2]; }

/* Voxel (x, y, z) of a channel; NULL outside. */
static const double *neighbour(const double *a, const struct dw_desc *d, int x, int y, int z)
{
    if (x < 0 || x >= d->s[0] || y < 0 || y >= d->s[1] || z < 0 || z >= d->s[2])
        return NULL;
    return a + ((int64_t)x * d->s[1] + y) * d->s[2] + z;
}

/* Voxels and taps in nested order; `tap` counts kx, ky, kz. */
#define EACH_VOXEL(d) \
    for (int x = 0; x < (d)->s[0]; x++) \
        for (int y = 0; y < (d)->s[1]; y++) \
            for (int z = 0; z < (d)->s[2]; z++)
#define EACH_TAP(d) \
    for (int tap = 0, kx = -((d)->kx / 2); kx <= (d)->kx / 2; kx++) \
        for (int ky = -1; ky <= 1; ky++) \
            for (int kz = -1; kz <= 1; kz++, tap++)

void ref_depthwise(const double *x_, const double *w, double *y_, const struct dw_desc *d, bool flip, bool accum)
{
    int sign = flip ? -1 : 1, taps = d->kx * 9;
    for (int u = 0; u < d->n * d->c; u++) {
        const double *in = x_ + u * volume(d), *wc = w + (u % d->c) * taps;
        double *out = y_ + u * volume(d);
        EACH_VOXEL(d) {
            double sum = 0;
            EACH_TAP(d) {
                const double *v = neighbour(in, d, x + sign * kx, y + sign * ky, z + sign * kz);
                sum += v ? *v * wc[tap] : 0;
            }
            double *o = out + ((int64_t)x * d->s[1] + y) * d->s[2] + z;
            *o = (accum ? *o : 0) + sum;
        }
    }
}

void ref_depthwise_wgrad(const double *x_, const double *dy, double *dw, const struct dw_desc *d, bool accum)
{
    int taps = d->kx * 9;
    for (int i = 0; i < d->c * taps && !accum; i++)
        dw[i] = 0;
    for (int u = 0; u < d->n * d->c; u++) {
        const double *in = x_ + u * volume(d), *g = dy + u * volume(d);
        double *out = dw + (u % d->c) * taps;
        EACH_VOXEL(d)
            EACH_TAP(d) {
                const double *v = neighbour(in, d, x + kx, y + ky, z + kz);
                out[tap] += v ? *v * g[((int64_t)x * d->s[1] + y) * d->s[2] + z] : 0;
            }
    }
}
