/* SPDX-License-Identifier: Apache-2.0
 * Views of CRLN's images (methods.md 4.4), made on the device from choices that are drawn on the host: in-plane
 * scaling, CutMix, intensity, noise, quarter turns with a flip; labels and confidences follow. */
#include <math.h>
#include <stdlib.h>

#include "method/crln.h"
#include "ops/augment.h"
#include "ops/gather.h"
#include "ops/map.h"
#include "ops/reduce.h"

struct crln_aug crln_read_views(const struct pv_run *r)
{
    return (struct crln_aug){.weak = (float)pv_run_opt(r, "weak_brightness"), .low = pv_run_opt(r, "scale_low"),
        .high = pv_run_opt(r, "scale_high"), .cutmix = pv_run_opt(r, "cutmix") != 0,
        .minmax = pv_run_opt(r, "minmax") != 0, .p_intensity = pv_run_opt(r, "p_intensity"),
        .intensity = pv_run_opt(r, "intensity"), .p_noise = pv_run_opt(r, "p_noise"),
        .p_turn = pv_run_opt(r, "p_turn")};
}

/* FLAT [n] of host numbers; frees v. */
static pv_tensor *per_sample(pv_dev *dev, struct pv_scope *s, int n, double *v)
{
    float *f = pv_array(float, n);
    for (int i = 0; i < n; i++)
        f[i] = (float)v[i];
    pv_tensor *t = pv_keep(s, pv_tensor_new(dev, pv_flat(n), PV_F32));
    pv_tensor_write(t, f);
    pv_free(f);
    pv_free(v);
    return t;
}

/* n numbers of pv_run_uniforms. */
static double *uniforms(struct pv_run *r, const char *name, int n, double lo, double hi)
{
    double *v = pv_array(double, n);
    pv_run_uniforms(r, name, n, lo, hi, v);
    return v;
}

static pv_tensor *clip01(pv_tape *t, struct pv_scope *s, pv_tensor *x)
{
    return pv_keep(s, pv_unary(t, PV_CLAMP, x, 0, 1));
}

pv_tensor *crln_weak(struct pv_run *r, struct pv_scope *s, const struct crln_aug *a, pv_tensor *x)
{
    if (!(a->weak > 0) || !x)
        return x;
    int n = x->h.n;
    double range = a->weak, *by = uniforms(r, "weak_brightness", n, 1 - range, 1 + range);
    pv_tensor *f = per_sample(r->dev, s, n, by);
    return clip01(r->tape, s, pv_keep(s, pv_binary(r->tape, PV_MUL, x, f)));
}

/* (x - min) / (max - min) of every sample, 0 where a sample is constant. */
static pv_tensor *min_max(struct pv_run *r, struct pv_scope *s, const struct crln_aug *a, pv_tensor *x)
{
    if (!a->minmax || !x)
        return x;
    struct pv_scope k = {0};
    pv_tensor *end[2];
    for (int i = 0; i < 2; i++) {
        end[i] = pv_keep(&k, pv_tensor_new(r->dev, pv_flat(x->h.n), PV_F32));
        for (int n = 0; n < x->h.n; n++) {
            pv_tensor *one = pv_keep(&k, pv_tensor_samples(x, n, 1));
            pv_tensor *at = pv_keep(&k, pv_tensor_view(end[i], (size_t)n, 1));
            pv_tensor_copy(at, pv_keep(&k, pv_percentile_of(r->tape, one, 100 * i, NULL)));
        }
    }
    pv_tensor *range = pv_keep(&k, pv_binary(r->tape, PV_SUB, end[1], end[0]));
    range = pv_keep(&k, pv_unary(r->tape, PV_CLAMP, range, 1e-8f, 3e38f));
    pv_tensor *above = pv_keep(&k, pv_binary(r->tape, PV_SUB, x, end[0]));
    pv_tensor *y = pv_keep(s, pv_binary(r->tape, PV_DIV, above, range));
    pv_scope_end(&k);
    return y;
}

