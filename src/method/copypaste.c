/* SPDX-License-Identifier: Apache-2.0
 * Bidirectional copy-paste: stages, boxes, pseudo labels, the mix loss. */
#include "method/copypaste.h"

#include <math.h>

#include "method/losses.h"
#include "ops/augment.h"
#include "ops/largest.h"
#include "ops/loss.h"
#include "ops/map.h"
#include "ops/reduce.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

enum { PASS_TEACHER = 1, PASS_PRETRAIN = 3, MOST = 64 };

bool cp_init(struct pv_run *r, struct cp *c)
{
    const pv_json *train = pv_json_get(r->config, "train");
    int nl = (int)pv_json_num(train, "labeled_batch", 2), nu = (int)pv_json_num(train, "unlabeled_batch", 2);
    double box = pv_run_opt(r, "box");
    if (!r->inference && (nl < 2 || nl % 2 || nu != nl || nl > MOST))
        return pv_fail(PV_FAULT_USAGE, "%s pastes images into each other: it takes an even number of labelled images "
                       "per batch, up to %d, and as many unlabelled ones, not %d and %d (--batch 4)", r->method->name,
                       MOST, nl, nu);
    if (!(box > 0 && box < 1))
        return pv_fail(PV_FAULT_USAGE, "method_options.box of %s is above 0 and below 1, not %g", r->method->name,
                       box);
    c->form = (struct cp_form){pv_run_opt_is(r, "dice", "mc") ? PV_DICE_MC : PV_DICE_MASK,
                               pv_run_opt(r, "mask_background") <= 0};
    c->joint = pv_run_opt_is(r, "pretrain_loss", "joint");
    c->student = pv_run_add_net(r, "student", true, NULL);
    c->teacher = pv_run_add_net(r, "teacher", false, NULL);
    return c->student && c->teacher;
}

int cp_stages(struct pv_run *r, struct pv_stage s[PV_MAX_STAGES])
{
    const pv_json *train = pv_json_get(r->config, "train");
    int nl = (int)pv_json_num(train, "labeled_batch", 2), nu = (int)pv_json_num(train, "unlabeled_batch", 2);
    double all = (double)r->iters, pre = fmin(fmax(pv_run_opt(r, "pretrain"), 0), all);
    s[CP_PRETRAIN] = (struct pv_stage){"pretrain", pre, nl, 0};
    s[CP_SELFTRAIN] = (struct pv_stage){"selftrain", all - pre, nl, nu};
    return 2;
}

bool cp_stage_begin(struct pv_run *r, struct cp *c, int stage)
{
    return stage != CP_SELFTRAIN || r->stage_iter > 0 || pv_params_copy(c->teacher->p, c->student->p, true);
}

void cp_teach(struct pv_run *r, struct cp *c)
{
    const double alpha = pv_run_opt(r, "ema");
    pv_run_ema(r, c->teacher, c->student, alpha);
    if (pv_run_last_part(r) && pv_run_opt(r, "ema_stats") > 0 && c->teacher->p->stats)
        pv_ema_update(c->teacher->p->stats, c->student->p->stats, (float)alpha);
}

pv_tensor *cp_predict(struct pv_run *r, struct cp *c, pv_tensor *image)
{
    struct pv_net_out o;
    if (!pv_run_forward(r, c->student, image, 0, 0, 0, &o))
        return NULL;
    pv_tensor *p = pv_softmax(r->tape, o.logits);
    pv_net_out_free(&o);
    return p;
}

/* ---- terms ---- */

pv_tensor *cp_pseudo(pv_tape *t, struct pv_scope *s, pv_tensor *logits, bool largest)
{
    pv_tensor *label = pv_argmax(t, logits);
    if (!label || !largest)
        return pv_keep(s, label);
    pv_tensor *clean = pv_largest_components(t, label, logits->h.c);
    pv_tensor_put(&label);
    return pv_keep(s, clean);
}

