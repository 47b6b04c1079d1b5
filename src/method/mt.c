/* SPDX-License-Identifier: Apache-2.0
 * Mean Teacher (Tarvainen and Valpola 2017) in the form of the UA-MT and SSL4MIS protocols (methods.md 9.5): one
 * forward of the student over the labelled and the unlabelled samples together; the teacher, an exponential moving
 * average of the student, sees the unlabelled samples plus clamp(0.1 N(0, 1), -0.2, 0.2); consistency is the mean
 * squared difference of the two softmax maps, weighted by 0.1 ramp(iter // 150, rampup // 150). The teacher runs in
 * training mode (its own batch statistics and dropout). The student is evaluated. */
#include "method/losses.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

struct mt { pv_net *student, *teacher; };

static const struct pv_method_opt opts[] = {
    {"ema", 0.99, NULL, false, "alpha of the teacher's moving average, min(1 - 1/(iter + 1), alpha)"},
    {"consistency", 0.1, NULL, false, "largest weight of the consistency loss"},
    {"rampup", 6000, NULL, true, "iterations until that weight is reached (Gaussian ramp)"},
    {"ramp_unit", 150, NULL, true, "the ramp moves every so many iterations"},
    {"noise", 0.1, NULL, false, "standard deviation of the teacher's input noise"},
    {"noise_clip", 0.2, NULL, false, "noise is clipped to this"},
    {0}};

static bool init(struct pv_run *r)
{
    struct mt *s = r->state;
    s->student = pv_run_add_net(r, "student", true, NULL);
    s->teacher = pv_run_add_net(r, "teacher", false, NULL);
    return s->student && s->teacher;
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    struct mt *s = r->state;
    struct pv_scope k = {0};
    pv_tape *t = r->tape;
    struct pv_net_out so = {0}, to = {0};
    int nl = b->num_labeled, nu = b->num_unlabeled;

    pv_tensor *unlabeled = pv_keep(&k, pv_tensor_samples(b->image, nl, nu));
    pv_tape_pass(t, 1);
    pv_tensor *noisy = pv_keep(&k, pv_run_noise(r, "noise", unlabeled, pv_run_opt(r, "noise"),
                                                pv_run_opt(r, "noise_clip")));
    t->recording = false;
    pv_run_forward(r, s->teacher, noisy, 2, PV_NET_TRAIN | PV_NET_DROPOUT, 0, &to);
    pv_tensor *target = pv_keep(&k, pv_softmax(t, to.logits));
    t->recording = true;

    pv_run_forward(r, s->student, b->image, 3, PV_NET_TRAIN | PV_NET_DROPOUT, 0, &so);
    pv_tensor *ll = pv_keep(&k, pv_slice_samples(t, so.logits, 0, nl));
    pv_tensor *lu = pv_keep(&k, pv_slice_samples(t, so.logits, nl, nu));
    pv_tensor *labels = pv_keep(&k, pv_tensor_samples(b->label, 0, nl));
    pv_tensor *sup = pv_loss_supervised(r, &k, ll, labels, PV_DICE_SQ, NULL, NULL);
    pv_tensor *cons = pv_loss_prob_mse(t, &k, lu, target);
    double w = pv_run_opt(r, "consistency") *
               pv_ramp_gauss_steps(r->iter, pv_run_opt(r, "rampup") / pv_run_opt(r, "ramp_unit"),
                                   pv_run_opt(r, "ramp_unit"));
    pv_tensor *loss = pv_keep(&k, pv_scalar_sum(t, 2, (pv_tensor *[]){sup, cons}, (float[]){1, (float)w}, NULL));
    pv_run_log(r, "loss", loss);
    pv_run_log(r, "loss_sup", sup);
    pv_run_log(r, "loss_consistency", cons);
    pv_run_log_value(r, "consistency_weight", w);
    pv_net_out_free(&so);
    pv_net_out_free(&to);

    pv_run_backward(r, loss);
    pv_run_step(r, s->student);
    pv_run_ema(r, s->teacher, s->student, pv_ema_alpha(r->iter, pv_run_opt(r, "ema")));
    pv_scope_end(&k);
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    struct mt *s = r->state;
    struct pv_net_out o;
    if (!pv_run_forward(r, s->student, image, 0, 0, 0, &o))
        return NULL;
    pv_tensor *p = pv_softmax(r->tape, o.logits);
    pv_net_out_free(&o);
    return p;
}

const struct pv_method pv_method_mt = {
    .name = "mt", .summary = "Mean Teacher: consistency with a moving average of the student", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct mt), .init = init, .step = step, .predict = predict,
};
