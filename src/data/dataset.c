/* SPDX-License-Identifier: Apache-2.0
 * Data sets: lists, folds, and which cases are labelled (dataset.h). */
#include "data/dataset_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "platform/platform.h"

static const struct pv_layout *const layouts[] = {&pv_layout_nnunet, &pv_layout_h5, NULL};

const char *pv_split_name(enum pv_split s)
{
    static const char *const names[] = {"train", "val", "test"};
    return names[s];
}

struct pv_case *found_add(struct found *f, const char *id, enum pv_split split)
{
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 64;
        f->v = pv_realloc(f->v, (size_t)f->cap * sizeof *f->v);
    }
    struct pv_case *c = &f->v[f->n++];
    *c = (struct pv_case){.id = pv_strdup(id), .split = split};
    return c;
}

void case_add_image(struct pv_case *c, const char *path)
{
    c->images = pv_realloc(c->images, (size_t)(c->num_images + 1) * sizeof *c->images);
    c->images[c->num_images++] = pv_strdup(path);
}

void case_clear(struct pv_case *c)
{
    for (int i = 0; i < c->num_images; i++)
        pv_free(c->images[i]);
    pv_free(c->images);
    pv_free(c->id);
    pv_free(c->label);
}

bool classes_by_number(pv_dataset *ds, int num_classes, int ignore)
{
    if (num_classes < 2 || num_classes > 255 || ignore < 0 || ignore > 255 || (ignore && ignore < num_classes))
        return pv_fail(PV_FAULT_USAGE,
                       "%d classes with %d for \"not annotated\": there must be 2 to 255 classes, and that "
                       "label must be none of them",
                       num_classes, ignore);
    ds->num_classes = num_classes;
    ds->class_names = pv_array(char *, num_classes);
    for (int i = 0; i < 256; i++)
        ds->classes[i] = (int16_t)(i < num_classes ? i : ignore && i == ignore ? PV_LABEL_IGNORE : -1);
    for (int i = 0; i < num_classes; i++)
        ds->class_names[i] = i ? pv_asprintf("class%d", i) : pv_strdup("background");
    return true;
}

/* ---- lists ---- */

/* Text of the first of the names that is a file in `dir`; *path says which, NULL: none. */
static bool find_list(const char *dir, const char *split, char **path)
{
    static const char *const forms[] = {"%s.list", "%s.txt", "datalist/%s.list", "datalist/%s.txt"};
    *path = NULL;
    for (size_t i = 0; i < PV_COUNT(forms); i++) {
        struct pv_str name = {0};
        const char *at = strstr(forms[i], "%s");
        pv_str_addn(&name, forms[i], (size_t)(at - forms[i]));
        pv_str_add(&name, split);
        pv_str_add(&name, at + 2);
        char *full = pv_path_join(dir, name.text);
        pv_str_free(&name);
        if (pv_file_exists(full)) {
            *path = full;
            return true;
        }
        pv_free(full);
    }
    return false;
}

/* Ids of a list, with the number of their line. */
struct ids { struct pv_strs id; int *line; };

static bool read_list(const char *path, struct ids *ids)
{
    char *text;
    size_t size;
    if (!pv_read_file(path, &text, &size))
        return false;
    int number = 1;
    char *p = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? text + 3 : text;
    for (; *p; number++) {
        size_t n = strcspn(p, "\r\n");
        char *next = p + n;
        if (*next == '\r' && next[1] == '\n')
            next++;
        next += *next != '\0';
        p[n] = '\0';
        p[strcspn(p, ",#")] = '\0';
        while (*p == ' ' || *p == '\t')
            p++;
        for (n = strlen(p); n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t');)
            p[--n] = '\0';
        p[pv_stem_length(p)] = '\0';
        if (*p) {
            pv_strs_add(&ids->id, p);
            ids->line = pv_realloc(ids->line, ids->id.n * sizeof *ids->line);
            ids->line[ids->id.n - 1] = number;
        }
        p = next;
    }
    pv_free(text);
    if (ids->id.n == 0)
        return pv_fail(PV_FAULT_INPUT, "%s names no case: one id per line, or remove the file", path);
    return true;
}

static bool ids_of_json(const char *path, const pv_json *entry, const char *key, struct ids *ids)
{
    const pv_json *list = pv_json_get(entry, key);
    if (!pv_json_is_array(list))
        return pv_fail(PV_FAULT_INPUT, "%s: the fold has no list \"%s\"", path, key);
    for (const pv_json *j = pv_json_at(list, 0); j; j = pv_json_next(j)) {
        if (!pv_json_is_string(j))
            return pv_fail(PV_FAULT_INPUT, "%s: \"%s\" holds something that is no id", path, key);
        pv_strs_add(&ids->id, pv_json_string_value(j));
    }
    ids->line = pv_realloc(ids->line, (ids->id.n + 1) * sizeof *ids->line);
    memset(ids->line, 0, (ids->id.n + 1) * sizeof *ids->line);
    return true;
}

static void ids_free(struct ids *ids)
{
    pv_strs_free(&ids->id);
    pv_free(ids->line);
    ids->line = NULL;
}

/* ---- from what was found to the cases in order ---- */

struct making {
    pv_dataset *ds;
    struct found *f;
    bool *used;             /* [f->n]: some list names it */
    int *trained;           /* [f->n]: line + 1 in the training list, 0 if not in it */
};

static int find_found(const struct found *f, const char *id)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->v[i].id, id) == 0)
            return i;
    return -1;
}

