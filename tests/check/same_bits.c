/* SPDX-License-Identifier: Apache-2.0
 * What must not change a bit: cases of every op are run in two ways, and whatever is read from the device must be the
 * same.
 *
 *     same_bits DEVICE SIZE [--class simt]
 *     same_bits DEVICE pieces [--class simt] [--op NAME]
 *
 * SIZE: reductions with sub-groups of this size and without; on Vulkan every shader that exists in a second form must
 * have run. Skipped where the device has no such sub-groups. pieces: launches whole and in pieces (limits.max_work),
 * which must be more; every implementation of the convolutions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/embed.h"
#include "base/hash.h"
#include "check/check.h"
#include "dev/dev_impl.h"
#include "pv_config.h"

enum { CASES = 4, CASES_IN_PIECES = 2, MOST = 64 };
static const struct pv_backend *true_backend;
static struct pv_backend hooked;
enum { PIECE = 50000 };             /* operations */
static uint64_t digest, bytes_read, runs;
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
    runs++;
    true_backend->run(dev, r);
}

static pv_dev *open_device(const char *name, const char *cls, bool pieces, bool second)
{
    struct pv_dev_opts how = {.force_class = cls, .poison = true};
    how.lower.subgroup = pieces || second ? 0 : 1;
    how.lower.max_work = pieces && second ? PIECE : 0;
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
static bool run_one(pv_dev *dev, const struct pv_check_op *op, const char *impl, int number, uint64_t *out)
{
    const struct pv_check_op *const ops[] = {op, NULL};
    const struct pv_check_family one[] = {{"one", ops}, {NULL, NULL}};
    const struct pv_check_opts how = {.families = one, .cases = number + 1, .only_case = number, .seed = 31,
                                      .impl = impl};
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

/* Number of cases that differ. */
static int compare(pv_dev *const dev[2], const struct pv_check_op *op, const char *impl, int cases, uint64_t count[2])
{
    int wrong = 0;
    for (int c = 0; c < cases; c++) {
        uint64_t got[2];
        bool ok = true;
        for (int i = 0; i < 2; i++) {
            runs = 0;
            ok = ok && run_one(dev[i], op, impl, c, &got[i]);
            count[i] += runs;
        }
        if (ok && got[0] == got[1])
            continue;
        wrong++;
        printf("%s case %d%s%s: %s\n", op->name, c, impl ? " by " : "", impl ? impl : "", ok ? "other bits" : "fails");
    }
    return wrong;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const char *name = argv[1], *cls = NULL, *only = NULL;
    const bool pieces = pv_streq(argv[2], "pieces");
    const int size = pieces ? 0 : atoi(argv[2]);
    for (int i = 3; i + 1 < argc; i++)
        if (pv_streq(argv[i], "--class"))
            cls = argv[i + 1];
        else if (pv_streq(argv[i], "--op"))
            only = argv[i + 1];
    pv_log_level_set(PV_LOG_ERROR);
    pv_dev *dev[2] = {open_device(name, cls, pieces, false), open_device(name, cls, pieces, true)};
    int wrong = 0;
    uint64_t count[2] = {0, 0};
    for (int f = 0; pv_check_families[f].name; f++)
        for (int i = 0; pv_check_families[f].ops[i]; i++) {
            const struct pv_check_op *op = pv_check_families[f].ops[i];
            const char *const none[] = {NULL, NULL}, *const *impls = op->impls ? op->impls : none;
            if ((pieces && !pv_streq(pv_check_families[f].name, "conv")) || (only && !pv_streq(only, op->name)))
                continue;
            for (int k = 0; k == 0 || (pieces && impls[k]); k++)
                if (!impls[k] || !op->has || op->has(dev[0], impls[k]))
                    wrong += compare(dev, op, impls[k], pieces ? CASES_IN_PIECES : CASES, count);
        }
    const int without = dev[0]->subgroup, with = dev[1]->subgroup;
    for (int i = 0; i < 2; i++) {
        dev[i]->be = true_backend;
        pv_dev_close(&dev[i]);
    }
    printf("%llu and %llu launches, %llu bytes read, %d cases differ\n", (unsigned long long)count[0],
           (unsigned long long)count[1], (unsigned long long)bytes_read, wrong);
    if (wrong || !bytes_read || (pieces && count[1] <= count[0]))
        return 1;
    if (pieces)
        return 0;
    if (without) {
        printf("a limit does not forbid sub-groups\n");
        return 1;
    }
    if (with == 0 || with != size) {
        printf("sub-groups of %d, not of %d\n", with, size);
        return 77;
    }
    return pv_starts(name, "vulkan") && missing_forms() > 0;
}
