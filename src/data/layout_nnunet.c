/* SPDX-License-Identifier: Apache-2.0
 * nnU-Net v2 raw data sets, and the Medical Segmentation Decathlon's dataset.json, which differs:
 * `modality` for `channel_names`, labels as {"1": "name"}, files listed under `training`. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset_impl.h"
#include "platform/platform.h"

struct scan {
    pv_dataset *ds;
    struct found *f;
    const pv_json *j;
    char *json_path;
    const char *ending;
    char *dotted;               /* the ending where its dot is missing in dataset.json */
    int ignore;                 /* of the caller, where dataset.json names none */
};

static bool bad_json(const struct scan *s, const char *what)
{
    return pv_fail(PV_FAULT_INPUT, "%s: %s", s->json_path, what);
}

/* ---- channels and labels ---- */

static bool read_channels(struct scan *s)
{
    const pv_json *names = pv_json_get(s->j, "channel_names");
    if (!names)
        names = pv_json_get(s->j, "modality");
    size_t n = pv_json_count(names);
    if (!pv_json_is_object(names) || n < 1 || n > 10000)
        return bad_json(s, "it needs channel_names, for example {\"0\": \"MRI\"}");
    s->ds->channels = (int)n;
    s->ds->channel_names = pv_array(char *, n);
    for (size_t c = 0; c < n; c++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", c);
        const char *name = pv_json_str(names, key, NULL);
        if (!name)
            return pv_fail(PV_FAULT_INPUT, "%s: channel_names must count from \"0\" to \"%zu\"; \"%s\" is "
                           "missing or no text", s->json_path, n - 1, key);
        s->ds->channel_names[c] = pv_strdup(name);
    }
    return true;
}

/* One entry of `labels` in either form. */
static bool label_entry(const struct scan *s, const pv_json *e, const char **name, int *value)
{
    double v = NAN;
    int64_t key_value;
    *name = pv_json_key(e);
    if (pv_json_is_array(e))
        return pv_fail(PV_FAULT_INPUT,
                       "%s: the label \"%s\" is a list of labels (regions), which cannot be trained on; give "
                       "every voxel one label and every label one number, \"background\" 0",
                       s->json_path, *name);
    if (pv_json_is_number(e)) {
        v = pv_json_number_value(e);
    } else if (pv_json_is_string(e) && pv_parse_i64(*name, &key_value)) {
        v = (double)key_value;
        *name = pv_json_string_value(e);
    }
    if (!(v >= 0 && v <= 255) || v != floor(v))
        return pv_fail(PV_FAULT_INPUT, "%s: the label \"%s\" has no whole number from 0 to 255", s->json_path,
                       *name);
    *value = (int)v;
    return true;
}

static bool read_labels(struct scan *s)
{
    const pv_json *labels = pv_json_get(s->j, "labels");
    const char *name_of[256] = {NULL}, *name;
    int value = 0, most = -1, ignore = -1;
    if (!pv_json_is_object(labels))
        return bad_json(s, "it needs labels, for example {\"background\": 0, \"tumour\": 1}");
    for (const pv_json *e = pv_json_at(labels, 0); e; e = pv_json_next(e)) {
        if (!label_entry(s, e, &name, &value))
            return false;
        if (name_of[value])
            return pv_fail(PV_FAULT_INPUT, "%s: the labels \"%s\" and \"%s\" are both %d", s->json_path,
                           name_of[value], name, value);
        name_of[value] = name;
        most = pv_max(most, value);
        if (strcmp(name, "ignore") == 0)
            ignore = value;
    }
    if (ignore >= 0 && ignore != most)
        return bad_json(s, "the label \"ignore\" must have the highest number");
    int classes = ignore >= 0 ? most : most + 1;
    for (int i = 0; i <= most; i++)
        if (!name_of[i])
            return pv_fail(PV_FAULT_INPUT, "%s: labels must be consecutive from 0 (the background); %d is "
                           "missing", s->json_path, i);
    if (classes < 2)
        return bad_json(s, "labels need the background (0) and at least one more");
    if (!classes_by_number(s->ds, classes, ignore > 0 ? ignore : s->ignore))
        return false;
    for (int i = 0; i < classes; i++) {
        pv_free(s->ds->class_names[i]);
        s->ds->class_names[i] = pv_strdup(name_of[i]);
    }
    return true;
}

/* ---- files ---- */

static char *path_in(const struct scan *s, const char *name)
{
    if (pv_starts(name, "./"))
        name += 2;
    bool absolute = name[0] && (strchr(pv_path_separators, name[0]) || name[1] == ':');
    return absolute ? pv_strdup(name) : pv_path_join(s->ds->dir, name);
}

/* "imagesTr/CASE_0000.nii.gz" -> length of "CASE", or 0 if the name is not of that kind. */
static size_t id_length(const struct scan *s, const char *name)
{
    size_t n = strlen(name), e = strlen(s->ending);
    if (name[0] == '.' || name[0] == '_' || n <= e + 5 || !pv_ends(name, s->ending))
        return 0;
    const char *p = name + n - e - 5;
    if (p[0] != '_' || strspn(p + 1, "0123456789") < 4)
        return 0;
    return (size_t)(p - name);
}

