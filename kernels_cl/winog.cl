/* SPDX-License-Identifier: Apache-2.0
 * Transforms of Winograd's F(2x2x2, 3x3x3) for 3x3x3 convolutions of stride 1 and pad 1 (simt); the products between
 * them are winog_gemm.cl. Along each axis, with d four inputs, g three weights, m = (B d)(G g):
 *   B d = d0 - d2, d1 + d2, d2 - d1, d1 - d3;  G g = g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2;
 *   y0 = m0 + m1 + m2, y1 = m1 - m2 - m3
 * (Lavin and Gray 2016, arXiv 1509.09308, nested over x, y, z). Frequency f = (fx * 4 + fy) * 4 + fz. Tiles reach one
 * voxel beyond odd sides: those inputs are taken from the border, which is zero, those outputs are not stored. */
#include "common/base.h"
#include "ops/args/winog.h"

#ifdef PV_SIMT

/* Tile t of the launch: sample n, first output x, y, z. */
#define TILE(t) \
    const int at = a.first + (t), n = at / a.tiles, z = at % a.tz * 2, y = at / a.tz % a.ty * 2; \
    const int x = at % a.tiles / a.tz / a.ty * 2;

/* winog_in: v[f][c / 8][tile][c % 8] = B (x, y, z) of map [n][nb][..][16], whose stored voxel (-1, -1, -1) of tile 0 is
 * at s0. A work-item makes 16 frequencies of 4 channels of a tile. Groups: 4 fx * (items / 64), neighbours share their
 * inputs. */
__kernel WG64 void winog_in(GC(float) map, G(float) v, struct a_winog a)
{
    const int fx = GROUP() % 4, i = GROUP() / 4 * 64 + LOCAL(), q = i % 4, t = i / 4 % a.count, c = i / 4 / a.count;
    if (c >= a.nb)
        return;
    TILE(t)
    const int step = a.nb * a.count * 16, first = fx == 0 ? 0 : fx == 2 ? 2 : 1, other = fx == 3 ? 3 : fx == 2 ? 1 : 2;
    const float sign = fx == 1 ? 1.0f : -1.0f;
    map += a.off[0] + a.s0 + n * a.sn + c * a.sb + q * 4;
    GC(float) p = map + (x + first) * a.sp;             /* within the border: at most plane x + 2 */
    GC(float) o = map + min(x + other, a.x + 1) * a.sp;
    float4 d[16], e[16];
    UNROLL for (int h = 0; h < 4; h++)
        UNROLL for (int j = 0; j < 4; j++) {
            const int from = min(y + h, a.y + 1) * a.sr + min(z + j, a.z + 1) * 16;
            d[h * 4 + j] = fma((float4)(sign), LD4(o + from), LD4(p + from));
        }
    UNROLL for (int j = 0; j < 4; j++) {
        e[j] = d[j] - d[8 + j];
        e[4 + j] = d[4 + j] + d[8 + j];
        e[8 + j] = d[8 + j] - d[4 + j];
        e[12 + j] = d[4 + j] - d[12 + j];
    }
    v += a.off[1] + (long)fx * 16 * step + ((c * 2 + q / 2) * a.count + t) * 8 + q % 2 * 4;
    UNROLL for (int h = 0; h < 4; h++) {
        G(float) to = v + (long)h * 4 * step;
        ST4(to) = e[h * 4] - e[h * 4 + 2];
        ST4(to + step) = e[h * 4 + 1] + e[h * 4 + 2];
        ST4(to + 2 * step) = e[h * 4 + 2] - e[h * 4 + 1];
        ST4(to + 3 * step) = e[h * 4 + 1] - e[h * 4 + 3];
    }
}

/* winog_out: map[n][nb][..][16] = bias[nb][16] + y of m[f][nb][tile][16], or accum: map + y; voxel (0, 0, 0) of tile 0
 * is at s0. A work-item makes 8 outputs of 4 channels. */
