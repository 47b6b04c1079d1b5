/* SPDX-License-Identifier: Apache-2.0
 * events.h. The protocol buffers are written by hand: a field is a varint (number << 3 | type) and then a
 * varint (type 0), 8 bytes (1), a length and bytes (2) or 4 bytes (5). */
#include "report/events.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

static const char prefix[] = "events.out.tfevents.", suffix[] = ".protovox";
enum { HEAD = 12, MOST_RECORD = 64 << 20 };     /* length and its checksum; larger is damage */

struct pv_events {
    FILE *f;
    char *path;
    double base;            /* seconds since 1970 at the start of the clock */
    bool failed;
};

/* ---- CRC-32C ---- */

uint32_t pv_crc32c(const void *data, size_t n)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
        0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75};
    const unsigned char *p = data;
    uint32_t c = 0xFFFFFFFF;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        c = nibble[c & 15] ^ c >> 4;
        c = nibble[c & 15] ^ c >> 4;
    }
    return ~c;
}

uint32_t pv_crc32c_masked(const void *data, size_t n)
{
    uint32_t c = pv_crc32c(data, n);
    return (c >> 15 | c << 17) + 0xA282EAD8u;
}

/* ---- writing messages ---- */

static void put_le(struct pv_str *s, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        pv_str_addn(s, &(char){(char)(v >> 8 * i & 255)}, 1);
}

static void put_varint(struct pv_str *s, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        put_le(s, (v & 0x7F) | 0x80, 1);
    put_le(s, v, 1);
}

static void put_bytes(struct pv_str *s, int field, const void *data, size_t n)
{
    put_varint(s, (uint64_t)field << 3 | 2);
    put_varint(s, n);
    pv_str_addn(s, data, n);
}

static void put_double(struct pv_str *s, int field, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_varint(s, (uint64_t)field << 3 | 1);
    put_le(s, bits, 8);
}

static void put_float(struct pv_str *s, int field, double v)
{
    float f = fabs(v) > FLT_MAX ? (float)copysign(INFINITY, v) : (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    put_varint(s, (uint64_t)field << 3 | 5);
    put_le(s, bits, 4);
}

/* ---- files ---- */

static bool fail(struct pv_events *e)
{
    if (!e->failed)
        pv_fail(PV_FAULT_INPUT, "cannot write %s: %s", e->path, pv_os_error());
    e->failed = true;
    return false;
}

static bool write_record(struct pv_events *e, const struct pv_str *data)
{
    if (e->failed)
        return false;
    struct pv_str r = {0};
    put_le(&r, data->len, 8);
    put_le(&r, pv_crc32c_masked(r.text, 8), 4);
    pv_str_addn(&r, data->text, data->len);
    put_le(&r, pv_crc32c_masked(data->text, data->len), 4);
    bool ok = fwrite(r.text, 1, r.len, e->f) == r.len && fflush(e->f) == 0;
    pv_str_free(&r);
    return ok || fail(e);
}

static double now(const struct pv_events *e)
{
    return e->base + (double)pv_clock_ns() * 1e-9;
}

static bool write_version(struct pv_events *e)
{
    static const char version[] = "brain.Event:2";
    struct pv_str s = {0};
    put_double(&s, 1, now(e));
    put_bytes(&s, 3, version, sizeof version - 1);
    bool ok = write_record(e, &s);
    pv_str_free(&s);
    return ok;
}

/* ---- reading our own files back ---- */

static uint64_t get_le(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static bool get_varint(const unsigned char **p, const unsigned char *end, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64 && *p < end; shift += 7) {
        *v |= (uint64_t)(**p & 0x7F) << shift;
        if (!(*(*p)++ & 0x80))
            return true;
    }
    return false;
}

/* The step of an event, 0 if it has none; false if the message is damaged. */
static bool event_step(const unsigned char *p, size_t n, int64_t *step)
{
    const unsigned char *end = p + n;
    *step = 0;
    while (p < end) {
        uint64_t key, v;
        if (!get_varint(&p, end, &key))
            return false;
        uint64_t skip = 0;
        switch (key & 7) {
        case 0:
            if (!get_varint(&p, end, &v))
                return false;
            if (key >> 3 == 2)
                *step = (int64_t)v;
            break;
        case 1: skip = 8; break;
        case 2:
            if (!get_varint(&p, end, &skip))
                return false;
            break;
        case 5: skip = 4; break;
        default: return false;
        }
        if (skip > (uint64_t)(end - p))
            return false;
        p += skip;
    }
    return true;
}

/* Length of the whole records before the first with a step beyond `step`; 0 if there is none. */
static size_t good_length(const char *text, size_t size, int64_t step)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t at = 0;
    for (;;) {
        if (size - at < HEAD + 4 || get_le(p + at + 8, 4) != pv_crc32c_masked(p + at, 8))
            return at;
        uint64_t n = get_le(p + at, 8);
        if (n > MOST_RECORD || n > size - at - HEAD - 4)
            return at;
        const unsigned char *data = p + at + HEAD;
        int64_t s;
        if (get_le(data + n, 4) != pv_crc32c_masked(data, (size_t)n) || !event_step(data, (size_t)n, &s)
            || s > step)
            return at;
        at += HEAD + (size_t)n + 4;
    }
}

