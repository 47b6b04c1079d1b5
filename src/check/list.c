/* SPDX-License-Identifier: Apache-2.0
 * Families of checked ops. */
#include "check/check.h"

extern const struct pv_check_op *const pv_check_conv[];
extern const struct pv_check_op *const pv_check_norm[];
extern const struct pv_check_op *const pv_check_optim[];
extern const struct pv_check_op *const pv_check_proto[];
extern const struct pv_check_op *const pv_check_shape[];
extern const struct pv_check_op *const pv_check_resize[];
extern const struct pv_check_op *const pv_check_rows[];
extern const struct pv_check_op *const pv_check_depthwise[];
extern const struct pv_check_op *const pv_check_channorm[];
extern const struct pv_check_op *const pv_check_gather[];
extern const struct pv_check_op *const pv_check_largest[];
extern const struct pv_check_op *const pv_check_edt[];
extern const struct pv_check_op *const pv_check_voxels[];
extern const struct pv_check_op *const pv_check_softmax[];
extern const struct pv_check_op *const pv_check_loss[];
extern const struct pv_check_op *const pv_check_reduce[];
extern const struct pv_check_op *const pv_check_map[];
extern const struct pv_check_op *const pv_check_precision[];

const struct pv_check_family pv_check_families[] = {
    {"conv", pv_check_conv},
    {"norm", pv_check_norm},
    {"optim", pv_check_optim},
    {"proto", pv_check_proto},
    {"shape", pv_check_shape},
    {"resize", pv_check_resize},
    {"rows", pv_check_rows},
    {"channorm", pv_check_channorm},
    {"depthwise", pv_check_depthwise},
    {"gather", pv_check_gather},
    {"largest", pv_check_largest},
    {"edt", pv_check_edt},
    {"voxels", pv_check_voxels},
    {"softmax", pv_check_softmax},
    {"loss", pv_check_loss},
    {"reduce", pv_check_reduce},
    {"map", pv_check_map},
    {"precision", pv_check_precision},
    {NULL, NULL},
};
