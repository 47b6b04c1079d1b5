/* SPDX-License-Identifier: Apache-2.0
 * Single ops at the shapes of a list: forward, and backward where there is one (convolutions: data and weights apart).
 * An op is called as networks call it, so packing of weights and sums of slabs are part of its time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
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

extern const struct pv_embedded pv_embedded_shapes[];

struct layer { int ci, co, k, stride, n, s[3]; };
enum { X, W, B, MOST_IN };

struct bench_op {
    const char *name;
    bool conv;                  /* the long form of a line; weights have gradients of their own */
    void (*inputs)(pv_dev *dev, const struct layer *l, pv_tensor **in);
    pv_tensor *(*call)(pv_tape *t, const struct layer *l, pv_tensor *const *in);
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

static void in_conv(pv_dev *dev, const struct layer *l, pv_tensor **in)
{
    in[X] = random_tensor(dev, pv_blocked(3, l->n, l->ci, l->s), 1);
    in[W] = random_tensor(dev, pv_flat(pv_conv_weights(3, l->ci, l->co, l->k)), 0.1f);
    in[B] = random_tensor(dev, pv_flat(l->co), 1);
}

static void in_stem(pv_dev *dev, const struct layer *l, pv_tensor **in)
{
    in_conv(dev, l, in);
    pv_tensor_put(&in[X]);
    in[X] = random_tensor(dev, pv_plain(3, l->n, l->ci, l->s), 1);
}

static void in_map(pv_dev *dev, const struct layer *l, pv_tensor **in)
{
    in[X] = random_tensor(dev, pv_blocked(3, l->n, l->ci, l->s), 1);
    in[W] = random_tensor(dev, pv_flat(l->ci), 1);
    in[B] = random_tensor(dev, pv_flat(l->ci), 1);
}

static void in_plain(pv_dev *dev, const struct layer *l, pv_tensor **in)
{
    in[X] = random_tensor(dev, pv_plain(3, l->n, l->ci, l->s), 1);
    in[B] = random_labels(dev, pv_plain(3, l->n, 1, l->s), l->ci);
}

static void in_proto(pv_dev *dev, const struct layer *l, pv_tensor **in)
{
    in[X] = random_tensor(dev, pv_blocked(3, l->n, l->ci, l->s), 1);
    in[W] = random_tensor(dev, pv_flat(2 * l->ci), 1);
}

/* Positive, as probabilities are. */
static void in_probs(pv_dev *dev, const struct layer *l, pv_tensor **in)
{
    pv_tensor *z = random_tensor(dev, pv_plain(3, l->n, l->ci, l->s), 1);
    pv_tape *t = pv_tape_new(dev);
    in[X] = pv_softmax(t, z);
    pv_tape_free(&t);
    pv_tensor_put(&z);
}

static void in_flat(pv_dev *dev, const struct layer *l, pv_tensor **in)
{
    int n = l->ci * l->s[0] * l->s[1] * l->s[2];
    for (int i = 0; i < MOST_IN; i++)
        in[i] = random_tensor(dev, pv_flat(n), 1);
}

static pv_tensor *call_conv(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    return pv_conv(t, in[X], in[W], in[B], l->co, l->k, l->stride, l->k == 2 ? 0 : (l->k - 1) / 2);
}

static pv_tensor *call_up(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    return pv_conv_up(t, in[X], in[W], in[B], l->co, l->k);
}

static pv_tensor *call_head(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    return pv_head(t, in[X], in[W], in[B], l->co);
}

static pv_tensor *call_norm(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_norm_act(t, in[X], &(struct pv_norm_params){.kind = PV_NORM_BATCH, .train = true, .gamma = in[W],
                                                          .beta = in[B]});
}

static pv_tensor *call_inorm(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_norm_act(t, in[X], &(struct pv_norm_params){.kind = PV_NORM_INSTANCE, .gamma = in[W], .beta = in[B],
                                                          .slope = 0.01f});
}

static pv_tensor *call_drop(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_dropout_element(t, in[X], 0.5f);
}

