/* SPDX-License-Identifier: Apache-2.0
 * Sparse annotation: a person paints a few orthogonal slices of a volume, the other voxels stay PV_LABEL_IGNORE.
 * Simulating that from a dense label (MF-ConS section 2.1; the choice of slices is that of the group's public code):
 * per axis the slice through the middle of the object's bounding box. */
#ifndef DATA_CROSS_H
#define DATA_CROSS_H

#include <stdbool.h>
#include <stdint.h>

enum { PV_CROSS_MOST = 16 };        /* slices per axis */

/* How many slices of each axis are annotated, and where: slice[a][0 .. num[a] - 1], ascending, distinct. */
struct pv_cross {
    int num[3];
    int slice[3][PV_CROSS_MOST];
};

/* Smallest box lo .. hi (both inclusive) around the object, voxels that are neither 0 nor PV_LABEL_IGNORE; false and
 * the whole volume if there is no such voxel. label [x][y][z]. */
bool pv_cross_box(const uint8_t *label, const int size[3], int lo[3], int hi[3]);
/* k (1 .. PV_CROSS_MOST) slices per axis that divide the box evenly: int(lo + (hi - lo) j / (k + 1)), j = 1 .. k; for
 * k = 1 int((lo + hi) / 2). Slices that coincide (box thinner than k) count once. A volume without object is cut
 * through its own middle. */
void pv_cross_slices(const int lo[3], const int hi[3], int k, struct pv_cross *c);
bool pv_cross_has(const struct pv_cross *c, int axis, int i);
/* Every voxel that lies on none of the slices becomes PV_LABEL_IGNORE. */
void pv_cross_keep(const struct pv_cross *c, const int size[3], uint8_t *label);

#endif
