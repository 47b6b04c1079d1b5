/* SPDX-License-Identifier: Apache-2.0
 * data/prep.h: every step against its definition written out on small volumes. */
#include "unit.h"

#include <math.h>

#include "base/rng.h"
#include "data/file.h"
#include "data/prep.h"

static struct pv_volume make(int x, int y, int z, int channels)
{
    struct pv_volume v = {.channels = channels, .size = {x, y, z}, .spacing = {0.5, 1, 2}};
    struct pv_rng r = pv_rng_make(8, 8);
    pv_geometry_plain(&v.geo, v.size, v.spacing);
    v.geo.sform[0][3] = 10;
    assert_true(pv_volume_room("v", PV_IMAGE, &v) && pv_volume_room("v", PV_LABEL, &v));
    for (size_t i = 0; i < pv_volume_voxels(&v) * (size_t)channels; i++)
        v.image[i] = (float)pv_rng_normal(&r);
    for (size_t i = 0; i < pv_volume_voxels(&v); i++)
        v.label[i] = (uint8_t)pv_rng_below(&r, 2);
    return v;
}

static float at(const struct pv_volume *v, int c, int x, int y, int z)
{
    return v->image[((c * v->size[0] + x) * v->size[1] + y) * v->size[2] + z];
}

/* ---- half resolution ---- */

static void half_of_images(void **state)
{
    struct pv_volume v = make(5, 4, 7, 2), o = make(5, 4, 7, 2);
    assert_true(pv_prep_half("v", &v));
    assert_true(v.size[0] == 3 && v.size[1] == 2 && v.size[2] == 4);
    assert_true(v.spacing[0] == 1 && v.spacing[1] == 2 && v.spacing[2] == 4);
    for (int c = 0; c < 2; c++)
        for (int x = 0; x < 3; x++)
            for (int y = 0; y < 2; y++)
                for (int z = 0; z < 4; z++) {
                    double sum = 0;
                    for (int k = 0; k < 8; k++)
                        sum += at(&o, c, pv_min(2 * x + k / 4, 4), pv_min(2 * y + k / 2 % 2, 3),
                                  pv_min(2 * z + k % 2, 6));
                    /* eight floats are summed: three roundings of at most the sum's size */
                    assert_true(fabs(sum / 8 - at(&v, c, x, y, z)) < 1e-6);
                }
    double a[3][4], b[3][4];
    pv_geometry_affine(&v.geo, a);
    pv_geometry_affine(&o.geo, b);
    for (int r = 0; r < 3; r++) {       /* voxel 0 is the middle of the first eight */
        assert_true(fabs(a[r][3] - (b[r][3] + 0.5 * (b[r][0] + b[r][1] + b[r][2]))) < 1e-12);
        for (int k = 0; k < 3; k++)
            assert_true(a[r][k] == 2 * b[r][k]);
    }
    pv_volume_free(&v);
    pv_volume_free(&o);
}

/* One voxel from eight labels. */
static int vote(const uint8_t votes[8])
{
    struct pv_volume v = {.size = {2, 2, 2}, .spacing = {1, 1, 1}};
    pv_geometry_plain(&v.geo, v.size, v.spacing);
    assert_true(pv_volume_room("v", PV_LABEL, &v));
    memcpy(v.label, votes, 8);
    assert_true(pv_prep_half("v", &v));
    int got = v.label[0];
    assert_true(v.size[0] == 1 && v.size[1] == 1 && v.size[2] == 1 && !v.image);
    pv_volume_free(&v);
    return got;
}

static void half_of_labels(void **state)
{
    enum { I = PV_LABEL_IGNORE };
    static const struct { uint8_t votes[8]; int label; } cases[] = {
        {{0, 0, 0, 0, 0, 1, 1, 1}, 0}, {{0, 0, 0, 0, 1, 1, 1, 1}, 1},  /* a tie: foreground */
        {{1, 1, 1, 1, 0, 0, 0, 0}, 1}, {{1, 1, 1, 0, 0, 0, 0, 0}, 0},
        {{I, I, I, I, I, I, I, I}, I}, {{I, I, I, I, I, I, I, 0}, 0},
        {{I, I, I, I, I, I, I, 1}, 1}, {{I, I, I, I, I, I, 0, 1}, 1},
        {{I, I, I, I, I, 0, 0, 1}, 0}, {{2, 2, 2, 3, 3, 3, 0, 0}, 2},
        {{3, 3, 3, 2, 2, 2, 0, 0}, 2}, {{3, 3, 0, 0, 2, 2, 1, I}, 2},
        {{0, 0, 0, 3, 3, 3, 1, 1}, 3}, {{0, 0, 0, 2, 2, 1, 1, 3}, 0},
    };
    for (size_t i = 0; i < PV_COUNT(cases); i++)
        assert_int_equal(vote(cases[i].votes), cases[i].label);
    /* odd sides count their last plane twice: 1 of 2 planes, then the plane alone */
    struct pv_volume v = {.size = {3, 1, 1}, .spacing = {1, 1, 1}};
    pv_geometry_plain(&v.geo, v.size, v.spacing);
    assert_true(pv_volume_room("v", PV_LABEL, &v));
    memcpy(v.label, "\0\1\0", 3);
    assert_true(pv_prep_half("v", &v));
    assert_int_equal(v.size[0], 2);
    assert_int_equal(v.label[0], 1);
    assert_int_equal(v.label[1], 0);
    pv_volume_free(&v);
}

