/* SPDX-License-Identifier: Apache-2.0
 * axis.h, curves.h and runlog.h: ticks, points of the SVG against the data, thinning and means, drawing, and
 * metrics.csv whole, cut, resumed and damaged. */
#include "unit.h"

#include <math.h>
#include <png.h>

#include "base/rng.h"
#include "report/axis.h"
#include "report/runlog.h"
#include "report/text.h"

/* ---- axes ---- */

/* A label as a number: "2.5k", "-3e-5", "10M". */
static double label_value(const char *label)
{
    char *end;
    double v = strtod(label, &end);
    static const char letters[] = "kMGT";
    const char *unit = *end ? strchr(letters, *end) : NULL;
    if (unit) {
        v *= pow(1000, (double)(unit - letters + 1));
        end++;
    }
    assert_string_equal(end, "");
    return v;
}

static void check_axis(double lo, double hi, unsigned flags, int most)
{
    struct pv_axis a;
    pv_axis_make(&a, lo, hi, flags, most);
    assert_true(isfinite(a.lo) && isfinite(a.hi) && a.lo < a.hi);
    assert_in_range(a.num, flags & PV_AXIS_EXTEND ? 2 : 0, PV_AXIS_TICKS);
    double step = (a.hi - a.lo) / 10;
    for (int i = 0; i < a.num; i++) {
        assert_true(a.tick[i] >= a.lo && a.tick[i] <= a.hi);
        assert_true(i == 0 || a.tick[i] > a.tick[i - 1]);
        assert_true(i == 0 || strcmp(a.label[i], a.label[i - 1]) != 0);
        double p = pv_axis_at(&a, a.tick[i]);
        assert_true(p >= -1e-12 && p <= 1 + 1e-12);
        if (i > 0)
            step = a.tick[i] - a.tick[i - 1];
        if (flags & PV_AXIS_WHOLE)
            assert_true(a.tick[i] == floor(a.tick[i]));
        /* read aloud, a label is its tick */
        assert_true(fabs(label_value(a.label[i]) - a.tick[i]) <= 1e-3 * fabs(step) + 1e-9 * fabs(a.tick[i]));
    }
    assert_true(fabs(pv_axis_at(&a, a.lo)) < 1e-12 && fabs(pv_axis_at(&a, a.hi) - 1) < 1e-12);
}

static void axis_known(void **state)
{
    struct pv_axis a;
    pv_axis_make(&a, 0.03, 0.97, PV_AXIS_EXTEND, 5);
    assert_int_equal(a.num, 6);
    for (int i = 0; i < 6; i++)
        assert_true(fabs(a.tick[i] - 0.2 * i) < 1e-12);
    assert_string_equal(a.label[0], "0");
    assert_string_equal(a.label[1], "0.2");
    assert_string_equal(a.label[5], "1.0");
    pv_axis_make(&a, 0, 29500, PV_AXIS_WHOLE, 6);
    assert_string_equal(a.label[1], "5k");
    assert_true(a.hi == 29500);
    pv_axis_make(&a, 2e-5, 0.01, PV_AXIS_LOG | PV_AXIS_EXTEND, 5);
    assert_true(a.log);
    assert_string_equal(a.label[a.num - 1], "0.01");
    assert_string_equal(a.label[0], "0.0001");          /* 2e-5, where the scale begins, is no power of ten */
    pv_axis_make(&a, 0.02, 0.9, PV_AXIS_LOG | PV_AXIS_EXTEND, 5);
    assert_int_equal(a.num, 6);                         /* 0.02 0.05 0.1 0.2 0.5 1 */
    assert_true(fabs(pv_axis_at(&a, sqrt(0.02)) - 0.5) < 1e-12);
    assert_true(isnan(pv_axis_at(&a, 0)) && isnan(pv_axis_at(&a, -1)));
    pv_axis_make(&a, 0, 5, PV_AXIS_LOG, 5);
    assert_false(a.log);
    pv_axis_make(&a, 3, 4, PV_AXIS_WHOLE, 6);
    assert_int_equal(a.num, 2);
    pv_axis_make(&a, 0.0000102, 0.0000117, 0, 5);
    assert_string_equal(a.label[0], "1.05e-5");
}

