/* SPDX-License-Identifier: Apache-2.0
 * Networks on the reference device: how parameters start, where dropout stands, what is refused, which parameters a
 * step with CRLN's heads leaves alone. Values and gradients are compared with PyTorch by device/golden_net. */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "net/net.h"
#include "ops/rows.h"

static pv_dev *dev;
static pv_tape *tape;

static int set_up(void **state)
{
    (void)state;
    dev = pv_dev_open("ref:0", NULL);
    tape = dev ? pv_tape_new(dev) : NULL;
    if (tape)
        tape->recording = false;
    return tape ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    pv_tape_free(&tape);
    pv_dev_close(&dev);
    return 0;
}

static struct pv_net_config config(const char *name, int filters)
{
    struct pv_net_config c = {.dims = pv_streq(name, "unet2d") ? 2 : 3, .channels = 1, .classes = 2,
                              .filters = filters, .patch = {16, 32, 16}, .dropout = 0.5, .seed = 3};
    strcpy(c.name, name);
    return c;
}

static pv_net *make(const struct pv_net_config *c)
{
    pv_net *n = pv_net_new(dev, c);
    assert_non_null(n);
    return n;
}

static int find(const pv_net *n, const char *name)
{
    for (int i = 0; i < n->p->num; i++)
        if (pv_streq(n->p->v[i].name, name))
            return i;
    fail_msg("there is no parameter %s", name);
    return -1;
}

/* ---- initialisation ---- */

/* Root mean square and largest absolute value. */
static void spread(const pv_net *n, const char *name, double *rms, double *most)
{
    const struct pv_param *q = &n->p->v[find(n, name)];
    const double *v = pv_ref_data(q->t);
    *rms = *most = 0;
    for (int i = 0; i < q->len; i++) {
        *rms += v[i] * v[i] / q->len;
        *most = fmax(*most, fabs(v[i]));
    }
    *rms = sqrt(*rms);
}

static void expect_uniform(const pv_net *n, const char *name, double fan_in)
{
    double rms, most, bound = 1 / sqrt(fan_in);
    spread(n, name, &rms, &most);
    if (most > bound || most < 0.8 * bound || fabs(rms * sqrt(3) / bound - 1) > 0.15)
        fail_msg("%s: rms %g, most %g; expected uniform in +-%g", name, rms, most, bound);
}

static void expect_normal(const pv_net *n, const char *name, double fan_in)
{
    double rms, most, sigma = sqrt(2 / fan_in);
    spread(n, name, &rms, &most);
    if (fabs(rms / sigma - 1) > 0.15 || most < 2 * sigma)
        fail_msg("%s: rms %g, most %g; expected normal with %g", name, rms, most, sigma);
}

static void expect_constant(const pv_net *n, const char *name, double value)
{
    const struct pv_param *q = &n->p->v[find(n, name)];
    for (int i = 0; i < q->len; i++)
        assert_true(pv_ref_data(q->t)[i] == value);
}

