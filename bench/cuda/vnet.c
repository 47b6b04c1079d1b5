/* SPDX-License-Identifier: Apache-2.0
 * A training step and an inference of V-Net on cuDNN: convolution, batch norm, ReLU 1, 2, 3, 3, 3 times down and 3, 3,
 * 2, 1 times up, strided and transposed convolutions between, skips added, head, cross-entropy + Dice, SGD with
 * momentum.
 * As in bench/peers, what does not change the work's nature is left out in the rival's favour: dropout, and the biases
 * in front of a batch norm. In half precision feature maps, weights and their gradients are fp16 with fp32 master
 * weights and a constant loss scale; logits and losses are fp32. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "cu.h"
#include "platform/platform.h"

enum { LEVELS = 5, MOST_UNITS = 32, ALIGN = 64 };
static const int block_convs[2 * LEVELS - 1] = {1, 2, 3, 3, 3, 3, 3, 2, 1};
static const double bn_eps = 1e-5;
static const float one = 1, zero = 0, loss_scale = 1024;

/* Convolution, batch norm, ReLU: x -> z -> y. */
struct unit {
    struct cu_conv conv;
    cudnnTensorDescriptor_t channels;
    const void *x;
    void *z, *y;
    size_t w, scale;                /* offsets into parameters; the bias lies behind the scale */
    float *stats;                   /* mean, 1 / deviation of the batch, running mean, running variance */
    int level;
    bool first;                     /* its input is the image: no gradient */
};

struct vnet {
    struct cu *c;
    const struct cu_step_args *a;
    struct unit u[MOST_UNITS];
    int num_units;
    struct cu_conv head;
    cudnnTensorDescriptor_t head_bias;
    size_t head_w, head_b;
    size_t num_half, num;           /* parameters that have a half copy (first), all */
    float *w, *g, *m;               /* [num] */
    void *wh, *gh;                  /* [num_half] halves; NULL in fp32 */
    void *image, *sum[LEVELS - 1], *grad_skip[LEVELS - 1], *grad, *dz[2], *logits, *dlogits;
    float *z, *dlz, *part, *sums, *loss;    /* logits and their gradient as plain fp32 */
    int *label;
    int classes;
    cudnnActivationDescriptor_t relu;
    bool ok;
};

static int side(const struct vnet *n, int axis, int level)
{
    return n->a->patch[axis] >> level;
}

static size_t map_count(const struct vnet *n, int level)
{
    size_t v = (size_t)n->a->batch * (size_t)(n->a->filters << level);
    for (int i = 0; i < 3; i++)
        v *= (size_t)side(n, i, level);
    return v;
}

/* Everything stays until the process or the benchmark ends. */
static void *take(struct vnet *n, size_t bytes)
{
    void *p = n->ok ? cu_alloc(n->c, bytes) : NULL;
    n->ok = p && CU(cudaMemset(p, 0, bytes));
    return p;
}

static size_t parameters(size_t *at, size_t count)
{
    size_t old = *at;
    *at += (count + ALIGN - 1) / ALIGN * ALIGN;
    return old;
}

/* ---- building ---- */

static struct unit *add_unit(struct vnet *n, const char *op, int ci, int co, int k, int stride, int from, int to)
{
    static const int point[3] = {1, 1, 1};
    struct unit *u = &n->u[n->num_units];
    const struct pv_layer l = {op, true, ci, co, k, stride, n->a->batch, {side(n, 0, from), side(n, 1, from),
                                                                        side(n, 2, from)}};
    u->level = to;
    u->first = n->num_units++ == 0;
    n->ok = n->ok && cu_conv_make(n->c, &u->conv, &l) &&
            cu_tensor(n->c, &u->channels, 1, co, point, CUDNN_DATA_FLOAT);
    u->w = parameters(&n->num_half, u->conv.w_count);
    u->z = take(n, u->conv.y_count * n->c->element);
    u->y = take(n, u->conv.y_count * n->c->element);
    u->stats = take(n, 4 * (size_t)co * 4);
    return u;
}

