/* SPDX-License-Identifier: Apache-2.0
 * data/loader.h: batches depend on seed and step alone; content, resuming, failures, stopping. */
#include "unit.h"

#include "base/hash.h"
#include "data/loader.h"
#include "data/phantom.h"
#include "data/sampler.h"

enum { CASES = 7, LABELED = 3, X = 20, Y = 18, Z = 16, VOXELS = X * Y * Z };

static pv_dataset *ds;
static struct pv_store_item all[CASES];
static pv_store *whole, *tight;         /* all in memory; two volumes in memory */
static const int labeled[LABELED] = {0, 1, 2}, unlabeled[CASES - LABELED] = {3, 4, 5, 6};

static pv_store *open_store(uint64_t budget)
{
    const struct pv_store_params p = {.budget = budget, .threads = 2};
    pv_log_level_set(PV_LOG_ERROR);
    pv_store *s = pv_store_open(ds, all, CASES, &p);
    pv_log_level_set(PV_LOG_INFO);
    assert_non_null(s);
    return s;
}

static int set_up(void **state)
{
    const int size[3] = {X, Y, Z};
    assert_true(pv_phantom_write(unit_path("set"), CASES, 0, size, 3));
    ds = pv_dataset_open(unit_path("set"), NULL);
    assert_non_null(ds);
    for (int i = 0; i < CASES; i++)
        all[i] = (struct pv_store_item){.index = i, .label = true};
    whole = open_store(64 << 20);
    tight = open_store(VOXELS * 9 + 256 * X * Y + 2 * VOXELS * 5);
    return 0;
}

static int tear_down(void **state)
{
    pv_store_close(&whole);
    pv_store_close(&tight);
    pv_dataset_free(&ds);
    return unit_tmp_remove(state);
}

static struct pv_loader_params params(void)
{
    return (struct pv_loader_params){
        .store = whole, .labeled = labeled, .num_labeled = LABELED, .unlabeled = unlabeled,
        .num_unlabeled = CASES - LABELED, .labeled_bs = 2, .unlabeled_bs = 1,
        .aug = {.patch = {12, 12, 8}, .rotate = true, .flip = true}, .seed = 9};
}

static uint64_t hash_of(const struct pv_batch *b)
{
    size_t n = (size_t)(b->n_labeled + b->n_unlabeled), voxels = 12 * 12 * 8;
    uint64_t h = pv_hash(PV_HASH_START, b->image, n * voxels * sizeof(float));
    h = pv_hash(h, b->label, n * voxels * sizeof(int32_t));
    return pv_hash(h, b->samples, n * sizeof *b->samples);
}

enum { STEPS = 20 };

static void run(const struct pv_loader_params *p, uint64_t hashes[STEPS])
{
    pv_loader *l = pv_loader_start(p);
    assert_non_null(l);
    for (uint64_t s = p->first_step; s < STEPS; s++) {
        const struct pv_batch *b = pv_loader_next(l);
        assert_non_null(b);
        assert_int_equal(b->step, s);
        hashes[s] = hash_of(b);
    }
    pv_loader_stop(&l);
    assert_null(l);
}

static void same_batches_however_made(void **state)
{
    static const struct { int threads, depth; bool little_memory; uint64_t first; } ways[] = {
        {1, 1, false, 0}, {4, 1, false, 0}, {4, 6, false, 0}, {3, 2, true, 0}, {2, 3, false, 13}, {4, 4, true, 7},
    };
    uint64_t want[STEPS], got[STEPS];
    struct pv_loader_params p = params();
    p.threads = 2;
    run(&p, want);
    for (int i = 0; i < STEPS; i++)
        for (int j = 0; j < i; j++)
            assert_true(want[i] != want[j]);
    for (size_t k = 0; k < PV_COUNT(ways); k++) {
        p = params();
        p.threads = ways[k].threads;
        p.depth = ways[k].depth;
        p.store = ways[k].little_memory ? tight : whole;
        p.first_step = ways[k].first;
        run(&p, got);
        for (uint64_t s = p.first_step; s < STEPS; s++)
            assert_true(got[s] == want[s]);
    }
    p = params();
    p.seed = 10;
    run(&p, got);
    for (int i = 0; i < STEPS; i++)
        assert_true(got[i] != want[i]);
}

static void content(void **state)
{
    for (int reveal = 0; reveal < 2; reveal++) {
        struct pv_loader_params p = params();
        p.reveal = reveal;
        p.first_step = 5;
        pv_loader *l = pv_loader_start(&p);
        assert_non_null(l);
        const struct pv_sampler s = {.num_labeled = LABELED, .num_unlabeled = CASES - LABELED, .labeled_bs = 2,
                                     .unlabeled_bs = 1, .seed = 9};
        for (uint64_t step = 5; step < 10; step++) {
            const struct pv_batch *b = pv_loader_next(l);
            assert_non_null(b);
            assert_true(b->n_labeled == 2 && b->n_unlabeled == 1 && b->channels == 1);
            assert_true(b->patch[0] == 12 && b->patch[1] == 12 && b->patch[2] == 8);
            int li[2], ui[1];
            pv_sampler_batch(&s, step, li, ui);
            for (int i = 0; i < 3; i++) {
                int item = b->samples[i].item;
                assert_int_equal(item, i < 2 ? labeled[li[i]] : unlabeled[ui[0]]);
                const struct pv_volume *v = pv_store_get(whole, item, NULL);
                struct pv_aug a = pv_aug_draw(&p.aug, v->size, 9, step, (uint64_t)i);
                assert_memory_equal(&a, &b->samples[i].aug, sizeof a);
                float image[12 * 12 * 8];
                int32_t label[12 * 12 * 8];
                pv_aug_f32(&a, v->size, v->image, 0, image);
                pv_aug_label(&a, v->size, v->label, 0, label);
                assert_memory_equal(image, b->image + i * 12 * 12 * 8, sizeof image);
                for (int k = 0; k < 12 * 12 * 8; k++)
                    assert_int_equal(b->label[i * 12 * 12 * 8 + k], i < 2 || reveal ? label[k] : PV_LABEL_IGNORE);
                pv_store_put(whole, item);
            }
        }
        pv_loader_stop(&l);
    }
}

