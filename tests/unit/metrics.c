/* SPDX-License-Identifier: Apache-2.0
 * eval/metrics.h against medpy (golden/make_metrics.py) and, for the distances, all pairs of voxels; the
 * conventions for empty masks; regions, ignored labels, largest components; pseudo.h and qscore.h. */
#include "unit.h"

#include <math.h>

#include "base/rng.h"
#include "base/safetensors.h"
#include "eval/metrics.h"
#include "eval/pseudo.h"
#include "eval/qscore.h"
#include "eval/surface.h"

static void assert_near(const char *what, double got, double wanted, double tolerance)
{
    if (isnan(wanted) ? isnan(got) : fabs(got - wanted) <= tolerance * fmax(fabs(wanted), 1e-3))
        return;
    fail_msg("%s: %.17g instead of %.17g", what, got, wanted);
}

/* ---- medpy ---- */

enum { NUM_EXPECTED = 13 };
static const int expected_order[] = {PV_DICE, PV_JACCARD, PV_HD95, PV_ASD, PV_ASSD, PV_HD, PV_NSD, PV_SENSITIVITY,
                                     PV_PRECISION, PV_RAVD};

static const struct pv_st_tensor *find(pv_st_file *f, const char *name, const char *part)
{
    char *key = pv_asprintf("%s.%s", name, part);
    const struct pv_st_tensor *t = pv_st_find(f, key);
    if (!t)
        fail_msg("no %s in the golden file", key);
    pv_free(key);
    return t;
}

/* The labels from their bit planes; pv_free it. */
static uint8_t *labels(pv_st_file *f, const char *name, const char *part, size_t n)
{
    const struct pv_st_tensor *t = find(f, name, part);
    size_t bytes = (n + 7) / 8;
    assert_int_equal(t->shape[1], bytes);
    uint8_t *planes = pv_alloc(t->bytes), *v = pv_array(uint8_t, n);
    assert_true(pv_st_read_raw(f, t, planes));
    for (int64_t k = 0; k < t->shape[0]; k++)
        for (size_t i = 0; i < n; i++)
            v[i] |= (uint8_t)((planes[(size_t)k * bytes + i / 8] >> i % 8 & 1) << k);
    for (size_t i = 0; i < n; i++)
        v[i] = v[i] == 7 ? 255 : v[i];
    pv_free(planes);
    return v;
}

static void compare_to_medpy(pv_st_file *f, const char *name)
{
    int s[3];
    double spacing[3], expect[2 * 8 * NUM_EXPECTED];
    const struct pv_st_tensor *t = find(f, name, "expect");
    int num = (int)t->shape[1];
    assert_in_range(t->bytes, 1, sizeof expect);
    assert_true(pv_st_read_f64(f, t, expect));
    assert_true(pv_st_read_i32(f, find(f, name, "size"), s));
    assert_true(pv_st_read_f64(f, find(f, name, "spacing"), spacing));
    size_t n = (size_t)(s[0] * s[1] * s[2]);
    uint8_t *pred = labels(f, name, "pred", n), *ref = labels(f, name, "ref", n);
    for (int mm = 0; mm < 2; mm++) {
        struct pv_eval_params p = pv_eval_defaults(num + 1);
        struct pv_case_metrics c;
        p.units = mm ? PV_UNITS_MM : PV_UNITS_VOXEL;
        p.empty = PV_EMPTY_NAN;
        p.flat = pv_starts(name, "flat");
        assert_true(pv_evaluate_pair(pred, ref, s, spacing, &p, &c));
        assert_int_equal(c.num_scored, num);
        for (int k = 0; k < num; k++) {
            const double *e = expect + (mm * num + k) * NUM_EXPECTED;
            for (size_t i = 0; i < PV_COUNT(expected_order); i++) {
                char *what = pv_asprintf("%s class %d %s in %s", name, k + 1, pv_metrics[expected_order[i]].name,
                                         mm ? "mm" : "voxels");
                /* the same sums in another order */
                assert_near(what, c.m[k].v[expected_order[i]], e[i], 1e-9);
                pv_free(what);
            }
            assert_int_equal(c.m[k].tp, e[10]);
            assert_int_equal(c.m[k].fp, e[11]);
            assert_int_equal(c.m[k].fn, e[12]);
            assert_int_equal(c.m[k].tp + c.m[k].fp + c.m[k].fn + c.m[k].tn + c.num_ignored, n);
            double voxel = mm ? spacing[0] * spacing[1] * spacing[2] : 1;
            assert_near("volume", c.m[k].v[PV_VOLUME_PRED], (e[10] + e[11]) * voxel, 1e-12);
            assert_near("volume", c.m[k].v[PV_VOLUME_REF], (e[10] + e[12]) * voxel, 1e-12);
        }
        assert_true(c.num_unknown_pred == 0 && c.num_unknown_ref == 0);
        assert_true((c.num_ignored > 0) == pv_streq(name, "ignored"));
        pv_case_metrics_free(&c);
    }
    pv_free(pred);
    pv_free(ref);
}

