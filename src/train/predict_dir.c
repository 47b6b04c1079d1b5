/* SPDX-License-Identifier: Apache-2.0
 * predict.json. It is written before the predictions: names in it may not be there (yet). */
#include "train/predict_dir.h"

#include <stdlib.h>

#include "base/hash.h"
#include "platform/platform.h"
#include "pv_config.h"

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

/* The same weights in any order. */
static bool same_weights(const pv_json *a, const pv_json *b)
{
    size_t found = 0;
    for (const pv_json *x = pv_json_at(a, 0); x; x = pv_json_next(x)) {
        bool in = false;
        for (const pv_json *y = pv_json_at(b, 0); y && !in; y = pv_json_next(y))
            in = pv_streq(pv_json_str(x, "hash", ""), pv_json_str(y, "hash", NULL));
        found += in;
    }
    return found == pv_json_count(a) && pv_json_count(a) == pv_json_count(b);
}

static bool file_there(const char *dir, const char *name)
{
    char *path = pv_path_join(dir, name);
    bool there = pv_file_exists(path);
    pv_free(path);
    return there;
}

/* Files of others: refused, or removed. */
static bool others(const char *dir, const pv_json *old, bool overwrite, const struct pv_strs *inputs)
{
    const pv_json *w = pv_json_at(pv_json_get(old, "weights"), 0);
    size_t removed = 0;
    for (const pv_json *f = pv_json_at(pv_json_get(old, "files"), 0); f; f = pv_json_next(f)) {
        const char *name = pv_json_string_value(f);
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

static bool write_note(const char *path, pv_json *weights, pv_dev *dev, const struct pv_strs *files)
{
    char now[32];
    pv_json *j = pv_json_object(), *d = pv_json_object(), *list = pv_json_array();
    pv_time_text(now);
    pv_json_set_str(j, "version", PV_VERSION);
    pv_json_set_str(j, "date", now);
    pv_json_set(j, "weights", weights);
    pv_json_set_str(d, "id", pv_dev_get_info(dev)->id);
    pv_json_set_str(d, "name", pv_dev_get_info(dev)->name);
    pv_json_set(j, "device", d);
    for (size_t i = 0; i < files->n; i++)
        pv_json_add_str(list, files->v[i]);
    pv_json_set(j, "files", list);
    bool ok = pv_json_write(path, j);
    pv_json_free(j);
    return ok;
}

bool pv_predict_claim(const char *dir, struct pv_model *const *m, int num, const struct pv_strs *names, bool overwrite,
                      const struct pv_strs *inputs, struct pv_strs *known)
{
    char *path = pv_path_join(dir, "predict.json");
    struct pv_strs files = {0};
    pv_json *weights = weights_of(m, num), *old = NULL;
    bool ok = weights && (!pv_file_exists(path) || (old = pv_json_read(path)) != NULL);
    if (ok && old && !pv_json_is_array(pv_json_get(old, "weights")))
        ok = pv_fail(PV_FAULT_USAGE, "%s was not written by protovox predict: name another --out", path);
    bool same = ok && old && same_weights(weights, pv_json_get(old, "weights"));
    if (ok && old && !same)
        ok = others(dir, old, overwrite, inputs);
    for (const pv_json *f = same ? pv_json_at(pv_json_get(old, "files"), 0) : NULL; f; f = pv_json_next(f))
        if (pv_json_is_string(f)) {
            pv_strs_add(known, pv_json_string_value(f));
            pv_strs_add(&files, pv_json_string_value(f));
        }
    for (size_t i = 0; i < names->n; i++)       /* what somebody else put there stays that somebody's */
        if (pv_strs_find(&files, names->v[i]) < 0 && (overwrite || !file_there(dir, names->v[i])))
            pv_strs_add(&files, names->v[i]);
    if (ok) {
        ok = write_note(path, weights, m[0]->run->dev, &files);
        weights = NULL;
    }
    pv_json_free(weights);
    pv_json_free(old);
    pv_strs_free(&files);
    pv_free(path);
    return ok;
}