static void initialisations(void **state)
{
    (void)state;
    struct pv_net_config c = config("vnet", 8);
    pv_net *n = make(&c);
    expect_uniform(n, "block_three.conv.0.weight", 32 * 27);
    expect_uniform(n, "block_five.conv.0.bias", 128 * 27);
    expect_uniform(n, "block_six_up.conv.0.weight", 32 * 8);
    expect_constant(n, "block_one.conv.1.weight", 1);
    expect_constant(n, "block_one.conv.1.bias", 0);
    pv_net_free(&n);

    c = config("resvnet", 8);
    c.init = PV_SCHEME_KAIMING;
    n = make(&c);
    expect_normal(n, "resnet_encoder.conv1.weight", 343);
    expect_normal(n, "resnet_encoder.layer2.0.downsample.0.weight", 16);
    expect_normal(n, "block_six_up.conv.0.weight", 32 * 8);
    expect_uniform(n, "block_six.conv.0.bias", 64 * 27);
    expect_constant(n, "resnet_encoder.layer1.0.bn2.weight", 1);
    pv_net_free(&n);

    c = config("vnet", 8);
    assert_true(pv_init_scheme_find("xavier_conv", &c.init) && !pv_init_scheme_find("xavier", &c.init));
    n = make(&c);
    expect_normal(n, "block_three.conv.0.weight", (32 + 32) * 27);     /* 2 / (fan_in + fan_out) */
    expect_normal(n, "block_two_dw.conv.0.weight", (16 + 32) * 8);
    expect_uniform(n, "block_three.conv.0.bias", 32 * 27);
    expect_uniform(n, "block_six_up.conv.0.weight", 32 * 8);
    pv_net_free(&n);

    c = config("unet3d_deconv", 8);
    c.init = PV_SCHEME_KAIMING_CONV;
    c.prototypes = 16;
    n = make(&c);
    expect_normal(n, "conv2.conv1.0.weight", 8 * 27);
    expect_uniform(n, "up_concat2.up.weight", 32 * 27);
    expect_normal(n, "representation.0.weight", 8 * 27);
    expect_normal(n, "dynamic.proj_layers.0.weight", 32);
    expect_normal(n, "dynamic.attn_convs0.1.block.depthwise.weight", 27);
    expect_uniform(n, "dynamic.pairwise_interaction.0.attn.fc_kv.weight", 32);
    expect_uniform(n, "dynamic.pairwise_interaction.1.mlp.fc2.weight", 64);
    expect_uniform(n, "dynamic.query_convs.0.weight", 32);
    expect_constant(n, "dynamic.class_prototype", 0);
    expect_constant(n, "dynamic.pairwise_interaction.1.norm3.weight", 1);
    expect_constant(n, "op.a", 0);
    assert_int_equal(n->p->v[find(n, "dynamic.pairwise_interaction.1.norm3.weight")].len, 8 * 16 * 8);
    pv_net_free(&n);
}

/* ---- dropout ---- */

static pv_tensor *image(const pv_net *n, int samples)
{
    int s[] = {n->c.dims == 2 ? 1 : 16, 32, 16};
    pv_tensor *x = pv_tensor_new(dev, pv_plain(n->c.dims, samples, n->c.channels, s), PV_F32);
    struct pv_rng r = pv_rng_make(5, 1);
    for (int64_t i = 0; i < pv_shape_count(&x->h); i++)
        pv_ref_data(x)[i] = pv_rng_uniform(&r) - 0.5;
    return x;
}

static double zeros(const pv_tensor *t)
{
    int64_t n = pv_shape_count(&t->h), k = 0;
    for (int64_t i = 0; i < n; i++)
        k += pv_ref_data(t)[i] == 0;
    return (double)k / (double)n;
}

/* Maps (n, c) that are zero everywhere. */
static int empty_maps(const pv_tensor *t)
{
    int64_t v = pv_voxels(&t->h);
    int empty = 0;
    for (int m = 0; m < t->h.n * t->h.c; m++) {
        bool all = true;
        for (int64_t i = 0; i < v; i++)
            all = all && pv_ref_data(t)[m * v + i] == 0;
        empty += all;
    }
    return empty;
}

static bool equal(const pv_tensor *a, const pv_tensor *b)
{
    return !memcmp(pv_ref_data(a), pv_ref_data(b), sizeof(double) * (size_t)pv_shape_count(&a->h));
}

/* Forward passes without dropout layers (o[0]) and with them (o[1]), the same weights and image. */
static pv_net *both(const char *name, int filters, int samples, struct pv_net_out o[2])
{
    struct pv_net_config c = config(name, filters);
    pv_net *n = make(&c);
    pv_tensor *x = image(n, samples);
    for (int i = 0; i < 2; i++) {
        pv_tape_pass(tape, 1);
        assert_true(pv_net_forward(n, tape, x, i ? PV_NET_TRAIN | PV_NET_DROPOUT : PV_NET_TRAIN,
                                   (1u << PV_FEATS) - 1, &o[i]));
    }
    pv_tensor_put(&x);
    return n;
}

