/* SPDX-License-Identifier: Apache-2.0
 * Hiding names and folders in the texts of an anonymous report. */
#include "report/html_impl.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { LEAST_INSIDE = 3 };      /* shorter names are hidden only where they stand alone: "1" is a number */

static bool same(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i]))
            return false;
    return true;
}

static void add(struct veil *v, const char *id)
{
    size_t len = id ? strlen(id) : 0;
    if (len == 0)
        return;
    for (size_t i = 0; i < v->num; i++)
        if (v->names[i].len == len && same(v->names[i].from, id, len))
            return;
    struct veil_name *name = &v->names[v->num++];
    name->from = id;
    name->len = len;
    snprintf(name->to, sizeof name->to, "case-%03zu", v->num);
}

static int longer(const void *a, const void *b)
{
    const struct veil_name *x = a, *y = b;
    return x->len != y->len ? (x->len < y->len) - (x->len > y->len) : strcmp(x->to, y->to);
}

void veil_make(struct veil *v, const struct pv_report *r)
{
    *v = (struct veil){0};
    if (!r->anonymous_ids)
        return;
    v->names = pv_array(struct veil_name, r->num_cases + r->num_private_ids + 1);
    for (size_t i = 0; i < r->num_cases; i++)
        add(v, r->cases[i].id);
    for (size_t i = 0; i < r->num_private_ids; i++)
        add(v, r->private_ids[i]);
    qsort(v->names, v->num, sizeof *v->names, longer);
}

void veil_free(struct veil *v)
{
    pv_free(v->names);
    *v = (struct veil){0};
}

/* ---- names ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static void hide_names(const struct veil *v, const char *text, struct pv_str *out)
{
    size_t whole = strlen(text);
    for (const char *p = text; *p;) {
        const struct veil_name *hit = NULL;
        size_t left = whole - (size_t)(p - text);
        for (size_t i = 0; i < v->num && !hit; i++) {
            const struct veil_name *n = &v->names[i];
            bool alone = n->len == whole;
            if (n->len > left || (n->len < LEAST_INSIDE && !alone) || !same(p, n->from, n->len))
                continue;
            bool starts = p == text || !is_word(p[-1]) || !is_word(n->from[0]);
            bool ends = !is_word(p[n->len]) || !is_word(n->from[n->len - 1]);
            hit = starts && ends ? n : NULL;
        }
        if (hit)
            pv_str_add(out, hit->to);
        else
            pv_str_addn(out, p, 1);
        p += hit ? hit->len : 1;
    }
}

/* ---- folders ---- */

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

static bool is_path(const char *p, size_t n, bool any)
{
    bool slash = false;
    for (size_t i = 0; i < n; i++)
        slash = slash || is_slash(p[i]);
    bool drive = n > 2 && isalpha((unsigned char)p[0]) && p[1] == ':' && is_slash(p[2]);
    return slash && (any || drive || is_slash(p[0]) || (p[0] == '~' && n > 1) || (p[0] == '.' && n > 2));
}

/* A path keeps its last part; slashes at its end do not count. */
static void add_token(struct pv_str *out, const char *p, size_t n, bool any)
{
    if (!is_path(p, n, any)) {
        pv_str_addn(out, p, n);
        return;
    }
    size_t end = n;
    while (end > 0 && is_slash(p[end - 1]))
        end--;
    size_t from = end;
    while (from > 0 && !is_slash(p[from - 1]))
        from--;
    pv_str_add(out, "\xE2\x80\xA6/");
    pv_str_addn(out, p + from, end - from);
}

static char *hide(const struct veil *v, const char *text, const char *between, bool any)
{
    struct pv_str cut = {0}, out = {0};
    pv_str_add(&cut, "");
    pv_str_add(&out, "");
    while (*text) {
        size_t n = strcspn(text, between);
        add_token(&cut, text, n, any);
        text += n;
        if (*text)
            pv_str_addn(&cut, text++, 1);
    }
    hide_names(v, cut.text, &out);
    pv_str_free(&cut);
    return out.text;
}

/* ---- JSON ---- */

static pv_json *hide_json(const struct veil *v, const pv_json *j)
{
    if (pv_json_is_string(j)) {
        char *t = hide(v, pv_json_string_value(j), "", true);
        pv_json *wrap = pv_json_array();
        pv_json_add_str(wrap, t);
        pv_json *s = pv_json_copy(pv_json_at(wrap, 0));
        pv_json_free(wrap);
        pv_free(t);
        return s;
    }
    bool object = pv_json_is_object(j);
    if (!object && !pv_json_is_array(j))
        return pv_json_copy(j);
    pv_json *copy = object ? pv_json_object() : pv_json_array();
    for (const pv_json *c = pv_json_at(j, 0); c; c = pv_json_next(c)) {
        if (object) {
            char *key = hide(v, pv_json_key(c), "", true);
            pv_json_set(copy, key, hide_json(v, c));
            pv_free(key);
        } else {
            pv_json_add(copy, hide_json(v, c));
        }
    }
    return copy;
}

static char *hide_json_text(const struct veil *v, const char *text)
{
    bool before = pv_fault_kind() != PV_FAULT_NONE;
    pv_fail_quiet(true);
    pv_json *j = pv_json_parse(text, "config");
    pv_fail_quiet(false);
    if (!j) {
        if (!before)
            pv_fault_clear();
        return NULL;
    }
    pv_json *hidden = hide_json(v, j);
    char *out = pv_json_text(hidden, true);
    pv_json_free(hidden);
    pv_json_free(j);
    return out;
}

char *veil_text(const struct veil *v, enum veil_kind kind, const char *text)
{
    static const char blanks[] = " \t\r\n\"'=,;()[]{}";
    char *json = kind == VEIL_JSON ? hide_json_text(v, text) : NULL;
    return json ? json : hide(v, text, blanks, kind != VEIL_TEXT);
}
