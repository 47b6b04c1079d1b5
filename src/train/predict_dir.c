/* SPDX-License-Identifier: Apache-2.0
 * predict.json. It is written anew around every prediction: a file that another one replaces is taken out of the list
 * before and put into it after, so a killed predict leaves at most a file that the list does not know. */
#include "train/predict_dir.h"

#include <stdlib.h>

#include "base/hash.h"
#include "platform/platform.h"
#include "pv_config.h"
#include "train/config.h"
#include "train/predict.h"

struct pv_predict_dir {
    const char *dir;
    char *path;                 /* predict.json */
    pv_dev *dev;
    pv_json *weights, *files;   /* files: array of {"name", "holds", "inputs", "settings"} */
    bool overwrite;
};

static const char *const holds[] = {"labels", "probabilities"};

static bool hash_file(const char *path, char out[20])
{
    enum { PIECE = 1 << 20 };
    FILE *f = pv_fopen(path, "rb");
    char *piece = pv_alloc(PIECE);
    uint64_t h = PV_HASH_START;
    size_t n;
    while (f && (n = fread(piece, 1, PIECE, f)) > 0)
        h = pv_hash(h, piece, n);
    bool ok = f && !ferror(f);
    if (!ok)
        pv_fail(PV_FAULT_INPUT, "%s cannot be read: %s", path, pv_os_error());
    if (f)
        fclose(f);
    pv_free(piece);
    snprintf(out, 20, "%016llx", (unsigned long long)h);
    return ok;
}

/* ---- where predictions come from ---- */

static pv_json *inputs_of(const char *input, int channels)
{
    struct pv_strs files = {0};
    pv_json *all = pv_json_array();
    bool ok = true;
    pv_case_files(input, channels, &files);
    for (size_t i = 0; ok && i < files.n; i++) {
        char hash[20];
        pv_json *one = pv_json_object();
        pv_json_add(all, one);
        pv_json_set_str(one, "file", files.v[i]);
        pv_json_set_num(one, "bytes", (double)pv_file_size(files.v[i]));
        ok = hash_file(files.v[i], hash);
        pv_json_set_str(one, "hash", ok ? hash : "");
    }
    pv_strs_free(&files);
    if (!ok)
        pv_json_free(all);
    return ok ? all : NULL;
}

/* As pv_infer_labels() resolves them; of the configuration what prepares an image. */
static pv_json *settings_of(struct pv_model *const *m, int num, const struct pv_infer_opts *o)
{
    const pv_json *c = m[0]->config, *ev = pv_json_get(c, "eval"), *d = pv_json_get(c, "data");
    const pv_json *names = pv_json_get(pv_json_get(c, "dataset"), "channels");
    static const char axes[] = "xyz";
    pv_json *s = pv_json_object();
    int patch[3], stride[3], mixed = 0, n = 0;
    unsigned bits;
    char mirror[4] = "";
    pv_config_patch(c, "train.patch", patch);
    pv_config_patch(c, "eval.stride", stride);
    pv_config_set_shape(s, "patch", patch);
    pv_config_set_shape(s, "stride", o->stride[0] ? o->stride : stride);
    pv_config_mirror(o->mirror ? o->mirror : pv_json_str(ev, "mirror", ""), &bits);
    for (int i = 0; i < 3; i++)
        if (bits & 1u << i)
            mirror[n++] = axes[i];
    for (int i = 0; i < num; i++)
        mixed += m[i]->run->tape->mixed;
    pv_json_set_str(s, "mirror", mirror);
    pv_json_set_bool(s, "gaussian", o->gaussian >= 0 ? o->gaussian > 0 : pv_json_flag(ev, "gaussian", false));
    pv_json_set_bool(s, "even", pv_json_flag(ev, "even", false));
    pv_json_set_num(s, "largest", o->largest >= 0 ? o->largest : pv_json_num(ev, "largest", 0));
    pv_json_set_str(s, "precision", mixed == 0 ? "fp32" : mixed == num ? "mixed" : "both");
    pv_json_set_str(s, "prep", pv_json_str(d, "prep", "auto"));
    pv_json_set_str(s, "orient", pv_json_str(d, "orient", "file"));
    pv_json_set_bool(s, "bad_to_zero", pv_json_flag(d, "bad_to_zero", false));
    if (names)
        pv_json_set(s, "channels", pv_json_copy(names));
    return s;
}

