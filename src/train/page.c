/* SPDX-License-Identifier: Apache-2.0
 * page.h: what of a run's folder goes where on the page. */
#include "train/page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/stats.h"
#include "platform/platform.h"
#include "pv_config.h"
#include "train/page_impl.h"

/* Everything that the report borrows. */
struct page_parts {
    struct page_run run[PV_PAGE_MOST_RUNS];
    int num;
    struct page_texts texts;
    struct pv_report_row header[PAGE_MOST_ROWS];
    struct pv_report_case *cases;
    struct pv_report_tile tiles[PV_PAGE_MOST_RUNS];
    struct pv_report_panel panel[PV_PAGE_MOST_RUNS + 1];
    struct pv_report_grid grid[PV_PAGE_MOST_RUNS + 3];
    int num_grids;
    struct pv_report_bars bars;
    const char *names[PV_PAGE_MOST_RUNS];
    double means[PV_PAGE_MOST_RUNS];
    struct pv_plot *plots;          /* of several runs together */
    size_t num_plots;
    const char **lists[2 * PV_PAGE_MOST_RUNS + 8];      /* heads and cells of grids */
    int num_lists;
    const char **hidden;            /* training cases, for an anonymous page */
    size_t num_hidden;
};

static const char **new_list(struct page_parts *p, size_t n)
{
    return p->lists[p->num_lists++] = pv_array(const char *, n + 1);
}

/* Cells and head of a new grid are the caller's to fill. */
static struct pv_report_grid *new_grid(struct page_parts *p, const char *title, size_t rows, size_t cols)
{
    struct pv_report_grid *g = &p->grid[p->num_grids++];
    *g = (struct pv_report_grid){title, rows, cols, new_list(p, cols), new_list(p, rows * cols)};
    return g;
}

static void set_head(struct pv_report_grid *g, size_t col, const char *text)
{
    ((const char **)(uintptr_t)g->head)[col] = text;
}

static void set_cell(struct pv_report_grid *g, size_t row, size_t col, const char *text)
{
    ((const char **)(uintptr_t)g->cells)[row * g->cols + col] = text;
}

static const char *metric_title(struct page_parts *p, const struct page_run *r, int k)
{
    return page_keep(&p->texts, pv_asprintf("%s (%s)", r->s.shown[k].name, r->s.shown[k].unit));
}

static const char *dataset_name(const struct page_run *r)
{
    return pv_json_str(pv_json_get(r->config, "dataset"), "name", NULL);
}

/* ---- results of one run ---- */

/* What a reader must know about the numbers: cases, weights, empty predictions. */
static const char *cases_note(struct page_parts *p, const struct page_run *r)
{
    const pv_json *about = pv_json_get(r->s.eval, "about"), *settings = pv_json_get(r->s.eval, "settings");
    const pv_json *runs = pv_json_get(about, "runs"), *empty = pv_json_get(r->s.eval, "empty_predictions");
    struct pv_str s = {0};
    pv_str_addf(&s, "%zu %s case%s", r->s.num_cases, r->s.split, r->s.num_cases == 1 ? "" : "s");
    if (dataset_name(r))
        pv_str_addf(&s, " of %s", dataset_name(r));
    if (pv_json_count(runs) > 1)
        pv_str_addf(&s, ", predicted by an ensemble of %zu runs", pv_json_count(runs));
    else if (pv_json_count(runs))
        pv_str_addf(&s, ", predicted with %s after %.0f iterations", pv_json_str(pv_json_at(runs, 0), "weights", "?"),
                    pv_json_num(pv_json_at(runs, 0), "iterations", 0));
    pv_str_add(&s, ".");
    for (const pv_json *e = pv_json_at(empty, 0); e; e = pv_json_next(e)) {
        const char *class = pv_json_str(pv_json_get(about, "classes"), pv_json_key(e), pv_json_key(e));
        if (pv_json_number_value(e) > 0)
            pv_str_addf(&s, " %s: %.0f prediction%s empty, Dice 0%s.", class, pv_json_number_value(e),
                        pv_json_number_value(e) == 1 ? " is" : "s are",
                        pv_streq(pv_json_str(settings, "empty", ""), "medpy") ? " but distance 0, which flatters it"
                                                                             : "");
    }
    if (r->pictures.dropped)
        pv_str_addf(&s, " Pictures: the %zu cases of lowest Dice.", r->pictures.num);
    return page_keep(&p->texts, s.text);
}

