/* SPDX-License-Identifier: Apache-2.0
 * Mean Teacher (Tarvainen and Valpola 2017) in the form of the UA-MT and SSL4MIS protocols (methods.md 9.5): one
 * forward of the student over the labelled and the unlabelled samples together; the teacher, an exponential moving
 * average of the student, sees the unlabelled samples plus clamp(0.1 N(0, 1), -0.2, 0.2); consistency is the mean
 * squared difference of the two softmax maps, weighted by 0.1 ramp(iter // 150, rampup // 150). The teacher runs in
 * training mode (its own batch statistics and dropout). The student is evaluated. */
#include "method/model.h"
#include "ops/scalar.h"

static const struct pv_method_opt opts[] = {
    MODEL_OPT_EMA,
    MODEL_OPTS_WEIGHT(0.1, 6000),
    MODEL_OPTS_NOISE,
    {0}};

static bool init(struct pv_run *r) { return model_init(r, r->state, NULL); }

static void step(struct pv_run *r, const struct pv_patches *b)
{
    const struct model *m = r->state;
    struct pv_scope k = {0};
    struct model_pass p;
    pv_tensor *unlabeled = pv_keep(&k, pv_tensor_samples(b->image, b->num_labeled, b->num_unlabeled));
    pv_tensor *target = model_teach(r, &k, m, model_noisy(r, &k, "noise", unlabeled, 1), 2);
    model_student(r, &k, m, b->image, b->label, b->num_labeled, 3, 0, &p);
    pv_tensor *sup = pv_loss_supervised(r, &k, p.zl, p.labels, PV_DICE_SQ, NULL, NULL);
    pv_tensor *cons = pv_loss_prob_mse(r->tape, &k, p.zu, target);
    float w[] = {1, (float)model_weight(r)};
    pv_tensor *loss = pv_keep(&k, pv_scalar_sum(r->tape, 2, (pv_tensor *[]){sup, cons}, w, NULL));
    pv_run_log(r, "loss", loss);
    pv_run_log(r, "loss_sup", sup);
    pv_run_log(r, "loss_consistency", cons);
    model_forget(&p);
    pv_run_backward_end(r, &k, loss);
    model_move(r, m);
}

const struct pv_method pv_method_mt = {
    .name = "mt", .summary = "Mean Teacher: consistency with a moving average of the student", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct model), .init = init, .step = step, .predict = model_predict,
};
