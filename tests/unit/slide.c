/* SPDX-License-Identifier: Apache-2.0
 * eval/slide.h: predictions that hold a slab of planes against sums over the whole volume, bit for bit, and labels made
 * plane by plane against those of all probabilities. The reference device; a made-up network. */
#include "unit.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "eval/slide.h"

static pv_dev *dev;

static int set_up(void **state)
{
    (void)state;
    dev = pv_dev_open("ref:0", NULL);
    return dev ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    pv_dev_close(&dev);
    return 0;
}

/* Something that depends on the voxel, its place in the window and the class. */
static float made_up(float v, size_t i, int c)
{
    return 1 / (1 + expf(-sinf(3 * v + (float)c) - 0.1f * (float)(i % 7)));
}

static pv_tensor *network(void *user, pv_tensor *x)
{
    const struct pv_slide_params *p = user;
    struct pv_shape h = x->h;
    h.c = p->classes;
    const size_t n = (size_t)pv_voxels(&h);
    pv_tensor *y = pv_tensor_new(dev, h, PV_F32);
    float *in = pv_array(float, n * (size_t)(h.n * x->h.c)), *out = pv_array(float, n * (size_t)(h.n * h.c));
    assert_true(pv_tensor_read(x, in));
    for (int s = 0; s < h.n; s++)
        for (int c = 0; c < h.c; c++)
            for (size_t i = 0; i < n; i++)
                out[((size_t)(s * h.c + c)) * n + i] = made_up(in[(size_t)(s * x->h.c) * n + i], i, c);
    pv_tensor_write(y, out);
    pv_free(in);
    pv_free(out);
    return y;
}

/* One voxel's place in a window, mirrored. */
static size_t place(const int patch[3], const int at[3], unsigned axes)
{
    int m[3];
    for (int a = 0; a < 3; a++)
        m[a] = axes >> a & 1 ? patch[a] - 1 - at[a] : at[a];
    return ((size_t)m[0] * (size_t)patch[1] + (size_t)m[1]) * (size_t)patch[2] + (size_t)m[2];
}

/* Adds window k, predicted with mirrored axes. */
static void add_window(const struct pv_slide_params *p, const struct pv_windows *w, int64_t k, unsigned axes,
                       const float *image, const float *weight, float *sum, float *count)
{
    const int *s = w->s;
    const size_t all = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    struct pv_window_part part = pv_window_part(w, k);
    for (int x = 0; x < part.size[0]; x++)
        for (int y = 0; y < part.size[1]; y++)
            for (int z = 0; z < part.size[2]; z++) {
                const int at[3] = {part.in_patch[0] + x, part.in_patch[1] + y, part.in_patch[2] + z};
                size_t v = ((size_t)(part.in_image[0] + x) * (size_t)s[1] + (size_t)(part.in_image[1] + y)) *
                           (size_t)s[2] + (size_t)(part.in_image[2] + z);
                float f = weight ? weight[place(p->patch, at, 0)] : 1;
                for (int c = 0; c < p->classes; c++)
                    sum[(size_t)c * all + v] += f * made_up(image[v], place(p->patch, at, axes), c);
                count[v] += f;
            }
}

/* The windows of a batch, mirrored in every way, then those of the next; over the whole volume. */
static float *whole(const struct pv_slide_params *p, const int s[3], const float *image)
{
    struct pv_windows w;
    assert_true(pv_windows_make(&w, s, p->patch, p->stride, p->even));
    const size_t all = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    float *sum = pv_array(float, all * (size_t)p->classes), *count = pv_array(float, all), *weight = NULL;
    if (p->gaussian) {
        weight = pv_array(float, p->patch[0] * p->patch[1] * p->patch[2]);
        pv_gaussian_map(p->patch, 0.125, weight);
    }
    for (int64_t first = 0; first < w.count; first += p->batch)
        for (unsigned axes = 0; axes < 8; axes++)
            for (int64_t k = first; !(axes & ~p->mirror) && k < first + p->batch && k < w.count; k++)
                add_window(p, &w, k, axes, image, weight, sum, count);
    for (int c = 0; c < p->classes; c++)
        for (size_t v = 0; v < all; v++)
            sum[(size_t)c * all + v] /= count[v];
    pv_free(count);
    pv_free(weight);
    return sum;
}

