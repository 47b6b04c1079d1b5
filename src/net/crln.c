/* SPDX-License-Identifier: Apache-2.0
 * CRLN's heads (methods.md 4.1). Dynamic interaction, level l with d channels and N voxels, C classes, R prototypes:
 *
 *     tokens X = LN(proj(map));  Q = W_q LN(q) + b;  [K, V] = W_kv LN(X) + b;  S = Q K^T / sqrt(d), one row per (c, r)
 *     q <- W_o softmax_N(S) V + b;  q <- q + DP(q);  q <- q + DP(MLP(LN(q)));  q <- conv 1x1 (q) for level 2
 *     S <- S + DP(S);  S <- S + DP(LN_N(S));  map = conv1(relu(bn(conv1(relu(bn(depthwise(S)))))))
 *
 * and the cue is relu(deconv 2^3 (map of level 2)). What the public code computes and nothing depends on - the map of
 * level 1, the queries of level 2 - is left out here, so that those parameters have no gradient there either; only
 * running statistics of a part that is never read differ. Rows of S and q are ordered [c][r].
 *
 * Queries are PLAIN [n][C * R][1][1][d], scores PLAIN [n][C * R][x][y][z], maps BLOCKED. LN_N has weights for every
 * voxel of the training patch. */
#include "net/crln.h"

#include <math.h>
#include <stdio.h>

#include "ops/channorm.h"
#include "ops/conv.h"
#include "ops/depthwise.h"
#include "ops/map.h"
#include "ops/proto.h"
#include "ops/rows.h"
#include "ops/shape.h"

/* DropPath of both levels: the second of linspace(0, 0.1, 4), where config.dropout is 0.5. */
#define DROP_PATH_SHARE (1.0 / 15)

/* ---- declaration ---- */

static struct net_affine affine(pv_net *n, const char *name, int ndim, const int *shape, struct pv_init w,
                                struct pv_init b)
{
    char key[112];
    struct net_affine a;
    snprintf(key, sizeof key, "%s.weight", name);
    a.w = pv_param_add(n->p, key, ndim, shape, w);
    snprintf(key, sizeof key, "%s.bias", name);
    a.b = pv_param_add(n->p, key, 1, shape, b);
    return a;
}

static struct net_affine layer_norm(pv_net *n, const char *name, int len)
{
    return affine(n, name, 1, &len, (struct pv_init){PV_INIT_CONST, 1, 0}, (struct pv_init){PV_INIT_CONST, 0, 0});
}

static struct net_affine linear(pv_net *n, const char *name, int in, int out)
{
    struct pv_init init = {PV_INIT_FAN_IN, 0, in};
    return affine(n, name, 2, (int[]){out, in}, init, init);
}

static const char *at(char key[96], const char *fmt, int level)
{
    snprintf(key, 96, fmt, level);
    return key;
}

static void declare_pairwise(pv_net *n, struct net_dim_level *l, int i, int voxels)
{
    char k[96];
    l->norm1 = layer_norm(n, at(k, "dynamic.pairwise_interaction.%d.norm1", i), l->d);
    l->norm1_query = layer_norm(n, at(k, "dynamic.pairwise_interaction.%d.norm1_query", i), l->d);
    l->fc_q = linear(n, at(k, "dynamic.pairwise_interaction.%d.attn.fc_q", i), l->d, l->d);
    l->fc_kv = linear(n, at(k, "dynamic.pairwise_interaction.%d.attn.fc_kv", i), l->d, 2 * l->d);
    l->out = linear(n, at(k, "dynamic.pairwise_interaction.%d.attn.proj", i), l->d, l->d);
    l->norm2 = layer_norm(n, at(k, "dynamic.pairwise_interaction.%d.norm2", i), l->d);
    l->fc1 = linear(n, at(k, "dynamic.pairwise_interaction.%d.mlp.fc1", i), l->d, 4 * l->d);
    l->fc2 = linear(n, at(k, "dynamic.pairwise_interaction.%d.mlp.fc2", i), 4 * l->d, l->d);
    l->norm3 = layer_norm(n, at(k, "dynamic.pairwise_interaction.%d.norm3", i), voxels);
}