static void as_medpy(void **state)
{
    char *path = pv_path_join(pv_env("PV_GOLDEN"), "metrics_eval.safetensors");
    pv_st_file *f = pv_st_open(path);
    assert_non_null(f);
    int cases = 0;
    for (size_t i = 0; i < pv_st_count(f); i++) {
        const char *name = pv_st_at(f, i)->name;
        if (!pv_ends(name, ".size"))
            continue;
        char *stem = pv_strdup(name);
        stem[strlen(stem) - strlen(".size")] = '\0';
        compare_to_medpy(f, stem);
        pv_free(stem);
        cases++;
    }
    assert_true(cases >= 20);
    pv_st_close(&f);
    pv_free(path);
}

/* ---- all pairs ---- */

static size_t at3(const int s[3], const int p[3])
{
    return ((size_t)p[0] * (size_t)s[1] + (size_t)p[1]) * (size_t)s[2] + (size_t)p[2];
}

static bool on_surface(const uint8_t *m, const int s[3], const int p[3], unsigned bit, const bool eroded[3])
{
    if (!(m[at3(s, p)] & bit))
        return false;
    for (int a = 0; a < 3; a++) {
        for (int step = -1; step <= 1; step += 2) {
            int q[3] = {p[0], p[1], p[2]};
            q[a] += step;
            if (eroded[a] && (q[a] < 0 || q[a] >= s[a] || !(m[at3(s, q)] & bit)))
                return true;
        }
    }
    return false;
}

/* Positions of the surface, in scan order; pv_free it. */
static int (*surface_of(const uint8_t *m, const int s[3], unsigned bit, const bool eroded[3], size_t *n))[3]
{
    int (*list)[3] = pv_alloc(sizeof *list * (size_t)(s[0] * s[1] * s[2]));
    *n = 0;
    for (int x = 0; x < s[0]; x++) {
        for (int y = 0; y < s[1]; y++) {
            for (int z = 0; z < s[2]; z++) {
                const int p[3] = {x, y, z};
                if (on_surface(m, s, p, bit, eroded))
                    memcpy(list[(*n)++], p, sizeof p);
            }
        }
    }
    return list;
}

static void compare_directed(int (*a)[3], size_t na, int (*b)[3], size_t nb, const double w[3], const double *got,
                             size_t num_got)
{
    assert_int_equal(num_got, na);
    for (size_t i = 0; i < na; i++) {
        double best = HUGE_VAL;
        for (size_t k = 0; k < nb; k++) {
            double d2 = 0;
            for (int c = 0; c < 3; c++)
                d2 += pow(w[c] * (a[i][c] - b[k][c]), 2);
            best = fmin(best, d2);
        }
        if (isinf(best))
            assert_true(isinf(got[i]));
        else
            assert_near("distance", got[i], sqrt(best), 1e-12);
    }
}

