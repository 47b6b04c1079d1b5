/* SPDX-License-Identifier: Apache-2.0
 * Layer norm over channels: shapes, the tape, launches. Where a sample exceeds a binding, sums over channels are
 * carried from block to block in the table. */
#include "ops/channorm.h"

#include "ops/args/channorm.h"
#include "ops/args/conv.h"
#include "ops/channorm_impl.h"
#include "ops/conv_impl.h"
#include "ops/span.h"

#define BOTH(name, bind) \
    static const struct pv_kernel k_##name[2] = { \
        {"channorm", "cn_" #name, bind, sizeof(struct a_cn), {64, 1, 1}, NULL}, \
        {"channorm", "cn_" #name, bind, sizeof(struct a_cn), {1, 1, 1}, NULL}}
BOTH(stat, "rx");
BOTH(fwd, "rrrrw");
BOTH(sum, "rrrrx");
BOTH(bwd, "rrrrrx");
BOTH(param, "rrrw");
static const struct pv_kernel k_total = {"conv_aux", "chan_total", "rx", sizeof(struct a_chan), {64, 1, 1}, NULL};

static struct channorm_desc describe(const pv_tensor *x)
{
    return (struct channorm_desc){x->h.n, x->h.c, pv_voxels(&x->h)};
}

static double *data(const pv_tensor *t) { return t ? pv_ref_data(t) : NULL; }

/* Two numbers per voxel. */
static pv_tensor *new_table(const pv_tensor *x)
{
    return pv_tensor_new(x->dev, pv_plain(x->h.dims, x->h.n, 1, (int[]){x->h.s[0], x->h.s[1], 2 * x->h.s[2]}), PV_F32);
}

/* ---- launches ---- */

/* The kernel's buffers in order: BLOCKED tensors of x's shape, tables (PLAIN), parameters (FLAT). */
struct call { const struct pv_kernel *k; int num; pv_tensor *t[6]; int flags; };

static struct a_cn args_of(const pv_tensor *x, const struct piece *p, int flags)
{
    struct pv_strides s = pv_strides_of(x);
    return (struct a_cn){.n = p->nn, .x = p->nx, .y = x->h.s[1], .z = x->h.s[2], .nb = p->nb, .sn = s.n, .sb = s.b,
        .sp = s.p, .sr = s.r, .tn = (int)pv_voxels(&x->h) * 2, .c = x->h.c, .c0 = p->b0 * 16, .eps = 1e-5f,
        .flags = flags | (p->b0 == 0 ? CN_FIRST : 0) | (p->b0 + p->nb == pv_blocks(x->h.c) ? CN_LAST : 0)};
}

static void run(const char *label, const struct call *c)
{
    pv_tensor *x = c->t[0], *maps[6];
    int num = 0, fat = pv_class(x) == PV_FAT;
    for (int i = 0; i < c->num; i++)
        if (!c->t[i])
            return;
        else if (c->t[i]->h.layout != PV_FLAT && num < PIECE_SIDES)
            maps[num++] = c->t[i];
    for (struct piece p = {0}; piece_next(&p, num, maps);) {
        struct a_cn a = args_of(x, &p, c->flags);
        struct pv_launch l = {.k = &c->k[fat], .label = label, .args = &a};
        for (int i = 0; i < c->num; i++)
            if (c->t[i]->h.layout == PV_BLOCKED)
                a.s0 = piece_bind(&l, i, c->t[i], &p);
            else if (c->t[i]->h.layout == PV_PLAIN)
                piece_bind_plain(&l, i, c->t[i], &p);
            else
                pv_bind(&l, i, c->t[i]);
        pv_run_items(x->dev, &l, (uint64_t)a.n * (uint64_t)a.x * (uint64_t)a.y * (uint64_t)(fat ? 1 : a.z));
    }
}

static pv_tensor *make_table(pv_tensor *x)
{
    pv_tensor *table = new_table(x);
    bool whole = span_fits(x, pv_shape_sample(&x->h));
    for (int phase = 0; table && phase <= !whole; phase++)
        run("channel norm", &(struct call){k_stat, 2, {x, table}, whole ? CN_MEAN | CN_VAR : phase ? CN_VAR : CN_MEAN});
    return table;
}

static void apply(pv_tensor *x, pv_tensor *table, pv_tensor *gamma, pv_tensor *beta, pv_tensor *y)
{
    struct channorm_desc d = describe(x);
    if (pv_is_ref(x))
        ref_channorm(data(x), data(gamma), data(beta), data(y), &d);
    else
        run("channel norm", &(struct call){k_fwd, 5, {x, table, gamma, beta, y}, 0});
}

/* dgamma (+)= sum dy hat, plane by plane. */
static void gamma_grad(pv_tensor *x, pv_tensor *dy, pv_tensor *table, pv_tensor *dgamma, bool accum)
{
    int planes = x->h.n * pv_blocks(x->h.c) * x->h.s[0], fat = pv_class(x) == PV_FAT;
    pv_tensor *part = pv_tensor_new(x->dev, pv_flat(planes * 16), PV_F32), *maps[] = {x, dy, table};
    for (struct piece p = {0}; part && piece_next(&p, 3, maps);) {
        struct a_cn a = args_of(x, &p, 0);
        struct pv_launch l = {.k = &k_param[fat], .label = "channel norm bwd", .args = &a};
        a.pb = x->h.s[0];
        a.pn = pv_blocks(x->h.c) * a.pb;
        a.p0 = p.n0 * a.pn + p.b0 * a.pb + p.x0;
        a.s0 = piece_bind(&l, 0, x, &p);
        piece_bind(&l, 1, dy, &p);
        piece_bind_plain(&l, 2, table, &p);
        pv_bind(&l, 3, part);
        pv_groups(x->dev, &l, (uint64_t)a.n * (uint64_t)a.nb * (uint64_t)a.x);
        pv_run(x->dev, &l);
    }
    if (part) {
        struct a_chan a = {.planes = planes, .x = x->h.s[0], .c = x->h.c, .nblk = pv_blocks(x->h.c), .accum = accum};
        struct pv_launch l = {.k = &k_total, .label = "channel norm bwd", .args = &a};
        pv_bind(&l, 0, part);
        pv_bind(&l, 1, dgamma);
        pv_run_items(x->dev, &l, (uint64_t)x->h.c);
    }
    pv_tensor_put(&part);
}

/* ---- the op ---- */

static void backward(pv_tape *t, struct pv_node *n)
{
    pv_tensor *x = n->in[0], *gamma = n->in[1], *table = n->saved[0], *dy = pv_out_grad(n, 0);
    struct ref_channorm_grads g = {0};
    pv_tensor *dx = pv_grad_slot(t, x, &g.ax), *dgamma = pv_grad_slot(t, gamma, &g.ag);
    pv_tensor *dbeta = pv_grad_slot(t, n->in[2], &g.ab);
    if (!pv_tensor_pin(x))
        return;
    if (pv_is_ref(x)) {
        struct channorm_desc d = describe(x);
        g.dx = data(dx);
        g.dgamma = data(dgamma);
        g.dbeta = data(dbeta);
        ref_channorm_bwd(data(x), data(dy), data(gamma), &g, &d);
    } else {
        if (dbeta)
            conv_run_chan_sum("channel norm bwd", dy, dbeta, g.ab);
        if (dgamma && table)
            gamma_grad(x, dy, table, dgamma, g.ag);
        pv_tensor *sums = dx ? new_table(x) : NULL;
        if (sums) {
            run("channel norm bwd", &(struct call){k_sum, 5, {x, dy, table, gamma, sums}, 0});
            run("channel norm bwd", &(struct call){k_bwd, 6, {x, dy, table, gamma, sums, dx}, g.ax ? CN_ACCUM : 0});
        }
        pv_tensor_put(&sums);
    }
    pv_tensor_unpin(x);
}

static void remake(pv_tensor *y, struct pv_remake *r) { apply(r->in[0], r->in[1], r->in[2], r->in[3], y); }

pv_tensor *pv_channel_norm(pv_tape *t, pv_tensor *x, pv_tensor *gamma, pv_tensor *beta)
{
    pv_ops_init();
    pv_tensor *in[] = {x, gamma, beta};
    if (!pv_op_ready(t, 3, in))
        return NULL;
    if (x->h.layout != PV_BLOCKED || x->type != PV_F32 || gamma->h.layout != PV_FLAT || gamma->h.n != x->h.c ||
        beta->h.layout != PV_FLAT || beta->h.n != x->h.c)
        return pv_op_bad("channel_norm", "takes BLOCKED F32 maps and as many weights as channels (%d), not %d",
                         x->h.c, gamma->h.n);
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32), *table = NULL;
    if (y && pv_tensor_pin(x)) {
        table = pv_is_ref(x) ? NULL : make_table(x);
        apply(x, table, gamma, beta, y);
        pv_tensor_unpin(x);
    }
    if (y && pv_tape_wants(t, 3, in)) {
        struct pv_node *n = pv_tape_record(t, "channel_norm", backward, 3, in, 1, &y, NULL, 0);
        pv_node_save(n, table);
        struct pv_remake *r = pv_new(struct pv_remake);
        pv_tensor *from[] = {x, table, gamma, beta};
        r->fn = remake;
        r->num_in = 4;
        for (int i = 0; i < 4; i++)
            r->in[i] = pv_tensor_ref(from[i]);
        pv_tensor_set_remake(y, r);
    }
    pv_tensor_put(&table);
    return y;
}