static void axis_any(void **state)
{
    static const double odd[] = {0,     -0.0, 1,    -1,   1e300, -1e300, 1e308,  -1e308, 1e-308, 5e-324, NAN,
                                 INFINITY, -INFINITY, 1e-3, 999.9999, 1e15,   1e16,   0.1,    1 + 1e-12};
    for (size_t i = 0; i < PV_COUNT(odd); i++)
        for (size_t j = 0; j < PV_COUNT(odd); j++)
            for (unsigned f = 0; f < 4; f++)
                check_axis(odd[i], odd[j], f, 1 + (int)((i + j) % 10));
    struct pv_rng r = pv_rng_make(7, 1);
    for (int i = 0; i < 20000; i++) {
        double lo = (pv_rng_below(&r, 2000001) - 1e6) * pow(10, (double)pv_rng_below(&r, 30) - 20);
        double span = (pv_rng_below(&r, 1000000) + 1) * pow(10, (double)pv_rng_below(&r, 30) - 20);
        if (span < fabs(lo) * 1e-8)
            span = fabs(lo) * 1e-8;
        check_axis(lo, lo + span, pv_rng_below(&r, 4), 1 + (int)pv_rng_below(&r, 10));
        check_axis(floor(fabs(lo)), floor(fabs(lo) + span), PV_AXIS_WHOLE, 1 + (int)pv_rng_below(&r, 10));
    }
}

/* ---- SVG ---- */

struct points { double x[8192], y[8192]; int num, strokes; };

/* The points of the `which`-th line of a series (the legend's and the grid's have a V or H or come first). */
static bool path_points(const char *svg, int which, struct points *out)
{
    const char *p = svg;
    for (int k = 0;; p++) {
        p = strstr(p, "stroke-linejoin=\"round\" d=\"");
        if (!p)
            return false;
        if (k++ == which)
            break;
    }
    p = strstr(p, " d=\"") + 4;
    out->num = out->strokes = 0;
    while (*p != '"') {
        out->strokes += *p == 'M';
        assert_true(*p == 'M' || *p == 'L');
        char *end;
        assert_in_range(out->num, 0, 8191);
        out->x[out->num] = strtod(p + 1, &end);
        out->y[out->num++] = strtod(end, &end);
        p = end;
    }
    return true;
}

/* Ticks tell where values stand: reads "<text x y ...>label" pairs of the y scale. */
static double y_of(const char *svg, const char *label)
{
    char want[64];
    snprintf(want, sizeof want, ">%s</text>", label);
    const char *p = strstr(svg, want);
    assert_non_null(p);
    while (strncmp(p, "<text ", 6) != 0)
        p--;
    return strtod(strstr(p, " y=\"") + 4, NULL) - 4;
}

