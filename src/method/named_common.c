/* SPDX-License-Identifier: Apache-2.0
 * Named losses that belong to no single method. */
#include "method/losses.h"
#include "method/named.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

static const struct pv_named_arg sup_args[] = {
    {"logits", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "network output before softmax"},
    {"labels", PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, "class numbers; 255 is ignored"},
    {0}};
static const struct pv_named_opt sup_opts[] = {
    {"dice", 0, "sq", "form of the Dice loss: sq, lin, mask or mc"},
    {0}};

static void supervised(struct pv_named_call *c)
{
    struct pv_run r = {.tape = c->tape};
    enum pv_dice_form form = pv_named_is(c, "dice", "lin") ? PV_DICE_LIN : pv_named_is(c, "dice", "mask") ? PV_DICE_MASK
                             : pv_named_is(c, "dice", "mc") ? PV_DICE_MC : PV_DICE_SQ;
    pv_tensor *ce, *dice;
    pv_tensor *loss = pv_loss_supervised(&r, &c->scope, pv_named_in(c, "logits"), pv_named_in(c, "labels"), form, &ce,
                                         &dice);
    pv_named_out(c, "loss", loss);
    pv_named_out(c, "ce", ce);
    pv_named_out(c, "dice", dice);
}

static const struct pv_named_arg mt_args[] = {
    {"student", PV_ARG_PLAIN, "[n, classes, x, y, z]", true, false, "student's logits"},
    {"teacher", PV_ARG_PLAIN, "[n, classes, x, y, z]", false, false, "teacher's logits"},
    {0}};

static void consistency(struct pv_named_call *c)
{
    c->tape->recording = false;
    pv_tensor *target = pv_keep(&c->scope, pv_softmax(c->tape, pv_named_in(c, "teacher")));
    c->tape->recording = true;
    pv_named_out(c, "loss", pv_loss_prob_mse(c->tape, &c->scope, pv_named_in(c, "student"), target));
}

static const struct pv_named_loss
    loss_supervised = {"supervised", "(CE + Dice) / 2 of sup, mt and their relatives (methods.md 9.5)", sup_args,
                       sup_opts, supervised},
    loss_consistency = {"mt.consistency", "mean squared difference of softmax maps (Tarvainen and Valpola 2017)",
                        mt_args, NULL, consistency};

const struct pv_named_loss *const pv_named_common[] = {&loss_supervised, &loss_consistency, NULL};
