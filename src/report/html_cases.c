/* SPDX-License-Identifier: Apache-2.0
 * Results of the page: what each metric comes to, every case as a dot and as a row, pictures of cases. */
#include "report/html_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NUM_WORST = 5 };

/* ---- numbers ---- */

struct summary { size_t n, undefined, worst; double mean, sd, median; };

static double value(const struct pv_report *r, size_t c, size_t metric)
{
    double v = r->cases[c].values ? r->cases[c].values[metric] : NAN;
    return isfinite(v) ? v : NAN;
}

/* Of the worst first; what is not defined is worst. */
static int compare_values(double a, double b, bool higher_is_better)
{
    if (isnan(a) || isnan(b))
        return isnan(b) - isnan(a);
    int order = (a > b) - (a < b);
    return higher_is_better ? order : -order;
}

struct entry { double v; size_t i; bool higher; };

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = compare_values(x->v, y->v, x->higher);
    return order ? order : (x->i > y->i) - (x->i < y->i);
}

static struct entry *sorted(const struct pv_report *r, size_t metric)
{
    struct entry *e = pv_array(struct entry, r->num_cases + 1);
    for (size_t i = 0; i < r->num_cases; i++)
        e[i] = (struct entry){value(r, i, metric), i, r->metrics[metric].higher_is_better};
    qsort(e, r->num_cases, sizeof *e, compare_entries);
    return e;
}

static struct summary summarize(const struct pv_report *r, size_t metric)
{
    struct summary s = {.mean = NAN, .sd = NAN, .median = NAN};
    struct entry *e = sorted(r, metric);
    while (s.undefined < r->num_cases && isnan(e[s.undefined].v))
        s.undefined++;
    const struct entry *d = e + s.undefined;
    s.n = r->num_cases - s.undefined;
    s.worst = r->num_cases ? e[0].i : 0;
    double sum = 0, square = 0;
    for (size_t i = 0; i < s.n; i++)
        sum += d[i].v;
    if (s.n > 0) {
        s.mean = sum / (double)s.n;
        s.median = (d[(s.n - 1) / 2].v + d[s.n / 2].v) / 2;
    }
    for (size_t i = 0; i < s.n; i++)
        square += (d[i].v - s.mean) * (d[i].v - s.mean);
    if (s.n > 1)
        s.sd = sqrt(square / (double)s.n);
    pv_free(e);
    return s;
}

/* Cases from the worst to the best by the first metric, undefined ones first; pv_free it. */
static size_t *worst_first(const struct pv_report *r)
{
    size_t *order = pv_array(size_t, r->num_cases + 1);
    if (r->num_metrics == 0) {
        for (size_t i = 0; i < r->num_cases; i++)
            order[i] = i;
        return order;
    }
    struct entry *e = sorted(r, 0);
    for (size_t i = 0; i < r->num_cases; i++)
        order[i] = e[i].i;
    pv_free(e);
    return order;
}

static void number(struct page *p, double v, int decimals)
{
    if (isnan(v))
        raw(p, "\xE2\x80\x93");
    else
        pv_str_fixed(p->out, v, decimals);
}

static void metric_name(struct page *p, const struct pv_report_metric *m)
{
    page_text(p, m->name);
    if (m->unit && m->unit[0]) {
        raw(p, " (");
        page_text(p, m->unit);
        raw(p, ")");
    }
}

static bool has_picture(const struct pv_report_case *c)
{
    return c->mosaic || c->strip;
}

/* Where a reader is led who follows a case. */
static void case_link(struct page *p, size_t i)
{
    bool view = has_picture(&p->r->cases[i]) && !p->r->no_images;
    pv_str_addf(p->out, "#%s-%zu", view ? "view" : "case", i + 1);
}

/* ---- headline ---- */

