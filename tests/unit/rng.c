/* SPDX-License-Identifier: Apache-2.0
 * rng.h: published vectors of Philox, and the distributions by their moments. Seeds are fixed, so a
 * bound that holds once holds always. */
#include "unit.h"

#include <math.h>

#include "base/rng.h"

/* kat_vectors of Random123 1.14: counter, key, result of philox4x32 with 10 rounds */
static void known_answers(void **state)
{
    static const uint32_t kat[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
         0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
         0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        pv_philox(out, kat[i], kat[i] + 4);
        assert_memory_equal(out, kat[i] + 6, sizeof out);
        uint32_t in_place[4];
        memcpy(in_place, kat[i], sizeof in_place);
        pv_philox(in_place, in_place, kat[i] + 4);
        assert_memory_equal(in_place, kat[i] + 6, sizeof out);
    }
}

/* A sequence is the counter (n / 4, stream), lane by lane; checkpoints hold n alone. */
static void sequence_is_the_counter(void **state)
{
    const uint64_t seed = 0x0123456789abcdefull, stream = 0xfedcba9876543210ull;
    struct pv_rng r = pv_rng_make(seed, stream);
    const uint32_t key[2] = {0x89abcdef, 0x01234567};
    for (uint32_t n = 0; n < 40; n++) {
        const uint32_t ctr[4] = {n / 4, 0, 0x76543210, 0xfedcba98};
        uint32_t out[4];
        pv_philox(out, ctr, key);
        assert_int_equal(pv_rng_u32(&r), out[n % 4]);
    }
    struct pv_rng again = pv_rng_make(seed, stream);
    again.n = r.n;
    assert_int_equal(pv_rng_u32(&again), pv_rng_u32(&r));
    r.n = 4ull << 32 | 1;
    const uint32_t far[4] = {0, 1, 0x76543210, 0xfedcba98};
    uint32_t out[4];
    pv_philox(out, far, key);
    assert_int_equal(pv_rng_u32(&r), out[1]);
}

static void streams_differ(void **state)
{
    uint64_t s[] = {pv_stream("crop", 0, 0), pv_stream("crop", 0, 1), pv_stream("crop", 1, 0),
                    pv_stream("drop", 0, 0), pv_stream("cro", 0, 0)};
    for (size_t i = 0; i < PV_COUNT(s); i++)
        for (size_t k = 0; k < i; k++)
            assert_true(s[i] != s[k]);
    /* pinned: a change of this value changes every run */
    assert_true(pv_stream("crop", 3, 5) == 0xadf170b65ce79e44ull);
    /* half the bits differ between neighbours */
    int bits = 0;
    for (uint64_t i = 0; i < 256; i++)
        for (uint64_t d = pv_stream("x", i, 0) ^ pv_stream("x", i + 1, 0); d; d &= d - 1)
            bits++;
    assert_in_range(bits, 256 * 31, 256 * 33);
}

enum { DRAWS = 200000 };

static void uniform_and_normal(void **state)
{
    struct pv_rng r = pv_rng_make(1, 2);
    double sum = 0, sum2 = 0, least = 1, most = 0;
    for (int i = 0; i < DRAWS; i++) {
        double u = pv_rng_uniform(&r);
        sum += u;
        sum2 += u * u;
        least = fmin(least, u);
        most = fmax(most, u);
    }
    assert_true(least >= 0 && least < 1e-4 && most < 1 && most > 1 - 1e-4);
    assert_true(fabs(sum / DRAWS - 0.5) < 0.003);
    assert_true(fabs(sum2 / DRAWS - 1.0 / 3) < 0.003);

    double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
    uint64_t before = r.n;
    for (int i = 0; i < DRAWS; i++) {
        double z = pv_rng_normal(&r);
        assert_true(isfinite(z));
        m1 += z;
        m2 += z * z;
        m3 += z * z * z;
        m4 += z * z * z * z;
    }
    assert_true(r.n - before == 2 * (uint64_t)DRAWS);
    assert_true(fabs(m1 / DRAWS) < 0.01);
    assert_true(fabs(m2 / DRAWS - 1) < 0.015);
    assert_true(fabs(m3 / DRAWS) < 0.04);
    assert_true(fabs(m4 / DRAWS - 3) < 0.1);
}

static void below_is_unbiased(void **state)
{
    struct pv_rng r = pv_rng_make(3, 4);
    int count[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint32_t v = pv_rng_below(&r, 7);
        assert_true(v < 7);
        count[v]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 7; i++)
        chi2 += pow(count[i] - 10000, 2) / 10000;
    assert_true(chi2 < 22.5);           /* 6 degrees of freedom: 0.1 % */
    assert_int_equal(pv_rng_below(&r, 1), 0);
    /* Of 3 * 2^30 values a modulo would favour the first third, a product without rejection every
     * third: 1/2 instead of 1/3. */
    int first = 0, third = 0;
    for (int i = 0; i < 30000; i++) {
        uint32_t v = pv_rng_below(&r, 3u << 30);
        first += v < 1u << 30;
        third += v % 3 == 0;
    }
    assert_in_range(first, 9700, 10300);
    assert_in_range(third, 9700, 10300);
    uint32_t high = 0;
    for (int i = 0; i < 1000; i++)
        high |= pv_rng_below(&r, UINT32_MAX);
    assert_true(high > 0xf0000000u);
}

static void beta_moments(void **state)
{
    static const double ab[][2] = {{0.2, 0.2}, {1, 1}, {2, 5}, {0.5, 3}, {30, 40}, {1e-3, 1e-3}};
    for (size_t k = 0; k < PV_COUNT(ab); k++) {
        double a = ab[k][0], b = ab[k][1], sum = 0, sum2 = 0;
        struct pv_rng r = pv_rng_make(5, k);
        for (int i = 0; i < DRAWS / 4; i++) {
            double v = pv_rng_beta(&r, a, b);
            assert_true(v >= 0 && v <= 1);
            sum += v;
            sum2 += v * v;
        }
        double mean = sum / (DRAWS / 4), var = sum2 / (DRAWS / 4) - mean * mean;
        double true_var = a * b / ((a + b) * (a + b) * (a + b + 1));
        assert_true(fabs(mean - a / (a + b)) < 6 * sqrt(true_var / (DRAWS / 4)));
        assert_true(fabs(var / true_var - 1) < 0.05);
    }
}

static void shuffle_is_fair(void **state)
{
    struct pv_rng r = pv_rng_make(7, 8);
    int orders[6] = {0};
    for (int i = 0; i < 60000; i++) {
        int v[3] = {0, 1, 2};
        pv_rng_shuffle(&r, v, 3);
        assert_int_equal((1 << v[0]) + (1 << v[1]) + (1 << v[2]), 7);
        orders[v[0] * 2 + (v[1] > v[2])]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 6; i++)
        chi2 += pow(orders[i] - 10000, 2) / 10000;
    assert_true(chi2 < 20.5);           /* 5 degrees of freedom: 0.1 % */
    pv_rng_shuffle(&r, NULL, 0);
    int one = 9;
    pv_rng_shuffle(&r, &one, 1);
    assert_int_equal(one, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(sequence_is_the_counter),
        cmocka_unit_test(streams_differ),
        cmocka_unit_test(uniform_and_normal),
        cmocka_unit_test(below_is_unbiased),
        cmocka_unit_test(beta_moments),
        cmocka_unit_test(shuffle_is_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
