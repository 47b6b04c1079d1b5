/* SPDX-License-Identifier: Apache-2.0
 * The training loop. Logged scalars are fetched some steps late, so that nothing in a step waits for the device; rows
 * of metrics.csv keep their order. */
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/tune.h"
#include "platform/platform.h"
#include "pv_config.h"
#include "train/active.h"
#include "train/batch.h"
#include "train/ckpt.h"
#include "train/config.h"
#include "train/folder.h"
#include "train/infer.h"
#include "train/memory.h"
#include "train/pace.h"
#include "train/page.h"
#include "train/runlog.h"
#include "train/weights.h"

/* Said by the handler of the first signal: the device may be busy for seconds yet. */
#define STOPPING "stopping after the iterations that the device has begun, with a checkpoint; again ends at once and " \
                 "loses what followed the last checkpoint\n"

enum { MAX_LATE = 12 };

struct late {
    int64_t iter;
    int part, parts;
    double lr;
    int n;
    struct pv_run_log logs[PV_MAX_LOGS];
};

struct pv_trainer {
    struct pv_train_args a;
    pv_json *config;
    struct pv_run *run;
    struct pv_feed feed;
    pv_train_log *log;
    struct late late[MAX_LATE];
    int num_late;
    struct pv_log_row last, sum;        /* sum: of the parts read so far of the next row */
    char sum_names[PV_LOG_COLS][32];
    int sum_num[PV_LOG_COLS];
    char last_names[PV_LOG_COLS][32];
    int64_t done, every;
    double minutes, seconds, best;
    uint64_t last_save_ns;
    int64_t last_saved;         /* steps in the checkpoint that --resume would take, -1: there is none */
    int64_t first, shown;       /* steps done at the start of the session; those whose logs were read */
    struct pv_pace pace;
    bool told;                  /* how long it takes */
    int choices;                /* of kernels, in config.json */
    struct pv_folder folder;
    bool diverged, pending;     /* pending: validation was interrupted and is still to be done */
};

static char *in_run(const pv_trainer *t, const char *name) { return pv_path_join(t->a.out, name); }

/* ---- logs ---- */

/* Waits for what an entry logged. */
static bool fetch(struct late *l)
{
    bool ok = true;
    for (int i = 0; i < l->n; i++)
        if (l->logs[i].ticket) {
            float f = NAN;
            ok = pv_read_end(&l->logs[i].ticket, &f) && ok;
            l->logs[i].value = f;
        }
    return ok;
}

/* Adds what one part of a step logged. */
static bool add_logs(pv_trainer *t, struct late *l)
{
    struct pv_log_row *s = &t->sum;
    bool ok = fetch(l);
    if (l->part == 0)
        *s = (struct pv_log_row){0};
    for (int i = 0; i < l->n; i++) {
        int k = 0;
        while (k < s->n && (l->parts == 1 || !pv_streq(t->sum_names[k], l->logs[i].name)))
            k++;
        if (k == PV_LOG_COLS - 2)
            continue;
        if (k == s->n) {
            snprintf(t->sum_names[k], sizeof t->sum_names[0], "%s", l->logs[i].name);
            t->sum_num[s->n++] = 0;
        }
        s->value[k] += l->logs[i].value;
        t->sum_num[k]++;
    }
    return ok;
}

/* A row of metrics.csv: means over the parts of a step, which took `seconds`. */
static bool pop_late(pv_trainer *t, double seconds)
{
    struct late *l = &t->late[0];
    bool ok = add_logs(t, l), finite = true;
    if (l->part + 1 < l->parts) {
        memmove(t->late, t->late + 1, sizeof *t->late * (size_t)--t->num_late);
        return ok;
    }
    struct pv_log_row *r = &t->last;
    *r = (struct pv_log_row){.iter = l->iter};
    memcpy(t->last_names, t->sum_names, sizeof t->last_names);
    for (; r->n < t->sum.n; r->n++) {
        r->name[r->n] = t->last_names[r->n];
        r->value[r->n] = t->sum.value[r->n] / t->sum_num[r->n];
        if (pv_streq(r->name[r->n], "loss") && !isfinite(r->value[r->n]))
            finite = false;
    }
    r->name[r->n] = "lr";
    r->value[r->n++] = l->lr;
    r->name[r->n] = "seconds";
    r->value[r->n++] = seconds;
    t->seconds += seconds;
    t->shown = l->iter;
    memmove(t->late, t->late + 1, sizeof *t->late * (size_t)--t->num_late);
    if (ok && !finite && !t->diverged) {
        t->diverged = true;
        pv_warn("the loss is not finite since iteration %lld: training has diverged; try a smaller learning rate "
                "(--set optim.lr=...)", (long long)r->iter);
    }
    return ok && pv_train_log_row(t->log, r);
}

