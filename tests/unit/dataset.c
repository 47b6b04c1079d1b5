/* SPDX-License-Identifier: Apache-2.0
 * data/dataset.h: layouts, lists, folds, labelled cases, and every way in which a folder can be wrong. */
#include "unit.h"

#include <math.h>

#include "data/dataset.h"
#include "pv_config.h"

static char *dir_of(const char *set, const char *rest)
{
    return pv_asprintf("%s/%s%s%s", unit_tmp(), set, *rest ? "/" : "", rest);
}

/* Writes a text into a file of the set, with the folders above it. */
static void put_text(const char *set, const char *name, const char *text)
{
    char *path = dir_of(set, name), *above = pv_path_dir(path);
    assert_true(pv_mkdirs(above));
    assert_true(pv_write_file(path, text, strlen(text)));
    pv_free(above);
    pv_free(path);
}

/* A volume of 5 x 4 x 3 voxels whose image is `value` everywhere and whose label, if any of `parts`,
 * runs through 0 .. classes - 1. */
static void put_sized(const char *set, const char *name, int parts, float value, int classes,
                      const int size[3], double spacing)
{
    struct pv_volume v = {.channels = 1, .size = {size[0], size[1], size[2]}};
    const double step[3] = {spacing, 1, 1};
    pv_geometry_plain(&v.geo, v.size, step);
    assert_true(pv_volume_room("v", PV_IMAGE, &v) && pv_volume_room("v", PV_LABEL, &v));
    for (size_t i = 0; i < pv_volume_voxels(&v); i++) {
        v.image[i] = value + (float)i / 100;
        v.label[i] = (uint8_t)(i % (size_t)classes);
    }
    char *path = dir_of(set, name), *above = pv_path_dir(path);
    assert_true(pv_mkdirs(above));
    assert_true(pv_volume_write(path, parts, &v));
    pv_free(above);
    pv_free(path);
    pv_volume_free(&v);
}

static void put(const char *set, const char *name, int parts, float value, int classes)
{
    const int size[3] = {5, 4, 3};
    put_sized(set, name, parts, value, classes, size, 1);
}

#define JSON "{\"channel_names\": {\"0\": \"MRI\"}, \"labels\": {\"background\": 0, \"a\": 1}, " \
             "\"numTraining\": 4, \"file_ending\": \".nii.gz\"}"

/* c1 .. c4 in imagesTr, t1 and t2 in imagesTs; labels of c1, c3, c4 and t1. */
static void put_nnunet(const char *set)
{
    static const char *const with[] = {"c1", "c3", "c4"};
    pv_remove_tree(unit_path(set));
    put_text(set, "dataset.json", JSON);
    for (int i = 1; i <= 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "imagesTr/c%d_0000.nii.gz", i);
        put(set, name, PV_IMAGE, (float)i, 2);
    }
    for (size_t i = 0; i < PV_COUNT(with); i++) {
        char name[64];
        snprintf(name, sizeof name, "labelsTr/%s.nii.gz", with[i]);
        put(set, name, PV_LABEL, 0, 2);
    }
    put(set, "imagesTs/t1_0000.nii.gz", PV_IMAGE, 9, 2);
    put(set, "imagesTs/t2_0000.nii.gz", PV_IMAGE, 9, 2);
    put(set, "labelsTs/t1.nii.gz", PV_LABEL, 0, 2);
}

static pv_dataset *open_set(const char *set, const struct pv_dataset_params *p)
{
    char *dir = dir_of(set, "");
    pv_dataset *ds = pv_dataset_open(dir, p);
    pv_free(dir);
    return ds;
}

/* Ids of one split, joined by blanks. */
static const char *ids(const pv_dataset *ds, enum pv_split s)
{
    static char text[4][256];
    static int k;
    char *out = text[k = (k + 1) % 4];
    int index[64], n = pv_dataset_split(ds, s, index);
    assert_int_equal(n, ds->num_split[s]);
    out[0] = '\0';
    for (int i = 0; i < n; i++)
        snprintf(out + strlen(out), 256 - strlen(out), "%s%s", i ? " " : "", ds->cases[index[i]].id);
    return out;
}

