/* SPDX-License-Identifier: Apache-2.0
 * html.h: numbers and order of the results, escaping of hostile texts, hiding of names and folders, parts that are
 * left out. `unit_html --write DIR` writes the reports that html_check.py reads. */
#include "unit.h"

#include <math.h>

#include "base/rng.h"
#include "report/html.h"

/* ---- a report of everything, with texts that want to be markup ---- */

static const char *const hostile[] = {
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "' onload='alert(1)", "&amp;&lt;&#0;&bogus",
    "]]><!-- --><![CDATA[", "</title></style></svg></table>", "${x} %s %n `",
    "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80",
    "<?xml version=\"1.0\"?>", "<!DOCTYPE x>", "a]]>b</pre></script>",
};
enum { HOSTILE = 11, CASES = 7 };
static const char *text_of(size_t i) { return hostile[i % HOSTILE]; }

static const double values[CASES][2] = {{0.9, 3}, {0.5, 20}, {NAN, NAN}, {0.95, 2}, {0.7, 8.5}, {0.8, 4},
                                         {0.85, 3.5}};

enum variant { FULL, ANONYMOUS, NO_IMAGES, MINIMAL, VARIANTS };
static const char *const variant_file[] = {"full.html", "anonymous.html", "noimages.html", "minimal.html"};
static const char *const ids[CASES] = {"smith", "Smith_John", "M\xC3\xBCller", "LA_081", "LA_08", "7",
                                        "<b>O'Hara</b>"};
static const char *const private_ids[] = {"TRAIN_9", "secret"};

struct bundle {
    struct pv_report r;
    struct pv_layers mosaic, strip;
    struct pv_image picture;
    struct pv_report_case cases[CASES];
    struct pv_report_metric metrics[2];
    struct pv_report_row rows[HOSTILE];
    struct pv_series series[10];
    struct pv_plot plots[2];
    struct pv_report_grid grid;
    struct pv_report_bars bars;
    struct pv_report_picture pictures[1];
    struct pv_report_panel panels[2];
};

static void make_layers(struct bundle *b)
{
    enum { S = 12 };
    static float image[S * S * S];
    static uint8_t ref[S * S * S], pred[S * S * S];
    for (int i = 0; i < S * S * S; i++) {
        int x = i / S / S, y = i / S % S, z = i % S;
        image[i] = (float)(x * y + z);
        ref[i] = x > 2 && x < 9 && y > 3 && y < 9 && z > 2 && z < 10;
        pred[i] = x > 3 && x < 9 && y > 2 && y < 9 && z > 2 && z < 9;
    }
    const struct pv_overlay o = {.size = {S, S, S}, .image = image, .ref = ref, .pred = pred};
    assert_true(pv_overlay_mosaic(&o, &b->mosaic) && pv_overlay_strip(&o, 5, &b->strip));
    assert_true(pv_image_make(&b->picture, 9, 7, 3));
}

