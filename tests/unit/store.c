/* SPDX-License-Identifier: Apache-2.0
 * data/store.h: what is held, the budget, threads, and failures. */
#include "unit.h"

#include "base/rng.h"
#include "data/phantom.h"
#include "data/store.h"

enum { CASES = 6, X = 20, Y = 18, Z = 16, VOXELS = X * Y * Z };

static pv_dataset *ds;
static struct pv_store_item all[CASES];
static struct pv_volume truth[CASES];       /* as pv_case_load reads them */

static int set_up(void **state)
{
    const int size[3] = {X, Y, Z};
    assert_true(pv_phantom_write(unit_path("set"), CASES, 0, size, 3));
    ds = pv_dataset_open(unit_path("set"), NULL);
    assert_non_null(ds);
    assert_int_equal(ds->num_cases, CASES);
    for (int i = 0; i < CASES; i++) {
        all[i] = (struct pv_store_item){.index = i, .label = i < 3};
        assert_true(pv_case_load(ds, i, PV_IMAGE | PV_LABEL, NULL, &truth[i]));
    }
    return 0;
}

static int tear_down(void **state)
{
    for (int i = 0; i < CASES; i++)
        pv_volume_free(&truth[i]);
    pv_dataset_free(&ds);
    return unit_tmp_remove(state);
}

static void assert_is_case(const struct pv_volume *v, int i)
{
    assert_non_null(v);
    assert_true(v->size[0] == X && v->size[1] == Y && v->size[2] == Z);
    assert_memory_equal(v->image, truth[i].image, VOXELS * sizeof(float));
    assert_int_equal(v->label != NULL, i < 3);
    if (v->label)
        assert_memory_equal(v->label, truth[i].label, VOXELS);
}

struct progress { int calls, last, total; };

static void progress(void *user, int done, int total)
{
    struct progress *p = user;
    p->calls++;
    p->last = done;
    p->total = total;
}

static void holds_what_fits(void **state)
{
    struct progress seen = {0};
    const struct pv_store_params p = {.budget = 64 << 20, .threads = 3, .progress = progress, .user = &seen};
    pv_store *s = pv_store_open(ds, all, CASES, &p);
    assert_non_null(s);
    assert_true(seen.calls == CASES && seen.last == CASES && seen.total == CASES);
    assert_int_equal(pv_store_count(s), CASES);
    assert_int_equal(pv_store_channels(s), 1);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < CASES; i++) {
            assert_int_equal(pv_store_case(s, i), i);
            assert_is_case(pv_store_get(s, i, NULL), i);
            pv_store_put(s, i);
        }
    struct pv_store_stats stats = pv_store_stats(s);
    assert_true(stats.reads == CASES && stats.evictions == 0 && stats.resident == CASES);
    assert_int_equal(stats.used, VOXELS * (4 * CASES + 3));
    pv_store_close(&s);
    assert_null(s);
}

/* Room for one volume that is read and about two that are held. */
enum { NEED = VOXELS * 9 + 256 * X * Y, BUDGET = NEED + 2 * VOXELS * 5 };

