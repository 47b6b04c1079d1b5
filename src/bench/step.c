/* SPDX-License-Identifier: Apache-2.0
 * Whole training steps and inferences as the trainer and the predictor run them, on a random batch that stays on the
 * device. Every step is timed until the device is idle. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "method/method.h"
#include "ops/tune.h"
#include "platform/platform.h"
#include "train/config.h"

static bool make_batch(struct pv_run *r, int n_labeled, int n_unlabeled, struct pv_patches *b)
{
    const int *s = r->net.patch;
    int n = n_labeled + n_unlabeled;
    size_t voxels = (size_t)s[0] * (size_t)s[1] * (size_t)s[2], count = voxels * (size_t)(n * r->net.channels);
    *b = (struct pv_patches){.num_labeled = n_labeled, .num_unlabeled = n_unlabeled};
    b->image = pv_tensor_new(r->dev, pv_plain(r->net.dims, n, r->net.channels, s), PV_F32);
    b->label = pv_tensor_new(r->dev, pv_plain(r->net.dims, n, 1, s), PV_I32);
    struct pv_rng rng = pv_rng_make(r->seed, pv_stream("bench", 0, 0));
    float *x = pv_alloc(count * sizeof *x);
    int32_t *y = pv_alloc(voxels * (size_t)n * sizeof *y);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)pv_rng_normal(&rng);
    for (size_t i = 0; i < voxels * (size_t)n; i++)
        y[i] = i / voxels < (size_t)n_labeled ? (int32_t)pv_rng_below(&rng, (uint32_t)r->classes) : PV_IGNORE;
    pv_tensor_write(b->image, x);
    pv_tensor_write_i32(b->label, y);
    pv_free(x);
    pv_free(y);
    return b->image && b->label;
}

static void drop_logs(struct pv_run *r)
{
    for (int i = 0; i < r->num_logs; i++)
        if (r->logs[i].ticket)
            pv_read_end(&r->logs[i].ticket, &(float){0});
    r->num_logs = 0;
}

static bool step(struct pv_run *r, const struct pv_patches *b, int iter, double *ms)
{
    uint64_t t0 = pv_clock_ns();
    if (!pv_run_begin_step(r, iter))
        return false;
    do
        r->method->step(r, b);
    while (pv_run_next_part(r));
    bool ok = pv_dev_finish(r->dev);
    *ms = (double)(pv_clock_ns() - t0) * 1e-6;
    drop_logs(r);
    return ok;
}

static bool infer(struct pv_run *r, pv_tensor *image, double *ms)
{
    uint64_t t0 = pv_clock_ns();
    bool was = r->tape->recording;
    r->tape->recording = false;
    pv_tensor *p = r->method->predict(r, image);
    bool ok = p && pv_dev_finish(r->dev);
    *ms = (double)(pv_clock_ns() - t0) * 1e-6;
    pv_tensor_put(&p);
    r->tape->recording = was;
    return ok;
}

static void put_times(pv_json *o, double first, double *v, int n, int samples)
{
    if (first > 0)
        pv_json_set_num(o, "ms_first", first);
    struct pv_spread s = pv_bench_put_times(o, v, n);
    pv_json_set_num(o, "ms_median_per_sample", s.median / samples);
}

static int slower(const void *a, const void *b)
{
    uint64_t x = ((const struct pv_prof *)a)->ns, y = ((const struct pv_prof *)b)->ns;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* Rows by label and kernel; host_gap_ms: wall-clock time in which no kernel ran. */
static void put_split(pv_json *o, pv_dev *dev, double ms)
{
    int n;
    struct pv_prof *p = pv_dev_profile(dev, &n);
    pv_json *rows = pv_json_array();
    double busy = 0, launches = 0;
    qsort(p, (size_t)n, sizeof *p, slower);
    for (int i = 0; i < n; i++) {
        pv_json *r = pv_json_object();
        pv_json_set_str(r, "op", p[i].label);
        pv_json_set_str(r, "kernel", p[i].kernel);
        pv_json_set_num(r, "ms", (double)p[i].ns * 1e-6);
        pv_json_set_num(r, "launches", (double)p[i].count);
        pv_json_add(rows, r);
        busy += (double)p[i].ns * 1e-6;
        launches += (double)p[i].count;
    }
    pv_free(p);
    pv_json_set_num(o, "ms_profiled", ms);
    pv_json_set_num(o, "kernel_ms", busy);
    pv_json_set_num(o, "host_gap_ms", ms > busy ? ms - busy : 0);
    pv_json_set_num(o, "launches", launches);
    pv_json_set(o, "split", rows);
}

