/* SPDX-License-Identifier: Apache-2.0
 * protovox predict: labels for new images, with the input's geometry and name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/file.h"
#include "platform/platform.h"
#include "train/config.h"
#include "train/predict.h"
#include "train/predict_dir.h"

extern const struct pv_command pv_cmd_predict;

struct args {
    struct pv_dev_args dev;
    struct pv_strs runs, input;
    const char *out, *weights, *mirror, *precision;
    int64_t largest, batch;
    int stride[3];
    bool probabilities, quiet, again;
};

/* Files that a --input names: itself, or the volumes of a folder. nnU-Net's CASE_0000.nii.gz of one channel is
 * CASE; further channels are read with it. */
static bool collect(const struct args *a, struct pv_strs *files)
{
    for (size_t i = 0; i < a->input.n; i++) {
        const char *p = a->input.v[i];
        if (!pv_is_dir(p)) {
            pv_strs_add(files, p);
            continue;
        }
        char **names;
        size_t n, before = files->n;
        if (!pv_list_dir(p, &names, &n))
            return pv_fail(PV_FAULT_INPUT, "%s cannot be read: %s", p, pv_os_error());
        for (size_t k = 0; k < n; k++) {
            if (pv_format_of(names[k]) && names[k][0] != '.') {
                char *path = pv_path_join(p, names[k]);
                pv_strs_add(files, path);
                pv_free(path);
            }
            free(names[k]);
        }
        free(names);
        if (files->n == before)
            return pv_fail(PV_FAULT_INPUT, "%s holds no image files (.nii, .nii.gz, .h5)", p);
    }
    return true;
}

/* Whether an output that is there is the input itself. */
static bool same_content(const char *out, const char *in)
{
    char *a = NULL, *b = NULL;
    size_t n, m;
    bool same = pv_file_exists(out) && !pv_is_dir(out) && pv_file_size(out) == pv_file_size(in) &&
                pv_read_file(out, &a, &n) && pv_read_file(in, &b, &m) && n == m && memcmp(a, b, n) == 0;
    pv_free(a);
    pv_free(b);
    return same;
}

/* Whether another file, of a lower channel, names the case of file i too. */
static bool named_before(const struct pv_strs *files, size_t i, int channels)
{
    int c, other;
    const char *path = files->v[i];
    size_t len = pv_case_name(path, channels, &c) + (size_t)(pv_path_base(path) - path);
    for (size_t k = 0; k < files->n && c > 0; k++)
        if (strncmp(files->v[k], path, len + 1) == 0) {
            pv_case_name(files->v[k], channels, &other);
            if (other >= 0 && other < c && strlen(files->v[k]) == strlen(path))
                return true;
        }
    return false;
}

/* Inputs from different folders may have one name; a case CASE_prob that of CASE's probabilities. */
static bool names_differ(const struct pv_strs *files, int channels, bool probabilities)
{
    struct pv_strs seen = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < files->n; i++) {
        int channel;
        if (named_before(files, i, channels))
            continue;
        size_t len = pv_case_name(files->v[i], channels, &channel);
        char *name = pv_asprintf("%.*s", (int)len, pv_path_base(files->v[i]));
        if (pv_strs_find(&seen, name) >= 0)
            ok = pv_fail(PV_FAULT_USAGE, "two inputs are named %s and would be written to one file: predict them "
                         "into different folders", name);
        pv_strs_add(&seen, name);
        pv_free(name);
    }
    for (size_t i = 0; ok && probabilities && i < seen.n; i++) {
        char *name = pv_asprintf("%s_prob", seen.v[i]);
        if (pv_strs_find(&seen, name) >= 0)
            ok = pv_fail(PV_FAULT_USAGE, "the probabilities of %s and the labels of %s would be written to one file: "
                         "predict them into different folders", seen.v[i], name);
        pv_free(name);
    }
    pv_strs_free(&seen);
    return ok;
}

/* A case to be labelled, and what of it lies in --out. */
struct job {
    const char *file;           /* its first channel, or all */
    char *label, *prob;         /* names in --out */
    pv_json *origin;            /* NULL: not asked for yet */
    bool done;
};

static void job_free(struct job *j)
{
    pv_free(j->label);
    pv_free(j->prob);
    pv_json_free(j->origin);
}

