/* SPDX-License-Identifier: Apache-2.0
 * ResNet34 encoder with the V-Net's decoder (methods.md 1.2; MCF and subnet A of AIPMLab): a stem of 7^3, stride 1,
 * then layers of 3, 4, 6, 3 basic blocks, each layer's first of stride 2:
 *
 *     y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut),  conv 3^3 without bias
 *
 * shortcut is x, or bn(conv 1^3 stride 2 (x)) in the first block. Channel dropout behind block nine only.
 * 17,930,354 parameters for one channel, two classes, 16 filters. The papers initialise with "kaiming". */
#include <stdio.h>

#include "net/blocks.h"

static const int blocks_of[4] = {3, 4, 6, 3};

struct basic { struct net_unit one, two, shortcut; bool first; };
struct resvnet_layers {
    struct net_unit stem;
    struct basic block[4][6];
    struct net_vdecoder decoder;
};

static struct net_unit declare(pv_net *n, const char *at, const char *conv, const char *norm, int ci, int co, int k,
                               int stride)
{
    struct net_unit u;
    char name[96];
    snprintf(name, sizeof name, "resnet_encoder.%s%s", at, conv);
    u.conv = pv_conv_declare(n->p, name, n->c.dims, ci, co, k, stride, false, n->c.init);
    snprintf(name, sizeof name, "resnet_encoder.%s%s", at, norm);
    u.norm = pv_norm_declare(n->p, name, PV_NORM_BATCH, co);
    return u;
}

static bool build(pv_net *n)
{
    struct resvnet_layers *l = n->layers;
    l->stem = declare(n, "", "conv1", "bn1", n->c.channels, n->c.filters, 7, 1);
    for (int i = 0; i < 4; i++) {
        int f = net_filters(n, i), stride = 2;
        for (int j = 0; j < blocks_of[i]; j++, stride = 1) {
            struct basic *b = &l->block[i][j];
            char at[32];
            snprintf(at, sizeof at, "layer%d.%d.", i + 1, j);
            b->first = j == 0;
            b->one = declare(n, at, "conv1", "bn1", b->first ? f : 2 * f, 2 * f, 3, stride);
            b->two = declare(n, at, "conv2", "bn2", 2 * f, 2 * f, 3, 1);
            if (b->first)
                b->shortcut = declare(n, at, "downsample.0", "downsample.1", f, 2 * f, 1, 2);
        }
    }
    net_vdecoder_declare(n, &l->decoder);
    return true;
}

static pv_tensor *basic(pv_net *n, pv_tape *t, const struct basic *b, pv_tensor *x, int flags)
{
    pv_tensor *shortcut = b->first ? net_unit_call(n, t, &b->shortcut, x, flags, &(struct pv_norm_extra){.slope = 1})
                                   : pv_tensor_ref(x);
    pv_tensor *y = net_unit_call(n, t, &b->one, x, flags, NULL);
    struct pv_norm_extra e = {.residual = shortcut};
    if (!shortcut)
        pv_tensor_put(&y);
    net_unit_chain(n, t, &b->two, &y, flags, &e);
    pv_tensor_put(&shortcut);
    return y;
}

static bool forward(pv_net *n, pv_tape *t, pv_tensor *image, int flags, unsigned want, struct pv_net_out *out)
{
    struct resvnet_layers *l = n->layers;
    pv_tensor *skip[4], *x = net_unit_call(n, t, &l->stem, image, flags, NULL);
    for (int i = 0; i < 4; i++) {
        skip[i] = pv_tensor_ref(x);
        for (int j = 0; j < blocks_of[i]; j++)
            pv_chain(&x, basic(n, t, &l->block[i][j], x, flags));
    }
    return net_vdecoder_forward(n, t, &l->decoder, x, skip, flags, want, out);
}

const struct pv_net_kind pv_net_resvnet = {
    .name = "resvnet", .summary = "ResNet34 encoder with the V-Net's decoder",
    .layers_size = sizeof(struct resvnet_layers), .build = build, .forward = forward, .divisor = {16, 16, 16},
};
