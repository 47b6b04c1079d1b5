/* SPDX-License-Identifier: Apache-2.0
 * Cases of ops/edt.h. Squared distances are exact. */
#include "ops/edt.h"

#include "check/plain.h"

/* Zeros from everywhere to nowhere. */
static void edt(struct pv_check *k)
{
    static const double share[] = {0.5, 0.01, 0.002, 0.0001, 0.1, 0};
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    if (number == 3 && !pv_ck_small(k))
        z = (struct ck_size){3, 1, 2, {17, 30, 31}};    /* a channel must fit a binding */
    struct pv_shape h = ck_shape(&z, z.c);
    const int64_t count = pv_shape_count(&h);
    double *v = pv_array(double, count);
    for (int64_t i = 0; i < count; i++)
        v[i] = pv_ck_uniform(k, 0, 1) < share[number % 6] ? 0 : pv_ck_int(k, 1, 2) - 1.5;
    pv_tensor *x = pv_ck_values(k, h, PV_F32, v, 0);
    pv_ck_output(k, "y", pv_edt2(pv_ck_tape(k), x), 0);
    pv_free(v);
}

/* A ball, and what is around it. */
static void ball(struct pv_check *k)
{
    const int number = pv_ck_case(k), flat = number % 2;
    const int s[3] = {flat ? 1 : pv_ck_most(k, 15, 3), pv_ck_most(k, 21, 5), pv_ck_most(k, 33, 7)};
    struct pv_shape h = pv_plain(flat ? 2 : 3, 2, 2, s);
    const int64_t count = pv_shape_count(&h);
    double *v = pv_array(double, count);
    for (int64_t i = 0; i < count; i++) {
        const int zz = (int)(i % s[2]), y = (int)(i / s[2] % s[1]), x = (int)(i / s[2] / s[1] % s[0]);
        const int dx = x - s[0] / 2, dy = y - s[1] / 3, dz = zz - s[2] / 4;
        v[i] = (dx * dx + dy * dy + dz * dz < 30) == (i / (count / 4) % 2 > 0);
    }
    pv_tensor *x = pv_ck_values(k, h, PV_F32, v, 0);
    pv_ck_output(k, "y", pv_edt2(pv_ck_tape(k), x), 0);
    pv_free(v);
}

static const struct pv_check_op
    op_edt = {"edt", edt, CK_PLAIN_FIXED, 0, 0, NULL},
    op_ball = {"edt_ball", ball, 2, 0, 0, NULL};

const struct pv_check_op *const pv_check_edt[] = {&op_edt, &op_ball, NULL};
