/* SPDX-License-Identifier: Apache-2.0
 * overlay.h. Pixels and voxels are matched by their centres. The image is interpolated (averaged where
 * several voxels fall on a pixel), labels are not. An outline runs inside its object: pixels of a class with
 * a neighbour of another. The reference is drawn broad and the prediction narrow on top, so that both are seen
 * where they agree. */
#include "report/overlay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TILE = 256, GAP = 4, IGNORE = 255, MOST_FACTOR = 4, MOSAIC_W = 1000, STRIP_TILE_W = 400 };
enum { REF_LINE = 5, PRED_LINE = 2 };     /* pixels of the finer layers */

void pv_layers_free(struct pv_layers *l)
{
    if (!l)
        return;
    pv_image_free(&l->base);
    pv_image_free(&l->ref);
    pv_image_free(&l->pred);
    *l = (struct pv_layers){0};
}

bool pv_layers_pack(struct pv_layers *l)
{
    return pv_image_pack(&l->base) && pv_image_pack(&l->ref) && pv_image_pack(&l->pred);
}

static size_t index_of(const struct pv_overlay *o, const int v[3])
{
    return ((size_t)v[0] * (size_t)o->size[1] + (size_t)v[1]) * (size_t)o->size[2] + (size_t)v[2];
}

/* ---- grey values ---- */

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Percentiles of the finite voxels, of a regular sample where there are many. */
static void window(const struct pv_overlay *o, double lo_hi[2])
{
    enum { MOST = 1 << 18 };
    size_t n = (size_t)o->size[0] * (size_t)o->size[1] * (size_t)o->size[2], num = 0;
    size_t stride = n / MOST + 1;
    while (stride > 1 && (o->size[2] % stride == 0 || stride % (size_t)o->size[2] == 0))
        stride++;               /* would see some planes only */
    float *v = pv_alloc((n / stride + 1) * sizeof *v);
    for (size_t i = 0; i < n; i += stride)
        if (isfinite(o->image[i]))
            v[num++] = o->image[i];
    qsort(v, num, sizeof *v, compare);
    bool given = o->percentile[0] < o->percentile[1];
    for (int k = 0; k < 2; k++) {
        double p = given ? o->percentile[k] : k ? 99.5 : 0.5;
        double at = fmin(fmax(p / 100, 0), 1) * (double)(num ? num - 1 : 0);
        lo_hi[k] = num ? (double)v[(size_t)(at + 0.5)] : 0;
    }
    if (!(lo_hi[1] > lo_hi[0]))
        lo_hi[1] = lo_hi[0] + 1;
    pv_free(v);
}

/* ---- where the object is ---- */

static bool is_object(uint8_t label)
{
    return label != 0 && label != IGNORE;
}

/* Adds the voxels of each plane across each axis to count[axis][plane]. False if there are none. */
static bool count_planes(const struct pv_overlay *o, const uint8_t *label, double *count[3])
{
    bool any = false;
    size_t i = 0;
    for (int x = 0; label && x < o->size[0]; x++)
        for (int y = 0; y < o->size[1]; y++)
            for (int z = 0; z < o->size[2]; z++, i++)
                if (is_object(label[i])) {
                    any = true;
                    count[0][x]++;
                    count[1][y]++;
                    count[2][z]++;
                }
    return any;
}

static void counts_make(const struct pv_overlay *o, double *count[3])
{
    for (int a = 0; a < 3; a++)
        count[a] = pv_array(double, o->size[a]);
}

static void counts_free(double *count[3])
{
    for (int a = 0; a < 3; a++)
        pv_free(count[a]);
}

void pv_overlay_centre(const struct pv_overlay *o, int out[3])
{
    double *count[3];
    counts_make(o, count);
    bool any = count_planes(o, o->ref, count) || count_planes(o, o->pred, count);
    for (int a = 0; a < 3; a++) {
        int n = o->size[a], best = n / 2;
        double sum = 0, moment = 0;
        for (int i = 0; i < n; i++) {
            sum += count[a][i];
            moment += count[a][i] * i;
        }
        double middle = any ? moment / sum : best;
        for (int i = 0, found = 0; any && i < n; i++)
            if (count[a][i] > 0 && (!found || fabs(i - middle) < fabs(best - middle))) {
                best = i;
                found = 1;
            }
        out[a] = best;
    }
    counts_free(count);
}

/* ---- planes ---- */

struct plane {
    int across, slice;          /* the axis that stands still, and where */
    int right, up;              /* the axes that run */
};

static struct plane plane_across(int axis, int slice)
{
    return (struct plane){axis, slice, axis == 0 ? 1 : 0, axis == 2 ? 1 : 2};
}

