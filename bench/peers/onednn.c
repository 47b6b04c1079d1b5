/* SPDX-License-Identifier: Apache-2.0
 * The convolutions of `protovox bench ops` on oneDNN 3, each in the format and by the implementation that is fastest
 * for it; results are of the same form (docs/bench.md). Every layout below, "any" (oneDNN's own choice) first, is tried
 * with every implementation that oneDNN offers for it. Reorders, packing of weights and allocation are not timed. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

#include "base/rng.h"
#include "bench/bench.h"
#include "cli/cli.h"
#include "platform/platform.h"

#if DNNL_VERSION_MAJOR != 3
#error "bench/peers/onednn.c is written for oneDNN 3"
#endif

enum role { X, W, B, Y, ROLES };
enum { FWD, DATA, WEIGHT, PASSES, PROBES = 16, MOST_WAYS = 64, MOST_REPS = 256 };
static const char *const pass_names[] = {"fwd", "bwd data", "bwd weight"};

/* What a pass reads; the last row of each is its result. */
static const struct operand { enum role role; dnnl_query_t query; int index, arg; } operands[PASSES][ROLES] = {
    {{X, dnnl_query_src_md, 0, DNNL_ARG_SRC}, {W, dnnl_query_weights_md, 0, DNNL_ARG_WEIGHTS},
     {B, dnnl_query_weights_md, 1, DNNL_ARG_BIAS}, {Y, dnnl_query_dst_md, 0, DNNL_ARG_DST}},
    {{Y, dnnl_query_diff_dst_md, 0, DNNL_ARG_DIFF_DST}, {W, dnnl_query_weights_md, 0, DNNL_ARG_WEIGHTS},
     {X, dnnl_query_diff_src_md, 0, DNNL_ARG_DIFF_SRC}},
    {{X, dnnl_query_src_md, 0, DNNL_ARG_SRC}, {Y, dnnl_query_diff_dst_md, 0, DNNL_ARG_DIFF_DST},
     {W, dnnl_query_diff_weights_md, 0, DNNL_ARG_DIFF_WEIGHTS}}};
static const int num_operands[PASSES] = {4, 3, 3};

/* Layouts of x and y; those of weights are always oneDNN's choice. */
static const struct layout { dnnl_format_tag_t x, y; } layouts[] = {
    {dnnl_format_tag_any, dnnl_format_tag_any}, {dnnl_nCdhw16c, dnnl_nCdhw16c}, {dnnl_ndhwc, dnnl_ndhwc},
    {dnnl_ncdhw, dnnl_ncdhw}, {dnnl_ncdhw, dnnl_nCdhw16c}, {dnnl_nCdhw16c, dnnl_ncdhw}};
static const struct { const char *name; dnnl_alg_kind_t down, up; } algorithms[] = {
    {"direct", dnnl_convolution_direct, dnnl_deconvolution_direct},
    {"winograd", dnnl_convolution_winograd, dnnl_deconvolution_winograd},
    {"auto", dnnl_convolution_auto, dnnl_alg_kind_undef}};

struct one {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr;     /* strict fp32; scratch memory is ours, so that it is not allocated in a call */
    bool plain;                     /* a run begins with weights, and ends with their gradients, in PyTorch's order */
    pv_json *like;                  /* an earlier result: take the ways of its rows; NULL: measure all */
    double error;                   /* largest of all checks, relative to the sum of absolute terms */
    int checked;
};

/* y[o][p] = b[o] + sum of w[o][i][t] x[i][p * stride + t - pad] over i and t; `up`: the same with x and y exchanged but
 * for the bias. */
struct conv {
    const struct pv_layer *l;
    bool up;
    int num_dims[ROLES];
    dnnl_dims_t dims[ROLES], stride, dilate, pad, pad_end;
    dnnl_memory_t plain[ROLES];     /* in PyTorch's order, random */
};

/* A pass done in one way: an implementation with its formats. */
struct way {
    dnnl_primitive_desc_t desc;     /* borrowed while it is made */
    dnnl_primitive_t run;
    dnnl_primitive_t convert;       /* for one.plain, or NULL: reorders before the run or (last) after it */
    dnnl_memory_t from, to;
    bool last;
    dnnl_memory_t mem[ROLES], scratch;
    bool own[ROLES];
    dnnl_exec_arg_t args[ROLES + 1];
    int num_args;
    char impl[64], formats[96], label[192];
    const char *algorithm;
    double ms;
};

static bool ok(dnnl_status_t s, const char *what)
{
    return s == dnnl_success || pv_fail(PV_FAULT_DEVICE, "oneDNN: %s: %s", what, dnnl_status2str(s));
}
#define ONE(call) ok((call), #call)

/* ---- memory ---- */

