/* SPDX-License-Identifier: Apache-2.0
 * Convolution references: one relation, coarse voxel o meets fine voxel o * stride + tap - pad, walked three
 * ways. Weights are [coarse channel][fine channel][tap] in all of them, which is PyTorch's order for conv
 * (coarse = output) and for transposed conv (coarse = input). */
#include <string.h>

#include "ops/conv_impl.h"

/* Range of coarse indices that meet the fine grid at this tap: [*lo, *hi). */
static void meet(int tap, int pad, int stride, int fine, int coarse, int *lo, int *hi)
{
    int a = pad - tap > 0 ? (pad - tap + stride - 1) / stride : 0;
    int b = fine - 1 + pad - tap;
    b = b < 0 ? 0 : b / stride + 1;
    *lo = a < coarse ? a : coarse;
    *hi = b < coarse ? b : coarse;
}

enum walk { DOWN, UP, WGRAD };

static void walk(enum walk how, double *fine, double *coarse, double *w, int n, int cf, int cc,
                 const int sf[3], const int sc[3], const struct conv_desc *d)
{
    int64_t vf = (int64_t)sf[0] * sf[1] * sf[2], vc = (int64_t)sc[0] * sc[1] * sc[2];
    int taps = conv_taps(d), st = d->stride;
    for (int s = 0; s < n; s++)
        for (int o = 0; o < cc; o++)
            for (int i = 0; i < cf; i++)
                for (int tap = 0; tap < taps; tap++) {
                    int tz = tap % d->k[2], ty = tap / d->k[2] % d->k[1], tx = tap / d->k[2] / d->k[1];
                    int lx, hx, ly, hy, lz, hz;
                    /* a 2D map has one plane and no stride across it */
                    int stx = d->dims == 2 ? 1 : st;
                    meet(tx, d->pad[0], stx, sf[0], sc[0], &lx, &hx);
                    meet(ty, d->pad[1], st, sf[1], sc[1], &ly, &hy);
                    meet(tz, d->pad[2], st, sf[2], sc[2], &lz, &hz);
                    double *f = fine + (s * cf + i) * vf, *c = coarse + (s * cc + o) * vc;
                    double *wt = w + ((int64_t)o * cf + i) * taps + tap, wv = *wt, sum = 0;
                    for (int x = lx; x < hx; x++)
                        for (int y = ly; y < hy; y++) {
                            int64_t fx = x * stx + tx - d->pad[0], fy = y * st + ty - d->pad[1];
                            double *fr = f + (fx * sf[1] + fy) * sf[2] + tz - d->pad[2];
                            double *cr = c + ((int64_t)x * sc[1] + y) * sc[2];
                            if (how == DOWN)
                                for (int z = lz; z < hz; z++)
                                    cr[z] += wv * fr[z * st];
                            else if (how == UP)
                                for (int z = lz; z < hz; z++)
                                    fr[z * st] += wv * cr[z];
                            else
                                for (int z = lz; z < hz; z++)
                                    sum += fr[z * st] * cr[z];
                        }
                    if (how == WGRAD)
                        *wt += sum;
                }
}

static void start(double *out, const double *b, int n, int c, int64_t voxels)
{
    for (int s = 0; s < n; s++)
        for (int i = 0; i < c; i++)
            for (int64_t v = 0; v < voxels; v++)
                out[(s * c + i) * voxels + v] = b ? b[i] : 0;
}

void ref_conv_down(const double *fine, const double *w, const double *b, double *coarse, int n, int cf, int cc,
                   const int sf[3], const int sc[3], const struct conv_desc *d, bool accum)
{
    if (!accum)
        start(coarse, b, n, cc, (int64_t)sc[0] * sc[1] * sc[2]);
    walk(DOWN, (double *)(uintptr_t)fine, coarse, (double *)(uintptr_t)w, n, cf, cc, sf, sc, d);
}

void ref_conv_up(const double *coarse, const double *w, const double *b, double *fine, int n, int cf, int cc,
                 const int sf[3], const int sc[3], const struct conv_desc *d, bool accum)
{
    if (!accum)
        start(fine, b, n, cf, (int64_t)sf[0] * sf[1] * sf[2]);
    walk(UP, fine, (double *)(uintptr_t)coarse, (double *)(uintptr_t)w, n, cf, cc, sf, sc, d);
}

void ref_conv_wgrad(const double *fine, const double *coarse, double *dw, int n, int cf, int cc,
                    const int sf[3], const int sc[3], const struct conv_desc *d, bool accum)
{
    if (!accum)
        memset(dw, 0, sizeof *dw * (size_t)cc * (size_t)cf * (size_t)conv_taps(d));
    walk(WGRAD, (double *)(uintptr_t)fine, (double *)(uintptr_t)coarse, dw, n, cf, cc, sf, sc, d);
}

void ref_chan_sum(const double *x, double *out, int n, int c, int64_t voxels, bool accum)
{
    for (int i = 0; i < c; i++) {
        double sum = 0;
        for (int s = 0; s < n; s++)
            for (int64_t v = 0; v < voxels; v++)
                sum += x[((int64_t)s * c + i) * voxels + v];
        out[i] = accum ? out[i] + sum : sum;
    }
}
