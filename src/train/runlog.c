/* SPDX-License-Identifier: Apache-2.0
 * metrics.csv, events, log.txt and the progress line. */
#include "train/runlog.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"
#include "report/events.h"

struct pv_train_log {
    char *csv_path, *log_path;
    FILE *csv, *log;
    pv_events *events;
    struct pv_strs cols;        /* without iter */
    struct pv_str early;        /* lines that are not in log.txt yet */
    bool quiet, tty, line_open, failed;
    uint64_t opened_ns, last_line_ns, last_flush_ns;
};

/* ---- log.txt: everything that is logged goes there with the time ---- */

static void to_text(void *user, enum pv_log_level level, const char *line)
{
    char now[32];
    pv_time_text(now);
    pv_str_addf(user, "%s %s\n", now, line);
}

void pv_log_keep(struct pv_str *lines) { pv_log_sink(to_text, lines); }
void pv_log_keep_end(struct pv_str *lines) { pv_log_sink(NULL, lines); }

/* The first call follows to_early under the log's lock, so that no line is lost between them. */
static void to_file(void *user, enum pv_log_level level, const char *line)
{
    pv_train_log *l = user;
    to_text(&l->early, level, line);
    fwrite(l->early.text, 1, l->early.len, l->log);
    fflush(l->log);
    l->early.len = 0;
}

static void to_early(void *user, enum pv_log_level level, const char *line)
{
    to_text(&((pv_train_log *)user)->early, level, line);
}

static void clear_line(void *user)
{
    pv_train_log *l = user;
    if (l->line_open) {
        fprintf(stderr, "\r\033[K");
        l->line_open = false;
    }
}

/* ---- metrics.csv ---- */

static bool broken(pv_train_log *l, const char *path)
{
    if (!l->failed)
        pv_fail(PV_FAULT_INPUT, "%s cannot be written: %s", path, pv_os_error());
    l->failed = true;
    return false;
}

/* Keeps the header and the rows up to `steps`; a cut last line goes. */
static bool trim_csv(pv_train_log *l, int64_t steps)
{
    char *text;
    size_t n;
    if (!pv_read_file(l->csv_path, &text, &n))
        return false;
    char *end = strchr(text, '\n');
    if (end) {
        char *head = pv_asprintf("%.*s", (int)(end - text), text);
        struct pv_strs names = {0};
        pv_strs_split(&names, head, ",\r");
        for (size_t i = 1; i < names.n; i++)
            pv_strs_add(&l->cols, names.v[i]);
        pv_strs_free(&names);
        pv_free(head);
        char *p = end + 1, *nl;
        while ((nl = strchr(p, '\n')) && strtoll(p, NULL, 10) <= steps)
            p = nl + 1;
        n = (size_t)(p - text);
    } else {
        n = 0;
    }
    bool ok = pv_write_file(l->csv_path, text, n);
    pv_free(text);
    return ok;
}

/* A column that was not there before: the file is written again with it. */
static bool add_column(pv_train_log *l, const char *name)
{
    if (l->cols.n >= PV_LOG_COLS)
        return true;
    char *text = NULL;
    size_t n = 0;
    struct pv_str out = {0};
    if (l->csv) {
        fclose(l->csv);
        l->csv = NULL;
        if (!pv_read_file(l->csv_path, &text, &n))
            return false;
    }
    pv_strs_add(&l->cols, name);
    pv_str_add(&out, "iter");
    for (size_t i = 0; i < l->cols.n; i++)
        pv_str_addf(&out, ",%s", l->cols.v[i]);
    pv_str_add(&out, "\n");
    char *p = text ? strchr(text, '\n') : NULL;
    for (p = p ? p + 1 : NULL; p && *p;) {
        char *nl = strchr(p, '\n');
        if (!nl)
            break;
        pv_str_addn(&out, p, (size_t)(nl - p));
        pv_str_add(&out, ",\n");
        p = nl + 1;
    }
    bool ok = pv_write_file(l->csv_path, out.text, out.len);
    pv_free(text);
    pv_str_free(&out);
    l->csv = ok ? pv_fopen(l->csv_path, "ab") : NULL;
    return l->csv != NULL || broken(l, l->csv_path);
}

pv_train_log *pv_train_log_new(const char *lines)
{
    pv_train_log *l = pv_new(pv_train_log);
    if (lines)
        pv_str_add(&l->early, lines);
    pv_log_sink(to_early, l);
    return l;
}

bool pv_train_log_open(pv_train_log *l, const char *dir, int64_t steps, bool more, bool quiet)
{
    l->quiet = quiet;
    l->tty = pv_is_tty(stderr);
    l->opened_ns = l->last_line_ns = l->last_flush_ns = pv_clock_ns();
    l->csv_path = pv_path_join(dir, "metrics.csv");
    l->log_path = pv_path_join(dir, "log.txt");
    bool again = steps > 0 && pv_file_exists(l->csv_path);
    l->log = pv_fopen(l->log_path, more ? "ab" : "wb");
    bool ok = l->log || broken(l, l->log_path);
    if (ok && again)
        ok = trim_csv(l, steps);
    else if (ok)
        pv_remove(l->csv_path);
    if (ok && again) {
        l->csv = pv_fopen(l->csv_path, "ab");
        ok = l->csv || broken(l, l->csv_path);
    }
    if (ok) {
        l->events = pv_events_open(dir, steps);
        ok = l->events != NULL;
    }
    if (!ok)
        return false;
    pv_log_sink(to_file, l);
    if (l->tty && !quiet)
        pv_log_before_print(clear_line, l);
    return true;
}

