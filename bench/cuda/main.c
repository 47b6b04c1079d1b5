/* SPDX-License-Identifier: Apache-2.0
 * The same ops and the same training step as `protovox bench`, on cuDNN, cuBLAS and hand-written CUDA; results are of
 * the same form (docs/bench.md). Without a GPU it writes a result that says so and ends with 0. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cu.h"
#include "platform/platform.h"

extern const struct pv_command cuda_command;
static int run(int argc, char **argv);
const struct pv_command cuda_command = {"bench_cuda", "ops and a training step on cuDNN and cuBLAS",
    "  bench_cuda ops [--shapes vnet] [--precision fp32|tf32|half] --out F.json\n"
    "  bench_cuda step [--patch 112x112x80] [--batch 1] --out F.json\n  bench_cuda check", run};

static bool save(const char *path, const pv_json *o)
{
    return !path || pv_json_write(path, o);
}

static int skip(const char *kind, const char *why, struct cu *c, const char *out)
{
    pv_json *o = cu_result(c, kind, false);
    pv_json_set_str(o, "skipped", why);
    printf("skipped: %s\n", why);
    bool ok = save(out, o);
    pv_json_free(o);
    return ok ? 0 : pv_exit_code();
}

static int run(int argc, char **argv)
{
    const char *precision = "fp32", *out = NULL, *kind = argc > 0 ? argv[0] : "";
    bool nhwc = false, nchw = false, train = false, infer = false, json = false;
    int64_t reps = -1, batch = 1, filters = 16, classes = 2;
    struct pv_bench_ops_args oa = {.shapes = "vnet", .seconds = 1};
    struct cu_step_args sa = {.patch = {112, 112, 80}, .warmup = 3};
    const struct pv_opt opts[] = {
        {"precision", PV_OPT_STR, &precision, "NAME", "fp32 (without TF32; default), tf32, half"},
        {"channels-last", PV_OPT_FLAG, &nhwc, NULL, "feature maps with channels last (default for half)"},
        {"channels-first", PV_OPT_FLAG, &nchw, NULL, "feature maps with channels first (default for fp32, tf32)"},
        {"shapes", PV_OPT_STR, &oa.shapes, "NAME", "ops: list of shapes as in protovox bench ops"},
        {"op", PV_OPT_STR, &oa.op, "NAME", "ops: only this op"},
        {"impl", PV_OPT_STR, &oa.impl, "NAME", "ops: only cudnn, cublas or kernel"},
        {"phase", PV_OPT_STR, &oa.phase, "NAME", "ops: only fwd, bwd, \"bwd data\" or \"bwd weight\""},
        {"seconds", PV_OPT_NUM, &oa.seconds, "S", "ops: at most about so long per shape and direction (default 1)"},
        {"patch", PV_OPT_SHAPE, sa.patch, "XxYxZ", "step: patch size (default 112x112x80), multiples of 16"},
        {"batch", PV_OPT_INT, &batch, "N", "step: samples (default 1)"},
        {"filters", PV_OPT_INT, &filters, "N", "step: filters of the first level (default 16)"},
        {"classes", PV_OPT_INT, &classes, "N", "step: classes (default 2, at most 8)"},
        {"train", PV_OPT_FLAG, &train, NULL, "step: only training"},
        {"infer", PV_OPT_FLAG, &infer, NULL, "step: only inference"},
        {"reps", PV_OPT_INT, &reps, "N", "timed repetitions (ops 20, step 5)"},
        {"out", PV_OPT_STR, &out, "F.json", "write the result there"},
        {"json", PV_OPT_FLAG, &json, NULL, "print JSON instead of tables"},
        {0}};
    bool ops = pv_streq(kind, "ops"), check = pv_streq(kind, "check"), step = pv_streq(kind, "step");
    int code, named = ops || step || check;
    if (pv_parse_opts(&cuda_command, opts, argc - named, argv + named, &code) != PV_PARSED)
        return code;
    enum cu_precision p = pv_streq(precision, "half") ? CU_HALF : pv_streq(precision, "tf32") ? CU_TF32 : CU_FP32;
    bool sides = true;
    for (int i = 0; i < 3; i++)
        sides = sides && sa.patch[i] % 16 == 0 && sa.patch[i] > 0;
    if (!named)
        return pv_fail(PV_FAULT_USAGE, "bench_cuda takes one of ops, step, check"), PV_FAULT_USAGE;
    if (p == CU_FP32 && !pv_streq(precision, "fp32"))
        return pv_fail(PV_FAULT_USAGE, "--precision takes fp32, tf32 or half, not '%s'", precision), PV_FAULT_USAGE;
    if (!sides || batch < 1 || batch > 64 || filters < 1 || filters > 256 || classes < 2 || classes > K_CLASSES)
        return pv_fail(PV_FAULT_USAGE, "--patch takes multiples of 16, --batch 1 to 64, --filters 1 to 256, --classes "
                       "2 to %d", K_CLASSES), PV_FAULT_USAGE;
    if (reps == 0 || reps < -1 || reps > 256)
        return pv_fail(PV_FAULT_USAGE, "--reps takes 1 to 256"), PV_FAULT_USAGE;
    if (p == CU_FP32)
        pv_setenv("NVIDIA_TF32_OVERRIDE", "0");     /* no library may round inputs */
    struct cu c;
    char *why;
    bool open = cu_open(&c, p, nhwc || (p == CU_HALF && !nchw), &why);
    if (!open) {
        code = why ? skip(check ? "check" : kind, why, &c, out) : pv_exit_code();
        pv_free(why);
        cu_close(&c);
        return code;
    }
    oa.reps = reps > 0 ? (int)reps : 20;
    sa.reps = reps > 0 ? (int)reps : 5;
    sa.batch = (int)batch;
    sa.filters = (int)filters;
    sa.classes = (int)classes;
    sa.train = train || !infer;
    sa.infer = infer || !train;
    pv_json *checked = pv_json_object(), *o = NULL;
    if (cu_check(&c, checked) && !check)            /* nothing wrong is timed */
        o = ops ? cu_bench_ops(&c, &oa) : cu_bench_step(&c, &sa);
    bool ok = check ? pv_fault_kind() == PV_FAULT_NONE : o != NULL;
    if (ok && check)
        o = cu_result(&c, "check", false);
    if (ok) {
        pv_json_set(o, "checked", checked);
        struct pv_str cmd = {0};
        pv_str_add(&cmd, "bench_cuda");
        for (int i = 0; i < argc; i++)
            pv_str_addf(&cmd, " %s", argv[i]);
        pv_json_set_str(o, "command", cmd.text);
        pv_str_free(&cmd);
        char *text = json || check ? pv_json_text(o, true) : NULL;
        if (text)
            printf("%s\n", text);
        else
            pv_bench_print(o);
        pv_free(text);
        ok = save(out, o);
    } else {
        pv_json_free(checked);
    }
    pv_json_free(o);
    cu_close(&c);
    return ok ? 0 : pv_exit_code();
}

int main(int argc, char **argv)
{
    pv_main_args(&argc, &argv);
    return run(argc - 1, argv + 1);
}
