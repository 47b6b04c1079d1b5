/* SPDX-License-Identifier: Apache-2.0
 * kernels.h. One work-item per voxel where not said otherwise; consecutive work-items read consecutive voxels. */
#include "kernels.h"

#include <cuda_fp16.h>
#include <stdint.h>

#ifndef LAUNCH
#define LAUNCH(kernel, blocks, ...) kernel<<<(unsigned)(blocks), THREADS>>>(__VA_ARGS__)
#endif

/* Kernels are made for every number of classes, so that a voxel's values stay in registers. */
#define ONE(n, ...) case n: { constexpr int N = n; __VA_ARGS__; break; }
#define BY_NUMBER(number, ...)                                                            \
    switch (number) {                                                                     \
        ONE(1, __VA_ARGS__) ONE(2, __VA_ARGS__) ONE(3, __VA_ARGS__) ONE(4, __VA_ARGS__)   \
        ONE(5, __VA_ARGS__) ONE(6, __VA_ARGS__) ONE(7, __VA_ARGS__) ONE(8, __VA_ARGS__)   \
    default:                                                                              \
        return cudaErrorInvalidValue;                                                     \
    }

#ifndef THREADS
#define THREADS 256
#endif

static size_t blocks_of(size_t items)
{
    return (items + THREADS - 1) / THREADS;
}

/* Work-item i of `voxels`: sample and voxel. */
#define VOXEL(n, v)                                                      \
    const size_t item = (size_t)blockIdx.x * THREADS + threadIdx.x;      \
    if (item >= (size_t)(n) * (v))                                       \
        return;                                                          \
    const size_t s = item / (v), at = item % (v)

/* Sum of `x` over the block in work-item 0; all must call it. */
static __device__ float block_sum(float x, float *room)
{
    room[threadIdx.x] = x;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < (unsigned)half)
            room[threadIdx.x] += room[threadIdx.x + half];
        __syncthreads();
    }
    float sum = room[0];
    __syncthreads();
    return sum;
}

/* ---- softmax, entropy ---- */

template <int C>
static __device__ void softmax_of(const float *z, size_t stride, float *p)
{
    float most = z[0], sum = 0;
    for (int k = 1; k < C; k++)
        most = fmaxf(most, z[k * stride]);
    for (int k = 0; k < C; k++)
        sum += p[k] = expf(z[k * stride] - most);
    for (int k = 0; k < C; k++)
        p[k] /= sum;
}

template <int C>
static __global__ void softmax_fwd(const float *x, float *y, int n, int v)
{
    VOXEL(n, v);
    float p[C];
    softmax_of<C>(x + s * C * v + at, v, p);
    for (int k = 0; k < C; k++)
        y[(s * C + k) * v + at] = p[k];
}

template <int C>
static __global__ void softmax_back(const float *y, const float *dy, float *dx, int n, int v)
{
    VOXEL(n, v);
    const size_t o = s * C * v + at;
    float dot = 0;
    for (int k = 0; k < C; k++)
        dot += y[o + (size_t)k * v] * dy[o + (size_t)k * v];
    for (int k = 0; k < C; k++)
        dx[o + (size_t)k * v] = y[o + (size_t)k * v] * (dy[o + (size_t)k * v] - dot);
}

template <int C>
static __global__ void entropy_fwd(const float *p, float *h, int n, int v, float eps)
{
    VOXEL(n, v);
    float sum = 0;
    for (int k = 0; k < C; k++) {
        float q = p[(s * C + k) * v + at];
        sum -= q > 0 ? q * logf(q + eps) : 0;
    }
    h[s * v + at] = sum;
}

template <int C>
static __global__ void entropy_back(const float *p, const float *dh, float *dp, int n, int v, float eps)
{
    VOXEL(n, v);
    const float d = dh[s * v + at];
    for (int k = 0; k < C; k++) {
        float q = p[(s * C + k) * v + at];
        dp[(s * C + k) * v + at] = q + eps > 0 ? -d * (logf(q + eps) + q / (q + eps)) : 0;
    }
}

/* ---- cosine to prototypes ---- */

static const float SHORTEST = 1e-8f;

static __device__ float length_of(const float *p, int d)
{
    float sum = 0;
    for (int i = 0; i < d; i++)
        sum += p[i] * p[i];
    return fmaxf(sqrtf(sum), SHORTEST);
}

