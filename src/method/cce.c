/* SPDX-License-Identifier: Apache-2.0
 * The dual network of paper 003 (methods.md 5): a ResNet34-style V-Net A and a V-Net B that are trained side by side,
 * each with its own SGD. Labelled images: cross-entropy, Dice and consistency where only one network is sure (CR).
 * Unlabelled images: cross pseudo supervision and entropy-filtered supervision (CCE), pseudo labels weighted by
 * uncertainty (UE), prototype-guided contrast of features (PGL). The mean of both softmax maps is evaluated.
 *
 * reading=paper is Eq. 1 to 20 with the readings of docs/methods/cce.md; reading=released changes the defaults of the
 * options below to what the public code effectively trains. */
#include "method/cce.h"
#include "method/dual.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/shape.h"

struct cce { struct dual d; };

static const struct pv_method_opt opts[] = {
    DUAL_OPTS,
    {"reading", 0, "paper", false, "paper, or released: w_cps 0, w_efs 0, w_pgl 0, w_cos 1, une_* hard, all, a",
     .words = "paper, released"},
    {"w_cr", 0.5, NULL, false, "alpha: weight of CR, Eq. 2; 0 leaves a term out"},
    {"cr_sure", 0.6, NULL, false, "lambda: probability from which a network counts as sure, Eq. 5"},
    {"cr_mask", 0, "xor", false, "xor: exactly one network is sure (text, public code); or: at least one",
     .words = "xor, or"},
    {"w_cps", 1, NULL, false, "weight of cross pseudo supervision, Eq. 8"},
    {"w_efs", 1, NULL, false, "weight of entropy-filtered supervision, Eq. 11"},
    {"gamma", 70, NULL, false, "percentile of the entropies that is their threshold"},
    {"efs_ignore", 0, "or", false, "voxels left out: or: one entropy is high (Eq. 10); and: both are (text, code)",
     .words = "or, and"},
    {"efs_label", 0, "cross", false, "labels: cross: the other network's; own: as Eq. 10; union of both foregrounds",
     .words = "cross, own, union"},
    {"w_une", 1, NULL, false, "weight of the uncertainty term, Eq. 14"},
    {"une_label", 0, "soft", false, "soft: tempered softmax of the other network (Eq. 13); hard: its argmax (code)",
     .words = "soft, hard"},
    {"une_temperature", 0.5, NULL, false, "T_p of the soft labels"},
    {"une_batch", 0, "unlabeled", false, "unlabeled: unlabelled images; all: the whole batch (public code)",
     .words = "unlabeled, all"},
    {"une_nets", 0, "both", false, "both: each network by the other; a: only A by B (public code)",
     .words = "both, a"},
    {"une_detach", 0, NULL, false, "1: no gradient through the weight exp(-D)"},
    {"w_pgl", 0.1, NULL, false, "largest lambda_c: weight of the contrast, Eq. 20"},
    {"pgl_rampup", 6000, NULL, true, "iterations until it is reached (Gaussian ramp)"},
    {"pgl_ramp_unit", 150, NULL, true, "the ramp moves every so many iterations"},
    {"pgl_normalise", 1, NULL, false, "1: features and prototypes of unit length; 0: as they are"},
    {"pgl_separation", 1, NULL, false, "weight of the prototypes' own distance in Eq. 20; negative drives them apart"},
    {"pgl_live", 0, NULL, false, "1: that distance has gradients; 0: prototypes are constants"},
    {"w_cos", 0, NULL, false, "weight of mean(1 - cosine of both softmax maps), only in the public code"},
    {0}};

/* Defaults of reading=released. */
static const struct { const char *name; double v; const char *text; } released[] = {
    {"w_cps", 0, NULL}, {"w_efs", 0, NULL}, {"w_pgl", 0, NULL}, {"w_cos", 1, NULL}, {"une_label", 0, "hard"},
    {"une_batch", 0, "all"}, {"une_nets", 0, "a"}};

/* Written into the configuration where it says nothing else, so that config.json shows what is trained. */
static void apply_released(struct pv_run *r)
{
    pv_json *o = pv_json_get(r->config, "method_options");
    for (size_t i = 0; o && i < PV_COUNT(released); i++) {
        if (pv_json_get(o, released[i].name))
            continue;
        if (released[i].text)
            pv_json_set_str(o, released[i].name, released[i].text);
        else
            pv_json_set_num(o, released[i].name, released[i].v);
    }
}

static bool init(struct pv_run *r)
{
    struct cce *s = r->state;
    if (pv_run_opt_is(r, "reading", "released"))
        apply_released(r);
    double g = pv_run_opt(r, "gamma"), tp = pv_run_opt(r, "une_temperature");
    if (!(g >= 0 && g <= 100) || !(tp > 0))
        return pv_fail(PV_FAULT_USAGE, "method_options of cce: gamma (%g) is from 0 to 100, une_temperature (%g) "
                       "above 0", g, tp);
    return dual_init(r, &s->d, NULL);
}

/* ---- a step ---- */

/* Terms and their weights, and what is logged of them. */
struct sum { pv_tensor *l[10]; float w[10]; int n; };

static void term(struct pv_run *r, struct sum *q, const char *name, double w, pv_tensor *l)
{
    q->l[q->n] = l;
    q->w[q->n++] = (float)w;
    pv_run_log(r, name, l);
}

