/* SPDX-License-Identifier: Apache-2.0
 * What the files of dataset.h share: a layout finds cases, dataset.c puts them into order. */
#ifndef DATA_DATASET_IMPL_H
#define DATA_DATASET_IMPL_H

#include "base/base.h"
#include "base/json.h"
#include "data/dataset.h"

/* Cases as a layout found them; split is PV_TEST for those that are meant for testing only. */
struct found {
    struct pv_case *v;
    int n, cap;
};

struct pv_case *found_add(struct found *f, const char *id, enum pv_split split);
void case_add_image(struct pv_case *c, const char *path);
void case_clear(struct pv_case *c);

struct pv_layout {
    const char *name;
    bool (*fits)(const char *dir);
    /* Fills channels, names and classes of ds, and the cases. */
    bool (*scan)(pv_dataset *ds, const struct pv_dataset_params *p, struct found *f);
};
extern const struct pv_layout pv_layout_nnunet, pv_layout_h5;

/* num_classes classes named class0...; `ignore` as in pv_dataset_params. */
bool classes_by_number(pv_dataset *ds, int num_classes, int ignore);

#endif
