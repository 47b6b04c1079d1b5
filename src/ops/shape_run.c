/* SPDX-License-Identifier: Apache-2.0
 * Launches of shape.cl. Copies of whole stored channels or blocks are runs of elements; where a BLOCKED tensor is
 * entered in the middle of a block, lanes are shifted. */
#include "ops/args/shape.h"
#include "ops/shape_impl.h"
#include "ops/span.h"

static const struct pv_kernel fat_to = {"shape", "move_to", "rw", sizeof(struct a_move), {1, 1, 1}, NULL};
static const struct pv_kernel fat_add = {"shape", "move_add", "rx", sizeof(struct a_move), {1, 1, 1}, NULL};
static const struct pv_kernel simt_to = {"shape", "move_to", "rw", sizeof(struct a_move), {64, 1, 1}, NULL};
static const struct pv_kernel simt_add = {"shape", "move_add", "rx", sizeof(struct a_move), {64, 1, 1}, NULL};
static const struct pv_kernel fat_lanes = {"shape", "lanes_to", "rx", sizeof(struct a_lanes), {1, 1, 1}, NULL};
static const struct pv_kernel simt_lanes = {"shape", "lanes_to", "rx", sizeof(struct a_lanes), {64, 1, 1}, NULL};
static const struct pv_kernel fat_plain = {"shape", "to_plain", "rx", sizeof(struct a_layout), {1, 1, 1}, NULL};
static const struct pv_kernel simt_plain = {"shape", "to_plain", "rx", sizeof(struct a_layout), {64, 1, 1}, NULL};
static const struct pv_kernel fat_blocked = {"shape", "to_blocked", "rx", sizeof(struct a_layout), {1, 1, 1}, NULL};
static const struct pv_kernel simt_blocked = {"shape", "to_blocked", "rx", sizeof(struct a_layout), {64, 1, 1},
                                              NULL};
static const struct pv_kernel fat_pool = {"shape", "pool_fwd", "rw", sizeof(struct a_pool), {1, 1, 1}, NULL};
static const struct pv_kernel simt_pool = {"shape", "pool_fwd", "rw", sizeof(struct a_pool), {64, 1, 1}, NULL};
static const struct pv_kernel fat_pool_b = {"shape", "pool_bwd", "rrx", sizeof(struct a_pool), {1, 1, 1}, NULL};
static const struct pv_kernel simt_pool_b = {"shape", "pool_bwd", "rrx", sizeof(struct a_pool), {64, 1, 1}, NULL};

/* Runs the fat kernel over rows or the simt kernel over `per_row` work-items for each. */
static void run_rows(pv_dev *dev, struct pv_launch *l, int64_t rows, int64_t per_row)
{
    pv_run_items(dev, l, (uint64_t)(l->k->wg[0] == 1 ? rows : rows * per_row));
}

/* ---- copies ---- */

/* rows runs of `len` elements; row i of src is at s0 + i * sn, of dst at d0 + i * dn. All of them can be bound. */
static void move(const char *label, pv_tensor *dst, int64_t d0, int64_t dn, pv_tensor *src, int64_t s0, int64_t sn,
                 int rows, int64_t len, bool accum)
{
    bool fat = pv_class(dst) == PV_FAT;
    struct a_move a = {.rows = rows, .len = (int)len, .sn = (int)sn, .dn = (int)dn,
                       .chunks = (int)((len + (fat ? 4095 : 255)) / (fat ? 4096 : 256))};
    struct pv_launch l = {.k = accum ? fat ? &fat_add : &simt_add : fat ? &fat_to : &simt_to, .label = label,
                          .args = &a};
    pv_bind_range(&l, 0, src, s0, (rows - 1) * sn + len);
    pv_bind_range(&l, 1, dst, d0, (rows - 1) * dn + len);
    pv_groups(dst->dev, &l, (uint64_t)rows * (uint64_t)a.chunks);
    pv_run(dst->dev, &l);
}

