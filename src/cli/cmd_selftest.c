/* SPDX-License-Identifier: Apache-2.0
 * protovox selftest: every kernel on a device against the plain C reference. */
#include <stdio.h>

#include "check/check.h"
#include "cli/cli.h"

static void row(void *user, const char *op, const char *impl, int passed, int failed, double worst, double s)
{
    printf("%-22s %-12s %4d passed %4d failed   worst error %.1e   %6.2f s\n", op, impl ? impl : "", passed, failed,
           worst, s);
    fflush(stdout);
}

static void list_all(void)
{
    for (int f = 0; pv_check_families[f].name; f++) {
        printf("%s:", pv_check_families[f].name);
        for (int i = 0; pv_check_families[f].ops[i]; i++)
            printf(" %s", pv_check_families[f].ops[i]->name);
        printf("\n");
    }
}

extern const struct pv_command pv_cmd_selftest;

static int run(int argc, char **argv)
{
    struct pv_dev_args dev_args = {0};
    const char *op = NULL, *family = NULL, *impl = NULL;
    bool small = false, list = false, plain = false;
    int64_t cases = 8, only = -1, seed = 1;
    const struct pv_opt opts[] = {
        PV_DEVICE_OPTS(dev_args),
        {"op", PV_OPT_STR, &op, "NAME", "only ops whose name contains NAME"},
        {"family", PV_OPT_STR, &family, "NAME", "only ops of this family (--list)"},
        {"impl", PV_OPT_STR, &impl, "NAME", "only this implementation of ops that have several"},
        {"small", PV_OPT_FLAG, &small, NULL, "few voxels and channels, for slow checkers of races and bounds"},
        {"no-guard", PV_OPT_FLAG, &plain, NULL, "no guard zones, no NaN in new memory: longer batches"},
        {"list", PV_OPT_FLAG, &list, NULL, "print families and their ops"},
        {"cases", PV_OPT_INT, &cases, "N", "cases per op (default 8)"},
        {"case", PV_OPT_INT, &only, "N", "only this case"},
        {"seed", PV_OPT_INT, &seed, "N", "seed of the random cases (default 1)"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_selftest, opts, argc, argv, &code) != PV_PARSED)
        return code;
    if (list) {
        list_all();
        return 0;
    }
    pv_dev *dev = pv_open_device(&dev_args, &(struct pv_dev_opts){.guard = !plain, .poison = !plain});
    if (!dev)
        return pv_exit_code();
    const struct pv_dev_info *info = pv_dev_get_info(dev);
    bool ref = info->cls == PV_REF;
    printf("%s: %s, %s, driver %s\n%s\n", info->id, info->name, info->api, info->driver,
           ref ? "references against central differences" : "kernels against the plain C reference in double");
    struct pv_check_opts o = {.op = op, .family = family, .impl = impl, .small = small,
                              .cases = (int)(only >= cases ? only + 1 : cases), .only_case = (int)only,
                              .seed = (uint64_t)seed, .finite_differences = ref, .row = row};
    struct pv_check_result r = pv_check_run(dev, &o);
    bool failed = r.failed > 0 || pv_dev_failed(dev);
    pv_fault_clear();
    pv_dev_close(&dev);
    failed = failed || pv_fault_kind() != PV_FAULT_NONE;    /* what a validation layer says at the end */
    printf("%d passed, %d failed\n", r.passed, r.failed);
    if (r.passed + r.failed == 0) {
        if (impl)
            pv_fail(PV_FAULT_USAGE, "nothing to check: no such op has an implementation named '%s' on this device "
                    "(PV_DEBUG=ops says why)", impl);
        else
            pv_fail(PV_FAULT_USAGE, "no op is named like '%s'%s%s; `protovox selftest --list` names them", op ? op : "",
                    family ? " in a family named " : "", family ? family : "");
        return PV_FAULT_USAGE;
    }
    return failed ? PV_FAULT_DEVICE : 0;
}

const struct pv_command pv_cmd_selftest = {"selftest", "check every kernel of a device against the reference",
    "  protovox selftest --device opencl:0\n  protovox selftest --device vulkan:0 --op conv --cases 20\n"
    "  protovox selftest --device ref:0        (the references themselves, by central differences)", run};
