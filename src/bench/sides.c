/* SPDX-License-Identifier: Apache-2.0
 * Files with results become lists of named measurements. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/compare.h"

static void put(struct pv_side *s, const struct pv_measure *m)
{
    for (size_t i = 0; i < s->n; i++)
        if (pv_streq(s->v[i].name, m->name) && pv_streq(s->v[i].unit, m->unit)) {
            if (m->mid < s->v[i].mid) {
                char *name = s->v[i].name;
                s->v[i] = *m;
                s->v[i].name = name;
            }
            return;
        }
    s->v = pv_realloc(s->v, (s->n + 1) * sizeof *s->v);
    s->v[s->n] = *m;
    s->v[s->n++].name = pv_strdup(m->name);
}

static bool good(double v)
{
    return isfinite(v) && v > 0;
}

/* The times of an object with ms_median and what else it has. */
static bool times_of(const pv_json *o, const char *path, const char *where, struct pv_measure *m)
{
    m->unit = "ms";
    m->mid = pv_json_num(o, "ms_median", NAN);
    if (!good(m->mid))
        return pv_fail(PV_FAULT_INPUT, "%s: %s has no positive number ms_median", path, where);
    m->lo = pv_json_num(o, "ms_q1", pv_json_num(o, "ms_min", m->mid));
    m->hi = pv_json_num(o, "ms_q3", pv_json_num(o, "ms_max", m->mid));
    if (!good(m->lo) || !good(m->hi) || m->lo > m->mid || m->hi < m->mid)
        return pv_fail(PV_FAULT_INPUT, "%s: the times of %s are not in order (ms_min or ms_q1, ms_median, ms_max or "
                       "ms_q3)", path, where);
    return true;
}

/* ---- ops, io ---- */

static void op_name(const pv_json *r, struct pv_str *s)
{
    int k = (int)pv_json_num(r, "k", 0), n = (int)pv_json_num(r, "n", 1);
    pv_str_add(s, pv_json_str(r, "op", ""));
    if (pv_json_get(r, "ci"))
        pv_str_addf(s, " %d", (int)pv_json_num(r, "ci", 0));
    if (k)
        pv_str_addf(s, "-%d k%d/%d", (int)pv_json_num(r, "co", 0), k, (int)pv_json_num(r, "stride", 1));
    else if (pv_json_get(r, "co"))
        pv_str_addf(s, "-%d", (int)pv_json_num(r, "co", 0));
    pv_str_addf(s, " %s", pv_json_str(r, "input", ""));
    if (n > 1)
        pv_str_addf(s, " x%d", n);
    if (pv_json_get(r, "phase"))
        pv_str_addf(s, " %s", pv_json_str(r, "phase", ""));
}

static bool rows_of(struct pv_side *side, const pv_json *o, const char *path)
{
    const pv_json *rows = pv_json_get(o, "rows");
    if (!pv_json_is_array(rows))
        return pv_fail(PV_FAULT_INPUT, "%s: has no list `rows`", path);
    bool ok = true;
    int i = 0;
    for (const pv_json *r = pv_json_at(rows, 0); r && ok; r = pv_json_next(r)) {
        struct pv_measure m = {0};
        struct pv_str name = {0};
        char where[32];
        snprintf(where, sizeof where, "row %d", ++i);
        if (!pv_json_is_object(r) || !pv_json_str(r, "op", "")[0] || !pv_json_str(r, "input", "")[0])
            ok = pv_fail(PV_FAULT_INPUT, "%s: %s has no op and input", path, where);
        else if (!pv_json_get(r, "skipped") && (ok = times_of(r, path, where, &m))) {
            op_name(r, &name);
            m.name = name.text;
            put(side, &m);
        }
        pv_str_free(&name);
    }
    return ok;
}

/* ---- steps ---- */

static void add_mib(struct pv_side *side, const pv_json *o, const char *name)
{
    double bytes = pv_json_num(o, "peak_bytes", NAN) / 1048576;
    if (!good(bytes))
        return;
    struct pv_str s = {0};
    pv_str_addf(&s, "%s, peak memory", name);
    put(side, &(struct pv_measure){s.text, "MiB", bytes, bytes, bytes});
    pv_str_free(&s);
}

