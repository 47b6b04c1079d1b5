/* SPDX-License-Identifier: Apache-2.0
 * Checks of a data set as a whole (verify.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/verify_impl.h"
#include "platform/platform.h"

const char *pv_grade_name(enum pv_grade g)
{
    static const char *const names[] = {"error", "warning", "note"};
    return names[g];
}

void verify_add(struct pv_verification *r, enum pv_grade grade, const char *check, const char *id, const char *todo,
                const char *what, ...)
{
    if (r->num == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 32;
        r->v = pv_realloc(r->v, sizeof *r->v * (size_t)r->cap);
    }
    char text[2048];
    va_list ap;
    va_start(ap, what);
    vsnprintf(text, sizeof text, what, ap);
    va_end(ap);
    r->v[r->num++] = (struct pv_finding){grade, check, id ? pv_strdup(id) : NULL, pv_strdup(text), pv_strdup(todo)};
    r->count[grade]++;
}

/* ---- lists and folders ---- */

static void check_splits(struct pv_verification *r)
{
    const pv_dataset *ds = r->ds;
    int with[3] = {0};
    for (int i = 0; i < ds->num_cases; i++)
        with[ds->cases[i].split] += ds->cases[i].has_label;
    if (ds->num_split[PV_TRAIN] == 0)
        verify_add(r, PV_GRADE_ERROR, "dataset", NULL, "put cases into imagesTr, or name them in train.list",
                   "there are no training cases");
    else if (with[PV_TRAIN] == 0)
        verify_add(r, PV_GRADE_ERROR, "dataset", NULL, "annotate some and put the labels into labelsTr; protovox "
                   "select says which cases are worth it", "none of the %d training cases has a label",
                   ds->num_split[PV_TRAIN]);
    else if (with[PV_TRAIN] < ds->num_split[PV_TRAIN])
        verify_add(r, PV_GRADE_NOTE, "dataset", NULL, "nothing: they are the unlabelled ones", "%d of %d training "
                   "cases have no label", ds->num_split[PV_TRAIN] - with[PV_TRAIN], ds->num_split[PV_TRAIN]);
    for (int s = PV_VAL; s <= PV_TEST; s++)
        if (with[s] < ds->num_split[s])
            verify_add(r, s == PV_VAL ? PV_GRADE_ERROR : PV_GRADE_NOTE, "dataset", NULL, s == PV_VAL
                       ? "take them out of val.list, or add their labels" : "nothing, unless they are to be scored: "
                       "they can only be predicted", "%d of %d %s cases have no label", ds->num_split[s] - with[s],
                       ds->num_split[s], pv_split_name((enum pv_split)s));
    if (ds->num_split[PV_TEST] == 0)
        verify_add(r, PV_GRADE_NOTE, "dataset", NULL, "keep some labelled cases for the end: put them into imagesTs "
                   "and labelsTs, or into test.list", "there are no test cases");
}

/* Labels whose image is missing: usually a name that was mistyped. */
static void check_orphans(struct pv_verification *r)
{
    static const char *const folders[] = {"labelsTr", "labelsTs"};
    for (size_t k = 0; k < PV_COUNT(folders) && pv_streq(r->ds->layout, "nnunet"); k++) {
        char *dir = pv_path_join(r->ds->dir, folders[k]), **names;
        size_t n;
        if (pv_is_dir(dir) && pv_list_dir(dir, &names, &n)) {
            for (size_t i = 0; i < n; i++) {
                char *path = pv_path_join(dir, names[i]);
                bool used = names[i][0] == '.' || !pv_format_of(names[i]);
                for (int c = 0; c < r->ds->num_cases && !used; c++) {
                    const char *label = r->ds->cases[c].label;
                    used = label && pv_streq(pv_path_base(label), names[i]);
                }
                if (!used)
                    verify_add(r, PV_GRADE_WARNING, "dataset", NULL, "give image and label the same name "
                               "(imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz), or remove the file",
                               "%s belongs to no case", path);
                pv_free(path);
                free(names[i]);
            }
            free(names);
        }
        pv_free(dir);
    }
}

