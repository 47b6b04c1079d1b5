/* SPDX-License-Identifier: Apache-2.0
 * Training through the library: a trainer (train/train.h) with its configuration. */
#include <string.h>

#include "api/api.h"
#include "train/config.h"
#include "train/train.h"

struct pv_training {
    pv_json *json;              /* the trainer borrows its texts */
    pv_trainer *trainer;
    enum pv_state state;
};

static const char *const keys[] = {"data", "out", "preset", "method", "net", "labeled", "iters", "batch", "seed",
    "patch", "lists", "init", "stop_after", "resume", "overwrite", "settings", NULL};

static bool check_types(const pv_json *j)
{
    static const char *const texts[] = {"data", "out", "preset", "method", "net", "lists", "init"};
    static const char *const numbers[] = {"labeled", "iters", "batch", "seed", "stop_after"};
    for (size_t i = 0; i < PV_COUNT(texts); i++)
        if (pv_json_get(j, texts[i]) && !pv_json_is_string(pv_json_get(j, texts[i])))
            return pv_fail(PV_FAULT_USAGE, "training: %s is a text", texts[i]);
    for (size_t i = 0; i < PV_COUNT(numbers); i++) {
        const pv_json *v = pv_json_get(j, numbers[i]);
        if (v && !(pv_json_number_value(v) >= 0 && pv_json_number_value(v) < 9e15))
            return pv_fail(PV_FAULT_USAGE, "training: %s is a whole number, not negative", numbers[i]);
    }
    const pv_json *s = pv_json_get(j, "settings");
    if (s && !pv_json_is_object(s))
        return pv_fail(PV_FAULT_USAGE, "training: settings is an object such as {\"optim\": {\"lr\": 0.005}}");
    if (!pv_json_get(j, "data") || !pv_json_get(j, "out"))
        return pv_fail(PV_FAULT_USAGE, "training needs \"data\" and \"out\"");
    if (pv_json_num(j, "iters", 1) < 1 || pv_json_num(j, "batch", 1) < 1)
        return pv_fail(PV_FAULT_USAGE, "training: iters and batch are at least 1");
    return true;
}

static bool resolve(const pv_json *j, pv_json **config)
{
    struct pv_config_args a = {.preset = pv_json_str(j, "preset", NULL), .method = pv_json_str(j, "method", NULL),
        .net = pv_json_str(j, "net", NULL), .init = pv_json_str(j, "init", NULL), .over = pv_json_get(j, "settings"),
        .labeled = (int64_t)pv_json_num(j, "labeled", -1), .iters = (int64_t)pv_json_num(j, "iters", -1),
        .batch = (int64_t)pv_json_num(j, "batch", -1), .seed = (int64_t)pv_json_num(j, "seed", -1)};
    *config = pv_api_shape(j, "patch", a.patch) ? pv_config_resolve(&a) : NULL;
    return *config != NULL;
}

pv_training *pv_training_open(pv_device *d, const char *json, pv_progress_function progress, void *user)
{
    pv_api_begin();
    pv_training *t = pv_new(pv_training);
    struct pv_train_args a = {.dev = d->dev, .quiet = true, .on_step = progress, .user = user};
    t->json = pv_api_config(json, "training", keys);
    if (t->json && check_types(t->json)) {
        const pv_json *j = t->json;
        a.data = pv_json_str(j, "data", NULL);
        a.out = pv_json_str(j, "out", NULL);
        a.lists = pv_json_str(j, "lists", NULL);
        a.resume = pv_json_flag(j, "resume", false);
        a.overwrite = pv_json_flag(j, "overwrite", false);
        a.stop_after = (int64_t)pv_json_num(j, "stop_after", 0);
        if (a.resume || resolve(j, &a.config))
            t->trainer = pv_trainer_open(&a);
    }
    if (!pv_api_end(t->trainer != NULL))
        pv_training_close(&t);
    return t;
}

enum pv_state pv_training_step(pv_training *t, int64_t steps)
{
    pv_api_begin();
    if (t->state == PV_DONE || t->state == PV_FAILED)
        return t->state;
    enum pv_train_state s = PV_TRAIN_MORE;
    for (int64_t i = 0; s == PV_TRAIN_MORE && (steps <= 0 || i < steps); i++)
        s = pv_trainer_step(t->trainer);
    static const enum pv_state states[] = {[PV_TRAIN_MORE] = PV_MORE, [PV_TRAIN_DONE] = PV_DONE,
        [PV_TRAIN_STOPPED] = PV_CANCELLED, [PV_TRAIN_FAILED] = PV_FAILED};
    t->state = states[s];
    pv_api_end(t->state != PV_FAILED);
    return t->state;
}

int64_t pv_training_done(const pv_training *t) { return pv_trainer_done(t->trainer); }
int64_t pv_training_total(const pv_training *t) { return pv_trainer_run(t->trainer)->iters; }

bool pv_training_value(const pv_training *t, const char *name, double *value, int64_t *step)
{
    return pv_trainer_value(t->trainer, name, value, step);
}

void pv_training_close(pv_training **tp)
{
    pv_training *t = *tp;
    if (!t)
        return;
    pv_trainer_close(&t->trainer);
    pv_json_free(t->json);
    pv_free(t);
    *tp = NULL;
}
