/* SPDX-License-Identifier: Apache-2.0
 * What the files that write report.html share. */
#ifndef REPORT_HTML_IMPL_H
#define REPORT_HTML_IMPL_H

#include "report/axis.h"
#include "report/html.h"
#include "report/text.h"

/* Names that are hidden and what stands for them, longest first. */
struct veil {
    size_t num;
    struct veil_name { const char *from; char to[16]; size_t len; } *names;
};
void veil_make(struct veil *v, const struct pv_report *r);      /* empty unless anonymous_ids */
void veil_free(struct veil *v);
enum veil_kind {
    VEIL_TEXT,      /* names, and folders of absolute paths */
    VEIL_COMMAND,   /* names, and every folder */
    VEIL_JSON,      /* the same in the strings of JSON; as VEIL_COMMAND if it is none */
};
char *veil_text(const struct veil *v, enum veil_kind kind, const char *text);   /* pv_free it */

struct page {
    struct pv_str *out;
    const struct pv_report *r;
    struct veil veil;
    bool anonymous, ok;
};
static inline void raw(struct page *p, const char *html) { pv_str_add(p->out, html); }      /* ours only */
/* All texts go through these. */
void page_text(struct page *p, const char *text);               /* escaped; NULL adds nothing */
void page_text_as(struct page *p, enum veil_kind kind, const char *text);
void page_id(struct page *p, const char *id);                   /* the name of a case */
void page_plot(struct page *p, const struct pv_plot *plot);
void page_png(struct page *p, const struct pv_image *im);       /* a data: URI */

void page_headline(struct page *p);                             /* a tile per metric: mean and deviation */
void page_results(struct page *p);                              /* summary, strip plots, table of cases */
void page_views(struct page *p);                                /* pictures of the cases */

#endif
