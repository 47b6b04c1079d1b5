/* SPDX-License-Identifier: Apache-2.0
 * BCP, bidirectional copy-paste (Bai and others, CVPR 2023; methods.md 6.1), the base of MPER. Pre-training on
 * labelled images pasted into each other; then two mixtures per step, an unlabelled image inside a labelled one and the
 * other way round, against labels and the teacher's cleaned pseudo labels. The student is evaluated. */
#include "method/copypaste.h"
#include "method/named.h"
#include "ops/map.h"
#include "ops/reduce.h"
#include "ops/scalar.h"

struct bcp { struct cp c; };
enum { PASS_STUDENT = 4 };

static const struct pv_method_opt opts[] = {CP_OPTS, {0}};

static bool init(struct pv_run *r) { return cp_init(r, &((struct bcp *)r->state)->c); }

static bool stage_begin(struct pv_run *r, int stage) { return cp_stage_begin(r, &((struct bcp *)r->state)->c, stage); }

static void step(struct pv_run *r, const struct pv_patches *b)
{
    struct cp *c = &((struct bcp *)r->state)->c;
    if (r->stage == CP_PRETRAIN) {
        cp_pretrain_step(r, c, b);
        return;
    }
    struct pv_scope k = {0};
    struct cp_batch q = {0};
    pv_tensor *l[2] = {NULL, NULL};
    cp_mix_batch(r, &k, c, b, &q);
    for (int i = 0; i < 2; i++) {
        const struct cp_mixture *m = &q.mix[i];
        struct pv_net_out o = {0};
        pv_run_forward(r, c->student, m->image, (uint32_t)(PASS_STUDENT + i), PV_NET_TRAIN | PV_NET_DROPOUT, 0, &o);
        l[i] = cp_mix_loss(r->tape, &k, o.logits, m->outer, m->inner, q.mask, q.rest, m->w_outer, m->w_inner, c->form);
        pv_net_out_free(&o);
    }
    pv_tensor *loss = pv_keep(&k, pv_scalar_sum(r->tape, 2, l, NULL, NULL));
    pv_run_log(r, "loss", loss);
    pv_run_log(r, "loss_l", l[0]);
    pv_run_log(r, "loss_u", l[1]);
    pv_run_backward_end(r, &k, loss);
    pv_run_step(r, c->student);
    cp_teach(r, c);
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    return cp_predict(r, &((struct bcp *)r->state)->c, image);
}

const struct pv_method pv_method_bcp = {
    .name = "bcp", .summary = "bidirectional copy-paste of labelled and unlabelled images", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct bcp), .init = init, .stages = cp_stages,
    .stage_begin = stage_begin, .step = step, .predict = predict,
};

/* ---- named losses ---- */

#define FORM_OPTS \
    {"dice", 0, "mask", "mask: per sample and class; mc: squared, over the batch"}, \
    {"mask_background", 1, NULL, "0: the Dice of class 0 ignores the mask"}

static struct cp_form form_of(const struct pv_named_call *c)
{
    return (struct cp_form){pv_named_is(c, "dice", "mc") ? PV_DICE_MC : PV_DICE_MASK,
                            pv_named_num(c, "mask_background") <= 0};
}

static const struct pv_named_arg mix_args[] = {
    {"z", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "logits of the mixture"},
    {"outer", PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, "labels of the image outside the box; 255 is ignored"},
    {"inner", PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, "labels of the image inside"},
    {"mask", PV_ARG_PLAIN, "[n, 1, x, y, z]", false, false, "1 outside the box, 0 inside"}, {0}};
static const struct pv_named_opt mix_opts[] = {FORM_OPTS, {"w_outer", 1, NULL, "weight of the part outside the box"},
    {"w_inner", 0.5, NULL, "weight of the part inside"}, {0}};

static void mix(struct pv_named_call *c)
{
    pv_tensor *m = pv_named_in(c, "mask");
    pv_tensor *rest = pv_keep(&c->scope, pv_unary(c->tape, PV_SCALE, m, -1, 1));
    pv_named_out(c, "loss", cp_mix_loss(c->tape, &c->scope, pv_named_in(c, "z"), pv_named_in(c, "outer"),
                                        pv_named_in(c, "inner"), m, rest, (float)pv_named_num(c, "w_outer"),
                                        (float)pv_named_num(c, "w_inner"), form_of(c)));
}

static const struct pv_named_arg joint_args[] = {
    {"z", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "logits of the mixture"},
    {"labels", PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, "the mixed label; 255 is ignored"}, {0}};
static const struct pv_named_opt joint_opts[] = {FORM_OPTS, {0}};

static void joint(struct pv_named_call *c)
{
    pv_named_out(c, "loss", cp_joint_loss(c->tape, &c->scope, pv_named_in(c, "z"), pv_named_in(c, "labels"),
                                          form_of(c)));
}

static const struct pv_named_arg pseudo_args[] = {
    {"teacher", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "teacher's logits"}, {0}};
static const struct pv_named_opt pseudo_opts[] = {
    {"largest", 1, NULL, "1: only the largest component of each class stays"}, {0}};

static void pseudo(struct pv_named_call *c)
{
    pv_named_out(c, "labels", cp_pseudo(c->tape, &c->scope, pv_named_in(c, "teacher"),
                                        pv_named_num(c, "largest") > 0));
}

static const struct pv_named_loss
    loss_mix = {"bcp.mix", "half of CE + Dice of either part of a mixture, weighted (methods.md 6.1)", mix_args,
                mix_opts, mix},
    loss_joint = {"bcp.pretrain", "half of CE + Dice of the mixed label (methods.md 6.1)", joint_args, joint_opts,
                  joint},
    loss_pseudo = {"bcp.pseudo", "argmax, largest component of each class and sample; no gradient", pseudo_args,
                   pseudo_opts, pseudo};

const struct pv_named_loss *const pv_named_bcp[] = {&loss_mix, &loss_joint, &loss_pseudo, NULL};
