/* SPDX-License-Identifier: Apache-2.0
 * Helpers of the op files. */
#include "ops/op.h"

#include <stdarg.h>
#include <stdio.h>

bool pv_op_ready(pv_tape *t, int num, pv_tensor *const *x)
{
    for (int i = 0; i < num; i++)
        if (!x[i])
            return false;
    return !pv_dev_failed(t->dev);
}

pv_tensor *pv_op_bad(const char *op, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pv_fail(PV_FAULT_INTERNAL, "%s: %s", op, text);
    return NULL;
}

bool pv_pin_all(int num, pv_tensor *const *x)
{
    bool ok = true;
    for (int i = 0; i < num; i++)
        if (x[i])
            ok = pv_tensor_pin(x[i]) && ok;
    return ok;
}

void pv_unpin_all(int num, pv_tensor *const *x)
{
    for (int i = 0; i < num; i++)
        pv_tensor_unpin(x[i]);
}

struct pv_strides pv_strides_of(const pv_tensor *x)
{
    const struct pv_shape *h = &x->h;
    int lanes = h->layout == PV_BLOCKED ? PV_LANES : 1;
    struct pv_strides s = {.n = (int)pv_shape_sample(h), .b = (int)pv_shape_block(h),
                           .p = (int)pv_shape_plane(h), .r = (h->s[2] + 2 * h->b[2]) * lanes};
    s.first = h->b[0] * s.p + h->b[1] * s.r + h->b[2] * lanes;
    return s;
}

void pv_run_items(pv_dev *dev, struct pv_launch *l, uint64_t items)
{
    uint32_t wg = l->k->wg[0] ? l->k->wg[0] : 1;
    pv_groups(dev, l, (items + wg - 1) / wg);
    pv_run(dev, l);
}
