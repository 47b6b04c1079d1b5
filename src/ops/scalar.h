/* SPDX-License-Identifier: Apache-2.0
 * Sums of device scalars (1-element FLAT tensors): how losses become one loss without a read-back. Results are new
 * references; NULL inputs give NULL. */
#ifndef OPS_SCALAR_H
#define OPS_SCALAR_H

#include "tape/tape.h"

enum { PV_SCALARS = 10 };       /* terms of one sum, at most */

/* sum_i w[i] * dev_w[i] * L[i]. w NULL: ones. dev_w, or entries of it, NULL: ones; they are device scalars and get
 * no gradient. Gradient to L[i]: w[i] * dev_w[i]. */
pv_tensor *pv_scalar_sum(pv_tape *t, int num, pv_tensor *const *l, const float *w, pv_tensor *const *dev_w);

/* sum_i w[i] * L[i] / sg(L[i]) with sg = stop gradient: the value is the sum of the weights of live terms, the
 * gradient of L[i] is w[i] / L[i]. Terms that are 0 or not finite are left out of both (DuCiSC's total loss, public
 * code). The gradient handed to a dead term is 0. */
pv_tensor *pv_self_normalised(pv_tape *t, int num, pv_tensor *const *l, const float *w);

#endif
