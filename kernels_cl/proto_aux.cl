/* SPDX-License-Identifier: Apache-2.0
 * Prototypes, the small side: totals of parts, rows [sets * k][d] of prototypes, distance maps, FLAT tensors. */
#include "common/group.h"
#include "ops/args/proto.h"

GROUP_FOLD(group_sum, float, JOIN_ADD, 1)

/* proto_maxof: the same from cosines cos [n][k * kk] (pn its sample stride; off 1, 2 [n][k] with stride mn). One
 * voxel each. */
__kernel WG64 void proto_maxof(GC(float) cosines, G(float) out, G(int) win, struct a_proto a)
{
    const int i = GROUP() * 64 + LOCAL(), voxels = a.x * a.y * a.z;
    if (i >= a.n * voxels)
        return;
    const int n = i / voxels, v = i % voxels;
    for (int c = 0; c < a.k; c++) {
        GC(float) s = cosines + a.off[0] + n * a.pn + c * a.kk * a.pc + v;
        float best = s[0];
        int at_best = 0;
        for (int j = 1; j < a.kk; j++)
            if (s[j * a.pc] > best) {
                best = s[j * a.pc];
                at_best = j;
            }
        out[a.off[1] + n * a.mn + c * a.pc + v] = best;
        win[a.off[2] + n * a.mn + c * a.pc + v] = at_best;
    }
}

/* proto_total: out[set][k][c] = sum over the set's parts, divided by (W_k + eps) if mean (0 where W_k <= 0);
 * wsum[set][k] = W_k. Groups: sets * k; work-items: lane l % 16, parts l / 16, +4, ... */
__kernel WG64 void proto_total(GC(float) part, G(float) wsum, G(float) out, struct a_total a)
{
    __local float sums[64], weights[64];
    const int g = GROUP(), l = LOCAL(), k = g % a.k, set = g / a.k;
    const bool in = g < a.sets * a.k;
    float s = 0.0f, w = 0.0f;
    for (int i = l / 16; i < a.parts && in; i += 4) {
        GC(float) p = part + a.off[0] + (set * a.parts + i) * (a.k + 1) * 16;
        s += p[k * 16 + l % 16];
        w += p[a.k * 16 + k];
    }
    sums[l] = s;
    weights[l] = w;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l >= 16 || !in)
        return;
    s = sums[l] + sums[l + 16] + sums[l + 32] + sums[l + 48];
    w = weights[l] + weights[l + 16] + weights[l + 32] + weights[l + 48];
    if (a.mean)
        s = w > 0.0f ? s / (w + a.eps) : 0.0f;
    if (l < a.lanes)
        out[a.off[2] + set * a.on + k * a.ok + a.o0 + l] = s;
    if (l == 0 && a.has_w)
        wsum[a.off[1] + set * a.wn + a.w0 + k] = w;
}

/* proto_pack: q[row][nb * 16] = s * p[row][d], spare lanes 0; c[row]. One row per group; every work-item sums
 * all of it.
 *   PR_COPY: s = 1, c = 0. PR_UNIT: s = 1 / max(|p|, eps), c = s.
 *   PR_MEAN: p is the gradient of a weighted mean m: s = 1 / (W + eps), 0 where W <= 0; c = -<q, m>. */
__kernel WG64 void proto_pack(GC(float) p, GC(float) m, GC(float) wsum, G(float) q, G(float) c, struct a_rows a)
{
    const int row = GROUP(), l = LOCAL();
    if (row >= a.rows)
        return;
    p += a.off[0] + row * a.d;
    q += a.off[3] + row * a.nb * 16;
    float s = 1.0f, sum = 0.0f;
    if (a.mode == PR_MEAN) {
        const float w = wsum[a.off[2] + row];
        s = w > 0.0f ? 1.0f / (w + a.eps) : 0.0f;
        for (int i = 0; i < a.d; i++)
            sum -= s * p[i] * m[a.off[1] + row * a.d + i];
    } else if (a.mode == PR_UNIT) {
        for (int i = 0; i < a.d; i++)
            sum += p[i] * p[i];
        s = sum = sum > a.eps * a.eps ? 1.0f / sqrt(sum) : a.inv;
    }
    for (int i = l; i < a.nb * 16; i += 64)
        q[i] = i < a.d ? s * p[i] : 0.0f;
    if (l == 0)
        c[a.off[4] + row] = sum;
}

/* proto_dcos: dp (+)= scale * s * (h - <u, h> u), u = s p, s = c[row] of PR_UNIT; 0 where p is shorter than eps.
 * One row per group, likewise. */
