/* SPDX-License-Identifier: Apache-2.0
 * Cases of normalisation, activation, dropout and addition. */
#include <math.h>

#include "check/check.h"
#include "ops/norm.h"

/* One case's numbers on the host: inputs are chosen so that no activation sees a value within rounding of 0, where
 * the gradient jumps. */
struct maps {
    struct pv_shape h;
    struct pv_norm_params p;    /* tensors not set yet */
    double *x, *res, *skip, *gamma, *beta, *mean, *var;
};

static double *uniform(struct pv_check *k, int64_t n, double lo, double hi)
{
    double *v = pv_alloc(sizeof *v * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        v[i] = (float)pv_ck_uniform(k, lo, hi);
    return v;
}

static double away(double v, double least) { return fabs(v) < least ? v < 0 ? -least : least : v; }

/* Mean and 1 / standard deviation that sample n of channel c is normalised with. */
static void statistics(const struct maps *m, int n, int c, double *mean, double *rstd)
{
    int64_t voxels = pv_voxels(&m->h);
    bool instance = m->p.kind == PV_NORM_INSTANCE;
    int n0 = instance ? n : 0, n1 = instance ? n + 1 : m->h.n;
    double var = 0, count = (double)voxels * (n1 - n0);
    *mean = 0;
    if (m->p.kind == PV_NORM_NONE) {
        *rstd = 1;
        return;
    }
    if (m->p.kind == PV_NORM_BATCH && !m->p.train) {
        *mean = m->mean[c];
        *rstd = 1 / sqrt(m->var[c] + 1e-5);
        return;
    }
    for (int s = n0; s < n1; s++)
        for (int64_t v = 0; v < voxels; v++)
            *mean += m->x[((int64_t)s * m->h.c + c) * voxels + v] / count;
    for (int s = n0; s < n1; s++)
        for (int64_t v = 0; v < voxels; v++) {
            double d = m->x[((int64_t)s * m->h.c + c) * voxels + v] - *mean;
            var += d * d / count;
        }
    *rstd = 1 / sqrt(var + 1e-5);
}

static bool move_one_round(struct maps *m)
{
    int64_t voxels = pv_voxels(&m->h);
    bool moved = false;
    for (int n = 0; n < m->h.n; n++)
        for (int c = 0; c < m->h.c; c++) {
            double mean, rstd;
            statistics(m, n, c, &mean, &rstd);
            double scale = rstd * (m->gamma ? m->gamma[c] : 1), shift = m->beta ? m->beta[c] : 0;
            for (int64_t v = 0; v < voxels; v++) {
                int64_t i = ((int64_t)n * m->h.c + c) * voxels + v;
                double at = (m->x[i] - mean) * scale + shift + (m->res ? m->res[i] : 0);
                if (fabs(at) >= 1e-3)
                    continue;
                double step = at < 0 ? -3e-3 : 3e-3;
                if (m->res)
                    m->res[i] = (float)(m->res[i] + step);
                else
                    m->x[i] = (float)(m->x[i] + step / scale);
                moved = true;
            }
        }
    return moved;
}

static void keep_from_kink(struct maps *m)
{
    for (int round = 0; m->p.slope != 1 && round < 20 && move_one_round(m); round++)
        ;
}

static pv_tensor *blocked(struct pv_check *k, const struct maps *m, const double *v)
{
    return v ? pv_ck_values(k, m->h, PV_F32, v, PV_CK_GRAD) : NULL;
}

static pv_tensor *flat(struct pv_check *k, const struct maps *m, const double *v, int flags)
{
    return v ? pv_ck_values(k, pv_flat(m->h.c), PV_F32, v, flags) : NULL;
}

static void finish(struct pv_check *k, struct maps *m)
{
    keep_from_kink(m);
    pv_tensor *x = blocked(k, m, m->x);
    m->p.residual = blocked(k, m, m->res);
    m->p.skip = blocked(k, m, m->skip);
    m->p.gamma = flat(k, m, m->gamma, PV_CK_GRAD);
    m->p.beta = flat(k, m, m->beta, PV_CK_GRAD);
    m->p.running_mean = flat(k, m, m->mean, 0);
    m->p.running_var = flat(k, m, m->var, 0);
    pv_ck_output(k, "y", pv_norm_act(pv_ck_tape(k), x, &m->p), 0);
    if (m->mean) {
        pv_ck_output(k, "-running mean", pv_tensor_ref(m->p.running_mean), PV_CK_NO_DY);
        pv_ck_output(k, "-running variance", pv_tensor_ref(m->p.running_var), PV_CK_NO_DY);
    }
    pv_free(m->x);
    pv_free(m->res);
    pv_free(m->skip);
    pv_free(m->gamma);
    pv_free(m->beta);
    pv_free(m->mean);
    pv_free(m->var);
}

/* Every combination of options comes up: fixed cases first, with sizes that one unit of rows does not cover. */
static void norm_case(struct pv_check *k, enum pv_norm_kind kind, bool train, double centre)
{
    static const int fixed[][5] = {{1, 3, 2, 2, 4}, {1, 2, 1, 1, 1}, {2, 5, 2, 29, 29}, {2, 16, 7, 7, 5},
                                   {1, 32, 4, 6, 10}};
    static const float slopes[] = {0, 0.01f, 1, 0};
    struct maps m = {.p = {.kind = kind, .train = train}};
    int c = pv_ck_case(k), dims = c % 4 == 3 ? 2 : 3, n, ch, s[3];
    if (c < (int)PV_COUNT(fixed) && !pv_ck_small(k)) {
        n = fixed[c][0], ch = fixed[c][1];
        for (int i = 0; i < 3; i++)
            s[i] = fixed[c][2 + i];
        dims = 3;
    } else {
        pv_ck_sides(k, dims, 12, s);
        n = pv_ck_int(k, 1, 3);
        ch = pv_ck_int(k, 2, pv_ck_most(k, 40, 18));
        if (s[0] * s[1] * s[2] < 16)        /* statistics of a few voxels amplify rounding */
            s[2] += 16;
    }
    m.h = pv_blocked(dims, n, ch, s);
    int64_t count = pv_shape_count(&m.h);
    m.x = uniform(k, count, centre - 1.7, centre + 1.7);
    m.p.slope = slopes[pv_ck_int(k, 0, 3)];
    m.p.drop = (enum pv_drop_kind)pv_ck_int(k, c == 2 ? PV_DROP_ELEMENT : PV_DROP_NONE, PV_DROP_ELEMENT);
    m.p.drop_p = m.p.drop ? (float)pv_ck_uniform(k, 0.1, 0.6) : 0;
    m.p.momentum = centre > 0 ? 1.0f : c % 2 ? 0.3f : 0;
    m.p.keep_running = train && pv_ck_int(k, 0, 4) == 0 && centre == 0;
    m.res = pv_ck_int(k, 0, 2) ? NULL : uniform(k, count, -1, 1);
    m.skip = pv_ck_int(k, 0, 2) ? NULL : uniform(k, count, -1, 1);
    if (kind != PV_NORM_NONE && (c == 1 || pv_ck_int(k, 0, 3))) {
        m.gamma = uniform(k, ch, -1, 1);
        m.beta = uniform(k, ch, -1, 1);
        for (int i = 0; i < ch; i++) {
            m.gamma[i] = away(m.gamma[i], 0.25);
            m.beta[i] = away(m.beta[i], 0.0625);
        }
    }
    if (kind == PV_NORM_BATCH) {
        m.mean = uniform(k, ch, centre - 1, centre + 1);
        m.var = uniform(k, ch, 0.3, 2);
    }
    finish(k, &m);
}

static void norm_batch(struct pv_check *k) { norm_case(k, PV_NORM_BATCH, true, 0); }
static void norm_eval(struct pv_check *k) { norm_case(k, PV_NORM_BATCH, false, 0); }
static void norm_instance(struct pv_check *k) { norm_case(k, PV_NORM_INSTANCE, false, 0); }
static void norm_offset(struct pv_check *k) { norm_case(k, PV_NORM_BATCH, true, 100); }
static void norm_none(struct pv_check *k) { norm_case(k, PV_NORM_NONE, false, 0); }

static pv_tensor *chain(pv_tensor **x, pv_tensor *y)
{
    pv_tensor_put(x);
    return y;
}

/* The wrappers, and what one layer alone does not show: results given up and made again, gradients written over
 * those of the layer above, gradients that several tensors share, one tensor in several places. A large beta of
 * either sign keeps whole channels on one side of every activation. */
static void norm_chain(struct pv_check *k)
{
    pv_tape *t = pv_ck_tape(k);
    int c = pv_ck_case(k), dims = c % 3 == 2 ? 2 : 3, n = pv_ck_int(k, 1, pv_ck_most(k, 2, 1));
    int ch = pv_ck_int(k, 2, pv_ck_most(k, 20, 4)), s[3] = {dims == 2 ? 1 : 1 + c % pv_ck_most(k, 4, 2)};
    s[1] = pv_ck_int(k, 2, pv_ck_most(k, 4, 2));
    s[2] = pv_ck_int(k, 8, pv_ck_most(k, 11, 9));
    struct pv_shape h = pv_blocked(dims, n, ch, s);
    enum pv_norm_kind kind = c % 2 ? PV_NORM_INSTANCE : PV_NORM_BATCH;
    pv_tensor *x = pv_ck_input(k, h, -1, 1, PV_CK_GRAD), *r = pv_ck_input(k, h, -1, 1, PV_CK_GRAD);
    pv_tensor *gamma = pv_ck_input(k, pv_flat(h.c), 0.5, 1, PV_CK_GRAD);
    double shift[32];
    for (int i = 0; i < ch; i++)
        shift[i] = (float)((i % 3 ? 8 : -8) + pv_ck_uniform(k, -1, 1));
    pv_tensor *beta = pv_ck_values(k, pv_flat(h.c), PV_F32, shift, PV_CK_GRAD);
    struct pv_norm_params p = {.kind = kind, .train = true, .gamma = gamma, .beta = beta, .slope = 0.25f};
    pv_tensor *a = pv_norm_act(t, x, &p), *sum;
    a = chain(&a, pv_leaky_relu(t, a, 0.5f));
    p.residual = p.skip = r;
    pv_tensor *b = pv_norm_act(t, a, &p);
    p.residual = p.skip = b;
    b = chain(&b, pv_norm_act(t, b, &p));
    b = chain(&b, pv_dropout_element(t, b, 0.3f));
    b = chain(&b, pv_dropout_channel(t, b, 0.1f));
    sum = pv_add(t, b, a);
    pv_tensor_put(&a);
    pv_tensor_put(&b);
    sum = chain(&sum, pv_add(t, sum, sum));
    sum = chain(&sum, pv_dropout_element(t, sum, 0));
    p.residual = NULL;
    p.skip = x;
    sum = chain(&sum, pv_norm_act(t, sum, &p));
    if (c % 5)
        sum = chain(&sum, pv_relu(t, sum));
    pv_ck_output(k, "y", sum, 0);
}

/* Outputs: a few roundings of fp32. Gradients: sums over up to some thousand terms of both signs, so that the
 * total is much smaller than its terms. Chain: six layers of that. Offset: a mean of 100 takes 7 of 24 bits of
 * what is left of the input. */
/* A skip that is itself the result of a normalisation: CPU kernels read what it is made from. */
static void norm_skip(struct pv_check *k)
{
    pv_tape *t = pv_ck_tape(k);
    int c = pv_ck_case(k), dims = c % 3 == 2 ? 2 : 3, n = pv_ck_int(k, 1, pv_ck_most(k, 3, 2));
    int ch = pv_ck_int(k, 2, pv_ck_most(k, 36, 4)), s[3] = {dims == 2 ? 1 : 1 + c % pv_ck_most(k, 4, 2)};
    s[1] = pv_ck_int(k, 2, pv_ck_most(k, 5, 2));
    s[2] = pv_ck_int(k, 8, pv_ck_most(k, 13, 9));
    struct pv_shape h = pv_blocked(dims, n, ch, s);
    double shift[36];
    for (int i = 0; i < ch; i++)
        shift[i] = (float)((i % 3 ? 8 : -8) + pv_ck_uniform(k, -1, 1));
    pv_tensor *x = pv_ck_input(k, h, -1, 1, PV_CK_GRAD), *z = pv_ck_input(k, h, -1, 1, PV_CK_GRAD);
    struct pv_norm_params p = {.kind = c % 2 ? PV_NORM_INSTANCE : PV_NORM_BATCH, .train = true, .slope = 0.25f};
    p.gamma = pv_ck_input(k, pv_flat(ch), 0.5, 1, PV_CK_GRAD);
    p.beta = pv_ck_values(k, pv_flat(ch), PV_F32, shift, PV_CK_GRAD);
    pv_tensor *skip = pv_norm_act(t, z, &p);
    p.kind = c % 4 < 2 ? PV_NORM_BATCH : PV_NORM_INSTANCE;
    p.slope = 0.5f;
    p.skip = skip;
    p.drop = c % 3 == 1 ? PV_DROP_CHANNEL : c % 3 == 2 ? PV_DROP_ELEMENT : PV_DROP_NONE;
    p.drop_p = 0.3f;
    pv_ck_output(k, "y", pv_norm_act(t, x, &p), 0);
    pv_tensor_put(&skip);
}

static const struct pv_check_op
    op_batch = {"norm_batch", norm_batch, 5, 4e-6, 2e-5, NULL},
    op_eval = {"norm_eval", norm_eval, 5, 4e-6, 2e-5, NULL},
    op_instance = {"norm_instance", norm_instance, 5, 4e-6, 2e-5, NULL},
    op_none = {"norm_none", norm_none, 5, 4e-6, 2e-5, NULL},
    op_skip = {"norm_skip", norm_skip, 0, 1e-5, 2e-5, NULL},
    op_chain = {"norm_chain", norm_chain, 5, 1e-5, 2e-5, NULL},
    op_offset = {"norm_offset", norm_offset, 5, 1e-4, 1e-4, NULL};

const struct pv_check_op *const pv_check_norm[] = {
    &op_batch, &op_eval, &op_instance, &op_none, &op_chain, &op_skip, &op_offset, NULL,
};
