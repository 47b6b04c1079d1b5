/* SPDX-License-Identifier: Apache-2.0
 * The calls of CUDA, cuDNN and cuBLAS that bench/cuda makes, in plain loops on the processor: what they compute follows
 * NVIDIA's documentation, as slowly as can be. Sizes of buffers are checked against the memory that was allocated, new
 * memory and what a search writes over holds NaN, and beta 0 does not read. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <ucontext.h>
#include <vector>

#include <cublas_v2.h>
#include <cudnn.h>

#include "emulate.h"

/* ---- kernels ---- */

dim3 emulated_thread, emulated_block, emulated_grid;

static ucontext_t scheduler;
static std::vector<ucontext_t> fibers(THREADS);
static std::vector<char> finished(THREADS);
static const std::function<void()> *running;
static unsigned current;

static void enter()
{
    (*running)();
    finished[current] = 1;
    swapcontext(&fibers[current], &scheduler);
}

void emulated_sync()
{
    unsigned me = current;
    swapcontext(&fibers[me], &scheduler);
    emulated_thread.x = me;
}

void emulated_launch(unsigned blocks, const std::function<void()> &kernel)
{
    static std::vector<std::vector<char>> stacks(THREADS, std::vector<char>(1 << 16));
    running = &kernel;
    emulated_grid = dim3(blocks);
    for (unsigned b = 0; b < blocks; b++) {
        emulated_block = dim3(b, 0, 0);
        for (unsigned t = 0; t < THREADS; t++) {
            getcontext(&fibers[t]);
            fibers[t].uc_stack.ss_sp = stacks[t].data();
            fibers[t].uc_stack.ss_size = stacks[t].size();
            fibers[t].uc_link = nullptr;
            makecontext(&fibers[t], enter, 0);
            finished[t] = 0;
        }
        for (bool any = true; any;) {
            any = false;
            for (unsigned t = 0; t < THREADS; t++)
                if (!finished[t]) {
                    any = true;
                    current = t;
                    emulated_thread = dim3(t, 0, 0);
                    swapcontext(&scheduler, &fibers[t]);
                }
        }
    }
}

/* ---- memory ---- */

static std::map<char *, size_t> memory;

static void wrong(const char *what)
{
    fprintf(stderr, "emulated CUDA: %s\n", what);
    abort();
}

/* [p, p + bytes) must lie in one allocation. */
static void inside(const void *p, size_t bytes, const char *what)
{
    auto at = memory.upper_bound((char *)p);
    if (at == memory.begin())
        wrong(what);
    --at;
    if ((char *)p + bytes > at->first + at->second)
        wrong(what);
}

static void poison(void *p, size_t bytes)
{
    memset(p, 0xFF, bytes);         /* NaN as float and as half */
}

extern "C" {

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    *p = malloc(bytes);
    memory[(char *)*p] = bytes;
    poison(*p, bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    if (p && memory.erase((char *)p) != 1)
        wrong("freed what was not allocated");
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t n, cudaMemcpyKind kind)
{
    if (kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice)
        inside(to, n, "copy beyond an allocation");
    if (kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice)
        inside(from, n, "copy from beyond an allocation");
    memcpy(to, from, n);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind, cudaStream_t)
{
    return cudaMemcpy(to, from, n, kind);
}

cudaError_t cudaMemset(void *p, int v, size_t n)
{
    inside(p, n, "set beyond an allocation");
    memset(p, v, n);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *room, size_t *all)
{
    *room = *all = 1 << 24;
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void) { return cudaSuccess; }
const char *cudaGetErrorString(cudaError_t) { return "emulated"; }
cudaError_t cudaDeviceSynchronize(void) { return cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int *v) { *v = 0; return cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *v) { *v = 0; return cudaSuccess; }

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int)
{
    memset(p, 0, sizeof *p);
    strcpy(p->name, "emulated");
    p->multiProcessorCount = 1;
    return cudaSuccess;
}

/* ---- descriptors ---- */

struct cudnnTensorStruct { cudnnDataType_t type; int dim[5], stride[5]; };
struct cudnnFilterStruct { cudnnDataType_t type; cudnnTensorFormat_t format; int dim[5]; };
struct cudnnConvolutionStruct { int pad[3], step[3]; };
struct cudnnActivationStruct { int mode; };

