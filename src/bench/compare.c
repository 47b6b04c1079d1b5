/* SPDX-License-Identifier: Apache-2.0
 * Sides next to each other: ratios, their means, and what is written of them. */
#include "bench/compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "platform/platform.h"
#include "pv_config.h"
#include "report/ratios.h"
#include "report/text.h"

static const struct pv_measure *find(const struct pv_side *s, const struct pv_measure *like)
{
    for (size_t i = 0; i < s->n; i++)
        if (pv_streq(s->v[i].name, like->name) && pv_streq(s->v[i].unit, like->unit))
            return &s->v[i];
    return NULL;
}

static pv_json *triple(double lo, double mid, double hi)
{
    pv_json *o = pv_json_object();
    pv_json_set_num(o, "lo", lo);
    pv_json_set_num(o, "mid", mid);
    pv_json_set_num(o, "hi", hi);
    return o;
}

/* What the ratios of one side come to: ms only, over the names that it shares with the base. */
struct total { int n; double log_sum, sum, base_sum; };

static pv_json *totals_json(const struct total *t)
{
    pv_json *o = pv_json_object();
    pv_json_set_num(o, "common", t->n);
    if (t->n > 0) {
        pv_json_set_num(o, "geometric_mean", exp(t->log_sum / t->n));
        pv_json_set_num(o, "sum_ratio", t->sum / t->base_sum);
    }
    return o;
}

static pv_json *row_of(const struct pv_sides *s, size_t base, const struct pv_measure *b, struct total *total)
{
    pv_json *r = pv_json_object(), *values = pv_json_array();
    pv_json_set_str(r, "name", b->name);
    pv_json_set_str(r, "unit", b->unit);
    for (size_t k = 0; k < s->n; k++) {
        const struct pv_measure *m = find(&s->v[k], b);
        pv_json *v = m ? triple(m->lo, m->mid, m->hi) : pv_json_object();
        if (m && k != base) {
            pv_json_set(v, "ratio", triple(m->lo / b->hi, m->mid / b->mid, m->hi / b->lo));
            if (pv_streq(b->unit, "ms")) {
                total[k].n++;
                total[k].log_sum += log(m->mid / b->mid);
                total[k].sum += m->mid;
                total[k].base_sum += b->mid;
            }
        }
        pv_json_add(values, v);
    }
    pv_json_set(r, "values", values);
    return r;
}

static pv_json *sides_json(const struct pv_sides *s)
{
    pv_json *list = pv_json_array();
    for (size_t k = 0; k < s->n; k++) {
        pv_json *o = pv_json_object();
        pv_json_set_str(o, "name", s->v[k].name);
        if (s->v[k].about)
            pv_json_set_str(o, "about", s->v[k].about);
        if (s->v[k].skipped)
            pv_json_set_str(o, "skipped", s->v[k].skipped);
        pv_json_set_num(o, "measurements", (double)s->v[k].n);
        pv_json_add(list, o);
    }
    return list;
}

static bool comparable(const struct pv_sides *s, size_t base)
{
    if (s->n < 2)
        return pv_fail(PV_FAULT_INPUT, "there is one result only; give two files or more, or one of bench/peers");
    for (size_t k = 0; k < s->n; k++)
        for (size_t i = 0; base < s->n && k != base && i < s->v[base].n; i++)
            if (find(&s->v[k], &s->v[base].v[i]))
                return true;
    for (size_t k = 0; k < s->n; k++)
        if (s->v[k].skipped)            /* nothing to compare, but nothing is wrong with the files */
            return true;
    const struct pv_side *a = &s->v[base], *b = &s->v[base == 0 ? 1 : 0];
    return pv_fail(PV_FAULT_INPUT, "%s and %s have no measurement in common (\"%s\" in one, \"%s\" in the other): give "
                   "results of the same command with the same shapes", a->name, b->name,
                   a->n ? a->v[0].name : "nothing", b->n ? b->v[0].name : "nothing");
}

