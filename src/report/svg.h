/* SPDX-License-Identifier: Apache-2.0
 * Parts of our SVG charts. Texts take the CSS variables --fg and --muted and lines --s0 to --s7 where a page sets
 * them. Viewers choose the font: widths of text are estimates on the large side. */
#ifndef REPORT_SVG_H
#define REPORT_SVG_H

#include "base/base.h"

#define pv_svg_letter 6.3                       /* mean width at a size of 12 */
int  pv_svg_letters(const char *text);          /* code points */
/* A <text>, escaped; anchor "start", "middle" or "end", color "fg" or "muted". */
void pv_svg_text(struct pv_str *s, double x, double y, const char *anchor, const char *color, const char *text);
/* A line as a part of the data of a path. */
void pv_svg_line(struct pv_str *s, double x0, double y0, double x1, double y1);
/* A style attribute that sets property to the colour of series k, without the final quote. */
void pv_svg_paint(struct pv_str *s, const char *property, size_t k);

#endif
