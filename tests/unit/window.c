/* SPDX-License-Identifier: Apache-2.0
 * eval/window.h: known positions, properties of random ones, the Gaussian map against scipy. */
#include "unit.h"

#include <math.h>

#include "base/json.h"
#include "base/rng.h"
#include "eval/window.h"

static void assert_starts(const struct pv_windows *w, int axis, const int *starts, int num)
{
    assert_int_equal(w->num[axis], num);
    for (int i = 0; i < num; i++)
        assert_int_equal(pv_window_axis_start(w, axis, i), starts[i]);
}

static void known_positions(void **state)
{
    struct pv_windows w;
    /* left atrium: 180 x 180 x 88, patch 112 x 112 x 80, stride 18 x 18 x 4: 75 windows */
    assert_true(pv_windows_make(&w, (const int[]){180, 180, 88}, (const int[]){112, 112, 80},
                                (const int[]){18, 18, 4}, false));
    assert_starts(&w, 0, (const int[]){0, 18, 36, 54, 68}, 5);
    assert_starts(&w, 2, (const int[]){0, 4, 8}, 3);
    assert_int_equal(w.count, 75);
    int start[3];
    pv_window_start(&w, 0, start);
    assert_memory_equal(start, ((const int[]){0, 0, 0}), sizeof start);
    pv_window_start(&w, 1, start);
    assert_memory_equal(start, ((const int[]){0, 0, 4}), sizeof start);
    pv_window_start(&w, 74, start);
    assert_memory_equal(start, ((const int[]){68, 68, 8}), sizeof start);

    /* short sides: 5 missing are 2 before and 3 behind, 4 are 2 and 2; one that just fits */
    assert_true(pv_windows_make(&w, (const int[]){11, 12, 16}, (const int[]){16, 16, 16},
                                (const int[]){16, 3, 1}, false));
    assert_int_equal(w.count, 1);
    assert_memory_equal(w.before, ((const int[]){2, 2, 0}), sizeof w.before);
    assert_memory_equal(w.after, ((const int[]){3, 2, 0}), sizeof w.after);
    assert_memory_equal(w.padded, ((const int[]){16, 16, 16}), sizeof w.padded);
    struct pv_window_part p = pv_window_part(&w, 0);
    assert_memory_equal(p.in_image, ((const int[]){0, 0, 0}), sizeof p.in_image);
    assert_memory_equal(p.in_patch, ((const int[]){2, 2, 0}), sizeof p.in_patch);
    assert_memory_equal(p.size, ((const int[]){11, 12, 16}), sizeof p.size);

    /* evenly spread: 73 left over 4 windows, steps 24 1/3; the half goes to the even number */
    assert_true(pv_windows_make(&w, (const int[]){137, 69, 64}, (const int[]){64, 64, 64},
                                (const int[]){32, 4, 32}, true));
    assert_starts(&w, 0, (const int[]){0, 24, 49, 73}, 4);
    assert_starts(&w, 1, (const int[]){0, 2, 5}, 3);
    assert_starts(&w, 2, (const int[]){0}, 1);
}

