/* SPDX-License-Identifier: Apache-2.0
 * Convolution ops: shapes, the tape, and the choice between kernels and references. Data gradients are the
 * opposite walk (down <-> up) with repacked weights; for stride 1 both walks are the same kernel with flipped
 * taps. */
#include "ops/conv.h"

#include <stdio.h>

#include "ops/conv_impl.h"
#include "ops/half.h"
#include "ops/tune.h"

int pv_conv_weights(int dims, int ci, int co, int k) { return ci * co * k * k * (dims == 3 ? k : 1); }

static struct conv_desc describe(const pv_tensor *x, int ci, int co, int k, int stride, int pad, int up)
{
    struct conv_desc d = {.dims = x->h.dims, .ci = ci, .co = co, .k = {k, k, k}, .pad = {pad, pad, pad},
                          .stride = stride, .up = up};
    if (d.dims == 2) {
        d.k[0] = 1;
        d.pad[0] = 0;
    }
    return d;
}

/* What a convolution reads of x: x itself, or if x has no memory and the kernels may normalise, what it is made from.
 * conv_done ends the use. False: the device failed. */
static bool conv_read(pv_tensor *x, bool may_normalise, struct conv_in *in)
{
    *in = (struct conv_in){.t = x};
    if (may_normalise && norm_is_pending(x, &in->norm)) {
        in->t = in->norm.x;
        return pv_tensor_pin(in->norm.x) && pv_tensor_pin(in->norm.table);
    }
    return pv_tensor_pin(x);
}

static void conv_done(struct conv_in *in)
{
    pv_tensor_unpin(in->t);
    pv_tensor_unpin(in->norm.table);
}

/* ---- walks: what an output voxel gathers, forward or back ---- */

struct walk {
    pv_tape *t;
    const char *label;
    const struct conv_desc *d;
    pv_tensor *src, *w, *b, *dst;
    bool upward, accum;         /* upward: from the coarse grid to the fine one */
    enum conv_pack_kind kind;
};

static bool by_wino(const struct walk *k, pv_tensor *dst, bool accum)
{
    struct conv_in in;
    if (!conv_read(k->src, true, &in))
        return false;
    bool can = wino_can(in.t, dst), fwd = k->kind == PACK_FWD;
    if (can)
        wino_run(k->label, &in, conv_packed(k->w, k->b, k->d, fwd ? PACK_WINO_FWD : PACK_WINO_DGRAD), dst, k->b != NULL,
                 accum, fwd);
    conv_done(&in);
    return can;
}

static bool by_deep(const struct walk *k, pv_tensor *dst, bool accum)
{
    struct conv_in in;
    if (!conv_read(k->src, true, &in))
        return false;
    bool fwd = k->kind == PACK_FWD, done = deep_run(k->label, &in, k->w, k->b, dst, k->d, !fwd, accum, fwd);
    conv_done(&in);
    return done;
}

static bool by_two(const struct walk *k, pv_tensor *dst, bool accum)
{
    struct conv_in in;
    if (!conv_read(k->src, true, &in))
        return false;
    bool done = two_run(k->label, &in, conv_packed(k->w, k->b, k->d, k->kind), dst, k->d, k->upward, k->b != NULL,
                        accum, k->kind == PACK_FWD);
    conv_done(&in);
    return done;
}

/* Taps are reversed by the packing where a data gradient walks upward with stride 1: pad becomes k - 1 - pad. */
static struct conv_desc walked(const struct walk *k)
{
    struct conv_desc d = *k->d;
    for (int i = 0; i < 3 && k->upward && d.stride == 1; i++)
        d.pad[i] = d.k[i] - 1 - d.pad[i];
    return d;
}