static bool step_of(struct pv_side *side, const pv_json *o, const char *path)
{
    int nl = (int)pv_json_num(o, "labeled", 1), nu = (int)pv_json_num(o, "unlabeled", 0);
    struct pv_str net = {0}, train = {0}, infer = {0};
    if (!pv_json_str(o, "net", "")[0] || !pv_json_str(o, "patch", "")[0])
        return pv_fail(PV_FAULT_INPUT, "%s: names no net and patch", path);
    const pv_json *t = pv_json_get(o, "train"), *f = pv_json_get(o, "infer");
    if (!t && !f)
        return pv_fail(PV_FAULT_INPUT, "%s: has neither `train` nor `infer`", path);
    pv_str_addf(&net, "%s f%d %s", pv_json_str(o, "net", ""), (int)pv_json_num(o, "filters", 16),
                pv_json_str(o, "patch", ""));
    int classes = (int)pv_json_num(o, "classes", 2);
    if (classes != 2)
        pv_str_addf(&net, " %d classes", classes);
    pv_str_addf(&train, "step %s %s, %d + %d", pv_json_str(o, "method", "sup"), net.text, nl, nu);
    pv_str_addf(&infer, "inference %s, %d", net.text, nl + nu);
    struct pv_measure a = {.name = train.text}, b = {.name = infer.text};
    bool ok = (!t || times_of(t, path, "`train`", &a)) && (!f || times_of(f, path, "`infer`", &b));
    if (ok && t) {
        put(side, &a);
        add_mib(side, t, train.text);
    }
    if (ok && f) {
        put(side, &b);
        add_mib(side, f, infer.text);
    }
    pv_str_free(&net);
    pv_str_free(&train);
    pv_str_free(&infer);
    return ok;
}

/* A list of times as the object that `times_of` takes. */
static pv_json *summary_of(const pv_json *list)
{
    size_t n = pv_json_count(list), i = 0;
    double *v = pv_array(double, n + 1);
    pv_json *o = pv_json_object();
    for (const pv_json *e = pv_json_at(list, 0); e; e = pv_json_next(e))
        v[i++] = pv_json_number_value(e);
    pv_bench_put_times(o, v, (int)n);
    pv_free(v);
    return o;
}

/* One side of "peers step" as a result of kind "step". */
static pv_json *peer_step(const pv_json *o, const pv_json *peer)
{
    static const char *const keys[] = {"net", "patch", "filters", "classes", "method"};
    pv_json *s = pv_json_object();
    for (size_t i = 0; i < PV_COUNT(keys); i++)
        if (pv_json_get(o, keys[i]))
            pv_json_set(s, keys[i], pv_json_copy(pv_json_get(o, keys[i])));
    pv_json_set_num(s, "labeled", pv_json_num(o, "batch", 1));
    for (int i = 0; i < 2; i++) {
        const pv_json *list = pv_json_get(peer, i ? "infer_ms" : "train_ms");
        if (!list || pv_json_count(list) == 0)
            continue;
        pv_json *part = summary_of(list);
        if (!i && pv_json_get(peer, "peak_bytes"))
            pv_json_set_num(part, "peak_bytes", pv_json_num(peer, "peak_bytes", 0));
        pv_json_set(s, i ? "infer" : "train", part);
    }
    return s;
}

/* ---- sides ---- */

static char *about(const pv_json *o)
{
    const pv_json *d = pv_json_get(o, "device");
    struct pv_str s = {0};
    const char *parts[] = {d && pv_json_is_string(d) ? pv_json_string_value(d) : pv_json_str(d, "name", ""),
                           d ? pv_json_str(d, "driver", "") : "", pv_json_str(o, "program", ""),
                           pv_json_str(o, "torch", "")[0] ? "PyTorch" : "", pv_json_str(o, "torch", ""),
                           pv_json_str(o, "precision", ""), pv_json_str(o, "date", "")};
    for (size_t i = 0; i < PV_COUNT(parts); i++)
        if (parts[i] && parts[i][0])
            pv_str_addf(&s, "%s%s", s.len == 0 ? "" : i == 4 ? " " : ", ", parts[i]);
    return s.text;
}