/* Pixels along an axis for the pixel size `mm`. */
static int extent(const struct pv_overlay *o, const double spacing[3], int axis, double mm)
{
    return pv_min(pv_max((int)lround(o->size[axis] * spacing[axis] / mm), 1), MOST_TILE);
}

/* Spacing with fallback, and the pixel size: the finest voxel side, or what fits the largest tile. */
static double pixel_size(const struct pv_overlay *o, double spacing[3])
{
    double mm = INFINITY, most = 0;
    bool given = o->spacing[0] > 0 && o->spacing[1] > 0 && o->spacing[2] > 0;
    for (int a = 0; a < 3; a++) {
        spacing[a] = given ? o->spacing[a] : 1;
        mm = fmin(mm, spacing[a]);
        most = fmax(most, spacing[a] * o->size[a]);
    }
    return fmax(mm, most / MOST_TILE);
}

/* Voxel coordinate (-0.5 .. size - 0.5) of pixel position t in 0..1 along the axis. */
static double voxel_at(const struct pv_overlay *o, int axis, double t, bool backwards)
{
    return (backwards ? 1 - t : t) * o->size[axis] - 0.5;
}

static double sample(const struct pv_overlay *o, const struct plane *p, double u, double v, double black)
{
    u = fmin(fmax(u, 0), o->size[p->right] - 1);
    v = fmin(fmax(v, 0), o->size[p->up] - 1);
    int u0 = (int)u, v0 = (int)v, at[3];
    double fu = u - u0, fv = v - v0, sum = 0;
    at[p->across] = p->slice;
    for (int k = 0; k < 4; k++) {
        double w = (k & 1 ? fu : 1 - fu) * (k & 2 ? fv : 1 - fv);
        if (w == 0)
            continue;
        at[p->right] = u0 + (k & 1);
        at[p->up] = v0 + (k >> 1);
        float value = o->image[index_of(o, at)];
        sum += w * (isfinite(value) ? (double)value : black);
    }
    return sum;
}

static void draw_base(const struct pv_overlay *o, const struct plane *p, const struct pv_tile *t,
                      const double lo_hi[2], struct pv_image *im)
{
    int su = pv_min(pv_ceil_div(o->size[p->right], t->w), 8), sv = pv_min(pv_ceil_div(o->size[p->up], t->h), 8);
    for (int y = 0; y < t->h; y++) {
        uint8_t *row = im->pixels + (size_t)(t->y + y) * (size_t)im->w + t->x;
        for (int x = 0; x < t->w; x++) {
            double sum = 0;
            for (int k = 0; k < su * sv; k++) {
                double tu = (x + (k % su + 0.5) / su) / t->w, tv = (y + (k / su + 0.5) / sv) / t->h;
                sum += sample(o, p, voxel_at(o, p->right, tu, o->flip[p->right]),
                              voxel_at(o, p->up, tv, !o->flip[p->up]), lo_hi[0]);
            }
            double g = (sum / (su * sv) - lo_hi[0]) / (lo_hi[1] - lo_hi[0]);
            row[x] = (uint8_t)(fmin(fmax(g, 0), 1) * 255 + 0.5);
        }
    }
}

/* ---- outlines ---- */

static uint8_t label_at(const struct pv_overlay *o, const struct plane *p, const uint8_t *label, double tu,
                        double tv)
{
    int at[3];
    at[p->across] = p->slice;
    int u = (int)lround(voxel_at(o, p->right, tu, o->flip[p->right]));
    int v = (int)lround(voxel_at(o, p->up, tv, !o->flip[p->up]));
    at[p->right] = pv_min(pv_max(u, 0), o->size[p->right] - 1);
    at[p->up] = pv_min(pv_max(v, 0), o->size[p->up] - 1);
    return label[index_of(o, at)];
}

static bool is_edge(const uint8_t *lab, int w, int h, int x, int y)
{
    static const int step[4][2] = {{1, 0}, {-1, 0}, {0, 1}, {0, -1}};
    uint8_t own = lab[(size_t)y * (size_t)w + (size_t)x];
    if (!is_object(own))
        return false;
    for (int k = 0; k < 4; k++) {
        int u = x + step[k][0], v = y + step[k][1];
        bool inside = u >= 0 && u < w && v >= 0 && v < h;
        uint8_t other = inside ? lab[(size_t)v * (size_t)w + (size_t)u] : 0;
        if (other != own && other != IGNORE)
            return true;
    }
    return false;
}