static size_t count(const struct conv *c, enum role r)
{
    size_t n = 1;
    for (int i = 0; i < c->num_dims[r]; i++)
        n *= (size_t)c->dims[r][i];
    return n;
}

static float *map(dnnl_memory_t m)
{
    void *p = NULL;
    return ONE(dnnl_memory_map_data(m, &p)) ? p : NULL;
}

static bool fill(struct conv *c, enum role r, float scale)
{
    float *v = map(c->plain[r]);
    if (!v)
        return false;
    size_t n = count(c, r);
    struct pv_rng rng = pv_rng_make(1 + (uint64_t)r, pv_stream("bench", n, 0));
    for (size_t i = 0; i < n; i++)
        v[i] = scale * (float)(2 * pv_rng_uniform(&rng) - 1);
    return ONE(dnnl_memory_unmap_data(c->plain[r], v));
}

static bool zero(dnnl_memory_t m)
{
    const_dnnl_memory_desc_t d;
    float *v = ONE(dnnl_memory_get_memory_desc(m, &d)) ? map(m) : NULL;
    if (!v)
        return false;
    memset(v, 0, dnnl_memory_desc_get_size(d));
    return ONE(dnnl_memory_unmap_data(m, v));
}

static bool reorder_make(struct one *o, dnnl_memory_t from, dnnl_memory_t to, dnnl_primitive_t *run)
{
    const_dnnl_memory_desc_t a, b;
    dnnl_primitive_desc_t d = NULL;
    bool fine = ONE(dnnl_memory_get_memory_desc(from, &a)) && ONE(dnnl_memory_get_memory_desc(to, &b)) &&
                ONE(dnnl_reorder_primitive_desc_create(&d, a, o->engine, b, o->engine, NULL)) &&
                ONE(dnnl_primitive_create(run, d));
    dnnl_primitive_desc_destroy(d);
    return fine;
}

static bool reorder_run(struct one *o, dnnl_primitive_t run, dnnl_memory_t from, dnnl_memory_t to)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    return ONE(dnnl_primitive_execute(run, o->stream, 2, args));
}

static bool reorder(struct one *o, dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_primitive_t run = NULL;
    bool fine = reorder_make(o, from, to, &run) && reorder_run(o, run, from, to) && ONE(dnnl_stream_wait(o->stream));
    dnnl_primitive_destroy(run);
    return fine;
}

static dnnl_memory_desc_t describe(const struct conv *c, enum role r, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t d = NULL;
    if (r == B)
        tag = dnnl_a;
    return ONE(dnnl_memory_desc_create_with_tag(&d, c->num_dims[r], c->dims[r], dnnl_f32, tag)) ? d : NULL;
}

static void conv_free(struct conv *c)
{
    for (int r = 0; r < ROLES; r++)
        dnnl_memory_destroy(c->plain[r]);
}

static bool conv_make(struct one *o, const struct pv_layer *l, struct conv *c)
{
    static const float scales[ROLES] = {1, 0.1f, 1, 1};
    *c = (struct conv){.l = l, .up = pv_streq(l->op, "up"), .num_dims = {5, 5, 1, 5}};
    c->dims[X][0] = c->dims[Y][0] = l->n;
    c->dims[X][1] = c->dims[W][1] = l->ci;
    c->dims[Y][1] = c->dims[W][0] = c->dims[B][0] = l->co;
    int pad = l->k == 2 ? 0 : (l->k - 1) / 2;
    for (int i = 0; i < 3; i++) {
        int in = l->s[i], stride = c->up ? 2 : l->stride;
        int out = c->up ? 2 * in : (in + 2 * pad - l->k) / stride + 1;
        c->dims[X][2 + i] = in;
        c->dims[W][2 + i] = l->k;
        c->dims[Y][2 + i] = out;
        c->stride[i] = stride;
        c->pad[i] = pad;
        c->pad_end[i] = c->up ? (in - 1) * 2 + l->k - pad - out : pad;
        if (out < 1 || (c->up && l->k != 2 && l->k != 3))
            return pv_fail(PV_FAULT_INPUT, "%s with side %d on an input of %d: no such layer", l->op, l->k, in);
    }
    bool fine = true;
    for (int r = 0; r < ROLES && fine; r++) {
        dnnl_memory_desc_t d = describe(c, r, dnnl_abcde);
        fine = d && ONE(dnnl_memory_create(&c->plain[r], d, o->engine, DNNL_MEMORY_ALLOCATE)) && fill(c, r, scales[r]);
        dnnl_memory_desc_destroy(d);
    }
    return fine;
}

/* ---- what a result must be ---- */