template <int K>
static __global__ void cosine_fwd(const float *f, const float *p, float *y, float *inv, int n, int d, int v,
                                  float scale)
{
    __shared__ float unit[K];
    if (threadIdx.x < (unsigned)K)
        unit[threadIdx.x] = scale / length_of(p + threadIdx.x * d, d);
    __syncthreads();
    VOXEL(n, v);
    float dot[K] = {0}, sum = 0;
    for (int i = 0; i < d; i++) {
        float x = f[(s * d + i) * v + at];
        sum += x * x;
        for (int j = 0; j < K; j++)
            dot[j] += x * p[j * d + i];
    }
    float r = 1 / fmaxf(sqrtf(sum), SHORTEST);
    inv[s * v + at] = r;
    for (int j = 0; j < K; j++)
        y[(s * K + j) * v + at] = dot[j] * r * unit[j];
}

/* df = sum_j dy_j scale (p_j / (|p_j| |f|) - cos_j f / |f|^2) */
template <int K>
static __global__ void cosine_back_f(const float *f, const float *p, const float *y, const float *dy, const float *inv,
                                     float *df, int n, int d, int v, float scale)
{
    __shared__ float unit[K];
    if (threadIdx.x < (unsigned)K)
        unit[threadIdx.x] = scale / length_of(p + threadIdx.x * d, d);
    __syncthreads();
    VOXEL(n, v);
    const float r = inv[s * v + at];
    float g[K], along = 0;
    for (int j = 0; j < K; j++) {
        float q = dy[(s * K + j) * v + at];
        along += q * y[(s * K + j) * v + at];
        g[j] = q * unit[j] * r;
    }
    along *= r * r;
    for (int i = 0; i < d; i++) {
        float sum = -along * f[(s * d + i) * v + at];
        for (int j = 0; j < K; j++)
            sum += g[j] * p[j * d + i];
        df[(s * d + i) * v + at] = sum;
    }
}

/* Block b: over its part of the voxels, part[b][j][i] = sum dy_j f_i / |f|, part[b][j][d] = sum dy_j cos_j. */
static __global__ void cosine_parts(const float *f, const float *y, const float *dy, const float *inv, float *part,
                                    int n, int d, int v, int k)
{
    __shared__ float room[THREADS];
    const size_t total = (size_t)n * v, each = (total + gridDim.x - 1) / gridDim.x;
    const size_t first = blockIdx.x * each, last = first + each < total ? first + each : total;
    for (int j = 0; j < k; j++)
        for (int i = 0; i <= d; i++) {
            float sum = 0;
            for (size_t w = first + threadIdx.x; w < last; w += THREADS) {
                const size_t s = w / v, at = w % v, o = (s * k + j) * v + at;
                sum += dy[o] * (i < d ? f[(s * d + i) * v + at] * inv[w] : y[o]);
            }
            sum = block_sum(sum, room);
            if (threadIdx.x == 0)
                part[((size_t)blockIdx.x * k + j) * (d + 1) + i] = sum;
        }
}

/* One block per prototype: dp = scale A / |p| - B p / |p|^2 with A, B the sums of the parts. */
static __global__ void cosine_back_p(const float *p, const float *part, float *dp, int d, int k, float scale)
{
    const int j = blockIdx.x;
    const float len = length_of(p + j * d, d);
    float b = 0;
    for (int q = 0; q < K_BLOCKS; q++)
        b += part[((size_t)q * k + j) * (d + 1) + d];
    for (int i = threadIdx.x; i < d; i += THREADS) {
        float a = 0;
        for (int q = 0; q < K_BLOCKS; q++)
            a += part[((size_t)q * k + j) * (d + 1) + i];
        dp[j * d + i] = scale * a / len - b * p[j * d + i] / (len * len);
    }
}

static __global__ void unit_rows(const float *p, float *q, int d)
{
    const float len = length_of(p + (size_t)blockIdx.x * d, d);
    for (int i = threadIdx.x; i < d; i += THREADS)
        q[(size_t)blockIdx.x * d + i] = p[(size_t)blockIdx.x * d + i] / len;
}

