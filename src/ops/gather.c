/* SPDX-License-Identifier: Apache-2.0
 * Gathering: checks, plans, launches. */
#include "ops/gather.h"

#include <math.h>
#include <string.h>

#include "ops/args/gather.h"
#include "ops/gather_impl.h"
#include "ops/span.h"

enum { MAX_SIDE = 4096, MAX_FIRST = 1 << 20 };

static const struct pv_kernel kernels[2][2] = {     /* [fat][mix] */
    {{"gather", "gather_copy", "rrw", sizeof(struct a_gather), {64, 1, 1}, NULL},
     {"gather", "gather_mix", "rrw", sizeof(struct a_gather), {64, 1, 1}, NULL}},
    {{"gather", "gather_copy", "rrw", sizeof(struct a_gather), {1, 1, 1}, NULL},
     {"gather", "gather_mix", "rrx", sizeof(struct a_gather), {1, 1, 1}, NULL}}};

static int scaled_side(const struct pv_gather_params *p, const int in[3], int i)
{
    return i < 2 && p->scaled[i] ? p->scaled[i] : in[i];
}

void gather_matrix(const struct pv_gather_params *p, const int in[3], int m[4])
{
    double rad = p->angle * 3.14159265358979323846 / 180;
    double sx = 65536.0 * in[0] / scaled_side(p, in, 0), sy = 65536.0 * in[1] / scaled_side(p, in, 1);
    m[0] = (int)lrint(sx * cos(rad));
    m[1] = (int)lrint(sx * sin(rad));
    m[2] = (int)lrint(-sy * sin(rad));
    m[3] = (int)lrint(sy * cos(rad));
}

/* Whether positions stay within 32 bits. */
static bool in_range(const struct pv_gather_params *p, int n, const int in[3])
{
    bool ok = p->sample >= 0 && p->sample < n && (p->scaled[0] != 0) == (p->scaled[1] != 0);
    int side[2];
    for (int i = 0; i < 2; i++) {
        side[i] = scaled_side(p, in, i);
        ok = ok && side[i] >= 1 && side[i] <= MAX_SIDE && in[i] <= MAX_SIDE && in[i] <= 256 * side[i];
    }
    for (int i = 0; i < 3; i++)
        ok = ok && p->first[i] >= -MAX_FIRST && p->first[i] <= MAX_FIRST;
    if (!ok || p->angle == 0)
        return ok;
    int m[4];
    gather_matrix(p, in, m);
    for (int i = 0; i < 2; i++) {
        double reach = fabs((double)m[2 * i]) * side[0] + fabs((double)m[2 * i + 1]) * side[1];
        ok = ok && 65536.0 * (in[i] + 1) + reach < 2147483647.0;
    }
    return ok && fabs((double)p->angle) <= 360;
}

static void plan_of(const struct pv_gather_params *p, const int in[3], float f[GP_SIZE])
{
    int s[3] = {scaled_side(p, in, 0), scaled_side(p, in, 1), in[2]}, m[GP_SIZE] = {0};
    int turns = ((p->rot90 % 4) + 4) % 4, side[3] = {s[turns % 2], s[1 - turns % 2], s[2]};
    /* voxel (i, j) of the scaled volume from the turned one: numpy.rot90 */
    static const int ip[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}}, jp[4][2] = {{0, 1}, {-1, 0}, {0, -1}, {1, 0}};
    m[GP_SAMPLE] = p->sample;
    int i0 = turns == 2 || turns == 3 ? s[0] - 1 : 0, j0 = turns == 1 || turns == 2 ? s[1] - 1 : 0;
    for (int i = 0; i < 3; i++) {
        m[GP_DIM + i] = side[i];
        m[GP_FIRST + i] = p->first[i];
    }
    for (int i = 0; i < 2; i++) {       /* a mirrored axis counts from its end */
        int sign = p->flip[i] ? -1 : 1, end = p->flip[i] ? side[i] - 1 : 0;
        m[GP_IP + i] = ip[turns][i] * sign;
        m[GP_JP + i] = jp[turns][i] * sign;
        i0 += ip[turns][i] * end;
        j0 += jp[turns][i] * end;
        m[GP_SCALED + i] = s[i];
    }
    m[GP_IP + 2] = i0;
    m[GP_JP + 2] = j0;
    m[GP_KP] = p->flip[2] ? -1 : 1;
    m[GP_KP + 1] = p->flip[2] ? s[2] - 1 : 0;
    m[GP_ANGLE] = p->angle != 0;
    gather_matrix(p, in, &m[GP_MATRIX]);
    for (int i = 0; i < GP_SIZE; i++)
        f[i] = (float)m[i];
}

/* Everything (sample -1), or planes [x0, x0 + nx) of channel c0 of sample k of y from that channel of one sample of
 * x. */
