/* SPDX-License-Identifier: Apache-2.0
 * Every kernel matters: all cases are run once to see which kernels they launch; then, for each kernel, cases are run
 * with one of its launches left out until the checker notices. A kernel whose absence is never noticed, or that is
 * part of the program but never launched, is checked by nothing.
 *
 *     launches DEVICE [--class fat|simt] [--family NAME]
 *
 * Cases are run again with bindings of 64 KiB, because some kernels only join what was split. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "check/check.h"
#include "dev/dev_impl.h"
#include "ops/conv.h"
#include "platform/platform.h"
#include "pv_config.h"

enum { MAX_KERNELS = 256, CASES = 8 };
static struct seen { const char *file, *entry; int now, launched, tried; bool noticed; } seen[MAX_KERNELS];
static int num_seen;

static const struct pv_backend *true_backend;
static struct pv_backend hooked;
static int leave_out = -1, which;   /* index in seen, and which of its launches */

static int index_of(const struct pv_kernel *k)
{
    for (int i = 0; i < num_seen; i++)
        if (pv_streq(seen[i].file, k->file) && pv_streq(seen[i].entry, k->entry))
            return i;
    if (num_seen == MAX_KERNELS) {
        printf("more than %d kernels\n", MAX_KERNELS);
        exit(1);
    }
    seen[num_seen] = (struct seen){.file = k->file, .entry = k->entry};
    return num_seen++;
}

static void run(pv_dev *dev, const struct pv_resolved *r)
{
    struct seen *s = &seen[index_of(r->k)];
    s->launched++;
    if (s->now++ == which && s - seen == leave_out)
        return;
    true_backend->run(dev, r);
}

struct options { const char *device, *cls, *family; uint64_t binding; };

static pv_dev *open_device(const struct options *o)
{
    struct pv_dev_opts how = {.force_class = o->cls, .guard = true, .poison = true, .lower.max_binding = o->binding};
    pv_dev *dev = pv_dev_open(o->device, &how);
    if (!dev)
        exit(1);
    true_backend = dev->be;
    hooked = *dev->be;
    hooked.run = run;
    dev->be = &hooked;
    return dev;
}

static void close_device(pv_dev **dev)
{
    (*dev)->be = true_backend;
    pv_dev_close(dev);
}

static bool case_passes(pv_dev *dev, const struct pv_check_op *op, int number)
{
    const struct pv_check_op *const ops[] = {op, NULL};
    const struct pv_check_family one[] = {{"one", ops}, {NULL, NULL}};
    const struct pv_check_opts how = {.families = one, .cases = number + 1, .only_case = number, .seed = 1};
    for (int i = 0; i < num_seen; i++)
        seen[i].now = 0;
    return pv_check_run(dev, &how).failed == 0 && !pv_dev_failed(dev);
}

/* Leaves out the last launch that the case needs of each of its kernels that nobody missed yet; false: the case fails
 * by itself. */
static bool try_case(const struct options *o, pv_dev **dev, const struct pv_check_op *op, int number)
{
    leave_out = -1;
    if (!case_passes(*dev, op, number))
        return false;
    int counts[MAX_KERNELS];
    for (int i = 0; i < num_seen; i++)
        counts[i] = seen[i].now;
    for (int i = 0; i < num_seen; i++)
        for (int end = 0; end < 2 && counts[i] > end && !seen[i].noticed; end++) {
            leave_out = i;
            which = end ? 0 : counts[i] - 1;
            seen[i].tried++;
            pv_fail_quiet(true);
            seen[i].noticed = !case_passes(*dev, op, number);
            pv_fail_quiet(false);
            leave_out = -1;
            if (pv_dev_failed(*dev)) {
                close_device(dev);
                *dev = open_device(o);
            }
        }
    return true;
}

/* Number of cases that fail by themselves. */
static int all_cases(const struct options *o)
{
    int failed = 0;
    pv_dev *dev = open_device(o);
    for (int f = 0; pv_check_families[f].name; f++)
        for (int i = 0; pv_check_families[f].ops[i]; i++) {
            const struct pv_check_op *op = pv_check_families[f].ops[i];
            if (o->family && !pv_streq(o->family, pv_check_families[f].name))
                continue;
            for (int c = 0; c < pv_max(op->fixed, CASES); c++)
                if (!try_case(o, &dev, op, c)) {
                    printf("%s case %d fails with nothing left out\n", op->name, c);
                    failed++;
                }
        }
    close_device(&dev);
    return failed;
}

int main(int argc, char **argv)
{
    struct options o = {.device = argc > 1 ? argv[1] : NULL};
    int wrong = 0, noticed = 0;
    pv_log_level_set(PV_LOG_ERROR);
    for (int i = 2; i + 1 < argc; i += 2) {
        if (pv_streq(argv[i], "--class"))
            o.cls = argv[i + 1];
        if (pv_streq(argv[i], "--family"))
            o.family = argv[i + 1];
    }
    if (!o.device)
        return 2;
    wrong += all_cases(&o);
    o.binding = 65536;
    wrong += all_cases(&o);
    for (int i = 0; i < num_seen; i++) {
        noticed += seen[i].noticed;
        if (seen[i].noticed)
            continue;
        wrong++;
        printf("%s/%s: launched %d times, left out %d times, and nothing noticed\n", seen[i].file, seen[i].entry,
               seen[i].launched, seen[i].tried);
    }
#if PV_HAVE_VULKAN
    /* what belongs to implementations that the device does not have */
    static const struct { const char *impl, *file; } owned[] = {
        {"tile", "conv_tile"}, {"tile", "norm__norm_fold"}, {"tile", "conv_aux__chan_join"},
        {"gemm", "conv_gemm__"}, {"winog", "winog"}, {"coop", "conv_coop"}};
    bool has[PV_COUNT(owned)];
    pv_dev *dev = open_device(&o);
    for (size_t i = 0; i < PV_COUNT(owned); i++)
        has[i] = pv_conv_has(dev, owned[i].impl);
    close_device(&dev);
    extern const struct pv_embedded pv_embedded_spv[];
    for (int i = 0; pv_embedded_spv[i].name && !o.family; i++) {
        bool launched = pv_starts(pv_embedded_spv[i].name, "bench__");  /* measures the device, computes nothing */
        for (size_t k = 0; k < PV_COUNT(owned); k++)
            launched = launched || (!has[k] && pv_starts(pv_embedded_spv[i].name, owned[k].file));
        for (int j = 0; j < num_seen; j++) {
            char *name = pv_asprintf("%s__%s", seen[j].file, seen[j].entry);
            const size_t n = strlen(name);      /* in either form */
            launched = launched || (pv_starts(pv_embedded_spv[i].name, name) &&
                                    (!pv_embedded_spv[i].name[n] || pv_streq(pv_embedded_spv[i].name + n, "__sub")));
            pv_free(name);
        }
        if (!launched)
            printf("%s: never launched\n", pv_embedded_spv[i].name);
        wrong += !launched;
    }
#endif
    printf("%d of %d kernels are missed when they are left out\n", noticed, num_seen);
    return wrong > 0 || num_seen == 0;
}
