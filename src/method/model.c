/* SPDX-License-Identifier: Apache-2.0
 * Student and moving average: passes, weights, the end of a step, prediction. */
#include "method/model.h"

#include <string.h>

#include "ops/map.h"
#include "ops/scalar.h"
#include "ops/shape.h"
#include "ops/softmax.h"

bool model_init(struct pv_run *r, struct model *m, void (*change)(struct pv_net_config *c))
{
    m->student = pv_run_add_net(r, "student", true, change);
    m->teacher = pv_run_add_net(r, "teacher", false, change);
    return m->student && m->teacher;
}

bool model_needs(const struct pv_run *r, int unlabeled)
{
    double n = pv_json_num(pv_json_get(r->config, "train"), "unlabeled_batch", 2);
    return r->inference || n >= unlabeled ||
           pv_fail(PV_FAULT_USAGE, "%s needs %d or more unlabelled images in a batch, not %g: set "
                   "train.unlabeled_batch", r->method->name, unlabeled, n);
}

double model_weight(struct pv_run *r)
{
    double unit = pv_run_opt(r, "ramp_unit");
    double w = pv_run_opt(r, "consistency") * pv_ramp_gauss_steps(r->iter, pv_run_opt(r, "rampup") / unit, unit);
    pv_run_log_value(r, "consistency_weight", w);
    return w;
}

bool model_dice(struct pv_run *r, enum pv_dice_form *form)
{
    static const char *const words[] = {
        [PV_DICE_SQ] = "sq", [PV_DICE_LIN] = "lin", [PV_DICE_MASK] = "mask", [PV_DICE_MC] = "mc"};
    for (size_t i = 0; i < PV_COUNT(words); i++)
        if (pv_run_opt_is(r, "dice", words[i])) {
            *form = (enum pv_dice_form)i;
            return true;
        }
    return pv_fail(PV_FAULT_USAGE, "method_options.dice of %s can be sq, mc, lin or mask, not '%s'", r->method->name,
                   pv_run_opt_text(r, "dice"));
}

pv_tensor *model_noisy(struct pv_run *r, struct pv_scope *s, const char *name, pv_tensor *x, uint32_t pass)
{
    pv_tape_pass(r->tape, pass);
    return pv_keep(s, pv_run_noise(r, name, x, pv_run_opt(r, "noise"), pv_run_opt(r, "noise_clip")));
}

pv_tensor *model_teach(struct pv_run *r, struct pv_scope *s, const struct model *m, pv_tensor *x, uint32_t pass)
{
    struct pv_net_out o = {0};
    bool before = r->tape->recording;
    r->tape->recording = false;
    pv_run_forward(r, m->teacher, x, pass, MODEL_TRAIN, 0, &o);
    pv_tensor *p = pv_keep(s, pv_softmax(r->tape, o.logits));
    pv_net_out_free(&o);
    r->tape->recording = before;
    return p;
}

bool model_student(struct pv_run *r, struct pv_scope *s, const struct model *m, pv_tensor *x, pv_tensor *label, int nl,
                   uint32_t pass, unsigned want, struct model_pass *p)
{
    memset(p, 0, sizeof *p);
    bool ok = pv_run_forward(r, m->student, x, pass, MODEL_TRAIN, want, &p->o);
    p->z = pv_keep(s, pv_tensor_ref(p->o.logits));
    p->zl = pv_keep(s, pv_slice_samples(r->tape, p->z, 0, nl));
    if (p->z && p->z->h.n > nl)
        p->zu = pv_keep(s, pv_slice_samples(r->tape, p->z, nl, p->z->h.n - nl));
    p->labels = pv_keep(s, pv_tensor_samples(label, 0, nl));
    return ok;
}

pv_tensor *model_mix(struct pv_run *r, struct pv_scope *s, pv_tensor *a, pv_tensor *b, const double *share)
{
    if (!a || !b || a->h.n > 64)
        return NULL;
    struct pv_scope k = {0};
    float f[2][64];
    pv_tensor *x[2] = {a, b};
    bool before = r->tape->recording;
    r->tape->recording = false;
    for (int i = 0; i < a->h.n; i++) {
        f[0][i] = (float)share[i];
        f[1][i] = (float)(1 - share[i]);
    }
    for (int i = 0; i < 2; i++) {
        pv_tensor *w = pv_keep(&k, pv_tensor_new(r->dev, pv_flat(a->h.n), PV_F32));
        if (w)
            pv_tensor_write(w, f[i]);
        x[i] = pv_keep(&k, pv_binary(r->tape, PV_MUL, x[i], w));
    }
    pv_tensor *y = pv_keep(s, pv_binary(r->tape, PV_ADD, x[0], x[1]));
    pv_scope_end(&k);
    r->tape->recording = before;
    return y;
}

void model_forget(struct model_pass *p) { pv_net_out_free(&p->o); }

void model_move(struct pv_run *r, const struct model *m)
{
    pv_run_step(r, m->student);
    pv_run_ema(r, m->teacher, m->student, pv_ema_alpha(r->iter, pv_run_opt(r, "ema")));
}

void model_end(struct pv_run *r, struct pv_scope *s, const struct model *m, struct model_pass *p, int n,
               pv_tensor *const *l, const float *w)
{
    pv_tensor *loss = pv_keep(s, pv_scalar_sum(r->tape, n, l, w, NULL));
    pv_run_log(r, "loss", loss);
    model_forget(p);
    pv_run_backward_end(r, s, loss);
    if (m->teacher)
        model_move(r, m);
    else
        pv_run_step(r, m->student);
}

pv_tensor *model_predict(struct pv_run *r, pv_tensor *image)
{
    return model_probabilities(r, ((const struct model *)r->state)->student, image);
}

pv_tensor *model_probabilities(struct pv_run *r, pv_net *net, pv_tensor *image)
{
    struct pv_net_out o;
    if (!pv_run_forward(r, net, image, 0, 0, 0, &o))
        return NULL;
    pv_tensor *p = pv_softmax(r->tape, o.logits);
    pv_net_out_free(&o);
    return p;
}