static void assert_fails(const char *set, const struct pv_dataset_params *p, enum pv_fault kind, const char *text)
{
    pv_dataset *ds = NULL;
    UNIT_FAILS(kind, text, ds = open_set(set, p));
    assert_null(ds);
}

/* ---- what is read ---- */

static void nnunet_without_lists(void **state)
{
    put_nnunet("plain");
    put_text("plain", "imagesTr/._c1_0000.nii.gz", "junk of a file manager");
    pv_dataset *ds = open_set("plain", NULL);
    assert_non_null(ds);
    assert_string_equal(ds->layout, "nnunet");
    assert_int_equal(ds->channels, 1);
    assert_string_equal(ds->channel_names[0], "MRI");
    assert_int_equal(ds->num_classes, 2);
    assert_string_equal(ds->class_names[1], "a");
    assert_string_equal(ids(ds, PV_TRAIN), "c1 c3 c4 c2");      /* those with a label first */
    assert_string_equal(ids(ds, PV_VAL), "");
    assert_string_equal(ids(ds, PV_TEST), "t1 t2");
    assert_false(ds->cases[pv_dataset_find(ds, "c2")].has_label);
    assert_true(ds->cases[pv_dataset_find(ds, "t1")].has_label);
    assert_int_equal(pv_dataset_find(ds, "zz"), -1);

    struct pv_volume v;
    assert_true(pv_case_load(ds, pv_dataset_find(ds, "c3"), PV_IMAGE | PV_LABEL, NULL, &v));
    assert_true(v.channels == 1 && v.size[0] == 5 && v.size[1] == 4 && v.size[2] == 3);
    for (int i = 0; i < 60; i++) {
        assert_true(v.image[i] == 3 + (float)i / 100);
        assert_int_equal(v.label[i], i % 2);
    }
    pv_volume_free(&v);
    assert_true(pv_case_load(ds, pv_dataset_find(ds, "c3"), PV_LABEL, NULL, &v));
    assert_true(v.label && !v.image);
    pv_volume_free(&v);
    UNIT_FAILS(PV_FAULT_INPUT, "c2_0000.nii.gz has no label",
               assert_false(pv_case_load(ds, pv_dataset_find(ds, "c2"), PV_IMAGE | PV_LABEL, NULL, &v)));
    assert_true(pv_case_load(ds, pv_dataset_find(ds, "c2"), PV_IMAGE, NULL, &v));
    assert_true(v.image && !v.label);
    pv_volume_free(&v);
    pv_dataset_free(&ds);
    assert_null(ds);
}

static void lists_give_the_order(void **state)
{
    put_nnunet("lists");
    put_text("lists", "train.list", "\xef\xbb\xbf" "c4\r\n  c1.nii.gz  \n\n# not c3\nc2,more\n");
    put_text("lists", "val.txt", "c3");
    pv_dataset *ds = open_set("lists", NULL);
    assert_non_null(ds);
    assert_string_equal(ids(ds, PV_TRAIN), "c4 c1 c2");
    assert_string_equal(ids(ds, PV_VAL), "c3");
    assert_string_equal(ids(ds, PV_TEST), "t1 t2");
    pv_dataset_free(&ds);

    put_text("lists", "test.list", "t2\nc3\n");                 /* validation cases may be tested on */
    ds = open_set("lists", NULL);
    assert_non_null(ds);
    assert_string_equal(ids(ds, PV_TEST), "t2 c3");
    pv_dataset_free(&ds);

    char *path = dir_of("lists", "train.list");                 /* the rest is trained on */
    pv_remove(path);
    pv_free(path);
    ds = open_set("lists", NULL);
    assert_non_null(ds);
    assert_string_equal(ids(ds, PV_TRAIN), "c1 c4 c2");
    pv_dataset_free(&ds);

    put_text("elsewhere", "train.list", "c2\n");
    char *other = dir_of("elsewhere", "");
    const struct pv_dataset_params p = {.fold = -1, .lists = other};
    ds = open_set("lists", &p);
    assert_non_null(ds);
    assert_string_equal(ids(ds, PV_TRAIN), "c2");
    pv_dataset_free(&ds);
    pv_free(other);
}

