/* SPDX-License-Identifier: Apache-2.0
 * A run folder as the page needs it: read, checked, and described in rows. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/stats.h"
#include "method/method.h"
#include "platform/platform.h"
#include "train/ckpt.h"
#include "train/config.h"
#include "train/page_impl.h"

const char *page_keep(struct page_texts *t, char *owned)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->v = pv_realloc(t->v, t->cap * sizeof *t->v);
    }
    return t->v[t->n++] = owned;
}

void page_texts_free(struct page_texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        pv_free(t->v[i]);
    pv_free(t->v);
    *t = (struct page_texts){0};
}

/* ---- results ---- */

static bool read_scores(struct page_run *r)
{
    char *path = pv_scores_find(r->folder, NULL, &r->s.split);
    if (!path)
        return true;
    bool ok = pv_scores_read(&r->s, path);
    char *pictures = pv_asprintf("%s/pictures_%s.safetensors", r->folder, r->s.split);
    if (ok && pv_file_exists(pictures))
        ok = pv_pictures_read(pictures, &r->pictures);
    pv_free(pictures);
    pv_free(path);
    return ok;
}

void page_number(const struct page_run *r, int k, double v, char out[32])
{
    if (isfinite(v))
        snprintf(out, 32, "%.*f", r->s.shown[k].decimals, v);
    else
        snprintf(out, 32, "\xE2\x80\x93");
}

/* ---- the folder ---- */

static bool read_metrics(struct page_run *r, bool maybe_empty)
{
    char *path = pv_path_join(r->folder, "metrics.csv");
    bool there = pv_file_exists(path), ok = true;
    if (!there && !maybe_empty)
        ok = pv_fail(PV_FAULT_INPUT, "%s has no metrics.csv: nothing was trained there yet; run protovox train "
                     "--out %s", r->folder, r->folder);
    ok = ok && (!there || pv_runlog_read(path, &r->log));
    if (ok && !r->log.num_rows && !maybe_empty)
        ok = pv_fail(PV_FAULT_INPUT, "%s holds no complete row yet; make the report once training has logged something",
                     path);
    if (ok && r->log.num_rows)
        pv_runlog_plots(&r->log, &r->plots);
    pv_free(path);
    return ok;
}

static bool read_weights(struct page_run *r)
{
    static const char *const order[] = {"final", "latest", "best"};
    bool ok = true;
    for (size_t i = 0; ok && i < PV_COUNT(order) && r->steps < 0; i++) {
        char *path = pv_asprintf("%s/%s.safetensors", r->folder, order[i]);
        struct pv_ckpt_info info;
        if (pv_file_exists(path) && (ok = pv_ckpt_peek(path, &info))) {
            r->steps = info.steps;
            r->seconds = info.seconds;
        }
        pv_free(path);
    }
    return ok;
}

static char *folder_name(const char *folder)
{
    char *all = pv_strdup(folder);
    size_t n = strlen(all);
    while (n > 1 && strchr(pv_path_separators, all[n - 1]))
        all[--n] = '\0';
    char *name = pv_strdup(pv_path_base(all));
    pv_free(all);
    return name;
}

bool page_run_read(struct page_run *r, const char *folder, bool maybe_empty)
{
    *r = (struct page_run){.folder = folder, .name = folder_name(folder), .steps = -1};
    char *path = pv_path_join(folder, "config.json");
    bool ok = pv_file_exists(path) || pv_fail(PV_FAULT_INPUT, "%s is not a run folder: it has no config.json", folder);
    ok = ok && (r->config = pv_json_read(path)) != NULL && pv_config_check(r->config, path);
    pv_free(path);
    ok = ok && read_metrics(r, maybe_empty) && read_weights(r) && read_scores(r);
    if (!ok)
        page_run_free(r);
    return ok;
}

void page_run_free(struct page_run *r)
{
    pv_free(r->name);
    pv_json_free(r->config);
    pv_scores_free(&r->s);
    pv_runlog_plots_free(&r->plots);
    pv_runlog_free(&r->log);
    pv_pictures_free(&r->pictures);
    *r = (struct page_run){0};
}

/* ---- rows ---- */

static char *shape_text(const pv_json *c, const char *key)
{
    int v[3];
    pv_config_patch(c, key, v);
    return pv_asprintf("%d \xC3\x97 %d \xC3\x97 %d", v[0], v[1], v[2]);
}

