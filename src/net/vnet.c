/* SPDX-License-Identifier: Apache-2.0
 * V-Net as all five papers use it (methods.md 1.1): blocks of 1, 2, 3, 3, 3 convolutions down and 3, 3, 2, 1 up,
 * 2x2x2 strided and transposed convolutions between, every one with bias, batch norm and ReLU; skips are added
 * after the up step's ReLU; channel dropout behind the fifth and the ninth block. Names are the state-dict keys of
 * the public PyTorch code. 9,448,866 parameters for one channel, two classes, 16 filters; 9,449,320 with heads; with
 * CRLN's heads (crln.c) 9,813,367 for 16 prototypes and patches of 112x112x80. */
#include <stdio.h>

#include "net/crln.h"

static const int block_convs[5] = {1, 2, 3, 3, 3};
static const char *const block_name[5] = {"block_one", "block_two", "block_three", "block_four", "block_five"};

struct vnet_layers {
    struct net_unit block[5][3], down[4];
    struct net_vdecoder decoder;
    struct net_crln crln;
};

static bool build(pv_net *n)
{
    struct vnet_layers *l = n->layers;
    char name[64];
    for (int b = 0; b < 5; b++) {
        int f = net_filters(n, b);
        net_units_declare(n, l->block[b], block_name[b], block_convs[b], b ? f : n->c.channels, f);
        if (b == 4)
            break;
        snprintf(name, sizeof name, "%s_dw.conv.0", block_name[b]);
        l->down[b].conv = pv_conv_declare(n->p, name, n->c.dims, f, 2 * f, 2, 2, true, n->c.init);
        snprintf(name, sizeof name, "%s_dw.conv.1", block_name[b]);
        l->down[b].norm = pv_norm_declare(n->p, name, PV_NORM_BATCH, 2 * f);
    }
    net_vdecoder_declare(n, &l->decoder);
    return net_crln_declare(n, &l->crln);
}

static bool forward(pv_net *n, pv_tape *t, pv_tensor *image, int flags, unsigned want, struct pv_net_out *out)
{
    struct vnet_layers *l = n->layers;
    pv_tensor *skip[4], *x = pv_tensor_ref(image);
    for (int b = 0; b < 5; b++) {
        for (int i = 0; i < block_convs[b]; i++) {
            struct pv_norm_extra e = {0};
            if (b == 4 && i == block_convs[b] - 1)
                net_dropout(n, &e, PV_DROP_CHANNEL, 1, flags);
            net_unit_chain(n, t, &l->block[b][i], &x, flags, &e);
        }
        if (b < 4) {
            skip[b] = x;
            x = net_unit_call(n, t, &l->down[b], x, flags, NULL);
            pv_tensor_forget(skip[b]);      /* made again inside the sum that reads it */
        }
    }
    return net_vdecoder_forward(n, t, &l->decoder, x, skip, flags, net_crln_wants(n, want), out) &&
           net_crln_forward(n, t, &l->crln, flags, want, out);
}

const struct pv_net_kind pv_net_vnet = {
    .name = "vnet", .summary = "V-Net with batch norm and added skips", .layers_size = sizeof(struct vnet_layers),
    .build = build, .forward = forward, .divisor = {16, 16, 16}, .crln = true,
};
