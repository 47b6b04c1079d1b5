/* SPDX-License-Identifier: Apache-2.0
 * ops/norm.h: what selftest's small cases do not show. Memory that is given up, and maps so large that results are
 * stored past the caches. */
#include "unit.h"

#include <math.h>

#include "base/rng.h"
#include "ops/norm.h"

static pv_tensor *filled(pv_dev *dev, struct pv_shape h, double lo, double hi)
{
    int64_t n = pv_shape_count(&h);
    float *v = pv_alloc_big(sizeof *v * (size_t)n, "test");
    struct pv_rng rng = pv_rng_make(1, pv_stream("norm test", (uint64_t)n, 0));
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)(lo + (hi - lo) * pv_rng_uniform(&rng));
    pv_tensor *t = pv_tensor_new(dev, h, PV_F32);
    assert_non_null(t);
    pv_tensor_write(t, v);
    pv_free_big(v);
    return t;
}

/* norm -> norm: the first result has no memory until backward wants it, and none afterwards; without
 * recording there is nothing to give up. */
static void memory(void **state)
{
    (void)state;
    pv_dev *dev = pv_dev_open("ref:0", &(struct pv_dev_opts){.poison = true});
    assert_non_null(dev);
    pv_tape *t = pv_tape_new(dev);
    const int s[] = {3, 4, 5};
    struct pv_norm_params p = {.kind = PV_NORM_BATCH, .train = true, .drop = PV_DROP_ELEMENT, .drop_p = 0.3f};
    pv_tensor *x = filled(dev, pv_blocked(3, 2, 5, s), -1, 1);
    x->needs_grad = true;
    pv_tensor *a = pv_norm_act(t, x, &p), *first = a;
    double *before = pv_array(double, pv_shape_count(&a->h));
    memcpy(before, pv_ref_data(a), pv_tensor_bytes(a));
    pv_tensor *b = pv_norm_act(t, a, &p);
    assert_non_null(first->buf);
    pv_tensor_put(&a);
    assert_null(first->buf);
    assert_true(pv_tensor_pin(first));
    assert_memory_equal(before, pv_ref_data(first), pv_tensor_bytes(first));
    pv_tensor_unpin(first);
    assert_null(first->buf);
    pv_tape_clear(t);
    pv_tensor_put(&b);
    t->recording = false;
    a = pv_norm_act(t, x, &p);
    assert_null(a->remake);
    assert_int_equal(t->num_nodes, 0);
    pv_tensor_put(&a);
    pv_tensor_put(&x);
    pv_free(before);
    pv_tape_free(&t);
    pv_dev_close(&dev);
}

/* 37 MB at once and sample by sample: the same bits. */
static void large(void **state)
{
    (void)state;
    pv_fail_quiet(true);
    pv_dev *dev = pv_dev_open("opencl:0", &(struct pv_dev_opts){.force_class = "fat", .poison = true});
    pv_fail_quiet(false);
    pv_fault_clear();
    if (!dev) {
        print_message("no OpenCL device here\n");
        skip();
    }
    pv_tape *t = pv_tape_new(dev);
    const int s[] = {64, 64, 64};
    pv_tensor *x = filled(dev, pv_blocked(3, 2, 16, s), -2, 2), *mean = filled(dev, pv_flat(16), -1, 1);
    pv_tensor *var = filled(dev, pv_flat(16), 0.5, 2);
    struct pv_norm_params p = {.kind = PV_NORM_BATCH, .running_mean = mean, .running_var = var, .slope = 0.01f};
    pv_tensor *all = pv_norm_act(t, x, &p);
    assert_non_null(all);
    int64_t half = pv_shape_count(&x->h) / 2;
    float *v = pv_alloc_big(sizeof *v * (size_t)half * 3, "test");
    assert_true(pv_tensor_read(all, v));
    for (int n = 0; n < 2; n++) {
        pv_tensor *one = pv_tensor_samples(x, n, 1), *y = pv_norm_act(t, one, &p);
        assert_true(pv_tensor_read(y, v + 2 * half));
        for (int64_t i = 0; i < half; i++)
            if (!(v[n * half + i] == v[2 * half + i]))
                fail_msg("sample %d element %d: %g, alone %g", n, (int)i, (double)v[n * half + i],
                         (double)v[2 * half + i]);
        pv_tensor_put(&one);
        pv_tensor_put(&y);
    }
    pv_free_big(v);
    pv_tensor_put(&all);
    pv_tensor_put(&x);
    pv_tensor_put(&mean);
    pv_tensor_put(&var);
    pv_tape_free(&t);
    pv_dev_close(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory), cmocka_unit_test(large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
