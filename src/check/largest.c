/* SPDX-License-Identifier: Apache-2.0
 * Cases of ops/largest.h. Labels are exact. */
#include "ops/largest.h"

#include "check/plain.h"

/* Labels of sparse noise: many components of every size, ties among the small ones; from solid to nearly empty. */
static void largest(struct pv_check *k)
{
    static const double share[] = {0.5, 0.12, 0.2, 1, 0.06, 0.3};
    const int number = pv_ck_case(k), classes = number % 3 == 1 ? 4 : 2;
    struct ck_size z = ck_plain_size(k, number);
    if (number == 3 && !pv_ck_small(k))
        z = (struct ck_size){3, 1, 1, {17, 30, 31}};    /* a sample must fit a binding */
    struct pv_shape h = ck_shape(&z, 1);
    const int64_t count = pv_shape_count(&h);
    const double p = share[number % 6];
    double *v = pv_array(double, count);
    for (int64_t i = 0; i < count; i++) {
        const int c = pv_ck_int(k, -1, classes);        /* outside the classes too */
        v[i] = pv_ck_uniform(k, 0, 1) < p ? (classes == 2 && c > 0 ? 1 : c) : 0;
    }
    pv_tensor *label = pv_ck_values(k, h, PV_I32, v, 0);
    pv_ck_output(k, "y", pv_largest_components(pv_ck_tape(k), label, classes), 0);
    pv_free(v);
}

/* A line that winds through the volume: one component with long chains, cut in two in some samples. */
static void winding(struct pv_check *k)
{
    const int number = pv_ck_case(k), flat = number % 2;
    const int s[3] = {flat ? 1 : pv_ck_most(k, 9, 3), pv_ck_most(k, 21, 5), pv_ck_most(k, 33, 7)};
    struct pv_shape h = pv_plain(flat ? 2 : 3, 3, 1, s);
    const int64_t count = pv_shape_count(&h);
    double *v = pv_array(double, count);
    for (int64_t i = 0; i < count; i++) {
        const int zz = (int)(i % s[2]), y = (int)(i / s[2] % s[1]), x = (int)(i / s[2] / s[1] % s[0]);
        const bool turn = zz == (y / 2 % 2 ? 0 : s[2] - 1);
        v[i] = x % 2 ? y == 0 && zz == 0 : y % 2 == 0 || turn;
        if (i / (count / 3) > 0 && y == (number < 2 ? 2 : pv_ck_int(k, 0, 3)) && zz == s[2] / 2)
            v[i] = 0;
    }
    pv_tensor *label = pv_ck_values(k, h, PV_I32, v, 0);
    pv_ck_output(k, "y", pv_largest_components(pv_ck_tape(k), label, 2), 0);
    pv_free(v);
}

static const struct pv_check_op
    op_largest = {"largest", largest, CK_PLAIN_FIXED, 0, 0, NULL},
    op_winding = {"largest_winding", winding, 4, 0, 0, NULL};

const struct pv_check_op *const pv_check_largest[] = {&op_largest, &op_winding, NULL};
