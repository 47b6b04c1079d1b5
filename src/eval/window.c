/* SPDX-License-Identifier: Apache-2.0
 * Sliding windows: positions and weights. The Gaussian is the response of scipy's gaussian_filter to one
 * voxel: separable, of radius floor(4 sigma + 1/2); its normalisation drops out. */
#include "eval/window.h"

#include <math.h>

#include "base/base.h"

bool pv_windows_make(struct pv_windows *w, const int s[3], const int patch[3], const int stride[3], bool even)
{
    *w = (struct pv_windows){.even = even, .count = 1};
    for (int a = 0; a < 3; a++) {
        if (s[a] < 1 || patch[a] < 1 || stride[a] < 1 || stride[a] > patch[a])
            return pv_fail(PV_FAULT_USAGE, "sliding window on axis %c: size %d, patch %d, stride %d; all must be "
                           "at least 1 and the stride at most the patch", 'x' + a, s[a], patch[a], stride[a]);
        int missing = pv_max(patch[a] - s[a], 0);
        w->s[a] = s[a];
        w->patch[a] = patch[a];
        w->stride[a] = stride[a];
        w->before[a] = missing / 2;
        w->after[a] = missing - missing / 2;
        w->padded[a] = s[a] + missing;
        /* not pv_ceil_div: the sum could overflow for sizes from a hostile file */
        int room = w->padded[a] - patch[a];
        w->num[a] = room / stride[a] + (room % stride[a] > 0) + 1;
        w->count *= w->num[a];
    }
    return true;
}

int pv_window_axis_start(const struct pv_windows *w, int axis, int i)
{
    int last = w->padded[axis] - w->patch[axis];
    if (w->even)
        return w->num[axis] < 2 ? 0 : (int)rint((double)last / (w->num[axis] - 1) * i);
    return (int)((int64_t)i * w->stride[axis] < last ? (int64_t)i * w->stride[axis] : last);
}

void pv_window_start(const struct pv_windows *w, int64_t i, int start[3])
{
    for (int a = 2; a >= 0; a--) {
        start[a] = pv_window_axis_start(w, a, (int)(i % w->num[a]));
        i /= w->num[a];
    }
}

struct pv_window_part pv_window_part(const struct pv_windows *w, int64_t i)
{
    struct pv_window_part p;
    int start[3];
    pv_window_start(w, i, start);
    for (int a = 0; a < 3; a++) {
        int at = start[a] - w->before[a];
        p.in_image[a] = pv_max(at, 0);
        p.in_patch[a] = pv_max(-at, 0);
        p.size[a] = pv_min(at + w->patch[a], w->s[a]) - p.in_image[a];
    }
    return p;
}

static double *axis_weights(int n, double sigma_scale)
{
    double sigma = sigma_scale * n, *v = pv_array(double, n);
    int radius = (int)(4 * sigma + 0.5);
    for (int i = 0; i < n; i++) {
        double k = i - n / 2;
        if (fabs(k) <= radius)
            v[i] = sigma > 0 ? exp(-0.5 * k * k / (sigma * sigma)) : k == 0;
    }
    return v;
}

void pv_gaussian_map(const int patch[3], double sigma_scale, float *out)
{
    double *v[3];
    for (int a = 0; a < 3; a++)
        v[a] = axis_weights(patch[a], sigma_scale);
    size_t i = 0, n = (size_t)patch[0] * (size_t)patch[1] * (size_t)patch[2];
    float least = 1;
    for (int x = 0; x < patch[0]; x++) {
        for (int y = 0; y < patch[1]; y++) {
            for (int z = 0; z < patch[2]; z++, i++) {
                out[i] = (float)(v[0][x] * v[1][y] * v[2][z]);
                if (out[i] > 0 && out[i] < least)
                    least = out[i];
            }
        }
    }
    for (i = 0; i < n; i++)
        if (out[i] == 0)
            out[i] = least;
    for (int a = 0; a < 3; a++)
        pv_free(v[a]);
}