static void svg_points(void **state)
{
    const double x[] = {0, 1, 2, 3, 4, 5, 10}, y[] = {0, 0.5, 1, NAN, 0.25, INFINITY, 0.75};
    const struct pv_series s = {"a<b>&\"c'", 7, x, y};
    const struct pv_plot p = {.title = "T<i>", .x_label = "it & er", .y_label = "<y>", .series = &s, .num = 1};
    struct pv_str svg = {0};
    pv_curves_svg(&svg, &p);
    static struct points q;
    assert_true(path_points(svg.text, 0, &q));
    assert_int_equal(q.num, 5);
    assert_int_equal(q.strokes, 3);             /* two gaps */
    assert_false(path_points(svg.text, 1, &q));
    path_points(svg.text, 0, &q);
    double bottom = y_of(svg.text, "0"), top = y_of(svg.text, "1.0");
    static const double want_y[] = {0, 0.5, 1, 0.25, 0.75}, want_x[] = {0, 1, 2, 4, 10};
    for (int i = 0; i < 5; i++) {
        assert_true(fabs(q.y[i] - (bottom + want_y[i] * (top - bottom))) < 0.11);   /* a decimal is written */
        assert_true(fabs(q.x[i] - (q.x[0] + want_x[i] / 10 * (q.x[4] - q.x[0]))) < 0.11);
    }
    assert_non_null(strstr(svg.text, "a&lt;b&gt;&amp;&quot;c&#39; "));
    assert_non_null(strstr(svg.text, "T&lt;i&gt;"));
    assert_non_null(strstr(svg.text, "&lt;y&gt;"));
    assert_null(strstr(svg.text, "<i>"));
    assert_null(strstr(svg.text, "<b>"));
    assert_non_null(strstr(svg.text, "aria-label=\"T&lt;i&gt; against it &amp; er. Last values: "));
    /* all dots: few points */
    int dots = 0;
    for (const char *c = svg.text; (c = strstr(c, "<circle")); c++)
        dots++;
    assert_int_equal(dots, 5);
    /* the same plot again: the same text */
    struct pv_str again = {0};
    pv_curves_svg(&again, &p);
    assert_string_equal(again.text, svg.text);
    pv_str_free(&again);
    pv_str_free(&svg);
}

static void svg_fixed_and_log(void **state)
{
    const double x[] = {0, 1, 2, 3}, y[] = {-1, 0.001, 0.1, 10};
    const struct pv_series s = {"a", 4, x, y};
    struct pv_plot p = {.series = &s, .num = 1, .y_lo = 0, .y_hi = 1, .x_lo = 0, .x_hi = 6};
    struct pv_str svg = {0};
    static struct points q;
    pv_curves_svg(&svg, &p);
    path_points(svg.text, 0, &q);
    double bottom = y_of(svg.text, "0"), top = y_of(svg.text, "1.0");
    assert_true(fabs(q.y[0] - bottom) < 0.06 && fabs(q.y[3] - top) < 0.06);     /* held at the edges */
    assert_true(fabs(q.y[2] - (bottom + 0.1 * (top - bottom))) < 0.11);
    double right = q.x[0] + 2 * (q.x[3] - q.x[0]);
    assert_true(right > 500 && right < 560);            /* the curve ends in the middle */
    p.y_hi = p.x_hi = 0;
    p.log_y = true;
    svg.len = 0;
    pv_curves_svg(&svg, &p);
    path_points(svg.text, 0, &q);
    assert_int_equal(q.num, 3);                         /* -1 has no place */
    assert_true(fabs((q.y[0] + q.y[2]) / 2 - q.y[1]) < 0.11);
    /* nothing positive: linear again; nothing at all: says so */
    const double none[] = {-1, -2, NAN, -3};
    const struct pv_series t = {"a", 4, x, none};
    p.series = &t;
    svg.len = 0;
    pv_curves_svg(&svg, &p);
    path_points(svg.text, 0, &q);
    assert_int_equal(q.num, 3);
    const double nan4[] = {NAN, NAN, NAN, NAN};
    const struct pv_series u = {"a", 4, x, nan4};
    p.series = &u;
    svg.len = 0;
    pv_curves_svg(&svg, &p);
    assert_non_null(strstr(svg.text, "no values"));
    p.num = 0;
    svg.len = 0;
    pv_curves_svg(&svg, &p);
    assert_non_null(strstr(svg.text, "no values"));
    pv_str_free(&svg);
}

