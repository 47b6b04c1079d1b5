/* SPDX-License-Identifier: Apache-2.0
 * Plain and gzip byte streams (gz.h) on zlib's inflate and deflate. Members that follow each other
 * are one stream, as gzip has it; what follows the last and is no member is passed over. */
#include "data/gz.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/base.h"
#include "base/outfile.h"
#include "platform/platform.h"

enum { IN_BYTES = 1 << 16, OUT_BYTES = 1 << 16, STEP = 1 << 20 };

/* Deflate codes at most 258 bytes in 2 bits. */
#define MOST_RATIO 1032u

struct pv_in {
    FILE *f;
    char *path;
    const atomic_bool *cancel;
    uint64_t file_bytes;
    bool gzip, z_open, ended;       /* ended: no member is left */
    z_stream z;
    unsigned char buf[IN_BYTES];
    size_t at, have;                /* plain files: unread part of buf */
};

static bool damaged(struct pv_in *s, const char *what)
{
    return pv_fail(PV_FAULT_INPUT, "%s %s: get the file again from where it came", s->path, what);
}

/* More bytes into the empty buffer; *n is 0 at the end of the file. */
static bool fill(struct pv_in *s, size_t *n)
{
    *n = fread(s->buf, 1, IN_BYTES, s->f);
    if (*n < IN_BYTES && ferror(s->f))
        return pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", s->path, pv_os_error());
    return true;
}

pv_in *pv_in_open(const char *path, const atomic_bool *cancel)
{
    struct pv_in *s = pv_new(struct pv_in);
    s->path = pv_strdup(path);
    s->cancel = cancel;
    s->f = pv_is_dir(path) ? NULL : pv_fopen(path, "rb");
    if (!s->f) {
        const char *why = pv_is_dir(path) ? "it is a folder" : pv_os_error();
        pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", path, why);
        goto error;
    }
    int64_t bytes = pv_file_size(path);
    s->file_bytes = bytes > 0 ? (uint64_t)bytes : 0;
    if (!fill(s, &s->have))
        goto error;
    s->gzip = s->have >= 2 && s->buf[0] == 0x1f && s->buf[1] == 0x8b;
    if (s->gzip) {
        if (inflateInit2(&s->z, 15 + 16) != Z_OK) {
            pv_fail(PV_FAULT_INPUT, "%s: no memory to unpack it", path);
            goto error;
        }
        s->z_open = true;
        s->z.next_in = s->buf;
        s->z.avail_in = (uInt)s->have;
    }
    return s;
error:
    pv_in_close(&s);
    return NULL;
}

/* Looks behind a finished member: another one is begun, anything else ends the stream. */
static bool next_member(struct pv_in *s)
{
    size_t n;
    if (s->z.avail_in < 2 && s->z.avail_in > 0) {       /* keep the byte, make room for its pair */
        unsigned char first = *s->z.next_in;
        n = fread(s->buf + 1, 1, IN_BYTES - 1, s->f);
        s->buf[0] = first;
        s->z.next_in = s->buf;
        s->z.avail_in = (uInt)n + 1;
    } else if (s->z.avail_in == 0) {
        if (!fill(s, &n))
            return false;
        s->z.next_in = s->buf;
        s->z.avail_in = (uInt)n;
    }
    if (s->z.avail_in < 2 || s->z.next_in[0] != 0x1f || s->z.next_in[1] != 0x8b)
        s->ended = true;
    else
        inflateReset(&s->z);
    return true;
}

/* Up to n bytes (n <= STEP); *got is less only at the end. */
static bool unpack(struct pv_in *s, unsigned char *dst, size_t n, size_t *got)
{
    s->z.next_out = dst;
    s->z.avail_out = (uInt)n;
    while (s->z.avail_out > 0 && !s->ended) {
        if (s->z.avail_in == 0) {
            size_t more;
            if (!fill(s, &more))
                return false;
            if (more == 0)
                return damaged(s, "ends early (its compressed data are cut off)");
            s->z.next_in = s->buf;
            s->z.avail_in = (uInt)more;
        }
        int r = inflate(&s->z, Z_NO_FLUSH);
        if (r == Z_STREAM_END) {
            if (!next_member(s))
                return false;
        } else if (r != Z_OK) {
            const char *why = s->z.msg ? s->z.msg : "unexpected end";
            return pv_fail(PV_FAULT_INPUT,
                           "%s is damaged (its compressed data are wrong: %s): get the file again "
                           "from where it came",
                           s->path, why);
        }
    }
    *got = n - s->z.avail_out;
    return true;
}

