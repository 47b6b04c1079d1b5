/* SPDX-License-Identifier: Apache-2.0
 * Transposition of 16 blocks of 16 lanes in registers, by four rounds of interleaving halves. */
#ifndef COMMON_TRANSPOSE_H
#define COMMON_TRANSPOSE_H

#define ZIP_LO(a, b) (float16)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, \
                               a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7)
#define ZIP_HI(a, b) (float16)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, \
                               a.sc, b.sc, a.sd, b.sd, a.se, b.se, a.sf, b.sf)

/* v[i].lane j <-> v[j].lane i. Interleaving i with i + 8 rotates the index bits (vector, lane) by one; four rounds
 * exchange them. */
void transpose16(float16 *v);
void transpose16(float16 *v)
{
    float16 u[16];
    UNROLL for (int round = 0; round < 2; round++) {
        UNROLL for (int i = 0; i < 8; i++) {
            u[2 * i] = ZIP_LO(v[i], v[i + 8]);
            u[2 * i + 1] = ZIP_HI(v[i], v[i + 8]);
        }
        UNROLL for (int i = 0; i < 8; i++) {
            v[2 * i] = ZIP_LO(u[i], u[i + 8]);
            v[2 * i + 1] = ZIP_HI(u[i], u[i + 8]);
        }
    }
}

/* to[k * stride + m] (+)= rows[m][k], k < nk <= 16, m < nm; rows holds nm rounded up to 16 blocks. */
void put_rows(const float *rows, __global float *to, long stride, int nk, int nm, int accum);
void put_rows(const float *rows, __global float *to, long stride, int nk, int nm, int accum)
{
    for (int m = 0; m < nm; m += 16) {
        float16 v[16];
        UNROLL for (int i = 0; i < 16; i++)
            v[i] = *(const float16 *)(rows + (m + i) * 16);
        transpose16(v);
        if (nk == 16 && m + 16 <= nm) {
            UNROLL for (int k = 0; k < 16; k++) {
                __global float *t = to + k * stride + m;
                vstore16(accum ? vload16(0, t) + v[k] : v[k], 0, t);
            }
        } else {
            float o[256] __attribute__((aligned(64)));
            UNROLL for (int k = 0; k < 16; k++)
                *(float16 *)(o + k * 16) = v[k];
            for (int k = 0; k < nk; k++)
                for (int i = 0; i < min(16, nm - m); i++) {
                    __global float *t = to + k * stride + m + i;
                    *t = accum ? *t + o[k * 16 + i] : o[k * 16 + i];
                }
        }
    }
}

#endif
