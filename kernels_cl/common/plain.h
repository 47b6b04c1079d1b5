/* SPDX-License-Identifier: Apache-2.0
 * One body for both classes over PLAIN tensors: VF and VI are 16 consecutive voxels in the fat class, where a
 * work-item walks a chunk, and one voxel in the simt class. `m` is how many of the 16 exist. */
#ifndef COMMON_PLAIN_H
#define COMMON_PLAIN_H

#include "common/group.h"
#include "ops/args/plain.h"

#define CHUNK PLAIN_CHUNK
#define CHUNKS(v) (((v) + CHUNK - 1) / CHUNK)

#ifdef PV_FAT
#define WGP WG1
typedef float16 VF;
typedef int16 VI;

/* Chunk `ch` of nv voxels: v, m. */
#define FOR_CHUNK(ch, nv) \
    for (int v = (ch) * CHUNK, v_end = min(v + CHUNK, (nv)), m; m = min(16, v_end - v), v < v_end; v += 16)
/* Rows of a.v voxels, one work-item each chunk: row, v, m. */
#define FOR_VOXELS(rows) \
    const int group_ = GROUP(), row = group_ / CHUNKS(a.v); \
    if (row < (rows)) FOR_CHUNK(group_ % CHUNKS(a.v), a.v)

VF ldv(GC(float) p, int m);
VF ldv(GC(float) p, int m)
{
    if (m == 16)
        return vload16(0, p);
    float t[16];
    for (int i = 0; i < 16; i++)
        t[i] = p[i < m ? i : 0];
    return vload16(0, t);
}
VI ldvi(GC(int) p, int m);
VI ldvi(GC(int) p, int m)
{
    if (m == 16)
        return vload16(0, p);
    int t[16];
    for (int i = 0; i < 16; i++)
        t[i] = p[i < m ? i : 0];
    return vload16(0, t);
}
void stv(G(float) p, VF x, int m);
void stv(G(float) p, VF x, int m)
{
    if (m == 16) {
        vstore16(x, 0, p);
        return;
    }
    float t[16];
    vstore16(x, 0, t);
    for (int i = 0; i < m; i++)
        p[i] = t[i];
}
void stvi(G(int) p, VI x, int m);
void stvi(G(int) p, VI x, int m)
{
    if (m == 16) {
        vstore16(x, 0, p);
        return;
    }
    int t[16];
    vstore16(x, 0, t);
    for (int i = 0; i < m; i++)
        p[i] = t[i];
}
/* x, but 0 in lanes that do not exist: for sums. */
VF only(VF x, int m);
VF only(VF x, int m)
{
    if (m == 16)
        return x;
    const VI lane = (VI)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return select((VF)(0.0f), x, lane < (VI)(m));
}
/* Sum over a work-group; valid in its first work-item. */
#define GROUP_SUMS
#define group_sum(x) sum16(x)

#else
#define WGP WG64
typedef float VF;
typedef int VI;

#define FOR_CHUNK(ch, nv) \
    for (int v = (ch) * CHUNK + LOCAL(), v_end = min((ch) * CHUNK + CHUNK, (nv)), m = 1; v < v_end; v += 64)
/* Rows of a.v voxels, one work-item each voxel. */
#define FOR_VOXELS(rows) \
    const int item_ = GROUP() * 64 + LOCAL(), row = item_ / a.v, v = item_ % a.v, m = 1; \
    if (row < (rows))

#define ldv(p, m) (*(p))
#define ldvi(p, m) (*(p))
#define stv(p, x, m) (*(p) = (x))
#define stvi(p, x, m) (*(p) = (x))
#define only(x, m) (x)
/* Declares the local memory of the calls below, which every work-item of a group must make. */
#define GROUP_SUMS __local float group_tmp[64];
#define group_sum(x) group_sum_(x, group_tmp)
#define group_max(x) group_max_(x, group_tmp)
GROUP_FOLD(group_sum_, float, JOIN_ADD, 1)
GROUP_FOLD(group_max_, float, fmax, 1)
#endif

/* 1 where a condition holds, else 0. */
#define ONE_IF(cond) select((VF)(0.0f), (VF)(1.0f), (cond))
/* p = x, or p += x. */
#define PUT(p, x, m, accum) stv(p, (accum) ? ldv(p, m) + (x) : (x), m)

#endif
