/* SPDX-License-Identifier: Apache-2.0
 * data/augment.h against numpy (golden/make_augment.py), the choices that are drawn, and data/sampler.h. */
#include "unit.h"

#include "base/safetensors.h"
#include "data/augment.h"
#include "data/sampler.h"
#include "data/volume.h"

/* ---- turning, mirroring, cutting ---- */

static void as_numpy_does(void **state)
{
    assert_non_null(pv_env("PV_GOLDEN"));
    char *path = pv_path_join(pv_env("PV_GOLDEN"), "augment.safetensors");
    pv_st_file *f = pv_st_open(path);
    assert_non_null(f);
    int cases = 0;
    for (;; cases++) {
        char name[3][32];
        static const char *const parts[] = {"what", "image", "patch"};
        for (int i = 0; i < 3; i++)
            snprintf(name[i], sizeof name[i], "%d.%s", cases, parts[i]);
        const struct pv_st_tensor *what = pv_st_find(f, name[0]), *image = pv_st_find(f, name[1]);
        const struct pv_st_tensor *cut = pv_st_find(f, name[2]);
        if (!what)
            break;
        int32_t w[14];
        assert_true(pv_st_read_i32(f, what, w));
        struct pv_aug a = {.patch = {w[3], w[4], w[5]}, .rot = w[6], .flip = w[7], .origin = {w[11], w[12], w[13]}};
        const int turned[3] = {w[w[6] & 1], w[1 - (w[6] & 1)], w[2]};
        pv_aug_padding(turned, a.patch, a.pad);
        for (int k = 0; k < 3; k++)
            assert_int_equal(a.pad[k], w[8 + k]);
        size_t n = (size_t)pv_st_len(image), m = (size_t)pv_st_len(cut);
        float *src = pv_array(float, n), *want = pv_array(float, m), *got = pv_array(float, m);
        uint8_t *bytes = pv_alloc(n), *small = pv_alloc(m);
        int32_t *labels = pv_array(int32_t, m);
        assert_true(pv_st_read_f32(f, image, src) && pv_st_read_f32(f, cut, want));
        pv_aug_f32(&a, w, src, 0, got);
        assert_memory_equal(got, want, m * sizeof *got);
        /* the same voxels for other types: label 1 where the image is positive, 9 outside */
        for (size_t i = 0; i < n; i++)
            bytes[i] = src[i] > 0;
        pv_aug_u8(&a, w, bytes, 9, small);
        pv_aug_label(&a, w, bytes, 9, labels);
        for (size_t i = 0; i < m; i++) {
            assert_int_equal(small[i], want[i] > 0 ? 1 : want[i] < 0 ? 0 : 9);
            assert_int_equal(labels[i], small[i]);
        }
        pv_free(src);
        pv_free(want);
        pv_free(got);
        pv_free(bytes);
        pv_free(small);
        pv_free(labels);
    }
    assert_int_equal(cases, 12);
    pv_st_close(&f);
    pv_free(path);
}

/* Every choice occurs about equally often, and none outside its range: patches of 4 in 9 x 7 x 6. */
static void draws_are_uniform(void **state)
{
    const struct pv_aug_params p = {.patch = {4, 4, 4}, .rotate = true, .flip = true};
    const int size[3] = {9, 7, 6};
    int rot[4] = {0}, flip[2] = {0}, place[3][8] = {{0}};
    enum { N = 4000 };
    for (int i = 0; i < N; i++) {
        struct pv_aug a = pv_aug_draw(&p, size, 5, (uint64_t)i, 0);
        assert_true(a.rot >= 0 && a.rot < 4 && a.flip >= 0 && a.flip < 2);
        assert_true(a.pad[0] == 0 && a.pad[1] == 0 && a.pad[2] == 0);
        rot[a.rot]++;
        flip[a.flip]++;
        int sides[3] = {a.rot & 1 ? 7 : 9, a.rot & 1 ? 9 : 7, 6};
        for (int k = 0; k < 3; k++) {
            assert_in_range(a.origin[k], 0, sides[k] - 4 - 1);
            if (!(a.rot & 1))
                place[k][a.origin[k]]++;
        }
    }
    for (int k = 0; k < 4; k++)         /* six standard deviations of a binomial count */
        assert_in_range(rot[k], N / 4 - 165, N / 4 + 165);
    assert_in_range(flip[0], N / 2 - 190, N / 2 + 190);
    for (int k = 0; k < 5; k++)
        assert_in_range(place[0][k], N / 2 / 5 - 110, N / 2 / 5 + 110);
    assert_int_equal(place[0][5], 0);   /* the last place is never drawn */
    for (int k = 0; k < 2; k++)
        assert_in_range(place[2][k], N / 2 / 2 - 140, N / 2 / 2 + 140);
    assert_int_equal(place[2][2], 0);
}

