/* SPDX-License-Identifier: Apache-2.0
 * Prototype ops: shapes, the tape, and the choice between kernels and references. What backward needs of a map is
 * one channel (1 / |f|, a distance) beside the results. Gradient of a cosine y = scale <f, p> / (|f| |p|) with
 * r = 1 / |f|: df = scale r sum_k dy_k p_k / |p_k| - r^2 (sum_k dy_k y_k) f. */
#include "ops/proto.h"

#include "ops/proto_impl.h"

enum { MOST_DISTANCES = 64 };
static const float cosine_eps = 1e-8f, length_eps = 1e-12f;

static bool is_map(const pv_tensor *f) { return f->h.layout == PV_BLOCKED && f->type == PV_F32; }

static bool is_plain_of(const pv_tensor *m, const pv_tensor *f, enum pv_dtype type)
{
    return m->h.layout == PV_PLAIN && m->type == type && pv_same_grid(&m->h, &f->h);
}

static struct proto_desc describe(const pv_tensor *f, int k)
{
    return (struct proto_desc){.n = f->h.n, .d = f->h.c, .k = k, .sets = 1, .voxels = pv_voxels(&f->h), .scale = 1,
                               .eps = length_eps};
}

/* Finds the number of sets from the length of p; false if there is none. */
static bool find_sets(struct proto_desc *s, const pv_tensor *p)
{
    int64_t one = (int64_t)proto_rows(s) * s->d;
    s->sets = p->h.n == one ? 1 : s->n;
    s->pooled = s->sets == 1;
    return s->k > 0 && p->h.layout == PV_FLAT && p->type == PV_F32 && p->h.n == one * s->sets;
}

static pv_tensor *new_flat(pv_tape *t, int n) { return pv_tensor_new(t->dev, pv_flat(n), PV_F32); }

static pv_tensor *new_map(pv_tape *t, const pv_tensor *f, int c, enum pv_dtype type)
{
    return pv_tensor_new(t->dev, pv_plain(f->h.dims, f->h.n, c, f->h.s), type);
}

static double *data(const pv_tensor *t) { return t ? pv_ref_data(t) : NULL; }

/* ---- weighted means ---- */

static void pool_backward(pv_tape *t, struct pv_node *n)
{
    struct proto_desc s = *(struct proto_desc *)n->aux;
    pv_tensor *f = n->in[0], *w = n->in[1], *p = n->out[0], *wsum = n->saved[0], *dp = pv_out_grad(n, 0);
    pv_tensor *in[] = {f, w};
    bool af, aw;
    pv_tensor *df = pv_grad_slot(t, f, &af), *dw = pv_grad_slot(t, w, &aw), *c = NULL;
    if (!pv_pin_all(2, in))
        return;
    if (pv_is_ref(f)) {
        ref_proto_pool_bwd(data(f), data(w), data(p), data(wsum), data(dp), data(df), af, data(dw), aw, &s);
    } else {
        pv_tensor *q = proto_pack("masked pool bwd", dp, p, wsum, &s, PROTO_MEAN, &c);
        if (df)
            proto_run_apply("masked pool bwd", &(struct proto_apply){.w = w, .q = q, .out = df, .accum = af}, &s);
        if (dw)
            proto_run_dots("masked pool bwd", f, q, c, NULL, dw, &s, aw);
        pv_tensor_put(&q);
        pv_tensor_put(&c);
    }
    pv_unpin_all(2, in);
}

pv_tensor *pv_masked_pool(pv_tape *t, pv_tensor *f, pv_tensor *w, float eps, bool pooled, pv_tensor **sums)
{
    pv_ops_init();
    pv_tensor *in[] = {f, w};
    if (sums)
        *sums = NULL;
    if (!pv_op_ready(t, 2, in))
        return NULL;
    if (!is_map(f) || !is_plain_of(w, f, PV_F32))
        return pv_op_bad("masked_pool", "takes a BLOCKED map and PLAIN weights on the same grid");
    struct proto_desc s = describe(f, w->h.c);
    s.eps = eps;
    s.mean = true;
    s.pooled = pooled;
    s.sets = pooled ? 1 : s.n;
    pv_tensor *p = new_flat(t, s.sets * s.k * s.d), *wsum = new_flat(t, s.sets * s.k);
    if (p && wsum && pv_pin_all(2, in)) {
        if (pv_is_ref(f))
            ref_proto_pool(data(f), data(w), data(p), data(wsum), &s);
        else
            proto_run_pool("masked pool", f, w, NULL, NULL, p, wsum, &s);
        pv_unpin_all(2, in);
    }
    if (p && wsum && pv_tape_wants(t, 2, in))
        pv_node_save(pv_tape_record(t, "masked_pool", pool_backward, 2, in, 1, &p, &s, sizeof s), wsum);
    if (sums)
        *sums = pv_tensor_ref(wsum);
    pv_tensor_put(&wsum);
    return p;
}

