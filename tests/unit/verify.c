/* SPDX-License-Identifier: Apache-2.0
 * data/verify.h: a good set has no findings; each kind of damage is found, in the case that has it, with what to do. */
#include "unit.h"

#include <math.h>

#include "data/verify.h"
#include "pv_config.h"

enum { S = 20, N = S * S * S };
#define SET "set"

static void put_text(const char *name, const char *text)
{
    char *dir = pv_path_dir(unit_path(name));
    assert_true(pv_mkdirs(dir));
    assert_true(pv_write_file(unit_path(name), text, strlen(text)));
    pv_free(dir);
}

/* How a file of the set differs from a good one. */
struct bend {
    int size[3];                /* [0] == 0: S */
    double spacing;             /* along x; 0: 1 */
    double shift;               /* of the place, mm */
    int flip;                   /* axis x points to the left */
    int value;                  /* image: seed of its values; label: number of the lesion */
    float nan, constant;        /* image: so in a voxel; everywhere */
    double q_off, shear;        /* qform beside sform; sform with axes that are not at right angles */
    int units, no_place, empty, full, ignored;
};

static void put(const char *name, enum pv_part part, struct bend b)
{
    struct pv_volume v = {.channels = 1, .size = {S, S, S}, .spacing = {b.spacing > 0 ? b.spacing : 1, 1, 1}};
    if (b.size[0])
        memcpy(v.size, b.size, sizeof v.size);
    pv_geometry_plain(&v.geo, v.size, v.spacing);
    if (!b.no_place) {
        v.geo.sform_code = 1;
        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 4; c++)
                v.geo.sform[r][c] = r == c ? v.spacing[r] : c == 3 ? b.shift : 0;
        if (b.flip)
            v.geo.sform[0][0] *= -1;
        v.geo.sform[0][1] = b.shear;
        if (b.q_off > 0) {
            v.geo.qform_code = 1;
            v.geo.qfac = 1;
            v.geo.qoffset[0] = b.q_off;
        }
    }
    if (b.no_place)
        v.geo.sform_code = v.geo.qform_code = 0;
    if (b.units)
        v.geo.xyz_units = b.units;
    assert_true(pv_volume_room("v", part, &v));
    for (size_t i = 0; i < pv_volume_voxels(&v); i++)
        if (part == PV_IMAGE)
            v.image[i] = b.constant > 0 ? b.constant : (float)((i * 7919u + (unsigned)b.value * 104729u) % 1000u) / 100;
        else
            v.label[i] = (uint8_t)(b.full || (!b.empty && i % 5 == 0) ? b.value : b.ignored && i % 2 ? 3 : 0);
    if (part == PV_IMAGE && b.nan != 0)
        v.image[1234] = b.nan;
    char *dir = pv_path_dir(unit_path(name));
    assert_true(pv_mkdirs(dir));
    assert_true(pv_volume_write(unit_path(name), part, &v));
    pv_free(dir);
    pv_volume_free(&v);
}

static void put_image(const char *id, struct bend b)
{
    char name[96];
    snprintf(name, sizeof name, SET "/images%s/%s_0000.nii.gz", id[0] == 't' ? "Ts" : "Tr", id);
    put(name, PV_IMAGE, b);
}

static void put_label(const char *id, struct bend b)
{
    char name[96];
    snprintf(name, sizeof name, SET "/labels%s/%s.nii.gz", id[0] == 't' ? "Ts" : "Tr", id);
    put(name, PV_LABEL, b);
}

/* c1 .. c4 and t1 with labels 1 and 2: nothing to find. */
static void make_good(void)
{
    pv_remove_tree(unit_path(SET));
    put_text(SET "/dataset.json", "{\"channel_names\": {\"0\": \"MRI\"}, \"labels\": {\"background\": 0, \"a\": 1, "
             "\"b\": 2, \"ignore\": 3}, \"numTraining\": 4, \"file_ending\": \".nii.gz\"}");
    static const char *const ids[] = {"c1", "c2", "c3", "c4", "t1"};
    for (int i = 0; i < 5; i++) {
        put_image(ids[i], (struct bend){.value = i + 1});
        put_label(ids[i], (struct bend){.value = 1 + i % 2});
    }
}

