/* SPDX-License-Identifier: Apache-2.0
 * overlay.h: which planes are shown and how they lie, windowing, outlines of known boxes, the strip, the file. */
#include "unit.h"

#include <math.h>
#include <png.h>

#include "report/overlay.h"

enum { X = 20, Y = 16, Z = 12, N = X * Y * Z };
static float image[N];
static uint8_t ref[N], pred[N];

static int at3(int x, int y, int z) { return (x * Y + y) * Z + z; }

static void box(uint8_t *label, uint8_t value, int x0, int x1, int y0, int y1, int z0, int z1)
{
    for (int x = x0; x <= x1; x++)
        for (int y = y0; y <= y1; y++)
            for (int z = z0; z <= z1; z++)
                label[at3(x, y, z)] = value;
}

static struct pv_overlay fresh(void)
{
    memset(image, 0, sizeof image);
    memset(ref, 0, sizeof ref);
    memset(pred, 0, sizeof pred);
    return (struct pv_overlay){.id = "LA_081", .size = {X, Y, Z}, .spacing = {1, 1, 1}, .image = image, .ref = ref,
                               .pred = pred};
}

static void centres(void **state)
{
    struct pv_overlay o = fresh();
    int c[3];
    pv_overlay_centre(&o, c);
    assert_true(c[0] == X / 2 && c[1] == Y / 2 && c[2] == Z / 2);
    box(pred, 1, 2, 4, 3, 5, 1, 9);
    pv_overlay_centre(&o, c);
    assert_true(c[0] == 3 && c[1] == 4 && c[2] == 5);
    box(ref, 2, 10, 16, 8, 8, 2, 4);
    box(ref, 255, 0, 0, 0, 0, 0, 11);       /* not annotated: does not count */
    pv_overlay_centre(&o, c);
    assert_true(c[0] == 13 && c[1] == 8 && c[2] == 3);
    /* two lobes with nothing between: the nearest plane that meets one */
    memset(ref, 0, sizeof ref);
    box(ref, 1, 1, 3, 4, 6, 4, 6);
    box(ref, 1, 14, 18, 4, 6, 4, 6);
    pv_overlay_centre(&o, c);               /* middle at (3*2 + 5*16) / 8 = 10.75 */
    assert_true(c[0] == 14 && c[1] == 5 && c[2] == 5);
    o.ref = NULL;
    pv_overlay_centre(&o, c);
    assert_true(c[0] == 3);
}

static uint8_t grey(const struct pv_layers *l, const struct pv_tile *t, int x, int y)
{
    assert_true(x >= 0 && x < t->w && y >= 0 && y < t->h);
    return l->base.pixels[(t->y + y) * l->base.w + t->x + x];
}

/* Voxel values are 4 * place along one axis, the window is the whole range: pixels follow the voxels. */
static void planes_lie_right(void **state)
{
    for (int axis = 0; axis < 3; axis++) {
        for (int flip = 0; flip < 2; flip++) {
            struct pv_overlay o = fresh();
            o.ref = o.pred = NULL;
            o.percentile[1] = 100;
            o.flip[axis] = flip;
            for (int x = 0; x < X; x++)
                for (int y = 0; y < Y; y++)
                    for (int z = 0; z < Z; z++)
                        image[at3(x, y, z)] = 4.0f * (float)(int[]){x, y, z}[axis];
            struct pv_layers l;
            assert_true(pv_overlay_mosaic(&o, &l));
            assert_int_equal(l.num_tiles, 3);
            assert_null(l.ref.pixels);
            assert_null(l.pred.pixels);
            static const int across[] = {2, 1, 0}, right[] = {0, 0, 1}, up[] = {1, 2, 2};
            int size[] = {X, Y, Z}, most = size[axis] - 1;
            for (int k = 0; k < 3; k++) {
                const struct pv_tile *t = &l.tile[k];
                assert_int_equal(t->axis, across[k]);
                assert_int_equal(t->slice, size[across[k]] / 2);
                assert_true(t->w == size[right[k]] && t->h == size[up[k]]);
                assert_true(k == 0 || t->x == l.tile[k - 1].x + l.tile[k - 1].w + 4);
                for (int y = 0; y < t->h; y++)
                    for (int x = 0; x < t->w; x++) {
                        int place = axis == across[k] ? t->slice : axis == right[k] ? x : t->h - 1 - y;
                        place = flip && axis != across[k] ? most - place : place;
                        assert_int_equal(grey(&l, t, x, y), (int)(255.0 * place / most + 0.5));
                    }
            }
            pv_layers_free(&l);
            assert_null(l.base.pixels);
            pv_layers_free(&l);
        }
    }
}