static pv_tensor *call_pool(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_max_pool(t, in[X]);
}

static pv_tensor *call_resize(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_resize_up(t, in[X], PV_LINEAR);
}

static pv_tensor *call_softmax(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_softmax(t, in[X]);
}

static pv_tensor *call_entropy(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_entropy(t, in[X], PV_ENTROPY_NAT, 1e-6f);
}

/* To two prototypes, foreground and background. */
static pv_tensor *call_cosine(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_cosine(t, in[X], in[W], 2, 20);
}

static pv_tensor *call_ce(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_ce_hard(t, in[X], in[B], NULL, 255, (struct pv_reduction){PV_RED_MEAN});
}

static pv_tensor *call_dice(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)l;
    return pv_dice(t, in[X], in[B], NULL, (struct pv_dice_opts){.form = PV_DICE_SQ});
}

static pv_tensor *call_sgd(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)t;
    (void)l;
    const struct pv_sgd o = {.lr = 1e-9f, .momentum = 0.9f, .weight_decay = 1e-4f};
    pv_sgd_step(in[X], in[W], in[B], &o, NULL, NULL);
    return pv_tensor_ref(in[X]);
}

static pv_tensor *call_ema(pv_tape *t, const struct layer *l, pv_tensor *const *in)
{
    (void)t;
    (void)l;
    pv_ema_update(in[X], in[W], 0.99f);
    return pv_tensor_ref(in[X]);
}

static const struct bench_op ops[] = {
    {"conv", true, in_conv, call_conv, true, 1}, {"up", true, in_conv, call_up, true, 1},
    {"stem", true, in_stem, call_conv, true, 1}, {"head", true, in_conv, call_head, true, 1},
    {"batch_norm", false, in_map, call_norm, true, 3}, {"instance_norm", false, in_map, call_inorm, true, 3},
    {"dropout", false, in_map, call_drop, true, 2}, {"max_pool", false, in_map, call_pool, true, 1},
    {"resize_up", false, in_map, call_resize, true, 9}, {"softmax", false, in_plain, call_softmax, true, 2},
    {"entropy", false, in_probs, call_entropy, true, 1}, {"cosine", false, in_proto, call_cosine, true, 1},
    {"cross_entropy", false, in_plain, call_ce, true, 1}, {"dice", false, in_plain, call_dice, true, 1},
    {"sgd", false, in_flat, call_sgd, false, 5}, {"ema", false, in_flat, call_ema, false, 3}};

/* ---- lists of shapes ---- */

static const struct bench_op *find_op(const char *name, const char *list, int line)
{
    struct pv_str known = {0};
    for (size_t i = 0; i < PV_COUNT(ops); i++) {
        if (pv_streq(ops[i].name, name)) {
            pv_str_free(&known);
            return &ops[i];
        }
        pv_str_addf(&known, "%s%s", i ? ", " : "", ops[i].name);
    }
    if (list)
        pv_fail(PV_FAULT_INPUT, "%s:%d: there is no op '%s' to measure; known are %s", list, line, name, known.text);
    else
        pv_fail(PV_FAULT_USAGE, "--op: there is no op '%s' to measure; known are %s", name, known.text);
    pv_str_free(&known);
    return NULL;
}

/* One line; *op is NULL for an empty one. False after a fault. */
static bool parse_line(char *text, const char *list, int line, const struct bench_op **op, struct layer *l)
{
    struct pv_strs w = {0};
    text[strcspn(text, "#")] = 0;
    pv_strs_split(&w, text, " \t\r");
    *op = w.n ? find_op(w.v[0], list, line) : NULL;
    bool ok = w.n == 0 || *op;
    if (*op) {
        int64_t v[5] = {0, 0, 1, 1, 1};
        size_t at = 1, num = (*op)->conv ? 4 : 1;
        for (size_t i = 0; i < num; i++, at++)
            ok = ok && at < w.n && pv_parse_i64(w.v[at], &v[i]) && v[i] > 0 && v[i] < 65536;
        ok = ok && at < w.n && pv_parse_shape(w.v[at++], l->s);
        if (ok && at < w.n)
            ok = pv_parse_i64(w.v[at++], &v[4]) && v[4] > 0 && v[4] < 65536;
        *l = (struct layer){(int)v[0], (int)v[1], (int)v[2], (int)v[3], (int)v[4], {l->s[0], l->s[1], l->s[2]}};
        if (!ok || at != w.n)
            ok = pv_fail(PV_FAULT_INPUT, "%s:%d: '%s' takes %s", list, line, w.v[0], (*op)->conv
                         ? "CHANNELS_IN CHANNELS_OUT SIDE STRIDE XxYxZ [N]" : "CHANNELS XxYxZ [N]");
    }
    pv_strs_free(&w);
    return ok;
}