static __global__ void lengths(const float *f, float *inv, int n, int d, int v)
{
    VOXEL(n, v);
    float sum = 0;
    for (int i = 0; i < d; i++) {
        float x = f[(s * d + i) * v + at];
        sum += x * x;
    }
    inv[s * v + at] = 1 / fmaxf(sqrtf(sum), SHORTEST);
}

static __global__ void scale_by(float *y, const float *inv, int n, int k, int v, float scale)
{
    VOXEL(n, v);
    for (int j = 0; j < k; j++)
        y[(s * k + j) * v + at] *= scale * inv[s * v + at];
}

/* ---- loss ---- */

template <int C>
static __device__ void probabilities(const float *z, size_t stride, int given, float *p)
{
    if (!given) {
        softmax_of<C>(z, stride, p);
        return;
    }
    for (int k = 0; k < C; k++)
        p[k] = z[k * stride];
}

/* Block b adds up its part of the voxels: [0] CE, then I, P, G of each class. */
template <int C>
static __global__ void loss_parts(const float *z, const int *label, int given, float *part, int n, int v)
{
    __shared__ float room[THREADS];
    const size_t total = (size_t)n * v, each = (total + gridDim.x - 1) / gridDim.x;
    const size_t first = blockIdx.x * each, last = first + each < total ? first + each : total;
    float sum[1 + 3 * C] = {0}, p[C];
    for (size_t w = first + threadIdx.x; w < last; w += THREADS) {
        const size_t s = w / v, at = w % v;
        const int y = label[w];
        probabilities<C>(z + s * C * v + at, v, given, p);
        for (int k = 0; k < C; k++) {
            if (k == y)
                sum[0] -= logf(fmaxf(p[k], 1e-30f));
            sum[1 + 3 * k] += k == y ? p[k] : 0;
            sum[2 + 3 * k] += p[k] * p[k];
            sum[3 + 3 * k] += k == y;
        }
    }
    for (int i = 0; i < 1 + 3 * C; i++) {
        float t = block_sum(sum[i], room);
        if (threadIdx.x == 0)
            part[(size_t)blockIdx.x * (1 + 3 * C) + i] = t;
    }
}

static const float DICE_EPS = 1e-5f;

static __global__ void loss_sum(const float *part, struct k_loss o, float *sums, float *loss, int c, float voxels)
{
    if ((int)threadIdx.x < 1 + 3 * c) {
        float t = 0;
        for (int b = 0; b < K_BLOCKS; b++)
            t += part[(size_t)b * (1 + 3 * c) + threadIdx.x];
        sums[threadIdx.x] = t;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        float dice = 0;
        for (int k = 1; k < c; k++)
            dice += 1 - (2 * sums[1 + 3 * k] + DICE_EPS) / (sums[2 + 3 * k] + sums[3 + 3 * k] + DICE_EPS);
        *loss = o.wce * sums[0] / voxels + o.wdice * dice / (c - 1);
    }
}

template <int C>
static __global__ void loss_back(const float *z, const int *label, struct k_loss o, const float *sums, float *dz, int n,
                                 int v, float scale)
{
    VOXEL(n, v);
    const int y = label[s * v + at];
    float p[C], dp[C], dot = 0;
    probabilities<C>(z + s * C * v + at, v, o.in_probs, p);
    for (int k = 0; k < C; k++) {
        const float num = 2 * sums[1 + 3 * k] + DICE_EPS, den = sums[2 + 3 * k] + sums[3 + 3 * k] + DICE_EPS;
        dp[k] = k == 0 ? 0 : -o.wdice / (C > 1 ? C - 1 : 1) * (2 * (k == y) / den - num * 2 * p[k] / (den * den));
        dot += dp[k] * p[k];
    }
    const float w = o.wce / ((float)n * v);
    for (int k = 0; k < C; k++)
        dz[(s * C + k) * v + at] =
            scale * (o.in_probs ? dp[k] : p[k] * (dp[k] - dot) + w * (p[k] - (k == y)));
}

/* ---- elementwise ---- */

#define ELEMENT(n)                                                       \
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;         \
    if (i >= (n))                                                        \
        return

