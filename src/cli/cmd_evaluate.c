/* SPDX-License-Identifier: Apache-2.0
 * protovox evaluate: scores predictions that lie in files, or a run on a split of a data set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/file.h"
#include "platform/platform.h"
#include "train/analysis.h"
#include "train/batch.h"
#include "train/config.h"
#include "train/score.h"
#include "train/scores.h"

extern const struct pv_command pv_cmd_evaluate;

struct args {
    struct pv_dev_args dev;
    const char *pred, *ref, *data, *split, *out, *units, *empty, *metrics, *weights, *mirror, *lists, *precision;
    struct pv_strs runs, compared;
    int64_t classes, largest, batch;
    int stride[3];
    bool json, quiet, save, analysis, by_reference, partial;
    int64_t features;
};

/* ---- options shared by both ways ---- */

static bool find_metrics(const struct args *a, unsigned *wanted)
{
    struct pv_strs names = {0};
    bool ok = true;
    *wanted = 0;
    pv_strs_split(&names, a->metrics, ", ");
    for (size_t i = 0; ok && i < names.n; i++) {
        int id = pv_metric_find(names.v[i]);
        ok = id >= 0;
        if (ok)
            *wanted |= 1u << id;
    }
    pv_strs_free(&names);
    return ok;
}

static bool set_params(const struct args *a, struct pv_eval_params *ep)
{
    if (a->units) {
        if (!pv_streq(a->units, "voxel") && !pv_streq(a->units, "mm"))
            return pv_fail(PV_FAULT_USAGE, "--units is voxel or mm, not '%s'", a->units);
        ep->units = pv_streq(a->units, "mm") ? PV_UNITS_MM : PV_UNITS_VOXEL;
    }
    if (a->empty) {
        static const char *const names[] = {"medpy", "strict", "nan"};
        int k = 0;
        while (k < 3 && !pv_streq(a->empty, names[k]))
            k++;
        if (k == 3)
            return pv_fail(PV_FAULT_USAGE, "--empty is medpy, strict or nan, not '%s'", a->empty);
        ep->empty = (enum pv_empty)k;
    }
    if (a->largest >= 0)
        ep->largest = (int)a->largest;
    return !a->metrics || find_metrics(a, &ep->wanted);
}

static bool show_results(const struct args *a, const struct pv_table *t, const char *csv, const char *json)
{
    bool ok = true;
    if (a->json) {
        char *text;
        size_t n;
        ok = pv_read_file(json, &text, &n);
        if (ok)
            printf("%s\n", text);
        pv_free(text);
        return ok;
    }
    enum pv_metric_id ids[PV_NUM_METRICS];
    int num = 0;
    for (int i = 0; i < PV_NUM_METRICS; i++)
        if (t->params.wanted & 1u << i)
            ids[num++] = (enum pv_metric_id)i;
    char *text = pv_table_text(t, ids, num, true);
    printf("%s\nwritten to %s and %s\n", text, csv, json);
    pv_free(text);
    return true;
}

/* ---- files against files ---- */

static bool score_file(const struct args *a, const char *name, const struct pv_eval_params *ep, struct pv_table *t)
{
    char *pp = pv_path_join(a->pred, name), *rp = pv_path_join(a->ref, name);
    struct pv_volume p = {0}, r = {0};
    struct pv_case_metrics cm = {0};
    bool ok = pv_volume_read(pp, PV_LABEL, NULL, &p) && pv_volume_read(rp, PV_LABEL, NULL, &r);
    if (ok && memcmp(p.size, r.size, sizeof p.size))
        ok = pv_fail(PV_FAULT_INPUT, "%s has %dx%dx%d voxels, its reference %s %dx%dx%d; predict on the reference's "
                     "grid", pp, p.size[0], p.size[1], p.size[2], rp, r.size[0], r.size[1], r.size[2]);
    ok = ok && pv_evaluate_pair(p.label, r.label, r.size, r.spacing, ep, &cm);
    if (ok) {
        cm.name = pv_asprintf("%.*s", (int)pv_stem_length(name), name);
        cm.pred_file = pv_strdup(pp);
        cm.ref_file = pv_strdup(rp);
        pv_table_add(t, &cm);
    }
    pv_case_metrics_free(&cm);
    pv_volume_free(&p);
    pv_volume_free(&r);
    pv_free(pp);
    pv_free(rp);
    return ok;
}