static bool by_blas(const struct walk *k, pv_tensor *dst, bool accum)
{
    if (!pv_tensor_pin(k->src))
        return false;
    struct conv_desc d = walked(k);
    bool up = k->upward && d.stride > 1, can = blas_can(k->src, dst, &d, up), fwd = k->kind == PACK_FWD;
    if (can)
        blas_run(k->label, k->src, conv_packed(k->w, k->b, k->d, fwd ? PACK_BLAS_FWD : PACK_BLAS_DGRAD), dst, &d, up,
                 k->b != NULL, accum);
    pv_tensor_unpin(k->src);
    return can;
}

static bool by_winog(const struct walk *k, pv_tensor *dst, bool accum)
{
    if (!pv_tensor_pin(k->src))
        return false;
    bool can = winog_can(k->src, dst), fwd = k->kind == PACK_FWD;
    if (can)
        winog_run(k->label, k->src, conv_packed(k->w, k->b, k->d, fwd ? PACK_WINOG_FWD : PACK_WINOG_DGRAD), dst,
                  k->b != NULL, accum);
    pv_tensor_unpin(k->src);
    return can;
}

static void by_reference(const struct walk *k, pv_tensor *dst, bool accum)
{
    const pv_tensor *fine = k->upward ? dst : k->src, *coarse = k->upward ? k->src : dst;
    const double *bias = k->b ? pv_ref_data(k->b) : NULL;
    if (k->upward)
        ref_conv_up(pv_ref_data(coarse), pv_ref_data(k->w), bias, pv_ref_data(fine), fine->h.n, fine->h.c, coarse->h.c,
                    fine->h.s, coarse->h.s, k->d, accum);
    else
        ref_conv_down(pv_ref_data(fine), pv_ref_data(k->w), bias, pv_ref_data(coarse), fine->h.n, fine->h.c,
                      coarse->h.c, fine->h.s, coarse->h.s, k->d, accum);
}

static enum conv_how how_of(const char *impl)
{
    return pv_streq(impl, "tile") ? CONV_TILE : pv_streq(impl, "gemm") ? CONV_GEMM
           : pv_streq(impl, "coop") || pv_streq(impl, "mma") ? CONV_COOP : CONV_DIRECT;
}

static bool by_direct(const struct walk *k, pv_tensor *dst, bool accum, enum conv_how how)
{
    struct conv_desc d = walked(k);
    struct norm_pending norm;
    struct conv_in in;
    bool up = k->upward && d.stride > 1, fresh = k->kind == PACK_FWD, done = false;
    d.how = how;
    bool may = norm_is_pending(k->src, &norm) && conv_may_normalise(&d, up, norm.rows);
    for (int normalise = may; !done && normalise >= 0; normalise--) {
        if (!conv_read(k->src, normalise, &in))
            return false;
        pv_tensor *packed = pv_is_ref(dst) ? NULL : conv_packed(k->w, k->b, k->d, k->kind);
        done = true;
        if (pv_is_ref(dst))
            by_reference(k, dst, accum);
        else if (up)
            done = conv_run_up(k->label, &in, packed, dst, &d, k->b != NULL, accum, fresh);
        else
            done = conv_run_down(k->label, &in, packed, dst, &d, k->b != NULL, accum, fresh);
        conv_done(&in);
    }
    return true;
}

static bool plain_walk_by(const char *impl, const struct walk *k, pv_tensor *dst, bool accum)
{
    return pv_streq(impl, "wino") ? by_wino(k, dst, accum)
           : pv_streq(impl, "deep") ? by_deep(k, dst, accum)
           : pv_streq(impl, "two") ? by_two(k, dst, accum)
           : pv_streq(impl, "clblast") ? by_blas(k, dst, accum)
           : pv_streq(impl, "winog") ? by_winog(k, dst, accum) : by_direct(k, dst, accum, how_of(impl));
}

/* Mixed precision: kernels for matrix units round by themselves; the others get rounded copies, and products of halves
 * are exact in fp32. (Weights are rounded where they are packed.) */
