/* SPDX-License-Identifier: Apache-2.0
 * protovox demo: the whole way on phantoms that it makes itself. Supervised training on the few labelled cases against
 * Mean Teacher, which also sees the unlabelled ones; both with preset demo, through the same calls as train, evaluate
 * and report. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/phantom.h"
#include "eval/stats.h"
#include "method/method.h"
#include "platform/platform.h"
#include "train/config.h"
#include "train/page.h"
#include "train/score.h"
#include "train/train.h"

extern const struct pv_command pv_cmd_demo;

enum { SIDE = 32, TRAIN_CASES = 40, TEST_CASES = 10, QUICK_TRAIN = 8, QUICK_TEST = 3, QUICK_ITERS = 6, METHODS = 2 };
static const char *const methods[METHODS] = {"sup", "mt"};

struct demo {
    const char *out;
    char *data, *run[METHODS];
    int64_t seed, iters;        /* iters -1: the preset's */
    bool quick, json, overwrite;
    pv_dev *dev;
    struct pv_table table[METHODS];
    int labeled, unlabeled;
};

/* ---- the folder and its data ---- */

/* A folder that holds something else is not touched, results only if asked. */
static bool may_write(const struct demo *d)
{
    char **names, *path = pv_path_join(d->data, "dataset.json");
    size_t n = 0;
    bool ok = true, ours = false;
    if (pv_file_exists(d->out) && !pv_is_dir(d->out))
        ok = pv_fail(PV_FAULT_USAGE, "--out %s is a file; name a folder", d->out);
    else if (pv_is_dir(d->out) && pv_list_dir(d->out, &names, &n)) {
        for (size_t i = 0; i < n; i++)
            free(names[i]);
        free(names);
    }
    if (ok && n > 0 && pv_file_exists(path)) {
        pv_json *j = pv_json_read(path);
        ours = pv_streq(pv_json_str(j, "name", ""), "phantoms");
        pv_json_free(j);
    }
    if (ok && n > 0 && !ours)
        ok = pv_fail(PV_FAULT_USAGE, "%s holds other things than a demo; name another folder with --out", d->out);
    for (int k = 0; ok && !d->overwrite && k < METHODS; k++) {
        pv_free(path);
        path = pv_path_join(d->run[k], "final.safetensors");
        if (pv_file_exists(path))
            ok = pv_fail(PV_FAULT_USAGE, "%s already holds the result of a demo; replace it with --overwrite, or name "
                         "another folder with --out", d->out);
    }
    pv_free(path);
    return ok;
}

/* Labels of training cases that are not used stay in the folder, so that other counts can be tried with it. */
static bool make_data(const struct demo *d)
{
    static const int size[3] = {SIDE, SIDE, SIDE};
    int train = d->quick ? QUICK_TRAIN : TRAIN_CASES, test = d->quick ? QUICK_TEST : TEST_CASES;
    pv_info("making %d phantoms of %dx%dx%d voxels in %s", train + test, SIDE, SIDE, SIDE, d->data);
    return pv_phantom_write(d->data, train, test, size, (uint64_t)d->seed);
}

/* ---- training ---- */

static bool train(struct demo *d, int k)
{
    struct pv_config_args ca = {.preset = "demo", .method = methods[k], .labeled = -1, .iters = d->iters, .batch = -1,
                                .seed = d->seed};
    struct pv_train_args ta = {.data = d->data, .out = d->run[k], .dev = d->dev, .overwrite = true,
                               .shorter = "protovox devices lists others (--device), and --quick shows the way without "
                                          "the result"};
    if (!(ta.config = pv_config_resolve(&ca)))
        return false;
    d->labeled = (int)pv_json_num(pv_json_get(ta.config, "data"), "labeled", 0);
    struct pv_str command = {0};        /* what does the same again */
    pv_str_addf(&command, "protovox train --data %s --preset demo --method %s --seed %lld --out %s", d->data,
                methods[k], (long long)d->seed, d->run[k]);
    if (d->iters > 0)
        pv_str_addf(&command, " --iters %lld", (long long)d->iters);
    ta.command = command.text;
    enum pv_train_state s = pv_train(&ta);
    pv_str_free(&command);
    return s == PV_TRAIN_DONE || (s == PV_TRAIN_STOPPED && pv_fail(PV_FAULT_STOPPED, "the demo was interrupted"));
}

static bool evaluate(struct demo *d, int k)
{
    int num_train;
    if (!pv_score_run(d->dev, d->run[k], d->data, NULL, PV_TEST, false, &d->table[k], &num_train))
        return false;
    d->unlabeled = num_train - d->labeled;
    return true;
}

/* ---- results ---- */

struct outcome { struct pv_summary dice[METHODS]; struct pv_ttest t; size_t cases, better; };

static struct outcome outcome(const struct demo *d)
{
    struct outcome o = {0};
    double *a, *b;
    for (int k = 0; k < METHODS; k++)
        o.dice[k] = pv_table_summary(&d->table[k], PV_ALL_CLASSES, PV_DICE);
    o.cases = pv_table_pairs(&d->table[1], &d->table[0], PV_ALL_CLASSES, PV_DICE, &a, &b);
    for (size_t i = 0; i < o.cases; i++)
        o.better += a[i] > b[i];
    o.t = pv_ttest_paired(a, b, o.cases);
    pv_free(a);
    pv_free(b);
    return o;
}