static bool late_ready(const struct late *l)
{
    for (int i = 0; i < l->n; i++)
        if (l->logs[i].ticket && !pv_read_ready(l->logs[i].ticket))
            return false;
    return true;
}

/* Waits for the first entry and takes it with those that have ended too. */
static bool pop_ended(pv_trainer *t)
{
    bool ok = fetch(&t->late[0]);
    int n = 0, rows = 0;
    int64_t iter = 0;
    for (; n < t->num_late && late_ready(&t->late[n]); n++)
        if (t->late[n].part + 1 == t->late[n].parts) {
            rows++;
            iter = t->late[n].iter;
        }
    double seconds = rows ? pv_pace_ended(&t->pace, iter, rows, pv_clock_ns()) : 0;
    while (ok && n-- > 0)
        ok = pop_late(t, seconds);
    return ok;
}

/* Takes what has ended; where the host is far enough ahead, waits. */
static bool catch_up(pv_trainer *t)
{
    bool ok = true;
    int most = pv_pace_ahead(&t->pace, t->run->parts, MAX_LATE);
    while (ok && t->num_late && (t->num_late >= most || late_ready(&t->late[0])))
        ok = pop_ended(t);
    return ok;
}

static bool push_late(pv_trainer *t)
{
    struct pv_run *r = t->run;
    bool ok = catch_up(t);
    struct late *l = &t->late[t->num_late++];
    *l = (struct late){.iter = r->iter + 1, .part = r->part, .parts = r->parts, .lr = pv_run_lr(r), .n = r->num_logs};
    memcpy(l->logs, r->logs, sizeof r->logs[0] * (size_t)r->num_logs);
    r->num_logs = 0;
    return ok;
}

static bool drain_late(pv_trainer *t)
{
    bool ok = true;
    while (ok && t->num_late)
        ok = pop_ended(t);
    return ok && pv_train_log_flush(t->log);
}

/* ---- checkpoints ---- */

static bool save(pv_trainer *t, const char *name)
{
    if (!drain_late(t))
        return false;
    struct pv_ckpt_info info = {.steps = t->done, .volume_passes = t->run->volume_passes, .seconds = t->seconds,
                                .best = t->best, .pending = t->pending};
    char *path = in_run(t, name);
    bool ok = pv_ckpt_save(t->run, path, &info);
    pv_free(path);
    if (ok && !pv_streq(name, "best.safetensors")) {
        t->last_save_ns = pv_clock_ns();
        t->last_saved = t->done;
    }
    return ok;
}

static bool save_due(const pv_trainer *t)
{
    return (t->every > 0 && t->done % t->every == 0) ||
           (t->minutes > 0 && (double)(pv_clock_ns() - t->last_save_ns) > t->minutes * 60e9);
}

/* progress.png, and at the end of a session report.html. If one cannot be written (a viewer holds it), training goes
 * on. */
static bool write_pages(pv_trainer *t, bool report)
{
    const char *text;
    if (!drain_late(t))
        return false;
    const enum pv_fault fault = pv_fault_mine(&text);
    if (fault != PV_FAULT_NONE && fault != PV_FAULT_STOPPED)
        return false;
    bool quiet = pv_fail_quiet(true);
    char *path = in_run(t, "report.html");
    bool ok = pv_page_progress(t->a.out) &&
              (!report || pv_page_write(&(struct pv_page){.runs = &t->a.out, .num_runs = 1, .maybe_empty = true},
                                        path));
    pv_fail_quiet(quiet);
    if (!ok) {
        pv_fault_mine(&text);
        pv_warn("%s; the weights are safe, protovox report --run %s makes the page later", text, t->a.out);
        pv_fault_clear();
    }
    pv_free(path);
    return true;
}