static void take(struct making *m, int at, enum pv_split split)
{
    pv_dataset *ds = m->ds;
    const struct pv_case *from = &m->f->v[at];
    ds->cases = pv_realloc(ds->cases, (size_t)(ds->num_cases + 1) * sizeof *ds->cases);
    struct pv_case *c = &ds->cases[ds->num_cases++];
    *c = (struct pv_case){.id = pv_strdup(from->id), .split = split};
    for (int i = 0; i < from->num_images; i++)
        case_add_image(c, from->images[i]);
    c->label = from->label ? pv_strdup(from->label) : NULL;
    c->has_label = c->label != NULL;
    ds->num_split[split]++;
    m->used[at] = true;
}

static bool unknown_case(const struct making *m, const char *where, const char *id)
{
    const char **all = pv_array(const char *, m->f->n);
    for (int i = 0; i < m->f->n; i++)
        all[i] = m->f->v[i].id;
    const char *near = pv_nearest(id, all, (size_t)m->f->n);
    if (near)
        pv_fail(PV_FAULT_INPUT, "%s names the case %s, which is not in %s (did you mean %s?)", where, id,
                m->ds->dir, near);
    else
        pv_fail(PV_FAULT_INPUT, "%s names the case %s, which is not in %s: remove the line or add its files",
                where, id, m->ds->dir);
    pv_free(all);
    return false;
}

static bool take_ids(struct making *m, const char *path, const struct ids *ids, enum pv_split split)
{
    bool *seen = pv_array(bool, m->f->n), ok = true;
    for (size_t i = 0; ok && i < ids->id.n; i++) {
        const char *id = ids->id.v[i];
        char *where = ids->line[i] ? pv_asprintf("%s, line %d,", path, ids->line[i]) : pv_strdup(path);
        int at = find_found(m->f, id);
        if (at < 0)
            ok = unknown_case(m, where, id);
        else if (seen[at])
            ok = pv_fail(PV_FAULT_INPUT, "%s names the case %s a second time: remove the line", where, id);
        else if (split != PV_TRAIN && m->trained[at])
            ok = pv_fail(PV_FAULT_INPUT,
                         "%s names the case %s, which is also a training case: what is trained on must "
                         "not be tested on; remove it from one of the lists",
                         where, id);
        if (ok) {
            seen[at] = true;
            m->trained[at] |= split == PV_TRAIN;
            take(m, at, split);
        }
        pv_free(where);
    }
    pv_free(seen);
    return ok;
}

/* Those that no list named: labelled ones first. The layout found them sorted. */
static void take_rest(struct making *m, enum pv_split split)
{
    for (int want = 1; want >= 0; want--)
        for (int i = 0; i < m->f->n; i++)
            if (m->f->v[i].split == split && !m->used[i] && (m->f->v[i].label != NULL) == want)
                take(m, i, split);
}

