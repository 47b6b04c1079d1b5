/* SPDX-License-Identifier: Apache-2.0
 * Data sets from one layout to the other (convert.h). One case is in memory at a time. */
#include "data/convert.h"

#include <string.h>

#include "base/base.h"
#include "base/json.h"
#include "platform/platform.h"

static const struct form { const char *layout, *folder, *ending; } forms[] = {
    {"data", "data", ".h5"},
    {"la", "2018LA_Seg_Training Set", "/mri_norm2.h5"},
    {"pancreas", "Pancreas_h5", "_norm.h5"},
};

static const struct form *find_form(const char *layout)
{
    for (size_t i = 0; i < PV_COUNT(forms); i++)
        if (pv_streq(forms[i].layout, layout ? layout : "data"))
            return &forms[i];
    return pv_fail_null(PV_FAULT_USAGE, "there is no layout '%s' of .h5 folders; known are data, la and pancreas",
                        layout);
}

static bool has_ignore(const pv_dataset *ds)
{
    for (int i = 0; i < 256; i++)
        if (ds->classes[i] == PV_LABEL_IGNORE)
            return true;
    return false;
}

/* False after a fault: `out` would mix with another data set. */
static bool folder_is_free(const pv_dataset *ds, const char *out, const struct pv_convert *how)
{
    static const char *const signs[] = {"dataset.json", "train.list", "test.list", "val.list", "imagesTr"};
    if (pv_streq(ds->dir, out))
        return pv_fail(PV_FAULT_USAGE, "--out is the data set itself; name another folder");
    for (size_t i = 0; !how->overwrite && i < PV_COUNT(signs) + PV_COUNT(forms); i++) {
        char *path = pv_path_join(out, i < PV_COUNT(signs) ? signs[i] : forms[i - PV_COUNT(signs)].folder);
        bool there = pv_file_exists(path);
        if (there)
            pv_fail(PV_FAULT_USAGE, "%s is there already; name an empty folder, or replace files with --overwrite",
                    path);
        pv_free(path);
        if (there)
            return false;
    }
    return true;
}

static bool make_dir_of(const char *file)
{
    char *dir = pv_path_dir(file);
    bool ok = pv_make_folder(dir, "--out");
    pv_free(dir);
    return ok;
}

static bool write_to(const char *path, int parts, const struct pv_volume *v)
{
    return make_dir_of(path) && pv_volume_write(path, parts, v);
}

static bool write_nifti(const char *out, const pv_dataset *ds, const struct pv_case *c, struct pv_volume *v)
{
    const char *where = c->split == PV_TEST ? "Ts" : "Tr";
    size_t n = pv_volume_voxels(v);
    struct pv_volume one = *v;
    bool ok = true;
    one.channels = 1;
    one.label = NULL;
    for (int k = 0; ok && k < v->channels; k++) {
        char *path = pv_asprintf("%s/images%s/%s_%04d.nii.gz", out, where, c->id, k);
        one.image = v->image + (size_t)k * n;
        ok = write_to(path, PV_IMAGE, &one);
        pv_free(path);
    }
    for (size_t i = 0; v->label && i < n; i++)
        if (v->label[i] == PV_LABEL_IGNORE)
            v->label[i] = (uint8_t)ds->num_classes;
    if (ok && v->label) {
        char *path = pv_asprintf("%s/labels%s/%s.nii.gz", out, where, c->id);
        ok = write_to(path, PV_LABEL, v);
        pv_free(path);
    }
    return ok;
}

static bool write_h5(const char *out, const struct form *form, const struct pv_case *c, const struct pv_volume *v)
{
    char *path = pv_asprintf("%s/%s/%s%s", out, form->folder, c->id, form->ending);
    bool ok = write_to(path, PV_IMAGE | (v->label ? PV_LABEL : 0), v);
    pv_free(path);
    return ok;
}

