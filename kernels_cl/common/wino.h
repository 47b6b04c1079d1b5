/* SPDX-License-Identifier: Apache-2.0
 * Input transforms and products of Winograd's F(2x2x2, 3x3x3), fat class: B d = d0 - d2, d1 + d2, d2 - d1, d1 - d3. */
#ifndef COMMON_WINO_H
#define COMMON_WINO_H

#include "common/read.h"

/* What a tile row reads: 4 planes, offsets of its 4 rows; columns [lo, hi) of `cols` are in the map, the others
 * (border, or beyond it) are zero. ok: bit 4 plane + row is set where that row is in the map. */
struct tile_row { GCP p[4]; int r[4]; int lo, hi, cols; uint ok; };

#define READ_PLAIN(d, h) LD16(a.p[d] + at)
#define READ_RELU(d, h) fmax(NORMED(LD16(a.p[d] + at)), (float16)(0.0f))
#define READ_ANY(d, h) read_any(LD16(a.p[d] + at), (a.ok >> (4 * d + h) & 1) != 0, m)

float16 read_any(float16 x, int ok, struct read_norm m);
float16 read_any(float16 x, int ok, struct read_norm m)
{
    x = NORMED(x);
    return ok ? ACTIVE(x) : (float16)(0.0f);
}

/* Transform over x and y of the columns of one tile row of one block. to: [16][`slice` floats]. */
#define IN_XY(NAME, READ) \
void NAME(struct tile_row a, struct read_norm m, float *to, int slice); \
void NAME(struct tile_row a, struct read_norm m, float *to, int slice) \
{ \
    NOUNROLL for (int i = a.lo; i < a.hi; i++) { \
        float16 v[16]; \
        UNROLL for (int h = 0; h < 4; h++) { \
            const int at = a.r[h] + i * 16; \
            const float16 i0 = READ(0, h), i1 = READ(1, h), i2 = READ(2, h), i3 = READ(3, h); \
            v[h] = i0 - i2; \
            v[4 + h] = i1 + i2; \
            v[8 + h] = i2 - i1; \
            v[12 + h] = i1 - i3; \
        } \
        UNROLL for (int x = 0; x < 4; x++) { \
            float *t = to + x * 4 * slice + i * 16; \
            PST(t) = v[x * 4] - v[x * 4 + 2]; \
            PST(t + slice) = v[x * 4 + 1] + v[x * 4 + 2]; \
            PST(t + 2 * slice) = v[x * 4 + 2] - v[x * 4 + 1]; \
            PST(t + 3 * slice) = v[x * 4 + 1] - v[x * 4 + 3]; \
        } \
    } \
    for (int i = 0; i < a.cols; i++) \
        if (i < a.lo || i >= a.hi) \
            for (int f = 0; f < 16; f++) \
                PST(to + f * slice + i * 16) = (float16)(0.0f); \
}
IN_XY(in_xy_plain, READ_PLAIN)
IN_XY(in_xy_relu, READ_RELU)
IN_XY(in_xy_any, READ_ANY)

/* One block: src at voxel (-1, -1, -1) of the block; px, py: first plane and row; z0: first column; x, y, z: sides. */
void in_xy(GCP src, int px, int py, int z0, int cols, int x, int y, int z, int sp, int sr, int norm, struct read_norm m,
           float *to, int slice);
void in_xy(GCP src, int px, int py, int z0, int cols, int x, int y, int z, int sp, int sr, int norm, struct read_norm m,
           float *to, int slice)
{
    struct tile_row a;
    src += z0 * 16;
    a.ok = 0;
    UNROLL for (int i = 0; i < 4; i++) {
        a.p[i] = src + (long)min(px + i, x + 1) * sp;
        a.r[i] = min(py + i, y + 1) * sr;
    }
    UNROLL for (int i = 0; i < 16; i++)
        a.ok |= (uint)(px + i / 4 >= 1 && px + i / 4 <= x && py + i % 4 >= 1 && py + i % 4 <= y) << i;
    a.lo = max(0, 1 - z0);
    a.hi = min(cols, z + 1 - z0);
    a.cols = cols;
    if (!norm)
        in_xy_plain(a, m, to, slice);
    else if (m.slope == 0.0f && a.ok == 0xffff)
        in_xy_relu(a, m, to, slice);
    else
        in_xy_any(a, m, to, slice);
}

/* Transform over z of `num` tiles from 2 num + 2 columns; to: [4][`step` floats]. */
void in_z(const float *from, int num, float *to, int step);
void in_z(const float *from, int num, float *to, int step)
{
    float16 i0 = PLD(from), i1 = PLD(from + 16);
    NOUNROLL for (int t = 0; t < num; t++) {
        const float16 i2 = PLD(from + t * 32 + 32), i3 = PLD(from + t * 32 + 48);
        float *o = to + t * 16;
        PST(o) = i0 - i2;
        PST(o + step) = i1 + i2;
        PST(o + 2 * step) = i2 - i1;
        PST(o + 3 * step) = i1 - i3;
        i0 = i2;
        i1 = i3;
    }
}

/* s[b][t] += sum_c u[b][c] v[t][c] over `blocks` input blocks for frequency a, d[b][t] likewise for b. v: pointers V,
 * xs floats from block to block, T tiles after one another; u: pointers U that LD reads, NB output blocks after one
 * another, each of all input blocks. */
#define WINO_PRODUCTS(blocks, V, xs, U, LD, va, vb, ua, ub) \
    for (int c = 0; c < (blocks); c++) { \
        V p = (va) + c * (xs); \
        V q = (vb) + c * (xs); \
        U wp = (ua) + c * 256; \
        U wq = (ub) + c * 256; \
        UNROLL for (int i = 0; i < 16; i++) { \
            float16 wa[NB], wb[NB]; \
            UNROLL for (int b = 0; b < NB; b++) { \
                wa[b] = LD(wp + b * (blocks) * 256 + i * 16); \
                wb[b] = LD(wq + b * (blocks) * 256 + i * 16); \
            } \
            UNROLL for (int t = 0; t < T; t++) { \
                const float16 x = (float16)(p[t * 16 + i]); \
                UNROLL for (int b = 0; b < NB; b++) \
                    s[b][t] = fma(x, wa[b], s[b][t]); \
            } \
            UNROLL for (int t = 0; t < T; t++) { \
                const float16 x = (float16)(q[t * 16 + i]); \
                UNROLL for (int b = 0; b < NB; b++) \
                    d[b][t] = fma(x, wb[b], d[b][t]); \
            } \
        } \
    }

#endif