static void distances_as_all_pairs(void **state)
{
    static const double densities[] = {0, 0.001, 0.01, 0.1, 0.4, 0.9, 1};
    for (uint64_t k = 0; k < 400; k++) {
        struct pv_rng r = pv_rng_make(11, k);
        int s[3];
        double w[3];
        bool eroded[3];
        for (int a = 0; a < 3; a++) {
            s[a] = 1 + (int)pv_rng_below(&r, k % 5 == 0 ? 2 : 14);
            w[a] = k % 3 == 0 ? 1 : 0.1 + 5 * pv_rng_uniform(&r) * pv_rng_uniform(&r);
            eroded[a] = k % 4 != 0 || s[a] > 1;
        }
        size_t n = (size_t)(s[0] * s[1] * s[2]), na, nb;
        uint8_t *m = pv_array(uint8_t, n);
        double da = densities[pv_rng_below(&r, PV_COUNT(densities))];
        double db = densities[pv_rng_below(&r, PV_COUNT(densities))];
        for (size_t i = 0; i < n; i++)
            m[i] = (uint8_t)((pv_rng_uniform(&r) < da ? PV_IN_A : 0) | (pv_rng_uniform(&r) < db ? PV_IN_B : 0)
                             | 240);
        int (*a)[3] = surface_of(m, s, PV_IN_A, eroded, &na), (*b)[3] = surface_of(m, s, PV_IN_B, eroded, &nb);
        struct pv_surface_dist d;
        assert_true(pv_surface_distances(m, s, w, eroded, &d));
        compare_directed(a, na, b, nb, w, d.ab, d.num_ab);
        compare_directed(b, nb, a, na, w, d.ba, d.num_ba);
        pv_surface_dist_free(&d);
        pv_free(a);
        pv_free(b);
        pv_free(m);
    }
}

/* ---- conventions ---- */

static const int cube[3] = {4, 5, 6};
enum { CUBE = 4 * 5 * 6 };

static struct pv_metrics score(const uint8_t *pred, const uint8_t *ref, const struct pv_eval_params *p)
{
    const double spacing[3] = {1, 2, 3};
    struct pv_case_metrics c;
    assert_true(pv_evaluate_pair(pred, ref, cube, spacing, p, &c));
    struct pv_metrics m = c.m[0];
    pv_case_metrics_free(&c);
    return m;
}