/* Names of people stand in every kind of text if `b` is to be anonymous. */
static void make(struct bundle *b, enum variant v)
{
    memset(b, 0, sizeof *b);
    if (v == MINIMAL)
        return;
    make_layers(b);
    bool anonymous = v == ANONYMOUS;
    static const double x[] = {1, 2, 3}, y[] = {0.5, NAN, 0.25};
    static const char *const named[] = {
        "Smith_John, SMITH; M\xC3\xBCller", "in /home/smith/data/LA_081_0000.nii.gz", "LA_08 (not LA_08x)",
        "TRAIN_9 and C:\\scans\\secret", "7 of 7"};
    for (size_t i = 0; i < HOSTILE; i++) {
        const char *t = anonymous ? named[i % PV_COUNT(named)] : text_of(i);
        b->rows[i] = (struct pv_report_row){t, anonymous ? named[(i + 1) % PV_COUNT(named)] : text_of(i + 1)};
    }
    for (size_t i = 0; i < 10; i++)
        b->series[i] = (struct pv_series){anonymous ? named[i % 5] : text_of(i), 3, x, y};
    b->plots[0] = (struct pv_plot){.title = b->rows[2].key, .x_label = b->rows[3].key, .y_label = b->rows[4].key,
                                   .series = b->series, .num = 10};
    b->plots[1] = (struct pv_plot){.title = "Plain", .series = b->series, .num = 1, .log_y = true};
    b->metrics[0] = (struct pv_report_metric){anonymous ? "Dice" : text_of(0), "", true, 3};
    b->metrics[1] = (struct pv_report_metric){"95HD", anonymous ? "mm" : text_of(1), false, 2};
    for (size_t i = 0; i < CASES; i++)
        b->cases[i] = (struct pv_report_case){anonymous ? ids[i] : text_of(i), values[i], i % 3 ? &b->mosaic : NULL,
                                              i % 2 ? &b->strip : NULL};
    static const char *head[2], *cells[4];
    head[0] = cells[1] = b->rows[0].key;
    head[1] = cells[0] = cells[3] = b->rows[1].key;
    b->grid = (struct pv_report_grid){b->rows[5].key, 2, 2, head, cells};
    static const double bar[] = {0.5, 2, -1, NAN, INFINITY};
    static const char *labels[5];
    for (size_t i = 0; i < 5; i++)
        labels[i] = b->rows[i].key;
    b->bars = (struct pv_report_bars){b->rows[6].key, b->rows[7].key, 5, labels, bar};
    b->pictures[0] = (struct pv_report_picture){b->rows[8].key, b->rows[9].key, &b->picture};
    b->panels[0] = (struct pv_report_panel){.title = b->rows[0].key, .note = b->rows[1].key, .grids = &b->grid,
        .num_grids = 1, .plots = b->plots, .num_plots = 1, .bars = &b->bars, .num_bars = 1, .pictures = b->pictures,
        .num_pictures = 1, .json = "{\"smith\": [\"/data/secret/TRAIN_9.nii\", 7, \"7\"], \"a\": \"<b>\"}"};
    b->panels[1] = (struct pv_report_panel){0};
    b->r = (struct pv_report){.title = b->rows[0].key, .subtitle = b->rows[1].key, .header = b->rows,
        .num_header = HOSTILE, .metrics = b->metrics, .num_metrics = 2, .cases = b->cases, .num_cases = CASES,
        .cases_note = b->rows[2].key, .plots = b->plots, .num_plots = 2, .panels = b->panels, .num_panels = 2,
        .command = "protovox train --data /home/smith/LA --out \"runs/Smith_John 2\" --list=d/TRAIN_9.txt "
                   "--labeled 7",
        .config = "{\"data\": \"/home/smith/LA\", \"labelled\": [\"TRAIN_9\", \"7\", \"x/LA_081\"], \"n\": 7}",
        .environment = b->rows, .num_environment = 3, .intended_use = b->rows[3].key, .limits = b->rows[4].key,
        .card = b->rows, .num_card = 2, .footer = b->rows[5].key, .anonymous_ids = anonymous,
        .private_ids = private_ids, .num_private_ids = 2, .no_images = v == NO_IMAGES};
}

static void drop(struct bundle *b)
{
    pv_layers_free(&b->mosaic);
    pv_layers_free(&b->strip);
    pv_image_free(&b->picture);
}

