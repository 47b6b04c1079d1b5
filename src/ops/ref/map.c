/* SPDX-License-Identifier: Apache-2.0
 * References of pointwise functions. */
#include "ops/map_impl.h"

#include <math.h>

static double sign(double x) { return (x > 0) - (x < 0); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* The normal distribution function. */
static double normal(double x) { return 0.5 * erfc(-x / sqrt(2)); }

static double apply(int op, double x, double y, double z, double p, double q)
{
    switch (op) {
    case MAP_COPY: return x;
    case MAP_NEG: return -x;
    case MAP_ABS: return fabs(x);
    case MAP_EXP: return exp(x);
    case MAP_LOG: return log(x > p ? x : p);
    case MAP_SQRT: return sqrt(x);
    case MAP_SQUARE: return x * x;
    case MAP_POW: return pow(x, p);
    case MAP_SIGMOID: return sigmoid(x);
    case MAP_CLAMP: return x < p ? p : x > q ? q : x;
    case MAP_SCALE: return p * x + q;
    case MAP_GT: return x > p;
    case MAP_GE: return x >= p;
    case MAP_FINITE: return isfinite(x);
    case MAP_D_ABS: return x * sign(y);
    case MAP_D_EXP: return x * exp(y);
    case MAP_D_LOG: return y >= p ? x / y : 0;
    case MAP_D_SQRT: return y > 0 ? x / (2 * sqrt(y)) : 0;
    case MAP_D_SQUARE: return 2 * x * y;
    case MAP_D_POW: return y > 0 ? x * p * pow(y, p - 1) : 0;
    case MAP_D_SIGMOID: return x * sigmoid(y) * (1 - sigmoid(y));
    case MAP_D_CLAMP: return y >= p && y <= q ? x : 0;
    case MAP_ADD: return x + y;
    case MAP_SUB: return x - y;
    case MAP_MUL: return x * y;
    case MAP_DIV: return x / y;
    case MAP_MIN: return fmin(x, y);
    case MAP_MAX: return fmax(x, y);
    case MAP_GREATER: return x > y;
    case MAP_GREATER_EQUAL: return x >= y;
    case MAP_EQUAL: return x == y;
    case MAP_AND: return x != 0 && y != 0;
    case MAP_OR: return x != 0 || y != 0;
    case MAP_XOR: return (x != 0) != (y != 0);
    case MAP_KEEP: return y != 0 ? x : 0;
    case MAP_DROP: return y != 0 ? 0 : x;
    case MAP_D_DIV: return -x * y / (z * z);
    case MAP_D_MIN: return y < z ? x : y == z ? x / 2 : 0;
    case MAP_GELU: return x * normal(x);
    case MAP_D_GELU: return x * (normal(y) + y * exp(-0.5 * y * y) / sqrt(2 * 3.14159265358979323846));
    case MAP_TANH: return tanh(x);
    case MAP_D_TANH: return x / (cosh(y) * cosh(y));
    case MAP_D_MAX: return y > z ? x : y == z ? x / 2 : 0;
    default: return x != 0 ? y : z;
    }
}

static double *at(const struct map_plan *m, int i, int s, int k, int64_t v)
{
    const struct plain_view *w = &m->view[i];
    return pv_ref_data(w->t) + w->base + s * w->ss + k * w->ks + v * w->vs;
}

void ref_map(const struct map_plan *m)
{
    const struct plain_view *o = &m->view[3];
    double *out = pv_ref_data(o->t) + o->base;
    if (!m->accum)
        for (int s = 0; s < m->n; s++)
            for (int k = 0; k < o->c; k++)
                for (int64_t v = 0; v < m->v; v++)
                    out[s * o->ss + k * o->ks + v * o->vs] = 0;
    for (int s = 0; s < m->n; s++)
        for (int k = 0; k < m->c; k++)
            for (int64_t v = 0; v < m->v; v++) {
                double y = m->num > 1 ? *at(m, 1, s, k, v) : 0, z = m->num > 2 ? *at(m, 2, s, k, v) : 0;
                out[s * o->ss + k * o->ks + v * o->vs] += apply(m->op, *at(m, 0, s, k, v), y, z, (double)m->p,
                                                               (double)m->q);
            }
}

void ref_cast(const double *x, double *y, int64_t count, int kind, int value)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = kind == 0 ? x[i] : kind == 1 ? trunc(x[i]) : (x[i] == value) == (kind == 2);
}
