/* SPDX-License-Identifier: Apache-2.0
 * Convolutions by a library's matrix product (CLBlast, OpenCL devices of class simt): voxels with all they meet as rows
 * of a scratch matrix, a piece of the batch at a time, times the weights; results go from rows into maps. Weight
 * gradients add the pieces in order. What does not fit a binding sample by sample stays with other kernels. */
#include "ops/args/conv_blas.h"
#include "ops/conv_impl.h"

enum {
    ROOM = 64 << 20,            /* bytes of the scratch matrix, at most */
    ADDENDS = 4096,             /* of one product of a weight gradient: the library adds them one after the other */
};
static const double slow = 5;           /* seconds for the first product that the tuner puts up with */

static const struct pv_kernel k_rows = {"conv_blas", "blas_rows", "rw", sizeof(struct a_blas), {64, 1, 1}, NULL};
static const struct pv_kernel k_map = {"conv_blas", "blas_map", "rrx", sizeof(struct a_blas), {64, 1, 1}, NULL};
static const struct pv_kernel k_weights = {"conv_blas", "blas_weights", "rw", sizeof(struct a_blas_w), {64, 1, 1},
                                           NULL};
static const struct pv_kernel k_grads = {"conv_blas", "blas_grads", "rx", sizeof(struct a_blas_g), {64, 1, 1}, NULL};

static bool refuse(const char *why)
{
    pv_debug("ops", "conv: no clblast: %s", why);
    return false;
}

/* A work-group of 64 makes 1 KiB of rows, pv_groups spreads groups over two dimensions. */
static uint64_t most_bytes(const pv_dev *dev)
{
    const struct pv_limits *l = &pv_dev_get_info(dev)->limits;
    uint64_t binding = l->max_binding < ROOM ? l->max_binding : ROOM;
    uint64_t groups = (uint64_t)l->max_groups * l->max_groups;
    return groups < ROOM >> 10 && groups << 10 < binding ? groups << 10 : binding;
}

static bool fits(const pv_tensor *t, int64_t elements)
{
    uint64_t bytes = (uint64_t)elements * 4;
    return bytes <= pv_dev_get_info(t->dev)->limits.max_binding && bytes <= pv_buf_segment(t->buf);
}

/* Rows of a piece: all of `total` in equal pieces of whole tiles; 0: not even one fits. `row`: floats of the wider of
 * the matrices that are cut. */
static int piece_rows(const pv_dev *dev, int64_t total, int64_t row)
{
    enum { TILE = 128 };
    int64_t most = (int64_t)(most_bytes(dev) / 4) / row;
    if (most > TILE)
        most = most / TILE * TILE;
    if (most < 1)
        return 0;
    if (total <= most)
        return (int)total;
    int64_t pieces = (total + most - 1) / most, even = (total + pieces - 1) / pieces;
    return (int)(even > TILE ? (even + TILE - 1) / TILE * TILE : even);
}

/* ---- whether ---- */

bool blas_there(const pv_dev *dev)
{
    struct pv_str why = {0};
    bool there = pv_dev_get_info(dev)->cls == PV_SIMT;
    if (!there)
        pv_str_add(&why, "it is for devices of class simt (--class simt)");
    else
        there = pv_gemm_there(dev, &why);
    if (!there)
        refuse(why.text);
    pv_str_free(&why);
    return there;
}

bool blas_in_trial(pv_dev *dev)
{
    double seconds;
    if (!pv_gemm_begin(dev, &seconds))
        return false;
    if (seconds > slow)
        return refuse("its kernels take too long to compile");
    struct pv_mem_stats m = pv_dev_mem(dev);    /* rows, results, and the library's own copies of both */
    if (m.used + 4 * (uint64_t)ROOM > pv_dev_get_info(dev)->limits.memory / 10 * 9)
        return refuse("no memory to spare for its scratch");
    return true;
}

static bool can(const pv_tensor *a, const pv_tensor *b, int64_t row, int64_t matrix)
{
    if (!fits(a, pv_shape_sample(&a->h)) || !fits(b, pv_shape_sample(&b->h)))
        return refuse("a sample exceeds a binding");
    if ((uint64_t)matrix * 4 > pv_dev_get_info(a->dev)->limits.max_binding)
        return refuse("the weights exceed a binding");
    if (piece_rows(a->dev, 1, row) < 1)
        return refuse("a row of the scratch matrix exceeds a binding");
    return pv_gemm_begin(a->dev, NULL) || refuse("the library does not work here");
}

/* ---- weights ---- */

