/* SPDX-License-Identifier: Apache-2.0
 * Single ops at the shapes of a list: forward, and backward where there is one (convolutions: data and weights apart).
 * An op is called as networks call it, so packing of weights and sums of slabs are part of its time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench/bench.h"
#include "ops/conv.h"
#include "ops/dice.h"
#include "ops/loss.h"
#include "ops/norm.h"
#include "ops/proto.h"
#include "ops/resize.h"
#include "ops/shape.h"
#include "ops/softmax.h"
#include "optim/optim.h"
#include "platform/platform.h"

enum { X, W, B, MOST_IN };

struct bench_op {
    const char *name;
    void (*inputs)(pv_dev *dev, const struct pv_layer *l, pv_tensor **in);
    pv_tensor *(*call)(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in);
    bool backward;
    int passes;                 /* over the input, for GB/s: forward; backward counts one more than twice */
};

static pv_tensor *random_tensor(pv_dev *dev, struct pv_shape h, float scale)
{
    pv_tensor *t = pv_tensor_new(dev, h, PV_F32);
    int64_t n = pv_shape_count(&h);
    float *v = pv_alloc(sizeof *v * (size_t)n);
    struct pv_rng rng = pv_rng_make(1, pv_stream("bench", (uint64_t)n, 0));
    for (int64_t i = 0; i < n; i++)
        v[i] = scale * (float)(2 * pv_rng_uniform(&rng) - 1);
    pv_tensor_write(t, v);
    pv_free(v);
    return t;
}

static pv_tensor *random_labels(pv_dev *dev, struct pv_shape h, int classes)
{
    pv_tensor *t = pv_tensor_new(dev, h, PV_I32);
    int64_t n = pv_shape_count(&h);
    int32_t *v = pv_alloc(sizeof *v * (size_t)n);
    struct pv_rng rng = pv_rng_make(1, pv_stream("labels", (uint64_t)n, 0));
    for (int64_t i = 0; i < n; i++)
        v[i] = (int32_t)pv_rng_below(&rng, (uint32_t)classes);
    pv_tensor_write_i32(t, v);
    pv_free(v);
    return t;
}

/* ---- the ops ---- */

static void in_conv(pv_dev *dev, const struct pv_layer *l, pv_tensor **in)
{
    in[X] = random_tensor(dev, pv_blocked(3, l->n, l->ci, l->s), 1);
    in[W] = random_tensor(dev, pv_flat(pv_conv_weights(3, l->ci, l->co, l->k)), 0.1f);
    in[B] = random_tensor(dev, pv_flat(l->co), 1);
}

static void in_stem(pv_dev *dev, const struct pv_layer *l, pv_tensor **in)
{
    in_conv(dev, l, in);
    pv_tensor_put(&in[X]);
    in[X] = random_tensor(dev, pv_plain(3, l->n, l->ci, l->s), 1);
}

static void in_map(pv_dev *dev, const struct pv_layer *l, pv_tensor **in)
{
    in[X] = random_tensor(dev, pv_blocked(3, l->n, l->ci, l->s), 1);
    in[W] = random_tensor(dev, pv_flat(l->ci), 1);
    in[B] = random_tensor(dev, pv_flat(l->ci), 1);
}

static void in_plain(pv_dev *dev, const struct pv_layer *l, pv_tensor **in)
{
    in[X] = random_tensor(dev, pv_plain(3, l->n, l->ci, l->s), 1);
    in[B] = random_labels(dev, pv_plain(3, l->n, 1, l->s), l->ci);
}

static void in_proto(pv_dev *dev, const struct pv_layer *l, pv_tensor **in)
{
    in[X] = random_tensor(dev, pv_blocked(3, l->n, l->ci, l->s), 1);
    in[W] = random_tensor(dev, pv_flat(2 * l->ci), 1);
}

/* Positive, as probabilities are. */
static void in_probs(pv_dev *dev, const struct pv_layer *l, pv_tensor **in)
{
    pv_tensor *z = random_tensor(dev, pv_plain(3, l->n, l->ci, l->s), 1);
    pv_tape *t = pv_tape_new(dev);
    in[X] = pv_softmax(t, z);
    pv_tape_free(&t);
    pv_tensor_put(&z);
}

static void in_flat(pv_dev *dev, const struct pv_layer *l, pv_tensor **in)
{
    int n = l->ci * l->s[0] * l->s[1] * l->s[2];
    for (int i = 0; i < MOST_IN; i++)
        in[i] = random_tensor(dev, pv_flat(n), 1);
}

static pv_tensor *call_conv(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    return pv_conv(t, in[X], in[W], in[B], l->co, l->k, l->stride, l->k == 2 ? 0 : (l->k - 1) / 2);
}

static pv_tensor *call_up(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    return pv_conv_up(t, in[X], in[W], in[B], l->co, l->k);
}

