/* SPDX-License-Identifier: Apache-2.0
 * Bodies of resize.cl for one layout. Fat: a work-item does a row of z, numbered (unit * x + plane) * y + row.
 * Simt: a work-item does E floats of one voxel. */
#define GET(p) (*(__global const TF *)(p))
#define PUT(p) (*(__global TF *)(p))
#define GETI(p) (*(__global const TI *)(p))
#define PUTI(p) (*(__global TI *)(p))

#ifdef PV_FAT
#define WHO \
    const int g = GROUP(), y = g % a.y, x = g / a.y % a.x, u = g / a.y / a.x; \
    if (u >= a.units) \
        return; \
    src += a.off[0] + a.so + (long)u * a.su; \
    dst += a.off[1] + a.dd + (long)u * a.du + (long)x * a.dp + (long)y * a.dr;
#define WG_OF WG1
/* Steps along z: input voxel q and remainder rem of output z in parts of den. */
#define NEXT \
    rem += step; \
    while (rem >= den) { \
        rem -= den; \
        q++; \
    }
#else
#define WHO \
    const int i = GROUP() * 64 + LOCAL(), v = i / (W / E), z = v % a.z, y = v / a.z % a.y, \
              x = v / a.z / a.y % a.x, u = v / a.z / a.y / a.x; \
    if (u >= a.units) \
        return; \
    src += a.off[0] + a.so + u * a.su + i % (W / E) * E; \
    dst += a.off[1] + a.dd + u * a.du + x * a.dp + y * a.dr + z * W + i % (W / E) * E;
#define WG_OF WG64
#endif

/* lin_fwd: dst[o] = sum over x, y, z of weight(o, i) * src[i]. */
__kernel WG_OF void NAME(lin_fwd)(GC(float) src, G(float) dst, struct a_resize a)
{
    WHO
    const int nx = RS_NUM(a.x0 + x, a.ix, a.ox, a.align), dx = RS_DEN(a.ox, a.align);
    const int ny = RS_NUM(y, a.iy, a.oy, a.align), dy = RS_DEN(a.oy, a.align);
    const int x0 = nx / dx, y0 = ny / dy, x1 = min(x0 + 1, a.ix - 1), y1 = min(y0 + 1, a.iy - 1);
    const float fx = (float)(nx % dx) / (float)dx, fy = (float)(ny % dy) / (float)dy;
    const float w0 = (1.0f - fx) * (1.0f - fy), w1 = (1.0f - fx) * fy, w2 = fx * (1.0f - fy), w3 = fx * fy;
    GC(float) r0 = src + (long)(x0 - a.s0) * a.sp + (long)y0 * a.sr;
    GC(float) r1 = src + (long)(x0 - a.s0) * a.sp + (long)y1 * a.sr;
    GC(float) r2 = src + (long)(x1 - a.s0) * a.sp + (long)y0 * a.sr;
    GC(float) r3 = src + (long)(x1 - a.s0) * a.sp + (long)y1 * a.sr;
#define ROW(k) (w0 * GET(r0 + (k) * W) + w1 * GET(r1 + (k) * W) + w2 * GET(r2 + (k) * W) + w3 * GET(r3 + (k) * W))
#ifdef PV_FAT
    const int den = RS_DEN(a.oz, a.align), step = RS_STEP(a.iz, a.align);
    int q = 0, rem = RS_RAW(0, a.iz, a.oz, a.align) - step;
    NEXT
    int cur = q;
    TF c0 = ROW(q), c1 = ROW(min(q + 1, a.iz - 1));
    for (int z = 0; z < a.z; z++) {
        if (q != cur) {
            c0 = q == cur + 1 ? c1 : ROW(q);
            c1 = ROW(min(q + 1, a.iz - 1));
            cur = q;
        }
        const float f = rem > 0 ? (float)rem / (float)den : 0.0f;
        PUT(dst + z * W) = (1.0f - f) * c0 + f * c1;
        NEXT
    }
#else
    const int nz = RS_NUM(z, a.iz, a.oz, a.align), dz = RS_DEN(a.oz, a.align), z0 = nz / dz;
    const float f = (float)(nz % dz) / (float)dz;
    PUT(dst) = (1.0f - f) * ROW(z0) + f * ROW(min(z0 + 1, a.iz - 1));
#endif
#undef ROW
}

