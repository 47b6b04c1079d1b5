/* SPDX-License-Identifier: Apache-2.0
 * Crop, flip, rotate and resize in one pass over PLAIN tensors, as described at args/gather.h. What happens in the
 * x-y plane is the same for a whole row of z, along which input and output are both contiguous. */
#include "common/base.h"
#include "ops/args/gather.h"

/* Index within [0, n), or -1 for the value outside. */
int border_at(int p, int n, int border);
int border_at(int p, int n, int border)
{
    if (p >= 0 && p < n)
        return p;
    if (border == GP_BORDER_VALUE)
        return -1;
    if (border == GP_BORDER_REPLICATE || n == 1)
        return clamp(p, 0, n - 1);
    const int period = 2 * n - 2, q = (p % period + period) % period;
    return q < n ? q : period - q;
}

/* Taps of output column (x, y) in the input plane: element offsets (without z) and weights; returns how many, 0
 * for the value outside. taps 1: nearest. */
int column(GC(float) plan, int x, int y, const struct a_gather *a, int taps, int *at, float *weight);
int column(GC(float) plan, int x, int y, const struct a_gather *a, int taps, int *at, float *weight)
{
    int m[GP_SIZE];
    UNROLL for (int i = 0; i < GP_SIZE; i++)
        m[i] = (int)plan[i];
    const int px = border_at(x + m[GP_FIRST], m[GP_DIM], a->border);
    const int py = border_at(y + m[GP_FIRST + 1], m[GP_DIM + 1], a->border);
    if (px < 0 || py < 0)
        return 0;
    const int v[2] = {m[GP_IP] * px + m[GP_IP + 1] * py + m[GP_IP + 2],
                      m[GP_JP] * px + m[GP_JP + 1] * py + m[GP_JP + 2]};
    const int size[2] = {a->w, a->h}, step[2] = {a->h * a->d, a->d};
    const int border = m[GP_ANGLE] && a->border == GP_BORDER_REFLECT ? GP_BORDER_REFLECT : GP_BORDER_REPLICATE;
    int at1[2][4];
    float w1[2][4];
    UNROLL for (int i = 0; i < 2; i++) {
        int num, den = 131072;
        if (m[GP_ANGLE]) {
            num = (size[i] - 1) * 65536 + m[GP_MATRIX + 2 * i] * (2 * v[0] + 1 - m[GP_SCALED]) +
                  m[GP_MATRIX + 2 * i + 1] * (2 * v[1] + 1 - m[GP_SCALED + 1]);
            if (a->border == GP_BORDER_VALUE && (num < 0 || num > (size[i] - 1) * 131072))
                return 0;
            if (taps == 1)
                num += 65536;
        } else if (taps == 1) {
            num = v[i] * size[i];
            den = m[GP_SCALED + i];
        } else {
            num = (2 * v[i] + 1) * size[i] - m[GP_SCALED + i];
            den = 2 * m[GP_SCALED + i];
        }
        const int base = num >= 0 ? num / den : -((den - 1 - num) / den);
        const float f = (float)(num - base * den) / (float)den;
        UNROLL for (int k = 0; k < 4; k++) {
            w1[i][k] = 0.0f;
            at1[i][k] = border_at(base + k - (taps == 4), size[i], border) * step[i];
        }
        if (taps == 1) {
            w1[i][0] = 1.0f;
        } else if (taps == 2) {
            w1[i][0] = 1.0f - f;
            w1[i][1] = f;
        } else {
            const float g = 1.0f - f;           /* Keys, a = -0.75, at 1 + f, f, g, 1 + g */
            w1[i][0] = -0.75f * f * g * g;
            w1[i][1] = (1.25f * f - 2.25f) * f * f + 1.0f;
            w1[i][2] = (1.25f * g - 2.25f) * g * g + 1.0f;
            w1[i][3] = -0.75f * g * f * f;
        }
    }
    int n = 0;
    for (int i = 0; i < taps; i++)
        for (int j = 0; j < taps; j++)
            if (w1[0][i] != 0.0f && w1[1][j] != 0.0f) {
                at[n] = at1[0][i] + at1[1][j];
                weight[n++] = w1[0][i] * w1[1][j];
            }
    return n;
}

