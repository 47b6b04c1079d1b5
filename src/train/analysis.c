/* SPDX-License-Identifier: Apache-2.0
 * analysis.h. */
#include "train/analysis.h"

#include <math.h>
#include <string.h>

#include "base/outfile.h"
#include "base/rng.h"
#include "base/safetensors.h"
#include "eval/pseudo.h"
#include "eval/qscore.h"
#include "ops/shape.h"
#include "platform/platform.h"
#include "train/batch.h"
#include "train/config.h"

static const double thresholds[] = {0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99};
enum { NUM_THRESHOLDS = PV_COUNT(thresholds) };

/* Cases of one kind, labelled or not. */
struct group {
    const char *name;
    int *index, n;
    float *proto;               /* [n][classes][channels] */
    float *feature;             /* [most][channels] of num_features voxels */
    int32_t *class_of, *case_of;
    int num_features;
};

struct analysis {
    struct pv_model *m;
    const pv_dataset *ds;
    const struct pv_analysis_opts *o;
    int classes, channels;      /* of the prediction; of the feature map, 0 before the first */
    struct group group[2];
    double sum[NUM_THRESHOLDS][3];
    int count[NUM_THRESHOLDS][3];   /* kept, accuracy, dice: cases in which it is defined */
};

/* ---- features of a volume ---- */

static pv_tensor *feature_map(struct pv_model *m, pv_tensor *x)
{
    struct pv_net_out out;
    if (!pv_run_forward(m->run, m->run->nets[0].net, x, 0, 0, PV_WANT(PV_FEAT_UP4), &out))
        return NULL;
    pv_tensor *f = pv_to_plain(m->run->tape, out.feat[PV_FEAT_UP4]);
    pv_net_out_free(&out);
    return f;
}

static pv_tensor *window_features(void *user, pv_tensor *x)
{
    return feature_map(user, x);
}

/* Channels of the map, found with an empty image. */
static bool count_channels(struct analysis *a)
{
    const struct pv_net_config *c = &a->m->run->net;
    int patch[3];
    pv_config_patch(a->m->config, "train.patch", patch);
    pv_tensor *x = pv_tensor_zeros(a->m->run->dev, pv_plain(c->dims, 1, c->channels, patch), PV_F32);
    pv_tensor *f = feature_map(a->m, x);
    pv_tensor_put(&x);
    if (!f)
        return false;
    a->channels = f->h.c;
    pv_tensor_put(&f);
    return true;
}

static float *features_of(const struct analysis *a, const struct pv_volume *v)
{
    struct pv_slide_params p = {.dims = a->m->run->net.dims, .channels = a->m->run->net.channels,
                                .classes = a->channels, .batch = 1, .predict = window_features, .user = a->m};
    pv_config_patch(a->m->config, "train.patch", p.patch);
    memcpy(p.stride, p.patch, sizeof p.stride);
    float *f = pv_alloc_big(sizeof *f * pv_volume_voxels(v) * (size_t)a->channels, "features");
    if (f && !pv_slide(a->m->run->dev, v->image, v->size, &p, f)) {
        pv_free_big(f);
        f = NULL;
    }
    return f;
}

/* Mean feature of every class of the mask; NaN in the first channel of one that it lacks. */
static void prototypes(const struct analysis *a, const float *f, const uint8_t *mask, size_t voxels, float *proto)
{
    double *sum = pv_array(double, a->classes * a->channels);
    size_t *n = pv_array(size_t, a->classes);
    for (size_t i = 0; i < voxels; i++)
        if (mask[i] < a->classes) {
            n[mask[i]]++;
            for (int c = 0; c < a->channels; c++)
                sum[mask[i] * a->channels + c] += f[(size_t)c * voxels + i];
        }
    for (int k = 0; k < a->classes; k++)
        for (int c = 0; c < a->channels; c++)
            proto[k * a->channels + c] = n[k] ? (float)(sum[k * a->channels + c] / (double)n[k]) : NAN;
    pv_free(sum);
    pv_free(n);
}

/* `share` random voxels whose foreground class was predicted rightly (all, if there are fewer). */
static void sample(const struct analysis *a, struct group *g, int place, const float *f, const uint8_t *pred,
                   const uint8_t *ref, size_t voxels, int share)
{
    size_t left = 0;
    for (size_t i = 0; i < voxels; i++)
        left += ref[i] > 0 && ref[i] == pred[i] && ref[i] != PV_LABEL_IGNORE;
    struct pv_rng rng = pv_rng_make(1, (uint64_t)g->index[place]);
    for (size_t i = 0; i < voxels && share > 0; i++) {
        if (!(ref[i] > 0 && ref[i] == pred[i] && ref[i] != PV_LABEL_IGNORE))
            continue;
        if (pv_rng_uniform(&rng) * (double)left-- >= share)
            continue;
        for (int c = 0; c < a->channels; c++)
            g->feature[g->num_features * a->channels + c] = f[(size_t)c * voxels + i];
        g->class_of[g->num_features] = ref[i];
        g->case_of[g->num_features++] = g->index[place];
        share--;
    }
}

