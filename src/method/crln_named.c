/* SPDX-License-Identifier: Apache-2.0
 * Named losses of CRLN. l: labelled images, u: strong views of unlabelled ones. */
#include "method/crln.h"
#include "method/named.h"
#include "ops/scalar.h"

#define SHAPE "[n, classes, x, y, z]"
#define ONE "[n, 1, x, y, z]"
#define LABELS {"labels", PV_ARG_LABEL, ONE, false, false, "class numbers; 255 is ignored"}
#define CUE {"cue", PV_ARG_PLAIN, SHAPE, true, false, "map M of the dynamic interaction, at least 0"}

/* ---- supervised ---- */

static const struct pv_named_arg sup_args[] = {{"z", PV_ARG_PLAIN, SHAPE, true, false, "student's logits"}, CUE, LABELS,
                                               {0}};
static const struct pv_named_opt sup_opts[] = {{"w_map", 1, NULL, "weight of M's own loss"}, {0}};

static void sup(struct pv_named_call *c)
{
    pv_tensor *y = pv_named_in(c, "labels"), *l[2];
    l[0] = crln_segment(c->tape, &c->scope, pv_named_in(c, "z"), y);
    l[1] = crln_segment(c->tape, &c->scope, pv_named_in(c, "cue"), y);
    float w[] = {1, (float)pv_named_num(c, "w_map")};
    pv_named_out(c, "loss", pv_keep(&c->scope, pv_scalar_sum(c->tape, 2, l, w, NULL)));
}

/* ---- the rectifier ---- */

static const struct pv_named_arg op_args[] = {{"z", PV_ARG_PLAIN, SHAPE, true, false, "logits"}, CUE,
    {"a", PV_ARG_FLAT, "[1]", true, false, "the rectifier's scalar"}, LABELS, {0}};

static void op(struct pv_named_call *c)
{
    pv_tensor *z = pv_keep(&c->scope, pv_rectify(c->tape, pv_named_in(c, "z"), pv_named_in(c, "cue"),
                                                 pv_named_in(c, "a")));
    pv_named_out(c, "loss", crln_segment(c->tape, &c->scope, z, pv_named_in(c, "labels")));
}

static const struct pv_named_arg pseudo_args[] = {
    {"z", PV_ARG_PLAIN, SHAPE, false, false, "teacher's logits"},
    {"cue", PV_ARG_PLAIN, SHAPE, false, false, "teacher's map M"},
    {"a", PV_ARG_FLAT, "[1]", false, false, "the rectifier's scalar"}, {0}};

static void pseudo(struct pv_named_call *c)
{
    pv_tensor *label, *conf, *z = pv_keep(&c->scope, pv_rectify(c->tape, pv_named_in(c, "z"), pv_named_in(c, "cue"),
                                                                pv_named_in(c, "a")));
    crln_pseudo(c->tape, &c->scope, z, &label, &conf);
    pv_named_out(c, "label", label);
    pv_named_out(c, "conf", conf);
}

/* ---- consistency ---- */

static const struct pv_named_arg unsup_args[] = {
    {"z", PV_ARG_PLAIN, SHAPE, true, false, "student's logits of the strong views"},
    {"labels", PV_ARG_LABEL, ONE, false, false, "pseudo labels; 255 outside of the image"},
    {"conf", PV_ARG_PLAIN, ONE, false, false, "their probabilities"}, {0}};
static const struct pv_named_opt unsup_opts[] = {
    {"tau", 0.97, NULL, "probability from which a pseudo label counts"},
    {"form", 0, "share", "share: the image's share of such voxels weighs all of its voxels; filter: Eq. 2"}, {0}};

static void unsup(struct pv_named_call *c)
{
    struct crln_opts o = {.tau = (float)pv_named_num(c, "tau"), .filter = pv_named_is(c, "form", "filter")};
    pv_tensor *kept = NULL;
    pv_named_out(c, "loss", crln_unsup(c->tape, &c->scope, &o, pv_named_in(c, "z"), pv_named_in(c, "labels"),
                                       pv_named_in(c, "conf"), &kept));
    pv_named_out(c, "kept", kept);
}

/* ---- contrast ---- */

#define SIDE(s, what) \
    {"z_" s, PV_ARG_PLAIN, SHAPE, false, false, "student's logits of " what}, \
    {"rep_" s, PV_ARG_MAP, "[n, R, x, y, z]", true, false, "representation of " what}, \
    {"labels_" s, PV_ARG_LABEL, ONE, false, false, "labels of " what}