static bool taken(const struct pv_sides *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (pv_streq(s->v[i].name, name))
            return true;
    return false;
}

static struct pv_side *new_side(struct pv_sides *s, const char *name, const char *path)
{
    struct pv_str full = {0};
    pv_str_add(&full, name);
    if (taken(s, full.text))
        pv_str_addf(&full, " (%s)", pv_path_base(path));
    size_t stem = full.len;
    for (int i = 2; taken(s, full.text); i++) {
        full.len = stem;
        pv_str_addf(&full, " #%d", i);
    }
    s->v = pv_realloc(s->v, (s->n + 1) * sizeof *s->v);
    s->v[s->n] = (struct pv_side){.name = full.text};
    return &s->v[s->n++];
}

static void default_name(const pv_json *o, struct pv_str *s)
{
    const char *precision = pv_json_str(o, "precision", "fp32");
    pv_str_add(s, pv_json_str(o, "name", pv_json_str(pv_json_get(o, "device"), "id", "result")));
    if (!pv_json_get(o, "name") && !pv_streq(precision, "fp32"))
        pv_str_addf(s, " %s", precision);
}

static bool add_peers(struct pv_sides *s, const pv_json *o, const char *path, const char *name)
{
    const pv_json *list = pv_json_get(o, "sides");
    bool ok = true, ops = pv_streq(pv_json_str(o, "kind", ""), "peers ops");
    if (!pv_json_is_array(list) || pv_json_count(list) == 0)
        return pv_fail(PV_FAULT_INPUT, "%s: has no list `sides`", path);
    for (const pv_json *p = pv_json_at(list, 0); p && ok; p = pv_json_next(p)) {
        struct pv_str full = {0};
        pv_str_addf(&full, "%s%s%s", name ? name : "", name ? " " : "", pv_json_str(p, "name", "side"));
        struct pv_side *side = new_side(s, full.text, path);
        pv_json *step = ops ? NULL : peer_step(o, p);
        side->about = about(ops ? p : pv_json_get(p, "about"));
        ok = ops ? rows_of(side, p, path) : step_of(side, step, path);
        pv_json_free(step);
        pv_str_free(&full);
    }
    return ok;
}

bool pv_sides_add(struct pv_sides *s, const pv_json *o, const char *path, const char *name)
{
    const char *kind = pv_json_str(o, "kind", "");
    bool rows = pv_streq(kind, "ops") || pv_streq(kind, "io"), step = pv_streq(kind, "step");
    if (!pv_json_is_object(o) || !kind[0])
        return pv_fail(PV_FAULT_INPUT, "%s: is no result of a benchmark (it has no member `kind`)", path);
    if (pv_streq(kind, "peers step") || pv_streq(kind, "peers ops"))
        return add_peers(s, o, path, name);
    if (!rows && !step)
        return pv_fail(PV_FAULT_INPUT, "%s: results of kind '%s' cannot be compared; known are ops, step, io, "
                       "peers step, peers ops", path, kind);
    struct pv_str own = {0};
    default_name(o, &own);
    struct pv_side *side = new_side(s, name ? name : own.text, path);
    pv_str_free(&own);
    side->about = about(o);
    if (pv_json_get(o, "skipped")) {
        side->skipped = pv_strdup(pv_json_str(o, "skipped", "no reason given"));
        return true;
    }
    return rows ? rows_of(side, o, path) : step_of(side, o, path);
}

bool pv_sides_read(struct pv_sides *s, const char *path, const char *name)
{
    pv_json *o = pv_json_read(path);
    bool ok = o && pv_sides_add(s, o, path, name);
    pv_json_free(o);
    return ok;
}

void pv_sides_free(struct pv_sides *s)
{
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < s->v[i].n; k++)
            pv_free(s->v[i].v[k].name);
        pv_free(s->v[i].v);
        pv_free(s->v[i].name);
        pv_free(s->v[i].about);
        pv_free(s->v[i].skipped);
    }
    pv_free(s->v);
    *s = (struct pv_sides){0};
}