static void folds(void **state)
{
    struct pv_dataset_params p = {.fold = 1};
    put_nnunet("folds");
    assert_fails("folds", &p, PV_FAULT_INPUT, "splits_final.json");
    put_text("folds", "splits_final.json", "[{\"train\": [\"c1\"], \"val\": [\"c2\"]}, "
             "{\"train\": [\"c3\", \"c2\"], \"val\": [\"c4\"]}]");
    pv_dataset *ds = open_set("folds", &p);
    assert_non_null(ds);
    assert_string_equal(ids(ds, PV_TRAIN), "c3 c2");
    assert_string_equal(ids(ds, PV_VAL), "c4");
    assert_string_equal(ids(ds, PV_TEST), "t1 t2");
    pv_dataset_free(&ds);
    p.fold = 2;
    assert_fails("folds", &p, PV_FAULT_INPUT, "no fold 2: it is a list of 2 folds");
    put_text("folds", "splits_final.json", "[{\"train\": [\"c1\", \"c9\"], \"val\": []}]");
    p.fold = 0;
    assert_fails("folds", &p, PV_FAULT_INPUT, "splits_final.json names the case c9");
}

static void several_channels_and_explicit_paths(void **state)
{
    struct pv_volume v;
    pv_remove_tree(unit_path("two"));
    put_text("two", "dataset.json", "{\"channel_names\": {\"0\": \"T1\", \"1\": \"T2\"}, \"labels\": "
             "{\"background\": 0, \"a\": 1, \"b\": 2, \"ignore\": 3}, \"file_ending\": \".nii\"}");
    put("two", "imagesTr/x_y_0000.nii", PV_IMAGE, 1, 2);
    assert_fails("two", NULL, PV_FAULT_INPUT, "there is no");
    put("two", "imagesTr/x_y_0001.nii", PV_IMAGE, 2, 2);
    put("two", "labelsTr/x_y.nii", PV_LABEL, 0, 4);
    pv_dataset *ds = open_set("two", NULL);
    assert_non_null(ds);
    assert_int_equal(ds->num_classes, 3);
    assert_string_equal(ids(ds, PV_TRAIN), "x_y");
    assert_true(pv_case_load(ds, 0, PV_IMAGE | PV_LABEL, NULL, &v));
    assert_int_equal(v.channels, 2);
    for (int i = 0; i < 60; i++) {
        assert_true(v.image[i] == 1 + (float)i / 100 && v.image[60 + i] == 2 + (float)i / 100);
        assert_int_equal(v.label[i], i % 4 == 3 ? PV_LABEL_IGNORE : i % 4);
    }
    pv_volume_free(&v);
    assert_true(pv_case_info(ds, 0, NULL, &v));
    assert_int_equal(v.channels, 2);
    pv_dataset_free(&ds);

    put_text("paths", "dataset.json", "{\"channel_names\": {\"0\": \"T1\", \"1\": \"T2\"}, \"labels\": "
             "{\"background\": 0, \"a\": 1, \"b\": 2, \"ignore\": 3}, \"dataset\": {\"far\": {\"images\": "
             "[\"../two/imagesTr/x_y_0000.nii\", \"../two/imagesTr/x_y_0001.nii\"], "
             "\"label\": \"../two/labelsTr/x_y.nii\"}}}");
    ds = open_set("paths", NULL);
    assert_non_null(ds);
    assert_string_equal(ids(ds, PV_TRAIN), "far");
    assert_true(pv_case_load(ds, 0, PV_IMAGE | PV_LABEL, NULL, &v));
    assert_int_equal(v.channels, 2);
    pv_volume_free(&v);
    pv_dataset_free(&ds);

    /* the Decathlon's form */
    put_text("msd", "dataset.json", "{\"modality\": {\"0\": \"CT\"}, \"labels\": {\"0\": \"background\", "
             "\"1\": \"liver\"}, \"training\": [{\"image\": \"./imagesTr/l_2.nii\", \"label\": "
             "\"./labelsTr/l_2.nii\"}, {\"image\": \"./imagesTr/l_1.nii\", \"label\": "
             "\"./labelsTr/l_1.nii\"}], \"test\": [\"./imagesTs/l_3.nii\"]}");
    put("msd", "imagesTr/l_1.nii", PV_IMAGE, 0, 2);
    put("msd", "imagesTr/l_2.nii", PV_IMAGE, 0, 2);
    put("msd", "labelsTr/l_1.nii", PV_LABEL, 0, 2);
    put("msd", "labelsTr/l_2.nii", PV_LABEL, 0, 2);
    assert_fails("msd", NULL, PV_FAULT_INPUT, "l_3.nii for the case l_3, but there is no such file");
    put("msd", "imagesTs/l_3.nii", PV_IMAGE, 0, 2);
    ds = open_set("msd", NULL);
    assert_non_null(ds);
    assert_string_equal(ids(ds, PV_TRAIN), "l_1 l_2");
    assert_string_equal(ids(ds, PV_TEST), "l_3");
    assert_string_equal(ds->class_names[1], "liver");
    pv_dataset_free(&ds);
}