static void add_cases(struct page_parts *p, struct pv_report *out)
{
    const struct page_run *r = &p->run[0];
    p->cases = pv_array(struct pv_report_case, r->s.num_cases + 1);
    for (size_t i = 0; i < r->s.num_cases; i++) {
        const struct pv_case_pictures *c = pv_pictures_find(&r->pictures, r->s.ids[i]);
        p->cases[i] = (struct pv_report_case){r->s.ids[i], r->s.values + i * (size_t)r->s.num_metrics,
                                              c ? &c->mosaic : NULL, c ? &c->strip : NULL};
    }
    out->metrics = r->s.shown;
    out->num_metrics = (size_t)r->s.num_metrics;
    out->cases = p->cases;
    out->num_cases = r->s.num_cases;
    out->cases_note = cases_note(p, r);
}

/* Means with their bootstrap intervals per class. */
static void add_intervals(struct page_parts *p, struct pv_report *out)
{
    const struct page_run *r = &p->run[0];
    const pv_json *classes = pv_json_get(r->s.eval, "mean");
    const pv_json *names = pv_json_get(pv_json_get(r->s.eval, "about"), "classes");
    size_t rows = pv_json_count(classes), i = 0;
    if (!rows || !r->s.num_metrics)
        return;
    struct pv_report_grid *g = new_grid(p, NULL, rows, (size_t)r->s.num_metrics + 1);
    set_head(g, 0, "Class");
    for (const pv_json *c = pv_json_at(classes, 0); c; c = pv_json_next(c), i++) {
        set_cell(g, i, 0, pv_json_str(names, pv_json_key(c), pv_json_key(c)));
        for (int k = 0; k < r->s.num_metrics; k++) {
            struct pv_scores_class v = pv_scores_class(&r->s, pv_json_key(c), k);
            char mean[32], low[32], high[32];
            page_number(r, k, v.mean, mean);
            page_number(r, k, v.low, low);
            page_number(r, k, v.high, high);
            set_head(g, (size_t)k + 1, metric_title(p, r, k));
            set_cell(g, i, (size_t)k + 1, page_keep(&p->texts, pv_asprintf("%s [%s,\xC2\xA0%s]", mean, low, high)));
        }
    }
    p->panel[0] = (struct pv_report_panel){.title = "Intervals", .grids = g, .num_grids = 1,
        .note = page_keep(&p->texts, pv_asprintf("Mean of the cases and, in brackets, the interval that holds 95 %% of "
                          "the means of %d bootstrap samples of them: how far the mean depends on which cases "
                          "were tested.", PV_SCORES_RESAMPLES))};
    out->panels = p->panel;
    out->num_panels = 1;
}

static void one_run(struct page_parts *p, const struct pv_page *a, struct pv_report *out)
{
    const struct page_run *r = &p->run[0];
    const char *name = dataset_name(r), *method = pv_json_str(r->config, "method", "");
    out->title = a->title ? a->title : page_keep(&p->texts, name ? pv_asprintf("%s on %s", method, name)
                                                                : pv_asprintf("%s: run %s", method, r->name));
    out->subtitle = a->note ? a->note : page_keep(&p->texts, pv_asprintf("Run %s", r->name));
    out->header = p->header;
    out->num_header = page_rows(r, &p->texts, p->header);
    out->plots = r->plots.plots;
    out->num_plots = r->plots.num;
    if (r->s.eval) {
        add_cases(p, out);
        add_intervals(p, out);
    }
    out->command = pv_json_str(r->config, "command", NULL);
    out->config = page_keep(&p->texts, pv_json_text(r->config, true));
}

/* ---- several runs ---- */

/* The first run that was evaluated; its first metric is what runs are compared by. */
static const struct page_run *leader(const struct page_parts *p)
{
    for (int i = 0; i < p->num; i++)
        if (p->run[i].s.num_metrics && p->run[i].s.num_cases)
            return &p->run[i];
    return NULL;
}

