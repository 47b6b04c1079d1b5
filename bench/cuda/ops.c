/* SPDX-License-Identifier: Apache-2.0
 * Single ops at the shapes of a list, timed as `protovox bench ops` times ours: from the first call to the device being
 * idle. What has several ways gets a row for each. */
#include <string.h>

#include "cu.h"
#include "platform/platform.h"

enum { X, W, Y, DY, DX, DW, MEAN, INV, A, B, MOST_BUFFERS };

struct job {
    struct cu *c;
    const struct pv_layer *l;
    int v;                              /* voxels of a sample */
    float *b[MOST_BUFFERS];
    size_t bytes[MOST_BUFFERS];
    struct cu_conv conv;
    cudnnTensorDescriptor_t map, channels;
    cudnnActivationDescriptor_t relu;
};

struct phase {
    const char *name, *impl;
    bool (*run)(struct job *j);
};

struct cu_op {
    const char *name;
    bool any_precision;                 /* else fp32 only: mixed training does these in fp32 too */
    int passes;
    bool (*make)(struct job *j);
    struct phase phases[7];
};

static bool room(struct job *j, int i, size_t bytes)
{
    j->bytes[i] = bytes;
    return (j->b[i] = cu_alloc(j->c, bytes)) && CU(cudaMemset(j->b[i], 0, bytes));
}

/* n numbers of the context's type, or floats. */
static bool fill(struct job *j, int i, size_t n, float scale, bool as_float)
{
    j->bytes[i] = n * (as_float ? 4 : j->c->element);
    return (j->b[i] = cu_random(j->c, n, scale, as_float)) != NULL;
}

static bool labels(struct job *j, int i, size_t n, int classes)
{
    int *v = pv_alloc(n * sizeof *v);
    for (size_t k = 0; k < n; k++)
        v[k] = (int)(k * 2654435761u % 65536u % (unsigned)classes);
    bool ok = room(j, i, n * sizeof *v) && CU(cudaMemcpy(j->b[i], v, n * sizeof *v, cudaMemcpyHostToDevice));
    pv_free(v);
    return ok;
}

/* ---- convolutions ---- */

static bool make_conv(struct job *j)
{
    struct cu_conv *v = &j->conv;
    bool stem = pv_streq(j->l->op, "stem");
    size_t e = j->c->element;
    return cu_conv_make(j->c, v, j->l) && fill(j, X, v->x_count, 1, false) && fill(j, W, v->w_count, 0.1f, false) &&
           room(j, Y, v->y_count * e) && fill(j, DY, v->y_count, 1, false) && room(j, DX, v->x_count * e) &&
           room(j, DW, v->w_count * e) && cu_workspace(j->c) &&
           cu_conv_search(j->c, v, j->b[X], j->b[W], j->b[Y], stem ? NULL : j->b[DX], j->b[DW]);
}

static bool conv_fwd(struct job *j)
{
    return cu_conv_fwd(j->c, &j->conv, j->b[X], j->b[W], j->b[Y]);
}

static bool conv_data(struct job *j)
{
    return cu_conv_data(j->c, &j->conv, j->b[DY], j->b[W], j->b[DX], 0);
}

static bool conv_weight(struct job *j)
{
    return cu_conv_weight(j->c, &j->conv, j->b[X], j->b[DY], j->b[DW]);
}

/* ---- the head by cuBLAS: per sample, row-major [c][v] is column-major v x c ---- */

static const float one = 1, zero = 0;

static bool head_fwd(struct job *j)
{
    int v = j->v, ci = j->l->ci, co = j->l->co;
    return BLAS(cublasSgemmStridedBatched(j->c->blas, CUBLAS_OP_N, CUBLAS_OP_N, v, co, ci, &one, j->b[X], v,
                                          (long long)ci * v, j->b[W], ci, 0, &zero, j->b[Y], v, (long long)co * v,
                                          j->l->n));
}

