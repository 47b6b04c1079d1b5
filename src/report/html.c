/* SPDX-License-Identifier: Apache-2.0
 * The page: header, curves, panels, reproduction, model card. style.css and script.js are compiled in. */
#include "report/html_impl.h"

#include <math.h>
#include <string.h>

#include "base/embed.h"

extern const struct pv_embedded pv_embedded_page[];

/* ---- texts ---- */

void page_text_as(struct page *p, enum veil_kind kind, const char *text)
{
    if (!text)
        return;
    if (!p->anonymous) {
        pv_str_escape(p->out, text);
        return;
    }
    char *t = veil_text(&p->veil, kind, text);
    pv_str_escape(p->out, t);
    pv_free(t);
}

void page_text(struct page *p, const char *text)
{
    page_text_as(p, VEIL_TEXT, text);
}

void page_id(struct page *p, const char *id)
{
    page_text(p, id && id[0] ? id : "(no name)");
}

void page_plot(struct page *p, const struct pv_plot *plot)
{
    if (!p->anonymous) {
        pv_curves_svg(p->out, plot);
        return;
    }
    struct pv_plot copy = *plot;
    struct pv_series *s = pv_array(struct pv_series, plot->num + 1);
    const char **text[] = {&copy.title, &copy.x_label, &copy.y_label};
    for (size_t i = 0; i < PV_COUNT(text); i++)
        *text[i] = *text[i] ? veil_text(&p->veil, VEIL_TEXT, *text[i]) : NULL;
    for (size_t i = 0; i < plot->num; i++) {
        s[i] = plot->series[i];
        s[i].name = veil_text(&p->veil, VEIL_TEXT, plot->series[i].name);
    }
    copy.series = s;
    pv_curves_svg(p->out, &copy);
    for (size_t i = 0; i < PV_COUNT(text); i++)
        pv_free((void *)*text[i]);
    for (size_t i = 0; i < plot->num; i++)
        pv_free((void *)s[i].name);
    pv_free(s);
}

void page_png(struct page *p, const struct pv_image *im)
{
    struct pv_str bytes = {0};
    pv_str_add(p->out, "data:image/png;base64,");
    p->ok = p->ok && pv_png_encode(im, &bytes);
    if (bytes.len > 0)
        pv_str_base64(p->out, bytes.text, bytes.len);
    pv_str_free(&bytes);
}

static void raw_file(struct page *p, const char *name)
{
    for (const struct pv_embedded *e = pv_embedded_page; e->name; e++)
        if (strcmp(e->name, name) == 0)
            pv_str_addn(p->out, e->data, e->size);
}

/* ---- parts ---- */

static void head(struct page *p)
{
    raw(p, "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
           "<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
           "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
           "<meta name=\"referrer\" content=\"no-referrer\"/>\n"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
           "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\"/>\n"
           "<title>");
    page_text(p, p->r->title ? p->r->title : "Report");
    raw(p, "</title>\n<style>\n");
    raw_file(p, "style");
    raw(p, "</style>\n</head>\n<body>\n<div class=\"wrap\">\n");
}

static void rows(struct page *p, const struct pv_report_row *row, size_t n)
{
    raw(p, "<dl>\n");
    for (size_t i = 0; i < n; i++) {
        raw(p, "<div><dt>");
        page_text(p, row[i].key);
        raw(p, "</dt><dd>");
        page_text(p, row[i].value);
        raw(p, "</dd></div>\n");
    }
    raw(p, "</dl>\n");
}

static bool has_views(const struct pv_report *r)
{
    for (size_t i = 0; i < r->num_cases; i++)
        if (r->cases[i].mosaic || r->cases[i].strip)
            return true;
    return false;
}

static void link_to(struct page *p, bool wanted, const char *id, const char *text)
{
    if (wanted)
        pv_str_addf(p->out, "<a href=\"#%s\">%s</a>\n", id, text);
}

static void panel_links(struct page *p, bool early)
{
    const struct pv_report *r = p->r;
    for (size_t i = 0; i < r->num_panels; i++) {
        if (r->panels[i].early != early)
            continue;
        pv_str_addf(p->out, "<a href=\"#panel-%zu\">", i + 1);
        page_text(p, r->panels[i].title ? r->panels[i].title : "Further results");
        raw(p, "</a>\n");
    }
}

