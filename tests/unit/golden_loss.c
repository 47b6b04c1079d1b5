/* SPDX-License-Identifier: Apache-2.0
 * Softmax, losses, sums, scalars and pointwise ops on the reference device against PyTorch and NumPy
 * (golden/make_loss.py): values and gradients. The file says which cases there are; every op here must have some.
 * The tolerance is that of eps and weights as fp32. */
#include "unit.h"

#include <math.h>

#include "base/safetensors.h"
#include "ops/dice.h"
#include "ops/loss.h"
#include "ops/map.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/softmax.h"

static const double TOLERANCE = 1e-6;

enum { INPUTS = 4 };

/* One case: its inputs as they were asked for, its parameters (0 where there are fewer). */
struct golden {
    pv_st_file *f;
    pv_dev *dev;
    pv_tape *tape;
    char *name;
    double setup[4];
    int num;
    struct { const char *key; pv_tensor *t; } in[INPUTS];
};

static double *values(const struct golden *g, const char *key, const struct pv_st_tensor **at)
{
    char *full = pv_asprintf("%s.%s", g->name, key);
    *at = pv_st_find(g->f, full);
    pv_free(full);
    if (!*at)
        return NULL;
    double *v = pv_array(double, pv_st_len(*at));
    assert_true(pv_st_read_f64(g->f, *at, v));
    return v;
}

static pv_tensor *load(const struct golden *g, const char *key)
{
    const struct pv_st_tensor *at;
    double *v = values(g, key, &at);
    if (!v)
        return NULL;
    struct pv_shape h = pv_flat((int)at->shape[0]);
    if (at->ndim == 5)
        h = pv_plain(3, (int)at->shape[0], (int)at->shape[1],
                     (int[]){(int)at->shape[2], (int)at->shape[3], (int)at->shape[4]});
    pv_tensor *t = pv_tensor_new(g->dev, h, at->type == PV_ST_I32 ? PV_I32 : PV_F32);
    assert_non_null(t);
    pv_tensor_write_f64(t, v);
    pv_free(v);
    return t;
}

/* An input of the case, NULL if it has none of that name; it wants a gradient if the file has one. */
static pv_tensor *in(struct golden *g, const char *key)
{
    pv_tensor *t = load(g, key);
    if (!t)
        return NULL;
    const struct pv_st_tensor *at;
    char *grad = pv_asprintf("d.%s", key);
    double *v = values(g, grad, &at);
    t->needs_grad = v != NULL;
    pv_free(v);
    pv_free(grad);
    assert_true(g->num < INPUTS);
    g->in[g->num].key = key;
    g->in[g->num++].t = t;
    return t;
}

static void same(const struct golden *g, const char *key, pv_tensor *t)
{
    const struct pv_st_tensor *at;
    double *want = values(g, key, &at), scale = 0;
    assert_non_null(want);
    const int64_t n = pv_st_len(at);
    if (!t || pv_shape_count(&t->h) != n)
        fail_msg("%s.%s: no result, or not of %d elements", g->name, key, (int)n);
    double *got = pv_array(double, n);
    assert_true(pv_tensor_read_f64(t, got));
    for (int64_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= TOLERANCE * scale))
            fail_msg("%s.%s element %d: %.9g, expected %.9g", g->name, key, (int)i, got[i], want[i]);
    pv_free(want);
    pv_free(got);
}

static struct pv_reduction reduction(const struct golden *g)
{
    return (struct pv_reduction){(enum pv_red_kind)g->setup[0], (float)g->setup[1], g->setup[2] != 0};
}

/* ---- the ops; setup as make_loss.py wrote it ---- */

