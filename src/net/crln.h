/* SPDX-License-Identifier: Apache-2.0
 * CRLN's heads on a decoder (methods.md 4.1), with config.prototypes R > 0: the representation head on DEC4, dynamic
 * interaction (DIM) on DEC2 and DEC3, the rectifier's scalar. Not for use outside net/. */
#ifndef NET_CRLN_H
#define NET_CRLN_H

#include "net/blocks.h"

struct net_affine { int w, b; };

struct net_dim_level {
    struct pv_conv_layer proj, pointwise, head;
    struct net_affine norm, norm1, norm1_query, norm2, norm3, fc_q, fc_kv, out, fc1, fc2, query;
    struct pv_norm_layer bn_depth, bn_point;
    int depthwise, d;           /* d: channels of the map and of its queries */
};

struct net_crln {
    struct net_unit rep;
    struct pv_conv_layer rep_out, up;
    struct net_dim_level level[2];
    int prototype, op;
};

/* Declares everything in PyTorch's order; false after a fault (patch). Nothing if config.prototypes is 0. */
bool net_crln_declare(pv_net *n, struct net_crln *c);
/* What the decoder must keep for what is wanted of PV_FEAT_REP and PV_FEAT_CUE. */
unsigned net_crln_wants(const pv_net *n, unsigned want);
/* Adds them to out; drops what the decoder kept for it only. False if something failed. */
bool net_crln_forward(pv_net *n, pv_tape *t, const struct net_crln *c, int flags, unsigned want,
                      struct pv_net_out *out);

#endif