static bool walk_by(const char *impl, const struct walk *k, pv_tensor *dst, bool accum)
{
    if (!k->d->half || how_of(impl) == CONV_COOP)
        return plain_walk_by(impl, k, dst, accum);
    struct walk h = *k;
    h.src = pv_half_round(k->src);
    h.w = pv_is_ref(k->w) ? pv_half_round(k->w) : pv_tensor_ref(k->w);
    bool done = h.src && h.w && plain_walk_by(impl, &h, dst, accum);
    pv_tensor_put(&h.src);
    pv_tensor_put(&h.w);
    return done;
}

/* ---- which implementation ---- */

enum { MOST_IMPL = 8 };

/* Names of what exists for a walk or (grads) a weight gradient, which one kernel serves, the default first. The last
 * resort, "direct", takes every shape. */
static int simt_implementations(const pv_tape *t, const pv_tensor *fine, const pv_tensor *src, const pv_tensor *dst,
                                const struct conv_desc *d, bool grads, const char *list[MOST_IMPL])
{
    bool can_units = grads ? coop_grads_kind(t->dev, d) : coop_kind(t->dev, d, dst == fine);
    const char *units = can_units ? coop_name(t->dev, t->force_impl != NULL) : NULL;
    bool can_gemm = !grads && gemm_kind(d, dst == fine), can_tile = grads || tile_kind(d);
    bool can_winog = winog_kind(src, d);
    bool first = can_tile && (!can_gemm || tile_gains(src, dst));
    int n = 0;
    if (t->force_impl) {
        if ((can_tile && pv_streq(t->force_impl, "tile")) || (grads && pv_streq(t->force_impl, "gemm")))
            list[n++] = "tile";
        else if (can_gemm && pv_streq(t->force_impl, "gemm"))
            list[n++] = "gemm";
        else if (units && pv_streq(t->force_impl, units))
            list[n++] = units;
        else if (can_winog && pv_streq(t->force_impl, "winog"))
            list[n++] = "winog";
        list[n++] = "direct";
        return n;
    }
    bool gpu = pv_dev_get_info(t->dev)->type == PV_DEV_GPU;
    if (gpu && units)
        list[n++] = units;
    if (!gpu)
        list[n++] = "direct";
    if (first)
        list[n++] = "tile";
    if (can_gemm)
        list[n++] = "gemm";
    if (can_tile && !first)
        list[n++] = "tile";
    if (gpu)
        list[n++] = "direct";
    if (!gpu && units)
        list[n++] = units;
    if (gpu && t->tune && can_winog)
        list[n++] = "winog";        /* never by rule, like the next: only where it is measured to be faster */
    if (gpu && t->tune && (grads || gemm_kind(d, dst == fine)) && blas_there(t->dev))
        list[n++] = "clblast";
    return n;
}

static int implementations(const pv_tape *t, const pv_tensor *fine, const pv_tensor *coarse, const pv_tensor *src,
                           const pv_tensor *dst, const struct conv_desc *d, bool grads, const char *list[MOST_IMPL])
{
    if (t->force_impl && pv_streq(t->force_impl, "clblast")) {
        int n = 0;
        if ((grads || gemm_kind(d, dst == fine)) && blas_there(t->dev))
            list[n++] = "clblast";
        list[n++] = "direct";
        return n;
    }
    if (pv_class(src) == PV_SIMT)
        return simt_implementations(t, fine, src, dst, d, grads, list);
    /* Winograd's transforms are sums that halves do not hold */
    bool can_wino = !d->half && wino_kind(src, d), can_two = two_kind(fine, coarse, d);
    bool can_deep = !d->half && deep_kind(src, d), deep_first = can_deep && deep_gains(src, dst, grads);
    int n = 0;
    if (t->force_impl) {
        if ((can_wino && pv_streq(t->force_impl, "wino")) || (can_two && pv_streq(t->force_impl, "two")) ||
            (can_deep && pv_streq(t->force_impl, "deep")))
            list[n++] = t->force_impl;
        list[n++] = "direct";
        return n;
    }
    if (can_two)
        list[n++] = "two";
    if (deep_first)
        list[n++] = "deep";
    if (can_wino && wino_gains(src, dst))
        list[n++] = "wino";
    list[n++] = "direct";
    if (can_wino && !wino_gains(src, dst))
        list[n++] = "wino";
    if (can_deep && !deep_first && pv_min(d->ci, d->co) >= 64)      /* never faster for fewer: not worth a trial */
        list[n++] = "deep";
    return n;
}

