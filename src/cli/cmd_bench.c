/* SPDX-License-Identifier: Apache-2.0
 * protovox bench: speed of ops and steps. */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/compare.h"
#include "cli/cli.h"
#include "platform/platform.h"
#include "train/config.h"

extern const struct pv_command pv_cmd_bench;

struct bench_args {
    struct pv_dev_args dev;
    const char *out;
    bool json;
    int64_t reps;
};

#define COMMON_OPTS(a) \
    PV_DEVICE_OPTS((a).dev), \
    {"reps", PV_OPT_INT, &(a).reps, "N", "timed repetitions"}, \
    {"out", PV_OPT_STR, &(a).out, "F.json", "write the result there"}, \
    {"json", PV_OPT_FLAG, &(a).json, NULL, "print JSON instead of tables"}

/* Takes over `result`; returns the exit code. */
static int finish(pv_json *result, const struct bench_args *a, const char *what, int argc, char **argv)
{
    if (!result)
        return pv_exit_code();
    struct pv_str cmd = {0};
    pv_str_addf(&cmd, "protovox bench %s", what);
    for (int i = 0; i < argc; i++)
        pv_str_addf(&cmd, " %s", argv[i]);
    pv_json_set_str(result, "command", cmd.text);
    pv_str_free(&cmd);
    if (a->json) {
        char *text = pv_json_text(result, true);
        printf("%s\n", text);
        pv_free(text);
    } else {
        pv_bench_print(result);
    }
    bool ok = !a->out || pv_json_write(a->out, result);
    pv_json_free(result);
    return ok ? 0 : pv_exit_code();
}

static bool good_reps(int64_t reps)
{
    return (reps >= 1 && reps <= 256) || pv_fail(PV_FAULT_USAGE, "--reps takes 1 to 256");
}

static int run_ops(int argc, char **argv)
{
    struct bench_args b = {.reps = 20};
    struct pv_bench_ops_args a = {.shapes = "vnet", .seconds = 1};
    const struct pv_opt opts[] = {
        COMMON_OPTS(b),
        {"shapes", PV_OPT_STR, &a.shapes, "NAME", "list of shapes: vnet (default), peers, peers-large, or a text file"},
        {"op", PV_OPT_STR, &a.op, "NAME", "only this op"},
        {"phase", PV_OPT_STR, &a.phase, "NAME", "only fwd, bwd, \"bwd data\" or \"bwd weight\""},
        {"impl", PV_OPT_STR, &a.impl, "NAME", "force an implementation where it supports the shape"},
        {"seconds", PV_OPT_NUM, &a.seconds, "S", "at most about so long per shape and direction (default 1)"},
        {"window", PV_OPT_NUM, &a.window, "MS", "runs one after another for about MS, waited for once (0: each)"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_bench, opts, argc, argv, &code) != PV_PARSED)
        return code;
    if (!good_reps(b.reps))
        return pv_exit_code();
    a.reps = (int)b.reps;
    pv_dev *dev = pv_open_device(&b.dev, NULL);
    code = dev ? finish(pv_bench_ops_run(dev, &a), &b, "ops", argc, argv) : pv_exit_code();
    pv_dev_close(&dev);
    return code;
}

static int run_step(int argc, char **argv)
{
    struct bench_args b = {.reps = 5};
    struct pv_config_args ca = {.preset = "la", .method = "sup", .labeled = -1, .iters = -1, .batch = 1, .seed = -1};
    struct pv_bench_step_args a = {.warmup = 2};
    struct pv_strs sets = {0};
    bool no_split = false, train = false, infer = false;
    const struct pv_opt opts[] = {
        COMMON_OPTS(b),
        {"method", PV_OPT_STR, &ca.method, "NAME", "method (default sup)"},
        {"net", PV_OPT_STR, &ca.net, "NAME", "network (default vnet)"},
        {"preset", PV_OPT_STR, &ca.preset, "NAME", "preset that the rest comes from (default la)"},
        {"patch", PV_OPT_SHAPE, ca.patch, "XxYxZ", "patch size (default 112x112x80)"},
        {"batch", PV_OPT_INT, &ca.batch, "N", "labelled samples, and as many unlabelled where they are used (1)"},
        {"set", PV_OPT_LIST, &sets, "A.B=C", "one setting; may be repeated"},
        {"tune", PV_OPT_STR, &ca.tune, "off|on|again", "measured choices of kernels, as in protovox train"},
        {"precision", PV_OPT_STR, &ca.precision, "fp32|mixed", "as in protovox train"},
        {"train", PV_OPT_FLAG, &train, NULL, "only training steps"},
        {"infer", PV_OPT_FLAG, &infer, NULL, "only inference"},
        {"no-split", PV_OPT_FLAG, &no_split, NULL, "leave out the table by op"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_bench, opts, argc, argv, &code) != PV_PARSED)
        return code;
    ca.sets = (const char *const *)sets.v;
    ca.num_sets = sets.n;
    a.reps = (int)b.reps;
    a.train = train || !infer;
    a.infer = infer || !train;
    pv_dev *dev = NULL, *profiled = NULL;
    pv_json *result = NULL;
    if (!good_reps(b.reps) || !(a.config = pv_config_resolve(&ca)))
        goto done;
    if (!(dev = pv_open_device(&b.dev, NULL)))
        goto done;
    if (!no_split && !(profiled = pv_open_device(&b.dev, &(struct pv_dev_opts){.profile = true})))
        goto done;
    result = pv_bench_step_run(dev, profiled, &a);
done:
    code = finish(result, &b, "step", argc, argv);
    pv_dev_close(&profiled);
    pv_dev_close(&dev);
    pv_json_free(a.config);
    pv_strs_free(&sets);
    return code;
}

