/* SPDX-License-Identifier: Apache-2.0
 * Pieces that networks share. */
#include "net/blocks.h"

#include <stdio.h>

static const int block_convs[4] = {3, 3, 2, 1};
static const char *const block_name[4] = {"block_six", "block_seven", "block_eight", "block_nine"};
static const char *const up_name[4] = {"block_five_up", "block_six_up", "block_seven_up", "block_eight_up"};

pv_tensor *net_unit_call(pv_net *n, pv_tape *t, const struct net_unit *u, pv_tensor *x, int flags,
                         const struct pv_norm_extra *e)
{
    pv_tensor *y = pv_tensor_ref(x);
    net_unit_chain(n, t, u, &y, flags, e);
    return y;
}

void net_unit_chain(pv_net *n, pv_tape *t, const struct net_unit *u, pv_tensor **x, int flags,
                    const struct pv_norm_extra *e)
{
    pv_chain(x, pv_conv_call(t, n->p, &u->conv, *x));
    pv_chain(x, pv_norm_call(t, n->p, &u->norm, *x, flags & PV_NET_TRAIN, e));
}

void net_units_declare(pv_net *n, struct net_unit *u, const char *name, int num, int ci, int co)
{
    char key[64];
    for (int i = 0; i < num; i++) {
        snprintf(key, sizeof key, "%s.conv.%d", name, 3 * i);
        u[i].conv = pv_conv_declare(n->p, key, n->c.dims, i ? co : ci, co, 3, 1, true, n->c.init);
        snprintf(key, sizeof key, "%s.conv.%d", name, 3 * i + 1);
        u[i].norm = pv_norm_declare(n->p, key, PV_NORM_BATCH, co);
    }
}

void net_heads_declare(pv_net *n, struct pv_conv_layer heads[3], const char *prefix)
{
    char key[64];
    for (int i = 0; i < 3 && n->c.heads; i++) {
        snprintf(key, sizeof key, "%sout_conv_ds%d", prefix, i + 1);
        heads[i] = pv_head_declare(n->p, key, n->c.dims, net_filters(n, 3 - i), n->c.classes, n->c.init);
    }
}

void net_feature(struct pv_net_out *out, unsigned want, int feat, pv_tensor *x)
{
    if (want & PV_WANT(feat))
        out->feat[feat] = pv_tensor_ref(x);
}

void net_dropout(const pv_net *n, struct pv_norm_extra *e, enum pv_drop_kind kind, double share, int flags)
{
    if (flags & PV_NET_DROPOUT && n->c.dropout > 0) {
        e->drop = kind;
        e->drop_p = (float)(share * n->c.dropout);
    }
}

/* ---- V-Net decoder ---- */

void net_vdecoder_declare(pv_net *n, struct net_vdecoder *d)
{
    char key[64];
    for (int i = 0; i < 4; i++) {
        int f = net_filters(n, 3 - i);
        snprintf(key, sizeof key, "%s.conv.0", up_name[i]);
        d->up[i].conv = pv_up_declare(n->p, key, n->c.dims, 2 * f, f, 2, true, n->c.init);
        snprintf(key, sizeof key, "%s.conv.1", up_name[i]);
        d->up[i].norm = pv_norm_declare(n->p, key, PV_NORM_BATCH, f);
        net_units_declare(n, d->block[i], block_name[i], block_convs[i], f, f);
    }
    d->out = pv_head_declare(n->p, "out_conv", n->c.dims, n->c.filters, n->c.classes, n->c.init);
    net_heads_declare(n, d->heads, "");
}

bool net_vdecoder_forward(pv_net *n, pv_tape *t, const struct net_vdecoder *d, pv_tensor *x, pv_tensor *skip[4],
                          int flags, unsigned want, struct pv_net_out *out)
{
    for (int i = 0; i < 4; i++) {
        struct pv_norm_extra e = {.skip = skip[3 - i]};
        net_unit_chain(n, t, &d->up[i], &x, flags, &e);
        pv_tensor_put(&skip[3 - i]);
        net_feature(out, want, PV_FEAT_UP1 + i, x);
        if (i < 3 && n->c.heads)
            out->heads[i] = pv_conv_call(t, n->p, &d->heads[i], x);
        for (int j = 0; j < block_convs[i]; j++) {
            struct pv_norm_extra b = {0};
            if (i == 3)
                net_dropout(n, &b, PV_DROP_CHANNEL, 1, flags);
            net_unit_chain(n, t, &d->block[i][j], &x, flags, &b);
        }
        net_feature(out, want, PV_FEAT_DEC1 + i, x);
    }
    out->logits = pv_conv_call(t, n->p, &d->out, x);
    pv_tensor_put(&x);
    return out->logits != NULL;
}