static pv_tensor *call_head(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    return pv_head(t, in[X], in[W], in[B], l->co);
}

static pv_tensor *call_norm(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_norm_act(t, in[X], &(struct pv_norm_params){.kind = PV_NORM_BATCH, .train = true, .gamma = in[W],
                                                          .beta = in[B]});
}

static pv_tensor *call_inorm(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_norm_act(t, in[X], &(struct pv_norm_params){.kind = PV_NORM_INSTANCE, .gamma = in[W], .beta = in[B],
                                                          .slope = 0.01f});
}

static pv_tensor *call_drop(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_dropout_element(t, in[X], 0.5f);
}

static pv_tensor *call_pool(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_max_pool(t, in[X]);
}

static pv_tensor *call_resize(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_resize_up(t, in[X], PV_LINEAR);
}

static pv_tensor *call_softmax(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_softmax(t, in[X]);
}

static pv_tensor *call_entropy(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_entropy(t, in[X], PV_ENTROPY_NAT, 1e-6f);
}

/* To two prototypes, foreground and background. */
static pv_tensor *call_cosine(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_cosine(t, in[X], in[W], 2, 20);
}

static pv_tensor *call_ce(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_ce_hard(t, in[X], in[B], NULL, 255, (struct pv_reduction){PV_RED_MEAN});
}

static pv_tensor *call_dice(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_dice(t, in[X], in[B], NULL, (struct pv_dice_opts){.form = PV_DICE_SQ});
}

static pv_tensor *call_sgd(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)t;
    (void)l;
    const struct pv_sgd o = {.lr = 1e-9f, .momentum = 0.9f, .weight_decay = 1e-4f};
    pv_sgd_step(in[X], in[W], in[B], &o, NULL, NULL);
    return pv_tensor_ref(in[X]);
}

static pv_tensor *call_ema(pv_tape *t, const struct pv_layer *l, pv_tensor *const *in)
{
    (void)t;
    (void)l;
    pv_ema_update(in[X], in[W], 0.99f);
    return pv_tensor_ref(in[X]);
}

static const struct bench_op ops[] = {
    {"conv", in_conv, call_conv, true, 1}, {"up", in_conv, call_up, true, 1},
    {"stem", in_stem, call_conv, true, 1}, {"head", in_conv, call_head, true, 1},
    {"batch_norm", in_map, call_norm, true, 3}, {"instance_norm", in_map, call_inorm, true, 3},
    {"dropout", in_map, call_drop, true, 2}, {"max_pool", in_map, call_pool, true, 1},
    {"resize_up", in_map, call_resize, true, 9}, {"softmax", in_plain, call_softmax, true, 2},
    {"entropy", in_probs, call_entropy, true, 1}, {"cosine", in_proto, call_cosine, true, 1},
    {"cross_entropy", in_plain, call_ce, true, 1}, {"dice", in_plain, call_dice, true, 1},
    {"sgd", in_flat, call_sgd, false, 5}, {"ema", in_flat, call_ema, false, 3}};

static const struct bench_op *find_op(const char *name)
{
    for (size_t i = 0; i < PV_COUNT(ops); i++)
        if (pv_streq(ops[i].name, name))
            return &ops[i];
    pv_fail(PV_FAULT_INTERNAL, "bench: op '%s' has a shape but no row", name);
    return NULL;
}

/* ---- timing ---- */

struct phase { const char *name; unsigned grads; };     /* grads: bit per input; 0: forward */

/* `runs` one after another, of which only the last is waited for; *ms: of one. Backwards each has a tape of its own
 * (0 to runs - 1, recorded before the time begins) and writes its gradients as the first of a step does. */
static bool sample(pv_tape *const *tapes, int runs, const struct bench_op *op, const struct pv_layer *l, pv_tensor **in,
                   unsigned grads, double *ms)
{
    pv_dev *dev = tapes[0]->dev;
    pv_tensor *y[PV_BENCH_MOST_RUNS] = {NULL}, *dy = NULL;
    for (int i = 0; i < MOST_IN; i++)
        if (in[i])
            in[i]->needs_grad = grads >> i & 1;
    for (int i = 0; i < runs && grads; i++) {
        tapes[i]->recording = true;
        y[i] = op->call(tapes[i], l, in);
    }
    if (y[0]) {
        dy = pv_tensor_new(dev, y[0]->h, PV_F32);
        pv_tensor_zero(dy);
    }
    bool ok = pv_dev_finish(dev);
    uint64_t t0 = pv_clock_ns();
    for (int i = 0; i < runs && ok; i++) {
        if (grads) {
            pv_backward_from(tapes[i], 1, &y[i], &dy);
        } else {
            tapes[i]->recording = false;
            y[i] = op->call(tapes[i], l, in);
            if (y[i] && pv_tensor_pin(y[i]))    /* a normalisation that its reader would apply is applied */
                pv_tensor_unpin(y[i]);
        }
        pv_tensor_put(&y[i]);
        for (int j = 0; j < MOST_IN; j++)
            if (in[j]) {
                pv_tensor_put(&in[j]->grad);
                in[j]->grad_valid = false;
            }
    }
    ok = pv_dev_finish(dev) && ok;
    *ms = (double)(pv_clock_ns() - t0) * 1e-6 / runs;
    pv_tensor_put(&dy);
    for (int i = 0; i < runs; i++) {
        pv_tensor_put(&y[i]);
        pv_tape_clear(tapes[i]);
    }
    for (int i = 0; i < MOST_IN; i++)
        if (in[i])
            in[i]->needs_grad = false;
    return ok;
}

