/* SPDX-License-Identifier: Apache-2.0
 * 3D U-Net of SSL4MIS and CRLN (methods.md 1.3): two convolutions 3^3 with bias, instance norm without affine and
 * ReLU per level; max pooling down; up by trilinear interpolation ("unet3d") or a transposed convolution c -> c of
 * 3^3 with batch norm and ReLU ("unet3d_deconv", CRLN); skips are concatenated, [skip, up]. Element dropout of
 * 0.6 config.dropout (0.3 in the papers) behind the deepest level and the last. 5,884,050 and 8,235,570 parameters
 * for one channel, two classes, 16 filters. The papers initialise with "kaiming_conv". */
#include <stdio.h>

#include "net/crln.h"
#include "ops/resize.h"
#include "ops/shape.h"

enum { LEVELS = 5 };
#define DROP_SHARE 0.6

struct unet3d_layers {
    struct net_unit down[LEVELS][2], up[4][2], deconv[4];
    struct pv_conv_layer final, heads[3];
    struct net_crln crln;
    bool transposed;
};

static void declare_pair(pv_net *n, struct net_unit u[2], const char *name, int ci, int co)
{
    for (int i = 0; i < 2; i++) {
        char key[96];
        snprintf(key, sizeof key, "%s.conv%d.0", name, i + 1);
        u[i].conv = pv_conv_declare(n->p, key, n->c.dims, i ? co : ci, co, 3, 1, true, n->c.init);
        u[i].norm = pv_norm_declare(n->p, "", PV_NORM_INSTANCE, co);
    }
}

static bool declare(pv_net *n, bool transposed)
{
    struct unet3d_layers *l = n->layers;
    char name[64];
    l->transposed = transposed;
    for (int i = 0; i < LEVELS; i++) {
        snprintf(name, sizeof name, i < LEVELS - 1 ? "conv%d" : "center", i + 1);
        declare_pair(n, l->down[i], name, i ? net_filters(n, i - 1) : n->c.channels, net_filters(n, i));
    }
    for (int i = 0; i < 4; i++) {
        int f = net_filters(n, 3 - i);
        snprintf(name, sizeof name, "up_concat%d.conv", 4 - i);
        declare_pair(n, l->up[i], name, 3 * f, f);
        if (!transposed)
            continue;
        snprintf(name, sizeof name, "up_concat%d.up", 4 - i);
        l->deconv[i].conv = pv_up_declare(n->p, name, n->c.dims, 2 * f, 2 * f, 3, true, n->c.init);
        snprintf(name, sizeof name, "up_concat%d.bn1", 4 - i);
        l->deconv[i].norm = pv_norm_declare(n->p, name, PV_NORM_BATCH, 2 * f);
    }
    l->final = pv_head_declare(n->p, "final", n->c.dims, n->c.filters, n->c.classes, n->c.init);
    net_heads_declare(n, l->heads, "");
    return net_crln_declare(n, &l->crln);
}

static bool build_linear(pv_net *n) { return declare(n, false); }
static bool build_deconv(pv_net *n) { return declare(n, true); }

/* Takes over x. */
static pv_tensor *pair(pv_net *n, pv_tape *t, const struct net_unit u[2], pv_tensor *x, int flags, bool drop)
{
    for (int i = 0; i < 2; i++) {
        struct pv_norm_extra e = {0};
        if (drop && i == 1)
            net_dropout(n, &e, PV_DROP_ELEMENT, DROP_SHARE, flags);
        net_unit_chain(n, t, &u[i], &x, flags, &e);
    }
    return x;
}

static bool forward(pv_net *n, pv_tape *t, pv_tensor *image, int flags, unsigned wanted, struct pv_net_out *out)
{
    struct unet3d_layers *l = n->layers;
    unsigned want = net_crln_wants(n, wanted);
    pv_tensor *skip[4], *x = pv_tensor_ref(image);
    for (int i = 0; i < LEVELS; i++) {
        x = pair(n, t, l->down[i], x, flags, i == LEVELS - 1);
        if (i < LEVELS - 1) {
            skip[i] = x;
            x = pv_max_pool(t, x);
        }
    }
    for (int i = 0; i < 4; i++) {
        pv_chain(&x, l->transposed ? net_unit_call(n, t, &l->deconv[i], x, flags, NULL)
                                   : pv_resize_up(t, x, PV_LINEAR));
        pv_chain(&x, pv_concat(t, skip[3 - i], x));
        pv_tensor_put(&skip[3 - i]);
        net_feature(out, want, PV_FEAT_UP1 + i, x);
        x = pair(n, t, l->up[i], x, flags, i == 3);
        net_feature(out, want, PV_FEAT_DEC1 + i, x);
        if (i < 3 && n->c.heads)
            out->heads[i] = pv_conv_call(t, n->p, &l->heads[i], x);
    }
    out->logits = pv_conv_call(t, n->p, &l->final, x);
    pv_tensor_put(&x);
    return out->logits && net_crln_forward(n, t, &l->crln, flags, wanted, out);
}

const struct pv_net_kind pv_net_unet3d = {
    .name = "unet3d", .summary = "3D U-Net with instance norm, trilinear up, concatenated skips", .dims = 3,
    .layers_size = sizeof(struct unet3d_layers), .build = build_linear, .forward = forward, .divisor = {16, 16, 16},
    .crln = true,
};

const struct pv_net_kind pv_net_unet3d_deconv = {
    .name = "unet3d_deconv", .summary = "the same with transposed convolutions up (CRLN)", .dims = 3,
    .layers_size = sizeof(struct unet3d_layers), .build = build_deconv, .forward = forward, .divisor = {16, 16, 16},
    .crln = true,
};
