/* SPDX-License-Identifier: Apache-2.0
 * golden_vnet DEVICE [--class C] [--steps N] [--impl I]: a V-Net with 8 filters against PyTorch
 * (golden/make_vnet.py): parameter names and count, logits, gradients, running statistics, and the losses of ten SGD
 * steps.
 *
 * Tolerances: losses 1e-4 relative for five steps, 1e-3 after (the errors of fp32 grow from step to step); logits
 * 2e-4; gradient norms 1e-3, because rounding flips ReLUs of values near zero: PyTorch's own fp32 run is up to
 * 6.5e-4 away from its fp64 one. On ref:0 the losses agree to 1e-8. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/safetensors.h"
#include "golden.h"
#include "method/losses.h"
#include "method/method.h"
#include "ops/conv.h"

enum { FILTERS = 8, PATCH = 32, BATCH = 2, STEPS = 10, VOXELS = PATCH * PATCH * PATCH };

static const char config_text[] =
    "{\"method\": \"sup\", \"net\": {\"name\": \"vnet\", \"dims\": 3, \"channels\": 1, \"classes\": 2, \"filters\": 8,"
    " \"dropout\": 0, \"init\": \"default\"}, \"train\": {\"iters\": 10, \"patch\": [32, 32, 32], \"seed\": 1},"
    " \"optim\": {\"lr\": 0.002, \"momentum\": 0.9, \"weight_decay\": 0.0001, \"schedule\": \"constant\"}}";

static void check_count(pv_dev *dev, pv_st_file *f)
{
    struct pv_net_config c = {.name = "vnet", .dims = 3, .channels = 1, .classes = 2, .filters = 16, .dropout = 0.5,
                              .label = "count"};
    pv_net *n = pv_net_new(dev, &c);
    double *want = golden_get(f, "count", NULL);
    golden_expect(n && (double)pv_net_count(n) == want[0] && want[0] == 9448866, "parameters of the full V-Net",
                  n ? (double)pv_net_count(n) : 0, want[0]);
    pv_free(want);
    pv_net_free(&n);
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : "auto", *cls = NULL, *impl = NULL;
    int steps = STEPS;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (pv_streq(argv[i], "--class"))
            cls = argv[i + 1];
        if (pv_streq(argv[i], "--steps"))
            steps = atoi(argv[i + 1]);
        if (pv_streq(argv[i], "--impl"))
            impl = argv[i + 1];
    }
    pv_st_file *f = golden_open("vnet.safetensors");
    pv_dev *dev = pv_dev_open(device, &(struct pv_dev_opts){.force_class = cls});
    pv_json *config = pv_json_parse(config_text, "test");
    if (dev && impl && !pv_conv_has(dev, impl)) {
        printf("skipped: the device has no convolutions named %s\n", impl);
        pv_dev_close(&dev);
        return 77;
    }
    struct pv_run *r = f && dev ? pv_run_new(dev, config, false) : NULL;
    if (!r)
        return 1;
    r->tape->force_impl = impl;
    pv_net *n = r->nets[0].net;
    check_count(dev, f);
    golden_names(f, "names", n);
    golden_fill(n, 100);
    double *losses = golden_get(f, "losses", NULL);
    float *image = pv_array(float, BATCH * VOXELS);
    int32_t *label = pv_array(int32_t, BATCH * VOXELS);
    int s[3] = {PATCH, PATCH, PATCH};
    for (int step = 0; step < steps && !pv_dev_failed(dev); step++) {
        struct pv_scope k = {0};
        struct pv_net_out o;
        golden_batch(step, 3, BATCH, s, 2, 1, image, label);
        pv_tensor *x = pv_keep(&k, pv_tensor_new(dev, pv_plain(3, BATCH, 1, s), PV_F32));
        pv_tensor *y = pv_keep(&k, pv_tensor_new(dev, pv_plain(3, BATCH, 1, s), PV_I32));
        pv_tensor_write(x, image);
        pv_tensor_write_i32(y, label);
        pv_run_begin_step(r, step);
        pv_run_forward(r, n, x, 0, PV_NET_TRAIN, 0, &o);
        pv_tensor *loss = pv_loss_supervised(r, &k, o.logits, y, PV_DICE_SQ, NULL, NULL);
        pv_tensor *logits = pv_tensor_ref(o.logits);
        pv_net_out_free(&o);
        pv_run_backward(r, loss);
        if (step == 0) {
            golden_compare(f, "logits", logits, 61, 2e-4);
            golden_grad_norms(f, "grad_norms", n, 1e-3, 2e-6);
            golden_running(f, "running", n, 1e-4);
        }
        pv_tensor_put(&logits);
        double v = 0;
        pv_tensor_read_f64(loss, &v);
        char what[32];
        snprintf(what, sizeof what, "loss of step %d", step + 1);
        double err = fabs(v - losses[step]) / losses[step];
        printf("%s %.7f, relative error %.1e\n", what, v, err);
        golden_expect(err < (step < 5 ? 1e-4 : 1e-3), what, v, losses[step]);
        pv_run_step(r, NULL);
        pv_scope_end(&k);
    }
    golden_failures += pv_dev_failed(dev);
    pv_free(losses);
    pv_free(image);
    pv_free(label);
    pv_run_free(&r);
    pv_json_free(config);
    pv_st_close(&f);
    pv_dev_close(&dev);
    printf("%s\n", golden_failures ? "FAILED" : "passed");
    return golden_failures != 0;
}