int pv_bench_runs(const struct pv_layer *l, double ms, double window)
{
    double y = (double)l->n * l->co * l->s[0] * l->s[1] * l->s[2] * (pv_streq(l->op, "up") ? 8 : 1) * 4;
    double most = fmin(PV_BENCH_MOST_RUNS, fmax(1, 256 * 1048576.0 / y)), want = ceil(window / fmax(ms, 1e-6));
    return (int)fmax(1, fmin(want, most));
}

static bool measure(pv_tape *const *tapes, const struct bench_op *op, const struct pv_layer *l, const struct phase *p,
                    const struct pv_bench_ops_args *a, const struct pv_peak *peak, pv_json *rows)
{
    if (a->phase && !pv_starts(p->name, a->phase))
        return true;
    pv_tensor *in[MOST_IN] = {NULL};
    op->inputs(tapes[0]->dev, l, in);
    double v[256], first = 0;
    int n = 0, most = a->reps < 256 ? a->reps : 256, runs = 1;
    bool ok = sample(tapes, 1, op, l, in, p->grads, &first) && sample(tapes, 1, op, l, in, p->grads, &first);
    if (ok && a->window > 0) {
        runs = pv_bench_runs(l, first, a->window);
        ok = sample(tapes, runs, op, l, in, p->grads, &first);
    }
    uint64_t t0 = pv_clock_ns();
    while (ok && n < most && (n < 3 || (double)(pv_clock_ns() - t0) * 1e-9 < a->seconds))
        ok = sample(tapes, runs, op, l, in, p->grads, &v[n++]);
    for (int i = 0; i < MOST_IN; i++)
        pv_tensor_put(&in[i]);
    if (!ok)
        return false;
    pv_json *r = pv_layer_row(l, p->name, a->impl ? a->impl : "own choice");
    pv_layer_put_times(r, l, v, n, op->passes, peak->fma);
    pv_json_set_num(r, "runs", runs);
    pv_json_add(rows, r);
    return true;
}

static bool measure_op(pv_tape *const *t, const struct bench_op *op, const struct pv_layer *l,
                       const struct pv_bench_ops_args *a, const struct pv_peak *peak, pv_json *rows)
{
    static const struct phase fwd = {"fwd", 0}, bwd_data = {"bwd data", 1u << X}, bwd_weight = {"bwd weight", 1u << W},
                              bwd = {"bwd", 1u << X | 1u << W | 1u << B}, bwd_x = {"bwd", 1u << X};
    bool ok = measure(t, op, l, &fwd, a, peak, rows);
    if (!op->backward)
        return ok;
    if (!l->conv)
        return ok && measure(t, op, l, op->inputs == in_plain || op->inputs == in_probs ? &bwd_x : &bwd, a, peak, rows);
    if (op->inputs != in_stem)
        ok = ok && measure(t, op, l, &bwd_data, a, peak, rows);
    return ok && measure(t, op, l, &bwd_weight, a, peak, rows);
}

pv_json *pv_bench_ops_run(pv_dev *dev, const struct pv_bench_ops_args *a)
{
    int num;
    struct pv_layer *layers = pv_layers_read(a->shapes, a->op, &num);
    if (!layers)
        return NULL;
    struct pv_peak peak = pv_bench_peak(dev, 0);
    pv_json *result = pv_bench_result("ops", dev, &peak), *rows = pv_json_array();
    pv_json_set_str(result, "shapes", a->shapes);
    pv_json_set(result, "rows", rows);
    pv_tape *tapes[PV_BENCH_MOST_RUNS];
    for (int i = 0; i < PV_BENCH_MOST_RUNS; i++) {
        tapes[i] = pv_tape_new(dev);
        tapes[i]->force_impl = a->impl;
    }
    bool ok = true;
    for (int i = 0; i < num && ok; i++) {
        const struct bench_op *op = find_op(layers[i].op);
        ok = op && measure_op(tapes, op, &layers[i], a, &peak, rows);
    }
    for (int i = 0; i < PV_BENCH_MOST_RUNS; i++)
        pv_tape_free(&tapes[i]);
    pv_free(layers);
    if (!ok) {
        pv_json_free(result);
        return NULL;
    }
    return result;
}
