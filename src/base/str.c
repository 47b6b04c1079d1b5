/* SPDX-License-Identifier: Apache-2.0
 * Strings of base.h: copies, paths, growing text, lists, parsing of values, nearest name. Numbers
 * are read and printed with a point whatever locale the host program has set. */
#include "base/internal.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *pv_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(pv_alloc(n), s, n);
}

char *pv_asprintf(const char *fmt, ...)
{
    struct pv_str s = {0};
    va_list args;
    va_start(args, fmt);
    pv_str_addv(&s, fmt, args);
    va_end(args);
    return s.text;
}

bool pv_streq(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool pv_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool pv_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* ---- paths ---- */

static bool is_separator(char c)
{
    return c != '\0' && strchr(pv_path_separators, c);
}

/* "C:" where there are two separators, that is on Windows */
static bool has_drive(const char *path)
{
    return pv_path_separators[1] && isalpha((unsigned char)path[0]) && path[1] == ':';
}

char *pv_path_join(const char *dir, const char *name)
{
    if (!dir[0] || is_separator(name[0]) || has_drive(name))
        return pv_strdup(name);
    bool closed = is_separator(dir[strlen(dir) - 1]);
    return pv_asprintf("%s%s%s", dir, closed || !name[0] ? "" : "/", name);
}

const char *pv_path_base(const char *path)
{
    const char *base = has_drive(path) ? path + 2 : path;
    for (const char *p = base; *p; p++)
        if (is_separator(*p))
            base = p + 1;
    return base;
}

char *pv_path_dir(const char *path)
{
    size_t n = (size_t)(pv_path_base(path) - path), root = has_drive(path) ? 3 : 1;
    if (n == 0)
        return pv_strdup(".");
    while (n > root && is_separator(path[n - 1]))
        n--;
    char *dir = pv_alloc(n + 1);
    memcpy(dir, path, n);
    dir[n] = '\0';
    return dir;
}

/* ---- growing text ---- */

static void reserve(struct pv_str *s, size_t more)
{
    if (more > SIZE_MAX / 4 || s->len > SIZE_MAX / 4)
        pv_out_of_memory(more);
    size_t need = s->len + more + 1;
    if (need <= s->cap)
        return;
    size_t cap = s->cap ? s->cap : 64;
    while (cap < need)
        cap *= 2;
    s->text = pv_realloc(s->text, cap);
    s->cap = cap;
}

void pv_str_addn(struct pv_str *s, const char *text, size_t n)
{
    reserve(s, n);
    if (n > 0)
        memcpy(s->text + s->len, text, n);
    s->len += n;
    s->text[s->len] = '\0';
}

void pv_str_add(struct pv_str *s, const char *text)
{
    pv_str_addn(s, text, strlen(text));
}

void pv_str_addv(struct pv_str *s, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    reserve(s, n < 0 ? 0 : (size_t)n);
    if (n > 0) {
        vsnprintf(s->text + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    s->text[s->len] = '\0';
    va_end(again);
}

void pv_str_addf(struct pv_str *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    pv_str_addv(s, fmt, args);
    va_end(args);
}

void pv_str_free(struct pv_str *s)
{
    pv_free(s->text);
    *s = (struct pv_str){0};
}

/* ---- lists ---- */

static void add_owned(struct pv_strs *l, char *s)
{
    if ((l->n & (l->n - 1)) == 0)       /* 0, 1, 2, 4, ...: full */
        l->v = pv_realloc(l->v, (l->n ? 2 * l->n : 1) * sizeof *l->v);
    l->v[l->n++] = s;
}

void pv_strs_add(struct pv_strs *l, const char *s)
{
    add_owned(l, pv_strdup(s));
}

void pv_strs_split(struct pv_strs *l, const char *text, const char *separators)
{
    for (;;) {
        text += strspn(text, separators);
        size_t n = strcspn(text, separators);
        if (n == 0)
            return;
        char *part = pv_alloc(n + 1);
        memcpy(part, text, n);
        part[n] = '\0';
        add_owned(l, part);
        text += n;
    }
}

int pv_strs_find(const struct pv_strs *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], s) == 0)
            return (int)i;
    return -1;
}

void pv_strs_free(struct pv_strs *l)
{
    for (size_t i = 0; i < l->n; i++)
        pv_free(l->v[i]);
    pv_free(l->v);
    *l = (struct pv_strs){0};
}

/* ---- values ---- */

/* strtod and printf use the locale's point; both helpers swap it for '.'. */
static const char *locale_point(void)
{
    const struct lconv *lc = localeconv();
    return lc && lc->decimal_point && lc->decimal_point[0] ? lc->decimal_point : ".";
}

