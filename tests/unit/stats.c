/* SPDX-License-Identifier: Apache-2.0
 * eval/stats.h against numpy and scipy (golden/make_metrics.py), and what has no counterpart there. */
#include "unit.h"

#include <math.h>

#include "base/json.h"
#include "base/rng.h"
#include "eval/stats.h"

static void assert_near(const char *what, double got, double wanted, double tolerance)
{
    bool ok = isnan(wanted) ? isnan(got) : isinf(wanted) ? got == wanted
              : fabs(got - wanted) <= fmax(tolerance * fabs(wanted), 1e-300);
    if (!ok)
        fail_msg("%s: %.17g instead of %.17g", what, got, wanted);
}

static pv_json *golden(void)
{
    char *path = pv_path_join(pv_env("PV_GOLDEN"), "stats_eval.json");
    pv_json *j = pv_json_read(path);
    assert_non_null(j);
    pv_free(path);
    return j;
}

/* Numbers, or "nan", "inf", "-inf". */
static double value(const pv_json *obj, const char *key)
{
    const pv_json *j = pv_json_get(obj, key);
    const char *word = pv_json_string_value(j);
    assert_non_null(j);
    return !word ? pv_json_number_value(j) : word[0] == 'n' ? NAN : word[0] == 'i' ? INFINITY : -INFINITY;
}

/* pv_free it. */
static double *list(const pv_json *array, size_t *n)
{
    *n = pv_json_count(array);
    double *v = pv_array(double, *n + 1);
    size_t i = 0;
    for (const pv_json *c = pv_json_at(array, 0); c; c = pv_json_next(c))
        v[i++] = pv_json_number_value(c);
    return v;
}

static void moments_as_numpy(void **state)
{
    pv_json *j = golden();
    size_t cases = 0;
    for (const pv_json *c = pv_json_at(pv_json_get(j, "samples"), 0); c; c = pv_json_next(c), cases++) {
        const char *name = pv_json_str(c, "name", "");
        size_t n;
        double *v = list(pv_json_get(c, "v"), &n);
        assert_near(name, pv_mean(v, n), value(c, "mean"), 1e-14);
        assert_near(name, pv_std(v, n, 0), value(c, "std"), 1e-9);
        assert_near(name, pv_std(v, n, 1), value(c, "sample_std"), 1e-9);
        assert_near(name, pv_median(v, n), value(c, "median"), 1e-15);
        for (const pv_json *q = pv_json_at(pv_json_get(c, "percentiles"), 0); q; q = pv_json_next(q))
            assert_near(name, pv_percentile(v, n, pv_json_number_value(pv_json_at(q, 0))),
                        pv_json_number_value(pv_json_at(q, 1)), 1e-15);
        pv_free(v);
    }
    assert_true(cases >= 7);
    pv_json_free(j);
}

static void beta_as_scipy(void **state)
{
    pv_json *j = golden();
    size_t cases = 0;
    for (const pv_json *c = pv_json_at(pv_json_get(j, "beta"), 0); c; c = pv_json_next(c), cases++) {
        size_t n;
        double *v = list(c, &n);
        char *what = pv_asprintf("I_%g(%g, %g)", v[2], v[0], v[1]);
        assert_near(what, pv_beta_inc(v[0], v[1], v[2]), v[3], 1e-11);
        pv_free(what);
        pv_free(v);
    }
    assert_true(cases >= 60);
    pv_json_free(j);
    assert_true(isnan(pv_beta_inc(0, 1, 0.5)) && isnan(pv_beta_inc(1, 1, 1.5)) && isnan(pv_beta_inc(1, 1, NAN)));
}

static void paired_tests_as_scipy(void **state)
{
    pv_json *j = golden();
    int exact = 0, approximate = 0;
    for (const pv_json *c = pv_json_at(pv_json_get(j, "pairs"), 0); c; c = pv_json_next(c)) {
        const char *name = pv_json_str(c, "name", "");
        const pv_json *want_t = pv_json_get(c, "t"), *want_w = pv_json_get(c, "w");
        size_t n, n2;
        double *a = list(pv_json_get(c, "a"), &n), *b = list(pv_json_get(c, "b"), &n2);
        assert_int_equal(n, n2);
        struct pv_ttest t = pv_ttest_paired(a, b, n);
        assert_near(name, t.t, value(want_t, "t"), 1e-9);
        assert_near(name, t.df, value(want_t, "df"), 0);
        assert_near(name, t.p_two, value(want_t, "two-sided"), 1e-9);
        assert_near(name, t.p_greater, value(want_t, "greater"), 1e-9);
        assert_near(name, t.p_less, value(want_t, "less"), 1e-9);
        struct pv_wilcoxon w = pv_wilcoxon_paired(a, b, n);
        assert_int_equal(w.exact, pv_json_flag(c, "exact", false));
        assert_near(name, (double)w.n, value(c, "n"), 0);
        assert_near(name, w.w_plus, value(want_w, "plus"), 1e-15);
        assert_near(name, w.w_minus, value(want_w, "minus"), 1e-15);
        assert_near(name, w.p_two, value(want_w, "two-sided"), 1e-9);
        assert_near(name, w.p_greater, value(want_w, "greater"), 1e-9);
        assert_near(name, w.p_less, value(want_w, "less"), 1e-9);
        assert_true(isnan(w.z) == w.exact);
        exact += w.exact;
        approximate += !w.exact;
        pv_free(a);
        pv_free(b);
    }
    assert_true(exact >= 5 && approximate >= 5);
    pv_json_free(j);
}