pv_json *pv_compare(const struct pv_sides *s)
{
    size_t base = 0;
    while (base + 1 < s->n && s->v[base].n == 0)
        base++;
    if (!comparable(s, base))
        return NULL;
    struct total *total = pv_array(struct total, s->n);
    pv_json *c = pv_json_object(), *rows = pv_json_array(), *means = pv_json_array();
    char now[32];
    pv_time_text(now);
    pv_json_set_str(c, "kind", "comparison");
    pv_json_set_str(c, "program", "protovox " PV_VERSION);
    pv_json_set_str(c, "date", now);
    pv_json_set_num(c, "base", (double)base);
    pv_json_set(c, "sides", sides_json(s));
    for (size_t i = 0; i < s->v[base].n; i++)
        pv_json_add(rows, row_of(s, base, &s->v[base].v[i], total));
    for (size_t k = 0; k < s->n; k++)
        pv_json_add(means, totals_json(&total[k]));
    pv_json_set(c, "rows", rows);
    pv_json_set(c, "totals", means);
    pv_free(total);
    return c;
}

/* ---- tables ---- */

static int decimals(double v)
{
    return v < 1 ? 3 : v < 10 ? 2 : v < 1000 ? 1 : 0;
}

static double member(const pv_json *o, const char *key)
{
    return pv_json_num(o, key, NAN);
}

/* "12.3", and of the others "12.3  1.25x [1.10..1.40]"; "" where a side has no such measurement. */
static void cell(struct pv_str *s, const pv_json *v)
{
    double mid = member(v, "mid");
    if (isnan(mid))
        return;
    pv_str_fixed(s, mid, decimals(mid));
    const pv_json *r = pv_json_get(v, "ratio");
    if (!r)
        return;
    pv_str_add(s, "  ");
    pv_str_fixed(s, member(r, "mid"), 2);
    pv_str_add(s, "x");
    if (member(r, "lo") < member(r, "hi")) {
        pv_str_add(s, " [");
        pv_str_fixed(s, member(r, "lo"), 2);
        pv_str_add(s, "..");
        pv_str_fixed(s, member(r, "hi"), 2);
        pv_str_add(s, "]");
    }
}

static void total_cell(struct pv_str *s, const pv_json *t, const char *key)
{
    double v = member(t, key);
    if (!isnan(v)) {
        pv_str_fixed(s, v, 2);
        pv_str_addf(s, "x of %d", (int)pv_json_num(t, "common", 0));
    }
}

static const char *const total_keys[2][2] = {{"geometric_mean", "geometric mean of ratios"},
                                             {"sum_ratio", "sum of times"}};

/* All cells as text, [rows][cols]; row 0 is the header, the last two the totals. */
struct grid { char **cell; size_t rows, cols; };

static struct grid grid_of(const pv_json *c)
{
    const pv_json *sides = pv_json_get(c, "sides"), *rows = pv_json_get(c, "rows"), *totals = pv_json_get(c, "totals");
    struct grid g = {.rows = pv_json_count(rows) + 3, .cols = pv_json_count(sides) + 1};
    g.cell = pv_array(char *, g.rows * g.cols);
    size_t at = 0;
    g.cell[at++] = pv_strdup("median ms, ratio [spread]");
    for (const pv_json *s = pv_json_at(sides, 0); s; s = pv_json_next(s))
        g.cell[at++] = pv_strdup(pv_json_str(s, "name", ""));
    for (const pv_json *r = pv_json_at(rows, 0); r; r = pv_json_next(r)) {
        bool ms = pv_streq(pv_json_str(r, "unit", ""), "ms");
        g.cell[at++] = pv_asprintf("%s%s%s", pv_json_str(r, "name", ""), ms ? "" : ", ",
                                   ms ? "" : pv_json_str(r, "unit", ""));
        for (const pv_json *v = pv_json_at(pv_json_get(r, "values"), 0); v; v = pv_json_next(v)) {
            struct pv_str s = {0};
            cell(&s, v);
            g.cell[at++] = s.text ? s.text : pv_strdup("");
        }
    }
    for (int i = 0; i < 2; i++) {
        g.cell[at++] = pv_strdup(total_keys[i][1]);
        for (const pv_json *t = pv_json_at(totals, 0); t; t = pv_json_next(t)) {
            struct pv_str s = {0};
            total_cell(&s, t, total_keys[i][0]);
            g.cell[at++] = s.text ? s.text : pv_strdup("");
        }
    }
    return g;
}

static void grid_free(struct grid *g)
{
    for (size_t i = 0; i < g->rows * g->cols; i++)
        pv_free(g->cell[i]);
    pv_free(g->cell);
}