bool pv_proto_assign_sums(pv_tape *t, pv_tensor *f, pv_tensor *idx, int j, pv_tensor **sums, pv_tensor **counts)
{
    pv_tensor *in[] = {f, idx};
    *sums = *counts = NULL;
    if (!pv_op_ready(t, 2, in))
        return false;
    if (!is_map(f) || !is_plain_of(idx, f, PV_I32) || idx->h.c != 1 || j < 1) {
        pv_op_bad("proto_assign_sums", "takes a BLOCKED map and PLAIN indices of one channel on the same grid");
        return false;
    }
    struct proto_desc s = describe(f, j);
    s.pooled = true;
    *sums = new_flat(t, j * s.d);
    *counts = new_flat(t, j);
    if (*sums && *counts && pv_pin_all(2, in)) {
        if (pv_is_ref(f))
            ref_proto_assign(data(f), data(idx), data(*sums), data(*counts), &s);
        else
            proto_run_assign("prototype sums", f, idx, *sums, *counts, &s);
        pv_unpin_all(2, in);
    }
    if (pv_dev_failed(t->dev)) {
        pv_tensor_put(sums);
        pv_tensor_put(counts);
    }
    return *sums != NULL;
}

/* ---- inner products ---- */

static void dots_backward(pv_tape *t, struct pv_node *n)
{
    struct proto_desc s = *(struct proto_desc *)n->aux;
    pv_tensor *f = n->in[0], *p = n->in[1], *dy = pv_out_grad(n, 0), *in[] = {f, p}, *c = NULL;
    if (!pv_pin_all(2, in))
        return;
    if (pv_is_ref(f)) {
        bool af, ap;
        pv_tensor *df = pv_grad_slot(t, f, &af), *dp = pv_grad_slot(t, p, &ap);
        ref_proto_dots_bwd(data(f), data(p), data(dy), data(df), af, data(dp), ap, &s);
    } else {
        bool af;
        pv_tensor *df = pv_grad_slot(t, f, &af);
        pv_tensor *q = proto_pack("dots bwd", p, NULL, NULL, &s, PROTO_COPY, &c);
        if (df)
            proto_run_apply("dots bwd", &(struct proto_apply){.w = dy, .q = q, .out = df, .accum = af}, &s);
        if (p->needs_grad) {
            pv_tensor *h = new_flat(t, p->h.n);
            proto_run_pool("dots bwd", f, dy, NULL, NULL, h, NULL, &s);
            pv_grad_give(t, p, h);
        }
        pv_tensor_put(&q);
        pv_tensor_put(&c);
    }
    pv_unpin_all(2, in);
}

pv_tensor *pv_dots(pv_tape *t, pv_tensor *f, pv_tensor *p, int k)
{
    pv_ops_init();
    pv_tensor *in[] = {f, p};
    if (!pv_op_ready(t, 2, in))
        return NULL;
    struct proto_desc s = describe(f, k);
    if (!is_map(f) || !find_sets(&s, p))
        return pv_op_bad("dots", "%d values of prototypes for %d of %d channels", p->h.n, k, s.d);
    pv_tensor *y = new_map(t, f, k, PV_F32), *c = NULL;
    if (y && pv_pin_all(2, in)) {
        if (pv_is_ref(f)) {
            ref_proto_dots(data(f), data(p), data(y), &s);
        } else {
            pv_tensor *q = proto_pack("dots", p, NULL, NULL, &s, PROTO_COPY, &c);
            proto_run_dots("dots", f, q, c, NULL, y, &s, false);
            pv_tensor_put(&q);
            pv_tensor_put(&c);
        }
        pv_unpin_all(2, in);
    }
    if (y && pv_tape_wants(t, 2, in))
        pv_tape_record(t, "dots", dots_backward, 2, in, 1, &y, &s, sizeof s);
    return y;
}

