/* SPDX-License-Identifier: Apache-2.0
 * Preparation of volumes (prep.h). Statistics are summed in double. */
#include "data/prep.h"

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "data/file.h"
#include "data/slices.h"

const struct pv_prep pv_preps[] = {
    {.name = "none", .about = "as it is"},
    {.name = "zscore", .about = "mean 0, deviation 1", .norm = PV_SCALING_ZSCORE},
    {.name = "minmax", .about = "to [0, 1]", .norm = PV_SCALING_MINMAX},
    {.name = "auto", .about = "by the names of the channels, as nnU-Net does", .norm = PV_SCALING_BY_NAME},
    {.name = "la", .about = "left atrium as published (already normalised)"},
    {.name = "la-small", .about = "the same at half resolution", .half = true},
    {.name = "la-small-minmax", .about = "the same, to [0, 1] before", .half = true, .norm = PV_SCALING_MINMAX},
    {.name = "pancreas", .about = "CT: 1 mm, label box and 25 voxels, [-125, 275] HU to [0, 1]", .spacing = 1,
     .crop = PV_CROP_LABEL, .margin = 25, .least = 96, .lo = -125, .hi = 275, .norm = PV_SCALING_MINMAX},
    {.name = "brats19", .about = "brain box, clipped at 99.9 %, z-score of the brain", .crop = PV_CROP_NONZERO,
     .hi_part = 0.999, .norm = PV_SCALING_ZSCORE_ABOVE_0},
    {.name = "brats19-minmax", .about = "brain box, clipped at 99.9 %, to [0, 1]", .crop = PV_CROP_NONZERO,
     .hi_part = 0.999, .norm = PV_SCALING_MINMAX},
    {.name = "acdc", .about = "slices, to [0, 1]", .norm = PV_SCALING_MINMAX, .slices = true},
    {.name = "slices", .about = "slices, mean 0, deviation 1", .norm = PV_SCALING_ZSCORE, .slices = true},
    {.name = "ian", .about = "clipped to 0.5 .. 99.5 %, z-score", .lo_part = 0.005, .hi_part = 0.995,
     .norm = PV_SCALING_ZSCORE},
    {.name = NULL},
};

const struct pv_prep *pv_prep_find(const char *name)
{
    const char *names[PV_COUNT(pv_preps)];
    size_t n = 0;
    for (const struct pv_prep *p = pv_preps; p->name; p++) {
        if (strcmp(p->name, name) == 0)
            return p;
        names[n++] = p->name;
    }
    const char *near = pv_nearest(name, names, n);
    return pv_fail_null(PV_FAULT_USAGE, "unknown preparation %s%s%s%s", name, near ? " (did you mean " : "",
                        near ? near : "", near ? "?)" : "");
}

/* ---- intensities ---- */

float pv_prep_quantile(float *v, size_t n, double q)
{
    double rank = ceil(q * (double)n);
    ptrdiff_t lo = 0, hi = (ptrdiff_t)n - 1, k = rank < 1 ? 0 : rank > (double)n ? hi : (ptrdiff_t)rank - 1;
    while (lo < hi) {           /* Hoare's selection */
        float pivot = v[k];
        ptrdiff_t i = lo, j = hi;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j) {
                float t = v[i];
                v[i++] = v[j];
                v[j--] = t;
            }
        }
        if (j < k)
            lo = i;
        if (k < i)
            hi = j;
    }
    return v[k];
}

static void clip(float *v, size_t n, float lo, float hi)
{
    for (size_t i = 0; i < n; i++)
        v[i] = v[i] < lo ? lo : v[i] > hi ? hi : v[i];
}

static bool clip_parts(const char *what, double lo_part, double hi_part, float *v, size_t n)
{
    float *copy = pv_alloc_big(n * sizeof *copy, what);
    if (!copy)
        return false;
    memcpy(copy, v, n * sizeof *copy);
    float lo = lo_part > 0 ? pv_prep_quantile(copy, n, lo_part) : -INFINITY;
    float hi = hi_part > 0 ? pv_prep_quantile(copy, n, hi_part) : INFINITY;
    clip(v, n, lo, hi);
    pv_free_big(copy);
    return true;
}

static void affine_to_all(float *v, size_t n, double shift, double scale)
{
    for (size_t i = 0; i < n; i++)
        v[i] = (float)((v[i] - shift) * scale);
}