static char *read_list(const char *name)
{
    struct pv_str known = {0};
    char *text = NULL;
    size_t size;
    for (const struct pv_embedded *e = pv_embedded_shapes; e->name; e++) {
        if (pv_streq(e->name, name))
            text = pv_strdup(e->data);
        pv_str_addf(&known, "%s%s", known.len ? ", " : "", e->name);
    }
    if (!text && !pv_file_exists(name))
        pv_fail(PV_FAULT_USAGE, "there is no list of shapes '%s'; known are %s, or a text file", name, known.text);
    else if (!text)
        pv_read_file(name, &text, &size);
    pv_str_free(&known);
    return text;
}

/* ---- timing ---- */

struct phase { const char *name; unsigned grads; };     /* grads: bit per input; 0: forward */

static bool once(pv_tape *t, const struct bench_op *op, const struct layer *l, pv_tensor **in, unsigned grads,
                 double *ms)
{
    t->recording = grads != 0;
    for (int i = 0; i < MOST_IN; i++)
        if (in[i])
            in[i]->needs_grad = grads >> i & 1;
    if (!pv_dev_finish(t->dev))
        return false;
    uint64_t t0 = pv_clock_ns();
    pv_tensor *y = op->call(t, l, in);
    if (grads && y) {
        pv_tensor *dy = pv_tensor_new(t->dev, y->h, PV_F32);
        pv_tensor_zero(dy);
        pv_dev_finish(t->dev);
        t0 = pv_clock_ns();
        pv_backward_from(t, 1, &y, &dy);
        pv_tensor_put(&dy);
    }
    bool ok = pv_dev_finish(t->dev);
    *ms = (double)(pv_clock_ns() - t0) * 1e-6;
    pv_tensor_put(&y);
    pv_tape_clear(t);
    for (int i = 0; i < MOST_IN; i++)
        if (in[i]) {
            pv_tensor_put(&in[i]->grad);
            in[i]->grad_valid = in[i]->needs_grad = false;
        }
    return ok;
}

static double gflop(const struct bench_op *op, const struct layer *l)
{
    if (!op->conv)
        return 0;
    double taps = (double)l->k * l->k * l->k, voxels = (double)l->n * l->s[0] * l->s[1] * l->s[2];
    if (op->call != call_up)
        voxels /= (double)l->stride * l->stride * l->stride;
    return 2e-9 * taps * voxels * l->ci * l->co;
}

/* Bytes that must move: convolutions read x and write y once. */
static double gbyte(const struct bench_op *op, const struct layer *l, bool backward)
{
    double voxels = (double)l->n * l->s[0] * l->s[1] * l->s[2];
    if (!op->conv)
        return 4e-9 * voxels * l->ci * (backward ? 2 * op->passes + 1 : op->passes);
    double out = op->call == call_up ? 8 * voxels : voxels / ((double)l->stride * l->stride * l->stride);
    return 4e-9 * (voxels * l->ci + out * l->co + (double)l->k * l->k * l->k * l->ci * l->co);
}

