/* SPDX-License-Identifier: Apache-2.0
 * ops/norm.h on the reference device against PyTorch (golden/make_norm.py): outputs, gradients, running
 * statistics. The tolerance is that of eps, momentum and slope as fp32. */
#include "unit.h"

#include <math.h>

#include "base/safetensors.h"
#include "ops/norm.h"

static const double TOLERANCE = 1e-6;

static const char *const cases[] = {"batch", "batch2d", "eval", "instance", "affine"};

struct golden { pv_st_file *f; pv_dev *dev; pv_tape *tape; const char *name; };

static const struct pv_st_tensor *entry(const struct golden *g, const char *key)
{
    char *full = pv_asprintf("%s.%s", g->name, key);
    const struct pv_st_tensor *t = pv_st_find(g->f, full);
    pv_free(full);
    return t;
}

static double *values(const struct golden *g, const char *key, int64_t *n)
{
    const struct pv_st_tensor *t = entry(g, key);
    if (!t)
        fail_msg("no %s.%s in the golden file", g->name, key);
    *n = pv_st_len(t);
    double *v = pv_array(double, *n);
    assert_true(pv_st_read_f64(g->f, t, v));
    return v;
}

/* Part `step` of an entry as a tensor that wants gradients; NULL if the case has none. */
static pv_tensor *tensor(const struct golden *g, const char *key, struct pv_shape h, int step)
{
    if (!entry(g, key))
        return NULL;
    int64_t n;
    double *v = values(g, key, &n);
    pv_tensor *t = pv_tensor_new(g->dev, h, PV_F32);
    assert_non_null(t);
    assert_true((step + 1) * pv_shape_count(&h) <= n);
    pv_tensor_write_f64(t, v + step * pv_shape_count(&h));
    t->needs_grad = true;
    pv_free(v);
    return t;
}

static void same(const struct golden *g, const char *key, int step, pv_tensor *t)
{
    int64_t n, count = pv_shape_count(&t->h);
    double *want = values(g, key, &n), *got = pv_array(double, count);
    assert_true((step + 1) * count <= n);
    assert_true(pv_tensor_read_f64(t, got));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[step * count + i]) <= TOLERANCE * (1 + fabs(want[step * count + i]))))
            fail_msg("%s.%s step %d element %d: %.9g, PyTorch %.9g", g->name, key, step, (int)i, got[i],
                     want[step * count + i]);
    pv_free(want);
    pv_free(got);
}

static void run_step(struct golden *g, struct pv_norm_params *p, struct pv_shape h, int step)
{
    pv_tensor *x = tensor(g, "x", h, step), *dy = tensor(g, "dy", h, step);
    p->residual = tensor(g, "residual", h, step);
    p->skip = tensor(g, "skip", h, step);
    pv_tensor *y = pv_norm_act(g->tape, x, p);
    assert_non_null(y);
    same(g, "y", step, y);
    pv_backward_from(g->tape, 1, &y, &dy);
    same(g, "dx", step, x->grad);
    if (p->residual)
        same(g, "dresidual", step, p->residual->grad);
    if (p->skip)
        same(g, "dskip", step, p->skip->grad);
    if (p->running_mean) {
        same(g, "running_mean", step, p->running_mean);
        same(g, "running_var", step, p->running_var);
    }
    pv_tensor_put(&x);
    pv_tensor_put(&dy);
    pv_tensor_put(&y);
    pv_tensor_put(&p->residual);
    pv_tensor_put(&p->skip);
}

static void run_case(struct golden *g)
{
    int64_t n;
    double *setup = values(g, "setup", &n);
    const struct pv_st_tensor *x = entry(g, "x");
    int c = (int)x->shape[2], s[] = {(int)x->shape[3], (int)x->shape[4], (int)x->shape[5]};
    struct pv_shape h = pv_blocked((int)setup[1], (int)x->shape[1], c, s);
    struct pv_norm_params p = {.kind = setup[0] == 1 ? PV_NORM_BATCH : PV_NORM_INSTANCE, .train = setup[2] != 0,
                               .slope = (float)setup[3], .momentum = (float)setup[4]};
    p.gamma = tensor(g, "gamma", pv_flat(c), 0);
    p.beta = tensor(g, "beta", pv_flat(c), 0);
    p.running_mean = tensor(g, "running_mean0", pv_flat(c), 0);
    p.running_var = tensor(g, "running_var0", pv_flat(c), 0);
    for (int step = 0; step < x->shape[0]; step++)
        run_step(g, &p, h, step);
    if (p.gamma) {
        same(g, "dgamma", 0, p.gamma->grad);
        same(g, "dbeta", 0, p.beta->grad);
    }
    pv_tensor_put(&p.gamma);
    pv_tensor_put(&p.beta);
    pv_tensor_put(&p.running_mean);
    pv_tensor_put(&p.running_var);
    pv_free(setup);
}

static void against_pytorch(void **state)
{
    (void)state;
    assert_non_null(pv_env("PV_GOLDEN"));
    char *path = pv_path_join(pv_env("PV_GOLDEN"), "norm.safetensors");
    struct golden g = {.f = pv_st_open(path), .dev = pv_dev_open("ref:0", NULL)};
    assert_non_null(g.f);
    assert_non_null(g.dev);
    g.tape = pv_tape_new(g.dev);
    for (size_t i = 0; i < PV_COUNT(cases); i++) {
        g.name = cases[i];
        run_case(&g);
    }
    pv_tape_free(&g.tape);
    pv_dev_close(&g.dev);
    pv_st_close(&g.f);
    pv_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
