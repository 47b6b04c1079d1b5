/* SPDX-License-Identifier: Apache-2.0
 * What the CUDA benchmarks share: the device, memory that is counted, convolutions of cuDNN. Functions that fail call
 * pv_fail() with what CUDA or cuDNN say and return false. Everything runs on the default stream. */
#ifndef CUDA_CU_H
#define CUDA_CU_H

#include <cublas_v2.h>
#include <cudnn.h>

#include "base/json.h"
#include "bench/bench.h"
#include "kernels.h"

enum cu_precision { CU_FP32, CU_TF32, CU_HALF };        /* HALF: data in fp16, sums and statistics in fp32 */

struct cu {
    cudnnHandle_t dnn;
    cublasHandle_t blas;
    enum cu_precision precision;
    bool nhwc;                      /* channels last */
    cudnnDataType_t type;           /* of feature maps and weights */
    size_t element;                 /* its bytes */
    size_t used, peak;              /* bytes of cu_alloc */
    void *workspace;
    size_t workspace_bytes, workspace_needed;
    char name[256], driver[96];
    int multiprocessors;
};

bool cu_ok(cudaError_t e, const char *what);
bool cu_dnn_ok(cudnnStatus_t e, const char *what);
bool cu_blas_ok(cublasStatus_t e, const char *what);
#define CU(call) cu_ok((call), #call)
#define DNN(call) cu_dnn_ok((call), #call)
#define BLAS(call) cu_blas_ok((call), #call)

/* The first GPU. False without a fault and with *why set (pv_free it) if there is none. */
bool cu_open(struct cu *c, enum cu_precision precision, bool nhwc, char **why);
void cu_close(struct cu *c);

/* Device memory; NULL with a fault. Freed by cu_free with the same size. */
void *cu_alloc(struct cu *c, size_t bytes);
void cu_free(struct cu *c, void *p, size_t bytes);
/* Room for searching algorithms: a quarter of what is free, at most 4 GiB. cu_fit leaves what is needed of it. */
bool cu_workspace(struct cu *c);
bool cu_workspace_fit(struct cu *c);

/* n floats in [-scale, scale), the same for the same n; as halves if the context is. */
void *cu_random(struct cu *c, size_t n, float scale, bool as_float);

/* [n][ch][x][y][z] in the context's layout. */
bool cu_tensor(const struct cu *c, cudnnTensorDescriptor_t *d, int n, int ch, const int s[3], cudnnDataType_t type);

/* A convolution without bias, padding (k - 1) / 2 for stride 1, none else; `up`: the transposed one of stride k. */
struct cu_conv {
    cudnnTensorDescriptor_t x, y;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t c;
    bool up;
    int n, ci, co, k, in[3], out[3];
    size_t x_count, y_count, w_count;       /* elements */
    /* what the search chose, for the convolution that `up` transposes */
    cudnnConvolutionFwdAlgo_t fwd;
    cudnnConvolutionBwdDataAlgo_t data;
    cudnnConvolutionBwdFilterAlgo_t filter;
    cudnnMathType_t math[3];
    size_t bytes[3];                        /* of workspace */
};
bool cu_conv_make(const struct cu *c, struct cu_conv *v, const struct pv_layer *l);
void cu_conv_free(struct cu_conv *v);
/* Measures the algorithms on these buffers, whose contents y, dx, dw are lost. dx NULL: not needed. */
bool cu_conv_search(struct cu *c, struct cu_conv *v, const void *x, const void *w, void *y, void *dx, void *dw);
bool cu_conv_fwd(struct cu *c, struct cu_conv *v, const void *x, const void *w, void *y);
/* dx = beta dx + ... */
bool cu_conv_data(struct cu *c, struct cu_conv *v, const void *dy, const void *w, void *dx, float beta);
bool cu_conv_weight(struct cu *c, struct cu_conv *v, const void *x, const void *dy, void *dw);

/* The benchmarks. A result of kind "ops" or "step"; NULL after a fault. */
pv_json *cu_bench_ops(struct cu *c, const struct pv_bench_ops_args *a);
struct cu_step_args { int patch[3], batch, filters, classes, reps, warmup; bool train, infer; };
pv_json *cu_bench_step(struct cu *c, const struct cu_step_args *a);
/* Kernels and convolutions against plain C in double, at small shapes; fills `o` with the largest relative errors. */
bool cu_check(struct cu *c, pv_json *o);

/* Members that every result has; peaks are measured if measure is set. */
pv_json *cu_result(struct cu *c, const char *kind, bool measure);
const char *cu_precision_name(enum cu_precision p);

#endif
