/* SPDX-License-Identifier: Apache-2.0
 * Shared by all OpenCL kernels. PV_FAT or PV_SIMT is defined: fat kernels have work-groups of one and use
 * float16, one voxel's block of 16 channels; simt kernels have many small work-items. */
#ifndef COMMON_BASE_H
#define COMMON_BASE_H

#include "ops/args/types.h"

#define G(T) __global T *restrict
#define GC(T) __global const T *restrict

/* Aligned block of 16 channels. */
#define LD16(p) (*(__global const float16 *)(p))
#define ST16(p) (*(__global float16 *)(p))
#define PLD(p) (*(const float16 *)(p))     /* private memory */
#define PST(p) (*(float16 *)(p))
#define LD4(p) (*(__global const float4 *)(p))
#define ST4(p) (*(__global float4 *)(p))

/* Store of a block past the caches, where the compiler can. */
#ifdef __has_builtin
#if __has_builtin(__builtin_nontemporal_store)
#define STORE_PAST(p, v) __builtin_nontemporal_store(v, (__global float16 *)(p))
#endif
#endif
#ifndef STORE_PAST
#define STORE_PAST(p, v) ST16(p) = (v)
#endif

/* Hints that a line of global memory will soon be read, or written. They never fault. Oclgrind knows none. */
#if defined(__has_builtin) && !defined(PV_NO_HINTS)
#if __has_builtin(__builtin_prefetch)
#define FETCH(p) __builtin_prefetch((const void *)(ulong)(p), 0, 2)
#define FETCH_TO_WRITE(p) __builtin_prefetch((const void *)(ulong)(p), 1, 2)
#endif
#endif
#ifndef FETCH
#define FETCH(p)
#define FETCH_TO_WRITE(p)
#endif

#define WG1 __attribute__((reqd_work_group_size(1, 1, 1)))
#define WG64 __attribute__((reqd_work_group_size(64, 1, 1)))
#define WG256 __attribute__((reqd_work_group_size(256, 1, 1)))

#ifdef PV_SIMT
/* A launch may come in pieces along y or z, where work-groups are one work-item wide: each begins at an offset. */
#ifndef LAUNCH_OFFSET           /* an offline compiler may lack it */
#define LAUNCH_OFFSET(i) get_global_offset(i)
#endif
#define get_group_id(i) (get_group_id(i) + ((i) > 0 ? LAUNCH_OFFSET(i) : 0))
#endif

/* Work-groups of one-dimensional kernels may be spread over x and y (pv_groups). */
#define GROUP() ((int)(get_group_id(0) + get_group_id(1) * get_num_groups(0)))
#define LOCAL() ((int)get_local_id(0))

#define UNROLL _Pragma("unroll")
#define NOUNROLL _Pragma("nounroll")

/* Halves of a vector, spelt out: .lo and .hi become shuffles with undefined lanes, which Oclgrind takes for
 * uninitialised. */
#define LO16(v) (float8)((v).s0, (v).s1, (v).s2, (v).s3, (v).s4, (v).s5, (v).s6, (v).s7)
#define HI16(v) (float8)((v).s8, (v).s9, (v).sa, (v).sb, (v).sc, (v).sd, (v).se, (v).sf)
#define LO8(v) (float4)((v).s0, (v).s1, (v).s2, (v).s3)
#define HI8(v) (float4)((v).s4, (v).s5, (v).s6, (v).s7)

/* Sum of the 16 lanes in a fixed order. */
float sum16(float16 v);
float sum16(float16 v)
{
    float8 a = LO16(v) + HI16(v);
    float4 b = LO8(a) + HI8(a);
    float2 c = b.lo + b.hi;
    return c.x + c.y;
}

#endif
