/* SPDX-License-Identifier: Apache-2.0
 * data/convert.h: channels, voxels without annotation, validation cases, both ways. */
#include "unit.h"

#include "data/convert.h"
#include "pv_config.h"

enum { X = 5, Y = 4, Z = 3, N = X * Y * Z };

static void put_text(const char *name, const char *text)
{
    char *dir = pv_path_dir(unit_path(name));
    assert_true(pv_mkdirs(dir));
    assert_true(pv_write_file(unit_path(name), text, strlen(text)));
    pv_free(dir);
}

static void put(const char *name, enum pv_part part, int start)
{
    struct pv_volume v = {.channels = 1, .size = {X, Y, Z}, .spacing = {2, 1, 0.5}};
    pv_geometry_plain(&v.geo, v.size, v.spacing);
    assert_true(pv_volume_room("v", part, &v));
    for (int i = 0; i < N; i++)
        if (part == PV_IMAGE)
            v.image[i] = (float)(start + i) / 7;
        else
            v.label[i] = (uint8_t)((start + i) % 4);        /* 3: ignore */
    char *dir = pv_path_dir(unit_path(name));
    assert_true(pv_mkdirs(dir));
    assert_true(pv_volume_write(unit_path(name), part, &v));
    pv_free(dir);
    pv_volume_free(&v);
}

static void make_set(void)
{
    put_text("set/dataset.json", "{\"channel_names\": {\"0\": \"T1\", \"1\": \"CT\"}, \"labels\": {\"background\": 0, "
             "\"a\": 1, \"b\": 2, \"ignore\": 3}, \"numTraining\": 2, \"file_ending\": \".nii.gz\"}");
    put_text("set/train.list", "c2\n");
    put_text("set/val.list", "c1\n");
    for (int i = 1; i <= 2; i++) {
        char name[64];
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "set/imagesTr/c%d_%04d.nii.gz", i, k);
            put(name, PV_IMAGE, 100 * i + k);
        }
        snprintf(name, sizeof name, "set/labelsTr/c%d.nii.gz", i);
        put(name, PV_LABEL, i);
    }
}

/* The set is what make_set() made. */
static void check_set(const char *name, const struct pv_dataset_params *p, bool geometry)
{
    pv_dataset *ds = pv_dataset_open(unit_path(name), p);
    assert_non_null(ds);
    assert_int_equal(ds->channels, 2);
    assert_int_equal(ds->num_classes, 3);
    assert_int_equal(ds->num_split[PV_TRAIN], 1);
    assert_int_equal(ds->num_split[PV_VAL], 1);
    assert_string_equal(ds->cases[0].id, "c2");
    for (int i = 0; i < 2; i++) {
        struct pv_volume v;
        int which = i == 0 ? 2 : 1;
        assert_true(pv_case_load(ds, i, PV_IMAGE | PV_LABEL, NULL, &v));
        assert_int_equal(v.size[0] * 100 + v.size[1] * 10 + v.size[2], X * 100 + Y * 10 + Z);
        if (geometry)
            assert_true(v.spacing[0] == 2 && v.spacing[1] == 1 && v.spacing[2] == 0.5);
        for (int k = 0; k < 2 * N; k++)
            assert_true(v.image[k] == (float)(100 * which + k / N + k % N) / 7);
        for (int k = 0; k < N; k++) {
            int want = (which + k) % 4;
            assert_int_equal(v.label[k], want == 3 ? PV_LABEL_IGNORE : want);
        }
        pv_volume_free(&v);
    }
    pv_dataset_free(&ds);
}

static void both_ways(void **state)
{
    const struct pv_dataset_params h5 = {.num_classes = 3, .ignore = 255, .fold = -1};
    make_set();
    check_set("set", NULL, true);
    pv_dataset *ds = pv_dataset_open(unit_path("set"), NULL);
    assert_true(pv_dataset_convert(ds, unit_path("copy"), &(struct pv_convert){.to = "nifti"}));
    check_set("copy", NULL, true);
    pv_dataset *copy = pv_dataset_open(unit_path("copy"), NULL);
    assert_string_equal(copy->channel_names[1], "CT");
    assert_string_equal(copy->class_names[2], "b");
    assert_true(copy->classes[3] == PV_LABEL_IGNORE);
    pv_dataset_free(&copy);
    UNIT_FAILS(PV_FAULT_USAGE, "is there already",
               assert_false(pv_dataset_convert(ds, unit_path("copy"), &(struct pv_convert){.to = "nifti"})));
#if PV_HAVE_HDF5
    assert_true(pv_dataset_convert(ds, unit_path("h5"), &(struct pv_convert){.to = "h5"}));
    check_set("h5", &h5, false);
    copy = pv_dataset_open(unit_path("h5"), &h5);
    assert_true(pv_dataset_convert(copy, unit_path("back"),
                                   &(struct pv_convert){.to = "nifti", .spacing = {2, 1, 0.5}}));
    check_set("back", NULL, true);
    pv_dataset_free(&copy);
#else
    UNIT_FAILS(PV_FAULT_USAGE, "without HDF5",
               assert_false(pv_dataset_convert(ds, unit_path("h5"), &(struct pv_convert){.to = "h5"})));
    (void)h5;
#endif
    pv_dataset_free(&ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ways)};
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
