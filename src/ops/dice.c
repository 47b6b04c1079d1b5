/* SPDX-License-Identifier: Apache-2.0
 * Dice losses: shapes, tape, launches. */
#include "ops/dice.h"

#include "ops/args/dice.h"
#include "ops/dice_impl.h"
#include "ops/softmax.h"

PLAIN_KERNEL(k_sum, "dice", "dice_sum", "rrrw", a_dice);
PLAIN_KERNEL(k_grad, "dice", "dice_grad", "rrrrrx", a_dice);
static const struct pv_kernel k_finish = {"dice", "dice_finish", "rww", sizeof(struct a_dice_end), {1, 1, 1}, NULL};

static struct a_dice arguments(const struct dice_aux *q, const pv_tensor *p, const pv_tensor *mask)
{
    return (struct a_dice){.c = p->h.c, .cs = (int)pv_voxels(&p->h), .masked = mask != NULL, .soft = q->soft,
                           .square = q->square, .tc = plain_chunks(pv_voxels(&p->h)), .classes = q->classes};
}

/* saved: g, mask, coef */
static void backward(pv_tape *t, struct pv_node *n)
{
    const struct dice_aux *q = (const struct dice_aux *)n->aux;
    pv_tensor *p = n->in[0], *g = n->saved[0], *mask = n->saved[1], *coef = n->saved[2], *dy = pv_out_grad(n, 0);
    pv_tensor *all[] = {p, g, mask};
    bool accum;
    pv_tensor *dp = pv_grad_slot(t, p, &accum);
    if (!dp || !pv_pin_all(3, all))
        return;
    if (pv_is_ref(p)) {
        ref_dice_grad(pv_ref_data(p), pv_ref_data(g), mask ? pv_ref_data(mask) : NULL, pv_ref_data(coef),
                      *pv_ref_data(dy), pv_ref_data(dp), p->h.n, p->h.c, pv_voxels(&p->h), q, accum);
    } else {
        struct plain_walk w = {.dev = p->dev, .n = p->h.n, .v = pv_voxels(&p->h), .num = 6,
                               .view = {plain_all(p), plain_all(g), plain_all(mask), plain_whole(dy),
                                        plain_whole(coef), plain_all(dp)}};
        struct a_dice a = arguments(q, p, mask);
        struct pv_launch l = {.k = plain_kernel(k_grad, p->dev), .label = "dice bwd", .args = &a};
        a.accum = accum;
        while (plain_next(&w)) {
            PLAIN_SET(a, w);
            plain_bind(&w, &l);
            plain_run_voxels(&w, &l, w.nn * a.c);
        }
    }
    pv_unpin_all(3, all);
}

static void run_fwd(const struct dice_aux *q, pv_tensor *p, pv_tensor *g, pv_tensor *mask, pv_tensor *loss,
                    pv_tensor *coef)
{
    const int n = p->h.n, c = p->h.c, rows = n * c * 3;
    struct plain_walk w = {.dev = p->dev, .n = n, .v = pv_voxels(&p->h), .num = 4,
                           .view = {plain_all(p), plain_all(g), plain_all(mask)}};
    struct a_dice a = arguments(q, p, mask);
    struct pv_launch l = {.k = plain_kernel(k_sum, p->dev), .label = "dice", .args = &a};
    pv_tensor *part = plain_parts(p->dev, rows, w.v), *sums = pv_tensor_new(p->dev, pv_flat(rows), PV_F32);
    w.view[3] = plain_whole(part);
    while (part && sums && plain_next(&w)) {
        PLAIN_SET(a, w);
        plain_bind(&w, &l);
        plain_run_chunks(&w, &l, w.nn * c);
    }
    plain_row_sum("dice", part, sums, (struct plain_rows){.rows = rows, .cols = a.tc, .inner = a.tc, .rs = a.tc,
                                                          .scale = 1});
    struct a_dice_end e = {.n = n, .c = c, .square = q->square, .per_sample = q->per_sample, .classes = q->classes,
                           .eps = q->eps};
    struct pv_launch end = {.k = &k_finish, .label = "dice", .args = &e, .groups = {1, 1, 1}};
    pv_bind(&end, 0, sums);
    pv_bind(&end, 1, loss);
    pv_bind(&end, 2, coef);
    pv_run(p->dev, &end);
    pv_tensor_put(&part);
    pv_tensor_put(&sums);
}

static struct dice_aux meaning(struct pv_dice_opts o, int c)
{
    static const float own_eps[] = {1e-5f, 1e-8f, 1e-5f, 1e-10f};
    const uint32_t all = c == 32 ? UINT32_MAX : (1u << c) - 1;
    const bool foreground = (o.form == PV_DICE_SQ || o.form == PV_DICE_LIN) && c > 1;
    return (struct dice_aux){.square = o.form == PV_DICE_SQ || o.form == PV_DICE_MC,
                             .per_sample = o.form == PV_DICE_MASK,
                             .classes = o.classes ? o.classes & all : foreground ? all & ~1u : all,
                             .eps = o.eps > 0 ? o.eps : o.eps < 0 ? 0 : own_eps[o.form]};
}

pv_tensor *pv_dice(pv_tape *t, pv_tensor *p, pv_tensor *g, pv_tensor *mask, struct pv_dice_opts o)
{
    pv_ops_init();
    if (!pv_op_ready(t, 2, (pv_tensor *[]){p, g}))
        return NULL;
    if (p->h.layout != PV_PLAIN || p->type != PV_F32 || p->h.c > PV_CLASSES)
        return pv_op_bad("dice", "takes PLAIN F32 tensors of 1 to %d channels", PV_CLASSES);
    struct dice_aux q = meaning(o, p->h.c);
    q.soft = g->type == PV_F32;
    if (!plain_is(g, p, q.soft ? p->h.c : 1, q.soft ? PV_F32 : PV_I32) || (mask && !plain_is(mask, p, 1, PV_F32)))
        return pv_op_bad("dice", "target (I32 [n][1] or F32 [n][c]) and mask (F32 [n][1]) must share the grid");
    if (!q.classes)
        return pv_op_bad("dice", "no class counts");
    pv_tensor *loss = pv_tensor_new(t->dev, pv_flat(1), PV_F32), *all[] = {p, g, mask};
    pv_tensor *coef = pv_tensor_new(t->dev, pv_flat(p->h.n * p->h.c * 2), PV_F32);
    if (loss && coef && pv_pin_all(3, all)) {
        if (pv_is_ref(p))
            *pv_ref_data(loss) = ref_dice(pv_ref_data(p), pv_ref_data(g), mask ? pv_ref_data(mask) : NULL,
                                          pv_ref_data(coef), p->h.n, p->h.c, pv_voxels(&p->h), &q);
        else
            run_fwd(&q, p, g, mask, loss, coef);
        pv_unpin_all(3, all);
        if (pv_tape_wants(t, 1, &p)) {
            struct pv_node *n = pv_tape_record(t, "dice", backward, 1, &p, 1, &loss, &q, sizeof q);
            pv_node_save(n, g);
            pv_node_save(n, mask);
            pv_node_save(n, coef);
        }
    }
    pv_tensor_put(&coef);
    return loss;
}
