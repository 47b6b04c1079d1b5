/* SPDX-License-Identifier: Apache-2.0
 * Presets and the resolved configuration. */
#include "train/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/embed.h"
#include "data/cross.h"
#include "data/prep.h"
#include "method/method.h"
#include "platform/platform.h"

extern const struct pv_embedded pv_embedded_presets[];

static const struct pv_embedded *embedded(const char *name)
{
    const struct pv_embedded *e = pv_embedded_presets;
    while (e->name && !pv_streq(e->name, name))
        e++;
    return e->name ? e : NULL;
}

static bool is_choice(const char *name) { return !pv_streq(name, "base") && !pv_starts(name, "method-"); }

static pv_json *read_preset(const char *name)
{
    const struct pv_embedded *found = pv_starts(name, "method-") ? NULL : embedded(name);
    if (found) {
        char *label = pv_asprintf("preset %s", name);
        pv_json *j = pv_json_parse(found->data, label);
        pv_free(label);
        return j;
    }
    if (pv_ends(name, ".json"))
        return pv_json_read(name);
    const char *names[64];
    size_t n = 0;
    struct pv_str known = {0};
    for (const struct pv_embedded *e = pv_embedded_presets; e->name && n < PV_COUNT(names); e++)
        if (is_choice(e->name)) {
            names[n] = e->name;
            pv_str_addf(&known, "%s%s", n ? ", " : "", names[n]);
            n++;
        }
    const char *near = pv_nearest(name, names, n);
    pv_fail(PV_FAULT_USAGE, "there is no preset '%s'%s%s%s; known are %s, or a .json file", name,
            near ? " (did you mean " : "", near ? near : "", near ? "?)" : "", known.text);
    pv_str_free(&known);
    return NULL;
}

struct pv_preset_info *pv_preset_list(void)
{
    size_t n = 0;
    while (pv_embedded_presets[n].name)
        n++;
    struct pv_preset_info *l = pv_array(struct pv_preset_info, n + 1);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_choice(pv_embedded_presets[i].name))
            continue;
        pv_json *j = read_preset(pv_embedded_presets[i].name);
        l[k].name = pv_embedded_presets[i].name;
        l[k++].about = pv_strdup(pv_json_str(j, "about", ""));
        pv_json_free(j);
    }
    return l;
}

void pv_preset_list_free(struct pv_preset_info *l)
{
    for (int i = 0; l && l[i].name; i++)
        pv_free(l[i].about);
    pv_free(l);
}

/* presets/method-NAME.json holds, by preset, what a method changes. */
static bool merge_method_part(pv_json *c, const char *preset, const char *method)
{
    char *label = pv_asprintf("method-%s", method);
    const struct pv_embedded *e = embedded(label);
    pv_json *j = e ? pv_json_parse(e->data, label) : NULL, *part = j ? pv_json_get(j, preset) : NULL;
    bool ok = !e || j;
    if (part)
        pv_json_merge(c, part);
    pv_json_free(j);
    pv_free(label);
    return ok;
}

/* Merges preset `name` with its ancestors and their parts for `method` into c. */
static bool merge_preset(pv_json *c, const char *name, const char *method, int depth)
{
    pv_json *j = depth < 8 ? read_preset(name)
                           : pv_fail_null(PV_FAULT_USAGE, "preset '%s' inherits itself", name);
    if (!j)
        return false;
    const char *parent = pv_json_str(j, "inherits", pv_streq(name, "base") ? NULL : "base");
    bool ok = !parent || merge_preset(c, parent, method, depth + 1);
    if (ok) {
        pv_json *parts = pv_json_get(j, "methods"), *part = parts ? pv_json_get(parts, method) : NULL;
        pv_json *mine = part ? pv_json_copy(part) : NULL;
        pv_json_remove(j, "methods");
        pv_json_remove(j, "inherits");
        pv_json_remove(j, "about");
        pv_json_merge(c, j);
        ok = merge_method_part(c, name, method);
        if (mine)
            pv_json_merge(c, mine);
        pv_json_free(mine);
    }
    pv_json_free(j);
    return ok;
}

