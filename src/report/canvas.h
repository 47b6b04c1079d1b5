/* SPDX-License-Identifier: Apache-2.0
 * A small raster canvas: lines, rectangles and text on a pv_image, so that pictures need no other
 * library. Positions are in pixels from the upper left corner, pixel centres at .5; what falls outside is
 * cut off. On grey images the green part of a colour is the grey value; on RGBA images drawing also
 * covers (alpha grows). */
#ifndef REPORT_CANVAS_H
#define REPORT_CANVAS_H

#include <stddef.h>
#include <stdint.h>

#include "report/png.h"

struct pv_color { uint8_t r, g, b, a; };        /* a: 255 covers */
#define PV_RGB(hex) ((struct pv_color){(hex) >> 16 & 255, (hex) >> 8 & 255, (hex) & 255, 255})

void pv_canvas_fill(struct pv_image *im, struct pv_color c);
/* The pixels x..x+w-1, y..y+h-1. */
void pv_canvas_rect(struct pv_image *im, int x, int y, int w, int h, struct pv_color c);
/* Through the points with round ends and smooth edges, `width` pixels wide. A point that is not finite
 * makes a gap, a lone point a dot. Translucent colours do not add up where the line crosses itself. */
void pv_canvas_polyline(struct pv_image *im, const double *x, const double *y, size_t n, double width,
                        struct pv_color c);
void pv_canvas_line(struct pv_image *im, double x0, double y0, double x1, double y1, double width,
                    struct pv_color c);
void pv_canvas_dot(struct pv_image *im, double x, double y, double radius, struct pv_color c);

/* Text with letters of 5x7 points (two more below the line) in cells of 6, each point scale x scale
 * pixels; x, y is the upper left corner. What is not printable ASCII shows as '?'. */
enum { PV_FONT_W = 6, PV_FONT_H = 7, PV_FONT_DROP = 2 };
enum pv_align { PV_LEFT, PV_CENTRE, PV_RIGHT };         /* which part of the text stands at x */
void pv_canvas_text(struct pv_image *im, int x, int y, int scale, enum pv_align align, struct pv_color c,
                    const char *text);
int  pv_canvas_text_width(int scale, const char *text);     /* pixels */

/* `src` (RGBA) over the image at (x, y). */
void pv_canvas_over(struct pv_image *im, int x, int y, const struct pv_image *src);

/* Rows of the letter `c` (32..126), bit 4 leftmost. */
extern const uint8_t pv_font[95][PV_FONT_H + PV_FONT_DROP];

#endif
