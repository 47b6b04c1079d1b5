/* SPDX-License-Identifier: Apache-2.0
 * text.h. */
#include "report/text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- numbers ---- */

static void point(char out[32])
{
    const char *have = localeconv()->decimal_point;
    char *p = have && have[0] && strcmp(have, ".") != 0 ? strstr(out, have) : NULL;
    if (p) {
        size_t n = strlen(have);
        *p = '.';
        memmove(p + 1, p + n, strlen(p + n) + 1);
    }
}

static bool named(char out[32], double v)
{
    if (isfinite(v))
        return false;
    snprintf(out, 32, "%s", isnan(v) ? "n/a" : v > 0 ? "inf" : "-inf");
    return true;
}

void pv_text_fixed(char out[32], double v, int decimals)
{
    if (named(out, v))
        return;
    if (fabs(v) >= 1e15) {
        pv_text_short(out, v, 6);
        return;
    }
    snprintf(out, 32, "%.*f", pv_min(pv_max(decimals, 0), 12), v);
    point(out);
    if (out[0] == '-' && strspn(out, "-0.") == strlen(out))
        memmove(out, out + 1, strlen(out));
}

void pv_text_short(char out[32], double v, int digits)
{
    if (named(out, v))
        return;
    if (v == 0)
        v = 0;      /* no sign */
    if (v == floor(v) && fabs(v) < 1e7 && fabs(v) < pow(10, digits + 2))
        snprintf(out, 32, "%.0f", v);
    else
        snprintf(out, 32, "%.*g", pv_min(pv_max(digits, 1), 17), v);
    point(out);
    char *e = strchr(out, 'e');
    if (!e)
        return;
    char *to = e + 1, *from = e + 1;    /* "e-05" -> "e-5", "e+07" -> "e7" */
    if (*from == '-')
        to++;
    from++;
    from += strspn(from, "0");
    memmove(to, from, strlen(from) + 1);
}

void pv_str_fixed(struct pv_str *s, double v, int decimals)
{
    char t[32];
    pv_text_fixed(t, v, decimals);
    pv_str_add(s, t);
}

void pv_str_short(struct pv_str *s, double v, int digits)
{
    char t[32];
    pv_text_short(t, v, digits);
    pv_str_add(s, t);
}

/* ---- UTF-8 ---- */

uint32_t pv_utf8_next(const char **p)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)*p;
    if (s[0] == 0)
        return 0;
    int more = s[0] < 0x80 ? 0 : s[0] >= 0xC2 && s[0] < 0xE0 ? 1 : s[0] >= 0xE0 && s[0] < 0xF0 ? 2
             : s[0] >= 0xF0 && s[0] < 0xF5 ? 3 : -1;
    uint32_t c = more <= 0 ? s[0] : s[0] & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            more = -1;
            break;
        }
        c = c << 6 | (s[i] & 0x3Fu);
    }
    if (more < 0 || c < least[more] || (c >= 0xD800 && c < 0xE000) || c > 0x10FFFF) {
        (*p)++;
        return 0xFFFD;
    }
    *p += more + 1;
    return c;
}

void pv_str_escape(struct pv_str *s, const char *text)
{
    if (!text)
        return;
    while (*text) {
        const char *from = text;
        uint32_t c = pv_utf8_next(&text);
        bool bad = (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0) || c == 0xFFFD
                   || (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c < 0xFDF0);
        if (bad)
            pv_str_add(s, "\xEF\xBF\xBD");
        else if (c == '&')
            pv_str_add(s, "&amp;");
        else if (c == '<')
            pv_str_add(s, "&lt;");
        else if (c == '>')
            pv_str_add(s, "&gt;");
        else if (c == '"')
            pv_str_add(s, "&quot;");
        else if (c == '\'')
            pv_str_add(s, "&#39;");
        else
            pv_str_addn(s, from, (size_t)(text - from));
    }
}

/* ---- base64 ---- */

void pv_str_base64(struct pv_str *s, const void *data, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;
    char out[4 * 1024];
    size_t k = 0;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        if (i + 1 < n)
            v |= (uint32_t)p[i + 1] << 8;
        if (i + 2 < n)
            v |= p[i + 2];
        out[k++] = digit[v >> 18];
        out[k++] = digit[v >> 12 & 63];
        out[k++] = i + 1 < n ? digit[v >> 6 & 63] : '=';
        out[k++] = i + 2 < n ? digit[v & 63] : '=';
        if (k == sizeof out) {
            pv_str_addn(s, out, k);
            k = 0;
        }
    }
    pv_str_addn(s, out, k);
}