/* The mean against the definition, with gaps and a spike that must leave no trace. */
static void svg_moving_mean(void **state)
{
    enum { N = 500, WINDOW = 21 };
    double x[N], y[N];
    struct pv_rng r = pv_rng_make(8, 1);
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = 1 + 0.5 * sin(i * 0.05) + pv_rng_below(&r, 1000) * 1e-4;
    }
    y[100] = 1e30;
    y[200] = y[201] = NAN;
    const struct pv_series s = {"a", N, x, y};
    const struct pv_plot p = {.series = &s, .num = 1, .smooth = WINDOW, .y_lo = 0, .y_hi = 2};
    struct pv_str svg = {0};
    pv_curves_svg(&svg, &p);
    static struct points q;
    assert_true(path_points(svg.text, 0, &q));
    assert_int_equal(q.num, N - 2);                     /* the values themselves, pale */
    assert_true(path_points(svg.text, 1, &q));
    assert_int_equal(q.num, N - 2);
    assert_int_equal(q.strokes, 2);
    double bottom = y_of(svg.text, "0"), top = y_of(svg.text, "2.0");
    for (int i = 0, k = 0; i < N; i++) {
        double sum = 0;
        int num = 0;
        for (int j = pv_max(0, i - WINDOW / 2); j <= pv_min(N - 1, i + WINDOW / 2); j++)
            if (!isnan(y[j])) {
                sum += y[j];
                num++;
            }
        if (isnan(y[i]))
            continue;
        double want = fmin(sum / num, 2);
        assert_true(fabs(q.y[k++] - (bottom + want / 2 * (top - bottom))) < 0.11);
    }
    pv_str_free(&svg);
}

static void svg_thinning(void **state)
{
    enum { N = 100000, SPIKE = 77777, DIP = 33333, GAP = 50100 };
    double *x = pv_array(double, N), *y = pv_array(double, N);
    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = 1 + 0.001 * (i % 7);
    }
    y[SPIKE] = 9;
    y[DIP] = 0;
    for (int i = GAP; i < GAP + 5; i++)
        y[i] = NAN;
    const struct pv_series s = {"a", N, x, y};
    const struct pv_plot p = {.series = &s, .num = 1};
    struct pv_str svg = {0};
    pv_curves_svg(&svg, &p);
    static struct points q;
    assert_true(path_points(svg.text, 0, &q));
    assert_in_range(q.num, 500, 261 * 5);
    assert_int_equal(q.strokes, 2);
    int low = 0, high = 0;
    for (int i = 0; i < q.num; i++) {
        low = q.y[i] > q.y[low] ? i : low;
        high = q.y[i] < q.y[high] ? i : high;
        assert_true(i == 0 || q.x[i] >= q.x[i - 1]);
    }
    double left = q.x[0], width = q.x[q.num - 1] - left;
    assert_true(fabs(q.x[high] - (left + width * SPIKE / (N - 1))) < 0.11);
    assert_true(fabs(q.x[low] - (left + width * DIP / (N - 1))) < 0.11);
    assert_true(fabs(q.y[low] - y_of(svg.text, "0")) < 0.06);
    pv_str_free(&svg);
    pv_free(x);
    pv_free(y);
}

/* Anything finite or not, in any number: no crash, and only numbers in the text. */
static void svg_hostile(void **state)
{
    static const double odd[] = {0, 1, -1, 1e300, -1e300, 1e308, 5e-324, NAN, INFINITY, -INFINITY, 1e-5, 1e15};
    struct pv_rng r = pv_rng_make(9, 1);
    for (int i = 0; i < 400; i++) {
        enum { N = 3000 };
        static double x[N], y[N];
        int n = (int)pv_rng_below(&r, i % 8 ? 12 : N);
        for (int k = 0; k < n; k++) {
            x[k] = pv_rng_below(&r, 3) ? k : odd[pv_rng_below(&r, PV_COUNT(odd))];
            y[k] = pv_rng_below(&r, 3) ? pv_rng_below(&r, 100) : odd[pv_rng_below(&r, PV_COUNT(odd))];
        }
        struct pv_series s[12];
        for (int k = 0; k < 12; k++)
            s[k] = (struct pv_series){"\xFF name", (size_t)n, x, y};
        const struct pv_plot p = {.title = "", .series = s, .num = pv_rng_below(&r, 13), .log_y = i & 1,
                                  .smooth = (int)pv_rng_below(&r, 5), .whole_x = i & 2};
        struct pv_str svg = {0};
        pv_curves_svg(&svg, &p);
        for (const char *c = svg.text; (c = strstr(c, " d=\"")); c++) {
            size_t len = strcspn(c + 4, "\"");
            assert_int_equal(strspn(c + 4, "MLVH-. 0123456789"), len);
        }
        pv_str_free(&svg);
        struct pv_image im;
        if (i % 10)
            continue;
        assert_true(pv_image_make(&im, 300, 200, 3));
        pv_curves_draw(&im, 0, 0, 300, 200, &p);
        pv_image_free(&im);
    }
}