static void draw_outline(const struct pv_overlay *o, const struct plane *p, const struct pv_tile *t, int factor,
                         const uint8_t *label, int width, struct pv_color color, struct pv_image *im)
{
    int w = t->w * factor, h = t->h * factor;
    uint8_t *lab = pv_alloc((size_t)w * (size_t)h);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            lab[(size_t)y * (size_t)w + (size_t)x] = label_at(o, p, label, (x + 0.5) / w, (y + 0.5) / h);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            if (!is_edge(lab, w, h, x, y))
                continue;
            int first = -(width - 1) / 2, last = width / 2;
            for (int k = first; k <= last; k++) {
                bool end = width > 2 && (k == first || k == last);      /* without corners */
                int x0 = pv_max(x + first + end, 0), x1 = pv_min(x + last - end, w - 1);
                if (y + k >= 0 && y + k < h)
                    pv_canvas_rect(im, t->x * factor + x0, t->y * factor + y + k, x1 - x0 + 1, 1, color);
            }
        }
    pv_free(lab);
}

/* ---- pictures ---- */

/* Fills the layers for tiles whose places are set. */
static bool draw(const struct pv_overlay *o, struct pv_layers *l, int w, int h)
{
    int fw = w * l->factor, fh = h * l->factor;
    double lo_hi[2];
    if (!pv_image_make(&l->base, w, h, 1) || (o->ref && !pv_image_make(&l->ref, fw, fh, 4))
        || (o->pred && !pv_image_make(&l->pred, fw, fh, 4))) {
        pv_layers_free(l);
        return false;
    }
    window(o, lo_hi);
    for (int i = 0; i < l->num_tiles; i++) {
        const struct pv_tile *t = &l->tile[i];
        struct plane p = plane_across(t->axis, t->slice);
        draw_base(o, &p, t, lo_hi, &l->base);
        if (o->ref)
            draw_outline(o, &p, t, l->factor, o->ref, REF_LINE, PV_RGB(PV_REF_COLOR), &l->ref);
        if (o->pred)
            draw_outline(o, &p, t, l->factor, o->pred, PRED_LINE, PV_RGB(PV_PRED_COLOR), &l->pred);
    }
    return true;
}

static int factor_for(int want, int have)
{
    return pv_min(pv_max((want + have / 2) / have, 1), MOST_FACTOR);
}

static bool check(const struct pv_overlay *o)
{
    bool ok = o->image && o->size[0] > 0 && o->size[1] > 0 && o->size[2] > 0;
    return ok || pv_fail(PV_FAULT_INTERNAL, "an overlay of a volume without voxels");
}

bool pv_overlay_mosaic(const struct pv_overlay *o, struct pv_layers *out)
{
    *out = (struct pv_layers){.factor = 1};
    if (!check(o))
        return false;
    double spacing[3], mm = pixel_size(o, spacing);
    int centre[3], w = 0, h = 0;
    pv_overlay_centre(o, centre);
    for (int axis = 2; axis >= 0; axis--) {
        struct plane p = plane_across(axis, centre[axis]);
        bool flat = o->size[p.right] == 1 || o->size[p.up] == 1;
        if (flat && !(axis == 0 && out->num_tiles == 0))
            continue;
        struct pv_tile *t = &out->tile[out->num_tiles++];
        *t = (struct pv_tile){w, 0, extent(o, spacing, p.right, mm), extent(o, spacing, p.up, mm), axis,
                              centre[axis]};
        w += t->w + GAP;
        h = pv_max(h, t->h);
    }
    w -= GAP;
    for (int i = 0; i < out->num_tiles; i++)
        out->tile[i].y = (h - out->tile[i].h) / 2;
    out->factor = factor_for(MOSAIC_W, w);
    return draw(o, out, w, h);
}

bool pv_overlay_strip(const struct pv_overlay *o, int most, struct pv_layers *out)
{
    *out = (struct pv_layers){.factor = 1};
    if (!check(o))
        return false;
    double spacing[3], mm = pixel_size(o, spacing), *count[3];
    int first = 0, last = o->size[2] - 1;
    counts_make(o, count);
    bool in_ref = count_planes(o, o->ref, count), in_pred = count_planes(o, o->pred, count);
    if (in_ref || in_pred) {
        while (count[2][first] == 0)
            first++;
        while (count[2][last] == 0)
            last--;
        first = pv_max(first - 1, 0);
        last = pv_min(last + 1, o->size[2] - 1);
    }
    counts_free(count);
    int n = pv_min(pv_min(pv_max(most, 1), PV_MOST_TILES), last - first + 1);
    int w = extent(o, spacing, 0, mm), h = extent(o, spacing, 1, mm);
    for (int i = 0; i < n; i++) {
        int slice = n == 1 ? (first + last) / 2 : first + (int)((double)i * (last - first) / (n - 1) + 0.5);
        out->tile[out->num_tiles++] = (struct pv_tile){i * w, 0, w, h, 2, slice};
    }
    out->factor = factor_for(STRIP_TILE_W, w);
    return draw(o, out, n * w, h);
}

