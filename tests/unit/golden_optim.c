/* SPDX-License-Identifier: Apache-2.0
 * optim/ on the reference device against PyTorch (golden/make_optim.py): five steps of SGD and Adam, learning rates
 * and ramps. Settings are exact in fp32, so both sides count the same in double. */
#include "unit.h"

#include <math.h>

#include "base/safetensors.h"
#include "optim/optim.h"
#include "optim/schedule.h"

static const double TOLERANCE = 1e-12;

struct golden { pv_st_file *f; pv_dev *dev; };

static double *values(const struct golden *g, const char *name, const char *key, int64_t *n)
{
    char *full = pv_asprintf("%s%s%s", name, *key ? "." : "", key);
    const struct pv_st_tensor *t = pv_st_find(g->f, full);
    if (!t)
        fail_msg("no %s in the golden file", full);
    pv_free(full);
    *n = pv_st_len(t);
    double *v = pv_array(double, *n);
    assert_true(pv_st_read_f64(g->f, t, v));
    return v;
}

static pv_tensor *tensor(const struct golden *g, const double *v, int n)
{
    pv_tensor *t = pv_tensor_new(g->dev, pv_flat(n), PV_F32);
    assert_non_null(t);
    if (v)
        pv_tensor_write_f64(t, v);
    return t;
}

static void near(const char *name, int step, const double *got, const double *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= TOLERANCE * (1 + fabs(want[i]))))
            fail_msg("%s step %d element %d: %.15g, PyTorch %.15g", name, step, (int)i, got[i], want[i]);
}

/* `times`: gradients are given this much too small and the scale makes up for it. A skipped step with absurd
 * gradients follows each real one and must change nothing. */
static void run_case(struct golden *g, const char *name, bool is_adam, double times)
{
    int64_t n, all, num;
    double *o = values(g, name, "setup", &num), *w0 = values(g, name, "w0", &n), *gr = values(g, name, "g", &all);
    double *want = values(g, name, "w", &all), *got = pv_array(double, n), scale_value = times, yes = 1, no = 0;
    pv_tensor *w = tensor(g, w0, (int)n), *m = tensor(g, NULL, (int)n), *v = tensor(g, NULL, (int)n);
    pv_tensor *scale = tensor(g, &scale_value, 1), *skip = tensor(g, &yes, 1), *go = tensor(g, &no, 1);
    struct pv_sgd sgd = {.lr = (float)o[0], .momentum = (float)o[1], .weight_decay = (float)o[2],
                         .nesterov = o[3] != 0, .first = true};
    struct pv_adam adam = {.lr = (float)o[0], .beta1 = (float)o[1], .beta2 = (float)o[2], .eps = (float)o[3],
                           .weight_decay = is_adam ? (float)o[4] : 0, .step = 1};
    assert_true(all == 5 * n);
    for (int step = 0; step < 5; step++, adam.step++, sgd.first = false) {
        for (int64_t i = 0; i < n; i++)
            got[i] = gr[step * n + i] / times;
        pv_tensor *grad = tensor(g, got, (int)n), *bad = tensor(g, NULL, (int)n);   /* NaN: poisoned */
        if (is_adam)
            pv_adam_step(w, grad, m, v, &adam, times != 1 ? scale : NULL, times != 1 ? go : NULL);
        else
            pv_sgd_step(w, grad, sgd.momentum != 0 ? m : NULL, &sgd, times != 1 ? scale : NULL,
                        times != 1 ? go : NULL);
        struct pv_sgd later = sgd;
        struct pv_adam next = adam;
        later.first = false;
        next.step = 7;
        if (is_adam)
            pv_adam_step(w, bad, m, v, &next, NULL, skip);
        else
            pv_sgd_step(w, bad, sgd.momentum != 0 ? m : NULL, &later, NULL, skip);
        assert_true(pv_tensor_read_f64(w, got));
        near(name, step, got, want + step * n, n);
        pv_tensor_put(&grad);
        pv_tensor_put(&bad);
    }
    pv_tensor *give[] = {w, m, v, scale, skip, go};
    for (size_t i = 0; i < PV_COUNT(give); i++)
        pv_tensor_put(&give[i]);
    double *host[] = {o, w0, gr, want, got};
    for (size_t i = 0; i < PV_COUNT(host); i++)
        pv_free(host[i]);
}

static void optimisers(void **state)
{
    static const char *const sgd[] = {"plain", "momentum", "decay", "nesterov"};
    static const char *const adam[] = {"adam", "adam_decay"};
    for (double times = 1; times <= 8; times *= 8) {
        for (size_t i = 0; i < PV_COUNT(sgd); i++)
            run_case(*state, sgd[i], false, times);
        for (size_t i = 0; i < PV_COUNT(adam); i++)
            run_case(*state, adam[i], true, times);
    }
}

