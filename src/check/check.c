/* SPDX-License-Identifier: Apache-2.0
 * The engine: one case is run on ref:0 and on the device and everything is compared on the host in double. */
#include "check/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "platform/platform.h"

enum { MAX_IN = 24, MAX_OUT = 8, MAX_KEEP = 64 };

struct value { const char *name; int64_t n; double *v; bool exact; };

struct pv_check {
    pv_tape *tape;
    const struct pv_check_op *op;
    int index;
    struct pv_rng rng;
    double loosen;
    bool bad, small, once;          /* once: gradients written or added, not one after the other */
    const struct pv_check_opts *opts;
    int num_in, num_out, num_keep;
    struct { pv_tensor *t; int flags; double *v; } in[MAX_IN];      /* v: what was written */
    struct { pv_tensor *t; int flags; const char *name; } out[MAX_OUT];
    bool seeded[MAX_OUT];           /* a gradient entered there, in the last run with backward */
    pv_tensor *keep[MAX_KEEP];
    /* finite differences: add `step` to element `at` of input `which` */
    int fd_input;
    int64_t fd_at;
    double fd_step;
    /* results of one run */
    int num_res;
    struct value res[MAX_IN + MAX_OUT];
};

pv_tape *pv_ck_tape(struct pv_check *k) { return k->tape; }
int pv_ck_case(const struct pv_check *k) { return k->index; }
bool pv_ck_small(const struct pv_check *k) { return k->small; }

int pv_ck_int(struct pv_check *k, int lo, int hi)
{
    return lo + (int)pv_rng_below(&k->rng, (uint32_t)(hi - lo + 1));
}

double pv_ck_uniform(struct pv_check *k, double lo, double hi)
{
    return lo + (hi - lo) * pv_rng_uniform(&k->rng);
}

void pv_ck_sides(struct pv_check *k, int dims, int most, int s[3])
{
    if (k->small && most > 4)
        most = 4;
    for (int i = 0; i < 3; i++)
        s[i] = pv_ck_int(k, 1, most);
    int one = pv_ck_int(k, 0, 5);
    if (one < 3)
        s[one] = 1;
    if (dims == 2)
        s[0] = 1;
}

int pv_ck_conv_dims(const struct pv_check *k)
{
    return (k->small ? k->index % 3 == 2 : k->index % 4 == 3) ? 2 : 3;
}

void pv_ck_small_conv(struct pv_check *k, bool up, int s[3], int *n, int *ci, int *co)
{
    static const int t[3][6] = {{1, 3, 4, 2, 1, 5}, {2, 5, 17, 1, 3, 3}, {1, 17, 4, 1, 9, 2}};
    const int *v = t[k->index % 3];
    *n = v[0], *ci = v[1], *co = v[2];
    for (int i = 0; i < 3; i++)
        s[i] = up ? (v[3 + i] + 2) / 3 : v[3 + i];
    k->once = k->index % 3 < 2;
}

void pv_ck_small_one(const struct pv_check *k, const int yz[3][2], int stride, int s[3], int *n, int *co)
{
    *n = 2;
    *co = k->index % 3 == 2 ? 19 : 4;
    for (int i = 0; i < 2; i++)
        s[1 + i] = stride * (yz[k->index % 3][i] - 1) + 1;
}

void pv_ck_loosen(struct pv_check *k, double factor) { k->loosen = factor; }

pv_tensor *pv_ck_keep(struct pv_check *k, pv_tensor *t)
{
    if (k->num_keep < MAX_KEEP)
        k->keep[k->num_keep++] = t;
    return t;
}

static void copy_again(pv_tensor *t, struct pv_remake *r) { pv_tensor_copy(t, r->in[0]); }

/* A tensor without memory that is made from t when somebody asks for it, as results of normalisation are. Takes over
 * t. */
static pv_tensor *without_memory(pv_tensor *t)
{
    pv_tensor *l = t ? pv_tensor_lazy(t->dev, t->h, t->type) : NULL;
    if (!l)
        return t;
    struct pv_remake *r = pv_new(struct pv_remake);
    r->fn = copy_again;
    r->num_in = 1;
    r->in[0] = t;
    pv_tensor_set_remake(l, r);
    return l;
}