/* ---- flat ---- */

/* The base `factor` times larger, as RGB at (0, top). */
static void enlarge(const struct pv_layers *l, struct pv_image *im, int top)
{
    int f = l->factor;
    const struct pv_image *b = &l->base;
    for (int i = 0; i < l->num_tiles; i++) {
        const struct pv_tile *t = &l->tile[i];
        for (int y = 0; y < t->h * f; y++)
            for (int x = 0; x < t->w * f; x++) {
                double u = fmin(fmax((x + 0.5) / f - 0.5, 0), t->w - 1);
                double v = fmin(fmax((y + 0.5) / f - 0.5, 0), t->h - 1);
                int u0 = (int)u, v0 = (int)v, u1 = pv_min(u0 + 1, t->w - 1), v1 = pv_min(v0 + 1, t->h - 1);
                const uint8_t *r0 = b->pixels + (size_t)(t->y + v0) * (size_t)b->w + t->x;
                const uint8_t *r1 = b->pixels + (size_t)(t->y + v1) * (size_t)b->w + t->x;
                double a = r0[u0] + (u - u0) * (r0[u1] - r0[u0]), c = r1[u0] + (u - u0) * (r1[u1] - r1[u0]);
                size_t at = (size_t)(top + t->y * f + y) * (size_t)im->w + (size_t)(t->x * f + x);
                uint8_t *p = im->pixels + at * 3;
                p[0] = p[1] = p[2] = (uint8_t)(a + (v - v0) * (c - a) + 0.5);
            }
    }
}

/* Returns where the next one stands. */
static int key(struct pv_image *im, int x, int y, uint32_t color, int thick, const char *text)
{
    pv_canvas_rect(im, x, y + 7 - thick / 2, 26, thick, PV_RGB(color));
    pv_canvas_text(im, x + 34, y, 2, PV_LEFT, PV_RGB(0xE8EAED), text);
    return x + 34 + pv_canvas_text_width(2, text) + 28;
}

bool pv_overlay_flat(const struct pv_overlay *o, const struct pv_layers *l, struct pv_image *out)
{
    enum { HEAD = 38, FOOT = 34, GROUND = 0x0B0D10 };
    int f = l->factor, w = pv_max(l->base.w * f, 420), h = l->base.h * f;
    if (!pv_image_make(out, w, HEAD + h + FOOT, 3))
        return false;
    pv_canvas_fill(out, PV_RGB(GROUND));
    enlarge(l, out, HEAD);
    if (l->ref.pixels)
        pv_canvas_over(out, 0, HEAD, &l->ref);
    if (l->pred.pixels)
        pv_canvas_over(out, 0, HEAD, &l->pred);
    if (o->id)
        pv_canvas_text(out, 10, 12, 2, PV_LEFT, PV_RGB(0xFFFFFF), o->id);
    int keys = (l->ref.pixels ? 34 + 9 * 12 + 28 : 0) + (l->pred.pixels ? 34 + 10 * 12 + 28 : 0);
    int x = w - keys, y = HEAD + h + 10;
    pv_canvas_rect(out, x - 16, 0, w, HEAD, PV_RGB(GROUND));     /* a long id ends here */
    if (l->ref.pixels)
        x = key(out, x, 12, PV_REF_COLOR, 5, "reference");
    if (l->pred.pixels)
        key(out, x, 12, PV_PRED_COLOR, 3, "prediction");
    for (int i = 0; i < l->num_tiles; i++) {
        const struct pv_tile *t = &l->tile[i];
        char text[32];
        snprintf(text, sizeof text, "%c = %d", "xyz"[t->axis], t->slice);
        pv_canvas_text(out, (t->x + t->w / 2) * f, y, 2, PV_CENTRE, PV_RGB(0xA8ADB3), text);
    }
    return true;
}

bool pv_overlay_png(const struct pv_overlay *o, const char *path)
{
    struct pv_layers l;
    struct pv_image im = {0};
    bool ok = pv_overlay_mosaic(o, &l) && pv_overlay_flat(o, &l, &im) && pv_png_write(path, &im);
    pv_image_free(&im);
    pv_layers_free(&l);
    return ok;
}
