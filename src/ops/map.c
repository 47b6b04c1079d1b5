/* SPDX-License-Identifier: Apache-2.0
 * Pointwise ops: how operands are repeated, and what function of what is each gradient. Forward and backward are
 * the same three kernels. */
#include "ops/map.h"

#include "ops/map_impl.h"

PLAIN_KERNEL(k_full, "map", "map_full", "rrrx", a_map);
PLAIN_KERNEL(k_chan, "map", "map_chan", "rrrx", a_map);
PLAIN_KERNEL(k_part, "map", "map_part", "rrrw", a_map);
static const struct pv_kernel k_cast = {"map", "map_cast", "rw", sizeof(struct a_cast), {64, 1, 1}, NULL};

/* Stored elements of a sample (FLAT: of all). */
static int64_t sample_of(const pv_tensor *x)
{
    int64_t all = pv_is_ref(x) ? pv_shape_count(&x->h) : pv_shape_stored(&x->h);
    return all / plain_n(x);
}

/* How t is repeated in a result of shape r; -1 if it cannot be. */
static int kind_of(const pv_tensor *t, const struct pv_shape *r)
{
    if (t->type != PV_F32)
        return -1;
    if (pv_shape_eq(&t->h, r))
        return MAP_FULL;
    if (t->h.layout == PV_FLAT)
        return t->h.n == 1 ? MAP_SCALAR : r->layout == PV_PLAIN && t->h.n == r->n ? MAP_SAMPLE : -1;
    const bool plain = t->h.layout == PV_PLAIN && r->layout == PV_PLAIN;
    return plain && t->h.c == 1 && pv_same_grid(&t->h, r) ? MAP_CHAN : -1;
}

/* A plan over results shaped like `like`. Channels count apart only if an operand is repeated over them. */
static struct map_plan plan(const pv_tensor *like, int op, float p, float q, int num, pv_tensor *const *x,
                            const int *kind, pv_tensor *out, int to, bool accum)
{
    struct map_plan m = {.dev = like->dev, .n = plain_n(like), .c = 1, .v = sample_of(like), .op = op, .num = num,
                         .p = p, .q = q, .to = to, .accum = accum};
    bool apart = to == MAP_CHAN;
    for (int i = 0; i < num; i++)
        apart = apart || kind[i] == MAP_CHAN;
    if (apart) {
        m.c = like->h.c;
        m.v /= m.c;
    }
    for (int i = 0; i < 4; i++) {
        struct plain_view *w = &m.view[i];
        const int k = i == 3 ? to : i < num ? kind[i] : MAP_SCALAR;
        w->t = i == 3 ? out : i < num ? x[i] : NULL;
        w->vs = k == MAP_FULL || k == MAP_CHAN;
        w->ss = k == MAP_FULL ? m.c * m.v : k == MAP_CHAN ? m.v : k == MAP_SAMPLE;
        w->ks = k == MAP_FULL ? m.v : 0;
        w->c = k == MAP_FULL ? m.c : 1;
    }
    return m;
}

