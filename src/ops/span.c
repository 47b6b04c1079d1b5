/* SPDX-License-Identifier: Apache-2.0
 * Shares of a launch. Kernels index a binding with 32 bits, which bounds a share too. */
#include "ops/span.h"

int span_units(const pv_tensor *t)
{
    return t->h.n * (t->h.layout == PV_BLOCKED ? pv_blocks(t->h.c) : t->h.c);
}

bool span_fits(const pv_tensor *t, int64_t elements)
{
    uint64_t bytes = (uint64_t)elements * 4;
    return elements <= INT32_MAX && bytes <= pv_dev_get_info(t->dev)->limits.max_binding &&
           bytes <= pv_buf_segment(t->buf);
}

static int most_units(int left, int64_t unit)
{
    return unit > 0 && INT32_MAX / unit < left ? pv_max(1, (int)(INT32_MAX / unit)) : left;
}

int span_samples(pv_tensor *t, int first, int left)
{
    int64_t unit = pv_shape_sample(&t->h);
    return pv_units_per_launch(t->dev, 1, &t, &unit, NULL, first, most_units(left, unit));
}

static void needed(struct span *s, int k)
{
    s->first[k] = s->x0;
    s->count[k] = s->nx;
    if (s->need)
        s->need(s, k, s->x0, s->nx, &s->first[k], &s->count[k]);
}

static bool slab_fits(struct span *s)
{
    bool ok = true;
    for (int k = 0; k < s->num; k++) {
        needed(s, k);
        ok = ok && span_fits(s->t[k], s->count[k] * pv_shape_plane(&s->t[k]->h));
    }
    return ok;
}

bool span_next(struct span *s)
{
    if (s->nu > 0 && s->whole) {
        s->u0 += s->nu;
    } else if (s->nu > 0) {
        s->x0 += s->nx;
        if (s->x0 >= s->planes) {
            s->x0 = 0;
            s->u0++;
        }
    }
    int left = span_units(s->t[0]) - s->u0;
    if (left <= 0 || pv_dev_failed(s->t[0]->dev))
        return false;
    int64_t unit[SPAN_SIDES];
    s->whole = true;
    for (int k = 0; k < s->num; k++) {
        unit[k] = pv_shape_block(&s->t[k]->h);
        s->whole = s->whole && span_fits(s->t[k], unit[k]);
        left = most_units(left, unit[k]);
    }
    if (s->whole) {
        s->nu = pv_units_per_launch(s->t[0]->dev, s->num, s->t, unit, NULL, s->u0, left);
        s->x0 = 0;
        s->nx = s->planes;
        for (int k = 0; k < s->num; k++) {
            s->first[k] = 0;
            s->count[k] = s->t[k]->h.s[0];
        }
        return true;
    }
    s->nu = 1;
    s->nx = s->planes - s->x0;
    while (!slab_fits(s) && s->nx > 1)
        s->nx = (s->nx + 1) / 2;
    return true;
}

int span_bind(const struct span *s, struct pv_launch *l, int i, int k)
{
    pv_tensor *t = s->t[k];
    struct pv_strides d = pv_strides_of(t);
    if (s->whole) {
        pv_bind_range(l, i, t, (int64_t)s->u0 * d.b, (int64_t)s->nu * d.b);
        return d.first;
    }
    pv_bind_range(l, i, t, (int64_t)s->u0 * d.b + (int64_t)(s->first[k] + t->h.b[0]) * d.p,
                  (int64_t)s->count[k] * d.p);
    return d.first - t->h.b[0] * d.p;
}

/* ---- pieces ---- */

static bool pieces_fit(int num, pv_tensor *const *t, int64_t elements)
{
    for (int i = 0; i < num; i++)
        if (t[i]->h.layout == PV_BLOCKED && !span_fits(t[i], elements))
            return false;
    return true;
}

bool piece_next(struct piece *p, int num, pv_tensor *const *t)
{
    const struct pv_shape *h = &t[0]->h;
    int64_t sample = pv_shape_sample(h), unit[PIECE_SIDES] = {0};
    int blocks = pv_blocks(h->c);
    if (pv_dev_failed(t[0]->dev))
        return false;
    if (!p->started)
        p->whole = pieces_fit(num, t, sample);
    if (p->whole) {
        int n = p->n0 + p->nn;
        if (n >= h->n)
            return false;
        for (int i = 0; i < num; i++)
            unit[i] = pv_shape_sample(&t[i]->h);
        int nn = pv_units_per_launch(t[0]->dev, num, t, unit, NULL, n, most_units(h->n - n, sample));
        *p = (struct piece){n, nn, 0, blocks, 0, h->s[0], true, true};
        return true;
    }
    int most = h->s[0];
    while (most > 1 && !pieces_fit(num, t, most * pv_shape_plane(h)))
        most = (most + 1) / 2;
    p->x0 += p->nx;
    if (!p->started) {
        *p = (struct piece){.nn = 1, .nb = 1, .started = true};
    } else if (p->x0 >= h->s[0]) {
        p->x0 = 0;
        if (++p->b0 >= blocks) {
            p->b0 = 0;
            p->n0++;
        }
    }
    p->nx = pv_min(most, h->s[0] - p->x0);
    return p->n0 < h->n;
}

int piece_bind(struct pv_launch *l, int i, pv_tensor *t, const struct piece *p)
{
    struct pv_strides s = pv_strides_of(t);
    if (p->whole) {
        pv_bind_samples(l, i, t, p->n0, p->nn);
        return s.first;
    }
    pv_bind_range(l, i, t, (int64_t)p->n0 * s.n + (int64_t)p->b0 * s.b + (int64_t)(p->x0 + t->h.b[0]) * s.p,
                  (int64_t)p->nx * s.p);
    return s.first - t->h.b[0] * s.p;
}

void piece_bind_plain(struct pv_launch *l, int i, pv_tensor *t, const struct piece *p)
{
    int64_t sample = pv_shape_sample(&t->h), plane = pv_shape_plane(&t->h), at = p->x0 * plane;
    int64_t last = t->h.c == 1 ? at + p->nx * plane : sample;
    pv_bind_range(l, i, t, p->n0 * sample + at, (p->nn - 1) * sample + last - at);
}
