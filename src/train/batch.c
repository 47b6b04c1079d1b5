/* SPDX-License-Identifier: Apache-2.0
 * From a data set to batches on the device. */
#include "train/batch.h"

#include <stdio.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "platform/platform.h"
#include "train/active.h"
#include "train/config.h"

struct pv_dataset_params pv_config_dataset(const pv_json *config, const char *lists)
{
    const pv_json *d = pv_json_get(config, "data");
    return (struct pv_dataset_params){.num_classes = (int)pv_json_num(pv_json_get(config, "net"), "classes", 2),
                                      .fold = (int)pv_json_num(d, "fold", -1), .lists = lists,
                                      .ignore = pv_streq(pv_json_str(d, "annotation", "dense"), "sparse")
                                                    ? PV_LABEL_IGNORE : 0};
}

struct pv_load pv_config_load(const pv_json *config)
{
    const pv_json *d = pv_json_get(config, "data");
    return (struct pv_load){.read = {.ras = pv_streq(pv_json_str(d, "orient", "file"), "ras"),
                                     .bad_to_zero = pv_json_flag(d, "bad_to_zero", false)},
                            .copy_geometry = pv_json_flag(d, "copy_geometry", false)};
}

/* ---- which cases ---- */

static void put_ids(pv_json *cases, const char *key, const pv_dataset *ds, const int *v, int n)
{
    pv_json *a = pv_json_array();
    for (int i = 0; i < n; i++)
        pv_json_add_str(a, ds->cases[v[i]].id);
    pv_json_set(cases, key, a);
}

static bool take_ids(const pv_json *cases, const char *key, const pv_dataset *ds, int *v, int *n)
{
    const pv_json *a = pv_json_get(cases, key);
    *n = 0;
    for (size_t i = 0; i < pv_json_count(a); i++) {
        const char *id = pv_json_string_value(pv_json_at(a, i));
        int at = id ? pv_dataset_find(ds, id) : -1;
        if (at < 0)
            return pv_fail(PV_FAULT_INPUT, "%s: case '%s' of the run's config.json is not there any more", ds->dir,
                           id ? id : "?");
        v[(*n)++] = at;
    }
    return true;
}

/* Preset auto, what was not given: the patch is the median size of the training volumes, at most 112x112x80 voxels in
 * all, sides multiples of 16; the stride half of it. */
static bool plan_patch(pv_json *config, const pv_dataset *ds)
{
    int n = ds->num_split[PV_TRAIN], *v = pv_array(int, n), *side[3];
    const pv_json *d = pv_json_get(config, "data");
    const struct pv_prep *prep = pv_prep_find(pv_json_str(d, "prep", "auto"));
    struct pv_load load = pv_config_load(config);
    pv_dataset_split(ds, PV_TRAIN, v);
    for (int a = 0; a < 3; a++)
        side[a] = pv_array(int, n);
    bool ok = prep != NULL;
    for (int i = 0; ok && i < n; i++) {
        struct pv_volume vol = {0};
        int s[3];
        ok = pv_case_info(ds, v[i], &load, &vol);
        if (ok)
            pv_prep_size(prep, vol.size, vol.spacing, s);
        for (int a = 0; ok && a < 3; a++) {
            int k = i;                          /* insertion keeps them sorted */
            for (; k > 0 && side[a][k - 1] > s[a]; k--)
                side[a][k] = side[a][k - 1];
            side[a][k] = s[a];
        }
        pv_volume_free(&vol);
    }
    int patch[3], stride[3];
    for (int a = 0; ok && a < 3; a++) {
        patch[a] = side[a][n / 2] / 16 * 16;
        patch[a] = patch[a] < 16 ? 16 : patch[a];
    }
    while (ok && (int64_t)patch[0] * patch[1] * patch[2] > 112 * 112 * 80) {
        int big = patch[0] >= patch[1] && patch[0] >= patch[2] ? 0 : patch[1] >= patch[2] ? 1 : 2;
        patch[big] -= 16;
    }
    const pv_json *by = pv_json_get(config, "by_data");
    if (!pv_json_flag(by, "patch", false))
        pv_config_patch(config, "train.patch", patch);
    for (int a = 0; a < 3; a++) {
        stride[a] = ok ? pv_max(1, patch[a] / 2) : 0;
        pv_free(side[a]);
    }
    pv_free(v);
    if (ok) {
        if (!pv_json_flag(by, "stride", false))
            pv_config_patch(config, "eval.stride", stride);
        pv_config_set_shape(config, "train.patch", patch);
        pv_config_set_shape(config, "eval.stride", stride);
        if (pv_json_flag(by, "patch", false))
            pv_info("patch %dx%dx%d, by the size of the volumes", patch[0], patch[1], patch[2]);
        if (pv_json_flag(by, "stride", false))
            pv_info("stride %dx%dx%d, half the patch", stride[0], stride[1], stride[2]);
    }
    return ok;
}

