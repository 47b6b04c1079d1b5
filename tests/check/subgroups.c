/* SPDX-License-Identifier: Apache-2.0
 * Reductions with sub-groups give the bits of those without: cases of every op are run in both forms, and
 * whatever is read from the device must be the same. On Vulkan every shader that exists in a second form must have
 * run.
 *
 *     subgroups DEVICE [SIZE] [--class simt]
 *
 * Skipped where the device has no sub-groups, or not of SIZE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/hash.h"
#include "check/check.h"
#include "dev/dev_impl.h"
#include "pv_config.h"

enum { CASES = 4, MOST = 64 };
static const struct pv_backend *true_backend;
static struct pv_backend hooked;
static uint64_t digest, bytes_read;
static char *ran[MOST];
static int num_ran;

static void read_hook(pv_dev *dev, struct pv_mem *m, uint64_t off, void *dst, size_t bytes)
{
    true_backend->read(dev, m, off, dst, bytes);
    digest = pv_hash(digest, dst, bytes);
    bytes_read += bytes;
}

static void run_hook(pv_dev *dev, const struct pv_resolved *r)
{
    char *name = pv_asprintf("%s__%s__sub", r->k->file, r->k->entry);
    int i = 0;
    while (i < num_ran && !pv_streq(ran[i], name))
        i++;
    if (i == num_ran && num_ran < MOST && pv_kernel_there("spv", name))
        ran[num_ran++] = name;
    else
        pv_free(name);
    true_backend->run(dev, r);
}

static pv_dev *open_device(const char *name, const char *cls, bool with)
{
    struct pv_dev_opts how = {.force_class = cls, .poison = true, .lower.subgroup = with ? 0 : 1};
    pv_dev *dev = pv_dev_open(name, &how);
    if (!dev)
        exit(1);
    true_backend = dev->be;
    hooked = *dev->be;
    hooked.read = read_hook;
    hooked.run = run_hook;
    dev->be = &hooked;
    return dev;
}

/* What one case reads, in few bits. */
static bool run_one(pv_dev *dev, const struct pv_check_op *op, int number, uint64_t *out)
{
    const struct pv_check_op *const ops[] = {op, NULL};
    const struct pv_check_family one[] = {{"one", ops}, {NULL, NULL}};
    const struct pv_check_opts how = {.families = one, .cases = number + 1, .only_case = number, .seed = 31,
                                      .impl = op->impls ? op->impls[0] : NULL};
    digest = PV_HASH_START;
    bool ok = pv_check_run(dev, &how).failed == 0 && !pv_dev_failed(dev);
    *out = digest;
    return ok;
}

static int missing_forms(void)
{
    int missing = 0;
#if PV_HAVE_VULKAN
    extern const struct pv_embedded pv_embedded_spv[];
    for (const struct pv_embedded *e = pv_embedded_spv; e->name; e++) {
        const char *end = strstr(e->name, "__sub");
        bool found = !end || end[5];
        for (int i = 0; i < num_ran; i++)
            found = found || pv_streq(ran[i], e->name);
        if (!found)
            printf("%s never ran\n", e->name);
        missing += !found;
    }
#endif
    return missing;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL, *cls = NULL;
    int size = argc > 2 && argv[2][0] != '-' ? atoi(argv[2]) : 0;
    if (!name)
        return 2;
    for (int i = 2; i + 1 < argc; i++)
        if (pv_streq(argv[i], "--class"))
            cls = argv[i + 1];
    pv_log_level_set(PV_LOG_ERROR);
    pv_dev *dev[2] = {open_device(name, cls, false), open_device(name, cls, true)};
    int wrong = 0, compared = 0;
    for (int f = 0; pv_check_families[f].name; f++)
        for (int i = 0; pv_check_families[f].ops[i]; i++) {
            const struct pv_check_op *op = pv_check_families[f].ops[i];
            for (int c = 0; c < CASES; c++, compared++) {
                uint64_t got[2];
                bool ok = run_one(dev[0], op, c, &got[0]) && run_one(dev[1], op, c, &got[1]);
                if (ok && got[0] == got[1])
                    continue;
                wrong++;
                printf("%s case %d: %s\n", op->name, c, ok ? "other bits with sub-groups" : "fails");
            }
        }
    const int without = dev[0]->subgroup, with = dev[1]->subgroup;
    for (int i = 0; i < 2; i++) {
        dev[i]->be = true_backend;
        pv_dev_close(&dev[i]);
    }
    if (without) {
        printf("a limit does not forbid sub-groups\n");
        return 1;
    }
    if (with == 0 || (size && with != size)) {
        printf("sub-groups of %d, not of %d\n", with, size);
        return 77;
    }
    if (pv_starts(name, "vulkan"))
        wrong += missing_forms();
    printf("sub-groups of %d: %d cases, %d wrong, %llu bytes read\n", with, compared, wrong,
           (unsigned long long)bytes_read);
    return wrong > 0 || bytes_read == 0;
}
