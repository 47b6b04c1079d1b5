// SPDX-License-Identifier: Apache-2.0
// Largest connected component of each class and sample; as in kernels_cl/largest.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/largest.h"

#define VOXEL() (GROUP() * 64 + LOCAL())

WG64

#ifdef ENTRY_largest_init
BUF_RI(0, label)
BUF_WI(1, parent)
BUF_WI(2, size)
ARGS(a_largest)
void main()
{
    int i = VOXEL();
    if (i >= a.n * a.v)
        return;
    int c = label[OFF(0) + i];
    parent[OFF(1) + i] = c > 0 && c < a.classes ? i % a.v : -1;
    size[OFF(2) + i] = 0;
}
#endif

#ifdef ENTRY_largest_join
BUF_RI(0, label)
BUF_XI(1, parent)
ARGS(a_largest)

// p: where the sample begins. Others may change parent meanwhile.
int root_now(int p, int i)
{
    int q = atomicOr(parent[p + i], 0);
    while (q < i && q >= 0) {
        i = q;
        q = atomicOr(parent[p + i], 0);
    }
    return i;
}

void join(int p, int u, int w)
{
    bool open = true;
    while (open) {
        u = root_now(p, u);
        w = root_now(p, w);
        open = u != w;
        if (open) {
            int lo = min(u, w), hi = max(u, w), old = atomicMin(parent[p + hi], lo);
            open = old < hi && old >= 0;
            u = lo;
            w = old;
        }
    }
}

void main()
{
    int i = VOXEL(), v = i % a.v;
    if (i >= a.n * a.v)
        return;
    int l = OFF(0) + i - v, p = OFF(1) + i - v;
    int c = label[l + v], z = v % a.sz, y = v / a.sz % a.sy, x = v / (a.sz * a.sy);
    if (c <= 0 || c >= a.classes)
        return;
    for (int k = 0; k < 13; k++) {
        int u = x + k / 9 - 1, w = y + k / 3 % 3 - 1, t = z + k % 3 - 1, at = (u * a.sy + w) * a.sz + t;
        if (u >= 0 && w >= 0 && w < a.sy && t >= 0 && t < a.sz) {
            if (label[l + at] == c)
                join(p, v, at);
        }
    }
}
#endif

#if defined(ENTRY_largest_size) || defined(ENTRY_largest_keep)
#ifdef ENTRY_largest_size
BUF_RI(0, parent)
BUF_XI(1, size)
#else
BUF_RI(0, label)
BUF_RI(1, parent)
BUF_RI(2, first)
BUF_WI(3, dst)
#endif
ARGS(a_largest)

int root_of(int p, int i)
{
    int q = parent[p + i];
    while (q < i && q >= 0) {
        i = q;
        q = parent[p + i];
    }
    return i;
}
#endif

#ifdef ENTRY_largest_size
void main()
{
    int i = VOXEL(), v = i % a.v;
    if (i >= a.n * a.v)
        return;
    int p = OFF(0) + i - v;
    if (parent[p + v] >= 0)
        atomicAdd(size[OFF(1) + i - v + root_of(p, v)], 1);
}
#endif

#ifdef ENTRY_largest_best
BUF_RI(0, label)
BUF_RI(1, parent)
BUF_RI(2, size)
BUF_XI(3, best)
ARGS(a_largest)
void main()
{
    int i = VOXEL();
    if (i >= a.n * a.v)
        return;
    if (parent[OFF(1) + i] == i % a.v)
        atomicMax(best[OFF(3) + (a.n0 + i / a.v) * a.classes + label[OFF(0) + i]], size[OFF(2) + i]);
}
#endif

#ifdef ENTRY_largest_first
BUF_RI(0, label)
BUF_RI(1, parent)
BUF_RI(2, size)
BUF_RI(3, best)
BUF_XI(4, first)
ARGS(a_largest)
void main()
{
    int i = VOXEL(), v = i % a.v;
    if (i >= a.n * a.v)
        return;
    if (parent[OFF(1) + i] == v) {
        int k = (a.n0 + i / a.v) * a.classes + label[OFF(0) + i];
        if (size[OFF(2) + i] == best[OFF(3) + k])
            atomicMin(first[OFF(4) + k], v);
    }
}
#endif

#ifdef ENTRY_largest_keep
void main()
{
    int i = VOXEL(), v = i % a.v;
    if (i >= a.n * a.v)
        return;
    int c = label[OFF(0) + i], p = OFF(1) + i - v, y = 0;
    if (parent[p + v] >= 0) {
        if (root_of(p, v) == first[OFF(2) + (a.n0 + i / a.v) * a.classes + c])
            y = c;
    }
    dst[OFF(3) + i] = y;
}
#endif