static void build(struct vnet *n)
{
    int f = n->a->filters;
    static const int point[3] = {1, 1, 1};
    for (int b = 0; b < LEVELS; b++) {
        for (int i = 0; i < block_convs[b]; i++)
            add_unit(n, "conv", b == 0 && i == 0 ? 1 : f << b, f << b, 3, 1, b, b);
        if (b + 1 < LEVELS)
            add_unit(n, "conv", f << b, f << (b + 1), 2, 2, b, b + 1);
    }
    for (int b = LEVELS - 2; b >= 0; b--) {
        add_unit(n, "up", f << (b + 1), f << b, 2, 2, b + 1, b);
        for (int i = 0; i < block_convs[2 * LEVELS - 2 - b]; i++)
            add_unit(n, "conv", f << b, f << b, 3, 1, b, b);
    }
    const struct pv_layer l = {"head", true, f, n->classes, 1, 1, n->a->batch,
                               {n->a->patch[0], n->a->patch[1], n->a->patch[2]}};
    n->ok = n->ok && cu_conv_make(n->c, &n->head, &l) &&
            cu_tensor(n->c, &n->head_bias, 1, n->classes, point, n->c->type);
    n->head_w = parameters(&n->num_half, n->head.w_count);
    n->head_b = parameters(&n->num_half, (size_t)n->classes);
    n->num = n->num_half;
    for (int i = 0; i < n->num_units; i++)
        n->u[i].scale = parameters(&n->num, 2 * (size_t)n->u[i].conv.co);
}

/* He's initialisation for weights, 1 and 0 for norms, running variances 1. */
static void initialise(struct vnet *n)
{
    float *v = pv_zalloc(n->num * sizeof *v);
    struct pv_rng rng = pv_rng_make(1, pv_stream("bench", 0, 0));
    for (int i = 0; i <= n->num_units; i++) {
        const struct cu_conv *c = i < n->num_units ? &n->u[i].conv : &n->head;
        size_t at = i < n->num_units ? n->u[i].w : n->head_w;
        double sd = sqrt(2.0 / ((double)c->ci * (c->up ? 1 : c->k * c->k * c->k)));
        for (size_t k = 0; k < c->w_count; k++)
            v[at + k] = (float)(sd * pv_rng_normal(&rng));
    }
    for (int i = 0; i < n->num_units && n->ok; i++) {
        int co = n->u[i].conv.co;
        for (int k = 0; k < co; k++)
            v[n->u[i].scale + (size_t)k] = 1;
        n->ok = CU(cudaMemcpy(n->u[i].stats + 3 * co, v + n->u[i].scale, (size_t)co * 4, cudaMemcpyHostToDevice));
    }
    n->ok = n->ok && CU(cudaMemcpy(n->w, v, n->num * 4, cudaMemcpyHostToDevice));
    pv_free(v);
    if (n->ok && n->wh)
        n->ok = CU(k_to_half(n->wh, n->w, n->num_half));
}

static void make_data(struct vnet *n)
{
    size_t count = (size_t)n->a->batch * (size_t)n->a->patch[0] * (size_t)n->a->patch[1] * (size_t)n->a->patch[2];
    n->image = n->ok ? cu_random(n->c, count, 1.7f, false) : NULL;
    int *v = pv_alloc(count * sizeof *v);
    struct pv_rng rng = pv_rng_make(1, pv_stream("labels", 0, 0));
    for (size_t i = 0; i < count; i++)
        v[i] = (int)pv_rng_below(&rng, (uint32_t)n->classes);
    n->label = take(n, count * sizeof *v);
    n->ok = n->ok && n->image && CU(cudaMemcpy(n->label, v, count * sizeof *v, cudaMemcpyHostToDevice));
    pv_free(v);
}

static void buffers(struct vnet *n)
{
    size_t e = n->c->element, most = map_count(n, 0), logits = n->head.y_count, sums = 1 + 3 * (size_t)n->classes;
    n->w = take(n, n->num * 4);
    n->g = take(n, n->num * 4);
    n->m = take(n, n->num * 4);
    if (n->c->element == 2) {
        n->wh = take(n, n->num_half * 2);
        n->gh = take(n, n->num_half * 2);
    }
    n->grad = take(n, most * e);
    for (int i = 0; i < 2; i++)
        n->dz[i] = take(n, most * e);
    for (int b = 0; b < LEVELS - 1; b++) {
        n->sum[b] = take(n, map_count(n, b) * e);
        n->grad_skip[b] = take(n, map_count(n, b) * e);
    }
    n->logits = take(n, logits * e);
    n->dlogits = take(n, logits * e);
    n->z = take(n, logits * 4);
    n->dlz = take(n, logits * 4);
    n->part = take(n, K_BLOCKS * sums * 4);
    n->sums = take(n, sums * 4);
    n->loss = take(n, 4);
}

