/* SPDX-License-Identifier: Apache-2.0
 * Normalisation, activation, residual, dropout, skip on BLOCKED maps (ops/norm.h; planes and units: args/norm.h):
 *   v = (x - mean) * scale + bias + residual,  y = (v > 0 ? v : slope v) * keep + skip; the skip may be normalised and
 * activated by a table of its own.
 * table [rows][blocks][scale, bias, mean, rstd][16], one row for batch norm, one per sample for instance norm;
 * lanes beyond c hold zeros, so that spare lanes of y stay zero. part [units of the map][2][16]. */
#include "common/group.h"
#include "common/philox.h"
#include "common/stats.h"
#include "ops/args/norm.h"

/* ---- statistics to tables ---- */

#ifdef PV_SIMT
/* Sum over the 16 strands l / 16 of a work-group of 256, for each lane l % 16; all work-items get it. */
float strands(__local float *sums, float v, int l);
float strands(__local float *sums, float v, int l)
{
    sums[l] = v;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int s = 128; s >= 16; s /= 2) {
        if (l < s)
            sums[l] += sums[l + s];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    v = sums[l % 16];
    barrier(CLK_LOCAL_MEM_FENCE);
    return v;
}
#endif

#define UNITS (((a.x + a.ux - 1) / a.ux) * a.ny * a.nz)     /* of a sample */

/* Where unit j of table row r and block b is in part, and how many voxels it has. */
int part_at(int r, int j, int b, struct a_norm_table a);
int part_at(int r, int j, int b, struct a_norm_table a)
{
    const int per = UNITS;
    return (((r * a.samples + j / per) * a.blocks + b) * per + j % per) * 32;
}

float part_voxels(int j, struct a_norm_table a);
float part_voxels(int j, struct a_norm_table a)
{
    const int x0 = j / a.nz / a.ny % ((a.x + a.ux - 1) / a.ux) * a.ux;
    const int y0 = j / a.nz % a.ny * a.uy, z0 = j % a.nz * a.uz;
    return (float)(min(a.ux, a.x - x0) * min(a.uy, a.y - y0) * min(a.uz, a.z - z0));
}

/* norm_table: part (mean, sum of squared deviations of each unit) -> table, running statistics
 * r = (1 - momentum) r + momentum * batch (unbiased variance); means are summed as deviations from the first unit's.
 * norm_grad_table: part (sum of g, sum of g * xhat) -> dbeta, dgamma, and back [rows][blocks][2][16]:
 * rstd * mean(g * xhat), mean(g). Groups: blocks. */
#ifdef PV_FAT
/* Work-item: a block; four partial sums. */
__kernel WG1 void norm_table(GC(float) part, GC(float) gamma, GC(float) beta, G(float) table, G(float) run_mean,
                             G(float) run_var, struct a_norm_table a)
{
    const int b = get_group_id(0), num = a.samples * UNITS;
    const float total = (float)a.samples * (float)(a.x * a.y * a.z);
    part += a.off[0];
    for (int r = 0; r < a.table_rows; r++) {
        const float16 first = LD16(part + part_at(r, 0, b, a));
        float16 s[4], q[4];
        UNROLL for (int i = 0; i < 4; i++)
            s[i] = q[i] = (float16)(0.0f);
        for (int j = 0; j < num; j += 4)
            UNROLL for (int i = 0; i < 4; i++)
                if (j + i < num)
                    s[i] += part_voxels(j + i, a) * (LD16(part + part_at(r, j + i, b, a)) - first);
        const float16 mean = first + ((s[0] + s[1]) + (s[2] + s[3])) / total;
        for (int j = 0; j < num; j += 4)
            UNROLL for (int i = 0; i < 4; i++)
                if (j + i < num) {
                    GC(float) p = part + part_at(r, j + i, b, a);
                    const float16 d = LD16(p) - mean;
                    q[i] += fma(part_voxels(j + i, a) * d, d, LD16(p + 16));
                }
        const float16 dev = (q[0] + q[1]) + (q[2] + q[3]), rstd = 1.0f / sqrt(dev / total + a.eps);
        float means[16], devs[16], rstds[16];
        vstore16(mean, 0, means);
        vstore16(dev, 0, devs);
        vstore16(rstd, 0, rstds);
        for (int i = 0; i < 16; i++) {
            G(float) t = table + a.off[3] + (r * a.blocks + b) * 64 + i;
            const int c = b * 16 + i;
            if (c >= a.c) {
                t[0] = t[16] = t[32] = t[48] = 0.0f;
                continue;
            }
            t[0] = (a.flags & NORM_GAMMA ? gamma[a.off[1] + c] : 1.0f) * rstds[i];
            t[16] = a.flags & NORM_BETA ? beta[a.off[2] + c] : 0.0f;
            t[32] = means[i];
            t[48] = rstds[i];
            if (a.flags & NORM_RUN_MEAN) {
                G(float) m = run_mean + a.off[4] + c;
                G(float) v = run_var + a.off[5] + c;
                *m = (1.0f - a.momentum) * *m + a.momentum * means[i];
                *v = (1.0f - a.momentum) * *v + a.momentum * (devs[i] / max(total - 1.0f, 1.0f));
            }
        }
    }
}