static void masthead(struct page *p)
{
    const struct pv_report *r = p->r;
    raw(p, "<header>\n<h1>");
    page_text(p, r->title ? r->title : "Report");
    raw(p, "</h1>\n");
    if (r->subtitle) {
        raw(p, "<p class=\"muted\">");
        page_text(p, r->subtitle);
        raw(p, "</p>\n");
    }
    raw(p, "<nav aria-label=\"Contents\">\n");
    panel_links(p, true);
    link_to(p, r->num_cases && r->num_metrics, "results", "Results");
    link_to(p, r->num_plots, "curves", "Curves");
    link_to(p, has_views(r), "views", "Cases in pictures");
    panel_links(p, false);
    link_to(p, r->command || r->config || r->num_environment, "reproduce", "Reproduction");
    link_to(p, true, "card", "Model card");
    raw(p, "</nav>\n</header>\n<main>\n");
    page_headline(p);
    if (r->num_header) {
        raw(p, "<section class=\"card\" aria-label=\"About this run\">\n");
        rows(p, r->header, r->num_header);
        raw(p, "</section>\n");
    }
}

static void plots(struct page *p, const struct pv_plot *plot, size_t n)
{
    if (n == 0)
        return;
    raw(p, "<div class=\"two\">\n");
    for (size_t i = 0; i < n; i++) {
        raw(p, "<div class=\"card\">\n");
        page_plot(p, &plot[i]);
        raw(p, "</div>\n");
    }
    raw(p, "</div>\n");
}

static void grid(struct page *p, const struct pv_report_grid *g)
{
    raw(p, "<div class=\"card long scroll\">\n<table>\n");
    if (g->title) {
        raw(p, "<caption>");
        page_text(p, g->title);
        raw(p, "</caption>\n");
    }
    raw(p, "<thead><tr>");
    for (size_t c = 0; c < g->cols; c++) {
        raw(p, "<th scope=\"col\">");
        page_text(p, g->head[c]);
        raw(p, "</th>");
    }
    raw(p, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < g->rows; i++) {
        raw(p, "<tr>");
        for (size_t c = 0; c < g->cols; c++) {
            raw(p, c == 0 ? "<th scope=\"row\">" : "<td>");
            page_text(p, g->cells[i * g->cols + c]);
            raw(p, c == 0 ? "</th>" : "</td>");
        }
        raw(p, "</tr>\n");
    }
    raw(p, "</tbody>\n</table>\n</div>\n");
}

static void bars(struct page *p, const struct pv_report_bars *b)
{
    double most = 0;
    for (size_t i = 0; i < b->num; i++)
        most = isfinite(b->values[i]) ? fmax(most, b->values[i]) : most;
    raw(p, "<div class=\"card\">\n<table class=\"bars\">\n");
    if (b->title) {
        raw(p, "<caption>");
        page_text(p, b->title);
        raw(p, "</caption>\n");
    }
    raw(p, "<tbody>\n");
    for (size_t i = 0; i < b->num; i++) {
        double v = b->values[i];
        raw(p, "<tr><th scope=\"row\">");
        page_text(p, b->labels[i]);
        raw(p, "</th><td>");
        if (isfinite(v) && v >= 0 && most > 0) {
            raw(p, "<span class=\"bar\" style=\"width:");
            pv_str_fixed(p->out, 100 * v / most, 2);
            raw(p, "%\"></span>");
        }
        raw(p, "</td><td class=\"num\">");
        pv_str_short(p->out, v, 4);
        if (b->unit && b->unit[0]) {
            raw(p, " ");
            page_text(p, b->unit);
        }
        raw(p, "</td></tr>\n");
    }
    raw(p, "</tbody>\n</table>\n</div>\n");
}

static void picture(struct page *p, const struct pv_report_picture *pic)
{
    raw(p, "<figure class=\"picture\"><img alt=\"");
    page_text(p, pic->alt ? pic->alt : pic->caption);
    raw(p, "\" src=\"");
    page_png(p, pic->image);
    raw(p, "\"/>");
    if (pic->caption) {
        raw(p, "<figcaption>");
        page_text(p, pic->caption);
        raw(p, "</figcaption>");
    }
    raw(p, "</figure>\n");
}

static void left_out(struct page *p)
{
    raw(p, "<p class=\"note\">Pictures are left out of this report.</p>\n");
}