/* ---- cases ---- */

static bool judge(struct analysis *a, const float *prob, const uint8_t *pred, const uint8_t *ref, size_t voxels)
{
    float *most = pv_alloc_big(sizeof *most * voxels, "confidences");
    if (!most)
        return false;
    for (size_t i = 0; i < voxels; i++)
        most[i] = prob[pred[i] * voxels + i];
    for (int t = 0; t < NUM_THRESHOLDS; t++) {
        struct pv_pseudo q = pv_pseudo_quality(most, thresholds[t], pred, ref, voxels, a->classes, PV_LABEL_IGNORE);
        const double v[3] = {q.kept, q.accuracy, q.mean_dice};
        for (int k = 0; k < 3; k++)
            if (isfinite(v[k])) {
                a->sum[t][k] += v[k];
                a->count[t][k]++;
            }
    }
    pv_free_big(most);
    return true;
}

static bool one_case(struct analysis *a, struct group *g, int place)
{
    const struct pv_case *pc = &a->ds->cases[g->index[place]];
    const struct pv_prep *prep = pv_prep_find(pv_json_str(pv_json_get(a->m->config, "data"), "prep", "auto"));
    const struct pv_infer_opts io = {.gaussian = -1, .largest = -1, .quiet = a->o->quiet};
    struct pv_load load = pv_config_load(a->m->config);
    struct pv_volume v = {0};
    float *prob = NULL, *f = NULL;
    uint8_t *pred = NULL;
    bool labeled = g == &a->group[0];
    bool ok = prep && pv_case_load(a->ds, g->index[place], PV_IMAGE | PV_LABEL, &load, &v) &&
              pv_prep_apply(prep, pc->id, a->ds->channel_names, &v, NULL) &&
              pv_infer_prepared(&a->m, 1, pc->id, &v, &io, &prob) && (f = features_of(a, &v)) != NULL &&
              (pred = pv_alloc_big(pv_volume_voxels(&v), "labels")) != NULL;
    if (ok) {
        size_t n = pv_volume_voxels(&v);
        pv_slide_labels(prob, a->classes, n, pred);
        ok = labeled || judge(a, prob, pred, v.label, n);
        prototypes(a, f, labeled || a->o->reference_masks ? v.label : pred, n,
                   g->proto + (size_t)place * (size_t)(a->classes * a->channels));
        if (a->o->features)     /* what is left is shared by the cases that are left */
            sample(a, g, place, f, pred, v.label, n, (a->o->features - g->num_features) / (g->n - place));
    }
    pv_free_big(pred);
    pv_free_big(f);
    pv_free_big(prob);
    pv_volume_free(&v);
    return ok;
}

static bool is_in(const pv_json *ids, const char *id)
{
    for (const pv_json *j = pv_json_at(ids, 0); j; j = pv_json_next(j))
        if (pv_streq(pv_json_string_value(j), id))
            return true;
    return false;
}

static bool find_cases(struct analysis *a)
{
    const pv_json *labeled = pv_json_get(pv_json_get(a->m->config, "cases"), "labeled");
    int num = a->ds->num_split[PV_TRAIN], *all = pv_array(int, num + 1);
    pv_dataset_split(a->ds, PV_TRAIN, all);
    for (int k = 0; k < 2; k++) {
        a->group[k] = (struct group){.name = k ? "unlabeled" : "labeled", .index = pv_array(int, num + 1)};
        for (int i = 0; i < num; i++)
            if (a->ds->cases[all[i]].has_label && is_in(labeled, a->ds->cases[all[i]].id) == (k == 0))
                a->group[k].index[a->group[k].n++] = all[i];
    }
    pv_free(all);
    if (a->group[0].n && a->group[1].n)
        return true;
    return pv_fail(PV_FAULT_INPUT, "%s: an analysis needs training cases with references, some that %s was trained on "
                   "with their labels (%d here) and some others (%d here)", a->ds->dir, a->m->folder, a->group[0].n,
                   a->group[1].n);
}

/* ---- results ---- */

static void put_ids(pv_json *j, const struct analysis *a, const struct group *g)
{
    pv_json *ids = pv_json_array();
    for (int i = 0; i < g->n; i++)
        pv_json_add_str(ids, a->ds->cases[g->index[i]].id);
    pv_json_set(j, g->name, ids);
}