/* ---- lengths ---- */

static void l2norm_backward(pv_tape *t, struct pv_node *n)
{
    struct proto_desc s = *(struct proto_desc *)n->aux;
    pv_tensor *f = n->in[0], *r = n->num_saved ? n->saved[0] : NULL, *dy = pv_out_grad(n, 0);
    bool accum;
    pv_tensor *df = pv_grad_slot(t, f, &accum);
    if (!df || !pv_tensor_pin(f))
        return;
    if (pv_is_ref(f))
        ref_proto_l2_bwd(data(f), data(dy), data(df), accum, &s);
    else
        proto_run_l2_bwd("l2norm bwd", f, dy, r, df, &s, accum);
    pv_tensor_unpin(f);
}

pv_tensor *pv_l2norm(pv_tape *t, pv_tensor *f, float eps)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &f))
        return NULL;
    if (!is_map(f))
        return pv_op_bad("l2norm", "takes a BLOCKED map");
    struct proto_desc s = describe(f, 1);
    s.eps = eps;
    pv_tensor *y = pv_tensor_new(t->dev, f->h, PV_F32), *r = NULL;
    if (y && pv_tensor_pin(f)) {
        if (pv_is_ref(f)) {
            ref_proto_l2(data(f), data(y), &s);
        } else {
            r = new_map(t, f, 1, PV_F32);
            proto_run_l2("l2norm", f, r, y, &s);
        }
        pv_tensor_unpin(f);
    }
    if (y && pv_tape_wants(t, 1, &f)) {
        struct pv_node *n = pv_tape_record(t, "l2norm", l2norm_backward, 1, &f, 1, &y, &s, sizeof s);
        if (r)
            pv_node_save(n, r);
    }
    pv_tensor_put(&r);
    return y;
}

/* ---- cosines ---- */

/* saved: r (NULL on ref:0), win (NULL for pv_cosine) */
static void cosine_backward(pv_tape *t, struct pv_node *n)
{
    struct proto_desc s = *(struct proto_desc *)n->aux;
    pv_tensor *f = n->in[0], *p = n->in[1], *y = n->out[0], *r = n->saved[0], *win = n->saved[1];
    pv_tensor *dy = pv_out_grad(n, 0), *in[] = {f, p}, *c = NULL;
    bool af, ap;
    pv_tensor *df = pv_grad_slot(t, f, &af), *dp = pv_grad_slot(t, p, &ap);
    if (!pv_pin_all(2, in))
        return;
    if (pv_is_ref(f)) {
        ref_proto_cosine_bwd(data(f), data(p), data(win), data(dy), data(df), af, data(dp), ap, &s);
    } else {
        pv_tensor *q = proto_pack("cosine bwd", p, NULL, NULL, &s, PROTO_UNIT, &c);
        if (df)
            proto_run_apply("cosine bwd", &(struct proto_apply){.f = f, .w = dy, .y = y, .r = r, .sel = win,
                            .q = q, .out = df, .accum = af}, &s);
        if (dp) {
            pv_tensor *h = new_flat(t, p->h.n);
            proto_run_pool("cosine bwd", f, dy, r, win, h, NULL, &s);
            proto_run_dcos("cosine bwd", h, p, c, dp, &s, ap);
            pv_tensor_put(&h);
        }
        pv_tensor_put(&q);
        pv_tensor_put(&c);
    }
    pv_unpin_all(2, in);
}