void pv_config_patch(const pv_json *c, const char *key, int out[3])
{
    const pv_json *a = pv_json_path(c, key);
    for (int i = 0; i < 3; i++) {
        double v = pv_json_number_value(pv_json_at(a, (size_t)i));
        out[i] = v >= 1 && v <= 4096 ? (int)v : 0;
    }
}

void pv_config_set_shape(pv_json *c, const char *key, const int v[3])
{
    char text[64];
    snprintf(text, sizeof text, "[%d, %d, %d]", v[0], v[1], v[2]);
    pv_json_path_set(c, key, text);
}

/* Every key must exist in the base preset (method_options: checked by the method). */
static bool known_keys(const pv_json *c, const pv_json *base, const char *prefix, const char *name)
{
    for (size_t i = 0; i < pv_json_count(c); i++) {
        const char *key = pv_json_key_at(c, i);
        static const char *const others[] = {"method", "preset", "version", "cases", "device", "command", "tuning",
                                             "init", "dataset", "by_data"};
        bool top = prefix[0] == 0, other = false;
        for (size_t k = 0; top && k < PV_COUNT(others); k++)
            other = other || pv_streq(key, others[k]);
        if (other || (top && pv_streq(key, "method_options")))
            continue;
        const pv_json *b = pv_json_get(base, key), *v = pv_json_at(c, i);
        if (!b) {
            const char *names[64];
            size_t n = 0;
            for (; n < pv_json_count(base) && n < PV_COUNT(names); n++)
                names[n] = pv_json_key_at(base, n);
            const char *near = pv_nearest(key, names, n);
            return pv_fail(PV_FAULT_USAGE, "%s: there is no setting '%s%s'%s%s%s%s", name, prefix, key,
                           near ? "; did you mean " : "", near ? prefix : "", near ? near : "", near ? "?" : "");
        }
        if (pv_json_is_object(b)) {
            char *deeper = pv_asprintf("%s%s.", prefix, key);
            bool ok = pv_json_is_object(v) ? known_keys(v, b, deeper, name)
                                           : pv_fail(PV_FAULT_USAGE, "%s: '%s%s' is a group of settings", name, prefix,
                                                     key);
            pv_free(deeper);
            if (!ok)
                return false;
        } else if (pv_json_is_string(b) != pv_json_is_string(v) || pv_json_is_number(b) != pv_json_is_number(v) ||
                   pv_json_is_array(b) != pv_json_is_array(v)) {
            return pv_fail(PV_FAULT_USAGE, "%s: '%s%s' must be a %s", name, prefix, key,
                           pv_json_is_string(b) ? "text" : pv_json_is_number(b) ? "number"
                           : pv_json_is_array(b) ? "list of three numbers" : "true or false");
        }
    }
    return true;
}

static bool in_range(const pv_json *c, const char *key, double lo, double hi, const char *name)
{
    const pv_json *j = pv_json_path(c, key);
    double v = pv_json_number_value(j);
    return !j || (v >= lo && v <= hi) ||
           pv_fail(PV_FAULT_USAGE, "%s: %s is %g, it must be from %g to %g", name, key, v, lo, hi);
}

bool pv_config_mirror(const char *axes, unsigned *bits)
{
    *bits = 0;
    for (const char *p = axes; p && *p; p++) {
        if (*p < 'x' || *p > 'z')
            return pv_fail(PV_FAULT_USAGE, "axes to mirror are letters of xyz such as xy, not '%s'", axes);
        *bits |= 1u << (*p - 'x');
    }
    return true;
}

/* 2D networks see slices, others do not; slices come one at a time. */
static bool check_slices(const pv_json *c, const struct pv_prep *prep, const char *name)
{
    const pv_json *net = pv_json_get(c, "net");
    const bool flat = pv_json_num(net, "dims", 3) == 2;
    int patch[3];
    pv_config_patch(c, "train.patch", patch);
    if (flat != prep->slices)
        return flat ? pv_fail(PV_FAULT_USAGE, "%s: a 2D network sees slices: data.prep must be acdc or slices, not %s",
                              name, prep->name)
                    : pv_fail(PV_FAULT_USAGE, "%s: data.prep %s makes slices, which only networks with net.dims 2 see",
                              name, prep->name);
    if (flat && patch[0] != 1)
        return pv_fail(PV_FAULT_USAGE, "%s: slices come one at a time: train.patch must be 1xYxZ, not %dx%dx%d; take "
                       "--patch 1x256x256, or for volumes a 3D network (--net vnet)", name, patch[0], patch[1],
                       patch[2]);
    return !flat || pv_json_num(pv_json_get(c, "active"), "rounds", 0) == 0 ||
           pv_fail(PV_FAULT_USAGE, "%s: rounds of annotation need a 3D network (active.rounds)", name);
}

