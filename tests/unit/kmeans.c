/* SPDX-License-Identifier: Apache-2.0
 * kmeans.h: separated blobs are found, each centre is the mean of its points, degenerate inputs. */
#include "unit.h"

#include <math.h>

#include "base/base.h"
#include "method/kmeans.h"

enum { D = 4, EACH = 50 };

static void blobs(void **state)
{
    static const float mid[3][D] = {{5, 0, 0, -3}, {-4, 6, 0, 1}, {0, -5, 7, 2}};
    struct pv_rng rng = pv_rng_make(3, 1);
    float x[3 * EACH * D];
    double mean[3][D] = {{0}}, c[3 * D];
    for (int i = 0; i < 3 * EACH; i++)
        for (int k = 0; k < D; k++) {
            x[i * D + k] = mid[i % 3][k] + (float)(2 * pv_rng_uniform(&rng) - 1);
            mean[i % 3][k] += x[i * D + k] / (double)EACH;
        }
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct pv_rng draw = pv_rng_make(seed, 2);
        assert_true(pv_kmeans(x, 3 * EACH, D, 3, 100, &draw, c));
        for (int j = 0; j < 3; j++) {
            double best = HUGE_VAL;
            for (int i = 0; i < 3; i++) {
                double e = 0;
                for (int k = 0; k < D; k++)
                    e += fabs(c[i * D + k] - mean[j][k]);
                best = fmin(best, e);
            }
            assert_true(best < 1e-9);
        }
    }
}

static void same_draws(void **state)
{
    struct pv_rng rng = pv_rng_make(5, 1), a = pv_rng_make(7, 1), b = pv_rng_make(7, 1);
    float x[200 * D];
    double ca[5 * D], cb[5 * D];
    for (int i = 0; i < 200 * D; i++)
        x[i] = (float)pv_rng_uniform(&rng);
    assert_true(pv_kmeans(x, 200, D, 5, 100, &a, ca));
    assert_true(pv_kmeans(x, 200, D, 5, 100, &b, cb));
    assert_memory_equal(ca, cb, sizeof ca);
}

static void few_points(void **state)
{
    const float x[] = {1, 2, 1, 2, 4, 4};
    double c[3 * 2] = {9, 9, 9, 9, 9, 9};
    struct pv_rng rng = pv_rng_make(1, 1);
    assert_false(pv_kmeans(x, 0, 2, 3, 100, &rng, c));
    assert_true(c[0] == 9 && c[5] == 9);
    assert_true(pv_kmeans(x, 3, 2, 3, 100, &rng, c));      /* two distinct points for three centres */
    int first = 0, second = 0;
    for (int j = 0; j < 3; j++) {
        first += c[2 * j] == 1 && c[2 * j + 1] == 2;
        second += c[2 * j] == 4 && c[2 * j + 1] == 4;
    }
    assert_true(first > 0 && second > 0 && first + second == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blobs), cmocka_unit_test(same_draws),
                                       cmocka_unit_test(few_points)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