static void given_tiles(struct page *p)
{
    raw(p, "<div class=\"tiles\">\n");
    for (size_t i = 0; i < p->r->num_tiles; i++) {
        const struct pv_report_tile *t = &p->r->tiles[i];
        raw(p, "<div class=\"tile card\"><b>");
        page_text(p, t->value);
        if (t->spread) {
            raw(p, " <small>");
            page_text(p, t->spread);
            raw(p, "</small>");
        }
        raw(p, "</b><span>");
        page_text(p, t->label);
        raw(p, "</span></div>\n");
    }
    raw(p, "</div>\n");
}

void page_headline(struct page *p)
{
    const struct pv_report *r = p->r;
    if (r->num_tiles) {
        given_tiles(p);
        return;
    }
    if (!r->num_cases || !r->num_metrics)
        return;
    raw(p, "<div class=\"tiles\">\n");
    for (size_t m = 0; m < r->num_metrics && m < 4; m++) {
        struct summary s = summarize(r, m);
        raw(p, "<div class=\"tile card\"><b>");
        number(p, s.mean, r->metrics[m].decimals);
        if (!isnan(s.sd)) {
            raw(p, " <small>\xC2\xB1 ");
            number(p, s.sd, r->metrics[m].decimals);
            raw(p, "</small>");
        }
        raw(p, "</b><span>");
        metric_name(p, &r->metrics[m]);
        pv_str_addf(p->out, ", mean of %zu</span></div>\n", s.n);
    }
    raw(p, "</div>\n");
}

/* ---- summary table ---- */

static void summary_table(struct page *p)
{
    const struct pv_report *r = p->r;
    raw(p, "<div class=\"card long scroll\">\n<table>\n<thead><tr><th scope=\"col\">Metric</th>"
           "<th scope=\"col\" class=\"num\">Mean \xC2\xB1 SD</th><th scope=\"col\" class=\"num\">Median</th>"
           "<th scope=\"col\" class=\"num\">Worst</th><th scope=\"col\">Worst case</th>"
           "<th scope=\"col\" class=\"num\">Cases</th><th scope=\"col\" class=\"num\">Undefined</th></tr></thead>\n"
           "<tbody>\n");
    for (size_t m = 0; m < r->num_metrics; m++) {
        int d = r->metrics[m].decimals;
        struct summary s = summarize(r, m);
        raw(p, "<tr><th scope=\"row\">");
        metric_name(p, &r->metrics[m]);
        raw(p, "</th><td class=\"num\">");
        number(p, s.mean, d);
        raw(p, " \xC2\xB1 ");
        number(p, s.sd, d);
        raw(p, "</td><td class=\"num\">");
        number(p, s.median, d);
        raw(p, "</td><td class=\"num\">");
        number(p, value(r, s.worst, m), d);
        raw(p, "</td><td><a href=\"");
        case_link(p, s.worst);
        raw(p, "\">");
        page_id(p, r->cases[s.worst].id);
        pv_str_addf(p->out, "</a></td><td class=\"num\">%zu</td><td class=\"num\">%zu</td></tr>\n", s.n,
                    s.undefined);
    }
    raw(p, "</tbody>\n</table>\n<p class=\"note\">SD: standard deviation over cases, divided by n (not "
           "n \xE2\x88\x92 1). Undefined values, such as a distance to an empty prediction, are left out of means and "
           "medians and count as worst.</p>\n</div>\n");
}

/* ---- strip plots ---- */

enum { STRIP_W = 560, STRIP_LEFT = 14, STRIP_RIGHT = 14, STRIP_MIDDLE = 62, STRIP_REACH = 30, STRIP_AXIS = 100 };
static const double dot = 4.5;      /* radius */

/* Dots at x, ascending or descending, moved up and down by turns until they do not touch; offsets that would
 * leave the band stay inside. */
static void spread(const double *x, double *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (int k = 0;; k++) {
            double try = (k + 1) / 2 * (k % 2 ? -1.0 : 1.0) * dot * 1.2;
            bool free = true;
            y[i] = fabs(try) > STRIP_REACH ? (double)((int)(i * 7) % (2 * STRIP_REACH) - STRIP_REACH) : try;
            for (size_t j = i; j-- > 0 && fabs(x[j] - x[i]) < 2 * dot && free;)
                free = hypot(x[j] - x[i], y[j] - try) >= 2 * dot;
            if (free || fabs(try) > STRIP_REACH)
                break;
        }
    }
}

