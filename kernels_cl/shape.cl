/* SPDX-License-Identifier: Apache-2.0
 * Copies between places and layouts, and max pooling. */
#include "common/base.h"
#include "ops/args/shape.h"

/* move_to: dst[row * dn + i] = src[row * sn + i], 32-bit words of any type. move_add: += on floats.
 * Fat: a work-item does 4096 elements of a row; simt: a work-group 256, four each. Work-items (simt: groups) are
 * numbered row * chunks + chunk. */
#ifdef PV_FAT
#define MOVE(T, STEP) \
    const int g = GROUP(), row = g / a.chunks, from = g % a.chunks * 4096; \
    if (row >= a.rows) \
        return; \
    const int len = min(4096, a.len - from); \
    src += a.off[0] + (long)row * a.sn + from; \
    dst += a.off[1] + (long)row * a.dn + from; \
    int i = 0; \
    for (; i + 16 <= len; i += 16) { \
        T##16 v = vload16(0, src + i); \
        vstore16(STEP(vload16(0, dst + i), v), 0, dst + i); \
    } \
    for (; i < len; i++) \
        dst[i] = STEP(dst[i], src[i]);
#define MOVE_WG WG1
#else
#define MOVE(T, STEP) \
    const int g = GROUP(), row = g / a.chunks, from = g % a.chunks * 256; \
    if (row >= a.rows) \
        return; \
    src += a.off[0] + row * a.sn; \
    dst += a.off[1] + row * a.dn; \
    for (int i = from + LOCAL(); i < min(from + 256, a.len); i += 64) \
        dst[i] = STEP(dst[i], src[i]);
#define MOVE_WG WG64
#endif
#define STEP_TO(d, s) (s)
#define STEP_ADD(d, s) ((d) + (s))

__kernel MOVE_WG void move_to(GC(int) src, G(int) dst, struct a_move a)
{
    MOVE(int, STEP_TO)
}

__kernel MOVE_WG void move_add(GC(float) src, G(float) dst, struct a_move a)
{
    MOVE(float, STEP_ADD)
}

/* lanes_to: channel k of BLOCKED dst (+)= channel k + shift of BLOCKED src, k0 <= k < k1, one sample; other lanes
 * stay. Fat: a work-item does a row of z of one block, in runs of lanes that come from one block of src. */
#ifdef PV_FAT
__kernel WG1 void lanes_to(GC(float) src, G(float) dst, struct a_lanes a)
{
    const int g = GROUP(), y = g % a.y, x = g / a.y % a.x, b = g / a.y / a.x;
    if (b >= a.blocks)
        return;
    src += a.off[0] + a.so + (long)x * a.sp + (long)y * a.sr;
    dst += a.off[1] + a.dd + (long)b * a.db + (long)x * a.dp + (long)y * a.dr;
    const int end = min(b * 16 + 16, a.k1);
    for (int k = max(b * 16, a.k0), n; k < end; k += n) {
        const int q = k + a.shift;
        n = min(16 - q % 16, end - k);
        GC(float) s = src + (long)(q / 16) * a.sb + q % 16;
        G(float) d = dst + k % 16;
        if (a.accum) {
            for (int z = 0; z < a.z; z++)
                for (int l = 0; l < n; l++)
                    d[z * 16 + l] += s[z * 16 + l];
        } else {
            for (int z = 0; z < a.z; z++)
                for (int l = 0; l < n; l++)
                    d[z * 16 + l] = s[z * 16 + l];
        }
    }
}
#else
/* One lane of one voxel each. */
__kernel WG64 void lanes_to(GC(float) src, G(float) dst, struct a_lanes a)
{
    const int i = GROUP() * 64 + LOCAL();
    const int l = i % 16, z = i / 16 % a.z, y = i / 16 / a.z % a.y, x = i / 16 / a.z / a.y % a.x,
              b = i / 16 / a.z / a.y / a.x, k = b * 16 + l, q = k + a.shift;
    if (b >= a.blocks || k < a.k0 || k >= a.k1)
        return;
    const float v = src[a.off[0] + a.so + q / 16 * a.sb + x * a.sp + y * a.sr + z * 16 + q % 16];
    G(float) d = dst + a.off[1] + a.dd + b * a.db + x * a.dp + y * a.dr + z * 16 + l;
    *d = a.accum ? *d + v : v;
}
#endif

/* to_plain: dst [n][c][x][y][z] (+)= lanes l0.. of BLOCKED src. to_blocked: the way back; lanes beyond c stay.
 * Fat: a work-item does a row of z of one block; simt: one voxel of one block. */
#ifdef PV_FAT
#define LAYOUT(BODY) \
    const int g = GROUP(), y = g % a.y, x = g / a.y % a.x, nb = (a.l0 + a.c + 15) / 16, b = g / a.y / a.x % nb, \
              n = g / a.y / a.x / nb; \
    if (n >= a.n) \
        return; \
    const int l1 = min(16, a.l0 + a.c - b * 16); \
    for (int l = b ? 0 : a.l0; l < l1; l++) { \
        const long at = (long)n * a.bn + (long)b * a.bb + (long)x * a.bp + (long)y * a.br + a.bo + l; \
        const long pt = (long)n * a.pn + (long)(b * 16 + l - a.l0) * a.pc + (x * a.y + y) * a.z; \
        for (int z = 0; z < a.z; z++) \
            BODY \
    }
