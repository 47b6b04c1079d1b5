/* SPDX-License-Identifier: Apache-2.0
 * Before anything is timed: kernels and convolutions against plain C in double. Gradients of kernels are compared with
 * central differences of L = sum dy y. Errors are relative to the largest value of a result. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "cu.h"

enum { N = 2, C = 3, D = 5, V = 77, K = 2, PROBES = 24 };
static const float scale = 20, eps = 1e-6f;

static void random_floats(float *v, size_t n, int seed, double lo, double hi)
{
    struct pv_rng r = pv_rng_make((uint64_t)seed, pv_stream("check", n, 0));
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(lo + (hi - lo) * pv_rng_uniform(&r));
}

static void *to_device(struct cu *c, const void *v, size_t bytes)
{
    void *p = cu_alloc(c, bytes);
    return p && CU(v ? cudaMemcpy(p, v, bytes, cudaMemcpyHostToDevice) : cudaMemset(p, 0, bytes)) ? p : NULL;
}

static double worst(const float *got, const double *want, size_t n)
{
    double most = 1e-30, diff = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs(want[i]));
        diff = isfinite(got[i]) ? fmax(diff, fabs(got[i] - want[i])) : INFINITY;
    }
    return diff / most;
}

static bool judge(pv_json *o, const char *name, double error, double allowed)
{
    pv_json_set_num(o, name, error);
    return error <= allowed || pv_fail(PV_FAULT_DEVICE, "%s differs from plain C by %.2g of its largest value (%.0g is "
                                       "allowed): nothing is timed", name, error, allowed);
}

/* ---- kernels: inputs x [.] and q [.], result y [ny] ---- */

struct kernel {
    const char *name;
    size_t nx, nq, ny;
    double lo, hi;                      /* of x */
    void (*want)(const double *x, const double *q, double *y);
    /* y, then dx and dq (room for them is given; dq may stay unwritten) */
    bool (*fwd)(float *const *b);
    bool (*bwd)(float *const *b);
    bool dq;
};
enum { BX, BQ, BY, BDY, BDX, BDQ, BTMP, BPART, NUM_BUFFERS };

static double at(const double *x, int s, int ch, int k, int v)
{
    return x[((size_t)s * (size_t)ch + (size_t)k) * V + v];
}

static void softmax_want(const double *x, const double *q, double *y)
{
    (void)q;
    for (int s = 0; s < N; s++)
        for (int v = 0; v < V; v++) {
            double sum = 0;
            for (int k = 0; k < C; k++)
                sum += exp(at(x, s, C, k, v));
            for (int k = 0; k < C; k++)
                y[(s * C + k) * V + v] = exp(at(x, s, C, k, v)) / sum;
        }
}

static bool softmax_fwd(float *const *b) { return CU(k_softmax(b[BX], b[BY], N, C, V)); }
static bool softmax_bwd(float *const *b) { return CU(k_softmax_bwd(b[BY], b[BDY], b[BDX], N, C, V)); }

static void entropy_want(const double *x, const double *q, double *y)
{
    (void)q;
    for (int s = 0; s < N; s++)
        for (int v = 0; v < V; v++) {
            double sum = 0;
            for (int k = 0; k < C; k++)
                sum -= at(x, s, C, k, v) * log(at(x, s, C, k, v) + eps);
            y[s * V + v] = sum;
        }
}

static bool entropy_fwd(float *const *b) { return CU(k_entropy(b[BX], b[BY], N, C, V, eps)); }
static bool entropy_bwd(float *const *b) { return CU(k_entropy_bwd(b[BX], b[BDY], b[BDX], N, C, V, eps)); }

static void cosine_want(const double *x, const double *q, double *y)
{
    for (int s = 0; s < N; s++)
        for (int v = 0; v < V; v++)
            for (int k = 0; k < K; k++) {
                double dot = 0, ff = 0, pp = 0;
                for (int i = 0; i < D; i++) {
                    dot += at(x, s, D, i, v) * q[k * D + i];
                    ff += at(x, s, D, i, v) * at(x, s, D, i, v);
                    pp += q[k * D + i] * q[k * D + i];
                }
                y[(s * K + k) * V + v] = scale * dot / sqrt(ff * pp);
            }
}

static bool cosine_fwd(float *const *b) { return CU(k_cosine(b[BX], b[BQ], b[BY], b[BTMP], N, D, V, K, scale)); }