/* Where a patch is cut out of the middle of a side that is padded by max(floor((patch - side) / 2) + 3, 0) at both
 * ends (a side never exceeds the patch along z, so that there always is padding): half of what is left, rounded to
 * even, in front. */
static int centre(int side, int patch)
{
    int pad = (int)floor((patch - side) / 2.0) + 3, left, half;
    pad = pad > 0 ? pad : 0;
    left = side + 2 * pad - patch;
    half = left / 2;
    return half + (left % 2 && half % 2) - pad;
}

static void gather(struct pv_run *r, struct pv_scope *s, const struct pv_gather_params *p, bool cubic,
                   struct crln_view *v)
{
    int n = v->image->h.n, *size = v->image->h.s;
    v->image = pv_keep(s, pv_gather(r->tape, v->image, n, p, size, cubic ? PV_GATHER_CUBIC : PV_GATHER_NEAREST,
                                    PV_BORDER_REFLECT, 0));
    v->label = pv_keep(s, pv_gather(r->tape, v->label, n, p, size, PV_GATHER_NEAREST, PV_BORDER_VALUE, PV_IGNORE));
    v->conf = pv_keep(s, pv_gather(r->tape, v->conf, n, p, size, PV_GATHER_NEAREST, PV_BORDER_VALUE, 0));
}

static bool is_whole(const struct crln_view *v) { return v->image && v->label && v->conf; }