static void run(const char *label, struct map_plan m)
{
    if (pv_dev_failed(m.dev))
        return;
    if (pv_dev_is_ref(m.dev)) {
        ref_map(&m);
        return;
    }
    const bool sums = m.to == MAP_SAMPLE || m.to == MAP_SCALAR;
    const struct plain_view *x = m.view, *o = &m.view[3];
    struct a_map a = {.c = m.c, .op = m.op, .num = m.num, .sx = (int)x[0].ss, .kx = (int)x[0].ks, .vx = x[0].vs,
                      .sy = (int)x[1].ss, .ky = (int)x[1].ks, .vy = x[1].vs, .sz = (int)x[2].ss,
                      .kz = (int)x[2].ks, .vz = x[2].vs, .os = (int)o->ss, .ok = (int)o->ks,
                      .tc = plain_chunks(m.v), .accum = m.accum, .p = m.p, .q = m.q};
    struct plain_walk w = {.dev = m.dev, .n = m.n, .v = m.v, .num = 4, .view = {x[0], x[1], x[2], *o}};
    pv_tensor *part = sums ? plain_parts(m.dev, m.n * m.c, m.v) : NULL;
    if (sums)
        w.view[3] = plain_whole(part);
    struct pv_launch l = {.k = plain_kernel(sums ? k_part : m.to == MAP_CHAN ? k_chan : k_full, m.dev),
                          .label = label, .args = &a};
    while (plain_next(&w)) {
        PLAIN_SET(a, w);
        plain_bind(&w, &l);
        if (sums)
            plain_run_chunks(&w, &l, w.nn * m.c);
        else
            plain_run_voxels(&w, &l, w.nn * (m.to == MAP_CHAN ? 1 : m.c));
    }
    if (sums) {
        const int rows = m.to == MAP_SAMPLE ? m.n : 1, cols = m.n * m.c * a.tc / rows;
        plain_row_sum(label, part, o->t, (struct plain_rows){.rows = rows, .cols = cols, .inner = cols, .rs = cols,
                                                             .scale = 1, .accum = m.accum});
        pv_tensor_put(&part);
    }
}

/* ---- unary ---- */

struct unary_aux { int op; float a, b; };

/* The gradient of a unary function: of dy, or of dy and x. */
static const struct { int op, grad, num; } unary[] = {
    [PV_NEG] = {MAP_NEG, MAP_NEG, 1}, [PV_ABS] = {MAP_ABS, MAP_D_ABS, 2}, [PV_EXP] = {MAP_EXP, MAP_D_EXP, 2},
    [PV_LOG] = {MAP_LOG, MAP_D_LOG, 2}, [PV_SQRT] = {MAP_SQRT, MAP_D_SQRT, 2},
    [PV_SQUARE] = {MAP_SQUARE, MAP_D_SQUARE, 2}, [PV_POW] = {MAP_POW, MAP_D_POW, 2},
    [PV_SIGMOID] = {MAP_SIGMOID, MAP_D_SIGMOID, 2}, [PV_CLAMP] = {MAP_CLAMP, MAP_D_CLAMP, 2},
    [PV_SCALE] = {MAP_SCALE, MAP_SCALE, 1}, [PV_GT] = {MAP_GT, -1, 0}, [PV_GE] = {MAP_GE, -1, 0},
    [PV_FINITE] = {MAP_FINITE, -1, 0}, [PV_GELU] = {MAP_GELU, MAP_D_GELU, 2},
    [PV_TANH] = {MAP_TANH, MAP_D_TANH, 2},
};
static const int all_full[3] = {MAP_FULL, MAP_FULL, MAP_FULL};

static void unary_backward(pv_tape *t, struct pv_node *n)
{
    const struct unary_aux *q = (const struct unary_aux *)n->aux;
    pv_tensor *x = n->in[0], *from[] = {pv_out_grad(n, 0), x};
    bool accum;
    pv_tensor *dx = pv_grad_slot(t, x, &accum);
    if (!dx || !pv_tensor_pin(x))
        return;
    const float b = q->op == PV_SCALE ? 0 : q->b;
    run("map bwd", plan(x, unary[q->op].grad, q->a, b, unary[q->op].num, from, all_full, dx, MAP_FULL, accum));
    pv_tensor_unpin(x);
}