/* ---- intensities ---- */

static void normalisation(void **state)
{
    float z[6] = {1, 2, 3, 4, 5, 9}, above[6] = {-100, 0, 1, 2, 3, 0}, mm[4] = {-1, 0, 1, 3}, same[3] = {7, 7, 7};
    pv_prep_normalise(PV_SCALING_ZSCORE, z, 6);
    double std = sqrt((9 + 4 + 1 + 0 + 1 + 25) / 6.0);
    for (int i = 0; i < 6; i++)
        assert_true(fabs(z[i] - ((double[]){1, 2, 3, 4, 5, 9}[i] - 4) / std) < 1e-6);
    pv_prep_normalise(PV_SCALING_ZSCORE_ABOVE_0, above, 6);
    std = sqrt(2.0 / 3);
    for (int i = 0; i < 6; i++)
        assert_true(fabs(above[i] - ((double[]){-100, 0, 1, 2, 3, 0}[i] - 2) / std) < 1e-5);
    pv_prep_normalise(PV_SCALING_MINMAX, mm, 4);
    assert_true(mm[0] == 0 && mm[1] == 0.25f && mm[2] == 0.5f && mm[3] == 1);
    pv_prep_normalise(PV_SCALING_ZSCORE, same, 3);
    assert_true(same[0] == 0 && same[2] == 0);
    pv_prep_normalise(PV_SCALING_NONE, z, 6);
    assert_true(fabsf(z[3]) < 1e-6f);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void quantiles(void **state)
{
    struct pv_rng r = pv_rng_make(2, 2);
    for (int n = 1; n < 200; n += 1 + n / 7) {
        float v[200], sorted[200];
        for (int k = 0; k < 5; k++) {
            for (int i = 0; i < n; i++)
                sorted[i] = k % 2 ? (float)pv_rng_normal(&r) : (float)pv_rng_below(&r, 4);
            memcpy(v, sorted, sizeof v);
            qsort(sorted, (size_t)n, sizeof *sorted, by_value);
            for (double q = 0; q <= 1; q += 0.125) {
                int rank = (int)ceil(q * n);
                assert_true(pv_prep_quantile(v, (size_t)n, q) == sorted[rank > 0 ? rank - 1 : 0]);
            }
        }
    }
}

/* ---- grids ---- */

static void resampling(void **state)
{
    struct pv_volume v = make(8, 4, 2, 1);      /* 4 x 4 x 4 mm */
    for (int i = 0; i < 64; i++) {              /* a ramp along x in mm is kept by linear interpolation */
        v.image[i] = (float)(i / 8) * 0.5f;
        v.label[i] = i / 8 >= 4;
    }
    assert_true(pv_prep_resample("v", 1, &v));
    assert_true(v.size[0] == 4 && v.size[1] == 4 && v.size[2] == 4);
    for (int x = 0; x < 4; x++)
        for (int i = 0; i < 16; i++) {
            assert_true(fabsf(v.image[x * 16 + i] - ((float)x + 0.25f)) < 1e-6f);
            assert_int_equal(v.label[x * 16 + i], x >= 2);
        }
    double m[3][4];
    pv_geometry_affine(&v.geo, m);
    assert_true(fabs(m[0][0] - 1) < 1e-12 && fabs(m[1][1] - 1) < 1e-12 && fabs(m[2][2] - 1) < 1e-12);
    assert_true(fabs(m[0][3] - 10.25) < 1e-12 && fabs(m[2][3] + 0.5) < 1e-12);
    pv_volume_free(&v);
    v = make(3, 3, 3, 1);
    v.spacing[0] = v.spacing[1] = v.spacing[2] = 1;
    float *same = v.image;
    assert_true(pv_prep_resample("v", 1, &v));
    assert_ptr_equal(v.image, same);            /* nothing to do */
    pv_volume_free(&v);
}

static void cropping(void **state)
{
    struct pv_volume v = make(6, 7, 8, 2), o = make(6, 7, 8, 2);
    const int from[3] = {1, 2, 3}, size[3] = {4, 3, 2};
    assert_true(pv_prep_crop("v", from, size, &v));
    for (int x = 0; x < 4; x++)
        for (int y = 0; y < 3; y++)
            for (int z = 0; z < 2; z++) {
                assert_true(at(&v, 0, x, y, z) == at(&o, 0, x + 1, y + 2, z + 3));
                assert_true(at(&v, 1, x, y, z) == at(&o, 1, x + 1, y + 2, z + 3));
                assert_int_equal(v.label[(x * 3 + y) * 2 + z], o.label[((x + 1) * 7 + y + 2) * 8 + z + 3]);
            }
    double m[3][4];
    pv_geometry_affine(&v.geo, m);
    assert_true(m[0][3] == 10.5 && m[1][3] == 2 && m[2][3] == 6);
    pv_volume_free(&v);
    pv_volume_free(&o);
}

/* All steps of a row together, and where the result lies. */
static void rows(void **state)
{
    assert_string_equal(pv_prep_find("la-small")->name, "la-small");
    assert_true(pv_prep_find("la")->norm == PV_SCALING_NONE && !pv_prep_find("la")->half);
    UNIT_FAILS(PV_FAULT_USAGE, "did you mean pancreas?", assert_null(pv_prep_find("pancras")));

    const struct pv_prep all = {.name = "all", .spacing = 1, .crop = PV_CROP_LABEL, .margin = 1, .least = 4,
                                .lo = -1, .hi = 3, .norm = PV_SCALING_MINMAX, .half = true};
    struct pv_volume v = make(16, 10, 6, 1);    /* 8 x 10 x 12 mm */
    struct pv_prep_map map;
    memset(v.label, 0, pv_volume_voxels(&v));
    for (int x = 8; x < 12; x++)                /* voxels 4, 5 of 1 mm along x, 5 along y, 2 .. 5 along z */
        for (int z = 1; z < 3; z++)
            v.label[(x * 10 + 5) * 6 + z] = 1;
    int most[3];
    pv_prep_size(&all, v.size, v.spacing, most);
    assert_true(most[0] == 4 && most[1] == 5 && most[2] == 6);
    assert_true(pv_prep_apply(&all, "v", NULL, &v, &map));
    /* boxes with margin: 3 .. 6, 4 .. 6 widened to 4 by the end, 1 .. 6; then half */
    assert_true(v.size[0] == 2 && v.size[1] == 2 && v.size[2] == 3);
    assert_true(map.size[0] == 16 && map.size[1] == 10 && map.size[2] == 6);
    assert_true(map.step[0] == 4 && map.step[1] == 2 && map.step[2] == 1);
    assert_true(map.origin[0] == 6 && map.origin[1] == 4 && map.origin[2] == 0.5);
    for (size_t i = 0; i < pv_volume_voxels(&v); i++)
        assert_true(v.image[i] >= 0 && v.image[i] <= 1);
    /* the centre of the first voxel by the map and by the affine */
    double m[3][4];
    pv_geometry_affine(&v.geo, m);
    const double voxel[3] = {0.5, 1, 2}, start[3] = {10, 0, 0};
    for (int a = 0; a < 3; a++)
        assert_true(fabs(m[a][3] - (start[a] + voxel[a] * (map.origin[a] + 0.5 * map.step[a] - 0.5))) < 1e-9);
    pv_volume_free(&v);

    /* by the channels' names */
    char *names[4] = {"CT", "nonorm", "rescale_to_0_1", "MRI"};
    v = make(10, 10, 10, 4);
    struct pv_volume o = make(10, 10, 10, 4);
    assert_true(pv_prep_apply(pv_prep_find("auto"), "v", names, &v, NULL));
    float least[4], largest[4];
    double sum[4];
    for (int c = 0; c < 4; c++) {
        least[c] = INFINITY;
        largest[c] = -INFINITY;
        sum[c] = 0;
        for (int i = 0; i < 1000; i++) {
            float x = v.image[c * 1000 + i];
            least[c] = fminf(least[c], x);
            largest[c] = fmaxf(largest[c], x);
            sum[c] += x;
            if (c == 1)
                assert_true(x == o.image[1000 + i]);
        }
    }
    int at_least = 0;
    for (int i = 0; i < 1000; i++)
        at_least += v.image[i] == least[0];
    assert_int_equal(at_least, 5);              /* clipped at 0.5 % */
    assert_true(least[2] == 0 && largest[2] == 1);
    assert_true(fabs(sum[0]) < 1e-2 && fabs(sum[3]) < 1e-2);
    pv_volume_free(&v);
    pv_volume_free(&o);

    /* nothing to crop to is said, not fatal */
    v = make(4, 4, 4, 1);
    memset(v.image, 0, 64 * sizeof(float));
    pv_log_level_set(PV_LOG_ERROR);
    assert_true(pv_prep_apply(pv_prep_find("brats19"), "v", NULL, &v, NULL));
    pv_log_level_set(PV_LOG_INFO);
    assert_int_equal(v.size[0], 4);
    v.image[21] = 5;
    v.image[42] = 4;
    assert_true(pv_prep_apply(pv_prep_find("brats19"), "v", NULL, &v, NULL));
    assert_true(v.size[0] == 2 && v.size[1] == 2 && v.size[2] == 2);
    assert_true(fabsf(v.image[0] - 1) < 1e-6f && fabsf(v.image[7] + 1) < 1e-6f && fabsf(v.image[1] + 9) < 1e-5f);
    pv_volume_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_images),
        cmocka_unit_test(half_of_labels),
        cmocka_unit_test(normalisation),
        cmocka_unit_test(quantiles),
        cmocka_unit_test(resampling),
        cmocka_unit_test(cropping),
        cmocka_unit_test(rows),
    };
    return cmocka_run_group_tests_name("prep", tests, NULL, NULL);
}