/* Dice(p, y; m), and where class 0 has no mask, its share by itself. Appends to l and w. */
static int dice_terms(pv_tape *t, struct pv_scope *k, pv_tensor *p, pv_tensor *y, pv_tensor *m, pv_tensor *known,
                      struct cp_form f, float weight, pv_tensor **l, float *w)
{
    const uint32_t all = p ? (uint32_t)((UINT64_C(1) << p->h.c) - 1) : 0;
    if (!f.background_free || !p) {
        l[0] = pv_keep(k, pv_dice(t, p, y, m, (struct pv_dice_opts){.form = f.dice, .classes = all}));
        w[0] = weight;
        return 1;
    }
    l[0] = pv_keep(k, pv_dice(t, p, y, known, (struct pv_dice_opts){.form = f.dice, .classes = 1}));
    l[1] = pv_keep(k, pv_dice(t, p, y, m, (struct pv_dice_opts){.form = f.dice, .classes = all & ~1u}));
    w[0] = weight / (float)p->h.c;
    w[1] = weight - w[0];
    return 2;
}

pv_tensor *cp_mix_loss(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *outer, pv_tensor *inner,
                       pv_tensor *mask, pv_tensor *rest, float w_outer, float w_inner, struct cp_form f)
{
    struct pv_scope k = {0};
    const struct pv_reduction red = {PV_RED_MASKED_EPS, .eps = 1e-16f};
    pv_tensor *p = pv_keep(&k, pv_softmax(t, logits)), *l[6];
    pv_tensor *const y[] = {outer, inner}, *const part[] = {mask, rest};
    const float weight[] = {w_outer, w_inner};
    float w[6];
    int n = 0;
    for (int i = 0; i < 2; i++) {
        if (weight[i] == 0)
            continue;
        pv_tensor *known = pv_keep(&k, pv_label_known(t, y[i], PV_IGNORE));
        pv_tensor *m = pv_keep(&k, pv_binary(t, PV_MUL, part[i], known));
        n += dice_terms(t, &k, p, y[i], m, known, f, 0.5f * weight[i], l + n, w + n);
        l[n] = pv_keep(&k, pv_ce_hard(t, logits, y[i], m, PV_IGNORE, red));
        w[n++] = 0.5f * weight[i];
    }
    pv_tensor *loss = pv_keep(s, pv_scalar_sum(t, n, l, w, NULL));
    pv_scope_end(&k);
    return loss;
}

pv_tensor *cp_joint_loss(pv_tape *t, struct pv_scope *s, pv_tensor *logits, pv_tensor *labels, struct cp_form f)
{
    struct pv_run r = {.tape = t};
    return pv_loss_supervised(&r, s, logits, labels, f.dice, NULL, NULL);
}

/* ---- mixing ---- */

/* One box for all `n` samples: int(share * side) voxels along each axis, its corner uniform in [0, side - box); all of
 * axis x in 2D. */
static void draw_box(struct pv_run *r, const pv_tensor *image, int n, struct pv_box *boxes)
{
    int side[3], below[3], first[3];
    for (int i = 0; i < 3; i++) {
        const int whole = image->h.s[i];
        side[i] = i == 0 && image->h.dims == 2 ? whole : pv_max(1, (int)floor(whole * pv_run_opt(r, "box") + 1e-6));
        below[i] = whole - side[i];
    }
    pv_run_below(r, "box", 3, below, first);
    for (int k = 0; k < n; k++) {
        boxes[k].from = k;
        for (int i = 0; i < 3; i++) {
            boxes[k].lo[i] = first[i];
            boxes[k].hi[i] = first[i] + side[i];
        }
    }
}

/* Masks of the box for n samples: 1 outside, 1 inside. */
static void draw_masks(struct pv_scope *s, pv_tape *t, const pv_tensor *image, int n, const struct pv_box *boxes,
                       pv_tensor **mask, pv_tensor **rest)
{
    *mask = pv_keep(s, pv_box_mask(t, image->h.dims, n, image->h.s, boxes, 0, 1));
    *rest = pv_keep(s, pv_box_mask(t, image->h.dims, n, image->h.s, boxes, 1, 0));
}

/* Half `which` of n samples from `first` on. */
static pv_tensor *half(struct pv_scope *s, pv_tensor *x, int first, int n, int which)
{
    return pv_keep(s, pv_tensor_samples(x, first + which * (n / 2), n / 2));
}

