/* SPDX-License-Identifier: Apache-2.0
 * Checks of one case: each of its files by itself, and against the others. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "data/verify_impl.h"

#define PLACE_TOLERANCE 1e-3        /* mm, as loading has it (dataset.h) */
#define FORMS_TOLERANCE 1e-2        /* mm between qform and sform at the corners of the volume */

static const char *const again = "get the file again from where it came, or take the case out of the lists";

/* Reads without a word; the reason of a failure is pv_fault_text() until the next call. */
static bool read_quietly(const char *path, enum pv_part part, const struct pv_read *how, struct pv_volume *v)
{
    pv_fault_clear();
    pv_fail_quiet(true);
    bool ok = pv_volume_read(path, part, how, v);
    pv_fail_quiet(false);
    return ok;
}

/* ---- one image file ---- */

/* Largest distance between where the two transforms put a corner of the volume. */
static double forms_apart(const struct pv_geometry *g)
{
    double most = 0;
    for (int k = 0; k < 8; k++) {
        double sum = 0;
        for (int r = 0; r < 3; r++) {
            double d = g->qform[r][3] - g->sform[r][3];
            for (int c = 0; c < 3; c++)
                d += (g->qform[r][c] - g->sform[r][c]) * (k >> c & 1 ? g->file_size[c] - 1 : 0);
            sum += d * d;
        }
        most = fmax(most, sqrt(sum));
    }
    return most;
}

