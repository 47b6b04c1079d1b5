/* SPDX-License-Identifier: Apache-2.0
 * protovox verify: what is wrong with a data set, and what to do about it. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "data/verify.h"
#include "platform/platform.h"

extern const struct pv_command pv_cmd_verify;

enum { MOST_ALIKE = 5 };        /* findings of one check that are shown in full */

static void show(void *user, int done, int total, const char *id)
{
    if (*(bool *)user && pv_is_tty(stderr)) {
        fprintf(stderr, "\r\033[Kcase %d/%d: %s", done + 1, total, id);
        fflush(stderr);
    }
}

/* ---- JSON ---- */

static pv_json *numbers(const double *v, int n)
{
    pv_json *a = pv_json_array();
    for (int i = 0; i < n; i++)
        pv_json_add_num(a, v[i]);
    return a;
}

static void summary_json(pv_json *o, const struct pv_verification *r)
{
    const pv_dataset *ds = r->ds;
    pv_json *cases = pv_json_array(), *classes = pv_json_array(), *splits = pv_json_object();
    pv_json_set_str(o, "name", ds->name);
    pv_json_set_str(o, "layout", ds->layout);
    pv_json_set_num(o, "channels", ds->channels);
    for (int s = PV_TRAIN; s <= PV_TEST; s++)
        pv_json_set_num(splits, pv_split_name((enum pv_split)s), ds->num_split[s]);
    pv_json_set(o, "splits", splits);
    for (int k = 0; k < ds->num_classes; k++) {
        pv_json *c = pv_json_object();
        pv_json_set_str(c, "name", ds->class_names[k]);
        pv_json_set_num(c, "voxels", (double)r->class_voxels[k]);
        pv_json_set_num(c, "cases", r->class_cases[k]);
        pv_json_add(classes, c);
    }
    pv_json_set(o, "classes", classes);
    for (int i = 0; i < ds->num_cases; i++) {
        const struct pv_verify_case *c = &r->cases[i];
        pv_json *e = pv_json_object();
        pv_json_set_str(e, "id", ds->cases[i].id);
        pv_json_set_str(e, "split", pv_split_name(ds->cases[i].split));
        pv_json_set_bool(e, "label", ds->cases[i].has_label);
        if (c->read) {
            const double size[3] = {c->size[0], c->size[1], c->size[2]};
            pv_json_set(e, "size", numbers(size, 3));
            pv_json_set(e, "spacing", numbers(c->spacing, 3));
            pv_json_set_str(e, "axes", c->axes);
        }
        pv_json_add(cases, e);
    }
    pv_json_set(o, "cases", cases);
}

static void print_json(const char *dir, const struct pv_verification *r)
{
    pv_json *o = pv_json_object(), *list = pv_json_array();
    pv_json_set_str(o, "data", dir);
    if (r->ds)
        summary_json(o, r);
    for (int g = 0; g < 3; g++) {
        char key[16];
        snprintf(key, sizeof key, "%ss", pv_grade_name((enum pv_grade)g));
        pv_json_set_num(o, key, r->count[g]);
    }
    for (int i = 0; i < r->num; i++) {
        const struct pv_finding *f = &r->v[i];
        pv_json *e = pv_json_object();
        pv_json_set_str(e, "grade", pv_grade_name(f->grade));
        pv_json_set_str(e, "check", f->check);
        if (f->id)
            pv_json_set_str(e, "case", f->id);
        pv_json_set_str(e, "what", f->what);
        pv_json_set_str(e, "todo", f->todo);
        pv_json_add(list, e);
    }
    pv_json_set(o, "findings", list);
    char *text = pv_json_text(o, true);
    printf("%s\n", text);
    pv_free(text);
    pv_json_free(o);
}

/* ---- text ---- */

static void range(const char *what, const struct pv_verification *r,
                  double (*get)(const struct pv_verify_case *c, int a), const char *unit)
{
    double lo[3] = {0}, hi[3] = {0};
    bool any = false;
    for (int i = 0; i < r->ds->num_cases; i++) {
        if (!r->cases[i].read)
            continue;
        for (int a = 0; a < 3; a++) {
            double v = get(&r->cases[i], a);
            lo[a] = any && lo[a] < v ? lo[a] : v;
            hi[a] = any && hi[a] > v ? hi[a] : v;
        }
        any = true;
    }
    if (any)
        printf("  %-10s %g x %g x %g to %g x %g x %g%s\n", what, lo[0], lo[1], lo[2], hi[0], hi[1], hi[2], unit);
}

static double size_of(const struct pv_verify_case *c, int a) { return c->size[a]; }
static double spacing_of(const struct pv_verify_case *c, int a) { return c->spacing[a]; }

