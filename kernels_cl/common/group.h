/* SPDX-License-Identifier: Apache-2.0
 * Reductions over a work-group of 64 (class simt), in two forms that give the same bits.
 *
 * Item l is joined with l + 32, the result with that of l + 16, and so on. The tree does so in local memory with a
 * barrier for each step. With sub-groups (PV_SHUFFLE, the driver's way to exchange values in one;
 * src/dev/ocl/subgroup.c chooses) every item passes its value on once, takes what the steps between sub-groups make
 * of them, and the other steps are shuffles: two barriers in all. */
#ifndef COMMON_GROUP_H
#define COMMON_GROUP_H

#include "common/base.h"

#define JOIN_ADD(a, b) ((a) + (b))
#define JOIN_OR(a, b) ((a) | (b))

#ifdef PV_SHUFFLE

/* SUB_SIZE work-items of a sub-group (PV_SUBGROUP, or what the compiler chose, 0); SUB_LANE: which of them this one
 * is, which must be LOCAL() % SUB_SIZE (checked before use). shuffle_(x, h): x of lane SUB_LANE ^ h. Bits,
 * because a float might lose what looks like a denormal number. */
#if PV_SHUFFLE == 1     /* NVIDIA */
#define SUB_SIZE 32
#define SUB_LANE (LOCAL() % 32)
uint shuffle_(uint x, int h);
uint shuffle_(uint x, int h)
{
    uint y;
    __asm__ volatile("shfl.sync.bfly.b32 %0, %1, %2, 31, 0xffffffff;" : "=r"(y) : "r"(x), "r"(h));
    return y;
}
#elif PV_SHUFFLE == 2   /* AMD */
#define SUB_SIZE PV_SUBGROUP
#define SUB_LANE ((int)__builtin_amdgcn_mbcnt_hi(~0u, __builtin_amdgcn_mbcnt_lo(~0u, 0u)))
uint shuffle_(uint x, int h);
uint shuffle_(uint x, int h) { return (uint)__builtin_amdgcn_ds_bpermute((SUB_LANE ^ h) * 4, (int)x); }
#elif PV_SHUFFLE == 3   /* cl_intel_subgroups */
#define SUB_SIZE ((int)get_max_sub_group_size())
#define SUB_LANE ((int)get_sub_group_local_id())
#define shuffle_(x, h) intel_sub_group_shuffle_xor(x, (uint)(h))
#elif PV_SHUFFLE == 4   /* cl_khr_subgroup_shuffle, OpenCL C 3.0 */
#define SUB_SIZE ((int)get_max_sub_group_size())
#define SUB_LANE ((int)get_sub_group_local_id())
#define shuffle_(x, h) sub_group_shuffle_xor(x, (uint)(h))
#else                   /* imitated in local memory, by sub-groups of PV_SUBGROUP: to check the rest by */
#define SUB_SIZE PV_SUBGROUP
#define SUB_LANE (LOCAL() % PV_SUBGROUP)
#endif

#if PV_SHUFFLE > 4
#define OTHER(T) \
T other_##T(T x, int h, __local T *tmp); \
T other_##T(T x, int h, __local T *tmp) \
{ \
    barrier(CLK_LOCAL_MEM_FENCE); \
    tmp[LOCAL()] = x; \
    barrier(CLK_LOCAL_MEM_FENCE); \
    return tmp[LOCAL() ^ h]; \
}
OTHER(float)
OTHER(float4)
OTHER(uint)
#define OTHER_float(x, h, tmp) other_float(x, h, tmp)
#define OTHER_float4(x, h, tmp) other_float4(x, h, tmp)
#define OTHER_uint(x, h, tmp) other_uint(x, h, tmp)
#else
#define OTHER_uint(x, h, tmp) shuffle_(x, h)
#define OTHER_float(x, h, tmp) as_float(shuffle_(as_uint(x), h))
#define OTHER_float4(v, h, tmp) \
    as_float4((uint4)(shuffle_(as_uint((v).x), h), shuffle_(as_uint((v).y), h), shuffle_(as_uint((v).z), h), \
                      shuffle_(as_uint((v).w), h)))
#endif

/* What the tree's steps from 32 down to N leave of t at position i < N. */
#define FOLD_32(t, i, JOIN) JOIN((t)[i], (t)[(i) + 32])
#define FOLD_16(t, i, JOIN) JOIN(FOLD_32(t, i, JOIN), FOLD_32(t, (i) + 16, JOIN))
#define FOLD_8(t, i, JOIN) JOIN(FOLD_16(t, i, JOIN), FOLD_16(t, (i) + 8, JOIN))
#define FOLD_4(t, i, JOIN) JOIN(FOLD_8(t, i, JOIN), FOLD_8(t, (i) + 4, JOIN))

/* NAME(x, tmp): x of items l, l + STOP, l + 2 STOP, ... joined, to each of them. tmp: local memory of 64, T: float,
 * float4 or uint, STOP: 1, 2 or 4. Every work-item of the group must call it. */
#define GROUP_FOLD(NAME, T, JOIN, STOP) \
T NAME(T x, __local T *tmp); \
T NAME(T x, __local T *tmp) \
{ \
    const int i = SUB_LANE, size = SUB_SIZE; \
    tmp[LOCAL()] = x; \
    barrier(CLK_LOCAL_MEM_FENCE); \
    if (size >= 64) \
        x = tmp[i]; \
    else if (size == 32) \
        x = FOLD_32(tmp, i, JOIN); \
    else if (size == 16) \
        x = FOLD_16(tmp, i, JOIN); \
    else if (size == 8) \
        x = FOLD_8(tmp, i, JOIN); \
    else \
        x = FOLD_4(tmp, i, JOIN); \
    UNROLL for (int h = 32; h >= STOP; h /= 2) \
        if (h < size) { \
            const T y = OTHER_##T(x, h, tmp); \
            x = JOIN(x, y); \
        } \
    barrier(CLK_LOCAL_MEM_FENCE); \
    return x; \
}

#else

#define GROUP_FOLD(NAME, T, JOIN, STOP) \
T NAME(T x, __local T *tmp); \
T NAME(T x, __local T *tmp) \
{ \
    const int l = LOCAL(); \
    tmp[l] = x; \
    for (int h = 32; h >= STOP; h /= 2) { \
        barrier(CLK_LOCAL_MEM_FENCE); \
        if (l < h) \
            tmp[l] = JOIN(tmp[l], tmp[l + h]); \
    } \
    barrier(CLK_LOCAL_MEM_FENCE); \
    x = tmp[l % STOP]; \
    barrier(CLK_LOCAL_MEM_FENCE); \
    return x; \
}
#endif

#endif
