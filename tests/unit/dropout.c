/* SPDX-License-Identifier: Apache-2.0
 * ops/norm.h dropout on the reference device: rates, the documented numbering of random numbers, the same mask
 * forward and backward, independence of how a batch is cut. Devices are compared with the reference by selftest. */
#include "unit.h"

#include <math.h>

#include "base/rng.h"
#include "ops/norm.h"

enum { N = 3, C = 22, X = 5, Y = 12, Z = 11, VOXELS = X * Y * Z, COUNT = N * C * VOXELS };
static const int side[] = {X, Y, Z};

static pv_dev *dev;
static pv_tape *tape;

static int set_up(void **state)
{
    (void)state;
    dev = pv_dev_open("ref:0", NULL);
    tape = dev ? pv_tape_new(dev) : NULL;
    return tape ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    pv_tape_free(&tape);
    pv_dev_close(&dev);
    return 0;
}

static void at(uint64_t seed, uint64_t step, uint32_t pass)
{
    tape->seed = seed;
    tape->step = step;
    tape->first_sample = 0;
    pv_tape_pass(tape, pass);
}

static pv_tensor *ones(int n)
{
    pv_tensor *x = pv_tensor_new(dev, pv_blocked(3, n, C, side), PV_F32);
    double *v = pv_ref_data(x);
    for (int i = 0; i < n * C * VOXELS; i++)
        v[i] = 1;
    x->needs_grad = true;
    return x;
}

static pv_tensor *drop(pv_tensor *x, enum pv_drop_kind kind, float p)
{
    pv_tensor *y = kind == PV_DROP_CHANNEL ? pv_dropout_channel(tape, x, p) : pv_dropout_element(tape, x, p);
    assert_non_null(y);
    return y;
}

/* What dropout makes of ones; the tape's counters go on. */
static double *mask(int n, enum pv_drop_kind kind, float p)
{
    pv_tensor *x = ones(n), *y = drop(x, kind, p);
    double *m = pv_array(double, n * C * VOXELS);
    memcpy(m, pv_ref_data(y), sizeof *m * (size_t)(n * C * VOXELS));
    pv_tape_clear(tape);
    pv_tensor_put(&x);
    pv_tensor_put(&y);
    return m;
}

static void rates(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        const float p = (float[]){0.5f, 0.3f, 0.05f}[i];
        double keep = 1 - (double)p, kept = 0, sum = 0, trials = 0, maps = 0;
        for (int pass = 0; pass < 20; pass++) {
            at(5, 7, (uint32_t)pass);
            double *e = mask(N, PV_DROP_ELEMENT, p), *c = mask(N, PV_DROP_CHANNEL, p);
            for (int j = 0; j < COUNT; j++) {
                assert_true(e[j] == 0 || fabs(e[j] * keep - 1) < 1e-6);
                assert_true(c[j] == c[j / VOXELS * VOXELS]);
                kept += e[j] > 0;
                sum += e[j];
                maps += c[j] > 0 && j % VOXELS == 0;
                trials++;
            }
            pv_free(e);
            pv_free(c);
        }
        double sigma = sqrt(p * keep / trials);
        assert_true(fabs(kept / trials - keep) < 5 * sigma);
        assert_true(fabs(sum / trials - 1) < 5 * sigma / keep);
        trials /= VOXELS;
        assert_true(fabs(maps / trials - keep) < 5 * sqrt(p * keep / trials));
    }
}

static void numbering(void **state)
{
    (void)state;
    const uint64_t seed = 0x123456789abcdef0ull;
    at(seed, 0x300000011ull, 9);
    tape->first_sample = 1000;
    tape->layer = 4;
    double *e = mask(N, PV_DROP_ELEMENT, 0.25f), *c = mask(N, PV_DROP_CHANNEL, 0.25f);
    assert_int_equal(tape->layer, 6);
    for (int j = 0; j < COUNT; j++) {
        int n = j / VOXELS / C, ch = j / VOXELS % C, v = j % VOXELS;
        uint32_t key[] = {0x9abcdef0u, 0x12345678u}, r[4];
        uint32_t ctr[] = {0x11, 9u << 16 | 4, 1000u + (uint32_t)n, (uint32_t)(v * ((C + 3) / 4) + ch / 4)};
        pv_philox(r, ctr, key);
        assert_int_equal(e[j] > 0, r[ch % 4] < 0xc0000000u);
        ctr[1] = 9u << 16 | 5;
        ctr[3] = (uint32_t)(ch / 4);
        pv_philox(r, ctr, key);
        assert_int_equal(c[j] > 0, r[ch % 4] < 0xc0000000u);
    }
    pv_free(e);
    pv_free(c);
}

