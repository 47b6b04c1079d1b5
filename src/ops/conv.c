/* SPDX-License-Identifier: Apache-2.0
 * Convolution ops: shapes, the tape, and the choice between kernels and references. Data gradients are the
 * opposite walk (down <-> up) with repacked weights; for stride 1 both walks are the same kernel with flipped
 * taps. */
#include "ops/conv.h"

#include "ops/conv_impl.h"

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

/* Whether an implementation is used where its kernels allow it. */
static bool choose(const pv_tape *t, const char *name, bool gains)
{
    return t->force_impl ? pv_streq(t->force_impl, name) : gains;
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

/* A walk of stride 1 by Winograd's algorithm; false: not done, the direct kernels must. */
static bool wino(const pv_tape *t, const char *label, pv_tensor *src, pv_tensor *w, pv_tensor *b, pv_tensor *dst,
                 const struct conv_desc *d, enum conv_pack_kind kind, bool accum)
{
    struct conv_in in;
    if (!wino_kind(src, d) || !choose(t, "wino", wino_gains(src, dst)) || !conv_read(src, true, &in))
        return false;
    bool can = wino_can(in.t, dst);
    if (can)
        wino_run(label, &in, conv_packed(w, b, d, kind == PACK_FWD ? PACK_WINO_FWD : PACK_WINO_DGRAD), dst, b != NULL,
                 accum, kind == PACK_FWD);
    conv_done(&in);
    return can;
}

/* The same for layers of side 2 and stride 2. */
static bool two(const pv_tape *t, const char *label, pv_tensor *src, pv_tensor *w, pv_tensor *b, pv_tensor *dst,
                const struct conv_desc *d, bool upward, enum conv_pack_kind kind, bool accum)
{
    struct conv_in in;
    if (!two_kind(upward ? dst : src, upward ? src : dst, d) || !choose(t, "two", true) || !conv_read(src, true, &in))
        return false;
    bool done = two_run(label, &in, conv_packed(w, b, d, kind), dst, d, upward, b != NULL, accum, kind == PACK_FWD);
    conv_done(&in);
    return done;
}

/* The references and kernels see fine and coarse sides: */
static void down(const pv_tape *t, const char *label, pv_tensor *fine, pv_tensor *w, pv_tensor *b, pv_tensor *coarse,
                 const struct conv_desc *d, enum conv_pack_kind kind, bool accum)
{
    if (!coarse || wino(t, label, fine, w, b, coarse, d, kind, accum) ||
        two(t, label, fine, w, b, coarse, d, false, kind, accum) || !pv_tensor_pin(fine))
        return;
    if (pv_is_ref(fine))
        ref_conv_down(pv_ref_data(fine), pv_ref_data(w), b ? pv_ref_data(b) : NULL, pv_ref_data(coarse),
                      fine->h.n, fine->h.c, coarse->h.c, fine->h.s, coarse->h.s, d, accum);
    else
        conv_run_down(label, fine, conv_packed(w, b, d, kind), coarse, d, b != NULL, accum);
    pv_tensor_unpin(fine);
}

static void up(const pv_tape *t, const char *label, pv_tensor *coarse, pv_tensor *w, pv_tensor *b, pv_tensor *fine,
               const struct conv_desc *d, enum conv_pack_kind kind, bool accum)
{
    if (!fine || wino(t, label, coarse, w, b, fine, d, kind, accum) ||
        two(t, label, coarse, w, b, fine, d, true, kind, accum) || !pv_tensor_pin(coarse))
        return;
    if (pv_is_ref(fine)) {
        ref_conv_up(pv_ref_data(coarse), pv_ref_data(w), b ? pv_ref_data(b) : NULL, pv_ref_data(fine),
                    fine->h.n, fine->h.c, coarse->h.c, fine->h.s, coarse->h.s, d, accum);
    } else if (d->stride == 1) {
        struct conv_desc flipped = *d;      /* taps reversed by the packing: pad becomes k - 1 - pad */
        for (int i = 0; i < 3; i++)
            flipped.pad[i] = d->k[i] - 1 - d->pad[i];
        conv_run_down(label, coarse, conv_packed(w, b, d, kind), fine, &flipped, b != NULL, accum);
    } else {
        conv_run_up(label, coarse, conv_packed(w, b, d, kind), fine, d, b != NULL, accum);
    }
    pv_tensor_unpin(coarse);
}

/* False: not done. */
static bool wino_weight_grads(pv_tape *t, const char *label, pv_tensor *x, pv_tensor *dy, pv_tensor *dw, bool accum,
                              pv_tensor *db, bool accum_bias, const struct conv_desc *d)
{
    struct conv_in in;
    if (!dw || !wino_kind(x, d) || !choose(t, "wino", wino_gains(x, dy)) || !conv_read(x, true, &in))
        return false;
    bool can = wino_can_wgrad(in.t, dy, dw);
    if (can)
        wino_run_wgrad(label, &in, dy, dw, accum, db, accum_bias);
    conv_done(&in);
    return can;
}

static bool two_weight_grads(pv_tape *t, const char *label, pv_tensor *fine, pv_tensor *coarse, pv_tensor *dw,
                             bool accum, pv_tensor *db, bool accum_bias, const struct conv_desc *d)
{
    struct conv_in f, c;
    if (!dw || !two_kind(fine, coarse, d) || !choose(t, "two", true))
        return false;
    bool done = false;
    if (conv_read(fine, true, &f)) {
        if (conv_read(coarse, true, &c)) {
            done = two_run_wgrad(label, &f, &c, dw, d, accum, db, accum_bias);
            conv_done(&c);
        }
        conv_done(&f);
    }
    return done;
}

static void weight_grads(pv_tape *t, const char *label, struct pv_node *n, pv_tensor *fine, pv_tensor *coarse,
                         pv_tensor *out, const struct conv_desc *d)
{
    bool accum, accum_bias;
    pv_tensor *dw = pv_grad_slot(t, n->in[1], &accum);
    pv_tensor *db = n->num_in > 2 ? pv_grad_slot(t, n->in[2], &accum_bias) : NULL;
    if ((out == coarse && wino_weight_grads(t, label, fine, coarse, dw, accum, db, accum_bias, d)) ||
        two_weight_grads(t, label, fine, coarse, dw, accum, db, accum_bias, d))
        return;
    if (dw && pv_tensor_pin(fine)) {
        if (pv_tensor_pin(coarse)) {
            if (pv_is_ref(dw))
                ref_conv_wgrad(pv_ref_data(fine), pv_ref_data(coarse), pv_ref_data(dw), fine->h.n, fine->h.c,
                               coarse->h.c, fine->h.s, coarse->h.s, d, accum);
            else
                conv_run_wgrad(label, fine, coarse, dw, d, accum);
            pv_tensor_unpin(coarse);
        }
        pv_tensor_unpin(fine);
    }
    if (db && pv_is_ref(db))
        ref_chan_sum(pv_ref_data(out), pv_ref_data(db), out->h.n, out->h.c, pv_voxels(&out->h), accum_bias);
    else if (db)
        conv_run_chan_sum(label, out, db, accum_bias);
}

static void conv_backward(pv_tape *t, struct pv_node *n)
{
    struct conv_desc d = *(struct conv_desc *)n->aux;
    pv_tensor *x = n->in[0], *w = n->in[1], *dy = pv_out_grad(n, 0);
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, x, &accum);
    if (dx && d.up)
        down(t, "conv_up bwd data", dy, w, NULL, dx, &d, PACK_DGRAD, accum);
    else if (dx)
        up(t, "conv bwd data", dy, w, NULL, dx, &d, PACK_DGRAD, accum);
    if (d.up)
        weight_grads(t, "conv_up bwd weight", n, dy, x, dy, &d);
    else
        weight_grads(t, "conv bwd weight", n, x, dy, dy, &d);
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
        down(t, "conv fwd", x, w, b, y, &d, PACK_FWD, false);
    record(t, "conv", conv_backward, x, w, b, y, &d);
    return y;
}