__kernel WG1 void norm_grad_table(GC(float) part, GC(float) table, G(float) back, G(float) dgamma, G(float) dbeta,
                                  struct a_norm_table a)
{
    const int b = get_group_id(0), num = a.samples * UNITS;
    const float total = (float)a.samples * (float)(a.x * a.y * a.z);
    float16 all_g = (float16)(0.0f), all_h = all_g;
    part += a.off[0];
    for (int r = 0; r < a.table_rows; r++) {
        float16 g[4], h[4];
        UNROLL for (int i = 0; i < 4; i++)
            g[i] = h[i] = (float16)(0.0f);
        for (int j = 0; j < num; j += 4)
            UNROLL for (int i = 0; i < 4; i++)
                if (j + i < num) {
                    GC(float) p = part + part_at(r, j + i, b, a);
                    g[i] += LD16(p);
                    h[i] += LD16(p + 16);
                }
        const float16 gs = (g[0] + g[1]) + (g[2] + g[3]), hs = (h[0] + h[1]) + (h[2] + h[3]);
        all_g += gs;
        all_h += hs;
        G(float) k = back + a.off[2] + (r * a.blocks + b) * 32;
        ST16(k) = LD16(table + a.off[1] + (r * a.blocks + b) * 64 + 48) * (hs / total);
        ST16(k + 16) = gs / total;
    }
    float one_g[16], one_h[16];
    vstore16(all_g, 0, one_g);
    vstore16(all_h, 0, one_h);
    for (int i = 0; i < 16 && b * 16 + i < a.c; i++) {
        if (a.flags & NORM_DGAMMA) {
            G(float) d = dgamma + a.off[3] + b * 16 + i;
            *d = a.flags & NORM_DGAMMA_ADD ? *d + one_h[i] : one_h[i];
        }
        if (a.flags & NORM_DBETA) {
            G(float) d = dbeta + a.off[4] + b * 16 + i;
            *d = a.flags & NORM_DBETA_ADD ? *d + one_g[i] : one_g[i];
        }
    }
}
#else
/* Work-group: a block; strands take units in turn. */
__kernel WG256 void norm_table(GC(float) part, GC(float) gamma, GC(float) beta, G(float) table, G(float) run_mean,
                               G(float) run_var, struct a_norm_table a)
{
    __local float sums[256];
    const int b = get_group_id(0), l = LOCAL(), lane = l % 16, c = b * 16 + lane;
    const int num = a.samples * UNITS;
    const float total = (float)a.samples * (float)(a.x * a.y * a.z);
    part += a.off[0] + lane;
    table += a.off[3] + lane;
    for (int r = 0; r < a.table_rows; r++) {
        const float first = part[part_at(r, 0, b, a)];
        float sum = 0;
        for (int j = l / 16; j < num; j += 16)
            sum += part_voxels(j, a) * (part[part_at(r, j, b, a)] - first);
        const float mean = first + strands(sums, sum, l) / total;
        sum = 0;
        for (int j = l / 16; j < num; j += 16) {
            const int at = part_at(r, j, b, a);
            const float d = part[at] - mean;
            sum += part[at + 16] + part_voxels(j, a) * d * d;
        }
        const float dev = strands(sums, sum, l), rstd = 1.0f / sqrt(dev / total + a.eps);
        if (l < 16) {
            G(float) t = table + (r * a.blocks + b) * 64;
            const float scale = (c < a.c && (a.flags & NORM_GAMMA) ? gamma[a.off[1] + c] : 1.0f) * rstd;
            const float bias = c < a.c && (a.flags & NORM_BETA) ? beta[a.off[2] + c] : 0.0f;
            t[0] = c < a.c ? scale : 0.0f;
            t[16] = bias;
            t[32] = c < a.c ? mean : 0.0f;
            t[48] = c < a.c ? rstd : 0.0f;
            if (c < a.c && (a.flags & NORM_RUN_MEAN)) {
                G(float) m = run_mean + a.off[4] + c;
                G(float) v = run_var + a.off[5] + c;
                *m = (1.0f - a.momentum) * *m + a.momentum * mean;
                *v = (1.0f - a.momentum) * *v + a.momentum * (dev / max(total - 1.0f, 1.0f));
            }
        }
    }
}

