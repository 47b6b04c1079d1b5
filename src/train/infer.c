/* SPDX-License-Identifier: Apache-2.0
 * Prediction with trained runs. */
#include "train/infer.h"

#include <stdio.h>
#include <string.h>

#include "data/slices.h"
#include "platform/platform.h"
#include "train/batch.h"
#include "train/ckpt.h"
#include "train/config.h"

struct pv_model *pv_model_open(pv_dev *dev, const char *folder, const char *which)
{
    struct pv_model *m = pv_new(struct pv_model);
    char *path = pv_path_join(folder, "config.json");
    m->folder = pv_strdup(folder);
    if (!pv_file_exists(path)) {
        pv_fail(PV_FAULT_INPUT, "%s is not a run folder: it has no config.json", folder);
        pv_free(path);
        goto error;
    }
    m->config = pv_json_read(path);
    bool good = m->config && pv_config_check(m->config, path);
    pv_free(path);
    if (!good)
        goto error;
    static const char *const order[] = {"best", "final", "latest"};
    if (which && !pv_streq(which, "best") && !pv_streq(which, "final") && !pv_streq(which, "latest")) {
        pv_fail(PV_FAULT_USAGE, "--weights is best, final or latest, not '%s'", which);
        goto error;
    }
    for (size_t i = 0; i < PV_COUNT(order) && !m->weights; i++) {
        if (which && !pv_streq(which, order[i]))
            continue;
        char *file = pv_asprintf("%s/%s.safetensors", folder, order[i]);
        if (pv_file_exists(file))
            m->weights = file;
        else
            pv_free(file);
    }
    if (!m->weights) {
        pv_fail(PV_FAULT_INPUT, "%s has no %s.safetensors; train it first", folder,
                which ? which : "final, best or latest");
        goto error;
    }
    struct pv_ckpt_info info;
    m->run = pv_run_new(dev, m->config, true);
    if (!m->run || !pv_ckpt_load(m->run, m->weights, &info))
        goto error;
    m->run->tape->recording = false;
    m->steps = info.steps;
    return m;
error:
    if (pv_dev_out_of_memory(dev))
        pv_log(PV_LOG_ERROR, "the memory of %s does not hold the network of %s; try another --device",
               pv_dev_get_info(dev)->id, folder);
    pv_model_free(&m);
    return NULL;
}

bool pv_model_set_precision(struct pv_model *m, const char *word)
{
    if (word && !pv_streq(word, "fp32") && !pv_streq(word, "mixed"))
        return pv_fail(PV_FAULT_USAGE, "--precision is fp32 or mixed, not '%s'", word);
    if (word)
        m->run->tape->mixed = pv_streq(word, "mixed");
    return true;
}

void pv_model_free(struct pv_model **mp)
{
    struct pv_model *m = *mp;
    if (!m)
        return;
    pv_run_free(&m->run);
    pv_json_free(m->config);
    pv_free(m->folder);
    pv_free(m->weights);
    pv_free(m);
    *mp = NULL;
}

static char *kind_of(const struct pv_model *m)
{
    const struct pv_net_config *n = &m->run->net;
    return pv_asprintf("%d channels, %d classes, %dD, preparation %s, orientation %s, patch %dx%dx%d", n->channels,
                       n->classes, n->dims, pv_json_str(pv_json_get(m->config, "data"), "prep", "auto"),
                       pv_json_str(pv_json_get(m->config, "data"), "orient", "file"), n->patch[0], n->patch[1],
                       n->patch[2]);
}

bool pv_models_agree(struct pv_model *const *m, int num)
{
    bool ok = true;
    char *first = kind_of(m[0]);
    for (int i = 1; ok && i < num; i++) {
        char *other = kind_of(m[i]);
        ok = pv_streq(first, other) ||
             pv_fail(PV_FAULT_USAGE, "%s and %s cannot form an ensemble: the one has %s, the other %s", m[0]->folder,
                     m[i]->folder, first, other);
        pv_free(other);
    }
    pv_free(first);
    return ok;
}

struct ensemble { struct pv_model *const *m; int num; };

