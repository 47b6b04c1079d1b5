/* SPDX-License-Identifier: Apache-2.0
 * Volumes as stacks of slices, for 2D networks: the slice axis first in memory, random turns of a slice, and resizing
 * by nearest voxel, as the public PyTorch code for ACDC does (methods.md 7.4). */
#ifndef DATA_SLICES_H
#define DATA_SLICES_H

#include <stdbool.h>
#include <stdint.h>

#include "data/volume.h"

/* The axis that counts slices: the one with the fewest voxels, the last of equal ones. */
int pv_slice_axis(const int size[3]);
/* Makes axis `axis` of the volume its axis x; the others keep their order. size, spacing and geometry follow. False:
 * no memory. */
bool pv_slices_first(const char *what, int axis, struct pv_volume *v);

/* Voxel of a side of `in` that voxel i of a side of `out` shows: the nearest to i (in - 1) / (out - 1), half up
 * (scipy.ndimage.zoom, order 0). */
int pv_zoom_index(int i, int in, int out);
/* [n][in0][in1] to [n][out0][out1] by that rule. */
void pv_zoom_slices(const float *in, size_t n, const int from[2], float *out, const int to[2]);

/* What happens to a slice: turned by rot quarters (numpy.rot90) and mirrored along axis y (0) or z (1) or neither (-1);
 * or turned by `angle` degrees about its centre with its size kept (scipy.ndimage.rotate, order 0); then resized to
 * `size`. */
struct pv_slice_aug { int size[2]; int rot, flip, angle; };
struct pv_slice_params { int size[2]; bool rotate, flip; };
/* With probability 1/2 quarter turns and a mirror, else with 1/2 an angle of -20 to 19 degrees; a function of (seed,
 * step, sample). Without rotate there are no turns and no angle, without flip no mirror. */
struct pv_slice_aug pv_slice_draw(const struct pv_slice_params *p, uint64_t seed, uint64_t step, uint64_t sample);
/* dst [size] from the slice src [s0][s1]; `fill` where the turned slice leaves corners open. */
void pv_slice_f32(const struct pv_slice_aug *a, const int s[2], const float *src, float fill, float *dst);
void pv_slice_label(const struct pv_slice_aug *a, const int s[2], const uint8_t *src, int32_t fill, int32_t *dst);

#endif
