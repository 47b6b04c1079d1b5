/* SPDX-License-Identifier: Apache-2.0
 * Random patches, as the public PyTorch code draws them: the volume is turned by k * 90 degrees in the
 * plane of axes x and y, mirrored along x or y, and then a patch is cut out of it. All choices are drawn
 * first, from (seed, step, sample) alone, and then applied to any number of arrays of the volume's size.
 *
 * Cutting: if any side of the volume is not larger than the patch, every axis gets
 * max(floor((patch - side) / 2) + 3, 0) zeros on either side; the origin is uniform in
 * 0 .. side - patch - 1, so that the last place is never drawn. */
#ifndef DATA_AUGMENT_H
#define DATA_AUGMENT_H

#include <stdbool.h>
#include <stdint.h>

struct pv_aug_params {
    int patch[3];
    bool rotate;                    /* k of 0..3 drawn, else 0 */
    bool flip;                      /* axis 0 or 1 drawn, else none */
};

struct pv_aug {
    int patch[3];
    int rot;                        /* quarter turns, from axis 0 towards axis 1 (numpy.rot90) */
    int flip;                       /* axis that is mirrored after turning, or -1 */
    int pad[3];                     /* zeros on either side of the turned volume */
    int origin[3];                  /* of the patch in the padded volume */
};

/* Zeros per side for a volume of that size. */
void pv_aug_padding(const int size[3], const int patch[3], int pad[3]);
/* Draws for a volume of that size; `sample` counts within the batch of all ranks. The numbers used do not
 * depend on what is switched on, so that switching one thing leaves the others as they were. */
struct pv_aug pv_aug_draw(const struct pv_aug_params *p, const int size[3], uint64_t seed, uint64_t step,
                          uint64_t sample);

/* dst [patch] from src [x][y][z] of that size; `fill` where the patch hangs over. */
void pv_aug_f32(const struct pv_aug *a, const int size[3], const float *src, float fill, float *dst);
void pv_aug_u8(const struct pv_aug *a, const int size[3], const uint8_t *src, uint8_t fill, uint8_t *dst);
/* Labels to the type that the device uses; PV_LABEL_IGNORE stays 255. */
void pv_aug_label(const struct pv_aug *a, const int size[3], const uint8_t *src, int32_t fill, int32_t *dst);

#endif
