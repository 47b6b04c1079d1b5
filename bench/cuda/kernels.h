/* SPDX-License-Identifier: Apache-2.0
 * Hand-written CUDA kernels behind plain C. Tensors are fp32 [n][c][v] with v voxels (v contiguous) unless said
 * otherwise; labels int32 [n][v]. Everything is queued on the default stream; each returns cudaGetLastError(). Sums are
 * made in an order fixed by the shape, without atomics. */
#ifndef CUDA_KERNELS_H
#define CUDA_KERNELS_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { K_CLASSES = 8 };                     /* classes or prototypes at most */
#ifndef K_BLOCKS
#define K_BLOCKS 512                        /* parts of a sum */
#endif

/* y = softmax over channels; dx = y (dy - sum_k dy_k y_k). c <= K_CLASSES. */
cudaError_t k_softmax(const float *x, float *y, int n, int c, int v);
cudaError_t k_softmax_bwd(const float *y, const float *dy, float *dx, int n, int c, int v);

/* h [n][v] = -sum_c p ln(p + eps), and its gradient dp = -dh (ln(p + eps) + p / (p + eps)). */
cudaError_t k_entropy(const float *p, float *h, int n, int c, int v, float eps);
cudaError_t k_entropy_bwd(const float *p, const float *dh, float *dp, int n, int c, int v, float eps);

/* y [n][k][v] = scale cos(f(v), p_k), f [n][d][v], p [k][d], k <= K_CLASSES; inv [n][v] receives 1 / max(|f|, 1e-8).
 * Backward: df, and dp [k][d] by way of part [K_BLOCKS][k][d + 1]. */
cudaError_t k_cosine(const float *f, const float *p, float *y, float *inv, int n, int d, int v, int k, float scale);
cudaError_t k_cosine_bwd_f(const float *f, const float *p, const float *y, const float *dy, const float *inv, float *df,
                           int n, int d, int v, int k, float scale);
cudaError_t k_cosine_bwd_p(const float *f, const float *p, const float *y, const float *dy, const float *inv,
                           float *part, float *dp, int n, int d, int v, int k, float scale);
/* For the way by cuBLAS: q [k][d] = p / max(|p|, 1e-8), inv as above, y *= scale inv. */
cudaError_t k_unit(const float *p, float *q, int k, int d);
cudaError_t k_lengths(const float *f, float *inv, int n, int d, int v);
cudaError_t k_scale_by(float *y, const float *inv, int n, int k, int v, float scale);

/* loss [1] = (wce mean CE + wdice mean over classes >= 1 of (1 - (2 I_c + e) / (P_c + G_c + e))) of logits z, e = 1e-5,
 * I = sum p g, P = sum p^2, G = sum g (with `in_probs` z are probabilities for the Dice term; wce must be 0 then).
 * sums [1 + 3 c] and part [K_BLOCKS][1 + 3 c] are room. dz = scale times its gradient. */
struct k_loss { float wce, wdice; int in_probs; };
cudaError_t k_loss(const float *z, const int *label, struct k_loss o, float *part, float *sums, float *loss, int n,
                   int c, int v);
cudaError_t k_loss_bwd(const float *z, const int *label, struct k_loss o, const float *sums, float *dz, int n, int c,
                       int v, float scale);

/* g = grad * unscale + decay w; m = momentum m + g; w -= lr m. gh (half, may be NULL) replaces g for i < num_half, and
 * wh (half, may be NULL) receives the new w there. */
cudaError_t k_sgd(float *w, const float *g, float *m, const void *gh, void *wh, size_t n, size_t num_half, float lr,
                  float momentum, float decay, float unscale);
cudaError_t k_ema(float *t, const float *s, size_t n, float keep);

/* Elementwise over n: y = a + b; casts; half is IEEE binary16. */
cudaError_t k_add(void *y, const void *a, const void *b, size_t n, int half);
cudaError_t k_to_half(void *y, const float *x, size_t n);
/* [n][v][c] half or [n][c][v] (nhwc 0) half or float to fp32 [n][c][v] and back. */
cudaError_t k_to_plain(float *y, const void *x, int n, int c, int v, int half, int nhwc);
cudaError_t k_from_plain(void *y, const float *x, int n, int c, int v, int half, int nhwc);

/* Peaks: 2 * 8 * 256 * blocks * steps floating-point operations; reading n floats into out [blocks * 256]. */
cudaError_t k_fma(float *out, int blocks, int steps);
cudaError_t k_read(const float *x, float *out, size_t n, int blocks);

#ifdef __cplusplus
}
#endif
#endif