static char *page(enum variant v)
{
    struct bundle b;
    struct pv_str s = {0};
    make(&b, v);
    assert_true(pv_report_text(&b.r, &s));
    drop(&b);
    return s.text;
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

/* ---- tests ---- */

static void nothing_gets_through(void **state)
{
    char *full = page(FULL);
    for (size_t i = 0; i < HOSTILE; i++)
        if (strpbrk(hostile[i], "<>\"'&"))
            assert_null(strstr(full, hostile[i]));
    assert_int_equal(count(full, "<script"), 1);
    assert_int_equal(count(full, "<style"), 1);
    assert_int_equal(count(full, "<title>"), count(full, "</title>"));
    assert_null(strstr(full, " onerror=alert(1)>"));
    assert_null(strstr(full, "<!--"));
    assert_null(strstr(full, "http://") == strstr(full, "http://www.w3.org/") ? NULL : full);
    assert_null(strstr(full, "https:"));
    assert_int_equal(count(full, "http://"), count(full, "http://www.w3.org/1999/xhtml")
                                             + count(full, "http://www.w3.org/2000/svg"));
    char *again = page(FULL);
    assert_string_equal(full, again);
    pv_free(again);
    pv_free(full);
}

/* Where `what` stands in the text after `from`; must be there. */
static const char *after(const char *from, const char *what)
{
    const char *p = strstr(from, what);
    if (!p)
        fail_msg("no '%s' behind '%.60s'", what, from);
    return p + strlen(what);
}

static void numbers(void **state)
{
    const double v[][2] = {{0.9, 3}, {0.5, 20}, {NAN, NAN}, {0.95, 2}, {0.7, 9}, {0.8, 4}, {0.85, 4}};
    const char *const names[] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6"};
    struct pv_report_case cases[7];
    for (int i = 0; i < 7; i++)
        cases[i] = (struct pv_report_case){names[i], v[i], NULL, NULL};
    const struct pv_report_metric m[] = {{"Dice", NULL, true, 3}, {"95HD", "voxel", false, 1}};
    struct pv_report r = {.metrics = m, .num_metrics = 2, .cases = cases, .num_cases = 7};
    struct pv_str s = {0};
    assert_true(pv_report_text(&r, &s));
    /* means of six: 4.7 / 6 and 42 / 6; deviations sqrt(0.13333 / 6) and sqrt(232 / 6) */
    const char *p = after(s.text, "<div class=\"tiles\">");
    p = after(p, "<b>0.783 <small>\xC2\xB1 0.149</small></b><span>Dice, mean of 6</span>");
    p = after(p, "<b>7.0 <small>\xC2\xB1 6.2</small></b><span>95HD (voxel), mean of 6</span>");
    p = after(p, "<th scope=\"row\">Dice</th><td class=\"num\">0.783 \xC2\xB1 0.149</td>"
                 "<td class=\"num\">0.825</td>"
                 "<td class=\"num\">\xE2\x80\x93</td><td><a href=\"#case-3\">c2</a></td><td class=\"num\">6</td>"
                 "<td class=\"num\">1</td>");
    p = after(p, "<th scope=\"row\">95HD (voxel)</th><td class=\"num\">7.0 \xC2\xB1 6.2</td>"
                 "<td class=\"num\">4.0</td>");
    /* one dot for each defined value, the worst in orange: the undefined case is one of the five */
    const char *strip = after(p, "<svg"), *end = strstr(strip, "</svg>");
    int dots = 0, orange = 0;
    for (const char *q = strip; (q = strstr(q, "<circle")) && q < end; q++) {
        dots++;
        orange += strstr(q, "var(--s1)") < strstr(q, "</circle>") && strstr(q, "var(--s1)");
    }
    assert_int_equal(dots, 6);
    assert_int_equal(orange, 4);
    /* rows: undefined, then from the worst on; five of them marked */
    static const int order[] = {2, 1, 4, 5, 6, 0, 3};
    p = after(p, "Every case, the worst first");
    for (int i = 0; i < 7; i++) {
        char row[200], dice[16];
        snprintf(dice, sizeof dice, "%.3f", v[order[i]][0]);
        snprintf(row, sizeof row, "<tr id=\"case-%d\"%s><th scope=\"row\">c%d</th><td class=\"num\">%s</td>",
                 order[i] + 1, i < 5 ? " class=\"worst\"" : "", order[i],
                 isnan(v[order[i]][0]) ? "\xE2\x80\x93" : dice);
        p = after(p, row);
    }
    assert_null(strstr(s.text, "id=\"views\""));
    assert_null(strstr(s.text, "id=\"curves\""));
    assert_null(strstr(s.text, "id=\"reproduce\""));
    assert_null(strstr(s.text, "nan"));
    /* lower is better for the first metric: the order turns */
    const struct pv_report_metric turned[] = {{"Loss", NULL, false, 3}, {"95HD", "voxel", false, 1}};
    r.metrics = turned;
    s.len = 0;
    assert_true(pv_report_text(&r, &s));
    p = after(s.text, "Every case, the worst first");
    p = after(p, "<tr id=\"case-3\"");
    p = after(p, "<tr id=\"case-4\"");
    after(p, "<tr id=\"case-1\"");
    /* a single case has no deviation */
    r.num_cases = 1;
    s.len = 0;
    assert_true(pv_report_text(&r, &s));
    after(s.text, "<b>0.900</b><span>Loss, mean of 1</span>");
    assert_int_equal(count(s.text, "class=\"worst\""), 0);
    pv_str_free(&s);
}

static void dots_do_not_overlap(void **state)
{
    enum { MANY = 60 };
    double v[MANY];
    struct pv_report_case cases[MANY];
    struct pv_rng rng = pv_rng_make(11, 1);
    for (int i = 0; i < MANY; i++) {
        v[i] = 0.5 + pv_rng_below(&rng, 500) * 1e-3;
        cases[i] = (struct pv_report_case){"c", &v[i], NULL, NULL};
    }
    const struct pv_report_metric m = {"Dice", NULL, true, 3};
    const struct pv_report r = {.metrics = &m, .num_metrics = 1, .cases = cases, .num_cases = MANY};
    struct pv_str s = {0};
    assert_true(pv_report_text(&r, &s));
    double x[MANY], y[MANY];
    int n = 0;
    for (const char *p = s.text; (p = strstr(p, "<circle")); p++) {
        assert_in_range(n, 0, MANY - 1);
        x[n] = strtod(strstr(p, " cx=\"") + 5, NULL);
        y[n++] = strtod(strstr(p, " cy=\"") + 5, NULL);
    }
    assert_int_equal(n, MANY);
    for (int i = 0; i < n; i++) {
        assert_true(y[i] > 25 && y[i] < 98);
        for (int j = 0; j < i; j++)
            assert_true(hypot(x[i] - x[j], y[i] - y[j]) > 8.8);      /* radius 4.5, a decimal is written */
    }
    /* hundreds of the same value stay in the band */
    pv_str_free(&s);
    struct pv_report_case *same = pv_array(struct pv_report_case, 700);
    for (int i = 0; i < 700; i++)
        same[i] = (struct pv_report_case){"c", &v[0], NULL, NULL};
    const struct pv_report q = {.metrics = &m, .num_metrics = 1, .cases = same, .num_cases = 700};
    assert_true(pv_report_text(&q, &s));
    for (const char *p = s.text; (p = strstr(p, " cy=\"")); p++) {
        double at = strtod(p + 5, NULL);
        assert_true(at > 25 && at < 98);
    }
    pv_str_free(&s);
    pv_free(same);
}

static bool holds_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = text; *p; p++) {
        size_t k = 0;
        while (k < n && p[k] && (p[k] | 32) == (word[k] | 32))
            k++;
        if (k == n)
            return true;
    }
    return false;
}

