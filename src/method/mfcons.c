/* SPDX-License-Identifier: Apache-2.0
 * MF-ConS (Wu, Xu and Tong, MICCAI 2024): a mean teacher on cross-annotated and unlabelled images with three kinds of
 * consistency (equation 3):
 *   L = L_sup + lambda(t) (w_niop L_NIOP + w_fpm L_fpm + w_sta L_sta), lambda = consistency exp(-5 (1 - t / t_max)^2).
 * The terms are in mfcons_terms.c. Forward passes: student on X, on X + noise, on masked X; teacher on X and on
 * X + noise; with forwards = 4 the student's first two are one. Each pass of the student walks back on its own, so
 * that only one lies in memory. The teacher runs in training mode and records nothing. The student is evaluated. */
#include "method/mfcons.h"

#include "method/model.h"
#include "ops/augment.h"
#include "ops/map.h"
#include "ops/resize.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

struct mfcons { struct model m; };

static const struct pv_method_opt opts[] = {
    MODEL_OPT_EMA,
    {"consistency", 0.1, NULL, false, "lambda: largest weight of the three consistency terms together"},
    {"rampup", 0, NULL, true, "t_max of the ramps of lambda, masking and fusion; 0: the whole run"},
    {"w_niop", 1, NULL, false, "weight of the prediction from masked images (eq. 1); 0 leaves its pass out"},
    {"w_fpm", 1, NULL, false, "weight of the prototype consistency (eq. 2); 0: off"},
    {"w_sta", 1, NULL, false, "weight of the stability constraint; 0: off"},
    {"forwards", 5, NULL, false, "forward passes: 5, or 4 with the student's X and X + noise as one"},
    {"supervised", 0, "image", false, "partial cross-entropy: image (mean of each image's mean, an image without "
                                      "annotated voxels counting 0), kept (of those that have some), pooled",
     .words = "image, kept, pooled"},
    {"beta", 0.1, NULL, false, "temperature that sharpens the teacher (eq. 1)"},
    {"cube", 8, NULL, false, "side of the masked cubes"},
    {"mask_from", 0.25, NULL, false, "probability that a cube is masked, at the start of the ramp"},
    {"mask_to", 0.5, NULL, false, "and at its end"},
    {"mask_fill", 0, "zero", false, "what a masked cube holds: zero, min (the patch's darkest value), noise (normal)",
     .words = "zero, min, noise"},
    {"pairing", 0, "image", false, "prototypes fused per pair of images (image) or over the batch (pooled)",
     .words = "image, pooled"},
    {"annotated", 0, "confidence", false, "weight of annotated voxels in prototypes: confidence (the student's), one",
     .words = "confidence, one"},
    {"prototypes", 0, "trained", false, "gradient of eq. 2 through the prototypes: trained, or fixed (features only)",
     .words = "trained, fixed"},
    {"scale", 20, NULL, false, "factor of the cosines in the prototypes' softmax"},
    {"noise", 0.1, NULL, false, "standard deviation of the input noise of the stability constraint"},
    {"noise_clip", 0.2, NULL, false, "noise is clipped to this"},
    {0}};

static bool choices_good(struct pv_run *r)
{
    double f = pv_run_opt(r, "forwards");
    return f == 4 || f == 5 || pv_fail(PV_FAULT_USAGE, "method_options.forwards is %g; it can be 4 or 5", f);
}

static bool init(struct pv_run *r)
{
    struct mfcons *s = r->state;
    if (!choices_good(r))
        return false;
    const pv_json *train = pv_json_get(r->config, "train");
    double nl = pv_json_num(train, "labeled_batch", 2), nu = pv_json_num(train, "unlabeled_batch", 2);
    if (!r->inference && pv_run_opt(r, "w_fpm") > 0) {
        if (nu < 1)
            return pv_fail(PV_FAULT_USAGE, "the prototypes of mfcons need unlabelled images: set "
                           "train.unlabeled_batch, or method_options.w_fpm=0");
        if (nl != nu && pv_run_opt_is(r, "pairing", "image"))
            return pv_fail(PV_FAULT_USAGE, "mfcons pairs labelled with unlabelled images, but a batch has %g and %g: "
                           "make them equal or set method_options.pairing=pooled", nl, nu);
    }
    return model_init(r, &s->m, NULL);
}

/* What a step's parts share. */
struct parts {
    struct pv_run *r;
    struct mfcons *s;
    const struct pv_patches *b;
    struct pv_scope k;
    struct pv_net_out teacher, teacher_noisy;
    double ramp, weight;
    pv_tensor *sup, *niop, *fpm, *sta;      /* values, for the log */
};

