/* SPDX-License-Identifier: Apache-2.0
 * Cases of ops/rows.h. Tolerances: two-pass statistics and exponentials in fp32, sums over rows of up to 16,000
 * elements. */
#include "ops/rows.h"

#include "check/plain.h"

/* Layer norm of a row of one value is beta, without gradient: rows have at least four. */
static struct ck_size size_of(struct pv_check *k)
{
    struct ck_size z = ck_plain_size(k, pv_ck_case(k));
    if (z.s[0] * z.s[1] * z.s[2] < 4)
        z.s[2] = 4;
    return z;
}

static void row_norm(struct pv_check *k)
{
    int c = pv_ck_case(k);
    struct ck_size z = size_of(k);
    int v = z.s[0] * z.s[1] * z.s[2];
    double off = c % 4 == 1 ? 3 : 0;
    pv_tensor *x = pv_ck_input(k, ck_shape(&z, z.c), -1 + off, 1 + off, PV_CK_GRAD);
    pv_tensor *gamma = pv_ck_input(k, pv_flat(v), 0.5, 1.5, c % 5 == 4 ? 0 : PV_CK_GRAD);
    pv_tensor *beta = pv_ck_input(k, pv_flat(v), -1, 1, c % 5 == 3 ? 0 : PV_CK_GRAD);
    pv_tensor *factors = c % 2 ? pv_ck_input(k, pv_flat(2 * z.n), 0.5, 2, 0) : NULL;
    pv_ck_output(k, "y", pv_row_norm(pv_ck_tape(k), x, gamma, beta, factors), 0);
}

static void row_softmax(struct pv_check *k)
{
    struct ck_size z = ck_plain_size(k, pv_ck_case(k));
    double wide = pv_ck_case(k) % 3 == 2 ? 30 : 3;
    if (wide > 3)       /* one element may have nearly all the weight: gradients are what is left of larger numbers */
        pv_ck_loosen(k, 4);
    pv_tensor *x = pv_ck_input(k, ck_shape(&z, z.c), -wide, wide, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_row_softmax(pv_ck_tape(k), x), 0);
}

static void row_linear(struct pv_check *k)
{
    static const int fixed[][4] = {{1, 2, 3, 2}, {2, 32, 64, 64}, {2, 32, 32, 128}, {1, 5, 17, 1}};
    int c = pv_ck_case(k), n = pv_ck_int(k, 1, 3), most = pv_ck_most(k, 70, 9);
    int r = pv_ck_int(k, 1, pv_ck_most(k, 40, 5)), in = pv_ck_int(k, 1, most), out = pv_ck_int(k, 1, most);
    if (c < (int)PV_COUNT(fixed) && !pv_ck_small(k)) {
        n = fixed[c][0];
        r = fixed[c][1];
        in = fixed[c][2];
        out = fixed[c][3];
    }
    pv_tensor *x = pv_ck_input(k, pv_plain(3, n, r, (int[]){1, 1, in}), -1, 1, c % 4 == 3 ? 0 : PV_CK_GRAD);
    pv_tensor *w = pv_ck_input(k, pv_flat(in * out), -1, 1, PV_CK_GRAD);
    pv_tensor *b = c % 3 == 2 ? NULL : pv_ck_input(k, pv_flat(out), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_row_linear(pv_ck_tape(k), x, w, b, out), 0);
}

static void row_swap(struct pv_check *k)
{
    int a = pv_ck_int(k, 1, 6), b = pv_ck_int(k, 1, 6), n = pv_ck_int(k, 1, 3), v = pv_ck_int(k, 1, 70);
    pv_tensor *x = pv_ck_input(k, pv_plain(3, n, a * b, (int[]){1, 1, v}), -1, 1, PV_CK_GRAD);
    pv_ck_output(k, "y", pv_row_swap(pv_ck_tape(k), x, a, b), 0);
}

/* The factors are drawn on the host: every device has the same. */
static void drop_path(struct pv_check *k)
{
    int n = pv_ck_int(k, 1, 8), num = pv_ck_int(k, 1, 3);
    float base[] = {1, 0, 0.5f};
    pv_ck_output(k, "factors", pv_drop_path(pv_ck_tape(k), n, num, base, 0.3f), PV_CK_NO_DY);
    pv_ck_output(k, "ones", pv_drop_path(pv_ck_tape(k), n, 1, base + 1, 0), PV_CK_NO_DY);
}

static const struct pv_check_op
    op_norm = {"row_norm", row_norm, CK_PLAIN_FIXED, 2e-6, 4e-6, NULL},
    op_softmax = {"row_softmax", row_softmax, CK_PLAIN_FIXED, 4e-6, 8e-6, NULL},
    op_linear = {"row_linear", row_linear, 4, 2e-6, 4e-6, NULL},
    op_swap = {"row_swap", row_swap, 0, 0, 2e-7, NULL},
    op_drop = {"drop_path", drop_path, 0, 2e-7, 2e-7, NULL};

const struct pv_check_op *const pv_check_rows[] = {&op_norm, &op_softmax, &op_linear, &op_swap, &op_drop, NULL};
