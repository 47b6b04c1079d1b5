/* SPDX-License-Identifier: Apache-2.0
 * CPS, cross pseudo supervision (Chen and others, CVPR 2021; methods.md 9.5) in the 3D form of SSL4MIS: two networks
 * that start differently; each learns the hard labels of the other on unlabelled images:
 *     sum over both of half (CE + Dice) + w(t) CE(z, argmax of the other's z). */
#include "method/dual.h"
#include "method/model.h"
#include "method/named.h"
#include "ops/scalar.h"

struct cps { struct dual d; enum pv_dice_form dice; };

static const struct pv_method_opt opts[] = {
    {"net_a", 0, "vnet", false, "network A"},
    {"net_b", 0, "vnet", false, "network B"},
    {"init_a", 0, "kaiming_conv", false, "how A starts: default, kaiming, kaiming_conv, xavier_conv",
     .words = "default, kaiming, kaiming_conv, xavier_conv"},
    {"init_b", 0, "xavier_conv", false, "how B starts", .words = "default, kaiming, kaiming_conv, xavier_conv"},
    MODEL_OPTS_WEIGHT(0.1, 6000),
    MODEL_OPT_DICE("mc"),
    {"images", 0, "unlabeled", false, "pseudo labels on unlabeled images (SSL4MIS), or on all (paper)",
     .words = "unlabeled, all"},
    {"predict", 0, "a", false, "predictions: a (one network, as published), b, or mean of both softmax maps",
     .words = "a, b, mean"},
    {0}};

static bool init(struct pv_run *r)
{
    struct cps *s = r->state;
    static const char *const names[] = {"init_a", "init_b"};
    enum pv_init_scheme scheme[2];
    for (int i = 0; i < 2; i++)
        pv_init_scheme_find(pv_run_opt_text(r, names[i]), &scheme[i]);
    return model_dice(r, &s->dice) && model_needs(r, 1) && dual_init(r, &s->d, scheme);
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    struct cps *s = r->state;
    struct dual *d = &s->d;
    struct pv_scope k = {0};
    pv_tensor *l[3];
    float w[3] = {1, 1};
    int n = 2;
    dual_forward(r, &k, d, b, 0);
    for (int i = 0; i < 2; i++) {
        l[i] = pv_loss_supervised(r, &k, d->zl[i], d->labels, s->dice, NULL, NULL);
        pv_run_log(r, i ? "loss_sup_b" : "loss_sup_a", l[i]);
    }
    if (pv_run_opt(r, "consistency") > 0) {
        bool all = pv_run_opt_is(r, "images", "all");
        w[n] = (float)model_weight(r);
        l[n] = dual_cross(r->tape, &k, all ? (pv_tensor *[]){d->out[0].logits, d->out[1].logits} : d->zu);
        pv_run_log(r, "loss_cross", l[n++]);
    }
    pv_tensor *loss = pv_keep(&k, pv_scalar_sum(r->tape, n, l, w, NULL));
    pv_run_log(r, "loss", loss);
    dual_end(d);
    pv_run_backward_end(r, &k, loss);
    pv_run_step(r, NULL);
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    struct cps *s = r->state;
    if (pv_run_opt_is(r, "predict", "mean"))
        return dual_predict(r, &s->d, image);
    return model_probabilities(r, s->d.net[pv_run_opt_is(r, "predict", "b")], image);
}

const struct pv_method pv_method_cps = {
    .name = "cps", .summary = "two networks, each learns the other's labels of unlabelled images", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct cps), .init = init, .step = step, .predict = predict,
};

/* ---- named losses ---- */

static const struct pv_named_arg args[] = {
    {"a", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "A's logits"},
    {"b", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "B's logits"}, {0}};

static void cross(struct pv_named_call *c)
{
    pv_named_out(c, "loss", dual_cross(c->tape, &c->scope, (pv_tensor *[]){pv_named_in(c, "a"), pv_named_in(c, "b")}));
}

static const struct pv_named_loss loss_cross = {"cps.cross",
    "CE(a, argmax b) + CE(b, argmax a) (cross pseudo supervision)", args, NULL, cross};

const struct pv_named_loss *const pv_named_cps[] = {&loss_cross, NULL};
