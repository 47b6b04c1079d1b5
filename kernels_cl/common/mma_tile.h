/* SPDX-License-Identifier: Apache-2.0
 * Matrix products of a work-group of 128 on matrix units (mma.h): 128 rows by NB blocks of 16 columns, 16 inner indices
 * in a step. Constants NB (1, 2, 4), UNIT.
 *
 * Local memory holds operands as lanes need them, a uint4 each: for 16 rows the fragment of A, for a block of columns
 * those of B of two units. The order of a unit's inner indices, rows and columns is free, so it is chosen for wide
 * accesses: inner indices 2 t, 2 t + 1, 2 t + 8, 2 t + 9 of a unit are 4 t to 4 t + 3 of the step; column 2 t + e of
 * unit p is column 4 t + 2 p + e of its block, so that a lane stores 4 t to 4 t + 3. Rows are the kernels'. */
#ifndef COMMON_MMA_TILE_H
#define COMMON_MMA_TILE_H

#define MMA_ITEMS 128
#include "common/mma.h"

#define WM (NB == 4 ? 2 : 4)    /* of the 4 warps those along rows, each with other ones */
#define MT (8 / WM)             /* 16 rows each: of a warp */
#define NP (NB * WM / 4)        /* blocks of columns of a warp */

/* Declares l; its lane's g and t; its warp's place wm, wn; where it finds B in a block. */
#define MMA_PLACE \
    const int l = LOCAL(), g = l % 32 / 4, t = l % 4, wm = l / 32 % WM, wn = l / 32 / WM; \
    const int mine = (g ^ (g / 2 & 1)) * 4 + t;
#define MMA_SUMS(acc) \
    float acc[MT][2 * NP][4]; \
    UNROLL for (int i = 0; i < MT; i++) \
        UNROLL for (int p = 0; p < 2 * NP; p++) \
            UNROLL for (int q = 0; q < 4; q++) \
                acc[i][p][q] = 0.0f;

/* B is brought by work-items l < 32 NB: block l / 32, inner indices 2 g (w0) and 2 g + 1 (w1), columns 4 t to 4 t + 3.
 * They belong to lanes of columns 2 t and 2 t + 1, which change places where t is odd, lest 4 lanes write to a bank. */
#define MMA_BRINGS (NB == 4 || l < 32 * NB)
#define MMA_B_PLACE \
    const int to = (l / 32 * 32 + (2 * t + t % 2) * 4 + g / 2) * 4 + g % 2, odd = t % 2 ? -16 : 16;
#define MMA_PUT_B(ws, w0, w1) \
    if (MMA_BRINGS) { \
        __local uint *put_ = (__local uint *)(ws) + to; \
        put_[0] = half_pair(w0.x, w1.x); \
        put_[odd] = half_pair(w0.y, w1.y); \
        put_[2] = half_pair(w0.z, w1.z); \
        put_[odd + 2] = half_pair(w0.w, w1.w); \
    }

/* One step. MIDDLE: done after half of the products. */
#define MMA_STEP(acc, xs, ws, MIDDLE) { \
    uint wv[2 * NP][2]; \
    UNROLL for (int p = 0; p < NP; p++) { \
        const uint4 w_ = (ws)[(wn * NP + p) * 32 + mine]; \
        wv[2 * p][0] = w_.x; \
        wv[2 * p][1] = w_.y; \
        wv[2 * p + 1][0] = w_.z; \
        wv[2 * p + 1][1] = w_.w; \
    } \
    MMA_LOOP for (int i = 0; i < MT; i++) { \
        const uint4 x_ = (xs)[(wm * MT + i) * 32 + l % 32]; \
        const uint xv[4] = {x_.x, x_.y, x_.z, x_.w}; \
        MMA_LOOP for (int p = 0; p < 2 * NP; p++) \
            MMA(acc[i][p], xv, wv[p]); \
        if (i == MT / 2 - 1) { MIDDLE } \
    } \
}

/* Of block b of the warp and its row i: row g (even i) or g + 8 of 16 rows i / 2; columns 4 t to 4 t + 3. */
#define MMA_ROW(acc, i, b) (float4)(acc[(i) / 2][2 * (b)][(i) % 2 * 2], acc[(i) / 2][2 * (b)][(i) % 2 * 2 + 1], \
                                    acc[(i) / 2][2 * (b) + 1][(i) % 2 * 2], acc[(i) / 2][2 * (b) + 1][(i) % 2 * 2 + 1])

#endif
