/* SPDX-License-Identifier: Apache-2.0
 * cu.h: device, memory, results. */
#include "cu.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "platform/platform.h"
#include "pv_config.h"

bool cu_ok(cudaError_t e, const char *what)
{
    return e == cudaSuccess || pv_fail(PV_FAULT_DEVICE, "CUDA: %s (%s)", cudaGetErrorString(e), what);
}

bool cu_dnn_ok(cudnnStatus_t e, const char *what)
{
    return e == CUDNN_STATUS_SUCCESS || pv_fail(PV_FAULT_DEVICE, "cuDNN: %s (%s)", cudnnGetErrorString(e), what);
}

bool cu_blas_ok(cublasStatus_t e, const char *what)
{
    return e == CUBLAS_STATUS_SUCCESS || pv_fail(PV_FAULT_DEVICE, "cuBLAS: status %d (%s)", (int)e, what);
}

const char *cu_precision_name(enum cu_precision p)
{
    return p == CU_HALF ? "half" : p == CU_TF32 ? "tf32" : "fp32";
}

/* ---- device ---- */

bool cu_open(struct cu *c, enum cu_precision precision, bool nhwc, char **why)
{
    int n = 0, driver = 0, runtime = 0;
    struct cudaDeviceProp p;
    *c = (struct cu){.precision = precision, .nhwc = nhwc, .type = CUDNN_DATA_FLOAT, .element = 4};
    *why = NULL;
    if (precision == CU_HALF) {
        c->type = CUDNN_DATA_HALF;
        c->element = 2;
    }
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e != cudaSuccess || n == 0) {
        *why = pv_asprintf("there is no NVIDIA GPU that CUDA can use here (%s)",
                           e != cudaSuccess ? cudaGetErrorString(e) : "no device");
        return false;
    }
    if (!CU(cudaSetDevice(0)) || !CU(cudaGetDeviceProperties(&p, 0)) || !DNN(cudnnCreate(&c->dnn)) ||
        !BLAS(cublasCreate(&c->blas)))
        return false;
    cublasMath_t math = precision == CU_FP32 ? CUBLAS_PEDANTIC_MATH : CUBLAS_TF32_TENSOR_OP_MATH;
    if (!BLAS(cublasSetMathMode(c->blas, math)))
        return false;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    snprintf(c->name, sizeof c->name, "%s", p.name);
    snprintf(c->driver, sizeof c->driver, "CUDA %d.%d (driver for %d.%d), cuDNN %zu", runtime / 1000,
             runtime % 1000 / 10, driver / 1000, driver % 1000 / 10, cudnnGetVersion());
    c->multiprocessors = p.multiProcessorCount;
    return true;
}

void cu_close(struct cu *c)
{
    cu_free(c, c->workspace, c->workspace_bytes);
    if (c->dnn)
        cudnnDestroy(c->dnn);
    if (c->blas)
        cublasDestroy(c->blas);
    *c = (struct cu){0};
}

/* ---- memory ---- */

void *cu_alloc(struct cu *c, size_t bytes)
{
    void *p = NULL;
    if (!CU(cudaMalloc(&p, bytes ? bytes : 1)))
        return NULL;
    c->used += bytes;
    c->peak = c->used > c->peak ? c->used : c->peak;
    return p;
}

void cu_free(struct cu *c, void *p, size_t bytes)
{
    if (!p)
        return;
    cudaFree(p);
    c->used -= bytes;
}

bool cu_workspace(struct cu *c)
{
    size_t room = 0, all = 0, most = (size_t)4 << 30;
    if (!CU(cudaMemGetInfo(&room, &all)))
        return false;
    c->workspace_bytes = room / 4 < most ? room / 4 : most;
    c->workspace_needed = 0;
    size_t peak = c->peak;          /* what is only for the search does not count */
    c->workspace = cu_alloc(c, c->workspace_bytes);
    c->peak = peak;
    return c->workspace != NULL;
}

bool cu_workspace_fit(struct cu *c)
{
    cu_free(c, c->workspace, c->workspace_bytes);
    c->workspace_bytes = c->workspace_needed;
    c->workspace = cu_alloc(c, c->workspace_bytes);
    return c->workspace != NULL;
}

