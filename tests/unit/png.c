/* SPDX-License-Identifier: Apache-2.0
 * text.h, png.h and canvas.h of report: numbers, escaping, base64; PNG decoded again by libpng; lines, text
 * and blending against what they must cover. */
#include "unit.h"

#include <locale.h>
#include <math.h>
#include <png.h>

#include "base/rng.h"
#include "report/canvas.h"
#include "report/text.h"

/* ---- text ---- */

static void check_fixed(double v, int decimals, const char *want)
{
    char t[32];
    pv_text_fixed(t, v, decimals);
    assert_string_equal(t, want);
}

static void check_short(double v, int digits, const char *want)
{
    char t[32];
    pv_text_short(t, v, digits);
    assert_string_equal(t, want);
}

static void numbers(void **state)
{
    static const char *const comma[] = {"C", "de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8"};
    for (size_t i = 0; i < PV_COUNT(comma); i++) {
        if (!setlocale(LC_ALL, comma[i]))
            continue;
        check_fixed(1.005, 1, "1.0");
        check_fixed(0.25, 3, "0.250");
        check_fixed(-0.004, 2, "0.00");
        check_fixed(-0.006, 2, "-0.01");
        check_fixed(12345678, 0, "12345678");
        check_fixed(1, -5, "1");
        check_fixed(-1e300, 3, "-1e300");
        check_fixed(NAN, 3, "n/a");
        check_fixed(-INFINITY, 3, "-inf");
        check_short(0.1 + 0.2, 3, "0.3");
        check_short(1.5, 3, "1.5");
        check_short(-0.0, 3, "0");
        check_short(6000, 2, "6000");
        check_short(1e-5, 3, "1e-5");
        check_short(1.99e-15, 3, "1.99e-15");
        check_short(1e100, 3, "1e100");
        check_short(0.0123456, 3, "0.0123");
        check_short(INFINITY, 3, "inf");
    }
    setlocale(LC_ALL, "C");
}

static void utf8(void **state)
{
    static const struct { const char *text; uint32_t want[6]; } cases[] = {
        {"a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", {'a', 0xE9, 0x20AC, 0x1F600}},
        {"\xC3", {0xFFFD}},
        {"\xC3(", {0xFFFD, '('}},
        {"\xC0\x80", {0xFFFD, 0xFFFD}},
        {"\xE0\x80\xAF", {0xFFFD, 0xFFFD, 0xFFFD}},
        {"\xED\xA0\x80", {0xFFFD, 0xFFFD, 0xFFFD}},
        {"\xF4\x8F\xBF\xBF\xF4\x90\x80\x80", {0x10FFFF, 0xFFFD, 0xFFFD, 0xFFFD, 0xFFFD}},
        {"\xF0\x8F\xBF\xBF", {0xFFFD, 0xFFFD, 0xFFFD, 0xFFFD}},
        {"\xFE\x80", {0xFFFD, 0xFFFD}},
    };
    for (size_t i = 0; i < PV_COUNT(cases); i++) {
        const char *p = cases[i].text;
        for (int k = 0; cases[i].want[k]; k++)
            assert_int_equal(pv_utf8_next(&p), cases[i].want[k]);
        assert_int_equal(pv_utf8_next(&p), 0);
        assert_ptr_equal(p, cases[i].text + strlen(cases[i].text));
    }
}