void pv_prep_normalise(enum pv_scaling norm, float *v, size_t n)
{
    if (norm == PV_SCALING_MINMAX) {
        float lo = v[0], hi = v[0];
        for (size_t i = 0; i < n; i++) {
            lo = v[i] < lo ? v[i] : lo;
            hi = v[i] > hi ? v[i] : hi;
        }
        affine_to_all(v, n, lo, hi > lo ? 1 / ((double)hi - lo) : 1);
    } else if (norm == PV_SCALING_ZSCORE || norm == PV_SCALING_ZSCORE_ABOVE_0) {
        bool above = norm == PV_SCALING_ZSCORE_ABOVE_0;
        double sum = 0, squares = 0;
        size_t count = 0;
        for (size_t i = 0; i < n; i++) {
            bool in = !above || v[i] > 0;
            sum += in ? v[i] : 0;
            count += in;
        }
        double mean = count ? sum / (double)count : 0;
        for (size_t i = 0; i < n; i++)
            if (!above || v[i] > 0)
                squares += (v[i] - mean) * (v[i] - mean);
        double std = count ? sqrt(squares / (double)count) : 0;
        affine_to_all(v, n, mean, std > 0 ? 1 / std : 1);
    }
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a | 32) != (*b | 32))
            return false;
    return *a == *b;
}

static bool intensities(const struct pv_prep *p, const char *what, const char *name, float *v, size_t n)
{
    enum pv_scaling norm = p->norm;
    double lo_part = p->lo_part, hi_part = p->hi_part;
    if (norm == PV_SCALING_BY_NAME) {
        norm = !name ? PV_SCALING_ZSCORE : same_name(name, "noNorm") ? PV_SCALING_NONE
             : same_name(name, "rescale_to_0_1") || same_name(name, "rgb_to_0_1") ? PV_SCALING_MINMAX
             : PV_SCALING_ZSCORE;
        if (name && same_name(name, "CT")) {
            lo_part = 0.005;
            hi_part = 0.995;
        }
    }
    if (p->lo < p->hi)
        clip(v, n, (float)p->lo, (float)p->hi);
    if ((lo_part > 0 || hi_part > 0) && !clip_parts(what, lo_part, hi_part, v, n))
        return false;
    pv_prep_normalise(norm, v, n);
    return true;
}

/* ---- grids ---- */

/* Gives v the new arrays and the grid whose voxel (0, 0, 0) has its centre at `origin` of the old one,
 * with steps of `step` old voxels. Owns what it is given. */
static void regrid(struct pv_volume *v, const int size[3], const double origin[3], const double step[3],
                   float *image, uint8_t *label)
{
    double m[3][4];
    pv_geometry_affine(&v->geo, m);
    for (int r = 0; r < 3; r++)
        for (int a = 0; a < 3; a++)
            m[r][3] += m[r][a] * origin[a];
    for (int a = 0; a < 3; a++) {
        for (int r = 0; r < 3; r++)
            m[r][a] *= step[a];
        v->size[a] = size[a];
        v->spacing[a] *= step[a];
    }
    pv_geometry_regrid(&v->geo, size, m);
    pv_free_big(v->image);
    pv_free_big(v->label);
    v->image = image;
    v->label = label;
}

/* Room for the arrays that v has, on another grid. */
static bool room_like(const char *what, const struct pv_volume *v, const int size[3], float **image,
                      uint8_t **label)
{
    struct pv_volume n = {.channels = v->channels, .size = {size[0], size[1], size[2]}};
    if ((v->image && !pv_volume_room(what, PV_IMAGE, &n)) || (v->label && !pv_volume_room(what, PV_LABEL, &n))) {
        pv_volume_free(&n);
        return false;
    }
    *image = n.image;
    *label = n.label;
    return true;
}

static uint8_t majority(const uint8_t votes[8])
{
    int best = PV_LABEL_IGNORE, most = 0;
    for (int i = 0; i < 8; i++) {
        int count = 0;
        if (votes[i] == PV_LABEL_IGNORE)
            continue;
        for (int j = 0; j < 8; j++)
            count += votes[j] == votes[i];
        bool wins = best == 0 ? votes[i] != 0 : votes[i] != 0 && votes[i] < best;
        if (count > most || (count == most && wins)) {
            most = count;
            best = votes[i];
        }
    }
    return (uint8_t)best;
}