/* ---- validation ---- */

static bool validate(pv_trainer *t)
{
    int64_t every = (int64_t)pv_json_num(pv_json_get(t->config, "eval"), "every", 0);
    if (every <= 0 || t->feed.ds->num_split[PV_VAL] == 0 || (t->done % every && t->done < t->run->iters))
        return true;
    if (!drain_late(t))
        return false;
    t->pending = true;
    struct pv_model m = {.config = t->config, .run = t->run}, *list[] = {&m};
    struct pv_infer_opts o = {.gaussian = -1, .largest = -1, .quiet = t->a.quiet, .what = "validation"};
    struct pv_eval_params ep;
    struct pv_table table;
    if (!pv_config_eval(t->config, t->run->classes, &ep))
        return false;
    ep.wanted = 1u << PV_DICE;
    pv_table_init(&table, &ep, NULL);
    t->run->tape->recording = false;
    int64_t passes = t->run->volume_passes;
    bool ok = pv_infer_split(list, 1, t->feed.ds, PV_VAL, &o, &ep, &table, NULL, NULL);
    t->run->volume_passes = passes;
    t->run->tape->recording = true;
    t->pending = !ok;
    const char *text;
    if (!ok && pv_fault_mine(&text) == PV_FAULT_STOPPED)
        ok = true;              /* goes into the checkpoint as still to be done */
    else if (ok) {
        double dice = pv_table_summary(&table, PV_ALL_CLASSES, PV_DICE).mean;
        pv_info("iteration %lld: validation Dice %.4f", (long long)t->done, dice);
        struct pv_log_row row = {.iter = t->done, .n = 1, .name = {"val_dice"}, .value = {dice}};
        ok = drain_late(t) && pv_train_log_row(t->log, &row);
        if (ok && dice > t->best) {
            t->best = dice;
            ok = save(t, "best.safetensors");
        }
    }
    pv_table_free(&table);
    return ok;
}

/* ---- lack of memory ---- */

/* After the device's own message: what to change. */
static void say_what_fits(const pv_trainer *t)
{
    if (!pv_dev_out_of_memory(t->a.dev))
        return;
    int p[3], small[3], batch = (int)pv_json_num(pv_json_get(t->config, "train"), "labeled_batch", 2);
    bool smaller = false;
    pv_config_patch(t->config, "train.patch", p);
    for (int i = 0; i < 3; i++) {
        small[i] = p[i] == 1 ? 1 : pv_max(16, (p[i] * 4 / 5) / 16 * 16);
        smaller = smaller || small[i] < p[i];
    }
    struct pv_str tip = {0};
    if (t->run && batch > 1)
        pv_str_addf(&tip, "--batch %d or ", batch / 2);
    if (t->run && smaller)
        pv_str_addf(&tip, "--patch %dx%dx%d or ", small[0], small[1], small[2]);
    pv_str_addf(&tip, "--set net.filters=%d", pv_max(1, (int)pv_json_num(pv_json_get(t->config, "net"), "filters", 16)
                                                        / 2));
    pv_log(PV_LOG_ERROR, "the memory of %s does not suffice for %s of this size (peak so far %.0f MiB); try %s",
           pv_dev_get_info(t->a.dev)->id, t->run ? "batches" : "a network",
           (double)pv_dev_mem(t->a.dev).peak / 1048576, tip.text);
    pv_str_free(&tip);
}

/* ---- rounds of active learning ---- */

/* The round that is due before the next step. DONE: the run has to stop until a person has painted. An interrupted
 * round is done again. */
