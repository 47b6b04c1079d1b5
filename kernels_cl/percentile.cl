/* SPDX-License-Identifier: Apache-2.0
 * Exact order statistics by radix selection. Floats become keys whose unsigned order is theirs; four passes fix 8
 * bits of the wanted key each from histograms of the elements that still match; integers only, so the order of
 * adding does not matter. */
#include "common/group.h"
#include "ops/args/percentile.h"

#define BINS 256
#ifdef PV_FAT
#define WGX WG1
#define STEP 1
#else
#define WGX WG64
#define STEP 64
#endif

uint key_of(float x);
uint key_of(float x)
{
    const uint u = as_uint(x);
    return u >> 31 ? ~u : u | 0x80000000u;
}

float of_key(uint k);
float of_key(uint k) { return as_float(k >> 31 ? k & 0x7fffffffu : ~k); }

/* pct_hist: parts[g0 + g][256] = how many of the group's elements agree with state's key above the 8 bits at
 * `shift`, by these 8 bits. x, mask [count]; a group takes `chunk` elements. */
__kernel WGX void pct_hist(GC(float) x, GC(float) mask, GC(int) state, G(int) parts, struct a_pct a)
{
#ifdef PV_FAT
    uint hist[BINS];
#else
    __local uint hist[BINS];
#endif
    const int g = GROUP(), end = min((g + 1) * a.chunk, a.count);
    const uint high = a.shift == 24 ? 0 : (uint)state[a.off[2] + PCT_KEY] >> (a.shift + 8);
    for (int i = LOCAL(); i < BINS; i += STEP)
        hist[i] = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = g * a.chunk + LOCAL(); i < end; i += STEP) {
        const uint k = key_of(x[a.off[0] + i]);
        const bool in = (a.shift == 24 || k >> (a.shift + 8) == high) && (!a.masked || mask[a.off[1] + i] != 0);
        if (in) {
#ifdef PV_FAT
            hist[k >> a.shift & 255]++;
#else
            atomic_inc(&hist[k >> a.shift & 255]);
#endif
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (g * a.chunk < a.count)
        for (int i = LOCAL(); i < BINS; i += STEP)
            parts[a.off[3] + (a.g0 + g) * BINS + i] = (int)hist[i];
}

/* pct_pick: adds the histograms, finds the bin that holds the wanted rank, and narrows state to it. The first pass
 * also turns q and the number of elements into rank and fraction. One group. */
__kernel WGX void pct_pick(GC(int) parts, G(int) state, struct a_pct a)
{
    __local uint bins[BINS];
    for (int i = LOCAL(); i < BINS; i += STEP) {
        uint sum = 0;
        for (int g = 0; g < a.groups; g++)
            sum += (uint)parts[a.off[0] + g * BINS + i];
        bins[i] = sum;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (LOCAL() != 0)
        return;
    state += a.off[1];
    if (a.shift == 24) {
        uint count = 0;
        for (int i = 0; i < BINS; i++)
            count += bins[i];
        const uint last = count ? count - 1 : 0, low = last * a.qhi, frac = low + mul_hi(last, a.qlo);
        state[PCT_COUNT] = (int)count;
        state[PCT_RANK] = (int)(mul_hi(last, a.qhi) + (frac < low));
        state[PCT_FRAC] = (int)frac;
        state[PCT_KEY] = 0;
    }
    uint rank = (uint)state[PCT_RANK];
    int b = 0;
    while (b < BINS - 1 && rank >= bins[b])
        rank -= bins[b++];
    state[PCT_KEY] |= (int)((uint)b << a.shift);
    state[PCT_RANK] = (int)rank;
    state[PCT_SAME] = rank + 1 < bins[b];
}

#ifdef PV_SIMT
GROUP_FOLD(group_min, uint, min, 1)
#endif

/* pct_next: parts[g0 + g] = smallest key above state's in the group, all ones if none. */
__kernel WGX void pct_next(GC(float) x, GC(float) mask, GC(int) state, G(int) parts, struct a_pct a)
{
    const int g = GROUP(), end = min((g + 1) * a.chunk, a.count);
    const uint found = (uint)state[a.off[2] + PCT_KEY];
    uint best = 0xffffffffu;
    for (int i = g * a.chunk + LOCAL(); i < end; i += STEP) {
        const uint k = key_of(x[a.off[0] + i]);
        if (k > found && (!a.masked || mask[a.off[1] + i] != 0))
            best = min(best, k);
    }
#ifdef PV_SIMT
    __local uint mins[64];
    best = group_min(best, mins);
#endif
    if (LOCAL() == 0 && g * a.chunk < a.count)
        parts[a.off[3] + a.g0 + g] = (int)best;
}

/* pct_end: out[0] between the lower neighbour and the upper one (the same key, or the smallest of parts); +inf if
 * there is no element. One work-item. */
__kernel WG1 void pct_end(GC(int) parts, GC(int) state, G(float) out, struct a_pct a)
{
    state += a.off[1];
    uint up = 0xffffffffu;
    for (int g = 0; g < a.groups; g++)
        up = min(up, (uint)parts[a.off[0] + g]);
    const uint key = (uint)state[PCT_KEY], frac = (uint)state[PCT_FRAC];
    if (state[PCT_SAME] || up == 0xffffffffu)
        up = key;
    const float lo = of_key(key), hi = of_key(up), t = (float)frac * 2.3283064365386963e-10f;
    float y = lo;
    if (lo != hi)
        y = t < 0.5f ? lo + (hi - lo) * t : hi - (hi - lo) * (1.0f - t);
    out[a.off[2]] = state[PCT_COUNT] ? y : INFINITY;
}