/* lin_bwd: dst[i] (+)= sum over the outputs o that read i of weight(o, i) * src[o]. */
__kernel WG_OF void NAME(lin_bwd)(GC(float) src, G(float) dst, struct a_resize a)
{
    WHO
    const int gx = a.x0 + x, lx = RS_LO(gx, a.ix, a.ox, a.align), hx = RS_HI(gx, a.ix, a.ox, a.align);
    const int ly = RS_LO(y, a.iy, a.oy, a.align), hy = RS_HI(y, a.iy, a.oy, a.align);
#ifdef PV_FAT
    /* four outputs along z at a time, summed over x and y; then spread to input q and q + 1, whose sums are carried
     * along: s0 belongs to input cur, s1 to the next */
    const int den = RS_DEN(a.oz, a.align), step = RS_STEP(a.iz, a.align);
    int q = 0, rem = RS_RAW(0, a.iz, a.oz, a.align) - step, cur = 0;
    TF s0 = (TF)(0.0f), s1 = s0;
    NEXT
    for (int z0 = 0; z0 < a.oz; z0 += 4) {
        TF t[4];
        UNROLL for (int k = 0; k < 4; k++)
            t[k] = (TF)(0.0f);
        for (int ox = lx; ox < hx; ox++) {
            const float wx = rs_weight(ox, gx, a.ix, a.ox, a.align);
            for (int oy = ly; oy < hy; oy++) {
                const float w = wx * rs_weight(oy, y, a.iy, a.oy, a.align);
                GC(float) s = src + (long)(ox - a.s0) * a.sp + (long)oy * a.sr + z0 * W;
                UNROLL for (int k = 0; k < 4; k++)
                    if (z0 + k < a.oz)
                        t[k] += w * GET(s + k * W);
            }
        }
        UNROLL for (int k = 0; k < 4; k++)
            if (z0 + k < a.oz) {
                for (; cur < q; cur++) {
                    PUT(dst + cur * W) = a.accum ? GET(dst + cur * W) + s0 : s0;
                    s0 = s1;
                    s1 = (TF)(0.0f);
                }
                const float f = rem > 0 && q + 1 < a.iz ? (float)rem / (float)den : 0.0f;
                s0 += (1.0f - f) * t[k];
                s1 += f * t[k];
                NEXT
            }
    }
    for (; cur < a.iz; cur++) {
        PUT(dst + cur * W) = a.accum ? GET(dst + cur * W) + s0 : s0;
        s0 = s1;
        s1 = (TF)(0.0f);
    }
#else
    const int lz = RS_LO(z, a.iz, a.oz, a.align), hz = RS_HI(z, a.iz, a.oz, a.align);
    TF sum = (TF)(0.0f);
    for (int ox = lx; ox < hx; ox++) {
        const float wx = rs_weight(ox, gx, a.ix, a.ox, a.align);
        for (int oy = ly; oy < hy; oy++) {
            const float wy = wx * rs_weight(oy, y, a.iy, a.oy, a.align);
            GC(float) s = src + (ox - a.s0) * a.sp + oy * a.sr;
            for (int oz = lz; oz < hz; oz++)
                sum += wy * rs_weight(oz, z, a.iz, a.oz, a.align) * GET(s + oz * W);
        }
    }
    PUT(dst) = a.accum ? GET(dst) + sum : sum;
#endif
}

/* near_fwd: dst[o] = src[RS_NEAR(o)], 32-bit words of any type. */
__kernel WG_OF void NAME(near_fwd)(GC(int) src, G(int) dst, struct a_resize a)
{
    WHO
    src += (long)(RS_NEAR(a.x0 + x, a.ix, a.ox) - a.s0) * a.sp + (long)RS_NEAR(y, a.iy, a.oy) * a.sr;
#ifdef PV_FAT
    const int den = a.oz, step = a.iz;
    int q = 0, rem = 0;
    for (int z = 0; z < a.z; z++) {
        PUTI(dst + z * W) = GETI(src + q * W);
        NEXT
    }
#else
    PUTI(dst) = GETI(src + RS_NEAR(z, a.iz, a.oz) * W);
#endif
}

/* near_bwd: dst[i] (+)= sum over the outputs that read i of src[o]. */
__kernel WG_OF void NAME(near_bwd)(GC(float) src, G(float) dst, struct a_resize a)
{
    WHO
    const int gx = a.x0 + x, lx = RS_NLO(gx, a.ix, a.ox), hx = RS_NLO(gx + 1, a.ix, a.ox);
    const int ly = RS_NLO(y, a.iy, a.oy), hy = RS_NLO(y + 1, a.iy, a.oy);
#ifdef PV_FAT
    for (int z = 0; z < a.z; z++) {
        G(float) d = dst + z * W;
#else
    {
        G(float) d = dst;
#endif
        const int lz = RS_NLO(z, a.iz, a.oz), hz = RS_NLO(z + 1, a.iz, a.oz);
        TF sum = (TF)(0.0f);
        for (int ox = lx; ox < hx; ox++)
            for (int oy = ly; oy < hy; oy++)
                for (int oz = lz; oz < hz; oz++)
                    sum += GET(src + (long)(ox - a.s0) * a.sp + (long)oy * a.sr + oz * W);
        PUT(d) = a.accum ? GET(d) + sum : sum;
    }
}

#undef GET
#undef PUT
#undef GETI
#undef PUTI
#undef WHO
#undef WG_OF
#undef NEXT
