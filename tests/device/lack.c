/* SPDX-License-Identifier: Apache-2.0
 * lack DEVICE: every method's steps on a device that does no work and has ever less memory. Each allocation is refused
 * once or more often; the step must end, without a crash, as a training that does not fit. */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "dev/dev.h"
#include "method/method.h"
#include "train/config.h"
#include "train/memory.h"

enum { LEVELS = 128 };

static int failures, planned;

/* option: a setting, or NULL. */
static void training(const struct pv_dev_info *dev, const char *name, const char *preset, const char *option)
{
    const char *const sets[] = {"net.filters=4", option};
    struct pv_config_args a = {.method = name, .preset = preset, .labeled = -1, .iters = -1, .batch = -1, .seed = -1,
                               .sets = sets, .num_sets = option ? 2 : 1};
    pv_json *config = pv_config_resolve(&a);
    uint64_t peak = 0, at;
    char *why = NULL;
    if (!config) {
        failures++;
    } else if (!pv_train_memory(dev, config, UINT64_MAX, &peak, &why)) {
        printf("%s at %s %s: %s\n", name, preset, option ? option : "", why ? why : "no reason");
        failures += !why || (!option && strcmp(preset, "tiny") == 0);   /* not everything goes with everything */
    } else {
        planned++;
        for (int i = 0; i < LEVELS; i++) {
            bool fits = pv_train_memory(dev, config, peak * (uint64_t)i / LEVELS, &at, NULL);
            if (fits && i < LEVELS * 15 / 16) {     /* near the peak the pool does without its leftovers */
                printf("%s at %s %s: fits into %d/%d of its peak\n", name, preset, option ? option : "", i, LEVELS);
                failures++;
                break;
            }
        }
    }
    fflush(stdout);
    pv_free(why);
    pv_json_free(config);
}

static void method(const struct pv_dev_info *dev, const struct pv_method *m)
{
    training(dev, m->name, "tiny", NULL);
    training(dev, m->name, "acdc", NULL);
    training(dev, m->name, "tiny", "precision.mode=\"mixed\"");
    for (const struct pv_method_opt *o = m->opts; o && o->name; o++) {
        struct pv_strs words = {0};
        if (o->text_def && o->words)
            pv_strs_split(&words, o->words, ", ");
        for (size_t i = 0; i < words.n; i++) {
            char option[96];
            snprintf(option, sizeof option, "method_options.%s=%s", o->name, words.v[i]);
            if (strcmp(words.v[i], o->text_def) != 0)
                training(dev, m->name, "tiny", option);
        }
        pv_strs_free(&words);
    }
}

/* What docs/performance.md says of a full-size V-Net's memory, with some air. */
static void full_size(const struct pv_dev_info *dev, const char *method, int fat, int simt)
{
    struct pv_config_args a = {.method = method, .preset = "la", .labeled = -1, .iters = -1, .batch = -1, .seed = -1};
    pv_json *config = pv_config_resolve(&a);
    uint64_t peak = 0;
    bool ok = config && pv_train_memory(dev, config, UINT64_MAX, &peak, NULL);
    int mib = (int)(peak >> 20), most = dev->cls == PV_FAT ? fat : simt;
    printf("%s at la: %d MiB, at most %d\n", method, mib, most);
    failures += !ok || mib > most;
    pv_json_free(config);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    pv_dev *dev = pv_dev_open(argv[1], NULL);
    if (!dev)
        return 1;
    for (int i = 0; pv_methods[i]; i++)
        method(pv_dev_get_info(dev), pv_methods[i]);
    full_size(pv_dev_get_info(dev), "sup", 1000, 990);
    full_size(pv_dev_get_info(dev), "mfcons", 3180, 3090);
    pv_dev_close(&dev);
    printf("%d trainings, %d failures\n", planned, failures);
    return failures != 0 || planned < 40;
}