static void h5_folders(void **state)
{
    static const char *const names[] = {"2018LA_Seg_Training Set/%s/mri_norm2.h5",
                                        "2018LA_Seg_TrainingSet/%s/mri_norm2.h5", "Pancreas_h5/%s_norm.h5",
                                        "Pancreas_h5/%s.h5", "data/%s.h5", "data/%s/mri_norm2.h5"};
    if (!PV_HAVE_HDF5)
        skip();
    for (size_t i = 0; i < PV_COUNT(names); i++) {
        static const char *const case_ids[] = {"B1", "A2", "C3"};
        pv_remove_tree(unit_path("h5"));
        for (int k = 0; k < 3; k++) {
            struct pv_str name = {0};
            const char *at = strstr(names[i], "%s");
            pv_str_addf(&name, "%.*s%s%s", (int)(at - names[i]), names[i], case_ids[k], at + 2);
            put("h5", name.text, PV_IMAGE | PV_LABEL, (float)k, k == 2 ? 4 : 3);
            pv_str_free(&name);
        }
        struct pv_dataset_params p = {.fold = -1, .num_classes = 3};
        pv_dataset *ds = open_set("h5", &p);
        assert_non_null(ds);
        assert_string_equal(ds->layout, "h5");
        assert_string_equal(ids(ds, PV_TRAIN), "A2 B1 C3");
        pv_dataset_free(&ds);
        put_text("h5", "train.txt", "C3,\nB1\n");
        put_text("h5", "test.list", "A2\n");
        ds = open_set("h5", &p);
        assert_non_null(ds);
        assert_string_equal(ids(ds, PV_TRAIN), "C3 B1");
        assert_string_equal(ids(ds, PV_TEST), "A2");
        struct pv_volume v;
        assert_true(pv_case_load(ds, 1, PV_IMAGE | PV_LABEL, NULL, &v));
        assert_true(v.image[7] == 0.07f && v.label[7] == 1);
        pv_volume_free(&v);
        UNIT_FAILS(PV_FAULT_INPUT, "15 voxels have labels that the data set does not know, the first is 3 at "
                   "(0, 1, 0)", assert_false(pv_case_load(ds, 0, PV_LABEL, NULL, &v)));
        pv_dataset_free(&ds);
        p.ignore = 3;
        ds = open_set("h5", &p);
        assert_non_null(ds);
        assert_true(pv_case_load(ds, 0, PV_LABEL, NULL, &v));
        assert_int_equal(v.label[3], PV_LABEL_IGNORE);
        pv_volume_free(&v);
        pv_dataset_free(&ds);
        p.ignore = 2;
        assert_fails("h5", &p, PV_FAULT_USAGE, "none of them");
    }
}