static bool head_data(struct job *j)
{
    int v = j->v, ci = j->l->ci, co = j->l->co;
    return BLAS(cublasSgemmStridedBatched(j->c->blas, CUBLAS_OP_N, CUBLAS_OP_T, v, ci, co, &one, j->b[DY], v,
                                          (long long)co * v, j->b[W], ci, 0, &zero, j->b[DX], v, (long long)ci * v,
                                          j->l->n));
}

static bool head_weight(struct job *j)
{
    int v = j->v, ci = j->l->ci, co = j->l->co;
    bool ok = true;
    for (int s = 0; s < j->l->n && ok; s++)
        ok = BLAS(cublasSgemm(j->c->blas, CUBLAS_OP_T, CUBLAS_OP_N, ci, co, v, &one, j->b[X] + (size_t)s * ci * v, v,
                              j->b[DY] + (size_t)s * co * v, v, s ? &one : &zero, j->b[DW], ci));
    return ok;
}

/* ---- batch norm and ReLU ---- */

static const double bn_eps = 1e-5;

static cudnnBatchNormMode_t bn_mode(const struct job *j)
{
    return j->c->nhwc ? CUDNN_BATCHNORM_SPATIAL_PERSISTENT : CUDNN_BATCHNORM_SPATIAL;
}

static bool norm_fwd(struct job *j)
{
    int ch = j->l->ci;      /* W: scale, bias, running mean and variance */
    float *w = j->b[W];
    return DNN(cudnnBatchNormalizationForwardTraining(j->c->dnn, bn_mode(j), &one, &zero, j->map, j->b[X], j->map,
                                                      j->b[Y], j->channels, w, w + ch, 0.1, w + 2 * ch, w + 3 * ch,
                                                      bn_eps, j->b[MEAN], j->b[INV])) &&
           DNN(cudnnActivationForward(j->c->dnn, j->relu, &one, j->map, j->b[Y], &zero, j->map, j->b[Y]));
}

static bool norm_bwd(struct job *j)
{
    int ch = j->l->ci;
    return DNN(cudnnActivationBackward(j->c->dnn, j->relu, &one, j->map, j->b[Y], j->map, j->b[DY], j->map, j->b[Y],
                                       &zero, j->map, j->b[A])) &&
           DNN(cudnnBatchNormalizationBackward(j->c->dnn, bn_mode(j), &one, &zero, &one, &zero, j->map, j->b[X], j->map,
                                               j->b[A], j->map, j->b[DX], j->channels, j->b[W], j->b[DW],
                                               j->b[DW] + ch, bn_eps, j->b[MEAN], j->b[INV]));
}

static bool make_norm(struct job *j)
{
    static const int point[3] = {1, 1, 1};
    int ch = j->l->ci;
    size_t n = (size_t)j->l->n * (size_t)ch * (size_t)j->v, e = j->c->element;
    return cu_tensor(j->c, &j->map, j->l->n, ch, j->l->s, j->c->type) &&
           cu_tensor(j->c, &j->channels, 1, ch, point, CUDNN_DATA_FLOAT) &&
           DNN(cudnnCreateActivationDescriptor(&j->relu)) &&
           DNN(cudnnSetActivationDescriptor(j->relu, CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0)) &&
           fill(j, X, n, 1, false) && fill(j, W, 4 * (size_t)ch, 1, true) && room(j, Y, n * e) &&
           fill(j, DY, n, 1, false) && room(j, DX, n * e) && room(j, DW, 2 * (size_t)ch * 4) &&
           room(j, MEAN, (size_t)ch * 4) && room(j, INV, (size_t)ch * 4) && room(j, A, n * e) && norm_fwd(j);
}

/* ---- our kernels ---- */

static bool make_plain(struct job *j)
{
    size_t n = (size_t)j->l->n * (size_t)j->l->ci * (size_t)j->v;
    return fill(j, X, n, 1, true) && room(j, Y, n * 4) && fill(j, DY, n, 1, true) && room(j, DX, n * 4) &&
           CU(k_softmax(j->b[X], j->b[Y], j->l->n, j->l->ci, j->v));
}

static bool softmax_fwd(struct job *j)
{
    return CU(k_softmax(j->b[X], j->b[Y], j->l->n, j->l->ci, j->v));
}

