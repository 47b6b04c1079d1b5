/* SPDX-License-Identifier: Apache-2.0
 * Images of 8 bits a channel, and PNG files of them (libpng). */
#ifndef REPORT_PNG_H
#define REPORT_PNG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

/* Rows top to bottom, pixels left to right: pixels[(y * w + x) * channels + c], sRGB, alpha not
 * multiplied in. channels: 1 grey, 3 RGB, 4 RGBA. */
struct pv_image {
    int w, h, channels;
    uint8_t *pixels;        /* owned; pv_alloc_big. NULL once packed */
    struct pv_str png;      /* owned; the bytes of a PNG file of it, once packed */
};

/* All zero. False with PV_FAULT_INPUT if there is no memory for it or a side is not in 1..32768. */
bool pv_image_make(struct pv_image *im, int w, int h, int channels);
void pv_image_free(struct pv_image *im);        /* leaves zeros; NULL safe */

static inline bool pv_image_there(const struct pv_image *im) { return im->pixels || im->png.len; }
/* Swaps the pixels for a PNG of them, a small part of the memory; nothing can be drawn any more. False as encoding. */
bool pv_image_pack(struct pv_image *im);

/* Appends the bytes of a PNG file, those of a packed image as they are. False with PV_FAULT_INTERNAL if libpng
 * refuses. */
bool pv_png_encode(const struct pv_image *im, struct pv_str *out);
/* The file appears whole or not at all (pv_write_file). */
bool pv_png_write(const char *path, const struct pv_image *im);

#endif