static void end(pv_net *n, struct pv_net_out o[2])
{
    pv_net_out_free(&o[0]);
    pv_net_out_free(&o[1]);
    pv_net_free(&n);
}

/* Channel dropout of one half behind block nine; behind block five only in the V-Net. */
static void dropout_of_vnets(void **state)
{
    (void)state;
    struct pv_net_out o[2];
    pv_net *n = both("vnet", 4, 4, o);
    assert_false(equal(o[0].feat[PV_FEAT_UP1], o[1].feat[PV_FEAT_UP1]));
    int empty = empty_maps(o[1].feat[PV_FEAT_DEC4]);
    assert_in_range(empty, 3, 13);
    assert_int_equal(empty_maps(o[0].feat[PV_FEAT_DEC4]), 0);
    end(n, o);

    n = both("resvnet", 4, 4, o);
    for (int i = 0; i < 4; i++)
        assert_true(equal(o[0].feat[PV_FEAT_UP1 + i], o[1].feat[PV_FEAT_UP1 + i]));
    empty = empty_maps(o[1].feat[PV_FEAT_DEC4]);
    assert_in_range(empty, 3, 13);
    end(n, o);
}

/* Element dropout: 0.3 behind the deepest and the last level of the 3D U-Net; by level in the encoder of the 2D one. */
static void dropout_of_unets(void **state)
{
    (void)state;
    struct pv_net_out o[2];
    pv_net *n = both("unet3d", 4, 2, o);
    assert_false(equal(o[0].feat[PV_FEAT_UP1], o[1].feat[PV_FEAT_UP1]));
    double before = zeros(o[0].feat[PV_FEAT_DEC4]), with = zeros(o[1].feat[PV_FEAT_DEC4]);
    assert_true(fabs((1 - with) / (1 - before) - 0.7) < 0.03);
    assert_true(zeros(o[1].feat[PV_FEAT_DEC3]) < before + 0.05);
    end(n, o);

    n = both("unet2d", 4, 2, o);
    assert_false(equal(o[0].feat[PV_FEAT_UP1], o[1].feat[PV_FEAT_UP1]));
    for (int i = 0; i < 4; i++)         /* leaky ReLU, no dropout: nothing is 0 */
        assert_true(zeros(o[1].feat[PV_FEAT_DEC1 + i]) == 0);
    end(n, o);
}

static void no_dropout_layers(void **state)
{
    (void)state;
    struct pv_net_config c = config("unet2d", 2);
    c.dropout = 0;
    pv_net *n = make(&c);
    pv_tensor *x = image(n, 2);
    struct pv_net_out a, b;
    assert_true(pv_net_forward(n, tape, x, PV_NET_TRAIN | PV_NET_DROPOUT, 0, &a));
    assert_true(pv_net_forward(n, tape, x, PV_NET_TRAIN, 0, &b));
    assert_true(equal(a.logits, b.logits));
    pv_net_out_free(&a);
    pv_net_out_free(&b);
    pv_tensor_put(&x);
    pv_net_free(&n);
}

/* base + 0 or 1 / keep, by the counter (step, pass << 16 | layer, sample, 0). */
static void drop_path(void **state)
{
    (void)state;
    enum { N = 200 };
    float base[] = {1, 0};
    tape->seed = 11;
    tape->step = 7;
    tape->first_sample = 5;
    pv_tape_pass(tape, 2);
    tape->layer = 3;
    pv_tensor *f = pv_drop_path(tape, N, 2, base, 0.25f);
    assert_int_equal(tape->layer, 5);
    int kept = 0;
    for (uint32_t i = 0; i < 2 * N; i++) {
        uint32_t ctr[4] = {7, 2u << 16 | (3 + i / N), 5 + i % N, 0}, key[2] = {11, 0}, out[4];
        pv_philox(out, ctr, key);
        bool keep = out[0] < 0.75 * 4294967296.0;
        assert_true(pv_ref_data(f)[i] == base[i / N] + (keep ? (float)(1 / 0.75) : 0));
        kept += keep;
    }
    assert_in_range(kept, 270, 330);
    tape->first_sample = 0;
    pv_tensor_put(&f);
}