pv_tensor *pv_ck_values(struct pv_check *k, struct pv_shape h, enum pv_dtype type, const double *v, int flags)
{
    pv_tensor *t = pv_tensor_new(k->tape->dev, h, type);
    if (!t || k->num_in == MAX_IN) {
        k->bad = true;
        pv_tensor_put(&t);
        return NULL;
    }
    int64_t n = pv_shape_count(&h);
    double *own = pv_alloc(sizeof *own * (size_t)n);
    memcpy(own, v, sizeof *own * (size_t)n);
    if (k->num_in == k->fd_input)
        own[k->fd_at] += k->fd_step;
    pv_tensor_write_f64(t, own);
    k->in[k->num_in].v = own;
    if (h.layout == PV_BLOCKED && k->index % 2 == 1 && !(flags & PV_CK_IS_DY) && !pv_dev_is_ref(t->dev))
        t = without_memory(t);
    if (k->opts && k->opts->input)
        k->opts->input(k->opts->user, k->op->name, k->index, t);
    t->needs_grad = flags & PV_CK_GRAD;
    k->in[k->num_in].t = t;
    k->in[k->num_in++].flags = flags;
    return t;
}

pv_tensor *pv_ck_input(struct pv_check *k, struct pv_shape h, double lo, double hi, int flags)
{
    int64_t n = pv_shape_count(&h);
    double *v = pv_alloc(sizeof *v * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)pv_ck_uniform(k, lo, hi);     /* the same value on every device */
    pv_tensor *t = pv_ck_values(k, h, PV_F32, v, flags);
    pv_free(v);
    return t;
}

