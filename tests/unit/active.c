/* SPDX-License-Identifier: Apache-2.0
 * train/active.h: entropy, ranking, slices on the file's axes, sharing of a budget. */
#include "unit.h"

#include <math.h>

#include "base/json.h"
#include "data/phantom.h"
#include "train/active.h"

enum { CASES = 8 };
static pv_dataset *ds;

static int set_up(void **state)
{
    const int s[3] = {16, 16, 16};
    assert_true(pv_phantom_write(unit_path("set"), CASES, 0, s, 5));
    ds = pv_dataset_open(unit_path("set"), NULL);
    assert_non_null(ds);
    return 0;
}

static int tear_down(void **state)
{
    pv_dataset_free(&ds);
    return unit_tmp_remove(state);
}

static void entropy_is_the_mean_over_voxels(void **state)
{
    const float sure[6] = {1, 0, 1, 0, 1, 0}, even[4] = {0.5f, 0.5f, 0.5f, 0.5f};
    assert_true(fabs(pv_active_entropy(sure, 2, 3)) < 1e-5);
    assert_true(fabs(pv_active_entropy(even, 2, 2) - 1) < 1e-5);
    const float third[3] = {1.0f / 3, 1.0f / 3, 1.0f / 3};
    assert_true(fabs(pv_active_entropy(third, 3, 1) - 1) < 1e-5);
    /* voxels (0.9, 0.1) and (0.25, 0.75), [classes][voxels] */
    const float mixed[4] = {0.9f, 0.25f, 0.1f, 0.75f};
    double want = 0;
    for (int i = 0; i < 4; i++)
        want -= mixed[i] * log(mixed[i] + 1e-6) / log(2) / 2;
    assert_true(fabs(pv_active_entropy(mixed, 2, 2) - want) < 1e-12);
}

static void the_least_sure_are_chosen(void **state)
{
    struct pv_candidate c[5] = {{.index = 7, .score = 0.1}, {.index = 2, .score = 0.5}, {.index = 4, .score = 0.3},
                                {.index = 1, .score = 0.5}, {.index = 3, .score = 0.2}};
    pv_active_choose(c, 5, 3);
    const int order[5] = {1, 2, 4, 3, 7};       /* equal scores: by case */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(c[i].index, order[i]);
        assert_int_equal(c[i].chosen, i < 3);
    }
    pv_json *j = pv_active_manifest(ds, c, 5, "entropy");
    assert_int_equal(pv_json_count(pv_json_get(j, "chosen")), 3);
    assert_int_equal(pv_json_count(pv_json_get(j, "ranking")), 5);
    assert_string_equal(pv_json_str(pv_json_at(pv_json_get(j, "chosen"), 0), "id", ""), ds->cases[1].id);
    pv_json_free(j);
}

static void random_choices_follow_seed_and_round(void **state)
{
    struct pv_candidate a[4] = {{0}}, b[4] = {{0}};
    pv_active_random(1, 0, a, 4);
    pv_active_random(1, 0, b, 4);
    assert_memory_equal(a, b, sizeof a);
    pv_active_random(1, 1, b, 4);
    assert_true(memcmp(a, b, sizeof a) != 0);
    pv_active_random(2, 0, b, 4);
    assert_true(memcmp(a, b, sizeof a) != 0);
}

/* Half resolution, a crop, and axes that the file has in another order and backwards. */
static void slices_lie_on_the_axes_of_the_file(void **state)
{
    const int lo[3] = {3, 0, 2}, hi[3] = {7, 9, 2};
    struct pv_volume file = {.size = {30, 20, 10}, .geo = {.axis = {0, 1, 2}}};
    struct pv_prep_map map = {.size = {30, 20, 10}, .step = {1, 1, 1}};
    struct pv_cross c;
    pv_active_slices(lo, hi, 1, &map, &file, &c);
    assert_true(c.slice[0][0] == 5 && c.slice[1][0] == 4 && c.slice[2][0] == 2);
    for (int a = 0; a < 3; a++)
        map.step[a] = 2;                        /* voxels 6..15, 0..19, 4..5 */
    pv_active_slices(lo, hi, 1, &map, &file, &c);
    assert_true(c.slice[0][0] == 10 && c.slice[1][0] == 9 && c.slice[2][0] == 4);
    map.origin[0] = 11;                         /* 17..26 */
    pv_active_slices(lo, hi, 1, &map, &file, &c);
    assert_int_equal(c.slice[0][0], 21);
    map.origin[0] = 25;                         /* 31..: cut off at the last voxel */
    pv_active_slices(lo, hi, 1, &map, &file, &c);
    assert_int_equal(c.slice[0][0], 29);
    map.origin[0] = 0;
    file.geo = (struct pv_geometry){.axis = {2, 0, 1}, .flip = {true, false, true}};
    pv_active_slices(lo, hi, 2, &map, &file, &c);
    assert_true(c.num[2] == 2 && c.slice[2][0] == 29 - 12 && c.slice[2][1] == 29 - 9);     /* memory 9, 12 */
    assert_true(c.num[0] == 2 && c.slice[0][0] == 6 && c.slice[0][1] == 12);
    assert_true(c.num[1] == 1 && c.slice[1][0] == 9 - 4);
}

