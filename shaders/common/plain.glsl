// SPDX-License-Identifier: Apache-2.0
// Over PLAIN tensors: one voxel each work-item, or 64 work-items on a chunk of voxels.
#ifndef COMMON_PLAIN_GLSL
#define COMMON_PLAIN_GLSL
#include "common/group.glsl"
#include "ops/args/plain.h"

#define CHUNK PLAIN_CHUNK
#define CHUNKS(v) (((v) + CHUNK - 1) / CHUNK)
// Chunk `ch` of nv voxels.
#define FOR_CHUNK(ch, nv) \
    for (int v = (ch) * CHUNK + LOCAL(), v_end = min((ch) * CHUNK + CHUNK, (nv)); v < v_end; v += 64)
// Rows of a.v voxels, one work-item each voxel: row, v.
#define FOR_VOXELS(rows) \
    const int item_ = GROUP() * 64 + LOCAL(), row = item_ / a.v, v = item_ % a.v; \
    if (row < (rows))

#define ONE_IF(cond) ((cond) ? 1.0 : 0.0)
#define PUT(buf, at, x, accum) \
    if ((accum) != 0) \
        buf[at] += (x); \
    else \
        buf[at] = (x)

#ifdef GROUP_SUMS
// Sum over a work-group of 64; every work-item must call it.
GROUP_FOLD(group_sum, float, JOIN_ADD, 1, group_tmp, group_out)
#endif

#endif
