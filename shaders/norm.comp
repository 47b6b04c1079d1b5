// SPDX-License-Identifier: Apache-2.0
// Normalisation, activation, residual, dropout, skip; formulas, shapes and work-items as in kernels_cl/norm.cl
// (simt).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common/group.glsl"
#include "common/philox.glsl"
#include "ops/args/norm.h"

#if defined(ENTRY_norm_stat) || defined(ENTRY_norm_grad_sum) || defined(ENTRY_norm_grad_apply) || \
    defined(ENTRY_norm_fold)
GROUP_FOLD(quads, vec4, JOIN_ADD, 4, sums, quad_sums)
#endif

#if defined(ENTRY_norm_table) || defined(ENTRY_norm_grad_table)
WG256
ARGS(a_norm_table)
shared float sums[256];

float strands(float v, int l)
{
    sums[l] = v;
    barrier();
    for (int s = 128; s >= 16; s /= 2) {
        if (l < s)
            sums[l] += sums[l + s];
        barrier();
    }
    v = sums[l % 16];
    barrier();
    return v;
}

int part_at(int r, int j, int b)
{
    int per = (a.x + a.ux - 1) / a.ux * a.ny * a.nz;
    return (((r * a.samples + j / per) * a.blocks + b) * per + j % per) * 32;
}

float part_voxels(int j)
{
    int x0 = j / a.nz / a.ny % ((a.x + a.ux - 1) / a.ux) * a.ux;
    int y0 = j / a.nz % a.ny * a.uy, z0 = j % a.nz * a.uz;
    return float(min(a.ux, a.x - x0) * min(a.uy, a.y - y0) * min(a.uz, a.z - z0));
}
#endif

#ifdef ENTRY_norm_table
BUF_R(0, part)
BUF_R(1, gamma)
BUF_R(2, beta)
BUF_W(3, table)
BUF_X(4, run_mean)
BUF_X(5, run_var)
void main()
{
    int b = int(gl_WorkGroupID.x), l = LOCAL(), lane = l % 16, c = b * 16 + lane;
    int num = a.samples * ((a.x + a.ux - 1) / a.ux) * a.ny * a.nz, p = OFF(0) + lane;
    float total = float(a.samples) * float(a.x * a.y * a.z);
    for (int r = 0; r < a.table_rows; r++) {
        float first = part[p + part_at(r, 0, b)], sum = 0.0;
        for (int j = l / 16; j < num; j += 16)
            sum += part_voxels(j) * (part[p + part_at(r, j, b)] - first);
        float mean = first + strands(sum, l) / total;
        sum = 0.0;
        for (int j = l / 16; j < num; j += 16) {
            int at = p + part_at(r, j, b);
            float d = part[at] - mean;
            sum += part[at + 16] + part_voxels(j) * d * d;
        }
        float dev = strands(sum, l), rstd = 1.0 / sqrt(dev / total + a.eps);
        if (l < 16) {
            int t = OFF(3) + lane + (r * a.blocks + b) * 64;
            float scale = 0.0, bias = 0.0;
            if (c < a.c) {
                scale = rstd;
                if ((a.flags & NORM_GAMMA) != 0)
                    scale *= gamma[OFF(1) + c];
                if ((a.flags & NORM_BETA) != 0)
                    bias = beta[OFF(2) + c];
                if ((a.flags & NORM_RUN_MEAN) != 0) {
                    int m = OFF(4) + c, v = OFF(5) + c;
                    run_mean[m] = (1.0 - a.momentum) * run_mean[m] + a.momentum * mean;
                    run_var[v] = (1.0 - a.momentum) * run_var[v] + a.momentum * (dev / max(total - 1.0, 1.0));
                }
            }
            table[t] = scale;
            table[t + 16] = bias;
            table[t + 32] = c < a.c ? mean : 0.0;
            table[t + 48] = c < a.c ? rstd : 0.0;
        }
    }
}
#endif