static void mark(struct page *p, double x, const char *name, double at, int decimals, bool dashed)
{
    raw(p, "<path fill=\"none\" stroke-width=\"1.6\" style=\"stroke:var(--fg,#1f2328)\"");
    raw(p, dashed ? " stroke-dasharray=\"3 3\" d=\"M" : " d=\"M");
    pv_str_fixed(p->out, x, 1);
    pv_str_addf(p->out, " %dV%d\"><title>%s ", STRIP_MIDDLE - STRIP_REACH - 6, STRIP_MIDDLE + STRIP_REACH + 6,
                name);
    pv_str_fixed(p->out, at, decimals);
    raw(p, "</title></path>");
}

static void strip_plot(struct page *p, size_t metric)
{
    const struct pv_report *r = p->r;
    const struct pv_report_metric *m = &r->metrics[metric];
    struct summary s = summarize(r, metric);
    struct entry *e = sorted(r, metric);
    const struct entry *d = e + s.undefined;
    struct pv_axis axis;
    double low = s.n ? fmin(d[0].v, d[s.n - 1].v) : NAN, high = s.n ? fmax(d[0].v, d[s.n - 1].v) : NAN;
    pv_axis_make(&axis, low, high, PV_AXIS_EXTEND, 6);
    double *x = pv_array(double, s.n + 1), *y = pv_array(double, s.n + 1);
    double left = STRIP_LEFT, width = STRIP_W - STRIP_LEFT - STRIP_RIGHT;
    for (size_t i = 0; i < s.n; i++)
        x[i] = left + pv_axis_at(&axis, d[i].v) * width;
    spread(x, y, s.n);
    pv_str_addf(p->out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"100%%\" "
                        "font-size=\"12\" ", STRIP_W, STRIP_AXIS + 24);
    raw(p, "font-family=\"system-ui,-apple-system,'Segoe UI',sans-serif\" role=\"group\" aria-label=\"");
    metric_name(p, m);
    raw(p, " of every case\"><text x=\"8\" y=\"18\" font-size=\"14\" font-weight=\"600\" "
           "style=\"fill:var(--fg,#1f2328)\">");
    metric_name(p, m);
    raw(p, "</text><text x=\"552\" y=\"18\" text-anchor=\"end\" style=\"fill:var(--muted,#5f6368)\">");
    raw(p, m->higher_is_better ? "better \xE2\x86\x92" : "\xE2\x86\x90 better");
    pv_str_addf(p->out, "</text><path fill=\"none\" style=\"stroke:var(--grid,#dde1e6)\" d=\"M%d %dH%d", STRIP_LEFT,
                STRIP_AXIS, STRIP_W - STRIP_RIGHT);
    for (int i = 0; i < axis.num; i++) {
        raw(p, "M");
        pv_str_fixed(p->out, left + pv_axis_at(&axis, axis.tick[i]) * width, 1);
        pv_str_addf(p->out, " %dv5", STRIP_AXIS);
    }
    raw(p, "\"/>");
    for (int i = 0; i < axis.num; i++) {
        raw(p, "<text text-anchor=\"middle\" style=\"fill:var(--muted,#5f6368)\" x=\"");
        pv_str_fixed(p->out, left + pv_axis_at(&axis, axis.tick[i]) * width, 1);
        pv_str_addf(p->out, "\" y=\"%d\">%s</text>", STRIP_AXIS + 18, axis.label[i]);
    }
    if (s.n > 1) {
        mark(p, left + pv_axis_at(&axis, s.mean) * width, "mean", s.mean, m->decimals, false);
        mark(p, left + pv_axis_at(&axis, s.median) * width, "median", s.median, m->decimals, true);
    }
    for (size_t i = 0; i < s.n; i++) {
        raw(p, "<a href=\"");
        case_link(p, d[i].i);
        pv_str_addf(p->out, "\"><circle r=\"%.1f\" fill-opacity=\"0.8\" style=\"fill:var(--s%d)\" cx=\"", dot,
                    s.undefined + i < NUM_WORST && r->num_cases > NUM_WORST ? 1 : 0);
        pv_str_fixed(p->out, x[i], 1);
        raw(p, "\" cy=\"");
        pv_str_fixed(p->out, STRIP_MIDDLE + y[i], 1);
        raw(p, "\"><title>");
        page_id(p, r->cases[d[i].i].id);
        raw(p, ": ");
        pv_str_fixed(p->out, d[i].v, m->decimals);
        raw(p, "</title></circle></a>");
    }
    if (s.n == 0)
        pv_str_addf(p->out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" style=\"fill:var(--muted,#5f6368)\">"
                            "no values</text>", STRIP_W / 2, STRIP_MIDDLE);
    raw(p, "</svg>\n");
    pv_free(x);
    pv_free(y);
    pv_free(e);
}

