/* SPDX-License-Identifier: Apache-2.0
 * From the series of a plot to scaled, thinned lines; progress.png. Thinning keeps of each column of
 * pixels the first, lowest, highest and last point, and a gap. */
#include "report/curves_impl.h"

#include <math.h>
#include <string.h>

#include "report/png.h"

/* Colours after Okabe and Ito's set, darkened (lightened) where they would fade on white (black). */
const uint32_t pv_series_color[2][PV_SERIES_COLORS] = {
    {0x0072B2, 0xD55E00, 0x00835F, 0xB0528C, 0xB97F00, 0x2F8FC4, 0x5B5B5B, 0x7A3B10},
    {0x5AB0F0, 0xFF8A3D, 0x2CC79B, 0xE79AC6, 0xF0C04A, 0x8FD3FF, 0xB8B8B8, 0xC98A5B},
};

static bool usable(double v, bool log)
{
    return fabs(v) <= 1e300 && (!log || v > 0);
}

static void copy(struct line *l, const double *x, const double *y, size_t n)
{
    l->x = pv_array(double, n + 1);
    l->y = pv_array(double, n + 1);
    if (n > 0) {
        memcpy(l->x, x, n * sizeof *x);
        memcpy(l->y, y, n * sizeof *y);
    }
    l->n = n;
}

/* ---- moving mean ---- */

/* Mean of the finite values among the `window` around each; a gap stays one. Sums are taken from a tree of
 * pair sums, so that a spike leaves no rounding error behind when it is past. */
static void moving_mean(struct line *l, int window)
{
    size_t n = l->n, half = (size_t)window / 2;
    double *sum = pv_array(double, 2 * n), *out = pv_array(double, n + 1);
    uint32_t *num = pv_array(uint32_t, 2 * n);
    for (size_t i = 0; i < n; i++) {
        num[n + i] = isfinite(l->y[i]);
        sum[n + i] = num[n + i] ? l->y[i] : 0;
    }
    for (size_t i = n; i-- > 1;) {
        sum[i] = sum[2 * i] + sum[2 * i + 1];
        num[i] = num[2 * i] + num[2 * i + 1];
    }
    for (size_t i = 0; i < n; i++) {
        size_t a = n + (i > half ? i - half : 0), b = n + (i + half + 1 < n ? i + half + 1 : n);
        double s = 0;
        uint32_t k = 0;
        for (; a < b; a /= 2, b /= 2) {
            if (a & 1) {
                s += sum[a];
                k += num[a++];
            }
            if (b & 1) {
                s += sum[--b];
                k += num[b];
            }
        }
        out[i] = isfinite(l->y[i]) && k ? s / k : NAN;
    }
    memcpy(l->y, out, n * sizeof *out);
    pv_free(sum);
    pv_free(out);
    pv_free(num);
}

/* ---- thinning; the line is in 0..1 already ---- */

static void keep(size_t *list, int *num, size_t i)
{
    int k = *num;
    while (k > 0 && list[k - 1] > i)
        k--;
    if (k > 0 && list[k - 1] == i)
        return;
    memmove(list + k + 1, list + k, (size_t)(*num - k) * sizeof *list);
    list[k] = i;
    ++*num;
}

static void thin(struct line *l, int columns)
{
    if (l->n <= (size_t)columns * 4)
        return;
    size_t out = 0;
    for (size_t a = 0, b; a < l->n; a = b) {
        double column = floor(l->x[a] * columns);
        size_t low = a, high = a, gap = l->n, list[5];
        int num = 0;
        for (b = a; b < l->n && (floor(l->x[b] * columns) == column || isnan(l->x[b])); b++) {
            if (isnan(l->y[b]) || isnan(l->x[b])) {
                gap = gap == l->n ? b : gap;
                continue;
            }
            low = isnan(l->y[low]) || l->y[b] < l->y[low] ? b : low;
            high = isnan(l->y[high]) || l->y[b] > l->y[high] ? b : high;
        }
        keep(list, &num, a);
        keep(list, &num, low);
        keep(list, &num, high);
        keep(list, &num, b - 1);
        if (gap < l->n)
            keep(list, &num, gap);
        for (int i = 0; i < num; i++, out++) {      /* out never passes what is still to be read */
            l->x[out] = l->x[list[i]];
            l->y[out] = l->y[list[i]];
        }
    }
    l->n = out;
}

/* ---- charts ---- */