static enum pv_train_state active_round(pv_trainer *t)
{
    bool wait;
    const char *text;
    if (!pv_active_due(t->run, t->done))
        return PV_TRAIN_MORE;
    if (!drain_late(t))
        return PV_TRAIN_FAILED;
    if (!pv_active_round(&t->feed, t->run, t->done, t->a.out, t->a.quiet, &wait)) {
        bool stopped = pv_fault_mine(&text) == PV_FAULT_STOPPED;
        return stopped && (t->done == 0 || save(t, "latest.safetensors")) ? PV_TRAIN_STOPPED : PV_TRAIN_FAILED;
    }
    struct pv_log_row row = {.iter = t->done, .n = 1, .name = {"labeled_cases"},
                             .value = {(double)t->feed.num_labeled}};
    bool ok = wait || t->done == 0 || pv_train_log_row(t->log, &row);
    t->pace.last_ns = pv_clock_ns();
    if (ok && wait)
        ok = save(t, "latest.safetensors");
    return !ok ? PV_TRAIN_FAILED : wait ? PV_TRAIN_DONE : PV_TRAIN_MORE;
}

/* ---- opening ---- */

/* The run folder; of a run that goes on, its configuration. */
static bool prepare_folder(pv_trainer *t)
{
    if (!pv_folder_take(&t->folder, t->a.out, t->a.resume, t->a.overwrite))
        return false;
    char *config = in_run(t, "config.json");
    bool ok = true;
    if (!t->config) {
        t->config = pv_json_read(config);
        ok = t->config && pv_config_check(t->config, config);
    }
    pv_free(config);
    return ok;
}

static bool save_config(const pv_trainer *t)
{
    char *path = in_run(t, "config.json");
    bool ok = pv_json_write(path, t->config);
    pv_free(path);
    return ok;
}

static bool write_config(pv_trainer *t)
{
    const struct pv_dev_info *d = pv_dev_get_info(t->a.dev);
    pv_json *dev = pv_json_object();
    pv_json_set_str(t->config, "version", PV_VERSION);
    pv_json_set_str(dev, "id", d->id);
    pv_json_set_str(dev, "name", d->name);
    pv_json_set_str(dev, "driver", d->driver);
    pv_json_set(t->config, "device", dev);
    if (t->a.command && !(t->a.resume && pv_json_get(t->config, "command")))     /* the one that made the run */
        pv_json_set_str(t->config, "command", t->a.command);
    /* the method's options with their defaults, so that the file says everything */
    pv_json *mo = pv_json_get(t->config, "method_options");
    for (const struct pv_method_opt *o = t->run->method->opts; mo && o && o->name; o++)
        if (!pv_json_get(mo, o->name)) {
            if (o->text_def)
                pv_json_set_str(mo, o->name, o->text_def);
            else
                pv_json_set_num(mo, o->name, o->def);
        }
    t->choices = pv_tune_count(t->run->tune);
    return save_config(t);
}

static bool start_from(pv_trainer *t)
{
    const char *init = pv_json_str(t->config, "init", NULL);
    return !init || pv_weights_read(t->run, init);
}

static const char *const checkpoints[] = {"latest.safetensors", "final.safetensors", "best.safetensors"};

/* The first checkpoint from number `*at` on, NULL if there is none. */
static char *find_checkpoint(const pv_trainer *t, size_t *at)
{
    for (; *at < PV_COUNT(checkpoints); ++*at) {
        char *path = in_run(t, checkpoints[*at]);
        if (pv_file_exists(path))
            return path;
        pv_free(path);
    }
    return NULL;
}

/* Says in one line what is wrong with a checkpoint and what can be done. */
static bool load(pv_trainer *t, const char *path, size_t at, struct pv_ckpt_info *info)
{
    pv_fault_clear();
    pv_fail_quiet(true);
    bool ok = pv_ckpt_load(t->run, path, info);
    pv_fail_quiet(false);
    if (ok)
        return true;
    const char *text;
    enum pv_fault kind = pv_fault_mine(&text);
    char *why = pv_strdup(text), *next = find_checkpoint(t, &(size_t){at + 1});
    pv_fault_clear();
    if (kind != PV_FAULT_INPUT)
        pv_fail(kind, "%s", why);
    else
        pv_fail(kind, "%s; put the right file back, or remove it: then --resume %s%s", why,
                next ? "goes on from " : "begins anew", next ? next : "");
    pv_free(why);
    pv_free(next);
    return false;
}

