/* SPDX-License-Identifier: Apache-2.0
 * Lists of layer shapes. */
#include <stdio.h>
#include <string.h>

#include "base/embed.h"
#include "bench/bench.h"
#include "platform/platform.h"

extern const struct pv_embedded pv_embedded_shapes[];

static const struct { const char *name; bool conv; } ops[] = {
    {"conv", true}, {"up", true}, {"stem", true}, {"head", true}, {"batch_norm", false}, {"instance_norm", false},
    {"dropout", false}, {"max_pool", false}, {"resize_up", false}, {"softmax", false}, {"entropy", false},
    {"cosine", false}, {"cross_entropy", false}, {"dice", false}, {"sgd", false}, {"ema", false}};

/* `where`: "file:line" or "--op". */
static int find_op(const char *name, enum pv_fault kind, const char *where)
{
    struct pv_str known = {0};
    for (size_t i = 0; i < PV_COUNT(ops); i++) {
        if (pv_streq(ops[i].name, name)) {
            pv_str_free(&known);
            return (int)i;
        }
        pv_str_addf(&known, "%s%s", i ? ", " : "", ops[i].name);
    }
    pv_fail(kind, "%s: there is no op '%s' to measure; known are %s", where, name, known.text);
    pv_str_free(&known);
    return -1;
}

/* One line; l->op is NULL for an empty one. False after a fault. */
static bool parse_line(char *text, const char *where, struct pv_layer *l)
{
    struct pv_strs w = {0};
    *l = (struct pv_layer){.k = 1, .stride = 1, .n = 1};
    text[strcspn(text, "#")] = 0;
    pv_strs_split(&w, text, " \t\r");
    if (w.n == 0)
        return true;
    int op = find_op(w.v[0], PV_FAULT_INPUT, where);
    bool ok = op >= 0;
    if (ok) {
        l->op = ops[op].name;
        l->conv = ops[op].conv;
        int64_t v[5] = {0, 0, 1, 1, 1};
        size_t at = 1, num = l->conv ? 4 : 1;
        for (size_t i = 0; i < num; i++, at++)
            ok = ok && at < w.n && pv_parse_i64(w.v[at], &v[i]) && v[i] > 0 && v[i] < 65536;
        ok = ok && at < w.n && pv_parse_shape(w.v[at++], l->s);
        if (ok && at < w.n)
            ok = pv_parse_i64(w.v[at++], &v[4]) && v[4] > 0 && v[4] < 65536;
        l->ci = (int)v[0];
        l->co = (int)v[1];
        l->k = (int)v[2];
        l->stride = (int)v[3];
        l->n = (int)v[4];
        if (!ok || at != w.n)
            ok = pv_fail(PV_FAULT_INPUT, "%s: '%s' takes %s", where, l->op, l->conv
                         ? "CHANNELS_IN CHANNELS_OUT SIDE STRIDE XxYxZ [N]" : "CHANNELS XxYxZ [N]");
    }
    pv_strs_free(&w);
    return ok;
}

static char *read_list(const char *name)
{
    struct pv_str known = {0};
    char *text = NULL;
    size_t size;
    for (const struct pv_embedded *e = pv_embedded_shapes; e->name; e++) {
        if (pv_streq(e->name, name))
            text = pv_strdup(e->data);
        pv_str_addf(&known, "%s%s", known.len ? ", " : "", e->name);
    }
    if (!text && !pv_file_exists(name))
        pv_fail(PV_FAULT_USAGE, "there is no list of shapes '%s'; known are %s, or a text file", name, known.text);
    else if (!text)
        pv_read_file(name, &text, &size);
    pv_str_free(&known);
    return text;
}

struct pv_layer *pv_layers_read(const char *list, const char *op, int *num)
{
    char *text = NULL;
    struct pv_layer *v = NULL;
    *num = 0;
    bool ok = (!op || find_op(op, PV_FAULT_USAGE, "--op") >= 0) && (text = read_list(list));
    int line = 0;
    for (char *at = text, *end; ok && at; at = end) {
        end = strchr(at, '\n');
        if (end)
            *end++ = 0;
        struct pv_layer l;
        char *where = pv_asprintf("%s:%d", list, ++line);
        ok = parse_line(at, where, &l);
        if (ok && l.op && (!op || pv_streq(l.op, op))) {
            v = pv_realloc(v, (size_t)(*num + 1) * sizeof *v);
            v[(*num)++] = l;
        }
        pv_free(where);
    }
    pv_free(text);
    if (!ok) {
        pv_free(v);
        return NULL;
    }
    return v ? v : pv_alloc(sizeof *v);
}

/* ---- what a layer costs ---- */

double pv_layer_gflop(const struct pv_layer *l)
{
    if (!l->conv)
        return 0;
    double taps = (double)l->k * l->k * l->k, voxels = (double)l->n * l->s[0] * l->s[1] * l->s[2];
    if (!pv_streq(l->op, "up"))
        voxels /= (double)l->stride * l->stride * l->stride;
    return 2e-9 * taps * voxels * l->ci * l->co;
}

double pv_layer_gbyte(const struct pv_layer *l, int passes, bool backward)
{
    double voxels = (double)l->n * l->s[0] * l->s[1] * l->s[2];
    if (!l->conv)
        return 4e-9 * voxels * l->ci * (backward ? 2 * passes + 1 : passes);
    double out = pv_streq(l->op, "up") ? 8 * voxels : voxels / ((double)l->stride * l->stride * l->stride);
    return 4e-9 * (voxels * l->ci + out * l->co + (double)l->k * l->k * l->k * l->ci * l->co);
}

pv_json *pv_layer_row(const struct pv_layer *l, const char *phase, const char *impl)
{
    pv_json *r = pv_json_object();
    char shape[64];
    snprintf(shape, sizeof shape, "%dx%dx%d", l->s[0], l->s[1], l->s[2]);
    pv_json_set_str(r, "op", l->op);
    pv_json_set_num(r, "ci", l->ci);
    if (l->conv) {
        pv_json_set_num(r, "co", l->co);
        pv_json_set_num(r, "k", l->k);
        pv_json_set_num(r, "stride", l->stride);
    }
    pv_json_set_str(r, "input", shape);
    pv_json_set_num(r, "n", l->n);
    pv_json_set_str(r, "phase", phase);
    pv_json_set_str(r, "impl", impl);
    return r;
}

void pv_layer_put_times(pv_json *r, const struct pv_layer *l, double *v, int n, int passes, double fma_peak)
{
    struct pv_spread s = pv_bench_put_times(r, v, n);
    double gf = pv_layer_gflop(l) / s.median * 1e3;
    bool backward = pv_starts(pv_json_str(r, "phase", ""), "bwd");
    if (l->conv) {
        pv_json_set_num(r, "gflops", gf);
        pv_json_set_num(r, "share_of_fma_peak", fma_peak > 0 ? gf / fma_peak : 0);
    }
    pv_json_set_num(r, "gbs", pv_layer_gbyte(l, passes, backward) / s.median * 1e3);
}
