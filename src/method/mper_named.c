/* SPDX-License-Identifier: Apache-2.0
 * Named losses of MPER. */
#include "method/mper.h"
#include "method/named.h"
#include "ops/map.h"

#define FEATURES {"f", PV_ARG_MAP, "[n, d, x, y, z]", true, false, "features z"}
#define PROTOTYPES {"prototypes", PV_ARG_FLAT, "[classes, K, d]", false, false, "p, constants"}
#define LABEL(name, what) {name, PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, what}
#define MASK(name, what) {name, PV_ARG_PLAIN, "[n, 1, x, y, z]", false, false, what}
#define EACH {"each", 3, NULL, "K: prototypes per class"}

/* ---- prototype classifier ---- */

static const struct pv_named_arg proto_args[] = {FEATURES, PROTOTYPES,
    LABEL("outer", "labels of the image outside the box; 255 is ignored"), LABEL("inner", "labels of the image inside"),
    MASK("mask", "1 outside the box, 0 inside"), {0}};
static const struct pv_named_opt proto_opts[] = {EACH, {"tau", 0.1, NULL, "temperature"},
    {"dice", 0, "mask", "mask: per sample and class; mc: squared, over the batch"},
    {"w_outer", 1, NULL, "weight of the part outside the box"}, {"w_inner", 0.5, NULL, "weight of the part inside"},
    {0}};

static void proto(struct pv_named_call *c)
{
    pv_tensor *f = pv_named_in(c, "f"), *p = pv_named_in(c, "prototypes"), *m = pv_named_in(c, "mask");
    const int each = pv_max(1, (int)pv_named_num(c, "each"));
    const struct cp_form form = {pv_named_is(c, "dice", "mc") ? PV_DICE_MC : PV_DICE_MASK, false};
    if (!f || !p)
        return;
    pv_tensor *z = mper_scores(c->tape, &c->scope, f, p, p->h.n / (each * f->h.c), each, pv_named_num(c, "tau"));
    pv_tensor *rest = pv_keep(&c->scope, pv_unary(c->tape, PV_SCALE, m, -1, 1));
    pv_named_out(c, "loss", cp_mix_loss(c->tape, &c->scope, z, pv_named_in(c, "outer"), pv_named_in(c, "inner"), m,
                                        rest, (float)pv_named_num(c, "w_outer"), (float)pv_named_num(c, "w_inner"),
                                        form));
    pv_named_out(c, "scores", z);
}

/* ---- contrast ---- */

static const struct pv_named_arg contrast_args[] = {FEATURES, PROTOTYPES, {0}};
static const struct pv_named_opt contrast_opts[] = {{"tau", 0.1, NULL, "temperature"},
    {"ignore0", 1, NULL, "1: leaves out voxels next to prototype 0 of class 0"}, {0}};

static void contrast(struct pv_named_call *c)
{
    pv_tensor *nearest, *all = mper_cosines(c->tape, &c->scope, pv_named_in(c, "f"), pv_named_in(c, "prototypes"),
                                            pv_named_num(c, "tau"), &nearest);
    pv_named_out(c, "loss", mper_contrast(c->tape, &c->scope, all, nearest, pv_named_num(c, "ignore0") > 0));
    pv_named_out(c, "nearest", nearest);
}

/* ---- update ---- */

static const struct pv_named_arg move_args[] = {
    {"f", PV_ARG_MAP, "[n, d, x, y, z]", false, false, "features z"}, PROTOTYPES, LABEL("label", "the mixed label"),
    MASK("mask", "1 on the labelled part, 0 on the pseudo-labelled one"),
    MASK("sure", "the teacher's largest probability"), {0}};
static const struct pv_named_opt move_opts[] = {EACH, {"eta", 0.99, NULL, "momentum"},
    {"alpha", 0.9, NULL, "least probability of pseudo labels"},
    {"update", 0, "both", "both, labeled, unlabeled"}, {"background", 0, NULL, "1: prototypes of class 0 move too"},
    {0}};

static void move(struct pv_named_call *c)
{
    pv_tensor *p = pv_named_in(c, "prototypes"), *m = pv_named_in(c, "mask"), *nearest;
    const bool both = pv_named_is(c, "update", "both");
    const struct mper_update o = {.each = pv_max(1, (int)pv_named_num(c, "each")), .eta = pv_named_num(c, "eta"),
        .alpha = pv_named_num(c, "alpha"), .labeled = both || pv_named_is(c, "update", "labeled"),
        .pseudo = both || pv_named_is(c, "update", "unlabeled"), .background = pv_named_num(c, "background") > 0};
    if (!p)
        return;
    c->tape->recording = false;
    pv_tensor *rest = pv_keep(&c->scope, pv_unary(c->tape, PV_SCALE, m, -1, 1));
    pv_tensor *moved = pv_keep(&c->scope, pv_tensor_new(p->dev, p->h, PV_F32));
    if (moved)
        pv_tensor_copy(moved, p);
    mper_cosines(c->tape, &c->scope, pv_named_in(c, "f"), p, 1, &nearest);
    mper_move(c->tape, moved, pv_named_in(c, "f"), nearest, pv_named_in(c, "label"), m, rest, pv_named_in(c, "sure"),
              &o);
    c->tape->recording = true;
    pv_named_out(c, "prototypes", moved);
}

static const struct pv_named_loss
    loss_proto = {"mper.proto", "copy-paste loss of the prototype classifier (004 Eq. 1, 4)", proto_args, proto_opts,
                  proto},
    loss_contrast = {"mper.contrast", "cross-entropy of cosines with the nearest as target (004 Eq. 5)", contrast_args,
                     contrast_opts, contrast},
    loss_move = {"mper.update", "moving means of prototypes (004 Eq. 2); no gradient", move_args, move_opts, move};

const struct pv_named_loss *const pv_named_mper[] = {&loss_proto, &loss_contrast, &loss_move, NULL};