#ifdef ENTRY_norm_fold
WG64
ARGS(a_norm_fold)
BUF_R4(0, part)
BUF_W4(1, dst)
void main()
{
    int nx = (a.x + a.ux - 1) / a.ux, ny = (a.y + a.uy - 1) / a.uy, nz = (a.z + a.uz - 1) / a.uz;
    int my = (ny + a.fy - 1) / a.fy, mz = (nz + a.fz - 1) / a.fz, g = GROUP(), l = LOCAL();
    int x = g / mz / my % nx, y0 = g / mz % my * a.fy, z0 = g % mz * a.fz, b = g / mz / my / nx;
    bool mine = b < a.samples * a.blocks;
    int cy = mine ? min(a.fy, ny - y0) : 0, cz = min(a.fz, nz - z0), wx = min(a.ux, a.x - x * a.ux);
    float total = float(wx * min(cy * a.uy, a.y - y0 * a.uy)) * float(min(cz * a.uz, a.z - z0 * a.uz));
    int p0 = OFF4(0) + l % 4 + (((mine ? b : 0) * nx + x) * ny + y0) * nz * 8 + z0 * 8;
    vec4 first = part[p0], mean = first, sum = vec4(0);
    for (int squares = 0; squares < 2; squares++) {
        vec4 s = vec4(0);
        for (int j = l / 4; j < cy * cz; j += 16) {
            int y = j / cz, z = j % cz, p = p0 + (y * nz + z) * 8;
            float n = float(wx * min(a.uy, a.y - (y0 + y) * a.uy) * min(a.uz, a.z - (z0 + z) * a.uz));
            vec4 d = part[p] - mean;
            if (squares != 0)
                s += part[p + 4] + n * d * d;
            else
                s += n * d;
        }
        sum = quads(s);
        if (squares == 0)
            mean = first + sum / total;
    }
    if (l < 4 && mine) {
        int o = OFF4(1) + g * 8 + l;
        dst[o] = mean;
        dst[o + 4] = sum;
    }
}
#endif

#ifdef ENTRY_norm_table_eval
WG64
ARGS(a_norm_table)
BUF_R(0, run_mean)
BUF_R(1, run_var)
BUF_R(2, gamma)
BUF_R(3, beta)
BUF_W(4, table)
void main()
{
    int c = GROUP() * 64 + LOCAL();
    if (c >= a.blocks * 16)
        return;
    float scale = 0.0, bias = 0.0, mean = 0.0, rstd = 0.0;
    if (c < a.c) {
        mean = run_mean[OFF(0) + c];
        rstd = 1.0 / sqrt(run_var[OFF(1) + c] + a.eps);
        scale = rstd;
        if ((a.flags & NORM_GAMMA) != 0)
            scale *= gamma[OFF(2) + c];
        if ((a.flags & NORM_BETA) != 0)
            bias = beta[OFF(3) + c];
    }
    int t = OFF(4) + c / 16 * 64 + c % 16;
    table[t] = scale;
    table[t + 16] = bias;
    table[t + 32] = mean;
    table[t + 48] = rstd;
}
#endif

#ifdef ENTRY_norm_grad_table
BUF_R(0, part)
BUF_R(1, table)
BUF_W(2, back)
BUF_X(3, dgamma)
BUF_X(4, dbeta)
void main()
{
    int b = int(gl_WorkGroupID.x), l = LOCAL(), lane = l % 16, c = b * 16 + lane;
    int num = a.samples * ((a.x + a.ux - 1) / a.ux) * a.ny * a.nz, p = OFF(0) + lane;
    float total = float(a.samples) * float(a.x * a.y * a.z), all_g = 0.0, all_h = 0.0;
    for (int r = 0; r < a.table_rows; r++) {
        float g = 0.0, h = 0.0;
        for (int j = l / 16; j < num; j += 16) {
            int at = p + part_at(r, j, b);
            g += part[at];
            h += part[at + 16];
        }
        g = strands(g, l);
        h = strands(h, l);
        all_g += g;
        all_h += h;
        if (l < 16) {
            int k = OFF(2) + (r * a.blocks + b) * 32 + l;
            back[k] = table[OFF(1) + (r * a.blocks + b) * 64 + 48 + l] * (h / total);
            back[k + 16] = g / total;
        }
    }
    if (l < 16 && c < a.c && (a.flags & NORM_DGAMMA) != 0) {
        int d = OFF(3) + c;
        if ((a.flags & NORM_DGAMMA_ADD) != 0)
            all_h += dgamma[d];
        dgamma[d] = all_h;
    }
    if (l < 16 && c < a.c && (a.flags & NORM_DBETA) != 0) {
        int d = OFF(4) + c;
        if ((a.flags & NORM_DBETA_ADD) != 0)
            all_g += dbeta[d];
        dbeta[d] = all_g;
    }
}
#endif

