/* SPDX-License-Identifier: Apache-2.0
 * Boxes, cube masks and noise: checks, keys of random numbers, launches. */
#include "ops/augment.h"

#include <math.h>

#include "ops/args/augment.h"
#include "ops/gather_impl.h"
#include "ops/span.h"

static const struct pv_kernel kernels[2][4] = {     /* [fat] */
    {{"augment", "box_mix", "rrrw", sizeof(struct a_box), {64, 1, 1}, NULL},
     {"augment", "box_mask", "rw", sizeof(struct a_box), {64, 1, 1}, NULL},
     {"augment", "cube_mask", "rw", sizeof(struct a_cube), {64, 1, 1}, NULL},
     {"augment", "noise", "rw", sizeof(struct a_noise), {64, 1, 1}, NULL}},
    {{"augment", "box_mix", "rrrw", sizeof(struct a_box), {1, 1, 1}, NULL},
     {"augment", "box_mask", "rw", sizeof(struct a_box), {1, 1, 1}, NULL},
     {"augment", "cube_mask", "rw", sizeof(struct a_cube), {1, 1, 1}, NULL},
     {"augment", "noise", "rw", sizeof(struct a_noise), {1, 1, 1}, NULL}}};
enum { BOX_MIX, BOX_MASK, CUBE_MASK, NOISE };

static const struct pv_kernel *kernel(const pv_tensor *y, int which)
{
    return &kernels[pv_class(y) == PV_FAT][which];
}

static void run_rows(pv_tensor *y, struct pv_launch *l, int units, int planes)
{
    uint64_t rows = (uint64_t)units * (uint64_t)planes * (uint64_t)y->h.s[1];
    pv_run_items(y->dev, l, pv_class(y) == PV_FAT ? rows : rows * (uint64_t)y->h.s[2]);
}

/* ---- boxes ---- */

static pv_tensor *send_boxes(pv_dev *dev, int n, const struct pv_box *boxes)
{
    float *v = pv_array(float, n * BOX_SIZE);
    for (int i = 0; i < n; i++) {
        v[i * BOX_SIZE] = (float)boxes[i].from;
        for (int k = 0; k < 3; k++) {
            v[i * BOX_SIZE + 1 + k] = (float)boxes[i].lo[k];
            v[i * BOX_SIZE + 4 + k] = (float)boxes[i].hi[k];
        }
    }
    pv_tensor *t = pv_tensor_new(dev, pv_flat(n * BOX_SIZE), PV_F32);
    pv_tensor_write(t, v);
    pv_free(v);
    return t;
}

static void mix(pv_tensor *a, pv_tensor *b, pv_tensor *y, pv_tensor *sent, const struct pv_box *boxes)
{
    int64_t block = pv_shape_block(&y->h), plane = pv_shape_plane(&y->h);
    int X = y->h.s[0], c = y->h.c, nx = X;
    struct a_box args = {.units = y->h.n * c, .c = c, .x = X, .y = y->h.s[1], .z = y->h.s[2], .us = (int)block};
    struct pv_launch l = {.k = kernel(y, BOX_MIX), .label = "box mix", .args = &args};
    pv_bind(&l, 2, sent);
    if (span_fits(b, pv_shape_stored(&b->h)) && span_fits(y, pv_shape_stored(&y->h)) &&
        span_fits(a, pv_shape_stored(&a->h))) {
        args.bn = (int)pv_shape_sample(&b->h);
        args.bc = (int)block;
        pv_bind(&l, 0, a);
        pv_bind(&l, 1, b);
        pv_bind(&l, 3, y);
        run_rows(y, &l, args.units, X);
        return;
    }
    while (nx > 1 && !(span_fits(y, nx * plane) && span_fits(a, nx * plane) && span_fits(b, nx * plane)))
        nx = (nx + 1) / 2;
    int units = args.units;
    args.units = 1;
    for (int u = 0; u < units; u++)
        for (int x0 = 0; x0 < X; x0 += nx) {
            args.u0 = u;
            args.x0 = x0;
            args.x = pv_min(nx, X - x0);
            pv_bind_range(&l, 0, a, u * block + x0 * plane, args.x * plane);
            pv_bind_range(&l, 1, b, ((int64_t)boxes[u / c].from * c + u % c) * block + x0 * plane, args.x * plane);
            pv_bind_range(&l, 3, y, u * block + x0 * plane, args.x * plane);
            run_rows(y, &l, 1, args.x);
        }
}

