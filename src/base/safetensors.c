/* SPDX-License-Identifier: Apache-2.0
 * safetensors (https://huggingface.co/docs/safetensors). Read strictly as the reference
 * implementation does: the tensors must cover the data part exactly, without holes. Also refused:
 * more than 8 dimensions and types outside pv_st_type. Tensors are written one after another in the
 * order they were put. */
#include "base/safetensors.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/internal.h"
#include "base/json.h"
#include "base/outfile.h"

enum { MAX_DIMS = 8, MAX_HEADER = 100000000, PIECE = 16 << 20, CONVERT = 1 << 16 };
#define MAX_WHOLE 9007199254740992.0    /* 2^53: beyond it, a JSON number may have been rounded */

static const struct { const char *name; size_t size; } types[] = {
    [PV_ST_F64] = {"F64", 8}, [PV_ST_F32] = {"F32", 4}, [PV_ST_F16] = {"F16", 2},
    [PV_ST_BF16] = {"BF16", 2}, [PV_ST_I64] = {"I64", 8}, [PV_ST_I32] = {"I32", 4},
    [PV_ST_I16] = {"I16", 2}, [PV_ST_I8] = {"I8", 1}, [PV_ST_U8] = {"U8", 1},
    [PV_ST_BOOL] = {"BOOL", 1},
};

size_t pv_st_type_size(enum pv_st_type t)
{
    return types[t].size;
}

const char *pv_st_type_name(enum pv_st_type t)
{
    return types[t].name;
}

/* ---- numbers ---- */

static uint32_t bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static float float_of(uint32_t u)
{
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

uint16_t pv_f32_to_f16(float v)
{
    uint32_t u = bits_of(v), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000)                         /* NaN stays one, quiet */
        return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x477ff000)                        /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00);
    uint32_t keep, rest, half;
    if (a >= 0x38800000) {                      /* normal: exponent bias 127 -> 15, 13 bits go */
        keep = (a - 0x38000000) >> 13;
        rest = a & 0x1fff;
        half = 0x1000;
    } else if (a >= 0x33000000) {               /* subnormal: units of 2^-24 */
        int shift = 126 - (int)(a >> 23);       /* 14..24 */
        uint32_t m = (a & 0x7fffff) | 0x800000;
        keep = m >> shift;
        rest = m & ((1u << shift) - 1);
        half = 1u << (shift - 1);
    } else {
        return (uint16_t)sign;
    }
    keep += rest > half || (rest == half && (keep & 1));
    return (uint16_t)(sign | keep);
}

float pv_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 0x1f, m = h & 0x3ff;
    if (e == 0x1f)
        return float_of(sign | 0x7f800000 | (m ? 0x400000 : 0) | m << 13);
    if (e == 0) {
        float v = (float)m * 0x1p-24f;
        return sign ? -v : v;
    }
    return float_of(sign | (e + 112) << 23 | m << 13);
}