static bool softmax_bwd(struct job *j)
{
    return CU(k_softmax_bwd(j->b[Y], j->b[DY], j->b[DX], j->l->n, j->l->ci, j->v));
}

/* Y: probabilities, A: the entropy. */
static bool make_entropy(struct job *j)
{
    return make_plain(j) && room(j, A, (size_t)j->l->n * (size_t)j->v * 4);
}

static bool entropy_fwd(struct job *j)
{
    return CU(k_entropy(j->b[Y], j->b[A], j->l->n, j->l->ci, j->v, 1e-6f));
}

static bool entropy_bwd(struct job *j)
{
    return CU(k_entropy_bwd(j->b[Y], j->b[DY], j->b[DX], j->l->n, j->l->ci, j->v, 1e-6f));
}

enum { PROTOS = 2 };
static const float cos_scale = 20;

static bool cosine_fwd(struct job *j)
{
    return CU(k_cosine(j->b[X], j->b[W], j->b[Y], j->b[INV], j->l->n, j->l->ci, j->v, PROTOS, cos_scale));
}

/* Prototypes of unit length times features by cuBLAS, then the features' lengths. */
static bool cosine_blas(struct job *j)
{
    int v = j->v, d = j->l->ci;
    return CU(k_unit(j->b[W], j->b[B], PROTOS, d)) && CU(k_lengths(j->b[X], j->b[INV], j->l->n, d, v)) &&
           BLAS(cublasSgemmStridedBatched(j->c->blas, CUBLAS_OP_N, CUBLAS_OP_N, v, PROTOS, d, &one, j->b[X], v,
                                          (long long)d * v, j->b[B], d, 0, &zero, j->b[Y], v, (long long)PROTOS * v,
                                          j->l->n)) &&
           CU(k_scale_by(j->b[Y], j->b[INV], j->l->n, PROTOS, v, cos_scale));
}

static bool cosine_bwd(struct job *j)
{
    int n = j->l->n, d = j->l->ci;
    return CU(k_cosine_bwd_f(j->b[X], j->b[W], j->b[Y], j->b[DY], j->b[INV], j->b[DX], n, d, j->v, PROTOS,
                             cos_scale)) &&
           CU(k_cosine_bwd_p(j->b[X], j->b[W], j->b[Y], j->b[DY], j->b[INV], j->b[A], j->b[DW], n, d, j->v, PROTOS,
                             cos_scale));
}

static bool make_cosine(struct job *j)
{
    size_t nv = (size_t)j->l->n * (size_t)j->v, d = (size_t)j->l->ci;
    return fill(j, X, nv * d, 1, true) && fill(j, W, PROTOS * d, 1, true) && room(j, Y, nv * PROTOS * 4) &&
           fill(j, DY, nv * PROTOS, 1, true) && room(j, DX, nv * d * 4) && room(j, DW, PROTOS * d * 4) &&
           room(j, INV, nv * 4) && room(j, A, (size_t)K_BLOCKS * PROTOS * (d + 1) * 4) &&
           room(j, B, PROTOS * d * 4) && cosine_fwd(j);
}

/* W: labels, A: parts, B: sums and the loss. */
static bool make_loss(struct job *j)
{
    size_t sums = 1 + 3 * (size_t)j->l->ci;
    return make_plain(j) && labels(j, W, (size_t)j->l->n * (size_t)j->v, j->l->ci) &&
           room(j, A, K_BLOCKS * sums * 4) && room(j, B, (sums + 1) * 4);
}

static bool loss_of(struct job *j, bool dice, bool bwd)
{
    const struct k_loss o = {dice ? 0 : 1, dice ? 1 : 0, dice};
    int n = j->l->n, c = j->l->ci;
    const float *z = j->b[dice ? Y : X];
    const int *y = (const int *)j->b[W];
    if (bwd)
        return CU(k_loss_bwd(z, y, o, j->b[B], j->b[DX], n, c, j->v, 1));
    return CU(k_loss(z, y, o, j->b[A], j->b[B], j->b[B] + 1 + 3 * c, n, c, j->v));
}