static struct pv_infer_opts options(const struct args *a)
{
    struct pv_infer_opts o = {.gaussian = -1, .largest = (int)a->largest, .mirror = a->mirror, .quiet = a->quiet,
                              .batch = (int)a->batch};
    memcpy(o.stride, a->stride, sizeof o.stride);
    return o;
}

static bool in_out(const struct args *a, const char *name)
{
    char *path = pv_path_join(a->out, name);
    bool there = pv_file_exists(path);
    pv_free(path);
    return there;
}

/* Before anything is predicted: whether what lies in --out may stay, or be replaced. An input that cannot be read is
 * told of when its turn comes. */
static bool look(const struct args *a, struct pv_model *const *m, int num, struct pv_predict_dir *d, struct job *j)
{
    bool label = in_out(a, j->label), prob = in_out(a, j->prob);
    char *out = pv_path_join(a->out, j->label);
    bool ok = !same_content(out, j->file) ||
              pv_fail(PV_FAULT_USAGE, "%s would be replaced by its own labels: name another --out", j->file);
    pv_free(out);
    if (!ok || !(label || prob))
        return ok;
    struct pv_infer_opts o = options(a);
    bool quiet = pv_fail_quiet(true);
    j->origin = pv_predict_origin(m, num, j->file, &o);
    pv_fail_quiet(quiet);
    if (!j->origin) {
        pv_fault_clear();
        return true;
    }
    ok = pv_predict_dir_check(d, j->label, PV_PREDICTED_LABELS, j->origin, &label) &&
         (a->probabilities ? pv_predict_dir_check(d, j->prob, PV_PREDICTED_PROBABILITIES, j->origin, &prob)
                           : pv_predict_dir_check_unasked(d, j->prob, j->origin));
    j->done = !a->again && label && (prob || !a->probabilities);
    return ok;
}

static bool one(const struct args *a, struct pv_model *const *m, int num, struct pv_predict_dir *d, struct job *j)
{
    struct pv_infer_opts o = options(a);
    const char *prob = a->probabilities ? j->prob : NULL;
    char *out = pv_path_join(a->out, j->label), *pout = prob ? pv_path_join(a->out, prob) : NULL;
    bool ok = j->done || j->origin || (j->origin = pv_predict_origin(m, num, j->file, &o)) != NULL;
    if (ok && !j->done)
        ok = pv_predict_dir_forget(d, j->label, PV_PREDICTED_LABELS, j->origin) &&
             (!prob || pv_predict_dir_forget(d, prob, PV_PREDICTED_PROBABILITIES, j->origin)) &&
             pv_predict_case(m, num, j->file, out, pout, &o) &&
             pv_predict_dir_keep(d, j->label, PV_PREDICTED_LABELS, j->origin) &&
             (!prob || pv_predict_dir_keep(d, prob, PV_PREDICTED_PROBABILITIES, j->origin));
    if (ok)
        pv_info("%s%s", out, j->done ? " is there already" : "");
    pv_free(out);
    pv_free(pout);
    return ok;
}

static struct job *jobs_of(const struct pv_strs *files, int channels, size_t *n)
{
    struct job *jobs = pv_array(struct job, files->n + 1);
    *n = 0;
    for (size_t i = 0; i < files->n; i++) {
        int channel;
        const char *file = files->v[i];
        if (named_before(files, i, channels))
            continue;
        int len = (int)pv_case_name(file, channels, &channel);
        jobs[(*n)++] = (struct job){.file = file, .label = pv_asprintf("%.*s.nii.gz", len, pv_path_base(file)),
                                    .prob = pv_asprintf("%.*s_prob.nii.gz", len, pv_path_base(file))};
    }
    return jobs;
}

