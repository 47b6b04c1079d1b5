/* SPDX-License-Identifier: Apache-2.0
 * Launches of proto.cl and proto_aux.cl. What exceeds one binding is split: samples, then channels of the PLAIN
 * tensors, single blocks of the BLOCKED ones with sums carried from block to block, and x-planes. Parts of sums
 * never cross an x-plane, so that their order depends on the shape alone. */
#include "ops/args/proto.h"
#include "ops/proto_impl.h"

/* One kernel per class: [0] simt, [1] fat. */
#define BOTH(name, bind, args) \
    static const struct pv_kernel k_##name[2] = { \
        {"proto", "proto_" #name, bind, sizeof(struct args), {64, 1, 1}, NULL}, \
        {"proto", "proto_" #name, bind, sizeof(struct args), {1, 1, 1}, NULL}}
#define AUX(name, bind, args) \
    static const struct pv_kernel k_##name = {"proto_aux", "proto_" #name, bind, sizeof(struct args), \
                                              {64, 1, 1}, NULL}
BOTH(dots, "rrxx", a_proto);
BOTH(cosmax, "rrwww", a_proto);
BOTH(apply, "rrrrrrx", a_proto);
BOTH(pool, "rrrrw", a_pool);
BOTH(assign, "rrw", a_pool);
BOTH(l2, "rww", a_proto);
BOTH(l2_bwd, "rrrxx", a_proto);
BOTH(dist, "rrrxxx", a_proto);
static const struct pv_kernel k_dist_part[2] = {
    {"proto_aux", "proto_dist_part", "rrw", sizeof(struct a_dist), {64, 1, 1}, NULL},
    {"proto_aux", "proto_dist_part", "rrw", sizeof(struct a_dist), {1, 1, 1}, NULL}};
AUX(maxof, "rww", a_proto);
AUX(total, "rww", a_total);
AUX(pack, "rrrww", a_rows);
AUX(dcos, "rrrx", a_rows);
AUX(dist_total, "rww", a_dist);
AUX(dist_coef, "rrrrrrww", a_dist);
AUX(dist2, "rrrrww", a_flat);
AUX(dist2_bwd, "rrrrx", a_flat);
AUX(lin, "rrx", a_flat);
AUX(mean, "rw", a_flat);
AUX(ema, "rrx", a_flat);

static bool is_fat(const pv_tensor *t) { return pv_class(t) == PV_FAT; }

static bool fits(const pv_tensor *t, int64_t elements)
{
    uint64_t bytes = (uint64_t)elements * 4;
    return bytes <= pv_dev_get_info(t->dev)->limits.max_binding && bytes <= pv_buf_segment(t->buf);
}

/* ---- splitting ---- */

enum { MOST_BLOCKED = 3, MOST_MAPS = 8 };

/* Steps through samples, channels k, blocks and planes, the last fastest. NULL tensors are ignored. */
struct walk {
    pv_tensor *blk[MOST_BLOCKED];       /* BLOCKED, one shape; the first is there */
    struct { pv_tensor *t; int per_k; } map[MOST_MAPS];     /* PLAIN: channels per k, 0: one channel */
    int k, most_k;                      /* channels in all, at most in one launch */
    bool one_block;                     /* blocks one at a time even where more fit */
    /* this piece */
    int n0, nn, k0, kc, b0, nb, x0, nx;
    int step_k, step_x;
    bool whole, started;                /* whole: BLOCKED tensors are bound by samples */
};

static int64_t map_span(const pv_tensor *t, int channels, int nx)
{
    return (int64_t)(channels - 1) * pv_shape_block(&t->h) + nx * pv_shape_plane(&t->h);
}

static bool maps_fit(const struct walk *w, int kc, int nx)
{
    for (int i = 0; i < MOST_MAPS; i++) {
        pv_tensor *t = w->map[i].t;
        int channels = pv_max(1, kc * w->map[i].per_k);
        if (t && !fits(t, map_span(t, channels, nx)))
            return false;
    }
    return true;
}

static bool blocks_fit(const struct walk *w, int64_t elements)
{
    for (int i = 0; i < MOST_BLOCKED; i++)
        if (w->blk[i] && !fits(w->blk[i], elements))
            return false;
    return true;
}

/* Sizes of the pieces from sample n0 on. */
static void walk_sample(struct walk *w)
{
    const struct pv_shape *h = &w->blk[0]->h;
    w->whole = blocks_fit(w, pv_shape_sample(h));
    w->nb = w->whole && !w->one_block ? pv_blocks(h->c) : 1;
    w->step_k = pv_min(w->most_k, pv_max(w->k, 1));
    w->step_x = h->s[0];
    while (w->step_k > 1 && !maps_fit(w, w->step_k, w->step_x))
        w->step_k = (w->step_k + 1) / 2;
    while (w->step_x > 1 && !(maps_fit(w, w->step_k, w->step_x) &&
                              (w->whole || blocks_fit(w, w->step_x * pv_shape_plane(h)))))
        w->step_x = (w->step_x + 1) / 2;
    w->nn = 1;
    if (w->whole && w->step_x == h->s[0] && maps_fit(w, w->step_k, w->step_x)) {
        pv_tensor *all[MOST_BLOCKED + MOST_MAPS];
        int64_t unit[MOST_BLOCKED + MOST_MAPS];
        for (int i = 0; i < MOST_BLOCKED + MOST_MAPS; i++) {
            all[i] = i < MOST_BLOCKED ? w->blk[i] : w->map[i - MOST_BLOCKED].t;
            unit[i] = all[i] ? pv_shape_sample(&all[i]->h) : 0;
        }
        w->nn = pv_units_per_launch(w->blk[0]->dev, MOST_BLOCKED + MOST_MAPS, all, unit, NULL, w->n0,
                                    h->n - w->n0);
    }
    w->k0 = w->b0 = w->x0 = 0;
}

static bool walk_next(struct walk *w)
{
    const struct pv_shape *h = &w->blk[0]->h;
    if (!w->started) {
        w->started = true;
        walk_sample(w);
    } else if (w->x0 + w->step_x < h->s[0]) {
        w->x0 += w->step_x;
    } else if (w->b0 + w->nb < pv_blocks(h->c)) {
        w->x0 = 0;
        w->b0 += w->nb;
    } else if (w->k0 + w->step_k < w->k) {
        w->x0 = w->b0 = 0;
        w->k0 += w->step_k;
    } else {
        w->n0 += w->nn;
        if (w->n0 >= h->n)
            return false;
        walk_sample(w);
    }
    w->kc = pv_min(w->step_k, w->k - w->k0);
    w->nx = pv_min(w->step_x, h->s[0] - w->x0);
    return !pv_dev_failed(w->blk[0]->dev);
}

static void bind_blocked(struct pv_launch *l, int i, pv_tensor *t, const struct walk *w)
{
    struct pv_strides s = pv_strides_of(t);
    if (w->whole)
        pv_bind_samples(l, i, t, w->n0, w->nn);
    else
        pv_bind_range(l, i, t, (int64_t)w->n0 * s.n + (int64_t)w->b0 * s.b + (int64_t)(w->x0 + t->h.b[0]) * s.p,
                      (int64_t)w->nx * s.p);
}

/* Channels [c, c + num) of the piece's planes. */
static void bind_map(struct pv_launch *l, int i, pv_tensor *t, const struct walk *w, int c, int num)
{
    int64_t sample = pv_shape_sample(&t->h);
    pv_bind_range(l, i, t, w->n0 * sample + c * pv_shape_block(&t->h) + w->x0 * pv_shape_plane(&t->h),
                  (w->nn - 1) * sample + map_span(t, num, w->nx));
}

/* First voxel of the piece in what bind_blocked bound. */
static int first_voxel(const struct walk *w)
{
    struct pv_strides s = pv_strides_of(w->blk[0]);
    return w->whole ? s.first + w->x0 * s.p + w->b0 * s.b : s.first - w->blk[0]->h.b[0] * s.p;
}

static struct a_proto map_args(const struct walk *w, const struct proto_desc *s)
{
    const struct pv_shape *h = &w->blk[0]->h;
    struct pv_strides st = pv_strides_of(w->blk[0]);
    int row = pv_blocks(s->d) * 16, rows = proto_rows(s);
    return (struct a_proto){.n = w->nn, .x = w->nx, .y = h->s[1], .z = h->s[2], .nb = w->nb, .sn = st.n, .sb = st.b,
        .sp = st.p, .sr = st.r, .s0 = first_voxel(w), .pn = (int)(s->k * s->voxels), .pc = (int)s->voxels,
        .mn = (int)s->voxels, .k = w->kc, .kk = s->kk, .qn = s->sets > 1 ? rows * row : 0, .qk = row,
        .q0 = w->k0 * pv_max(s->kk, 1) * row + w->b0 * 16 + (s->sets > 1 ? w->n0 * rows * row : 0),
        .flags = (w->b0 == 0 ? PF_FIRST : 0) | (w->b0 + w->nb == pv_blocks(h->c) ? PF_LAST : 0),
        .scale = s->scale, .eps = s->eps, .inv = 1 / s->eps};
}

/* Rows of z for the fat class, voxels for the simt class. */
static void run_map(pv_tensor *f, struct pv_launch *l, const struct pv_kernel k[2], const struct a_proto *a)
{
    bool fat = is_fat(f);
    l->k = &k[fat];
    pv_run_items(f->dev, l, (uint64_t)a->n * (uint64_t)a->x * (uint64_t)a->y * (uint64_t)(fat ? 1 : a->z));
}

/* ---- rows of prototypes ---- */

static struct a_rows rows_args(const struct proto_desc *s, int sets)
{
    return (struct a_rows){.rows = sets * proto_rows(s), .d = s->d, .nb = pv_blocks(s->d), .scale = s->scale,
                           .eps = s->eps, .inv = 1 / s->eps};
}

pv_tensor *proto_pack(const char *label, pv_tensor *p, pv_tensor *m, pv_tensor *wsum, const struct proto_desc *s,
                      enum proto_pack_mode mode, pv_tensor **c)
{
    struct a_rows a = rows_args(s, s->sets);
    pv_tensor *q = pv_tensor_new(p->dev, pv_flat(a.rows * a.nb * 16), PV_F32);
    *c = pv_tensor_new(p->dev, pv_flat(a.rows), PV_F32);
    a.mode = mode == PROTO_UNIT ? PR_UNIT : mode == PROTO_MEAN ? PR_MEAN : PR_COPY;
    struct pv_launch l = {.k = &k_pack, .label = label, .args = &a};
    if (!q || !*c) {
        pv_tensor_put(&q);
        pv_tensor_put(c);
        return NULL;
    }
    pv_bind(&l, 0, p);
    pv_bind(&l, 1, m ? m : p);
    pv_bind(&l, 2, wsum ? wsum : p);
    pv_bind(&l, 3, q);
    pv_bind(&l, 4, *c);
    pv_groups(p->dev, &l, (uint64_t)a.rows);
    pv_run(p->dev, &l);
    return q;
}

void proto_run_dcos(const char *label, pv_tensor *h, pv_tensor *p, pv_tensor *c, pv_tensor *dp,
                    const struct proto_desc *s, bool accum)
{
    if (!h || !c)
        return;
    struct a_rows a = rows_args(s, s->sets);
    a.accum = accum;
    struct pv_launch l = {.k = &k_dcos, .label = label, .args = &a};
    pv_bind(&l, 0, h);
    pv_bind(&l, 1, p);
    pv_bind(&l, 2, c);
    pv_bind(&l, 3, dp);
    pv_groups(p->dev, &l, (uint64_t)a.rows);
    pv_run(p->dev, &l);
}

/* ---- maps ---- */

void proto_run_dots(const char *label, pv_tensor *f, pv_tensor *q, pv_tensor *c, pv_tensor *r, pv_tensor *out,
                    const struct proto_desc *s, bool accum)
{
    if (!(c || r) || (out && !q) || pv_dev_failed(f->dev))
        return;
    struct walk w = {.blk = {f}, .map = {{out, 1}, {r, 0}}, .k = out ? s->k : 0, .most_k = 16};
    while (walk_next(&w)) {
        struct a_proto a = map_args(&w, s);
        struct pv_launch l = {.label = label, .args = &a};
        a.flags |= (r ? PF_NORM : 0) | (accum ? PF_ACCUM : 0);
        bind_blocked(&l, 0, f, &w);
        if (out) {
            pv_bind(&l, 1, q);
            bind_map(&l, 3, out, &w, w.k0, w.kc);
        } else {
            bind_blocked(&l, 1, f, &w);
            bind_map(&l, 3, r, &w, 0, 1);
        }
        if (r) {
            bind_map(&l, 2, r, &w, 0, 1);
        } else {
            a.mn = s->sets > 1 ? s->k : 0;
            int first = w.n0 * a.mn + w.k0;
            pv_bind_range(&l, 2, c, first, c->h.n - first);
        }
        run_map(f, &l, k_dots, &a);
    }
}

/* Cosines of all prototypes of a few classes first, for maps of several blocks that do not fit at once. */
static void cosmax_split(const char *label, pv_tensor *f, pv_tensor *q, pv_tensor *r, pv_tensor *out,
                         pv_tensor *win, const struct proto_desc *s)
{
    struct proto_desc flat = *s;
    flat.k = proto_rows(s);
    flat.kk = 0;
    pv_tensor *all = pv_tensor_new(f->dev, pv_plain(f->h.dims, s->n, flat.k, f->h.s), PV_F32);
    proto_run_dots(label, f, q, NULL, r, all, &flat, false);
    struct pv_tensor none = *f;     /* one block: the walk over blocks happens once */
    none.h.c = 1;
    struct walk w = {.blk = {&none}, .map = {{all, s->kk}, {out, 1}, {win, 1}}, .k = s->k, .most_k = s->k};
    while (all && walk_next(&w)) {
        struct a_proto a = map_args(&w, s);
        struct pv_launch l = {.k = &k_maxof, .label = label, .args = &a};
        a.pn = (int)(flat.k * s->voxels);
        a.mn = (int)(s->k * s->voxels);
        bind_map(&l, 0, all, &w, w.k0 * s->kk, w.kc * s->kk);
        bind_map(&l, 1, out, &w, w.k0, w.kc);
        bind_map(&l, 2, win, &w, w.k0, w.kc);
        pv_run_items(f->dev, &l, (uint64_t)a.n * (uint64_t)a.x * (uint64_t)a.y * (uint64_t)a.z);
    }
    pv_tensor_put(&all);
}

void proto_run_cosmax(const char *label, pv_tensor *f, pv_tensor *q, pv_tensor *r, pv_tensor *out,
                      pv_tensor *win, const struct proto_desc *s)
{
    if (!q || !r || !out || !win || pv_dev_failed(f->dev))
        return;
    if (pv_blocks(s->d) > 1 && !fits(f, pv_shape_sample(&f->h))) {
        cosmax_split(label, f, q, r, out, win, s);
        return;
    }
    struct walk w = {.blk = {f}, .map = {{out, 1}, {win, 1}, {r, 0}}, .k = s->k, .most_k = s->k};
    while (walk_next(&w)) {
        struct a_proto a = map_args(&w, s);
        struct pv_launch l = {.label = label, .args = &a};
        bind_blocked(&l, 0, f, &w);
        pv_bind(&l, 1, q);
        bind_map(&l, 2, r, &w, 0, 1);
        bind_map(&l, 3, out, &w, w.k0, w.kc);
        bind_map(&l, 4, win, &w, w.k0, w.kc);
        run_map(f, &l, k_cosmax, &a);
    }
}

void proto_run_apply(const char *label, const struct proto_apply *p, const struct proto_desc *s)
{
    if (!p->out || (p->w && !p->q) || pv_dev_failed(p->out->dev))
        return;
    pv_tensor *dummy = p->q ? p->q : p->map;
    struct walk w = {.blk = {p->out, p->f}, .map = {{p->w, 1}, {p->y, 1}, {p->sel, 1}, {p->r, 0}, {p->map, 0}},
                     .k = p->w ? s->k : 0, .most_k = 1 << 20};
    while (walk_next(&w)) {
        struct a_proto a = map_args(&w, s);
        struct pv_launch l = {.label = label, .args = &a};
        bool more = w.k0 > 0;           /* later channels add; a given alpha counts once */
        a.flags = (p->accum || more ? PF_ACCUM : 0) | (p->f && !(p->map && more) ? PF_FEATURE : 0) |
                  (p->map ? PF_MAP : 0) | (p->y ? PF_COSINE : 0) | (p->sel ? PF_SELECT : 0);
        if (p->f)
            bind_blocked(&l, 0, p->f, &w);
        else
            pv_bind(&l, 0, dummy);
        pv_tensor *maps[] = {p->w, p->y, NULL, p->sel};
        for (int i = 0; i < 4; i++)
            if (maps[i])
                bind_map(&l, 1 + i, maps[i], &w, w.k0, w.kc);
            else
                pv_bind(&l, 1 + i, dummy);
        if (p->map)
            bind_map(&l, 2, p->map, &w, 0, 1);
        if (p->r)
            bind_map(&l, 3, p->r, &w, 0, 1);
        pv_bind(&l, 5, dummy);
        bind_blocked(&l, 6, p->out, &w);
        run_map(p->out, &l, k_apply, &a);
    }
}

void proto_run_l2(const char *label, pv_tensor *f, pv_tensor *r, pv_tensor *y, const struct proto_desc *s)
{
    if (!r || !y || pv_dev_failed(f->dev))
        return;
    if (pv_blocks(s->d) > 1 && !fits(f, pv_shape_sample(&f->h))) {
        proto_run_dots(label, f, NULL, NULL, r, NULL, s, false);
        proto_run_apply(label, &(struct proto_apply){.f = f, .map = r, .out = y}, s);
        return;
    }
    struct walk w = {.blk = {f, y}, .map = {{r, 0}}, .most_k = 1};
    while (walk_next(&w)) {
        struct a_proto a = map_args(&w, s);
        struct pv_launch l = {.label = label, .args = &a};
        bind_blocked(&l, 0, f, &w);
        bind_map(&l, 1, r, &w, 0, 1);
        bind_blocked(&l, 2, y, &w);
        run_map(f, &l, k_l2, &a);
    }
}

void proto_run_l2_bwd(const char *label, pv_tensor *f, pv_tensor *dy, pv_tensor *r, pv_tensor *df,
                      const struct proto_desc *s, bool accum)
{
    bool split = pv_blocks(s->d) > 1 && !fits(f, pv_shape_sample(&f->h));
    pv_tensor *sum = pv_tensor_new(f->dev, r->h, PV_F32);
    for (int phase = 0; sum && phase <= split; phase++) {
        struct walk w = {.blk = {f, dy, df}, .map = {{r, 0}, {sum, 0}}, .most_k = 1};
        while (walk_next(&w)) {
            struct a_proto a = map_args(&w, s);
            struct pv_launch l = {.label = label, .args = &a};
            if (split)          /* <f, dy> over all blocks, then what it is needed for */
                a.flags = phase ? PF_APPLY : PF_SUM | (a.flags & PF_FIRST);
            else
                a.flags = PF_SUM | PF_APPLY | PF_FIRST;
            a.flags |= accum ? PF_ACCUM : 0;
            bind_blocked(&l, 0, f, &w);
            bind_blocked(&l, 1, dy, &w);
            bind_map(&l, 2, r, &w, 0, 1);
            bind_map(&l, 3, sum, &w, 0, 1);
            bind_blocked(&l, 4, df, &w);
            run_map(f, &l, k_l2_bwd, &a);
        }
    }
    pv_tensor_put(&sum);
}

void proto_run_dist(const char *label, pv_tensor *f, pv_tensor *q, pv_tensor *idx, pv_tensor *r, pv_tensor *dd,
                    pv_tensor *tt, const struct proto_desc *s)
{
    if (!q || !dd || !tt || (s->norm && !r) || pv_dev_failed(f->dev))
        return;
    bool at_once = fits(f, pv_shape_sample(&f->h)) || pv_blocks(s->d) == 1;
    if (s->norm && !at_once)
        proto_run_dots(label, f, NULL, NULL, r, NULL, s, false);
    struct walk w = {.blk = {f}, .map = {{idx, 0}, {r, 0}, {dd, 0}, {tt, 0}}, .most_k = 1};
    while (walk_next(&w)) {
        struct a_proto a = map_args(&w, s);
        struct pv_launch l = {.label = label, .args = &a};
        a.flags |= (s->norm ? PF_NORM : 0) | (s->norm && at_once ? PF_SUM : 0);
        a.kk = s->k;
        bind_blocked(&l, 0, f, &w);
        pv_bind(&l, 1, q);
        bind_map(&l, 2, idx, &w, 0, 1);
        bind_map(&l, 3, r ? r : tt, &w, 0, 1);
        bind_map(&l, 4, dd, &w, 0, 1);
        bind_map(&l, 5, tt, &w, 0, 1);
        run_map(f, &l, k_dist, &a);
    }
}

/* ---- sums over voxels ---- */

/* Rows of y per part: at most about 256 parts a sample, none of fewer than about 512 voxels. */
static int part_rows(const struct pv_shape *h)
{
    int parts = pv_ceil_div(256, h->s[0]), small = (int)((int64_t)h->s[1] * h->s[2] / 512);
    parts = pv_max(1, pv_min(pv_min(parts, small), h->s[1]));
    return pv_ceil_div(h->s[1], parts);
}

/* All rows, block by block, at most `most` rows a launch. map: class weights or indices. */
static void pool(const char *label, pv_tensor *f, pv_tensor *w_, pv_tensor *r, pv_tensor *sel, pv_tensor *idx,
                 pv_tensor *out, pv_tensor *wsum, const struct proto_desc *s, int most)
{
    const struct pv_shape *h = &f->h;
    int rows = proto_rows(s), per = part_rows(h), parts = pv_ceil_div(h->s[1], per), each = pv_max(s->kk, 1);
    int sets = s->pooled ? 1 : s->n;
    for (int j0 = 0; j0 < rows && !pv_dev_failed(f->dev); j0 += most) {
        int num = pv_min(most, rows - j0), c0 = j0 / each, nc = (j0 + num - 1) / each - c0 + 1;
        int64_t part_size = (int64_t)parts * (num + 1) * 16;     /* of one plane */
        pv_tensor *part = pv_tensor_new(f->dev, pv_flat((int)(s->n * h->s[0] * part_size)), PV_F32);
        for (int b = 0; part && b < pv_blocks(s->d); b++) {
            struct walk w = {.blk = {f}, .map = {{w_, nc}, {sel, nc}, {r, 0}, {idx, 0}}, .k = 1, .most_k = 1,
                             .one_block = true};
            while (walk_next(&w)) {
                if (w.b0 != b)
                    continue;
                struct pv_strides st = pv_strides_of(f);
                struct a_pool a = {.n = w.nn, .x = w.nx, .y = h->s[1], .z = h->s[2], .sn = st.n, .sp = st.p,
                    .sr = st.r, .s0 = first_voxel(&w), .pn = (int)(s->k * s->voxels), .pc = (int)s->voxels,
                    .mn = (int)s->voxels, .k = num, .kk = s->kk, .j0 = idx ? j0 : j0 - c0 * each, .rows = per,
                    .parts = parts, .flags = (sel ? PF_SELECT : 0) | (r ? PF_NORM : 0)};
                struct pv_launch l = {.k = idx ? &k_assign[is_fat(f)] : &k_pool[is_fat(f)], .label = label,
                                      .args = &a};
                if (!sel && !idx)
                    a.j0 = 0;
                bind_blocked(&l, 0, f, &w);
                if (idx) {
                    bind_map(&l, 1, idx, &w, 0, 1);
                } else {
                    bind_map(&l, 1, w_, &w, c0, nc);
                    if (r)
                        bind_map(&l, 2, r, &w, 0, 1);
                    else
                        bind_map(&l, 2, w_, &w, c0, nc);
                    bind_map(&l, 3, sel ? sel : w_, &w, c0, nc);
                }
                pv_bind_range(&l, idx ? 2 : 4, part, ((int64_t)w.n0 * h->s[0] + w.x0) * part_size,
                              ((int64_t)(w.nn - 1) * h->s[0] + w.nx) * part_size);
                pv_groups(f->dev, &l, (uint64_t)w.nn * (uint64_t)w.nx * (uint64_t)parts);
                pv_run(f->dev, &l);
            }
            struct a_total a = {.sets = sets, .k = num, .parts = (s->pooled ? s->n : 1) * h->s[0] * parts,
                .lanes = pv_min(16, s->d - b * 16), .on = rows * s->d, .ok = s->d, .o0 = j0 * s->d + b * 16,
                .wn = rows, .w0 = j0, .mean = s->mean, .has_w = wsum && b == 0, .eps = s->eps};
            struct pv_launch l = {.k = &k_total, .label = label, .args = &a};
            pv_bind(&l, 0, part);
            pv_bind(&l, 1, wsum ? wsum : out);
            pv_bind(&l, 2, out);
            pv_groups(f->dev, &l, (uint64_t)(sets * num));
            pv_run(f->dev, &l);
        }
        pv_tensor_put(&part);
    }
}

void proto_run_pool(const char *label, pv_tensor *f, pv_tensor *w, pv_tensor *r, pv_tensor *sel, pv_tensor *out,
                    pv_tensor *wsum, const struct proto_desc *s)
{
    if (out)
        pool(label, f, w, r, sel, NULL, out, wsum, s, 4);
}

void proto_run_assign(const char *label, pv_tensor *f, pv_tensor *idx, pv_tensor *sums, pv_tensor *counts,
                      const struct proto_desc *s)
{
    if (sums && counts)
        pool(label, f, NULL, NULL, NULL, idx, sums, counts, s, 16);
}

/* A walk over one-channel maps alone: as over one block of a BLOCKED tensor that is never bound. */
static struct walk map_walk(struct pv_tensor *shape, pv_tensor *const *maps, int num)
{
    struct walk w = {.blk = {shape}, .most_k = 1};
    shape->h.c = 1;
    for (int i = 0; i < num; i++)
        w.map[i].t = maps[i];
    return w;
}

void proto_run_dist_sum(const char *label, pv_tensor *dd, pv_tensor *idx, pv_tensor *loss, pv_tensor *coef,
                        const struct proto_desc *s)
{
    if (!dd || !loss || !coef || pv_dev_failed(dd->dev))
        return;
    const struct pv_shape *h = &dd->h;
    int per = part_rows(h), parts = pv_ceil_div(h->s[1], per), groups = s->n * h->s[0] * parts;
    bool fat = is_fat(dd);
    pv_tensor *part = pv_tensor_new(dd->dev, pv_flat(groups * s->k * 2), PV_F32), shape = *dd;
    struct walk w = map_walk(&shape, (pv_tensor *[]){dd, idx}, 2);
    struct a_dist a = {.plane = h->s[1] * h->s[2], .mn = (int)s->voxels, .run = per * h->s[2], .parts = parts,
                       .j = s->k, .per = s->per};
    int64_t plane = (int64_t)parts * s->k * 2;
    while (part && walk_next(&w)) {
        struct pv_launch l = {.k = &k_dist_part[fat], .label = label, .args = &a};
        a.n = w.nn;
        a.x = w.nx;
        bind_map(&l, 0, dd, &w, 0, 1);
        bind_map(&l, 1, idx, &w, 0, 1);
        pv_bind_range(&l, 2, part, ((int64_t)w.n0 * h->s[0] + w.x0) * plane,
                      ((int64_t)(w.nn - 1) * h->s[0] + w.nx) * plane);
        pv_groups(dd->dev, &l, (uint64_t)w.nn * (uint64_t)w.nx * (uint64_t)parts * (uint64_t)(fat ? 1 : s->k));
        pv_run(dd->dev, &l);
    }
    if (part) {
        struct pv_launch l = {.k = &k_dist_total, .label = label, .args = &a, .groups = {1, 1, 1}};
        a.n = groups;
        pv_bind(&l, 0, part);
        pv_bind(&l, 1, loss);
        pv_bind(&l, 2, coef);
        pv_run(dd->dev, &l);
    }
    pv_tensor_put(&part);
}

void proto_run_dist_coef(const char *label, pv_tensor *dd, pv_tensor *tt, pv_tensor *r, pv_tensor *idx,
                         pv_tensor *coef, pv_tensor *dl, pv_tensor *alpha, pv_tensor *beta,
                         const struct proto_desc *s)
{
    if (!alpha || !beta || pv_dev_failed(dd->dev))
        return;
    pv_tensor shape = *dd;
    pv_tensor *maps[] = {dd, tt, r, idx, alpha, beta};
    struct walk w = map_walk(&shape, maps, 6);
    while (walk_next(&w)) {
        struct a_dist a = {.n = w.nn, .x = w.nx, .plane = dd->h.s[1] * dd->h.s[2], .mn = (int)s->voxels, .j = s->k,
                           .norm = s->norm, .inv = 1 / s->eps};
        struct pv_launch l = {.k = &k_dist_coef, .label = label, .args = &a};
        bind_map(&l, 0, dd, &w, 0, 1);
        bind_map(&l, 1, tt, &w, 0, 1);
        bind_map(&l, 2, r ? r : tt, &w, 0, 1);
        bind_map(&l, 3, idx, &w, 0, 1);
        pv_bind(&l, 4, coef);
        pv_bind(&l, 5, dl);
        bind_map(&l, 6, alpha, &w, 0, 1);
        bind_map(&l, 7, beta, &w, 0, 1);
        pv_run_items(dd->dev, &l, (uint64_t)a.n * (uint64_t)a.x * (uint64_t)a.plane);
    }
}

/* ---- FLAT ---- */

void proto_run_dist2(pv_tensor *p, pv_tensor *q, pv_tensor *wp, pv_tensor *wq, float mul, pv_tensor *value,
                     pv_tensor *valid)
{
    if (!value || !valid)
        return;
    struct a_flat a = {.count = p->h.n, .np = wp ? wp->h.n : 0, .nq = wq ? wq->h.n : 0, .g = mul};
    struct pv_launch l = {.k = &k_dist2, .label = "prototype distance", .args = &a, .groups = {1, 1, 1}};
    pv_bind(&l, 0, p);
    pv_bind(&l, 1, q);
    pv_bind(&l, 2, wp ? wp : p);
    pv_bind(&l, 3, wq ? wq : p);
    pv_bind(&l, 4, value);
    pv_bind(&l, 5, valid);
    pv_run(p->dev, &l);
}

void proto_run_dist2_bwd(pv_tensor *p, pv_tensor *q, float mul, pv_tensor *dl, pv_tensor *valid, pv_tensor *dp,
                         bool accum)
{
    struct a_flat a = {.count = p->h.n, .accum = accum, .g = mul};
    struct pv_launch l = {.k = &k_dist2_bwd, .label = "prototype distance bwd", .args = &a};
    pv_bind(&l, 0, p);
    pv_bind(&l, 1, q);
    pv_bind(&l, 2, dl);
    pv_bind(&l, 3, valid);
    pv_bind(&l, 4, dp);
    pv_run_items(p->dev, &l, (uint64_t)a.count);
}

void proto_run_lin(const char *label, pv_tensor *p, float g, pv_tensor *q, float h, int period, pv_tensor *out,
                   bool accum)
{
    if (!out)
        return;
    struct a_flat a = {.count = out->h.n, .sets = period, .accum = accum, .g = g, .h = h};
    struct pv_launch l = {.k = &k_lin, .label = label, .args = &a};
    pv_bind(&l, 0, p);
    pv_bind(&l, 1, q);
    pv_bind(&l, 2, out);
    pv_run_items(out->dev, &l, (uint64_t)a.count);
}

void proto_run_mean(pv_tensor *p, int sets, pv_tensor *out)
{
    if (!out)
        return;
    struct a_flat a = {.count = out->h.n, .sets = sets, .g = 1.0f / (float)sets};
    struct pv_launch l = {.k = &k_mean, .label = "prototype mean", .args = &a};
    pv_bind(&l, 0, p);
    pv_bind(&l, 1, out);
    pv_run_items(out->dev, &l, (uint64_t)a.count);
}

void proto_run_ema(pv_tensor *p, pv_tensor *sums, pv_tensor *counts, float eta)
{
    struct a_flat a = {.count = p->h.n, .sets = p->h.n / counts->h.n, .g = eta, .h = 1 - eta};
    struct pv_launch l = {.k = &k_ema, .label = "prototype ema", .args = &a};
    pv_bind(&l, 0, sums);
    pv_bind(&l, 1, counts);
    pv_bind(&l, 2, p);
    pv_run_items(p->dev, &l, (uint64_t)a.count);
}