uint16_t pv_f32_to_bf16(float v)
{
    uint32_t u = bits_of(v);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float pv_bf16_to_f32(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

/* Files are little-endian; on other machines every element is turned round. */
static void to_or_from_file(void *data, size_t bytes, size_t size)
{
    const uint16_t one = 1;
    unsigned char low, *p = data;
    memcpy(&low, &one, 1);
    if (low == 1 || size == 1)
        return;
    for (size_t i = 0; i + size <= bytes; i += size) {
        for (size_t k = 0; k < size / 2; k++) {
            unsigned char t = p[i + k];
            p[i + k] = p[i + size - 1 - k];
            p[i + size - 1 - k] = t;
        }
    }
}

/* Bytes of a tensor, false on overflow or a negative side. */
static bool tensor_bytes(enum pv_st_type type, int ndim, const int64_t *shape, uint64_t *bytes)
{
    uint64_t n = types[type].size;
    for (int i = 0; i < ndim; i++) {
        if (shape[i] < 0 || (shape[i] > 0 && n > INT64_MAX / (uint64_t)shape[i]))
            return false;
        n *= (uint64_t)shape[i];
    }
    *bytes = n;
    return true;
}

/* ---- reading ---- */

struct pv_st_file {
    FILE *f;
    char *path;
    uint64_t data;              /* where the data part starts */
    struct pv_st_tensor *t;
    struct pv_st_tensor **by_name;
    size_t n;
    pv_json *header;            /* kept for __metadata__ */
    const pv_json *meta;
};

static bool invalid(const struct pv_st_file *f, const char *tensor, const char *why)
{
    if (tensor)
        return pv_fail(PV_FAULT_INPUT, "%s is not a valid safetensors file: tensor '%.100s' %s",
                       f->path, tensor, why);
    return pv_fail(PV_FAULT_INPUT, "%s is not a valid safetensors file: %s", f->path, why);
}

static bool whole(const pv_json *j, uint64_t *out)
{
    double v = pv_json_number_value(j);
    if (!(v >= 0 && v < MAX_WHOLE) || v != floor(v))
        return false;
    *out = (uint64_t)v;
    return true;
}

static bool parse_type(const char *name, enum pv_st_type *out)
{
    for (size_t i = 0; name && i < PV_COUNT(types); i++) {
        if (strcmp(types[i].name, name) == 0) {
            *out = (enum pv_st_type)i;
            return true;
        }
    }
    return false;
}

static bool parse_tensor(struct pv_st_file *f, const char *name, const pv_json *j,
                         uint64_t data_bytes)
{
    if ((f->n & (f->n - 1)) == 0)       /* 0, 1, 2, 4, ...: full */
        f->t = pv_realloc(f->t, (f->n ? 2 * f->n : 1) * sizeof *f->t);
    struct pv_st_tensor *t = &f->t[f->n];
    *t = (struct pv_st_tensor){0};
    const pv_json *dtype = pv_json_get(j, "dtype"), *shape = pv_json_get(j, "shape");
    const pv_json *range = pv_json_get(j, "data_offsets");
    uint64_t begin, end, want;
    if (!pv_json_is_object(j) || pv_json_count(j) != 3 || !pv_json_is_string(dtype)
        || !pv_json_is_array(shape) || !pv_json_is_array(range))
        return invalid(f, name, "needs exactly dtype, shape and data_offsets");
    if (!parse_type(pv_json_string_value(dtype), &t->type))
        return pv_fail(PV_FAULT_INPUT,
                       "%s: tensor '%.100s' has type %.20s, which is not supported: convert "
                       "it to F32",
                       f->path, name, pv_json_string_value(dtype));
    size_t ndim = pv_json_count(shape);
    if (ndim > MAX_DIMS)
        return invalid(f, name, "has more than 8 dimensions");
    t->ndim = (int)ndim;
    for (size_t i = 0; i < ndim; i++) {
        uint64_t side;
        if (!whole(pv_json_at(shape, i), &side))
            return invalid(f, name, "has a shape that is not made of whole numbers");
        t->shape[i] = (int64_t)side;
    }
    if (pv_json_count(range) != 2 || !whole(pv_json_at(range, 0), &begin)
        || !whole(pv_json_at(range, 1), &end) || begin > end)
        return invalid(f, name, "has wrong data_offsets");
    if (end > data_bytes)
        return invalid(f, name,
                       "ends beyond the end of the file (it is incomplete: copy it again)");
    if (!tensor_bytes(t->type, t->ndim, t->shape, &want))
        return invalid(f, name, "is larger than any file");
    if (want != end - begin)
        return invalid(f, name, "has a shape and type that do not match its data_offsets");
    t->offset = begin;
    t->bytes = want;
    t->name = pv_strdup(name);
    f->n++;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct pv_st_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int by_offset(const void *a, const void *b)
{
    const struct pv_st_tensor *x = *(struct pv_st_tensor *const *)a,
                              *y = *(struct pv_st_tensor *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool parse_meta(struct pv_st_file *f, const pv_json *meta)
{
    size_t n = pv_json_count(meta), i = 0;
    if (f->meta)
        return invalid(f, NULL, "it has __metadata__ twice");
    if (!pv_json_is_object(meta))
        return invalid(f, NULL, "its __metadata__ is not an object");
    char **keys = pv_array(char *, n + 1);
    bool ok = true;
    for (const pv_json *c = pv_json_at(meta, 0); c; c = pv_json_next(c)) {
        ok = ok && pv_json_is_string(c);
        keys[i++] = (char *)pv_json_key(c);
    }
    if (!ok)
        invalid(f, NULL, "its __metadata__ has values that are not texts");
    qsort(keys, n, sizeof *keys, by_text);
    for (i = 1; ok && i < n; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0)
            ok = invalid(f, NULL, "its __metadata__ has a key twice");
    pv_free(keys);
    f->meta = meta;
    return ok;
}

static bool parse_header(struct pv_st_file *f, char *text, size_t len, uint64_t data_bytes)
{
    text[len] = '\0';
    if (strlen(text) != len || text[0] != '{')
        return invalid(f, NULL, "its header is not JSON");
    char *name = pv_asprintf("the header of %s", f->path);
    f->header = pv_json_parse(text, name);
    pv_free(name);
    if (!f->header)
        return false;
    if (!pv_json_is_object(f->header))
        return invalid(f, NULL, "its header is not an object");
    for (const pv_json *c = pv_json_at(f->header, 0); c; c = pv_json_next(c)) {
        const char *key = pv_json_key(c);
        if (strcmp(key, "__metadata__") == 0 ? !parse_meta(f, c)
                                             : !parse_tensor(f, key, c, data_bytes))
            return false;
    }
    f->by_name = pv_array(struct pv_st_tensor *, f->n);
    for (size_t i = 0; i < f->n; i++)
        f->by_name[i] = &f->t[i];
    qsort(f->by_name, f->n, sizeof *f->by_name, by_offset);
    uint64_t at = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct pv_st_tensor *t = f->by_name[i];
        if (t->offset != at)
            return invalid(f, t->name,
                           t->offset < at ? "overlaps another" : "follows a hole in the data");
        at += t->bytes;
    }
    if (at != data_bytes)
        return invalid(f, NULL, "there are bytes behind the last tensor");
    qsort(f->by_name, f->n, sizeof *f->by_name, by_name);
    for (size_t i = 1; i < f->n; i++)
        if (strcmp(f->by_name[i - 1]->name, f->by_name[i]->name) == 0)
            return invalid(f, f->by_name[i]->name, "is there twice");
    return true;
}

static const char *short_read(pv_st_file *f)
{
    return ferror(f->f) ? pv_os_error() : "the file has become shorter";
}

pv_st_file *pv_st_open(const char *path)
{
    struct pv_st_file *f = pv_new(struct pv_st_file);
    char *text = NULL;
    unsigned char head[8];
    uint64_t len = 0;
    f->path = pv_strdup(path);
    int64_t size = pv_file_size(path);
    f->f = size < 0 ? NULL : pv_fopen(path, "rb");
    if (!f->f) {
        pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", path, pv_os_error());
        goto error;
    }
    if (fread(head, 1, sizeof head, f->f) != sizeof head) {
        invalid(f, NULL, "it is shorter than 8 bytes");
        goto error;
    }
    for (int i = 0; i < 8; i++)
        len |= (uint64_t)head[i] << 8 * i;
    if (len < 2 || len > MAX_HEADER || len > (uint64_t)size - 8) {
        invalid(f, NULL, "its header length is impossible (is it another format, or incomplete?)");
        goto error;
    }
    text = malloc((size_t)len + 1);
    if (!text || fread(text, 1, (size_t)len, f->f) != len) {
        pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", path, text ? short_read(f) : "out of memory");
        goto error;
    }
    f->data = 8 + len;
    if (!parse_header(f, text, (size_t)len, (uint64_t)size - f->data))
        goto error;
    free(text);
    return f;
error:
    free(text);
    pv_st_close(&f);
    return NULL;
}

void pv_st_close(pv_st_file **file)
{
    struct pv_st_file *f = *file;
    if (!f)
        return;
    if (f->f)
        fclose(f->f);
    for (size_t i = 0; i < f->n; i++)
        pv_free(f->t[i].name);
    pv_free(f->t);
    pv_free(f->by_name);
    pv_json_free(f->header);
    pv_free(f->path);
    pv_free(f);
    *file = NULL;
}

size_t pv_st_count(const pv_st_file *f)
{
    return f->n;
}

const struct pv_st_tensor *pv_st_at(const pv_st_file *f, size_t i)
{
    return i < f->n ? &f->t[i] : NULL;
}

const struct pv_st_tensor *pv_st_find(const pv_st_file *f, const char *name)
{
    size_t lo = 0, hi = f->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, f->by_name[mid]->name);
        if (c == 0)
            return f->by_name[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

int64_t pv_st_len(const struct pv_st_tensor *t)
{
    return (int64_t)(t->bytes / types[t->type].size);
}

const char *pv_st_meta(const pv_st_file *f, const char *key)
{
    return pv_json_str(f->meta, key, NULL);
}

const char *pv_st_path(const pv_st_file *f)
{
    return f->path;
}

static bool seek(pv_st_file *f, const struct pv_st_tensor *t)
{
    if (pv_fseek64(f->f, (int64_t)(f->data + t->offset)))
        return true;
    return pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", f->path, pv_os_error());
}

static bool get(pv_st_file *f, const struct pv_st_tensor *t, void *dst, size_t n)
{
    if (fread(dst, 1, n, f->f) == n) {
        to_or_from_file(dst, n, types[t->type].size);
        return true;
    }
    return pv_fail(PV_FAULT_INPUT, "cannot read tensor '%s' of %s: %s", t->name, f->path,
                   short_read(f));
}

bool pv_st_read_raw(pv_st_file *f, const struct pv_st_tensor *t, void *dst)
{
    if (t->bytes > SIZE_MAX)
        return invalid(f, t->name, "is larger than memory");
    if (!seek(f, t))
        return false;
    char *p = dst;
    for (uint64_t left = t->bytes; left > 0;) {
        size_t n = left < PIECE ? (size_t)left : PIECE;
        if (!get(f, t, p, n))
            return false;
        p += n;
        left -= n;
    }
    return true;
}

static const char checksum_key[] = "crc32";

bool pv_st_verify(pv_st_file *f)
{
    const char *told = pv_st_meta(f, checksum_key);
    if (!told)
        return true;
    unsigned char *piece = pv_alloc(PIECE);
    unsigned long crc = crc32(0, NULL, 0);
    size_t n;
    bool ok = pv_fseek64(f->f, (int64_t)f->data);
    while (ok && (n = fread(piece, 1, PIECE, f->f)) > 0)
        crc = crc32(crc, piece, (uInt)n);
    pv_free(piece);
    if (!ok || ferror(f->f))
        return pv_fail(PV_FAULT_INPUT, "cannot read %s: %s", f->path, pv_os_error());
    char found[16];
    snprintf(found, sizeof found, "%08lx", crc);
    return pv_streq(found, told) || pv_fail(PV_FAULT_INPUT, "%s is damaged: its checksum is %s, not %s", f->path,
                                            found, told);
}

/* n elements of any type from src to double. */
static void widen(enum pv_st_type type, const void *src, double *dst, size_t n)
{
#define EACH(ctype, expr)                        \
    for (size_t i = 0; i < n; i++) {             \
        ctype v = ((const ctype *)src)[i];       \
        dst[i] = (double)(expr);                 \
    }                                            \
    break
    switch (type) {
    case PV_ST_F64: EACH(double, v);
    case PV_ST_F32: EACH(float, v);
    case PV_ST_F16: EACH(uint16_t, pv_f16_to_f32(v));
    case PV_ST_BF16: EACH(uint16_t, pv_bf16_to_f32(v));
    case PV_ST_I64: EACH(int64_t, v);
    case PV_ST_I32: EACH(int32_t, v);
    case PV_ST_I16: EACH(int16_t, v);
    case PV_ST_I8: EACH(int8_t, v);
    case PV_ST_U8: EACH(uint8_t, v);
    case PV_ST_BOOL: EACH(uint8_t, v != 0);
    }
#undef EACH
}

enum target { TO_F32, TO_F64, TO_I32 };

static bool read_as(pv_st_file *f, const struct pv_st_tensor *t, enum target target, void *dst)
{
    enum { STEP = CONVERT / 8 };
    size_t size = types[t->type].size, at = 0;
    char *raw = pv_alloc(CONVERT);
    double *v = pv_alloc(CONVERT);
    bool ok = seek(f, t);
    for (uint64_t left = t->bytes / size; ok && left > 0;) {
        size_t n = left < STEP ? (size_t)left : STEP;
        ok = get(f, t, raw, n * size);
        if (!ok)
            break;
        widen(t->type, raw, v, n);
        for (size_t i = 0; i < n; i++) {
            if (target == TO_F64) {
                ((double *)dst)[at + i] = v[i];
            } else if (target == TO_F32) {
                ((float *)dst)[at + i] = (float)v[i];
            } else if (v[i] >= INT32_MIN && v[i] <= INT32_MAX && v[i] == floor(v[i])) {
                ((int32_t *)dst)[at + i] = (int32_t)v[i];
            } else {
                ok = pv_fail(PV_FAULT_INPUT,
                             "tensor '%s' of %s has the value %g, which is not a whole "
                             "number of 32 bits",
                             t->name, f->path, v[i]);
                break;
            }
        }
        at += n;
        left -= n;
    }
    pv_free(v);
    pv_free(raw);
    return ok;
}

bool pv_st_read_f32(pv_st_file *f, const struct pv_st_tensor *t, float *dst)
{
    return t->type == PV_ST_F32 ? pv_st_read_raw(f, t, dst) : read_as(f, t, TO_F32, dst);
}

bool pv_st_read_f64(pv_st_file *f, const struct pv_st_tensor *t, double *dst)
{
    return t->type == PV_ST_F64 ? pv_st_read_raw(f, t, dst) : read_as(f, t, TO_F64, dst);
}

bool pv_st_read_i32(pv_st_file *f, const struct pv_st_tensor *t, int32_t *dst)
{
    return t->type == PV_ST_I32 ? pv_st_read_raw(f, t, dst) : read_as(f, t, TO_I32, dst);
}

/* ---- writing ---- */

struct put { struct pv_st_tensor t; const void *data; };

struct pv_st_writer {
    pv_json *meta;
    struct put *puts;
    size_t n, cap;
    uint64_t bytes;
};

pv_st_writer *pv_st_writer_new(void)
{
    struct pv_st_writer *w = pv_new(struct pv_st_writer);
    w->meta = pv_json_object();
    return w;
}

void pv_st_meta_set(pv_st_writer *w, const char *key, const char *value)
{
    pv_json_set_str(w->meta, key, value ? value : "");
}

void pv_st_put(pv_st_writer *w, const char *name, enum pv_st_type type, int ndim,
               const int64_t *shape, const void *data)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 32;
        w->puts = pv_realloc(w->puts, w->cap * sizeof *w->puts);
    }
    struct put *p = &w->puts[w->n++];
    *p = (struct put){.t = {.name = pv_strdup(name), .type = type, .ndim = ndim}, .data = data};
    for (int i = 0; i < ndim && i < MAX_DIMS; i++)
        p->t.shape[i] = shape[i];
}

/* Fills in sizes and offsets. What is wrong here is a mistake of the caller. */
static bool place(pv_st_writer *w)
{
    struct pv_strs names = {0};
    w->bytes = 0;
    bool ok = true;
    for (size_t i = 0; ok && i < w->n; i++) {
        struct pv_st_tensor *t = &w->puts[i].t;
        if (t->ndim < 0 || t->ndim > MAX_DIMS
            || !tensor_bytes(t->type, t->ndim, t->shape, &t->bytes)
            || t->bytes > (uint64_t)MAX_WHOLE - w->bytes || strcmp(t->name, "__metadata__") == 0)
            ok = pv_fail(PV_FAULT_INTERNAL,
                         "tensor '%s' cannot be written: impossible name or shape", t->name);
        t->offset = w->bytes;
        w->bytes += t->bytes;
        pv_strs_add(&names, t->name);
    }
    if (names.n > 1)
        qsort(names.v, names.n, sizeof *names.v, by_text);
    for (size_t i = 1; ok && i < names.n; i++)
        if (strcmp(names.v[i - 1], names.v[i]) == 0)
            ok = pv_fail(PV_FAULT_INTERNAL, "tensor '%s' was put twice", names.v[i]);
    pv_strs_free(&names);
    return ok;
}

/* 8 bytes of length and the JSON, filled with blanks to a multiple of 8. */
static void make_header(const pv_st_writer *w, struct pv_str *out)
{
    pv_json *h = pv_json_object();
    if (pv_json_count(w->meta) > 0)
        pv_json_set(h, "__metadata__", pv_json_copy(w->meta));
    for (size_t i = 0; i < w->n; i++) {
        const struct pv_st_tensor *t = &w->puts[i].t;
        pv_json *j = pv_json_object(), *shape = pv_json_array(), *range = pv_json_array();
        for (int d = 0; d < t->ndim; d++)
            pv_json_add_num(shape, (double)t->shape[d]);
        pv_json_add_num(range, (double)t->offset);
        pv_json_add_num(range, (double)(t->offset + t->bytes));
        pv_json_set_str(j, "dtype", types[t->type].name);
        pv_json_set(j, "shape", shape);
        pv_json_set(j, "data_offsets", range);
        pv_json_set(h, t->name, j);
    }
    char *text = pv_json_text(h, false);
    uint64_t len = strlen(text), padded = pv_round_up(len, 8);
    char head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (char)(unsigned char)(padded >> 8 * i);
    pv_str_addn(out, head, sizeof head);
    pv_str_addn(out, text, len);
    pv_str_addn(out, "       ", padded - len);
    pv_free(text);
    pv_json_free(h);
}

static bool write_tensor(pv_outfile *o, const struct put *p)
{
    const uint16_t one = 1;
    unsigned char low;
    memcpy(&low, &one, 1);
    size_t size = types[p->t.type].size;
    if (low == 1 || size == 1)
        return pv_outfile_write(o, p->data, (size_t)p->t.bytes);
    char *copy = pv_alloc(CONVERT);
    bool ok = true;
    for (uint64_t at = 0; ok && at < p->t.bytes; at += CONVERT) {
        size_t n = p->t.bytes - at < CONVERT ? (size_t)(p->t.bytes - at) : CONVERT;
        memcpy(copy, (const char *)p->data + at, n);
        to_or_from_file(copy, n, size);
        ok = pv_outfile_write(o, copy, n);
    }
    pv_free(copy);
    return ok;
}

void pv_st_checksum(pv_st_writer *w)
{
    unsigned long crc = crc32(0, NULL, 0);
    unsigned char *copy = pv_alloc(CONVERT);
    bool ok = place(w);         /* else pv_st_write() fails as well */
    for (size_t i = 0; ok && i < w->n; i++) {
        const struct put *p = &w->puts[i];
        for (uint64_t at = 0; at < p->t.bytes; at += CONVERT) {
            size_t n = p->t.bytes - at < CONVERT ? (size_t)(p->t.bytes - at) : CONVERT;
            memcpy(copy, (const char *)p->data + at, n);
            to_or_from_file(copy, n, types[p->t.type].size);
            crc = crc32(crc, copy, (uInt)n);
        }
    }
    pv_free(copy);
    char text[16];
    snprintf(text, sizeof text, "%08lx", crc);
    pv_st_meta_set(w, checksum_key, text);
}

bool pv_st_write(pv_st_writer *w, const char *path)
{
    struct pv_str head = {0};
    pv_outfile *o = NULL;
    bool ok = false;
    if (!place(w))
        return false;
    make_header(w, &head);
    if (head.len - 8 > MAX_HEADER) {
        pv_fail(PV_FAULT_INTERNAL, "%s: too many tensors for a safetensors header", path);
        goto done;
    }
    o = pv_outfile_open(path, head.len + w->bytes);
    if (!o)
        goto done;
    pv_outfile_write(o, head.text, head.len);
    for (size_t i = 0; i < w->n; i++)
        if (!write_tensor(o, &w->puts[i]))
            break;
    ok = pv_outfile_commit(&o);
done:
    pv_str_free(&head);
    return ok;
}

void pv_st_writer_free(pv_st_writer **writer)
{
    struct pv_st_writer *w = *writer;
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++)
        pv_free(w->puts[i].t.name);
    pv_free(w->puts);
    pv_json_free(w->meta);
    pv_free(w);
    *writer = NULL;
}
