/* SPDX-License-Identifier: Apache-2.0
 * Largest connected component of each class and sample by union-find: every voxel points to one with a lower index of
 * its component, or to itself (a root). Joining two trees hooks the higher root to the lower one with an atomic
 * minimum; if another work-item has hooked it meanwhile, what it pointed to is joined next. So one pass joins
 * everything, nothing waits for another work-item, and the root is the component's first voxel whatever the order.
 * Only integers are added, so that sizes do not depend on the order either. One work-item per voxel. Pointers that lead
 * anywhere but down are never followed: parents that nobody wrote end nowhere else in memory. */
#include "common/base.h"
#include "ops/args/largest.h"

#define VOXEL() (GROUP() * 64 + LOCAL())
#define GX(T) __global T *

/* Others may change p meanwhile. */
int root_now(GX(int) p, int i);
int root_now(GX(int) p, int i)
{
    int q = atomic_or(p + i, 0);
    while (q < i && q >= 0) {
        i = q;
        q = atomic_or(p + i, 0);
    }
    return i;
}

void join(GX(int) p, int a, int b);
void join(GX(int) p, int a, int b)
{
    for (;;) {
        a = root_now(p, a);
        b = root_now(p, b);
        if (a == b)
            return;
        const int lo = min(a, b), hi = max(a, b), old = atomic_min(p + hi, lo);
        if (old >= hi || old < 0)
            return;
        a = lo;
        b = old;
    }
}

int root_of(GC(int) p, int i);
int root_of(GC(int) p, int i)
{
    while (p[i] < i && p[i] >= 0)
        i = p[i];
    return i;
}

/* largest_init: parent = own index in the sample, -1 where there is no class of 1 .. classes - 1; size = 0. label,
 * parent, size [n][v]. */
__kernel WG64 void largest_init(GC(int) label, G(int) parent, G(int) size, struct a_largest a)
{
    const int i = VOXEL();
    if (i >= a.n * a.v)
        return;
    const int c = label[a.off[0] + i];
    parent[a.off[1] + i] = c > 0 && c < a.classes ? i % a.v : -1;
    size[a.off[2] + i] = 0;
}

/* largest_join: joins each voxel with those of its 13 earlier neighbours that have its class. label, parent [n][v]. */
__kernel WG64 void largest_join(GC(int) label, GX(int) parent, struct a_largest a)
{
    const int i = VOXEL(), v = i % a.v;
    if (i >= a.n * a.v)
        return;
    label += a.off[0] + i - v;
    parent += a.off[1] + i - v;
    const int c = label[v], z = v % a.sz, y = v / a.sz % a.sy, x = v / (a.sz * a.sy);
    if (c <= 0 || c >= a.classes)
        return;
    for (int k = 0; k < 13; k++) {
        const int u = x + k / 9 - 1, w = y + k / 3 % 3 - 1, t = z + k % 3 - 1, at = (u * a.sy + w) * a.sz + t;
        if (u >= 0 && w >= 0 && w < a.sy && t >= 0 && t < a.sz && label[at] == c)
            join(parent, v, at);
    }
}

/* largest_size: size[root] = voxels of its component. parent, size [n][v]. */
__kernel WG64 void largest_size(GC(int) parent, GX(int) size, struct a_largest a)
{
    const int i = VOXEL(), v = i % a.v;
    if (i >= a.n * a.v)
        return;
    parent += a.off[0] + i - v;
    if (parent[v] >= 0)
        atomic_inc(size + a.off[1] + i - v + root_of(parent, v));
}

/* largest_best: best[n][classes] = size of the largest component. label, parent, size [n][v]. */
__kernel WG64 void largest_best(GC(int) label, GC(int) parent, GC(int) size, GX(int) best, struct a_largest a)
{
    const int i = VOXEL();
    if (i < a.n * a.v && parent[a.off[1] + i] == i % a.v)
        atomic_max(best + a.off[3] + (a.n0 + i / a.v) * a.classes + label[a.off[0] + i], size[a.off[2] + i]);
}

/* largest_first: first[n][classes] = lowest root of that size. label, parent, size [n][v]. */
__kernel WG64 void largest_first(GC(int) label, GC(int) parent, GC(int) size, GC(int) best, GX(int) first,
                                 struct a_largest a)
{
    const int i = VOXEL(), v = i % a.v;
    if (i >= a.n * a.v || parent[a.off[1] + i] != v)
        return;
    const int k = (a.n0 + i / a.v) * a.classes + label[a.off[0] + i];
    if (size[a.off[2] + i] == best[a.off[3] + k])
        atomic_min(first + a.off[4] + k, v);
}

/* largest_keep: out = label where its root is first[n][class], else 0. label, parent, out [n][v]. */
__kernel WG64 void largest_keep(GC(int) label, GC(int) parent, GC(int) first, G(int) out, struct a_largest a)
{
    const int i = VOXEL(), v = i % a.v;
    if (i >= a.n * a.v)
        return;
    const int c = label[a.off[0] + i];
    parent += a.off[1] + i - v;
    int y = 0;
    if (parent[v] >= 0 && root_of(parent, v) == first[a.off[2] + (a.n0 + i / a.v) * a.classes + c])
        y = c;
    out[a.off[3] + i] = y;
}