/* ---- what cases have in common ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void check_spacings(struct pv_verification *r)
{
    const pv_dataset *ds = r->ds;
    double *v = pv_array(double, ds->num_cases + 1), median[3];
    int n = 0, odd = 0, small = 0, first_odd = -1, first_small = -1;
    for (int a = 0; a < 3; a++) {
        n = 0;
        for (int i = 0; i < ds->num_cases; i++)
            if (r->cases[i].read)
                v[n++] = r->cases[i].spacing[a];
        qsort(v, (size_t)n, sizeof *v, by_value);
        median[a] = n ? v[n / 2] : 1;
    }
    pv_free(v);
    for (int i = 0; i < ds->num_cases; i++) {
        const struct pv_verify_case *c = &r->cases[i];
        if (!c->read)
            continue;
        bool differs = false;
        for (int a = 0; a < 3; a++)
            differs = differs || c->spacing[a] > 1.2 * median[a] || c->spacing[a] < median[a] / 1.2;
        if (differs && odd++ == 0)
            first_odd = i;
        if (pv_min(c->size[0], pv_min(c->size[1], c->size[2])) < 16 && small++ == 0)
            first_small = i;
    }
    if (odd) {
        const double *s = r->cases[first_odd].spacing;
        verify_add(r, PV_GRADE_WARNING, "spacing", NULL, "resample all cases to one spacing first, or see to it that "
                   "the preset does (pancreas: 1 mm); a network sees voxels, not millimetres", "%d of %d cases differ "
                   "by more than 20 %% from the median spacing %g x %g x %g mm, the first is %s with %g x %g x %g",
                   odd, n,
                   median[0], median[1], median[2], ds->cases[first_odd].id, s[0], s[1], s[2]);
    }
    double lo = fmin(median[0], fmin(median[1], median[2])), hi = fmax(median[0], fmax(median[1], median[2]));
    if (n && hi > 3 * lo)
        verify_add(r, PV_GRADE_NOTE, "spacing", NULL, "choose a patch with fewer voxels along the coarse axis "
                   "(--patch), or resample", "the median spacing %g x %g x %g mm is anisotropic", median[0],
                   median[1], median[2]);
    if (small) {
        const int *s = r->cases[first_small].size;
        verify_add(r, PV_GRADE_WARNING, "size", NULL, "nothing if that is right: they are padded to the patch; a "
                   "plane by itself is a case for --net unet2d", "%d of %d cases have a side of less than 16 voxels, "
                   "the first is %s with %d x %d x %d", small, n, ds->cases[first_small].id, s[0], s[1], s[2]);
    }
    if (pv_streq(ds->layout, "h5"))
        verify_add(r, PV_GRADE_NOTE, "spacing", NULL, "nothing for metrics in voxels; for mm convert it: protovox "
                   "convert --data DIR --to nifti --spacing XxYxZ --out DIR2", ".h5 files hold no spacing; 1 mm is "
                   "assumed");
}

static void check_orientations(struct pv_verification *r)
{
    struct pv_str seen = {0};
    struct pv_strs kinds = {0};
    int silent = 0, read = 0;
    for (int i = 0; i < r->ds->num_cases; i++) {
        if (!r->cases[i].read)
            continue;
        read++;
        silent += !r->cases[i].axes[0];
        if (r->cases[i].axes[0] && pv_strs_find(&kinds, r->cases[i].axes) < 0)
            pv_strs_add(&kinds, r->cases[i].axes);
    }
    for (size_t k = 0; k < kinds.n; k++) {
        int n = 0;
        for (int i = 0; i < r->ds->num_cases; i++)
            n += r->cases[i].read && pv_streq(r->cases[i].axes, kinds.v[k]);
        pv_str_addf(&seen, "%s%s (%d cases)", k ? ", " : "", kinds.v[k], n);
    }
    if (kinds.n > 1)
        verify_add(r, PV_GRADE_WARNING, "orientation", NULL, "turn all of them to right, front, up while reading "
                   "(--set data.orient=ras), or once: protovox convert --data DIR --to nifti --ras --out DIR2",
                   "the voxel axes point to different directions: %s", seen.text);
    if (silent && pv_streq(r->ds->layout, "nnunet"))
        verify_add(r, PV_GRADE_NOTE, "orientation", NULL, "nothing if all files have the same order of axes; else "
                   "write sform or qform into their headers", "%d of %d cases do not say how they lie in the world",
                   silent, read);
    pv_str_free(&seen);
    pv_strs_free(&kinds);
}

static void check_classes(struct pv_verification *r)
{
    int labels = r->labeled[0] + r->labeled[1] + r->labeled[2];
    for (int k = 1; labels && k < r->ds->num_classes; k++)
        if (r->class_cases[k] == 0)
            verify_add(r, PV_GRADE_WARNING, "labels", NULL, "correct the labels, or remove the class from "
                       "dataset.json (an .h5 data set: --classes): a network cannot learn it", "class %d, %s, occurs "
                       "in no label", k,
                       r->ds->class_names[k]);
        else if (r->class_cases[k] * 5 < labels)
            verify_add(r, PV_GRADE_NOTE, "labels", NULL, "see to it that it occurs among the labelled cases of "
                       "training",
                       "class %d, %s, occurs in %d of %d labels only", k, r->ds->class_names[k], r->class_cases[k],
                       labels);
}

static void check_duplicates(struct pv_verification *r)
{
    const pv_dataset *ds = r->ds;
    for (int i = 0; i < ds->num_cases; i++)
        for (int k = 0; k < i; k++) {
            const struct pv_verify_case *a = &r->cases[k], *b = &r->cases[i];
            if (!a->read || !b->read || !a->hash || a->hash != b->hash || memcmp(a->size, b->size, sizeof a->size))
                continue;
            bool leak = ds->cases[i].split != ds->cases[k].split;
            verify_add(r, leak ? PV_GRADE_ERROR : PV_GRADE_WARNING, "duplicate", ds->cases[i].id,
                       leak ? "remove one: what is tested on must not be trained on" : "remove one of them",
                       "its image is the same as that of %s (%s and %s)", ds->cases[k].id,
                       pv_split_name(ds->cases[i].split), pv_split_name(ds->cases[k].split));
            break;
        }
}

/* ---- all of it ---- */