static void means_grid(struct page_parts *p, const struct page_run *lead)
{
    struct pv_report_grid *g = new_grid(p, "Mean \xC2\xB1 standard deviation over cases", (size_t)p->num,
                                        (size_t)lead->s.num_metrics + 3);
    set_head(g, 0, "Run");
    set_head(g, 1, "Method");
    set_head(g, 2, "Cases");
    for (int k = 0; k < lead->s.num_metrics; k++)
        set_head(g, (size_t)k + 3, metric_title(p, lead, k));
    for (int i = 0; i < p->num; i++) {
        const struct page_run *r = &p->run[i];
        size_t row = (size_t)i;
        set_cell(g, row, 0, r->name);
        set_cell(g, row, 1, pv_json_str(r->config, "method", ""));
        set_cell(g, row, 2, page_keep(&p->texts, r->s.eval ? pv_asprintf("%zu %s", r->s.num_cases, r->s.split)
                                                         : pv_strdup("not evaluated")));
        for (int k = 0; k < lead->s.num_metrics; k++) {
            int own = pv_scores_metric(&r->s, lead->s.metric[k]);
            if (own < 0)
                continue;
            struct pv_scores_mean m = pv_scores_mean(&r->s, own);
            char mean[32], sd[32];
            page_number(r, own, m.mean, mean);
            page_number(r, own, m.sd, sd);
            set_cell(g, row, (size_t)k + 3,
                     page_keep(&p->texts, pv_asprintf("%s\xC2\xA0\xC2\xB1\xC2\xA0%s", mean, sd)));
        }
    }
}

/* Paired tests of the leading metric between each pair of runs, on the cases that both have. */
static void tests_grid(struct page_parts *p, const struct page_run *lead)
{
    enum { COLS = 6 };
    size_t most = (size_t)(p->num * (p->num - 1) / 2), row = 0;
    struct pv_report_grid *g = new_grid(p, page_keep(&p->texts, pv_asprintf("%s, paired over cases",
                                                     metric_title(p, lead, 0))), most, COLS);
    static const char *const head[COLS] = {"Runs", "Cases", "Mean difference", "Better in", "p (t-test)",
                                           "p (Wilcoxon)"};
    for (size_t c = 0; c < COLS; c++)
        set_head(g, c, head[c]);
    for (int i = 0; i < p->num; i++)
        for (int j = i + 1; j < p->num; j++) {
            const struct page_run *x = &p->run[i], *y = &p->run[j];
            struct pv_scores_pair pair = pv_scores_compare(&y->s, &x->s, lead->s.metric[0]);
            if (!pair.n)
                continue;
            set_cell(g, row, 0, page_keep(&p->texts, pv_asprintf("%s against %s", y->brief, x->brief)));
            set_cell(g, row, 1, page_keep(&p->texts, pv_asprintf("%zu", pair.n)));
            set_cell(g, row, 2, isnan(pair.difference) ? "\xE2\x80\x93"
                                                       : page_keep(&p->texts, pv_asprintf("%+.2f", pair.difference)));
            set_cell(g, row, 3, page_keep(&p->texts, pv_asprintf("%zu of %zu", pair.better, pair.n)));
            set_cell(g, row, 4, page_keep(&p->texts, pv_scores_p_text(pair.p_t, pair.p_t_two)));
            set_cell(g, row++, 5, page_keep(&p->texts, pv_scores_p_text(pair.p_wilcoxon, pair.p_wilcoxon_two)));
        }
    g->rows = row;
    if (!row)
        p->num_grids--;
}

static void cases_grid(struct page_parts *p, const struct page_run *lead)
{
    struct pv_report_grid *g = new_grid(p, page_keep(&p->texts, pv_asprintf("%s of every case",
                                                     metric_title(p, lead, 0))),
                                        lead->s.num_cases, (size_t)p->num + 1);
    set_head(g, 0, "Case");
    for (int i = 0; i < p->num; i++) {
        const struct page_run *r = &p->run[i];
        int k = pv_scores_metric(&r->s, lead->s.metric[0]);
        set_head(g, (size_t)i + 1, r->brief);
        for (size_t c = 0; c < lead->s.num_cases; c++) {
            char v[32];
            page_number(lead, 0, k < 0 ? NAN : pv_scores_value(&r->s, lead->s.ids[c], k), v);
            set_cell(g, c, 0, lead->s.ids[c]);
            set_cell(g, c, (size_t)i + 1, page_keep(&p->texts, pv_strdup(v)));
        }
    }
}