static pv_tensor *cosine(pv_tape *t, pv_tensor *f, pv_tensor *p, int k, int each, float scale, pv_tensor **win)
{
    pv_ops_init();
    pv_tensor *in[] = {f, p};
    if (win)
        *win = NULL;
    if (!pv_op_ready(t, 2, in))
        return NULL;
    struct proto_desc s = describe(f, k);
    s.kk = each;
    s.scale = scale;
    s.eps = cosine_eps;
    if (!is_map(f) || !find_sets(&s, p))
        return pv_op_bad("cosine", "%d values of prototypes for %d of %d channels", p->h.n, proto_rows(&s), s.d);
    pv_tensor *y = new_map(t, f, k, PV_F32), *r = NULL, *won = each ? new_map(t, f, k, PV_I32) : NULL, *c = NULL;
    if (y && pv_pin_all(2, in)) {
        if (pv_is_ref(f)) {
            ref_proto_cosine(data(f), data(p), data(y), data(won), &s);
        } else {
            r = new_map(t, f, 1, PV_F32);
            pv_tensor *q = proto_pack("cosine", p, NULL, NULL, &s, PROTO_UNIT, &c);
            if (each)
                proto_run_cosmax("cosine max", f, q, r, y, won, &s);
            else
                proto_run_dots("cosine", f, q, NULL, r, y, &s, false);
            pv_tensor_put(&q);
            pv_tensor_put(&c);
        }
        pv_unpin_all(2, in);
    }
    if (y && pv_tape_wants(t, 2, in)) {
        struct pv_node *n = pv_tape_record(t, "cosine", cosine_backward, 2, in, 1, &y, &s, sizeof s);
        pv_node_save(n, r);
        pv_node_save(n, won);
    }
    if (win)
        *win = pv_tensor_ref(won);
    pv_tensor_put(&won);
    pv_tensor_put(&r);
    return y;
}

pv_tensor *pv_cosine(pv_tape *t, pv_tensor *f, pv_tensor *p, int k, float scale)
{
    return cosine(t, f, p, k, 0, scale, NULL);
}

pv_tensor *pv_cosine_max(pv_tape *t, pv_tensor *f, pv_tensor *p, int classes, int each, float scale,
                         pv_tensor **win)
{
    if (each < 1 || !(scale > 0))
        return pv_op_bad("cosine_max", "%d prototypes per class, scale %g", each, (double)scale);
    return cosine(t, f, p, classes, each, scale, win);
}

/* ---- distances of voxels ---- */

/* saved: idx, coef, dd, tt, r (the last three NULL on ref:0, r also without normalisation) */
static void distance_backward(pv_tape *t, struct pv_node *n)
{
    struct proto_desc s = *(struct proto_desc *)n->aux;
    pv_tensor *f = n->in[0], *p = n->in[1], **x = n->saved, *dl = pv_out_grad(n, 0), *in[] = {f, p}, *c = NULL;
    bool accum;
    pv_tensor *df = pv_grad_slot(t, f, &accum);
    if (!df || !pv_pin_all(2, in))
        return;
    if (pv_is_ref(f)) {
        ref_proto_dist_bwd(data(f), data(p), data(x[0]), data(x[1]), *data(dl), data(df), accum, &s);
    } else {
        pv_tensor *alpha = new_map(t, f, 1, PV_F32), *beta = new_map(t, f, 1, PV_F32);
        pv_tensor *q = proto_pack("distance bwd", p, NULL, NULL, &s, PROTO_COPY, &c);
        proto_run_dist_coef("distance bwd", x[2], x[3], x[4], x[0], x[1], dl, alpha, beta, &s);
        struct proto_desc one = s;      /* one channel of weights that chooses among k rows */
        one.k = 1;
        one.kk = s.k;
        if (alpha && beta)
            proto_run_apply("distance bwd", &(struct proto_apply){.f = f, .w = beta, .map = alpha, .sel = x[0],
                            .q = q, .out = df, .accum = accum}, &one);
        pv_tensor_put(&alpha);
        pv_tensor_put(&beta);
        pv_tensor_put(&q);
        pv_tensor_put(&c);
    }
    pv_unpin_all(2, in);
}

