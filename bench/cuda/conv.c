/* SPDX-License-Identifier: Apache-2.0
 * Convolutions by cuDNN. The algorithm of each direction is the fastest that cuDNN finds on the buffers of use, as
 * PyTorch does with cudnn.benchmark. */
#include <string.h>

#include "cu.h"

bool cu_tensor(const struct cu *c, cudnnTensorDescriptor_t *d, int n, int ch, const int s[3], cudnnDataType_t type)
{
    const int dims[5] = {n, ch, s[0], s[1], s[2]};
    int plain[5] = {ch * s[0] * s[1] * s[2], s[0] * s[1] * s[2], s[1] * s[2], s[2], 1};
    int last[5] = {ch * s[0] * s[1] * s[2], 1, s[1] * s[2] * ch, s[2] * ch, ch};
    return DNN(cudnnCreateTensorDescriptor(d)) &&
           DNN(cudnnSetTensorNdDescriptor(*d, type, 5, dims, c->nhwc ? last : plain));
}

bool cu_conv_make(const struct cu *c, struct cu_conv *v, const struct pv_layer *l)
{
    bool up = pv_streq(l->op, "up");
    *v = (struct cu_conv){.up = up, .n = l->n, .ci = l->ci, .co = l->co, .k = l->k};
    int p = l->stride == 1 ? (l->k - 1) / 2 : 0;
    v->x_count = v->y_count = (size_t)l->n;
    for (int i = 0; i < 3; i++) {
        v->in[i] = l->s[i];
        v->out[i] = up ? l->s[i] * l->k : (l->s[i] + 2 * p - l->k) / l->stride + 1;
        v->x_count *= (size_t)v->in[i];
        v->y_count *= (size_t)v->out[i];
    }
    v->x_count *= (size_t)l->ci;
    v->y_count *= (size_t)l->co;
    v->w_count = (size_t)l->ci * (size_t)l->co * (size_t)l->k * (size_t)l->k * (size_t)l->k;
    /* the transposed one is the data gradient of a convolution from y to x */
    const int w[5] = {up ? l->ci : l->co, up ? l->co : l->ci, l->k, l->k, l->k};
    const int pad[3] = {p, p, p}, one[3] = {1, 1, 1}, step[3] = {l->stride, l->stride, l->stride};
    return cu_tensor(c, &v->x, l->n, l->ci, v->in, c->type) && cu_tensor(c, &v->y, l->n, l->co, v->out, c->type) &&
           DNN(cudnnCreateFilterDescriptor(&v->w)) &&
           DNN(cudnnSetFilterNdDescriptor(v->w, c->type, c->nhwc ? CUDNN_TENSOR_NHWC : CUDNN_TENSOR_NCHW, 5, w)) &&
           DNN(cudnnCreateConvolutionDescriptor(&v->c)) &&
           DNN(cudnnSetConvolutionNdDescriptor(v->c, 3, pad, step, one, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
}

void cu_conv_free(struct cu_conv *v)
{
    if (v->x)
        cudnnDestroyTensorDescriptor(v->x);
    if (v->y)
        cudnnDestroyTensorDescriptor(v->y);
    if (v->w)
        cudnnDestroyFilterDescriptor(v->w);
    if (v->c)
        cudnnDestroyConvolutionDescriptor(v->c);
    *v = (struct cu_conv){0};
}

/* ---- search ---- */

static cudnnMathType_t math_of(const struct cu *c)
{
    return c->precision == CU_FP32 ? CUDNN_FMA_MATH : c->precision == CU_TF32 ? CUDNN_DEFAULT_MATH
                                                                              : CUDNN_TENSOR_OP_MATH;
}

/* fp32 is fp32: no algorithm that rounds its inputs. (NVIDIA_TF32_OVERRIDE=0 is set as well.) */
static bool allowed(const struct cu *c, cudnnMathType_t math, cudnnStatus_t status, size_t bytes)
{
    bool tensor = math == CUDNN_TENSOR_OP_MATH || math == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
    return status == CUDNN_STATUS_SUCCESS && bytes <= c->workspace_bytes && !(c->precision == CU_FP32 && tensor) &&
           !(c->precision == CU_TF32 && math == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION);
}

enum { FWD, DATA, FILTER, MOST_ALGOS = 16 };

/* perf: the sorted list of cudnnFind...; takes the first entry that is allowed. */
#define PICK(perf, num, which, member)                                                        \
    for (int i = 0; i < (num) && !found; i++)                                                 \
        if (allowed(c, (perf)[i].mathType, (perf)[i].status, (perf)[i].memory)) {             \
            v->member = (perf)[i].algo;                                                       \
            v->math[which] = (perf)[i].mathType;                                              \
            v->bytes[which] = (perf)[i].memory;                                               \
            found = true;                                                                     \
        }

static bool done(struct cu *c, struct cu_conv *v, bool found, int which)
{
    static const char *const names[] = {"forward", "backward data", "backward filter"};
    if (!found)
        return pv_fail(PV_FAULT_DEVICE, "cuDNN has no %s algorithm for %d -> %d, side %d, on %dx%dx%d in %s",
                       names[which], v->ci, v->co, v->k, v->in[0], v->in[1], v->in[2], cu_precision_name(c->precision));
    if (v->bytes[which] > c->workspace_needed)
        c->workspace_needed = v->bytes[which];
    return true;
}

static bool search_fwd(struct cu *c, struct cu_conv *v, cudnnTensorDescriptor_t xd, const void *x, const void *w,
                       cudnnTensorDescriptor_t yd, void *y)
{
    cudnnConvolutionFwdAlgoPerf_t perf[MOST_ALGOS];
    int num = 0;
    bool found = false;
    if (!DNN(cudnnSetConvolutionMathType(v->c, math_of(c))) ||
        !DNN(cudnnFindConvolutionForwardAlgorithmEx(c->dnn, xd, x, v->w, w, v->c, yd, y, MOST_ALGOS, &num, perf,
                                                    c->workspace, c->workspace_bytes)))
        return false;
    PICK(perf, num, FWD, fwd)
    return done(c, v, found, FWD);
}

static bool search_data(struct cu *c, struct cu_conv *v, cudnnTensorDescriptor_t yd, const void *dy, const void *w,
                        cudnnTensorDescriptor_t xd, void *dx)
{
    cudnnConvolutionBwdDataAlgoPerf_t perf[MOST_ALGOS];
    int num = 0;
    bool found = false;
    if (!DNN(cudnnSetConvolutionMathType(v->c, math_of(c))) ||
        !DNN(cudnnFindConvolutionBackwardDataAlgorithmEx(c->dnn, v->w, w, yd, dy, v->c, xd, dx, MOST_ALGOS, &num, perf,
                                                         c->workspace, c->workspace_bytes)))
        return false;
    PICK(perf, num, DATA, data)
    return done(c, v, found, DATA);
}

static bool search_filter(struct cu *c, struct cu_conv *v, cudnnTensorDescriptor_t xd, const void *x,
                          cudnnTensorDescriptor_t yd, const void *dy, void *dw)
{
    cudnnConvolutionBwdFilterAlgoPerf_t perf[MOST_ALGOS];
    int num = 0;
    bool found = false;
    if (!DNN(cudnnSetConvolutionMathType(v->c, math_of(c))) ||
        !DNN(cudnnFindConvolutionBackwardFilterAlgorithmEx(c->dnn, xd, x, yd, dy, v->c, v->w, dw, MOST_ALGOS, &num,
                                                           perf, c->workspace, c->workspace_bytes)))
        return false;
    PICK(perf, num, FILTER, filter)
    return done(c, v, found, FILTER);
}

bool cu_conv_search(struct cu *c, struct cu_conv *v, const void *x, const void *w, void *y, void *dx, void *dw)
{
    if (v->up)
        return search_data(c, v, v->x, x, w, v->y, y) && (!dx || search_fwd(c, v, v->y, y, w, v->x, dx)) &&
               search_filter(c, v, v->y, y, v->x, x, dw);
    return search_fwd(c, v, v->x, x, w, v->y, y) && (!dx || search_data(c, v, v->y, y, w, v->x, dx)) &&
           search_filter(c, v, v->x, x, v->y, y, dw);
}

/* ---- the three directions ---- */

static const float one = 1, zero = 0;

static bool forward(struct cu *c, struct cu_conv *v, cudnnTensorDescriptor_t xd, const void *x, const void *w,
                    cudnnTensorDescriptor_t yd, void *y, float beta)
{
    return DNN(cudnnSetConvolutionMathType(v->c, v->math[FWD])) &&
           DNN(cudnnConvolutionForward(c->dnn, &one, xd, x, v->w, w, v->c, v->fwd, c->workspace, c->workspace_bytes,
                                       &beta, yd, y));
}

static bool backward(struct cu *c, struct cu_conv *v, cudnnTensorDescriptor_t yd, const void *dy, const void *w,
                     cudnnTensorDescriptor_t xd, void *dx, float beta)
{
    return DNN(cudnnSetConvolutionMathType(v->c, v->math[DATA])) &&
           DNN(cudnnConvolutionBackwardData(c->dnn, &one, v->w, w, yd, dy, v->c, v->data, c->workspace,
                                            c->workspace_bytes, &beta, xd, dx));
}

bool cu_conv_fwd(struct cu *c, struct cu_conv *v, const void *x, const void *w, void *y)
{
    return v->up ? backward(c, v, v->x, x, w, v->y, y, 0) : forward(c, v, v->x, x, w, v->y, y, 0);
}

bool cu_conv_data(struct cu *c, struct cu_conv *v, const void *dy, const void *w, void *dx, float beta)
{
    return v->up ? forward(c, v, v->y, dy, w, v->x, dx, beta) : backward(c, v, v->y, dy, w, v->x, dx, beta);
}

bool cu_conv_weight(struct cu *c, struct cu_conv *v, const void *x, const void *dy, void *dw)
{
    cudnnTensorDescriptor_t in = v->up ? v->y : v->x, out = v->up ? v->x : v->y;
    return DNN(cudnnSetConvolutionMathType(v->c, v->math[FILTER])) &&
           DNN(cudnnConvolutionBackwardFilter(c->dnn, &one, in, v->up ? dy : x, out, v->up ? x : dy, v->c, v->filter,
                                              c->workspace, c->workspace_bytes, &zero, v->w, dw));
}
