/* SPDX-License-Identifier: Apache-2.0
 * pictures.h: what is written comes back, the worst cases stay, damaged files are refused. */
#include "unit.h"

#include <math.h>

#include "base/json.h"
#include "base/safetensors.h"
#include "report/pictures.h"

enum { X = 10, Y = 12, Z = 8 };

static bool add(struct pv_pictures *p, const char *id, double score, bool with_ref)
{
    static float image[X * Y * Z];
    static uint8_t ref[X * Y * Z], pred[X * Y * Z];
    for (int i = 0; i < X * Y * Z; i++) {
        int x = i / Y / Z, y = i / Z % Y, z = i % Z;
        image[i] = (float)(x * y - z);
        ref[i] = x > 2 && x < 8 && y > 3 && y < 9 && z > 1 && z < 6;
        pred[i] = x > 3 && x < 8 && y > 2 && y < 9 && z > 1 && z < 7;
    }
    const struct pv_overlay o = {.id = id, .size = {X, Y, Z}, .image = image, .ref = with_ref ? ref : NULL,
                                 .pred = pred};
    return pv_pictures_add(p, &o, score);
}

static void same_image(const struct pv_image *a, const struct pv_image *b)
{
    assert_true(a->w == b->w && a->h == b->h && a->png.len == b->png.len && !a->pixels && !b->pixels);
    if (a->png.len)
        assert_memory_equal(a->png.text, b->png.text, a->png.len);
}

static void same_layers(const struct pv_layers *a, const struct pv_layers *b)
{
    same_image(&a->base, &b->base);
    same_image(&a->ref, &b->ref);
    same_image(&a->pred, &b->pred);
    assert_true(a->factor == b->factor && a->num_tiles == b->num_tiles && a->num_tiles > 0);
    assert_memory_equal(a->tile, b->tile, sizeof *a->tile * (size_t)a->num_tiles);
}

static void come_back(void **state)
{
    struct pv_pictures p = {0}, q;
    assert_true(add(&p, "one", 0.5, true) && add(&p, "\xC3\xA9 \"two\"", NAN, false));
    const char *path = unit_path("pictures.safetensors");
    assert_true(pv_pictures_write(&p, path) && pv_pictures_read(path, &q));
    assert_int_equal(q.num, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(p.cases[i].id, q.cases[i].id);
        same_layers(&p.cases[i].mosaic, &q.cases[i].mosaic);
        same_layers(&p.cases[i].strip, &q.cases[i].strip);
    }
    assert_true(q.cases[0].score == 0.5 && isnan(q.cases[1].score));
    assert_true(pv_image_there(&q.cases[0].mosaic.ref) && !pv_image_there(&q.cases[1].mosaic.ref));
    /* planes across z, y, x; slices from one below the objects (2 to 6) to one above */
    assert_int_equal(q.cases[0].mosaic.num_tiles, 3);
    assert_int_equal(q.cases[0].strip.num_tiles, 7);
    assert_int_equal(q.cases[0].strip.tile[0].slice, 1);
    assert_ptr_equal(pv_pictures_find(&q, "\xC3\xA9 \"two\""), &q.cases[1]);
    assert_null(pv_pictures_find(&q, "three"));
    pv_pictures_free(&p);
    pv_pictures_free(&q);
    assert_true(pv_pictures_write(&p, path) && pv_pictures_read(path, &q));     /* none at all */
    assert_int_equal(q.num, 0);
}

static void the_worst_stay(void **state)
{
    struct pv_pictures p = {.most = 3}, q;
    static const double score[] = {0.9, 0.2, NAN, 0.7, 0.1, 0.95, 0.8};
    static const char *const id[] = {"a", "b", "c", "d", "e", "f", "g"};
    for (int i = 0; i < 7; i++)
        assert_true(add(&p, id[i], score[i], true));
    assert_true(p.num == 3 && p.dropped == 4);
    assert_true(pv_pictures_find(&p, "b") && pv_pictures_find(&p, "c") && pv_pictures_find(&p, "e"));
    assert_true(pv_pictures_write(&p, unit_path("worst")) && pv_pictures_read(unit_path("worst"), &q));
    assert_int_equal(q.dropped, 4);
    pv_pictures_free(&p);
    pv_pictures_free(&q);
}