void cp_pretrain_step(struct pv_run *r, struct cp *c, const struct pv_patches *b)
{
    struct pv_scope k = {0};
    struct pv_net_out o = {0};
    struct pv_box boxes[MOST];
    pv_tape *t = r->tape;
    const int n = pv_min(b->num_labeled, MOST);
    draw_box(r, b->image, n / 2, boxes);
    pv_tensor *image_a = half(&k, b->image, 0, n, 0), *image_b = half(&k, b->image, 0, n, 1), *loss;
    pv_tensor *label_a = half(&k, b->label, 0, n, 0), *label_b = half(&k, b->label, 0, n, 1);
    pv_tensor *image = pv_keep(&k, pv_box_mix(t, image_a, image_b, boxes));
    pv_run_forward(r, c->student, image, PASS_PRETRAIN, PV_NET_TRAIN | PV_NET_DROPOUT, 0, &o);
    if (c->joint) {
        loss = cp_joint_loss(t, &k, o.logits, pv_keep(&k, pv_box_mix(t, label_a, label_b, boxes)), c->form);
    } else {
        pv_tensor *mask, *rest;
        draw_masks(&k, t, b->image, n / 2, boxes, &mask, &rest);
        loss = cp_mix_loss(t, &k, o.logits, label_a, label_b, mask, rest, 1, 1, c->form);
    }
    pv_run_log(r, "loss", loss);
    pv_run_log(r, "loss_pretrain", loss);
    pv_net_out_free(&o);
    pv_run_backward_end(r, &k, loss);
    pv_run_step(r, c->student);
}

/* The teacher's view of unlabelled images, in training mode: pseudo labels and its largest probability. */
static bool label_by_teacher(struct pv_run *r, struct pv_scope *s, struct cp *c, pv_tensor *image, uint32_t pass,
                             pv_tensor **label, pv_tensor **sure)
{
    struct pv_net_out o = {0};
    bool recording = r->tape->recording;
    r->tape->recording = false;
    pv_run_forward(r, c->teacher, image, pass, PV_NET_TRAIN | PV_NET_DROPOUT, 0, &o);
    *label = cp_pseudo(r->tape, s, o.logits, pv_run_opt(r, "largest") > 0);
    pv_tensor *p = pv_softmax(r->tape, o.logits);
    *sure = pv_keep(s, pv_max_prob(r->tape, p));
    pv_tensor_put(&p);
    pv_net_out_free(&o);
    r->tape->recording = recording;
    return *label && *sure;
}

bool cp_mix_batch(struct pv_run *r, struct pv_scope *s, struct cp *c, const struct pv_patches *b, struct cp_batch *out)
{
    pv_tape *t = r->tape;
    const int nl = pv_min(b->num_labeled, MOST), n = nl / 2;
    const float u = (float)pv_run_opt(r, "u_weight");
    struct pv_box boxes[MOST];
    pv_tensor *x[2], *y[2], *xu[2], *yu[2], *sure[2];
    draw_box(r, b->image, n, boxes);
    draw_masks(s, t, b->image, n, boxes, &out->mask, &out->rest);
    for (int i = 0; i < 2; i++) {
        x[i] = half(s, b->image, 0, nl, i);
        y[i] = half(s, b->label, 0, nl, i);
        xu[i] = half(s, b->image, b->num_labeled, nl, i);
        if (!label_by_teacher(r, s, c, xu[i], (uint32_t)(PASS_TEACHER + i), &yu[i], &sure[i]))
            return false;
    }
    out->mix[0] = (struct cp_mixture){.image = pv_keep(s, pv_box_mix(t, x[0], xu[0], boxes)), .outer = y[0],
        .inner = yu[0], .w_outer = 1, .w_inner = u, .known = out->mask, .pseudo = out->rest, .sure = sure[0]};
    out->mix[1] = (struct cp_mixture){.image = pv_keep(s, pv_box_mix(t, xu[1], x[1], boxes)), .outer = yu[1],
        .inner = y[1], .w_outer = u, .w_inner = 1, .known = out->rest, .pseudo = out->mask, .sure = sure[1]};
    for (int i = 0; i < 2; i++)
        out->mix[i].label = pv_keep(s, pv_box_mix(t, out->mix[i].outer, out->mix[i].inner, boxes));
    return out->mix[0].label && out->mix[1].label;
}
