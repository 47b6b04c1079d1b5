/* SPDX-License-Identifier: Apache-2.0
 * protovox loss: one named loss on given tensors, forward and gradients. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "method/named.h"

extern const struct pv_command pv_cmd_loss;

static void describe(const struct pv_named_loss *l)
{
    printf("%s\n    %s\n", l->name, l->summary);
    for (const struct pv_named_arg *a = l->args; a->name; a++)
        printf("    in.%-16s %-26s %s%s%s\n", a->name, a->shape, a->help, a->optional ? " (may be left out)" : "",
               a->grad ? "; gradient" : "");
    for (const struct pv_named_opt *o = l->opts; o && o->name; o++)
        if (o->text_def)
            printf("    %-19s %-26s %s\n", o->name, o->text_def, o->help);
        else
            printf("    %-19s %-26g %s\n", o->name, o->def, o->help);
}

static int list(const char *name)
{
    if (name) {
        const struct pv_named_loss *l = pv_named_find(name);
        if (!l)
            return pv_exit_code();
        describe(l);
        return 0;
    }
    for (int k = 0; pv_named_lists[k]; k++)
        for (int i = 0; pv_named_lists[k][i]; i++)
            describe(pv_named_lists[k][i]);
    return 0;
}

static bool evaluate(pv_dev *dev, const struct pv_named_loss *l, const char *in, const char *out,
                     const struct pv_strs *sets)
{
    pv_st_file *f = pv_st_open(in);
    struct pv_strs cases = {0};
    if (!f)
        return false;
    pv_named_cases(f, &cases);
    bool ok = cases.n > 0 || pv_fail(PV_FAULT_INPUT, "%s holds no tensor named in.NAME; protovox loss %s --list tells "
                                     "what it needs", in, l->name);
    pv_st_writer *w = pv_st_writer_new();
    struct pv_named_result *r = pv_array(struct pv_named_result, cases.n + 1);
    pv_st_meta_set(w, "loss", l->name);
    for (size_t i = 0; ok && i < cases.n; i++) {
        ok = pv_named_run(dev, l, f, cases.v[i], sets, &r[i]);
        for (int k = 0; ok && k < r[i].n; k++) {
            struct pv_named_value *v = &r[i].v[k];
            char *name = pv_asprintf("%s%s", cases.v[i], v->name);
            pv_st_put(w, name, PV_ST_F64, v->ndim, v->shape, v->v);
            if (v->ndim == 1 && v->shape[0] == 1)
                printf("%s = %.9g\n", name, v->v[0]);
            pv_free(name);
        }
    }
    ok = ok && (!out || pv_st_write(w, out));
    for (size_t i = 0; i < cases.n; i++)
        pv_named_result_free(&r[i]);
    pv_free(r);
    pv_st_writer_free(&w);
    pv_strs_free(&cases);
    pv_st_close(&f);
    return ok;
}

static int run(int argc, char **argv)
{
    struct pv_dev_args dev_args = {0};
    const char *in = NULL, *out = NULL, *name = NULL;
    struct pv_strs sets = {0};
    bool want_list = false;
    const struct pv_opt opts[] = {
        {"in", PV_OPT_STR, &in, "F", "safetensors file with in.NAME for every input"},
        {"out", PV_OPT_STR, &out, "F", "safetensors file for out.NAME and grad.NAME (float64)"},
        {"set", PV_OPT_LIST, &sets, "A=B", "option of the loss; may be repeated"},
        PV_DEVICE_OPTS(dev_args),
        {"list", PV_OPT_FLAG, &want_list, NULL, "describe the loss, or all"},
        {0}};
    if (argc > 0 && !pv_starts(argv[0], "-")) {
        name = argv[0];
        argc--;
        argv++;
    }
    int code;
    if (pv_parse_opts(&pv_cmd_loss, opts, argc, argv, &code) != PV_PARSED)
        return code;
    if (want_list)
        return list(name);
    if (!name || !in) {
        pv_fail(PV_FAULT_USAGE, "loss needs a NAME and --in; see protovox loss --help and --list");
        return pv_exit_code();
    }
    const struct pv_named_loss *l = pv_named_find(name);
    pv_dev *dev = l ? pv_open_device(&dev_args, NULL) : NULL;
    bool ok = dev && evaluate(dev, l, in, out, &sets);
    pv_dev_close(&dev);
    pv_strs_free(&sets);
    return ok ? 0 : pv_exit_code();
}

const struct pv_command pv_cmd_loss = {"loss", "evaluate a named loss on given tensors, with gradients",
    "  protovox loss --list\n  protovox loss mt.consistency --list\n"
    "  protovox loss supervised --in a.safetensors --out b.safetensors --set dice=lin --device vulkan:0", run};
