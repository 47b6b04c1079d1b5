/* SPDX-License-Identifier: Apache-2.0
 * scores.h: several evaluations beside each other. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/scores.h"

static const char *plus_minus = "\xC2\xB1", *dash = "\xE2\x80\x93";

static const char *number(char out[32], const char *form, double v)
{
    if (!isfinite(v))
        return dash;
    snprintf(out, 32, form, v);
    return out;
}

static int width_of(const char *const *names, int n, int least)
{
    for (int i = 0; i < n; i++)
        least = pv_max(least, (int)strlen(names[i]));
    return least;
}

/* Text of `width` columns, by characters: "±" and "–" are one column. */
static void cell(struct pv_str *s, int width, const char *text)
{
    int len = 0;
    for (const char *c = text; *c; c++)
        len += ((unsigned char)*c & 0xC0) != 0x80;
    pv_str_addf(s, "  %s%*s", text, pv_max(0, width - len), "");
}

static void mean_cell(struct pv_str *out, int width, const struct pv_scores *s, int k)
{
    struct pv_scores_mean m = k < 0 ? (struct pv_scores_mean){NAN, NAN, 0} : pv_scores_mean(s, k);
    char a[32], b[32];
    char *text = m.n ? pv_asprintf("%s %s %s", number(a, "%.2f", m.mean), plus_minus, number(b, "%.2f", m.sd))
                     : pv_strdup(dash);
    cell(out, width, text);
    pv_free(text);
}

static char *title(const struct pv_scores *s, int k)
{
    return pv_asprintf("%s (%s)", s->shown[k].name, s->shown[k].unit);
}

static void means(struct pv_str *out, const struct pv_scores *s, const char *const *names, int n, int width)
{
    char *boot = s[0].num_metrics ? pv_asprintf("%s, bootstrap 95 %%", s[0].shown[0].name) : pv_strdup("");
    pv_str_addf(out, "%-*s  cases", width, "");
    for (int k = 0; k < s[0].num_metrics; k++) {
        char *t = title(&s[0], k);
        cell(out, 16, t);
        pv_free(t);
    }
    cell(out, 0, boot);
    pv_free(boot);
    for (int i = 0; i < n; i++) {
        pv_str_addf(out, "\n%-*s  %5zu", width, names[i], s[i].num_cases);
        for (int k = 0; k < s[0].num_metrics; k++)
            mean_cell(out, 16, &s[i], pv_scores_metric(&s[i], s[0].metric[k]));
        int lead = s[0].num_metrics ? pv_scores_metric(&s[i], s[0].metric[0]) : -1;
        if (lead >= 0) {
            struct pv_bootstrap b = pv_scores_bootstrap(&s[i], lead);
            char lo[32], hi[32];
            char *t = pv_asprintf("%s to %s", number(lo, "%.2f", b.low), number(hi, "%.2f", b.high));
            cell(out, 0, t);
            pv_free(t);
        }
    }
    pv_str_addf(out, "\n(%s standard deviation over cases, divided by n; interval of %d resamples)\n", plus_minus,
                PV_SCORES_RESAMPLES);
}

static const char *probability(char out[32], double p)
{
    return p < 0.0001 ? "< 0.0001" : number(out, "%.4f", p);
}

char *pv_scores_p_text(double one_sided, double two_sided)
{
    char a[32], b[32];
    return pv_asprintf("%s / %s", probability(a, one_sided), probability(b, two_sided));
}

char *pv_scores_text(const struct pv_scores *s, const char *const *names, int n)
{
    struct pv_str out = {0};
    int width = width_of(names, n, 3);
    means(&out, s, names, n, width);
    if (n > 1)
        pv_str_addf(&out, "\nagainst %s, paired over cases; p: one-sided (of such a result if it were not better) / "
                    "two-sided (of such a difference if both were equally good)\n"
                    "%-*s  metric            cases  difference  better in  p (t-test)           p (Wilcoxon)\n",
                    names[0], width, "");
    for (int i = 1; i < n; i++)
        for (int k = 0; k < s[0].num_metrics; k++) {
            struct pv_scores_pair p = pv_scores_compare(&s[i], &s[0], s[0].metric[k]);
            char d[32], *name = title(&s[0], k), *t = pv_scores_p_text(p.p_t, p.p_t_two);
            char *w = pv_scores_p_text(p.p_wilcoxon, p.p_wilcoxon_two);
            pv_str_addf(&out, "%-*s", width, names[i]);
            cell(&out, 16, name);
            pv_str_addf(&out, "  %5zu", p.n);
            cell(&out, 10, number(d, "%+.2f", p.difference));
            pv_str_addf(&out, "  %9zu", p.better);
            cell(&out, 19, t);
            cell(&out, 0, w);
            pv_str_add(&out, "\n");
            pv_free(name);
            pv_free(t);
            pv_free(w);
        }
    return out.text;
}

