/* SPDX-License-Identifier: Apache-2.0
 * One pass over the volumes per class counts voxels and finds the box that holds both masks; surfaces and
 * distances see only that box, which changes nothing as all else is background. */
#include "eval/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "eval/components.h"
#include "eval/stats.h"
#include "eval/surface.h"

struct pv_facts {
    double tp, fp, fn;
    struct pv_surface_dist d;
    double tolerance, voxel_volume;
};

/* ---- the metrics ---- */

static double dice(const struct pv_facts *f) { return 2 * f->tp / (2 * f->tp + f->fp + f->fn); }
static double jaccard(const struct pv_facts *f) { return f->tp / (f->tp + f->fp + f->fn); }
static double sensitivity(const struct pv_facts *f) { return f->tp / (f->tp + f->fn); }
static double precision(const struct pv_facts *f) { return f->tp / (f->tp + f->fp); }
static double volume_pred(const struct pv_facts *f) { return (f->tp + f->fp) * f->voxel_volume; }
static double volume_ref(const struct pv_facts *f) { return (f->tp + f->fn) * f->voxel_volume; }

static double ravd(const struct pv_facts *f)
{
    return f->tp + f->fn > 0 ? (f->fp - f->fn) / (f->tp + f->fn) : NAN;
}

static double hd95(const struct pv_facts *f)
{
    size_t n = f->d.num_ab + f->d.num_ba;
    double *both = pv_alloc(n * sizeof *both);
    memcpy(both, f->d.ab, f->d.num_ab * sizeof *both);
    memcpy(both + f->d.num_ab, f->d.ba, f->d.num_ba * sizeof *both);
    double v = pv_percentile(both, n, 95);
    pv_free(both);
    return v;
}

static double asd(const struct pv_facts *f)
{
    return pv_mean(f->d.ab, f->d.num_ab);
}

static double assd(const struct pv_facts *f)
{
    double ab = (double)f->d.num_ab, ba = (double)f->d.num_ba;
    return (ab * pv_mean(f->d.ab, f->d.num_ab) + ba * pv_mean(f->d.ba, f->d.num_ba)) / (ab + ba);
}

static double largest(const double *d, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, d[i]);
    return most;
}

static double hd(const struct pv_facts *f)
{
    return fmax(largest(f->d.ab, f->d.num_ab), largest(f->d.ba, f->d.num_ba));
}

static size_t num_within(const double *d, size_t n, double most)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += d[i] <= most;
    return count;
}

/* A distance that equals the tolerance counts, however 10 x 0.1 mm was rounded. */
static double nsd(const struct pv_facts *f)
{
    double most = f->tolerance * (1 + 1e-9);
    size_t n = num_within(f->d.ab, f->d.num_ab, most) + num_within(f->d.ba, f->d.num_ba, most);
    return (double)n / (double)(f->d.num_ab + f->d.num_ba);
}

const struct pv_metric pv_metrics[PV_NUM_METRICS] = {
    [PV_DICE] = {"dice", "Dice", "Dice", PV_KIND_SHARE, false, dice},
    [PV_JACCARD] = {"jaccard", "IoU", "Jaccard", PV_KIND_SHARE, false, jaccard},
    [PV_HD95] = {"hd95", "HD95", "95HD", PV_KIND_DISTANCE, true, hd95},
    [PV_ASD] = {"asd", "ASD", "ASD", PV_KIND_DISTANCE, true, asd},
    [PV_ASSD] = {"assd", "ASSD", "ASSD", PV_KIND_DISTANCE, true, assd},
    [PV_HD] = {"hd", "HD", "HD", PV_KIND_DISTANCE, true, hd},
    [PV_NSD] = {"nsd", "NSD", "NSD", PV_KIND_SHARE, true, nsd},
    [PV_SENSITIVITY] = {"sensitivity", "Sensitivity", "Sens.", PV_KIND_SHARE, false, sensitivity},
    [PV_PRECISION] = {"precision", "Precision", "Prec.", PV_KIND_SHARE, false, precision},
    [PV_RAVD] = {"ravd", "RAVD", "RAVD", PV_KIND_RATIO, false, ravd},
    [PV_VOLUME_PRED] = {"volume_pred", "VolumePred", "Volume", PV_KIND_VOLUME, false, volume_pred},
    [PV_VOLUME_REF] = {"volume_ref", "VolumeRef", "Ref. vol.", PV_KIND_VOLUME, false, volume_ref},
};