static bool cosine_bwd(float *const *b)
{
    return CU(k_cosine_bwd_f(b[BX], b[BQ], b[BY], b[BDY], b[BTMP], b[BDX], N, D, V, K, scale)) &&
           CU(k_cosine_bwd_p(b[BX], b[BQ], b[BY], b[BDY], b[BTMP], b[BPART], b[BDQ], N, D, V, K, scale));
}

static int label_of(int i) { return (i * 7 + i / 5) % C; }

/* The loss as in the step; q holds the labels as numbers. */
static void loss_want(const double *x, const double *q, double *y)
{
    double p[N * C * V], ce = 0, dice = 0;
    softmax_want(x, NULL, p);
    for (int k = 1; k < C; k++) {
        double i = 0, pp = 0, g = 0;
        for (int s = 0; s < N; s++)
            for (int v = 0; v < V; v++) {
                bool hit = (int)q[s * V + v] == k;
                i += hit ? at(p, s, C, k, v) : 0;
                pp += at(p, s, C, k, v) * at(p, s, C, k, v);
                g += hit;
            }
        dice += 1 - (2 * i + 1e-5) / (pp + g + 1e-5);
    }
    for (int s = 0; s < N; s++)
        for (int v = 0; v < V; v++)
            ce -= log(at(p, s, C, (int)q[s * V + v], v));
    y[0] = 0.5 * ce / (N * V) + 0.5 * dice / (C - 1);
}

static const struct k_loss loss_opts = {0.5f, 0.5f, 0};

/* Labels as ints are made from BQ's numbers in BTMP. */
static bool loss_labels(float *const *b)
{
    int y[N * V];
    for (int i = 0; i < N * V; i++)
        y[i] = label_of(i);
    return CU(cudaMemcpy(b[BTMP], y, sizeof y, cudaMemcpyHostToDevice));
}

static bool loss_fwd(float *const *b)
{
    return loss_labels(b) && CU(k_loss(b[BX], (int *)b[BTMP], loss_opts, b[BPART], b[BDQ], b[BY], N, C, V));
}

static bool loss_bwd(float *const *b)       /* dy of a loss is 1: the check multiplies */
{
    return CU(k_loss_bwd(b[BX], (int *)b[BTMP], loss_opts, b[BDQ], b[BDX], N, C, V, 1));
}

static const struct kernel kernels[] = {
    {"softmax", N * C * V, 0, N * C * V, -4, 4, softmax_want, softmax_fwd, softmax_bwd, false},
    {"entropy", N * C * V, 0, N * V, 0.01, 1, entropy_want, entropy_fwd, entropy_bwd, false},
    {"cosine", N * D * V, K * D, N * K * V, -1, 1, cosine_want, cosine_fwd, cosine_bwd, true},
    {"loss", N * C * V, N * V, 1, -4, 4, loss_want, loss_fwd, loss_bwd, false}};

static double objective(const struct kernel *k, const double *x, const double *q, const float *dy, double *y)
{
    k->want(x, q, y);
    double sum = 0;
    for (size_t i = 0; i < k->ny; i++)
        sum += dy[i] * y[i];
    return sum;
}

/* Largest error of `got` at some elements of `in`, one of x and q; relative to the largest derivative seen. */
static double differences(const struct kernel *k, double *x, double *q, const float *dy, double *y, double *in,
                          size_t n, const float *got)
{
    double most = 1e-30, diff = 0;
    for (int i = 0; i < PROBES; i++) {
        size_t j = (size_t)i * 2654435761u % n;
        double old = in[j], h = 1e-5;
        in[j] = old + h;
        double up = objective(k, x, q, dy, y);
        in[j] = old - h;
        double want = (up - objective(k, x, q, dy, y)) / (2 * h);
        in[j] = old;
        most = fmax(most, fabs(want));
        diff = isfinite(got[j]) ? fmax(diff, fabs(want - got[j])) : INFINITY;
    }
    return diff / most;
}