static void copy_runs(const char *label, struct shape_part d, struct shape_part s, int n, int64_t len, int64_t d_at,
                      int64_t s_at, bool accum)
{
    int64_t dn = pv_shape_sample(&d.t->h), sn = pv_shape_sample(&s.t->h);
    if (span_fits(d.t, dn) && span_fits(s.t, sn)) {
        for (int i = 0; i < n;) {
            int m = pv_min(span_samples(d.t, d.n0 + i, n - i), span_samples(s.t, s.n0 + i, n - i));
            move(label, d.t, (d.n0 + i) * dn + d_at, dn, s.t, (s.n0 + i) * sn + s_at, sn, m, len, accum);
            i += m;
        }
        return;
    }
    int64_t part = len;
    while (part > 16 && !(span_fits(d.t, part) && span_fits(s.t, part)))
        part = (part / 2 + 15) / 16 * 16;
    for (int i = 0; i < n; i++)
        for (int64_t at = 0; at < len; at += part)
            move(label, d.t, (d.n0 + i) * dn + d_at + at, 0, s.t, (s.n0 + i) * sn + s_at + at, 0, 1,
                 len - at < part ? len - at : part, accum);
}

/* One launch over channels [k0, k1) of dst, planes [x0, x0 + nx), of the i-th sample of both parts. */
static void lanes(const char *label, struct shape_part d, struct shape_part s, int i, int k0, int k1, int x0,
                  int nx, bool accum)
{
    pv_tensor *dst = d.t, *src = s.t;
    struct pv_strides ds = pv_strides_of(dst), ss = pv_strides_of(src);
    int b0 = k0 / 16, b1 = (k1 + 15) / 16, q0 = (k0 - d.c0 + s.c0) / 16, q1 = (k1 - d.c0 + s.c0 + 15) / 16;
    bool all = x0 == 0 && nx == dst->h.s[0];
    struct a_lanes a = {.blocks = b1 - b0, .x = nx, .y = dst->h.s[1], .z = dst->h.s[2], .k0 = k0 - b0 * 16,
        .k1 = k1 - b0 * 16, .shift = s.c0 - d.c0 + (b0 - q0) * 16, .accum = accum, .sb = ss.b, .sp = ss.p,
        .sr = ss.r, .db = ds.b, .dp = ds.p, .dr = ds.r};
    struct pv_launch l = {.k = pv_class(dst) == PV_FAT ? &fat_lanes : &simt_lanes, .label = label, .args = &a};
    int64_t sat = (int64_t)(s.n0 + i) * ss.n + (int64_t)q0 * ss.b;
    int64_t dat = (int64_t)(d.n0 + i) * ds.n + (int64_t)b0 * ds.b;
    if (all) {
        a.so = ss.first;
        a.dd = ds.first;
        pv_bind_range(&l, 0, src, sat, (int64_t)(q1 - q0) * ss.b);
        pv_bind_range(&l, 1, dst, dat, (int64_t)(b1 - b0) * ds.b);
    } else {
        int bx = dst->h.b[0];
        a.so = ss.first - bx * ss.p;
        a.dd = ds.first - bx * ds.p;
        pv_bind_range(&l, 0, src, sat + (int64_t)(x0 + bx) * ss.p, (int64_t)nx * ss.p);
        pv_bind_range(&l, 1, dst, dat + (int64_t)(x0 + bx) * ds.p, (int64_t)nx * ds.p);
    }
    run_rows(dst->dev, &l, (int64_t)a.blocks * nx * a.y, (int64_t)a.z * 16);
}