static void names_are_hidden(void **state)
{
    char *hidden = page(ANONYMOUS);
    static const char *const never[] = {"smith", "john", "M\xC3\xBCller", "LA_081", "O'Hara", "Hara", "TRAIN_9",
                                        "secret", "/home", "scans", "runs/", "d/case"};
    for (size_t i = 0; i < PV_COUNT(never); i++)
        if (holds_word(hidden, never[i]))
            fail_msg("'%s' is still there", never[i]);
    const char *p = after(hidden, "<h1>");
    p = after(p, "case-002, case-001; case-003</h1>");
    p = after(p, "in \xE2\x80\xA6/case-004_0000.nii.gz");
    after(hidden, "case-005 (not LA_08x)");        /* part of a longer word */
    after(hidden, "case-008 and \xE2\x80\xA6/case-009");
    after(hidden, "7 of 7");                        /* short names only where they stand alone */
    after(hidden, "<a href=\"#view-6\">case-006</a>");
    p = after(hidden, "<h3>Command</h3>");
    p = after(p, "protovox train --data \xE2\x80\xA6/LA --out &quot;\xE2\x80\xA6/case-002 2&quot; "
                 "--list=\xE2\x80\xA6/case-008.txt --labeled 7</pre>");
    p = after(p, "\xE2\x80\xA6/LA&quot;");
    p = after(p, "case-008&quot;");
    p = after(p, "case-006&quot;");
    p = after(p, "\xE2\x80\xA6/case-004&quot;");
    after(p, "&quot;n&quot;: 7\n");
    p = after(hidden, "as JSON\">");
    p = after(p, "&quot;case-001&quot;");
    p = after(p, "\xE2\x80\xA6/case-008.nii&quot;");
    after(p, "&lt;b&gt;");
    pv_free(hidden);
    /* what is no JSON is treated as a command, and the fault of the attempt is gone */
    struct pv_report_case one = {.id = "Smith"};
    struct pv_report r = {.cases = &one, .num_cases = 1, .anonymous_ids = true, .config = "data: x/smith.yaml"};
    struct pv_str s = {0};
    assert_true(pv_report_text(&r, &s));
    after(s.text, "data: \xE2\x80\xA6/case-001.yaml");
    assert_int_equal(pv_fault_kind(), PV_FAULT_NONE);
    r.anonymous_ids = false;
    s.len = 0;
    assert_true(pv_report_text(&r, &s));
    after(s.text, "data: x/smith.yaml");
    pv_str_free(&s);
}

