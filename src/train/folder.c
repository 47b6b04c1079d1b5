/* SPDX-License-Identifier: Apache-2.0
 * folder.h. */
#include "train/folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static bool holds(const struct pv_folder *f, const char *name)
{
    char *path = pv_path_join(f->path, name);
    bool there = pv_file_exists(path);
    pv_free(path);
    return there;
}

/* A folder that cannot be locked (some network drives) is used without. */
static bool lock(struct pv_folder *f)
{
    bool busy;
    char *path = pv_path_join(f->path, ".lock");
    f->lock = pv_filelock_take(path, &busy);
    pv_free(path);
    return !busy || pv_fail(PV_FAULT_USAGE, "%s is in use: another training writes to it; wait for its end, or name "
                            "another --out", f->path);
}

static bool make(struct pv_folder *f)
{
    char *path = pv_strdup(f->path);
    for (bool top = false; !top && !pv_is_dir(path); f->made++) {
        char *above = pv_path_dir(path);
        top = pv_streq(above, path);        /* a drive that is not there */
        pv_free(path);
        path = above;
    }
    pv_free(path);
    return pv_make_folder(f->path, "--out");
}

bool pv_folder_take(struct pv_folder *f, const char *path, bool resume, bool overwrite)
{
    f->path = path;
    if (resume && !holds(f, "config.json"))
        return pv_fail(PV_FAULT_INPUT, "%s: there is no run to resume (no config.json)", path);
    if (!resume && !overwrite && (holds(f, "latest.safetensors") || holds(f, "final.safetensors")))
        return pv_fail(PV_FAULT_USAGE, "%s already holds a run; go on with --resume, replace it with --overwrite, or "
                       "name another --out", path);
    return make(f) && lock(f);
}

static bool leftover(const char *name, bool overwrite)
{
    bool events = pv_starts(name, "events.out.tfevents.") && pv_ends(name, ".protovox");
    bool rounds = pv_starts(name, "active-") && pv_ends(name, ".json");
    return strstr(name, ".tmp-") || (overwrite && (events || rounds));
}

static void remove_file(const struct pv_folder *f, const char *name)
{
    char *path = pv_path_join(f->path, name);
    pv_remove(path);
    pv_free(path);
}

void pv_folder_clear(const struct pv_folder *f, bool overwrite)
{
    static const char *const old[] = {     /* results of the old run would pass for the new one's */
        "latest.safetensors", "final.safetensors", "best.safetensors", "training.json", "metrics.csv",
        "report.html", "progress.png", "evaluation_test.json", "evaluation_test.csv", "pictures_test.safetensors",
        "evaluation_val.json", "evaluation_val.csv", "pictures_val.safetensors", "evaluation_train.json",
        "evaluation_train.csv", "pictures_train.safetensors"};
    for (size_t i = 0; overwrite && i < PV_COUNT(old); i++)
        remove_file(f, old[i]);
    char **names;
    size_t n;
    if (!pv_list_dir(f->path, &names, &n))
        return;
    for (size_t i = 0; i < n; i++) {
        if (leftover(names[i], overwrite))
            remove_file(f, names[i]);
        free(names[i]);
    }
    free(names);
}

void pv_folder_undo(struct pv_folder *f)
{
    if (f->lock)
        remove_file(f, ".lock");
    pv_folder_drop(f);
    char *path = f->path ? pv_strdup(f->path) : NULL;
    for (; f->made > 0 && pv_remove(path); f->made--) {     /* empty ones only */
        char *above = pv_path_dir(path);
        pv_free(path);
        path = above;
    }
    pv_free(path);
}

void pv_folder_drop(struct pv_folder *f) { pv_filelock_drop(&f->lock); }