static void declare_map_head(pv_net *n, struct net_dim_level *l, int i)
{
    char k[96];
    int r = n->c.prototypes, shape[] = {r, 1, 3, 3, 3};
    bool kaiming = n->c.init != PV_SCHEME_DEFAULT;
    l->depthwise = pv_param_add(n->p, at(k, "dynamic.attn_convs0.%d.block.depthwise.weight", i), 5, shape,
                                (struct pv_init){kaiming ? PV_INIT_KAIMING : PV_INIT_FAN_IN, 0, 27});
    l->bn_depth = pv_norm_declare(n->p, at(k, "dynamic.attn_convs0.%d.block.bn_depth", i), PV_NORM_BATCH, r);
    l->pointwise = pv_conv_declare(n->p, at(k, "dynamic.attn_convs0.%d.block.pointwise", i), 3, r, r, 1, 1, false,
                                   n->c.init);
    l->bn_point = pv_norm_declare(n->p, at(k, "dynamic.attn_convs0.%d.block.bn_point", i), PV_NORM_BATCH, r);
}

static void declare_dim(pv_net *n, struct net_crln *c)
{
    const int *s = n->c.patch;
    char k[96];
    int r = n->c.prototypes, d1 = net_filters(n, 1), side[2] = {4, 2};
    for (int i = 0; i < 2; i++)
        c->level[i].d = net_filters(n, 2 - i);
    /* a module's own parameters come before those of its children */
    c->prototype = pv_param_add(n->p, "dynamic.class_prototype", 4, (int[]){1, n->c.classes, r, c->level[0].d},
                                (struct pv_init){PV_INIT_CONST, 0, 0});
    for (int i = 0; i < 2; i++)
        c->level[i].proj = pv_conv_declare(n->p, at(k, "dynamic.proj_layers.%d", i), 3, c->level[i].d, c->level[i].d,
                                           1, 1, true, n->c.init);
    for (int i = 0; i < 2; i++)
        c->level[i].norm = layer_norm(n, at(k, "dynamic.norm_layers.%d", i), c->level[i].d);
    for (int i = 0; i < 2; i++)
        declare_pairwise(n, &c->level[i], i, s[0] / side[i] * (s[1] / side[i]) * (s[2] / side[i]));
    for (int i = 0; i < 2; i++)
        declare_map_head(n, &c->level[i], i);
    for (int i = 0; i < 2; i++)
        c->level[i].head = pv_head_declare(n->p, at(k, "dynamic.attn_convs1.%d", i), 3, r, 1, n->c.init);
    for (int i = 0; i < 2; i++) {
        struct pv_init init = {PV_INIT_FAN_IN, 0, c->level[i].d};
        c->level[i].query = affine(n, at(k, "dynamic.query_convs.%d", i), 4, (int[]){d1, c->level[i].d, 1, 1}, init,
                                   init);
    }
    c->up = pv_up_declare(n->p, "dynamic.block_1.conv.0", 3, n->c.classes, n->c.classes, 2, true, n->c.init);
}

bool net_crln_declare(pv_net *n, struct net_crln *c)
{
    int r = n->c.prototypes;
    if (r == 0)
        return true;
    if (n->c.dims != 3)
        return pv_fail(PV_FAULT_USAGE, "net.prototypes (CRLN's heads) needs 3D data");
    if (n->c.patch[0] < 1 || n->c.patch[1] < 1 || n->c.patch[2] < 1)
        return pv_fail(PV_FAULT_USAGE, "net.prototypes (CRLN's heads) needs a patch size (train.patch)");
    c->rep.conv = pv_conv_declare(n->p, "representation.0", 3, n->c.filters, r, 3, 1, false, n->c.init);
    c->rep.norm = pv_norm_declare(n->p, "representation.1", PV_NORM_BATCH, r);
    c->rep_out = pv_conv_declare(n->p, "representation.3", 3, r, r, 1, 1, true, n->c.init);
    declare_dim(n, c);
    c->op = pv_param_add(n->p, "op.a", 1, (int[]){1}, (struct pv_init){PV_INIT_CONST, 0, 0});
    return true;
}

/* ---- forward ---- */

static pv_tensor *param(const pv_net *n, int i) { return pv_param_tensor(n->p, i); }

/* Each of these takes over x. */
static pv_tensor *row_norm(pv_net *n, pv_tape *t, const struct net_affine *a, pv_tensor *x)
{
    pv_chain(&x, pv_row_norm(t, x, param(n, a->w), param(n, a->b), NULL));
    return x;
}

static pv_tensor *row_linear(pv_net *n, pv_tape *t, const struct net_affine *a, pv_tensor *x)
{
    pv_tensor *b = param(n, a->b);
    pv_chain(&x, pv_row_linear(t, x, param(n, a->w), b, b->h.n));
    return x;
}