/* A network for slices or for volumes, and patches that its levels can halve: known before anything is read. */
static bool check_net(const pv_json *c, const char *name)
{
    const pv_json *net = pv_json_get(c, "net");
    const struct pv_net_kind *kind = pv_net_find(pv_json_str(net, "name", ""));
    int patch[3], dims = (int)pv_json_num(net, "dims", 3);
    if (!kind)
        return false;
    if (kind->dims && kind->dims != dims)
        return pv_fail(PV_FAULT_USAGE, "%s: %s segments %s: take %s", name, kind->name,
                       kind->dims == 2 ? "slices, and net.dims is 3" : "volumes, and net.dims is 2",
                       kind->dims == 2 ? "--preset acdc, or --set net.dims=2 data.prep=slices --patch 1x256x256; for "
                                         "volumes --net vnet" : "--net unet2d for slices, or a preset for volumes");
    pv_config_patch(c, "train.patch", patch);
    bool ok = true, slice = false;
    for (int i = 3 - dims; i < 3; i++) {
        ok = ok && patch[i] % kind->divisor[i] == 0;
        slice = slice || patch[i] == 1;
    }
    return ok || pv_fail(PV_FAULT_USAGE, "%s: %s needs patch sides that are multiples of %d, not %dx%dx%d (--patch)%s",
                         name, kind->name, kind->divisor[2], patch[0], patch[1], patch[2],
                         slice && dims == 3 ? "; for slices take --preset acdc or --net unet2d with net.dims=2" : "");
}

bool pv_config_check(const pv_json *c, const char *name)
{
    unsigned bits;
    pv_json *base = read_preset("base");
    bool ok = known_keys(c, base, "", name);
    pv_json_free(base);
    static const struct { const char *key; double lo, hi; } ranges[] = {
        {"train.iters", 1, 1e9}, {"train.reference_iters", 1, 1e9}, {"train.labeled_batch", 1, 64},
        {"train.unlabeled_batch", 0, 64}, {"train.accumulate", 1, PV_MOST_PARTS}, {"net.filters", 1, 256},
        {"net.classes", 2, 32}, {"net.channels", 1, 8},
        {"net.dropout", 0, 0.99}, {"net.dims", 2, 3}, {"optim.lr", 0, 1000}, {"optim.momentum", 0, 1},
        {"optim.weight_decay", 0, 10}, {"data.labeled", 0, 1e6}, {"eval.batch", 1, 256},
        {"data.slices", 1, PV_CROSS_MOST}, {"active.rounds", 0, 1000}, {"active.initial", 0, 1e6},
        {"net.prototypes", 0, 64}, {"active.add", 0, 1e6}, {"active.warmup", 0, 1e9}, {"active.every", 1, 1e9},
        {"precision.scale", 1, 4294967296.0}, {"precision.growth", 1, 1e6}};
    for (size_t i = 0; ok && i < PV_COUNT(ranges); i++)
        ok = in_range(c, ranges[i].key, ranges[i].lo, ranges[i].hi, name);
    static const char *const shapes[] = {"train.patch", "eval.stride"};
    for (size_t i = 0; ok && i < PV_COUNT(shapes); i++) {
        int v[3];
        pv_config_patch(c, shapes[i], v);
        ok = (v[0] && v[1] && v[2]) || pv_fail(PV_FAULT_USAGE, "%s: %s must be three sizes from 1 to 4096", name,
                                               shapes[i]);
    }
    static const struct { const char *key; const char *words[6]; } choices[] = {
        {"optim.schedule", {"constant", "step", "poly", "poly_epoch"}}, {"optim.name", {"sgd"}},
        {"net.init", {"default", "kaiming", "kaiming_conv", "xavier_conv"}}, {"data.orient", {"file", "ras"}},
        {"eval.units", {"voxel", "mm"}}, {"eval.empty", {"medpy", "strict", "nan"}},
        {"data.annotation", {"dense", "cross", "sparse"}}, {"active.first", {"random", "list"}},
        {"active.strategy", {"entropy", "random"}}, {"tuning.mode", {"off", "on", "again"}},
        {"precision.mode", {"fp32", "mixed"}}};
    for (size_t i = 0; ok && i < PV_COUNT(choices); i++) {
        const pv_json *j = pv_json_path(c, choices[i].key);
        const char *v = pv_json_string_value(j);
        bool found = !j;
        struct pv_str known = {0};
        for (int k = 0; choices[i].words[k]; k++) {
            found = found || pv_streq(v, choices[i].words[k]);
            pv_str_addf(&known, "%s%s", k ? ", " : "", choices[i].words[k]);
        }
        ok = found || pv_fail(PV_FAULT_USAGE, "%s: %s is '%s'; it can be %s", name, choices[i].key, v ? v : "",
                              known.text);
        pv_str_free(&known);
    }
    ok = ok && pv_config_mirror(pv_json_str(pv_json_get(c, "eval"), "mirror", ""), &bits);
    ok = ok && pv_method_find(pv_json_str(c, "method", "")) != NULL;
    const struct pv_prep *prep = ok ? pv_prep_find(pv_json_str(pv_json_get(c, "data"), "prep", "")) : NULL;
    return prep && check_net(c, name) && check_slices(c, prep, name);
}