static void pictures(void **state)
{
    char *full = page(FULL), *without = page(NO_IMAGES), *minimal = page(MINIMAL);
    /* 4 mosaics (cases 2, 3, 5, 6) and 3 strips (2, 4, 6) of three layers, and the panel's picture */
    assert_int_equal(count(full, "<img "), 3 * (4 + 3) + 1);
    assert_int_equal(count(full, "data:image/png;base64,iVBORw0KGgo"), 3 * (4 + 3) + 1);
    assert_int_equal(count(full, "type=\"range\""), 3);
    assert_int_equal(count(full, "class=\"card view\""), 5);
    assert_int_equal(count(full, "data-z=\"2 4 6 8 10\""), 3);
    assert_int_equal(count(without, "<img "), 0);
    assert_int_equal(count(without, "data:image/png"), 0);
    assert_int_equal(count(without, "#view-"), 0);
    assert_int_equal(count(without, "Pictures are left out"), 2);
    assert_int_equal(count(without, "<svg"), count(full, "<svg"));
    assert_int_equal(count(minimal, "<img "), 0);
    assert_int_equal(count(minimal, "<h2>"), 1);
    after(minimal, "Not a medical device");
    pv_free(full);
    pv_free(without);
    pv_free(minimal);
}

static void writes(void **state)
{
    struct bundle b;
    make(&b, MINIMAL);
    const char *path = unit_path("report.html");
    assert_true(pv_report_write(&b.r, path));
    char *file, *text = page(MINIMAL);
    size_t size;
    assert_true(pv_read_file(path, &file, &size));
    assert_string_equal(file, text);
    pv_free(file);
    pv_free(text);
    UNIT_FAILS(PV_FAULT_INPUT, "nowhere", assert_false(pv_report_write(&b.r, unit_path("nowhere/r.html"))));
    /* a picture that cannot be encoded */
    make(&b, FULL);
    struct pv_image broken = {0, 5, 3, b.picture.pixels};
    b.pictures[0].image = &broken;
    UNIT_FAILS(PV_FAULT_INTERNAL, "0 x 5", assert_false(pv_report_write(&b.r, unit_path("broken.html"))));
    assert_false(pv_file_exists(unit_path("broken.html")));
    drop(&b);
}

static int write_all(const char *dir)
{
    for (int v = 0; v < VARIANTS; v++) {
        struct bundle b;
        make(&b, (enum variant)v);
        char *path = pv_path_join(dir, variant_file[v]);
        if (!pv_report_write(&b.r, path))
            return 1;
        pv_free(path);
        drop(&b);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return write_all(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_gets_through), cmocka_unit_test(numbers),  cmocka_unit_test(dots_do_not_overlap),
        cmocka_unit_test(names_are_hidden),     cmocka_unit_test(pictures), cmocka_unit_test(writes),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