static __global__ void sgd(float *w, const float *g, float *m, const __half *gh, __half *wh, size_t n, size_t num_half,
                           float lr, float momentum, float decay, float unscale)
{
    ELEMENT(n);
    const bool half = gh && i < num_half;
    const float x = (half ? __half2float(gh[i]) : g[i]) * unscale + decay * w[i];
    const float next = m[i] = momentum * m[i] + x;
    w[i] -= lr * next;
    if (wh && i < num_half)
        wh[i] = __float2half(w[i]);
}

static __global__ void ema(float *t, const float *s, size_t n, float keep)
{
    ELEMENT(n);
    t[i] = keep * t[i] + (1 - keep) * s[i];
}

static __global__ void add_f32(float *y, const float *a, const float *b, size_t n)
{
    ELEMENT(n);
    y[i] = a[i] + b[i];
}

static __global__ void add_f16(__half *y, const __half *a, const __half *b, size_t n)
{
    ELEMENT(n);
    y[i] = __float2half(__half2float(a[i]) + __half2float(b[i]));
}

static __global__ void to_half(__half *y, const float *x, size_t n)
{
    ELEMENT(n);
    y[i] = __float2half(x[i]);
}

static __global__ void to_plain(float *y, const void *x, int n, int c, int v, int half, int nhwc)
{
    VOXEL(n, v);
    for (int k = 0; k < c; k++) {
        const size_t o = nhwc ? (s * v + at) * c + k : (s * c + k) * v + at;
        y[(s * c + k) * v + at] = half ? __half2float(((const __half *)x)[o]) : ((const float *)x)[o];
    }
}

static __global__ void from_plain(void *y, const float *x, int n, int c, int v, int half, int nhwc)
{
    VOXEL(n, v);
    for (int k = 0; k < c; k++) {
        const size_t o = nhwc ? (s * v + at) * c + k : (s * c + k) * v + at;
        const float t = x[(s * c + k) * v + at];
        if (half)
            ((__half *)y)[o] = __float2half(t);
        else
            ((float *)y)[o] = t;
    }
}

/* ---- peaks ---- */

static __global__ void fma_peak(float *out, int steps)
{
    float a[8];
    for (int i = 0; i < 8; i++)
        a[i] = threadIdx.x + i;
    for (int t = 0; t < steps; t++)
        for (int i = 0; i < 8; i++)
            a[i] = a[i] * 0.999f + 1e-7f;
    float sum = 0;
    for (int i = 0; i < 8; i++)
        sum += a[i];
    out[(size_t)blockIdx.x * THREADS + threadIdx.x] = sum;
}

static __global__ void read_peak(const float4 *x, float *out, size_t n)
{
    const size_t me = (size_t)blockIdx.x * THREADS + threadIdx.x;
    float sum = 0;
    for (size_t i = me; i < n; i += (size_t)gridDim.x * THREADS)
        sum += x[i].x + x[i].y + x[i].z + x[i].w;
    out[me] = sum;
}

/* ---- behind plain C ---- */

cudaError_t k_softmax(const float *x, float *y, int n, int c, int v)
{
    BY_NUMBER(c, LAUNCH(softmax_fwd<N>, blocks_of((size_t)n * v), x, y, n, v));
    return cudaGetLastError();
}

cudaError_t k_softmax_bwd(const float *y, const float *dy, float *dx, int n, int c, int v)
{
    BY_NUMBER(c, LAUNCH(softmax_back<N>, blocks_of((size_t)n * v), y, dy, dx, n, v));
    return cudaGetLastError();
}

cudaError_t k_entropy(const float *p, float *h, int n, int c, int v, float eps)
{
    BY_NUMBER(c, LAUNCH(entropy_fwd<N>, blocks_of((size_t)n * v), p, h, n, v, eps));
    return cudaGetLastError();
}

cudaError_t k_entropy_bwd(const float *p, const float *dh, float *dp, int n, int c, int v, float eps)
{
    BY_NUMBER(c, LAUNCH(entropy_back<N>, blocks_of((size_t)n * v), p, dh, dp, n, v, eps));
    return cudaGetLastError();
}

cudaError_t k_cosine(const float *f, const float *p, float *y, float *inv, int n, int d, int v, int k, float scale)
{
    BY_NUMBER(k, LAUNCH(cosine_fwd<N>, blocks_of((size_t)n * v), f, p, y, inv, n, d, v, scale));
    return cudaGetLastError();
}

