/* SPDX-License-Identifier: Apache-2.0
 * Cases of depthwise convolution. Tolerances: sums of 27 products; of all voxels for the weights. */
#include "check/check.h"
#include "ops/depthwise.h"

/* Fixed: a few voxels; CRLN's score maps; with bindings of 64 KiB blocks that must be split into planes, of one plane
 * each. */
static void depthwise(struct pv_check *k)
{
    static const struct { int n, c, s[3]; } fixed[] = {{1, 3, {1, 2, 2}}, {4, 16, {6, 7, 5}}, {2, 20, {11, 10, 9}},
                                                       {1, 5, {5, 15, 17}}};
    int c = pv_ck_case(k), dims = 3, n, ch, s[3];
    if (c < (int)PV_COUNT(fixed) && (c == 0 || !pv_ck_small(k))) {
        n = fixed[c].n;
        ch = fixed[c].c;
        for (int i = 0; i < 3; i++)
            s[i] = fixed[c].s[i];
    } else {
        dims = c % 4 == 3 ? 2 : 3;
        n = pv_ck_int(k, 1, 3);
        ch = pv_ck_int(k, 1, pv_ck_most(k, 36, 18));
        pv_ck_sides(k, dims, 8, s);
    }
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, ch, s), -1, 1, c % 5 == 4 ? 0 : PV_CK_GRAD);
    pv_tensor *w = pv_ck_input(k, pv_flat(ch * (dims == 2 ? 9 : 27)), -1, 1, c % 5 == 3 ? 0 : PV_CK_GRAD);
    pv_ck_output(k, "y", pv_depthwise(pv_ck_tape(k), x, w), 0);
}

static const struct pv_check_op op_dw = {"depthwise", depthwise, 4, 2e-6, 4e-6, NULL};

const struct pv_check_op *const pv_check_depthwise[] = {&op_dw, NULL};