/* Columns that several runs have and that mean the same in each. */
static void shared_plots(struct page_parts *p)
{
    static const struct { const char *column, *title; } shared[] = {
        {"loss", "Loss (each method's own sum)"}, {"val_dice", "Validation Dice"},
        {"seconds", "Seconds per iteration"}};
    p->plots = pv_array(struct pv_plot, PV_COUNT(shared));
    for (size_t s = 0; s < PV_COUNT(shared); s++) {
        struct pv_plot plot = {.title = shared[s].title, .x_label = "iteration", .whole_x = true};
        struct pv_series *series = pv_array(struct pv_series, p->num);
        size_t longest = 0;
        for (int i = 0; i < p->num; i++) {
            const struct pv_runlog_plots *all = &p->run[i].plots;
            for (size_t q = 0; q < all->num; q++)
                for (size_t k = 0; k < all->plots[q].num; k++) {
                    const struct pv_series *have = &all->plots[q].series[k];
                    if (!pv_streq(have->name, shared[s].column))
                        continue;
                    series[plot.num] = *have;
                    series[plot.num++].name = p->run[i].brief;
                    longest = have->n > longest ? have->n : longest;
                    plot.x_hi = fmax(plot.x_hi, have->n ? have->x[have->n - 1] : 0);
                }
        }
        if (!plot.num) {
            pv_free(series);
            continue;
        }
        plot.series = series;
        plot.log_y = pv_streq(shared[s].column, "seconds");
        if (s != 1 && longest >= 60)
            plot.smooth = (int)(longest / 30 < 2000 ? longest / 30 : 2000);
        p->plots[p->num_plots++] = plot;
    }
}

/* Pictures of the same case by each run stand below each other. */
static void compared_pictures(struct page_parts *p, const struct page_run *lead, struct pv_report *out)
{
    size_t n = 0;
    p->cases = pv_array(struct pv_report_case, lead->s.num_cases * (size_t)p->num + 1);
    for (size_t c = 0; c < lead->s.num_cases; c++)
        for (int i = 0; i < p->num; i++) {
            const struct page_run *r = &p->run[i];
            const struct pv_case_pictures *pic = pv_pictures_find(&r->pictures, lead->s.ids[c]);
            int k = pv_scores_metric(&r->s, lead->s.metric[0]);
            if (!pic || k < 0)
                continue;
            char v[32];
            page_number(r, k, pv_scores_value(&r->s, lead->s.ids[c], k), v);
            p->cases[n++] = (struct pv_report_case){.id = lead->s.ids[c], .mosaic = &pic->mosaic, .strip = &pic->strip,
                .note = page_keep(&p->texts, pv_asprintf("by %s: %s %s %s", r->brief, r->s.shown[k].name, v,
                                                         r->s.shown[k].unit))};
        }
    out->cases = p->cases;
    out->num_cases = n;
}

static void comparison(struct page_parts *p, const struct page_run *lead, struct pv_report *out)
{
    for (int i = 0; i < p->num; i++) {
        const struct page_run *r = &p->run[i];
        int k = pv_scores_metric(&r->s, lead->s.metric[0]);
        struct pv_scores_mean m = k < 0 ? (struct pv_scores_mean){NAN, NAN, 0} : pv_scores_mean(&r->s, k);
        char mean[32], sd[32];
        page_number(lead, 0, m.mean, mean);
        page_number(lead, 0, m.sd, sd);
        p->names[i] = r->brief;
        p->means[i] = m.mean;
        p->tiles[i] = (struct pv_report_tile){
            page_keep(&p->texts, pv_asprintf("%s %s", mean, lead->s.shown[0].unit)),
            page_keep(&p->texts, pv_asprintf("\xC2\xB1 %s", sd)),
            page_keep(&p->texts, pv_asprintf("%s of %s, mean of %zu", lead->s.shown[0].name, r->brief, m.n))};
    }
    out->tiles = p->tiles;
    out->num_tiles = (size_t)p->num;
    means_grid(p, lead);
    tests_grid(p, lead);
    cases_grid(p, lead);
    p->bars = (struct pv_report_bars){"Mean", lead->s.shown[0].unit, (size_t)p->num, p->names, p->means};
    p->bars.title = page_keep(&p->texts, pv_asprintf("%s, mean over cases", lead->s.shown[0].name));
    p->panel[0] = (struct pv_report_panel){.title = "Comparison", .early = true, .grids = p->grid,
        .num_grids = (size_t)p->num_grids, .bars = &p->bars, .num_bars = 1,
        .note = "\xC2\xB1: standard deviation over cases, divided by n. Difference: the first-named run minus the "
                "other. p: one-sided / two-sided, how often cases drawn by chance would give such a result if the "
                "first-named run were not better / such a difference either way if both were equally good; a single "
                "seed says nothing about other seeds."};
    compared_pictures(p, lead, out);
}

