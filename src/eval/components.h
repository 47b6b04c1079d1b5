/* SPDX-License-Identifier: Apache-2.0
 * Connected components of label volumes [x][y][z], z contiguous.
 *
 * Neighbourhoods: 6, 18, 26 in 3D; 4 and 8 within each x-plane, for volumes that are stacks of independent
 * slices (a 2D image with z = 1 takes 6 or 26). 26 is what the public repositories use to keep the largest
 * component (skimage's default), 6 is scipy's default. */
#ifndef EVAL_COMPONENTS_H
#define EVAL_COMPONENTS_H

#include <stdbool.h>
#include <stdint.h>

/* id[i] = 0 where label[i] != value, else 1, 2, ... in the order of the components' first voxels in scan
 * order. Returns how many there are, or -1: PV_FAULT_USAGE for another neighbourhood, PV_FAULT_INPUT for no
 * memory (4 bytes for every second voxel) or 2^32 voxels and more. */
int64_t pv_components(const uint8_t *label, const int s[3], uint8_t value, int neighbours, uint32_t *id);

/* Sets to 0 all voxels of `value` outside the largest component of that value; of equally large ones the
 * first in scan order stays. True if there is nothing to remove; false with the faults above. */
bool pv_keep_largest(uint8_t *label, const int s[3], uint8_t value, int neighbours);
/* The same for every class 1 .. num_classes - 1 by itself. */
bool pv_keep_largest_classes(uint8_t *label, const int s[3], int num_classes, int neighbours);

#endif