static bool apply_set(pv_json *c, const char *text)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text)
        return pv_fail(PV_FAULT_USAGE, "--set takes KEY=VALUE such as optim.lr=0.005, not '%s'", text);
    char *key = pv_asprintf("%.*s", (int)(eq - text), text);
    bool ok = pv_json_path_set(c, key, eq + 1) ||
              pv_fail(PV_FAULT_USAGE, "--set %s: there is no such setting", text);
    pv_free(key);
    return ok;
}

static bool apply_options(pv_json *c, const struct pv_config_args *a)
{
    pv_json *train = pv_json_get(c, "train");
    if (a->init)
        pv_json_set_str(c, "init", a->init);
    if (a->net)
        pv_json_path_set(c, "net.name", a->net);
    if (a->precision && !pv_json_get(c, "precision"))       /* of a run of an older version */
        pv_json_set(c, "precision", pv_json_object());
    if (a->precision)
        pv_json_set_str(pv_json_get(c, "precision"), "mode", a->precision);
    if (a->tune) {
        char *text = pv_asprintf("\"%s\"", a->tune);       /* "on" is no JSON word, but stays what was typed */
        pv_json_path_set(c, "tuning.mode", text);
        pv_free(text);
    }
    if (a->labeled >= 0)
        pv_json_set_num(pv_json_get(c, "data"), "labeled", (double)a->labeled);
    if (a->iters >= 0)
        pv_json_set_num(train, "iters", (double)a->iters);
    if (a->seed >= 0)
        pv_json_set_num(train, "seed", (double)a->seed);
    if (a->batch >= 0) {
        pv_json_set_num(train, "labeled_batch", (double)a->batch);
        pv_json_set_num(train, "unlabeled_batch", (double)a->batch);
    }
    if (a->accumulate > 0)
        pv_json_set_num(train, "accumulate", (double)a->accumulate);
    if (a->patch[0])
        pv_config_set_shape(c, "train.patch", a->patch);
    for (size_t i = 0; i < a->num_sets; i++)
        if (!apply_set(c, a->sets[i]))
            return false;
    return true;
}

static bool given(const struct pv_config_args *a, const pv_json *file, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < a->num_sets; i++)
        if (pv_starts(a->sets[i], key) && a->sets[i][n] == '=')
            return true;
    return (file && pv_json_path(file, key)) || (a->over && pv_json_path(a->over, key));
}

/* A patch that was given without a stride: windows may not leave gaps, and neither may a stride that was given. What
 * preset auto is to take from the data goes to "by_data". */
