/* SPDX-License-Identifier: Apache-2.0
 * Transform of the gradient that comes into Winograd's F(2x2x2, 3x3x3), fat class. */
#ifndef COMMON_WINO_DY_H
#define COMMON_WINO_DY_H

#include "common/read.h"

/* A = transpose of the inverse transform: A g = g0, g0 + g1, g0 - g1, -g1 along each axis. Over x and y, for `cols`
 * columns of one tile row of one block, of which `have` are in the map. to: [16][`slice`]. Returns the sum. */
float16 out_xy(GCP g, int dp, int dr, int have, int cols, float *to, int slice);
float16 out_xy(GCP g, int dp, int dr, int have, int cols, float *to, int slice)
{
    float16 sum = (float16)(0.0f);
    NOUNROLL for (int i = 0; i < have; i++, g += 16, to += 16) {
        const float16 g0 = LD16(g), g1 = LD16(g + dr), g2 = LD16(g + dp), g3 = LD16(g + dp + dr);
        const float16 p[8] = {g0, g1, g0 + g2, g1 + g3, g0 - g2, g1 - g3, -g2, -g3};
        sum += p[2] + p[3];
        UNROLL for (int x = 0; x < 4; x++) {
            float *o = to + x * 4 * slice;
            PST(o) = p[2 * x];
            PST(o + slice) = p[2 * x] + p[2 * x + 1];
            PST(o + 2 * slice) = p[2 * x] - p[2 * x + 1];
            PST(o + 3 * slice) = -p[2 * x + 1];
        }
    }
    for (int i = have; i < cols; i++, to += 16)
        for (int f = 0; f < 16; f++)
            PST(to + f * slice) = (float16)(0.0f);
    return sum;
}

/* Frequency j along z of `num` tiles of the gradient, from 2 num columns. */
void out_z_of(int j, const float *from, int num, float *to);
void out_z_of(int j, const float *from, int num, float *to)
{
    if (j == 0)
        NOUNROLL for (int t = 0; t < num; t++)
            PST(to + t * 16) = PLD(from + t * 32);
    else if (j == 1)
        NOUNROLL for (int t = 0; t < num; t++)
            PST(to + t * 16) = PLD(from + t * 32) + PLD(from + t * 32 + 16);
    else if (j == 2)
        NOUNROLL for (int t = 0; t < num; t++)
            PST(to + t * 16) = PLD(from + t * 32) - PLD(from + t * 32 + 16);
    else
        NOUNROLL for (int t = 0; t < num; t++)
            PST(to + t * 16) = -PLD(from + t * 32 + 16);
}

#endif