static const struct pv_named_arg cps_args[] = {SIDE("l", "labelled images"), SIDE("u", "strong views"),
    {"conf_u", PV_ARG_PLAIN, ONE, false, false, "probabilities of labels_u"},
    {"prototypes", PV_ARG_FLAT, "[classes, R, d]", false, true, "the teacher's; absent: positives are class means"},
    {"anchor_words", PV_ARG_LABEL, "[1, 1, classes, queries, 2]", false, true, "random words; absent: drawn"},
    {"negative_words", PV_ARG_LABEL, "[1, 1, classes, queries * negatives, 2]", false, true,
     "random words; absent: drawn"}, {0}};
static const struct pv_named_opt cps_opts[] = {
    {"tau", 0.97, NULL, "anchors have a probability of their class below this"},
    {"tau_weak", 0.7, NULL, "pseudo labels count from this probability"},
    {"queries", 256, NULL, "anchors of a class"}, {"negatives", 512, NULL, "negatives of an anchor"},
    {"temperature", 0.5, NULL, "of cosines"}, {"xi", 0.6, NULL, "share of the prototypes in positives, Eq. 13"},
    {"positive", 0, "both", "both: Eq. 13; mean: of the class; prototype"},
    {"reduction", 0, "mean", "mean over classes and anchors, or sum (Eq. 14)"}, {0}};

static void cps(struct pv_named_call *c)
{
    struct crln_opts o = {.tau = (float)pv_named_num(c, "tau"), .tau_weak = (float)pv_named_num(c, "tau_weak"),
        .queries = (int)pv_named_num(c, "queries"), .negatives = (int)pv_named_num(c, "negatives"),
        .temperature = (float)pv_named_num(c, "temperature"), .xi = (float)pv_named_num(c, "xi"),
        .sum = pv_named_is(c, "reduction", "sum"),
        .positive = pv_named_is(c, "positive", "mean") ? CRLN_MEAN
                    : pv_named_is(c, "positive", "prototype") ? CRLN_PROTOTYPE : CRLN_BOTH};
    struct crln_side side[] = {
        {pv_named_in(c, "z_l"), pv_named_in(c, "rep_l"), pv_named_in(c, "labels_l"), NULL},
        {pv_named_in(c, "z_u"), pv_named_in(c, "rep_u"), pv_named_in(c, "labels_u"), pv_named_in(c, "conf_u")}};
    struct crln_draws d = {.anchor_words = pv_named_in(c, "anchor_words"),
                           .negative_words = pv_named_in(c, "negative_words")};
    pv_tensor *drawn[32] = {0};
    static const char *const names[] = {"anchors0", "anchors1", "anchors2", "anchors3"};
    bool ok = o.queries > 0 && o.negatives > 0 && o.temperature > 0 && side[0].z && side[0].z->h.c <= 32;
    pv_named_out(c, "loss", ok ? crln_cps(c->tape, &c->scope, &o, 2, side, pv_named_in(c, "prototypes"), &d, drawn)
                               : NULL);
    for (int i = 0; i < (int)PV_COUNT(names) && drawn[i]; i++)
        pv_named_out(c, names[i], drawn[i]);
}

static const struct pv_named_loss
    loss_sup = {"crln.sup", "(CE + Dice) / 2 of the logits and of M as logits (paper 002 Eq. 15)", sup_args, sup_opts,
                sup},
    loss_op = {"crln.op", "(CE + Dice) / 2 of z + (1 - a) M (002 Eq. 8, 16)", op_args, NULL, op},
    loss_pseudo = {"crln.pseudo", "label and probability of z + (1 - a) M (002 Eq. 8); no gradient", pseudo_args, NULL,
                   pseudo},
    loss_unsup = {"crln.unsup", "cross-entropy of strong views against pseudo labels (002 Eq. 2)", unsup_args,
                  unsup_opts, unsup},
    loss_cps = {"crln.cps", "contrast of uncertain voxels with unassertive positives (002 Eq. 9-14)", cps_args,
                cps_opts, cps};

const struct pv_named_loss *const pv_named_crln[] = {&loss_sup, &loss_op, &loss_pseudo, &loss_unsup, &loss_cps, NULL};