/* Mean of the members' probabilities; with one member its own. */
static pv_tensor *predict(void *user, pv_tensor *x)
{
    const struct ensemble *e = user;
    if (e->num == 1)
        return e->m[0]->run->method->predict(e->m[0]->run, x);
    int64_t n = 0;
    float *sum = NULL, *one = NULL;
    pv_tensor *out = NULL;
    for (int i = 0; i < e->num; i++) {
        pv_tensor *p = e->m[i]->run->method->predict(e->m[i]->run, x);
        if (!p)
            goto done;
        if (!sum) {
            n = pv_shape_count(&p->h);
            sum = pv_array(float, n);
            one = pv_array(float, n);
        }
        bool ok = pv_shape_count(&p->h) == n && pv_tensor_read(p, one);
        for (int64_t k = 0; ok && k < n; k++)
            sum[k] += one[k] / (float)e->num;
        if (ok && i == e->num - 1) {
            out = pv_tensor_new(x->dev, p->h, PV_F32);
            pv_tensor_write(out, sum);
        }
        pv_tensor_put(&p);
        if (!ok)
            goto done;
    }
done:
    pv_free(sum);
    pv_free(one);
    return out;
}

struct show { const char *what; const struct pv_infer_opts *o; bool stopped; };

static bool progress(void *user, int64_t done, int64_t total)
{
    struct show *s = user;
    if (!s->o->quiet && s->what && pv_is_tty(stderr)) {
        fprintf(stderr, "\r\033[K%s: window %lld/%lld%s", s->what, (long long)done, (long long)total,
                done == total ? "\r\033[K" : "");
        fflush(stderr);
    }
    s->stopped = pv_stop_requested() || (s->o->progress && !s->o->progress(s->o->user, done, total));
    return !s->stopped;
}

static bool is_identity(const struct pv_prep_map *map, const int s[3])
{
    if (map->slice_axis)
        return false;
    for (int a = 0; a < 3; a++)
        if (map->size[a] != s[a] || map->origin[a] != 0 || map->step[a] != 1)
            return false;
    return true;
}

/* In 2D every slice (axis x) is resized to the patch by nearest voxel, predicted, and brought back likewise. */
static bool slide_slices(pv_dev *dev, const struct pv_volume *vol, struct pv_slide_params *p, float *prob)
{
    const int own[2] = {vol->size[1], vol->size[2]}, to[2] = {p->patch[1], p->patch[2]};
    const int s[3] = {vol->size[0], to[0], to[1]};
    const size_t num = (size_t)s[0], n = num * (size_t)to[0] * (size_t)to[1];
    float *in = pv_alloc_big(sizeof(float) * n * (size_t)p->channels, "slices"), *out = NULL;
    memcpy(p->stride, p->patch, sizeof p->stride);
    bool ok = in && (out = pv_alloc_big(sizeof(float) * n * (size_t)p->classes, "probabilities"));
    if (ok) {
        pv_zoom_slices(vol->image, num * (size_t)p->channels, own, in, to);
        ok = pv_slide(dev, in, s, p, out);
    }
    if (ok)
        pv_zoom_slices(out, num * (size_t)p->classes, to, prob, own);
    pv_free_big(in);
    pv_free_big(out);
    return ok;
}

/* Into prob [classes][size of vol], or with label [map->size] the labels on the file's grid. */
static bool infer(struct pv_model *const *m, int num, const char *what, const struct pv_volume *vol,
                  const struct pv_infer_opts *o, float *prob, const struct pv_prep_map *map, uint8_t *label)
{
    const pv_json *c = m[0]->config, *ev = pv_json_get(c, "eval");
    const struct pv_net_config *net = &m[0]->run->net;
    unsigned mirror;
    if (!pv_config_mirror(o->mirror ? o->mirror : pv_json_str(ev, "mirror", ""), &mirror))
        return false;
    struct ensemble e = {m, num};
    struct show s = {.what = what, .o = o};
    struct pv_slide_params p = {.dims = net->dims, .channels = net->channels, .classes = net->classes,
        .batch = o->batch > 0 ? o->batch : (int)pv_json_num(ev, "batch", 4),
        .gaussian = o->gaussian >= 0 ? o->gaussian : pv_json_flag(ev, "gaussian", false),
        .even = pv_json_flag(ev, "even", false),
        .mirror = mirror, .predict = predict, .user = &e, .progress = progress, .progress_user = &s};
    pv_config_patch(c, "train.patch", p.patch);
    pv_config_patch(c, "eval.stride", p.stride);
    if (o->stride[0])
        memcpy(p.stride, o->stride, sizeof p.stride);
    pv_dev *dev = m[0]->run->dev;
    bool ok = net->dims == 2 ? slide_slices(dev, vol, &p, prob)
              : label ? pv_slide_file_labels(dev, vol->image, vol->size, &p, map, label)
                      : pv_slide(dev, vol->image, vol->size, &p, prob);
    if (!ok && s.stopped && pv_fault_kind() == PV_FAULT_NONE)
        pv_fail(PV_FAULT_STOPPED, "interrupted while predicting %s", what);
    if (!ok && pv_dev_out_of_memory(m[0]->run->dev))
        pv_log(PV_LOG_ERROR, "the memory of %s does not suffice for %d windows of %dx%dx%d at a time; try %s",
               pv_dev_get_info(m[0]->run->dev)->id, p.batch, p.patch[0], p.patch[1], p.patch[2],
               p.batch > 1 ? "--batch 1" : "another --device: one window of the size of the training patch is needed");
    return ok;
}