static char *ids_text(const pv_json *list)
{
    enum { MOST = 12 };
    struct pv_str s = {0};
    size_t n = pv_json_count(list);
    pv_str_addf(&s, "%zu", n);
    for (size_t i = 0; i < n && i < MOST; i++) {
        const char *id = pv_json_string_value(pv_json_at(list, i));
        pv_str_addf(&s, "%s%s", i ? ", " : ": ", id ? id : "?");
    }
    if (n > MOST)
        pv_str_add(&s, ", \xE2\x80\xA6");
    return s.text;
}

static char *time_text(double s)
{
    long t = (long)(s + 0.5);
    if (t >= 3600)
        return pv_asprintf("%ld h %02ld min", t / 3600, t / 60 % 60);
    return t >= 60 ? pv_asprintf("%ld min %02ld s", t / 60, t % 60) : pv_asprintf("%ld s", t);
}

/* What was logged behind the newest checkpoint stands in the curves, but is lost. */
static char *iterations_text(const struct page_run *r)
{
    double of = pv_json_num(pv_json_get(r->config, "train"), "iters", 0);
    double logged = r->log.num_rows ? r->log.iter[r->log.num_rows - 1] : 0, saved = (double)pv_max(r->steps, 0);
    if (logged > saved)
        return pv_asprintf("%.0f of %.0f saved, %.0f logged: those that are not saved will be trained again", saved, of,
                           logged);
    return r->steps >= 0 ? pv_asprintf("%.0f of %.0f", saved, of) : pv_asprintf("%.0f", of);
}

size_t page_rows(const struct page_run *r, struct page_texts *t, struct pv_report_row *row)
{
    const pv_json *c = r->config, *net = pv_json_get(c, "net"), *train = pv_json_get(c, "train");
    const pv_json *dev = pv_json_get(c, "device"), *cases = pv_json_get(c, "cases"), *ds = pv_json_get(c, "dataset");
    const char *method = pv_json_str(c, "method", ""), *dataset = pv_json_str(ds, "name", NULL);
    const struct pv_method *m = pv_method_find(method);
    size_t n = 0;
    row[n++] = (struct pv_report_row){"Method", page_keep(t, pv_asprintf("%s: %s", method, m ? m->summary : "?"))};
    row[n++] = (struct pv_report_row){"Network", page_keep(t, pv_asprintf("%s, %g filters, %g classes",
        pv_json_str(net, "name", ""), pv_json_num(net, "filters", 0), pv_json_num(net, "classes", 0)))};
    if (dataset)
        row[n++] = (struct pv_report_row){"Data set", dataset};
    row[n++] = (struct pv_report_row){"Labelled cases", page_keep(t, ids_text(pv_json_get(cases, "labeled")))};
    if (m && m->unlabeled)
        row[n++] = (struct pv_report_row){"Unlabelled cases", page_keep(t, pv_asprintf("%zu",
            pv_json_count(pv_json_get(cases, "unlabeled"))))};
    row[n++] = (struct pv_report_row){"Iterations", page_keep(t, iterations_text(r))};
    row[n++] = (struct pv_report_row){"Patch", page_keep(t, shape_text(c, "train.patch"))};
    row[n++] = (struct pv_report_row){"Batch", page_keep(t, m && m->unlabeled
        ? pv_asprintf("%g labelled + %g unlabelled", pv_json_num(train, "labeled_batch", 0),
                      pv_json_num(train, "unlabeled_batch", 0))
        : pv_asprintf("%g", pv_json_num(train, "labeled_batch", 0)))};
    const double parts = pv_json_num(train, "accumulate", 1);
    if (parts > 1)
        row[n++] = (struct pv_report_row){"Batches", page_keep(t, pv_asprintf("%g per iteration, gradients averaged",
                                                                              parts))};
    row[n++] = (struct pv_report_row){"Seed", page_keep(t, pv_asprintf("%.0f", pv_json_num(train, "seed", 0)))};
    if (r->seconds > 0)
        row[n++] = (struct pv_report_row){"Training time", page_keep(t, time_text(r->seconds))};
    if (dev) {
        row[n++] = (struct pv_report_row){"Device", page_keep(t, pv_asprintf("%s: %s", pv_json_str(dev, "id", ""),
                                                                            pv_json_str(dev, "name", "")))};
        row[n++] = (struct pv_report_row){"Driver", pv_json_str(dev, "driver", "")};
    }
    return n;
}