static bool goes_up(const struct conv_desc *d, bool dgrad) { return d->stride > 1 && (d->up != 0) != dgrad; }

/* Floats of the matrix, without the biases behind it. */
static int64_t matrix_size(const struct conv_desc *d)
{
    return (int64_t)pv_blocks(d->ci) * pv_blocks(d->co) * conv_taps(d) * 256;
}

pv_tensor *blas_new_weights(pv_tensor *w, const struct conv_desc *d, bool dgrad)
{
    return pv_tensor_new(w->dev, pv_flat((int)matrix_size(d) + pv_blocks(dgrad ? d->ci : d->co) * 16), PV_F32);
}

void blas_weights(pv_tensor *packed, pv_tensor *m, const struct conv_desc *d, bool dgrad)
{
    struct a_blas_w a = {.kb = pv_blocks(dgrad ? d->ci : d->co), .cb = pv_blocks(dgrad ? d->co : d->ci),
                         .taps = conv_taps(d), .up = goes_up(d, dgrad)};
    struct pv_launch l = {.k = &k_weights, .label = "pack weights", .args = &a};
    pv_bind(&l, 0, packed);
    pv_bind(&l, 1, m);
    pv_run_items(m->dev, &l, (uint64_t)m->h.n / 4);
}

/* ---- rows and products ---- */

static struct pv_gemm_rows matrix(const pv_tensor *t, int ld) { return (struct pv_gemm_rows){t->buf, t->off * 4, ld}; }

/* One side of a product: a map of which a launch takes samples n0 .. n0 + nn. */
static struct a_blas side(const pv_tensor *map, const int grid[3], const struct conv_desc *d, bool taps)
{
    struct pv_strides s = pv_strides_of(map);
    struct a_blas a = {.x = grid[0], .y = grid[1], .z = grid[2], .nb = pv_blocks(map->h.c), .kx = 1, .ky = 1, .kz = 1,
                       .stride = 1, .sn = s.n, .sb = s.b, .sp = s.p, .sr = s.r, .s0 = s.first, .fx = map->h.s[0],
                       .fy = map->h.s[1], .fz = map->h.s[2], .bias = -1};
    if (taps) {
        a.kx = d->k[0];
        a.ky = d->k[1];
        a.kz = d->k[2];
        a.stride = d->stride;
    }
    return a;
}

static void start_at_pad(struct a_blas *a, const struct conv_desc *d)
{
    a->s0 -= d->pad[0] * a->sp + d->pad[1] * a->sr + d->pad[2] * 16;
}

static int columns(const struct a_blas *a) { return a->nb * a->kx * a->ky * a->kz * 16; }

static void run_rows(const char *label, pv_tensor *map, int n, int samples, struct a_blas *a, pv_tensor *rows)
{
    struct pv_launch l = {.k = &k_rows, .label = label, .args = a};
    pv_bind_samples(&l, 0, map, n, samples);
    pv_bind_range(&l, 1, rows, 0, (int64_t)a->rows * columns(a));
    pv_run_items(map->dev, &l, (uint64_t)a->rows * (uint64_t)columns(a) / 4);
}

bool blas_can(const pv_tensor *src, const pv_tensor *dst, const struct conv_desc *d, bool upward)
{
    int in = pv_blocks(src->h.c) * (upward ? 1 : conv_taps(d)), out = pv_blocks(dst->h.c) * (upward ? conv_taps(d) : 1);
    return can(src, dst, pv_max(in, out) * 16, matrix_size(d) + pv_blocks(dst->h.c) * 16);
}