static void forget_profile(pv_dev *dev)
{
    int n;
    pv_free(pv_dev_profile(dev, &n));
}

static bool profile(pv_dev *dev, const struct pv_bench_step_args *a, pv_json *train, pv_json *inf)
{
    struct pv_run *r = pv_run_new(dev, a->config, false);
    struct pv_patches b = {0};
    int nl = 0, nu = 0;
    double ms = 0;
    if (r)
        pv_run_batch_size(r, 0, &nl, &nu);
    bool ok = r && make_batch(r, nl, nu, &b);
    if (ok && train) {
        ok = step(r, &b, 0, &ms) && step(r, &b, 1, &ms);
        forget_profile(dev);
        ok = ok && step(r, &b, 2, &ms);
        put_split(train, dev, ms);
    }
    if (ok && inf) {
        ok = infer(r, b.image, &ms);
        forget_profile(dev);
        ok = ok && infer(r, b.image, &ms);
        put_split(inf, dev, ms);
    }
    pv_tensor_put(&b.image);
    pv_tensor_put(&b.label);
    pv_run_free(&r);
    return ok;
}

static void describe(pv_json *o, const struct pv_run *r, int nl, int nu)
{
    char patch[48];
    snprintf(patch, sizeof patch, "%dx%dx%d", r->net.patch[0], r->net.patch[1], r->net.patch[2]);
    pv_json_set_str(o, "method", r->method->name);
    pv_json_set_str(o, "net", r->net.name);
    pv_json_set_num(o, "filters", r->net.filters);
    pv_json_set_num(o, "channels", r->net.channels);
    pv_json_set_num(o, "classes", r->net.classes);
    pv_json_set_str(o, "patch", patch);
    pv_json_set_num(o, "labeled", nl);
    pv_json_set_num(o, "unlabeled", nu);
}

pv_json *pv_bench_step_run(pv_dev *dev, pv_dev *profiled, const struct pv_bench_step_args *a)
{
    enum { MOST = 256 };
    double v[MOST], first = 0, ms;
    int reps = pv_max(1, pv_min(a->reps, MOST)), nl, nu;
    struct pv_peak peak = pv_bench_peak(dev, 0);
    struct pv_run *r = pv_run_new(dev, a->config, false);
    if (!r)
        return NULL;
    struct pv_patches b = {0};
    pv_json *result = pv_bench_result("step", dev, &peak), *train = NULL, *inf = NULL;
    pv_run_batch_size(r, 0, &nl, &nu);
    describe(result, r, nl, nu);
    bool ok = make_batch(r, nl, nu, &b) && pv_dev_finish(dev);
    pv_dev_mem_reset_peak(dev);
    if (a->train && ok) {
        pv_json_set(result, "train", train = pv_json_object());
        ok = step(r, &b, 0, &first);
        for (int i = 1; i < a->warmup && ok; i++)
            ok = step(r, &b, i, &ms);
        for (int i = 0; i < reps && ok; i++)
            ok = step(r, &b, a->warmup + i, &v[i]);
        put_times(train, first, v, reps, nl + nu);
        if (r->tune) {
            pv_json_set_num(train, "tuning_ms", pv_tune_seconds(r->tune) * 1e3);
            pv_json_set(train, "tuning", pv_tune_json(r->tune));
            pv_tune_store(r->tune);
        }
        pv_json_set_num(train, "peak_bytes", (double)pv_dev_mem(dev).peak);
        pv_json_set_num(train, "reserved_bytes", (double)pv_dev_mem(dev).reserved);
    }
    pv_dev_mem_reset_peak(dev);
    if (a->infer && ok) {
        pv_json_set(result, "infer", inf = pv_json_object());
        ok = infer(r, b.image, &first);
        for (int i = 1; i < a->warmup && ok; i++)
            ok = infer(r, b.image, &ms);
        for (int i = 0; i < reps && ok; i++)
            ok = infer(r, b.image, &v[i]);
        put_times(inf, first, v, reps, nl + nu);
        pv_json_set_num(inf, "peak_bytes", (double)pv_dev_mem(dev).peak);
    }
    pv_tensor_put(&b.image);
    pv_tensor_put(&b.label);
    pv_run_free(&r);
    if (ok && profiled)
        ok = profile(profiled, a, train, inf);
    if (!ok) {
        pv_json_free(result);
        return NULL;
    }
    return result;
}
