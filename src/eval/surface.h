/* SPDX-License-Identifier: Apache-2.0
 * Distances between the surfaces of two binary volumes, as medpy defines them.
 *
 * The surface of A is A without its erosion by the 6-neighbourhood; what lies outside the volume is
 * background, so foreground voxels on the volume's border are surface. The distance of a surface voxel of A
 * is the Euclidean one, with spacing, to the nearest surface voxel of B. Exact: separable transform
 * (Felzenszwalb and Huttenlocher, Theory of Computing 8, 2012), no approximation by masks. */
#ifndef EVAL_SURFACE_H
#define EVAL_SURFACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PV_IN_A = 1, PV_IN_B = 2 };

/* Distances in the units of the spacing, in scan order of their surface voxels; owned. */
struct pv_surface_dist {
    double *ab, *ba;            /* of A's surface voxels to B's surface, and of B's to A's */
    size_t num_ab, num_ba;
};

/* `mask` [x][y][z] with z contiguous has the bits PV_IN_A and PV_IN_B; further bits are overwritten. Voxels
 * outside it are background. Spacings are positive. Along an axis that is not `eroded`, erosion has no
 * neighbours: a 2D image has one axis of length 1 that must not make all of its voxels surface.
 * Either may be empty: then `ab` and `ba` hold the surface voxels that exist with distance HUGE_VAL.
 * Takes 8 bytes a voxel meanwhile; false with PV_FAULT_INPUT if there is no memory for it. */
bool pv_surface_distances(uint8_t *mask, const int s[3], const double spacing[3], const bool eroded[3],
                          struct pv_surface_dist *out);
void pv_surface_dist_free(struct pv_surface_dist *d);       /* leaves zeros; NULL safe */

#endif