void blas_run(const char *label, pv_tensor *src, pv_tensor *weights, pv_tensor *dst, const struct conv_desc *d,
              bool upward, bool bias, bool accum)
{
    if (!src || !weights || !dst || pv_dev_failed(dst->dev))
        return;
    pv_dev *dev = dst->dev;
    int grid[3];        /* upward: coarse voxels that reach all fine ones; of them the last may lie on the border */
    for (int i = 0; i < 3; i++)
        grid[i] = upward && d->k[i] == 2 ? pv_ceil_div(dst->h.s[i], 2) : dst->h.s[i];
    struct a_blas in = side(src, grid, d, !upward), out = side(dst, grid, d, upward);
    if (!upward)
        start_at_pad(&in, d);
    out.accum = accum;
    out.bias = bias ? (int)matrix_size(d) : -1;
    const int ci = columns(&in), co = columns(&out);
    const int64_t voxels = (int64_t)grid[0] * grid[1] * grid[2];
    const int most = piece_rows(dev, voxels * src->h.n, pv_max(ci, co));
    pv_tensor *rows = pv_tensor_new(dev, pv_flat(most * ci), PV_F32);
    pv_tensor *sums = pv_tensor_new(dev, pv_flat(most * co), PV_F32);
    pv_tensor *both[] = {src, dst};
    const int64_t unit[] = {pv_shape_sample(&src->h), pv_shape_sample(&dst->h)};
    for (int n = 0, m; rows && sums && n < src->h.n; n += m) {
        m = pv_units_per_launch(dev, 2, both, unit, NULL, n, src->h.n - n);
        for (int64_t v = 0; v < m * voxels; v += most) {
            in.first = out.first = (int)v;
            in.rows = out.rows = m * voxels - v < most ? (int)(m * voxels - v) : most;
            run_rows(label, src, n, m, &in, rows);
            pv_gemm_run(dev, &(struct pv_gemm){.label = label, .a = matrix(rows, ci), .b = matrix(weights, co),
                                               .c = matrix(sums, co), .m = in.rows, .n = co, .k = ci});
            struct pv_launch l = {.k = &k_map, .label = label, .args = &out};
            pv_bind_range(&l, 0, sums, 0, (int64_t)out.rows * co);
            pv_bind(&l, 1, weights);
            pv_bind_samples(&l, 2, dst, n, m);
            pv_run_items(dev, &l, (uint64_t)out.rows * (uint64_t)co / 4);
        }
    }
    pv_tensor_put(&rows);
    pv_tensor_put(&sums);
}

bool blas_can_wgrad(const pv_tensor *fine, const pv_tensor *coarse, const pv_tensor *dw, const struct conv_desc *d)
{
    if (!fits(dw, dw->h.n))
        return refuse("the weights exceed a binding");
    int f = pv_blocks(fine->h.c) * conv_taps(d), c = pv_blocks(coarse->h.c);
    return can(fine, coarse, pv_max(f, c) * 16, (int64_t)f * c * 256);
}

void blas_run_wgrad(const char *label, pv_tensor *fine, pv_tensor *coarse, pv_tensor *dw, const struct conv_desc *d,
                    bool accum)
{
    if (!fine || !coarse || !dw || pv_dev_failed(dw->dev))
        return;
    pv_dev *dev = dw->dev;
    struct a_blas f = side(fine, coarse->h.s, d, true), c = side(coarse, coarse->h.s, d, false);
    start_at_pad(&f, d);
    const int cf = columns(&f), cc = columns(&c);
    const int64_t voxels = pv_voxels(&coarse->h);
    const int most = pv_min(piece_rows(dev, voxels * coarse->h.n, pv_max(cf, cc)), ADDENDS);
    pv_tensor *rows = pv_tensor_new(dev, pv_flat(most * cf), PV_F32);
    pv_tensor *dy = pv_tensor_new(dev, pv_flat(most * cc), PV_F32);
    pv_tensor *sum = pv_tensor_new(dev, pv_flat(cc * cf), PV_F32), *both[] = {fine, coarse};
    const int64_t unit[] = {pv_shape_sample(&fine->h), pv_shape_sample(&coarse->h)};
    bool ok = rows && dy && sum;
    for (int n = 0, m; ok && n < fine->h.n; n += m) {
        m = pv_units_per_launch(dev, 2, both, unit, NULL, n, fine->h.n - n);
        for (int64_t v = 0; v < m * voxels; v += most) {
            f.first = c.first = (int)v;
            f.rows = c.rows = m * voxels - v < most ? (int)(m * voxels - v) : most;
            run_rows(label, fine, n, m, &f, rows);
            run_rows(label, coarse, n, m, &c, dy);
            pv_gemm_run(dev, &(struct pv_gemm){.label = label, .a = matrix(dy, cc), .b = matrix(rows, cf),
                                               .c = matrix(sum, cf), .m = cc, .n = cf, .k = f.rows, .turn_a = true,
                                               .accum = n > 0 || v > 0});
        }
    }
    if (ok) {
        struct a_blas_g a = {.nv = coarse->h.c, .nb = fine->h.c, .taps = conv_taps(d), .accum = accum};
        struct pv_launch l = {.k = &k_grads, .label = label, .args = &a};
        pv_bind(&l, 0, sum);
        pv_bind(&l, 1, dw);
        pv_run_items(dev, &l, (uint64_t)dw->h.n);
    }
    pv_tensor_put(&rows);
    pv_tensor_put(&dy);
    pv_tensor_put(&sum);
}