void *cu_random(struct cu *c, size_t n, float scale, bool as_float)
{
    bool half = !as_float && c->element == 2;
    float *v = pv_alloc(sizeof *v * n);
    struct pv_rng rng = pv_rng_make(1, pv_stream("bench", (uint64_t)n, 0));
    for (size_t i = 0; i < n; i++)
        v[i] = scale * (float)(2 * pv_rng_uniform(&rng) - 1);
    void *p = cu_alloc(c, n * sizeof *v), *h = NULL;
    bool ok = p && CU(cudaMemcpy(p, v, n * sizeof *v, cudaMemcpyHostToDevice));
    pv_free(v);
    if (ok && half) {
        ok = (h = cu_alloc(c, n * 2)) && CU(k_to_half(h, p, n)) && CU(cudaDeviceSynchronize());
        cu_free(c, p, n * sizeof *v);
        p = h;
    }
    return ok ? p : NULL;
}

/* ---- results ---- */

static double timed_ms(uint64_t t0)
{
    return (double)(pv_clock_ns() - t0) * 1e-6;
}

static bool peaks(struct cu *c, pv_json *o)
{
    int blocks = c->multiprocessors * 16, steps = 4096;
    size_t n = (size_t)64 << 20, out_bytes = (size_t)blocks * 256 * 4;
    float *a = cu_alloc(c, n * 4), *b = cu_alloc(c, n * 4), *out = cu_alloc(c, out_bytes);
    double fma = 0, read = 0, copy = 0;
    bool ok = a && b && out && CU(cudaMemset(a, 0, n * 4));
    for (int i = 0; i < 6 && ok; i++) {
        CU(cudaDeviceSynchronize());
        uint64_t t0 = pv_clock_ns();
        ok = CU(k_fma(out, blocks, steps)) && CU(cudaDeviceSynchronize());
        double ms = timed_ms(t0), g = 16.0 * 256 * blocks * steps / ms * 1e-6;
        fma = i > 0 && g > fma ? g : fma;
        while (i == 0 && ms < 10 && steps < 1 << 24) {      /* long enough to be timed */
            steps *= 2;
            ms *= 2;
        }
        t0 = pv_clock_ns();
        ok = ok && CU(k_read(a, out, n, blocks)) && CU(cudaDeviceSynchronize());
        g = (double)n * 4 / timed_ms(t0) * 1e-6;
        read = i > 0 && g > read ? g : read;
        t0 = pv_clock_ns();
        ok = ok && CU(cudaMemcpyAsync(b, a, n * 4, cudaMemcpyDeviceToDevice, 0)) && CU(cudaDeviceSynchronize());
        g = (double)n * 8 / timed_ms(t0) * 1e-6;
        copy = i > 0 && g > copy ? g : copy;
    }
    cu_free(c, a, n * 4);
    cu_free(c, b, n * 4);
    cu_free(c, out, out_bytes);
    pv_json_set_num(o, "fma_gflops", fma);
    pv_json_set_num(o, "read_gbs", read);
    pv_json_set_num(o, "copy_gbs", copy);
    c->peak = c->used;
    return ok;
}

pv_json *cu_result(struct cu *c, const char *kind, bool measure)
{
    pv_json *o = pv_json_object(), *d = pv_json_object(), *p = pv_json_object();
    char now[32];
    pv_time_text(now);
    pv_json_set_str(o, "kind", kind);
    pv_json_set_str(o, "program", "protovox " PV_VERSION " bench/cuda");
    pv_json_set_str(o, "date", now);
    char *name = pv_asprintf("cuda %s%s", cu_precision_name(c->precision), c->nhwc ? " channels last" : "");
    pv_json_set_str(o, "name", name);
    pv_free(name);
    pv_json_set_str(o, "precision", cu_precision_name(c->precision));
    pv_json_set_str(d, "id", "cuda:0");
    if (c->name[0]) {
        pv_json_set_str(d, "name", c->name);
        pv_json_set_str(d, "driver", c->driver);
        pv_json_set_num(d, "compute_units", c->multiprocessors);
    }
    pv_json_set(o, "device", d);
    bool ok = !measure || peaks(c, p);
    pv_json_set(o, "peak", p);
    if (!ok) {
        pv_json_free(o);
        return NULL;
    }
    return o;
}
