/* SPDX-License-Identifier: Apache-2.0
 * Matrix units of NVIDIA's GPUs through OpenCL: PTX inside kernels (kernels_cl/common/mma.h). Whether a driver takes it
 * and multiplies as documented is found out by building and running a small kernel, the first time someone asks. */
#include <stdio.h>
#include <string.h>

#include "dev/ocl/ocl.h"
#include "platform/platform.h"

enum { M = 16, N = 8, K = 16, WARP = 32, MOST_ITEMS = 128 };

/* Small whole numbers, exact in any order of summing; no two rows or columns are alike. */
struct product { float a[M * K], b[K * N], c[M * N]; };

static void fill(struct product *p)
{
    for (int i = 0; i < M * K; i++)
        p->a[i] = (float)((i / K * 7 + i % K * 3 + i * i % 5) % 23 - 11);
    for (int i = 0; i < K * N; i++)
        p->b[i] = (float)((i / N * 5 + i % N * 11 + i * i % 7) % 19 - 9);
    for (int i = 0; i < M * N; i++)
        p->c[i] = (float)(i % 13 - 6);
}

static bool same(const struct product *p, const float *d)
{
    for (int i = 0; i < M * N; i++) {
        float sum = p->c[i];
        for (int k = 0; k < K; k++)
            sum += p->a[i / N * K + k] * p->b[k * N + i % N];
        if (d[i] != sum)
            return false;
    }
    return true;
}

/* false: why it cannot be used. */
static bool works(const pv_dev *dev, int unit, char *why, size_t size)
{
    struct product p;
    float out[M * N] = {0};
    char options[32];
    snprintf(options, sizeof options, "-DUNIT=%d", unit);
    fill(&p);
    const struct ocl_probe probe = {.name = "mma_probe", .options = options, .num = 3, .from = {p.a, p.b, p.c},
                                    .bytes = {sizeof p.a, sizeof p.b, sizeof p.c}, .items = WARP, .groups = 1};
    if (ocl_probe(dev, &probe, out, why, size) && !same(&p, out))
        snprintf(why, size, "wrong results");
    return !why[0];
}

/* unit: constant UNIT of the kernels. */
static bool take(const pv_dev *dev, int unit)
{
    struct ocl_dev *d = dev->impl;
    char why[1024];
    const int k = unit ? unit : K;
    if (!works(dev, unit, why, sizeof why)) {
        pv_debug("ops", "%s: matrix units of %dx%dx%d are not used: %s", dev->info.id, M, N, k, why);
        return false;
    }
    pv_debug("ops", "%s: matrix units of %dx%dx%d%s", dev->info.id, M, N, k, unit ? "" : ", imitated");
    d->matrix = (struct pv_matrix){.m = M, .n = N, .k = k, .subgroup = WARP, .impl = "mma", .imitated = !unit};
    return true;
}

static void find(const pv_dev *dev)
{
    const char *ask = pv_env("PV_MMA"), *why = NULL;
    const bool imitate = ask && pv_streq(ask, "imitate");
    if (ask && pv_streq(ask, "off"))
        why = "PV_MMA=off";
    else if (!imitate && !strstr(dev->info.vendor, "NVIDIA"))
        why = "not a GPU of NVIDIA";
    else if (dev->info.cls != PV_SIMT)
        why = "they belong to class simt";
    else if (dev->info.limits.max_wg < MOST_ITEMS)
        why = "no work-groups of 128";
    if (why)
        pv_debug("ops", "%s: matrix units are not used: %s", dev->info.id, why);
    else if (imitate)
        take(dev, 0);
    else if (!take(dev, 16))
        take(dev, 8);
}

bool ocl_matrix(const pv_dev *dev, struct pv_matrix *out)
{
    struct ocl_dev *d = dev->impl;
    if (!d->matrix_asked)
        find(dev);
    d->matrix_asked = true;
    *out = d->matrix;
    return out->m > 0;
}