static void stays_within_the_budget(void **state)
{
    const struct pv_store_params p = {.budget = BUDGET, .threads = 2};
    pv_log_level_set(PV_LOG_ERROR);
    pv_store *s = pv_store_open(ds, all, CASES, &p);
    pv_log_level_set(PV_LOG_INFO);
    assert_non_null(s);
    struct pv_store_stats stats = pv_store_stats(s);
    assert_in_range(stats.resident, 2, 4);
    struct pv_rng r = pv_rng_make(1, 1);
    for (int k = 0; k < 60; k++) {
        int i = (int)pv_rng_below(&r, CASES);
        assert_is_case(pv_store_get(s, i, NULL), i);
        pv_store_put(s, i);
    }
    stats = pv_store_stats(s);
    assert_in_range(stats.evictions, 10, 60);
    assert_in_range(stats.peak, BUDGET / 2, BUDGET);
    /* what was used last stays: while one without label is read, BUDGET - NEED + 5 bytes a voxel are
     * left, that is one with label (5 bytes a voxel) and two without (4) */
    for (int i = 0; i < CASES; i++) {
        assert_is_case(pv_store_get(s, i, NULL), i);
        pv_store_put(s, i);
    }
    stats = pv_store_stats(s);
    assert_int_equal(stats.resident, 4);
    for (int i = 2; i < CASES; i++) {
        assert_is_case(pv_store_get(s, i, NULL), i);
        pv_store_put(s, i);
    }
    assert_int_equal(pv_store_stats(s).reads, stats.reads);
    /* reading one with label leaves room for two: of 2, 3, 4, 5 the oldest two go */
    assert_is_case(pv_store_get(s, 1, NULL), 1);
    pv_store_put(s, 1);
    assert_int_equal(pv_store_stats(s).reads, stats.reads + 1);
    assert_int_equal(pv_store_stats(s).evictions, stats.evictions + 2);
    assert_is_case(pv_store_get(s, 4, NULL), 4);
    pv_store_put(s, 4);
    assert_int_equal(pv_store_stats(s).reads, stats.reads + 1);
    pv_store_close(&s);

    const struct pv_store_params small = {.budget = NEED - 1};
    UNIT_FAILS(PV_FAULT_INPUT, "phantom_000_0000.nii.gz: reading and preparing it takes 1 MB",
               assert_null(pv_store_open(ds, all, CASES, &small)));
}

struct reader { pv_store *s; uint64_t seed; int wrong; };

static void read_much(void *arg)
{
    struct reader *me = arg;
    struct pv_rng r = pv_rng_make(me->seed, 7);
    for (int k = 0; k < 60; k++) {
        int i = (int)pv_rng_below(&r, CASES);
        const struct pv_volume *v = pv_store_get(me->s, i, NULL);
        me->wrong += !v || memcmp(v->image, truth[i].image, VOXELS * sizeof(float)) != 0;
        if (v)
            pv_store_put(me->s, i);
    }
}

static void many_threads(void **state)
{
    const struct pv_store_params p = {.budget = BUDGET};
    pv_log_level_set(PV_LOG_ERROR);
    pv_store *s = pv_store_open(ds, all, CASES, &p);
    pv_log_level_set(PV_LOG_INFO);
    assert_non_null(s);
    struct reader readers[4];
    pv_thread *threads[4];
    for (int i = 0; i < 4; i++) {
        readers[i] = (struct reader){.s = s, .seed = (uint64_t)i};
        assert_non_null(threads[i] = pv_thread_start(read_much, &readers[i]));
    }
    for (int i = 0; i < 4; i++) {
        pv_thread_join(&threads[i]);
        assert_int_equal(readers[i].wrong, 0);
    }
    assert_in_range(pv_store_stats(s).peak, 1, BUDGET);
    pv_store_close(&s);
}

static void forget_all(void *user, int index, struct pv_volume *v)
{
    if (v->label)
        memset(v->label, index == 1 ? PV_LABEL_IGNORE : 1, VOXELS);
}

static void prepares(void **state)
{
    const struct pv_store_params p = {.budget = 64 << 20, .prep = pv_prep_find("la-small"), .edit = forget_all};
    pv_store *s = pv_store_open(ds, all, CASES, &p);
    assert_non_null(s);
    for (int i = 0; i < CASES; i++) {
        const struct pv_volume *v = pv_store_get(s, i, NULL);
        assert_non_null(v);
        assert_true(v->size[0] == X / 2 && v->size[1] == Y / 2 && v->size[2] == Z / 2);
        float sum = 0;
        for (int k = 0; k < 8; k++)
            sum += truth[i].image[((k >> 2) * Y + (k >> 1 & 1)) * Z + (k & 1)];
        assert_true(v->image[0] == sum / 8);
        for (int k = 0; v->label && k < VOXELS / 8; k++)
            assert_int_equal(v->label[k], i == 1 ? PV_LABEL_IGNORE : 1);
        pv_store_put(s, i);
        struct pv_prep_map map;
        assert_true(pv_store_map(s, i, &map));
        assert_true(map.size[0] == X && map.step[0] == 2 && map.origin[0] == 0);
    }
    pv_store_close(&s);
}

