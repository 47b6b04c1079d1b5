/* SPDX-License-Identifier: Apache-2.0
 * eval/table.h: means with missing values, pairs, and the three writers read back. */
#include "unit.h"

#include <math.h>

#include "base/json.h"
#include "eval/stats.h"
#include "eval/table.h"

static void assert_near(double got, double wanted)
{
    if (isnan(wanted) ? !isnan(got) : fabs(got - wanted) > 1e-12 * fmax(1, fabs(wanted)))
        fail_msg("%.17g instead of %.17g", got, wanted);
}

/* Three cases of two classes: dice 0.8, 0.6, 0.4 and 0.5, missing, 1; hd95 4, 2, 0.1 of class 1. The
 * second case's prediction has nothing of class 2. */
static struct pv_table example(void)
{
    static const char *const titles[] = {"ventricle, left", NULL}, *const names[] = {"a_1", "b\"2", "c_3"};
    static const double dice[3][2] = {{0.8, 0.5}, {0.6, NAN}, {0.4, 1}}, far[3] = {4, 2, 0.1};
    struct pv_eval_params p = pv_eval_defaults(3);
    p.empty = PV_EMPTY_NAN;
    p.units = PV_UNITS_MM;
    p.wanted = 1u << PV_DICE | 1u << PV_HD95;
    struct pv_table t;
    pv_table_init(&t, &p, titles);
    for (int i = 0; i < 3; i++) {
        struct pv_case_metrics c = {.num_scored = 2, .m = pv_array(struct pv_metrics, 2)};
        c.name = pv_strdup(names[i]);
        c.pred_file = pv_asprintf("pred/%d.nii.gz", i);
        c.ref_file = i == 2 ? NULL : pv_asprintf("ref/%d.nii.gz", i);
        for (int k = 0; k < 2; k++) {
            for (int m = 0; m < PV_NUM_METRICS; m++)
                c.m[k].v[m] = NAN;
            c.m[k].v[PV_DICE] = dice[i][k];
            c.m[k].v[PV_HD95] = k == 0 ? far[i] : NAN;
            c.m[k].tp = (uint64_t)(10 * i + k);
            c.m[k].fp = 3;
            c.m[k].tn = 1ull << 40;
            c.m[k].pred_empty = i == 1 && k == 1;
        }
        pv_table_add(&t, &c);
        assert_null(c.m);
    }
    return t;
}

static void means(void **state)
{
    struct pv_table t = example();
    struct pv_summary s = pv_table_summary(&t, 0, PV_DICE);
    assert_near(s.mean, 0.6);
    assert_near(s.std, sqrt(0.08 / 3));
    assert_near(s.median, 0.6);
    assert_true(s.min == 0.4 && s.max == 0.8 && s.n == 3 && s.num_missing == 0);
    t.ddof = 1;
    assert_near(pv_table_summary(&t, 0, PV_DICE).std, 0.2);
    t.ddof = 0;
    s = pv_table_summary(&t, 1, PV_DICE);
    assert_near(s.mean, 0.75);
    assert_true(s.n == 2 && s.num_missing == 1);
    s = pv_table_summary(&t, PV_ALL_CLASSES, PV_DICE);
    assert_near(s.mean, (0.6 + 0.75) / 2);              /* of the classes' means */
    const double per_case[] = {0.65, 0.6, 0.7};
    assert_near(s.std, pv_std(per_case, 3, 0));
    assert_near(s.median, 0.65);
    s = pv_table_summary(&t, 1, PV_HD95);
    assert_true(s.n == 0 && s.num_missing == 3 && isnan(s.mean) && isnan(s.std) && isnan(s.max));
    assert_near(pv_table_summary(&t, PV_ALL_CLASSES, PV_HD95).mean, 6.1 / 3);
    assert_int_equal(pv_table_empty_predictions(&t, 0), 0);
    assert_int_equal(pv_table_empty_predictions(&t, 1), 1);
    assert_int_equal(pv_table_empty_predictions(&t, PV_ALL_CLASSES), 1);
    assert_int_equal(pv_table_empty_references(&t, PV_ALL_CLASSES), 0);
    pv_table_free(&t);
    pv_table_free(&t);
}

