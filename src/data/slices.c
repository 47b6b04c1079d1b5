/* SPDX-License-Identifier: Apache-2.0
 * Stacks of slices (slices.h). */
#include "data/slices.h"

#include <math.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"
#include "data/file.h"

int pv_slice_axis(const int size[3])
{
    int axis = 0;
    for (int a = 1; a < 3; a++)
        if (size[a] <= size[axis])
            axis = a;
    return axis;
}

/* Strides of the old array along the new axes. */
static void turn(const struct pv_volume *v, const int axis[3], const int size[3], const float *from, float *image,
                 const uint8_t *from_label, uint8_t *label)
{
    const size_t step[3] = {(size_t)v->size[1] * (size_t)v->size[2], (size_t)v->size[2], 1};
    size_t at = 0;
    for (int x = 0; x < size[0]; x++)
        for (int y = 0; y < size[1]; y++)
            for (int z = 0; z < size[2]; z++, at++) {
                const size_t i = (size_t)x * step[axis[0]] + (size_t)y * step[axis[1]] + (size_t)z * step[axis[2]];
                if (image)
                    image[at] = from[i];
                if (label)
                    label[at] = from_label[i];
            }
}

bool pv_slices_first(const char *what, int axis, struct pv_volume *v)
{
    if (axis == 0)
        return true;
    const int order[3] = {axis, 0, axis == 1 ? 2 : 1};
    struct pv_volume n = *v;
    double m[3][4], turned[3][4];
    pv_geometry_affine(&v->geo, m);
    n.image = NULL;
    n.label = NULL;
    for (int a = 0; a < 3; a++) {
        n.size[a] = v->size[order[a]];
        n.spacing[a] = v->spacing[order[a]];
        for (int r = 0; r < 3; r++)
            turned[r][a] = m[r][order[a]];
    }
    for (int r = 0; r < 3; r++)
        turned[r][3] = m[r][3];
    if ((v->image && !pv_volume_room(what, PV_IMAGE, &n)) || (v->label && !pv_volume_room(what, PV_LABEL, &n))) {
        pv_volume_free(&n);
        return false;
    }
    const size_t voxels = pv_volume_voxels(v);
    for (int c = 0; v->image && c < v->channels; c++)
        turn(v, order, n.size, v->image + (size_t)c * voxels, n.image + (size_t)c * voxels, NULL, NULL);
    if (v->label)
        turn(v, order, n.size, NULL, NULL, v->label, n.label);
    pv_geometry_regrid(&n.geo, n.size, turned);
    pv_free_big(v->image);
    pv_free_big(v->label);
    *v = n;
    return true;
}

int pv_zoom_index(int i, int in, int out)
{
    if (out < 2)
        return 0;
    const double step = (double)(in - 1) / (out - 1);
    return pv_min((int)floor(i * step + 0.5), in - 1);
}

void pv_zoom_slices(const float *in, size_t n, const int from[2], float *out, const int to[2])
{
    const size_t slice = (size_t)from[0] * (size_t)from[1];
    int *z = pv_array(int, to[1]);
    for (int k = 0; k < to[1]; k++)
        z[k] = pv_zoom_index(k, from[1], to[1]);
    for (size_t s = 0; s < n; s++, in += slice)
        for (int y = 0; y < to[0]; y++) {
            const float *row = in + (size_t)pv_zoom_index(y, from[0], to[0]) * (size_t)from[1];
            for (int k = 0; k < to[1]; k++)
                *out++ = row[z[k]];
        }
    pv_free(z);
}

struct pv_slice_aug pv_slice_draw(const struct pv_slice_params *p, uint64_t seed, uint64_t step, uint64_t sample)
{
    struct pv_rng r = pv_rng_make(seed, pv_stream("slice", step, sample));
    struct pv_slice_aug a = {.size = {p->size[0], p->size[1]}, .flip = -1};
    const bool quarters = pv_rng_uniform(&r) < 0.5;
    const int rot = (int)pv_rng_below(&r, 4), flip = (int)pv_rng_below(&r, 2);
    const bool turns = pv_rng_uniform(&r) < 0.5;
    const int angle = (int)pv_rng_below(&r, 40) - 20;
    if (quarters && p->rotate)
        a.rot = rot;
    if (quarters && p->flip)
        a.flip = flip;
    if (!quarters && turns && p->rotate)
        a.angle = angle;
    return a;
}

/* Turning about the centre: cosine and sine of the angle. */
struct turned { int size[2]; double cosine, sine; };

static struct turned turned_of(const struct pv_slice_aug *a, const int s[2])
{
    const double rad = a->angle * 3.14159265358979323846 / 180;
    return (struct turned){{s[a->rot & 1], s[1 - (a->rot & 1)]}, cos(rad), sin(rad)};
}

/* Which voxel of the slice is seen at (y, z) of the result; -1: none. */
static ptrdiff_t seen(const struct pv_slice_aug *a, const struct turned *t, const int s[2], int y, int z)
{
    int p[2] = {pv_zoom_index(y, t->size[0], a->size[0]), pv_zoom_index(z, t->size[1], a->size[1])};
    if (a->angle) {
        const double cy = (s[0] - 1) / 2.0, cz = (s[1] - 1) / 2.0, dy = p[0] - cy, dz = p[1] - cz;
        const double i = t->cosine * dy + t->sine * dz + cy, j = t->cosine * dz - t->sine * dy + cz;
        if (i < 0 || i > s[0] - 1 || j < 0 || j > s[1] - 1)
            return -1;
        return (ptrdiff_t)floor(i + 0.5) * s[1] + (ptrdiff_t)floor(j + 0.5);
    }
    if (a->flip >= 0)
        p[a->flip] = t->size[a->flip] - 1 - p[a->flip];
    switch (a->rot) {
    case 1: return (ptrdiff_t)p[1] * s[1] + s[1] - 1 - p[0];
    case 2: return (ptrdiff_t)(s[0] - 1 - p[0]) * s[1] + s[1] - 1 - p[1];
    case 3: return (ptrdiff_t)(s[0] - 1 - p[1]) * s[1] + p[0];
    default: return (ptrdiff_t)p[0] * s[1] + p[1];
    }
}

#define APPLY \
    const struct turned t = turned_of(a, s); \
    for (int y = 0; y < a->size[0]; y++) \
        for (int z = 0; z < a->size[1]; z++) { \
            const ptrdiff_t at = seen(a, &t, s, y, z); \
            *dst++ = at < 0 ? fill : src[at]; \
        }

void pv_slice_f32(const struct pv_slice_aug *a, const int s[2], const float *src, float fill, float *dst)
{
    APPLY
}

void pv_slice_label(const struct pv_slice_aug *a, const int s[2], const uint8_t *src, int32_t fill, int32_t *dst)
{
    APPLY
}
