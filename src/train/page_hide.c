/* SPDX-License-Identifier: Apache-2.0
 * What of a run an anonymous page must not say: names of the run and of its data, and paths of the command. Names of
 * cases are hidden by the page itself. */
#include <string.h>

#include "train/page_impl.h"

/* Options with a path for a value, and what stands for it. */
static const struct { const char *option, *value; } paths[] = {
    {"--data", "DATA"}, {"--out", "RUN"}, {"--lists", "LISTS"}, {"--config", "F.json"}, {"--init", "F.safetensors"}};

static bool is_file(const char *preset)
{
    return strpbrk(preset, "/\\") || pv_ends(preset, ".json");
}

/* The value of an option ends before the next option: a path may hold blanks. */
static size_t value_length(const char *p)
{
    const char *end = strstr(p, " --");
    return end ? (size_t)(end - p) : strlen(p);
}

static const char *stand_in(const char *option, size_t len, const char *value, size_t n)
{
    for (size_t i = 0; i < PV_COUNT(paths); i++)
        if (strlen(paths[i].option) == len && strncmp(paths[i].option, option, len) == 0)
            return paths[i].value;
    char *name = pv_asprintf("%.*s", (int)n, value);
    bool file = len == 8 && strncmp(option, "--preset", len) == 0 && is_file(name);
    pv_free(name);
    return file ? "F.json" : NULL;
}

/* pv_free it. */
static char *hide_paths(const char *command)
{
    struct pv_str out = {0};
    pv_str_add(&out, "");
    for (const char *p = command; *p;) {
        size_t len = pv_starts(p, "--") && (p == command || p[-1] == ' ') ? strcspn(p, " =") : 0;
        size_t n = len && p[len] ? value_length(p + len + 1) : 0;
        const char *value = n && !pv_starts(p + len + 1, "--") ? stand_in(p, len, p + len + 1, n) : NULL;
        pv_str_addn(&out, p, pv_max(len, 1));
        p += pv_max(len, 1);
        if (value) {
            pv_str_addn(&out, p, 1);
            pv_str_add(&out, value);
            p += 1 + n;
        }
    }
    return out.text;
}

void page_run_hide(struct page_run *r, int number)
{
    pv_free(r->name);
    r->name = pv_asprintf("%c", 'A' + number);
    pv_json_remove(pv_json_get(r->config, "dataset"), "name");
    const char *command = pv_json_str(r->config, "command", NULL);
    if (command) {
        char *hidden = hide_paths(command);
        pv_json_set_str(r->config, "command", hidden);
        pv_free(hidden);
    }
    if (pv_json_get(r->config, "init"))
        pv_json_set_str(r->config, "init", "F.safetensors");
    if (is_file(pv_json_str(r->config, "preset", "")))
        pv_json_set_str(r->config, "preset", "F.json");
}