__kernel WG256 void norm_grad_table(GC(float) part, GC(float) table, G(float) back, G(float) dgamma, G(float) dbeta,
                                    struct a_norm_table a)
{
    __local float sums[256];
    const int b = get_group_id(0), l = LOCAL(), lane = l % 16, c = b * 16 + lane;
    const int num = a.samples * UNITS;
    const float total = (float)a.samples * (float)(a.x * a.y * a.z);
    float all_g = 0, all_h = 0;
    part += a.off[0] + lane;
    for (int r = 0; r < a.table_rows; r++) {
        float g = 0, h = 0;
        for (int j = l / 16; j < num; j += 16) {
            const int at = part_at(r, j, b, a);
            g += part[at];
            h += part[at + 16];
        }
        g = strands(sums, g, l);
        h = strands(sums, h, l);
        all_g += g;
        all_h += h;
        if (l < 16) {
            G(float) k = back + a.off[2] + (r * a.blocks + b) * 32 + l;
            k[0] = table[a.off[1] + (r * a.blocks + b) * 64 + 48 + l] * (h / total);
            k[16] = g / total;
        }
    }
    if (l < 16 && c < a.c && (a.flags & NORM_DGAMMA)) {
        G(float) d = dgamma + a.off[3] + c;
        *d = a.flags & NORM_DGAMMA_ADD ? *d + all_h : all_h;
    }
    if (l < 16 && c < a.c && (a.flags & NORM_DBETA)) {
        G(float) d = dbeta + a.off[4] + c;
        *d = a.flags & NORM_DBETA_ADD ? *d + all_g : all_g;
    }
}
#endif

#ifdef PV_SIMT
/* Sum over the 16 strands l / 4 of a work-group of 64, for each quad l % 4. */
GROUP_FOLD(group_quads, float4, JOIN_ADD, 4)
#define quads(sums, v) group_quads(v, sums)

/* norm_fold: statistics of larger units, each of fy x fz of part's: fewer for norm_table. Work-group: one of them, of
 * part's units along x; strands of four channels take part's units in turn. Groups: samples * blocks * large units. */
__kernel WG64 void norm_fold(GC(float) part, G(float) out, struct a_norm_fold a)
{
    __local float4 sums[64];
    const int nx = (a.x + a.ux - 1) / a.ux, ny = (a.y + a.uy - 1) / a.uy, nz = (a.z + a.uz - 1) / a.uz;
    const int my = (ny + a.fy - 1) / a.fy, mz = (nz + a.fz - 1) / a.fz, g = GROUP(), l = LOCAL();
    const int x = g / mz / my % nx, y0 = g / mz % my * a.fy, z0 = g % mz * a.fz, b = g / mz / my / nx;
    const bool mine = b < a.samples * a.blocks;
    const int cy = mine ? min(a.fy, ny - y0) : 0, cz = min(a.fz, nz - z0), wx = min(a.ux, a.x - x * a.ux);
    const float total = (float)(wx * min(cy * a.uy, a.y - y0 * a.uy)) * (float)min(cz * a.uz, a.z - z0 * a.uz);
    part += a.off[0] + l % 4 * 4 + (((mine ? b : 0) * nx + x) * ny + y0) * nz * 32 + z0 * 32;
    const float4 first = LD4(part);
    float4 mean = first, sum = (float4)(0.0f);
    for (int squares = 0; squares < 2; squares++) {
        float4 s = (float4)(0.0f);
        for (int j = l / 4; j < cy * cz; j += 16) {
            const int y = j / cz, z = j % cz;
            GC(float) p = part + (y * nz + z) * 32;
            const float n = (float)(wx * min(a.uy, a.y - (y0 + y) * a.uy) * min(a.uz, a.z - (z0 + z) * a.uz));
            const float4 d = LD4(p) - mean;
            s += squares ? LD4(p + 16) + n * d * d : n * d;
        }
        sum = quads(sums, s);
        mean = squares ? mean : first + sum / total;
    }
    if (l < 4 && mine) {
        out += a.off[1] + g * 32 + l * 4;
        ST4(out) = mean;
        ST4(out + 16) = sum;
    }
}
#endif

