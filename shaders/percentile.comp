// SPDX-License-Identifier: Apache-2.0
// Exact order statistics by radix selection; as in kernels_cl/percentile.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/group.glsl"
#include "ops/args/percentile.h"

#define BINS 256

uint key_of(float x)
{
    uint u = floatBitsToUint(x);
    return (u >> 31) != 0u ? ~u : u | 0x80000000u;
}

float of_key(uint k) { return uintBitsToFloat((k >> 31) != 0u ? k & 0x7fffffffu : ~k); }

#if defined(ENTRY_pct_hist) || defined(ENTRY_pct_next)
WG64
BUF_R(0, x)
BUF_R(1, mask)
BUF_RI(2, state)
BUF_WI(3, parts)
ARGS(a_pct)

bool counts(int i)
{
    if (a.masked != 0)
        return mask[OFF(1) + i] != 0.0;
    return true;
}
#endif

#ifdef ENTRY_pct_hist
shared uint hist[BINS];
void main()
{
    int g = GROUP(), end = min((g + 1) * a.chunk, a.count);
    uint high = 0u;
    if (a.shift != 24)
        high = uint(state[OFF(2) + PCT_KEY]) >> (a.shift + 8);
    for (int i = LOCAL(); i < BINS; i += 64)
        hist[i] = 0u;
    barrier();
    for (int i = g * a.chunk + LOCAL(); i < end; i += 64) {
        uint k = key_of(x[OFF(0) + i]), above = 0u;
        if (a.shift != 24)
            above = k >> (a.shift + 8);
        if (above == high && counts(i))
            atomicAdd(hist[k >> a.shift & 255u], 1u);
    }
    barrier();
    if (g * a.chunk < a.count)
        for (int i = LOCAL(); i < BINS; i += 64)
            parts[OFF(3) + (a.g0 + g) * BINS + i] = int(hist[i]);
}
#endif

#ifdef ENTRY_pct_pick
WG64
BUF_RI(0, parts)
BUF_XI(1, state)
ARGS(a_pct)
shared uint bins[BINS];
void main()
{
    for (int i = LOCAL(); i < BINS; i += 64) {
        uint sum = 0u;
        for (int g = 0; g < a.groups; g++)
            sum += uint(parts[OFF(0) + g * BINS + i]);
        bins[i] = sum;
    }
    barrier();
    if (LOCAL() != 0)
        return;
    int st = OFF(1);
    if (a.shift == 24) {
        uint count = 0u, hi, lo, hi2, lo2, carry;
        for (int i = 0; i < BINS; i++)
            count += bins[i];
        uint last = count != 0u ? count - 1u : 0u;
        umulExtended(last, a.qhi, hi, lo);
        umulExtended(last, a.qlo, hi2, lo2);
        uint frac = uaddCarry(lo, hi2, carry);
        state[st + PCT_COUNT] = int(count);
        state[st + PCT_RANK] = int(hi + carry);
        state[st + PCT_FRAC] = int(frac);
        state[st + PCT_KEY] = 0;
    }
    uint rank = uint(state[st + PCT_RANK]);
    int b = 0;
    while (b < BINS - 1 && rank >= bins[b])
        rank -= bins[b++];
    state[st + PCT_KEY] |= int(uint(b) << a.shift);
    state[st + PCT_RANK] = int(rank);
    state[st + PCT_SAME] = rank + 1u < bins[b] ? 1 : 0;
}
#endif

#ifdef ENTRY_pct_next
GROUP_FOLD(group_min, uint, min, 1, mins, least)
void main()
{
    int g = GROUP(), end = min((g + 1) * a.chunk, a.count);
    uint found = uint(state[OFF(2) + PCT_KEY]), best = 0xffffffffu;
    for (int i = g * a.chunk + LOCAL(); i < end; i += 64) {
        uint k = key_of(x[OFF(0) + i]);
        if (k > found && counts(i))
            best = min(best, k);
    }
    best = group_min(best);
    if (LOCAL() == 0 && g * a.chunk < a.count)
        parts[OFF(3) + a.g0 + g] = int(best);
}
#endif

#ifdef ENTRY_pct_end
layout(local_size_x = 1) in;
BUF_RI(0, parts)
BUF_RI(1, state)
BUF_W(2, dst)
ARGS(a_pct)
void main()
{
    int st = OFF(1);
    uint up = 0xffffffffu, key = uint(state[st + PCT_KEY]);
    for (int g = 0; g < a.groups; g++)
        up = min(up, uint(parts[OFF(0) + g]));
    if (state[st + PCT_SAME] != 0 || up == 0xffffffffu)
        up = key;
    float lo = of_key(key), hi = of_key(up), t = float(uint(state[st + PCT_FRAC])) * 2.3283064365386963e-10, y = lo;
    if (lo != hi)
        y = t < 0.5 ? lo + (hi - lo) * t : hi - (hi - lo) * (1.0 - t);
    dst[OFF(2)] = state[st + PCT_COUNT] != 0 ? y : uintBitsToFloat(0x7f800000u);
}
#endif
