/* SPDX-License-Identifier: Apache-2.0
 * Active cross-annotation: settings, ranking, rounds (active.h). */
#include "train/active.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "platform/platform.h"
#include "train/config.h"

/* ---- settings ---- */

struct pv_active pv_active_of(const pv_json *config)
{
    const pv_json *a = pv_json_get(config, "active");
    return (struct pv_active){.rounds = (int)pv_json_num(a, "rounds", 0), .initial = (int)pv_json_num(a, "initial", 0),
        .add = (int)pv_json_num(a, "add", 0), .warmup = pv_json_num(a, "warmup", 2000),
        .every = pv_json_num(a, "every", 1000), .random = pv_streq(pv_json_str(a, "strategy", "entropy"), "random"),
        .simulate = pv_json_flag(a, "simulate", false)};
}

/* Cases labelled at the start and per round. with: training cases that have a label. */
static bool share_budget(struct pv_active *a, int budget, int with, int total)
{
    if (a->initial == 0 && !a->simulate)
        a->initial = with;
    if (a->add == 0 && budget > 0)
        a->add = a->initial > 0 ? (budget - a->initial) / a->rounds : budget / (a->rounds + 1);
    if (a->initial == 0)
        a->initial = budget - a->rounds * a->add;
    if (a->add < 1 || a->initial < 1)
        return pv_fail(PV_FAULT_USAGE, "%d rounds of active learning cannot share %d labelled cases: set --labeled to "
                       "the final number, at least %d, or active.initial and active.add", a->rounds, budget,
                       a->rounds + 1);
    if (a->initial + a->rounds * a->add > total)
        return pv_fail(PV_FAULT_USAGE, "active learning would label %d + %d x %d cases, but there are %d training "
                       "cases", a->initial, a->rounds, a->add, total);
    return true;
}

bool pv_active_start(pv_json *config, const pv_dataset *ds, int *labeled, int *num_labeled, int *unlabeled,
                     int *num_unlabeled)
{
    struct pv_active a = pv_active_of(config);
    const pv_json *d = pv_json_get(config, "data");
    pv_json *to = pv_json_get(config, "active");
    int total = ds->num_split[PV_TRAIN], with = 0, *train = pv_array(int, total + 1);
    pv_dataset_split(ds, PV_TRAIN, train);
    for (int i = 0; i < total; i++)
        with += ds->cases[train[i]].has_label;
    pv_free(train);
    if (a.simulate && with < total)
        return pv_fail(PV_FAULT_INPUT, "%s: %d of the %d training cases have no label that could play the annotator; "
                       "without --simulate the run stops at each round and waits for what is painted", ds->dir,
                       total - with, total);
    if (!a.simulate && with == total)
        return pv_fail(PV_FAULT_USAGE, "every training case of %s has a label, so that nothing is left to paint; "
                       "--simulate lets the labels play the annotator", ds->dir);
    if (!share_budget(&a, (int)pv_json_num(d, "labeled", 0), with, total))
        return false;
    pv_json_set_num(to, "initial", a.initial);
    pv_json_set_num(to, "add", a.add);
    int64_t seed = (int64_t)pv_json_num(d, "labeled_seed", -1);
    if (seed < 0 && a.simulate && pv_streq(pv_json_str(to, "first", "random"), "random"))
        seed = (int64_t)pv_json_num(pv_json_get(config, "train"), "seed", 1337);
    return pv_dataset_labeled(ds, !a.simulate && a.initial == with ? 0 : a.initial, seed, labeled, num_labeled,
                              unlabeled, num_unlabeled);
}

int64_t pv_active_iteration(const struct pv_run *r, int round)
{
    struct pv_active a = pv_active_of(r->config);
    if (round < 0 || round >= a.rounds)
        return -1;
    return (int64_t)((a.warmup + round * a.every) * r->scale + 0.5);
}

