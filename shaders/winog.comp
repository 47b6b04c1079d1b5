// SPDX-License-Identifier: Apache-2.0
// Transforms of Winograd's F(2x2x2, 3x3x3); formulas, shapes and work-items as in kernels_cl/winog.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "common/base.glsl"
#include "ops/args/winog.h"

WG64

#ifdef ENTRY_winog_in
BUF_R4(0, map)
BUF_W4(1, v)
ARGS(a_winog)

void main()
{
    int fx = GROUP() % 4, i = GROUP() / 4 * 64 + LOCAL(), q = i % 4, t = i / 4 % a.count, c = i / 4 / a.count;
    if (c >= a.nb)
        return;
    int at = a.first + t, n = at / a.tiles, z = at % a.tz * 2, y = at / a.tz % a.ty * 2;
    int x = at % a.tiles / a.tz / a.ty * 2;
    int stp = a.nb * a.count * 4, first = fx == 0 ? 0 : fx == 2 ? 2 : 1, other = fx == 3 ? 3 : fx == 2 ? 1 : 2;
    float sgn = fx == 1 ? 1.0 : -1.0;
    int from0 = OFF4(0) + (a.s0 + n * a.sn + c * a.sb) / 4 + q;
    int p = from0 + (x + first) * a.sp / 4;         // within the border: at most plane x + 2
    int o = from0 + min(x + other, a.x + 1) * a.sp / 4;
    vec4 d[16], e[16];
    [[unroll]] for (int h = 0; h < 4; h++)
        [[unroll]] for (int j = 0; j < 4; j++) {
            int from = min(y + h, a.y + 1) * a.sr / 4 + min(z + j, a.z + 1) * 4;
            d[h * 4 + j] = fma(vec4(sgn), map[o + from], map[p + from]);
        }
    [[unroll]] for (int j = 0; j < 4; j++) {
        e[j] = d[j] - d[8 + j];
        e[4 + j] = d[4 + j] + d[8 + j];
        e[8 + j] = d[8 + j] - d[4 + j];
        e[12 + j] = d[4 + j] - d[12 + j];
    }
    int to = OFF4(1) + fx * 16 * stp + ((c * 2 + q / 2) * a.count + t) * 2 + q % 2;
    [[unroll]] for (int h = 0; h < 4; h++) {
        v[to] = e[h * 4] - e[h * 4 + 2];
        v[to + stp] = e[h * 4 + 1] + e[h * 4 + 2];
        v[to + 2 * stp] = e[h * 4 + 2] - e[h * 4 + 1];
        v[to + 3 * stp] = e[h * 4 + 1] - e[h * 4 + 3];
        to += 4 * stp;
    }
}
#endif

#ifdef ENTRY_winog_out
BUF_R4(0, m)
BUF_R4(1, bias)
BUF_X4(2, map)
ARGS(a_winog)