static void launch(pv_tensor *x, pv_tensor *plans, pv_tensor *y, const struct a_gather *base, bool mix, int k,
                   int c0, int sample, int x0, int nx)
{
    bool fat = pv_class(y) == PV_FAT;
    struct a_gather a = *base;
    struct pv_launch l = {.k = &kernels[fat][mix], .label = "gather", .args = &a};
    int64_t plane = (int64_t)a.y * a.z;
    a.p0 = k;
    a.x0 = x0;
    a.x = nx;
    if (sample >= 0) {
        a.n = a.c = 1;
        a.sn = a.sc = 0;
        pv_bind_range(&l, 0, x, ((int64_t)sample * x->h.c + c0) * base->sc, base->sc);
        pv_bind_range(&l, 2, y, ((int64_t)k * y->h.c + c0) * base->dc + x0 * plane, nx * plane);
    } else {
        pv_bind(&l, 0, x);
        pv_bind(&l, 2, y);
    }
    pv_bind(&l, 1, plans);
    uint64_t rows = (uint64_t)a.n * (uint64_t)a.c * (uint64_t)nx * (uint64_t)a.y;
    pv_run_items(y->dev, &l, fat ? rows : rows * (uint64_t)a.z);
}

static void run(pv_tensor *x, pv_tensor *y, const int in[3], const int out[3], const struct pv_gather_params *p,
                enum pv_gather_mode mode, enum pv_gather_border border, float fill)
{
    int num = y->h.n;
    float *all = pv_array(float, num * GP_SIZE);
    for (int i = 0; i < num; i++)
        plan_of(&p[i], in, all + i * GP_SIZE);
    pv_tensor *plans = pv_tensor_new(y->dev, pv_flat(num * GP_SIZE), PV_F32);
    pv_tensor_write(plans, all);
    pv_free(all);
    if (!plans)
        return;
    struct pv_strides xs = pv_strides_of(x), ys = pv_strides_of(y);
    struct a_gather a = {.n = num, .c = y->h.c, .y = out[1], .z = out[2], .w = in[0], .h = in[1], .d = in[2],
        .sn = xs.n, .sc = xs.b, .dn = ys.n, .dc = ys.b, .border = (int)border,
        .taps = mode == PV_GATHER_CUBIC ? 4 : 2};
    if (x->type == PV_I32)
        a.fill = (int32_t)lrintf(fill);
    else
        memcpy(&a.fill, &fill, sizeof fill);
    bool mix = mode != PV_GATHER_NEAREST;
    if (span_fits(x, pv_shape_stored(&x->h)) && span_fits(y, pv_shape_stored(&y->h))) {
        launch(x, plans, y, &a, mix, 0, 0, -1, 0, out[0]);
    } else {
        int nx = out[0];
        while (nx > 1 && !span_fits(y, (int64_t)nx * a.y * a.z))
            nx = (nx + 1) / 2;
        for (int k = 0; k < num; k++)
            for (int c = 0; c < y->h.c; c++)
                for (int x0 = 0; x0 < out[0]; x0 += nx)
                    launch(x, plans, y, &a, mix, k, c, p[k].sample, x0, pv_min(nx, out[0] - x0));
    }
    pv_tensor_put(&plans);
}

/* A plane in y and z is the same memory as one in x and y with a z of 1. */
static void fold(int s[3])
{
    s[0] = s[1];
    s[1] = s[2];
    s[2] = 1;
}

static struct pv_gather_params folded(struct pv_gather_params p)
{
    p.flip[0] = p.flip[1];
    p.flip[1] = p.flip[2];
    p.flip[2] = false;
    fold(p.first);
    p.first[2] = 0;
    return p;
}

pv_tensor *pv_gather(pv_tape *t, pv_tensor *x, int num, const struct pv_gather_params *p, const int size[3],
                     enum pv_gather_mode mode, enum pv_gather_border border, float fill)
{
    pv_ops_init();
    if (!pv_op_ready(t, 1, &x))
        return NULL;
    bool typed = x->type == PV_F32 || (x->type == PV_I32 && mode == PV_GATHER_NEAREST), flat = x->h.dims == 2;
    if (x->h.layout != PV_PLAIN || !typed || num < 1 || size[0] < 1 || size[1] < 1 || size[2] < 1 ||
        (flat && size[0] != 1))
        return pv_op_bad("gather", "PLAIN tensors of floats, or nearest of labels");
    int in[] = {x->h.s[0], x->h.s[1], x->h.s[2]}, out[] = {size[0], size[1], size[2]};
    if (flat) {
        fold(in);
        fold(out);
    }
    pv_tensor *y = NULL;
    struct pv_gather_params *q = pv_array(struct pv_gather_params, num);
    for (int i = 0; i < num; i++) {
        q[i] = flat ? folded(p[i]) : p[i];
        if (!in_range(&q[i], x->h.n, in)) {
            pv_op_bad("gather", "parameters of sample %d are out of range", i);
            goto done;
        }
    }
    y = pv_tensor_new(t->dev, pv_plain(x->h.dims, num, x->h.c, size), x->type);
    if (y && pv_tensor_pin(x)) {
        if (pv_is_ref(x))
            ref_gather(pv_ref_data(x), pv_ref_data(y), num, x->h.c, in, out, q, mode, border, fill);
        else
            run(x, y, in, out, q, mode, border, fill);
        pv_tensor_unpin(x);
    }
done:
    pv_free(q);
    return y;
}
