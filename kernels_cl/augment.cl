/* SPDX-License-Identifier: Apache-2.0
 * Boxes, cube masks and noise on PLAIN tensors. */
#include "common/base.h"
#include "common/normal.h"
#include "common/philox.h"
#include "ops/args/augment.h"

/* Fat: a work-item does a row of z, numbered (unit * x + plane) * y + row; simt: one voxel. */
#ifdef PV_FAT
#define WHO \
    const int g = GROUP(), y = g % a.y, x = g / a.y % a.x, u = g / a.y / a.x; \
    if (u >= a.units) \
        return;
#define WG_OF WG1
#define EACH_Z(from, to) for (int z = from; z < to; z++)
#else
#define WHO \
    const int i = GROUP() * 64 + LOCAL(), z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x, \
              u = i / a.z / a.y / a.x; \
    if (u >= a.units) \
        return;
#define WG_OF WG64
#define EACH_Z(from, to) if (z >= from && z < to)
#endif
#define ROW_AT(us) ((long)u * (us) + ((long)x * a.y + y) * a.z)

/* The z range of the box in this row: [b0, b1), empty if the row misses it. */
#define BOX_RANGE(k) \
    GC(float) box = boxes + (k) * BOX_SIZE; \
    const int gx = a.x0 + x; \
    const bool hit = gx >= (int)box[1] && gx < (int)box[4] && y >= (int)box[2] && y < (int)box[5]; \
    const int b0 = hit ? clamp((int)box[3], 0, a.z) : 0, b1 = hit ? clamp((int)box[6], b0, a.z) : 0;

/* box_mix: y = inside the sample's box ? b : a; words of any type. */
__kernel WG_OF void box_mix(GC(int) src, GC(int) other, GC(float) boxes, G(int) dst, struct a_box a)
{
    WHO
    const int unit = a.u0 + u;
    boxes += a.off[2];
    BOX_RANGE(unit / a.c)
    GC(int) p = src + a.off[0] + ROW_AT(a.us);
    GC(int) q = other + a.off[1] + (long)(int)box[0] * a.bn + (long)(unit % a.c) * a.bc + ((long)x * a.y + y) * a.z;
    dst += a.off[3] + ROW_AT(a.us);
    EACH_Z(0, b0)
        dst[z] = p[z];
    EACH_Z(b0, b1)
        dst[z] = q[z];
    EACH_Z(b1, a.z)
        dst[z] = p[z];
}

/* box_mask: dst [n][x][y][z] = inside the sample's box ? inside : outside. */
__kernel WG_OF void box_mask(GC(float) boxes, G(float) dst, struct a_box a)
{
    WHO
    boxes += a.off[0];
    BOX_RANGE(a.u0 + u)
    dst += a.off[1] + ROW_AT(a.us);
    EACH_Z(0, a.z)
        dst[z] = z >= b0 && z < b1 ? a.inside : a.outside;
}

/* cube_mask: dst = fill in masked cubes, src elsewhere. */
__kernel WG_OF void cube_mask(GC(float) src, G(float) dst, struct a_cube a)
{
    WHO
    src += a.off[0] + ROW_AT(a.us);
    dst += a.off[1] + ROW_AT(a.us);
    const uint cube = ((a.x0 + x) / a.size * a.cy + y / a.size) * a.cz;
    const uint4 ctr = (uint4)(a.step, a.stream, a.sample0 + (a.u0 + u) / a.c, cube);
#ifdef PV_FAT
    for (int k = 0; k < a.cz; k++) {
        const bool masked = philox(ctr + (uint4)(0, 0, 0, k), a.key0, a.key1).x >> 8 < a.below;
        const int end = min((k + 1) * a.size, a.z);
        if (masked) {
            EACH_Z(k * a.size, end)
                dst[z] = a.fill;
        } else {
            EACH_Z(k * a.size, end)
                dst[z] = src[z];
        }
    }
#else
    const bool masked = philox(ctr + (uint4)(0, 0, 0, z / a.size), a.key0, a.key1).x >> 8 < a.below;
    dst[z] = masked ? a.fill : src[z];
#endif
}

/* noise: dst = src + clamp(sigma g, -clip, clip); see src/ops/augment.h for g. Work-items are numbered sample *
 * items + item; each does 1024 elements (fat) or one counter. */
#ifdef PV_FAT
__kernel WG1 void noise(GC(float) src, G(float) dst, struct a_noise a)
{
    const int g = GROUP(), n = g / a.items, from = g % a.items * 1024;
    if (n >= a.n)
        return;
    src += a.off[0] + (long)n * a.sn;
    dst += a.off[1] + (long)n * a.sn;
    const uint4 ctr = (uint4)(a.step, a.stream, a.sample0 + n, 0);
    const uint16 lanes = (uint16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int e = from; e < min(from + 1024, a.len); e += 64) {
        uint16 r[4];
        float16 v[4];
        philox16(r, ctr, (uint16)((a.e0 + e) / 64 * 16) + lanes, a.key0, a.key1);
        normal2x16(r[0], r[1], &v[0], &v[1]);
        normal2x16(r[2], r[3], &v[2], &v[3]);
        if (e + 64 <= a.len) {
            UNROLL for (int k = 0; k < 4; k++)
                vstore16(vload16(k, src + e) + clamp(a.sigma * v[k], -a.clip, a.clip), k, dst + e);
        } else {
            float rest[64];
            for (int k = 0; k < 4; k++)
                vstore16(clamp(a.sigma * v[k], -a.clip, a.clip), k, rest);
            for (int i = 0; e + i < a.len; i++)
                dst[e + i] = src[e + i] + rest[i];
        }
    }
}
#else
__kernel WG64 void noise(GC(float) src, G(float) dst, struct a_noise a)
{
    const int i = GROUP() * 64 + LOCAL(), n = i / a.items, j = i % a.items;
    if (n >= a.n)
        return;
    const uint4 r = philox((uint4)(a.step, a.stream, a.sample0 + n, a.e0 / 64 * 16 + j), a.key0, a.key1);
    float v[4];
    normal2(r.x, r.y, &v[0], &v[1]);
    normal2(r.z, r.w, &v[2], &v[3]);
    src += a.off[0] + n * a.sn;
    dst += a.off[1] + n * a.sn;
    for (int k = 0; k < 4; k++) {
        const int e = j / 16 * 64 + k * 16 + j % 16;
        if (e < a.len)
            dst[e] = src[e] + clamp(a.sigma * v[k], -a.clip, a.clip);
    }
}
#endif