static bool write_page(const struct demo *d, const char *path)
{
    char *note = pv_asprintf("%d phantoms with labels and %d without; sup trains on the labelled ones, mt (Mean "
                             "Teacher) on all. Tested on %zu others.%s", d->labeled, d->unlabeled,
                             d->table[0].num_cases,
                             d->quick ? " A quick run: far too few iterations for a result." : "");
    bool ok = pv_page_write(&(struct pv_page){.runs = (const char *const *)d->run, .num_runs = METHODS,
                                              .title = "protovox demo", .note = note}, path);
    pv_free(note);
    return ok;
}

static void print_json(const struct demo *d, const struct outcome *o, const char *page, double seconds)
{
    pv_json *j = pv_json_object();
    for (int k = 0; k < METHODS; k++) {
        pv_json *one = pv_json_object();
        pv_json_set_num(one, "dice", o->dice[k].mean);
        pv_json_set_num(one, "std", o->dice[k].std);
        pv_json_set_num(one, "cases", (double)o->dice[k].n);
        pv_json_set(j, methods[k], one);
    }
    pv_json_set_num(j, "p", o->t.p_two);
    pv_json_set_num(j, "p_one_sided", o->t.p_greater);
    pv_json_set_str(j, "device", pv_dev_get_info(d->dev)->id);
    pv_json_set_num(j, "seconds", seconds);
    pv_json_set_str(j, "report", page);
    char *text = pv_json_text(j, true);
    printf("%s\n", text);
    pv_free(text);
    pv_json_free(j);
}

static void print_text(const struct demo *d, const struct outcome *o, const char *page, double seconds)
{
    printf("\nDice of the %zu test phantoms (%d labelled and %d unlabelled cases for training):\n", o->cases,
           d->labeled, d->unlabeled);
    for (int k = 0; k < METHODS; k++)
        printf("  %-4s %6.2f +- %5.2f %%   %s\n", methods[k], 100 * o->dice[k].mean, 100 * o->dice[k].std,
               pv_method_find(methods[k])->summary);
    printf("  mt - sup: %+.2f, better in %zu of %zu cases", 100 * o->t.mean, o->better, o->cases);
    if (!isnan(o->t.p_two))
        printf(", paired t-test: p = %.3f one-sided, %.3f two-sided", o->t.p_greater, o->t.p_two);
    if (d->quick)
        printf("\n  a quick run: far too few iterations for a result");
    printf("\n\nreport: %s\n%.0f s on %s (%s)\n", page, seconds, pv_dev_get_info(d->dev)->id,
           pv_dev_get_info(d->dev)->name);
}

static bool demo(struct demo *d)
{
    uint64_t start = pv_clock_ns();
    char *page = pv_path_join(d->out, "report.html");
    bool ok = make_data(d);
    for (int k = 0; ok && k < METHODS; k++)
        ok = !pv_stop_requested() ? train(d, k) && evaluate(d, k)
                                  : pv_fail(PV_FAULT_STOPPED, "the demo was interrupted");
    ok = ok && write_page(d, page);
    if (ok) {
        struct outcome o = outcome(d);
        (d->json ? print_json : print_text)(d, &o, page, (double)(pv_clock_ns() - start) * 1e-9);
    }
    pv_free(page);
    return ok;
}

static int run(int argc, char **argv)
{
    struct pv_dev_args dev_args = {0};
    struct demo d = {.out = "protovox-demo", .seed = 1337, .iters = -1};
    const struct pv_opt opts[] = {
        {"out", PV_OPT_STR, &d.out, "DIR", "folder for phantoms, runs and report (default protovox-demo)"},
        PV_DEVICE_OPTS(dev_args),
        {"quick", PV_OPT_FLAG, &d.quick, NULL, "a few iterations: shows the way, not a result"},
        {"seed", PV_OPT_INT, &d.seed, "N", "seed of phantoms and training (default 1337)"},
        {"overwrite", PV_OPT_FLAG, &d.overwrite, NULL, "replace the demo in --out"},
        {"json", PV_OPT_FLAG, &d.json, NULL, "print the result as JSON"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_demo, opts, argc, argv, &code) != PV_PARSED)
        return code;
    d.data = pv_path_join(d.out, "data");
    for (int k = 0; k < METHODS; k++)
        d.run[k] = pv_path_join(d.out, methods[k]);
    if (d.quick)
        d.iters = QUICK_ITERS;
    pv_stop_install();
    bool ok = d.seed >= 0 || pv_fail(PV_FAULT_USAGE, "--seed must not be negative");
    ok = ok && may_write(&d) && (d.dev = pv_open_device(&dev_args, NULL)) != NULL && demo(&d);
    for (int k = 0; k < METHODS; k++) {
        pv_table_free(&d.table[k]);
        pv_free(d.run[k]);
    }
    pv_free(d.data);
    pv_dev_close(&d.dev);
    return ok ? 0 : pv_exit_code();
}

const struct pv_command pv_cmd_demo = {"demo", "train and compare two methods on made-up volumes; needs no data",
    "  protovox demo\n"
    "  protovox demo --device vulkan:0 --out DIR\n"
    "  protovox demo --quick                              (seconds; far too short for a result)", run};