static struct pv_slide_params draw(struct pv_rng *r, int s[3])
{
    struct pv_slide_params p = {.dims = 3, .channels = 1 + (int)pv_rng_below(r, 2),
                                .classes = 1 + (int)pv_rng_below(r, 4), .batch = 1 + (int)pv_rng_below(r, 5),
                                .gaussian = pv_rng_below(r, 2), .even = pv_rng_below(r, 2),
                                .mirror = pv_rng_below(r, 3) ? 0 : pv_rng_below(r, 8), .predict = network};
    for (int a = 0; a < 3; a++) {
        s[a] = 1 + (int)pv_rng_below(r, a ? 9 : 24);
        p.patch[a] = 2 + (int)pv_rng_below(r, 5);
        p.stride[a] = 1 + (int)pv_rng_below(r, (uint32_t)p.patch[a]);
    }
    return p;
}

static float *draw_image(struct pv_rng *r, size_t n)
{
    float *v = pv_array(float, n);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)pv_rng_normal(r);
    return v;
}

static void slabs_are_the_whole(void **state)
{
    (void)state;
    for (uint64_t k = 0; k < 60; k++) {
        struct pv_rng r = pv_rng_make(31, k);
        int s[3];
        struct pv_slide_params p = draw(&r, s);
        p.user = &p;
        const size_t n = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
        float *image = draw_image(&r, n * (size_t)p.channels), *want = whole(&p, s, image);
        float *got = pv_array(float, n * (size_t)p.classes);
        assert_true(pv_slide(dev, image, s, &p, got));
        assert_memory_equal(got, want, sizeof *got * n * (size_t)p.classes);

        /* the same grid, one cut out of a larger file, a file at another resolution */
        struct pv_prep_map map = {.size = {s[0], s[1], s[2]}, .step = {1, 1, 1}};
        for (int a = 0; k % 3 && a < 3; a++) {
            map.step[a] = k % 3 == 1 ? 1 : 0.5 + 2 * pv_rng_uniform(&r);
            map.origin[a] = (double)pv_rng_below(&r, 4) + (k % 3 == 1 ? 0 : 0.25);
            map.size[a] = (int)(map.origin[a] + map.step[a] * s[a]) + (int)pv_rng_below(&r, 5);
            map.size[a] = pv_max(map.size[a], 1);
        }
        const size_t file = (size_t)map.size[0] * (size_t)map.size[1] * (size_t)map.size[2];
        float *on_file = pv_array(float, file * (size_t)p.classes);
        uint8_t *a = pv_array(uint8_t, file), *b = pv_array(uint8_t, file);
        pv_slide_to_file_grid(want, s, p.classes, &map, on_file);
        pv_slide_labels(on_file, p.classes, file, a);
        memset(b, 99, file);
        assert_true(pv_slide_file_labels(dev, image, s, &p, &map, b));
        assert_memory_equal(a, b, file);
        pv_free(image);
        pv_free(want);
        pv_free(got);
        pv_free(on_file);
        pv_free(a);
        pv_free(b);
    }
}

struct seen { int next, most; };

static bool note(void *user, int x, int num, const float *prob, size_t stride)
{
    struct seen *q = user;
    (void)prob;
    (void)stride;
    assert_int_equal(x, q->next);
    q->next += num;
    q->most = pv_max(q->most, num);
    return true;
}

static bool stop(void *user, int x, int num, const float *prob, size_t stride)
{
    (void)num;
    (void)prob;
    (void)stride;
    *(int *)user = x;
    return x < 8;
}

/* Planes come in order, few at a time, each once; a caller may stop. */
static void planes_come_in_order(void **state)
{
    (void)state;
    const int s[3] = {40, 6, 6};
    struct pv_slide_params p = {.dims = 3, .channels = 1, .classes = 2, .batch = 3, .patch = {8, 4, 4},
                                .stride = {4, 4, 4}, .predict = network};
    p.user = &p;
    struct pv_rng r = pv_rng_make(32, 0);
    float *image = draw_image(&r, 40 * 6 * 6);
    struct seen q = {0};
    assert_true(pv_slide_each(dev, image, s, &p, note, &q));
    assert_int_equal(q.next, 40);
    assert_true(q.most <= 8);
    int last = -1;
    assert_false(pv_slide_each(dev, image, s, &p, stop, &last));
    assert_int_equal(last, 8);
    pv_free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slabs_are_the_whole),
        cmocka_unit_test(planes_come_in_order),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
