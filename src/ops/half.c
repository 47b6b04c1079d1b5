/* SPDX-License-Identifier: Apache-2.0
 * Rounding of whole tensors to half precision, values kept in fp32. The reference rounds doubles once. */
#include "ops/half.h"

#include <math.h>

#include "ops/args/half.h"
#include "ops/op.h"

static const struct pv_kernel k_half[2] = {{"half", "half_round", "rw", sizeof(struct a_half), {64, 1, 1}, NULL},
                                           {"half", "half_round", "rw", sizeof(struct a_half), {1, 1, 1}, NULL}};

enum { GRAIN = 16, GROUP = 1024 };      /* elements of a unit (no segment cuts one), of a work-group */

static double ref_half(double x)
{
    double size = fabs(x);
    if (!(size < 65520))        /* half way from 65504 to 65536; also infinity and NaN */
        return isnan(x) ? x : copysign(INFINITY, x);
    int e;
    frexp(size, &e);            /* size in [2^(e - 1), 2^e): its step is 2^(e - 11), at least 2^-24 */
    double step = ldexp(1, e < -13 ? -24 : e - 11);
    return copysign(nearbyint(size / step) * step, x);
}

pv_tensor *pv_half_round(pv_tensor *x)
{
    if (!x || !pv_tensor_pin(x))
        return NULL;
    pv_tensor *y = pv_tensor_new(x->dev, x->h, PV_F32);
    if (y && pv_is_ref(x)) {
        const double *from = pv_ref_data(x);
        double *to = pv_ref_data(y);
        for (int64_t i = 0; i < pv_shape_count(&x->h); i++)
            to[i] = ref_half(from[i]);
    } else if (y) {
        pv_tensor *both[] = {x, y};
        const int64_t unit[] = {GRAIN, GRAIN}, all = pv_shape_stored(&x->h);
        for (int64_t at = 0, m; at < all && !pv_dev_failed(x->dev); at += m) {
            int units = (int)((all - at + GRAIN - 1) / GRAIN);
            m = (int64_t)GRAIN * pv_units_per_launch(x->dev, 2, both, unit, NULL, at / GRAIN, units);
            m = m < all - at ? m : all - at;
            struct a_half a = {.count = (KU32)m};
            struct pv_launch l = {.k = &k_half[pv_class(x) == PV_FAT], .label = "round to half", .args = &a};
            pv_bind_range(&l, 0, x, at, m);
            pv_bind_range(&l, 1, y, at, m);
            pv_groups(x->dev, &l, (uint64_t)(m + GROUP - 1) / GROUP);
            pv_run(x->dev, &l);
        }
    }
    pv_tensor_unpin(x);
    return y;
}
