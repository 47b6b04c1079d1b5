/* SPDX-License-Identifier: Apache-2.0
 * runlog.h. */
#include "report/runlog.h"

#include <math.h>
#include <string.h>

enum { MOST_CELL = 63, MOST_COLS = 256 };

/* ---- reading ---- */

static bool fail_at(const char *path, size_t line, const char *what)
{
    return pv_fail(PV_FAULT_INPUT, "%s:%zu: %s", path, line, what);
}

/* Cells of one line, in place: commas become ends. Returns their number. */
static size_t split(char *line, char *cell[MOST_COLS + 1])
{
    size_t n = 0;
    for (;;) {
        if (n <= MOST_COLS)
            cell[n] = line;
        n++;
        char *comma = strchr(line, ',');
        if (!comma)
            return n;
        *comma = '\0';
        line = comma + 1;
    }
}

static bool read_header(struct pv_runlog *log, char *line, const char *path)
{
    char *cell[MOST_COLS + 1];
    size_t n = split(line, cell);
    if (n > MOST_COLS)
        return fail_at(path, 1, "more than 256 columns");
    if (strcmp(cell[0], "iter") != 0)
        return fail_at(path, 1, "the first column must be \"iter\"; this is no metrics.csv of a run");
    log->names = pv_array(char *, n);
    for (size_t i = 1; i < n; i++) {
        if (!cell[i][0])
            return fail_at(path, 1, "a column has no name");
        if (pv_runlog_find(log, cell[i]) >= 0)
            return pv_fail(PV_FAULT_INPUT, "%s:1: two columns are named %s", path, cell[i]);
        log->names[log->num_cols++] = pv_strdup(cell[i]);
    }
    return true;
}

/* Rows are kept one after the other while reading: iter, values; the flags in parallel. */
struct rows {
    double *v;
    uint8_t *set;
    size_t num, cap;
};

static const char *read_row(struct rows *r, size_t num_cols, char *line)
{
    char *cell[MOST_COLS + 1];
    size_t width = num_cols + 1;
    if (split(line, cell) != width)
        return "the number of cells is not that of the first line";
    double *v = r->v + r->num * width;
    uint8_t *set = r->set + r->num * width;
    for (size_t i = 0; i < width; i++) {
        set[i] = cell[i][0] != '\0';
        v[i] = NAN;
        if (set[i] && (strlen(cell[i]) > MOST_CELL || !pv_parse_f64(cell[i], &v[i])))
            return "a cell is not a number";
    }
    if (!(fabs(v[0]) <= 9e15) || v[0] != floor(v[0]))
        return "the iteration is not a whole number";
    size_t n = r->num;
    while (n > 0 && r->v[(n - 1) * width] > v[0])
        n--;
    bool more = n > 0 && r->v[(n - 1) * width] == v[0];     /* of the iteration before */
    double *to = r->v + (n - more) * width;
    uint8_t *to_set = r->set + (n - more) * width;
    for (size_t i = 0; i < width; i++) {
        if (!more || set[i]) {
            to[i] = v[i];
            to_set[i] = set[i];
        }
    }
    r->num = n + !more;
    return NULL;
}

static void keep_rows(struct pv_runlog *log, const struct rows *r)
{
    size_t width = log->num_cols + 1;
    log->num_rows = r->num;
    log->iter = pv_array(double, r->num + 1);
    log->values = pv_array(double, r->num * log->num_cols + 1);
    log->logged = pv_array(uint8_t, r->num * log->num_cols + 1);
    for (size_t i = 0; i < r->num; i++) {
        log->iter[i] = r->v[i * width];
        for (size_t c = 0; c < log->num_cols; c++) {
            log->values[c * r->num + i] = r->v[i * width + c + 1];
            log->logged[c * r->num + i] = r->set[i * width + c + 1];
        }
    }
}

bool pv_runlog_read(const char *path, struct pv_runlog *log)
{
    *log = (struct pv_runlog){0};
    char *text;
    size_t size;
    if (!pv_read_file(path, &text, &size))
        return false;
    struct rows r = {0};
    bool ok = true;
    char *p = text, *end = text + size;
    if (pv_starts(p, "\xEF\xBB\xBF"))       /* left by a spreadsheet */
        p += 3;
    for (size_t number = 1; ok && p < end; number++) {
        char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop)
            break;
        *stop = '\0';
        if (stop > p && stop[-1] == '\r')
            stop[-1] = '\0';
        bool last = stop + 1 == end;
        if (number == 1) {
            ok = read_header(log, p, path);
        } else if (*p) {
            size_t width = log->num_cols + 1;
            if (r.num == r.cap) {
                r.cap = r.cap ? 2 * r.cap : 64;
                r.v = pv_realloc(r.v, r.cap * width * sizeof *r.v);
                r.set = pv_realloc(r.set, r.cap * width);
            }
            const char *wrong = read_row(&r, log->num_cols, p);
            ok = !wrong || last || fail_at(path, number, wrong);
        }
        p = stop + 1;
    }
    if (ok && !log->names)
        ok = fail_at(path, 1, "there is no line with column names");
    if (ok)
        keep_rows(log, &r);
    else
        pv_runlog_free(log);
    pv_free(r.v);
    pv_free(r.set);
    pv_free(text);
    return ok;
}

