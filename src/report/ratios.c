/* SPDX-License-Identifier: Apache-2.0
 * ratios.h. */
#include "report/ratios.h"

#include <math.h>

#include "report/axis.h"
#include "report/curves.h"
#include "report/svg.h"
#include "report/text.h"

enum { W = 860, ROW = 15, PAD = 10, STEP = 4 };     /* STEP: between the series of a row */

struct frame { double x, y, w, h, row; };           /* of the dots; row: height of one */

static bool shown(const struct pv_ratio *r)
{
    return isfinite(r->mid) && r->mid > 0;
}

static double low(const struct pv_ratio *r)
{
    return isfinite(r->lo) && r->lo > 0 ? fmin(r->lo, r->mid) : r->mid;
}

static double high(const struct pv_ratio *r)
{
    return isfinite(r->hi) ? fmax(r->hi, r->mid) : r->mid;
}

static double legend(struct pv_str *s, const struct pv_ratio_chart *c, double y)
{
    double x = PAD;
    for (size_t k = 0; k < c->num; k++) {
        double w = 18 + pv_svg_letter * pv_svg_letters(c->names[k]) + 16;
        if (x > PAD && x + w > W) {
            x = PAD;
            y += 17;
        }
        pv_str_add(s, "<circle r=\"4\" cx=\"");
        pv_str_fixed(s, x + 5, 1);
        pv_str_add(s, "\" cy=\"");
        pv_str_fixed(s, y - 4, 1);
        pv_str_add(s, "\" ");
        pv_svg_paint(s, "fill", k);
        pv_str_add(s, "\"/>");
        pv_svg_text(s, x + 14, y, "start", "fg", c->names[k]);
        x += w;
    }
    return y;
}

static void scale(struct pv_str *s, const struct frame *f, const struct pv_axis *a, const char *label)
{
    pv_str_add(s, "<path fill=\"none\" style=\"stroke:var(--grid,#d8dce1)\" d=\"");
    for (int i = 0; i < a->num; i++) {
        double x = f->x + pv_axis_at(a, a->tick[i]) * f->w;
        pv_svg_line(s, x, f->y, x, f->y + f->h + 4);
    }
    pv_str_add(s, "\"/><path fill=\"none\" stroke-width=\"1.5\" style=\"stroke:var(--muted,#5f6368)\" d=\"");
    double one = f->x + pv_axis_at(a, 1) * f->w;
    pv_svg_line(s, one, f->y, one, f->y + f->h + 4);
    pv_str_add(s, "\"/>");
    for (int i = 0; i < a->num; i++)
        pv_svg_text(s, f->x + pv_axis_at(a, a->tick[i]) * f->w, f->y + f->h + 17, "middle", "muted", a->label[i]);
    if (label)
        pv_svg_text(s, f->x + f->w, f->y + f->h + 33, "end", "muted", label);
}

static void mark(struct pv_str *s, const struct frame *f, const struct pv_axis *a, const struct pv_ratio *r, double y,
                 size_t k)
{
    pv_str_add(s, "<path fill=\"none\" stroke-width=\"1.4\" opacity=\"0.6\" ");
    pv_svg_paint(s, "stroke", k);
    pv_str_add(s, "\" d=\"");
    pv_svg_line(s, f->x + pv_axis_at(a, low(r)) * f->w, y, f->x + pv_axis_at(a, high(r)) * f->w, y);
    pv_str_add(s, "\"/><circle r=\"3\" cx=\"");
    pv_str_fixed(s, f->x + pv_axis_at(a, r->mid) * f->w, 1);
    pv_str_add(s, "\" cy=\"");
    pv_str_fixed(s, y, 1);
    pv_str_add(s, "\" ");
    pv_svg_paint(s, "fill", k);
    pv_str_add(s, "\"/>");
}

static struct pv_axis axis_of(const struct pv_ratio_chart *c)
{
    struct pv_axis a;
    double lo = 0.5, hi = 2;
    for (size_t i = 0; i < c->rows * c->num; i++)
        if (shown(&c->v[i])) {
            lo = fmin(lo, low(&c->v[i]));
            hi = fmax(hi, high(&c->v[i]));
        }
    lo = fmin(fmax(lo, 1e-6), 0.4);         /* more than a decade: then the axis is logarithmic */
    hi = fmax(fmin(hi, 1e6), 4.1);
    pv_axis_make(&a, lo, hi, PV_AXIS_LOG | PV_AXIS_EXTEND, 8);
    return a;
}

void pv_ratios_svg(struct pv_str *out, const struct pv_ratio_chart *c)
{
    struct pv_axis a = axis_of(c);
    struct pv_str body = {0};
    int widest = 8;
    for (size_t r = 0; r < c->rows; r++)
        widest = pv_max(widest, pv_svg_letters(c->row_names[r]));
    double y = 24, names = fmin(pv_svg_letter * widest + 8, 420);
    pv_str_add(&body, "<g font-weight=\"600\" font-size=\"14\">");
    pv_svg_text(&body, PAD, y, "start", "fg", c->title);
    pv_str_add(&body, "</g>");
    if (c->base)
        pv_svg_text(&body, PAD, y += 18, "start", "muted", c->base);
    y = legend(&body, c, y + 20) + 14;
    double row = fmax(ROW, (double)STEP * (double)(c->num + 1));
    struct frame f = {PAD + names + 8, y, W - names - 3 * PAD - 8, row * (double)pv_max((int)c->rows, 1), row};
    scale(&body, &f, &a, c->x_label);
    for (size_t r = 0; r < c->rows; r++) {
        double at = f.y + ((double)r + 0.5) * row;
        pv_svg_text(&body, PAD + names, at + 4, "end", "fg", c->row_names[r]);
        for (size_t k = 0; k < c->num; k++)
            if (shown(&c->v[r * c->num + k]))
                mark(&body, &f, &a, &c->v[r * c->num + k], at + STEP * ((double)k - 0.5 * (double)(c->num - 1)), k);
    }
    int h = (int)(f.y + f.h + (c->x_label ? 44 : 28));
    pv_str_addf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"100%%\" ", W, h);
    pv_str_add(out, "font-family=\"system-ui,-apple-system,'Segoe UI',sans-serif\" font-size=\"12\" role=\"img\" "
               "aria-label=\"");
    pv_str_escape(out, c->title);
    pv_str_addf(out, "\"><rect width=\"%d\" height=\"%d\" fill=\"#ffffff\" style=\"fill:var(--bg,#ffffff)\"/>", W, h);
    pv_str_addn(out, body.text, body.len);
    pv_str_add(out, "</svg>\n");
    pv_str_free(&body);
}
