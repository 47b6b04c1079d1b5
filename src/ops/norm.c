/* SPDX-License-Identifier: Apache-2.0
 * Normalisation with activation, residual, dropout, skip: checks, the tape, and who owns which gradient.
 * Saved for backward: x, the table of statistics, the residual if an activation's sign depends on it. */
#include "ops/norm.h"

#include <string.h>

#include "ops/norm_impl.h"

enum { X, GAMMA, BETA, RESIDUAL, SKIP, NUM_IN };

static const double *data(const pv_tensor *x) { return x ? pv_ref_data(x) : NULL; }
static double *out_data(const pv_tensor *x) { return x ? pv_ref_data(x) : NULL; }

static void apply(pv_tensor *x, pv_tensor *table, pv_tensor *res, pv_tensor *skip, pv_tensor *y,
                  const struct norm_desc *d)
{
    if (pv_is_ref(x))
        ref_norm_apply(data(x), data(table), data(res), data(skip), out_data(y), &x->h, d);
    else
        norm_run_apply(x, table, res, skip, y, d);
}

static void remake(pv_tensor *y, struct pv_remake *r)
{
    struct norm_desc d;
    memcpy(&d, r->aux, sizeof d);
    apply(r->in[0], r->in[1], r->in[2], r->in[3], y, &d);
}

static void set_remake(pv_tensor *y, pv_tensor *x, pv_tensor *table, const struct pv_norm_params *p,
                       const struct norm_desc *d)
{
    struct pv_remake *r = pv_new(struct pv_remake);
    pv_tensor *in[] = {x, table, p->residual, p->skip};
    r->fn = remake;
    r->num_in = 4;
    r->own_pins = pv_is_ref(x) ? 0 : 1u << 3;       /* a pending skip is read as it is */
    for (int i = 0; i < 4; i++)
        r->in[i] = pv_tensor_ref(in[i]);
    _Static_assert(sizeof *d <= sizeof r->aux && sizeof *d <= PV_NODE_AUX, "description fits");
    memcpy(r->aux, d, sizeof *d);
    pv_tensor_set_remake(y, r);
}

bool norm_is_pending(const pv_tensor *y, struct norm_pending *p)
{
    const struct pv_remake *r = y ? y->remake : NULL;
    struct norm_desc d;
    if (!r || y->buf || r->fn != remake || !r->in[1] || r->in[2] || r->in[3])
        return false;
    memcpy(&d, r->aux, sizeof d);
    if (d.drop != PV_DROP_NONE)
        return false;
    *p = (struct norm_pending){r->in[0], r->in[1], d.slope, norm_rows(&d, &y->h)};
    return true;
}

/* ---- backward ---- */

/* The gradients of x and of the residual from one pass, with normalisation. dx takes dy's place if nobody else
 * needs dy; a tensor that is both gets its parts one after the other. */
static void map_grads(pv_tape *t, struct pv_node *n, pv_tensor *dy, pv_tensor *table, pv_tensor *x, pv_tensor *res,
                      pv_tensor *back, const struct norm_desc *d)
{
    pv_tensor *to = n->in[X], *to_res = n->in[RESIDUAL];
    struct norm_grads g = {0};
    if (to == to_res) {
        g.dres = pv_grad_slot(t, to_res, &g.add_res);
        if (g.dres)
            norm_run_grad_apply(dy, x, table, res, back, &g, d);
        g = (struct norm_grads){0};
        to_res = NULL;
    }
    g.dres = pv_grad_slot(t, to_res, &g.add_res);
    g.in_place = to->needs_grad && !to->grad && pv_grad_is_own(n, 0);
    g.dx = g.in_place ? dy : pv_grad_slot(t, to, &g.add_x);
    norm_run_grad_apply(dy, x, table, res, back, &g, d);
    if (g.in_place)
        pv_grad_give(t, to, pv_tensor_ref(dy));
}

/* Without normalisation x and the residual get the same gradient: made once, shared. */
static void plain_grads(pv_tape *t, struct pv_node *n, pv_tensor *dy, pv_tensor *x, pv_tensor *res,
                        const struct norm_desc *d)
{
    bool own = pv_grad_is_own(n, 0);
    struct norm_grads g = {.in_place = own, .dx = own ? pv_tensor_ref(dy) : pv_tensor_new(t->dev, dy->h, PV_F32)};
    if (!g.dx)
        return;
    norm_run_grad_apply(dy, x, NULL, res, NULL, &g, d);
    pv_grad_give(t, n->in[X], pv_tensor_ref(g.dx));
    pv_grad_give(t, n->in[RESIDUAL], g.dx);
}