/* ---- refusals ---- */

static void expect_refused(const struct pv_net_config *c, const char *word)
{
    pv_net *n = NULL;
    UNIT_FAILS(PV_FAULT_USAGE, word, n = pv_net_new(dev, c));
    assert_null(n);
}

static void refusals(void **state)
{
    (void)state;
    struct pv_net_config c = config("unet2d", 2);
    c.dims = 3;
    expect_refused(&c, "net.dims");
    c = config("unet3d", 2);
    c.dims = 2;
    expect_refused(&c, "net.dims");
    c = config("resvnet", 2);
    c.prototypes = 4;
    expect_refused(&c, "net.prototypes");
    c = config("vnet", 2);
    c.prototypes = 4;
    c.dims = 2;
    expect_refused(&c, "3D");
    c.dims = 3;
    c.patch[0] = 0;
    expect_refused(&c, "train.patch");
}

/* Weights for every voxel: another size is refused where the cue is wanted, and taken where it is not. */
static void another_patch(void **state)
{
    (void)state;
    struct pv_net_config c = config("vnet", 1);
    c.prototypes = 2;
    pv_net *n = make(&c);
    pv_tensor *x = pv_tensor_zeros(dev, pv_plain(3, 1, 1, (int[]){16, 16, 16}), PV_F32);
    struct pv_net_out o;
    bool ok = true;
    UNIT_FAILS(PV_FAULT_USAGE, "16x32x16", ok = pv_net_forward(n, tape, x, 0, PV_WANT(PV_FEAT_CUE), &o));
    assert_false(ok);
    assert_true(pv_net_forward(n, tape, x, 0, PV_WANT(PV_FEAT_REP), &o));
    assert_int_equal(o.feat[PV_FEAT_REP]->h.c, 2);
    assert_null(o.feat[PV_FEAT_DEC4]);          /* kept for the representation only */
    pv_net_out_free(&o);
    pv_tensor_put(&x);
    pv_net_free(&n);
}

/* ---- the rectifier ---- */

static void rectify(void **state)
{
    (void)state;
    struct pv_net_config c = config("vnet", 1);
    c.prototypes = 2;
    pv_net *n = make(&c);
    assert_true(pv_params_want_grad(n->p));
    int op = find(n, "op.a");
    pv_param_write(n->p, op, &(float){0.25f});
    pv_tensor *z = pv_tensor_new(dev, pv_plain(3, 1, 2, (int[]){1, 1, 2}), PV_F32);
    pv_tensor *m = pv_tensor_new(dev, z->h, PV_F32), *dy = pv_tensor_new(dev, z->h, PV_F32);
    pv_tensor_write(z, (float[]){1, 2, 3, 4});
    pv_tensor_write(m, (float[]){0, 8, 4, 2});
    pv_tensor_write(dy, (float[]){5, 1, -2, 3});
    tape->recording = true;
    pv_tensor *y = pv_net_rectify(n, tape, z, m);
    static const double want[] = {1, 8, 6, 5.5};
    assert_memory_equal(pv_ref_data(y), want, sizeof want);
    pv_backward_from(tape, 1, &y, &dy);
    tape->recording = false;
    assert_true(pv_ref_data(n->p->v[op].t->grad)[0] == -(8 - 8 + 6.0));
    for (int i = 0; i < n->p->num; i++)     /* nothing else has a gradient: a step changes the scalar alone */
        assert_int_equal(n->p->v[i].t->grad_valid, i == op);
    pv_tensor_put(&y);
    pv_tensor_put(&z);
    pv_tensor_put(&m);
    pv_tensor_put(&dy);
    pv_net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initialisations), cmocka_unit_test(dropout_of_vnets), cmocka_unit_test(dropout_of_unets),
        cmocka_unit_test(no_dropout_layers), cmocka_unit_test(drop_path), cmocka_unit_test(refusals),
        cmocka_unit_test(another_patch), cmocka_unit_test(rectify),
    };
    return cmocka_run_group_tests_name("nets", tests, set_up, tear_down);
}