static void spacing_and_size(void **state)
{
    struct pv_overlay o = fresh();
    struct pv_layers l;
    o.spacing[2] = 2.5;
    assert_true(pv_overlay_mosaic(&o, &l));
    assert_true(l.tile[0].w == X && l.tile[0].h == Y);
    assert_true(l.tile[1].w == X && l.tile[1].h == 30 && l.tile[2].w == Y && l.tile[2].h == 30);
    assert_true(l.base.h == 30 && l.tile[0].y == (30 - Y) / 2);
    assert_true(l.ref.w == l.base.w * l.factor && l.pred.h == l.base.h * l.factor);
    pv_layers_free(&l);
    o.spacing[0] = -1;                  /* unknown: all the same */
    assert_true(pv_overlay_mosaic(&o, &l));
    assert_true(l.tile[1].w == X && l.tile[1].h == Z);
    pv_layers_free(&l);
    /* larger than a tile may be: smaller by one factor, the mean stays */
    struct pv_overlay wide = {.size = {600, 300, 2}, .spacing = {1, 1, 1}, .percentile = {0, 100}};
    float *v = pv_alloc(600 * 300 * 2 * sizeof *v);
    for (int i = 0; i < 600 * 300 * 2; i++)
        v[i] = (float)(i / 600 % 2);    /* stripes of one voxel along x */
    wide.image = v;
    assert_true(pv_overlay_mosaic(&wide, &l));
    assert_true(l.tile[0].w == 256 && l.tile[0].h == 128);
    double sum = 0, square = 0;
    for (int i = 0; i < 256 * 128; i++) {
        double g = grey(&l, &l.tile[0], i % 256, i / 256);
        sum += g;
        square += (g - 127.5) * (g - 127.5);
    }
    assert_true(fabs(sum / (256 * 128) - 127.5) < 2);       /* half of the stripes are white */
    assert_true(sqrt(square / (256 * 128)) < 50);           /* averaged; picked ones would deviate by 74 */
    pv_layers_free(&l);
    /* one slice: no planes of one pixel */
    struct pv_overlay flat = {.size = {300, 200, 1}, .image = v};
    assert_true(pv_overlay_mosaic(&flat, &l));
    assert_true(l.num_tiles == 1 && l.tile[0].axis == 2 && l.tile[0].slice == 0);
    pv_layers_free(&l);
    assert_true(pv_overlay_strip(&flat, 9, &l));
    assert_int_equal(l.num_tiles, 1);
    pv_layers_free(&l);
    struct pv_overlay voxel = {.size = {1, 1, 1}, .image = v};
    assert_true(pv_overlay_mosaic(&voxel, &l));
    assert_true(l.num_tiles == 1 && l.base.w == 1 && l.base.h == 1);
    pv_layers_free(&l);
    struct pv_overlay none = {.size = {1, 1, 1}};
    UNIT_FAILS(PV_FAULT_INTERNAL, "without voxels", assert_false(pv_overlay_mosaic(&none, &l)));
    UNIT_FAILS(PV_FAULT_INTERNAL, "without voxels", assert_false(pv_overlay_strip(&none, 3, &l)));
    pv_free(v);
}

static void windowing(void **state)
{
    struct pv_overlay o = fresh();
    struct pv_layers l;
    o.ref = o.pred = NULL;
    for (int i = 0; i < N; i++)
        image[i] = (float)(i % 101);
    image[at3(0, 0, 6)] = 1e30f;        /* a few mad voxels do not set the window */
    image[at3(1, 0, 6)] = -1e30f;
    image[at3(2, 0, 6)] = NAN;
    image[at3(3, 0, 6)] = INFINITY;
    o.percentile[0] = 10;
    o.percentile[1] = 90;
    assert_true(pv_overlay_mosaic(&o, &l));
    const struct pv_tile *t = &l.tile[0];
    for (int x = 0; x < X; x++)
        for (int y = 0; y < Y; y++) {
            float v = image[at3(x, y, 6)];
            double want = !isfinite(v) ? 0 : fmin(fmax((v - 10) / 80, 0), 1) * 255;
            /* percentiles of 0..100 are exact to about one voxel value */
            assert_true(fabs(grey(&l, t, x, Y - 1 - y) - want) < 5);
        }
    pv_layers_free(&l);
    for (int i = 0; i < N; i++)
        image[i] = i % 5 > 1 ? (float)(i % 101) : i % 5 ? NAN : INFINITY;      /* do not count */
    assert_true(pv_overlay_mosaic(&o, &l));
    for (int x = 0; x < X; x++)
        for (int y = 0; y < Y; y++) {
            float v = image[at3(x, y, 6)];
            double want = !isfinite(v) ? 0 : fmin(fmax((v - 10) / 80, 0), 1) * 255;
            assert_true(fabs(grey(&l, t, x, Y - 1 - y) - want) < 5);
        }
    pv_layers_free(&l);
    for (int i = 0; i < N; i++)
        image[i] = 7;                   /* constant: black, not a division by zero */
    assert_true(pv_overlay_mosaic(&o, &l));
    assert_int_equal(grey(&l, &l.tile[0], 3, 3), 0);
    pv_layers_free(&l);
    for (int i = 0; i < N; i++)
        image[i] = NAN;
    assert_true(pv_overlay_mosaic(&o, &l));
    assert_int_equal(grey(&l, &l.tile[0], 3, 3), 0);
    pv_layers_free(&l);
}