/* One fold's lists; paths are those of the file for messages. */
static bool read_fold(const char *path, int fold, struct ids *train, struct ids *val)
{
    pv_json *j = pv_json_read(path);
    bool ok = j != NULL;
    if (ok && (!pv_json_is_array(j) || (size_t)fold >= pv_json_count(j)))
        ok = pv_fail(PV_FAULT_INPUT, "%s has no fold %d: it is a list of %zu folds, counted from 0", path, fold,
                     pv_json_is_array(j) ? pv_json_count(j) : 0);
    ok = ok && ids_of_json(path, pv_json_at(j, (size_t)fold), "train", train)
        && ids_of_json(path, pv_json_at(j, (size_t)fold), "val", val);
    pv_json_free(j);
    return ok;
}

static bool order(struct making *m, const struct pv_dataset_params *p)
{
    const char *dir = p->lists ? p->lists : m->ds->dir;
    struct ids ids[3] = {0};
    char *path[3] = {NULL};
    bool ok = true;
    if (p->fold >= 0) {
        path[PV_TRAIN] = pv_path_join(dir, "splits_final.json");
        path[PV_VAL] = pv_strdup(path[PV_TRAIN]);
        ok = read_fold(path[PV_TRAIN], p->fold, &ids[PV_TRAIN], &ids[PV_VAL]);
    }
    for (int s = p->fold >= 0 ? PV_TEST : PV_TRAIN; ok && s <= PV_TEST; s++)
        if (find_list(dir, pv_split_name((enum pv_split)s), &path[s]) ||
            (s == PV_TEST && find_list(dir, "eval", &path[s])))
            ok = read_list(path[s], &ids[s]);
    if (ok && p->lists && !path[PV_TRAIN] && !path[PV_VAL] && !path[PV_TEST])
        ok = pv_fail(PV_FAULT_INPUT, "%s holds no train.list, val.list or test.list", dir);

    /* Training cases without a list are those that no other list names. */
    for (int s = PV_VAL; ok && !path[PV_TRAIN] && s <= PV_TEST; s++)
        for (size_t i = 0; i < ids[s].id.n; i++) {
            int at = find_found(m->f, ids[s].id.v[i]);
            if (at >= 0)
                m->used[at] = true;
        }
    if (ok && path[PV_TRAIN])
        ok = take_ids(m, path[PV_TRAIN], &ids[PV_TRAIN], PV_TRAIN);
    else if (ok)
        take_rest(m, PV_TRAIN);
    if (ok && path[PV_VAL])
        ok = take_ids(m, path[PV_VAL], &ids[PV_VAL], PV_VAL);
    if (ok && path[PV_TEST])
        ok = take_ids(m, path[PV_TEST], &ids[PV_TEST], PV_TEST);
    else if (ok)
        take_rest(m, PV_TEST);
    for (int s = 0; s < 3; s++) {
        ids_free(&ids[s]);
        pv_free(path[s]);
    }
    return ok;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct pv_case *)a)->id, ((const struct pv_case *)b)->id);
}

pv_dataset *pv_dataset_open(const char *dir, const struct pv_dataset_params *params)
{
    const struct pv_dataset_params p = params ? *params : (struct pv_dataset_params){.fold = -1};
    pv_dataset *ds = pv_new(pv_dataset);
    struct found f = {0};
    struct making m = {.ds = ds, .f = &f};
    bool ok = false;
    ds->dir = pv_strdup(dir);
    if (!pv_is_dir(dir)) {
        pv_fail(PV_FAULT_INPUT, "there is no folder %s", dir);
        goto done;
    }
    const struct pv_layout *const *layout = layouts;
    while (*layout && !(*layout)->fits(dir))
        layout++;
    if (!*layout) {
        pv_fail(PV_FAULT_INPUT,
                "%s is no data set: it needs dataset.json with imagesTr and labelsTr (nnU-Net), or a folder "
                "\"2018LA_Seg_Training Set\", \"Pancreas_h5\" or \"data\" of .h5 files",
                dir);
        goto done;
    }
    ds->layout = (*layout)->name;
    if (!(*layout)->scan(ds, &p, &f))
        goto done;
    if (f.n == 0) {
        pv_fail(PV_FAULT_INPUT, "%s holds no images", dir);
        goto done;
    }
    qsort(f.v, (size_t)f.n, sizeof *f.v, by_id);
    for (int i = 1; i < f.n; i++) {
        if (strcmp(f.v[i].id, f.v[i - 1].id) == 0) {
            pv_fail(PV_FAULT_INPUT, "the case %s is there twice (%s and %s): remove one", f.v[i].id,
                    f.v[i - 1].images[0], f.v[i].images[0]);
            goto done;
        }
    }
    if (!ds->name) {
        const char *base = pv_path_base(dir);
        ds->name = pv_strdup(*base ? base : dir);
    }
    m.used = pv_array(bool, f.n);
    m.trained = pv_array(int, f.n);
    ok = order(&m, &p);
    if (ok)
        pv_debug("data", "%s: %s, %d training, %d validation, %d test cases, %d channels, %d classes", dir,
                 ds->layout, ds->num_split[0], ds->num_split[1], ds->num_split[2], ds->channels,
                 ds->num_classes);
done:
    for (int i = 0; i < f.n; i++)
        case_clear(&f.v[i]);
    pv_free(f.v);
    pv_free(m.used);
    pv_free(m.trained);
    if (!ok)
        pv_dataset_free(&ds);
    return ds;
}