/* ---- the pool at the start ---- */

static pv_json *config(int labeled, const char *active)
{
    char *text = pv_asprintf("{\"data\": {\"labeled\": %d, \"labeled_seed\": -1}, \"train\": {\"seed\": 4}, "
                             "\"active\": %s}", labeled, active);
    pv_json *j = pv_json_parse(text, "config");
    assert_non_null(j);
    pv_free(text);
    return j;
}

static bool start(int labeled, const char *active, int *initial, int *add, int l[CASES + 1], int *nl, int *nu)
{
    pv_json *j = config(labeled, active);
    int u[CASES + 1];
    bool ok = pv_active_start(j, ds, l, nl, u, nu);
    *initial = (int)pv_json_num(pv_json_get(j, "active"), "initial", 0);
    *add = (int)pv_json_num(pv_json_get(j, "active"), "add", 0);
    pv_json_free(j);
    return ok;
}

static void a_budget_is_shared(void **state)
{
    int initial, add, l[CASES + 1], other[CASES + 1], nl, nu;
    assert_true(start(7, "{\"rounds\": 2, \"simulate\": true}", &initial, &add, l, &nl, &nu));
    assert_true(initial == 3 && add == 2 && nl == 3 && nu == CASES - 3);
    assert_true(start(0, "{\"rounds\": 3, \"initial\": 2, \"add\": 1, \"simulate\": true}", &initial, &add, l, &nl,
                      &nu));
    assert_true(initial == 2 && add == 1 && nl == 2);
    assert_true(start(6, "{\"rounds\": 2, \"initial\": 2, \"simulate\": true}", &initial, &add, l, &nl, &nu));
    assert_true(initial == 2 && add == 2);
    assert_true(start(6, "{\"rounds\": 2, \"first\": \"list\", \"simulate\": true}", &initial, &add, l, &nl, &nu));
    assert_true(l[0] == 0 && l[1] == 1);
    assert_true(start(6, "{\"rounds\": 2, \"first\": \"random\", \"simulate\": true}", &initial, &add, other, &nl,
                      &nu));
    assert_true(nl == 2 && (other[0] != 0 || other[1] != 1));
}

static void impossible_budgets_are_refused(void **state)
{
    int initial, add, l[CASES + 1], nl, nu;
    UNIT_FAILS(PV_FAULT_USAGE, "cannot share 2 labelled cases",
               assert_false(start(2, "{\"rounds\": 2, \"simulate\": true}", &initial, &add, l, &nl, &nu)));
    UNIT_FAILS(PV_FAULT_USAGE, "there are 8 training cases",
               assert_false(start(12, "{\"rounds\": 2, \"simulate\": true}", &initial, &add, l, &nl, &nu)));
    UNIT_FAILS(PV_FAULT_USAGE, "--simulate lets the labels play",
               assert_false(start(6, "{\"rounds\": 2}", &initial, &add, l, &nl, &nu)));
    ds->cases[5].has_label = false;
    UNIT_FAILS(PV_FAULT_INPUT, "1 of the 8 training cases have no label",
               assert_false(start(6, "{\"rounds\": 2, \"simulate\": true}", &initial, &add, l, &nl, &nu)));
    ds->cases[5].has_label = true;
}

/* With a person the run starts with what is labelled. */
static void a_person_continues_what_is_there(void **state)
{
    int initial, add, l[CASES + 1], nl, nu;
    for (int i = 0; i < CASES; i++)
        ds->cases[i].has_label = i == 1 || i == 4;
    assert_true(start(6, "{\"rounds\": 2}", &initial, &add, l, &nl, &nu));
    assert_true(initial == 2 && add == 2 && nl == 2 && nu == CASES - 2 && l[0] == 1 && l[1] == 4);
    for (int i = 0; i < CASES; i++)
        ds->cases[i].has_label = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entropy_is_the_mean_over_voxels),
        cmocka_unit_test(the_least_sure_are_chosen),
        cmocka_unit_test(random_choices_follow_seed_and_round),
        cmocka_unit_test(slices_lie_on_the_axes_of_the_file),
        cmocka_unit_test(a_budget_is_shared),
        cmocka_unit_test(impossible_budgets_are_refused),
        cmocka_unit_test(a_person_continues_what_is_there),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