#define MAKE(Name, Struct)                                              \
    cudnnStatus_t cudnnCreate##Name(Struct **d)                         \
    {                                                                   \
        *d = new Struct();                                              \
        return CUDNN_STATUS_SUCCESS;                                    \
    }                                                                   \
    cudnnStatus_t cudnnDestroy##Name(Struct *d)                         \
    {                                                                   \
        delete d;                                                       \
        return CUDNN_STATUS_SUCCESS;                                    \
    }
MAKE(TensorDescriptor, cudnnTensorStruct)
MAKE(FilterDescriptor, cudnnFilterStruct)
MAKE(ConvolutionDescriptor, cudnnConvolutionStruct)
MAKE(ActivationDescriptor, cudnnActivationStruct)

cudnnStatus_t cudnnCreate(cudnnHandle_t *h) { *h = nullptr; return CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnDestroy(cudnnHandle_t) { return CUDNN_STATUS_SUCCESS; }
size_t cudnnGetVersion(void) { return 0; }
const char *cudnnGetErrorString(cudnnStatus_t) { return "emulated"; }

cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t d, cudnnDataType_t t, int n, const int *dim,
                                         const int *stride)
{
    if (n != 5)
        return CUDNN_STATUS_BAD_PARAM;
    d->type = t;
    memcpy(d->dim, dim, sizeof d->dim);
    memcpy(d->stride, stride, sizeof d->stride);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t t, cudnnTensorFormat_t f, int n,
                                         const int *dim)
{
    if (n != 5)
        return CUDNN_STATUS_BAD_PARAM;
    d->type = t;
    d->format = f;
    memcpy(d->dim, dim, sizeof d->dim);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t d, int n, const int *pad, const int *step,
                                              const int *dilation, cudnnConvolutionMode_t mode, cudnnDataType_t type)
{
    if (n != 3 || mode != CUDNN_CROSS_CORRELATION || type != CUDNN_DATA_FLOAT || dilation[0] != 1)
        return CUDNN_STATUS_BAD_PARAM;
    memcpy(d->pad, pad, sizeof d->pad);
    memcpy(d->step, step, sizeof d->step);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t, cudnnMathType_t) { return CUDNN_STATUS_SUCCESS; }

cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t d, cudnnActivationMode_t m, cudnnNanPropagation_t,
                                           double)
{
    d->mode = m;
    return m == CUDNN_ACTIVATION_RELU ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

/* ---- tensors as numbers ---- */

}   /* extern "C" */

static double get(cudnnDataType_t t, const void *p, size_t i)
{
    return t == CUDNN_DATA_HALF ? __half2float(((const __half *)p)[i]) : ((const float *)p)[i];
}

static void set(cudnnDataType_t t, void *p, size_t i, double v)
{
    if (t == CUDNN_DATA_HALF)
        ((__half *)p)[i] = __float2half((float)v);
    else
        ((float *)p)[i] = (float)v;
}

static size_t count(const int dim[5])
{
    size_t n = 1;
    for (int i = 0; i < 5; i++)
        n *= (size_t)dim[i];
    return n;
}

static size_t bytes_of(cudnnDataType_t t, const int dim[5])
{
    return count(dim) * (t == CUDNN_DATA_HALF ? 2 : 4);
}

struct place { int i[5]; };

static place nth(const int dim[5], size_t n)
{
    place p;
    for (int i = 4; i >= 0; i--) {
        p.i[i] = (int)(n % (size_t)dim[i]);
        n /= (size_t)dim[i];
    }
    return p;
}

static size_t at(const cudnnTensorStruct *d, const place &p)
{
    size_t o = 0;
    for (int i = 0; i < 5; i++)
        o += (size_t)p.i[i] * (size_t)d->stride[i];
    return o;
}

static size_t at(const cudnnFilterStruct *d, const place &p)
{
    const int *m = d->dim;
    if (d->format == CUDNN_TENSOR_NHWC)
        return ((((size_t)p.i[0] * m[2] + p.i[2]) * m[3] + p.i[3]) * m[4] + p.i[4]) * m[1] + p.i[1];
    return ((((size_t)p.i[0] * m[1] + p.i[1]) * m[2] + p.i[2]) * m[3] + p.i[3]) * m[4] + p.i[4];
}