/* For reports: the data set's name and what its classes and channels are called. */
static void describe(pv_json *config, const pv_dataset *ds)
{
    pv_json *j = pv_json_object(), *classes = pv_json_array(), *channels = pv_json_array();
    pv_json_set_str(j, "name", ds->name);
    for (int i = 0; i < ds->num_classes; i++)
        pv_json_add_str(classes, ds->class_names[i]);
    for (int i = 0; i < ds->channels; i++)
        pv_json_add_str(channels, ds->channel_names[i]);
    pv_json_set(j, "classes", classes);
    pv_json_set(j, "channels", channels);
    pv_json_set(config, "dataset", j);
}

/* A negative eval.every: twenty times, where there is something to validate with. */
static void plan_validation(pv_json *config, const pv_dataset *ds)
{
    pv_json *ev = pv_json_get(config, "eval");
    if (pv_json_num(ev, "every", 0) >= 0)
        return;
    double iters = pv_json_num(pv_json_get(config, "train"), "iters", 1);
    pv_json_set_num(ev, "every", ds->num_split[PV_VAL] > 0 ? fmax(1, floor(iters / 20)) : 0);
    if (ds->num_split[PV_VAL] > 0)
        pv_info("validation on %d cases every %.0f iterations (eval.every)", ds->num_split[PV_VAL],
                pv_json_num(ev, "every", 0));
}

pv_dataset *pv_feed_resolve(pv_json *config, const char *data, const char *lists, bool unlabeled)
{
    struct pv_dataset_params dp = pv_config_dataset(config, lists);
    pv_dataset *ds = pv_dataset_open(data, &dp);
    if (!ds)
        return NULL;
    pv_json *net = pv_json_get(config, "net"), *d = pv_json_get(config, "data"), *cases;
    pv_json_set_num(net, "classes", ds->num_classes);
    pv_json_set_num(net, "channels", ds->channels);
    describe(config, ds);
    if (pv_json_get(config, "cases"))
        return ds;
    int n = ds->num_split[PV_TRAIN], nl = 0, nu = 0;
    int *l = pv_array(int, n + 1), *u = pv_array(int, n + 1);
    int64_t seed = (int64_t)pv_json_num(d, "labeled_seed", -1);
    bool active = pv_active_of(config).rounds > 0;
    bool ok = active ? pv_active_start(config, ds, l, &nl, u, &nu)
                     : pv_dataset_labeled(ds, (int)pv_json_num(d, "labeled", 0), seed, l, &nl, u, &nu);
    if (ok && nl == 0)
        ok = pv_fail(PV_FAULT_INPUT, "%s: no training case has a label; annotate at least one", data);
    if (ok && unlabeled && nu == 0) {
        pv_warn("every training case is labelled; the labelled ones serve as unlabelled ones too");
        memcpy(u, l, sizeof *u * (size_t)nl);
        nu = nl;
    }
    cases = pv_json_object();
    put_ids(cases, "labeled", ds, l, nl);
    put_ids(cases, "unlabeled", ds, u, unlabeled || active ? nu : 0);
    pv_json_set(config, "cases", cases);
    if (ok && pv_json_get(config, "by_data"))
        ok = plan_patch(config, ds);
    pv_json_remove(config, "by_data");
    plan_validation(config, ds);
    pv_free(l);
    pv_free(u);
    if (!ok)
        pv_dataset_free(&ds);
    return ds;
}

/* ---- volumes ---- */

