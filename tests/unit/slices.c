/* SPDX-License-Identifier: Apache-2.0
 * slices.h: turning and resizing as SciPy does, which axis counts slices, and the way there and back. */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/safetensors.h"
#include "data/file.h"
#include "data/prep.h"
#include "data/slices.h"
#include "eval/slide.h"
#include "platform/platform.h"

static void as_scipy(void **state)
{
    char *path = pv_path_join(pv_env("PV_GOLDEN"), "slices.safetensors");
    pv_st_file *f = pv_st_open(path);
    assert_non_null(f);
    int cases = 0;
    for (;; cases++) {
        char name[3][32];
        static const char *const parts[] = {"what", "image", "result"};
        for (int i = 0; i < 3; i++)
            snprintf(name[i], sizeof name[i], "%d.%s", cases, parts[i]);
        const struct pv_st_tensor *what = pv_st_find(f, name[0]), *image = pv_st_find(f, name[1]);
        const struct pv_st_tensor *result = pv_st_find(f, name[2]);
        if (!what)
            break;
        int32_t w[7], label[24 * 24], in[16 * 16], want[24 * 24];
        float got[24 * 24], from[16 * 16];
        uint8_t bytes[16 * 16];
        assert_true(pv_st_read_i32(f, what, w) && pv_st_read_i32(f, image, in) && pv_st_read_i32(f, result, want));
        for (int i = 0; i < w[0] * w[1]; i++) {
            from[i] = (float)in[i];
            bytes[i] = (uint8_t)in[i];
        }
        const struct pv_slice_aug a = {{w[2], w[3]}, w[4], w[5], w[6]};
        pv_slice_f32(&a, w, from, 0, got);
        pv_slice_label(&a, w, bytes, 0, label);
        for (int i = 0; i < w[2] * w[3]; i++) {
            assert_int_equal(label[i], want[i]);
            assert_true(got[i] == (float)want[i]);
        }
        if (!w[4] && w[5] < 0 && !w[6]) {
            pv_zoom_slices(from, 1, w, got, w + 2);
            for (int i = 0; i < w[2] * w[3]; i++)
                assert_true(got[i] == (float)want[i]);
        }
    }
    assert_int_equal(cases, 9);
    pv_st_close(&f);
    pv_free(path);
}

static void draws(void **state)
{
    const struct pv_slice_params p = {{8, 8}, true, true};
    int quarters[4] = {0}, flips[3] = {0}, angles = 0, lowest = 0, highest = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        const struct pv_slice_aug a = pv_slice_draw(&p, 5, i, 0);
        assert_true(!a.angle || (a.rot == 0 && a.flip == -1));
        quarters[a.rot]++;
        flips[a.flip + 1]++;
        angles += a.angle != 0;
        lowest = pv_min(lowest, a.angle);
        highest = pv_max(highest, a.angle);
    }
    assert_in_range(quarters[1] + quarters[2] + quarters[3], 1400, 1600);   /* 3/8 */
    assert_in_range(flips[1], 900, 1100);
    assert_in_range(flips[2], 900, 1100);
    assert_in_range(angles, 880, 1080);                                     /* 39/160 */
    assert_true(lowest == -20 && highest == 19);
    const struct pv_slice_params still = {{8, 8}, false, false};
    for (uint64_t i = 0; i < 50; i++) {
        const struct pv_slice_aug a = pv_slice_draw(&still, 5, i, 0);
        assert_true(a.rot == 0 && a.flip == -1 && a.angle == 0);
    }
}

/* A volume that holds its own index; slices first, then probabilities of that index back on the file's grid. */
static void there_and_back(void **state)
{
    static const int sizes[3][3] = {{3, 5, 4}, {6, 2, 5}, {5, 6, 3}};
    const struct pv_prep *prep = pv_prep_find("acdc");
    assert_non_null(prep);
    for (int k = 0; k < 3; k++) {
        struct pv_volume v = {.channels = 1, .spacing = {1, 2, 3}};
        struct pv_prep_map map;
        int most[3];
        memcpy(v.size, sizes[k], sizeof v.size);
        pv_geometry_plain(&v.geo, v.size, v.spacing);
        assert_int_equal(pv_slice_axis(v.size), k);
        assert_true(pv_volume_room("test", PV_IMAGE, &v) && pv_volume_room("test", PV_LABEL, &v));
        const size_t n = pv_volume_voxels(&v);
        for (size_t i = 0; i < n; i++) {
            v.image[i] = (float)i;
            v.label[i] = (uint8_t)i;
        }
        pv_prep_size(prep, v.size, v.spacing, most);
        assert_true(pv_prep_apply(prep, "test", NULL, &v, &map));
        assert_memory_equal(most, v.size, sizeof most);
        assert_int_equal(v.size[0], sizes[k][k]);
        assert_true(v.spacing[0] == k + 1);
        assert_memory_equal(map.size, sizes[k], sizeof map.size);
        for (size_t i = 0; i < n; i++)
            assert_true(fabsf(v.image[i] * (float)(n - 1) - v.label[i]) < 1e-3f);
        float *back = pv_array(float, n);
        pv_slide_to_file_grid(v.image, v.size, 1, &map, back);
        for (size_t i = 0; i < n; i++)
            assert_true(fabsf(back[i] * (float)(n - 1) - (float)i) < 1e-3f);
        double m[3][4];
        pv_geometry_affine(&v.geo, m);
        assert_true(m[k][0] == k + 1);
        pv_free(back);
        pv_volume_free(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_scipy), cmocka_unit_test(draws),
                                       cmocka_unit_test(there_and_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