static void panel(struct page *p, const struct pv_report_panel *a, size_t number)
{
    pv_str_addf(p->out, "<section id=\"panel-%zu\">\n<h2>", number);
    page_text(p, a->title ? a->title : "Further results");
    raw(p, "</h2>\n");
    if (a->note) {
        raw(p, "<p class=\"note\">");
        page_text(p, a->note);
        raw(p, "</p>\n");
    }
    for (size_t i = 0; i < a->num_bars; i++)
        bars(p, &a->bars[i]);
    plots(p, a->plots, a->num_plots);
    for (size_t i = 0; i < a->num_grids; i++)
        grid(p, &a->grids[i]);
    if (a->num_pictures && p->r->no_images) {
        left_out(p);
    } else if (a->num_pictures) {
        raw(p, "<div class=\"card long\">\n");
        for (size_t i = 0; i < a->num_pictures; i++)
            picture(p, &a->pictures[i]);
        raw(p, "</div>\n");
    }
    if (a->json) {
        raw(p, "<pre tabindex=\"0\" aria-label=\"Data of this section as JSON\">");
        page_text_as(p, VEIL_JSON, a->json);
        raw(p, "</pre>\n");
    }
    raw(p, "</section>\n");
}

static void panels(struct page *p, bool early)
{
    for (size_t i = 0; i < p->r->num_panels; i++)
        if (p->r->panels[i].early == early)
            panel(p, &p->r->panels[i], i + 1);
}

static void reproduce(struct page *p)
{
    const struct pv_report *r = p->r;
    if (!r->command && !r->config && !r->num_environment)
        return;
    raw(p, "<section id=\"reproduce\">\n<h2>Reproduction</h2>\n<div class=\"card long\">\n");
    if (r->command) {
        raw(p, "<h3>Command</h3>\n<pre tabindex=\"0\">");
        page_text_as(p, VEIL_COMMAND, r->command);
        raw(p, "</pre>\n");
    }
    if (r->config) {
        raw(p, "<h3>Configuration, everything resolved</h3>\n<pre tabindex=\"0\">");
        page_text_as(p, VEIL_JSON, r->config);
        raw(p, "</pre>\n");
    }
    if (r->num_environment) {
        raw(p, "<h3>Environment</h3>\n");
        rows(p, r->environment, r->num_environment);
    }
    raw(p, "</div>\n</section>\n");
}

static void card(struct page *p)
{
    const struct pv_report *r = p->r;
    raw(p, "<section id=\"card\">\n<h2>Model card</h2>\n<div class=\"card\">\n<h3>Intended use</h3>\n<p>");
    page_text(p, r->intended_use ? r->intended_use
        : "Research on image segmentation. Not a medical device: not for diagnosis, treatment or any other "
          "decision about a patient.");
    raw(p, "</p>\n<h3>Limits</h3>\n<p>");
    page_text(p, r->limits ? r->limits
        : "Trained on few annotated cases. The numbers hold for the cases listed here, which come from the same "
          "source as the training data; other scanners, protocols, diseases and age groups were not tested. Means "
          "hide single failures: look at the worst cases.");
    raw(p, "</p>\n");
    if (r->num_card)
        rows(p, r->card, r->num_card);
    raw(p, "</div>\n</section>\n");
}

bool pv_report_text(const struct pv_report *r, struct pv_str *out)
{
    struct page p = {.out = out, .r = r, .anonymous = r->anonymous_ids, .ok = true};
    veil_make(&p.veil, r);
    head(&p);
    masthead(&p);
    panels(&p, true);
    page_results(&p);
    if (r->num_plots) {
        raw(&p, "<section id=\"curves\">\n<h2>Curves</h2>\n");
        plots(&p, r->plots, r->num_plots);
        raw(&p, "</section>\n");
    }
    if (has_views(r) && r->no_images) {
        raw(&p, "<section id=\"views\">\n<h2>Cases in pictures</h2>\n");
        left_out(&p);
        raw(&p, "</section>\n");
    } else if (has_views(r)) {
        page_views(&p);
    }
    panels(&p, false);
    reproduce(&p);
    card(&p);
    raw(&p, "</main>\n<footer>");
    page_text(&p, r->footer ? r->footer : "protovox");
    raw(&p, "</footer>\n</div>\n<script>\n");
    raw_file(&p, "script");
    raw(&p, "</script>\n</body>\n</html>\n");
    veil_free(&p.veil);
    return p.ok;
}

bool pv_report_write(const struct pv_report *r, const char *path)
{
    struct pv_str text = {0};
    bool ok = pv_report_text(r, &text) && pv_write_file(path, text.text, text.len);
    pv_str_free(&text);
    return ok;
}