static bool check_kernel(struct cu *c, const struct kernel *k, pv_json *o)
{
    enum { MOST = N * D * V };
    static float x[MOST], q[MOST], dy[MOST], got[MOST];
    static double xd[MOST], qd[MOST], y[MOST];
    float *b[NUM_BUFFERS] = {NULL};
    size_t part = (size_t)K_BLOCKS * 16 * 4;
    random_floats(x, k->nx, 1, k->lo, k->hi);
    random_floats(q, k->nq, 2, -1, 1);
    random_floats(dy, k->ny, 3, -1, 1);
    for (size_t i = 0; i < k->nq && k->ny == 1; i++)
        q[i] = (float)label_of((int)i);
    dy[0] = k->ny == 1 ? 1 : dy[0];
    for (size_t i = 0; i < MOST; i++) {
        xd[i] = x[i];
        qd[i] = q[i];
    }
    bool ok = (b[BX] = to_device(c, x, sizeof x)) && (b[BQ] = to_device(c, q, sizeof q)) &&
              (b[BY] = to_device(c, NULL, sizeof x)) && (b[BDY] = to_device(c, dy, sizeof dy)) &&
              (b[BDX] = to_device(c, NULL, sizeof x)) && (b[BDQ] = to_device(c, NULL, sizeof x)) &&
              (b[BTMP] = to_device(c, NULL, sizeof x)) && (b[BPART] = to_device(c, NULL, part)) && k->fwd(b) &&
              k->bwd(b) && CU(cudaMemcpy(got, b[BY], k->ny * 4, cudaMemcpyDeviceToHost));
    k->want(xd, qd, y);
    ok = ok && judge(o, k->name, worst(got, y, k->ny), 1e-4);
    if (ok && CU(cudaMemcpy(got, b[BDX], k->nx * 4, cudaMemcpyDeviceToHost))) {
        double e = differences(k, xd, qd, dy, y, xd, k->nx, got);
        if (k->dq && CU(cudaMemcpy(got, b[BDQ], k->nq * 4, cudaMemcpyDeviceToHost)))
            e = fmax(e, differences(k, xd, qd, dy, y, qd, k->nq, got));
        char *name = pv_asprintf("%s gradient", k->name);
        ok = judge(o, name, e, 1e-3);
        pv_free(name);
    }
    for (int i = 0; i < NUM_BUFFERS; i++)
        cu_free(c, b[i], i == BPART ? part : sizeof x);
    return ok && pv_fault_kind() == PV_FAULT_NONE;
}

/* ---- convolutions ---- */

/* The three sums over all pairs of an input voxel and an output voxel that a tap joins. */
static void conv_want(const struct cu_conv *v, int stride, const float *x, const float *w, const float *dy, double *y,
                      double *dx, double *dw)
{
    const int *big = v->up ? v->out : v->in, *small = v->up ? v->in : v->out;
    int p = stride == 1 ? (v->k - 1) / 2 : 0, taps = v->k * v->k * v->k;
    size_t xv = (size_t)v->in[0] * (size_t)v->in[1] * (size_t)v->in[2];
    size_t yv = (size_t)v->out[0] * (size_t)v->out[1] * (size_t)v->out[2];
    for (int s = 0; s < v->n; s++)
        for (int i = 0; i < small[0] * small[1] * small[2]; i++)
            for (int t = 0; t < taps; t++) {
                int a = i / (small[1] * small[2]) * stride + t / (v->k * v->k) - p;
                int b = i / small[2] % small[1] * stride + t / v->k % v->k - p;
                int c = i % small[2] * stride + t % v->k - p;
                if (a < 0 || b < 0 || c < 0 || a >= big[0] || b >= big[1] || c >= big[2])
                    continue;
                size_t j = ((size_t)a * (size_t)big[1] + (size_t)b) * (size_t)big[2] + (size_t)c;
                size_t xi = v->up ? (size_t)i : j, yi = v->up ? j : (size_t)i;
                for (int ci = 0; ci < v->ci; ci++)
                    for (int co = 0; co < v->co; co++) {
                        size_t wi = (size_t)(v->up ? ci * v->co + co : co * v->ci + ci) * (size_t)taps + (size_t)t;
                        size_t xa = (size_t)(s * v->ci + ci) * xv + xi, ya = (size_t)(s * v->co + co) * yv + yi;
                        y[ya] += (double)x[xa] * w[wi];
                        dx[xa] += (double)dy[ya] * w[wi];
                        dw[wi] += (double)x[xa] * dy[ya];
                    }
            }
}

/* Plain [n][ch][v] on the host to the context's type and layout, and back; weights are n = rows, v = taps. */
static void *pack(struct cu *c, const float *v, int n, int ch, int voxels)
{
    size_t count = (size_t)n * (size_t)ch * (size_t)voxels;
    float *f = to_device(c, v, count * 4);
    void *p = f ? to_device(c, NULL, count * c->element) : NULL;
    bool ok = p && CU(k_from_plain(p, f, n, ch, voxels, c->element == 2, c->nhwc)) && CU(cudaDeviceSynchronize());
    cu_free(c, f, count * 4);
    return ok ? p : NULL;
}

