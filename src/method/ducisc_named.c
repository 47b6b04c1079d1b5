/* SPDX-License-Identifier: Apache-2.0
 * Named losses of DuCiSC. Numbers in names of inputs are scales: 0: 1/8, 1: 1/4, 2: 1/2, 3: full resolution. */
#include <stdio.h>

#include "method/ducisc.h"
#include "method/named.h"
#include "ops/map.h"

#define SHAPE "[n, classes, x, y, z]"
#define LOGITS(name, grad, what) \
    {name "0", PV_ARG_PLAIN, SHAPE, grad, false, what " at 1/8"}, \
    {name "1", PV_ARG_PLAIN, SHAPE, grad, false, what " at 1/4"}, \
    {name "2", PV_ARG_PLAIN, SHAPE, grad, false, what " at 1/2"}, \
    {name "3", PV_ARG_PLAIN, SHAPE, grad, false, what " at full resolution"}
#define MAPS(name, what) \
    {name "0", PV_ARG_MAP, "[n, channels, x, y, z]", true, false, what " at 1/8"}, \
    {name "1", PV_ARG_MAP, "[n, channels, x, y, z]", true, false, what " at 1/4"}, \
    {name "2", PV_ARG_MAP, "[n, channels, x, y, z]", true, false, what " at 1/2"}, \
    {name "3", PV_ARG_MAP, "[n, channels, x, y, z]", true, false, what " at full resolution"}
#define LABELS {"labels", PV_ARG_LABEL, "[n, 1, x, y, z]", false, false, "class numbers; 255 is ignored"}
#define THRESHOLDS {"thresholds", PV_ARG_FLAT, "[4, classes]", false, false, "of each scale and class"}
#define SIGMA {"sigma", PV_ARG_FLAT, "[n]", false, false, "share of the labelled image in each mixed one"}

static void four(struct pv_named_call *c, const char *name, pv_tensor *out[DUCISC_SCALES])
{
    for (int i = 0; i < DUCISC_SCALES; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s%d", name, i);
        out[i] = pv_named_in(c, key);
    }
}

static struct ducisc_opts threshold_opts(const struct pv_named_call *c)
{
    return (struct ducisc_opts){.fixed = (float)pv_named_num(c, "fixed"),
        .thresholds = pv_named_is(c, "thresholds", "fixed") ? DUCISC_FIXED
                      : pv_named_is(c, "thresholds", "none") ? DUCISC_NONE : DUCISC_ADAPTIVE};
}

static void pseudo(struct pv_named_call *c, const struct ducisc_opts *o, struct ducisc_pseudo p[DUCISC_SCALES])
{
    pv_tensor *z[DUCISC_SCALES], *all = pv_named_in(c, "thresholds");
    four(c, "teacher", z);
    for (int i = 0; i < DUCISC_SCALES; i++) {
        int classes = z[i] ? z[i]->h.c : 0;
        bool fits = all && classes && all->h.n == DUCISC_SCALES * classes;
        pv_tensor *th = pv_keep(&c->scope, fits ? pv_tensor_view(all, (size_t)(i * classes), classes) : NULL);
        ducisc_pseudo(c->tape, &c->scope, o, z[i], th, &p[i]);
    }
}

/* ---- supervised ---- */

static const struct pv_named_arg sup_args[] = {LOGITS("z", true, "student's logits"), LABELS, {0}};

static void sup(struct pv_named_call *c)
{
    pv_tensor *z[DUCISC_SCALES];
    four(c, "z", z);
    pv_named_out(c, "loss", ducisc_sup(c->tape, &c->scope, z, pv_named_in(c, "labels")));
}

/* ---- consistency ---- */

#define THRESHOLD_OPTS \
    {"thresholds", 0, "adaptive", "adaptive: the given ones; fixed; none"}, \
    {"fixed", 0.95, NULL, "threshold of thresholds=fixed"}

static const struct pv_named_arg ulb_args[] = {LOGITS("z", true, "student's logits"),
    LOGITS("teacher", false, "teacher's logits"), THRESHOLDS, {0}};
static const struct pv_named_opt ulb_opts[] = {THRESHOLD_OPTS, {0}};

static void cs_ulb(struct pv_named_call *c)
{
    struct ducisc_opts o = threshold_opts(c);
    struct ducisc_pseudo p[DUCISC_SCALES];
    pv_tensor *z[DUCISC_SCALES];
    four(c, "z", z);
    pseudo(c, &o, p);
    pv_named_out(c, "loss", ducisc_cs_ulb(c->tape, &c->scope, z, p));
    for (int i = 0; i < DUCISC_SCALES && p[i].kept; i++)
        pv_named_out(c, (const char *[]){"kept0", "kept1", "kept2", "kept3"}[i], p[i].kept);
}

