/* SPDX-License-Identifier: Apache-2.0
 * What is done to a volume before it is trained on: spacing, crop, intensities, half resolution. One
 * row per preset; the same steps prepare volumes offline and in the store. */
#ifndef DATA_PREP_H
#define DATA_PREP_H

#include <stdbool.h>

#include "data/volume.h"

enum pv_scaling {
    PV_SCALING_NONE,
    PV_SCALING_ZSCORE,         /* (v - mean) / std over all voxels of a channel */
    PV_SCALING_ZSCORE_ABOVE_0, /* mean and std of the voxels above 0, applied to all */
    PV_SCALING_MINMAX,         /* to [0, 1] */
    PV_SCALING_BY_NAME,        /* by the channel's name, as nnU-Net: CT, noNorm, rescale_to_0_1, else z-score */
};
enum pv_crop { PV_CROP_NONE, PV_CROP_NONZERO, PV_CROP_LABEL };

/* Steps in this order; a field that is 0 leaves its step out. */
struct pv_prep {
    const char *name, *about;
    double spacing;                 /* resample to cubes of so many mm: linear, labels nearest */
    enum pv_crop crop;              /* to the box of what is not 0, wider by margin ... */
    int margin, least;              /* ... and at least so many voxels (as far as there are any) */
    double lo, hi;                  /* clip to [lo, hi] */
    double lo_part, hi_part;        /* clip to these quantiles (0..1) of a channel */
    enum pv_scaling norm;
    bool half;                      /* half resolution, pv_prep_half() */
    bool slices;                    /* the slice axis becomes axis x (slices.h): for 2D networks, and only for them */
};

extern const struct pv_prep pv_preps[];                     /* ends with a row without a name */
const struct pv_prep *pv_prep_find(const char *name);       /* PV_FAULT_USAGE if there is none */

/* Where prepared voxels lie in the volume as it was read: the centre of voxel i along axis a is at
 * origin[a] + (i + 0.5) * step[a] - 0.5. */
struct pv_prep_map {
    int size[3];                    /* of the volume as it was read */
    double origin[3], step[3];
    int slice_axis;                 /* of the volume as it was read: this one is axis x now (pv_slices_first); 0: none
                                       was moved. origin and step are those of the axes before that */
};

/* Changes image and label of v, whichever are there, with size, spacing and geometry. channel_names
 * [v->channels] matter to PV_SCALING_BY_NAME only and may be NULL; map may be NULL. `what` names the
 * volume in messages. */
bool pv_prep_apply(const struct pv_prep *p, const char *what, char *const *channel_names,
                   struct pv_volume *v, struct pv_prep_map *map);
/* Its two halves, for who changes labels in between: spacing and crop (fills map), then intensities and half
 * resolution (continues map). */
bool pv_prep_place(const struct pv_prep *p, const char *what, struct pv_volume *v, struct pv_prep_map *map);
bool pv_prep_finish(const struct pv_prep *p, const char *what, char *const *channel_names,
                    struct pv_volume *v, struct pv_prep_map *map);
/* No prepared volume of that size and spacing is larger than this. */
void pv_prep_size(const struct pv_prep *p, const int size[3], const double spacing[3], int out[3]);

/* ---- single steps ---- */
/* Sides ceil(n / 2): means of 2 x 2 x 2 voxels, odd sides extended by their last plane. Labels by
 * majority of the annotated voxels, ties to the foreground (of two foreground classes the lower
 * number); PV_LABEL_IGNORE where no voxel is annotated. */
bool pv_prep_half(const char *what, struct pv_volume *v);
bool pv_prep_resample(const char *what, double spacing, struct pv_volume *v);
bool pv_prep_crop(const char *what, const int from[3], const int size[3], struct pv_volume *v);
/* One channel of n voxels. */
void pv_prep_normalise(enum pv_scaling norm, float *image, size_t n);
/* Value that a part q (0..1) of the n values is at most: the ceil(q n)-th smallest. Reorders them. */
float pv_prep_quantile(float *values, size_t n, double q);

#endif
