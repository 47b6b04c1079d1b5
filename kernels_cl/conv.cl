/* SPDX-License-Identifier: Apache-2.0
 * Convolution forward (and data gradient of stride 1, with flipped weights) on BLOCKED maps. Constants: S stride;
 * fat: T voxels along z, R rows along y, NB output blocks of one work-item. */
#include "common/base.h"
#include "ops/args/conv.h"

#ifdef PV_FAT

/* conv_fwd: y[k][o] = b[k] + sum_{c, tap} w[tap][c][k] x[c][o * S + tap].
 * src [n][cb][..][16], wt [kb]{[16 bias], [cb][tap][16 c][16 k]}, dst [n][kb][..][16].
 * Work-item (i, j, m): voxels z = i*T.., rows y = j*R.., m = (n * kb / NB + block) * x + plane.
 * T divides z, R divides y, NB divides kb of the launch. */
__kernel WG1 void conv_fwd(GC(float) src, GC(float) wt, G(float) dst, struct a_conv a)
{
    const int z0 = get_global_id(0) * T, y0 = get_global_id(1) * R;
    const int m = get_global_id(2), x = m % a.x, kb = m / a.x % (a.kb / NB) * NB, n = m / a.x / (a.kb / NB);
    src += a.off[0] + a.so + (long)n * a.sn + (long)x * S * a.sp + (long)y0 * S * a.sr + z0 * S * 16;
    dst += a.off[2] + a.dst0 + (long)n * a.dn + (long)kb * a.db + (long)x * a.dp + (long)y0 * a.dr + z0 * 16;
    wt += a.off[1];
    float16 acc[NB][R][T];
    if (a.accum) {
        UNROLL for (int b = 0; b < NB; b++)
            UNROLL for (int r = 0; r < R; r++)
                UNROLL for (int t = 0; t < T; t++)
                    acc[b][r][t] = LD16(dst + (long)b * a.db + r * a.dr + t * 16);
    } else {
        UNROLL for (int b = 0; b < NB; b++) {
            const float16 v = a.bias < 0 ? (float16)(0.0f) : LD16(wt + a.bias + (long)(kb + b) * a.wb);
            UNROLL for (int r = 0; r < R; r++)
                UNROLL for (int t = 0; t < T; t++)
                    acc[b][r][t] = v;
        }
    }
    GC(float) w0 = wt + a.w0 + (long)kb * a.wb;
    for (int c = 0; c < a.cb; c++)
        for (int kx = 0; kx < a.kx; kx++)
            for (int ky = 0; ky < a.ky; ky++)
                NOUNROLL for (int kz = 0; kz < a.kz; kz++) {
                    GC(float) s = src + (long)c * a.sb + (long)kx * a.sp + ky * a.sr + kz * 16;
                    GC(float) w = w0 + (long)(((c * a.kx + kx) * a.ky + ky) * a.kz + kz) * 256;
                    UNROLL for (int i = 0; i < 16; i++) {
                        float16 v[NB];
                        UNROLL for (int b = 0; b < NB; b++)
                            v[b] = LD16(w + (long)b * a.wb + i * 16);
                        UNROLL for (int r = 0; r < R; r++)
                            UNROLL for (int t = 0; t < T; t++) {
                                const float16 u = (float16)(s[r * S * a.sr + t * S * 16 + i]);
                                UNROLL for (int b = 0; b < NB; b++)
                                    acc[b][r][t] = fma(u, v[b], acc[b][r][t]);
                            }
                    }
                }
    UNROLL for (int b = 0; b < NB; b++)
        UNROLL for (int r = 0; r < R; r++)
            UNROLL for (int t = 0; t < T; t++)
                ST16(dst + (long)b * a.db + r * a.dr + t * 16) = acc[b][r][t];
}

#else
#include "common/conv_simt.h"

/* conv_fwd: the same sum, 16 channels of one voxel each. Groups: (ceil(x*y*z / 64) over two dimensions, n * kb). */
__kernel WG64 void conv_fwd(GC(float) src, GC(float) wt, G(float) dst, struct a_conv a)
{
    const int v = GROUP() * 64 + LOCAL(), kb = get_group_id(2) % a.kb, n = get_group_id(2) / a.kb;
    if (v >= a.x * a.y * a.z)
        return;
    const int z = v % a.z, y = v / a.z % a.y, x = v / a.z / a.y;
    src += a.off[0] + a.so + n * a.sn + x * S * a.sp + y * S * a.sr + z * S * 16;
    dst += a.off[2] + a.dst0 + n * a.dn + kb * a.db + x * a.dp + y * a.dr + z * 16;
    wt += a.off[1];
    START16(dst)
    for (int c = 0; c < a.cb; c++)
        for (int kx = 0; kx < a.kx; kx++)
            for (int ky = 0; ky < a.ky; ky++)
                for (int kz = 0; kz < a.kz; kz++) {
                    GC(float) s = src + c * a.sb + kx * a.sp + ky * a.sr + kz * 16;
                    GC(float) w = wt + a.w0 + kb * a.wb + (((c * a.kx + kx) * a.ky + ky) * a.kz + kz) * 256;
                    TAP16(s, w)
                }
    STORE16(dst)
}

#endif
