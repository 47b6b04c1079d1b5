/* SPDX-License-Identifier: Apache-2.0
 * DuCiSC (paper 001, Wu, Wang, Cui; methods.md 3): a student with deep-supervision heads and its moving average. Three
 * separate passes of the student in training mode, over labelled, unlabelled and mixed (Mixup) images; the teacher, in
 * training mode too, labels the unlabelled images at four scales. Pixel-wise consistency on voxels that pass
 * self-aware thresholds, prototypes of labelled images against those of unlabelled and mixed ones. As in the public
 * code each term is divided by its own value (loss_mode normalised) and only L_sup trains during a warm-up. The
 * student's full-resolution output is evaluated. */
#include "method/ducisc.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "method/model.h"
#include "ops/map.h"
#include "ops/reduce.h"
#include "ops/shape.h"
#include "ops/softmax.h"

enum { SUP, PROTO_ULB, PROTO_MIX, CS_ULB, CS_MIX, TERMS };
static const char *const log_names[TERMS] = {"loss_sup", "loss_proto_ulb", "loss_proto_mix", "loss_cs_ulb",
                                             "loss_cs_mix"};
static const char *const weight_names[TERMS] = {NULL, "w_proto_ulb", "w_proto_mix", "w_cs_ulb", "w_cs_mix"};
enum { PASS_LABELED = 1, PASS_UNLABELED, PASS_TEACHER, PASS_MIXED };

struct ducisc {
    struct model m;
    pv_tensor *thresholds;      /* FLAT [scales][C] */
    struct ducisc_opts o;
    bool normalised;
    unsigned want;
    int first_feat;             /* PV_FEAT_UP1 or PV_FEAT_DEC1 */
};

static const struct pv_method_opt opts[] = {
    {"loss_mode", 0, "normalised", false, "normalised: each term by its own value (public code); plain: Eq. 11",
     .words = "normalised, plain"},
    {"w_proto_ulb", 0.1, NULL, false, "weight of labelled against unlabelled prototypes, Eq. 4; 0 leaves a term out"},
    {"w_proto_mix", 0.1, NULL, false, "weight of labelled against mixed prototypes, Eq. 7"},
    {"w_cs_ulb", 0.3, NULL, false, "weight of the consistency on unlabelled images, Eq. 10"},
    {"w_cs_mix", 0.1, NULL, false, "weight of the consistency on mixed images, Eq. 10"},
    {"warmup", 2000, NULL, true, "iterations of L_sup alone (public code; 0 as the paper)"},
    {"warmup_passes", 1, NULL, false, "1: the other passes run during the warm-up too, for batch norm's statistics"},
    MODEL_OPT_EMA,
    {"thresholds", 0, "adaptive", false, "which pseudo labels count: adaptive (Eq. 8, 9), fixed, or none (all)",
     .words = "adaptive, fixed, none"},
    {"threshold_beta", 0.99, NULL, false, "beta of the thresholds' moving average, Eq. 8"},
    {"threshold_min", 0, NULL, false, "thresholds are at least this; 0: 1 / number of classes"},
    {"threshold_max", 0.95, NULL, false, "and at most this (public code)"},
    {"threshold_fixed", 0.95, NULL, false, "the threshold of thresholds=fixed, on the largest probability"},
    {"prototypes", 0, "mean", false, "mean over classes and channels and valid scales (public code); sum: Eq. 4, 7",
     .words = "mean, sum"},
    {"pairing", 0, "batch", false, "prototypes are means over the batch (public code), or image i against image i",
     .words = "batch, image"},
    {"absent", 0, "scale", false, "a class that is absent takes out the scale (public code), or only the class",
     .words = "scale, class"},
    {"features", 0, "up", false, "maps of the prototypes: up (after the skips), or dec (behind the decoder blocks)",
     .words = "up, dec"},
    {"mix_loss", 0, "kl", false, "mixed images: kl, mean over classes too (public code); ce: mean over voxels",
     .words = "kl, ce"},
    {"mix_low", 0.25, NULL, false, "the mixing ratio sigma is uniform from this"},
    {"mix_high", 0.75, NULL, false, "to this"},
    {0}};