static bool copy(struct pv_in *s, unsigned char *dst, size_t n, size_t *got)
{
    for (*got = 0; *got < n;) {
        if (s->at == s->have) {
            s->at = 0;
            if (!fill(s, &s->have))
                return false;
            if (s->have == 0)
                break;
        }
        size_t part = s->have - s->at < n - *got ? s->have - s->at : n - *got;
        memcpy(dst + *got, s->buf + s->at, part);
        s->at += part;
        *got += part;
    }
    return true;
}

bool pv_in_read(pv_in *s, void *dst, uint64_t n)
{
    unsigned char waste[4096], *p = dst;
    while (n > 0) {
        if (pv_in_cancelled(s))
            return false;
        size_t want = dst ? STEP : sizeof waste, got;
        if (want > n)
            want = (size_t)n;
        if (!(s->gzip ? unpack : copy)(s, dst ? p : waste, want, &got))
            return false;
        if (got < want)
            return damaged(s, "ends early (voxels are missing)");
        p += dst ? want : 0;
        n -= want;
    }
    return true;
}

bool pv_in_finish(pv_in *s)
{
    unsigned char waste[4096];
    size_t got = 1;
    while (s->gzip && got > 0) {
        if (pv_in_cancelled(s) || !unpack(s, waste, sizeof waste, &got))
            return false;
    }
    return true;
}

uint64_t pv_in_most(const pv_in *s)
{
    return s->gzip ? s->file_bytes * MOST_RATIO + IN_BYTES : s->file_bytes;
}

bool pv_in_cancelled(const pv_in *s)
{
    return s->cancel && atomic_load(s->cancel);
}

void pv_in_close(pv_in **in)
{
    struct pv_in *s = *in;
    if (!s)
        return;
    if (s->z_open)
        inflateEnd(&s->z);
    if (s->f)
        fclose(s->f);
    pv_free(s->path);
    pv_free(s);
    *in = NULL;
}

struct pv_out {
    pv_outfile *o;
    bool gzip, failed;
    z_stream z;
    unsigned char buf[OUT_BYTES];
};

pv_out *pv_out_open(const char *path, bool gzip, uint64_t bytes)
{
    pv_outfile *o = pv_outfile_open(path, bytes);
    if (!o)
        return NULL;
    struct pv_out *s = pv_new(struct pv_out);
    s->o = o;
    if (gzip) {
        if (deflateInit2(&s->z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8,
                         Z_DEFAULT_STRATEGY) != Z_OK) {
            pv_fail(PV_FAULT_INPUT, "cannot write %s: no memory to pack it", path);
            pv_out_cancel(&s);
            return NULL;
        }
        s->gzip = true;
    }
    return s;
}

/* Feeds what z.next_in points to; `flush` Z_FINISH writes the end. */
static bool pack(struct pv_out *o, int flush)
{
    int r;
    do {
        o->z.next_out = o->buf;
        o->z.avail_out = OUT_BYTES;
        r = deflate(&o->z, flush);
        if (!pv_outfile_write(o->o, o->buf, OUT_BYTES - o->z.avail_out))
            return false;
    } while (o->z.avail_out == 0 || (flush == Z_FINISH && r == Z_OK));
    return true;
}

bool pv_out_write(pv_out *o, const void *data, size_t n)
{
    if (!o->gzip)
        return pv_outfile_write(o->o, data, n);
    const unsigned char *p = data;
    while (n > 0 && !o->failed) {
        size_t part = n < STEP ? n : STEP;
        o->z.next_in = (unsigned char *)p;      /* zlib does not write there */
        o->z.avail_in = (uInt)part;
        o->failed = !pack(o, Z_NO_FLUSH);
        p += part;
        n -= part;
    }
    return !o->failed;
}

bool pv_out_commit(pv_out **out)
{
    struct pv_out *o = *out;
    if (o->gzip && !o->failed)
        o->failed = !pack(o, Z_FINISH);
    bool ok = pv_outfile_commit(&o->o);
    pv_out_cancel(out);
    return ok;
}

void pv_out_cancel(pv_out **out)
{
    struct pv_out *o = *out;
    if (!o)
        return;
    if (o->gzip)
        deflateEnd(&o->z);
    pv_outfile_cancel(&o->o);
    pv_free(o);
    *out = NULL;
}
