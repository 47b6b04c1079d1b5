/* SPDX-License-Identifier: Apache-2.0
 * Drawing voxels from masks and reading their features; what a draw is: src/ops/voxels.h. */
#include "common/base.h"
#include "common/philox.h"
#include "ops/args/voxels.h"

#define ITEM() (GROUP() * 64 + LOCAL())

/* voxel_words: bit i of word w says whether voxel 32 w + i is not 0. One word each. */
__kernel WG64 void voxel_words(GC(float) mask, G(int) words, struct a_vxword a)
{
    const int w = ITEM();
    if (w >= a.num)
        return;
    const int end = min(32, a.v - w * 32);
    uint bits = 0;
    for (int i = 0; i < end; i++)
        bits |= (mask[a.off[0] + w * 32 + i] != 0.0f ? 1u : 0u) << i;
    words[a.off[1] + a.w0 + w] = (int)bits;
}

/* voxel_scan: counts[c][w] = set bits of the segment up to word w; segments[c][s] = all of segment s. One segment
 * each. */
__kernel WG64 void voxel_scan(GC(int) words, G(int) counts, G(int) segments, struct a_vxscan a)
{
    const int i = ITEM(), c = i / a.sc, s = i % a.sc;
    if (c >= a.c)
        return;
    const int end = min((s + 1) * VX_SEGMENT, a.wc);
    int sum = 0;
    for (int w = s * VX_SEGMENT; w < end; w++) {
        sum += (int)popcount((uint)words[a.off[0] + c * a.wc + w]);
        counts[a.off[1] + c * a.wc + w] = sum;
    }
    segments[a.off[2] + i] = sum;
}

/* voxel_total: segments[c][s] becomes the sum of segments 0 to s. One channel each. */
__kernel WG64 void voxel_total(G(int) segments, struct a_vxscan a)
{
    const int c = ITEM();
    if (c >= a.c)
        return;
    int sum = 0;
    for (int s = 0; s < a.sc; s++) {
        sum += segments[a.off[0] + c * a.sc + s];
        segments[a.off[0] + c * a.sc + s] = sum;
    }
}

/* First place in p[lo .. hi), which rises, whose value exceeds rank; there is one. */
int first_above(GC(int) p, int lo, int hi, int rank);
int first_above(GC(int) p, int lo, int hi, int rank)
{
    while (lo + 1 < hi) {
        const int mid = (lo + hi) / 2;
        if (p[mid - 1] > rank)
            hi = mid;
        else
            lo = mid;
    }
    return lo;
}

/* The channel of random word r, or -1. */
int pick_channel(GC(float) weights, uint r, int c, int weighted);
int pick_channel(GC(float) weights, uint r, int c, int weighted)
{
    float all = 0.0f, sum = 0.0f;
    for (int k = 0; k < c; k++)
        all += weighted ? weights[k] : 1.0f;
    const float u = (float)(r >> 8) * 0x1p-24f * all;
    int found = -1;
    for (int k = 0; k < c; k++) {
        const float w = weighted ? weights[k] : 1.0f;
        if (w > 0.0f && (found < 0 || u >= sum))
            found = k;
        sum += w;
    }
    return found;
}

/* The voxel that draw i finds by trying places of channel c, or -1. */
int try_places(GC(int) words, int c, int i, const struct a_vxdraw *a);
int try_places(GC(int) words, int c, int i, const struct a_vxdraw *a)
{
    for (int t = 0; t < VX_TRIES; t += 4) {
        const uint index = (uint)i + (uint)(t / 4 + 1) * (uint)a->num;
        const uint4 p = philox((uint4)(a->step, a->stream, a->sample0, index), a->key0, a->key1);
        const uint r[4] = {p.x, p.y, p.z, p.w};
        for (int j = 0; j < 4; j++) {
            const int e = (int)mul_hi(r[j], (uint)(a->wc / a->wv) * (uint)a->v), at = e % a->v;
            const uint bits = (uint)words[a->off[0] + c * a->wc + e / a->v * a->wv + at / 32];
            if (bits >> at % 32 & 1u)
                return e;
        }
    }
    return -1;
}

