/* SPDX-License-Identifier: Apache-2.0
 * MCF, mutual correction framework (Wang and others, CVPR 2023; methods.md 9.5): a ResNet34-style V-Net A and a
 * V-Net B. Labelled images: cross-entropy, Dice and rectification where exactly one network predicts the object. The
 * network with the lower Dice loss on the labelled images of this step teaches the other on the unlabelled ones: mean
 * squared difference of the loser's softmax to the winner's sharpened one. The mean of both softmax maps is evaluated.
 */
#include "method/dual.h"
#include "method/losses.h"
#include "method/named.h"
#include "ops/map.h"
#include "ops/scalar.h"
#include "ops/softmax.h"

struct mcf { struct dual d; };

static const struct pv_method_opt opts[] = {
    DUAL_OPTS,
    {"w_cr", 0.5, NULL, false, "weight of the rectification where exactly one network predicts the object"},
    {"consistency", 0.1, NULL, false, "largest weight of the pseudo labels"},
    {"rampup", 6000, NULL, true, "iterations until that weight is reached (Gaussian ramp)"},
    {"ramp_unit", 150, NULL, true, "the ramp moves every so many iterations"},
    {"temperature", 0.1, NULL, false, "pseudo labels are p^(1/T) / sum p^(1/T)"},
    {0}};

static bool init(struct pv_run *r)
{
    if (!(pv_run_opt(r, "temperature") > 0))
        return pv_fail(PV_FAULT_USAGE, "method_options.temperature of mcf must be above 0");
    return dual_init(r, &((struct mcf *)r->state)->d, NULL);
}

/* Each network's squared difference to the other's sharpened softmax, which is softmax(z / T); the winner's own is 0,
 * A's if the Dice losses are equal. dice: FLAT [1] each. */
static pv_tensor *teach(pv_tape *t, struct pv_scope *s, pv_tensor *const z[2], pv_tensor *const dice[2],
                        double temperature)
{
    struct pv_scope k = {0};
    pv_tensor *mse[2], *loses[2];
    bool recording = t->recording;
    t->recording = false;
    loses[0] = pv_keep(&k, pv_binary(t, PV_GREATER, dice[0], dice[1]));
    loses[1] = pv_keep(&k, pv_unary(t, PV_SCALE, loses[0], -1, 1));
    for (int i = 0; i < 2; i++) {
        t->recording = false;
        pv_tensor *sharp = pv_keep(&k, pv_unary(t, PV_SCALE, z[1 - i], (float)(1 / temperature), 0));
        pv_tensor *target = pv_keep(&k, pv_softmax(t, sharp));
        t->recording = recording;
        mse[i] = pv_loss_prob_mse(t, &k, z[i], target);
    }
    pv_tensor *loss = pv_keep(s, pv_scalar_sum(t, 2, mse, NULL, loses));
    pv_scope_end(&k);
    return loss;
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    struct dual *d = &((struct mcf *)r->state)->d;
    struct pv_scope k = {0};
    pv_tensor *l[5], *dice[2];
    float w[5] = {1, 1};
    int n = 2;
    dual_forward(r, &k, d, b, 0);
    for (int i = 0; i < 2; i++)
        l[i] = dual_supervised(r, &k, d->zl[i], d->labels, &dice[i]);
    pv_run_log(r, "loss_sup_a", l[0]);
    pv_run_log(r, "loss_sup_b", l[1]);
    double cr = pv_run_opt(r, "w_cr"), unit = pv_run_opt(r, "ramp_unit");
    if (cr > 0) {
        pv_tensor *m = dual_disagree(r->tape, &k, d->zl[0], d->zl[1], d->labels, 0, false);
        for (int i = 0; i < 2; i++) {
            w[n] = (float)cr;
            l[n] = dual_rectify(r->tape, &k, d->zl[i], d->labels, m);
            pv_run_log(r, i ? "loss_cr_b" : "loss_cr_a", l[n++]);
        }
    }
    if (pv_run_opt(r, "consistency") > 0) {
        double ramp = pv_ramp_gauss_steps(r->iter, pv_run_opt(r, "rampup") / unit, unit);
        w[n] = (float)(pv_run_opt(r, "consistency") * ramp);
        pv_run_log_value(r, "consistency_weight", w[n]);
        l[n] = teach(r->tape, &k, d->zu, dice, pv_run_opt(r, "temperature"));
        pv_run_log(r, "loss_consistency", l[n++]);
    }
    pv_tensor *loss = pv_keep(&k, pv_scalar_sum(r->tape, n, l, w, NULL));
    pv_run_log(r, "loss", loss);
    dual_end(d);
    pv_run_backward_end(r, &k, loss);
    pv_run_step(r, NULL);
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    return dual_predict(r, &((struct mcf *)r->state)->d, image);
}

const struct pv_method pv_method_mcf = {
    .name = "mcf", .summary = "two networks, the better one on labelled images teaches the other", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct mcf), .init = init, .step = step, .predict = predict,
};

/* ---- named losses ---- */

static const struct pv_named_arg args[] = {
    {"a", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "A's logits of unlabelled images"},
    {"b", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "B's"},
    {"dice_a", PV_ARG_FLAT, "[1]", false, false, "A's Dice loss on labelled images"},
    {"dice_b", PV_ARG_FLAT, "[1]", false, false, "B's"}, {0}};
static const struct pv_named_opt named_opts[] = {{"temperature", 0.1, NULL, "of the sharpening"}, {0}};

static void consistency(struct pv_named_call *c)
{
    pv_tensor *z[] = {pv_named_in(c, "a"), pv_named_in(c, "b")};
    pv_tensor *dice[] = {pv_named_in(c, "dice_a"), pv_named_in(c, "dice_b")};
    pv_named_out(c, "loss", teach(c->tape, &c->scope, z, dice, pv_named_num(c, "temperature")));
}

static const struct pv_named_loss loss_consistency = {"mcf.consistency",
    "squared difference of the loser's softmax to the winner's sharpened one (MCF)", args, named_opts, consistency};

const struct pv_named_loss *const pv_named_mcf[] = {&loss_consistency, NULL};