static void scale(struct pv_run *r, struct pv_scope *s, const struct crln_aug *a, struct crln_view *v)
{
    int n = v->image->h.n, *size = v->image->h.s;
    struct pv_gather_params *p = pv_array(struct pv_gather_params, n);
    double *by = uniforms(r, "scale", n, a->low, a->high);
    for (int i = 0; i < n; i++) {
        p[i].sample = i;
        for (int k = 0; k < 2; k++) {
            p[i].scaled[k] = pv_min(4096, pv_max(1, (int)(size[k] * by[i])));
            p[i].first[k] = centre(p[i].scaled[k], size[k]);
        }
    }
    gather(r, s, p, true, v);
    pv_free(by);
    pv_free(p);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Beta(4, 4) is the distribution of the median of seven uniform numbers. */
static double draw_lambda(struct pv_run *r)
{
    double u[7];
    pv_run_uniforms(r, "cutmix_lambda", 7, 0, 1, u);
    qsort(u, 7, sizeof *u, by_value);
    return u[3];
}

static void shuffle(struct pv_run *r, int n, struct pv_box *box)
{
    int *below = pv_array(int, n), *at = pv_array(int, n);
    for (int i = 0; i < n; i++) {
        box[i].from = i;
        below[i] = i + 1;
    }
    pv_run_below(r, "cutmix_from", n, below, at);
    for (int i = n - 1; i > 0; i--) {
        int t = box[i].from;
        box[i].from = box[at[i]].from;
        box[at[i]].from = t;
    }
    pv_free(below);
    pv_free(at);
}

/* Boxes of one size over the whole depth, around centres that are drawn, from another sample. */
static void cutmix(struct pv_run *r, struct pv_scope *s, struct crln_view *v)
{
    int n = v->image->h.n, *size = v->image->h.s;
    struct pv_box *box = pv_array(struct pv_box, n);
    int *below = pv_array(int, 2 * n), *at = pv_array(int, 2 * n);
    double side = sqrt(1 - draw_lambda(r));
    for (int i = 0; i < 2 * n; i++)
        below[i] = size[i % 2] - size[i % 2] / 8;
    pv_run_below(r, "cutmix_centre", 2 * n, below, at);
    shuffle(r, n, box);
    for (int i = 0; i < n; i++) {
        box[i].hi[2] = size[2];
        for (int k = 0; k < 2; k++) {
            int mid = size[k] / 8 + at[2 * i + k], half = (int)(size[k] * side) / 2;
            box[i].lo[k] = pv_max(0, mid - half);
            box[i].hi[k] = pv_min(size[k], mid + half);
        }
    }
    v->image = pv_keep(s, pv_box_mix(r->tape, v->image, v->image, box));
    v->label = pv_keep(s, pv_box_mix(r->tape, v->label, v->label, box));
    v->conf = pv_keep(s, pv_box_mix(r->tape, v->conf, v->conf, box));
    pv_free(box);
    pv_free(below);
    pv_free(at);
}

/* Intensity and noise, each in some samples. */
static void intensity(struct pv_run *r, struct pv_scope *s, const struct crln_aug *a, struct crln_view *v)
{
    int n = v->image->h.n;
    if (a->p_intensity > 0) {
        double *on = uniforms(r, "intensity_on", n, 0, 1), *by = uniforms(r, "intensity", n, 1 - a->intensity,
                                                                           1 + a->intensity);
        for (int i = 0; i < n; i++) {
            on[i] = on[i] < a->p_intensity;
            by[i] = on[i] != 0 ? by[i] : 1;
        }
        pv_tensor *cond = per_sample(r->dev, s, n, on), *f = per_sample(r->dev, s, n, by);
        pv_tensor *y = clip01(r->tape, s, pv_keep(s, pv_binary(r->tape, PV_MUL, v->image, f)));
        v->image = pv_keep(s, pv_select(r->tape, cond, y, v->image));
    }
    if (a->p_noise > 0) {
        double *on = uniforms(r, "noise_on", n, 0, 1);
        for (int i = 0; i < n; i++)
            on[i] = on[i] < a->p_noise;
        pv_tensor *cond = per_sample(r->dev, s, n, on);
        pv_tensor *y = pv_keep(s, pv_run_noise(r, "noise", v->image, 0.1, 0.2));
        v->image = pv_keep(s, pv_select(r->tape, cond, y, v->image));
    }
}

/* Quarter turns and a flip; half turns only where a quarter would change the patch's shape. */
static void turn(struct pv_run *r, struct pv_scope *s, const struct crln_aug *a, struct crln_view *v)
{
    int n = v->image->h.n, *size = v->image->h.s, *below = pv_array(int, n), *rot = pv_array(int, n);
    int *flip = pv_array(int, n);
    struct pv_gather_params *p = pv_array(struct pv_gather_params, n);
    double *on = uniforms(r, "turn_on", n, 0, 1);
    for (int i = 0; i < n; i++)
        below[i] = 4;
    pv_run_below(r, "turn", n, below, rot);
    for (int i = 0; i < n; i++)
        below[i] = 2;
    pv_run_below(r, "flip", n, below, flip);
    for (int i = 0; i < n; i++) {
        bool turned = on[i] < a->p_turn;
        p[i].sample = i;
        p[i].rot90 = turned ? size[0] == size[1] ? rot[i] : rot[i] & 2 : 0;
        p[i].flip[flip[i]] = turned;
    }
    gather(r, s, p, false, v);
    pv_free(on);
    pv_free(p);
    pv_free(flip);
    pv_free(rot);
    pv_free(below);
}

bool crln_strong(struct pv_run *r, struct pv_scope *s, const struct crln_aug *a, struct crln_view *v)
{
    bool recording = r->tape->recording;
    r->tape->recording = false;
    v->image = min_max(r, s, a, v->image);
    if (is_whole(v) && (a->low < 1 || a->high > 1)) {
        scale(r, s, a, v);
        v->image = min_max(r, s, a, v->image);
    }
    if (is_whole(v) && a->cutmix)
        cutmix(r, s, v);
    if (is_whole(v))
        intensity(r, s, a, v);
    if (is_whole(v) && a->p_turn > 0)
        turn(r, s, a, v);
    v->image = min_max(r, s, a, v->image);
    r->tape->recording = recording;
    return is_whole(v);
}
