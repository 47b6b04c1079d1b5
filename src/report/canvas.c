/* SPDX-License-Identifier: Apache-2.0
 * canvas.h. Lines: the coverage of a pixel is how far its centre lies inside the stroke, clamped to one
 * pixel; a polyline takes the greatest coverage of its segments and then blends once. */
#include "report/canvas.h"

#include <math.h>
#include <string.h>

#include "report/text.h"

static void blend(struct pv_image *im, int x, int y, struct pv_color c, unsigned cover)
{
    unsigned a = (c.a * cover + 127) / 255;
    if (a == 0)
        return;
    uint8_t *p = im->pixels + ((size_t)y * (size_t)im->w + (size_t)x) * (size_t)im->channels;
    if (im->channels == 1) {
        p[0] = (uint8_t)((p[0] * (255 - a) + c.g * a + 127) / 255);
        return;
    }
    unsigned below = im->channels == 4 ? p[3] * (255 - a) / 255 : 255 - a, sum = below + a;
    p[0] = (uint8_t)((p[0] * below + c.r * a + sum / 2) / sum);
    p[1] = (uint8_t)((p[1] * below + c.g * a + sum / 2) / sum);
    p[2] = (uint8_t)((p[2] * below + c.b * a + sum / 2) / sum);
    if (im->channels == 4)
        p[3] = (uint8_t)sum;
}

void pv_canvas_rect(struct pv_image *im, int x, int y, int w, int h, struct pv_color c)
{
    int x0 = pv_max(x, 0), y0 = pv_max(y, 0);
    int x1 = pv_min(x + w, im->w), y1 = pv_min(y + h, im->h);
    for (int v = y0; v < y1; v++)
        for (int u = x0; u < x1; u++)
            blend(im, u, v, c, 255);
}

void pv_canvas_fill(struct pv_image *im, struct pv_color c)
{
    pv_canvas_rect(im, 0, 0, im->w, im->h, c);
}

/* ---- lines ---- */

struct cover {
    uint8_t *v;             /* [h][w] */
    int w, h, x0, y0, x1, y1;       /* what is touched, x1 and y1 excluded */
};

/* Pixel index of a position, kept near the image so that any finite number is safe. */
static int clamp_px(double v, int most)
{
    return v < -1 ? -1 : v > most ? most : (int)floor(v);
}

static void segment(struct cover *m, double ax, double ay, double bx, double by, double r)
{
    double dx = bx - ax, dy = by - ay, len2 = dx * dx + dy * dy;
    int y0 = pv_max(clamp_px(fmin(ay, by) - r - 1, m->h), 0);
    int y1 = pv_min(clamp_px(fmax(ay, by) + r + 1, m->h), m->h - 1);
    for (int y = y0; y <= y1; y++) {
        /* the part of the segment near this row bounds the columns */
        double t0 = 0, t1 = 1;
        if (dy != 0) {
            double a = (y - r - 1 - ay) / dy, b = (y + r + 2 - ay) / dy;
            t0 = fmax(0, fmin(a, b));
            t1 = fmin(1, fmax(a, b));
        }
        double l = fmin(ax + t0 * dx, ax + t1 * dx), h = fmax(ax + t0 * dx, ax + t1 * dx);
        int x0 = pv_max(clamp_px(l - r - 1, m->w), 0), x1 = pv_min(clamp_px(h + r + 1, m->w), m->w - 1);
        for (int x = x0; x <= x1; x++) {
            double px = x + 0.5 - ax, py = y + 0.5 - ay;
            double t = len2 > 0 ? fmin(fmax((px * dx + py * dy) / len2, 0), 1) : 0;
            double c = r + 0.5 - hypot(px - t * dx, py - t * dy);
            if (c <= 0)
                continue;
            unsigned k = c >= 1 ? 255 : (unsigned)(c * 255 + 0.5);
            uint8_t *p = m->v + (size_t)y * (size_t)m->w + (size_t)x;
            if (*p < k)
                *p = (uint8_t)k;
            m->x0 = pv_min(m->x0, x);
            m->y0 = pv_min(m->y0, y);
            m->x1 = pv_max(m->x1, x + 1);
            m->y1 = pv_max(m->y1, y + 1);
        }
    }
}

void pv_canvas_polyline(struct pv_image *im, const double *x, const double *y, size_t n, double width,
                        struct pv_color c)
{
    struct cover m = {pv_zalloc((size_t)im->w * (size_t)im->h), im->w, im->h, im->w, im->h, 0, 0};
    bool open = false;      /* the point before this one exists */
    for (size_t i = 0; i < n; i++) {
        /* beyond 1e6 pixels a slope cannot be told from a vertical line */
        bool here = fabs(x[i]) < 1e6 && fabs(y[i]) < 1e6;
        if (here)
            segment(&m, open ? x[i - 1] : x[i], open ? y[i - 1] : y[i], x[i], y[i], width / 2);
        open = here;
    }
    for (int v = m.y0; v < m.y1; v++)
        for (int u = m.x0; u < m.x1; u++)
            blend(im, u, v, c, m.v[(size_t)v * (size_t)im->w + (size_t)u]);
    pv_free(m.v);
}

void pv_canvas_line(struct pv_image *im, double x0, double y0, double x1, double y1, double width,
                    struct pv_color c)
{
    pv_canvas_polyline(im, (double[]){x0, x1}, (double[]){y0, y1}, 2, width, c);
}

void pv_canvas_dot(struct pv_image *im, double x, double y, double radius, struct pv_color c)
{
    pv_canvas_polyline(im, &x, &y, 1, 2 * radius, c);
}

/* ---- text ---- */

int pv_canvas_text_width(int scale, const char *text)
{
    int n = 0;
    while (pv_utf8_next(&text))
        n++;
    return n ? (n * PV_FONT_W - 1) * scale : 0;
}

void pv_canvas_text(struct pv_image *im, int x, int y, int scale, enum pv_align align, struct pv_color c,
                    const char *text)
{
    int w = pv_canvas_text_width(scale, text);
    x -= align == PV_RIGHT ? w : align == PV_CENTRE ? w / 2 : 0;
    for (uint32_t code; (code = pv_utf8_next(&text)) != 0 && x < im->w; x += PV_FONT_W * scale) {
        const uint8_t *rows = pv_font[code >= 32 && code < 127 ? code - 32 : '?' - 32];
        for (int v = 0; v < PV_FONT_H + PV_FONT_DROP; v++)
            for (int u = 0; u < 5; u++)
                if (rows[v] >> (4 - u) & 1)
                    pv_canvas_rect(im, x + u * scale, y + v * scale, scale, scale, c);
    }
}

void pv_canvas_over(struct pv_image *im, int x, int y, const struct pv_image *src)
{
    for (int v = pv_max(0, -y); v < src->h && y + v < im->h; v++) {
        const uint8_t *p = src->pixels + (size_t)v * (size_t)src->w * 4;
        for (int u = pv_max(0, -x); u < src->w && x + u < im->w; u++)
            blend(im, x + u, y + v, (struct pv_color){p[4 * u], p[4 * u + 1], p[4 * u + 2], p[4 * u + 3]}, 255);
    }
}