pv_tensor *pv_ck_labels(struct pv_check *k, struct pv_shape h, int lo, int hi)
{
    int64_t n = pv_shape_count(&h);
    double *v = pv_alloc(sizeof *v * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        v[i] = pv_ck_int(k, lo, hi);
    pv_tensor *t = pv_ck_values(k, h, PV_I32, v, 0);
    pv_free(v);
    return t;
}

void pv_ck_output(struct pv_check *k, const char *name, pv_tensor *t, int flags)
{
    if (!t || k->num_out == MAX_OUT) {
        k->bad = true;
        pv_tensor_put(&t);
        return;
    }
    k->out[k->num_out].t = t;
    k->out[k->num_out].flags = flags;
    k->out[k->num_out++].name = name;
}

/* ---- one run ---- */

/* Border and spare lanes of a BLOCKED tensor must be zero. */
static bool border_zero(pv_tensor *t)
{
    const struct pv_shape *h = &t->h;
    if (h->layout != PV_BLOCKED || pv_dev_is_ref(t->dev) || pv_dev_failed(t->dev))
        return true;
    int64_t n = pv_shape_stored(h), bad = -1;
    float *v = pv_alloc(sizeof *v * (size_t)n);
    if (!pv_tensor_pin(t) || !pv_buf_read(t->buf, t->off * 4, v, (size_t)n * 4))
        bad = 0;
    pv_tensor_unpin(t);
    int xp = h->s[0] + 2 * h->b[0], yp = h->s[1] + 2 * h->b[1], zp = h->s[2] + 2 * h->b[2];
    for (int64_t i = 0; i < n && bad < 0; i++) {
        int lane = (int)(i % 16), z = (int)(i / 16 % zp), y = (int)(i / 16 / zp % yp),
            x = (int)(i / 16 / zp / yp % xp), blk = (int)(i / 16 / zp / yp / xp % pv_blocks(h->c));
        bool inside = z >= h->b[2] && z < zp - h->b[2] && y >= h->b[1] && y < yp - h->b[1] && x >= h->b[0] &&
                      x < xp - h->b[0] && blk * 16 + lane < h->c;
        if (!inside && !(v[i] == 0))
            bad = i;
    }
    pv_free(v);
    return bad < 0;
}

static void add_result(struct pv_check *k, const char *name, pv_tensor *t)
{
    struct value *r = &k->res[k->num_res++];
    r->name = name;
    r->exact = t->type == PV_I32;
    r->n = pv_shape_count(&t->h);
    r->v = pv_alloc(sizeof *r->v * (size_t)r->n);
    if (!pv_tensor_read_f64(t, r->v))
        k->bad = true;
    if (!border_zero(t)) {
        pv_fail(PV_FAULT_DEVICE, "%s: border or spare lanes of %s are not zero", k->op->name, name);
        k->bad = true;
    }
}

/* Inputs that are no outputs (as running statistics are) must hold what was written. */
static void check_inputs(struct pv_check *k)
{
    for (int i = 0; i < k->num_in; i++) {
        pv_tensor *t = k->in[i].t;
        bool output = false;
        for (int j = 0; j < k->num_out; j++)
            output = output || k->out[j].t == t;
        const int64_t n = pv_shape_count(&t->h);
        double *v = pv_alloc(sizeof *v * (size_t)n);
        if (!output && pv_tensor_read_f64(t, v))
            for (int64_t j = 0; j < n && !k->bad; j++) {
                double was = pv_dev_is_ref(t->dev) ? k->in[i].v[j] : (float)k->in[i].v[j];
                if (v[j] != was && !(isnan(v[j]) && isnan(was)))
                    k->bad = !pv_fail(PV_FAULT_DEVICE, "%s case %d: input %d was changed at %lld: %.9g, it was %.9g",
                                      k->op->name, k->index, i, (long long)j, v[j], was);
            }
        pv_free(v);
        if (!border_zero(t))
            k->bad = !pv_fail(PV_FAULT_DEVICE, "%s case %d: border or spare lanes of input %d are not zero",
                              k->op->name, k->index, i);
    }
}

static void release(struct pv_check *k)
{
    pv_tape_clear(k->tape);
    for (int i = 0; i < k->num_in; i++) {
        pv_tensor_put(&k->in[i].t);
        pv_free(k->in[i].v);
    }
    for (int i = 0; i < k->num_out; i++)
        pv_tensor_put(&k->out[i].t);
    for (int i = 0; i < k->num_keep; i++)
        pv_tensor_put(&k->keep[i]);
    k->num_in = k->num_out = k->num_keep = 0;
}

static void random_tensor(pv_tensor *t, struct pv_rng *rng)
{
    int64_t n = pv_shape_count(&t->h);
    double *v = pv_alloc(sizeof *v * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)(2 * pv_rng_uniform(rng) - 1);
    pv_tensor_write_f64(t, v);
    pv_free(v);
}

/* Runs the case; results are left in k->res. accum: gradients start with random content that must be kept. */
static bool run_case(struct pv_check *k, uint64_t seed, bool backward, bool accum)
{
    k->num_res = 0;
    k->bad = false;
    k->loosen = 1;
    k->rng = pv_rng_make(seed, pv_stream(k->op->name, (uint64_t)k->index, 0));
    k->tape->seed = seed;
    k->tape->step = 3;
    k->tape->recording = backward;
    pv_tape_pass(k->tape, 1);
    k->op->body(k);
    struct pv_rng grng = pv_rng_make(seed, pv_stream("gradients", (uint64_t)k->index, 0));
    static const char *const in_names[] = {"d(input 0)", "d(input 1)", "d(input 2)", "d(input 3)", "d(input 4)",
        "d(input 5)", "d(input 6)", "d(input 7)", "d(input 8)", "d(input 9)", "d(input 10)", "d(input 11)"};
    if (backward && !k->bad) {
        pv_tensor *dy[MAX_OUT] = {NULL}, *out[MAX_OUT];
        for (int i = 0; i < k->num_out; i++) {
            out[i] = k->out[i].t;
            k->seeded[i] = !(k->out[i].flags & PV_CK_NO_DY) && out[i]->needs_grad;
            if (k->out[i].flags & PV_CK_NO_DY || !out[i]->needs_grad)
                continue;
            dy[i] = pv_tensor_new(k->tape->dev, out[i]->h, PV_F32);
            if (dy[i])
                random_tensor(dy[i], &grng);
        }
        for (int i = 0; i < k->num_in; i++)
            if (k->in[i].flags & PV_CK_GRAD && accum) {
                pv_tensor *x = k->in[i].t;
                x->grad = pv_tensor_new(k->tape->dev, x->h, PV_F32);
                if (x->grad)
                    random_tensor(x->grad, &grng);
                x->grad_valid = true;
            }
        /* values first: backward may reuse memory of results */
        for (int i = 0; i < k->num_out; i++)
            add_result(k, k->out[i].name, k->out[i].t);
        pv_backward_from(k->tape, k->num_out, out, dy);
        for (int i = 0; i < k->num_out; i++)
            pv_tensor_put(&dy[i]);
        for (int i = 0; i < k->num_in && !k->bad; i++)
            if (k->in[i].flags & PV_CK_GRAD) {
                if (k->in[i].t->grad && k->in[i].t->grad_valid)
                    add_result(k, in_names[i % (int)PV_COUNT(in_names)], k->in[i].t->grad);
                else
                    k->bad = !pv_fail(PV_FAULT_DEVICE, "%s case %d: no gradient for input %d", k->op->name,
                                      k->index, i);
            }
    } else if (!k->bad) {
        for (int i = 0; i < k->num_out; i++)
            add_result(k, k->out[i].name, k->out[i].t);
    }
    if (!k->bad)
        check_inputs(k);
    if (!pv_dev_guard_check(k->tape->dev))
        k->bad = true;
    release(k);
    return pv_dev_finish(k->tape->dev) && !k->bad;
}

static void free_results(struct pv_check *k)
{
    for (int i = 0; i < k->num_res; i++)
        pv_free(k->res[i].v);
    k->num_res = 0;
}

/* Relative error: the larger of |a - b|_2 / |b|_2 and max |a - b| / max |b|. NaN anywhere gives infinity, and so does
 * an infinite value where the other is not the same. */
static double error_of(const struct value *a, const struct value *b)
{
    double d2 = 0, b2 = 0, dm = 0, bm = 0;
    for (int64_t i = 0; i < b->n; i++) {
        if (isinf(b->v[i]) && a->v[i] == b->v[i])
            continue;
        double d = fabs(a->v[i] - b->v[i]), m = fabs(b->v[i]);
        if (!(d <= 1e300))
            return INFINITY;
        d2 += d * d;
        b2 += m * m;
        dm = d > dm ? d : dm;
        bm = m > bm ? m : bm;
    }
    if (dm == 0)
        return 0;
    if (bm == 0)
        return dm < 1e-7 ? 0 : INFINITY;
    double l2 = sqrt(d2 / b2), mx = dm / bm;
    return l2 > mx ? l2 : mx;
}

static void say(const struct pv_check *k, const char *what, const struct value *a, const struct value *b,
                double err, double tol)
{
    int64_t w = 0;
    for (int64_t i = 0; i < b->n; i++)
        if (!(fabs(a->v[i] - b->v[i]) <= fabs(a->v[w] - b->v[w])))
            w = i;
    pv_fail(PV_FAULT_DEVICE, "%s case %d: %s of '%s': error %.2e > %.1e; worst at %lld of %lld: %.9g, reference "
            "%.9g", k->op->name, k->index, what, b->name, err, tol, (long long)w, (long long)b->n, a->v[w],
            b->v[w]);
}

static bool compare(const struct pv_check *dev, const struct pv_check *ref, const char *what, double *worst)
{
    bool ok = dev->num_res == ref->num_res;
    for (int i = 0; ok && i < ref->num_res; i++) {
        const struct value *a = &dev->res[i], *b = &ref->res[i];
        double tol = (strncmp(b->name, "d(", 2) ? ref->op->tol : ref->op->tol_grad) * ref->loosen;
        double err = b->n == a->n ? error_of(a, b) : INFINITY;
        *worst = err > *worst ? err : *worst;
        if (b->exact ? err > 0 : !(err <= tol)) {
            ok = false;
            say(ref, what, a, b, err, tol);
        }
    }
    return ok;
}

static bool same_bits(const struct pv_check *a, const struct pv_check *b)
{
    for (int i = 0; i < a->num_res; i++)
        if (a->num_res != b->num_res || a->res[i].n != b->res[i].n ||
            memcmp(a->res[i].v, b->res[i].v, sizeof(double) * (size_t)a->res[i].n))
            return pv_fail(PV_FAULT_DEVICE, "%s case %d: a second run gives other bits in '%s'", a->op->name,
                           a->index, a->res[i].name);
    return true;
}

static bool device_case(struct pv_check *d, struct pv_check *r, uint64_t seed, double *worst)
{
    struct pv_check first = {0};
    const int swap = d->small && d->index % 2;      /* gradients are added first */
    bool ok = true;
    for (int i = 0; i < 2 && ok && !(i && d->once); i++) {
        const bool accum = i != swap;
        ok = run_case(r, seed, true, accum) && run_case(d, seed, true, accum) &&
             compare(d, r, accum ? "adding gradients, result" : "result", worst);
        if (ok && !accum && !d->small) {
            first = *d;
            d->num_res = 0;
            ok = run_case(d, seed, true, false) && same_bits(d, &first);
            free_results(&first);
        }
        free_results(d);
        free_results(r);
    }
    return ok;
}

/* Sum over outputs of <b - a, dy> with the dy of run_case. (Differences first: a large sum beside a small mean would
 * drown it.) */
static double change(const struct pv_check *a, const struct pv_check *b, uint64_t seed)
{
    struct pv_rng grng = pv_rng_make(seed, pv_stream("gradients", (uint64_t)a->index, 0));
    double sum = 0;
    for (int i = 0; i < a->num_res; i++)
        for (int64_t j = 0; a->seeded[i] && j < a->res[i].n; j++)
            sum += (b->res[i].v[j] - a->res[i].v[j]) * (float)(2 * pv_rng_uniform(&grng) - 1);
    return sum;
}

/* Central difference of the objective by element `at` of an input; false if a run fails. */
static bool central(struct pv_check *k, uint64_t seed, int input, int64_t at, double *fd)
{
    const double h = 1e-6;
    k->fd_input = input;
    k->fd_at = at;
    k->fd_step = -h;
    bool ok = run_case(k, seed, false, false);
    struct pv_check low = *k;
    k->num_res = 0;
    k->fd_step = h;
    ok = ok && run_case(k, seed, false, false);
    if (ok)
        *fd = change(&low, k, seed) / (2 * h);
    free_results(&low);
    free_results(k);
    k->fd_input = -1;
    return ok;
}

static bool fd_case(struct pv_check *k, uint64_t seed, double *worst)
{
    k->fd_input = -1;
    if (!run_case(k, seed, true, false))
        return false;
    struct value grads[MAX_IN];
    int num = 0, inputs[MAX_IN];
    for (int i = 0; i < k->num_res; i++)
        if (!strncmp(k->res[i].name, "d(input ", 8)) {
            inputs[num] = atoi(k->res[i].name + 8);
            grads[num] = k->res[i];
            grads[num].v = pv_alloc(sizeof(double) * (size_t)grads[num].n);
            memcpy(grads[num].v, k->res[i].v, sizeof(double) * (size_t)grads[num].n);
            num++;
        }
    free_results(k);
    bool ok = true;
    struct pv_rng pick = pv_rng_make(seed, pv_stream("fd", (uint64_t)k->index, 0));
    for (int g = 0; g < num && ok; g++) {
        double scale = 1e-12;
        for (int64_t i = 0; i < grads[g].n; i++)
            scale = fabs(grads[g].v[i]) > scale ? fabs(grads[g].v[i]) : scale;
        for (int j = 0; j < 6 && ok; j++) {
            int64_t at = pv_rng_below(&pick, (uint32_t)grads[g].n);
            double fd = 0;
            ok = central(k, seed, inputs[g], at, &fd);
            double err = fabs(fd - grads[g].v[at]) / scale;
            *worst = err > *worst ? err : *worst;
            if (ok && !(err <= 2e-4))
                ok = pv_fail(PV_FAULT_INTERNAL, "%s case %d: %s[%lld] is %.9g, central difference %.9g",
                             k->op->name, k->index, grads[g].name, (long long)at, grads[g].v[at], fd);
        }
    }
    for (int g = 0; g < num; g++)
        pv_free(grads[g].v);
    return ok;
}

/* ---- all cases ---- */

static bool wanted(const char *op, const char *part) { return !part || strstr(op, part) != NULL; }

/* How to run a failed case again. */
static void say_again(const struct pv_check_opts *o, const pv_dev *dev, const char *op, const char *impl, int number)
{
    const struct pv_dev_opts *d = pv_dev_get_opts(dev);
    const struct pv_limits *l = &d->lower;
    struct pv_str s = {0};
    pv_str_addf(&s, "protovox selftest --device %s --op %s --case %d --seed %llu", pv_dev_get_info(dev)->id, op, number,
                (unsigned long long)o->seed);
    if (d->force_class)
        pv_str_addf(&s, " --class %s", d->force_class);
    if (impl)
        pv_str_addf(&s, " --impl %s", impl);
    if (o->small)
        pv_str_addf(&s, " --small");
    const struct { const char *name; uint64_t v; } lower[] = {{"binding", l->max_binding}, {"alloc", l->max_alloc},
        {"memory", l->memory}, {"wg", l->max_wg}, {"local", l->local_bytes}, {"groups", l->max_groups},
        {"work", l->max_work}};
    for (size_t i = 0, n = 0; i < PV_COUNT(lower); i++)
        if (lower[i].v)
            pv_str_addf(&s, "%s%s=%llu", n++ ? "," : " --limit ", lower[i].name, (unsigned long long)lower[i].v);
    if (l->subgroup)
        pv_str_addf(&s, "%ssubgroup=0", strstr(s.text, " --limit ") ? "," : " --limit ");
    pv_log(PV_LOG_ERROR, "  again with: %s", s.text);
    pv_str_free(&s);
}

struct runner { const struct pv_check_opts *o; pv_dev *dev; pv_tape *rt, *dt; };

static bool one_case(const struct runner *w, const struct pv_check_op *op, const char *impl, int number, double *worst)
{
    const struct pv_check_opts *o = w->o;
    struct pv_check r = {.tape = w->rt, .op = op, .index = number, .fd_input = -1, .small = o->small, .opts = o}, d = r;
    d.tape = w->dt;
    d.opts = NULL;
    w->dt->force_impl = impl;
    pv_fault_clear();
    bool ok = o->finite_differences ? fd_case(&r, o->seed, worst) : device_case(&d, &r, o->seed, worst);
    if (!ok)
        say_again(o, w->dev, op->name, impl, number);
    return ok;
}

static void one_op(const struct runner *w, const struct pv_check_op *op, const char *impl, struct pv_check_result *sum)
{
    const struct pv_check_opts *o = w->o;
    int passed = 0, failed = 0;
    double worst = 0;
    uint64_t t0 = pv_clock_ns();
    /* small cases have no fixed sizes, but some ops a function for each number */
    const int num = o->small && op->fixed < 10 ? o->cases : pv_max(o->cases, op->fixed);
    for (int c = 0; c < num; c++)
        if ((o->only_case < 0 || c == o->only_case) && !pv_dev_failed(w->dev)) {
            bool ok = one_case(w, op, impl, c, &worst);
            passed += ok;
            failed += !ok;
            if (pv_dev_failed(w->dev))
                pv_log(PV_LOG_ERROR, "  the device does no more work: what follows is not checked");
        }
    sum->passed += passed;
    sum->failed += failed;
    if (o->row && passed + failed)
        o->row(o->user, op->name, impl, passed, failed, worst, (double)(pv_clock_ns() - t0) * 1e-9);
}

struct pv_check_result pv_check_run(pv_dev *dev, const struct pv_check_opts *o)
{
    struct pv_check_result sum = {0};
    pv_dev *refdev = pv_dev_open("ref:0", &(struct pv_dev_opts){.guard = true, .poison = true});
    if (!refdev)
        return (struct pv_check_result){0, 1};
    const struct runner w = {o, dev, pv_tape_new(refdev), pv_tape_new(dev)};
    const struct pv_check_family *list = o->families ? o->families : pv_check_families;
    for (int f = 0; list[f].name; f++)
        for (int i = 0; list[f].ops[i]; i++) {
            const struct pv_check_op *op = list[f].ops[i];
            if ((o->family && !pv_streq(o->family, list[f].name)) || !wanted(op->name, o->op))
                continue;
            if (op->rounds && o->finite_differences)
                continue;
            if (!op->impls || o->finite_differences)
                one_op(&w, op, NULL, &sum);
            else
                for (int m = 0; op->impls[m]; m++)
                    if ((!o->impl || pv_streq(o->impl, op->impls[m])) && (!op->has || op->has(dev, op->impls[m])))
                        one_op(&w, op, op->impls[m], &sum);
        }
    pv_tape *rt = w.rt, *dt = w.dt;
    pv_tape_free(&rt);
    pv_tape_free(&dt);
    pv_dev_close(&refdev);
    return sum;
}