static void hear(void *user, enum pv_log_level level, const char *line)
{
    if (level == PV_LOG_WARN)
        verify_add(user, PV_GRADE_WARNING, "dataset", NULL, "rename, add or remove files until it is as it should be",
                   "%s", pv_starts(line, "warning: ") ? line + 9 : line);
}

static pv_dataset *open_quietly(struct pv_verification *r, const char *dir, const struct pv_dataset_params *p)
{
    pv_fault_clear();
    pv_fail_quiet(true);
    pv_log_sink(hear, r);
    pv_dataset *ds = pv_dataset_open(dir, p);
    pv_log_sink(NULL, r);
    pv_fail_quiet(false);
    if (!ds)
        verify_add(r, PV_GRADE_ERROR, "dataset", NULL, "correct that and verify again: the cases were not looked at",
                   "%s",
                   pv_fault_text());
    pv_fault_clear();
    return ds;
}

struct pv_verification *pv_verify(const char *dir, const struct pv_dataset_params *p, const struct pv_read *how,
                                  void (*progress)(void *user, int done, int total, const char *id), void *user)
{
    struct pv_verification *r = pv_new(struct pv_verification);
    const struct pv_read plain = {0};
    enum pv_log_level before = pv_log_level();
    pv_log_level_set(PV_LOG_ERROR);
    r->ds = open_quietly(r, dir, p);
    bool stopped = false;
    if (r->ds) {
        r->cases = pv_array(struct pv_verify_case, r->ds->num_cases + 1);
        r->class_voxels = pv_array(uint64_t, r->ds->num_classes);
        r->class_cases = pv_array(int, r->ds->num_classes);
        check_splits(r);
        check_orphans(r);
        for (int i = 0; i < r->ds->num_cases && !stopped; i++) {
            if (progress)
                progress(user, i, r->ds->num_cases, r->ds->cases[i].id);
            verify_case(r, i, how ? how : &plain);
            stopped = pv_stop_requested();
        }
    }
    pv_fault_clear();
    pv_log_level_set(before);
    if (stopped) {
        pv_fail(PV_FAULT_STOPPED, "interrupted while verifying %s", dir);
        pv_verification_free(&r);
        return NULL;
    }
    if (r->ds) {
        check_spacings(r);
        check_orientations(r);
        check_classes(r);
        check_duplicates(r);
    }
    return r;
}

void pv_verification_free(struct pv_verification **rp)
{
    struct pv_verification *r = *rp;
    if (!r)
        return;
    for (int i = 0; i < r->num; i++) {
        pv_free(r->v[i].id);
        pv_free(r->v[i].what);
        pv_free(r->v[i].todo);
    }
    pv_free(r->v);
    pv_free(r->cases);
    pv_free(r->class_voxels);
    pv_free(r->class_cases);
    pv_dataset_free(&r->ds);
    pv_free(r);
    *rp = NULL;
}