static struct pv_verification *verify(void)
{
    struct pv_verification *r = pv_verify(unit_path(SET), NULL, NULL, NULL, NULL);
    assert_non_null(r);
    int count[3] = {0};
    for (int i = 0; i < r->num; i++) {
        count[r->v[i].grade]++;
        assert_true(strlen(r->v[i].todo) > 10 && strlen(r->v[i].what) > 10);
    }
    for (int g = 0; g < 3; g++)
        assert_int_equal(count[g], r->count[g]);
    assert_int_equal(pv_fault_kind(), PV_FAULT_NONE);
    assert_int_equal(pv_log_level(), PV_LOG_INFO);
    return r;
}

/* Exactly one finding, which is that. */
static void one(enum pv_grade grade, const char *check, const char *id, const char *what, const char *todo)
{
    struct pv_verification *r = verify();
    if (r->num != 1) {
        print_message("expected %s\n", what);
        for (int i = 0; i < r->num; i++)
            print_message("%s %s %s\n", pv_grade_name(r->v[i].grade), r->v[i].check, r->v[i].what);
    }
    assert_int_equal(r->num, 1);
    const struct pv_finding *f = &r->v[0];
    if (f->grade != grade || !pv_streq(f->check, check) || !pv_streq(f->id, id) || !strstr(f->what, what) ||
        !strstr(f->todo, todo))
        fail_msg("%s %s %s: %s -> %s", pv_grade_name(f->grade), f->check, f->id ? f->id : "-", f->what, f->todo);
    pv_verification_free(&r);
    make_good();
}

static void good_set(void **state)
{
    make_good();
    struct pv_verification *r = verify();
    for (int i = 0; i < r->num; i++)
        print_message("%s\n", r->v[i].what);
    assert_int_equal(r->num, 0);
    assert_int_equal(r->labeled[PV_TRAIN], 4);
    assert_int_equal(r->labeled[PV_TEST], 1);
    assert_int_equal(r->class_cases[0], 5);
    assert_int_equal(r->class_cases[1], 3);
    assert_int_equal(r->class_cases[2], 2);
    assert_true(r->class_voxels[1] == 3 * N / 5 && r->class_voxels[2] == 2 * N / 5);
    assert_true(r->class_voxels[0] == 5 * N - N && r->ignored_voxels == 0);
    assert_string_equal(r->cases[0].axes, "RAS");
    pv_verification_free(&r);
    assert_null(r);
}

static void images(void **state)
{
    make_good();
    put_image("c2", (struct bend){.value = 2, .nan = NAN});
    one(PV_GRADE_ERROR, "nan", "c2", "1 voxels are NaN, infinite or too large, the first at (3, 1, 14)",
               "--nan-to-zero");
    put_image("c2", (struct bend){.value = 2, .nan = INFINITY});
    one(PV_GRADE_ERROR, "nan", "c2", "(3, 1, 14) of channel 0", "--nan-to-zero");
    put_image("c3", (struct bend){.constant = 4});
    one(PV_GRADE_ERROR, "intensity", "c3", "all voxels of channel 0 are 4", "take the case out");
    put_image("c3", (struct bend){.value = 3, .nan = 3e7f});
    one(PV_GRADE_WARNING, "intensity", "c3", "run from 0 to 3e+07", "scl_slope");
    put_text(SET "/imagesTr/c1_0000.nii.gz", "this is no NIfTI");
    one(PV_GRADE_ERROR, "file", "c1", "c1_0000.nii.gz", "get the file again");
    put_image("c4", (struct bend){.value = 3});
    one(PV_GRADE_WARNING, "duplicate", "c4", "same as that of c3 (train and train)", "remove one");
    put_image("t1", (struct bend){.value = 3});
    one(PV_GRADE_ERROR, "duplicate", "t1", "same as that of c3 (test and train)", "must not be trained on");
}

