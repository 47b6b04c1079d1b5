/* SPDX-License-Identifier: Apache-2.0
 * AC-MT, ambiguity-consensus mean teacher (Xu and others, Medical Image Analysis 2023; methods.md 9.5), its entropy
 * variant: a mean teacher whose consistency counts only where the student is unsure. With the student's normalised
 * entropy h = -sum_c p_c ln(p_c + 1e-6) / ln C a voxel counts where
 *     h >= threshold + (threshold_to - threshold) ramp(iter, t_max),
 * without gradient through the choice. Consistency: sum m |p - q|^2 / (C sum m + 1e-16), q the teacher's softmax of the
 * images with noise; nothing if no voxel counts. */
#include "method/model.h"
#include "method/named.h"
#include "ops/map.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/softmax.h"

struct acmt { struct model m; enum pv_dice_form dice; };

static const struct pv_method_opt opts[] = {
    MODEL_OPT_EMA,
    MODEL_OPTS_WEIGHT(0.1, 6000),
    MODEL_OPTS_NOISE,
    MODEL_OPT_DICE("mc"),
    {"threshold", 0.75, NULL, false, "normalised entropy from which a voxel counts, at the start"},
    {"threshold_to", 0.95, NULL, false, "and at the end (public code; 0.60 was its first choice)"},
    {"threshold_rampup", 0, NULL, true, "iterations in between (Gaussian ramp); 0: the whole run"},
    {0}};

static bool init(struct pv_run *r)
{
    struct acmt *s = r->state;
    return model_dice(r, &s->dice) && model_needs(r, 1) && model_init(r, &s->m, NULL);
}

/* 1 where the entropy of the softmax of z is `share` or more of ln C. A constant. */
static pv_tensor *ambiguous(pv_tape *t, struct pv_scope *s, pv_tensor *z, double share)
{
    bool recording = t->recording;
    t->recording = false;
    pv_tensor *p = pv_keep(s, pv_softmax(t, z));
    pv_tensor *h = pv_keep(s, pv_entropy(t, p, PV_ENTROPY_NORMALISED, 1e-6f));
    pv_tensor *m = pv_keep(s, pv_unary(t, PV_GE, h, (float)share, 0));
    t->recording = recording;
    return m;
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    const struct acmt *s = r->state;
    struct pv_scope k = {0};
    struct model_pass p;
    float w[2] = {1};
    int n = 1;
    model_student(r, &k, &s->m, b->image, b->label, b->num_labeled, 3, 0, &p);
    pv_tensor *l[2] = {pv_loss_supervised(r, &k, p.zl, p.labels, s->dice, NULL, NULL)};
    pv_run_log(r, "loss_sup", l[0]);
    if (pv_run_opt(r, "consistency") > 0) {
        double from = pv_run_opt(r, "threshold"), to = pv_run_opt(r, "threshold_to");
        double t_max = pv_run_opt(r, "threshold_rampup");
        double ramp = pv_ramp_gauss((double)r->iter, t_max > 0 ? t_max : (double)r->iters);
        pv_tensor *x = pv_keep(&k, pv_tensor_samples(b->image, b->num_labeled, b->num_unlabeled));
        pv_tensor *target = model_teach(r, &k, &s->m, model_noisy(r, &k, "noise", x, 1), 2);
        pv_tensor *m = ambiguous(r->tape, &k, p.zu, from + (to - from) * ramp);
        w[n] = (float)model_weight(r);
        l[n] = pv_loss_prob_mse_kept(r->tape, &k, p.zu, target, m);
        pv_run_log(r, "loss_consistency", l[n++]);
        pv_run_log(r, "kept", pv_keep(&k, pv_mean_of(r->tape, m, NULL)));
    }
    model_end(r, &k, &s->m, &p, n, l, w);
}

const struct pv_method pv_method_acmt = {
    .name = "acmt", .summary = "Mean Teacher where the student is unsure (entropy variant of AC-MT)", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct acmt), .init = init, .step = step, .predict = model_predict,
};

/* ---- named losses ---- */

static const struct pv_named_arg args[] = {
    {"student", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "student's logits"},
    {"teacher", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "teacher's logits"},
    {0}};
static const struct pv_named_opt named_opts[] = {
    {"threshold", 0.75, NULL, "normalised entropy from which a voxel counts"}, {0}};

static void eval_consistency(struct pv_named_call *c)
{
    pv_tape *t = c->tape;
    pv_tensor *student = pv_named_in(c, "student"), *kept;
    kept = ambiguous(t, &c->scope, student, pv_named_num(c, "threshold"));
    t->recording = false;
    pv_tensor *target = pv_keep(&c->scope, pv_softmax(t, pv_named_in(c, "teacher")));
    t->recording = true;
    pv_named_out(c, "loss", pv_loss_prob_mse_kept(t, &c->scope, student, target, kept));
    pv_named_out(c, "kept", kept);
}

static const struct pv_named_loss loss_consistency = {"acmt.consistency",
    "squared difference of softmax maps where the student's entropy is high (AC-MT)", args, named_opts,
    eval_consistency};

const struct pv_named_loss *const pv_named_acmt[] = {&loss_consistency, NULL};
