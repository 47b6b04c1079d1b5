/* SPDX-License-Identifier: Apache-2.0
 * axis.h. Steps are 1, 2 or 5 times a power of ten. */
#include "report/axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/text.h"

/* 1, 2 or 5 times a power of ten: the least that is >= v, or the greatest that is <= v (v > 0). */
static double round_number(double v, bool up)
{
    static const double m[] = {0.5, 1, 2, 5, 10};
    double mag = pow(10, floor(log10(v)));
    for (int i = 0; i < 5; i++) {
        double at = m[up ? i : 4 - i] * mag;
        if (up ? at >= v * (1 - 1e-9) : at <= v * (1 + 1e-9))
            return at;
    }
    return v;
}

static void add(struct pv_axis *a, double v)
{
    double slack = 1e-9 * (a->hi - a->lo);
    if (a->num < PV_AXIS_TICKS && v >= a->lo - slack && v <= a->hi + slack)
        a->tick[a->num++] = fmin(fmax(v, a->lo), a->hi);
}

/* ---- labels ---- */

/* All ticks are multiples of `step`: the same number of digits for all. */
static void label_linear(struct pv_axis *a, double step)
{
    double most = fmax(fabs(a->lo), fabs(a->hi)), unit = 1;
    const char *suffix = "";
    char exponent[16];
    if (most >= 1e15 || most < 1e-3) {
        int e = (int)floor(log10(most) + 1e-9);
        unit = pow(10, e);
        snprintf(exponent, sizeof exponent, "e%d", e);
        suffix = exponent;
    } else if (most >= 1e4 && step >= 100) {
        static const struct { double unit; const char *suffix; } scale[] = {
            {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
        for (size_t i = 0; i < PV_COUNT(scale); i++) {
            if (most >= scale[i].unit * 2 || i == 3) {
                unit = scale[i].unit;
                suffix = scale[i].suffix;
                break;
            }
        }
    }
    int decimals = (int)ceil(-log10(step / unit) - 1e-9);
    for (int i = 0; i < a->num; i++) {
        char t[32];
        bool zero = fabs(a->tick[i]) < step * 1e-6;
        pv_text_fixed(t, zero ? 0 : a->tick[i] / unit, zero ? 0 : pv_max(decimals, 0));
        snprintf(a->label[i], sizeof a->label[i], "%.20s%.10s", t, zero ? "" : suffix);
    }
}

static void label_log(struct pv_axis *a)
{
    for (int i = 0; i < a->num; i++)
        pv_text_short(a->label[i], a->tick[i], 3);
}

/* ---- scales ---- */

static void make_linear(struct pv_axis *a, unsigned flags, int most)
{
    /* a logarithmic scale cannot be extended to 0: finer steps leave two ticks in any case */
    double step = round_number((a->hi - a->lo) / (a->log ? pv_max(most, 3) : most), true);
    if (flags & PV_AXIS_WHOLE)
        step = fmax(step, 1);
    double first = floor(a->lo / step + 1e-9), last = ceil(a->hi / step - 1e-9);
    if (flags & PV_AXIS_EXTEND) {
        double lo = first * step;
        a->lo = a->log && lo <= 0 ? a->lo : fmin(lo, a->lo);
        a->hi = fmax(last * step, a->hi);
    }
    for (double k = first; k <= last && a->num < PV_AXIS_TICKS; k++)
        add(a, k * step);
    label_linear(a, step);
}

static void make_log(struct pv_axis *a, unsigned flags, int most)
{
    if (flags & PV_AXIS_EXTEND) {
        a->lo = fmin(a->lo, round_number(a->lo, false));
        a->hi = fmax(a->hi, round_number(a->hi, true));
    }
    bool fine = log10(a->hi) - log10(a->lo) <= 2.01;        /* 1, 2 and 5 of each decade */
    int first = (int)(fine ? floor(log10(a->lo) + 1e-9) : ceil(log10(a->lo) - 1e-9));
    int last = (int)floor(log10(a->hi) + 1e-9);
    int stride = fine ? 1 : pv_min(pv_ceil_div(last - first, most), last - first);
    for (int e = first; e <= last; e += stride) {
        add(a, pow(10, e));
        if (fine) {
            add(a, 2 * pow(10, e));
            add(a, 5 * pow(10, e));
        }
    }
    label_log(a);
}

static double tame(double v)
{
    return !isfinite(v) ? 0 : fabs(v) < 1e-300 ? 0 : fmin(fmax(v, -1e300), 1e300);
}

void pv_axis_make(struct pv_axis *a, double lo, double hi, unsigned flags, int most)
{
    if (!isfinite(lo) || !isfinite(hi)) {
        bool have = isfinite(lo) || isfinite(hi);
        lo = hi = have ? isfinite(lo) ? lo : hi : 0;
    }
    lo = tame(lo);
    hi = tame(hi);
    if (hi < lo) {
        double t = lo;
        lo = hi;
        hi = t;
    }
    bool log = (flags & PV_AXIS_LOG) && lo > 0;
    double scale = fmax(fabs(lo), fabs(hi));
    if (hi - lo <= scale * 1e-9) {          /* a single value */
        double room = scale > 0 ? 0.1 * scale : 1;
        if (flags & PV_AXIS_WHOLE)
            room = fmax(room, 1);
        lo -= log ? 0.5 * room : lo == 0 ? 0 : room;
        hi += room;
        log = log && lo > 0;
    }
    *a = (struct pv_axis){.lo = lo, .hi = hi, .log = log};
    most = pv_min(pv_max(most, 1), 10);
    if (log && log10(hi) - log10(lo) > 1)
        make_log(a, flags, most);
    else
        make_linear(a, flags, most);
}

double pv_axis_at(const struct pv_axis *a, double v)
{
    if (!a->log)
        return (v - a->lo) / (a->hi - a->lo);
    return v > 0 ? (log10(v) - log10(a->lo)) / (log10(a->hi) - log10(a->lo)) : NAN;
}