static bool unpack(struct cu *c, const void *p, int n, int ch, int voxels, float *out)
{
    size_t count = (size_t)n * (size_t)ch * (size_t)voxels;
    float *f = to_device(c, NULL, count * 4);
    bool ok = f && CU(k_to_plain(f, p, n, ch, voxels, c->element == 2, c->nhwc)) &&
              CU(cudaMemcpy(out, f, count * 4, cudaMemcpyDeviceToHost));
    cu_free(c, f, count * 4);
    return ok;
}

static bool check_conv(struct cu *c, const struct pv_layer *l, pv_json *o)
{
    static const double allowed[] = {2e-5, 5e-3, 5e-3};
    struct cu_conv v;
    if (!cu_conv_make(c, &v, l))
        return false;
    int xv = v.in[0] * v.in[1] * v.in[2], yv = v.out[0] * v.out[1] * v.out[2], taps = l->k * l->k * l->k;
    int rows = v.up ? v.ci : v.co, cols = v.up ? v.co : v.ci;
    size_t e = c->element, most = pv_max((int)v.x_count, pv_max((int)v.y_count, (int)v.w_count));
    float *x = pv_array(float, v.x_count), *w = pv_array(float, v.w_count), *dy = pv_array(float, v.y_count);
    float *got = pv_array(float, most);
    double *y = pv_array(double, v.y_count), *dx = pv_array(double, v.x_count), *dw = pv_array(double, v.w_count);
    random_floats(x, v.x_count, 4, -1, 1);
    random_floats(w, v.w_count, 5, -1, 1);
    random_floats(dy, v.y_count, 6, -1, 1);
    conv_want(&v, l->stride, x, w, dy, y, dx, dw);
    void *bx = pack(c, x, v.n, v.ci, xv), *bw = pack(c, w, rows, cols, taps), *bdy = pack(c, dy, v.n, v.co, yv);
    void *by = cu_alloc(c, v.y_count * e), *bdx = cu_alloc(c, v.x_count * e), *bdw = cu_alloc(c, v.w_count * e);
    double worst_y = INFINITY, worst_dx = INFINITY, worst_dw = INFINITY;
    bool ok = bx && bw && bdy && by && bdx && bdw && cu_workspace(c) && cu_conv_search(c, &v, bx, bw, by, bdx, bdw) &&
              cu_conv_fwd(c, &v, bx, bw, by) && cu_conv_data(c, &v, bdy, bw, bdx, 0) &&
              cu_conv_data(c, &v, bdy, bw, bdx, 1) && cu_conv_weight(c, &v, bx, bdy, bdw);
    if (ok && unpack(c, by, v.n, v.co, yv, got))
        worst_y = worst(got, y, v.y_count);
    for (size_t i = 0; i < v.x_count; i++)
        dx[i] *= 2;                                 /* added to itself */
    if (ok && unpack(c, bdx, v.n, v.ci, xv, got))
        worst_dx = worst(got, dx, v.x_count);
    if (ok && unpack(c, bdw, rows, cols, taps, got))
        worst_dw = worst(got, dw, v.w_count);
    char *name = pv_asprintf("%s %d-%d k%d/%d", l->op, l->ci, l->co, l->k, l->stride);
    ok = ok && judge(o, name, fmax(worst_y, fmax(worst_dx, worst_dw)), allowed[c->precision]);
    pv_free(name);
    cu_free(c, bx, v.x_count * e);
    cu_free(c, bw, v.w_count * e);
    cu_free(c, bdy, v.y_count * e);
    cu_free(c, by, v.y_count * e);
    cu_free(c, bdx, v.x_count * e);
    cu_free(c, bdw, v.w_count * e);
    cu_free(c, c->workspace, c->workspace_bytes);
    c->workspace = NULL;
    c->workspace_bytes = 0;
    void *const mem[] = {x, w, dy, got, y, dx, dw};
    for (size_t i = 0; i < PV_COUNT(mem); i++)
        pv_free(mem[i]);
    cu_conv_free(&v);
    return ok;
}

bool cu_check(struct cu *c, pv_json *o)
{
    static const struct pv_layer layers[] = {
        {"conv", true, 8, 16, 3, 1, 2, {6, 5, 4}}, {"conv", true, 8, 16, 2, 2, 1, {6, 4, 4}},
        {"up", true, 16, 8, 2, 2, 2, {3, 2, 2}}, {"head", true, 16, 2, 1, 1, 1, {4, 4, 4}}};
    bool ok = true;
    for (size_t i = 0; i < PV_COUNT(kernels) && ok; i++)
        ok = check_kernel(c, &kernels[i], o);
    for (size_t i = 0; i < PV_COUNT(layers) && ok; i++)
        ok = check_conv(c, &layers[i], o);
    c->peak = c->used;
    return ok;
}