static void empty_masks(void **state)
{
    uint8_t none[CUBE] = {0}, some[CUBE] = {[50] = 1, [51] = 1};
    double diagonal = sqrt(16 + 25 + 36), diagonal_mm = sqrt(16 + 100 + 18 * 18);
    struct { enum pv_empty empty; double one_share, both_share, one_far, both_far; } rules[] = {
        {PV_EMPTY_MEDPY, 0, 0, 0, 0}, {PV_EMPTY_STRICT, 0, 1, diagonal, 0}, {PV_EMPTY_NAN, 0, NAN, NAN, NAN}};
    for (size_t i = 0; i < PV_COUNT(rules); i++) {
        struct pv_eval_params p = pv_eval_defaults(2);
        p.empty = rules[i].empty;
        struct pv_metrics m[] = {score(none, some, &p), score(some, none, &p), score(none, none, &p)};
        for (int k = 0; k < 3; k++) {
            double share = k < 2 ? rules[i].one_share : rules[i].both_share;
            double far = k < 2 ? rules[i].one_far : rules[i].both_far;
            assert_near("dice", m[k].v[PV_DICE], share, 1e-12);
            assert_near("jaccard", m[k].v[PV_JACCARD], share, 1e-12);
            assert_near("nsd", m[k].v[PV_NSD], share, 1e-12);
            assert_near("hd95", m[k].v[PV_HD95], far, 1e-12);
            assert_near("asd", m[k].v[PV_ASD], far, 1e-12);
            assert_near("assd", m[k].v[PV_ASSD], far, 1e-12);
            assert_near("hd", m[k].v[PV_HD], far, 1e-12);
            assert_true(m[k].pred_empty == (k != 1) && m[k].ref_empty == (k != 0));
        }
        double undefined = rules[i].empty == PV_EMPTY_NAN ? NAN : 0;
        assert_near("sensitivity", m[0].v[PV_SENSITIVITY], 0, 1e-12);
        assert_near("precision", m[0].v[PV_PRECISION], undefined, 1e-12);
        assert_near("sensitivity", m[1].v[PV_SENSITIVITY], undefined, 1e-12);
        assert_near("precision", m[1].v[PV_PRECISION], 0, 1e-12);
        assert_near("sensitivity", m[2].v[PV_SENSITIVITY], rules[i].both_share, 1e-12);
        assert_near("precision", m[2].v[PV_PRECISION], rules[i].both_share, 1e-12);
        assert_near("ravd", m[0].v[PV_RAVD], -1, 1e-12);
        assert_near("ravd", m[1].v[PV_RAVD], NAN, 1e-12);
        assert_near("ravd", m[2].v[PV_RAVD], rules[i].empty == PV_EMPTY_STRICT ? 0 : NAN, 1e-12);
        assert_near("volume", m[1].v[PV_VOLUME_PRED], 2, 1e-12);
        assert_near("volume", m[1].v[PV_VOLUME_REF], 0, 1e-12);
    }
    struct pv_eval_params p = pv_eval_defaults(2);
    p.empty = PV_EMPTY_STRICT;
    p.units = PV_UNITS_MM;
    assert_near("hd95 in mm", score(none, some, &p).v[PV_HD95], diagonal_mm, 1e-12);
}

static void tolerance_and_wanted(void **state)
{
    /* two voxels 2 apart along y */
    uint8_t a[CUBE] = {[6] = 1}, b[CUBE] = {[18] = 1};
    struct pv_eval_params p = pv_eval_defaults(2);
    assert_near("nsd", score(a, b, &p).v[PV_NSD], 0, 1e-12);
    p.tolerance = 2;
    assert_near("nsd", score(a, b, &p).v[PV_NSD], 1, 1e-12);
    p.units = PV_UNITS_MM;
    assert_near("nsd", score(a, b, &p).v[PV_NSD], 0, 1e-12);
    p.tolerance = 4;
    assert_near("nsd", score(a, b, &p).v[PV_NSD], 1, 1e-12);
    p.wanted = 1u << PV_DICE | 1u << PV_HD;
    struct pv_metrics m = score(a, b, &p);
    for (int i = 0; i < PV_NUM_METRICS; i++)
        assert_true(isnan(m.v[i]) == (i != PV_DICE && i != PV_HD));
    assert_near("hd", m.v[PV_HD], 4, 1e-12);
    p.wanted = 1u << PV_DICE;
    assert_near("dice", score(a, b, &p).v[PV_DICE], 0, 1e-12);
}

