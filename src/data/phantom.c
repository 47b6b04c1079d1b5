/* SPDX-License-Identifier: Apache-2.0
 * Phantoms (phantom.h). Positions are in units of the shortest side, so that shapes keep their proportions.
 * A field of smooth noise is a lattice of random numbers with smooth interpolation. */
#include "data/phantom.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/json.h"
#include "base/rng.h"
#include "data/file.h"
#include "data/prep.h"
#include "platform/platform.h"

enum { LATTICE = 10, MOST_LESIONS = 3, DECOYS = 3, TUBES = 3 };

struct noise {
    float v[LATTICE][LATTICE][LATTICE];
    double scale;                   /* lattice steps per unit */
};

struct blob { double c[3], r[3], rough; };
struct tube { double a[3], d[3], r; };

struct scene {
    struct noise shape, texture, bias;
    struct blob organ, lesion[MOST_LESIONS], decoy[DECOYS];
    struct tube tube[TUBES];
    struct blob shell;
    int num_lesions;
    double extent[3];               /* of the volume, the shortest side is 1 */
    /* how it looks, which differs much from case to case */
    double outside, contrast, texture_part, bias_part, grain, gamma;
};

static double range(struct pv_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * pv_rng_uniform(r);
}

static void make_noise(struct noise *n, struct pv_rng *r, double scale)
{
    for (int i = 0; i < LATTICE * LATTICE * LATTICE; i++)
        (&n->v[0][0][0])[i] = (float)range(r, -1, 1);
    n->scale = scale;
}

/* About -1 .. 1 at a position in units; the lattice repeats. */
static double sample(const struct noise *n, const double p[3])
{
    int i[3][2];
    double t[3], sum = 0;
    for (int a = 0; a < 3; a++) {
        double q = p[a] * n->scale, f = floor(q);
        i[a][0] = (int)f % LATTICE;
        i[a][1] = ((int)f + 1) % LATTICE;
        t[a] = (q - f) * (q - f) * (3 - 2 * (q - f));
    }
    for (int k = 0; k < 8; k++) {
        double w = (k & 4 ? t[0] : 1 - t[0]) * (k & 2 ? t[1] : 1 - t[1]) * (k & 1 ? t[2] : 1 - t[2]);
        sum += w * (double)n->v[i[0][k >> 2]][i[1][k >> 1 & 1]][i[2][k & 1]];
    }
    return sum;
}

/* Below 1 inside; `rough` of the radius is moved by the noise. */
static double distance(const struct blob *b, const double p[3], double noise)
{
    double sum = 0;
    for (int a = 0; a < 3; a++) {
        double d = (p[a] - b->c[a]) / b->r[a];
        sum += d * d;
    }
    return sqrt(sum) / (1 + b->rough * noise);
}

static bool in_tube(const struct tube *t, const double p[3], double noise)
{
    double q[3], along = 0, sum = 0;
    for (int a = 0; a < 3; a++) {
        q[a] = p[a] - t->a[a] + 0.05 * noise;
        along += q[a] * t->d[a];
    }
    for (int a = 0; a < 3; a++)
        sum += (q[a] - along * t->d[a]) * (q[a] - along * t->d[a]);
    return sum < t->r * t->r;
}

static void direction(struct pv_rng *r, double d[3])
{
    double n = 0;
    for (int a = 0; a < 3; a++) {
        d[a] = pv_rng_normal(r);
        n += d[a] * d[a];
    }
    for (int a = 0; a < 3; a++)
        d[a] /= sqrt(n) + 1e-9;
}

