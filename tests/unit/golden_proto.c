/* SPDX-License-Identifier: Apache-2.0
 * ops/proto.h on the reference device against PyTorch (golden/make_proto.py): results and gradients. Both count in
 * double with settings that are exact in fp32, except eps 1e-8 and 1e-12, which decide nothing here. */
#include "unit.h"

#include <math.h>

#include "base/safetensors.h"
#include "ops/proto.h"

static const double TOLERANCE = 1e-9;

struct golden { pv_st_file *f; pv_dev *dev; pv_tape *tape; const char *name; };

static const struct pv_st_tensor *entry(const struct golden *g, const char *key)
{
    char *full = pv_asprintf("%s.%s", g->name, key);
    const struct pv_st_tensor *t = pv_st_find(g->f, full);
    if (!t)
        fail_msg("no %s in the golden file", full);
    pv_free(full);
    return t;
}

/* FLAT if it has fewer than five dimensions, else BLOCKED or PLAIN. */
static pv_tensor *tensor(const struct golden *g, const char *key, enum pv_layout layout, bool grad)
{
    const struct pv_st_tensor *e = entry(g, key);
    int64_t n = pv_st_len(e);
    struct pv_shape h = pv_flat((int)n);
    if (layout != PV_FLAT) {
        assert_int_equal(e->ndim, 5);
        int s[] = {(int)e->shape[2], (int)e->shape[3], (int)e->shape[4]};
        h = (layout == PV_BLOCKED ? pv_blocked : pv_plain)(3, (int)e->shape[0], (int)e->shape[1], s);
    }
    double *v = pv_array(double, n);
    assert_true(pv_st_read_f64(g->f, e, v));
    pv_tensor *t = pv_tensor_new(g->dev, h, e->type == PV_ST_I32 ? PV_I32 : PV_F32);
    assert_non_null(t);
    pv_tensor_write_f64(t, v);
    t->needs_grad = grad;
    pv_free(v);
    return t;
}

/* t against the golden values from element `first` on. */
static void same_from(const struct golden *g, const char *key, pv_tensor *t, int64_t first)
{
    assert_non_null(t);
    const struct pv_st_tensor *e = entry(g, key);
    int64_t n = pv_st_len(e), count = pv_shape_count(&t->h);
    double *want = pv_array(double, n), *got = pv_array(double, count);
    assert_true(first + count <= n);
    assert_true(pv_st_read_f64(g->f, e, want) && pv_tensor_read_f64(t, got));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[first + i]) <= TOLERANCE * (1 + fabs(want[first + i]))))
            fail_msg("%s.%s element %d: %.12g, PyTorch %.12g", g->name, key, (int)i, got[i], want[first + i]);
    pv_free(want);
    pv_free(got);
}

static void same(const struct golden *g, const char *key, pv_tensor *t)
{
    assert_int_equal(pv_st_len(entry(g, key)), pv_shape_count(&t->h));
    same_from(g, key, t, 0);
}

/* Compares y, walks back from the golden dy and gives y up. */
static void walk_back(struct golden *g, pv_tensor *y)
{
    assert_non_null(y);
    same(g, "y", y);
    pv_tensor *dy = tensor(g, "dy", y->h.layout, false);
    pv_backward_from(g->tape, 1, &y, &dy);
    pv_tensor_put(&dy);
    pv_tensor_put(&y);
}

static void check_pool(struct golden *g, const char *name, bool pooled)
{
    g->name = name;
    pv_tensor *f = tensor(g, "f", PV_BLOCKED, true), *w = tensor(g, "w", PV_PLAIN, true), *sums;
    walk_back(g, pv_masked_pool(g->tape, f, w, 0x1p-17f, pooled, &sums));
    same(g, "sums", sums);
    same(g, "df", f->grad);
    same(g, "dw", w->grad);
    pv_tensor_put(&f);
    pv_tensor_put(&w);
    pv_tensor_put(&sums);
}

static void check_unit(struct golden *g)
{
    g->name = "unit";
    pv_tensor *f = tensor(g, "f", PV_BLOCKED, true);
    walk_back(g, pv_l2norm(g->tape, f, 1e-12f));
    same(g, "df", f->grad);
    pv_tensor_put(&f);
}

static void check_cosine(struct golden *g, const char *name, bool grad)
{
    g->name = name;
    pv_tensor *f = tensor(g, "f", PV_BLOCKED, true), *p = tensor(g, "p", PV_FLAT, grad);
    walk_back(g, pv_cosine(g->tape, f, p, 3, 20));
    same(g, "df", f->grad);
    if (grad)
        same(g, "dp", p->grad);
    pv_tensor_put(&f);
    pv_tensor_put(&p);
}