__kernel WG64 void winog_out(GC(float) m, GC(float) bias, G(float) map, struct a_winog a)
{
    const int i = GROUP() * 64 + LOCAL(), q = i % 4, t = i / 4 % a.count, k = i / 4 / a.count;
    if (k >= a.nb)
        return;
    TILE(t)
    const int step = a.nb * a.count * 16;
    m += a.off[0] + (k * a.count + t) * 16 + q * 4;
    float4 s[8];                                        /* [x][y][z] */
    UNROLL for (int j = 0; j < 8; j++)
        s[j] = (float4)(0.0f);
    NOUNROLL for (int fx = 0; fx < 4; fx++) {
        float4 p[4];                                    /* [y][z] */
        UNROLL for (int j = 0; j < 4; j++)
            p[j] = (float4)(0.0f);
        UNROLL for (int fy = 0; fy < 4; fy++) {
            GC(float) from = m + (long)(fx * 4 + fy) * 4 * step;
            const float4 m0 = LD4(from), m1 = LD4(from + step), m2 = LD4(from + 2 * step), m3 = LD4(from + 3 * step);
            const float4 z0 = m0 + m1 + m2, z1 = m1 - m2 - m3;
            if (fy < 3) {
                p[0] += z0;
                p[1] += z1;
            }
            if (fy == 1) {
                p[2] = z0;
                p[3] = z1;
            } else if (fy > 1) {
                p[2] -= z0;
                p[3] -= z1;
            }
        }
        const float x0 = fx < 3 ? 1.0f : 0.0f, x1 = fx == 0 ? 0.0f : fx == 1 ? 1.0f : -1.0f;
        UNROLL for (int j = 0; j < 4; j++) {
            s[j] = fma((float4)(x0), p[j], s[j]);
            s[4 + j] = fma((float4)(x1), p[j], s[4 + j]);
        }
    }
    float4 b = (float4)(0.0f);
    if (a.bias)
        b = LD4(bias + a.off[1] + k * 16 + q * 4);
    map += a.off[2] + a.s0 + n * a.sn + k * a.sb + q * 4;
    UNROLL for (int j = 0; j < 8; j++) {
        const int px = x + j / 4, py = y + j / 2 % 2, pz = z + j % 2;
        G(float) d = map + px * a.sp + py * a.sr + pz * 16;
        if (px < a.x && py < a.y && pz < a.z)
            ST4(d) = s[j] + (a.accum ? LD4(d) : b);
    }
}

/* winog_dy: v[f][k / 8][tile][k % 8] = A (x, y, z) of map [n][nb][..][16], A d = d0, d0 + d1, d0 - d1, -d1, the
 * transpose of what winog_out does; voxel (0, 0, 0) of tile 0 is at s0. Work-items and groups as winog_in. */
__kernel WG64 void winog_dy(GC(float) map, G(float) v, struct a_winog a)
{
    const int fx = GROUP() % 4, i = GROUP() / 4 * 64 + LOCAL(), q = i % 4, t = i / 4 % a.count, k = i / 4 / a.count;
    if (k >= a.nb)
        return;
    TILE(t)
    const int step = a.nb * a.count * 16;
    const float x0 = fx < 3 ? 1.0f : 0.0f, x1 = fx == 0 ? 0.0f : fx == 1 ? 1.0f : -1.0f;
    map += a.off[0] + a.s0 + n * a.sn + k * a.sb + x * a.sp + y * a.sr + z * 16 + q * 4;    /* the next may be border */
    float4 d[4];                                        /* [y][z] */
    UNROLL for (int j = 0; j < 4; j++) {
        GC(float) from = map + j / 2 * a.sr + j % 2 * 16;
        d[j] = fma((float4)(x1), LD4(from + a.sp), x0 * LD4(from));
    }
    v += a.off[1] + (long)fx * 16 * step + ((k * 2 + q / 2) * a.count + t) * 8 + q % 2 * 4;
    UNROLL for (int h = 0; h < 4; h++) {
        const float4 d0 = h == 0 ? d[0] : h == 1 ? d[0] + d[2] : h == 2 ? d[0] - d[2] : -d[2];
        const float4 d1 = h == 0 ? d[1] : h == 1 ? d[1] + d[3] : h == 2 ? d[1] - d[3] : -d[3];
        G(float) to = v + (long)h * 4 * step;
        ST4(to) = d0;
        ST4(to + step) = d0 + d1;
        ST4(to + 2 * step) = d0 - d1;
        ST4(to + 3 * step) = -d1;
    }
}

/* winog_dw: dw[k][c][27] (+)= G' (sum over slabs, in order, of part[slab][f][k][c]), with G' u = u0 + (u1 + u2) / 2,
 * (u1 - u2) / 2, (u1 + u2) / 2 + u3 along each axis. A work-item makes the 27 taps of a pair of channels. */