int pv_metric_find(const char *name)
{
    const char *names[PV_NUM_METRICS];
    for (int i = 0; i < PV_NUM_METRICS; i++) {
        names[i] = pv_metrics[i].name;
        if (pv_streq(name, names[i]))
            return i;
    }
    const char *near = pv_nearest(name, names, PV_NUM_METRICS);
    struct pv_str known = {0};
    for (int i = 0; i < PV_NUM_METRICS; i++)
        pv_str_addf(&known, "%s%s", i ? ", " : "", names[i]);
    pv_fail(PV_FAULT_USAGE, "no metric '%s'%s%s%s; known are %s", name, near ? ": did you mean '" : "",
            near ? near : "", near ? "'?" : "", known.text);
    pv_str_free(&known);
    return -1;
}

/* ---- parameters ---- */

struct pv_region pv_region_of(const int *labels, int num_labels)
{
    struct pv_region r = {{0}};
    struct pv_str name = {0};
    for (int i = 0; i < num_labels; i++) {
        r.has[labels[i] & 255] = true;
        pv_str_addf(&name, "%s%d", i == 0 ? num_labels > 1 ? "(" : "" : ", ", labels[i]);
    }
    pv_str_add(&name, num_labels > 1 ? ")" : "");
    if (name.len < sizeof r.name)
        snprintf(r.name, sizeof r.name, "%s", name.text);
    else
        snprintf(r.name, sizeof r.name, "%.*s...", (int)sizeof r.name - 4, name.text);
    pv_str_free(&name);
    return r;
}

struct pv_eval_params pv_eval_defaults(int num_classes)
{
    return (struct pv_eval_params){.num_classes = num_classes, .ignore = 255, .tolerance = 1,
                                   .wanted = (1u << PV_NUM_METRICS) - 1};
}

int pv_eval_num_scored(const struct pv_eval_params *p)
{
    return p->regions ? p->num_regions : p->num_classes - 1;
}

static struct pv_region scored(const struct pv_eval_params *p, int i)
{
    int label = i + 1;
    return p->regions ? p->regions[i] : pv_region_of(&label, 1);
}

static bool check(const int s[3], const double spacing[3], const struct pv_eval_params *p)
{
    int most = p->ignore >= 0 ? 255 : 256;
    if (p->regions ? p->num_regions < 1 : p->num_classes < 2 || p->num_classes > most)
        return pv_fail(PV_FAULT_USAGE, "nothing can be scored with %d classes: 2 to %d, background included",
                       p->num_classes, most);
    if (p->ignore > 255 || p->ignore < -1)
        return pv_fail(PV_FAULT_USAGE, "the label to ignore is %d, not in 0 to 255", p->ignore);
    for (int i = 0; p->ignore >= 0 && i < pv_eval_num_scored(p); i++)
        if (scored(p, i).has[p->ignore])
            return pv_fail(PV_FAULT_USAGE, "label %d cannot be ignored and scored: choose another one to ignore",
                           p->ignore);
    if (!(p->tolerance >= 0))
        return pv_fail(PV_FAULT_USAGE, "the tolerance of nsd is %g, not a distance", p->tolerance);
    for (int a = 0; a < 3; a++) {
        if (s[a] < 1)
            return pv_fail(PV_FAULT_INPUT, "cannot score a volume of %d x %d x %d voxels", s[0], s[1], s[2]);
        if (p->units == PV_UNITS_MM && !(spacing && spacing[a] > 0 && isfinite(spacing[a])))
            return pv_fail(PV_FAULT_INPUT, "distances in mm need voxel sizes; that of axis %c is %g: mend the "
                           "header or score in voxels", 'x' + a, spacing ? spacing[a] : NAN);
    }
    return true;
}

/* ---- counting ---- */

enum { IGNORED = 4 };

/* Masks of one class while they are looked up: pred_bit[pred[i]] | ref_bit[ref[i]] is PV_IN_A, PV_IN_B, both,
 * or has IGNORED. */
struct masks {
    const uint8_t *pred, *ref;
    const int *s;
    uint8_t pred_bit[256], ref_bit[256];
    uint64_t count[8];
    int from[3], to[3];         /* the box of both masks: from <= x < to */
};