/* ---- labelled cases ---- */

/* Without its dot the ending is the same. */
static void ending_without_a_dot(void **state)
{
    put_nnunet("dot");
    put_text("dot", "dataset.json", "{\"channel_names\": {\"0\": \"MRI\"}, \"labels\": {\"background\": 0, \"a\": 1}, "
             "\"file_ending\": \"nii.gz\"}");
    char *dir = dir_of("dot", "");
    pv_dataset *ds = pv_dataset_open(dir, NULL);
    assert_non_null(ds);
    assert_int_equal(ds->num_split[PV_TRAIN], 4);
    assert_string_equal(ds->cases[0].id, "c1");
    assert_true(ds->cases[0].has_label);
    pv_dataset_free(&ds);
    pv_free(dir);
}

static void labelled_cases(void **state)
{
    int l[8], u[8], m[8], nl, nu, nm;
    put_nnunet("lab");
    pv_dataset *ds = open_set("lab", NULL);
    assert_non_null(ds);
    assert_true(pv_dataset_labeled(ds, 2, -1, l, &nl, u, &nu));
    assert_int_equal(nl, 2);
    assert_int_equal(nu, 2);
    assert_string_equal(ds->cases[l[0]].id, "c1");
    assert_string_equal(ds->cases[l[1]].id, "c3");
    assert_string_equal(ds->cases[u[0]].id, "c4");
    assert_string_equal(ds->cases[u[1]].id, "c2");
    assert_true(pv_dataset_labeled(ds, 0, -1, l, &nl, u, &nu));
    assert_int_equal(nl, 3);
    assert_int_equal(nu, 1);
    int other = 0;
    for (int seed = 0; seed < 20; seed++) {
        assert_true(pv_dataset_labeled(ds, 1, seed, l, &nl, u, &nu));
        assert_true(pv_dataset_labeled(ds, 1, seed, m, &nm, u, &nu));
        assert_true(nl == 1 && nu == 3 && l[0] == m[0] && ds->cases[l[0]].has_label);
        other += l[0] != 0;
    }
    assert_in_range(other, 5, 19);
    UNIT_FAILS(PV_FAULT_INPUT, "4 labelled cases are asked for, but only 3 of the 4",
               assert_false(pv_dataset_labeled(ds, 4, -1, l, &nl, u, &nu)));
    pv_dataset_free(&ds);
    put_text("lab", "train.list", "c1\nc2\nc3\n");
    ds = open_set("lab", NULL);
    assert_non_null(ds);
    UNIT_FAILS(PV_FAULT_INPUT, "the case c2 is number 2 of the training cases",
               assert_false(pv_dataset_labeled(ds, 2, -1, l, &nl, u, &nu)));
    pv_dataset_free(&ds);
    put_text("lab", "train.list", "c2\n");
    ds = open_set("lab", NULL);
    assert_non_null(ds);
    UNIT_FAILS(PV_FAULT_INPUT, "none of the 1 training cases has a label",
               assert_false(pv_dataset_labeled(ds, 1, -1, l, &nl, u, &nu)));
    pv_dataset_free(&ds);
}

/* ---- what is wrong ---- */

static void folders_that_are_none(void **state)
{
    assert_fails("nowhere", NULL, PV_FAULT_INPUT, "there is no folder");
    put_text("notes", "read.me", "x");
    assert_fails("notes", NULL, PV_FAULT_INPUT, "is no data set");
    put("nojson", "imagesTr/a_0000.nii", PV_IMAGE, 0, 2);
    assert_fails("nojson", NULL, PV_FAULT_INPUT, "no dataset.json");
    put_text("noimg", "dataset.json", JSON);
    assert_fails("noimg", NULL, PV_FAULT_INPUT, "there is no folder");
    assert_fails("noimg", NULL, PV_FAULT_INPUT, "noimg/imagesTr: the images belong there, called CASE_0000.nii.gz");
    char *images = dir_of("noimg", "imagesTr");
    assert_true(pv_mkdirs(images));
    pv_free(images);
    assert_fails("noimg", NULL, PV_FAULT_INPUT, "noimg/imagesTr holds no images: they are called CASE_0000.nii.gz");
    assert_fails("noimg", NULL, PV_FAULT_INPUT, "labelsTr/CASE.nii.gz");
    put("noimg", "imagesTr/a_0000.nii", PV_IMAGE, 0, 2);
    assert_fails("noimg", NULL, PV_FAULT_INPUT, "imagesTr holds a_0000.nii: set file_ending to \".nii\"");
    put("noimg", "imagesTr/a.nii.gz", PV_IMAGE, 0, 2);
    assert_fails("noimg", NULL, PV_FAULT_INPUT, "must be named CASE_0000.nii.gz");
}

