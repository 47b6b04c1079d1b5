/* SPDX-License-Identifier: Apache-2.0
 * UA-MT (Yu and others, MICCAI 2019; methods.md 9.5): a mean teacher whose consistency counts where the teacher is
 * certain. T passes of the teacher with dropout and input noise, two at a time as in the public code, give a mean
 * probability p and its entropy H = -sum_c p_c ln(p_c + 1e-6); a voxel counts where
 *     H < (threshold + (1 - threshold) ramp(iter, t_max)) ln C.
 * Consistency: sum m |softmax(student) - target|^2 / (C sum m + 1e-16); the target is one more noisy pass of the
 * teacher (public code), or p. */
#include <math.h>
#include <stdio.h>

#include "method/model.h"
#include "method/named.h"
#include "ops/map.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

struct uamt { struct model m; enum pv_dice_form dice; };

static const struct pv_method_opt opts[] = {
    MODEL_OPT_EMA,
    MODEL_OPTS_WEIGHT(0.1, 6000),
    MODEL_OPTS_NOISE,
    MODEL_OPT_DICE("sq"),
    {"passes", 8, NULL, false, "T: passes of the teacher that measure its uncertainty, an even number"},
    {"threshold", 0.75, NULL, false, "share of the largest entropy below which a voxel counts, at the start"},
    {"threshold_rampup", 0, NULL, true, "iterations until all of it counts (Gaussian ramp); 0: the whole run"},
    {"target", 0, "pass", false, "pass: one more pass of the teacher (public code); mean: the mean of the T passes",
     .words = "pass, mean"},
    {0}};

static bool init(struct pv_run *r)
{
    struct uamt *s = r->state;
    double n = pv_run_opt(r, "passes");
    if (!(n >= 2 && n <= 64 && fmod(n, 2) == 0))
        return pv_fail(PV_FAULT_USAGE, "method_options.passes of uamt is an even number from 2 to 64, not %g", n);
    return model_dice(r, &s->dice) && model_needs(r, 1) && model_init(r, &s->m, NULL);
}

/* sum (NULL: 0) + the n samples of each pass in p [passes * n][C]. */
static pv_tensor *add_passes(pv_tape *t, struct pv_scope *s, pv_tensor *sum, pv_tensor *p, int n)
{
    for (int i = 0; p && i < p->h.n / n; i++) {
        pv_tensor *one = pv_keep(s, pv_tensor_samples(p, i * n, n));
        sum = sum ? pv_keep(s, pv_binary(t, PV_ADD, sum, one)) : one;
    }
    return sum;
}

/* 1 where the entropy of p is below share * ln C. */
static pv_tensor *certain(pv_tape *t, struct pv_scope *s, pv_tensor *p, double share)
{
    if (!p)
        return NULL;
    pv_tensor *h = pv_keep(s, pv_entropy(t, p, PV_ENTROPY_NAT, 1e-6f));
    pv_tensor *high = pv_keep(s, pv_unary(t, PV_GE, h, (float)(share * log(p->h.c)), 0));
    return pv_keep(s, pv_unary(t, PV_SCALE, high, -1, 1));
}

static pv_tensor *uncertainty_passes(struct pv_run *r, struct pv_scope *k, const struct model *m, pv_tensor *x)
{
    int passes = (int)pv_run_opt(r, "passes");
    pv_tensor *sum = NULL, *twice = pv_keep(k, pv_concat_samples(r->tape, 2, (pv_tensor *[]){x, x}));
    for (int i = 0; x && i < passes / 2; i++) {
        struct pv_scope in = {0};
        char name[32];
        snprintf(name, sizeof name, "noise_%d", i);
        pv_tensor *noisy = model_noisy(r, &in, name, twice, (uint32_t)(10 + 2 * i));
        pv_tensor *p = model_teach(r, &in, m, noisy, (uint32_t)(11 + 2 * i));
        sum = pv_keep(k, pv_tensor_ref(add_passes(r->tape, &in, sum, p, x->h.n)));
        pv_scope_end(&in);
    }
    return pv_keep(k, pv_unary(r->tape, PV_SCALE, sum, 1.0f / (float)passes, 0));
}