static void grow(struct masks *m, int axis, int first, int last)
{
    m->from[axis] = pv_min(m->from[axis], first);
    m->to[axis] = pv_max(m->to[axis], last + 1);
}

static unsigned bits_at(const struct masks *m, size_t i)
{
    unsigned v = m->pred_bit[m->pred[i]] | m->ref_bit[m->ref[i]];
    return v & IGNORED ? 0 : v;
}

static void count_masks(struct masks *m)
{
    size_t row = (size_t)m->s[2];
    memset(m->count, 0, sizeof m->count);
    for (int a = 0; a < 3; a++) {
        m->from[a] = m->s[a];
        m->to[a] = 0;
    }
    for (int x = 0; x < m->s[0]; x++) {
        for (int y = 0; y < m->s[1]; y++) {
            size_t at = ((size_t)x * (size_t)m->s[1] + (size_t)y) * row, count[8] = {0};
            for (size_t i = at; i < at + row; i++)
                count[m->pred_bit[m->pred[i]] | m->ref_bit[m->ref[i]]]++;
            for (int k = 0; k < 8; k++)
                m->count[k] += count[k];
            if (count[PV_IN_A] + count[PV_IN_B] + count[PV_IN_A | PV_IN_B] == 0)
                continue;
            size_t first = 0, last = row - 1;
            while (!bits_at(m, at + first))
                first++;
            while (!bits_at(m, at + last))
                last--;
            grow(m, 0, x, x);
            grow(m, 1, y, y);
            grow(m, 2, (int)first, (int)last);
        }
    }
}

/* ---- surfaces ---- */

static bool distances(const struct masks *m, const double unit[3], bool flat, struct pv_surface_dist *out)
{
    int s[3];
    bool eroded[3];
    for (int a = 0; a < 3; a++) {
        s[a] = m->to[a] - m->from[a];
        eroded[a] = !(flat && m->s[a] == 1);
    }
    uint8_t *box = pv_alloc_big((size_t)s[0] * (size_t)s[1] * (size_t)s[2], "the masks of a class");
    if (!box)
        return false;
    size_t k = 0;
    for (int x = m->from[0]; x < m->to[0]; x++) {
        for (int y = m->from[1]; y < m->to[1]; y++) {
            size_t row = ((size_t)x * (size_t)m->s[1] + (size_t)y) * (size_t)m->s[2];
            for (int z = m->from[2]; z < m->to[2]; z++)
                box[k++] = (uint8_t)bits_at(m, row + (size_t)z);
        }
    }
    bool ok = pv_surface_distances(box, s, unit, eroded, out);
    pv_free_big(box);
    return ok;
}

/* The table at enum pv_empty; NaN stays for what it does not speak of. */
static double when_empty(enum pv_metric_id id, enum pv_empty empty, bool both, double diagonal)
{
    if (id == PV_RAVD)
        return empty == PV_EMPTY_STRICT && both ? 0 : NAN;
    switch (pv_metrics[id].kind) {
    case PV_KIND_DISTANCE:
        return empty == PV_EMPTY_NAN ? NAN : empty == PV_EMPTY_STRICT && !both ? diagonal : 0;
    case PV_KIND_SHARE:
        return empty == PV_EMPTY_NAN ? NAN : empty == PV_EMPTY_STRICT && both ? 1 : 0;
    default:
        return NAN;
    }
}

static void fill(struct pv_metrics *out, const struct pv_facts *f, const struct pv_eval_params *p, double diagonal)
{
    bool any = out->pred_empty || out->ref_empty, both = out->pred_empty && out->ref_empty;
    for (int i = 0; i < PV_NUM_METRICS; i++) {
        const struct pv_metric *metric = &pv_metrics[i];
        double v = NAN;
        if (!(p->wanted >> i & 1)) {
            out->v[i] = NAN;
            continue;
        }
        if (i == PV_NSD && any && !both)
            v = 0;
        else if (!metric->surface || !any)
            v = metric->value(f);
        out->v[i] = isnan(v) ? when_empty((enum pv_metric_id)i, p->empty, both, diagonal) : v;
    }
}

