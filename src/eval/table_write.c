/* SPDX-License-Identifier: Apache-2.0
 * CSV, summary.json and text from a table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/json.h"
#include "eval/stats.h"
#include "eval/table.h"

/* ---- counts beside the metrics ---- */

enum { NUM_COUNTS = 6 };
static const struct { const char *name, *key; } count_names[NUM_COUNTS] = {
    {"tp", "TP"}, {"fp", "FP"}, {"fn", "FN"}, {"tn", "TN"}, {"n_pred", "n_pred"}, {"n_ref", "n_ref"}};

static double count_of(const struct pv_metrics *m, int k)
{
    const double v[NUM_COUNTS] = {(double)m->tp, (double)m->fp, (double)m->fn, (double)m->tn,
                                  (double)(m->tp + m->fp), (double)(m->tp + m->fn)};
    return v[k];
}

/* Mean, or standard deviation, of a count over cases; over all classes as for metrics. */
static double count_summary(const struct pv_table *t, int cls, int k, bool deviation)
{
    double *v = pv_array(double, t->num_cases + 1);
    for (size_t i = 0; i < t->num_cases; i++) {
        for (int c = 0; c < t->num_scored; c++)
            if (cls == PV_ALL_CLASSES || cls == c)
                v[i] += count_of(&t->cases[i].m[c], k);
        if (cls == PV_ALL_CLASSES)
            v[i] /= t->num_scored;
    }
    double r = deviation ? pv_std(v, t->num_cases, t->ddof) : pv_mean(v, t->num_cases);
    pv_free(v);
    return r;
}

static bool wanted(const struct pv_table *t, int metric)
{
    return t->params.wanted >> metric & 1;
}

static const char *case_name(const struct pv_case_metrics *c)
{
    return c->name ? c->name : c->pred_file ? pv_path_base(c->pred_file) : "";
}

/* ---- CSV ---- */

/* A field as RFC 4180 has it. */
static void add_field(struct pv_str *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        pv_str_add(out, text);
        return;
    }
    pv_str_add(out, "\"");
    for (const char *p = text; *p; p++)
        pv_str_addn(out, *p == '"' ? "\"\"" : p, *p == '"' ? 2 : 1);
    pv_str_add(out, "\"");
}

/* The shortest text that reads back as v, a point whatever the locale: as in JSON. */
static void add_number(struct pv_str *out, double v)
{
    if (isnan(v)) {
        pv_str_add(out, ",nan");
        return;
    }
    pv_json *list = pv_json_array();
    pv_json_add_num(list, v);
    char *text = pv_json_text(list, false);
    pv_str_add(out, ",");
    pv_str_addn(out, text + 1, strlen(text) - 2);
    pv_free(text);
    pv_json_free(list);
}

static void add_summary_row(struct pv_str *out, const struct pv_table *t, int cls, bool deviation)
{
    pv_str_add(out, deviation ? "std," : "mean,");
    add_field(out, cls == PV_ALL_CLASSES ? "all" : t->titles[cls]);
    for (int i = 0; i < PV_NUM_METRICS; i++) {
        if (!wanted(t, i))
            continue;
        struct pv_summary s = pv_table_summary(t, cls, (enum pv_metric_id)i);
        add_number(out, deviation ? s.std : s.mean);
    }
    for (int k = 0; k < NUM_COUNTS; k++)
        add_number(out, count_summary(t, cls, k, deviation));
    pv_str_add(out, "\n");
}

bool pv_table_write_csv(const struct pv_table *t, const char *path)
{
    struct pv_str out = {0};
    pv_str_add(&out, "case,class");
    for (int i = 0; i < PV_NUM_METRICS; i++)
        if (wanted(t, i))
            pv_str_addf(&out, ",%s", pv_metrics[i].name);
    for (int k = 0; k < NUM_COUNTS; k++)
        pv_str_addf(&out, ",%s", count_names[k].name);
    pv_str_add(&out, "\n");
    for (size_t n = 0; n < t->num_cases; n++) {
        for (int c = 0; c < t->num_scored; c++) {
            const struct pv_metrics *m = &t->cases[n].m[c];
            add_field(&out, case_name(&t->cases[n]));
            pv_str_add(&out, ",");
            add_field(&out, t->titles[c]);
            for (int i = 0; i < PV_NUM_METRICS; i++)
                if (wanted(t, i))
                    add_number(&out, m->v[i]);
            for (int k = 0; k < NUM_COUNTS; k++)
                add_number(&out, count_of(m, k));
            pv_str_add(&out, "\n");
        }
    }
    for (int deviation = 0; deviation < 2; deviation++) {
        for (int c = 0; c < t->num_scored; c++)
            add_summary_row(&out, t, c, deviation);
        if (t->num_scored > 1)
            add_summary_row(&out, t, PV_ALL_CLASSES, deviation);
    }
    bool ok = pv_write_file(path, out.text, out.len);
    pv_str_free(&out);
    return ok;
}