/* ---- forward ---- */

static cudnnBatchNormMode_t bn_mode(const struct vnet *n)
{
    return n->c->nhwc ? CUDNN_BATCHNORM_SPATIAL_PERSISTENT : CUDNN_BATCHNORM_SPATIAL;
}

static void *weights(const struct vnet *n, size_t at)
{
    return n->wh ? (void *)((char *)n->wh + 2 * at) : (void *)(n->w + at);
}

static void *weight_grads(const struct vnet *n, size_t at)
{
    return n->gh ? (void *)((char *)n->gh + 2 * at) : (void *)(n->g + at);
}

static const void *unit_forward(struct vnet *n, struct unit *u, const void *x, bool train)
{
    const float *scale = n->w + u->scale;
    int co = u->conv.co;
    float *s = u->stats;
    cudnnTensorDescriptor_t y = u->conv.y;
    u->x = x;
    n->ok = n->ok && cu_conv_fwd(n->c, &u->conv, x, weights(n, u->w), u->z) &&
            (train ? DNN(cudnnBatchNormalizationForwardTraining(
                         n->c->dnn, bn_mode(n), &one, &zero, y, u->z, y, u->y, u->channels, scale, scale + co, 0.1,
                         s + 2 * co, s + 3 * co, bn_eps, s, s + co))
                   : DNN(cudnnBatchNormalizationForwardInference(n->c->dnn, bn_mode(n), &one, &zero, y, u->z, y, u->y,
                                                                 u->channels, scale, scale + co, s + 2 * co,
                                                                 s + 3 * co, bn_eps))) &&
            DNN(cudnnActivationForward(n->c->dnn, n->relu, &one, y, u->y, &zero, y, u->y));
    return u->y;
}

/* Leaves the logits as plain fp32 in n->z. */
static bool forward(struct vnet *n, bool train)
{
    const void *h = n->image, *skip[LEVELS - 1] = {NULL};
    struct unit *u = n->u;
    for (int b = 0; b < LEVELS; b++) {
        for (int i = 0; i < block_convs[b]; i++)
            h = unit_forward(n, u++, h, train);
        if (b + 1 < LEVELS) {
            skip[b] = h;
            h = unit_forward(n, u++, h, train);
        }
    }
    for (int b = LEVELS - 2; b >= 0; b--) {
        h = unit_forward(n, u++, h, train);
        n->ok = n->ok && CU(k_add(n->sum[b], h, skip[b], map_count(n, b), n->c->element == 2));
        h = n->sum[b];
        for (int i = 0; i < block_convs[2 * LEVELS - 2 - b]; i++)
            h = unit_forward(n, u++, h, train);
    }
    int v = n->a->patch[0] * n->a->patch[1] * n->a->patch[2];
    return n->ok = n->ok && cu_conv_fwd(n->c, &n->head, h, weights(n, n->head_w), n->logits) &&
                   DNN(cudnnAddTensor(n->c->dnn, &one, n->head_bias, weights(n, n->head_b), &one, n->head.y,
                                      n->logits)) &&
                   CU(k_to_plain(n->z, n->logits, n->a->batch, n->classes, v, n->c->element == 2, n->c->nhwc));
}

/* ---- backward ---- */