static void ref_grads(pv_tape *t, struct pv_node *n, pv_tensor *dy, pv_tensor *table, pv_tensor *x, pv_tensor *res,
                      const struct norm_desc *d)
{
    struct norm_grads g = {0};
    pv_tensor *to = n->in[X], *to_res = n->in[RESIDUAL];
    g.dgamma = pv_grad_slot(t, n->in[GAMMA], &g.add_gamma);
    g.dbeta = pv_grad_slot(t, n->in[BETA], &g.add_beta);
    g.dres = pv_grad_slot(t, to_res, &g.add_res);
    g.in_place = to->needs_grad && !to->grad && pv_grad_is_own(n, 0);
    g.dx = g.in_place ? dy : pv_grad_slot(t, to, &g.add_x);
    struct ref_norm_grads out = {out_data(g.dx), out_data(g.dres), out_data(g.dgamma), out_data(g.dbeta)};
    ref_norm_grad(data(dy), data(x), data(table), data(res), &out, &g, &dy->h, d);
    if (g.in_place)
        pv_grad_give(t, to, pv_tensor_ref(dy));
}

static bool wants(const pv_tensor *x) { return x && x->needs_grad; }

static void norm_backward(pv_tape *t, struct pv_node *n)
{
    struct norm_desc d;
    memcpy(&d, n->aux, sizeof d);
    pv_tensor *dy = pv_out_grad(n, 0), *table = n->saved[0], *const *in = n->in;
    bool normed = d.kind != PV_NORM_NONE;
    if (wants(in[SKIP]))
        pv_grad_give(t, in[SKIP], pv_tensor_ref(dy));
    if (!normed && d.slope == 1 && d.drop == PV_DROP_NONE) {
        pv_grad_give(t, in[X], pv_tensor_ref(dy));
        pv_grad_give(t, in[RESIDUAL], pv_tensor_ref(dy));
        return;
    }
    bool map = wants(in[X]) || wants(in[RESIDUAL]);
    bool sums = normed && ((d.batch_stats && wants(in[X])) || wants(in[GAMMA]) || wants(in[BETA]));
    pv_tensor *need[] = {d.slope != 1 || sums ? in[X] : NULL, d.slope != 1 ? in[RESIDUAL] : NULL};
    if (!pv_pin_all(2, need))
        return;
    if (pv_is_ref(dy)) {
        ref_grads(t, n, dy, table, need[0], need[1], &d);
    } else {
        pv_tensor *back = NULL;
        if (sums) {
            struct norm_grads g = {0};
            g.dgamma = pv_grad_slot(t, in[GAMMA], &g.add_gamma);
            g.dbeta = pv_grad_slot(t, in[BETA], &g.add_beta);
            back = norm_run_grad_table(dy, need[0], table, need[1], &g, &d);
        }
        if (map && normed)
            map_grads(t, n, dy, table, need[0], need[1], back, &d);
        else if (map)
            plain_grads(t, n, dy, need[0], need[1], &d);
        pv_tensor_put(&back);
    }
    pv_unpin_all(2, need);
}

/* ---- forward ---- */

static void describe(struct norm_desc *d, pv_tape *t, const struct pv_norm_params *p)
{
    *d = (struct norm_desc){.kind = p->kind, .drop = p->drop_p > 0 ? p->drop : PV_DROP_NONE,
                            .eps = p->eps > 0 ? p->eps : 1e-5f, .momentum = p->momentum > 0 ? p->momentum : 0.1f,
                            .slope = p->slope};
    d->batch_stats = p->kind == PV_NORM_INSTANCE || (p->kind == PV_NORM_BATCH && (p->train || !p->running_mean));
    if (p->drop == PV_DROP_NONE)
        return;
    double keep = 1 - (double)p->drop_p, number = keep * 4294967296.0;
    d->keep = number >= 4294967295.0 ? 0xffffffffu : (uint32_t)number;
    d->keep_scale = keep > 0 ? (float)(1 / keep) : 0;
    d->key[0] = (uint32_t)t->seed;
    d->key[1] = (uint32_t)(t->seed >> 32);
    d->step = (uint32_t)t->step;
    d->stream = t->pass << 16 | (t->layer++ & 0xffff);
    d->sample = (uint32_t)t->first_sample;
}

static bool fits(const pv_tensor *x, const pv_tensor *like)
{
    return !x || (pv_shape_eq(&x->h, &like->h) && x->type == PV_F32);
}

static bool flat_of(const pv_tensor *v, int c) { return !v || (v->h.layout == PV_FLAT && v->h.n == c); }