/* ---- JSON ---- */

/* NaN travels through the tree as this string, which no name can be taken for once it is printed: it is
 * exchanged as a whole value with its quotes, and a real name would need that control character. */
static const char nan_mark[] = "\x01NaN", nan_printed[] = "\"\\u0001NaN\"";

static void set_value(pv_json *obj, const char *key, double v, bool nan_literal)
{
    if (isnan(v) && nan_literal)
        pv_json_set_str(obj, key, nan_mark);
    else
        pv_json_set_num(obj, key, v);
}

static pv_json *metrics_json(const struct pv_table *t, const struct pv_metrics *m, bool nan_literal)
{
    pv_json *j = pv_json_object();
    for (int i = 0; i < PV_NUM_METRICS; i++)
        if (wanted(t, i))
            set_value(j, pv_metrics[i].key, m->v[i], nan_literal);
    for (int k = 0; k < NUM_COUNTS; k++)
        set_value(j, count_names[k].key, count_of(m, k), nan_literal);
    return j;
}

static pv_json *summary_json(const struct pv_table *t, int cls, bool deviation, bool nan_literal)
{
    pv_json *j = pv_json_object();
    for (int i = 0; i < PV_NUM_METRICS; i++) {
        if (!wanted(t, i))
            continue;
        struct pv_summary s = pv_table_summary(t, cls, (enum pv_metric_id)i);
        set_value(j, pv_metrics[i].key, deviation ? s.std : s.mean, nan_literal);
    }
    for (int k = 0; k < NUM_COUNTS; k++)
        set_value(j, count_names[k].key, count_summary(t, cls, k, deviation), nan_literal);
    return j;
}

static pv_json *case_json(const struct pv_table *t, const struct pv_case_metrics *c, bool nan_literal)
{
    pv_json *j = pv_json_object(), *per_class = pv_json_object();
    for (int k = 0; k < t->num_scored; k++)
        pv_json_set(per_class, t->keys[k], metrics_json(t, &c->m[k], nan_literal));
    pv_json_set_str(j, "case", case_name(c));
    pv_json_set_str(j, "reference_file", c->ref_file);
    pv_json_set_str(j, "prediction_file", c->pred_file);
    pv_json_set(j, "metrics", per_class);
    return j;
}

static pv_json *bootstrap_json(const struct pv_table *t, int cls, const struct pv_table_json *o)
{
    pv_json *j = pv_json_object();
    double *v = pv_array(double, t->num_cases + 1);
    for (int i = 0; i < PV_NUM_METRICS; i++) {
        if (!wanted(t, i))
            continue;
        pv_table_values(t, cls, (enum pv_metric_id)i, v);
        size_t n = pv_drop_nan(v, t->num_cases);
        struct pv_bootstrap b = pv_bootstrap_mean(v, n, o->resamples, o->seed, o->level > 0 ? o->level : 0.95);
        pv_json *one = pv_json_object();
        set_value(one, "mean", b.mean, o->nan_literal);
        set_value(one, "std", b.std, o->nan_literal);
        set_value(one, "low", b.low, o->nan_literal);
        set_value(one, "high", b.high, o->nan_literal);
        pv_json_set_num(one, "cases", (double)n);
        pv_json_set(j, pv_metrics[i].key, one);
    }
    pv_free(v);
    return j;
}

static pv_json *settings_json(const struct pv_table *t, const struct pv_table_json *o)
{
    static const char *const empty[] = {[PV_EMPTY_MEDPY] = "medpy", [PV_EMPTY_STRICT] = "strict",
                                        [PV_EMPTY_NAN] = "nan"};
    pv_json *j = pv_json_object();
    pv_json_set_str(j, "units", t->params.units == PV_UNITS_MM ? "mm" : "voxel");
    pv_json_set_str(j, "empty", empty[t->params.empty]);
    pv_json_set_num(j, "nsd_tolerance", t->params.tolerance);
    pv_json_set_num(j, "ignore", t->params.ignore);
    pv_json_set_num(j, "largest_component", t->params.largest);
    pv_json_set_num(j, "std_ddof", t->ddof);
    if (o->resamples > 0) {
        pv_json_set_num(j, "bootstrap_resamples", o->resamples);
        pv_json_set_num(j, "bootstrap_level", o->level > 0 ? o->level : 0.95);
        pv_json_set_num(j, "bootstrap_seed", (double)o->seed);
    }
    return j;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(pv_json_key(*(const pv_json *const *)a), pv_json_key(*(const pv_json *const *)b));
}