static void blend(cudnnDataType_t t, void *p, size_t i, double v, const void *alpha, const void *beta)
{
    float a = *(const float *)alpha, b = *(const float *)beta;
    set(t, p, i, a * v + (b != 0 ? b * get(t, p, i) : 0));
}

template <class F>
static void channels(const cudnnTensorStruct *x, place px, const cudnnFilterStruct *w, place pw,
                     const cudnnTensorStruct *y, place py, F f)
{
    for (pw.i[1] = px.i[1] = 0; px.i[1] < w->dim[1]; pw.i[1]++, px.i[1]++)
        for (pw.i[0] = py.i[1] = 0; py.i[1] < w->dim[0]; pw.i[0]++, py.i[1]++)
            f(at(x, px), at(w, pw), at(y, py));
}

/* Calls f(index in x, in w, in y) for everything that one tap joins. */
template <class F>
static bool convolve(const cudnnTensorStruct *x, const cudnnFilterStruct *w, const cudnnConvolutionStruct *c,
                     const cudnnTensorStruct *y, F f)
{
    if (x->type != w->type || x->type != y->type || x->dim[1] != w->dim[1] || y->dim[1] != w->dim[0] ||
        x->dim[0] != y->dim[0])
        return false;
    for (int i = 0; i < 3; i++)
        if (y->dim[i + 2] != (x->dim[i + 2] + 2 * c->pad[i] - w->dim[i + 2]) / c->step[i] + 1)
            return false;
    place pw, px, py;
    for (py.i[0] = 0; py.i[0] < y->dim[0]; py.i[0]++)
        for (py.i[2] = 0; py.i[2] < y->dim[2]; py.i[2]++)
            for (py.i[3] = 0; py.i[3] < y->dim[3]; py.i[3]++)
                for (py.i[4] = 0; py.i[4] < y->dim[4]; py.i[4]++)
                    for (pw.i[2] = 0; pw.i[2] < w->dim[2]; pw.i[2]++)
                        for (pw.i[3] = 0; pw.i[3] < w->dim[3]; pw.i[3]++)
                            for (pw.i[4] = 0; pw.i[4] < w->dim[4]; pw.i[4]++) {
                                bool in = true;
                                px.i[0] = py.i[0];
                                for (int i = 2; i < 5; i++) {
                                    px.i[i] = py.i[i] * c->step[i - 2] - c->pad[i - 2] + pw.i[i];
                                    in = in && px.i[i] >= 0 && px.i[i] < x->dim[i];
                                }
                                if (in)
                                    channels(x, px, w, pw, y, py, f);
                            }
    return true;
}

static void check(const cudnnTensorStruct *d, const void *p) { inside(p, bytes_of(d->type, d->dim), "tensor too large"); }
static void check(const cudnnFilterStruct *d, const void *p) { inside(p, bytes_of(d->type, d->dim), "filter too large"); }

template <class Perf, class Algo>
static cudnnStatus_t found(Algo algo, int wanted, int *num, Perf *perf, size_t room)
{
    memset(perf, 0, sizeof *perf * (size_t)wanted);
    perf[0].status = CUDNN_STATUS_NOT_SUPPORTED;        /* the caller must pass over this one */
    perf[1].status = CUDNN_STATUS_SUCCESS;
    perf[1].algo = algo;
    perf[1].memory = room < 100 ? room : 100;
    perf[1].mathType = CUDNN_DEFAULT_MATH;
    *num = 2;
    return CUDNN_STATUS_SUCCESS;
}