/* A skipped first step leaves momentum at 0, so that the next one may count on it. */
static void first_step_skipped(void **state)
{
    struct golden *g = *state;
    double one = 1, start[2] = {3, 4}, grad[2] = {1, -2}, got[2];
    pv_tensor *w = tensor(g, start, 2), *gr = tensor(g, grad, 2), *m = tensor(g, NULL, 2), *v = tensor(g, NULL, 2);
    pv_tensor *skip = tensor(g, &one, 1);
    struct pv_sgd o = {.lr = 0.5f, .momentum = 0.5f, .first = true};
    pv_sgd_step(w, gr, m, &o, NULL, skip);
    o.first = false;
    pv_sgd_step(w, gr, m, &o, NULL, NULL);
    assert_true(pv_tensor_read_f64(w, got) && got[0] == 2.5 && got[1] == 5);
    struct pv_adam a = {.lr = 0.5f, .beta1 = 0.5f, .beta2 = 0.5f, .step = 1};
    pv_adam_step(w, gr, m, v, &a, NULL, skip);
    assert_true(pv_tensor_read_f64(m, got) && got[0] == 0 && got[1] == 0);
    assert_true(pv_tensor_read_f64(v, got) && got[0] == 0 && got[1] == 0);
    pv_tensor *give[] = {w, gr, m, v, skip};
    for (size_t i = 0; i < PV_COUNT(give); i++)
        pv_tensor_put(&give[i]);
}

static void teacher(void **state)
{
    struct golden *g = *state;
    double s[2] = {1, -2}, got[2];
    pv_tensor *student = tensor(g, s, 2), *t = tensor(g, NULL, 2);
    pv_ema_update(t, student, (float)pv_ema_alpha(0, 0.99));    /* copies over whatever t held */
    assert_true(pv_tensor_read_f64(t, got) && got[0] == 1 && got[1] == -2);
    pv_tensor_write_f64(student, (double[]){3, 2});
    pv_ema_update(t, student, 0.75f);
    assert_true(pv_tensor_read_f64(t, got) && got[0] == 1.5 && got[1] == -1);
    pv_tensor_put(&student);
    pv_tensor_put(&t);
}

static void schedules(void **state)
{
    static const char *const names[] = {"lr.step", "lr.poly", "lr.poly_epoch", "ramp", "ema"};
    for (size_t k = 0; k < PV_COUNT(names); k++) {
        int64_t n;
        double *want = values(*state, names[k], "", &n), *got = pv_array(double, n);
        for (int64_t it = 0; it < n; it++)
            got[it] = k == 0 ? pv_lr_step(1, it, 7, 0.25) : k == 1 ? pv_lr_poly(1, it, 30, 0.9)
                    : k == 2 ? pv_lr_poly_epoch(1, it, 4, 40, 0.9, 0.25)
                    : k == 3 ? pv_ramp_gauss_steps(it, 8, 3) : pv_ema_alpha(it, 0.9);
        near(names[k], 0, got, want, n);
        pv_free(want);
        pv_free(got);
    }
    assert_true(pv_lr_constant(0.01) == 0.01);
    assert_true(pv_ramp_gauss(3, 0) == 1 && pv_ramp_gauss(9, 4) == 1 && pv_ramp_gauss(0, 4) == exp(-5));
    assert_true(pv_ramp_linear(0, 0) == 1 && pv_ramp_linear(1, 4) == 0.25 && pv_ramp_linear(9, 4) == 1 &&
                pv_ramp_linear(-1, 4) == 0);
    assert_true(pv_lr_poly(2, 50, 30, 0.9) == 0 && pv_lr_step(2, 50, 0, 0.1) == 2);
}

static void nonsense_is_refused(void **state)
{
    struct golden *g = *state;
    pv_tensor *a = tensor(g, (double[]){1, 2}, 2), *b = tensor(g, (double[]){1, 2, 3}, 3);
    struct pv_sgd o = {.lr = 1, .momentum = 0.5f};
    struct pv_adam z = {.lr = 1};
    UNIT_FAILS(PV_FAULT_INTERNAL, "sgd", pv_sgd_step(a, b, a, &o, NULL, NULL));
    UNIT_FAILS(PV_FAULT_INTERNAL, "ema", pv_ema_update(a, b, 0.5f));
    UNIT_FAILS(PV_FAULT_INTERNAL, "adam", pv_adam_step(a, a, a, a, &z, NULL, NULL));
    pv_sgd_step(a, NULL, a, &o, NULL, NULL);
    double got[2];
    assert_true(pv_tensor_read_f64(a, got) && got[0] == 1 && got[1] == 2);
    pv_tensor_put(&a);
    pv_tensor_put(&b);
}

static int open_golden(void **state)
{
    static struct golden g;
    assert_non_null(pv_env("PV_GOLDEN"));
    char *path = pv_path_join(pv_env("PV_GOLDEN"), "optim.safetensors");
    g.f = pv_st_open(path);
    g.dev = pv_dev_open("ref:0", &(struct pv_dev_opts){.poison = true});
    pv_free(path);
    *state = &g;
    return !g.f || !g.dev;
}

static int close_golden(void **state)
{
    struct golden *g = *state;
    pv_dev_close(&g->dev);
    pv_st_close(&g->f);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimisers), cmocka_unit_test(first_step_skipped), cmocka_unit_test(teacher),
        cmocka_unit_test(schedules),  cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
