/* SPDX-License-Identifier: Apache-2.0
 * Cases of ops/softmax.h. Tolerances: an exponential, a logarithm and a division in fp32 (Vulkan allows exp(x) an
 * error of 3 + 2 |x| units in the last place), relative to the largest value; labels and 0/1 are exact. */
#include "ops/softmax.h"

#include "check/plain.h"

static void softmax_case(struct pv_check *k, pv_tensor *(*op)(pv_tape *, pv_tensor *))
{
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    const double range = number % 3 == 2 ? 60 : 4;      /* far apart: exp would overflow without the maximum */
    pv_tensor *x = pv_ck_input(k, ck_shape(&z, z.c), -range, range, PV_CK_GRAD);
    pv_ck_output(k, "y", op(pv_ck_tape(k), x), 0);
}

static void softmax(struct pv_check *k) { softmax_case(k, pv_softmax); }
static void log_softmax(struct pv_check *k) { softmax_case(k, pv_log_softmax); }

static void argmax(struct pv_check *k)
{
    struct ck_size z = ck_plain_size(k, pv_ck_case(k));
    pv_tensor *x = ck_whole(k, ck_shape(&z, z.c), -2, 2, 0);
    pv_ck_output(k, "label", pv_argmax(pv_ck_tape(k), x), 0);
    pv_ck_output(k, "max", pv_max_prob(pv_ck_tape(k), x), 0);
}

static void onehot(struct pv_check *k)
{
    struct ck_size z = ck_plain_size(k, pv_ck_case(k));
    pv_tensor *x = pv_ck_labels(k, ck_shape(&z, 1), -2, z.c + 1);
    pv_ck_output(k, "y", pv_onehot(pv_ck_tape(k), x, z.c), 0);
}

static void entropy(struct pv_check *k)
{
    static const enum pv_entropy_base bases[] = {PV_ENTROPY_NAT, PV_ENTROPY_BITS, PV_ENTROPY_NORMALISED};
    const int number = pv_ck_case(k);
    struct ck_size z = ck_plain_size(k, number);
    pv_tensor *p = pv_ck_input(k, ck_shape(&z, z.c), 0.02, 1, PV_CK_GRAD);
    pv_ck_output(k, "h", pv_entropy(pv_ck_tape(k), p, bases[z.c > 1 ? number % 3 : number % 2],
                                    number % 2 ? 1e-6f : 0), 0);
}

/* Exact zeros and ones: 0 ln 0 = 0. */
static void entropy_ends(struct pv_check *k)
{
    struct ck_size z = ck_plain_size(k, pv_ck_case(k));
    pv_tensor *p = ck_whole(k, ck_shape(&z, z.c), 0, 2, 0);
    pv_ck_output(k, "h", pv_entropy(pv_ck_tape(k), p, PV_ENTROPY_NAT, 0), 0);
    pv_ck_output(k, "h eps", pv_entropy(pv_ck_tape(k), p, PV_ENTROPY_BITS, 1e-6f), 0);
}

static const struct pv_check_op
    op_softmax = {"softmax", softmax, CK_PLAIN_FIXED, 2e-6, 4e-6, NULL},
    op_log_softmax = {"log_softmax", log_softmax, CK_PLAIN_FIXED, 2e-6, 4e-6, NULL},
    op_argmax = {"argmax", argmax, CK_PLAIN_FIXED, 0, 0, NULL},
    op_onehot = {"onehot", onehot, CK_PLAIN_FIXED, 0, 0, NULL},
    op_entropy = {"entropy", entropy, CK_PLAIN_FIXED, 2e-6, 4e-6, NULL},
    op_entropy_ends = {"entropy_ends", entropy_ends, CK_PLAIN_FIXED, 2e-6, 4e-6, NULL};

const struct pv_check_op *const pv_check_softmax[] = {
    &op_softmax, &op_log_softmax, &op_argmax, &op_onehot, &op_entropy, &op_entropy_ends, NULL,
};