pv_tensor *pv_box_mix(pv_tape *t, pv_tensor *a, pv_tensor *b, const struct pv_box *boxes)
{
    pv_ops_init();
    pv_tensor *in[] = {a, b};
    if (!pv_op_ready(t, 2, in))
        return NULL;
    struct pv_shape other = b->h;
    other.n = a->h.n;
    bool ok = pv_shape_eq(&a->h, &other) && a->h.layout == PV_PLAIN && a->type == b->type && a->type != PV_F16;
    for (int i = 0; i < a->h.n; i++)
        ok = ok && boxes[i].from >= 0 && boxes[i].from < b->h.n;
    if (!ok)
        return pv_op_bad("box_mix", "two PLAIN tensors of one shape and type, boxes from samples of the second");
    pv_tensor *y = pv_tensor_new(t->dev, a->h, a->type);
    if (!y || !pv_tensor_pin(a))
        return y;
    if (pv_tensor_pin(b)) {
        if (pv_is_ref(y)) {
            ref_box_mix(pv_ref_data(a), pv_ref_data(b), pv_ref_data(y), a->h.n, a->h.c, a->h.s, boxes);
        } else {
            pv_tensor *sent = send_boxes(t->dev, a->h.n, boxes);
            if (sent)
                mix(a, b, y, sent, boxes);
            pv_tensor_put(&sent);
        }
        pv_tensor_unpin(b);
    }
    pv_tensor_unpin(a);
    return y;
}

pv_tensor *pv_box_mask(pv_tape *t, int dims, int n, const int s[3], const struct pv_box *boxes, float inside,
                       float outside)
{
    pv_ops_init();
    if (pv_dev_failed(t->dev))
        return NULL;
    if (n < 1 || s[0] < 1 || s[1] < 1 || s[2] < 1)
        return pv_op_bad("box_mask", "%d masks of %dx%dx%d", n, s[0], s[1], s[2]);
    pv_tensor *y = pv_tensor_new(t->dev, pv_plain(dims, n, 1, s), PV_F32);
    if (!y)
        return NULL;
    if (pv_is_ref(y)) {
        ref_box_mask(pv_ref_data(y), n, s, boxes, inside, outside);
        return y;
    }
    pv_tensor *sent = send_boxes(t->dev, n, boxes);
    struct span sp = {.num = 1, .t = {y}, .planes = s[0]};
    while (sent && span_next(&sp)) {
        struct a_box args = {.units = sp.nu, .c = 1, .u0 = sp.u0, .x0 = sp.x0, .x = sp.nx, .y = s[1], .z = s[2],
                             .us = (int)pv_shape_block(&y->h), .inside = inside, .outside = outside};
        struct pv_launch l = {.k = kernel(y, BOX_MASK), .label = "box mask", .args = &args};
        pv_bind(&l, 0, sent);
        span_bind(&sp, &l, 1, 0);
        run_rows(y, &l, sp.nu, sp.nx);
    }
    pv_tensor_put(&sent);
    return y;
}

/* ---- random ---- */

static struct augment_key next_key(pv_tape *t)
{
    return (struct augment_key){.key = {(uint32_t)t->seed, (uint32_t)(t->seed >> 32)}, .step = (uint32_t)t->step,
                                .stream = t->pass << 16 | (t->layer++ & 0xffff),
                                .sample0 = (uint32_t)t->first_sample};
}