static pv_tensor *wrong(const pv_tensor *x, const struct pv_norm_params *p)
{
    char text[80];
    pv_shape_text(&x->h, text);
    if (x->h.layout != PV_BLOCKED || x->type != PV_F32)
        return pv_op_bad("norm", "takes BLOCKED fp32 maps, not %s", text);
    if (!fits(p->residual, x) || !fits(p->skip, x))
        return pv_op_bad("norm", "residual or skip differs in shape from %s", text);
    if (!flat_of(p->gamma, x->h.c) || !flat_of(p->beta, x->h.c) || !flat_of(p->running_mean, x->h.c) ||
        !flat_of(p->running_var, x->h.c) || !p->running_mean != !p->running_var)
        return pv_op_bad("norm", "parameters do not have %d elements", x->h.c);
    return pv_op_bad("norm", "probability %g of dropout", (double)p->drop_p);
}

static void make_table(pv_tensor *x, pv_tensor *table, const struct pv_norm_params *p, const struct norm_desc *d)
{
    bool running = p->kind == PV_NORM_BATCH && !(p->train && p->keep_running);
    struct norm_stats s = {p->gamma, p->beta, running ? p->running_mean : NULL, running ? p->running_var : NULL};
    if (pv_is_ref(x))
        ref_norm_table(data(x), out_data(table), data(s.gamma), data(s.beta), out_data(s.running_mean),
                       out_data(s.running_var), &x->h, d);
    else
        norm_run_table(x, table, &s, d);
}

pv_tensor *pv_norm_act(pv_tape *t, pv_tensor *x, const struct pv_norm_params *p)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_BLOCKED || x->type != PV_F32 || !fits(p->residual, x) || !fits(p->skip, x) ||
        !flat_of(p->gamma, x->h.c) || !flat_of(p->beta, x->h.c) || !flat_of(p->running_mean, x->h.c) ||
        !flat_of(p->running_var, x->h.c) || !p->running_mean != !p->running_var ||
        !(p->drop_p >= 0 && p->drop_p <= 1))
        return wrong(x, p);
    struct norm_desc d;
    describe(&d, t, p);
    /* convolutions may normalise what they read: the result gets memory when somebody else asks for it */
    bool lazy = !pv_is_ref(x) && p->kind != PV_NORM_NONE && !p->residual && !p->skip && d.drop == PV_DROP_NONE;
    pv_tensor *table = NULL, *y = lazy ? pv_tensor_lazy(t->dev, x->h, PV_F32) : pv_tensor_new(t->dev, x->h, PV_F32);
    if (p->kind != PV_NORM_NONE)
        table = pv_tensor_new(t->dev, pv_flat(norm_table_size(&d, &x->h)), PV_F32);
    pv_tensor *maps[] = {x, p->residual, pv_is_ref(x) ? p->skip : NULL};
    if (y && pv_pin_all(3, maps)) {
        if (table)
            make_table(x, table, p, &d);
        if (!lazy)
            apply(x, table, p->residual, p->skip, y, &d);
        pv_unpin_all(3, maps);
    }
    pv_tensor *in[] = {x, p->gamma, p->beta, p->residual, p->skip};
    bool wanted = y && !pv_dev_failed(t->dev) && pv_tape_wants(t, NUM_IN, in);
    if (wanted)
        pv_node_save(pv_tape_record(t, "norm", norm_backward, NUM_IN, in, 1, &y, &d, sizeof d), table);
    if (y && (wanted || lazy))
        set_remake(y, x, table, p, &d);
    pv_tensor_put(&table);
    return y;
}

pv_tensor *pv_leaky_relu(pv_tape *t, pv_tensor *x, float slope)
{
    return pv_norm_act(t, x, &(struct pv_norm_params){.slope = slope});
}

pv_tensor *pv_relu(pv_tape *t, pv_tensor *x) { return pv_leaky_relu(t, x, 0); }

pv_tensor *pv_add(pv_tape *t, pv_tensor *a, pv_tensor *b)
{
    return b ? pv_norm_act(t, a, &(struct pv_norm_params){.slope = 1, .residual = b}) : NULL;
}

static pv_tensor *dropout(pv_tape *t, pv_tensor *x, enum pv_drop_kind kind, float p)
{
    return p == 0 ? pv_tensor_ref(x)
                  : pv_norm_act(t, x, &(struct pv_norm_params){.slope = 1, .drop = kind, .drop_p = p});
}

pv_tensor *pv_dropout_channel(pv_tape *t, pv_tensor *x, float p) { return dropout(t, x, PV_DROP_CHANNEL, p); }
pv_tensor *pv_dropout_element(pv_tape *t, pv_tensor *x, float p) { return dropout(t, x, PV_DROP_ELEMENT, p); }
