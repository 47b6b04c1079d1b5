/* SPDX-License-Identifier: Apache-2.0
 * Loading one case of a data set, with every check on what belongs together (dataset.h). */
#include <math.h>
#include <string.h>

#include "data/dataset_impl.h"

#define GEOMETRY_TOLERANCE 1e-3

static const struct pv_load plain_load;

bool pv_dataset_map_label(const pv_dataset *ds, const char *path, struct pv_volume *v)
{
    size_t n = pv_volume_voxels(v), bad = 0, count = 0;
    uint8_t to[256];
    for (int i = 0; i < 256; i++)
        to[i] = (uint8_t)(ds->classes[i] < 0 ? 0 : ds->classes[i]);
    for (size_t i = 0; i < n; i++) {
        uint8_t was = v->label[i];
        if (ds->classes[was] < 0 && count++ == 0)
            bad = i;
        else if (ds->classes[was] >= 0)
            v->label[i] = to[was];
    }
    if (count == 0)
        return true;
    size_t z = bad % (size_t)v->size[2], y = bad / (size_t)v->size[2] % (size_t)v->size[1];
    size_t x = bad / (size_t)v->size[2] / (size_t)v->size[1];
    return pv_fail(PV_FAULT_INPUT,
                   "%s: %zu voxels have labels that %s does not know, the first is %d at (%zu, %zu, %zu); "
                   "known are 0 to %d%s%s",
                   path, count, strcmp(ds->layout, "nnunet") == 0 ? "dataset.json" : "the data set",
                   v->label[bad], x, y, z, ds->num_classes - 1,
                   strcmp(ds->layout, "nnunet") == 0 ? ": correct the file, or add the label there" : "",
                   v->label[bad] == PV_LABEL_IGNORE ? "; where 255 means not annotated, use the setting "
                                                      "data.annotation=sparse" : "");
}

static bool same_size(const struct pv_volume *a, const char *a_path, const struct pv_volume *b,
                      const char *b_path)
{
    if (memcmp(a->size, b->size, sizeof a->size) == 0)
        return true;
    return pv_fail(PV_FAULT_INPUT,
                   "%s has %d x %d x %d voxels but %s has %d x %d x %d: they must be on one grid, resample one",
                   b_path, b->size[0], b->size[1], b->size[2], a_path, a->size[0], a->size[1], a->size[2]);
}

static bool same_place(const struct pv_volume *a, const char *a_path, const struct pv_volume *b,
                       const char *b_path)
{
    double d = pv_geometry_distance(&a->geo, &b->geo);
    for (int i = 0; i < 3; i++)
        d = fmax(d, fabs(a->spacing[i] - b->spacing[i]));
    if (d <= GEOMETRY_TOLERANCE)
        return true;
    return pv_fail(PV_FAULT_INPUT,
                   "%s lies elsewhere than %s (spacing %g x %g x %g and %g x %g x %g, affines differ by %g): if "
                   "they share the voxel grid, take the image's geometry for both (--set data.copy_geometry=true), "
                   "else resample one onto the other",
                   b_path, a_path, b->spacing[0], b->spacing[1], b->spacing[2], a->spacing[0], a->spacing[1],
                   a->spacing[2], d);
}

static bool channels_right(const pv_dataset *ds, const struct pv_case *c, int channels)
{
    if (channels == ds->channels)
        return true;
    return pv_fail(PV_FAULT_INPUT, "%s: the case has %d channels, the data set %s has %d", c->images[0], channels,
                   ds->name, ds->channels);
}

bool pv_case_info(const pv_dataset *ds, int index, const struct pv_load *opts, struct pv_volume *v)
{
    const struct pv_case *c = &ds->cases[index];
    const struct pv_load *o = opts ? opts : &plain_load;
    int channels = 0;
    for (int i = 0; i < c->num_images; i++) {
        struct pv_volume one;
        if (!pv_volume_info(c->images[i], PV_IMAGE, &o->read, &one))
            return false;
        if (i == 0)
            *v = one;
        else if (!same_size(v, c->images[0], &one, c->images[i]))
            return false;
        channels += one.channels;
    }
    v->channels = channels;
    return channels_right(ds, c, channels);
}

static bool load_image(const pv_dataset *ds, const struct pv_case *c, const struct pv_load *o,
                       struct pv_volume *v)
{
    if (c->num_images == 1)
        return pv_volume_read(c->images[0], PV_IMAGE, &o->read, v) && channels_right(ds, c, v->channels);
    *v = (struct pv_volume){0};
    int at = 0;
    for (int i = 0; i < c->num_images; i++) {
        struct pv_volume one;
        if (!pv_volume_read(c->images[i], PV_IMAGE, &o->read, &one))
            return false;
        bool ok = true;
        size_t voxels = pv_volume_voxels(&one);
        if (i == 0) {
            *v = one;
            v->image = NULL;
            v->channels = ds->channels;
            ok = pv_volume_room(c->images[0], PV_IMAGE, v);
        } else {
            ok = same_size(v, c->images[0], &one, c->images[i])
                && (o->copy_geometry || same_place(v, c->images[0], &one, c->images[i]));
            if (ok && one.num_bad && !v->num_bad) {
                memcpy(v->first_bad, one.first_bad, sizeof v->first_bad);
                v->first_bad[0] += at;
            }
            v->num_bad += ok ? one.num_bad : 0;
        }
        ok = ok && (one.channels <= ds->channels - at || channels_right(ds, c, at + one.channels));
        if (ok)
            memcpy(v->image + (size_t)at * voxels, one.image, (size_t)one.channels * voxels * sizeof(float));
        at += one.channels;
        pv_volume_free(&one);
        if (!ok)
            return false;
    }
    return channels_right(ds, c, at);
}

bool pv_case_load(const pv_dataset *ds, int index, int parts, const struct pv_load *opts,
                  struct pv_volume *v)
{
    const struct pv_case *c = &ds->cases[index];
    const struct pv_load *o = opts ? opts : &plain_load;
    struct pv_volume label = {0};
    *v = (struct pv_volume){0};
    if ((parts & PV_LABEL) && !c->has_label) {
        pv_fail(PV_FAULT_INPUT, "%s has no label, and one is needed: add the label file of the case %s",
                c->images[0], c->id);
        goto error;
    }
    if ((parts & PV_IMAGE) && !load_image(ds, c, o, v))
        goto error;
    if (parts & PV_LABEL) {
        struct pv_read how = o->read;
        if (o->copy_geometry && (parts & PV_IMAGE))
            how.turn_as = &v->geo;
        if (!pv_volume_read(c->label, PV_LABEL, &how, &label))
            goto error;
        if (parts & PV_IMAGE) {
            if (!same_size(v, c->images[0], &label, c->label) ||
                (!o->copy_geometry && !same_place(v, c->images[0], &label, c->label)))
                goto error;
            v->label = label.label;
        } else {
            *v = label;
        }
        label.label = NULL;
        if (!pv_dataset_map_label(ds, c->label, v))
            goto error;
    }
    return true;
error:
    pv_volume_free(&label);
    pv_volume_free(v);
    return false;
}