static bool ce_fwd(struct job *j) { return loss_of(j, false, false); }
static bool ce_bwd(struct job *j) { return loss_of(j, false, true); }
static bool dice_fwd(struct job *j) { return loss_of(j, true, false); }
static bool dice_bwd(struct job *j) { return loss_of(j, true, true); }

static bool make_dice(struct job *j)
{
    return make_loss(j) && dice_fwd(j);
}

static bool make_flat(struct job *j)
{
    size_t n = (size_t)j->l->ci * (size_t)j->v;
    return fill(j, X, n, 1, true) && fill(j, DX, n, 1, true) && fill(j, A, n, 1, true);
}

static bool run_sgd(struct job *j)
{
    return CU(k_sgd(j->b[X], j->b[DX], j->b[A], NULL, NULL, (size_t)j->l->ci * (size_t)j->v, 0, 1e-9f, 0.9f, 1e-4f, 1));
}

static bool run_ema(struct job *j)
{
    return CU(k_ema(j->b[X], j->b[DX], (size_t)j->l->ci * (size_t)j->v, 0.99f));
}

#define CONVS {"fwd", "cudnn", conv_fwd}, {"bwd data", "cudnn", conv_data}, {"bwd weight", "cudnn", conv_weight}
static const struct cu_op ops[] = {
    {"conv", true, 1, make_conv, {CONVS}}, {"up", true, 1, make_conv, {CONVS}},
    {"stem", true, 1, make_conv, {{"fwd", "cudnn", conv_fwd}, {"bwd weight", "cudnn", conv_weight}}},
    {"head", true, 1, make_conv, {CONVS, {"fwd", "cublas", head_fwd}, {"bwd data", "cublas", head_data},
                                  {"bwd weight", "cublas", head_weight}}},
    {"batch_norm", true, 3, make_norm, {{"fwd", "cudnn", norm_fwd}, {"bwd", "cudnn", norm_bwd}}},
    {"softmax", false, 2, make_plain, {{"fwd", "kernel", softmax_fwd}, {"bwd", "kernel", softmax_bwd}}},
    {"entropy", false, 1, make_entropy, {{"fwd", "kernel", entropy_fwd}, {"bwd", "kernel", entropy_bwd}}},
    {"cosine", false, 1, make_cosine, {{"fwd", "kernel", cosine_fwd}, {"fwd", "cublas", cosine_blas},
                                       {"bwd", "kernel", cosine_bwd}}},
    {"cross_entropy", false, 1, make_loss, {{"fwd", "kernel", ce_fwd}, {"bwd", "kernel", ce_bwd}}},
    {"dice", false, 1, make_dice, {{"fwd", "kernel", dice_fwd}, {"bwd", "kernel", dice_bwd}}},
    {"sgd", false, 5, make_flat, {{"fwd", "kernel", run_sgd}}},
    {"ema", false, 3, make_flat, {{"fwd", "kernel", run_ema}}}};

/* ---- timing ---- */

static bool once(struct job *j, const struct phase *p, double *ms)
{
    if (!CU(cudaDeviceSynchronize()))
        return false;
    uint64_t t0 = pv_clock_ns();
    bool ok = p->run(j) && CU(cudaDeviceSynchronize());
    *ms = (double)(pv_clock_ns() - t0) * 1e-6;
    return ok;
}