static void escaping(void **state)
{
    struct pv_str s = {0};
    pv_str_escape(&s, "<a b=\"c\">&'\t\n\x01\x1B\x7F\xC2\x85\xEF\xBF\xBE\xEF\xB7\x90 \xC3\xA9\xFF</a>");
    assert_string_equal(s.text, "&lt;a b=&quot;c&quot;&gt;&amp;&#39;\t\n\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                                "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xC3\xA9\xEF\xBF\xBD&lt;/a&gt;");
    s.len = 0;
    pv_str_escape(&s, NULL);
    assert_int_equal(s.len, 0);
    /* whatever the bytes, the result is UTF-8 without markup */
    struct pv_rng r = pv_rng_make(3, 1);
    for (int i = 0; i < 2000; i++) {
        char in[20];
        for (size_t k = 0; k + 1 < sizeof in; k++)
            in[k] = (char)(pv_rng_below(&r, 255) + 1);
        in[sizeof in - 1] = '\0';
        s.len = 0;
        pv_str_escape(&s, in);
        assert_null(strpbrk(s.text, "<>\"'"));
        for (const char *p = s.text, *q; *p; p = q) {
            q = p;
            uint32_t c = pv_utf8_next(&q);
            assert_true(c != 0xFFFD || q == p + 3);
            assert_true(c >= 0x20 || c == '\t' || c == '\n');
        }
    }
    pv_str_free(&s);
}

static void base64(void **state)
{
    static const char *const known[][2] = {     /* RFC 4648, section 10 */
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < PV_COUNT(known); i++) {
        struct pv_str s = {0};
        pv_str_base64(&s, known[i][0], strlen(known[i][0]));
        assert_string_equal(s.text, known[i][1]);
        pv_str_free(&s);
    }
    /* every value of a digit, over the length of the inner buffer; decoded by a search */
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct pv_rng r = pv_rng_make(4, 1);
    enum { N = 10001 };
    uint8_t *data = pv_alloc(N);
    for (int i = 0; i < N; i++)
        data[i] = (uint8_t)pv_rng_u32(&r);
    struct pv_str s = {0};
    pv_str_base64(&s, data, N);
    assert_int_equal(s.len, (N + 2) / 3 * 4);
    assert_string_equal(s.text + s.len - 1, "=");
    for (int i = 0; i < N; i++) {
        int bit = i * 8, v = 0;
        for (int k = 0; k < 8; k++, bit++) {
            int d = (int)(strchr(digit, s.text[bit / 6]) - digit);
            v = v << 1 | (d >> (5 - bit % 6) & 1);
        }
        assert_int_equal(v, data[i]);
    }
    pv_str_free(&s);
    pv_free(data);
}

/* ---- PNG ---- */

static void decode(const void *data, size_t size, const struct pv_image *want)
{
    png_image p = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_memory(&p, data, size));
    assert_int_equal(p.width, want->w);
    assert_int_equal(p.height, want->h);
    assert_int_equal(p.format, want->channels == 1 ? PNG_FORMAT_GRAY : want->channels == 3 ? PNG_FORMAT_RGB
                                                                                         : PNG_FORMAT_RGBA);
    size_t bytes = PNG_IMAGE_SIZE(p);
    uint8_t *got = pv_alloc(bytes);
    assert_true(png_image_finish_read(&p, NULL, got, 0, NULL));
    assert_int_equal(bytes, (size_t)want->w * (size_t)want->h * (size_t)want->channels);
    assert_memory_equal(got, want->pixels, bytes);
    pv_free(got);
}

static void png_round_trip(void **state)
{
    static const int sizes[][2] = {{1, 1}, {1, 300}, {257, 1}, {37, 23}, {640, 3}};
    struct pv_rng r = pv_rng_make(5, 1);
    for (size_t i = 0; i < PV_COUNT(sizes); i++) {
        for (int channels = 1; channels <= 4; channels += channels == 1 ? 2 : 1) {
            struct pv_image im;
            assert_true(pv_image_make(&im, sizes[i][0], sizes[i][1], channels));
            size_t n = (size_t)im.w * (size_t)im.h * (size_t)channels;
            for (size_t k = 0; k < n; k++) {
                assert_int_equal(im.pixels[k], 0);
                im.pixels[k] = (uint8_t)(k % 7 ? pv_rng_u32(&r) : k);
            }
            struct pv_str bytes = {0};
            pv_str_add(&bytes, "x");        /* is appended to */
            assert_true(pv_png_encode(&im, &bytes));
            decode(bytes.text + 1, bytes.len - 1, &im);
            const char *path = unit_path("a.png");
            char *file;
            size_t size;
            assert_true(pv_png_write(path, &im));
            assert_true(pv_read_file(path, &file, &size));
            assert_int_equal(size, bytes.len - 1);
            assert_memory_equal(file, bytes.text + 1, size);
            pv_free(file);
            pv_str_free(&bytes);
            pv_image_free(&im);
            assert_null(im.pixels);
            pv_image_free(&im);
        }
    }
}