__kernel WG64 void winog_dw(GC(float) part, G(float) dw, struct a_winog_s a)
{
    const int i = GROUP() * 64 + LOCAL(), k = i / a.nc, c = i % a.nc, step = a.kb * a.cb * 256;
    if (k >= a.nk)
        return;
    part += a.off[0] + k * a.cb * 16 + c;
    float w[27];
    UNROLL for (int j = 0; j < 27; j++)
        w[j] = 0.0f;
    NOUNROLL for (int fx = 0; fx < 4; fx++) {
        float p[12], r[9];                              /* [fy][tap z], [tap y][tap z] */
        UNROLL for (int fy = 0; fy < 4; fy++) {
            float u[4];
            UNROLL for (int fz = 0; fz < 4; fz++) {
                GC(float) from = part + (long)((fx * 4 + fy) * 4 + fz) * step;
                u[fz] = from[0];
                NOUNROLL for (int s = 1; s < a.slabs; s++)
                    u[fz] += from[(long)s * 64 * step];
            }
            p[fy * 3] = u[0] + (u[1] + u[2]) * 0.5f;
            p[fy * 3 + 1] = (u[1] - u[2]) * 0.5f;
            p[fy * 3 + 2] = (u[1] + u[2]) * 0.5f + u[3];
        }
        UNROLL for (int j = 0; j < 3; j++) {
            r[j] = p[j] + (p[3 + j] + p[6 + j]) * 0.5f;
            r[3 + j] = (p[3 + j] - p[6 + j]) * 0.5f;
            r[6 + j] = (p[3 + j] + p[6 + j]) * 0.5f + p[9 + j];
        }
        const float x0 = fx == 0 ? 1.0f : fx == 3 ? 0.0f : 0.5f, x2 = fx == 3 ? 1.0f : fx == 0 ? 0.0f : 0.5f;
        const float x1 = fx == 1 ? 0.5f : fx == 2 ? -0.5f : 0.0f;
        UNROLL for (int j = 0; j < 9; j++) {
            w[j] = fma(x0, r[j], w[j]);
            w[9 + j] = fma(x1, r[j], w[9 + j]);
            w[18 + j] = fma(x2, r[j], w[18 + j]);
        }
    }
    dw += a.off[1] + (long)i * 27;
    UNROLL for (int j = 0; j < 27; j++)
        dw[j] = a.accum ? dw[j] + w[j] : w[j];
}

/* winog_weights: u = [kb][16] biases (in the launch of x0 = 0), then [f][kb][cb][16 c][16 k] = G w from packed
 * [kb]{[16 biases], [cb][27][16 c][16 k]}. A work-item makes 16 frequencies of 4 outputs of an input channel. */
__kernel WG64 void winog_weights(GC(float) packed, G(float) u, struct a_winog_w a)
{
    const int i = GROUP() * 64 + LOCAL(), pairs = a.kb * a.cb, j = i / 64 % pairs, fx = a.x0 + i / 64 / pairs;
    if (i / 64 / pairs >= a.nx)
        return;
    const int kb = j / a.cb, in = i % 64 * 4, step = pairs * 256;
    packed += a.off[0] + kb * (16 + a.cb * 27 * 256);
    u += a.off[1];
    if (a.x0 == 0) {
        if (fx == 0 && j % a.cb == 0 && in < 16)
            ST4(u + kb * 16 + in) = LD4(packed + in);
        u += a.kb * 16;
    }
    packed += 16 + j % a.cb * 27 * 256 + in;
    u += (long)(fx - a.x0) * 16 * step + j * 256 + in;
    /* along x: weights of the three taps */
    const float g0 = fx == 0 ? 1.0f : fx == 3 ? 0.0f : 0.5f, g2 = fx == 3 ? 1.0f : fx == 0 ? 0.0f : 0.5f;
    const float g1 = fx == 1 ? 0.5f : fx == 2 ? -0.5f : 0.0f;
    float4 p[9], r[12];
    UNROLL for (int k = 0; k < 9; k++)
        p[k] = g0 * LD4(packed + k * 256) + g1 * LD4(packed + (9 + k) * 256) + g2 * LD4(packed + (18 + k) * 256);
    UNROLL for (int k = 0; k < 3; k++) {
        const float4 s = (p[k] + p[6 + k]) * 0.5f, h = p[3 + k] * 0.5f;
        r[k] = p[k];
        r[3 + k] = s + h;
        r[6 + k] = s - h;
        r[9 + k] = p[6 + k];
    }
    UNROLL for (int k = 0; k < 4; k++) {
        const float4 s = (r[k * 3] + r[k * 3 + 2]) * 0.5f, h = r[k * 3 + 1] * 0.5f;
        G(float) to = u + (long)k * 4 * step;
        ST4(to) = r[k * 3];
        ST4(to + step) = s + h;
        ST4(to + 2 * step) = s - h;
        ST4(to + 3 * step) = r[k * 3 + 2];
    }
}

#endif
