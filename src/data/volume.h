/* SPDX-License-Identifier: Apache-2.0
 * A volume in memory, and where it lies in the world. Spatial axes are x, y, z with z contiguous:
 * voxel (x, y, z) of channel c is image[((c * size[0] + x) * size[1] + y) * size[2] + z]. */
#ifndef DATA_VOLUME_H
#define DATA_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PV_LABEL_IGNORE = 255 };     /* voxel without annotation */

/* What is needed to write a file that lies exactly where the one read lay. The fields are those of
 * the NIfTI standard, for the voxel axes of the file; axis and flip tell how the volume in memory
 * relates to them. */
struct pv_geometry {
    int file_size[3];               /* voxels along the file's i, j, k */
    double pixdim[3], qfac;
    int qform_code, sform_code;     /* 0: that transform is not given */
    double quatern[3], qoffset[3];
    double qform[3][4], sform[3][4];    /* (i, j, k, 1) -> mm; qform follows from the fields above */
    int xyz_units;                  /* 2: mm */
    bool nifti2;                    /* was read from a NIfTI-2 file and is written as one */
    int axis[3];                    /* axis a of the volume is axis axis[a] of the file ... */
    bool flip[3];                   /* ... running backwards */
};

struct pv_volume {
    int channels;                   /* of image; 0 if there is none */
    int size[3];                    /* x, y, z */
    double spacing[3];              /* mm along the volume's axes */
    struct pv_geometry geo;
    float *image;                   /* [channels][x][y][z] or NULL; pv_alloc_big */
    uint8_t *label;                 /* [x][y][z] or NULL; pv_alloc_big */
    uint64_t num_bad;               /* voxels of image that were not finite and were read as 0 ... */
    int first_bad[4];               /* ... and the first of them: channel, x, y, z */
};

size_t pv_volume_voxels(const struct pv_volume *v);
/* Frees image and label and zeroes the struct itself, which stays the caller's; NULL safe. */
void pv_volume_free(struct pv_volume *v);

/* Voxels of the file along its axes = voxels of memory, origin 0, the spacing on the diagonal. */
void pv_geometry_plain(struct pv_geometry *g, const int size[3], const double spacing[3]);
/* Voxels of memory in file order with that affine: for a grid that no file had. */
void pv_geometry_regrid(struct pv_geometry *g, const int size[3], double affine[3][4]);
/* (x, y, z, 1) of the volume in memory -> mm: sform if given, else qform, else the spacing. */
void pv_geometry_affine(const struct pv_geometry *g, double out[3][4]);
/* Sets axis and flip so that the axes in memory run to the right, to the front and up as closely as
 * possible (RAS); false if the file gives no orientation, which leaves the file's order. */
bool pv_geometry_to_ras(struct pv_geometry *g);
/* Largest difference of any entry of the two affines and of any spacing. */
double pv_geometry_distance(const struct pv_geometry *a, const struct pv_geometry *b);

#endif