static bool add_case(struct scan *s, const char *images, const char *labels, const char *id,
                     enum pv_split split)
{
    struct pv_case *c = found_add(s->f, id, split);
    for (int k = 0; k < s->ds->channels; k++) {
        char *path = pv_asprintf("%s/%s_%04d%s", images, id, k, s->ending);
        bool there = pv_file_exists(path);
        if (there)
            case_add_image(c, path);
        else
            pv_fail(PV_FAULT_INPUT, "there is no %s: %s names %d channels, and each case needs a file for each",
                    path, s->json_path, s->ds->channels);
        pv_free(path);
        if (!there)
            return false;
    }
    char *label = pv_asprintf("%s/%s%s", labels, id, s->ending);
    if (pv_file_exists(label))
        c->label = label;
    else
        pv_free(label);
    return true;
}

static bool scan_folder(struct scan *s, const char *images_name, const char *labels_name, enum pv_split split)
{
    char *images = pv_path_join(s->ds->dir, images_name), *labels = pv_path_join(s->ds->dir, labels_name);
    char **names = NULL, *last = pv_strdup("");
    size_t n = 0, stray = 0;
    int before = s->f->n;
    bool ok = true;
    if (pv_is_dir(images) && !pv_list_dir(images, &names, &n))
        ok = pv_fail(PV_FAULT_INPUT, "cannot read the folder %s: %s", images, pv_os_error());
    for (size_t i = 0; i < n; i++) {
        size_t len = id_length(s, names[i]);
        stray += len == 0 && names[i][0] != '.' && pv_ends(names[i], s->ending);
        if (ok && len && (strlen(last) != len || strncmp(names[i], last, len) != 0)) {
            pv_free(last);      /* files of a case follow each other: the names are sorted */
            last = pv_asprintf("%.*s", (int)len, names[i]);
            ok = add_case(s, images, labels, last, split);
        }
        free(names[i]);
    }
    free(names);
    if (ok && stray && s->f->n == before)
        ok = pv_fail(PV_FAULT_INPUT, "%s: image files must be named CASE_0000%s (and _0001, ... for more "
                     "channels)", images, s->ending);
    else if (ok && stray)
        pv_warn("%s: %zu files are not named CASE_0000%s and are left out", images, stray, s->ending);
    pv_free(last);
    pv_free(images);
    pv_free(labels);
    return ok;
}

/* Explicit files of one case; `images` is a text or a list of texts. */
static bool add_explicit(struct scan *s, const char *id, const pv_json *images, const char *label,
                         enum pv_split split)
{
    struct pv_case *c = found_add(s->f, id, split);
    if (pv_json_is_string(images)) {
        char *path = path_in(s, pv_json_string_value(images));
        case_add_image(c, path);
        pv_free(path);
    }
    for (const pv_json *j = pv_json_is_array(images) ? pv_json_at(images, 0) : NULL; j; j = pv_json_next(j)) {
        if (!pv_json_is_string(j))
            return pv_fail(PV_FAULT_INPUT, "%s: an image of the case %s is no file name", s->json_path, id);
        char *path = path_in(s, pv_json_string_value(j));
        case_add_image(c, path);
        pv_free(path);
    }
    if (c->num_images == 0)
        return pv_fail(PV_FAULT_INPUT, "%s: the case %s has no images", s->json_path, id);
    c->label = label ? path_in(s, label) : NULL;
    for (int i = 0; i <= c->num_images; i++) {
        const char *path = i < c->num_images ? c->images[i] : c->label;
        if (path && !pv_file_exists(path))
            return pv_fail(PV_FAULT_INPUT, "%s names %s for the case %s, but there is no such file", s->json_path,
                           path, id);
    }
    return true;
}

static bool scan_explicit(struct scan *s, const pv_json *cases)
{
    for (const pv_json *j = pv_json_at(cases, 0); j; j = pv_json_next(j)) {
        const pv_json *images = pv_json_get(j, "images");
        if (!add_explicit(s, pv_json_key(j), images ? images : pv_json_get(j, "image"),
                          pv_json_str(j, "label", NULL), PV_TRAIN))
            return false;
    }
    return true;
}

/* Entries of the Decathlon's `training` and `test`: objects, or for `test` bare names. */
static bool scan_decathlon(struct scan *s, const pv_json *list, enum pv_split split)
{
    for (const pv_json *j = pv_json_at(list, 0); j; j = pv_json_next(j)) {
        const pv_json *image = pv_json_is_object(j) ? pv_json_get(j, "image") : j;
        const char *name = pv_json_string_value(image);
        if (!name)
            return pv_fail(PV_FAULT_INPUT, "%s: an entry of its lists names no image", s->json_path);
        const char *base = pv_path_base(name);
        char *id = pv_asprintf("%.*s", (int)pv_stem_length(base), base);
        bool ok = add_explicit(s, id, image, pv_json_is_object(j) ? pv_json_str(j, "label", NULL) : NULL, split);
        pv_free(id);
        if (!ok)
            return false;
    }
    return true;
}

