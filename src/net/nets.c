/* SPDX-License-Identifier: Apache-2.0
 * The list of networks. */
#include "net/net.h"

extern const struct pv_net_kind pv_net_vnet, pv_net_resvnet, pv_net_unet3d, pv_net_unet3d_deconv, pv_net_unet2d;

const struct pv_net_kind *const pv_net_kinds[] = {
    &pv_net_vnet,
    &pv_net_resvnet,
    &pv_net_unet3d,
    &pv_net_unet3d_deconv,
    &pv_net_unet2d,
    NULL,
};