static bool channels_fit(const struct pv_model *m, const char *what, const struct pv_volume *vol)
{
    const int n = m->run->net.channels;
    return vol->channels == n || pv_fail(PV_FAULT_INPUT, "%s has %d channels, the run was trained with %d", what,
                                         vol->channels, n);
}

bool pv_infer_prepared(struct pv_model *const *m, int num, const char *what, const struct pv_volume *vol,
                       const struct pv_infer_opts *o, float **prob)
{
    *prob = NULL;
    if (!channels_fit(m[0], what, vol))
        return false;
    *prob = pv_alloc_big(sizeof(float) * pv_volume_voxels(vol) * (size_t)m[0]->run->net.classes, "probabilities");
    if (!*prob || infer(m, num, what, vol, o, *prob, NULL, NULL))
        return *prob != NULL;
    pv_free_big(*prob);
    *prob = NULL;
    return false;
}

/* As training saw them: some preparations go by the name of a channel. NULL for a run that does not know them; else
 * [channels], pv_free the array. The texts are the configuration's. */
static char **channel_names(const struct pv_model *m)
{
    const pv_json *names = pv_json_get(pv_json_get(m->config, "dataset"), "channels");
    int n = m->run->net.channels;
    if (pv_json_count(names) != (size_t)n)
        return NULL;
    char **out = pv_array(char *, n);
    for (int i = 0; i < n; i++)
        out[i] = (char *)(uintptr_t)pv_json_string_value(pv_json_at(names, (size_t)i));
    return out;
}

static size_t file_voxels(const struct pv_prep_map *map)
{
    return (size_t)map->size[0] * (size_t)map->size[1] * (size_t)map->size[2];
}

static bool prepare(const struct pv_model *m, const char *what, struct pv_volume *vol, struct pv_prep_map *map,
                    int file_size[3])
{
    const struct pv_prep *prep = pv_prep_find(pv_json_str(pv_json_get(m->config, "data"), "prep", "auto"));
    if (!prep || !channels_fit(m, what, vol))           /* before preparation, which may take a while */
        return false;
    char **names = channel_names(m);
    bool ok = pv_prep_apply(prep, what, names, vol, map);
    pv_free(names);
    if (ok)
        memcpy(file_size, map->size, sizeof map->size);
    return ok;
}

static bool on_file_grid(struct pv_model *const *m, int num, const char *what, const struct pv_volume *vol,
                         const struct pv_prep_map *map, const struct pv_infer_opts *o, float **prob)
{
    int classes = m[0]->run->net.classes;
    float *own = NULL;
    if (!pv_infer_prepared(m, num, what, vol, o, &own))
        return false;
    const size_t bytes = sizeof(float) * file_voxels(map) * (size_t)classes;
    *prob = is_identity(map, vol->size) ? own : pv_alloc_big(bytes, "probabilities");
    if (*prob && *prob != own)
        pv_slide_to_file_grid(own, vol->size, classes, map, *prob);
    if (*prob != own)
        pv_free_big(own);
    return *prob != NULL;
}

bool pv_infer_volume(struct pv_model *const *m, int num, const char *what, struct pv_volume *vol,
                     const struct pv_infer_opts *o, float **prob, int file_size[3])
{
    struct pv_prep_map map;
    *prob = NULL;
    return prepare(m[0], what, vol, &map, file_size) && on_file_grid(m, num, what, vol, &map, o, prob);
}