/* What a choice depends on: the op, its layer, the input's size. */
static void name_case(char key[128], const char *label, const struct conv_desc *d, const pv_tensor *x, int out)
{
    snprintf(key, 128, "%s%s k%dx%dx%d/%d %dx%dx%dx%dx%d > %d", d->half ? "mixed " : "", label, d->k[0],
             d->k[1], d->k[2], d->stride, x->h.n, x->h.c, x->h.s[0], x->h.s[1], x->h.s[2], out);
}

/* Trial runs find the input as it was, and pack weights as every training step does. */
struct trial { const struct walk *k; const char *const *list; bool had; };

/* The library's kernels are compiled before the time of measuring begins. */
static void prepare(pv_dev *dev, const char *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (pv_streq(list[i], "clblast"))
            pv_gemm_begin(dev, NULL);
}

static void prepare_walk(void *user, int n)
{
    const struct trial *y = user;
    prepare(y->k->t->dev, y->list, n);
}

static bool try_walk(void *user, int i, pv_tensor *const *out)
{
    const struct trial *y = user;
    if (pv_streq(y->list[i], "clblast") && !blas_in_trial(y->k->t->dev))
        return false;
    if (y->k->t->recording)
        conv_forget_packed(y->k->w);
    bool done = walk_by(y->list[i], y->k, out[0], false);
    if (!y->had)
        pv_tensor_forget(y->k->src);
    return done;
}

static void walk(const struct walk *k)
{
    if (!k->dst || pv_dev_failed(k->dst->dev))
        return;
    const char *list[MOST_IMPL], *pick;
    int n = implementations(k->t, k->upward ? k->dst : k->src, k->upward ? k->src : k->dst, k->src, k->dst, k->d,
                            false, list);
    pick = list[0];
    if (k->t->tune && !k->t->force_impl && n > 1) {
        char key[128];
        name_case(key, k->label, k->d, k->src, k->dst->h.c);
        struct trial y = {k, list, k->src->buf != NULL};
        pick = pv_tune_choose(k->t->tune, &(struct pv_tune_case){.key = key, .impl = list, .num = n, .run = try_walk,
                                                                 .prepare = prepare_walk, .user = &y,
                                                                 .like = {k->dst}});
    }
    bool done = walk_by(pick, k, k->dst, k->accum);
    for (int i = 0; i < n && !done; i++)
        done = !pv_streq(list[i], pick) && walk_by(list[i], k, k->dst, k->accum);
    if (k->t->recording && k->w->needs_grad)    /* changes with every step, and most methods read it once in one */
        pv_tensor_drop_packed(k->w, false);
}

/* ---- weight gradients ---- */

struct grads {
    pv_tape *t;
    const char *label;
    const struct conv_desc *d;
    pv_tensor *fine, *coarse, *out;     /* out: of the two the one whose sum is the bias's gradient */
    pv_tensor *dw, *db;                 /* wanted gradients; NULL: not */
    bool accum, accum_bias;
};

static bool grads_by_wino(const struct grads *g)
{
    struct conv_in in;
    if (!g->dw || !conv_read(g->fine, true, &in))
        return false;
    bool can = wino_can_wgrad(in.t, g->coarse, g->dw);
    if (can)
        wino_run_wgrad(g->label, &in, g->coarse, g->dw, g->accum, g->db, g->accum_bias);
    conv_done(&in);
    return can;
}

static bool grads_by_deep(const struct grads *g)
{
    struct conv_in in;
    if (!g->dw || !conv_read(g->fine, true, &in))
        return false;
    bool done = deep_run_wgrad(g->label, &in, g->coarse, g->dw, g->accum, g->db, g->accum_bias);
    conv_done(&in);
    return done;
}

