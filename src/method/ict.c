/* SPDX-License-Identifier: Apache-2.0
 * ICT, interpolation consistency (Verma and others, IJCAI 2019; methods.md 9.5) in the 3D form of SSL4MIS: the first
 * half of the unlabelled images is mixed with the second, u = (1 - l) u_0 + l u_1, l ~ Beta(alpha, alpha) for each
 * pair; the student's softmax of u is compared with the mixed softmax maps of the teacher, which sees u_0 and u_1 in
 * passes of their own, without noise:
 *     half (CE + Dice) + w(t) mean |p_S(u) - (1 - l) p_T(u_0) - l p_T(u_1)|^2. */
#include "method/model.h"
#include "method/named.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

struct ict { struct model m; enum pv_dice_form dice; };

static const struct pv_method_opt opts[] = {
    MODEL_OPT_EMA,
    MODEL_OPTS_WEIGHT(0.1, 6000),
    MODEL_OPT_DICE("mc"),
    {"alpha", 0.2, NULL, false, "mixing ratios are Beta(alpha, alpha)"},
    {0}};

static bool init(struct pv_run *r)
{
    struct ict *s = r->state;
    if (!(pv_run_opt(r, "alpha") > 0))
        return pv_fail(PV_FAULT_USAGE, "method_options.alpha of ict must be above 0");
    return model_dice(r, &s->dice) && model_needs(r, 2) && model_init(r, &s->m, NULL);
}

/* The student's input: labelled images, then mixed pairs; *target: the mixed maps of the teacher. */
static pv_tensor *mixed_batch(struct pv_run *r, struct pv_scope *k, const struct model *m, const struct pv_patches *b,
                              pv_tensor **target)
{
    double share[2][32];
    int pairs = pv_min(b->num_unlabeled / 2, 32);
    pv_tensor *u[2], *p[2];
    pv_run_betas(r, "mix", pairs, pv_run_opt(r, "alpha"), pv_run_opt(r, "alpha"), share[1]);
    for (int i = 0; i < pairs; i++)
        share[0][i] = 1 - share[1][i];
    for (int i = 0; i < 2; i++) {
        u[i] = pv_keep(k, pv_tensor_samples(b->image, b->num_labeled + i * pairs, pairs));
        p[i] = model_teach(r, k, m, u[i], (uint32_t)i + 1);
    }
    *target = model_mix(r, k, p[0], p[1], share[0]);
    pv_tensor *mixed = model_mix(r, k, u[0], u[1], share[0]);
    pv_tensor *labeled = pv_keep(k, pv_tensor_samples(b->image, 0, b->num_labeled));
    return pv_keep(k, pv_concat_samples(r->tape, 2, (pv_tensor *[]){labeled, mixed}));
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    const struct ict *s = r->state;
    struct pv_scope k = {0};
    struct model_pass p;
    bool mix = pv_run_opt(r, "consistency") > 0;
    pv_tensor *l[2], *target = NULL, *x = mix ? mixed_batch(r, &k, &s->m, b, &target)
                                              : pv_keep(&k, pv_tensor_samples(b->image, 0, b->num_labeled));
    float w[2] = {1};
    int n = 1;
    model_student(r, &k, &s->m, x, b->label, b->num_labeled, 3, 0, &p);
    l[0] = pv_loss_supervised(r, &k, p.zl, p.labels, s->dice, NULL, NULL);
    pv_run_log(r, "loss_sup", l[0]);
    if (mix) {
        w[n] = (float)model_weight(r);
        l[n] = pv_loss_prob_mse(r->tape, &k, p.zu, target);
        pv_run_log(r, "loss_consistency", l[n++]);
    }
    model_end(r, &k, &s->m, &p, n, l, w);
}

const struct pv_method pv_method_ict = {
    .name = "ict", .summary = "interpolation consistency: mixed unlabelled images, mixed predictions", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct ict), .init = init, .step = step, .predict = model_predict,
};

/* ---- named losses ---- */

static const struct pv_named_arg args[] = {
    {"student", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "student's logits of mixed images"},
    {"first", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "teacher's logits of u_0"},
    {"second", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "teacher's logits of u_1"},
    {0}};
static const struct pv_named_opt named_opts[] = {{"mix", 0.5, NULL, "l, the share of u_1"}, {0}};

static void eval_consistency(struct pv_named_call *c)
{
    pv_tape *t = c->tape;
    struct pv_run r = {.tape = t, .dev = t->dev};
    double share[64];
    for (int i = 0; i < 64; i++)
        share[i] = 1 - pv_named_num(c, "mix");
    t->recording = false;
    pv_tensor *p = pv_keep(&c->scope, pv_softmax(t, pv_named_in(c, "first")));
    pv_tensor *q = pv_keep(&c->scope, pv_softmax(t, pv_named_in(c, "second")));
    t->recording = true;
    pv_tensor *target = model_mix(&r, &c->scope, p, q, share);
    pv_named_out(c, "loss", pv_loss_prob_mse(t, &c->scope, pv_named_in(c, "student"), target));
}

static const struct pv_named_loss loss_consistency = {"ict.consistency",
    "squared difference of the student's softmax to mixed softmax maps of the teacher (ICT)", args, named_opts,
    eval_consistency};

const struct pv_named_loss *const pv_named_ict[] = {&loss_consistency, NULL};