/* Fat: a work-item does a row of z, numbered ((sample * c + channel) * x + plane) * y + row; simt: one voxel. For z
 * in [z0, z1) the row lies inside the volume and input voxel k0 + dk * (z - z0) is read. */
#ifdef PV_FAT
#define WHO \
    const int g = GROUP(), y = g % a.y, x = g / a.y % a.x, c = g / a.y / a.x % a.c, n = g / a.y / a.x / a.c;
#define WG_OF WG1
#define EACH_Z(from, to) for (int z = from; z < to; z++)
#else
#define WHO \
    const int i = GROUP() * 64 + LOCAL(), z = i % a.z, y = i / a.z % a.y, x = i / a.z / a.y % a.x, \
              c = i / a.z / a.y / a.x % a.c, n = i / a.z / a.y / a.x / a.c;
#define WG_OF WG64
#define EACH_Z(from, to) if (z >= from && z < to)
#endif
#define ROW \
    WHO \
    if (n >= a.n) \
        return; \
    GC(float) plan = plans + a.off[1] + (a.p0 + n) * GP_SIZE; \
    src += a.off[0] + (long)(int)plan[GP_SAMPLE] * a.sn + (long)c * a.sc; \
    dst += a.off[2] + (long)n * a.dn + (long)c * a.dc + ((long)x * a.y + y) * a.z; \
    const int first = (int)plan[GP_FIRST + 2], depth = (int)plan[GP_DIM + 2], dk = (int)plan[GP_KP]; \
    const int z0 = clamp(-first, 0, a.z), z1 = clamp(depth - first, z0, a.z); \
    const int k0 = dk * (z0 + first) + (int)plan[GP_KP + 1]; \
    int at[16]; \
    float weight[16];
#define INPUT_Z(z) (dk * border_at((z) + first, depth, a.border) + (int)plan[GP_KP + 1])

/* gather_copy: words of any type, nearest. */
__kernel WG_OF void gather_copy(GC(int) src, GC(float) plans, G(int) dst, struct a_gather a)
{
    ROW
    if (column(plan, a.x0 + x, y, &a, 1, at, weight) == 0) {
        EACH_Z(0, a.z)
            dst[z] = a.fill;
        return;
    }
    src += at[0];
    GC(int) s = src + k0;
#ifdef PV_FAT
    if (dk == 1) {      /* a loop of its own, so that it becomes vector copies */
        EACH_Z(z0, z1)
            dst[z] = s[z - z0];
    } else
#endif
    {
        EACH_Z(z0, z1)
            dst[z] = s[dk * (z - z0)];
    }
    EACH_Z(0, z0)
        dst[z] = a.border == GP_BORDER_VALUE ? a.fill : src[INPUT_Z(z)];
    EACH_Z(z1, a.z)
        dst[z] = a.border == GP_BORDER_VALUE ? a.fill : src[INPUT_Z(z)];
}

/* gather_mix: linear (taps 2) or cubic (taps 4). */
__kernel WG_OF void gather_mix(GC(float) src, GC(float) plans, G(float) dst, struct a_gather a)
{
    ROW
    const int num = column(plan, a.x0 + x, y, &a, a.taps, at, weight);
    const float fill = as_float(a.fill);
    if (num == 0) {
        EACH_Z(0, a.z)
            dst[z] = fill;
        return;
    }
#ifdef PV_FAT
    for (int t = 0; t < num; t++) {
        const float w = weight[t];
        GC(float) s = src + at[t] + k0;
        if (dk == 1 && t == 0) {
            EACH_Z(z0, z1)
                dst[z] = w * s[z - z0];
        } else if (dk == 1) {
            EACH_Z(z0, z1)
                dst[z] += w * s[z - z0];
        } else if (t == 0) {
            EACH_Z(z0, z1)
                dst[z] = w * s[z0 - z];
        } else {
            EACH_Z(z0, z1)
                dst[z] += w * s[z0 - z];
        }
    }
    for (int z = z0 > 0 ? 0 : z1; z < a.z; z = z + 1 == z0 ? z1 : z + 1) {
#else
    {
#endif
        float sum = fill;
        if (a.border != GP_BORDER_VALUE || (z >= z0 && z < z1)) {
            const int k = INPUT_Z(z);
            sum = 0.0f;
            for (int t = 0; t < num; t++)
                sum += weight[t] * src[at[t] + k];
        }
        dst[z] = sum;
    }
}