static pv_tensor *channel_norm(pv_net *n, pv_tape *t, const struct net_affine *a, pv_tensor *x)
{
    pv_chain(&x, pv_channel_norm(t, x, param(n, a->w), param(n, a->b)));
    return x;
}

/* num copies of x's one sample. */
static pv_tensor *repeat(pv_tape *t, pv_tensor *x, int num)
{
    while (x && x->h.n < num) {
        pv_tensor *part = NULL;
        int more = pv_min(x->h.n, num - x->h.n);
        part = more == x->h.n ? pv_tensor_ref(x) : pv_slice_samples(t, x, 0, more);
        pv_chain(&x, pv_concat_samples(t, 2, (pv_tensor *[]){x, part}));
        pv_tensor_put(&part);
    }
    return x;
}

/* K (half 0) or V (half 1) of normalised tokens, BLOCKED [n][d]. */
static pv_tensor *key_value(pv_net *n, pv_tape *t, const struct net_dim_level *l, pv_tensor *tokens, int half)
{
    int d = l->d;
    pv_tensor *w = pv_slice_flat(t, param(n, l->fc_kv.w), half * d * d, d * d);
    pv_tensor *b = pv_slice_flat(t, param(n, l->fc_kv.b), half * d, d);
    pv_tensor *y = pv_conv(t, tokens, w, b, d, 1, 1, 0);
    pv_tensor_put(&w);
    pv_tensor_put(&b);
    return y;
}

static pv_tensor *drop_path(const pv_net *n, pv_tape *t, int samples, int num, const float *base, int flags)
{
    bool on = flags & PV_NET_DROPOUT && n->c.dropout > 0;
    return pv_drop_path(t, samples, num, base, on ? (float)(DROP_PATH_SHARE * n->c.dropout) : 0);
}

/* Scores of the queries q (taken over; one sample serves all) on the keys: PLAIN [n][C * R][x][y][z]. */
static pv_tensor *scores(pv_net *n, pv_tape *t, const struct net_dim_level *l, pv_tensor *q, pv_tensor *keys)
{
    int classes = n->c.classes, r = n->c.prototypes;
    q = row_linear(n, t, &l->fc_q, row_norm(n, t, &l->norm1_query, q));
    if (n->c.scrambled)         /* the public code cuts the rows [C][R] into [R][C] and transposes */
        pv_chain(&q, pv_row_swap(t, q, r, classes));
    pv_chain(&q, pv_unary(t, PV_SCALE, q, (float)(1 / sqrt(l->d)), 0));
    q = keys ? repeat(t, q, keys->h.n) : q;
    if (q)
        pv_chain(&q, pv_reshape(t, q, pv_flat((int)pv_shape_count(&q->h))));
    pv_tensor *s = pv_dots(t, keys, q, classes * r);
    pv_tensor_put(&q);
    return s;
}

/* The queries of the next level from scores and tokens. */
static pv_tensor *update(pv_net *n, pv_tape *t, const struct net_dim_level *l, pv_tensor *s, pv_tensor *tokens,
                         int flags)
{
    pv_tensor *p = pv_row_softmax(t, s), *values = key_value(n, t, l, tokens, 1);
    pv_tensor *q = pv_masked_pool(t, values, p, 0, false, NULL), *f = NULL, *h = NULL;
    if (q)
        pv_chain(&q, pv_reshape(t, q, pv_plain(3, s->h.n, s->h.c, (int[]){1, 1, l->d})));
    q = row_linear(n, t, &l->out, q);
    if (q) {
        f = drop_path(n, t, q->h.n, 1, (float[]){1}, flags);
        pv_chain(&q, pv_binary(t, PV_MUL, q, f));
        pv_tensor_put(&f);
        h = row_linear(n, t, &l->fc1, row_norm(n, t, &l->norm2, pv_tensor_ref(q)));
        pv_chain(&h, pv_unary(t, PV_GELU, h, 0, 0));
        h = row_linear(n, t, &l->fc2, h);
        f = drop_path(n, t, s->h.n, 1, (float[]){0}, flags);
        pv_chain(&h, pv_binary(t, PV_MUL, h, f));
        pv_chain(&q, pv_binary(t, PV_ADD, q, h));
    }
    pv_tensor_put(&f);
    pv_tensor_put(&h);
    pv_tensor_put(&p);
    pv_tensor_put(&values);
    return row_linear(n, t, &l->query, q);
}