pv_json *pv_predict_origin(struct pv_model *const *m, int num, const char *input, const struct pv_infer_opts *o)
{
    pv_json *inputs = inputs_of(input, m[0]->run->net.channels);
    if (!inputs)
        return NULL;
    pv_json *origin = pv_json_object();
    pv_json_set(origin, "inputs", inputs);
    pv_json_set(origin, "settings", settings_of(m, num, o));
    return origin;
}

static bool same_inputs(const pv_json *a, const pv_json *b)
{
    const pv_json *x = pv_json_at(a, 0), *y = pv_json_at(b, 0);
    for (; x && y; x = pv_json_next(x), y = pv_json_next(y))
        if (pv_json_num(x, "bytes", -1) != pv_json_num(y, "bytes", -2) ||
            !pv_streq(pv_json_str(x, "hash", "?"), pv_json_str(y, "hash", "")))
            return false;
    return !x && !y && pv_json_count(a);
}

static char *setting_text(const pv_json *settings, const char *key)
{
    const pv_json *v = pv_json_get(settings, key);
    return v ? pv_json_text(v, false) : pv_strdup("missing");
}

/* "mirror \"x\", not \"\"": the first setting that is another one in b; NULL: they are the same. pv_free it. */
static char *other_setting(const pv_json *a, const pv_json *b)
{
    char *text = NULL;
    for (int side = 0; side < 2; side++)
        for (const pv_json *k = pv_json_at(side ? b : a, 0); k && !text; k = pv_json_next(k)) {
            char *x = setting_text(a, pv_json_key(k)), *y = setting_text(b, pv_json_key(k));
            if (!pv_streq(x, y))
                text = pv_asprintf("%s %s, not %s", pv_json_key(k), x, y);
            pv_free(x);
            pv_free(y);
        }
    return text;
}

/* ---- weights ---- */

/* Array of {run, file, steps, hash}; NULL after a fault. */
static pv_json *weights_of(struct pv_model *const *m, int num)
{
    pv_json *all = pv_json_array();
    for (int i = 0; i < num; i++) {
        char hash[20];
        pv_json *w = pv_json_object();
        pv_json_add(all, w);
        pv_json_set_str(w, "run", m[i]->folder);
        pv_json_set_str(w, "file", pv_path_base(m[i]->weights));
        pv_json_set_num(w, "steps", (double)m[i]->steps);
        if (!hash_file(m[i]->weights, hash)) {
            pv_json_free(all);
            return NULL;
        }
        pv_json_set_str(w, "hash", hash);
    }
    return all;
}

static int times(const pv_json *weights, const char *hash)
{
    int n = 0;
    for (const pv_json *w = pv_json_at(weights, 0); w; w = pv_json_next(w))
        n += pv_streq(pv_json_str(w, "hash", NULL), hash);
    return n;
}

/* The same weights, each as often, in any order. */
static bool same_weights(const pv_json *a, const pv_json *b)
{
    bool same = pv_json_count(a) == pv_json_count(b);
    for (const pv_json *x = pv_json_at(a, 0); x && same; x = pv_json_next(x)) {
        const char *hash = pv_json_str(x, "hash", "");
        same = hash[0] && times(a, hash) == times(b, hash);
    }
    return same;
}

/* ---- the folder ---- */

static bool file_there(const char *dir, const char *name)
{
    char *path = pv_path_join(dir, name);
    bool there = pv_file_exists(path);
    pv_free(path);
    return there;
}

/* Name of a member of "files"; older versions wrote nothing else. */
static const char *name_of(const pv_json *f)
{
    return pv_json_is_string(f) ? pv_json_string_value(f) : pv_json_str(f, "name", NULL);
}