/* NAME_prob beside NAME, as predict --probabilities writes them. */
static bool is_probabilities(const struct args *a, const char *name)
{
    size_t n = pv_stem_length(name);
    if (n < 6 || strncmp(name + n - 5, "_prob", 5))
        return false;
    char *labels = pv_asprintf("%s/%.*s%s", a->pred, (int)n - 5, name, name + n);
    bool there = pv_file_exists(labels);
    pv_free(labels);
    return there;
}

/* How many label files `from` holds, how many of them are not in `to`, and the first of those. */
static bool lacking(const struct args *a, const char *from, const char *to, size_t *all, size_t *missing, char **first)
{
    char **names;
    size_t n;
    *all = *missing = 0;
    *first = NULL;
    if (!pv_list_dir(from, &names, &n))
        return pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", from, pv_os_error());
    for (size_t i = 0; i < n; i++) {
        char *path = pv_path_join(to, names[i]);
        bool counts = pv_format_of(names[i]) && names[i][0] != '.' &&
                      !(from == a->pred && is_probabilities(a, names[i]));
        *all += counts;
        if (counts && !pv_file_exists(path) && (*missing)++ == 0)
            *first = pv_strdup(names[i]);
        pv_free(path);
        free(names[i]);
    }
    free(names);
    return true;
}

/* A case that was not predicted would silently stay out of the mean. */
static bool all_paired(const struct args *a)
{
    size_t all, n;
    char *first = NULL;
    bool ok = lacking(a, a->pred, a->ref, &all, &n, &first);
    if (ok && all == 0)
        ok = pv_fail(PV_FAULT_INPUT, "%s holds no label files (.nii, .nii.gz, .h5)", a->pred);
    if (ok && n)
        ok = pv_fail(PV_FAULT_INPUT, "%s/%s has no reference %s/%s", a->pred, first, a->ref, first);
    pv_free(first);
    first = NULL;
    ok = ok && lacking(a, a->ref, a->pred, &all, &n, &first);
    if (ok && n && !a->partial)
        ok = pv_fail(PV_FAULT_INPUT, "%zu references of %s have no prediction in %s, the first is %s: predict them, or "
                     "say --partial to score the others", n, a->ref, a->pred, first);
    pv_free(first);
    return ok;
}

static bool score_files(const struct args *a)
{
    char **names;
    size_t n;
    if (!pv_is_dir(a->pred) || !pv_is_dir(a->ref) || !pv_list_dir(a->pred, &names, &n))
        return pv_fail(PV_FAULT_INPUT, "--pred and --ref must be folders of label files: %s, %s", a->pred, a->ref);
    struct pv_eval_params ep = pv_eval_defaults((int)a->classes);
    ep.wanted = 1u << PV_DICE | 1u << PV_JACCARD | 1u << PV_HD95 | 1u << PV_ASD;
    struct pv_table t;
    bool ok = set_params(a, &ep) && all_paired(a);
    pv_table_init(&t, &ep, NULL);
    for (size_t i = 0; i < n; i++) {
        if (ok && pv_format_of(names[i]) && names[i][0] != '.' && !is_probabilities(a, names[i]))
            ok = score_file(a, names[i], &ep, &t);
        free(names[i]);
    }
    free(names);
    const char *folder = a->out ? a->out : a->pred;
    char *csv = pv_path_join(folder, "evaluation.csv"), *json = pv_path_join(folder, "evaluation.json");
    ok = ok && pv_make_folder(folder, "--out") && pv_table_write_csv(&t, csv) &&
         pv_table_write_json(&t, json, &(struct pv_table_json){.resamples = 100, .seed = 1}) &&
         show_results(a, &t, csv, json);
    pv_free(csv);
    pv_free(json);
    pv_table_free(&t);
    return ok;
}

