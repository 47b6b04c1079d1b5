/* SPDX-License-Identifier: Apache-2.0
 * memory.h. */
#include "train/memory.h"

#include <stdio.h>

#include "train/config.h"

/* A batch of the stage's make-up, as the trainer makes it. */
static bool batch(struct pv_run *r)
{
    int nl, nu;
    pv_run_batch_size(r, r->stage, &nl, &nu);
    struct pv_patches b = {.num_labeled = nl, .num_unlabeled = nu};
    b.image = pv_tensor_new(r->dev, pv_plain(r->net.dims, nl + nu, r->net.channels, r->net.patch), PV_F32);
    b.label = pv_tensor_new(r->dev, pv_plain(r->net.dims, nl + nu, 1, r->net.patch), PV_I32);
    if (b.image && b.label)
        r->method->step(r, &b);
    pv_tensor_put(&b.image);
    pv_tensor_put(&b.label);
    for (int i = 0; i < r->num_logs; i++)
        if (r->logs[i].ticket)
            pv_read_end(&r->logs[i].ticket, &(float){0});
    r->num_logs = 0;
    return !pv_dev_failed(r->dev);
}

static bool step(struct pv_run *r, int64_t iter)
{
    bool ok = pv_run_begin_step(r, iter);
    do
        ok = ok && batch(r);
    while (ok && pv_run_next_part(r));
    return ok;
}

/* Validation predicts some windows at a time. */
static bool windows(struct pv_run *r)
{
    const pv_json *ev = pv_json_get(r->config, "eval");
    if (pv_json_num(ev, "every", 0) <= 0)
        return true;
    bool was = r->tape->recording;
    r->tape->recording = false;
    pv_tensor *x = pv_tensor_new(r->dev, pv_plain(r->net.dims, (int)pv_json_num(ev, "batch", 4), r->net.channels,
                                                  r->net.patch), PV_F32);
    pv_tensor *p = x ? r->method->predict(r, x) : NULL;
    pv_tensor_put(&p);
    pv_tensor_put(&x);
    r->tape->recording = was;
    return !pv_dev_failed(r->dev);
}

static bool plan(pv_dev *dev, pv_json *config)
{
    struct pv_run *r = pv_run_new(dev, config, false);
    bool ok = r != NULL;
    for (int s = 0; ok && s < r->num_stages; s++) {
        int64_t first = r->stage_first[s], n = r->stage_first[s + 1] - first;
        const int64_t at[3] = {first, first + n / 2, first + n - 1};
        r->resumed = s > 0;     /* what a stage computes when it begins is not done here */
        for (int k = 0; ok && n > 0 && k < 3; k++)
            ok = step(r, at[k]);
    }
    ok = ok && windows(r);
    pv_run_free(&r);
    return ok && !pv_dev_failed(dev);
}

bool pv_train_memory(const struct pv_dev_info *dev, const pv_json *config, uint64_t memory, uint64_t *peak, char **why)
{
    const char *text = NULL;
    *peak = 0;
    if (why)
        *why = NULL;
    if (dev->cls == PV_REF)
        return true;
    pv_dev *counting = pv_dev_plan(dev, memory);
    pv_json *copy = pv_json_copy(config);
    bool quiet = pv_fail_quiet(true);
    bool ok = plan(counting, copy);
    *peak = pv_dev_mem(counting).peak;
    if (!ok && why && pv_fault_mine(&text) != PV_FAULT_NONE)
        *why = pv_strdup(text);
    pv_fault_clear();
    pv_fail_quiet(quiet);
    pv_json_free(copy);
    pv_dev_close(&counting);
    return ok;
}

/* ---- what would fit ---- */

static void try(struct pv_str *tips, const struct pv_dev_info *dev, pv_json *config, const char *option)
{
    uint64_t peak;
    if (pv_train_memory(dev, config, dev->limits.memory, &peak, NULL))
        pv_str_addf(tips, "%s%s (%.0f MiB)", tips->len ? ", " : "", option, (double)peak / 1048576);
    pv_json_free(config);
}