static bool cut(const char *path, int64_t step)
{
    char *text;
    size_t size;
    if (!pv_read_file(path, &text, &size))
        return false;
    size_t keep = good_length(text, size, step);
    pv_free(text);
    if (keep == size)
        return true;
    FILE *f = pv_fopen(path, "r+b");
    bool ok = f && pv_truncate(f, (int64_t)keep);
    if (!ok)
        pv_fail(PV_FAULT_INPUT, "cannot cut %s to the iteration that is resumed: %s", path, pv_os_error());
    if (f)
        fclose(f);
    return ok;
}

/* Cuts all our files; *last is the path of the last one or NULL. */
static bool resume(const char *dir, int64_t step, char **last)
{
    char **names;
    size_t n;
    *last = NULL;
    if (!pv_list_dir(dir, &names, &n))
        return pv_fail(PV_FAULT_INPUT, "cannot list %s: %s", dir, pv_os_error());
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        if (ok && pv_starts(names[i], prefix) && pv_ends(names[i], suffix)) {
            pv_free(*last);
            *last = pv_path_join(dir, names[i]);
            ok = cut(*last, step);
        }
        free(names[i]);
    }
    free(names);
    return ok;
}

/* A name that sorts behind those that are there. */
static FILE *begin(const char *dir, char **path)
{
    for (int64_t second = pv_unix_time();; second++) {
        char *name = pv_asprintf("%s%010lld%s", prefix, (long long)second, suffix);
        pv_free(*path);
        *path = pv_path_join(dir, name);
        pv_free(name);
        if (!pv_file_exists(*path))
            return pv_fopen(*path, "wbx");
    }
}

pv_events *pv_events_open(const char *dir, int64_t resume_step)
{
    struct pv_events *e = pv_new(struct pv_events);
    e->base = (double)pv_unix_time() - (double)pv_clock_ns() * 1e-9;
    if (resume_step >= 0 && !resume(dir, resume_step, &e->path))
        goto error;
    bool fresh = !e->path;
    e->f = fresh ? begin(dir, &e->path) : pv_fopen(e->path, "ab");
    if (!e->f) {
        fail(e);
        goto error;
    }
    if ((fresh || pv_file_size(e->path) == 0) && !write_version(e))
        goto error;
    return e;
error:
    e->failed = true;       /* said already */
    pv_events_close(&e);
    return NULL;
}

bool pv_events_scalars(pv_events *e, int64_t step, const char *const *tag, const double *value, size_t n)
{
    struct pv_str event = {0}, summary = {0};
    for (size_t i = 0; i < n; i++) {
        struct pv_str v = {0};
        put_bytes(&v, 1, tag[i], strlen(tag[i]));
        put_float(&v, 2, value[i]);
        put_bytes(&summary, 1, v.text, v.len);
        pv_str_free(&v);
    }
    put_double(&event, 1, now(e));
    put_varint(&event, 2 << 3);
    put_varint(&event, (uint64_t)step);
    put_bytes(&event, 5, n ? summary.text : "", summary.len);
    bool ok = write_record(e, &event);
    pv_str_free(&event);
    pv_str_free(&summary);
    return ok;
}

bool pv_events_scalar(pv_events *e, int64_t step, const char *tag, double value)
{
    return pv_events_scalars(e, step, &tag, &value, 1);
}

const char *pv_events_path(const pv_events *e)
{
    return e->path;
}

bool pv_events_close(pv_events **out)
{
    struct pv_events *e = *out;
    if (!e)
        return true;
    if (e->f && !e->failed && !pv_sync_file(e->f))
        fail(e);
    if (e->f && fclose(e->f) != 0 && !e->failed)
        fail(e);
    bool ok = !e->failed;
    pv_free(e->path);
    pv_free(e);
    *out = NULL;
    return ok;
}
