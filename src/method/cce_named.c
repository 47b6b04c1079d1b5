/* SPDX-License-Identifier: Apache-2.0
 * Named losses of the dual network of paper 003. a and b are the two networks. */
#include "method/cce.h"
#include "method/dual.h"
#include "method/named.h"

#define SHAPE "[n, classes, x, y, z]"
#define LOGITS {"a", PV_ARG_PLAIN, SHAPE, true, false, "A's logits"}, \
               {"b", PV_ARG_PLAIN, SHAPE, true, false, "B's logits"}
#define CONST_LOGITS {"a", PV_ARG_PLAIN, SHAPE, false, false, "A's logits of unlabelled images"}, \
                     {"b", PV_ARG_PLAIN, SHAPE, false, false, "B's"}
#define MAP "[n, channels, x, y, z]"
#define GAMMA {"gamma", 70, NULL, "percentile of the entropies that is their threshold"}

static void sides(struct pv_named_call *c, struct cce_side side[2])
{
    side[0] = (struct cce_side){.z = pv_named_in(c, "a")};
    side[1] = (struct cce_side){.z = pv_named_in(c, "b")};
}

static const struct pv_named_arg cr_args[] = {LOGITS,
    {"labels", PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, "class numbers; 255 is ignored"}, {0}};
static const struct pv_named_opt cr_opts[] = {
    {"sure", 0.6, NULL, "lambda: probability from which a network counts as sure"},
    {"mask", 0, "xor", "xor: exactly one network is sure; or: at least one"}, {0}};

static void cr(struct pv_named_call *c)
{
    pv_tensor *a = pv_named_in(c, "a"), *b = pv_named_in(c, "b"), *y = pv_named_in(c, "labels");
    pv_tensor *m = dual_disagree(c->tape, &c->scope, a, b, y, pv_named_num(c, "sure"), pv_named_is(c, "mask", "or"));
    pv_tensor *la = dual_rectify(c->tape, &c->scope, a, y, m), *lb = dual_rectify(c->tape, &c->scope, b, y, m);
    pv_named_out(c, "mask", m);
    pv_named_out(c, "loss", cce_sum(c->tape, &c->scope, la, lb));
}

static const struct pv_named_arg pair_args[] = {LOGITS, {0}};

static void cps(struct pv_named_call *c)
{
    struct cce_side side[2];
    sides(c, side);
    cce_sides(c->tape, &c->scope, side, 50);
    pv_named_out(c, "loss", cce_cps(c->tape, &c->scope, side));
}

static const struct pv_named_opt efs_opts[] = {GAMMA,
    {"ignore", 0, "or", "or: a voxel is left out where one entropy is high; and: where both are"},
    {"label", 0, "cross", "cross: the other network's; own; union of both foregrounds"}, {0}};

static void efs(struct pv_named_call *c)
{
    struct cce_side side[2];
    pv_tensor *kept = NULL;
    sides(c, side);
    cce_sides(c->tape, &c->scope, side, pv_named_num(c, "gamma"));
    pv_named_out(c, "loss", cce_efs(c->tape, &c->scope, side, pv_named_is(c, "label", "own") ? CCE_OWN
                                    : pv_named_is(c, "label", "union") ? CCE_UNION : CCE_CROSS,
                                    pv_named_is(c, "ignore", "and"), &kept));
    pv_named_out(c, "kept", kept);
    pv_named_out(c, "tau_a", side[0].tau);
    pv_named_out(c, "tau_b", side[1].tau);
}

static const struct pv_named_arg une_args[] = {
    {"p", PV_ARG_PLAIN, SHAPE, true, false, "logits of the network that is trained"},
    {"q", PV_ARG_PLAIN, SHAPE, false, false, "logits of the other"}, {0}};
static const struct pv_named_opt une_opts[] = {{"label", 0, "soft", "soft, or hard: argmax of q"},
    {"temperature", 0.5, NULL, "of the soft labels"}, {"detach", 0, NULL, "1: no gradient through the weight"}, {0}};

static void une(struct pv_named_call *c)
{
    struct cce_une o = {pv_named_num(c, "temperature"), pv_named_is(c, "label", "hard"), pv_named_num(c, "detach") > 0};
    pv_named_out(c, "loss", cce_une(c->tape, &c->scope, pv_named_in(c, "p"), pv_named_in(c, "q"), o));
}

static const struct pv_named_arg pgl_args[] = {CONST_LOGITS,
    {"f", PV_ARG_MAP, MAP, true, false, "features of the network that is trained"}, {0}};
static const struct pv_named_opt pgl_opts[] = {GAMMA, {"net", 0, "a", "which network f belongs to: a or b"},
    {"normalise", 1, NULL, "1: features and prototypes of unit length"},
    {"separation", 1, NULL, "weight of the distance of the prototypes"},
    {"live", 0, NULL, "1: that distance has gradients"}, {0}};

static void pgl(struct pv_named_call *c)
{
    struct cce_side side[2];
    int i = pv_named_is(c, "net", "b");
    sides(c, side);
    side[i].f = pv_named_in(c, "f");
    cce_sides(c->tape, &c->scope, side, pv_named_num(c, "gamma"));
    struct cce_pgl o = {pv_named_num(c, "normalise") > 0, pv_named_num(c, "live") > 0, pv_named_num(c, "separation")};
    pv_named_out(c, "loss", cce_pgl(c->tape, &c->scope, side, i, o));
}

static void cosine(struct pv_named_call *c)
{
    pv_named_out(c, "loss", cce_cosine(c->tape, &c->scope, pv_named_in(c, "a"), pv_named_in(c, "b")));
}

static const struct pv_named_loss
    loss_cr = {"cce.cr", "squared error where only one network is sure, both networks (003 Eq. 5, 6; MCF)", cr_args,
               cr_opts, cr},
    loss_cps = {"cce.cps", "cross-entropy against the other network's argmax, both ways (003 Eq. 8)", pair_args, NULL,
                cps},
    loss_efs = {"cce.efs", "the same on voxels of low entropy (003 Eq. 9-11)", pair_args, efs_opts, efs},
    loss_une = {"cce.une", "mean of exp(-KL) CE + KL (003 Eq. 13-15)", une_args, une_opts, une},
    loss_pgl = {"cce.pgl", "distance of uncertain features to prototypes of reliable ones (003 Eq. 16-20)", pgl_args,
                pgl_opts, pgl},
    loss_cosine = {"cce.cosine", "mean of 1 - cosine of both softmax maps (public code of 003)", pair_args, NULL,
                   cosine};

const struct pv_named_loss *const pv_named_cce[] = {&loss_cr, &loss_cps, &loss_efs, &loss_une, &loss_pgl,
    &loss_cosine, NULL};
