/* SPDX-License-Identifier: Apache-2.0
 * Parsing options by table, help, and opening the device they name. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "platform/platform.h"

int pv_exit_code(void)
{
    enum pv_fault k = pv_fault_kind();
    return k == PV_FAULT_NONE ? 1 : (int)k;
}

static void print_help(const struct pv_command *c, const struct pv_opt *opts)
{
    printf("protovox %s - %s\n\n%s\n\noptions:\n", c->name, c->summary, c->usage);
    for (int i = 0; opts[i].name; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", opts[i].name, opts[i].value ? " " : "",
                 opts[i].value ? opts[i].value : "");
        printf("  %-24s %s\n", left, opts[i].help);
    }
    printf("  %-24s %s\n", "--help", "this text");
    printf("\nexit code: 0 success, 2 wrong usage, 3 unusable input, 4 device trouble, 130 interrupted\n");
}

static bool set_value(const struct pv_opt *o, const char *v)
{
    int64_t i;
    switch (o->type) {
    case PV_OPT_STR:
        *(const char **)o->to = v;
        return true;
    case PV_OPT_INT:
        return pv_parse_i64(v, &i) && i >= 0
               ? (*(int64_t *)o->to = i, true)
               : pv_fail(PV_FAULT_USAGE, "--%s takes a whole number from 0 on, not '%s'", o->name, v);
    case PV_OPT_NUM:
        return pv_parse_f64(v, o->to) || pv_fail(PV_FAULT_USAGE, "--%s takes a number, not '%s'", o->name, v);
    case PV_OPT_SHAPE:
        return pv_parse_shape(v, o->to) ||
               pv_fail(PV_FAULT_USAGE, "--%s takes sizes along x, y, z such as 112x112x80, not '%s'", o->name, v);
    case PV_OPT_LIST:
        pv_strs_add(o->to, v);
        return true;
    default:
        return false;
    }
}

static bool unknown(const struct pv_command *c, const struct pv_opt *opts, const char *arg)
{
    const char *names[128];
    size_t n = 0;
    for (; opts[n].name && n < PV_COUNT(names); n++)
        names[n] = opts[n].name;
    const char *near = pv_starts(arg, "--") ? pv_nearest(arg + 2, names, n) : NULL;
    return pv_fail(PV_FAULT_USAGE, "%s has no option '%s'%s%s%s; see protovox %s --help", c->name, arg,
                   near ? "; did you mean --" : "", near ? near : "", near ? "?" : "", c->name);
}

enum pv_parse pv_parse_opts(const struct pv_command *c, const struct pv_opt *opts, int argc, char **argv,
                            int *code)
{
    *code = PV_FAULT_USAGE;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (pv_streq(arg, "--help") || pv_streq(arg, "-h")) {
            print_help(c, opts);
            *code = 0;
            return PV_PARSE_EXIT;
        }
        const struct pv_opt *o = opts;
        const char *eq = strchr(arg, '=');
        size_t len = eq ? (size_t)(eq - arg) : strlen(arg);
        while (o->name && !(len == strlen(o->name) + 2 && pv_starts(arg, "--") &&
                            !strncmp(arg + 2, o->name, len - 2)))
            o++;
        if (!o->name) {
            unknown(c, opts, arg);
            return PV_PARSE_EXIT;
        }
        if (o->type == PV_OPT_FLAG) {
            if (eq) {
                pv_fail(PV_FAULT_USAGE, "--%s takes no value: give it or leave it away", o->name);
                return PV_PARSE_EXIT;
            }
            *(bool *)o->to = true;
            continue;
        }
        const char *v = eq ? eq + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (!v || (!eq && pv_starts(v, "--"))) {
            pv_fail(PV_FAULT_USAGE, "--%s needs a value (%s)", o->name, o->value ? o->value : "VALUE");
            return PV_PARSE_EXIT;
        }
        if (!set_value(o, v))
            return PV_PARSE_EXIT;
        while (o->type == PV_OPT_LIST && i + 1 < argc && !pv_starts(argv[i + 1], "--"))
            pv_strs_add(o->to, argv[++i]);
    }
    return PV_PARSED;
}

pv_dev *pv_open_device(const struct pv_dev_args *a, const struct pv_dev_opts *base)
{
    struct pv_dev_opts o = base ? *base : (struct pv_dev_opts){0};
    o.force_class = a->cls;
    struct pv_strs parts = {0};
    bool ok = true;
    if (a->limit)
        pv_strs_split(&parts, a->limit, ",");
    for (size_t i = 0; i < parts.n && ok; i++) {
        char *eq = strchr(parts.v[i], '=');
        uint64_t v = 0;
        const bool sub = eq && pv_starts(parts.v[i], "subgroup=");
        ok = eq && pv_parse_size(eq + 1, &v) && (sub ? v == 0 : v > 0);
        if (eq)
            *eq = 0;
        if (ok && pv_streq(parts.v[i], "binding"))
            o.lower.max_binding = v;
        else if (ok && pv_streq(parts.v[i], "alloc"))
            o.lower.max_alloc = v;
        else if (ok && pv_streq(parts.v[i], "memory"))
            o.lower.memory = v;
        else if (ok && pv_streq(parts.v[i], "wg"))
            o.lower.max_wg = (uint32_t)v;
        else if (ok && pv_streq(parts.v[i], "local"))
            o.lower.local_bytes = (uint32_t)v;
        else if (ok && pv_streq(parts.v[i], "groups"))
            o.lower.max_groups = (uint32_t)v;
        else if (ok && pv_streq(parts.v[i], "work"))
            o.lower.max_work = v;
        else if (ok && sub)
            o.lower.subgroup = 1;
        else
            ok = false;
        if (!ok)
            pv_fail(PV_FAULT_USAGE, "--limit: '%s' is not one of binding, alloc, memory, wg, local, groups, work with "
                    "a size such as 64K, or subgroup=0", parts.v[i]);
    }
    pv_strs_free(&parts);
    return ok ? pv_dev_open(a->device ? a->device : "auto", &o) : NULL;
}