static void several_runs(struct page_parts *p, const struct pv_page *a, struct pv_report *out)
{
    const struct page_run *lead = leader(p);
    struct pv_str names = {0};
    for (int i = 0; i < p->num; i++)
        pv_str_addf(&names, "%s%s", i ? ", " : "", p->run[i].name);
    out->title = a->title ? a->title : "Comparison of runs";
    const char *list = page_keep(&p->texts, names.text);
    out->subtitle = a->note ? a->note : list;
    size_t n = 0;
    if (lead) {
        comparison(p, lead, out);
        n = 1;
    }
    for (int i = 0; i < p->num; i++) {
        const struct page_run *r = &p->run[i];
        struct pv_report_row row[PAGE_MOST_ROWS];
        size_t rows = page_rows(r, &p->texts, row);
        struct pv_report_grid *g = new_grid(p, NULL, rows, 2);
        set_head(g, 0, "About");
        set_head(g, 1, "this run");
        for (size_t k = 0; k < rows; k++) {
            set_cell(g, k, 0, row[k].key);
            set_cell(g, k, 1, row[k].value);
        }
        p->panel[n++] = (struct pv_report_panel){.title = page_keep(&p->texts, pv_asprintf("Run %s", r->brief)),
            .grids = g, .num_grids = 1, .plots = r->plots.plots, .num_plots = r->plots.num,
            .json = page_keep(&p->texts, pv_json_text(r->config, true))};
    }
    out->panels = p->panel;
    out->num_panels = n;
    shared_plots(p);
    out->plots = p->plots;
    out->num_plots = p->num_plots;
}

/* ---- the page ---- */

static void hide_training_cases(struct page_parts *p, struct pv_report *out)
{
    static const char *const keys[] = {"labeled", "unlabeled"};
    size_t room = 1;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < p->num; i++)
            for (size_t k = 0; k < PV_COUNT(keys); k++) {
                const pv_json *list = pv_json_get(pv_json_get(p->run[i].config, "cases"), keys[k]);
                room += pass ? 0 : pv_json_count(list);
                for (const pv_json *c = pass ? pv_json_at(list, 0) : NULL; c; c = pv_json_next(c))
                    if (pv_json_string_value(c))
                        p->hidden[p->num_hidden++] = pv_json_string_value(c);
            }
        for (int i = 0; i < p->num && p->num > 1; i++) {    /* cases without pictures stand in tables only */
            room += pass ? 0 : p->run[i].s.num_cases;
            for (size_t k = 0; pass && k < p->run[i].s.num_cases; k++)
                p->hidden[p->num_hidden++] = p->run[i].s.ids[k];
        }
        if (!pass)
            p->hidden = pv_array(const char *, room);
    }
    out->anonymous_ids = true;
    out->private_ids = p->hidden;
    out->num_private_ids = p->num_hidden;
}

static void parts_free(struct page_parts *p)
{
    for (int i = 0; i < p->num; i++)
        page_run_free(&p->run[i]);
    for (int i = 0; i < p->num_lists; i++)
        pv_free(p->lists[i]);
    for (size_t i = 0; i < p->num_plots; i++)
        pv_free((void *)(uintptr_t)p->plots[i].series);
    pv_free(p->plots);
    pv_free(p->cases);
    pv_free(p->hidden);
    page_texts_free(&p->texts);
    pv_free(p);
}

