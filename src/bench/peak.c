/* SPDX-License-Identifier: Apache-2.0
 * Measured peaks: the shares of all other benchmarks refer to them. Kernels run long enough to be timed (tens of
 * milliseconds), the best run counts. */
#include "bench/bench.h"
#include "ops/args/bench.h"
#include "platform/platform.h"
#include "tensor/tensor.h"

static const struct pv_kernel fat_fma = {"bench", "peak_fma", "w", sizeof(struct a_peak), {1, 1, 1}, NULL};
static const struct pv_kernel simt_fma = {"bench", "peak_fma", "w", sizeof(struct a_peak), {64, 1, 1}, NULL};
static const struct pv_kernel fat_read = {"bench", "mem_read", "rw", sizeof(struct a_mem), {1, 1, 1}, NULL};
static const struct pv_kernel simt_read = {"bench", "mem_read", "rw", sizeof(struct a_mem), {64, 1, 1}, NULL};
static const struct pv_kernel fat_copy = {"bench", "mem_copy", "rw", sizeof(struct a_mem), {1, 1, 1}, NULL};
static const struct pv_kernel simt_copy = {"bench", "mem_copy", "rw", sizeof(struct a_mem), {64, 1, 1}, NULL};

static double timed(pv_dev *dev, struct pv_launch *l)
{
    pv_dev_finish(dev);
    uint64_t t0 = pv_clock_ns();
    pv_run(dev, l);
    pv_dev_finish(dev);
    return (double)(pv_clock_ns() - t0) * 1e-9;
}

static double peak_fma(pv_dev *dev)
{
    bool fat = pv_dev_get_info(dev)->cls == PV_FAT;
    int units = pv_max(1, (int)pv_dev_get_info(dev)->limits.compute_units), groups = units * (fat ? 8 : 64);
    int lanes = fat ? 16 : 64 * 4, chains = fat ? 12 : 4;
    pv_tensor *out = pv_tensor_new(dev, pv_flat(groups * lanes), PV_F32);
    struct a_peak a = {.steps = 1024, .b = 0.999f, .c = 1e-7f};
    struct pv_launch l = {.k = fat ? &fat_fma : &simt_fma, .label = "peak", .args = &a,
                          .groups = {(uint32_t)groups, 1, 1}};
    pv_bind(&l, 0, out);
    double best = 0, s = 0;
    timed(dev, &l);
    while (!pv_dev_failed(dev) && (s = timed(dev, &l)) < 0.02 && a.steps < 1 << 28)
        a.steps *= 2;
    for (int i = 0; i < 5 && !pv_dev_failed(dev); i++) {
        s = timed(dev, &l);
        double g = 2.0 * a.steps * chains * lanes * groups / s * 1e-9;
        best = g > best ? g : best;
    }
    pv_tensor_put(&out);
    return best;
}

static double peak_mem(pv_dev *dev, uint64_t bytes, bool copy)
{
    bool fat = pv_dev_get_info(dev)->cls == PV_FAT;
    const struct pv_limits *m = &pv_dev_get_info(dev)->limits;
    bytes = bytes ? bytes : 256u << 20;
    while (bytes > m->max_binding || bytes > m->max_alloc || bytes > m->memory / 4)
        bytes /= 2;
    int span = 1 << 16, groups = (int)(bytes / 4 / (uint64_t)span);
    while (span > 1024 && groups < (int)m->compute_units * 8) {
        span /= 2;
        groups *= 2;
    }
    pv_tensor *src = pv_tensor_zeros(dev, pv_flat(groups * span), PV_F32);
    pv_tensor *dst = pv_tensor_zeros(dev, pv_flat(copy ? groups * span : groups * 256), PV_F32);
    struct a_mem a = {.span = span};
    struct pv_launch l = {.label = "peak", .args = &a, .groups = {(uint32_t)groups, 1, 1}};
    l.k = copy ? (fat ? &fat_copy : &simt_copy) : (fat ? &fat_read : &simt_read);
    pv_bind(&l, 0, src);
    pv_bind(&l, 1, dst);
    double best = 0;
    for (int i = 0; i < 7 && src && dst && !pv_dev_failed(dev); i++) {
        double s = timed(dev, &l), g = (double)groups * span * 4 * (copy ? 2 : 1) / s * 1e-9;
        best = i > 1 && g > best ? g : best;
    }
    pv_tensor_put(&src);
    pv_tensor_put(&dst);
    return best;
}

struct pv_peak pv_bench_peak(pv_dev *dev, uint64_t bytes)
{
    struct pv_peak p = {0};
    if (pv_dev_is_ref(dev))
        return p;
    p.fma = peak_fma(dev);
    p.read = peak_mem(dev, bytes, false);
    p.copy = peak_mem(dev, bytes, true);
    return p;
}