void pv_dataset_free(pv_dataset **out)
{
    pv_dataset *ds = *out;
    if (!ds)
        return;
    for (int i = 0; i < ds->num_cases; i++)
        case_clear(&ds->cases[i]);
    for (int i = 0; ds->channel_names && i < ds->channels; i++)
        pv_free(ds->channel_names[i]);
    for (int i = 0; ds->class_names && i < ds->num_classes; i++)
        pv_free(ds->class_names[i]);
    pv_free(ds->cases);
    pv_free(ds->channel_names);
    pv_free(ds->class_names);
    pv_free(ds->dir);
    pv_free(ds->name);
    pv_free(ds);
    *out = NULL;
}

int pv_dataset_find(const pv_dataset *ds, const char *id)
{
    for (int i = 0; i < ds->num_cases; i++)
        if (strcmp(ds->cases[i].id, id) == 0)
            return i;
    return -1;
}

int pv_dataset_split(const pv_dataset *ds, enum pv_split s, int *out)
{
    int n = 0;
    for (int i = 0; i < ds->num_cases; i++)
        if (ds->cases[i].split == s)
            out[n++] = i;
    return n;
}

bool pv_dataset_labeled(const pv_dataset *ds, int n, int64_t seed, int *labeled, int *num_labeled,
                        int *unlabeled, int *num_unlabeled)
{
    int total = ds->num_split[PV_TRAIN], with = 0;
    int *train = pv_array(int, total + 1), *order_of = pv_array(int, total + 1);
    bool *chosen = pv_array(bool, total + 1), ok = false;
    *num_labeled = *num_unlabeled = 0;
    pv_dataset_split(ds, PV_TRAIN, train);
    for (int i = 0; i < total; i++)
        if (ds->cases[train[i]].has_label)
            order_of[with++] = i;
    if (with == 0) {
        pv_fail(PV_FAULT_INPUT, "%s: none of the %d training cases has a label%s", ds->dir, total,
                strcmp(ds->layout, "nnunet") == 0 ? "; put some into labelsTr" : "");
        goto done;
    }
    if (n < 0 || n > with) {
        pv_fail(PV_FAULT_INPUT, "%s: %d labelled cases are asked for, but only %d of the %d training cases "
                "have a label; ask for at most %d (--labeled)", ds->dir, n, with, total, with);
        goto done;
    }
    if (seed >= 0) {
        struct pv_rng r = pv_rng_make((uint64_t)seed, pv_stream("labeled", 0, 0));
        pv_rng_shuffle(&r, order_of, with);
        for (int i = 0; i < (n ? n : with); i++)
            chosen[order_of[i]] = true;
    } else {
        for (int i = 0; i < (n ? n : total); i++) {
            chosen[i] = ds->cases[train[i]].has_label;
            if (n && !chosen[i]) {
                pv_fail(PV_FAULT_INPUT,
                        "%s: the case %s is number %d of the training cases, the first %d of which are to be "
                        "labelled, but it has no label: add it, or reorder the list",
                        ds->dir, ds->cases[train[i]].id, i + 1, n);
                goto done;
            }
        }
    }
    for (int i = 0; i < total; i++) {
        if (chosen[i])
            labeled[(*num_labeled)++] = train[i];
        else
            unlabeled[(*num_unlabeled)++] = train[i];
    }
    ok = true;
done:
    pv_free(train);
    pv_free(order_of);
    pv_free(chosen);
    return ok;
}
