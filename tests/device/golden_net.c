/* SPDX-License-Identifier: Apache-2.0
 * golden_net DEVICE [--class C] [--net NAME]: every network, small, against PyTorch (golden/make_nets.py): names and
 * number of parameters, logits, heads, features, gradients from given gradients of the outputs, running statistics,
 * logits in evaluation mode.
 *
 * Tolerances: rounding flips ReLUs of values near zero, and normalisation over the few voxels of a small network
 * amplifies it, so that it moves a gradient's norm by up to 1.6 % and its values by 5 % of the largest (resvnet). The
 * golden file says by how much; three times that is allowed, at least 1e-4. ref:0 computes in double and gets 1e-6,
 * the rounding of the stored values. */
#include <stdio.h>

#include "base/safetensors.h"
#include "golden.h"
#include "ops/op.h"

struct golden_case {
    const char *name;
    struct pv_net_config c;     /* of the small network */
    int n, s[3];
    bool full_heads;            /* the full-size network has them */
};
struct tolerance { double norms, grads, outputs; };

static const struct golden_case cases[] = {
    {"vnet_heads", {.name = "vnet", .dims = 3, .channels = 1, .classes = 2, .filters = 8, .heads = true}, 2,
     {32, 32, 16}, true},
    {"resvnet", {.name = "resvnet", .dims = 3, .channels = 2, .classes = 3, .filters = 8}, 2, {32, 32, 16}, false},
    {"unet3d", {.name = "unet3d", .dims = 3, .channels = 1, .classes = 2, .filters = 8, .heads = true}, 2,
     {32, 32, 16}, false},
    {"unet3d_deconv", {.name = "unet3d_deconv", .dims = 3, .channels = 1, .classes = 3, .filters = 8}, 2,
     {32, 16, 32}, false},
    {"vnet_crln", {.name = "vnet", .dims = 3, .channels = 1, .classes = 2, .filters = 8, .prototypes = 4,
                   .patch = {32, 32, 16}}, 2, {32, 32, 16}, false},
    {"unet3d_crln", {.name = "unet3d_deconv", .dims = 3, .channels = 1, .classes = 3, .filters = 8, .prototypes = 4,
                     .scrambled = true, .patch = {32, 16, 32}}, 2, {32, 16, 32}, false},
    {"unet2d", {.name = "unet2d", .dims = 2, .channels = 1, .classes = 4, .filters = 8, .heads = true}, 3,
     {1, 48, 32}, false},
};

static void check_count(pv_dev *dev, pv_st_file *f, const struct golden_case *k)
{
    struct pv_net_config c = k->c;
    c.channels = 1;
    c.classes = c.dims == 2 ? 4 : 2;
    c.filters = 16;
    c.heads = k->full_heads;
    if (c.prototypes) {
        c.prototypes = 16;
        c.patch[0] = c.patch[1] = 112;
        c.patch[2] = 80;
    }
    pv_net *n = pv_net_new(dev, &c);
    double *want = golden_get(f, "count", NULL);
    golden_expect(n && (double)pv_net_count(n) == want[0], "parameters at full size",
                  n ? (double)pv_net_count(n) : 0, want[0]);
    pv_free(want);
    pv_net_free(&n);
}

/* The generator's stride from the numbers of elements. */
static void compare(pv_st_file *f, const char *name, pv_tensor *t, int most, double tol)
{
    int64_t m = t ? pv_shape_count(&t->h) : 0;
    golden_compare(f, name, t, m > most ? (int)((m + most - 1) / most) : 1, tol);
}

/* The gradient of output k as the generator makes it. */
static pv_tensor *given(pv_tensor *out, const int32_t *label, const int ls[3], int k, double times)
{
    pv_tensor *g = pv_tensor_new(out->dev, out->h, PV_F32);
    int64_t n = pv_shape_count(&out->h), i = 0;
    const int *s = out->h.s;
    float *v = pv_array(float, n);
    for (int b = 0; b < out->h.n; b++)
        for (int c = 0; c < out->h.c; c++)
            for (int x = 0; x < s[0]; x++)
                for (int y = 0; y < s[1]; y++)
                    for (int z = 0; z < s[2]; z++, i++) {
                        int lx = x * (ls[0] / s[0]), ly = y * (ls[1] / s[1]), lz = z * (ls[2] / s[2]);
                        bool inside = label[((b * ls[0] + lx) * ls[1] + ly) * ls[2] + lz] > 0;
                        double f = (float)golden_counter((uint64_t)i, 3000 + (uint64_t)k);
                        v[i] = (float)((f / 4 + (inside == (c % 2 == 0) ? 1 : -1)) * times / (double)n);
                    }
    pv_tensor_write(g, v);
    pv_free(v);
    return g;
}

static void check_outputs(pv_st_file *f, const struct pv_net_out *o, double tol)
{
    char name[32];
    compare(f, "logits", o->logits, 500, tol);
    for (int i = 0; i < 3 && o->heads[i]; i++) {
        snprintf(name, sizeof name, "head%d", i);
        compare(f, name, o->heads[i], 500, tol);
    }
    if (o->feat[PV_FEAT_CUE]) {
        compare(f, "rep", o->feat[PV_FEAT_REP], 500, tol);
        compare(f, "cue", o->feat[PV_FEAT_CUE], 500, tol);
    }
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "up%d", i + 1);
        compare(f, name, o->feat[PV_FEAT_UP1 + i], 500, tol);
        snprintf(name, sizeof name, "dec%d", i + 1);
        compare(f, name, o->feat[PV_FEAT_DEC1 + i], 500, tol);
    }
}