static bool grads_by_two(const struct grads *g)
{
    struct conv_in f, c;
    bool done = false;
    if (g->dw && conv_read(g->fine, true, &f)) {
        if (conv_read(g->coarse, true, &c)) {
            done = two_run_wgrad(g->label, &f, &c, g->dw, g->d, g->accum, g->db, g->accum_bias);
            conv_done(&c);
        }
        conv_done(&f);
    }
    return done;
}

static bool grads_by_blas(const struct grads *g)
{
    bool can = false;
    if (g->dw && pv_tensor_pin(g->fine)) {
        if (pv_tensor_pin(g->coarse)) {
            can = blas_can_wgrad(g->fine, g->coarse, g->dw, g->d);
            if (can)
                blas_run_wgrad(g->label, g->fine, g->coarse, g->dw, g->d, g->accum);
            if (can && g->db)
                conv_run_chan_sum(g->label, g->out, g->db, g->accum_bias);
            pv_tensor_unpin(g->coarse);
        }
        pv_tensor_unpin(g->fine);
    }
    return can;
}

static bool grads_by_winog(const struct grads *g)
{
    bool can = false;
    if (g->dw && pv_tensor_pin(g->fine)) {
        if (pv_tensor_pin(g->coarse)) {
            can = winog_can_wgrad(g->fine, g->coarse, g->dw);
            if (can)
                winog_run_wgrad(g->label, g->fine, g->coarse, g->dw, g->accum);
            if (can && g->db)
                conv_run_chan_sum(g->label, g->out, g->db, g->accum_bias);
            pv_tensor_unpin(g->coarse);
        }
        pv_tensor_unpin(g->fine);
    }
    return can;
}

static bool grads_by_direct(const struct grads *g, enum conv_how how)
{
    struct conv_desc d = *g->d;
    d.how = how;
    pv_tensor *fine = g->fine, *coarse = g->coarse, *out = g->out;
    struct conv_in f, c;
    bool done = !g->dw;
    for (int normalise = conv_grads_may_normalise(&d); !done && normalise >= 0; normalise--) {
        if (!conv_read(fine, normalise, &f))
            break;
        if (conv_read(coarse, normalise, &c)) {
            done = true;
            if (pv_is_ref(g->dw))
                ref_conv_wgrad(pv_ref_data(fine), pv_ref_data(coarse), pv_ref_data(g->dw), fine->h.n, fine->h.c,
                               coarse->h.c, fine->h.s, coarse->h.s, g->d, g->accum);
            else
                done = conv_run_wgrad(g->label, &f, &c, g->dw, &d, g->accum);
            conv_done(&c);
        }
        conv_done(&f);
    }
    if (g->db && pv_is_ref(g->db))
        ref_chan_sum(pv_ref_data(out), pv_ref_data(g->db), out->h.n, out->h.c, pv_voxels(&out->h), g->accum_bias);
    else if (g->db)
        conv_run_chan_sum(g->label, out, g->db, g->accum_bias);
    return true;
}

static bool plain_grads_by(const char *impl, const struct grads *g)
{
    return pv_streq(impl, "wino") ? grads_by_wino(g)
           : pv_streq(impl, "deep") ? grads_by_deep(g)
           : pv_streq(impl, "two") ? grads_by_two(g)
           : pv_streq(impl, "clblast") ? grads_by_blas(g)
           : pv_streq(impl, "winog") ? grads_by_winog(g) : grads_by_direct(g, how_of(impl));
}

/* Mixed precision as in walk_by. The bias's gradient is a sum of no products: it takes what is not rounded. */
static bool grads_by(const char *impl, const struct grads *g)
{
    if (!g->d->half || !g->dw || how_of(impl) == CONV_COOP)
        return plain_grads_by(impl, g);
    struct grads h = *g;
    h.db = NULL;
    h.fine = pv_half_round(g->fine);
    h.coarse = pv_half_round(g->coarse);
    bool done = h.fine && h.coarse && plain_grads_by(impl, &h);
    pv_tensor_put(&h.fine);
    pv_tensor_put(&h.coarse);
    h = *g;
    h.dw = NULL;
    return done && (!g->db || plain_grads_by("direct", &h));
}