static void labeled_terms(struct pv_run *r, struct pv_scope *k, struct sum *q)
{
    const struct dual *d = &((struct cce *)r->state)->d;
    pv_tensor *a = dual_supervised(r, k, d->zl[0], d->labels, NULL);
    pv_tensor *b = dual_supervised(r, k, d->zl[1], d->labels, NULL);
    term(r, q, "loss_sup", 1, cce_sum(r->tape, k, a, b));
    double w = pv_run_opt(r, "w_cr");
    if (w <= 0)
        return;
    pv_tensor *m = dual_disagree(r->tape, k, d->zl[0], d->zl[1], d->labels, pv_run_opt(r, "cr_sure"),
                                 pv_run_opt_is(r, "cr_mask", "or"));
    a = dual_rectify(r->tape, k, d->zl[0], d->labels, m);
    b = dual_rectify(r->tape, k, d->zl[1], d->labels, m);
    term(r, q, "loss_cr", w, cce_sum(r->tape, k, a, b));
}

static void uncertainty_term(struct pv_run *r, struct pv_scope *k, struct sum *q)
{
    const struct dual *d = &((struct cce *)r->state)->d;
    struct cce_une o = {pv_run_opt(r, "une_temperature"), pv_run_opt_is(r, "une_label", "hard"),
                        pv_run_opt(r, "une_detach") > 0};
    bool all = pv_run_opt_is(r, "une_batch", "all");
    pv_tensor *a = all ? d->out[0].logits : d->zu[0], *b = all ? d->out[1].logits : d->zu[1];
    pv_tensor *l = cce_une(r->tape, k, a, b, o);
    if (pv_run_opt_is(r, "une_nets", "both"))
        l = cce_sum(r->tape, k, l, cce_une(r->tape, k, b, a, o));
    term(r, q, "loss_une", pv_run_opt(r, "w_une"), l);
}

static void contrast_term(struct pv_run *r, struct pv_scope *k, const struct cce_side side[2], struct sum *q)
{
    struct cce_pgl o = {pv_run_opt(r, "pgl_normalise") > 0, pv_run_opt(r, "pgl_live") > 0,
                        pv_run_opt(r, "pgl_separation")};
    double unit = pv_run_opt(r, "pgl_ramp_unit");
    double w = pv_run_opt(r, "w_pgl") * pv_ramp_gauss_steps(r->iter, pv_run_opt(r, "pgl_rampup") / unit, unit);
    pv_tensor *a = cce_pgl(r->tape, k, side, 0, o), *b = cce_pgl(r->tape, k, side, 1, o);
    term(r, q, "loss_pgl", w, cce_sum(r->tape, k, a, b));
    pv_run_log_value(r, "pgl_weight", w);
}

static void unlabeled_terms(struct pv_run *r, struct pv_scope *k, struct sum *q)
{
    const struct dual *d = &((struct cce *)r->state)->d;
    bool cps = pv_run_opt(r, "w_cps") > 0, efs = pv_run_opt(r, "w_efs") > 0, pgl = pv_run_opt(r, "w_pgl") > 0;
    struct cce_side side[2] = {{.z = d->zu[0]}, {.z = d->zu[1]}};
    if (cps || efs || pgl)
        cce_sides(r->tape, k, side, pv_run_opt(r, "gamma"));
    if (cps)
        term(r, q, "loss_cps", pv_run_opt(r, "w_cps"), cce_cps(r->tape, k, side));
    if (efs) {
        enum cce_label label = pv_run_opt_is(r, "efs_label", "own") ? CCE_OWN
                               : pv_run_opt_is(r, "efs_label", "union") ? CCE_UNION : CCE_CROSS;
        pv_tensor *kept, *l = cce_efs(r->tape, k, side, label, pv_run_opt_is(r, "efs_ignore", "and"), &kept);
        term(r, q, "loss_efs", pv_run_opt(r, "w_efs"), l);
        pv_run_log(r, "kept", pv_keep(k, pv_mean_of(r->tape, kept, NULL)));
    }
    if (pv_run_opt(r, "w_une") > 0)
        uncertainty_term(r, k, q);
    for (int i = 0; i < 2 && pgl && d->labels; i++) {
        pv_tensor *all = d->out[i].feat[PV_FEAT_DEC4];
        int nl = d->labels->h.n;
        side[i].f = pv_keep(k, all ? pv_slice_samples(r->tape, all, nl, all->h.n - nl) : NULL);
    }
    if (pgl)
        contrast_term(r, k, side, q);
    if (pv_run_opt(r, "w_cos") > 0)
        term(r, q, "loss_cos", pv_run_opt(r, "w_cos"), cce_cosine(r->tape, k, d->out[0].logits, d->out[1].logits));
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    struct cce *s = r->state;
    struct pv_scope k = {0};
    struct sum q = {0};
    dual_forward(r, &k, &s->d, b, pv_run_opt(r, "w_pgl") > 0 ? PV_WANT(PV_FEAT_DEC4) : 0);
    labeled_terms(r, &k, &q);
    unlabeled_terms(r, &k, &q);
    pv_tensor *loss = pv_keep(&k, pv_scalar_sum(r->tape, q.n, q.l, q.w, NULL));
    pv_run_log(r, "loss", loss);
    dual_end(&s->d);
    pv_run_backward_end(r, &k, loss);
    pv_run_step(r, NULL);
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    return dual_predict(r, &((struct cce *)r->state)->d, image);
}

const struct pv_method pv_method_cce = {
    .name = "cce", .summary = "two networks: cross pseudo labels filtered by entropy, uncertainty, prototypes",
    .opts = opts, .unlabeled = true, .state_size = sizeof(struct cce), .init = init, .step = step, .predict = predict,
};