static void regions_are_merged_labels(void **state)
{
    uint8_t pred[CUBE], ref[CUBE], merged_pred[CUBE], merged_ref[CUBE];
    struct pv_rng r = pv_rng_make(5, 6);
    for (int i = 0; i < CUBE; i++) {
        pred[i] = (uint8_t)pv_rng_below(&r, 5);
        ref[i] = (uint8_t)pv_rng_below(&r, 5);
        merged_pred[i] = pred[i] == 1 || pred[i] == 4;
        merged_ref[i] = ref[i] == 1 || ref[i] == 4;
    }
    const struct pv_region whole[] = {pv_region_of((const int[]){1, 4}, 2), pv_region_of((const int[]){2}, 1)};
    assert_string_equal(whole[0].name, "(1, 4)");
    assert_string_equal(whole[1].name, "2");
    struct pv_eval_params p = pv_eval_defaults(2), plain = pv_eval_defaults(2);
    p.regions = whole;
    p.num_regions = 2;
    struct pv_case_metrics c;
    assert_true(pv_evaluate_pair(pred, ref, cube, NULL, &p, &c));
    struct pv_metrics wanted = score(merged_pred, merged_ref, &plain);
    assert_int_equal(c.num_scored, 2);
    assert_memory_equal(c.m[0].v, wanted.v, sizeof wanted.v);
    size_t threes = 0, threes_ref = 0;
    for (int i = 0; i < CUBE; i++) {
        threes += pred[i] == 3;
        threes_ref += ref[i] == 3;
    }
    assert_int_equal(c.num_unknown_pred, threes);
    assert_int_equal(c.num_unknown_ref, threes_ref);
    pv_case_metrics_free(&c);
    int many[100];
    for (int i = 0; i < 100; i++)
        many[i] = i;
    struct pv_region all = pv_region_of(many, 100);
    assert_int_equal(strlen(all.name), sizeof all.name - 1);
    assert_true(pv_starts(all.name, "(0, 1, 2, ") && pv_ends(all.name, "..."));
}

static void largest_component_of_the_prediction(void **state)
{
    /* label 1: two voxels and, apart, one; label 2: one voxel that touches both */
    uint8_t pred[CUBE] = {[0] = 1, [1] = 1, [3] = 1, [2] = 2}, ref[CUBE] = {[0] = 1, [1] = 1, [2] = 2};
    struct pv_eval_params p = pv_eval_defaults(3);
    struct pv_case_metrics c;
    assert_true(pv_evaluate_pair(pred, ref, cube, NULL, &p, &c));
    assert_int_equal(c.m[0].fp, 1);
    pv_case_metrics_free(&c);
    p.largest = 26;
    assert_true(pv_evaluate_pair(pred, ref, cube, NULL, &p, &c));
    assert_int_equal(c.m[0].fp, 0);
    assert_int_equal(c.m[0].tp, 2);
    assert_int_equal(c.m[1].tp, 1);
    assert_near("hd95", c.m[0].v[PV_HD95], 0, 1e-12);
    pv_case_metrics_free(&c);
    p.largest = 5;
    UNIT_FAILS(PV_FAULT_USAGE, "no neighbourhood of 5",
               assert_false(pv_evaluate_pair(pred, ref, cube, NULL, &p, &c)));
    pv_case_metrics_free(&c);
}

static void refusals(void **state)
{
    uint8_t v[CUBE] = {0};
    const double zero[3] = {1, 0, 1};
    const int no_size[3] = {4, 0, 6};
    struct pv_case_metrics c;
    struct pv_eval_params p = pv_eval_defaults(1);
    UNIT_FAILS(PV_FAULT_USAGE, "1 classes", assert_false(pv_evaluate_pair(v, v, cube, zero, &p, &c)));
    p = pv_eval_defaults(256);
    UNIT_FAILS(PV_FAULT_USAGE, "2 to 255", assert_false(pv_evaluate_pair(v, v, cube, zero, &p, &c)));
    p.ignore = -1;
    assert_true(pv_evaluate_pair(v, v, cube, zero, &p, &c));
    pv_case_metrics_free(&c);
    p = pv_eval_defaults(4);
    p.ignore = 3;
    UNIT_FAILS(PV_FAULT_USAGE, "label 3", assert_false(pv_evaluate_pair(v, v, cube, zero, &p, &c)));
    p.ignore = 256;
    UNIT_FAILS(PV_FAULT_USAGE, "256", assert_false(pv_evaluate_pair(v, v, cube, zero, &p, &c)));
    p = pv_eval_defaults(2);
    p.tolerance = -1;
    UNIT_FAILS(PV_FAULT_USAGE, "tolerance", assert_false(pv_evaluate_pair(v, v, cube, zero, &p, &c)));
    p = pv_eval_defaults(2);
    UNIT_FAILS(PV_FAULT_INPUT, "4 x 0 x 6", assert_false(pv_evaluate_pair(v, v, no_size, zero, &p, &c)));
    p.units = PV_UNITS_MM;
    UNIT_FAILS(PV_FAULT_INPUT, "axis y is 0", assert_false(pv_evaluate_pair(v, v, cube, zero, &p, &c)));
    UNIT_FAILS(PV_FAULT_INPUT, "axis x", assert_false(pv_evaluate_pair(v, v, cube, NULL, &p, &c)));
    assert_int_equal(pv_metric_find("hd95"), PV_HD95);
    UNIT_FAILS(PV_FAULT_USAGE, "'dice'?", assert_int_equal(pv_metric_find("dise"), -1));
    for (int i = 0; i < PV_NUM_METRICS; i++)
        assert_int_equal(pv_metric_find(pv_metrics[i].name), i);
}