struct grads_trial { const struct grads *g; const char *const *list; bool had_fine, had_coarse; };

static void prepare_grads(void *user, int n)
{
    const struct grads_trial *y = user;
    prepare(y->g->t->dev, y->list, n);
}

static bool try_grads(void *user, int i, pv_tensor *const *out)
{
    const struct grads_trial *y = user;
    if (pv_streq(y->list[i], "clblast") && !blas_in_trial(y->g->t->dev))
        return false;
    struct grads g = *y->g;
    g.dw = out[0];
    g.db = out[1];
    g.accum = g.accum_bias = false;
    bool done = grads_by(y->list[i], &g);
    if (!y->had_fine)
        pv_tensor_forget(g.fine);
    if (!y->had_coarse)
        pv_tensor_forget(g.coarse);
    return done;
}

static void weight_grads(pv_tape *t, const char *label, struct pv_node *n, pv_tensor *fine, pv_tensor *coarse,
                         pv_tensor *out, const struct conv_desc *d)
{
    struct grads g = {.t = t, .label = label, .d = d, .fine = fine, .coarse = coarse, .out = out};
    g.dw = pv_grad_slot(t, n->in[1], &g.accum);
    g.db = n->num_in > 2 ? pv_grad_slot(t, n->in[2], &g.accum_bias) : NULL;
    const char *list[MOST_IMPL] = {"direct"}, *pick;
    int num = fine->h.layout == PV_BLOCKED && coarse->h.layout == PV_BLOCKED
                  ? implementations(t, fine, coarse, fine, coarse, d, true, list) : 1;
    pick = list[0];
    if (t->tune && !t->force_impl && num > 1 && g.dw) {
        char key[128];
        name_case(key, label, d, fine, coarse->h.c);
        struct grads_trial y = {&g, list, fine->buf != NULL, coarse->buf != NULL};
        pick = pv_tune_choose(t->tune, &(struct pv_tune_case){.key = key, .impl = list, .num = num, .run = try_grads,
                                                              .prepare = prepare_grads, .user = &y,
                                                              .like = {g.dw, g.db}});
    }
    bool done = grads_by(pick, &g);
    for (int i = 0; i < num && !done; i++)
        done = !pv_streq(list[i], pick) && grads_by(list[i], &g);
}

static void conv_backward(pv_tape *t, struct pv_node *n)
{
    struct conv_desc d = *(struct conv_desc *)n->aux;
    pv_tensor *x = n->in[0], *w = n->in[1], *dy = pv_out_grad(n, 0);
    bool accum;
    pv_tensor_drop_unread(n->out[0]);
    if (d.up)           /* first, so that an input made again for it is gone before the data gradient is made */
        weight_grads(t, "conv_up bwd weight", n, dy, x, dy, &d);
    else
        weight_grads(t, "conv bwd weight", n, x, dy, dy, &d);
    pv_tensor *dx = pv_grad_slot(t, x, &accum);
    walk(&(struct walk){t, d.up ? "conv_up bwd data" : "conv bwd data", &d, dy, w, NULL, dx, !d.up, dx && accum,
                        PACK_DGRAD});
    if (w->saved == 1)  /* no other layer with this weight is left */
        pv_tensor_drop_packed(w, true);
}

static void record(pv_tape *t, const char *op, void (*back)(pv_tape *, struct pv_node *), pv_tensor *x,
                   pv_tensor *w, pv_tensor *b, pv_tensor *y, const struct conv_desc *d)
{
    pv_tensor *in[] = {x, w, b};
    if (y && pv_tape_wants(t, 3, in))
        pv_tape_record(t, op, back, b ? 3 : 2, in, 1, &y, d, sizeof *d);
}