bool pv_prep_half(const char *what, struct pv_volume *v)
{
    const int *n = v->size;
    const int half[3] = {pv_ceil_div(n[0], 2), pv_ceil_div(n[1], 2), pv_ceil_div(n[2], 2)};
    const double origin[3] = {0.5, 0.5, 0.5}, step[3] = {2, 2, 2};
    size_t old = pv_volume_voxels(v), now = (size_t)half[0] * (size_t)half[1] * (size_t)half[2], at = 0;
    float *image;
    uint8_t *label;
    if (!room_like(what, v, half, &image, &label))
        return false;
    for (int x = 0; x < half[0]; x++) {
        for (int y = 0; y < half[1]; y++) {
            for (int z = 0; z < half[2]; z++, at++) {
                size_t from[8];
                uint8_t votes[8];
                for (int k = 0; k < 8; k++) {
                    size_t i = (size_t)pv_min(2 * x + (k >> 2), n[0] - 1);
                    size_t j = (size_t)pv_min(2 * y + (k >> 1 & 1), n[1] - 1);
                    from[k] = (i * (size_t)n[1] + j) * (size_t)n[2] + (size_t)pv_min(2 * z + (k & 1), n[2] - 1);
                    votes[k] = label ? v->label[from[k]] : 0;
                }
                for (int c = 0; image && c < v->channels; c++) {
                    float sum = 0;
                    for (int k = 0; k < 8; k++)
                        sum += v->image[(size_t)c * old + from[k]];
                    image[(size_t)c * now + at] = sum * 0.125f;
                }
                if (label)
                    label[at] = majority(votes);
            }
        }
    }
    regrid(v, half, origin, step, image, label);
    return true;
}

bool pv_prep_crop(const char *what, const int from[3], const int size[3], struct pv_volume *v)
{
    const double origin[3] = {from[0], from[1], from[2]}, step[3] = {1, 1, 1};
    size_t row = (size_t)size[2], old = pv_volume_voxels(v), to = 0;
    float *image;
    uint8_t *label;
    if (!room_like(what, v, size, &image, &label))
        return false;
    for (int c = 0; c < pv_max(v->channels, 1); c++) {
        for (int x = 0; x < size[0]; x++) {
            for (int y = 0; y < size[1]; y++, to += row) {
                size_t at = ((size_t)(from[0] + x) * (size_t)v->size[1] + (size_t)(from[1] + y)) *
                            (size_t)v->size[2] + (size_t)from[2];
                if (image)
                    memcpy(image + to, v->image + (size_t)c * old + at, row * sizeof *image);
                if (label && c == 0)
                    memcpy(label + to, v->label + at, row);
            }
        }
    }
    regrid(v, size, origin, step, image, label);
    return true;
}

/* Position in the old grid of the centre of new voxel i, and the two planes around it. */
static double between(int i, double step, int n, int *a, int *b)
{
    double p = (i + 0.5) * step - 0.5;
    p = p < 0 ? 0 : p > n - 1 ? n - 1 : p;
    *a = (int)p;
    *b = pv_min(*a + 1, n - 1);
    return p - *a;
}

static int resampled_side(int n, double spacing, double wanted)
{
    double side = floor(n * spacing / wanted + 0.5);
    return side < 1 ? 1 : side > 32767 ? 32767 : (int)side;
}

bool pv_prep_resample(const char *what, double spacing, struct pv_volume *v)
{
    const int *n = v->size;
    int size[3];
    double step[3], origin[3];
    bool same = true;
    for (int a = 0; a < 3; a++) {
        size[a] = resampled_side(n[a], v->spacing[a], spacing);
        step[a] = (double)n[a] / size[a];
        origin[a] = 0.5 * step[a] - 0.5;
        same &= fabs(v->spacing[a] - spacing) < 1e-3 * spacing;
    }
    if (same)
        return true;
    size_t old = pv_volume_voxels(v), now = (size_t)size[0] * (size_t)size[1] * (size_t)size[2], at = 0;
    float *image;
    uint8_t *label;
    if (!room_like(what, v, size, &image, &label))
        return false;
    for (int x = 0; x < size[0]; x++) {
        for (int y = 0; y < size[1]; y++) {
            for (int z = 0; z < size[2]; z++, at++) {
                int p[3][2];
                double t[3] = {between(x, step[0], n[0], &p[0][0], &p[0][1]),
                               between(y, step[1], n[1], &p[1][0], &p[1][1]),
                               between(z, step[2], n[2], &p[2][0], &p[2][1])};
                size_t near = ((size_t)p[0][t[0] >= 0.5] * (size_t)n[1] + (size_t)p[1][t[1] >= 0.5]) *
                              (size_t)n[2] + (size_t)p[2][t[2] >= 0.5];
                if (label)
                    label[at] = v->label[near];
                for (int c = 0; image && c < v->channels; c++) {
                    double sum = 0;
                    for (int k = 0; k < 8; k++) {
                        int i = k >> 2, j = k >> 1 & 1, l = k & 1;
                        double w = (i ? t[0] : 1 - t[0]) * (j ? t[1] : 1 - t[1]) * (l ? t[2] : 1 - t[2]);
                        size_t from = ((size_t)p[0][i] * (size_t)n[1] + (size_t)p[1][j]) * (size_t)n[2];
                        sum += w * v->image[(size_t)c * old + from + (size_t)p[2][l]];
                    }
                    image[(size_t)c * now + at] = (float)sum;
                }
            }
        }
    }
    regrid(v, size, origin, step, image, label);
    return true;
}