/* A copy with the keys of every object in order. */
static pv_json *sorted(const pv_json *j)
{
    size_t n = pv_json_count(j), k = 0;
    if (pv_json_is_array(j)) {
        pv_json *list = pv_json_array();
        for (const pv_json *c = pv_json_at(j, 0); c; c = pv_json_next(c))
            pv_json_add(list, sorted(c));
        return list;
    }
    if (!pv_json_is_object(j))
        return pv_json_copy(j);
    const pv_json **members = pv_array(const pv_json *, n + 1);
    for (const pv_json *c = pv_json_at(j, 0); c; c = pv_json_next(c))
        members[k++] = c;
    qsort(members, n, sizeof *members, by_key);
    pv_json *object = pv_json_object();
    for (k = 0; k < n; k++)
        pv_json_set(object, pv_json_key(members[k]), sorted(members[k]));
    pv_free(members);
    return object;
}

static bool write_text(const char *path, const char *text)
{
    struct pv_str out = {0};
    for (const char *mark; (mark = strstr(text, nan_printed)) != NULL; text = mark + sizeof nan_printed - 1) {
        pv_str_addn(&out, text, (size_t)(mark - text));
        pv_str_add(&out, "NaN");
    }
    pv_str_addf(&out, "%s\n", text);
    bool ok = pv_write_file(path, out.text, out.len);
    pv_str_free(&out);
    return ok;
}

bool pv_table_write_json(const struct pv_table *t, const char *path, const struct pv_table_json *opts)
{
    struct pv_table_json o = opts ? *opts : (struct pv_table_json){0};
    pv_json *j = pv_json_object(), *mean = pv_json_object(), *std = pv_json_object(), *cases = pv_json_array();
    pv_json *empty = pv_json_object(), *bootstrap = pv_json_object();
    for (int c = 0; c < t->num_scored; c++) {
        pv_json_set(mean, t->keys[c], summary_json(t, c, false, o.nan_literal));
        pv_json_set(std, t->keys[c], summary_json(t, c, true, o.nan_literal));
        pv_json_set_num(empty, t->keys[c], (double)pv_table_empty_predictions(t, c));
        if (o.resamples > 0)
            pv_json_set(bootstrap, t->keys[c], bootstrap_json(t, c, &o));
    }
    for (size_t i = 0; i < t->num_cases; i++)
        pv_json_add(cases, case_json(t, &t->cases[i], o.nan_literal));
    pv_json_set(j, "foreground_mean", summary_json(t, PV_ALL_CLASSES, false, o.nan_literal));
    pv_json_set(j, "foreground_std", summary_json(t, PV_ALL_CLASSES, true, o.nan_literal));
    pv_json_set(j, "mean", mean);
    pv_json_set(j, "std", std);
    pv_json_set(j, "metric_per_case", cases);
    pv_json_set(j, "empty_predictions", empty);
    pv_json_set(j, "settings", settings_json(t, &o));
    if (o.about)
        pv_json_set(j, "about", pv_json_copy(o.about));
    if (o.resamples > 0)
        pv_json_set(j, "bootstrap", bootstrap);
    else
        pv_json_free(bootstrap);
    pv_json *in_order = sorted(j);
    char *text = pv_json_text(in_order, true);
    bool ok = write_text(path, text);
    pv_free(text);
    pv_json_free(in_order);
    pv_json_free(j);
    return ok;
}

/* ---- text ---- */

/* Rows of cells, in one list. */
struct grid { struct pv_strs cells; size_t columns; };

static size_t width_of(const char *s)       /* characters, not bytes */
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static void add_blanks(struct pv_str *out, size_t n)
{
    while (n-- > 0)
        pv_str_add(out, " ");
}

/* Two columns of names to the left, numbers to the right. */
static void print_grid(struct pv_str *out, const struct grid *g)
{
    size_t *width = pv_array(size_t, g->columns);
    for (size_t i = 0; i < g->cells.n; i++)
        if (width_of(g->cells.v[i]) > width[i % g->columns])
            width[i % g->columns] = width_of(g->cells.v[i]);
    for (size_t i = 0; i < g->cells.n; i++) {
        size_t column = i % g->columns, blanks = width[column] - width_of(g->cells.v[i]);
        if (column >= 2)
            add_blanks(out, blanks);
        pv_str_add(out, g->cells.v[i]);
        if (column < 2)
            add_blanks(out, blanks);
        pv_str_add(out, column + 1 < g->columns ? "   " : "\n");
    }
    pv_free(width);
}