extern "C" {

cudnnStatus_t cudnnFindConvolutionForwardAlgorithmEx(cudnnHandle_t, const cudnnTensorDescriptor_t xd, const void *x,
    const cudnnFilterDescriptor_t wd, const void *w, const cudnnConvolutionDescriptor_t, const cudnnTensorDescriptor_t yd,
    void *y, int wanted, int *num, cudnnConvolutionFwdAlgoPerf_t *perf, void *, size_t room)
{
    check(xd, x), check(wd, w), check(yd, y);
    poison(y, bytes_of(yd->type, yd->dim));
    return found(CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, wanted, num, perf, room);
}

cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithmEx(cudnnHandle_t, const cudnnFilterDescriptor_t wd, const void *w,
    const cudnnTensorDescriptor_t yd, const void *dy, const cudnnConvolutionDescriptor_t, const cudnnTensorDescriptor_t xd,
    void *dx, int wanted, int *num, cudnnConvolutionBwdDataAlgoPerf_t *perf, void *, size_t room)
{
    check(xd, dx), check(wd, w), check(yd, dy);
    poison(dx, bytes_of(xd->type, xd->dim));
    return found(CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, wanted, num, perf, room);
}

cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithmEx(cudnnHandle_t, const cudnnTensorDescriptor_t xd, const void *x,
    const cudnnTensorDescriptor_t yd, const void *dy, const cudnnConvolutionDescriptor_t, const cudnnFilterDescriptor_t wd,
    void *dw, int wanted, int *num, cudnnConvolutionBwdFilterAlgoPerf_t *perf, void *, size_t room)
{
    check(xd, x), check(wd, dw), check(yd, dy);
    poison(dw, bytes_of(wd->type, wd->dim));
    return found(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, wanted, num, perf, room);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t, const void *alpha, const cudnnTensorDescriptor_t xd, const void *x,
    const cudnnFilterDescriptor_t wd, const void *w, const cudnnConvolutionDescriptor_t c, cudnnConvolutionFwdAlgo_t,
    void *work, size_t room, const void *beta, const cudnnTensorDescriptor_t yd, void *y)
{
    check(xd, x), check(wd, w), check(yd, y), inside(work, room, "workspace too large");
    std::vector<double> sum(count(yd->dim));
    bool ok = convolve(xd, wd, c, yd, [&](size_t i, size_t j, size_t k) {
        sum[k] += get(xd->type, x, i) * get(wd->type, w, j);
    });
    for (size_t k = 0; k < sum.size(); k++)
        blend(yd->type, y, k, sum[k], alpha, beta);
    return ok ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t, const void *alpha, const cudnnFilterDescriptor_t wd,
    const void *w, const cudnnTensorDescriptor_t yd, const void *dy, const cudnnConvolutionDescriptor_t c,
    cudnnConvolutionBwdDataAlgo_t, void *work, size_t room, const void *beta, const cudnnTensorDescriptor_t xd, void *dx)
{
    check(xd, dx), check(wd, w), check(yd, dy), inside(work, room, "workspace too large");
    std::vector<double> sum(count(xd->dim));
    bool ok = convolve(xd, wd, c, yd, [&](size_t i, size_t j, size_t k) {
        sum[i] += get(yd->type, dy, k) * get(wd->type, w, j);
    });
    for (size_t i = 0; i < sum.size(); i++)
        blend(xd->type, dx, i, sum[i], alpha, beta);
    return ok ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t, const void *alpha, const cudnnTensorDescriptor_t xd,
    const void *x, const cudnnTensorDescriptor_t yd, const void *dy, const cudnnConvolutionDescriptor_t c,
    cudnnConvolutionBwdFilterAlgo_t, void *work, size_t room, const void *beta, const cudnnFilterDescriptor_t wd, void *dw)
{
    check(xd, x), check(wd, dw), check(yd, dy), inside(work, room, "workspace too large");
    std::vector<double> sum(count(wd->dim));
    bool ok = convolve(xd, wd, c, yd, [&](size_t i, size_t j, size_t k) {
        sum[j] += get(yd->type, dy, k) * get(xd->type, x, i);
    });
    for (size_t j = 0; j < sum.size(); j++)
        blend(wd->type, dw, j, sum[j], alpha, beta);
    return ok ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

cudnnStatus_t cudnnConvolutionBackwardBias(cudnnHandle_t, const void *alpha, const cudnnTensorDescriptor_t yd,
    const void *dy, const void *beta, const cudnnTensorDescriptor_t bd, void *db)
{
    check(yd, dy), check(bd, db);
    std::vector<double> sum((size_t)yd->dim[1]);
    for (size_t n = 0; n < count(yd->dim); n++) {
        place p = nth(yd->dim, n);
        sum[(size_t)p.i[1]] += get(yd->type, dy, at(yd, p));
    }
    for (size_t k = 0; k < sum.size(); k++)
        blend(bd->type, db, k, sum[k], alpha, beta);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnAddTensor(cudnnHandle_t, const void *alpha, const cudnnTensorDescriptor_t ad, const void *a,
    const void *beta, const cudnnTensorDescriptor_t cd, void *c)
{
    check(ad, a), check(cd, c);
    for (size_t n = 0; n < count(cd->dim); n++) {
        place p = nth(cd->dim, n);
        blend(cd->type, c, at(cd, p), get(ad->type, a, (size_t)p.i[1]), alpha, beta);
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnActivationForward(cudnnHandle_t, cudnnActivationDescriptor_t, const void *alpha,
    const cudnnTensorDescriptor_t xd, const void *x, const void *beta, const cudnnTensorDescriptor_t yd, void *y)
{
    check(xd, x), check(yd, y);
    for (size_t i = 0; i < count(xd->dim); i++) {
        double v = get(xd->type, x, i);
        blend(yd->type, y, i, v > 0 || v != v ? v : 0, alpha, beta);
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnActivationBackward(cudnnHandle_t, cudnnActivationDescriptor_t, const void *alpha,
    const cudnnTensorDescriptor_t yd, const void *y, const cudnnTensorDescriptor_t, const void *dy,
    const cudnnTensorDescriptor_t xd, const void *x, const void *beta, const cudnnTensorDescriptor_t, void *dx)
{
    check(yd, y), check(yd, dy), check(xd, x), check(xd, dx);
    for (size_t i = 0; i < count(xd->dim); i++)
        blend(xd->type, dx, i, get(xd->type, x, i) > 0 ? get(yd->type, dy, i) : 0, alpha, beta);
    return CUDNN_STATUS_SUCCESS;
}

/* Mean and variance (biased) of every channel. */
static void moments(const cudnnTensorStruct *d, const void *x, std::vector<double> &mean, std::vector<double> &var)
{
    size_t n = count(d->dim), each = n / (size_t)d->dim[1];
    mean.assign((size_t)d->dim[1], 0);
    var.assign((size_t)d->dim[1], 0);
    for (size_t i = 0; i < n; i++) {
        place p = nth(d->dim, i);
        mean[(size_t)p.i[1]] += get(d->type, x, at(d, p)) / (double)each;
    }
    for (size_t i = 0; i < n; i++) {
        place p = nth(d->dim, i);
        double t = get(d->type, x, at(d, p)) - mean[(size_t)p.i[1]];
        var[(size_t)p.i[1]] += t * t / (double)each;
    }
}

cudnnStatus_t cudnnBatchNormalizationForwardTraining(cudnnHandle_t, cudnnBatchNormMode_t, const void *alpha,
    const void *beta, const cudnnTensorDescriptor_t xd, const void *x, const cudnnTensorDescriptor_t yd, void *y,
    const cudnnTensorDescriptor_t cd, const void *scale, const void *bias, double factor, void *run_mean, void *run_var,
    double eps, void *save_mean, void *save_inv)
{
    check(xd, x), check(yd, y), check(cd, scale), check(cd, bias), check(cd, save_mean), check(cd, save_inv);
    check(cd, run_mean), check(cd, run_var);
    std::vector<double> mean, var;
    moments(xd, x, mean, var);
    double each = (double)count(xd->dim) / xd->dim[1];
    for (size_t c = 0; c < mean.size(); c++) {
        ((float *)save_mean)[c] = (float)mean[c];
        ((float *)save_inv)[c] = (float)(1 / std::sqrt(var[c] + eps));
        ((float *)run_mean)[c] = (float)((1 - factor) * ((float *)run_mean)[c] + factor * mean[c]);
        double unbiased = each > 1 ? var[c] * each / (each - 1) : var[c];
        ((float *)run_var)[c] = (float)((1 - factor) * ((float *)run_var)[c] + factor * unbiased);
    }
    for (size_t i = 0; i < count(xd->dim); i++) {
        place p = nth(xd->dim, i);
        size_t c = (size_t)p.i[1];
        double u = (get(xd->type, x, at(xd, p)) - mean[c]) / std::sqrt(var[c] + eps);
        blend(yd->type, y, at(yd, p), u * ((const float *)scale)[c] + ((const float *)bias)[c], alpha, beta);
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBatchNormalizationForwardInference(cudnnHandle_t, cudnnBatchNormMode_t, const void *alpha,
    const void *beta, const cudnnTensorDescriptor_t xd, const void *x, const cudnnTensorDescriptor_t yd, void *y,
    const cudnnTensorDescriptor_t cd, const void *scale, const void *bias, const void *mean, const void *var, double eps)
{
    check(xd, x), check(yd, y), check(cd, scale), check(cd, bias), check(cd, mean), check(cd, var);
    for (size_t i = 0; i < count(xd->dim); i++) {
        place p = nth(xd->dim, i);
        size_t c = (size_t)p.i[1];
        double u = (get(xd->type, x, at(xd, p)) - ((const float *)mean)[c]) / std::sqrt(((const float *)var)[c] + eps);
        blend(yd->type, y, at(yd, p), u * ((const float *)scale)[c] + ((const float *)bias)[c], alpha, beta);
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBatchNormalizationBackward(cudnnHandle_t, cudnnBatchNormMode_t, const void *alpha, const void *beta,
    const void *, const void *, const cudnnTensorDescriptor_t xd, const void *x, const cudnnTensorDescriptor_t yd,
    const void *dy, const cudnnTensorDescriptor_t dxd, void *dx, const cudnnTensorDescriptor_t cd, const void *scale,
    void *dscale, void *dbias, double, const void *save_mean, const void *save_inv)
{
    check(xd, x), check(yd, dy), check(dxd, dx), check(cd, scale), check(cd, dscale), check(cd, dbias);
    check(cd, save_mean), check(cd, save_inv);
    size_t n = count(xd->dim), channels = (size_t)xd->dim[1];
    double each = (double)n / (double)channels;
    std::vector<double> ds(channels), db(channels);
    auto unit = [&](const place &p) {
        size_t c = (size_t)p.i[1];
        return (get(xd->type, x, at(xd, p)) - ((const float *)save_mean)[c]) * ((const float *)save_inv)[c];
    };
    for (size_t i = 0; i < n; i++) {
        place p = nth(xd->dim, i);
        double g = get(yd->type, dy, at(yd, p));
        ds[(size_t)p.i[1]] += g * unit(p);
        db[(size_t)p.i[1]] += g;
    }
    for (size_t i = 0; i < n; i++) {
        place p = nth(xd->dim, i);
        size_t c = (size_t)p.i[1];
        double g = get(yd->type, dy, at(yd, p)) - db[c] / each - unit(p) * ds[c] / each;
        blend(dxd->type, dx, at(dxd, p), g * ((const float *)scale)[c] * ((const float *)save_inv)[c], alpha, beta);
    }
    for (size_t c = 0; c < channels; c++) {
        ((float *)dscale)[c] = (float)ds[c];
        ((float *)dbias)[c] = (float)db[c];
    }
    return CUDNN_STATUS_SUCCESS;
}

/* ---- cuBLAS: column-major ---- */

cublasStatus_t cublasCreate_v2(cublasHandle_t *h) { *h = nullptr; return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasSgemm_v2(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc)
{
    auto span = [](int ld, int rows, int cols) { return ((size_t)ld * (size_t)(cols - 1) + (size_t)rows) * 4; };
    inside(a, ta == CUBLAS_OP_N ? span(lda, m, k) : span(lda, k, m), "matrix A too large");
    inside(b, tb == CUBLAS_OP_N ? span(ldb, k, n) : span(ldb, n, k), "matrix B too large");
    inside(c, span(ldc, m, n), "matrix C too large");
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += (double)(ta == CUBLAS_OP_N ? a[(size_t)l * lda + i] : a[(size_t)i * lda + l]) *
                       (tb == CUBLAS_OP_N ? b[(size_t)j * ldb + l] : b[(size_t)l * ldb + j]);
            float *to = &c[(size_t)j * ldc + i];
            *to = (float)(*alpha * sum + (*beta != 0 ? *beta * *to : 0));
        }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const float *alpha, const float *a, int lda, long long sa, const float *b, int ldb, long long sb, const float *beta,
    float *c, int ldc, long long sc, int batch)
{
    for (int i = 0; i < batch; i++)
        cublasSgemm_v2(h, ta, tb, m, n, k, alpha, a + i * sa, lda, b + i * sb, ldb, beta, c + i * sc, ldc);
    return CUBLAS_STATUS_SUCCESS;
}

}