double pv_number_read(const char *s, const char **end)
{
    const char *point = locale_point();
    char *stop;
    if (strcmp(point, ".") == 0) {
        double v = strtod(s, &stop);
        *end = stop;
        return v;
    }
    size_t n = strspn(s, "+-0123456789eE.abcdfinptxyABCDFINPTXY"), at = 0;
    struct pv_str copy = {0};
    const char *dot = memchr(s, '.', n);
    at = dot ? (size_t)(dot - s) : n;
    pv_str_addn(&copy, s, at);
    if (dot) {
        pv_str_add(&copy, point);
        pv_str_addn(&copy, dot + 1, n - at - 1);
    }
    double v = strtod(copy.text, &stop);
    size_t used = (size_t)(stop - copy.text);
    if (dot && used > at)
        used -= strlen(point) - 1;
    *end = s + used;
    pv_str_free(&copy);
    return v;
}

/* The locale's decimal point replaced by a point. */
static void with_point(char *out)
{
    const char *point = locale_point();
    char *p = strcmp(point, ".") == 0 ? NULL : strstr(out, point);
    if (p) {
        size_t n = strlen(point);
        *p = '.';
        memmove(p + 1, p + n, strlen(p + n) + 1);
    }
}

void pv_digits_text(char out[40], double v, int digits)
{
    snprintf(out, 40, "%.*g", digits, v);
    with_point(out);
}

void pv_number_text(char out[32], double v)
{
    if (v == floor(v) && fabs(v) < 1e15) {      /* the usual case, without a search */
        snprintf(out, 32, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, v);
        if (strtod(out, NULL) == v)
            break;
    }
    with_point(out);
}

bool pv_parse_i64(const char *s, int64_t *out)
{
    if (!isdigit((unsigned char)s[0])
        && !((s[0] == '-' || s[0] == '+') && isdigit((unsigned char)s[1])))
        return false;
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno != 0 || *end)
        return false;
    *out = v;
    return true;
}

bool pv_parse_f64(const char *s, double *out)
{
    /* no hexadecimal, no nan(tag) */
    if (!s[0] || isspace((unsigned char)s[0]) || strpbrk(s, "xX("))
        return false;
    const char *end;
    double v = pv_number_read(s, &end);
    bool named = strpbrk(s, "nN") != NULL;      /* nan, inf */
    if (end == s || *end || (isinf(v) && !named))
        return false;
    *out = v;
    return true;
}

bool pv_parse_size(const char *s, uint64_t *out)
{
    if (!isdigit((unsigned char)s[0]))
        return false;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (errno != 0)
        return false;
    int shift = 0;
    switch (*end) {
    case 'k': case 'K': shift = 10; break;
    case 'm': case 'M': shift = 20; break;
    case 'g': case 'G': shift = 30; break;
    default: break;
    }
    if (end[shift ? 1 : 0] || v > UINT64_MAX >> shift)
        return false;
    *out = (uint64_t)v << shift;
    return true;
}

static int lower(char c)
{
    return tolower((unsigned char)c);
}

static bool same_word(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) == lower(*b);
}

bool pv_parse_bool(const char *s, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < PV_COUNT(words); i++) {
        if (same_word(s, words[i])) {
            *out = i % 2 == 1;
            return true;
        }
    }
    return false;
}

bool pv_parse_shape(const char *s, int out[3])
{
    int v[3];
    for (int i = 0; i < 3; i++) {
        if (!isdigit((unsigned char)*s))
            return false;
        char *end;
        errno = 0;
        long n = strtol(s, &end, 10);
        if (errno != 0 || n < 1 || n > INT_MAX)
            return false;
        if (i < 2 ? *end != 'x' && *end != 'X' : *end != '\0')
            return false;
        v[i] = (int)n;
        s = end + 1;
    }
    memcpy(out, v, sizeof v);
    return true;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b, ignoring case; at most 64
 * letters. */
static int edits(const char *a, const char *b)
{
    enum { MOST = 64 };
    int na = (int)strlen(a), nb = (int)strlen(b);
    if (na > MOST || nb > MOST)
        return INT_MAX;
    int d[3][MOST + 1];
    for (int j = 0; j <= nb; j++)
        d[0][j] = j;
    for (int i = 1; i <= na; i++) {
        int *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            int same = lower(a[i - 1]) == lower(b[j - 1]);
            row[j] = pv_min(pv_min(up[j], row[j - 1]) + 1, up[j - 1] + !same);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2])
                && lower(a[i - 2]) == lower(b[j - 1]))
                row[j] = pv_min(row[j], up2[j - 2] + 1);
        }
    }
    return d[na % 3][nb];
}

const char *pv_nearest(const char *s, const char *const *list, size_t n)
{
    const char *best = NULL;
    int len = (int)strlen(s), least = INT_MAX;
    for (size_t i = 0; i < n; i++) {
        int e = edits(s, list[i]);
        /* A third of the letters may be wrong; an unfinished word counts as one mistake. */
        if (len >= 2 && strlen(list[i]) > (size_t)len && strncmp(s, list[i], (size_t)len) == 0)
            e = 1;
        if (e <= pv_max(1, len / 3) && e < least) {
            least = e;
            best = list[i];
        }
    }
    return best;
}
