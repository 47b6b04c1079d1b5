/* SPDX-License-Identifier: Apache-2.0
 * Pieces that networks share. Not for use outside net/. */
#ifndef NET_BLOCKS_H
#define NET_BLOCKS_H

#include "net/net.h"

/* A convolution (or transposed one), its normalisation and ReLU. */
struct net_unit { struct pv_conv_layer conv; struct pv_norm_layer norm; };
pv_tensor *net_unit_call(pv_net *n, pv_tape *t, const struct net_unit *u, pv_tensor *x, int flags,
                         const struct pv_norm_extra *e);
/* *x becomes the result; what *x was is given up as soon as it was read. */
void net_unit_chain(pv_net *n, pv_tape *t, const struct net_unit *u, pv_tensor **x, int flags,
                    const struct pv_norm_extra *e);
/* `num` convolutions 3^3 with bias and batch norm, "NAME.conv.0", "NAME.conv.1", "NAME.conv.3", ... */
void net_units_declare(pv_net *n, struct net_unit *u, const char *name, int num, int ci, int co);

/* The V-Net's decoder (methods.md 1.1): block_five_up ... block_nine, out_conv, with config.heads out_conv_ds1..3
 * on the maps after the skip additions at 1/8, 1/4, 1/2. */
struct net_vdecoder {
    struct net_unit block[4][3], up[4];
    struct pv_conv_layer out, heads[3];
};
void net_vdecoder_declare(pv_net *n, struct net_vdecoder *d);
/* Takes over x (deepest map) and skip[0..3] (full resolution first). */
bool net_vdecoder_forward(pv_net *n, pv_tape *t, const struct net_vdecoder *d, pv_tensor *x, pv_tensor *skip[4],
                          int flags, unsigned want, struct pv_net_out *out);

/* Declares the heads "PREFIXout_conv_ds1..3" of a decoder with config.filters << (3 - i) channels at head i. */
void net_heads_declare(pv_net *n, struct pv_conv_layer heads[3], const char *prefix);
/* Hands out what was asked for. */
void net_feature(struct pv_net_out *out, unsigned want, int feat, pv_tensor *x);

/* Dropout of share * config.dropout, if the pass has dropout at all. */
void net_dropout(const pv_net *n, struct pv_norm_extra *e, enum pv_drop_kind kind, double share, int flags);

static inline int net_filters(const pv_net *n, int level) { return n->c.filters << level; }

#endif
