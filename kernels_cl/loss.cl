/* SPDX-License-Identifier: Apache-2.0
 * Cross-entropy with hard and soft targets on PLAIN logits z [n][c][v], fused with the softmax, and the divergence
 * of two probability maps.
 *
 * Forward, groups n * chunks: term l per voxel with weight w; map: out[n][1][v] = w l, else part[(n0 + s) * 2 + q]
 * [ch0 + ch] = sum of w l (q 0) and of w (q 1) over the chunk.
 * Backward, rows n: g = w * (map: dy[v], else dy[0] * coef[n0 + s]). */
#include "common/channels.h"
#include "ops/args/loss.h"

/* 1 where a hard label counts, times the mask. */
VF hard_weight(VI label, GC(float) mask, struct a_ce a, int m);
VF hard_weight(VI label, GC(float) mask, struct a_ce a, int m)
{
    const VF w = ONE_IF((label >= (VI)(0)) & (label < (VI)(a.c)) & (label != (VI)(a.ignore)));
    return a.masked ? w * ldv(mask, m) : w;
}

/* Ends a forward work-group. */
#ifdef PV_FAT
#define PUT_PARTS(out, sum, kept) put_parts(out, sum16(sum), sum16(kept), s, ch, a)
#else
#define PUT_PARTS(out, sum, kept) put_parts(out, group_sum(sum), group_sum(kept), s, ch, a)
#endif
void put_parts(G(float) out, float sum, float kept, int s, int ch, struct a_ce a);
void put_parts(G(float) out, float sum, float kept, int s, int ch, struct a_ce a)
{
    const int at = a.off[3] + (a.n0 + s) * 2 * a.tc + a.ch0 + ch;
    if (LOCAL() == 0 && !a.map) {
        out[at] = sum;
        out[at + a.tc] = kept;
    }
}

/* ce_hard_fwd: l = log sum_k exp(z[k]) - z[label], w = mask where the label counts, else 0. */
__kernel WGP void ce_hard_fwd(GC(float) z, GC(int) labels, GC(float) mask, G(float) out, struct a_ce a)
{
    GROUP_SUMS
    const int g = GROUP(), ch = g % CHUNKS(a.v), s = g / CHUNKS(a.v);
    if (s >= a.n)
        return;
    VF sum = 0, kept = 0;
    FOR_CHUNK(ch, a.v) {
        GC(float) zv = z + a.off[0] + s * a.c * a.cs + v;
        const VI label = ldvi(labels + a.off[1] + s * a.cs + v, m);
        const VF mx = chan_max(zv, a.c, a.cs, m), lse = log(chan_exp(zv, mx, a.c, a.cs, m));
        VF zy = mx;
        for (int k = 0; k < a.c; k++)
            zy = select(zy, ldv(zv + k * a.cs, m), label == (VI)(k));
        const VF w = hard_weight(label, mask + a.off[2] + s * a.cs + v, a, m), l = w * (mx - zy + lse);
        if (a.map)
            stv(out + a.off[3] + s * a.cs + v, l, m);
        sum += only(l, m);
        kept += only(w, m);
    }
    PUT_PARTS(out, sum, kept);
}

/* ce_hard_bwd: dz[k] (+)= g * (p[k] - [k = label]). */
__kernel WGP void ce_hard_bwd(GC(float) z, GC(int) labels, GC(float) mask, GC(float) dy, GC(float) coef,
                              G(float) dz, struct a_ce a)
{
    FOR_VOXELS(a.n) {
        GC(float) zv = z + a.off[0] + row * a.c * a.cs + v;
        G(float) dv = dz + a.off[5] + row * a.c * a.cs + v;
        const VI label = ldvi(labels + a.off[1] + row * a.cs + v, m);
        VF g = hard_weight(label, mask + a.off[2] + row * a.cs + v, a, m);
        g *= a.map ? ldv(dy + a.off[3] + row * a.cs + v, m) : (VF)(dy[a.off[3]] * coef[a.off[4] + a.n0 + row]);
        const VF mx = chan_max(zv, a.c, a.cs, m), sum = chan_exp(zv, mx, a.c, a.cs, m);
        for (int k = 0; k < a.c; k++) {
            const VF p = exp(ldv(zv + k * a.cs, m) - mx) / sum, d = g * (p - ONE_IF(label == (VI)(k)));
            PUT(dv + k * a.cs, d, m, a.accum);
        }
    }
}