static void every_voxel_is_seen(void **state)
{
    for (uint64_t k = 0; k < 500; k++) {
        struct pv_rng r = pv_rng_make(13, k);
        int s[3], patch[3], stride[3];
        for (int a = 0; a < 3; a++) {
            s[a] = 1 + (int)pv_rng_below(&r, 12);
            patch[a] = 1 + (int)pv_rng_below(&r, 9);
            stride[a] = 1 + (int)pv_rng_below(&r, (uint32_t)patch[a]);
        }
        struct pv_windows w;
        assert_true(pv_windows_make(&w, s, patch, stride, k % 2));
        int seen[12 * 12 * 12] = {0};
        for (int64_t i = 0; i < w.count; i++) {
            struct pv_window_part p = pv_window_part(&w, i);
            int start[3];
            pv_window_start(&w, i, start);
            for (int a = 0; a < 3; a++) {
                assert_true(start[a] >= 0 && start[a] + patch[a] <= w.padded[a]);
                assert_true(p.size[a] >= 1 && p.in_image[a] >= 0 && p.in_image[a] + p.size[a] <= s[a]);
                assert_true(p.in_patch[a] >= 0 && p.in_patch[a] + p.size[a] <= patch[a]);
                assert_int_equal(p.in_image[a] + w.before[a], start[a] + p.in_patch[a]);
                assert_true(p.size[a] == pv_min(patch[a], s[a]));
            }
            for (int x = 0; x < p.size[0]; x++)
                for (int y = 0; y < p.size[1]; y++)
                    for (int z = 0; z < p.size[2]; z++)
                        seen[((p.in_image[0] + x) * 12 + p.in_image[1] + y) * 12 + p.in_image[2] + z]++;
        }
        for (int i = 0; i < 12 * 12 * 12; i++)
            assert_true((seen[i] > 0) == (i / 144 < s[0] && i / 12 % 12 < s[1] && i % 12 < s[2]));
        for (int a = 0; a < 3; a++) {
            int room = pv_max(s[a] - patch[a], 0);
            assert_int_equal(w.num[a], (int)ceil((double)room / stride[a]) + 1);
            assert_int_equal(pv_window_axis_start(&w, a, w.num[a] - 1), room);
            for (int i = 0; !w.even && i < w.num[a]; i++)
                assert_int_equal(pv_window_axis_start(&w, a, i), pv_min(i * stride[a], room));
        }
    }
}

static void refusals(void **state)
{
    struct pv_windows w;
    const int fine[3] = {8, 8, 8}, zero[3] = {8, 0, 8}, wide[3] = {8, 8, 9};
    UNIT_FAILS(PV_FAULT_USAGE, "axis y: size 0", assert_false(pv_windows_make(&w, zero, fine, fine, false)));
    UNIT_FAILS(PV_FAULT_USAGE, "patch 0", assert_false(pv_windows_make(&w, fine, zero, fine, false)));
    UNIT_FAILS(PV_FAULT_USAGE, "stride 0", assert_false(pv_windows_make(&w, fine, fine, zero, false)));
    UNIT_FAILS(PV_FAULT_USAGE, "axis z: size 8, patch 8, stride 9",
               assert_false(pv_windows_make(&w, fine, fine, wide, false)));
}

static void gaussian_as_scipy(void **state)
{
    char *path = pv_path_join(pv_env("PV_GOLDEN"), "stats_eval.json");
    pv_json *j = pv_json_read(path);
    assert_non_null(j);
    int cases = 0;
    for (const pv_json *c = pv_json_at(pv_json_get(j, "gauss"), 0); c; c = pv_json_next(c), cases++) {
        int patch[3];
        float v[256];
        for (size_t a = 0; a < 3; a++)
            patch[a] = (int)pv_json_number_value(pv_json_at(pv_json_get(c, "patch"), a));
        const pv_json *e = pv_json_at(pv_json_get(c, "v"), 0);
        pv_gaussian_map(patch, pv_json_num(c, "scale", 0), v);
        for (int i = 0; i < patch[0] * patch[1] * patch[2]; i++, e = pv_json_next(e)) {
            double wanted = pv_json_number_value(e);
            assert_true(fabs(v[i] - wanted) <= 1e-6 * wanted);      /* rounded to float */
        }
        assert_null(e);
    }
    assert_int_equal(cases, 4);
    pv_json_free(j);
    pv_free(path);
}

/* Beyond the range of floats the products are zero; no weight may be. */
static void no_weight_is_zero(void **state)
{
    const int patch[3] = {40, 40, 40};
    float *v = pv_array(float, 40 * 40 * 40), least = 1;
    pv_gaussian_map(patch, 0.02, v);
    assert_true(v[(20 * 40 + 20) * 40 + 20] == 1);
    for (int i = 0; i < 40 * 40 * 40; i++)
        least = v[i] < least ? v[i] : least;
    assert_true(least > 0 && v[0] == least);
    pv_gaussian_map((const int[]){2, 2, 2}, 0, v);
    for (int i = 0; i < 8; i++)
        assert_true(v[i] == 1);
    pv_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_positions),
        cmocka_unit_test(every_voxel_is_seen),
        cmocka_unit_test(refusals),
        cmocka_unit_test(gaussian_as_scipy),
        cmocka_unit_test(no_weight_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
