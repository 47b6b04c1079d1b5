// SPDX-License-Identifier: Apache-2.0
// Crop, flip, rotate and resize in one pass; formulas, shapes and work-items as in kernels_cl/gather.cl.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/base.glsl"
#include "ops/args/gather.h"

WG64
#ifdef ENTRY_gather_copy
BUF_RI(0, src)
BUF_R(1, plans)
BUF_WI(2, dst)
#else
BUF_R(0, src)
BUF_R(1, plans)
BUF_W(2, dst)
#endif
ARGS(a_gather)

int plan;       // where the plan starts

int get(int i)
{
    return int(plans[plan + i]);
}

int border_at(int p, int n, int border)
{
    if (p >= 0 && p < n)
        return p;
    if (border == GP_BORDER_VALUE)
        return -1;
    if (border == GP_BORDER_REPLICATE || n == 1)
        return clamp(p, 0, n - 1);
    int period = 2 * n - 2, q = p < 0 ? period - 1 - (-p - 1) % period : p % period;
    return q < n ? q : period - q;
}

// Base voxel and fraction along axis i of the input for voxel v of the scaled volume; false: value outside.
bool place(int i, ivec2 v, int size, int taps, out int base, out float f)
{
    int num, den = 131072, angle = get(GP_ANGLE), scaled = get(GP_SCALED + i);
    if (angle != 0) {
        num = (size - 1) * 65536 + get(GP_MATRIX + 2 * i) * (2 * v.x + 1 - get(GP_SCALED)) +
              get(GP_MATRIX + 2 * i + 1) * (2 * v.y + 1 - get(GP_SCALED + 1));
        if (a.border == GP_BORDER_VALUE && (num < 0 || num > (size - 1) * 131072))
            return false;
        if (taps == 1)
            num += 65536;
    } else if (taps == 1) {
        num = v[i] * size;
        den = scaled;
    } else {
        num = (2 * v[i] + 1) * size - scaled;
        den = 2 * scaled;
    }
    base = num >= 0 ? num / den : -((den - 1 - num) / den);
    f = float(num - base * den) / float(den);
    return true;
}

float tap(int k, int taps, float f)
{
    float g = 1.0 - f;
    if (taps == 2)
        return k == 0 ? g : f;
    return k == 0 ? -0.75 * f * g * g : k == 1 ? (1.25 * f - 2.25) * f * f + 1.0
           : k == 2 ? (1.25 * g - 2.25) * g * g + 1.0 : -0.75 * g * f * f;
}

void main()
{
    int i = GROUP() * 64 + LOCAL(), z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x;
    int c = i / a.z / a.y / a.x % a.c, n = i / a.z / a.y / a.x / a.c;
    if (n >= a.n)
        return;
    plan = OFF(1) + (a.p0 + n) * GP_SIZE;
    int s = OFF(0) + get(GP_SAMPLE) * a.sn + c * a.sc;
    int d = OFF(2) + n * a.dn + c * a.dc + (x * a.y + y) * a.z + z;
#ifdef ENTRY_gather_copy
    int value = a.fill, taps = 1;
#else
    float value = intBitsToFloat(a.fill);
    int taps = a.taps;
#endif
    int px = border_at(a.x0 + x + get(GP_FIRST), get(GP_DIM), a.border);
    int py = border_at(y + get(GP_FIRST + 1), get(GP_DIM + 1), a.border);
    int pz = border_at(z + get(GP_FIRST + 2), get(GP_DIM + 2), a.border);
    if (px >= 0 && py >= 0 && pz >= 0) {
        ivec2 v = ivec2(get(GP_IP) * px + get(GP_IP + 1) * py + get(GP_IP + 2),
                        get(GP_JP) * px + get(GP_JP + 1) * py + get(GP_JP + 2));
        int bx = 0, by = 0, inner = GP_BORDER_REPLICATE;
        float fx = 0.0, fy = 0.0;
        if (get(GP_ANGLE) != 0 && a.border == GP_BORDER_REFLECT)
            inner = GP_BORDER_REFLECT;
        if (place(0, v, a.w, taps, bx, fx) && place(1, v, a.h, taps, by, fy)) {
            s += get(GP_KP) * pz + get(GP_KP + 1);
#ifdef ENTRY_gather_copy
            value = src[s + (border_at(bx, a.w, inner) * a.h + border_at(by, a.h, inner)) * a.d];
#else
            value = 0.0;
            int lead = taps == 4 ? 1 : 0;
            for (int ix = 0; ix < taps; ix++)
                for (int iy = 0; iy < taps; iy++) {
                    int at = (border_at(bx + ix - lead, a.w, inner) * a.h + border_at(by + iy - lead, a.h, inner)) *
                             a.d;
                    value += tap(ix, taps, fx) * tap(iy, taps, fy) * src[s + at];
                }
#endif
        }
    }
    dst[d] = value;
}
