/* SPDX-License-Identifier: Apache-2.0
 * protovox select: which cases to annotate next, and which slices of them. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "data/file.h"
#include "platform/platform.h"
#include "train/active.h"
#include "train/config.h"
#include "train/predict.h"

extern const struct pv_command pv_cmd_select;

struct args {
    struct pv_dev_args dev;
    struct pv_strs runs;
    const char *data, *lists, *out, *labels, *strategy, *weights;
    int64_t budget, slices, seed;
    int stride[3];
    bool simulate, prefill, json, quiet;
};

struct work {
    const struct args *a;
    pv_dataset *ds;
    struct pv_model *m[16];
    int num;
    struct pv_infer_opts o;
};

/* Whether the run learned from the labels of that case. */
static bool was_labeled(const pv_json *config, const char *id)
{
    const pv_json *cases = pv_json_get(config, "cases"), *list = pv_json_get(cases, "labeled");
    for (const pv_json *e = pv_json_at(list, 0); e; e = pv_json_next(e))
        if (pv_streq(pv_json_string_value(e), id))
            return true;
    for (const pv_json *r = pv_json_at(pv_json_get(cases, "rounds"), 0); r; r = pv_json_next(r))
        for (const pv_json *e = pv_json_at(pv_json_get(r, "labeled"), 0); e; e = pv_json_next(e))
            if (pv_streq(pv_json_string_value(e), id))
                return true;
    return false;
}

static struct pv_candidate *find_candidates(const struct work *w, int *num)
{
    int n = w->ds->num_split[PV_TRAIN], *train = pv_array(int, n + 1), annotated = 0;
    struct pv_candidate *c = pv_array(struct pv_candidate, n + 1);
    pv_dataset_split(w->ds, PV_TRAIN, train);
    *num = 0;
    for (int i = 0; i < n; i++) {
        const struct pv_case *pc = &w->ds->cases[train[i]];
        bool known = was_labeled(w->m[0]->config, pc->id);
        annotated += pc->has_label && !known;
        if (!known && (w->a->simulate || !pc->has_label))
            c[(*num)++] = (struct pv_candidate){.index = train[i], .score = -1};
    }
    pv_free(train);
    if (*num)
        return c;
    pv_free(c);
    return pv_fail_null(PV_FAULT_INPUT, "%s: every training case has a label%s", w->ds->dir,
                        annotated ? "; --simulate ranks those whose labels the run has not seen" : "");
}

static bool score(struct work *w, struct pv_candidate *c)
{
    const struct pv_case *pc = &w->ds->cases[c->index];
    const pv_json *config = w->m[0]->config;
    const struct pv_prep *prep = pv_prep_find(pv_json_str(pv_json_get(config, "data"), "prep", "auto"));
    struct pv_load load = pv_config_load(config);
    struct pv_volume v = {0}, file;
    struct pv_prep_map map;
    double given = c->score;
    int lo[3], hi[3];
    w->o.what = pc->id;
    bool ok = prep && pv_case_load(w->ds, c->index, PV_IMAGE, &load, &v);
    file = v;
    ok = ok && pv_prep_apply(prep, pc->id, w->ds->channel_names, &v, &map) &&
         pv_active_score(w->m, w->num, pc->id, &v, &w->o, c, lo, hi);
    if (ok)
        pv_active_slices(lo, hi, (int)w->a->slices, &map, &file, &c->slices);
    if (given >= 0)
        c->score = given;
    pv_volume_free(&v);
    return ok;
}

