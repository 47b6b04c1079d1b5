/* SPDX-License-Identifier: Apache-2.0
 * Transposed convolution of stride 2, and the data gradient of stride-2 convolutions. Constant (fat): T coarse
 * voxels along z of one work-item. */
#include "common/base.h"
#include "ops/args/conv.h"

#ifdef PV_FAT

/* conv_up: y[k][f] = b[k] + sum_{c, tap: (f + p - tap) even} w[tap][c][k] x[c][(f + p - tap) / 2]: transposed
 * convolution of stride 2, and the data gradient of a stride-2 convolution.
 * Work-item (i, j, m): fine voxels f_z = 2 * (i*T + t) + parity for both parities, row f_y = j, plane f_x,
 * m = (n * kb + block) * fx + f_x. T divides a.z, the coarse voxels covered; nothing is written at or beyond
 * a.fz. */
__kernel WG1 void conv_up(GC(float) src, GC(float) wt, G(float) dst, struct a_conv a)
{
    const int z0 = get_global_id(0) * T, fy = get_global_id(1);
    const int m = get_global_id(2), fx = m % a.fx, kb = m / a.fx % a.kb, n = m / a.fx / a.kb;
    src += a.off[0] + a.so + (long)n * a.sn;
    dst += a.off[2] + a.dst0 + (long)n * a.dn + (long)kb * a.db + (long)fx * a.dp + (long)fy * a.dr + z0 * 32;
    wt += a.off[1];
    const float16 bias = a.bias < 0 ? (float16)(0.0f) : LD16(wt + a.bias + (long)kb * a.wb);
    const long wk = a.w0 + (long)kb * a.wb;
    for (int q = 0; q < 2; q++) {
        float16 acc[T];
        UNROLL for (int t = 0; t < T; t++)
            acc[t] = a.accum && 2 * (z0 + t) + q < a.fz ? LD16(dst + t * 32 + q * 16) : bias;
        for (int c = 0; c < a.cb; c++)
            for (int kx = (fx + a.px) & 1; kx < a.kx; kx += 2)
                for (int ky = (fy + a.py) & 1; ky < a.ky; ky += 2)
                    NOUNROLL for (int kz = (q + a.pz) & 1; kz < a.kz; kz += 2) {
                        const int cx = (fx + a.px - kx) / 2, cy = (fy + a.py - ky) / 2;
                        const int cz = z0 + (q + a.pz - kz) / 2;
                        GC(float) s = src + (long)c * a.sb + (long)cx * a.sp + (long)cy * a.sr + cz * 16;
                        GC(float) w = wt + wk + (long)(((c * a.kx + kx) * a.ky + ky) * a.kz + kz) * 256;
                        UNROLL for (int i = 0; i < 16; i++) {
                            const float16 v = LD16(w + i * 16);
                            UNROLL for (int t = 0; t < T; t++)
                                acc[t] = fma((float16)(s[t * 16 + i]), v, acc[t]);
                        }
                    }
        UNROLL for (int t = 0; t < T; t++)
            if (2 * (z0 + t) + q < a.fz)
                ST16(dst + t * 32 + q * 16) = acc[t];
    }
}

#else
#include "common/conv_simt.h"

/* conv_up: the same sum, 16 channels of one voxel each. Groups: (ceil(fx*fy*fz / 64) over two dimensions, n * kb). */
__kernel WG64 void conv_up(GC(float) src, GC(float) wt, G(float) dst, struct a_conv a)
{
    const int v = GROUP() * 64 + LOCAL(), kb = get_group_id(2) % a.kb, n = get_group_id(2) / a.kb;
    if (v >= a.fx * a.fy * a.fz)
        return;
    const int fz = v % a.fz, fy = v / a.fz % a.fy, fx = v / a.fz / a.fy;
    src += a.off[0] + a.so + n * a.sn;
    dst += a.off[2] + a.dst0 + n * a.dn + kb * a.db + fx * a.dp + fy * a.dr + fz * 16;
    wt += a.off[1];
    START16(dst)
    for (int c = 0; c < a.cb; c++)
        for (int kx = (fx + a.px) & 1; kx < a.kx; kx += 2)
            for (int ky = (fy + a.py) & 1; ky < a.ky; ky += 2)
                for (int kz = (fz + a.pz) & 1; kz < a.kz; kz += 2) {
                    GC(float) s = src + c * a.sb + (fx + a.px - kx) / 2 * a.sp + (fy + a.py - ky) / 2 * a.sr +
                                  (fz + a.pz - kz) / 2 * 16;
                    GC(float) w = wt + a.w0 + kb * a.wb + (((c * a.kx + kx) * a.ky + ky) * a.kz + kz) * 256;
                    TAP16(s, w)
                }
    STORE16(dst)
}

#endif
