/* SPDX-License-Identifier: Apache-2.0
 * Surface distances. Per direction: in each x-plane the squared distance to the nearest surface voxel of that
 * plane (steps along z, then the lower envelope of parabolas along y); along x every asking voxel looks at
 * the planes around it, nearest first, until no farther plane can be nearer. Surfaces are few voxels and
 * mostly close to each other, so that this last step costs little; at worst it is one look per plane. */
#include "eval/surface.h"

#include <math.h>
#include <string.h>

#include "base/base.h"

enum { ON_A = PV_IN_A << 2, ON_B = PV_IN_B << 2 };

/* ---- surfaces ---- */

/* Sets ON_A and ON_B. A neighbour along an axis without erosion is the voxel itself. */
static void mark_surfaces(uint8_t *mask, const int s[3], const bool eroded[3])
{
    size_t row = (size_t)s[2], plane = row * (size_t)s[1];
    uint8_t *nothing = pv_zalloc(row);
    for (int x = 0; x < s[0]; x++) {
        for (int y = 0; y < s[1]; y++) {
            uint8_t *m = mask + (size_t)x * plane + (size_t)y * row;
            const uint8_t *xm = !eroded[0] ? m : x > 0 ? m - plane : nothing;
            const uint8_t *xp = !eroded[0] ? m : x < s[0] - 1 ? m + plane : nothing;
            const uint8_t *ym = !eroded[1] ? m : y > 0 ? m - row : nothing;
            const uint8_t *yp = !eroded[1] ? m : y < s[1] - 1 ? m + row : nothing;
            for (size_t z = 0; z < row; z++) {
                unsigned v = m[z] & (PV_IN_A | PV_IN_B);
                unsigned inner = xm[z] & xp[z] & ym[z] & yp[z];
                if (eroded[2])
                    inner &= z > 0 && z + 1 < row ? m[z - 1] & m[z + 1] : 0;
                m[z] = (uint8_t)(v | (v & ~inner) << 2);
            }
        }
    }
    pv_free(nothing);
}

/* ---- distances within one x-plane ---- */

struct planes {
    const int *s;
    const double *spacing;
    double *g;              /* [x][y][z] squared distance within the plane; unset where not `has` */
    bool *has;              /* [x] the plane has a surface voxel */
    /* scratch for one plane */
    double *f;              /* [y][z] squared distance within the row */
    int *rows;              /* the rows that have a surface voxel, ascending */
    int *hull;              /* rows of the envelope's parabolas */
    double *from;           /* where, in rows, each of them begins to be lowest */
};

/* f[z] = squared distance to the nearest voxel of the row with `bit`; false if there is none. */
static bool row_distances(const uint8_t *m, int n, unsigned bit, double step, double *f)
{
    int last = -1;
    for (int z = 0; z < n; z++) {
        if (m[z] & bit)
            last = z;
        f[z] = last < 0 ? HUGE_VAL : z - last;
    }
    if (last < 0)
        return false;
    for (int z = n - 1; z >= 0; z--) {
        if (m[z] & bit)
            last = z;
        double k = step * (last >= z ? fmin(f[z], last - z) : f[z]);
        f[z] = k * k;
    }
    return true;
}

/* Column z of the plane: g[y] = min over rows q of f[q] + (step (y - q))^2. */
static void column_envelope(const struct planes *p, int num_rows, int z, double *g)
{
    int len = p->s[1], width = p->s[2], top = -1;
    double step = p->spacing[1], step2 = step * step;
    for (int i = 0; i < num_rows; i++) {
        int q = p->rows[i];
        double start = -HUGE_VAL, fq = p->f[(size_t)q * (size_t)width + (size_t)z];
        while (top >= 0) {
            int v = p->hull[top];
            double fv = p->f[(size_t)v * (size_t)width + (size_t)z];
            start = 0.5 * ((fq - fv) / (step2 * (q - v)) + (q + v));
            if (start > p->from[top])
                break;
            start = -HUGE_VAL;
            top--;
        }
        top++;
        p->hull[top] = q;
        p->from[top] = start;
    }
    int k = 0;
    for (int y = 0; y < len; y++) {
        while (k < top && p->from[k + 1] < y)
            k++;
        int q = p->hull[k];
        double d = step * (y - q);
        g[(size_t)y * (size_t)width + (size_t)z] = p->f[(size_t)q * (size_t)width + (size_t)z] + d * d;
    }
}