static void side_line(struct pv_str *s, const pv_json *c, const pv_json *side, size_t k, const char *bullet)
{
    pv_str_addf(s, "%s%s: %s", bullet, pv_json_str(side, "name", ""), pv_json_str(side, "about", "unknown device"));
    if (k == (size_t)pv_json_num(c, "base", 0))
        pv_str_add(s, " (ratios are to this one; above 1 takes longer)");
    if (pv_json_get(side, "skipped"))
        pv_str_addf(s, ": skipped, %s", pv_json_str(side, "skipped", ""));
    pv_str_add(s, "\n");
}

void pv_compare_print(const pv_json *c)
{
    struct pv_str s = {0};
    size_t k = 0;
    for (const pv_json *o = pv_json_at(pv_json_get(c, "sides"), 0); o; o = pv_json_next(o))
        side_line(&s, c, o, k++, "");
    pv_str_add(&s, "\n");
    struct grid g = grid_of(c);
    for (size_t r = 0; r < g.rows; r++) {
        for (size_t i = 0; i < g.cols; i++) {
            int w = 0;
            for (size_t q = 0; q < g.rows; q++)
                w = pv_max(w, (int)strlen(g.cell[q * g.cols + i]));
            pv_str_addf(&s, i == 0 ? "%-*s" : "  %*s", w, g.cell[r * g.cols + i]);
        }
        pv_str_add(&s, "\n");
    }
    printf("%s", s.text);
    grid_free(&g);
    pv_str_free(&s);
}

bool pv_compare_markdown(const pv_json *c, const char *path)
{
    struct pv_str s = {0};
    size_t k = 0;
    for (const pv_json *o = pv_json_at(pv_json_get(c, "sides"), 0); o; o = pv_json_next(o))
        side_line(&s, c, o, k++, "- ");
    struct grid g = grid_of(c);
    for (size_t r = 0; r < g.rows; r++) {
        pv_str_add(&s, r == 0 ? "\n|" : "|");
        for (size_t i = 0; i < g.cols; i++)
            pv_str_addf(&s, " %s |", g.cell[r * g.cols + i]);
        pv_str_add(&s, "\n");
        for (size_t i = 0; r == 0 && i < g.cols; i++)
            pv_str_add(&s, i + 1 == g.cols ? "|---|\n" : "|---");
    }
    bool ok = pv_write_file(path, s.text, s.len);
    grid_free(&g);
    pv_str_free(&s);
    return ok;
}

/* ---- chart ---- */

bool pv_compare_svg(const pv_json *c, const char *path)
{
    const pv_json *sides = pv_json_get(c, "sides"), *rows = pv_json_get(c, "rows");
    size_t n = pv_json_count(sides), num = 0, base = (size_t)pv_json_num(c, "base", 0), count = pv_json_count(rows);
    size_t *from = pv_array(size_t, n);
    const char **names = pv_array(const char *, n), **row_names = pv_array(const char *, count + 1);
    for (size_t k = 0; k < n; k++)
        if (k != base && !pv_json_get(pv_json_at(sides, k), "skipped")) {
            names[num] = pv_json_str(pv_json_at(sides, k), "name", "");
            from[num++] = k;
        }
    struct pv_ratio *v = pv_array(struct pv_ratio, count * num + 1);
    size_t r = 0;
    for (const pv_json *row = pv_json_at(rows, 0); row; row = pv_json_next(row), r++) {
        row_names[r] = pv_json_str(row, "name", "");
        for (size_t k = 0; k < num; k++) {
            const pv_json *q = pv_json_get(pv_json_at(pv_json_get(row, "values"), from[k]), "ratio");
            v[r * num + k] = (struct pv_ratio){member(q, "lo"), member(q, "mid"), member(q, "hi")};
        }
    }
    const pv_json *b = pv_json_at(sides, base);
    char *line = pv_asprintf("1 is %s: %s", pv_json_str(b, "name", ""), pv_json_str(b, "about", "unknown device"));
    struct pv_ratio_chart chart = {.title = "Time beside each other", .base = line, .rows = count, .num = num,
                                   .row_names = row_names, .names = names, .v = v,
                                   .x_label = "times as long (memory: as much); dot: of medians, line: of quartiles"};
    struct pv_str s = {0};
    pv_ratios_svg(&s, &chart);
    bool ok = pv_write_file(path, s.text, s.len);
    pv_str_free(&s);
    pv_free(line);
    pv_free(v);
    pv_free(from);
    pv_free((void *)names);
    pv_free((void *)row_names);
    return ok;
}
