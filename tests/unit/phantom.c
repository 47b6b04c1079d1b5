/* SPDX-License-Identifier: Apache-2.0
 * data/phantom.h: the same numbers for the same seed, sensible lesions, and a folder that opens. */
#include "unit.h"

#include <math.h>

#include "data/dataset.h"
#include "data/phantom.h"

static const int size[3] = {32, 36, 24};
enum { VOXELS = 32 * 36 * 24 };

static void repeatable(void **state)
{
    struct pv_volume a, b;
    assert_true(pv_phantom_make(1, 4, size, &a));
    assert_true(pv_phantom_make(1, 4, size, &b));
    assert_memory_equal(a.image, b.image, VOXELS * sizeof(float));
    assert_memory_equal(a.label, b.label, VOXELS);
    pv_volume_free(&b);
    assert_true(pv_phantom_make(1, 5, size, &b));
    assert_memory_not_equal(a.label, b.label, VOXELS);
    pv_volume_free(&b);
    assert_true(pv_phantom_make(2, 4, size, &b));
    assert_memory_not_equal(a.label, b.label, VOXELS);
    pv_volume_free(&b);
    pv_volume_free(&a);
    const int flat[3] = {32, 8, 32};
    UNIT_FAILS(PV_FAULT_USAGE, "sides of 16", assert_false(pv_phantom_make(1, 1, flat, &a)));
}

static void lesions(void **state)
{
    int overlap = 0;
    for (int i = 0; i < 20; i++) {
        struct pv_volume v;
        double sum = 0, squares = 0, in = 0, out = 0;
        int n = 0, border = 0;
        assert_true(pv_phantom_make(7, i, size, &v));
        for (int k = 0; k < VOXELS; k++) {
            sum += v.image[k];
            squares += (double)v.image[k] * v.image[k];
            assert_in_range(v.label[k], 0, 1);
            n += v.label[k];
            int x = k / (36 * 24), y = k / 24 % 36, z = k % 24;
            border += v.label[k] && (x == 0 || y == 0 || z == 0 || x == 31 || y == 35 || z == 23);
            *(v.label[k] ? &in : &out) += v.image[k];
        }
        assert_true(fabs(sum / VOXELS) < 1e-4 && fabs(squares / VOXELS - 1) < 1e-3);
        assert_in_range(n, VOXELS / 500, VOXELS / 8);
        assert_int_equal(border, 0);
        in /= n;
        out /= VOXELS - n;
        assert_true(in > out + 1);
        /* but brightness alone does not tell: there is as bright a background as half of the lesion */
        int brighter = 0;
        for (int k = 0; k < VOXELS; k++)
            brighter += !v.label[k] && v.image[k] > in;
        overlap += brighter > n / 2;
        pv_volume_free(&v);
    }
    assert_in_range(overlap, 10, 20);
}

static void folder(void **state)
{
    assert_true(pv_phantom_write(unit_path("ph"), 3, 2, size, 11));
    assert_true(pv_phantom_write(unit_path("ph"), 5, 1, size, 12) && pv_phantom_write(unit_path("ph"), 3, 2, size, 11));
    pv_dataset *ds = pv_dataset_open(unit_path("ph"), NULL);
    assert_non_null(ds);
    assert_true(ds->num_split[PV_TRAIN] == 3 && ds->num_split[PV_TEST] == 2 && ds->num_classes == 2);
    for (int i = 0; i < 5; i++) {
        struct pv_volume v, made;
        assert_true(pv_case_load(ds, i, PV_IMAGE | PV_LABEL, NULL, &v));
        assert_true(pv_phantom_make(11, i, size, &made));
        assert_memory_equal(v.image, made.image, VOXELS * sizeof(float));
        assert_memory_equal(v.label, made.label, VOXELS);
        pv_volume_free(&v);
        pv_volume_free(&made);
    }
    pv_dataset_free(&ds);
    assert_true(pv_write_file(unit_path("file"), "", 0));
    UNIT_FAILS(PV_FAULT_INPUT, "cannot make the folder",
               assert_false(pv_phantom_write(unit_path("file"), 1, 0, size, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repeatable),
        cmocka_unit_test(lesions),
        cmocka_unit_test(folder),
    };
    return cmocka_run_group_tests_name("phantom", tests, NULL, unit_tmp_remove);
}
