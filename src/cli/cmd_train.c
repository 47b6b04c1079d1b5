/* SPDX-License-Identifier: Apache-2.0
 * protovox train. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/seeds.h"
#include "method/method.h"
#include "net/net.h"
#include "platform/platform.h"
#include "train/config.h"
#include "train/runlog.h"
#include "train/train.h"

extern const struct pv_command pv_cmd_train;

static void list_names(void)
{
    printf("methods:\n");
    for (int i = 0; pv_methods[i]; i++)
        printf("  %-10s %s\n", pv_methods[i]->name, pv_methods[i]->summary);
    printf("networks:\n");
    for (int i = 0; pv_net_kinds[i]; i++)
        printf("  %-10s %s\n", pv_net_kinds[i]->name, pv_net_kinds[i]->summary);
    printf("presets:\n");
    struct pv_preset_info *p = pv_preset_list();
    for (int i = 0; p[i].name; i++)
        printf("  %-10s %s\n", p[i].name, p[i].about);
    pv_preset_list_free(p);
}

static void list_options(const char *method)
{
    const struct pv_method *m = pv_method_find(method);
    if (!m)
        return;
    printf("%s: %s\n", m->name, m->summary);
    for (const struct pv_method_opt *o = m->opts; o && o->name; o++)
        if (o->text_def)
            printf("  method_options.%-14s %-10s %s\n", o->name, o->text_def, o->help);
        else
            printf("  method_options.%-14s %-10g %s%s\n", o->name, o->def, o->help,
                   o->iterations ? " (rescaled with --iters)" : "");
}

/* Whether settings on the command line are those of the run that is to go on. */
static bool settings_fit(const struct pv_config_args *ca, const char *run)
{
    char *path = pv_path_join(run, "config.json");
    bool ok = !pv_file_exists(path) || pv_config_same(ca, path);      /* no run: pv_train() says so */
    pv_free(path);
    return ok;
}

