/* SPDX-License-Identifier: Apache-2.0
 * Prediction of a whole volume by a sliding window: class probabilities of overlapping patches, averaged, brought
 * back to the grid of the file, and turned into labels. */
#ifndef EVAL_SLIDE_H
#define EVAL_SLIDE_H

#include "data/prep.h"
#include "eval/window.h"
#include "tensor/tensor.h"

struct pv_slide_params {
    int dims, channels, classes;
    int patch[3], stride[3];
    int batch;                  /* windows per forward pass; 0: 4 */
    bool gaussian;              /* weight windows by a Gaussian; false: evenly, as the public code does */
    bool even;                  /* spread windows evenly (window.h) */
    unsigned mirror;            /* axes to mirror at test time: bits 1 x, 2 y, 4 z; every combination is averaged */
    /* Class probabilities PLAIN [n][classes][patch] of PLAIN [n][channels][patch]; a new reference, NULL after a
     * failure. */
    pv_tensor *(*predict)(void *user, pv_tensor *image);
    void *user;
    bool (*progress)(void *user, int64_t done, int64_t total);  /* false stops; may be NULL */
    void *progress_user;
};

/* prob [classes][x][y][z] receives the mean probabilities of image [channels][x][y][z]. False after a fault or
 * when progress said stop. */
bool pv_slide(pv_dev *dev, const float *image, const int s[3], const struct pv_slide_params *p, float *prob);

/* The same plane by plane: sums are held for the planes along x that a batch of windows reaches over, whatever the size
 * of the volume. `planes` receives planes [x, x + num) as soon as no later window touches them, in order: class c of
 * plane x + i begins at prob + c * stride + i * s[1] * s[2]; valid during the call. It returns false to stop. */
typedef bool (*pv_slide_planes)(void *user, int x, int num, const float *prob, size_t stride);
bool pv_slide_each(pv_dev *dev, const float *image, const int s[3], const struct pv_slide_params *p,
                   pv_slide_planes planes, void *user);

/* label [map->size] receives what pv_slide, pv_slide_to_file_grid and pv_slide_labels make of the image, bit for bit,
 * without probabilities of the whole volume. For volumes that are no stack of slices (map->slice_axis 0). */
bool pv_slide_file_labels(pv_dev *dev, const float *image, const int s[3], const struct pv_slide_params *p,
                          const struct pv_prep_map *map, uint8_t *label);

/* Probabilities of a prepared volume of size s on the grid of the volume as it was read (map): trilinear between
 * voxel centres, the border continued. out [classes][map size]; voxels outside what was cut out are background. Of a
 * stack of slices (map->slice_axis) the axes go back to their places. */
void pv_slide_to_file_grid(const float *prob, const int s[3], int classes, const struct pv_prep_map *map, float *out);

/* label [voxels]: the class of largest probability, the first on ties (for two classes: foreground above 0.5). */
void pv_slide_labels(const float *prob, int classes, size_t voxels, uint8_t *label);

#endif