pv_tensor *pv_unary(pv_tape *t, enum pv_unary op, pv_tensor *x, float a, float b)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    const bool zero = op == PV_NEG || op == PV_ABS || op == PV_SQRT || op == PV_SQUARE ||
                      op == PV_GELU || (op == PV_SCALE && b == 0);
    if (x->type != PV_F32 || (x->h.layout == PV_BLOCKED && !zero))
        return pv_op_bad("unary", "op %d takes F32 PLAIN or FLAT tensors%s", (int)op, zero ? " or BLOCKED" : "");
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32);
    if (y && pv_tensor_pin(x)) {
        run("map", plan(x, unary[op].op, a, b, 1, &x, all_full, y, MAP_FULL, false));
        pv_tensor_unpin(x);
    }
    if (y && unary[op].grad >= 0 && pv_tape_wants(t, 1, &x)) {
        struct unary_aux q = {(int)op, a, b};
        pv_tape_record(t, "unary", unary_backward, 1, &x, 1, &y, &q, sizeof q);
    }
    return y;
}

/* ---- binary and select ---- */

struct map_aux { int op; int kind[3]; };

/* The gradient of operand i: function, then which tensors (0: dy, 1..3: operands). */
static const struct { int grad[2], num, from[2][3]; } binary[] = {
    [MAP_ADD] = {{MAP_COPY, MAP_COPY}, 1, {{0}, {0}}},
    [MAP_SUB] = {{MAP_COPY, MAP_NEG}, 1, {{0}, {0}}},
    [MAP_MUL] = {{MAP_MUL, MAP_MUL}, 2, {{0, 2}, {0, 1}}},
    [MAP_DIV] = {{MAP_DIV, MAP_D_DIV}, 3, {{0, 2, 2}, {0, 1, 2}}},
    [MAP_MIN] = {{MAP_D_MIN, MAP_D_MIN}, 3, {{0, 1, 2}, {0, 2, 1}}},
    [MAP_MAX] = {{MAP_D_MAX, MAP_D_MAX}, 3, {{0, 1, 2}, {0, 2, 1}}},
    [MAP_SELECT] = {{MAP_KEEP, MAP_DROP}, 2, {{0, 1}, {0, 1}}},
};
static const int binary_op[] = {
    [PV_ADD] = MAP_ADD, [PV_SUB] = MAP_SUB, [PV_MUL] = MAP_MUL, [PV_DIV] = MAP_DIV, [PV_MIN] = MAP_MIN,
    [PV_MAX] = MAP_MAX, [PV_GREATER] = MAP_GREATER, [PV_GREATER_EQUAL] = MAP_GREATER_EQUAL, [PV_EQUAL] = MAP_EQUAL,
    [PV_AND] = MAP_AND, [PV_OR] = MAP_OR, [PV_XOR] = MAP_XOR,
};

static void backward(pv_tape *t, struct pv_node *n)
{
    const struct map_aux *q = (const struct map_aux *)n->aux;
    const int first = q->op == MAP_SELECT;      /* cond has no gradient */
    pv_tensor *from[] = {pv_out_grad(n, 0), n->in[0], n->in[1], n->num_in > 2 ? n->in[2] : NULL};
    const int kinds[] = {MAP_FULL, q->kind[0], q->kind[1], q->kind[2]};
    if (!pv_pin_all(n->num_in, n->in))
        return;
    for (int i = 0; i < 2; i++) {
        bool accum;
        pv_tensor *d = pv_grad_slot(t, n->in[first + i], &accum), *x[3];
        int kind[3];
        for (int j = 0; j < 3; j++) {
            x[j] = from[binary[q->op].from[i][j]];
            kind[j] = kinds[binary[q->op].from[i][j]];
        }
        if (d)
            run("map bwd", plan(n->out[0], binary[q->op].grad[i], 0, 0, binary[q->op].num, x, kind, d,
                                q->kind[first + i], accum));
    }
    pv_unpin_all(n->num_in, n->in);
}