#if defined(ENTRY_norm_stat) || defined(ENTRY_norm_apply) || defined(ENTRY_norm_grad_sum) || \
    defined(ENTRY_norm_grad_apply)
WG64
ARGS(a_norm)
bool has(int flag) { return (a.flags & flag) != 0; }

// at: in vec4
struct unit { bool inside; int n, b, x, y0, y1, index, at; };

unit unit_of(int g)
{
    int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz;
    int local_plane = g / a.units, i = g % a.units, q = (a.p0 + local_plane) / xp;
    unit u;
    u.x = (a.p0 + local_plane) % xp - a.bx;
    u.inside = local_plane < a.planes && u.x >= 0 && u.x < a.x;
    u.n = q / a.blocks;
    u.b = q % a.blocks;
    u.y0 = i * a.rows;
    u.y1 = min(u.y0 + a.rows, a.y);
    u.index = (q * a.x + u.x) * a.units + i;
    u.at = ((local_plane * yp + u.y0 + a.by) * zp + a.bz) * 4;
    return u;
}

unit item_of(int i, out int quad, out int voxel)
{
    int xp = a.x + 2 * a.bx, yp = a.y + 2 * a.by, zp = a.z + 2 * a.bz;
    int v = i / 4, z = v % a.z, y = v / a.z % a.y, local_plane = v / a.z / a.y;
    int q = (a.p0 + local_plane) / xp;
    unit u;
    u.x = (a.p0 + local_plane) % xp - a.bx;
    u.inside = local_plane < a.planes && u.x >= 0 && u.x < a.x;
    u.n = q / a.blocks;
    u.b = q % a.blocks;
    u.y0 = u.y1 = u.index = 0;
    u.at = ((local_plane * yp + y + a.by) * zp + z + a.bz) * 4 + i % 4;
    quad = i % 4;
    voxel = (u.x * a.y + y) * a.z + z;
    return u;
}

vec4 act(vec4 v, vec4 yes) { return mix(yes * a.slope, yes, greaterThan(v, vec4(0.0))); }

vec4 keep_quad(int quad, int voxel, unit u)
{
    if (!has(NORM_DROP_CHANNEL | NORM_DROP_ELEMENT))
        return vec4(1.0);
    uint i = uint(has(NORM_DROP_ELEMENT) ? voxel : 0) * uint(a.quads) + uint(u.b * 4 + quad);
    uvec4 r = philox(uvec4(a.step, a.stream, a.sample0 + uint(u.n), i), uvec2(a.key0, a.key1));
    return mix(vec4(0.0), vec4(a.keep_scale), lessThan(r, uvec4(a.keep)));
}

#define TABLE(k) table[OFF4(1) + ((a.row * u.n * a.blocks) + u.b) * 16 + (k) * 4 + quad]
#endif

#ifdef ENTRY_norm_stat
BUF_R4(0, x)
BUF_W4(1, part)
void main()
{
    unit u = unit_of(GROUP());
    int l = LOCAL(), quad = l % 4, count = u.inside ? (u.y1 - u.y0) * a.z : 0, at = OFF4(0) + u.at + quad;
    vec4 first = vec4(0.0), s = first, q = first;
    if (count > 0)
        first = x[at];
    for (int v = l / 4; v < count; v += 16) {
        vec4 d = x[at + (v / a.z * (a.z + 2 * a.bz) + v % a.z) * 4] - first;
        s += d;
        q += d * d;
    }
    s = quads(s);
    q = quads(q);
    if (l < 4 && count > 0) {
        vec4 mean = s / float(count);
        int p = OFF4(1) + u.index * 8 + quad;
        part[p] = first + mean;
        part[p + 4] = max(q - s * mean, vec4(0.0));
    }
}
#endif