static pv_json *means_json(const struct pv_scores *s)
{
    pv_json *j = pv_json_object();
    pv_json_set_num(j, "cases", (double)s->num_cases);
    for (int k = 0; k < s->num_metrics; k++) {
        struct pv_scores_mean m = pv_scores_mean(s, k);
        struct pv_bootstrap b = pv_scores_bootstrap(s, k);
        pv_json *one = pv_json_object();
        pv_json_set_num(one, "mean", m.mean);
        pv_json_set_num(one, "sd", m.sd);
        pv_json_set_num(one, "n", (double)m.n);
        pv_json_set_num(one, "bootstrap_resamples", PV_SCORES_RESAMPLES);
        pv_json_set_num(one, "bootstrap_mean", b.mean);
        pv_json_set_num(one, "bootstrap_sd", b.std);
        pv_json_set_num(one, "bootstrap_low", b.low);
        pv_json_set_num(one, "bootstrap_high", b.high);
        pv_json_set(j, pv_metrics[s->metric[k]].key, one);
    }
    return j;
}

pv_json *pv_scores_json(const struct pv_scores *s, const char *const *names, int n)
{
    pv_json *j = pv_json_object(), *runs = pv_json_array(), *pairs = pv_json_array();
    for (int i = 0; i < n; i++) {
        pv_json *one = means_json(&s[i]);
        pv_json_set_str(one, "name", names[i]);
        pv_json_add(runs, one);
    }
    for (int i = 1; i < n; i++)
        for (int k = 0; k < s[0].num_metrics; k++) {
            struct pv_scores_pair p = pv_scores_compare(&s[i], &s[0], s[0].metric[k]);
            pv_json *one = pv_json_object();
            pv_json_set_str(one, "run", names[i]);
            pv_json_set_str(one, "metric", pv_metrics[s[0].metric[k]].key);
            pv_json_set_num(one, "n", (double)p.n);
            pv_json_set_num(one, "better", (double)p.better);
            pv_json_set_num(one, "difference", p.difference);
            pv_json_set_num(one, "p_t", p.p_t);
            pv_json_set_num(one, "p_wilcoxon", p.p_wilcoxon);
            pv_json_set_num(one, "p_t_two", p.p_t_two);
            pv_json_set_num(one, "p_wilcoxon_two", p.p_wilcoxon_two);
            pv_json_add(pairs, one);
        }
    pv_json_set(j, "runs", runs);
    pv_json_set_str(j, "against", names[0]);
    pv_json_set(j, "pairs", pairs);
    return j;
}

/* ---- seeds ---- */

/* Mean and standard deviation over the runs of the runs' means of metric k of the first. */
static struct pv_scores_mean over_runs(const struct pv_scores *s, int n, int k)
{
    double *v = pv_array(double, n);
    size_t m = 0;
    for (int i = 0; i < n; i++) {
        int own = pv_scores_metric(&s[i], s[0].metric[k]);
        v[m++] = own < 0 ? NAN : pv_scores_mean(&s[i], own).mean;
    }
    m = pv_drop_nan(v, m);
    struct pv_scores_mean out = {pv_mean(v, m), pv_std(v, m, 1), m};
    pv_free(v);
    return out;
}

char *pv_scores_seeds_text(const struct pv_scores *s, const int64_t *seeds, int n)
{
    struct pv_str out = {0};
    pv_str_addf(&out, "%-8s", "seed");
    for (int k = 0; k < s[0].num_metrics; k++) {
        char *t = title(&s[0], k);
        cell(&out, k + 1 < s[0].num_metrics ? 16 : 0, t);
        pv_free(t);
    }
    for (int i = 0; i < n; i++) {
        pv_str_addf(&out, "\n%-8lld", (long long)seeds[i]);
        for (int k = 0; k < s[0].num_metrics; k++)
            mean_cell(&out, k + 1 < s[0].num_metrics ? 16 : 0, &s[i], pv_scores_metric(&s[i], s[0].metric[k]));
    }
    pv_str_addf(&out, "\n%-8s", "mean");
    for (int k = 0; k < s[0].num_metrics; k++) {
        struct pv_scores_mean m = over_runs(s, n, k);
        char a[32], b[32];
        char *t = pv_asprintf("%s %s %s", number(a, "%.2f", m.mean), plus_minus, number(b, "%.2f", m.sd));
        cell(&out, k + 1 < s[0].num_metrics ? 16 : 0, t);
        pv_free(t);
    }
    pv_str_addf(&out, "\n(a seed's row: mean %s standard deviation over cases, divided by n; the last row: over the "
                "seeds, divided by n - 1)\n", plus_minus);
    return out.text;
}

pv_json *pv_scores_seeds_json(const struct pv_scores *s, const int64_t *seeds, int n)
{
    pv_json *j = pv_json_object(), *runs = pv_json_array(), *all = pv_json_object();
    for (int i = 0; i < n; i++) {
        pv_json *one = means_json(&s[i]);
        pv_json_set_num(one, "seed", (double)seeds[i]);
        pv_json_add(runs, one);
    }
    for (int k = 0; k < s[0].num_metrics; k++) {
        struct pv_scores_mean m = over_runs(s, n, k);
        pv_json *one = pv_json_object();
        pv_json_set_num(one, "mean", m.mean);
        pv_json_set_num(one, "sd", m.sd);
        pv_json_set_num(one, "n", (double)m.n);
        pv_json_set(all, pv_metrics[s[0].metric[k]].key, one);
    }
    pv_json_set(j, "seeds", runs);
    pv_json_set(j, "over_seeds", all);
    return j;
}