static bool settle_sizes(pv_json *c, const struct pv_config_args *a, const pv_json *file, const char *name)
{
    bool patch = a->patch[0] || given(a, file, "train.patch"), stride = given(a, file, "eval.stride");
    bool by_data = pv_streq(pv_json_str(c, "preset", ""), "auto") && !(patch && stride);
    int p[3], s[3];
    pv_config_patch(c, "train.patch", p);
    pv_config_patch(c, "eval.stride", s);
    for (int i = 0; patch && !stride && i < 3; i++)
        s[i] = pv_min(s[i], pv_max(1, p[i] / 2));
    if (patch && !stride)
        pv_config_set_shape(c, "eval.stride", s);
    if (by_data) {
        pv_json *by = pv_json_object();
        pv_json_set_bool(by, "patch", !patch);
        pv_json_set_bool(by, "stride", !stride);
        pv_json_set(c, "by_data", by);
    }
    return by_data || (s[0] <= p[0] && s[1] <= p[1] && s[2] <= p[2]) ||
           pv_fail(PV_FAULT_USAGE, "%s: eval.stride %dx%dx%d is larger than train.patch %dx%dx%d", name, s[0], s[1],
                   s[2], p[0], p[1], p[2]);
}

pv_json *pv_config_resolve(const struct pv_config_args *a)
{
    const char *preset = a->preset ? a->preset : "auto";
    pv_json *file = NULL, *c = pv_json_object();
    if (a->file && !(file = pv_json_read(a->file)))
        goto error;
    const char *method = a->method ? a->method : pv_json_str(file, "method", "sup");
    if (!merge_preset(c, preset, method, 0))
        goto error;
    if (file)
        pv_json_merge(c, file);
    if (a->over)
        pv_json_merge(c, a->over);
    pv_json_set_str(c, "preset", preset);
    pv_json_set_str(c, "method", method);
    if (!apply_options(c, a))
        goto error;
    const char *name = a->file ? a->file : preset;
    if (!pv_config_check(c, name) || !settle_sizes(c, a, file, name))
        goto error;
    pv_json_free(file);
    return c;
error:
    pv_json_free(file);
    pv_json_free(c);
    return NULL;
}

/* ---- resuming ---- */

/* The first key whose value differs between the two, NULL if none does. */
static char *difference(const pv_json *a, const pv_json *b, const char *prefix)
{
    char *found = NULL;
    for (size_t i = 0; !found && i < pv_json_count(a); i++) {
        const char *key = pv_json_key_at(a, i);
        const pv_json *x = pv_json_at(a, i), *y = pv_json_get(b, key);
        char *name = pv_asprintf("%s%s", prefix, key);
        if (pv_json_is_object(x) && y) {
            char *deeper = pv_asprintf("%s.", name);
            found = difference(x, y, deeper);
            pv_free(deeper);
        } else {
            char *s = pv_json_text(x, false), *t = y ? pv_json_text(y, false) : pv_strdup("not given");
            if (!pv_streq(s, t))
                found = pv_asprintf("%s is %s there", name, t);
            pv_free(s);
            pv_free(t);
        }
        pv_free(name);
    }
    return found;
}

bool pv_config_same(const struct pv_config_args *a, const char *config_path)
{
    pv_json *was = pv_json_read(config_path), *now = was ? pv_json_copy(was) : NULL;
    pv_json *file = a->file ? pv_json_read(a->file) : NULL;
    bool ok = was && (!a->file || file);
    if (ok && file)
        pv_json_merge(now, file);
    if (ok && a->over)
        pv_json_merge(now, a->over);
    if (ok && a->method)
        pv_json_set_str(now, "method", a->method);
    if (ok && a->preset)
        pv_json_set_str(now, "preset", a->preset);
    ok = ok && apply_options(now, a);
    char *what = ok ? difference(now, was, "") : NULL;
    if (what)
        ok = pv_fail(PV_FAULT_USAGE, "a run goes on with the settings of %s (%s): leave other ones away, or begin "
                     "another run with another --out", config_path, what);
    pv_free(what);
    pv_json_free(was);
    pv_json_free(now);
    pv_json_free(file);
    return ok;
}