/* ---- a run on a split ---- */

static const char *const splits[] = {"train", "val", "test"};

static int find_split(const char *name)
{
    for (int i = 0; i < (int)PV_COUNT(splits); i++)
        if (pv_streq(name, splits[i]))
            return i;
    pv_fail(PV_FAULT_USAGE, "--split is train, val or test, not '%s'", name);
    return -1;
}

static bool score_run(const struct args *a)
{
    int split = a->split ? find_split(a->split) : PV_TEST;
    if (split < 0)
        return false;
    struct pv_model *m[16] = {NULL};
    int num = 0;
    pv_dev *dev = pv_open_device(&a->dev, NULL);
    bool ok = dev != NULL;
    if (a->runs.n > PV_COUNT(m))
        ok = pv_fail(PV_FAULT_USAGE, "an ensemble holds at most %d runs", (int)PV_COUNT(m));
    for (size_t i = 0; ok && i < a->runs.n; i++)
        ok = (m[num++] = pv_model_open(dev, a->runs.v[i], a->weights)) != NULL &&
             pv_model_set_precision(m[num - 1], a->precision);
    ok = ok && pv_models_agree(m, num);
    pv_dataset *ds = NULL;
    struct pv_eval_params ep;
    struct pv_table t = {0};
    if (ok) {
        struct pv_dataset_params dp = pv_config_dataset(m[0]->config, a->lists);
        ds = pv_dataset_open(a->data, &dp);
        ok = ds && pv_config_eval(m[0]->config, ds->num_classes, &ep) && set_params(a, &ep);
    }
    if (ok) {
        struct pv_infer_opts o = {.gaussian = -1, .largest = -1, .quiet = a->quiet, .mirror = a->mirror,
                                  .batch = (int)a->batch};
        memcpy(o.stride, a->stride, sizeof o.stride);
        const char *out = a->out ? a->out : m[0]->folder;
        char *folder = pv_path_join(out, splits[split]);
        char *csv = pv_asprintf("%s/evaluation_%s.csv", out, splits[split]);
        char *json = pv_asprintf("%s/evaluation_%s.json", out, splits[split]);
        const struct pv_score s = {.models = m, .num = num, .ds = ds, .split = (enum pv_split)split, .infer = &o,
                                   .params = &ep, .out = out, .predictions = a->save ? folder : NULL,
                                   .report = !a->out};
        ok = pv_score_split(&s, &t) && show_results(a, &t, csv, json);
        if (ok && s.report && !a->json)
            printf("pictures and tables in %s/report.html\n", out);
        pv_free(folder);
        pv_free(csv);
        pv_free(json);
        pv_table_free(&t);
    }
    for (int i = 0; i < num; i++)
        pv_model_free(&m[i]);
    pv_dataset_free(&ds);
    pv_dev_close(&dev);
    return ok;
}

/* ---- pseudo labels and features ---- */

static bool analyse(const struct args *a)
{
    pv_dev *dev = pv_open_device(&a->dev, NULL);
    struct pv_model *m = dev ? pv_model_open(dev, a->runs.v[0], a->weights) : NULL;
    pv_dataset *ds = NULL;
    pv_json *result = NULL;
    if (m) {
        struct pv_dataset_params dp = pv_config_dataset(m->config, a->lists);
        ds = pv_dataset_open(a->data, &dp);
    }
    const struct pv_analysis_opts o = {.reference_masks = a->by_reference, .features = (int)a->features,
                                       .quiet = a->quiet};
    const char *out = a->out ? a->out : a->runs.v[0];
    bool ok = ds && pv_analyse(m, ds, out, &o, &result);
    if (ok) {
        char *text = a->json ? pv_json_text(result, true) : pv_analysis_text(result);
        printf("%s", text);
        if (!a->json)
            printf("written to %s/analysis.json%s\n", out, a->features ? " and features_train.safetensors" : "");
        pv_free(text);
    }
    pv_json_free(result);
    pv_dataset_free(&ds);
    pv_model_free(&m);
    pv_dev_close(&dev);
    return ok;
}