static void check_grads(pv_st_file *f, const pv_net *n, struct tolerance tol)
{
    golden_grad_norms(f, "grad_norms", n, tol.norms, 1e-2 * tol.norms);
    int64_t k;
    double *norms = golden_get(f, "grad_norms", &k), largest = 0;
    for (int64_t i = 0; i < k; i++)
        largest = fmax(largest, norms[i]);
    for (int i = 0, g = 0; i < n->p->num; i++) {
        if (n->p->v[i].buffer)
            continue;
        char name[32];
        snprintf(name, sizeof name, "grad%d", g);
        if (g % 8 == 0 && norms[g] > 1e-3 * largest)
            compare(f, name, n->p->v[i].t->grad, 100, tol.grads);
        g++;
    }
    pv_free(norms);
}

static struct tolerance tolerance_of(pv_st_file *f, bool ref)
{
    double *v = golden_get(f, "fp32", NULL);
    struct tolerance t = {1e-6, 1e-6, 1e-6};
    if (!ref)
        t = (struct tolerance){fmax(1e-4, 3 * v[0]), fmax(1e-4, 3 * v[1]), fmax(1e-4, 3 * v[2])};
    pv_free(v);
    return t;
}

static void run(pv_dev *dev, const struct golden_case *k)
{
    char name[64];
    printf("---- %s\n", k->name);
    snprintf(name, sizeof name, "net_%s.safetensors", k->name);
    pv_st_file *f = golden_open(name);
    check_count(dev, f, k);
    pv_net *n = pv_net_new(dev, &k->c);
    pv_tape *t = pv_tape_new(dev);
    int64_t voxels = (int64_t)k->s[0] * k->s[1] * k->s[2];
    float *image = pv_array(float, k->n * k->c.channels * voxels);
    int32_t *label = pv_array(int32_t, k->n * voxels);
    pv_tensor *x = pv_tensor_new(dev, pv_plain(k->c.dims, k->n, k->c.channels, k->s), PV_F32);
    struct pv_net_out o = {0};
    struct tolerance tol = tolerance_of(f, pv_dev_is_ref(dev));
    golden_expect(n && x && pv_params_want_grad(n->p), "network", 0, 1);
    if (!n || !x)
        goto done;
    golden_names(f, "names", n);
    golden_fill(n, 100);
    golden_batch(0, k->c.dims, k->n, k->s, k->c.classes, k->c.channels, image, label);
    pv_tensor_write(x, image);
    if (!pv_net_forward(n, t, x, PV_NET_TRAIN | PV_NET_DROPOUT, (1u << PV_FEATS) - 1, &o)) {
        golden_expect(false, "forward", 0, 1);
        goto done;
    }
    check_outputs(f, &o, tol.outputs);
    pv_tensor *all[6] = {o.logits, o.heads[0], o.heads[1], o.heads[2], o.feat[PV_FEAT_REP], o.feat[PV_FEAT_CUE]};
    pv_tensor *outs[6], *grads[6];
    int num = 0;
    for (int i = 0; i < 6; i++)
        if (all[i]) {
            outs[num] = all[i];
            grads[num] = given(all[i], label, k->s, num, i == 5 ? 100 : 1);
            num++;
        }
    pv_backward_from(t, num, outs, grads);
    for (int i = 0; i < num; i++)
        pv_tensor_put(&grads[i]);
    pv_net_out_free(&o);
    check_grads(f, n, tol);
    golden_running(f, "running", n, tol.outputs);
    t->recording = false;
    bool crln = k->c.prototypes > 0;
    if (pv_net_forward(n, t, x, 0, crln ? PV_WANT(PV_FEAT_CUE) : 0, &o))
        compare(f, "eval", o.logits, 500, tol.outputs);
    if (crln)
        compare(f, "eval_cue", o.feat[PV_FEAT_CUE], 500, tol.outputs);
    pv_net_out_free(&o);
done:
    golden_failures += pv_dev_failed(dev);
    pv_tensor_put(&x);
    pv_free(image);
    pv_free(label);
    pv_tape_free(&t);
    pv_net_free(&n);
    pv_st_close(&f);
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : "auto", *cls = NULL, *only = NULL;
    for (int i = 2; i + 1 < argc; i += 2) {
        if (pv_streq(argv[i], "--class"))
            cls = argv[i + 1];
        if (pv_streq(argv[i], "--net"))
            only = argv[i + 1];
    }
    pv_dev *dev = pv_dev_open(device, &(struct pv_dev_opts){.force_class = cls});
    if (!dev)
        return 1;
    int ran = 0;
    for (size_t i = 0; i < PV_COUNT(cases); i++)
        if (!only || pv_streq(only, cases[i].name)) {
            run(dev, &cases[i]);
            ran++;
        }
    pv_dev_close(&dev);
    golden_expect(ran > 0, "cases that ran", ran, 1);
    printf("%s\n", golden_failures ? "FAILED" : "passed");
    return golden_failures != 0;
}