/* Half the batch down to one sample; the largest patch of the same form; half the filters. */
static char *tips(const struct pv_dev_info *dev, const pv_json *config)
{
    struct pv_str out = {0};
    const pv_json *train = pv_json_get(config, "train");
    int patch[3], filters = (int)pv_json_num(pv_json_get(config, "net"), "filters", 16);
    pv_config_patch(config, "train.patch", patch);
    for (int n = (int)pv_json_num(train, "labeled_batch", 2) / 2; n >= 1 && !out.len; n /= 2) {
        pv_json *c = pv_json_copy(config), *t = pv_json_get(c, "train");
        pv_json_set_num(t, "labeled_batch", n);
        if (pv_json_num(t, "unlabeled_batch", 0) > 0)
            pv_json_set_num(t, "unlabeled_batch", n);
        const int was = (int)pv_json_num(train, "labeled_batch", 2), parts = (int)pv_json_num(train, "accumulate", 1);
        char option[64];
        snprintf(option, sizeof option, "--batch %d", n);
        const int others = (int)pv_json_num(train, "unlabeled_batch", 0);
        /* as many samples per iteration as before */
        if (was % n == 0 && was / n * parts <= PV_MOST_PARTS && (others == was || others == 0)) {
            snprintf(option, sizeof option, "--batch %d --accumulate %d", n, was / n * parts);
            pv_json_set_num(t, "accumulate", was / n * parts);
        }
        try(&out, dev, c, option);
    }
    size_t before = out.len;
    for (int part = 7; part >= 1 && out.len == before; part--) {
        int p[3];
        for (int a = 0; a < 3; a++)
            p[a] = patch[a] == 1 ? 1 : pv_max(16, patch[a] * part / 8 / 16 * 16);
        if (p[0] >= patch[0] && p[1] >= patch[1] && p[2] >= patch[2])
            continue;
        pv_json *c = pv_json_copy(config);
        pv_config_set_shape(c, "train.patch", p);
        char option[64];
        snprintf(option, sizeof option, "--patch %dx%dx%d", p[0], p[1], p[2]);
        try(&out, dev, c, option);
    }
    before = out.len;
    for (int f = filters / 2; f >= 1 && out.len == before; f /= 2) {
        pv_json *c = pv_json_copy(config);
        pv_json_set_num(pv_json_get(c, "net"), "filters", f);
        char option[48];
        snprintf(option, sizeof option, "--set net.filters=%d", f);
        try(&out, dev, c, option);
    }
    return out.text;
}

bool pv_train_memory_check(const struct pv_dev_info *dev, const pv_json *config)
{
    uint64_t peak;
    if (pv_train_memory(dev, config, dev->limits.memory, &peak, NULL)) {
        if (peak)
            pv_info("at most %.0f MiB of device memory are needed, %s has %.0f MiB", (double)peak / 1048576, dev->id,
                    (double)dev->limits.memory / 1048576);
        return true;
    }
    if (!pv_train_memory(dev, config, UINT64_MAX, &peak, NULL) || peak < dev->limits.memory / 2)
        return true;        /* something else is wrong with it, which the training itself says */
    uint64_t need = peak, at;       /* what suffices with the pool's leftovers */
    while (!pv_train_memory(dev, config, need, &at, NULL) && need < 2 * peak)
        need += peak / 32 + 1;
    char *t = tips(dev, config);
    pv_fail(PV_FAULT_DEVICE, "this training needs %.0f MiB of device memory, %s has %.0f MiB; %s%s",
            (double)need / 1048576, dev->id, (double)dev->limits.memory / 1048576,
            t ? "what fits: " : "take another device, or a smaller patch and fewer filters", t ? t : "");
    pv_free(t);
    return false;
}