/* ---- table of cases ---- */

static void case_table(struct page *p)
{
    const struct pv_report *r = p->r;
    size_t *order = worst_first(r);
    raw(p, "<div class=\"card long scroll\">\n<table class=\"cases\">\n"
           "<caption>Every case, the worst first</caption>\n<thead><tr><th scope=\"col\">Case</th>");
    for (size_t m = 0; m < r->num_metrics; m++) {
        raw(p, "<th scope=\"col\" class=\"num\">");
        metric_name(p, &r->metrics[m]);
        raw(p, "</th>");
    }
    raw(p, "</tr></thead>\n<tbody>\n");
    for (size_t k = 0; k < r->num_cases; k++) {
        size_t i = order[k];
        bool view = has_picture(&r->cases[i]) && !r->no_images, worst = k < NUM_WORST && r->num_cases > NUM_WORST;
        pv_str_addf(p->out, "<tr id=\"case-%zu\"%s><th scope=\"row\">", i + 1, worst ? " class=\"worst\"" : "");
        if (view)
            pv_str_addf(p->out, "<a href=\"#view-%zu\">", i + 1);
        page_id(p, r->cases[i].id);
        raw(p, view ? "</a></th>" : "</th>");
        for (size_t m = 0; m < r->num_metrics; m++) {
            raw(p, "<td class=\"num\">");
            number(p, value(r, i, m), r->metrics[m].decimals);
            raw(p, "</td>");
        }
        raw(p, "</tr>\n");
    }
    raw(p, "</tbody>\n</table>\n</div>\n");
    pv_free(order);
}

void page_results(struct page *p)
{
    const struct pv_report *r = p->r;
    if (!r->num_cases || !r->num_metrics)
        return;
    raw(p, "<section id=\"results\">\n<h2>Results</h2>\n");
    if (r->cases_note) {
        raw(p, "<p class=\"note\">");
        page_text(p, r->cases_note);
        raw(p, "</p>\n");
    }
    summary_table(p);
    raw(p, "<div class=\"two\" style=\"margin:1rem 0\">\n");
    for (size_t m = 0; m < r->num_metrics && m < 4; m++) {
        raw(p, "<div class=\"card\">\n");
        strip_plot(p, m);
        raw(p, "</div>\n");
    }
    raw(p, "</div>\n<p class=\"note\">A dot is a case and leads to it");
    raw(p, r->num_cases > NUM_WORST ? "; the five worst of each metric are orange. " : ". ");
    raw(p, "Line: mean. Dashed: median.</p>\n");
    case_table(p);
    raw(p, "</section>\n");
}

/* ---- pictures ---- */

static void layer(struct page *p, const char *class, const struct pv_image *im)
{
    if (!pv_image_there(im))
        return;
    pv_str_addf(p->out, "<img class=\"layer %s\" alt=\"\" src=\"", class);
    page_png(p, im);
    raw(p, "\"/>");
}

