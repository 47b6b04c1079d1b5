/* SPDX-License-Identifier: Apache-2.0
 * Convolutions as explicit matrix products by a library (simt): what is before and behind the product. OpenCL only. */
#include "common/base.h"
#include "ops/args/conv_blas.h"

#ifdef PV_SIMT

/* Float4 i of rows r [block][tap][16]: voxel x, y, z of the map's sample, `at` in the map. */
#define ROWS \
    const int i = GROUP() * 64 + LOCAL(), taps = a.kx * a.ky * a.kz, cols = a.nb * taps; \
    if (i >= a.rows * cols * 4) \
        return; \
    const int j = i / 4 % cols, v = a.first + i / 4 / cols, block = j / taps, tap = j % taps; \
    const int z = v % a.z * a.stride + tap % a.kz, y = v / a.z % a.y * a.stride + tap / a.kz % a.ky; \
    const int x = v / a.z / a.y % a.x * a.stride + tap / a.kz / a.ky; \
    const int at = a.s0 + v / a.z / a.y / a.x * a.sn + block * a.sb + x * a.sp + y * a.sr + z * 16 + i % 4 * 4;

/* blas_rows: rows[r][cb][tap][16] = map[n][cb][v * stride + tap][16] for voxel v of row r. One float4 each. */
__kernel WG64 void blas_rows(GC(float) map, G(float) rows, struct a_blas a)
{
    ROWS
    ST4(rows + a.off[1] + i * 4) = LD4(map + a.off[0] + at);
}

/* blas_map: map[n][kb][v * stride + tap][16] = b[kb] + rows[r][kb][tap][16], or accum: map + rows. One float4 each;
 * voxels beyond the map are left out. */
__kernel WG64 void blas_map(GC(float) rows, GC(float) wt, G(float) map, struct a_blas a)
{
    ROWS
    if (x >= a.fx || y >= a.fy || z >= a.fz)
        return;
    G(float) d = map + a.off[2] + at;
    float4 sum = LD4(rows + a.off[0] + i * 4);
    if (a.accum)
        sum += LD4(d);
    else if (a.bias >= 0)
        sum += LD4(wt + a.off[1] + a.bias + block * 16 + i % 4 * 4);
    ST4(d) = sum;
}

/* blas_weights: m[cb][tap][16 c][kb][16 k], up: m[cb][16 c][kb][tap][16 k], and behind it [kb][16] biases, from packed
 * [kb]{[16 biases], [cb][tap][16 c][16 k]}. One float4 each. */
__kernel WG64 void blas_weights(GC(float) packed, G(float) m, struct a_blas_w a)
{
    const int i = GROUP() * 64 + LOCAL(), q = i % 4 * 4, wb = 16 + a.cb * a.taps * 256;
    const int all = a.cb * a.taps * 16 * a.kb, j = i / 4;
    if (j >= all + a.kb)
        return;
    int from;
    if (j >= all) {
        from = (j - all) * wb;
    } else if (a.up) {
        const int tap = j % a.taps, kb = j / a.taps % a.kb, c = j / a.taps / a.kb;
        from = kb * wb + 16 + ((c / 16 * a.taps + tap) * 16 + c % 16) * 16;
    } else {
        from = j % a.kb * wb + 16 + j / a.kb * 16;
    }
    ST4(m + a.off[1] + i * 4) = LD4(packed + a.off[0] + from + q);
}

/* blas_grads: dw[v][b][tap] (+)= m[v][b / 16][tap][b % 16]. One element each. */
__kernel WG64 void blas_grads(GC(float) m, G(float) dw, struct a_blas_g a)
{
    const int i = GROUP() * 64 + LOCAL(), row = (a.nb + 15) / 16 * a.taps * 16;
    if (i >= a.nv * a.nb * a.taps)
        return;
    const int tap = i % a.taps, b = i / a.taps % a.nb, v = i / a.taps / a.nb;
    const float sum = m[a.off[0] + v * row + (b / 16 * a.taps + tap) * 16 + b % 16];
    G(float) d = dw + a.off[1] + i;
    *d = a.accum ? *d + sum : sum;
}

#endif