static void read_options(struct pv_run *r)
{
    struct ducisc *s = r->state;
    s->normalised = pv_run_opt_is(r, "loss_mode", "normalised");
    s->o = (struct ducisc_opts){.sum = pv_run_opt_is(r, "prototypes", "sum"),
        .by_image = pv_run_opt_is(r, "pairing", "image"), .by_class = pv_run_opt_is(r, "absent", "class"),
        .mix_ce = pv_run_opt_is(r, "mix_loss", "ce"), .fixed = (float)pv_run_opt(r, "threshold_fixed"),
        .thresholds = pv_run_opt_is(r, "thresholds", "fixed") ? DUCISC_FIXED
                      : pv_run_opt_is(r, "thresholds", "none") ? DUCISC_NONE : DUCISC_ADAPTIVE};
    s->first_feat = pv_run_opt_is(r, "features", "up") ? PV_FEAT_UP1 : PV_FEAT_DEC1;
    s->want = pv_run_opt(r, "w_proto_ulb") > 0 || pv_run_opt(r, "w_proto_mix") > 0 ? 0xfu << s->first_feat : 0;
}

static void with_heads(struct pv_net_config *c) { c->heads = true; }

static bool init(struct pv_run *r)
{
    struct ducisc *s = r->state;
    read_options(r);
    s->thresholds = pv_run_add_state(r, "thresholds", DUCISC_SCALES * r->classes, 1.0f / (float)r->classes,
                                     PV_COMBINE_MEAN);
    return model_init(r, &s->m, with_heads) && s->thresholds;
}

/* ---- parts of a step ---- */

/* Logits and features of one pass, coarse to fine; borrowed from o. */
struct outputs { struct pv_net_out o; pv_tensor *z[DUCISC_SCALES], *f[DUCISC_SCALES]; };

static void forward(struct pv_run *r, pv_net *net, pv_tensor *x, uint32_t pass, bool recording, struct outputs *out)
{
    struct ducisc *s = r->state;
    bool before = r->tape->recording;
    r->tape->recording = recording;
    memset(out, 0, sizeof *out);
    pv_run_forward(r, net, x, pass, MODEL_TRAIN, recording ? s->want : 0, &out->o);
    r->tape->recording = before;
    for (int i = 0; i < DUCISC_SCALES; i++) {
        out->z[i] = i < 3 ? out->o.heads[i] : out->o.logits;
        out->f[i] = out->o.feat[s->first_feat + i];
    }
}

/* What a step holds. nm: mixed images. */
struct parts {
    int nl, nu, nm;
    pv_tensor *labels, *image_u, *image_m, *sigma, *rest;
    struct outputs l, u, t, m;
    struct ducisc_pseudo p[DUCISC_SCALES];
    float w[TERMS];
    pv_tensor *term[TERMS];     /* NULL: not computed */
};

static pv_tensor *per_sample(pv_dev *dev, int n, const double *v, bool rest)
{
    pv_tensor *x = pv_tensor_new(dev, pv_flat(n), PV_F32);
    float f[64];
    for (int i = 0; i < n; i++)
        f[i] = (float)(rest ? 1 - v[i] : v[i]);
    pv_tensor_write(x, f);
    return x;
}

/* Eq. 5: x = sigma x_l + (1 - sigma) x_u of as many pairs as there are. */
static void mix_images(struct pv_run *r, struct pv_scope *k, pv_tensor *image, struct parts *q)
{
    double sigma[64];
    q->nm = pv_min(pv_min(q->nl, q->nu), 64);
    pv_run_uniforms(r, "sigma", q->nm, pv_run_opt(r, "mix_low"), pv_run_opt(r, "mix_high"), sigma);
    q->sigma = pv_keep(k, per_sample(r->dev, q->nm, sigma, false));
    q->rest = pv_keep(k, per_sample(r->dev, q->nm, sigma, true));
    pv_tensor *xl = pv_keep(k, pv_tensor_samples(image, 0, q->nm));
    pv_tensor *xu = pv_keep(k, pv_tensor_samples(image, q->nl, q->nm));
    pv_tensor *a = pv_keep(k, pv_binary(r->tape, PV_MUL, xl, q->sigma));
    pv_tensor *b = pv_keep(k, pv_binary(r->tape, PV_MUL, xu, q->rest));
    q->image_m = pv_keep(k, pv_binary(r->tape, PV_ADD, a, b));
}

/* The first n samples of every map, or the maps themselves if there are no more. */
static void first_maps(struct pv_run *r, struct pv_scope *k, pv_tensor *const in[DUCISC_SCALES], int n,
                       pv_tensor *out[DUCISC_SCALES])
{
    for (int i = 0; i < DUCISC_SCALES; i++)
        out[i] = !in[i] || in[i]->h.n == n ? in[i] : pv_keep(k, pv_slice_samples(r->tape, in[i], 0, n));
}