bool pv_train_log_row(pv_train_log *l, const struct pv_log_row *r)
{
    for (int i = 0; i < r->n; i++)
        if (pv_strs_find(&l->cols, r->name[i]) < 0 && !add_column(l, r->name[i]))
            return false;
    struct pv_str s = {0};
    pv_str_addf(&s, "%lld", (long long)r->iter);
    for (size_t c = 0; c < l->cols.n; c++) {
        pv_str_add(&s, ",");
        for (int i = 0; i < r->n; i++)
            if (pv_streq(l->cols.v[c], r->name[i])) {
                char text[40];
                pv_digits_text(text, r->value[i], 9);
                pv_str_add(&s, text);
            }
    }
    pv_str_add(&s, "\n");
    bool ok = l->csv && fwrite(s.text, 1, s.len, l->csv) == s.len;
    pv_str_free(&s);
    if (!ok)
        return broken(l, l->csv_path);
    return pv_events_scalars(l->events, r->iter, r->name, r->value, (size_t)r->n);
}

static void duration(double s, char out[32])
{
    long t = s > 0 && s < 1e9 ? (long)(s + 0.5) : 0;
    if (t >= 3600)
        snprintf(out, 32, "%ldh %02ldm", t / 3600, t / 60 % 60);
    else if (t >= 60)
        snprintf(out, 32, "%ldm %02lds", t / 60, t % 60);
    else
        snprintf(out, 32, "%lds", t);
}

/* A file or a pipe keeps every line: fewer of them the longer a run takes. */
static uint64_t pause_ns(const pv_train_log *l, uint64_t now)
{
    static const uint64_t second = 1000000000ull;
    if (l->tty)
        return second / 5;
    uint64_t age = (now - l->opened_ns) / second;
    return (age < 300 ? 15 : age < 3600 ? 60 : 300) * second;
}

enum { BAR = 20, BAR_FROM = 60 };       /* columns */

static void show_line(pv_train_log *l, int64_t done, int64_t total, int width, const char *text)
{
    static const char hashes[] = "####################", dots[] = "....................";
    int full = total > 0 ? (int)(BAR * done / total) : 0;
    if (!l->tty)
        fprintf(stderr, "%s\n", text);
    else if (width >= BAR_FROM)
        fprintf(stderr, "\r\033[K[%.*s%.*s] %s", full, hashes, BAR - full, dots, text);
    else
        fprintf(stderr, "\r\033[K%s", text);
    l->line_open = l->tty && done < total;
    if (l->tty && !l->line_open)
        fprintf(stderr, "\n");
    fflush(stderr);
}

/* Adds what fits into `room` columns. */
static void add_item(struct pv_str *s, int room, const char *item)
{
    if (s->len == 0 || s->len + 2 + strlen(item) <= (size_t)room)
        pv_str_addf(s, "%s%s", s->len ? "  " : "", item);
}

void pv_train_log_progress(pv_train_log *l, int64_t done, int64_t total, const struct pv_log_row *last,
                           double per_step)
{
    uint64_t now = pv_clock_ns();
    if (l->csv && now - l->last_flush_ns > 5000000000ull) {     /* for those who watch the file */
        fflush(l->csv);
        l->last_flush_ns = now;
    }
    if (l->quiet || (done < total && now - l->last_line_ns < pause_ns(l, now)))
        return;
    l->last_line_ns = now;
    struct pv_str s = {0};
    char item[96], left[32];
    int width = l->tty ? pv_tty_width(stderr) : 1000, room = width - (width >= BAR_FROM ? BAR + 4 : 1);
    snprintf(item, sizeof item, "%lld/%lld", (long long)done, (long long)total);
    add_item(&s, room, item);
    if (per_step > 0) {
        duration(per_step * (double)(total - done), left);
        snprintf(item, sizeof item, "%.*f s/it", per_step < 0.995 ? 3 : 2, per_step);
        add_item(&s, room, item);
        snprintf(item, sizeof item, "%s left", left);
        if (done < total)
            add_item(&s, room, item);
    }
    for (int i = 0; last && i < last->n; i++) {
        snprintf(item, sizeof item, "%s %.4f", last->name[i], last->value[i]);
        if (pv_starts(last->name[i], "loss"))
            add_item(&s, room, item);
    }
    show_line(l, done, total, width, s.text);
    pv_str_free(&s);
}

bool pv_train_log_flush(pv_train_log *l)
{
    return !l->csv || fflush(l->csv) == 0 || broken(l, l->csv_path);
}

bool pv_train_log_close(pv_train_log **lp)
{
    pv_train_log *l = *lp;
    if (!l)
        return true;
    bool ok = !l->failed;
    clear_line(l);
    pv_log_before_print(NULL, l);
    pv_log_sink(NULL, l);
    if (l->csv && fclose(l->csv) != 0)
        ok = broken(l, l->csv_path);
    if (l->log)
        fclose(l->log);
    ok = pv_events_close(&l->events) && ok;
    pv_strs_free(&l->cols);
    pv_str_free(&l->early);
    pv_free(l->csv_path);
    pv_free(l->log_path);
    pv_free(l);
    *lp = NULL;
    return ok;
}