static pv_tensor *consistency(struct pv_run *r, struct pv_scope *k, const struct model *m, pv_tensor *x, pv_tensor *zu)
{
    double from = pv_run_opt(r, "threshold"), t_max = pv_run_opt(r, "threshold_rampup");
    double share = from + (1 - from) * pv_ramp_gauss((double)r->iter, t_max > 0 ? t_max : (double)r->iters);
    r->tape->recording = false;
    pv_tensor *mean = uncertainty_passes(r, k, m, x), *kept = certain(r->tape, k, mean, share), *target = mean;
    if (pv_run_opt_is(r, "target", "pass"))
        target = model_teach(r, k, m, model_noisy(r, k, "noise", x, 1), 2);
    if (kept)
        pv_run_log(r, "kept", pv_keep(k, pv_mean_of(r->tape, kept, NULL)));
    r->tape->recording = true;
    return pv_loss_prob_mse_kept(r->tape, k, zu, target, kept);
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    const struct uamt *s = r->state;
    struct pv_scope k = {0};
    struct model_pass p;
    float w[2] = {1};
    int n = 1;
    model_student(r, &k, &s->m, b->image, b->label, b->num_labeled, 3, 0, &p);
    pv_tensor *l[2] = {pv_loss_supervised(r, &k, p.zl, p.labels, s->dice, NULL, NULL)};
    pv_run_log(r, "loss_sup", l[0]);
    if (pv_run_opt(r, "consistency") > 0) {
        pv_tensor *x = pv_keep(&k, pv_tensor_samples(b->image, b->num_labeled, b->num_unlabeled));
        w[n] = (float)model_weight(r);
        l[n] = consistency(r, &k, &s->m, x, p.zu);
        pv_run_log(r, "loss_consistency", l[n++]);
    }
    model_end(r, &k, &s->m, &p, n, l, w);
}

const struct pv_method pv_method_uamt = {
    .name = "uamt", .summary = "Mean Teacher where several noisy passes of the teacher are certain", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct uamt), .init = init, .step = step, .predict = model_predict,
};

/* ---- named losses ---- */

static const struct pv_named_arg args[] = {
    {"student", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "student's logits"},
    {"teacher", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "teacher's logits, the target"},
    {"passes", PV_ARG_PLAIN, "[T n, classes, x, y, z]", false, false, "logits of T passes, one after the other"},
    {0}};
static const struct pv_named_opt named_opts[] = {
    {"threshold", 0.75, NULL, "share of ln C below which H counts"},
    {"target", 0, "pass", "pass: softmax of teacher; mean: of the passes"}, {0}};

static void eval_consistency(struct pv_named_call *c)
{
    pv_tape *t = c->tape;
    pv_tensor *student = pv_named_in(c, "student"), *passes = pv_named_in(c, "passes");
    if (!student || !passes || passes->h.n % student->h.n)
        return;
    t->recording = false;
    pv_tensor *p = pv_keep(&c->scope, pv_softmax(t, passes));
    pv_tensor *sum = add_passes(t, &c->scope, NULL, p, student->h.n);
    pv_tensor *mean = pv_keep(&c->scope, pv_unary(t, PV_SCALE, sum, (float)student->h.n / (float)passes->h.n, 0));
    pv_tensor *kept = certain(t, &c->scope, mean, pv_named_num(c, "threshold"));
    pv_tensor *target = pv_named_is(c, "target", "mean") ? mean
                        : pv_keep(&c->scope, pv_softmax(t, pv_named_in(c, "teacher")));
    t->recording = true;
    pv_named_out(c, "loss", pv_loss_prob_mse_kept(t, &c->scope, student, target, kept));
    pv_named_out(c, "kept", kept);
}

static const struct pv_named_loss loss_consistency = {"uamt.consistency",
    "squared difference of softmax maps where the mean of the teacher's passes is certain (UA-MT)", args,
    named_opts, eval_consistency};

const struct pv_named_loss *const pv_named_uamt[] = {&loss_consistency, NULL};