static void plane_distances(struct planes *p, const uint8_t *mask, unsigned bit)
{
    size_t row = (size_t)p->s[2], plane = row * (size_t)p->s[1];
    for (int x = 0; x < p->s[0]; x++) {
        const uint8_t *m = mask + (size_t)x * plane;
        int num_rows = 0;
        for (int y = 0; y < p->s[1]; y++)
            if (row_distances(m + (size_t)y * row, p->s[2], bit, p->spacing[2], p->f + (size_t)y * row))
                p->rows[num_rows++] = y;
        p->has[x] = num_rows > 0;
        for (int z = 0; num_rows > 0 && z < p->s[2]; z++)
            column_envelope(p, num_rows, z, p->g + (size_t)x * plane);
    }
}

/* ---- across planes ---- */

static double nearest(const struct planes *p, int x, size_t at)
{
    size_t plane = (size_t)p->s[1] * (size_t)p->s[2];
    double best = HUGE_VAL;
    for (int k = 0; k < p->s[0]; k++) {
        double d = k * p->spacing[0], d2 = d * d;
        if (d2 >= best)
            break;
        if (x >= k && p->has[x - k])
            best = fmin(best, d2 + p->g[(size_t)(x - k) * plane + at]);
        if (x + k < p->s[0] && p->has[x + k])
            best = fmin(best, d2 + p->g[(size_t)(x + k) * plane + at]);
    }
    return sqrt(best);
}

static size_t count_bit(const uint8_t *mask, size_t n, unsigned bit)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += (mask[i] & bit) != 0;
    return count;
}

/* Distances of the voxels with bit `asking` to those with bit `site`. */
static double *directed(struct planes *p, const uint8_t *mask, unsigned asking, unsigned site, size_t *num)
{
    size_t plane = (size_t)p->s[1] * (size_t)p->s[2];
    *num = count_bit(mask, (size_t)p->s[0] * plane, asking);
    double *d = pv_alloc_big(*num * sizeof *d + 1, "surface distances");
    if (!d)
        return NULL;
    plane_distances(p, mask, site);
    size_t k = 0;
    for (int x = 0; x < p->s[0]; x++) {
        const uint8_t *m = mask + (size_t)x * plane;
        for (size_t i = 0; i < plane; i++)
            if (m[i] & asking)
                d[k++] = nearest(p, x, i);
    }
    return d;
}

bool pv_surface_distances(uint8_t *mask, const int s[3], const double spacing[3], const bool eroded[3],
                          struct pv_surface_dist *out)
{
    *out = (struct pv_surface_dist){0};
    size_t plane = (size_t)s[1] * (size_t)s[2];
    struct planes p = {.s = s, .spacing = spacing};
    p.g = pv_alloc_big((size_t)s[0] * plane * sizeof *p.g, "the distance transform of a volume");
    if (!p.g)
        return false;
    p.has = pv_array(bool, s[0]);
    p.f = pv_array(double, plane);
    p.rows = pv_array(int, s[1]);
    p.hull = pv_array(int, s[1]);
    p.from = pv_array(double, s[1]);
    mark_surfaces(mask, s, eroded);
    out->ab = directed(&p, mask, ON_A, ON_B, &out->num_ab);
    out->ba = out->ab ? directed(&p, mask, ON_B, ON_A, &out->num_ba) : NULL;
    bool ok = out->ba != NULL;
    if (!ok)
        pv_surface_dist_free(out);
    pv_free_big(p.g);
    pv_free(p.has);
    pv_free(p.f);
    pv_free(p.rows);
    pv_free(p.hull);
    pv_free(p.from);
    return ok;
}

void pv_surface_dist_free(struct pv_surface_dist *d)
{
    if (!d)
        return;
    pv_free_big(d->ab);
    pv_free_big(d->ba);
    *d = (struct pv_surface_dist){0};
}
