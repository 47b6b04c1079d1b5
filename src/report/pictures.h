/* SPDX-License-Identifier: Apache-2.0
 * Pictures of the cases of a run in one file, so that report.html can be made again without the volumes: a
 * safetensors file whose tensors are PNG files (U8), "0.mosaic.base" and so on, and whose metadata name the cases
 * and the planes. */
#ifndef REPORT_PICTURES_H
#define REPORT_PICTURES_H

#include "report/overlay.h"

/* Packed layers; start with {0}. */
struct pv_pictures {
    size_t num, cap;
    struct pv_case_pictures {
        char *id;
        double score;               /* small: a case to look at first; NaN is smallest */
        struct pv_layers mosaic, strip;
    } *cases;
    size_t most;                    /* of the cases added, those with the smallest scores are kept; 0: 40 */
    size_t dropped;                 /* cases added and not kept */
};

/* Draws the case and keeps it if its score is among the smallest. False with PV_FAULT_INPUT if there is no memory. */
bool pv_pictures_add(struct pv_pictures *p, const struct pv_overlay *o, double score);
const struct pv_case_pictures *pv_pictures_find(const struct pv_pictures *p, const char *id);   /* NULL: none */
bool pv_pictures_write(const struct pv_pictures *p, const char *path);
/* The file is taken for hostile: sizes must be those of its PNG files. PV_FAULT_INPUT naming it. */
bool pv_pictures_read(const char *path, struct pv_pictures *p);
void pv_pictures_free(struct pv_pictures *p);       /* leaves zeros; NULL safe */

#endif