/* y of Eq. 5, or NULL. */
static pv_tensor *mixed_target(struct pv_named_call *c, pv_tensor *teacher)
{
    const struct ducisc_opts all = {.thresholds = DUCISC_NONE};
    struct ducisc_pseudo p;
    pv_tensor *sigma = pv_named_in(c, "sigma"), *labels = pv_named_in(c, "labels");
    if (!teacher || !sigma || !labels || sigma->h.n != labels->h.n || teacher->h.n != labels->h.n)
        return NULL;
    pv_tensor *rest = pv_keep(&c->scope, pv_unary(c->tape, PV_SCALE, sigma, -1, 1));
    if (!ducisc_pseudo(c->tape, &c->scope, &all, teacher, NULL, &p))
        return NULL;
    return ducisc_mix_target(c->tape, &c->scope, labels, p.onehot, sigma, rest);
}

static const struct pv_named_arg mix_args[] = {LOGITS("z", true, "student's logits of the mixed images"),
    LOGITS("teacher", false, "teacher's logits of the unlabelled images"), LABELS, SIGMA, THRESHOLDS, {0}};
static const struct pv_named_opt mix_opts[] = {THRESHOLD_OPTS,
    {"mix_loss", 0, "kl", "kl: mean over classes and voxels; ce: mean over voxels"}, {0}};

static void cs_mix(struct pv_named_call *c)
{
    struct ducisc_opts o = threshold_opts(c);
    struct ducisc_pseudo p[DUCISC_SCALES];
    pv_tensor *z[DUCISC_SCALES];
    o.mix_ce = pv_named_is(c, "mix_loss", "ce");
    four(c, "z", z);
    pseudo(c, &o, p);
    pv_tensor *y = mixed_target(c, pv_named_in(c, "teacher3"));
    pv_named_out(c, "loss", y ? ducisc_cs_mix(c->tape, &c->scope, &o, z, y, pv_named_in(c, "labels"), p) : NULL);
    pv_named_out(c, "target", y);
}

/* ---- prototypes ---- */

static const struct pv_named_opt proto_opts[] = {
    {"prototypes", 0, "mean", "mean over classes, channels, valid scales; sum: (1 / classes) sum over all"},
    {"pairing", 0, "batch", "batch: means over the images; image: image i against image i"},
    {"absent", 0, "scale", "scale: an absent class takes out the scale; class: only the class"}, {0}};
static const struct pv_named_arg proto_ulb_args[] = {MAPS("l", "features of labelled images"),
    MAPS("u", "features of unlabelled images"), LABELS, LOGITS("teacher", false, "teacher's logits"), {0}};
static const struct pv_named_arg proto_mix_args[] = {MAPS("l", "features of labelled images"),
    MAPS("m", "features of mixed images"), LABELS,
    {"teacher3", PV_ARG_PLAIN, SHAPE, false, false, "teacher's logits of the unlabelled images"}, SIGMA, {0}};

static struct ducisc_opts proto_options(const struct pv_named_call *c)
{
    return (struct ducisc_opts){.sum = pv_named_is(c, "prototypes", "sum"),
        .by_image = pv_named_is(c, "pairing", "image"), .by_class = pv_named_is(c, "absent", "class"),
        .thresholds = DUCISC_NONE};
}

static void proto_ulb(struct pv_named_call *c)
{
    struct ducisc_opts o = proto_options(c);
    struct ducisc_pseudo p[DUCISC_SCALES];
    pv_tensor *l[DUCISC_SCALES], *u[DUCISC_SCALES], *wl[DUCISC_SCALES], *wu[DUCISC_SCALES];
    four(c, "l", l);
    four(c, "u", u);
    pseudo(c, &o, p);
    for (int i = 0; i < DUCISC_SCALES; i++)
        wu[i] = p[i].onehot;
    bool ok = wu[0] && ducisc_label_weights(c->tape, &c->scope, pv_named_in(c, "labels"), wu[0]->h.c, l, wl);
    pv_named_out(c, "loss", ok ? ducisc_proto(c->tape, &c->scope, &o, l, wl, u, wu) : NULL);
}

static void proto_mix(struct pv_named_call *c)
{
    struct ducisc_opts o = proto_options(c);
    pv_tensor *l[DUCISC_SCALES], *m[DUCISC_SCALES], *wl[DUCISC_SCALES], *wm[DUCISC_SCALES];
    four(c, "l", l);
    four(c, "m", m);
    pv_tensor *y = mixed_target(c, pv_named_in(c, "teacher3"));
    bool ok = y && ducisc_label_weights(c->tape, &c->scope, pv_named_in(c, "labels"), y->h.c, l, wl) &&
              ducisc_soft_weights(c->tape, &c->scope, y, m, wm);
    pv_named_out(c, "loss", ok ? ducisc_proto(c->tape, &c->scope, &o, l, wl, m, wm) : NULL);
}