bool pv_active_check(const struct pv_run *r)
{
    struct pv_active a = pv_active_of(r->config);
    int64_t last = pv_active_iteration(r, a.rounds - 1);
    if (last >= r->iters)
        return pv_fail(PV_FAULT_USAGE, "round %d of active learning comes before iteration %lld, but the run has %lld "
                       "iterations: lower active.warmup or active.every", a.rounds, (long long)last,
                       (long long)r->iters);
    if (a.rounds > 1 && pv_active_iteration(r, 1) == pv_active_iteration(r, 0))
        return pv_fail(PV_FAULT_USAGE, "the rounds of active learning fall into one iteration: raise active.every");
    return true;
}

/* ---- ranking ---- */

double pv_active_entropy(const float *prob, int classes, size_t n)
{
    double sum = 0;
    for (int c = 0; c < classes; c++) {
        double part = 0;
        for (size_t i = 0; i < n; i++) {
            double p = prob[(size_t)c * n + i];
            part -= p * log(p + 1e-6);
        }
        sum += part;
    }
    return classes > 1 && n > 0 ? sum / log(classes) / (double)n : 0;
}

bool pv_active_score(struct pv_model *const *m, int num, const char *what, const struct pv_volume *v,
                     const struct pv_infer_opts *o, struct pv_candidate *c, int lo[3], int hi[3])
{
    float *prob = NULL;
    if (!pv_infer_prepared(m, num, what, v, o, &prob))
        return false;
    size_t n = pv_volume_voxels(v);
    int classes = m[0]->run->net.classes;
    uint8_t *label = pv_alloc_big(n, "labels");
    if (label) {
        c->score = pv_active_entropy(prob, classes, n);
        pv_slide_labels(prob, classes, n, label);
        c->object = pv_cross_box(label, v->size, lo, hi);
    }
    bool ok = label != NULL;
    pv_free_big(label);
    pv_free_big(prob);
    return ok;
}

void pv_active_slices(const int lo[3], const int hi[3], int k, const struct pv_prep_map *map,
                      const struct pv_volume *file, struct pv_cross *out)
{
    int from[3], to[3];
    for (int a = 0; a < 3; a++) {       /* voxels that the box covers in the volume as read */
        from[a] = (int)ceil(map->origin[a] + lo[a] * map->step[a] - 0.5 - 1e-6);
        to[a] = (int)ceil(map->origin[a] + (hi[a] + 1) * map->step[a] - 0.5 - 1e-6) - 1;
        from[a] = pv_min(pv_max(from[a], 0), map->size[a] - 1);
        to[a] = pv_min(pv_max(to[a], from[a]), map->size[a] - 1);
    }
    struct pv_cross c;
    pv_cross_slices(from, to, k, &c);
    *out = (struct pv_cross){0};
    for (int a = 0; a < 3; a++) {       /* the axes of memory are the file's in another order */
        int f = file->geo.axis[a];
        out->num[f] = c.num[a];
        for (int j = 0; j < c.num[a]; j++)
            out->slice[f][j] = file->geo.flip[a] ? map->size[a] - 1 - c.slice[a][c.num[a] - 1 - j] : c.slice[a][j];
    }
}

void pv_active_random(uint64_t seed, int round, struct pv_candidate *c, int n)
{
    struct pv_rng r = pv_rng_make(seed, pv_stream("active", (uint64_t)round, 0));
    for (int i = 0; i < n; i++)
        c[i].score = pv_rng_uniform(&r);
}

static int by_score(const void *a, const void *b)
{
    const struct pv_candidate *x = a, *y = b;
    return x->score > y->score ? -1 : x->score < y->score ? 1 : (x->index > y->index) - (x->index < y->index);
}

void pv_active_choose(struct pv_candidate *c, int n, int budget)
{
    if (n > 1)
        qsort(c, (size_t)n, sizeof *c, by_score);
    for (int i = 0; i < n; i++)
        c[i].chosen = i < budget;
}

