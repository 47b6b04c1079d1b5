/* SPDX-License-Identifier: Apache-2.0
 * Sliding-window prediction. Patches go to the device in batches; sums stay on the host, so that a volume of any
 * size needs little device memory. */
#include "eval/slide.h"

#include <math.h>
#include <string.h>

struct job {
    const struct pv_slide_params *p;
    struct pv_windows w;
    pv_dev *dev;
    size_t patch_voxels, voxels;
    float *weight;              /* [patch], NULL: 1 */
    float *sum;                 /* the caller's prob */
    float *count;               /* [voxels] */
    float *in, *out;            /* one batch */
};

static size_t at(const int s[3], int x, int y, int z)
{
    return ((size_t)x * (size_t)s[1] + (size_t)y) * (size_t)s[2] + (size_t)z;
}

static void cut(const struct job *j, const float *image, const int s[3], int64_t window, float *dst)
{
    const struct pv_slide_params *p = j->p;
    struct pv_window_part part = pv_window_part(&j->w, window);
    memset(dst, 0, sizeof *dst * j->patch_voxels * (size_t)p->channels);
    for (int c = 0; c < p->channels; c++)
        for (int x = 0; x < part.size[0]; x++)
            for (int y = 0; y < part.size[1]; y++)
                memcpy(dst + (size_t)c * j->patch_voxels + at(p->patch, part.in_patch[0] + x, part.in_patch[1] + y,
                                                              part.in_patch[2]),
                       image + (size_t)c * j->voxels + at(s, part.in_image[0] + x, part.in_image[1] + y,
                                                          part.in_image[2]),
                       sizeof *dst * (size_t)part.size[2]);
}

static void add(const struct job *j, const int s[3], int64_t window, const float *prob, bool count)
{
    const struct pv_slide_params *p = j->p;
    struct pv_window_part part = pv_window_part(&j->w, window);
    for (int x = 0; x < part.size[0]; x++)
        for (int y = 0; y < part.size[1]; y++) {
            size_t from = at(p->patch, part.in_patch[0] + x, part.in_patch[1] + y, part.in_patch[2]);
            size_t to = at(s, part.in_image[0] + x, part.in_image[1] + y, part.in_image[2]);
            for (int z = 0; z < part.size[2]; z++) {
                float w = j->weight ? j->weight[from + (size_t)z] : 1;
                for (int c = 0; c < p->classes; c++)
                    j->sum[(size_t)c * j->voxels + to + (size_t)z] +=
                        w * prob[(size_t)c * j->patch_voxels + from + (size_t)z];
                if (count)
                    j->count[to + (size_t)z] += w;
            }
        }
}

/* Mirrors every channel of a batch along the axes in `axes`, in place. */
static void mirror(float *v, int channels, const int s[3], unsigned axes)
{
    size_t n = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    for (int c = 0; c < channels; c++, v += n)
        for (int x = 0; x < s[0]; x++)
            for (int y = 0; y < s[1]; y++)
                for (int z = 0; z < s[2]; z++) {
                    int mx = axes & 1 ? s[0] - 1 - x : x, my = axes & 2 ? s[1] - 1 - y : y,
                        mz = axes & 4 ? s[2] - 1 - z : z;
                    size_t a = at(s, x, y, z), b = at(s, mx, my, mz);
                    if (a < b) {
                        float keep = v[a];
                        v[a] = v[b];
                        v[b] = keep;
                    }
                }
}

/* Runs `n` windows that lie in j->in; probabilities go to j->out. */
static bool run(struct job *j, int n)
{
    const struct pv_slide_params *p = j->p;
    pv_tensor *x = pv_tensor_new(j->dev, pv_plain(p->dims, n, p->channels, p->patch), PV_F32);
    pv_tensor_write(x, j->in);
    pv_tensor *y = x ? p->predict(p->user, x) : NULL;
    bool ok = y && y->h.c == p->classes && pv_tensor_read(y, j->out);
    if (y && y->h.c != p->classes)
        pv_fail(PV_FAULT_INTERNAL, "the network gives %d classes, %d were expected", y->h.c, p->classes);
    pv_tensor_put(&x);
    pv_tensor_put(&y);
    return ok;
}

static bool windows(struct job *j, const float *image, const int s[3], int batch)
{
    const struct pv_slide_params *p = j->p;
    size_t in = j->patch_voxels * (size_t)p->channels, out = j->patch_voxels * (size_t)p->classes;
    for (int64_t first = 0; first < j->w.count; first += batch) {
        int n = (int)(j->w.count - first < batch ? j->w.count - first : batch);
        for (unsigned axes = 0; axes < 8; axes++) {
            if (axes & ~p->mirror)
                continue;
            for (int i = 0; i < n; i++)
                cut(j, image, s, first + i, j->in + (size_t)i * in);
            if (axes)
                mirror(j->in, n * p->channels, p->patch, axes);
            if (!run(j, n))
                return false;
            if (axes)
                mirror(j->out, n * p->classes, p->patch, axes);
            for (int i = 0; i < n; i++)
                add(j, s, first + i, j->out + (size_t)i * out, true);
        }
        if (p->progress && !p->progress(p->progress_user, first + n, j->w.count))
            return false;
    }
    return true;
}