static bool write_json(const char *out, const pv_dataset *ds)
{
    pv_json *j = pv_json_object(), *channels = pv_json_object(), *labels = pv_json_object();
    pv_json_set_str(j, "name", ds->name);
    for (int c = 0; c < ds->channels; c++) {
        char key[16];
        snprintf(key, sizeof key, "%d", c);
        pv_json_set_str(channels, key, ds->channel_names[c]);
    }
    for (int i = 0; i < ds->num_classes; i++)
        pv_json_set_num(labels, ds->class_names[i], i);
    if (has_ignore(ds))
        pv_json_set_num(labels, "ignore", ds->num_classes);
    pv_json_set(j, "channel_names", channels);
    pv_json_set(j, "labels", labels);
    pv_json_set_num(j, "numTraining", ds->num_split[PV_TRAIN] + ds->num_split[PV_VAL]);
    pv_json_set_num(j, "numTest", ds->num_split[PV_TEST]);
    pv_json_set_str(j, "file_ending", ".nii.gz");
    char *path = pv_path_join(out, "dataset.json");
    bool ok = pv_json_write(path, j);
    pv_free(path);
    pv_json_free(j);
    return ok;
}

static bool write_lists(const char *out, const pv_dataset *ds)
{
    bool ok = true;
    for (int s = PV_TRAIN; ok && s <= PV_TEST; s++) {
        struct pv_str text = {0};
        for (int i = 0; i < ds->num_cases; i++)
            if (ds->cases[i].split == (enum pv_split)s)
                pv_str_addf(&text, "%s\n", ds->cases[i].id);
        char *path = pv_asprintf("%s/%s.list", out, pv_split_name((enum pv_split)s));
        if (text.len)
            ok = pv_write_file(path, text.text, text.len);
        else if (pv_file_exists(path))
            pv_remove(path);    /* of what is replaced */
        pv_free(path);
        pv_str_free(&text);
    }
    return ok;
}

bool pv_dataset_convert(const pv_dataset *ds, const char *out, const struct pv_convert *how)
{
    bool nifti = pv_streq(how->to, "nifti");
    if (!nifti && !pv_streq(how->to, "h5"))
        return pv_fail(PV_FAULT_USAGE, "data convert to nifti or h5, not '%s'", how->to);
    const struct form *form = nifti ? NULL : find_form(how->layout);
    if ((!nifti && !form) || !folder_is_free(ds, out, how))
        return false;
    if (!nifti && pv_format_hdf5.missing)
        return pv_fail(PV_FAULT_USAGE, "%s", pv_format_hdf5.missing);
    if (how->spacing[0] > 0 && !pv_streq(ds->layout, "h5"))
        return pv_fail(PV_FAULT_USAGE, "%s: its files say their spacing themselves; leave --spacing out", ds->dir);
    if (nifti && has_ignore(ds) && ds->num_classes > 254)
        return pv_fail(PV_FAULT_INPUT, "%s has too many classes for one more that means ignore", ds->dir);
    bool ok = true, geometry = false;
    int unlabeled = 0;
    for (int i = 0; ok && i < ds->num_cases; i++) {
        const struct pv_case *c = &ds->cases[i];
        struct pv_volume v;
        if (pv_stop_requested())
            return pv_fail(PV_FAULT_STOPPED, "interrupted before the case %s", c->id);
        if (how->progress)
            how->progress(how->user, i, ds->num_cases, c->id);
        ok = pv_case_load(ds, i, PV_IMAGE | (c->has_label ? PV_LABEL : 0), &how->load, &v);
        if (!ok)
            break;
        if (how->spacing[0] > 0 && pv_streq(ds->layout, "h5")) {
            memcpy(v.spacing, how->spacing, sizeof v.spacing);
            pv_geometry_plain(&v.geo, v.size, v.spacing);
        }
        for (int a = 0; a < 3; a++)
            geometry = geometry || v.spacing[a] != 1;
        unlabeled += !c->has_label;
        ok = nifti ? write_nifti(out, ds, c, &v) : write_h5(out, form, c, &v);
        pv_volume_free(&v);
    }
    ok = ok && pv_make_folder(out, "--out");
    ok = ok && write_lists(out, ds) && (!nifti || write_json(out, ds));
    if (ok && !nifti && geometry)
        pv_warn("%s: .h5 files hold no spacing and no position; distances in mm cannot be computed from them", out);
    if (ok && !nifti && unlabeled)
        pv_warn("%s: %d cases have no label; their files hold only 'image', and the public code wants 'label' too", out,
                unlabeled);
    return ok;
}
