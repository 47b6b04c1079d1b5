/* SPDX-License-Identifier: Apache-2.0
 * ops/resize.h, ops/shape.h and ops/gather.h on the reference device against PyTorch, OpenCV, SciPy and NumPy
 * (golden/make_shape.py); the distributions of ops/augment.h. */
#include "unit.h"

#include <math.h>

#include "base/safetensors.h"
#include "ops/augment.h"
#include "ops/gather.h"
#include "ops/resize.h"
#include "ops/shape.h"

static pv_st_file *file;
static pv_dev *dev;
static pv_tape *tape;

static const struct pv_st_tensor *entry(const char *name, int i, const char *key)
{
    char *full = pv_asprintf("%s%d.%s", name, i, key);
    const struct pv_st_tensor *t = pv_st_find(file, full);
    pv_free(full);
    return t;
}

static double *values(const struct pv_st_tensor *t)
{
    assert_non_null(t);
    double *v = pv_array(double, pv_st_len(t));
    assert_true(pv_st_read_f64(file, t, v));
    return v;
}

static pv_tensor *tensor(const char *name, int i, const char *key, int dims, bool blocked)
{
    const struct pv_st_tensor *t = entry(name, i, key);
    double *v = values(t);
    int s[] = {(int)t->shape[2], (int)t->shape[3], (int)t->shape[4]}, n = (int)t->shape[0], c = (int)t->shape[1];
    pv_tensor *x = pv_tensor_new(dev, blocked ? pv_blocked(dims, n, c, s) : pv_plain(dims, n, c, s), PV_F32);
    assert_non_null(x);
    pv_tensor_write_f64(x, v);
    pv_free(v);
    return x;
}

static void same(const char *name, int i, const char *key, pv_tensor *t, double tolerance)
{
    const struct pv_st_tensor *e = entry(name, i, key);
    double *want = values(e), *got = pv_array(double, pv_st_len(e));
    assert_non_null(t);
    assert_int_equal(pv_shape_count(&t->h), pv_st_len(e));
    assert_true(pv_tensor_read_f64(t, got));
    for (int64_t k = 0; k < pv_st_len(e); k++)
        if (!(fabs(got[k] - want[k]) <= tolerance))
            fail_msg("%s%d.%s element %d: %.9g, wanted %.9g", name, i, key, (int)k, got[k], want[k]);
    pv_free(want);
    pv_free(got);
}

/* Runs and walks back; `op` gets the wanted result for its size. */
static int with_gradients(const char *name, pv_tensor *(*op)(pv_tensor *x, const double *setup, const int s[3]),
                          bool blocked)
{
    int i = 0;
    for (; entry(name, i, "x"); i++) {
        double *setup = values(entry(name, i, "setup"));
        int dims = (int)setup[0];
        pv_tensor *x = tensor(name, i, "x", dims, blocked), *want = tensor(name, i, "y", dims, blocked);
        pv_tensor *dy = tensor(name, i, "dy", dims, blocked);
        x->needs_grad = true;
        pv_tensor *y = op(x, setup, want->h.s);
        same(name, i, "y", y, 1e-12);
        pv_backward_from(tape, 1, &y, &dy);
        same(name, i, "dx", x->grad, 1e-12);
        pv_tensor_put(&x);
        pv_tensor_put(&y);
        pv_tensor_put(&dy);
        pv_tensor_put(&want);
        pv_free(setup);
    }
    return i;
}

static pv_tensor *run_resize(pv_tensor *x, const double *setup, const int s[3])
{
    static const enum pv_resize modes[] = {PV_NEAREST, PV_LINEAR, PV_LINEAR_CORNERS};
    return pv_resize(tape, x, s, modes[(int)setup[1]]);
}

static pv_tensor *run_pool(pv_tensor *x, const double *setup, const int s[3])
{
    (void)setup;
    (void)s;
    return pv_max_pool(tape, x);
}

static void resize(void **state)
{
    (void)state;
    assert_int_equal(with_gradients("resize", run_resize, false), 21);
    assert_int_equal(with_gradients("resize", run_resize, true), 21);
}

static void pool(void **state)
{
    (void)state;
    assert_int_equal(with_gradients("pool", run_pool, true), 5);
}

/* Tolerances: nearest must be the same voxel; OpenCV rounds positions and weights to fp32. With an angle, positions
 * here are rounded to 2^-16 of a distance from the centre of at most 3 voxels, and values differ by up to about 5
 * from voxel to voxel. */