/* ---- canvas ---- */

static void drawing(void **state)
{
    const double x[] = {0, 10}, flat[] = {0.5, 0.5};
    const struct pv_series s = {"flat", 2, x, flat};
    const struct pv_plot p = {.title = "Plot", .series = &s, .num = 1, .y_lo = 0, .y_hi = 1};
    struct pv_image im;
    assert_true(pv_image_make(&im, 600, 300, 3));
    pv_canvas_fill(&im, PV_RGB(0xFFFFFF));
    pv_curves_draw(&im, 0, 0, 600, 300, &p);
    const uint32_t first = pv_series_color[0][0];
    const uint8_t want[] = {first >> 16 & 255, first >> 8 & 255, first & 255};
    /* the row with most of the colour, below the legend, is a line across the plot area */
    int best = 0, most = 0, rows = 0;
    for (int y = 60; y < 300; y++) {
        int n = 0;
        for (int u = 0; u < 600; u++)
            n += memcmp(im.pixels + (y * 600 + u) * 3, want, 3) == 0;
        rows += n > 400;
        if (n > most) {
            most = n;
            best = y;
        }
    }
    assert_in_range(most, 450, 540);
    assert_in_range(rows, 1, 3);
    assert_in_range(best, 130, 180);
    pv_image_free(&im);
}

/* ---- metrics.csv ---- */

static const char *write_csv(const char *text)
{
    const char *path = unit_path("metrics.csv");
    assert_true(pv_write_file(path, text, strlen(text)));
    return path;
}

static void csv_reads(void **state)
{
    static const char good[] = "iter,loss,val_dice\n1,0.5,\n2,nan,0.25\n10,-inf,1e-3\n";
    static const char bom[] = "\xEF\xBB\xBFiter,loss,val_dice\r\n1,0.5,\r\n2,nan,0.25\r\n10,-inf,1e-3\r\n";
    static const char cut[] = "iter,loss,val_dice\n1,0.5,\n2,nan,0.25\n10,-inf,1e-3\n11,0.2,0.4";
    static const char cut_row[] = "iter,loss,val_dice\n1,0.5,\n2,nan,0.25\n10,-inf,1e-3\n11,0.2\n";
    static const char resumed[] = "iter,loss,val_dice\n1,0.5,\n3,7,8\n4,7,8\n2,nan,0.25\n\n10,-inf,1e-3\n";
    static const char split[] = "iter,loss,val_dice\n1,0.5,\n2,nan,\n2,,0.25\n10,9,1e-3\n10,-inf,\n";
    static const char *const all[] = {good, bom, cut, cut_row, resumed, split};
    for (size_t i = 0; i < PV_COUNT(all); i++) {
        struct pv_runlog l;
        assert_true(pv_runlog_read(write_csv(all[i]), &l));
        assert_int_equal(l.num_rows, 3);
        assert_int_equal(l.num_cols, 2);
        assert_string_equal(l.names[0], "loss");
        assert_int_equal(pv_runlog_find(&l, "val_dice"), 1);
        assert_int_equal(pv_runlog_find(&l, "iter"), -1);
        assert_true(l.iter[0] == 1 && l.iter[1] == 2 && l.iter[2] == 10);
        assert_true(l.values[0] == 0.5 && isnan(l.values[1]) && l.values[2] == -INFINITY);
        assert_true(isnan(l.values[3]) && l.values[4] == 0.25 && l.values[5] == 1e-3);
        static const uint8_t logged[] = {1, 1, 1, 0, 1, 1};
        assert_memory_equal(l.logged, logged, 6);
        pv_runlog_free(&l);
        assert_null(l.names);
        pv_runlog_free(&l);
    }
    struct pv_runlog l;
    assert_true(pv_runlog_read(write_csv("iter,loss\n"), &l));
    assert_int_equal(l.num_rows, 0);
    struct pv_runlog_plots p;
    pv_runlog_plots(&l, &p);
    assert_int_equal(p.num, 0);
    pv_runlog_plots_free(&p);
    assert_true(pv_runlog_png(&l, unit_path("empty.png")));
    pv_runlog_free(&l);
}