static void pairs_by_name(void **state)
{
    struct pv_table a = example(), b = example();
    struct pv_case_metrics first = b.cases[0];
    b.cases[0] = b.cases[2];
    b.cases[2] = first;
    pv_free(b.cases[1].name);
    b.cases[1].name = pv_strdup("other");
    b.cases[0].m[0].v[PV_DICE] = 0.45;
    double *va, *vb;
    assert_int_equal(pv_table_pairs(&a, &b, 0, PV_DICE, &va, &vb), 2);
    assert_true(va[0] == 0.8 && vb[0] == 0.8 && va[1] == 0.4 && vb[1] == 0.45);
    pv_free(va);
    pv_free(vb);
    assert_int_equal(pv_table_pairs(&a, &a, 1, PV_DICE, &va, &vb), 2);      /* one is missing */
    pv_free(va);
    pv_free(vb);
    assert_int_equal(pv_table_pairs(&a, &a, 1, PV_HD95, &va, &vb), 0);
    pv_free(va);
    pv_free(vb);
    pv_table_free(&a);
    pv_table_free(&b);
}

static char *file_text(const char *path)
{
    char *text;
    size_t n;
    assert_true(pv_read_file(path, &text, &n));
    return text;
}

static void csv(void **state)
{
    struct pv_table t = example();
    const char *path = unit_path("m.csv");
    assert_true(pv_table_write_csv(&t, path));
    char *text = file_text(path);
    struct pv_strs lines = {0};
    pv_strs_split(&lines, text, "\n");
    assert_int_equal(lines.n, 1 + 6 + 6);
    assert_string_equal(lines.v[0], "case,class,dice,hd95,tp,fp,fn,tn,n_pred,n_ref");
    assert_string_equal(lines.v[1], "a_1,\"ventricle, left\",0.8,4,0,3,0,1099511627776,3,0");
    assert_string_equal(lines.v[4], "\"b\"\"2\",2,nan,nan,11,3,0,1099511627776,14,11");
    assert_true(pv_starts(lines.v[7], "mean,\"ventricle, left\",0.6"));
    assert_string_equal(lines.v[8], "mean,2,0.75,nan,11,3,0,1099511627776,14,11");
    assert_true(pv_starts(lines.v[9], "mean,all,0.675,"));
    assert_true(pv_ends(lines.v[9], ",10.5,3,0,1099511627776,13.5,10.5"));
    assert_true(pv_starts(lines.v[10], "std,\"ventricle, left\",0.163299316185545"));
    assert_true(pv_starts(lines.v[12], "std,all,"));
    pv_strs_free(&lines);
    pv_free(text);
    pv_table_free(&t);
}

/* Keys of every object in order. */
static void assert_sorted(const pv_json *j)
{
    const char *last = NULL;
    for (const pv_json *c = pv_json_at(j, 0); c; c = pv_json_next(c)) {
        if (pv_json_is_object(j)) {
            assert_true(!last || strcmp(last, pv_json_key(c)) < 0);
            last = pv_json_key(c);
        }
        assert_sorted(c);
    }
}

static void summary_json(void **state)
{
    struct pv_table t = example();
    const char *path = unit_path("summary.json");
    assert_true(pv_table_write_json(&t, path, &(struct pv_table_json){.nan_literal = true, .resamples = 50}));
    char *text = file_text(path);
    assert_non_null(strstr(text, "\"HD95\": NaN"));
    assert_null(strstr(text, "null,\n      \"HD95\""));
    assert_null(strstr(text, "u0001"));
    pv_free(text);
    pv_json *j = pv_json_read(path);
    assert_non_null(j);
    assert_sorted(j);
    assert_near(pv_json_num(pv_json_path(j, "foreground_mean"), "Dice", 0), 0.675);
    assert_near(pv_json_num(pv_json_path(j, "foreground_mean"), "TP", 0), 10.5);
    assert_near(pv_json_num(pv_json_path(j, "mean.1"), "Dice", 0), 0.6);
    assert_near(pv_json_num(pv_json_path(j, "mean.1"), "n_pred", 0), 13);
    assert_true(isnan(pv_json_num(pv_json_path(j, "mean.2"), "HD95", 0)));
    assert_near(pv_json_num(pv_json_path(j, "std.1"), "Dice", 0), sqrt(0.08 / 3));
    assert_near(pv_json_num(pv_json_path(j, "empty_predictions"), "2", 0), 1);
    assert_string_equal(pv_json_str(pv_json_path(j, "settings"), "units", ""), "mm");
    assert_string_equal(pv_json_str(pv_json_path(j, "settings"), "empty", ""), "nan");
    const double v[] = {0.8, 0.6, 0.4};
    struct pv_bootstrap b = pv_bootstrap_mean(v, 3, 50, 0, 0.95);
    assert_near(pv_json_num(pv_json_path(j, "bootstrap.1.Dice"), "high", 0), b.high);
    assert_near(pv_json_num(pv_json_path(j, "bootstrap.2.Dice"), "cases", 0), 2);
    const pv_json *cases = pv_json_get(j, "metric_per_case"), *one = pv_json_at(cases, 1);
    assert_int_equal(pv_json_count(cases), 3);
    assert_string_equal(pv_json_str(one, "prediction_file", ""), "pred/1.nii.gz");
    assert_string_equal(pv_json_str(one, "reference_file", ""), "ref/1.nii.gz");
    assert_null(pv_json_str(pv_json_at(cases, 2), "reference_file", NULL));
    const pv_json *m = pv_json_path(one, "metrics.1");
    assert_near(pv_json_num(m, "Dice", 0), 0.6);
    assert_near(pv_json_num(m, "TN", 0), 1099511627776.0);
    assert_null(pv_json_get(m, "ASD"));                 /* not wanted */
    pv_json_free(j);

    assert_true(pv_table_write_json(&t, path, NULL));
    text = file_text(path);
    assert_null(strstr(text, "NaN"));
    assert_non_null(strstr(text, "\"HD95\": null"));
    assert_null(strstr(text, "bootstrap"));
    pv_free(text);
    pv_table_free(&t);
}

