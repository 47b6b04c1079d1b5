/* SPDX-License-Identifier: Apache-2.0
 * Student and moving average: passes, weights, the end of a step, prediction. */
#include "method/model.h"

#include <string.h>

#include "ops/shape.h"
#include "ops/softmax.h"

bool model_init(struct pv_run *r, struct model *m, void (*change)(struct pv_net_config *c))
{
    m->student = pv_run_add_net(r, "student", true, change);
    m->teacher = pv_run_add_net(r, "teacher", false, change);
    return m->student && m->teacher;
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

void model_forget(struct model_pass *p) { pv_net_out_free(&p->o); }

void model_step(struct pv_run *r, const struct model *m, pv_tensor *loss)
{
    pv_run_backward(r, loss);
    model_move(r, m);
}

void model_move(struct pv_run *r, const struct model *m)
{
    pv_run_step(r, m->student);
    pv_run_ema(r, m->teacher, m->student, pv_ema_alpha(r->iter, pv_run_opt(r, "ema")));
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
