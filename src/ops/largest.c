/* SPDX-License-Identifier: Apache-2.0
 * Largest connected components: six launches over as many samples as fit. */
#include "ops/largest.h"

#include "ops/args/largest.h"
#include "ops/op.h"
#include "ops/plain.h"

#define KERNEL(var, entry, bind) \
    static const struct pv_kernel var = {"largest", entry, bind, sizeof(struct a_largest), {64, 1, 1}, NULL}
KERNEL(k_init, "largest_init", "rww");
KERNEL(k_join, "largest_join", "rx");
KERNEL(k_size, "largest_size", "rx");
KERNEL(k_best, "largest_best", "rrrx");
KERNEL(k_first, "largest_first", "rrrrx");
KERNEL(k_keep, "largest_keep", "rrrw");

/* Of one run. best, first I32 FLAT [n][classes]: size and root of the largest component; bound whole. */
struct work { pv_tensor *label, *parent, *size, *best, *first, *out; };

static void launch(const struct pv_kernel *k, struct a_largest a, const struct work *w, int num, pv_tensor *const *x)
{
    pv_dev *dev = w->label->dev;
    struct pv_launch l = {.k = k, .label = "largest", .args = &a};
    for (int i = 0; i < num; i++) {
        if (x[i] == w->best || x[i] == w->first)
            pv_bind(&l, i, x[i]);
        else
            pv_bind_samples(&l, i, x[i], a.n0, a.n);
    }
    pv_run_items(dev, &l, (uint64_t)a.n * (uint64_t)a.v);
}

static void run(struct work w, int classes)
{
    const struct pv_shape *h = &w.label->h;
    struct a_largest a = {.v = (int)pv_voxels(h), .sx = h->s[0], .sy = h->s[1], .sz = h->s[2], .classes = classes};
    pv_tensor *all[] = {w.label, w.parent, w.size, w.out};
    const int64_t unit[] = {a.v, a.v, a.v, a.v};
    pv_buf_fill(w.best->buf, w.best->off * 4, (size_t)(h->n * classes) * 4, 0);
    pv_buf_fill(w.first->buf, w.first->off * 4, (size_t)(h->n * classes) * 4, INT32_MAX);
    for (int i = 0; i < h->n && !pv_dev_failed(w.label->dev); i += a.n) {
        a.n0 = i;
        a.n = pv_units_per_launch(w.label->dev, 4, all, unit, NULL, i, h->n - i);
        launch(&k_init, a, &w, 3, (pv_tensor *[]){w.label, w.parent, w.size});
        launch(&k_join, a, &w, 2, (pv_tensor *[]){w.label, w.parent});
        launch(&k_size, a, &w, 2, (pv_tensor *[]){w.parent, w.size});
        launch(&k_best, a, &w, 4, (pv_tensor *[]){w.label, w.parent, w.size, w.best});
        launch(&k_first, a, &w, 5, (pv_tensor *[]){w.label, w.parent, w.size, w.best, w.first});
        launch(&k_keep, a, &w, 4, (pv_tensor *[]){w.label, w.parent, w.first, w.out});
    }
}

pv_tensor *pv_largest_components(pv_tape *t, pv_tensor *labels, int classes)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &labels))
        return NULL;
    if (labels->h.layout != PV_PLAIN || labels->type != PV_I32 || labels->h.c != 1 || classes < 1 ||
        classes > PV_LARGEST_CLASSES)
        return pv_op_bad("largest", "takes I32 PLAIN labels with one channel and 1 to %d classes",
                         PV_LARGEST_CLASSES);
    pv_tensor *y = pv_tensor_new(t->dev, labels->h, PV_I32);
    if (!y || !pv_tensor_pin(labels))
        return y;
    if (pv_is_ref(y)) {
        ref_largest(pv_ref_data(labels), pv_ref_data(y), y->h.n, y->h.s, classes);
    } else {
        struct pv_shape few = pv_flat(y->h.n * classes);
        struct work w = {.label = labels, .out = y, .parent = pv_tensor_new(t->dev, y->h, PV_I32),
            .size = pv_tensor_new(t->dev, y->h, PV_I32), .best = pv_tensor_new(t->dev, few, PV_I32),
            .first = pv_tensor_new(t->dev, few, PV_I32)};
        if (w.parent && w.size && w.best && w.first)
            run(w, classes);
        pv_tensor_put(&w.parent);
        pv_tensor_put(&w.size);
        pv_tensor_put(&w.best);
        pv_tensor_put(&w.first);
    }
    pv_tensor_unpin(labels);
    return y;
}