static int run_io(int argc, char **argv)
{
    struct bench_args b = {.reps = 20};
    struct pv_bench_io_args a = {.size = {176, 144, 88}, .patch = {112, 112, 80}, .seconds = 2};
    int64_t batch = 4, threads = 0;
    const struct pv_opt opts[] = {
        {"data", PV_OPT_STR, &a.data, "DIR", "data set to read (default: phantoms, made and removed)"},
        {"size", PV_OPT_SHAPE, a.size, "XxYxZ", "size of the phantoms (default 176x144x88)"},
        {"patch", PV_OPT_SHAPE, a.patch, "XxYxZ", "size of the patches (default 112x112x80)"},
        {"batch", PV_OPT_INT, &batch, "N", "samples of the loader's batches (default 4)"},
        {"threads", PV_OPT_INT, &threads, "N", "the loader's threads at most (default: one per processor)"},
        {"work", PV_OPT_STR, &a.work, "DIR", "folder for the files that are written and removed (default: here)"},
        {"reps", PV_OPT_INT, &b.reps, "N", "timed repetitions"},
        {"seconds", PV_OPT_NUM, &a.seconds, "S", "at most about so long per row (default 2)"},
        {"out", PV_OPT_STR, &b.out, "F.json", "write the result there"},
        {"json", PV_OPT_FLAG, &b.json, NULL, "print JSON instead of tables"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_bench, opts, argc, argv, &code) != PV_PARSED)
        return code;
    if (!good_reps(b.reps))
        return pv_exit_code();
    int least = pv_min(a.size[0], pv_min(a.size[1], a.size[2]));
    if (batch < 1 || batch > 1024 || threads < 0 || threads > 1024 || least < 16) {
        pv_fail(PV_FAULT_USAGE, "--batch takes 1 to 1024, --threads up to 1024, --size sides of at least 16");
        return pv_exit_code();
    }
    a.reps = (int)b.reps;
    a.batch = (int)batch;
    a.threads = (int)threads;
    return finish(pv_bench_io_run(&a), &b, "io", argc, argv);
}

/* A.json B.json ... first, then options. NAME=FILE gives a side its name. */
static int run_compare(int argc, char **argv)
{
    const char *svg = NULL, *markdown = NULL, *out = NULL;
    bool json = false;
    const struct pv_opt opts[] = {
        {"svg", PV_OPT_STR, &svg, "F.svg", "write a chart of the ratios there"},
        {"markdown", PV_OPT_STR, &markdown, "F.md", "write the table there"},
        {"out", PV_OPT_STR, &out, "F.json", "write the comparison there"},
        {"json", PV_OPT_FLAG, &json, NULL, "print JSON instead of the table"},
        {0}};
    int code, n = 0;
    while (n < argc && !pv_starts(argv[n], "-"))
        n++;
    if (pv_parse_opts(&pv_cmd_bench, opts, argc - n, argv + n, &code) != PV_PARSED)
        return code;
    if (n == 0) {
        pv_fail(PV_FAULT_USAGE, "bench compare takes files of results, before any option: bench compare A.json B.json "
                "--svg chart.svg");
        return PV_FAULT_USAGE;
    }
    struct pv_sides sides = {0};
    pv_json *c = NULL;
    bool ok = true;
    for (int i = 0; i < n && ok; i++) {
        char *eq = pv_file_exists(argv[i]) ? NULL : strchr(argv[i], '=');
        char *name = eq ? pv_asprintf("%.*s", (int)(eq - argv[i]), argv[i]) : NULL;
        ok = pv_sides_read(&sides, eq ? eq + 1 : argv[i], name);
        pv_free(name);
    }
    ok = ok && (c = pv_compare(&sides));
    if (ok && json) {
        char *text = pv_json_text(c, true);
        printf("%s\n", text);
        pv_free(text);
    } else if (ok) {
        pv_compare_print(c);
    }
    ok = ok && (!out || pv_json_write(out, c)) && (!svg || pv_compare_svg(c, svg)) &&
         (!markdown || pv_compare_markdown(c, markdown));
    pv_json_free(c);
    pv_sides_free(&sides);
    return ok ? 0 : pv_exit_code();
}

static int run(int argc, char **argv)
{
    if (argc > 0 && pv_streq(argv[0], "ops"))
        return run_ops(argc - 1, argv + 1);
    if (argc > 0 && pv_streq(argv[0], "step"))
        return run_step(argc - 1, argv + 1);
    if (argc > 0 && pv_streq(argv[0], "io"))
        return run_io(argc - 1, argv + 1);
    if (argc > 0 && pv_streq(argv[0], "compare"))
        return run_compare(argc - 1, argv + 1);
    if (argc > 0 && (pv_streq(argv[0], "--help") || pv_streq(argv[0], "-h"))) {
        int code;
        const struct pv_opt none[] = {{0}};
        pv_parse_opts(&pv_cmd_bench, none, argc, argv, &code);
        return code;
    }
    pv_fail(PV_FAULT_USAGE, "bench takes one of ops, step, io, compare; see protovox bench --help");
    return PV_FAULT_USAGE;
}

const struct pv_command pv_cmd_bench = {"bench", "measure ops, training steps and reading; compare results",
    "  protovox bench ops --device opencl:0\n  protovox bench ops --shapes peers --op conv --impl direct\n"
    "  protovox bench step --net vnet --patch 112x112x80 --batch 1 --out step.json\n"
    "  protovox bench step --method mt --batch 2 --train\n"
    "  protovox bench io --data DIR\n"
    "  protovox bench compare ours.json cudnn=theirs.json --svg chart.svg --markdown table.md\n"
    "(options of each: protovox bench ops --help, and so on)", run};