static pv_tensor *softmax(struct golden *g) { return pv_softmax(g->tape, in(g, "z")); }
static pv_tensor *log_softmax(struct golden *g) { return pv_log_softmax(g->tape, in(g, "z")); }
static pv_tensor *argmax(struct golden *g) { return pv_argmax(g->tape, in(g, "z")); }
static pv_tensor *max_prob(struct golden *g) { return pv_max_prob(g->tape, in(g, "z")); }
static pv_tensor *onehot(struct golden *g) { return pv_onehot(g->tape, in(g, "labels"), (int)g->setup[0]); }
static pv_tensor *entropy(struct golden *g)
{
    return pv_entropy(g->tape, in(g, "p"), (enum pv_entropy_base)g->setup[0], (float)g->setup[1]);
}
static pv_tensor *ce_hard(struct golden *g)
{
    pv_tensor *z = in(g, "z"), *labels = in(g, "labels");
    return pv_ce_hard(g->tape, z, labels, in(g, "mask"), (int)g->setup[3], reduction(g));
}
static pv_tensor *ce_hard_map(struct golden *g)
{
    pv_tensor *z = in(g, "z"), *labels = in(g, "labels");
    return pv_ce_hard_map(g->tape, z, labels, in(g, "mask"), (int)g->setup[0]);
}
static pv_tensor *ce_soft(struct golden *g)
{
    pv_tensor *z = in(g, "z"), *y = in(g, "y");
    return pv_ce_soft(g->tape, z, y, in(g, "mask"), reduction(g));
}
static pv_tensor *ce_soft_map(struct golden *g)
{
    pv_tensor *z = in(g, "z"), *y = in(g, "y");
    return pv_ce_soft_map(g->tape, z, y, in(g, "mask"));
}
static pv_tensor *kl_soft(struct golden *g)
{
    pv_tensor *z = in(g, "z"), *y = in(g, "y");
    return pv_kl_soft(g->tape, z, y, in(g, "mask"), reduction(g));
}
static pv_tensor *kl_soft_map(struct golden *g)
{
    pv_tensor *z = in(g, "z"), *y = in(g, "y");
    return pv_kl_soft_map(g->tape, z, y, in(g, "mask"));
}
static pv_tensor *kl_map(struct golden *g)
{
    pv_tensor *p = in(g, "p"), *q = in(g, "q");
    return pv_kl_map(g->tape, p, q, (float)g->setup[0]);
}
static pv_tensor *dice(struct golden *g)
{
    pv_tensor *p = in(g, "p"), *target = in(g, "target");
    return pv_dice(g->tape, p, target, in(g, "mask"),
                   (struct pv_dice_opts){(enum pv_dice_form)g->setup[0], (float)g->setup[1], (uint32_t)g->setup[2]});
}
static pv_tensor *mse(struct golden *g)
{
    pv_tensor *a = in(g, "a"), *b = in(g, "b");
    return pv_mse(g->tape, a, b, in(g, "mask"), reduction(g));
}
static pv_tensor *mae(struct golden *g)
{
    pv_tensor *a = in(g, "a"), *b = in(g, "b");
    return pv_mae(g->tape, a, b, in(g, "mask"), reduction(g));
}
static pv_tensor *sum(struct golden *g)
{
    pv_tensor *x = in(g, "x");
    return pv_sum(g->tape, x, in(g, "mask"));
}
static pv_tensor *mean(struct golden *g)
{
    pv_tensor *x = in(g, "x");
    return pv_mean_of(g->tape, x, in(g, "mask"));
}
static pv_tensor *sum_samples(struct golden *g)
{
    pv_tensor *x = in(g, "x");
    return pv_sum_samples(g->tape, x, in(g, "mask"));
}
static pv_tensor *sum_classes(struct golden *g)
{
    pv_tensor *x = in(g, "x");
    return pv_sum_classes(g->tape, x, in(g, "mask"));
}
static pv_tensor *count(struct golden *g) { return pv_count_nonzero(g->tape, in(g, "x"), NULL); }
static pv_tensor *percentile(struct golden *g)
{
    pv_tensor *x = in(g, "x");
    return pv_percentile_of(g->tape, x, g->setup[0], in(g, "mask"));
}
static pv_tensor *scalar_sum(struct golden *g)
{
    const float w[] = {(float)g->setup[0], (float)g->setup[1], (float)g->setup[2]};
    pv_tensor *l[] = {in(g, "l0"), in(g, "l1"), in(g, "l2")}, *dev_w[] = {NULL, in(g, "w1"), NULL};
    return pv_scalar_sum(g->tape, 3, l, w, dev_w);
}
static pv_tensor *self_normalised(struct golden *g)
{
    const float w[] = {(float)g->setup[0], (float)g->setup[1], (float)g->setup[2]};
    pv_tensor *l[] = {in(g, "l0"), in(g, "l1"), in(g, "l2")};
    return pv_self_normalised(g->tape, 3, l, w);
}
static pv_tensor *unary(struct golden *g)
{
    return pv_unary(g->tape, (enum pv_unary)g->setup[0], in(g, "x"), (float)g->setup[1], (float)g->setup[2]);
}
static pv_tensor *binary(struct golden *g)
{
    pv_tensor *x = in(g, "x");
    return pv_binary(g->tape, (enum pv_binary)g->setup[0], x, in(g, "y"));
}
static pv_tensor *select_op(struct golden *g)
{
    pv_tensor *cond = in(g, "cond"), *x = in(g, "x");
    return pv_select(g->tape, cond, x, in(g, "y"));
}
static pv_tensor *to_f32(struct golden *g) { return pv_to_f32(g->tape, in(g, "x")); }
static pv_tensor *to_i32(struct golden *g) { return pv_to_i32(g->tape, in(g, "x")); }
static pv_tensor *label_equal(struct golden *g) { return pv_label_equal(g->tape, in(g, "x"), (int)g->setup[0]); }
static pv_tensor *label_known(struct golden *g) { return pv_label_known(g->tape, in(g, "x"), (int)g->setup[0]); }

