/* SPDX-License-Identifier: Apache-2.0
 * Over the channels of PLAIN [n][c][v]: one voxel (simt) or 16 (fat) at a time. Rows: n. */
#include "common/channels.h"
#include "ops/args/softmax.h"

/* softmax_fwd: y[k] = exp(z[k] - max) / sum; logs: z[k] - max - log sum. */
__kernel WGP void softmax_fwd(GC(float) z, G(float) y, struct a_softmax a)
{
    FOR_VOXELS(a.n) {
        GC(float) zv = z + a.off[0] + row * a.c * a.cs + v;
        G(float) yv = y + a.off[1] + row * a.c * a.cs + v;
        const VF mx = chan_max(zv, a.c, a.cs, m), sum = chan_exp(zv, mx, a.c, a.cs, m);
        if (a.logs) {
            const VF ls = log(sum);
            for (int k = 0; k < a.c; k++)
                stv(yv + k * a.cs, ldv(zv + k * a.cs, m) - mx - ls, m);
        } else {
            for (int k = 0; k < a.c; k++)
                stv(yv + k * a.cs, exp(ldv(zv + k * a.cs, m) - mx) / sum, m);
        }
    }
}

/* softmax_bwd: dz[k] (+)= y[k] * (dy[k] - sum dy y); logs: dy[k] - exp(y[k]) * sum dy. */
__kernel WGP void softmax_bwd(GC(float) y, GC(float) dy, G(float) dz, struct a_softmax a)
{
    FOR_VOXELS(a.n) {
        GC(float) yv = y + a.off[0] + row * a.c * a.cs + v;
        GC(float) gv = dy + a.off[1] + row * a.c * a.cs + v;
        G(float) dv = dz + a.off[2] + row * a.c * a.cs + v;
        VF dot_ = 0;
        for (int k = 0; k < a.c; k++)
            dot_ += ldv(gv + k * a.cs, m) * (a.logs ? (VF)(1.0f) : ldv(yv + k * a.cs, m));
        for (int k = 0; k < a.c; k++) {
            const VF p = ldv(yv + k * a.cs, m), g = ldv(gv + k * a.cs, m);
            const VF d = a.logs ? g - exp(p) * dot_ : p * (g - dot_);
            PUT(dv + k * a.cs, d, m, a.accum);
        }
    }
}

/* argmax: y = first k with the largest z[k]; y [n][1][v] int. */
__kernel WGP void argmax(GC(float) z, G(int) y, struct a_softmax a)
{
    FOR_VOXELS(a.n) {
        GC(float) zv = z + a.off[0] + row * a.c * a.cs + v;
        VF best = ldv(zv, m);
        VI at = 0;
        for (int k = 1; k < a.c; k++) {
            const VF x = ldv(zv + k * a.cs, m);
            at = select(at, (VI)(k), x > best);
            best = fmax(best, x);
        }
        stvi(y + a.off[1] + row * a.cs + v, at, m);
    }
}

/* max_prob: y = max_k p[k]; y [n][1][v]. */
__kernel WGP void max_prob(GC(float) p, G(float) y, struct a_softmax a)
{
    FOR_VOXELS(a.n) {
        const VF mx = chan_max(p + a.off[0] + row * a.c * a.cs + v, a.c, a.cs, m);
        stv(y + a.off[1] + row * a.cs + v, mx, m);
    }
}

/* onehot: y[k] = label == k; labels [n][1][v] int, y [n][c][v]. */
__kernel WGP void onehot(GC(int) labels, G(float) y, struct a_softmax a)
{
    FOR_VOXELS(a.n) {
        const VI label = ldvi(labels + a.off[0] + row * a.cs + v, m);
        for (int k = 0; k < a.c; k++)
            stv(y + a.off[1] + (row * a.c + k) * a.cs + v, ONE_IF(label == (VI)(k)), m);
    }
}

/* entropy_fwd: h = -scale * sum_k p[k] log(p[k] + eps), terms with p[k] = 0 are 0; h [n][1][v]. */
__kernel WGP void entropy_fwd(GC(float) p, G(float) h, struct a_softmax a)
{
    FOR_VOXELS(a.n) {
        GC(float) pv = p + a.off[0] + row * a.c * a.cs + v;
        VF sum = 0;
        for (int k = 0; k < a.c; k++) {
            const VF x = ldv(pv + k * a.cs, m), none = ONE_IF(x == (VF)(0.0f));
            sum += x * log(x + a.eps + none);
        }
        stv(h + a.off[1] + row * a.cs + v, -a.scale * sum, m);
    }
}

/* entropy_bwd: dp[k] (+)= -scale * dh * (log(p[k] + eps) + p[k] / (p[k] + eps)), 0 where p[k] + eps = 0. */
__kernel WGP void entropy_bwd(GC(float) p, GC(float) dh, G(float) dp, struct a_softmax a)
{
    FOR_VOXELS(a.n) {
        const VF g = -a.scale * ldv(dh + a.off[1] + row * a.cs + v, m);
        for (int k = 0; k < a.c; k++) {
            const int at = (row * a.c + k) * a.cs + v;
            const VF x = ldv(p + a.off[0] + at, m), e = x + a.eps, none = ONE_IF(e == (VF)(0.0f));
            const VF d = g * (log(e + none) + x / (e + none));
            PUT(dp + a.off[2] + at, d, m, a.accum);
        }
    }
}