/* ce_soft_fwd: l = sum_k y[k] * (log sum exp z - z[k]), kl: plus y[k] log y[k]; w = mask. */
__kernel WGP void ce_soft_fwd(GC(float) z, GC(float) y, GC(float) mask, G(float) out, struct a_ce a)
{
    GROUP_SUMS
    const int g = GROUP(), ch = g % CHUNKS(a.v), s = g / CHUNKS(a.v);
    if (s >= a.n)
        return;
    VF sum = 0, kept = 0;
    FOR_CHUNK(ch, a.v) {
        GC(float) zv = z + a.off[0] + s * a.c * a.cs + v;
        GC(float) yv = y + a.off[1] + s * a.c * a.cs + v;
        const VF mx = chan_max(zv, a.c, a.cs, m), lse = log(chan_exp(zv, mx, a.c, a.cs, m));
        VF l = 0;
        for (int k = 0; k < a.c; k++) {
            const VF t = ldv(yv + k * a.cs, m);
            VF d = mx - ldv(zv + k * a.cs, m) + lse;
            if (a.kl)
                d += log(t + ONE_IF(t == (VF)(0.0f)));
            l += t * d;
        }
        const VF w = a.masked ? ldv(mask + a.off[2] + s * a.cs + v, m) : (VF)(1.0f);
        l *= w;
        if (a.map)
            stv(out + a.off[3] + s * a.cs + v, l, m);
        sum += only(l, m);
        kept += only(w, m);
    }
    PUT_PARTS(out, sum, kept);
}

/* ce_soft_bwd: dz[k] (+)= g * (p[k] * sum_j y[j] - y[k]). */
__kernel WGP void ce_soft_bwd(GC(float) z, GC(float) y, GC(float) mask, GC(float) dy, GC(float) coef, G(float) dz,
                              struct a_ce a)
{
    FOR_VOXELS(a.n) {
        GC(float) zv = z + a.off[0] + row * a.c * a.cs + v;
        GC(float) yv = y + a.off[1] + row * a.c * a.cs + v;
        G(float) dv = dz + a.off[5] + row * a.c * a.cs + v;
        VF g = a.map ? ldv(dy + a.off[3] + row * a.cs + v, m) : (VF)(dy[a.off[3]] * coef[a.off[4] + a.n0 + row]);
        if (a.masked)
            g *= ldv(mask + a.off[2] + row * a.cs + v, m);
        const VF mx = chan_max(zv, a.c, a.cs, m), sum = chan_exp(zv, mx, a.c, a.cs, m);
        VF all = 0;
        for (int k = 0; k < a.c; k++)
            all += ldv(yv + k * a.cs, m);
        for (int k = 0; k < a.c; k++) {
            const VF p = exp(ldv(zv + k * a.cs, m) - mx) / sum, d = g * (p * all - ldv(yv + k * a.cs, m));
            PUT(dv + k * a.cs, d, m, a.accum);
        }
    }
}

/* kl_fwd: out = sum_k q[k] log((q[k] + eps) / (p[k] + eps)), terms with q[k] = 0 are 0. Rows: n. */
__kernel WGP void kl_fwd(GC(float) p, GC(float) q, G(float) out, struct a_kl a)
{
    FOR_VOXELS(a.n) {
        VF sum = 0;
        for (int k = 0; k < a.c; k++) {
            const int at = (row * a.c + k) * a.cs + v;
            const VF pv = ldv(p + a.off[0] + at, m), qv = ldv(q + a.off[1] + at, m);
            const VF d = qv * (log(qv + a.eps) - log(pv + a.eps));
            sum += select(d, (VF)(0.0f), qv == (VF)(0.0f));
        }
        stv(out + a.off[2] + row * a.cs + v, sum, m);
    }
}

/* kl_bwd: dp[k] (+)= -dy * q[k] / (p[k] + eps), 0 where q[k] = 0. Rows: n. */
__kernel WGP void kl_bwd(GC(float) p, GC(float) q, GC(float) dy, G(float) dp, struct a_kl a)
{
    FOR_VOXELS(a.n) {
        const VF g = ldv(dy + a.off[2] + row * a.cs + v, m);
        for (int k = 0; k < a.c; k++) {
            const int at = (row * a.c + k) * a.cs + v;
            const VF qv = ldv(q + a.off[1] + at, m), none = ONE_IF(qv == (VF)(0.0f));
            const VF d = -g * qv / (ldv(p + a.off[0] + at, m) + a.eps + none);
            PUT(dp + a.off[3] + at, d, m, a.accum);
        }
    }
}
