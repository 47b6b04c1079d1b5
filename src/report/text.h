/* SPDX-License-Identifier: Apache-2.0
 * Text for SVG and HTML: numbers with a point whatever the locale says, escaping, base64. */
#ifndef REPORT_TEXT_H
#define REPORT_TEXT_H

#include "base/base.h"

/* `decimals` digits behind the point (0..12); "-0.00" becomes "0.00", NaN "n/a", infinities "inf" and
 * "-inf", numbers of 1e15 and more have an exponent. */
void pv_text_fixed(char out[32], double v, int decimals);
/* At most `digits` significant digits (1..17), without trailing zeros: "0.01", "1e-5", "6000". */
void pv_text_short(char out[32], double v, int digits);
void pv_str_fixed(struct pv_str *s, double v, int decimals);
void pv_str_short(struct pv_str *s, double v, int digits);

/* Code point of the UTF-8 sequence at *p, which is moved behind it. What is not UTF-8 (stray bytes,
 * overlong forms, surrogates) gives 0xFFFD byte by byte; 0 at the end, where *p stays. */
uint32_t pv_utf8_next(const char **p);

/* For text and quoted attributes of HTML and XML: & < > " ' become references; control characters
 * other than tab and newline, noncharacters and what is not UTF-8 become U+FFFD. NULL adds nothing. */
void pv_str_escape(struct pv_str *s, const char *text);
/* RFC 4648 with padding. */
void pv_str_base64(struct pv_str *s, const void *data, size_t n);

#endif