static void gather(void **state)
{
    (void)state;
    int i = 0;
    for (; entry("gather", i, "x"); i++) {
        double *setup = values(entry("gather", i, "setup")), *row = values(entry("gather", i, "params")), *r = row;
        int num = (int)entry("gather", i, "params")->shape[0], dims = (int)setup[0];
        struct pv_gather_params p[8] = {0};
        bool angle = false;
        for (int k = 0; k < num; k++, r += 11) {
            p[k] = (struct pv_gather_params){.sample = (int)r[0], .scaled = {(int)r[1], (int)r[2]},
                .angle = (float)r[3], .rot90 = (int)r[4], .flip = {r[5] != 0, r[6] != 0, r[7] != 0},
                .first = {(int)r[8], (int)r[9], (int)r[10]}};
            angle = angle || r[3] != 0;
        }
        pv_tensor *x = tensor("gather", i, "x", dims, false), *want = tensor("gather", i, "y", dims, false);
        pv_tensor *y = pv_gather(tape, x, num, p, want->h.s, (enum pv_gather_mode)setup[1],
                                 (enum pv_gather_border)setup[2], (float)setup[3]);
        same("gather", i, "y", y, setup[1] == 0 ? 0 : angle ? 5e-4 : 1e-5);
        pv_tensor_put(&x);
        pv_tensor_put(&y);
        pv_tensor_put(&want);
        pv_free(setup);
        pv_free(row);
    }
    assert_int_equal(i, 12);
}

enum { SIDE = 40, NUM = SIDE * SIDE * SIDE };

static double *read(pv_tensor *t, int64_t count)
{
    double *v = pv_array(double, count);
    assert_non_null(t);
    assert_true(pv_tensor_read_f64(t, v));
    pv_tensor_put(&t);
    return v;
}

/* Mean, variance, fourth moment and correlation with elements that share a counter or stand beside; limits are five
 * standard errors. */
static void noise(void **state)
{
    (void)state;
    const int s[] = {SIDE, SIDE, SIDE};
    pv_tensor *x = pv_tensor_zeros(dev, pv_plain(3, 2, 1, s), PV_F32);
    double *v = read(pv_noise(tape, x, 1, 100), 2 * NUM), m[5] = {0}, with[5] = {0};
    static const int lags[] = {1, 16, 32, 48, 64};
    for (int i = 0; i < NUM; i++) {
        m[1] += v[i] / NUM;
        m[2] += v[i] * v[i] / NUM;
        m[4] += v[i] * v[i] * v[i] * v[i] / NUM;
        for (int k = 0; k < 5; k++)
            with[k] += v[i] * v[(i + lags[k]) % NUM] / NUM;
    }
    const double e = 5 / sqrt(NUM);
    assert_true(fabs(m[1]) < e && fabs(m[2] - 1) < e * sqrt(2) && fabs(m[4] - 3) < e * sqrt(96));
    for (int k = 0; k < 5; k++)
        assert_true(fabs(with[k]) < e);
    int equal = 0;      /* samples, calls and steps have their own numbers */
    double *again = read(pv_noise(tape, x, 1, 100), 2 * NUM);
    for (int i = 0; i < NUM; i++)
        equal += (v[i] == v[NUM + i]) + (v[i] == again[i]);
    assert_int_equal(equal, 0);
    double *cut = read(pv_noise(tape, x, 0.1f, 0.2f), 2 * NUM);
    int high = 0;
    for (int i = 0; i < 2 * NUM; i++) {
        assert_true(fabs(cut[i]) <= (double)0.2f);
        high += fabs(cut[i]) == (double)0.2f;
    }
    assert_true(fabs(high / (2.0 * NUM) - 0.0455) < 0.005);     /* beyond two sigma */
    pv_free(v);
    pv_free(again);
    pv_free(cut);
    pv_tensor_put(&x);
}

static void cubes(void **state)
{
    (void)state;
    const int s[] = {SIDE, SIDE, SIDE};
    pv_tensor *x = pv_tensor_zeros(dev, pv_plain(3, 1, 1, s), PV_F32);
    double *v = read(pv_cube_mask(tape, x, 4, 0.25f, 1), NUM);
    int masked = 0;
    for (int i = 0; i < NUM; i++) {     /* a voxel is what the first voxel of its cube is */
        int z = i % SIDE, y = i / SIDE % SIDE, xx = i / SIDE / SIDE;
        assert_true(v[i] == v[((xx & ~3) * SIDE + (y & ~3)) * SIDE + (z & ~3)]);
        masked += v[i] == 1;
    }
    assert_true(abs(masked / 64 - 250) < 70);       /* of 1000 cubes; five standard deviations */
    pv_free(v);
    pv_tensor_put(&x);
}

static int open_all(void **state)
{
    (void)state;
    char *path = pv_path_join(pv_env("PV_GOLDEN") ? pv_env("PV_GOLDEN") : ".", "shape.safetensors");
    file = pv_st_open(path);
    dev = pv_dev_open("ref:0", NULL);
    pv_free(path);
    if (!file || !dev)
        return 1;
    tape = pv_tape_new(dev);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    pv_tape_free(&tape);
    pv_dev_close(&dev);
    pv_st_close(&file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(resize), cmocka_unit_test(pool), cmocka_unit_test(gather),
                                       cmocka_unit_test(noise), cmocka_unit_test(cubes)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