/* voxel_draw: out[i] = number of a voxel. One draw each. */
__kernel WG64 void voxel_draw(GC(int) words, GC(int) counts, GC(int) segments, GC(float) weights, GC(int) given,
                              G(int) out, struct a_vxdraw a)
{
    const int i = ITEM();
    if (i >= a.num)
        return;
    uint r, s;
    if (a.given) {
        r = (uint)given[a.off[4] + 2 * i];
        s = (uint)given[a.off[4] + 2 * i + 1];
    } else {
        const uint4 p = philox((uint4)(a.step, a.stream, a.sample0, (uint)i), a.key0, a.key1);
        r = p.x;
        s = p.y;
    }
    const int c = pick_channel(weights + a.off[3], r, a.c, a.weighted);
    GC(int) seg = segments + a.off[2] + max(c, 0) * a.sc;
    const int count = c < 0 ? 0 : seg[a.sc - 1];
    if (count == 0) {
        out[a.off[5] + i] = -1;
        return;
    }
    const int found = a.given ? -1 : try_places(words, c, i, &a);
    if (found >= 0) {
        out[a.off[5] + i] = found;
        return;
    }
    int rank = (int)mul_hi(s, (uint)count);
    const int at = first_above(seg, 0, a.sc, rank);
    rank -= at > 0 ? seg[at - 1] : 0;
    GC(int) cnt = counts + a.off[1] + c * a.wc;
    const int lo = at * VX_SEGMENT, w = first_above(cnt, lo, min(lo + VX_SEGMENT, a.wc), rank);
    rank -= w > lo ? cnt[w - 1] : 0;
    uint bits = (uint)words[a.off[0] + c * a.wc + w];
    int bit = 0;
    for (; bit < 31 && (rank > 0 || !(bits & 1u)); bit++, bits >>= 1)
        rank -= (int)(bits & 1u);
    out[a.off[5] + i] = w / a.wv * a.v + w % a.wv * 32 + bit;
}

/* Row of 16 lanes of voxel idx of the map, -1 if it is not in [lo, hi) or not in the map. */
int row_of(int idx, const struct a_vxrows *a);
int row_of(int idx, const struct a_vxrows *a)
{
    if (idx < a->first || idx >= a->end)
        return -1;
    const int e = idx - a->first, z = e % a->z, y = e / a->z % a->y, x = e / a->z / a->y % a->x;
    const int row = e / a->z / a->y / a->x * a->sn + a->b * a->sb + a->s0 + x * a->sp + y * a->sr + z;
    return row >= a->lo && row < a->hi ? row - a->lo : -1;
}

/* voxel_rows: rows[i][16 b + l] = lane l of voxel idx[i]. One i each. */
__kernel WG64 void voxel_rows(GC(float) map, GC(int) idx, G(float) rows, struct a_vxrows a)
{
    const int i = ITEM();
    if (i >= a.num)
        return;
    const int k = idx[a.off[1] + i], row = row_of(k, &a);
    const bool none = a.clear && (k < 0 || k >= a.all);
    if (row < 0 && !none)
        return;
    const int lanes = min(16, a.d - a.b * 16);
    GC(float) p = map + a.off[0] + (long)max(row, 0) * 16;
    G(float) o = rows + a.off[2] + i * a.d + a.b * 16;
    for (int l = 0; l < lanes; l++)
        o[l] = none ? 0.0f : p[l];
}

/* voxel_rows_bwd: lane l of voxel idx[i] += sum of drows[j][16 b + l] over the j with idx[j] = idx[i], if i is the
 * first of them. One (i, l) each. */
__kernel WG64 void voxel_rows_bwd(GC(float) drows, GC(int) idx, G(float) dmap, struct a_vxrows a)
{
    const int i = ITEM() / 16, l = ITEM() % 16, lane = a.b * 16 + l;
    if (i >= a.num || lane >= a.d)
        return;
    const int k = idx[a.off[1] + i], row = row_of(k, &a);
    if (row < 0)
        return;
    for (int j = 0; j < i; j++)
        if (idx[a.off[1] + j] == k)
            return;
    float sum = drows[a.off[0] + i * a.d + lane];
    for (int j = i + 1; j < a.num; j++)
        if (idx[a.off[1] + j] == k)
            sum += drows[a.off[0] + j * a.d + lane];
    dmap[a.off[2] + (long)row * 16 + l] += sum;
}