static void csv_refuses(void **state)
{
    static const struct { const char *text, *says; } bad[] = {
        {"", "metrics.csv:1: there is no line with column names"},
        {"iter,loss", "metrics.csv:1: there is no line"},
        {"step,loss\n1,2\n", ":1: the first column"},
        {"iter,loss,loss\n1,2,3\n", ":1: two columns are named loss"},
        {"iter,,b\n1,2,3\n", ":1: a column has no name"},
        {"iter,loss\n1,2\n2\n3,4\n", ":3: the number of cells"},
        {"iter,loss\n1,2\n2,3,4\n3,4\n", ":3: the number of cells"},
        {"iter,loss\n1,x\n3,4\n", ":2: a cell is not a number"},
        {"iter,loss\n1.5,1\n3,4\n", ":2: the iteration is not a whole"},
        {"iter,loss\n,1\n3,4\n", ":2: the iteration is not a whole"},
        {"iter,loss\nnan,1\n3,4\n", ":2: the iteration is not a whole"},
    };
    struct pv_runlog l;
    for (size_t i = 0; i < PV_COUNT(bad); i++) {
        const char *path = write_csv(bad[i].text);
        UNIT_FAILS(PV_FAULT_INPUT, bad[i].says, assert_false(pv_runlog_read(path, &l)));
        assert_null(l.names);
    }
    UNIT_FAILS(PV_FAULT_INPUT, "nowhere", assert_false(pv_runlog_read(unit_path("nowhere.csv"), &l)));
    struct pv_str wide = {0};
    pv_str_add(&wide, "iter");
    for (int i = 0; i < 300; i++)
        pv_str_addf(&wide, ",c%d", i);
    pv_str_add(&wide, "\n");
    UNIT_FAILS(PV_FAULT_INPUT, "256", assert_false(pv_runlog_read(write_csv(wide.text), &l)));
    pv_str_free(&wide);
}

static void csv_mutated(void **state)
{
    static const char start[] = "iter,loss,lr,val_dice\n1,0.5,0.01,\n2,0.25,0.009,0.5\n3,0.125,0.008,\n"
                                "4,0.1,0.007,0.75\n";
    static const char pool[] = "0123456789,,,\n\n\r.e-naif\"x";
    struct pv_rng r = pv_rng_make(10, 1);
    int accepted = 0;
    for (int i = 0; i < 3000; i++) {
        char text[sizeof start];
        memcpy(text, start, sizeof start);
        for (uint32_t k = pv_rng_below(&r, 3); k-- > 0;)
            text[pv_rng_below(&r, sizeof start - 1)] = pool[pv_rng_below(&r, sizeof pool)];     /* and NUL */
        size_t size = pv_rng_below(&r, 4) ? sizeof start - 1 : pv_rng_below(&r, sizeof start);
        const char *path = unit_path("mutated.csv");
        assert_true(pv_write_file(path, text, size));
        struct pv_runlog l;
        pv_fail_quiet(true);
        bool ok = pv_runlog_read(path, &l);
        pv_fail_quiet(false);
        if (!ok)
            continue;
        accepted++;
        for (size_t k = 1; k < l.num_rows; k++)
            assert_true(l.iter[k] > l.iter[k - 1]);
        struct pv_runlog_plots p;
        struct pv_str svg = {0};
        pv_runlog_plots(&l, &p);
        for (size_t k = 0; k < p.num; k++)
            pv_curves_svg(&svg, &p.plots[k]);
        pv_str_free(&svg);
        pv_runlog_plots_free(&p);
        pv_runlog_free(&l);
    }
    pv_fault_clear();
    assert_in_range(accepted, 1000, 2900);
}