/* From the gradient of y to that of x (NULL: not needed), which is added to with beta 1. */
static void unit_backward(struct vnet *n, struct unit *u, const void *dy, void *dx, float beta)
{
    float *g = n->g + u->scale;
    int co = u->conv.co;
    cudnnTensorDescriptor_t y = u->conv.y;
    n->ok = n->ok && DNN(cudnnActivationBackward(n->c->dnn, n->relu, &one, y, u->y, y, dy, y, u->y, &zero, y,
                                                 n->dz[0])) &&
            DNN(cudnnBatchNormalizationBackward(n->c->dnn, bn_mode(n), &one, &zero, &one, &zero, y, u->z, y, n->dz[0],
                                                y, n->dz[1], u->channels, n->w + u->scale, g, g + co, bn_eps,
                                                u->stats, u->stats + co)) &&
            cu_conv_weight(n->c, &u->conv, u->x, n->dz[1], weight_grads(n, u->w)) &&
            (!dx || cu_conv_data(n->c, &u->conv, n->dz[1], weights(n, u->w), dx, beta));
}

/* `dy` is the gradient of the last of `num` units that end before *u; the first one's dx is `last`. A unit's dx may be
 * written over its dy, which is read before. */
static void block_backward(struct vnet *n, struct unit **u, int num, const void *dy, void *last)
{
    for (int i = 0; i < num; i++) {
        struct unit *v = --*u;
        void *dx = i + 1 < num ? n->grad : last;
        unit_backward(n, v, dy, v->first ? NULL : dx, 0);
        dy = dx;
    }
}

static bool backward(struct vnet *n, const struct k_loss *o)
{
    int v = n->a->patch[0] * n->a->patch[1] * n->a->patch[2];
    bool half = n->c->element == 2;
    struct unit *u = n->u + n->num_units;
    n->ok = n->ok && CU(k_loss_bwd(n->z, n->label, *o, n->sums, n->dlz, n->a->batch, n->classes, v,
                                   half ? loss_scale : 1)) &&
            CU(k_from_plain(n->dlogits, n->dlz, n->a->batch, n->classes, v, half, n->c->nhwc)) &&
            DNN(cudnnConvolutionBackwardBias(n->c->dnn, &one, n->head.y, n->dlogits, &zero, n->head_bias,
                                             weight_grads(n, n->head_b))) &&
            cu_conv_weight(n->c, &n->head, u[-1].y, n->dlogits, weight_grads(n, n->head_w)) &&
            cu_conv_data(n->c, &n->head, n->dlogits, weights(n, n->head_w), n->grad, 0);
    const void *dy = n->grad;
    for (int b = 0; b < LEVELS - 1; b++) {          /* the sum's gradient is the skip's and the up step's */
        block_backward(n, &u, block_convs[2 * LEVELS - 2 - b], dy, n->grad_skip[b]);
        unit_backward(n, --u, n->grad_skip[b], n->grad, 0);
    }
    for (int b = LEVELS - 1; b >= 0; b--) {
        block_backward(n, &u, block_convs[b], dy, n->grad);
        if (b > 0) {
            unit_backward(n, --u, n->grad, n->grad_skip[b - 1], 1);
            dy = n->grad_skip[b - 1];
        }
    }
    return n->ok;
}

static bool update(struct vnet *n)
{
    return n->ok = n->ok && CU(k_sgd(n->w, n->g, n->m, n->gh, n->wh, n->num, n->num_half, 1e-3f, 0.9f, 1e-4f,
                                     n->gh ? 1 / loss_scale : 1));
}

/* ---- timing ---- */

static bool step(struct vnet *n, double *ms)
{
    const struct k_loss o = {0.5f, 0.5f, 0};
    int v = n->a->patch[0] * n->a->patch[1] * n->a->patch[2];
    uint64_t t0 = pv_clock_ns();
    bool ok = forward(n, true) && (n->ok = CU(k_loss(n->z, n->label, o, n->part, n->sums, n->loss, n->a->batch,
                                                     n->classes, v))) &&
              backward(n, &o) && update(n) && CU(cudaDeviceSynchronize());
    *ms = (double)(pv_clock_ns() - t0) * 1e-6;
    return ok;
}

static bool infer(struct vnet *n, double *ms)
{
    int v = n->a->patch[0] * n->a->patch[1] * n->a->patch[2];
    uint64_t t0 = pv_clock_ns();
    bool ok = forward(n, false) && CU(k_softmax(n->z, n->dlz, n->a->batch, n->classes, v)) &&
              CU(cudaDeviceSynchronize());
    *ms = (double)(pv_clock_ns() - t0) * 1e-6;
    return ok;
}