static bool measure(struct job *j, const struct cu_op *op, const struct phase *p, const struct pv_bench_ops_args *a,
                    double fma_peak, pv_json *rows)
{
    if ((a->phase && !pv_starts(p->name, a->phase)) || (a->impl && !pv_streq(a->impl, p->impl)))
        return true;
    if (pv_streq(p->impl, "cublas") && (j->c->element != 4 || j->c->nhwc))
        return true;
    double v[256], first;
    int n = 0, most = a->reps < 256 ? a->reps : 256;
    bool ok = once(j, p, &first) && once(j, p, &first);
    uint64_t t0 = pv_clock_ns();
    while (ok && n < most && (n < 3 || (double)(pv_clock_ns() - t0) * 1e-9 < a->seconds))
        ok = once(j, p, &v[n++]);
    if (!ok)
        return false;
    pv_json *r = pv_layer_row(j->l, p->name, p->impl);
    pv_layer_put_times(r, j->l, v, n, op->passes, fma_peak);
    if (op->any_precision)
        pv_json_set_num(r, "gbs", pv_json_num(r, "gbs", 0) * (double)j->c->element / 4);
    if (pv_streq(p->impl, "cudnn") && op->make == make_conv) {
        int which = pv_streq(p->name, "fwd") ? 0 : pv_streq(p->name, "bwd data") ? 1 : 2;
        which = j->conv.up && which < 2 ? 1 - which : which;
        int algo = which == 0 ? (int)j->conv.fwd : which == 1 ? (int)j->conv.data : (int)j->conv.filter;
        pv_json_set_num(r, "algorithm", algo);
        pv_json_set_num(r, "workspace_bytes", (double)j->conv.bytes[which]);
    }
    pv_json_add(rows, r);
    return true;
}

static void free_job(struct job *j)
{
    for (int i = 0; i < MOST_BUFFERS; i++)
        cu_free(j->c, j->b[i], j->bytes[i]);
    cu_free(j->c, j->c->workspace, j->c->workspace_bytes);
    j->c->workspace = NULL;
    j->c->workspace_bytes = 0;
    cu_conv_free(&j->conv);
    if (j->map)
        cudnnDestroyTensorDescriptor(j->map);
    if (j->channels)
        cudnnDestroyTensorDescriptor(j->channels);
    if (j->relu)
        cudnnDestroyActivationDescriptor(j->relu);
}

static void skip(pv_json *rows, const struct pv_layer *l, const char *phase, const char *why)
{
    pv_json *r = pv_layer_row(l, phase, "none");
    pv_json_set_str(r, "skipped", why);
    pv_json_add(rows, r);
}

/* A layer that cuDNN cannot do is a row that says so; the others go on. */
static void measure_layer(struct cu *c, const struct pv_layer *l, const struct pv_bench_ops_args *a, double fma_peak,
                          pv_json *rows)
{
    const struct cu_op *op = NULL;
    for (size_t i = 0; i < PV_COUNT(ops); i++)
        if (pv_streq(ops[i].name, l->op))
            op = &ops[i];
    if (!op || (!op->any_precision && (c->precision != CU_FP32 || c->nhwc)) ||
        (!op->any_precision && op->make != make_flat && l->ci > K_CLASSES && op->make != make_cosine)) {
        skip(rows, l, "fwd", !op ? "not written for CUDA" : l->ci > K_CLASSES ? "more classes than the kernels take"
                                                          : "fp32 here as well: see the result for fp32");
        return;
    }
    struct job j = {.c = c, .l = l, .v = l->s[0] * l->s[1] * l->s[2]};
    bool ok = op->make(&j);
    for (size_t i = 0; i < PV_COUNT(op->phases) && op->phases[i].run && ok; i++)
        ok = measure(&j, op, &op->phases[i], a, fma_peak, rows);
    free_job(&j);
    if (!ok) {
        skip(rows, l, "fwd", pv_fault_text());
        pv_fault_clear();
        cudaGetLastError();
    }
}

pv_json *cu_bench_ops(struct cu *c, const struct pv_bench_ops_args *a)
{
    int num;
    struct pv_layer *layers = pv_layers_read(a->shapes, a->op, &num);
    pv_json *result = layers ? cu_result(c, "ops", true) : NULL, *rows = pv_json_array();
    if (!result) {
        pv_free(layers);
        pv_json_free(rows);
        return NULL;
    }
    double fma = pv_json_num(pv_json_get(result, "peak"), "fma_gflops", 0);
    pv_json_set_str(result, "shapes", a->shapes);
    pv_json_set(result, "rows", rows);
    for (int i = 0; i < num; i++)
        measure_layer(c, &layers[i], a, fma, rows);
    pv_free(layers);
    return result;
}
