// SPDX-License-Identifier: Apache-2.0
// Drawing voxels from masks and reading their features; formulas, buffers, work-items as in kernels_cl/voxels.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "common/philox.glsl"
#include "ops/args/voxels.h"

WG64
#define ITEM() (GROUP() * 64 + LOCAL())

#ifdef ENTRY_voxel_words
BUF_R(0, mask)
BUF_WI(1, words)
ARGS(a_vxword)
void main()
{
    int w = ITEM();
    if (w >= a.num)
        return;
    int end = min(32, a.v - w * 32);
    uint bits = 0u;
    for (int i = 0; i < end; i++)
        if (mask[OFF(0) + w * 32 + i] != 0.0)
            bits |= 1u << i;
    words[OFF(1) + a.w0 + w] = int(bits);
}
#endif

#ifdef ENTRY_voxel_scan
BUF_RI(0, words)
BUF_WI(1, counts)
BUF_WI(2, segments)
ARGS(a_vxscan)
void main()
{
    int i = ITEM(), c = i / a.sc, s = i % a.sc;
    if (c >= a.c)
        return;
    int end = min((s + 1) * VX_SEGMENT, a.wc), sum = 0;
    for (int w = s * VX_SEGMENT; w < end; w++) {
        sum += bitCount(uint(words[OFF(0) + c * a.wc + w]));
        counts[OFF(1) + c * a.wc + w] = sum;
    }
    segments[OFF(2) + i] = sum;
}
#endif

#ifdef ENTRY_voxel_total
BUF_XI(0, segments)
ARGS(a_vxscan)
void main()
{
    int c = ITEM(), sum = 0;
    if (c >= a.c)
        return;
    for (int s = 0; s < a.sc; s++) {
        sum += segments[OFF(0) + c * a.sc + s];
        segments[OFF(0) + c * a.sc + s] = sum;
    }
}
#endif

#ifdef ENTRY_voxel_draw
BUF_RI(0, words)
BUF_RI(1, counts)
BUF_RI(2, segments)
BUF_R(3, weights)
BUF_RI(4, given)
BUF_WI(5, dst)
ARGS(a_vxdraw)

float weight_of(int k)
{
    float w = 1.0;
    if (a.weighted != 0)
        w = weights[OFF(3) + k];
    return w;
}

int pick_channel(uint r)
{
    float all_ = 0.0, sum = 0.0;
    for (int k = 0; k < a.c; k++)
        all_ += weight_of(k);
    float u = float(r >> 8) / 16777216.0 * all_;
    int found = -1;
    for (int k = 0; k < a.c; k++) {
        float w = weight_of(k);
        if (w > 0.0 && (found < 0 || u >= sum))
            found = k;
        sum += w;
    }
    return found;
}

int try_places(int c, int i)
{
    for (int t = 0; t < VX_TRIES; t += 4) {
        uint index = uint(i) + uint(t / 4 + 1) * uint(a.num);
        uvec4 p = philox(uvec4(a.step, a.stream, a.sample0, index), uvec2(a.key0, a.key1));
        for (int j = 0; j < 4; j++) {
            uint high, low;
            umulExtended(p[j], uint(a.wc / a.wv) * uint(a.v), high, low);
            int e = int(high), at = e % a.v;
            uint bits = uint(words[OFF(0) + c * a.wc + e / a.v * a.wv + at / 32]);
            if ((bits >> (at % 32) & 1u) != 0u)
                return e;
        }
    }
    return -1;
}

void main()
{
    int i = ITEM();
    if (i >= a.num)
        return;
    uint r, s;
    if (a.given != 0) {
        r = uint(given[OFF(4) + 2 * i]);
        s = uint(given[OFF(4) + 2 * i + 1]);
    } else {
        uvec4 p = philox(uvec4(a.step, a.stream, a.sample0, uint(i)), uvec2(a.key0, a.key1));
        r = p.x;
        s = p.y;
    }
    int c = pick_channel(r), seg = OFF(2) + max(c, 0) * a.sc, count = 0;
    if (c >= 0)
        count = segments[seg + a.sc - 1];
    if (count == 0) {
        dst[OFF(5) + i] = -1;
        return;
    }
    int known = -1;
    if (a.given == 0)
        known = try_places(c, i);
    if (known >= 0) {
        dst[OFF(5) + i] = known;
        return;
    }
    uint high, low;
    umulExtended(s, uint(count), high, low);
    int rank = int(high), lo = 0, hi = a.sc;
    while (lo + 1 < hi) {
        int mid = (lo + hi) / 2;
        if (segments[seg + mid - 1] > rank)
            hi = mid;
        else
            lo = mid;
    }
    if (lo > 0)
        rank -= segments[seg + lo - 1];
    int cnt = OFF(1) + c * a.wc, first = lo * VX_SEGMENT;
    lo = first;
    hi = min(first + VX_SEGMENT, a.wc);
    while (lo + 1 < hi) {
        int mid = (lo + hi) / 2;
        if (counts[cnt + mid - 1] > rank)
            hi = mid;
        else
            lo = mid;
    }
    if (lo > first)
        rank -= counts[cnt + lo - 1];
    uint bits = uint(words[OFF(0) + c * a.wc + lo]);
    int bit = 0;
    for (; bit < 31 && (rank > 0 || (bits & 1u) == 0u); bit++, bits >>= 1)
        rank -= int(bits & 1u);
    dst[OFF(5) + i] = lo / a.wv * a.v + lo % a.wv * 32 + bit;
}
#endif

#if defined(ENTRY_voxel_rows) || defined(ENTRY_voxel_rows_bwd)
BUF_R(0, src)
BUF_RI(1, idx)
BUF_X(2, dst)
ARGS(a_vxrows)

int row_of(int k)
{
    if (k < a.first || k >= a.end)
        return -1;
    int e = k - a.first, z = e % a.z, y = e / a.z % a.y, x = e / a.z / a.y % a.x;
    int row = e / a.z / a.y / a.x * a.sn + a.b * a.sb + a.s0 + x * a.sp + y * a.sr + z;
    return row >= a.lo && row < a.hi ? row - a.lo : -1;
}
#endif

#ifdef ENTRY_voxel_rows
void main()
{
    int i = ITEM();
    if (i >= a.num)
        return;
    int k = idx[OFF(1) + i], row = row_of(k);
    bool none = a.clear != 0 && (k < 0 || k >= a.all);
    if (row < 0 && !none)
        return;
    int lanes = min(16, a.d - a.b * 16), at = OFF(0) + max(row, 0) * 16, to = OFF(2) + i * a.d + a.b * 16;
    for (int l = 0; l < lanes; l++) {
        float v = 0.0;
        if (!none)
            v = src[at + l];
        dst[to + l] = v;
    }
}
#endif

#ifdef ENTRY_voxel_rows_bwd
void main()
{
    int i = ITEM() / 16, l = ITEM() % 16, lane = a.b * 16 + l;
    if (i >= a.num || lane >= a.d)
        return;
    int k = idx[OFF(1) + i], row = row_of(k);
    if (row < 0)
        return;
    for (int j = 0; j < i; j++)
        if (idx[OFF(1) + j] == k)
            return;
    float sum = src[OFF(0) + i * a.d + lane];
    for (int j = i + 1; j < a.num; j++)
        if (idx[OFF(1) + j] == k)
            sum += src[OFF(0) + j * a.d + lane];
    dst[OFF(2) + row * 16 + l] += sum;
}
#endif