pv_json *pv_active_manifest(const pv_dataset *ds, const struct pv_candidate *c, int n, const char *strategy)
{
    static const char *const axes[3] = {"i", "j", "k"};
    pv_json *j = pv_json_object(), *chosen = pv_json_array(), *ranking = pv_json_array();
    pv_json_set_str(j, "format", "protovox selection 1");
    pv_json_set_str(j, "strategy", strategy);
    for (int i = 0; i < n; i++) {
        pv_json *e = pv_json_object();
        pv_json_set_str(e, "id", ds->cases[c[i].index].id);
        pv_json_set_num(e, "score", c[i].score);
        pv_json_add(ranking, e);
        if (!c[i].chosen)
            continue;
        e = pv_json_copy(e);
        pv_json *slices = pv_json_object();
        for (int a = 0; a < 3; a++) {
            pv_json *s = pv_json_array();
            for (int k = 0; k < c[i].slices.num[a]; k++)
                pv_json_add_num(s, c[i].slices.slice[a][k]);
            pv_json_set(slices, axes[a], s);
        }
        pv_json_set_bool(e, "object", c[i].object);
        pv_json_set(e, "slices", slices);
        pv_json_add(chosen, e);
    }
    pv_json_set(j, "chosen", chosen);
    pv_json_set(j, "ranking", ranking);
    return j;
}

/* ---- rounds ---- */

/* Scores one unlabelled case from the volume in the store. */
static bool score_item(struct pv_feed *f, struct pv_model *m, const struct pv_infer_opts *o, struct pv_candidate *c)
{
    const char *id = f->ds->cases[c->index].id;
    struct pv_load load = pv_config_load(m->config);
    struct pv_prep_map map;
    struct pv_volume file = {0};
    int lo[3], hi[3], k = (int)pv_json_num(pv_json_get(m->config, "data"), "slices", 1);
    double score = c->score;
    const struct pv_volume *v = pv_store_get(f->store, c->item, NULL);
    if (!v)
        return false;
    bool ok = pv_active_score(&m, 1, id, v, o, c, lo, hi);
    pv_store_put(f->store, c->item);
    ok = ok && pv_store_map(f->store, c->item, &map) && pv_case_info(f->ds, c->index, &load, &file);
    if (ok)
        pv_active_slices(lo, hi, k, &map, &file, &c->slices);
    pv_volume_free(&file);
    if (score >= 0)
        c->score = score;       /* chosen at random: only the slices are wanted */
    return ok;
}

/* All unlabelled cases of the feed, in falling order; the caller's. */
static struct pv_candidate *rank(struct pv_feed *f, struct pv_run *r, const struct pv_active *a, int round, bool quiet,
                                 int *num)
{
    int n = *num = f->num_unlabeled;
    struct pv_candidate *c = pv_array(struct pv_candidate, n + 1);
    struct pv_model m = {.config = r->config, .run = r};
    struct pv_infer_opts o = {.gaussian = -1, .largest = -1, .quiet = quiet};
    for (int i = 0; i < n; i++)
        c[i] = (struct pv_candidate){.item = f->unlabeled[i], .score = -1,
                                     .index = pv_store_case(f->store, f->unlabeled[i])};
    if (a->random) {
        pv_active_random(r->seed, round, c, n);
        pv_active_choose(c, n, a->add);
    }
    r->tape->recording = false;
    int64_t passes = r->volume_passes;
    bool ok = true;
    for (int i = 0; ok && i < n; i++)
        ok = (a->random && !c[i].chosen) || score_item(f, &m, &o, &c[i]);
    r->volume_passes = passes;
    r->tape->recording = true;
    if (ok)
        pv_active_choose(c, n, a->add);
    else
        pv_free(c);
    return ok ? c : NULL;
}

static bool write_manifest(struct pv_feed *f, const struct pv_candidate *c, int n, const struct pv_active *a,
                           int round, int64_t done, const char *folder)
{
    pv_json *j = pv_active_manifest(f->ds, c, n, a->random ? "random" : "entropy");
    pv_json_set_num(j, "round", round + 1);
    pv_json_set_num(j, "iteration", (double)done);
    char *path = pv_asprintf("%s/active-%d.json", folder, round + 1);
    bool ok = pv_json_write(path, j);
    pv_free(path);
    pv_json_free(j);
    return ok;
}