static void copy_lanes(const char *label, struct shape_part d, struct shape_part s, int n, int c, bool accum)
{
    int64_t dn = pv_shape_sample(&d.t->h), sn = pv_shape_sample(&s.t->h), plane = pv_shape_plane(&d.t->h);
    int X = d.t->h.s[0], end = d.c0 + c, nx = X;
    bool whole = span_fits(d.t, dn) && span_fits(s.t, sn);
    while (nx > 1 && !whole && !(span_fits(d.t, (nx + 2) * plane) && span_fits(s.t, (nx + 2) * plane)))
        nx = (nx + 1) / 2;
    for (int i = 0; i < n; i++) {
        if (whole) {
            lanes(label, d, s, i, d.c0, end, 0, X, accum);
            continue;
        }
        for (int k = d.c0, m; k < end; k += m) {    /* one block of each side */
            m = pv_min(pv_min(16 - k % 16, 16 - (k - d.c0 + s.c0) % 16), end - k);
            for (int x0 = 0; x0 < X; x0 += nx)
                lanes(label, d, s, i, k, k + m, x0, pv_min(nx, X - x0), accum);
        }
    }
}

void shape_run_copy(const char *label, struct shape_part d, struct shape_part s, int n, int c, bool accum)
{
    if (pv_dev_failed(d.t->dev) || n == 0 || c == 0)
        return;
    bool blocked = d.t->h.layout == PV_BLOCKED;
    int64_t unit = pv_shape_block(&d.t->h);
    /* whole blocks: aligned on both sides, and the last block shared with no other channels */
    if (!blocked || (d.c0 % 16 == 0 && s.c0 % 16 == 0 && (c % 16 == 0 || (d.c0 + c == d.t->h.c &&
                                                                          s.c0 + c == s.t->h.c)))) {
        int lane = blocked ? 16 : 1;
        copy_runs(label, d, s, n, pv_ceil_div(c, lane) * unit, d.c0 / lane * unit, s.c0 / lane * unit, accum);
    } else {
        copy_lanes(label, d, s, n, c, accum);
    }
}

/* ---- layouts ---- */

static void layout(const char *label, struct pv_launch *l, struct a_layout *a, bool back, pv_tensor *blocked,
                   int64_t b_at, int64_t b_len, pv_tensor *plain, int64_t p_at, int64_t p_len)
{
    bool fat = pv_class(plain) == PV_FAT;
    l->k = back ? fat ? &fat_blocked : &simt_blocked : fat ? &fat_plain : &simt_plain;
    l->label = label;
    l->args = a;
    pv_bind_range(l, back, blocked, b_at, b_len);
    pv_bind_range(l, !back, plain, p_at, p_len);
    run_rows(plain->dev, l, (int64_t)a->n * ((a->l0 + a->c + 15) / 16) * a->x * a->y, a->z);
}

void shape_run_layout(const char *label, pv_tensor *plain, pv_tensor *blocked, bool back, bool accum)
{
    struct pv_strides bs = pv_strides_of(blocked), ps = pv_strides_of(plain);
    int n = plain->h.n, c = plain->h.c, X = plain->h.s[0], bx = blocked->h.b[0];
    struct a_layout base = {.n = 1, .c = c, .x = X, .y = plain->h.s[1], .z = plain->h.s[2], .bn = bs.n, .bb = bs.b,
                            .bp = bs.p, .br = bs.r, .bo = bs.first, .pn = ps.n, .pc = ps.b, .accum = accum};
    if (span_fits(plain, ps.n) && span_fits(blocked, bs.n)) {
        for (int i = 0, m; i < n; i += m) {
            m = pv_min(span_samples(plain, i, n - i), span_samples(blocked, i, n - i));
            struct a_layout a = base;
            a.n = m;
            struct pv_launch l = {0};
            layout(label, &l, &a, back, blocked, (int64_t)i * bs.n, (int64_t)m * bs.n, plain, (int64_t)i * ps.n,
                   (int64_t)m * ps.n);
        }
        return;
    }
    /* a block with its channels, or a few planes of one lane */
    int nl = pv_min(16, c), nx = X;
    if (!span_fits(blocked, bs.b) || !span_fits(plain, (int64_t)nl * ps.b))
        nl = 1;
    while (nx > 1 && !(span_fits(blocked, (int64_t)(nl == 1 ? nx : nx + 2 * bx) * bs.p) &&
                       span_fits(plain, (int64_t)(nl - 1) * ps.b + (int64_t)nx * ps.p)))
        nx = (nx + 1) / 2;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < c; k += nl)
            for (int x0 = 0; x0 < X; x0 += nx) {
                struct a_layout a = base;
                a.l0 = k % 16;
                a.c = pv_min(nl, c - k);
                a.x = pv_min(nx, X - x0);
                a.bo = bs.first - bx * bs.p;
                struct pv_launch l = {0};
                layout(label, &l, &a, back, blocked, i * (int64_t)bs.n + k / 16 * (int64_t)bs.b +
                       (int64_t)(x0 + bx) * bs.p, (int64_t)a.x * bs.p, plain, i * (int64_t)ps.n +
                       k * (int64_t)ps.b + (int64_t)x0 * ps.p, (int64_t)(a.c - 1) * ps.b + (int64_t)a.x * ps.p);
            }
}