static void text_table(void **state)
{
    struct pv_table t = example();
    char *text = pv_table_text(&t, NULL, 0, true);
    struct pv_strs lines = {0};
    pv_strs_split(&lines, text, "\n");
    assert_true(lines.n >= 1 + 6 + 3 + 1);
    for (size_t i = 1; i < 10; i++)
        assert_int_equal(strlen(lines.v[i]), strlen(lines.v[0]));
    assert_non_null(strstr(lines.v[0], "Dice %"));
    assert_non_null(strstr(lines.v[0], "95HD mm"));
    assert_non_null(strstr(lines.v[1], "80.00"));
    assert_non_null(strstr(lines.v[7], "60.00 +- 16.33"));
    assert_non_null(strstr(lines.v[7], "2.03 +- 1.59"));
    assert_non_null(strstr(lines.v[9], "67.50 +- 4.08"));
    assert_non_null(strstr(text, "3 cases"));
    assert_non_null(strstr(text, "2: 1 of 3 predictions empty"));
    assert_non_null(strstr(text, "2: Dice missing in 1 of 3"));
    pv_strs_free(&lines);
    pv_free(text);
    const enum pv_metric_id only[] = {PV_DICE};
    text = pv_table_text(&t, only, 1, false);
    assert_null(strstr(text, "a_1"));
    assert_null(strstr(text, "95HD"));
    pv_free(text);
    pv_table_free(&t);
}

/* From arrays to a table, with regions and the names of their keys. */
static void from_volumes(void **state)
{
    const int s[3] = {2, 3, 4};
    const uint8_t pred[24] = {[5] = 1, [6] = 2, [7] = 4}, ref[24] = {[5] = 1, [6] = 1, [8] = 4};
    const struct pv_region regions[] = {pv_region_of((const int[]){1, 2, 4}, 3), pv_region_of((const int[]){4}, 1)};
    struct pv_eval_params p = pv_eval_defaults(5);
    p.regions = regions;
    p.num_regions = 2;
    struct pv_table t;
    pv_table_init(&t, &p, NULL);
    struct pv_case_metrics c;
    assert_true(pv_evaluate_pair(pred, ref, s, NULL, &p, &c));
    c.name = pv_strdup("x");
    pv_table_add(&t, &c);
    assert_string_equal(t.keys[0], "(1, 2, 4)");
    assert_near(pv_table_summary(&t, 0, PV_DICE).mean, 2.0 / 3);
    assert_near(pv_table_summary(&t, 1, PV_DICE).mean, 0);
    assert_near(pv_table_summary(&t, PV_ALL_CLASSES, PV_DICE).mean, 1.0 / 3);
    pv_table_free(&t);
    UNIT_FAILS(PV_FAULT_INPUT, "nowhere", assert_false(pv_table_write_csv(&t, "nowhere/at/all.csv")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means),
        cmocka_unit_test(pairs_by_name),
        cmocka_unit_test(csv),
        cmocka_unit_test(summary_json),
        cmocka_unit_test(text_table),
        cmocka_unit_test(from_volumes),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
