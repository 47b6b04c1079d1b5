/* SPDX-License-Identifier: Apache-2.0
 * Cases of gathering, boxes, masks and noise. Tolerances: nearest, boxes and masks are copies, whose choices are
 * made in whole numbers everywhere; 4 or 16 products in fp32 for linear and cubic; noise has its own logarithm,
 * sine and cosine in fp32, with errors of 2e-7 each. */
#include "check/check.h"
#include "ops/augment.h"
#include "ops/gather.h"

static int draw(struct pv_check *k, int most, int s[3])
{
    int c = pv_ck_case(k), dims = c % 4 == 3 ? 2 : 3;
    pv_ck_sides(k, dims, c == 0 ? 3 : most, s);
    return dims;
}

/* Every third case crops only, every third rotates by some angle. */
static void parameters(struct pv_check *k, int nx, const int in[3], const int out[3], int dims,
                       struct pv_gather_params *p)
{
    int c = pv_ck_case(k);
    const int *plane = dims == 2 ? in + 1 : in;
    *p = (struct pv_gather_params){.sample = pv_ck_int(k, 0, nx - 1)};
    if (c % 3 != 1) {
        p->rot90 = pv_ck_int(k, -1, 4);
        for (int i = 0; i < 3; i++)
            p->flip[i] = pv_ck_int(k, 0, 1);
        if (pv_ck_int(k, 0, 2))
            for (int i = 0; i < 2; i++)
                p->scaled[i] = pv_max(1, (int)(plane[i] * pv_ck_uniform(k, 0.4, 2.1)));
    }
    if (c % 3 == 2)
        p->angle = (float)pv_ck_int(k, -20, 20);
    for (int i = 0; i < 3; i++)
        p->first[i] = pv_ck_int(k, -4, pv_max(0, in[i] - out[i]) + 4);
}

static void gather(struct pv_check *k, enum pv_gather_mode mode)
{
    struct pv_gather_params p[4];
    int in[3], out[3], dims = draw(k, 12, in), nx = pv_ck_int(k, 1, 3), num = pv_ck_int(k, 1, 4);
    int c = pv_ck_int(k, 1, 4), big = pv_ck_small(k) ? 0 : pv_ck_case(k) == 6 ? 3 : pv_ck_case(k) == 7 ? 2 : 0;
    draw(k, 12, out);
    if (big) {      /* more than 64 KiB per channel */
        nx = num = 1;
        c = 2;
        for (int i = 3 - big; i < 3; i++) {
            in[i] = big == 3 ? 24 : 110;
            out[i] = big == 3 ? 29 : 135;
        }
    }
    for (int i = 0; i < num; i++)
        parameters(k, nx, in, out, dims, &p[i]);
    enum pv_gather_border border = (enum pv_gather_border)pv_ck_int(k, 0, 2);
    pv_tensor *x = pv_ck_input(k, pv_plain(dims, nx, c, in), -1, 1, 0);
    pv_ck_output(k, "y", pv_gather(pv_ck_tape(k), x, num, p, out, mode, border, 0.5f), 0);
    if (mode == PV_GATHER_NEAREST) {
        pv_tensor *labels = pv_ck_labels(k, pv_plain(dims, nx, 1, in), 0, 5);
        pv_ck_output(k, "labels", pv_gather(pv_ck_tape(k), labels, num, p, out, mode, border, -1), 0);
    }
}

static void nearest(struct pv_check *k) { gather(k, PV_GATHER_NEAREST); }
static void linear(struct pv_check *k) { gather(k, PV_GATHER_LINEAR); }
static void cubic(struct pv_check *k) { gather(k, PV_GATHER_CUBIC); }

static void draw_boxes(struct pv_check *k, int n, int from, const int s[3], struct pv_box *boxes)
{
    for (int i = 0; i < n; i++) {
        boxes[i].from = pv_ck_int(k, 0, from - 1);
        for (int j = 0; j < 3; j++) {
            boxes[i].lo[j] = pv_ck_int(k, -1, s[j]);
            boxes[i].hi[j] = boxes[i].lo[j] + pv_ck_int(k, -1, s[j] + 1);
        }
    }
}

