/* SPDX-License-Identifier: Apache-2.0
 * V-Net as all five papers use it (methods.md 1.1): blocks of 1, 2, 3, 3, 3 convolutions down and 3, 3, 2, 1 up,
 * 2x2x2 strided and transposed convolutions between, every one with bias, batch norm and ReLU; skips are added
 * after the up step's ReLU; channel dropout behind the fifth and the ninth block. Names are the state-dict keys of
 * the public PyTorch code. 9,448,866 parameters for one channel, two classes, 16 filters. */
#include <stdio.h>

#include "net/net.h"
#include "ops/conv.h"

enum { BLOCKS = 9 };
static const int block_convs[BLOCKS] = {1, 2, 3, 3, 3, 3, 3, 2, 1};
static const char *const block_name[BLOCKS] = {"block_one", "block_two", "block_three", "block_four",
    "block_five", "block_six", "block_seven", "block_eight", "block_nine"};
static const char *const up_name[4] = {"block_five_up", "block_six_up", "block_seven_up", "block_eight_up"};

struct unit { struct pv_conv_layer conv; struct pv_norm_layer norm; };
struct vnet_layers {
    struct unit block[BLOCKS][3], down[4], up[4];
    struct pv_conv_layer out, heads[3];
};

static int level_filters(const pv_net *n, int level) { return n->c.filters << level; }

/* Resolution level of a block: 0 1 2 3 4 3 2 1 0. */
static int block_level(int b) { return b < 5 ? b : 8 - b; }

static void declare_block(pv_net *n, struct vnet_layers *l, int b)
{
    int f = level_filters(n, block_level(b));
    for (int i = 0; i < block_convs[b]; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.conv.%d", block_name[b], 3 * i);
        int ci = b == 0 ? n->c.channels : f;
        l->block[b][i].conv = pv_conv_declare(n->p, name, n->c.dims, ci, f, 3, 1, true, n->c.init);
        snprintf(name, sizeof name, "%s.conv.%d", block_name[b], 3 * i + 1);
        l->block[b][i].norm = pv_norm_declare(n->p, name, PV_NORM_BATCH, f);
    }
}

static bool build(pv_net *n)
{
    struct vnet_layers *l = n->layers;
    char name[64];
    for (int b = 0; b < BLOCKS; b++) {
        declare_block(n, l, b);
        int level = block_level(b), f = level_filters(n, level);
        if (b < 4) {
            snprintf(name, sizeof name, "%s_dw.conv.0", block_name[b]);
            l->down[b].conv = pv_conv_declare(n->p, name, n->c.dims, f, 2 * f, 2, 2, true, n->c.init);
            snprintf(name, sizeof name, "%s_dw.conv.1", block_name[b]);
            l->down[b].norm = pv_norm_declare(n->p, name, PV_NORM_BATCH, 2 * f);
        } else if (b < 8) {
            snprintf(name, sizeof name, "%s.conv.0", up_name[b - 4]);
            l->up[b - 4].conv = pv_up_declare(n->p, name, n->c.dims, f, f / 2, 2, true, n->c.init);
            snprintf(name, sizeof name, "%s.conv.1", up_name[b - 4]);
            l->up[b - 4].norm = pv_norm_declare(n->p, name, PV_NORM_BATCH, f / 2);
        }
    }
    l->out = pv_head_declare(n->p, "out_conv", n->c.dims, n->c.filters, n->c.classes, n->c.init);
    for (int i = 0; i < 3 && n->c.heads; i++) {
        snprintf(name, sizeof name, "out_conv_ds%d", i + 1);
        l->heads[i] = pv_head_declare(n->p, name, n->c.dims, level_filters(n, 3 - i), n->c.classes, n->c.init);
    }
    return true;
}

static pv_tensor *unit(pv_net *n, pv_tape *t, const struct unit *u, pv_tensor *x, int flags,
                       const struct pv_norm_extra *e)
{
    pv_tensor *y = pv_conv_call(t, n->p, &u->conv, x);
    pv_tensor *z = pv_norm_call(t, n->p, &u->norm, y, flags & PV_NET_TRAIN, e);
    pv_tensor_put(&y);
    return z;
}

/* Takes over x. */
static pv_tensor *block(pv_net *n, pv_tape *t, int b, pv_tensor *x, int flags)
{
    struct vnet_layers *l = n->layers;
    for (int i = 0; i < block_convs[b]; i++) {
        struct pv_norm_extra e = {0};
        bool last = i == block_convs[b] - 1;
        if (last && (b == 4 || b == 8) && flags & PV_NET_DROPOUT && n->c.dropout > 0) {
            e.drop = PV_DROP_CHANNEL;
            e.drop_p = (float)n->c.dropout;
        }
        pv_chain(&x, unit(n, t, &l->block[b][i], x, flags, &e));
    }
    return x;
}

static bool forward(pv_net *n, pv_tape *t, pv_tensor *image, int flags, unsigned want, struct pv_net_out *out)
{
    struct vnet_layers *l = n->layers;
    pv_tensor *skip[4], *x = pv_tensor_ref(image);
    for (int b = 0; b < 4; b++) {
        x = block(n, t, b, x, flags);
        skip[b] = x;
        x = unit(n, t, &l->down[b], x, flags, &(struct pv_norm_extra){0});
    }
    x = block(n, t, 4, x, flags);
    for (int u = 0; u < 4; u++) {
        struct pv_norm_extra e = {.skip = skip[3 - u]};
        pv_chain(&x, unit(n, t, &l->up[u], x, flags, &e));
        pv_tensor_put(&skip[3 - u]);
        if (want & PV_WANT(PV_FEAT_UP1 + u))
            out->feat[PV_FEAT_UP1 + u] = pv_tensor_ref(x);
        if (u < 3 && n->c.heads)
            out->heads[u] = pv_conv_call(t, n->p, &l->heads[u], x);
        x = block(n, t, 5 + u, x, flags);
        if (want & PV_WANT(PV_FEAT_DEC1 + u))
            out->feat[PV_FEAT_DEC1 + u] = pv_tensor_ref(x);
    }
    out->logits = pv_conv_call(t, n->p, &l->out, x);
    pv_tensor_put(&x);
    return out->logits != NULL;
}

const struct pv_net_kind pv_net_vnet = {
    .name = "vnet", .summary = "V-Net with batch norm and added skips", .layers_size = sizeof(struct vnet_layers),
    .build = build, .forward = forward, .divisor = {16, 16, 16},
};