static double determinant(double m[3][4])
{
    return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
           m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

static void axes_of(const struct pv_geometry *g, double m[3][4], char axes[4])
{
    static const char letters[3][2] = {{'L', 'R'}, {'P', 'A'}, {'I', 'S'}};
    axes[0] = 0;
    if (g->qform_code <= 0 && g->sform_code <= 0)
        return;
    for (int a = 0; a < 3; a++) {
        int r = 0;
        for (int k = 1; k < 3; k++)
            if (fabs(m[k][a]) > fabs(m[r][a]))
                r = k;
        axes[a] = letters[r][m[r][a] > 0];
    }
    axes[3] = 0;
}

static void check_geometry(struct pv_verification *r, const char *id, const char *path, const struct pv_volume *v)
{
    double m[3][4];
    const struct pv_geometry *g = &v->geo;
    pv_geometry_affine(g, m);
    double volume = fabs(determinant(m)), cube = v->spacing[0] * v->spacing[1] * v->spacing[2];
    if (!(volume > 1e-9) || !(cube > 1e-9))
        verify_add(r, PV_GRADE_ERROR, "geometry", id, "repair sform or qform in the header, or write the file again "
                   "with the tool that made it", "%s: its axes span no volume (an axis is zero, or two are "
                   "parallel)", path);
    else if (volume < 0.99 * cube)
        verify_add(r, PV_GRADE_WARNING, "geometry", id, "resample the image and its label to a grid with right angles",
                   "%s: its axes are not at right angles (the affine is sheared)", path);
    if (g->qform_code > 0 && g->sform_code > 0 && forms_apart(g) > FORMS_TOLERANCE)
        verify_add(r, PV_GRADE_WARNING, "geometry", id, "decide which one is right and remove or overwrite the other; "
                   "protovox and nibabel take sform, other programs qform",
                   "%s: qform and sform put the volume %.3g mm apart", path, forms_apart(g));
    if (g->xyz_units != 0 && g->xyz_units != 2)
        verify_add(r, PV_GRADE_WARNING, "spacing", id, "write the spacing in mm: everything here takes it as mm",
                   "%s: its unit of length is not mm (xyzt_units %d)", path, g->xyz_units);
    for (int a = 0; a < 3; a++)
        if (v->spacing[a] < 0.01 || v->spacing[a] > 50) {
            verify_add(r, PV_GRADE_WARNING, "spacing", id, "correct pixdim and the affine if that is wrong; distances "
                       "in mm and resampling depend on them", "%s: spacing %g x %g x %g mm is implausible", path,
                       v->spacing[0], v->spacing[1], v->spacing[2]);
            break;
        }
}

static void check_voxels(struct pv_verification *r, const char *id, const char *path, const struct pv_volume *v)
{
    size_t n = pv_volume_voxels(v);
    if (v->num_bad)
        verify_add(r, PV_GRADE_ERROR, "nan", id, "repair the file, or write the set again with such voxels as 0: "
                   "protovox convert --data DIR --to nifti --nan-to-zero --out DIR2",
                   "%s: %llu voxels are NaN, infinite or too large, the first at (%d, %d, %d) of channel %d", path,
                   (unsigned long long)v->num_bad, v->first_bad[1], v->first_bad[2], v->first_bad[3], v->first_bad[0]);
    for (int c = 0; c < v->channels; c++) {
        const float *p = v->image + (size_t)c * n;
        float lo = p[0], hi = p[0];
        for (size_t i = 1; i < n; i++) {
            lo = fminf(lo, p[i]);
            hi = fmaxf(hi, p[i]);
        }
        if (lo == hi)
            verify_add(r, PV_GRADE_ERROR, "intensity", id, "take the case out of the lists, or get its image again",
                       "%s: all voxels of channel %d are %g", path, c, (double)lo);
        else if (fmaxf(fabsf(lo), fabsf(hi)) > 1e6f)
            verify_add(r, PV_GRADE_WARNING, "intensity", id, "look for stray values or a wrong scl_slope; a preset "
                       "that clips (ian, pancreas) tames them", "%s: values of channel %d run from %g to %g", path, c,
                       (double)lo, (double)hi);
    }
}

/* ---- files against each other ---- */

/* False after a finding. */
static bool check_same_grid(struct pv_verification *r, const char *id, const struct pv_volume *a, const char *a_path,
                            const struct pv_volume *b, const char *b_path, bool label)
{
    if (memcmp(a->size, b->size, sizeof a->size)) {
        verify_add(r, PV_GRADE_ERROR, "size", id, label ? "resample the label onto the grid of the image (nearest "
                   "neighbour)" : "resample the channels onto one grid",
                   "%s has %d x %d x %d voxels, but %s has %d x %d x %d", b_path, b->size[0], b->size[1], b->size[2],
                   a_path, a->size[0], a->size[1], a->size[2]);
        return false;
    }
    double d = pv_geometry_distance(&a->geo, &b->geo), s = 0;
    for (int i = 0; i < 3; i++)
        s = fmax(s, fabs(a->spacing[i] - b->spacing[i]));
    if (d <= PLACE_TOLERANCE && s <= PLACE_TOLERANCE)
        return true;
    verify_add(r, PV_GRADE_ERROR, s > PLACE_TOLERANCE ? "spacing" : "geometry", id,
               "if voxels lie on each other all the same, let the image's header count for both: protovox convert "
               "--data DIR --to nifti --copy-geometry --out DIR2; else resample one onto the other",
               "%s lies elsewhere than %s: spacing %g x %g x %g and %g x %g x %g mm, affines differ by %g", b_path,
               a_path, b->spacing[0], b->spacing[1], b->spacing[2], a->spacing[0], a->spacing[1],
               a->spacing[2], d);
    return false;
}

static void check_label(struct pv_verification *r, const struct pv_case *c, const struct pv_volume *image,
                        const struct pv_read *how)
{
    const pv_dataset *ds = r->ds;
    struct pv_volume v;
    bool h5 = pv_streq(ds->layout, "h5");
    if (!read_quietly(c->label, PV_LABEL, how, &v)) {
        bool absent = h5 && strstr(pv_fault_text(), "holds no data set");
        verify_add(r, absent ? PV_GRADE_WARNING : PV_GRADE_ERROR, "labels", c->id, absent
                   ? "add the data set 'label', or keep the case among the unlabelled ones, behind the first N of "
                     "train.list"
                   : "a label is a volume of whole numbers from 0 to 255: export it as such, or take it away so that "
                     "the case counts as unlabelled", "%s", pv_fault_text());
        return;
    }
    if (image->image)
        check_same_grid(r, c->id, image, c->images[0], &v, c->label, true);
    size_t n = pv_volume_voxels(&v);
    uint64_t count[256] = {0}, ignored = 0, foreground = 0;
    for (size_t i = 0; i < n; i++)
        count[v.label[i]]++;
    struct pv_str unknown = {0};
    for (int i = 0; i < 256; i++) {
        int k = ds->classes[i];
        if (!count[i])
            continue;
        if (k < 0) {
            pv_str_addf(&unknown, "%s%d (%llu voxels)", unknown.len ? ", " : "", i, (unsigned long long)count[i]);
        } else if (k == PV_LABEL_IGNORE) {
            ignored += count[i];
        } else {
            r->class_voxels[k] += count[i];
            r->class_cases[k]++;
            foreground += k > 0 ? count[i] : 0;
        }
    }
    r->ignored_voxels += ignored;
    r->labeled[c->split]++;
    if (unknown.len)
        verify_add(r, PV_GRADE_ERROR, "labels", c->id, h5 ? "correct the file, or say how many classes there are "
                   "(--classes N) and which label means not annotated (--ignore V)" : "correct the file, or name the "
                   "label in dataset.json", "%s: labels that %s does not know: %s; known are 0 to %d", c->label,
                   h5 ? "the data set" : "dataset.json", unknown.text, ds->num_classes - 1);
    else if (foreground == 0)
        verify_add(r, PV_GRADE_WARNING, "labels", c->id, "if nothing was annotated, remove the label file: the case "
                   "then counts as unlabelled", "%s: %s", c->label, ignored == n
                   ? "every voxel is marked as not annotated" : ignored
                   ? "the annotated voxels are all background" : "all voxels are background");
    else if (foreground * 10 > (n - ignored) * 9)
        verify_add(r, PV_GRADE_WARNING, "labels", c->id, "look whether foreground and background are exchanged",
                   "%s: %.0f %% of its voxels are foreground", c->label,
                   100.0 * (double)foreground / (double)(n - ignored));
    if (ignored && ignored < n)
        verify_add(r, PV_GRADE_NOTE, "labels", c->id, "nothing, if the annotation is sparse on purpose: losses and "
                   "metrics leave these voxels out", "%s: %.1f %% of its voxels are marked as not annotated", c->label,
                   100.0 * (double)ignored / (double)n);
    pv_str_free(&unknown);
    pv_volume_free(&v);
}

void verify_case(struct pv_verification *r, int index, const struct pv_read *how)
{
    const struct pv_case *c = &r->ds->cases[index];
    struct pv_verify_case *out = &r->cases[index];
    struct pv_volume first = {0};
    int channels = 0;
    bool all = true;
    uint64_t hash = PV_HASH_START;
    struct pv_read lenient = *how;
    lenient.bad_to_zero = true;
    for (int i = 0; i < c->num_images; i++) {
        struct pv_volume v;
        if (!read_quietly(c->images[i], PV_IMAGE, &lenient, &v)) {
            verify_add(r, PV_GRADE_ERROR, "file", c->id, again, "%s", pv_fault_text());
            all = false;
            continue;
        }
        channels += v.channels;
        check_geometry(r, c->id, c->images[i], &v);
        check_voxels(r, c->id, c->images[i], &v);
        hash = pv_hash(hash, v.image, sizeof *v.image * pv_volume_voxels(&v) * (size_t)v.channels);
        if (first.image) {
            check_same_grid(r, c->id, &first, c->images[0], &v, c->images[i], false);
            pv_volume_free(&v);
        } else {
            first = v;
        }
    }
    if (all && channels != r->ds->channels)
        verify_add(r, PV_GRADE_ERROR, "channels", c->id, "give every case the same channels, and name them in "
                   "dataset.json",
                   "%s: the case has %d channels, the data set %s has %d", c->images[0], channels, r->ds->name,
                   r->ds->channels);
    if (first.image) {
        double m[3][4];
        out->read = true;
        out->hash = all ? hash : 0;
        memcpy(out->size, first.size, sizeof out->size);
        memcpy(out->spacing, first.spacing, sizeof out->spacing);
        pv_geometry_affine(&first.geo, m);
        axes_of(&first.geo, m, out->axes);
    }
    if (c->has_label)
        check_label(r, c, &first, how);
    pv_volume_free(&first);
}