enum { PASS_NOISE_TEACHER = 1, PASS_NOISE_STUDENT, PASS_TEACHER, PASS_TEACHER_NOISY, PASS_STUDENT,
       PASS_STUDENT_NOISY, PASS_MASK, PASS_MASKED };

static pv_tensor *weighted(struct parts *p, pv_tensor *x, const char *weight)
{
    float w = (float)(p->weight * pv_run_opt(p->r, weight));
    return pv_keep(&p->k, pv_scalar_sum(p->r->tape, 1, &x, &w, NULL));
}

static void teacher_passes(struct parts *p)
{
    struct pv_run *r = p->r;
    bool fpm = pv_run_opt(r, "w_fpm") > 0;
    r->tape->recording = false;
    if (fpm || pv_run_opt(r, "w_niop") > 0)
        pv_run_forward(r, p->s->m.teacher, p->b->image, PASS_TEACHER, MODEL_TRAIN, fpm ? PV_WANT(PV_FEAT_DEC3) : 0,
                       &p->teacher);
    if (pv_run_opt(r, "w_sta") > 0) {
        pv_tape_pass(r->tape, PASS_NOISE_TEACHER);
        pv_tensor *x = pv_keep(&p->k, pv_run_noise(r, "noise_teacher", p->b->image, pv_run_opt(r, "noise"),
                                                   pv_run_opt(r, "noise_clip")));
        pv_run_forward(r, p->s->m.teacher, x, PASS_TEACHER_NOISY, MODEL_TRAIN, 0, &p->teacher_noisy);
    }
    r->tape->recording = true;
}

/* L_sup and L_fpm of the student's output on the whole image; with forwards = 4 L_sta too. Walks back. */
static void whole_image(struct parts *p)
{
    struct pv_run *r = p->r;
    pv_tape *t = r->tape;
    int nl = p->b->num_labeled, nu = p->b->num_unlabeled;
    bool four = pv_run_opt(r, "forwards") == 4, fpm = pv_run_opt(r, "w_fpm") > 0, sta = pv_run_opt(r, "w_sta") > 0;
    struct pv_net_out o = {0};
    pv_tensor *x = p->b->image, *sum[3];
    if (four && sta) {
        pv_tape_pass(t, PASS_NOISE_STUDENT);
        x = pv_keep(&p->k, pv_run_noise(r, "noise_student", x, pv_run_opt(r, "noise"), pv_run_opt(r, "noise_clip")));
    }
    pv_run_forward(r, p->s->m.student, x, PASS_STUDENT, MODEL_TRAIN, fpm ? PV_WANT(PV_FEAT_DEC3) : 0, &o);
    pv_tensor *zl = pv_keep(&p->k, pv_slice_samples(t, o.logits, 0, nl));
    pv_tensor *labels = pv_keep(&p->k, pv_tensor_samples(p->b->label, 0, nl));
    p->sup = mfcons_supervised(t, &p->k, zl, labels, pv_run_opt_text(r, "supervised"));
    int n = 0;
    sum[n++] = p->sup;
    if (fpm) {
        struct mfcons_fpm f = {.feat_l = pv_keep(&p->k, pv_slice_samples(t, o.feat[PV_FEAT_DEC3], 0, nl)),
            .logits_l = zl, .labels = labels, .gamma = 1 / (1 + p->ramp), .scale = pv_run_opt(r, "scale"),
            .pooled = pv_run_opt_is(r, "pairing", "pooled"), .annotated_one = pv_run_opt_is(r, "annotated", "one"),
            .fixed = pv_run_opt_is(r, "prototypes", "fixed")};
        f.feat_u = pv_keep(&p->k, pv_slice_samples(t, p->teacher.feat[PV_FEAT_DEC3], nl, nu));
        f.logits_u = pv_keep(&p->k, pv_slice_samples(t, p->teacher.logits, nl, nu));
        p->fpm = mfcons_fpm(t, &p->k, &f);
        sum[n++] = weighted(p, p->fpm, "w_fpm");
    }
    if (four && sta) {
        p->sta = mfcons_mae(t, &p->k, o.logits, p->teacher_noisy.logits);
        sum[n++] = weighted(p, p->sta, "w_sta");
    }
    pv_tensor *loss = pv_keep(&p->k, pv_scalar_sum(t, n, sum, NULL, NULL));
    pv_net_out_free(&o);
    pv_run_backward(r, loss);
}