/* CASE.nii.gz with 255 everywhere but on the slices, which hold 0 or, prefilled, the prediction. */
static bool write_label(struct work *w, const struct pv_candidate *c)
{
    const struct pv_case *pc = &w->ds->cases[c->index];
    struct pv_load load = pv_config_load(w->m[0]->config);
    struct pv_volume v = {0}, grid;
    uint8_t *label = NULL;
    bool ok = pv_case_load(w->ds, c->index, PV_IMAGE, &load, &v);
    grid = v;
    size_t n = pv_volume_voxels(&v);
    if (ok && w->a->prefill)
        ok = pv_predict_volume(w->m, w->num, pc->id, &v, &w->o, &label, NULL);
    else if (ok && (label = pv_alloc_big(n, "labels")))
        memset(label, 0, n);
    ok = ok && label;
    struct pv_cross mem = {0};
    for (int a = 0; ok && a < 3; a++) {     /* from the file's axes to memory's */
        int f = grid.geo.axis[a];
        mem.num[a] = c->slices.num[f];
        for (int k = 0; k < mem.num[a]; k++)
            mem.slice[a][k] = grid.geo.flip[a] ? grid.size[a] - 1 - c->slices.slice[f][k] : c->slices.slice[f][k];
    }
    char *path = pv_asprintf("%s/%s.nii.gz", w->a->labels, pc->id);
    if (ok) {
        pv_cross_keep(&mem, grid.size, label);
        grid.image = NULL;
        grid.label = label;
        ok = pv_volume_write(path, PV_LABEL, &grid);
    }
    pv_free(path);
    pv_free_big(label);
    pv_volume_free(&v);
    return ok;
}

static bool write_all(struct work *w, const struct pv_candidate *c, int n)
{
    const struct args *a = w->a;
    pv_json *j = pv_active_manifest(w->ds, c, n, a->strategy);
    pv_json *runs = pv_json_array();
    for (size_t i = 0; i < a->runs.n; i++)
        pv_json_add_str(runs, a->runs.v[i]);
    pv_json_set(j, "runs", runs);
    pv_json_set_str(j, "data", a->data);
    pv_json_set_num(j, "budget", (double)a->budget);
    if (pv_streq(a->strategy, "random"))
        pv_json_set_num(j, "seed", (double)a->seed);
    bool ok = pv_json_write(a->out, j);
    if (ok && a->json) {
        char *text = pv_json_text(j, true);
        printf("%s\n", text);
        pv_free(text);
    }
    pv_json_free(j);
    ok = ok && (!a->labels || pv_make_folder(a->labels, "--labels"));
    for (int i = 0; ok && a->labels && i < n; i++)
        ok = !c[i].chosen || write_label(w, &c[i]);
    return ok;
}

static void print_chosen(const pv_dataset *ds, const struct pv_candidate *c, int n)
{
    printf("%-24s %10s  slices i, j, k (from 0)\n", "case", "score");
    for (int i = 0; i < n; i++) {
        if (!c[i].chosen)
            continue;
        printf("%-24s %10.5f ", ds->cases[c[i].index].id, c[i].score);
        for (int a = 0; a < 3; a++)
            for (int k = 0; k < c[i].slices.num[a]; k++)
                printf("%s%d", k ? "," : a ? "; " : " ", c[i].slices.slice[a][k]);
        printf("%s\n", c[i].object ? "" : "  (nothing predicted: the middle)");
    }
}

static bool select_cases(struct work *w)
{
    const struct args *a = w->a;
    int n;
    struct pv_candidate *c = find_candidates(w, &n);
    if (!c)
        return false;
    bool random = pv_streq(a->strategy, "random"), ok = true;
    if (a->budget > n)
        pv_warn("only %d unlabelled cases are left for a budget of %lld", n, (long long)a->budget);
    if (random) {
        pv_active_random((uint64_t)a->seed, 0, c, n);
        pv_active_choose(c, n, (int)a->budget);
    }
    for (int i = 0; ok && i < n; i++)
        ok = (random && !c[i].chosen) || score(w, &c[i]);
    if (ok)
        pv_active_choose(c, n, (int)a->budget);
    ok = ok && write_all(w, c, n);
    if (ok && !a->json)
        print_chosen(w->ds, c, n);
    pv_free(c);
    return ok;
}

