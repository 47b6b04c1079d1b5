/* SPDX-License-Identifier: Apache-2.0
 * Life of tensors, host copies in and out of the layouts, and bindings. */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/safetensors.h"

static size_t element(const pv_tensor *t)
{
    return pv_dev_is_ref(t->dev) ? 8 : t->type == PV_F16 ? 2 : 4;
}

static int64_t stored(const pv_tensor *t)
{
    return pv_dev_is_ref(t->dev) ? pv_shape_count(&t->h) : pv_shape_stored(&t->h);
}

size_t pv_tensor_bytes(const pv_tensor *t) { return (size_t)stored(t) * element(t); }

static uint64_t signature(const pv_tensor *t)
{
    if (t->h.layout != PV_BLOCKED || pv_dev_is_ref(t->dev))
        return 0;
    uint64_t h = pv_hash(PV_HASH_START, t->h.s, sizeof t->h.s);
    h = pv_hash(h, t->h.b, sizeof t->h.b);
    h = pv_hash_u64(h, (uint64_t)t->type << 40 | (uint64_t)(uint32_t)t->h.c);
    return h ? h : 3;
}

static pv_buf *new_buf(const pv_tensor *t)
{
    size_t unit = t->h.layout == PV_FLAT ? 0 : (size_t)(pv_dev_is_ref(t->dev) ? pv_shape_count(&t->h) / t->h.n
                                                        : pv_shape_sample(&t->h)) * element(t);
    return pv_buf_get(t->dev, pv_tensor_bytes(t), unit, signature(t));
}

enum host_type { HOST_F32, HOST_F64, HOST_I32 };
static void write_any(pv_tensor *t, enum host_type ht, const void *src, bool keep);