static bool measure(pv_tape *t, const struct bench_op *op, const struct layer *l, const struct phase *p,
                    const struct pv_bench_ops_args *a, const struct pv_peak *peak, pv_json *rows)
{
    if (a->phase && !pv_starts(p->name, a->phase))
        return true;
    pv_tensor *in[MOST_IN] = {NULL};
    op->inputs(t->dev, l, in);
    double v[256], first = 0;
    int n = 0, most = a->reps < 256 ? a->reps : 256;
    bool ok = once(t, op, l, in, p->grads, &first) && once(t, op, l, in, p->grads, &first);
    uint64_t t0 = pv_clock_ns();
    while (ok && n < most && (n < 3 || (double)(pv_clock_ns() - t0) * 1e-9 < a->seconds))
        ok = once(t, op, l, in, p->grads, &v[n++]);
    for (int i = 0; i < MOST_IN; i++)
        pv_tensor_put(&in[i]);
    if (!ok)
        return false;
    pv_json *r = pv_json_object();
    char shape[64];
    snprintf(shape, sizeof shape, "%dx%dx%d", l->s[0], l->s[1], l->s[2]);
    pv_json_set_str(r, "op", op->name);
    pv_json_set_num(r, "ci", l->ci);
    if (op->conv) {
        pv_json_set_num(r, "co", l->co);
        pv_json_set_num(r, "k", l->k);
        pv_json_set_num(r, "stride", l->stride);
    }
    pv_json_set_str(r, "input", shape);
    pv_json_set_num(r, "n", l->n);
    pv_json_set_str(r, "phase", p->name);
    pv_json_set_str(r, "impl", a->impl ? a->impl : "own choice");
    struct pv_spread s = pv_bench_put_times(r, v, n);
    double gf = gflop(op, l) / s.median * 1e3, gb = gbyte(op, l, p->grads != 0) / s.median * 1e3;
    if (op->conv) {
        pv_json_set_num(r, "gflops", gf);
        pv_json_set_num(r, "share_of_fma_peak", peak->fma > 0 ? gf / peak->fma : 0);
    }
    pv_json_set_num(r, "gbs", gb);
    pv_json_add(rows, r);
    return true;
}

static bool measure_op(pv_tape *t, const struct bench_op *op, const struct layer *l,
                       const struct pv_bench_ops_args *a, const struct pv_peak *peak, pv_json *rows)
{
    static const struct phase fwd = {"fwd", 0}, bwd_data = {"bwd data", 1u << X}, bwd_weight = {"bwd weight", 1u << W},
                              bwd = {"bwd", 1u << X | 1u << W | 1u << B}, bwd_x = {"bwd", 1u << X};
    bool ok = measure(t, op, l, &fwd, a, peak, rows);
    if (!op->backward)
        return ok;
    if (!op->conv)
        return ok && measure(t, op, l, op->inputs == in_plain || op->inputs == in_probs ? &bwd_x : &bwd, a, peak, rows);
    if (op->inputs != in_stem)
        ok = ok && measure(t, op, l, &bwd_data, a, peak, rows);
    return ok && measure(t, op, l, &bwd_weight, a, peak, rows);
}

pv_json *pv_bench_ops_run(pv_dev *dev, const struct pv_bench_ops_args *a)
{
    char *text = read_list(a->shapes);
    if (!text || (a->op && !find_op(a->op, NULL, 0))) {
        pv_free(text);
        return NULL;
    }
    struct pv_peak peak = pv_bench_peak(dev, 0);
    pv_json *result = pv_bench_result("ops", dev, &peak), *rows = pv_json_array();
    pv_json_set_str(result, "shapes", a->shapes);
    pv_json_set(result, "rows", rows);
    pv_tape *t = pv_tape_new(dev);
    t->force_impl = a->impl;
    bool ok = true;
    int line = 0;
    for (char *at = text, *end; ok && at; at = end) {
        end = strchr(at, '\n');
        if (end)
            *end++ = 0;
        const struct bench_op *op;
        struct layer l = {0};
        ok = parse_line(at, a->shapes, ++line, &op, &l);
        if (ok && op && (!a->op || pv_streq(op->name, a->op)))
            ok = measure_op(t, op, &l, a, &peak, rows);
    }
    pv_tape_free(&t);
    pv_free(text);
    if (!ok) {
        pv_json_free(result);
        return NULL;
    }
    return result;
}