static int run(int argc, char **argv)
{
    struct pv_dev_args dev_args = {0};
    struct pv_config_args ca = {.labeled = -1, .iters = -1, .batch = -1, .seed = -1, .accumulate = -1};
    struct pv_train_args ta = {0};
    struct pv_strs sets = {0};
    struct pv_str lines = {0};
    const char *seeds = NULL;
    bool list = false, list_method = false, simulate = false;
    const struct pv_opt opts[] = {
        {"data", PV_OPT_STR, &ta.data, "DIR", "data set: nnU-Net folder, or the .h5 folders of the public code"},
        {"out", PV_OPT_STR, &ta.out, "RUN", "run folder"},
        {"method", PV_OPT_STR, &ca.method, "NAME", "method (see --list)"},
        {"preset", PV_OPT_STR, &ca.preset, "NAME", "preset (see --list) or a .json file; default auto"},
        {"labeled", PV_OPT_INT, &ca.labeled, "N", "use the labels of the first N training cases; 0: of all"},
        {"net", PV_OPT_STR, &ca.net, "NAME", "network (see --list)"},
        {"iters", PV_OPT_INT, &ca.iters, "N", "iterations; schedules are rescaled"},
        {"stop-after", PV_OPT_INT, &ta.stop_after, "N", "stop after N iterations with a checkpoint, no rescaling"},
        {"patch", PV_OPT_SHAPE, ca.patch, "XxYxZ", "patch size"},
        {"batch", PV_OPT_INT, &ca.batch, "N", "labelled samples per batch, and as many unlabelled"},
        {"accumulate", PV_OPT_INT, &ca.accumulate, "N", "batches per iteration, gradients averaged (default 1)"},
        {"seed", PV_OPT_INT, &ca.seed, "N", "seed of everything random (default 1337)"},
        {"seeds", PV_OPT_STR, &seeds, "1,2,3", "train with each into RUN/seed-N; mean and spread of the scores"},
        PV_DEVICE_OPTS(dev_args),
        {"tune", PV_OPT_STR, &ca.tune, "off|on|again", "measure which kernels are fastest; kept on disk (default off)"},
        {"precision", PV_OPT_STR, &ca.precision, "fp32|mixed", "mixed: convolutions multiply halves (default fp32)"},
        {"lists", PV_OPT_STR, &ta.lists, "DIR", "folder of train.list, test.list (default: in the data set)"},
        {"config", PV_OPT_STR, &ca.file, "F.json", "settings that override the preset"},
        {"set", PV_OPT_LIST, &sets, "A.B=C", "one setting; may be repeated"},
        {"init", PV_OPT_STR, &ca.init, "F", "start from these weights (.safetensors): see protovox convert"},
        {"simulate", PV_OPT_FLAG, &simulate, NULL, "active learning: labels that the data set has play the person"},
        {"resume", PV_OPT_FLAG, &ta.resume, NULL, "go on with the run in --out"},
        {"overwrite", PV_OPT_FLAG, &ta.overwrite, NULL, "replace the run in --out"},
        {"quiet", PV_OPT_FLAG, &ta.quiet, NULL, "no progress lines"},
        {"list", PV_OPT_FLAG, &list, NULL, "list methods, networks and presets"},
        {"options", PV_OPT_FLAG, &list_method, NULL, "list the options of --method"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_train, opts, argc, argv, &code) != PV_PARSED)
        return code;
    if (list || list_method) {
        list ? list_names() : list_options(ca.method ? ca.method : "sup");
        return pv_fault_kind() == PV_FAULT_NONE ? 0 : pv_exit_code();
    }
    pv_log_keep(&lines);
    code = PV_FAULT_USAGE;
    if (!ta.data || !ta.out) {
        pv_fail(PV_FAULT_USAGE, "train needs --data and --out; see protovox train --help");
        goto done;
    }
    if (ta.stop_after < 0 || ca.labeled < -1 || ca.iters == 0 || ca.batch == 0 || ca.accumulate == 0 ||
        ca.accumulate < -1) {
        pv_fail(PV_FAULT_USAGE, "--iters, --batch and --accumulate must be at least 1, --labeled and --stop-after not "
                "negative");
        goto done;
    }
    if (simulate)
        pv_strs_add(&sets, "active.simulate=true");
    ca.sets = (const char *const *)sets.v;
    ca.num_sets = sets.n;
    if (seeds && ca.seed >= 0) {
        pv_fail(PV_FAULT_USAGE, "--seed and --seeds exclude each other");
        goto done;
    }
    if (!(ta.resume ? seeds || settings_fit(&ca, ta.out) : (ta.config = pv_config_resolve(&ca)) != NULL)) {
        code = pv_exit_code();
        goto done;
    }
    if (simulate && ta.config && pv_json_num(pv_json_get(ta.config, "active"), "rounds", 0) < 1) {
        pv_fail(PV_FAULT_USAGE, "--simulate is for active learning: say how many rounds, --set active.rounds=4");
        pv_json_free(ta.config);
        goto done;
    }
    struct pv_str cmd = {0};
    pv_str_add(&cmd, "protovox train");
    for (int i = 0; i < argc; i++)
        pv_str_addf(&cmd, " %s", argv[i]);
    ta.command = cmd.text;
    pv_stop_install();
    ta.dev = pv_open_device(&dev_args, NULL);
    pv_log_keep_end(&lines);
    ta.lines = lines.text;
    enum pv_train_state s = PV_TRAIN_FAILED;
    if (!ta.dev || seeds)
        pv_json_free(ta.config);        /* of several seeds: it was resolved to be checked */
    if (ta.dev)
        s = seeds ? pv_train_seeds(seeds, &ta, &ca) : pv_train(&ta);
    pv_dev_close(&ta.dev);
    pv_str_free(&cmd);
    code = s == PV_TRAIN_DONE ? 0 : s == PV_TRAIN_STOPPED ? PV_FAULT_STOPPED : pv_exit_code();
done:
    pv_log_keep_end(&lines);
    pv_str_free(&lines);
    pv_strs_free(&sets);
    return code;
}

const struct pv_command pv_cmd_train = {"train", "train a method on a data set",
    "  protovox train --data DIR --method mt --labeled 8 --out RUN\n"
    "  protovox train --data LA --preset la --method mt --labeled 8 --out RUN --device opencl:0\n"
    "  protovox train --data LA --out RUN --resume\n"
    "  protovox train --data LA --preset la --method mt --labeled 8 --seeds 1,2,3 --out RUNS\n"
    "  protovox train --data BRATS --preset brats19 --method mfcons --labeled 25 --set active.rounds=4 --simulate "
    "--out RUN\n"
    "  protovox train --list\n"
    "  protovox train --method mt --options", run};
