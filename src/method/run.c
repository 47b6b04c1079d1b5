/* SPDX-License-Identifier: Apache-2.0
 * A run: what methods register, how steps are keyed, and the calls that every method makes. */
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "method/method.h"
#include "ops/augment.h"
#include "ops/map.h"
#include "ops/scalar.h"
#include "ops/tune.h"

const struct pv_method *pv_method_find(const char *name)
{
    const char *names[64];
    size_t n = 0;
    for (; pv_methods[n]; n++) {
        names[n] = pv_methods[n]->name;
        if (pv_streq(name, names[n]))
            return pv_methods[n];
    }
    struct pv_str known = {0};
    for (size_t i = 0; i < n; i++)
        pv_str_addf(&known, "%s%s", i ? ", " : "", names[i]);
    const char *near = pv_nearest(name, names, n);
    pv_fail(PV_FAULT_USAGE, "there is no method '%s'%s%s%s; known are %s", name, near ? " (did you mean " : "",
            near ? near : "", near ? "?)" : "", known.text);
    pv_str_free(&known);
    return NULL;
}

/* ---- configuration ---- */

static const struct pv_method_opt *find_opt(const struct pv_run *r, const char *name)
{
    for (const struct pv_method_opt *o = r->method->opts; o && o->name; o++)
        if (pv_streq(o->name, name))
            return o;
    pv_fail(PV_FAULT_INTERNAL, "method %s has no option %s", r->method->name, name);
    return NULL;
}

double pv_run_opt(const struct pv_run *r, const char *name)
{
    const struct pv_method_opt *o = find_opt(r, name);
    if (!o)
        return 0;
    double v = pv_json_num(pv_json_get(r->config, "method_options"), name, o->def);
    return o->iterations ? v * r->scale : v;
}

const char *pv_run_opt_text(const struct pv_run *r, const char *name)
{
    const struct pv_method_opt *o = find_opt(r, name);
    return o ? pv_json_str(pv_json_get(r->config, "method_options"), name, o->text_def) : "";
}

bool pv_run_opt_is(const struct pv_run *r, const char *name, const char *text)
{
    return pv_streq(pv_run_opt_text(r, name), text);
}

static bool allowed(const struct pv_run *r, const struct pv_method_opt *o)
{
    if (o->text_def && o->words) {
        struct pv_strs words = {0};
        const char *v = pv_run_opt_text(r, o->name);
        pv_strs_split(&words, o->words, ", ");
        bool known = v && pv_strs_find(&words, v) >= 0;
        pv_strs_free(&words);
        return known || pv_fail(PV_FAULT_USAGE, "method_options.%s of %s is '%s'; it can be %s", o->name,
                                r->method->name, v ? v : "", o->words);
    }
    double v = o->text_def || o->lo == o->hi ? o->lo : pv_run_opt(r, o->name);
    return (v >= o->lo && v <= o->hi) || pv_fail(PV_FAULT_USAGE, "method_options.%s of %s goes from %g to %g, not %g",
                                                 o->name, r->method->name, o->lo, o->hi, v);
}