static void add_value(struct grid *g, double v, const double *deviation, enum pv_metric_kind kind)
{
    double scale = kind == PV_KIND_SHARE ? 100 : 1;
    int digits = kind == PV_KIND_VOLUME ? 0 : kind == PV_KIND_RATIO ? 3 : 2;
    char *text = isnan(v) ? pv_strdup("-") : deviation && !isnan(*deviation)
                 ? pv_asprintf("%.*f +- %.*f", digits, scale * v, digits, scale * *deviation)
                 : pv_asprintf("%.*f", digits, scale * v);
    pv_strs_add(&g->cells, text);
    pv_free(text);
}

static void add_heading(struct grid *g, const struct pv_table *t, const enum pv_metric_id *metrics, int num)
{
    pv_strs_add(&g->cells, "case");
    pv_strs_add(&g->cells, "class");
    for (int i = 0; i < num; i++) {
        const struct pv_metric *m = &pv_metrics[metrics[i]];
        const char *unit = t->params.units == PV_UNITS_MM ? "mm" : "voxel";
        char *text = pv_asprintf("%s%s%s%s", m->title, m->kind == PV_KIND_RATIO ? "" : " ",
                                 m->kind == PV_KIND_SHARE ? "%" : m->kind == PV_KIND_RATIO ? "" : unit,
                                 m->kind == PV_KIND_VOLUME && t->params.units == PV_UNITS_MM ? "^3" : "");
        pv_strs_add(&g->cells, text);
        pv_free(text);
    }
}

static void add_notes(struct pv_str *out, const struct pv_table *t, const enum pv_metric_id *metrics, int num)
{
    static const char *const rule[] = {
        [PV_EMPTY_MEDPY] = "Dice 0 but distance 0, which flatters it",
        [PV_EMPTY_STRICT] = "Dice 0, distance the diagonal of the image",
        [PV_EMPTY_NAN] = "Dice 0, distance missing"};
    pv_str_addf(out, "%zu case%s, +- standard deviation over cases", t->num_cases, t->num_cases == 1 ? "" : "s");
    pv_str_addf(out, " (divided by %s)\n", t->ddof ? "n - 1" : "n");
    for (int c = 0; c < t->num_scored; c++) {
        size_t pred = pv_table_empty_predictions(t, c), ref = pv_table_empty_references(t, c);
        if (pred)
            pv_str_addf(out, "%s: %zu of %zu predictions empty (%s)\n", t->titles[c], pred, t->num_cases,
                        rule[t->params.empty]);
        if (ref)
            pv_str_addf(out, "%s: %zu of %zu references empty\n", t->titles[c], ref, t->num_cases);
        for (int i = 0; i < num; i++) {
            size_t missing = pv_table_summary(t, c, metrics[i]).num_missing;
            if (missing)
                pv_str_addf(out, "%s: %s missing in %zu of %zu cases and left out\n", t->titles[c],
                            pv_metrics[metrics[i]].title, missing, t->num_cases);
        }
    }
}

char *pv_table_text(const struct pv_table *t, const enum pv_metric_id *metrics, int num_metrics, bool each_case)
{
    static const enum pv_metric_id usual[] = {PV_DICE, PV_JACCARD, PV_HD95, PV_ASD};
    const enum pv_metric_id *shown = metrics ? metrics : usual;
    int num = metrics ? num_metrics : (int)PV_COUNT(usual);
    struct grid g = {.columns = 2 + (size_t)num};
    add_heading(&g, t, shown, num);
    for (size_t n = 0; each_case && n < t->num_cases; n++) {
        for (int c = 0; c < t->num_scored; c++) {
            pv_strs_add(&g.cells, c == 0 ? case_name(&t->cases[n]) : "");
            pv_strs_add(&g.cells, t->titles[c]);
            for (int i = 0; i < num; i++)
                add_value(&g, t->cases[n].m[c].v[shown[i]], NULL, pv_metrics[shown[i]].kind);
        }
    }
    for (int row = 0; row < t->num_scored + (t->num_scored > 1); row++) {
        int cls = row < t->num_scored ? row : PV_ALL_CLASSES;
        pv_strs_add(&g.cells, row == 0 ? "mean" : "");
        pv_strs_add(&g.cells, cls == PV_ALL_CLASSES ? "all" : t->titles[cls]);
        for (int i = 0; i < num; i++) {
            struct pv_summary s = pv_table_summary(t, cls, shown[i]);
            add_value(&g, s.mean, s.n > 1 ? &s.std : NULL, pv_metrics[shown[i]].kind);
        }
    }
    struct pv_str out = {0};
    print_grid(&out, &g);
    add_notes(&out, t, shown, num);
    pv_strs_free(&g.cells);
    return out.text;
}