/* The cue, PLAIN [n][classes] at full resolution, from the last level's scores (taken over). */
static pv_tensor *map_head(pv_net *n, pv_tape *t, const struct net_crln *c, pv_tensor *s, int flags)
{
    const struct net_dim_level *l = &c->level[1];
    int samples = s ? s->h.n : 0, classes = n->c.classes, train = flags & PV_NET_TRAIN;
    struct pv_shape h = s ? s->h : pv_flat(1);
    pv_tensor *f = drop_path(n, t, samples, 2, (float[]){1, 0}, flags);
    pv_chain(&s, f ? pv_row_norm(t, s, param(n, l->norm3.w), param(n, l->norm3.b), f) : NULL);
    pv_tensor_put(&f);
    pv_chain(&s, s ? pv_reshape(t, s, pv_plain(3, samples * classes, n->c.prototypes, h.s)) : NULL);
    pv_chain(&s, pv_to_blocked(t, s));
    pv_chain(&s, pv_depthwise(t, s, param(n, l->depthwise)));
    pv_chain(&s, pv_norm_call(t, n->p, &l->bn_depth, s, train, NULL));
    pv_chain(&s, pv_conv_call(t, n->p, &l->pointwise, s));
    pv_chain(&s, pv_norm_call(t, n->p, &l->bn_point, s, train, NULL));
    pv_chain(&s, pv_conv_call(t, n->p, &l->head, s));
    pv_chain(&s, s ? pv_reshape(t, s, pv_plain(3, samples, classes, h.s)) : NULL);
    pv_chain(&s, pv_to_blocked(t, s));
    pv_chain(&s, pv_conv_call(t, n->p, &c->up, s));
    pv_chain(&s, pv_relu(t, s));
    pv_chain(&s, pv_to_plain(t, s));
    return s;
}

static pv_tensor *cue(pv_net *n, pv_tape *t, const struct net_crln *c, int flags, const struct pv_net_out *out)
{
    pv_tensor *p = param(n, c->prototype), *s = NULL;
    int rows = n->c.classes * n->c.prototypes;
    pv_tensor *q = pv_reshape(t, p, pv_plain(3, 1, rows, (int[]){1, 1, c->level[0].d}));
    for (int i = 0; i < 2; i++) {
        const struct net_dim_level *l = &c->level[i];
        pv_tensor *tokens = pv_conv_call(t, n->p, &l->proj, out->feat[i ? PV_FEAT_DEC3 : PV_FEAT_DEC2]);
        tokens = channel_norm(n, t, &l->norm1, channel_norm(n, t, &l->norm, tokens));
        pv_tensor *keys = key_value(n, t, l, tokens, 0);
        pv_chain(&s, scores(n, t, l, q, keys));
        q = i == 0 && s ? update(n, t, l, s, tokens, flags) : NULL;
        pv_tensor_put(&keys);
        pv_tensor_put(&tokens);
    }
    return map_head(n, t, c, s, flags);
}

unsigned net_crln_wants(const pv_net *n, unsigned want)
{
    if (n->c.prototypes && want & PV_WANT(PV_FEAT_REP))
        want |= PV_WANT(PV_FEAT_DEC4);
    if (n->c.prototypes && want & PV_WANT(PV_FEAT_CUE))
        want |= PV_WANT(PV_FEAT_DEC2) | PV_WANT(PV_FEAT_DEC3);
    return want;
}

bool net_crln_forward(pv_net *n, pv_tape *t, const struct net_crln *c, int flags, unsigned want,
                      struct pv_net_out *out)
{
    bool ok = true;
    if (n->c.prototypes && want & PV_WANT(PV_FEAT_REP)) {
        pv_tensor *x = net_unit_call(n, t, &c->rep, out->feat[PV_FEAT_DEC4], flags, NULL);
        pv_chain(&x, pv_conv_call(t, n->p, &c->rep_out, x));
        out->feat[PV_FEAT_REP] = x;
        ok = x != NULL;
    }
    if (n->c.prototypes && want & PV_WANT(PV_FEAT_CUE)) {
        out->feat[PV_FEAT_CUE] = cue(n, t, c, flags, out);
        ok = ok && out->feat[PV_FEAT_CUE];
    }
    for (int i = 0; i < PV_FEATS; i++)
        if (!(want & PV_WANT(i)))
            pv_tensor_put(&out->feat[i]);
    return ok;
}