#ifdef ENTRY_norm_apply
BUF_R4(0, x)
BUF_R4(1, table)
BUF_R4(2, res)
BUF_R4(3, skip)
BUF_R4(4, skip_table)
BUF_W4(5, y)
void main()
{
    int quad, voxel;
    unit u = item_of(GROUP() * 64 + LOCAL(), quad, voxel);
    if (!u.inside)
        return;
    vec4 v = x[OFF4(0) + u.at];
    if (has(NORM_SCALE))
        v = (v - TABLE(2)) * TABLE(0) + TABLE(1);
    if (has(NORM_RES))
        v += res[OFF4(2) + u.at];
    v = act(v, v) * keep_quad(quad, voxel, u);
    if (has(NORM_SKIP)) {
        vec4 s = skip[OFF4(3) + u.at];
        if (has(NORM_SKIP_SCALE)) {
            int t = OFF4(4) + ((a.skip_row * u.n * a.blocks) + u.b) * 16 + quad;
            s = (s - skip_table[t + 8]) * skip_table[t] + skip_table[t + 4];
            s = mix(s * a.skip_slope, s, greaterThan(s, vec4(0.0)));
        }
        v += s;
    }
    y[OFF4(5) + u.at] = v;
}
#endif

#ifdef ENTRY_norm_grad_sum
BUF_R4(0, dy)
BUF_R4(1, table)
BUF_R4(2, x)
BUF_R4(3, res)
BUF_W4(4, part)
void main()
{
    unit u = unit_of(GROUP());
    int l = LOCAL(), quad = l % 4, count = u.inside ? (u.y1 - u.y0) * a.z : 0;
    vec4 s = vec4(0.0), q = s, rstd = s;
    if (count > 0) {
        vec4 scale = TABLE(0), bias = TABLE(1), mean = TABLE(2);
        rstd = TABLE(3);
        for (int i = l / 4; i < count; i += 16) {
            int at = u.at + (i / a.z * (a.z + 2 * a.bz) + i % a.z) * 4 + quad;
            vec4 e = x[OFF4(2) + at] - mean, v = e * scale + bias;
            if (has(NORM_RES))
                v += res[OFF4(3) + at];
            vec4 g = act(v, dy[OFF4(0) + at] * keep_quad(quad, (u.x * a.y + u.y0) * a.z + i, u));
            s += g;
            q += g * e;
        }
    }
    s = quads(s);
    q = quads(q);
    if (l < 4 && count > 0) {
        int p = OFF4(4) + u.index * 8 + quad;
        part[p] = s;
        part[p + 4] = q * rstd;
    }
}
#endif

#ifdef ENTRY_norm_grad_apply
BUF_R4(0, dy)
BUF_R4(1, table)
BUF_R4(2, x)
BUF_R4(3, res)
BUF_R4(4, back)
BUF_X4(5, dx)
BUF_X4(6, dres)
BUF_W4(7, part)
void main()
{
    unit u = unit_of(GROUP());
    int l = LOCAL(), quad = l % 4, count = u.inside ? (u.y1 - u.y0) * a.z : 0;
    vec4 scale = vec4(1.0), bias = vec4(0.0), mean = bias, k0 = bias, k1 = bias, s = bias;
    if (has(NORM_SCALE) && count > 0) {
        scale = TABLE(0);
        bias = TABLE(1);
        mean = TABLE(2);
    }
    if (has(NORM_BATCH_STATS) && count > 0) {
        int k = OFF4(4) + ((a.row * u.n * a.blocks) + u.b) * 8 + quad;
        k0 = back[k];
        k1 = back[k + 4];
    }
    for (int i = l / 4; i < count; i += 16) {
        int at = u.at + (i / a.z * (a.z + 2 * a.bz) + i % a.z) * 4 + quad, to = OFF4(5) + at;
        vec4 e = vec4(0.0), d;
        if (has(NORM_X))
            e = x[OFF4(2) + at] - mean;
        vec4 v = e * scale + bias;
        if (has(NORM_RES))
            v += res[OFF4(3) + at];
        if (has(NORM_IN_PLACE))
            d = dx[to];
        else
            d = dy[OFF4(0) + at];
        vec4 g = act(v, d * keep_quad(quad, (u.x * a.y + u.y0) * a.z + i, u));
        if (has(NORM_DRES)) {
            int r = OFF4(6) + at;
            vec4 sum = g;
            if (has(NORM_DRES_ADD))
                sum += dres[r];
            dres[r] = sum;
        }
        if (has(NORM_DX)) {
            vec4 w = (g - k1 - e * k0) * scale;
            if (has(NORM_DX_ADD))
                w += dx[to];
            dx[to] = w;
            s += w;
        }
    }
    if (!has(NORM_SUMS))
        return;
    s = quads(s);
    if (l < 4 && count > 0)
        part[OFF4(7) + u.index * 4 + l] = s;
}
#endif
