/* SPDX-License-Identifier: Apache-2.0
 * FixMatch in 3D (Sohn and others, NeurIPS 2020; methods.md 9.5), as CRLN is without its own parts (methods.md 4.2,
 * 4.4): hard pseudo labels of weak views of the unlabelled images, from the teacher in training mode, are carried over
 * to strong views (scaling, CutMix, intensity, noise, turns), which train the student where the label is sure:
 *     half (CE + Dice) of weak labelled images + w sum [confidence >= tau] CE / voxels.
 * teacher = self: the student labels the weak views itself, as in the paper. The teacher is evaluated, or the student
 * if there is none. Views and terms: crln_view.c, crln_terms.c. */
#include "method/crln.h"
#include "method/model.h"
#include "method/named.h"
#include "ops/scalar.h"

struct fixmatch { struct model m; struct crln_opts o; struct crln_aug aug; };

static const struct pv_method_opt opts[] = {
    MODEL_OPT_EMA,
    {"teacher", 0, "ema", false, "whose pseudo labels: ema, the moving average (CRLN), or self, the student (paper)",
     .words = "ema, self"},
    {"predict", 0, "teacher", false, "evaluated is the teacher (CRLN) or the student; with teacher=self always that",
     .words = "teacher, student"},
    MODEL_OPTS_WEIGHT(0.5, 0),
    {"unsup", 0, "filter", false, "filter: voxels above tau; share: every voxel, weighted by its image's share above "
     "tau (CRLN's public code)", .words = "filter, share"},
    {"tau", 0.97, NULL, false, "confidence from which a pseudo label counts"},
    CRLN_OPTS_VIEWS,
    {0}};

static bool init(struct pv_run *r)
{
    struct fixmatch *s = r->state;
    if (r->net.dims != 3)
        return pv_fail(PV_FAULT_USAGE, "the strong views of fixmatch need 3D data");
    if (!model_needs(r, 1))
        return false;
    s->o = (struct crln_opts){.filter = pv_run_opt_is(r, "unsup", "filter"), .tau = (float)pv_run_opt(r, "tau")};
    s->aug = crln_read_views(r);
    if (pv_run_opt_is(r, "teacher", "ema"))
        return model_init(r, &s->m, NULL);
    s->m.student = pv_run_add_net(r, "student", true, NULL);
    return s->m.student != NULL;
}

/* Pseudo labels of weak views, carried over to strong ones. */
static bool make_view(struct pv_run *r, struct pv_scope *k, pv_tensor *weak, struct crln_view *v)
{
    const struct fixmatch *s = r->state;
    struct pv_net_out o;
    r->tape->recording = false;
    pv_run_forward(r, s->m.teacher ? s->m.teacher : s->m.student, weak, 1, MODEL_TRAIN, 0, &o);
    bool ok = crln_pseudo(r->tape, k, o.logits, &v->label, &v->conf);
    pv_net_out_free(&o);
    pv_tape_pass(r->tape, 2);
    v->image = weak;
    ok = ok && crln_strong(r, k, &s->aug, v);
    r->tape->recording = true;
    return ok;
}

static void step(struct pv_run *r, const struct pv_patches *b)
{
    const struct fixmatch *s = r->state;
    struct pv_scope k = {0};
    struct model_pass p, q = {0};
    struct crln_view v;
    float w[2] = {1};
    int n = 1;
    pv_tensor *weak = crln_weak(r, &k, &s->aug, b->image);
    pv_tensor *labeled = pv_keep(&k, pv_tensor_samples(weak, 0, b->num_labeled));
    model_student(r, &k, &s->m, labeled, b->label, b->num_labeled, 3, 0, &p);
    pv_tensor *l[2] = {crln_segment(r->tape, &k, p.zl, p.labels)}, *kept = NULL;
    pv_run_log(r, "loss_sup", l[0]);
    if (pv_run_opt(r, "consistency") > 0) {
        w[n] = (float)model_weight(r);
        l[n] = NULL;
        if (make_view(r, &k, pv_keep(&k, pv_tensor_samples(weak, b->num_labeled, b->num_unlabeled)), &v) &&
            pv_run_forward(r, s->m.student, v.image, 4, MODEL_TRAIN, 0, &q.o))
            l[n] = crln_unsup(r->tape, &k, &s->o, q.o.logits, v.label, v.conf, &kept);
        pv_run_log(r, "loss_unsup", l[n++]);
        pv_run_log(r, "kept", kept);
    }
    model_forget(&q);
    model_end(r, &k, &s->m, &p, n, l, w);
}

static pv_tensor *predict(struct pv_run *r, pv_tensor *image)
{
    const struct fixmatch *s = r->state;
    bool teacher = s->m.teacher && pv_run_opt_is(r, "predict", "teacher");
    return model_probabilities(r, teacher ? s->m.teacher : s->m.student, image);
}

const struct pv_method pv_method_fixmatch = {
    .name = "fixmatch", .summary = "sure pseudo labels of weak views train strong views (CRLN without its parts)",
    .opts = opts, .unlabeled = true, .state_size = sizeof(struct fixmatch), .init = init, .step = step,
    .predict = predict,
};
