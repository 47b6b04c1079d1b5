/* SPDX-License-Identifier: Apache-2.0
 * scores.h. */
#include "train/scores.h"

#include <math.h>
#include <stdlib.h>

#include "platform/platform.h"

/* Ratios and volumes are neither better for being larger nor for being smaller: they stay in the CSV. */
void pv_scores_metrics(struct pv_scores *s)
{
    s->num_metrics = 0;
    const pv_json *mean = pv_json_get(s->eval, "foreground_mean");
    bool mm = pv_streq(pv_json_str(pv_json_get(s->eval, "settings"), "units", "voxel"), "mm");
    for (int i = 0; i < PV_NUM_METRICS; i++) {
        const struct pv_metric *m = &pv_metrics[i];
        bool share = m->kind == PV_KIND_SHARE;
        if (!pv_json_get(mean, m->key) || (!share && m->kind != PV_KIND_DISTANCE))
            continue;
        if (s->wanted && !(s->wanted >> i & 1))
            continue;
        s->shown[s->num_metrics] = (struct pv_report_metric){m->title, share ? "%" : mm ? "mm" : "voxel", share, 2};
        s->metric[s->num_metrics++] = (enum pv_metric_id)i;
    }
}

/* Mean over the classes that have a value. */
static double case_value(const pv_json *classes, const char *key, bool percent)
{
    double sum = 0;
    int n = 0;
    for (const pv_json *c = pv_json_at(classes, 0); c; c = pv_json_next(c)) {
        double v = pv_json_num(c, key, NAN);
        if (isfinite(v)) {
            sum += v;
            n++;
        }
    }
    return n ? sum / n * (percent ? 100 : 1) : NAN;
}

static const char *const splits[] = {"test", "val", "train"};

char *pv_scores_find(const char *where, const char *split, const char **found)
{
    *found = NULL;
    for (size_t i = 0; i < PV_COUNT(splits); i++) {
        if (split && !pv_streq(split, splits[i]))
            continue;
        char *path = pv_asprintf("%s/evaluation_%s.json", where, splits[i]);
        if (pv_file_exists(path)) {
            *found = splits[i];
            return path;
        }
        pv_free(path);
    }
    if (split)
        return NULL;
    char *path = pv_is_dir(where) ? pv_path_join(where, "evaluation.json") : pv_strdup(where);
    if (!pv_file_exists(path)) {
        pv_free(path);
        path = NULL;
    }
    return path;
}

/* Folders in `where` with an evaluation: "runs/seed-1, runs/seed-2". pv_free it. */
static char *evaluated_inside(const char *where, const char *split)
{
    enum { MOST = 6 };
    char **names;
    size_t n, found = 0;
    struct pv_str s = {0};
    if (!pv_is_dir(where) || !pv_list_dir(where, &names, &n))
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const char *any;
        char *folder = pv_path_join(where, names[i]), *path = NULL;
        if (pv_is_dir(folder) && (path = pv_scores_find(folder, split, &any)) != NULL && ++found <= MOST)
            pv_str_addf(&s, "%s%s", found > 1 ? ", " : "", folder);
        pv_free(path);
        pv_free(folder);
        free(names[i]);
    }
    free(names);
    if (found > MOST)
        pv_str_addf(&s, " and %zu more", found - MOST);
    return s.text;
}

bool pv_scores_none(const char *where, const char *split)
{
    struct pv_str other = {0};
    char *inside = evaluated_inside(where, split);
    for (size_t i = 0; split && i < PV_COUNT(splits); i++) {
        const char *any;
        char *path = pv_scores_find(where, splits[i], &any);
        if (path)
            pv_str_addf(&other, "%s%s", other.len ? ", " : "", splits[i]);
        pv_free(path);
    }
    if (inside)
        pv_fail(PV_FAULT_INPUT, "%s holds no evaluation%s%s itself: name evaluated runs in it, %s", where,
                split ? " of split " : "", split ? split : "", inside);
    else
        pv_fail(PV_FAULT_INPUT, "%s holds no evaluation%s%s%s%s: run protovox evaluate --run first", where,
                split ? " of split " : "", split ? split : "", other.len ? ", but one of " : "",
                other.len ? other.text : "");
    pv_str_free(&other);
    pv_free(inside);
    return false;
}