/* Box of the voxels that are not 0 (in any channel), or of the labelled ones; false if there are none. */
static bool box_of(const struct pv_volume *v, enum pv_crop crop, int from[3], int to[3])
{
    size_t n = pv_volume_voxels(v);
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        bool in = false;
        if (crop == PV_CROP_LABEL)
            in = v->label[i] != 0 && v->label[i] != PV_LABEL_IGNORE;
        for (int c = 0; crop == PV_CROP_NONZERO && c < v->channels; c++)
            in |= v->image[(size_t)c * n + i] != 0;
        if (!in)
            continue;
        const int p[3] = {(int)(i / (size_t)v->size[2] / (size_t)v->size[1]),
                          (int)(i / (size_t)v->size[2] % (size_t)v->size[1]), (int)(i % (size_t)v->size[2])};
        for (int a = 0; a < 3; a++) {
            from[a] = any ? pv_min(from[a], p[a]) : p[a];
            to[a] = any ? pv_max(to[a], p[a] + 1) : p[a] + 1;
        }
        any = true;
    }
    return any;
}

static bool crop_box(const struct pv_prep *p, const char *what, struct pv_volume *v, int from[3])
{
    int to[3];
    for (int a = 0; a < 3; a++)
        from[a] = 0;
    bool can = p->crop == PV_CROP_LABEL ? v->label != NULL : v->image != NULL;
    if (!can || !box_of(v, p->crop, from, to)) {
        pv_warn("%s has %s to crop to: it stays as it is", what,
                p->crop == PV_CROP_LABEL ? "no labelled voxels" : "only zeros, nothing");
        return true;
    }
    for (int a = 0; a < 3; a++) {
        int lack = pv_max(p->least - (to[a] - from[a] + 2 * p->margin), 0);
        from[a] = pv_max(from[a] - p->margin - lack / 2, 0);
        to[a] = pv_min(to[a] + p->margin + (lack - lack / 2), v->size[a]);
    }
    const int size[3] = {to[0] - from[0], to[1] - from[1], to[2] - from[2]};
    return pv_prep_crop(what, from, size, v);
}

bool pv_prep_place(const struct pv_prep *p, const char *what, struct pv_volume *v, struct pv_prep_map *map)
{
    struct pv_prep_map m = {.size = {v->size[0], v->size[1], v->size[2]}, .step = {1, 1, 1}};
    if (p->spacing > 0) {
        if (!pv_prep_resample(what, p->spacing, v))
            return false;
        for (int a = 0; a < 3; a++)
            m.step[a] = (double)m.size[a] / v->size[a];
    }
    if (p->crop != PV_CROP_NONE) {
        int from[3];
        if (!crop_box(p, what, v, from))
            return false;
        for (int a = 0; a < 3; a++)
            m.origin[a] += m.step[a] * from[a];
    }
    *map = m;
    return true;
}

bool pv_prep_finish(const struct pv_prep *p, const char *what, char *const *channel_names,
                    struct pv_volume *v, struct pv_prep_map *map)
{
    size_t n = pv_volume_voxels(v);
    for (int c = 0; v->image && c < v->channels; c++)
        if (!intensities(p, what, channel_names ? channel_names[c] : NULL, v->image + (size_t)c * n, n))
            return false;
    if (p->half) {
        if (!pv_prep_half(what, v))
            return false;
        for (int a = 0; a < 3; a++)
            map->step[a] *= 2;
    }
    if (!p->slices)
        return true;
    map->slice_axis = pv_slice_axis(v->size);
    return pv_slices_first(what, map->slice_axis, v);
}

bool pv_prep_apply(const struct pv_prep *p, const char *what, char *const *channel_names,
                   struct pv_volume *v, struct pv_prep_map *map)
{
    struct pv_prep_map own;
    struct pv_prep_map *m = map ? map : &own;
    return pv_prep_place(p, what, v, m) && pv_prep_finish(p, what, channel_names, v, m);
}

void pv_prep_size(const struct pv_prep *p, const int size[3], const double spacing[3], int out[3])
{
    for (int a = 0; a < 3; a++) {
        out[a] = p->spacing > 0 ? pv_max(resampled_side(size[a], spacing[a], p->spacing), 1) : size[a];
        if (p->half)
            out[a] = pv_ceil_div(out[a], 2);
    }
    for (int a = p->slices ? pv_slice_axis(out) : 0; a > 0; a--) {
        const int s = out[a];
        out[a] = out[a - 1];
        out[a - 1] = s;
    }
}
