/* SPDX-License-Identifier: Apache-2.0
 * protovox predict: labels for new images, with the input's geometry and name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "data/file.h"
#include "platform/platform.h"
#include "train/predict.h"

extern const struct pv_command pv_cmd_predict;

struct args {
    struct pv_dev_args dev;
    struct pv_strs runs, input;
    const char *out, *weights, *mirror;
    int64_t largest;
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
        size_t n;
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
    }
    return files->n > 0 || pv_fail(PV_FAULT_INPUT, "--input names no image files (.nii, .nii.gz, .h5)");
}

static bool one(const struct args *a, struct pv_model *const *m, int num, const char *file)
{
    int channel;
    size_t len = pv_case_name(file, &channel);
    if (channel > 0)
        return true;            /* read with channel 0 */
    char *out = pv_asprintf("%s/%.*s.nii.gz", a->out, (int)len, pv_path_base(file));
    char *pout = pv_asprintf("%s/%.*s_prob.nii.gz", a->out, (int)len, pv_path_base(file));
    bool ok = true, there = !a->again && pv_file_exists(out);
    if (!there) {
        struct pv_infer_opts o = {.gaussian = -1, .largest = (int)a->largest, .mirror = a->mirror, .quiet = a->quiet};
        memcpy(o.stride, a->stride, sizeof o.stride);
        ok = pv_predict_case(m, num, file, out, a->probabilities ? pout : NULL, &o);
    }
    if (ok)
        pv_info("%s%s", out, there ? " is there already" : "");
    pv_free(out);
    pv_free(pout);
    return ok;
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
        {"largest", PV_OPT_INT, &a.largest, "N", "keep only the largest component (neighbourhood 6, 18, 26; 0: all)"},
        {"probabilities", PV_OPT_FLAG, &a.probabilities, NULL, "write class probabilities too: CASE_prob.nii.gz"},
        {"overwrite", PV_OPT_FLAG, &a.again, NULL, "predict again what is there already"},
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
    ok = ok && collect(&a, &files) &&
         (pv_mkdirs(a.out) || pv_fail(PV_FAULT_INPUT, "%s cannot be made: %s", a.out, pv_os_error()));
    ok = ok && (dev = pv_open_device(&a.dev, NULL)) != NULL;
    for (size_t i = 0; ok && i < a.runs.n; i++)
        ok = (m[num++] = pv_model_open(dev, a.runs.v[i], a.weights)) != NULL;
    for (size_t i = 0; ok && i < files.n; i++)
        ok = one(&a, m, num, files.v[i]);
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