bool pv_scores_read(struct pv_scores *s, const char *path)
{
    *s = (struct pv_scores){.split = s->split, .wanted = s->wanted, .eval = pv_json_read(path)};
    const pv_json *cases = pv_json_get(s->eval, "metric_per_case");
    bool ok = s->eval != NULL;
    if (ok && (!pv_json_is_array(cases) || !pv_json_is_object(pv_json_get(s->eval, "foreground_mean"))))
        ok = pv_fail(PV_FAULT_INPUT, "%s is no result of protovox evaluate; evaluate the run again", path);
    if (!ok) {
        pv_scores_free(s);
        return false;
    }
    pv_scores_metrics(s);
    s->num_cases = pv_json_count(cases);
    s->ids = pv_array(const char *, s->num_cases + 1);
    s->values = pv_array(double, s->num_cases * (size_t)s->num_metrics + 1);
    size_t i = 0;
    for (const pv_json *c = pv_json_at(cases, 0); c; c = pv_json_next(c), i++) {
        s->ids[i] = pv_json_str(c, "case", "");
        for (int k = 0; k < s->num_metrics; k++)
            s->values[i * (size_t)s->num_metrics + (size_t)k] = case_value(
                pv_json_get(c, "metrics"), pv_metrics[s->metric[k]].key, s->shown[k].higher_is_better);
    }
    return true;
}

void pv_scores_free(struct pv_scores *s)
{
    pv_json_free(s->eval);
    pv_free(s->ids);
    pv_free(s->values);
    *s = (struct pv_scores){0};
}

struct pv_scores_mean pv_scores_mean(const struct pv_scores *s, int k)
{
    double *v = pv_array(double, s->num_cases + 1);
    for (size_t i = 0; i < s->num_cases; i++)
        v[i] = s->values[i * (size_t)s->num_metrics + (size_t)k];
    size_t n = pv_drop_nan(v, s->num_cases);
    struct pv_scores_mean m = {pv_mean(v, n), n > 1 ? pv_std(v, n, 0) : NAN, n};
    pv_free(v);
    return m;
}

struct pv_bootstrap pv_scores_bootstrap(const struct pv_scores *s, int k)
{
    double *v = pv_array(double, s->num_cases + 1);
    for (size_t i = 0; i < s->num_cases; i++)
        v[i] = s->values[i * (size_t)s->num_metrics + (size_t)k];
    struct pv_bootstrap b = pv_bootstrap_mean(v, pv_drop_nan(v, s->num_cases), PV_SCORES_RESAMPLES, 1, 0.95);
    pv_free(v);
    return b;
}

struct pv_scores_class pv_scores_class(const struct pv_scores *s, const char *class, int k)
{
    double *v = pv_array(double, s->num_cases + 1), scale = s->shown[k].higher_is_better ? 100 : 1;
    size_t n = 0;
    for (const pv_json *c = pv_json_at(pv_json_get(s->eval, "metric_per_case"), 0); c; c = pv_json_next(c))
        v[n++] = scale * pv_json_num(pv_json_get(pv_json_get(c, "metrics"), class), pv_metrics[s->metric[k]].key, NAN);
    n = pv_drop_nan(v, n);
    struct pv_bootstrap b = pv_bootstrap_mean(v, n, PV_SCORES_RESAMPLES, 1, 0.95);
    struct pv_scores_class out = {pv_mean(v, n), b.low, b.high};
    pv_free(v);
    return out;
}

int pv_scores_metric(const struct pv_scores *s, enum pv_metric_id id)
{
    for (int k = 0; k < s->num_metrics; k++)
        if (s->metric[k] == id)
            return k;
    return -1;
}

double pv_scores_value(const struct pv_scores *s, const char *id, int k)
{
    for (size_t i = 0; i < s->num_cases; i++)
        if (pv_streq(s->ids[i], id))
            return s->values[i * (size_t)s->num_metrics + (size_t)k];
    return NAN;
}

struct pv_scores_pair pv_scores_compare(const struct pv_scores *a, const struct pv_scores *b, enum pv_metric_id id)
{
    struct pv_scores_pair out = {0, 0, NAN, NAN, NAN, NAN, NAN};
    int ka = pv_scores_metric(a, id), kb = pv_scores_metric(b, id);
    if (ka < 0 || kb < 0)
        return out;
    bool higher = a->shown[ka].higher_is_better;
    double *x = pv_array(double, b->num_cases + 1), *y = pv_array(double, b->num_cases + 1);
    for (size_t c = 0; c < b->num_cases; c++) {
        x[out.n] = pv_scores_value(a, b->ids[c], ka);
        y[out.n] = b->values[c * (size_t)b->num_metrics + (size_t)kb];
        if (isfinite(x[out.n]) && isfinite(y[out.n])) {
            out.better += higher ? x[out.n] > y[out.n] : x[out.n] < y[out.n];
            out.n++;
        }
    }
    if (out.n) {
        struct pv_ttest t = pv_ttest_paired(x, y, out.n);
        struct pv_wilcoxon w = pv_wilcoxon_paired(x, y, out.n);
        out.difference = t.mean;
        out.p_t = higher ? t.p_greater : t.p_less;
        out.p_wilcoxon = higher ? w.p_greater : w.p_less;
        out.p_t_two = t.p_two;
        out.p_wilcoxon_two = w.p_two;
    }
    pv_free(x);
    pv_free(y);
    return out;
}