/* What is wrong with one file does not keep the others from being labelled. */
static bool each(const struct args *a, struct pv_model *const *m, int num, const struct pv_strs *files)
{
    size_t bad = 0, n = 0;
    struct job *jobs = jobs_of(files, m[0]->run->net.channels, &n);
    struct pv_predict_dir *d = NULL;
    bool ok = names_differ(files, m[0]->run->net.channels, a->probabilities) &&
              (d = pv_predict_dir_open(a->out, m, num, a->again, files)) != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = look(a, m, num, d, &jobs[i]);
    for (size_t i = 0; ok && i < n; i++) {
        if (one(a, m, num, d, &jobs[i]))
            continue;
        ok = pv_fault_kind() == PV_FAULT_INPUT && !pv_dev_failed(m[0]->run->dev) && !pv_stop_requested() && n > 1;
        bad++;
        if (ok)
            pv_fault_clear();
    }
    for (size_t i = 0; i < n; i++)
        job_free(&jobs[i]);
    pv_free(jobs);
    pv_predict_dir_free(&d);
    return ok && (bad == 0 || pv_fail(PV_FAULT_INPUT, "%zu of %zu files could not be labelled, for the reasons above",
                                      bad, n));
}

static int run(int argc, char **argv)
{
    struct args a = {.largest = -1};
    const struct pv_opt opts[] = {
        {"run", PV_OPT_LIST, &a.runs, "RUN", "run folder; several form an ensemble"},
        {"input", PV_OPT_LIST, &a.input, "F", "images (.nii, .nii.gz, .h5) or folders of them"},
        {"out", PV_OPT_STR, &a.out, "DIR", "where labels go: CASE.nii.gz with the input's geometry"},
        {"weights", PV_OPT_STR, &a.weights, "NAME", "best, final or latest (default: the first there is)"},
        {"stride", PV_OPT_SHAPE, a.stride, "XxYxZ", "of the sliding window"},
        {"mirror", PV_OPT_STR, &a.mirror, "AXES", "average over mirrored inputs, such as xyz"},
        {"batch", PV_OPT_INT, &a.batch, "N", "windows at a time (default: the run's setting eval.batch)"},
        {"largest", PV_OPT_INT, &a.largest, "N", "keep only the largest component (neighbourhood 6, 18, 26; 0: all)"},
        {"probabilities", PV_OPT_FLAG, &a.probabilities, NULL, "write class probabilities too: CASE_prob.nii.gz"},
        {"overwrite", PV_OPT_FLAG, &a.again, NULL, "predict again what is there; labels of other weights go"},
        {"precision", PV_OPT_STR, &a.precision, "fp32|mixed", "as in protovox train (default: the run's)"},
        PV_DEVICE_OPTS(a.dev),
        {"quiet", PV_OPT_FLAG, &a.quiet, NULL, "no progress lines"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_predict, opts, argc, argv, &code) != PV_PARSED)
        return code;
    pv_stop_install();
    struct pv_model *m[16] = {NULL};
    struct pv_strs files = {0};
    pv_dev *dev = NULL;
    int num = 0;
    bool ok = (a.runs.n && a.input.n && a.out) ||
              pv_fail(PV_FAULT_USAGE, "predict needs --run, --input and --out; see protovox predict --help");
    ok = ok && (a.runs.n <= PV_COUNT(m) || pv_fail(PV_FAULT_USAGE, "an ensemble holds at most 16 runs"));
    unsigned bits;
    ok = ok && ((a.batch >= 0 && a.batch <= 256) || pv_fail(PV_FAULT_USAGE, "--batch is from 1 to 256"));
    ok = ok && pv_config_mirror(a.mirror, &bits) && collect(&a, &files) &&
         pv_make_folder(a.out, "--out");
    ok = ok && (dev = pv_open_device(&a.dev, NULL)) != NULL;
    for (size_t i = 0; ok && i < a.runs.n; i++)
        ok = (m[num++] = pv_model_open(dev, a.runs.v[i], a.weights)) != NULL &&
             pv_model_set_precision(m[num - 1], a.precision);
    ok = ok && pv_models_agree(m, num) && each(&a, m, num, &files);
    for (int i = 0; i < num; i++)
        pv_model_free(&m[i]);
    pv_dev_close(&dev);
    pv_strs_free(&files);
    pv_strs_free(&a.runs);
    pv_strs_free(&a.input);
    return ok ? 0 : pv_exit_code();
}

const struct pv_command pv_cmd_predict = {"predict", "label images with a trained run",
    "  protovox predict --run RUN --input scan.nii.gz --out labels\n"
    "  protovox predict --run RUN1 RUN2 --input imagesTs --out labels --mirror xyz", run};