#define LAYOUT_WG WG1
#else
#define LAYOUT(BODY) \
    const int i = GROUP() * 64 + LOCAL(), z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x, \
              nb = (a.l0 + a.c + 15) / 16, b = i / a.z / a.y / a.x % nb, n = i / a.z / a.y / a.x / nb; \
    if (n >= a.n) \
        return; \
    const int l1 = min(16, a.l0 + a.c - b * 16); \
    for (int l = b ? 0 : a.l0; l < l1; l++) { \
        const int at = n * a.bn + b * a.bb + x * a.bp + y * a.br + a.bo + l; \
        const int pt = n * a.pn + (b * 16 + l - a.l0) * a.pc + (x * a.y + y) * a.z; \
        BODY \
    }
#define LAYOUT_WG WG64
#endif

__kernel LAYOUT_WG void to_plain(GC(float) src, G(float) dst, struct a_layout a)
{
    src += a.off[0];
    dst += a.off[1];
    if (a.accum) {
        LAYOUT(dst[pt + z] += src[at + z * 16];)
    } else {
        LAYOUT(dst[pt + z] = src[at + z * 16];)
    }
}

__kernel LAYOUT_WG void to_blocked(GC(float) src, G(float) dst, struct a_layout a)
{
    src += a.off[0];
    dst += a.off[1];
    if (a.accum) {
        LAYOUT(dst[at + z * 16] += src[pt + z];)
    } else {
        LAYOUT(dst[at + z * 16] = src[pt + z];)
    }
}

/* pool_fwd: dst[o] = max of src over the window kx x 2 x 2 at (kx, 2, 2) o; NaN wins.
 * pool_bwd: per window, dx of the first maximum in the order x, y, z (+)= dy, of the others (+)= 0; voxels of
 * windows that reach past the end (+)= 0. V is a float16 in fat kernels, a work-item then walks a row of z; a
 * float4 in simt kernels, one work-item each. */
#ifdef PV_FAT
#define V float16
#define VI int16
#define POOL_WG WG1
#define POOL_START \
    const int g = GROUP(), y = g % a.y, x = g / a.y % a.x, u = g / a.y / a.x, q = 0; \
    if (u >= a.units) \
        return;
#define POOL_Z for (int z = 0; z < a.z; z++)
#else
#define V float4
#define VI int4
#define POOL_WG WG64
#define POOL_START \
    const int i = GROUP() * 64 + LOCAL(), q = i % 4 * 4, z = i / 4 % a.z, y = i / 4 / a.z % a.y, \
              x = i / 4 / a.z / a.y % a.x, u = i / 4 / a.z / a.y / a.x; \
    if (u >= a.units) \
        return;
#define POOL_Z
#endif
#define AT(p) (*(__global const V *)(p))
#define PUT(p) (*(__global V *)(p))

__kernel POOL_WG void pool_fwd(GC(float) src, G(float) dst, struct a_pool a)
{
    POOL_START
    src += a.off[0] + a.so + (long)u * a.su + (long)(x * a.kx) * a.sp + (long)(2 * y) * a.sr + q;
    dst += a.off[1] + a.dd + (long)u * a.du + (long)x * a.dp + (long)y * a.dr + q;
    POOL_Z {
        V m = AT(src + z * 32);
        for (int k = 1; k < 4 * a.kx; k++) {
            const V v = AT(src + (k >> 2) * a.sp + (k >> 1 & 1) * a.sr + z * 32 + (k & 1) * 16);
            m = select(m, v, (v > m) | (v != v));
        }
        PUT(dst + z * 16) = m;
    }
}

__kernel POOL_WG void pool_bwd(GC(float) src, GC(float) dy, G(float) dx, struct a_pool a)
{
    POOL_START
    const long at = (long)u * a.su + (long)(x * a.kx) * a.sp + (long)(2 * y) * a.sr + q;
    src += a.off[0] + a.so + at;
    dx += a.off[2] + a.go + at;
    dy += a.off[1] + a.dd + (long)u * a.du + (long)x * a.dp + (long)y * a.dr + q;
    POOL_Z {
        V g = (V)(0.0f);
        VI best = (VI)(0);
        if (x < a.ox && y < a.oy && z < a.oz) {
            V m = AT(src + z * 32);
            g = AT(dy + z * 16);
            for (int k = 1; k < 4 * a.kx; k++) {
                const V v = AT(src + (k >> 2) * a.sp + (k >> 1 & 1) * a.sr + z * 32 + (k & 1) * 16);
                const VI more = (v > m) | (v != v);
                m = select(m, v, more);
                best = select(best, (VI)(k), more);
            }
        }
        for (int k = 0; k < 4 * a.kx; k++) {
            if (x * a.kx + (k >> 2) >= a.ix || 2 * y + (k >> 1 & 1) >= a.iy || 2 * z + (k & 1) >= a.iz)
                continue;
            G(float) d = dx + (k >> 2) * a.sp + (k >> 1 & 1) * a.sr + z * 32 + (k & 1) * 16;
            const V v = select((V)(0.0f), g, best == (VI)(k));
            PUT(d) = a.accum ? AT(d) + v : v;
        }
    }
}