static void png_mistakes(void **state)
{
    struct pv_image im;
    UNIT_FAILS(PV_FAULT_INPUT, "0 x 5", assert_false(pv_image_make(&im, 0, 5, 1)));
    UNIT_FAILS(PV_FAULT_INPUT, "40000", assert_false(pv_image_make(&im, 5, 40000, 1)));
    UNIT_FAILS(PV_FAULT_INTERNAL, "2 channels", assert_false(pv_image_make(&im, 5, 5, 2)));
    assert_true(pv_image_make(&im, 2, 2, 3));
    UNIT_FAILS(PV_FAULT_INPUT, "nowhere", assert_false(pv_png_write(unit_path("nowhere/a.png"), &im)));
    struct pv_str bytes = {0};
    struct pv_image wrong = {0, 2, 3, im.pixels};
    UNIT_FAILS(PV_FAULT_INTERNAL, "0 x 2", assert_false(pv_png_encode(&wrong, &bytes)));
    pv_str_free(&bytes);
    pv_image_free(&im);
}

/* ---- canvas ---- */

static const uint8_t *at(const struct pv_image *im, int x, int y)
{
    assert_true(x >= 0 && x < im->w && y >= 0 && y < im->h);
    return im->pixels + ((size_t)y * (size_t)im->w + (size_t)x) * (size_t)im->channels;
}

static const struct pv_color white = {255, 255, 255, 255}, black = {0, 0, 0, 255};

static void rectangles(void **state)
{
    static const int rects[][4] = {{2, 3, 4, 2}, {-3, -2, 6, 5}, {8, 6, 100, 100}, {-9, 0, 5, 5}, {3, 3, 0, 4}};
    for (size_t i = 0; i < PV_COUNT(rects); i++) {
        const int *q = rects[i];
        struct pv_image im;
        assert_true(pv_image_make(&im, 10, 8, 3));
        pv_canvas_fill(&im, white);
        pv_canvas_rect(&im, q[0], q[1], q[2], q[3], PV_RGB(0x102030));
        for (int y = 0; y < im.h; y++)
            for (int x = 0; x < im.w; x++) {
                bool in = x >= q[0] && x < q[0] + q[2] && y >= q[1] && y < q[1] + q[3];
                assert_memory_equal(at(&im, x, y), in ? "\x10\x20\x30" : "\xFF\xFF\xFF", 3);
            }
        pv_image_free(&im);
    }
}

