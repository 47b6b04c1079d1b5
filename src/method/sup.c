/* SPDX-License-Identifier: Apache-2.0
 * Supervised only: the baseline of every comparison. The same trainer with the unlabelled data left out; loss
 * half (cross-entropy + Dice). */
#include "method/model.h"

struct sup { pv_net *net; };

static bool init(struct pv_run *r)
{
    struct sup *s = r->state;
    s->net = pv_run_add_net(r, "student", true, NULL);
    return s->net != NULL;
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    struct sup *s = r->state;
    struct pv_scope k = {0};
    struct pv_net_out o;
    pv_run_forward(r, s->net, b->image, 0, PV_NET_TRAIN | PV_NET_DROPOUT, 0, &o);
    pv_tensor *ce = NULL, *dice = NULL;
    pv_tensor *loss = pv_loss_supervised(r, &k, o.logits, b->label, PV_DICE_SQ, &ce, &dice);
    pv_run_log(r, "loss", loss);
    pv_run_log(r, "loss_ce", ce);
    pv_run_log(r, "loss_dice", dice);
    pv_net_out_free(&o);
    pv_run_backward_end(r, &k, loss);
    pv_run_step(r, NULL);
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    return model_probabilities(r, ((struct sup *)r->state)->net, image);
}

const struct pv_method pv_method_sup = {
    .name = "sup", .summary = "supervised only, labelled cases alone", .state_size = sizeof(struct sup), .init = init,
    .step = step, .predict = predict,
};