static bool write_choice(struct pv_feed *f, pv_json *config, const struct pv_candidate *c, int n, int64_t done,
                         const char *folder)
{
    pv_json *cases = pv_json_get(config, "cases"), *rounds = pv_json_get(cases, "rounds");
    pv_json *e = pv_json_object(), *ids = pv_json_array();
    for (int i = 0; i < n; i++)
        if (c[i].chosen)
            pv_json_add_str(ids, f->ds->cases[c[i].index].id);
    pv_json_set_num(e, "iteration", (double)done);
    pv_json_set(e, "labeled", ids);
    if (!rounds) {
        pv_json_set(cases, "rounds", pv_json_array());
        rounds = pv_json_get(cases, "rounds");
    }
    pv_json_add(rounds, e);
    char *path = pv_path_join(folder, "config.json");
    bool ok = pv_json_write(path, config);
    pv_free(path);
    return ok;
}

/* What the person has to do, in one line; false if the labels are there already. */
static bool ask_for_labels(const struct pv_feed *f, const struct pv_candidate *c, int n, int round, const char *folder)
{
    struct pv_str ids = {0};
    int missing = 0;
    for (int i = 0; i < n; i++)
        if (c[i].chosen && !f->ds->cases[c[i].index].has_label)
            pv_str_addf(&ids, "%s%s", missing++ ? ", " : "", f->ds->cases[c[i].index].id);
    if (missing)
        pv_info("round %d: paint the slices that %s/active-%d.json lists of %s, put the labels into %s (255: not "
                "annotated), and go on with protovox train --resume --out %s", round + 1, folder, round + 1, ids.text,
                f->ds->dir, folder);
    pv_str_free(&ids);
    return missing > 0;
}

static int rounds_done(const pv_json *config) { return (int)pv_json_count(pv_json_path(config, "cases.rounds")); }

bool pv_active_due(const struct pv_run *r, int64_t done)
{
    int round = rounds_done(r->config);
    return round < pv_active_of(r->config).rounds && pv_active_iteration(r, round) <= done;
}

bool pv_active_round(struct pv_feed *f, struct pv_run *r, int64_t done, const char *folder, bool quiet, bool *wait)
{
    struct pv_active a = pv_active_of(r->config);
    int n, round = rounds_done(r->config);
    *wait = false;
    struct pv_candidate *c = rank(f, r, &a, round, quiet, &n);
    if (!c)
        return false;
    bool ok = write_manifest(f, c, n, &a, round, done, folder) && write_choice(f, r->config, c, n, done, folder);
    *wait = ok && !a.simulate && ask_for_labels(f, c, n, round, folder);
    if (ok && !*wait)
        ok = pv_feed_reveal(f, pv_json_get(pv_json_at(pv_json_path(r->config, "cases.rounds"), (size_t)round),
                                           "labeled"));
    if (ok && !*wait)
        pv_info("iteration %lld: round %d labelled %d cases, %d in all", (long long)done, round + 1, pv_min(a.add, n),
                f->num_labeled);
    pv_free(c);
    return ok;
}

bool pv_active_resume(struct pv_feed *f, pv_json *config, int64_t done)
{
    pv_json *rounds = pv_json_path(config, "cases.rounds"), *kept = pv_json_array();
    bool ok = true;
    for (const pv_json *e = pv_json_at(rounds, 0); ok && e; e = pv_json_next(e)) {
        if (pv_json_num(e, "iteration", 0) > (double)done)
            continue;
        ok = pv_feed_reveal(f, pv_json_get(e, "labeled"));
        pv_json_add(kept, pv_json_copy(e));
    }
    if (rounds)
        pv_json_set(pv_json_get(config, "cases"), "rounds", kept);
    else
        pv_json_free(kept);
    return ok;
}
