/* SPDX-License-Identifier: Apache-2.0
 * exercise DEVICE [--class C]: the method of docs/adding-a-method.md, compiled from that page, trains as the only one
 * there is. */
#include <math.h>
#include <stdio.h>

#include "method/method.h"
#include "train/config.h"

extern const struct pv_method pv_method_pi;
const struct pv_method *const pv_methods[] = {&pv_method_pi, NULL};

enum { STEPS = 10, SIDE = 16, VOXELS = SIDE * SIDE * SIDE };

static pv_tensor *image, *label;

/* A bright cube to be found; the same two labelled and two unlabelled images in every step. */
static void make_batch(pv_dev *dev)
{
    static float x[4 * VOXELS];
    static int32_t y[4 * VOXELS];
    for (int i = 0; i < 4 * VOXELS; i++) {
        int v = i % VOXELS, a = v / (SIDE * SIDE), b = v / SIDE % SIDE, c = v % SIDE, n = i / VOXELS;
        bool in = a >= 4 && a < 12 && b >= 4 + n && b < 12 && c >= 4 && c < 12;
        x[i] = (float)in + 0.1f * (float)(i % 7 - 3);
        y[i] = n < 2 ? in : PV_IGNORE;
    }
    const int s[3] = {SIDE, SIDE, SIDE};
    image = pv_tensor_new(dev, pv_plain(3, 4, 1, s), PV_F32);
    label = pv_tensor_new(dev, pv_plain(3, 4, 1, s), PV_I32);
    pv_tensor_write(image, x);
    pv_tensor_write_i32(label, y);
}

/* Takes what the step logged. */
static void take_logs(struct pv_run *r, double *sup, double *cons)
{
    for (int i = 0; i < r->num_logs; i++) {
        float v = (float)r->logs[i].value;
        if (r->logs[i].ticket)
            pv_read_end(&r->logs[i].ticket, &v);
        if (pv_streq(r->logs[i].name, "loss_sup"))
            *sup = v;
        if (pv_streq(r->logs[i].name, "loss_consistency"))
            *cons = v;
    }
    r->num_logs = 0;
}

int main(int argc, char **argv)
{
    const struct pv_dev_opts o = {.force_class = argc == 4 ? argv[3] : NULL};
    pv_dev *dev = argc >= 2 ? pv_dev_open(argv[1], &o) : NULL;
    static const char *const sets[] = {"net.filters=4", "train.reference_iters=6", "method_options.ramp_unit=1",
                                       "optim.lr=0.05"};
    const struct pv_config_args a = {.method = "pi", .labeled = 2, .iters = STEPS, .batch = 2, .seed = 7,
                                     .patch = {SIDE, SIDE, SIDE}, .sets = sets, .num_sets = PV_COUNT(sets)};
    pv_json *config = dev ? pv_config_resolve(&a) : NULL;
    struct pv_run *r = config ? pv_run_new(dev, config, false) : NULL;
    if (!r)
        return 1;
    make_batch(dev);
    double first = NAN, last = NAN, cons = 0;
    for (int i = 0; i < STEPS; i++) {
        const struct pv_patches b = {.num_labeled = 2, .num_unlabeled = 2, .image = image, .label = label};
        if (!pv_run_begin_step(r, i))
            return 1;
        r->method->step(r, &b);
        take_logs(r, &last, &cons);
        first = i ? first : last;
        printf("step %d: loss_sup %.5f, loss_consistency %.3g\n", i + 1, last, cons);
    }
    bool ok = pv_fault_kind() == PV_FAULT_NONE && last < 0.95 * first && cons > 0 && isfinite(cons);
    pv_tensor *p = r->method->predict(r, image);
    ok = ok && p && p->h.c == 2;
    pv_tensor_put(&p);
    pv_tensor_put(&image);
    pv_tensor_put(&label);
    pv_run_free(&r);
    pv_json_free(config);
    pv_dev_close(&dev);
    printf(ok ? "ok\n" : "FAILED: the loss does not fall, or nothing is consistent\n");
    return ok ? 0 : 1;
}