/* ---- stem ---- */

static void stem_backward(pv_tape *t, struct pv_node *n)
{
    struct conv_desc d = *(struct conv_desc *)n->aux;
    pv_tensor *x = n->in[0], *dy = pv_out_grad(n, 0);
    pv_tensor_drop_unread(n->out[0]);
    if (pv_is_ref(x)) {
        weight_grads(t, "stem bwd weight", n, x, dy, dy, &d);
        return;
    }
    bool accum;
    pv_tensor *dw = pv_grad_slot(t, n->in[1], &accum);
    if (dw) {
        pv_tensor *padded = stem_pad(x, &d);
        if (padded)
            stem_run_wgrad("stem bwd weight", padded, dy, dw, &d, accum);
        pv_tensor_put(&padded);
    }
    pv_tensor *db = n->num_in > 2 ? pv_grad_slot(t, n->in[2], &accum) : NULL;
    if (db)
        conv_run_chan_sum("stem bwd weight", dy, db, accum);
}

static pv_tensor *stem(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, const struct conv_desc *d)
{
    if (x->needs_grad)
        return pv_op_bad("conv", "an image needs no gradient");
    if (d->stride != 1 || (d->k[2] != 3 && d->k[2] != 7) || d->pad[2] != (d->k[2] - 1) / 2 || x->h.c > 8)
        return pv_op_bad("conv", "PLAIN input takes k 3 or 7, stride 1, pad (k - 1) / 2, up to 8 channels");
    pv_tensor *y = pv_tensor_new(t->dev, pv_blocked(x->h.dims, x->h.n, d->co, x->h.s), PV_F32);
    if (!y)
        return NULL;
    if (pv_is_ref(x)) {
        ref_conv_down(pv_ref_data(x), pv_ref_data(w), b ? pv_ref_data(b) : NULL, pv_ref_data(y), x->h.n, x->h.c,
                      d->co, x->h.s, y->h.s, d, false);
    } else {
        pv_tensor *padded = stem_pad(x, d);
        if (padded)
            stem_run_fwd("stem fwd", padded, conv_packed(w, b, d, PACK_STEM), y, d, b != NULL);
        pv_tensor_put(&padded);
    }
    record(t, "stem", stem_backward, x, w, b, y, d);
    return y;
}

/* ---- public ---- */

pv_tensor *pv_conv(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, int co, int k, int stride, int pad)
{
    pv_ops_init();
    if (!pv_op_ready(t, 2, (pv_tensor *[]){x, w}))
        return NULL;
    struct conv_desc d = describe(x, x->h.c, co, k, stride, pad, 0);
    if (w->h.n != pv_conv_weights(d.dims, d.ci, co, k) || (b && b->h.n != co))
        return pv_op_bad("conv", "%d weights for %d -> %d channels, k %d", w->h.n, d.ci, co, k);
    if (x->h.layout == PV_PLAIN)
        return stem(t, x, w, b, &d);
    d.half = t->mixed;
    if (!((k == 3 && pad == 1 && (stride == 1 || stride == 2)) || (k == 2 && pad == 0 && stride == 2) ||
          (k == 1 && pad == 0 && (stride == 1 || stride == 2))))
        return pv_op_bad("conv", "no kernel for k %d stride %d pad %d", k, stride, pad);
    int s[3];
    for (int i = 0; i < 3; i++) {
        int st = i == 0 && d.dims == 2 ? 1 : stride;
        s[i] = (x->h.s[i] + 2 * d.pad[i] - d.k[i]) / st + 1;
        if (x->h.s[i] + 2 * d.pad[i] < d.k[i])
            return pv_op_bad("conv", "side %d is smaller than the kernel %d", x->h.s[i], d.k[i]);
    }
    pv_tensor *y = pv_tensor_new(t->dev, pv_blocked(d.dims, x->h.n, co, s), PV_F32);
    if (y)
        walk(&(struct walk){t, "conv fwd", &d, x, w, b, y, false, false, PACK_FWD});
    record(t, "conv", conv_backward, x, w, b, y, &d);
    return y;
}