static void check_max(struct golden *g, const char *name, int each)
{
    g->name = name;
    pv_tensor *f = tensor(g, "f", PV_BLOCKED, true), *p = tensor(g, "p", PV_FLAT, true), *win;
    walk_back(g, pv_cosine_max(g->tape, f, p, 3, each, 10, &win));
    same(g, "winners", win);
    same(g, "df", f->grad);
    same(g, "dp", p->grad);
    pv_tensor_put(&f);
    pv_tensor_put(&p);
    pv_tensor_put(&win);
}

static void check_distance(struct golden *g, const char *name, bool normalise, bool per)
{
    g->name = name;
    pv_tensor *f = tensor(g, "f", PV_BLOCKED, true), *p = tensor(g, "p", PV_FLAT, false);
    pv_tensor *idx = tensor(g, "idx", PV_PLAIN, false);
    walk_back(g, pv_proto_distance(g->tape, f, p, idx, 3, normalise, per));
    same(g, "df", f->grad);
    pv_tensor_put(&f);
    pv_tensor_put(&p);
    pv_tensor_put(&idx);
}

static void maps(void **state)
{
    struct golden *g = *state;
    check_pool(g, "pool", false);
    check_pool(g, "pool_batch", true);
    check_unit(g);
    check_cosine(g, "cosine", true);
    check_cosine(g, "cosine_sets", true);
    check_cosine(g, "absent", false);
    check_max(g, "max", 2);
    check_max(g, "max_sets", 4);
    check_distance(g, "distance", false, false);
    check_distance(g, "distance_unit", true, false);
    check_distance(g, "distance_per", true, true);
}

static void among_prototypes(void **state)
{
    struct golden *g = *state;
    g->name = "flat";
    pv_tensor *p = tensor(g, "p", PV_FLAT, true), *q = tensor(g, "q", PV_FLAT, true), *valid;
    pv_tensor *pm = pv_proto_mean(g->tape, p, 2), *qm = pv_proto_mean(g->tape, q, 2);
    pv_tensor *mix = pv_proto_mix(g->tape, pm, qm, 0.75f), *q1 = pv_tensor_view(q, (size_t)q->h.n / 2, q->h.n / 2);
    assert_non_null(mix);
    same(g, "mix", mix);
    walk_back(g, pv_proto_dist2(g->tape, mix, q1, true, NULL, NULL, &valid));
    same(g, "dp", p->grad);
    same(g, "dq", q->grad);
    float one = 0;
    assert_true(pv_tensor_read(valid, &one) && one == 1);
    pv_tensor *all[] = {p, q, pm, qm, mix, q1, valid};
    for (size_t i = 0; i < PV_COUNT(all); i++)
        pv_tensor_put(&all[i]);
}

/* A class that is absent makes the distance 0 and invalid, and stops its gradient. */
static void absent_class(void **state)
{
    struct golden *g = *state;
    pv_tensor *x[3];
    const float values[3][2] = {{1, 2}, {3, 5}, {4, 0}};
    for (int i = 0; i < 3; i++) {
        x[i] = pv_tensor_new(g->dev, pv_flat(2), PV_F32);
        pv_tensor_write(x[i], values[i]);
    }
    x[0]->needs_grad = true;
    for (int side = 0; side < 3; side++) {      /* in wp, in wq, in none */
        pv_tensor *valid, *wp = side == 0 ? x[2] : NULL, *wq = side == 1 ? x[2] : x[1];
        pv_tensor *y = pv_proto_dist2(g->tape, x[0], x[1], false, wp, wq, &valid);
        float v[2], d[2];
        pv_backward(g->tape, y, NULL);
        assert_true(pv_tensor_read(y, v) && pv_tensor_read(valid, v + 1) && pv_tensor_read(x[0]->grad, d));
        assert_true(v[0] == (side == 2 ? 13 : 0) && v[1] == (side == 2));
        assert_true(d[0] == (side == 2 ? -4 : 0) && d[1] == (side == 2 ? -6 : 0));
        pv_tensor_put(&x[0]->grad);
        x[0]->grad_valid = false;
        pv_tensor_put(&y);
        pv_tensor_put(&valid);
    }
    for (int i = 0; i < 3; i++)
        pv_tensor_put(&x[i]);
}

static void momentum_update(void **state)
{
    struct golden *g = *state;
    g->name = "update";
    pv_tensor *f = tensor(g, "f", PV_BLOCKED, false), *p = tensor(g, "p", PV_FLAT, false), *sums, *counts;
    pv_tensor *idx = tensor(g, "idx", PV_PLAIN, false);
    assert_true(pv_proto_assign_sums(g->tape, f, idx, 3, &sums, &counts));
    pv_proto_ema(p, sums, counts, 0.75f);
    same(g, "moved", p);
    float n[3];
    assert_true(pv_tensor_read(counts, n) && n[0] > 0 && n[1] > 0 && n[2] == 0);
    pv_tensor *all[] = {f, p, sums, counts, idx};
    for (size_t i = 0; i < PV_COUNT(all); i++)
        pv_tensor_put(&all[i]);
}

