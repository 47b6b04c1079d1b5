/* SPDX-License-Identifier: Apache-2.0
 * Random patches (augment.h). Only axes x and y are mixed, so a patch is made of runs along z. */
#include "data/augment.h"

#include <stddef.h>
#include <string.h>

#include "base/base.h"
#include "base/rng.h"

static int floor_half(int a)
{
    return a >= 0 ? a / 2 : -((1 - a) / 2);
}

void pv_aug_padding(const int size[3], const int patch[3], int pad[3])
{
    bool any = size[0] <= patch[0] || size[1] <= patch[1] || size[2] <= patch[2];
    for (int a = 0; a < 3; a++)
        pad[a] = any ? pv_max(floor_half(patch[a] - size[a]) + 3, 0) : 0;
}

struct pv_aug pv_aug_draw(const struct pv_aug_params *p, const int size[3], uint64_t seed, uint64_t step,
                          uint64_t sample)
{
    struct pv_rng r = pv_rng_make(seed, pv_stream("augment", step, sample));
    struct pv_aug a = {.patch = {p->patch[0], p->patch[1], p->patch[2]}, .flip = -1};
    int rot = (int)pv_rng_below(&r, 4), flip = (int)pv_rng_below(&r, 2);
    if (p->rotate)
        a.rot = rot;
    if (p->flip)
        a.flip = flip;
    const int turned[3] = {size[a.rot & 1], size[1 - (a.rot & 1)], size[2]};
    pv_aug_padding(turned, p->patch, a.pad);
    for (int k = 0; k < 3; k++) {
        int places = turned[k] + 2 * a.pad[k] - p->patch[k];
        a.origin[k] = (int)pv_rng_below(&r, (uint32_t)pv_max(places, 1));
    }
    return a;
}

/* Where the run of the patch at (x, y) comes from: false if it hangs over, else the start of the row in
 * the volume. */
static bool source_row(const struct pv_aug *a, const int size[3], int x, int y, size_t *row)
{
    const int turned[2] = {size[a->rot & 1], size[1 - (a->rot & 1)]};
    int p[2] = {x + a->origin[0] - a->pad[0], y + a->origin[1] - a->pad[1]};
    if (p[0] < 0 || p[1] < 0 || p[0] >= turned[0] || p[1] >= turned[1])
        return false;
    if (a->flip >= 0)
        p[a->flip] = turned[a->flip] - 1 - p[a->flip];
    int i = p[0], j = p[1];
    switch (a->rot) {
    case 1: i = p[1]; j = size[1] - 1 - p[0]; break;
    case 2: i = size[0] - 1 - p[0]; j = size[1] - 1 - p[1]; break;
    case 3: i = size[0] - 1 - p[1]; j = p[0]; break;
    default: break;
    }
    *row = ((size_t)i * (size_t)size[1] + (size_t)j) * (size_t)size[2];
    return true;
}

/* Part of the run that lies in the volume: patch z from *lo to *hi, which is volume z from *at. */
static void source_run(const struct pv_aug *a, const int size[3], int *lo, int *hi, int *at)
{
    int first = a->origin[2] - a->pad[2];
    *lo = pv_min(pv_max(-first, 0), a->patch[2]);
    *hi = pv_max(pv_min(size[2] - first, a->patch[2]), *lo);
    *at = first + *lo;
}

#define APPLY                                                                   \
    int lo, hi, at;                                                             \
    source_run(a, size, &lo, &hi, &at);                                         \
    for (int x = 0; x < a->patch[0]; x++) {                                     \
        for (int y = 0; y < a->patch[1]; y++, dst += a->patch[2]) {             \
            size_t row;                                                         \
            bool in = source_row(a, size, x, y, &row);                          \
            int from = in ? lo : a->patch[2], to = in ? hi : a->patch[2];       \
            for (int z = 0; z < from; z++)                                      \
                dst[z] = fill;                                                  \
            for (int z = from; z < to; z++)                                     \
                dst[z] = src[row + (size_t)(at + z - lo)];                      \
            for (int z = to; z < a->patch[2]; z++)                              \
                dst[z] = fill;                                                  \
        }                                                                       \
    }

void pv_aug_f32(const struct pv_aug *a, const int size[3], const float *src, float fill, float *dst)
{
    APPLY
}

void pv_aug_u8(const struct pv_aug *a, const int size[3], const uint8_t *src, uint8_t fill, uint8_t *dst)
{
    APPLY
}

void pv_aug_label(const struct pv_aug *a, const int size[3], const uint8_t *src, int32_t fill, int32_t *dst)
{
    APPLY
}
