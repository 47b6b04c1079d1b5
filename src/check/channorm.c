/* SPDX-License-Identifier: Apache-2.0
 * Cases of layer norm over channels. Tolerances: two-pass statistics over up to 70 channels, sums over all voxels. */
#include "check/check.h"
#include "ops/channorm.h"

/* Fixed: a few voxels; CRLN's two levels; with bindings of 64 KiB blocks that must be split into planes. */
static void channel_norm(struct pv_check *k)
{
    static const struct { int n, c, s[3]; } fixed[] = {{1, 3, {1, 2, 2}}, {2, 64, {3, 5, 6}}, {2, 32, {6, 7, 5}},
                                                       {1, 20, {11, 10, 9}}};
    int c = pv_ck_case(k), dims = 3, n, ch, s[3];
    if (c < (int)PV_COUNT(fixed) && (c == 0 || !pv_ck_small(k))) {
        n = fixed[c].n;
        ch = fixed[c].c;
        for (int i = 0; i < 3; i++)
            s[i] = fixed[c].s[i];
    } else {
        dims = c % 4 == 3 ? 2 : 3;
        n = pv_ck_int(k, 1, 3);
        ch = pv_ck_int(k, 2, pv_ck_most(k, 70, 20));
        pv_ck_sides(k, dims, 8, s);
    }
    double off = c % 3 == 1 ? 4 : 0;
    pv_tensor *x = pv_ck_input(k, pv_blocked(dims, n, ch, s), off - 1, off + 1, c % 5 == 4 ? 0 : PV_CK_GRAD);
    pv_tensor *gamma = pv_ck_input(k, pv_flat(ch), 0.5, 1.5, PV_CK_GRAD);
    pv_tensor *beta = pv_ck_input(k, pv_flat(ch), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_channel_norm(pv_ck_tape(k), x, gamma, beta), 0);
}

static const struct pv_check_op op_norm = {"channel_norm", channel_norm, 4, 2e-6, 4e-6, NULL};

const struct pv_check_op *const pv_check_channorm[] = {&op_norm, NULL};
