/* SPDX-License-Identifier: Apache-2.0
 * Data sets on disk: which cases there are, where their files lie, what their labels mean.
 *
 * Layouts: nnU-Net v2 raw (dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz, imagesTs,
 * labelsTs; also with explicit paths under `dataset`, and the Medical Segmentation Decathlon's
 * dataset.json with `training`), and the folders of .h5 files of the public PyTorch code
 * ("2018LA_Seg_Training Set/ID/mri_norm2.h5", "data/ID.h5", "Pancreas_h5/ID_norm.h5", ...).
 *
 * Splits: train.list, val.list and test.list (or .txt; one id per line, what follows a comma is
 * dropped) in the folder or its datalist/; or one fold of splits_final.json. Their order is the order
 * of the cases, and the first N of the training cases are the labelled ones. Without a list, training
 * cases are those of imagesTr (all, for .h5), first those with a label, each by sorted id; test cases
 * are those of imagesTs. */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "data/file.h"

enum pv_split { PV_TRAIN, PV_VAL, PV_TEST };
const char *pv_split_name(enum pv_split s);     /* "train", "val", "test" */

struct pv_case {
    char *id;
    enum pv_split split;
    char **images;                  /* files: one per channel, or one with all channels */
    int num_images;
    char *label;                    /* file; NULL: not annotated */
    bool has_label;
};

/* Read only. Cases are ordered: training, validation, test, each in the order of its list. */
struct pv_dataset {
    char *dir, *name;
    const char *layout;             /* "nnunet", "h5" */
    int channels, num_classes;      /* num_classes counts the background, class 0 */
    char **channel_names;           /* [channels] */
    char **class_names;             /* [num_classes] */
    int16_t classes[256];           /* label in a file -> class, PV_LABEL_IGNORE, or -1: no label */
    struct pv_case *cases;
    int num_cases, num_split[3];
};
typedef struct pv_dataset pv_dataset;

struct pv_dataset_params {
    int num_classes;                /* without dataset.json; 0: 2 */
    int ignore;                     /* label that means "not annotated" where dataset.json names none; 0: none */
    int fold;                       /* entry of splits_final.json; -1: the lists */
    const char *lists;              /* folder of the lists or of splits_final.json; NULL: as above */
};

/* params NULL: {.fold = -1}. NULL with PV_FAULT_INPUT naming the file and what to do: no known layout,
 * no images, a channel missing, labels that are regions or not consecutive, a list that names an
 * unknown case or one twice, a training case that is also a test case. Opens no volume of NIfTI data
 * sets and one of .h5 data sets. */
pv_dataset *pv_dataset_open(const char *dir, const struct pv_dataset_params *params);
void pv_dataset_free(pv_dataset **ds);

int pv_dataset_find(const pv_dataset *ds, const char *id);     /* first case of that id, or -1 */
/* Indices of the cases of one split, in order: fills out[num_split[s]], returns the number. */
int pv_dataset_split(const pv_dataset *ds, enum pv_split s, int *out);
/* Divides the training cases: `labeled` gets n of them and `unlabeled` the others, each in order
 * (room for num_split[PV_TRAIN] each). seed < 0 takes the first n; else n of those that have a label,
 * drawn by the seed. n = 0 takes all that have a label. PV_FAULT_INPUT if there are not as many or
 * one of them has no label. */
bool pv_dataset_labeled(const pv_dataset *ds, int n, int64_t seed, int *labeled, int *num_labeled,
                        int *unlabeled, int *num_unlabeled);

struct pv_load {
    struct pv_read read;
    bool copy_geometry;             /* labels lie where the image lies, whatever their header says */
};

/* Reads a case: image with all channels, label with classes instead of file values (PV_LABEL_IGNORE
 * where not annotated), or both; parts: PV_IMAGE | PV_LABEL. PV_FAULT_INPUT naming the file: no label,
 * channels or sizes that differ, spacing or affine that differ by more than 1e-3 (voxel sizes and mm),
 * label values that dataset.json does not know. Silent if cancelled. opts may be NULL. */
bool pv_case_load(const pv_dataset *ds, int index, int parts, const struct pv_load *opts,
                  struct pv_volume *v);
/* Sizes, spacing and channels without voxels, from the headers of the image files. */
bool pv_case_info(const pv_dataset *ds, int index, const struct pv_load *opts, struct pv_volume *v);
/* File values of v->label to classes; `path` for the message. */
bool pv_dataset_map_label(const pv_dataset *ds, const char *path, struct pv_volume *v);

#endif
