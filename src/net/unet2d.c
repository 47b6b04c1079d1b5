/* SPDX-License-Identifier: Apache-2.0
 * 2D U-Net for ACDC (methods.md 1.4; SSL4MIS, BCP, MPER): per level conv 3x3 - batch norm - leaky ReLU 0.01 - element
 * dropout - conv 3x3 - batch norm - leaky ReLU; max pooling down; up by conv 1x1 (c -> c / 2) on the deep map,
 * bilinear interpolation with aligned corners, concatenation [skip, up]; output conv 3x3. Dropout by level 0.1, 0.2,
 * 0.4, 0.6, 1 of config.dropout (0.05 ... 0.5 in the papers), none in the decoder. 1,813,764 parameters for one
 * channel, four classes, 16 filters. */
#include <stdio.h>

#include "net/blocks.h"
#include "ops/resize.h"
#include "ops/shape.h"

enum { LEVELS = 5 };
#define SLOPE 0.01f
static const double drop_share[LEVELS] = {0.1, 0.2, 0.4, 0.6, 1};

struct unet2d_layers {
    struct net_unit down[LEVELS][2], up[4][2];
    struct pv_conv_layer reduce[4], out, heads[3];
};

static void declare_pair(pv_net *n, struct net_unit u[2], const char *name, int ci, int co)
{
    for (int i = 0; i < 2; i++) {
        char key[96];
        snprintf(key, sizeof key, "%s.conv_conv.%d", name, 4 * i);
        u[i].conv = pv_conv_declare(n->p, key, n->c.dims, i ? co : ci, co, 3, 1, true, n->c.init);
        snprintf(key, sizeof key, "%s.conv_conv.%d", name, 4 * i + 1);
        u[i].norm = pv_norm_declare(n->p, key, PV_NORM_BATCH, co);
    }
}

static bool build(pv_net *n)
{
    struct unet2d_layers *l = n->layers;
    char name[64];
    for (int i = 0; i < LEVELS; i++) {
        snprintf(name, sizeof name, i ? "encoder.down%d.maxpool_conv.1" : "encoder.in_conv", i);
        declare_pair(n, l->down[i], name, i ? net_filters(n, i - 1) : n->c.channels, net_filters(n, i));
    }
    for (int i = 0; i < 4; i++) {
        int f = net_filters(n, 3 - i);
        snprintf(name, sizeof name, "decoder.up%d.conv1x1", i + 1);
        l->reduce[i] = pv_conv_declare(n->p, name, n->c.dims, 2 * f, f, 1, 1, true, n->c.init);
        snprintf(name, sizeof name, "decoder.up%d.conv", i + 1);
        declare_pair(n, l->up[i], name, 2 * f, f);
    }
    l->out = pv_conv_declare(n->p, "decoder.out_conv", n->c.dims, n->c.filters, n->c.classes, 3, 1, true, n->c.init);
    net_heads_declare(n, l->heads, "decoder.");
    return true;
}

/* Takes over x. */
static pv_tensor *pair(pv_net *n, pv_tape *t, const struct net_unit u[2], pv_tensor *x, int flags, double share)
{
    for (int i = 0; i < 2; i++) {
        struct pv_norm_extra e = {.slope = SLOPE};
        if (share > 0 && i == 0)
            net_dropout(n, &e, PV_DROP_ELEMENT, share, flags);
        net_unit_chain(n, t, &u[i], &x, flags, &e);
    }
    return x;
}

static bool forward(pv_net *n, pv_tape *t, pv_tensor *image, int flags, unsigned want, struct pv_net_out *out)
{
    struct unet2d_layers *l = n->layers;
    pv_tensor *skip[4], *x = pv_tensor_ref(image);
    for (int i = 0; i < LEVELS; i++) {
        x = pair(n, t, l->down[i], x, flags, drop_share[i]);
        if (i < LEVELS - 1) {
            skip[i] = x;
            x = pv_max_pool(t, x);
        }
    }
    for (int i = 0; i < 4; i++) {
        pv_chain(&x, pv_conv_call(t, n->p, &l->reduce[i], x));
        pv_chain(&x, pv_resize_up(t, x, PV_LINEAR_CORNERS));
        pv_chain(&x, pv_concat(t, skip[3 - i], x));
        pv_tensor_put(&skip[3 - i]);
        net_feature(out, want, PV_FEAT_UP1 + i, x);
        x = pair(n, t, l->up[i], x, flags, 0);
        net_feature(out, want, PV_FEAT_DEC1 + i, x);
        if (i < 3 && n->c.heads)
            out->heads[i] = pv_conv_call(t, n->p, &l->heads[i], x);
    }
    pv_chain(&x, pv_conv_call(t, n->p, &l->out, x));
    out->logits = pv_to_plain(t, x);
    pv_tensor_put(&x);
    return out->logits != NULL;
}

const struct pv_net_kind pv_net_unet2d = {
    .name = "unet2d", .summary = "2D U-Net with batch norm and concatenated skips", .dims = 2,
    .layers_size = sizeof(struct unet2d_layers), .build = build, .forward = forward, .divisor = {1, 16, 16},
};
