/* SPDX-License-Identifier: Apache-2.0
 * Matrix products by a library that a backend may have: whether it is there, whether it works, checked calls. */
#include <stdio.h>
#include <string.h>

#include "dev/dev_impl.h"
#include "platform/platform.h"

const char *pv_gemm_library(struct pv_str *why)
{
    for (int b = 0; pv_backends[b]; b++)
        if (pv_backends[b]->gemm_library)
            return pv_backends[b]->gemm_library(why);
    if (why)
        pv_str_add(why, "this program was built without OpenCL");
    return NULL;
}

bool pv_gemm_there(const pv_dev *dev, struct pv_str *why)
{
    if (dev->be->gemm_library)
        return dev->be->gemm_library(why) != NULL;
    if (why)
        pv_str_addf(why, "CLBlast is for OpenCL devices, not for %s", dev->info.id);
    return false;
}

/* False: a fault of ours, or out of the buffer. */
static bool resolve(pv_dev *dev, const struct pv_gemm *g, struct pv_gemm_side side[3])
{
    const struct pv_gemm_rows *m[3] = {&g->a, &g->b, &g->c};
    const int rows[3] = {g->turn_a ? g->k : g->m, g->turn_b ? g->n : g->k, g->m};
    const int cols[3] = {g->turn_a ? g->m : g->k, g->turn_b ? g->k : g->n, g->n};
    for (int i = 0; i < 3; i++) {
        size_t bytes = ((size_t)(rows[i] - 1) * (size_t)m[i]->ld + (size_t)cols[i]) * 4, left = 0;
        bool in = m[i]->buf && rows[i] > 0 && cols[i] > 0 && m[i]->ld >= cols[i] && m[i]->off % 4 == 0 &&
                  m[i]->off < pv_buf_bytes(m[i]->buf) && bytes <= pv_buf_bytes(m[i]->buf) - m[i]->off;
        if (in)
            side[i].mem = pv_buf_locate(m[i]->buf, m[i]->off, &side[i].off, &left);
        if (!in || bytes > left) {
            pv_dev_fail(dev, "internal: %s: matrix %c is not within its buffer", g->label, 'a' + i);
            return false;
        }
    }
    return true;
}

/* (1 2 3; 4 5 6) (1 2; 3 4; 5 6), behind them room for the result. */
static const float numbers[16] = {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}, right[4] = {22, 28, 49, 64};

static bool first_product(pv_dev *dev, char why[128])
{
    pv_buf *in = pv_buf_get(dev, sizeof numbers, sizeof numbers, 0);
    pv_buf *out = pv_buf_get(dev, sizeof right, sizeof right, 0);
    struct pv_gemm g = {.label = "first product", .a = {in, 0, 3}, .b = {in, 24, 2}, .c = {out, 0, 2}, .m = 2, .n = 2,
                        .k = 3};
    struct pv_gemm_side side[3];
    float got[4] = {0};
    bool ok = false;
    if (in && out) {
        pv_buf_write(in, 0, numbers, sizeof numbers);
        ok = resolve(dev, &g, side) && dev->be->gemm(dev, &g, side, why) && pv_buf_read(out, 0, got, sizeof got);
        if (ok && memcmp(got, right, sizeof got) != 0) {
            snprintf(why, 128, "(1 2 3; 4 5 6) (1 2; 3 4; 5 6) gives (%g %g; %g %g)", got[0], got[1], got[2], got[3]);
            ok = false;
        }
    }
    pv_buf_put(&in);
    pv_buf_put(&out);
    return ok;
}

bool pv_gemm_begin(pv_dev *dev, double *seconds)
{
    if (!dev->gemm_state && !dev->failed && pv_gemm_there(dev, NULL)) {
        char why[128] = "the device failed";
        uint64_t t0 = pv_clock_ns();
        dev->gemm_state = first_product(dev, why) ? 1 : -1;
        dev->gemm_seconds = (double)(pv_clock_ns() - t0) * 1e-9;
        if (dev->gemm_state < 0)
            pv_warn("%s (%s): CLBlast is not used, its first matrix product failed: %s", dev->info.id, dev->info.name,
                    why);
        else
            pv_debug("kern", "CLBlast: first product in %.3f s", dev->gemm_seconds);
    }
    if (seconds)
        *seconds = dev->gemm_seconds;
    return dev->gemm_state > 0;
}

void pv_gemm_run(pv_dev *dev, const struct pv_gemm *g)
{
    struct pv_gemm_side side[3];
    char why[128];
    if (dev->failed)
        return;
    if (dev->gemm_state <= 0) {
        pv_dev_fail(dev, "internal: %s: a matrix product before pv_gemm_begin", g->label);
        return;
    }
    if (!resolve(dev, g, side))
        return;
    pv_debug("kern", "%s CLBlastSgemm %d x %d x %d%s", g->label, g->m, g->n, g->k, g->accum ? ", adding" : "");
    dev->stats.launches++;
    if (!dev->be->gemm(dev, g, side, why))
        pv_dev_fail(dev, "%s: CLBlast's product of %d x %d x %d failed: %s; --tune off uses our own kernels", g->label,
                    g->m, g->n, g->k, why);
}