/* ---- pseudo labels and matching score ---- */

static void pseudo_labels(void **state)
{
    const float confidence[] = {0.9f, 0.6f, 0.5f, 0.99f, 0.8f, NAN, 0.95f, 0.7f};
    const uint8_t pred[] = {1, 1, 1, 0, 2, 1, 0, 1}, ref[] = {1, 0, 1, 0, 2, 1, 255, 2};
    struct pv_pseudo q = pv_pseudo_quality(confidence, 0.5, pred, ref, 8, 4, 255);
    assert_int_equal(q.num_voxels, 7);
    assert_int_equal(q.num_kept, 5);        /* 0.5 does not exceed 0.5 */
    assert_near("kept", q.kept, 5.0 / 7, 1e-12);
    assert_near("accuracy", q.accuracy, 3.0 / 5, 1e-12);
    assert_near("dice 0", q.dice[0], 2.0 / 3, 1e-12);
    assert_near("dice 1", q.dice[1], 2.0 / 4, 1e-12);
    assert_near("dice 2", q.dice[2], 2.0 / 3, 1e-12);
    assert_true(isnan(q.dice[3]));
    assert_near("mean", q.mean_dice, (0.5 + 2.0 / 3) / 2, 1e-12);
    q = pv_pseudo_quality(confidence, 1, pred, ref, 8, 4, 255);
    assert_true(q.kept == 0 && isnan(q.accuracy) && isnan(q.mean_dice));
    q = pv_pseudo_quality(confidence, 1, pred, ref, 0, 4, 255);
    assert_true(isnan(q.kept));
}

static void matching_score(void **state)
{
    /* [volume][class][channel] */
    const float labelled[2][2][2] = {{{0, 0}, {1, 2}}, {{1, 0}, {NAN, 0}}};
    const float unlabelled[3][2][2] = {{{0, 0}, {1, 1}}, {{0, 2}, {NAN, NAN}}, {{1, 1}, {3, 2}}};
    double per_class[2];
    double q = pv_matching_score(&labelled[0][0][0], 2, &unlabelled[0][0][0], 3, 2, 2, per_class);
    double first = (1 + exp(-4) + exp(-2) + exp(-1) + exp(-5) + exp(-1)) / 6, second = (exp(-1) + exp(-4)) / 2;
    assert_near("class 0", per_class[0], first, 1e-12);
    assert_near("class 1", per_class[1], second, 1e-12);
    assert_near("Q", q, (first + second) / 2, 1e-12);
    q = pv_matching_score(&labelled[1][1][0], 1, &unlabelled[0][0][0], 1, 1, 2, per_class);
    assert_true(isnan(q) && isnan(per_class[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_medpy),
        cmocka_unit_test(distances_as_all_pairs),
        cmocka_unit_test(empty_masks),
        cmocka_unit_test(tolerance_and_wanted),
        cmocka_unit_test(regions_are_merged_labels),
        cmocka_unit_test(largest_component_of_the_prediction),
        cmocka_unit_test(refusals),
        cmocka_unit_test(pseudo_labels),
        cmocka_unit_test(matching_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
