/* SPDX-License-Identifier: Apache-2.0
 * svg.h. */
#include "report/svg.h"

#include "report/curves.h"
#include "report/text.h"

int pv_svg_letters(const char *text)
{
    int n = 0;
    while (pv_utf8_next(&text))
        n++;
    return n;
}

void pv_svg_text(struct pv_str *s, double x, double y, const char *anchor, const char *color, const char *text)
{
    pv_str_add(s, "<text x=\"");
    pv_str_fixed(s, x, 1);
    pv_str_add(s, "\" y=\"");
    pv_str_fixed(s, y, 1);
    pv_str_addf(s, "\" text-anchor=\"%s\" fill=\"%s\"", anchor, color[0] == 'm' ? "#5f6368" : "#1f2328");
    pv_str_addf(s, " style=\"fill:var(--%s,%s)\">", color, color[0] == 'm' ? "#5f6368" : "#1f2328");
    pv_str_escape(s, text);
    pv_str_add(s, "</text>");
}

void pv_svg_line(struct pv_str *s, double x0, double y0, double x1, double y1)
{
    pv_str_add(s, "M");
    pv_str_fixed(s, x0, 1);
    pv_str_add(s, " ");
    pv_str_fixed(s, y0, 1);
    pv_str_add(s, "L");
    pv_str_fixed(s, x1, 1);
    pv_str_add(s, " ");
    pv_str_fixed(s, y1, 1);
}

void pv_svg_paint(struct pv_str *s, const char *property, size_t k)
{
    pv_str_addf(s, "style=\"%s:var(--s%zu,#%06x)", property, k % PV_SERIES_COLORS,
                (unsigned)pv_series_color[0][k % PV_SERIES_COLORS]);
}
