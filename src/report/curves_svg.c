/* SPDX-License-Identifier: Apache-2.0
 * A plot as SVG. Text widths are estimated: viewers choose the font. */
#include "report/curves_impl.h"

#include <math.h>
#include <string.h>

#include "report/svg.h"
#include "report/text.h"

enum { W = 560, AREA = 190, FONT = 12, DOTS_UP_TO = 40, COLUMNS = 260 };

struct area { double x, y, w, h; };

static void path(struct pv_str *s, const struct area *a, const struct line *l, size_t k, bool pale)
{
    if (l->n == 0)
        return;
    pv_str_add(s, "<path fill=\"none\" ");
    pv_svg_paint(s, "stroke", k);
    pv_str_addf(s, "\" stroke-width=\"%s\"%s%s stroke-linejoin=\"round\" d=\"", pale ? "1" : "1.8",
                pale ? " opacity=\"0.28\"" : "", k >= PV_SERIES_COLORS ? " stroke-dasharray=\"6 3\"" : "");
    bool open = false;
    for (size_t i = 0; i < l->n; i++) {
        if (isnan(l->x[i])) {
            open = false;
            continue;
        }
        pv_str_add(s, open ? "L" : "M");
        pv_str_fixed(s, a->x + l->x[i] * a->w, 1);
        pv_str_add(s, " ");
        pv_str_fixed(s, a->y + (1 - l->y[i]) * a->h, 1);
        open = true;
    }
    pv_str_add(s, "\"/>");
}

/* Few points get dots, and so does one that has a gap on both sides. */
static void dots(struct pv_str *s, const struct area *a, const struct line *l, size_t k)
{
    for (size_t i = 0; i < l->n; i++) {
        bool lone = (i == 0 || isnan(l->x[i - 1])) && (i + 1 == l->n || isnan(l->x[i + 1]));
        if (isnan(l->x[i]) || (l->n > DOTS_UP_TO && !lone))
            continue;
        pv_str_add(s, "<circle r=\"2.4\" cx=\"");
        pv_str_fixed(s, a->x + l->x[i] * a->w, 1);
        pv_str_add(s, "\" cy=\"");
        pv_str_fixed(s, a->y + (1 - l->y[i]) * a->h, 1);
        pv_str_add(s, "\" ");
        pv_svg_paint(s, "fill", k);
        pv_str_add(s, "\"/>");
    }
}

static void axes(struct pv_str *s, const struct area *a, const struct chart *c, const struct pv_plot *p)
{
    pv_str_add(s, "<path fill=\"none\" style=\"stroke:var(--grid,#d8dce1)\" d=\"");
    for (int i = 0; i < c->y.num; i++) {
        double y = a->y + (1 - pv_axis_at(&c->y, c->y.tick[i])) * a->h;
        pv_svg_line(s, a->x, y, a->x + a->w, y);
    }
    for (int i = 0; i < c->x.num; i++) {
        double x = a->x + pv_axis_at(&c->x, c->x.tick[i]) * a->w;
        pv_svg_line(s, x, a->y + a->h, x, a->y + a->h + 4);
    }
    pv_str_add(s, "\"/>");
    for (int i = 0; i < c->y.num; i++)
        pv_svg_text(s, a->x - 6, a->y + (1 - pv_axis_at(&c->y, c->y.tick[i])) * a->h + 4, "end", "muted",
                c->y.label[i]);
    for (int i = 0; i < c->x.num; i++)
        pv_svg_text(s, a->x + pv_axis_at(&c->x, c->x.tick[i]) * a->w, a->y + a->h + 17, "middle", "muted",
                c->x.label[i]);
    if (p->x_label)
        pv_svg_text(s, a->x + a->w, a->y + a->h + 32, "end", "muted", p->x_label);
}