/* Values to positions in the plot area; values beyond a fixed range stand at its edge. */
static void scale(struct line *l, const struct chart *c)
{
    for (size_t i = 0; i < l->n; i++) {
        double x = pv_axis_at(&c->x, l->x[i]), y = pv_axis_at(&c->y, l->y[i]);
        bool ok = usable(l->x[i], false) && usable(l->y[i], c->y.log);
        l->x[i] = ok ? fmin(fmax(x, 0), 1) : NAN;
        l->y[i] = ok ? fmin(fmax(y, 0), 1) : NAN;
    }
}

static void ranges(const struct pv_plot *p, bool log, double x[2], double y[2], size_t *points)
{
    x[0] = y[0] = INFINITY;
    x[1] = y[1] = -INFINITY;
    *points = 0;
    for (size_t k = 0; k < p->num; k++) {
        const struct pv_series *s = &p->series[k];
        for (size_t i = 0; i < s->n; i++) {
            if (!usable(s->x[i], false))
                continue;
            x[0] = fmin(x[0], s->x[i]);
            x[1] = fmax(x[1], s->x[i]);
            if (!usable(s->y[i], log))
                continue;
            y[0] = fmin(y[0], s->y[i]);
            y[1] = fmax(y[1], s->y[i]);
            ++*points;
        }
    }
}

void pv_chart_make(struct chart *c, const struct pv_plot *p, int columns, int most_x, int most_y)
{
    *c = (struct chart){.num = p->num, .raw = pv_array(struct line, p->num + 1),
                        .mean = pv_array(struct line, p->num + 1), .last = pv_array(double, p->num + 1)};
    double x[2], y[2];
    bool log = p->log_y;
    ranges(p, log, x, y, &c->points);
    if (log && c->points == 0) {
        log = false;
        ranges(p, log, x, y, &c->points);
    }
    bool fixed = p->y_lo < p->y_hi, fixed_x = p->x_lo < p->x_hi;
    pv_axis_make(&c->x, fixed_x ? p->x_lo : x[0], fixed_x ? p->x_hi : x[1], p->whole_x ? PV_AXIS_WHOLE : 0, most_x);
    pv_axis_make(&c->y, fixed ? p->y_lo : y[0], fixed ? p->y_hi : y[1],
                 (log ? PV_AXIS_LOG : 0) | (fixed ? 0 : PV_AXIS_EXTEND), most_y);
    for (size_t k = 0; k < p->num; k++) {
        const struct pv_series *s = &p->series[k];
        copy(&c->raw[k], s->x, s->y, s->n);
        if (p->smooth > 1 && s->n > (size_t)p->smooth) {
            for (size_t i = 0; i < s->n; i++)
                if (!usable(c->raw[k].y[i], log))
                    c->raw[k].y[i] = NAN;
            copy(&c->mean[k], s->x, c->raw[k].y, s->n);
            moving_mean(&c->mean[k], p->smooth);
        }
        const struct line *shown = c->mean[k].n ? &c->mean[k] : &c->raw[k];
        c->last[k] = NAN;
        for (size_t i = 0; i < shown->n; i++)
            if (usable(shown->y[i], log))
                c->last[k] = shown->y[i];
        scale(&c->raw[k], c);
        scale(&c->mean[k], c);
        thin(&c->raw[k], columns);
        thin(&c->mean[k], columns);
    }
}

void pv_chart_free(struct chart *c)
{
    for (size_t k = 0; k < c->num; k++) {
        pv_free(c->raw[k].x);
        pv_free(c->raw[k].y);
        pv_free(c->mean[k].x);
        pv_free(c->mean[k].y);
    }
    pv_free(c->raw);
    pv_free(c->mean);
    pv_free(c->last);
    *c = (struct chart){0};
}

bool pv_curves_png(const char *path, const struct pv_plot *plots, size_t num)
{
    enum { W = 1200, H = 400, MOST = 32 };
    struct pv_image im;
    size_t shown = num < 1 ? 1 : num > MOST ? MOST : num;
    if (!pv_image_make(&im, W, (int)shown * H, 3))
        return false;
    pv_canvas_fill(&im, PV_RGB(0xFFFFFF));
    if (num == 0)
        pv_canvas_text(&im, W / 2, H / 2, 2, PV_CENTRE, PV_RGB(0x5F6368), "nothing was logged yet");
    for (size_t i = 0; i < num && i < MOST; i++)
        pv_curves_draw(&im, 0, (int)i * H, W, H, &plots[i]);
    bool ok = pv_png_write(path, &im);
    pv_image_free(&im);
    return ok;
}