static pv_json *results(const struct analysis *a)
{
    static const char *const names[3] = {"kept", "accuracy", "dice"};
    pv_json *j = pv_json_object(), *score = pv_json_object(), *per = pv_json_array(), *rows = pv_json_array();
    double *each = pv_array(double, a->classes);
    double q = pv_matching_score(a->group[0].proto, a->group[0].n, a->group[1].proto, a->group[1].n, a->classes,
                                 a->channels, each);
    pv_json_set_str(j, "run", a->m->folder);
    pv_json_set_str(j, "weights", pv_path_base(a->m->weights));
    put_ids(j, a, &a->group[0]);
    put_ids(j, a, &a->group[1]);
    for (int k = 0; k < a->classes; k++)
        pv_json_add_num(per, each[k]);
    pv_json_set_num(score, "q", q);
    pv_json_set(score, "per_class", per);
    pv_json_set_str(score, "feature", "up4");
    pv_json_set_num(score, "channels", a->channels);
    pv_json_set_str(score, "unlabeled_masks", a->o->reference_masks ? "reference" : "prediction");
    pv_json_set(j, "matching_score", score);
    for (int t = 0; t < NUM_THRESHOLDS; t++) {
        pv_json *row = pv_json_object();
        pv_json_set_num(row, "threshold", thresholds[t]);
        for (int k = 0; k < 3; k++)
            pv_json_set_num(row, names[k], a->count[t][k] ? a->sum[t][k] / a->count[t][k] : NAN);
        pv_json_add(rows, row);
    }
    pv_json_set(j, "pseudo_labels", rows);
    pv_free(each);
    return j;
}

static bool write_features(const struct analysis *a, const char *out)
{
    pv_st_writer *w = pv_st_writer_new();
    pv_st_meta_set(w, "feature", "up4");
    pv_st_meta_set(w, "weights", a->m->weights);
    for (int k = 0; k < 2; k++) {
        const struct group *g = &a->group[k];
        const struct { const char *name; enum pv_st_type type; int ndim; const void *data; } put[] = {
            {"features", PV_ST_F32, 2, g->feature}, {"class", PV_ST_I32, 1, g->class_of},
            {"case", PV_ST_I32, 1, g->case_of}};
        const int64_t shape[2] = {g->num_features, a->channels};
        for (size_t i = 0; i < PV_COUNT(put); i++) {
            char *name = pv_asprintf("%s.%s", g->name, put[i].name);
            pv_st_put(w, name, put[i].type, put[i].ndim, shape, put[i].data);
            pv_free(name);
        }
    }
    char *path = pv_path_join(out, "features_train.safetensors");
    bool ok = pv_st_write(w, path);
    pv_free(path);
    pv_st_writer_free(&w);
    return ok;
}

bool pv_analyse(struct pv_model *m, const pv_dataset *ds, const char *out, const struct pv_analysis_opts *o,
                pv_json **result)
{
    struct analysis a = {.m = m, .ds = ds, .o = o, .classes = m->run->net.classes};
    *result = NULL;
    char *path = pv_path_join(out, "analysis.json");
    bool ok = pv_make_folder(out, "--out") && pv_outfile_possible(path) && find_cases(&a) && count_channels(&a);
    for (int k = 0; k < 2 && ok; k++) {
        struct group *g = &a.group[k];
        g->proto = pv_array(float, (int64_t)g->n * a.classes * a.channels);
        g->feature = pv_array(float, (int64_t)o->features * a.channels + 1);
        g->class_of = pv_array(int32_t, o->features + 1);
        g->case_of = pv_array(int32_t, o->features + 1);
        for (int i = 0; i < g->n && ok; i++)
            ok = one_case(&a, g, i);
    }
    if (ok) {
        *result = results(&a);
        ok = pv_json_write(path, *result) && (!o->features || write_features(&a, out));
    }
    pv_free(path);
    for (int k = 0; k < 2; k++) {
        pv_free(a.group[k].index);
        pv_free(a.group[k].proto);
        pv_free(a.group[k].feature);
        pv_free(a.group[k].class_of);
        pv_free(a.group[k].case_of);
    }
    if (!ok) {
        pv_json_free(*result);
        *result = NULL;
    }
    return ok;
}

/* Columns of a share in percent. */
static void percent(struct pv_str *s, int width, double v)
{
    if (isfinite(v))
        pv_str_addf(s, "%*.2f", width, 100 * v);
    else
        pv_str_addf(s, "%*s\xE2\x80\x93", width - 1, "");
}

char *pv_analysis_text(const pv_json *result)
{
    const pv_json *q = pv_json_get(result, "matching_score"), *per = pv_json_get(q, "per_class");
    struct pv_str s = {0};
    pv_str_addf(&s, "%zu labelled, %zu unlabelled training cases; semantic matching score Q %.4f (per class:",
                pv_json_count(pv_json_get(result, "labeled")), pv_json_count(pv_json_get(result, "unlabeled")),
                pv_json_num(q, "q", NAN));
    for (const pv_json *c = pv_json_at(per, 0); c; c = pv_json_next(c))
        pv_str_addf(&s, " %.4f", pv_json_number_value(c));
    pv_str_add(&s, ")\npseudo labels of the unlabelled ones, by confidence\n"
               "above    kept %   right %   Dice % of the kept\n");
    for (const pv_json *r = pv_json_at(pv_json_get(result, "pseudo_labels"), 0); r; r = pv_json_next(r)) {
        pv_str_addf(&s, "%-5.2f", pv_json_num(r, "threshold", NAN));
        percent(&s, 10, pv_json_num(r, "kept", NAN));
        percent(&s, 10, pv_json_num(r, "accuracy", NAN));
        percent(&s, 21, pv_json_num(r, "dice", NAN));
        pv_str_add(&s, "\n");
    }
    return s.text;
}