pv_tensor *pv_conv_up(pv_tape *t, pv_tensor *x, pv_tensor *w, pv_tensor *b, int co, int k)
{
    pv_ops_init();
    if (!pv_op_ready(t, 2, (pv_tensor *[]){x, w}))
        return NULL;
    struct conv_desc d = describe(x, x->h.c, co, k, 2, k == 3, 1);
    if ((k != 2 && k != 3) || x->h.layout == PV_PLAIN)
        return pv_op_bad("conv_up", "takes BLOCKED input, k 2 or 3");
    if (w->h.n != pv_conv_weights(d.dims, d.ci, co, k) || (b && b->h.n != co))
        return pv_op_bad("conv_up", "%d weights for %d -> %d channels, k %d", w->h.n, d.ci, co, k);
    int s[3] = {x->h.s[0] * (d.dims == 2 ? 1 : 2), x->h.s[1] * 2, x->h.s[2] * 2};
    pv_tensor *y = pv_tensor_new(t->dev, pv_blocked(d.dims, x->h.n, co, s), PV_F32);
    if (y)
        up(t, "conv_up fwd", x, w, b, y, &d, PACK_FWD, false);
    record(t, "conv_up", conv_backward, x, w, b, y, &d);
    return y;
}

static void head_backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *x = n->in[0], *w = n->in[1], *dy = pv_out_grad(n, 0);
    struct conv_desc d = *(struct conv_desc *)n->aux;
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