static bool restore(pv_trainer *t)
{
    size_t at = 0;
    char *path = find_checkpoint(t, &at);
    struct pv_ckpt_info info;
    bool ok = true;
    if (!path) {
        pv_info("no checkpoint yet: the run starts from the beginning");
        ok = start_from(t);
    } else if ((ok = load(t, path, at, &info))) {
        t->done = t->last_saved = info.steps;
        t->seconds = info.seconds;
        t->best = info.best;
        t->pending = info.pending;
        t->run->resumed = true;
        if (info.version[0] && !pv_streq(info.version, PV_VERSION))
            pv_warn("the checkpoint was written by protovox %s, this is %s: the run goes on, but perhaps not with the "
                    "bits of one that never stopped", info.version, PV_VERSION);
        if (!pv_streq(info.device, pv_dev_get_info(t->a.dev)->name))
            pv_warn("the checkpoint comes from another device (%s): the run goes on, but not with the bits it would "
                    "have had there", info.device);
    }
    pv_free(path);
    return ok;
}

pv_trainer *pv_trainer_open(const struct pv_train_args *a)
{
    pv_trainer *t = pv_new(pv_trainer);
    t->a = *a;
    t->config = a->config;
    t->best = -1;
    t->last_saved = -1;
    t->log = pv_train_log_new(a->lines);
    if (!prepare_folder(t))
        goto error;
    const struct pv_method *m = pv_method_find(pv_json_str(t->config, "method", ""));
    pv_dataset *ds = m ? pv_feed_resolve(t->config, a->data, a->lists, m->unlabeled) : NULL;
    t->feed.ds = ds;            /* pv_trainer_close() frees it */
    if (ds && !pv_train_memory_check(pv_dev_get_info(a->dev), t->config))
        goto error;
    t->run = ds ? pv_run_new(a->dev, t->config, false) : NULL;
    if (!t->run || !pv_active_check(t->run) || !(a->resume ? restore(t) : start_from(t)) ||
        !pv_feed_open(&t->feed, ds, t->config, a->quiet) || !pv_active_resume(&t->feed, t->config, t->done))
        goto error;
    if (!pv_ckpt_room(t->run, a->out, !a->resume))
        goto error;
    pv_folder_clear(&t->folder, a->overwrite && !a->resume);
    if (!write_config(t) || !pv_train_log_open(t->log, a->out, t->done, a->resume, a->quiet))
        goto error;
    const pv_json *ck = pv_json_get(t->config, "checkpoint");
    t->every = (int64_t)pv_json_num(ck, "every", 500);
    t->minutes = pv_json_num(ck, "minutes", 10);
    t->last_save_ns = t->pace.last_ns = pv_clock_ns();
    t->first = t->shown = t->done;
    pv_fault_clear();           /* from here on a fault ends the run */
    pv_info("%s on %s (%s), %d labelled and %d unlabelled cases, %lld iterations%s", m->name,
            pv_dev_get_info(a->dev)->id, pv_dev_get_info(a->dev)->name, t->feed.num_labeled, t->feed.num_unlabeled,
            (long long)t->run->iters, t->done ? ", resumed" : "");
    if (t->done)
        pv_info("%lld iterations are done already", (long long)t->done);
    pv_stop_text(pv_is_tty(stderr) ? "\n" STOPPING : STOPPING);
    return t;
error:
    say_what_fits(t);
    pv_folder_undo(&t->folder);
    pv_trainer_close(&t);
    return NULL;
}

void pv_trainer_close(pv_trainer **tp)
{
    pv_trainer *t = *tp;
    if (!t)
        return;
    pv_stop_text(NULL);
    for (int i = 0; i < t->num_late; i++)
        fetch(&t->late[i]);
    pv_train_log_close(&t->log);
    pv_run_free(&t->run);
    pv_feed_close(&t->feed);
    pv_json_free(t->config);
    pv_folder_drop(&t->folder);
    pv_free(t);
    *tp = NULL;
}

struct pv_run *pv_trainer_run(pv_trainer *t) { return t->run; }
int64_t pv_trainer_done(const pv_trainer *t) { return t->done; }