static void stability(struct parts *p)
{
    struct pv_run *r = p->r;
    struct pv_net_out o = {0};
    pv_tape_pass(r->tape, PASS_NOISE_STUDENT);
    pv_tensor *x = pv_keep(&p->k, pv_run_noise(r, "noise_student", p->b->image, pv_run_opt(r, "noise"),
                                               pv_run_opt(r, "noise_clip")));
    pv_run_forward(r, p->s->m.student, x, PASS_STUDENT_NOISY, MODEL_TRAIN, 0, &o);
    p->sta = mfcons_mae(r->tape, &p->k, o.logits, p->teacher_noisy.logits);
    pv_tensor *loss = weighted(p, p->sta, "w_sta");
    pv_net_out_free(&o);
    pv_run_backward(r, loss);
}

/* X with masked cubes. The given mask (0: masked) may have a voxel per cube. */
static pv_tensor *masked_image(struct parts *p, double probability)
{
    struct pv_run *r = p->r;
    pv_tensor *x = p->b->image, *keep = pv_run_given(r, "mask");
    if (keep)
        keep = pv_keep(&p->k, pv_resize_const(r->tape, keep, x->h.s, PV_NEAREST));
    pv_tape_pass(r->tape, PASS_MASK);
    enum mfcons_fill fill = pv_run_opt_is(r, "mask_fill", "min") ? MFCONS_MIN
                            : pv_run_opt_is(r, "mask_fill", "noise") ? MFCONS_NOISE : MFCONS_ZERO;
    return mfcons_mask(r->tape, &p->k, x, keep, (int)pv_run_opt(r, "cube"), probability, fill);
}

static double masking(struct parts *p)
{
    struct pv_run *r = p->r;
    struct pv_net_out o = {0};
    double from = pv_run_opt(r, "mask_from"), delta = from + (pv_run_opt(r, "mask_to") - from) * p->ramp;
    pv_tensor *x = masked_image(p, delta);
    pv_run_forward(r, p->s->m.student, x, PASS_MASKED, MODEL_TRAIN, 0, &o);
    p->niop = mfcons_niop(r->tape, &p->k, o.logits, p->teacher.logits, pv_run_opt(r, "beta"));
    pv_tensor *loss = weighted(p, p->niop, "w_niop");
    pv_net_out_free(&o);
    pv_run_backward(r, loss);
    return delta;
}

static void log_step(struct parts *p, double delta)
{
    struct pv_run *r = p->r;
    pv_tensor *l[4] = {p->sup};
    float w[4] = {1};
    int n = 1;
    const struct { const char *weight; pv_tensor *loss; } terms[] = {
        {"w_niop", p->niop}, {"w_fpm", p->fpm}, {"w_sta", p->sta}};
    for (size_t i = 0; i < PV_COUNT(terms); i++)
        if (terms[i].loss) {
            w[n] = (float)(p->weight * pv_run_opt(r, terms[i].weight));
            l[n++] = terms[i].loss;
        }
    r->tape->recording = false;
    pv_run_log(r, "loss", pv_keep(&p->k, pv_scalar_sum(r->tape, n, l, w, NULL)));
    r->tape->recording = true;
    pv_run_log(r, "loss_sup", p->sup);
    pv_run_log(r, "loss_niop", p->niop);
    pv_run_log(r, "loss_fpm", p->fpm);
    pv_run_log(r, "loss_sta", p->sta);
    pv_run_log_value(r, "consistency_weight", p->weight);
    pv_run_log_value(r, "mask_probability", delta);
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    double t_max = pv_run_opt(r, "rampup");
    struct parts p = {.r = r, .s = r->state, .b = b};
    double delta = 0;
    p.ramp = pv_ramp_gauss((double)r->iter, t_max > 0 ? t_max : (double)r->iters);
    p.weight = pv_run_opt(r, "consistency") * p.ramp;
    teacher_passes(&p);
    whole_image(&p);
    if (pv_run_opt(r, "w_sta") > 0 && pv_run_opt(r, "forwards") != 4)
        stability(&p);
    if (pv_run_opt(r, "w_niop") > 0)
        delta = masking(&p);
    log_step(&p, delta);
    model_move(r, &p.s->m);
    pv_net_out_free(&p.teacher);
    pv_net_out_free(&p.teacher_noisy);
    pv_scope_end(&p.k);
}

const struct pv_method pv_method_mfcons = {
    .name = "mfcons", .summary = "MF-ConS: sparse slices, three consistencies (paper 000)", .opts = opts,
    .unlabeled = true, .state_size = sizeof(struct mfcons), .init = init, .step = step, .predict = model_predict,
};