pv_tensor *pv_proto_distance(pv_tape *t, pv_tensor *f, pv_tensor *p, pv_tensor *idx, int k, bool normalise,
                             bool per)
{
    pv_ops_init();
    pv_tensor *in[] = {f, p, idx};
    if (!pv_op_ready(t, 3, in))
        return NULL;
    struct proto_desc s = describe(f, k);
    s.norm = normalise;
    s.per = per;
    if (!is_map(f) || !find_sets(&s, p) || !is_plain_of(idx, f, PV_I32) || idx->h.c != 1 || k > MOST_DISTANCES)
        return pv_op_bad("proto_distance", "%d values for %d (at most %d) prototypes of %d channels, or no indices",
                         p->h.n, k, MOST_DISTANCES, s.d);
    pv_tensor *loss = new_flat(t, 1), *coef = new_flat(t, k), *dd = NULL, *tt = NULL, *r = NULL, *c = NULL;
    if (loss && coef && pv_pin_all(3, in)) {
        if (pv_is_ref(f)) {
            ref_proto_dist(data(f), data(p), data(idx), data(loss), data(coef), &s);
        } else {
            dd = new_map(t, f, 1, PV_F32);
            tt = new_map(t, f, 1, PV_F32);
            r = normalise ? new_map(t, f, 1, PV_F32) : NULL;
            pv_tensor *q = proto_pack("distance", p, NULL, NULL, &s, PROTO_COPY, &c);
            proto_run_dist("distance", f, q, idx, r, dd, tt, &s);
            proto_run_dist_sum("distance", dd, idx, loss, coef, &s);
            pv_tensor_put(&q);
            pv_tensor_put(&c);
        }
        pv_unpin_all(3, in);
    }
    if (loss && pv_tape_wants(t, 1, in)) {
        struct pv_node *n = pv_tape_record(t, "proto_distance", distance_backward, 2, in, 1, &loss, &s, sizeof s);
        pv_tensor *keep[] = {idx, coef, dd, tt, r};
        for (int i = 0; i < 5; i++)
            pv_node_save(n, keep[i]);
    }
    pv_tensor_put(&coef);
    pv_tensor_put(&dd);
    pv_tensor_put(&tt);
    pv_tensor_put(&r);
    return loss;
}

/* ---- prototypes among themselves ---- */

static bool all_positive(const pv_tensor *w)
{
    bool all = true;
    for (int i = 0; w && i < w->h.n; i++)
        all = all && data(w)[i] > 0;
    return all;
}

static void dist2_backward(pv_tape *t, struct pv_node *n)
{
    double mul = *(double *)n->aux;
    pv_tensor *valid = n->saved[0], *dl = pv_out_grad(n, 0);
    for (int side = 0; side < 2; side++) {
        pv_tensor *p = n->in[side], *q = n->in[1 - side];
        bool accum;
        pv_tensor *dp = pv_grad_slot(t, p, &accum);
        if (dp && pv_is_ref(p)) {
            double g = *data(valid) > 0 ? 2 * mul * *data(dl) : 0;
            for (int i = 0; i < p->h.n; i++)
                data(dp)[i] = (accum ? data(dp)[i] : 0) + (g == 0 ? 0 : g * (data(p)[i] - data(q)[i]));
        } else if (dp) {
            proto_run_dist2_bwd(p, q, (float)mul, dl, valid, dp, accum);
        }
    }
}

static bool flat_pair(const pv_tensor *p, const pv_tensor *q)
{
    return p->h.layout == PV_FLAT && q->h.layout == PV_FLAT && p->h.n == q->h.n;
}

pv_tensor *pv_proto_dist2(pv_tape *t, pv_tensor *p, pv_tensor *q, bool mean, pv_tensor *wp, pv_tensor *wq,
                          pv_tensor **valid)
{
    pv_ops_init();
    pv_tensor *in[] = {p, q};
    if (valid)
        *valid = NULL;
    if (!pv_op_ready(t, 2, in))
        return NULL;
    if (!flat_pair(p, q))
        return pv_op_bad("proto_dist2", "prototypes of %d and %d values", p->h.n, q->h.n);
    double mul = mean ? 1.0 / p->h.n : 1;
    pv_tensor *value = new_flat(t, 1), *ok = new_flat(t, 1);
    if (value && ok && pv_is_ref(p)) {
        double sum = 0;
        for (int i = 0; i < p->h.n; i++)
            sum += (data(p)[i] - data(q)[i]) * (data(p)[i] - data(q)[i]);
        *data(ok) = all_positive(wp) && all_positive(wq);
        *data(value) = *data(ok) > 0 ? mul * sum : 0;
    } else {
        proto_run_dist2(p, q, wp, wq, (float)mul, value, ok);
    }
    if (value && ok && pv_tape_wants(t, 2, in))
        pv_node_save(pv_tape_record(t, "proto_dist2", dist2_backward, 2, in, 1, &value, &mul, sizeof mul), ok);
    if (valid)
        *valid = pv_tensor_ref(ok);
    pv_tensor_put(&ok);
    return value;
}