cudaError_t k_cosine_bwd_f(const float *f, const float *p, const float *y, const float *dy, const float *inv, float *df,
                           int n, int d, int v, int k, float scale)
{
    BY_NUMBER(k, LAUNCH(cosine_back_f<N>, blocks_of((size_t)n * v), f, p, y, dy, inv, df, n, d, v, scale));
    return cudaGetLastError();
}

cudaError_t k_cosine_bwd_p(const float *f, const float *p, const float *y, const float *dy, const float *inv,
                           float *part, float *dp, int n, int d, int v, int k, float scale)
{
    LAUNCH(cosine_parts, K_BLOCKS, f, y, dy, inv, part, n, d, v, k);
    LAUNCH(cosine_back_p, k, p, part, dp, d, k, scale);
    return cudaGetLastError();
}

cudaError_t k_unit(const float *p, float *q, int k, int d)
{
    LAUNCH(unit_rows, k, p, q, d);
    return cudaGetLastError();
}

cudaError_t k_lengths(const float *f, float *inv, int n, int d, int v)
{
    LAUNCH(lengths, blocks_of((size_t)n * v), f, inv, n, d, v);
    return cudaGetLastError();
}

cudaError_t k_scale_by(float *y, const float *inv, int n, int k, int v, float scale)
{
    LAUNCH(scale_by, blocks_of((size_t)n * v), y, inv, n, k, v, scale);
    return cudaGetLastError();
}

cudaError_t k_loss(const float *z, const int *label, struct k_loss o, float *part, float *sums, float *loss, int n,
                   int c, int v)
{
    BY_NUMBER(c, LAUNCH(loss_parts<N>, K_BLOCKS, z, label, o.in_probs, part, n, v));
    LAUNCH(loss_sum, 1, part, o, sums, loss, c, (float)n * v);
    return cudaGetLastError();
}

cudaError_t k_loss_bwd(const float *z, const int *label, struct k_loss o, const float *sums, float *dz, int n, int c,
                       int v, float scale)
{
    BY_NUMBER(c, LAUNCH(loss_back<N>, blocks_of((size_t)n * v), z, label, o, sums, dz, n, v, scale));
    return cudaGetLastError();
}

cudaError_t k_sgd(float *w, const float *g, float *m, const void *gh, void *wh, size_t n, size_t num_half, float lr,
                  float momentum, float decay, float unscale)
{
    LAUNCH(sgd, blocks_of(n), w, g, m, (const __half *)gh, (__half *)wh, n, num_half, lr, momentum, decay, unscale);
    return cudaGetLastError();
}

cudaError_t k_ema(float *t, const float *s, size_t n, float keep)
{
    LAUNCH(ema, blocks_of(n), t, s, n, keep);
    return cudaGetLastError();
}

cudaError_t k_add(void *y, const void *a, const void *b, size_t n, int half)
{
    if (half)
        LAUNCH(add_f16, blocks_of(n), (__half *)y, (const __half *)a, (const __half *)b, n);
    else
        LAUNCH(add_f32, blocks_of(n), (float *)y, (const float *)a, (const float *)b, n);
    return cudaGetLastError();
}

cudaError_t k_to_half(void *y, const float *x, size_t n)
{
    LAUNCH(to_half, blocks_of(n), (__half *)y, x, n);
    return cudaGetLastError();
}

cudaError_t k_to_plain(float *y, const void *x, int n, int c, int v, int half, int nhwc)
{
    LAUNCH(to_plain, blocks_of((size_t)n * v), y, x, n, c, v, half, nhwc);
    return cudaGetLastError();
}

cudaError_t k_from_plain(void *y, const float *x, int n, int c, int v, int half, int nhwc)
{
    LAUNCH(from_plain, blocks_of((size_t)n * v), y, x, n, c, v, half, nhwc);
    return cudaGetLastError();
}

cudaError_t k_fma(float *out, int blocks, int steps)
{
    LAUNCH(fma_peak, blocks, out, steps);
    return cudaGetLastError();
}

cudaError_t k_read(const float *x, float *out, size_t n, int blocks)
{
    LAUNCH(read_peak, blocks, (const float4 *)x, out, n / 4);
    return cudaGetLastError();
}
