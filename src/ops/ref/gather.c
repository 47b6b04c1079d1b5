/* SPDX-License-Identifier: Apache-2.0
 * References of gathering, boxes, masks and noise. */
#include <math.h>

#include "base/rng.h"
#include "ops/gather_impl.h"

/* Index within [0, n), or -1 for the value outside. */
static int border_at(int p, int n, enum pv_gather_border border)
{
    if (p >= 0 && p < n)
        return p;
    if (border == PV_BORDER_VALUE)
        return -1;
    if (border == PV_BORDER_REPLICATE || n == 1)
        return p < 0 ? 0 : n - 1;
    while (p < 0 || p >= n)
        p = p < 0 ? -p : 2 * (n - 1) - p;
    return p;
}

static double keys(double t)
{
    const double a = -0.75;
    t = fabs(t);
    return t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

/* The scaled volume's voxel that output voxel o shows; false: the value outside. */
static bool undo(const struct pv_gather_params *p, const int scaled[3], const int o[3],
                 enum pv_gather_border border, int v[3])
{
    int turns = ((p->rot90 % 4) + 4) % 4, q[3];
    for (int i = 0; i < 3; i++) {
        int n = i < 2 && turns % 2 ? scaled[1 - i] : scaled[i];
        q[i] = border_at(o[i] + p->first[i], n, border);
        if (q[i] < 0)
            return false;
        if (p->flip[i])
            q[i] = n - 1 - q[i];
    }
    v[2] = q[2];
    switch (turns) {
    case 0: v[0] = q[0], v[1] = q[1]; break;
    case 1: v[0] = q[1], v[1] = scaled[1] - 1 - q[0]; break;
    case 2: v[0] = scaled[0] - 1 - q[0], v[1] = scaled[1] - 1 - q[1]; break;
    default: v[0] = scaled[0] - 1 - q[1], v[1] = q[0]; break;
    }
    return true;
}

struct place { int base; double f; };      /* a position: voxel and fraction */

static double interpolate(const double *x, const int in[3], const struct place at[2], int k,
                          enum pv_gather_mode mode, enum pv_gather_border border)
{
    double sum = 0;
    for (int i = -1; i <= 2; i++)
        for (int j = -1; j <= 2; j++) {
            double w = mode == PV_GATHER_CUBIC ? keys(i - at[0].f) * keys(j - at[1].f)
                                               : fmax(0, 1 - fabs(i - at[0].f)) * fmax(0, 1 - fabs(j - at[1].f));
            int a = border_at(at[0].base + i, in[0], border), b = border_at(at[1].base + j, in[1], border);
            if (w != 0)
                sum += w * x[((int64_t)a * in[1] + b) * in[2] + k];
        }
    return sum;
}

static double one(const double *x, const int in[3], const struct pv_gather_params *p, const int o[3],
                  enum pv_gather_mode mode, enum pv_gather_border border, double fill)
{
    int scaled[] = {p->scaled[0] ? p->scaled[0] : in[0], p->scaled[1] ? p->scaled[1] : in[1], in[2]}, v[3];
    if (!undo(p, scaled, o, border, v))
        return fill;
    struct place at[2];
    double pos[2];
    if (p->angle == 0) {
        for (int i = 0; i < 2; i++) {
            pos[i] = mode == PV_GATHER_NEAREST ? (double)((int64_t)v[i] * in[i] / scaled[i])
                                               : (v[i] + 0.5) * in[i] / scaled[i] - 0.5;
        }
        border = PV_BORDER_REPLICATE;
    } else {
        int m[4];
        gather_matrix(p, in, m);
        double u = 2.0 * v[0] + 1 - scaled[0], w = 2.0 * v[1] + 1 - scaled[1];
        for (int i = 0; i < 2; i++) {
            pos[i] = (in[i] - 1) / 2.0 + (m[2 * i] * u + m[2 * i + 1] * w) / 131072;
            if (border == PV_BORDER_VALUE && (pos[i] < 0 || pos[i] > in[i] - 1))
                return fill;
            if (mode == PV_GATHER_NEAREST)
                pos[i] = floor(pos[i] + 0.5);
        }
        if (border == PV_BORDER_VALUE)
            border = PV_BORDER_REPLICATE;       /* neighbours of a position inside */
    }
    for (int i = 0; i < 2; i++) {
        at[i].base = (int)floor(pos[i]);
        at[i].f = pos[i] - at[i].base;
    }
    return interpolate(x, in, at, v[2], mode == PV_GATHER_NEAREST ? PV_GATHER_LINEAR : mode, border);
}

void ref_gather(const double *x, double *y, int num, int c, const int in[3], const int out[3],
                const struct pv_gather_params *p, enum pv_gather_mode mode, enum pv_gather_border border,
                float fill)
{
    int64_t vi = (int64_t)in[0] * in[1] * in[2], at = 0;
    int o[3];
    for (int n = 0; n < num; n++)
        for (int k = 0; k < c; k++)
            for (o[0] = 0; o[0] < out[0]; o[0]++)
                for (o[1] = 0; o[1] < out[1]; o[1]++)
                    for (o[2] = 0; o[2] < out[2]; o[2]++)
                        y[at++] = one(x + ((int64_t)p[n].sample * c + k) * vi, in, &p[n], o, mode, border, fill);
}

static bool inside(const struct pv_box *b, int x, int y, int z)
{
    return x >= b->lo[0] && x < b->hi[0] && y >= b->lo[1] && y < b->hi[1] && z >= b->lo[2] && z < b->hi[2];
}

void ref_box_mix(const double *a, const double *b, double *y, int n, int c, const int s[3],
                 const struct pv_box *boxes)
{
    int64_t voxels = (int64_t)s[0] * s[1] * s[2];
    for (int64_t i = 0; i < voxels * c * n; i++) {
        int k = (int)(i / voxels / c);
        int64_t v = i % voxels;
        bool in = inside(&boxes[k], (int)(v / s[2] / s[1]), (int)(v / s[2] % s[1]), (int)(v % s[2]));
        y[i] = in ? b[i + (boxes[k].from - k) * c * voxels] : a[i];
    }
}

void ref_box_mask(double *y, int n, const int s[3], const struct pv_box *boxes, float in, float out)
{
    for (int k = 0; k < n; k++)
        for (int i = 0; i < s[0]; i++)
            for (int j = 0; j < s[1]; j++)
                for (int l = 0; l < s[2]; l++)
                    *y++ = inside(&boxes[k], i, j, l) ? in : out;
}

static void draw(uint32_t r[4], const struct augment_key *key, int n, uint32_t index)
{
    const uint32_t ctr[] = {key->step, key->stream, key->sample0 + (uint32_t)n, index};
    pv_philox(r, ctr, key->key);
}

void ref_cube_mask(const double *x, double *y, int n, int c, const int s[3], int size, uint32_t below, float fill,
                   const struct augment_key *key)
{
    int cy = pv_ceil_div(s[1], size), cz = pv_ceil_div(s[2], size);
    int64_t voxels = (int64_t)s[0] * s[1] * s[2];
    for (int64_t i = 0; i < voxels * c * n; i++) {
        int vz = (int)(i % s[2]), vy = (int)(i / s[2] % s[1]), vx = (int)(i / s[2] / s[1] % s[0]);
        uint32_t r[4];
        draw(r, key, (int)(i / voxels / c), (uint32_t)((vx / size * cy + vy / size) * cz + vz / size));
        y[i] = r[0] >> 8 < below ? fill : x[i];
    }
}

void ref_noise(const double *x, double *y, int n, int64_t len, float sigma, float clip,
               const struct augment_key *key)
{
    for (int64_t i = 0; i < len * n; i++) {
        int64_t e = i % len;
        int which = (int)(e / 16 % 4);
        uint32_t r[4];
        draw(r, key, (int)(i / len), (uint32_t)(e / 64 * 16 + e % 16));
        double radius = sqrt(-2 * log(((r[which / 2 * 2] >> 8) + 1) * 0x1p-24));
        double angle = 6.283185307179586476925 * 0x1p-24 * (r[which / 2 * 2 + 1] >> 8);
        double g = sigma * radius * (which % 2 ? sin(angle) : cos(angle));
        y[i] = x[i] + fmax(-(double)clip, fmin(clip, g));
    }
}