static void show_reading(void *user, int done, int total)
{
    if (!((const struct pv_feed_edit *)user)->quiet && pv_is_tty(stderr)) {
        fprintf(stderr, "\r\033[Kreading volumes %d/%d%s", done, total, done == total ? "\r\033[K" : "");
        fflush(stderr);
    }
}

/* A patch that no volume can hold by far is a mistake of the options, not of the data. */
static bool patch_fits(const pv_dataset *ds, const int *index, int n, const struct pv_prep *prep,
                       const struct pv_load *load, const int patch[3])
{
    int most[3] = {0};
    bool half = false;
    for (int i = 0; i < n; i++) {
        struct pv_volume v = {0};
        int s[3];
        if (!pv_case_info(ds, index[i], load, &v))
            return false;
        pv_prep_size(prep, v.size, v.spacing, s);
        for (int a = 0; a < 3; a++)
            most[a] = pv_max(most[a], s[a]);
        half = half || (s[0] >= patch[0] / 2 && s[1] >= patch[1] / 2 && s[2] >= patch[2] / 2);
        pv_volume_free(&v);
        if (s[0] >= patch[0] && s[1] >= patch[1] && s[2] >= patch[2])
            return true;
    }
    if (half)
        pv_warn("no labelled volume holds a patch of %dx%dx%d (at most %dx%dx%d after preparation): every patch is "
                "padded with zeros, a smaller --patch computes less", patch[0], patch[1], patch[2], most[0], most[1],
                most[2]);
    return half ||
           pv_fail(PV_FAULT_USAGE, "the patch %dx%dx%d is more than twice as large as every training volume (at most "
                   "%dx%dx%d after preparation); choose a smaller --patch", patch[0], patch[1], patch[2], most[0],
                   most[1], most[2]);
}

/* Slices of every item, from the headers. */
static int *count_slices(const pv_dataset *ds, const struct pv_store_item *items, int n, const struct pv_prep *prep,
                         const struct pv_load *load)
{
    int *slices = pv_array(int, n + 1);
    for (int i = 0; i < n; i++) {
        struct pv_volume v = {0};
        int s[3];
        if (!pv_case_info(ds, items[i].index, load, &v)) {
            pv_free(slices);
            return NULL;
        }
        pv_prep_size(prep, v.size, v.spacing, s);
        slices[i] = s[0];
        pv_volume_free(&v);
    }
    return slices;
}

static void make_sparse(void *user, int index, struct pv_volume *v)
{
    const struct pv_feed_edit *e = user;
    int lo[3], hi[3];
    struct pv_cross c;
    if (!e->cross || !v->label)
        return;
    pv_cross_box(v->label, v->size, lo, hi);
    pv_cross_slices(lo, hi, e->slices, &c);
    pv_cross_keep(&c, v->size, v->label);
}

/* Labels that may become known later: all (simulated annotation), or those that earlier rounds asked for and that
 * must have been painted by now. */
static bool will_be_labeled(const pv_json *config, const pv_dataset *ds, bool *shown)
{
    struct pv_str missing = {0};
    bool all = pv_active_of(config).rounds > 0 && pv_active_of(config).simulate;
    for (int i = 0; i < ds->num_cases; i++)
        shown[i] = all;
    for (const pv_json *e = pv_json_at(pv_json_path(config, "cases.rounds"), 0); e; e = pv_json_next(e))
        for (const pv_json *id = pv_json_at(pv_json_get(e, "labeled"), 0); id; id = pv_json_next(id)) {
            const char *name = pv_json_string_value(id);
            int at = name ? pv_dataset_find(ds, name) : -1;
            if (at >= 0)
                shown[at] = true;
            if (at >= 0 && !ds->cases[at].has_label)
                pv_str_addf(&missing, "%s%s", missing.len ? ", " : "", name);
        }
    bool ok = missing.len == 0 || pv_fail(PV_FAULT_INPUT, "%s: the run waits for labels of %s; paint the slices that "
                                          "its active-*.json lists, then resume", ds->dir, missing.text);
    pv_str_free(&missing);
    return ok;
}

