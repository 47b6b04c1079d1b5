/* SPDX-License-Identifier: Apache-2.0
 * Shapes and sizes. */
#include <stdio.h>
#include <string.h>

#include "tensor/tensor.h"

struct pv_shape pv_plain(int dims, int n, int c, const int s[3])
{
    return (struct pv_shape){.layout = PV_PLAIN, .dims = dims, .n = n, .c = c, .s = {s[0], s[1], s[2]}};
}

struct pv_shape pv_blocked(int dims, int n, int c, const int s[3])
{
    return (struct pv_shape){.layout = PV_BLOCKED, .dims = dims, .n = n, .c = c, .s = {s[0], s[1], s[2]},
                             .b = {dims == 3, 1, 1}};
}

struct pv_shape pv_flat(int n)
{
    return (struct pv_shape){.layout = PV_FLAT, .dims = 3, .n = n, .c = 1, .s = {1, 1, 1}};
}

bool pv_shape_eq(const struct pv_shape *a, const struct pv_shape *b)
{
    return a->layout == b->layout && a->dims == b->dims && a->c == b->c && pv_same_grid(a, b) &&
           !memcmp(a->b, b->b, sizeof a->b);
}

bool pv_same_grid(const struct pv_shape *a, const struct pv_shape *b)
{
    return a->n == b->n && !memcmp(a->s, b->s, sizeof a->s);
}

int64_t pv_shape_count(const struct pv_shape *h) { return (int64_t)h->n * h->c * pv_voxels(h); }

int64_t pv_shape_plane(const struct pv_shape *h)
{
    return (int64_t)(h->s[1] + 2 * h->b[1]) * (h->s[2] + 2 * h->b[2]) * (h->layout == PV_BLOCKED ? PV_LANES : 1);
}

int64_t pv_shape_block(const struct pv_shape *h) { return pv_shape_plane(h) * (h->s[0] + 2 * h->b[0]); }

int64_t pv_shape_sample(const struct pv_shape *h)
{
    return pv_shape_block(h) * (h->layout == PV_BLOCKED ? pv_blocks(h->c) : h->c);
}

int64_t pv_shape_stored(const struct pv_shape *h) { return pv_shape_sample(h) * h->n; }

char *pv_shape_text(const struct pv_shape *h, char out[80])
{
    static const char *const names[] = {"plain", "blocked", "flat"};
    snprintf(out, 80, "%s n%d c%d %dx%dx%d", names[h->layout], h->n, h->c, h->s[0], h->s[1], h->s[2]);
    return out;
}