static void json_that_is_wrong(void **state)
{
    static const struct { const char *json, *text; } bad[] = {
        {"{", "dataset.json"},
        {"{\"labels\": {\"background\": 0, \"a\": 1}, \"file_ending\": \".nii.gz\"}", "needs channel_names"},
        {"{\"channel_names\": {\"1\": \"x\"}, \"labels\": {}}", "must count from \"0\""},
        {"{\"channel_names\": {\"0\": \"x\"}}", "needs labels"},
        {"{\"channel_names\": {\"0\": \"x\"}, \"labels\": {\"background\": 0, \"whole\": [1, 2]}}",
         "\"whole\" is a list of labels (regions)"},
        {"{\"channel_names\": {\"0\": \"x\"}, \"labels\": {\"background\": 0, \"a\": 2}}", "1 is missing"},
        {"{\"channel_names\": {\"0\": \"x\"}, \"labels\": {\"background\": 0, \"a\": 1.5}}", "no whole number"},
        {"{\"channel_names\": {\"0\": \"x\"}, \"labels\": {\"background\": 0, \"a\": 300}}", "no whole number"},
        {"{\"channel_names\": {\"0\": \"x\"}, \"labels\": {\"background\": 0, \"a\": 1, \"b\": 1}}", "are both 1"},
        {"{\"channel_names\": {\"0\": \"x\"}, \"labels\": {\"background\": 0, \"ignore\": 1, \"b\": 2}}",
         "highest number"},
        {"{\"channel_names\": {\"0\": \"x\"}, \"labels\": {\"background\": 0}}", "at least one more"},
        {"{\"channel_names\": {\"0\": \"x\"}, \"labels\": {\"background\": 0, \"a\": 1}}", "needs file_ending"},
        {"{\"channel_names\": {\"0\": \"x\"}, \"labels\": {\"background\": 0, \"a\": 1}, "
         "\"file_ending\": \".mha\"}", "cannot be read; convert"},
    };
    put_nnunet("json");
    for (size_t i = 0; i < PV_COUNT(bad); i++) {
        put_text("json", "dataset.json", bad[i].json);
        assert_fails("json", NULL, PV_FAULT_INPUT, bad[i].text);
    }
    put_text("json", "dataset.json", JSON);
    const struct pv_dataset_params three = {.fold = -1, .num_classes = 3};
    assert_fails("json", &three, PV_FAULT_USAGE, "3 classes are asked for");
}

static void lists_that_are_wrong(void **state)
{
    put_nnunet("wrong");
    put_text("wrong", "train.list", "c1\nc33\n");
    assert_fails("wrong", NULL, PV_FAULT_INPUT, "train.list, line 2, names the case c33");
    put_text("wrong", "train.list", "c1\nc3\nc1\n");
    assert_fails("wrong", NULL, PV_FAULT_INPUT, "line 3, names the case c1 a second time");
    put_text("wrong", "train.list", "\n \n");
    assert_fails("wrong", NULL, PV_FAULT_INPUT, "train.list names no case");
    put_text("wrong", "train.list", "c1\nc3\n");
    put_text("wrong", "test.list", "c4\nc3\n");
    assert_fails("wrong", NULL, PV_FAULT_INPUT, "test.list, line 2, names the case c3, which is also a training");
    char *empty = dir_of("wrong", "imagesTr");
    const struct pv_dataset_params p = {.fold = -1, .lists = empty};
    assert_fails("wrong", &p, PV_FAULT_INPUT, "holds no train.list");
    pv_free(empty);
}