bool pv_feed_open(struct pv_feed *f, pv_dataset *ds, const pv_json *config, bool quiet)
{
    memset(f, 0, sizeof *f);
    f->ds = ds;
    f->stage = -1;
    const pv_json *d = pv_json_get(config, "data"), *cases = pv_json_get(config, "cases");
    const struct pv_prep *prep = pv_prep_find(pv_json_str(d, "prep", "auto"));
    struct pv_load load = pv_config_load(config);
    int room = ds->num_cases + 1, *l = pv_array(int, room), *u = pv_array(int, room), patch[3];
    bool *shown = pv_array(bool, room);
    struct pv_store_item *items = pv_array(struct pv_store_item, 2 * room);
    bool ok = prep && take_ids(cases, "labeled", ds, l, &f->num_labeled) &&
              take_ids(cases, "unlabeled", ds, u, &f->num_unlabeled) && will_be_labeled(config, ds, shown);
    int n = 0;
    f->labeled = pv_array(int, 2 * room);
    f->unlabeled = pv_array(int, room);
    f->edit = pv_new(struct pv_feed_edit);
    *f->edit = (struct pv_feed_edit){.cross = pv_streq(pv_json_str(d, "annotation", "dense"), "cross"),
                                     .slices = (int)pv_json_num(d, "slices", 1), .quiet = quiet};
    for (int i = 0; ok && i < f->num_labeled; i++) {
        f->labeled[i] = n;
        items[n++] = (struct pv_store_item){l[i], true};
    }
    for (int i = 0; ok && i < f->num_unlabeled; i++) {
        f->unlabeled[i] = n;
        items[n++] = (struct pv_store_item){u[i], shown[u[i]]};
    }
    pv_config_patch(config, "train.patch", patch);
    if (ok && prep->slices)
        ok = (f->slices = count_slices(ds, items, n, prep, &load)) != NULL;
    else
        ok = ok && patch_fits(ds, l, f->num_labeled, prep, &load, patch);
    struct pv_store_params sp = {.prep = prep, .load = load, .progress = show_reading, .edit = make_sparse,
                                 .user = f->edit, .budget = (uint64_t)pv_json_num(d, "memory_mb", 0) << 20};
    if (ok)
        f->store = pv_store_open(ds, items, n, &sp);
    pv_free(l);
    pv_free(u);
    pv_free(shown);
    pv_free(items);
    if (!f->store)
        pv_feed_close(f);
    return f->store != NULL;
}

bool pv_feed_reveal(struct pv_feed *f, const pv_json *ids)
{
    for (const pv_json *e = pv_json_at(ids, 0); e; e = pv_json_next(e)) {
        const char *id = pv_json_string_value(e);
        int i = 0;
        while (i < f->num_unlabeled &&
               !pv_streq(f->ds->cases[pv_store_case(f->store, f->unlabeled[i])].id, id))
            i++;
        if (i == f->num_unlabeled)
            return pv_fail(PV_FAULT_INPUT, "%s: case '%s' of the run's config.json is not among its unlabelled ones",
                           f->ds->dir, id ? id : "?");
        f->labeled[f->num_labeled++] = f->unlabeled[i];
        memmove(f->unlabeled + i, f->unlabeled + i + 1, sizeof(int) * (size_t)(--f->num_unlabeled - i));
    }
    pv_loader_stop(&f->loader);
    return true;
}

static struct pv_loader_params loader_of(const struct pv_feed *f, const struct pv_run *r)
{
    const pv_json *d = pv_json_get(r->config, "data");
    int nl, nu;
    pv_run_batch_size(r, r->stage, &nl, &nu);
    bool none = f->num_unlabeled == 0;      /* all are labelled by now: they serve as unlabelled ones too */
    struct pv_loader_params p = {.store = f->store, .labeled = f->labeled, .num_labeled = f->num_labeled,
        .unlabeled = none ? f->labeled : f->unlabeled, .num_unlabeled = none ? f->num_labeled : f->num_unlabeled,
        .labeled_bs = nl, .unlabeled_bs = nu,
        .pad_label = pv_streq(pv_json_str(d, "annotation", "dense"), "dense") ? 0 : PV_LABEL_IGNORE,
        .replacement = pv_json_flag(d, "replacement", false), .seed = r->seed,
        .aug = {.rotate = pv_json_flag(d, "rotate", true), .flip = pv_json_flag(d, "flip", true)},
        .first_step = (uint64_t)r->draw};
    pv_config_patch(r->config, "train.patch", p.aug.patch);
    p.flat = (struct pv_slice_params){{p.aug.patch[1], p.aug.patch[2]}, p.aug.rotate, p.aug.flip};
    return p;
}

