/* SPDX-License-Identifier: Apache-2.0
 * Copies of data sets in another layout: nnU-Net folders of .nii.gz, or the .h5 folders of the public PyTorch code. */
#ifndef DATA_CONVERT_H
#define DATA_CONVERT_H

#include "data/dataset.h"

struct pv_convert {
    const char *to;             /* "nifti" or "h5" */
    const char *layout;         /* of .h5: "data" (data/ID.h5), "la" (2018LA_Seg_Training Set/ID/mri_norm2.h5) or
                                   "pancreas" (Pancreas_h5/ID_norm.h5); NULL: "data" */
    struct pv_load load;        /* how cases are read */
    double spacing[3];          /* mm, for cases read from .h5, which have none; [0] == 0: 1 */
    bool overwrite;             /* files that are there are replaced */
    void (*progress)(void *user, int done, int total, const char *id);  /* before each case; may be NULL */
    void *user;
};

/* Writes all cases and the lists train.list, val.list, test.list of `ds` to the folder `out`. Voxels keep their values
 * (images as float), labels become the classes 0, 1, ...; voxels without annotation become the label "ignore"
 * (nifti: the number after the last class, h5: 255). NIfTI keeps the geometry of NIfTI; .h5 has none, which is said.
 * Faults: `out` is the data set's own folder or holds a data set already, a case that cannot be read; PV_FAULT_STOPPED
 * when interrupted. */
bool pv_dataset_convert(const pv_dataset *ds, const char *out, const struct pv_convert *how);

#endif