static bool part(struct vnet *n, pv_json *o, bool (*run)(struct vnet *, double *))
{
    double v[256], first = 0, ms;
    int reps = pv_max(1, pv_min(n->a->reps, 256));
    bool ok = run(n, &first);
    for (int i = 1; i < n->a->warmup && ok; i++)
        ok = run(n, &ms);
    for (int i = 0; i < reps && ok; i++)
        ok = run(n, &v[i]);
    if (!ok)
        return false;
    pv_json_set_num(o, "ms_first", first);
    struct pv_spread s = pv_bench_put_times(o, v, reps);
    pv_json_set_num(o, "ms_median_per_sample", s.median / n->a->batch);
    pv_json_set_num(o, "peak_bytes", (double)n->c->peak);
    return true;
}

static bool read_loss(struct vnet *n, pv_json *o, const char *key)
{
    float loss = 0;
    if (!CU(cudaMemcpy(&loss, n->loss, 4, cudaMemcpyDeviceToHost)))
        return false;
    pv_json_set_num(o, key, loss);
    return isfinite(loss) || pv_fail(PV_FAULT_DEVICE, "the loss of the step on cuDNN is not finite: no times");
}

static bool search_all(struct vnet *n)
{
    bool ok = n->ok && cu_workspace(n->c);
    for (int i = 0; i < n->num_units && ok; i++) {
        struct unit *u = &n->u[i];
        ok = cu_conv_search(n->c, &u->conv, u->first ? n->image : n->grad, weights(n, u->w), u->z,
                            u->first ? NULL : n->dz[0], weight_grads(n, u->w));
    }
    return ok && cu_conv_search(n->c, &n->head, n->grad, weights(n, n->head_w), n->logits, n->dz[0],
                                weight_grads(n, n->head_w)) &&
           cu_workspace_fit(n->c);
}

static void describe(pv_json *o, const struct vnet *n)
{
    char *patch = pv_asprintf("%dx%dx%d", n->a->patch[0], n->a->patch[1], n->a->patch[2]);
    pv_json_set_str(o, "method", "sup");
    pv_json_set_str(o, "net", "vnet");
    pv_json_set_num(o, "filters", n->a->filters);
    pv_json_set_num(o, "channels", 1);
    pv_json_set_num(o, "classes", n->classes);
    pv_json_set_str(o, "patch", patch);
    pv_json_set_num(o, "labeled", n->a->batch);
    pv_json_set_num(o, "unlabeled", 0);
    pv_free(patch);
}

pv_json *cu_bench_step(struct cu *c, const struct cu_step_args *a)
{
    pv_json *o = cu_result(c, "step", true), *train = pv_json_object(), *inf = pv_json_object();
    struct vnet *n = pv_new(struct vnet);
    *n = (struct vnet){.c = c, .a = a, .classes = a->classes, .ok = o != NULL};
    n->ok = n->ok && DNN(cudnnCreateActivationDescriptor(&n->relu)) &&
            DNN(cudnnSetActivationDescriptor(n->relu, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0));
    if (n->ok)
        build(n);
    if (n->ok)
        buffers(n);
    if (n->ok)
        initialise(n);
    if (n->ok)
        make_data(n);
    bool ok = n->ok && search_all(n);
    if (ok) {
        describe(o, n);
        double ms;
        ok = step(n, &ms) && read_loss(n, train, "loss_first");
    }
    ok = ok && (!a->train || (part(n, train, step) && read_loss(n, train, "loss_last")));
    ok = ok && (!a->infer || part(n, inf, infer));
    if (ok && a->train)
        pv_json_set(o, "train", train);
    else
        pv_json_free(train);
    if (ok && a->infer)
        pv_json_set(o, "infer", inf);
    else
        pv_json_free(inf);
    for (int i = 0; i < n->num_units; i++) {
        cu_conv_free(&n->u[i].conv);
        cudnnDestroyTensorDescriptor(n->u[i].channels);
    }
    cu_conv_free(&n->head);
    pv_free(n);
    if (!ok) {
        pv_json_free(o);
        return NULL;
    }
    return o;
}