/* The file with its metadata changed by `edit` and one tensor left out. */
static void rewrite(const char *from, const char *to, void (*edit)(pv_json *mosaic), const char *without)
{
    pv_st_file *f = pv_st_open(from);
    assert_non_null(f);
    pv_json *list = pv_json_parse(pv_st_meta(f, "pictures"), "list");
    if (edit)
        edit(pv_json_get(pv_json_at(list, 0), "mosaic"));
    pv_st_writer *w = pv_st_writer_new();
    char *text = pv_json_text(list, false), *data[32];
    pv_st_meta_set(w, "format", pv_st_meta(f, "format"));
    pv_st_meta_set(w, "pictures", text);
    size_t n = pv_st_count(f);
    assert_in_range(n, 1, 32);
    for (size_t i = 0; i < n; i++) {
        const struct pv_st_tensor *t = pv_st_at(f, i);
        data[i] = pv_alloc(t->bytes);
        assert_true(pv_st_read_raw(f, t, data[i]));
        if (!without || strcmp(t->name, without) != 0)
            pv_st_put(w, t->name, t->type, t->ndim, t->shape, data[i]);
    }
    assert_true(pv_st_write(w, to));
    pv_st_writer_free(&w);
    for (size_t i = 0; i < n; i++)
        pv_free(data[i]);
    pv_free(text);
    pv_json_free(list);
    pv_st_close(&f);
}

static void wider(pv_json *m) { pv_json_set_num(m, "width", pv_json_num(m, "width", 0) + 1); }
static void no_factor(pv_json *m) { pv_json_set_num(m, "factor", 0); }
static void no_tiles(pv_json *m) { pv_json_set(m, "tiles", pv_json_array()); }
static void bad_axis(pv_json *m)
{
    pv_json *t = pv_json_at(pv_json_get(m, "tiles"), 0), *copy = pv_json_array();
    for (size_t k = 0; k < 6; k++)
        pv_json_add_num(copy, k == 4 ? 3 : pv_json_number_value(pv_json_at(t, k)));
    pv_json *tiles = pv_json_array();
    pv_json_add(tiles, copy);
    pv_json_set(m, "tiles", tiles);
}
static void many_tiles(pv_json *m)
{
    pv_json *t = pv_json_get(m, "tiles");
    while (pv_json_count(t) <= PV_MOST_TILES)
        pv_json_add(t, pv_json_copy(pv_json_at(t, 0)));
}

static void damaged(void **state)
{
    struct pv_pictures p = {0}, q;
    assert_true(add(&p, "one", 0.5, true));
    const char *good = unit_path("good"), *bad = unit_path("bad");
    assert_true(pv_pictures_write(&p, good));
    rewrite(good, bad, NULL, NULL);
    assert_true(pv_pictures_read(bad, &q));
    pv_pictures_free(&q);
    rewrite(good, bad, NULL, "0.strip.base");
    UNIT_FAILS(PV_FAULT_INPUT, "0.strip.base is missing", assert_false(pv_pictures_read(bad, &q)));
    rewrite(good, bad, wider, NULL);
    UNIT_FAILS(PV_FAULT_INPUT, "is not a PNG of", assert_false(pv_pictures_read(bad, &q)));
    static void (*const edits[])(pv_json *) = {no_factor, no_tiles, bad_axis, many_tiles};
    for (size_t i = 0; i < PV_COUNT(edits); i++) {
        rewrite(good, bad, edits[i], NULL);
        UNIT_FAILS(PV_FAULT_INPUT, "makes no sense", assert_false(pv_pictures_read(bad, &q)));
    }
    assert_true(q.num == 0 && !q.cases);
    /* something else in the same format */
    pv_st_writer *w = pv_st_writer_new();
    assert_true(pv_st_write(w, bad));
    pv_st_writer_free(&w);
    UNIT_FAILS(PV_FAULT_INPUT, "holds no pictures", assert_false(pv_pictures_read(bad, &q)));
    UNIT_FAILS(PV_FAULT_INPUT, "nothing", assert_false(pv_pictures_read(unit_path("nothing"), &q)));
    UNIT_FAILS(PV_FAULT_INPUT, "nowhere", assert_false(pv_pictures_write(&p, unit_path("nowhere/p"))));
    pv_pictures_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(come_back),
        cmocka_unit_test(the_worst_stay),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
