// SPDX-License-Identifier: Apache-2.0
// Boxes, cube masks and noise; formulas, shapes and work-items as in kernels_cl/augment.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "common/normal.glsl"
#include "common/philox.glsl"
#include "ops/args/augment.h"

WG64
#define WHO \
    int i = GROUP() * 64 + LOCAL(), z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x; \
    int u = i / a.z / a.y / a.x; \
    if (u >= a.units) \
        return; \
    int at = u * a.us + (x * a.y + y) * a.z + z;

#if defined(ENTRY_box_mix) || defined(ENTRY_box_mask)
#ifdef ENTRY_box_mix
BUF_RI(0, src)
BUF_RI(1, other)
BUF_R(2, boxes)
BUF_WI(3, dst)
#else
BUF_R(0, boxes)
BUF_W(1, dst)
#endif
ARGS(a_box)
bool in_box(int b, ivec3 v)
{
    ivec3 lo = ivec3(int(boxes[b + 1]), int(boxes[b + 2]), int(boxes[b + 3]));
    ivec3 hi = ivec3(int(boxes[b + 4]), int(boxes[b + 5]), int(boxes[b + 6]));
    return all(greaterThanEqual(v, lo)) && all(lessThan(v, hi));
}
#endif

#ifdef ENTRY_box_mix
void main()
{
    WHO
    int unit = a.u0 + u, b = OFF(2) + unit / a.c * BOX_SIZE, v;
    if (in_box(b, ivec3(a.x0 + x, y, z)))
        v = other[OFF(1) + int(boxes[b]) * a.bn + unit % a.c * a.bc + (x * a.y + y) * a.z + z];
    else
        v = src[OFF(0) + at];
    dst[OFF(3) + at] = v;
}
#endif

#ifdef ENTRY_box_mask
void main()
{
    WHO
    dst[OFF(1) + at] = in_box(OFF(0) + (a.u0 + u) * BOX_SIZE, ivec3(a.x0 + x, y, z)) ? a.inside : a.outside;
}
#endif

#ifdef ENTRY_cube_mask
BUF_R(0, src)
BUF_W(1, dst)
ARGS(a_cube)
void main()
{
    WHO
    int cube = ((a.x0 + x) / a.size * a.cy + y / a.size) * a.cz + z / a.size;
    uint sample_number = a.sample0 + uint((a.u0 + u) / a.c);
    uvec4 r = philox(uvec4(a.step, a.stream, sample_number, uint(cube)), uvec2(a.key0, a.key1));
    float v = a.fill;
    if (r.x >> 8 >= a.below)
        v = src[OFF(0) + at];
    dst[OFF(1) + at] = v;
}
#endif

#ifdef ENTRY_noise
BUF_R(0, src)
BUF_W(1, dst)
ARGS(a_noise)
void main()
{
    int i = GROUP() * 64 + LOCAL(), n = i / a.items, j = i % a.items;
    if (n >= a.n)
        return;
    uvec4 r = philox(uvec4(a.step, a.stream, a.sample0 + uint(n), uint(a.e0 / 64 * 16 + j)), uvec2(a.key0, a.key1));
    vec4 v = vec4(normal2(r.x, r.y), normal2(r.z, r.w));
    for (int k = 0; k < 4; k++) {
        int e = j / 16 * 64 + k * 16 + j % 16;
        if (e < a.len)
            dst[OFF(1) + n * a.sn + e] = src[OFF(0) + n * a.sn + e] + clamp(a.sigma * v[k], -a.clip, a.clip);
    }
}
#endif