/* ---- what was evaluated already ---- */

/* A run against itself: the same folder, its file, or a copy of it. */
static bool differ(const struct pv_scores *s, const char *const *names, int n)
{
    bool ok = true;
    for (int i = 1; ok && i < n; i++) {
        char *text = pv_json_text(s[i].eval, false);
        for (int k = 0; ok && k < i; k++) {
            char *other = pv_json_text(s[k].eval, false);
            ok = !pv_streq(text, other) ||
                 pv_fail(PV_FAULT_USAGE, "%s and %s are the same evaluation: name different runs", names[k], names[i]);
            pv_free(other);
        }
        pv_free(text);
    }
    return ok;
}

/* Of --metrics, those that the evaluation of a run has. */
static bool any_metric(const struct args *a, const struct pv_scores *s, const char *name)
{
    struct pv_scores all = {.eval = s->eval};
    struct pv_str has = {0};
    if (s->num_metrics)
        return true;
    pv_scores_metrics(&all);
    for (int k = 0; k < all.num_metrics; k++)
        pv_str_addf(&has, "%s%s", k ? ", " : "", pv_metrics[all.metric[k]].name);
    pv_fail(PV_FAULT_USAGE, "the evaluation of %s has nothing of --metrics %s to compare; it has %s", name,
            a->metrics ? a->metrics : "", has.len ? has.text : "none");
    pv_str_free(&has);
    return false;
}

static bool compare(const struct args *a)
{
    int n = (int)a->compared.n, read = 0;
    struct pv_scores *s = pv_array(struct pv_scores, n);
    const char *const *names = (const char *const *)a->compared.v;
    unsigned wanted = 0;
    bool ok = (!a->split || find_split(a->split) >= 0) && (!a->metrics || find_metrics(a, &wanted));
    for (int i = 0; ok && i < n; i++) {
        char *path = pv_scores_find(names[i], a->split, &s[i].split);
        s[i].wanted = wanted;
        ok = path ? pv_scores_read(&s[i], path) : pv_scores_none(names[i], a->split);
        read += ok;
        ok = ok && any_metric(a, &s[i], names[i]);
        pv_free(path);
    }
    ok = ok && differ(s, names, n);
    if (ok && a->json) {
        pv_json *j = pv_scores_json(s, names, n);
        char *text = pv_json_text(j, true);
        printf("%s\n", text);
        pv_free(text);
        pv_json_free(j);
    } else if (ok) {
        char *text = pv_scores_text(s, names, n);
        fputs(text, stdout);
        pv_free(text);
    }
    for (int i = 0; i < read; i++)
        pv_scores_free(&s[i]);
    pv_free(s);
    return ok;
}