/* Distance of the prototypes of labelled images to those of the others with weights w [n][C]. */
static pv_tensor *proto_term(struct pv_run *r, struct pv_scope *k, const struct parts *q,
                             pv_tensor *const g[DUCISC_SCALES], pv_tensor *const w[DUCISC_SCALES], int n)
{
    const struct ducisc *s = r->state;
    struct pv_scope in = {0};
    pv_tensor *wl[DUCISC_SCALES], *f[DUCISC_SCALES], *other[DUCISC_SCALES], *wo[DUCISC_SCALES], *loss = NULL;
    int pairs = pv_min(q->nl, n), nf = s->o.by_image ? pairs : q->nl, ng = s->o.by_image ? pairs : n;
    pv_tensor *labels = pv_keep(&in, pv_tensor_samples(q->labels, 0, nf));
    first_maps(r, &in, q->l.f, nf, f);
    first_maps(r, &in, g, ng, other);
    first_maps(r, &in, w, ng, wo);
    if (ducisc_label_weights(r->tape, &in, labels, r->classes, f, wl))
        loss = ducisc_proto(r->tape, k, &s->o, f, wl, other, wo);
    pv_scope_end(&in);
    return loss;
}

static void mixed_terms(struct pv_run *r, struct pv_scope *k, struct parts *q)
{
    const struct ducisc *s = r->state;
    pv_tape *t = r->tape;
    pv_tensor *labels = pv_keep(k, pv_tensor_samples(q->labels, 0, q->nm));
    pv_tensor *pseudo = pv_keep(k, pv_tensor_samples(q->p[DUCISC_SCALES - 1].onehot, 0, q->nm));
    pv_tensor *y = ducisc_mix_target(t, k, labels, pseudo, q->sigma, q->rest);
    if (q->w[CS_MIX] > 0)
        q->term[CS_MIX] = ducisc_cs_mix(t, k, &s->o, q->m.z, y, labels, q->p);
    pv_tensor *w[DUCISC_SCALES];
    if (q->w[PROTO_MIX] > 0 && ducisc_soft_weights(t, k, y, q->m.f, w))
        q->term[PROTO_MIX] = proto_term(r, k, q, q->m.f, w, q->nm);
}

/* Passes and terms beyond L_sup. */
static void consistency(struct pv_run *r, struct pv_scope *k, const struct pv_patches *b, struct parts *q)
{
    struct ducisc *s = r->state;
    bool ulb = q->w[CS_ULB] > 0 || q->w[PROTO_ULB] > 0, mix = q->w[CS_MIX] > 0 || q->w[PROTO_MIX] > 0;
    bool adapt = s->o.thresholds == DUCISC_ADAPTIVE, ok = true;
    if (!ulb && !mix)
        return;
    if (ulb || adapt)
        forward(r, s->m.student, q->image_u, PASS_UNLABELED, ulb, &q->u);
    forward(r, s->m.teacher, q->image_u, PASS_TEACHER, false, &q->t);
    for (int i = 0; i < DUCISC_SCALES; i++) {
        pv_tensor *th = pv_tensor_view(s->thresholds, (size_t)(i * r->classes), r->classes);
        ok = ducisc_pseudo(r->tape, k, &s->o, q->t.z[i], th, &q->p[i]) && ok;
        pv_tensor_put(&th);
    }
    if (!ok)
        return;
    if (q->w[CS_ULB] > 0)
        q->term[CS_ULB] = ducisc_cs_ulb(r->tape, k, q->u.z, q->p);
    if (q->w[PROTO_ULB] > 0) {
        pv_tensor *w[DUCISC_SCALES];
        for (int i = 0; i < DUCISC_SCALES; i++)
            w[i] = q->p[i].onehot;
        q->term[PROTO_ULB] = proto_term(r, k, q, q->u.f, w, q->nu);
    }
    if (mix) {
        mix_images(r, k, b->image, q);
        forward(r, s->m.student, q->image_m, PASS_MIXED, true, &q->m);
        mixed_terms(r, k, q);
    }
}

/* The other passes of the student, for its batch norm's running statistics. The teacher's are never used. */
static void warm_passes(struct pv_run *r, struct pv_scope *k, const struct pv_patches *b, struct parts *q)
{
    struct ducisc *s = r->state;
    forward(r, s->m.student, q->image_u, PASS_UNLABELED, false, &q->u);
    mix_images(r, k, b->image, q);
    forward(r, s->m.student, q->image_m, PASS_MIXED, false, &q->m);
}