static void make_scene(struct scene *s, struct pv_rng *r, const int size[3])
{
    double least = pv_min(size[0], pv_min(size[1], size[2])), d[3];
    for (int a = 0; a < 3; a++)
        s->extent[a] = size[a] / least;
    make_noise(&s->shape, r, 7);
    make_noise(&s->texture, r, 9);
    make_noise(&s->bias, r, 1.3);
    s->organ.rough = 0.12;
    for (int a = 0; a < 3; a++) {
        s->organ.c[a] = s->extent[a] * range(r, 0.44, 0.56);
        s->organ.r[a] = s->extent[a] * range(r, 0.30, 0.38);
    }
    s->num_lesions = 1 + (int)pv_rng_below(r, MOST_LESIONS);
    for (int i = 0; i < MOST_LESIONS; i++) {    /* a cluster: later ones lie by the first */
        struct blob *b = &s->lesion[i], *near = &s->lesion[0];
        direction(r, d);
        double far = i ? range(r, 0.14, 0.22) : range(r, 0, 0.13);
        for (int a = 0; a < 3; a++) {
            b->c[a] = (i ? near->c[a] : s->organ.c[a]) + d[a] * far;
            b->r[a] = i ? range(r, 0.08, 0.13) : range(r, 0.13, 0.2);
        }
        b->rough = 0.35;
    }
    for (int i = 0; i < DECOYS; i++) {          /* as bright as lesions, but outside the organ */
        struct blob *b = &s->decoy[i];
        direction(r, d);
        for (int a = 0; a < 3; a++) {
            b->c[a] = s->organ.c[a] + d[a] * (s->organ.r[a] + 0.12);
            b->r[a] = range(r, 0.06, 0.13);
        }
        b->rough = 0.35;
    }
    for (int i = 0; i < TUBES; i++) {           /* vessels through the organ */
        direction(r, s->tube[i].d);
        for (int a = 0; a < 3; a++)
            s->tube[i].a[a] = s->organ.c[a] + range(r, -0.2, 0.2);
        s->tube[i].r = range(r, 0.02, 0.04);
    }
    direction(r, d);                            /* a bright rim around nothing, in the organ */
    for (int a = 0; a < 3; a++) {
        s->shell.c[a] = s->organ.c[a] + 0.6 * d[a] * s->organ.r[a];
        s->shell.r[a] = range(r, 0.08, 0.13);
    }
    s->shell.rough = 0.2;
    s->outside = range(r, 0.1, 0.6);
    s->contrast = range(r, 0.4, 0.8);
    s->texture_part = range(r, 0.15, 0.4);
    s->bias_part = range(r, 0.2, 0.6);
    s->grain = range(r, 0.25, 0.5);
    s->gamma = range(r, 0.7, 1.4);
}

/* Brightness without bias and noise, and whether the voxel is lesion. */
static double tissue(const struct scene *s, const double p[3], bool *lesion)
{
    double shape = sample(&s->shape, p), texture = sample(&s->texture, p);
    bool organ = distance(&s->organ, p, shape) < 1;
    double v = organ ? 1.0 : s->outside, rim = distance(&s->shell, p, shape);
    *lesion = false;
    for (int i = 0; i < s->num_lesions; i++)
        *lesion |= organ && distance(&s->lesion[i], p, shape) < 1;
    bool bright = *lesion || (organ && rim > 0.7 && rim < 1);
    for (int i = 0; i < DECOYS; i++)
        bright |= !organ && distance(&s->decoy[i], p, shape) < 1;
    for (int i = 0; i < TUBES; i++)
        bright |= in_tube(&s->tube[i], p, texture);
    if (bright)
        v = 1 + s->contrast;
    return pow(v, s->gamma) + s->texture_part * texture;
}

