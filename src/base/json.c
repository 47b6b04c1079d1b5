/* SPDX-License-Identifier: Apache-2.0
 * JSON of json.h: cJSON parses and holds the tree. Before it, one pass over the text bounds depth
 * and size and reads the numbers, NaN and Infinity among them, leaving zeros for cJSON (which takes
 * 007 and may depend on the locale); after it they are put into the tree in the same order.
 * Printing is ours: shortest numbers, always valid UTF-8. */
#include "base/json.h"

#include <cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/internal.h"

enum {
    MAX_DEPTH = 200,
    MAX_VALUES = 4000000,   /* cJSON needs some 80 bytes for each: "[0,0,0,..." stays bounded */
};

static pv_mutex_slot parse_lock;    /* cJSON writes a global error position */

/* ---- reading ---- */

struct scan {
    const char *name, *text, *p;
    char *copy;             /* what cJSON gets: as long as the text */
    size_t line, depth, values;
    double *v;              /* the numbers in order */
    size_t num_v;
};

/* A fault, or none if `name` is NULL. Always false. */
static bool bad(const char *name, size_t line, const char *at, const char *why)
{
    char near[33];
    if (!name)
        return false;
    size_t n = 0;
    while (n < sizeof near - 1 && at[n] && at[n] != '\n' && at[n] != '\r')
        n++;
    while (n > 0 && ((unsigned char)at[n] & 0xC0) == 0x80)     /* no half characters */
        n--;
    memcpy(near, at, n);
    near[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (iscntrl((unsigned char)near[i]))
            near[i] = ' ';
    return pv_fail(PV_FAULT_INPUT, "%s, line %zu: %s%s%s", name, line, why,
                   n ? " at: " : " at the end of ", n ? near : "a line");
}

static bool scan_string(struct scan *s)
{
    const char *start = s->p++;
    while (*s->p != '"') {
        if (*s->p == '\0' || *s->p == '\n')
            return bad(s->name, s->line, start, "a string without closing quote");
        s->p += s->p[0] == '\\' && s->p[1] ? 2 : 1;
    }
    s->p++;
    return true;
}

static const char *digits(const char *p)
{
    while (isdigit((unsigned char)*p))
        p++;
    return p;
}

/* The end of the number at p, NULL if it is not one of JSON's. */
static const char *number_end(const char *p)
{
    p += *p == '-';
    const char *whole = p;
    p = digits(p);
    bool ok = p > whole && (whole[0] != '0' || p == whole + 1);
    if (ok && *p == '.') {
        const char *fraction = ++p;
        p = digits(p);
        ok = p > fraction;
    }
    if (ok && (*p == 'e' || *p == 'E')) {
        p++;
        p += *p == '+' || *p == '-';
        const char *power = p;
        p = digits(p);
        ok = p > power;
    }
    return ok ? p : NULL;
}

static bool scan_number(struct scan *s)
{
    static const struct { const char *text; double v; } words[] = {
        {"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
    const char *end = NULL;
    double v = 0;
    for (size_t i = 0; i < PV_COUNT(words) && !end; i++) {
        if (pv_starts(s->p, words[i].text)) {
            end = s->p + strlen(words[i].text);
            v = words[i].v;
        }
    }
    if (!end) {
        const char *used;
        end = number_end(s->p);
        if (end)
            v = pv_number_read(s->p, &used);
    }
    if (!end || isalnum((unsigned char)*end) || *end == '.')
        return bad(s->name, s->line, s->p, "not a number");
    if (s->num_v > MAX_VALUES)
        return bad(s->name, s->line, s->p, "too many values");
    if ((s->num_v & (s->num_v - 1)) == 0)       /* 0, 1, 2, 4, ...: full */
        s->v = pv_realloc(s->v, (s->num_v ? 2 * s->num_v : 1) * sizeof *s->v);
    s->v[s->num_v++] = v;
    char *out = s->copy + (s->p - s->text);
    memset(out, ' ', (size_t)(end - s->p));
    out[0] = '0';
    s->p = end;
    return true;
}

static bool scan_text(struct scan *s)
{
    if (pv_starts(s->p, "\xEF\xBB\xBF")) {
        memset(s->copy, ' ', 3);
        s->p += 3;
    }
    while (*s->p) {
        char c = *s->p;
        if (c == '"') {
            if (!scan_string(s))
                return false;
            continue;
        }
        if (c == '-' || c == 'N' || c == 'I' || isdigit((unsigned char)c)) {
            if (!scan_number(s))
                return false;
            continue;
        }
        if (c == '\n')
            s->line++;
        if (c == '[' || c == '{')
            s->depth++;
        else if ((c == ']' || c == '}') && s->depth > 0)
            s->depth--;
        s->values += c == '[' || c == '{' || c == ',';
        if (s->depth > MAX_DEPTH)
            return bad(s->name, s->line, s->p, "nested too deeply");
        if (s->values > MAX_VALUES)
            return bad(s->name, s->line, s->p, "too many values");
        s->p++;
    }
    return true;
}

static void set_number(pv_json *j, double v)
{
    if (isnan(v))               /* cJSON would convert it to int */
        j->valuedouble = v;
    else
        cJSON_SetNumberHelper(j, v);
}

static void put_numbers(pv_json *j, const double **v)
{
    if (cJSON_IsNumber(j))
        set_number(j, *(*v)++);
    for (pv_json *c = j->child; c; c = c->next)
        put_numbers(c, v);
}

/* Without a name, failure is silent. */
static pv_json *parse(const char *text, const char *name)
{
    struct scan s = {.name = name, .text = text, .p = text, .line = 1, .copy = pv_strdup(text)};
    pv_json *j = NULL;
    if (!scan_text(&s))
        goto done;
    const char *stop = NULL;
    pv_mutex *lock = pv_mutex_of(&parse_lock);
    pv_mutex_lock(lock);
    j = cJSON_ParseWithOpts(s.copy, &stop, 1);
    pv_mutex_unlock(lock);
    if (j) {
        const double *v = s.v;
        put_numbers(j, &v);
        goto done;
    }
    size_t at = stop ? (size_t)(stop - s.copy) : 0, line = 1;
    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    bad(name, line, text + at, "not valid JSON (a comma, quote or bracket is missing or too many)");
done:
    pv_free(s.copy);
    pv_free(s.v);
    return j;
}

pv_json *pv_json_parse(const char *text, const char *name)
{
    return parse(text, name);
}

pv_json *pv_json_read(const char *path)
{
    char *text;
    size_t size;
    if (!pv_read_file(path, &text, &size))
        return NULL;
    pv_json *j = NULL;
    if (strlen(text) != size)
        pv_fail(PV_FAULT_INPUT, "%s is not a text file (it has zero bytes)", path);
    else
        j = parse(text, path);
    pv_free(text);
    return j;
}

/* ---- writing ---- */

/* Bytes of the valid UTF-8 character at p, 0 if there is none. */
static size_t utf8_len(const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] < 0xC2 || p[0] > 0xF4 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    /* too long, surrogate, too long, beyond Unicode */
    bool wrong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F)
                 || (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F);
    return wrong ? 0 : n;
}

static void print_string(struct pv_str *out, const char *s)
{
    static const char escaped[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    pv_str_add(out, "\"");
    for (const unsigned char *p = (const unsigned char *)s; *p;) {
        const char *e = strchr(escaped, *p);
        size_t n = utf8_len(p);
        if (e)
            pv_str_addf(out, "\\%c", letter[e - escaped]);
        else if (*p < 0x20)
            pv_str_addf(out, "\\u%04x", *p);
        else if (n == 0)
            pv_str_add(out, "\xEF\xBF\xBD");
        else
            pv_str_addn(out, (const char *)p, n);
        p += n ? n : 1;
    }
    pv_str_add(out, "\"");
}

static void new_line(struct pv_str *out, bool indented, int depth)
{
    if (!indented)
        return;
    pv_str_add(out, "\n");
    for (int i = 0; i < depth; i++)
        pv_str_add(out, "  ");
}

static bool all_scalars(const pv_json *j)
{
    for (const pv_json *c = j->child; c; c = c->next)
        if (c->child)
            return false;
    return true;
}

static void print(struct pv_str *out, const pv_json *j, bool indented, int depth)
{
    if (cJSON_IsObject(j) || cJSON_IsArray(j)) {
        bool object = cJSON_IsObject(j);
        bool lines = indented && j->child && (object || !all_scalars(j));
        pv_str_add(out, object ? "{" : "[");
        for (const pv_json *c = j->child; c; c = c->next) {
            new_line(out, lines, depth + 1);
            if (object) {
                print_string(out, c->string ? c->string : "");
                pv_str_add(out, indented ? ": " : ":");
            }
            print(out, c, indented, depth + 1);
            if (c->next)
                pv_str_add(out, indented && !lines ? ", " : ",");
        }
        new_line(out, lines, depth);
        pv_str_add(out, object ? "}" : "]");
    } else if (cJSON_IsString(j)) {
        print_string(out, j->valuestring);
    } else if (cJSON_IsNumber(j) && isfinite(j->valuedouble)) {
        char text[32];
        pv_number_text(text, j->valuedouble);
        pv_str_add(out, text);
    } else {
        pv_str_add(out, cJSON_IsTrue(j) ? "true" : cJSON_IsFalse(j) ? "false" : "null");
    }
}

char *pv_json_text(const pv_json *j, bool indented)
{
    struct pv_str out = {0};
    pv_str_add(&out, "");
    print(&out, j, indented, 0);
    return out.text;
}

bool pv_json_write(const char *path, const pv_json *j)
{
    struct pv_str out = {0};
    print(&out, j, true, 0);
    pv_str_add(&out, "\n");
    bool ok = pv_write_file(path, out.text, out.len);
    pv_str_free(&out);
    return ok;
}

/* ---- the tree ---- */

static pv_json *made(pv_json *j)
{
    if (!j)
        pv_out_of_memory(sizeof *j);
    return j;
}

static pv_json *number(double v)
{
    pv_json *j = made(cJSON_CreateNumber(0));
    set_number(j, v);
    return j;
}

void pv_json_free(pv_json *j)
{
    cJSON_Delete(j);
}

pv_json *pv_json_object(void)
{
    return made(cJSON_CreateObject());
}

pv_json *pv_json_array(void)
{
    return made(cJSON_CreateArray());
}

pv_json *pv_json_copy(const pv_json *j)
{
    return made(cJSON_Duplicate(j, 1));
}

void pv_json_set(pv_json *obj, const char *key, pv_json *value)
{
    pv_json *old = cJSON_GetObjectItemCaseSensitive(obj, key);
    bool ok = old ? cJSON_ReplaceItemInObjectCaseSensitive(obj, key, value)
                  : cJSON_AddItemToObject(obj, key, value);
    if (!ok)
        pv_out_of_memory(sizeof *value);
}

void pv_json_set_str(pv_json *obj, const char *key, const char *v)
{
    pv_json_set(obj, key, made(v ? cJSON_CreateString(v) : cJSON_CreateNull()));
}

void pv_json_set_num(pv_json *obj, const char *key, double v)
{
    pv_json_set(obj, key, number(v));
}

void pv_json_set_bool(pv_json *obj, const char *key, bool v)
{
    pv_json_set(obj, key, made(cJSON_CreateBool(v)));
}

void pv_json_add(pv_json *arr, pv_json *value)
{
    if (!cJSON_AddItemToArray(arr, value))
        pv_out_of_memory(sizeof *value);
}

void pv_json_add_str(pv_json *arr, const char *v)
{
    pv_json_add(arr, made(v ? cJSON_CreateString(v) : cJSON_CreateNull()));
}

void pv_json_add_num(pv_json *arr, double v)
{
    pv_json_add(arr, number(v));
}

void pv_json_remove(pv_json *obj, const char *key)
{
    cJSON_DeleteItemFromObjectCaseSensitive(obj, key);
}

pv_json *pv_json_get(const pv_json *obj, const char *key)
{
    return cJSON_IsObject(obj) ? cJSON_GetObjectItemCaseSensitive(obj, key) : NULL;
}

const char *pv_json_str(const pv_json *obj, const char *key, const char *def)
{
    const pv_json *j = pv_json_get(obj, key);
    return cJSON_IsString(j) ? j->valuestring : def;
}

double pv_json_num(const pv_json *obj, const char *key, double def)
{
    const pv_json *j = pv_json_get(obj, key);
    return cJSON_IsNumber(j) ? j->valuedouble : def;
}

bool pv_json_flag(const pv_json *obj, const char *key, bool def)
{
    const pv_json *j = pv_json_get(obj, key);
    return cJSON_IsBool(j) ? (bool)cJSON_IsTrue(j) : def;
}

bool pv_json_is_object(const pv_json *j)
{
    return cJSON_IsObject(j);
}

bool pv_json_is_array(const pv_json *j)
{
    return cJSON_IsArray(j);
}

bool pv_json_is_string(const pv_json *j)
{
    return cJSON_IsString(j);
}

bool pv_json_is_number(const pv_json *j)
{
    return cJSON_IsNumber(j);
}

const char *pv_json_string_value(const pv_json *j)
{
    return cJSON_IsString(j) ? j->valuestring : NULL;
}

double pv_json_number_value(const pv_json *j)
{
    return cJSON_IsNumber(j) ? j->valuedouble : NAN;
}

size_t pv_json_count(const pv_json *j)
{
    size_t n = 0;
    for (const pv_json *c = j ? j->child : NULL; c; c = c->next)
        n++;
    return n;
}

pv_json *pv_json_at(const pv_json *j, size_t i)
{
    pv_json *c = j ? j->child : NULL;
    while (c && i-- > 0)
        c = c->next;
    return c;
}

const char *pv_json_key_at(const pv_json *obj, size_t i)
{
    const pv_json *c = pv_json_at(obj, i);
    return c ? c->string : NULL;
}

pv_json *pv_json_next(const pv_json *member)
{
    return member->next;
}

const char *pv_json_key(const pv_json *member)
{
    return member->string;
}

/* ---- paths and merging ---- */

pv_json *pv_json_path(const pv_json *obj, const char *path)
{
    struct pv_strs parts = {0};
    pv_strs_split(&parts, path, ".");
    const pv_json *j = parts.n > 0 ? obj : NULL;
    for (size_t i = 0; j && i < parts.n; i++)
        j = pv_json_get(j, parts.v[i]);
    pv_strs_free(&parts);
    return (pv_json *)j;
}

static pv_json *value_of(const char *text)
{
    pv_json *j = parse(text, NULL);
    return j ? j : made(cJSON_CreateString(text));
}

bool pv_json_path_set(pv_json *obj, const char *path, const char *text)
{
    struct pv_strs parts = {0};
    bool ok = false;
    pv_strs_split(&parts, path, ".");
    if (parts.n == 0) {
        pv_fail(PV_FAULT_USAGE, "'%s' names no setting: write for example optim.lr", path);
        goto done;
    }
    for (size_t i = 0; i + 1 < parts.n; i++) {
        pv_json *next = pv_json_get(obj, parts.v[i]);
        if (next && !cJSON_IsObject(next)) {
            pv_fail(PV_FAULT_USAGE, "cannot set %s: %s is a value, not a group of settings", path,
                    parts.v[i]);
            goto done;
        }
        if (!next) {
            next = pv_json_object();
            pv_json_set(obj, parts.v[i], next);
        }
        obj = next;
    }
    pv_json_set(obj, parts.v[parts.n - 1], value_of(text));
    ok = true;
done:
    pv_strs_free(&parts);
    return ok;
}

void pv_json_merge(pv_json *base, const pv_json *over)
{
    for (const pv_json *c = cJSON_IsObject(over) ? over->child : NULL; c; c = c->next) {
        pv_json *mine = pv_json_get(base, c->string);
        if (cJSON_IsObject(c) && cJSON_IsObject(mine))
            pv_json_merge(mine, c);
        else
            pv_json_set(base, c->string, pv_json_copy(c));
    }
}