static int run(int argc, char **argv)
{
    struct args a = {.classes = 2, .largest = -1};
    const struct pv_opt opts[] = {
        {"pred", PV_OPT_STR, &a.pred, "DIR", "folder of predicted label files"},
        {"ref", PV_OPT_STR, &a.ref, "DIR", "folder of reference label files of the same names"},
        {"partial", PV_OPT_FLAG, &a.partial, NULL, "with --pred: references without a prediction stay out"},
        {"classes", PV_OPT_INT, &a.classes, "N", "with --pred: classes, background included (default 2)"},
        {"run", PV_OPT_LIST, &a.runs, "RUN", "run folder to predict with; several form an ensemble"},
        {"data", PV_OPT_STR, &a.data, "DIR", "with --run: the data set"},
        {"compare", PV_OPT_LIST, &a.compared, "RUN", "evaluated runs (or their evaluation_*.json): bootstrap, "
         "and paired tests of each against the first"},
        {"split", PV_OPT_STR, &a.split, "NAME", "train, val or test (default)"},
        {"lists", PV_OPT_STR, &a.lists, "DIR", "folder of the lists (default: in the data set)"},
        {"weights", PV_OPT_STR, &a.weights, "NAME", "best, final or latest (default: the first there is)"},
        {"stride", PV_OPT_SHAPE, a.stride, "XxYxZ", "of the sliding window"},
        {"mirror", PV_OPT_STR, &a.mirror, "AXES", "average over mirrored inputs, such as xyz"},
        {"batch", PV_OPT_INT, &a.batch, "N", "windows at a time (default: the run's setting eval.batch)"},
        {"precision", PV_OPT_STR, &a.precision, "fp32|mixed", "as in protovox train (default: the run's)"},
        {"largest", PV_OPT_INT, &a.largest, "N", "keep only the largest component (neighbourhood 6, 18, 26; 0: all)"},
        {"units", PV_OPT_STR, &a.units, "U", "voxel or mm"},
        {"empty", PV_OPT_STR, &a.empty, "C", "empty predictions count as medpy, strict or nan"},
        {"metrics", PV_OPT_STR, &a.metrics, "LIST", "such as dice,jaccard,hd95,asd,assd,nsd"},
        {"out", PV_OPT_STR, &a.out, "DIR", "where results go (default: the run, or --pred)"},
        {"analysis", PV_OPT_FLAG, &a.analysis, NULL, "with --run, instead: pseudo labels by confidence and "
         "semantic matching score Q of the training cases"},
        {"by-reference", PV_OPT_FLAG, &a.by_reference, NULL, "with --analysis: Q by the references of unlabelled "
         "cases"},
        {"features", PV_OPT_INT, &a.features, "N", "with --analysis: features of N voxels too"},
        {"save", PV_OPT_FLAG, &a.save, NULL, "with --run: write the predictions too"},
        PV_DEVICE_OPTS(a.dev),
        {"json", PV_OPT_FLAG, &a.json, NULL, "print JSON"},
        {"quiet", PV_OPT_FLAG, &a.quiet, NULL, "no progress lines"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_evaluate, opts, argc, argv, &code) != PV_PARSED)
        return code;
    pv_stop_install();
    bool ok;
    unsigned bits;
    if (a.batch < 0 || a.batch > 256)
        ok = pv_fail(PV_FAULT_USAGE, "--batch is from 1 to 256");
    else if (!pv_config_mirror(a.mirror, &bits))
        ok = false;
    else if (a.compared.n)
        ok = a.runs.n || a.pred ? pv_fail(PV_FAULT_USAGE, "--compare reads results that are there: leave --run and "
                                          "--pred away") : compare(&a);
    else if (a.features < 0 || a.features > 1000000 || (!a.analysis && (a.features || a.by_reference)))
        ok = pv_fail(PV_FAULT_USAGE, "--features (at most 1000000) and --by-reference belong to --analysis");
    else if (a.analysis)
        ok = a.runs.n == 1 && a.data && !a.pred && !a.split
             ? analyse(&a)
             : pv_fail(PV_FAULT_USAGE, "--analysis needs one --run and --data; it takes the training cases");
    else if (a.pred && a.ref && !a.runs.n)
        ok = (a.classes >= 2 && a.classes <= 255) ? score_files(&a)
                                                  : pv_fail(PV_FAULT_USAGE, "--classes must be from 2 to 255");
    else if (a.runs.n && a.data && !a.pred)
        ok = score_run(&a);
    else
        ok = pv_fail(PV_FAULT_USAGE, "evaluate needs --pred and --ref, --run and --data, or --compare; see "
                     "protovox evaluate --help");
    pv_strs_free(&a.runs);
    pv_strs_free(&a.compared);
    return ok ? 0 : pv_exit_code();
}

const struct pv_command pv_cmd_evaluate = {"evaluate", "score predictions: Dice, Jaccard, 95HD, ASD and more",
    "  protovox evaluate --run RUN --data DIR --split test\n"
    "  protovox evaluate --run RUN1 RUN2 --data DIR --mirror xyz      (ensemble, test-time mirroring)\n"
    "  protovox evaluate --run RUN --data DIR --analysis --features 10000\n"
    "  protovox evaluate --compare RUN1 RUN2                          (paired tests of RUN2 against RUN1)\n"
    "  protovox evaluate --pred DIR --ref DIR --units mm --metrics dice,hd95,nsd", run};