bool pv_infer_labels(struct pv_model *const *m, int num, const char *what, struct pv_volume *vol,
                     const struct pv_infer_opts *o, uint8_t **label, int file_size[3])
{
    const struct pv_net_config *net = &m[0]->run->net;
    struct pv_prep_map map;
    float *prob = NULL;
    *label = NULL;
    if (!prepare(m[0], what, vol, &map, file_size))
        return false;
    uint8_t *out = pv_alloc_big(file_voxels(&map), "labels");
    bool ok = out != NULL;
    if (ok && net->dims == 3 && !map.slice_axis) {
        ok = infer(m, num, what, vol, o, NULL, &map, out);
    } else if (ok) {
        ok = on_file_grid(m, num, what, vol, &map, o, &prob);
        if (ok)
            pv_slide_labels(prob, net->classes, file_voxels(&map), out);
    }
    pv_free_big(prob);
    if (ok)
        *label = out;
    else
        pv_free_big(out);
    return ok;
}

bool pv_config_eval(const pv_json *config, int classes, struct pv_eval_params *out)
{
    const pv_json *ev = pv_json_get(config, "eval");
    *out = pv_eval_defaults(classes);
    out->units = pv_streq(pv_json_str(ev, "units", "voxel"), "mm") ? PV_UNITS_MM : PV_UNITS_VOXEL;
    const char *empty = pv_json_str(ev, "empty", "medpy");
    out->empty = pv_streq(empty, "strict") ? PV_EMPTY_STRICT : pv_streq(empty, "nan") ? PV_EMPTY_NAN
                                                                                     : PV_EMPTY_MEDPY;
    out->largest = (int)pv_json_num(ev, "largest", 0);
    struct pv_strs names = {0};
    pv_strs_split(&names, pv_json_str(ev, "metrics", "dice,jaccard,hd95,asd"), ", ");
    out->wanted = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < names.n; i++) {
        int id = pv_metric_find(names.v[i]);
        ok = id >= 0;
        if (ok)
            out->wanted |= 1u << id;
    }
    pv_strs_free(&names);
    return ok;
}

/* Predicts one case and scores it. */
static bool one_case(struct pv_model *const *m, int num, const pv_dataset *ds, int index,
                     const struct pv_infer_opts *o, const struct pv_eval_params *ep, struct pv_table *table,
                     void (*done)(void *user, const struct pv_infer_case *c), void *user)
{
    const struct pv_case *pc = &ds->cases[index];
    struct pv_load load = pv_config_load(m[0]->config);
    struct pv_volume v = {0}, work = {0};
    struct pv_case_metrics cm = {0};
    float *prob = NULL;
    uint8_t *label = NULL;
    int s[3];
    bool ok = pv_case_load(ds, index, PV_IMAGE | (pc->has_label ? PV_LABEL : 0), &load, &v);
    if (!ok)
        goto done;
    size_t n = pv_volume_voxels(&v);
    work = v;
    work.label = NULL;
    work.image = pv_alloc_big(sizeof(float) * n * (size_t)v.channels, "image");
    ok = work.image != NULL;
    if (!ok)
        goto done;
    memcpy(work.image, v.image, sizeof(float) * n * (size_t)v.channels);
    ok = pv_infer_volume(m, num, pc->id, &work, o, &prob, s);
    if (!ok)
        goto done;
    label = pv_alloc_big(n, "labels");
    ok = label != NULL;
    if (!ok)
        goto done;
    pv_slide_labels(prob, m[0]->run->net.classes, n, label);
    if (pc->has_label)
        ok = pv_evaluate_pair(label, v.label, v.size, v.spacing, ep, &cm);
    if (!ok)
        goto done;
    cm.name = pv_strdup(pc->id);
    if (done)
        done(user, &(struct pv_infer_case){pc->id, &v, label, prob, &cm});
    if (pc->has_label && table)
        pv_table_add(table, &cm);
done:
    pv_case_metrics_free(&cm);
    pv_free_big(label);
    pv_free_big(prob);
    pv_volume_free(&work);
    pv_volume_free(&v);
    return ok;
}

bool pv_infer_split(struct pv_model *const *m, int num, const pv_dataset *ds, enum pv_split split,
                    const struct pv_infer_opts *o, const struct pv_eval_params *ep, struct pv_table *table,
                    void (*done)(void *user, const struct pv_infer_case *c), void *user)
{
    int n = ds->num_split[split], *v = pv_array(int, n + 1);
    pv_dataset_split(ds, split, v);
    bool ok = n > 0 || pv_fail(PV_FAULT_INPUT, "%s has no %s cases", ds->dir, pv_split_name(split));
    for (int i = 0; ok && i < n; i++)
        ok = one_case(m, num, ds, v[i], o, ep, table, done, user);
    pv_free(v);
    return ok;
}