static void blending(void **state)
{
    struct pv_image im;
    assert_true(pv_image_make(&im, 2, 1, 3));
    pv_canvas_fill(&im, white);
    pv_canvas_rect(&im, 0, 0, 1, 1, (struct pv_color){255, 0, 51, 128});
    assert_in_range(at(&im, 0, 0)[0], 254, 255);
    assert_in_range(at(&im, 0, 0)[1], 126, 128);
    assert_in_range(at(&im, 0, 0)[2], 152, 154);
    pv_image_free(&im);
    assert_true(pv_image_make(&im, 2, 1, 1));
    pv_canvas_rect(&im, 0, 0, 1, 1, (struct pv_color){0, 200, 0, 255});
    assert_int_equal(at(&im, 0, 0)[0], 200);
    pv_image_free(&im);
    assert_true(pv_image_make(&im, 2, 1, 4));
    pv_canvas_rect(&im, 0, 0, 1, 1, (struct pv_color){200, 100, 0, 128});      /* on nothing: its own colour */
    assert_memory_equal(at(&im, 0, 0), "\xC8\x64\x00\x80", 4);
    assert_memory_equal(at(&im, 1, 0), "\0\0\0\0", 4);
    pv_canvas_rect(&im, 0, 0, 1, 1, (struct pv_color){200, 100, 0, 128});
    assert_in_range(at(&im, 0, 0)[3], 190, 192);                               /* 1 - (1 - a)^2 */
    struct pv_image ground;
    assert_true(pv_image_make(&ground, 3, 1, 3));
    pv_canvas_over(&ground, 1, 0, &im);
    pv_canvas_over(&ground, -5, 0, &im);
    assert_memory_equal(at(&ground, 0, 0), "\0\0\0", 3);
    assert_memory_equal(at(&ground, 2, 0), "\0\0\0", 3);
    assert_in_range(at(&ground, 1, 0)[0], 148, 151);                           /* 200 * 191 / 255 */
    pv_image_free(&ground);
    pv_image_free(&im);
}

/* Sum of what a drawing covers, in pixels. */
static double covered(const struct pv_image *im)
{
    double sum = 0;
    for (int i = 0; i < im->w * im->h; i++)
        sum += (255 - im->pixels[i * 3]) / 255.0;
    return sum;
}

static void lines(void **state)
{
    struct pv_image im;
    assert_true(pv_image_make(&im, 60, 40, 3));
    pv_canvas_fill(&im, white);
    pv_canvas_line(&im, 10.5, 20.5, 49.5, 20.5, 1, black);
    for (int y = 0; y < im.h; y++)
        for (int x = 0; x < im.w; x++)
            assert_int_equal(at(&im, x, y)[0], y == 20 && x >= 10 && x <= 49 ? 0 : 255);
    /* area of a slanted stroke with round ends; edges of one pixel smooth it within 4 % */
    static const double ends[][4] = {{10, 5, 50, 30}, {12, 34, 20, 4}, {50, 20, 11, 22}, {30, 5, 30, 33}};
    for (size_t i = 0; i < PV_COUNT(ends); i++)
        for (int width = 2; width <= 5; width++) {
            const double *e = ends[i];
            pv_canvas_fill(&im, white);
            pv_canvas_line(&im, e[0], e[1], e[2], e[3], width, black);
            double area = hypot(e[2] - e[0], e[3] - e[1]) * width + 3.14159265 / 4 * width * width;
            assert_true(fabs(covered(&im) / area - 1) < 0.04);
        }
    /* a gap on the way; the lone point is a dot; a crossing is not darker than the line */
    const double x[] = {5, 20, NAN, 40, 55, NAN, 30, NAN, 5, 20}, y[] = {10, 10, 10, 10, 10, 10, 30, 0, 5, 15};
    pv_canvas_fill(&im, white);
    pv_canvas_polyline(&im, x, y, 10, 3, (struct pv_color){0, 0, 0, 100});
    assert_int_equal(at(&im, 30, 10)[0], 255);
    assert_int_equal(at(&im, 15, 10)[0], 155);
    assert_int_equal(at(&im, 12, 10)[0], 155);       /* the crossing */
    assert_int_equal(at(&im, 45, 10)[0], 155);
    assert_int_equal(at(&im, 30, 30)[0], 155);
    assert_int_equal(at(&im, 30, 35)[0], 255);
    /* far outside, not finite, empty: nothing happens */
    pv_canvas_fill(&im, white);
    pv_canvas_line(&im, -1e300, 5, 1e300, 1e5, 2, black);
    pv_canvas_line(&im, -INFINITY, 5, INFINITY, 6, 2, black);
    pv_canvas_line(&im, 30, -1e300, 30, 1e300, 2, black);
    pv_canvas_line(&im, 30, 20, 30, NAN, 0, black);
    pv_canvas_line(&im, 1e5, -1e5, 2e5, 9e5, 20, black);
    pv_canvas_polyline(&im, NULL, NULL, 0, 2, black);
    pv_canvas_dot(&im, -50, 700, 9, black);
    assert_true(covered(&im) == 0);
    pv_canvas_line(&im, -90000, 20.5, 90000, 20.5, 1, black);     /* crosses the whole image */
    assert_true(covered(&im) == 60);
    pv_image_free(&im);
}