/* At most about 30 letters: the beginning and the end. */
static char *brief_name(const char *name)
{
    enum { MOST = 30, HEAD = 15, TAIL = 14 };
    size_t n = strlen(name), head = HEAD, tail = n - TAIL;
    if (n <= MOST)
        return pv_strdup(name);
    while (head > 0 && ((unsigned char)name[head] & 0xC0) == 0x80)      /* not within a letter of UTF-8 */
        head--;
    while (((unsigned char)name[tail] & 0xC0) == 0x80)
        tail++;
    return pv_asprintf("%.*s\xE2\x80\xA6%s", (int)head, name, name + tail);
}

static bool taken(const struct page_parts *p, int i)
{
    bool found = false;
    for (int j = 0; j < i; j++)
        found = found || pv_streq(p->run[j].brief, p->run[i].brief);
    return found;
}

/* Two folders of the same name are told apart by their paths, brief names that are the same by numbers. */
static void name_runs(struct page_parts *p)
{
    bool same[PV_PAGE_MOST_RUNS] = {false};
    for (int i = 0; i < p->num; i++)
        for (int j = 0; j < p->num; j++)
            same[i] = same[i] || (i != j && pv_streq(p->run[i].name, p->run[j].name));
    for (int i = 0; i < p->num; i++) {
        struct page_run *r = &p->run[i];
        if (same[i]) {
            pv_free(r->name);
            r->name = pv_strdup(r->folder);
        }
        char *plain = brief_name(r->name);
        r->brief = page_keep(&p->texts, pv_strdup(plain));
        for (int k = 2; taken(p, i); k++)
            r->brief = page_keep(&p->texts, pv_asprintf("%s (%d)", plain, k));
        pv_free(plain);
    }
}

/* A run beside itself has no differences to show. By name: "run", "./run" and "run/" are one. */
static bool all_differ(const struct pv_page *a)
{
    for (int i = 0; i < a->num_runs; i++)
        for (int j = 0; j < i; j++) {
            const char *name[2] = {a->runs[i], a->runs[j]};
            size_t len[2];
            for (int k = 0; k < 2; k++) {
                while (name[k][0] == '.' && name[k][1] && strchr(pv_path_separators, name[k][1]))
                    name[k] += 2;
                len[k] = strlen(name[k]);
                while (len[k] > 1 && strchr(pv_path_separators, name[k][len[k] - 1]))
                    len[k]--;
            }
            if (len[0] == len[1] && !strncmp(name[0], name[1], len[0]))
                return pv_fail(PV_FAULT_USAGE, "the run %s is given twice: a report compares different runs",
                               a->runs[i]);
        }
    return true;
}

bool pv_page_write(const struct pv_page *a, const char *path)
{
    if (a->num_runs < 1 || a->num_runs > PV_PAGE_MOST_RUNS)
        return pv_fail(PV_FAULT_USAGE, "a report takes 1 to %d runs, not %d", PV_PAGE_MOST_RUNS, a->num_runs);
    if (!all_differ(a))
        return false;
    struct page_parts *p = pv_new(struct page_parts);
    struct pv_report out = {.no_images = a->no_images};
    bool ok = true;
    for (; ok && p->num < a->num_runs; p->num += ok)
        ok = page_run_read(&p->run[p->num], a->runs[p->num], a->maybe_empty);
    if (ok) {
        char now[32];
        pv_time_text(now);
        for (int i = 0; a->anonymous && i < p->num; i++)
            page_run_hide(&p->run[i], i);
        name_runs(p);
        if (p->num == 1)
            one_run(p, a, &out);
        else
            several_runs(p, a, &out);
        if (a->anonymous)
            hide_training_cases(p, &out);
        out.footer = page_keep(&p->texts, pv_asprintf("protovox " PV_VERSION ", %.10s", now));
        ok = pv_report_write(&out, path);
    }
    parts_free(p);
    return ok;
}

bool pv_page_progress(const char *run)
{
    char *csv = pv_path_join(run, "metrics.csv"), *png = pv_path_join(run, "progress.png");
    struct pv_runlog log = {0};
    bool ok = !pv_file_exists(csv) || (pv_runlog_read(csv, &log) && (!log.num_rows || pv_runlog_png(&log, png)));
    pv_runlog_free(&log);
    pv_free(csv);
    pv_free(png);
    return ok;
}