/* out[i] (+)= g p[i mod period] + h q[i], without q if h is 0 */
static void lin(const char *label, pv_tensor *p, double g, pv_tensor *q, double h, int period, pv_tensor *out,
                bool accum)
{
    if (!out)
        return;
    if (!pv_is_ref(p)) {
        proto_run_lin(label, p, (float)g, q, (float)h, period, out, accum);
        return;
    }
    for (int i = 0; i < out->h.n; i++) {
        double v = g * data(p)[i % period];
        if (h != 0)
            v += h * data(q)[i];
        data(out)[i] = accum ? data(out)[i] + v : v;
    }
}

static void mix_backward(pv_tape *t, struct pv_node *n)
{
    float g = *(float *)n->aux;
    pv_tensor *dy = pv_out_grad(n, 0);
    for (int i = 0; i < 2; i++) {
        bool accum;
        pv_tensor *d = pv_grad_slot(t, n->in[i], &accum);
        lin("prototype mix bwd", dy, i ? 1 - (double)g : g, dy, 0, dy->h.n, d, accum);
    }
}

pv_tensor *pv_proto_mix(pv_tape *t, pv_tensor *p, pv_tensor *q, float g)
{
    pv_ops_init();
    pv_tensor *in[] = {p, q};
    if (!pv_op_ready(t, 2, in))
        return NULL;
    if (!flat_pair(p, q))
        return pv_op_bad("proto_mix", "prototypes of %d and %d values", p->h.n, q->h.n);
    pv_tensor *y = new_flat(t, p->h.n);
    lin("prototype mix", p, g, q, 1 - (double)g, p->h.n, y, false);
    if (y && pv_tape_wants(t, 2, in))
        pv_tape_record(t, "proto_mix", mix_backward, 2, in, 1, &y, &g, sizeof g);
    return y;
}

static void mean_backward(pv_tape *t, struct pv_node *n)
{
    bool accum;
    pv_tensor *p = n->in[0], *dy = pv_out_grad(n, 0), *d = pv_grad_slot(t, p, &accum);
    lin("prototype mean bwd", dy, (double)dy->h.n / p->h.n, dy, 0, dy->h.n, d, accum);
}

pv_tensor *pv_proto_mean(pv_tape *t, pv_tensor *p, int sets)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &p))
        return NULL;
    if (p->h.layout != PV_FLAT || sets < 1 || p->h.n % sets)
        return pv_op_bad("proto_mean", "%d values are not %d sets", p->h.n, sets);
    int m = p->h.n / sets;
    pv_tensor *y = new_flat(t, m);
    if (y && pv_is_ref(p)) {
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int k = 0; k < sets; k++)
                sum += data(p)[k * m + i];
            data(y)[i] = sum / sets;
        }
    } else {
        proto_run_mean(p, sets, y);
    }
    if (y && pv_tape_wants(t, 1, &p))
        pv_tape_record(t, "proto_mean", mean_backward, 1, &p, 1, &y, NULL, 0);
    return y;
}

void pv_proto_ema(pv_tensor *p, pv_tensor *sums, pv_tensor *counts, float eta)
{
    if (!p || !sums || !counts || pv_dev_failed(p->dev))
        return;
    if (!flat_pair(p, sums) || p->h.n % counts->h.n) {
        pv_op_bad("proto_ema", "%d values, %d sums, %d counts", p->h.n, sums->h.n, counts->h.n);
        return;
    }
    if (!pv_is_ref(p)) {
        proto_run_ema(p, sums, counts, eta);
        return;
    }
    int d = p->h.n / counts->h.n;
    for (int i = 0; i < p->h.n; i++)
        if (data(counts)[i / d] > 0)
            data(p)[i] = (double)eta * data(p)[i] + (1 - (double)eta) * data(sums)[i] / data(counts)[i / d];
}