/* Borders and spare lanes stay as the pool gave them: they must be zero already. */
static void poison(pv_tensor *t)
{
    if (!t->buf || !pv_dev_get_opts(t->dev)->poison)
        return;
    int64_t n = pv_shape_count(&t->h);
    float *nan = pv_alloc(sizeof *nan * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        nan[i] = NAN;
    if (t->type == PV_I32 && !pv_dev_is_ref(t->dev))
        pv_buf_fill(t->buf, 0, pv_tensor_bytes(t), 0x7fffffff);
    else
        write_any(t, HOST_F32, nan, true);
    pv_free(nan);
}

pv_tensor *pv_tensor_new(pv_dev *dev, struct pv_shape h, enum pv_dtype type)
{
    if (pv_dev_failed(dev))
        return NULL;
    pv_tensor *t = pv_new(pv_tensor);
    t->h = h;
    t->type = type;
    t->dev = dev;
    t->refs = 1;
    t->buf = new_buf(t);
    if (!t->buf) {
        pv_free(t);
        return NULL;
    }
    poison(t);
    return t;
}

pv_tensor *pv_tensor_lazy(pv_dev *dev, struct pv_shape h, enum pv_dtype type)
{
    if (pv_dev_failed(dev))
        return NULL;
    pv_tensor *t = pv_new(pv_tensor);
    t->h = h;
    t->type = type;
    t->dev = dev;
    t->refs = 1;
    return t;
}

pv_tensor *pv_tensor_zeros(pv_dev *dev, struct pv_shape h, enum pv_dtype type)
{
    pv_tensor *t = pv_tensor_new(dev, h, type);
    pv_tensor_zero(t);
    return t;
}

pv_tensor *pv_tensor_scalar(pv_dev *dev, float value)
{
    pv_tensor *t = pv_tensor_new(dev, pv_flat(1), PV_F32);
    pv_tensor_write(t, &value);
    return t;
}

pv_tensor *pv_tensor_view(pv_tensor *flat, size_t first, int n)
{
    if (!flat)
        return NULL;
    pv_tensor *t = pv_new(pv_tensor);
    t->h = pv_flat(n);
    t->type = flat->type;
    t->dev = flat->dev;
    t->refs = 1;
    t->buf = pv_buf_ref(flat->buf);
    t->off = flat->off + first;
    return t;
}

pv_tensor *pv_tensor_samples(pv_tensor *s, int first, int n)
{
    if (!s || !pv_tensor_pin(s))
        return NULL;
    pv_tensor *t = pv_new(pv_tensor);
    t->h = s->h;
    t->h.n = n;
    t->type = s->type;
    t->dev = s->dev;
    t->refs = 1;
    t->buf = pv_buf_ref(s->buf);
    t->off = s->off + (size_t)first * (size_t)(stored(s) / s->h.n);
    pv_tensor_unpin(s);
    return t;
}

pv_tensor *pv_tensor_reshaped(pv_tensor *s, struct pv_shape h)
{
    pv_tensor *t = s ? pv_tensor_samples(s, 0, s->h.n) : NULL;
    if (t)
        t->h = h;
    return t;
}

pv_tensor *pv_tensor_ref(pv_tensor *t)
{
    if (t)
        t->refs++;
    return t;
}

static void give_up(pv_tensor *t)
{
    if (t->remake && t->buf && t->pins == 0 && t->refs == t->saved)
        pv_buf_put(&t->buf);
}

void pv_tensor_drop_packed(pv_tensor *t, bool all)
{
    for (struct pv_packed *p = t ? t->packed : NULL; p; p = p->next)
        if (all || !p->many)
            pv_tensor_put(&p->data);
}

static void destroy(pv_tensor *t)
{
    if (t->remake) {
        for (int i = 0; i < t->remake->num_in; i++)
            pv_tensor_unsave(&t->remake->in[i]);
        pv_free(t->remake);
    }
    while (t->packed) {
        struct pv_packed *p = t->packed;
        t->packed = p->next;
        pv_tensor_put(&p->data);
        pv_free(p);
    }
    if (t->stats)
        pv_tensor_put(&t->stats->part);
    pv_free(t->stats);
    pv_tensor_put(&t->sums);
    pv_tensor_put(&t->grad);
    pv_buf_put(&t->buf);
    pv_free(t);
}

void pv_tensor_put(pv_tensor **tp)
{
    pv_tensor *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    if (--t->refs == 0)
        destroy(t);
    else
        give_up(t);
}

pv_tensor *pv_tensor_save(pv_tensor *t)
{
    if (t) {
        t->refs++;
        t->saved++;
    }
    return t;
}

void pv_tensor_unsave(pv_tensor **tp)
{
    if (*tp)
        (*tp)->saved--;
    pv_tensor_put(tp);
}

bool pv_tensor_pin(pv_tensor *t)
{
    if (!t || pv_dev_failed(t->dev))
        return false;
    t->pins++;
    if (!t->buf) {
        t->buf = new_buf(t);
        poison(t);
        for (int i = 0; i < t->remake->num_in; i++)
            if (t->remake->in[i] && !(t->remake->own_pins >> i & 1))
                pv_tensor_pin(t->remake->in[i]);
        if (t->buf && !pv_dev_failed(t->dev))
            t->remake->fn(t, t->remake);
        for (int i = 0; i < t->remake->num_in; i++)
            if (t->remake->in[i] && !(t->remake->own_pins >> i & 1))
                pv_tensor_unpin(t->remake->in[i]);
    }
    return t->buf && !pv_dev_failed(t->dev);
}

void pv_tensor_unpin(pv_tensor *t)
{
    if (!t)
        return;
    t->pins--;
    give_up(t);
}

void pv_tensor_forget(pv_tensor *t)
{
    if (t && t->remake && t->buf && t->pins == 0)
        pv_buf_put(&t->buf);
}

void pv_tensor_drop_unread(pv_tensor *t)
{
    if (t->refs == 1 && t->saved == 1 && t->pins == 0)
        pv_buf_put(&t->buf);
}

void pv_tensor_set_stats(pv_tensor *t, const struct pv_stats *s)
{
    if (t->stats)
        pv_tensor_put(&t->stats->part);
    else
        t->stats = pv_new(struct pv_stats);
    *t->stats = *s;
}

void pv_tensor_set_remake(pv_tensor *t, struct pv_remake *r)
{
    for (int i = 0; i < r->num_in; i++)
        if (r->in[i])
            r->in[i]->saved++;
    t->remake = r;
}

double *pv_ref_data(const pv_tensor *t) { return (double *)pv_buf_host(t->buf) + t->off; }

/* ---- host copies ---- */

/* Stored index of dense element i of sample-channel (n, c), walking x, y, z. */
static int64_t row_start(const struct pv_shape *h, int n, int c, int x, int y)
{
    if (h->layout != PV_BLOCKED)
        return (((int64_t)n * h->c + c) * h->s[0] + x) * h->s[1] * h->s[2] + (int64_t)y * h->s[2];
    int64_t yp = h->s[1] + 2 * h->b[1], zp = h->s[2] + 2 * h->b[2];
    int64_t block = ((int64_t)n * pv_blocks(h->c) + c / PV_LANES) * (h->s[0] + 2 * h->b[0]) + x + h->b[0];
    return ((block * yp + y + h->b[1]) * zp + h->b[2]) * PV_LANES + c % PV_LANES;
}

static double host_get(enum host_type ht, const void *p, int64_t i)
{
    return ht == HOST_F32 ? ((const float *)p)[i] : ht == HOST_F64 ? ((const double *)p)[i]
                                                                  : ((const int32_t *)p)[i];
}

static void host_put(enum host_type ht, void *p, int64_t i, double v)
{
    if (ht == HOST_F32)
        ((float *)p)[i] = (float)v;
    else if (ht == HOST_F64)
        ((double *)p)[i] = v;
    else
        ((int32_t *)p)[i] = (int32_t)lrint(v);
}

/* keep: borders and spare lanes are not written. */
static void write_any(pv_tensor *t, enum host_type ht, const void *src, bool keep)
{
    if (!t || pv_dev_failed(t->dev))
        return;
    const struct pv_shape *h = &t->h;
    int64_t count = pv_shape_count(h), n = stored(t);
    size_t es = element(t);
    bool same = (ht == HOST_F64 && es == 8) ||
                (h->layout != PV_BLOCKED && es == 4 && ((ht == HOST_F32 && t->type == PV_F32) ||
                                                        (ht == HOST_I32 && t->type == PV_I32)));
    if (same) {
        pv_buf_write(t->buf, t->off * es, src, (size_t)count * es);
        return;
    }
    char *out = pv_zalloc((size_t)n * es);
    bool strided = h->layout == PV_BLOCKED && es != 8;
    if (keep && strided)
        pv_buf_read(t->buf, t->off * es, out, (size_t)n * es);
    int64_t i = 0;
    for (int s = 0; s < h->n; s++)
        for (int c = 0; c < h->c; c++)
            for (int x = 0; x < h->s[0]; x++)
                for (int y = 0; y < h->s[1]; y++) {
                    int64_t at = strided ? row_start(h, s, c, x, y) : i;
                    for (int z = 0; z < h->s[2]; z++, i++, at += strided ? PV_LANES : 1) {
                        double v = host_get(ht, src, i);
                        if (es == 8)
                            ((double *)out)[at] = v;
                        else if (t->type == PV_I32)
                            ((int32_t *)out)[at] = (int32_t)lrint(v);
                        else if (t->type == PV_F16)
                            ((uint16_t *)out)[at] = pv_f32_to_f16((float)v);
                        else
                            ((float *)out)[at] = (float)v;
                    }
                }
    pv_buf_write(t->buf, t->off * es, out, (size_t)n * es);
    pv_free(out);
}

static bool read_any(pv_tensor *t, enum host_type ht, void *dst)
{
    if (!t || !pv_tensor_pin(t))
        return false;
    const struct pv_shape *h = &t->h;
    int64_t n = stored(t);
    size_t es = element(t);
    bool strided = h->layout == PV_BLOCKED && es != 8;
    char *in = pv_alloc((size_t)n * es);
    bool ok = pv_buf_read(t->buf, t->off * es, in, (size_t)n * es);
    pv_tensor_unpin(t);
    int64_t i = 0;
    for (int s = 0; ok && s < h->n; s++)
        for (int c = 0; c < h->c; c++)
            for (int x = 0; x < h->s[0]; x++)
                for (int y = 0; y < h->s[1]; y++) {
                    int64_t at = strided ? row_start(h, s, c, x, y) : i;
                    for (int z = 0; z < h->s[2]; z++, i++, at += strided ? PV_LANES : 1)
                        host_put(ht, dst, i, es == 8 ? ((double *)in)[at]
                                 : t->type == PV_I32 ? ((int32_t *)in)[at]
                                 : t->type == PV_F16 ? pv_f16_to_f32(((uint16_t *)in)[at]) : ((float *)in)[at]);
                }
    pv_free(in);
    return ok;
}

void pv_tensor_write(pv_tensor *t, const float *src) { write_any(t, HOST_F32, src, false); }
void pv_tensor_write_f64(pv_tensor *t, const double *src) { write_any(t, HOST_F64, src, false); }
void pv_tensor_write_i32(pv_tensor *t, const int32_t *src) { write_any(t, HOST_I32, src, false); }
bool pv_tensor_read(pv_tensor *t, float *dst) { return read_any(t, HOST_F32, dst); }
bool pv_tensor_read_f64(pv_tensor *t, double *dst) { return read_any(t, HOST_F64, dst); }
bool pv_tensor_read_i32(pv_tensor *t, int32_t *dst) { return read_any(t, HOST_I32, dst); }

void pv_tensor_zero(pv_tensor *t)
{
    if (t)
        pv_buf_fill(t->buf, t->off * element(t), pv_tensor_bytes(t), 0);
}

void pv_tensor_copy(pv_tensor *dst, pv_tensor *src)
{
    if (!dst || !src || !pv_tensor_pin(src))
        return;
    pv_buf_copy(dst->buf, dst->off * element(dst), src->buf, src->off * element(src), pv_tensor_bytes(src));
    pv_tensor_unpin(src);
}

/* ---- bindings ---- */

void pv_bind_range(struct pv_launch *l, int i, pv_tensor *t, int64_t first, int64_t count)
{
    if (!t)
        return;
    size_t es = element(t);
    l->bind[i].buf = t->buf;
    l->bind[i].off = (t->off + (size_t)first) * es;
    l->bind[i].bytes = (size_t)count * es;
}

void pv_bind_samples(struct pv_launch *l, int i, pv_tensor *t, int first, int n)
{
    if (t)
        pv_bind_range(l, i, t, first * pv_shape_sample(&t->h), n * pv_shape_sample(&t->h));
}

void pv_bind(struct pv_launch *l, int i, pv_tensor *t)
{
    if (t)
        pv_bind_range(l, i, t, 0, pv_shape_stored(&t->h));
}

int pv_units_per_launch(pv_dev *dev, int num, pv_tensor *const *t, const int64_t *unit, const int64_t *extra,
                        int64_t first, int left)
{
    uint64_t most = pv_dev_get_info(dev)->limits.max_binding;
    int n = left;
    for (int k = 0; k < num; k++) {
        if (!t[k] || unit[k] == 0)
            continue;
        uint64_t es = element(t[k]), u = (uint64_t)unit[k] * es, e = extra ? (uint64_t)extra[k] * es : 0;
        uint64_t fit = most > e ? (most - e) / u : 0;
        uint64_t seg = pv_buf_segment(t[k]->buf), at = (t[k]->off + (uint64_t)(first * unit[k])) * es % seg;
        uint64_t room = seg - at > e ? (seg - at - e) / u : 0;
        fit = fit < room ? fit : room;
        if (fit < (uint64_t)n)
            n = (int)fit;
    }
    return n < 1 ? 1 : n;
}