static const uint8_t *rgba(const struct pv_image *im, int x, int y)
{
    return im->pixels + ((size_t)y * (size_t)im->w + (size_t)x) * 4;
}

/* The outline of a box: everything within two pixels of its inner edge, nothing else. */
static void check_box(const struct pv_layers *l, const struct pv_tile *t, const struct pv_image *im, int x0, int x1,
                      int y0, int y1, int before, int after, uint32_t color)
{
    int f = l->factor, w = t->w * f, h = t->h * f;
    int left = x0 * f, right = (x1 + 1) * f - 1, top = (t->h - 1 - y1) * f, bottom = (t->h - y0) * f - 1;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const uint8_t *p = rgba(im, t->x * f + x, t->y * f + y);
            bool in = x >= left - before && x <= right + after && y >= top - before && y <= bottom + after;
            bool hole = x > left + after && x < right - before && y > top + after && y < bottom - before;
            bool corner = !(x >= left && x <= right) && !(y >= top && y <= bottom);
            if (in && !hole && !corner) {
                assert_int_equal(p[3], 255);
                assert_int_equal((uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2], color);
            } else if (!in || hole) {
                assert_int_equal(p[3], 0);
            }
        }
}

static void outlines(void **state)
{
    struct pv_overlay o = fresh();
    struct pv_layers l;
    box(ref, 1, 5, 14, 4, 11, 3, 9);
    box(pred, 3, 7, 16, 4, 9, 3, 8);
    assert_true(pv_overlay_mosaic(&o, &l));
    assert_true(l.factor > 2);
    check_box(&l, &l.tile[0], &l.ref, 5, 14, 4, 11, 2, 2, PV_REF_COLOR);
    check_box(&l, &l.tile[0], &l.pred, 7, 16, 4, 9, 0, 1, PV_PRED_COLOR);
    check_box(&l, &l.tile[1], &l.ref, 5, 14, 3, 9, 2, 2, PV_REF_COLOR);
    check_box(&l, &l.tile[2], &l.ref, 4, 11, 3, 9, 2, 2, PV_REF_COLOR);
    check_box(&l, &l.tile[2], &l.pred, 4, 9, 3, 8, 0, 1, PV_PRED_COLOR);
    pv_layers_free(&l);
}

/* Two classes side by side have a line between them; what is not annotated has none. */
static void outlines_between(void **state)
{
    static const struct { uint8_t other; bool line; } cases[] = {{2, true}, {1, false}, {255, false}, {0, true}};
    for (size_t i = 0; i < PV_COUNT(cases); i++) {
        struct pv_overlay o = fresh();
        struct pv_layers l;
        box(ref, 1, 3, 9, 3, 12, 2, 9);
        box(ref, cases[i].other, 10, 16, 3, 12, 2, 9);
        o.pred = NULL;
        assert_true(pv_overlay_mosaic(&o, &l));
        const struct pv_tile *t = &l.tile[0];
        int f = l.factor;
        assert_int_equal(rgba(&l.ref, 10 * f - 1, (t->y + 8) * f)[3], cases[i].line ? 255 : 0);
        assert_int_equal(rgba(&l.ref, 3 * f, (t->y + 8) * f)[3], 255);
        assert_int_equal(rgba(&l.ref, 6 * f, (t->y + 8) * f)[3], 0);
        pv_layers_free(&l);
    }
}