/* Items to all of their slices; the caller's. */
static int spread(const struct pv_feed *f, const int *items, int n, int **out, int **slice)
{
    int num = 0, k = 0;
    for (int i = 0; i < n; i++)
        num += f->slices[items[i]];
    *out = pv_array(int, num + 1);
    *slice = pv_array(int, num + 1);
    for (int i = 0; i < n; i++)
        for (int z = 0; z < f->slices[items[i]]; z++, k++) {
            (*out)[k] = items[i];
            (*slice)[k] = z;
        }
    return num;
}

/* In 2D samples are slices. p: num_labeled and num_unlabeled become those of the samples. */
static pv_loader *start_loader(const struct pv_feed *f, struct pv_loader_params *p)
{
    if (!f->slices)
        return pv_loader_start(p);
    int *l, *u, *ls, *us;
    p->num_labeled = spread(f, p->labeled, p->num_labeled, &l, &ls);
    p->num_unlabeled = spread(f, p->unlabeled, p->num_unlabeled, &u, &us);
    p->labeled = l;
    p->unlabeled = u;
    p->labeled_slices = ls;
    p->unlabeled_slices = us;
    pv_loader *loader = pv_loader_start(p);
    p->labeled = p->unlabeled = p->labeled_slices = p->unlabeled_slices = NULL;
    pv_free(l);
    pv_free(u);
    pv_free(ls);
    pv_free(us);
    return loader;
}

bool pv_feed_stage(struct pv_feed *f, const struct pv_run *r)
{
    if (f->loader && f->stage == r->stage)
        return true;
    pv_loader_stop(&f->loader);
    struct pv_loader_params p = loader_of(f, r);
    f->loader = start_loader(f, &p);
    f->stage = r->stage;
    return f->loader != NULL;
}

static bool next_batch(pv_loader *loader, struct pv_run *r, struct pv_patches *out)
{
    const struct pv_batch *b = pv_loader_next(loader);
    if (!b)
        return false;
    int n = b->n_labeled + b->n_unlabeled;
    *out = (struct pv_patches){.num_labeled = b->n_labeled, .num_unlabeled = b->n_unlabeled,
        .image = pv_tensor_new(r->dev, pv_plain(r->net.dims, n, b->channels, b->patch), PV_F32),
        .label = pv_tensor_new(r->dev, pv_plain(r->net.dims, n, 1, b->patch), PV_I32)};
    pv_tensor_write(out->image, b->image);
    pv_tensor_write_i32(out->label, b->label);
    return !pv_dev_failed(r->dev);
}

bool pv_feed_next(struct pv_feed *f, struct pv_run *r, struct pv_patches *out) { return next_batch(f->loader, r, out); }

bool pv_feed_prepare(struct pv_feed *f, struct pv_run *r)
{
    const struct pv_method *m = r->method;
    if (!m->prepare || r->stage != m->prepare_stage || r->stage_iter > 0)
        return true;
    struct pv_loader_params p = loader_of(f, r);
    p.unlabeled_bs = 0;
    p.first_step = 0;
    p.seed = pv_stream("prepare", r->seed, 0);      /* other crops than those of the steps */
    pv_loader *loader = start_loader(f, &p);
    const int count = pv_max(1, p.num_labeled / p.labeled_bs);
    bool ok = loader != NULL;
    for (int i = 0; ok && i < count; i++) {
        struct pv_patches b = {0};
        ok = next_batch(loader, r, &b) && m->prepare(r, &b, i, count);
        pv_tensor_put(&b.image);
        pv_tensor_put(&b.label);
    }
    pv_loader_stop(&loader);
    return ok;
}

void pv_feed_close(struct pv_feed *f)
{
    pv_loader_stop(&f->loader);
    if (f->store)
        pv_store_close(&f->store);
    pv_dataset_free(&f->ds);
    pv_free(f->labeled);
    pv_free(f->unlabeled);
    pv_free(f->edit);
    pv_free(f->slices);
    f->labeled = f->unlabeled = f->slices = NULL;
    f->edit = NULL;
}
