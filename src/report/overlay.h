/* SPDX-License-Identifier: Apache-2.0
 * Pictures of a case: planes of the image with the outlines of the reference and the prediction. */
#ifndef REPORT_OVERLAY_H
#define REPORT_OVERLAY_H

#include "report/canvas.h"

/* Blue and orange: told apart with any kind of colour vision, and on any grey. */
enum { PV_REF_COLOR = 0x56B4E9, PV_PRED_COLOR = 0xFF9E1B };

/* Arrays are [x][y][z], z contiguous, and stay the caller's. */
struct pv_overlay {
    const char *id;             /* for the legend; NULL: none */
    int size[3];
    double spacing[3];          /* of any unit; not positive: all the same */
    const float *image;         /* what is not finite shows black */
    const uint8_t *ref, *pred;  /* 0 background, 255 not annotated; NULL: not drawn */
    double percentile[2];       /* of the image shown black and white; equal: 0.5 and 99.5 */
    bool flip[3];               /* an axis is drawn backwards. Without, x and y run to the right and y and z
                                   upwards: right, front and top of a volume whose axes run to right, front
                                   and top */
};

enum { PV_MOST_TILES = 32 };
struct pv_tile {
    int x, y, w, h;             /* pixels of the base */
    int axis, slice;            /* the plane stands across this axis at this voxel */
};

/* A picture in layers that lie over each other; labels are `factor` times finer than the image. */
struct pv_layers {
    struct pv_image base;       /* grey */
    struct pv_image ref, pred;  /* RGBA, outlines; no pixels where there was no label */
    int factor;
    int num_tiles;
    struct pv_tile tile[PV_MOST_TILES];
};
void pv_layers_free(struct pv_layers *l);       /* leaves zeros; NULL safe */
bool pv_layers_pack(struct pv_layers *l);       /* pv_image_pack() of every layer; for pages only */

/* The middle of the reference (else of the prediction, else of the volume): the centre of gravity, moved to
 * the nearest plane that the object meets, for each axis. */
void pv_overlay_centre(const struct pv_overlay *o, int out[3]);

/* Both: false with PV_FAULT_INPUT if there is no memory. Planes at most 256 pixels wide and high; axes of
 * one voxel make no planes.
 * Mosaic: across z, y and x through the centre, beside each other. */
bool pv_overlay_mosaic(const struct pv_overlay *o, struct pv_layers *out);
/* Strip: at most `most` (up to PV_MOST_TILES) planes across z, evenly spread over the object (else the volume) and
 * one beyond its ends, beside each other in tiles of one size, lowest first. */
bool pv_overlay_strip(const struct pv_overlay *o, int most, struct pv_layers *out);

/* The layers on one another as RGB with legend, id and the planes' positions. */
bool pv_overlay_flat(const struct pv_overlay *o, const struct pv_layers *l, struct pv_image *out);
/* The flat mosaic as a PNG file. */
bool pv_overlay_png(const struct pv_overlay *o, const char *path);

#endif