static void draws_depend_on_the_key_only(void **state)
{
    struct pv_aug_params p = {.patch = {4, 4, 4}, .rotate = true, .flip = true};
    const int size[3] = {90, 90, 60};
    struct pv_aug a = pv_aug_draw(&p, size, 5, 100, 3), b = pv_aug_draw(&p, size, 5, 100, 3);
    assert_memory_equal(&a, &b, sizeof a);
    p.rotate = p.flip = false;          /* a cube: the place does not depend on the turn */
    b = pv_aug_draw(&p, size, 5, 100, 3);
    assert_memory_equal(a.origin, b.origin, sizeof a.origin);
    assert_true(b.rot == 0 && b.flip == -1);
    const struct { uint64_t seed, step, sample; } other[] = {{6, 100, 3}, {5, 101, 3}, {5, 100, 4}};
    for (size_t i = 0; i < PV_COUNT(other); i++) {
        b = pv_aug_draw(&p, size, other[i].seed, other[i].step, other[i].sample);
        assert_memory_not_equal(a.origin, b.origin, sizeof a.origin);
    }
    /* small volumes: zeros on every side and still a choice */
    const int tiny[3] = {2, 4, 5};
    for (uint64_t i = 0; i < 50; i++) {
        a = pv_aug_draw(&p, tiny, 1, i, 0);
        for (int k = 0; k < 3; k++) {
            assert_true(a.pad[k] >= 2);
            assert_in_range(a.origin[k], 0, tiny[k] + 2 * a.pad[k] - 4 - 1);
        }
    }
}

/* ---- batches ---- */

/* 9 labelled in twos: 4 batches a pass, one volume left out of each pass, none twice within one. */
static void labelled_passes(void **state)
{
    const struct pv_sampler s = {.num_labeled = 9, .num_unlabeled = 5, .labeled_bs = 2, .unlabeled_bs = 3,
                                 .seed = 4};
    assert_true(pv_sampler_check(&s));
    assert_int_equal(pv_sampler_epoch_steps(&s), 4);
    int left_out[9] = {0}, l[2], u[3];
    for (uint64_t epoch = 0; epoch < 200; epoch++) {
        bool seen[9] = {false};
        for (uint64_t k = 0; k < 4; k++) {
            pv_sampler_batch(&s, epoch * 4 + k, l, u);
            for (int i = 0; i < 2; i++) {
                assert_in_range(l[i], 0, 8);
                assert_false(seen[l[i]]);
                seen[l[i]] = true;
            }
        }
        for (int i = 0; i < 9; i++)
            left_out[i] += !seen[i];
    }
    for (int i = 0; i < 9; i++)         /* 200 / 9 = 22 */
        assert_in_range(left_out[i], 5, 50);
}

/* 5 unlabelled in threes: any five that follow each other from a multiple of five are all of them. */
static void unlabelled_passes(void **state)
{
    const struct pv_sampler s = {.num_labeled = 9, .num_unlabeled = 5, .labeled_bs = 2, .unlabeled_bs = 3,
                                 .seed = 4};
    int l[2], u[3], sequence[300], orders = 0;
    for (uint64_t step = 0; step < 100; step++) {
        pv_sampler_batch(&s, step, l, u);
        memcpy(sequence + 3 * step, u, sizeof u);
    }
    for (int pass = 0; pass < 60; pass++) {
        bool seen[5] = {false};
        for (int i = 0; i < 5; i++) {
            int v = sequence[5 * pass + i];
            assert_in_range(v, 0, 4);
            assert_false(seen[v]);
            seen[v] = true;
        }
        orders += memcmp(sequence, sequence + 5 * pass, 5 * sizeof(int)) != 0;
    }
    assert_in_range(orders, 50, 59);    /* passes differ: 1 in 120 is the same */
    pv_sampler_batch(&s, 41, l, u);     /* any step on its own */
    assert_memory_equal(u, sequence + 123, sizeof u);
}

static void other_make_ups(void **state)
{
    struct pv_sampler s = {.num_labeled = 3, .num_unlabeled = 4, .labeled_bs = 4, .unlabeled_bs = 2, .seed = 1};
    int l[4], u[4], counts[3] = {0}, twice = 0;
    UNIT_FAILS(PV_FAULT_USAGE, "3 labelled volumes cannot fill a batch with 4 (train.labeled_batch): take a smaller "
               "--batch",
               assert_false(pv_sampler_check(&s)));
    s.replacement = true;
    assert_true(pv_sampler_check(&s));
    for (uint64_t step = 0; step < 600; step++) {
        pv_sampler_batch(&s, step, l, u);
        for (int i = 0; i < 4; i++) {
            assert_in_range(l[i], 0, 2);
            counts[l[i]]++;
        }
        assert_in_range(u[0], 0, 3);
        twice += u[0] == u[1];
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(counts[i], 700, 900);
    assert_in_range(twice, 100, 200);   /* a quarter of 600 */
    s = (struct pv_sampler){.num_labeled = 3, .labeled_bs = 3};
    assert_true(pv_sampler_check(&s));
    pv_sampler_batch(&s, 7, l, u);
    assert_int_equal(l[0] + l[1] + l[2], 3);
    s = (struct pv_sampler){.num_unlabeled = 4, .unlabeled_bs = 4};
    assert_true(pv_sampler_check(&s));
    pv_sampler_batch(&s, 7, l, u);
    assert_int_equal(u[0] + u[1] + u[2] + u[3], 6);
    s.num_unlabeled = 0;
    UNIT_FAILS(PV_FAULT_USAGE, "all volumes are labelled: take fewer of --labeled", assert_false(pv_sampler_check(&s)));
    s = (struct pv_sampler){.num_labeled = 3};
    UNIT_FAILS(PV_FAULT_USAGE, "at least one", assert_false(pv_sampler_check(&s)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_numpy_does),
        cmocka_unit_test(draws_are_uniform),
        cmocka_unit_test(draws_depend_on_the_key_only),
        cmocka_unit_test(labelled_passes),
        cmocka_unit_test(unlabelled_passes),
        cmocka_unit_test(other_make_ups),
    };
    return cmocka_run_group_tests_name("augment", tests, NULL, NULL);
}