/* Options of another method, or misspelt ones, are refused rather than ignored. */
static bool check_options(const struct pv_run *r)
{
    const pv_json *given = pv_json_get(r->config, "method_options");
    const char *names[64];
    size_t n = 0;
    for (const struct pv_method_opt *o = r->method->opts; o && o->name && n < PV_COUNT(names); o++)
        names[n++] = o->name;
    for (size_t i = 0; given && i < pv_json_count(given); i++) {
        const char *key = pv_json_key_at(given, i);
        size_t k = 0;
        while (k < n && !pv_streq(names[k], key))
            k++;
        if (k < n) {
            const struct pv_method_opt *o = &r->method->opts[k];
            if (o->text_def ? pv_json_is_string(pv_json_at(given, i)) : pv_json_is_number(pv_json_at(given, i)))
                continue;
            return pv_fail(PV_FAULT_USAGE, "method_options.%s of %s is a %s", key, r->method->name,
                           o->text_def ? "word" : "number");
        }
        const char *near = pv_nearest(key, names, n);
        return pv_fail(PV_FAULT_USAGE, "method %s has no option '%s'%s%s%s", r->method->name, key,
                       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    for (const struct pv_method_opt *o = r->method->opts; o && o->name; o++)
        if (!allowed(r, o))
            return false;
    return true;
}

static struct pv_net_config net_config(const pv_json *config)
{
    const pv_json *n = pv_json_get(config, "net"), *patch = pv_json_path(config, "train.patch");
    struct pv_net_config c = {.dims = (int)pv_json_num(n, "dims", 3), .channels = (int)pv_json_num(n, "channels", 1),
        .classes = (int)pv_json_num(n, "classes", 2), .filters = (int)pv_json_num(n, "filters", 16),
        .dropout = pv_json_num(n, "dropout", 0.5), .heads = pv_json_flag(n, "heads", false),
        .prototypes = (int)pv_json_num(n, "prototypes", 0), .scrambled = pv_json_flag(n, "scrambled", false)};
    snprintf(c.name, sizeof c.name, "%s", pv_json_str(n, "name", "vnet"));
    for (int i = 0; i < 3; i++)
        c.patch[i] = (int)pv_json_number_value(pv_json_at(patch, (size_t)i));
    pv_init_scheme_find(pv_json_str(n, "init", "default"), &c.init);
    return c;
}

/* ---- stages ---- */

void pv_run_batch_size(const struct pv_run *r, int stage, int *labeled, int *unlabeled)
{
    *labeled = r->stages[stage].labeled;
    *unlabeled = r->stages[stage].unlabeled;
}

static void lay_out_stages(struct pv_run *r)
{
    const pv_json *train = pv_json_get(r->config, "train");
    int nl = (int)pv_json_num(train, "labeled_batch", 2), nu = (int)pv_json_num(train, "unlabeled_batch", 2);
    if (r->method->stages) {
        r->num_stages = r->method->stages(r, r->stages);
    } else {
        r->num_stages = 1;
        r->stages[0] = (struct pv_stage){"train", 1, nl, r->method->unlabeled ? nu : 0};
    }
    double total = 0;
    for (int i = 0; i < r->num_stages; i++)
        total += r->stages[i].length;
    double sum = 0;
    for (int i = 0; i < r->num_stages; i++) {
        r->stage_first[i] = (int64_t)((double)r->iters * sum / total + 0.5);
        sum += r->stages[i].length;
    }
    r->stage_first[r->num_stages] = r->iters;
}

/* The loss scale of a new iteration; a checkpoint between two holds what the one before has left. */
static void next_scale(struct pv_run *r)
{
    if (!r->loss_scale)
        return;
    pv_loss_scale_next(r->loss_scale, pv_json_num(pv_json_get(r->config, "precision"), "growth", 2000));
    pv_tensor *scale = pv_loss_scale_seed(r->loss_scale), *skipped = pv_loss_scale_skipped(r->loss_scale);
    pv_run_log(r, "scale", scale);
    pv_run_log(r, "skipped", skipped);
    pv_tensor_put(&scale);
    pv_tensor_put(&skipped);
}

static void key_part(struct pv_run *r)
{
    r->draw = r->iter * r->parts + r->part;
    r->tape->step = (uint64_t)r->draw;
    pv_tape_pass(r->tape, 0);
}

bool pv_run_next_part(struct pv_run *r)
{
    if (pv_run_last_part(r))
        return false;
    r->part++;
    key_part(r);
    return true;
}

bool pv_run_last_part(const struct pv_run *r) { return r->part + 1 == r->parts; }

bool pv_run_begin_step(struct pv_run *r, int64_t iter)
{
    int stage = 0;
    while (stage + 1 < r->num_stages && iter >= r->stage_first[stage + 1])
        stage++;
    bool enter = iter == r->stage_first[stage] || r->stage != stage;
    r->iter = iter;
    r->stage = stage;
    r->stage_iter = iter - r->stage_first[stage];
    r->stage_iters = r->stage_first[stage + 1] - r->stage_first[stage];
    r->part = 0;
    key_part(r);
    next_scale(r);
    if (enter && r->method->stage_begin && !r->method->stage_begin(r, stage))
        return false;
    r->resumed = false;
    return true;
}

/* ---- life ---- */

/* Measured choices, if the configuration asks for them; to predict with a run its own are used and none is added. */
static void set_tuning(struct pv_run *r)
{
    const pv_json *j = pv_json_get(r->config, "tuning");
    enum pv_tune_mode mode = PV_TUNE_OFF;
    if (!pv_tune_mode_of(pv_json_str(j, "mode", "off"), &mode) || mode == PV_TUNE_OFF)
        return;
    r->tune = pv_tune_new(r->dev, r->inference ? PV_TUNE_OFF : mode);
    pv_tune_read(r->tune, j);
    r->tape->tune = r->tune;
}

/* Mixed precision; training with it scales the loss. */
static bool set_precision(struct pv_run *r)
{
    const pv_json *j = pv_json_get(r->config, "precision");
    r->tape->mixed = pv_streq(pv_json_str(j, "mode", "fp32"), "mixed");
    if (!r->tape->mixed || r->inference)
        return true;
    r->loss_scale = pv_run_add_state(r, "loss_scale", LOSS_SCALE_SIZE, 0, PV_COMBINE_SAME);
    pv_loss_scale_init(r->loss_scale, pv_json_num(j, "scale", 65536));
    return r->loss_scale != NULL;
}

struct pv_run *pv_run_new(pv_dev *dev, pv_json *config, bool inference)
{
    const struct pv_method *m = pv_method_find(pv_json_str(config, "method", "sup"));
    if (!m)
        return NULL;
    struct pv_run *r = pv_new(struct pv_run);
    const pv_json *train = pv_json_get(config, "train");
    r->method = m;
    r->dev = dev;
    r->config = config;
    r->inference = inference;
    r->stage = -1;
    r->seed = (uint64_t)pv_json_num(train, "seed", 1337);
    r->iters = (int64_t)pv_json_num(train, "iters", 6000);
    r->parts = (int)pv_json_num(train, "accumulate", 1);
    r->scale = (double)r->iters / pv_json_num(train, "reference_iters", (double)r->iters);
    r->net = net_config(config);
    r->classes = r->net.classes;
    r->tape = pv_tape_new(dev);
    r->tape->seed = r->seed;
    set_tuning(r);
    r->state = pv_zalloc(m->state_size ? m->state_size : 1);
    lay_out_stages(r);
    if (!check_options(r) || !set_precision(r) || !m->init(r)) {
        if (!pv_dev_failed(dev) && pv_fault_kind() == PV_FAULT_NONE)
            pv_fail(PV_FAULT_INTERNAL, "method %s could not be started", m->name);
        pv_run_free(&r);
    }
    return r;
}

void pv_run_free(struct pv_run **rp)
{
    struct pv_run *r = *rp;
    if (!r)
        return;
    if (r->method->free)
        r->method->free(r);
    pv_tape_free(&r->tape);
    pv_tune_free(&r->tune);
    for (int i = 0; i < r->num_logs; i++)
        if (r->logs[i].ticket)
            pv_read_end(&r->logs[i].ticket, &(float){0});
    for (int i = 0; i < r->num_nets; i++) {
        pv_tensor_put(&r->nets[i].momentum);
        pv_net_free(&r->nets[i].net);
    }
    for (int i = 0; i < r->num_states; i++)
        pv_tensor_put(&r->states[i].t);
    pv_free(r->state);
    pv_free(r);
    *rp = NULL;
}

pv_net *pv_run_add_net(struct pv_run *r, const char *name, bool trained, void (*change)(struct pv_net_config *c))
{
    if (r->num_nets == PV_MAX_NETS)
        return pv_fail_null(PV_FAULT_INTERNAL, "too many networks");
    struct pv_net_config c = r->net;
    snprintf(c.label, sizeof c.label, "%s", name);
    c.seed = r->seed;
    if (change)
        change(&c);
    pv_net *n = pv_net_new(r->dev, &c);
    if (!n)
        return NULL;
    struct pv_run_net *e = &r->nets[r->num_nets++];
    snprintf(e->name, sizeof e->name, "%s", name);
    e->net = n;
    e->lr_scale = 1;
    if (trained && !r->inference) {
        e->momentum = pv_tensor_zeros(r->dev, pv_flat((int)n->p->len), PV_F32);
        e->first = true;
        if (!e->momentum || !pv_params_want_grad(n->p))
            return NULL;
    }
    return n;
}

pv_tensor *pv_run_add_state(struct pv_run *r, const char *name, int n, float value, enum pv_combine combine)
{
    if (r->num_states == PV_MAX_STATES)
        return pv_fail_null(PV_FAULT_INTERNAL, "too many states");
    pv_tensor *t = pv_tensor_new(r->dev, pv_flat(n), PV_F32);
    float *v = pv_array(float, n);
    for (int i = 0; i < n; i++)
        v[i] = value;
    pv_tensor_write(t, v);
    pv_free(v);
    if (!t)
        return NULL;
    struct pv_run_state *s = &r->states[r->num_states++];
    snprintf(s->name, sizeof s->name, "%s", name);
    s->t = t;
    s->combine = combine;
    return t;
}

/* ---- within a step ---- */

double pv_run_lr(const struct pv_run *r)
{
    const pv_json *o = pv_json_get(r->config, "optim");
    double lr = pv_json_num(o, "lr", 0.01);
    const bool stagewise = pv_json_flag(o, "stagewise", false);     /* each stage begins anew */
    const int64_t iter = stagewise ? r->stage_iter : r->iter, iters = stagewise ? r->stage_iters : r->iters;
    const char *kind = pv_json_str(o, "schedule", "constant");
    if (pv_streq(kind, "step"))
        return pv_lr_step(lr, iter, (int64_t)(pv_json_num(o, "step", 2500) * r->scale + 0.5),
                          pv_json_num(o, "gamma", 0.1));
    if (pv_streq(kind, "poly"))
        return pv_lr_poly(lr, iter, iters, pv_json_num(o, "power", 0.9));
    if (pv_streq(kind, "poly_epoch"))
        return pv_lr_poly_epoch(lr, iter, (int64_t)(pv_json_num(o, "epoch", 200) * r->scale + 0.5), iters,
                                pv_json_num(o, "power", 0.9), pv_json_num(o, "floor", 1e-6));
    return lr;
}

bool pv_run_forward(struct pv_run *r, pv_net *n, pv_tensor *x, uint32_t pass, int flags, unsigned want,
                    struct pv_net_out *out)
{
    pv_tape_pass(r->tape, pass);
    if (x)
        r->volume_passes += x->h.n;
    return pv_net_forward(n, r->tape, x, flags, want, out);
}

void pv_run_backward(struct pv_run *r, pv_tensor *loss)
{
    const float share = 1 / (float)r->parts;
    pv_tensor *part = loss && r->parts > 1 ? pv_scalar_sum(r->tape, 1, &loss, &share, NULL) : pv_tensor_ref(loss);
    pv_tensor *seed = pv_loss_scale_seed(r->loss_scale);
    if (part && (seed || !r->loss_scale))
        pv_backward(r->tape, part, seed);
    else
        pv_tape_clear(r->tape);
    pv_tensor_put(&seed);
    pv_tensor_put(&part);
}

void pv_run_backward_end(struct pv_run *r, struct pv_scope *s, pv_tensor *loss)
{
    pv_tensor *kept = pv_tensor_ref(loss);
    pv_scope_end(s);
    pv_run_backward(r, kept);
    pv_tensor_put(&kept);
}

struct step_args { struct pv_run_net *e; struct pv_sgd sgd; pv_tensor *inverse, *skip; struct pv_judge judge; };

static void judge_run(void *user, size_t first, int n)
{
    struct step_args *a = user;
    pv_tensor *g = pv_tensor_view(a->e->net->p->grad, first, n);
    pv_judge_add(&a->judge, g);
    pv_tensor_put(&g);
}

static void step_run(void *user, size_t first, int n)
{
    struct step_args *a = user;
    pv_params *p = a->e->net->p;
    pv_tensor *w = pv_tensor_view(p->flat, first, n), *g = pv_tensor_view(p->grad, first, n);
    pv_tensor *m = pv_tensor_view(a->e->momentum, first, n);
    pv_sgd_step(w, g, m, &a->sgd, a->inverse, a->skip);
    pv_tensor_put(&w);
    pv_tensor_put(&g);
    pv_tensor_put(&m);
}

void pv_run_step(struct pv_run *r, pv_net *net)
{
    const pv_json *o = pv_json_get(r->config, "optim");
    if (!pv_run_last_part(r))
        return;
    for (int i = 0; i < r->num_nets; i++) {
        struct pv_run_net *e = &r->nets[i];
        if (!e->momentum || (net && e->net != net))
            continue;
        struct step_args a = {.e = e, .sgd = {.lr = (float)(pv_run_lr(r) * e->lr_scale),
            .momentum = (float)pv_json_num(o, "momentum", 0.9),
            .weight_decay = (float)pv_json_num(o, "weight_decay", 1e-4),
            .nesterov = pv_json_flag(o, "nesterov", false), .first = e->first}};
        if (r->loss_scale) {
            pv_judge_begin(&a.judge, r->loss_scale, (int64_t)e->net->p->len, e->net->p->num);
            pv_params_grad_runs(e->net->p, judge_run, &a);
            pv_judge_end(&a.judge);
            a.inverse = pv_loss_scale_inverse(r->loss_scale);
            a.skip = pv_loss_scale_skip(r->loss_scale);
        }
        pv_params_grad_runs(e->net->p, step_run, &a);
        pv_tensor_put(&a.inverse);
        pv_tensor_put(&a.skip);
        e->first = false;
        pv_params_zero_grad(e->net->p);
        pv_params_changed(e->net->p);
    }
}

void pv_run_ema(struct pv_run *r, pv_net *teacher, pv_net *student, double alpha)
{
    if (!pv_run_last_part(r))
        return;
    pv_ema_update(teacher->p->flat, student->p->flat, (float)alpha);
    pv_params_changed(teacher->p);
}

void pv_run_log_value(struct pv_run *r, const char *name, double v)
{
    if (r->num_logs == PV_MAX_LOGS)
        return;
    struct pv_run_log *l = &r->logs[r->num_logs++];
    snprintf(l->name, sizeof l->name, "%s", name);
    l->ticket = NULL;
    l->value = v;
}

void pv_run_log(struct pv_run *r, const char *name, pv_tensor *scalar)
{
    if (!scalar || r->num_logs == PV_MAX_LOGS)
        return;
    if (pv_dev_is_ref(r->dev)) {
        double v = 0;
        pv_tensor_read_f64(scalar, &v);
        pv_run_log_value(r, name, v);
        return;
    }
    pv_run_log_value(r, name, 0);
    r->logs[r->num_logs - 1].ticket = pv_read_begin(scalar->buf, scalar->off * 4, 4);
}

/* ---- random choices ---- */

static const struct pv_given *find_given(const struct pv_run *r, const char *name)
{
    for (int i = 0; i < r->num_given; i++)
        if (pv_streq(r->given[i].name, name))
            return &r->given[i];
    return NULL;
}

pv_tensor *pv_run_given(const struct pv_run *r, const char *name)
{
    const struct pv_given *g = find_given(r, name);
    return g ? g->t : NULL;
}

pv_tensor *pv_run_noise(struct pv_run *r, const char *name, pv_tensor *x, double sigma, double clip)
{
    pv_tensor *g = pv_run_given(r, name);
    return g ? pv_binary(r->tape, PV_ADD, x, g) : pv_noise(r->tape, x, (float)sigma, (float)clip);
}

void pv_run_uniforms(struct pv_run *r, const char *name, int n, double lo, double hi, double *v)
{
    const struct pv_given *g = find_given(r, name);
    struct pv_rng rng = pv_rng_make(r->seed, pv_stream(name, (uint64_t)r->draw, 0));
    for (int i = 0; i < n; i++)
        v[i] = g && i < g->n ? g->v[i] : lo + (hi - lo) * pv_rng_uniform(&rng);
}

void pv_run_betas(struct pv_run *r, const char *name, int n, double a, double b, double *v)
{
    const struct pv_given *g = find_given(r, name);
    struct pv_rng rng = pv_rng_make(r->seed, pv_stream(name, (uint64_t)r->draw, 0));
    for (int i = 0; i < n; i++)
        v[i] = g && i < g->n ? g->v[i] : pv_rng_beta(&rng, a, b);
}

void pv_run_below(struct pv_run *r, const char *name, int n, const int *below, int *v)
{
    const struct pv_given *g = find_given(r, name);
    struct pv_rng rng = pv_rng_make(r->seed, pv_stream(name, (uint64_t)r->draw, 0));
    for (int i = 0; i < n; i++)
        v[i] = g && i < g->n ? (int)g->v[i] : below[i] > 0 ? (int)pv_rng_below(&rng, (uint32_t)below[i]) : 0;
}

pv_tensor *pv_keep(struct pv_scope *s, pv_tensor *t)
{
    if (!t)
        return NULL;
    if (s->n == s->room) {
        s->room = pv_max(32, 2 * s->room);
        s->t = pv_realloc(s->t, sizeof(pv_tensor *) * (size_t)s->room);
    }
    s->t[s->n++] = t;
    return t;
}

void pv_scope_end(struct pv_scope *s)
{
    for (int i = s->n - 1; i >= 0; i--)
        pv_tensor_put(&s->t[i]);
    pv_free(s->t);
    *s = (struct pv_scope){0};
}
