// SPDX-License-Identifier: Apache-2.0
// Reductions over a work-group of 64, in two forms that give the same bits: the order of additions and why it is that
// stands in kernels_cl/common/group.h. With -DPV_SUBGROUP: by shuffles in full sub-groups of SUBGROUP work-items, in
// whatever order these lie in them.
#ifndef COMMON_GROUP_GLSL
#define COMMON_GROUP_GLSL
#include "common/base.glsl"

#define JOIN_ADD(a, b) ((a) + (b))
#define JOIN_OR(a, b) ((a) | (b))

#ifdef PV_SUBGROUP
layout(constant_id = 8) const int SUBGROUP = 8;     // behind those that a kernel may have

// What the tree's steps from 32 down to N leave of t at position i < N.
#define FOLD_32(t, i, JOIN) JOIN(t[i], t[(i) + 32])
#define FOLD_16(t, i, JOIN) JOIN(FOLD_32(t, i, JOIN), FOLD_32(t, (i) + 16, JOIN))
#define FOLD_8(t, i, JOIN) JOIN(FOLD_16(t, i, JOIN), FOLD_16(t, (i) + 8, JOIN))
#define FOLD_4(t, i, JOIN) JOIN(FOLD_8(t, i, JOIN), FOLD_8(t, (i) + 4, JOIN))

// NAME(x): x of items l, l + STOP, l + 2 STOP, ... joined, to each of them. TMP, OUT: names of shared memory that
// this declares, STOP: 1, 2 or 4. Every work-item of the group must call it. What is handed round in OUT is read
// after the last barrier, which the next call's first one keeps from being written over.
#define GROUP_FOLD(NAME, T, JOIN, STOP, TMP, OUT) \
    shared T TMP[64], OUT[STOP]; \
    T NAME(T x) \
    { \
        int i = int(gl_SubgroupInvocationID); \
        TMP[LOCAL()] = x; \
        barrier(); \
        if (SUBGROUP == 64) \
            x = TMP[i]; \
        else if (SUBGROUP == 32) \
            x = FOLD_32(TMP, i, JOIN); \
        else if (SUBGROUP == 16) \
            x = FOLD_16(TMP, i, JOIN); \
        else if (SUBGROUP == 8) \
            x = FOLD_8(TMP, i, JOIN); \
        else \
            x = FOLD_4(TMP, i, JOIN); \
        for (int h = SUBGROUP / 2; h >= STOP; h /= 2) { \
            T y = subgroupShuffleXor(x, uint(h)); \
            x = JOIN(x, y); \
        } \
        if (gl_SubgroupID == 0u && i < STOP) \
            OUT[i] = x; \
        barrier(); \
        return OUT[LOCAL() % STOP]; \
    }
#else
#define GROUP_FOLD(NAME, T, JOIN, STOP, TMP, OUT) \
    shared T TMP[64]; \
    T NAME(T x) \
    { \
        int l = LOCAL(); \
        TMP[l] = x; \
        for (int h = 32; h >= STOP; h /= 2) { \
            barrier(); \
            if (l < h) \
                TMP[l] = JOIN(TMP[l], TMP[l + h]); \
        } \
        barrier(); \
        x = TMP[l % STOP]; \
        barrier(); \
        return x; \
    }
#endif

#endif
