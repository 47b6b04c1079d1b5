/* SPDX-License-Identifier: Apache-2.0
 * Whole files: reading into memory, and writing through a temporary name (outfile.h). */
#include "base/internal.h"
#include "base/outfile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 64 << 20 };      /* some C libraries fail beyond 2 GiB in one call */

bool pv_read_file(const char *path, char **data, size_t *size)
{
    char *buf = NULL;
    size_t len = 0;
    *data = NULL;
    *size = 0;
    FILE *f = pv_is_dir(path) ? NULL : pv_fopen(path, "rb");
    if (!f) {
        const char *why = pv_is_dir(path) ? "it is a folder" : pv_os_error();
        return pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", path, why);
    }
    int64_t known = pv_file_size(path);     /* 0 for pipes and /proc: then it grows */
    size_t cap = known > 0 && (uint64_t)known < PTRDIFF_MAX ? (size_t)known + 1 : 4096;
    for (;;) {
        char *bigger = cap < PTRDIFF_MAX ? realloc(buf, cap) : NULL;
        if (!bigger) {
            pv_fail(PV_FAULT_INPUT, "%s is too large to be read into memory", path);
            goto error;
        }
        buf = bigger;
        while (len < cap - 1) {
            size_t want = cap - 1 - len < PIECE ? cap - 1 - len : PIECE;
            size_t n = fread(buf + len, 1, want, f);
            len += n;
            if (n < want)
                break;
        }
        if (ferror(f)) {
            pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", path, pv_os_error());
            goto error;
        }
        if (len < cap - 1)
            break;
        int c = getc(f);        /* full exactly at the end is the usual case */
        if (c == EOF && !ferror(f))
            break;
        if (c != EOF)
            ungetc(c, f);
        cap *= 2;
    }
    fclose(f);
    buf[len] = '\0';
    *data = buf;
    *size = len;
    return true;
error:
    free(buf);
    fclose(f);
    return false;
}

bool pv_make_folder(const char *path, const char *option)
{
    return pv_mkdirs(path) || pv_fail(PV_FAULT_INPUT, "the folder %s cannot be made: %s; name another with %s", path,
                                      pv_os_error(), option);
}

struct pv_outfile {
    FILE *f;
    char *path, *temp;
    uint64_t want, done;
    bool failed;
};

static atomic_uint serial;

void pv_size_text(char out[32], uint64_t bytes)
{
    static const char *const unit[] = {"bytes", "KB", "MB", "GB", "TB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < PV_COUNT(unit); u++)
        v /= 1024;
    snprintf(out, 32, u ? "%.1f %s" : "%.0f %s", v, unit[u]);
}

/* Raises the fault of a failed call; errno must still be the call's. */
static void fail(struct pv_outfile *o)
{
    int e = errno;
    char *why = pv_strdup(pv_os_error());
    char *dir = pv_path_dir(o->path);
    if (o->failed) {
        /* said already */
    } else if (e == ENOSPC) {
        char need[32], left[32];
        uint64_t spare = pv_disk_free(dir);
        pv_size_text(need, o->want > o->done ? o->want : o->done);
        pv_size_text(left, spare == UINT64_MAX ? 0 : spare + o->done);
        pv_fail(PV_FAULT_INPUT,
                "cannot write %s: %s (%s are needed, at most %s are free): make room on "
                "that disk or write to another",
                o->path, why, need, left);
    } else if (e == ENOENT && !pv_is_dir(dir)) {
        pv_fail(PV_FAULT_INPUT, "cannot write %s: there is no folder %s", o->path, dir);
    } else {
        pv_fail(PV_FAULT_INPUT, "cannot write %s: %s", o->path, why);
    }
    o->failed = true;
    pv_free(dir);
    pv_free(why);
}

pv_outfile *pv_outfile_open(const char *path, uint64_t bytes)
{
    struct pv_outfile *o = pv_new(struct pv_outfile);
    o->path = pv_strdup(path);
    o->want = bytes;
    /* "x": a link planted under this name is not followed. What a killed process of our number left
     * is in the way once; the serial number gets past it. */
    for (int i = 0; i < 100 && !o->f; i++) {
        pv_free(o->temp);
        o->temp = pv_asprintf("%s.tmp-%d-%u", path, pv_pid(), atomic_fetch_add(&serial, 1));
        o->f = pv_fopen(o->temp, "wbx");
        if (!o->f && errno != EEXIST)
            break;
    }
    if (o->f)
        return o;
    fail(o);
    pv_free(o->temp);
    o->temp = NULL;
    pv_outfile_cancel(&o);
    return NULL;
}

bool pv_outfile_possible(const char *path)
{
    if (pv_is_dir(path))
        return pv_fail(PV_FAULT_INPUT, "cannot write %s: it is a folder", path);
    pv_outfile *o = pv_outfile_open(path, 0);
    bool ok = o != NULL;
    pv_outfile_cancel(&o);
    return ok;
}

bool pv_outfile_write(pv_outfile *o, const void *data, size_t n)
{
    const char *p = data;
    while (!o->failed && n > 0) {
        size_t piece = n < PIECE ? n : PIECE;
        size_t w = fwrite(p, 1, piece, o->f);
        o->done += w;
        if (w < piece)
            fail(o);
        p += w;
        n -= w;
    }
    return !o->failed;
}

bool pv_outfile_commit(pv_outfile **out)
{
    struct pv_outfile *o = *out;
    if (!o->failed && !pv_sync_file(o->f))
        fail(o);
    FILE *f = o->f;
    o->f = NULL;
    if (fclose(f) != 0 && !o->failed)
        fail(o);
    if (!o->failed && !pv_replace_file(o->temp, o->path))
        fail(o);
    bool ok = !o->failed;
    if (ok) {
        pv_free(o->temp);
        o->temp = NULL;
    }
    pv_outfile_cancel(out);
    return ok;
}

void pv_outfile_cancel(pv_outfile **out)
{
    struct pv_outfile *o = *out;
    if (!o)
        return;
    if (o->f)
        fclose(o->f);
    if (o->temp)
        pv_remove(o->temp);
    pv_free(o->temp);
    pv_free(o->path);
    pv_free(o);
    *out = NULL;
}

bool pv_write_file(const char *path, const void *data, size_t size)
{
    pv_outfile *o = pv_outfile_open(path, size);
    if (!o)
        return false;
    pv_outfile_write(o, data, size);
    return pv_outfile_commit(&o);
}

void pv_remove_tree(const char *path)
{
    char **names;
    size_t n;
    if (pv_is_dir(path) && pv_list_dir(path, &names, &n)) {
        for (size_t i = 0; i < n; i++) {
            char *p = pv_path_join(path, names[i]);
            pv_remove_tree(p);
            pv_free(p);
            free(names[i]);
        }
        free(names);
    }
    pv_remove(path);
}