pv_tensor *pv_conv_up(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, int co, int k)
{
    pv_ops_init();
    if (!pv_op_ready(t, 2, (pv_tensor *[]){x, w}))
        return NULL;
    struct conv_desc d = describe(x, x->h.c, co, k, 2, k == 3, 1);
    d.half = t->mixed;
    if ((k != 2 && k != 3) || x->h.layout == PV_PLAIN)
        return pv_op_bad("conv_up", "takes BLOCKED input, k 2 or 3");
    if (w->h.n != pv_conv_weights(d.dims, d.ci, co, k) || (b && b->h.n != co))
        return pv_op_bad("conv_up", "%d weights for %d -> %d channels, k %d", w->h.n, d.ci, co, k);
    int s[3] = {x->h.s[0] * (d.dims == 2 ? 1 : 2), x->h.s[1] * 2, x->h.s[2] * 2};
    pv_tensor *y = pv_tensor_new(t->dev, pv_blocked(d.dims, x->h.n, co, s), PV_F32);
    if (y)
        walk(&(struct walk){t, "conv_up fwd", &d, x, w, b, y, true, false, PACK_FWD});
    record(t, "conv_up", conv_backward, x, w, b, y, &d);
    return y;
}

static void head_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *x = n->in[0], *w = n->in[1], *dy = pv_out_grad(n, 0);
    struct conv_desc d = *(struct conv_desc *)n->aux;
    pv_tensor_drop_unread(n->out[0]);
    if (pv_is_ref(x)) {
        bool accum;
        pv_tensor *dx = pv_grad_slot(t, x, &accum);
        if (dx)
            ref_conv_up(pv_ref_data(dy), pv_ref_data(w), NULL, pv_ref_data(dx), x->h.n, x->h.c, d.co, x->h.s,
                        x->h.s, &d, accum);
        if (pv_tensor_pin(x)) {
            weight_grads(t, "head bwd", n, x, dy, dy, &d);
            pv_tensor_unpin(x);
        }
        return;
    }
    bool aw = false, ab = false;
    pv_tensor *dw = pv_grad_slot(t, w, &aw);
    pv_tensor *db = n->num_in > 2 ? pv_grad_slot(t, n->in[2], &ab) : NULL;
    if ((dw || db) && pv_tensor_pin(x)) {
        head_run_wgrad(x, dy, dw, aw, db, ab);
        pv_tensor_unpin(x);
    }
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, x, &accum);
    if (dx)
        head_run_dgrad(dy, w, dx, accum);
}

pv_tensor *pv_head(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, int co)
{
    pv_ops_init();
    if (!pv_op_ready(t, 2, (pv_tensor *[]){x, w}))
        return NULL;
    struct conv_desc d = describe(x, x->h.c, co, 1, 1, 0, 0);
    if (co < 1 || co > 32)
        return pv_op_bad("head", "1 to 32 outputs, not %d", co);
    if (w->h.n != d.ci * co || x->h.layout == PV_PLAIN || (b && b->h.n != co))
        return pv_op_bad("head", "%d weights for %d -> %d channels", w->h.n, d.ci, co);
    pv_tensor *y = pv_tensor_new(t->dev, pv_plain(d.dims, x->h.n, co, x->h.s), PV_F32);
    if (y && pv_tensor_pin(x)) {
        if (pv_is_ref(x))
            ref_conv_down(pv_ref_data(x), pv_ref_data(w), b ? pv_ref_data(b) : NULL, pv_ref_data(y), x->h.n,
                          d.ci, co, x->h.s, y->h.s, &d, false);
        else
            head_run_fwd(x, w, b, y);
        pv_tensor_unpin(x);
    }
    record(t, "head", head_backward, x, w, b, y, &d);
    return y;
}