static void missing_values(void **state)
{
    double v[] = {1, NAN, 3, NAN, 5}, a[] = {1, NAN, 3, 4}, b[] = {NAN, 2, 30, 40};
    assert_true(isnan(pv_mean(v, 5)) && isnan(pv_std(v, 5, 0)) && isnan(pv_median(v, 5)));
    assert_true(isnan(pv_ttest_paired(a, b, 4).p_two) && isnan(pv_wilcoxon_paired(a, b, 4).p_two));
    assert_true(isnan(pv_bootstrap_mean(v, 5, 200, 1, 0.95).low));
    assert_int_equal(pv_drop_nan(v, 5), 3);
    assert_true(v[0] == 1 && v[1] == 3 && v[2] == 5);
    assert_int_equal(pv_drop_nan_pairs(a, b, 4), 2);
    assert_true(a[0] == 3 && b[0] == 30 && a[1] == 4 && b[1] == 40);
    assert_true(isnan(pv_mean(v, 0)) && isnan(pv_median(v, 0)));
    assert_true(isnan(pv_std(v, 0, 0)) && isnan(pv_std(v, 1, 1)));
    assert_true(isnan(pv_ttest_paired(a, b, 1).t) && isnan(pv_ttest_paired(a, b, 0).p_two));
    assert_true(isnan(pv_wilcoxon_paired(a, b, 0).p_two));
    assert_true(isnan(pv_bootstrap_mean(v, 0, 10, 1, 0.95).mean));
    assert_true(isnan(pv_bootstrap_mean(v, 3, 0, 1, 0.95).mean));
    const double far[] = {-INFINITY, 1, INFINITY, INFINITY};
    assert_true(pv_percentile(far, 4, 100) == INFINITY && pv_percentile(far, 4, 100.0 / 3) == 1);
    assert_true(pv_mean(far + 1, 3) == INFINITY);
}

static void large_sums_lose_nothing(void **state)
{
    enum { N = 1000000 };
    double *v = pv_array(double, N);
    for (int i = 0; i < N; i++)
        v[i] = 0.1;
    assert_true(fabs(pv_mean(v, N) - 0.1) < 1e-17);
    pv_free(v);
}

/* The resamples are those of the header's rule; of many, mean and width are the known ones. */
static void bootstrap(void **state)
{
    const double v[] = {0.1, 0.5, 0.7, 0.9, 0.95, 0.4};
    enum { N = 6, B = 4000 };
    struct pv_bootstrap one = pv_bootstrap_mean(v, N, 1, 42, 0.9);
    struct pv_rng r = pv_rng_make(42, pv_stream("bootstrap", 0, N));
    double mean = 0;
    for (int i = 0; i < N; i++)
        mean += v[pv_rng_below(&r, N)] / N;
    assert_near("one resample", one.mean, mean, 1e-14);
    assert_true(one.std == 0 && one.low == one.mean && one.high == one.mean);

    struct pv_bootstrap b = pv_bootstrap_mean(v, N, B, 42, 0.9), again = pv_bootstrap_mean(v, N, B, 42, 0.9);
    struct pv_bootstrap other = pv_bootstrap_mean(v, N, B, 43, 0.9), wide = pv_bootstrap_mean(v, N, B, 42, 0.99);
    assert_memory_equal(&b, &again, sizeof b);
    assert_true(b.mean != other.mean);
    double error = pv_std(v, N, 0) / sqrt(N);           /* of the mean of N draws */
    assert_true(fabs(b.mean - pv_mean(v, N)) < 5 * error / sqrt(B));
    assert_true(fabs(b.std / error - 1) < 5 / sqrt(2.0 * B));
    assert_true(wide.low < b.low && b.low < b.mean && b.mean < b.high && b.high < wide.high);
    assert_true(fabs((b.high - b.low) / (2 * 1.645 * error) - 1) < 0.1);    /* 90 %: nearly normal */

    /* equally many cases are resampled alike: the means of v + 1 are those of v, shifted */
    double shifted[N];
    for (int i = 0; i < N; i++)
        shifted[i] = v[i] + 1;
    struct pv_bootstrap s = pv_bootstrap_mean(shifted, N, B, 42, 0.9);
    assert_near("shifted", s.low, b.low + 1, 1e-14);
    assert_near("shifted", s.std, b.std, 1e-10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_as_numpy),
        cmocka_unit_test(beta_as_scipy),
        cmocka_unit_test(paired_tests_as_scipy),
        cmocka_unit_test(missing_values),
        cmocka_unit_test(large_sums_lose_nothing),
        cmocka_unit_test(bootstrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