/* Files of others: refused, or removed. */
static bool others(const char *dir, const pv_json *old, bool overwrite, const struct pv_strs *inputs)
{
    const pv_json *w = pv_json_at(pv_json_get(old, "weights"), 0);
    size_t removed = 0;
    for (const pv_json *f = pv_json_at(pv_json_get(old, "files"), 0); f; f = pv_json_next(f)) {
        const char *name = name_of(f);
        if (!name || !pv_streq(name, pv_path_base(name)) || !file_there(dir, name))
            continue;
        if (!overwrite)
            return pv_fail(PV_FAULT_USAGE, "%s holds predictions of other weights (%s/%s after %.0f iterations, "
                           "written %s): name another --out, or replace them with --overwrite", dir,
                           pv_json_str(w, "run", "?"), pv_json_str(w, "file", "?"), pv_json_num(w, "steps", 0),
                           pv_json_str(old, "date", "?"));
        bool input = false;
        for (size_t i = 0; i < inputs->n; i++)
            input = input || pv_streq(pv_path_base(inputs->v[i]), name);
        char *path = pv_path_join(dir, name);
        bool ok = input || pv_remove(path) ||
                  pv_fail(PV_FAULT_INPUT, "%s cannot be removed: %s", path, pv_os_error());
        pv_free(path);
        if (!ok)
            return false;
        removed += !input;
    }
    if (removed)
        pv_info("%zu predictions of other weights removed from %s", removed, dir);
    return true;
}

static bool write_note(const struct pv_predict_dir *p)
{
    char now[32];
    pv_json *j = pv_json_object(), *d = pv_json_object();
    pv_time_text(now);
    pv_json_set_str(j, "version", PV_VERSION);
    pv_json_set_str(j, "date", now);
    pv_json_set(j, "weights", pv_json_copy(p->weights));
    pv_json_set_str(d, "id", pv_dev_get_info(p->dev)->id);
    pv_json_set_str(d, "name", pv_dev_get_info(p->dev)->name);
    pv_json_set(j, "device", d);
    pv_json_set(j, "files", pv_json_copy(p->files));
    bool ok = pv_json_write(p->path, j);
    pv_json_free(j);
    return ok;
}

struct pv_predict_dir *pv_predict_dir_open(const char *dir, struct pv_model *const *m, int num, bool overwrite,
                                           const struct pv_strs *inputs)
{
    struct pv_predict_dir *d = pv_new(struct pv_predict_dir);
    *d = (struct pv_predict_dir){.dir = dir, .path = pv_path_join(dir, "predict.json"), .dev = m[0]->run->dev,
                                 .files = pv_json_array(), .overwrite = overwrite};
    pv_json *old = NULL;
    d->weights = weights_of(m, num);
    bool ok = d->weights && (!pv_file_exists(d->path) || (old = pv_json_read(d->path)) != NULL);
    if (ok && old && !pv_json_is_array(pv_json_get(old, "weights")))
        ok = pv_fail(PV_FAULT_USAGE, "%s was not written by protovox predict: name another --out", d->path);
    bool same = ok && old && same_weights(d->weights, pv_json_get(old, "weights"));
    if (ok && old && !same)
        ok = others(dir, old, overwrite, inputs);
    for (const pv_json *f = same ? pv_json_at(pv_json_get(old, "files"), 0) : NULL; f; f = pv_json_next(f))
        pv_json_add(d->files, pv_json_copy(f));
    ok = ok && write_note(d);
    pv_json_free(old);
    if (!ok)
        pv_predict_dir_free(&d);
    return d;
}

void pv_predict_dir_free(struct pv_predict_dir **dp)
{
    struct pv_predict_dir *d = *dp;
    if (!d)
        return;
    pv_json_free(d->weights);
    pv_json_free(d->files);
    pv_free(d->path);
    pv_free(d);
    *dp = NULL;
}

/* ---- files of it ---- */

static const pv_json *entry_of(const struct pv_predict_dir *d, const char *name)
{
    for (const pv_json *f = pv_json_at(d->files, 0); f; f = pv_json_next(f))
        if (pv_streq(name_of(f), name))
            return f;
    return NULL;
}