static void files_that_do_not_fit(void **state)
{
    const int size[3] = {5, 4, 3}, larger[3] = {5, 4, 4};
    struct pv_volume v;
    put_nnunet("fit");
    pv_dataset *ds = open_set("fit", NULL);
    assert_non_null(ds);
    int c1 = pv_dataset_find(ds, "c1"), both = PV_IMAGE | PV_LABEL;
    put_sized("fit", "labelsTr/c1.nii.gz", PV_LABEL, 0, 2, larger, 1);
    UNIT_FAILS(PV_FAULT_INPUT, "c1.nii.gz has 5 x 4 x 4 voxels but",
               assert_false(pv_case_load(ds, c1, both, NULL, &v)));
    put_sized("fit", "labelsTr/c1.nii.gz", PV_LABEL, 0, 2, size, 1.002);
    UNIT_FAILS(PV_FAULT_INPUT, "lies elsewhere than", assert_false(pv_case_load(ds, c1, both, NULL, &v)));
    const struct pv_load copy = {.copy_geometry = true};
    assert_true(pv_case_load(ds, c1, both, &copy, &v));
    assert_true(v.spacing[0] == 1);
    pv_volume_free(&v);
    put_sized("fit", "labelsTr/c1.nii.gz", PV_LABEL, 0, 2, size, 1.0005);
    assert_true(pv_case_load(ds, c1, both, NULL, &v));
    pv_volume_free(&v);
    put("fit", "labelsTr/c1.nii.gz", PV_LABEL, 0, 5);
    UNIT_FAILS(PV_FAULT_INPUT, "36 voxels have labels that dataset.json does not know, the first is 2 at (0, 0, 2)",
               assert_false(pv_case_load(ds, c1, both, NULL, &v)));
    assert_null(v.image);
    pv_dataset_free(&ds);

    /* a label that says another orientation is turned as the image when told so */
    const struct pv_load turned = {.read.ras = true, .copy_geometry = true};
    const int even[3] = {4, 3, 3};
    put_nnunet("turn");
    put_sized("turn", "imagesTr/c1_0000.nii.gz", PV_IMAGE, 1, 2, even, 1);
    put_sized("turn", "labelsTr/c1.nii.gz", PV_LABEL, 1, 2, even, 1);
    char *path = dir_of("turn", "imagesTr/c1_0000.nii.gz");
    assert_true(pv_volume_read(path, PV_IMAGE, NULL, &v));
    v.geo.sform[0][0] = -1;
    assert_true(pv_volume_write(path, PV_IMAGE, &v));
    pv_volume_free(&v);
    pv_free(path);
    ds = open_set("turn", NULL);
    assert_non_null(ds);
    assert_true(pv_case_load(ds, 0, both, &turned, &v));
    for (int x = 0; x < 4; x++)
        for (int i = 0; i < 9; i++) {
            assert_true(v.image[x * 9 + i] == 1 + (float)((3 - x) * 9 + i) / 100);
            assert_int_equal(v.label[x * 9 + i], ((3 - x) * 9 + i) % 2);
        }
    pv_volume_free(&v);
    pv_dataset_free(&ds);
}

int main(void)
{
    pv_log_level_set(PV_LOG_ERROR);     /* one folder's numTraining is wrong, which is said */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nnunet_without_lists),
        cmocka_unit_test(lists_give_the_order),
        cmocka_unit_test(folds),
        cmocka_unit_test(several_channels_and_explicit_paths),
        cmocka_unit_test(h5_folders),
        cmocka_unit_test(ending_without_a_dot),
        cmocka_unit_test(labelled_cases),
        cmocka_unit_test(folders_that_are_none),
        cmocka_unit_test(json_that_is_wrong),
        cmocka_unit_test(lists_that_are_wrong),
        cmocka_unit_test(files_that_do_not_fit),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, unit_tmp_remove);
}