/* norm_table_eval: table of one row from the running statistics. One lane each. */
__kernel WG64 void norm_table_eval(GC(float) run_mean, GC(float) run_var, GC(float) gamma, GC(float) beta,
                                   G(float) table, struct a_norm_table a)
{
    const int c = GROUP() * 64 + LOCAL();
    if (c >= a.blocks * 16)
        return;
    float scale = 0, bias = 0, mean = 0, rstd = 0;
    if (c < a.c) {
        mean = run_mean[a.off[0] + c];
        rstd = 1.0f / sqrt(run_var[a.off[1] + c] + a.eps);
        scale = (a.flags & NORM_GAMMA ? gamma[a.off[2] + c] : 1.0f) * rstd;
        bias = a.flags & NORM_BETA ? beta[a.off[3] + c] : 0.0f;
    }
    G(float) t = table + a.off[4] + c / 16 * 64 + c % 16;
    t[0] = scale;
    t[16] = bias;
    t[32] = mean;
    t[48] = rstd;
}

/* ---- passes over the maps ---- */

/* norm_stat: part = mean and sum of squared deviations of each unit, summed as deviations from its first voxel.
 * norm_apply: y as above. norm_grad_sum, with g = dy * keep * (v > 0 ? 1 : slope): part = sum of g, sum of
 * g * (x - mean) * rstd of each unit. norm_grad_apply: dres (+)= g,
 * dx (+)= scale * (g - back0 * (x - mean) - back1). Without NORM_SCALE scale is 1, the rest of the table 0. */
struct unit { bool inside; int n, b, x, y0, y1, index, at; };

struct unit unit_of(int g, struct a_norm a);
struct unit unit_of(int g, struct a_norm a)
{
    const int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz;
    const int local_plane = g / a.units, i = g % a.units, q = (a.p0 + local_plane) / xp;
    struct unit u;
    u.x = (a.p0 + local_plane) % xp - a.bx;
    u.inside = local_plane < a.planes && u.x >= 0 && u.x < a.x;
    u.n = q / a.blocks;
    u.b = q % a.blocks;
    u.y0 = i * a.rows;
    u.y1 = min(u.y0 + a.rows, a.y);
    u.index = (q * a.x + u.x) * a.units + i;
    u.at = ((local_plane * yp + u.y0 + a.by) * zp + a.bz) * 16;
    return u;
}

#ifdef PV_FAT
#define ACT(v, yes, no) select(no, yes, (v) > (float16)(0.0f))