static bool equal(const double *a, const double *b, int n)
{
    return !memcmp(a, b, sizeof *a * (size_t)n);
}

static void keys(void **state)
{
    (void)state;
    for (int kind = PV_DROP_CHANNEL; kind <= PV_DROP_ELEMENT; kind++) {
        double *m[6];
        at(1, 1, 1);
        m[0] = mask(N, (enum pv_drop_kind)kind, 0.5f);
        m[1] = mask(N, (enum pv_drop_kind)kind, 0.5f);      /* the next layer */
        at(1, 1, 2);
        m[2] = mask(N, (enum pv_drop_kind)kind, 0.5f);
        at(1, 2, 1);
        m[3] = mask(N, (enum pv_drop_kind)kind, 0.5f);
        at(2, 1, 1);
        m[4] = mask(N, (enum pv_drop_kind)kind, 0.5f);
        at(1, 1, 1);
        m[5] = mask(N, (enum pv_drop_kind)kind, 0.5f);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(equal(m[i], m[5], COUNT), i == 0);
            assert_false(equal(m[i], m[i] + C * VOXELS, C * VOXELS));      /* samples differ */
        }
        /* the last two samples alone, as another rank would see them */
        at(1, 1, 1);
        tape->first_sample = 1;
        double *rest = mask(N - 1, (enum pv_drop_kind)kind, 0.5f);
        assert_true(equal(rest, m[0] + C * VOXELS, (N - 1) * C * VOXELS));
        pv_free(rest);
        for (int i = 0; i < 6; i++)
            pv_free(m[i]);
    }
}

/* The gradient of ones under a gradient of ones is the mask; the tape has moved on in between. */
static void backward(void **state)
{
    (void)state;
    for (int kind = PV_DROP_CHANNEL; kind <= PV_DROP_ELEMENT; kind++) {
        at(3, 4, 5);
        pv_tensor *x = ones(N), *dy = ones(N), *y = drop(x, (enum pv_drop_kind)kind, 0.4f);
        at(8, 8, 8);
        pv_backward_from(tape, 1, &y, &dy);
        assert_true(equal(pv_ref_data(x->grad), pv_ref_data(y), COUNT));
        pv_tensor_put(&x);
        pv_tensor_put(&y);
        pv_tensor_put(&dy);
    }
}

static void limits(void **state)
{
    (void)state;
    at(1, 1, 1);
    pv_tensor *x = ones(N), *y = drop(x, PV_DROP_ELEMENT, 0);
    assert_ptr_equal(x, y);
    pv_tensor_put(&y);
    double *m = mask(N, PV_DROP_ELEMENT, 1), *c = mask(N, PV_DROP_CHANNEL, 1);
    for (int j = 0; j < COUNT; j++)
        assert_true(m[j] == 0 && c[j] == 0);
    UNIT_FAILS(PV_FAULT_INTERNAL, "probability", assert_null(pv_dropout_element(tape, x, 1.5f)));
    UNIT_FAILS(PV_FAULT_INTERNAL, "probability", assert_null(pv_dropout_channel(tape, x, -0.5f)));
    UNIT_FAILS(PV_FAULT_INTERNAL, "probability", assert_null(pv_dropout_channel(tape, x, NAN)));
    pv_free(m);
    pv_free(c);
    pv_tensor_put(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rates), cmocka_unit_test(numbering), cmocka_unit_test(keys),
                                       cmocka_unit_test(backward), cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