static void geometry(void **state)
{
    const struct bend far = {.value = 2, .shift = 3}, wide = {.value = 2, .spacing = 1.1};
    make_good();
    put_label("c2", far);
    one(PV_GRADE_ERROR, "geometry", "c2", "lies elsewhere than", "--copy-geometry");
    put_label("c2", wide);
    one(PV_GRADE_ERROR, "spacing", "c2", "spacing 1.1 x 1 x 1 and 1 x 1 x 1 mm", "resample one onto the other");
    put_label("c2", (struct bend){.value = 2, .size = {S, S, S - 1}});
    one(PV_GRADE_ERROR, "size", "c2", "has 20 x 20 x 19 voxels", "nearest");
    put_image("c1", (struct bend){.value = 1, .q_off = 2});
    one(PV_GRADE_WARNING, "geometry", "c1", "qform and sform put the volume 2 mm apart", "remove or overwrite");
    put_image("c1", (struct bend){.value = 1, .shear = 0.3});
    put_label("c1", (struct bend){.value = 1, .shear = 0.3});
    one(PV_GRADE_WARNING, "geometry", "c1", "not at right angles", "resample");
    put_image("c1", (struct bend){.value = 1, .units = 1});
    one(PV_GRADE_WARNING, "spacing", "c1", "unit of length is not mm", "in mm");
    put_image("c1", (struct bend){.value = 1, .flip = 1});
    put_label("c1", (struct bend){.value = 1, .flip = 1});
    one(PV_GRADE_WARNING, "orientation", NULL, "LAS (1 cases), RAS (4 cases)", "data.orient=ras");
    put_image("c1", (struct bend){.value = 1, .spacing = 2});
    put_label("c1", (struct bend){.value = 1, .spacing = 2});
    one(PV_GRADE_WARNING, "spacing", NULL, "1 of 5 cases differ by more than 20 % from the median spacing 1 x 1 x 1 "
        "mm, the first is c1 with 2 x 1 x 1", "resample all cases");
    put_image("c1", (struct bend){.value = 1, .size = {S, S, 9}});
    put_label("c1", (struct bend){.value = 1, .size = {S, S, 9}});
    one(PV_GRADE_WARNING, "size", NULL, "1 of 5 cases have a side of less than 16 voxels, the first is c1", "padded");
    put_image("c1", (struct bend){.value = 1, .no_place = 1});
    put_label("c1", (struct bend){.value = 1, .no_place = 1});
    one(PV_GRADE_NOTE, "orientation", NULL, "1 of 5 cases do not say", "sform or qform");
}

static void labels(void **state)
{
    make_good();
    put_label("c3", (struct bend){.value = 7});
    one(PV_GRADE_ERROR, "labels", "c3", "does not know: 7 (1600 voxels); known are 0 to 2", "name the label");
    put_label("c3", (struct bend){.empty = 1});
    one(PV_GRADE_WARNING, "labels", "c3", "all voxels are background", "remove the label file");
    put_label("c3", (struct bend){.full = 1, .value = 3});
    one(PV_GRADE_WARNING, "labels", "c3", "every voxel is marked as not annotated", "remove the label file");
    put_label("c3", (struct bend){.full = 1, .value = 1});
    one(PV_GRADE_WARNING, "labels", "c3", "100 % of its voxels are foreground", "exchanged");
    put_label("c3", (struct bend){.value = 1, .ignored = 1});
    one(PV_GRADE_NOTE, "labels", "c3", "40.0 % of its voxels are marked as not annotated", "sparse on purpose");
    put_label("c2", (struct bend){.value = 1});
    put_label("c4", (struct bend){.value = 1});
    one(PV_GRADE_WARNING, "labels", NULL, "class 2, b, occurs in no label", "cannot learn it");
    put(SET "/labelsTr/c2.nii.gz", PV_IMAGE, (struct bend){.value = 2});       /* real numbers */
    one(PV_GRADE_ERROR, "labels", "c2", "labels are whole numbers", "export it as such");
}

