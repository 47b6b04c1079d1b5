/* SPDX-License-Identifier: Apache-2.0
 * Files that hold volumes: NIfTI-1 and -2 (.nii, .nii.gz) and the HDF5 files of the public PyTorch
 * code (.h5 with `image` and `label`). The format follows from the file's ending.
 *
 * All functions that fail raise PV_FAULT_INPUT once, with the file's name and what to do, except
 * where they were cancelled: then they fail silently. */
#ifndef DATA_FILE_H
#define DATA_FILE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "data/volume.h"

enum pv_part { PV_IMAGE = 1, PV_LABEL = 2 };

struct pv_read {
    bool ras;                       /* turn the axes to RAS (files that give an orientation) */
    const struct pv_geometry *turn_as;  /* turn them as this file of the same size was; NULL: by ras */
    bool zyx;                       /* arrays of .h5 files are [z][y][x] */
    bool bad_to_zero;               /* NaN and infinite voxels become 0, with a warning */
    const atomic_bool *cancel;      /* may be NULL */
};

/* One row of pv_formats: how to read and write files of some endings. `part` is one of the two. */
struct pv_format {
    const char *name;
    const char *endings[4];         /* with the point, NULL behind the last */
    const char *missing;            /* why this build cannot, NULL if it can */
    bool (*info)(const char *path, enum pv_part part, const struct pv_read *p, struct pv_volume *v);
    bool (*read)(const char *path, enum pv_part part, const struct pv_read *p, struct pv_volume *v);
    bool (*write)(const char *path, int parts, const struct pv_volume *v);
};
extern const struct pv_format *const pv_formats[];     /* ends with NULL */
/* The format of that name's ending; NULL without a fault if there is none. */
const struct pv_format *pv_format_of(const char *path);
/* Length of the name without the ending that a format knows ("a.nii.gz": 1). */
size_t pv_stem_length(const char *name);

/* Reads one part into `v`, which is overwritten and need not be freed before. Images become float
 * with the file's scaling applied; channels are the fourth (or fifth) axis of a NIfTI file, the
 * first of four of an .h5. Labels must be whole numbers in 0..255. p may be NULL. */
bool pv_volume_read(const char *path, enum pv_part part, const struct pv_read *p,
                    struct pv_volume *v);
/* The same without the voxels: image and label stay NULL. */
bool pv_volume_info(const char *path, enum pv_part part, const struct pv_read *p,
                    struct pv_volume *v);
/* Writes v->image (float) or v->label (uint8) so that it lies where the file of v->geo lay, by a
 * temporary name. parts: PV_IMAGE, PV_LABEL, or for .h5 both. */
bool pv_volume_write(const char *path, int parts, const struct pv_volume *v);

/* ---- for the formats ---- */
/* Room for the part of v whose channels and size are set. */
bool pv_volume_room(const char *path, enum pv_part part, struct pv_volume *v);
/* Not finite voxels of v->image: none, or replaced with a warning, or a fault (see pv_read). */
bool pv_volume_check_finite(const char *path, const struct pv_read *p, struct pv_volume *v);
/* The fault for a label that is no class: value `value` at voxel `at` in memory. */
bool pv_volume_bad_label(const char *path, double value, const struct pv_volume *v, size_t at);

extern const struct pv_format pv_format_nifti, pv_format_hdf5;

#endif
