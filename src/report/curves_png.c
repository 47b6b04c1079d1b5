/* SPDX-License-Identifier: Apache-2.0
 * A plot on a canvas. */
#include "report/curves_impl.h"

#include <math.h>
#include <string.h>

#include "report/text.h"

enum { S = 2, PAD = 16, ROW = 24 };      /* letter scale; margin; height of a row of text */
static const struct pv_color ink = {0x1F, 0x23, 0x28, 255}, muted = {0x5F, 0x63, 0x68, 255},
                             grid = {0xDF, 0xE3, 0xE8, 255};

static struct pv_color series_color(size_t k, uint8_t alpha)
{
    struct pv_color c = PV_RGB(pv_series_color[0][k % PV_SERIES_COLORS]);
    c.a = alpha;
    return c;
}

/* From the right end of the title on, rows are added below as needed. Returns the rows used. */
static int legend(struct pv_image *im, int x0, int y, int w, int first, const struct chart *c,
                  const struct pv_plot *p)
{
    int x = first, rows = 1;
    for (size_t k = 0; k < p->num; k++) {
        struct pv_str t = {0};
        pv_str_add(&t, p->series[k].name);
        pv_str_add(&t, " ");
        if (!isnan(c->last[k]))
            pv_str_short(&t, c->last[k], 3);
        int wide = 34 + pv_canvas_text_width(S, t.text) + 22;
        if (x > x0 && x + wide > x0 + w) {
            x = x0;
            y += ROW;
            rows++;
        }
        bool dashed = k >= PV_SERIES_COLORS;
        for (int i = 0; i < (dashed ? 2 : 1); i++)
            pv_canvas_rect(im, x + 15 * i, y + 5, dashed ? 10 : 26, 4, series_color(k, 255));
        pv_canvas_text(im, x + 34, y, S, PV_LEFT, ink, t.text);
        x += wide;
        pv_str_free(&t);
    }
    return rows;
}

struct area { double x, y, w, h; };

static void axes(struct pv_image *im, const struct area *a, const struct chart *c)
{
    for (int i = 0; i < c->y.num; i++) {
        int y = (int)lround(a->y + (1 - pv_axis_at(&c->y, c->y.tick[i])) * a->h);
        pv_canvas_rect(im, (int)a->x, y, (int)a->w, 1, grid);
        pv_canvas_text(im, (int)a->x - 10, y - 6, S, PV_RIGHT, muted, c->y.label[i]);
    }
    for (int i = 0; i < c->x.num; i++) {
        int x = (int)lround(a->x + pv_axis_at(&c->x, c->x.tick[i]) * a->w);
        pv_canvas_rect(im, x, (int)(a->y + a->h), 1, 6, grid);
        pv_canvas_text(im, x, (int)(a->y + a->h) + 11, S, PV_CENTRE, muted, c->x.label[i]);
    }
}

/* Splits the line into dashes, so that a colour that came before can be told apart. */
static void dash(struct line *l, const struct area *a)
{
    double gone = 0;
    for (size_t i = 1; i < l->n; i++) {
        double d = hypot((l->x[i] - l->x[i - 1]) * a->w, (l->y[i] - l->y[i - 1]) * a->h);
        gone += isnan(d) ? 0 : d;
        if (fmod(gone, 18) > 12)
            l->y[i - 1] = NAN;
    }
}

static void curve(struct pv_image *im, const struct area *a, const struct line *l, double width,
                  struct pv_color color, bool dashed, bool dots)
{
    struct line px = {pv_array(double, l->n + 1), pv_array(double, l->n + 1), l->n};
    for (size_t i = 0; i < l->n; i++) {
        px.x[i] = l->x[i];
        px.y[i] = l->y[i];
    }
    if (dashed)
        dash(&px, a);
    for (size_t i = 0; i < l->n; i++) {
        px.x[i] = a->x + px.x[i] * a->w;
        px.y[i] = a->y + (1 - px.y[i]) * a->h;
        if (dots && isfinite(l->y[i]))
            pv_canvas_dot(im, a->x + l->x[i] * a->w, a->y + (1 - l->y[i]) * a->h, 4, color);
    }
    pv_canvas_polyline(im, px.x, px.y, px.n, width, color);
    pv_free(px.x);
    pv_free(px.y);
}

void pv_curves_draw(struct pv_image *im, int x, int y, int w, int h, const struct pv_plot *p)
{
    struct chart c;
    pv_chart_make(&c, p, w / 2, 8, pv_max(2, h / 70));
    int wide = 5 * PV_FONT_W * S, after = x + PAD;      /* plots below each other line up */
    for (int i = 0; i < c.y.num; i++)
        wide = pv_max(wide, pv_canvas_text_width(S, c.y.label[i]));
    if (p->title) {
        pv_canvas_text(im, x + PAD, y + PAD, S, PV_LEFT, ink, p->title);
        pv_canvas_text(im, x + PAD + 1, y + PAD, S, PV_LEFT, ink, p->title);      /* bold */
        after += pv_canvas_text_width(S, p->title) + 40;
    }
    int rows = legend(im, x + PAD, y + PAD, w - 2 * PAD, after, &c, p);
    int left = x + PAD + wide + 12, top = y + PAD + rows * ROW + 10;
    if (p->y_label) {
        pv_canvas_text(im, x + PAD, top - 4, S, PV_LEFT, muted, p->y_label);
        top += 22;
    }
    struct area a = {left, top, x + w - 2 * PAD - left, y + h - (p->x_label ? 2 : 1) * ROW - 20 - top};
    axes(im, &a, &c);
    if (p->x_label)
        pv_canvas_text(im, (int)(a.x + a.w), (int)(a.y + a.h) + 11 + ROW, S, PV_RIGHT, muted, p->x_label);
    for (size_t k = 0; k < c.num; k++) {
        bool both = c.mean[k].n > 0, dashed = k >= PV_SERIES_COLORS;
        size_t n = c.raw[k].n;
        if (both)
            curve(im, &a, &c.raw[k], 1.2, series_color(k, 80), false, false);
        curve(im, &a, both ? &c.mean[k] : &c.raw[k], 2.6, series_color(k, 255), dashed, n <= 40 && !both);
    }
    if (c.points == 0)
        pv_canvas_text(im, (int)(a.x + a.w / 2), (int)(a.y + a.h / 2), S, PV_CENTRE, muted, "no values");
    pv_chart_free(&c);
}