static void count_errors(void *user, enum pv_log_level level, const char *line)
{
    if (level == PV_LOG_ERROR)
        ++*(int *)user;
    (void)line;
}

/* Every volume is bad and every thread meets one: a single line, and this thread's fault. */
static void one_line_of_many_failures(void **state)
{
    const struct pv_store_params p = {.budget = 64 << 20, .threads = 4};
    char *raw[CASES];
    size_t n[CASES];
    for (int i = 0; i < CASES; i++) {
        const char *path = ds->cases[i].images[0];
        assert_true(pv_read_file(path, &raw[i], &n[i]));
        assert_true(pv_write_file(path, raw[i], n[i] / 2));
    }
    for (int k = 0; k < 8; k++) {
        int lines = 0;
        const char *text;
        pv_fault_clear();
        pv_log_sink(count_errors, &lines);
        assert_null(pv_store_open(ds, all, CASES, &p));
        pv_log_sink(NULL, &lines);
        assert_int_equal(lines, 1);
        assert_int_equal(pv_fault_mine(&text), PV_FAULT_INPUT);
        assert_non_null(strstr(text, "ends early"));
        assert_string_equal(text, pv_fault_text());
    }
    pv_fault_clear();
    for (int i = 0; i < CASES; i++) {
        assert_true(pv_write_file(ds->cases[i].images[0], raw[i], n[i]));
        pv_free(raw[i]);
    }
    (void)state;
}

/* What is wrong is printed: a line on stderr is right here. */
static void failures(void **state)
{
    char *path = pv_path_join(unit_path("set"), "imagesTr/phantom_002_0000.nii.gz"), *raw;
    const struct pv_store_params p = {.budget = 64 << 20, .threads = 3}, tight = {.budget = NEED, .threads = 1};
    size_t n;
    assert_true(pv_read_file(path, &raw, &n));
    assert_true(pv_write_file(path, raw, n / 2));
    pv_fault_clear();
    assert_null(pv_store_open(ds, all, CASES, &p));
    assert_int_equal(pv_fault_kind(), PV_FAULT_INPUT);
    assert_non_null(strstr(pv_fault_text(), "phantom_002_0000.nii.gz ends early"));
    pv_fault_clear();

    /* a volume that goes bad later: the call fails, the store lives */
    const struct pv_store_item two[2] = {{.index = 0, .label = true}, {.index = 2, .label = true}};
    assert_true(pv_write_file(path, raw, n));
    pv_log_level_set(PV_LOG_ERROR);
    pv_store *s = pv_store_open(ds, two, 2, &tight);
    pv_log_level_set(PV_LOG_INFO);
    assert_non_null(s);
    assert_int_equal(pv_store_stats(s).resident, 1);
    assert_true(pv_write_file(path, raw, n / 2));
    UNIT_FAILS(PV_FAULT_INPUT, "phantom_002_0000.nii.gz ends early", assert_null(pv_store_get(s, 1, NULL)));
    assert_is_case(pv_store_get(s, 0, NULL), 0);
    pv_store_put(s, 0);
    assert_true(pv_write_file(path, raw, n));
    assert_is_case(pv_store_get(s, 1, NULL), 2);
    pv_store_put(s, 1);
    atomic_bool cancel = true;
    assert_null(pv_store_get(s, 1, &cancel));
    assert_int_equal(pv_fault_kind(), PV_FAULT_NONE);
    pv_store_close(&s);
    pv_free(raw);
    pv_free(path);
}

/* Last: the request to stop stays. */
static void stops(void **state)
{
    const struct pv_store_params p = {.budget = 64 << 20};
    pv_stop_set();
    UNIT_FAILS(PV_FAULT_STOPPED, "stopped", assert_null(pv_store_open(ds, all, CASES, &p)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_fits),
        cmocka_unit_test(stays_within_the_budget),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(prepares),
        cmocka_unit_test(one_line_of_many_failures),
        cmocka_unit_test(failures),
        cmocka_unit_test(stops),
    };
    return cmocka_run_group_tests_name("store", tests, set_up, tear_down);
}