static bool check(const struct args *a)
{
    if (a->runs.n == 0 || !a->data || !a->out)
        return pv_fail(PV_FAULT_USAGE, "select needs --run, --data, --budget and --out; see protovox select --help");
    if (a->budget < 1 || a->budget > 1000000 || a->slices < 1 || a->slices > PV_CROSS_MOST)
        return pv_fail(PV_FAULT_USAGE, "--budget must be at least 1, --slices from 1 to %d", PV_CROSS_MOST);
    if (!pv_streq(a->strategy, "entropy") && !pv_streq(a->strategy, "random"))
        return pv_fail(PV_FAULT_USAGE, "--strategy is entropy or random, not '%s'", a->strategy);
    if (a->prefill && !a->labels)
        return pv_fail(PV_FAULT_USAGE, "--prefill needs --labels");
    return a->runs.n <= 16 || pv_fail(PV_FAULT_USAGE, "an ensemble holds at most 16 runs");
}

static int run(int argc, char **argv)
{
    struct args a = {.slices = 1, .seed = 1337, .strategy = "entropy"};
    const struct pv_opt opts[] = {
        {"run", PV_OPT_LIST, &a.runs, "RUN", "run folder; several form an ensemble"},
        {"data", PV_OPT_STR, &a.data, "DIR", "data set; its unlabelled training cases are ranked"},
        {"budget", PV_OPT_INT, &a.budget, "K", "cases to choose"},
        {"strategy", PV_OPT_STR, &a.strategy, "NAME", "entropy (mean over all voxels, default) or random"},
        {"out", PV_OPT_STR, &a.out, "F.json", "where the ranking, the chosen cases and their slices go"},
        {"labels", PV_OPT_STR, &a.labels, "DIR", "also write CASE.nii.gz to paint: 0 on the slices, 255 elsewhere"},
        {"prefill", PV_OPT_FLAG, &a.prefill, NULL, "the prediction on the slices instead of 0"},
        {"slices", PV_OPT_INT, &a.slices, "N", "slices per axis (default 1)"},
        {"simulate", PV_OPT_FLAG, &a.simulate, NULL, "rank cases that have labels too, if the run has not seen them"},
        {"seed", PV_OPT_INT, &a.seed, "N", "of --strategy random (default 1337)"},
        {"lists", PV_OPT_STR, &a.lists, "DIR", "folder of train.list, test.list (default: in the data set)"},
        {"weights", PV_OPT_STR, &a.weights, "NAME", "best, final or latest (default: the first there is)"},
        {"stride", PV_OPT_SHAPE, a.stride, "XxYxZ", "of the sliding window"},
        PV_DEVICE_OPTS(a.dev),
        {"json", PV_OPT_FLAG, &a.json, NULL, "print the JSON"},
        {"quiet", PV_OPT_FLAG, &a.quiet, NULL, "no progress lines"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_select, opts, argc, argv, &code) != PV_PARSED)
        return code;
    pv_stop_install();
    struct work w = {.a = &a, .o = {.gaussian = -1, .largest = -1, .quiet = a.quiet}};
    memcpy(w.o.stride, a.stride, sizeof a.stride);
    pv_dev *dev = NULL;
    bool ok = check(&a) && (dev = pv_open_device(&a.dev, NULL)) != NULL;
    for (size_t i = 0; ok && i < a.runs.n; i++)
        ok = (w.m[w.num++] = pv_model_open(dev, a.runs.v[i], a.weights)) != NULL;
    if (ok) {
        struct pv_dataset_params dp = pv_config_dataset(w.m[0]->config, a.lists);
        w.ds = pv_dataset_open(a.data, &dp);
    }
    ok = ok && w.ds && select_cases(&w);
    pv_dataset_free(&w.ds);
    for (int i = 0; i < w.num; i++)
        pv_model_free(&w.m[i]);
    pv_dev_close(&dev);
    pv_strs_free(&a.runs);
    return ok ? 0 : pv_exit_code();
}

const struct pv_command pv_cmd_select = {"select", "choose cases and slices to annotate next",
    "  protovox select --run RUN --data DIR --budget 5 --out next.json\n"
    "  protovox select --run RUN --data DIR --budget 5 --out next.json --labels to_paint --prefill\n"
    "  protovox select --run RUN --data DIR --budget 5 --out next.json --strategy random --simulate", run};