/* Names with their last values; returns the y behind the last row. */
static double legend(struct pv_str *s, const struct chart *c, const struct pv_plot *p, double y)
{
    double x = 8;
    for (size_t k = 0; k < p->num; k++) {
        char last[32] = "";
        if (!isnan(c->last[k]))
            pv_text_short(last, c->last[k], 3);
        double w = 26 + pv_svg_letter * (pv_svg_letters(p->series[k].name) + pv_svg_letters(last) + 1) + 14;
        if (x > 8 && x + w > W) {
            x = 8;
            y += 17;
        }
        pv_str_add(s, "<path fill=\"none\" stroke-width=\"3\"");
        pv_str_add(s, k >= PV_SERIES_COLORS ? " stroke-dasharray=\"6 3\" " : " ");
        pv_svg_paint(s, "stroke", k);
        pv_str_add(s, "\" d=\"");
        pv_svg_line(s, x, y - 4, x + 18, y - 4);
        pv_str_add(s, "\"/><text x=\"");
        pv_str_fixed(s, x + 24, 1);
        pv_str_add(s, "\" y=\"");
        pv_str_fixed(s, y, 1);
        pv_str_add(s, "\" fill=\"#1f2328\" style=\"fill:var(--fg,#1f2328)\">");
        pv_str_escape(s, p->series[k].name);
        if (last[0])
            pv_str_addf(s, " <tspan fill=\"#5f6368\" style=\"fill:var(--muted,#5f6368)\">%s</tspan>", last);
        pv_str_add(s, "</text>");
        x += w;
    }
    return y + 10;
}

/* What a reader who does not see the picture is told. */
static void label(struct pv_str *s, const struct chart *c, const struct pv_plot *p)
{
    pv_str_escape(s, p->title ? p->title : "Curves");
    if (p->x_label) {
        pv_str_add(s, " against ");
        pv_str_escape(s, p->x_label);
    }
    for (size_t k = 0; k < p->num; k++) {
        pv_str_add(s, k ? ", " : ". Last values: ");
        pv_str_escape(s, p->series[k].name);
        pv_str_add(s, " ");
        pv_str_short(s, c->last[k], 4);
    }
}

void pv_curves_svg(struct pv_str *out, const struct pv_plot *p)
{
    struct chart c;
    pv_chart_make(&c, p, COLUMNS, 6, 5);
    struct pv_str body = {0};
    double y = 6;
    if (p->title) {
        y += 13;
        pv_str_add(&body, "<g font-weight=\"600\" font-size=\"14\">");
        pv_svg_text(&body, 8, y, "start", "fg", p->title);
        pv_str_add(&body, "</g>");
        y += 6;
    }
    y = legend(&body, &c, p, y + 14);
    if (p->y_label) {
        pv_svg_text(&body, 8, y + 6, "start", "muted", p->y_label);
        y += 12;
    }
    int wide = 1;
    for (int i = 0; i < c.y.num; i++)
        wide = pv_max(wide, (int)strlen(c.y.label[i]));
    struct area a = {pv_svg_letter * wide + 16, y + 8, 0, AREA};
    a.w = W - a.x - 18;
    axes(&body, &a, &c, p);
    for (size_t k = 0; k < c.num; k++) {
        bool both = c.mean[k].n > 0;
        path(&body, &a, &c.raw[k], k, both);
        path(&body, &a, &c.mean[k], k, false);
        dots(&body, &a, both ? &c.mean[k] : &c.raw[k], k);
    }
    if (c.points == 0)
        pv_svg_text(&body, a.x + a.w / 2, a.y + a.h / 2, "middle", "muted", "no values");
    pv_str_addf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"100%%\" ", W,
                (int)(a.y + a.h + (p->x_label ? 40 : 24)));
    pv_str_addf(out, "font-family=\"system-ui,-apple-system,'Segoe UI',sans-serif\" font-size=\"%d\" ", FONT);
    pv_str_add(out, "role=\"img\" aria-label=\"");
    label(out, &c, p);
    pv_str_add(out, "\">");
    pv_str_addn(out, body.text, body.len);
    pv_str_add(out, "</svg>\n");
    pv_str_free(&body);
    pv_chart_free(&c);
}