/* One element of a pass's result in double, and the sum of its terms' absolute values. v: the plain numbers. */
static double element(const struct conv *c, int pass, float *const *v, size_t at, double *size)
{
    enum role out = operands[pass][num_operands[pass] - 1].role, fine = c->up ? Y : X, coarse = c->up ? X : Y;
    const dnnl_dim_t *f = c->dims[fine], *s = c->dims[coarse], *w = c->dims[W], *own = c->dims[out];
    dnnl_dim_t p[5];
    double sum = 0;
    for (int i = 4; i >= 0; at /= (size_t)own[i], i--)
        p[i] = (dnnl_dim_t)(at % (size_t)own[i]);
    /* all (sample, channel of x, channel of y, tap, coarse place) that p leaves free */
    bool grads = out == W, is_fine = out == fine;
    dnnl_dim_t taps = w[2] * w[3] * w[4], places = s[2] * s[3] * s[4];
    dnnl_dim_t others = grads ? c->l->n : w[out == X ? 0 : 1];
    *size = 0;
    for (dnnl_dim_t k = 0; k < others; k++) {
        dnnl_dim_t n = grads ? k : p[0], o = grads ? p[0] : out == Y ? p[1] : k, i = grads || out == X ? p[1] : k;
        for (dnnl_dim_t j = 0; j < (grads ? places : taps); j++) {
            dnnl_dim_t t[3], q[3], e[3];        /* tap, coarse place, fine place */
            bool inside = true;
            for (int a = 0; a < 3; a++) {
                dnnl_dim_t below = 1;
                const dnnl_dim_t *all = grads ? s : w;
                for (int b = a + 1; b < 3; b++)
                    below *= all[2 + b];
                dnnl_dim_t free = j / below % all[2 + a];
                t[a] = grads ? p[2 + a] : free;
                q[a] = grads ? free : is_fine ? (p[2 + a] + c->pad[a] - t[a]) / c->stride[a] : p[2 + a];
                e[a] = q[a] * c->stride[a] + t[a] - c->pad[a];
                inside = inside && q[a] >= 0 && q[a] < s[2 + a] && e[a] >= 0 && e[a] < f[2 + a] &&
                         (!is_fine || e[a] == p[2 + a]);
            }
            if (!inside)
                continue;
            size_t kf = (size_t)(fine == X ? i : o), kc = (size_t)(fine == X ? o : i);
            size_t iw = (((size_t)(o * w[1] + i) * (size_t)w[2] + (size_t)t[0]) * (size_t)w[3] + (size_t)t[1]) *
                        (size_t)w[4] + (size_t)t[2];
            size_t jf = ((((size_t)(n * f[1]) + kf) * (size_t)f[2] + (size_t)e[0]) * (size_t)f[3] + (size_t)e[1]) *
                        (size_t)f[4] + (size_t)e[2];
            size_t jc = ((((size_t)(n * s[1]) + kc) * (size_t)s[2] + (size_t)q[0]) * (size_t)s[3] + (size_t)q[1]) *
                        (size_t)s[4] + (size_t)q[2];
            double term = out != W ? (double)v[W][iw] * v[is_fine ? coarse : fine][is_fine ? jc : jf]
                                   : (double)v[fine][jf] * v[coarse][jc];
            sum += term;
            *size += fabs(term);
        }
    }
    if (pass == FWD) {
        sum += v[B][p[1]];
        *size += fabs(v[B][p[1]]);
    }
    return sum;
}

/* Runs the way once and compares `probes` elements (0: all) of its result. */
static bool check(struct one *o, const struct conv *c, int pass, const struct way *y, size_t probes)
{
    enum role out = operands[pass][num_operands[pass] - 1].role;
    dnnl_memory_t got = NULL;
    dnnl_memory_desc_t d = describe(c, out, dnnl_abcde);
    float *v[ROLES] = {NULL}, *g = NULL;
    bool fine = d && ONE(dnnl_primitive_execute(y->run, o->stream, y->num_args, y->args)) &&
                ONE(dnnl_stream_wait(o->stream)) &&
                ONE(dnnl_memory_create(&got, d, o->engine, DNNL_MEMORY_ALLOCATE)) && reorder(o, y->mem[out], got);
    for (int r = 0; r < ROLES && fine; r++)
        fine = (v[r] = map(c->plain[r])) != NULL;
    size_t n = count(c, out), num = probes && probes < n ? probes : n;
    struct pv_rng rng = pv_rng_make(7, pv_stream("probe", n, 0));
    double worst = 0;
    fine = fine && (g = map(got)) != NULL;
    for (size_t i = 0; i < num && fine; i++) {
        size_t at = num < n ? (size_t)(pv_rng_uniform(&rng) * (double)n) : i;
        double size, want = element(c, pass, v, at < n ? at : n - 1, &size), e = fabs(g[at < n ? at : n - 1] - want);
        worst = isfinite(e) ? fmax(worst, size > 0 ? e / size : e) : INFINITY;
    }
    if (g)
        dnnl_memory_unmap_data(got, g);
    for (int r = 0; r < ROLES; r++)
        if (v[r])
            dnnl_memory_unmap_data(c->plain[r], v[r]);
    dnnl_memory_destroy(got);
    dnnl_memory_desc_destroy(d);
    o->error = fmax(o->error, worst);
    o->checked++;
    if (fine && worst > 2e-6)
        return pv_fail(PV_FAULT_DEVICE, "oneDNN's %s of %s %d -> %d, %s, differs from a plain loop by %.2g of the sum "
                       "of its terms (2e-6 is allowed): nothing is timed", pass_names[pass], c->l->op, c->l->ci,
                       c->l->co, y->label, worst);
    return fine;
}