void pv_runlog_free(struct pv_runlog *log)
{
    if (!log)
        return;
    for (size_t i = 0; i < log->num_cols; i++)
        pv_free(log->names[i]);
    pv_free(log->names);
    pv_free(log->iter);
    pv_free(log->values);
    pv_free(log->logged);
    *log = (struct pv_runlog){0};
}

int pv_runlog_find(const struct pv_runlog *log, const char *name)
{
    for (size_t i = 0; i < log->num_cols; i++)
        if (strcmp(log->names[i], name) == 0)
            return (int)i;
    return -1;
}

/* ---- plots ---- */

enum group { LOSS, RATES, SECONDS, VALIDATION, OTHER, GROUPS };
static const char *const titles[GROUPS] = {"Losses", "Learning rate and weights", "Seconds per iteration",
                                           "Validation", "Further values"};
struct rule { const char *text; enum group group; };
static const struct rule starts[] = {
    {"loss", LOSS}, {"lr", RATES},    {"weight", RATES}, {"w_", RATES},       {"ema", RATES},
    {"sec", SECONDS}, {"time", SECONDS}, {"val", VALIDATION}, {"dice", VALIDATION},
};
static const struct rule ends[] = {{"_loss", LOSS}, {"_lr", RATES}, {"_weight", RATES}, {"_dice", VALIDATION}};

static enum group group_of(const char *name)
{
    for (size_t i = 0; i < PV_COUNT(starts); i++)
        if (pv_starts(name, starts[i].text))
            return starts[i].group;
    for (size_t i = 0; i < PV_COUNT(ends); i++)
        if (pv_ends(name, ends[i].text))
            return ends[i].group;
    return OTHER;
}

static bool make_series(const struct pv_runlog *log, size_t col, struct pv_series *s)
{
    double *x = pv_array(double, log->num_rows + 1), *y = pv_array(double, log->num_rows + 1);
    size_t n = 0;
    for (size_t i = 0; i < log->num_rows; i++) {
        if (!log->logged[col * log->num_rows + i])
            continue;
        x[n] = log->iter[i];
        y[n++] = log->values[col * log->num_rows + i];
    }
    *s = (struct pv_series){log->names[col], n, x, y};
    if (n > 0)
        return true;
    pv_free(x);
    pv_free(y);
    return false;
}

void pv_runlog_plots(const struct pv_runlog *log, struct pv_runlog_plots *out)
{
    *out = (struct pv_runlog_plots){pv_array(struct pv_plot, GROUPS), 0};
    for (int g = 0; g < GROUPS; g++) {
        struct pv_series *s = pv_array(struct pv_series, log->num_cols + 1);
        size_t num = 0, longest = 0;
        double low = INFINITY, high = -INFINITY;
        for (size_t c = 0; c < log->num_cols; c++) {
            if (group_of(log->names[c]) != (enum group)g || !make_series(log, c, &s[num]))
                continue;
            longest = s[num].n > longest ? s[num].n : longest;
            for (size_t i = 0; i < s[num].n; i++) {
                low = fmin(low, s[num].y[i]);
                high = fmax(high, s[num].y[i]);
            }
            num++;
        }
        if (num == 0) {
            pv_free(s);
            continue;
        }
        struct pv_plot *p = &out->plots[out->num++];
        *p = (struct pv_plot){.title = titles[g], .x_label = "iteration", .whole_x = true, .series = s, .num = num};
        p->log_y = g == RATES || (g == SECONDS && high > 10 * low);     /* the first steps compile */
        p->x_hi = log->iter[log->num_rows - 1];
        if ((g == LOSS || g == SECONDS) && longest >= 60)
            p->smooth = (int)(longest / 30 < 2000 ? longest / 30 : 2000);
        if (g == VALIDATION && low >= 0 && high <= 1)
            p->y_hi = 1;
    }
}

void pv_runlog_plots_free(struct pv_runlog_plots *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->num; i++) {
        for (size_t k = 0; k < p->plots[i].num; k++) {
            pv_free((void *)p->plots[i].series[k].x);
            pv_free((void *)p->plots[i].series[k].y);
        }
        pv_free((void *)p->plots[i].series);
    }
    pv_free(p->plots);
    *p = (struct pv_runlog_plots){0};
}

bool pv_runlog_png(const struct pv_runlog *log, const char *path)
{
    struct pv_runlog_plots p;
    pv_runlog_plots(log, &p);
    bool ok = pv_curves_png(path, p.plots, p.num);
    pv_runlog_plots_free(&p);
    return ok;
}