static const struct { const char *name; pv_tensor *(*call)(struct golden *); } ops[] = {
    {"softmax", softmax}, {"log_softmax", log_softmax}, {"argmax", argmax}, {"max_prob", max_prob},
    {"onehot", onehot}, {"entropy", entropy}, {"ce_hard", ce_hard}, {"ce_hard_map", ce_hard_map},
    {"ce_soft", ce_soft}, {"ce_soft_map", ce_soft_map}, {"kl_soft", kl_soft}, {"kl_soft_map", kl_soft_map},
    {"kl_map", kl_map}, {"dice", dice}, {"mse", mse}, {"mae", mae}, {"sum", sum}, {"mean", mean},
    {"sum_samples", sum_samples}, {"sum_classes", sum_classes}, {"count", count}, {"percentile", percentile},
    {"scalar_sum", scalar_sum}, {"self_normalised", self_normalised}, {"unary", unary}, {"binary", binary},
    {"select", select_op}, {"to_f32", to_f32}, {"to_i32", to_i32}, {"label_equal", label_equal},
    {"label_known", label_known},
};

static void run_case(struct golden *g, size_t op)
{
    const struct pv_st_tensor *at;
    double *setup = values(g, "setup", &at);
    memset(g->setup, 0, sizeof g->setup);
    if (setup)
        memcpy(g->setup, setup, sizeof *setup * (size_t)pv_st_len(at));
    pv_free(setup);
    g->num = 0;
    pv_tensor *y = ops[op].call(g), *dy = load(g, "dy");
    same(g, "value", y);
    pv_backward_from(g->tape, 1, &y, &dy);
    for (int i = 0; i < g->num; i++) {
        char *grad = pv_asprintf("d.%s", g->in[i].key);
        if (g->in[i].t->needs_grad)
            same(g, grad, g->in[i].t->grad);
        else
            assert_null(g->in[i].t->grad);
        pv_free(grad);
        pv_tensor_put(&g->in[i].t);
    }
    pv_tensor_put(&y);
    pv_tensor_put(&dy);
}

static void against_pytorch(void **state)
{
    (void)state;
    assert_non_null(pv_env("PV_GOLDEN"));
    char *path = pv_path_join(pv_env("PV_GOLDEN"), "loss.safetensors");
    struct golden g = {.f = pv_st_open(path), .dev = pv_dev_open("ref:0", NULL)};
    assert_non_null(g.f);
    assert_non_null(g.dev);
    g.tape = pv_tape_new(g.dev);
    int seen[PV_COUNT(ops)] = {0};
    for (size_t i = 0; i < pv_st_count(g.f); i++) {
        const char *full = pv_st_at(g.f, i)->name;
        if (!pv_ends(full, ".value"))
            continue;
        g.name = pv_strdup(full);
        g.name[strlen(full) - strlen(".value")] = 0;
        size_t op = 0;
        for (const size_t n = strcspn(full, "/"); op < PV_COUNT(ops); op++)
            if (strlen(ops[op].name) == n && !strncmp(full, ops[op].name, n))
                break;
        if (op == PV_COUNT(ops))
            fail_msg("no op for %s", full);
        run_case(&g, op);
        seen[op]++;
        pv_free(g.name);
    }
    for (size_t op = 0; op < PV_COUNT(ops); op++)
        if (!seen[op])
            fail_msg("no case of %s", ops[op].name);
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