/* ---- ways ---- */

/* "aBcde16b" of a descriptor: axes by stride, blocked ones as capitals, then the blocks. */
static void format_name(const_dnnl_memory_desc_t d, char *s, size_t room)
{
    int32_t nd = 0, nb = 0;
    const dnnl_dims_t *strides, *blocks, *axes;
    if (dnnl_memory_desc_query(d, dnnl_query_ndims_s32, &nd) ||
        dnnl_memory_desc_query(d, dnnl_query_strides, &strides) ||
        dnnl_memory_desc_query(d, dnnl_query_inner_nblks_s32, &nb) ||
        dnnl_memory_desc_query(d, dnnl_query_inner_blks, &blocks) ||
        dnnl_memory_desc_query(d, dnnl_query_inner_idxs, &axes)) {
        snprintf(s, room, "opaque");
        return;
    }
    const dnnl_dim_t *stride = *strides, *block = *blocks, *axis = *axes;
    int order[DNNL_MAX_NDIMS], len = 0;
    for (int i = 0; i < nd; i++) {
        int k = i;
        for (; k > 0 && stride[order[k - 1]] < stride[i]; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    for (int i = 0; i < nd; i++) {
        bool blocked = false;
        for (int k = 0; k < nb; k++)
            blocked = blocked || axis[k] == order[i];
        len += snprintf(s + len, room - (size_t)len, "%c", (blocked ? 'A' : 'a') + order[i]);
    }
    for (int k = 0; k < nb && (size_t)len + 8 < room; k++)
        len += snprintf(s + len, room - (size_t)len, "%d%c", (int)block[k], 'a' + (int)axis[k]);
}

static void way_name(struct way *y, int pass)
{
    const char *impl = NULL;
    dnnl_primitive_desc_query(y->desc, dnnl_query_impl_info_str, 0, &impl);
    snprintf(y->impl, sizeof y->impl, "%s", impl ? impl : "unnamed");
    char f[ROLES][32] = {"", "", "", ""};
    for (int i = 0; i < num_operands[pass]; i++) {
        const struct operand *q = &operands[pass][i];
        format_name(dnnl_primitive_desc_query_md(y->desc, q->query, q->index), f[q->role], sizeof f[0]);
    }
    snprintf(y->formats, sizeof y->formats, "%s %s %s", f[X], f[W], f[Y]);
    snprintf(y->label, sizeof y->label, "%s %s", y->impl, y->formats);
}

static void way_free(struct way *y)
{
    for (int r = 0; r < ROLES; r++)
        if (y->own[r])
            dnnl_memory_destroy(y->mem[r]);
    dnnl_memory_destroy(y->scratch);
    dnnl_primitive_destroy(y->convert);
    dnnl_primitive_destroy(y->run);
    *y = (struct way){0};
}

/* The primitive and its memory, filled. False without a fault if oneDNN cannot after all. */
static bool way_make(struct one *o, const struct conv *c, int pass, struct way *y)
{
    if (dnnl_primitive_create(&y->run, y->desc) != dnnl_success)
        return false;
    int num = num_operands[pass];
    for (int i = 0; i < num; i++) {
        const struct operand *q = &operands[pass][i];
        const_dnnl_memory_desc_t d = dnnl_primitive_desc_query_md(y->desc, q->query, q->index), plain;
        if (!d || !ONE(dnnl_memory_get_memory_desc(c->plain[q->role], &plain)))
            return false;
        y->own[q->role] = i == num - 1 || !dnnl_memory_desc_equal(d, plain);
        if (!y->own[q->role])
            y->mem[q->role] = c->plain[q->role];
        else if (!ONE(dnnl_memory_create(&y->mem[q->role], d, o->engine, DNNL_MEMORY_ALLOCATE)) ||
                 (i < num - 1 ? !reorder(o, c->plain[q->role], y->mem[q->role]) : !zero(y->mem[q->role])))
            return false;
        y->args[y->num_args++] = (dnnl_exec_arg_t){q->arg, y->mem[q->role]};
    }
    const_dnnl_memory_desc_t s = dnnl_primitive_desc_query_md(y->desc, dnnl_query_scratchpad_md, 0);
    if (s && dnnl_memory_desc_get_size(s)) {
        if (!ONE(dnnl_memory_create(&y->scratch, s, o->engine, DNNL_MEMORY_ALLOCATE)))
            return false;
        y->args[y->num_args++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, y->scratch};
    }
    return true;
}

/* `runs` one after another, waited for once; *ms: of one. */
static bool sample(struct one *o, const struct way *y, int runs, double *ms)
{
    uint64_t t0 = pv_clock_ns();
    bool fine = true;
    for (int i = 0; i < runs && fine; i++)
        fine = (!y->convert || y->last || reorder_run(o, y->convert, y->from, y->to)) &&
               ONE(dnnl_primitive_execute(y->run, o->stream, y->num_args, y->args)) &&
               (!y->convert || !y->last || reorder_run(o, y->convert, y->from, y->to));
    fine = fine && ONE(dnnl_stream_wait(o->stream));
    *ms = (double)(pv_clock_ns() - t0) * 1e-6 / runs;
    return fine;
}

static bool once(struct one *o, const struct way *y, double *ms) { return sample(o, y, 1, ms); }

/* The first descriptor for an algorithm and a layout; NULL if there is none. *hint must live as long. */
static dnnl_primitive_desc_t desc_make(struct one *o, const struct conv *c, int pass, dnnl_alg_kind_t alg,
                                       const struct layout *f, dnnl_primitive_desc_t *hint)
{
    dnnl_memory_desc_t x = describe(c, X, f->x), w = describe(c, W, dnnl_format_tag_any), b = describe(c, B, dnnl_a),
                       y = describe(c, Y, f->y);
    dnnl_primitive_desc_t fwd = NULL, d = NULL;
    const dnnl_dim_t *s = c->stride, *z = c->dilate, *p = c->pad, *e = c->pad_end;
    dnnl_status_t r = (c->up ? dnnl_deconvolution_forward_primitive_desc_create
                             : dnnl_convolution_forward_primitive_desc_create)(
        &fwd, o->engine, dnnl_forward_training, alg, x, w, pass == FWD ? b : NULL, y, s, z, p, e, o->attr);
    if (r == dnnl_success && pass == DATA)
        (c->up ? dnnl_deconvolution_backward_data_primitive_desc_create
               : dnnl_convolution_backward_data_primitive_desc_create)(&d, o->engine, alg, x, w, y, s, z, p, e, fwd,
                                                                       o->attr);
    if (r == dnnl_success && pass == WEIGHT)
        (c->up ? dnnl_deconvolution_backward_weights_primitive_desc_create
               : dnnl_convolution_backward_weights_primitive_desc_create)(&d, o->engine, alg, x, w, NULL, y, s, z, p, e,
                                                                          fwd, o->attr);
    *hint = pass == FWD ? NULL : fwd;
    const dnnl_memory_desc_t all[] = {x, w, b, y};
    for (size_t i = 0; i < PV_COUNT(all); i++)
        dnnl_memory_desc_destroy(all[i]);
    return pass == FWD ? fwd : d;
}

struct search {
    struct one *o;
    const struct conv *c;
    int pass;
    const char *only;               /* label of the one way wanted; NULL: all */
    bool all, refs;                 /* check every way; also the reference implementations */
    char seen[MOST_WAYS][192];
    int num_seen;
    struct way best;
    pv_json *tried;
};

/* Tries one way; the faster of it and the best is kept. */
static bool try_way(struct search *s, struct way *y)
{
    way_name(y, s->pass);
    for (int i = 0; i < s->num_seen; i++)
        if (pv_streq(s->seen[i], y->label))
            return true;
    bool ref = pv_starts(y->impl, "ref") || strstr(y->impl, ":ref") != NULL;
    if (s->num_seen == MOST_WAYS || (ref && !s->refs) || (s->only && !pv_streq(s->only, y->label)))
        return true;
    snprintf(s->seen[s->num_seen++], sizeof s->seen[0], "%s", y->label);
    double ms = 0, again = 0;
    bool made = way_make(s->o, s->c, s->pass, y);
    bool fine = pv_fault_kind() == PV_FAULT_NONE;
    if (made) {
        fine = (!s->all || check(s->o, s->c, s->pass, y, 0)) && once(s->o, y, &ms);
        y->ms = ms;
        bool worth = !s->only && (!s->best.run || ms < 3 * s->best.ms);    /* the first run is colder than others */
        for (int i = 0; i < (y->ms < 2 ? 10 : 2) && fine && worth; i++)
            if ((fine = once(s->o, y, &again)) && (i == 0 || again < y->ms))
                y->ms = again;
        pv_json *t = pv_json_object();
        pv_json_set_str(t, "way", y->label);
        pv_json_set_num(t, "ms", y->ms);
        pv_json_add(s->tried, t);
    }
    if (made && fine && (!s->best.run || y->ms < s->best.ms)) {
        struct way old = s->best;
        s->best = *y;
        *y = old;
    }
    return fine;
}

static bool find_way(struct search *s)
{
    bool fine = true;
    for (size_t a = 0; a < PV_COUNT(algorithms) && fine; a++)
        for (size_t f = 0; f < PV_COUNT(layouts) && fine; f++) {
            dnnl_alg_kind_t alg = s->c->up ? algorithms[a].up : algorithms[a].down;
            dnnl_primitive_desc_t hint = NULL,
                                  d = alg ? desc_make(s->o, s->c, s->pass, alg, &layouts[f], &hint) : NULL;
            bool more = d != NULL;
            while (more && fine && !(s->only && s->best.run)) {
                struct way y = {.desc = d, .algorithm = algorithms[a].name};
                fine = try_way(s, &y);
                way_free(&y);
                more = dnnl_primitive_desc_next_impl(d) == dnnl_success;
            }
            dnnl_primitive_desc_destroy(d);
            dnnl_primitive_desc_destroy(hint);
        }
    s->best.desc = NULL;
    if (fine && !s->best.run && !s->refs) {
        s->refs = true;
        return find_way(s);
    }
    return fine;
}

/* ---- timing ---- */

/* The way that an earlier result took for this layer and pass; NULL if it has none. */
static const char *way_of(const pv_json *like, const struct pv_layer *l, const char *phase)
{
    static const char *const numbers[] = {"ci", "co", "k", "stride", "n"}, *const texts[] = {"op", "input", "phase"};
    pv_json *want = pv_layer_row(l, phase, "");
    const char *way = NULL;
    for (const pv_json *r = pv_json_at(pv_json_get(like, "rows"), 0); r && !way; r = pv_json_next(r)) {
        bool same = true;
        for (size_t i = 0; i < PV_COUNT(numbers); i++)
            same = same && pv_json_num(r, numbers[i], -1) == pv_json_num(want, numbers[i], -2);
        for (size_t i = 0; i < PV_COUNT(texts); i++)
            same = same && pv_streq(pv_json_str(r, texts[i], "?"), pv_json_str(want, texts[i], ""));
        if (same)
            way = pv_json_str(r, "way", NULL);
    }
    pv_json_free(want);
    return way;
}

static bool measure(struct one *o, const struct conv *c, int pass, const struct pv_bench_ops_args *a, pv_json *rows)
{
    struct search s = {.o = o, .c = c, .pass = pass, .tried = pv_json_array()};
    if (o->like && !(s.only = way_of(o->like, c->l, pass_names[pass]))) {
        pv_json_free(s.tried);
        return pv_fail(PV_FAULT_INPUT, "--like: has no %s of %s %d -> %d", pass_names[pass], c->l->op, c->l->ci,
                       c->l->co);
    }
    bool fine = find_way(&s);
    if (fine && !s.best.run)
        fine = pv_fail(PV_FAULT_DEVICE, "oneDNN has no %s for %s %d -> %d%s", pass_names[pass], c->l->op, c->l->ci,
                       c->l->co, s.only ? " in the way of --like" : "");
    fine = fine && check(o, c, pass, &s.best, PROBES);
    if (fine && o->plain) {
        s.best.last = pass == WEIGHT;
        s.best.from = s.best.last ? s.best.mem[W] : c->plain[W];
        s.best.to = s.best.last ? c->plain[W] : s.best.mem[W];
        fine = s.best.from == s.best.to || reorder_make(o, s.best.from, s.best.to, &s.best.convert);
    }
    if (fine && pass != FWD)            /* as in `bench ops`; all of them are multiplied nevertheless */
        fine = zero(s.best.mem[Y]);
    double v[MOST_REPS], skip;
    int n = 0, runs = 1;
    fine = fine && once(o, &s.best, &skip) && once(o, &s.best, &skip);
    if (fine && a->window > 0) {
        runs = pv_bench_runs(c->l, skip, a->window);
        fine = sample(o, &s.best, runs, &skip);
    }
    uint64_t t0 = pv_clock_ns();
    while (fine && n < a->reps && (n < 5 || (double)(pv_clock_ns() - t0) * 1e-9 < a->seconds))
        fine = sample(o, &s.best, runs, &v[n++]);
    if (fine && pass != FWD && !s.best.own[Y])
        fine = fill((struct conv *)c, Y, 1);
    if (fine) {
        pv_json *r = pv_layer_row(c->l, pass_names[pass], s.best.impl);
        pv_layer_put_times(r, c->l, v, n, 1, 0);
        pv_json_remove(r, "share_of_fma_peak");
        pv_json_set_num(r, "runs", runs);
        pv_json_set_str(r, "algorithm", s.best.algorithm);
        pv_json_set_str(r, "formats", s.best.formats);
        pv_json_set_str(r, "way", s.best.label);
        if (!s.only)
            pv_json_set(r, "tried", pv_json_copy(s.tried));
        pv_json_add(rows, r);
        printf("%-5s %3d -> %-3d %d/%d %-12s %-10s %9.3f ms  %s, %s\n", c->l->op, c->l->ci, c->l->co, c->l->k,
               c->l->stride, pv_json_str(r, "input", ""), pass_names[pass], pv_json_num(r, "ms_median", 0),
               s.best.impl, s.best.formats);
        fflush(stdout);
    }
    pv_json_free(s.tried);
    way_free(&s.best);
    return fine;
}

/* Every way of every kind at small shapes, whole results. */
static bool check_all(struct one *o)
{
    static const struct pv_layer small[] = {
        {"conv", true, 16, 32, 3, 1, 2, {5, 6, 7}}, {"conv", true, 5, 3, 3, 1, 1, {4, 6, 5}},
        {"conv", true, 16, 32, 2, 2, 1, {6, 4, 8}}, {"conv", true, 16, 16, 3, 2, 1, {6, 5, 7}},
        {"up", true, 32, 16, 2, 2, 1, {3, 4, 5}}, {"up", true, 16, 16, 3, 2, 1, {3, 4, 5}},
        {"stem", true, 1, 16, 3, 1, 1, {5, 6, 7}}, {"head", true, 16, 2, 1, 1, 2, {5, 6, 7}}};
    bool fine = true;
    for (size_t i = 0; i < PV_COUNT(small) && fine; i++) {
        struct conv c;
        fine = conv_make(o, &small[i], &c);
        for (int pass = 0; pass < PASSES && fine; pass++) {
            struct search s = {.o = o, .c = &c, .pass = pass, .all = true, .refs = true, .tried = pv_json_array()};
            fine = find_way(&s) && (s.best.run || pv_fail(PV_FAULT_DEVICE, "oneDNN has no %s for %s", pass_names[pass],
                                                          small[i].op));
            pv_json_free(s.tried);
            way_free(&s.best);
        }
        conv_free(&c);
    }
    return fine;
}

/* ---- the program ---- */

static const char *isa_name(int isa)
{
    static const struct { int isa; const char *name; } names[] = {
        {0x1, "SSE4.1"}, {0x3, "AVX"}, {0x7, "AVX2"}, {0xf, "AVX2 VNNI"}, {0x1f, "AVX2 VNNI 2"}, {0x27, "AVX-512"},
        {0x67, "AVX-512 VNNI"}, {0xe7, "AVX-512 BF16"}, {0x1ef, "AVX-512 FP16"}, {0xfef, "AVX-512 FP16 AMX"},
        {0x1fef, "AVX-512 FP16 AMX FP16"}, {0x201ff, "AVX10.2"}, {0x22fff, "AVX10.2 AMX 2"}};
    for (size_t i = 0; i < PV_COUNT(names); i++)
        if (names[i].isa == isa)
            return names[i].name;
    return "another ISA";
}

static pv_json *result_new(struct one *o)
{
    const dnnl_version_t *v = dnnl_version();
    unsigned rt = v->cpu_runtime;
    bool omp = rt == DNNL_RUNTIME_OMP;
    const char *runtime = omp ? "OpenMP" : rt == DNNL_RUNTIME_TBB ? "TBB" : rt == DNNL_RUNTIME_SEQ ? "one thread"
                          : rt == DNNL_RUNTIME_SYCL ? "SYCL" : "another runtime", *set = pv_env("OMP_NUM_THREADS");
    int64_t threads = pv_cpu_count(), given;
    if (omp && set && pv_parse_i64(set, &given) && given > 0)
        threads = given;
    int isa = (int)dnnl_get_effective_cpu_isa();
    pv_json *r = pv_bench_result("ops", NULL, NULL), *d = pv_json_object(), *checked = pv_json_object();
    char *driver = pv_asprintf("oneDNN %d.%d.%d, %s, %s", v->major, v->minor, v->patch, runtime, isa_name(isa));
    char *version = pv_asprintf("%d.%d.%d %s", v->major, v->minor, v->patch, v->hash ? v->hash : ""), *hex;
    hex = pv_asprintf("%s (0x%x)", isa_name(isa), (unsigned)isa);
    pv_json_set_str(r, "program", "bench/peers/onednn.c");
    pv_json_set_str(r, "name", "onednn");
    pv_json_set_str(r, "precision", "fp32");
    pv_json_set_str(r, "onednn", version);
    pv_json_set_str(r, "runtime", runtime);
    pv_json_set_str(r, "isa", hex);
    pv_json_set_num(r, "threads", (double)threads);
    pv_json_set_str(d, "id", "onednn");
    pv_json_set_str(d, "name", "cpu");
    pv_json_set_str(d, "driver", driver);
    pv_json_set_num(d, "compute_units", pv_cpu_count());
    pv_json_set_bool(r, "plain_weights", o->plain);
    pv_json_set(r, "device", d);
    pv_json_set_num(checked, "results", o->checked);
    pv_json_set_num(checked, "largest_error", o->error);
    pv_json_set(r, "checked", checked);
    pv_free(driver);
    pv_free(version);
    pv_free(hex);
    return r;
}

static pv_json *run_ops(struct one *o, const struct pv_bench_ops_args *a)
{
    int num;
    struct pv_layer *layers = pv_layers_read(a->shapes, a->op, &num);
    pv_json *rows = pv_json_array();
    bool fine = layers != NULL && (o->like || check_all(o));
    for (int i = 0; i < num && fine; i++) {
        struct conv c;
        if (!layers[i].conv)
            continue;
        fine = conv_make(o, &layers[i], &c);
        for (int pass = 0; pass < PASSES && fine; pass++)
            if ((pass != DATA || !pv_streq(layers[i].op, "stem")) &&
                (!a->phase || pv_starts(pass_names[pass], a->phase)))
                fine = measure(o, &c, pass, a, rows);
        conv_free(&c);
    }
    pv_free(layers);
    if (!fine) {
        pv_json_free(rows);
        return NULL;
    }
    pv_json *r = result_new(o);
    pv_json_set_str(r, "shapes", a->shapes);
    pv_json_set(r, "rows", rows);
    return r;
}

static bool one_open(struct one *o)
{
    return ONE(dnnl_engine_create(&o->engine, dnnl_cpu, 0)) &&
           ONE(dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags)) &&
           ONE(dnnl_primitive_attr_create(&o->attr)) &&
           ONE(dnnl_primitive_attr_set_fpmath_mode(o->attr, dnnl_fpmath_mode_strict)) &&
           ONE(dnnl_primitive_attr_set_scratchpad_mode(o->attr, dnnl_scratchpad_mode_user));
}

static void one_close(struct one *o)
{
    dnnl_primitive_attr_destroy(o->attr);
    dnnl_stream_destroy(o->stream);
    dnnl_engine_destroy(o->engine);
    pv_json_free(o->like);
}

static int run(int argc, char **argv);
static const struct pv_command onednn_command = {"bench_onednn", "convolutions on oneDNN",
    "  OMP_NUM_THREADS=2 bench_onednn [--shapes vnet] --out F.json", run};

static int run(int argc, char **argv)
{
    const char *out = NULL, *like = NULL;
    int64_t reps = 20;
    struct pv_bench_ops_args a = {.shapes = "vnet", .seconds = 1};
    struct one o = {0};
    const struct pv_opt opts[] = {
        {"shapes", PV_OPT_STR, &a.shapes, "NAME", "list of shapes as in protovox bench ops; only convolutions count"},
        {"op", PV_OPT_STR, &a.op, "NAME", "only this op"},
        {"phase", PV_OPT_STR, &a.phase, "NAME", "only fwd, \"bwd data\" or \"bwd weight\""},
        {"reps", PV_OPT_INT, &reps, "N", "timed repetitions (default 20)"},
        {"seconds", PV_OPT_NUM, &a.seconds, "S", "at most about so long, but 5 repetitions (default 1)"},
        {"window", PV_OPT_NUM, &a.window, "MS", "run one after another for about MS, then wait (0: wait each time)"},
        {"plain-weights", PV_OPT_FLAG, &o.plain, NULL, "time the reorders of weights and of their gradients too"},
        {"like", PV_OPT_STR, &like, "F.json", "take formats and implementations of this earlier result, search none"},
        {"out", PV_OPT_STR, &out, "F.json", "write the result there"},
        {0}};
    int code;
    if (pv_parse_opts(&onednn_command, opts, argc, argv, &code) != PV_PARSED)
        return code;
    if (reps < 5 || reps > MOST_REPS)
        return pv_fail(PV_FAULT_USAGE, "--reps takes 5 to %d", MOST_REPS), PV_FAULT_USAGE;
    a.reps = (int)reps;
    pv_json *r = (!like || (o.like = pv_json_read(like))) && one_open(&o) ? run_ops(&o, &a) : NULL;
    if (r) {
        struct pv_str cmd = {0};
        pv_str_add(&cmd, "bench_onednn");
        for (int i = 0; i < argc; i++)
            pv_str_addf(&cmd, " %s", argv[i]);
        pv_json_set_str(r, "command", cmd.text);
        pv_str_free(&cmd);
    }
    bool fine = r && (!out || pv_json_write(out, r));
    pv_json_free(r);
    one_close(&o);
    return fine ? 0 : pv_exit_code();
}

int main(int argc, char **argv)
{
    pv_main_args(&argc, &argv);
    return run(argc - 1, argv + 1);
}
