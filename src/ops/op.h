/* SPDX-License-Identifier: Apache-2.0
 * What op files share: checks of inputs, simple launches. Not for use above ops/. */
#ifndef OPS_OP_H
#define OPS_OP_H

#include "tape/tape.h"

/* True if none of the tensors is NULL and the device works. */
bool pv_op_ready(pv_tape *t, int num, pv_tensor *const *x);
/* An impossible shape is a bug of the caller: fails with the op's name. Returns NULL. */
pv_tensor *pv_op_bad(const char *op, const char *fmt, ...) PV_PRINTF(2, 3);
bool pv_pin_all(int num, pv_tensor *const *x);     /* NULL entries are skipped */
void pv_unpin_all(int num, pv_tensor *const *x);

static inline bool pv_is_ref(const pv_tensor *x) { return pv_dev_is_ref(x->dev); }
static inline enum pv_dev_class pv_class(const pv_tensor *x) { return pv_dev_get_info(x->dev)->cls; }

/* Strides of a BLOCKED or PLAIN tensor in stored elements, and where voxel (0, 0, 0) is. */
struct pv_strides { int n, b, p, r; int first; };   /* sample, block or channel, x-plane, row */
struct pv_strides pv_strides_of(const pv_tensor *x);

/* Runs a kernel of work-groups of 64 (or k->wg[0]) over `items` work-items. */
void pv_run_items(pv_dev *dev, struct pv_launch *l, uint64_t items);

/* Makes ops of this folder known to the tape (addition of gradients). Called by every op that records. */
void pv_ops_init(void);

#endif
