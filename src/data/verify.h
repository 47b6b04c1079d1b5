/* SPDX-License-Identifier: Apache-2.0
 * Looking through a data set before it is trained on: files, geometry, labels, voxels that are no numbers, channels,
 * spacing, lists. Every finding says what to do about it. */
#ifndef DATA_VERIFY_H
#define DATA_VERIFY_H

#include "data/dataset.h"

/* ERROR: cannot be trained or scored with as it is. WARNING: can, but is probably not what was meant. NOTE: worth
 * knowing. */
enum pv_grade { PV_GRADE_ERROR, PV_GRADE_WARNING, PV_GRADE_NOTE };
const char *pv_grade_name(enum pv_grade g);     /* "error", "warning", "note" */

struct pv_finding {
    enum pv_grade grade;
    const char *check;          /* "dataset", "file", "channels", "size", "geometry", "spacing", "orientation",
                                   "labels", "nan", "intensity", "duplicate" */
    char *id;                   /* the case; NULL: the data set */
    char *what, *todo;
};

struct pv_verify_case {
    bool read;                  /* its image could be read; what follows is valid */
    int size[3];
    double spacing[3];
    char axes[4];               /* where x, y, z point to, such as "RAS"; "" if the file does not say */
    uint64_t hash;              /* of the image's voxels */
};

struct pv_verification {
    pv_dataset *ds;             /* NULL if it could not be opened */
    struct pv_finding *v;
    int num, cap, count[3];     /* findings in all, and of each grade */
    struct pv_verify_case *cases;       /* [ds->num_cases] */
    uint64_t *class_voxels;     /* [num_classes], over all labels */
    int *class_cases;           /* in how many labels the class occurs */
    uint64_t ignored_voxels;
    int labeled[3];             /* cases of each split whose label could be read */
};

/* Reads every file of the data set. progress (may be NULL) is called before each case. While it runs, warnings go into
 * the findings instead of stderr. NULL, after a fault, only when interrupted; free with pv_verification_free. */
struct pv_verification *pv_verify(const char *dir, const struct pv_dataset_params *p, const struct pv_read *how,
                                  void (*progress)(void *user, int done, int total, const char *id), void *user);
void pv_verification_free(struct pv_verification **v);

#endif
