/* SPDX-License-Identifier: Apache-2.0
 * Addition of stored elements: how the tape accumulates gradients. */
#include "ops/args/basic.h"
#include "ops/op.h"

static const struct pv_kernel k_add_to = {"basic", "add_to", "rx", sizeof(struct a_add_to), {64, 1, 1}, NULL};

static void add_to(pv_tensor *dst, pv_tensor *src)
{
    if (!dst || !src || !pv_tensor_pin(src))
        return;
    if (pv_is_ref(dst)) {
        double *d = pv_ref_data(dst), *s = pv_ref_data(src);
        for (int64_t i = 0; i < pv_shape_count(&dst->h); i++)
            d[i] += s[i];
    } else {
        int64_t left = pv_shape_stored(&dst->h), unit[] = {16, 16};
        pv_tensor *both[] = {dst, src};
        for (int64_t at = 0; left > 0;) {
            int units = (int)((left + 15) / 16);
            int64_t m = 16 * (int64_t)pv_units_per_launch(dst->dev, 2, both, unit, NULL, at / 16, units);
            m = m < left ? m : left;
            struct a_add_to a = {.count = (uint32_t)m};
            struct pv_launch l = {.k = &k_add_to, .label = "add gradients", .args = &a};
            pv_bind_range(&l, 0, src, at, m);
            pv_bind_range(&l, 1, dst, at, m);
            pv_run_items(dst->dev, &l, (uint64_t)(m + 15) / 16);
            at += m;
            left -= m;
        }
    }
    pv_tensor_unpin(src);
}

void pv_ops_init(void) { pv_tape_add = add_to; }
