/* SPDX-License-Identifier: Apache-2.0
 * The table itself: cases, values, means, pairs. */
#include "eval/table.h"

#include <math.h>

#include "base/base.h"
#include "eval/stats.h"

void pv_table_init(struct pv_table *t, const struct pv_eval_params *p, const char *const *titles)
{
    *t = (struct pv_table){.params = *p, .num_scored = pv_eval_num_scored(p)};
    t->params.regions = NULL;
    t->keys = pv_array(char *, t->num_scored);
    t->titles = pv_array(char *, t->num_scored);
    for (int i = 0; i < t->num_scored; i++) {
        int label = i + 1;
        struct pv_region r = p->regions ? p->regions[i] : pv_region_of(&label, 1);
        t->keys[i] = pv_strdup(r.name);
        t->titles[i] = pv_strdup(titles && titles[i] ? titles[i] : r.name);
    }
}

void pv_table_add(struct pv_table *t, struct pv_case_metrics *c)
{
    if (t->num_cases == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 16;
        t->cases = pv_realloc(t->cases, t->cap * sizeof *t->cases);
    }
    t->cases[t->num_cases++] = *c;
    *c = (struct pv_case_metrics){0};
}

void pv_table_free(struct pv_table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->num_cases; i++)
        pv_case_metrics_free(&t->cases[i]);
    for (int i = 0; i < t->num_scored; i++) {
        pv_free(t->keys[i]);
        pv_free(t->titles[i]);
    }
    pv_free(t->cases);
    pv_free(t->keys);
    pv_free(t->titles);
    *t = (struct pv_table){0};
}

static double case_value(const struct pv_table *t, size_t i, int cls, enum pv_metric_id metric)
{
    const struct pv_metrics *m = t->cases[i].m;
    if (cls != PV_ALL_CLASSES)
        return m[cls].v[metric];
    double sum = 0;
    int n = 0;
    for (int c = 0; c < t->num_scored; c++) {
        if (!isnan(m[c].v[metric])) {
            sum += m[c].v[metric];
            n++;
        }
    }
    return n ? sum / n : NAN;
}

void pv_table_values(const struct pv_table *t, int cls, enum pv_metric_id metric, double *v)
{
    for (size_t i = 0; i < t->num_cases; i++)
        v[i] = case_value(t, i, cls, metric);
}

struct pv_summary pv_table_summary(const struct pv_table *t, int cls, enum pv_metric_id metric)
{
    double *v = pv_array(double, t->num_cases + 1);
    pv_table_values(t, cls, metric, v);
    struct pv_summary r = {.n = pv_drop_nan(v, t->num_cases)};
    r.num_missing = t->num_cases - r.n;
    r.mean = pv_mean(v, r.n);
    r.std = pv_std(v, r.n, t->ddof);
    r.median = pv_median(v, r.n);
    r.min = pv_percentile(v, r.n, 0);
    r.max = pv_percentile(v, r.n, 100);
    pv_free(v);
    if (cls == PV_ALL_CLASSES && r.n) {
        double *means = pv_array(double, t->num_scored);
        for (int c = 0; c < t->num_scored; c++)
            means[c] = pv_table_summary(t, c, metric).mean;
        r.mean = pv_mean(means, pv_drop_nan(means, (size_t)t->num_scored));
        pv_free(means);
    }
    return r;
}

static size_t count_empty(const struct pv_table *t, int cls, bool pred)
{
    size_t n = 0;
    for (size_t i = 0; i < t->num_cases; i++) {
        bool any = false;
        for (int c = cls == PV_ALL_CLASSES ? 0 : cls; c < (cls == PV_ALL_CLASSES ? t->num_scored : cls + 1); c++)
            any = any || (pred ? t->cases[i].m[c].pred_empty : t->cases[i].m[c].ref_empty);
        n += any;
    }
    return n;
}

size_t pv_table_empty_predictions(const struct pv_table *t, int cls)
{
    return count_empty(t, cls, true);
}

size_t pv_table_empty_references(const struct pv_table *t, int cls)
{
    return count_empty(t, cls, false);
}

size_t pv_table_pairs(const struct pv_table *a, const struct pv_table *b, int cls, enum pv_metric_id metric,
                      double **va, double **vb)
{
    size_t n = 0;
    *va = pv_array(double, a->num_cases + 1);
    *vb = pv_array(double, a->num_cases + 1);
    for (size_t i = 0; i < a->num_cases; i++) {
        for (size_t k = 0; k < b->num_cases; k++) {
            if (!a->cases[i].name || !pv_streq(a->cases[i].name, b->cases[k].name))
                continue;
            (*va)[n] = case_value(a, i, cls, metric);
            (*vb)[n++] = case_value(b, k, cls, metric);
            break;
        }
    }
    return pv_drop_nan_pairs(*va, *vb, n);
}