/* A shape of which some exceed 64 KiB per channel. */
static int shape_of(struct pv_check *k, int s[3])
{
    int dims = draw(k, 12, s);
    if (pv_ck_case(k) == 6 && !pv_ck_small(k))
        s[0] = 30, s[1] = 25, s[2] = 24;
    return dims;
}

static void box_mix(struct pv_check *k)
{
    struct pv_box boxes[3];
    int s[3], dims = shape_of(k, s), n = pv_ck_int(k, 1, 3), m = pv_ck_int(k, 1, 3), c = pv_ck_int(k, 1, 4);
    draw_boxes(k, n, m, s, boxes);
    pv_tensor *a = pv_ck_input(k, pv_plain(dims, n, c, s), -1, 1, 0);
    pv_tensor *b = pv_ck_input(k, pv_plain(dims, m, c, s), -1, 1, 0);
    pv_ck_output(k, "y", pv_box_mix(pv_ck_tape(k), a, b, boxes), 0);
    pv_tensor *la = pv_ck_labels(k, pv_plain(dims, n, 1, s), -1, 4);
    pv_tensor *lb = pv_ck_labels(k, pv_plain(dims, m, 1, s), -1, 4);
    pv_ck_output(k, "labels", pv_box_mix(pv_ck_tape(k), la, lb, boxes), 0);
    pv_ck_output(k, "mask", pv_box_mask(pv_ck_tape(k), dims, n, s, boxes, 0, 1), 0);
}

static void cube_mask(struct pv_check *k)
{
    static const float chances[] = {0.5f, 0.25f, 0.9f, 0, 1};
    int s[3], dims = shape_of(k, s), n = pv_ck_int(k, 1, 3), c = pv_ck_int(k, 1, 2), size = pv_ck_int(k, 1, 5);
    pv_ck_tape(k)->first_sample = pv_ck_int(k, 0, 9);
    pv_tensor *x = pv_ck_input(k, pv_plain(dims, n, c, s), -1, 1, 0);
    float p = chances[pv_ck_case(k) % 5];
    pv_ck_output(k, "first", pv_cube_mask(pv_ck_tape(k), x, size, p, 7), 0);
    pv_ck_output(k, "second", pv_cube_mask(pv_ck_tape(k), x, size, p, 7), 0);
    pv_ck_tape(k)->first_sample = 0;
}

static void noise(struct pv_check *k)
{
    int s[3], dims = shape_of(k, s), n = pv_ck_int(k, 1, 3), c = pv_ck_int(k, 1, 3);
    pv_ck_tape(k)->first_sample = pv_ck_int(k, 0, 9);
    pv_tensor *x = pv_ck_input(k, pv_plain(dims, n, c, s), -1, 1, PV_CK_GRAD);
    float sigma = pv_ck_case(k) % 2 ? 0.1f : 1, clip = pv_ck_case(k) % 2 ? 0.2f : 100;
    pv_ck_output(k, "y", pv_noise(pv_ck_tape(k), x, sigma, clip), 0);
    pv_ck_tape(k)->first_sample = 0;
}

static const struct pv_check_op
    op_nearest = {"gather_nearest", nearest, 0, 0, 0, NULL},
    op_linear = {"gather_linear", linear, 0, 2e-6, 0, NULL},
    op_cubic = {"gather_cubic", cubic, 0, 4e-6, 0, NULL},
    op_box = {"box_mix", box_mix, 0, 0, 0, NULL},
    op_cube = {"cube_mask", cube_mask, 0, 0, 0, NULL},
    op_noise = {"noise", noise, 0, 2e-6, 2e-7, NULL};

const struct pv_check_op *const pv_check_gather[] = {
    &op_nearest, &op_linear, &op_cubic, &op_box, &op_cube, &op_noise, NULL,
};