bool pv_trainer_value(const pv_trainer *t, const char *name, double *value, int64_t *iter)
{
    for (int i = 0; i < t->last.n; i++)
        if (pv_streq(t->last.name[i], name)) {
            *value = t->last.value[i];
            *iter = t->last.iter;
            return true;
        }
    return false;
}

/* ---- stepping ---- */

static enum pv_train_state failed(pv_trainer *t)
{
    say_what_fits(t);
    return PV_TRAIN_FAILED;
}

/* training.json: what the run cost. */
static bool write_cost(pv_trainer *t)
{
    pv_json *j = pv_json_object();
    pv_json_set_num(j, "iterations", (double)t->done);
    pv_json_set_num(j, "seconds", t->seconds);
    pv_json_set_num(j, "seconds_per_iteration", t->done ? t->seconds / (double)t->done : 0);
    pv_json_set_num(j, "volume_passes", (double)t->run->volume_passes);
    pv_json_set_num(j, "peak_bytes", (double)pv_dev_mem(t->a.dev).peak);
    char *path = in_run(t, "training.json");
    bool ok = pv_json_write(path, j);
    pv_free(path);
    pv_json_free(j);
    return ok;
}

static enum pv_train_state finish(pv_trainer *t)
{
    char *latest = in_run(t, "latest.safetensors");
    bool ok = save(t, "final.safetensors") && write_cost(t);
    if (ok) {
        pv_remove(latest);
        pv_info("%lld iterations done: %s/final.safetensors", (long long)t->done, t->a.out);
    }
    pv_free(latest);
    ok = ok && write_pages(t, true);
    return ok ? PV_TRAIN_DONE : PV_TRAIN_FAILED;
}

/* New choices of kernels into the configuration, so that a run that goes on makes the same, and to disk. */
static bool keep_choices(pv_trainer *t)
{
    const struct pv_tune *tune = t->run->tune;
    if (pv_tune_count(tune) == t->choices)
        return true;
    t->choices = pv_tune_count(tune);
    pv_json *was = pv_json_get(t->config, "tuning"), *now = pv_tune_json(tune);
    pv_json_set_str(now, "mode", pv_json_str(was, "mode", "on"));
    pv_json_set(t->config, "tuning", now);
    pv_tune_store(t->run->tune);
    pv_info("kernels of %d layers by measurement (%.1f s so far), see \"tuning\" in config.json", t->choices,
            pv_tune_seconds(tune));
    return save_config(t);
}

/* What is due after a step: validation, the end, a checkpoint. */
static enum pv_train_state settle(pv_trainer *t, bool ok)
{
    int64_t iters = t->run->iters;
    bool late = t->pending;     /* its checkpoint asks for the validation */
    ok = ok && validate(t) && keep_choices(t);
    bool stop = pv_stop_requested() || (t->a.on_step && !t->a.on_step(t->a.user, t->done, iters));
    bool enough = t->a.stop_after > 0 && t->done >= t->a.stop_after;
    if (ok && t->done >= iters && !t->pending)
        return finish(t);
    if (ok && (save_due(t) || stop || enough || late))
        ok = save(t, "latest.safetensors") && write_pages(t, stop || enough);
    if (t->num_late == 0)       /* what was due is no step's time */
        t->pace.last_ns = pv_clock_ns();
    if (!ok)
        return failed(t);
    return stop ? PV_TRAIN_STOPPED : enough ? PV_TRAIN_DONE : PV_TRAIN_MORE;
}