bool pv_phantom_make(uint64_t seed, int index, const int size[3], struct pv_volume *v)
{
    *v = (struct pv_volume){.channels = 1, .size = {size[0], size[1], size[2]}, .spacing = {1, 1, 1}};
    for (int a = 0; a < 3; a++)
        if (size[a] < 16 || size[a] > 2048)
            return pv_fail(PV_FAULT_USAGE, "phantoms have sides of 16 to 2048 voxels, not %d x %d x %d", size[0],
                           size[1], size[2]);
    pv_geometry_plain(&v->geo, v->size, v->spacing);
    if (!pv_volume_room("a phantom", PV_IMAGE, v) || !pv_volume_room("a phantom", PV_LABEL, v)) {
        pv_volume_free(v);
        return false;
    }
    struct scene *s = pv_new(struct scene);
    struct pv_rng shapes = pv_rng_make(seed, pv_stream("phantom", (uint64_t)index, 0));
    struct pv_rng grain = pv_rng_make(seed, pv_stream("phantom", (uint64_t)index, 1));
    make_scene(s, &shapes, size);
    double least = pv_min(size[0], pv_min(size[1], size[2]));
    size_t at = 0;
    for (int x = 0; x < size[0]; x++) {
        for (int y = 0; y < size[1]; y++) {
            for (int z = 0; z < size[2]; z++, at++) {
                const double p[3] = {(x + 0.5) / least, (y + 0.5) / least, (z + 0.5) / least};
                bool lesion;
                double value = tissue(s, p, &lesion) * exp(s->bias_part * sample(&s->bias, p));
                v->image[at] = (float)(value + s->grain * pv_rng_normal(&grain));
                v->label[at] = lesion;
            }
        }
    }
    pv_prep_normalise(PV_SCALING_ZSCORE, v->image, at);
    pv_free(s);
    return true;
}

static bool write_json(const char *dir, int num_train, int num_test)
{
    pv_json *j = pv_json_object(), *channels = pv_json_object(), *labels = pv_json_object();
    pv_json_set_str(j, "name", "phantoms");
    pv_json_set_str(channels, "0", "phantom");
    pv_json_set_num(labels, "background", 0);
    pv_json_set_num(labels, "lesion", 1);
    pv_json_set(j, "channel_names", channels);
    pv_json_set(j, "labels", labels);
    pv_json_set_num(j, "numTraining", num_train);
    pv_json_set_num(j, "numTest", num_test);
    pv_json_set_str(j, "file_ending", ".nii.gz");
    char *path = pv_path_join(dir, "dataset.json");
    bool ok = pv_json_write(path, j);
    pv_free(path);
    pv_json_free(j);
    return ok;
}

static void remove_old(const char *dir)
{
    char **names;
    size_t n;
    if (!pv_list_dir(dir, &names, &n))
        return;
    for (size_t i = 0; i < n; i++) {
        if (pv_starts(names[i], "phantom_")) {
            char *path = pv_path_join(dir, names[i]);
            pv_remove(path);
            pv_free(path);
        }
        free(names[i]);
    }
    free(names);
}

bool pv_phantom_write(const char *dir, int num_train, int num_test, const int size[3], uint64_t seed)
{
    static const char *const folders[] = {"imagesTr", "labelsTr", "imagesTs", "labelsTs"};
    struct pv_str lists[2] = {{0}};
    bool ok = true;
    for (size_t i = 0; ok && i < PV_COUNT(folders); i++) {
        char *path = pv_path_join(dir, folders[i]);
        ok = pv_mkdirs(path) || pv_fail(PV_FAULT_INPUT, "cannot make the folder %s: %s", path, pv_os_error());
        remove_old(path);
        pv_free(path);
    }
    for (int i = 0; ok && i < num_train + num_test; i++) {
        struct pv_volume v;
        int test = i >= num_train;
        ok = pv_phantom_make(seed, i, size, &v);
        char *image = pv_asprintf("%s/%s/phantom_%03d_0000.nii.gz", dir, folders[2 * test], i);
        char *label = pv_asprintf("%s/%s/phantom_%03d.nii.gz", dir, folders[2 * test + 1], i);
        ok = ok && pv_volume_write(image, PV_IMAGE, &v) && pv_volume_write(label, PV_LABEL, &v);
        pv_str_addf(&lists[test], "phantom_%03d\n", i);
        pv_free(image);
        pv_free(label);
        pv_volume_free(&v);
    }
    for (int k = 0; ok && k < 2; k++) {
        char *path = pv_path_join(dir, k ? "test.list" : "train.list");
        ok = lists[k].len == 0 || pv_write_file(path, lists[k].text, lists[k].len);
        pv_free(path);
    }
    ok = ok && write_json(dir, num_train, num_test);
    pv_str_free(&lists[0]);
    pv_str_free(&lists[1]);
    return ok;
}