static pv_tensor *combine(pv_tape *t, const char *op, int code, int num, pv_tensor *const *x)
{
    pv_ops_init();
    if (!pv_op_ready(t, num, x))
        return NULL;
    struct map_aux q = {.op = code};
    pv_tensor *like = NULL;
    for (int r = 0; r < num && !like; r++) {
        like = x[r];
        for (int i = 0; i < num; i++) {
            q.kind[i] = kind_of(x[i], &x[r]->h);
            if (q.kind[i] < 0)
                like = NULL;
        }
    }
    char a[80], b[80];
    if (!like)
        return pv_op_bad(op, "shapes do not fit: %s and %s", pv_shape_text(&x[num - 2]->h, a),
                         pv_shape_text(&x[num - 1]->h, b));
    bool zero = code == MAP_MUL;
    if (code == MAP_ADD || code == MAP_SUB || code == MAP_MIN || code == MAP_MAX)
        zero = q.kind[0] == MAP_FULL && q.kind[1] == MAP_FULL;
    if (like->h.layout == PV_BLOCKED && !zero)
        return pv_op_bad(op, "this function of BLOCKED tensors would fill their borders");
    pv_tensor *y = pv_tensor_new(t->dev, like->h, PV_F32);
    if (y && pv_pin_all(num, x)) {
        run(op, plan(like, code, 0, 0, num, x, q.kind, y, MAP_FULL, false));
        pv_unpin_all(num, x);
    }
    const bool smooth = code < MAP_GREATER || code == MAP_SELECT;
    if (y && smooth && pv_tape_wants(t, 2, x + (num == 3)))
        pv_tape_record(t, op, backward, num, x, 1, &y, &q, sizeof q);
    return y;
}

pv_tensor *pv_binary(pv_tape *t, enum pv_binary op, pv_tensor *x, pv_tensor *y)
{
    return combine(t, "binary", binary_op[op], 2, (pv_tensor *[]){x, y});
}

pv_tensor *pv_select(pv_tape *t, pv_tensor *cond, pv_tensor *x, pv_tensor *y)
{
    return combine(t, "select", MAP_SELECT, 3, (pv_tensor *[]){cond, x, y});
}

/* ---- casts ---- */

static pv_tensor *cast(pv_tape *t, const char *op, pv_tensor *x, enum pv_dtype from, enum pv_dtype to, int kind,
                       int value)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->type != from || x->h.layout == PV_BLOCKED)
        return pv_op_bad(op, "takes PLAIN or FLAT %s tensors", from == PV_I32 ? "I32" : "F32");
    pv_tensor *y = pv_tensor_new(t->dev, x->h, to);
    if (!y || !pv_tensor_pin(x))
        return y;
    if (pv_is_ref(x)) {
        ref_cast(pv_ref_data(x), pv_ref_data(y), pv_shape_count(&x->h), kind, value);
    } else {
        struct a_cast a = {.kind = kind, .value = value};
        struct pv_launch l = {.k = &k_cast, .label = op, .args = &a};
        const int64_t s = sample_of(x);
        struct plain_walk w = {.dev = t->dev, .n = plain_n(x), .v = s, .num = 2,
                               .view = {{.t = x, .ss = s, .vs = 1, .c = 1}, {.t = y, .ss = s, .vs = 1, .c = 1}}};
        while (plain_next(&w)) {
            plain_bind(&w, &l);
            a.count = w.nn * w.nv;
            pv_run_items(t->dev, &l, (uint64_t)(a.count + 15) / 16);
        }
    }
    pv_tensor_unpin(x);
    return y;
}

pv_tensor *pv_to_f32(pv_tape *t, pv_tensor *x) { return cast(t, "to_f32", x, PV_I32, PV_F32, 0, 0); }
pv_tensor *pv_to_i32(pv_tape *t, pv_tensor *x) { return cast(t, "to_i32", x, PV_F32, PV_I32, 1, 0); }

pv_tensor *pv_label_equal(pv_tape *t, pv_tensor *labels, int value)
{
    return cast(t, "label_equal", labels, PV_I32, PV_F32, 2, value);
}

pv_tensor *pv_label_known(pv_tape *t, pv_tensor *labels, int ignore)
{
    return cast(t, "label_known", labels, PV_I32, PV_F32, 3, ignore);
}