static void csv_plots(void **state)
{
    struct pv_str t = {0};
    pv_str_add(&t, "iter,grad_norm,val_dice,loss,loss_cons,lr,cons_weight,w_proto,sec_iter,teacher_dice,"
                   "time_load\n");
    for (int i = 1; i <= 200; i++)
        pv_str_addf(&t, "%d,1,%s,0.5,%s,0.01,0.1,1,0.4,%s,0.1\n", i * 10, i % 50 ? "" : "0.8", i > 100 ? "0.1" : "",
                    i % 50 ? "" : "0.7");
    struct pv_runlog l;
    assert_true(pv_runlog_read(write_csv(t.text), &l));
    struct pv_runlog_plots p;
    pv_runlog_plots(&l, &p);
    static const struct { const char *title; const char *names[3]; size_t n[3]; } want[] = {
        {"Losses", {"loss", "loss_cons"}, {200, 100}},
        {"Learning rate and weights", {"lr", "cons_weight", "w_proto"}, {200, 200, 200}},
        {"Seconds per iteration", {"sec_iter", "time_load"}, {200, 200}},
        {"Validation", {"val_dice", "teacher_dice"}, {4, 4}},
        {"Further values", {"grad_norm"}, {200}},
    };
    assert_int_equal(p.num, PV_COUNT(want));
    for (size_t i = 0; i < p.num; i++) {
        assert_string_equal(p.plots[i].title, want[i].title);
        for (size_t k = 0; k < p.plots[i].num; k++) {
            assert_in_range(k, 0, 2);
            assert_string_equal(p.plots[i].series[k].name, want[i].names[k]);
            assert_int_equal(p.plots[i].series[k].n, want[i].n[k]);
        }
        assert_true(p.plots[i].num == 3 || !want[i].names[p.plots[i].num]);
        assert_true(p.plots[i].x_hi == 2000);
    }
    assert_true(p.plots[0].smooth > 1 && p.plots[1].log_y && p.plots[3].y_hi == 1);
    assert_true(p.plots[0].series[1].x[0] == 1010);
    pv_runlog_plots_free(&p);
    assert_null(p.plots);
    pv_runlog_plots_free(&p);

    const char *path = unit_path("progress.png");
    assert_true(pv_runlog_png(&l, path));
    png_image im = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_file(&im, path));
    assert_int_equal(im.width, 1200);
    assert_int_equal(im.height, 400 * PV_COUNT(want));
    uint8_t *px = pv_alloc(PNG_IMAGE_SIZE(im));
    assert_true(png_image_finish_read(&im, NULL, px, 0, NULL));
    for (size_t panel = 0; panel < PV_COUNT(want); panel++) {   /* each has its curves in the first colour */
        int n = 0;
        for (size_t i = panel * 400 * 1200; i < (panel + 1) * 400 * 1200; i++)
            n += px[3 * i] == 0x00 && px[3 * i + 1] == 0x72 && px[3 * i + 2] == 0xB2;
        assert_in_range(n, 900, 20000);
    }
    pv_free(px);
    UNIT_FAILS(PV_FAULT_INPUT, "nowhere", assert_false(pv_runlog_png(&l, unit_path("nowhere/p.png"))));
    pv_runlog_free(&l);
    pv_str_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axis_known),      cmocka_unit_test(axis_any),     cmocka_unit_test(svg_points),
        cmocka_unit_test(svg_fixed_and_log), cmocka_unit_test(svg_moving_mean), cmocka_unit_test(svg_thinning),
        cmocka_unit_test(svg_hostile),     cmocka_unit_test(drawing),      cmocka_unit_test(csv_reads),
        cmocka_unit_test(csv_refuses),     cmocka_unit_test(csv_mutated),  cmocka_unit_test(csv_plots),
    };
    return cmocka_run_group_tests(tests, NULL, unit_tmp_remove);
}