/* Prototypes of f, fused with fixed ones, compared with f and with a fixed map: three ways back to f. */
static void consistency(void **state)
{
    struct golden *g = *state;
    g->name = "consistency";
    pv_tensor *f = tensor(g, "f", PV_BLOCKED, true), *w = tensor(g, "w", PV_PLAIN, false);
    pv_tensor *other = tensor(g, "g", PV_BLOCKED, false), *q = tensor(g, "q", PV_FLAT, false);
    pv_tensor *p = pv_masked_pool(g->tape, f, w, 0x1p-17f, false, NULL), *mix = pv_proto_mix(g->tape, p, q, 0.75f);
    pv_tensor *y[] = {pv_cosine(g->tape, f, mix, 3, 20), pv_cosine(g->tape, other, mix, 3, 20)}, *dy[2];
    pv_tensor *all_dy = tensor(g, "dy", PV_FLAT, false);
    double *v = pv_array(double, all_dy->h.n);
    assert_true(pv_tensor_read_f64(all_dy, v));
    for (int i = 0; i < 2; i++) {
        same_from(g, "y", y[i], i * pv_shape_count(&y[i]->h));
        dy[i] = pv_tensor_new(g->dev, y[i]->h, PV_F32);
        pv_tensor_write_f64(dy[i], v + i * pv_shape_count(&y[i]->h));
    }
    pv_backward_from(g->tape, 2, y, dy);
    same(g, "df", f->grad);
    pv_free(v);
    pv_tensor *all[] = {f, w, other, q, p, mix, y[0], y[1], dy[0], dy[1], all_dy};
    for (size_t i = 0; i < PV_COUNT(all); i++)
        pv_tensor_put(&all[i]);
}

static void nonsense_is_refused(void **state)
{
    struct golden *g = *state;
    g->name = "cosine";
    pv_tensor *f = tensor(g, "f", PV_BLOCKED, false), *p = tensor(g, "p", PV_FLAT, false), *r = NULL;
    pv_tensor *dense = tensor(g, "f", PV_PLAIN, false), *s, *c;
    UNIT_FAILS(PV_FAULT_INTERNAL, "cosine", r = pv_cosine(g->tape, f, p, 4, 1));
    UNIT_FAILS(PV_FAULT_INTERNAL, "cosine_max", r = pv_cosine_max(g->tape, f, p, 3, 0, 1, NULL));
    UNIT_FAILS(PV_FAULT_INTERNAL, "masked_pool", r = pv_masked_pool(g->tape, dense, dense, 0, true, NULL));
    UNIT_FAILS(PV_FAULT_INTERNAL, "proto_distance", r = pv_proto_distance(g->tape, f, p, dense, 3, true, true));
    UNIT_FAILS(PV_FAULT_INTERNAL, "proto_dist2", r = pv_proto_dist2(g->tape, p, f, true, NULL, NULL, NULL));
    UNIT_FAILS(PV_FAULT_INTERNAL, "proto_assign_sums", pv_proto_assign_sums(g->tape, f, dense, 3, &s, &c));
    assert_null(r);
    assert_null(s);
    assert_null(pv_cosine(g->tape, NULL, p, 3, 1));
    assert_null(pv_masked_pool(g->tape, f, NULL, 0, true, NULL));
    pv_tensor *all[] = {f, p, dense};
    for (size_t i = 0; i < PV_COUNT(all); i++)
        pv_tensor_put(&all[i]);
}

static int open_golden(void **state)
{
    static struct golden g;
    assert_non_null(pv_env("PV_GOLDEN"));
    char *path = pv_path_join(pv_env("PV_GOLDEN"), "proto.safetensors");
    g.f = pv_st_open(path);
    g.dev = pv_dev_open("ref:0", &(struct pv_dev_opts){.poison = true});
    pv_free(path);
    if (!g.f || !g.dev)
        return 1;
    g.tape = pv_tape_new(g.dev);
    *state = &g;
    return 0;
}

static int close_golden(void **state)
{
    struct golden *g = *state;
    pv_tape_free(&g->tape);
    int left = pv_dev_mem(g->dev).used != 0;    /* every reference was given up */
    pv_dev_close(&g->dev);
    pv_st_close(&g->f);
    return left;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps),         cmocka_unit_test(among_prototypes), cmocka_unit_test(absent_class),
        cmocka_unit_test(momentum_update), cmocka_unit_test(consistency),   cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