static void letters(void **state)
{
    for (int a = 0; a < 95; a++) {
        for (int b = 0; b < a; b++)
            assert_memory_not_equal(pv_font[a], pv_font[b], sizeof pv_font[a]);
        bool descends = strchr("gjpqy,;_", ' ' + a) != NULL;
        for (int v = 0; v < PV_FONT_H + PV_FONT_DROP; v++) {
            assert_int_equal(pv_font[a][v] & ~31, 0);
            assert_true(v < PV_FONT_H || descends || pv_font[a][v] == 0);
        }
    }
    assert_int_equal(pv_canvas_text_width(1, ""), 0);
    assert_int_equal(pv_canvas_text_width(1, "x"), 5);
    assert_int_equal(pv_canvas_text_width(3, "ab\xC3\xA9"), 51);
    struct pv_image im, want;
    assert_true(pv_image_make(&im, 64, 20, 3) && pv_image_make(&want, 64, 20, 3));
    pv_canvas_text(&im, 7, 1, 2, PV_LEFT, white, "Ag\xC3\xA9");
    static const char shown[] = "Ag?";
    for (int i = 0; i < 3; i++)
        for (int v = 0; v < 18; v++)
            for (int u = 0; u < 10; u++)
                if (pv_font[shown[i] - 32][v / 2] >> (4 - u / 2) & 1)
                    pv_canvas_rect(&want, 7 + 12 * i + u, 1 + v, 1, 1, white);
    assert_memory_equal(im.pixels, want.pixels, 64 * 20 * 3);
    /* the same text right-aligned and centred, and cut at every edge */
    pv_canvas_fill(&im, black);
    pv_canvas_text(&im, 7 + 34, 1, 2, PV_RIGHT, white, "Ag\xC3\xA9");
    assert_memory_equal(im.pixels, want.pixels, 64 * 20 * 3);
    pv_canvas_fill(&im, black);
    pv_canvas_text(&im, 7 + 17, 1, 2, PV_CENTRE, white, "Ag\xC3\xA9");
    assert_memory_equal(im.pixels, want.pixels, 64 * 20 * 3);
    static const int edge[][2] = {{-9, 1}, {60, 1}, {7, -10}, {7, 15}, {-500, 1}, {500, 1}};
    for (size_t i = 0; i < PV_COUNT(edge); i++) {
        pv_canvas_fill(&im, black);
        pv_canvas_text(&im, edge[i][0], edge[i][1], 2, PV_LEFT, white, "Ag\xC3\xA9");
        for (int y = 0; y < 20; y++)
            for (int x = 0; x < 64; x++) {
                int u = x - edge[i][0] + 7, v = y - edge[i][1] + 1;
                bool in = u >= 0 && u < 64 && v >= 0 && v < 20;
                assert_int_equal(at(&im, x, y)[0], in ? at(&want, u, v)[0] : 0);
            }
    }
    pv_image_free(&im);
    pv_image_free(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),        cmocka_unit_test(utf8),         cmocka_unit_test(escaping),
        cmocka_unit_test(base64),         cmocka_unit_test(png_round_trip), cmocka_unit_test(png_mistakes),
        cmocka_unit_test(rectangles),     cmocka_unit_test(blending),     cmocka_unit_test(lines),
        cmocka_unit_test(letters),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