/* Two processes see the even and the odd batches of the sequence. */
static void ranks(void **state)
{
    struct pv_loader_params p = params();
    const struct pv_sampler s = {.num_labeled = LABELED, .num_unlabeled = CASES - LABELED, .labeled_bs = 2,
                                 .unlabeled_bs = 1, .seed = 9};
    p.ranks = 2;
    for (p.rank = 0; p.rank < 2; p.rank++) {
        pv_loader *l = pv_loader_start(&p);
        assert_non_null(l);
        for (uint64_t step = 0; step < 4; step++) {
            const struct pv_batch *b = pv_loader_next(l);
            int li[2], ui[1];
            assert_non_null(b);
            pv_sampler_batch(&s, 2 * step + (uint64_t)p.rank, li, ui);
            assert_int_equal(b->samples[1].item, labeled[li[1]]);
            assert_int_equal(b->samples[2].item, unlabeled[ui[0]]);
            const int size[3] = {X, Y, Z};
            struct pv_aug a = pv_aug_draw(&p.aug, size, 9, step, (uint64_t)(3 * p.rank + 2));
            assert_memory_equal(&a, &b->samples[2].aug, sizeof a);
        }
        pv_loader_stop(&l);
    }
}

static void wrong_use(void **state)
{
    struct pv_loader_params p = params();
    p.labeled_bs = 4;
    UNIT_FAILS(PV_FAULT_USAGE, "cannot fill a batch", assert_null(pv_loader_start(&p)));
    p = params();
    p.aug.patch[1] = 0;
    UNIT_FAILS(PV_FAULT_USAGE, "12 x 0 x 8", assert_null(pv_loader_start(&p)));
    p = params();
    for (int a = 0; a < 3; a++)
        p.aug.patch[a] = 1 << 30;
    UNIT_FAILS(PV_FAULT_USAGE, "cannot be made", assert_null(pv_loader_start(&p)));
}

/* The caller prints what is wrong in a thread: a line on stderr is right here. */
static void a_failure_in_a_thread(void **state)
{
    char *path = pv_path_join(unit_path("set"), "imagesTr/phantom_005_0000.nii.gz"), *raw;
    size_t n;
    struct pv_loader_params p = params();
    p.store = tight;
    p.threads = 3;
    for (int i = 0; i < 3; i++) {       /* 5 is not in memory: the others were used last */
        assert_non_null(pv_store_get(tight, i, NULL));
        pv_store_put(tight, i);
    }
    assert_true(pv_read_file(path, &raw, &n));
    assert_true(pv_write_file(path, raw, n - 9));
    pv_fault_clear();
    pv_loader *l = pv_loader_start(&p);
    int batches = 0;
    while (batches < 100 && pv_loader_next(l))
        batches++;
    assert_in_range(batches, 0, 4);     /* 5 is one of the first four unlabelled ones */
    assert_int_equal(pv_fault_kind(), PV_FAULT_INPUT);
    const char *mine;
    assert_int_equal(pv_fault_mine(&mine), PV_FAULT_INPUT);
    assert_non_null(strstr(mine, "phantom_005_0000.nii.gz"));
    assert_null(pv_loader_next(l));
    pv_loader_stop(&l);
    pv_fault_clear();
    assert_true(pv_write_file(path, raw, n));
    pv_free(raw);
    pv_free(path);
}

/* At any moment, with reads under way: no fault, nothing left over (the sanitizers look). */
static void stopping(void **state)
{
    struct pv_loader_params p = params();
    p.store = tight;
    pv_fault_clear();
    for (int i = 0; i < 30; i++) {
        p.threads = 1 + i % 4;
        p.depth = 1 + i % 3;
        pv_loader *l = pv_loader_start(&p);
        assert_non_null(l);
        for (int k = 0; k < i % 5; k++)
            assert_non_null(pv_loader_next(l));
        if (i % 2)
            pv_sleep_ms((unsigned)(i % 7));
        pv_loader_stop(&l);
        assert_int_equal(pv_fault_kind(), PV_FAULT_NONE);
    }
    pv_loader *none = NULL;
    pv_loader_stop(&none);
    struct pv_store_stats stats = pv_store_stats(tight);
    assert_in_range(stats.peak, 1, stats.budget);
    /* nobody holds a volume or a reservation: every one can still be read */
    for (int i = 0; i < CASES; i++) {
        assert_non_null(pv_store_get(tight, i, NULL));
        pv_store_put(tight, i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_batches_however_made),
        cmocka_unit_test(content),
        cmocka_unit_test(ranks),
        cmocka_unit_test(wrong_use),
        cmocka_unit_test(a_failure_in_a_thread),
        cmocka_unit_test(stopping),
    };
    return cmocka_run_group_tests_name("loader", tests, set_up, tear_down);
}
