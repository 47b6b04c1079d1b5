/* SPDX-License-Identifier: Apache-2.0
 * Sizes and inputs for ops on PLAIN tensors. */
#ifndef CHECK_PLAIN_H
#define CHECK_PLAIN_H

#include "check/check.h"

struct ck_size { int dims, n, c, s[3]; };

/* How many cases of ck_plain_size() are fixed. */
enum { CK_PLAIN_FIXED = 5 };

/* Case 0 is tiny. Cases 1 and 3 exceed 64 KiB per sample (runs of voxels), case 2 per batch (single samples); 1 and 3
 * have several chunks of 2048 voxels. Random ones have up to 6 channels, or 32 where they are small. On slow devices
 * only case 3 has more than a few voxels: two chunks. */
static inline struct ck_size ck_plain_size(struct pv_check *k, int number)
{
    static const struct ck_size fixed[CK_PLAIN_FIXED] = {{3, 1, 2, {1, 2, 3}}, {3, 2, 2, {20, 23, 27}},
        {3, 3, 4, {9, 13, 14}}, {3, 1, 1, {18, 31, 32}}, {3, 2, 32, {3, 4, 5}}};
    static const struct ck_size small[CK_PLAIN_FIXED] = {{3, 1, 2, {1, 2, 3}}, {3, 2, 2, {3, 2, 5}},
        {3, 3, 4, {1, 3, 2}}, {3, 1, 1, {2, 32, 33}}, {3, 2, 32, {2, 1, 2}}};
    if (number < CK_PLAIN_FIXED)
        return pv_ck_small(k) ? small[number] : fixed[number];
    struct ck_size z = {.dims = number % 4 == 3 ? 2 : 3, .n = pv_ck_int(k, 1, 3)};
    const bool many = pv_ck_int(k, 0, 3) == 0;
    z.c = pv_ck_int(k, 1, many ? pv_ck_most(k, 32, 18) : 6);
    pv_ck_sides(k, z.dims, many ? 7 : 13, z.s);
    return z;
}

static inline struct pv_shape ck_shape(const struct ck_size *z, int c) { return pv_plain(z->dims, z->n, c, z->s); }

/* A mask [n][1] of zeros, ones and, if `weights`, numbers between; sample `empty` (-1: none) is all 0. */
static inline pv_tensor *ck_mask(struct pv_check *k, struct pv_shape h, bool weights, int empty)
{
    const int64_t count = pv_shape_count(&h), sample = count / h.n;
    double *v = pv_array(double, count);
    for (int64_t i = 0; i < count; i++) {
        v[i] = pv_ck_int(k, 0, 2) > 0;
        if (weights)
            v[i] *= (float)pv_ck_uniform(k, 0, 2);
        if (i / sample == empty)
            v[i] = 0;
    }
    pv_tensor *t = pv_ck_values(k, h, PV_F32, v, 0);
    pv_free(v);
    return t;
}

/* An input of small whole numbers in [lo, hi]: ties are frequent. */
static inline pv_tensor *ck_whole(struct pv_check *k, struct pv_shape h, int lo, int hi, int flags)
{
    const int64_t count = pv_shape_count(&h);
    double *v = pv_array(double, count);
    for (int64_t i = 0; i < count; i++)
        v[i] = pv_ck_int(k, lo, hi);
    pv_tensor *t = pv_ck_values(k, h, PV_F32, v, flags);
    pv_free(v);
    return t;
}

#endif