static void print_summary(const struct pv_verification *r)
{
    const pv_dataset *ds = r->ds;
    printf("%s (%s): %d training, %d validation, %d test cases, %d channel%s, %d labels read\n", ds->name, ds->layout,
           ds->num_split[PV_TRAIN], ds->num_split[PV_VAL], ds->num_split[PV_TEST], ds->channels,
           ds->channels == 1 ? "" : "s", r->labeled[0] + r->labeled[1] + r->labeled[2]);
    range("sizes", r, size_of, " voxels");
    range("spacings", r, spacing_of, " mm");
    uint64_t all = 0;
    for (int k = 0; k < ds->num_classes; k++)
        all += r->class_voxels[k];
    for (int k = 0; k < ds->num_classes && all; k++)
        printf("  class %d    %6.2f %% of the voxels, in %d labels: %s\n", k,
               100.0 * (double)r->class_voxels[k] / (double)all, r->class_cases[k], ds->class_names[k]);
}

static bool alike(const struct pv_finding *a, const struct pv_finding *b)
{
    return a->grade == b->grade && pv_streq(a->check, b->check) && pv_streq(a->todo, b->todo);
}

/* Finding i and those like it, once. */
static void print_group(const struct pv_verification *r, int i)
{
    const struct pv_finding *f = &r->v[i];
    int n = 0;
    for (int k = 0; k < i; k++)
        if (alike(f, &r->v[k]))
            return;
    for (int k = i; k < r->num; k++) {
        const struct pv_finding *g = &r->v[k];
        if (alike(f, g) && n++ < MOST_ALIKE)
            printf("%s (%s)%s%s: %s\n", pv_grade_name(g->grade), g->check, g->id ? ", case " : "", g->id ? g->id : "",
                   g->what);
    }
    if (n > MOST_ALIKE)
        printf("    ... and %d more like this (--json shows them)\n", n - MOST_ALIKE);
    printf("    to do: %s\n", f->todo);
}

static void print_text(const struct pv_verification *r)
{
    if (r->ds)
        print_summary(r);
    for (int g = 0; g < 3; g++)
        for (int i = 0; i < r->num; i++)
            if (r->v[i].grade == (enum pv_grade)g)
                print_group(r, i);
    for (int g = 0; g < 3; g++)
        printf("%s%d %s%s", g ? ", " : "", r->count[g], pv_grade_name((enum pv_grade)g), r->count[g] == 1 ? "" : "s");
    printf("%s\n",
           r->count[0] ? ": correct the errors before training" : r->count[1] ? "" : ": ready to train");
}

static int run(int argc, char **argv)
{
    const char *data = NULL, *lists = NULL;
    int64_t classes = 0, ignore = 0, fold = -1;
    bool json = false, zyx = false, quiet = false;
    const struct pv_opt opts[] = {
        {"data", PV_OPT_STR, &data, "DIR", "data set: nnU-Net folder, or the .h5 folders of the public code"},
        {"lists", PV_OPT_STR, &lists, "DIR", "folder of train.list, test.list (default: in the data set)"},
        {"fold", PV_OPT_INT, &fold, "N", "fold of splits_final.json instead of the lists"},
        {"classes", PV_OPT_INT, &classes, "N", "classes of an .h5 data set (default 2)"},
        {"ignore", PV_OPT_INT, &ignore, "V", "label of .h5 files that means not annotated"},
        {"zyx", PV_OPT_FLAG, &zyx, NULL, "arrays of the .h5 files are [z][y][x] (BraTS as published)"},
        {"json", PV_OPT_FLAG, &json, NULL, "print JSON"},
        {"quiet", PV_OPT_FLAG, &quiet, NULL, "no progress line"},
        {0}};
    int code;
    if (pv_parse_opts(&pv_cmd_verify, opts, argc, argv, &code) != PV_PARSED)
        return code;
    if (!data) {
        pv_fail(PV_FAULT_USAGE, "verify needs --data; see protovox verify --help");
        return PV_FAULT_USAGE;
    }
    if (classes < 0 || classes > 255 || ignore < 0 || ignore > 255 || fold < -1 || fold > 1000) {
        pv_fail(PV_FAULT_USAGE, "--classes and --ignore are numbers up to 255, --fold counts from 0");
        return PV_FAULT_USAGE;
    }
    pv_stop_install();
    bool progress = !json && !quiet;
    struct pv_dataset_params p = {.num_classes = (int)classes, .ignore = (int)ignore, .fold = (int)fold,
               .lists = lists};
    struct pv_verification *r = pv_verify(data, &p, &(struct pv_read){.zyx = zyx}, show, &progress);
    if (progress && pv_is_tty(stderr))
        fprintf(stderr, "\r\033[K");
    if (!r)
        return pv_exit_code();
    if (json)
        print_json(data, r);
    else
        print_text(r);
    code = r->count[PV_GRADE_ERROR] ? PV_FAULT_INPUT : 0;
    pv_verification_free(&r);
    return code;
}

const struct pv_command pv_cmd_verify = {"verify", "look for mistakes in a data set before training on it",
    "  protovox verify --data DIR\n"
    "  protovox verify --data DIR --json\n"
    "  protovox verify --data BRATS_H5 --zyx", run};