static bool evaluate_class(struct masks *m, const struct pv_eval_params *p, const double unit[3],
                           struct pv_metrics *out)
{
    count_masks(m);
    out->tp = m->count[PV_IN_A | PV_IN_B];
    out->fp = m->count[PV_IN_A];
    out->fn = m->count[PV_IN_B];
    out->tn = m->count[0];
    out->pred_empty = out->tp + out->fp == 0;
    out->ref_empty = out->tp + out->fn == 0;
    struct pv_facts f = {.tp = (double)out->tp, .fp = (double)out->fp, .fn = (double)out->fn,
                         .tolerance = p->tolerance, .voxel_volume = unit[0] * unit[1] * unit[2]};
    bool surfaces = false;
    double diagonal = 0;
    for (int i = 0; i < PV_NUM_METRICS; i++)
        surfaces = surfaces || (pv_metrics[i].surface && (p->wanted >> i & 1));
    for (int a = 0; a < 3; a++)
        diagonal += m->s[a] * unit[a] * m->s[a] * unit[a];
    if (surfaces && !out->pred_empty && !out->ref_empty && !distances(m, unit, p->flat, &f.d))
        return false;
    fill(out, &f, p, sqrt(diagonal));
    pv_surface_dist_free(&f.d);
    return true;
}

/* ---- one case ---- */

/* The prediction's mask of a class without all but its largest component: 0 and 1. */
static bool largest_mask(const uint8_t *pred, const int s[3], const struct pv_region *r, int neighbours,
                         uint8_t *mask)
{
    size_t n = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    for (size_t i = 0; i < n; i++)
        mask[i] = r->has[pred[i]];
    return pv_keep_largest(mask, s, 1, neighbours);
}

static void count_labels(const uint8_t *pred, const uint8_t *ref, size_t n, const struct pv_eval_params *p,
                         struct pv_case_metrics *out)
{
    uint64_t in_pred[256] = {0}, in_ref[256] = {0};
    bool known[256] = {true};
    for (size_t i = 0; i < n; i++) {
        in_pred[pred[i]]++;
        in_ref[ref[i]]++;
    }
    for (int i = 0; i < out->num_scored; i++) {
        struct pv_region r = scored(p, i);
        for (int k = 0; k < 256; k++)
            known[k] = known[k] || r.has[k];
    }
    out->num_ignored = p->ignore >= 0 ? in_ref[p->ignore] : 0;
    for (int k = 0; k < 256; k++) {
        out->num_unknown_pred += known[k] ? 0 : in_pred[k];
        out->num_unknown_ref += known[k] || k == p->ignore ? 0 : in_ref[k];
    }
}

bool pv_evaluate_pair(const uint8_t *pred, const uint8_t *ref, const int s[3], const double spacing[3],
                      const struct pv_eval_params *params, struct pv_case_metrics *out)
{
    *out = (struct pv_case_metrics){0};
    if (!check(s, spacing, params))
        return false;
    const double one[3] = {1, 1, 1}, *unit = params->units == PV_UNITS_MM ? spacing : one;
    size_t n = (size_t)s[0] * (size_t)s[1] * (size_t)s[2];
    uint8_t *kept = NULL;
    bool ok = false;
    out->num_scored = pv_eval_num_scored(params);
    out->m = pv_array(struct pv_metrics, out->num_scored);
    count_labels(pred, ref, n, params, out);
    if (params->largest && !(kept = pv_alloc_big(n, "largest components")))
        goto done;
    for (int c = 0; c < out->num_scored; c++) {
        struct pv_region r = scored(params, c);
        struct masks m = {.pred = kept ? kept : pred, .ref = ref, .s = s};
        if (kept && !largest_mask(pred, s, &r, params->largest, kept))
            goto done;
        for (int k = 0; k < 256; k++) {
            m.pred_bit[k] = (kept ? k == 1 : r.has[k]) ? PV_IN_A : 0;
            m.ref_bit[k] = k == params->ignore ? IGNORED : r.has[k] ? PV_IN_B : 0;
        }
        if (!evaluate_class(&m, params, unit, &out->m[c]))
            goto done;
    }
    ok = true;
done:
    pv_free_big(kept);
    return ok;
}

void pv_case_metrics_free(struct pv_case_metrics *c)
{
    if (!c)
        return;
    pv_free(c->name);
    pv_free(c->pred_file);
    pv_free(c->ref_file);
    pv_free(c->m);
    *c = (struct pv_case_metrics){0};
}