__kernel WG64 void proto_dcos(GC(float) h, GC(float) p, GC(float) c, G(float) dp, struct a_rows a)
{
    const int row = GROUP(), l = LOCAL();
    if (row >= a.rows)
        return;
    h += a.off[0] + row * a.d;
    p += a.off[1] + row * a.d;
    dp += a.off[3] + row * a.d;
    const float s = c[a.off[2] + row], mul = s < a.inv ? a.scale * s : 0.0f;
    float sum = 0.0f;
    for (int i = 0; i < a.d; i++)
        sum += s * p[i] * h[i];
    for (int i = l; i < a.d; i += 64) {
        const float v = mul > 0.0f ? mul * (h[i] - sum * s * p[i]) : 0.0f;
        dp[i] = a.accum ? dp[i] + v : v;
    }
}

/* proto_dist_part: part[n][x][parts][j][2] = sum of dd and count of voxels with idx = j in the part. */
#ifdef PV_FAT
__kernel WG1 void proto_dist_part(GC(float) dd, GC(int) idx, G(float) part, struct a_dist a)
{
    const int g = GROUP(), h = g % a.parts, x = g / a.parts % a.x, n = g / a.parts / a.x;
    if (g >= a.n * a.x * a.parts)
        return;
    const long at = (long)n * a.mn + (long)x * a.plane + (long)h * a.run;
    const int count = min(a.run, a.plane - h * a.run);
    float sum[64], num[64];
    for (int j = 0; j < a.j; j++)
        sum[j] = num[j] = 0.0f;
    for (int v = 0; v < count; v++) {
        const int j = idx[a.off[1] + at + v];
        if (j >= 0 && j < a.j) {
            sum[j] += dd[a.off[0] + at + v];
            num[j] += 1.0f;
        }
    }
    for (int j = 0; j < a.j; j++) {
        part[a.off[2] + ((long)g * a.j + j) * 2] = sum[j];
        part[a.off[2] + ((long)g * a.j + j) * 2 + 1] = num[j];
    }
}
#else
/* Groups: parts * j. */
__kernel WG64 void proto_dist_part(GC(float) dd, GC(int) idx, G(float) part, struct a_dist a)
{
    __local float tmp[64];
    const int i = GROUP(), l = LOCAL(), j = i % a.j, g = i / a.j;
    const int h = g % a.parts, x = g / a.parts % a.x, n = g / a.parts / a.x;
    const bool in = g < a.n * a.x * a.parts;
    const int at = n * a.mn + x * a.plane + h * a.run, count = in ? min(a.run, a.plane - h * a.run) : 0;
    float sum = 0.0f, num = 0.0f;
    for (int v = l; v < count; v += 64)
        if (idx[a.off[1] + at + v] == j) {
            sum += dd[a.off[0] + at + v];
            num += 1.0f;
        }
    sum = group_sum(sum, tmp);
    num = group_sum(num, tmp);
    if (l == 0 && in) {
        part[a.off[2] + i * 2] = sum;
        part[a.off[2] + i * 2 + 1] = num;
    }
}
#endif

/* proto_dist_total: S_j, n_j = totals over n parts; per = 0: out = sum S / sum n, coef[j] = 1 / sum n; per = 1: out
 * = sum_j S_j / n_j, coef[j] = 1 / n_j; 0 where nothing is counted. One group, work-item j < 64 adds S_j, n_j. */
__kernel WG64 void proto_dist_total(GC(float) part, G(float) out, G(float) coef, struct a_dist a)
{
    __local float sums[64], counts[64];
    const int l = LOCAL();
    float s = 0.0f, c = 0.0f;
    for (int i = 0; i < a.n && l < a.j; i++) {
        s += part[a.off[0] + (i * a.j + l) * 2];
        c += part[a.off[0] + (i * a.j + l) * 2 + 1];
    }
    sums[l] = s;
    counts[l] = c;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (GROUP() > 0)
        return;
    float value = 0.0f, all = 0.0f;
    for (int j = 0; j < a.j; j++) {
        all += counts[j];
        value += a.per && counts[j] > 0.0f ? sums[j] / counts[j] : a.per ? 0.0f : sums[j];
    }
    const float num = a.per ? c : all;
    if (l < a.j)
        coef[a.off[2] + l] = num > 0.0f ? 1.0f / num : 0.0f;
    if (l == 0)
        out[a.off[1]] = a.per ? value : all > 0.0f ? value / all : 0.0f;
}

/* proto_dist_coef: what proto_apply needs: with A = dl * coef[idx] / dd (times r if norm), B = A * tt,
 * beta = -A, alpha = r (A - B) if norm, else A; 0 where idx < 0, dd = 0, or r = inv. One voxel each. */