/* ---- thresholds, total ---- */

static const struct pv_named_arg threshold_args[] = {
    {"student", PV_ARG_PLAIN, SHAPE, false, false, "student's logits at one scale"},
    {"teacher", PV_ARG_PLAIN, SHAPE, false, false, "teacher's logits at that scale"},
    {"thresholds", PV_ARG_FLAT, "[classes]", false, false, "before"}, {0}};
static const struct pv_named_opt threshold_opts_list[] = {
    {"beta", 0.99, NULL, "of the moving average"},
    {"min", 0, NULL, "thresholds are at least this; 0: 1 / number of classes"},
    {"max", 0.95, NULL, "and at most this"}, {0}};

static void thresholds(struct pv_named_call *c)
{
    const struct ducisc_opts all = {.thresholds = DUCISC_NONE};
    struct ducisc_pseudo p;
    pv_tensor *th = pv_named_in(c, "thresholds"), *teacher = pv_named_in(c, "teacher");
    double lo = pv_named_num(c, "min");
    bool ok = ducisc_pseudo(c->tape, &c->scope, &all, teacher, NULL, &p) && th && th->h.n == teacher->h.c;
    pv_named_out(c, "thresholds",
                 ok ? ducisc_threshold(c->tape, &c->scope, th, pv_named_in(c, "student"), p.onehot,
                                       pv_named_num(c, "beta"), lo > 0 ? lo : 1.0 / teacher->h.c,
                                       pv_named_num(c, "max")) : NULL);
}

static const struct pv_named_arg total_args[] = {
    {"sup", PV_ARG_FLAT, "[1]", true, false, "L_sup"},
    {"proto_ulb", PV_ARG_FLAT, "[1]", true, false, "L_proto^ulb"},
    {"proto_mix", PV_ARG_FLAT, "[1]", true, false, "L_proto^mix"},
    {"cs_ulb", PV_ARG_FLAT, "[1]", true, false, "L_cs^ulb"},
    {"cs_mix", PV_ARG_FLAT, "[1]", true, false, "L_cs^mix"}, {0}};
static const struct pv_named_opt total_opts[] = {
    {"loss_mode", 0, "normalised", "normalised: every term divided by its own value; plain: Eq. 11"},
    {"w_proto_ulb", 0.1, NULL, "weight"}, {"w_proto_mix", 0.1, NULL, "weight"},
    {"w_cs_ulb", 0.3, NULL, "weight"}, {"w_cs_mix", 0.1, NULL, "weight"}, {0}};

static void total(struct pv_named_call *c)
{
    pv_tensor *l[] = {pv_named_in(c, "sup"), pv_named_in(c, "proto_ulb"), pv_named_in(c, "proto_mix"),
                      pv_named_in(c, "cs_ulb"), pv_named_in(c, "cs_mix")};
    float w[] = {1, (float)pv_named_num(c, "w_proto_ulb"), (float)pv_named_num(c, "w_proto_mix"),
                 (float)pv_named_num(c, "w_cs_ulb"), (float)pv_named_num(c, "w_cs_mix")};
    pv_named_out(c, "loss", ducisc_total(c->tape, &c->scope, 5, l, w, pv_named_is(c, "loss_mode", "normalised")));
}

static const struct pv_named_loss
    loss_sup = {"ducisc.sup", "mean over four outputs of (CE + Dice) / 2 against resized labels (paper 001)", sup_args,
                NULL, sup},
    loss_ulb = {"ducisc.cs_ulb", "the same against the teacher's labels where it passes thresholds (001 Eq. 10)",
                ulb_args, ulb_opts, cs_ulb},
    loss_mix = {"ducisc.cs_mix", "mean over four outputs of (KL + Dice) / 2 of mixed images (001 Eq. 5, 10)", mix_args,
                mix_opts, cs_mix},
    loss_proto_ulb = {"ducisc.proto_ulb", "distance of labelled and unlabelled class prototypes (001 Eq. 2-4)",
                      proto_ulb_args, proto_opts, proto_ulb},
    loss_proto_mix = {"ducisc.proto_mix", "distance of labelled and mixed class prototypes (001 Eq. 6, 7)",
                      proto_mix_args, proto_opts, proto_mix},
    loss_thresholds = {"ducisc.thresholds", "clip(beta T + (1 - beta) P_avg) (001 Eq. 8, 9); no gradient",
                       threshold_args, threshold_opts_list, thresholds},
    loss_total = {"ducisc.total", "L_sup and the weighted terms (001 Eq. 11), each by its own value", total_args,
                  total_opts, total};

const struct pv_named_loss *const pv_named_ducisc[] = {&loss_sup, &loss_ulb, &loss_mix, &loss_proto_ulb,
    &loss_proto_mix, &loss_thresholds, &loss_total, NULL};