static void strips(void **state)
{
    struct pv_overlay o = fresh();
    struct pv_layers l;
    box(ref, 1, 5, 14, 4, 11, 4, 7);
    box(pred, 1, 5, 14, 4, 11, 5, 8);
    for (int i = 0; i < N; i++)
        image[i] = (float)(i % Z);          /* the slice's number */
    o.percentile[1] = 100;
    assert_true(pv_overlay_strip(&o, 32, &l));
    assert_int_equal(l.num_tiles, 7);       /* 3 .. 9 */
    assert_true(l.base.w == 7 * X && l.base.h == Y);
    for (int i = 0; i < 7; i++) {
        const struct pv_tile *t = &l.tile[i];
        assert_true(t->slice == 3 + i && t->axis == 2 && t->x == i * X && t->y == 0);
        assert_int_equal(grey(&l, t, 3, 3), (int)(255.0 * t->slice / (Z - 1) + 0.5));
        int f = l.factor, y = (Y - 1 - 8) * f;      /* the left edge of both boxes */
        assert_int_equal(rgba(&l.ref, t->x * f + 5 * f, y)[3], t->slice >= 4 && t->slice <= 7 ? 255 : 0);
        assert_int_equal(rgba(&l.pred, t->x * f + 5 * f, y)[3], t->slice >= 5 && t->slice <= 8 ? 255 : 0);
    }
    pv_layers_free(&l);
    assert_true(pv_overlay_strip(&o, 3, &l));
    assert_true(l.num_tiles == 3 && l.tile[0].slice == 3 && l.tile[1].slice == 6 && l.tile[2].slice == 9);
    pv_layers_free(&l);
    assert_true(pv_overlay_strip(&o, -4, &l));
    assert_true(l.num_tiles == 1 && l.tile[0].slice == 6);
    pv_layers_free(&l);
    o.ref = o.pred = NULL;
    assert_true(pv_overlay_strip(&o, 100, &l));
    assert_true(l.num_tiles == Z && l.tile[0].slice == 0 && l.tile[Z - 1].slice == Z - 1);
    pv_layers_free(&l);
}

static int count_color(const struct pv_image *im, uint32_t color)
{
    int n = 0;
    for (int i = 0; i < im->w * im->h; i++) {
        const uint8_t *p = im->pixels + 3 * i;
        n += ((uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]) == color;
    }
    return n;
}

static void flat_and_file(void **state)
{
    struct pv_overlay o = fresh();
    struct pv_layers l;
    struct pv_image im;
    box(ref, 1, 5, 14, 4, 11, 3, 9);
    box(pred, 1, 7, 16, 4, 9, 3, 8);
    assert_true(pv_overlay_mosaic(&o, &l));
    assert_true(pv_overlay_flat(&o, &l, &im));
    assert_int_equal(im.channels, 3);
    assert_int_equal(im.w, pv_max(l.base.w * l.factor, 420));
    /* outlines and legend */
    assert_in_range(count_color(&im, PV_REF_COLOR), 1000, 20000);
    assert_in_range(count_color(&im, PV_PRED_COLOR), 500, 20000);
    /* the id stands at the upper left in white: 'L' has a stem and a foot */
    static const int white[][2] = {{10, 12}, {11, 25}, {19, 25}}, dark[][2] = {{14, 12}, {19, 20}};
    for (int i = 0; i < 3; i++)
        assert_memory_equal(im.pixels + (white[i][1] * im.w + white[i][0]) * 3, "\xFF\xFF\xFF", 3);
    for (int i = 0; i < 2; i++)
        assert_memory_not_equal(im.pixels + (dark[i][1] * im.w + dark[i][0]) * 3, "\xFF\xFF\xFF", 3);
    const char *path = unit_path("o.png");
    assert_true(pv_overlay_png(&o, path));
    png_image p = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_file(&p, path));
    assert_true((int)p.width == im.w && (int)p.height == im.h && p.format == PNG_FORMAT_RGB);
    uint8_t *px = pv_alloc(PNG_IMAGE_SIZE(p));
    assert_true(png_image_finish_read(&p, NULL, px, 0, NULL));
    assert_memory_equal(px, im.pixels, PNG_IMAGE_SIZE(p));
    pv_free(px);
    int with = count_color(&im, PV_PRED_COLOR);
    pv_image_free(&im);
    pv_layers_free(&l);
    /* without prediction and name: no trace of its colour, and no harm by a long name */
    o.pred = NULL;
    o.id = NULL;
    assert_true(pv_overlay_mosaic(&o, &l) && pv_overlay_flat(&o, &l, &im));
    assert_int_equal(count_color(&im, PV_PRED_COLOR), 0);
    assert_true(with > 0);
    pv_image_free(&im);
    char name[3000];
    memset(name, 'W', sizeof name);
    name[sizeof name - 1] = '\0';
    o.id = name;
    assert_true(pv_overlay_flat(&o, &l, &im));
    for (int y = 0; y < 36; y++)        /* the legend is free of it */
        for (int x = im.w - 170; x < im.w; x++)
            assert_memory_not_equal(im.pixels + (y * im.w + x) * 3, "\xFF\xFF\xFF", 3);
    pv_image_free(&im);
    pv_layers_free(&l);
    UNIT_FAILS(PV_FAULT_INPUT, "nowhere", assert_false(pv_overlay_png(&o, unit_path("nowhere/o.png"))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(centres),  cmocka_unit_test(planes_lie_right), cmocka_unit_test(spacing_and_size),
        cmocka_unit_test(windowing), cmocka_unit_test(outlines),        cmocka_unit_test(outlines_between),
        cmocka_unit_test(strips),   cmocka_unit_test(flat_and_file),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