/* Factors of 4 voxels in a row from voxel number `voxel` on: 0 or keep_scale. */
void keep_tile(float16 *m, uint voxel, struct unit u, struct a_norm a);
void keep_tile(float16 *m, uint voxel, struct unit u, struct a_norm a)
{
    uint16 r[4];
    const uint16 t = (uint16)(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const uint16 k = (uint16)(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
    philox16(r, (uint4)(a.step, a.stream, a.sample0 + (uint)u.n, 0),
             (t + voxel) * (uint)a.quads + k + (uint)u.b * 4, a.key0, a.key1);
    float16 f[4];
    UNROLL for (int i = 0; i < 4; i++)
        f[i] = select((float16)(0.0f), (float16)(a.keep_scale), r[i] < (uint16)(a.keep));
    m[0] = (float16)(f[0].s0, f[1].s0, f[2].s0, f[3].s0, f[0].s1, f[1].s1, f[2].s1, f[3].s1,
                     f[0].s2, f[1].s2, f[2].s2, f[3].s2, f[0].s3, f[1].s3, f[2].s3, f[3].s3);
    m[1] = (float16)(f[0].s4, f[1].s4, f[2].s4, f[3].s4, f[0].s5, f[1].s5, f[2].s5, f[3].s5,
                     f[0].s6, f[1].s6, f[2].s6, f[3].s6, f[0].s7, f[1].s7, f[2].s7, f[3].s7);
    m[2] = (float16)(f[0].s8, f[1].s8, f[2].s8, f[3].s8, f[0].s9, f[1].s9, f[2].s9, f[3].s9,
                     f[0].sa, f[1].sa, f[2].sa, f[3].sa, f[0].sb, f[1].sb, f[2].sb, f[3].sb);
    m[3] = (float16)(f[0].sc, f[1].sc, f[2].sc, f[3].sc, f[0].sd, f[1].sd, f[2].sd, f[3].sd,
                     f[0].se, f[1].se, f[2].se, f[3].se, f[0].sf, f[1].sf, f[2].sf, f[3].sf);
}

/* Factors of the whole unit: those of the maps (counted as voxel 0), or 1. */
void keep_unit(float16 *m, struct unit u, struct a_norm a);
void keep_unit(float16 *m, struct unit u, struct a_norm a)
{
    m[0] = (float16)(1.0f);
    if (a.flags & NORM_DROP_CHANNEL)
        keep_tile(m, 0, u, a);
    m[1] = m[2] = m[3] = m[0];
}

#define TABLE(k) LD16(table + a.off[1] + ((a.row * u.n * a.blocks) + u.b) * 64 + (k) * 16)

/* Work-item: a unit. Groups: planes * units. */
__kernel WG1 void norm_stat(GC(float) x, G(float) part, struct a_norm a)
{
    const struct unit u = unit_of(GROUP(), a);
    if (!u.inside)
        return;
    x += a.off[0] + u.at;
    const float16 first = LD16(x);
    float16 s[4], q[4];
    UNROLL for (int t = 0; t < 4; t++)
        s[t] = q[t] = (float16)(0.0f);
    for (int y = u.y0; y < u.y1; y++, x += (a.z + 2 * a.bz) * 16) {
        int z = 0;
        for (; z + 4 <= a.z; z += 4)
            UNROLL for (int t = 0; t < 4; t++) {
                const float16 d = LD16(x + (z + t) * 16) - first;
                s[t] += d;
                q[t] = fma(d, d, q[t]);
            }
        for (; z < a.z; z++) {
            const float16 d = LD16(x + z * 16) - first;
            s[0] += d;
            q[0] = fma(d, d, q[0]);
        }
    }
    const float16 sum = (s[0] + s[1]) + (s[2] + s[3]), mean = sum / (float)((u.y1 - u.y0) * a.z);
    part += a.off[1] + u.index * 32;
    ST16(part) = first + mean;
    ST16(part + 16) = fmax((q[0] + q[1]) + (q[2] + q[3]) - sum * mean, (float16)(0.0f));
}

#define SKIP_TABLE(k) LD16(skip_table + a.off[4] + ((a.skip_row * u.n * a.blocks) + u.b) * 64 + (k) * 16)

__kernel WG1 void norm_apply(GC(float) x, GC(float) table, GC(float) res, GC(float) skip, GC(float) skip_table,
                             G(float) y, struct a_norm a)
{
    const struct unit u = unit_of(GROUP(), a);
    if (!u.inside)
        return;
    const int row = (a.z + 2 * a.bz) * 16;
    float16 scale = (float16)(1.0f), bias = (float16)(0.0f), mean = bias, m[4];
    float16 scale2 = scale, bias2 = bias, mean2 = bias;
    if (a.flags & NORM_SCALE) {
        scale = TABLE(0);
        bias = TABLE(1);
        mean = TABLE(2);
    }
    if (a.flags & NORM_SKIP_SCALE) {
        scale2 = SKIP_TABLE(0);
        bias2 = SKIP_TABLE(1);
        mean2 = SKIP_TABLE(2);
    }
    x += a.off[0] + u.at;
    y += a.off[5] + u.at;
    res += a.flags & NORM_RES ? a.off[2] + u.at : 0;
    skip += a.flags & NORM_SKIP ? a.off[3] + u.at : 0;
    keep_unit(m, u, a);
#define ROWS(TAIL, STORE) \
    for (int j = u.y0; j < u.y1; j++, x += row, y += row, res += row, skip += row) \
        for (int z = 0; z < a.z; z++) { \
            float16 v = fma(LD16(x + z * 16) - mean, scale, bias); \
            TAIL \
            STORE(y + z * 16, v); \
        }
#define PUT_NEAR(p, v) ST16(p) = (v)
#define ACT_ONLY v = ACT(v, v, v * a.slope) * m[0];
#define WITH_SKIP { \
        const float16 s = fma(LD16(skip + z * 16) - mean2, scale2, bias2); \
        v = ACT(v, v, v * a.slope) * m[0] + ACT(s, s, s * a.skip_slope); \
    }
    if (!(a.flags & (NORM_RES | NORM_SKIP | NORM_DROP_ELEMENT))) {
        if (a.flags & NORM_STREAM)
            ROWS(ACT_ONLY, STORE_PAST)
        else
            ROWS(ACT_ONLY, PUT_NEAR)
        return;
    }
    if (a.flags & NORM_SKIP_SCALE && !(a.flags & (NORM_RES | NORM_DROP_ELEMENT))) {
        if (a.flags & NORM_STREAM)
            ROWS(WITH_SKIP, STORE_PAST)
        else
            ROWS(WITH_SKIP, PUT_NEAR)
        return;
    }
    for (int j = u.y0; j < u.y1; j++, x += row, y += row, res += row, skip += row)
        for (int z = 0; z < a.z; z += 4) {
            if (a.flags & NORM_DROP_ELEMENT)
                keep_tile(m, (uint)((u.x * a.y + j) * a.z + z), u, a);
            UNROLL for (int t = 0; t < 4; t++)
                if (z + t < a.z) {
                    const int i = (z + t) * 16;
                    float16 v = fma(LD16(x + i) - mean, scale, bias);
                    if (a.flags & NORM_RES)
                        v += LD16(res + i);
                    v = ACT(v, v, v * a.slope) * m[t];
                    if (a.flags & NORM_SKIP_SCALE) {
                        const float16 s = fma(LD16(skip + i) - mean2, scale2, bias2);
                        v += ACT(s, s, s * a.skip_slope);
                    } else if (a.flags & NORM_SKIP) {
                        v += LD16(skip + i);
                    }
                    ST16(y + i) = v;
                }
        }
}

__kernel WG1 void norm_grad_sum(GC(float) dy, GC(float) table, GC(float) x, GC(float) res, G(float) part,
                                struct a_norm a)
{
    const struct unit u = unit_of(GROUP(), a);
    if (!u.inside)
        return;
    const int row = (a.z + 2 * a.bz) * 16;
    const float16 scale = TABLE(0), bias = TABLE(1), mean = TABLE(2), rstd = TABLE(3);
    float16 m[4], s = (float16)(0.0f), q = s;
    x += a.off[2] + u.at;
    dy += a.off[0] + u.at;
    res += a.flags & NORM_RES ? a.off[3] + u.at : 0;
    keep_unit(m, u, a);
    for (int j = u.y0; j < u.y1; j++, x += row, dy += row, res += row)
        for (int z = 0; z < a.z; z += 4) {
            if (a.flags & NORM_DROP_ELEMENT)
                keep_tile(m, (uint)((u.x * a.y + j) * a.z + z), u, a);
            UNROLL for (int t = 0; t < 4; t++)
                if (z + t < a.z) {
                    const int i = (z + t) * 16;
                    const float16 e = LD16(x + i) - mean, d = LD16(dy + i) * m[t];
                    float16 v = fma(e, scale, bias);
                    if (a.flags & NORM_RES)
                        v += LD16(res + i);
                    const float16 g = ACT(v, d, d * a.slope);
                    s += g;
                    q = fma(g, e, q);
                }
        }
    part += a.off[4] + u.index * 32;
    ST16(part) = s;
    ST16(part + 16) = q * rstd;
}

__kernel WG1 void norm_grad_apply(GC(float) dy, GC(float) table, GC(float) x, GC(float) res, GC(float) back,
                                  G(float) dx, G(float) dres, struct a_norm a)
{
    const struct unit u = unit_of(GROUP(), a);
    if (!u.inside)
        return;
    const int row = (a.z + 2 * a.bz) * 16;
    float16 scale = (float16)(1.0f), bias = (float16)(0.0f), mean = bias, k0 = bias, k1 = bias, m[4];
    if (a.flags & NORM_SCALE) {
        scale = TABLE(0);
        bias = TABLE(1);
        mean = TABLE(2);
    }
    if (a.flags & NORM_BATCH_STATS) {
        k0 = LD16(back + a.off[4] + ((a.row * u.n * a.blocks) + u.b) * 32);
        k1 = LD16(back + a.off[4] + ((a.row * u.n * a.blocks) + u.b) * 32 + 16);
    }
    dy += a.flags & NORM_IN_PLACE ? 0 : a.off[0] + u.at;
    x += a.flags & NORM_X ? a.off[2] + u.at : 0;
    res += a.flags & NORM_RES ? a.off[3] + u.at : 0;
    dx += a.off[5] + u.at;
    dres += a.flags & NORM_DRES ? a.off[6] + u.at : 0;
    keep_unit(m, u, a);
    for (int j = u.y0; j < u.y1; j++, x += row, dy += row, res += row, dx += row, dres += row)
        for (int z = 0; z < a.z; z += 4) {
            if (a.flags & NORM_DROP_ELEMENT)
                keep_tile(m, (uint)((u.x * a.y + j) * a.z + z), u, a);
            UNROLL for (int t = 0; t < 4; t++)
                if (z + t < a.z) {
                    const int i = (z + t) * 16;
                    const float16 e = a.flags & NORM_X ? LD16(x + i) - mean : (float16)(0.0f);
                    const float16 d = (a.flags & NORM_IN_PLACE ? LD16(dx + i) : LD16(dy + i)) * m[t];
                    float16 v = fma(e, scale, bias);
                    if (a.flags & NORM_RES)
                        v += LD16(res + i);
                    const float16 g = ACT(v, d, d * a.slope);
                    if (a.flags & NORM_DRES)
                        ST16(dres + i) = a.flags & NORM_DRES_ADD ? LD16(dres + i) + g : g;
                    if (a.flags & NORM_DX) {
                        const float16 w = fma(-e, k0, g - k1) * scale;
                        ST16(dx + i) = a.flags & NORM_DX_ADD ? LD16(dx + i) + w : w;
                    }
                }
        }
}

#else
#define TABLE(k) LD4(table + a.off[1] + ((a.row * u.n * a.blocks) + u.b) * 64 + (k) * 16 + quad * 4)
#define ACT(v, yes, no) select(no, yes, (v) > (float4)(0.0f))

/* Factors of the four channels `quad` of a voxel: 0 or keep_scale, or 1 without dropout. */
float4 keep_quad(int quad, int voxel, struct unit u, struct a_norm a);
float4 keep_quad(int quad, int voxel, struct unit u, struct a_norm a)
{
    if (!(a.flags & (NORM_DROP_CHANNEL | NORM_DROP_ELEMENT)))
        return (float4)(1.0f);
    const uint i = (uint)(a.flags & NORM_DROP_ELEMENT ? voxel : 0) * (uint)a.quads + (uint)(u.b * 4 + quad);
    const uint4 r = philox((uint4)(a.step, a.stream, a.sample0 + (uint)u.n, i), a.key0, a.key1);
    return select((float4)(0.0f), (float4)(a.keep_scale), r < (uint4)(a.keep));
}

/* Work-group: a unit; work-item: quad l % 4, voxels l / 4, l / 4 + 16, ... Groups: planes * units. */
__kernel WG64 void norm_stat(GC(float) x, G(float) part, struct a_norm a)
{
    __local float4 sums[64];
    const struct unit u = unit_of(GROUP(), a);
    const int l = LOCAL(), quad = l % 4, count = u.inside ? (u.y1 - u.y0) * a.z : 0;
    float4 first = (float4)(0.0f), s = first, q = first;
    x += a.off[0] + (u.inside ? u.at : 0) + quad * 4;
    if (count > 0)
        first = LD4(x);
    for (int v = l / 4; v < count; v += 16) {
        const float4 d = LD4(x + (v / a.z * (a.z + 2 * a.bz) + v % a.z) * 16) - first;
        s += d;
        q += d * d;
    }
    s = quads(sums, s);
    q = quads(sums, q);
    if (l < 4 && count > 0) {
        part += a.off[1] + u.index * 32 + quad * 4;
        PUT_STATS(part, first, s, q, count)
    }
}

/* Position of work-item i = ((plane, y, z), quad). */
struct unit item_of(int i, int *quad, int *voxel, struct a_norm a);
struct unit item_of(int i, int *quad, int *voxel, struct a_norm a)
{
    const int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz;
    const int v = i / 4, z = v % a.z, y = v / a.z % a.y, local_plane = v / a.z / a.y;
    const int q = (a.p0 + local_plane) / xp;
    struct unit u;
    u.x = (a.p0 + local_plane) % xp - a.bx;
    u.inside = local_plane < a.planes && u.x >= 0 && u.x < a.x;
    u.n = q / a.blocks;
    u.b = q % a.blocks;
    u.y0 = u.y1 = u.index = 0;
    u.at = ((local_plane * yp + y + a.by) * zp + z + a.bz) * 16 + i % 4 * 4;
    *quad = i % 4;
    *voxel = (u.x * a.y + y) * a.z + z;
    return u;
}

/* Work-item: four channels of a voxel. */
__kernel WG64 void norm_apply(GC(float) x, GC(float) table, GC(float) res, GC(float) skip, GC(float) skip_table,
                              G(float) y, struct a_norm a)
{
    int quad, voxel;
    const struct unit u = item_of(GROUP() * 64 + LOCAL(), &quad, &voxel, a);
    if (!u.inside)
        return;
    float4 v = LD4(x + a.off[0] + u.at);
    if (a.flags & NORM_SCALE)
        v = fma(v - TABLE(2), TABLE(0), TABLE(1));
    if (a.flags & NORM_RES)
        v += LD4(res + a.off[2] + u.at);
    v = ACT(v, v, v * a.slope) * keep_quad(quad, voxel, u, a);
    if (a.flags & NORM_SKIP) {
        float4 s = LD4(skip + a.off[3] + u.at);
        if (a.flags & NORM_SKIP_SCALE) {
            GC(float) t = skip_table + a.off[4] + ((a.skip_row * u.n * a.blocks) + u.b) * 64 + quad * 4;
            s = fma(s - LD4(t + 32), LD4(t), LD4(t + 16));
            s = ACT(s, s, s * a.skip_slope);
        }
        v += s;
    }
    ST4(y + a.off[5] + u.at) = v;
}

/* Work-group and work-items as norm_stat. */
__kernel WG64 void norm_grad_sum(GC(float) dy, GC(float) table, GC(float) x, GC(float) res, G(float) part,
                                 struct a_norm a)
{
    __local float4 sums[64];
    const struct unit u = unit_of(GROUP(), a);
    const int l = LOCAL(), quad = l % 4, count = u.inside ? (u.y1 - u.y0) * a.z : 0;
    float4 s = (float4)(0.0f), q = s, rstd = s;
    if (count > 0) {
        const float4 scale = TABLE(0), bias = TABLE(1), mean = TABLE(2);
        rstd = TABLE(3);
        for (int i = l / 4; i < count; i += 16) {
            const int at = u.at + (i / a.z * (a.z + 2 * a.bz) + i % a.z) * 16 + quad * 4;
            const float4 e = LD4(x + a.off[2] + at) - mean;
            float4 v = fma(e, scale, bias);
            if (a.flags & NORM_RES)
                v += LD4(res + a.off[3] + at);
            const float4 d = LD4(dy + a.off[0] + at) * keep_quad(quad, (u.x * a.y + u.y0) * a.z + i, u, a);
            const float4 g = ACT(v, d, d * a.slope);
            s += g;
            q += g * e;
        }
    }
    s = quads(sums, s);
    q = quads(sums, q);
    if (l < 4 && count > 0) {
        part += a.off[4] + u.index * 32 + quad * 4;
        ST4(part) = s;
        ST4(part + 16) = q * rstd;
    }
}

/* Work-group and work-items as norm_stat. NORM_SUMS: sums [units of the map][16] = of dx as it is stored. */
__kernel WG64 void norm_grad_apply(GC(float) dy, GC(float) table, GC(float) x, GC(float) res, GC(float) back,
                                   G(float) dx, G(float) dres, G(float) sums, struct a_norm a)
{
    __local float4 tmp[64];
    const struct unit u = unit_of(GROUP(), a);
    const int l = LOCAL(), quad = l % 4, count = u.inside ? (u.y1 - u.y0) * a.z : 0;
    float4 scale = (float4)(1.0f), bias = (float4)(0.0f), mean = bias, k0 = bias, k1 = bias, s = bias;
    if (a.flags & NORM_SCALE && count > 0) {
        scale = TABLE(0);
        bias = TABLE(1);
        mean = TABLE(2);
    }
    if (a.flags & NORM_BATCH_STATS && count > 0) {
        back += a.off[4] + ((a.row * u.n * a.blocks) + u.b) * 32 + quad * 4;
        k0 = LD4(back);
        k1 = LD4(back + 16);
    }
    NOUNROLL for (int i = l / 4; i < count; i += 16) {
        const int at = u.at + (i / a.z * (a.z + 2 * a.bz) + i % a.z) * 16 + quad * 4;
        float4 e = (float4)(0.0f);
        if (a.flags & NORM_X)
            e = LD4(x + a.off[2] + at) - mean;
        float4 v = fma(e, scale, bias);
        if (a.flags & NORM_RES)
            v += LD4(res + a.off[3] + at);
        G(float) to = dx + a.off[5] + at;
        float4 d = a.flags & NORM_IN_PLACE ? LD4(to) : LD4(dy + a.off[0] + at);
        d *= keep_quad(quad, (u.x * a.y + u.y0) * a.z + i, u, a);
        const float4 g = ACT(v, d, d * a.slope);
        if (a.flags & NORM_DRES) {
            G(float) r = dres + a.off[6] + at;
            ST4(r) = a.flags & NORM_DRES_ADD ? LD4(r) + g : g;
        }
        if (a.flags & NORM_DX) {
            float4 w = fma(-e, k0, g - k1) * scale;
            w = a.flags & NORM_DX_ADD ? LD4(to) + w : w;
            ST4(to) = w;
            s += w;
        }
    }
    if (!(a.flags & NORM_SUMS))
        return;
    s = quads(tmp, s);
    if (l < 4 && count > 0)
        ST4(sums + a.off[7] + u.index * 16 + l * 4) = s;
}
#endif