/* ---- pooling ---- */

/* Sides 0 and 2 are on the fine grid: windows x0.. cover its planes kx * x0... */
static void pool_need(const struct span *s, int k, int x0, int nx, int *first, int *count)
{
    const struct pv_shape *h = &s->t[k]->h;
    const int *kx = s->ctx;
    int per = k == 1 ? 1 : *kx;
    *first = x0 * per;
    *count = pv_min(nx * per, h->s[0] - *first);
    if (*count < 1) {       /* windows past the last output: bound, not read */
        *first = h->s[0] - 1;
        *count = 1;
    }
}

static struct a_pool pool_args(const struct span *s, const pv_tensor *x, const pv_tensor *y, int kx)
{
    struct pv_strides xs = pv_strides_of(x), ys = pv_strides_of(y);
    return (struct a_pool){.units = s->nu, .x = s->nx, .kx = kx, .ix = x->h.s[0] - s->x0 * kx, .iy = x->h.s[1],
        .iz = x->h.s[2], .ox = y->h.s[0] - s->x0, .oy = y->h.s[1], .oz = y->h.s[2], .su = xs.b, .sp = xs.p,
        .sr = xs.r, .du = ys.b, .dp = ys.p, .dr = ys.r};
}

void shape_run_pool(pv_tensor *x, pv_tensor *y)
{
    int kx = x->h.dims == 2 ? 1 : 2;
    struct span s = {.num = 2, .t = {x, y}, .planes = y->h.s[0], .need = pool_need, .ctx = &kx};
    while (span_next(&s)) {
        struct a_pool a = pool_args(&s, x, y, kx);
        struct pv_launch l = {.k = pv_class(x) == PV_FAT ? &fat_pool : &simt_pool, .label = "max pool fwd",
                              .args = &a};
        a.so = span_bind(&s, &l, 0, 0);
        a.dd = span_bind(&s, &l, 1, 1);
        a.y = a.oy;
        a.z = a.oz;
        run_rows(x->dev, &l, (int64_t)s.nu * s.nx * a.y, (int64_t)a.z * 4);
    }
}

void shape_run_pool_back(pv_tensor *x, pv_tensor *dy, pv_tensor *dx, bool accum)
{
    int kx = x->h.dims == 2 ? 1 : 2;
    struct span s = {.num = 3, .t = {x, dy, dx}, .planes = pv_ceil_div(x->h.s[0], kx), .need = pool_need,
                     .ctx = &kx};
    while (span_next(&s)) {
        struct a_pool a = pool_args(&s, x, dy, kx);
        struct pv_launch l = {.k = pv_class(x) == PV_FAT ? &fat_pool_b : &simt_pool_b, .label = "max pool bwd",
                              .args = &a};
        a.so = span_bind(&s, &l, 0, 0);
        a.dd = span_bind(&s, &l, 1, 1);
        a.go = span_bind(&s, &l, 2, 2);
        a.y = pv_ceil_div(x->h.s[1], 2);
        a.z = pv_ceil_div(x->h.s[2], 2);
        a.accum = accum;
        run_rows(x->dev, &l, (int64_t)s.nu * s.nx * a.y, (int64_t)a.z * 4);
    }
}
