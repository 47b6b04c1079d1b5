/* SPDX-License-Identifier: Apache-2.0
 * The list of networks. */
#include "net/net.h"

extern const struct pv_net_kind pv_net_vnet;

const struct pv_net_kind *const pv_net_kinds[] = {
    &pv_net_vnet,
    NULL,
};
