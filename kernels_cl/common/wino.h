/* SPDX-License-Identifier: Apache-2.0
 * Input transforms of Winograd's F(2x2x2, 3x3x3), fat class: B d = d0 - d2, d1 + d2, d2 - d1, d1 - d3. */
#ifndef COMMON_WINO_H
#define COMMON_WINO_H

#define PLD(p) (*(const float16 *)(p))
#define PST(p) (*(float16 *)(p))

/* Transform over x and y of columns [0, cols) of one tile row of one block; columns from `have` on are zero. p: its 4
 * planes, r: offsets of its 4 rows. to: [16][`slice` floats]. */
void in_xy(GC(float) p0, GC(float) p1, GC(float) p2, GC(float) p3, const int *r, int have, int cols, float *to,
           int slice);
void in_xy(GC(float) p0, GC(float) p1, GC(float) p2, GC(float) p3, const int *r, int have, int cols, float *to,
           int slice)
{
    NOUNROLL for (int i = 0; i < have; i++) {
        float16 v[16];
        UNROLL for (int h = 0; h < 4; h++) {
            const int at = r[h] + i * 16;
            const float16 i0 = LD16(p0 + at), i1 = LD16(p1 + at), i2 = LD16(p2 + at), i3 = LD16(p3 + at);
            v[h] = i0 - i2;
            v[4 + h] = i1 + i2;
            v[8 + h] = i2 - i1;
            v[12 + h] = i1 - i3;
        }
        UNROLL for (int x = 0; x < 4; x++) {
            float *t = to + x * 4 * slice + i * 16;
            PST(t) = v[x * 4] - v[x * 4 + 2];
            PST(t + slice) = v[x * 4 + 1] + v[x * 4 + 2];
            PST(t + 2 * slice) = v[x * 4 + 2] - v[x * 4 + 1];
            PST(t + 3 * slice) = v[x * 4 + 1] - v[x * 4 + 3];
        }
    }
    for (int i = have; i < cols; i++)
        for (int f = 0; f < 16; f++)
            PST(to + f * slice + i * 16) = (float16)(0.0f);
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

#endif
