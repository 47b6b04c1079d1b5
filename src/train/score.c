/* SPDX-License-Identifier: Apache-2.0
 * score.h. */
#include "train/score.h"

#include <math.h>

#include "base/outfile.h"
#include "data/file.h"
#include "platform/platform.h"
#include "report/pictures.h"
#include "train/batch.h"
#include "train/page.h"

struct keep { const struct pv_score *s; struct pv_pictures pictures; bool ok; };

static double dice_of(const struct pv_case_metrics *m)
{
    double sum = 0;
    for (int c = 0; c < m->num_scored; c++)
        sum += m->m[c].v[PV_DICE];
    return m->num_scored ? sum / m->num_scored : NAN;
}

static void keep_case(void *user, const struct pv_infer_case *c)
{
    struct keep *k = user;
    if (k->s->predictions && k->ok) {
        char *path = pv_asprintf("%s/%s.nii.gz", k->s->predictions, c->id);
        struct pv_volume v = *c->volume;
        v.image = NULL;
        v.label = (uint8_t *)(uintptr_t)c->label;
        k->ok = pv_volume_write(path, PV_LABEL, &v);
        pv_free(path);
    }
    if (k->s->report && k->ok && c->volume->label) {
        const struct pv_volume *v = c->volume;
        struct pv_overlay o = {.id = c->id, .image = v->image, .ref = v->label, .pred = c->label,
                               .size = {v->size[0], v->size[1], v->size[2]},
                               .spacing = {v->spacing[0], v->spacing[1], v->spacing[2]}};
        k->ok = pv_pictures_add(&k->pictures, &o, dice_of(c->metrics));
    }
}

/* Which weights, and what the classes are called. */
static pv_json *about(const struct pv_score *s, const struct pv_table *t)
{
    pv_json *j = pv_json_object(), *runs = pv_json_array(), *classes = pv_json_object();
    for (int i = 0; i < s->num; i++) {
        pv_json *one = pv_json_object();
        pv_json_set_str(one, "run", s->models[i]->folder);
        pv_json_set_str(one, "method", s->models[i]->run->method->name);
        pv_json_set_str(one, "weights", pv_path_base(s->models[i]->weights));
        pv_json_set_num(one, "iterations", (double)s->models[i]->steps);
        pv_json_add(runs, one);
    }
    for (int i = 0; i < t->num_scored; i++)
        pv_json_set_str(classes, t->keys[i], t->titles[i]);
    pv_json_set_str(j, "dataset", s->ds->name);
    pv_json_set_str(j, "split", pv_split_name(s->split));
    pv_json_set(j, "runs", runs);
    pv_json_set(j, "classes", classes);
    return j;
}

static bool write_files(const struct pv_score *s, const struct pv_table *t, const struct pv_pictures *pictures)
{
    const char *split = pv_split_name(s->split);
    char *csv = pv_asprintf("%s/evaluation_%s.csv", s->out, split);
    char *json = pv_asprintf("%s/evaluation_%s.json", s->out, split);
    char *pics = pv_asprintf("%s/pictures_%s.safetensors", s->out, split);
    char *page = pv_path_join(s->out, "report.html");
    pv_json *a = about(s, t);
    bool ok = pv_table_write_csv(t, csv) &&
              pv_table_write_json(t, json, &(struct pv_table_json){.resamples = 100, .seed = 1, .about = a});
    if (ok && s->report)
        ok = pv_pictures_write(pictures, pics) &&
             pv_page_write(&(struct pv_page){.runs = &s->out, .num_runs = 1, .maybe_empty = true}, page);
    pv_json_free(a);
    pv_free(csv);
    pv_free(json);
    pv_free(pics);
    pv_free(page);
    return ok;
}

/* Whether what write_files() writes can be written: predicting takes its time. */
static bool files_possible(const struct pv_score *s)
{
    static const char *const kind[] = {"%s/evaluation_%s.csv", "%s/evaluation_%s.json", "%s/pictures_%s.safetensors"};
    bool ok = true;
    for (size_t i = 0; ok && i < (s->report ? 3 : 2); i++) {
        char *path = pv_asprintf(kind[i], s->out, pv_split_name(s->split));
        ok = pv_outfile_possible(path);
        pv_free(path);
    }
    return ok;
}

bool pv_score_split(const struct pv_score *s, struct pv_table *table)
{
    struct keep k = {.s = s, .ok = true};
    pv_table_init(table, s->params, (const char *const *)s->ds->class_names + 1);
    bool ok = pv_make_folder(s->out, "--out") && (!s->predictions || pv_make_folder(s->predictions, "--out")) &&
              files_possible(s);
    ok = ok && pv_infer_split(s->models, s->num, s->ds, s->split, s->infer, s->params, table, keep_case, &k) && k.ok;
    if (ok && table->num_cases == 0)
        ok = pv_fail(PV_FAULT_INPUT, "%s: no %s case has a label to compare with", s->ds->dir,
                     pv_split_name(s->split));
    ok = ok && write_files(s, table, &k.pictures);
    pv_pictures_free(&k.pictures);
    return ok;
}

bool pv_score_run(pv_dev *dev, const char *run, const char *data, const char *lists, enum pv_split split, bool quiet,
                  struct pv_table *table, int *num_train)
{
    struct pv_model *m = pv_model_open(dev, run, NULL);
    pv_dataset *ds = NULL;
    struct pv_eval_params ep;
    const struct pv_infer_opts o = {.gaussian = -1, .largest = -1, .quiet = quiet};
    *table = (struct pv_table){0};
    if (m) {
        struct pv_dataset_params dp = pv_config_dataset(m->config, lists);
        ds = pv_dataset_open(data, &dp);
    }
    bool ok = ds && pv_config_eval(m->config, ds->num_classes, &ep) &&
              pv_score_split(&(struct pv_score){.models = &m, .num = 1, .ds = ds, .split = split, .infer = &o,
                                                .params = &ep, .out = run, .report = true}, table);
    if (ds && num_train)
        *num_train = ds->num_split[PV_TRAIN];
    pv_dataset_free(&ds);
    pv_model_free(&m);
    return ok;
}