static void sets(void **state)
{
    make_good();
    pv_remove(unit_path(SET "/labelsTr/c4.nii.gz"));
    one(PV_GRADE_NOTE, "dataset", NULL, "1 of 4 training cases have no label", "unlabelled ones");
    pv_remove(unit_path(SET "/labelsTs/t1.nii.gz"));
    one(PV_GRADE_NOTE, "dataset", NULL, "1 of 1 test cases have no label", "only be predicted");
    put_text(SET "/val.list", "c4\n");
    pv_remove(unit_path(SET "/labelsTr/c4.nii.gz"));
    one(PV_GRADE_ERROR, "dataset", NULL, "1 of 1 val cases have no label", "val.list");
    put(SET "/labelsTr/C3.nii.gz", PV_LABEL, (struct bend){.value = 1});
    one(PV_GRADE_WARNING, "dataset", NULL, "C3.nii.gz belongs to no case", "the same name");
    put(SET "/imagesTr/c5.nii.gz", PV_IMAGE, (struct bend){.value = 9});
    one(PV_GRADE_WARNING, "dataset", NULL, "not named CASE_0000.nii.gz", "rename");
    pv_remove(unit_path(SET "/dataset.json"));
    one(PV_GRADE_ERROR, "dataset", NULL, "no dataset.json", "verify again");
    put_text(SET "/train.list", "c1\nc2\nc9\n");
    one(PV_GRADE_ERROR, "dataset", NULL, "names the case c9", "verify again");
    pv_remove_tree(unit_path(SET));
    one(PV_GRADE_ERROR, "dataset", NULL, "there is no folder", "verify again");
}

/* Two channels: a case whose second file has another size, and one that is broken in more ways at once. */
static void channels(void **state)
{
    make_good();
    put_text(SET "/dataset.json", "{\"channel_names\": {\"0\": \"T1\", \"1\": \"T2\"}, \"labels\": {\"background\": 0, "
             "\"a\": 1, \"b\": 2}, \"file_ending\": \".nii.gz\"}");
    static const char *const ids[] = {"Tr/c1", "Tr/c2", "Tr/c3", "Tr/c4", "Ts/t1"};
    for (int i = 0; i < 5; i++) {
        char name[96];
        snprintf(name, sizeof name, SET "/images%s_0001.nii.gz", ids[i]);
        put(name, PV_IMAGE, (struct bend){.value = 20 + i, .size = {S, i == 1 ? S + 1 : S, S}});
    }
    one(PV_GRADE_ERROR, "size", "c2", "has 20 x 21 x 20 voxels", "resample the channels");
    put_text(SET "/imagesTr/c1_0000.nii.gz", "x");
    put_image("c2", (struct bend){.value = 2, .nan = NAN});
    put_label("c2", (struct bend){.value = 9, .shift = 1});
    struct pv_verification *r = verify();
    assert_int_equal(r->num, 4);
    assert_int_equal(r->count[PV_GRADE_ERROR], 4);
    pv_verification_free(&r);
}

static void h5_set(void **state)
{
#if PV_HAVE_HDF5
    struct pv_volume v = {.channels = 1, .size = {S, S, S}, .spacing = {1, 1, 1}};
    pv_remove_tree(unit_path(SET));
    assert_true(pv_mkdirs(unit_path(SET "/data")));
    pv_geometry_plain(&v.geo, v.size, v.spacing);
    assert_true(pv_volume_room("v", PV_IMAGE, &v) && pv_volume_room("v", PV_LABEL, &v));
    for (int k = 0; k < 3; k++) {
        char name[64];
        for (int i = 0; i < N; i++) {
            v.image[i] = (float)((i * 31 + k) % 100);
            v.label[i] = (uint8_t)(i % 3 == 0);
        }
        snprintf(name, sizeof name, SET "/data/c%d.h5", k);
        assert_true(pv_volume_write(unit_path(name), PV_IMAGE | (k == 2 ? 0 : PV_LABEL), &v));
    }
    pv_volume_free(&v);
    put_text(SET "/train.list", "c0\nc2\n");
    put_text(SET "/test.list", "c1\n");
    struct pv_verification *r = verify();
    assert_int_equal(r->num, 2);
    assert_int_equal(r->count[PV_GRADE_WARNING], 1);
    for (int i = 0; i < 2; i++)
        assert_non_null(strstr(r->v[i].what, r->v[i].grade == PV_GRADE_NOTE ? "hold no spacing" : "no data set "
                   "'label'"));
    pv_verification_free(&r);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_set), cmocka_unit_test(images), cmocka_unit_test(geometry), cmocka_unit_test(labels),
        cmocka_unit_test(sets), cmocka_unit_test(channels), cmocka_unit_test(h5_set),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