__kernel WG64 void proto_dist_coef(GC(float) dd, GC(float) tt, GC(float) r, GC(int) idx, GC(float) coef,
                                   GC(float) dl, G(float) alpha, G(float) beta, struct a_dist a)
{
    const int i = GROUP() * 64 + LOCAL(), voxels = a.x * a.plane;
    if (i >= a.n * voxels)
        return;
    const int v = i / voxels * a.mn + i % voxels, j = idx[a.off[3] + v];
    const float d = dd[a.off[0] + v];
    float al = 0.0f, be = 0.0f;
    if (j >= 0 && j < a.j && d > 0.0f) {
        const float w = dl[a.off[5]] * coef[a.off[4] + j] / d;
        al = w;
        be = -w;
        if (a.norm) {
            const float rv = r[a.off[2] + v];
            al = rv < a.inv ? rv * rv * w * (1.0f - tt[a.off[1] + v]) : 0.0f;
            be = rv < a.inv ? -rv * w : 0.0f;
        }
    }
    alpha[a.off[6] + v] = al;
    beta[a.off[7] + v] = be;
}

/* proto_dist2: sum_i (p_i - q_i)^2 times g; 0 if an entry of wp (np of them) or wq (nq) is not positive. out[0] the
 * value, valid[0] 1 or 0. One group. */
__kernel WG64 void proto_dist2(GC(float) p, GC(float) q, GC(float) wp, GC(float) wq, G(float) out, G(float) valid,
                               struct a_flat a)
{
    __local float tmp[64];
    const int l = LOCAL();
    float s = 0.0f, bad = 0.0f;
    for (int i = l; i < a.count; i += 64) {
        const float d = p[a.off[0] + i] - q[a.off[1] + i];
        s = fma(d, d, s);
    }
    for (int i = l; i < a.np; i += 64)
        bad += wp[a.off[2] + i] > 0.0f ? 0.0f : 1.0f;
    for (int i = l; i < a.nq; i += 64)
        bad += wq[a.off[3] + i] > 0.0f ? 0.0f : 1.0f;
    s = group_sum(s, tmp);
    bad = group_sum(bad, tmp);
    if (l == 0) {
        out[a.off[4]] = bad == 0.0f ? a.g * s : 0.0f;
        valid[a.off[5]] = bad == 0.0f ? 1.0f : 0.0f;
    }
}

/* proto_dist2_bwd: dp[i] (+)= 2 g dl (p_i - q_i) if valid, else (+)= 0. One element each. */
__kernel WG64 void proto_dist2_bwd(GC(float) p, GC(float) q, GC(float) dl, GC(float) valid, G(float) dp,
                                   struct a_flat a)
{
    const int i = GROUP() * 64 + LOCAL();
    if (i >= a.count)
        return;
    const float mul = valid[a.off[3]] > 0.0f ? 2.0f * a.g * dl[a.off[2]] : 0.0f;
    const float v = mul == 0.0f ? 0.0f : mul * (p[a.off[0] + i] - q[a.off[1] + i]);
    G(float) d = dp + a.off[4] + i;
    *d = a.accum ? *d + v : v;
}

/* proto_lin: out[i] (+)= g p[i % sets] + h q[i], the second term only if h is not 0. One element each. */
__kernel WG64 void proto_lin(GC(float) p, GC(float) q, G(float) out, struct a_flat a)
{
    const int i = GROUP() * 64 + LOCAL();
    if (i >= a.count)
        return;
    float v = a.g * p[a.off[0] + i % a.sets];
    if (a.h != 0.0f)
        v += a.h * q[a.off[1] + i];
    G(float) d = out + a.off[2] + i;
    *d = a.accum ? *d + v : v;
}

/* proto_mean: out[i] = g * sum over sets of p[set * count + i]. One element each. */
__kernel WG64 void proto_mean(GC(float) p, G(float) out, struct a_flat a)
{
    const int i = GROUP() * 64 + LOCAL();
    if (i >= a.count)
        return;
    float s = 0.0f;
    for (int j = 0; j < a.sets; j++)
        s += p[a.off[0] + j * a.count + i];
    out[a.off[1] + i] = a.g * s;
}

/* proto_ema: p[j][i] = g p + (1 - g) sums[j][i] / counts[j] where counts[j] > 0; rows of `sets` elements. One
 * element each. */
__kernel WG64 void proto_ema(GC(float) sums, GC(float) counts, G(float) p, struct a_flat a)
{
    const int i = GROUP() * 64 + LOCAL();
    if (i >= a.count)
        return;
    const float c = counts[a.off[1] + i / a.sets];
    if (c > 0.0f)
        p[a.off[2] + i] = a.g * p[a.off[2] + i] + a.h * (sums[a.off[0] + i] / c);
}