/* Once the pace is known, how long the run takes, if that is long. */
static void say_time(pv_trainer *t)
{
    enum { AFTER = 5, LONG = 600 };
    int64_t end = t->a.stop_after > 0 && t->a.stop_after < t->run->iters ? t->a.stop_after : t->run->iters;
    double each = t->pace.per_step;
    if (t->told || each <= 0 || t->pace.steps < AFTER)
        return;
    t->told = true;
    if (t->a.quiet || each * (double)(end - t->shown) <= LONG)
        return;
    char text[32];
    long minutes = (long)fmin(each * (double)(end - t->first) / 60 + 0.5, 1e9);
    if (minutes >= 60)
        snprintf(text, sizeof text, "%ld h %02ld min", minutes / 60, minutes % 60);
    else
        snprintf(text, sizeof text, "%ld min", minutes);
    pv_info("about %s for %lld iterations%s at %.*f s each%s; %s", text, (long long)(end - t->first),
            t->first ? " that are left" : "", each < 0.095 ? 3 : each < 9.95 ? 1 : 0, each,
            pv_json_num(pv_json_get(t->config, "eval"), "every", 0) > 0 ? ", validations not counted" : "",
            t->a.shorter ? t->a.shorter : t->first ? "--stop-after ends earlier" : "fewer with --iters");
}

/* Between two steps. At the start of a session nothing is lost without a checkpoint. */
static enum pv_train_state stop_here(pv_trainer *t)
{
    bool ok = t->done == t->first || t->done == t->last_saved || save(t, "latest.safetensors");
    ok = ok && (t->done == t->first || write_pages(t, true));
    return ok ? PV_TRAIN_STOPPED : failed(t);
}

static enum pv_train_state one_batch(pv_trainer *t)
{
    struct pv_run *r = t->run;
    struct pv_patches b = {0};
    const char *text;
    if (!pv_feed_next(&t->feed, r, &b))
        return failed(t);
    r->method->step(r, &b);
    pv_tensor_put(&b.image);
    pv_tensor_put(&b.label);
    pv_dev_flush(r->dev);
    if (pv_dev_failed(r->dev))
        return failed(t);
    /* a fault: an op refused its input, or the loader stopped */
    return pv_fault_mine(&text) == PV_FAULT_NONE ? PV_TRAIN_MORE : PV_TRAIN_FAILED;
}

enum pv_train_state pv_trainer_step(pv_trainer *t)
{
    struct pv_run *r = t->run;
    if (t->pending)
        return settle(t, true);
    if (t->done >= r->iters)
        return finish(t);
    if (t->a.stop_after > 0 && t->done >= t->a.stop_after)
        return PV_TRAIN_DONE;   /* of a run that was resumed */
    if (!catch_up(t))           /* waits before a step: a signal that comes meanwhile is obeyed without it */
        return failed(t);
    if (pv_stop_requested())
        return stop_here(t);
    enum pv_train_state round = active_round(t);
    if (round != PV_TRAIN_MORE)
        return round == PV_TRAIN_FAILED ? failed(t) : round;
    if (!pv_run_begin_step(r, t->done) || !pv_feed_prepare(&t->feed, r) || !pv_feed_stage(&t->feed, r))
        return failed(t);
    bool ok;
    do {
        enum pv_train_state s = one_batch(t);
        if (s != PV_TRAIN_MORE)
            return s;
        ok = push_late(t);
    } while (ok && pv_run_next_part(r));
    t->done++;
    if (ok && t->done >= r->iters)      /* the last line shows the last losses */
        ok = drain_late(t);
    if (t->shown > t->first)            /* the host is ahead of what the device has done */
        pv_train_log_progress(t->log, t->shown, r->iters, t->last.n ? &t->last : NULL, t->pace.per_step);
    say_time(t);
    if (t->done == 3)
        pv_dev_cache_save(r->dev);
    return settle(t, ok);
}

enum pv_train_state pv_train(const struct pv_train_args *a)
{
    pv_trainer *t = pv_trainer_open(a);
    if (!t)
        return PV_TRAIN_FAILED;
    enum pv_train_state s;
    do
        s = pv_trainer_step(t);
    while (s == PV_TRAIN_MORE);
    if (s == PV_TRAIN_STOPPED || (s == PV_TRAIN_DONE && t->done < t->run->iters))
        pv_info("stopped after iteration %lld; go on with: protovox train --resume --data %s --out %s",
                (long long)t->done, a->data, a->out);
    else if (s == PV_TRAIN_FAILED && t->last_saved >= 0)
        pv_info("nothing before iteration %lld is lost: once the cause is gone, --resume goes on from there",
                (long long)t->last_saved);
    pv_trainer_close(&t);
    return s;
}