bool pv_slide(pv_dev *dev, const float *image, const int s[3], const struct pv_slide_params *p, float *prob)
{
    struct job j = {.p = p, .dev = dev, .sum = prob};
    if (!pv_windows_make(&j.w, s, p->patch, p->stride, p->even))
        return false;
    int batch = p->batch > 0 ? p->batch : 4;
    j.patch_voxels = (size_t)p->patch[0] * (size_t)p->patch[1] * (size_t)p->patch[2];
    j.voxels = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    j.count = pv_alloc_big(sizeof(float) * j.voxels, "window counts");
    j.in = pv_alloc_big(sizeof(float) * j.patch_voxels * (size_t)(p->channels * batch), "patches");
    j.out = pv_alloc_big(sizeof(float) * j.patch_voxels * (size_t)(p->classes * batch), "probabilities");
    bool ok = j.count && j.in && j.out;
    if (ok && p->gaussian) {
        j.weight = pv_alloc_big(sizeof(float) * j.patch_voxels, "window weights");
        ok = j.weight != NULL;
        if (ok)
            pv_gaussian_map(p->patch, 0.125, j.weight);
    }
    if (ok) {
        memset(j.count, 0, sizeof(float) * j.voxels);
        memset(prob, 0, sizeof(float) * j.voxels * (size_t)p->classes);
        ok = windows(&j, image, s, batch);
    }
    for (int c = 0; ok && c < p->classes; c++)
        for (size_t v = 0; v < j.voxels; v++)
            prob[(size_t)c * j.voxels + v] /= j.count[v];
    pv_free_big(j.count);
    pv_free_big(j.in);
    pv_free_big(j.out);
    pv_free_big(j.weight);
    return ok;
}

/* ---- back to the file's grid ---- */

struct tap { int lo, hi; float f; bool in; };

static void axis_taps(const struct pv_prep_map *map, const int s[3], int a, struct tap *t)
{
    for (int i = 0; i < map->size[a]; i++) {
        double c = (i + 0.5 - map->origin[a]) / map->step[a] - 0.5;
        t[i].in = c > -1 && c < s[a];
        c = c < 0 ? 0 : c > s[a] - 1 ? s[a] - 1 : c;
        t[i].lo = (int)floor(c);
        t[i].hi = t[i].lo + 1 < s[a] ? t[i].lo + 1 : t[i].lo;
        t[i].f = (float)(c - t[i].lo);
    }
}

static void resample(const float *prob, const int s[3], int classes, const struct pv_prep_map *map, float *out)
{
    struct tap *t[3];
    for (int a = 0; a < 3; a++) {
        t[a] = pv_array(struct tap, map->size[a]);
        axis_taps(map, s, a, t[a]);
    }
    size_t n = (size_t)s[0] * (size_t)s[1] * (size_t)s[2], i = 0;
    for (int c = 0; c < classes; c++, prob += n)
        for (int x = 0; x < map->size[0]; x++)
            for (int y = 0; y < map->size[1]; y++)
                for (int z = 0; z < map->size[2]; z++, i++) {
                    const struct tap *a = &t[0][x], *b = &t[1][y], *d = &t[2][z];
                    if (!a->in || !b->in || !d->in) {
                        out[i] = c == 0;
                        continue;
                    }
                    float v[4];
                    for (int k = 0; k < 4; k++) {
                        const float *row = prob + at(s, k & 2 ? a->hi : a->lo, k & 1 ? b->hi : b->lo, 0);
                        v[k] = row[d->lo] + d->f * (row[d->hi] - row[d->lo]);
                    }
                    float lo = v[0] + b->f * (v[1] - v[0]), hi = v[2] + b->f * (v[3] - v[2]);
                    out[i] = lo + a->f * (hi - lo);
                }
    for (int a = 0; a < 3; a++)
        pv_free(t[a]);
}

/* [size of the axes in their order][...] with axis `axis` first to their order. */
static void axis_back(const float *in, int axis, const int size[3], float *out)
{
    const size_t other = (size_t)size[0] * (size_t)size[axis == 1 ? 2 : 1];
    for (int x = 0; x < size[0]; x++)
        for (int y = 0; y < size[1]; y++)
            for (int z = 0; z < size[2]; z++) {
                const int slice = axis == 1 ? y : z;
                const size_t rest = axis == 1 ? (size_t)x * (size_t)size[2] + (size_t)z
                                              : (size_t)x * (size_t)size[1] + (size_t)y;
                *out++ = in[(size_t)slice * other + rest];
            }
}

void pv_slide_to_file_grid(const float *prob, const int s[3], int classes, const struct pv_prep_map *map, float *out)
{
    const int axis = map->slice_axis;
    if (axis == 0) {
        resample(prob, s, classes, map, out);
        return;
    }
    const int before[3] = {s[1], axis == 1 ? s[0] : s[2], axis == 1 ? s[2] : s[0]};
    const size_t n = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    float *turned = pv_array(float, n * (size_t)classes);
    for (int c = 0; c < classes; c++)
        axis_back(prob + (size_t)c * n, axis, before, turned + (size_t)c * n);
    resample(turned, before, classes, map, out);
    pv_free(turned);
}

void pv_slide_labels(const float *prob, int classes, size_t voxels, uint8_t *label)
{
    for (size_t v = 0; v < voxels; v++) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            if (prob[(size_t)c * voxels + v] > prob[(size_t)best * voxels + v])
                best = c;
        label[v] = (uint8_t)best;
    }
}
