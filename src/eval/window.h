/* SPDX-License-Identifier: Apache-2.0
 * Where the windows of a sliding-window prediction lie.
 *
 * Sides shorter than the patch are padded with zeros to its size, the odd voxel behind. Per axis, with
 * W = max(side, patch): num = ceil((W - patch) / stride) + 1 and start i = min(i stride, W - patch), as in the
 * public semi-supervised code; or, `even`, start i = round(i (W - patch) / (num - 1)) to even, as in nnU-Net.
 * Windows are numbered with z running fastest. */
#ifndef EVAL_WINDOW_H
#define EVAL_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct pv_windows {
    int s[3], patch[3], stride[3];
    bool even;
    int before[3], after[3];    /* padding: the image lies at `before` in the padded volume */
    int padded[3];              /* before + s + after */
    int num[3];
    int64_t count;              /* of all windows */
};

/* Sizes and strides are at least 1, else PV_FAULT_USAGE. A stride beyond the patch leaves gaps: refused too. */
bool pv_windows_make(struct pv_windows *w, const int s[3], const int patch[3], const int stride[3], bool even);
int pv_window_axis_start(const struct pv_windows *w, int axis, int i);      /* i in [0, num[axis]) */
/* Start of window i in [0, count) in the padded volume. */
void pv_window_start(const struct pv_windows *w, int64_t i, int start[3]);

/* The part of a window that lies in the image: `size` voxels from `in_image` of the image and from
 * `in_patch` of the window. Never empty. The rest of the window is padding. */
struct pv_window_part { int in_image[3], in_patch[3], size[3]; };
struct pv_window_part pv_window_part(const struct pv_windows *w, int64_t i);

/* Importance of a window's voxels [x][y][z]: a Gaussian around patch / 2 (rounded down) with sigma =
 * `sigma_scale` (1/8) times the side, cut off at 4 sigma, scaled to a maximum of 1; zeros become the smallest
 * other value, so that no voxel is without weight (nnU-Net). */
void pv_gaussian_map(const int patch[3], double sigma_scale, float *out);

#endif
