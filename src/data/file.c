/* SPDX-License-Identifier: Apache-2.0
 * The list of formats and what they share (file.h). */
#include "data/file.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/base.h"

const struct pv_format *const pv_formats[] = {&pv_format_nifti, &pv_format_hdf5, NULL};

static const struct pv_read as_is;

/* Upper and lower case count as the same. */
static bool has_ending(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    if (n <= m)
        return false;
    for (size_t i = 0; i < m; i++) {
        char c = name[n - m + i];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != ending[i])
            return false;
    }
    return true;
}

static const struct pv_format *find(const char *path, size_t *ending_length)
{
    const char *name = pv_path_base(path);
    for (int f = 0; pv_formats[f]; f++) {
        for (int e = 0; e < 4 && pv_formats[f]->endings[e]; e++) {
            if (has_ending(name, pv_formats[f]->endings[e])) {
                *ending_length = strlen(pv_formats[f]->endings[e]);
                return pv_formats[f];
            }
        }
    }
    *ending_length = 0;
    return NULL;
}

const struct pv_format *pv_format_of(const char *path)
{
    size_t n;
    return find(path, &n);
}

size_t pv_stem_length(const char *name)
{
    size_t n;
    find(name, &n);
    return strlen(name) - n;
}

/* The format, or NULL with the reason said. */
static const struct pv_format *usable(const char *path)
{
    const struct pv_format *f = pv_format_of(path);
    if (!f)
        return pv_fail_null(PV_FAULT_INPUT,
                            "%s: unknown kind of file; volumes end in .nii, .nii.gz or .h5", path);
    if (f->missing)
        return pv_fail_null(PV_FAULT_INPUT, "%s: %s", path, f->missing);
    return f;
}

bool pv_volume_read(const char *path, enum pv_part part, const struct pv_read *p,
                    struct pv_volume *v)
{
    *v = (struct pv_volume){0};
    const struct pv_format *f = usable(path);
    if (f && f->read(path, part, p ? p : &as_is, v)) {
        pv_debug("data", "%s: %d x %d x %d x %d", path, v->channels, v->size[0], v->size[1],
                 v->size[2]);
        return true;
    }
    pv_volume_free(v);
    return false;
}

bool pv_volume_info(const char *path, enum pv_part part, const struct pv_read *p,
                    struct pv_volume *v)
{
    *v = (struct pv_volume){0};
    const struct pv_format *f = usable(path);
    return f && f->info(path, part, p ? p : &as_is, v);
}

bool pv_volume_write(const char *path, int parts, const struct pv_volume *v)
{
    const struct pv_format *f = usable(path);
    return f && f->write(path, parts, v);
}

bool pv_volume_room(const char *path, enum pv_part part, struct pv_volume *v)
{
    uint64_t bytes = part == PV_IMAGE ? 4u * (uint64_t)v->channels : 1;
    for (int a = 0; a < 3; a++) {
        if (bytes > PTRDIFF_MAX / (uint64_t)v->size[a])
            return pv_fail(PV_FAULT_INPUT, "%s: %d x %d x %d voxels are too many for this machine",
                           path, v->size[0], v->size[1], v->size[2]);
        bytes *= (uint64_t)v->size[a];
    }
    if (part == PV_IMAGE)
        v->image = pv_alloc_big((size_t)bytes, path);
    else
        v->label = pv_alloc_big((size_t)bytes, path);
    return v->image || v->label;
}

static void position(const struct pv_volume *v, size_t at, int out[4])
{
    for (int a = 2; a >= 0; a--) {
        out[a + 1] = (int)(at % (size_t)v->size[a]);
        at /= (size_t)v->size[a];
    }
    out[0] = (int)at;
}

bool pv_volume_check_finite(const char *path, const struct pv_read *p, struct pv_volume *v)
{
    size_t n = pv_volume_voxels(v) * (size_t)v->channels;
    v->num_bad = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(v->image[i]))
            continue;
        if (v->num_bad++ == 0)
            position(v, i, v->first_bad);
        if (p->bad_to_zero)
            v->image[i] = 0;
    }
    if (v->num_bad == 0)
        return true;
    const int *b = v->first_bad;
    char *what = pv_asprintf("%s: %llu of %llu voxels are NaN, infinite or too large, the first at "
                             "(%d, %d, %d) of channel %d",
                             path, (unsigned long long)v->num_bad, (unsigned long long)n, b[1], b[2],
                             b[3], b[0]);
    if (p->bad_to_zero)
        pv_warn("%s; they are read as 0", what);
    else
        pv_fail(PV_FAULT_INPUT, "%s: repair the file, or have such voxels read as 0 (--set data.bad_to_zero=true of "
                "train, data.bad_to_zero in config.json of a run)", what);
    pv_free(what);
    return p->bad_to_zero;
}

bool pv_volume_bad_label(const char *path, double value, const struct pv_volume *v, size_t at)
{
    int p[4];
    position(v, at, p);
    return pv_fail(PV_FAULT_INPUT,
                   "%s: label %g at voxel (%d, %d, %d); labels are whole numbers from 0 to 255: is "
                   "this a label file?",
                   path, value, p[1], p[2], p[3]);
}
