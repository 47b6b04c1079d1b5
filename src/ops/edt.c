/* SPDX-License-Identifier: Apache-2.0
 * Euclidean distance transform: one launch per axis over as many channels as fit. */
#include "ops/edt.h"

#include "ops/args/edt.h"
#include "ops/op.h"
#include "ops/plain.h"

static const struct pv_kernel
    k_row = {"edt", "edt_row", "rx", sizeof(struct a_edt), {64, 1, 1}, NULL},
    k_line = {"edt", "edt_line", "rw", sizeof(struct a_edt), {64, 1, 1}, NULL};

/* Channels [first, first + num) of x to y. */
static void launch(const struct pv_kernel *k, pv_tensor *x, pv_tensor *y, int first, int num, struct a_edt a)
{
    const int64_t v = pv_voxels(&x->h);
    struct pv_launch l = {.k = k, .label = "edt", .args = &a};
    pv_bind_range(&l, 0, x, first * v, num * v);
    pv_bind_range(&l, 1, y, first * v, num * v);
    pv_run_items(x->dev, &l, (uint64_t)a.n);
}

static void run(pv_tensor *x, pv_tensor *y, pv_tensor *work)
{
    const int *s = x->h.s, rows = x->h.n * x->h.c, v = (int)pv_voxels(&x->h);
    pv_tensor *all[] = {x, y, work};
    const int64_t unit[] = {v, v, v};
    const bool flat = s[0] == 1;
    /* x -> y along z, y -> work along y, work -> y along x; without the last: x -> work, work -> y */
    pv_tensor *along_z = flat ? work : y, *along_y = flat ? y : work;
    for (int i = 0, num; i < rows && !pv_dev_failed(x->dev); i += num) {
        num = pv_units_per_launch(x->dev, 3, all, unit, NULL, i, pv_min(rows - i, INT32_MAX / v));
        launch(&k_row, x, along_z, i, num, (struct a_edt){.n = num * (v / s[2]), .len = s[2], .step = 1});
        launch(&k_line, along_z, along_y, i, num, (struct a_edt){.n = num * v, .len = s[1], .step = s[2]});
        if (!flat)
            launch(&k_line, work, y, i, num, (struct a_edt){.n = num * v, .len = s[0], .step = s[1] * s[2]});
    }
}

pv_tensor *pv_edt2(pv_tape *t, pv_tensor *x)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_PLAIN || x->type != PV_F32)
        return pv_op_bad("edt", "takes F32 PLAIN tensors");
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32), *work = NULL;
    if (!y || !pv_tensor_pin(x))
        return y;
    if (pv_is_ref(y))
        ref_edt2(pv_ref_data(x), pv_ref_data(y), x->h.n * x->h.c, x->h.s);
    else if ((work = pv_tensor_new(t->dev, x->h, PV_F32)) != NULL)
        run(x, y, work);
    pv_tensor_put(&work);
    pv_tensor_unpin(x);
    return y;
}
