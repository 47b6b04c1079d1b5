/* SPDX-License-Identifier: Apache-2.0
 * Sliding-window prediction. Patches go to the device in batches; sums stay on the host, so that a volume of any
 * size needs little device memory. Windows come in order of x: sums are held in a slab of planes, and those before the
 * first window of a batch are finished. */
#include "eval/slide.h"

#include <math.h>
#include <string.h>

struct job {
    const struct pv_slide_params *p;
    struct pv_windows w;
    pv_dev *dev;
    size_t patch_voxels, voxels;
    float *weight;              /* [patch], NULL: 1 */
    int base, height;           /* the slab: planes [base, base + height) */
    size_t slab;                /* voxels of it */
    float *sum;                 /* [classes][slab] */
    float *count;               /* [slab] */
    float *in, *out;            /* one batch */
    pv_slide_planes planes;
    void *user;
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
            size_t to = at(s, part.in_image[0] - j->base + x, part.in_image[1] + y, part.in_image[2]);
            for (int z = 0; z < part.size[2]; z++) {
                float w = j->weight ? j->weight[from + (size_t)z] : 1;
                for (int c = 0; c < p->classes; c++)
                    j->sum[(size_t)c * j->slab + to + (size_t)z] +=
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

/* Hands planes before `x` on and moves the slab there. */
static bool finish(struct job *j, const int s[3], int x)
{
    const int num = x - j->base, left = j->height - num;
    const size_t plane = (size_t)s[1] * (size_t)s[2], done = plane * (size_t)num;
    if (num == 0)
        return true;
    for (int c = 0; c < j->p->classes; c++)
        for (size_t v = 0; v < done; v++)
            j->sum[(size_t)c * j->slab + v] /= j->count[v];
    if (!j->planes(j->user, j->base, num, j->sum, j->slab))
        return false;
    for (int c = -1; c < j->p->classes; c++) {
        float *v = c < 0 ? j->count : j->sum + (size_t)c * j->slab;
        memmove(v, v + done, sizeof *v * plane * (size_t)left);
        memset(v + plane * (size_t)left, 0, sizeof *v * done);
    }
    j->base = x;
    return true;
}

/* Planes that the windows of any batch reach over. */
static int most_planes(const struct pv_windows *w, int batch)
{
    int most = 0;
    for (int64_t first = 0; first < w->count; first += batch) {
        struct pv_window_part a = pv_window_part(w, first);
        struct pv_window_part b = pv_window_part(w, (first + batch < w->count ? first + batch : w->count) - 1);
        most = pv_max(most, b.in_image[0] + b.size[0] - a.in_image[0]);
    }
    return most;
}

static bool windows(struct job *j, const float *image, const int s[3], int batch)
{
    const struct pv_slide_params *p = j->p;
    size_t in = j->patch_voxels * (size_t)p->channels, out = j->patch_voxels * (size_t)p->classes;
    for (int64_t first = 0; first < j->w.count; first += batch) {
        int n = (int)(j->w.count - first < batch ? j->w.count - first : batch);
        if (!finish(j, s, pv_window_part(&j->w, first).in_image[0]))
            return false;
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
    return finish(j, s, s[0]);
}

bool pv_slide_each(pv_dev *dev, const float *image, const int s[3], const struct pv_slide_params *p,
                   pv_slide_planes planes, void *user)
{
    struct job j = {.p = p, .dev = dev, .planes = planes, .user = user};
    if (!pv_windows_make(&j.w, s, p->patch, p->stride, p->even))
        return false;
    int batch = p->batch > 0 ? p->batch : 4;
    j.patch_voxels = (size_t)p->patch[0] * (size_t)p->patch[1] * (size_t)p->patch[2];
    j.voxels = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    j.height = most_planes(&j.w, batch);
    j.slab = (size_t)j.height * (size_t)s[1] * (size_t)s[2];
    j.count = pv_alloc_big(sizeof(float) * j.slab, "window counts");
    j.sum = pv_alloc_big(sizeof(float) * j.slab * (size_t)p->classes, "window sums");
    j.in = pv_alloc_big(sizeof(float) * j.patch_voxels * (size_t)(p->channels * batch), "patches");
    j.out = pv_alloc_big(sizeof(float) * j.patch_voxels * (size_t)(p->classes * batch), "probabilities");
    bool ok = j.count && j.sum && j.in && j.out;
    if (ok && p->gaussian) {
        j.weight = pv_alloc_big(sizeof(float) * j.patch_voxels, "window weights");
        ok = j.weight != NULL;
        if (ok)
            pv_gaussian_map(p->patch, 0.125, j.weight);
    }
    if (ok) {
        memset(j.count, 0, sizeof(float) * j.slab);
        memset(j.sum, 0, sizeof(float) * j.slab * (size_t)p->classes);
        ok = windows(&j, image, s, batch);
    }
    pv_free_big(j.count);
    pv_free_big(j.sum);
    pv_free_big(j.in);
    pv_free_big(j.out);
    pv_free_big(j.weight);
    return ok;
}

struct whole { float *prob; size_t plane, voxels; int classes; };

static bool keep_planes(void *user, int x, int num, const float *prob, size_t stride)
{
    const struct whole *w = user;
    for (int c = 0; c < w->classes; c++)
        memcpy(w->prob + (size_t)c * w->voxels + (size_t)x * w->plane, prob + (size_t)c * stride,
               sizeof *prob * w->plane * (size_t)num);
    return true;
}

bool pv_slide(pv_dev *dev, const float *image, const int s[3], const struct pv_slide_params *p, float *prob)
{
    struct whole w = {.prob = prob, .plane = (size_t)s[1] * (size_t)s[2], .classes = p->classes};
    w.voxels = (size_t)s[0] * w.plane;
    return pv_slide_each(dev, image, s, p, keep_planes, &w);
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

static void taps_make(const struct pv_prep_map *map, const int s[3], struct tap *t[3])
{
    for (int a = 0; a < 3; a++) {
        t[a] = pv_array(struct tap, map->size[a]);
        axis_taps(map, s, a, t[a]);
    }
}

static void taps_free(struct tap *t[3])
{
    for (int a = 0; a < 3; a++)
        pv_free(t[a]);
}

/* Plane x of class c on the file's grid, from the planes t[0][x].lo and .hi of that class. */
static void resample_plane(const float *lo_plane, const float *hi_plane, int x, int c, const int s[3],
                           const struct pv_prep_map *map, struct tap *const t[3], float *out)
{
    const struct tap *a = &t[0][x];
    for (int y = 0; y < map->size[1]; y++)
        for (int z = 0; z < map->size[2]; z++, out++) {
            const struct tap *b = &t[1][y], *d = &t[2][z];
            if (!a->in || !b->in || !d->in) {
                *out = c == 0;
                continue;
            }
            float v[4];
            for (int k = 0; k < 4; k++) {
                const float *row = (k & 2 ? hi_plane : lo_plane) + at(s, 0, k & 1 ? b->hi : b->lo, 0);
                v[k] = row[d->lo] + d->f * (row[d->hi] - row[d->lo]);
            }
            float lo = v[0] + b->f * (v[1] - v[0]), hi = v[2] + b->f * (v[3] - v[2]);
            *out = lo + a->f * (hi - lo);
        }
}

static void resample(const float *prob, const int s[3], int classes, const struct pv_prep_map *map, float *out)
{
    struct tap *t[3];
    taps_make(map, s, t);
    const size_t plane = (size_t)s[1] * (size_t)s[2], file = (size_t)map->size[1] * (size_t)map->size[2];
    for (int c = 0; c < classes; c++, prob += plane * (size_t)s[0])
        for (int x = 0; x < map->size[0]; x++, out += file)
            resample_plane(prob + plane * (size_t)t[0][x].lo, prob + plane * (size_t)t[0][x].hi, x, c, s, map, t, out);
    taps_free(t);
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

/* Class c of n voxels at prob + c * stride. */
static void label_voxels(const float *prob, size_t stride, int classes, size_t n, uint8_t *label)
{
    for (size_t v = 0; v < n; v++) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            if (prob[(size_t)c * stride + v] > prob[(size_t)best * stride + v])
                best = c;
        label[v] = (uint8_t)best;
    }
}

void pv_slide_labels(const float *prob, int classes, size_t voxels, uint8_t *label)
{
    label_voxels(prob, voxels, classes, voxels, label);
}

/* ---- labels while planes are finished ---- */

struct labels {
    const int *s;
    const struct pv_prep_map *map;
    int classes, next;          /* the file's plane that is due */
    bool same;                  /* both grids are one */
    struct tap *t[3];
    float *last;                /* [classes][plane]: the last one of the planes before */
    float *out;                 /* [classes][plane of the file] */
    uint8_t *label;
};

static bool label_planes(void *user, int x, int num, const float *prob, size_t stride)
{
    struct labels *l = user;
    const size_t plane = (size_t)l->s[1] * (size_t)l->s[2], file = (size_t)l->map->size[1] * (size_t)l->map->size[2];
    for (int i = 0; l->same && i < num; i++)
        label_voxels(prob + plane * (size_t)i, stride, l->classes, plane, l->label + plane * (size_t)(x + i));
    for (; !l->same && l->next < l->map->size[0]; l->next++) {
        const struct tap *a = &l->t[0][l->next];
        if (a->in && a->hi >= x + num)
            break;
        for (int c = 0; c < l->classes; c++) {
            const float *own = prob + (size_t)c * stride, *before = l->last + (size_t)c * plane;
            const int lo = a->in ? a->lo - x : 0, hi = a->in ? a->hi - x : 0;   /* -1: the plane before */
            resample_plane(lo < 0 ? before : own + plane * (size_t)lo, hi < 0 ? before : own + plane * (size_t)hi,
                           l->next, c, l->s, l->map, l->t, l->out + (size_t)c * file);
        }
        label_voxels(l->out, file, l->classes, file, l->label + (size_t)l->next * file);
    }
    for (int c = 0; c < l->classes; c++)
        memcpy(l->last + (size_t)c * plane, prob + (size_t)c * stride + plane * (size_t)(num - 1),
               sizeof *prob * plane);
    return true;
}

bool pv_slide_file_labels(pv_dev *dev, const float *image, const int s[3], const struct pv_slide_params *p,
                          const struct pv_prep_map *map, uint8_t *label)
{
    struct labels l = {.s = s, .map = map, .classes = p->classes, .same = true, .label = label};
    const size_t plane = (size_t)s[1] * (size_t)s[2], file = (size_t)map->size[1] * (size_t)map->size[2];
    l.last = pv_alloc_big(sizeof(float) * plane * (size_t)p->classes, "probabilities");
    l.out = pv_alloc_big(sizeof(float) * file * (size_t)p->classes, "probabilities");
    bool ok = l.last && l.out;
    for (int a = 0; a < 3; a++)
        l.same = l.same && map->size[a] == s[a] && map->origin[a] == 0 && map->step[a] == 1;
    if (ok) {
        taps_make(map, s, l.t);
        ok = pv_slide_each(dev, image, s, p, label_planes, &l);
        taps_free(l.t);
    }
    pv_free_big(l.last);
    pv_free_big(l.out);
    return ok;
}