static bool is_nnunet(const char *dir)
{
    char *json = pv_path_join(dir, "dataset.json"), *images = pv_path_join(dir, "imagesTr");
    bool yes = pv_file_exists(json) || pv_is_dir(images);
    pv_free(json);
    pv_free(images);
    return yes;
}

/* No case was found: says what is there and how files are called. */
static bool no_cases(const struct scan *s)
{
    char *images = pv_path_join(s->ds->dir, "imagesTr"), **names = NULL, *other = NULL;
    size_t n = 0;
    bool there = pv_is_dir(images);
    if (there)
        pv_list_dir(images, &names, &n);        /* scan_folder() has read it */
    for (size_t i = 0; i < n; i++) {
        if (!other && names[i][0] != '.' && pv_format_of(names[i]))
            other = pv_strdup(names[i]);
        free(names[i]);
    }
    free(names);
    if (!there)
        pv_fail(PV_FAULT_INPUT, "there is no folder %s: the images belong there, called CASE_0000%s", images,
                s->ending);
    else if (other)
        pv_fail(PV_FAULT_INPUT, "%s says file_ending \"%s\", but %s holds %s: set file_ending to \"%s\"",
                s->json_path, s->ending, images, other, other + pv_stem_length(other));
    else
        pv_fail(PV_FAULT_INPUT, "%s holds no images: they are called CASE_0000%s (and _0001, ... for more channels), "
                "their labels labelsTr/CASE%s", images, s->ending, s->ending);
    pv_free(other);
    pv_free(images);
    return false;
}

static bool scan_files(struct scan *s)
{
    const pv_json *cases = pv_json_get(s->j, "dataset"), *training = pv_json_get(s->j, "training");
    s->ending = pv_json_str(s->j, "file_ending", NULL);
    if (pv_json_is_object(cases))
        return scan_explicit(s, cases) && (!s->ending || scan_folder(s, "imagesTs", "labelsTs", PV_TEST));
    if (!s->ending && pv_json_is_array(training))
        return scan_decathlon(s, training, PV_TRAIN) && scan_decathlon(s, pv_json_get(s->j, "test"), PV_TEST);
    if (!s->ending)
        return bad_json(s, "it needs file_ending, for example \".nii.gz\"");
    if (s->ending[0] != '.')
        s->ending = s->dotted = pv_asprintf(".%s", s->ending);
    char *probe = pv_asprintf("x%s", s->ending);
    bool known = pv_format_of(probe) != NULL;
    pv_free(probe);
    if (!known)
        return pv_fail(PV_FAULT_INPUT, "%s: files that end in \"%s\" cannot be read; convert them to .nii.gz",
                       s->json_path, s->ending);
    int before = s->f->n;
    if (!scan_folder(s, "imagesTr", "labelsTr", PV_TRAIN))
        return false;
    double said = pv_json_num(s->j, "numTraining", NAN);
    if (said != s->f->n - before && isfinite(said))
        pv_warn("%s says numTraining %g, but imagesTr holds %d cases", s->json_path, said, s->f->n - before);
    return scan_folder(s, "imagesTs", "labelsTs", PV_TEST) && (s->f->n > 0 || no_cases(s));
}

static bool scan(pv_dataset *ds, const struct pv_dataset_params *p, struct found *f)
{
    struct scan s = {.ds = ds, .f = f, .json_path = pv_path_join(ds->dir, "dataset.json"), .ignore = p->ignore};
    pv_json *j = NULL;
    bool ok = false;
    if (!pv_file_exists(s.json_path)) {
        pv_fail(PV_FAULT_INPUT,
                "%s has imagesTr but no dataset.json: write one, for example {\"channel_names\": {\"0\": "
                "\"MRI\"}, \"labels\": {\"background\": 0, \"tumour\": 1}, \"numTraining\": 10, "
                "\"file_ending\": \".nii.gz\"}",
                ds->dir);
        goto done;
    }
    s.j = j = pv_json_read(s.json_path);
    if (!j)
        goto done;
    const char *name = pv_json_str(j, "name", NULL);
    ds->name = name ? pv_strdup(name) : NULL;
    ok = read_channels(&s) && read_labels(&s);
    if (ok && p->num_classes && p->num_classes != ds->num_classes)
        ok = pv_fail(PV_FAULT_USAGE, "%d classes are asked for, but %s has %d", p->num_classes, s.json_path,
                     ds->num_classes);
    ok = ok && scan_files(&s);
done:
    pv_json_free(j);
    pv_free(s.dotted);
    pv_free(s.json_path);
    return ok;
}

const struct pv_layout pv_layout_nnunet = {.name = "nnunet", .fits = is_nnunet, .scan = scan};
