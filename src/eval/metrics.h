/* SPDX-License-Identifier: Apache-2.0
 * Metrics of one predicted label volume against its reference, per class.
 *
 *   A prediction, B reference, d(A, B) the distances of A's surface voxels to B's surface (surface.h)
 *   dice         2 |A B| / (|A| + |B|)              jaccard    |A B| / |A or B|
 *   hd95         95th percentile (numpy, linear) of d(A, B) and d(B, A) thrown together; other tools take
 *                the larger of two percentiles, a different number
 *   asd          mean d(A, B): one direction, as medpy's asd(prediction, reference)
 *   assd         mean of both directions' distances thrown together, as medpy 0.5; 0.4.0 takes the mean of
 *                asd in both directions
 *   hd           largest of both directions
 *   nsd          share of both surfaces' voxels at most `tolerance` from the other (surface Dice, by voxels)
 *   sensitivity  tp / (tp + fn)                     precision  tp / (tp + fp)
 *   ravd         (|A| - |B|) / |B|                  volume_*   voxels times the volume of one
 *
 * All but nsd equal medpy 0.5.2, and 0.4.0 but for what is said of assd and of empty masks. Voxels with the
 * label `ignore` in the reference count nowhere and leave both masks before surfaces are taken: both get the
 * same new border there. Largest components (`largest`) are found before that. */
#ifndef EVAL_METRICS_H
#define EVAL_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pv_units { PV_UNITS_VOXEL, PV_UNITS_MM };      /* voxel: spacing 1, whatever the image says */

/* What an empty mask counts. Rows: prediction or reference is empty / both are.
 *            dice, jaccard, nsd   hd95, asd, assd, hd     sensitivity, precision (if 0 / 0)
 *   MEDPY    0 / 0                0 / 0                   0 / 0
 *   STRICT   0 / 1                the diagonal / 0        0 / 1
 *   NAN      0 / NaN              NaN / NaN               NaN / NaN
 * MEDPY is what the public semi-supervised code does around medpy, which raises an error for distances: a
 * missed organ gets a perfect distance of 0, so the number of empty predictions belongs beside it. (dice of
 * two empty masks is 0 in medpy 0.4.0, 1 since.) The diagonal is that of the image in the units chosen. ravd is
 * NaN for an empty reference (STRICT, both: 0). Volumes and counts are never missing. */
enum pv_empty { PV_EMPTY_MEDPY, PV_EMPTY_STRICT, PV_EMPTY_NAN };

enum pv_metric_id { PV_DICE, PV_JACCARD, PV_HD95, PV_ASD, PV_ASSD, PV_HD, PV_NSD, PV_SENSITIVITY, PV_PRECISION,
                    PV_RAVD, PV_VOLUME_PRED, PV_VOLUME_REF, PV_NUM_METRICS };
enum pv_metric_kind {
    PV_KIND_SHARE,          /* 0 to 1, better if larger; shown in percent */
    PV_KIND_DISTANCE,       /* in voxels or mm, better if smaller */
    PV_KIND_RATIO,          /* signed, best at 0 */
    PV_KIND_VOLUME,         /* in voxels or mm^3 */
};

struct pv_facts;            /* what a metric is computed from; private to metrics.c */
struct pv_metric {
    const char *name;       /* on the command line and in CSV: "hd95" */
    const char *key;        /* in summary.json: "HD95" */
    const char *title;      /* in tables: "95HD" */
    enum pv_metric_kind kind;
    bool surface;           /* needs surface distances, which are slow beside the rest */
    double (*value)(const struct pv_facts *f);      /* 0 / 0 is NaN; not called for distances to nothing */
};
extern const struct pv_metric pv_metrics[PV_NUM_METRICS];
int pv_metric_find(const char *name);               /* -1 with PV_FAULT_USAGE and the nearest name */

/* A class to be scored: one or several labels together (BraTS' whole tumour is 1, 2, 4). */
struct pv_region {
    char name[64];          /* "1", "(1, 2, 4)": nnU-Net's keys */
    bool has[256];
};
/* Labels in [0, 255], at least one, in the order of the name; a longer name ends in "...". */
struct pv_region pv_region_of(const int *labels, int num_labels);

struct pv_eval_params {
    int num_classes;                    /* with background: 1 .. num_classes - 1 are scored */
    const struct pv_region *regions;    /* scored instead; borrowed */
    int num_regions;
    int ignore;                         /* label of the reference, -1: none */
    enum pv_units units;
    enum pv_empty empty;
    bool flat;                          /* axes of length 1 have no border: 2D images as in 2D medpy */
    double tolerance;                   /* of nsd, in the units */
    int largest;                        /* 6, 18, 26, 4, 8: only the largest component of every predicted
                                         * class (components.h) counts; 0: all */
    uint32_t wanted;                    /* bits 1u << PV_DICE, ...; others are NaN */
};
/* ignore 255, voxel, MEDPY, tolerance 1, all components, all metrics. */
struct pv_eval_params pv_eval_defaults(int num_classes);
int pv_eval_num_scored(const struct pv_eval_params *p);     /* regions or foreground classes */

struct pv_metrics {
    double v[PV_NUM_METRICS];
    uint64_t tp, fp, fn, tn;            /* tp + fp = prediction's voxels, tp + fn = reference's */
    bool pred_empty, ref_empty;
};

struct pv_case_metrics {
    char *name, *pred_file, *ref_file;  /* owned, may be NULL; pv_evaluate_pair leaves them NULL */
    int num_scored;
    struct pv_metrics *m;               /* [num_scored], owned */
    uint64_t num_ignored;               /* voxels */
    uint64_t num_unknown_pred;          /* with a label that is neither 0 nor scored: the caller warns */
    uint64_t num_unknown_ref;
};

/* Scores `pred` against `ref`, both [x][y][z] with z contiguous and of size s; spacing in mm, of which only
 * PV_UNITS_MM makes use (NULL otherwise allowed). Fills *out, to be freed whatever is returned. False with
 * PV_FAULT_USAGE for impossible parameters, PV_FAULT_INPUT for an unusable size or spacing or no memory. */
bool pv_evaluate_pair(const uint8_t *pred, const uint8_t *ref, const int s[3], const double spacing[3],
                      const struct pv_eval_params *params, struct pv_case_metrics *out);
void pv_case_metrics_free(struct pv_case_metrics *c);       /* leaves zeros; NULL safe */

#endif