pv_tensor *pv_cube_mask(pv_tape *t, pv_tensor *x, int size, float p, float fill)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_PLAIN || x->type != PV_F32 || size < 1 || !(p >= 0 && p <= 1))
        return pv_op_bad("cube_mask", "a PLAIN image, cubes of at least 1 voxel, a probability (%d, %g)", size,
                         (double)p);
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32);
    struct augment_key key = next_key(t);
    const int *s = x->h.s;
    uint32_t below = (uint32_t)lrint((double)p * 0x1p24);
    if (!y || !pv_tensor_pin(x))
        return y;
    if (pv_is_ref(x)) {
        ref_cube_mask(pv_ref_data(x), pv_ref_data(y), x->h.n, x->h.c, s, size, below, fill, &key);
        pv_tensor_unpin(x);
        return y;
    }
    struct span sp = {.num = 2, .t = {x, y}, .planes = s[0]};
    while (span_next(&sp)) {
        struct a_cube a = {.units = sp.nu, .c = x->h.c, .u0 = sp.u0, .x0 = sp.x0, .x = sp.nx, .y = s[1], .z = s[2],
            .us = (int)pv_shape_block(&x->h), .size = size, .cy = pv_ceil_div(s[1], size),
            .cz = pv_ceil_div(s[2], size), .below = below, .fill = fill, .key0 = key.key[0], .key1 = key.key[1],
            .step = key.step, .stream = key.stream, .sample0 = key.sample0};
        struct pv_launch l = {.k = kernel(y, CUBE_MASK), .label = "cube mask", .args = &a};
        span_bind(&sp, &l, 0, 0);
        span_bind(&sp, &l, 1, 1);
        run_rows(y, &l, sp.nu, sp.nx);
    }
    pv_tensor_unpin(x);
    return y;
}

static void add_noise(pv_tensor *x, pv_tensor *y, float sigma, float clip, const struct augment_key *key)
{
    int64_t sample = pv_shape_sample(&x->h), most = sample;
    bool fat = pv_class(y) == PV_FAT, whole = span_fits(x, sample) && span_fits(y, sample);
    while (!whole && most > 64 && !(span_fits(x, most) && span_fits(y, most)))
        most = (most / 2 + 63) / 64 * 64;
    for (int n = 0, m; n < x->h.n; n += m) {
        m = whole ? pv_min(span_samples(x, n, x->h.n - n), span_samples(y, n, x->h.n - n)) : 1;
        for (int64_t e = 0; e < sample; e += most) {
            int len = (int)(sample - e < most ? sample - e : most);
            struct a_noise a = {.n = m, .len = len, .sn = (int)sample, .e0 = (int)e,
                .items = fat ? pv_ceil_div(len, 1024) : pv_ceil_div(len, 64) * 16, .key0 = key->key[0],
                .key1 = key->key[1], .step = key->step, .stream = key->stream,
                .sample0 = key->sample0 + (uint32_t)n, .sigma = sigma, .clip = clip};
            struct pv_launch l = {.k = kernel(y, NOISE), .label = "noise", .args = &a};
            pv_bind_range(&l, 0, x, n * sample + e, (m - 1) * sample + len);
            pv_bind_range(&l, 1, y, n * sample + e, (m - 1) * sample + len);
            pv_run_items(y->dev, &l, (uint64_t)m * (uint64_t)a.items);
        }
    }
}

static void noise_backward(pv_tape *t, struct pv_node *n)
{
    pv_grad_give(t, n->in[0], pv_tensor_ref(pv_out_grad(n, 0)));
}

pv_tensor *pv_noise(pv_tape *t, pv_tensor *x, float sigma, float clip)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    if (x->h.layout != PV_PLAIN || x->type != PV_F32 || !(sigma >= 0) || !(clip > 0) ||
        pv_shape_sample(&x->h) > INT32_MAX)
        return pv_op_bad("noise", "a PLAIN image, sigma at least 0, clip above 0 (%g, %g)", (double)sigma,
                         (double)clip);
    pv_tensor *y = pv_tensor_new(t->dev, x->h, PV_F32);
    struct augment_key key = next_key(t);
    if (!y)
        return NULL;
    if (pv_tensor_pin(x)) {
        if (pv_is_ref(x))
            ref_noise(pv_ref_data(x), pv_ref_data(y), x->h.n, pv_shape_sample(&x->h), sigma, clip, &key);
        else
            add_noise(x, y, sigma, clip, &key);
        pv_tensor_unpin(x);
    }
    if (pv_tape_wants(t, 1, &x))
        pv_tape_record(t, "noise", noise_backward, 1, &x, 1, &y, NULL, 0);
    return y;
}