/* Why a file is not what was asked for: "was made of a.nii.gz, which is another image"; NULL: it is. pv_free it. */
static char *mismatch(const pv_json *entry, enum pv_predicted what, const pv_json *origin)
{
    const pv_json *inputs = pv_json_get(entry, "inputs"), *asked = pv_json_get(origin, "inputs");
    if (!pv_json_count(inputs) || !pv_json_get(entry, "settings"))
        return pv_asprintf("is there already, and predict.json does not say of what it was made");
    if (!pv_streq(pv_json_str(entry, "holds", ""), holds[what]))
        return pv_asprintf("is there already and holds %s", pv_json_str(entry, "holds", "?"));
    if (!same_inputs(inputs, asked))
        return pv_asprintf("is there already, made of %s when that was another image than %s",
                           pv_json_str(pv_json_at(inputs, 0), "file", "?"),
                           pv_json_str(pv_json_at(asked, 0), "file", "?"));
    char *other = other_setting(pv_json_get(entry, "settings"), pv_json_get(origin, "settings"));
    char *text = other ? pv_asprintf("is there already, made with other settings (%s)", other) : NULL;
    pv_free(other);
    return text;
}

bool pv_predict_dir_check(const struct pv_predict_dir *d, const char *name, enum pv_predicted what,
                          const pv_json *origin, bool *there)
{
    *there = false;
    if (!file_there(d->dir, name))
        return true;
    char *why = mismatch(entry_of(d, name), what, origin);
    bool ok = !why || d->overwrite ||
              pv_fail(PV_FAULT_USAGE, "%s/%s %s: name another --out, or replace it with --overwrite", d->dir, name,
                      why);
    *there = !why;
    pv_free(why);
    return ok;
}

bool pv_predict_dir_check_unasked(struct pv_predict_dir *d, const char *name, const pv_json *origin)
{
    bool there, mine = pv_streq(pv_json_str(entry_of(d, name), "holds", ""), holds[PV_PREDICTED_PROBABILITIES]);
    if (!mine || !file_there(d->dir, name))
        return true;
    if (!pv_predict_dir_check(d, name, PV_PREDICTED_PROBABILITIES, origin, &there))
        return false;
    if (there)
        return true;
    char *path = pv_path_join(d->dir, name);
    bool ok = pv_remove(path) || pv_fail(PV_FAULT_INPUT, "%s cannot be removed: %s", path, pv_os_error());
    pv_free(path);
    return ok && pv_predict_dir_forget(d, name, PV_PREDICTED_PROBABILITIES, origin);
}

/* All entries but those of `name`; true if there was one. */
static bool drop(struct pv_predict_dir *d, const char *name)
{
    pv_json *rest = pv_json_array();
    bool found = false;
    for (const pv_json *f = pv_json_at(d->files, 0); f; f = pv_json_next(f)) {
        bool it = pv_streq(name_of(f), name);
        found = found || it;
        if (!it)
            pv_json_add(rest, pv_json_copy(f));
    }
    pv_json_free(d->files);
    d->files = rest;
    return found;
}

bool pv_predict_dir_forget(struct pv_predict_dir *d, const char *name, enum pv_predicted what, const pv_json *origin)
{
    char *why = mismatch(entry_of(d, name), what, origin);
    bool ok = !why || !drop(d, name) || write_note(d);
    pv_free(why);
    return ok;
}

bool pv_predict_dir_keep(struct pv_predict_dir *d, const char *name, enum pv_predicted what, const pv_json *origin)
{
    pv_json *f = pv_json_object();
    drop(d, name);
    pv_json_set_str(f, "name", name);
    pv_json_set_str(f, "holds", holds[what]);
    pv_json_set(f, "inputs", pv_json_copy(pv_json_get(origin, "inputs")));
    pv_json_set(f, "settings", pv_json_copy(pv_json_get(origin, "settings")));
    pv_json_add(d->files, f);
    return write_note(d);
}