/* After the losses, with this step's outputs. Eq. 8, 9. */
static void move_thresholds(struct pv_run *r, struct pv_scope *k, const struct parts *q)
{
    struct ducisc *s = r->state;
    double lo = pv_run_opt(r, "threshold_min") > 0 ? pv_run_opt(r, "threshold_min") : 1.0 / r->classes;
    for (int i = 0; i < DUCISC_SCALES && q->p[i].onehot; i++) {
        pv_tensor *th = pv_keep(k, pv_tensor_view(s->thresholds, (size_t)(i * r->classes), r->classes));
        pv_tensor_copy(th, ducisc_threshold(r->tape, k, th, q->u.z[i], q->p[i].onehot,
                                            pv_run_opt(r, "threshold_beta"), lo, pv_run_opt(r, "threshold_max")));
    }
    char name[32];
    for (int c = 0; c < pv_min(r->classes, 4); c++) {
        pv_tensor *v = pv_keep(k, pv_tensor_view(s->thresholds, (size_t)((DUCISC_SCALES - 1) * r->classes + c), 1));
        snprintf(name, sizeof name, "threshold_%d", c);
        pv_run_log(r, name, v);
    }
}

static void write_logs(struct pv_run *r, struct pv_scope *k, const struct parts *q)
{
    float w[TERMS];
    pv_tensor *l[TERMS], *kept = q->p[DUCISC_SCALES - 1].kept;
    int n = 0;
    bool before = r->tape->recording;
    r->tape->recording = false;
    for (int i = 0; i < TERMS; i++) {
        if (!q->term[i])
            continue;
        w[n] = q->w[i];
        l[n++] = q->term[i];
    }
    pv_run_log(r, "loss", ducisc_total(r->tape, k, n, l, w, false));
    for (int i = 0; i < TERMS; i++)
        pv_run_log(r, log_names[i], q->term[i]);
    if (kept)
        pv_run_log(r, "kept", pv_keep(k, pv_mean_of(r->tape, kept, NULL)));
    r->tape->recording = before;
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    struct ducisc *s = r->state;
    struct pv_scope k = {0};
    struct parts q = {.nl = b->num_labeled, .nu = b->num_unlabeled};
    bool warm = (double)r->iter < pv_run_opt(r, "warmup");
    q.labels = pv_keep(&k, pv_tensor_samples(b->label, 0, q.nl));
    q.image_u = pv_keep(&k, pv_tensor_samples(b->image, q.nl, q.nu));
    pv_tensor *image_l = pv_keep(&k, pv_tensor_samples(b->image, 0, q.nl));
    q.w[SUP] = 1;
    for (int i = SUP + 1; i < TERMS; i++)
        q.w[i] = warm ? 0 : (float)pv_run_opt(r, weight_names[i]);

    forward(r, s->m.student, image_l, PASS_LABELED, true, &q.l);
    q.term[SUP] = ducisc_sup(r->tape, &k, q.l.z, q.labels);
    if (!warm)
        consistency(r, &k, b, &q);
    else if (pv_run_opt(r, "warmup_passes") > 0)
        warm_passes(r, &k, b, &q);

    pv_tensor *l[TERMS];
    float w[TERMS];
    int n = 0;
    for (int i = 0; i < TERMS; i++) {
        if (q.w[i] > 0) {
            w[n] = q.w[i];
            l[n++] = q.term[i];
        }
    }
    pv_tensor *loss = ducisc_total(r->tape, &k, n, l, w, s->normalised);
    write_logs(r, &k, &q);
    if (q.u.o.logits && s->o.thresholds == DUCISC_ADAPTIVE)
        move_thresholds(r, &k, &q);
    pv_net_out_free(&q.l.o);
    pv_net_out_free(&q.u.o);
    pv_net_out_free(&q.t.o);
    pv_net_out_free(&q.m.o);

    pv_run_backward_end(r, &k, loss);
    model_move(r, &s->m);
}

const struct pv_method pv_method_ducisc = {
    .name = "ducisc", .summary = "prototypes and self-aware pseudo labels across labelled, unlabelled, mixed images",
    .opts = opts, .unlabeled = true, .state_size = sizeof(struct ducisc), .init = init, .step = step,
    .predict = model_predict,
};