void main()
{
    int i = GROUP() * 64 + LOCAL(), q = i % 4, t = i / 4 % a.count, k = i / 4 / a.count;
    if (k >= a.nb)
        return;
    int at = a.first + t, n = at / a.tiles, z = at % a.tz * 2, y = at / a.tz % a.ty * 2;
    int x = at % a.tiles / a.tz / a.ty * 2;
    int stp = a.nb * a.count * 4, from = OFF4(0) + (k * a.count + t) * 4 + q;
    vec4 s[8];                                      // [x][y][z]
    [[unroll]] for (int j = 0; j < 8; j++)
        s[j] = vec4(0);
    [[dont_unroll]] for (int fx = 0; fx < 4; fx++) {
        vec4 p[4];                                  // [y][z]
        [[unroll]] for (int j = 0; j < 4; j++)
            p[j] = vec4(0);
        [[unroll]] for (int fy = 0; fy < 4; fy++) {
            vec4 m0 = m[from], m1 = m[from + stp], m2 = m[from + 2 * stp], m3 = m[from + 3 * stp];
            vec4 z0 = m0 + m1 + m2, z1 = m1 - m2 - m3;
            from += 4 * stp;
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
        float x0 = fx < 3 ? 1.0 : 0.0, x1 = fx == 0 ? 0.0 : fx == 1 ? 1.0 : -1.0;
        [[unroll]] for (int j = 0; j < 4; j++) {
            s[j] = fma(vec4(x0), p[j], s[j]);
            s[4 + j] = fma(vec4(x1), p[j], s[4 + j]);
        }
    }
    vec4 b = vec4(0);
    if (a.bias != 0)
        b = bias[OFF4(1) + k * 4 + q];
    int to = OFF4(2) + (a.s0 + n * a.sn + k * a.sb) / 4 + q;
    [[unroll]] for (int j = 0; j < 8; j++) {
        int px = x + j / 4, py = y + j / 2 % 2, pz = z + j % 2, d = to + (px * a.sp + py * a.sr) / 4 + pz * 4;
        if (px < a.x && py < a.y && pz < a.z)
            map[d] = s[j] + (a.accum != 0 ? map[d] : b);
    }
}
#endif

#ifdef ENTRY_winog_weights
BUF_R4(0, packed)
BUF_W4(1, u)
ARGS(a_winog_w)

void main()
{
    int i = GROUP() * 64 + LOCAL(), pairs = a.kb * a.cb, j = i / 64 % pairs, fx = a.x0 + i / 64 / pairs;
    if (i / 64 / pairs >= a.nx)
        return;
    int kb = j / a.cb, l = i % 64, stp = pairs * 64, from = OFF4(0) + kb * (4 + a.cb * 27 * 64), to = OFF4(1);
    if (a.x0 == 0) {
        if (fx == 0 && j % a.cb == 0 && l < 4)
            u[to + kb * 4 + l] = packed[from + l];
        to += a.kb * 4;
    }
    from += 4 + j % a.cb * 27 * 64 + l;
    to += (fx - a.x0) * 16 * stp + j * 64 + l;
    // along x: weights of the three taps
    float g0 = fx == 0 ? 1.0 : fx == 3 ? 0.0 : 0.5, g2 = fx == 3 ? 1.0 : fx == 0 ? 0.0 : 0.5;
    float g1 = fx == 1 ? 0.5 : fx == 2 ? -0.5 : 0.0;
    vec4 p[9], r[12];
    [[unroll]] for (int k = 0; k < 9; k++)
        p[k] = g0 * packed[from + k * 64] + g1 * packed[from + (9 + k) * 64] + g2 * packed[from + (18 + k) * 64];
    [[unroll]] for (int k = 0; k < 3; k++) {
        vec4 s = (p[k] + p[6 + k]) * 0.5, h = p[3 + k] * 0.5;
        r[k] = p[k];
        r[3 + k] = s + h;
        r[6 + k] = s - h;
        r[9 + k] = p[6 + k];
    }
    [[unroll]] for (int k = 0; k < 4; k++) {
        vec4 s = (r[k * 3] + r[k * 3 + 2]) * 0.5, h = r[k * 3 + 1] * 0.5;
        u[to] = r[k * 3];
        u[to + stp] = s + h;
        u[to + 2 * stp] = s - h;
        u[to + 3 * stp] = r[k * 3 + 2];
        to += 4 * stp;
    }
}
#endif

#ifdef ENTRY_winog_dy
BUF_R4(0, map)
BUF_W4(1, v)
ARGS(a_winog)

void main()
{
    int fx = GROUP() % 4, i = GROUP() / 4 * 64 + LOCAL(), q = i % 4, t = i / 4 % a.count, k = i / 4 / a.count;
    if (k >= a.nb)
        return;
    int at = a.first + t, n = at / a.tiles, z = at % a.tz * 2, y = at / a.tz % a.ty * 2;
    int x = at % a.tiles / a.tz / a.ty * 2, stp = a.nb * a.count * 4;
    float x0 = fx < 3 ? 1.0 : 0.0, x1 = fx == 0 ? 0.0 : fx == 1 ? 1.0 : -1.0;
    int from0 = OFF4(0) + (a.s0 + n * a.sn + k * a.sb + x * a.sp + y * a.sr) / 4 + z * 4 + q;
    vec4 d[4];                                      // [y][z]; the next voxel may be border
    [[unroll]] for (int j = 0; j < 4; j++) {
        int from = from0 + j / 2 * a.sr / 4 + j % 2 * 4;
        d[j] = fma(vec4(x1), map[from + a.sp / 4], x0 * map[from]);
    }
    int to = OFF4(1) + fx * 16 * stp + ((k * 2 + q / 2) * a.count + t) * 2 + q % 2;
    [[unroll]] for (int h = 0; h < 4; h++) {
        vec4 d0 = h == 0 ? d[0] : h == 1 ? d[0] + d[2] : h == 2 ? d[0] - d[2] : -d[2];
        vec4 d1 = h == 0 ? d[1] : h == 1 ? d[1] + d[3] : h == 2 ? d[1] - d[3] : -d[3];
        v[to] = d0;
        v[to + stp] = d0 + d1;
        v[to + 2 * stp] = d0 - d1;
        v[to + 3 * stp] = -d1;
        to += 4 * stp;
    }
}
#endif

#ifdef ENTRY_winog_dw
BUF_R(0, part)
BUF_X(1, dw)
ARGS(a_winog_s)

void main()
{
    int i = GROUP() * 64 + LOCAL(), k = i / a.nc, c = i % a.nc, stp = a.kb * a.cb * 256;
    if (k >= a.nk)
        return;
    int from = OFF(0) + k * a.cb * 16 + c;
    float w[27];
    [[unroll]] for (int j = 0; j < 27; j++)
        w[j] = 0.0;
    [[dont_unroll]] for (int fx = 0; fx < 4; fx++) {
        float p[12], r[9];                          // [fy][tap z], [tap y][tap z]
        [[unroll]] for (int fy = 0; fy < 4; fy++) {
            float u[4];
            [[unroll]] for (int fz = 0; fz < 4; fz++) {
                u[fz] = part[from];
                for (int s = 1; s < a.slabs; s++)
                    u[fz] += part[from + s * 64 * stp];
                from += stp;
            }
            p[fy * 3] = u[0] + (u[1] + u[2]) * 0.5;
            p[fy * 3 + 1] = (u[1] - u[2]) * 0.5;
            p[fy * 3 + 2] = (u[1] + u[2]) * 0.5 + u[3];
        }
        [[unroll]] for (int j = 0; j < 3; j++) {
            r[j] = p[j] + (p[3 + j] + p[6 + j]) * 0.5;
            r[3 + j] = (p[3 + j] - p[6 + j]) * 0.5;
            r[6 + j] = (p[3 + j] + p[6 + j]) * 0.5 + p[9 + j];
        }
        float x0 = fx == 0 ? 1.0 : fx == 3 ? 0.0 : 0.5, x2 = fx == 3 ? 1.0 : fx == 0 ? 0.0 : 0.5;
        float x1 = fx == 1 ? 0.5 : fx == 2 ? -0.5 : 0.0;
        [[unroll]] for (int j = 0; j < 9; j++) {
            w[j] = fma(x0, r[j], w[j]);
            w[9 + j] = fma(x1, r[j], w[9 + j]);
            w[18 + j] = fma(x2, r[j], w[18 + j]);
        }
    }
    int to = OFF(1) + i * 27;
    [[unroll]] for (int j = 0; j < 27; j++)
        dw[to + j] = a.accum != 0 ? dw[to + j] + w[j] : w[j];
}
#endif