static void layers(struct page *p, size_t i, const struct pv_layers *l, const char *what)
{
    raw(p, "<img alt=\"");
    page_id(p, p->r->cases[i].id);
    bool ref = pv_image_there(&l->ref), pred = pv_image_there(&l->pred);
    pv_str_addf(p->out, ": %s%s%s%s\" src=\"", what, ref || pred ? ", outlines of" : "", ref ? " the reference" : "",
                pred ? ref ? " and the prediction" : " the prediction" : "");
    page_png(p, &l->base);
    raw(p, "\"/>");
    layer(p, "ref", &l->ref);
    layer(p, "pred", &l->pred);
}

static void mosaic(struct page *p, size_t i, const struct pv_layers *l)
{
    raw(p, "<figure><div class=\"stack\">");
    layers(p, i, l, "planes through the middle of the object");
    raw(p, "</div><figcaption>");
    for (int k = 0; k < l->num_tiles; k++)
        pv_str_addf(p->out, "%s%c = %d", k ? ", " : "Planes: ", "xyz"[l->tile[k].axis], l->tile[k].slice);
    raw(p, "</figcaption></figure>\n");
}

static void film(struct page *p, size_t i, const struct pv_layers *l)
{
    int n = l->num_tiles, middle = n / 2;
    raw(p, "<div class=\"slices\"><div class=\"gate\" tabindex=\"0\">");
    pv_str_addf(p->out, "<div class=\"stack film\" style=\"--n:%d;--i:%d\" data-z=\"", n, middle);
    for (int k = 0; k < n; k++)
        pv_str_addf(p->out, "%s%d", k ? " " : "", l->tile[k].slice);
    raw(p, "\">");
    layers(p, i, l, "slices from the lowest to the highest");
    pv_str_addf(p->out, "</div></div><label>Slice <input type=\"range\" min=\"0\" max=\"%d\" value=\"%d\"/>"
                        "<output></output></label></div>\n", n - 1, middle);
}

static void view(struct page *p, size_t i)
{
    const struct pv_report *r = p->r;
    const struct pv_report_case *c = &r->cases[i];
    pv_str_addf(p->out, "<section class=\"card view\" id=\"view-%zu\">\n<h3>", i + 1);
    page_id(p, c->id);
    raw(p, "<small>");
    page_text(p, c->note);
    for (size_t m = 0; m < r->num_metrics; m++) {
        raw(p, m || c->note ? ", " : "");
        page_text(p, r->metrics[m].name);
        raw(p, " ");
        number(p, value(r, i, m), r->metrics[m].decimals);
        if (r->metrics[m].unit && r->metrics[m].unit[0]) {
            raw(p, " ");
            page_text(p, r->metrics[m].unit);
        }
    }
    raw(p, "</small></h3>\n<div class=\"planes\">\n");
    if (c->mosaic)
        mosaic(p, i, c->mosaic);
    if (c->strip)
        film(p, i, c->strip);
    raw(p, "</div>\n</section>\n");
}

void page_views(struct page *p)
{
    size_t *order = worst_first(p->r);
    raw(p, "<section id=\"views\">\n<h2>Cases in pictures</h2>\n"
           "<input type=\"checkbox\" id=\"show-ref\" class=\"toggle-row\" checked=\"checked\"/> "
           "<label for=\"show-ref\" class=\"toggles\"><span class=\"key ref\"></span>Reference</label>\n"
           "<input type=\"checkbox\" id=\"show-pred\" class=\"toggle-row\" checked=\"checked\"/> "
           "<label for=\"show-pred\" class=\"toggles\"><span class=\"key pred\"></span>Prediction</label>\n"
           "<span class=\"muted toggle-row\">Keys R and P do the same.</span>\n<div class=\"views\">\n");
    for (size_t k = 0; k < p->r->num_cases; k++)
        if (has_picture(&p->r->cases[order[k]]))
            view(p, order[k]);
    raw(p, "</div>\n</section>\n");
    pv_free(order);
}
