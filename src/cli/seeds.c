/* SPDX-License-Identifier: Apache-2.0
 * seeds.h. */
#include "cli/seeds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/platform.h"
#include "train/batch.h"
#include "train/score.h"
#include "train/scores.h"

enum { MOST_SEEDS = 64 };

struct seeds {
    const struct pv_train_args *a;
    const struct pv_config_args *c;
    int64_t seed[MOST_SEEDS];
    char *run[MOST_SEEDS];
    int n;
};

static bool parse(struct seeds *s, const char *list)
{
    struct pv_strs words = {0};
    pv_strs_split(&words, list, ", ");
    bool ok = words.n >= 1 && words.n <= MOST_SEEDS;
    for (size_t i = 0; ok && i < words.n; i++) {
        char *end;
        errno = 0;
        long long v = strtoll(words.v[i], &end, 10);
        ok = !errno && !*end && v >= 0;
        for (int k = 0; ok && k < s->n; k++)
            ok = s->seed[k] != v;
        if (ok) {
            s->run[s->n] = pv_asprintf("%s/seed-%lld", s->a->out, v);
            s->seed[s->n++] = v;
        }
    }
    pv_strs_free(&words);
    return ok || pv_fail(PV_FAULT_USAGE, "--seeds is a list of different numbers such as 1,2,3 (at most %d), not '%s'",
                         MOST_SEEDS, list);
}

static bool has(const char *run, const char *name)
{
    char *path = pv_path_join(run, name);
    bool there = pv_file_exists(path);
    pv_free(path);
    return there;
}

/* Settings of the first run that has begun, with another seed. */
static pv_json *settings_of_others(const struct seeds *s, int64_t seed)
{
    static const char *const own[] = {"version", "command", "device", "cases", "dataset"};
    for (int i = 0; i < s->n; i++) {
        if (!has(s->run[i], "config.json"))
            continue;
        char *path = pv_path_join(s->run[i], "config.json");
        pv_json *c = pv_json_read(path);
        pv_free(path);
        for (size_t k = 0; c && k < PV_COUNT(own); k++)
            pv_json_remove(c, own[k]);
        if (c)
            pv_json_set_num(pv_json_get(c, "train"), "seed", (double)seed);
        return c;
    }
    pv_fail(PV_FAULT_INPUT, "%s: there is no run to resume (no seed-*/config.json)", s->a->out);
    return NULL;
}

static enum pv_train_state train_one(const struct seeds *s, int i)
{
    struct pv_train_args a = *s->a;
    struct pv_config_args c = *s->c;
    bool begun = has(s->run[i], "config.json");
    a.out = s->run[i];
    a.config = NULL;
    if (a.resume && begun) {
        char *path = pv_path_join(a.out, "config.json");
        bool same = pv_config_same(&c, path);
        pv_free(path);
        if (!same)
            return PV_TRAIN_FAILED;
        if (has(a.out, "final.safetensors")) {
            pv_info("seed %lld: done already (%s)", (long long)s->seed[i], a.out);
            return PV_TRAIN_DONE;
        }
    } else {
        c.seed = s->seed[i];
        a.config = a.resume ? settings_of_others(s, s->seed[i]) : pv_config_resolve(&c);
        a.resume = false;
        if (!a.config)
            return PV_TRAIN_FAILED;
    }
    pv_info("seed %lld (%d of %d): %s", (long long)s->seed[i], i + 1, s->n, a.out);
    return pv_train(&a);
}

/* Mean and spread over the seeds; the runs are whole. */
static bool summary(const struct seeds *s)
{
    struct pv_scores *scores = pv_array(struct pv_scores, s->n);
    int read = 0;
    bool ok = true;
    for (int i = 0; ok && i < s->n; i++) {
        char *path = pv_scores_find(s->run[i], "test", &scores[i].split);
        if (!path) {
            struct pv_table t;
            ok = pv_score_run(s->a->dev, s->run[i], s->a->data, s->a->lists, PV_TEST, s->a->quiet, &t, NULL);
            pv_table_free(&t);
            path = pv_asprintf("%s/evaluation_test.json", s->run[i]);
            scores[i].split = "test";
        }
        ok = ok && pv_scores_read(&scores[i], path);
        read += ok;
        pv_free(path);
    }
    if (ok) {
        char *text = pv_scores_seeds_text(scores, s->seed, s->n), *path = pv_path_join(s->a->out, "seeds.json");
        pv_json *j = pv_scores_seeds_json(scores, s->seed, s->n);
        ok = pv_json_write(path, j);
        if (ok)
            printf("%swritten to %s\n", text, path);
        pv_json_free(j);
        pv_free(path);
        pv_free(text);
    }
    for (int i = 0; i < read; i++)
        pv_scores_free(&scores[i]);
    pv_free(scores);
    return ok;
}

/* Whether the data set has cases to score on: training alone needs none. */
static bool has_test_cases(const struct seeds *s, bool *ok)
{
    char *path = pv_path_join(s->run[0], "config.json");
    pv_json *c = pv_json_read(path);
    pv_free(path);
    bool any = false;
    if (c) {
        struct pv_dataset_params dp = pv_config_dataset(c, s->a->lists);
        pv_dataset *ds = pv_dataset_open(s->a->data, &dp);
        any = ds && ds->num_split[PV_TEST] > 0;
        *ok = ds != NULL;
        pv_dataset_free(&ds);
    } else {
        *ok = false;
    }
    pv_json_free(c);
    return any;
}

enum pv_train_state pv_train_seeds(const char *list, const struct pv_train_args *a, const struct pv_config_args *c)
{
    struct seeds s = {.a = a, .c = c};
    enum pv_train_state state = parse(&s, list) ? PV_TRAIN_DONE : PV_TRAIN_FAILED;
    bool whole = true, ok = true;
    for (int i = 0; state == PV_TRAIN_DONE && i < s.n; i++) {
        state = train_one(&s, i);
        whole = whole && has(s.run[i], "final.safetensors");
    }
    if (state == PV_TRAIN_DONE && whole && has_test_cases(&s, &ok))
        ok = summary(&s);
    else if (state == PV_TRAIN_DONE && whole && ok)
        pv_info("the data set has no test cases: nothing was scored");
    for (int i = 0; i < s.n; i++)
        pv_free(s.run[i]);
    return ok ? state : PV_TRAIN_FAILED;
}
